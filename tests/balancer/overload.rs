//! More requests than a container has threads for, with an adaptive limit: a model of its
//! thread pool, without IO and clock.

use ajp::balancer::{
    AdaptiveLimit, Choice, Cluster, ClusterConfig, Member, MemberId, Reason, RequestInfo,
    RequestOutcome,
};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::{Duration, Instant};

/// Microseconds.
type Time = u64;
const MS: Time = 1000;
const SECOND: Time = 1000 * MS;

/// What waits for a thread.
enum Job {
    Request { choice: Choice, takes: Time },
    CPing { sent: Time },
}

/// A container with a pool of threads, and a balancer in front of it.
struct Container {
    cluster: Cluster,
    member: MemberId,
    start: Instant,
    now: Time,
    threads: usize,
    /// Whether CPing needs a thread, as in Tomcat.
    cping_waits: bool,
    busy: usize,
    queue: VecDeque<Job>,
    running: BinaryHeap<Reverse<(Time, u64)>>,
    jobs: Vec<Option<Choice>>,
    random: fastrand::Rng,
    next_arrival: Time,
    next_cping: Time,
    /// How long answers took since the last look, and how many requests were refused.
    answered: Vec<Time>,
    refused: usize,
}

impl Container {
    fn new(threads: usize, limit: AdaptiveLimit) -> Self {
        let config = ClusterConfig::default()
            .with_adaptive_limit(limit)
            .with_seed(1);
        let mut cluster = Cluster::new(config);
        let start = Instant::now();
        let member = cluster.add(Member::new("a"), start).unwrap();
        Self {
            cluster,
            member,
            start,
            now: 0,
            threads,
            cping_waits: true,
            busy: 0,
            queue: VecDeque::new(),
            running: BinaryHeap::new(),
            jobs: Vec::new(),
            random: fastrand::Rng::with_seed(7),
            next_arrival: 0,
            next_cping: SECOND,
            answered: Vec::new(),
            refused: 0,
        }
    }

    fn at(&self, time: Time) -> Instant {
        self.start + Duration::from_micros(time)
    }

    /// Lets requests come for some time, `rate` in a second, each of which takes what `service`
    /// says.
    fn run(&mut self, time: Time, rate: f64, service: impl Fn(&mut fastrand::Rng) -> Time) {
        let end = self.now + time;
        self.answered.clear();
        self.refused = 0;
        self.next_arrival = self.next_arrival.max(self.now);
        loop {
            let done = self
                .running
                .peek()
                .map_or(Time::MAX, |Reverse((at, _))| *at);
            let next = done.min(self.next_arrival).min(self.next_cping);
            if next > end {
                break;
            }
            self.now = next;
            if next == done {
                self.finish();
            } else if next == self.next_arrival {
                self.next_arrival += (-(1.0 - self.random.f64()).ln() / rate * 1e6) as Time;
                let takes = service(&mut self.random);
                self.arrive(takes);
            } else {
                self.next_cping += SECOND;
                let sent = self.now;
                if self.cping_waits {
                    self.enqueue(Job::CPing { sent });
                } else {
                    self.cpong(sent);
                }
            }
        }
        self.now = end;
    }

    fn arrive(&mut self, takes: Time) {
        let now = self.at(self.now);
        match self.cluster.pick(&RequestInfo::new(), now) {
            Ok(choice) => self.enqueue(Job::Request { choice, takes }),
            Err(none) => {
                assert_eq!(none.reason(), Reason::Full);
                assert!(none.retry_after().is_some());
                self.refused += 1;
            }
        }
    }

    fn enqueue(&mut self, job: Job) {
        self.queue.push_back(job);
        self.work();
    }

    fn work(&mut self) {
        while self.busy < self.threads {
            match self.queue.pop_front() {
                None => return,
                Some(Job::CPing { sent }) => self.cpong(sent),
                Some(Job::Request { choice, takes }) => {
                    self.busy += 1;
                    let number = self.jobs.len() as u64;
                    self.jobs.push(Some(choice));
                    self.running.push(Reverse((self.now + takes, number)));
                }
            }
        }
    }

    fn cpong(&mut self, sent: Time) {
        let waited = Duration::from_micros(self.now - sent);
        let now = self.at(self.now);
        self.cluster.cping_answered(self.member, waited, now);
    }

    fn finish(&mut self) {
        let Reverse((_, number)) = self.running.pop().unwrap();
        let choice = self.jobs[number as usize].take().unwrap();
        let now = self.at(self.now);
        self.cluster
            .answered(&choice, RequestOutcome::Answered { status: 200 }, now);
        self.cluster.ended(&choice);
        self.answered.push(self.took(&choice));
        self.busy -= 1;
        self.work();
    }

    fn took(&self, choice: &Choice) -> Time {
        let since = choice.started() - self.start;
        self.now - since.as_micros() as Time
    }

    fn limit(&self) -> u32 {
        self.cluster.adaptive_limit(self.member).unwrap()
    }

    /// Answers, as a part of what the container can do in this time.
    fn goodput(&self, time: Time, service: Time) -> f64 {
        let most = self.threads as f64 * time as f64 / service as f64;
        self.answered.len() as f64 / most
    }

    fn p99(&mut self) -> Time {
        self.answered.sort_unstable();
        self.answered[self.answered.len() * 99 / 100]
    }
}

fn always(takes: Time) -> impl Fn(&mut fastrand::Rng) -> Time {
    move |_| takes
}

fn exponential(mean: Time) -> impl Fn(&mut fastrand::Rng) -> Time {
    move |random| (-(1.0 - random.f64()).ln() * mean as f64) as Time
}

/// Twice what the container can do, for minutes: what it serves is quick, and no thread of it
/// idles. With a container whose CPong waits for a thread, and with one whose does not.
#[test]
fn twice_the_capacity() {
    for (threads, service) in [(1, 50 * MS), (3, 200 * MS), (10, 200 * MS), (200, 100 * MS)] {
        for cping_waits in [true, false] {
            let mut one = Container::new(threads, AdaptiveLimit::default());
            one.cping_waits = cping_waits;
            let rate = 2.0 * threads as f64 * 1e6 / service as f64;
            let time = 60 * SECOND;
            one.run(time / 2, rate, always(service));
            let mut limits = Vec::new();
            let (mut answered, mut refused) = (0, 0);
            let mut slowest = 0;
            for _ in 0..60 {
                one.run(SECOND, rate, always(service));
                limits.push(one.limit());
                answered += one.answered.len();
                refused += one.refused;
                slowest = slowest.max(one.p99());
            }
            let most = threads as f64 * time as f64 / service as f64;
            let goodput = answered as f64 / most;
            limits.sort_unstable();
            println!(
                "{threads} threads, CPing waits: {cping_waits}: goodput {goodput:.3}, \
                 slowest {:.2}, limits {}..{}",
                slowest as f64 / service as f64,
                limits[0],
                limits[limits.len() - 1]
            );
            assert!(goodput >= 0.97, "{threads} {cping_waits}: {goodput}");
            assert!(refused > answered / 2);
            // A container of one thread has room for one who waits, or it would idle.
            let most = if threads == 1 { 6 } else { 3 };
            assert!(
                slowest < most * service,
                "{threads} {cping_waits}: {slowest}"
            );
            // Stable: but for the moments in which the time without load is measured.
            let (low, high) = (limits[3], limits[limits.len() - 4]);
            assert!(high <= low + low / 2 + 2, "{threads}: {limits:?}");
        }
    }
}

/// Applications whose answers take very different times.
#[test]
fn answers_that_take_very_different_times() {
    let mut one = Container::new(20, AdaptiveLimit::default());
    let mean = 100 * MS;
    one.run(30 * SECOND, 400.0, exponential(mean));
    one.run(60 * SECOND, 400.0, exponential(mean));
    let goodput = one.goodput(60 * SECOND, mean);
    println!(
        "exponential: goodput {goodput:.3}, limit {}, p99 {}",
        one.limit(),
        one.p99()
    );
    assert!(goodput >= 0.95, "{goodput}");
    // Without load the slowest of a hundred takes 4.6 times the mean.
    assert!(one.p99() < 3 * 46 * mean / 10, "{}", one.p99());
}

/// Nobody is refused who could be served, whatever has happened before.
#[test]
fn nobody_is_refused_without_overload() {
    let mut one = Container::new(50, AdaptiveLimit::default());
    one.run(30 * SECOND, 350.0, exponential(100 * MS));
    one.run(120 * SECOND, 350.0, exponential(100 * MS));
    let all = one.answered.len() + one.refused;
    assert!(one.refused * 200 < all, "{} of {all}", one.refused);
    // After an overload too.
    one.run(60 * SECOND, 1500.0, exponential(100 * MS));
    assert!(one.refused > 0);
    one.run(10 * SECOND, 350.0, exponential(100 * MS));
    one.run(60 * SECOND, 350.0, exponential(100 * MS));
    let all = one.answered.len() + one.refused;
    assert!(one.refused * 200 < all, "{} of {all}", one.refused);
}

/// What is behind the container becomes slower: that is no reason to leave its threads idle.
#[test]
fn a_limit_follows_the_application() {
    for cping_waits in [true, false] {
        let mut one = Container::new(100, AdaptiveLimit::default());
        one.cping_waits = cping_waits;
        one.run(60 * SECOND, 2000.0, always(100 * MS));
        // Four times as slow.
        one.run(40 * SECOND, 500.0, always(400 * MS));
        one.run(60 * SECOND, 500.0, always(400 * MS));
        let goodput = one.goodput(60 * SECOND, 400 * MS);
        println!("slower: goodput {goodput:.3}, limit {}", one.limit());
        assert!(goodput >= 0.9, "{cping_waits}: {goodput}");
        // And as quick as before. A container whose CPong tells nothing looks slow until the
        // time without load is measured again.
        let known = if cping_waits { 10 } else { 70 };
        one.run(known * SECOND, 2000.0, always(100 * MS));
        one.run(30 * SECOND, 2000.0, always(100 * MS));
        let goodput = one.goodput(30 * SECOND, 100 * MS);
        let slowest = one.p99();
        println!(
            "quick again: goodput {goodput:.3}, p99 {slowest}, limit {}",
            one.limit()
        );
        assert!(goodput >= 0.95, "{cping_waits}: {goodput}");
        assert!(slowest < 300 * MS, "{cping_waits}: {slowest}");
    }
}

/// Requests until there is no room for another one.
fn fill(cluster: &mut Cluster, now: Instant) -> Vec<Choice> {
    let pick = || cluster.pick(&RequestInfo::new(), now).ok();
    std::iter::from_fn(pick).take(2000).collect()
}

fn answer(cluster: &mut Cluster, all: &[Choice], now: Instant) {
    for choice in all {
        cluster.answered(choice, RequestOutcome::Answered { status: 200 }, now);
    }
}

fn end(cluster: &mut Cluster, all: &[Choice]) {
    for choice in all {
        cluster.ended(choice);
    }
}

/// A cluster with a limit of 20 whose calibration has just begun. The first of its 20 requests
/// has an answer.
fn calibrating() -> (Cluster, Vec<Choice>, Instant) {
    let mut cluster =
        Cluster::new(ClusterConfig::default().with_adaptive_limit(AdaptiveLimit::default()));
    let mut now = Instant::now();
    let member = cluster.add(Member::new("a"), now).unwrap();
    let all = fill(&mut cluster, now);
    now += Duration::from_millis(200);
    answer(&mut cluster, &all, now);
    end(&mut cluster, &all);
    let all = fill(&mut cluster, now);
    assert_eq!(all.len(), 20);
    now += Duration::from_millis(300);
    answer(&mut cluster, &all[..1], now);
    assert_eq!(cluster.adaptive_limit(member), Some(5));
    (cluster, all, now)
}

/// The time without load is measured while responses are being sent that have no end: they
/// keep nobody out.
#[test]
fn responses_that_are_being_sent_keep_nobody_out() {
    let (mut cluster, all, mut now) = calibrating();
    answer(&mut cluster, &all, now);
    for _ in 0..100 {
        now += Duration::from_millis(20);
        let some = fill(&mut cluster, now);
        assert!(some.len() >= 5, "{}", some.len());
        now += Duration::from_millis(200);
        answer(&mut cluster, &some, now);
        end(&mut cluster, &some);
    }
}

/// A measurement ends also if the container answers nobody any more.
#[test]
fn a_calibration_has_an_end() {
    let (mut cluster, _all, mut now) = calibrating();
    now += Duration::from_millis(900);
    assert_eq!(fill(&mut cluster, now).len(), 0);
    now += Duration::from_millis(300);
    assert_eq!(fill(&mut cluster, now).len(), 1);
}

/// A limit that has fallen grows again, though as many responses are being sent.
#[test]
fn a_limit_grows_beside_responses_that_are_being_sent() {
    let limit = AdaptiveLimit::default().with_initial(2);
    let mut cluster = Cluster::new(ClusterConfig::default().with_adaptive_limit(limit));
    let mut now = Instant::now();
    let member = cluster.add(Member::new("a"), now).unwrap();
    let streams = fill(&mut cluster, now);
    assert_eq!(streams.len(), 2);
    now += Duration::from_millis(50);
    answer(&mut cluster, &streams, now);
    for _ in 0..200 {
        let some = fill(&mut cluster, now);
        now += Duration::from_millis(50);
        answer(&mut cluster, &some, now);
        end(&mut cluster, &some);
    }
    let limit = cluster.adaptive_limit(member).unwrap();
    assert!(limit > 10, "{limit}");
}

#[test]
fn the_least_limit_may_be_more_than_the_most() {
    let limit = AdaptiveLimit::default().with_most(1).with_least(2000);
    assert_eq!(Container::new(1, limit).limit(), 2000);
}

#[test]
fn a_limit_stays_within_its_bounds() {
    let bounded = AdaptiveLimit::default()
        .with_initial(500)
        .with_least(6)
        .with_most(8);
    let mut one = Container::new(1, bounded.clone());
    assert_eq!(one.limit(), 8);
    one.run(20 * SECOND, 100.0, always(200 * MS));
    assert_eq!(one.limit(), 6);
    let mut one = Container::new(100, bounded);
    one.run(20 * SECOND, 2000.0, always(100 * MS));
    assert_eq!(one.limit(), 8);
    // Errors are quick, and say nothing of how long an answer takes.
    let mut cluster =
        Cluster::new(ClusterConfig::default().with_adaptive_limit(AdaptiveLimit::default()));
    let mut now = Instant::now();
    let member = cluster.add(Member::new("a"), now).unwrap();
    for _ in 0..1000 {
        let held: Vec<_> = (0..18)
            .map(|_| cluster.pick(&RequestInfo::new(), now).unwrap())
            .collect();
        now += Duration::from_millis(20);
        for choice in held {
            cluster.answered(&choice, RequestOutcome::Answered { status: 503 }, now);
            cluster.ended(&choice);
        }
    }
    assert_eq!(cluster.adaptive_limit(member), Some(20));
    // A container that is late with CPong is at its limit.
    for _ in 0..100 {
        let choice = cluster.pick(&RequestInfo::new(), now).unwrap();
        now += Duration::from_millis(200);
        cluster.answered(&choice, RequestOutcome::Late("no CPong"), now);
        cluster.ended(&choice);
        cluster.recover(member, now);
    }
    assert!(cluster.adaptive_limit(member).unwrap() < 20);
}
