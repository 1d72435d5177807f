//! Why a connection was closed.

use crate::net::PeerState;

/// Why the pool closed a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseCause {
    /// It was idle for [`PoolConfig::with_idle_timeout`](super::PoolConfig::with_idle_timeout).
    IdleTimeout,
    /// The container would have closed it soon: its `keepAliveTimeout`, configured or
    /// learned, was nearly over.
    KeepAlive,
    /// There were more idle connections than
    /// [`PoolConfig::with_max_idle`](super::PoolConfig::with_max_idle), or a new one needed the room.
    Surplus,
    /// It reached its [`PoolConfig::with_max_lifetime`](super::PoolConfig::with_max_lifetime).
    Lifetime,
    /// It served [`PoolConfig::with_max_requests`](super::PoolConfig::with_max_requests).
    MaxRequests,
    /// The container had closed it while it was idle.
    ClosedByPeer,
    /// It had failed while it was idle, usually by a reset.
    Reset,
    /// Bytes came that nobody had asked for.
    StrayData,
    /// `CPing` was not answered properly or not in time.
    CPing,
    /// Another one that was not idle for longer did not answer `CPing` in the time that the
    /// pool gives ([`Timeouts::with_cping`](super::Timeouts::with_cping)).
    Unresponsive,
    /// It was idle and closed under the next request, before any answer.
    Stale,
    /// The container ended a response with reuse 0.
    NoReuse,
    /// A response ended and something could be left over (protocol chapter
    /// [reuse](crate::docs::protocol::reuse#conditions)).
    Unclean,
    /// The container broke the protocol.
    Protocol,
    /// It closed or failed in the middle of an exchange.
    Broken,
    /// A limit of an exchange ran out.
    Timeout,
    /// The request was at fault, its body for example.
    Request,
    /// The caller dropped the exchange or the lease.
    Dropped,
    /// The pool was shut down or is gone.
    PoolShut,
}

impl CloseCause {
    /// Why an idle connection cannot be used, if it cannot.
    pub(super) fn of(state: PeerState) -> Option<Self> {
        match state {
            PeerState::Quiet => None,
            PeerState::SentData => Some(Self::StrayData),
            PeerState::Closed => Some(Self::ClosedByPeer),
            PeerState::Failed => Some(Self::Reset),
        }
    }
}
