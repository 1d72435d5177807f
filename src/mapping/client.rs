//! HTTP requests over a pool of AJP connections.

use super::request_encode::{ContainerFacts, write_request};
use super::request_facts::{OWN_REQUEST, RequestFacts};
use super::response_body::ResponseBody;
use super::response_decode::response_parts;
use super::send_error::SendError;
use super::upload::Upload;
use crate::client::repeat::{self, Idempotent, Repeat};
use crate::client::{ClientError, ErrorKind, Lease, Pool, RequestTimeouts, SecretChoice};
use crate::proto::Progress;
use crate::wire::BodyFraming;
use bytes::Buf;
use http::header::HeaderValue;
use http::{Method, Request, Response, request};
use http_body::Body;
use std::borrow::Borrow;
use std::error::Error as StdError;
use std::future::{Future, poll_fn};

type BoxError = Box<dyn StdError + Send + Sync>;

/// For requests without limits of their own.
static POOL_TIMEOUTS: RequestTimeouts = RequestTimeouts::new();

/// Sends HTTP requests to one container. Cheap to clone; clones share the pool.
///
/// A container believes what it is told about the HTTP client of a request, such as its address.
/// So every request needs [`RequestFacts`], in its extensions or as an argument of
/// [`send_parts`](Self::send_parts); a request without is refused with
/// [`ErrorKind::MissingFacts`].
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
    /// [`RequestFacts`] and [`RequestTimeouts`] are taken from the request's extensions. Trailers of
    /// the request body are left out, as AJP has none (RFC 9110 section 6.5.1 allows it). The
    /// request body is only polled when the container waits for data; an announced length is
    /// enforced. A connection that turns out stale before the request is written is replaced once
    /// by a fresh one; after that only idempotent requests ([`Idempotent`], or else the method) of
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
        send_with(&self.pool, parts, source, body)
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
        send_with(&self.pool, parts, FactsSource::Given(facts.into()), body)
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
            sent.map_err(|error| {
                let body = body.or_else(|| upload.into_unread());
                SendError::new(error, body.map(|body| Request::from_parts(parts, body)))
            })
        }
    }
}

/// Where the facts of a request are.
#[derive(Clone, Copy)]
pub(super) enum FactsSource<'a> {
    /// In its extensions. If there are none, the request is one of this program's own, or it is
    /// refused.
    Extensions { own_requests: bool },
    /// The caller has them.
    Given(ContainerFacts<'a>),
}

impl<'a> FactsSource<'a> {
    fn find(self, parts: &'a request::Parts) -> Result<ContainerFacts<'a>, ClientError> {
        match self {
            Self::Given(facts) => Ok(facts),
            Self::Extensions { own_requests } => {
                find_facts(parts, own_requests).map(ContainerFacts::from)
            }
        }
    }
}

/// The facts in the extensions of a request, or those of a request of this program's own.
pub(super) fn find_facts(
    parts: &request::Parts,
    own_requests: bool,
) -> Result<&RequestFacts, ClientError> {
    match parts.extensions.get() {
        Some(facts) => Ok(facts),
        None if own_requests => Ok(&OWN_REQUEST),
        None => Err(ClientError::new(
            ErrorKind::MissingFacts,
            "put `RequestFacts` into its extensions, or send a request of your own with \
             `Client::for_own_requests` or `BalancerConfig::with_own_requests`",
        )),
    }
}

/// Sends to the container of a pool.
pub(super) fn send_with<B>(
    pool: &Pool,
    parts: impl Borrow<request::Parts> + Send,
    source: FactsSource<'_>,
    body: B,
) -> impl Future<Output = Result<Response<ResponseBody>, ClientError>> + Send
where
    B: Body<Data: Buf, Error: Into<BoxError>> + Send + 'static,
{
    let prepared = prepare(parts.borrow(), &mut Some(body));
    async move {
        let (framing, mut upload) = prepared?;
        exchange(pool, parts.borrow(), source, framing, &mut upload).await
    }
}

/// The request body is back after an error.
async fn exchange(
    pool: &Pool,
    parts: &request::Parts,
    source: FactsSource<'_>,
    framing: BodyFraming,
    upload: &mut Upload,
) -> Result<Response<ResponseBody>, ClientError> {
    check_uri_length(pool, parts)?;
    let facts = source.find(parts)?;
    let timeouts = parts.extensions.get().unwrap_or(&POOL_TIMEOUTS);
    let mut lease = pool.acquire_with(timeouts).await?;
    let mut first = Progress::NotSent;
    let mut secret = pool.choose_secret();
    let may_change = secret.is_one_of_several() && !facts.has_secret();
    if may_change {
        upload.keep_first();
    }
    loop {
        let reused = lease.is_reused();
        let started = start(lease, parts, facts, framing, upload, &secret);
        let mut body = started.map_err(|error| error.after(first))?;
        let mut head = None;
        let result = poll_fn(|cx| body.poll_head(cx, &mut head)).await;
        let error = match (result, &head) {
            (Ok(()), Some(head)) => {
                if may_change {
                    let is_refusal =
                        head.status() == 403 && poll_fn(|cx| body.poll_refusal(cx)).await;
                    if !is_refusal {
                        pool.secret_taken(&secret);
                    } else if secret.advance() && body.rewind() {
                        // The container looks at the secret before anything else, so this
                        // does no harm whatever the method is.
                        (*upload, _) = body.into_parts();
                        lease = Box::pin(pool.acquire_with(timeouts)).await?;
                        continue;
                    }
                }
                return Ok(response_parts(head).map(|()| body));
            }
            (Ok(()), None) => ClientError::bare(ErrorKind::Closed),
            (Err(error), _) => error,
        };
        let stale = reused && is_stale(&error) && body.is_unanswered();
        let rest;
        (*upload, rest) = body.into_parts();
        let again = stale && {
            let whole_body = match error.progress() {
                Progress::NotSent => upload.rewind(),
                Progress::RequestSent => !upload.is_touched(),
                _ => false,
            };
            let idempotent = Idempotent::of(&parts.method, &parts.extensions);
            repeat::after_error(&error, idempotent, whole_body) != Repeat::No
        };
        let error = error.after(first);
        if !again {
            return Err(error);
        }
        first = error.progress();
        // Once: a fresh connection is never "reused". Rare, and a large future.
        let reopened = Box::pin(rest.reopen()).await;
        lease = reopened.map_err(|error| error.after(first))?;
    }
}

/// Starts an exchange, which is not polled yet. It takes the upload unless there is an error.
fn start(
    lease: Lease,
    parts: &request::Parts,
    facts: ContainerFacts<'_>,
    framing: BodyFraming,
    upload: &mut Upload,
    secret: &SecretChoice,
) -> Result<ResponseBody, ClientError> {
    let exchange = lease.begin_acquired(parts.method == Method::HEAD, |buffer, size| {
        write_request(buffer, size, parts, facts, framing, secret.secret())
    })?;
    Ok(ResponseBody::new(exchange, std::mem::take(upload)))
}

/// Checks a request and takes its body, if that has anything to give.
fn prepare<B>(
    parts: &request::Parts,
    body: &mut Option<B>,
) -> Result<(BodyFraming, Upload), ClientError>
where
    B: Body<Data: Buf, Error: Into<BoxError>> + Send + 'static,
{
    let heads = check(parts)?;
    let framing = framing(&heads, body.as_ref())?;
    Ok((framing, Upload::new(body, framing)))
}

/// A path and query that alone are longer than a packet are refused with an error of their
/// own (RFC 9110 section 15.5.15), before a connection is taken.
fn check_uri_length(pool: &Pool, parts: &request::Parts) -> Result<(), ClientError> {
    let len = parts
        .uri
        .path_and_query()
        .map_or(0, |uri| uri.as_str().len());
    let size = pool.config().packet_size().bytes();
    if len < size {
        return Ok(());
    }
    let text = format!("path and query are {len} bytes, a packet has at most {size}");
    Err(ClientError::new(ErrorKind::UriTooLong, text))
}

/// Whether a reused connection had gone away.
fn is_stale(error: &ClientError) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Closed | ErrorKind::Read | ErrorKind::Write
    )
}

/// The headers that say how the body is announced.
#[derive(Default)]
struct Announced<'a> {
    coding: Option<&'a HeaderValue>,
    length: Option<&'a HeaderValue>,
}

/// What AJP cannot carry is refused before a connection is taken. One walk over the headers
/// costs less than to look for each of these names.
fn check(parts: &request::Parts) -> Result<Announced<'_>, ClientError> {
    if parts.method == Method::CONNECT {
        return Err(ClientError::new(
            ErrorKind::UpgradeNotSupported,
            "AJP has no CONNECT",
        ));
    }
    let twice = |text| Err(ClientError::new(ErrorKind::InvalidRequest, text));
    let mut announced = Announced::default();
    let mut has_host = false;
    for (name, value) in &parts.headers {
        match name.as_str() {
            "host" if has_host => return twice("more than one Host"),
            "host" => has_host = true,
            "upgrade" if value.as_bytes().split(|&b| b == b',').any(is_real_upgrade) => {
                return Err(ClientError::new(
                    ErrorKind::UpgradeNotSupported,
                    "AJP has no WebSocket and no other upgrade",
                ));
            }
            "transfer-encoding" if announced.coding.is_some() => {
                return Err(ClientError::new(
                    ErrorKind::UnsupportedTransferEncoding,
                    "more than one Transfer-Encoding",
                ));
            }
            "transfer-encoding" => announced.coding = Some(value),
            "content-length" if announced.length.is_some() => {
                return twice("more than one Content-Length");
            }
            "content-length" => announced.length = Some(value),
            _ => {}
        }
    }
    Ok(announced)
}

/// Whether an offered protocol is another one than HTTP. The offer of another HTTP version
/// comes with ordinary requests and is declined by not answering it.
fn is_real_upgrade(protocol: &[u8]) -> bool {
    let name = protocol.split(|&b| b == b'/').next().unwrap_or_default();
    let name = name.trim_ascii();
    !name.is_empty() && !name.eq_ignore_ascii_case(b"h2c") && !name.eq_ignore_ascii_case(b"http")
}

/// How the request announces its body (protocol chapter
/// [framing](crate::docs::protocol::framing#requests)).
fn framing<B: Body>(
    announced: &Announced<'_>,
    body: Option<&B>,
) -> Result<BodyFraming, ClientError> {
    let exact = body.map_or(Some(0), |body| body.size_hint().exact());
    match (announced.coding, announced.length) {
        (Some(_), Some(_)) => Err(ClientError::new(
            ErrorKind::InvalidRequest,
            "both Content-Length and Transfer-Encoding",
        )),
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => {
            Ok(BodyFraming::Chunked)
        }
        (Some(_), None) => Err(ClientError::new(
            ErrorKind::UnsupportedTransferEncoding,
            "only \"chunked\" is supported",
        )),
        (None, Some(length)) => {
            let length = crate::wire::parse_content_length(length.as_bytes()).ok_or_else(|| {
                ClientError::new(ErrorKind::InvalidRequest, "Content-Length is not a number")
            })?;
            match exact {
                Some(exact) if exact != length => Err(ClientError::new(
                    ErrorKind::BodyLength,
                    format!("Content-Length is {length}, the body has {exact} bytes"),
                )),
                _ => Ok(BodyFraming::Length(length)),
            }
        }
        (None, None) if body.is_none_or(Body::is_end_stream) => Ok(BodyFraming::Length(0)),
        (None, None) => Ok(exact.map_or(BodyFraming::Chunked, BodyFraming::Length)),
    }
}
