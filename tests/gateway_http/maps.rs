//! What a map does differently from the rest of the site.

use crate::raw::backend::{Backend, Conn, config};
use crate::raw::packets::{chunk, head, response};
use crate::raw::soon;
use crate::support::gateway::Gateway;
use crate::wire::{END, exchange};
use ajp::wire::Attribute;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Two members of a balancer with sessions, and maps with these keys beside one without.
async fn gateway(members: [&Backend; 2], maps: &[(&str, &str)]) -> Gateway {
    let mut text =
        "[[balancer]]\nname = \"b\"\nsticky = \"SID\"\nfail_on_status = [500]\n".to_owned();
    for (member, route) in members.iter().zip(["one", "two"]) {
        let url = member.url();
        let domain = if route == "one" { "east" } else { "west" };
        write!(
            text,
            "[[balancer.member]]\nurl = \"{url}\"\nroute = \"{route}\"\ndomain = \"{domain}\"\n"
        )
        .unwrap();
    }
    for (path, keys) in [("/", "")].iter().chain(maps) {
        write!(
            text,
            "[[map]]\npath = \"{path}\"\nto = \"balancer://b{path}\"\n{keys}\n"
        )
        .unwrap();
    }
    Gateway::start(&text).await
}

/// How often `/bad` was asked for. Each test is a process of its own.
static BAD: AtomicUsize = AtomicUsize::new(0);

/// A container that answers with its name and what it was told.
async fn named(name: &'static str) -> Backend {
    Backend::start(config(), move |_, mut conn: Conn| async move {
        while let Some(request) = conn.request().await {
            if conn.body(&request).await.is_none() {
                return;
            }
            if request.req_uri().ends_with(b"/bad") {
                BAD.fetch_add(1, Ordering::SeqCst);
                conn.write(&head(503, &[("Content-Length", "3")])).await;
                conn.write(&chunk(b"bad")).await;
                conn.write(END).await;
                continue;
            }
            if request.req_uri().ends_with(b"/slow") {
                tokio::time::sleep(Duration::from_secs(3)).await;
            }
            let mut told = name.to_owned();
            for attribute in request.attributes() {
                if let Attribute::Named { name, value } = attribute {
                    let value = value.unwrap_or_default();
                    write!(
                        told,
                        " {}={}",
                        String::from_utf8_lossy(name),
                        String::from_utf8_lossy(value)
                    )
                    .unwrap();
                }
            }
            for header in request.headers() {
                let text = String::from_utf8_lossy(header.value).into_owned();
                write!(told, " {}:{text}", String::from_utf8_lossy(header.name)).unwrap();
            }
            let length = told.len().to_string();
            let headers = [
                ("Content-Length", &*length),
                ("Server", "old"),
                ("X-Old", "1"),
            ];
            conn.write(&head(200, &headers)).await;
            conn.write(&chunk(told.as_bytes())).await;
            conn.write(END).await;
        }
    })
    .await
}

async fn get(gateway: &Gateway, path: &str, headers: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{headers}\r\n");
    exchange(gateway.http, request.as_bytes()).await
}

#[tokio::test]
async fn headers_and_attributes() {
    let (one, two) = (named("one").await, named("two").await);
    let keys = "attributes = { TENANT = \"shop\" }\n\
        request_headers = { set = { X-Site = \"s\", X-Forwarded-Proto = \"https\" }, remove = [\"X-Debug\"] }\n\
        response_headers = { set = { X-Frame-Options = \"DENY\", Server = \"new\" }, remove = [\"X-Old\"] }";
    let gateway = gateway([&one, &two], &[("/own", keys)]).await;
    let sent = "X-Debug: 1\r\nX-Site: mine\r\n";
    let own = get(&gateway, "/own/x", sent).await;
    for part in [
        " TENANT=shop",
        " x-site:s",
        "\r\nX-Frame-Options: DENY\r\n",
        "\r\nServer: new\r\n",
    ] {
        assert!(own.contains(part), "{part}: {own}");
    }
    for part in ["x-debug", "mine", "X-Old", "Server: old"] {
        assert!(!own.contains(part), "{part}: {own}");
    }
    let other = get(&gateway, "/x", sent).await;
    for part in [
        " x-site:mine",
        " x-debug:1",
        "\r\nServer: old\r\n",
        "\r\nX-Old: 1\r\n",
    ] {
        assert!(other.contains(part), "{part}: {other}");
    }
    assert!(!other.contains("TENANT"), "{other}");
}

#[tokio::test]
async fn sessions_members_and_failover() {
    let (one, two) = (named("one").await, named("two").await);
    let maps = [
        ("/free", "sticky_ignore = true"),
        ("/picture", "stateless = true"),
        ("/east", "domain = \"east\""),
        ("/order", "fail_on_status = [-503]\nidempotent = true"),
        ("/two", &*format!("member = \"{}\"", two.url())),
        ("/retry", "fail_on_status = [-503]"),
        ("/once", "fail_on_status = [-503]\nattempts = 1"),
        ("/never", "fail_on_status = [-503]\nidempotent = false"),
    ];
    let gateway = gateway([&one, &two], &maps).await;
    let mut served = Vec::new();
    for _ in 0..4 {
        let answer = get(&gateway, "/x", "Cookie: SID=1.two\r\n").await;
        assert!(answer.contains("\r\n\r\ntwo "), "{answer}");
        let answer = get(&gateway, "/two/x", "Cookie: SID=1.one\r\n").await;
        assert!(answer.contains("\r\n\r\ntwo "), "{answer}");
        let answer = get(&gateway, "/picture/x", "Cookie: SID=1.two\r\n").await;
        assert!(
            answer.contains("\r\n\r\ntwo "),
            "its session stays: {answer}"
        );
        let answer = get(&gateway, "/east/x", "").await;
        assert!(answer.contains("\r\n\r\none "), "{answer}");
        let answer = get(&gateway, "/east/x", "Cookie: SID=1.two\r\n").await;
        assert!(
            answer.contains("\r\n\r\ntwo "),
            "its session names a member: {answer}"
        );
        served.push(get(&gateway, "/free/x", "Cookie: SID=1.two\r\n").await);
    }
    assert!(
        served.iter().any(|answer| answer.contains("\r\n\r\none ")),
        "{served:?}"
    );
    // How many of both members were asked tells whether it went on to the second.
    for (path, asked) in [
        ("/retry/bad", 2),
        ("/once/bad", 1),
        ("/never/bad", 1),
        ("/bad", 1),
    ] {
        BAD.store(0, Ordering::SeqCst);
        let answer = get(&gateway, path, "").await;
        assert!(answer.starts_with("HTTP/1.1 503 "), "{path}: {answer}");
        assert_eq!(BAD.load(Ordering::SeqCst), asked, "{path}");
    }
    // An order may be sent twice only where the map says so.
    for (path, asked) in [("/retry/bad", 1), ("/order/bad", 2)] {
        BAD.store(0, Ordering::SeqCst);
        let order = format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        );
        let answer = exchange(gateway.http, order.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 503 "), "{path}: {answer}");
        assert_eq!(BAD.load(Ordering::SeqCst), asked, "{path}");
    }
}

#[tokio::test]
async fn limits_in_time_and_size() {
    let (one, two) = (named("one").await, named("two").await);
    let maps = [
        ("/quick", "timeout = \"300ms\""),
        ("/whole", "timeouts = { request = \"300ms\" }"),
        ("/small", "max_body = 3"),
    ];
    let gateway = gateway([&one, &two], &maps).await;
    for path in ["/quick/slow", "/whole/slow"] {
        let start = Instant::now();
        let answer = get(&gateway, path, "").await;
        assert!(answer.starts_with("HTTP/1.1 504 "), "{answer}");
        assert!(start.elapsed() < Duration::from_millis(2500), "{path}");
    }
    let post = |path: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbody"
        )
    };
    let answer = exchange(gateway.http, post("/small").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    let answer = exchange(gateway.http, post("/x").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let chunked = "POST /small HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n";
    let answer = exchange(gateway.http, chunked.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

/// Without request buffering a container is asked before the body has come; with it, after.
#[tokio::test]
async fn what_is_buffered() {
    let early = Backend::start(config(), |_, mut conn: Conn| async move {
        conn.request().await.unwrap();
        conn.write(&response("at once", 0)).await;
        conn.silent().await;
    })
    .await;
    let url = early.url();
    let gateway = Gateway::start(&format!(
        "[[map]]\npath = \"/direct\"\nto = \"{url}\"\nrequest_buffer = 0\n\
         [[map]]\npath = \"/held\"\nto = \"{url}\"\n"
    ))
    .await;
    for (path, is_asked) in [("/direct", true), ("/held", false)] {
        let mut http = TcpStream::connect(gateway.http).await.unwrap();
        let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc");
        http.write_all(head.as_bytes()).await.unwrap();
        let mut answer = [0; 1000];
        let read = tokio::time::timeout(Duration::from_millis(700), http.read(&mut answer)).await;
        assert_eq!(read.is_ok(), is_asked, "{path}");
        if !is_asked {
            http.write_all(b"defghi").await.unwrap();
            assert!(soon("an answer", http.read(&mut answer)).await.unwrap() > 0);
        }
    }
}

#[tokio::test]
async fn one_host_chooses_the_site_and_is_told() {
    let one = named("one").await;
    let url = one.url();
    let text = format!(
        "[[balancer]]\nname = \"b\"\n[[balancer.member]]\nurl = \"{url}\"\n\
         [[map]]\npath = \"/\"\nto = \"balancer://b/\"\n\
         [[site]]\nhosts = [\"shop.example\"]\n\
         [[site.map]]\npath = \"/admin\"\nto = \"deny\"\n\
         [[site.map]]\npath = \"/\"\nto = \"balancer://b/\"\n"
    );
    let gateway = Gateway::start(&text).await;
    for (target, host, expected) in [
        ("http://shop.example/admin", "a", "403"),
        ("http://x@shop.example/admin", "a", "400"),
        ("http://x:y@shop.example/admin", "shop.example", "400"),
        ("/admin", "x@shop.example", "400"),
        ("/admin", "a", "200"),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let answer = exchange(gateway.http, request.as_bytes()).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {expected} ")),
            "{target}: {answer}"
        );
    }
    // The id of the request is not the client's to take away.
    let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close, X-Request-Id\r\n\r\n";
    let answer = exchange(gateway.http, request.as_bytes()).await;
    assert!(answer.contains(" x-request-id:"), "{answer}");
}
