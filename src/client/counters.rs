//! Counting: a few relaxed atomics.

use super::cause::CloseCause;
use super::connection::Connection;
use super::error::ErrorKind;
use super::mismatch::Mismatch;
use super::stats::{CAUSES, KINDS, MISMATCHES, PoolStats, TimeoutCounts};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// A mismatch that goes on is told once, until it was not seen for this long.
const NEWS: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Counters {
    each: OfEachExchange,
    created: AtomicU64,
    closed_by: [AtomicU64; CAUSES],
    failed_with: [AtomicU64; KINDS],
    mismatched: [AtomicU64; MISMATCHES],
    last_mismatch: Mutex<Option<(Mismatch, Instant)>>,
    secret_changes: AtomicU64,
    /// Not in `failed_with`, because another connection was taken.
    probe_timeouts: AtomicU64,
    /// In ns; 0 before the first.
    cping_last: AtomicU64,
    cping_average: AtomicU64,
}

/// What every exchange counts. Together: a core has to fetch one line of the cache from another one
/// that has counted before.
#[derive(Debug, Default)]
#[repr(align(128))]
struct OfEachExchange {
    reused: AtomicU64,
    completed: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    largest_in: AtomicUsize,
    largest_out: AtomicUsize,
}

impl Counters {
    pub(super) fn new() -> Self {
        Self {
            each: OfEachExchange::default(),
            created: AtomicU64::new(0),
            closed_by: std::array::from_fn(|_| AtomicU64::new(0)),
            failed_with: std::array::from_fn(|_| AtomicU64::new(0)),
            mismatched: std::array::from_fn(|_| AtomicU64::new(0)),
            last_mismatch: Mutex::default(),
            secret_changes: AtomicU64::new(0),
            probe_timeouts: AtomicU64::new(0),
            cping_last: AtomicU64::new(0),
            cping_average: AtomicU64::new(0),
        }
    }

    pub(super) fn created(&self) {
        self.created.fetch_add(1, Relaxed);
    }

    pub(super) fn reused(&self) {
        self.each.reused.fetch_add(1, Relaxed);
    }

    pub(super) fn completed(&self) {
        self.each.completed.fetch_add(1, Relaxed);
    }

    pub(super) fn closed(&self, cause: CloseCause) {
        if let Some(count) = self.closed_by.get(cause as usize) {
            count.fetch_add(1, Relaxed);
        }
    }

    pub(super) fn failed(&self, kind: ErrorKind) {
        if let Some(count) = self.failed_with.get(kind as usize) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// Whether that is news: it was another one that was told of last, or long ago.
    pub(super) fn mismatched(&self, mismatch: Mismatch) -> bool {
        if let Some(count) = self.mismatched.get(mismatch as usize) {
            count.fetch_add(1, Relaxed);
        }
        let now = Instant::now();
        let mut last = self.lock_last_mismatch();
        let same = last.is_some_and(|(known, at)| {
            known == mismatch && now.saturating_duration_since(at) < NEWS
        });
        *last = Some((mismatch, now));
        !same
    }

    /// What was refused has been taken with another secret: both sides agree again.
    pub(super) fn refusal_settled(&self) {
        self.lock_last_mismatch()
            .take_if(|(mismatch, _)| *mismatch == Mismatch::Refused);
    }

    pub(super) fn secret_changed(&self) {
        self.secret_changes.fetch_add(1, Relaxed);
    }

    fn lock_last_mismatch(&self) -> MutexGuard<'_, Option<(Mismatch, Instant)>> {
        // No code that can panic runs under this lock.
        self.last_mismatch
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn probe_timed_out(&self) {
        self.probe_timeouts.fetch_add(1, Relaxed);
    }

    pub(super) fn cping(&self, round_trip: Duration) {
        let new = u64::try_from(round_trip.as_nanos())
            .unwrap_or(u64::MAX)
            .max(1);
        self.cping_last.store(new, Relaxed);
        // Two at a time may lose one of them, which an average survives.
        let old = self.cping_average.load(Relaxed);
        let average = match old {
            0 => new,
            old => (old - old / 8 + new / 8).max(1),
        };
        self.cping_average.store(average, Relaxed);
    }

    /// Counts what went over a connection since the last time.
    pub(super) fn traffic(&self, connection: &mut Connection) {
        let (received, sent) = connection.io.traffic();
        let before = std::mem::replace(&mut connection.counted, (received, sent));
        add(&self.each.bytes_in, received - before.0);
        add(&self.each.bytes_out, sent - before.1);
        raise(&self.each.largest_in, connection.largest.0);
        raise(&self.each.largest_out, connection.largest.1);
    }

    /// All but what others know: `max_connections`, `in_use`, `idle`, `waiting`,
    /// `keep_alive_learned`, `packet_size_learned` and `secret_in_use`.
    pub(super) fn snapshot(&self, name: Arc<str>) -> PoolStats {
        let closed_by = self.closed_by.each_ref().map(|count| count.load(Relaxed));
        let failed_with = self.failed_with.each_ref().map(|count| count.load(Relaxed));
        let last = *self.lock_last_mismatch();
        let sum = |counts: &[u64]| counts.iter().sum();
        let nanos = |n: u64| (n > 0).then(|| Duration::from_nanos(n));
        let mut stats = PoolStats {
            name,
            max_connections: 0,
            in_use: 0,
            idle: 0,
            waiting: 0,
            created: self.created.load(Relaxed),
            reused: self.each.reused.load(Relaxed),
            closed: sum(&closed_by),
            completed: self.each.completed.load(Relaxed),
            failed: sum(&failed_with),
            timeouts: TimeoutCounts {
                acquire: 0,
                connect: 0,
                cping: 0,
                write: 0,
                request_body: 0,
                response_read: 0,
                response_head: 0,
                between_packets: 0,
                request: 0,
            },
            cping_last: nanos(self.cping_last.load(Relaxed)),
            cping_average: nanos(self.cping_average.load(Relaxed)),
            bytes_in: self.each.bytes_in.load(Relaxed),
            bytes_out: self.each.bytes_out.load(Relaxed),
            largest_in: self.each.largest_in.load(Relaxed),
            largest_out: self.each.largest_out.load(Relaxed),
            keep_alive_learned: None,
            packet_size_learned: None,
            last_mismatch: last.map(|(mismatch, at)| (mismatch, at.elapsed())),
            secret_in_use: None,
            secret_changes: self.secret_changes.load(Relaxed),
            closed_by,
            failed_with,
            mismatched: self.mismatched.each_ref().map(|count| count.load(Relaxed)),
        };
        let probes = self.probe_timeouts.load(Relaxed);
        let both = |one, other| {
            let (one, other) = (stats.failed_with(one), stats.failed_with(other));
            one + other
        };
        stats.timeouts = TimeoutCounts {
            acquire: stats.failed_with(ErrorKind::AcquireTimeout),
            connect: both(ErrorKind::ConnectTimeout, ErrorKind::ConnectCutShort),
            cping: both(ErrorKind::CPingTimeout, ErrorKind::CPingCutShort) + probes,
            write: stats.failed_with(ErrorKind::WriteTimeout),
            request_body: stats.failed_with(ErrorKind::RequestBodyTimeout),
            response_read: stats.failed_with(ErrorKind::ResponseReadTimeout),
            response_head: stats.failed_with(ErrorKind::ResponseHeadTimeout),
            between_packets: stats.failed_with(ErrorKind::BetweenPacketsTimeout),
            request: stats.failed_with(ErrorKind::RequestTimeout),
        };
        stats
    }
}

fn add(sum: &AtomicU64, n: u64) {
    if n > 0 {
        sum.fetch_add(n, Relaxed);
    }
}

/// Writes only when there is something new: most packets are no record.
fn raise(record: &AtomicUsize, n: usize) {
    if record.load(Relaxed) < n {
        record.fetch_max(n, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_mismatch_that_goes_on_is_told_once() {
        let counters = Counters::new();
        assert!(counters.mismatched(Mismatch::Cut));
        for _ in 0..3 {
            tokio::time::advance(Duration::from_secs(59)).await;
            assert!(!counters.mismatched(Mismatch::Cut), "it goes on");
        }
        assert!(counters.mismatched(Mismatch::Refused), "another one");
        tokio::time::advance(NEWS).await;
        assert!(counters.mismatched(Mismatch::Refused), "once more");
        counters.refusal_settled();
        assert!(counters.mismatched(Mismatch::Refused), "it was settled");
    }
}
