//! Measuring how long an answer takes without load, by letting few requests in.

use super::limiter::{Entry, Load};
use super::window::Average;
use std::time::Instant;

/// So many requests tell how long an answer takes without load. The first to be answered are
/// the quickest, so that fewer would tell of the quick ones alone.
pub(super) const CALIBRATION_REQUESTS: u32 = 16;

/// The requests of a measurement without load are not waited for any longer than this many
/// times the usual time of an answer, and this many seconds.
const PATIENCE: f64 = 5.0;
const LEAST_PATIENCE: f64 = 1.0;

/// Few requests are let in, to see how long they take. All of them are waited for: the first
/// to be answered are the quickest.
#[derive(Debug)]
pub(super) struct Calibration {
    since: Instant,
    /// Requests that may run at a time until enough were let in.
    pub(super) limit: f64,
    let_in: u32,
    /// In seconds.
    patience: f64,
    answers: Average,
}

impl Calibration {
    /// One of a member with this limit, whose answers usually take so many seconds.
    pub(super) fn new(limit: f64, answer: f64, now: Instant) -> Self {
        Self {
            since: now,
            limit: limit / 4.0,
            let_in: 0,
            patience: (answer * PATIENCE).max(LEAST_PATIENCE),
            answers: Average::NEW,
        }
    }

    /// Whether it needs further requests.
    pub(super) fn lets_in(&self) -> bool {
        self.let_in < CALIBRATION_REQUESTS
    }

    /// A request is let in.
    pub(super) fn enter(&mut self) {
        self.let_in = self.let_in.saturating_add(1);
    }

    /// A request that it has let in, or another one, was answered.
    pub(super) fn answered(&mut self, entry: Entry, now: Instant) {
        if self.has_let_in(entry) {
            self.answers.add(entry.age(now).min(self.patience));
        }
    }

    /// A request that it has let in, or another one, has told nothing: it needs one more.
    pub(super) fn told_nothing(&mut self, entry: Entry) {
        if self.has_let_in(entry) {
            self.let_in = self.let_in.saturating_sub(1);
        }
    }

    /// Whether it has gone on for so long that nobody is to wait for it any more.
    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        let age = now.saturating_duration_since(self.since).as_secs_f64();
        age >= self.patience
    }

    /// Whether it has seen enough, or has waited long enough for it.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.answers.count >= CALIBRATION_REQUESTS || self.is_overdue(now)
    }

    /// What it has found out, in seconds, if anything. Requests that are not answered yet are
    /// the slow ones, but for those that have just come.
    pub(super) fn end(mut self, waiting: impl Iterator<Item = Entry>, now: Instant) -> Option<f64> {
        let slow = self.answers.get().unwrap_or(self.patience / 2.0);
        for entry in waiting {
            let waited = entry.age(now);
            if self.has_let_in(entry) && waited > slow {
                // Nobody may have looked for long.
                self.answers.add(waited.min(self.patience));
            }
        }
        self.answers.get()
    }

    fn has_let_in(&self, entry: Entry) -> bool {
        entry.load == Load::Calibration && entry.started >= self.since
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// Of the requests that are not answered yet the slow ones count, at most for as long as
    /// they are waited for, and others that the measurement did not let in do not.
    #[test]
    fn what_is_not_answered_is_slow() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let entry = |load, seconds| Entry {
            serial: 0,
            started: at(seconds),
            load,
        };
        let let_in = |seconds| entry(Load::Calibration, seconds);
        // Answers usually take 2 s, so that it has patience for 10 s.
        let new = || Calibration::new(40.0, 2.0, at(100));
        let end = |calibration: Calibration, waiting: &[Entry], now| {
            calibration.end(waiting.iter().copied(), at(now))
        };
        assert_eq!(new().limit.to_bits(), 10.0_f64.to_bits());
        assert_eq!(end(new(), &[], 200), None);
        // Without any answer what waits for half of the patience is slow.
        assert_eq!(end(new(), &[let_in(101)], 106), None);
        assert_eq!(end(new(), &[let_in(101)], 107), Some(6.0));
        assert_eq!(end(new(), &[let_in(101)], 200), Some(10.0));
        for other in [let_in(99), entry(Load::Usual, 101)] {
            assert_eq!(end(new(), &[other], 107), None);
        }
        // With one what waits longer than that.
        let answered = || {
            let mut calibration = new();
            calibration.answered(let_in(100), at(102));
            calibration
        };
        assert_eq!(end(answered(), &[let_in(101)], 103), Some(2.0));
        assert_eq!(end(answered(), &[let_in(101)], 107), Some(4.0));
        assert!(!new().is_overdue(at(109)) && new().is_overdue(at(110)));
    }

    #[test]
    fn it_ends_when_enough_have_told_something() {
        let now = Instant::now();
        let entry = Entry {
            serial: 0,
            started: now,
            load: Load::Calibration,
        };
        let mut calibration = Calibration::new(40.0, 1.0, now);
        for answered in 0..CALIBRATION_REQUESTS {
            assert!(
                calibration.lets_in() && !calibration.is_over(now),
                "{answered}"
            );
            calibration.enter();
            calibration.answered(entry, now);
        }
        assert!(!calibration.lets_in() && calibration.is_over(now));
        // One that told nothing makes room for another.
        let mut calibration = Calibration::new(40.0, 1.0, now);
        (0..CALIBRATION_REQUESTS).for_each(|_| calibration.enter());
        assert!(!calibration.lets_in());
        calibration.told_nothing(entry);
        assert!(calibration.lets_in());
    }
}
