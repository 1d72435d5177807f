//! What pieces of work cost, counted and compared with `benches/counted-costs.txt`: instructions
//! in user space, allocations and system calls, each per round. So no change gives back unnoticed
//! what an earlier one has won, and what one wins is written down.
//!
//! ```text
//! cargo nextest run --all-features --test counted_costs
//! UPDATE_COUNTED_COSTS=1 cargo nextest run --all-features --test counted_costs   # writes the file
//! ```
//!
//! Valgrind counts, so the machine's load and speed do not matter. Instructions depend on what
//! compiled and what is linked: where that is not what the file names, the test says so, and only
//! fails for instructions that rise by more than [`OTHER_TOOLS`] percent. Allocations and system
//! calls are compared alike everywhere.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_precision_loss,
    reason = "in a test a panic is the report, and no length comes from a stranger"
)]

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

/// By how many percent a cost may differ from what is written down.
const BOUND: f64 = 3.0;
/// By how many percent instructions may rise with another compiler, libc or valgrind.
const OTHER_TOOLS: f64 = 15.0;
/// Rounds of the two runs of each piece, whose difference is counted: what happens once does not
/// count.
const ROUNDS: [u32; 2] = [100, 300];
/// What a cost is, in the order of the file's columns.
const COSTS: [&str; 3] = ["instructions", "allocations", "system calls"];

type Costs = [f64; 3];

#[test]
fn no_piece_of_work_costs_more_or_less_than_is_written_down() {
    let tools = tools();
    let counted = count_all(&build());
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/counted-costs.txt");
    if std::env::var_os("UPDATE_COUNTED_COSTS").is_some() {
        std::fs::write(&file, table(&tools, &counted)).unwrap();
        return;
    }
    let written = std::fs::read_to_string(&file).unwrap();
    let (known_tools, known) = read(&written);
    let same_tools = known_tools == tools;
    if !same_tools {
        println!(
            "COUNTED WITH OTHER TOOLS: instructions may rise by {OTHER_TOOLS} percent\n\
             written down: {known_tools}\n        here: {tools}"
        );
    }
    let names = |costs: &BTreeMap<String, Costs>| costs.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&counted), names(&known), "the pieces in {file:?}");
    let differences = differences(&known, &counted, same_tools);
    assert!(
        differences.is_empty(),
        "\n{differences}\nA cost that rose by mistake: find what made it. One that fell, or had \
         to rise: UPDATE_COUNTED_COSTS=1 cargo nextest run --all-features --test counted_costs\n"
    );
}

/// One line for each cost that is not within its bound.
fn differences(
    known: &BTreeMap<String, Costs>,
    counted: &BTreeMap<String, Costs>,
    same_tools: bool,
) -> String {
    let mut lines = String::new();
    for (piece, now) in counted {
        for ((what, now), before) in COSTS.iter().zip(now).zip(known[piece]) {
            // Nothing that is counted whole may become something.
            let percent = (now - before) / before.max(0.01) * 100.0;
            let is_within = match (*what, same_tools) {
                ("instructions", false) => percent <= OTHER_TOOLS,
                _ => percent.abs() <= BOUND,
            };
            if !is_within {
                writeln!(lines, "{piece}: {before} {what} before, {now} now").unwrap();
            }
        }
    }
    lines
}

#[test]
fn a_difference_is_seen_in_each_cost_and_both_ways() {
    let piece = |costs: Costs| BTreeMap::from([("a/b".to_owned(), costs)]);
    let known = piece([1000.0, 10.0, 0.0]);
    for (now, same_tools, expected) in [
        ([1029.0, 10.0, 0.0], true, ""),
        ([971.0, 10.2, 0.0], true, ""),
        (
            [1031.0, 10.0, 0.0],
            true,
            "a/b: 1000 instructions before, 1031 now\n",
        ),
        (
            [969.0, 10.0, 0.0],
            true,
            "a/b: 1000 instructions before, 969 now\n",
        ),
        ([1149.0, 10.0, 0.0], false, ""),
        ([500.0, 10.0, 0.0], false, ""),
        (
            [1151.0, 10.0, 0.0],
            false,
            "a/b: 1000 instructions before, 1151 now\n",
        ),
        (
            [1000.0, 11.0, 0.0],
            false,
            "a/b: 10 allocations before, 11 now\n",
        ),
        (
            [1000.0, 10.0, 1.0],
            false,
            "a/b: 0 system calls before, 1 now\n",
        ),
    ] {
        assert_eq!(differences(&known, &piece(now), same_tools), expected);
    }
}

/// What the number of instructions depends on beside the sources.
fn tools() -> String {
    let rustc = output(Command::new("rustc").arg("-vV"));
    let field = |name: &str| {
        let line = rustc.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().trim().to_owned()
    };
    let libc = output(Command::new("getconf").arg("GNU_LIBC_VERSION"));
    let valgrind = output(Command::new("valgrind").arg("--version"));
    let (release, host) = (field("release:"), field("host:"));
    format!(
        "rustc {release} {host}, {}, {}",
        libc.trim(),
        valgrind.trim()
    )
}

fn output(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error} (valgrind is Debian's `valgrind`)"));
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Builds the program that does the work, optimised as a release is.
fn build() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("counts");
    output(
        Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()))
            .args([
                "build",
                "--locked",
                "--release",
                "--bin",
                "ajp-counts",
                "--quiet",
                "--manifest-path",
            ])
            .arg(root.join("benches/counts/Cargo.toml"))
            .arg("--target-dir")
            .arg(&target)
            // What this test was built with is not for that.
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS"),
    );
    target.join("release/ajp-counts")
}

fn count_all(program: &Path) -> BTreeMap<String, Costs> {
    let listed = output(&mut Command::new(program));
    let left = Mutex::new(listed.lines().collect::<Vec<_>>());
    let counted = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let next = left.lock().unwrap().pop();
                    let Some(piece) = next else { break };
                    let costs = count(program, piece);
                    counted.lock().unwrap().insert(piece.to_owned(), costs);
                }
            });
        }
    });
    counted.into_inner().unwrap()
}

/// What a round of a piece costs.
fn count(program: &Path, piece: &str) -> Costs {
    let [few, many] = ROUNDS.map(|rounds| run(program, piece, rounds));
    let rounds = f64::from(ROUNDS[1] - ROUNDS[0]);
    [0, 1, 2].map(|cost| {
        let each = (many[cost] - few[cost]) as f64 / rounds;
        // Instructions are many, of the others every single one counts.
        if cost == 0 {
            each.round()
        } else {
            (each * 100.0).round() / 100.0
        }
    })
}

/// What a whole run costs.
fn run(program: &Path, piece: &str, rounds: u32) -> [u64; 3] {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let (profile, log) = (path("profile"), path("log"));
    output(
        Command::new("valgrind")
            .args(["--tool=callgrind", "--trace-syscalls=yes"])
            .arg(format!("--callgrind-out-file={}", profile.display()))
            .arg(format!("--log-file={}", log.display()))
            .arg(program)
            .args([piece, &rounds.to_string()])
            .current_dir(&directory)
            // One way of copying memory, whatever the processor has.
            .env(
                "GLIBC_TUNABLES",
                "glibc.cpu.hwcaps=-AVX512F,-AVX2,-AVX_Fast_Unaligned_Load,-SSSE3,-ERMS,-FSRM",
            ),
    );
    let profile = std::fs::read_to_string(profile).unwrap();
    let log = std::fs::read_to_string(log).unwrap();
    // The clock is read without the kernel where there is no valgrind.
    let calls = log.lines().filter(|line| line.starts_with("SYSCALL["));
    let calls = calls.filter(|line| !line.contains("sys_clock_gettime"));
    [
        total(&profile),
        allocations(&profile),
        calls.count().try_into().unwrap(),
    ]
}

fn total(profile: &str) -> u64 {
    let mut lines = profile.lines().rev();
    let total = lines
        .find_map(|line| line.strip_prefix("totals: "))
        .unwrap();
    total.trim().parse().unwrap()
}

/// Calls of the allocator. A function has a number, and its name where it is named first.
fn allocations(profile: &str) -> u64 {
    let mut names = HashMap::new();
    let mut called = "";
    let mut sum = 0;
    for line in profile.lines() {
        let function = line.strip_prefix("cfn=");
        if let Some(function) = function.or_else(|| line.strip_prefix("fn=")) {
            let (number, name) = function.split_once(' ').unwrap_or((function, ""));
            let name = *names.entry(number).or_insert(name);
            if line.starts_with("cfn=") {
                called = name;
            }
        } else if let Some(calls) = line.strip_prefix("calls=") {
            if matches!(
                called,
                "malloc" | "calloc" | "realloc" | "posix_memalign" | "aligned_alloc"
            ) {
                sum += calls.split(' ').next().unwrap().parse::<u64>().unwrap();
            }
        }
    }
    sum
}

fn table(tools: &str, counted: &BTreeMap<String, Costs>) -> String {
    let mut text = format!(
        "# What a round of each piece of work costs: instructions, allocations, system calls.\n\
         # Of exchanges client and server together. See tests/counted_costs.rs.\n\
         # {tools}\n"
    );
    for (piece, [instructions, allocations, calls]) in counted {
        writeln!(
            text,
            "{piece:24} {instructions:8} {allocations:8.2} {calls:8.2}"
        )
        .unwrap();
    }
    text
}

fn read(text: &str) -> (&str, BTreeMap<String, Costs>) {
    let mut comments = text.lines().filter_map(|line| line.strip_prefix("# "));
    let tools = comments.next_back().unwrap();
    let rows = text.lines().filter(|line| !line.starts_with('#'));
    let costs = rows.map(|row| {
        let mut columns = row.split_whitespace();
        let piece = columns.next().unwrap().to_owned();
        let numbers: Vec<f64> = columns.map(|number| number.parse().unwrap()).collect();
        (piece, numbers.try_into().unwrap())
    });
    (tools, costs.collect())
}

#[test]
fn a_table_reads_as_it_was_written() {
    let counted = BTreeMap::from([
        ("a/b".to_owned(), [49563.0, 31.5, 7.0]),
        ("c/d-10k".to_owned(), [3651.0, 0.0, 0.0]),
    ]);
    let text = table("rustc 1.2.3 somewhere, glibc 2.3, valgrind-3", &counted);
    let (tools, read) = read(&text);
    assert_eq!(tools, "rustc 1.2.3 somewhere, glibc 2.3, valgrind-3");
    assert_eq!(read, counted);
}
