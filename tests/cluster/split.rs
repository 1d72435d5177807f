//! How requests are spread while all nodes are well.

use super::ROUTES;
use super::front::Front;
use super::report::Report;
use super::support::replication::Cluster;
use super::visitor::{By, Visitor, new_sessions};

const SESSIONS: usize = 1000;

pub async fn by_requests(cluster: &Cluster, report: &mut Report) {
    split(cluster, report, [1, 1], "new sessions at weights 1 : 1").await;
}

pub async fn by_weight(cluster: &Cluster, report: &mut Report) {
    split(cluster, report, [3, 1], "new sessions at weights 3 : 1").await;
}

/// Within 2 percent of the weights, and none on the standby.
async fn split(cluster: &Cluster, report: &mut Report, weights: [u32; 2], what: &'static str) {
    let front = Front::start(report.kind, cluster, weights).await;
    let shares = new_sessions(front.addr(), SESSIONS).await;
    report.say(what, &shares);
    report.expect(shares.wrong.is_empty(), || {
        format!("{what}: {:?}", shares.wrong)
    });
    let sum: u32 = weights.iter().sum();
    let weights = weights.into_iter().chain([0]);
    for (node, weight) in cluster.nodes().iter().zip(weights) {
        let route = node.route().unwrap();
        let due = SESSIONS * weight as usize / sum as usize;
        let (least, most) = match due {
            0 => (0, 0),
            _ => (due - SESSIONS / 50, due + SESSIONS / 50),
        };
        let got = shares.of(route);
        report.expect((least..=most).contains(&got), || {
            format!("{what}: {route} got {got}, not {least} to {most}")
        });
        let elected = front.elected(node).await;
        report.expect(elected == got as u64, || {
            format!("{what}: {route} served {got}, and {elected} says the manager")
        });
    }
}

/// 100 sessions of 20 requests, half of them by cookie, half by path parameter.
pub async fn sessions_stay(cluster: &Cluster, report: &mut Report) {
    const REQUESTS: usize = 20;
    let front = Front::start(report.kind, cluster, [1, 1]).await;
    let addr = front.addr();
    // One after the other, since requests of running sessions shift whose turn it is.
    let mut groups = Vec::new();
    for group in 0..10 {
        let by = if group % 2 == 0 { By::Cookie } else { By::Path };
        let mut visitors = Vec::new();
        for _ in 0..10 {
            visitors.push(Visitor::with_session(addr, by).await);
        }
        groups.push(visitors);
    }
    let groups = groups.into_iter().map(|mut visitors| {
        tokio::spawn(async move {
            let mut moved = Vec::new();
            for _ in 1..REQUESTS {
                for visitor in &mut visitors {
                    let home = visitor.node.clone();
                    let steps = visitor.get("/cart/page?a=b").await;
                    if steps != Ok(1) || visitor.node != home {
                        moved.push(format!("{home} to {}: {steps:?}", visitor.node));
                    }
                }
            }
            moved
        })
    });
    let mut moved = Vec::new();
    for group in groups.collect::<Vec<_>>() {
        moved.extend(group.await.unwrap());
    }
    report.say(
        "100 sessions of 20 requests: not on their node",
        moved.len(),
    );
    report.expect(moved.is_empty(), || format!("sessions moved: {moved:?}"));
    let mut served = Vec::new();
    for node in cluster.nodes() {
        served.push(front.elected(node).await);
    }
    report.expect(served == [1000, 1000, 0], || {
        format!("sticky requests of {ROUTES:?}: {served:?}")
    });
}
