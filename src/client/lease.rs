//! A connection of a pool in the hands of a caller.

use super::cause::CloseCause;
use super::connection::Connection;
use super::limits::Limits;
use super::phases::Stopwatch;
use super::shared::PerThreadShared;
use super::timeouts::Timeouts;
use std::fmt;
use std::sync::Arc;
use tokio::time::Instant;

/// A connection of a [`Pool`](super::Pool) in the hands of its caller, clean and idle, with the
/// permit to have it. Dropping it closes the connection.
pub struct Lease {
    pub(super) connection: Option<Box<Connection>>,
    pub(super) shared: PerThreadShared,
    /// Whether it holds one of the pool's permits, as it must to have a connection.
    pub(super) has_permit: bool,
    pub(super) reused: bool,
    pub(super) limits: Limits,
    pub(super) stopwatch: Stopwatch,
}

impl Lease {
    /// Without a permit and without a connection.
    pub(super) fn new(shared: &PerThreadShared, limits: Limits) -> Self {
        Self {
            connection: None,
            shared: Arc::clone(shared),
            has_permit: false,
            reused: false,
            limits,
            stopwatch: Stopwatch::new(),
        }
    }

    /// Whether the connection was idle in the pool, and so may turn out to be stale.
    #[must_use]
    pub fn is_reused(&self) -> bool {
        self.reused
    }

    /// When its request must be over.
    pub(crate) fn request_by(&self) -> Option<Instant> {
        self.limits.request_by
    }

    /// The container as named in errors.
    #[must_use]
    pub fn peer(&self) -> &str {
        &self.shared.peer
    }

    /// Puts a clean connection back and gives up the permit. Only for callers that have
    /// proven it clean.
    pub(super) fn put_back(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.shared.put_back(connection);
        }
        self.release_permit();
    }

    /// Closes the connection and gives up the permit.
    pub(super) fn release(&mut self, cause: CloseCause) {
        self.close(cause);
        self.release_permit();
    }

    /// Closes the connection now and keeps the permit.
    pub(super) fn close(&mut self, cause: CloseCause) {
        if let Some(connection) = self.connection.take() {
            self.shared.close(connection, cause);
        }
    }

    /// Gives up the permit. The connection must be closed or put back before.
    pub(super) fn release_permit(&mut self) {
        if std::mem::take(&mut self.has_permit) {
            self.shared.release_permit();
        }
    }

    /// The watchdog has given up the permit.
    pub(super) fn forget_permit(&mut self) {
        self.has_permit = false;
    }

    /// Moves the permit out of an exchange that has failed.
    pub(super) fn take(&mut self) -> Self {
        Self {
            connection: self.connection.take(),
            shared: Arc::clone(&self.shared),
            has_permit: std::mem::take(&mut self.has_permit),
            reused: self.reused,
            limits: self.limits.take(),
            stopwatch: Stopwatch::new(),
        }
    }

    /// The limits of its request.
    pub(super) fn timeouts(&self) -> &Timeouts {
        self.limits.timeouts(&self.shared.config.timeouts)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // The connection is closed before its permit is free.
        self.release(CloseCause::Dropped);
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("peer", &self.shared.peer)
            .field("reused", &self.reused)
            .finish_non_exhaustive()
    }
}
