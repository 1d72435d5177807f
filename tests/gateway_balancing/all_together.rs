//! Reloads, a discovery, the API and drains at the same time, under load: no request fails, and what
//! came of it is what a restart makes of the state file.

use crate::api::{TOKEN, ask, with_token};
use crate::balancing::site;
use crate::container::Container;
use crate::support::gateway::{Gateway, coded};
use crate::support::http1::Body;
use crate::support::random::Random;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep};

const TIME: Duration = Duration::from_secs(4);

/// Asks without a pause; every second visitor has a session of a member that comes and goes.
async fn visit(
    site: std::net::SocketAddr,
    number: usize,
    stop: Arc<AtomicBool>,
    answers: Arc<AtomicUsize>,
) -> Vec<String> {
    let mut client = crate::support::http1::Client::new(site);
    let mut bad = Vec::new();
    let cookie = format!("JSESSIONID=1.{}", ["a", "b", "c", "d"][number % 4]);
    while !stop.load(Ordering::SeqCst) {
        let headers = [("cookie", &*cookie)];
        let headers = if number % 2 == 0 { &[] } else { &headers[..] };
        match client.try_request("GET", "/", headers, Body::None).await {
            Ok(answer) if answer.status == 200 => {
                answers.fetch_add(1, Ordering::SeqCst);
            }
            Ok(answer) => bad.push(format!("{} {}", answer.status, answer.text())),
            Err(error) => bad.push(error.to_string()),
        }
    }
    bad
}

/// What is configured of each member, by its name.
async fn members(gateway: &Gateway) -> BTreeMap<String, Value> {
    let state = ask(gateway, "GET", "/balancers/b", Value::Null)
        .await
        .json();
    let members = state["members"].as_array().unwrap().iter();
    members
        .map(|member| {
            let name = member["name"].as_str().unwrap().to_owned();
            (name, member["settings"].clone())
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_from_everywhere_at_once() {
    let mut containers = Vec::new();
    for name in ["a", "b", "c", "d"] {
        containers.push(Container::start(name).await);
    }
    let [a, b, c, d] = &containers[..] else {
        unreachable!()
    };
    // `a` is never touched but by reloads, `b` is configured too, `c` and `d` are found.
    let config = |retry: u32, weight: u32, method: &str| {
        let place = "[balancer.discovery]\nfile = \"members\"\ninterval = \"20ms\"\n\
                     at_most = \"200ms\"\n";
        let own = a.member(&format!("weight = {weight}")) + &b.member("");
        let more = format!("retry = \"{retry}s\"\nmethod = \"{method}\"\n");
        with_token(
            &site(&more, &format!("{place}{own}")),
            "state_file = \"state.json\"\n",
        )
    };
    let found = |c_too: bool, d_too: bool| {
        let line = |there, one: &Container| {
            let name = &one.name;
            if there {
                format!("{} route={name}\n", one.url())
            } else {
                String::new()
            }
        };
        line(c_too, c) + &line(d_too, d)
    };
    let token = format!("{TOKEN}\n");
    let files = [("token", &*token), ("members", &*found(true, true))];
    let mut gateway = Gateway::start_with(&files, &config(1, 1, "byrequests")).await;

    let (stop, answers) = (Arc::default(), Arc::new(AtomicUsize::new(0)));
    let visitors = (0..6).map(|number| {
        let (stop, answers) = (Arc::clone(&stop), Arc::clone(&answers));
        tokio::spawn(visit(gateway.http, number, stop, answers))
    });
    let visitors: Vec<_> = visitors.collect();

    let mut random = Random::new(22);
    let path = gateway.file("members");
    let (mut changes, mut reloads) = (0, 0);
    let names = [coded(&b.url()), coded(&c.url()), coded(&d.url())];
    let start = Instant::now();
    while start.elapsed() < TIME {
        let this = format!("/balancers/b/members/{}", names[random.below(3)]);
        let drain = format!("{this}/drain");
        let then = ["keep", "disable", "remove"][random.below(3)];
        match random.below(8) {
            0 => {
                let text = found(random.one_in(2), random.one_in(2));
                let new = path.with_extension("new");
                std::fs::write(&new, text).unwrap();
                std::fs::rename(&new, &path).unwrap();
            }
            1 => {
                let method = ["byrequests", "bybusyness", "hash:path"][random.below(3)];
                let (retry, weight) = (random.below(3) as u32 + 1, random.below(3) as u32 + 1);
                gateway.rewrite(&config(retry, weight, method));
                gateway.signal("HUP");
                reloads += 1;
            }
            // Several at a time: a change, a drain, the end of one, a member that comes or goes.
            _ => {
                let weight = json!({ "weight": random.below(4) + 1 });
                let flags = ["", "N", "D"][random.below(3)];
                let flags = json!({ "flags": flags });
                let wish = json!({ "session_timeout": 0, "at_most": 0.1, "then": then });
                let url = [b, c, d][random.below(3)].url();
                let added = json!({ "url": url, "max_connections": 9 });
                let asked = [
                    ("PUT", this.clone(), weight),
                    ("PUT", this.clone(), flags),
                    ("POST", drain.clone(), wish),
                    ("DELETE", drain, Value::Null),
                    ("DELETE", this, Value::Null),
                    ("POST", "/balancers/b/members".to_owned(), added),
                    ("GET", "/balancers/b".to_owned(), Value::Null),
                ];
                let first = random.below(asked.len());
                let some = asked.into_iter().cycle().skip(first).take(3);
                let gateway = &gateway;
                let asking = some.map(|(method, path, body)| async move {
                    let answer = ask(gateway, method, &path, body).await;
                    assert!(
                        [200, 201, 204, 404, 409].contains(&answer.status.as_u16()),
                        "{method} {path}: {} {}",
                        answer.status,
                        answer.text()
                    );
                });
                futures_util::future::join_all(asking).await;
                changes += 3;
            }
        }
        sleep(Duration::from_millis(random.below(10) as u64)).await;
    }
    stop.store(true, Ordering::SeqCst);
    for visitor in visitors {
        let bad = visitor.await.unwrap();
        assert_eq!(bad, [""; 0], "{}", gateway.log());
    }
    let answers = answers.load(Ordering::SeqCst);
    println!("{answers} answers during {changes} changes and {reloads} reloads, 0 failed");
    assert!(answers > 200 && changes > 50 && reloads > 5);

    // All comes to an end: drains, members that leave, what was read last.
    std::fs::write(&path, found(true, true)).unwrap();
    let before = gateway.log().matches("reloaded").count();
    gateway.rewrite(&config(2, 2, "byrequests"));
    gateway.signal("HUP");
    while gateway.log().matches("reloaded").count() == before {
        sleep(Duration::from_millis(20)).await;
    }
    sleep(Duration::from_secs(1)).await;
    assert!(!gateway.log().contains("panicked"), "{}", gateway.log());
    let runs = members(&gateway).await;
    assert!(runs.contains_key(&a.url()), "{runs:?}");
    // The page, the API and a new process say the same.
    let status = gateway.status().await;
    let shown = status["balancers"][0]["members"].as_array().unwrap().iter();
    let mut shown: Vec<_> = shown.map(|one| one["name"].as_str().unwrap()).collect();
    shown.sort_unstable();
    assert_eq!(shown, runs.keys().collect::<Vec<_>>());
    let gateway = gateway.restart().await;
    let again = Instant::now() + Duration::from_secs(10);
    loop {
        let restarted = members(&gateway).await;
        if restarted == runs {
            break;
        }
        assert!(Instant::now() < again, "{restarted:#?}\n{runs:#?}");
        sleep(Duration::from_millis(50)).await;
    }
}
