//! HTTP requests over a pool of AJP connections.

mod announced;
mod attempt;
mod packet_size;
mod refused;
mod send;

pub(super) use send::{FactsSource, find_facts, send_with};

use super::request_facts::RequestFacts;
use super::response_body::ResponseBody;
use super::send_error::SendError;
use super::upload::Upload;
use crate::client::{ClientError, Pool};
use bytes::Buf;
use http::{Request, Response, request};
use http_body::Body;
use send::{exchange, prepare};
use std::error::Error as StdError;
use std::future::Future;

type BoxError = Box<dyn StdError + Send + Sync>;

/// Sends HTTP requests to one container. Cheap to clone; clones share the pool.
///
/// A container believes what it is told about the HTTP client of a request, such as its address.
/// So every request needs [`RequestFacts`], in its extensions or as an argument of
/// [`send_parts`](Self::send_parts); a request without is refused with
/// [`ErrorKind::MissingFacts`](crate::client::ErrorKind::MissingFacts).
///
/// It is a `tower_service::Service<http::Request<B>>`.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use ajp::client::{Address, Client, Pool, PoolConfig, RequestFacts};
/// let address: Address = "ajp://127.0.0.1:8009".parse()?;
/// let client = Client::new(Pool::new(address, PoolConfig::default()));
/// // As a web server knows them of the connection that the request came over.
/// let (remote, local) = (([192, 0, 2, 10], 51234).into(), ([192, 0, 2, 1], 80).into());
/// let request = http::Request::get("http://app.example/hello")
///     .extension(RequestFacts::from_connection(remote, local))
///     .body(http_body_util::Empty::<bytes::Bytes>::new())?;
/// let response = client.send(request).await?;
/// assert_eq!(response.status(), 200);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Client {
    pool: Pool,
    own_requests: bool,
}

impl Client {
    /// A client over this pool, for requests that somebody has sent: each of them needs
    /// [`RequestFacts`].
    #[must_use]
    pub fn new(pool: Pool) -> Self {
        Self {
            pool,
            own_requests: false,
        }
    }

    /// A client over this pool, for requests that this program makes itself: those without
    /// [`RequestFacts`] are sent with [`RequestFacts::own_request`].
    ///
    /// Never pass a request on with it that somebody has sent: the container would take this
    /// machine for its client.
    #[must_use]
    pub fn for_own_requests(pool: Pool) -> Self {
        Self {
            pool,
            own_requests: true,
        }
    }

    /// The pool.
    #[must_use]
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Sends a request and waits for the head of the response.
    ///
    /// [`RequestFacts`] and [`RequestTimeouts`](crate::client::RequestTimeouts) are taken from the request's extensions. Trailers of
    /// the request body are left out, as AJP has none (RFC 9110 section 6.5.1 allows it). The
    /// request body is only polled when the container waits for data; an announced length is
    /// enforced. A connection that turns out stale before the request is written is replaced once
    /// by a fresh one; after that only idempotent requests ([`Idempotent`](crate::client::Idempotent), or else the method) of
    /// which no body was taken are sent again (protocol chapter
    /// [exchange](crate::docs::protocol::exchange#sending-a-request-again)).
    ///
    /// # Errors
    /// [`ClientError`]: which step failed, how far it got, and whether a retry is safe.
    /// [`try_send`](Self::try_send) also gives the request back.
    ///
    /// # Cancel safety
    /// Safe for the pool: dropping the future closes the connection. The container may
    /// have acted on the request.
    pub fn send<B>(
        &self,
        request: Request<B>,
    ) -> impl Future<Output = Result<Response<ResponseBody>, ClientError>> + Send
    where
        B: Body<Data: Buf, Error: Into<BoxError>> + Send + 'static,
    {
        let (parts, body) = request.into_parts();
        let source = FactsSource::Extensions {
            own_requests: self.own_requests,
        };
        let finish = ResponseBody::into_response;
        send_with(&self.pool, parts, source, body, finish)
    }

    /// As [`send`](Self::send), of a head that stays with the caller, and with facts that
    /// are not in its extensions: for web servers that know them by connection, or want the
    /// head again.
    ///
    /// ```no_run
    /// # async fn example(client: ajp::client::Client, request: http::Request<http_body_util::Empty<bytes::Bytes>>,
    /// #     facts: ajp::client::RequestFacts) -> Result<(), ajp::client::ClientError> {
    /// let (parts, body) = request.into_parts();
    /// let response = client.send_parts(&parts, &facts, body).await?;
    /// println!("{} {}: {}", parts.method, parts.uri, response.status());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`send`](Self::send).
    ///
    /// # Cancel safety
    /// As [`send`](Self::send).
    pub fn send_parts<B>(
        &self,
        parts: &request::Parts,
        facts: &RequestFacts,
        body: B,
    ) -> impl Future<Output = Result<Response<ResponseBody>, ClientError>> + Send
    where
        B: Body<Data: Buf, Error: Into<BoxError>> + Send + 'static,
    {
        let (source, finish) = (
            FactsSource::Given(facts.into()),
            ResponseBody::into_response,
        );
        send_with(&self.pool, parts, source, body, finish)
    }

    /// As [`send`](Self::send), with the request in the error as long as its body was not
    /// read from: for callers that have another container to send it to.
    ///
    /// ```no_run
    /// # async fn example<B>(here: ajp::client::Client, there: ajp::client::Client, request: http::Request<B>)
    /// # -> Result<(), ajp::client::ClientError>
    /// # where B: http_body::Body<Data = bytes::Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
    /// # {
    /// let response = match here.try_send(request).await {
    ///     Ok(response) => response,
    ///     Err(error) => there.send(error.into_retry()?).await?,
    /// };
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`SendError`], with the same [`ClientError`] inside.
    ///
    /// # Cancel safety
    /// As [`send`](Self::send); the request is dropped with the future.
    pub fn try_send<B>(
        &self,
        request: Request<B>,
    ) -> impl Future<Output = Result<Response<ResponseBody>, SendError<B>>> + Send
    where
        B: Body<Data: Buf, Error: Into<BoxError>> + Send + 'static,
    {
        let (parts, body) = request.into_parts();
        let mut body = Some(body);
        let prepared = prepare(&parts, &mut body);
        // Not an `async fn`: that would keep room for the request twice.
        async move {
            let mut upload = Upload::default();
            let sent = match prepared {
                Ok((framing, prepared)) => {
                    upload = prepared;
                    let source = FactsSource::Extensions {
                        own_requests: self.own_requests,
                    };
                    exchange(&self.pool, &parts, source, framing, &mut upload).await
                }
                Err(error) => Err(error),
            };
            sent.map(ResponseBody::into_response).map_err(|error| {
                let body = body.or_else(|| upload.into_unread());
                let error = error.of_request(parts.extensions.get());
                SendError::new(error, body.map(|body| Request::from_parts(parts, body)))
            })
        }
    }
}
