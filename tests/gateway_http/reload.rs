//! What an operator does to a gateway that runs: reload, another log file, a check before.

use crate::raw::backend::{Backend, Conn, config};
use crate::raw::packets::response;
use crate::support::gateway::{Gateway, binary};
use crate::wire::{echo, exchange};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const REQUEST: &[u8] = b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

fn site(keys: &str, members: &[(&str, String)]) -> String {
    let members: Vec<_> = members
        .iter()
        .map(|(extra, url)| format!("[[balancer.member]]\nurl = \"{url}\"\n{extra}\n"))
        .collect();
    let members = members.concat();
    format!(
        "{keys}\n[manager]\nchanges = true\n[[balancer]]\nname = \"b\"\n{members}[[map]]\npath = \"/\"\nto = \"balancer://b/\"\n"
    )
}

/// How often the gateway says that it has read its configuration.
pub(crate) async fn reload(gateway: &mut Gateway, number: usize) {
    gateway.signal("HUP");
    for attempt in 0.. {
        if gateway.log().matches("reloaded").count() >= number {
            return;
        }
        assert!(attempt < 500, "{}", gateway.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Requests that are answered meanwhile; `AJP_RELOAD_REQUESTS=100000` for a long run.
fn wanted() -> usize {
    let given = std::env::var("AJP_RELOAD_REQUESTS");
    given.map_or(1000, |number| number.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_is_lost_while_members_come_and_go() {
    let (a, b, c) = (echo().await, echo().await, echo().await);
    let all = [
        site("", &[("", a.url()), ("", b.url())]),
        site("max_body = 5", &[("weight = 2.0", a.url()), ("", c.url())]),
        site("", &[("", b.url()), ("", c.url())]),
    ];
    let mut gateway = Gateway::start(&all[0]).await;
    let (running, answered) = (
        Arc::new(AtomicBool::new(true)),
        Arc::new(AtomicUsize::new(0)),
    );
    let mut visitors = Vec::new();
    for number in 0..8 {
        let (address, running, answered) =
            (gateway.http, Arc::clone(&running), Arc::clone(&answered));
        visitors.push(tokio::spawn(async move {
            // Some keep their connection, some open one for each request.
            let mut kept = TcpStream::connect(address).await.unwrap();
            let mut requests = 0;
            while running.load(Ordering::Relaxed) {
                if number % 2 == 0 {
                    let answer = exchange(address, REQUEST).await;
                    assert!(answer.ends_with("\r\n\r\nx"), "{answer}");
                } else {
                    kept.write_all(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
                        .await
                        .unwrap();
                    let mut answer = [0; 1024];
                    let mut length = 0;
                    while !answer[..length].ends_with(b"\r\n\r\nx") {
                        let count = kept.read(&mut answer[length..]).await.unwrap();
                        assert_ne!(count, 0, "closed after {requests}");
                        length += count;
                    }
                    assert!(answer.starts_with(b"HTTP/1.1 200 "));
                    requests += 1;
                    if requests % 900 == 0 {
                        // Below the limit of requests over one connection.
                        kept = TcpStream::connect(address).await.unwrap();
                    }
                }
                answered.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
    for number in 1..=20 {
        gateway.rewrite(&all[number % 3]);
        reload(&mut gateway, number).await;
        // They are spread over the whole run. A visitor that lost a request has ended.
        while answered.load(Ordering::Relaxed) < wanted() * number / 20 {
            assert!(visitors.iter().all(|visitor| !visitor.is_finished()));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    running.store(false, Ordering::Relaxed);
    for visitor in visitors {
        visitor.await.unwrap();
    }
    let answered = answered.load(Ordering::Relaxed);
    println!("{answered} requests answered over 20 reloads, 0 lost");
    assert!(answered >= wanted());
    assert!(!gateway.log().contains("ERROR"), "{}", gateway.log());
}

#[tokio::test]
async fn what_an_operator_has_changed_stays_and_a_wrong_file_changes_nothing() {
    let (a, b) = (echo().await, echo().await);
    let mut gateway = Gateway::start(&site("", &[("", a.url()), ("", b.url())])).await;
    let changed = gateway
        .change(&[("balancer", "b"), ("member", &a.url()), ("weight", "7")])
        .await;
    assert!(changed.status.is_redirection(), "{}", changed.text());
    let weight = |status: &serde_json::Value, index: usize| {
        let member = &status["balancers"][0]["members"][index];
        (
            member["name"].as_str().unwrap().to_owned(),
            member["weight"].as_f64().unwrap(),
        )
    };
    let before = weight(&gateway.status().await, 0);
    assert!(before.1 > 1.0, "{before:?}");

    gateway.rewrite("listen = 5");
    reload(&mut gateway, 1).await;
    assert!(gateway.says("not reloaded").await, "{}", gateway.log());
    assert!(exchange(gateway.http, REQUEST).await.ends_with("\r\n\r\nx"));

    // The file says something new of the other member only.
    gateway.rewrite(&site("", &[("", a.url()), ("weight = 3.0", b.url())]));
    reload(&mut gateway, 2).await;
    let status = gateway.status().await;
    assert_eq!(weight(&status, 0), before);
    let elected = &status["balancers"][0]["members"];
    assert!(elected[0]["elected"].as_u64().unwrap() + elected[1]["elected"].as_u64().unwrap() > 0);
}

#[tokio::test]
async fn a_listener_comes_and_another_goes() {
    let backend = echo().await;
    let dir = tempfile::tempdir().unwrap();
    let listener = |name: &str| {
        let path = dir.path().join(name);
        format!("[[listener]]\naddress = \"unix:{}\"\n", path.display())
    };
    let members = [("", backend.url())];
    let mut gateway = Gateway::start(&site(&listener("one"), &members)).await;
    assert!(dir.path().join("one").exists());
    let http = gateway.http;
    gateway.rewrite(&site(&listener("two"), &members));
    reload(&mut gateway, 1).await;
    for attempt in 0.. {
        if dir.path().join("two").exists() && !dir.path().join("one").exists() {
            break;
        }
        assert!(attempt < 100, "{}", gateway.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(exchange(http, REQUEST).await.ends_with("\r\n\r\nx"));
}

/// A container that answers with the secret it was sent.
async fn telling() -> Backend {
    Backend::start(config(), |_, mut conn: Conn| async move {
        while let Some(request) = conn.request().await {
            let secret = request.attributes().find_map(|attribute| match attribute {
                ajp::wire::Attribute::Coded {
                    code: ajp::wire::AttributeCode::Secret,
                    value,
                } => value.map(<[u8]>::to_vec),
                _ => None,
            });
            let text = String::from_utf8(secret.unwrap_or_default()).unwrap();
            conn.write(&response(&text, 1)).await;
        }
    })
    .await
}

/// Also those of members that were found.
#[tokio::test]
async fn secrets_are_read_again() {
    let backend = telling().await;
    let named = format!("[[balancer.member]]\nurl = \"{}\"\n", backend.url());
    let found = "[balancer.discovery]\nfile = \"members\"\ninterval = \"50ms\"\n";
    for members in [&*named, found] {
        let config = format!(
            "[[balancer]]\nname = \"b\"\nsecret_file = \"secret\"\n{members}\
             [[map]]\npath = \"/\"\nto = \"balancer://b/\"\n",
        );
        let files = [("secret", "old"), ("members", &*backend.url())];
        let mut gateway = Gateway::start_with(&files, &config).await;
        let answer = exchange(gateway.http, REQUEST).await;
        assert!(answer.ends_with("\r\n\r\nold"), "{answer}");
        std::fs::write(gateway.file("secret"), "new").unwrap();
        reload(&mut gateway, 1).await;
        let answer = exchange(gateway.http, REQUEST).await;
        assert!(answer.ends_with("\r\n\r\nnew"), "{members}: {answer}");
    }
}

/// How found members leave is what the configuration says by then.
#[tokio::test(flavor = "multi_thread")]
async fn how_found_members_leave_is_read_again() {
    let (a, b) = (echo().await, echo().await);
    let config = |time: &str| {
        let found = format!(
            "[balancer.discovery]\nfile = \"members\"\ninterval = \"50ms\"\n\
             session_timeout = \"{time}\"\nat_most = \"{time}\"\n"
        );
        site("", &[]).replace("[[map]]", &(found + "[[map]]"))
    };
    let both = format!("{}\n{}\n", a.url(), b.url());
    let mut gateway = Gateway::start_with(&[("members", &both)], &config("1h")).await;
    let count =
        |status: &serde_json::Value| status["balancers"][0]["members"].as_array().unwrap().len();
    gateway
        .wait_until("found", |status| count(status) == 2)
        .await;
    std::fs::write(gateway.file("members"), a.url()).unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(
        count(&gateway.status().await),
        2,
        "it may have sessions for an hour"
    );
    std::fs::write(gateway.file("members"), &both).unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    gateway.rewrite(&config("0s"));
    reload(&mut gateway, 1).await;
    assert!(
        gateway.says("b: other discovery").await,
        "{}",
        gateway.log()
    );
    tokio::time::sleep(Duration::from_millis(300)).await;
    std::fs::write(gateway.file("members"), a.url()).unwrap();
    gateway
        .wait_until("gone", |status| count(status) == 1)
        .await;
}

#[tokio::test]
async fn a_renamed_log_is_left_alone() {
    let backend = echo().await;
    let keys = "access_log = \"access\"";
    let mut gateway = Gateway::start(&site(keys, &[("", backend.url())])).await;
    exchange(gateway.http, REQUEST).await;
    let (log, old) = (gateway.file("access"), gateway.file("old"));
    let lines = |path: &std::path::Path| {
        std::fs::read_to_string(path)
            .unwrap_or_default()
            .lines()
            .count()
    };
    while lines(&log) < 1 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    std::fs::rename(&log, &old).unwrap();
    gateway.signal("USR1");
    while !log.exists() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    exchange(gateway.http, REQUEST).await;
    while lines(&log) < 1 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!((lines(&old), lines(&log)), (1, 1));
}

#[test]
fn a_configuration_is_checked_before() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("gateway.toml");
    let check = |text: &str, flag: &str| {
        std::fs::write(&file, text).unwrap();
        let mut command = Command::new(binary());
        command.args(["gateway", flag, "--config"]).arg(&file);
        let ended = command.output().unwrap();
        let said = String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()).into_owned();
        (ended.status.code(), said)
    };
    let right = "[[map]]\npath = \"/\"\nto = \"ajp://127.0.0.1:8009/\"\n";
    assert_eq!(check(right, "--check").0, Some(0));
    assert_eq!(check(right, "--print-config"), (Some(0), right.to_owned()));
    let (code, said) = check("[[map]]\npath = \"/\"\nto = \"nowhere\"\n", "--check");
    assert_eq!(code, Some(2));
    assert!(said.contains("gateway.toml:3:6: to: "), "{said}");
    let missing = "[[listener]]\naddress = \"127.0.0.1:0\"\ntls = { certificates = [{ certificate = \"/no/such.pem\", key = \"x\" }] }\n";
    let (code, said) = check(missing, "--check");
    assert_eq!(code, Some(2));
    assert!(said.contains("/no/such.pem"), "{said}");
}

/// Members that must be found may take their time: signals are looked at meanwhile, and what was
/// served before goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_reload_that_waits_for_members_holds_nothing_up() {
    let backend = echo().await;
    let known = site("access_log = \"access\"", &[("", backend.url())]);
    let mut gateway = Gateway::start(&known).await;
    let found = "[[balancer]]\nname = \"found\"\n[balancer.discovery]\nfile = \"members\"\n\
                 interval = \"50ms\"\nfirst_set = \"60s\"\n[[map]]\npath = \"/found\"\n\
                 to = \"balancer://found/\"\n";
    gateway.rewrite(&(known.clone() + found));
    gateway.signal("HUP");
    let start = std::time::Instant::now();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(exchange(gateway.http, REQUEST).await.ends_with("\r\n\r\nx"));
    // The log is opened again.
    let (log, old) = (gateway.file("access"), gateway.file("old"));
    std::fs::rename(&log, &old).unwrap();
    gateway.signal("USR1");
    while !log.exists() {
        assert!(start.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Another reload counts together with the one before.
    gateway.rewrite(&("max_body = 5\n".to_owned() + &known + found));
    gateway.signal("HUP");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!gateway.log().contains("reloaded"), "{}", gateway.log());
    std::fs::write(gateway.file("members"), backend.url()).unwrap();
    assert!(
        gateway.says("reloaded: found: new").await,
        "{}",
        gateway.log()
    );
    let ask = b"GET /found/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    assert!(exchange(gateway.http, ask).await.ends_with("\r\n\r\nx"));
    // And the end is not waited for either.
    let more = found.replace("found", "other").replace("members", "none");
    gateway.rewrite(&(known + &more));
    gateway.signal("HUP");
    tokio::time::sleep(Duration::from_millis(300)).await;
    let ended = std::time::Instant::now();
    tokio::task::spawn_blocking(move || gateway.stop())
        .await
        .unwrap();
    assert!(ended.elapsed() < Duration::from_secs(10));
}

/// Whoever was let in as somebody does not stay that for ever.
#[tokio::test(flavor = "multi_thread")]
async fn connections_let_in_by_other_terms_end_with_their_answers() {
    let backend = Backend::start(config(), |_, mut conn: Conn| async move {
        while let Some(request) = conn.request().await {
            if request.req_uri() == b"/slow" {
                tokio::time::sleep(Duration::from_millis(600)).await;
            }
            conn.write(&response("x", 1)).await;
        }
    })
    .await;
    let mut gateway = Gateway::start(&site("", &[("", backend.url())])).await;
    let address = gateway.http;
    let connect = async |path: &str| {
        let mut http = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        http.write_all(request.as_bytes()).await.unwrap();
        http
    };
    let mut idle = connect("/x").await;
    let mut answer = [0; 1024];
    assert_ne!(idle.read(&mut answer).await.unwrap(), 0);
    // Other limits are no other terms.
    gateway.rewrite(&site("max_body = 5", &[("", backend.url())]));
    reload(&mut gateway, 1).await;
    idle.write_all(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    assert_ne!(idle.read(&mut answer).await.unwrap(), 0);
    let mut busy = connect("/slow").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let trusted = "trusted_proxies = [\"127.0.0.1\"]";
    gateway.rewrite(&site(trusted, &[("", backend.url())]));
    reload(&mut gateway, 2).await;
    assert_eq!(idle.read(&mut answer).await.unwrap(), 0, "it was idle");
    let mut last = String::new();
    busy.read_to_string(&mut last).await.unwrap();
    assert!(
        last.starts_with("HTTP/1.1 200 ") && last.ends_with("\r\n\r\nx"),
        "{last}"
    );
}

/// What an operator changes while the configuration is read again and again is what holds.
#[tokio::test(flavor = "multi_thread")]
async fn no_change_is_lost_in_a_reload() {
    let backend = echo().await;
    let url = backend.url();
    let mut gateway = Gateway::start(&site("", &[("", url.clone())])).await;
    let nonce = gateway.status().await["nonce"].as_str().unwrap().to_owned();
    let manager = gateway.manager.unwrap();
    let running = Arc::new(AtomicBool::new(true));
    let operator = {
        let running = Arc::clone(&running);
        tokio::spawn(async move {
            let mut client = crate::support::http1::Client::new(manager);
            let mut changes = 0;
            while running.load(Ordering::Relaxed) {
                changes += 1;
                let weight = (changes % 90 + 1).to_string();
                let fields = [
                    ("nonce", &*nonce),
                    ("balancer", "b"),
                    ("member", &*url),
                    ("weight", &*weight),
                ];
                let answer = crate::support::gateway::post(&mut client, &fields, &[]).await;
                assert!(answer.status.is_redirection(), "{}", answer.text());
                let status = client.get("/balancer-manager.json").await.json();
                let is = &status["balancers"][0]["members"][0]["weight"];
                assert_eq!(is.as_f64().unwrap().to_string(), weight, "after {changes}");
            }
            changes
        })
    };
    for number in 1..=20 {
        let keys = format!("max_body = {number}");
        gateway.rewrite(&site(&keys, &[("", backend.url())]));
        reload(&mut gateway, number).await;
        assert!(!operator.is_finished(), "{}", gateway.log());
    }
    running.store(false, Ordering::Relaxed);
    let changes = operator.await.unwrap();
    assert!(changes > 20, "{changes} changes over 20 reloads");
}

/// Forms stay closed where the listener that runs is open to other machines, whatever address
/// the file names by now.
#[tokio::test(flavor = "multi_thread")]
async fn forms_stay_closed_on_a_listener_that_is_open_to_others() {
    let map = "[[map]]\npath = \"/\"\nto = \"ajp://127.0.0.1:1/\"\n";
    let open = format!("[manager]\nallow_remote = true\n{map}");
    let mut gateway = Gateway::start_anywhere(&open).await;
    assert_eq!(gateway.status().await["changes"], false);
    gateway.rewrite(&format!("[manager]\nchanges = true\n{map}"));
    reload(&mut gateway, 1).await;
    assert!(
        gateway
            .says("manager.changes: holds from the next start")
            .await,
        "{}",
        gateway.log()
    );
    let status = gateway.status().await;
    assert_eq!(
        (&status["changes"], &status["nonce"]),
        (&false.into(), &serde_json::Value::Null)
    );
    let fields = [
        ("balancer", "b"),
        ("member", "x"),
        ("weight", "7"),
        ("nonce", "x"),
    ];
    let refused = crate::support::gateway::post(&mut gateway.operator(), &fields, &[]).await;
    assert_eq!(refused.status, 403, "{}", refused.text());
}
