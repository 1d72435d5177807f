//! `ajp drain`: what it does, and what it tells a pipeline.

use crate::api::{TOKEN, start};
use crate::balancing::{served, site};
use crate::container::{Container, member};
use crate::support::gateway::{Gateway, binary};
use std::process::Output;
use std::time::Duration;

const GONE: &str = "ajp://127.0.0.1:1";

/// Runs the command, with the token.
async fn drain(gateway: &Gateway, arguments: &[&str]) -> (i32, String) {
    let token = gateway.file("token");
    let token = ["--token-file", token.to_str().unwrap()];
    said(run(gateway, &[arguments, &token].concat()).await)
}

async fn run(gateway: &Gateway, arguments: &[&str]) -> Output {
    let url = format!("http://{}", gateway.manager.unwrap());
    let mut command = tokio::process::Command::new(binary());
    command.args(["drain", "--gateway", &url]).args(arguments);
    let output = command.kill_on_drop(true).output();
    tokio::time::timeout(Duration::from_secs(30), output)
        .await
        .unwrap()
        .unwrap()
}

fn said(output: Output) -> (i32, String) {
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.code().unwrap(),
        String::from_utf8(text).unwrap(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn it_waits_for_requests_and_sessions() {
    let (a, b) = (Container::start("a").await, Container::start("b").await);
    let gateway = start(&site("", &(a.member("") + &b.member(""))), "").await;
    let mut slow = gateway.client();
    let slow = tokio::spawn(async move {
        let cookie = [("cookie", "JSESSIONID=1.a")];
        slow.request(
            "GET",
            "/?sleep=1500",
            &cookie,
            crate::support::http1::Body::None,
        )
        .await
    });
    gateway
        .wait_until("busy", |status| {
            status["balancers"][0]["members"][0]["busy"] == 1
        })
        .await;
    // The request is waited for, and the session for half a second.
    let begun = std::time::Instant::now();
    let (code, text) = drain(
        &gateway,
        &["b/a", "--session-timeout", "500ms", "--max", "20s"],
    )
    .await;
    assert_eq!(code, 0, "{text}");
    assert!(
        begun.elapsed() >= Duration::from_secs(1),
        "{:?}",
        begun.elapsed()
    );
    assert!(
        text.starts_with("b/a: 1 request runs, a session was seen"),
        "{text}"
    );
    assert!(text.contains("b/a: drained after "), "{text}");
    assert_eq!(slow.await.unwrap().json()["name"], "a");
    let mut client = gateway.client();
    assert_eq!(served(&mut client, "").await, "b", "no new session");
    assert_eq!(served(&mut client, "1.a").await, "a", "its sessions stay");

    let (code, text) = drain(&gateway, &["b/a", "--undo"]).await;
    assert_eq!((code, &*text), (0, "b/a: serves again\n"));
    assert_eq!(gateway.member("a").await["flags"], "");

    // What is left moves when the time is up.
    let (code, text) = drain(
        &gateway,
        &["b/a", "--max", "300ms", "--then", "disable", "-q"],
    )
    .await;
    assert_eq!((code, &*text), (0, ""));
    assert_eq!(gateway.member("a").await["flags"], "ND");
    assert_eq!(served(&mut client, "1.a").await, "b");
    assert!(
        gateway.says("(end of a drain): b/").await,
        "{}",
        gateway.log()
    );

    let (code, text) = drain(
        &gateway,
        &["b/a", "--session-timeout", "0s", "--then", "remove"],
    )
    .await;
    assert_eq!(code, 0, "{text}");
    assert_eq!(
        gateway.status().await["balancers"][0]["members"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

/// The only member may be drained too: its sessions go on, and that nobody else comes in is said.
#[tokio::test(flavor = "multi_thread")]
async fn the_only_member_is_drained_and_that_is_said() {
    let a = Container::start("a").await;
    let gateway = start(&site("", &a.member("")), "").await;
    let says = "b/a: no other member serves: new visitors are answered with 503\n";
    let (code, text) = drain(&gateway, &["b/a", "--max", "300ms"]).await;
    assert_eq!(code, 4, "{text}");
    assert!(text.starts_with(says), "{text}");
    let mut client = gateway.client();
    assert_eq!(client.get("/").await.status, 503);
    assert_eq!(served(&mut client, "1.a").await, "a");
    let (code, text) = drain(&gateway, &["b/a", "--undo"]).await;
    assert_eq!((code, &*text), (0, "b/a: serves again\n"));
    assert_eq!(served(&mut client, "").await, "a");
    // Another one that is out of service is none.
    let added = serde_json::json!({ "url": GONE, "route": "x", "flags": "D" });
    let answer = crate::api::ask(&gateway, "POST", "/balancers/b/members", added).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let (_, text) = drain(&gateway, &["b/a", "--max", "100ms"]).await;
    assert!(text.starts_with(says), "{text}");
    let answer = crate::api::ask(
        &gateway,
        "PUT",
        "/balancers/b/members/x",
        serde_json::json!({ "flags": "" }),
    )
    .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let (_, text) = drain(&gateway, &["b/a", "--max", "100ms"]).await;
    assert!(!text.contains("no other"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_end_has_a_code() {
    let gateway = start(
        &site(
            "",
            &(member(GONE, "a", "") + &member("ajp://127.0.0.1:2", "b", "")),
        ),
        "",
    )
    .await;
    // It has an end whatever clients send.
    let path = "/balancers/b/members/b/drain";
    let begun = crate::api::ask(&gateway, "POST", path, serde_json::json!({})).await;
    assert_eq!(begun.json()["at_most"], 86_400.0, "{}", begun.text());
    let (code, text) = drain(&gateway, &["b/a", "--max", "300ms"]).await;
    assert_eq!(code, 4, "{text}");
    assert!(text.contains("the time is up after 0."), "{text}");
    assert!(
        text.contains("0 requests run, no session was seen; all are over in 29 min"),
        "{text}"
    );

    assert_eq!(
        drain(&gateway, &["b/a", "--undo", "-q"]).await,
        (0, String::new())
    );
    let waiting = drain(&gateway, &["b/a"]);
    let undone = async {
        gateway
            .wait_until("draining", |status| {
                status["balancers"][0]["members"][0]["flags"] == "N"
            })
            .await;
        let answer = crate::api::ask(
            &gateway,
            "PUT",
            "/balancers/b/members/a",
            serde_json::json!({ "flags": "" }),
        )
        .await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    let ((code, text), ()) = tokio::join!(waiting, undone);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("somebody took it back"), "{text}");

    let (code, text) = drain(&gateway, &["b/x"]).await;
    assert_eq!(code, 22, "{text}");
    assert!(
        text.contains("404: there is no member \"x\"; there are: ajp://127.0.0.1:1 (a)"),
        "{text}"
    );
    let (code, text) = drain(&gateway, &["b"]).await;
    assert_eq!(code, 2, "{text}");
    let (code, text) = said(run(&gateway, &["b/a"]).await);
    assert_eq!(code, 7, "{text}");
    assert!(text.contains("401: the token is missing"), "{text}");
    std::fs::write(gateway.file("token"), TOKEN.replace('0', "1")).unwrap();
    let (code, text) = drain(&gateway, &["b/a"]).await;
    assert_eq!(code, 7, "{text}");
    let (code, text) = said(run(&gateway, &["b/a", "--gateway", "http://127.0.0.1:1"]).await);
    assert_eq!(code, 2, "given twice: {text}");
    let output = tokio::process::Command::new(binary())
        .args(["drain", "b/a", "--gateway", "http://127.0.0.1:1"])
        .output();
    let (code, text) = said(output.await.unwrap());
    assert_eq!(code, 3, "{text}");
}
