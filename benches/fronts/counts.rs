//! What one request costs a front, counted and not timed: instructions in user space (callgrind),
//! of which crate they are, and system calls (strace).
//!
//! Every number is the difference of two runs of different length, so that what happens once does
//! not count. All fronts get the same requests, from as many connections.

use crate::load::{Kind, exactly};
use crate::peers::{Counter, Start, counted};
use crate::starts::{gateway, nginx, plain};
use crate::{Args, Backend};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Crates that take less of a request's instructions than one in so many are shown together.
const SMALL: u64 = 100;

/// Requests of the two runs.
fn rounds(kind: Kind) -> [u64; 2] {
    match kind {
        Kind::Handshakes | Kind::Resumed => [50, 150],
        _ => [1000, 3000],
    }
}

/// Prints what a request costs each front that is compared so.
pub(crate) async fn count(args: &Args, backend: &Backend, kind: Kind) {
    println!(
        "\nin front of {}, {}, each request, counted: {} connections",
        backend.name,
        kind.name(),
        if kind.is_one_by_one() {
            1
        } else {
            args.connections
        },
    );
    let fronts = ["gateway", "nginx (HTTP)"];
    let only = args.front.as_deref();
    for name in fronts
        .into_iter()
        .filter(|name| only.is_none_or(|only| *name == only))
    {
        let calls = each(args, backend, kind, name, Counter::SystemCalls).await;
        let work = each(args, backend, kind, name, Counter::Instructions).await;
        let all: f64 = calls.values().sum();
        let kinds = calls.iter().filter(|(_, count)| **count >= 0.05);
        let kinds = kinds.fold(String::new(), |mut text, (call, count)| {
            let _ = write!(text, " {call} {count:.1}");
            text
        });
        let sum: f64 = work.values().sum();
        println!("{name:<14} {sum:>10.0} instructions  {all:>5.1} system calls:{kinds}");
        let mut crates: Vec<_> = work.into_iter().collect();
        crates.sort_by(|a, b| b.1.total_cmp(&a.1));
        let (large, small): (Vec<_>, Vec<_>) = crates
            .into_iter()
            .partition(|(_, count)| *count >= sum / SMALL as f64);
        for (name, count) in large {
            println!("    {name:<24} {count:>10.0}");
        }
        let rest: f64 = small.into_iter().map(|(_, count)| count).sum();
        println!("    {:<24} {rest:>10.0}", "all others");
    }
}

/// What one request costs, by what the counter counts apart.
async fn each(
    args: &Args,
    backend: &Backend,
    kind: Kind,
    name: &str,
    counter: Counter,
) -> BTreeMap<String, f64> {
    let dir = tempfile::tempdir().unwrap();
    let mut runs = Vec::new();
    for requests in rounds(kind) {
        let file = dir.path().join(requests.to_string());
        let start = Start {
            counted: Some((counter, &file)),
            ..plain(backend, kind)
        };
        let front = match name {
            "gateway" => gateway(args.gateway.as_deref(), backend, start).await,
            _ => nginx("nginx (HTTP)", backend, "", start).await,
        };
        exactly(&front, kind, backend.path, args.connections, requests);
        // It writes when it ends.
        drop(front);
        runs.push(counted::read(counter, &file));
    }
    counted::each(&runs, rounds(kind))
}
