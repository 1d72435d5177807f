//! One application, which says hello, behind httpd: in axum over AJP with this crate's server, in
//! axum over HTTP with hyper's, and in Tomcat over both.

use crate::peers::process;
use crate::peers::wrk::Load;
use crate::peers::{self, Peer, Start};
use crate::servers::{AXUM_AJP, AXUM_HTTP, Server};
use crate::support::httpd::Httpd;
use crate::support::need;
use crate::support::tomcat::Tomcat;
use crate::{Args, median};

/// Threads of httpd, and connections that it may keep to a container.
const THREADS: usize = 64;
/// Threads of what is written in Rust.
const WORKERS: usize = 2;

/// A container, and the httpd in front of it.
struct Row {
    name: &'static str,
    container: u32,
    front: Peer,
}

pub(crate) async fn run(args: &Args) {
    need::file("/usr/bin/wrk", "wrk");
    let ajp = Server::start(AXUM_AJP, WORKERS);
    let http = Server::start(AXUM_HTTP, WORKERS);
    let tomcat = Tomcat::builder().start().await;
    let secret = tomcat.secret().map(|secret| format!("secret={secret}"));
    let by_ajp = |to, secret: &str| Httpd::builder().proxy_ajp("/", to, secret);
    let by_http =
        |to: std::net::SocketAddr| Httpd::builder().raw(&format!("ProxyPass / http://{to}/"));
    let ways = [
        (
            "axum over AJP",
            ajp.pid(),
            by_ajp(ajp.address.parse().unwrap(), ""),
        ),
        (
            "axum over HTTP",
            http.pid(),
            by_http(http.address.parse().unwrap()),
        ),
        (
            "Tomcat over AJP",
            tomcat.pid(),
            by_ajp(tomcat.ajp_addr(), &secret.unwrap_or_default()),
        ),
        (
            "Tomcat over HTTP",
            tomcat.pid(),
            by_http(tomcat.http_addr()),
        ),
    ];
    let mut rows = Vec::new();
    for (name, container, httpd) in ways {
        rows.push(Row {
            name,
            container,
            front: peers::httpd(name, httpd, THREADS, Start::default()).await,
        });
    }
    let load = Load {
        path: "/app/hello",
        upload: 0,
        script: None,
        tls: false,
        connections: 32,
        seconds: args.seconds,
    };
    for row in &rows {
        // Pools fill, and Tomcat compiles what is hot.
        Load { seconds: 5, ..load }.on(row.front.addr);
    }
    let mut seen: Vec<[Vec<f64>; 6]> = rows.iter().map(|_| Default::default()).collect();
    for _ in 0..args.rounds {
        for (row, seen) in rows.iter().zip(&mut seen) {
            let cpu = || {
                let [user, kernel] = process::user_and_kernel(row.container);
                [user + kernel, kernel, process::cpu(row.front.pid)]
            };
            let before = cpu();
            let report = load.on(row.front.addr);
            let after = cpu();
            let [container, kernel, front] =
                [0, 1, 2].map(|i| (after[i] - before[i]) / report.requests);
            let numbers = [
                report.rate,
                report.p50,
                report.p99,
                container,
                kernel,
                front,
            ];
            for (seen, number) in seen.iter_mut().zip(numbers) {
                seen.push(number);
            }
        }
    }
    show(args, load, &rows, seen);
}

fn show(args: &Args, load: Load<'_>, rows: &[Row], seen: Vec<[Vec<f64>; 6]>) {
    println!(
        "\nhello behind httpd: {} connections, medians of {} rounds of {} s",
        load.connections, args.rounds, args.seconds
    );
    println!(
        "{:<17} {:>11} {:>8} {:>8} {:>17} {:>10} {:>13} {:>18}",
        "container",
        "requests/s",
        "p50 ms",
        "p99 ms",
        "container us/req",
        "in kernel",
        "httpd us/req",
        "axum over AJP's"
    );
    let medians: Vec<[f64; 6]> = seen.into_iter().map(|seen| seen.map(median)).collect();
    for (row, [rate, p50, p99, container, kernel, front]) in rows.iter().zip(&medians) {
        println!(
            "{:<17} {rate:>11.0} {p50:>8.2} {p99:>8.2} {:>17.1} {:>10.1} {:>13.1} {:>17.2}x",
            row.name,
            container * 1000.0,
            kernel * 1000.0,
            front * 1000.0,
            medians[0][3] / container,
        );
    }
}
