//! Containers that cannot be reached, are too slow, or answer badly.

use crate::balancing::{count, served, site};
use crate::container::{Container, member};
use crate::support::gateway::Gateway;
use crate::support::http1::Body;
use crate::support::ports;

#[tokio::test]
async fn another_member_serves_and_the_log_says_so() {
    let b = Container::start("b").await;
    let nobody = ports::free_addr();
    let dead = member(&format!("ajp://{nobody}"), "a", "weight = 9.0");
    let log = "access_log = \"access.log\"\n";
    let config = site("retry = \"1h\"", &(dead + &b.member("")));
    let gateway = Gateway::start(&(log.to_owned() + &config)).await;
    let mut client = gateway.client();
    let agent = [("user-agent", "test \"1\""), ("referer", "http://a/")];
    let answer = client.request("GET", "/x?y", &agent, Body::None).await;
    let length = answer.bytes().len();
    assert_eq!(answer.json()["name"], "b");
    client.get("/").await;
    assert_eq!(gateway.member("a").await["state"], "error");
    let path = gateway.file("access.log");
    let b = b.url();
    let printed = {
        let log = tempfile::tempdir().unwrap();
        let copy = log.path().join("log");
        // Hard link: the directory goes with the gateway.
        std::fs::hard_link(&path, &copy).unwrap();
        gateway.stop();
        std::fs::read_to_string(&copy).unwrap()
    };
    let lines: Vec<_> = printed.lines().collect();
    assert_eq!(lines.len(), 2, "{printed}");
    let expected = format!(
        "\"GET /x?y HTTP/1.1\" 200 {length} \"http://a/\" \"test \\\"1\\\"\" \
         route=b member={b} attempts=2 ms="
    );
    assert!(lines[0].contains(&expected), "{printed}");
    assert!(lines[1].contains("attempts=1 ms="), "{printed}");
    let (client, rest) = lines[0].split_once(" - - [").unwrap();
    assert_eq!(client, "127.0.0.1");
    let (time, _) = rest.split_once("] ").unwrap();
    let shape: String = time
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    assert!(
        shape.starts_with("00/") && shape.ends_with("/0000:00:00:00 +0000"),
        "{time}"
    );
}

#[tokio::test]
async fn nobody_left_is_a_503_with_the_time_to_come_back() {
    let nobody = ports::free_addr();
    let dead = member(&format!("ajp://{nobody}"), "a", "");
    let gateway = Gateway::start(&site("retry = \"90s\"", &dead)).await;
    let mut client = gateway.client();
    for _ in 0..2 {
        let answer = client.get("/").await;
        assert_eq!(answer.status, 503);
        let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=90).contains(&seconds), "{seconds}");
        assert_eq!(
            answer.text(),
            "503 the application is not available at the moment\n"
        );
    }
}

#[tokio::test]
async fn a_full_container_is_a_503_with_the_time_to_come_back() {
    let a = Container::start("a").await;
    let options = "max_connections = 1\nacquire_timeout = \"50ms\"";
    let gateway = Gateway::start(&site(options, &a.member(""))).await;
    let slow = {
        let mut client = gateway.client();
        tokio::spawn(async move { client.get("/?sleep=3000").await.status })
    };
    gateway
        .wait_until("busy", |status| {
            status["balancers"][0]["members"][0]["pool"]["in_use"] == 1
        })
        .await;
    let answer = gateway.client().get("/").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(slow.await.unwrap(), 200);
    let member = gateway.member("a").await;
    assert_eq!(
        (&member["full"], &member["state"]),
        (&1.into(), &"ok".into())
    );
}

/// What an adaptive limit does stands on the page, in JSON and in the metrics.
#[tokio::test]
async fn an_adaptive_limit_is_shown() {
    let a = Container::start("a").await;
    let options = "adaptive_limit = { initial = 1, least = 1 }";
    let gateway = Gateway::start(&site(options, &a.member(""))).await;
    let slow = {
        let mut client = gateway.client();
        tokio::spawn(async move { client.get("/?sleep=3000").await.status })
    };
    gateway
        .wait_until("busy", |status| {
            status["balancers"][0]["members"][0]["adaptive_in_flight"] == 1
        })
        .await;
    let answer = gateway.client().get("/").await;
    assert_eq!(
        (answer.status, answer.header("retry-after")),
        (503.try_into().unwrap(), Some("1"))
    );
    let member = gateway.member("a").await;
    assert_eq!(
        (
            &member["adaptive_limit"],
            &member["adaptive_refused"],
            &member["state"]
        ),
        (&1.into(), &1.into(), &"full".into())
    );
    let mut operator = gateway.operator();
    let metrics = operator.get("/metrics").await;
    for (family, value) in [
        ("limit", "1.0"),
        ("in_flight", "1.0"),
        ("refused_total", "1"),
    ] {
        let line = format!("ajp_member_adaptive_{family}{{balancer=\"b\",");
        let mut lines = metrics
            .text()
            .lines()
            .filter(|known| known.starts_with(&line));
        let line = lines.next().unwrap_or_else(|| panic!("{line}"));
        assert!(line.ends_with(&format!(" {value}")), "{line}");
    }
    let page = operator.get("/balancer-manager").await;
    assert!(
        page.text()
            .contains("refused beyond that: 1\">1 of 1</span>")
    );
    assert_eq!(slow.await.unwrap(), 200);
}

#[tokio::test]
async fn a_status_takes_a_member_out_and_the_request_goes_on() {
    let (a, b) = (Container::start("a").await, Container::start("b").await);
    let options = "fail_on_status = [503, -500]\nretry = \"1h\"";
    let members = a.member("weight = 9.0") + &b.member("");
    let gateway = Gateway::start(&site(options, &members)).await;
    let mut client = gateway.client();
    // Both answer 500; neither is out.
    assert_eq!(client.get("/?status=500").await.status, 500);
    for name in ["a", "b"] {
        assert_eq!(gateway.member(name).await["state"], "ok");
    }
    // Both answer 503: that is what the request asks for, and neither is out for it.
    assert_eq!(client.get("/?status=503").await.status, 503);
    for name in ["a", "b"] {
        assert_eq!(gateway.member(name).await["state"], "ok");
    }
    // A request that may not be sent twice is asked of one, which is out then. The last stays.
    for _ in 0..4 {
        let answer = client
            .request("POST", "/?status=503", &[], Body::None)
            .await;
        assert_eq!(answer.status, 503);
    }
    let mut out = 0;
    for name in ["a", "b"] {
        out += usize::from(gateway.member(name).await["state"] != "ok");
    }
    assert_eq!(out, 1);
}

#[tokio::test]
async fn a_container_that_returns_serves_again() {
    let (a, b) = (Container::start("a").await, Container::start("b").await);
    let health = "health = { check = \"cping\", interval = \"100ms\", rise = 1, fall = 1 }";
    let gateway = Gateway::start(&site(health, &(a.member("") + &b.member("")))).await;
    let mut client = gateway.client();
    assert_eq!(served(&mut client, "1.a").await, "a");
    let state = |route: &'static str, expected: &'static str| {
        move |status: &serde_json::Value| {
            let members = status["balancers"][0]["members"].as_array().unwrap();
            let member = members.iter().find(|member| member["route"] == route);
            member.unwrap()["state"] == expected
        }
    };
    let address = a.address;
    drop(a);
    gateway
        .wait_until("unhealthy", state("a", "unhealthy"))
        .await;
    assert_eq!(served(&mut client, "1.a").await, "b");
    let _a = Container::listen("a", address).await;
    gateway.wait_until("well again", state("a", "ok")).await;
    assert_eq!(served(&mut client, "1.a").await, "a");
    assert_eq!(count(&mut client, 10).await.len(), 2);
}

#[tokio::test]
async fn an_http_check_looks_at_the_application() {
    let (a, b) = (Container::start("a").await, Container::start("b").await);
    // The application of "a" says its name, that of "b" another.
    let health = "health = { check = \"http\", path = \"/app/up\", status = 200, \
        body = \"\\\"name\\\":\\\"a\\\"\", interval = \"100ms\", fall = 1 }";
    let gateway = Gateway::start(&site(health, &(a.member("") + &b.member("")))).await;
    gateway
        .wait_until("unhealthy", |status| {
            status["balancers"][0]["members"][1]["state"] == "unhealthy"
        })
        .await;
    let counts = count(&mut gateway.client(), 10).await;
    assert_eq!(
        counts.into_iter().collect::<Vec<_>>(),
        [("a".to_owned(), 10)]
    );
    let error = gateway.member("b").await["last_error"].clone();
    assert_eq!(error, "health check: the response has another body");
}

#[tokio::test]
async fn running_requests_end_before_the_gateway_does() {
    let a = Container::start("a").await;
    let gateway = Gateway::start(&site("", &a.member(""))).await;
    let slow = {
        let mut client = gateway.client();
        tokio::spawn(async move { client.get("/?sleep=1000").await })
    };
    gateway
        .wait_until("busy", |status| {
            status["balancers"][0]["members"][0]["busy"] == 1
        })
        .await;
    let log = tokio::task::spawn_blocking(move || gateway.stop())
        .await
        .unwrap();
    assert_eq!(slow.await.unwrap().json()["name"], "a");
    assert!(log.ends_with("gateway: draining\ngateway: done\n"), "{log}");
}
