//! One pool, one real Tomcat, and requests of every kind for a while: nothing may grow, and
//! every answer must belong to its request.
//!
//! `AJP_SOAK_SECONDS=600 tests/run --test client_soak --no-capture` runs it for ten minutes
//! and prints what happened; without the variable it takes a few seconds.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "in a test a panic is the report"
)]

#[path = "../support/mod.rs"]
mod support;

use ajp::Secret;
use ajp::client::{Address, Client, ClientError, ErrorKind, Pool, PoolConfig};
use bytes::Bytes;
use futures_util::stream;
use http::{Method, Request};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, Full, StreamBody, combinators::BoxBody};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use support::pattern::{bytes, sha256_hex};
use support::random::Random;
use support::tomcat::{SECRET, Tomcat};
use tokio::task::JoinSet;

const WORKERS: u64 = 32;
const CONNECTIONS: usize = 16;
/// What memory may grow by after the first third of the run, in bytes.
const SLACK: u64 = 8 << 20;

type Body = BoxBody<Bytes, Infallible>;

#[derive(Default)]
struct Run {
    over: AtomicBool,
    /// Odd while Tomcat is away.
    outages: AtomicU64,
    done: Mutex<BTreeMap<&'static str, u64>>,
    errors: Mutex<BTreeMap<String, u64>>,
}

impl Run {
    fn count(&self, what: &'static str) {
        *self.done.lock().unwrap().entry(what).or_default() += 1;
    }

    fn total(&self) -> u64 {
        self.done.lock().unwrap().values().sum()
    }
}

fn duration() -> Duration {
    let seconds = std::env::var("AJP_SOAK_SECONDS").map_or(12, |text| text.parse().unwrap());
    Duration::from_secs(seconds)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_grows_and_nothing_is_mixed_up() {
    let mut tomcat = Tomcat::builder().start().await;
    let config = PoolConfig::default()
        .with_secret(Secret::new(SECRET).unwrap())
        .with_max_connections(CONNECTIONS)
        .with_max_requests(50);
    let pool = Pool::new(Address::from(tomcat.ajp_addr()), config);
    let client = Client::for_own_requests(pool);
    let sockets_before = open_sockets();
    let run = Arc::new(Run::default());
    let mut workers = JoinSet::new();
    for seed in 1..=WORKERS {
        workers.spawn(work(client.clone(), Arc::clone(&run), seed));
    }

    let third = duration() / 3;
    tokio::time::sleep(third).await;
    let (early, begun) = (resident(), run.total());
    for _ in 0..2 {
        // All connections break at once, and Tomcat comes back.
        run.outages.fetch_add(1, Ordering::SeqCst);
        tomcat.kill_9();
        tomcat.restart().await;
        run.outages.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(third).await;
    }
    run.over.store(true, Ordering::SeqCst);
    let stop = Instant::now();
    while let Some(worker) = workers.join_next().await {
        worker.unwrap();
    }
    assert!(stop.elapsed() < Duration::from_secs(30), "a caller hangs");

    let (late, total, stats) = (resident(), run.total(), client.pool().stats());
    println!(
        "{total} requests: {:?}\nerrors while Tomcat was away: {:?}\n\
         resident {} KiB after {begun} requests, {} KiB at the end\n{stats:#?}",
        run.done.lock().unwrap(),
        run.errors.lock().unwrap(),
        early >> 10,
        late >> 10,
    );
    assert_eq!((stats.in_use, stats.waiting), (0, 0));
    assert!(stats.idle <= CONNECTIONS);
    assert_eq!(open_sockets() - sockets_before, stats.idle);
    assert!(total > begun, "it went on after the outages");
    assert!(late < early + SLACK, "{early} {late}");
    // The pool is whole: all its places can be had at the same time.
    let mut places = Vec::new();
    for _ in 0..CONNECTIONS {
        places.push(client.pool().acquire().await.unwrap());
    }
    drop((places, client));
    assert_eq!(open_sockets(), sockets_before);
}

async fn work(client: Client, run: Arc<Run>, seed: u64) {
    let mut random = Random::new(seed);
    let mut token = seed << 32;
    while !run.over.load(Ordering::SeqCst) {
        token += 1;
        let before = run.outages.load(Ordering::SeqCst);
        let (what, result) = one(&client, &mut random, token).await;
        match result {
            Ok(()) => run.count(what),
            Err(error) => {
                // An outage is the only excuse.
                let after = run.outages.load(Ordering::SeqCst);
                assert!(after != before || after % 2 == 1, "{what}: {error:?}");
                let expected = [
                    ErrorKind::Connect,
                    ErrorKind::Closed,
                    ErrorKind::Read,
                    ErrorKind::Write,
                ];
                assert!(expected.contains(&error.kind()), "{what}: {error:?}");
                *run.errors
                    .lock()
                    .unwrap()
                    .entry(format!("{:?}", error.kind()))
                    .or_default() += 1;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

/// One request of a kind drawn by lot.
async fn one(
    client: &Client,
    random: &mut Random,
    token: u64,
) -> (&'static str, Result<(), ClientError>) {
    match random.below(20) {
        0..=8 => (
            "get",
            echo(client, Method::GET, token, Empty::new().boxed(), b"").await,
        ),
        9..=11 => {
            let body = bytes(random.below(50_000));
            let upload = Full::new(body.clone()).boxed();
            (
                "post",
                echo(client, Method::POST, token, upload, &body).await,
            )
        }
        12..=13 => {
            let body = bytes(random.below(50_000));
            let pieces: Vec<_> = body
                .chunks(1 + random.below(9000))
                .map(|piece| Ok(Frame::data(Bytes::copy_from_slice(piece))))
                .collect();
            let upload = StreamBody::new(stream::iter(pieces)).boxed();
            (
                "chunked",
                echo(client, Method::PUT, token, upload, &body).await,
            )
        }
        14 => {
            // Given up at some point.
            let body = Full::new(bytes(random.below(50_000))).boxed();
            let limit = Duration::from_micros(random.below(30_000) as u64);
            let request = echo(client, Method::POST, token, body, b"unknown");
            match tokio::time::timeout(limit, std::pin::pin!(async { request.await.err() })).await {
                Ok(Some(error)) => ("given up", Err(error)),
                _ => ("given up", Ok(())),
            }
        }
        15..=16 => (
            "download",
            download(client, random.below(400_000), None).await,
        ),
        17 => {
            let len = 50_000 + random.below(400_000);
            (
                "dropped",
                download(client, len, Some(random.below(len))).await,
            )
        }
        _ => ("slow", slow(client).await),
    }
}

fn request(method: Method, uri: &str, body: Body) -> Request<Body> {
    let request = Request::builder().method(method).uri(uri);
    request.header("host", "app.example").body(body).unwrap()
}

/// A request that Tomcat answers with what it was sent. A body that is `unknown` is not
/// compared.
async fn echo(
    client: &Client,
    method: Method,
    token: u64,
    body: Body,
    sent: &[u8],
) -> Result<(), ClientError> {
    let uri = format!("/app/echo?token={token}");
    let response = client.send(request(method, &uri, body)).await?;
    assert_eq!(response.status(), 200);
    let answer = response.into_body().collect().await?.to_bytes();
    let seen: serde_json::Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(seen["query"], format!("token={token}"));
    if sent != b"unknown" {
        assert_eq!(seen["bodySha256"], sha256_hex(sent), "{token}");
    }
    Ok(())
}

/// A download, which is dropped when so many bytes have come.
async fn download(client: &Client, len: usize, until: Option<usize>) -> Result<(), ClientError> {
    let uri = format!("/app/bytes?n={len}&len=1");
    let response = client
        .send(request(Method::GET, &uri, Empty::new().boxed()))
        .await?;
    assert_eq!(response.status(), 200);
    let expected = bytes(len);
    let mut body = response.into_body();
    let mut received = 0;
    while let Some(frame) = body.frame().await {
        let data = frame?.into_data().unwrap();
        assert_eq!(data, expected[received..received + data.len()]);
        received += data.len();
        if until.is_some_and(|until| received > until) {
            return Ok(());
        }
    }
    assert_eq!(received, len);
    Ok(())
}

/// Three parts, flushed one by one.
async fn slow(client: &Client) -> Result<(), ClientError> {
    let request = request(Method::GET, "/app/slow?ms=5&parts=3", Empty::new().boxed());
    let response = client.send(request).await?;
    let answer = response.into_body().collect().await?.to_bytes();
    assert_eq!(answer, "part 0\npart 1\npart 2\n");
    Ok(())
}

/// Memory of this process, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: u64 = line
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap();
    kib << 10
}

/// Sockets of this process.
fn open_sockets() -> usize {
    std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok())
        .filter(|target| target.to_string_lossy().starts_with("socket:"))
        .count()
}
