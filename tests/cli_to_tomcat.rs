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

/// A failure: what is asked, and what get, ping and explain make of it: exit code and words.
struct Failing {
    what: &'static str,
    url: String,
    arguments: Vec<String>,
    secret: Option<&'static str>,
    get: (i32, &'static str),
    ping: (i32, &'static str),
    explain: (i32, &'static str),
}

impl Failing {
    async fn check(self) {
        let secret = self.secret.map(secret);
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        let get = [
            &["get", "--fail", "--timeout", "3s", &self.url],
            &arguments[..],
        ]
        .concat();
        let ping = ["ping", "-c", "1", "-W", "1s", &self.url];
        let explain = [&["explain", "--timeout", "3s", &self.url], &arguments[..]].concat();
        for (arguments, secret, (code, words)) in [
            (&get[..], secret.as_ref(), self.get),
            // CPing has no room for a secret.
            (&ping, None, self.ping),
            (&explain, secret.as_ref(), self.explain),
        ] {
            let ended = run(arguments, secret).await;
            let told = format!("{}: {arguments:?}: {ended:?}", self.what);
            assert_eq!(ended.code, code, "{told}");
            let text = ended.text().to_owned() + &ended.errors;
            assert!(text.contains(words), "{words:?}: {told}");
            for known in [SECRET, "wrong-secret"] {
                assert!(!text.contains(known), "{told}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals() {
    let tomcat = Tomcat::shared().await;
    let url = format!("ajp://{}/app/hello", tomcat.ajp_addr());
    let answered = (0, "1 answered, 0 lost");
    let failing = |what, arguments: &[&str], secret, get, explain| Failing {
        what,
        url: url.clone(),
        arguments: arguments.iter().map(|&argument| argument.into()).collect(),
        secret,
        get,
        ping: answered,
        explain,
    };
    let cookie = format!("Cookie: {}", "c".repeat(9000));
    for failing in [
        failing(
            "no secret",
            &[],
            None,
            (7, "it refused the secret"),
            (7, "the container demands a secret, and none was sent"),
        ),
        failing(
            "a wrong secret",
            &[],
            Some("wrong-secret"),
            (7, "it refused the secret"),
            (7, "the container refuses the secret that was sent"),
        ),
        failing(
            "a secret that is refused with and without an attribute",
            &["--attr", "UNKNOWN=1"],
            Some("wrong-secret"),
            (7, "it refused the secret"),
            (7, "it is refused without its attributes too"),
        ),
        failing(
            "an unknown attribute",
            &["--attr", "UNKNOWN=1"],
            Some(SECRET),
            // Only explain asks again to tell.
            (7, "it refused the secret or a request attribute"),
            (8, "the container refuses the request attribute UNKNOWN"),
        ),
        failing(
            "a head that fits no packet",
            &["-H", &cookie],
            Some(SECRET),
            (9, "does not fit the packet size"),
            (9, "packet"),
        ),
    ] {
        failing.check().await;
    }
    let good = run(&["explain", &url], Some(&secret(SECRET))).await;
    assert!(good.ok().contains("200"), "{good:?}");
    let denied = format!("ajp://{}/app/status/403", tomcat.ajp_addr());
    let told = run(&["explain", &denied], Some(&secret(SECRET))).await;
    assert_eq!(told.code, 22, "{told:?}");
    assert!(
        told.text().contains("the application answers 403"),
        "{told:?}"
    );
}

/// Tomcat has 8192 bytes; the web server says otherwise. Whether Tomcat's 500 arrives before its
/// reset is chance, so what get says is either.
#[tokio::test(flavor = "multi_thread")]
async fn packet_sizes_that_differ() {
    let tomcat = Tomcat::shared().await;
    let url = format!("ajp://{}/app/hello", tomcat.ajp_addr());
    let right = secret(SECRET);
    let cookie = format!("Cookie: {}", "c".repeat(9000));
    let sizes = ["--packet-size", "65536", "-H", &cookie, &url];
    let got = run(&[&["get", "--fail"], &sizes[..]].concat(), Some(&right)).await;
    assert!([6, 22].contains(&got.code), "{got:?}");
    let told = run(&["explain", "--packet-size", "65536", &url], Some(&right)).await;
    assert_ne!(told.code, 0, "{told:?}");
    assert!(told.text().contains("packetSize"), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ports_that_are_no_ajp_port() {
    let tomcat = Tomcat::shared().await;
    let (silent, closed) = (Hostile::silent(), cli::hostile::nobody());
    let failing = |what, url, code, get, ping, explain| Failing {
        what,
        url,
        arguments: Vec::new(),
        secret: None,
        get: (code, get),
        ping: (code, ping),
        explain: (code, explain),
    };
    for failing in [
        failing(
            "Tomcat's HTTP port",
            format!("ajp://{}/", tomcat.http_addr()),
            5,
            "the port speaks HTTP",
            "the port speaks HTTP",
            "the port speaks HTTP, not AJP",
        ),
        failing(
            "a closed port",
            closed,
            3,
            "Connection refused",
            "Connection refused",
            "nobody listens at ",
        ),
        failing(
            "a silent peer",
            silent.url(),
            4,
            "did not answer in time",
            "CPing was not answered in time",
            "the peer is silent",
        ),
    ] {
        failing.check().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn leaving_ajp_by_proof() {
    let tomcat = Tomcat::builder().no_secret().start().await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("day.pcapng").to_str().unwrap().to_owned();
    let (url, http) = (
        format!("ajp://{}", tomcat.ajp_addr()),
        format!("http://{}", tomcat.http_addr()),
    );
    let recorded = tokio::task::spawn_blocking({
        let (url, path) = (url.clone(), path.clone());
        move || {
            let arguments = [
                "record",
                "--listen",
                "127.0.0.1:0",
                "--to",
                &url,
                "-o",
                &path,
                "-c",
                "4",
            ];
            let (mut record, relay) = cli::started(&arguments, "recording ");
            let ask = |arguments: &[&str]| {
                assert_eq!(ajp(arguments).code, 0, "{arguments:?}");
            };
            ask(&["get", &format!("{relay}/app/hello")]);
            ask(&["get", &format!("{relay}/app/bytes?n=20000")]);
            ask(&["post", "-d", "a=1", &format!("{relay}/app/unread")]);
            // What is told beside HTTP is lost without AJP.
            ask(&[
                "get",
                "--remote-addr",
                "192.0.2.7",
                &format!("{relay}/app/echo?q=1"),
            ]);
            assert!(record.child().wait().unwrap().success());
        }
    });
    recorded.await.unwrap();
    let compared = run(&["replay", "--compare", &http, &path, &url], None).await;
    let text = compared.text();
    assert_eq!(compared.code, 1, "{compared:?}");
    assert_eq!(text.matches("the same over HTTP").count(), 3, "{text}");
    let differs = text
        .lines()
        .find(|line| line.contains("/app/echo"))
        .unwrap();
    assert!(
        differs.contains("body of ") && differs.contains(" over HTTP"),
        "{text}"
    );
    assert!(
        text.contains("4 requests of 4 connections, 1 answers differ"),
        "{text}"
    );
    let ignored = run(
        &["replay", "--compare", &http, "--ignore-body", &path, &url],
        None,
    )
    .await;
    assert_eq!(ignored.code, 0, "{ignored:?}");
    let wrong = run(
        &["replay", "--compare", "http://127.0.0.1:1/x", &path, &url],
        None,
    )
    .await;
    assert_eq!(wrong.code, 2, "{wrong:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn busy_threads_are_explained() {
    let tomcat = Tomcat::builder()
        .no_secret()
        .max_threads(2)
        .connector_attr("minSpareThreads", "1")
        .start()
        .await;
    let url = format!("ajp://{}", tomcat.ajp_addr());
    let slow = format!("{url}/app/sleep?ms=2500");
    let busy: Vec<_> = (0..2)
        .map(|_| {
            let slow = slow.clone();
            tokio::spawn(async move { run(&["get", &slow], None).await.code })
        })
        .collect();
    tokio::time::sleep(std::time::Duration::from_millis(700)).await;
    let explained = run(
        &["explain", "--timeout", "1s", &format!("{url}/app/hello")],
        None,
    )
    .await;
    assert_eq!(explained.code, 4, "{explained:?}");
    assert!(
        explained
            .text()
            .contains("=> the container is short of threads"),
        "{explained:?}"
    );
    for one in busy {
        assert_eq!(one.await.unwrap(), 0);
    }
}
