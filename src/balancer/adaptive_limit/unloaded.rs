//! How long an answer of a member takes when it need not wait for others.

use super::calibration::CALIBRATION_REQUESTS;
use std::time::Instant;

/// What a new answer counts in the time without load.
const ANSWER_COUNTS: f64 = 0.05;

/// How long an answer takes without load, as far as that is known.
#[derive(Debug, Default)]
pub(super) struct UnloadedLatency {
    /// In seconds.
    average: f64,
    /// How many answers it is of, until these are enough.
    answers: u32,
    /// When the last [`CALIBRATION_REQUESTS`] of them had come, and what the limit was then.
    pub(super) known_at: Option<(Instant, f64)>,
    /// Answers since then.
    since: u32,
}

impl UnloadedLatency {
    pub(super) fn get(&self) -> Option<f64> {
        (self.answers >= CALIBRATION_REQUESTS).then_some(self.average)
    }

    /// One more answer.
    pub(super) fn add(&mut self, seconds: f64, limit: f64, now: Instant) {
        self.answers = self.answers.saturating_add(1);
        let counts = (1.0 / f64::from(self.answers)).max(ANSWER_COUNTS);
        self.average += (seconds - self.average) * counts;
        self.since = self.since.saturating_add(1);
        if self.since >= CALIBRATION_REQUESTS {
            self.confirm(limit, now);
        }
    }

    /// A measurement, of which the part that `counts` is taken over if anything was known.
    pub(super) fn measured(&mut self, seconds: f64, counts: f64, limit: f64, now: Instant) {
        let counts = if self.get().is_some() { counts } else { 1.0 };
        self.average += (seconds - self.average) * counts;
        self.answers = self.answers.max(CALIBRATION_REQUESTS);
        self.confirm(limit, now);
    }

    pub(super) fn confirm(&mut self, limit: f64, now: Instant) {
        self.known_at = Some((now, limit));
        self.since = 0;
    }
}
