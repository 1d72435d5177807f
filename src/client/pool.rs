//! Connections to one container: a hard cap with a bounded fair queue, and nothing reused
//! that is not proven clean. No background task, but [`Pool::maintain`] for one of the
//! caller's.

use super::acquire::{Wanted, acquire};
use super::address::Address;
use super::cause::CloseCause;
use super::config::PoolConfig;
use super::container_size::Turn;
use super::cping::CPingMode;
use super::error::ClientError;
#[cfg(doc)]
use super::error::ErrorKind;
use super::lease::Lease;
use super::limits::Limits;
use super::maintain;
use super::observer::ObserverSlot;
#[cfg(feature = "balancer")]
use super::request_counter::RequestCounter;
use super::secrets::SecretChoice;
use super::shared::{PerThreadShared, Shared};
use super::stats::PoolStats;
use super::timeouts::RequestTimeouts;
use super::transport::Connect;
use crate::Secret;
use crate::common::Striped;
use crate::wire::PacketSize;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// A pool of connections to one container. Cloning gives another handle to the same pool.
///
/// Several runtimes may share a pool, such as one for each core: its limits and numbers are
/// those of all of them together, and an idle connection is used only in the runtime that
/// opened it, which alone drives it. Where only idle connections of other runtimes are left
/// below the cap, the oldest of these is closed for a new one.
///
/// When the last handle is dropped the idle connections are closed; exchanges go on, and
/// their connections are closed at the end.
///
/// A pool can be made, and all that comes of it dropped, anywhere. Whatever waits, requests and the
/// bodies of their responses among it, needs a tokio runtime with IO and time (`enable_all`) and
/// panics without, as tokio's own sockets and timers do.
#[derive(Clone)]
pub struct Pool {
    handle: Arc<Handle>,
}

/// What all clones of a pool own together, and leases do not.
struct Handle {
    shared: Arc<Shared>,
    /// For leases.
    per_thread: Striped<Arc<Shared>>,
}

impl Handle {
    fn new(shared: Shared) -> Arc<Self> {
        let shared = Arc::new(shared);
        let per_thread = Striped::new(|| Arc::clone(&shared));
        Arc::new(Self { shared, per_thread })
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.shut();
    }
}

impl Pool {
    /// A pool that opens connections with `connector`, usually an
    /// [`Address`](super::Address), when they are needed.
    pub fn new(connector: impl Connect, config: PoolConfig) -> Self {
        Self::over(Arc::new(connector), config)
    }

    fn over(connector: Arc<dyn Connect>, config: PoolConfig) -> Self {
        Self {
            handle: Handle::new(Shared::new(connector, config)),
        }
    }

    /// A pool for the container at this address: a text such as `"ajp://127.0.0.1:8009"` or
    /// `"unix:/run/tomcat.sock"`, or a [`SocketAddr`](std::net::SocketAddr).
    ///
    /// ```
    /// use ajp::client::{Pool, PoolConfig};
    /// let pool = Pool::for_address("ajp://tomcat.example", PoolConfig::new())?;
    /// assert_eq!(pool.peer(), "ajp://tomcat.example:8009");
    /// assert!(Pool::for_address("http://tomcat.example", PoolConfig::new()).is_err());
    /// # Ok::<(), ajp::client::InvalidAddress>(())
    /// ```
    ///
    /// # Errors
    /// [`InvalidAddress`](super::InvalidAddress) when the text is not an [`Address`].
    pub fn for_address<A>(address: A, config: PoolConfig) -> Result<Self, A::Error>
    where
        A: TryInto<Address>,
    {
        Ok(Self::new(address.try_into()?, config))
    }

    /// As a lease of this thread keeps it.
    fn of_this_thread(&self) -> &PerThreadShared {
        self.handle.per_thread.own()
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }

    /// Whether both are handles to the same pool.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.handle, &other.handle)
    }

    /// The settings that it was made with.
    #[must_use]
    pub fn config(&self) -> &PoolConfig {
        &self.shared().config
    }

    /// The name that it was given ([`PoolConfig::with_name`]), or [`peer`](Self::peer).
    #[must_use]
    pub fn name(&self) -> &str {
        self.shared().id.name()
    }

    /// The container as named in errors.
    #[must_use]
    pub fn peer(&self) -> &str {
        &self.shared().peer
    }

    /// Numbers of this moment.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        self.shared().stats()
    }

    /// Whether all connections are in use, so that whoever takes one now has to wait.
    pub(crate) fn is_full(&self) -> bool {
        let permits = &self.shared().permits;
        permits.in_use() >= permits.total()
    }

    /// A pool of its own to the same container, for asking whether that is well: its
    /// connections come on top of those of this pool, each serves one question, nobody
    /// observes them, and so many may be open at a time.
    pub(crate) fn for_questions(&self, max_connections: usize) -> Self {
        let shared = self.shared();
        let config = PoolConfig {
            max_connections,
            min_idle: 0,
            max_idle: 0,
            cping: CPingMode::NEVER,
            observer: ObserverSlot::default(),
            learn_packet_size: false,
            ..shared.config.clone()
        };
        let secrets = Arc::clone(&shared.secrets);
        let questions = Shared::with_secrets(Arc::clone(&shared.connector), config, secrets);
        Self {
            handle: Handle::new(questions),
        }
    }

    /// A pool of its own to the same container, with these settings but the secrets of this pool,
    /// which both share: for a balancer whose member is to be reached by other limits from now on
    /// (`Balancer::set_pool`).
    #[must_use]
    pub fn with_config(&self, config: PoolConfig) -> Self {
        let shared = self.shared();
        let secrets = Arc::clone(&shared.secrets);
        let other = Shared::with_secrets(Arc::clone(&shared.connector), config, secrets);
        Self {
            handle: Handle::new(other),
        }
    }

    /// Tells this counter from now on of requests that go on without their callers.
    #[cfg(feature = "balancer")]
    pub(crate) fn count_requests_with(&self, counter: Arc<dyn RequestCounter>) {
        self.shared().request_counters.add(counter);
    }

    /// Sends these secrets from now on, as [`PoolConfig::with_secrets`] has it. Connections
    /// stay: the secret is a part of each request.
    pub fn set_secrets(&self, secrets: impl IntoIterator<Item = Secret>) {
        let secrets: Vec<_> = secrets.into_iter().collect();
        self.shared().secrets.set(&secrets);
    }

    /// The secrets that are sent, as they were set last.
    #[must_use]
    pub fn secrets(&self) -> Vec<Secret> {
        self.shared().secrets.all()
    }

    /// The turn to find out whether the container takes longer heads of requests than are known
    /// to be taken; `None` where that is not to be found out, or was lately.
    pub(crate) async fn turn_to_ask_for_size(&self) -> Option<Turn<'_>> {
        self.shared().container_size.turn_to_ask().await
    }

    /// The container has taken the head of a request of this size.
    pub(crate) fn takes_heads_of(&self, size: PacketSize) {
        self.shared().container_size.shown(size);
    }

    /// How long the head of a request may be.
    pub(crate) fn size_of_heads(&self) -> PacketSize {
        self.shared().container_size.of_heads()
    }

    /// What a request is to be sent with.
    pub(crate) fn choose_secret(&self) -> SecretChoice {
        self.shared().secrets.choose()
    }

    /// The container took a request with this secret.
    pub(crate) fn secret_taken(&self, choice: &SecretChoice) {
        self.shared().secret_taken(choice);
    }

    /// Takes an idle connection that is still clean, or opens one.
    ///
    /// # Errors
    /// [`ErrorKind::AcquireTimeout`] when all connections stay in use,
    /// [`ErrorKind::QueueFull`] when too many wait already, [`ErrorKind::Connect`],
    /// [`ErrorKind::ConnectTimeout`], [`ErrorKind::ConnectCutShort`],
    /// [`ErrorKind::LocalResources`], [`ErrorKind::CPing`], [`ErrorKind::CPingTimeout`] and
    /// [`ErrorKind::CPingCutShort`] when a new one cannot be opened,
    /// [`ErrorKind::PoolShut`] after
    /// [`shut_down`](Self::shut_down). An idle connection that the
    /// container has closed is not an error here, it is replaced. One that closes later, under
    /// the request that is written, is an error of the exchange.
    ///
    /// # Cancel safety
    /// Safe: the turn in the queue and any connection in hand are given up.
    pub async fn acquire(&self) -> Result<Lease, ClientError> {
        self.acquire_with(&RequestTimeouts::new()).await
    }

    /// As [`acquire`](Self::acquire), with limits of its own for this request: those of the
    /// exchange too.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire), and [`ErrorKind::RequestTimeout`].
    ///
    /// # Cancel safety
    /// Safe, as [`acquire`](Self::acquire).
    pub async fn acquire_with(&self, timeouts: &RequestTimeouts) -> Result<Lease, ClientError> {
        acquire(self.of_this_thread(), self.limits(timeouts), Wanted::Any).await
    }

    /// Opens a new connection whatever is idle. The oldest idle one is closed if the new one
    /// would be too many.
    ///
    /// # Errors
    /// As [`acquire_with`](Self::acquire_with).
    ///
    /// # Cancel safety
    /// Safe, as [`acquire`](Self::acquire).
    pub async fn acquire_fresh(&self, timeouts: &RequestTimeouts) -> Result<Lease, ClientError> {
        acquire(self.of_this_thread(), self.limits(timeouts), Wanted::New).await
    }

    fn limits(&self, own: &RequestTimeouts) -> Limits {
        Limits::new(&self.config().timeouts, own)
    }

    /// Sends `CPing` over a connection of the pool and waits for `CPong`.
    ///
    /// # Errors
    /// [`ErrorKind::CPing`], [`ErrorKind::CPingTimeout`], or what
    /// [`acquire`](Self::acquire) fails with.
    ///
    /// # Cancel safety
    /// Safe: the connection is closed.
    pub async fn ping(&self) -> Result<Duration, ClientError> {
        let mut lease = self.acquire().await?;
        let start = Instant::now();
        if let Err(error) = lease.ping(start, None).await {
            self.shared().counters.failed(error.kind());
            lease.release(CloseCause::CPing);
            return Err(error);
        }
        let time = start.elapsed();
        lease.put_back();
        Ok(time)
    }

    /// Keeps the pool in order between requests, until it is shut down or its last handle is
    /// dropped: run it in a task of each runtime that uses the pool. The future holds no
    /// handle.
    ///
    /// Again and again ([`PoolConfig::with_maintenance_interval`]) it
    /// - closes idle connections that have expired or that the container has closed,
    /// - asks those with `CPing` that were quiet for
    ///   [`idle_ping_interval`](PoolConfig::with_idle_ping_interval), if that is set,
    /// - opens new ones until [`min_idle`](PoolConfig::with_min_idle) are idle.
    ///
    /// Without it all but the last two happen too, whenever a connection is taken or put back;
    /// but a pool without traffic then keeps its connections open. `Balancer::run` does this
    /// for the pools of its members.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), ajp::client::InvalidAddress> {
    /// use ajp::client::{Pool, PoolConfig};
    /// let pool = Pool::for_address("ajp://127.0.0.1:8009", PoolConfig::new().with_min_idle(2))?;
    /// tokio::spawn(pool.maintain());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Cancel safety
    /// Safe: dropping the future ends it. It needs a tokio runtime with time.
    pub fn maintain(&self) -> impl Future<Output = ()> + Send + use<> {
        maintain::maintain(Arc::clone(self.shared()))
    }

    /// Changes how many connections may exist at a time, to at least 1. When there shall be
    /// fewer, idle ones that are too many are closed at once, and those in use as they come
    /// back; when there may be more, callers that wait get them.
    pub fn resize(&self, max_connections: usize) {
        let shared = self.shared();
        shared
            .permits
            .resize(max_connections.clamp(1, Semaphore::MAX_PERMITS));
        shared.trim_idle();
    }

    /// Opens connections until [`min_idle`](PoolConfig::with_min_idle) are idle or the cap is
    /// reached, and tells how many. For the start, and for a timer of the caller's;
    /// [`maintain`](Self::maintain) does it by itself. Expired ones are closed first. One
    /// connection is opened after the other; requests of the same runtime may take those that
    /// are open already.
    ///
    /// # Errors
    /// What keeps a connection from being opened, as in [`acquire`](Self::acquire). Those
    /// that were opened before stay.
    ///
    /// # Cancel safety
    /// Safe: those that were opened stay.
    pub async fn replenish(&self) -> Result<usize, ClientError> {
        self.evict_expired();
        self.shared().replenish().await
    }

    /// Closes the idle connections that have expired, and the sockets among them that the
    /// container has closed; tells how many. [`maintain`](Self::maintain) does it by itself,
    /// and the pool whenever a connection is taken or put back. It waits for nothing and costs
    /// one system call for each idle connection, none of them under a lock.
    #[allow(clippy::must_use_candidate, reason = "called for what it does")]
    pub fn evict_expired(&self) -> usize {
        self.shared().close_unfit()
    }

    /// Closes the idle connections and hands out no more: callers that wait and those to
    /// come get [`ErrorKind::PoolShut`]. Exchanges go on, and their connections are closed at
    /// the end; [`PoolStats::in_use`] tells how many are left.
    pub fn shut_down(&self) {
        self.shared().shut();
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("name", &self.name())
            .field("peer", &self.peer())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Address;

    #[tokio::test]
    async fn heads_are_as_long_as_the_container_has_shown_that_it_takes() {
        let config = PoolConfig::new().with_packet_size(PacketSize::MAX);
        let pool = |config| Pool::new(Address::tcp("localhost", 8009), config);
        let learning = pool(config.clone().with_learn_packet_size(true));
        assert_eq!(learning.size_of_heads(), PacketSize::DEFAULT);
        assert!(learning.turn_to_ask_for_size().await.is_some());
        let shown = PacketSize::new(16_384).unwrap();
        learning.takes_heads_of(shown);
        assert_eq!(learning.size_of_heads(), shown);
        let fixed = pool(config);
        assert_eq!(fixed.size_of_heads(), PacketSize::MAX);
        assert!(fixed.turn_to_ask_for_size().await.is_none());
    }
}
