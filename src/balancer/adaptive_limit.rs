//! How many requests a member can take at a time, found out from how long it takes to answer:
//! a member with more than that answers no more requests, only later.

mod calibration;
mod limiter;
mod unloaded;
mod window;

pub(super) use limiter::{Entry, Limiter, Load, Timing};

use std::time::Duration;

/// The time without load is not measured more often than this.
const SHORTEST_CALIBRATION_INTERVAL: Duration = Duration::from_secs(5);

/// How many requests a member may have at a time, found out while it works (as Netflix's
/// concurrency-limits and Envoy's adaptive concurrency do). Off unless given to
/// [`ClusterConfig::with_adaptive_limit`](super::ClusterConfig::with_adaptive_limit); its
/// defaults are right for a thread pool of any size.
///
/// A container with all threads busy lets further requests wait, and all visitors with them.
/// With this the balancer keeps that queue short: a member is
/// [full](super::MemberState::Full) when as many requests as its limit wait for the head of
/// their response, and when all members are, requests are refused at once with
/// [`Reason::Full`](super::Reason::Full), a 503 with `Retry-After`. What is served stays quick.
/// Responses whose bodies are still being sent do not count: downloads keep nobody out, but
/// the answers beside them become slower when they take threads away, and the limit falls.
///
/// The limit falls when answers take longer than [`tolerance`](Self::with_tolerance) times
/// what they take without load, and grows while it is used and they do not. The time without
/// load is learned
/// - from requests that come while few others run,
/// - from `CPong`, which needs a free thread of the container: an answer that takes 400 ms
///   while `CPong` takes 180 ms waited 180 ms for its thread.
///   [`Balancer::run`](super::Balancer::run) asks for it once in a second, while many run,
/// - if neither has told anything for [`calibration_interval`](Self::with_calibration_interval),
///   or the limit has fallen to 70 percent, or answers come twice as quickly, and requests are
///   being refused: from 16 requests that are let in while no more than a quarter of the limit
///   waits. That takes no longer than five answers do, and at least a second.
///
/// Answers with a status of 500 and above do not count: errors are quick. Not for
/// applications that answer late by design, such as long polling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdaptiveLimit {
    initial: u32,
    least: u32,
    most: u32,
    tolerance: u32,
    calibration_interval: Duration,
}

impl Default for AdaptiveLimit {
    /// At first 20, from 2 to 1000; 150 percent; 60 s.
    fn default() -> Self {
        Self {
            initial: 20,
            least: 2,
            most: 1000,
            tolerance: 150,
            calibration_interval: Duration::from_secs(60),
        }
    }
}

impl AdaptiveLimit {
    /// The limit of a member of which nothing is known yet.
    #[must_use]
    pub fn with_initial(mut self, count: u32) -> Self {
        self.initial = count;
        self
    }

    /// It does not fall below this, but while it is measured how long an answer takes without
    /// load: then a quarter of the limit waits. At least 1.
    #[must_use]
    pub fn with_least(mut self, count: u32) -> Self {
        self.least = count.max(1);
        self
    }

    /// It does not grow beyond this, or beyond [`least`](Self::with_least) if that is more.
    #[must_use]
    pub fn with_most(mut self, count: u32) -> Self {
        self.most = count;
        self
    }

    /// How long an answer may take, in percent of what it takes without load, before the limit
    /// falls. At least 100. Less keeps what is served quicker, more bears applications whose
    /// answers take very different times.
    #[must_use]
    pub fn with_tolerance(mut self, percent: u32) -> Self {
        self.tolerance = percent.max(100);
        self
    }

    /// The longest time for which it is not known how long an answer takes without load.
    /// At least 5 s.
    #[must_use]
    pub fn with_calibration_interval(mut self, interval: Duration) -> Self {
        self.calibration_interval = interval.max(SHORTEST_CALIBRATION_INTERVAL);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_setting_is_the_one_that_was_set() {
        let limit = AdaptiveLimit::default()
            .with_initial(5)
            .with_least(3)
            .with_most(7)
            .with_tolerance(200)
            .with_calibration_interval(Duration::from_secs(9));
        let expected = AdaptiveLimit {
            initial: 5,
            least: 3,
            most: 7,
            tolerance: 200,
            calibration_interval: Duration::from_secs(9),
        };
        assert_eq!(limit, expected);
        let lowest = limit
            .with_least(0)
            .with_tolerance(99)
            .with_calibration_interval(Duration::ZERO);
        assert_eq!((lowest.least, lowest.tolerance), (1, 100));
        assert_eq!(lowest.calibration_interval, SHORTEST_CALIBRATION_INTERVAL);
    }
}
