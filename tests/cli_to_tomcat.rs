//! `ajp` and a real Tomcat: requests, pings, and what `explain` finds out.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "in a test a panic is the report"
)]

mod cli;
mod support;

use cli::{Ended, Hostile, ajp};
use support::tomcat::{SECRET, Tomcat};
use tempfile::NamedTempFile;

fn secret(text: &str) -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

/// The tool, with this secret, on a thread that may wait.
async fn run(arguments: &[&str], secret_file: Option<&NamedTempFile>) -> Ended {
    let mut all: Vec<String> = arguments.iter().map(|&argument| argument.into()).collect();
    if let Some(file) = secret_file {
        all.extend(["--secret-file".into(), file.path().to_str().unwrap().into()]);
    }
    let task = tokio::task::spawn_blocking(move || {
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        ajp(&all)
    });
    task.await.unwrap()
}

fn assert_says(ended: &Ended, code: i32, part: &str) {
    assert_eq!(ended.code, code, "{}\n{}", ended.text(), ended.errors);
    let text = ended.text().to_lowercase() + &ended.errors.to_lowercase();
    assert!(text.contains(part), "{part}\n{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_and_pings() {
    let tomcat = Tomcat::shared().await;
    let url = format!("ajp://{}", tomcat.ajp_addr());
    let right = secret(SECRET);
    let hello = run(&["get", &format!("{url}/app/hello")], Some(&right)).await;
    assert_eq!(hello.ok(), "Hello, AJP!\n");
    let echo = run(
        &[
            "post",
            "-d",
            "a=1",
            "-H",
            "X-Café: no",
            &format!("{url}/app/echo"),
        ],
        Some(&right),
    )
    .await;
    assert_eq!(echo.code, 2, "{echo:?}");
    let echo = run(
        &[
            "post",
            "-d",
            "a=1",
            "--remote-addr",
            "192.0.2.7:5",
            &format!("{url}/app/echo?q=1"),
        ],
        Some(&right),
    )
    .await;
    let echo: serde_json::Value = serde_json::from_str(echo.ok()).unwrap();
    assert_eq!(
        (&echo["bodyLength"], &echo["remoteAddr"]),
        (&3.into(), &"192.0.2.7".into())
    );
    let pings = run(&["ping", "-c", "3", "-i", "1ms", &url], None).await;
    assert!(
        pings.ok().contains("3 sent, 3 answered, 0 lost"),
        "{pings:?}"
    );
    let load = run(
        &[
            "bench",
            "-n",
            "50",
            "-c",
            "3",
            "-q",
            &format!("{url}/app/hello"),
        ],
        Some(&right),
    )
    .await;
    assert!(load.ok().contains("status 200: 50"), "{load:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_causes_of_403() {
    let tomcat = Tomcat::shared().await;
    let url = format!("ajp://{}/app/hello", tomcat.ajp_addr());
    let (right, wrong) = (secret(SECRET), secret("wrong"));
    assert_says(&run(&["explain", &url], Some(&right)).await, 0, "200");
    assert_says(&run(&["explain", &url], None).await, 7, "secret");
    assert_says(&run(&["explain", &url], Some(&wrong)).await, 7, "secret");
    let attribute = ["explain", "--attr", "UNKNOWN=1", &url];
    assert_says(&run(&attribute, Some(&right)).await, 8, "unknown");
    let denied = format!("ajp://{}/app/status/403", tomcat.ajp_addr());
    assert_says(
        &run(&["explain", &denied], Some(&right)).await,
        22,
        "application",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn packet_sizes_that_differ() {
    let tomcat = Tomcat::shared().await;
    let url = format!("ajp://{}/app/hello", tomcat.ajp_addr());
    let right = secret(SECRET);
    let sizes = ["explain", "--packet-size", "65536", &url];
    let told = run(&sizes, Some(&right)).await;
    assert_ne!(told.code, 0, "{told:?}");
    assert_says(&told, told.code, "packetsize");
}

#[tokio::test(flavor = "multi_thread")]
async fn ports_that_are_no_ajp_port() {
    let tomcat = Tomcat::shared().await;
    let http = format!("ajp://{}/", tomcat.http_addr());
    assert_says(
        &run(&["explain", "--timeout", "3s", &http], None).await,
        5,
        "http",
    );
    assert_says(
        &run(&["get", "--timeout", "3s", &http], None).await,
        5,
        "http",
    );
    let closed = run(&["explain", "ajp://127.0.0.1:1/"], None).await;
    assert_says(&closed, 3, "refused");
    let silent = Hostile::silent();
    let told = run(&["explain", "--timeout", "500ms", &silent.url()], None).await;
    assert_says(&told, 4, "no answer");
}
