//! HTTP/2 connections that ask for nothing, that take nothing, and those of many visitors.

use crate::hostile::{Frames, GET, GOAWAY, HEADERS, PING, RESET, SETTINGS};
use crate::raw::backend::{Backend, Conn, config};
use crate::raw::packets::{answer_packet, chunk, head, response};
use crate::raw::soon;
use crate::support::gateway::Gateway;
use crate::wire::{before, echo, exchange};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// DATA (RFC 9113, section 6.1), as a frame's type.
const DATA: u8 = 0;
/// Flags: the stream ends, the head ends.
const LAST: u8 = 1;
const HEAD_ENDS: u8 = 4;
/// As [`GET`], with `:method POST`.
const POST: &[u8] = &[0x83, 0x86, 0x84, 0x41, 1, b'a'];
/// `:status 200` as a field of the static table (RFC 7541, appendix A).
const OK: u8 = 0x88;

/// A frame with its type, flags, stream and payload.
async fn frame(http: &mut TcpStream) -> Option<(u8, u8, Vec<u8>)> {
    let mut head = [0; 9];
    http.read_exact(&mut head).await.ok()?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; usize::try_from(length).unwrap()];
    http.read_exact(&mut payload).await.ok()?;
    Some((head[3], head[4], payload))
}

#[tokio::test]
async fn a_connection_without_requests_is_closed_though_it_answers_pings() {
    let backend = echo().await;
    let gateway = before(&backend, "[limits]\nhead_timeout = \"1s\"").await;
    for answers in [true, false] {
        let mut http = TcpStream::connect(gateway.http).await.unwrap();
        let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
        let hello = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &settings[..]].concat();
        http.write_all(&hello).await.unwrap();
        let start = Instant::now();
        let (mut pings, mut goodbyes) = (0, 0);
        while let Some((kind, flags, payload)) = soon("a frame", frame(&mut http)).await {
            if kind == PING && flags == 0 {
                pings += 1;
                if answers {
                    let pong = [&[0, 0, 8, PING, 1, 0, 0, 0, 0], &payload[..]].concat();
                    let _ = http.write_all(&pong).await;
                }
            }
            goodbyes += u32::from(kind == GOAWAY);
        }
        assert!(goodbyes > 0, "answers: {answers}");
        assert!(pings > 0, "answers: {answers}");
        let took = start.elapsed();
        assert!(
            took > Duration::from_millis(900) && took < Duration::from_secs(5),
            "{took:?}"
        );
    }
}

/// The first byte of the head of the answer on this stream: its status.
async fn status(client: &mut Frames, stream: u32) -> Option<u8> {
    loop {
        let mut head = [0; 9];
        soon("a frame", client.0.read_exact(&mut head)).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        client.0.read_exact(&mut payload).await.ok()?;
        let of = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        if head[3] == HEADERS && of == stream {
            return payload.first().copied();
        }
    }
}

/// A proxy in front has many visitors on one connection. HTTP/2 has framing of its own, so what
/// one of them breaks off or ends with trailers says nothing of the others.
#[tokio::test]
async fn an_upload_that_ends_oddly_ends_alone() {
    let backend = echo().await;
    let gateway = before(&backend, "").await;
    for end in ["cancelled", "trailers"] {
        let mut client = Frames::connect(gateway.http).await;
        for stream in [1, 5, 9] {
            assert!(client.send(HEADERS, HEAD_ENDS, stream, POST).await);
            assert!(client.send(DATA, 0, stream, b"part").await);
            if end == "cancelled" {
                tokio::time::sleep(Duration::from_millis(20)).await;
                assert!(client.send(RESET, 0, stream, &8u32.to_be_bytes()).await);
            } else {
                let field = [0x40, 1, b'x', 1, b'y'];
                assert!(client.send(HEADERS, HEAD_ENDS | LAST, stream, &field).await);
                assert_eq!(status(&mut client, stream).await, Some(OK), "{end}");
            }
            let next = stream + 2;
            assert!(client.send(HEADERS, HEAD_ENDS | LAST, next, GET).await);
            assert_eq!(status(&mut client, next).await, Some(OK), "after {end}");
        }
    }
}

/// A stream without a window writes nothing that a time limit of the socket could measure.
#[tokio::test]
async fn who_grants_no_window_keeps_no_connection_of_a_member() {
    let backend = Backend::start(config(), |_, mut conn: Conn| async move {
        while let Some(request) = conn.request().await {
            if request.req_uri() == b"/small" {
                conn.write(&response("small", 1)).await;
                continue;
            }
            conn.write(&head(200, &[])).await;
            for _ in 0..100 {
                conn.write(&chunk(&[b'x'; 8000])).await;
            }
            conn.write(&answer_packet(&[5, 1])).await;
        }
    })
    .await;
    let site = format!(
        "[limits]\nwrite_timeout = \"1s\"\nhead_timeout = \"1s\"\nresponse_buffer = 0\n\
         [[balancer]]\nname = \"b\"\nmax_connections = 1\n[[balancer.member]]\nurl = \"{}\"\n\
         [[map]]\npath = \"/\"\nto = \"balancer://b/\"\n",
        backend.url()
    );
    let gateway = Gateway::start(&site).await;
    let mut client = Frames::connect(gateway.http).await;
    let no_window = [0, 4, 0, 0, 0, 0];
    assert!(client.send(SETTINGS, 0, 0, &no_window).await);
    assert!(client.send(HEADERS, HEAD_ENDS | LAST, 1, GET).await);
    assert_eq!(status(&mut client, 1).await, Some(OK));
    // The only connection is not free before the time is over.
    let start = Instant::now();
    let request = b"GET /small HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answer = exchange(gateway.http, request).await;
    assert!(answer.ends_with("\r\n\r\nsmall"), "{answer}");
    let took = start.elapsed();
    assert!(took > Duration::from_millis(800), "{took:?}");
    // And the client itself is one without requests then.
    let mut goodbyes = 0;
    while let Some((kind, flags, payload)) = soon("a frame", frame(&mut client.0)).await {
        if kind == PING && flags == 0 {
            client.send(PING, 1, 0, &payload).await;
        }
        goodbyes += u32::from(kind == GOAWAY);
    }
    assert!(goodbyes > 0);
}

/// A client may open any number of windows and then read nothing: what waits for it in its
/// connection counts as what waits before it does.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_windows_is_within_the_budget() {
    const CONNECTIONS: u32 = 20;
    const STREAMS: u32 = 45;
    let backend = Backend::start(config(), |_, mut conn: Conn| async move {
        while conn.request().await.is_some() {
            conn.write(&head(200, &[])).await;
            for _ in 0..8 {
                conn.write(&chunk(&[b'x'; 8000])).await;
            }
            conn.write(&answer_packet(&[5, 1])).await;
        }
    })
    .await;
    let site = format!(
        "[limits]\nbuffer_memory = 1000000\n[[balancer]]\nname = \"b\"\n\
         [[balancer.member]]\nurl = \"{}\"\n[[map]]\npath = \"/\"\nto = \"balancer://b/\"\n",
        backend.url()
    );
    let gateway = Gateway::start(&site).await;
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut client = Frames::connect(gateway.http).await;
        // Windows as large as they can be, for streams and for the connection.
        let largest = [0, 4, 0x7f, 0xff, 0xff, 0xff];
        assert!(client.send(SETTINGS, 0, 0, &largest).await);
        assert!(client.send(8, 0, 0, &0x7fff_0000_u32.to_be_bytes()).await);
        clients.push(client);
    }
    let idle = gateway.memory();
    for client in &mut clients {
        for stream in 0..STREAMS {
            assert!(
                client
                    .send(HEADERS, HEAD_ENDS | LAST, stream * 2 + 1, GET)
                    .await
            );
        }
    }
    // Until it grows no more.
    let mut memory = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(700)).await;
        let now = gateway.memory();
        if now <= memory + 200_000 {
            break;
        }
        memory = now;
    }
    let grown = gateway.memory().saturating_sub(idle);
    let streams = u64::from(CONNECTIONS * STREAMS);
    // The budget, one piece of each answer, what comes in one read over each of a hundred connections
    // to the container, and what a request and its stream need themselves.
    let most = 1_000_000 + streams * 8_000 + 100 * 70_000 + streams * 6_000;
    assert!(grown < most, "{grown} bytes for {streams} streams of 64000");
    // Whoever reads gets all of it.
    for mut client in clients {
        let mut ended = 0;
        while ended < STREAMS {
            let (kind, flags, _) = soon("a frame", frame(&mut client.0)).await.unwrap();
            ended += u32::from(kind == DATA && flags & LAST != 0);
        }
    }
}

/// A member works on for every request that its client has cancelled.
#[tokio::test]
async fn who_cancels_everything_is_told_to_go_away() {
    let backend = Backend::start(config(), |_, mut conn: Conn| async move {
        while conn.request().await.is_some() {
            tokio::time::sleep(Duration::from_millis(200)).await;
            conn.write(&response("late", 1)).await;
        }
    })
    .await;
    let gateway = before(&backend, "").await;
    let mut client = Frames::connect(gateway.http).await;
    let mut sent = 0;
    while sent < 400 {
        let stream = sent * 2 + 1;
        // Long enough for hyper to take it.
        if !client.send(HEADERS, HEAD_ENDS | LAST, stream, GET).await {
            break;
        }
        tokio::time::sleep(Duration::from_millis(3)).await;
        if !client.send(RESET, 0, stream, &8u32.to_be_bytes()).await {
            break;
        }
        sent += 1;
    }
    while let Some((kind, ..)) = soon("GOAWAY", frame(&mut client.0)).await {
        if kind == GOAWAY {
            break;
        }
    }
    let accepted = backend.accepted();
    assert!(accepted < 250, "{accepted} of {sent} reached the member");
}

/// A container does not notice that a client has gone: no more requests run at it than there are
/// connections all the same.
#[tokio::test(flavor = "multi_thread")]
async fn who_cancels_has_no_more_run_at_a_member_than_connections() {
    let running = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
    let counted = Arc::clone(&running);
    let backend = Backend::start(config(), move |_, mut conn: Conn| {
        let counted = Arc::clone(&counted);
        async move {
            while conn.request().await.is_some() {
                let now = counted.0.fetch_add(1, SeqCst) + 1;
                counted.1.fetch_max(now, SeqCst);
                tokio::time::sleep(Duration::from_millis(300)).await;
                counted.0.fetch_sub(1, SeqCst);
                conn.write(&response("late", 1)).await;
            }
        }
    })
    .await;
    for (pool, most) in [
        ("", 3..=3),
        ("[balancer.pool]\nabandoned = \"none\"\n", 4..=90),
    ] {
        running.1.store(0, SeqCst);
        let site = format!(
            "[[balancer]]\nname = \"b\"\nmax_connections = 3\n{pool}[[balancer.member]]\n\
             url = \"{}\"\n[[map]]\npath = \"/\"\nto = \"balancer://b/\"\n",
            backend.url()
        );
        let gateway = Gateway::start(&site).await;
        let mut client = Frames::connect(gateway.http).await;
        for stream in (1..181).step_by(2) {
            assert!(client.send(HEADERS, HEAD_ENDS | LAST, stream, GET).await);
            tokio::time::sleep(Duration::from_millis(10)).await;
            assert!(client.send(RESET, 0, stream, &8u32.to_be_bytes()).await);
        }
        let seen = running.1.load(SeqCst);
        assert!(most.contains(&seen), "{pool:?}: {seen} at a time");
    }
}

/// `WINDOW_UPDATE` (RFC 9113, section 6.9), as a frame's type.
const WINDOW_UPDATE: u8 = 8;

/// No upload is taken further than its buffer while no container takes it, and no upload keeps
/// others of the same connection from being taken.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_nobody_takes_fills_its_buffer_and_no_more() {
    let backend = Backend::start(config(), |_, mut conn: Conn| async move {
        while let Some(request) = conn.request().await {
            if request.req_uri() == b"/stuck" {
                std::future::pending::<()>().await;
            }
            let body = conn.body(&request).await.unwrap();
            conn.write(&response(&body.len().to_string(), 1)).await;
        }
    })
    .await;
    let gateway = before(&backend, "[limits]\nrequest_buffer = 20000\n").await;
    let mut client = Frames::connect(gateway.http).await;
    let stuck = [&[0x83, 0x86, 0x41, 1, b'a', 4, 6][..], b"/stuck"].concat();
    let mut most = 0;
    // More streams than would fit the window of the protocol for all of them.
    for stream in [1, 3, 5] {
        assert!(client.send(HEADERS, HEAD_ENDS, stream, &stuck).await);
        let mut window = 65_535_u32;
        let mut sent = 0;
        loop {
            while window > 0 {
                let part = window.min(10_000);
                let data = vec![b'x'; usize::try_from(part).unwrap()];
                assert!(client.send(DATA, 0, stream, &data).await);
                window -= part;
                sent += part;
            }
            // Another window, unless the gateway has enough.
            let more =
                tokio::time::timeout(Duration::from_millis(400), next_window(&mut client, stream));
            let Ok(more) = more.await else { break };
            window += more;
        }
        most = most.max(sent);
        assert!(
            sent <= 20_000 + 65_535 + 10_000,
            "{sent} of stream {stream}"
        );
    }
    assert!(most >= 65_535, "{most}");
    // The others go on.
    assert!(client.send(HEADERS, HEAD_ENDS, 7, POST).await);
    assert!(client.send(DATA, LAST, 7, &[b'x'; 10_000]).await);
    assert_eq!(status(&mut client, 7).await, Some(OK));
}

/// By how much the gateway opens the window of a stream.
async fn next_window(client: &mut Frames, stream: u32) -> u32 {
    loop {
        let mut head = [0; 9];
        client.0.read_exact(&mut head).await.unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        client.0.read_exact(&mut payload).await.unwrap();
        let of = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        if head[3] == WINDOW_UPDATE && of == stream {
            return u32::from_be_bytes(payload[..4].try_into().unwrap());
        }
    }
}
