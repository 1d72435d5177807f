//! What it costs to choose a member, and what two threads that do so cost each other.
//!
//! ```text
//! cargo bench --bench pick
//! ```
//!
//! `pick/METHOD/N`: a choice among N members, its answer and its end, on a cluster without
//! lock; `pick/session/N`: of a request whose session is one of these members'. `balancer/THREADS/N`: the same on a balancer, whose lock all threads share; the time is
//! that of one request on one of the threads. `working/THREADS/N`: the same between pieces of
//! work of some 50 us, as what else a request costs is outside of the lock.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a benchmark of our own data"
)]

use ajp::balancer::{
    Balancer, BalancerConfig, Cluster, ClusterConfig, Member, RequestInfo, RequestOutcome, Sticky,
};
use ajp::client::{Address, Pool, PoolConfig};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use std::time::{Duration, Instant};

const SIZES: [usize; 3] = [10, 100, 1000];
const METHODS: [&str; 4] = ["byrequests", "bybusyness", "leastoutstanding", "hash:path"];
/// Of [`work`], for some 50 us on the machine of the figures.
const ROUNDS: u64 = 25_000;
const OK: RequestOutcome<'static> = RequestOutcome::Answered { status: 200 };

fn member(number: usize) -> Member {
    Member::new(format!("m{number}")).with_route(format!("r{number}"))
}

fn cluster(size: usize, method: &str) -> Cluster {
    let mut cluster = Cluster::new(ClusterConfig::default().with_seed(1));
    cluster.set_method(method.parse().unwrap());
    for number in 0..size {
        cluster.add(member(number), Instant::now()).unwrap();
    }
    cluster
}

fn choices(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pick");
    for method in METHODS {
        for size in SIZES {
            let mut cluster = cluster(size, method);
            let now = Instant::now();
            let info = RequestInfo::new().with_path(b"/app/cart");
            group.bench_function(BenchmarkId::new(method, size), |bench| {
                bench.iter(|| {
                    let choice = cluster.pick(black_box(&info), now).unwrap();
                    cluster.answered(&choice, OK, now);
                    cluster.ended(&choice);
                });
            });
        }
    }
    let sticky = Sticky::new("JSESSIONID").unwrap();
    for size in SIZES {
        let mut cluster = cluster(size, "byrequests");
        let now = Instant::now();
        let cookies = (0..size).map(|number| format!("JSESSIONID=0123456789ABCDEF.r{number}"));
        let cookies: Vec<_> = cookies.collect();
        // One session after the other, of all members.
        let mut turn = (0..size).cycle();
        group.bench_function(BenchmarkId::new("session", size), |bench| {
            bench.iter(|| {
                let cookie = turn.next().map_or("", |at| &*cookies[at]);
                let session = sticky.session(b"/app/cart", [cookie.as_bytes()]);
                let info = RequestInfo::new().with_session(&session);
                let choice = cluster.pick(black_box(&info), now).unwrap();
                cluster.answered(&choice, OK, now);
                cluster.ended(&choice);
            });
        });
    }
    group.finish();
}

/// What a request costs beside its choice: nothing, or arithmetic that takes some 50 us.
fn work(rounds: u64) {
    let mut number = 1u64;
    for round in 0..rounds {
        number = black_box(number.wrapping_mul(6_364_136_223_846_793_005) ^ round);
    }
    black_box(number);
}

/// Requests of one thread, one after the other.
fn requests(balancer: &Balancer, count: u64, rounds: u64) {
    for _ in 0..count {
        work(rounds);
        let mut pick = balancer.pick(black_box(&RequestInfo::new())).unwrap();
        pick.answered(OK);
    }
}

fn threads(criterion: &mut Criterion) {
    for (name, rounds) in [("balancer", 0), ("working", ROUNDS)] {
        let mut group = criterion.benchmark_group(name);
        for size in SIZES {
            let balancer = Balancer::new(BalancerConfig::new("bench"));
            for number in 0..size {
                // Nothing is ever sent to it.
                let pool = Pool::new(Address::tcp("127.0.0.1", 1), PoolConfig::default());
                balancer.add(member(number), pool).unwrap();
            }
            for threads in [1, 2] {
                group.bench_function(BenchmarkId::new(threads.to_string(), size), |bench| {
                    bench.iter_custom(|count| -> Duration {
                        let start = Instant::now();
                        std::thread::scope(|scope| {
                            for _ in 0..threads {
                                scope.spawn(|| requests(&balancer, count, rounds));
                            }
                        });
                        start.elapsed()
                    });
                });
            }
        }
        group.finish();
    }
}

criterion_group!(benches, choices, threads);
criterion_main!(benches);
