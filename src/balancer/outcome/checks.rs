//! What health checks say of members.

use super::super::circuit::Phase;
use super::super::cluster::Cluster;
use super::super::events::MemberChange;
use super::super::member::MemberId;
use super::super::request::CheckOutcome;
use super::super::slot::{Checks, Verdict};
use std::time::Instant;

impl Cluster {
    /// A health check of a member ended. After `fall` failures in a row it is out, after
    /// `rise` successes in a row it serves again.
    pub fn checked(
        &mut self,
        id: MemberId,
        outcome: CheckOutcome<'_>,
        (rise, fall): (u32, u32),
        now: Instant,
    ) {
        let Some(slot) = self.roster.get_mut(id) else {
            return;
        };
        let error = match outcome {
            CheckOutcome::Passed => None,
            CheckOutcome::Late { signs_of_life, .. } if slot.signs_of_life() != signs_of_life => {
                // It is at work, and that is all that can be asked.
                return;
            }
            CheckOutcome::Failed(error) | CheckOutcome::Late { error, .. } => {
                slot.last_error = Some((format!("health check: {error}"), now));
                Some(error)
            }
        };
        let checks = &mut slot.checks;
        let passed = error.is_none();
        checks.in_a_row = if checks.last_passed == passed {
            checks.in_a_row.saturating_add(1)
        } else {
            1
        };
        checks.last_passed = passed;
        match (error, checks.verdict) {
            (Some(error), Verdict::Healthy) if checks.in_a_row >= fall => {
                self.unhealthy_order = self.unhealthy_order.wrapping_add(1);
                checks.verdict = Verdict::Unhealthy {
                    order: self.unhealthy_order,
                };
                let error = error.to_owned();
                self.spare_too_few(now);
                let spared = self.roster.get(id).is_some_and(|slot| !slot.is_unhealthy());
                self.changed(
                    id,
                    if spared {
                        MemberChange::Spared { error }
                    } else {
                        MemberChange::Unhealthy { error }
                    },
                );
            }
            (None, Verdict::Unhealthy { .. } | Verdict::KeptServing { .. })
                if checks.in_a_row >= rise =>
            {
                checks.verdict = Verdict::Healthy;
                if !slot.circuit.is_strict() {
                    slot.circuit.close(now);
                }
                slot.circuit.restart(now);
                self.recovered(id, now);
            }
            // It failed requests, not checks, and for no worse reason than that it could not
            // be reached: the next request tries it.
            (None, Verdict::Healthy)
                if checks.in_a_row >= rise
                    && slot.circuit.phase(now) == Phase::Open
                    && !slot.circuit.is_strict() =>
            {
                slot.circuit.make_due(now);
            }
            _ => {}
        }
    }

    /// Members are not checked any more: no check keeps any of them out.
    pub(in super::super) fn forget_checks(&mut self, now: Instant) {
        let mut recovered = Vec::new();
        for slot in &mut self.roster.slots {
            if slot.checks.verdict != Verdict::Healthy {
                recovered.push(slot.id);
            }
            slot.checks = Checks::NEW;
        }
        for id in recovered {
            self.recovered(id, now);
        }
    }

    /// Believes a member to be well at once.
    pub fn recover(&mut self, id: MemberId, now: Instant) {
        let Some(slot) = self.roster.get_mut(id) else {
            return;
        };
        let was_healthy = slot.checks.verdict == Verdict::Healthy;
        slot.checks = Checks::NEW;
        if slot.circuit.close(now) || !was_healthy {
            self.recovered(id, now);
        }
    }
}
