//! What the handles of a pool and its leases share, and what both do to connections.

use super::cause::CloseCause;
use super::config::PoolConfig;
use super::connection::Connection;
use super::container_size::ContainerSize;
use super::counters::Counters;
use super::error::{ClientError, ErrorKind};
use super::idle::{ClosingConnections, IdleList};
use super::limits::LimitReached;
use super::observer::{ConnectionReport, PoolId};
use super::permits::Permits;
use super::request_counter::RequestCounters;
use super::secrets::{SecretChoice, Secrets};
use super::stats::PoolStats;
use super::transport::Connect;
use super::watchdog::Watchdog;
use crate::common::CacheAligned;
use crate::net::PeerState;
use crate::proto::Progress;
use crate::trace::event;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// What a pool's leases keep. The outer `Arc` is made once for each thread: to clone it changes a count of
/// references that only this thread has, and not one that all cores share.
pub(super) type PerThreadShared = Arc<CacheAligned<Arc<Shared>>>;

pub(super) struct Shared {
    pub(super) connector: Arc<dyn Connect>,
    pub(super) peer: Arc<str>,
    pub(super) id: PoolId,
    pub(super) config: PoolConfig,
    /// Shared with the pools that ask whether the container is well.
    pub(super) secrets: Arc<Secrets>,
    pub(super) permits: Permits,
    pub(super) idle: IdleList,
    pub(super) counters: Counters,
    /// Who else counts its requests.
    pub(super) request_counters: RequestCounters,
    pub(super) container_size: ContainerSize,
    pub(super) watchdog: Watchdog,
    /// Wakes who keeps the pool in order, when there is no pool any more.
    pub(super) is_shut: Notify,
    lifetimes: Mutex<fastrand::Rng>,
}

impl Shared {
    pub(super) fn new(connector: Arc<dyn Connect>, config: PoolConfig) -> Self {
        let secrets = Arc::new(Secrets::new(&config.secrets));
        Self::with_secrets(connector, config, secrets)
    }

    /// With the secrets of another pool.
    pub(super) fn with_secrets(
        connector: Arc<dyn Connect>,
        config: PoolConfig,
        secrets: Arc<Secrets>,
    ) -> Self {
        let lifetimes = config
            .jitter_seed
            .map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed);
        let peer = connector.describe().into();
        Self {
            id: PoolId::new(config.name.as_deref(), &peer),
            peer,
            connector,
            permits: Permits::new(config.max_connections, config.max_waiting),
            idle: IdleList::new(&config),
            counters: Counters::new(),
            request_counters: RequestCounters::default(),
            container_size: ContainerSize::new(&config),
            watchdog: Watchdog::new(&config.timeouts),
            is_shut: Notify::new(),
            lifetimes: Mutex::new(lifetimes),
            secrets,
            config,
        }
    }

    pub(super) fn stats(&self) -> PoolStats {
        let mut stats = self.counters.snapshot(self.id.shared_name());
        stats.max_connections = self.permits.total();
        stats.in_use = self.permits.in_use();
        stats.idle = self.idle.len();
        stats.waiting = self.permits.waiting();
        stats.keep_alive_learned = self.idle.learned(Instant::now());
        stats.packet_size_learned = self.container_size.learned();
        stats.secret_in_use = self.secrets.current();
        stats
    }

    #[cold]
    pub(super) fn error(&self, kind: ErrorKind) -> ClientError {
        ClientError::bare(kind).at(Progress::NotSent, &self.peer)
    }

    /// The error of an acquire that a limit ended.
    pub(super) fn limit_reached(&self, limit: LimitReached) -> ClientError {
        ClientError::new(limit.kind(), limit).at(Progress::NotSent, &self.peer)
    }

    /// How long the next connection may live: from 80 % to 100 % of what is set.
    pub(super) fn lifetime(&self) -> Option<Duration> {
        let limit = self.config.max_lifetime?;
        let mut random = self
            .lifetimes
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let shorter = limit.mul_f64(random.f64() / 5.0);
        Some(limit.saturating_sub(shorter))
    }

    /// A connection was opened.
    pub(super) fn opened(&self, took: Duration) {
        self.counters.created();
        event!(
            DEBUG,
            pool = self.id.name(),
            peer = &*self.peer,
            "AJP connection opened"
        );
        let observer = &self.config.observer;
        observer.tell(|observer| observer.connection_opened(&self.id, took));
    }

    /// The container took a request with this secret.
    pub(super) fn secret_taken(&self, choice: &SecretChoice) {
        if choice.is_after_refusal() {
            self.counters.refusal_settled();
        }
        if self.secrets.taken(choice) {
            self.counters.secret_changed();
            event!(
                WARN,
                pool = self.id.name(),
                peer = &*self.peer,
                place = choice.place(),
                "AJP container takes another one of the secrets"
            );
            let observer = &self.config.observer;
            observer.tell(|observer| observer.secret_changed(&self.id, choice.place()));
        }
    }

    /// `CPing` was answered, or not.
    pub(super) fn pinged(&self, took: Duration, error: Option<&ClientError>) {
        match error {
            None => self.counters.cping(took),
            Some(_) => {
                event!(
                    DEBUG,
                    pool = self.id.name(),
                    peer = &*self.peer,
                    "AJP connection failed CPing"
                );
            }
        }
        self.config.observer.tell(|observer| match error {
            None => observer.cping(&self.id, took),
            Some(error) => observer.cping_failed(&self.id, took, error.kind()),
        });
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
            let surplus = self.idle.push(connection, now);
            self.close_all(surplus);
        }
    }

    /// Gives up a permit. Its connection must be closed or put back before.
    pub(super) fn release_permit(&self) {
        if self.permits.release() {
            // The pool was made smaller: what was put back may be one too many.
            self.trim_idle();
        }
    }

    /// Whether one more connection would be too many, and idle ones are among them.
    pub(super) fn is_full(&self) -> bool {
        self.idle.len() > self.room_for_idle()
    }

    /// Closes idle connections until one more can be opened within the cap. Those that others
    /// are just closing are waited for: they exist until their sockets are closed.
    pub(super) async fn make_room(&self) {
        loop {
            // Before the look, so that nothing that happens after it is missed.
            let fewer_out = self.idle.fewer_out();
            if self.trim_idle() {
                return;
            }
            fewer_out.await;
        }
    }

    /// Closes idle connections that are too many beside those that have a permit. Tells
    /// whether all that exist are within the cap then.
    pub(super) fn trim_idle(&self) -> bool {
        let (surplus, fits) = self.idle.shrink_to(self.room_for_idle());
        self.close_all(surplus);
        fits
    }

    /// Connections that can exist beside those that have a permit.
    fn room_for_idle(&self) -> usize {
        let max = self.permits.total();
        max.saturating_sub(self.permits.in_use())
    }

    /// Closes what has been idle since then or longer, because the container did not answer.
    pub(super) fn close_unresponsive(&self, since: Instant) {
        self.close_all(self.idle.remove_unresponsive(since));
    }

    /// Closes the idle connections that have expired, and the sockets among them that the
    /// container has closed or sent something over. Tells how many.
    pub(super) fn close_unfit(&self) -> usize {
        let now = Instant::now();
        let mut closed = self.close_all(self.idle.remove_expired(now));
        let (mut turn, end) = (0, self.idle.next_turn());
        // One at a time is out of the list, so that requests find the others.
        while let Some(connection) = self.idle.take_to_look_at(turn, end) {
            turn = connection.turn + 1;
            // Only the kernel is asked: what a transport does could take long.
            let state = connection.kernel_peer_state().unwrap_or(PeerState::Quiet);
            self.idle.learn(state, connection.heard, now);
            let closing = match CloseCause::of(state) {
                Some(cause) => self.idle.close_one(connection, cause),
                None => self.idle.put_back(connection),
            };
            closed += self.close_all(closing);
        }
        closed
    }

    /// Nothing is kept and nobody gets a permit any more.
    pub(super) fn shut(&self) {
        self.permits.shut();
        self.close_all(self.idle.shut());
        self.is_shut.notify_waiters();
    }

    pub(super) fn close_all(&self, closing: ClosingConnections<'_>) -> usize {
        closing.close_each(|connection, cause| self.close(connection, cause))
    }

    pub(super) fn close(&self, mut connection: Box<Connection>, cause: CloseCause) {
        self.counters.traffic(&mut connection);
        let (bytes_in, bytes_out) = connection.counted;
        let (opened, exchanges) = (connection.opened, connection.exchanges);
        drop(connection);
        self.counters.closed(cause);
        event!(
            DEBUG,
            pool = self.id.name(),
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
            observer.connection_closed(&self.id, &report);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Address;

    fn lifetimes(seed: u64) -> Vec<Duration> {
        let config = PoolConfig::default()
            .with_max_lifetime(Duration::from_secs(100))
            .with_jitter_seed(seed);
        let shared = Shared::new(Arc::new(Address::tcp("localhost", 1)), config);
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
