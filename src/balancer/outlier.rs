//! Taking a member out because too many of its answers are bad.

use std::time::{Duration, Instant};

/// When a member that answers badly is taken out (outlier ejection). Off unless given to
/// [`ClusterConfig::with_outlier`](super::ClusterConfig::with_outlier).
///
/// Bad are exchanges that broke off or timed out, and answers with a status of
/// [`statuses`](Self::with_statuses). The rate is that of the last one to two windows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outlier {
    pub(super) window: Duration,
    pub(super) min_requests: u32,
    pub(super) bad_percent: u32,
    pub(super) statuses: Vec<u16>,
    pub(super) eject_for: Duration,
    pub(super) max_out_percent: u32,
    pub(super) peer_deviations: Option<u32>,
}

impl Default for Outlier {
    /// Half of at least 20 answers in 10 s bad, of which 502, 503 and 504 are; out for
    /// 30 s; never more than half of the members.
    fn default() -> Self {
        Self {
            window: Duration::from_secs(10),
            min_requests: 20,
            bad_percent: 50,
            statuses: vec![502, 503, 504],
            eject_for: Duration::from_secs(30),
            max_out_percent: 50,
            peer_deviations: None,
        }
    }
}

impl Outlier {
    /// The time over which the rate is taken.
    #[must_use]
    pub fn with_window(mut self, window: Duration) -> Self {
        self.window = window;
        self
    }

    /// Fewer answers than this say nothing.
    #[must_use]
    pub fn with_min_requests(mut self, count: u32) -> Self {
        self.min_requests = count;
        self
    }

    /// A member is taken out when this part of its answers is bad, in percent.
    #[must_use]
    pub fn with_bad_percent(mut self, percent: u32) -> Self {
        self.bad_percent = percent;
        self
    }

    /// Statuses that are bad.
    #[must_use]
    pub fn with_statuses(mut self, statuses: impl Into<Vec<u16>>) -> Self {
        self.statuses = statuses.into();
        self
    }

    /// How long it is out. Multiplied by the number of times in a row that it was taken
    /// out, at most by 10.
    #[must_use]
    pub fn with_eject_for(mut self, time: Duration) -> Self {
        self.eject_for = time;
        self
    }

    /// Nobody is taken out when more than this part of all members would then be out, for
    /// whatever reason, in percent: an application that fails everywhere stays reachable.
    #[must_use]
    pub fn with_max_out_percent(mut self, percent: u32) -> Self {
        self.max_out_percent = percent;
        self
    }

    /// Takes a member out also when its rate of good answers is lower than the mean of all
    /// members by more than so many standard deviations, in hundredths: 190 is Envoy's number.
    /// For that at least 5 members must have [enough answers](Self::with_min_requests).
    /// Default `None`: a member is not compared with the others.
    #[must_use]
    pub fn with_peer_deviations(mut self, hundredths: impl Into<Option<u32>>) -> Self {
        self.peer_deviations = hundredths.into();
        self
    }

    pub(super) fn is_bad(&self, status: u16) -> bool {
        self.statuses.contains(&status)
    }

    /// How long a member is out for the `times`th time in a row.
    pub(super) fn pause(&self, times: u32) -> Duration {
        self.eject_for.saturating_mul(times.clamp(1, 10))
    }
}

/// Good and bad answers of one member.
#[derive(Debug, Clone, Default)]
pub(super) struct Rate {
    since: Option<Instant>,
    /// All, and the bad ones of them.
    window: (u32, u32),
    before: (u32, u32),
    /// Ejections without a quiet window in between.
    ejections: u32,
}

impl Rate {
    /// Counts an answer. Whether the member has now reached the limit.
    pub(super) fn record(&mut self, bad: bool, outlier: &Outlier, now: Instant) -> bool {
        let since = *self.since.get_or_insert(now);
        let age = now.saturating_duration_since(since);
        if age >= outlier.window {
            let quiet = age >= outlier.window.saturating_mul(2);
            self.before = if quiet { (0, 0) } else { self.window };
            self.window = (0, 0);
            self.since = Some(now);
            if self.before.1 == 0 {
                self.ejections = 0;
            }
        }
        self.window.0 += 1;
        self.window.1 += u32::from(bad);
        let all = u64::from(self.window.0) + u64::from(self.before.0);
        let bad = u64::from(self.window.1) + u64::from(self.before.1);
        all >= u64::from(outlier.min_requests)
            && bad > 0
            && bad * 100 >= all * u64::from(outlier.bad_percent)
    }

    /// The part of good answers, if there were enough answers lately.
    pub(super) fn good_part(&self, outlier: &Outlier, now: Instant) -> Option<f64> {
        let age = now.saturating_duration_since(self.since?);
        if age >= outlier.window.saturating_mul(2) {
            return None;
        }
        let all = self.window.0 + self.before.0;
        let bad = self.window.1 + self.before.1;
        (all >= outlier.min_requests.max(1)).then(|| 1.0 - f64::from(bad) / f64::from(all))
    }

    /// The member was taken out. How many times in a row that was.
    pub(super) fn eject(&mut self) -> u32 {
        *self = Self {
            ejections: self.ejections + 1,
            ..Self::default()
        };
        self.ejections
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates() {
        let t = Instant::now();
        let outlier = Outlier::default().with_min_requests(4);
        let mut rate = Rate::default();
        assert!(!rate.record(true, &outlier, t));
        assert!(!rate.record(false, &outlier, t));
        assert!(!rate.record(true, &outlier, t));
        assert!(rate.record(false, &outlier, t), "2 of 4");
        assert!(!rate.record(false, &outlier, t), "2 of 5");
        // The window before counts too, the one before that does not.
        let next = t + Duration::from_secs(10);
        assert!(rate.record(true, &outlier, next), "3 of 6");
        let next = t + Duration::from_secs(40);
        for _ in 0..3 {
            assert!(!rate.record(true, &outlier, next));
        }
        assert!(rate.record(true, &outlier, next));
        assert_eq!(rate.eject(), 1);
        assert!(!rate.record(true, &outlier, next), "a new count");
        assert_eq!(rate.eject(), 2);
        assert_eq!(outlier.pause(2), Duration::from_secs(60));
        assert_eq!(outlier.pause(99), Duration::from_secs(300));
    }

    #[test]
    fn no_failure_is_no_reason() {
        let outlier = Outlier::default().with_min_requests(0).with_bad_percent(0);
        assert!(!Rate::default().record(false, &outlier, Instant::now()));
    }
}
