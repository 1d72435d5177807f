//! The manager's API: what it shows, what it changes, and who may.

use crate::balancing::{served, site};
use crate::container::{Container, member};
use crate::support::gateway::{Gateway, coded};
use crate::support::http1::{Body, Response};
use serde_json::{Value, json};

const URL: &str = "ajp://127.0.0.1:1";
pub(crate) const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// A configuration with a token, and with more lines in its `[manager]`.
pub(crate) fn with_token(config: &str, more: &str) -> String {
    config.replace(
        "[manager]\nchanges = true",
        &format!("[manager]\ntoken_file = \"token\"\n{more}"),
    )
}

/// A gateway whose API takes changes.
pub(crate) async fn start(config: &str, more: &str) -> Gateway {
    let files = [("token", &*format!("{TOKEN}\n"))];
    Gateway::start_with(&files, &with_token(config, more)).await
}

/// A request of the API, with the token.
pub(crate) async fn ask(gateway: &Gateway, method: &str, path: &str, body: Value) -> Response {
    let token = format!("Bearer {TOKEN}");
    ask_as(gateway, method, path, body, &[("authorization", &token)]).await
}

async fn ask_as(
    gateway: &Gateway,
    method: &str,
    path: &str,
    body: Value,
    headers: &[(&str, &str)],
) -> Response {
    let body = match body {
        Value::Null => Body::None,
        body => Body::Full(body.to_string().into()),
    };
    let path = format!("/api/v1{path}");
    gateway
        .operator()
        .request(method, &path, headers, body)
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn members_are_added_changed_and_removed() {
    let (a, b) = (Container::start("a").await, Container::start("b").await);
    let gateway = start(&site("", &a.member("")), "").await;
    let mut client = gateway.client();
    assert_eq!(served(&mut client, "1.b").await, "a");

    let added = json!({ "url": b.url(), "route": "b", "weight": 3, "max_connections": 7 });
    let answer = ask(&gateway, "POST", "/balancers/b/members", added.clone()).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let shown = &answer.json()["member"];
    assert_eq!(shown["pool"]["max"], 7);
    assert_eq!(
        (&shown["weight"], &shown["added"]),
        (&3.0.into(), &true.into())
    );
    assert_eq!(
        served(&mut client, "1.b").await,
        "b",
        "its sessions find it"
    );
    let again = ask(&gateway, "POST", "/balancers/b/members", added).await;
    assert_eq!(again.status, 409);

    // By its route, and only what is given changes.
    let patch = json!({ "weight": 0.5, "flags": "+N", "max_connections": 9, "slow_start": 5 });
    let answer = ask(&gateway, "PUT", "/balancers/b/members/b", patch).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let changed = &answer.json()["changed"];
    assert_eq!(changed["weight"], json!({ "old": 3.0, "new": 0.5 }));
    assert_eq!(changed["flags"], json!({ "old": "", "new": "N" }));
    assert_eq!(changed["max_connections"], json!({ "old": 7, "new": 9 }));
    assert_eq!(changed["slow_start"], json!({ "old": null, "new": 5.0 }));
    assert_eq!(changed.as_object().unwrap().len(), 4, "{changed}");
    let line = format!(
        "manager: 127.0.0.1 (api): b/{}: flags \"\" -> \"N\", max_connections 7 -> 9, \
         slow_start null -> 5.0, weight 3.0 -> 0.5\n",
        b.url()
    );
    assert!(gateway.says(&line).await, "{}", gateway.log());

    let settings = json!({ "method": "least_outstanding", "sticky": null, "attempts": 1, "fail_on_status": [503, -500] });
    let answer = ask(&gateway, "PUT", "/balancers/b", settings).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let now = &answer.json()["settings"];
    assert_eq!(now["method"], "leastoutstanding");
    assert_eq!(now["fail_on_status"], json!([503, -500]));
    assert_eq!(now["sticky"], Value::Null);
    assert_eq!(
        served(&mut client, "1.b").await,
        "a",
        "sessions are not looked at"
    );

    let name = coded(&b.url());
    let answer = ask(
        &gateway,
        "DELETE",
        &format!("/balancers/b/members/{name}"),
        Value::Null,
    )
    .await;
    assert_eq!(
        (answer.status.as_u16(), &answer.json()["removed"]),
        (200, &b.url().into())
    );
    let state = ask(&gateway, "GET", "/state", Value::Null).await.json();
    let members = state["balancers"][0]["members"].as_array().unwrap();
    assert_eq!(members.len(), 1, "{members:#?}");
    assert_eq!(
        state["routes"],
        json!([{ "hosts": [], "path": "/", "to": "balancer://b/app" }])
    );
    for (end, key) in [("/recover", "recovered"), ("/drain", "phase")] {
        let target = format!("/balancers/b/members/a{end}");
        let answer = ask(&gateway, "POST", &target, Value::Null).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(answer.json()[key].is_string(), "{}", answer.text());
    }
    assert_eq!(
        ask(&gateway, "POST", "/balancers/b/reset", Value::Null)
            .await
            .status,
        200
    );
    assert_eq!(gateway.member("a").await["elected"], 0);
}

/// Who takes `sticky` away and gives the same names back has what the configuration says, not
/// only the names.
#[tokio::test(flavor = "multi_thread")]
async fn sticky_is_given_back_as_it_was() {
    let (a, b) = (Container::start("a").await, Container::start("b").await);
    let sessions = "[balancer.sessions]\ncookies = [\"SID\"]\nseparator = \"!\"\n";
    let members = a.member("") + &b.member("");
    let gateway = start(&site(sessions, &members), "").await;
    let mut client = gateway.client();
    let shown = ask(&gateway, "GET", "/balancers/b", Value::Null)
        .await
        .json();
    let names = shown["settings"]["sticky"].clone();
    assert_eq!(names, "JSESSIONID,SID|jsessionid", "{shown}");
    for change in [Value::Null, names] {
        let answer = ask(&gateway, "PUT", "/balancers/b", json!({ "sticky": change })).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    for route in ["b", "a", "a", "b", "b"] {
        assert_eq!(served(&mut client, &format!("1!{route}")).await, route);
    }
    // Other names than the configuration's, several of them.
    let other = json!({ "sticky": "JSESSIONID,OTHER|p,q" });
    let answer = ask(&gateway, "PUT", "/balancers/b", other).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["settings"]["sticky"], "JSESSIONID,OTHER|p,q");
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "a table")]
async fn errors_say_what_to_do_and_change_nothing() {
    let members = member(URL, "a", "status = \"+H\"");
    let gateway = start(&site("", &members), "").await;
    let this = "/balancers/b/members/a";
    for (method, path, body, status, text) in [
        (
            "PUT",
            "/balancers/c",
            json!({ "attempts": 2 }),
            404,
            "there is no balancer \"c\"; there are: b",
        ),
        (
            "PUT",
            "/balancers/b/members/x",
            json!({ "set": 2 }),
            404,
            "there is no member \"x\"; there are: ajp://127.0.0.1:1 (a)",
        ),
        (
            "PUT",
            this,
            json!({}),
            400,
            "the body says nothing; it may have ",
        ),
        (
            "PUT",
            this,
            json!({ "weight": 0 }),
            400,
            "weight: a weight is a number from 0.01 to 10000",
        ),
        (
            "PUT",
            this,
            json!({ "set": 1, "color": "red" }),
            400,
            "color: unknown field `color`, expected one of",
        ),
        (
            "PUT",
            this,
            json!({ "set": 1, "flags": "X" }),
            400,
            "flags: 'X' is no member flag",
        ),
        (
            "PUT",
            this,
            json!({ "set": 2000 }),
            400,
            "set: 2000 is not a whole number from 0 to 1000",
        ),
        (
            "PUT",
            this,
            json!({ "set": 1, "route": "a b" }),
            400,
            "member \"ajp://127.0.0.1:1\" has a route that cannot be",
        ),
        (
            "PUT",
            this,
            json!({ "name": "other" }),
            400,
            "name: a member keeps its name",
        ),
        (
            "PUT",
            this,
            json!({ "set": 1, "max_connections": 0 }),
            400,
            "max_connections: 0 is not a whole number from 1",
        ),
        (
            "PUT",
            "/balancers/b",
            json!({ "attempts": 3, "method": "dice" }),
            400,
            "method: \"dice\" is none; allowed is one of byrequests",
        ),
        (
            "PUT",
            "/balancers/b",
            json!({ "attempts": 0 }),
            400,
            "attempts: must be from 1 to 1000",
        ),
        (
            "PUT",
            "/balancers/b",
            json!({ "attempts": 3, "retry": -1 }),
            400,
            "retry: must be a number of seconds",
        ),
        (
            "PUT",
            "/balancers/b",
            json!({ "budget_percent": 1e9 }),
            400,
            "budget_percent: invalid type: floating point",
        ),
        (
            "PUT",
            "/balancers/b",
            json!({ "attempts": 3, "replay_bytes": 1_000_000_001 }),
            400,
            "replay_bytes: must be from 0 to 1000000000",
        ),
        (
            "PUT",
            "/balancers/b",
            json!({ "attempts": 3, "probe_limit": 0 }),
            400,
            "probe_limit: must be above 0",
        ),
        (
            "PUT",
            "/balancers/b",
            json!({ "fail_on_status": [200] }),
            400,
            "fail_on_status: 200 is not allowed",
        ),
        (
            "PUT",
            "/balancers/b",
            json!({ "sticky": null, "nofailover": true }),
            400,
            "nofailover: true needs sticky",
        ),
        (
            "POST",
            "/balancers/b/members",
            json!({ "route": "z" }),
            400,
            "url: is missing",
        ),
        (
            "POST",
            "/balancers/b/members",
            json!({ "url": "http://x" }),
            400,
            "url: ",
        ),
        (
            "POST",
            &format!("{this}/drain"),
            json!({ "at_most": "soon" }),
            400,
            "at_most: must be a number of seconds, or",
        ),
        (
            "POST",
            &format!("{this}/drain"),
            json!({ "then": "burn" }),
            400,
            "unknown variant `burn`, expected one of",
        ),
        (
            "PATCH",
            this,
            json!({ "set": 2 }),
            405,
            "PATCH is not for this; GET shows it, PUT changes it",
        ),
        ("GET", "/nowhere", Value::Null, 404, "there is no "),
    ] {
        let answer = ask(&gateway, method, path, body.clone()).await;
        let said = answer.json();
        assert_eq!(answer.status, status, "{said}");
        assert_eq!(said["error"]["status"], status);
        let methods = (status == 405).then_some("GET,HEAD,PUT,DELETE");
        assert_eq!(answer.header("allow"), methods);
        let said = said["error"]["text"].as_str().unwrap();
        assert!(said.starts_with(text), "{method} {path} {body}: {said}");
    }
    let broken = "{\"set\": 1";
    let token = format!("Bearer {TOKEN}");
    let answer = gateway
        .operator()
        .request(
            "PUT",
            &format!("/api/v1{this}"),
            &[("authorization", &*token)],
            Body::Full(broken.into()),
        )
        .await;
    assert_eq!(answer.status, 400);
    assert!(
        answer.text().contains("must be an object of JSON: EOF"),
        "{}",
        answer.text()
    );
    let known = gateway.member("a").await;
    assert_eq!(
        (&known["weight"], &known["set"], &known["flags"]),
        (&1.0.into(), &0.into(), &"H".into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_need_the_token_and_looks_do_not() {
    let members = member(URL, "a", "");
    let gateway = start(&site("", &members), "").await;
    let this = "/balancers/b/members/a";
    let right = format!("Bearer {TOKEN}");
    let longer = format!("{right}0");
    let other = right.replace('0', "1");
    let as_user = format!("Basic {TOKEN}");
    let cross = [
        ("authorization", &*right),
        ("origin", "http://evil.example"),
    ];
    let rebound = [("authorization", &*right), ("host", "evil.example")];
    for (headers, status, text) in [
        (&[][..], 401, "the token is missing"),
        (&[("authorization", &*as_user)], 401, "the token is missing"),
        (&[("authorization", "Bearer ")], 401, "the token is missing"),
        (
            &[("authorization", &right[..38])],
            401,
            "the token is not that of token_file",
        ),
        (
            &[("authorization", &*longer)],
            401,
            "the token is not that of token_file",
        ),
        (
            &[("authorization", &*other)],
            401,
            "the token is not that of token_file",
        ),
        (&cross, 403, "the form is not of this page"),
        (&rebound, 421, "the manager is asked by IP address"),
    ] {
        for method in ["PUT", "DELETE"] {
            let body = json!({ "set": 5 });
            let answer = ask_as(&gateway, method, this, body, headers).await;
            assert_eq!(answer.status, status, "{}", answer.text());
            let said = answer.json()["error"]["text"].as_str().unwrap().to_owned();
            assert!(said.starts_with(text), "{said}");
            let scheme = answer.header("www-authenticate");
            assert_eq!(scheme.is_some(), status == 401, "{scheme:?}");
        }
    }
    assert_eq!(
        ask_as(&gateway, "GET", "/state", Value::Null, &[])
            .await
            .status,
        200
    );
    assert_eq!(gateway.member("a").await["set"], 0);
    let log = gateway.log();
    assert!(
        !log.contains(TOKEN) && log.contains("manager: 127.0.0.1: refused: 401"),
        "{log}"
    );
    // The token is no nonce: the page stays as it was configured.
    let page = gateway.operator().get("/balancer-manager").await;
    assert!(page.text().contains("read only"));

    let without = Gateway::start(&site("", &members)).await;
    let answer = ask(&without, "PUT", this, json!({ "set": 5 })).await;
    assert_eq!(answer.status, 403);
    assert!(answer.text().contains("token_file = "), "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_token_holds_after_a_reload() {
    let config = site("", &member(URL, "a", ""));
    let mut gateway = start(&config, "").await;
    std::fs::write(gateway.file("token"), "another-token-of-some-length").unwrap();
    gateway.rewrite(&with_token(&config, ""));
    gateway.signal("HUP");
    gateway.wait_for_log("reloaded").await;
    let put = json!({ "set": 3 });
    let answer = ask(&gateway, "PUT", "/balancers/b/members/a", put.clone()).await;
    assert_eq!(answer.status, 401);
    let new = [("authorization", "bearer another-token-of-some-length")];
    let answer = ask_as(&gateway, "PUT", "/balancers/b/members/a", put, &new).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    std::fs::write(gateway.file("token"), "short").unwrap();
    gateway.signal("HUP");
    gateway
        .wait_for_log("a token has at least 16 bytes; make one with: openssl rand")
        .await;
}
