//! The client's address in the form that an application looks for.

use crate::server::RequestClaims;
use http::Request;
use std::net::SocketAddr;
use std::task::{Context, Poll};
use tower_service::Service;

/// Gives every request the address of its HTTP client as an extension, in a type of the
/// application's choice. With axum that is `ConnectInfo`: handlers that take
/// `ConnectInfo<SocketAddr>` work behind a web server as they do without one, and see the
/// visitor and not the web server.
///
/// A request whose web server tells no IP address of the client gets none; the port is 0 where it
/// tells no port.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use axum::extract::ConnectInfo;
/// use std::net::SocketAddr;
///
/// async fn whoami(ConnectInfo(visitor): ConnectInfo<SocketAddr>) -> String {
///     visitor.to_string()
/// }
/// let app = axum::Router::new().route("/whoami", axum::routing::get(whoami));
/// let app = ajp::server::with_remote_addr(app, ConnectInfo);
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:8009").await?;
/// ajp::server::serve(listener, app).with_secret(ajp::Secret::from_env("AJP_SECRET")?).await;
/// # Ok(())
/// # }
/// ```
pub fn with_remote_addr<S, F, T>(service: S, extension: F) -> WithRemoteAddr<S, F>
where
    F: Fn(SocketAddr) -> T,
    T: Clone + Send + Sync + 'static,
{
    WithRemoteAddr { service, extension }
}

/// A service whose requests have the address of their client: see [`with_remote_addr`].
#[derive(Debug, Clone)]
pub struct WithRemoteAddr<S, F> {
    service: S,
    extension: F,
}

impl<S, F, T, B> Service<Request<B>> for WithRemoteAddr<S, F>
where
    S: Service<Request<B>>,
    F: Fn(SocketAddr) -> T,
    T: Clone + Send + Sync + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> S::Future {
        let claims = request.extensions().get::<RequestClaims>();
        if let Some(address) = claims.and_then(RequestClaims::remote_socket_addr) {
            let extension = (self.extension)(address);
            request.extensions_mut().insert(extension);
        }
        self.service.call(request)
    }
}
