//! One record for each request however it ends, and its id everywhere.

use crate::raw::backend::{Backend, Conn, config};
use crate::raw::packets::{chunk, head, response};
use crate::raw::soon;
use crate::support::gateway::Gateway;
use crate::wire::{before, exchange};
use serde_json::Value;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The records once there are so many of them.
async fn records(gateway: &Gateway, count: usize) -> Vec<Value> {
    for attempt in 0.. {
        let text = std::fs::read_to_string(gateway.file("access")).unwrap();
        let whole = text.lines().map(serde_json::from_str::<Value>);
        let all: Vec<Value> = whole.map(Result::unwrap).collect();
        if all.len() >= count {
            assert_eq!(all.len(), count, "{text}");
            return all;
        }
        assert!(attempt < 500, "{text}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    unreachable!()
}

/// A container that answers with the id it was told, or breaks off.
async fn container() -> Backend {
    Backend::start(config(), |_, mut conn: Conn| async move {
        while let Some(request) = conn.request().await {
            if request.req_uri() == b"/cut" {
                conn.write(&head(200, &[("Content-Length", "10")])).await;
                conn.write(&chunk(b"half")).await;
                tokio::time::sleep(Duration::from_millis(100)).await;
                return;
            }
            if conn.body(&request).await.is_none() {
                return;
            }
            let mut ids = request
                .headers()
                .filter(|header| header.name == b"x-request-id");
            let id = String::from_utf8(ids.next().unwrap().value.to_vec()).unwrap();
            assert!(ids.next().is_none());
            conn.write(&response(&id, 1)).await;
        }
    })
    .await
}

const KEYS: &str = "access_log = \"access\"\nlog_format = \"json\"\n";

#[tokio::test]
async fn each_request_has_one_however_it_ends() {
    let backend = container().await;
    let keys = format!("{KEYS}max_body = 100\n[limits]\nhead_timeout = \"1s\"");
    let gateway = before(&backend, &keys).await;
    let close = "Host: a\r\nConnection: close\r\n";
    // In this order: each is noted before the next one is sent.
    let mut seen = 0;
    for (sent, status, end, why) in [
        (
            format!("GET /x?a=<b> HTTP/1.1\r\n{close}\r\n"),
            200,
            "answered",
            "",
        ),
        (
            format!("GET /cut HTTP/1.1\r\n{close}\r\n"),
            200,
            "cut",
            "the container broke",
        ),
        (
            format!("POST /x HTTP/1.1\r\n{close}Content-Length: 101\r\n\r\n"),
            413,
            "answered",
            "",
        ),
        (
            format!("GET /a b HTTP/1.1\r\n{close}\r\n"),
            400,
            "refused",
            "invalid HTTP version",
        ),
        ("BAD\r\n\r\n".to_owned(), 400, "refused", "invalid HTTP"),
        (
            format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(20_000)),
            431,
            "refused",
            "too large",
        ),
        (
            format!("GET / HTTP/1.1\r\n{close}: no name\r\n\r\n"),
            400,
            "refused",
            "header",
        ),
        (
            "GET /slow HTTP/1.1\r\nHos".to_owned(),
            408,
            "refused",
            "time",
        ),
        // The client says that there is more, and closes.
        (
            format!("POST /x HTTP/1.1\r\n{close}Content-Length: 10\r\n\r\nabc"),
            0,
            "",
            "",
        ),
    ] {
        let mut http = TcpStream::connect(gateway.http).await.unwrap();
        http.write_all(sent.as_bytes()).await.unwrap();
        if status == 0 {
            http.shutdown().await.unwrap();
        }
        let mut answer = Vec::new();
        let _ = soon("the end", http.read_to_end(&mut answer)).await;
        seen += 1;
        let all = records(&gateway, seen).await;
        let record = &all[seen - 1];
        if status == 0 {
            assert!(
                record["status"] == 400 || record["end"] == "aborted",
                "{record}"
            );
            continue;
        }
        assert_eq!(record["status"], status, "{sent}: {record}");
        assert_eq!(record["end"], end, "{sent}: {record}");
        let said = record["why"].as_str().unwrap_or_default();
        assert!(said.contains(why), "{record}\nof {sent}");
    }
    let all = records(&gateway, seen).await;
    assert_eq!(all[0]["target"], "/x?a=%3Cb%3E");
    assert!(
        all[0]["first_packet_ms"].is_u64() && all[0]["queue_ms"].is_u64(),
        "{}",
        all[0]
    );
    assert_eq!(all[4]["target"], "BAD");
    assert_eq!(all[7]["target"], "GET /slow HTTP/1.1");
}

#[tokio::test]
async fn an_idle_connection_is_no_request() {
    let backend = container().await;
    let keys = format!("{KEYS}[limits]\nhead_timeout = \"1s\"");
    let gateway = before(&backend, &keys).await;
    assert_eq!(
        exchange(gateway.http, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            .await
            .matches("HTTP/")
            .count(),
        1
    );
    let upload = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    assert_eq!(
        exchange(gateway.http, upload)
            .await
            .matches("HTTP/")
            .count(),
        1
    );
    tokio::time::sleep(Duration::from_millis(100)).await;
    records(&gateway, 2).await;
}

#[tokio::test]
async fn the_id_of_a_request_is_the_same_everywhere() {
    let backend = container().await;
    let ask =
        "GET /x HTTP/1.1\r\nHost: a\r\nX-Request-Id: from-proxy-1\r\nConnection: close\r\n\r\n";
    for (trusted, kept) in [("trusted_proxies = [\"127.0.0.1\"]\n", true), ("", false)] {
        let gateway = before(&backend, &format!("{trusted}{KEYS}")).await;
        let answer = exchange(gateway.http, ask.as_bytes()).await;
        let (_, told) = answer.split_once("\r\n\r\n").unwrap();
        assert_eq!(told == "from-proxy-1", kept, "{answer}");
        assert_eq!(records(&gateway, 1).await[0]["request_id"], told);
        let answer = exchange(gateway.http, ask.replace("/x", "/cut").as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        let all = records(&gateway, 2).await;
        let id = all[1]["request_id"].as_str().unwrap().to_owned();
        let log = gateway.stop();
        assert!(log.contains(&format!("127.0.0.1 {id} GET /cut: ")), "{log}");
    }
    // The gateway's own answers tell it as well.
    let gateway = Gateway::start(&format!("{KEYS}[[map]]\npath = \"/\"\nto = \"none\"\n")).await;
    let ask = "GET / HTTP/1.1\r\nHost: a\r\nAccept: text/html\r\nConnection: close\r\n\r\n";
    let answer = exchange(gateway.http, ask.as_bytes()).await;
    let id = records(&gateway, 1).await[0]["request_id"].clone();
    let id = id.as_str().unwrap();
    assert!(answer.contains(&format!("Request {id}")), "{answer}");
    assert!(
        answer.contains(&format!("\r\nX-Request-Id: {id}\r\n")),
        "{answer}"
    );
}
