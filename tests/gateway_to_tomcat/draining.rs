//! Containers that are told that they drain: Tomcat's `LoadBalancerDrainingValve` and this crate's
//! `DrainLayer` side by side, behind the gateway.

use crate::support::gateway::Gateway;
use crate::support::http1::{Body, Client, Response};
use crate::support::tomcat::{SECRET, Tomcat};
use ajp::server::DrainLayer;
use axum::extract::Request;
use axum::http::header::{COOKIE, SET_COOKIE};
use axum::response::IntoResponse;
use axum::routing::get;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;

const VALVE: &str = "org.apache.catalina.valves.LoadBalancerDrainingValve";

/// Two members, of which the second may be any container.
fn config(first: SocketAddr, second: SocketAddr) -> String {
    format!(
        "[manager]\nchanges = true\n[[balancer]]\nname = \"farm\"\nsecret_file = \"secret\"\n\
         sticky = \"JSESSIONID|jsessionid\"\n\
         [balancer.failover]\nsend_activation = true\n\
         [[balancer.member]]\nurl = \"ajp://{first}\"\nroute = \"jvm1\"\n\
         [[balancer.member]]\nurl = \"ajp://{second}\"\nroute = \"jvm2\"\n\
         [[map]]\npath = \"/\"\nto = \"balancer://farm/\"\n"
    )
}

async fn ask(client: &mut Client, cookie: &str) -> Response {
    let cookie = format!("JSESSIONID={cookie}");
    let headers = [("cookie", &*cookie)];
    let headers = if cookie.ends_with('=') {
        &[]
    } else {
        &headers[..]
    };
    client
        .request("GET", "/app/session?page=2", headers, Body::None)
        .await
}

/// The id of the session that an answer begins.
fn begun(answer: &Response) -> Option<String> {
    let cookie = answer.header("set-cookie")?;
    let id = cookie.strip_prefix("JSESSIONID=")?.split(';').next()?;
    Some(id.to_owned()).filter(|id| !id.is_empty())
}

/// The route that an id carries.
fn route(id: &str) -> &str {
    id.split_once('.').unwrap().1
}

/// Drains the first of two containers: its own session stays, who comes with one that it does not
/// know any more is sent to the other one, and back when it serves again.
async fn drains(what: &str, first: SocketAddr, second: SocketAddr) {
    let gateway = Gateway::start_with(&[("secret", SECRET)], &config(first, second)).await;
    let mut client = gateway.client();
    let live = loop {
        let id = begun(&ask(&mut client, "").await).unwrap();
        if route(&id) == "jvm1" {
            break id;
        }
    };
    // It does not know the session, and begins another one: nobody drains.
    let answer = ask(&mut client, "0123456789ABCDEF.jvm1").await;
    assert_eq!(answer.status, 200, "{what}: {}", answer.text());
    assert_eq!(route(&begun(&answer).unwrap()), "jvm1", "{what}");

    let member = format!("ajp://{first}");
    let drain = |status: &'static str| {
        [
            ("balancer", "farm"),
            ("member", &*member),
            ("status", status),
        ]
    };
    assert_eq!(gateway.change(&drain("+N")).await.status, 303);
    let answer = ask(&mut client, &live).await;
    assert_eq!(answer.status, 200, "{what}: its session stays");
    assert_eq!(begun(&answer), None, "{what}: and is the same one");
    let answer = ask(&mut client, "0123456789ABCDEF.jvm1").await;
    assert_eq!(answer.status, 307, "{what}: {}", answer.text());
    let location = answer.header("location").unwrap();
    assert!(
        location.ends_with("/app/session?page=2"),
        "{what}: {location}"
    );
    let gone = answer.header("set-cookie").unwrap();
    assert!(
        gone.starts_with("JSESSIONID=;") && gone.contains("Max-Age=0"),
        "{what}: {gone}"
    );
    // As it is told, the visitor comes again without a session.
    let answer = ask(&mut client, "").await;
    assert_eq!(route(&begun(&answer).unwrap()), "jvm2", "{what}");

    assert_eq!(gateway.change(&drain("-N")).await.status, 303);
    let answer = ask(&mut client, "0123456789ABCDEF.jvm1").await;
    assert_eq!(answer.status, 200, "{what}: it serves again");
}

/// A container of this crate that knows the sessions which it has begun.
async fn container(route: &'static str) -> SocketAddr {
    let known: Arc<Mutex<HashSet<String>>> = Arc::default();
    let session = |headers: &axum::http::HeaderMap| {
        let cookie = headers.get(COOKIE)?.to_str().ok()?;
        Some(cookie.strip_prefix("JSESSIONID=")?.to_owned())
    };
    let check = Arc::clone(&known);
    let layer = DrainLayer::new("JSESSIONID", route).with_session_check(move |headers| {
        session(headers).is_some_and(|id| check.lock().unwrap().contains(&id))
    });
    let session_page = move |request: Request| {
        let mut known = known.lock().unwrap();
        let has_one = session(request.headers()).is_some_and(|id| known.contains(&id));
        let answer = if has_one {
            "again".into_response()
        } else {
            let id = format!("{:016X}.{route}", known.len());
            known.insert(id.clone());
            (
                [(SET_COOKIE, format!("JSESSIONID={id}; Path=/"))],
                "welcome",
            )
                .into_response()
        };
        std::future::ready(answer)
    };
    let app = axum::Router::new()
        .route("/app/session", get(session_page))
        .layer(layer);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = ajp::server::serve(listener, app);
    let server = server.with_secret(ajp::Secret::new(SECRET).unwrap());
    tokio::spawn(server.into_future());
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_session_is_sent_away_while_a_container_drains() {
    let tomcat = Tomcat::builder()
        .secret(SECRET)
        .route("jvm1")
        .valve(VALVE)
        .start();
    let (tomcat, own, other) = tokio::join!(tomcat, container("jvm1"), container("jvm2"));
    drains("Tomcat", tomcat.ajp_addr(), other).await;
    drains("DrainLayer", own, other).await;
}
