//! Whole farms in one process, under a clock that is driven by hand: visitors that hurry, stall
//! and leave, a balancer with its pools, containers that break every rule, and a network that
//! cuts, freezes and refuses.
//!
//! At every moment: a request gets its own answer or an error; one that may not be repeated is
//! served at most once; no member without a fault of its own is taken out; no pool has more
//! connections than it may; every wait ends; and at the end nothing is left.
//!
//! | variable | |
//! |---|---|
//! | `SIMULATION_SEED` | only this world |
//! | `SIMULATION_SECONDS` | how long fresh worlds are made, default 20 |
//! | `SIMULATION_HOURS` | the same in hours |
//!
//! A world that fails is made smaller as long as it still fails, and the smallest is printed.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    missing_docs,
    reason = "in a test a panic is the report"
)]
#![cfg(feature = "balancer")]

#[path = "../raw/mod.rs"]
mod raw;

mod container;
mod network;
mod visitor;
mod world;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use world::{Report, Script};

fn script(seed: u64) -> Script {
    Script {
        seed,
        visitors: 12,
        requests: 25,
        unsound: 2,
        events: 60,
    }
}

/// What the world's panic says, if it has one.
fn failure(script: Script) -> Result<Report, String> {
    catch_unwind(AssertUnwindSafe(|| world::run(script))).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
            .unwrap_or_default()
    })
}

/// The smallest world of this seed that still fails, and what it says.
fn smallest(mut script: Script, mut why: String) -> (Script, String) {
    loop {
        let half = |n: usize| n / 2;
        let smaller = [
            Script {
                events: 0,
                ..script
            },
            Script {
                events: half(script.events),
                ..script
            },
            Script {
                unsound: half(script.unsound),
                ..script
            },
            Script {
                visitors: half(script.visitors).max(1),
                ..script
            },
            Script {
                requests: half(script.requests).max(1),
                ..script
            },
            Script {
                visitors: (script.visitors - 1).max(1),
                ..script
            },
            Script {
                requests: (script.requests - 1).max(1),
                ..script
            },
        ];
        let size = |s: &Script| s.events + s.unsound + s.visitors * s.requests;
        let found = smaller
            .into_iter()
            .filter(|smaller| size(smaller) < size(&script))
            .find_map(|smaller| failure(smaller).err().map(|why| (smaller, why)));
        match found {
            Some((smaller, because)) => (script, why) = (smaller, because),
            None => return (script, why),
        }
    }
}

fn must_hold(seed: u64) -> Report {
    match failure(script(seed)) {
        Ok(report) => report,
        Err(why) => {
            let (smallest, why) = smallest(script(seed), why);
            panic!(
                "world {seed} fails; SIMULATION_SEED={seed} repeats it. The smallest that \
                 still does: {smallest:?}: {why}"
            );
        }
    }
}

/// How long fresh worlds are made.
fn time() -> Duration {
    let number = |name: &str| {
        std::env::var(name)
            .ok()
            .map(|text| text.parse::<f64>().unwrap())
    };
    let seconds = number("SIMULATION_HOURS")
        .map(|hours| hours * 3600.0)
        .or_else(|| number("SIMULATION_SECONDS"));
    Duration::from_secs_f64(seconds.unwrap_or(20.0))
}

/// The same worlds in every run.
#[test]
fn known_worlds() {
    let mut exchanges = 0;
    for seed in 1..=40 {
        exchanges += must_hold(seed).exchanges;
    }
    assert!(exchanges > 5_000, "only {exchanges} exchanges");
}

/// Worlds that nobody has seen yet.
#[test]
fn fresh_worlds() {
    if let Ok(seed) = std::env::var("SIMULATION_SEED") {
        must_hold(seed.parse().unwrap());
        return;
    }
    let first = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_nanos() as u64;
    let (start, mut worlds, mut exchanges) = (Instant::now(), 0_u64, 0);
    let mut outcomes: BTreeMap<&'static str, u64> = BTreeMap::new();
    while start.elapsed() < time() {
        let report = must_hold(first.wrapping_add(worlds));
        worlds += 1;
        exchanges += report.exchanges;
        for (what, count) in report.outcomes {
            *outcomes.entry(what).or_default() += count;
        }
    }
    println!("{worlds} worlds from seed {first}, {exchanges} exchanges: {outcomes:?}");
    for what in [
        "answered",
        "error in the body",
        "error before the head",
        "given up",
    ] {
        assert!(outcomes.contains_key(what), "no request ended with: {what}");
    }
}
