//! Three runtimes on one pool, callers that give up at any moment, and a container that
//! misbehaves: nothing is lost, nothing is mixed up, and the cap holds.

use crate::raw::Random;
use crate::raw::backend::Conn;
use crate::raw::packets::{chunk, head, response};
use ajp::client::{
    Address, CPingMode, Client, Connect, Connecting, ErrorKind, Pool, PoolConfig, Transport,
};
use ajp::wire::{END_RESPONSE_REUSE, get_body_chunk};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};

const CAP: usize = 4;
const TIME: Duration = Duration::from_millis(1500);

/// How many connections the client has, and the most that it had.
#[derive(Default)]
struct Live {
    now: AtomicUsize,
    most: AtomicUsize,
}

struct Counted(TcpStream, Arc<Live>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.1.now.fetch_sub(1, SeqCst);
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

struct To(SocketAddr, Arc<Live>);

impl Connect for To {
    fn connect(&self) -> Connecting<'_> {
        Box::pin(async move {
            let stream = TcpStream::connect(self.0).await?;
            stream.set_nodelay(true)?;
            let now = self.1.now.fetch_add(1, SeqCst) + 1;
            self.1.most.fetch_max(now, SeqCst);
            Ok(Transport::new(Counted(stream, Arc::clone(&self.1))))
        })
    }

    fn describe(&self) -> String {
        "counted".into()
    }
}

fn millis(random: &mut Random, below: u32) -> Duration {
    Duration::from_millis(u64::try_from(random.below(below as usize)).unwrap())
}

/// Answers with the token of the request, but closes, hangs and breaks the protocol at times.
async fn moody(number: usize, mut conn: Conn) {
    let mut random = Random::new(number as u64 + 1);
    while let Some(request) = conn.request().await {
        let token = crate::raw::backend::token(&request);
        if request.framing().is_eager() && conn.payload().await.is_none() {
            return;
        }
        let mood = random.below(20);
        match mood {
            0 => return,
            1 => tokio::time::sleep(millis(&mut random, 20)).await,
            2 => {
                conn.write(&head(200, &[])).await;
                return;
            }
            _ => {}
        }
        let filler = "z".repeat(random.below(20_000));
        conn.write(&head(200, &[])).await;
        conn.write(&chunk(format!("{token}:").as_bytes())).await;
        for part in filler.as_bytes().chunks(5000) {
            conn.write(&chunk(part)).await;
        }
        if random.one_in(8) {
            tokio::time::sleep(millis(&mut random, 80)).await;
        }
        match mood {
            3 => {
                let whole = response(&token, 0);
                return conn.write(&whole[whole.len() - 6..]).await;
            }
            4 => {
                conn.write(&END_RESPONSE_REUSE).await;
                conn.write(&get_body_chunk(1)).await;
            }
            5 => return conn.write(&END_RESPONSE_REUSE).await,
            _ => conn.write(&END_RESPONSE_REUSE).await,
        }
    }
}

async fn container(listener: TcpListener) {
    for number in 0.. {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        tokio::spawn(moody(number, Conn::new(stream)));
    }
}

/// Sends until `end`; how many answers came whole.
async fn caller(pool: Pool, seed: u64, end: Instant) -> usize {
    let client = Client::for_own_requests(pool);
    let mut random = Random::new(seed);
    let mut good = 0;
    for n in 0.. {
        if Instant::now() >= end {
            break;
        }
        let token = format!("{seed}-{n}");
        let body = if random.one_in(3) { "some data" } else { "" };
        let method = if body.is_empty() { "GET" } else { "POST" };
        let request = Request::builder().method(method).uri(format!("/{token}"));
        let request = request.body(Full::<Bytes>::from(body)).unwrap();
        let work = async {
            let response = client.send(request).await?;
            Ok::<_, ajp::client::ClientError>(response.into_body().collect().await?.to_bytes())
        };
        match tokio::time::timeout(millis(&mut random, 30), work).await {
            Ok(Ok(body)) => {
                let text = String::from_utf8(body.to_vec()).unwrap();
                assert_eq!(text.split(':').next(), Some(token.as_str()));
                good += 1;
            }
            Ok(Err(error)) => assert_ne!(error.kind(), ErrorKind::AcquireTimeout, "{error:?}"),
            Err(_gave_up) => {}
        }
    }
    good
}

fn single() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn multi(threads: usize) -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(threads).enable_all();
    builder.build().unwrap()
}

fn stress(connector: impl FnOnce(SocketAddr) -> Pool) {
    let home = multi(1);
    let listener = home.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let pool = connector(listener.local_addr().unwrap());
    home.spawn(container(listener));
    let end = Instant::now() + TIME;
    let threads = (0..3u64).map(|thread| {
        let pool = pool.clone();
        std::thread::spawn(move || {
            let runtime = if thread == 0 { multi(2) } else { single() };
            runtime.block_on(async {
                let upkeep = tokio::spawn(pool.maintain());
                let callers = (0..12u64).map(|n| caller(pool.clone(), thread * 100 + n + 1, end));
                let callers: Vec<_> = callers.map(tokio::spawn).collect();
                if thread == 2 {
                    // This runtime ends early, with everything in flight.
                    tokio::time::sleep(TIME / 2).await;
                    return 1;
                }
                let mut good = 0;
                for caller in callers {
                    good += caller.await.unwrap();
                }
                upkeep.abort();
                good
            })
        })
    });
    for thread in threads.collect::<Vec<_>>() {
        assert!(thread.join().unwrap() > 0, "some answers came");
    }
    let stats = pool.stats();
    assert_eq!((stats.in_use, stats.waiting), (0, 0), "{stats:?}");
    assert_eq!(stats.created, stats.closed + stats.idle as u64, "{stats:?}");
    assert!(stats.closed > 10, "{stats:?}");
}

fn config() -> PoolConfig {
    PoolConfig::new()
        .with_max_connections(CAP)
        .with_cping(CPingMode::idle_longer_than(Duration::from_millis(20)))
        .with_idle_ping_interval(Duration::from_millis(40))
        .with_max_lifetime(Duration::from_millis(300))
}

#[test]
fn runtimes_keep_to_the_cap_and_lose_nothing() {
    let live = Arc::new(Live::default());
    stress(|address| Pool::new(To(address, Arc::clone(&live)), config()));
    assert_eq!(live.now.load(SeqCst), 0, "the pool is gone");
    let most = live.most.load(SeqCst);
    assert!(most <= CAP, "{most} at a time");
}

/// Where the kernel is asked before reuse.
#[test]
fn runtimes_lose_nothing_over_sockets() {
    stress(|address| Pool::new(Address::from(address), config()));
}
