//! What becomes of requests and checks, and what that says of members.

use super::Flags;
use super::circuit::Phase;
use super::cluster::Cluster;
use super::member::MemberId;
use super::request::{Choice, Outcome};
use super::slot::Slot;
use crate::trace::event;
use std::time::Instant;

impl Cluster {
    /// A choice has an outcome.
    pub fn answered(&mut self, choice: &Choice, outcome: Outcome<'_>, now: Instant) {
        let outlier = self.config.outlier.as_ref();
        let max_timeouts = self.config.max_timeouts;
        let at = self.slots.binary_search_by_key(&choice.id, |slot| slot.id);
        let Some(slot) = at.ok().and_then(|at| self.slots.get_mut(at)) else {
            return;
        };
        let counters = &mut slot.counters;
        let count = |counter: &mut u64| *counter = counter.saturating_add(1);
        // Why, and whether it must answer a request to be believed again.
        let mut failed: Option<(String, bool)> = None;
        let mut bad = Some(true);
        let trial = slot.circuit.is_trial(choice.serial);
        match outcome {
            Outcome::Answered { status } | Outcome::Unfit { status } => {
                count(&mut counters.answered);
                if let Some(class) = counters.statuses.get_mut(usize::from(status / 100)) {
                    count(class);
                }
                slot.timeouts = 0;
                let time = now.saturating_duration_since(choice.started);
                slot.latency.record(time, now);
                bad = Some(outlier.is_some_and(|outlier| outlier.is_bad(status)));
                if matches!(outcome, Outcome::Unfit { .. }) {
                    let error = format!("it answered {status}");
                    slot.last_error = Some((error.clone(), now));
                    failed = Some((error, true));
                }
            }
            Outcome::TimedOut(error) => {
                count(&mut counters.timed_out);
                slot.timeouts = slot.timeouts.saturating_add(1);
                let time = now.saturating_duration_since(choice.started);
                slot.latency.record(time, now);
                slot.last_error = Some((error.into(), now));
                if trial || max_timeouts.is_some_and(|most| slot.timeouts >= most) {
                    failed = Some((error.into(), true));
                }
            }
            Outcome::Broken(error) => {
                count(&mut counters.failed);
                slot.last_error = Some((error.into(), now));
            }
            Outcome::Unreachable(error) => {
                count(&mut counters.failed);
                slot.last_error = Some((error.into(), now));
                failed = Some((error.into(), false));
            }
            Outcome::Full => {
                count(&mut counters.full);
                bad = None;
            }
            Outcome::Unknown => bad = None,
        }
        if trial && bad == Some(true) && slot.circuit.is_strict() && failed.is_none() {
            failed = Some(("the answer was bad again".into(), true));
        }
        // While it is out, what it says of older requests is no news.
        let serves = slot.circuit.phase(now) == Phase::Closed;
        let over = match (outlier, bad) {
            (Some(outlier), Some(bad)) if serves => slot.rate.record(bad, outlier, now),
            _ => false,
        };
        if let Some((error, strict)) = failed {
            self.fail(choice, &error, strict, now);
        } else if bad.is_none() {
            slot.circuit.release(choice.serial, now);
        } else if slot.circuit.succeed(choice.serial, now) {
            self.recovered(choice.id, now);
        }
        if over {
            self.eject(choice.id, now);
        }
    }

    /// The member of a trial was reached, ahead of its answer. If all that was known against
    /// it is that it could not be reached, it serves again.
    pub fn reached(&mut self, choice: &Choice, now: Instant) {
        let Some(slot) = self.slot_mut(choice.id) else {
            return;
        };
        if slot.circuit.reach(choice.serial, now) {
            self.recovered(choice.id, now);
        }
    }

    /// A choice is over: the response has ended, or will not come.
    pub fn ended(&mut self, choice: &Choice) {
        let Some(slot) = self.slot_mut(choice.id) else {
            return;
        };
        slot.busy = slot.busy.saturating_sub(1);
        slot.ended = slot.ended.saturating_add(1);
        if slot.leaving && slot.busy == 0 {
            self.slots.retain(|slot| slot.id != choice.id);
        }
    }

    /// A response that had begun broke off.
    pub fn broke_off(&mut self, choice: &Choice, error: &str, now: Instant) {
        if let Some(slot) = self.slot_mut(choice.id) {
            slot.counters.failed = slot.counters.failed.saturating_add(1);
            slot.last_error = Some((error.into(), now));
        }
    }

    /// A health check of a member ended. After `fall` failures in a row it is out, after
    /// `rise` successes in a row it serves again.
    pub fn checked(
        &mut self,
        id: MemberId,
        result: Result<(), &str>,
        (rise, fall): (u32, u32),
        now: Instant,
    ) {
        let Some(slot) = self.slot_mut(id) else {
            return;
        };
        if let Err(error) = result {
            slot.last_error = Some((format!("health check: {error}"), now));
        }
        let good = result.is_ok();
        slot.streak = match slot.streak {
            (last, count) if last == good => (good, count.saturating_add(1)),
            _ => (good, 1),
        };
        // A check is no proof against bad answers to requests.
        let unreached = slot.circuit.phase(now) == Phase::Open && !slot.circuit.is_strict();
        let (needed, out) = if good {
            (rise, slot.unhealthy || unreached)
        } else {
            (fall, slot.unhealthy)
        };
        if good != out || slot.streak.1 < needed {
            return;
        }
        event!(
            WARN,
            member = slot.settings.name(),
            healthy = good,
            "health of an AJP member changed"
        );
        if !good {
            slot.unhealthy = true;
        } else if std::mem::take(&mut slot.unhealthy) {
            if !slot.circuit.is_strict() {
                slot.circuit.close(now);
            }
            slot.circuit.restart(now);
            self.recovered(id, now);
        } else {
            // It failed requests; one request must go well first.
            slot.circuit.make_due(now);
        }
    }

    /// Believes a member to be well at once.
    pub fn recover(&mut self, id: MemberId, now: Instant) {
        if let Some(slot) = self.slot_mut(id) {
            slot.unhealthy = false;
            slot.streak = (true, 0);
            if slot.circuit.close(now) {
                self.recovered(id, now);
            }
        }
    }

    fn fail(&mut self, choice: &Choice, error: &str, strict: bool, now: Instant) {
        let pause = self.config.retry;
        let Some(slot) = self.slot_mut(choice.id) else {
            return;
        };
        let pause = slot.settings.retry.unwrap_or(pause);
        if slot.settings.flags.contains(Flags::IGNORE_ERRORS) {
            slot.circuit.release(choice.serial, now);
            return;
        }
        let opened = slot
            .circuit
            .fail(choice.serial, choice.started, now, pause, strict);
        if opened {
            slot.timeouts = 0;
            event!(
                WARN,
                member = slot.settings.name(),
                error,
                "AJP member failed"
            );
        }
        // Without events the text has no reader.
        let _ = error;
    }

    /// Takes a member out for its bad answers, if enough others are left.
    fn eject(&mut self, id: MemberId, now: Instant) {
        let Some(outlier) = self.config.outlier.clone() else {
            return;
        };
        let out = |slot: &&Slot| {
            slot.id == id || slot.unhealthy || slot.circuit.phase(now) != Phase::Closed
        };
        let counted = || {
            self.slots
                .iter()
                .filter(|slot| slot.settings.flags.takes_own())
        };
        let (all, out) = (counted().count(), counted().filter(out).count());
        let most = all.saturating_mul(usize::try_from(outlier.max_out_percent).unwrap_or(100));
        if out.saturating_mul(100) > most {
            return;
        }
        let Some(slot) = self.slot_mut(id) else {
            return;
        };
        if slot.settings.flags.contains(Flags::IGNORE_ERRORS) {
            return;
        }
        let times = slot.rate.eject();
        slot.circuit.open(now, outlier.pause(times), true);
        slot.last_error = Some(("too many bad answers".into(), now));
        event!(
            WARN,
            member = slot.settings.name(),
            times,
            "AJP member ejected"
        );
    }

    fn recovered(&mut self, id: MemberId, now: Instant) {
        if let Some(slot) = self.slot_mut(id) {
            slot.timeouts = 0;
            slot.latency.forget();
            event!(INFO, member = slot.settings.name(), "AJP member recovered");
        }
        self.joined(id, now);
    }
}
