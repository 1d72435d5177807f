//! How many requests a member can take at a time, found out from how long it takes to answer:
//! a member with more than that answers no more requests, only later.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Fewer answers than this say nothing about how long a member takes.
const ENOUGH: u32 = 10;

/// The shortest time over which answers are averaged.
const SHORTEST_WINDOW: Duration = Duration::from_millis(100);

/// So many requests tell how long an answer takes without load. The first to be answered are
/// the quickest, so that fewer would tell of the quick ones alone.
const CALIBRATION_REQUESTS: u32 = 16;

/// A limit moves by this part of the way to where it should be in each window.
const STEP: f64 = 0.2;

/// What a new answer counts in the time without load, and what a new `CPong` does.
const ANSWER_COUNTS: f64 = 0.05;
const CPONG_COUNTS: f64 = 0.25;

/// `CPong` tells of a queue if it is later than this part of an answer. A container that needs
/// no thread for it, or is not thread-bound, answers at once whatever its load.
const LATE_CPONG: f64 = 0.25;

/// An average over answers is compared with a `CPong` if it is no older.
const STALE: Duration = Duration::from_secs(5);

/// The time without load is not measured more often than this.
const SHORTEST_CALIBRATION_INTERVAL: Duration = Duration::from_secs(5);

/// The requests of a measurement without load are not waited for any longer than this many
/// times the usual time of an answer, and this many seconds.
const PATIENCE: f64 = 5.0;
const LEAST_PATIENCE: f64 = 1.0;

/// The time without load is measured again when the limit has fallen to this part of what it
/// was then.
const FALLEN: f64 = 0.7;

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

    /// It does not fall below this. At least 1.
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

/// The adaptive limit of one member.
#[derive(Debug)]
pub(super) struct Limiter {
    settings: AdaptiveLimit,
    limit: f64,
    /// How long an answer takes when it need not wait for others.
    unloaded: Unloaded,
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
pub(super) struct Entry {
    pub(super) serial: u64,
    pub(super) started: Instant,
    pub(super) load: Load,
}

/// What an outcome says of how long a member takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    Answer,
    /// There was no answer in time: it takes at least so long, and perhaps for reasons of its
    /// own.
    Timeout,
    /// The container did not answer `CPing` in time, and the request was not sent for it.
    Late,
    /// Errors are quick, and a request that was cancelled took as long as its visitor liked.
    Nothing,
}

/// How long an answer takes without load, as far as that is known.
#[derive(Debug, Default)]
struct Unloaded {
    /// In seconds.
    average: f64,
    /// How many answers it is of, until these are enough.
    answers: u32,
    /// When the last [`CALIBRATION_REQUESTS`] of them had come, and what the limit was then.
    known_at: Option<(Instant, f64)>,
    /// Answers since then.
    since: u32,
}

impl Unloaded {
    fn get(&self) -> Option<f64> {
        (self.answers >= CALIBRATION_REQUESTS).then_some(self.average)
    }

    /// One more answer.
    fn add(&mut self, seconds: f64, limit: f64, now: Instant) {
        self.answers = self.answers.saturating_add(1);
        let counts = (1.0 / f64::from(self.answers)).max(ANSWER_COUNTS);
        self.average += (seconds - self.average) * counts;
        self.since = self.since.saturating_add(1);
        if self.since >= CALIBRATION_REQUESTS {
            self.confirm(limit, now);
        }
    }

    /// A measurement, of which the part that `counts` is taken over if anything was known.
    fn measured(&mut self, seconds: f64, counts: f64, limit: f64, now: Instant) {
        let counts = if self.get().is_some() { counts } else { 1.0 };
        self.average += (seconds - self.average) * counts;
        self.answers = self.answers.max(CALIBRATION_REQUESTS);
        self.confirm(limit, now);
    }

    fn confirm(&mut self, limit: f64, now: Instant) {
        self.known_at = Some((now, limit));
        self.since = 0;
    }
}

/// What else ran at a member when a request was given to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Load {
    /// Anything, or nobody wants to know.
    Usual,
    /// So few requests that it does not wait for them.
    Light,
    /// As light, because others were not let in: it is one of a [`Calibration`].
    Calibration,
}

/// Few requests are let in, to see how long they take. All of them are waited for: the first
/// to be answered are the quickest.
#[derive(Debug)]
struct Calibration {
    since: Instant,
    /// Requests that may run at a time until enough were let in.
    limit: f64,
    let_in: u32,
    /// In seconds.
    patience: f64,
    answers: Average,
}

impl Calibration {
    fn lets_in(&self) -> bool {
        self.let_in < CALIBRATION_REQUESTS
    }

    /// For how long it has been going on, in seconds.
    fn age(&self, now: Instant) -> f64 {
        now.saturating_duration_since(self.since).as_secs_f64()
    }

    fn is_overdue(&self, now: Instant) -> bool {
        self.age(now) >= self.patience
    }

    fn has_let_in(&self, entry: Entry) -> bool {
        entry.load == Load::Calibration && entry.started >= self.since
    }
}

/// The answers of a short time.
#[derive(Debug)]
struct Window {
    since: Option<Instant>,
    answers: Average,
    most_waiting: u32,
    /// Whether the container was so late with `CPong` that a request was not sent.
    late: bool,
}

impl Window {
    const NEW: Self = Self {
        since: None,
        answers: Average::NEW,
        most_waiting: 0,
        late: false,
    };
}

#[derive(Debug)]
struct Average {
    count: u32,
    sum: f64,
}

impl Average {
    const NEW: Self = Self { count: 0, sum: 0.0 };

    fn add(&mut self, seconds: f64) {
        self.count = self.count.saturating_add(1);
        self.sum += seconds;
    }

    fn get(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / f64::from(self.count))
    }
}

impl Limiter {
    pub(super) fn new(settings: AdaptiveLimit) -> Self {
        Self {
            limit: f64::from(
                settings
                    .initial
                    .clamp(settings.least, settings.most.max(settings.least)),
            ),
            settings,
            unloaded: Unloaded::default(),
            calibration: None,
            window: Window::NEW,
            last: None,
            waiting: BTreeMap::new(),
        }
    }

    /// How many requests may wait for an answer of the member at this moment.
    pub(super) fn places(&self, now: Instant) -> u32 {
        let calibration = self.calibration.as_ref();
        self.places_in(calibration.filter(|one| !one.is_overdue(now)))
    }

    /// As [`places`](Self::places), when the limiter was last told something.
    pub(super) fn last_places(&self) -> u32 {
        self.places_in(self.calibration.as_ref())
    }

    pub(super) fn is_full(&self, now: Instant) -> bool {
        self.waiting() >= self.places(now)
    }

    fn waiting(&self) -> u32 {
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
    pub(super) fn enter(&mut self, serial: u64, busy: u32, now: Instant) -> Load {
        self.end_calibration(now);
        let load = match &mut self.calibration {
            Some(calibration) if calibration.lets_in() => {
                calibration.let_in = calibration.let_in.saturating_add(1);
                Load::Calibration
            }
            None if busy <= 1 || f64::from(busy) <= self.limit / 4.0 => Load::Light,
            Some(_) | None => Load::Usual,
        };
        self.waiting.insert(serial, (now, load));
        self.window.most_waiting = self.window.most_waiting.max(self.waiting());
        load
    }

    /// A request that it was given has an outcome. Only the first one counts.
    pub(super) fn told(&mut self, entry: Entry, told: Told, now: Instant) {
        if self.waiting.remove(&entry.serial).is_none() {
            return;
        }
        if let Some(calibration) = &mut self.calibration {
            if calibration.has_let_in(entry) {
                if told == Told::Answer {
                    let seconds = now.saturating_duration_since(entry.started).as_secs_f64();
                    calibration.answers.add(seconds.min(calibration.patience));
                } else {
                    calibration.let_in = calibration.let_in.saturating_sub(1);
                }
            }
            self.end_calibration(now);
            return;
        }
        match told {
            Told::Nothing => return,
            Told::Late => self.window.late = true,
            Told::Answer | Told::Timeout => {
                let seconds = now.saturating_duration_since(entry.started).as_secs_f64();
                if told == Told::Answer && entry.load == Load::Light {
                    self.unloaded.add(seconds, self.limit, now);
                }
                self.window.answers.add(seconds);
            }
        }
        self.adapt(now);
    }

    /// A request that it was given is over, perhaps without any outcome.
    pub(super) fn leave(&mut self, entry: Entry) {
        if self.waiting.remove(&entry.serial).is_none() {
            return;
        }
        if let Some(calibration) = &mut self.calibration {
            if calibration.has_let_in(entry) {
                calibration.let_in = calibration.let_in.saturating_sub(1);
            }
        }
    }

    /// `CPing` was answered after `round_trip`, while requests were running.
    pub(super) fn cpong(&mut self, round_trip: Duration, now: Instant) {
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
    pub(super) fn restart(&mut self) {
        let new = Self::new(self.settings.clone());
        *self = Self {
            limit: new.limit.min(self.limit),
            waiting: std::mem::take(&mut self.waiting),
            ..new
        };
    }

    /// Sets the limit by what the last window has shown, if there was enough to see.
    fn adapt(&mut self, now: Instant) {
        let since = *self.window.since.get_or_insert(now);
        let age = now.saturating_duration_since(since);
        let average = self.window.answers.get();
        let shortest = average.unwrap_or(0.0).max(SHORTEST_WINDOW.as_secs_f64());
        let is_enough = self.window.late || self.window.answers.count >= ENOUGH;
        if !is_enough || age.as_secs_f64() < shortest {
            return;
        }
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
            self.calibration = Some(Calibration {
                since: now,
                limit: self.limit / 4.0,
                let_in: 0,
                patience: (answer * PATIENCE).max(LEAST_PATIENCE),
                answers: Average::NEW,
            });
        }
    }

    /// Ends a calibration that has seen enough, or has waited long enough for it.
    fn end_calibration(&mut self, now: Instant) {
        let is_over = |one: &mut Calibration| {
            one.answers.count >= CALIBRATION_REQUESTS || one.is_overdue(now)
        };
        let Some(mut calibration) = self.calibration.take_if(is_over) else {
            return;
        };
        // Those that are not answered yet are the slow ones, but for those that have just come.
        let slow = calibration
            .answers
            .get()
            .unwrap_or(calibration.patience / 2.0);
        for (&serial, &(started, load)) in &self.waiting {
            let entry = Entry {
                serial,
                started,
                load,
            };
            let waited = now.saturating_duration_since(started).as_secs_f64();
            if calibration.has_let_in(entry) && waited > slow {
                // Nobody may have looked for long.
                calibration.answers.add(waited.min(calibration.patience));
            }
        }
        match calibration.answers.get() {
            Some(seconds) => self.unloaded.measured(seconds, 1.0, self.limit, now),
            None => self.unloaded.confirm(self.limit, now),
        }
        self.window = Window::NEW;
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        Choice, Cluster, ClusterConfig, Flags, Member, MemberId, RequestInfo, RequestOutcome,
    };
    use super::*;

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
}
