//! Taking a member out because too many of its answers are bad.

use std::time::{Duration, Instant};

/// When a member that answers badly is taken out (outlier ejection). Off unless given to
/// [`ClusterConfig::with_outlier`](super::ClusterConfig::with_outlier).
///
/// Bad are exchanges that broke off or timed out, and answers with a status of
/// [`statuses`](Self::with_statuses). The rate is that of the last one to two windows.
///
/// A member that is taken out answers, only worse than it should. Its own sessions stay with it
/// if most of its answers were good, since elsewhere they may be unknown. They move when most
/// are bad, when a request finds it unreachable, and one by one where a request of theirs fails
/// and may be sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outlier {
    pub(super) window: Duration,
    pub(super) min_requests: u32,
    pub(super) bad_percent: u32,
    pub(super) statuses: Vec<u16>,
    pub(super) eject_for: Duration,
    pub(super) max_out_percent: u32,
    pub(super) peer_deviations: Option<u32>,
    pub(super) peer_latency: Option<u32>,
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
            peer_latency: None,
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

    /// Takes a member out also when its good answers take longer on average than so many percent
    /// of what they take at the others (the median of their averages), and at least 10 ms
    /// longer. For that at least two others must have [enough answers](Self::with_min_requests).
    /// At least 100; 300 is three times as long. Default `None`: how long a member takes is not
    /// compared.
    ///
    /// Members of unlike strength need a percentage that allows for it.
    #[must_use]
    pub fn with_peer_latency(mut self, percent: impl Into<Option<u32>>) -> Self {
        self.peer_latency = percent.into().map(|percent| percent.max(100));
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

/// Why a member is taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    BadAnswers,
    LateAnswers,
}

impl Fault {
    pub(super) fn describe(self) -> &'static str {
        match self {
            Self::BadAnswers => "too many bad answers",
            Self::LateAnswers => "its answers take much longer than those of the others",
        }
    }
}

/// The answers of one member.
#[derive(Debug, Clone, Default)]
pub(super) struct Rate {
    since: Option<Instant>,
    window: Answers,
    before: Answers,
    /// Those of its own sessions since it was taken out.
    while_out: Answers,
    /// Answers since its time was compared with the others'.
    uncompared: u64,
    /// Good answers in a row, over all windows.
    good_in_a_row: u64,
    /// Ejections without a quiet time in between.
    ejections: u32,
}

/// Counts of answers. They are kept as long as the user says, so 64 bits.
#[derive(Debug, Clone, Copy, Default)]
struct Answers {
    all: u64,
    bad: u64,
    /// How long the good ones took, in seconds.
    seconds: f64,
}

impl Answers {
    fn add(&mut self, bad: bool, took: Duration) {
        self.all += 1;
        if bad {
            self.bad += 1;
        } else {
            self.seconds += took.as_secs_f64();
        }
    }

    fn and(self, other: Self) -> Self {
        Self {
            all: self.all + other.all,
            bad: self.bad + other.bad,
            seconds: self.seconds + other.seconds,
        }
    }

    fn are_enough(&self, outlier: &Outlier) -> bool {
        self.all >= u64::from(outlier.min_requests.max(1))
    }

    fn are_mostly_bad(&self) -> bool {
        self.bad * 2 >= self.all
    }
}

impl Rate {
    /// Counts an answer. Whether the member has now reached the limit.
    pub(super) fn record(
        &mut self,
        bad: bool,
        took: Duration,
        outlier: &Outlier,
        now: Instant,
    ) -> bool {
        let since = *self.since.get_or_insert(now);
        let age = now.saturating_duration_since(since);
        if age >= outlier.window {
            let quiet = age >= outlier.window.saturating_mul(2);
            self.before = if quiet {
                Answers::default()
            } else {
                self.window
            };
            self.window = Answers::default();
            self.since = Some(now);
            if self.good_in_a_row >= u64::from(outlier.min_requests) {
                self.ejections = 0;
            }
        }
        self.window.add(bad, took);
        self.uncompared += 1;
        self.good_in_a_row = if bad { 0 } else { self.good_in_a_row + 1 };
        let all = self.window.and(self.before);
        all.all >= u64::from(outlier.min_requests)
            && all.bad > 0
            && all.bad * 100 >= all.all * u64::from(outlier.bad_percent)
    }

    /// Whether enough has come to compare the time of its answers with the others' once more:
    /// that is a look at all members, and not worth one with each answer.
    pub(super) fn is_comparison_due(&mut self, outlier: &Outlier) -> bool {
        let due = self.uncompared >= u64::from(outlier.min_requests.max(1));
        if due {
            self.uncompared = 0;
        }
        due
    }

    /// Counts an answer to one of its own sessions while it is out. Whether these fail there.
    pub(super) fn record_while_out(
        &mut self,
        bad: bool,
        took: Duration,
        outlier: &Outlier,
    ) -> bool {
        self.while_out.add(bad, took);
        self.while_out.are_enough(outlier) && self.while_out.are_mostly_bad()
    }

    /// Those of the last one to two windows, if there were enough.
    fn lately(&self, outlier: &Outlier, now: Instant) -> Option<Answers> {
        let age = now.saturating_duration_since(self.since?);
        let all = self.window.and(self.before);
        (age < outlier.window.saturating_mul(2) && all.are_enough(outlier)).then_some(all)
    }

    /// The part of good answers, if there were enough answers lately.
    pub(super) fn good_part(&self, outlier: &Outlier, now: Instant) -> Option<f64> {
        let all = self.lately(outlier, now)?;
        Some(1.0 - part(all.bad, all.all))
    }

    /// How long a good answer took on average, in seconds, if there were enough answers lately.
    pub(super) fn mean_time(&self, outlier: &Outlier, now: Instant) -> Option<f64> {
        let all = self.lately(outlier, now)?;
        (all.bad < all.all).then(|| all.seconds * part(1, all.all - all.bad))
    }

    /// The member was taken out: how many times in a row that was, and whether its own sessions
    /// would fail there as well.
    pub(super) fn eject(&mut self) -> (u32, bool) {
        let fails = self.window.and(self.before).are_mostly_bad();
        *self = Self {
            ejections: self.ejections.saturating_add(1),
            ..Self::default()
        };
        (self.ejections, fails)
    }
}

#[allow(
    clippy::cast_precision_loss,
    reason = "counts of requests are far below 2 to the 53rd"
)]
fn part(some: u64, all: u64) -> f64 {
    some as f64 / all as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Duration = Duration::from_millis(1);

    #[test]
    fn rates() {
        let t = Instant::now();
        let outlier = Outlier::default().with_min_requests(4);
        let mut rate = Rate::default();
        assert!(!rate.record(true, QUICK, &outlier, t));
        assert!(!rate.record(false, QUICK, &outlier, t));
        assert!(!rate.record(true, QUICK, &outlier, t));
        assert!(rate.record(false, QUICK, &outlier, t), "2 of 4");
        assert!(!rate.record(false, QUICK, &outlier, t), "2 of 5");
        // The window before counts too, the one before that does not.
        let next = t + Duration::from_secs(10);
        assert!(rate.record(true, QUICK, &outlier, next), "3 of 6");
        let next = t + Duration::from_secs(40);
        for _ in 0..3 {
            assert!(!rate.record(true, QUICK, &outlier, next));
        }
        assert!(rate.record(true, QUICK, &outlier, next));
        assert_eq!(rate.eject().0, 1);
        assert!(!rate.record(true, QUICK, &outlier, next), "a new count");
        assert_eq!(rate.eject().0, 2);
        assert_eq!(outlier.pause(2), Duration::from_secs(60));
        assert_eq!(outlier.pause(99), Duration::from_secs(300));
    }

    #[test]
    fn no_failure_is_no_reason() {
        let outlier = Outlier::default().with_min_requests(0).with_bad_percent(0);
        assert!(!Rate::default().record(false, QUICK, &outlier, Instant::now()));
    }

    #[test]
    fn a_quiet_time_makes_up_for_ejections() {
        let mut now = Instant::now();
        let outlier = Outlier::default().with_min_requests(4);
        let mut rate = Rate::default();
        assert_eq!(rate.eject().0, 1);
        // Too few good answers say nothing, in however many windows.
        for _ in 0..3 {
            now += Duration::from_secs(11);
            rate.record(false, QUICK, &outlier, now);
        }
        assert_eq!(rate.eject().0, 2);
        for _ in 0..5 {
            now += Duration::from_secs(11);
            rate.record(false, QUICK, &outlier, now);
        }
        assert_eq!(rate.eject().0, 1);
    }

    #[test]
    fn sessions_fail_where_most_answers_are_bad() {
        let now = Instant::now();
        let outlier = Outlier::default().with_min_requests(4);
        let mut rate = Rate::default();
        for bad in [true, true, false, false] {
            rate.record(bad, QUICK, &outlier, now);
        }
        assert!(rate.eject().1);
        for bad in [true, false, false, false] {
            rate.record(bad, QUICK, &outlier, now);
        }
        assert!(!rate.eject().1);
        let turned =
            [false, true, false, true].map(|bad| rate.record_while_out(bad, QUICK, &outlier));
        assert_eq!(turned, [false, false, false, true]);
    }

    #[test]
    fn windows_of_any_length_count_without_end() {
        let now = Instant::now();
        let outlier = Outlier::default().with_window(Duration::MAX);
        let mut rate = Rate::default();
        rate.window.all = u64::from(u32::MAX);
        rate.before = rate.window;
        assert!(!rate.record(true, QUICK, &outlier, now));
        assert!(
            rate.good_part(&outlier, now)
                .is_some_and(|part| part > 0.99)
        );
    }

    #[test]
    fn each_setting_is_the_one_that_was_set() {
        let outlier = Outlier::default()
            .with_window(Duration::from_secs(3))
            .with_min_requests(4)
            .with_bad_percent(5)
            .with_statuses([500])
            .with_eject_for(Duration::from_secs(6))
            .with_max_out_percent(7)
            .with_peer_deviations(8)
            .with_peer_latency(190);
        let expected = Outlier {
            window: Duration::from_secs(3),
            min_requests: 4,
            bad_percent: 5,
            statuses: vec![500],
            eject_for: Duration::from_secs(6),
            max_out_percent: 7,
            peer_deviations: Some(8),
            peer_latency: Some(190),
        };
        assert_eq!(outlier, expected);
        assert!(outlier.is_bad(500) && !outlier.is_bad(502));
        assert_eq!(outlier.with_peer_latency(99).peer_latency, Some(100));
    }

    #[test]
    fn members_are_compared_when_enough_has_come() {
        let now = Instant::now();
        let outlier = Outlier::default().with_min_requests(3);
        let mut rate = Rate::default();
        for _ in 0..2 {
            for _ in 0..2 {
                rate.record(false, QUICK, &outlier, now);
                assert!(!rate.is_comparison_due(&outlier));
            }
            rate.record(false, QUICK, &outlier, now);
            assert!(rate.is_comparison_due(&outlier));
            assert!(!rate.is_comparison_due(&outlier), "once");
        }
    }

    #[test]
    fn parts_and_times_are_of_the_answers_lately() {
        let now = Instant::now();
        let outlier = Outlier::default().with_min_requests(4);
        let mut rate = Rate::default();
        let second = Duration::from_secs(1);
        for bad in [false, false, true] {
            rate.record(bad, second, &outlier, now);
        }
        assert_eq!(rate.good_part(&outlier, now), None);
        rate.record(false, second * 4, &outlier, now);
        assert_eq!(rate.good_part(&outlier, now), Some(0.75));
        assert_eq!(rate.mean_time(&outlier, now), Some(2.0));
        let late = now + Duration::from_secs(19);
        assert_eq!(rate.good_part(&outlier, late), Some(0.75));
        let later = now + Duration::from_secs(20);
        assert_eq!(rate.good_part(&outlier, later), None);
        let mut rate = Rate::default();
        for _ in 0..4 {
            rate.record(true, second, &outlier, now);
        }
        assert_eq!(rate.mean_time(&outlier, now), None);
        assert_eq!(rate.good_part(&outlier, now), Some(0.0));
    }
}
