//! Members by the records of a name server, through the gateway: real Tomcats that come and go.

#[path = "../balancer/name_server.rs"]
#[allow(dead_code, reason = "some of it is for the library's own tests")]
mod name_server;

use super::support::gateway::Gateway;
use super::support::http1::{Body, Client};
use super::support::tomcat::{SECRET, Tomcat};
use name_server::{Answer, NameServer, hosts};
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// The records of these containers; the first part of a target's name is the route.
fn services(nodes: &[(&'static str, SocketAddr)]) -> Answer {
    let service = |&(target, address): &(&'static str, SocketAddr)| (0, 1, address.port(), target);
    Answer::Services(nodes.iter().map(service).collect())
}

fn config(name_server: SocketAddr, more: &str) -> String {
    format!(
        "[manager]\n[[balancer]]\nname = \"farm\"\nsecret_file = \"secret\"\nretry = \"1s\"\n\
         sticky = \"JSESSIONID|jsessionid\"\n\
         [balancer.discovery]\nsrv = \"_ajp._tcp.app.test\"\nname_servers = [\"{name_server}\"]\n\
         interval = \"100ms\"\nat_most = \"5s\"\n{more}\
         [[map]]\npath = \"/\"\nto = \"balancer://farm/\"\n"
    )
}

fn routes(status: &Value) -> Vec<String> {
    let members = status["balancers"][0]["members"].as_array().unwrap();
    let mut routes: Vec<String> = members
        .iter()
        .map(|member| member["route"].as_str().unwrap().to_owned())
        .collect();
    routes.sort();
    routes
}

/// Asks without a pause until it is to stop. How many answers there were, and the bad ones.
async fn visit(front: SocketAddr, stop: Arc<AtomicBool>) -> (usize, Vec<String>) {
    let mut client = Client::new(front);
    let (mut answers, mut bad) = (0, Vec::new());
    while !stop.load(Ordering::SeqCst) {
        match client
            .try_request("GET", "/app/hello", &[], Body::None)
            .await
        {
            Ok(answer) if answer.status == 200 && answer.text() == "Hello, AJP!\n" => answers += 1,
            Ok(answer) => bad.push(format!("{}", answer.status)),
            Err(error) => bad.push(error.to_string()),
        }
    }
    (answers, bad)
}

/// The gateway waits for the first members; then one is added and another one leaves, under load,
/// and no request fails.
#[tokio::test(flavor = "multi_thread")]
async fn tomcats_come_and_go_by_dns_and_no_request_fails() {
    let tomcat = |route| Tomcat::builder().secret(SECRET).route(route).start();
    let (mut one, two, three) = tokio::join!(tomcat("jvm1"), tomcat("jvm2"), tomcat("jvm3"));
    let [first, second, third] = [
        ("jvm1.local.test.", one.ajp_addr()),
        ("jvm2.local.test.", two.ajp_addr()),
        ("jvm3.local.test.", three.ajp_addr()),
    ];
    let server = NameServer::start(0, hosts(&[])).await;
    let config = config(server.address, "");
    let begin = Instant::now();
    let told = async {
        sleep(Duration::from_millis(1500)).await;
        server.say(services(&[first, second]));
    };
    let files = [("secret", SECRET)];
    let (mut gateway, ()) = tokio::join!(Gateway::start_with(&files, &config), told);
    assert!(begin.elapsed() >= Duration::from_millis(1500));
    // The first request of all finds members.
    let answer = gateway.client().get("/app/hello").await;
    assert_eq!(answer.status, 200);

    let stop = Arc::new(AtomicBool::new(false));
    let visitors = (0..8).map(|_| tokio::spawn(visit(gateway.http, Arc::clone(&stop))));
    let visitors: Vec<_> = visitors.collect();
    sleep(Duration::from_millis(500)).await;
    server.say(services(&[first, second, third]));
    gateway
        .wait_until("the third serves", |status| {
            let members = status["balancers"][0]["members"].as_array().unwrap();
            let mut third = members.iter().filter(|member| member["route"] == "jvm3");
            third.any(|member| member["answered"].as_u64() > Some(20))
        })
        .await;
    server.say(services(&[second, third]));
    gateway
        .wait_until("the first is gone", |status| {
            routes(status) == ["jvm2", "jvm3"]
        })
        .await;
    // It has left before it stops, which is what a deployment waits for.
    tokio::task::block_in_place(|| one.stop());
    // A name server that fails changes nothing.
    server.say(Answer::Code(hickory_proto::op::ResponseCode::ServFail));
    gateway
        .wait_for_log("the name server says Server Failure")
        .await;
    sleep(Duration::from_millis(700)).await;
    server.task.abort();
    sleep(Duration::from_millis(300)).await;
    assert_eq!(routes(&gateway.status().await), ["jvm2", "jvm3"]);
    stop.store(true, Ordering::SeqCst);
    let mut all = 0;
    for visitor in visitors {
        let (answers, bad) = visitor.await.unwrap();
        assert_eq!(bad, [""; 0], "after {answers} answers");
        all += answers;
    }
    println!("{all} requests while Tomcats came and went, 0 failed");
    assert!(all > 200, "{all}");
    assert_eq!(
        gateway.status().await["balancers"][0]["members"][0]["failed"],
        0
    );
}

/// No member is found: the gateway starts all the same, says so, and serves as soon as one is.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_without_members_starts_after_a_while() {
    let tomcat = Tomcat::shared().await;
    let server = NameServer::start(0, hosts(&[])).await;
    let begin = Instant::now();
    let mut gateway = Gateway::start_with(
        &[("secret", SECRET)],
        &config(server.address, "first_set = \"1s\"\n"),
    )
    .await;
    assert!(begin.elapsed() >= Duration::from_secs(1));
    gateway
        .wait_for_log("balancer farm: no member was found within 1s")
        .await;
    assert_eq!(gateway.client().get("/app/hello").await.status, 503);
    server.say(services(&[("jvm1.local.test.", tomcat.ajp_addr())]));
    gateway
        .wait_until("a member", |status| routes(status) == ["jvm1"])
        .await;
    assert_eq!(gateway.client().get("/app/hello").await.status, 200);
}
