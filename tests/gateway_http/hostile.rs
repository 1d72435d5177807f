//! Clients that mean harm: two requests in one, headers that say two things, floods.

use crate::raw::backend::{Backend, Conn, config};
use crate::raw::packets::response;
use crate::raw::soon;
use crate::support::gateway::Gateway;
use crate::wire::{before, echo};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The statuses of all answers to these bytes, until the gateway closes, or says nothing more.
async fn statuses(address: SocketAddr, bytes: &[u8]) -> (Vec<u16>, String) {
    let mut http = TcpStream::connect(address).await.unwrap();
    // It may close before all is sent.
    let _ = http.write_all(bytes).await;
    let _ = http.shutdown().await;
    let mut answer = Vec::new();
    let _ = soon("the end", http.read_to_end(&mut answer)).await;
    let text = String::from_utf8_lossy(&answer).into_owned();
    let lines = text.split("HTTP/1.1 ").skip(1);
    let statuses = lines.map(|line| line.get(..3).unwrap_or_default().parse().unwrap());
    (statuses.collect(), text)
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::too_many_lines, reason = "a table")]
async fn nothing_is_smuggled() {
    let backend = echo().await;
    let gateway = before(&backend, "").await;
    let inner = "GET /SMUGGLED HTTP/1.1\r\nHost: a\r\n\r\n";
    let length = inner.len();
    let mut wrong = Vec::new();
    for (name, request, expected) in [
        (
            "two lengths",
            format!(
                "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: {length}\r\n\r\n{inner}"
            ),
            &[400][..],
        ),
        (
            "a list of lengths",
            format!("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 0, {length}\r\n\r\n{inner}"),
            &[400],
        ),
        (
            "a signed length",
            format!("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: +{length}\r\n\r\n{inner}"),
            &[400],
        ),
        (
            "a length that is none",
            format!("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 0x10\r\n\r\n{inner}"),
            &[400],
        ),
        (
            "a length beyond all",
            format!(
                "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\n{inner}"
            ),
            &[400],
        ),
        (
            "a length before chunks",
            format!(
                "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{inner}"
            ),
            &[200],
        ),
        (
            "a length after chunks",
            format!(
                "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: {length}\r\n\r\n0\r\n\r\n"
            ),
            &[200],
        ),
        (
            "a blank before the colon",
            format!("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length : {length}\r\n\r\n{inner}"),
            &[400],
        ),
        (
            "chunks by another name",
            format!(
                "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{inner}"
            ),
            &[400],
        ),
        (
            "chunks that are not last",
            format!(
                "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{inner}"
            ),
            &[400],
        ),
        (
            "chunks twice",
            format!(
                "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{inner}"
            ),
            &[501],
        ),
        (
            "a tab in the coding",
            "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\tchunked\r\n\r\n0\r\n\r\n"
                .to_owned(),
            &[200],
        ),
        (
            "a chunk beyond all",
            format!(
                "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nx\r\n0\r\n\r\n{inner}"
            ),
            &[400],
        ),
        (
            "a chunk that is none",
            format!(
                "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nx\r\n0\r\n\r\n{inner}"
            ),
            &[400],
        ),
        (
            "a chunk that is longer than it says",
            format!(
                "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n0\r\n\r\n{inner}"
            ),
            &[400],
        ),
        (
            "chunks in HTTP/1.0",
            format!(
                "POST /a HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{inner}"
            ),
            &[400],
        ),
        (
            "a folded line",
            format!(
                "POST /a HTTP/1.1\r\nHost: a\r\nX: y\r\n Content-Length: {length}\r\n\r\n{inner}"
            ),
            &[400],
        ),
        (
            "a NUL",
            "GET /a HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n".into(),
            &[400],
        ),
        (
            "a bare return",
            "GET /a HTTP/1.1\r\nHost: a\r\nX: a\rY: b\r\n\r\n".into(),
            &[400],
        ),
        (
            "a length that the connection takes away",
            format!(
                "POST /a HTTP/1.1\r\nHost: a\r\nConnection: content-length\r\nContent-Length: {length}\r\n\r\n{inner}"
            ),
            &[200],
        ),
        (
            "a host that the connection takes away",
            "GET /a HTTP/1.1\r\nHost: a\r\nConnection: host\r\n\r\n".into(),
            &[200],
        ),
        (
            "two hosts",
            "GET /a HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".into(),
            &[400],
        ),
        (
            "a host with a path",
            "GET /a HTTP/1.1\r\nHost: a/b\r\n\r\n".into(),
            &[400],
        ),
        (
            "a host with a user",
            "GET /a HTTP/1.1\r\nHost: u@a\r\n\r\n".into(),
            &[400],
        ),
        ("no host", "GET /a HTTP/1.1\r\n\r\n".into(), &[400]),
        (
            "a version that is none",
            "GET /a HTTP/1.9\r\nHost: a\r\n\r\n".into(),
            &[400],
        ),
        (
            "two versions",
            "GET /a HTTP/1.1 HTTP/1.1\r\nHost: a\r\n\r\n".into(),
            &[400],
        ),
        (
            "a method that is none",
            "G(T /a HTTP/1.1\r\nHost: a\r\n\r\n".into(),
            &[400],
        ),
        (
            "a tunnel",
            "CONNECT a:22 HTTP/1.1\r\nHost: a:22\r\n\r\n".into(),
            &[501],
        ),
        (
            "an expectation that is none",
            "GET /a HTTP/1.1\r\nHost: a\r\nExpect: the-unexpected\r\n\r\n".into(),
            &[417],
        ),
    ] {
        let (answered, text) = statuses(gateway.http, request.as_bytes()).await;
        if answered != expected || text.contains("SMUGGLED") {
            wrong.push(format!("{name}: {answered:?}, not {expected:?}: {text}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A client of HTTP/2 that writes its frames by itself.
pub(crate) struct Frames(pub(crate) TcpStream);

pub(crate) const HEADERS: u8 = 1;
pub(crate) const RESET: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const CONTINUATION: u8 = 9;
/// `:method GET`, `:scheme http`, `:path /`, `:authority a`.
pub(crate) const GET: &[u8] = &[0x82, 0x86, 0x84, 0x41, 1, b'a'];

impl Frames {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let mut http = TcpStream::connect(address).await.unwrap();
        http.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            .await
            .unwrap();
        let mut client = Self(http);
        assert!(client.send(SETTINGS, 0, 0, &[]).await);
        client
    }

    /// Whether it could be sent.
    pub(crate) async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = length[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.0.write_all(&frame).await.is_ok()
    }

    /// The error that the connection ends with.
    async fn end(mut self) -> Option<u32> {
        let mut head = [0; 9];
        loop {
            soon("a frame", self.0.read_exact(&mut head)).await.ok()?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; length as usize];
            soon("its payload", self.0.read_exact(&mut payload))
                .await
                .ok()?;
            if head[3] == GOAWAY {
                let code = u32::from_be_bytes(payload[4..8].try_into().unwrap());
                // The first says only that the end is near.
                if code != 0 {
                    return Some(code);
                }
            }
        }
    }
}

/// A GET of `/` whose `:authority` is this.
fn get_of(authority: &str) -> Vec<u8> {
    let length = u8::try_from(authority.len()).unwrap();
    let mut head = vec![0x82, 0x86, 0x84, 0x41, length];
    head.extend(authority.bytes());
    head
}

#[tokio::test(flavor = "multi_thread")]
async fn no_user_stands_before_the_host_of_http2() {
    let backend = Backend::start(config(), |_, conn: Conn| conn.serve_well()).await;
    let gateway = before(&backend, "").await;
    // Of the static table of HPACK: `:status` 200 and 400.
    for (authority, status) in [
        ("a", 0x88),
        ("u:p@a", 0x8c),
        ("a@b@c", 0x8c),
        ("u@a:80", 0x8c),
    ] {
        let mut client = Frames::connect(gateway.http).await;
        assert!(client.send(HEADERS, 5, 1, &get_of(authority)).await);
        let mut head = [0; 9];
        let answered = loop {
            soon("a frame", client.0.read_exact(&mut head))
                .await
                .unwrap();
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; length as usize];
            soon("its payload", client.0.read_exact(&mut payload))
                .await
                .unwrap();
            match head[3] {
                HEADERS => break Some(payload[0]),
                RESET => break None,
                _ => {}
            }
        };
        // h2 itself refuses what is no authority at all.
        let is_refused = answered == Some(status) || status == 0x8c && answered.is_none();
        assert!(is_refused, "{authority}: {answered:x?}");
    }
    assert_eq!(backend.accepted(), 1, "only one of them got there");
}

/// Whether somebody else is served meanwhile.
async fn is_served(gateway: &Gateway) -> Duration {
    let start = Instant::now();
    let request = b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let (answered, text) = statuses(gateway.http, request).await;
    assert_eq!(answered, [200], "{text}");
    start.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_of_http2_end_their_connection() {
    // Answers only who waits for it.
    let backend = Backend::start(config(), |_, mut conn: Conn| async move {
        while let Some(request) = conn.request().await {
            if request.req_uri() == b"/" {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            conn.write(&response("x", 1)).await;
        }
    })
    .await;
    let gateway = before(&backend, "").await;
    is_served(&gateway).await;

    // CVE-2023-44487: streams that are opened and reset at once.
    let mut client = Frames::connect(gateway.http).await;
    let mut sent = 0;
    while sent < 20_000
        && client.send(HEADERS, 5, sent * 2 + 1, GET).await
        && client
            .send(RESET, 0, sent * 2 + 1, &8u32.to_be_bytes())
            .await
    {
        sent += 1;
    }
    let error = client.end().await;
    assert!(sent < 20_000 || error.is_some(), "{sent} {error:?}");
    assert!(backend.accepted() < 200, "{}", backend.accepted());

    // CVE-2024-27316: a head without end.
    let mut client = Frames::connect(gateway.http).await;
    assert!(client.send(HEADERS, 0, 1, GET).await);
    let field = [&[0x40, 1, b'x', 0x7f, 0x81, 0x0f][..], &[b'y'; 2048]].concat();
    let before = gateway.memory();
    let mut frames = 0;
    while frames < 10_000 && client.send(CONTINUATION, 0, 1, &field).await {
        frames += 1;
    }
    let error = client.end().await;
    let grown = gateway.memory().saturating_sub(before);
    assert!(frames < 10_000 || error.is_some(), "{frames} {error:?}");
    assert!(grown < 8_000_000, "{grown}");

    // Answers that nobody reads are not collected without end.
    let mut client = Frames::connect(gateway.http).await;
    let before = gateway.memory();
    let flood = async {
        for _ in 0..500_000 {
            if !client.send(PING, 0, 0, &[0; 8]).await || !client.send(SETTINGS, 0, 0, &[]).await {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(2), flood).await;
    let grown = gateway.memory().saturating_sub(before);
    assert!(grown < 8_000_000, "{grown}");
    assert!(is_served(&gateway).await < Duration::from_secs(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_a_head_byte_by_byte_is_cut_off() {
    let backend = echo().await;
    let keys = "[limits]\nhead_timeout = \"1s\"\nmax_connections_per_address = 50\n\
        [[listener]]\naddress = \"127.0.0.1:0\"\n";
    let gateway = before(&backend, keys).await;
    let start = Instant::now();
    let mut slow = tokio::task::JoinSet::new();
    for number in 0..40 {
        let address = gateway.http;
        slow.spawn(async move {
            let mut http = TcpStream::connect(address).await.unwrap();
            let (mut read, mut write) = http.split();
            let head: &[u8] = if number % 2 == 0 {
                b"GET /x HTTP/1.1\r\nHost: a\r\nX: "
            } else {
                // It may yet be HTTP/2.
                b"PRI * HTTP/2.0\r\n"
            };
            let send = async {
                for byte in head.iter().chain(std::iter::repeat(&b'y')) {
                    if write.write_all(&[*byte]).await.is_err() {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            };
            let mut answer = Vec::new();
            tokio::select! {
                () = send => {}
                _ = read.read_to_end(&mut answer) => {}
            }
        });
    }
    while let Some(ended) = soon("the cut", slow.join_next()).await {
        ended.unwrap();
    }
    assert!(
        start.elapsed() < Duration::from_secs(6),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(backend.accepted(), 0);
    is_served(&gateway).await;
}
