//! The node that serves is killed under load, and comes back.

use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::RETRY;
use super::front::{Front, Kind};
use super::load::{Load, watch_for};
use super::report::Report;
use super::support::http1::{Body, Client};
use super::support::pattern;
use super::support::replication::Cluster;
use super::support::tomcat::Tomcat;
use super::visitor::{By, Steps, Visitor, Wrong, new_sessions};

const VICTIM: &str = "jvm1";
/// How long the machine may take beyond the retry time; no more than that a return is noticed
/// soon can be told on a real clock.
const TOLERANCE: Duration = Duration::from_secs(5);
const LIMIT: Duration = Duration::from_secs(60);
/// Requests of each kind that are in flight at the kill.
const EACH: usize = 3;
const BODY: usize = 3000;

/// The kinds of requests in flight: the line of the table, method, target, whether it has a
/// body, and whether it may be sent to another node.
const KINDS: [(&str, &str, &str, bool, Promise); 4] = [
    (
        "kill -9, in flight: GET answered",
        "GET",
        "/cart/hold",
        false,
        Promise::Answer,
    ),
    (
        "kill -9, in flight: GET with query answered",
        "GET",
        "/cart/hold?item=7",
        false,
        Promise::Answer,
    ),
    (
        "kill -9, in flight: PUT with body answered",
        "PUT",
        "/cart/hold",
        true,
        Promise::Nothing,
    ),
    (
        "kill -9, in flight: POST answered (sent twice)",
        "POST",
        "/cart/hold",
        true,
        Promise::NoAnswer,
    ),
];

/// What the gateway promises of a request in flight.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Promise {
    /// Another node answers it.
    Answer,
    /// It may fail: its body was sent.
    Nothing,
    /// No other node sees it; so no front may have an answer.
    NoAnswer,
}

pub async fn loses_nothing(cluster: &mut Cluster, report: &mut Report) {
    let front = Front::start(report.kind, cluster, [1, 1]).await;
    let (mut held, mut others) = (Vec::new(), Vec::new());
    while others.len() < 10 || held.len() < KINDS.len() * EACH {
        let visitor = Visitor::with_session(front.addr(), By::Cookie).await;
        if visitor.node == VICTIM && held.len() < KINDS.len() * EACH && others.len() > 4 {
            held.push(visitor);
        } else if others.len() < 10 {
            others.push(visitor);
        }
    }
    let visitors = others.len() + held.len();

    let load = Load::start(others);
    let held = hold(cluster.node(VICTIM), held).await;
    let posts = posts(cluster).await;
    cluster.kill_9(VICTIM);
    let mut survivors = Vec::new();
    for ((what, method, _, _, promise), requests) in KINDS.into_iter().zip(held) {
        let mut answered = 0;
        for request in requests {
            let (visitor, outcome) = request.await.unwrap();
            answered += usize::from(outcome.is_ok());
            survivors.push(visitor);
        }
        report.say(what, format!("{answered} of {EACH}"));
        let kept = match promise {
            Promise::Answer => report.kind == Kind::Httpd || answered == EACH,
            Promise::Nothing => true,
            Promise::NoAnswer => answered == 0,
        };
        report.expect(kept, || {
            format!("{answered} {method} of {EACH} answered: {what}")
        });
    }
    // So that every visitor comes to feel it.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (others, tally) = load.stop().await;
    let again = self::posts(cluster).await - posts;
    report.expect(again == 0, || {
        format!("{again} POSTs were given to another node")
    });

    let mut lost = tally.lost.clone();
    for visitor in &mut survivors {
        match visitor.get("/cart/").await {
            Ok(_) => {}
            Err(wrong) => lost.push(format!("{wrong:?}")),
        }
    }
    let failed = tally.failures();
    let of = tally.asked;
    report.say(
        "kill -9, load: GETs failed",
        format!(
            "{failed} of {of}, {} with query",
            tally.failed_with_query.len()
        ),
    );
    report.say(
        "kill -9: sessions lost",
        format!("{} of {visitors}", lost.len()),
    );
    report.expect(lost.is_empty(), || format!("sessions lost: {lost:?}"));
    let promised = report.kind != Kind::Httpd;
    report.expect(!promised || failed == 0, || {
        format!(
            "failed under load: {:?} {:?}",
            tally.failed, tally.failed_with_query
        )
    });
    report.expect(of > 100, || format!("that was no load: {of} requests"));

    comes_back(cluster, report, &front, others).await;
}

/// Sends requests of each kind that the victim holds back, and waits until it has them.
async fn hold(victim: &Tomcat, visitors: Vec<Visitor>) -> Vec<Vec<Held>> {
    let mut direct = Client::new(victim.http_addr());
    direct.get("/cart/node?hold").await;
    let mut visitors = visitors.into_iter();
    let mut held = Vec::new();
    for (_, method, target, has_body, _) in KINDS {
        let requests = visitors.by_ref().take(EACH).map(|mut visitor| {
            tokio::spawn(async move {
                let body = has_body.then(|| Body::Full(pattern::bytes(BODY)));
                let body = body.unwrap_or(Body::None);
                let outcome = visitor.send(method, target, body).await;
                (visitor, outcome)
            })
        });
        held.push(requests.collect());
    }
    let all = KINDS.len() * EACH;
    let end = Instant::now() + LIMIT;
    while direct.get("/cart/node").await.json()["held"] != all {
        assert!(Instant::now() < end, "the {all} requests do not arrive");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    held
}

type Held = JoinHandle<(Visitor, Result<Steps, Wrong>)>;

/// How many POSTs the other nodes have begun to work on.
async fn posts(cluster: &Cluster) -> u64 {
    let mut sum = 0;
    let nodes = cluster.nodes().iter();
    for node in nodes.filter(|node| node.route() != Some(VICTIM)) {
        let seen = Client::new(node.http_addr()).get("/cart/node").await.json();
        sum += seen["posts"].as_u64().unwrap();
    }
    sum
}

/// The victim serves new sessions soon after it is there again, and the others feel nothing.
async fn comes_back(
    cluster: &mut Cluster,
    report: &mut Report,
    front: &Front,
    visitors: Vec<Visitor>,
) {
    let load = Load::start(visitors);
    let noticed = watch_for(front.addr(), VICTIM);
    cluster.restart(VICTIM).await;
    let ready = Instant::now();
    let noticed = timeout(LIMIT, noticed).await;
    let noticed = noticed.expect("the return is never noticed").unwrap();
    let after = noticed.saturating_duration_since(ready);
    let (_, tally) = load.stop().await;
    report.say(
        "return: first new session after",
        format!("{:.1} s", after.as_secs_f64()),
    );
    report.expect(after <= RETRY + TOLERANCE, || {
        format!("the return was noticed after {after:?}")
    });
    report.say(
        "return: GETs failed, slowest",
        format!(
            "{} of {}, {:.1} s",
            tally.failures(),
            tally.asked,
            tally.slowest.as_secs_f64()
        ),
    );
    report.expect(tally.lost.is_empty(), || {
        format!("sessions lost at the return: {:?}", tally.lost)
    });
    let promised = report.kind != Kind::Httpd;
    report.expect(!promised || tally.failures() == 0, || {
        format!("failed at the return: {tally:?}")
    });
    let shares = new_sessions(front.addr(), 100).await;
    report.say("return: new sessions", &shares);
    // More than its half, since the running sessions count and all are on other nodes.
    report.expect(shares.of(VICTIM) >= 48 && shares.wrong.is_empty(), || {
        format!("after the return: {shares}")
    });
    cluster.meet().await;
}
