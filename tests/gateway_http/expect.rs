//! `Expect: 100-continue` through a gateway: the HTTP client is told to go on when somebody
//! wants its body, and not before (protocol chapter "exchange").

use crate::raw::backend::{Backend, Conn, config};
use crate::raw::packets::response;
use crate::raw::soon;
use crate::support::gateway::Gateway;
use crate::support::ports;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const CHUNKED: &str = "Transfer-Encoding: chunked";
const LENGTH: &str = "Content-Length: 4";
const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";

/// A gateway to one container, with room for small bodies only.
async fn gateway(backend: &str) -> Gateway {
    let flags = ["--backend", backend, "--max-body", "1000"];
    Gateway::with_flags(&[&flags[..], &["--manager", "127.0.0.1:0"]].concat()).await
}

/// An HTTP connection to a gateway, with the head of a request sent that waits.
async fn ask(gateway: &Gateway, announced: &str) -> TcpStream {
    let mut http = TcpStream::connect(gateway.http).await.unwrap();
    let head = format!(
        "POST /x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nConnection: close\r\n{announced}\r\n\r\n"
    );
    http.write_all(head.as_bytes()).await.unwrap();
    http
}

/// All there is to read, with the body sent as soon as the gateway asks for it.
async fn finish(mut http: TcpStream, body: &str) -> String {
    let mut got = Vec::new();
    let mut sent = false;
    loop {
        let n = soon("an answer", http.read_buf(&mut got)).await.unwrap();
        let text = String::from_utf8(got.clone()).unwrap();
        if !sent && text == CONTINUE {
            http.write_all(body.as_bytes()).await.unwrap();
            sent = true;
        }
        if n == 0 {
            return text;
        }
    }
}

#[tokio::test]
async fn a_container_that_asks_gets_the_body() {
    let backend = Backend::start(config(), |_, mut conn: Conn| async move {
        while let Some(request) = conn.request().await {
            assert!(request.headers().all(|header| header.name != b"expect"));
            let body = conn.body(&request).await.unwrap();
            let body = std::str::from_utf8(&body).unwrap();
            conn.write(&response(body, 1)).await;
        }
    })
    .await;
    let gateway = gateway(&backend.url()).await;
    for (announced, body) in [(CHUNKED, "4\r\nbody\r\n0\r\n\r\n"), (LENGTH, "body")] {
        let answer = finish(ask(&gateway, announced).await, body).await;
        let answer = answer.strip_prefix(CONTINUE).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(answer.ends_with("\r\n\r\nbody"), "{answer}");
    }
}

#[tokio::test]
async fn a_container_that_never_asks_costs_no_upload() {
    let backend = Backend::start(config(), |_, mut conn: Conn| async move {
        conn.request().await.unwrap();
        conn.write(&response("no need", 1)).await;
        conn.silent().await;
    })
    .await;
    let gateway = gateway(&backend.url()).await;
    let answer = finish(ask(&gateway, CHUNKED).await, "never").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.ends_with("\r\n\r\nno need"), "{answer}");
    let status = gateway.status().await;
    let pool = &status["balancers"][0]["members"][0]["pool"];
    assert_eq!(pool["idle"], 1, "nothing was owed: {pool}");
}

#[tokio::test]
async fn without_a_container_nobody_is_told_to_go_on() {
    let nobody = gateway(&format!("ajp://{}", ports::free_addr())).await;
    let answer = finish(ask(&nobody, CHUNKED).await, "never").await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    // What fits the buffer is read before anybody is asked.
    let answer = finish(ask(&nobody, LENGTH).await, "body").await;
    let answer = answer.strip_prefix(CONTINUE).unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    let answer = finish(ask(&nobody, "Content-Length: 1001").await, "never").await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

/// Clients that announce a small body and then say nothing occupy no connection of a member.
#[tokio::test]
async fn a_body_that_fits_the_buffer_is_asked_for_by_the_gateway() {
    let backend = Backend::start(config(), |_, conn: Conn| conn.serve_well()).await;
    let site = format!(
        "[[balancer]]\nname = \"a\"\nmax_connections = 2\n[[balancer.member]]\nurl = \"{}\"\n\
         [[map]]\npath = \"/\"\nto = \"balancer://a/\"\n",
        backend.url()
    );
    let gateway = Gateway::start(&site).await;
    let mut silent = Vec::new();
    for _ in 0..4 {
        let mut http = ask(&gateway, LENGTH).await;
        let mut told = vec![0; CONTINUE.len()];
        soon("the word", http.read_exact(&mut told)).await.unwrap();
        assert_eq!(told, CONTINUE.as_bytes());
        silent.push(http);
    }
    assert_eq!(backend.accepted(), 0);
    let answer = finish(ask(&gateway, LENGTH).await, "body").await;
    assert!(answer.contains("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn nobody_is_told_to_go_on_with_what_will_be_refused() {
    let backend = Backend::start(config(), |_, conn: Conn| conn.serve_well()).await;
    let map = |path: &str, to: &str, more: &str| {
        format!("[[map]]\npath = \"{path}\"\nto = \"{to}\"\n{more}\n")
    };
    let url = backend.url();
    let maps = [
        map("/", &url, ""),
        map("/none", "none", ""),
        map("/deny", "deny", ""),
        map("/small", &url, "max_body = 3"),
    ];
    let gateway = Gateway::start(&maps.concat()).await;
    for (path, expect, status) in [
        ("/none", "100-continue", 404),
        ("/deny", "100-continue", 403),
        ("/small", "100-continue", 413),
        ("//../x", "100-continue", 400),
        ("/x", "200-ok", 417),
    ] {
        let mut http = TcpStream::connect(gateway.http).await.unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nExpect: {expect}\r\nConnection: close\r\n\
             {LENGTH}\r\n\r\n"
        );
        http.write_all(head.as_bytes()).await.unwrap();
        let answer = finish(http, "never").await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{path}: {answer}"
        );
    }
    let answer = finish(ask(&gateway, LENGTH).await, "body").await;
    assert!(answer.starts_with(CONTINUE), "{answer}");
}
