//! Large bodies: a gigabyte through client and server, beside a plain copy over TCP in chunks
//! of the packet size, each with a process on either side. Uploads also beside a copy of which
//! the receiver asks for each chunk, as containers do. Rounds take turns.
//!
//! `cargo bench --bench transfers -- [megabytes] [rounds]`
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

use servers::copy::{self, Way, copy};
use servers::pair::{Pair, Spent, in_turns};
use servers::{Server, runtime};
use std::time::Instant;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::Mutex;

fn main() {
    if servers::serve_if_asked() {
        return;
    }
    // `cargo test --benches` only looks whether it starts.
    let args: Vec<_> = std::env::args().skip(1).collect();
    if !args.iter().any(|arg| arg == "--bench") {
        return;
    }
    let mut numbers = args.iter().filter_map(|arg| arg.parse().ok());
    let megabytes: u64 = numbers.next().unwrap_or(1024);
    let rounds = usize::try_from(numbers.next().unwrap_or(7)).unwrap();
    println!("\n{megabytes} MiB, medians of {rounds} rounds in turns; one thread on each side");
    println!("way       chunk  by       MiB/s   CPU ms/GiB   time and CPU, of the plain copy's");
    for (name, ahead, chunk) in [
        ("ajp", "ajp-ahead", 8192),
        ("ajp-65536", "ajp-65536-ahead", 65536),
    ] {
        let copy = Side::copy(chunk);
        let ajp = Side::Ajp(Pair::start(name, 0));
        let ahead = Side::Ajp(Pair::start(ahead, 0));
        compare(
            "download",
            chunk,
            megabytes,
            rounds,
            &[("copy", &copy, Way::Download), ("ajp", &ajp, Way::Download)],
        );
        compare(
            "upload",
            chunk,
            megabytes,
            rounds,
            &[
                ("copy", &copy, Way::Upload),
                ("asked", &copy, Way::AskedUpload),
                ("ajp", &ajp, Way::Upload),
                ("ahead", &ahead, Way::Upload),
            ],
        );
    }
}

fn compare(name: &str, chunk: usize, megabytes: u64, rounds: usize, sides: &[(&str, &Side, Way)]) {
    let len = megabytes << 20;
    let mut cpu = vec![Vec::new(); sides.len()];
    let indices: Vec<usize> = (0..sides.len()).collect();
    let time = in_turns(&indices, rounds, |&i| {
        let (_, side, way) = sides[i];
        let spent = side.transfer(way, len);
        cpu[i].push(spent.cpu.as_secs_f64());
        spent.time.as_secs_f64()
    });
    let cpu: Vec<f64> = cpu
        .into_iter()
        .map(|mut cpu| {
            cpu.sort_by(f64::total_cmp);
            cpu[cpu.len() / 2]
        })
        .collect();
    for (i, (by, ..)) in sides.iter().enumerate() {
        println!(
            "{name:8} {chunk:6}  {by:5} {:8.0} {:12.0}          {:5.2} {:5.2}",
            megabytes as f64 / time[i],
            cpu[i] * 1e3 * 1024.0 / megabytes as f64,
            time[i] / time[0],
            cpu[i] / cpu[0],
        );
    }
}

enum Side {
    Ajp(Pair),
    Copy {
        runtime: Runtime,
        tcp: Mutex<TcpStream>,
        chunk: usize,
        _server: Server,
    },
}

impl Side {
    fn copy(chunk: usize) -> Self {
        let server = Server::start(copy::NAME, 0);
        let runtime = runtime(0);
        let tcp = runtime.block_on(async {
            let tcp = TcpStream::connect(&server.address).await.unwrap();
            tcp.set_nodelay(true).unwrap();
            tcp
        });
        Self::Copy {
            runtime,
            tcp: tcp.into(),
            chunk,
            _server: server,
        }
    }

    fn transfer(&self, way: Way, len: u64) -> Spent {
        match self {
            Self::Ajp(pair) => {
                let before = pair.cpu();
                let start = Instant::now();
                pair.runtime.block_on(async {
                    match way {
                        Way::Download => pair.client.download(len).await,
                        Way::Upload | Way::AskedUpload => pair.client.upload(len).await,
                    }
                });
                let time = start.elapsed();
                let cpu = pair.cpu().saturating_sub(before);
                Spent { time, cpu }
            }
            Self::Copy {
                runtime,
                tcp,
                chunk,
                ..
            } => runtime.block_on(async {
                let tcp = &mut *tcp.lock().await;
                // The server tells its time at the end of a copy: one of nothing.
                let (_, before) = copy(tcp, way, 0, *chunk).await;
                let (time, after) = copy(tcp, way, len, *chunk).await;
                let cpu = after.saturating_sub(before);
                Spent { time, cpu }
            }),
        }
    }
}
