//! What an exchange costs, counted and not timed: system calls (strace), instructions
//! (callgrind), allocations, and the memory of idle connections, of this crate's client and
//! server and of hyper's with HTTP/1.1.
//!
//! Every number is the difference of two runs of different length, so that what happens once
//! does not count.
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

use allocation_counter::{AllocationInfo, measure};
use servers::client::{AnyClient, CASES, Case, WAIT};
use servers::{PROTOCOLS, SERVE, protocol, runtime};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

/// Set in a client's process: protocol, address, case, requests, callers.
const DRIVE: &str = "AJP_BENCH_DRIVE";

fn main() {
    if std::env::var(SERVE).is_ok() {
        report(measure(|| assert!(servers::serve_if_asked())));
        return;
    }
    if let Ok(what) = std::env::var(DRIVE) {
        drive(&what);
        return;
    }
    // `cargo test --benches` only looks whether it starts.
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    let only = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    let wanted = |table: &str| {
        only.as_ref()
            .is_none_or(|only| table.contains(only.as_str()))
    };
    if wanted("syscalls") {
        system_calls();
    }
    if wanted("instructions") {
        instructions();
    }
    if wanted("allocations") {
        allocations();
    }
    if wanted("idle") {
        idle_connections();
    }
}

/// In a client's process.
fn drive(what: &str) {
    let what: Vec<_> = what.split(' ').collect();
    let [name, address, case, requests, callers] = what[..] else {
        panic!("{what:?}")
    };
    let protocol = protocol(name);
    let case = *CASES
        .iter()
        .chain([&WAIT])
        .find(|known| known.name == case)
        .unwrap();
    let (requests, callers) = (requests.parse().unwrap(), callers.parse().unwrap());
    let info = measure(|| {
        let runtime = runtime(0);
        runtime.block_on(async {
            let client = AnyClient::new(protocol, address);
            client.run(case, requests, callers).await;
            if case.name == WAIT.name {
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
            // Idle connections stay, so that what they hold is counted.
            std::mem::forget(client);
        });
        std::mem::forget(runtime);
    });
    report(info);
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

fn report(info: AllocationInfo) {
    println!(
        "{} {} {}",
        info.count_total, info.bytes_total, info.bytes_current
    );
}

/// Allocations, bytes allocated, bytes still held.
type Allocated = [i64; 3];

/// Runs so many requests in two processes, each started by `wrapper` where there is one.
fn run(
    wrapper: &dyn Fn(&Path) -> Vec<String>,
    name: &str,
    case: Case,
    requests: u64,
    callers: u64,
) -> [(Allocated, String); 2] {
    let dir = tempfile::tempdir().unwrap();
    let files = ["server", "client"].map(|side| dir.path().join(side));
    let start = |file: &Path, key: &str, value: &str| -> (Child, BufReader<ChildStdout>) {
        let mut args = wrapper(file);
        args.push(
            std::env::current_exe()
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned(),
        );
        let mut child = Command::new(&args[0])
            .args(&args[1..])
            .env(key, value)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        (child, stdout)
    };
    let line = |out: &mut BufReader<ChildStdout>| {
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        line.trim().to_owned()
    };
    let (mut server, mut server_out) = start(&files[0], SERVE, name);
    let address = line(&mut server_out);
    let what = format!("{name} {address} {} {requests} {callers}", case.name);
    let (mut client, mut client_out) = start(&files[1], DRIVE, &what);
    let client_line = line(&mut client_out);
    // The server first: its connections must still be open.
    drop(server.stdin.take());
    let server_line = line(&mut server_out);
    drop(client.stdin.take());
    assert!(server.wait().unwrap().success() && client.wait().unwrap().success());
    let numbers = |line: &str| -> Allocated {
        let numbers: Vec<_> = line.split(' ').map(|n| n.parse().unwrap()).collect();
        numbers.try_into().unwrap()
    };
    let read = |file: &Path| std::fs::read_to_string(file).unwrap_or_default();
    [
        (numbers(&server_line), read(&files[0])),
        (numbers(&client_line), read(&files[1])),
    ]
}

fn plain(_: &Path) -> Vec<String> {
    Vec::new()
}

/// `(few, many)`: requests of the two runs of each case.
fn rounds(case: &Case) -> (u64, u64) {
    match case.name {
        "get-10m" => (10, 30),
        _ => (200, 1200),
    }
}

fn system_calls() {
    let strace = |file: &Path| {
        [
            "strace",
            "-f",
            "-qq",
            "-c",
            "-U",
            "calls,name",
            "-o",
            file.to_str().unwrap(),
            "--",
        ]
        .map(str::to_owned)
        .to_vec()
    };
    println!("\nSystem calls per exchange, one caller and 16");
    for case in CASES {
        for (name, _) in PROTOCOLS {
            for callers in [1, 16] {
                let (few, many) = rounds(&case);
                let [a, b] = [few, many].map(|n| run(&strace, name, case, n, callers));
                print!("{:9} {name:9} {callers:2}", case.name);
                for (side, place) in [("client", 1), ("server", 0)] {
                    print!("   {side}:");
                    let before = calls(&a[place].1);
                    let mut sum = 0.0;
                    for (call, count) in calls(&b[place].1) {
                        let more = count.saturating_sub(before.get(&call).copied().unwrap_or(0));
                        let each = more as f64 / (many - few) as f64;
                        sum += each;
                        if each >= 0.05 {
                            print!(" {call} {each:.1}");
                        }
                    }
                    print!(" = {sum:.1}");
                }
                println!();
            }
        }
    }
}

/// strace's table.
fn calls(table: &str) -> BTreeMap<String, u64> {
    table
        .lines()
        .filter_map(|line| {
            let (count, name) = line.trim().split_once(char::is_whitespace)?;
            let name = name.trim();
            Some((name.to_owned(), count.parse().ok()?)).filter(|_| name != "total")
        })
        .collect()
}

fn instructions() {
    println!("\nInstructions per exchange in user space, 16 callers");
    let callgrind = |file: &Path| {
        let out = format!("--callgrind-out-file={}", file.to_str().unwrap());
        ["valgrind", "--tool=callgrind", &out]
            .map(str::to_owned)
            .to_vec()
    };
    for case in CASES {
        for (name, _) in PROTOCOLS {
            let (few, many) = rounds(&case);
            let [a, b] = [few, many].map(|n| run(&callgrind, name, case, n, 16));
            let each = [1, 0].map(|place: usize| {
                let total = |text: &str| -> u64 {
                    let line = text
                        .lines()
                        .rev()
                        .find_map(|line| line.strip_prefix("totals: "));
                    line.unwrap().trim().parse().unwrap()
                };
                (total(&b[place].1) - total(&a[place].1)) / (many - few)
            });
            println!(
                "{:9} {name:9} client {:9}   server {:9}   both {:9}",
                case.name,
                each[0],
                each[1],
                each[0] + each[1]
            );
        }
    }
}

fn allocations() {
    println!("\nAllocations per exchange, 16 callers");
    for case in CASES {
        for (name, _) in PROTOCOLS {
            let (few, many) = rounds(&case);
            let [a, b] = [few, many].map(|n| run(&plain, name, case, n, 16));
            print!("{:9} {name:9}", case.name);
            for (side, place) in [("client", 1), ("server", 0)] {
                let each = |what: usize| {
                    (b[place].0[what] - a[place].0[what]) as f64 / (many - few) as f64
                };
                print!("   {side} {:7.1} of {:9.0} bytes", each(0), each(1));
            }
            println!();
        }
    }
}

/// Every connection has served a request, and waits for the next.
fn idle_connections() {
    const FEW: u64 = 500;
    const MANY: u64 = 4500;
    println!("\nHeap bytes of an idle connection, the socket's buffers in the kernel aside");
    for (name, _) in PROTOCOLS {
        let [a, b] = [FEW, MANY].map(|n| run(&plain, name, WAIT, n, n));
        let each =
            |place: usize| (b[place].0[2] - a[place].0[2]) / i64::try_from(MANY - FEW).unwrap();
        println!("{name:9} client {:6}   server {:6}", each(1), each(0));
    }
}
