//! One connection with a service: one task owns the socket and polls the service.

use super::exchange::exchange;
use crate::common::WhenWoken;
use crate::mapping::request_body::RequestBody;
use crate::server::{Connection, ServerConfig, ServerError};
use bytes::Buf;
use http::{HeaderMap, Request, Response};
use http_body::Body;
use std::error::Error as StdError;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tower_service::Service;

pub(super) type BoxError = Box<dyn StdError + Send + Sync>;

/// Serves one connection that a web server has opened, over any byte stream.
///
/// `draining` completes when the server shuts down: there is no CPong any more, a running
/// exchange ends with reuse 0, and an idle connection closes after the
/// [last call](crate::server::ServerTimeouts::with_last_call). Pass [`std::future::pending`] to
/// serve until the web server closes.
///
/// Neither the stream nor the service need be `Send`, and nothing is spawned, so it runs in a
/// `LocalSet` and beside anything else. Its time limits need a tokio runtime with time; without
/// one it panics.
///
/// ```
/// use ajp::server::{ServerConfig, Trust, serve_connection};
/// use bytes::Bytes;
/// use http_body_util::Full;
/// use std::{cell::Cell, convert::Infallible, rc::Rc};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use ajp::client::{Address, Client, Pool, PoolConfig};
/// # use http_body_util::{BodyExt, Empty};
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
/// # let address = Address::from(listener.local_addr()?);
/// let visits = Rc::new(Cell::new(0));
/// let app = tower::service_fn(|_: http::Request<_>| {
///     let visits = Rc::clone(&visits);
///     async move {
///         visits.set(visits.get() + 1);
///         let body = Full::new(Bytes::from(visits.get().to_string()));
///         Ok::<_, Infallible>(http::Response::new(body))
///     }
/// });
/// let serving = async {
///     let (stream, _) = listener.accept().await?;
///     let config = ServerConfig::new(Trust::TrustedNetwork);
///     serve_connection(stream, app, config.into(), std::future::pending()).await?;
///     Ok::<_, Box<dyn std::error::Error>>(())
/// };
/// # let visiting = async {
/// #     let client = Client::for_own_requests(Pool::new(address, PoolConfig::default()));
/// #     for visit in ["1", "2"] {
/// #         let request = http::Request::get("/").body(Empty::<Bytes>::new())?;
/// #         let body = client.send(request).await?.into_body().collect().await?;
/// #         assert_eq!(body.to_bytes(), visit);
/// #     }
/// #     Ok::<_, Box<dyn std::error::Error>>(())
/// # };
/// # tokio::try_join!(serving, visiting)?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`ServerError`] when the connection ended otherwise than by the web server closing it
/// between requests. An exchange that failed ends its connection.
///
/// # Cancel safety
/// Dropping the future cuts the connection.
pub async fn serve_connection<I, S, B>(
    io: I,
    service: S,
    config: Arc<ServerConfig>,
    draining: impl Future<Output = ()>,
) -> Result<(), ServerError>
where
    I: AsyncRead + AsyncWrite + Unpin,
    S: Service<Request<RequestBody>, Response = Response<B>, Error: Into<BoxError>>,
    B: Body<Data: Buf, Error: Into<BoxError>>,
{
    serve_requests(Connection::new(io, config), service, draining).await
}

pub(super) async fn serve_requests<I, S, B>(
    mut connection: Connection<I>,
    mut service: S,
    draining: impl Future<Output = ()>,
) -> Result<(), ServerError>
where
    I: AsyncRead + AsyncWrite + Unpin,
    S: Service<Request<RequestBody>, Response = Response<B>, Error: Into<BoxError>>,
    B: Body<Data: Buf, Error: Into<BoxError>>,
{
    let draining = pin!(draining);
    // It completes once, and every request polls it several times.
    let mut draining = WhenWoken::new(draining);
    let mut stop = false;
    let ended = loop {
        // Filled by the walk that checks the packet, and emptied if the request is refused.
        let mut headers = HeaderMap::new();
        let next = poll_fn(|cx| {
            if !stop && Pin::new(&mut draining).poll(cx).is_ready() {
                stop = true;
                connection.drain();
            }
            connection.poll_next_request(cx, &mut headers)
        });
        let request = match next.await {
            Ok(Some(request)) => request,
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        };
        // On the heap, so that an idle connection is spared its size.
        let exchange = Box::pin(exchange(
            &mut connection,
            &mut service,
            (request, headers),
            Pin::new(&mut draining),
            &mut stop,
        ));
        match exchange.await {
            Ok(true) => {}
            Ok(false) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    if let Err(error) = &ended {
        connection.config().monitor.ended(error);
    }
    ended
}
