//! Runs targets on inputs made from their corpus by number, without libFuzzer: many times as fast,
//! since nothing is instrumented, and blind, since nothing is learned.
//!
//! `flood SEED FROM TO TARGETS...` runs every target on the numbers FROM up to TO, and prints how
//! many that were and how fast. An input that fails is written to `artifacts/TARGET/`.

use ajp_fuzz::mutate;
use ajp_fuzz::targets::{ALL, Run};
use std::error::Error;
use std::fs;
use std::panic::catch_unwind;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Of one target, before it is the turn of the next.
const ROUND: u64 = 200_000;

/// Failures after which there is enough to look at.
const ENOUGH: u64 = 20;

struct Target {
    name: &'static str,
    run: Run,
    corpus: Vec<Vec<u8>>,
    /// The next number.
    next: u64,
    spent: Duration,
    failures: u64,
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [seed, from, to, names @ ..] = &arguments[..] else {
        return Err("flood SEED FROM TO TARGETS...".into());
    };
    let (seed, from, to): (u64, u64, u64) = (seed.parse()?, from.parse()?, to.parse()?);
    let mut targets = names
        .iter()
        .map(|name| target(name, from))
        .collect::<Result<Vec<_>, _>>()?;
    let start = Instant::now();
    let mut input = Vec::with_capacity(8192);
    let mut shown = start;
    while targets.iter().any(|target| target.next < to) {
        for target in &mut targets {
            let until = to.min(target.next.saturating_add(ROUND));
            round(target, seed, until, &mut input)?;
        }
        if shown.elapsed() > Duration::from_secs(60) {
            shown = Instant::now();
            show(&targets, seed, from, start);
        }
        if targets.iter().any(|target| target.failures >= ENOUGH) {
            break;
        }
    }
    show(&targets, seed, from, start);
    let failed = targets.iter().any(|target| target.failures > 0);
    Ok(ExitCode::from(u8::from(failed)))
}

fn target(name: &str, from: u64) -> Result<Target, Box<dyn Error>> {
    let (name, run) = *ALL
        .iter()
        .find(|(known, _)| *known == name)
        .ok_or_else(|| format!("no target {name}"))?;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(name);
    let mut corpus = Vec::new();
    let mut paths: Vec<_> = fs::read_dir(&folder)
        .map_err(|error| format!("{}: {error}", folder.display()))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    // In an order that does not depend on the disk.
    paths.sort();
    for path in paths {
        corpus.push(fs::read(path)?);
    }
    println!("{name}: from {} inputs", corpus.len());
    Ok(Target {
        name,
        run,
        corpus,
        next: from,
        spent: Duration::ZERO,
        failures: 0,
    })
}

fn round(target: &mut Target, seed: u64, until: u64, input: &mut Vec<u8>) -> std::io::Result<()> {
    let start = Instant::now();
    while target.next < until {
        let index = target.next;
        target.next += 1;
        mutate::input(&target.corpus, seed, index, input);
        let run = target.run;
        if catch_unwind(|| run(input)).is_err() {
            target.failures += 1;
            let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("artifacts")
                .join(target.name);
            fs::create_dir_all(&folder)?;
            let path = folder.join(format!("flood-{seed}-{index}"));
            fs::write(&path, &*input)?;
            println!(
                "{} FAILED: seed {seed}, number {index}: {}",
                target.name,
                path.display()
            );
        }
    }
    target.spent += start.elapsed();
    Ok(())
}

fn show(targets: &[Target], seed: u64, from: u64, start: Instant) {
    let mut all = 0;
    for target in targets {
        let count = target.next - from;
        all += count;
        let seconds = target.spent.as_secs_f64().max(1e-9);
        println!(
            "{:<22} seed {seed}: {count:>11} inputs ({from} to {}), {:>8.0}/s, {} failures",
            target.name,
            target.next,
            count as f64 / seconds,
            target.failures
        );
    }
    println!("{all} inputs in {:.0} s", start.elapsed().as_secs_f64());
}
