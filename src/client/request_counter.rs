//! Who counts the requests that run at a container, beside its pool.

use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError};

/// Counts the requests that run at a container. It knows when a caller gives a request up; that
/// the container goes on with it
/// ([`PoolConfig::with_abandoned`](super::PoolConfig::with_abandoned)) only the pool knows.
pub(crate) trait RequestCounter: Send + Sync {
    /// The container goes on with a request whose caller has gone; `is_answered` says whether the
    /// head of its answer had come. It is over when what is returned is dropped.
    fn goes_on_alone(&self, is_answered: bool) -> Option<Box<dyn Any + Send>>;

    /// Nobody asks any more what it counts.
    fn is_over(&self) -> bool;
}

/// Those of one pool. Usually it is one: the balancer's that the pool was given to.
#[derive(Default)]
pub(super) struct RequestCounters(Mutex<Vec<Arc<dyn RequestCounter>>>);

impl RequestCounters {
    pub(super) fn add(&self, counter: Arc<dyn RequestCounter>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|known| !known.is_over());
        known.push(counter);
    }

    /// Tells all of a request that goes on alone.
    pub(super) fn goes_on_alone(&self, is_answered: bool) -> Vec<Box<dyn Any + Send>> {
        let known = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let counted = known.iter();
        counted
            .filter_map(|counter| counter.goes_on_alone(is_answered))
            .collect()
    }
}
