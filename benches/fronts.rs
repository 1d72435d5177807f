//! Web servers in front of the same containers: httpd with `mod_proxy_ajp`, httpd with
//! `mod_jk`, nginx with HTTP, and the gateway of this crate.
//!
//! ```text
//! cargo bench --bench fronts                               # all of it, about 6 minutes
//! cargo bench --bench fronts -- --rounds 3 --seconds 3 --connections 32 --backend null
//! cargo bench --bench fronts -- --backend null --kind tls --kind handshakes --kind resumed --kind http2
//! cargo bench --bench fronts -- --backend null --kind http --count    # and so with the others
//! ```
//!
//! `--kind` is what clients do: plain HTTP, TLS with kept connections, a TLS handshake or a resumed
//! session for each request, HTTP/2. Over TLS all have the same kind of certificate (ECDSA with
//! P-256) and speak TLS 1.3.
//!
//! Each stands in front of a null container, which answers 13 bytes at once, and in front of
//! a real Tomcat. wrk loads them in turns; the tables show the medians of all rounds, and CPU
//! time of the front alone.
//!
//! `--count` counts instructions and system calls of a request instead, of the gateway and nginx.
//!
//! nginx is there twice: as it comes, and telling the container what AJP tells it.
//!
//! With the null container four more show what no proxy on this runtime can go below: a relay
//! that looks at nothing, for the system calls; the same with hyper in front; that one with
//! each request and response translated, and nothing of what else a proxy has to do; and an
//! HTTP server that has nothing behind it.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a benchmark of our own data"
)]

#[path = "fronts/counts.rs"]
mod counts;
#[path = "fronts/handshakes.rs"]
mod handshakes;
#[path = "fronts/load.rs"]
mod load;
#[allow(dead_code, reason = "each bench uses its part")]
mod peers;
#[allow(dead_code, reason = "each bench uses its part")]
mod servers;
#[path = "fronts/starts.rs"]
mod starts;
#[path = "../tests/support/mod.rs"]
mod support;

use clap::Parser;
use load::{Kind, load};
use peers::{WORKERS, process};
use servers::{Server, relay};
use starts::{FORWARDED, floor, gateway, mod_jk, mod_proxy_ajp, nginx, plain};
use std::net::SocketAddr;
use support::need;
use support::tls::Certificates;
use support::tomcat::Tomcat;

#[derive(Parser)]
struct Args {
    /// Rounds, of which the medians are shown
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of load on each front in each round
    #[arg(long, default_value_t = 5)]
    seconds: u32,
    /// Connections that wrk keeps
    #[arg(long, default_value_t = 32)]
    connections: u32,
    /// null or tomcat [default: both]
    #[arg(long)]
    backend: Option<String>,
    /// What clients do; may be repeated [default: http]
    #[arg(long, value_enum)]
    kind: Vec<Kind>,
    /// Count instructions (callgrind) and system calls (strace) instead of measuring
    #[arg(long)]
    count: bool,
    /// Of what is counted, this front alone
    #[arg(long)]
    front: Option<String>,
    /// This program in place of the one that is built
    #[arg(long)]
    gateway: Option<std::path::PathBuf>,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

/// Threads of httpd, and connections that it may keep to a container.
const THREADS: usize = 64;

fn main() {
    if servers::serve_if_asked() {
        return;
    }
    let args = Args::parse();
    // `cargo test --benches` only builds it.
    if !args.bench {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(run(&args));
}

/// A container, and where it speaks what.
struct Backend {
    name: &'static str,
    ajp: SocketAddr,
    http: SocketAddr,
    secret: Option<String>,
    path: &'static str,
    /// Of the fronts with TLS.
    certificates: Certificates,
}

async fn run(args: &Args) {
    need::file("/usr/bin/wrk", "wrk");
    need::file("/usr/sbin/nginx", "nginx-light");
    if args.count || args.kind.contains(&Kind::Http2) {
        need::file("/usr/bin/h2load", "nghttp2-client");
    }
    if args.count {
        need::file("/usr/bin/valgrind", "valgrind");
        need::file("/usr/bin/strace", "strace");
    }
    let dir = tempfile::tempdir().unwrap();
    let certificates = Certificates::create(dir.path());
    let wanted = |name: &str| args.backend.as_ref().is_none_or(|only| only == name);
    if wanted("null") {
        let (ajp, http) = (Server::start("ajp", 0), Server::start("hyper", 0));
        let backend = Backend {
            name: "null",
            ajp: ajp.address.parse().unwrap(),
            http: http.address.parse().unwrap(),
            secret: None,
            path: "/small",
            certificates: certificates.clone(),
        };
        compare_all(args, &backend).await;
    }
    if wanted("tomcat") {
        let tomcat = Tomcat::builder().start().await;
        let backend = Backend {
            name: "tomcat",
            ajp: tomcat.ajp_addr(),
            http: tomcat.http_addr(),
            secret: tomcat.secret().map(str::to_owned),
            path: "/app/hello",
            certificates,
        };
        compare_all(args, &backend).await;
    }
}

#[derive(Default)]
struct Samples {
    rate: Vec<f64>,
    p50: Vec<f64>,
    p99: Vec<f64>,
    cpu: Vec<f64>,
    kernel: Vec<f64>,
}

async fn compare_all(args: &Args, backend: &Backend) {
    let kinds = match &args.kind[..] {
        [] => &[Kind::Http],
        kinds => kinds,
    };
    for kind in kinds {
        if args.count {
            counts::count(args, backend, *kind).await;
        } else {
            compare(args, backend, *kind).await;
        }
    }
}

async fn compare(args: &Args, backend: &Backend, kind: Kind) {
    let start = plain(backend, kind);
    let mut fronts = vec![
        gateway(args.gateway.as_deref(), backend, start).await,
        mod_proxy_ajp(backend, start).await,
        mod_jk(backend, start).await,
        nginx("nginx (HTTP)", backend, "", start).await,
        nginx("nginx, as AJP", backend, FORWARDED, start).await,
    ];
    if backend.secret.is_none() && kind == Kind::Http {
        let to = backend.ajp.to_string();
        for (name, shown) in [
            (relay::NAME, "bare relay"),
            (relay::HYPER, "hyper relay"),
            (relay::CODEC, "hyper and codec"),
        ] {
            fronts.push(floor(shown, Server::start_before(name, WORKERS, &to)));
        }
        fronts.push(floor("hyper, no proxy", Server::start("hyper", WORKERS)));
    }
    for front in &fronts {
        // Pools fill, and Tomcat compiles what is hot.
        load(front, kind, backend.path, args.connections, 2);
    }
    let mut samples: Vec<Samples> = fronts.iter().map(|_| Samples::default()).collect();
    for _ in 0..args.rounds {
        for (front, samples) in fronts.iter().zip(&mut samples) {
            let before = process::user_and_kernel(front.pid);
            let report = load(front, kind, backend.path, args.connections, args.seconds);
            let after = process::user_and_kernel(front.pid);
            let [user, kernel] = [0, 1].map(|i| (after[i] - before[i]) / report.requests);
            samples.rate.push(report.rate);
            samples.p50.push(report.p50);
            samples.p99.push(report.p99);
            samples.cpu.push(user + kernel);
            samples.kernel.push(kernel);
        }
    }
    println!(
        "\nin front of {}, {}: {} connections, medians of {} rounds of {} s",
        backend.name,
        kind.name(),
        args.connections,
        args.rounds,
        args.seconds
    );
    println!(
        "{:<16} {:>12} {:>10} {:>10} {:>18} {:>10} {:>14}",
        "front", "requests/s", "p50 ms", "p99 ms", "CPU ms/1000 req", "in kernel", "gateway's CPU"
    );
    let ours = median(&mut samples[0].cpu);
    for (front, samples) in fronts.iter().zip(&mut samples) {
        let cpu = median(&mut samples.cpu);
        println!(
            "{:<16} {:>12.0} {:>10.2} {:>10.2} {:>18.1} {:>10.1} {:>13.2}x",
            front.name,
            median(&mut samples.rate),
            median(&mut samples.p50),
            median(&mut samples.p99),
            cpu * 1000.0,
            median(&mut samples.kernel) * 1000.0,
            ours / cpu,
        );
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
