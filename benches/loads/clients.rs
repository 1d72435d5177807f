//! Many HTTP clients that keep their connections and ask now and then, as browsers do.

use bytes::BytesMut;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

/// What the answer of the null container ends with: under a Content-Length, and in chunks.
const ENDS: [&[u8]; 2] = [b"Hello, world!", b"Hello, world!\r\n0\r\n\r\n"];
/// Whoever waits longer for an answer has found a fault.
const LONGEST: Duration = Duration::from_secs(20);
/// Connections that are opened at a time.
const OPENING: usize = 200;

/// Clients that are connected.
pub(crate) struct Clients {
    addr: SocketAddr,
    streams: Vec<TcpStream>,
}

impl Clients {
    /// Connects so many, each of which has asked once.
    pub(crate) async fn connect(addr: SocketAddr, count: usize) -> Self {
        let mut streams = Vec::with_capacity(count);
        while streams.len() < count {
            let mut opening = JoinSet::new();
            for _ in 0..OPENING.min(count - streams.len()) {
                opening.spawn(async move {
                    let mut stream = connect(addr).await;
                    ask(&mut stream, addr).await;
                    stream
                });
            }
            streams.extend(opening.join_all().await);
        }
        Self { addr, streams }
    }

    /// So many requests a second, of all of them together, one client after the other: how long
    /// each took, in milliseconds.
    pub(crate) async fn ask(&mut self, per_second: f64, time: Duration) -> Vec<f64> {
        let count = self.streams.len() as f64;
        let interval = Duration::from_secs_f64(count / per_second);
        let (addr, start) = (self.addr, Instant::now());
        let mut asking = JoinSet::new();
        for (at, mut stream) in self.streams.drain(..).enumerate() {
            let first = start + interval.mul_f64(at as f64 / count);
            asking.spawn(async move {
                let mut times = Vec::new();
                let mut next = first;
                while next < start + time {
                    sleep_until(next).await;
                    let sent = Instant::now();
                    ask(&mut stream, addr).await;
                    times.push(sent.elapsed().as_secs_f64() * 1e3);
                    next += interval;
                }
                (stream, times)
            });
        }
        let mut all = Vec::new();
        for (stream, times) in asking.join_all().await {
            self.streams.push(stream);
            all.extend(times);
        }
        all.sort_by(f64::total_cmp);
        all
    }
}

async fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// One request. A kept connection may have been closed, as httpd does with those that wait when it
/// needs its threads: then it takes a new one, as a browser does.
async fn ask(stream: &mut TcpStream, addr: SocketAddr) {
    if !try_to_ask(stream).await {
        *stream = connect(addr).await;
        assert!(try_to_ask(stream).await, "closed unanswered");
    }
}

/// Whether there was an answer.
async fn try_to_ask(stream: &mut TcpStream) -> bool {
    let request = b"GET /small HTTP/1.1\r\nHost: app.example\r\nUser-Agent: crowd\r\n\r\n";
    // While it waits a client has no buffer: these are not measured, but they are many.
    let mut buffer = BytesMut::with_capacity(512);
    if stream.write_all(request).await.is_err() {
        return false;
    }
    while !is_whole(&buffer) {
        let read = timeout(LONGEST, stream.read_buf(&mut buffer)).await;
        let read = read.unwrap_or_else(|_| panic!("no more came: {buffer:?}"));
        match read {
            Ok(0) | Err(_) if buffer.is_empty() => return false,
            Ok(0) | Err(_) => panic!("broken off: {buffer:?}"),
            Ok(_) => {}
        }
    }
    assert!(buffer.starts_with(b"HTTP/1.1 200"), "{buffer:?}");
    true
}

fn is_whole(answer: &[u8]) -> bool {
    let is_chunked = answer
        .windows(8)
        .any(|bytes| bytes.eq_ignore_ascii_case(b"chunked\r"));
    answer.ends_with(ENDS[usize::from(is_chunked)])
}
