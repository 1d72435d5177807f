//! Settings of a pool and its connections.

use super::cping::CPingMode;
use super::idle_order::IdleOrder;
use super::observer::{Observer, ObserverSlot};
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
    pub(super) name: Option<Box<str>>,
    pub(super) packet_size: PacketSize,
    pub(super) learn_packet_size: bool,
    pub(super) secrets: Vec<Secret>,
    pub(super) max_connections: usize,
    pub(super) max_waiting: usize,
    pub(super) max_idle: usize,
    pub(super) min_idle: usize,
    pub(super) idle_order: IdleOrder,
    pub(super) idle_timeout: Option<Duration>,
    pub(super) idle_ping_interval: Option<Duration>,
    pub(super) maintenance_interval: Duration,
    pub(super) keep_alive: Option<Duration>,
    pub(super) learn_keep_alive: bool,
    pub(super) max_lifetime: Option<Duration>,
    pub(super) jitter_seed: Option<u64>,
    pub(super) max_requests: Option<u64>,
    pub(super) abandoned: Option<Duration>,
    pub(super) cping: CPingMode,
    pub(super) timeouts: Timeouts,
    pub(super) body_requests: u16,
    pub(super) observer: ObserverSlot,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            name: None,
            packet_size: PacketSize::DEFAULT,
            learn_packet_size: false,
            secrets: Vec::new(),
            max_connections: 100,
            max_waiting: 1000,
            max_idle: usize::MAX,
            min_idle: 0,
            idle_order: IdleOrder::default(),
            idle_timeout: Some(Duration::from_secs(30)),
            idle_ping_interval: None,
            maintenance_interval: Duration::from_secs(5),
            keep_alive: None,
            learn_keep_alive: true,
            max_lifetime: Some(Duration::from_secs(1800)),
            jitter_seed: None,
            max_requests: None,
            abandoned: None,
            cping: CPingMode::default(),
            timeouts: Timeouts::default(),
            body_requests: 1,
            observer: ObserverSlot::default(),
        }
    }
}

impl PoolConfig {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What the pool is called in [`PoolStats`](super::PoolStats), spans and events and by the
    /// [`Observer`]. Give two pools to one container names that differ. Default: the address
    /// of the container.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into().into());
        self
    }

    /// Packet size of both directions; must be the container's. Default 8192.
    #[must_use]
    pub fn with_packet_size(mut self, size: PacketSize) -> Self {
        self.packet_size = size;
        self
    }

    /// As [`with_packet_size`](Self::with_packet_size), with a number of bytes.
    ///
    /// # Errors
    /// [`InvalidPacketSize`] outside 8192 to 65536.
    pub fn try_with_packet_size(self, bytes: usize) -> Result<Self, InvalidPacketSize> {
        let size = u32::try_from(bytes).ok().and_then(PacketSize::new);
        size.map(|size| self.with_packet_size(size))
            .ok_or(InvalidPacketSize(bytes))
    }

    /// Whether the container's packet size is learned, up to
    /// [`packet_size`](Self::with_packet_size). Default no: both sides have the same.
    ///
    /// ```
    /// use ajp::client::PoolConfig;
    /// use ajp::wire::PacketSize;
    /// let config = PoolConfig::new()
    ///     .with_packet_size(PacketSize::MAX)
    ///     .with_learn_packet_size(true);
    /// ```
    ///
    /// Packets of any size up to `packet_size` are taken from the container. To it:
    /// - A new connection begins with packets of 8192 bytes, which every container takes. When
    ///   the container asks for more bytes of a request body than these hold, it has shown how long
    ///   its packets are, and the connection goes on with those, also for the first packet of
    ///   later bodies. So a container that was restarted with a smaller size gets no packet that
    ///   it does not take: its connections are new ones.
    /// - Request heads may be as long as any connection of the pool was shown. For a longer one the
    ///   container is asked, with `OPTIONS *` over connections of their own and nothing of the
    ///   request in it, whether it takes heads of `packet_size`, a half or a quarter of that; at
    ///   most once a minute. If it does not, the request fails as it does with a packet size of
    ///   8192: [`ErrorKind::HeadTooLarge`](super::ErrorKind::HeadTooLarge).
    ///   [`Mismatch::Cut`](super::Mismatch::Cut) makes the pool forget what it knew of heads.
    ///
    /// [`PoolStats::packet_size_learned`](super::PoolStats::packet_size_learned) tells the result.
    #[must_use]
    pub fn with_learn_packet_size(mut self, learn: bool) -> Self {
        self.learn_packet_size = learn;
        self
    }

    /// The secret sent with every request. Default none.
    #[must_use]
    pub fn with_secret(mut self, secret: impl Into<Option<Secret>>) -> Self {
        self.secrets = secret.into().into_iter().collect();
        self
    }

    /// Several secrets, while they are being changed: say the new one, then the old one. The
    /// first is sent until the container refuses it; a request that is refused is sent again
    /// with the next one. The one that is taken is sent
    /// first from then on; [`PoolStats::secret_in_use`](super::PoolStats::secret_in_use) and
    /// [`Observer::secret_changed`] tell which. Once
    /// all containers have the new one, leave the old one out.
    ///
    /// A 403 with which the container closes the connection is taken for a refusal (protocol
    /// chapter [security](crate::docs::protocol::security#ghostcat)). An application's own 403
    /// looks the same where the container closes for another reason: it is being stopped, or
    /// serves only so many requests over a connection. So a request that may not run twice
    /// ([`Idempotent`](super::Idempotent)) is sent again only if the container did not ask for
    /// its body, and then refuses `OPTIONS *` with the same secret too, which is sent for that
    /// purpose and has nothing of the request. Where nothing comes of that the 403 is the
    /// answer. A container that takes several secrets itself can thus see a request twice if it
    /// is idempotent, or if it answers that question in the same way; while the secret of such a
    /// container is changed, give the pool one secret only and change it at once.
    ///
    /// All attempts together have the time of one request ([`Timeouts::with_request`]). If no
    /// other attempt can be made, the 403 is the answer.
    ///
    /// A request with a secret of its own
    /// ([`RequestFacts::with_secret`](super::RequestFacts::with_secret)) is sent once.
    /// [`Pool::set_secrets`](super::Pool::set_secrets) changes them later.
    #[must_use]
    pub fn with_secrets(mut self, secrets: impl IntoIterator<Item = Secret>) -> Self {
        self.secrets = secrets.into_iter().collect();
        self
    }

    /// Most connections at a time, idle ones included, at least 1. Default 100. Keep the sum
    /// over all web servers below the container's `maxThreads`. [`Pool::resize`] changes it
    /// later.
    ///
    /// [`Pool::resize`]: super::Pool::resize
    #[must_use]
    pub fn with_max_connections(mut self, count: usize) -> Self {
        self.max_connections = count.clamp(1, tokio::sync::Semaphore::MAX_PERMITS);
        self
    }

    /// Most callers that wait for a connection while all connections are in use; 0 lets nobody
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

    /// How many idle connections are kept ready: [`Pool::maintain`](super::Pool::maintain) and
    /// [`Pool::replenish`](super::Pool::replenish) open them, and
    /// [`idle_timeout`](Self::with_idle_timeout) closes none of the last so many. Default 0.
    #[must_use]
    pub fn with_min_idle(mut self, count: usize) -> Self {
        self.min_idle = count;
        self
    }

    /// Which idle connection the next request gets. Default [`IdleOrder::Lifo`].
    #[must_use]
    pub fn with_idle_order(mut self, order: IdleOrder) -> Self {
        self.idle_order = order;
        self
    }

    /// A connection that served no request for this long is closed. Default 30 s. The pool
    /// does so when a connection is taken or put back; without traffic it takes
    /// [`Pool::maintain`](super::Pool::maintain).
    #[must_use]
    pub fn with_idle_timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.idle_timeout = limit.into();
        self
    }

    /// [`Pool::maintain`](super::Pool::maintain) asks idle connections with `CPing` on which
    /// the container was not heard for this long, and closes those that do not answer: what
    /// `connection_ping_interval` is in `mod_jk`. So a container that hangs is noticed between
    /// requests, and a firewall on the way sees traffic. Default never.
    #[must_use]
    pub fn with_idle_ping_interval(mut self, interval: impl Into<Option<Duration>>) -> Self {
        self.idle_ping_interval = interval.into();
        self
    }

    /// How often [`Pool::maintain`](super::Pool::maintain) looks at the pool, at most: it does
    /// so more often where a quarter of [`idle_timeout`](Self::with_idle_timeout) or of
    /// [`idle_ping_interval`](Self::with_idle_ping_interval) is shorter. Default 5 s, at least
    /// 10 ms.
    #[must_use]
    pub fn with_maintenance_interval(mut self, interval: Duration) -> Self {
        // Not a busy loop.
        self.maintenance_interval = interval.max(Duration::from_millis(10));
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

    /// How long the container may go on with a request whose caller has gone, by dropping its
    /// future or the response, before the connection is closed and its slot is free. Default none:
    /// both happen at once.
    ///
    /// A container notices only when it writes that nobody is there. With a time here no more
    /// requests run at it than there are connections, also for callers who ask and go away again
    /// and again, as long as none takes longer than this. The answer is read for nobody, at most
    /// 64 KiB of it; after its end the connection is used again. A container that waits for the
    /// body of the request is not waited for. Until then the request counts in
    /// [`PoolStats::in_use`](super::PoolStats::in_use), though no longer as one that a balancer's
    /// member is busy with. A task for each such request sees to it, in the runtime in which it was
    /// dropped; without a runtime there is no wait.
    #[must_use]
    pub fn with_abandoned(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.abandoned = limit.into();
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
    /// answer is there does not count as the pool does, and the connection is closed.
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
        self.observer = ObserverSlot::new(observer);
        self
    }
}

/// What is set.
impl PoolConfig {
    /// See [`with_name`](Self::with_name).
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// See [`with_packet_size`](Self::with_packet_size).
    #[must_use]
    pub fn packet_size(&self) -> PacketSize {
        self.packet_size
    }

    /// See [`with_secret`](Self::with_secret). Of several it is the first.
    #[must_use]
    pub fn secret(&self) -> Option<&Secret> {
        self.secrets.first()
    }

    /// See [`with_secrets`](Self::with_secrets).
    #[must_use]
    pub fn secrets(&self) -> &[Secret] {
        &self.secrets
    }

    /// See [`with_learn_packet_size`](Self::with_learn_packet_size).
    #[must_use]
    pub fn learn_packet_size(&self) -> bool {
        self.learn_packet_size
    }

    /// See [`with_max_connections`](Self::with_max_connections).
    #[must_use]
    pub fn max_connections(&self) -> usize {
        self.max_connections
    }

    /// See [`with_max_waiting`](Self::with_max_waiting).
    #[must_use]
    pub fn max_waiting(&self) -> usize {
        self.max_waiting
    }

    /// See [`with_max_idle`](Self::with_max_idle).
    #[must_use]
    pub fn max_idle(&self) -> usize {
        self.max_idle
    }

    /// See [`with_min_idle`](Self::with_min_idle).
    #[must_use]
    pub fn min_idle(&self) -> usize {
        self.min_idle
    }

    /// See [`with_idle_order`](Self::with_idle_order).
    #[must_use]
    pub fn idle_order(&self) -> IdleOrder {
        self.idle_order
    }

    /// See [`with_idle_timeout`](Self::with_idle_timeout).
    #[must_use]
    pub fn idle_timeout(&self) -> Option<Duration> {
        self.idle_timeout
    }

    /// See [`with_idle_ping_interval`](Self::with_idle_ping_interval).
    #[must_use]
    pub fn idle_ping_interval(&self) -> Option<Duration> {
        self.idle_ping_interval
    }

    /// See [`with_maintenance_interval`](Self::with_maintenance_interval).
    #[must_use]
    pub fn maintenance_interval(&self) -> Duration {
        self.maintenance_interval
    }

    /// See [`with_container_keep_alive`](Self::with_container_keep_alive).
    #[must_use]
    pub fn container_keep_alive(&self) -> Option<Duration> {
        self.keep_alive
    }

    /// See [`with_learn_keep_alive`](Self::with_learn_keep_alive).
    #[must_use]
    pub fn learn_keep_alive(&self) -> bool {
        self.learn_keep_alive
    }

    /// See [`with_max_lifetime`](Self::with_max_lifetime).
    #[must_use]
    pub fn max_lifetime(&self) -> Option<Duration> {
        self.max_lifetime
    }

    /// See [`with_jitter_seed`](Self::with_jitter_seed).
    #[must_use]
    pub fn jitter_seed(&self) -> Option<u64> {
        self.jitter_seed
    }

    /// See [`with_max_requests`](Self::with_max_requests).
    #[must_use]
    pub fn max_requests(&self) -> Option<u64> {
        self.max_requests
    }

    /// See [`with_abandoned`](Self::with_abandoned).
    #[must_use]
    pub fn abandoned(&self) -> Option<Duration> {
        self.abandoned
    }

    /// See [`with_cping`](Self::with_cping).
    #[must_use]
    pub fn cping(&self) -> CPingMode {
        self.cping
    }

    /// See [`with_timeouts`](Self::with_timeouts).
    #[must_use]
    pub fn timeouts(&self) -> &Timeouts {
        &self.timeouts
    }

    /// See [`with_body_requests`](Self::with_body_requests).
    #[must_use]
    pub fn body_requests(&self) -> u16 {
        self.body_requests
    }
}

/// A packet size that does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a packet of {0} bytes does not exist in AJP: 8192 to 65536 do")]
pub struct InvalidPacketSize(usize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_setting_is_the_one_that_was_set() {
        let seconds = Duration::from_secs;
        let secret = |text| Secret::new(text).unwrap();
        let timeouts = Timeouts::new().with_cping(seconds(7));
        let config = PoolConfig::new()
            .with_name("farm")
            .with_packet_size(PacketSize::MAX)
            .with_learn_packet_size(true)
            .with_secrets([secret("new"), secret("old")])
            .with_max_connections(11)
            .with_max_waiting(12)
            .with_max_idle(13)
            .with_min_idle(14)
            .with_idle_order(IdleOrder::Fifo)
            .with_idle_timeout(seconds(15))
            .with_idle_ping_interval(seconds(16))
            .with_maintenance_interval(seconds(17))
            .with_container_keep_alive(seconds(18))
            .with_learn_keep_alive(false)
            .with_max_lifetime(seconds(19))
            .with_jitter_seed(20)
            .with_max_requests(21)
            .with_abandoned(seconds(22))
            .with_cping(CPingMode::ALWAYS)
            .with_timeouts(timeouts)
            .with_body_requests(23);
        assert_eq!(config.name(), Some("farm"));
        assert_eq!(config.packet_size(), PacketSize::MAX);
        assert!(config.learn_packet_size() && !config.learn_keep_alive());
        assert_eq!(config.secrets(), [secret("new"), secret("old")]);
        assert_eq!(config.secret(), Some(&secret("new")));
        assert_eq!((config.max_connections(), config.max_waiting()), (11, 12));
        assert_eq!((config.max_idle(), config.min_idle()), (13, 14));
        assert_eq!(config.idle_order(), IdleOrder::Fifo);
        assert_eq!(config.idle_timeout(), Some(seconds(15)));
        assert_eq!(config.idle_ping_interval(), Some(seconds(16)));
        assert_eq!(config.maintenance_interval(), seconds(17));
        assert_eq!(config.container_keep_alive(), Some(seconds(18)));
        assert_eq!(config.max_lifetime(), Some(seconds(19)));
        assert_eq!(config.jitter_seed(), Some(20));
        assert_eq!(config.max_requests(), Some(21));
        assert_eq!(config.abandoned(), Some(seconds(22)));
        assert_eq!(config.cping(), CPingMode::ALWAYS);
        assert_eq!(*config.timeouts(), timeouts);
        assert_eq!(config.body_requests(), 23);
        let config = config.with_body_requests(0).with_secret(secret("other"));
        assert_eq!(config.body_requests(), 1);
        assert_eq!(config.secrets(), [secret("other")]);
        assert_eq!(config.with_secret(None).secret(), None);
        let default = PoolConfig::new();
        assert!(!default.learn_packet_size() && default.learn_keep_alive());
    }

    #[test]
    fn a_packet_size_exists_or_is_refused() {
        for bytes in [8192, 65_536] {
            let config = PoolConfig::new().try_with_packet_size(bytes).unwrap();
            assert_eq!(config.packet_size().bytes(), bytes);
        }
        for bytes in [0, 8191, 65_537] {
            let error = PoolConfig::new().try_with_packet_size(bytes).unwrap_err();
            assert!(error.to_string().contains(&bytes.to_string()), "{error}");
        }
    }
}
