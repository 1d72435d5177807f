//! Answers that come before all of the request's body has: a connection that is closed behind one
//! says so (RFC 9112, section 9.6), or the client takes it for stale and sends the next request
//! again.

use crate::raw::backend::{Backend, Conn, config};
use crate::raw::packets::response;
use crate::raw::soon;
use crate::wire::before;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The next answer: its head, and its body.
async fn answer(http: &mut TcpStream) -> (String, String) {
    let mut got = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&got).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("Content-Length: "));
            if body.len() >= length.unwrap().parse().unwrap() {
                return (head.to_owned(), body.to_owned());
            }
        }
        let count = soon("an answer", http.read_buf(&mut got)).await.unwrap();
        assert_ne!(count, 0, "closed after {text:?}");
    }
}

#[tokio::test]
async fn what_is_small_is_read_and_the_connection_goes_on() {
    let backend = Backend::start(config(), |_, conn: Conn| conn.serve_well()).await;
    let keys = "[[map]]\npath = \"/secret\"\nto = \"deny\"\n";
    let gateway = before(&backend, keys).await;
    for framing in [
        "Content-Length: 3000\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n",
    ] {
        let mut http = TcpStream::connect(gateway.http).await.unwrap();
        http.set_nodelay(true).unwrap();
        for _ in 0..3 {
            let head = format!("POST /secret HTTP/1.1\r\nHost: a\r\n{framing}");
            http.write_all(head.as_bytes()).await.unwrap();
            // As programs send it: in pieces, some after the answer could be there.
            for _ in 0..3 {
                tokio::time::sleep(Duration::from_millis(10)).await;
                let part = "x".repeat(1000);
                let part = if framing.starts_with('T') {
                    format!("3e8\r\n{part}\r\n")
                } else {
                    part
                };
                http.write_all(part.as_bytes()).await.unwrap();
            }
            if framing.starts_with('T') {
                http.write_all(b"0\r\n\r\n").await.unwrap();
            }
            let (head, _) = answer(&mut http).await;
            assert!(head.starts_with("HTTP/1.1 403 "), "{head}");
            assert!(!head.contains("Connection: close"), "{head}");
            http.write_all(b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
                .await
                .unwrap();
            let (head, body) = answer(&mut http).await;
            assert!(
                head.starts_with("HTTP/1.1 200 ") && body == "next",
                "{head}"
            );
        }
    }
}

#[tokio::test]
async fn what_is_not_read_is_said_with_the_answer() {
    // A container that reads no body.
    let backend = Backend::start(config(), |_, mut conn: Conn| async move {
        if conn.request().await.is_some() {
            conn.write(&response("early", 0)).await;
        }
    })
    .await;
    let keys = "max_body = 1000000\n[[map]]\npath = \"/secret\"\nto = \"deny\"\n";
    let gateway = before(&backend, keys).await;
    for (path, length, sent, status) in [
        // Slow, and large.
        ("/secret", 3000, 10, 403),
        ("/secret", 500_000, 500_000, 403),
        ("/x", 2_000_000, 10, 413),
        ("/x", 200_000, 200_000, 200),
        ("/x", 200_000, 100_000, 200),
    ] {
        let mut http = TcpStream::connect(gateway.http).await.unwrap();
        let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
        http.write_all(head.as_bytes()).await.unwrap();
        // It lingers, so all can be sent.
        http.write_all(&vec![b'x'; sent]).await.unwrap();
        let (head, _) = answer(&mut http).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        assert!(
            head.contains("Connection: close"),
            "{path} {length} {sent}: {head}"
        );
    }
    // Without a body nothing changes.
    let mut http = TcpStream::connect(gateway.http).await.unwrap();
    for _ in 0..2 {
        http.write_all(b"GET /secret HTTP/1.1\r\nHost: a\r\n\r\n")
            .await
            .unwrap();
        let (head, _) = answer(&mut http).await;
        assert!(!head.contains("Connection: close"), "{head}");
    }
}
