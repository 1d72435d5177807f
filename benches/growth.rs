//! How the cost of a small GET grows: with connections, with headers, with workers. This
//! crate's client and server beside hyper's with HTTP/1.1; rounds take turns.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_precision_loss,
    reason = "a benchmark of our own data"
)]

#[allow(dead_code, reason = "each bench uses its part")]
mod servers;

use servers::client::{CASES, Case};
use servers::pair::{Pair, in_turns};

const ROUNDS: usize = 7;
const REQUESTS: u64 = 20_000;
const CALLERS: u64 = 32;

fn main() {
    if servers::serve_if_asked() {
        return;
    }
    // `cargo test --benches` only looks whether it starts.
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    println!("\nA small GET: medians of {ROUNDS} rounds in turns, both sides together");
    println!("                            CPU us      ajp's   requests/s     ajp's");
    println!("                          ajp   hyper   ratio    ajp    hyper  ratio");
    let get = CASES[0];
    let pairs = ["ajp", "hyper"].map(|name| Pair::start(name, 0));
    for callers in [1, 32, 256, 2048] {
        row(&format!("{callers} connections"), &pairs, get, callers);
    }
    for headers in [5, 50, 100] {
        let case = Case { headers, ..get };
        row(&format!("{headers} headers"), &pairs, case, CALLERS);
    }
    for workers in [1, 2] {
        let pairs = ["ajp", "hyper"].map(|name| Pair::start(name, workers));
        row(&format!("{workers} workers a side"), &pairs, get, CALLERS);
    }
}

fn row(what: &str, pairs: &[Pair; 2], case: Case, callers: u64) {
    // Connections are there before it counts.
    for pair in pairs {
        pair.run(case, callers.max(1000), callers);
    }
    let mut rates = Vec::new();
    let cpu = in_turns(pairs, ROUNDS, |pair| {
        let spent = pair.spent(case, REQUESTS, callers);
        rates.push(REQUESTS as f64 / spent.time.as_secs_f64());
        spent.cpu.as_secs_f64() * 1e6 / REQUESTS as f64
    });
    let rate = |side: usize| {
        let mut rates: Vec<_> = rates.iter().skip(side).step_by(2).copied().collect();
        rates.sort_by(f64::total_cmp);
        rates[rates.len() / 2]
    };
    println!(
        "{what:20} {:8.1} {:7.1} {:7.2} {:7.0} {:7.0} {:6.2}",
        cpu[0],
        cpu[1],
        cpu[0] / cpu[1],
        rate(0),
        rate(1),
        rate(0) / rate(1),
    );
}
