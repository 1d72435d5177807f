//! Web servers in front of the same containers: httpd with `mod_proxy_ajp`, httpd with
//! `mod_jk`, nginx with HTTP, and the gateway of this crate.
//!
//! ```text
//! cargo bench --bench fronts                               # all of it, about 6 minutes
//! cargo bench --bench fronts -- --rounds 3 --seconds 3 --connections 32 --backend null
//! ```
//!
//! Each stands in front of a null container, which answers 13 bytes at once, and in front of
//! a real Tomcat. wrk loads them in turns; the tables show the medians of all rounds, and CPU
//! time of the front alone.
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

#[allow(dead_code, reason = "each bench uses its part")]
mod servers;
#[path = "../tests/support/mod.rs"]
mod support;

use clap::Parser;
use servers::{Server, relay};
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;
use support::child::ChildGuard;
use support::httpd::Httpd;
use support::tomcat::Tomcat;
use support::{need, ports};
use tempfile::TempDir;

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
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

/// Threads of httpd, and connections that it may keep to a container.
const THREADS: usize = 64;
/// Processes of nginx, and threads of what is written in Rust.
const WORKERS: usize = 2;

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
}

async fn run(args: &Args) {
    need::file("/usr/bin/wrk", "wrk");
    need::file("/usr/sbin/nginx", "nginx-light");
    let wanted = |name: &str| args.backend.as_ref().is_none_or(|only| only == name);
    if wanted("null") {
        let (ajp, http) = (Server::start("ajp", 0), Server::start("hyper", 0));
        let backend = Backend {
            name: "null",
            ajp: ajp.address.parse().unwrap(),
            http: http.address.parse().unwrap(),
            secret: None,
            path: "/small",
        };
        compare(args, &backend).await;
    }
    if wanted("tomcat") {
        let tomcat = Tomcat::builder().start().await;
        let backend = Backend {
            name: "tomcat",
            ajp: tomcat.ajp_addr(),
            http: tomcat.http_addr(),
            secret: tomcat.secret().map(str::to_owned),
            path: "/app/hello",
        };
        compare(args, &backend).await;
    }
}

/// A web server that can be loaded and measured.
struct Front {
    name: &'static str,
    addr: SocketAddr,
    /// Its process, which leads a group if there are more.
    pid: u32,
    _running: Box<dyn std::any::Any>,
}

#[derive(Default)]
struct Samples {
    rate: Vec<f64>,
    p50: Vec<f64>,
    p99: Vec<f64>,
    cpu: Vec<f64>,
    kernel: Vec<f64>,
}

async fn compare(args: &Args, backend: &Backend) {
    let mut fronts = vec![
        gateway(backend).await,
        mod_proxy_ajp(backend).await,
        mod_jk(backend).await,
        nginx("nginx (HTTP)", backend, "").await,
        nginx("nginx, as AJP", backend, FORWARDED).await,
    ];
    if backend.secret.is_none() {
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
        load(front, backend.path, args.connections, 2);
    }
    let mut samples: Vec<Samples> = fronts.iter().map(|_| Samples::default()).collect();
    for _ in 0..args.rounds {
        for (front, samples) in fronts.iter().zip(&mut samples) {
            let before = cpu(front.pid);
            let report = load(front, backend.path, args.connections, args.seconds);
            let after = cpu(front.pid);
            let [user, kernel] =
                [0, 1].map(|i| (after[i] - before[i]) / (report.requests / 1000.0));
            samples.rate.push(report.rate);
            samples.p50.push(report.p50);
            samples.p99.push(report.p99);
            samples.cpu.push(user + kernel);
            samples.kernel.push(kernel);
        }
    }
    println!(
        "\nin front of {}: {} connections, medians of {} rounds of {} s",
        backend.name, args.connections, args.rounds, args.seconds
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

fn floor(name: &'static str, server: Server) -> Front {
    Front {
        name,
        addr: server.address.parse().unwrap(),
        pid: server.pid(),
        _running: Box::new(server),
    }
}

async fn gateway(backend: &Backend) -> Front {
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--release", "--locked", "--features", "gateway"]);
    assert!(
        build.status().unwrap().success(),
        "the gateway was not built"
    );
    let dir = tempfile::tempdir().unwrap();
    let addr = ports::free_addr();
    // Beside this program's `deps`, wherever cargo builds.
    let program = std::env::current_exe().unwrap();
    let release = program.parent().and_then(|deps| deps.parent()).unwrap();
    let mut command = Command::new(release.join("ajp"));
    command
        .arg("gateway")
        .args(["--listen", &addr.to_string()])
        .args(["--backend", &format!("ajp://{}", backend.ajp)]);
    if let Some(secret) = &backend.secret {
        let file = dir.path().join("secret");
        std::fs::write(&file, secret).unwrap();
        command.arg("--secret-file").arg(file);
    }
    let running = start(command, "cargo", &dir, addr).await;
    Front {
        name: "gateway",
        addr,
        pid: running.pid(),
        _running: Box::new((running, dir)),
    }
}

async fn mod_proxy_ajp(backend: &Backend) -> Front {
    let secret = backend
        .secret
        .iter()
        .map(|secret| format!("secret={secret}"));
    let params = secret.collect::<String>();
    let httpd = Httpd::builder()
        .proxy_ajp("/", backend.ajp, &params)
        .raw_global(&threads())
        .log_level("notice")
        .start()
        .await;
    httpd_front("mod_proxy_ajp", httpd)
}

async fn mod_jk(backend: &Backend) -> Front {
    let mut workers = format!(
        "worker.list=lab\nworker.lab.type=ajp13\nworker.lab.host={}\nworker.lab.port={}\n\
         worker.lab.connection_pool_size={THREADS}\n",
        backend.ajp.ip(),
        backend.ajp.port()
    );
    if let Some(secret) = &backend.secret {
        workers.extend(["worker.lab.secret=", secret, "\n"]);
    }
    let httpd = Httpd::builder()
        .mod_jk(&workers, &[("/*", "lab")])
        .raw_global(&threads())
        .raw_global("JkLogLevel error")
        .log_level("notice")
        .start()
        .await;
    httpd_front("mod_jk", httpd)
}

fn threads() -> String {
    format!("ThreadLimit {THREADS}\nThreadsPerChild {THREADS}\nMaxRequestWorkers {THREADS}\n")
}

fn httpd_front(name: &'static str, httpd: Httpd) -> Front {
    Front {
        name,
        addr: httpd.http_addr(),
        pid: httpd.pid(),
        _running: Box::new(httpd),
    }
}

/// What AJP tells of each request beside HTTP, and the gateway and httpd tell in headers too.
const FORWARDED: &str = "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; \
    proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Forwarded-Host $http_host; \
    proxy_set_header X-Forwarded-Port $server_port; proxy_set_header X-Real-Port $remote_port; \
    proxy_set_header X-Local-Address $server_addr;";

/// With more headers.
async fn nginx(name: &'static str, backend: &Backend, headers: &str) -> Front {
    let dir = tempfile::tempdir().unwrap();
    let addr = ports::free_addr();
    let (root, http) = (dir.path().display(), backend.http);
    let conf = format!(
        "daemon off;\nworker_processes {WORKERS};\npid {root}/pid;\nerror_log {root}/error.log;\n\
         events {{ worker_connections 1024; }}\n\
         http {{\n access_log off;\n\
         client_body_temp_path {root}/a;\n proxy_temp_path {root}/b;\n fastcgi_temp_path {root}/c;\n\
         uwsgi_temp_path {root}/d;\n scgi_temp_path {root}/e;\n\
         keepalive_requests 1000000000;\n\
         upstream lab {{ server {http}; keepalive {THREADS}; keepalive_requests 1000000000; }}\n\
         server {{ listen {addr};\n location / {{ proxy_pass http://lab; proxy_http_version 1.1;\n\
         proxy_set_header Connection \"\"; proxy_set_header Host $host; {headers} }} }}\n}}\n"
    );
    std::fs::write(dir.path().join("nginx.conf"), conf).unwrap();
    let mut command = Command::new("/usr/sbin/nginx");
    command
        .arg("-p")
        .arg(dir.path())
        .arg("-c")
        .arg(dir.path().join("nginx.conf"));
    let running = start(command, "nginx-light", &dir, addr).await;
    Front {
        name,
        addr,
        pid: running.pid(),
        _running: Box::new((running, dir)),
    }
}

async fn start(command: Command, package: &str, dir: &TempDir, addr: SocketAddr) -> ChildGuard {
    let log = dir.path().join("log");
    let mut child = ChildGuard::spawn(command, package, dir.path(), log, Duration::from_secs(5));
    let open = child.wait_for_port(addr, Duration::from_secs(20)).await;
    open.unwrap_or_else(|error| panic!("{error}"));
    child
}

/// What wrk tells, times in milliseconds.
struct Report {
    requests: f64,
    rate: f64,
    p50: f64,
    p99: f64,
}

fn load(front: &Front, path: &str, connections: u32, seconds: u32) -> Report {
    let mut wrk = Command::new("wrk");
    wrk.args([
        "-t1",
        "--latency",
        &format!("-c{connections}"),
        &format!("-d{seconds}s"),
    ])
    .arg(format!("http://{}{path}", front.addr));
    let output = need::run(&mut wrk, "wrk");
    let text = String::from_utf8_lossy(&output.stdout);
    let after = |label: &str| {
        let line = text
            .lines()
            .find_map(|line| line.trim().strip_prefix(label));
        line.unwrap_or_else(|| panic!("no {label:?} in {text}"))
            .trim()
            .to_owned()
    };
    for trouble in ["Socket errors", "Non-2xx"] {
        assert!(!text.contains(trouble), "{}: {text}", front.name);
    }
    let requests = text
        .lines()
        .find_map(|line| line.trim().split_once(" requests in "))
        .map(|(count, _)| count.parse().unwrap());
    Report {
        requests: requests.unwrap_or_else(|| panic!("no count in {text}")),
        rate: after("Requests/sec:").parse().unwrap(),
        p50: milliseconds(&after("50%")),
        p99: milliseconds(&after("99%")),
    }
}

fn milliseconds(text: &str) -> f64 {
    for (unit, factor) in [("us", 0.001), ("ms", 1.0), ("s", 1000.0)] {
        if let Some(number) = text.strip_suffix(unit) {
            return number.parse::<f64>().unwrap() * factor;
        }
    }
    panic!("no time: {text}")
}

/// CPU seconds of a process and its group so far, in user space and in the kernel.
fn cpu(pid: u32) -> [f64; 2] {
    let mut ticks = [0u64; 2];
    for entry in std::fs::read_dir("/proc").unwrap() {
        let Ok(stat) = std::fs::read_to_string(entry.unwrap().path().join("stat")) else {
            continue;
        };
        let is_it = stat.split(' ').next().and_then(|id| id.parse().ok()) == Some(pid);
        // After the name, which may hold anything: state, parent, group, ...
        let fields: Vec<&str> = stat
            .rsplit_once(") ")
            .map_or_else(Vec::new, |(_, rest)| rest.split(' ').collect());
        let in_group = fields.get(2).and_then(|group| group.parse().ok()) == Some(pid);
        if is_it || in_group {
            ticks[0] += fields[11].parse::<u64>().unwrap();
            ticks[1] += fields[12].parse::<u64>().unwrap();
        }
    }
    // Of user space, the kernel shows a hundredth of a second everywhere.
    ticks.map(|ticks| ticks as f64 / 100.0)
}
