//! What is known of the container's `keepAliveTimeout`, so that idle connections are closed
//! before the container closes them.
//!
//! The rules of learning:
//!
//! - Only an orderly close teaches, found on a connection that was idle for at least
//!   [`LEAST`]: the timeout is no longer than that. Resets, stray bytes, unanswered `CPing`
//!   and closes inside an exchange never do.
//! - A restart closes in order too, but all connections at once. So a close counts only if
//!   the connection became idle after the last loss of whatever kind was noticed, and it
//!   takes two that count, not more than [`RECOVERY`] apart. The longer one is believed.
//! - A container that cannot be reached was shut down: the first of two is forgotten.
//! - A connection that was idle for as long and then served an exchange proves the opposite.
//! - Without confirmation a quarter is added every [`RECOVERY`], and after four of them all
//!   is forgotten. So a timeout that was made longer is noticed, and an error heals.

use std::time::Duration;
use tokio::time::Instant;

/// Closes of connections that were idle for less have other reasons.
const LEAST: Duration = Duration::from_secs(1);
/// How long something learned is believed as it is.
const RECOVERY: Duration = Duration::from_secs(600);
/// After how many times [`RECOVERY`] it is forgotten.
const FORGET_AFTER: u32 = 4;

#[derive(Debug)]
pub(super) struct KeepAlive {
    configured: Option<Duration>,
    learns: bool,
    bound: Option<Seen>,
    candidate: Option<Seen>,
    last_loss: Option<Instant>,
}

/// A connection was closed by the container after being idle for this long at most.
#[derive(Debug, Clone, Copy)]
struct Seen {
    idle: Duration,
    at: Instant,
}

impl KeepAlive {
    pub(super) fn new(configured: Option<Duration>, learns: bool) -> Self {
        Self {
            configured,
            learns,
            bound: None,
            candidate: None,
            last_loss: None,
        }
    }

    /// The longest time a connection may be idle.
    pub(super) fn limit(&self, now: Instant) -> Option<Duration> {
        let learned = self.learned(now);
        let shortest = match (self.configured, learned) {
            (Some(configured), Some(learned)) => Some(configured.min(learned)),
            (configured, learned) => configured.or(learned),
        };
        shortest.map(ahead_of)
    }

    /// What was learned and is still believed.
    pub(super) fn learned(&self, now: Instant) -> Option<Duration> {
        let Seen { idle, at } = self.bound?;
        let age = now.saturating_duration_since(at);
        let steps = (1..=FORGET_AFTER).take_while(|&n| age >= RECOVERY * n);
        let steps = u32::try_from(steps.count()).unwrap_or(FORGET_AFTER);
        let more = idle.checked_div(4)?.saturating_mul(steps);
        (steps < FORGET_AFTER).then(|| idle.saturating_add(more))
    }

    /// An idle connection was found closed in order.
    pub(super) fn closed(&mut self, idle_since: Instant, now: Instant) {
        let idle = now.saturating_duration_since(idle_since);
        let counts = idle >= LEAST && self.last_loss.is_none_or(|last| idle_since >= last);
        self.last_loss = Some(now);
        if !self.learns || !counts {
            return;
        }
        let first = self
            .candidate
            .filter(|first| now.saturating_duration_since(first.at) <= RECOVERY);
        let shorter = first.map_or(idle, |first| first.idle.min(idle));
        if let Some(first) = first {
            self.bound = Some(Seen {
                idle: first.idle.max(idle),
                at: now,
            });
        }
        self.candidate = Some(Seen {
            idle: shorter,
            at: now,
        });
    }

    /// A connection was lost in a way that says nothing of timeouts.
    pub(super) fn lost(&mut self, now: Instant) {
        self.last_loss = Some(now);
    }

    /// No connection could be opened.
    pub(super) fn unreachable(&mut self, now: Instant) {
        self.last_loss = Some(now);
        self.candidate = None;
    }

    /// A connection that had been idle for this long served an exchange.
    pub(super) fn survived(&mut self, idle: Duration, now: Instant) {
        self.candidate = self.candidate.filter(|first| idle < first.idle);
        if self.learned(now).is_some_and(|learned| idle >= learned) {
            self.bound = None;
        }
    }
}

/// When to close a connection that the container closes after `timeout`: a tenth earlier, at
/// least 1 s, at most half.
fn ahead_of(timeout: Duration) -> Duration {
    let half = timeout.checked_div(2).unwrap_or_default();
    let tenth = timeout.checked_div(10).unwrap_or_default();
    timeout.saturating_sub(tenth.max(half.min(Duration::from_secs(1))))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    /// One connection after the other that becomes idle and is found closed.
    fn found_closed(keep_alive: &mut KeepAlive, now: &mut Instant, idle: Duration) {
        let since = *now;
        *now += idle;
        keep_alive.closed(since, *now);
    }

    #[test]
    fn the_margin_is_a_tenth_at_least_a_second_at_most_half() {
        for (timeout, limit) in [(600, 540), (60, 54), (10, 9), (5, 4), (2, 1)] {
            assert_eq!(ahead_of(secs(timeout)), secs(limit));
        }
        assert_eq!(ahead_of(secs(1)), Duration::from_millis(500));
        assert_eq!(ahead_of(Duration::ZERO), Duration::ZERO);
    }

    #[test]
    fn two_closes_teach_the_longer_and_a_third_the_next() {
        let (mut keep_alive, mut now) = (KeepAlive::new(None, true), Instant::now());
        found_closed(&mut keep_alive, &mut now, secs(20));
        assert_eq!(keep_alive.limit(now), None, "one is none");
        found_closed(&mut keep_alive, &mut now, secs(28));
        assert_eq!(keep_alive.learned(now), Some(secs(28)));
        found_closed(&mut keep_alive, &mut now, secs(21));
        assert_eq!(keep_alive.learned(now), Some(secs(21)));
        assert_eq!(keep_alive.limit(now), Some(Duration::from_millis(18_900)));
    }

    #[test]
    fn the_configured_timeout_needs_no_lesson_and_the_shorter_one_counts() {
        let (mut keep_alive, mut now) = (KeepAlive::new(Some(secs(20)), true), Instant::now());
        assert_eq!(keep_alive.limit(now), Some(secs(18)));
        found_closed(&mut keep_alive, &mut now, secs(10));
        found_closed(&mut keep_alive, &mut now, secs(10));
        assert_eq!(keep_alive.limit(now), Some(secs(9)));
        let mut deaf = KeepAlive::new(Some(secs(20)), false);
        found_closed(&mut deaf, &mut now, secs(10));
        found_closed(&mut deaf, &mut now, secs(10));
        assert_eq!(deaf.limit(now), Some(secs(18)));
    }

    /// All connections of one moment, however many and however long they were idle.
    #[test]
    fn one_restart_is_one_event() {
        let (mut keep_alive, start) = (KeepAlive::new(None, true), Instant::now());
        for n in 0..10 {
            keep_alive.closed(start + secs(n), start + secs(20 + n));
        }
        assert_eq!(keep_alive.learned(start + secs(30)), None);
        // The same after a reset, which never counts itself.
        let mut keep_alive = KeepAlive::new(None, true);
        keep_alive.lost(start + secs(20));
        keep_alive.closed(start, start + secs(20));
        keep_alive.closed(start + secs(21), start + secs(25));
        assert_eq!(keep_alive.learned(start + secs(30)), None);
    }

    #[test]
    fn a_container_that_was_down_taught_nothing() {
        let (mut keep_alive, mut now) = (KeepAlive::new(None, true), Instant::now());
        for _ in 0..5 {
            found_closed(&mut keep_alive, &mut now, secs(10));
            keep_alive.unreachable(now);
        }
        assert_eq!(keep_alive.learned(now), None);
    }

    #[test]
    fn closes_after_no_time_or_far_apart_teach_nothing() {
        let (mut keep_alive, mut now) = (KeepAlive::new(None, true), Instant::now());
        for _ in 0..5 {
            found_closed(&mut keep_alive, &mut now, Duration::from_millis(999));
        }
        for _ in 0..5 {
            found_closed(&mut keep_alive, &mut now, secs(10));
            now += RECOVERY;
        }
        assert_eq!(keep_alive.learned(now), None);
    }

    #[test]
    fn a_survivor_refutes() {
        let (mut keep_alive, mut now) = (KeepAlive::new(None, true), Instant::now());
        for _ in 0..5 {
            found_closed(&mut keep_alive, &mut now, secs(10));
            keep_alive.survived(secs(10), now);
        }
        assert_eq!(keep_alive.learned(now), None);
        found_closed(&mut keep_alive, &mut now, secs(10));
        keep_alive.survived(secs(9), now);
        found_closed(&mut keep_alive, &mut now, secs(10));
        assert_eq!(keep_alive.learned(now), Some(secs(10)));
        keep_alive.survived(secs(10), now);
        assert_eq!(keep_alive.learned(now), None);
    }

    #[test]
    fn what_is_not_confirmed_grows_and_is_forgotten() {
        let (mut keep_alive, mut now) = (KeepAlive::new(None, true), Instant::now());
        found_closed(&mut keep_alive, &mut now, secs(20));
        found_closed(&mut keep_alive, &mut now, secs(20));
        for (minutes, learned) in [(9, 20), (10, 25), (20, 30), (39, 35)] {
            let then = now + secs(minutes * 60);
            assert_eq!(keep_alive.learned(then), Some(secs(learned)));
        }
        assert_eq!(keep_alive.learned(now + RECOVERY * 4), None);
        now += RECOVERY;
        found_closed(&mut keep_alive, &mut now, secs(22));
        found_closed(&mut keep_alive, &mut now, secs(22));
        assert_eq!(keep_alive.learned(now), Some(secs(22)));
    }

    /// Whoever survives as long as another one was found closed shows that it was no timeout.
    #[test]
    fn a_connection_that_survives_takes_a_close_back() {
        for (idle, learned) in [(19, Some(secs(20))), (20, None), (21, None)] {
            let (mut keep_alive, mut now) = (KeepAlive::new(None, true), Instant::now());
            found_closed(&mut keep_alive, &mut now, secs(20));
            keep_alive.survived(secs(idle), now);
            found_closed(&mut keep_alive, &mut now, secs(20));
            assert_eq!(keep_alive.learned(now), learned, "{idle}");
        }
    }
}
