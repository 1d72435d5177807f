//! How many requests may be sent again: a part of all requests, so that an outage does not
//! multiply the load on what is left.

use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

/// How much of the traffic may be repeated, counted over the last 10 s.
///
/// Only repetitions count whose first attempt may have made a container work: after a
/// refused connection the next member is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryBudget {
    pub(super) percent: u32,
    pub(super) min_per_second: u32,
}

impl Default for RetryBudget {
    /// A fifth of the requests, and 10 a second.
    fn default() -> Self {
        Self {
            percent: 20,
            min_per_second: 10,
        }
    }
}

impl RetryBudget {
    /// Repetitions per 100 requests.
    #[must_use]
    pub fn percent(self) -> u32 {
        self.percent
    }

    /// Repetitions per second that are allowed besides.
    #[must_use]
    pub fn min_per_second(self) -> u32 {
        self.min_per_second
    }

    /// Repetitions per 100 requests.
    #[must_use]
    pub fn with_percent(mut self, percent: u32) -> Self {
        self.percent = percent;
        self
    }

    /// Repetitions per second that are allowed besides.
    #[must_use]
    pub fn with_min_per_second(mut self, count: u32) -> Self {
        self.min_per_second = count;
        self
    }
}

/// What requests have paid in and repetitions taken out, in hundredths of a repetition, for
/// each of the last 10 seconds.
#[derive(Debug, Clone, Default)]
pub(super) struct BudgetAccount {
    seconds: [i64; 10],
    /// Which of the seconds is now.
    at: usize,
    /// When that second began.
    since: Option<Instant>,
}

impl BudgetAccount {
    /// A request came.
    pub(super) fn deposit(&mut self, budget: RetryBudget, now: Instant) {
        self.turn(now);
        self.add(i64::from(budget.percent));
    }

    /// A request is to be repeated. Whether it may be.
    pub(super) fn withdraw(&mut self, budget: RetryBudget, now: Instant) -> bool {
        self.turn(now);
        let reserve = i64::from(budget.min_per_second) * 1000;
        let left = self.seconds.iter().fold(reserve, |sum, &n| sum + n);
        if left < 100 {
            return false;
        }
        self.add(-100);
        true
    }

    fn add(&mut self, amount: i64) {
        if let Some(second) = self.seconds.get_mut(self.at) {
            *second += amount;
        }
    }

    fn turn(&mut self, now: Instant) {
        let mut since = *self.since.get_or_insert(now);
        let count = now.saturating_duration_since(since).as_secs();
        for _ in 0..count.min(10) {
            let next = self.at + 1;
            self.at = if next < self.seconds.len() { next } else { 0 };
            if let Some(second) = self.seconds.get_mut(self.at) {
                *second = 0;
            }
        }
        let passed = SECOND.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX));
        since = since.checked_add(passed).unwrap_or(now);
        self.since = Some(since);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_the_requests_and_a_reserve() {
        let t = Instant::now();
        let at = |seconds| t + Duration::from_secs(seconds);
        let budget = RetryBudget::default();
        let mut account = BudgetAccount::default();
        let taken = |account: &mut BudgetAccount, now| {
            std::iter::from_fn(|| account.withdraw(budget, now).then_some(())).count()
        };
        assert_eq!(taken(&mut account, t), 100);
        for _ in 0..50 {
            account.deposit(budget, t);
        }
        assert_eq!(taken(&mut account, at(1)), 10);
        // What was taken is forgiven when its second is forgotten.
        assert_eq!(taken(&mut account, at(9)), 0);
        assert_eq!(taken(&mut account, at(10)), 90);
        assert_eq!(taken(&mut account, at(11)), 10);
        assert_eq!(taken(&mut account, at(1000)), 100);
    }

    #[test]
    fn none() {
        let budget = RetryBudget::default()
            .with_percent(0)
            .with_min_per_second(0);
        let mut account = BudgetAccount::default();
        account.deposit(budget, Instant::now());
        assert!(!account.withdraw(budget, Instant::now()));
    }
}
