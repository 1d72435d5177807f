//! Clients that are slow, on purpose or not: nobody else notices.

use crate::hostile::{Frames, GET, HEADERS, SETTINGS};
use crate::raw::backend::{Backend, Conn, config};
use crate::raw::packets::{chunk, head};
use crate::raw::soon;
use crate::support::gateway::Gateway;
use crate::wire::{END, before, echo, exchange};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

const PAGE: usize = 200_000;

/// A container with a page of 200 kB, and room for so few requests at a time.
async fn pages() -> (Backend, Gateway) {
    let backend = Backend::start(config(), |_, mut conn: Conn| async move {
        while let Some(request) = conn.request().await {
            let body = conn.body(&request).await;
            if body.is_none() {
                return;
            }
            let length = PAGE.to_string();
            conn.write(&head(200, &[("Content-Length", &length)])).await;
            for _ in 0..PAGE / 8000 {
                conn.write(&chunk(&[b'x'; 8000])).await;
            }
            conn.write(END).await;
        }
    })
    .await;
    let gateway = Gateway::start(&format!(
        "[limits]\nbody_timeout = \"2s\"\n[manager]\n[[balancer]]\nname = \"b\"\n\
         max_connections = 4\n[[balancer.member]]\nurl = \"{}\"\n\
         [[map]]\npath = \"/\"\nto = \"balancer://b/\"\n",
        backend.url()
    ))
    .await;
    (backend, gateway)
}

/// A client with a small window that has asked for the page and reads nothing.
async fn reader(gateway: &Gateway) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut http = socket.connect(gateway.http).await.unwrap();
    http.write_all(b"GET /page HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    http
}

/// The time that the page takes for somebody who reads it.
async fn honest(gateway: &Gateway) -> Duration {
    let start = Instant::now();
    let request = b"GET /page HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answer = exchange(gateway.http, request).await;
    assert!(
        answer.starts_with("HTTP/1.1 200 "),
        "{}",
        &answer[..100.min(answer.len())]
    );
    assert!(answer.len() > PAGE);
    start.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_and_uploaders_take_no_connection_of_a_container() {
    let (_backend, gateway) = pages().await;
    let mut slow = Vec::new();
    for _ in 0..50 {
        slow.push(reader(&gateway).await);
        let mut upload = TcpStream::connect(gateway.http).await.unwrap();
        let head = b"POST /sink HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n";
        upload.write_all(head).await.unwrap();
        slow.push(upload);
    }
    for _ in 0..50 {
        let time = honest(&gateway).await;
        assert!(time < Duration::from_secs(2), "{time:?}");
    }
    gateway
        .wait_until("free", |status| {
            status["balancers"][0]["members"][0]["busy"] == 0
        })
        .await;
    // Who uploads nothing is told so.
    let mut answer = String::new();
    let mut upload = slow.remove(1);
    soon("408", upload.read_to_string(&mut answer))
        .await
        .unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    // Who reads at last gets all of it.
    let mut reader = slow.remove(0);
    let mut read = 0;
    let mut buffer = vec![0; 65536];
    while read < PAGE {
        read += soon("the page", reader.read(&mut buffer)).await.unwrap();
    }
    drop(slow);
}

#[tokio::test]
async fn who_reads_nothing_is_cut_off() {
    let backend = Backend::start(config(), |_, mut conn: Conn| async move {
        conn.request().await.unwrap();
        conn.write(&head(200, &[])).await;
        // Until the gateway closes: it aborts what its client does not take.
        let piece = chunk(&[b'x'; 8000]);
        while conn.stream.write_all(&piece).await.is_ok() {}
    })
    .await;
    let keys = "[limits]\nwrite_timeout = \"1s\"\nresponse_buffer = 100000";
    let gateway = before(&backend, keys).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut http = socket.connect(gateway.http).await.unwrap();
    http.write_all(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let mut all = Vec::new();
    let end = soon("the cut", http.read_to_end(&mut all)).await;
    let complete = all.ends_with(b"0\r\n\r\n");
    assert!(end.is_err() || !complete, "cut, not ended");
}

#[tokio::test]
async fn a_stream_passes_at_once() {
    let backend = Backend::start(config(), |_, mut conn: Conn| async move {
        conn.request().await.unwrap();
        conn.write(&head(200, &[("Content-Type", "text/event-stream")]))
            .await;
        for number in 0.. {
            conn.write(&chunk(format!("data: {number}\n\n").as_bytes()))
                .await;
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    })
    .await;
    let gateway = before(&backend, "").await;
    let mut http = TcpStream::connect(gateway.http).await.unwrap();
    let start = Instant::now();
    http.write_all(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    let mut got = Vec::new();
    for number in 0..3 {
        let event = format!("data: {number}\n");
        while !String::from_utf8_lossy(&got).contains(&event) {
            soon("an event", http.read_buf(&mut got)).await.unwrap();
        }
        let due = Duration::from_millis(300 * number);
        let late = start.elapsed().saturating_sub(due);
        assert!(
            late < Duration::from_millis(250),
            "event {number} {late:?} late"
        );
    }
}

#[tokio::test]
async fn a_body_that_comes_in_pieces_arrives_whole() {
    let backend = echo().await;
    let gateway = before(&backend, "").await;
    let mut http = TcpStream::connect(gateway.http).await.unwrap();
    let head = b"POST /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 6\r\n\r\n";
    http.write_all(head).await.unwrap();
    for piece in [b"ab", b"cd", b"ef"] {
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(backend.accepted(), 0, "no container waits for a client");
        http.write_all(piece).await.unwrap();
    }
    let mut answer = String::new();
    soon("an answer", http.read_to_string(&mut answer))
        .await
        .unwrap();
    assert!(answer.ends_with("\r\n\r\nx"), "{answer}");
}

/// How long it goes on; `AJP_SLOW_SECONDS=60` for a long run.
fn seconds() -> u64 {
    let given = std::env::var("AJP_SLOW_SECONDS");
    given.map_or(5, |number| number.parse().unwrap())
}

/// Slow clients of each kind.
const CROWD: usize = 200;

/// Reads the page, 1000 bytes a second.
async fn read_slowly(address: std::net::SocketAddr) {
    loop {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let Ok(mut http) = socket.connect(address).await else {
            continue;
        };
        let asked = http.write_all(b"GET /page HTTP/1.1\r\nHost: a\r\n\r\n");
        if asked.await.is_err() {
            continue;
        }
        let mut buffer = [0; 1000];
        while http.read(&mut buffer).await.is_ok_and(|count| count > 0) {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

/// As [`read_slowly`], 20 pages at a time over a connection of HTTP/2, with windows for all of them.
async fn read_slowly_over_http2(address: std::net::SocketAddr) {
    loop {
        let mut client = Frames::connect(address).await;
        let window = 0x7fff_0000_u32.to_be_bytes();
        let mut sent = client
            .send(SETTINGS, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff])
            .await
            && client.send(8, 0, 0, &window).await;
        for stream in 0..20 {
            sent = sent && client.send(HEADERS, 5, stream * 2 + 1, GET).await;
        }
        let mut buffer = vec![0; 20_000];
        while sent
            && client
                .0
                .read(&mut buffer)
                .await
                .is_ok_and(|count| count > 0)
        {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

/// Sends a body, one byte a second.
async fn upload_slowly(address: std::net::SocketAddr) {
    loop {
        let Ok(mut http) = TcpStream::connect(address).await else {
            continue;
        };
        let head = b"POST /sink HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n";
        let mut sent = http.write_all(head).await;
        while sent.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
            sent = http.write_all(b"x").await;
        }
    }
}

/// How long pages took, in order, asked one after the other for so long.
async fn times(gateway: &Gateway, seconds: u64) -> Vec<Duration> {
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut times = Vec::new();
    while Instant::now() < end {
        times.push(honest(gateway).await);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    times.sort();
    times
}

/// 200 that read slowly, 60 more over HTTP/2, and 200 that upload slowly, before containers that have room for four
/// requests at a time.
#[tokio::test(flavor = "multi_thread")]
async fn honest_visitors_do_not_notice_a_crowd_of_slow_ones() {
    let (backend, gateway) = pages().await;
    // Whatever is filled once, such as pools, is filled.
    times(&gateway, 1).await;
    let quiet = times(&gateway, seconds()).await;
    let before = gateway.memory();
    let mut crowd = tokio::task::JoinSet::new();
    for _ in 0..CROWD {
        crowd.spawn(read_slowly(gateway.http));
        crowd.spawn(upload_slowly(gateway.http));
    }
    for _ in 0..3 {
        crowd.spawn(read_slowly_over_http2(gateway.http));
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let crowded = times(&gateway, seconds()).await;
    let memory = gateway.memory().saturating_sub(before);
    let p99 = |times: &[Duration]| times[times.len() * 99 / 100];
    println!(
        "p99 {:?} of {} pages alone, {:?} of {} beside the crowd, which takes {} kB; {} \
         connections to the container",
        p99(&quiet),
        quiet.len(),
        p99(&crowded),
        crowded.len(),
        memory / 1000,
        backend.accepted(),
    );
    // A machine with other work has waits of its own.
    let most = p99(&quiet) * 2 + Duration::from_millis(50);
    assert!(p99(&crowded) <= most, "{:?} > {most:?}", p99(&crowded));
    // The page for every reader, and as much again for what a connection needs.
    assert!(memory < ((CROWD + 60) * PAGE * 2) as u64, "{memory}");
    assert!(backend.accepted() <= 4, "{}", backend.accepted());
    drop(crowd);
}
