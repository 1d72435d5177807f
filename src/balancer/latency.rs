//! How long a member takes to answer: a moving average to choose by, quantiles to show.

use std::time::{Duration, Instant};

/// The average forgets with this time constant.
const MEMORY: Duration = Duration::from_secs(10);

/// Each sample has at least this weight in the average, however soon after the one before it
/// comes.
const LEAST_WEIGHT: f64 = 0.05;

/// Quantiles are those of the running window and of the whole one before it: of the last one to two
/// minutes.
const WINDOW: Duration = Duration::from_secs(60);

/// Buckets of microseconds: eight for every power of two, up to over an hour.
const BUCKETS: usize = 240;

#[derive(Debug, Clone)]
pub(super) struct Latency {
    /// Seconds.
    average: Option<(f64, Instant)>,
    count: u64,
    sum: Duration,
    window: Window,
    before: Window,
}

#[derive(Debug, Clone)]
struct Window {
    since: Option<Instant>,
    buckets: Box<[u32]>,
    max: Duration,
}

/// How long answers took, from the choice of the member to the head of the response or to
/// the end of patience.
/// Quantiles and the maximum are of the last one to two minutes, and at most an eighth too
/// high.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct LatencySnapshot {
    /// Answers so far.
    pub count: u64,
    /// Sum over all answers so far.
    #[cfg_attr(feature = "serde", serde(serialize_with = "super::seconds::serialize"))]
    pub sum: Duration,
    /// The moving average that [`Method::LowestLatency`](super::Method::LowestLatency) chooses by.
    #[cfg_attr(feature = "serde", serde(serialize_with = "super::seconds::serialize"))]
    pub average: Duration,
    /// Half of the answers took no longer.
    #[cfg_attr(feature = "serde", serde(serialize_with = "super::seconds::serialize"))]
    pub p50: Duration,
    /// Nine of ten took no longer.
    #[cfg_attr(feature = "serde", serde(serialize_with = "super::seconds::serialize"))]
    pub p90: Duration,
    /// 99 of 100 took no longer.
    #[cfg_attr(feature = "serde", serde(serialize_with = "super::seconds::serialize"))]
    pub p99: Duration,
    /// The slowest.
    #[cfg_attr(feature = "serde", serde(serialize_with = "super::seconds::serialize"))]
    pub max: Duration,
}

impl Latency {
    pub(super) fn new() -> Self {
        Self {
            average: None,
            count: 0,
            sum: Duration::ZERO,
            window: Window::new(),
            before: Window::new(),
        }
    }

    pub(super) fn record(&mut self, time: Duration, now: Instant) {
        self.count += 1;
        self.sum += time;
        let seconds = time.as_secs_f64();
        self.average = Some(match self.average {
            None => (seconds, now),
            Some((average, at)) => {
                let part = (1.0 - faded(now.saturating_duration_since(at))).max(LEAST_WEIGHT);
                (average + (seconds - average) * part, now.max(at))
            }
        });
        self.turn(now);
        self.window.record(time);
    }

    /// The average in seconds, `None` when nothing is known. When `idle`, it fades: a member
    /// that was slow once is tried again.
    pub(super) fn average(&self, now: Instant, idle: bool) -> Option<f64> {
        let (average, at) = self.average?;
        if idle {
            Some(average * faded(now.saturating_duration_since(at)))
        } else {
            Some(average)
        }
    }

    /// What was measured before an outage says nothing of the time after it.
    pub(super) fn forget(&mut self) {
        self.average = None;
    }

    pub(super) fn reset(&mut self) {
        *self = Self::new();
    }

    fn turn(&mut self, now: Instant) {
        let since = *self.window.since.get_or_insert(now);
        let age = now.saturating_duration_since(since);
        if age >= WINDOW {
            std::mem::swap(&mut self.window, &mut self.before);
            self.window.clear(now);
            if age >= WINDOW * 2 {
                self.before.clear(now);
            }
        }
    }

    pub(super) fn snapshot(&mut self, now: Instant) -> LatencySnapshot {
        self.turn(now);
        let average = self.average.map_or(0.0, |(average, _)| average);
        LatencySnapshot {
            count: self.count,
            sum: self.sum,
            average: Duration::try_from_secs_f64(average).unwrap_or_default(),
            p50: self.quantile(500),
            p90: self.quantile(900),
            p99: self.quantile(990),
            max: self.window.max.max(self.before.max),
        }
    }

    /// The upper bound of the bucket below which `part` thousandths lie.
    fn quantile(&self, part: u64) -> Duration {
        let pairs = || self.window.buckets.iter().zip(&self.before.buckets);
        let both = |(a, b): (&u32, &u32)| u64::from(*a) + u64::from(*b);
        let total = pairs().map(both).sum::<u64>();
        let rank = (total * part).div_ceil(1000).max(1);
        let mut seen = 0u64;
        for (index, count) in pairs().map(both).enumerate() {
            seen += count;
            if seen >= rank {
                let max = self.window.max.max(self.before.max);
                return upper_bound(index).min(max);
            }
        }
        Duration::ZERO
    }
}

/// What is left of a value after some time.
fn faded(time: Duration) -> f64 {
    (-time.as_secs_f64() / MEMORY.as_secs_f64()).exp()
}

impl Window {
    fn new() -> Self {
        Self {
            since: None,
            buckets: vec![0; BUCKETS].into(),
            max: Duration::ZERO,
        }
    }

    fn clear(&mut self, now: Instant) {
        self.since = Some(now);
        self.buckets.fill(0);
        self.max = Duration::ZERO;
    }

    fn record(&mut self, time: Duration) {
        self.max = self.max.max(time);
        let micros = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
        if let Some(count) = self.buckets.get_mut(bucket(micros)) {
            *count += 1;
        }
    }
}

/// The bucket of a number of microseconds.
fn bucket(micros: u32) -> usize {
    let index = match micros.checked_ilog2() {
        None | Some(0..=2) => micros,
        Some(power) => {
            let shift = power - 3;
            // The leading bit and the three after it.
            let digits = micros.checked_shr(shift).unwrap_or(0);
            shift * 8 + digits
        }
    };
    index.try_into().unwrap_or(usize::MAX)
}

/// The largest duration of a bucket.
fn upper_bound(bucket: usize) -> Duration {
    let bucket = u64::try_from(bucket).unwrap_or(u64::MAX);
    let micros = if bucket < 16 {
        bucket
    } else {
        let shift = u32::try_from(bucket / 8 - 1).unwrap_or(u32::MAX);
        let digits = bucket % 8 + 8;
        let above = (digits + 1).checked_shl(shift).unwrap_or(u64::MAX);
        above - 1
    };
    Duration::from_micros(micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_touch_and_are_an_eighth_wide() {
        let mut previous = 0;
        for micros in (0..100_000).chain((0..4000).map(|n| n * 1_000_003)) {
            let index = bucket(micros);
            assert!(index < BUCKETS);
            assert!(index >= previous || micros == 0);
            previous = index;
            let bound = u64::try_from(upper_bound(index).as_micros()).unwrap();
            let micros = u64::from(micros);
            assert!(
                bound >= micros && bound - micros <= micros / 8,
                "{micros} {bound}"
            );
            if index > 0 {
                assert!(upper_bound(index - 1).as_micros() < u128::from(micros));
            }
        }
        assert_eq!(bucket(u32::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_of_the_last_minutes() {
        let t = Instant::now();
        let mut latency = Latency::new();
        for n in 1..=1000 {
            latency.record(Duration::from_millis(n), t);
        }
        let shown = latency.snapshot(t);
        assert_eq!(
            (shown.count, shown.sum),
            (1000, Duration::from_millis(500_500))
        );
        assert_eq!(shown.max, Duration::from_secs(1));
        for (quantile, exact) in [(shown.p50, 500), (shown.p90, 900), (shown.p99, 990)] {
            let exact = Duration::from_millis(exact);
            assert!(
                quantile >= exact && quantile <= exact + exact / 8,
                "{quantile:?}"
            );
        }
        let later = t + Duration::from_secs(61);
        latency.record(Duration::from_millis(1), later);
        assert_eq!(latency.snapshot(later).max, Duration::from_secs(1));
        let later = t + Duration::from_secs(122);
        assert_eq!(latency.snapshot(later).max, Duration::from_millis(1));
        let shown = latency.snapshot(t + Duration::from_secs(600));
        assert_eq!((shown.count, shown.max), (1001, Duration::ZERO));
        assert_eq!(shown.p99, Duration::ZERO);
    }

    #[test]
    fn the_average_follows_and_fades() {
        let t = Instant::now();
        let mut latency = Latency::new();
        assert_eq!(latency.average(t, true), None);
        latency.record(Duration::from_secs(1), t);
        assert_eq!(latency.average(t, true), Some(1.0));
        // Samples of one moment count a little.
        latency.record(Duration::from_secs(2), t);
        assert!((latency.average(t, true).unwrap() - 1.05).abs() < 1e-9);
        // After a long time a sample is all that counts.
        let later = t + Duration::from_secs(1000);
        latency.record(Duration::from_secs(3), later);
        assert!((latency.average(later, true).unwrap() - 3.0).abs() < 1e-9);
        let end = later + MEMORY;
        assert!((latency.average(end, true).unwrap() - 3.0 / std::f64::consts::E).abs() < 1e-9);
        assert!((latency.average(end, false).unwrap() - 3.0).abs() < 1e-9);
        latency.forget();
        assert_eq!(latency.average(end, false), None);
        assert_eq!(latency.snapshot(later).count, 3);
    }
}
