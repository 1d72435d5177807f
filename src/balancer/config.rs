//! Settings of a cluster.

use super::adaptive_limit::AdaptiveLimit;
use super::outlier::Outlier;
use std::time::Duration;

/// Settings of a [`Cluster`](super::Cluster).
#[derive(Debug, Clone)]
pub struct ClusterConfig {
    pub(super) retry: Duration,
    pub(super) forced_recovery: bool,
    pub(super) slow_start: Option<Duration>,
    pub(super) max_timeouts: Option<u32>,
    pub(super) outlier: Option<Outlier>,
    pub(super) adaptive_limit: Option<AdaptiveLimit>,
    pub(super) retry_after: Duration,
    pub(super) panic_threshold: u32,
    pub(super) seed: Option<u64>,
}

impl Default for ClusterConfig {
    fn default() -> Self {
        Self {
            retry: Duration::from_secs(10),
            forced_recovery: true,
            slow_start: None,
            max_timeouts: None,
            outlier: None,
            adaptive_limit: None,
            retry_after: Duration::from_secs(1),
            panic_threshold: 50,
            seed: None,
        }
    }
}

impl ClusterConfig {
    /// How long a member is left alone after a failure, before one request tries it.
    /// Default 10 s (httpd and `mod_jk`: 60 s).
    #[must_use]
    pub fn with_retry(mut self, pause: Duration) -> Self {
        self.retry = pause;
        self
    }

    /// Whether the pause is cut short when all members that may serve have failed (httpd's
    /// `forcerecovery`). Each is then tried with one request at a time. Default yes.
    #[must_use]
    pub fn with_forced_recovery(mut self, forced: bool) -> Self {
        self.forced_recovery = forced;
        self
    }

    /// How long a member is left alone after a failure.
    #[must_use]
    pub fn retry(&self) -> Duration {
        self.retry
    }

    /// Whether the pause is cut short when all members have failed.
    #[must_use]
    pub fn forced_recovery(&self) -> bool {
        self.forced_recovery
    }

    /// How long a member's weight takes to grow to the whole, if it does not at once.
    #[must_use]
    pub fn slow_start(&self) -> Option<Duration> {
        self.slow_start
    }

    /// How many timeouts in a row are a failure, if any are.
    #[must_use]
    pub fn max_timeouts(&self) -> Option<u32> {
        self.max_timeouts
    }

    /// What clients are told to wait when every member is full.
    #[must_use]
    pub fn retry_after(&self) -> Duration {
        self.retry_after
    }

    /// The part of the members, in percent, that always goes on serving.
    #[must_use]
    pub fn panic_threshold(&self) -> u32 {
        self.panic_threshold
    }

    /// How long a member's weight takes to grow from a tenth to the whole after it was out
    /// or was added to a running cluster. Default no slow start.
    #[must_use]
    pub fn with_slow_start(mut self, time: impl Into<Option<Duration>>) -> Self {
        self.slow_start = time.into();
        self
    }

    /// A member that lets this many requests in a row time out has failed. Default `None`:
    /// slow requests are not the member's fault. httpd's `failontimeout` is 1.
    #[must_use]
    pub fn with_max_timeouts(mut self, count: impl Into<Option<u32>>) -> Self {
        self.max_timeouts = count.into();
        self
    }

    /// When bad answers take a member out. Default never.
    #[must_use]
    pub fn with_outlier(mut self, outlier: impl Into<Option<Outlier>>) -> Self {
        self.outlier = outlier.into();
        self
    }

    /// Whether the number of requests that a member may have at a time follows how long it
    /// takes to answer, beside [`Member::with_max_requests`](super::Member::with_max_requests).
    /// Default not.
    #[must_use]
    pub fn with_adaptive_limit(mut self, limit: impl Into<Option<AdaptiveLimit>>) -> Self {
        self.adaptive_limit = limit.into();
        self
    }

    /// What clients are told to wait when every member is full. Default 1 s.
    #[must_use]
    pub fn with_retry_after(mut self, time: Duration) -> Self {
        self.retry_after = time;
        self
    }

    /// The part of the members, in percent, that always goes on serving unless it certainly
    /// cannot: with so few left nobody more is taken out for slowness or failed health
    /// checks, since what is slow is better than nothing, and what all have in common is no
    /// member's own fault. A member whose connections are refused is out all the same. 0
    /// switches this off. Default 50, as in Envoy.
    ///
    /// A member that is only kept by this is shown as
    /// [`Unhealthy`](super::MemberState::Unhealthy), and [as
    /// spared](super::MemberSnapshot::spared).
    #[must_use]
    pub fn with_panic_threshold(mut self, percent: u32) -> Self {
        self.panic_threshold = percent;
        self
    }

    /// The seed of all random choices, for tests: with the same one they are the same.
    /// Default another one in each cluster.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_setting_is_the_one_that_was_set() {
        let seconds = Duration::from_secs;
        let outlier = Outlier::default().with_min_requests(3);
        let limit = AdaptiveLimit::default().with_initial(4);
        let config = ClusterConfig::default()
            .with_retry(seconds(5))
            .with_forced_recovery(false)
            .with_slow_start(seconds(6))
            .with_max_timeouts(7)
            .with_outlier(outlier.clone())
            .with_adaptive_limit(limit.clone())
            .with_retry_after(seconds(8))
            .with_panic_threshold(9)
            .with_seed(10);
        assert_eq!(config.retry(), seconds(5));
        assert!(!config.forced_recovery());
        assert_eq!(config.slow_start(), Some(seconds(6)));
        assert_eq!(config.max_timeouts(), Some(7));
        assert_eq!(config.outlier, Some(outlier));
        assert_eq!(config.adaptive_limit, Some(limit));
        assert_eq!(config.retry_after(), seconds(8));
        assert_eq!(config.panic_threshold(), 9);
        assert_eq!(config.seed, Some(10));
        assert!(ClusterConfig::default().forced_recovery());
    }
}
