//! When no member can serve: whether that can be changed, why it is so, and what is counted.

use super::super::circuit::Phase;
use super::super::request::Affinity;
use super::super::slot::Slot;
use super::super::unavailable::{Reason, Unavailable};
use super::Selection;
use std::time::Duration;

impl Selection<'_> {
    /// Counts a session whose member does not exist: once, however many members the request
    /// is tried on.
    pub(super) fn count_session(&mut self, affinity: Affinity) {
        if affinity == Affinity::Unknown && self.request.tried.is_empty() {
            let session = self.request.session;
            let route = session.and_then(|session| session.routes().first());
            self.totals
                .unknown_route(route.copied().unwrap_or_default());
        }
    }

    /// Ends the pauses of all members when every one that may serve has failed. Whether
    /// that changed anything.
    pub(super) fn force_recovery(&mut self) -> bool {
        let now = self.now;
        let may_serve =
            |slot: &Slot| slot.terms.flags.takes_new() && !slot.leaving && !slot.is_unhealthy();
        let works = |slot: &Slot| may_serve(slot) && slot.circuit.phase(now) == Phase::Closed;
        if !self.config.forced_recovery || self.roster.slots.iter().any(works) {
            return false;
        }
        let mut changed = false;
        for slot in self.roster.slots.iter_mut().filter(|slot| may_serve(slot)) {
            changed |= slot.circuit.make_due(now);
        }
        if changed {
            self.totals.forced_recovery();
        }
        changed
    }

    pub(super) fn why_none(&self) -> Reason {
        let all = || {
            let slots = self.roster.slots.iter();
            slots.filter(|slot| slot.terms.flags.takes_new() && !slot.leaving)
        };
        if all().next().is_none() {
            Reason::NoMember
        } else if all().any(|slot| slot.works(self.now) && slot.is_full(self.now)) {
            Reason::Full
        } else if !self.request.tried.is_empty() {
            Reason::AllTried
        } else {
            Reason::Down
        }
    }

    /// Refuses a request of a session whose members have no free slot.
    pub(super) fn refuse_session(&mut self, index: usize) -> Unavailable {
        let session = self.request.session;
        let route = session.and_then(|session| session.routes().get(index).copied());
        for slot in &mut self.roster.slots {
            let own = slot.settings.route.as_ref().map(String::as_bytes);
            if own.is_some() && own == route {
                slot.count_refusal(self.now);
            }
        }
        self.unavailable(Reason::Full)
    }

    pub(super) fn refuse(&mut self, reason: Reason) -> Unavailable {
        if reason == Reason::Full {
            for slot in &mut self.roster.slots {
                slot.count_refusal(self.now);
            }
        }
        self.unavailable(reason)
    }

    fn unavailable(&mut self, reason: Reason) -> Unavailable {
        self.totals.refused(reason);
        let retry_after = match reason {
            Reason::NoMember | Reason::AllTried => None,
            Reason::Full => Some(self.config.retry_after),
            Reason::Down | Reason::SessionLost => {
                let slots = self.roster.slots.iter();
                let slots = slots.filter(|slot| slot.terms.flags.takes_new());
                let due = slots.filter_map(|slot| slot.circuit.due_in(self.now)).min();
                Some(due.unwrap_or_default().max(Duration::from_secs(1)))
            }
        };
        Unavailable {
            reason,
            retry_after,
        }
    }
}
