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
use servers::PROTOCOLS;
use servers::client::CASES;
use servers::pair::{self, Pair};

/// Requests that run at the same time, each on a connection of its own.
const CALLERS: u64 = 16;

/// Requests of one round of the CPU table.
const ROUND: [u64; 4] = [20_000, 10_000, 5_000, 50];

fn main() {
    if servers::serve_if_asked() {
        return;
    }
    let pairs = PROTOCOLS.map(|(name, _)| Pair::start(name, 0));
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
            group.bench_function(pair.name, |b| {
                b.iter_custom(|count| pair.run(case, count, CALLERS));
            });
        }
    }
}

/// CPU time of client and server per request: medians of rounds that take turns.
fn cpu_table(pairs: &[Pair]) {
    const ROUNDS: usize = 9;
    println!("\nCPU time per request, client + server, median of {ROUNDS} rounds in turns");
    for (case, requests) in CASES.into_iter().zip(ROUND) {
        let medians = pair::in_turns(pairs, ROUNDS, |pair| {
            let spent = pair.spent(case, requests, CALLERS);
            spent.cpu.as_secs_f64() * 1e6 / requests as f64
        });
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
