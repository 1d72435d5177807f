//! 100 members, 1 000 000 requests for each method, members that refuse, members that are slow,
//! members that answer 503 at once.

use super::{Dice, SECOND, Time, fewer};
use ajp::balancer::{
    Choice, Cluster, ClusterConfig, Member, MemberId, Method, Outlier, RequestInfo, RequestOutcome,
    Sticky, Weight,
};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::{Duration, Instant};

const MEMBERS: usize = 100;
/// For each method, all of them.
const ALL: usize = 1_000_000;

/// Of a member of weight 1.
const THREADS: u32 = 4;
/// Mean time of a request; chosen so that all of them take 20 s.
fn service() -> f64 {
    10_000.0 * fewer() as f64
}
/// Part of what the farm can do when all is well.
const LOAD: f64 = 0.6;

/// What is wrong with a member, and when.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Trouble {
    None,
    Refuses,
    /// Takes five times as long.
    Slow,
    /// Answers 503 in a tenth of the time.
    Fails,
}

fn weight(member: usize) -> u32 {
    [1, 1, 2, 4][member % 4]
}

/// Ten members refuse for 4 s each, one group after the other; eight are slow for 8 s, four
/// fail for 6 s. All weights are among each.
fn trouble(member: usize, now: Time) -> Trouble {
    let during = |from: Time, to: Time| (from * SECOND..to * SECOND).contains(&now);
    match member {
        0..4 if during(2, 6) => Trouble::Refuses,
        4..10 if during(7, 11) => Trouble::Refuses,
        12..20 if during(4, 12) => Trouble::Slow,
        20..24 if during(9, 15) => Trouble::Fails,
        _ => Trouble::None,
    }
}

const SLOW: std::ops::Range<usize> = 12..20;

/// Those nothing is ever wrong with.
fn is_sound(member: usize) -> bool {
    member >= 24
}

/// A request at a member, waiting or being served.
struct Job {
    choice: Choice,
    arrived: Time,
    takes: f64,
    bytes: u64,
}

#[derive(Default)]
struct Server {
    working: u32,
    waiting: VecDeque<Job>,
}

#[derive(Debug, Default, Clone)]
struct Row {
    method: &'static str,
    /// Requests and bytes by member.
    requests: Vec<u64>,
    bytes: Vec<u64>,
    sessions: Vec<u64>,
    /// Of all answered requests, in microseconds.
    latencies: Vec<u32>,
    refused_attempts: u64,
    failed: u64,
    unanswered: u64,
    /// Requests that members were given while they were slow, by what their weight is worth.
    slow_share: f64,
    /// Longest queue at a sound member, per thread.
    longest_queue: f64,
}

struct Farm {
    cluster: Cluster,
    ids: Vec<MemberId>,
    dice: Dice,
    sticky: Sticky,
    start: Instant,
    servers: Vec<Server>,
    /// When a thread is done.
    ends: BinaryHeap<Reverse<(Time, u64)>>,
    jobs: Vec<Option<(usize, Job)>>,
    free: Vec<usize>,
    order: u64,
    row: Row,
    slow: (u64, f64),
}

impl Farm {
    fn new(name: &'static str) -> Self {
        let outlier = Outlier::default()
            .with_window(Duration::from_secs(1))
            .with_eject_for(Duration::from_secs(3));
        let config = ClusterConfig::default()
            .with_retry(Duration::from_secs(1))
            .with_outlier(outlier)
            .with_seed(2);
        let mut cluster = Cluster::new(config);
        cluster.set_method(name.parse().unwrap());
        let start = Instant::now();
        let mut ids = Vec::new();
        for member in 0..MEMBERS {
            let weight = Weight::from_hundredths(weight(member) * 100).unwrap();
            let settings = Member::new(format!("m{member}"))
                .with_route(format!("r{member}"))
                .with_weight(weight);
            ids.push(cluster.add(settings, start).unwrap());
        }
        Self {
            cluster,
            ids,
            dice: Dice::new(1),
            sticky: Sticky::new("S").unwrap(),
            start,
            servers: (0..MEMBERS).map(|_| Server::default()).collect(),
            ends: BinaryHeap::new(),
            jobs: Vec::new(),
            free: Vec::new(),
            order: 0,
            row: Row {
                method: name,
                requests: vec![0; MEMBERS],
                bytes: vec![0; MEMBERS],
                sessions: vec![0; MEMBERS],
                ..Row::default()
            },
            slow: (0, 0.0),
        }
    }

    fn at(&self, now: Time) -> Instant {
        self.start + Duration::from_micros(now)
    }

    fn run(mut self) -> Row {
        let total: u32 = (0..MEMBERS).map(weight).sum();
        let rate = f64::from(total * THREADS) / service() * LOAD;
        let mut now = 0.0;
        let mut sessions: Vec<usize> = Vec::new();
        for _ in 0..(ALL / fewer()) {
            now += self.dice.exponential(1.0 / rate);
            let time = now as Time;
            self.finish_until(time);
            // Three of ten requests belong to a session that began before.
            let returns = self.dice.unit() < 0.3 && !sessions.is_empty();
            let old = returns.then(|| sessions[self.dice.below(sessions.len())]);
            let (takes, bytes) = (
                self.dice.exponential(service()),
                self.dice.exponential(20_000.0) as u64,
            );
            let served = self.request(time, old, takes, bytes);
            if let (None, Some(member)) = (old, served) {
                sessions.push(member);
                self.row.sessions[member] += 1;
            }
        }
        self.finish_until(Time::MAX);
        self.row.slow_share = self.slow.0 as f64 / self.slow.1;
        self.row.latencies.sort_unstable();
        self.row
    }

    fn request(&mut self, now: Time, old: Option<usize>, takes: f64, bytes: u64) -> Option<usize> {
        let at = self.at(now);
        let cookie = old
            .map(|member| format!("S=1.r{member}"))
            .unwrap_or_default();
        let session = self.sticky.session(b"/", [cookie.as_bytes()]);
        let mut tried = Vec::new();
        let total: u32 = (0..MEMBERS).map(weight).sum();
        loop {
            let ask = RequestInfo::new().with_session(&session).with_tried(&tried);
            let Ok(choice) = self.cluster.pick(&ask, at) else {
                self.row.unanswered += 1;
                return None;
            };
            let member = self.index(&choice);
            if trouble(SLOW.start, now) == Trouble::Slow {
                self.slow.1 += f64::from(SLOW.map(weight).sum::<u32>()) / f64::from(total);
            }
            match trouble(member, now) {
                Trouble::Refuses => {
                    tried.push(choice.member());
                    self.row.refused_attempts += 1;
                    self.cluster
                        .answered(&choice, RequestOutcome::Unreachable("refused"), at);
                    self.cluster.ended(&choice);
                    continue;
                }
                Trouble::Slow => self.slow.0 += 1,
                Trouble::None | Trouble::Fails => {}
            }
            self.row.requests[member] += 1;
            let job = Job {
                choice,
                arrived: now,
                takes,
                bytes,
            };
            let server = &mut self.servers[member];
            if server.working < THREADS * weight(member) {
                server.working += 1;
                self.begin(member, job, now);
            } else {
                server.waiting.push_back(job);
                let per_thread = server.waiting.len() as f64 / f64::from(THREADS * weight(member));
                if is_sound(member) {
                    self.row.longest_queue = self.row.longest_queue.max(per_thread);
                }
            }
            return Some(member);
        }
    }

    fn index(&self, choice: &Choice) -> usize {
        self.ids.binary_search(&choice.member()).unwrap()
    }

    fn begin(&mut self, member: usize, job: Job, now: Time) {
        let takes = match trouble(member, now) {
            Trouble::Slow => job.takes * 5.0,
            Trouble::Fails => service() / 10.0,
            Trouble::None | Trouble::Refuses => job.takes,
        };
        let slot = self.free.pop().unwrap_or_else(|| {
            self.jobs.push(None);
            self.jobs.len() - 1
        });
        self.jobs[slot] = Some((member, job));
        self.order += 1;
        // Unique, and in the order of their beginning among equals.
        let key = (self.order << 20) | slot as u64;
        self.ends.push(Reverse((now + takes as Time, key)));
    }

    fn finish_until(&mut self, now: Time) {
        while let Some(&Reverse((end, key))) = self.ends.peek() {
            if end > now {
                return;
            }
            self.ends.pop();
            let slot = (key & 0xF_FFFF) as usize;
            let (member, job) = self.jobs[slot].take().unwrap();
            self.free.push(slot);
            let fails = trouble(member, end) == Trouble::Fails;
            let status = if fails { 503 } else { 200 };
            self.row.failed += u64::from(fails);
            job.choice.add_received(job.bytes);
            self.row.bytes[member] += job.bytes;
            let at = self.at(end);
            self.cluster
                .answered(&job.choice, RequestOutcome::Answered { status }, at);
            self.cluster.ended(&job.choice);
            self.row.latencies.push((end - job.arrived) as u32);
            match self.servers[member].waiting.pop_front() {
                Some(next) => self.begin(member, next, end),
                None => self.servers[member].working -= 1,
            }
        }
    }
}

impl Row {
    /// How far the counts of sound members are from their weights: the worst, in percent.
    fn imbalance(counts: &[u64]) -> f64 {
        let sound = || (0..MEMBERS).filter(|&member| is_sound(member));
        let all: u64 = sound().map(|member| counts[member]).sum();
        let weights: u32 = sound().map(weight).sum();
        let off = sound().map(|member| {
            let fair = all as f64 * f64::from(weight(member)) / f64::from(weights);
            (counts[member] as f64 / fair - 1.0).abs() * 100.0
        });
        off.fold(0.0, f64::max)
    }

    /// The same for all members of a weight together, where chance plays no part.
    fn imbalance_of_weights(counts: &[u64]) -> f64 {
        let of = |wanted: u32| {
            let members = (0..MEMBERS).filter(|&member| is_sound(member));
            let members = members.filter(move |&member| weight(member) == wanted);
            members.fold((0, 0), |(count, weights), member| {
                (count + counts[member], weights + weight(member))
            })
        };
        let groups = [of(1), of(2), of(4)];
        let all: u64 = groups.iter().map(|(count, _)| count).sum();
        let weights: u32 = groups.iter().map(|(_, weight)| weight).sum();
        let off = groups.iter().map(|&(count, weight)| {
            let fair = all as f64 * f64::from(weight) / f64::from(weights);
            (count as f64 / fair - 1.0).abs() * 100.0
        });
        off.fold(0.0, f64::max)
    }

    fn quantile(&self, part: f64) -> f64 {
        let at = (self.latencies.len() as f64 * part) as usize;
        f64::from(self.latencies[at.min(self.latencies.len() - 1)]) / 1000.0
    }
}

#[test]
fn methods_compared() {
    let run = |name: &'static str| std::thread::spawn(move || Farm::new(name).run());
    let running: Vec<_> = Method::NAMES.into_iter().map(run).collect();
    let rows: Vec<Row> = running.into_iter().map(|row| row.join().unwrap()).collect();
    let each = ALL / fewer();
    println!("{each} requests for each method. Worst deviation from the weights in percent:");
    println!("a member's requests, new sessions and bytes; the requests of all of a weight. Times");
    println!("in units of the mean service time; longest queue per thread; attempts refused;");
    println!("answers 503; what slow members got, by what they were worth.");
    println!(
        "{:17}{:>9}{:>9}{:>8}{:>9}{:>7}{:>7}{:>7}{:>7}{:>8}{:>6}{:>6}",
        "method",
        "requests",
        "sessions",
        "bytes",
        "weights",
        "p50",
        "p99",
        "p99.9",
        "queue",
        "refused",
        "503",
        "slow"
    );
    let unit = service() / 1000.0;
    for row in &rows {
        println!(
            "{:17}{:>9.2}{:>9.2}{:>8.2}{:>9.2}{:>7.1}{:>7.1}{:>7.1}{:>7.1}{:>8}{:>6}{:>6.2}",
            row.method,
            Row::imbalance(&row.requests),
            Row::imbalance(&row.sessions),
            Row::imbalance(&row.bytes),
            Row::imbalance_of_weights(&row.requests),
            row.quantile(0.5) / unit,
            row.quantile(0.99) / unit,
            row.quantile(0.999) / unit,
            row.longest_queue,
            row.refused_attempts,
            row.failed,
            row.slow_share
        );
    }
    for row in &rows {
        check(row);
    }
    let p99 = |name: &str| {
        let row = rows.iter().find(|row| row.method == name).unwrap();
        row.quantile(0.99)
    };
    for quick in ["leastoutstanding", "lowestlatency", "bybusyness"] {
        assert!(p99(quick) * 5.0 < p99("byrequests"), "{quick}");
    }
}

fn check(row: &Row) {
    let name = row.method;
    // Nobody goes without an answer, and none has two.
    assert_eq!(
        (row.unanswered, row.latencies.len()),
        (0, (ALL / fewer())),
        "{name}"
    );
    // Ten members refuse for 4 s and are tried by one request a second.
    assert!(
        row.refused_attempts <= 50,
        "{name}: {}",
        row.refused_attempts
    );
    // Members of 4 percent of the weight fail for 6 of 20 s; ejection saves most of it.
    let unprotected = (ALL / fewer()) as f64 * 0.04 * 6.0 / 20.0;
    assert!(
        (row.failed as f64) < unprotected / 3.0,
        "{name}: {}",
        row.failed
    );
    // What each method is for.
    let (requests, sessions, bytes, weights) = (
        Row::imbalance(&row.requests),
        Row::imbalance(&row.sessions),
        Row::imbalance(&row.bytes),
        Row::imbalance_of_weights(&row.requests),
    );
    let kept = match name {
        "byrequests" => requests < 0.2 && weights < 0.1,
        "bysessions" => sessions < 0.2 && weights < 1.0,
        "bytraffic" => bytes < 1.0 && weights < 2.0,
        // Chance decides: a member of 830 requests is off by up to a tenth.
        "leastoutstanding" => requests < 12.0 && weights < 2.0,
        "lowestlatency" => requests < 15.0 && weights < 5.0,
        // By design it asks for weights only among equals.
        "bybusyness" => weights < 75.0,
        _ => panic!("{name}"),
    };
    assert!(kept, "{name}: {requests} {sessions} {bytes} {weights}");
    if matches!(name, "leastoutstanding" | "lowestlatency" | "bybusyness") {
        assert!(row.slow_share < 0.5, "{name}: {}", row.slow_share);
    }
    assert!(row.longest_queue < 6.0, "{name}: {}", row.longest_queue);
}
