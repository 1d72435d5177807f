//! What becomes of requests and checks, and what that says of members.

mod checks;
mod eject;
mod finding;
mod load;
mod panic_threshold;

use super::Flags;
use super::circuit::Phase;
use super::cluster::Cluster;
use super::events::MemberChange;
use super::member::MemberId;
use super::outlier::Fault;
use super::request::{Affinity, Choice, RequestOutcome};
use super::slot::Slot;
use finding::{Failure, Finding, StaysInService};
use std::time::{Duration, Instant};

/// How often it is told of a member that it fails and is spared.
const SPARED_PAUSE: Duration = Duration::from_secs(10);

impl Cluster {
    /// A choice has an outcome.
    pub fn answered(&mut self, choice: &Choice, outcome: RequestOutcome<'_>, now: Instant) {
        let outlier = self.config.outlier.as_ref();
        let max_timeouts = self.config.max_timeouts;
        let Some(slot) = self.roster.get_mut(choice.id) else {
            return;
        };
        let answered = matches!(
            outcome,
            RequestOutcome::Answered { .. } | RequestOutcome::Unfit { .. }
        );
        if answered && choice.affinity == Affinity::Moved {
            self.totals.moved_session();
        }
        let is_bad = |status| outlier.is_some_and(|outlier| outlier.is_bad(status));
        let finding = slot.count_outcome(choice, outcome, max_timeouts, is_bad, now);
        let Finding { mut failure, bad } = finding;
        let trial = slot.circuit.is_trial(choice.serial);
        if trial && bad == Some(true) && slot.circuit.is_strict() && failure.is_none() {
            failure = Some(Failure {
                error: "the answer was bad again".into(),
                needs_answer: true,
                spared: StaysInService::Never,
            });
        }
        // While it is out, what it says of older requests is no news.
        let serves = slot.circuit.phase(now) == Phase::Closed;
        let took = now.saturating_duration_since(choice.waits_since);
        let (mut over, mut compare_time) = (false, false);
        if let (Some(outlier), Some(bad)) = (outlier, bad) {
            if serves {
                over = slot.rate.record(bad, took, outlier, now);
                compare_time =
                    outlier.peer_latency.is_some() && slot.rate.is_comparison_due(outlier);
            } else if slot.circuit.keeps_sessions()
                && slot.rate.record_while_out(bad, took, outlier)
            {
                slot.circuit.let_sessions_go();
            }
        }
        match (failure, bad) {
            (Some(failure), _) => self.fail(choice, failure, now),
            (None, None) => slot.circuit.release(choice.serial, now),
            (None, Some(_)) => {
                if slot.circuit.succeed(choice.passage(), now) {
                    self.recovered(choice.id, now);
                }
            }
        }
        if over || (serves && bad == Some(true) && self.falls_behind(choice.id, now)) {
            self.eject(choice.id, Fault::BadAnswers, now);
        } else if compare_time && self.is_slow_beside_others(choice.id, now) {
            self.eject(choice.id, Fault::LateAnswers, now);
        }
    }

    /// Another member gave a better answer to a request that this one had answered with a status
    /// that it should not have given: so it was the member, and not the request.
    pub(crate) fn was_unfit(&mut self, choice: &Choice, status: u16, now: Instant) {
        let Some(slot) = self.roster.get_mut(choice.id) else {
            return;
        };
        let failure = slot.unfit(status, now);
        self.fail(choice, failure, now);
    }

    /// The member of a trial was reached, ahead of its answer. If all that was known against
    /// it is that it could not be reached, it serves again.
    pub fn reached(&mut self, choice: &Choice, now: Instant) {
        let slot = self.roster.get_mut(choice.id);
        if slot.is_some_and(|slot| slot.circuit.reach(choice.serial, now)) {
            self.recovered(choice.id, now);
        }
    }

    /// A choice is over: the response has ended, or will not come.
    pub fn ended(&mut self, choice: &Choice) {
        let Some(slot) = self.roster.get_mut(choice.id) else {
            return;
        };
        slot.ended = slot.ended.wrapping_add(1);
        if let Some(limiter) = &mut slot.limiter {
            limiter.leave(choice.entry());
        }
        if slot.is_left_by_one() {
            self.forget(choice.id);
        }
    }

    /// A response that had begun broke off, and the member is to blame: either it closed the
    /// connection, or it sent nothing more in time.
    pub fn broke_off(&mut self, choice: &Choice, outcome: RequestOutcome<'_>, now: Instant) {
        let Some(slot) = self.roster.get_mut(choice.id) else {
            return;
        };
        let (counter, error) = match outcome {
            RequestOutcome::TimedOut(error) => (&mut slot.counters.timed_out, error),
            RequestOutcome::Broken(error) => (&mut slot.counters.failed, error),
            _ => return,
        };
        *counter = counter.wrapping_add(1);
        slot.last_error = Some((error.into(), now));
    }

    /// The container answered a request of one of its own sessions with a new session: it did
    /// not know the old one any more.
    pub fn session_replaced(&mut self, choice: &Choice) {
        self.totals.lost_session();
        if let Some(slot) = self.roster.get_mut(choice.id) {
            slot.counters.lost_sessions = slot.counters.lost_sessions.wrapping_add(1);
        }
    }

    /// A number that changes whenever the member does something for a request: see
    /// [`CheckOutcome::Late`](super::CheckOutcome::Late).
    #[must_use]
    pub fn signs_of_life(&self, id: MemberId) -> u64 {
        self.roster.get(id).map_or(0, Slot::signs_of_life)
    }

    fn fail(&mut self, choice: &Choice, failure: Failure, now: Instant) {
        let pause = self.config.retry;
        // A trial takes nobody out who is not out already.
        let spares = match failure.spared {
            _ if choice.trial => false,
            StaysInService::Never => false,
            StaysInService::IfLast => self.is_last(choice.id, now),
            StaysInService::IfTooFew => self.too_few_without(choice.id, now),
        };
        let Some(slot) = self.roster.get_mut(choice.id) else {
            return;
        };
        let Failure {
            error,
            needs_answer,
            ..
        } = failure;
        if slot.terms.flags.contains(Flags::IGNORE_ERRORS) {
            slot.circuit.release(choice.serial, now);
        } else if spares {
            let is_new = |told: &Instant| now.saturating_duration_since(*told) < SPARED_PAUSE;
            let told = slot.spared_told.filter(is_new);
            let again = told.is_some();
            slot.spared_told = told.or(Some(now));
            self.note(choice.id, MemberChange::Spared { error }, again);
        } else {
            let pause = slot.settings.retry.unwrap_or(pause);
            let circuit = &mut slot.circuit;
            if circuit.fail(choice.serial, choice.started, now, pause, needs_answer) {
                slot.timeouts = 0;
                self.spare_too_few(now);
                // A trial is of a member that was out already.
                self.note(
                    choice.id,
                    MemberChange::Failed { error, pause },
                    choice.trial,
                );
            }
        }
    }

    fn recovered(&mut self, id: MemberId, now: Instant) {
        if let Some(slot) = self.roster.get_mut(id) {
            slot.timeouts = 0;
            slot.latency.forget();
            if let Some(limiter) = &mut slot.limiter {
                limiter.restart();
            }
        }
        self.spare_too_few(now);
        self.changed(id, MemberChange::Recovered);
    }
}
