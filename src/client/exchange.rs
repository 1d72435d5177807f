//! One request and its response, driven by whoever polls it.
//!
//! | part | where |
//! |---|---|
//! | what a caller can do, and what is known | here |
//! | how it begins | `begin` |
//! | one poll, from the first byte written to the event that comes of it | `drive` |
//! | how an exchange ends, and what becomes of its connection | `ending` |
//! | how it goes on without its caller | `abandoned` |
//! | where the connection is between two polls | [`parking`](super::parking) |

mod abandoned;
mod begin;
mod drive;
mod ending;

use super::error::{ClientError, ErrorKind};
use super::lease::Lease;
use super::mismatch::Mismatch;
use super::observer::ExchangeOutcome;
use super::parking::{Awaits, CallerLimits, Found, Parking};
use super::phases::Phases;
use super::request_id::RequestId;
use super::span::ExchangeSpan;
use super::waits::{ExchangeStep, Waits};
use crate::proto::{ClientEvent, ClientExchange, Progress};
use bytes::Bytes;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

/// With this many bytes waiting to be written no more of the request body is taken. It is more than
/// a request head and the one body packet that is due, so it matters only where the container asks
/// for several packets ahead.
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
/// exchange is dropped before, it is closed, at once or when the container has had the time that
/// [`PoolConfig::with_abandoned`](super::PoolConfig::with_abandoned) gives it. It is closed too, and its slot in the pool is free
/// again, when the caller does not go on for longer than [`Timeouts`](super::Timeouts) allow: the
/// next call says so.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use ajp::client::{Address, Pool, PoolConfig};
/// # let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
/// # let address = Address::from(listener.local_addr()?);
/// # let echo = axum::Router::new().fallback(async |body: bytes::Bytes| body);
/// # tokio::spawn(ajp::server::serve(listener, echo).trusted_network());
/// # let pool = Pool::new(address, PoolConfig::default());
/// use ajp::proto::ClientEvent;
/// use ajp::wire::{ForwardRequestWriter, RequestLine};
/// use bytes::Bytes;
/// use std::collections::VecDeque;
///
/// let mut exchange = pool.acquire().await?.begin(false, |buffer, size| {
///     let line = RequestLine { method: b"POST", req_uri: b"/echo", ..RequestLine::default() };
///     let mut writer = ForwardRequestWriter::new(buffer, size, &line)?;
///     writer.header(b"content-length", b"20000")?;
///     writer.finish()
/// })?;
/// let mut body = VecDeque::from([Bytes::from(vec![b'x'; 20_000])]);
/// let mut answer = Vec::new();
/// loop {
///     while let Some(credit) = exchange.credit() {
///         let left: usize = body.iter().map(Bytes::len).sum();
///         match left.min(credit) {
///             0 => exchange.send_end_of_body()?,
///             len => exchange.send_body(&mut body, len)?,
///         }
///     }
///     match exchange.next_event().await? {
///         ClientEvent::Head(head) => assert_eq!(head.status(), 200),
///         ClientEvent::Data(data) => answer.extend_from_slice(&data),
///         ClientEvent::BodyRequested | ClientEvent::Flush | ClientEvent::Ignored => {}
///         ClientEvent::End => break,
///     }
/// }
/// assert_eq!(answer.len(), 20_000);
/// assert_eq!(pool.stats().idle, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Exchange {
    /// The slot in the pool, the limits of the request, and the connection while a call has
    /// it in hand.
    lease: Lease,
    /// Where the connection is otherwise; `None` when no limit needs that.
    parking: Option<Arc<Parking>>,
    /// Who may send what.
    machine: ClientExchange,
    stage: Stage,
    writing: Writing,
    waits: Waits,
    bytes: Bytecount,
    /// Of the response, once its head came.
    status: Option<u16>,
    span: ExchangeSpan,
    request_id: Option<RequestId>,
    /// Its caller has gone.
    is_abandoned: bool,
}

/// How far an exchange has got.
#[derive(Debug, Clone, Copy)]
enum Stage {
    /// Not polled yet.
    New(ConnectionCheck),
    /// The request is being written, or was, and no packet has come.
    AwaitingFirstPacket,
    /// Packets have come, but not the head of the response.
    AwaitingHead,
    /// The head has come.
    Responding,
    Over(Ending),
}

/// Whether the connection is asked before the first byte is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ConnectionCheck {
    /// It is known to have been silent and open a moment ago.
    Skip,
    /// It is new, or the look at it may be long ago.
    IsStillQuiet,
}

/// How the bytes of the request leave.
#[derive(Debug)]
enum Writing {
    /// The transport takes what it is given.
    Flowing,
    /// It took no more when this many bytes had gone; the write limit runs since then.
    Stalled { sent: u64 },
    /// It failed. The container may have answered before: that is read first.
    Failed(io::Error),
}

/// How an exchange ended.
#[derive(Debug, Clone, Copy)]
struct Ending {
    outcome: ExchangeOutcome,
    /// Bytes received and sent for it.
    traffic: (u64, u64),
    /// What it tells of settings that differ on both sides.
    mismatch: Option<Mismatch>,
}

/// Bytes that have gone over the connection, counted as it counts them: from its opening on.
#[derive(Debug, Clone, Copy)]
struct Bytecount {
    /// Received and sent before this exchange.
    before: (u64, u64),
    /// Sent when the Forward Request will have left.
    head_sent_at: u64,
    /// Sent so far, as the last write told.
    sent: u64,
    /// Waiting to be sent while the connection is parked.
    queued: usize,
}

impl Exchange {
    /// How long its phases took so far.
    pub(crate) fn phases(&self) -> Phases {
        self.lease.stopwatch.phases()
    }

    /// The Forward Request is queued. The lease was acquired just now.
    #[inline]
    pub(crate) fn new(mut lease: Lease, machine: ClientExchange) -> Self {
        let limits = CallerLimits {
            request_body: lease.timeouts().request_body,
            response_read: lease.timeouts().response_read,
            request_by: lease.limits.request_by,
        };
        let (before, queued, parking) = match &mut lease.connection {
            Some(connection) => (
                connection.io.traffic(),
                connection.io.queued(),
                limits
                    .are_set()
                    .then(|| connection.parking(&lease.shared.watchdog)),
            ),
            None => ((0, 0), 0, None),
        };
        if let Some(parking) = &parking {
            parking.begin(limits, lease.has_permit);
            lease.shared.start_watchdog(lease.limits.started);
        }
        let span = ExchangeSpan::new(&lease.shared.id, lease.reused);
        let wanted = lease.shared.config.observer.wants_exchanges() || span.is_on();
        lease.stopwatch.begin(wanted, lease.limits.started);
        let check = if lease.reused {
            ConnectionCheck::Skip
        } else {
            ConnectionCheck::IsStillQuiet
        };
        Self {
            parking,
            machine,
            stage: Stage::New(check),
            writing: Writing::Flowing,
            waits: Waits::new(lease.limits.request_by),
            bytes: Bytecount {
                before,
                head_sent_at: before.1 + queued as u64,
                sent: before.1,
                queued,
            },
            status: None,
            span,
            request_id: None,
            is_abandoned: false,
            lease,
        }
    }

    /// Names the request in what is told of it.
    #[must_use]
    pub fn with_request_id(mut self, id: Option<&RequestId>) -> Self {
        self.set_request_id(id);
        self
    }

    /// As [`with_request_id`](Self::with_request_id), without moving it.
    pub(crate) fn set_request_id(&mut self, id: Option<&RequestId>) {
        if let Some(id) = id {
            self.span.name(id);
            self.request_id = Some(id.clone());
        }
    }

    /// The lease may have been held for long, and the first poll may be far: what came
    /// meanwhile is no answer, and the caller is watched from now on.
    pub(super) fn park_before_first_poll(&mut self) {
        self.stage = Stage::New(ConnectionCheck::IsStillQuiet);
        self.park(Awaits::Poll);
    }

    /// How far the exchange has got. What the transport has taken counts as sent.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let Bytecount {
            sent, head_sent_at, ..
        } = self.bytes;
        match self.machine.progress() {
            Progress::Responding => Progress::Responding,
            _ if sent < head_sent_at => Progress::NotSent,
            _ if sent == head_sent_at => Progress::RequestSent,
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
        let queued = match &self.lease.connection {
            Some(connection) => connection.io.queued(),
            None => self.bytes.queued,
        };
        queued >= HIGH_WATER
    }

    /// Whether the next packet has come already, so that its event need not be waited for.
    /// Only between [`resume`](Self::resume) and [`pause`](Self::pause).
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
    pub fn send_body(
        &mut self,
        parts: &mut VecDeque<Bytes>,
        len: usize,
    ) -> Result<(), ClientError> {
        let was_parked = self.resume();
        let sent = self
            .queue_body(parts, len)
            .map_err(|error| self.fail(error));
        if was_parked {
            self.park(Awaits::Poll);
        }
        sent
    }

    fn queue_body(&mut self, parts: &mut VecDeque<Bytes>, len: usize) -> Result<(), ClientError> {
        let available: usize = parts.iter().map(Bytes::len).sum();
        if len > available {
            return Err(ClientError::new(
                ErrorKind::InvalidRequest,
                "fewer body bytes than announced",
            ));
        }
        let Some(connection) = &mut self.lease.connection else {
            return Err(self.gone());
        };
        let header = self.machine.send_data(len).map_err(ClientError::encode)?;
        connection.sends(header.len() + len);
        let io = &mut connection.io;
        io.queue(&header);
        let mut left = len;
        while let Some(part) = parts.front_mut() {
            let piece = part.split_to(left.min(part.len()));
            if part.is_empty() {
                parts.pop_front();
            }
            left -= piece.len();
            io.queue_data(piece);
            if left == 0 {
                break;
            }
        }
        self.waits.stop_if(ExchangeStep::RequestBody);
        Ok(())
    }

    /// Queues the end-of-body packet that the container waits for. It means that the body
    /// is complete; if it is not, drop the exchange instead.
    ///
    /// # Errors
    /// [`ErrorKind::BodyLength`] when Content-Length promised more bytes.
    pub fn send_end_of_body(&mut self) -> Result<(), ClientError> {
        let was_parked = self.resume();
        let sent = self.queue_end_of_body().map_err(|error| self.fail(error));
        if was_parked {
            self.park(Awaits::Poll);
        }
        sent
    }

    fn queue_end_of_body(&mut self) -> Result<(), ClientError> {
        let Some(connection) = &mut self.lease.connection else {
            return Err(self.gone());
        };
        let packet = self.machine.send_end();
        let packet = packet.map_err(|error| ClientError::new(ErrorKind::BodyLength, error))?;
        connection.io.queue(&packet);
        self.waits.stop_if(ExchangeStep::RequestBody);
        Ok(())
    }

    /// The next event, having written what is queued.
    ///
    /// # Errors
    /// [`ClientError`]; the connection is closed and the exchange over. Drop it to give up its
    /// slot in the pool too.
    ///
    /// # Cancel safety
    /// Safe: no packet is lost; call again.
    pub async fn next_event(&mut self) -> Result<ClientEvent, ClientError> {
        poll_fn(|cx| self.poll_event(cx)).await
    }

    /// As [`next_event`](Self::next_event), for poll-based callers.
    ///
    /// # Errors
    /// As [`next_event`](Self::next_event).
    pub fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<ClientEvent, ClientError>> {
        self.resume();
        let polled = self.poll_in_hand(cx);
        match &polled {
            Poll::Ready(Ok(ClientEvent::BodyRequested)) => self.park(Awaits::RequestBody),
            Poll::Ready(_) => self.park(Awaits::Poll),
            Poll::Pending => self.pause(),
        }
        polled
    }

    /// As [`poll_event`](Self::poll_event), between [`resume`](Self::resume) and
    /// [`pause`](Self::pause): for callers that poll several times in a row.
    pub(crate) fn poll_in_hand(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<ClientEvent, ClientError>> {
        if self.machine.is_ended() {
            return Poll::Ready(Ok(ClientEvent::End));
        }
        let polled = if self.span.is_on() {
            self.poll_in_span(cx)
        } else {
            self.step(cx)
        };
        if matches!(polled, Poll::Ready(Ok(ClientEvent::End) | Err(_))) {
            self.report();
        }
        polled
    }

    /// One poll of an exchange whose span somebody looks at.
    #[cold]
    fn poll_in_span(&mut self, cx: &mut Context<'_>) -> Poll<Result<ClientEvent, ClientError>> {
        let span = std::mem::take(&mut self.span);
        let polled = span.run(|| self.step(cx));
        self.span = span;
        polled
    }

    fn step(&mut self, cx: &mut Context<'_>) -> Poll<Result<ClientEvent, ClientError>> {
        match self.drive(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(self.fail(error))),
            other => other,
        }
    }

    /// Takes the connection in hand. Tells whether it was parked.
    pub(crate) fn resume(&mut self) -> bool {
        let Some(parking) = self.parking.as_ref() else {
            return false;
        };
        if self.lease.connection.is_some() {
            return false;
        }
        match parking.take() {
            Found::Connection(connection) => {
                self.lease.connection = Some(connection);
                true
            }
            Found::Nothing => false,
            Found::Cut(cut) => {
                self.cut(cut);
                false
            }
        }
    }

    /// Parks the connection after a poll that was pending.
    pub(crate) fn pause(&mut self) {
        let awaits = if self.machine.credit().is_some() {
            Awaits::RequestBody
        } else {
            Awaits::Wakeup(self.waits.next())
        };
        self.park(awaits);
    }

    /// Parks the connection after a poll that gave the caller something.
    pub(crate) fn pause_ready(&mut self) {
        self.park(Awaits::Poll);
    }

    fn park(&mut self, awaits: Awaits) {
        let Some(parking) = &self.parking else {
            return;
        };
        if let Some(connection) = self.lease.connection.take() {
            self.bytes.queued = connection.io.queued();
            parking.park(connection, awaits);
        }
    }
}
