//! Who serves which request: weights, sessions, standbys, draining.

use crate::container::{Container, member};
use crate::support::gateway::Gateway;
use crate::support::http1::{Body, Client};
use std::collections::BTreeMap;

/// One balancer for the whole site.
pub(crate) fn site(balancer: &str, members: &str) -> String {
    format!(
        "[manager]\nchanges = true\n\
         [[balancer]]\nname = \"b\"\nsticky = \"JSESSIONID|jsessionid\"\n{balancer}\n{members}\
         [[map]]\npath = \"/\"\nto = \"balancer://b/app\"\n"
    )
}

/// How many of `n` requests without session each container served.
pub(crate) async fn count(client: &mut Client, n: usize) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for _ in 0..n {
        let name = served(client, "").await;
        *counts.entry(name).or_default() += 1;
    }
    counts
}

/// Who serves a request with this session id.
pub(crate) async fn served(client: &mut Client, session: &str) -> String {
    let cookie = format!("JSESSIONID={session}");
    let headers = [("cookie", &*cookie)];
    let headers = if session.is_empty() {
        &[]
    } else {
        &headers[..]
    };
    let answer = client.request("GET", "/", headers, Body::None).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["name"].as_str().unwrap().to_owned()
}

fn counts<const N: usize>(expected: [(&str, usize); N]) -> BTreeMap<String, usize> {
    expected.map(|(name, n)| (name.to_owned(), n)).into()
}

#[tokio::test]
async fn weights_three_to_one() {
    let (a, b) = (Container::start("a").await, Container::start("b").await);
    let members = a.member("weight = 3.0") + &b.member("");
    let gateway = Gateway::start(&site("", &members)).await;
    let mut client = gateway.client();
    assert_eq!(
        count(&mut client, 100).await,
        counts([("a", 75), ("b", 25)])
    );
}

#[tokio::test]
async fn sessions_stay_by_cookie_and_by_path() {
    let (a, b) = (Container::start("a").await, Container::start("b").await);
    let members = a.member("weight = 3.0") + &b.member("");
    let gateway = Gateway::start(&site("", &members)).await;
    let mut client = gateway.client();
    for _ in 0..8 {
        let answer = client.get("/?login").await;
        let name = answer.json()["name"].as_str().unwrap().to_owned();
        // Mapped back: the site's path is "/", the container's is "/app".
        let cookie = answer.header("set-cookie").unwrap();
        assert!(cookie.ends_with("; Path=/; HttpOnly"), "{cookie}");
        let id = cookie.split(['=', ';']).nth(1).unwrap();
        assert!(id.ends_with(&format!(".{name}")), "{cookie}");
        for _ in 0..3 {
            assert_eq!(served(&mut client, id).await, name);
            let seen = client.get(&format!("/x;jsessionid={id}")).await.json();
            assert_eq!(
                (&seen["name"], &seen["route"]),
                (&name.clone().into(), &name.clone().into())
            );
        }
    }
}

#[tokio::test]
async fn a_standby_serves_when_nobody_else_can() {
    let (a, standby) = (Container::start("a").await, Container::start("s").await);
    let members = a.member("") + &standby.member("status = \"+H\"");
    let gateway = Gateway::start(&site("retry = \"1h\"", &members)).await;
    let mut client = gateway.client();
    assert_eq!(count(&mut client, 10).await, counts([("a", 10)]));
    let url = a.url();
    let off = [("balancer", "b"), ("member", &url), ("status", "+D")];
    assert_eq!(gateway.change(&off).await.status, 303);
    assert_eq!(count(&mut client, 10).await, counts([("s", 10)]));
    let on = [("balancer", "b"), ("member", &url), ("status", "-D")];
    assert_eq!(gateway.change(&on).await.status, 303);
    assert_eq!(count(&mut client, 10).await, counts([("a", 10)]));
}

#[tokio::test]
async fn a_drained_member_keeps_its_sessions_and_gets_no_new_ones() {
    let (a, b) = (Container::start("a").await, Container::start("b").await);
    let gateway = Gateway::start(&site("", &(a.member("") + &b.member("")))).await;
    let mut client = gateway.client();
    let url = a.url();
    let drain = [("balancer", "b"), ("member", &url), ("status", "+N")];
    assert_eq!(gateway.change(&drain).await.status, 303);
    assert_eq!(gateway.member("a").await["flags"], "N");
    assert_eq!(count(&mut client, 20).await, counts([("b", 20)]));
    for _ in 0..5 {
        assert_eq!(served(&mut client, "1.a").await, "a");
    }
    let resume = [("balancer", "b"), ("member", &url), ("status", "-N")];
    assert_eq!(gateway.change(&resume).await.status, 303);
    // Its sessions' requests count as well.
    let after = count(&mut client, 20).await["a"];
    assert!((7..=10).contains(&after), "{after}");
}

#[tokio::test]
async fn a_session_is_refused_rather_than_moved_if_so_configured() {
    let a = Container::start("a").await;
    let gone = member("ajp://127.0.0.1:1", "gone", "");
    for (option, status) in [("nofailover = true", 503), ("nofailover = false", 200)] {
        let gateway = Gateway::start(&site(option, &(a.member("") + &gone))).await;
        let cookie = [("cookie", "JSESSIONID=1.gone")];
        let answer = gateway
            .client()
            .request("GET", "/", &cookie, Body::None)
            .await;
        assert_eq!(answer.status, status, "{option}");
    }
}

#[tokio::test]
async fn flags_make_a_balancer_without_a_file() {
    let (a, b) = (Container::start("a").await, Container::start("b").await);
    let a = format!("{} route=a weight=3", a.url());
    let b = format!("{} route=b status=-D set=0", b.url());
    let gateway = Gateway::with_flags(&[
        "--backend",
        &a,
        "--backend",
        &b,
        "--method",
        "bybusyness",
        "--sticky",
        "JSESSIONID|jsessionid",
        "--manager",
        "127.0.0.1:0",
    ])
    .await;
    let mut client = gateway.client();
    assert_eq!(count(&mut client, 40).await, counts([("a", 30), ("b", 10)]));
    assert_eq!(served(&mut client, "1.b").await, "b");
    let status = gateway.status().await;
    assert_eq!(status["balancers"][0]["name"], "default");
    assert_eq!(status["balancers"][0]["method"], "bybusyness");
    assert_eq!(status["changes"], false);
    assert!(status["nonce"].is_null());
}
