//! One connection in the web server, between exchanges.

use super::config::PoolConfig;
use super::container_size;
use super::error::{ClientError, ErrorKind};
use super::parking::Parking;
use super::transport::Transport;
use super::watchdog::Watchdog;
use crate::net::{Buffered, Deadline, PeerState, ReadError, current_runtime};
use crate::proto::ProtocolError;
use crate::wire::{CPING, DecodeError, Direction, HEADER_LEN, PacketSize, Rule, ToWebServer};
use bytes::Bytes;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::runtime;
use tokio::time::Instant;

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) io: Buffered<Transport>,
    /// How long the packets of a request's body may be: what the container has shown over this
    /// connection, or what both sides were told.
    pub(super) body_size: PacketSize,
    /// Which runtime drives it.
    pub(super) runtime: Option<runtime::Id>,
    pub(super) opened: Instant,
    /// When its lifetime is over.
    expires: Option<Instant>,
    /// When its last exchange ended, or else when it was opened.
    pub(super) idle_since: Instant,
    /// When the container was heard on it last: at the end of an exchange or of a `CPing`.
    pub(super) heard: Instant,
    /// Its position in the order of the idle connections.
    pub(super) turn: u64,
    /// For how long the container was not heard before the exchange that it serves now;
    /// `None` when it was new.
    pub(super) idle_before: Option<Duration>,
    /// Exchanges begun.
    pub(super) exchanges: u64,
    /// Longest packets received and sent, in bytes, headers included.
    pub(super) largest: (usize, usize),
    /// Of `io.traffic()`, what the pool has counted.
    pub(super) counted: (u64, u64),
    /// Between exchanges, for the waits of the next one: to set a timer anew for each costs
    /// three times what it costs to keep it.
    pub(super) timer: Deadline,
    /// Between exchanges, for the next one.
    pub(super) parking: Option<Arc<Parking>>,
}

impl Connection {
    pub(super) fn new(
        transport: Transport,
        config: &PoolConfig,
        lifetime: Option<Duration>,
    ) -> Self {
        let now = Instant::now();
        Self {
            io: Buffered::new(transport, Direction::ToWebServer, config.packet_size),
            body_size: container_size::first(config),
            runtime: current_runtime(),
            opened: now,
            // A lifetime beyond what the clock can express has no end.
            expires: lifetime.and_then(|lifetime| now.checked_add(lifetime)),
            idle_since: now,
            heard: now,
            turn: 0,
            idle_before: None,
            exchanges: 0,
            largest: (0, 0),
            counted: (0, 0),
            timer: Deadline::default(),
            parking: None,
        }
    }

    /// Where an exchange can leave this connection; taken out, so that it can lie there.
    pub(super) fn parking(&mut self, watchdog: &Watchdog) -> Arc<Parking> {
        self.parking.take().unwrap_or_else(|| {
            let parking = Arc::default();
            watchdog.add(&parking);
            parking
        })
    }

    pub(super) fn is_past_lifetime(&self, now: Instant) -> bool {
        self.expires.is_some_and(|end| end <= now)
    }

    /// A packet of this many bytes was queued.
    pub(super) fn sends(&mut self, len: usize) {
        self.largest.1 = self.largest.1.max(len);
    }

    /// The payload of the next packet; `None` when the container closed between packets.
    pub(super) fn poll_payload(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, ReadError>> {
        let payload = self.io.poll_payload(cx);
        if let Poll::Ready(Ok(Some(payload))) = &payload {
            let len = payload.len() + HEADER_LEN;
            self.largest.0 = self.largest.0.max(len);
        }
        payload
    }

    /// What the kernel has received, if there is a socket to ask it about. One system call.
    pub(super) fn kernel_peer_state(&self) -> Option<PeerState> {
        if self.io.has_unread() {
            return Some(PeerState::SentData);
        }
        self.io.stream().peek().map(PeerState::from)
    }

    /// Whether something has come that was not read, the end included, as far as the kernel
    /// can tell.
    pub(super) fn has_received(&self) -> bool {
        let state = self.kernel_peer_state();
        state.is_some_and(|state| state != PeerState::Quiet)
    }

    /// Whether the connection is open and the container has sent nothing unasked.
    pub(super) async fn peer_state(&mut self) -> PeerState {
        if let Some(state) = self.kernel_peer_state() {
            return state;
        }
        // What the runtime knows of a socket deep inside may be older than what the kernel
        // knows: let it look first.
        tokio::task::yield_now().await;
        // Without a budget: an exhausted one would look like silence.
        tokio::task::unconstrained(poll_fn(|cx| Poll::Ready(self.io.peer_state(cx)))).await
    }

    /// `CPing`, and nothing but `CPong` back.
    pub(super) async fn ping(&mut self) -> Result<(), ClientError> {
        self.io.queue(&CPING);
        self.sends(CPING.len());
        poll_fn(|cx| self.io.poll_flush(cx))
            .await
            .map_err(|error| ClientError::io(ErrorKind::CPing, error))?;
        let payload = poll_fn(|cx| self.poll_payload(cx)).await;
        match payload.map_err(|error| read_error(error, ErrorKind::CPing))? {
            None => Err(ClientError::bare(ErrorKind::CPing)),
            Some(payload) => match ToWebServer::parse(payload) {
                Ok(ToWebServer::CPong) if !self.io.has_unread() => Ok(()),
                Ok(_) => Err(ClientError::bare(ErrorKind::CPing)),
                Err(error) => Err(ClientError::new(ErrorKind::CPing, error)),
            },
        }
    }
}

pub(super) fn read_error(error: ReadError, kind: ErrorKind) -> ClientError {
    match error {
        ReadError::Io(error) => ClientError::io(kind, error),
        ReadError::Truncated => ClientError::new(kind, "the connection closed inside a packet"),
        ReadError::Frame(error) if matches!(error.rule(), Rule::TooLong { .. }) => {
            ClientError::new(ErrorKind::Protocol, PacketTooLong(error))
        }
        ReadError::Frame(error) => ClientError::new(ErrorKind::Protocol, error),
        ReadError::OtherProtocol(other) => {
            ClientError::new(ErrorKind::Protocol, ProtocolError::OtherProtocol(other))
        }
    }
}

/// A container sent a packet beyond the packet size.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0}; raise packet_size here to what the container sends (Undertow sends heads of responses beyond 8192 bytes whatever its own setting)"
)]
struct PacketTooLong(#[source] DecodeError);
