//! `ajp gateway` before two real Tomcats for a while: mixed traffic, slow clients, containers that
//! are killed, reloads. Every answer must be the one that was asked for, and neither memory nor
//! sockets may grow.
//!
//! `SOAK_SECONDS` is how long, default 20; `SOAK_PAUSE` how many milliseconds a client waits
//! between two requests on average, default 30. `tests/soak` runs the longer forms and keeps the
//! report, which has a line for each part of the run and the slopes of both.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_precision_loss,
    reason = "in a test a panic is the report"
)]

mod support;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use support::gateway::Gateway;
use support::http1::{Body, Client};
use support::pattern::{bytes, sha256_hex};
use support::random::Random;
use support::tomcat::{SECRET, Tomcat};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

const WORKERS: u32 = 12;
/// Clients that send half a request, or read nothing.
const SLOW: u32 = 4;
/// What memory may be more at the end than after the first third.
const SLACK: u64 = 24 << 20;
/// What it may grow by, in KiB a minute, where that can be told.
const SLOPE: f64 = 256.0;
/// The longest time between two faults: a Tomcat that is killed, a new configuration.
const PART: Duration = Duration::from_secs(60);
/// A run from which on a slope means something.
const LONG: Duration = Duration::from_secs(600);

#[derive(Default)]
struct Run {
    over: AtomicBool,
    /// Odd while a Tomcat is away.
    outages: AtomicU64,
    answered: AtomicU64,
    failed: Mutex<BTreeMap<String, u64>>,
}

/// What the gateway's process has at one moment.
#[derive(Clone, Copy)]
struct Sample {
    at: Duration,
    resident: u64,
    sockets: usize,
    answered: u64,
}

fn duration() -> Duration {
    Duration::from_secs(number("SOAK_SECONDS", 20))
}

/// The number in an environment variable.
fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

fn config(tomcats: &[Tomcat; 2], weight: u32) -> String {
    let mut text = "[manager]\n[[balancer]]\nname = \"farm\"\nsecret_file = \"secret\"\n\
                    timeout = \"5s\"\nsticky = \"JSESSIONID\"\nretry = \"1s\"\n"
        .to_owned();
    for (tomcat, route) in tomcats.iter().zip(["jvm1", "jvm2"]) {
        let url = tomcat.ajp_addr();
        let member = format!(
            "[[balancer.member]]\nurl = \"ajp://{url}\"\nroute = \"{route}\"\nweight = {weight}\n"
        );
        text += &member;
    }
    text + "[[map]]\npath = \"/app\"\nto = \"balancer://farm/app\"\n"
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_grows_and_nobody_gets_what_is_not_his() {
    let mut tomcats = [
        Tomcat::builder().route("jvm1").start().await,
        Tomcat::builder().route("jvm2").start().await,
    ];
    let files = [("secret", SECRET)];
    let mut gateway = Gateway::start_with(&files, &config(&tomcats, 1)).await;
    let sockets_before = sockets(gateway.pid());
    let run = Arc::new(Run::default());
    let mut workers = JoinSet::new();
    for seed in 1..=u64::from(WORKERS) {
        workers.spawn(work(gateway.http, Arc::clone(&run), seed));
    }
    for seed in 1..=u64::from(SLOW) {
        workers.spawn(dawdle(gateway.http, Arc::clone(&run), seed));
    }

    let start = Instant::now();
    let mut samples = Vec::new();
    let (mut turn, part) = (0_u32, PART.min(duration() / 6));
    let mut next = part;
    while start.elapsed() < duration() {
        sleep(Duration::from_millis(500)).await;
        samples.push(Sample {
            at: start.elapsed(),
            resident: resident(gateway.pid()),
            sockets: sockets(gateway.pid()),
            answered: run.answered.load(Ordering::SeqCst),
        });
        if start.elapsed() >= next && next + part < duration() {
            next += part;
            turn += 1;
            if turn % 2 == 1 {
                run.outages.fetch_add(1, Ordering::SeqCst);
                let tomcat = &mut tomcats[(turn / 2 % 2) as usize];
                tomcat.kill_9();
                tomcat.restart().await;
                // A member that failed is left alone for a second.
                sleep(Duration::from_secs(2)).await;
                run.outages.fetch_add(1, Ordering::SeqCst);
            } else {
                gateway.rewrite(&config(&tomcats, 1 + turn % 3));
                gateway.signal("HUP");
            }
        }
    }
    run.over.store(true, Ordering::SeqCst);
    let stop = Instant::now();
    while let Some(worker) = workers.join_next().await {
        worker.unwrap();
    }
    assert!(stop.elapsed() < Duration::from_secs(40), "a client hangs");
    sleep(Duration::from_secs(1)).await;

    let (memory, descriptors) = report(&samples, &run);
    let first = samples[samples.len() / 3];
    let last = samples[samples.len() - 1];
    assert!(last.answered > first.answered, "it went on");
    assert!(
        last.resident < first.resident + SLACK,
        "{} KiB after a third of the run, {} KiB at its end",
        first.resident >> 10,
        last.resident >> 10
    );
    if duration() >= LONG {
        assert!(memory < SLOPE, "{memory:.1} KiB a minute");
        assert!(descriptors.abs() < 1.0, "{descriptors:.2} sockets a minute");
    }
    // What is left are idle connections to both Tomcats, and one to itself at most.
    let left = sockets(gateway.pid());
    let most = sockets_before + (2 * WORKERS + SLOW) as usize;
    assert!(left <= most, "{left} sockets, {sockets_before} before");
    let log = gateway.stop();
    assert!(!log.contains("panicked"), "{log}");
}

/// Prints what was seen; growth of memory in KiB and of sockets, per minute.
fn report(samples: &[Sample], run: &Run) -> (f64, f64) {
    println!(
        "{:>8} {:>12} {:>10} {:>12}",
        "second", "memory KiB", "sockets", "answered"
    );
    for sample in samples.iter().step_by((samples.len() / 20).max(1)) {
        println!(
            "{:>8.1} {:>12} {:>10} {:>12}",
            sample.at.as_secs_f64(),
            sample.resident >> 10,
            sample.sockets,
            sample.answered
        );
    }
    // The first third fills pools and caches.
    let steady = &samples[samples.len() / 3..];
    let memory = slope(steady, |sample| (sample.resident >> 10) as f64);
    let descriptors = slope(steady, |sample| sample.sockets as f64);
    println!(
        "{} answers, {} times a Tomcat was killed; {memory:.1} KiB and {descriptors:.2} sockets a \
         minute; while a Tomcat was away: {:?}",
        run.answered.load(Ordering::SeqCst),
        run.outages.load(Ordering::SeqCst) / 2,
        run.failed.lock().unwrap()
    );
    (memory, descriptors)
}

/// The least squares slope, per minute.
fn slope(samples: &[Sample], value: impl Fn(&Sample) -> f64) -> f64 {
    let n = samples.len() as f64;
    let minutes = |sample: &Sample| sample.at.as_secs_f64() / 60.0;
    let mean_x = samples.iter().map(minutes).sum::<f64>() / n;
    let mean_y = samples.iter().map(&value).sum::<f64>() / n;
    let (mut above, mut below) = (0.0, 0.0);
    for sample in samples {
        let x = minutes(sample) - mean_x;
        above += x * (value(sample) - mean_y);
        below += x * x;
    }
    if below > 0.0 { above / below } else { 0.0 }
}

async fn work(front: SocketAddr, run: Arc<Run>, seed: u64) {
    let mut random = Random::new(seed);
    let mut client = Client::new(front);
    let mut token = seed << 32;
    let pause = 2 * usize::try_from(number("SOAK_PAUSE", 30)).unwrap();
    while !run.over.load(Ordering::SeqCst) {
        sleep(Duration::from_millis(random.below(pause + 1) as u64)).await;
        token += 1;
        let before = run.outages.load(Ordering::SeqCst);
        let asked = timeout(
            Duration::from_secs(30),
            one(&mut client, &mut random, token),
        );
        match asked
            .await
            .unwrap_or_else(|_| panic!("request {token} hangs"))
        {
            Ok(()) => {
                run.answered.fetch_add(1, Ordering::SeqCst);
            }
            Err(what) => {
                // An outage is the only excuse.
                let after = run.outages.load(Ordering::SeqCst);
                assert!(after != before || after % 2 == 1, "{token}: {what}");
                *run.failed.lock().unwrap().entry(what).or_default() += 1;
                client = Client::new(front);
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// One request of a kind drawn by lot.
async fn one(client: &mut Client, random: &mut Random, token: u64) -> Result<(), String> {
    let upload = random.below(50_000);
    let (method, target, body) = match random.below(10) {
        0..=4 => ("GET", format!("/app/echo?token={token}"), None),
        5..=6 => (
            "POST",
            format!("/app/echo?token={token}"),
            Some(bytes(upload)),
        ),
        7 => ("GET", "/app/slow?ms=5&parts=3".to_owned(), None),
        _ => {
            let len = random.below(300_000);
            return download(client, len).await;
        }
    };
    let sent = body.as_ref().map(|body| sha256_hex(body));
    let upload = body.map_or(Body::None, Body::Full);
    let answer = client.try_request(method, &target, &[], upload).await;
    let answer = answer.map_err(|_| "no answer".to_owned())?;
    if answer.status != 200 {
        return Err(answer.status.as_u16().to_string());
    }
    let Ok(content) = answer.body else {
        return Err("an answer in part".into());
    };
    if target.starts_with("/app/slow") {
        assert_eq!(content, "part 0\npart 1\npart 2\n");
        return Ok(());
    }
    let seen: serde_json::Value = serde_json::from_slice(&content).unwrap();
    assert_eq!(seen["query"], format!("token={token}"));
    if let Some(sent) = sent {
        assert_eq!(seen["bodySha256"], sent, "{token}");
    }
    Ok(())
}

async fn download(client: &mut Client, len: usize) -> Result<(), String> {
    let target = format!("/app/bytes?n={len}&len=1");
    let answer = client.try_request("GET", &target, &[], Body::None).await;
    let answer = answer.map_err(|_| "no answer".to_owned())?;
    if answer.status != 200 {
        return Err(answer.status.as_u16().to_string());
    }
    let content = answer.body.map_err(|_| "an answer in part".to_owned())?;
    assert!(content == bytes(len), "{len} bytes are others");
    Ok(())
}

/// A client that stops in the middle of what it sends, or does not read what it asked for.
async fn dawdle(front: SocketAddr, run: Arc<Run>, seed: u64) {
    let mut random = Random::new(seed);
    while !run.over.load(Ordering::SeqCst) {
        let Ok(mut stream) = TcpStream::connect(front).await else {
            sleep(Duration::from_millis(100)).await;
            continue;
        };
        let request: &[u8] = match random.below(3) {
            0 => b"GET /app/echo HTTP/1.1\r\nHos",
            1 => b"POST /app/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf",
            _ => b"GET /app/bytes?n=3000000 HTTP/1.1\r\nHost: a\r\n\r\n",
        };
        // The gateway may have had enough of it.
        let _ = stream.write_all(request).await;
        let _ = timeout(Duration::from_millis(700), stream.read(&mut [0; 64])).await;
        sleep(Duration::from_millis(200 + random.below(1500) as u64)).await;
    }
}

/// Memory of a process, in bytes.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: u64 = line
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap();
    kib << 10
}

/// Sockets of a process.
fn sockets(pid: u32) -> usize {
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let targets = files.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    let is_socket = |target: &std::path::PathBuf| target.to_string_lossy().starts_with("socket:");
    targets.filter(is_socket).count()
}
