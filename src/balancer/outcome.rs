//! What becomes of requests and checks, and what that says of members.

use super::Flags;
use super::circuit::Phase;
use super::cluster::Cluster;
use super::events::MemberChange;
use super::member::MemberId;
use super::request::{Affinity, CheckOutcome, Choice, RequestOutcome};
use super::slot::{Checks, Slot, Verdict};
use std::time::{Duration, Instant};

/// Fewer members than this are nothing to compare with.
const FEWEST_PEERS: f64 = 5.0;

/// A member that is behind the mean by less than this part of its answers is as good as the
/// others: where all are nearly alike, the least noise is many deviations.
const LEAST_GAP: f64 = 0.05;

/// Why a member is to be left alone for a while.
struct Failure {
    error: String,
    /// Whether only an answer to a request is proof that it is well again.
    needs_answer: bool,
    /// Whether it may only be slow: then it is spared while too few others are left.
    may_be_slow: bool,
}

/// What one outcome says of a member.
struct Finding {
    failure: Option<Failure>,
    /// Whether it counts as a bad or a good answer; `None`: as neither.
    bad: Option<bool>,
}

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
        let finding = slot.learn(choice, outcome, max_timeouts, is_bad, now);
        let Finding { mut failure, bad } = finding;
        let trial = slot.circuit.is_trial(choice.serial);
        if trial && bad == Some(true) && slot.circuit.is_strict() && failure.is_none() {
            failure = Some(Failure {
                error: "the answer was bad again".into(),
                needs_answer: true,
                may_be_slow: false,
            });
        }
        // While it is out, what it says of older requests is no news.
        let serves = slot.circuit.phase(now) == Phase::Closed;
        let over = match (outlier, bad) {
            (Some(outlier), Some(bad)) if serves => slot.rate.record(bad, outlier, now),
            _ => false,
        };
        match (failure, bad) {
            (Some(failure), _) => self.fail(choice, failure, now),
            (None, None) => slot.circuit.release(choice.serial, now),
            (None, Some(_)) => {
                if slot.circuit.succeed(choice.serial, now) {
                    self.recovered(choice.id, now);
                }
            }
        }
        if over || (serves && bad == Some(true) && self.falls_behind(choice.id, now)) {
            self.eject(choice.id, now);
        }
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
        slot.busy = slot.busy.saturating_sub(1);
        slot.ended = slot.ended.wrapping_add(1);
        if slot.leaving && slot.busy == 0 {
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
        if let Some(slot) = self.roster.get_mut(choice.id) {
            slot.counters.lost_sessions = slot.counters.lost_sessions.wrapping_add(1);
        }
    }

    /// A number that changes whenever the member does something for a request: see
    /// [`CheckOutcome::Late`].
    #[must_use]
    pub fn signs_of_life(&self, id: MemberId) -> u64 {
        self.roster.get(id).map_or(0, Slot::signs_of_life)
    }

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
            (None, Verdict::Unhealthy { .. } | Verdict::Spared { .. })
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

    fn fail(&mut self, choice: &Choice, failure: Failure, now: Instant) {
        let pause = self.config.retry;
        // A trial takes nobody out who is not out already.
        let spares = failure.may_be_slow && !choice.trial && self.too_few_without(choice.id, now);
        let Some(slot) = self.roster.get_mut(choice.id) else {
            return;
        };
        let Failure {
            error,
            needs_answer,
            ..
        } = failure;
        if slot.settings.flags.contains(Flags::IGNORE_ERRORS) {
            slot.circuit.release(choice.serial, now);
        } else if spares {
            self.changed(choice.id, MemberChange::Spared { error });
        } else {
            let pause = slot.settings.retry.unwrap_or(pause);
            let circuit = &mut slot.circuit;
            if circuit.fail(choice.serial, choice.started, now, pause, needs_answer) {
                slot.timeouts = 0;
                self.spare_too_few(now);
                self.changed(choice.id, MemberChange::Failed { error, pause });
            }
        }
    }

    /// Whether a member answers so much worse than the others that it must be its own fault.
    fn falls_behind(&self, id: MemberId, now: Instant) -> bool {
        let outlier = self.config.outlier.as_ref();
        let Some((outlier, most)) = outlier.and_then(|all| Some((all, all.peer_deviations?)))
        else {
            return false;
        };
        let own = self.roster.get(id);
        let Some(own) = own.and_then(|slot| slot.rate.good_part(outlier, now)) else {
            return false;
        };
        let (mut count, mut sum, mut squares) = (0.0, 0.0, 0.0);
        for slot in self.roster.in_service().filter(|slot| slot.is_in(now)) {
            if let Some(part) = slot.rate.good_part(outlier, now) {
                count += 1.0;
                sum += part;
                squares += part * part;
            }
        }
        if count < FEWEST_PEERS {
            return false;
        }
        let mean = sum / count;
        let deviation = (squares / count - mean * mean).max(0.0).sqrt();
        let gap = mean - own;
        gap >= LEAST_GAP && gap > deviation * f64::from(most) / 100.0
    }

    /// Takes a member out for its bad answers, if enough others are left.
    fn eject(&mut self, id: MemberId, now: Instant) {
        let Some(outlier) = self.config.outlier.clone() else {
            return;
        };
        let all = self.roster.in_service().count();
        let out = self.roster.in_service();
        let out = out.filter(|slot| slot.id == id || !slot.is_in(now)).count();
        if exceeds(out, outlier.max_out_percent, all) {
            return;
        }
        let Some(slot) = self.roster.get_mut(id) else {
            return;
        };
        if slot.settings.flags.contains(Flags::IGNORE_ERRORS) {
            return;
        }
        let times = slot.rate.eject();
        let pause = outlier.pause(times);
        slot.circuit.open(now, pause, true);
        slot.last_error = Some(("too many bad answers".into(), now));
        self.spare_too_few(now);
        self.changed(id, MemberChange::Ejected { times, pause });
    }

    fn recovered(&mut self, id: MemberId, now: Instant) {
        if let Some(slot) = self.roster.get_mut(id) {
            slot.timeouts = 0;
            slot.latency.forget();
        }
        self.spare_too_few(now);
        self.changed(id, MemberChange::Recovered);
    }

    /// How many members may be out for reasons that are no certain proof.
    fn most_out(&self) -> usize {
        let all = self.roster.in_service().count();
        let least = usize::try_from(self.config.panic_threshold.min(100)).unwrap_or(100);
        let must_serve = (all * least).div_ceil(100);
        all - must_serve
    }

    /// Whether too few members would be left if this one were taken out.
    fn too_few_without(&self, id: MemberId, now: Instant) -> bool {
        let out = self.roster.in_service();
        let out = out.filter(|slot| slot.id == id || !slot.is_in(now)).count();
        out > self.most_out()
    }

    /// Decides anew which of the unhealthy members have to go on serving because too few
    /// others are left. Who became unhealthy first is out first.
    pub(super) fn spare_too_few(&mut self, now: Instant) {
        let most = self.most_out();
        let failed = self.roster.in_service().filter(|slot| {
            slot.checks.verdict == Verdict::Healthy && slot.circuit.phase(now) != Phase::Closed
        });
        let mut left = most.saturating_sub(failed.count());
        let mut unhealthy: Vec<(u64, MemberId)> = Vec::new();
        for slot in self.roster.in_service() {
            if let Verdict::Unhealthy { order } | Verdict::Spared { order } = slot.checks.verdict {
                unhealthy.push((order, slot.id));
            }
        }
        unhealthy.sort_unstable();
        for (order, id) in unhealthy {
            let verdict = if left > 0 {
                Verdict::Unhealthy { order }
            } else {
                Verdict::Spared { order }
            };
            left = left.saturating_sub(1);
            if let Some(slot) = self.roster.get_mut(id) {
                slot.checks.verdict = verdict;
            }
        }
    }
}

/// Whether `part` is more than this percentage of `all`.
fn exceeds(part: usize, percent: u32, all: usize) -> bool {
    let percent = usize::try_from(percent).unwrap_or(usize::MAX);
    part.saturating_mul(100) > all.saturating_mul(percent)
}

impl Slot {
    /// Counts an outcome. What it says of the member.
    fn learn(
        &mut self,
        choice: &Choice,
        outcome: RequestOutcome<'_>,
        max_timeouts: Option<u32>,
        is_bad: impl Fn(u16) -> bool,
        now: Instant,
    ) -> Finding {
        let trial = self.circuit.is_trial(choice.serial);
        let took = now.saturating_duration_since(choice.started);
        match outcome {
            RequestOutcome::Answered { status } => {
                self.count_answer(status, took, now);
                Finding {
                    failure: None,
                    bad: Some(is_bad(status)),
                }
            }
            RequestOutcome::Unfit { status } => {
                self.count_answer(status, took, now);
                let error = format!("it answered {status}");
                self.last_error = Some((error.clone(), now));
                Finding {
                    failure: Some(Failure {
                        error,
                        needs_answer: true,
                        may_be_slow: false,
                    }),
                    bad: Some(is_bad(status)),
                }
            }
            RequestOutcome::TimedOut(error) => {
                self.count_timeout(error, took, now);
                self.timeouts = self.timeouts.saturating_add(1);
                let too_many = max_timeouts.is_some_and(|most| self.timeouts >= most);
                Finding {
                    failure: (trial || too_many).then(|| Failure {
                        error: error.into(),
                        needs_answer: true,
                        may_be_slow: true,
                    }),
                    bad: Some(true),
                }
            }
            RequestOutcome::Late(error) => {
                self.count_timeout(error, took, now);
                let does_nothing = self.signs_of_life() == choice.signs_of_life;
                Finding {
                    failure: (trial || does_nothing).then(|| Failure {
                        error: error.into(),
                        needs_answer: false,
                        may_be_slow: true,
                    }),
                    // A container at work is not to blame for being busy.
                    bad: does_nothing.then_some(true),
                }
            }
            RequestOutcome::Broken(error) => {
                self.count_failure(error, now);
                Finding {
                    failure: None,
                    bad: Some(true),
                }
            }
            RequestOutcome::Unreachable(error) => {
                self.count_failure(error, now);
                Finding {
                    failure: Some(Failure {
                        error: error.into(),
                        needs_answer: false,
                        may_be_slow: false,
                    }),
                    bad: Some(true),
                }
            }
            RequestOutcome::Full => {
                self.counters.full = self.counters.full.wrapping_add(1);
                Finding {
                    failure: None,
                    bad: None,
                }
            }
            RequestOutcome::Unknown => Finding {
                failure: None,
                bad: None,
            },
        }
    }

    fn count_answer(&mut self, status: u16, took: Duration, now: Instant) {
        let counters = &mut self.counters;
        counters.answered = counters.answered.wrapping_add(1);
        if let Some(class) = counters.statuses.get_mut(usize::from(status / 100)) {
            *class = class.wrapping_add(1);
        }
        self.answers = self.answers.wrapping_add(1);
        self.timeouts = 0;
        self.latency.record(took, now);
    }

    fn count_timeout(&mut self, error: &str, took: Duration, now: Instant) {
        self.counters.timed_out = self.counters.timed_out.wrapping_add(1);
        self.latency.record(took, now);
        self.last_error = Some((error.into(), now));
    }

    fn count_failure(&mut self, error: &str, now: Instant) {
        self.counters.failed = self.counters.failed.wrapping_add(1);
        self.last_error = Some((error.into(), now));
    }
}
