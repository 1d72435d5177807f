//! The hot standby serves while all other nodes are out, and only then.

use std::time::Duration;

use tokio::time::timeout;

use super::front::Front;
use super::load::watch_for;
use super::report::Report;
use super::support::replication::Cluster;
use super::visitor::{By, Visitor, new_sessions};
use super::{ROUTES, STANDBY};

const LIMIT: Duration = Duration::from_secs(60);
const SESSIONS: usize = 50;

pub async fn serves_only_alone(cluster: &mut Cluster, report: &mut Report) {
    let front = Front::start(report.kind, cluster, [1, 1]).await;
    let mut visitors = Vec::new();
    for _ in 0..10 {
        visitors.push(Visitor::with_session(front.addr(), By::Cookie).await);
    }
    let [one, two, _] = ROUTES;
    both_and_none(&front, report, "standby: new sessions, all up", &[one, two]).await;

    cluster.kill_9(one);
    visit(&mut visitors, report, "without jvm1", Some(two)).await;
    both_and_none(&front, report, "standby: new sessions without jvm1", &[two]).await;

    cluster.kill_9(two);
    visit(&mut visitors, report, "alone", Some(STANDBY)).await;
    both_and_none(
        &front,
        report,
        "standby: new sessions, it alone",
        &[STANDBY],
    )
    .await;

    cluster.restart(one).await;
    let noticed = timeout(LIMIT, watch_for(front.addr(), one)).await;
    report.expect(noticed.is_ok(), || "jvm1 is never noticed".to_owned());
    let what = "standby: new sessions, jvm1 is back";
    both_and_none(&front, report, what, &[one]).await;
    visit(&mut visitors, report, "jvm1 is back", None).await;

    cluster.restart(two).await;
    cluster.meet().await;
}

/// New sessions are all begun, and on these nodes only.
async fn both_and_none(front: &Front, report: &mut Report, what: &'static str, on: &[&str]) {
    let shares = new_sessions(front.addr(), SESSIONS).await;
    report.say(what, &shares);
    report.expect(shares.all_on(on), || {
        format!("{what}: {shares}, not {on:?}")
    });
}

/// The sessions from the beginning go on.
async fn visit(visitors: &mut [Visitor], report: &mut Report, when: &str, on: Option<&str>) {
    for visitor in visitors {
        let steps = visitor.get("/cart/").await;
        report.expect(steps.is_ok(), || format!("session, {when}: {steps:?}"));
        let node = &visitor.node;
        report.expect(on.is_none_or(|on| node == on), || {
            format!("session, {when}: on {node}")
        });
    }
}
