//! WebSocket through the gateway: to the HTTP address of the member that a request belongs to.

use crate::raw::soon;
use crate::support::gateway::Gateway;
use crate::support::ports;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Reads the head of a message.
async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = soon("a head", stream.read_u8()).await;
        let Ok(byte) = byte else { break };
        head.push(byte);
    }
    String::from_utf8(head).unwrap()
}

/// An HTTP server of this name that agrees to every upgrade but that of `/no`, tells what it was
/// asked, and then says back what it hears.
async fn server(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let asked = head(&mut stream).await;
                if asked.starts_with("GET /app/no ") {
                    let no = "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno";
                    stream.write_all(no.as_bytes()).await.unwrap();
                    return;
                }
                if asked.starts_with("GET /app/yes ") {
                    let page = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nfor it";
                    stream.write_all(page.as_bytes()).await.unwrap();
                    // The rest never comes.
                    return std::future::pending().await;
                }
                let yes = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                    Upgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n";
                stream.write_all(yes.as_bytes()).await.unwrap();
                let told = format!("{name} {asked}");
                let told = [
                    &u32::try_from(told.len()).unwrap().to_be_bytes(),
                    told.as_bytes(),
                ]
                .concat();
                stream.write_all(&told).await.unwrap();
                let (mut from, mut to) = stream.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    address
}

/// A gateway to two members of which nobody listens at the AJP addresses.
async fn gateway(upgrades: [Option<SocketAddr>; 2], keys: &str) -> Gateway {
    let mut text = format!(
        "access_log = \"access\"\n{keys}\n[manager]\n[[balancer]]\nname = \"b\"\nsticky = \"SID\"\n"
    );
    for (upgrade, route) in upgrades.iter().zip(["one", "two"]) {
        let ajp = ports::free_addr();
        write!(
            text,
            "[[balancer.member]]\nurl = \"ajp://{ajp}\"\nroute = \"{route}\"\n"
        )
        .unwrap();
        if let Some(http) = upgrade {
            writeln!(text, "upgrade = \"http://{http}\"").unwrap();
        }
    }
    text += "[[map]]\npath = \"/\"\nto = \"balancer://b/app\"\n";
    Gateway::start(&text).await
}

/// Asks for WebSocket: the connection, and the head of the answer.
async fn ask(gateway: &Gateway, path: &str, more: &str) -> (TcpStream, String) {
    let mut http = TcpStream::connect(gateway.http).await.unwrap();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: shop.example\r\nConnection: keep-alive, Upgrade, X-Hop\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Key: k\r\n\
         Sec-WebSocket-Version: 13\r\nX-Hop: 1\r\nX-Forwarded-For: 192.0.2.1\r\n{more}\r\n"
    );
    http.write_all(request.as_bytes()).await.unwrap();
    let answer = head(&mut http).await;
    (http, answer)
}

/// What the server says that it was asked.
async fn told(http: &mut TcpStream) -> String {
    let length = soon("a length", http.read_u32()).await.unwrap();
    let mut told = vec![0; usize::try_from(length).unwrap()];
    http.read_exact(&mut told).await.unwrap();
    String::from_utf8(told).unwrap()
}

#[tokio::test]
async fn it_goes_to_the_member_of_the_session_and_back() {
    let (one, two) = (server("one").await, server("two").await);
    let gateway = gateway([Some(one), Some(two)], "").await;
    for route in ["one", "two", "two", "one"] {
        let cookie = format!("Cookie: SID=1.{route}\r\n");
        let (mut http, answer) = ask(&gateway, "/chat?x=1", &cookie).await;
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        let lower = answer.to_lowercase();
        assert!(lower.contains("\r\nupgrade: websocket\r\n"), "{answer}");
        assert!(
            lower.contains("\r\nsec-websocket-accept: x\r\n"),
            "{answer}"
        );
        let asked = told(&mut http).await.to_lowercase();
        assert!(
            asked.starts_with(&format!("{route} get /app/chat?x=1 http/1.1\r\n")),
            "{asked}"
        );
        for line in [
            "host: shop.example",
            "sec-websocket-key: k",
            "upgrade: websocket",
            "x-forwarded-for: 127.0.0.1",
            "x-forwarded-proto: http",
        ] {
            assert!(
                asked.contains(&format!("\r\n{line}\r\n")),
                "{line}: {asked}"
            );
        }
        assert!(
            !asked.contains("x-hop") && !asked.contains("192.0.2.1"),
            "{asked}"
        );
        // Bytes that look like the head of a request are none any more.
        for said in ["GET /<> HTTP/1.1\r\n\r\n", "\n\n", "more"] {
            http.write_all(said.as_bytes()).await.unwrap();
            let mut heard = vec![0; said.len()];
            soon("the echo", http.read_exact(&mut heard)).await.unwrap();
            assert_eq!(heard, said.as_bytes());
        }
        assert_eq!(gateway.member(route).await["busy"], 1);
        http.shutdown().await.unwrap();
        let mut rest = Vec::new();
        soon("the end", http.read_to_end(&mut rest)).await.unwrap();
        gateway
            .wait_until("free", |status| {
                let members = status["balancers"][0]["members"].as_array().unwrap();
                members.iter().all(|member| member["busy"] == 0)
            })
            .await;
    }
    let mut lines = String::new();
    for _ in 0..500 {
        lines = std::fs::read_to_string(gateway.file("access")).unwrap();
        if lines.lines().count() == 4 {
            break;
        }
        // The last one is on its way.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(lines.matches(" 101 ").count(), 4, "{lines}");
    assert_eq!(lines.matches("route=two").count(), 2, "{lines}");
}

#[tokio::test]
async fn who_has_no_address_or_no_life_is_passed_over() {
    let two = server("two").await;
    let dead = ports::free_addr();
    for first in [None, Some(dead)] {
        let gateway = gateway([first, Some(two)], "").await;
        let (mut http, answer) = ask(&gateway, "/chat", "Cookie: SID=1.one\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 101 "), "{first:?}: {answer}");
        assert!(told(&mut http).await.starts_with("two "));
        // That a server refuses is passed on, without what it says.
        let (mut http, answer) = ask(&gateway, "/no", "").await;
        assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
        let mut body = [0; 4];
        soon("a body", http.read_exact(&mut body)).await.unwrap();
        assert_eq!(&body, b"403 ");
    }
    let nobody = gateway([Some(dead), None], "").await;
    let (_, answer) = ask(&nobody, "/chat", "").await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    // Where nobody could, the operator is told what is missing.
    let nobody = gateway([None, None], "").await;
    let (_, answer) = ask(&nobody, "/chat", "").await;
    assert!(answer.starts_with("HTTP/1.1 501 "), "{answer}");
    let why = "it asks for WebSocket, which AJP has no form for, and no member has an `upgrade`";
    assert!(nobody.says(why).await, "{}", nobody.log());
}

#[tokio::test]
async fn each_member_has_so_many_and_no_more() {
    let (one, two) = (server("one").await, server("two").await);
    let gateway = gateway([Some(one), Some(two)], "[limits]\nupgrades_per_member = 1").await;
    let to_one = "Cookie: SID=1.one\r\n";
    let (mut first, _) = ask(&gateway, "/chat", to_one).await;
    assert!(told(&mut first).await.starts_with("one "));
    let (mut second, _) = ask(&gateway, "/chat", to_one).await;
    assert!(told(&mut second).await.starts_with("two "), "the next best");
    let (_, answer) = ask(&gateway, "/chat", to_one).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    let why = "has 1 WebSockets (upgrades_per_member)";
    assert!(gateway.says(why).await, "{}", gateway.log());
    // One that has ended makes room.
    drop(first);
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let (mut http, answer) = ask(&gateway, "/chat", to_one).await;
        if answer.starts_with("HTTP/1.1 101 ") {
            assert!(told(&mut http).await.starts_with("one "));
            return;
        }
        assert!(Instant::now() < end, "{answer}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = listener.local_addr().unwrap();
    let keys = "[limits]\nupgrade_head_timeout = \"300ms\"";
    let gateway = gateway([Some(silent), None], keys).await;
    let start = Instant::now();
    let (_, answer) = ask(&gateway, "/chat", "").await;
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn silence_ends_it_and_a_stop_does() {
    let one = server("one").await;
    let silent = gateway([Some(one), None], "[limits]\nupgrade_idle_timeout = \"1s\"").await;
    let (mut http, _) = ask(&silent, "/chat", "").await;
    told(&mut http).await;
    let start = Instant::now();
    let mut rest = Vec::new();
    let _ = soon("the end", http.read_to_end(&mut rest)).await;
    assert!(start.elapsed() > Duration::from_millis(900));
    assert!(start.elapsed() < Duration::from_secs(4));

    let mut stopping = gateway([Some(one), None], "").await;
    let (mut http, _) = ask(&stopping, "/chat", "").await;
    told(&mut http).await;
    stopping.signal("TERM");
    let _ = soon("the end", http.read_to_end(&mut rest)).await;
    stopping.wait_for_log("gateway: done").await;
    let lines = std::fs::read_to_string(stopping.file("access")).unwrap();
    let end = "end=stopped stage=answer why=\"the gateway stops\"";
    assert!(lines.contains(end), "{lines}");
}

#[tokio::test]
async fn the_connector_is_open_to_nothing_but_websocket() {
    let one = server("one").await;
    let gateway = gateway([Some(one), None], "").await;
    // A page of the connector is not shown.
    let (mut http, answer) = ask(&gateway, "/yes", "").await;
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    let mut body = [0; 4];
    soon("a body", http.read_exact(&mut body)).await.unwrap();
    assert_eq!(&body, b"502 ");
    for (more, expected) in [
        ("Content-Length: 4\r\n", "400"),
        ("Transfer-Encoding: chunked\r\n", "400"),
        // Not the WebSocket that there is.
        ("Sec-WebSocket-Version: 8\r\n", "501"),
        ("Sec-WebSocket-Key: j\r\n", "501"),
    ] {
        let (_, answer) = ask(&gateway, "/chat", more).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {expected} ")),
            "{more}: {answer}"
        );
    }
    let more = "Content-Length: 0\r\nExpect: 100-continue\r\n";
    let (mut http, answer) = ask(&gateway, "/chat", more).await;
    let answer = if answer.starts_with("HTTP/1.1 100 ") {
        head(&mut http).await
    } else {
        answer
    };
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    let asked = told(&mut http).await.to_lowercase();
    assert!(
        !asked.contains("content-length") && !asked.contains("expect"),
        "{asked}"
    );
}
