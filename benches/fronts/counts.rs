//! What one request costs a front, counted and not timed: instructions in user space (callgrind),
//! of which crate they are, and system calls (strace).
//!
//! Every number is the difference of two runs of different length, so that what happens once does
//! not count. All fronts get the same requests, from as many connections.

use crate::load::{Kind, exactly};
use crate::peers::{Counter, Start};
use crate::starts::{gateway, nginx, plain};
use crate::{Args, Backend};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::path::Path;

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
        runs.push(read(counter, &file));
    }
    let [few, many] = rounds(kind).map(|requests| requests as f64);
    let before = &runs[0];
    let differences = runs[1].iter().map(|(what, count)| {
        let count = *count as f64 - before.get(what).copied().unwrap_or(0) as f64;
        (what.clone(), count / (many - few))
    });
    differences.collect()
}

fn read(counter: Counter, file: &Path) -> BTreeMap<String, u64> {
    let text = std::fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let text = String::from_utf8_lossy(&text);
    match counter {
        Counter::SystemCalls => calls(&text),
        Counter::Instructions => instructions(&text),
    }
}

/// strace's table.
fn calls(table: &str) -> BTreeMap<String, u64> {
    let rows = table.lines().filter_map(|line| {
        let (count, name) = line.trim().split_once(char::is_whitespace)?;
        let name = name.trim();
        Some((name.to_owned(), count.parse().ok()?)).filter(|_| name != "total")
    });
    rows.collect()
}

/// callgrind's file: instructions by the crate whose source they come from.
fn instructions(text: &str) -> BTreeMap<String, u64> {
    // A name is spelled out where it first occurs, and is a number from there on.
    let mut known = HashMap::new();
    let mut now: HashMap<&str, &str> = HashMap::new();
    let mut sums = BTreeMap::new();
    let mut is_of_a_call = false;
    for line in text.lines() {
        if let Some((key, value)) = line.split_once('=') {
            let kind = key.trim_start_matches('c');
            let kind = match kind {
                "fl" | "fi" | "fe" => "file",
                "ob" | "fn" => kind,
                _ => {
                    is_of_a_call |= key == "calls";
                    continue;
                }
            };
            let (id, name) = value.split_once(' ').unwrap_or((value, ""));
            let name = match name {
                "" => known.get(&(kind, id)).copied().unwrap_or(id),
                name => *known.entry((kind, id)).or_insert(name),
            };
            // With a `c` it is what is called.
            if !key.starts_with('c') {
                now.insert(kind, name);
            }
        } else if line.starts_with(|c: char| c.is_ascii_digit() || "+-*".contains(c)) {
            // The line after a call has what was spent in there.
            if std::mem::take(&mut is_of_a_call) {
                continue;
            }
            let cost = line
                .split(' ')
                .nth(1)
                .and_then(|cost| cost.parse::<u64>().ok());
            let [file, object, function] =
                ["file", "ob", "fn"].map(|kind| now.get(kind).copied().unwrap_or(""));
            *sums.entry(owner(file, object, function)).or_default() += cost.unwrap_or(0);
        }
    }
    sums
}

/// Whose source this is.
fn owner(file: &str, object: &str, function: &str) -> String {
    let crate_name = |path: &str| {
        let name = path.split('/').next().unwrap_or_default();
        let version = name.rfind('-').unwrap_or(name.len());
        name[..version].to_owned()
    };
    if let Some((_, path)) = file.split_once("/registry/src/") {
        return crate_name(path.split_once('/').map_or("", |(_, path)| path));
    }
    if let Some((_, path)) = file.split_once("/rust/deps/") {
        return crate_name(path);
    }
    if file.contains("/library/") {
        return "std".to_owned();
    }
    if let Some(path) = file.strip_prefix(env!("CARGO_MANIFEST_DIR")) {
        let is_tool = path.starts_with("/src/bin/");
        return if is_tool {
            "ajp gateway"
        } else {
            "ajp library"
        }
        .to_owned();
    }
    let is_heap = [
        "malloc",
        "free",
        "calloc",
        "realloc",
        "unlink_chunk",
        "tcache",
    ];
    let library = object.rsplit('/').next().unwrap_or_default();
    let library = library.split('.').next().unwrap_or_default();
    if library == "libc" && is_heap.iter().any(|part| function.contains(part)) {
        return "libc, malloc".to_owned();
    }
    if function.contains("ring_core") {
        return "ring".to_owned();
    }
    library.to_owned()
}
