//! Connections to one container: a hard cap with a bounded fair queue, the newest idle one
//! first, nothing reused that is not proven clean. No background task.

use super::acquire::{acquire, try_enter};
use super::cause::CloseCause;
use super::config::PoolConfig;
use super::error::Error;
#[cfg(doc)]
use super::error::ErrorKind;
use super::idle::Doomed;
use super::lease::Lease;
use super::limits::Limits;
use super::shared::Shared;
use super::stats::PoolStats;
use super::timeouts::RequestTimeouts;
use super::transport::Connect;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// A pool of connections to one container. Cloning gives another handle to the same pool.
///
/// Several runtimes may share a pool, such as one for each core: its limits and numbers are
/// those of all of them together, and an idle connection is used only in the runtime that
/// opened it, which alone drives it. Where all places but those of idle connections of
/// others are taken, the oldest of these is closed.
///
/// When the last handle is dropped the idle connections are closed; exchanges go on, and
/// their connections are closed at the end.
#[derive(Clone)]
pub struct Pool {
    handle: Arc<Handle>,
}

/// What all clones of a pool own together, and leases do not.
struct Handle(Arc<Shared>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.shut();
    }
}

impl Pool {
    /// A pool that opens connections with `connector`, usually an
    /// [`Address`](super::Address), when they are needed.
    pub fn new(connector: impl Connect, config: PoolConfig) -> Self {
        let shared = Arc::new(Shared::new(connector, config));
        Self {
            handle: Arc::new(Handle(shared)),
        }
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.handle.0
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &PoolConfig {
        &self.shared().config
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

    /// Takes the newest idle connection that is still clean, or opens one.
    ///
    /// # Errors
    /// [`ErrorKind::AcquireTimeout`] when all connections stay in use,
    /// [`ErrorKind::QueueFull`] when too many wait already, [`ErrorKind::Connect`],
    /// [`ErrorKind::ConnectTimeout`], [`ErrorKind::ConnectCutShort`],
    /// [`ErrorKind::LocalResources`], [`ErrorKind::CPing`], [`ErrorKind::CPingTimeout`] and
    /// [`ErrorKind::CPingCutShort`] when a new one cannot be opened,
    /// [`ErrorKind::PoolShut`] after
    /// [`shut_down`](Self::shut_down). A stale idle connection is never an error.
    ///
    /// # Cancel safety
    /// Safe: the place in the queue and any connection in hand are given up.
    pub async fn acquire(&self) -> Result<Lease, Error> {
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
    pub async fn acquire_with(&self, timeouts: &RequestTimeouts) -> Result<Lease, Error> {
        acquire(self.shared(), self.limits(timeouts), false).await
    }

    /// Opens a new connection whatever is idle. The oldest idle one is closed if the new one
    /// would be too many.
    ///
    /// # Errors
    /// As [`acquire_with`](Self::acquire_with).
    ///
    /// # Cancel safety
    /// Safe, as [`acquire`](Self::acquire).
    pub async fn acquire_fresh(&self, timeouts: &RequestTimeouts) -> Result<Lease, Error> {
        acquire(self.shared(), self.limits(timeouts), true).await
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
    pub async fn ping(&self) -> Result<Duration, Error> {
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

    /// Opens connections until [`min_idle`](PoolConfig::with_min_idle) are idle or no place is
    /// free, and tells how many. For the start, and for a timer of the caller's: the pool
    /// has none. Expired ones are closed first. One connection is opened after the other;
    /// requests of the same runtime may take those that are open already.
    ///
    /// # Errors
    /// What keeps a connection from being opened, as in [`acquire`](Self::acquire). Those
    /// that were opened before stay.
    ///
    /// # Cancel safety
    /// Safe: those that were opened stay.
    pub async fn replenish(&self) -> Result<usize, Error> {
        self.evict_expired();
        let shared = self.shared();
        let wanted = shared.config.min_idle.min(shared.config.max_idle);
        let mut opened = 0usize;
        while opened < wanted && shared.idle.len() < wanted {
            let limits = self.limits(&RequestTimeouts::new());
            let Some(mut lease) = try_enter(shared, limits) else {
                break;
            };
            if shared.is_full() {
                break;
            }
            if let Err(error) = lease.open().await {
                shared.counters.failed(error.kind());
                return Err(error);
            }
            lease.put_back();
            opened = opened.saturating_add(1);
        }
        Ok(opened)
    }

    /// Closes the idle connections that have expired, and the sockets among them that the
    /// container has closed; tells how many. The pool does this for itself whenever a
    /// connection is taken or put back, but a pool without traffic does nothing: call it from
    /// a timer if that matters. It waits for nothing and costs one system call for each idle
    /// connection.
    #[allow(clippy::must_use_candidate, reason = "called for what it does")]
    pub fn evict_expired(&self) -> usize {
        let mut doomed = Doomed::new();
        self.shared().idle.drop_unfit(Instant::now(), &mut doomed);
        self.shared().close_all(doomed)
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
            .field("peer", &self.shared().peer)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
