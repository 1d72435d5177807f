//! A node that is to be taken out of service keeps its sessions and gets no new ones.

use super::front::Front;
use super::report::Report;
use super::support::replication::Cluster;
use super::visitor::{By, Visitor, new_sessions};

pub async fn moves_no_session(cluster: &Cluster, report: &mut Report) {
    let front = Front::start(report.kind, cluster, [1, 1]).await;
    let mut visitors = Vec::new();
    for _ in 0..40 {
        visitors.push(Visitor::with_session(front.addr(), By::Cookie).await);
    }
    let homes: Vec<_> = visitors
        .iter()
        .map(|visitor| visitor.node.clone())
        .collect();
    report.expect(homes.iter().any(|home| home == "jvm1"), || {
        format!("no session to keep: {homes:?}")
    });

    front.drain(cluster.node("jvm1"), true).await;
    let shares = new_sessions(front.addr(), 100).await;
    report.say("new sessions while jvm1 drains", &shares);
    report.expect(shares.all_on(&["jvm2"]), || {
        format!("jvm1 drains, and new sessions went {shares}")
    });
    let mut moved = 0;
    for _ in 0..5 {
        for (visitor, home) in visitors.iter_mut().zip(&homes) {
            let steps = visitor.get("/cart/").await;
            if steps != Ok(1) || visitor.node != *home {
                moved += 1;
            }
        }
    }
    report.say(
        "40 sessions while jvm1 drains: requests off their node",
        moved,
    );
    report.expect(moved == 0, || {
        format!("the drain moved or lost sessions: {moved} requests")
    });

    front.drain(cluster.node("jvm1"), false).await;
    let shares = new_sessions(front.addr(), 100).await;
    report.say("new sessions after the drain", &shares);
    report.expect(shares.of("jvm1") > 0 && shares.wrong.is_empty(), || {
        format!("the drain is over, and new sessions went {shares}")
    });
}
