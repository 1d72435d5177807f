//! The manager: what it shows is the same everywhere, and what it changes only who may.

use crate::balancing::{count, site};
use crate::container::{Container, member};
use crate::page::{forms, members, tags};
use crate::support::gateway::{Gateway, coded, post};
use crate::support::http1::{Body, Response};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const URL: &str = "ajp://127.0.0.1:1";

/// A gateway before containers that do not exist.
async fn idle(changes: bool) -> Gateway {
    let members = member(URL, "a", "status = \"+H\"") + &member("ajp://127.0.0.1:2", "b", "");
    let config = site("", &members);
    let config = config.replace("changes = true", &format!("changes = {changes}"));
    Gateway::start(&config).await
}

fn assert_safe_headers(answer: &Response) {
    let policy = answer.header("content-security-policy").unwrap();
    for rule in [
        "default-src 'none'",
        "frame-ancestors 'none'",
        "form-action 'self'",
        "base-uri 'none'",
    ] {
        assert!(policy.contains(rule), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("access-control-allow-origin"), None);
}

/// Sessions that moved, were refused and were lost have one number each, which is the same
/// everywhere.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_moved_were_refused_or_lost_are_counted() {
    let (a, b) = (Container::start("a").await, Container::start("b").await);
    let gone = a.member("") + &b.member("") + &member(URL, "gone", "");
    for (nofailover, expected) in [(false, [2, 0, 1]), (true, [0, 2, 1])] {
        let more = format!("nofailover = {nofailover}\nretry = \"1h\"");
        let gateway = Gateway::start(&site(&more, &gone)).await;
        let mut client = gateway.client();
        for (id, query) in [
            ("1.a", ""),
            ("2.b", "?login"),
            ("3.gone", ""),
            ("4.gone", ""),
        ] {
            let cookie = format!("JSESSIONID={id}");
            let headers = [("cookie", &*cookie)];
            let target = format!("/{query}");
            let answer = client.request("GET", &target, &headers, Body::None).await;
            let is_refused = nofailover && id.ends_with("gone");
            assert_eq!(answer.status == 503, is_refused, "{id}: {}", answer.text());
        }
        let mut operator = gateway.operator();
        let page = operator.get("/balancer-manager").await;
        let metrics = operator.get("/metrics").await;
        let status = gateway.status().await;
        let kinds = ["moved", "refused", "lost"];
        for (kind, expected) in kinds.into_iter().zip(expected) {
            let known = &status["balancers"][0][format!("{kind}_sessions")];
            assert_eq!(*known, expected, "{kind}");
            let shown = format!("data-field=\"{kind}_sessions\">{expected}<");
            assert!(page.text().contains(&shown), "{shown}");
            let line = format!("ajp_balancer_{kind}_sessions_total{{balancer=\"b\"}} {expected}\n");
            assert!(metrics.text().contains(&line), "{line}");
        }
        let route = "route=\"b\"";
        let lost = metrics.text().lines().find(|line| {
            line.starts_with("ajp_member_lost_sessions_total{") && line.contains(route)
        });
        assert!(lost.unwrap().ends_with(" 1"), "{lost:?}");
    }
}

#[tokio::test]
async fn page_json_and_metrics_say_the_same() {
    let (a, b) = (Container::start("a").await, Container::start("b").await);
    let dead = member(URL, "dead", "set = 3\nstatus = \"+NI\"");
    let members_ = a.member("weight = 1.5") + &b.member("") + &dead;
    let gateway = Gateway::start(&site("", &members_)).await;
    let mut client = gateway.client();
    count(&mut client, 25).await;
    let upload = Body::Full(vec![b'x'; 3000].into());
    client.request("POST", "/?status=500", &[], upload).await;
    // Answered, but the member may be counted free a moment later.
    let busy = |member: &Value| member["busy"] != 0;
    gateway
        .wait_until("idle", |status| {
            !status["balancers"][0]["members"]
                .as_array()
                .unwrap()
                .iter()
                .any(busy)
        })
        .await;

    let mut operator = gateway.operator();
    let page = operator.get("/balancer-manager").await;
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert_safe_headers(&page);
    let json = operator.get("/balancer-manager.json").await.json();
    let metrics = operator.get("/metrics").await;
    let kind = metrics.header("content-type").unwrap();
    assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
    let metrics = parse_metrics(metrics.text());

    let shown = members(page.text());
    let balancer = &json["balancers"][0];
    let known = balancer["members"].as_array().unwrap();
    assert_eq!(shown.len(), known.len());
    let mut sum = 0;
    for member in known {
        let name = member["name"].as_str().unwrap();
        let row = &shown[name];
        for field in ["state", "flags"] {
            assert_eq!(
                row[field],
                member[field].as_str().unwrap(),
                "{field} of {name}"
            );
        }
        for field in [
            "elected",
            "busy",
            "set",
            "sent_bytes",
            "received_bytes",
            "failed",
            "timed_out",
            "full",
        ] {
            assert_eq!(row[field], member[field].to_string(), "{field} of {name}");
        }
        let weight: f64 = row["weight"].parse().unwrap();
        assert_eq!(Some(weight), member["weight"].as_f64());
        let labels = format!(
            "{{balancer=\"b\",member=\"{name}\",route=\"{}\"",
            member["route"].as_str().unwrap()
        );
        let metric = |metric: &str, more: &str| metrics[&format!("{metric}{labels}{more}}}")];
        for (field, name) in [
            ("elected", "elected_total"),
            ("busy", "busy"),
            ("set", "set"),
            ("sent_bytes", "sent_bytes_total"),
            ("received_bytes", "received_bytes_total"),
            ("failed", "failed_total"),
            ("new_sessions", "new_sessions_total"),
        ] {
            let value = metric(&format!("ajp_member_{name}"), "");
            assert_eq!(Some(value), member[field].as_f64(), "{field} of {name}");
        }
        assert!((metric("ajp_member_weight", "") - weight).abs() < 1e-9);
        let errors = metric("ajp_member_responses_total", ",code=\"5xx\"");
        assert_eq!(Some(errors), member["statuses"][4].as_f64());
        let pool = &member["pool"];
        let idle = metric("ajp_pool_connections", ",state=\"idle\"");
        assert_eq!(Some(idle), pool["idle"].as_f64());
        let latency = &member["latency"];
        let median = metric("ajp_member_latency_seconds", ",percentile=\"50\"");
        assert_eq!(Some(median), latency["p50"].as_f64());
        assert_eq!(
            Some(metric("ajp_member_timed_answers_total", "")),
            latency["count"].as_f64()
        );
        sum += member["elected"].as_u64().unwrap();
    }
    assert_eq!(sum, 26);
    let sent: u64 = known
        .iter()
        .map(|member| member["sent_bytes"].as_u64().unwrap())
        .sum();
    assert_eq!(sent, 3000);
}

/// Series by name and labels. Checks what Prometheus would refuse.
fn parse_metrics(text: &str) -> BTreeMap<String, f64> {
    let mut series = BTreeMap::new();
    let mut kinds: BTreeMap<&str, &str> = BTreeMap::new();
    let mut helped = BTreeSet::new();
    let mut family = "";
    assert!(text.ends_with('\n'));
    for line in text.lines() {
        let words: Vec<_> = line.splitn(4, ' ').collect();
        match words[..] {
            ["#", "HELP", name, _] => assert!(helped.insert(name), "{name} twice"),
            ["#", "TYPE", name, kind] => {
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{kind}");
                assert!(helped.contains(name) && kinds.insert(name, kind).is_none());
                family = name;
            }
            _ => {
                let (labelled, value) = line.rsplit_once(' ').unwrap();
                let (name, labels) = labelled.split_once('{').unwrap_or((labelled, "}"));
                let labels = labels.strip_suffix('}').unwrap();
                let base = match kinds[family] {
                    "histogram" => ["_sum", "_count", "_bucket"]
                        .into_iter()
                        .fold(name, |name, end| name.trim_end_matches(end)),
                    "counter" => {
                        assert!(name.ends_with("_total"), "{name}");
                        name
                    }
                    _ => name,
                };
                assert_eq!(base, family, "{line}");
                assert!(
                    name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
                    "{name}"
                );
                for label in labels.split("\",").filter(|label| !label.is_empty()) {
                    let (name, value) = label.split_once("=\"").unwrap();
                    assert!(name.bytes().all(|b| b.is_ascii_lowercase()), "{name}");
                    assert!(!value.trim_end_matches('"').contains('"'), "{line}");
                }
                let value: f64 = value.parse().unwrap();
                assert!(value.is_finite());
                assert_eq!(
                    series.insert(labelled.to_owned(), value),
                    None,
                    "{line} twice"
                );
            }
        }
    }
    series
}

#[tokio::test]
async fn a_form_changes_what_it_says() {
    let gateway = idle(true).await;
    let mut operator = gateway.operator();
    let edit = format!("/balancer-manager?balancer=b&member={}", coded(URL));
    let page = operator.get(&edit).await;
    assert!(
        !page.text().contains("http-equiv=\"refresh\""),
        "nobody is interrupted"
    );
    let (form, mut fields) = forms(page.text()).remove(0);
    assert_eq!(form["method"], "post");
    assert_eq!(form["action"], "/balancer-manager");
    assert_eq!((&*fields["weight"], &*fields["set"]), ("1", "0"));
    fields.insert("weight".into(), "2.5".into());
    fields.insert("set".into(), "7".into());
    let mut fields: Vec<_> = fields
        .iter()
        .map(|(name, value)| (&**name, &**value))
        .collect();
    fields.retain(|(name, _)| *name != "flag");
    fields.extend([("flag", ""), ("flag", "N"), ("flag", "I")]);
    let origin = format!("http://{}", gateway.manager.unwrap());
    let browser = [("origin", &*origin), ("sec-fetch-site", "same-origin")];
    let answer = post(&mut operator, &fields, &browser).await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    assert_eq!(answer.header("location"), Some("/balancer-manager"));
    assert_safe_headers(&answer);
    let member = gateway.member("a").await;
    assert_eq!(member["weight"], 2.5);
    assert_eq!(member["set"], 7);
    assert_eq!(member["flags"], "NI");
    let done = format!(
        "manager: 127.0.0.1 (page): b/{URL}: flags \"H\" -> \"NI\", set 0 -> 7, \
         weight 1.0 -> 2.5\n"
    );
    assert!(gateway.says(&done).await, "{}", gateway.log());

    // No box is checked: no flag is left.
    fields.retain(|(_, value)| !["N", "I"].contains(value));
    assert_eq!(post(&mut operator, &fields, &browser).await.status, 303);
    assert_eq!(gateway.member("a").await["flags"], "");

    let method = [
        ("balancer", "b"),
        ("method", "lowest_latency"),
        ("refresh", "2"),
    ];
    let answer = gateway.change(&method).await;
    assert_eq!(
        answer.header("location"),
        Some("/balancer-manager?refresh=2")
    );
    assert_eq!(
        gateway.status().await["balancers"][0]["method"],
        "lowestlatency"
    );
}

#[tokio::test]
async fn forms_change_every_setting_and_add_and_remove_members() {
    let gateway = idle(true).await;
    let mut operator = gateway.operator();
    let edit = format!("/balancer-manager?balancer=b&member={}", coded(URL));
    let page = operator.get(&edit).await;
    let (_, shown) = forms(page.text()).remove(0);
    let state = operator.get("/api/v1/balancers/b").await.json();
    let settings = state["members"][0]["settings"].as_object().unwrap();
    for key in settings.keys() {
        let has = [
            key.clone(),
            format!("is:{key}"),
            key.replace("flags", "flag"),
        ];
        let has = has.iter().any(|name| shown.contains_key(name));
        assert!(has || key == "name", "{key} is not on the page");
    }
    let member = [("balancer", "b"), ("member", URL)];
    let changes = [
        ("is:response_head_timeout", "45s"),
        ("is:request_timeout", ""),
        ("is:packet_size", "16384"),
        ("is:route", "7"),
    ];
    let answer = gateway.change(&[&member[..], &changes].concat()).await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    let line = format!(
        "manager: 127.0.0.1 (page): b/{URL}: packet_size 8192 -> 16384, \
         response_head_timeout 60.0 -> 45.0, route \"a\" -> \"7\"\n"
    );
    assert!(gateway.says(&line).await, "{}", gateway.log());

    let page = operator.get("/balancer-manager?balancer=b").await;
    let (_, shown) = forms(page.text()).remove(0);
    assert_eq!(
        (&*shown["is:retry"], &*shown["is:max_timeouts"]),
        ("10.0", "")
    );
    let balancer = [
        ("balancer", "b"),
        ("is:retry", "5s"),
        ("is:max_timeouts", "3"),
    ];
    let answer = gateway.change(&balancer).await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    let state = operator.get("/api/v1/balancers/b").await.json();
    assert_eq!(state["settings"]["retry"], 5.0);
    assert_eq!(state["settings"]["max_timeouts"], 3);

    let other = "ajp://127.0.0.1:9";
    let added = [
        ("balancer", "b"),
        ("url", other),
        ("is:route", "c"),
        ("is:weight", ""),
    ];
    let answer = gateway.change(&added).await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    assert_eq!(gateway.member("c").await["weight"], 1.0);
    let again = gateway.change(&added).await;
    assert_eq!(again.status, 409, "{}", again.text());
    let gone = [("balancer", "b"), ("member", other), ("remove", "1")];
    let unsure = gateway.change(&gone).await;
    assert_eq!(unsure.status, 400, "{}", unsure.text());
    let sure = gateway
        .change(&[&gone[..], &[("sure", "1")]].concat())
        .await;
    assert_eq!(sure.status, 303, "{}", sure.text());
    let status = gateway.status().await;
    let members = status["balancers"][0]["members"].as_array().unwrap();
    assert!(
        members.iter().all(|member| member["name"] != other),
        "{status}"
    );
    for (field, text) in [
        (("is:color", "red"), "color: unknown field"),
        (("is:packet_size", "9"), "packet_size: 9 is not"),
    ] {
        let answer = gateway.change(&[&member[..], &[field]].concat()).await;
        assert_eq!(answer.status, 400);
        assert!(answer.text().contains(text), "{}", answer.text());
    }
}

#[tokio::test]
async fn recovery_and_reset() {
    let a = Container::start("a").await;
    let members = member(URL, "dead", "weight = 9.0") + &a.member("");
    let gateway = Gateway::start(&site("retry = \"1h\"", &members)).await;
    assert_eq!(gateway.client().get("/").await.status, 200);
    let dead = gateway.member("dead").await;
    assert_eq!(
        (&dead["state"], &dead["elected"]),
        (&"error".into(), &1.into())
    );
    assert!(dead["recovery_in"].as_f64().unwrap() > 3000.0);
    assert_eq!(dead["last_error"], "cannot connect");
    let page = gateway.operator().get("/balancer-manager").await;
    let texts: Vec<_> = tags(page.text()).into_iter().map(|tag| tag.text).collect();
    assert!(texts.contains(&"tried in 1 h".into()), "{texts:?}");
    assert!(page.text().contains(" cannot connect<"), "{}", page.text());
    assert!(texts.contains(&"1 of 2 serving".into()), "{texts:?}");
    let reset = [("balancer", "b"), ("reset", "1")];
    assert_eq!(gateway.change(&reset).await.status, 303);
    assert_eq!(gateway.member("dead").await["elected"], 0);
    let recover = [("balancer", "b"), ("member", URL), ("recover", "1")];
    assert_eq!(gateway.change(&recover).await.status, 303);
    assert_eq!(gateway.member("dead").await["state"], "ok");
}

#[tokio::test]
async fn what_may_not_change_anything() {
    let gateway = idle(true).await;
    let mut operator = gateway.operator();
    let status = gateway.status().await;
    let nonce = status["nonce"].as_str().unwrap();
    let other = nonce.replace(|c: char| c.is_ascii_digit(), "0");
    let drain = [("balancer", "b"), ("member", URL), ("status", "+N")];
    let with = |nonce| [&[("nonce", nonce)][..], &drain].concat();
    let cross = [("origin", "http://evil.example")];
    let site = [("sec-fetch-site", "cross-site")];
    for (fields, headers, status, text) in [
        (drain.to_vec(), &[][..], 403, "403 the nonce is missing\n"),
        (
            with(""),
            &[],
            403,
            "403 the nonce is not of this process; load the page again\n",
        ),
        (
            with(&other),
            &[],
            403,
            "403 the nonce is not of this process; load the page again\n",
        ),
        (
            with(&nonce[..31]),
            &[],
            403,
            "403 the nonce is not of this process; load the page again\n",
        ),
        (
            with(nonce),
            &cross,
            403,
            "403 the form is not of this page\n",
        ),
        (
            with(nonce),
            &site,
            403,
            "403 the form is not of this page\n",
        ),
    ] {
        let answer = post(&mut operator, &fields, headers).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (status, text));
        assert_safe_headers(&answer);
    }
    // Not by GET, not as another type, not without end.
    let query: Vec<_> = with(nonce)
        .iter()
        .map(|(name, value)| format!("{name}={}", coded(value)))
        .collect();
    let query = query.join("&");
    let target = format!("/balancer-manager?{query}");
    assert_eq!(operator.get(&target).await.status, 200);
    let json = [("content-type", "application/json")];
    for (kind, body, status) in [
        (&json[..], query.clone(), 415),
        (&[], query, 415),
        (
            &[("content-type", "application/x-www-form-urlencoded")],
            "x".repeat(20_000),
            413,
        ),
    ] {
        let body = Body::Full(body.into());
        let answer = operator
            .request("POST", "/balancer-manager", kind, body)
            .await;
        assert_eq!(answer.status, status);
    }
    for method in ["PUT", "DELETE"] {
        let answer = operator
            .request(method, "/balancer-manager", &[], Body::None)
            .await;
        assert_eq!(answer.status, 405);
    }
    assert_eq!(gateway.member("a").await["flags"], "H");
    assert!(!gateway.log().contains(nonce));
}

#[tokio::test]
async fn a_change_is_made_whole_or_not_at_all() {
    let gateway = idle(true).await;
    let member = ("member", URL);
    let balancer = ("balancer", "b");
    for (fields, status, text) in [
        (
            vec![balancer, member, ("set", "2"), ("weight", "0")],
            400,
            "weight: a weight is a number from 0.01 to 10000",
        ),
        (
            vec![balancer, member, ("weight", "2"), ("set", "-1")],
            400,
            "set: a whole number from 0 to 1000",
        ),
        (
            vec![balancer, member, ("weight", "2"), ("status", "+X")],
            400,
            "status: 'X' is no member flag",
        ),
        (
            vec![balancer, member, ("weight", "2"), ("flag", "X")],
            400,
            "flag: 'X' is no member flag",
        ),
        (
            vec![balancer, member, ("weight", "2"), ("color", "red")],
            400,
            "color: is no field of the manager",
        ),
        (
            vec![balancer, member, ("weight", "2"), ("reset", "1")],
            400,
            "member: has no method",
        ),
        (
            vec![balancer, ("method", "bytraffic"), ("weight", "2")],
            400,
            "member: must be named",
        ),
        (
            vec![balancer, ("method", "dice")],
            400,
            "method: byrequests, bytraffic",
        ),
        (vec![balancer], 400, "the form asks for nothing"),
        (vec![balancer, member], 400, "the form asks for nothing"),
        (
            vec![member, ("weight", "2")],
            400,
            "balancer: must be named",
        ),
        (
            vec![("balancer", "c"), ("reset", "1")],
            404,
            "there is no balancer \"c\"",
        ),
        (
            vec![balancer, ("member", "x"), ("weight", "2")],
            404,
            "there is no member \"x\"",
        ),
    ] {
        let answer = gateway.change(&fields).await;
        let said = answer.text();
        assert_eq!(answer.status, status, "{said}");
        assert!(said.starts_with(&format!("{status} {text}")), "{said}");
    }
    let known = gateway.member("a").await;
    assert_eq!(
        (&known["weight"], &known["set"], &known["flags"]),
        (&1.0.into(), &0.into(), &"H".into())
    );
    assert_eq!(
        gateway.status().await["balancers"][0]["method"],
        "byrequests"
    );
}

#[tokio::test]
async fn read_only_unless_told() {
    let gateway = idle(false).await;
    let mut operator = gateway.operator();
    let page = operator.get("/balancer-manager").await;
    assert!(forms(page.text()).is_empty());
    assert!(page.text().contains("read only"));
    let edit = operator.get("/balancer-manager?balancer=b").await;
    assert_eq!(edit.status, 404);
    let fields = [
        ("nonce", ""),
        ("balancer", "b"),
        ("member", URL),
        ("status", "+D"),
    ];
    let answer = post(&mut operator, &fields, &[]).await;
    assert_eq!(answer.status, 403);
    assert!(
        answer.text().starts_with("403 the manager is read only"),
        "{}",
        answer.text()
    );
    assert_eq!(gateway.member("a").await["flags"], "H");
}

#[tokio::test]
async fn other_names_lead_nowhere() {
    let gateway = idle(true).await;
    let mut operator = gateway.operator();
    for (host, status) in [
        ("evil.example", 421),
        ("127.0.0.1.evil.example:8081", 421),
        ("localhost:8081", 200),
        ("[::1]:8081", 200),
    ] {
        for target in [
            "/balancer-manager",
            "/balancer-manager.json",
            "/metrics",
            "/balancer-manager.css",
        ] {
            let answer = operator
                .request("GET", target, &[("host", host)], Body::None)
                .await;
            assert_eq!(answer.status, status, "{target} of {host}");
            assert_safe_headers(&answer);
        }
    }
    let named =
        site("", &member(URL, "a", "")).replace("[manager]", "[manager]\nhosts = [\"gw.example\"]");
    let gateway = Gateway::start(&named).await;
    let host = [("host", "gw.example:8081")];
    let mut operator = gateway.operator();
    let answer = operator
        .request("GET", "/balancer-manager", &host, Body::None)
        .await;
    assert_eq!(answer.status, 200);
}

/// Over HTTP/2 the host is a part of the target, not a header.
#[tokio::test]
async fn names_count_over_http2_too() {
    let gateway = idle(true).await;
    let url = format!("http://{}/metrics", gateway.manager.unwrap());
    for (host, status) in [("127.0.0.1", "200"), ("evil.example", "421")] {
        let mut curl = tokio::process::Command::new("curl");
        curl.args(["-sS", "--http2-prior-knowledge", "-o", "/dev/null"]);
        curl.args(["-w", "%{http_code}", "-H", &format!("Host: {host}"), &url]);
        let answer = curl.output().await.unwrap();
        assert_eq!(
            String::from_utf8_lossy(&answer.stdout),
            status,
            "{answer:?}"
        );
    }
}

#[tokio::test]
async fn the_site_has_no_manager() {
    let gateway = idle(true).await;
    let mut client = gateway.client();
    for target in ["/balancer-manager", "/balancer-manager.json", "/metrics"] {
        // It is the containers', which do not exist.
        assert_eq!(client.get(target).await.status, 503, "{target}");
    }
    let mut operator = gateway.operator();
    assert_eq!(operator.get("/x").await.status, 404);
    let root = operator.get("/").await;
    assert_eq!(
        (root.status.as_u16(), root.header("location")),
        (303, Some("/balancer-manager"))
    );
}

#[tokio::test]
async fn what_strangers_write_is_shown_as_text() {
    // A route may have these; so may what a stranger sends in a cookie.
    let hostile = "<b>'&lt<i>";
    let gateway = Gateway::start(&site("", &member(URL, hostile, ""))).await;
    let cookie = [("cookie", "JSESSIONID=1.<script>alert('1')</script>&amp")];
    gateway
        .client()
        .request("GET", "/", &cookie, Body::None)
        .await;
    let status = gateway.status().await;
    let route = status["balancers"][0]["last_unknown_route"]
        .as_str()
        .unwrap();
    assert!(route.contains("<script>"), "{route}");
    let mut operator = gateway.operator();
    let page = operator.get("/balancer-manager").await;
    let found = tags(page.text());
    assert!(
        found
            .iter()
            .all(|tag| tag.name != "script" && tag.name != "b" || tag.text == "5 s"),
        "{found:#?}"
    );
    let texts: Vec<_> = found.iter().map(|tag| &*tag.text).collect();
    assert!(texts.contains(&&*format!("route {hostile}")), "{texts:?}");
    assert!(texts.iter().any(|text| text.ends_with(route)), "{texts:?}");
    for target in [
        "/balancer-manager?balancer=%3Cscript%3E",
        "/balancer-manager?balancer=b&member=%3Cscript%3E",
        "/balancer-manager?refresh=%3Cscript%3E",
    ] {
        let answer = operator.get(target).await;
        let kind = answer.header("content-type").unwrap();
        assert!(
            !answer.text().contains("<script") || kind.starts_with("text/plain"),
            "{target}"
        );
        assert!(answer.status.is_client_error(), "{target}");
    }
    let metrics = operator.get("/metrics").await;
    parse_metrics(metrics.text());
}
