//! The adaptive limit of one member, as it is told of each request.

use super::calibration::Calibration;
use super::unloaded::UnloadedLatency;
use super::window::Window;
use super::{AdaptiveLimit, SHORTEST_CALIBRATION_INTERVAL};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A limit moves by this part of the way to where it should be in each window.
const STEP: f64 = 0.2;

/// What a new `CPong` counts in the time without load.
const CPONG_COUNTS: f64 = 0.25;

/// `CPong` tells of a queue if it is later than this part of an answer. A container that needs
/// no thread for it, or is not thread-bound, answers at once whatever its load.
const LATE_CPONG: f64 = 0.25;

/// An average over answers is compared with a `CPong` if it is no older.
const STALE: Duration = Duration::from_secs(5);

/// The time without load is measured again when the limit has fallen to this part of what it
/// was then.
const FALLEN: f64 = 0.7;

/// The adaptive limit of one member.
#[derive(Debug)]
pub(in crate::balancer) struct Limiter {
    settings: AdaptiveLimit,
    limit: f64,
    /// How long an answer takes when it need not wait for others.
    unloaded: UnloadedLatency,
    calibration: Option<Calibration>,
    window: Window,
    /// The average of the last window, in seconds, and its end.
    last: Option<(f64, Instant)>,
    /// The requests of which no outcome is known yet, by the serial numbers of their choices.
    /// A request whose body still streams is none of them.
    waiting: BTreeMap<u64, (Instant, Load)>,
}

/// A request that a limiter has let in.
#[derive(Debug, Clone, Copy)]
pub(in crate::balancer) struct Entry {
    pub(in crate::balancer) serial: u64,
    pub(in crate::balancer) started: Instant,
    pub(in crate::balancer) load: Load,
}

impl Entry {
    /// How long ago it was let in, in seconds.
    pub(super) fn age(self, now: Instant) -> f64 {
        now.saturating_duration_since(self.started).as_secs_f64()
    }
}

/// What an outcome says of how long a member takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::balancer) enum Timing {
    Answer,
    /// There was no answer in time: it takes at least so long, and perhaps for reasons of its
    /// own.
    Timeout,
    /// The container did not answer `CPing` in time, and the request was not sent for it.
    Late,
    /// Errors are quick, and a request that was cancelled took as long as its visitor liked.
    Nothing,
}

/// What else ran at a member when a request was given to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::balancer) enum Load {
    /// Anything, or nobody wants to know.
    Usual,
    /// So few requests that it does not wait for them.
    Light,
    /// As light, because others were not let in: it is one of a [`Calibration`].
    Calibration,
}

impl Limiter {
    pub(in crate::balancer) fn new(settings: AdaptiveLimit) -> Self {
        Self {
            limit: f64::from(
                settings
                    .initial
                    .clamp(settings.least, settings.most.max(settings.least)),
            ),
            settings,
            unloaded: UnloadedLatency::default(),
            calibration: None,
            window: Window::NEW,
            last: None,
            waiting: BTreeMap::new(),
        }
    }

    pub(in crate::balancer) fn settings(&self) -> &AdaptiveLimit {
        &self.settings
    }

    /// How many requests may wait for an answer of the member at this moment.
    pub(in crate::balancer) fn places(&self, now: Instant) -> u32 {
        let calibration = self.calibration.as_ref();
        self.places_in(calibration.filter(|one| !one.is_overdue(now)))
    }

    /// As [`places`](Self::places), when the limiter was last told something.
    pub(in crate::balancer) fn last_places(&self) -> u32 {
        self.places_in(self.calibration.as_ref())
    }

    pub(in crate::balancer) fn is_full(&self, now: Instant) -> bool {
        self.waiting() >= self.places(now)
    }

    /// How many requests wait for an answer of the member.
    pub(in crate::balancer) fn waiting(&self) -> u32 {
        u32::try_from(self.waiting.len()).unwrap_or(u32::MAX)
    }

    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 1 and a number that was a u32"
    )]
    fn places_in(&self, calibration: Option<&Calibration>) -> u32 {
        let calibration = calibration.filter(|one| one.lets_in());
        let limit = calibration.map_or(self.limit, |one| one.limit);
        limit.max(1.0) as u32
    }

    /// The member was given a request, and now has so many, those included whose answers are
    /// still being sent.
    pub(in crate::balancer) fn enter(&mut self, serial: u64, busy: u32, now: Instant) -> Load {
        self.end_calibration(now);
        let load = match &mut self.calibration {
            Some(calibration) if calibration.lets_in() => {
                calibration.enter();
                Load::Calibration
            }
            None if busy <= 1 || f64::from(busy) <= self.limit / 4.0 => Load::Light,
            Some(_) | None => Load::Usual,
        };
        self.waiting.insert(serial, (now, load));
        self.window.most_waiting = self.window.most_waiting.max(self.waiting());
        load
    }

    /// The member goes on with a request whose caller has gone. It takes up a place; how long it
    /// takes says nothing.
    pub(in crate::balancer) fn enter_abandoned(&mut self, serial: u64, now: Instant) {
        self.waiting.insert(serial, (now, Load::Usual));
    }

    /// A request that it was given has an outcome. Only the first one counts.
    pub(in crate::balancer) fn outcome(&mut self, entry: Entry, timing: Timing, now: Instant) {
        if self.waiting.remove(&entry.serial).is_none() {
            return;
        }
        if let Some(calibration) = &mut self.calibration {
            match timing {
                Timing::Answer => calibration.answered(entry, now),
                Timing::Timeout | Timing::Late | Timing::Nothing => {
                    calibration.told_nothing(entry);
                }
            }
            self.end_calibration(now);
            return;
        }
        match timing {
            Timing::Nothing => return,
            Timing::Late => self.window.late = true,
            Timing::Answer | Timing::Timeout => {
                let seconds = entry.age(now);
                if timing == Timing::Answer && entry.load == Load::Light {
                    self.unloaded.add(seconds, self.limit, now);
                }
                self.window.answers.add(seconds);
            }
        }
        self.adapt(now);
    }

    /// A request that it was given is over, perhaps without any outcome.
    pub(in crate::balancer) fn leave(&mut self, entry: Entry) {
        if self.waiting.remove(&entry.serial).is_none() {
            return;
        }
        if let Some(calibration) = &mut self.calibration {
            calibration.told_nothing(entry);
        }
    }

    /// `CPing` was answered after `round_trip`, while requests were running.
    pub(in crate::balancer) fn cpong(&mut self, round_trip: Duration, now: Instant) {
        self.end_calibration(now);
        let Some((answer, at)) = self.last else {
            return;
        };
        let waited = round_trip.as_secs_f64();
        let is_fresh = now.saturating_duration_since(at) <= STALE.saturating_add(round_trip);
        if self.calibration.is_none() && is_fresh && waited >= answer * LATE_CPONG {
            // An answer is not all waiting, however late this one CPong was.
            let worked = (answer - waited).max(answer * 0.1);
            self.unloaded
                .measured(worked, CPONG_COUNTS, self.limit, now);
        }
    }

    /// The member begins anew: what is known of it is from before an outage.
    pub(in crate::balancer) fn restart(&mut self) {
        let new = Self::new(self.settings.clone());
        *self = Self {
            limit: new.limit.min(self.limit),
            waiting: std::mem::take(&mut self.waiting),
            ..new
        };
    }

    /// Sets the limit by what the last window has shown, if there was enough to see.
    fn adapt(&mut self, now: Instant) {
        if !self.window.is_over(now) {
            return;
        }
        let average = self.window.answers.get();
        let window = std::mem::replace(&mut self.window, Window::NEW);
        self.last = average.map(|average| (average, now));
        let is_used = f64::from(window.most_waiting) * 2.0 >= self.limit;
        if window.late {
            self.set(self.limit * (1.0 - STEP));
        } else if let (true, Some(average), Some(unloaded)) =
            (is_used, average, self.unloaded.get())
        {
            let tolerated = unloaded * f64::from(self.settings.tolerance) / 100.0;
            // By a clock that stands still answers take no time.
            let gradient = if tolerated < average {
                (tolerated / average).max(0.5)
            } else {
                1.0
            };
            // The room for a burst lets the limit grow when nothing is wrong.
            let wanted = self.limit * gradient + self.limit.sqrt();
            self.set(self.limit + (wanted - self.limit) * STEP);
        }
        // Only where somebody is refused anyway.
        if f64::from(window.most_waiting) >= self.limit.floor() {
            self.calibrate_if_due(average.unwrap_or(1.0), now);
        }
    }

    fn set(&mut self, limit: f64) {
        let (least, most) = (
            self.settings.least,
            self.settings.most.max(self.settings.least),
        );
        self.limit = limit.clamp(f64::from(least), f64::from(most));
    }

    fn calibrate_if_due(&mut self, answer: f64, now: Instant) {
        let is_due = self.unloaded.known_at.is_none_or(|(at, then)| {
            let age = now.saturating_duration_since(at);
            let has_fallen = self.limit < then * FALLEN;
            let is_quicker = self
                .unloaded
                .get()
                .is_some_and(|known| answer < known / 2.0);
            age >= self.settings.calibration_interval
                || (has_fallen || is_quicker) && age >= SHORTEST_CALIBRATION_INTERVAL
        });
        if is_due {
            self.calibration = Some(Calibration::new(self.limit, answer, now));
        }
    }

    /// Ends a calibration that has seen enough, or has waited long enough for it.
    fn end_calibration(&mut self, now: Instant) {
        let Some(calibration) = self.calibration.take_if(|one| one.is_over(now)) else {
            return;
        };
        let waiting = self.waiting.iter();
        let waiting = waiting.map(|(&serial, &(started, load))| Entry {
            serial,
            started,
            load,
        });
        match calibration.end(waiting, now) {
            Some(seconds) => self.unloaded.measured(seconds, 1.0, self.limit, now),
            None => self.unloaded.confirm(self.limit, now),
        }
        self.window = Window::NEW;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balancer::{
        Choice, Cluster, ClusterConfig, Flags, Member, MemberId, RequestInfo, RequestOutcome,
    };

    const OK: RequestOutcome<'_> = RequestOutcome::Answered { status: 200 };

    struct One {
        cluster: Cluster,
        id: MemberId,
        now: Instant,
    }

    impl One {
        fn new(limit: AdaptiveLimit) -> Self {
            let mut cluster = Cluster::new(ClusterConfig::default().with_adaptive_limit(limit));
            let now = Instant::now();
            let member = Member::new("a").with_flags(Flags::IGNORE_ERRORS);
            let id = cluster.add(member, now).unwrap();
            Self { cluster, id, now }
        }

        fn pick(&mut self) -> Choice {
            self.cluster.pick(&RequestInfo::new(), self.now).unwrap()
        }

        fn end(&mut self, choice: &Choice, outcome: RequestOutcome<'_>) {
            self.cluster.answered(choice, outcome, self.now);
            self.cluster.ended(choice);
        }

        /// As many requests as there is room for are answered after some time.
        fn round(&mut self, time: Duration) {
            let choice = |one: &mut Self| one.cluster.pick(&RequestInfo::new(), one.now).ok();
            let all: Vec<_> = std::iter::from_fn(|| choice(self)).collect();
            self.now += time;
            for choice in &all {
                self.end(choice, OK);
            }
        }

        fn limiter(&self) -> &Limiter {
            let slot = self.cluster.roster.get(self.id).unwrap();
            slot.limiter.as_ref().unwrap()
        }

        fn unloaded(&self) -> f64 {
            self.limiter().unloaded.get().unwrap()
        }
    }

    /// Errors and cancelled requests are not the slow ones of a calibration.
    #[test]
    fn requests_without_an_answer_are_no_part_of_a_calibration() {
        let mut one = One::new(AdaptiveLimit::default());
        one.round(Duration::from_millis(200));
        one.round(Duration::from_millis(300));
        assert!(one.limiter().calibration.is_some());
        for turn in 0..60 {
            let (good, bad) = (one.pick(), one.pick());
            one.now += Duration::from_millis(20);
            one.end(&good, OK);
            let outcome = match turn % 5 {
                0 => RequestOutcome::Answered { status: 503 },
                1 => RequestOutcome::Unfit { status: 500 },
                2 => RequestOutcome::Broken("it broke off"),
                3 => RequestOutcome::Unknown,
                _ => {
                    one.cluster.ended(&bad);
                    continue;
                }
            };
            one.end(&bad, outcome);
        }
        assert!(one.limiter().calibration.is_none());
        let unloaded = one.unloaded();
        assert!((0.019..0.021).contains(&unloaded), "{unloaded}");
    }

    #[test]
    fn a_timeout_is_no_answer_without_load() {
        let mut one = One::new(AdaptiveLimit::default());
        for _ in 0..20 {
            let choice = one.pick();
            one.now += Duration::from_millis(10);
            one.end(&choice, OK);
        }
        let choice = one.pick();
        one.now += Duration::from_secs(30);
        one.end(&choice, RequestOutcome::TimedOut("no answer"));
        let unloaded = one.unloaded();
        assert!((0.009..0.011).contains(&unloaded), "{unloaded}");
    }

    #[test]
    fn answers_that_take_no_time() {
        let mut one = One::new(AdaptiveLimit::default().with_initial(100));
        for _ in 0..10 {
            one.round(Duration::ZERO);
            one.now += Duration::from_millis(200);
        }
        assert!(one.limiter().limit >= 100.0, "{}", one.limiter().limit);
    }

    /// One whose last window had answers of so many seconds, and whose time without load is
    /// known.
    fn known(limit: u32, answer: f64, unloaded: Option<f64>, now: Instant) -> Limiter {
        let mut limiter = Limiter::new(AdaptiveLimit::default().with_initial(limit));
        limiter.last = Some((answer, now));
        if let Some(unloaded) = unloaded {
            limiter
                .unloaded
                .measured(unloaded, 1.0, f64::from(limit), now);
        }
        limiter
    }

    fn close_to(value: f64, expected: f64) -> bool {
        (value - expected).abs() < 1e-9
    }

    /// An answer takes as long as it waits for its thread, which `CPong` tells, and the rest.
    #[test]
    fn a_late_cpong_tells_what_an_answer_takes_without_load() {
        let now = Instant::now();
        let after = |cpong: u64, at: u64, before: Option<f64>| {
            let mut limiter = known(100, 0.4, before, now);
            limiter.cpong(
                Duration::from_millis(cpong),
                now + Duration::from_millis(at),
            );
            limiter.unloaded.get().unwrap_or(0.0)
        };
        assert!(close_to(after(180, 0, None), 0.22));
        assert!(close_to(after(100, 0, None), 0.3), "a fourth of an answer");
        assert!(close_to(after(99, 0, None), 0.0), "no queue");
        assert!(close_to(after(900, 0, None), 0.04), "never nothing");
        assert!(
            close_to(after(180, 0, Some(0.1)), 0.13),
            "a fourth of it counts"
        );
        assert!(close_to(after(180, 5_180, None), 0.22));
        assert!(close_to(after(180, 5_181, None), 0.0), "of another time");
        let mut limiter = known(100, 0.4, None, now);
        limiter.calibration = Some(Calibration::new(100.0, 0.4, now));
        limiter.cpong(Duration::from_millis(180), now);
        assert_eq!(limiter.unloaded.get(), None, "that is being measured");
    }

    /// A window of answers of 0.3 s moves a limit of 100, of which so many were used.
    #[test]
    fn a_limit_moves_by_what_answers_take() {
        let now = Instant::now();
        let moved = |unloaded, most_waiting, late| {
            let mut limiter = known(100, 0.3, unloaded, now);
            for _ in 0..10 {
                limiter.window.answers.add(0.3);
            }
            limiter.window.most_waiting = most_waiting;
            limiter.window.late = late;
            limiter.adapt(now);
            assert!(close_to(limiter.limit, 100.0), "it has only begun");
            limiter.adapt(now + Duration::from_millis(300));
            limiter.limit
        };
        // One and a half times 0.2 s is what they may take: room for ten more, a fifth of it.
        assert!(close_to(moved(Some(0.2), 50, false), 102.0));
        assert!(close_to(moved(Some(0.2), 49, false), 100.0), "not used");
        assert!(close_to(moved(None, 50, false), 100.0), "nothing is known");
        // 0.15 s, which is a half: the limit should be 60.
        assert!(close_to(moved(Some(0.1), 50, false), 92.0));
        assert!(close_to(moved(Some(0.01), 50, false), 92.0), "never less");
        // 0.24 s, which is four fifths: the limit should be 90.
        assert!(close_to(moved(Some(0.16), 50, false), 98.0));
        assert!(close_to(moved(Some(0.2), 50, true), 80.0), "CPong was late");
    }

    #[test]
    fn the_time_without_load_is_measured_again_when_it_is_due() {
        let now = Instant::now();
        let is_due = |limit: f64, answer, seconds| {
            let mut limiter = known(100, answer, Some(0.2), now);
            limiter.limit = limit;
            limiter.calibrate_if_due(answer, now + Duration::from_secs(seconds));
            limiter.calibration.is_some()
        };
        assert!(
            !is_due(100.0, 0.2, 59) && is_due(100.0, 0.2, 60),
            "for long"
        );
        assert!(!is_due(70.0, 0.2, 59) && is_due(69.0, 0.2, 59), "fallen");
        assert!(
            !is_due(100.0, 0.1, 59) && is_due(100.0, 0.09, 59),
            "quicker"
        );
        assert!(
            !is_due(69.0, 0.09, 4) && is_due(69.0, 0.09, 5),
            "not at once"
        );
        let mut limiter = known(100, 0.2, None, now);
        limiter.calibrate_if_due(0.2, now);
        assert!(limiter.calibration.is_some(), "never known");
    }

    #[test]
    fn a_member_that_begins_anew_has_no_more_places_than_before() {
        let now = Instant::now();
        for (limit, expected) in [(50.0, 20.0), (7.0, 7.0)] {
            let mut limiter = known(20, 0.4, Some(0.1), now);
            limiter.limit = limit;
            limiter.enter(1, 1, now);
            limiter.restart();
            assert!(close_to(limiter.limit, expected), "{}", limiter.limit);
            assert_eq!((limiter.unloaded.get(), limiter.last), (None, None));
            assert_eq!(limiter.waiting(), 1, "it still waits");
        }
    }
}
