//! One request and its response, driven by whoever polls it.

mod begin;
mod ending;

use super::cause::CloseCause;
use super::connection::read_error;
use super::error::{Error, ErrorKind};
use super::lease::Lease;
use super::observer::Outcome;
use super::span::ExchangeSpan;
use super::waits::{Late, Waits};
use crate::net::Silence;
use crate::proto::{ClientEvent, ClientExchange, Progress, ProtocolError};
use crate::wire::ToWebServer;
use bytes::Bytes;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};

/// Bytes waiting to be written from which on no body is taken: more than a head and the one
/// packet that is due unless the container asks ahead.
const HIGH_WATER: usize = 262_144;

/// One exchange on one connection.
///
/// Poll [`next_event`](Self::next_event) to move it forward in both directions. Whenever
/// [`credit`](Self::credit) says that the container waits for a body packet, give it data
/// with [`send_body`](Self::send_body) or end the body with
/// [`send_end_of_body`](Self::send_end_of_body).
///
/// After [`ClientEvent::End`] the connection went back to the pool if all seven conditions of
/// protocol chapter [reuse](crate::docs::protocol::reuse#conditions) hold; otherwise, and when the
/// exchange is dropped before, it is closed.
#[derive(Debug)]
pub struct Exchange {
    lease: Lease,
    machine: ClientExchange,
    waits: Waits,
    /// `bytes_out` when the write limit was set; progress moves the limit.
    written_mark: u64,
    /// `bytes_out` as last seen.
    written: u64,
    got_packet: bool,
    /// What `io.traffic()` was when the exchange began.
    marks: (u64, u64),
    /// `bytes_out` when the Forward Request will have left.
    head_mark: u64,
    /// Until the first poll.
    start: Option<Start>,
    /// The exchange failed without a byte of an answer.
    unanswered: bool,
    write_error: Option<io::Error>,
    status: Option<u16>,
    /// Bytes received and sent, known at the end.
    traffic: (u64, u64),
    outcome: Option<Outcome>,
    span: ExchangeSpan,
}

/// What is known of the connection before the first poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    /// It was silent a moment ago.
    Trust,
    /// It is new, or was silent when it was acquired, which may be long ago.
    Distrust,
}

impl Exchange {
    /// The Forward Request is queued. The lease was acquired just now.
    pub(super) fn new(mut lease: Lease, machine: ClientExchange) -> Self {
        let (marks, queued) = lease.connection.as_ref().map_or(((0, 0), 0), |connection| {
            (connection.io.traffic(), connection.io.queued())
        });
        let span = ExchangeSpan::new(&lease.shared.id, lease.reused);
        let wanted = lease.shared.config.observer.is_there() || span.is_on();
        lease.stopwatch.begin(wanted);
        let start = if lease.reused {
            Start::Trust
        } else {
            Start::Distrust
        };
        Self {
            waits: Waits::new(lease.limits.request_by),
            lease,
            machine,
            written_mark: 0,
            written: marks.1,
            got_packet: false,
            marks,
            head_mark: marks.1.saturating_add(queued as u64),
            start: Some(start),
            unanswered: false,
            write_error: None,
            status: None,
            traffic: (0, 0),
            outcome: None,
            span,
        }
    }

    /// How far the exchange has got. What the transport has taken counts as sent.
    #[must_use]
    pub fn progress(&self) -> Progress {
        match self.machine.progress() {
            Progress::Responding => Progress::Responding,
            _ if self.written < self.head_mark => Progress::NotSent,
            _ if self.written == self.head_mark => Progress::RequestSent,
            queued => queued.max(Progress::RequestSent),
        }
    }

    /// Whether the connection had been idle in the pool.
    #[must_use]
    pub fn is_reused(&self) -> bool {
        self.lease.is_reused()
    }

    /// The container as named in errors.
    #[must_use]
    pub fn peer(&self) -> &str {
        self.lease.peer()
    }

    /// Most body bytes the container waits for now; `None` when it waits for none, and
    /// `Some(0)` when only end of body is left to send. Also `None` while so much is queued
    /// that more should wait ([`is_backed_up`](Self::is_backed_up)).
    #[must_use]
    pub fn credit(&self) -> Option<usize> {
        self.machine.credit().filter(|_| !self.is_backed_up())
    }

    /// Whether at least 256 KiB wait to be written: only where the container may ask for
    /// several packets at a time ([`PoolConfig::with_body_requests`](super::PoolConfig::with_body_requests)).
    /// [`poll_event`](Self::poll_event) writes them.
    #[must_use]
    pub fn is_backed_up(&self) -> bool {
        let connection = self.lease.connection.as_ref();
        connection.is_some_and(|connection| connection.io.queued() >= HIGH_WATER)
    }

    /// Whether the next packet has come already, so that its event need not be waited for.
    pub(crate) fn has_packet(&self) -> bool {
        let connection = self.lease.connection.as_ref();
        connection.is_some_and(|connection| connection.io.has_packet())
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
        let Some(connection) = &mut self.lease.connection else {
            return Err(self.fail(Error::bare(ErrorKind::Closed)));
        };
        connection.sends(header.len().saturating_add(len));
        let io = &mut connection.io;
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
    /// [`Error`]; the connection is closed and the exchange over. Drop it to give up its
    /// place in the pool too.
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
        let span = std::mem::take(&mut self.span);
        let result = span.run(|| match self.poll_step(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(self.fail(error))),
            other => other,
        });
        self.span = span;
        if matches!(result, Poll::Ready(Ok(ClientEvent::End) | Err(_))) {
            self.report();
        }
        result
    }

    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Result<ClientEvent, Error>> {
        if let Some(start) = self.start.take() {
            self.adopt_timer();
            if start == Start::Distrust {
                self.check_silence(cx)?;
            }
        }
        self.poll_write(cx);
        let Some(connection) = &mut self.lease.connection else {
            return Poll::Ready(Err(Error::bare(ErrorKind::Closed)));
        };
        match connection.poll_payload(cx) {
            Poll::Ready(Ok(Some(payload))) => {
                let event = self.receive(cx, payload);
                match event {
                    // The end is here, however late; while the head was waited for, there
                    // was a timer.
                    Ok(ClientEvent::End | ClientEvent::Head(_)) | Err(_) => Poll::Ready(event),
                    // A stream that is never behind waits for no timer.
                    Ok(_) if self.waits.is_over() => {
                        Poll::Ready(Err(Error::bare(ErrorKind::RequestTimeout)))
                    }
                    Ok(_) => Poll::Ready(event),
                }
            }
            Poll::Ready(Ok(None)) => Poll::Ready(Err(self.closed(None))),
            Poll::Ready(Err(crate::net::ReadError::Io(error))) => {
                Poll::Ready(Err(self.closed(Some(error))))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(read_error(error, ErrorKind::Closed))),
            Poll::Pending => self.poll_waits(cx),
        }
    }

    /// The lease may have been held for long: what came meanwhile is no answer.
    pub(super) fn distrust(&mut self) {
        self.start = Some(Start::Distrust);
    }

    fn adopt_timer(&mut self) {
        if let Some(connection) = &mut self.lease.connection {
            self.waits.adopt(std::mem::take(&mut connection.timer));
        }
    }

    fn check_silence(&mut self, cx: &mut Context<'_>) -> Result<(), Error> {
        let Some(connection) = &mut self.lease.connection else {
            return Ok(());
        };
        let silence = connection.io.silence(cx);
        let Some(cause) = CloseCause::of(silence) else {
            return Ok(());
        };
        self.unanswered = true;
        self.lease.close(cause);
        Err(match silence {
            Silence::Broken => Error::protocol(unasked()),
            _ => Error::bare(ErrorKind::Closed),
        })
    }

    /// Writes what is queued, as far as the stream takes it.
    fn poll_write(&mut self, cx: &mut Context<'_>) {
        let limit = self.lease.timeouts().write;
        let Some(connection) = &mut self.lease.connection else {
            return;
        };
        if self.write_error.is_some() || connection.io.is_flushed() {
            return;
        }
        let flushed = connection.io.poll_flush(cx);
        self.written = connection.io.traffic().1;
        match flushed {
            Poll::Ready(Ok(())) => {
                self.machine.request_written();
                self.waits.write(None);
                self.lease.stopwatch.written();
            }
            // The container may have answered before it closed: read on, and report
            // this only if there is nothing to read.
            Poll::Ready(Err(error)) => self.write_error = Some(error),
            Poll::Pending => {
                if !self.waits.is_write_set() || self.written != self.written_mark {
                    self.written_mark = self.written;
                    self.waits.write(limit);
                }
            }
        }
    }

    fn receive(&mut self, cx: &mut Context<'_>, payload: Bytes) -> Result<ClientEvent, Error> {
        let Some(connection) = &self.lease.connection else {
            return Err(Error::bare(ErrorKind::Closed));
        };
        let sending = self.write_error.is_none() && !connection.io.is_flushed();
        if self.written < self.head_mark {
            // Nobody can answer a request before it is there.
            return Err(match self.write_error.take() {
                Some(error) => Error::io(ErrorKind::Write, error),
                None => Error::protocol(unasked()),
            });
        }
        if !std::mem::replace(&mut self.got_packet, true) {
            self.lease.stopwatch.first_packet();
        }
        self.waits.read(None);
        let packet = ToWebServer::parse(payload).map_err(|error| Error::protocol(error.into()))?;
        let reuse = matches!(packet, ToWebServer::EndResponse { reuse: true });
        let asked = matches!(packet, ToWebServer::GetBodyChunk { .. });
        if asked && sending && self.lease.shared.config.body_requests == 1 {
            return Err(Error::protocol(ProtocolError::BodyRequestedTwice));
        }
        let event = self.machine.receive(packet).map_err(Error::protocol)?;
        match &event {
            ClientEvent::Head(head) => self.status = Some(head.status()),
            ClientEvent::End => self.end(cx, reuse),
            _ => {}
        }
        Ok(event)
    }

    fn poll_waits(&mut self, cx: &mut Context<'_>) -> Poll<Result<ClientEvent, Error>> {
        let connection = self.lease.connection.as_ref();
        let sending = connection.is_some_and(|connection| !connection.io.is_flushed());
        let timeouts = self.lease.timeouts();
        let (limit, kind) = if self.got_packet {
            (timeouts.between_packets, ErrorKind::BetweenPacketsTimeout)
        } else {
            (timeouts.response_head, ErrorKind::ResponseHeadTimeout)
        };
        // While the container waits for us its silence is no fault; once nothing can reach
        // it any more, it is.
        if self.write_error.is_none() && (sending || self.machine.credit().is_some()) {
            self.waits.read(None);
        } else if !self.waits.is_read_set() {
            self.waits.read(limit);
        }
        Poll::Ready(Err(match ready!(self.waits.poll(cx)) {
            Late::Write => Error::bare(ErrorKind::WriteTimeout),
            Late::Read if self.write_error.is_some() => self.closed(None),
            Late::Read => Error::bare(kind),
            Late::Request => Error::bare(ErrorKind::RequestTimeout),
        }))
    }

    /// Whether the exchange failed before one byte of an answer came.
    pub(crate) fn is_unanswered(&self) -> bool {
        self.unanswered
    }

    /// Gives the exchange up because of an error of the caller's side.
    pub(crate) fn abandon(&mut self, error: Error) -> Error {
        let error = self.fail(error);
        self.report();
        error
    }

    /// What is left after a failure: the place, if the connection was stale, so that
    /// [`Lease::reopen`] need not wait for one.
    pub(crate) fn take_lease(&mut self) -> Lease {
        self.lease.take()
    }
}

/// Bytes that came before the request was sent.
fn unasked() -> ProtocolError {
    ProtocolError::Unexpected {
        packet: "data",
        state: "before the request was sent",
    }
}
