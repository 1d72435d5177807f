//! What changes while requests run: by the API, and by a reload, which changes balancers in place.

use crate::api::{ask, start, with_token};
use crate::balancing::{served, site};
use crate::container::{Container, member};
use crate::support::gateway::{Gateway, coded};
use crate::support::http1::Body;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const STATE: &str = "state_file = \"state.json\"\n";
const CHECKS: &str = "health = { check = \"cping\", interval = \"5s\" }";

async fn put(gateway: &Gateway, path: &str, body: Value) -> Value {
    let answer = ask(gateway, "PUT", path, body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// Reads this configuration; what the log says of it.
async fn reload(gateway: &mut Gateway, config: &str) -> String {
    let before = gateway.log().len();
    gateway.rewrite(config);
    gateway.signal("HUP");
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let said = gateway.log().split_off(before);
        let line = said.lines().find(|line| line.contains("reloaded"));
        if let Some(line) = line.filter(|_| said.ends_with('\n')) {
            return line.to_owned();
        }
        assert!(Instant::now() < end, "{said}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_sizes_and_rhythms_are_changed_and_kept() {
    let (a, b) = (Container::start("a").await, Container::start("b").await);
    let gateway = start(&site(CHECKS, &a.member("")), STATE).await;
    let this = "/balancers/b/members/a";
    let mut client = gateway.client();
    assert_eq!(client.get("/?sleep=1500").await.status, 200);
    let before = gateway.member("a").await;
    // A request that runs ends over the connection that it began with.
    let mut slow = gateway.client();
    let slow = tokio::spawn(async move { slow.get("/?sleep=1500").await.status });
    gateway
        .wait_until("busy", |status| {
            status["balancers"][0]["members"][0]["busy"] == 1
        })
        .await;
    let patch = json!({
        "response_head_timeout": 0.5, "connect_timeout": "2s", "request_timeout": null,
        "packet_size": 16384, "max_requests_per_connection": 7, "cping": "never",
        "upgrade": "http://127.0.0.1:9",
    });
    let changed = put(&gateway, this, patch).await["changed"].clone();
    assert_eq!(changed["packet_size"], json!({ "old": 8192, "new": 16384 }));
    assert_eq!(
        changed["connect_timeout"],
        json!({ "old": 5.0, "new": 2.0 })
    );
    assert_eq!(
        changed["upgrade"],
        json!({ "old": null, "new": "http://127.0.0.1:9" })
    );
    assert_eq!(changed.as_object().unwrap().len(), 6, "{changed}");
    let line = "packet_size 8192 -> 16384, response_head_timeout 60.0 -> 0.5, upgrade null -> \
                \"http://127.0.0.1:9\"\n";
    assert!(gateway.says(line).await, "{}", gateway.log());
    assert_eq!(
        client.get("/?sleep=1500").await.status,
        504,
        "the new limit holds"
    );
    assert_eq!(slow.await.unwrap(), 200, "and not for what runs");
    let after = gateway.member("a").await;
    assert!(
        after["elected"].as_u64() > before["elected"].as_u64(),
        "it is the same member"
    );

    let patch = json!({
        "retry": "3s", "max_timeouts": 4, "panic_threshold": 10, "probe_limit": null,
        "health_interval": 0.2, "health_fall": 5, "replay_bytes": 0,
    });
    let answer = put(&gateway, "/balancers/b", patch).await;
    assert_eq!(answer["changed"].as_object().unwrap().len(), 7, "{answer}");
    assert_eq!(
        answer["changed"]["retry"],
        json!({ "old": 10.0, "new": 3.0 })
    );
    let added = json!({ "url": b.url(), "route": "b", "packet_size": 9216, "upgrade": "http://127.0.0.1:8" });
    let answer = ask(&gateway, "POST", "/balancers/b/members", added).await;
    assert_eq!(answer.status, 201, "{}", answer.text());

    let gateway = gateway.restart().await;
    let state = ask(&gateway, "GET", "/balancers/b", Value::Null)
        .await
        .json();
    for (key, value) in [
        ("retry", json!(3.0)),
        ("max_timeouts", json!(4)),
        ("probe_limit", Value::Null),
        ("health_interval", json!(0.2)),
    ] {
        assert_eq!(state["settings"][key], value, "{key}");
    }
    let settings = |at: usize| &state["members"][at]["settings"];
    assert_eq!(settings(0)["response_head_timeout"], 0.5);
    assert_eq!(settings(0)["cping"], "never");
    assert_eq!(settings(0)["packet_size"], 16384);
    assert_eq!(settings(1)["packet_size"], 9216);
    assert_eq!(settings(1)["upgrade"], "http://127.0.0.1:8");
    // What it was not given is as for all.
    assert_eq!(settings(1)["connect_timeout"], 5.0);
    let kept = std::fs::read_to_string(gateway.file("state.json")).unwrap();
    let kept: Value = serde_json::from_str(&kept).unwrap();
    let kept = &kept["balancers"]["b"]["added"][b.url()]["member"];
    assert_eq!(kept["connect_timeout"], Value::Null, "{kept}");
    assert_eq!(gateway.client().get("/?sleep=1500").await.status, 504);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_changed_so_is_named() {
    let gateway = start(&site("", &member("ajp://127.0.0.1:1", "a", "")), "").await;
    for (path, body, text) in [
        (
            "/members/a",
            json!({ "packet_size": 100 }),
            "packet_size: 100 is not a whole number from 8192",
        ),
        (
            "/members/a",
            json!({ "connect_timeout": 0 }),
            "connect_timeout: 0 is not a number of seconds above 0",
        ),
        (
            "/members/a",
            json!({ "max_connections": null }),
            "max_connections: null is not a whole number",
        ),
        (
            "/members/a",
            json!({ "upgrade": "ajp://x:1" }),
            "upgrade: \"ajp://x:1\" is not an address",
        ),
        (
            "",
            json!({ "health_fall": 3 }),
            "health_interval, health_limit, health_rise, health_fall: there are no checks",
        ),
        (
            "",
            json!({ "panic_threshold": 101 }),
            "panic_threshold: must be from 0 to 100",
        ),
        (
            "",
            json!({ "max_timeouts": 0 }),
            "max_timeouts: must be 1 or more",
        ),
    ] {
        let answer = ask(&gateway, "PUT", &format!("/balancers/b{path}"), body).await;
        assert_eq!(answer.status, 400);
        let said = answer.json()["error"]["text"].as_str().unwrap().to_owned();
        assert!(said.starts_with(text), "{said}");
    }
    // Sticky sessions come back with all that is configured of them.
    let sticky = json!("JSESSIONID|jsessionid");
    put(&gateway, "/balancers/b", json!({ "sticky": null })).await;
    let answer = put(&gateway, "/balancers/b", json!({ "sticky": sticky })).await;
    assert_eq!(answer["settings"]["sticky"], sticky);
    let several = json!("A,B|p,q");
    let answer = put(&gateway, "/balancers/b", json!({ "sticky": several })).await;
    assert_eq!(answer["settings"]["sticky"], several);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_goes_on_over_a_reload() {
    let (a, b) = (Container::start("a").await, Container::start("b").await);
    let members = a.member("") + &b.member("");
    let mut gateway = start(&site(CHECKS, &members), STATE).await;
    let drain = json!({ "session_timeout": 1.5, "then": "disable" });
    let answer = ask(&gateway, "POST", "/balancers/b/members/a/drain", drain).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let other = site(
        "retry = \"1s\"\nhealth = { check = \"cping\", interval = \"1s\" }",
        &members,
    );
    let line = reload(&mut gateway, &with_token(&other, STATE)).await;
    assert!(line.contains("other health checks"), "{line}");
    // A visitor keeps its session alive for a while.
    let mut client = gateway.client();
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(1800) {
        assert_eq!(served(&mut client, "1.a").await, "a");
        let state = ask(&gateway, "GET", "/balancers/b/members/a/drain", Value::Null).await;
        assert_eq!(state.json()["phase"], "draining", "{}", state.text());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    gateway
        .wait_until("disabled", |status| {
            status["balancers"][0]["members"][0]["flags"] == "ND"
        })
        .await;
    assert_eq!(served(&mut client, "1.a").await, "b");
    let state = ask(&gateway, "GET", "/balancers/b", Value::Null)
        .await
        .json();
    assert_eq!(state["settings"]["retry"], 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn found_members_stay_over_a_reload_and_keep_their_changes() {
    let (a, b) = (Container::start("a").await, Container::start("b").await);
    let found = format!("{} route=a\n{} route=b\n", a.url(), b.url());
    let config = |more: &str| {
        let place = "[balancer.discovery]\nfile = \"members\"\ninterval = \"50ms\"\n";
        with_token(&site(more, place), STATE)
    };
    let token = format!("{}\n", crate::api::TOKEN);
    let files = [("token", &*token), ("members", &*found)];
    let mut gateway = Gateway::start_with(&files, &config(CHECKS)).await;
    let two = |status: &Value| status["balancers"][0]["members"].as_array().unwrap().len() == 2;
    gateway.wait_until("found", two).await;
    put(
        &gateway,
        "/balancers/b/members/a",
        json!({ "flags": "D", "packet_size": 16384 }),
    )
    .await;
    // The source is gone, and what is known goes on serving.
    let members = gateway.file("members");
    std::fs::remove_file(&members).unwrap();
    let other = "health = { check = \"cping\", interval = \"6s\" }\nconnect_timeout = \"3s\"";
    let line = reload(&mut gateway, &config(other)).await;
    assert!(line.contains("other discovery"), "{line}");
    let mut client = gateway.client();
    assert_eq!(served(&mut client, "1.a").await, "b");
    assert_eq!(gateway.member("a").await["flags"], "D");
    let state = ask(&gateway, "GET", "/balancers/b", Value::Null)
        .await
        .json();
    for member in state["members"].as_array().unwrap() {
        assert_eq!(member["settings"]["connect_timeout"], 3.0, "{member}");
    }
    std::fs::write(&members, &found).unwrap();
    let name = coded(&b.url());
    let answer = ask(
        &gateway,
        "DELETE",
        &format!("/balancers/b/members/{name}"),
        Value::Null,
    )
    .await;
    assert_eq!(answer.status, 200, "{}", answer.text());

    // What operators have changed holds for what is found after a restart.
    let gateway = gateway.restart().await;
    let is_back = |status: &Value| status["balancers"][0]["members"][0]["flags"] == "D";
    gateway.wait_until("found again", is_back).await;
    let state = ask(&gateway, "GET", "/balancers/b", Value::Null)
        .await
        .json();
    assert_eq!(state["members"].as_array().unwrap().len(), 1, "{state}");
    assert_eq!(state["members"][0]["settings"]["packet_size"], 16384);
    // It serves again when that is taken back.
    put(&gateway, "/balancers/b/members/a", json!({ "flags": "" })).await;
    let answer = gateway.client().request("GET", "/", &[], Body::None).await;
    assert_eq!(answer.json()["name"], "a");
}

/// A member of the configuration is as that says, also where the discovery finds it: and as the
/// discovery says when it is no longer one of the configuration.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_of_the_configuration_is_not_the_discoverys() {
    let (a, b) = (Container::start("a").await, Container::start("b").await);
    let found = |weight: u32| {
        let (a, b) = (a.url(), b.url());
        format!("{a} route=a weight={weight}\n{b} route=b\n")
    };
    let config = |member: &str| {
        let place = "[balancer.discovery]\nfile = \"members\"\ninterval = \"50ms\"\n\
                     at_most = \"1s\"\n";
        with_token(&site("", &format!("{place}{member}")), STATE)
    };
    let own = config(&a.member("weight = 3.0"));
    let token = format!("{}\n", crate::api::TOKEN);
    let files = [("token", &*token), ("members", &*found(7))];
    let mut gateway = Gateway::start_with(&files, &own).await;
    let weight_of_a = |status: &Value| {
        let members = status["balancers"][0]["members"].as_array().unwrap().iter();
        let weights = members.map(|one| (one["route"].as_str().unwrap(), one["weight"].as_f64()));
        let weights: std::collections::BTreeMap<_, _> = weights.collect();
        (weights.len(), weights.get("a").copied().flatten())
    };
    let found_all = |status: &Value| weight_of_a(status) == (2, Some(3.0));
    gateway.wait_until("found", found_all).await;
    let members = gateway.file("members");
    for text in [found(8), format!("{} route=b\n", b.url()), found(9)] {
        std::fs::write(&members, text).unwrap();
        tokio::time::sleep(Duration::from_millis(400)).await;
        assert!(found_all(&gateway.status().await), "{}", gateway.log());
    }
    let line = reload(&mut gateway, &config("")).await;
    assert!(line.contains("removed"), "{line}");
    let is_found = |status: &Value| weight_of_a(status) == (2, Some(9.0));
    gateway.wait_until("it is the discovery's", is_found).await;
    reload(&mut gateway, &own).await;
    gateway.wait_until("named again", found_all).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(found_all(&gateway.status().await), "{}", gateway.log());
    assert_eq!(served(&mut gateway.client(), "1.a").await, "a");
}

/// `[balancer.tcp]` is for the members of the configuration, for those that are found and for those
/// that an operator adds, and a reload changes it for all.
#[tokio::test(flavor = "multi_thread")]
async fn all_members_are_reached_from_the_same_address() {
    use tokio::net::TcpListener;
    let mut listeners = Vec::new();
    for _ in 0..3 {
        listeners.push(TcpListener::bind("127.0.0.1:0").await.unwrap());
    }
    let urls = listeners
        .iter()
        .map(|one| format!("ajp://{}", one.local_addr().unwrap()));
    let urls: Vec<String> = urls.collect();
    let config = |source: &str| {
        let own = member(&urls[0], "a", "");
        let place = format!(
            "[balancer.tcp]\nsource = \"{source}\"\n\
             [balancer.discovery]\nfile = \"members\"\ninterval = \"50ms\"\n{own}"
        );
        with_token(&site("retry = \"1s\"\nattempts = 1\n", &place), STATE)
    };
    let token = format!("{}\n", crate::api::TOKEN);
    let found = format!("{} route=b\n", urls[1]);
    let files = [("token", &*token), ("members", &*found)];
    let mut gateway = Gateway::start_with(&files, &config("127.0.0.9")).await;
    let added = json!({ "url": urls[2], "route": "c" });
    let answer = ask(&gateway, "POST", "/balancers/b/members", added).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let all = |status: &Value| status["balancers"][0]["members"].as_array().unwrap().len() == 3;
    gateway.wait_until("three members", all).await;
    for source in ["127.0.0.9", "127.0.0.10"] {
        if source == "127.0.0.10" {
            reload(&mut gateway, &config(source)).await;
        }
        for (listener, route) in listeners.iter().zip(["a", "b", "c"]) {
            let mut client = gateway.client();
            let cookie = format!("JSESSIONID=1.{route}");
            let asking = tokio::spawn(async move {
                let headers = [("cookie", &*cookie)];
                // Whatever comes of it: nobody answers.
                let _ = client.try_request("GET", "/", &headers, Body::None).await;
            });
            // The request, and the question whether the container is there.
            let mut accepted = 0;
            let patience =
                |accepted| Duration::from_millis(if accepted == 0 { 10_000 } else { 200 });
            while let Ok(one) = tokio::time::timeout(patience(accepted), listener.accept()).await {
                let (_, from) = one.unwrap();
                assert_eq!(from.ip().to_string(), source, "{route}");
                accepted += 1;
            }
            asking.await.unwrap();
            assert!(accepted > 0, "{route}");
            // What was cut short is no failure of the member's that would keep it out.
            let recover = format!("/balancers/b/members/{route}/recover");
            let answer = ask(&gateway, "POST", &recover, json!({})).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_holds_from_the_next_start_is_named() {
    let config = site("", &member("ajp://127.0.0.1:1", "a", ""));
    let mut gateway = start(&config, "").await;
    let more = "health_listen = \"127.0.0.1:0\"\nstate_file = \"state.json\"\n";
    let line = reload(&mut gateway, &with_token(&config, more)).await;
    for text in [
        "manager.health_listen: holds from the next start",
        "manager.state_file: holds from the next start",
    ] {
        assert!(line.contains(text), "{line}");
    }
    let state = ask(&gateway, "GET", "/state", Value::Null).await.json();
    assert_eq!(state["state_file"], Value::Null);
    // A log that cannot be opened changes nothing, and no listener either.
    let broken = "access_log = \"nowhere/log\"\n".to_owned() + &with_token(&config, "");
    let line = reload(&mut gateway, &broken).await;
    assert!(
        line.contains("not reloaded") && line.contains("nowhere/log"),
        "{line}"
    );
}
