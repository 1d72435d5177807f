//! The classic cluster: Tomcats that share their sessions, behind one front. The same script
//! runs with httpd (`mod_proxy_balancer`, `mod_proxy_ajp`, `byrequests`) and with the gateway
//! example in front, and what came of it is printed side by side.
//!
//! A check holds for both fronts unless it says otherwise; what is only measured, or is only
//! promised by the gateway, is in the table for both.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    unreachable_pub,
    reason = "in a test a panic is the report"
)]
#![cfg(all(feature = "balancer", feature = "server"))]

mod deploy;
mod drain;
mod front;
mod load;
mod outage;
mod readme;
mod report;
mod split;
mod standby;
#[path = "../support/mod.rs"]
mod support;
mod visitor;

use front::Kind;
use report::{Report, Table};
use std::time::{Duration, Instant};
use support::replication::Cluster;

/// `jvmRoute` of each Tomcat; the last one is the hot standby.
const ROUTES: [&str; 3] = ["jvm1", "jvm2", "jvm3"];
const STANDBY: &str = "jvm3";

/// How long a member that failed is left alone, both fronts.
const RETRY: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
async fn one_script_behind_httpd_and_behind_the_gateway() {
    let mut cluster = Cluster::start(&ROUTES).await;
    let mut table = Table::default();
    for kind in [Kind::Httpd, Kind::Gateway] {
        table.add(script(&mut cluster, kind).await);
    }
    println!("{table}");
    table.judge();
}

/// Each check has a front of its own, which remembers nothing of the one before; after each
/// check all nodes are up.
async fn script(cluster: &mut Cluster, kind: Kind) -> Report {
    let mut report = Report::new(kind);
    let start = Instant::now();
    split::by_requests(cluster, &mut report).await;
    split::by_weight(cluster, &mut report).await;
    split::sessions_stay(cluster, &mut report).await;
    drain::moves_no_session(cluster, &mut report).await;
    outage::loses_nothing(cluster, &mut report).await;
    standby::serves_only_alone(cluster, &mut report).await;
    report.say("seconds", format!("{:.0}", start.elapsed().as_secs_f64()));
    report
}
