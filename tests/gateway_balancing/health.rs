//! Whether the gateway is alive and ready, on a listener of its own.

use crate::api::ask;
use crate::container::{Container, member};
use crate::support::gateway::Gateway;
use crate::support::http1::Client;
use crate::support::ports;
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn alive_and_ready_with_reasons() {
    let (a, b) = (Container::start("a").await, Container::start("b").await);
    let health = ports::free_addr();
    let dead = member("ajp://127.0.0.1:1", "c", "");
    let config = format!(
        "[manager]\ntoken_file = \"token\"\nhealth_listen = \"{health}\"\n\
         [[balancer]]\nname = \"x\"\n{}{dead}[[balancer]]\nname = \"y\"\n{}\
         [[map]]\npath = \"/x\"\nto = \"balancer://x/\"\n\
         [[map]]\npath = \"/y\"\nto = \"balancer://y/\"\n",
        a.member("status = \"+N\""),
        b.member("")
    );
    let mut gateway = Gateway::start_with(&[("token", crate::api::TOKEN)], &config).await;
    let mut client = Client::new(health);
    assert_eq!(client.get("/live").await.json(), json!({ "live": true }));
    assert_eq!(
        client.get("/ready").await.json(),
        json!({ "ready": true, "reasons": [] })
    );
    assert_eq!(client.get("/balancer-manager").await.status, 404);
    // One balancer is out: it is named, and the other one is served.
    assert_eq!(gateway.client().get("/x").await.status, 503);
    let answer = client.get("/ready").await;
    assert_eq!(answer.status, 200);
    let said = answer.json();
    let reason = said["reasons"][0].as_str().unwrap();
    assert!(reason.starts_with("x: no member serves: "), "{said}");
    assert!(reason.contains("is ok, flags N"), "{said}");
    assert!(
        reason.contains("; ajp://127.0.0.1:1 is ") && reason.ends_with(", cannot connect"),
        "{said}"
    );
    // Nobody serves anything.
    let off = json!({ "flags": "D" });
    assert_eq!(
        ask(&gateway, "PUT", "/balancers/y/members/b", off)
            .await
            .status,
        200
    );
    let answer = client.get("/ready").await;
    assert_eq!(
        (answer.status.as_u16(), &answer.json()["ready"]),
        (503, &Value::Bool(false))
    );
    assert_eq!(client.get("/live").await.status, 200);
    let on = json!({ "flags": "" });
    assert_eq!(
        ask(&gateway, "PUT", "/balancers/y/members/b", on)
            .await
            .status,
        200
    );
    // It ends what is running, and says so until that is done.
    let mut slow = gateway.client();
    let slow = tokio::spawn(async move { slow.get("/y?sleep=1500").await.status });
    gateway
        .wait_until("busy", |status| {
            status["balancers"][1]["members"][0]["busy"] == 1
        })
        .await;
    gateway.signal("TERM");
    gateway.wait_for_log("gateway: draining").await;
    let mut client = Client::new(health);
    let answer = client.get("/ready").await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_eq!(
        answer.json()["reasons"][0],
        "the gateway ends what is running"
    );
    assert_eq!(client.get("/live").await.status, 200);
    assert_eq!(slow.await.unwrap(), 200);
    tokio::time::timeout(
        Duration::from_secs(10),
        gateway.wait_for_log("gateway: done"),
    )
    .await
    .unwrap();
}
