//! One connection in the container: what happens inside an exchange.

use super::connection::{Connection, read_error};
use super::error::{ServerError, Step};
use crate::proto::{BodyEvent, Finish, ServerExchange};
use crate::trace::event;
use crate::wire::{CHUNK_TERMINATOR, END_RESPONSE_REUSE, EncodeError, FLUSH, PacketSize};
use bytes::{Bytes, BytesMut};
use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::unconstrained;

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// The state of the running exchange.
    #[must_use]
    pub fn exchange(&self) -> Option<&ServerExchange> {
        self.exchange.as_ref()
    }

    /// Queues Get Body Chunk packets if the application wants data and more can come: one
    /// if none is owed, or as many as [`body_requests`](super::ServerConfig::with_body_requests)
    /// allow. `buffered` is how many packets the application has not read yet; while they
    /// and those that are owed make more than half of what is allowed, nothing is asked for.
    pub fn request_body(&mut self, buffered: usize) {
        let Some(exchange) = &mut self.exchange else {
            return;
        };
        let most = usize::from(self.config.body_requests);
        let held = |exchange: &ServerExchange| buffered + usize::from(exchange.owed());
        if held(exchange) > most / 2 {
            return;
        }
        while held(exchange) < most {
            let Some(packet) = exchange.request_body() else {
                return;
            };
            self.io.queue(&packet);
        }
    }

    /// Writes what is queued and takes the next packet of the running exchange.
    /// `waiting` tells that the application waits for it, so the body limit runs.
    ///
    /// Poll it also when no body is expected: it notices when the web server goes away.
    ///
    /// # Errors
    /// [`ServerError`]; the connection can only be dropped.
    pub fn poll_exchange(
        &mut self,
        cx: &mut Context<'_>,
        waiting: bool,
    ) -> Poll<Result<BodyEvent, ServerError>> {
        // A write that blocks must not keep us from reading; a failed one ends it all.
        if let Poll::Ready(Err(error)) = self.poll_flush(cx) {
            return Poll::Ready(Err(error));
        }
        let Some(exchange) = &mut self.exchange else {
            return Poll::Ready(Err(ServerError::Closed("an exchange")));
        };
        let read = self.io.poll_payload(cx);
        self.meter.traffic(self.io.traffic());
        match read {
            Poll::Ready(Ok(Some(payload))) => {
                self.read_limit.set(None);
                Poll::Ready(exchange.receive(&payload).map_err(ServerError::Protocol))
            }
            Poll::Ready(Ok(None)) => Poll::Ready(Err(ServerError::Closed("an exchange"))),
            Poll::Ready(Err(error)) => Poll::Ready(Err(read_error(error))),
            Poll::Pending if waiting && exchange.is_owed() => {
                if !self.read_limit.is_set() {
                    self.read_limit.set(self.config.timeouts.body);
                }
                ready!(self.read_limit.poll(cx));
                Poll::Ready(Err(ServerError::Timeout(Step::Body)))
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
    /// [`ServerError::Aborted`] when the data goes beyond the announced Content-Length.
    pub fn send_data(&mut self, mut data: Bytes) -> Result<(), ServerError> {
        let max = self.io.size().max_body_chunk();
        while !data.is_empty() {
            let part = data.split_to(data.len().min(max));
            self.send_chunk(part.len(), std::iter::once(part))?;
        }
        Ok(())
    }

    /// Queues one Send Body Chunk of parts that are so many bytes together.
    pub(crate) fn send_chunk(
        &mut self,
        len: usize,
        parts: impl Iterator<Item = Bytes>,
    ) -> Result<(), ServerError> {
        let Some(exchange) = &mut self.exchange else {
            return Err(ServerError::Aborted("no exchange is running", None));
        };
        let header = exchange.send_chunk(len).map_err(|_| {
            ServerError::Aborted("the body is longer than its Content-Length", None)
        })?;
        self.io.queue(&header);
        parts.for_each(|part| self.io.queue_data(part));
        self.io.queue(&CHUNK_TERMINATOR);
        self.unflushed = true;
        Ok(())
    }

    /// Most bytes of one Send Body Chunk.
    pub(crate) fn max_body_chunk(&self) -> usize {
        self.io.size().max_body_chunk()
    }

    /// Asks the web server to pass on what it has, if anything was sent since the last time.
    pub fn send_flush(&mut self) {
        if std::mem::take(&mut self.unflushed) {
            self.io.queue(&FLUSH);
        }
    }

    /// Whether so much waits to be written that the response body should not be asked for
    /// more ([`ServerConfig::with_high_water`](super::ServerConfig::with_high_water)).
    #[must_use]
    pub fn is_backed_up(&self) -> bool {
        self.io.queued() >= self.config.high_water
    }

    /// Bytes that wait to be written.
    pub(crate) fn queued(&self) -> usize {
        self.io.queued()
    }

    /// Ends the response: swallows the body packets that are still owed, sends End Response
    /// and tells whether the connection may serve another request. `keep` is false when
    /// the container wants to close; the server may have other reasons to.
    ///
    /// # Errors
    /// [`ServerError`]; the connection can only be dropped.
    ///
    /// # Cancel safety
    /// Not safe: drop the connection.
    pub async fn finish(&mut self, keep: bool) -> Result<bool, ServerError> {
        let wanted = keep && self.mode.is_serving() && !self.is_last_request();
        // What is owed to a connection that closes is read after End Response.
        let swallowed = !wanted || self.swallow().await?;
        let Some(exchange) = self.exchange.take() else {
            return Err(ServerError::Aborted("no exchange is running", None));
        };
        // Nothing may be left over, not even the beginning of a next packet, and not in
        // the socket either. Without a budget: an exhausted one would look like silence.
        let reuse = wanted
            && swallowed
            && exchange.finish() == (Finish::End { reuse: true })
            && unconstrained(poll_fn(|cx| Poll::Ready(self.io.is_quiet(cx)))).await;
        event!(
            TRACE,
            reuse,
            body = exchange.body_received(),
            "AJP exchange ended"
        );
        if !reuse {
            self.exchange = Some(exchange);
            self.close_with(None);
            let error = poll_fn(|cx| self.poll_close(cx)).await;
            return error.map_or(Ok(false), Err);
        }
        self.io.queue(&END_RESPONSE_REUSE);
        self.meter.exchange_ends();
        poll_fn(|cx| self.poll_flush(cx)).await?;
        self.idle.exchange_ended(&exchange);
        self.read_limit.set(None);
        self.packet_started = false;
        self.io.release_buffers();
        Ok(true)
    }

    /// Counts a request that was answered without the application after all.
    pub(crate) fn count_refusal(&self, refusal: &super::Refusal) {
        self.meter.refused(refusal);
    }

    /// Whether the running request is the last one this connection serves.
    fn is_last_request(&self) -> bool {
        let limit = self.config.max_requests;
        limit.is_some_and(|limit| self.requests >= limit)
    }

    /// Reads and drops what is owed; false when it did not come in time or was wrong.
    async fn swallow(&mut self) -> Result<bool, ServerError> {
        let owes = |exchange: &ServerExchange| exchange.finish() == Finish::ReadOwedBodyFirst;
        if self.exchange.as_ref().is_some_and(owes) {
            self.read_limit.set(self.config.timeouts.swallow);
        }
        while self.exchange.as_ref().is_some_and(owes) {
            if !poll_fn(|cx| self.poll_swallow(cx)).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Reads and drops one packet that is owed.
    fn poll_swallow(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, ServerError>> {
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
}
