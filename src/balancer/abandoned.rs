//! Requests that a member goes on with although their callers have gone: it is busy with them.

use super::adaptive_limit::{Entry, Load};
use super::cluster::Cluster;
use super::member::MemberId;
use super::shared::Shared;
use crate::client::RequestCounter;
use std::any::Any;
use std::sync::{Arc, Weak};
use std::time::Instant;

/// Counts those that run over one pool for one member.
pub(super) struct AbandonedRequests {
    shared: Weak<Shared>,
    member: MemberId,
}

/// One of them; dropped, it is over.
struct AbandonedRequest {
    shared: Arc<Shared>,
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
    fn goes_on_alone(&self, is_answered: bool) -> Option<Box<dyn Any + Send>> {
        let shared = self.shared.upgrade()?;
        let member = self.member;
        let serial = shared.with(|state, now| {
            let cluster = &mut state.cluster;
            cluster.goes_on_alone(member, is_answered, now)
        })?;
        Some(Box::new(AbandonedRequest {
            shared,
            member,
            serial,
        }))
    }

    fn is_over(&self) -> bool {
        let shared = self.shared.upgrade();
        shared.is_none_or(|shared| shared.change(|state| !state.cluster.knows(self.member)))
    }
}

impl Drop for AbandonedRequest {
    fn drop(&mut self) {
        let (member, serial) = (self.member, self.serial);
        self.shared
            .with(|state, now| state.cluster.ended_alone(member, serial, now));
    }
}

impl Cluster {
    /// Whether this is a member, or one that is leaving.
    fn knows(&self, id: MemberId) -> bool {
        self.roster.get(id).is_some()
    }

    /// The caller of a request has gone, and the member goes on with it until
    /// [`ended_alone`](Self::ended_alone); gives the number to tell it by.
    fn goes_on_alone(&mut self, id: MemberId, is_answered: bool, now: Instant) -> Option<u64> {
        let slot = self.roster.get_mut(id)?;
        self.serial = self.serial.wrapping_add(1);
        slot.busy += 1;
        // One whose body streams is none that an adaptive limit counts.
        if let (Some(limiter), false) = (&mut slot.limiter, is_answered) {
            limiter.enter_alone(self.serial, now);
        }
        Some(self.serial)
    }

    /// Such a request is over.
    fn ended_alone(&mut self, id: MemberId, serial: u64, now: Instant) {
        let Some(slot) = self.roster.get_mut(id) else {
            return;
        };
        slot.busy = slot.busy.saturating_sub(1);
        if let Some(limiter) = &mut slot.limiter {
            // Nothing is learned of it.
            limiter.leave(Entry {
                serial,
                started: now,
                load: Load::Usual,
            });
        }
        if slot.leaving && slot.busy == 0 {
            self.forget(id);
        }
    }
}
