//! Changes that outlive a reload and a restart, and what ends them.

use crate::api::{ask, start, with_token};
use crate::balancing::{served, site};
use crate::container::{Container, member};
use crate::support::gateway::Gateway;
use serde_json::{Value, json};

const A: &str = "ajp://127.0.0.1:1";
const B: &str = "ajp://127.0.0.1:2";
const STATE: &str = "state_file = \"state.json\"\n";

fn members() -> String {
    member(A, "a", "weight = 2.0") + &member(B, "b", "")
}

async fn put(gateway: &Gateway, path: &str, body: Value) {
    let answer = ask(gateway, "PUT", path, body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

async fn reload(gateway: &mut Gateway, config: &str) {
    let before = gateway.log().matches("reloaded").count();
    gateway.rewrite(&with_token(config, STATE));
    gateway.signal("HUP");
    while gateway.log().matches("reloaded").count() == before {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!(!gateway.log().contains("not reloaded"), "{}", gateway.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_survive_a_restart_and_a_reload() {
    let c = Container::start("c").await;
    let config = site("", &members());
    let gateway = start(&config, STATE).await;
    put(
        &gateway,
        "/balancers/b/members/a",
        json!({ "weight": 5, "max_connections": 3 }),
    )
    .await;
    put(
        &gateway,
        "/balancers/b",
        json!({ "method": "bytraffic", "attempts": 4 }),
    )
    .await;
    let added = json!({ "url": c.url(), "route": "c", "set": 0 });
    let answer = ask(&gateway, "POST", "/balancers/b/members", added).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let answer = ask(&gateway, "DELETE", "/balancers/b/members/b", Value::Null).await;
    assert_eq!(answer.status, 200, "{}", answer.text());

    let mut gateway = gateway.restart().await;
    for round in ["restart", "reload"] {
        let state = ask(&gateway, "GET", "/state", Value::Null).await.json();
        let balancer = &state["balancers"][0];
        assert_eq!(state["state_file_problem"], Value::Null);
        assert_eq!(balancer["settings"]["method"], "bytraffic", "{round}");
        assert_eq!(balancer["settings"]["attempts"], 4, "{round}");
        let members = balancer["members"].as_array().unwrap();
        let routes: Vec<_> = members.iter().map(|member| &member["route"]).collect();
        assert_eq!(routes, ["a", "c"], "{round}");
        assert_eq!(members[0]["weight"], 5.0, "{round}");
        assert_eq!(members[0]["changed"], json!(["max_connections", "weight"]));
        assert_eq!(
            (&members[0]["pool"]["max"], &members[1]["added"]),
            (&3.into(), &true.into())
        );
        assert_eq!(served(&mut gateway.client(), "1.c").await, "c");
        reload(&mut gateway, &config).await;
    }
    // What is as configured again needs not be kept.
    put(
        &gateway,
        "/balancers/b/members/a",
        json!({ "weight": 2, "max_connections": 100 }),
    )
    .await;
    let kept: Value =
        serde_json::from_slice(&std::fs::read(gateway.file("state.json")).unwrap()).unwrap();
    assert_eq!(kept["version"], 1);
    assert_eq!(kept["balancers"]["b"]["members"], json!({}));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_configuration_wins_where_it_says_something_new() {
    let mut gateway = start(&site("", &members()), STATE).await;
    put(
        &gateway,
        "/balancers/b/members/a",
        json!({ "weight": 5, "set": 2 }),
    )
    .await;
    put(&gateway, "/balancers/b/members/b", json!({ "set": 1 })).await;
    // A new weight of the one; the other is gone.
    reload(&mut gateway, &site("", &member(A, "a", "weight = 7.0"))).await;
    let a = gateway.member("a").await;
    assert_eq!((&a["weight"], &a["set"]), (&7.0.into(), &2.into()));
    let log = gateway.log();
    for line in [
        format!("manager: b/{A}: weight: the change ends, the configuration says something new"),
        format!("manager: b/{B}: its changes end, it is not in the configuration any more"),
    ] {
        assert!(log.contains(&line), "{log}");
    }
    // It comes back as it is configured.
    reload(&mut gateway, &site("", &members())).await;
    assert_eq!(gateway.member("b").await["set"], 0);
    let gateway = gateway.restart().await;
    let a = gateway.member("a").await;
    assert_eq!((&a["weight"], &a["set"]), (&2.0.into(), &2.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_state_file_stops_nothing_and_is_named() {
    for (text, why) in [
        ("{\"version\": 1, \"balan", "EOF while parsing"),
        (
            "{\"version\": 9, \"balancers\": {}}",
            "has version 9, this program reads 1",
        ),
        ("{}", "has no version"),
        (
            "{\"version\": 1, \"balancers\": {}, \"x\": 1}",
            "unknown field `x`",
        ),
    ] {
        let token = format!("{}\n", crate::api::TOKEN);
        let files = [("token", &*token), ("state.json", text)];
        let config = with_token(&site("", &members()), STATE);
        let gateway = Gateway::start_with(&files, &config).await;
        assert!(gateway.says(why).await, "{}", gateway.log());
        let state = ask(&gateway, "GET", "/state", Value::Null).await.json();
        let problem = state["state_file_problem"].as_str().unwrap();
        assert!(
            problem.contains(why) && problem.contains("state.json.broken"),
            "{problem}"
        );
        assert_eq!(
            std::fs::read_to_string(gateway.file("state.json.broken")).unwrap(),
            text
        );
        // From here on changes are kept.
        put(&gateway, "/balancers/b/members/a", json!({ "set": 2 })).await;
        let gateway = gateway.restart().await;
        assert_eq!(gateway.member("a").await["set"], 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_cannot_be_kept_says_so() {
    let config = site("", &members());
    let gateway = start(&config, "state_file = \"nowhere/state.json\"\n").await;
    let answer = ask(
        &gateway,
        "PUT",
        "/balancers/b/members/a",
        json!({ "set": 2 }),
    )
    .await;
    assert_eq!(answer.status, 507);
    let text = answer.json()["error"]["text"].as_str().unwrap().to_owned();
    assert!(
        text.starts_with("the change is made, but cannot be kept: state file nowhere/"),
        "{text}"
    );
    assert_eq!(gateway.member("a").await["set"], 2);
}
