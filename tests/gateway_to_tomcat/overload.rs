//! Twice as many requests as Tomcat's threads can serve, through the gateway with an adaptive
//! limit, and beside it through httpd with `mod_proxy_ajp` and with `mod_jk`.
//!
//! A short run by default; the one of the documentation:
//!
//! ```text
//! AJP_OVERLOAD_SECONDS=60 cargo nextest run --all-features --test gateway_to_tomcat \
//!     -E 'test(overload)' --no-capture
//! ```

use super::support::gateway::Gateway;
use super::support::http1::{Body, Client};
use super::support::httpd::{Httpd, HttpdBuilder};
use super::support::tomcat::{SECRET, Tomcat};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

const THREADS: u32 = 10;
const WORK: Duration = Duration::from_millis(200);
/// How long a visitor waits before giving up.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it goes on before anything is counted: limits and queues settle.
const WARM: Duration = Duration::from_secs(4);

/// What one front made of the load.
struct Outcome {
    front: &'static str,
    /// Answers, as a part of what the container can give in this time.
    goodput: f64,
    refused: usize,
    /// Visitors that gave up.
    gave_up: usize,
    p50: Duration,
    p99: Duration,
    unloaded: Duration,
}

/// How a visitor fared.
enum Visit {
    Served(Duration),
    Refused,
    GaveUp,
}

async fn visit(front: SocketAddr) -> Visit {
    let start = Instant::now();
    let mut client = Client::new(front);
    let asked = client.try_request("GET", "/app/sleep?ms=200", &[], Body::None);
    match timeout(PATIENCE, asked).await {
        Ok(Ok(answer)) if answer.status == 200 => Visit::Served(start.elapsed()),
        Ok(_) => Visit::Refused,
        Err(_) => Visit::GaveUp,
    }
}

/// A visitor every 10 ms, whatever becomes of those before.
async fn load(front: &'static str, address: SocketAddr, seconds: u32) -> Outcome {
    let mut alone = Vec::new();
    for _ in 0..8 {
        match visit(address).await {
            Visit::Served(took) => alone.push(took),
            Visit::Refused | Visit::GaveUp => panic!("{front} does not serve"),
        }
    }
    // The first ones wait for servlet and connection to be made.
    alone.sort();
    let unloaded = alone[alone.len() / 2];
    let warm = Instant::now() + WARM;
    let end = warm + Duration::from_secs(seconds.into());
    let mut ticks = interval(WORK / THREADS / 2);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut visits = Vec::new();
    while ticks.tick().await < end {
        visits.push(tokio::spawn(async move {
            (visit(address).await, Instant::now())
        }));
    }
    sleep_until(end).await;
    let (mut served, mut refused, mut gave_up) = (Vec::new(), 0, 0);
    for one in visits {
        let (visit, at) = one.await.unwrap();
        if at < warm || at >= end {
            continue;
        }
        match visit {
            Visit::Served(took) => served.push(took),
            Visit::Refused => refused += 1,
            Visit::GaveUp => gave_up += 1,
        }
    }
    served.sort();
    let part = |percent: usize| served.get(served.len() * percent / 100).copied();
    let capacity = f64::from(THREADS * seconds) / WORK.as_secs_f64();
    Outcome {
        front,
        goodput: f64::from(u32::try_from(served.len()).unwrap()) / capacity,
        refused,
        gave_up,
        p50: part(50).unwrap_or_default(),
        p99: part(99).unwrap_or_default(),
        unloaded,
    }
}

fn tomcat() -> impl Future<Output = Tomcat> {
    Tomcat::builder()
        .secret(SECRET)
        .max_threads(THREADS as usize)
        .start()
}

/// As many threads as httpd has by default.
fn httpd() -> HttpdBuilder {
    let threads = "ServerLimit 1\nThreadLimit 400\nThreadsPerChild 400\nMaxRequestWorkers 400";
    Httpd::builder().raw_global(threads)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn overload_beside_httpd_and_mod_jk() {
    let seconds = std::env::var("AJP_OVERLOAD_SECONDS");
    let seconds = seconds.map_or(6, |text| text.parse::<u32>().unwrap());
    let (ours, theirs, jks) = tokio::join!(tomcat(), tomcat(), tomcat());
    let config = format!(
        "[[balancer]]\nname = \"app\"\nsecret_file = \"secret\"\nmax_connections = 400\n\
         [balancer.adaptive_limit]\n\
         [[balancer.member]]\nurl = \"ajp://{}\"\n\
         [[map]]\npath = \"/\"\nto = \"balancer://app/\"\n",
        ours.ajp_addr()
    );
    let gateway = Gateway::start_with(&[("secret", SECRET)], &config).await;
    let params = format!("secret={SECRET}");
    let proxy = httpd().proxy_ajp("/app", theirs.ajp_addr(), &params);
    let proxy = proxy.start().await;
    let jk = httpd().mod_jk_worker(jks.ajp_addr(), &[&params]);
    let jk = jk.start().await;
    let (ours, theirs, jks) = tokio::join!(
        load("gateway", gateway.http, seconds),
        load("mod_proxy_ajp", proxy.http_addr(), seconds),
        load("mod_jk", jk.http_addr(), seconds),
    );
    println!("{THREADS} threads, {WORK:?} of work, twice what that can serve, for {seconds} s:");
    println!(
        "{:14} {:>8} {:>8} {:>8} {:>9} {:>9} {:>9} {:>6}",
        "front", "goodput", "refused", "gave up", "unloaded", "p50", "p99", "times"
    );
    for one in [&ours, &theirs, &jks] {
        println!(
            "{:14} {:>8.3} {:>8} {:>8} {:>7} ms {:>6} ms {:>6} ms {:>6.1}",
            one.front,
            one.goodput,
            one.refused,
            one.gave_up,
            one.unloaded.as_millis(),
            one.p50.as_millis(),
            one.p99.as_millis(),
            one.p99.as_secs_f64() / one.unloaded.as_secs_f64(),
        );
    }
    assert!(ours.goodput >= 0.95, "{}", ours.goodput);
    assert!(
        ours.p99 < ours.unloaded * 3,
        "{:?} {:?}",
        ours.p99,
        ours.unloaded
    );
    assert!(ours.refused > 0 && ours.gave_up == 0);
    // What the limit is for.
    for other in [&theirs, &jks] {
        assert!(
            ours.p99 < other.p99,
            "{}: {:?} {:?}",
            other.front,
            ours.p99,
            other.p99
        );
    }
}
