//! A deployment: each node in turn is emptied by `ajp drain`, restarted and taken back, while
//! visitors go on asking.

use super::ROUTES;
use super::load::{Load, watch_for};
use super::support::gateway::{Gateway, binary};
use super::support::replication::Cluster;
use super::support::tomcat::SECRET;
use super::visitor::{By, Visitor};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

const TOKEN: &str = "a-token-for-the-pipeline";

/// How long sessions may go on before they move.
const PATIENCE: &str = "500ms";

async fn gateway(cluster: &Cluster) -> Gateway {
    let mut members = String::new();
    for node in cluster.nodes() {
        let (url, route) = (node.ajp_addr(), node.route().unwrap());
        write!(
            members,
            "[[balancer.member]]\nurl = \"ajp://{url}\"\nroute = \"{route}\"\n"
        )
        .unwrap();
    }
    let config = format!(
        "[manager]\ntoken_file = \"token\"\nstate_file = \"state.json\"\n\
         [[balancer]]\nname = \"lab\"\nsticky = \"JSESSIONID|jsessionid\"\n\
         secret_file = \"secret\"\nretry = \"1s\"\n{members}\
         [[map]]\npath = \"/cart\"\nto = \"balancer://lab/cart\"\n"
    );
    let files = [("token", TOKEN), ("secret", SECRET)];
    Gateway::start_with(&files, &config).await
}

/// What a pipeline runs.
async fn drain(gateway: &Gateway, arguments: &[&str]) {
    let url = format!("http://{}", gateway.manager.unwrap());
    let token = gateway.file("token");
    let output = tokio::process::Command::new(binary())
        .args(["drain", "--gateway", &url, "--token-file"])
        .arg(token)
        .args(arguments)
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_deployment_fails_no_request_and_loses_no_session() {
    let mut cluster = Cluster::start(&ROUTES).await;
    let gateway = gateway(&cluster).await;
    let start = Instant::now();
    let mut visitors = Vec::new();
    for number in 0..24 {
        let by = if number % 2 == 0 {
            By::Cookie
        } else {
            By::Path
        };
        visitors.push(Visitor::with_session(gateway.http, by).await);
    }
    let load = Load::start(visitors);
    for route in ROUTES {
        let target = format!("lab/{route}");
        drain(&gateway, &[&target, "--max", PATIENCE, "--then", "disable"]).await;
        let before = gateway.member(route).await;
        assert_eq!(
            (&before["busy"], &before["flags"]),
            (&0.into(), &"ND".into())
        );
        cluster.restart(route).await;
        cluster.meet().await;
        let after = gateway.member(route).await;
        assert_eq!(after["elected"], before["elected"], "it was out of service");
        drain(&gateway, &[&target, "--undo"]).await;
        let seen = watch_for(gateway.http, route);
        tokio::time::timeout(Duration::from_secs(10), seen)
            .await
            .unwrap()
            .unwrap();
    }
    let (_, tally) = load.stop().await;
    println!(
        "{} requests in {:?}, {} failed, {} sessions lost, slowest {:?}",
        tally.asked,
        start.elapsed(),
        tally.failures(),
        tally.lost.len(),
        tally.slowest
    );
    assert!(tally.asked > 500, "{}", tally.asked);
    assert_eq!(
        (tally.failures(), &tally.lost[..]),
        (0, &[][..]),
        "{tally:?}"
    );
}
