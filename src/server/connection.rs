//! One connection in the container: what happens between exchanges.

use super::admission::admit;
use super::closing::Closing;
use super::config::ServerConfig;
#[cfg(feature = "tracing")]
use super::error::Chain;
use super::error::{ServerError, Step};
use super::monitor::Meter;
use super::refusal::OwnAnswer;
use crate::net::{Buffered, Deadline, ReadError};
use crate::proto::{Idle, IdleEvent, ServerExchange};
use crate::trace::event;
use crate::wire::{CPONG, DecodeError, Direction, Field, ForwardRequest, HeaderSink, NoSink};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite};

/// One connection in the container.
///
/// Call [`next_request`](Self::next_request), answer it with
/// [`send_headers`](Self::send_headers), [`send_data`](Self::send_data) and
/// [`finish`](Self::finish), and begin again if `finish` says so. In between,
/// [`poll_exchange`](Self::poll_exchange) moves bytes in both directions. Its time limits need a
/// tokio runtime with time, whatever the stream is; without one its methods that wait panic.
///
/// ```
/// use ajp::proto::BodyEvent;
/// use ajp::server::{Connection, ServerError};
/// use ajp::wire::SendHeadersWriter;
/// use std::future::poll_fn;
/// use tokio::io::{AsyncRead, AsyncWrite};
///
/// /// Answers each request with the body that it has.
/// async fn echo<S>(mut connection: Connection<S>) -> Result<(), ServerError>
/// where
///     S: AsyncRead + AsyncWrite + Unpin,
/// {
///     while connection.next_request().await?.is_some() {
///         let head = connection.send_headers(200, |buffer, size| {
///             SendHeadersWriter::new(buffer, size, 200)?.finish();
///             Ok(None)
///         });
///         head.map_err(ServerError::ResponseHead)?;
///         while connection.exchange().is_some_and(|exchange| !exchange.is_body_complete()) {
///             connection.request_body(0);
///             let event = poll_fn(|cx| connection.poll_exchange(cx, true)).await?;
///             if let BodyEvent::Data(data) = event {
///                 connection.send_data(data)?;
///             }
///             if connection.is_backed_up() {
///                 poll_fn(|cx| connection.poll_flush(cx)).await?;
///             }
///         }
///         if !connection.finish(true).await? {
///             break;
///         }
///     }
///     Ok(())
/// }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use ajp::client::{Address, Client, Pool, PoolConfig};
/// # use ajp::server::{ServerConfig, Trust};
/// # use http_body_util::{BodyExt, Full};
/// # let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
/// # let address = Address::from(listener.local_addr()?);
/// # tokio::spawn(async move {
/// #     let (stream, _) = listener.accept().await.unwrap();
/// #     let config = ServerConfig::new(Trust::TrustedNetwork).with_high_water(1000);
/// #     echo(Connection::new(stream, config.into())).await.unwrap();
/// # });
/// # let client = Client::for_own_requests(Pool::new(address, PoolConfig::default()));
/// # for len in [100_000, 0] {
/// #     let body = bytes::Bytes::from(vec![b'x'; len]);
/// #     let request = http::Request::post("/").body(Full::new(body.clone()))?;
/// #     let response = client.send(request).await?;
/// #     assert_eq!(response.into_body().collect().await?.to_bytes(), body);
/// # }
/// # assert_eq!(client.pool().stats().created, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Connection<S> {
    pub(super) io: Buffered<S>,
    pub(super) config: Arc<ServerConfig>,
    pub(super) idle: Idle,
    pub(super) exchange: Option<ServerExchange>,
    pub(super) closing: Option<Box<Closing>>,
    pub(super) meter: Meter,
    pub(super) read_limit: Deadline,
    write_limit: Deadline,
    /// How many bytes had been written when the write limit was set: more means progress, and
    /// sets it anew.
    written_mark: u64,
    /// Requests so far.
    pub(super) requests: u64,
    pub(super) packet_started: bool,
    /// Response bytes went out that no flush packet followed.
    pub(super) unflushed: bool,
    pub(super) mode: Mode,
}

/// Why a connection takes no more requests as usual; by default it serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Mode {
    /// To end what has begun, as the server shuts down.
    pub(super) draining: bool,
    /// To say that there are too many connections.
    pub(super) overloaded: bool,
}

impl Mode {
    /// Neither of them.
    pub(super) fn is_serving(self) -> bool {
        self == Self::default()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Wraps a stream that a web server has opened.
    pub fn new(io: S, config: Arc<ServerConfig>) -> Self {
        Self {
            io: Buffered::new(io, Direction::ToContainer, config.packet_size),
            meter: Meter::new(&config.monitor),
            config,
            idle: Idle::new(),
            exchange: None,
            closing: None,
            read_limit: Deadline::default(),
            write_limit: Deadline::default(),
            written_mark: 0,
            requests: 0,
            packet_started: false,
            unflushed: false,
            mode: Mode::default(),
        }
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &Arc<ServerConfig> {
        &self.config
    }

    /// Bytes received and sent so far.
    #[must_use]
    pub fn traffic(&self) -> (u64, u64) {
        self.io.traffic()
    }

    /// Bytes of the packets taken so far, and bytes sent.
    pub(crate) fn consumed(&self) -> (u64, u64) {
        self.io.consumed()
    }

    /// The server shuts down: from now on there is no CPong, every exchange ends with
    /// reuse 0, and an idle connection takes a request only until the
    /// [last call](super::ServerTimeouts::with_last_call) is over.
    pub fn drain(&mut self) {
        if !self.mode.draining {
            self.mode.draining = true;
            if self.exchange.is_none() && !self.packet_started {
                self.read_limit.set(None);
            }
        }
    }

    /// There are too many connections: from now on there is no CPong, and a request is
    /// answered with 503.
    pub fn overload(&mut self) {
        self.mode.overloaded = true;
    }

    /// The next request that passed all checks (secret, attributes, Host, body length); `None` when the
    /// web server closed or stayed idle too long, and when the connection is not to be
    /// used any more. CPing is answered on the way.
    ///
    /// # Errors
    /// [`ServerError`]. A refused or malformed request has been answered then; the connection
    /// can only be dropped.
    ///
    /// # Cancel safety
    /// Safe: no byte is lost, and an answer that is under way is continued by the next call.
    pub async fn next_request(&mut self) -> Result<Option<ForwardRequest>, ServerError> {
        poll_fn(|cx| self.poll_next_request(cx, &mut NoSink)).await
    }

    /// As [`next_request`](Self::next_request), and gives the headers of the request to `sink`;
    /// also those of a request that is refused then, after which there is no other.
    pub(crate) fn poll_next_request<H: HeaderSink>(
        &mut self,
        cx: &mut Context<'_>,
        sink: &mut H,
    ) -> Poll<Result<Option<ForwardRequest>, ServerError>> {
        loop {
            if self.closing.is_some() {
                let error = ready!(self.poll_close(cx));
                return Poll::Ready(error.map_or(Ok(None), Err));
            }
            let event = match ready!(self.poll_idle(cx, sink)) {
                Ok(Some(event)) => event,
                Ok(None) => return Poll::Ready(Ok(None)),
                Err(IdleError::TooLong(error)) => IdleEvent::BadRequest(error),
                Err(IdleError::Other(error)) => return Poll::Ready(Err(error)),
            };
            match event {
                IdleEvent::CPing if !self.mode.is_serving() => {
                    return Poll::Ready(Ok(None));
                }
                IdleEvent::CPing => {
                    self.meter.cping();
                    self.io.queue(&CPONG);
                }
                IdleEvent::StrayEmpty => {}
                IdleEvent::Close(error) => return Poll::Ready(Err(error.into())),
                IdleEvent::BadRequest(error) => {
                    self.meter.malformed();
                    sink.discard();
                    self.refuse(OwnAnswer::MALFORMED, ServerError::BadRequest(error.into()));
                }
                IdleEvent::Request(request) => {
                    let head = request.method() == b"HEAD";
                    // Also for a refusal: the answer to HEAD has no body.
                    let exchange = ServerExchange::new(request.framing(), head, self.io.size());
                    self.exchange = Some(exchange.with_body_requests(self.config.body_requests));
                    self.requests += 1;
                    if let Err(refusal) = admit(&self.config, &request, self.mode) {
                        self.meter.refused(&refusal);
                        sink.discard();
                        if let Some(answer) = refusal.answer() {
                            self.refuse(answer, ServerError::Refused(refusal));
                            continue;
                        }
                        return Poll::Ready(Err(ServerError::Refused(refusal)));
                    }
                    self.unflushed = false;
                    self.meter.exchange_begins();
                    return Poll::Ready(Ok(Some(request)));
                }
            }
        }
    }

    fn poll_idle<H: HeaderSink>(
        &mut self,
        cx: &mut Context<'_>,
        sink: &mut H,
    ) -> Poll<Result<Option<IdleEvent>, IdleError>> {
        // A CPong may still be on its way.
        if !self.io.is_flushed() && self.poll_flush(cx).map_err(IdleError::Other)?.is_pending() {
            return Poll::Pending;
        }
        let read = self.io.poll_payload(cx);
        self.meter.traffic(self.io.traffic());
        match read {
            Poll::Ready(Ok(Some(payload))) => {
                self.read_limit.set(None);
                let decode = self.config.decode;
                let event = self.idle.receive_into(payload, decode, sink);
                Poll::Ready(Ok(Some(event)))
            }
            Poll::Ready(Ok(None)) => Poll::Ready(Ok(None)),
            Poll::Ready(Err(ReadError::Frame(error))) if error.field() == Field::PayloadLength => {
                Poll::Ready(Err(IdleError::TooLong(error)))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(IdleError::Other(read_error(error)))),
            Poll::Pending => {
                self.io.release_buffers();
                let started = self.io.has_unread();
                // Two limits: idle until the first byte of a packet, then the packet's own.
                if !self.read_limit.is_set() || started != self.packet_started {
                    self.packet_started = started;
                    let limits = &self.config.timeouts;
                    self.read_limit.set(match self.mode {
                        _ if started => limits.packet,
                        Mode { draining: true, .. } => Some(limits.last_call),
                        _ if self.io.traffic().0 == 0 => limits.first,
                        _ => limits.idle,
                    });
                }
                ready!(self.read_limit.poll(cx));
                let timeout = IdleError::Other(ServerError::Timeout(Step::Packet));
                Poll::Ready(if started { Err(timeout) } else { Ok(None) })
            }
        }
    }

    /// Answers a request without the application. The connection closes.
    fn refuse(&mut self, answer: OwnAnswer, error: ServerError) {
        event!(DEBUG, error = %Chain(&error), "AJP request refused");
        self.queue_answer(answer);
        self.close_with(Some(error));
    }

    /// Writes what is queued, within the [write limit](super::ServerTimeouts::with_write); ready
    /// when nothing is left. [`poll_exchange`](Self::poll_exchange) and
    /// [`finish`](Self::finish) do it too. This is for an application that has more to send than
    /// may wait ([`is_backed_up`](Self::is_backed_up)) and nothing to read: `poll_exchange` is
    /// pending then however much was written.
    ///
    /// # Errors
    /// [`ServerError`]; the connection can only be dropped.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ServerError>> {
        let flushed = self.io.poll_flush(cx);
        self.meter.traffic(self.io.traffic());
        match flushed {
            Poll::Ready(result) => {
                self.write_limit.set(None);
                Poll::Ready(result.map_err(ServerError::Io))
            }
            Poll::Pending => {
                let written = self.io.traffic().1;
                if !self.write_limit.is_set() || written != self.written_mark {
                    self.written_mark = written;
                    self.write_limit.set(self.config.timeouts.write);
                }
                ready!(self.write_limit.poll(cx));
                Poll::Ready(Err(ServerError::Timeout(Step::Write)))
            }
        }
    }
}

pub(super) fn read_error(error: ReadError) -> ServerError {
    match error {
        ReadError::Io(error) => ServerError::Io(error),
        ReadError::Truncated => ServerError::Closed("a packet"),
        ReadError::Frame(error) => ServerError::Protocol(error.into()),
        ReadError::OtherProtocol(other) => ServerError::OtherProtocol(other),
    }
}

enum IdleError {
    /// A request longer than the packet size allows: still answered.
    TooLong(DecodeError),
    Other(ServerError),
}
