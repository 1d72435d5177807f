//! One record for each request however it ends, and its id everywhere.

use crate::hostile::{CONTINUATION, Frames, GET, HEADERS};
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
#[allow(clippy::too_many_lines, reason = "a table")]
async fn each_request_has_one_however_it_ends() {
    let backend = container().await;
    let keys = format!("{KEYS}max_body = 100\n[manager]\n[limits]\nhead_timeout = \"1s\"");
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
        (
            format!("G(T / HTTP/1.1\r\n{close}\r\n"),
            400,
            "refused",
            "invalid HTTP method",
        ),
        (
            format!("GET / HTTP/3.1\r\n{close}\r\n"),
            400,
            "refused",
            "invalid HTTP version",
        ),
        (
            format!("GET / HTTP/1.1\r\n{close}{}\r\n", "X: y\r\n".repeat(101)),
            431,
            "refused",
            "too large",
        ),
        (
            format!("POST / HTTP/1.1\r\n{close}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
            400,
            "refused",
            "content-length",
        ),
        (
            format!("POST / HTTP/1.1\r\n{close}Transfer-Encoding: gzip\r\n\r\n"),
            400,
            "refused",
            "transfer-encoding",
        ),
        (
            format!("GET / HTTP/1.1\r\n{close}X: y\r\n z\r\n\r\n"),
            400,
            "refused",
            "header",
        ),
        (
            format!("GET / HTTP/1.1\r\n{close}X: a\rY: b\r\n\r\n"),
            400,
            "refused",
            "header",
        ),
        (
            format!("GET /\u{1} HTTP/1.1\r\n{close}\r\n"),
            400,
            "refused",
            "invalid URI",
        ),
        (
            // Lines that end in a bare LF are taken (RFC 9112, section 2.2).
            "GET /x HTTP/1.1\nHost: a\nConnection: close\n\n".to_owned(),
            200,
            "answered",
            "",
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
    // They are counted, and the operator is told of each kind once.
    let refused = all.iter().filter(|record| record["end"] == "refused");
    let counted = counts(&gateway, "ajp_front_refused_total{http=\"1\",").await;
    assert_eq!(
        counted.iter().map(|(_, count)| count).sum::<u64>(),
        refused.count() as u64
    );
    let log = gateway.stop();
    let told = "127.0.0.1: no request, answered 400: invalid HTTP version parsed";
    assert_eq!(log.matches(told).count(), 1, "{log}");
}

/// The lines of the metrics that begin so: what follows, and their numbers.
async fn counts(gateway: &Gateway, begin: &str) -> Vec<(String, u64)> {
    let metrics = gateway.operator().get("/metrics").await;
    let lines = metrics.text().lines();
    lines
        .filter_map(|line| line.strip_prefix(begin)?.rsplit_once(' '))
        .map(|(rest, count)| (rest.to_owned(), count.parse().unwrap()))
        .collect()
}

/// A field of a head as a literal that is not kept (RFC 7541, section 6.2.2), of less than 127 bytes
/// each.
fn field(name: &str, value: &str) -> Vec<u8> {
    let length = |text: &str| u8::try_from(text.len()).unwrap();
    let parts = [
        &[0, length(name)],
        name.as_bytes(),
        &[length(value)],
        value.as_bytes(),
    ];
    parts.concat()
}

#[tokio::test]
#[allow(clippy::too_many_lines, reason = "a table")]
async fn heads_of_http2_that_are_no_requests_have_one_too() {
    let backend = Backend::start(config(), |_, mut conn: Conn| async move {
        while conn.request().await.is_some() {
            tokio::time::sleep(Duration::from_millis(300)).await;
            conn.write(&response("x", 1)).await;
        }
    })
    .await;
    let keys = format!("{KEYS}[manager]\n[limits]\nhttp2_streams = 2\n");
    let mut gateway = before(&backend, &keys).await;
    let large: Vec<u8> = (0..120)
        .flat_map(|_| field("x", &"y".repeat(120)))
        .collect();
    let mut seen = 0;
    for (name, heads, status, why) in [
        (
            "no method",
            vec![vec![0x86, 0x84, 0x41, 1, b'a']],
            400,
            "PROTOCOL_ERROR",
        ),
        (
            "a header of the connection",
            vec![[GET, &field("connection", "close")].concat()],
            400,
            "PROTOCOL_ERROR",
        ),
        (
            "a capital letter",
            vec![[GET, &field("X", "y")].concat()],
            400,
            "PROTOCOL_ERROR",
        ),
        (
            "no host",
            vec![[&[0x82, 0x86, 0x84], &*field(":authority", "a b")].concat()],
            400,
            "PROTOCOL_ERROR",
        ),
        ("too large", vec![[GET, &large].concat()], 431, "too large"),
        (
            "too many",
            vec![GET.to_vec(), GET.to_vec(), GET.to_vec()],
            503,
            "REFUSED_STREAM",
        ),
        (
            "no HPACK",
            vec![vec![0xff, 0xff, 0xff, 0xff, 0x0f]],
            400,
            "PROTOCOL_ERROR: http2 error",
        ),
    ] {
        let mut client = Frames::connect(gateway.http).await;
        let answered = heads.len() - 1;
        for (stream, head) in (1..).step_by(2).zip(heads) {
            let mut parts = head.chunks(16_000).peekable();
            let mut kind = HEADERS;
            while let Some(part) = parts.next() {
                let ends = if parts.peek().is_none() { 4 } else { 0 };
                // The stream ends with its first frame.
                let ends = if kind == HEADERS { ends | 1 } else { ends };
                assert!(client.send(kind, ends, stream, part).await);
                kind = CONTINUATION;
            }
        }
        seen += answered + 1;
        let all = records(&gateway, seen).await;
        let of_this = &all[seen - answered - 1..];
        let mut refused = of_this.iter().filter(|record| record["end"] == "refused");
        let record = refused
            .next()
            .unwrap_or_else(|| panic!("{name}: {of_this:?}"));
        assert!(refused.next().is_none(), "{name}: {of_this:?}");
        assert_eq!(record["status"], status, "{name}: {record}");
        assert!(
            record["why"].as_str().unwrap().contains(why),
            "{name}: {record}"
        );
        let good = of_this.iter().filter(|record| record["status"] == 200);
        assert_eq!(good.count(), answered, "{name}: {of_this:?}");
    }
    // What the service was given has no second record, though its body is not what it says.
    let mut client = Frames::connect(gateway.http).await;
    let head = [
        &[0x83, 0x86, 0x84, 0x41, 1, b'a'],
        &*field("content-length", "5"),
    ]
    .concat();
    assert!(client.send(HEADERS, 4, 1, &head).await);
    assert!(client.send(0, 1, 1, b"too much").await);
    records(&gateway, seen + 1).await;
    drop(client);
    let counted = counts(&gateway, "ajp_front_refused_total{http=\"2\",code=").await;
    let expected = [("\"400\"}", 5), ("\"431\"}", 1), ("\"503\"}", 1)];
    assert_eq!(
        counted,
        expected.map(|(code, count)| (code.to_owned(), count))
    );
    let ended = counts(&gateway, "ajp_front_http2_errors_total{error=").await;
    assert_eq!(ended, [("\"PROTOCOL_ERROR\"}".to_owned(), 2)]);
    tokio::time::sleep(Duration::from_millis(100)).await;
    records(&gateway, seen + 1).await;
    gateway
        .wait_for_log("its connection ends with PROTOCOL_ERROR")
        .await;
    gateway
        .wait_for_log("no request, answered 503: REFUSED_STREAM")
        .await;
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

/// Programs that read the log look for `"GET /path`: httpd and nginx write no more of an HTTP/2
/// request either.
#[tokio::test(flavor = "multi_thread")]
async fn the_request_line_of_http2_is_as_that_of_http1() {
    let backend = container().await;
    for (format, line) in [
        ("combined", "\"GET /x?a=b HTTP/2.0\" 200 "),
        ("json", "\"target\":\"/x?a=b\",\"protocol\":\"HTTP/2.0\","),
    ] {
        let keys = format!("access_log = \"access\"\nlog_format = \"{format}\"\n");
        let gateway = before(&backend, &keys).await;
        let url = format!("http://{}/x?a=b", gateway.http);
        let sent = std::process::Command::new("curl")
            .args(["-sS", "--max-time", "10", "--http2-prior-knowledge", &url])
            .output();
        assert!(sent.unwrap().status.success());
        for attempt in 0.. {
            let text = std::fs::read_to_string(gateway.file("access")).unwrap();
            let host = format!("\"host\":\"{}\"", gateway.http);
            if text.contains(line) && (format != "json" || text.contains(&host)) {
                break;
            }
            assert!(attempt < 250, "{text}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
