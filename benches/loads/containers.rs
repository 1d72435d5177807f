//! One application, which says hello, behind httpd: in axum over AJP with this crate's server, in
//! axum over HTTP with hyper's, and in Tomcat over both.

use crate::peers::process;
use crate::peers::wrk::Load;
use crate::peers::{self, Counter, Peer, Start, counted};
use crate::servers::{AXUM_AJP, AXUM_HTTP, Server};
use crate::support::httpd::{Httpd, HttpdBuilder};
use crate::support::need;
use crate::support::tomcat::Tomcat;
use crate::{Args, median};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

/// Threads of httpd, and connections that it may keep to a container.
const THREADS: usize = 64;
/// Threads of what is written in Rust.
const WORKERS: usize = 2;

#[derive(clap::Args)]
pub(crate) struct ContainersArgs {
    /// Count what a request takes of the two servers in Rust, under callgrind and strace, instead
    /// of measuring
    #[arg(long)]
    count: bool,
}

/// Requests of the two runs that are counted.
const COUNTED: [u64; 2] = [500, 2500];

/// A container, and the httpd in front of it.
struct Row {
    name: &'static str,
    container: u32,
    front: Peer,
}

pub(crate) async fn run(args: &Args, what: &ContainersArgs) {
    if what.count {
        for name in [AXUM_AJP, AXUM_HTTP] {
            count(name).await;
        }
        return;
    }
    need::file("/usr/bin/wrk", "wrk");
    let ajp = Server::start(AXUM_AJP, WORKERS);
    let http = Server::start(AXUM_HTTP, WORKERS);
    let tomcat = Tomcat::builder().start().await;
    let secret = tomcat.secret().map(|secret| format!("secret={secret}"));
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

fn by_ajp(to: SocketAddr, secret: &str) -> HttpdBuilder {
    Httpd::builder().proxy_ajp("/", to, secret)
}

fn by_http(to: SocketAddr) -> HttpdBuilder {
    Httpd::builder().raw(&format!("ProxyPass / http://{to}/"))
}

/// Prints what a request costs one of the servers, as httpd sends it, one after the other on one
/// connection.
async fn count(name: &str) {
    let dir = tempfile::tempdir().unwrap();
    for counter in [Counter::SystemCalls, Counter::Instructions] {
        let mut runs = Vec::new();
        for requests in COUNTED {
            let file = dir.path().join(requests.to_string());
            let start = Start {
                counted: Some((counter, &file)),
                ..Start::default()
            };
            let command = start.command(&std::env::current_exe().unwrap());
            let server = Server::start_by(command, name);
            let to = server.address.parse().unwrap();
            let httpd = if name == AXUM_AJP {
                by_ajp(to, "")
            } else {
                by_http(to)
            };
            let front = peers::httpd("httpd", httpd, THREADS, Start::default()).await;
            one_after_the_other(front.addr, requests);
            // It writes when it ends, with its connections.
            drop(front);
            drop(server);
            runs.push(counted::read(counter, &file));
        }
        let mut each: Vec<_> = counted::each(&runs, COUNTED).into_iter().collect();
        each.sort_by(|a, b| b.1.total_cmp(&a.1));
        let sum: f64 = each.iter().map(|(_, count)| count).sum();
        println!("{name:<10} {counter:?} of a request: {sum:.1}");
        for (what, count) in each.iter().filter(|(_, count)| *count >= sum / 200.0) {
            println!("    {what:<24} {count:>9.1}");
        }
    }
}

/// So many requests over one connection, as wrk writes them.
fn one_after_the_other(addr: SocketAddr, requests: u64) {
    let mut connection = BufReader::new(TcpStream::connect(addr).unwrap());
    for _ in 0..requests {
        let request = format!("GET /app/hello HTTP/1.1\r\nHost: {addr}\r\n\r\n");
        connection.get_mut().write_all(request.as_bytes()).unwrap();
        let mut line = String::new();
        let (mut length, mut is_chunked) = (0, false);
        connection.read_line(&mut line).unwrap();
        assert!(line.starts_with("HTTP/1.1 200 "), "{line}");
        while line != "\r\n" {
            line.clear();
            connection.read_line(&mut line).unwrap();
            let lower = line.to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            is_chunked |= lower.trim() == "transfer-encoding: chunked";
        }
        if is_chunked {
            line.clear();
            connection.read_line(&mut line).unwrap();
            length = usize::from_str_radix(line.trim(), 16).unwrap();
        }
        let mut body = vec![0; length];
        connection.read_exact(&mut body).unwrap();
        assert_eq!(body, b"Hello, AJP!\n");
        if is_chunked {
            let mut end = [0; 7];
            connection.read_exact(&mut end).unwrap();
            assert_eq!(&end, b"\r\n0\r\n\r\n");
        }
    }
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
