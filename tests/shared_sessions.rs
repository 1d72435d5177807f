//! Two containers whose sessions lie in Redis (the example `shared_sessions`), behind httpd and
//! behind `ajp gateway`: one is killed under load, and nobody loses a session.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "in a test a panic is the report"
)]

mod support;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use support::child::ChildGuard;
use support::gateway::Gateway;
use support::http1::{Body, Client};
use support::httpd::Httpd;
use support::{example, ports};
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(20);
const VISITORS: usize = 12;

/// A Redis that writes nothing to disk.
struct Redis {
    address: SocketAddr,
    _child: ChildGuard,
    _directory: TempDir,
}

impl Redis {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let address = ports::free_addr();
        let mut command = Command::new("redis-server");
        command
            .args(["--bind", "127.0.0.1", "--port", &address.port().to_string()])
            .args(["--save", "", "--appendonly", "no"]);
        let (path, log) = (directory.path(), directory.path().join("log"));
        let mut child = ChildGuard::spawn(command, "redis-server", path, log, Duration::ZERO);
        let ready = "Ready to accept connections";
        child.wait_for_log(ready, LIMIT).await.unwrap();
        Self {
            address,
            _child: child,
            _directory: directory,
        }
    }
}

struct Container {
    address: SocketAddr,
    child: ChildGuard,
    _directory: TempDir,
}

impl Container {
    async fn start(address: SocketAddr, route: &str, redis: &Redis) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new(example::binary("shared_sessions"));
        command.args([
            &address.to_string(),
            route,
            &format!("redis://{}", redis.address),
        ]);
        let (path, log) = (directory.path(), directory.path().join("log"));
        let mut child = ChildGuard::spawn(command, "cargo", path, log, Duration::ZERO);
        child.wait_for_log("ajp://", LIMIT).await.unwrap();
        Self {
            address,
            child,
            _directory: directory,
        }
    }
}

/// What all visitors saw.
#[derive(Default)]
struct Seen {
    requests: AtomicUsize,
    failed: AtomicUsize,
    /// Visits that were not one more than the last.
    lost: AtomicUsize,
    by_one: AtomicUsize,
    by_two: AtomicUsize,
}

/// Comes again and again with the same session, and counts along.
async fn visitor(site: SocketAddr, seen: Arc<Seen>, stop: Arc<AtomicBool>) {
    let mut client = Client::new(site);
    let mut cookie = String::new();
    let mut visits = 0;
    while !stop.load(Ordering::Relaxed) {
        let headers = [("cookie", &*cookie)];
        let headers = &headers[..usize::from(!cookie.is_empty())];
        let answer = client.request("GET", "/visits", headers, Body::None).await;
        seen.requests.fetch_add(1, Ordering::Relaxed);
        if answer.status == 200 {
            let json = answer.json();
            let now = json["visits"].as_u64().unwrap();
            // A request that was sent again may have been counted twice; a lost session begins
            // at 1.
            if now <= visits {
                seen.lost.fetch_add(1, Ordering::Relaxed);
            }
            visits = now;
            match json["by"].as_str().unwrap() {
                "one" => &seen.by_one,
                _ => &seen.by_two,
            }
            .fetch_add(1, Ordering::Relaxed);
            if let Some(line) = answer.header("set-cookie") {
                line.split(';').next().unwrap().clone_into(&mut cookie);
            }
        } else {
            seen.failed.fetch_add(1, Ordering::Relaxed);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (_, route) = cookie.split_once('.').unwrap();
    assert!(["one", "two"].contains(&route), "{cookie}");
}

/// How often each of the two has answered from now on.
async fn share(seen: &Seen, period: Duration) -> (usize, usize) {
    let count = || {
        let of = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        (of(&seen.by_one), of(&seen.by_two))
    };
    let before = count();
    tokio::time::sleep(period).await;
    let after = count();
    (after.0 - before.0, after.1 - before.1)
}

/// The story of one of the two containers, told by the visitors of this site.
async fn a_container_dies_and_comes_back(site: SocketAddr, mut one: Container, redis: &Redis) {
    let (seen, stop) = (Arc::new(Seen::default()), Arc::new(AtomicBool::new(false)));
    let visit = || tokio::spawn(visitor(site, Arc::clone(&seen), Arc::clone(&stop)));
    let mut visitors: Vec<_> = (0..VISITORS).map(|_| visit()).collect();
    let (by_one, by_two) = share(&seen, Duration::from_secs(2)).await;
    assert!(by_one > 0 && by_two > 0, "both serve: {by_one}, {by_two}");

    one.child.kill_9();
    // Whoever was under way has been answered by now.
    share(&seen, Duration::from_secs(1)).await;
    let (by_one, by_two) = share(&seen, Duration::from_secs(2)).await;
    assert!(
        by_one == 0 && by_two > 0,
        "the other took over: {by_one}, {by_two}"
    );

    let again = Container::start(one.address, "one", redis).await;
    // The web server tries it again after a second. Sessions that moved carry the other route
    // by now and stay there; new ones are spread.
    share(&seen, Duration::from_secs(2)).await;
    visitors.extend((0..VISITORS).map(|_| visit()));
    share(&seen, Duration::from_secs(1)).await;
    let (by_one, by_two) = share(&seen, Duration::from_secs(2)).await;
    assert!(by_one > 0 && by_two > 0, "it is back: {by_one}, {by_two}");
    stop.store(true, Ordering::Relaxed);
    for visitor in visitors {
        visitor.await.unwrap();
    }
    drop(again);

    let of = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
    let (requests, failed, lost) = (of(&seen.requests), of(&seen.failed), of(&seen.lost));
    println!("{requests} requests, {failed} failed, {lost} sessions lost");
    assert_eq!(lost, 0, "of {requests} requests");
    // At most those that were under way when it died.
    assert!(failed <= VISITORS, "{failed} of {requests}");
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_httpd() {
    let redis = Redis::start().await;
    let one = Container::start(ports::free_addr(), "one", &redis).await;
    let two = Container::start(ports::free_addr(), "two", &redis).await;
    let members = [
        (one.address, "route=one ping=1 retry=1"),
        (two.address, "route=two ping=1 retry=1"),
    ];
    let httpd = Httpd::builder()
        .proxy_balancer("/", &members, "stickysession=JSESSIONID")
        .start()
        .await;
    a_container_dies_and_comes_back(httpd.http_addr(), one, &redis).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_the_gateway() {
    let redis = Redis::start().await;
    let one = Container::start(ports::free_addr(), "one", &redis).await;
    let two = Container::start(ports::free_addr(), "two", &redis).await;
    let mut config = "\
[[map]]
path = \"/\"
to = \"balancer://app/\"
[[balancer]]
name = \"app\"
sticky = \"JSESSIONID\"
retry = \"1s\"
"
    .to_owned();
    for (route, container) in [("one", &one), ("two", &two)] {
        let address = container.address;
        write!(
            config,
            "[[balancer.member]]\nurl = \"ajp://{address}\"\nroute = \"{route}\"\n"
        )
        .unwrap();
    }
    let gateway = Gateway::start(&config).await;
    a_container_dies_and_comes_back(gateway.http, one, &redis).await;
}
