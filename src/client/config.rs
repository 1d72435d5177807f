//! Settings of a pool and its connections.

use crate::Secret;
use crate::wire::PacketSize;
use std::time::Duration;

/// How long each step may take. `None` switches a limit off.
///
/// | step | default | httpd | `mod_jk` |
/// |---|---|---|---|
/// | [`acquire`](Self::acquire) | 10 s | `acquire` | `connection_acquire_timeout` |
/// | [`connect`](Self::connect) | 5 s | `connectiontimeout` | `socket_connect_timeout` |
/// | [`cping`](Self::cping) | 5 s | `ping` | `ping_timeout` |
/// | [`write`](Self::write) | 30 s | `timeout` | `socket_timeout` |
/// | [`first_packet`](Self::first_packet) | 60 s | `timeout` | `reply_timeout` |
/// | [`between_packets`](Self::between_packets) | 60 s | `timeout` | `reply_timeout` |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    pub(crate) acquire: Option<Duration>,
    pub(crate) connect: Option<Duration>,
    pub(crate) cping: Option<Duration>,
    pub(crate) write: Option<Duration>,
    pub(crate) first_packet: Option<Duration>,
    pub(crate) between_packets: Option<Duration>,
}

impl Default for Timeouts {
    fn default() -> Self {
        let seconds = |n| Some(Duration::from_secs(n));
        Self {
            acquire: seconds(10),
            connect: seconds(5),
            cping: seconds(5),
            write: seconds(30),
            first_packet: seconds(60),
            between_packets: seconds(60),
        }
    }
}

impl Timeouts {
    /// Waiting for a free place in the pool.
    #[must_use]
    pub fn acquire(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.acquire = limit.into();
        self
    }

    /// Opening a connection, name lookup included.
    #[must_use]
    pub fn connect(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.connect = limit.into();
        self
    }

    /// Waiting for CPong.
    #[must_use]
    pub fn cping(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.cping = limit.into();
        self
    }

    /// A write that makes no progress.
    #[must_use]
    pub fn write(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.write = limit.into();
        self
    }

    /// From the request to the first packet of the container. Time in which the container
    /// waits for the request body does not count.
    #[must_use]
    pub fn first_packet(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.first_packet = limit.into();
        self
    }

    /// From one packet of the container to the next. Tomcat neither ends nor closes an
    /// aborted response, so this is the only way to notice (section 11).
    #[must_use]
    pub fn between_packets(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.between_packets = limit.into();
        self
    }
}

/// Settings of a [`Pool`](super::Pool).
///
/// ```
/// use ajp::client::{Pool, PoolConfig};
/// let config = PoolConfig::default().max_connections(50);
/// let pool = Pool::new("ajp://127.0.0.1:8009".parse::<ajp::client::Address>()?, config);
/// # Ok::<(), ajp::client::InvalidAddress>(())
/// ```
#[derive(Debug, Clone)]
pub struct PoolConfig {
    pub(crate) packet_size: PacketSize,
    pub(crate) secret: Option<Secret>,
    pub(crate) max_connections: usize,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) cping_after: Option<Duration>,
    pub(crate) timeouts: Timeouts,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            packet_size: PacketSize::DEFAULT,
            secret: None,
            max_connections: 100,
            idle_timeout: Some(Duration::from_secs(30)),
            cping_after: Some(Duration::from_secs(1)),
            timeouts: Timeouts::default(),
        }
    }
}

impl PoolConfig {
    /// Packet size of both directions; must be the container's. Default 8192.
    #[must_use]
    pub fn packet_size(mut self, size: PacketSize) -> Self {
        self.packet_size = size;
        self
    }

    /// The secret sent with every request. Default none.
    #[must_use]
    pub fn secret(mut self, secret: impl Into<Option<Secret>>) -> Self {
        self.secret = secret.into();
        self
    }

    /// Most connections at a time, at least 1. Default 100. Keep the sum over all web
    /// servers below the container's `maxThreads`.
    #[must_use]
    pub fn max_connections(mut self, count: usize) -> Self {
        self.max_connections = count.clamp(1, tokio::sync::Semaphore::MAX_PERMITS);
        self
    }

    /// A connection that was idle longer is closed instead of reused. Default 30 s; keep
    /// it below the container's `keepAliveTimeout`.
    #[must_use]
    pub fn idle_timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.idle_timeout = limit.into();
        self
    }

    /// A connection that was idle longer is asked with CPing before reuse. Default 1 s;
    /// `None` for containers that do not know CPing.
    #[must_use]
    pub fn cping_after(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.cping_after = limit.into();
        self
    }

    /// The limits of each step.
    #[must_use]
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }
}
