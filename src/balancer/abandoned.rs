//! Requests that a member goes on with although their callers have gone: it is busy with them.

use super::adaptive_limit::{Entry, Load};
use super::cluster::Cluster;
use super::member::MemberId;
use super::shared::Shared;
use crate::client::RequestCounter;
use std::sync::{Arc, Weak};
use std::time::Instant;

/// Counts those that run over one pool for one member.
pub(super) struct AbandonedRequests {
    shared: Weak<Shared>,
    member: MemberId,
}

/// One of them; dropped, it is over. A balancer does not live on for it.
struct AbandonedRequest {
    shared: Weak<Shared>,
    member: MemberId,
    serial: u64,
}

impl AbandonedRequests {
    pub(super) fn of(shared: &Arc<Shared>, member: MemberId) -> Arc<Self> {
        let shared = Arc::downgrade(shared);
        Arc::new(Self { shared, member })
    }
}

impl RequestCounter for AbandonedRequests {
    fn abandoned_begins(&self, is_answered: bool) -> Option<Box<dyn Send>> {
        let shared = self.shared.upgrade()?;
        let member = self.member;
        let serial = shared.with(|state, now| {
            let cluster = &mut state.cluster;
            cluster.abandoned_begins(member, is_answered, now)
        })?;
        Some(Box::new(AbandonedRequest {
            shared: Weak::clone(&self.shared),
            member,
            serial,
        }))
    }

    fn is_over(&self) -> bool {
        let shared = self.shared.upgrade();
        shared.is_none_or(|shared| shared.change(|state| !state.cluster.knows(self.member)))
    }

    /// The balancer's place in memory, which is no other one's as long as this is there, and the
    /// member.
    fn counts_for(&self) -> (usize, u64) {
        (self.shared.as_ptr().addr(), self.member.0)
    }
}

impl Drop for AbandonedRequest {
    fn drop(&mut self) {
        let (member, serial) = (self.member, self.serial);
        if let Some(shared) = self.shared.upgrade() {
            shared.with(|state, now| state.cluster.abandoned_ends(member, serial, now));
        }
    }
}

impl Cluster {
    /// Whether this is a member, or one that is leaving.
    fn knows(&self, id: MemberId) -> bool {
        self.roster.get(id).is_some()
    }

    /// The caller of a request has gone, and the member goes on with it until
    /// [`abandoned_ends`](Self::abandoned_ends); gives the number to tell it by.
    fn abandoned_begins(&mut self, id: MemberId, is_answered: bool, now: Instant) -> Option<u64> {
        let serial = self.next_serial();
        let slot = self.roster.get_mut(id)?;
        slot.busy += 1;
        // One whose body streams is none that an adaptive limit counts.
        if let (Some(limiter), false) = (&mut slot.limiter, is_answered) {
            limiter.enter_abandoned(serial, now);
        }
        Some(serial)
    }

    /// Such a request is over.
    fn abandoned_ends(&mut self, id: MemberId, serial: u64, now: Instant) {
        let Some(slot) = self.roster.get_mut(id) else {
            return;
        };
        if let Some(limiter) = &mut slot.limiter {
            // Nothing is learned of it.
            limiter.leave(Entry {
                serial,
                started: now,
                load: Load::Usual,
            });
        }
        if slot.is_left_by_one() {
            self.forget(id);
        }
    }
}
