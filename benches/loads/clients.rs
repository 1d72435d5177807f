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
pub(crate) struct Clients(Vec<TcpStream>);

impl Clients {
    /// Connects so many, each of which has asked once.
    pub(crate) async fn connect(addr: SocketAddr, count: usize) -> Self {
        let mut streams = Vec::with_capacity(count);
        while streams.len() < count {
            let mut opening = JoinSet::new();
            for _ in 0..OPENING.min(count - streams.len()) {
                opening.spawn(async move {
                    let mut stream = TcpStream::connect(addr).await.unwrap();
                    stream.set_nodelay(true).unwrap();
                    ask(&mut stream).await;
                    stream
                });
            }
            streams.extend(opening.join_all().await);
        }
        Self(streams)
    }

    /// So many requests a second, of all of them together, one client after the other: how long
    /// each took, in milliseconds.
    pub(crate) async fn ask(&mut self, per_second: f64, time: Duration) -> Vec<f64> {
        let count = self.0.len() as f64;
        let interval = Duration::from_secs_f64(count / per_second);
        let start = Instant::now();
        let mut asking = JoinSet::new();
        for (at, mut stream) in self.0.drain(..).enumerate() {
            let first = start + interval.mul_f64(at as f64 / count);
            asking.spawn(async move {
                let mut times = Vec::new();
                let mut next = first;
                while next < start + time {
                    sleep_until(next).await;
                    let sent = Instant::now();
                    ask(&mut stream).await;
                    times.push(sent.elapsed().as_secs_f64() * 1e3);
                    next += interval;
                }
                (stream, times)
            });
        }
        let mut all = Vec::new();
        for (stream, times) in asking.join_all().await {
            self.0.push(stream);
            all.extend(times);
        }
        all.sort_by(f64::total_cmp);
        all
    }
}

async fn ask(stream: &mut TcpStream) {
    let request = b"GET /small HTTP/1.1\r\nHost: app.example\r\nUser-Agent: crowd\r\n\r\n";
    stream.write_all(request).await.unwrap();
    // While it waits a client has no buffer: it is not these that are measured, but they are many.
    let mut buffer = BytesMut::with_capacity(512);
    while !is_whole(&buffer) {
        let read = timeout(LONGEST, stream.read_buf(&mut buffer)).await;
        let count = read.unwrap_or_else(|_| panic!("no more came: {buffer:?}"));
        assert_ne!(count.unwrap(), 0, "closed: {buffer:?}");
    }
    assert!(buffer.starts_with(b"HTTP/1.1 200"), "{buffer:?}");
}

fn is_whole(answer: &[u8]) -> bool {
    let is_chunked = answer
        .windows(8)
        .any(|bytes| bytes.eq_ignore_ascii_case(b"chunked\r"));
    answer.ends_with(ENDS[usize::from(is_chunked)])
}
