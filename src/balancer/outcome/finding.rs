//! What one outcome says of the member that served: it is counted, and may be a failure.

use super::super::adaptive_limit::Timing;
use super::super::request::{Choice, RequestOutcome};
use super::super::slot::Slot;
use std::time::{Duration, Instant};

/// Why a member is to be left alone for a while.
pub(super) struct Failure {
    pub(super) error: String,
    /// Whether only an answer to a request is proof that it is well again.
    pub(super) needs_answer: bool,
    pub(super) spared: StaysInService,
}

/// When a member is left in service although it has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StaysInService {
    /// It cannot serve.
    Never,
    /// It answers, if not as it should: when nobody else is left.
    IfLast,
    /// It may only be slow: when too few others are left.
    IfTooFew,
}

/// What one outcome says of a member.
pub(super) struct Finding {
    pub(super) failure: Option<Failure>,
    /// Whether it counts as a bad or a good answer; `None`: as neither.
    pub(super) bad: Option<bool>,
}

impl Slot {
    /// Counts an outcome. What it says of the member.
    pub(super) fn count_outcome(
        &mut self,
        choice: &Choice,
        outcome: RequestOutcome<'_>,
        max_timeouts: Option<u32>,
        is_bad: impl Fn(u16) -> bool,
        now: Instant,
    ) -> Finding {
        let trial = self.circuit.is_trial(choice.serial);
        let took = now.saturating_duration_since(choice.waits_since);
        self.limit_by(choice, outcome, now);
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
                Finding {
                    failure: Some(self.unfit(status, now)),
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
                        spared: StaysInService::IfTooFew,
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
                        spared: StaysInService::IfTooFew,
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
                        spared: StaysInService::Never,
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

    /// It gave an answer that it should not have given.
    pub(super) fn unfit(&mut self, status: u16, now: Instant) -> Failure {
        let error = format!("it answered {status}");
        self.last_error = Some((error.clone(), now));
        Failure {
            error,
            needs_answer: true,
            spared: StaysInService::IfLast,
        }
    }

    /// How long a request took says how many of them the member can take at a time.
    fn limit_by(&mut self, choice: &Choice, outcome: RequestOutcome<'_>, now: Instant) {
        let Some(limiter) = &mut self.limiter else {
            return;
        };
        let timing = match outcome {
            RequestOutcome::Answered { status } if status < 500 => Timing::Answer,
            RequestOutcome::TimedOut(_) => Timing::Timeout,
            RequestOutcome::Late(_) => Timing::Late,
            _ => Timing::Nothing,
        };
        limiter.outcome(choice.entry(), timing, now);
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
