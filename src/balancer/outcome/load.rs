//! The load that members tell of, for the limits that adapt to it.

use super::super::cluster::Cluster;
use super::super::member::MemberId;
use std::time::{Duration, Instant};

impl Cluster {
    /// A member answered `CPing` after `round_trip`: how long a request waits for a thread of
    /// it, for [`AdaptiveLimit`](crate::balancer::AdaptiveLimit).
    pub fn cping_answered(&mut self, id: MemberId, round_trip: Duration, now: Instant) {
        let slot = self.roster.get_mut(id);
        if let Some(limiter) = slot.and_then(|slot| slot.limiter.as_mut()) {
            limiter.cpong(round_trip, now);
        }
    }

    /// How many requests may wait for an answer of this member, if that is found out by an
    /// [`AdaptiveLimit`](crate::balancer::AdaptiveLimit): as it was when the member was last
    /// given a request or answered one.
    #[must_use]
    pub fn adaptive_limit(&self, id: MemberId) -> Option<u32> {
        let limiter = self.roster.get(id)?.limiter.as_ref()?;
        Some(limiter.last_places())
    }

    /// Whether so many requests run at this member that it is worth while to ask it with `CPing`
    /// how long they wait.
    pub(in crate::balancer) fn is_under_load(&self, id: MemberId, now: Instant) -> bool {
        let slot = self.roster.get(id);
        slot.is_some_and(|slot| {
            let limiter = slot.limiter.as_ref();
            limiter.is_some_and(|limiter| slot.busy > limiter.places(now) / 4)
        })
    }
}
