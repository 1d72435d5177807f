//! Settings of a pool and its connections.

use super::cping::CPingMode;
use super::observer::{Observer, Watcher};
use super::timeouts::Timeouts;
use crate::Secret;
use crate::wire::PacketSize;
use std::time::Duration;

/// Settings of a [`Pool`](super::Pool).
///
/// ```
/// use ajp::client::{Pool, PoolConfig};
/// let config = PoolConfig::default().with_max_connections(50);
/// let pool = Pool::new("ajp://127.0.0.1:8009".parse::<ajp::client::Address>()?, config);
/// # Ok::<(), ajp::client::InvalidAddress>(())
/// ```
#[derive(Debug, Clone)]
pub struct PoolConfig {
    pub(crate) packet_size: PacketSize,
    pub(crate) secret: Option<Secret>,
    pub(crate) max_connections: usize,
    pub(super) max_waiting: usize,
    pub(super) max_idle: usize,
    pub(super) min_idle: usize,
    pub(super) idle_timeout: Option<Duration>,
    pub(super) keep_alive: Option<Duration>,
    pub(super) learn_keep_alive: bool,
    pub(super) max_lifetime: Option<Duration>,
    pub(super) jitter_seed: Option<u64>,
    pub(super) max_requests: Option<u64>,
    pub(crate) cping: CPingMode,
    pub(super) timeouts: Timeouts,
    pub(super) body_requests: u16,
    pub(super) observer: Watcher,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            packet_size: PacketSize::DEFAULT,
            secret: None,
            max_connections: 100,
            max_waiting: 1000,
            max_idle: usize::MAX,
            min_idle: 0,
            idle_timeout: Some(Duration::from_secs(30)),
            keep_alive: None,
            learn_keep_alive: true,
            max_lifetime: Some(Duration::from_secs(1800)),
            jitter_seed: None,
            max_requests: None,
            cping: CPingMode::default(),
            timeouts: Timeouts::default(),
            body_requests: 1,
            observer: Watcher::default(),
        }
    }
}

impl PoolConfig {
    /// Packet size of both directions; must be the container's. Default 8192.
    #[must_use]
    pub fn with_packet_size(mut self, size: PacketSize) -> Self {
        self.packet_size = size;
        self
    }

    /// The secret sent with every request. Default none.
    #[must_use]
    pub fn with_secret(mut self, secret: impl Into<Option<Secret>>) -> Self {
        self.secret = secret.into();
        self
    }

    /// Most connections at a time, idle ones included, at least 1. Default 100. Keep the sum
    /// over all web servers below the container's `maxThreads`.
    #[must_use]
    pub fn with_max_connections(mut self, count: usize) -> Self {
        self.max_connections = count.clamp(1, tokio::sync::Semaphore::MAX_PERMITS);
        self
    }

    /// Most callers that wait for a place while all connections are in use; 0 lets nobody
    /// wait. Who comes after them fails at once with
    /// [`ErrorKind::QueueFull`](super::ErrorKind::QueueFull). Default 1000.
    #[must_use]
    pub fn with_max_waiting(mut self, count: usize) -> Self {
        self.max_waiting = count;
        self
    }

    /// Most idle connections; of more, those that were idle for longest are closed. Default
    /// [`max_connections`](Self::with_max_connections).
    #[must_use]
    pub fn with_max_idle(mut self, count: usize) -> Self {
        self.max_idle = count;
        self
    }

    /// How many idle connections [`Pool::replenish`](super::Pool::replenish) opens. Nothing
    /// keeps them between two calls of it. Default 0.
    #[must_use]
    pub fn with_min_idle(mut self, count: usize) -> Self {
        self.min_idle = count;
        self
    }

    /// A connection that was idle for this long is closed instead of reused. Default 30 s.
    #[must_use]
    pub fn with_idle_timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.idle_timeout = limit.into();
        self
    }

    /// The container's `keepAliveTimeout`: idle connections are closed ahead of it, by a
    /// tenth of it, but at least by 1 s and at most by half. Default unknown.
    ///
    /// Tomcat's is infinite unless `keepAliveTimeout` or `connectionTimeout` is set.
    #[must_use]
    pub fn with_container_keep_alive(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.keep_alive = timeout.into();
        self
    }

    /// Whether the container's `keepAliveTimeout` is learned from its closes. Default yes.
    ///
    /// What is learned is used like a [configured one](Self::with_container_keep_alive), and the
    /// shorter one counts. Twice within 10 minutes a connection that was idle for 1 s or
    /// longer must be found closed in order, the second having become idle after the first
    /// was found; the longer of the two times is believed. Resets and a container that
    /// cannot be reached teach nothing, so that a restart is not taken for a timeout. What
    /// is not confirmed grows by a quarter every 10 minutes and is forgotten after 40, or
    /// when a connection that was idle for longer turns out to be alive.
    #[must_use]
    pub fn with_learn_keep_alive(mut self, learn: bool) -> Self {
        self.learn_keep_alive = learn;
        self
    }

    /// A connection is not used for longer. Each is given between 80 % and 100 % of it, at
    /// random, so that those opened together do not end together. Default 30 min.
    #[must_use]
    pub fn with_max_lifetime(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.max_lifetime = limit.into();
        self
    }

    /// Seed of the random part of [`max_lifetime`](Self::with_max_lifetime): with the same one the
    /// first connection, the second and so on always have the same lifetimes. For tests; by
    /// default every pool has its own.
    #[must_use]
    pub fn with_jitter_seed(mut self, seed: u64) -> Self {
        self.jitter_seed = Some(seed);
        self
    }

    /// A connection is closed after this many requests. Default no limit.
    #[must_use]
    pub fn with_max_requests(mut self, count: impl Into<Option<u64>>) -> Self {
        self.max_requests = count.into();
        self
    }

    /// When a connection is asked with `CPing` before a request. By default an idle one that
    /// was idle for 1 s or longer.
    #[must_use]
    pub fn with_cping(mut self, mode: CPingMode) -> Self {
        self.cping = mode;
        self
    }

    /// The limits of each step.
    #[must_use]
    pub fn with_timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// Request body packets that the container may ask for before the first of them is sent,
    /// at least 1. Default 1, as the protocol has it: a container that asks again before its
    /// answer is there has lost its place, and the connection is closed.
    ///
    /// Containers of this crate ask for more where they are told to
    /// ([`ServerConfig::with_body_requests`](../server/struct.ServerConfig.html#method.with_body_requests));
    /// allow at least as many here.
    #[must_use]
    pub fn with_body_requests(mut self, packets: u16) -> Self {
        self.body_requests = packets.max(1);
        self
    }

    /// Who is told what happens in the pool. Default nobody.
    #[must_use]
    pub fn with_observer(mut self, observer: impl Observer) -> Self {
        self.observer = Watcher::new(observer);
        self
    }
}
