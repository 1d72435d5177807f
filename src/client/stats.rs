//! The numbers of a pool, as they are shown.

use super::cause::CloseCause;
use super::error::ErrorKind;
use super::mismatch::Mismatch;
use crate::wire::PacketSize;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub(super) const KINDS: usize = ErrorKind::ALL.len();
pub(super) const CAUSES: usize = CloseCause::ALL.len();
pub(super) const MISMATCHES: usize = Mismatch::ALL.len();

/// Numbers of a [`Pool`](super::Pool): those of this moment and those since it was made.
///
/// They are read one after the other while the pool goes on, so they may disagree by what
/// happened in between.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolStats {
    /// The name of the pool: see [`PoolConfig::with_name`](super::PoolConfig::with_name).
    pub name: Arc<str>,
    /// How many connections may exist at a time, as set last.
    pub max_connections: usize,
    /// Permits held: connections serving an exchange, being probed or being opened.
    pub in_use: usize,
    /// Connections that wait for a request.
    pub idle: usize,
    /// Callers that wait for a permit.
    pub waiting: usize,
    /// Connections opened.
    pub created: u64,
    /// Times an idle connection was taken for a request.
    pub reused: u64,
    /// Connections closed; [`closed_by`](Self::closed_by) tells why.
    pub closed: u64,
    /// Exchanges whose response came to its end.
    pub completed: u64,
    /// Acquires and exchanges that failed; [`failed_with`](Self::failed_with) tells how. Also
    /// those that were tried again and of which the caller saw nothing.
    pub failed: u64,
    /// Limits that ran out, by step.
    pub timeouts: TimeoutCounts,
    /// Round trip of the last `CPing` that was answered.
    pub cping_last: Option<Duration>,
    /// Their moving average; a new one counts an eighth.
    pub cping_average: Option<Duration>,
    /// Bytes received, counted when an exchange ends.
    pub bytes_in: u64,
    /// Bytes sent, counted when an exchange ends.
    pub bytes_out: u64,
    /// Longest packet received, in bytes, its header included: how near the responses come
    /// to the packet size.
    pub largest_in: usize,
    /// Longest packet sent, likewise.
    pub largest_out: usize,
    /// The container's `keepAliveTimeout` as learned from its closes, if it was.
    pub keep_alive_learned: Option<Duration>,
    /// The container's packet size, where it is learned
    /// ([`PoolConfig::with_learn_packet_size`](super::PoolConfig::with_learn_packet_size)) and turned
    /// out to be larger than 8192 bytes.
    pub packet_size_learned: Option<PacketSize>,
    /// What the container did last that tells of settings which differ on both sides, and how
    /// long ago.
    pub last_mismatch: Option<(Mismatch, Duration)>,
    /// Which of several secrets the container took last, as its place in
    /// [`PoolConfig::with_secrets`](super::PoolConfig::with_secrets) or
    /// [`Pool::set_secrets`](super::Pool::set_secrets), from 0 on; 0 before the first answer.
    /// `None` when there are not several.
    pub secret_in_use: Option<usize>,
    /// How often the container took another one of the secrets than before.
    pub secret_changes: u64,
    pub(super) closed_by: [u64; CAUSES],
    pub(super) failed_with: [u64; KINDS],
    pub(super) mismatched: [u64; MISMATCHES],
}

/// Limits that ran out since the pool was made: those of [`Timeouts`](super::Timeouts).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TimeoutCounts {
    /// Waiting for a permit.
    pub acquire: u64,
    /// Opening a connection, those included that were cut short by another limit.
    pub connect: u64,
    /// Waiting for `CPong`, probes that the request did not notice included.
    pub cping: u64,
    /// A write without progress.
    pub write: u64,
    /// Waiting for the caller to give request body.
    pub request_body: u64,
    /// Waiting for the caller to go on reading.
    pub response_read: u64,
    /// Waiting for the head of the response.
    pub response_head: u64,
    /// Waiting for the next packet.
    pub between_packets: u64,
    /// The whole request, in whichever step it was.
    pub request: u64,
}

impl PoolStats {
    /// Connections closed for this reason.
    #[must_use]
    pub fn closed_by(&self, cause: CloseCause) -> u64 {
        self.closed_by.get(cause as usize).copied().unwrap_or(0)
    }

    /// How often the container did what tells of this.
    #[must_use]
    pub fn mismatched(&self, mismatch: Mismatch) -> u64 {
        let counts = &self.mismatched;
        counts.get(mismatch as usize).copied().unwrap_or(0)
    }

    /// Acquires and exchanges that failed in this way.
    #[must_use]
    pub fn failed_with(&self, kind: ErrorKind) -> u64 {
        self.failed_with.get(kind as usize).copied().unwrap_or(0)
    }
}

impl fmt::Debug for PoolStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let closed_by = CloseCause::ALL.iter().map(|&c| (c, self.closed_by(c)));
        let failed_with = ErrorKind::ALL.iter().map(|&k| (k, self.failed_with(k)));
        let mismatched = Mismatch::ALL.iter().map(|&m| (m, self.mismatched(m)));
        f.debug_struct("PoolStats")
            .field("name", &self.name)
            .field("max_connections", &self.max_connections)
            .field("in_use", &self.in_use)
            .field("idle", &self.idle)
            .field("waiting", &self.waiting)
            .field("created", &self.created)
            .field("reused", &self.reused)
            .field("closed", &self.closed)
            .field("closed_by", &Counted(closed_by))
            .field("completed", &self.completed)
            .field("failed", &self.failed)
            .field("failed_with", &Counted(failed_with))
            .field("timeouts", &self.timeouts)
            .field("cping_last", &self.cping_last)
            .field("cping_average", &self.cping_average)
            .field("bytes_in", &self.bytes_in)
            .field("bytes_out", &self.bytes_out)
            .field("largest_in", &self.largest_in)
            .field("largest_out", &self.largest_out)
            .field("keep_alive_learned", &self.keep_alive_learned)
            .field("packet_size_learned", &self.packet_size_learned)
            .field("last_mismatch", &self.last_mismatch)
            .field("secret_in_use", &self.secret_in_use)
            .field("secret_changes", &self.secret_changes)
            .field("mismatched", &Counted(mismatched))
            .finish()
    }
}

/// What did happen.
struct Counted<I>(I);

impl<K: fmt::Debug, I: Iterator<Item = (K, u64)> + Clone> fmt::Debug for Counted<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = self.0.clone().filter(|(_, count)| *count > 0);
        f.debug_map().entries(parts).finish()
    }
}
