//! The hook for metrics.

use super::cause::CloseCause;
use super::error::ErrorKind;
use super::mismatch::Mismatch;
use super::phases::Phases;
use crate::proto::Progress;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

/// Is told what happens in a pool: what histograms and counters are fed from. Every method
/// does nothing unless it is overridden.
///
/// The methods are called by whoever drives the pool, also while a future is dropped, and
/// never under a lock of the pool: they may ask it for its
/// [`stats`](super::Pool::stats). They must return soon and must not block. A panic in one of
/// them is caught and changes nothing; the panic hook has reported it.
///
/// ```
/// use ajp::client::{ExchangeReport, Observer, PoolConfig};
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// #[derive(Default)]
/// struct Slow(AtomicU64);
///
/// impl Observer for Slow {
///     fn exchange_finished(&self, report: &ExchangeReport<'_>) {
///         if report.phases.total.as_secs() >= 1 {
///             self.0.fetch_add(1, Ordering::Relaxed);
///         }
///     }
/// }
///
/// let slow = std::sync::Arc::new(Slow::default());
/// let config = PoolConfig::default().with_observer(slow.clone());
/// ```
pub trait Observer: Send + Sync + 'static {
    /// Whether [`exchange_finished`](Self::exchange_finished) wants to be told of an exchange that
    /// begins, and its phases to be measured, which takes a look at the clock for each of them.
    fn wants_exchanges(&self) -> bool {
        true
    }

    /// A connection was opened, after this long.
    fn connection_opened(&self, pool: &PoolId, took: Duration) {
        let _ = (pool, took);
    }

    /// A connection was closed.
    fn connection_closed(&self, pool: &PoolId, report: &ConnectionReport) {
        let _ = (pool, report);
    }

    /// A connection is in hand after `waited` for its turn in the pool.
    fn acquired(&self, pool: &PoolId, waited: Duration, reused: bool) {
        let _ = (pool, waited, reused);
    }

    /// No connection is in hand after `took`.
    fn acquire_failed(&self, pool: &PoolId, took: Duration, error: ErrorKind) {
        let _ = (pool, took, error);
    }

    /// `CPing` was answered after this long.
    fn cping(&self, pool: &PoolId, round_trip: Duration) {
        let _ = (pool, round_trip);
    }

    /// `CPing` was not answered as it should be. When an idle connection was asked, another
    /// is taken and the request does not fail.
    fn cping_failed(&self, pool: &PoolId, took: Duration, error: ErrorKind) {
        let _ = (pool, took, error);
    }

    /// The container takes another one of the pool's secrets than before, from now on:
    /// its place in [`PoolConfig::with_secrets`](super::PoolConfig::with_secrets), from 0 on.
    fn secret_changed(&self, pool: &PoolId, place: usize) {
        let _ = (pool, place);
    }

    /// An exchange is over, in whichever way.
    fn exchange_finished(&self, report: &ExchangeReport<'_>) {
        let _ = report;
    }
}

impl<O: Observer + ?Sized> Observer for Arc<O> {
    fn wants_exchanges(&self) -> bool {
        (**self).wants_exchanges()
    }

    fn connection_opened(&self, pool: &PoolId, took: Duration) {
        (**self).connection_opened(pool, took);
    }

    fn connection_closed(&self, pool: &PoolId, report: &ConnectionReport) {
        (**self).connection_closed(pool, report);
    }

    fn acquired(&self, pool: &PoolId, waited: Duration, reused: bool) {
        (**self).acquired(pool, waited, reused);
    }

    fn acquire_failed(&self, pool: &PoolId, took: Duration, error: ErrorKind) {
        (**self).acquire_failed(pool, took, error);
    }

    fn cping(&self, pool: &PoolId, round_trip: Duration) {
        (**self).cping(pool, round_trip);
    }

    fn cping_failed(&self, pool: &PoolId, took: Duration, error: ErrorKind) {
        (**self).cping_failed(pool, took, error);
    }

    fn secret_changed(&self, pool: &PoolId, place: usize) {
        (**self).secret_changed(pool, place);
    }

    fn exchange_finished(&self, report: &ExchangeReport<'_>) {
        (**self).exchange_finished(report);
    }
}

/// Which pool something happened in: what time series are labelled with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolId {
    name: Arc<str>,
    peer: Arc<str>,
}

impl PoolId {
    pub(super) fn new(name: Option<&str>, peer: &Arc<str>) -> Self {
        Self {
            name: name.map_or_else(|| Arc::clone(peer), Arc::from),
            peer: Arc::clone(peer),
        }
    }

    /// The name of the pool ([`PoolConfig::with_name`](super::PoolConfig::with_name)), or
    /// [`peer`](Self::peer) if it was given none.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The container as named in errors.
    #[must_use]
    pub fn peer(&self) -> &str {
        &self.peer
    }

    pub(crate) fn shared_name(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }
}

/// A connection that was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionReport {
    /// Why.
    pub cause: CloseCause,
    /// How long it was open.
    pub age: Duration,
    /// Exchanges that were begun on it.
    pub exchanges: u64,
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes sent.
    pub bytes_out: u64,
}

/// An exchange that is over. It holds nothing of what was exchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExchangeReport<'a> {
    /// The pool it went over.
    pub pool: &'a PoolId,
    /// The [`RequestId`](super::RequestId) that the request had in its extensions.
    pub request_id: Option<&'a str>,
    /// How it ended.
    pub outcome: ExchangeOutcome,
    /// Status of the response, if it came.
    pub status: Option<u16>,
    /// How far it had got.
    pub progress: Progress,
    /// Whether the connection had been idle in the pool.
    pub reused: bool,
    /// Whether what the container did tells of settings that differ on both sides.
    pub mismatch: Option<Mismatch>,
    /// Where the time went.
    pub phases: Phases,
    /// Bytes received for it.
    pub bytes_in: u64,
    /// Bytes sent for it.
    pub bytes_out: u64,
}

/// How an exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ExchangeOutcome {
    /// With End Response.
    Completed,
    /// With an error.
    Failed(ErrorKind),
    /// The caller dropped it.
    Dropped,
}

impl ExchangeOutcome {
    /// A short name for metrics and logs: `completed`, `dropped`, or that of the error.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed(kind) => kind.label(),
            Self::Dropped => "dropped",
        }
    }
}

/// The observer of a pool, if it has one.
#[derive(Clone, Default)]
pub(super) struct ObserverSlot(Option<Arc<dyn Observer>>);

impl ObserverSlot {
    pub(super) fn new(observer: impl Observer) -> Self {
        Self(Some(Arc::new(observer)))
    }

    pub(super) fn wants_exchanges(&self) -> bool {
        self.0.as_ref().is_some_and(|observer| {
            let wanted = catch_unwind(AssertUnwindSafe(|| observer.wants_exchanges()));
            wanted.unwrap_or(true)
        })
    }

    pub(super) fn tell(&self, what: impl FnOnce(&dyn Observer)) {
        if let Some(observer) = &self.0 {
            // A second panic while one unwinds would end the process, and the pool is in
            // order whatever the observer is in.
            let _ = catch_unwind(AssertUnwindSafe(|| what(&**observer)));
        }
    }
}

impl fmt::Debug for ObserverSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Some" } else { "None" })
    }
}
