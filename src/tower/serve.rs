//! The accept loop.

use super::connection::serve_connection;
use crate::Secret;
use crate::http::request_body::RequestBody;
use crate::server::{Error, Listener, ServerConfig, Trust};
use bytes::Buf;
use http::{Request, Response};
use http_body::Body;
use std::error::Error as StdError;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tower_service::Service;

type BoxError = Box<dyn StdError + Send + Sync>;
type ErrorHook = Arc<dyn Fn(&dyn fmt::Debug, &Error) + Send + Sync>;

/// Serves AJP connections from `listener` with a service over
/// `http::Request<RequestBody>`, such as an axum `Router`. Every connection gets a clone.
///
/// Decide whom to believe with [`secret`](Serve::secret),
/// [`trusted_network`](Serve::trusted_network) or [`config`](Serve::config), then await it:
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let app = axum::Router::new().route("/hello", axum::routing::get(|| async { "Hello, AJP!" }));
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:8009").await?;
/// ajp::server::serve(listener, app).secret(ajp::Secret::new("s3cr3t")?).await;
/// # Ok(())
/// # }
/// ```
pub fn serve<L, S>(listener: L, service: S) -> Serve<L, S, Undecided>
where
    L: Listener,
{
    Serve {
        listener,
        service,
        trust: Undecided(()),
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
pub struct Serve<L, S, T = ServerConfig> {
    listener: L,
    service: S,
    trust: T,
    signal: Pin<Box<dyn Future<Output = ()> + Send>>,
    drain_limit: Duration,
    on_error: Option<ErrorHook>,
}

impl<L, S> Serve<L, S, Undecided> {
    /// Believes requests that carry this secret.
    pub fn secret(self, secret: Secret) -> Serve<L, S> {
        self.config(ServerConfig::new(Trust::Secrets(vec![secret])))
    }

    /// Believes whoever can connect. Right for loopback and Unix sockets, and for networks
    /// that only web servers can reach.
    pub fn trusted_network(self) -> Serve<L, S> {
        self.config(ServerConfig::new(Trust::TrustedNetwork))
    }

    /// Uses these settings.
    pub fn config(self, config: ServerConfig) -> Serve<L, S> {
        Serve {
            listener: self.listener,
            service: self.service,
            trust: config,
            signal: self.signal,
            drain_limit: self.drain_limit,
            on_error: self.on_error,
        }
    }
}

impl<L, S, T> Serve<L, S, T> {
    /// When `signal` completes: accepts no more, closes idle connections, lets running
    /// exchanges end with reuse 0, and returns. Exchanges that run longer than the
    /// [drain limit](Self::drain_limit) are cut.
    pub fn with_graceful_shutdown(
        mut self,
        signal: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        self.signal = Box::pin(signal);
        self
    }

    /// How long running exchanges may take after the shutdown signal. Default 30 s.
    pub fn drain_limit(mut self, limit: Duration) -> Self {
        self.drain_limit = limit;
        self
    }

    /// Calls `hook` with the peer and the error of every connection that ended badly.
    pub fn on_error(
        mut self,
        hook: impl Fn(&dyn fmt::Debug, &Error) + Send + Sync + 'static,
    ) -> Self {
        self.on_error = Some(Arc::new(hook));
        self
    }
}

impl<L, S, B> Serve<L, S>
where
    L: Listener,
    S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Data: Buf + Send,
    B::Error: Into<BoxError>,
{
    async fn run(self) {
        let Self {
            mut listener,
            service,
            trust,
            mut signal,
            drain_limit,
            on_error,
        } = self;
        let config = Arc::new(trust);
        let (drain, draining) = watch::channel(false);
        let mut connections = JoinSet::new();
        loop {
            let (io, peer) = tokio::select! {
                biased;
                () = &mut signal => break,
                // Takes finished tasks out of the set; a panic stays with its connection.
                Some(_) = connections.join_next() => continue,
                accepted = listener.accept() => accepted,
            };
            let (service, config, on_error) =
                (service.clone(), Arc::clone(&config), on_error.clone());
            let mut draining = draining.clone();
            connections.spawn(async move {
                let drained = async move {
                    // An error means that the server itself is gone.
                    let _ = draining.wait_for(|drain| *drain).await;
                };
                if let Err(error) = serve_connection(io, service, config, drained).await {
                    if let Some(hook) = on_error {
                        hook(&peer, &error);
                    }
                }
            });
        }
        drop(listener);
        drain.send_replace(true);
        let all_done = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(drain_limit, pin!(all_done))
            .await
            .is_err()
        {
            connections.shutdown().await;
        }
    }
}

impl<L, S, B> IntoFuture for Serve<L, S>
where
    L: Listener,
    S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Data: Buf + Send,
    B::Error: Into<BoxError>,
{
    type Output = ();
    type IntoFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl<L, S, T> fmt::Debug for Serve<L, S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serve")
            .field("drain_limit", &self.drain_limit)
            .finish_non_exhaustive()
    }
}
