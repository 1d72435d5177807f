//! What the handles of a pool and its leases share, and what both do to connections.

use super::cause::CloseCause;
use super::config::PoolConfig;
use super::connection::Connection;
use super::error::{Error, ErrorKind};
use super::idle::{Doomed, IdleList};
use super::limits::LimitReached;
use super::observer::ConnectionReport;
use super::queue::Queue;
use super::stats::{Counters, PoolStats};
use super::transport::Connect;
use crate::proto::Progress;
use crate::trace::event;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// The step of `SplitMix64`.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

pub(super) struct Shared {
    pub(super) connector: Box<dyn Connect>,
    pub(super) peer: Arc<str>,
    pub(super) config: PoolConfig,
    pub(super) queue: Queue,
    pub(super) idle: IdleList,
    pub(super) counters: Counters,
    random: AtomicU64,
}

impl Shared {
    pub(super) fn new(connector: impl Connect, config: PoolConfig) -> Self {
        let seed = config
            .jitter_seed
            .unwrap_or_else(|| RandomState::new().hash_one(0));
        Self {
            peer: connector.describe().into(),
            connector: Box::new(connector),
            queue: Queue::new(config.max_connections, config.max_waiting),
            idle: IdleList::new(&config),
            counters: Counters::new(),
            random: AtomicU64::new(seed),
            config,
        }
    }

    pub(super) fn stats(&self) -> PoolStats {
        let mut stats = self.counters.snapshot();
        stats.in_use = self.queue.in_use();
        stats.idle = self.idle.len();
        stats.waiting = self.queue.waiting();
        stats.keep_alive_learned = self.idle.learned(Instant::now());
        stats
    }

    pub(super) fn error(&self, kind: ErrorKind) -> Error {
        Error::bare(kind).at(Progress::NotSent, &self.peer)
    }

    /// The error of an acquire that a limit ended.
    pub(super) fn limit_reached(&self, limit: LimitReached) -> Error {
        Error::new(limit.kind(), limit).at(Progress::NotSent, &self.peer)
    }

    /// How long the next connection may live. The random numbers are `SplitMix64`'s: its
    /// state is a counter, so one atomic step is enough.
    pub(super) fn lifetime(&self) -> Option<Duration> {
        let limit = self.config.max_lifetime?;
        let mut n = self
            .random
            .fetch_add(STEP, Ordering::Relaxed)
            .wrapping_add(STEP);
        n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        n ^= n >> 31;
        let fifth = limit.checked_div(5).unwrap_or_default();
        let high = u32::try_from(n >> 32).unwrap_or(0);
        let shorter = fifth.mul_f64(f64::from(high) / f64::from(u32::MAX));
        Some(limit.saturating_sub(shorter))
    }

    /// Puts an idle and clean connection into the list, unless it has served its time.
    pub(super) fn put_back(&self, mut connection: Box<Connection>) {
        self.counters.traffic(&mut connection);
        connection.io.release_buffers();
        let now = Instant::now();
        let served = |most| connection.exchanges >= most;
        if self.config.max_requests.is_some_and(served) {
            self.close(connection, CloseCause::MaxRequests);
        } else if connection.is_past_lifetime(now) {
            self.close(connection, CloseCause::Lifetime);
        } else {
            let mut doomed = Doomed::new();
            self.idle.push(connection, now, &mut doomed);
            self.close_all(doomed);
        }
    }

    /// Whether one more connection would be too many, and idle ones are among them.
    pub(super) fn is_full(&self) -> bool {
        self.idle.len() > self.room_for_idle()
    }

    /// Closes idle connections until a new one can be opened.
    pub(super) fn make_room(&self) {
        let mut doomed = Doomed::new();
        self.idle.trim(self.room_for_idle(), &mut doomed);
        self.close_all(doomed);
    }

    /// Connections that can exist beside those that have a place.
    fn room_for_idle(&self) -> usize {
        let max = self.config.max_connections;
        max.saturating_sub(self.queue.in_use())
    }

    /// Nothing is kept and nobody gets a place any more.
    pub(super) fn shut(&self) {
        self.queue.shut();
        let mut doomed = Doomed::new();
        self.idle.shut(&mut doomed);
        self.close_all(doomed);
    }

    pub(super) fn close_all(&self, doomed: Doomed) -> usize {
        let count = doomed.len();
        for (connection, cause) in doomed {
            self.close(connection, cause);
        }
        count
    }

    pub(super) fn close(&self, mut connection: Box<Connection>, cause: CloseCause) {
        self.counters.traffic(&mut connection);
        let (bytes_in, bytes_out) = connection.counted;
        let (opened, exchanges) = (connection.opened, connection.exchanges);
        drop(connection);
        self.counters.closed(cause);
        event!(
            DEBUG,
            peer = &*self.peer,
            cause = cause.label(),
            "AJP connection closed"
        );
        self.config.observer.tell(|observer| {
            let report = ConnectionReport {
                cause,
                age: opened.elapsed(),
                exchanges,
                bytes_in,
                bytes_out,
            };
            observer.connection_closed(&self.peer, &report);
        });
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use super::*;
    use crate::client::Address;

    fn lifetimes(seed: u64) -> Vec<Duration> {
        let config = PoolConfig::default()
            .with_max_lifetime(Duration::from_secs(100))
            .with_jitter_seed(seed);
        let shared = Shared::new(Address::tcp("localhost", 1), config);
        (0..1000).filter_map(|_| shared.lifetime()).collect()
    }

    #[test]
    fn lifetimes_spread_over_the_last_fifth_and_repeat_with_the_seed() {
        let first = lifetimes(1);
        assert_eq!(first, lifetimes(1));
        assert_ne!(first, lifetimes(2));
        let seconds = |n| Duration::from_secs(n);
        assert!(
            first
                .iter()
                .all(|&l| (seconds(80)..=seconds(100)).contains(&l))
        );
        for from in [80, 85, 90, 95] {
            let range = seconds(from)..seconds(from + 5);
            let count = first.iter().filter(|&l| range.contains(l)).count();
            assert!((150..350).contains(&count), "{count} from {from} s");
        }
    }
}
