//! One request and its response, driven by whoever polls it.

use super::config::Timeouts;
use super::connection::{Connection, read_error};
use super::error::{Error, ErrorKind};
use super::pool::Lease;
use crate::net::{Buffered, Deadline};
use crate::proto::{ClientEvent, ClientExchange, Progress, ProtocolError};
use crate::trace::event;
use crate::wire::ToWebServer;
use bytes::Bytes;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

/// One exchange on one connection.
///
/// Poll [`next_event`](Self::next_event) to move it forward in both directions. Whenever
/// [`credit`](Self::credit) says that the container waits for a body packet, give it data
/// with [`send_body`](Self::send_body) or end the body with
/// [`send_end_of_body`](Self::send_end_of_body).
///
/// After [`ClientEvent::End`] the connection went back to the pool if all seven conditions
/// of protocol section 4.11 hold; otherwise, and when the exchange is dropped before,
/// it is closed.
#[derive(Debug)]
pub struct Exchange {
    lease: Lease,
    machine: ClientExchange,
    timeouts: Timeouts,
    write_limit: Deadline,
    read_limit: Deadline,
    /// `bytes_out` when the write limit was set; progress moves the limit.
    written_mark: u64,
    /// `bytes_out` as last seen, and where the Forward Request ends in it.
    written: u64,
    request_end: u64,
    got_packet: bool,
    /// `bytes_in` when the exchange began.
    received_mark: u64,
    /// The exchange failed without a byte of an answer.
    unanswered: bool,
    write_error: Option<io::Error>,
}

impl Exchange {
    pub(super) fn new(lease: Lease, machine: ClientExchange, timeouts: Timeouts) -> Self {
        let connection = lease.connection.as_ref().map(|connection| &connection.io);
        let (received, written) = connection.map_or((0, 0), Buffered::traffic);
        let queued = connection.map_or(0, Buffered::queued);
        Self {
            received_mark: received,
            written,
            request_end: written.saturating_add(queued as u64),
            unanswered: false,
            lease,
            machine,
            timeouts,
            write_limit: Deadline::default(),
            read_limit: Deadline::default(),
            written_mark: 0,
            got_packet: false,
            write_error: None,
        }
    }

    /// How far the exchange has got. What the transport has taken counts as sent.
    #[must_use]
    pub fn progress(&self) -> Progress {
        match self.machine.progress() {
            Progress::Responding => Progress::Responding,
            _ if self.written < self.request_end => Progress::NotSent,
            _ if self.written == self.request_end => Progress::RequestSent,
            queued => queued.max(Progress::RequestSent),
        }
    }

    /// Whether the connection served an exchange before this one.
    #[must_use]
    pub fn is_reused(&self) -> bool {
        self.lease.is_reused()
    }

    /// The container as named in errors.
    #[must_use]
    pub fn peer(&self) -> &str {
        &self.lease.peer
    }

    /// Most body bytes the container waits for now; `None` when it waits for none, and
    /// `Some(0)` when only end of body is left to send.
    #[must_use]
    pub fn credit(&self) -> Option<usize> {
        self.machine.credit()
    }

    /// Request body bytes still promised by Content-Length.
    #[must_use]
    pub fn body_left(&self) -> Option<u64> {
        self.machine.body_left()
    }

    /// Response bytes still promised by Content-Length; `Some(0)` when none may come.
    #[must_use]
    pub fn response_left(&self) -> Option<u64> {
        self.machine.response_left()
    }

    /// Whether End Response came.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.machine.is_ended()
    }

    /// Whether the container refused the request itself: its secret, or a request attribute
    /// ([`ClientExchange::is_refusal`]).
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        self.machine.is_refusal()
    }

    /// Queues one body packet made of the first `len` bytes of `parts`, which are removed.
    /// It leaves with the next poll. Large parts are not copied.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`] when `len` is 0, exceeds [`credit`](Self::credit) or
    /// what `parts` hold.
    pub fn send_body(&mut self, parts: &mut VecDeque<Bytes>, len: usize) -> Result<(), Error> {
        let available = parts
            .iter()
            .fold(0usize, |sum, part| sum.saturating_add(part.len()));
        if len > available {
            return Err(self.fail(Error::new(
                ErrorKind::InvalidRequest,
                "fewer body bytes than announced",
            )));
        }
        let header = match self.machine.send_data(len) {
            Ok(header) => header,
            Err(error) => return Err(self.fail(Error::encode(error))),
        };
        let Some(Connection { io, .. }) = &mut self.lease.connection else {
            return Err(self.fail(Error::bare(ErrorKind::Closed)));
        };
        io.queue(&header);
        let mut left = len;
        while left > 0 {
            let Some(mut part) = parts.pop_front() else {
                break;
            };
            let piece = part.split_to(left.min(part.len()));
            left = left.saturating_sub(piece.len());
            if !part.is_empty() {
                parts.push_front(part);
            }
            io.queue_data(piece);
        }
        Ok(())
    }

    /// Queues the end-of-body packet that the container waits for. It means that the body
    /// is complete; if it is not, drop the exchange instead.
    ///
    /// # Errors
    /// [`ErrorKind::BodyLength`] when Content-Length promised more bytes.
    pub fn send_end_of_body(&mut self) -> Result<(), Error> {
        match self.machine.send_end() {
            Ok(packet) => {
                if let Some(connection) = &mut self.lease.connection {
                    connection.io.queue(&packet);
                }
                Ok(())
            }
            Err(error) => Err(self.fail(Error::new(ErrorKind::BodyLength, error))),
        }
    }

    /// The next event, having written what is queued.
    ///
    /// # Errors
    /// [`Error`]; the connection is closed and the exchange over.
    ///
    /// # Cancel safety
    /// Safe: no packet is lost; call again.
    pub async fn next_event(&mut self) -> Result<ClientEvent, Error> {
        poll_fn(|cx| self.poll_event(cx)).await
    }

    /// As [`next_event`](Self::next_event), for poll-based callers.
    ///
    /// # Errors
    /// As [`next_event`](Self::next_event).
    pub fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<ClientEvent, Error>> {
        if self.machine.is_ended() {
            return Poll::Ready(Ok(ClientEvent::End));
        }
        let result = self.poll_step(cx);
        if let Poll::Ready(Err(error)) = result {
            return Poll::Ready(Err(self.fail(error)));
        }
        result
    }

    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Result<ClientEvent, Error>> {
        let Some(connection) = &mut self.lease.connection else {
            return Poll::Ready(Err(Error::bare(ErrorKind::Closed)));
        };
        if self.write_error.is_none() && !connection.io.is_flushed() {
            let flushed = connection.io.poll_flush(cx);
            self.written = connection.io.traffic().1;
            match flushed {
                Poll::Ready(Ok(())) => {
                    self.machine.request_written();
                    self.write_limit.set(None);
                }
                // The container may have answered before it closed: read on, and report
                // this only if there is nothing to read.
                Poll::Ready(Err(error)) => self.write_error = Some(error),
                Poll::Pending => {
                    if !self.write_limit.is_set() || self.written != self.written_mark {
                        self.written_mark = self.written;
                        self.write_limit.set(self.timeouts.write);
                    }
                }
            }
        }
        match connection.io.poll_payload(cx) {
            Poll::Ready(Ok(Some(payload))) => {
                self.got_packet = true;
                self.read_limit.set(None);
                let packet = ToWebServer::parse(payload).map_err(ProtocolError::from);
                let unanswered = !connection.io.is_flushed() && self.write_error.is_none();
                Poll::Ready(match packet {
                    Ok(ToWebServer::GetBodyChunk { .. }) if unanswered => {
                        Err(Error::protocol(ProtocolError::BodyRequestedTwice))
                    }
                    Ok(packet) => match self.machine.receive(packet) {
                        Ok(ClientEvent::End) => {
                            self.end(cx);
                            Ok(ClientEvent::End)
                        }
                        other => other.map_err(Error::protocol),
                    },
                    Err(error) => Err(Error::protocol(error)),
                })
            }
            Poll::Ready(Ok(None)) => Poll::Ready(Err(self.closed(None))),
            Poll::Ready(Err(crate::net::ReadError::Io(error))) => {
                Poll::Ready(Err(self.closed(Some(error))))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(read_error(error, ErrorKind::Closed))),
            Poll::Pending => self.poll_limits(cx),
        }
    }

    fn poll_limits(&mut self, cx: &mut Context<'_>) -> Poll<Result<ClientEvent, Error>> {
        let sending = self
            .lease
            .connection
            .as_ref()
            .is_some_and(|connection| !connection.io.is_flushed());
        // While the container waits for us its silence is no fault; once nothing can reach
        // it any more, it is.
        if self.write_error.is_none() && (sending || self.machine.credit().is_some()) {
            self.read_limit.set(None);
        } else if !self.read_limit.is_set() {
            let limit = if self.got_packet {
                self.timeouts.between_packets
            } else {
                self.timeouts.first_packet
            };
            self.read_limit.set(limit);
        }
        if self.write_limit.poll(cx).is_ready() {
            return Poll::Ready(Err(Error::bare(ErrorKind::WriteTimeout)));
        }
        if self.read_limit.poll(cx).is_ready() {
            if self.write_error.is_some() {
                return Poll::Ready(Err(self.closed(None)));
            }
            let kind = if self.got_packet {
                ErrorKind::BetweenPacketsTimeout
            } else {
                ErrorKind::FirstPacketTimeout
            };
            return Poll::Ready(Err(Error::bare(kind)));
        }
        Poll::Pending
    }

    /// The error of a connection that ended: a failed write explains it better.
    fn closed(&mut self, read: Option<io::Error>) -> Error {
        match (self.write_error.take(), read) {
            (Some(write), _) => Error::io(ErrorKind::Write, write),
            (None, Some(read)) => Error::io(ErrorKind::Read, read),
            (None, None) => Error::bare(ErrorKind::Closed),
        }
    }

    /// End Response came: back to the pool if nothing can be left over.
    fn end(&mut self, cx: &mut Context<'_>) {
        if self.machine.is_refusal() {
            event!(
                WARN,
                peer = &*self.lease.peer,
                "the container answered 403 and closed: it refused the secret or a request attribute"
            );
        }
        let clean = self.lease.connection.as_mut().is_some_and(|connection| {
            self.machine.is_reusable()
                && self.write_error.is_none()
                && connection.io.is_flushed()
                && connection.io.is_quiet(cx)
        });
        if clean {
            self.lease.put_back();
        } else {
            self.lease.release();
        }
    }

    /// Whether the exchange failed before one byte of an answer came.
    #[cfg(feature = "http")]
    pub(crate) fn is_unanswered(&self) -> bool {
        self.unanswered
    }

    /// Gives the exchange up because of an error of the caller's side.
    #[cfg(feature = "http")]
    pub(crate) fn abandon(&mut self, error: Error) -> Error {
        self.fail(error)
    }

    /// Closes the connection and completes an error.
    fn fail(&mut self, error: Error) -> Error {
        if let Some(connection) = &self.lease.connection {
            self.unanswered = connection.io.traffic().0 == self.received_mark;
        }
        self.lease.release();
        let peer = Arc::clone(&self.lease.peer);
        let error = error.at(self.progress(), &peer);
        event!(DEBUG, peer = &*peer, progress = ?error.progress(), error = %error.kind(), "AJP exchange failed");
        error
    }
}
