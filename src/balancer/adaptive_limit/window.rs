//! The answers of a short time, by which a limit is set.

use std::time::{Duration, Instant};

/// Fewer answers than this say nothing about how long a member takes.
const ENOUGH: u32 = 10;

/// The shortest time over which answers are averaged.
const SHORTEST: Duration = Duration::from_millis(100);

/// The answers of a short time.
#[derive(Debug)]
pub(super) struct Window {
    since: Option<Instant>,
    pub(super) answers: Average,
    pub(super) most_waiting: u32,
    /// Whether the container was so late with `CPong` that a request was not sent.
    pub(super) late: bool,
}

impl Window {
    pub(super) const NEW: Self = Self {
        since: None,
        answers: Average::NEW,
        most_waiting: 0,
        late: false,
    };

    /// Whether there was enough to see. It begins with the first answer.
    pub(super) fn is_over(&mut self, now: Instant) -> bool {
        let since = *self.since.get_or_insert(now);
        let age = now.saturating_duration_since(since);
        let shortest = self.answers.get().unwrap_or(0.0);
        let shortest = shortest.max(SHORTEST.as_secs_f64());
        let is_enough = self.late || self.answers.count >= ENOUGH;
        is_enough && age.as_secs_f64() >= shortest
    }
}

#[derive(Debug)]
pub(super) struct Average {
    pub(super) count: u32,
    sum: f64,
}

impl Average {
    pub(super) const NEW: Self = Self { count: 0, sum: 0.0 };

    pub(super) fn add(&mut self, seconds: f64) {
        self.count = self.count.saturating_add(1);
        self.sum += seconds;
    }

    pub(super) fn get(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / f64::from(self.count))
    }
}
