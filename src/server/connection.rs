//! One connection in the container.

use super::admission::admit;
use super::config::ServerConfig;
use super::error::{Error, Refusal, Step};
use crate::net::{Buffered, Deadline, ReadError};
use crate::proto::{BodyEvent, Finish, Idle, IdleEvent, ServerExchange};
use crate::trace::event;
use crate::wire::{
    CHUNK_TERMINATOR, CPONG, Direction, END_RESPONSE_CLOSE, END_RESPONSE_REUSE, EncodeError, FLUSH,
    Field, ForwardRequest, PacketSize, SendHeadersWriter, write_body_chunk,
};
use bytes::{Bytes, BytesMut};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::unconstrained;

/// One connection in the container.
///
/// Call [`next_request`](Self::next_request), answer it with
/// [`send_headers`](Self::send_headers), [`send_data`](Self::send_data) and
/// [`finish`](Self::finish), and begin again if `finish` says so. In between,
/// [`poll_exchange`](Self::poll_exchange) moves bytes in both directions.
#[derive(Debug)]
pub struct Connection<S> {
    io: Buffered<S>,
    config: Arc<ServerConfig>,
    idle: Idle,
    exchange: Option<ServerExchange>,
    read_limit: Deadline,
    write_limit: Deadline,
    written_mark: u64,
    packet_started: bool,
    /// Response bytes went out that no flush packet followed.
    unflushed: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Wraps a stream that a web server has opened.
    pub fn new(io: S, config: Arc<ServerConfig>) -> Self {
        Self {
            io: Buffered::new(io, Direction::ToContainer, config.packet_size),
            config,
            idle: Idle::new(),
            exchange: None,
            read_limit: Deadline::default(),
            write_limit: Deadline::default(),
            written_mark: 0,
            packet_started: false,
            unflushed: false,
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

    /// The next request that passed all checks of protocol checklist A.3; `None` when the
    /// web server closed, or stayed idle too long. CPing is answered on the way.
    ///
    /// # Errors
    /// [`Error`]. A refused or malformed request has been answered then; the connection
    /// can only be dropped.
    ///
    /// # Cancel safety
    /// Safe while the connection is idle: no byte is lost. Dropped while it refuses a
    /// request, the answer may be cut short.
    pub async fn next_request(&mut self) -> Result<Option<ForwardRequest>, Error> {
        loop {
            let event = match poll_fn(|cx| self.poll_idle(cx)).await {
                Ok(Some(event)) => event,
                Ok(None) => return Ok(None),
                Err(IdleError::TooLong(error)) => IdleEvent::BadRequest(error),
                Err(IdleError::Other(error)) => return Err(error),
            };
            match event {
                IdleEvent::CPing => self.io.queue(&CPONG),
                IdleEvent::StrayEmpty => {}
                IdleEvent::Close(error) => return Err(error.into()),
                IdleEvent::BadRequest(error) => {
                    event!(DEBUG, error = %error, "malformed AJP request answered with 400");
                    self.refuse(Refusal::MALFORMED).await?;
                    return Err(Error::BadRequest(error.into()));
                }
                IdleEvent::Request(request) => {
                    let head = request.method() == b"HEAD";
                    // Also for a refusal: the answer to HEAD has no body.
                    self.exchange =
                        Some(ServerExchange::new(request.framing(), head, self.io.size()));
                    if let Err(refusal) = admit(&self.config, &request) {
                        event!(
                            DEBUG,
                            status = refusal.status,
                            reason = refusal.reason,
                            "AJP request refused"
                        );
                        self.refuse(refusal).await?;
                        return Err(Error::Refused {
                            status: refusal.status,
                            reason: refusal.reason,
                        });
                    }
                    self.unflushed = false;
                    return Ok(Some(request));
                }
            }
        }
    }

    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<IdleEvent>, IdleError>> {
        // A CPong may still be on its way.
        if !self.io.is_flushed() && self.poll_flush(cx).map_err(IdleError::Other)?.is_pending() {
            return Poll::Pending;
        }
        match self.io.poll_payload(cx) {
            Poll::Ready(Ok(Some(payload))) => {
                self.read_limit.set(None);
                let event = self.idle.receive(payload, &self.config.decode);
                Poll::Ready(Ok(Some(event)))
            }
            Poll::Ready(Ok(None)) => Poll::Ready(Ok(None)),
            Poll::Ready(Err(ReadError::Frame(error))) if error.field() == Field::PayloadLength => {
                Poll::Ready(Err(IdleError::TooLong(error)))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(IdleError::Other(read_error(error)))),
            Poll::Pending => {
                let started = self.io.has_unread();
                // Two limits: idle until the first byte of a packet, then the packet's own.
                if !self.read_limit.is_set() || started != self.packet_started {
                    self.packet_started = started;
                    let limits = &self.config.timeouts;
                    self.read_limit
                        .set(if started { limits.packet } else { limits.idle });
                }
                ready!(self.read_limit.poll(cx));
                let timeout = IdleError::Other(Error::Timeout(Step::Packet));
                Poll::Ready(if started { Err(timeout) } else { Ok(None) })
            }
        }
    }

    /// Writes what is queued, within the write limit.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        match self.io.poll_flush(cx) {
            Poll::Ready(result) => {
                self.write_limit.set(None);
                Poll::Ready(result.map_err(Error::Io))
            }
            Poll::Pending => {
                let written = self.io.traffic().1;
                if !self.write_limit.is_set() || written != self.written_mark {
                    self.written_mark = written;
                    self.write_limit.set(self.config.timeouts.write);
                }
                ready!(self.write_limit.poll(cx));
                Poll::Ready(Err(Error::Timeout(Step::Write)))
            }
        }
    }

    /// The state of the running exchange.
    #[must_use]
    pub fn exchange(&self) -> Option<&ServerExchange> {
        self.exchange.as_ref()
    }

    /// Queues Get Body Chunk if the application wants data, none is owed and more can come.
    pub fn request_body(&mut self) {
        if let Some(packet) = self
            .exchange
            .as_mut()
            .and_then(ServerExchange::request_body)
        {
            self.io.queue(&packet);
        }
    }

    /// Writes what is queued and takes the next packet of the running exchange.
    /// `waiting` tells that the application waits for it, so the body limit runs.
    ///
    /// Poll it also when no body is expected: it notices when the web server goes away.
    ///
    /// # Errors
    /// [`Error`]; the connection can only be dropped.
    pub fn poll_exchange(
        &mut self,
        cx: &mut Context<'_>,
        waiting: bool,
    ) -> Poll<Result<BodyEvent, Error>> {
        // A write that blocks must not keep us from reading; a failed one ends it all.
        if let Poll::Ready(Err(error)) = self.poll_flush(cx) {
            return Poll::Ready(Err(error));
        }
        let Some(exchange) = &mut self.exchange else {
            return Poll::Ready(Err(Error::Closed("an exchange")));
        };
        match self.io.poll_payload(cx) {
            Poll::Ready(Ok(Some(payload))) => {
                self.read_limit.set(None);
                Poll::Ready(exchange.receive(&payload).map_err(Error::Protocol))
            }
            Poll::Ready(Ok(None)) => Poll::Ready(Err(Error::Closed("an exchange"))),
            Poll::Ready(Err(error)) => Poll::Ready(Err(read_error(error))),
            Poll::Pending if waiting && exchange.is_owed() => {
                if !self.read_limit.is_set() {
                    self.read_limit.set(self.config.timeouts.body);
                }
                ready!(self.read_limit.poll(cx));
                Poll::Ready(Err(Error::Timeout(Step::Body)))
            }
            Poll::Pending => {
                self.read_limit.set(None);
                Poll::Pending
            }
        }
    }

    /// Queues Send Headers. `encode` appends the packet and returns the Content-Length
    /// it announced.
    ///
    /// # Errors
    /// [`EncodeError`] of `encode`; nothing was queued, another head may be sent.
    pub fn send_headers<F>(&mut self, status: u16, encode: F) -> Result<(), EncodeError>
    where
        F: FnOnce(&mut BytesMut, PacketSize) -> Result<Option<u64>, EncodeError>,
    {
        let size = self.io.size();
        let length = encode(self.io.write_buffer(), size)?;
        if let Some(exchange) = &mut self.exchange {
            exchange.headers_sent(status, length);
        }
        self.unflushed = true;
        Ok(())
    }

    /// Queues response data as one or more Send Body Chunks; large data is not copied.
    ///
    /// # Errors
    /// [`Error::Aborted`] when the data goes beyond the announced Content-Length.
    pub fn send_data(&mut self, mut data: Bytes) -> Result<(), Error> {
        let max = self.io.size().max_body_chunk();
        let Some(exchange) = &mut self.exchange else {
            return Err(Error::Aborted("no exchange is running", None));
        };
        while !data.is_empty() {
            let part = data.split_to(data.len().min(max));
            let header = exchange
                .send_chunk(part.len())
                .map_err(|_| Error::Aborted("the body is longer than its Content-Length", None))?;
            self.io.queue(&header);
            self.io.queue_data(part);
            self.io.queue(&CHUNK_TERMINATOR);
        }
        self.unflushed = true;
        Ok(())
    }

    /// Asks the web server to pass on what it has, if anything was sent since the last time.
    pub fn send_flush(&mut self) {
        if std::mem::take(&mut self.unflushed) {
            self.io.queue(&FLUSH);
        }
    }

    /// Whether so much waits to be written that the response body should not be asked for
    /// more ([`ServerConfig::high_water`]).
    #[must_use]
    pub fn is_backed_up(&self) -> bool {
        self.io.queued() >= self.config.high_water
    }

    /// Ends the response: swallows the body packet that is still owed, sends End Response
    /// and tells whether the connection may serve another request. `keep` is false when
    /// the container wants to close.
    ///
    /// # Errors
    /// [`Error`]; the connection can only be dropped.
    ///
    /// # Cancel safety
    /// Not safe: drop the connection.
    pub async fn finish(&mut self, keep: bool) -> Result<bool, Error> {
        let swallowed = match self.exchange.as_ref().map(ServerExchange::finish) {
            Some(Finish::SwallowFirst) => {
                self.read_limit.set(self.config.timeouts.swallow);
                poll_fn(|cx| self.poll_swallow(cx)).await?
            }
            _ => true,
        };
        let Some(exchange) = self.exchange.take() else {
            return Err(Error::Aborted("no exchange is running", None));
        };
        // Nothing may be left over, not even the beginning of a next packet, and not in
        // the socket either. Without a budget: an exhausted one would look like silence.
        let reuse = keep
            && swallowed
            && exchange.finish() == (Finish::End { reuse: true })
            && unconstrained(poll_fn(|cx| Poll::Ready(self.io.is_quiet(cx)))).await;
        event!(
            TRACE,
            reuse,
            body = exchange.body_received(),
            "AJP exchange ended"
        );
        self.io.queue(if reuse {
            &END_RESPONSE_REUSE
        } else {
            &END_RESPONSE_CLOSE
        });
        poll_fn(|cx| self.poll_flush(cx)).await?;
        if reuse {
            self.idle.exchange_ended(&exchange);
            self.read_limit.set(None);
            self.packet_started = false;
            self.io.release_buffers();
        } else {
            self.linger().await;
        }
        Ok(reuse)
    }

    /// Reads and drops the owed packet; false when it did not come in time or was wrong.
    fn poll_swallow(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Error>> {
        if let Poll::Ready(Err(error)) = self.poll_flush(cx) {
            return Poll::Ready(Err(error));
        }
        match self.io.poll_payload(cx) {
            Poll::Ready(Ok(Some(payload))) => {
                let received = self
                    .exchange
                    .as_mut()
                    .map(|exchange| exchange.receive(&payload));
                Poll::Ready(Ok(matches!(received, Some(Ok(_)))))
            }
            Poll::Ready(_) => Poll::Ready(Ok(false)),
            Poll::Pending => self.read_limit.poll(cx).map(|()| Ok(false)),
        }
    }

    /// A whole answer without the application, then the end of the connection. Closing
    /// without an answer would make a proxy take the container for dead (section 6.7).
    async fn refuse(&mut self, refusal: Refusal) -> Result<(), Error> {
        self.queue_refusal(refusal);
        self.io.queue(&END_RESPONSE_CLOSE);
        poll_fn(|cx| self.poll_flush(cx)).await?;
        self.linger().await;
        Ok(())
    }

    /// Queues Send Headers and a one-line body.
    pub(crate) fn queue_refusal(&mut self, refusal: Refusal) {
        let size = self.io.size();
        let body = format!("{} {}\n", refusal.status, refusal.reason);
        let buffer = self.io.write_buffer();
        let head = SendHeadersWriter::new(buffer, size, refusal.status).and_then(|mut writer| {
            writer.header(b"Content-Type", b"text/plain; charset=utf-8")?;
            writer.header(b"Content-Length", body.len().to_string().as_bytes())?;
            writer.finish();
            Ok(())
        });
        let has_body = self
            .exchange
            .as_ref()
            .is_none_or(ServerExchange::response_has_body);
        let chunk = match head {
            Ok(()) if has_body => write_body_chunk(self.io.write_buffer(), body.as_bytes(), size),
            result => result,
        };
        // A fixed short text fits every packet size.
        debug_assert_eq!(chunk, Ok(()));
        if let Some(exchange) = &mut self.exchange {
            exchange.headers_sent(refusal.status, None);
        }
    }

    /// Ends the write side and reads what the peer may still send, so that our answer is
    /// not lost to a reset (section 4.18). Bounded in bytes and time.
    async fn linger(&mut self) {
        const LIMIT: Duration = Duration::from_secs(2);
        let mut bytes = self.io.size().bytes().saturating_mul(2);
        let drain = async {
            if poll_fn(|cx| self.io.poll_shutdown(cx)).await.is_ok() {
                // The connection is over either way.
                let _ = poll_fn(|cx| self.io.poll_drain(cx, &mut bytes)).await;
            }
        };
        let _ = tokio::time::timeout(LIMIT, drain).await;
    }
}

fn read_error(error: ReadError) -> Error {
    match error {
        ReadError::Io(error) => Error::Io(error),
        ReadError::Truncated => Error::Closed("a packet"),
        ReadError::Frame(error) => Error::Protocol(error.into()),
    }
}

enum IdleError {
    /// A request longer than the packet size allows: still answered.
    TooLong(crate::wire::DecodeError),
    Other(Error),
}
