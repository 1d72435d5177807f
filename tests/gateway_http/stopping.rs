//! The end of a gateway, and of limits that hold for a connection: nobody who has asked is left
//! without an answer.

use crate::hostile::{Frames, GET, GOAWAY, HEADERS, PING, SETTINGS};
use crate::raw::backend::{Backend, Conn, config};
use crate::raw::packets::response;
use crate::raw::soon;
use crate::reload::reload;
use crate::support::gateway::Gateway;
use crate::support::tls::Certificates;
use crate::wire::{before, echo};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const REQUEST: &[u8] = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n";
/// Flags of HEADERS: the stream ends, the head ends.
const WHOLE: u8 = 5;

/// What becomes of the streams of a connection.
#[derive(Debug, Default)]
struct Streams {
    next: u32,
    open: BTreeSet<u32>,
    answered: usize,
    /// The last stream that the gateway has taken, once it has said so.
    last: Option<u32>,
}

impl Streams {
    async fn open(&mut self, client: &mut Frames, count: usize) {
        while self.open.len() < count && self.last.is_none() {
            let stream = self.next * 2 + 1;
            self.next += 1;
            if !client.send(HEADERS, WHOLE, stream, GET).await {
                return;
            }
            self.open.insert(stream);
        }
    }

    /// Reads a frame; `false` at the end of the connection.
    async fn read(&mut self, client: &mut Frames) -> bool {
        let mut head = [0; 9];
        if soon("a frame", client.0.read_exact(&mut head))
            .await
            .is_err()
        {
            return false;
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        if client.0.read_exact(&mut payload).await.is_err() {
            return false;
        }
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        match (head[3], head[4]) {
            // DATA or HEADERS that end the stream.
            (0 | HEADERS, flags) if flags & 1 != 0 => {
                assert!(self.open.remove(&stream), "{stream} was open");
                self.answered += 1;
            }
            (SETTINGS, 0) => assert!(client.send(SETTINGS, 1, 0, &[]).await),
            (PING, 0) => {
                client.send(PING, 1, 0, &payload).await;
            }
            (GOAWAY, _) => {
                let last = u32::from_be_bytes(payload[..4].try_into().unwrap());
                self.last = Some(last);
            }
            _ => {}
        }
        true
    }

    /// Those that got no answer although the client must take them for taken.
    fn lost(&self) -> Vec<u32> {
        let is_taken = |stream: &&u32| self.last.is_none_or(|last| **stream <= last);
        self.open.iter().filter(is_taken).copied().collect()
    }
}

/// A gateway before a container that takes its time, and one of its listeners speaks TLS.
async fn gateway(dir: &std::path::Path) -> (Backend, Gateway) {
    let backend = Backend::start(config(), |_, mut conn: Conn| async move {
        while conn.request().await.is_some() {
            // Longer than a busy gateway takes to hear of its stop: what it answers then says so.
            tokio::time::sleep(Duration::from_millis(200)).await;
            conn.write(&response("x", 1)).await;
        }
    })
    .await;
    Certificates::create(dir);
    let dir = dir.to_str().unwrap();
    let listener = format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[listener.tls]\ncertificates = [{{ certificate = \
         \"{dir}/server.pem\", key = \"{dir}/server.key\" }}]\n"
    );
    let gateway = before(&backend, &listener).await;
    (backend, gateway)
}

/// Waits until so many clients have connected to a listener that accepts nobody now.
async fn waiting(listener: SocketAddr, count: u32) {
    // 0A is a socket that listens; how many wait stands where others have what is unread.
    let port = format!(":{:04X} 00000000:0000 0A ", listener.port());
    for attempt in 0.. {
        let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let line = sockets.lines().find(|line| line.contains(&port)).unwrap();
        let queues = line.split_whitespace().nth(4).unwrap();
        let waiting = queues.split(':').nth(1).unwrap();
        if u32::from_str_radix(waiting, 16).unwrap() >= count {
            return;
        }
        assert!(attempt < 500, "{line}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Whoever has connected before the stop may have asked already: the gateway has not looked yet.
#[tokio::test(flavor = "multi_thread")]
async fn who_has_connected_before_the_stop_is_answered() {
    let dir = tempfile::tempdir().unwrap();
    let (_backend, mut gateway) = gateway(dir.path()).await;
    gateway.signal("STOP");
    let mut over_http1 = Vec::new();
    let mut over_http2 = Vec::new();
    for _ in 0..10 {
        let mut http = TcpStream::connect(gateway.http).await.unwrap();
        http.write_all(REQUEST).await.unwrap();
        over_http1.push(http);
        let mut client = Frames::connect(gateway.http).await;
        let mut streams = Streams::default();
        streams.open(&mut client, 5).await;
        over_http2.push((client, streams));
    }
    let url = format!("https://{}/x", gateway.others()[0]);
    let over_tls: Vec<_> = ["--http1.1", "--http2"]
        .map(|version| {
            let mut curl = Command::new("curl");
            curl.args([
                "-sk",
                "--max-time",
                "10",
                version,
                "-w",
                " %{http_code}",
                &url,
            ]);
            curl.stdout(std::process::Stdio::piped()).spawn().unwrap()
        })
        .into();
    let mut crowd = Vec::new();
    for _ in 0..200 {
        let mut http = TcpStream::connect(gateway.http).await.unwrap();
        http.write_all(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
            .await
            .unwrap();
        crowd.push(http);
    }
    waiting(gateway.others()[0].parse().unwrap(), 2).await;
    gateway.signal("TERM");
    gateway.signal("CONT");
    for http in over_http1.iter_mut().chain(&mut crowd) {
        let mut answer = String::new();
        soon("an answer", http.read_to_string(&mut answer))
            .await
            .unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");
    }
    for (client, streams) in &mut over_http2 {
        while streams.read(client).await {}
        assert_eq!(streams.answered, 5, "{streams:?}");
    }
    for curl in over_tls {
        let said = tokio::task::spawn_blocking(|| curl.wait_with_output().unwrap());
        let said = said.await.unwrap().stdout;
        assert_eq!(String::from_utf8_lossy(&said), "x 200");
    }
}

async fn ask_until_it_goes(address: SocketAddr, all: Arc<AtomicUsize>) -> Streams {
    let mut client = Frames::connect(address).await;
    let mut streams = Streams::default();
    loop {
        streams.open(&mut client, 10).await;
        let before = streams.answered;
        if !streams.read(&mut client).await {
            return streams;
        }
        all.fetch_add(streams.answered - before, Ordering::Relaxed);
    }
}

/// Of a stream beyond the last that the gateway names a client knows that it may ask elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_leaves_no_stream_of_http2_unanswered() {
    let dir = tempfile::tempdir().unwrap();
    let (_backend, mut gateway) = gateway(dir.path()).await;
    let address = gateway.http;
    let all = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..8)
        .map(|_| tokio::spawn(ask_until_it_goes(address, Arc::clone(&all))))
        .collect();
    soon("answers", async {
        while all.load(Ordering::Relaxed) < 100 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    gateway.signal("TERM");
    for client in clients {
        let streams = soon("the end of a connection", client).await.unwrap();
        assert!(streams.last.is_some(), "{streams:?}");
        assert!(streams.lost().is_empty(), "{streams:?}");
    }
}

/// One answer, with its head.
async fn answer(http: &mut TcpStream) -> String {
    let mut text = String::new();
    let mut space = [0; 1024];
    loop {
        let count = soon("an answer", http.read(&mut space)).await.unwrap();
        text += std::str::from_utf8(&space[..count]).unwrap();
        // "x", or what the gateway says itself.
        if count == 0
            || text
                .split_once("\r\n\r\n")
                .is_some_and(|(_, body)| !body.is_empty())
        {
            return text;
        }
    }
}

/// What an operator changes holds for the next request. What holds for a whole connection is that
/// of its beginning, so a connection from before ends with its next answer.
#[tokio::test(flavor = "multi_thread")]
async fn limits_that_change_hold_for_open_connections() {
    let backend = echo().await;
    let site = |limits: &str| {
        format!(
            "[limits]\n{limits}\n[[balancer]]\nname = \"b\"\n[[balancer.member]]\nurl = \"{}\"\n\
             [[map]]\npath = \"/\"\nto = \"balancer://b/\"\n",
            backend.url()
        )
    };
    let mut gateway = Gateway::start(&site("")).await;
    let (mut one, mut two) = (
        TcpStream::connect(gateway.http).await.unwrap(),
        TcpStream::connect(gateway.http).await.unwrap(),
    );
    let mut client = Frames::connect(gateway.http).await;
    let mut streams = Streams::default();
    streams.open(&mut client, 1).await;
    for http in [&mut one, &mut two] {
        http.write_all(REQUEST).await.unwrap();
        assert!(!answer(http).await.contains("Connection: close"));
    }
    gateway.rewrite(&site("body_timeout = \"300ms\"\nrequest_buffer = 100"));
    reload(&mut gateway, 1).await;
    one.write_all(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\npart")
        .await
        .unwrap();
    let late = answer(&mut one).await;
    assert!(late.starts_with("HTTP/1.1 408 "), "{late}");

    gateway.rewrite(&site("max_head = 8192\nhead_timeout = \"10s\""));
    reload(&mut gateway, 2).await;
    two.write_all(REQUEST).await.unwrap();
    let last = answer(&mut two).await;
    assert!(
        last.starts_with("HTTP/1.1 200 ") && last.contains("\r\nConnection: close\r\n"),
        "{last}"
    );
    while streams.answered == 0 {
        assert!(streams.read(&mut client).await);
    }
    assert_eq!(streams.last, None);
    streams.open(&mut client, 1).await;
    while streams.read(&mut client).await {}
    assert_eq!((streams.answered, streams.lost().len()), (2, 0));
    assert!(streams.last.is_some(), "it was told to go away");

    let mut fresh = TcpStream::connect(gateway.http).await.unwrap();
    let long = format!(
        "GET /x HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
        "x".repeat(9000)
    );
    fresh.write_all(long.as_bytes()).await.unwrap();
    let refused = answer(&mut fresh).await;
    assert!(refused.starts_with("HTTP/1.1 431 "), "{refused}");
}
