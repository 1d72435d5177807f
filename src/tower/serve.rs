//! A server: a listener, a service, and whom to believe.

use super::accept::{Acceptor, accept_all};
use super::connection::BoxError;
use crate::Secret;
use crate::mapping::request_body::RequestBody;
use crate::server::{Error, Listener, Monitor, ServerConfig, Trust};
use bytes::Buf;
use http::{Request, Response};
use http_body::Body;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tower_service::Service;

pub(super) type ErrorHook = Arc<dyn Fn(&dyn fmt::Debug, &Error) + Send + Sync>;
pub(super) type PeerFilter<P> = Box<dyn Fn(&P) -> bool + Send>;

/// Serves AJP connections from `listener` with a service over
/// `http::Request<RequestBody>`, such as an axum `Router`. Every connection gets a clone.
///
/// Decide whom to believe with [`secret`](Serve::with_secret),
/// [`trusted_network`](Serve::trusted_network) or [`config`](Serve::with_config), then await it:
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let app = axum::Router::new().route("/hello", axum::routing::get(|| async { "Hello, AJP!" }));
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:8009").await?;
/// ajp::server::serve(listener, app).with_secret(ajp::Secret::new("s3cr3t")?).await;
/// # Ok(())
/// # }
/// ```
pub fn serve<L, S>(
    listener: L,
    service: S,
) -> Serve<L, impl FnMut(&L::Peer) -> S + Send + 'static, Undecided>
where
    L: Listener,
    S: Clone + Send + 'static,
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
pub fn serve_with<L, M, S>(listener: L, make_service: M) -> Serve<L, M, Undecided>
where
    L: Listener,
    M: FnMut(&L::Peer) -> S,
{
    Serve {
        listener,
        make_service,
        trust: Undecided(()),
        peers: None,
        signal: Box::pin(std::future::pending()),
        drain_limit: Duration::from_secs(30),
        on_error: None,
    }
}

/// A server that has not been told whom to believe; it cannot be run.
#[derive(Debug)]
pub struct Undecided(());

/// A server. Await it to run it; dropping its future cuts all connections.
#[must_use = "a server does nothing unless it is awaited"]
pub struct Serve<L: Listener, M, T = ServerConfig> {
    listener: L,
    make_service: M,
    trust: T,
    peers: Option<PeerFilter<L::Peer>>,
    signal: Pin<Box<dyn Future<Output = ()> + Send>>,
    drain_limit: Duration,
    on_error: Option<ErrorHook>,
}

impl<L: Listener, M> Serve<L, M, Undecided> {
    /// Believes requests that carry this secret.
    pub fn with_secret(self, secret: Secret) -> Serve<L, M> {
        self.with_config(ServerConfig::new(Trust::Secrets(vec![secret])))
    }

    /// Believes whoever can connect. Right for loopback and Unix sockets, and for networks
    /// that only web servers can reach.
    pub fn trusted_network(self) -> Serve<L, M> {
        self.with_config(ServerConfig::new(Trust::TrustedNetwork))
    }

    /// Uses these settings.
    pub fn with_config(self, config: ServerConfig) -> Serve<L, M> {
        Serve {
            listener: self.listener,
            make_service: self.make_service,
            trust: config,
            peers: self.peers,
            signal: self.signal,
            drain_limit: self.drain_limit,
            on_error: self.on_error,
        }
    }
}

impl<L: Listener, M> Serve<L, M> {
    /// The counters of this server, to be kept while it runs.
    #[must_use]
    pub fn monitor(&self) -> Monitor {
        self.trust.monitor.clone()
    }
}

impl<L: Listener, M, T> Serve<L, M, T> {
    /// Serves only peers for which `allow` is true: an address of
    /// [`Networks`](crate::server::Networks), or the user behind a Unix socket. Others are
    /// closed without an answer. It comes before the secret and does not replace it.
    pub fn with_peers(mut self, allow: impl Fn(&L::Peer) -> bool + Send + 'static) -> Self {
        self.peers = Some(Box::new(allow));
        self
    }

    /// When `signal` completes: accepts no more, lets running exchanges end with reuse 0,
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
        self.signal = Box::pin(signal);
        self
    }

    /// How long running exchanges may take after the shutdown signal. Default 30 s.
    pub fn with_drain_limit(mut self, limit: Duration) -> Self {
        self.drain_limit = limit;
        self
    }

    /// Calls `hook` with the peer and the error of every connection that ended badly. An
    /// exchange that failed ends its connection.
    pub fn on_error(
        mut self,
        hook: impl Fn(&dyn fmt::Debug, &Error) + Send + Sync + 'static,
    ) -> Self {
        self.on_error = Some(Arc::new(hook));
        self
    }
}

impl<L, M, S, B> IntoFuture for Serve<L, M>
where
    L: Listener,
    M: FnMut(&L::Peer) -> S + Send + 'static,
    S: Service<Request<RequestBody>, Response = Response<B>> + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Data: Buf + Send,
    B::Error: Into<BoxError>,
{
    type Output = ();
    type IntoFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        let acceptor = Acceptor::new(
            self.make_service,
            self.trust,
            self.peers,
            self.on_error,
            self.drain_limit,
        );
        Box::pin(accept_all(self.listener, acceptor, self.signal))
    }
}

impl<L: Listener, M, T> fmt::Debug for Serve<L, M, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serve")
            .field("drain_limit", &self.drain_limit)
            .finish_non_exhaustive()
    }
}
