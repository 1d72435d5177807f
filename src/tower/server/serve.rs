//! A server: a listener, a service, and whom to believe.
//!
//! [`Serve`] is a future itself and not `IntoFuture`, so that a server that may not run yet is
//! told why by the compiler: with two ways to be awaited it could only say that neither fits.

use super::accept::{Setup, accept_all};
use super::application::{AnswerBody, Application, Decided};
use crate::Secret;
use crate::server::{Listener, Monitor, ServerConfig, ServerError, Trust};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

pub(super) type ErrorHook<P> = Arc<dyn Fn(&P, &ServerError) + Send + Sync>;
pub(super) type PeerFilter<P> = Box<dyn Fn(&P) -> bool + Send>;
type ServerFuture = Pin<Box<dyn Future<Output = ()> + Send>>;
/// Begins to serve, once everything else is known.
type Start<P> = Box<dyn FnOnce(Setup<P>, ServerFuture) -> ServerFuture + Send>;

/// Serves AJP connections from `listener` with a service over
/// `http::Request<RequestBody>`, such as an axum `Router`. Every connection gets a clone.
///
/// Decide whom to believe with [`with_secret`](Serve::with_secret),
/// [`trusted_network`](Serve::trusted_network) or [`with_config`](Serve::with_config), then await it:
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let app = axum::Router::new().route("/hello", axum::routing::get(|| async { "Hello, AJP!" }));
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:8009").await?;
/// ajp::server::serve(listener, app).with_secret(ajp::Secret::new("s3cr3t")?).await;
/// # Ok(())
/// # }
/// ```
pub fn serve<L, S, M, K>(listener: L, service: S) -> Serve<L::Peer, Undecided>
where
    L: Listener,
    S: Application<M> + Clone,
    S::Body: AnswerBody<K>,
{
    serve_with(listener, move |_: &L::Peer| service.clone())
}

/// As [`serve`], with a service made for each connection by a function that is told who
/// connected.
///
/// ```no_run
/// # async fn example(app: axum::Router) -> Result<(), Box<dyn std::error::Error>> {
/// use ajp::server::{UnixPeer, serve_with};
/// let listener = tokio::net::UnixListener::bind("/run/app/ajp.sock")?;
/// serve_with(listener, move |peer: &UnixPeer| app.clone().layer(axum::Extension(peer.clone())))
///     .trusted_network()
///     .with_peers(|peer| peer.uid() == Some(33))
///     .await;
/// # Ok(())
/// # }
/// ```
pub fn serve_with<L, F, S, M, K>(listener: L, make_service: F) -> Serve<L::Peer, Undecided>
where
    L: Listener,
    F: FnMut(&L::Peer) -> S + Send + 'static,
    S: Application<M>,
    S::Body: AnswerBody<K>,
{
    Serve {
        start: Some(Box::new(move |setup, signal| {
            Box::pin(accept_all(listener, make_service, setup, signal))
        })),
        running: None,
        trust: Undecided(()),
        peers: None,
        signal: None,
        drain_limit: Duration::from_secs(30),
        on_error: None,
    }
}

/// A server that has not been told whom to believe; it cannot be run.
#[derive(Debug)]
pub struct Undecided(());

/// A server for peers that are told apart by `P`, such as a `SocketAddr`. Await it to run it;
/// dropping its future cuts all connections.
///
/// A callback that panics, of [`with_peers`](Self::with_peers), [`serve_with`] or
/// [`on_error`](Self::on_error), ends the connection it was called for and nothing else. One in
/// the shutdown signal, or in a listener's own `accept`, is about no connection: it ends the
/// server.
#[must_use = "a server does nothing unless it is awaited"]
pub struct Serve<P, T = ServerConfig> {
    /// Taken when it begins to run.
    start: Option<Start<P>>,
    running: Option<ServerFuture>,
    trust: T,
    peers: Option<PeerFilter<P>>,
    /// When to shut down; `None` is never.
    signal: Option<ServerFuture>,
    drain_limit: Duration,
    on_error: Option<ErrorHook<P>>,
}

impl<P> Serve<P, Undecided> {
    /// Believes requests that carry this secret.
    pub fn with_secret(self, secret: Secret) -> Serve<P> {
        self.with_config(ServerConfig::new(Trust::Secrets(vec![secret])))
    }

    /// Believes whoever can connect. Right for loopback and Unix sockets, and for networks
    /// that only web servers can reach.
    pub fn trusted_network(self) -> Serve<P> {
        self.with_config(ServerConfig::new(Trust::TrustedNetwork))
    }

    /// Uses these settings.
    pub fn with_config(self, config: ServerConfig) -> Serve<P> {
        Serve {
            start: self.start,
            running: self.running,
            trust: config,
            peers: self.peers,
            signal: self.signal,
            drain_limit: self.drain_limit,
            on_error: self.on_error,
        }
    }
}

impl<P> Serve<P> {
    /// The counters of this server, to be kept while it runs.
    #[must_use]
    pub fn monitor(&self) -> Monitor {
        self.trust.monitor.clone()
    }
}

impl<P, T> Serve<P, T> {
    /// Serves only peers for which `allow` is true: an address of
    /// [`Networks`](crate::server::Networks), or the user behind a Unix socket. Others are
    /// closed without an answer. It comes before the secret and does not replace it.
    pub fn with_peers(mut self, allow: impl Fn(&P) -> bool + Send + 'static) -> Self {
        self.peers = Some(Box::new(allow));
        self
    }

    /// When `signal` completes, for example [`shutdown_signal`](crate::server::shutdown_signal):
    /// accepts no more, lets running exchanges end with reuse 0,
    /// closes idle connections after the
    /// [last call](crate::server::ServerTimeouts::with_last_call), and returns. Exchanges that
    /// run longer than the [drain limit](Self::with_drain_limit) are cut.
    ///
    /// For a restart that no user notices, the web server needs a second container to go
    /// to, and should try this one again soon (httpd: `retry=1`).
    pub fn with_graceful_shutdown(
        mut self,
        signal: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        self.signal = Some(Box::pin(signal));
        self
    }

    /// How long running exchanges may take after the shutdown signal. Default 30 s.
    pub fn with_drain_limit(mut self, limit: Duration) -> Self {
        self.drain_limit = limit;
        self
    }

    /// Calls `hook` with the peer and the error of every connection that ended badly. An
    /// exchange that failed ends its connection.
    pub fn on_error(mut self, hook: impl Fn(&P, &ServerError) + Send + Sync + 'static) -> Self {
        self.on_error = Some(Arc::new(hook));
        self
    }
}

/// Runs the server.
impl<P, T: Decided> Future for Serve<P, T> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if let Some(start) = this.start.take() {
            let setup = Setup {
                config: this.trust.config(),
                peers: this.peers.take(),
                on_error: this.on_error.take(),
                drain_limit: this.drain_limit,
            };
            let signal = this.signal.take();
            let signal = signal.unwrap_or_else(|| Box::pin(std::future::pending()));
            this.running = Some(start(setup, signal));
        }
        match &mut this.running {
            Some(running) => running.as_mut().poll(cx),
            None => Poll::Ready(()),
        }
    }
}

impl<P, T> fmt::Debug for Serve<P, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serve")
            .field("drain_limit", &self.drain_limit)
            .finish_non_exhaustive()
    }
}
