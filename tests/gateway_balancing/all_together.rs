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

/// A gateway whose members are changed from everywhere: `a` by reloads alone, `b` is of the
/// configuration too, `c` and `d` are found.
struct Scene {
    containers: Vec<Container>,
    gateway: Gateway,
    random: Random,
}

impl Scene {
    async fn start() -> Self {
        let mut containers = Vec::new();
        for name in ["a", "b", "c", "d"] {
            containers.push(Container::start(name).await);
        }
        let token = format!("{TOKEN}\n");
        let config = config(&containers, 1, 1, "byrequests");
        let files = [("token", &*token), ("members", &*found(&containers[2..]))];
        let gateway = Gateway::start_with(&files, &config).await;
        Self {
            containers,
            gateway,
            random: Random::new(22),
        }
    }

    /// The file of the discovery says another set, perhaps none.
    fn find_others(&mut self) {
        let first = 2 + self.random.below(3);
        let last = first.max(2 + self.random.below(3));
        let path = self.gateway.file("members");
        let new = path.with_extension("new");
        std::fs::write(&new, found(&self.containers[first..last])).unwrap();
        std::fs::rename(&new, &path).unwrap();
    }

    fn reload(&mut self) {
        let method = ["byrequests", "bybusyness", "hash:path"][self.random.below(3)];
        let (retry, weight) = (self.random.below(3) + 1, self.random.below(3) + 1);
        let config = config(&self.containers, retry, weight, method);
        self.gateway.rewrite(&config);
        self.gateway.signal("HUP");
    }

    /// Three things at a time: a change, a drain, the end of one, a member that comes or goes.
    async fn ask_the_api(&mut self) {
        let random = &mut self.random;
        let url = self.containers[1 + random.below(3)].url();
        let this = format!("/balancers/b/members/{}", coded(&url));
        let drain = format!("{this}/drain");
        let then = ["keep", "disable", "remove"][random.below(3)];
        let flags = ["", "N", "D"][random.below(3)];
        let asked = [
            (
                "PUT",
                this.clone(),
                json!({ "weight": random.below(4) + 1 }),
            ),
            ("PUT", this.clone(), json!({ "flags": flags })),
            (
                "POST",
                drain.clone(),
                json!({ "session_timeout": 0, "at_most": 0.1, "then": then }),
            ),
            ("DELETE", drain, Value::Null),
            ("DELETE", this, Value::Null),
            (
                "POST",
                "/balancers/b/members".to_owned(),
                json!({ "url": url, "max_connections": 9 }),
            ),
            ("GET", "/balancers/b".to_owned(), Value::Null),
        ];
        let first = random.below(asked.len());
        let some = asked.into_iter().cycle().skip(first).take(3);
        let gateway = &self.gateway;
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
    }

    /// All comes to an end: drains, members that leave, what was read last.
    async fn settle(&mut self) {
        let path = self.gateway.file("members");
        std::fs::write(&path, found(&self.containers[2..])).unwrap();
        let before = self.gateway.log().matches("reloaded").count();
        let config = config(&self.containers, 2, 2, "byrequests");
        self.gateway.rewrite(&config);
        self.gateway.signal("HUP");
        while self.gateway.log().matches("reloaded").count() == before {
            sleep(Duration::from_millis(20)).await;
        }
        sleep(Duration::from_secs(1)).await;
    }
}

fn config(containers: &[Container], retry: usize, weight: usize, method: &str) -> String {
    let place = "[balancer.discovery]\nfile = \"members\"\ninterval = \"20ms\"\n\
                 at_most = \"200ms\"\n";
    let own = containers[0].member(&format!("weight = {weight}")) + &containers[1].member("");
    let more = format!("retry = \"{retry}s\"\nmethod = \"{method}\"\n");
    let site = site(&more, &format!("{place}{own}"));
    with_token(&site, "state_file = \"state.json\"\n")
}

/// What the discovery's file says of these.
fn found(containers: &[Container]) -> String {
    let line = |one: &Container| format!("{} route={}\n", one.url(), one.name);
    containers.iter().map(line).collect::<Vec<_>>().concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_from_everywhere_at_once() {
    let mut scene = Scene::start().await;
    let (stop, answers) = (Arc::default(), Arc::new(AtomicUsize::new(0)));
    let visitors = (0..6).map(|number| {
        let (stop, answers) = (Arc::clone(&stop), Arc::clone(&answers));
        tokio::spawn(visit(scene.gateway.http, number, stop, answers))
    });
    let visitors: Vec<_> = visitors.collect();
    let (mut changes, mut reloads) = (0, 0);
    let start = Instant::now();
    while start.elapsed() < TIME {
        match scene.random.below(8) {
            0 => scene.find_others(),
            1 => {
                scene.reload();
                reloads += 1;
            }
            _ => {
                scene.ask_the_api().await;
                changes += 3;
            }
        }
        let pause = scene.random.below(10);
        sleep(Duration::from_millis(pause as u64)).await;
    }
    stop.store(true, Ordering::SeqCst);
    for visitor in visitors {
        let bad = visitor.await.unwrap();
        assert_eq!(bad, [""; 0], "{}", scene.gateway.log());
    }
    let answers = answers.load(Ordering::SeqCst);
    println!("{answers} answers during {changes} changes and {reloads} reloads, 0 failed");
    assert!(answers > 200 && changes > 50 && reloads > 5);

    scene.settle().await;
    let gateway = scene.gateway;
    assert!(!gateway.log().contains("panicked"), "{}", gateway.log());
    let runs = members(&gateway).await;
    assert!(runs.contains_key(&scene.containers[0].url()), "{runs:?}");
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

/// A member that was added, and is found as well, is removed for good: until the discovery has
/// found it no longer.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_was_added_and_found_is_removed_once() {
    let mut containers = Vec::new();
    for name in ["a", "b", "c", "d"] {
        containers.push(Container::start(name).await);
    }
    let token = format!("{TOKEN}\n");
    let files = [("token", &*token), ("members", &*found(&containers[2..3]))];
    let config = config(&containers, 1, 1, "byrequests");
    let mut gateway = Gateway::start_with(&files, &config).await;
    let url = containers[3].url();
    let say = |gateway: &Gateway, last: usize| {
        let path = gateway.file("members");
        let new = path.with_extension("new");
        std::fs::write(&new, found(&containers[2..last])).unwrap();
        std::fs::rename(&new, &path).unwrap();
    };
    let added = json!({ "url": url });
    let answer = ask(&gateway, "POST", "/balancers/b/members", added).await;
    assert_eq!(answer.status.as_u16(), 201, "{}", answer.text());
    say(&gateway, 4);
    sleep(Duration::from_millis(300)).await;
    let removal = format!("/balancers/b/members/{}", coded(&url));
    let answer = ask(&gateway, "DELETE", &removal, Value::Null).await;
    assert!(answer.status.is_success(), "{}", answer.text());
    for _ in 0..2 {
        sleep(Duration::from_millis(300)).await;
        assert!(!members(&gateway).await.contains_key(&url));
        gateway = gateway.restart().await;
    }
    say(&gateway, 3);
    sleep(Duration::from_millis(500)).await;
    say(&gateway, 4);
    let end = Instant::now() + Duration::from_secs(10);
    while !members(&gateway).await.contains_key(&url) {
        assert!(Instant::now() < end, "{}", gateway.log());
        sleep(Duration::from_millis(50)).await;
    }
}
