//! A farm of containers with thread pools: requests come, wait for a thread, and are answered.

use super::{Dice, SECOND, Time};
use ajp::balancer::{
    Choice, Cluster, ClusterConfig, Member, MemberId, Reason, RequestInfo, RequestOutcome,
};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::{Duration, Instant};

/// What waits for a thread.
enum Job {
    Request(Choice, f64),
    /// Sent at that time.
    CPing(Time),
}

/// A container and what is counted of it.
pub(crate) struct Container {
    pub(crate) id: MemberId,
    pub(crate) threads: usize,
    /// Whether it refuses connections.
    pub(crate) refuses: bool,
    /// How many times as long as usual a request takes.
    pub(crate) slowness: f64,
    pub(crate) status: u16,
    working: usize,
    queue: VecDeque<Job>,
    /// Requests that it was given since the last look.
    pub(crate) given: u64,
    pub(crate) in_flight: u32,
    pub(crate) most_in_flight: u32,
}

pub(crate) struct Farm {
    pub(crate) cluster: Cluster,
    pub(crate) containers: Vec<Container>,
    pub(crate) dice: Dice,
    start: Instant,
    pub(crate) now: Time,
    next_arrival: f64,
    next_cping: Time,
    running: BinaryHeap<Reverse<(Time, usize)>>,
    jobs: Vec<Option<(usize, Choice)>>,
    free: Vec<usize>,
    /// Since the last look: how long answers took, requests refused as all members were full,
    /// and those that found no member for other reasons.
    pub(crate) answered: Vec<u32>,
    pub(crate) refused: u64,
    pub(crate) lost: u64,
    pub(crate) requests: u64,
}

impl Farm {
    pub(crate) fn new(
        config: ClusterConfig,
        method: &str,
        members: Vec<Member>,
        threads: usize,
    ) -> Self {
        let mut cluster = Cluster::new(config);
        cluster.set_method(method.parse().unwrap());
        let start = Instant::now();
        let mut farm = Self {
            cluster,
            containers: Vec::new(),
            dice: Dice::new(3),
            start,
            now: 0,
            next_arrival: 0.0,
            next_cping: SECOND,
            running: BinaryHeap::new(),
            jobs: Vec::new(),
            free: Vec::new(),
            answered: Vec::new(),
            refused: 0,
            lost: 0,
            requests: 0,
        };
        for member in members {
            farm.add(member, threads);
        }
        farm
    }

    pub(crate) fn at(&self) -> Instant {
        self.start + Duration::from_micros(self.now)
    }

    pub(crate) fn add(&mut self, member: Member, threads: usize) {
        let id = self.cluster.add(member, self.at()).unwrap();
        self.containers.push(Container {
            id,
            threads,
            refuses: false,
            slowness: 1.0,
            status: 200,
            working: 0,
            queue: VecDeque::new(),
            given: 0,
            in_flight: 0,
            most_in_flight: 0,
        });
    }

    /// Forgets what was counted.
    pub(crate) fn look_anew(&mut self) {
        self.answered.clear();
        (self.refused, self.lost, self.requests) = (0, 0, 0);
        for one in &mut self.containers {
            one.given = 0;
            one.most_in_flight = one.in_flight;
        }
    }

    /// Lets requests come for some time, `rate` in a second, each of which takes `takes` on
    /// average, exponentially distributed if `varies`.
    pub(crate) fn run(&mut self, time: Time, rate: f64, takes: Time, varies: bool) {
        let end = self.now + time;
        self.next_arrival = self.next_arrival.max(self.now as f64);
        loop {
            let done = self
                .running
                .peek()
                .map_or(Time::MAX, |Reverse((at, _))| *at);
            let arrival = self.next_arrival as Time;
            let next = done.min(arrival).min(self.next_cping);
            if next > end {
                break;
            }
            self.now = self.now.max(next);
            if next == done {
                self.finish();
            } else if next == arrival {
                self.next_arrival += self.dice.exponential(1e6 / rate);
                let mean = takes as f64;
                let takes = if varies {
                    self.dice.exponential(mean)
                } else {
                    mean
                };
                self.arrive(takes);
            } else {
                self.next_cping += SECOND;
                let sent = self.now;
                for at in 0..self.containers.len() {
                    if !self.containers[at].refuses {
                        self.enqueue(at, Job::CPing(sent));
                    }
                }
            }
        }
        self.now = end;
    }

    fn arrive(&mut self, takes: f64) {
        self.requests += 1;
        let now = self.at();
        let mut tried = Vec::new();
        loop {
            let asked = self
                .cluster
                .pick(&RequestInfo::new().with_tried(&tried), now);
            let choice = match asked {
                Ok(choice) => choice,
                Err(none) if none.reason() == Reason::Full => {
                    self.refused += 1;
                    return;
                }
                Err(_) => {
                    self.lost += 1;
                    return;
                }
            };
            let at = self
                .containers
                .binary_search_by_key(&choice.member(), |one| one.id)
                .unwrap();
            if self.containers[at].refuses {
                tried.push(choice.member());
                self.cluster
                    .answered(&choice, RequestOutcome::Unreachable("refused"), now);
                self.cluster.ended(&choice);
                continue;
            }
            let one = &mut self.containers[at];
            one.given += 1;
            one.in_flight += 1;
            one.most_in_flight = one.most_in_flight.max(one.in_flight);
            self.enqueue(at, Job::Request(choice, takes));
            return;
        }
    }

    fn enqueue(&mut self, at: usize, job: Job) {
        self.containers[at].queue.push_back(job);
        self.work(at);
    }

    fn work(&mut self, at: usize) {
        while self.containers[at].working < self.containers[at].threads {
            match self.containers[at].queue.pop_front() {
                None => return,
                Some(Job::CPing(sent)) => {
                    let waited = Duration::from_micros(self.now - sent);
                    let (id, now) = (self.containers[at].id, self.at());
                    self.cluster.cping_answered(id, waited, now);
                }
                Some(Job::Request(choice, takes)) => {
                    let one = &mut self.containers[at];
                    one.working += 1;
                    let end = self.now + (takes * one.slowness) as Time;
                    let slot = self.free.pop().unwrap_or_else(|| {
                        self.jobs.push(None);
                        self.jobs.len() - 1
                    });
                    self.jobs[slot] = Some((at, choice));
                    self.running.push(Reverse((end, slot)));
                }
            }
        }
    }

    fn finish(&mut self) {
        let Reverse((_, slot)) = self.running.pop().unwrap();
        let (at, choice) = self.jobs[slot].take().unwrap();
        self.free.push(slot);
        let now = self.at();
        let status = self.containers[at].status;
        self.cluster
            .answered(&choice, RequestOutcome::Answered { status }, now);
        self.cluster.ended(&choice);
        let took = now.saturating_duration_since(choice.started());
        self.answered.push(took.as_micros() as u32);
        let one = &mut self.containers[at];
        one.working -= 1;
        one.in_flight -= 1;
        self.work(at);
    }

    /// The time that so many of a hundred answers did not exceed, in microseconds.
    pub(crate) fn percentile(&mut self, part: usize) -> u32 {
        self.answered.sort_unstable();
        self.answered[self.answered.len() * part / 100]
    }
}
