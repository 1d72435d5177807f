//! What a program did while it was counted: what strace and callgrind have written.

use super::Counter;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// What a run has taken, by what the counter tells apart: names of system calls, or crates.
pub(crate) type Counts = BTreeMap<String, u64>;

/// What one request takes, of two runs with so many requests: what happens once does not count.
pub(crate) fn each(runs: &[Counts], requests: [u64; 2]) -> BTreeMap<String, f64> {
    let [few, many] = requests.map(|requests| requests as f64);
    let differences = runs[1].iter().map(|(what, count)| {
        let before = runs[0].get(what).copied().unwrap_or(0);
        (what.clone(), (*count as f64 - before as f64) / (many - few))
    });
    differences.collect()
}

pub(crate) fn read(counter: Counter, file: &Path) -> Counts {
    let text = std::fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let text = String::from_utf8_lossy(&text);
    match counter {
        Counter::SystemCalls => calls(&text),
        Counter::Instructions => instructions(&text),
    }
}

/// strace's table.
fn calls(table: &str) -> Counts {
    let rows = table.lines().filter_map(|line| {
        let (count, name) = line.trim().split_once(char::is_whitespace)?;
        let name = name.trim();
        Some((name.to_owned(), count.parse().ok()?)).filter(|_| name != "total")
    });
    rows.collect()
}

/// callgrind's file: instructions by the crate whose source they come from.
fn instructions(text: &str) -> Counts {
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
