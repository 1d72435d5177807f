//! Uploads and downloads through the gateway, httpd with `mod_proxy_ajp` and with `mod_jk`, and
//! nginx with HTTP, all in front of the same container.

use crate::peers::process::{self, Strace};
use crate::peers::wrk::Load;
use crate::peers::{self, Peer, Start};
use crate::servers::Server;
use crate::support::httpd::Httpd;
use crate::support::need;
use crate::support::tomcat::Tomcat;
use crate::{Args, median};
use std::net::SocketAddr;

#[derive(clap::Args)]
pub(crate) struct BodiesArgs {
    /// What is in front of: null, which answers at once, or tomcat
    #[arg(long, default_value = "null")]
    backend: String,
    /// post-10k, get-100k or get-10m; may be repeated [default: all]
    #[arg(long)]
    work: Vec<String>,
    /// Packet size of the container and of all web servers; the gateway learns a larger one
    #[arg(long, default_value_t = 8192)]
    packet_size: u32,
    /// The packet size of the gateway's configuration, whatever the container has
    #[arg(long)]
    gateway_packet_size: Option<String>,
    /// Count system calls, under strace, instead of measuring
    #[arg(long)]
    syscalls: bool,
    /// Connections that wrk keeps
    #[arg(long, default_value_t = 32)]
    connections: u32,
    /// One of the web servers alone; may be repeated
    #[arg(long)]
    front: Vec<String>,
}

/// Threads of httpd, and connections that it may keep to a container.
const THREADS: usize = 64;

/// A kind of request.
struct Work {
    name: &'static str,
    /// At the null container, and at Tomcat.
    paths: [&'static str; 2],
    upload: usize,
    /// Bytes of both bodies.
    moved: f64,
}

const WORKS: [Work; 3] = [
    Work {
        name: "post-10k",
        paths: ["/small", "/app/echo"],
        upload: 10 << 10,
        moved: (10 << 10) as f64,
    },
    Work {
        name: "get-100k",
        paths: ["/100k", "/app/bytes?n=102400&len=1"],
        upload: 0,
        moved: (100 << 10) as f64,
    },
    Work {
        name: "get-10m",
        paths: ["/10m", "/app/bytes?n=10485760&len=1"],
        upload: 0,
        moved: (10 << 20) as f64,
    },
];

/// A container that speaks both protocols.
struct Container {
    ajp: SocketAddr,
    http: SocketAddr,
    secret: Option<String>,
    _running: Box<dyn std::any::Any>,
}

impl Container {
    async fn start(what: &BodiesArgs) -> Self {
        if what.backend == "tomcat" {
            let tomcat = Tomcat::builder().packet_size(what.packet_size as usize);
            let tomcat = tomcat.start().await;
            return Self {
                ajp: tomcat.ajp_addr(),
                http: tomcat.http_addr(),
                secret: tomcat.secret().map(str::to_owned),
                _running: Box::new(tomcat),
            };
        }
        let name = match what.packet_size {
            8192 => "ajp",
            65536 => "ajp-65536",
            other => panic!("the null container has packets of 8192 or 65536 bytes, not {other}"),
        };
        let (ajp, http) = (Server::start(name, 0), Server::start("hyper", 0));
        Self {
            ajp: ajp.address.parse().unwrap(),
            http: http.address.parse().unwrap(),
            secret: None,
            _running: Box::new((ajp, http)),
        }
    }
}

pub(crate) async fn run(args: &Args, what: &BodiesArgs) {
    need::file("/usr/bin/wrk", "wrk");
    let container = Container::start(what).await;
    let fronts = fronts(args, what, &container).await;
    let wanted = |name: &str| what.work.is_empty() || what.work.iter().any(|only| only == name);
    for work in WORKS.iter().filter(|work| wanted(work.name)) {
        let load = Load {
            path: work.paths[usize::from(what.backend == "tomcat")],
            upload: work.upload,
            script: None,
            tls: false,
            connections: what.connections,
            seconds: args.seconds,
        };
        for front in &fronts {
            // Pools fill, Tomcat compiles what is hot, packet sizes are learned.
            Load { seconds: 2, ..load }.on(front.addr);
        }
        println!(
            "\n{} in front of {}, packets of {}: {} connections",
            work.name, what.backend, what.packet_size, what.connections
        );
        if what.syscalls {
            count(work, load, &fronts);
        } else {
            compare(args, work, load, &fronts);
        }
    }
}

async fn fronts(args: &Args, what: &BodiesArgs, container: &Container) -> Vec<Peer> {
    let secret = container.secret.as_deref();
    let is_large = what.packet_size != 8192;
    let size = what.gateway_packet_size.clone().unwrap_or_else(|| {
        let size = if is_large { "\"auto\"" } else { "8192" };
        size.to_owned()
    });
    let wanted = |name: &str| what.front.is_empty() || what.front.iter().any(|only| only == name);
    let mut fronts = Vec::new();
    if wanted("gateway") {
        let config = format!(
            "[[balancer]]\nname = \"lab\"\npacket_size = {size}\n\
             [[balancer.member]]\nurl = \"ajp://{}\"\n\
             [[map]]\npath = \"/\"\nto = \"balancer://lab/\"\n",
            container.ajp
        );
        fronts
            .push(peers::gateway(args.gateway.as_deref(), &config, secret, Start::default()).await);
    }
    if wanted("mod_proxy_ajp") {
        let secret = secret.map(|secret| format!("secret={secret}"));
        let httpd = Httpd::builder().proxy_ajp("/", container.ajp, &secret.unwrap_or_default());
        let httpd = if is_large {
            httpd.raw_global(&format!("ProxyIOBufferSize {}", what.packet_size))
        } else {
            httpd
        };
        fronts.push(peers::httpd("mod_proxy_ajp", httpd, THREADS, Start::default()).await);
    }
    if wanted("mod_jk") {
        let size = format!("worker.lab.max_packet_size={}", what.packet_size);
        let httpd = peers::mod_jk(container.ajp, secret, THREADS, &size);
        fronts.push(peers::httpd("mod_jk", httpd, THREADS, Start::default()).await);
    }
    if wanted("nginx") {
        let upstream = format!("server {}; keepalive {THREADS};", container.http);
        fronts.push(peers::nginx("nginx", &upstream, "", Start::default()).await);
    }
    fronts
}

fn compare(args: &Args, work: &Work, load: Load<'_>, fronts: &[Peer]) {
    let mut seen: Vec<[Vec<f64>; 4]> = fronts.iter().map(|_| Default::default()).collect();
    for _ in 0..args.rounds {
        for (front, seen) in fronts.iter().zip(&mut seen) {
            let before = process::cpu(front.pid);
            let report = load.on(front.addr);
            let spent = process::cpu(front.pid) - before;
            let numbers = [report.rate, report.p50, report.p99, spent / report.requests];
            for (seen, number) in seen.iter_mut().zip(numbers) {
                seen.push(number);
            }
        }
    }
    println!(
        "{:<14} {:>11} {:>9} {:>9} {:>9} {:>12} {:>14}",
        "front", "requests/s", "MiB/s", "p50 ms", "p99 ms", "CPU us/req", "gateway's CPU"
    );
    let medians: Vec<[f64; 4]> = seen.into_iter().map(|seen| seen.map(median)).collect();
    for (front, [rate, p50, p99, cpu]) in fronts.iter().zip(&medians) {
        println!(
            "{:<14} {rate:>11.0} {:>9.0} {p50:>9.2} {p99:>9.2} {:>12.1} {:>13.2}x",
            front.name,
            rate * work.moved / f64::from(1 << 20),
            cpu * 1000.0,
            medians[0][3] / cpu,
        );
    }
}

fn count(work: &Work, load: Load<'_>, fronts: &[Peer]) {
    println!(
        "{:<14} {:>14} {:>14}  of them",
        "front", "calls/request", "calls/MiB"
    );
    for front in fronts {
        let strace = Strace::attach(front.pid);
        let report = load.on(front.addr);
        let calls = strace.end();
        let total: u64 = calls.values().sum();
        let of_each = |count: u64| count as f64 / report.requests;
        let mut calls: Vec<_> = calls.into_iter().collect();
        calls.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let most = calls
            .iter()
            .take(7)
            .map(|(name, count)| format!("{name} {:.1}", of_each(*count)));
        println!(
            "{:<14} {:>14.1} {:>14.1}  {}",
            front.name,
            of_each(total),
            of_each(total) * f64::from(1 << 20) / work.moved,
            most.collect::<Vec<_>>().join(", ")
        );
    }
}
