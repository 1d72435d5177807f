//! Client and server over loopback, each in a process of its own: this crate's against
//! hyper's with HTTP/1.1, on the same requests.
//!
//! After criterion's times a table tells the CPU time of both processes per request, from
//! rounds that take turns.
#![allow(missing_docs, reason = "criterion's macros")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a benchmark of our own data"
)]

#[allow(dead_code, reason = "each bench uses its part")]
mod servers;

use criterion::{Criterion, SamplingMode, Throughput};
use servers::client::{AnyClient, CASES, Case};
use servers::{PROTOCOLS, Protocol, Server, own_cpu, runtime};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// Requests that run at the same time, each on a connection of its own.
const CALLERS: u64 = 16;

/// Requests of one round of the CPU table.
const ROUND: [u64; 4] = [20_000, 10_000, 5_000, 50];

fn main() {
    if servers::serve_if_asked() {
        return;
    }
    let pairs = PROTOCOLS.map(|(name, protocol)| Pair::start(name, protocol));
    let mut criterion = Criterion::default().configure_from_args();
    time(&mut criterion, &pairs);
    criterion.final_summary();
    // `cargo test --benches` and a choice of ids do without.
    if std::env::args().any(|arg| arg == "--bench") {
        cpu_table(&pairs);
    }
}

fn time(criterion: &mut Criterion, pairs: &[Pair]) {
    for case in CASES {
        let mut group = criterion.benchmark_group(format!("end_to_end/{}", case.name));
        group
            .sample_size(20)
            .sampling_mode(SamplingMode::Flat)
            .throughput(Throughput::Bytes((case.upload + case.download) as u64));
        for pair in pairs {
            group.bench_function(pair.name, |b| b.iter_custom(|count| pair.run(case, count)));
        }
    }
}

/// CPU time of client and server per request: medians of rounds that take turns.
fn cpu_table(pairs: &[Pair]) {
    const ROUNDS: usize = 9;
    println!("\nCPU time per request, client + server, median of {ROUNDS} rounds in turns");
    for (case, requests) in CASES.into_iter().zip(ROUND) {
        let mut rounds = vec![Vec::new(); pairs.len()];
        for _ in 0..ROUNDS {
            for (pair, times) in pairs.iter().zip(&mut rounds) {
                let before = pair.cpu();
                pair.run(case, requests);
                let spent = pair.cpu().saturating_sub(before);
                times.push(spent.as_secs_f64() * 1e6 / requests as f64);
            }
        }
        let median = |times: &mut Vec<f64>| {
            times.sort_by(f64::total_cmp);
            times[times.len() / 2]
        };
        let medians: Vec<f64> = rounds.iter_mut().map(median).collect();
        let hyper = *medians.last().unwrap();
        for (pair, time) in pairs.iter().zip(&medians) {
            println!(
                "{:10} {:10} {time:10.1} us   {:5.2} of hyper's requests per CPU second",
                case.name,
                pair.name,
                hyper / time
            );
        }
    }
}

/// A client in this process and a server in another.
struct Pair {
    name: &'static str,
    runtime: Runtime,
    client: AnyClient,
    /// Last, so that the client is gone before it.
    _server: Server,
}

impl Pair {
    fn start(name: &'static str, protocol: Protocol) -> Self {
        let server = Server::start(name);
        let client = AnyClient::new(protocol, &server.address);
        Self {
            name,
            runtime: runtime(),
            client,
            _server: server,
        }
    }

    /// The time that so many requests take.
    fn run(&self, case: Case, count: u64) -> Duration {
        self.runtime.block_on(async {
            let start = Instant::now();
            self.client.run(case, count, CALLERS).await;
            start.elapsed()
        })
    }

    /// CPU time of both processes so far.
    fn cpu(&self) -> Duration {
        let server = self.runtime.block_on(async {
            let body = self.client.response("/cpu").await;
            String::from_utf8(body.to_vec()).unwrap()
        });
        own_cpu() + Duration::from_nanos(server.parse().unwrap())
    }
}
