//! Who counts the requests that run at a container, beside its pool.

use std::sync::{Arc, Mutex, PoisonError};

/// Counts the requests that run at a container. It knows when a caller gives a request up; that
/// the container goes on with it
/// ([`PoolConfig::with_abandoned`](super::PoolConfig::with_abandoned)) only the pool knows.
pub(crate) trait RequestCounter: Send + Sync {
    /// The caller of a request has gone, and the container goes on with it; `is_answered` says
    /// whether the head of its answer had come. It is over when what is returned is dropped.
    fn abandoned_begins(&self, is_answered: bool) -> Option<Box<dyn Send>>;

    /// Nobody asks any more what it counts.
    fn is_over(&self) -> bool;

    /// What it counts for, as a number that no other counter has that counts for something else.
    fn counts_for(&self) -> (usize, u64);
}

/// Those of one pool. Usually it is one: the balancer's that the pool was given to.
#[derive(Default)]
pub(super) struct RequestCounters(Mutex<Vec<Arc<dyn RequestCounter>>>);

impl RequestCounters {
    /// One more, unless there is one that counts for the same.
    pub(super) fn add(&self, counter: Arc<dyn RequestCounter>) {
        // They are asked without the lock: what they look at may end with that.
        let over: Vec<_> = self
            .all()
            .iter()
            .filter(|known| known.is_over())
            .map(|known| known.counts_for())
            .collect();
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|known| !over.contains(&known.counts_for()));
        let added = counter.counts_for();
        if !known.iter().any(|known| known.counts_for() == added) {
            known.push(counter);
        }
    }

    /// Tells all of a request whose caller has gone.
    pub(super) fn abandoned_begins(&self, is_answered: bool) -> Vec<Box<dyn Send>> {
        let counters = self.all();
        let counted = counters.iter();
        counted
            .filter_map(|counter| counter.abandoned_begins(is_answered))
            .collect()
    }

    fn all(&self) -> Vec<Arc<dyn RequestCounter>> {
        let known = self.0.lock();
        known.unwrap_or_else(PoisonError::into_inner).clone()
    }
}
