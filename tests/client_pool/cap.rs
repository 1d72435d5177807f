//! The cap: no more connections exist than are allowed, whatever closes them, and it can be
//! changed.

use crate::memory::{Container, SECOND, fetch, fill, settle, well};
use ajp::client::{CPingMode, CloseCause, Connect, Connecting, Pool, PoolConfig, Transport};
use futures_util::FutureExt;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

/// A stream that takes its time to close: until it is told to.
struct Lingering {
    inner: DuplexStream,
    live: Arc<AtomicUsize>,
    closing: Sender<()>,
    close: Arc<Mutex<Receiver<()>>>,
}

impl Drop for Lingering {
    fn drop(&mut self) {
        let _ = self.closing.send(());
        // Not for ever, should the test fail.
        let _ = self.close.lock().unwrap().recv_timeout(SECOND * 5);
        self.live.fetch_sub(1, SeqCst);
    }
}

impl AsyncRead for Lingering {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl AsyncWrite for Lingering {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

struct ToLingering {
    live: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    closing: Sender<()>,
    close: Arc<Mutex<Receiver<()>>>,
}

impl Connect for ToLingering {
    fn connect(&self) -> Connecting<'_> {
        let live = self.live.fetch_add(1, SeqCst) + 1;
        self.most.fetch_max(live, SeqCst);
        let (ours, theirs) = tokio::io::duplex(1024);
        let stream = Lingering {
            inner: ours,
            live: Arc::clone(&self.live),
            closing: self.closing.clone(),
            close: Arc::clone(&self.close),
        };
        // The other end stays open.
        std::mem::forget(theirs);
        Box::pin(async move { Ok(Transport::new(stream)) })
    }

    fn describe(&self) -> String {
        "lingering".into()
    }
}

/// A thread closes the only connection, which takes long; nobody opens another one meanwhile.
#[tokio::test]
async fn a_connection_that_is_being_closed_counts() {
    let (closing, is_closing) = channel();
    let (close, closes) = channel();
    let (live, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let connector = ToLingering {
        live: Arc::clone(&live),
        most: Arc::clone(&most),
        closing,
        close: Arc::new(Mutex::new(closes)),
    };
    let config = PoolConfig::new()
        .with_max_connections(1)
        .with_min_idle(1)
        .with_cping(CPingMode::NEVER)
        .with_max_lifetime(Duration::from_millis(1));
    let pool = Pool::new(connector, config);
    assert_eq!(pool.replenish().await.unwrap(), 1);
    tokio::time::sleep(Duration::from_millis(2)).await;
    let evicting = pool.clone();
    let thread = std::thread::spawn(move || evicting.evict_expired());
    is_closing.recv().unwrap();
    assert_eq!(pool.stats().idle, 0);

    let mut next = pin!(pool.acquire());
    for _ in 0..100 {
        assert!(next.as_mut().now_or_never().is_none());
        settle().await;
    }
    assert_eq!(live.load(SeqCst), 1);
    close.send(()).unwrap();
    assert_eq!(thread.join().unwrap(), 1);
    let lease = next.await.unwrap();
    assert_eq!((live.load(SeqCst), most.load(SeqCst)), (1, 1));
    close.send(()).unwrap();
    drop(lease);
    assert_eq!(live.load(SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn a_pool_grows_and_shrinks() {
    let container = Container::well();
    let client = container.client(PoolConfig::new().with_max_connections(2));
    let pool = client.pool();
    let held = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
    let mut third = pin!(pool.acquire());
    assert!(third.as_mut().now_or_never().is_none());
    pool.resize(3);
    let third = third.await.unwrap();
    assert_eq!(pool.stats().max_connections, 3);
    drop((held, third));

    // Idle ones that are too many are closed at once.
    fill(&client, 3).await;
    pool.resize(2);
    let stats = pool.stats();
    assert_eq!((stats.idle, stats.closed_by(CloseCause::Surplus)), (2, 1));

    // Those in use when they come back.
    let held = client.send(crate::memory::get("held")).await.unwrap();
    let other = client.send(crate::memory::get("other")).await.unwrap();
    pool.resize(1);
    assert_eq!((pool.stats().in_use, pool.stats().idle), (2, 0));
    let mut next = pin!(fetch(&client, "next"));
    assert!(next.as_mut().now_or_never().is_none());
    http_body_util::BodyExt::collect(held.into_body())
        .await
        .unwrap();
    settle().await;
    assert!(next.as_mut().now_or_never().is_none());
    assert_eq!((pool.stats().in_use, pool.stats().idle), (1, 0));
    http_body_util::BodyExt::collect(other.into_body())
        .await
        .unwrap();
    assert_eq!(next.await.unwrap(), "next");
    let stats = pool.stats();
    assert_eq!((stats.idle, container.open()), (1, 1));

    pool.resize(0);
    assert_eq!(pool.stats().max_connections, 1, "never none");
    well(&client, "last").await;
}

/// Whatever the size becomes while requests run: none is lost, and the pool is in order afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_is_resized_under_load() {
    const CALLERS: usize = 12;
    const SIZES: usize = 60;
    let container = Container::well();
    let client = container.client(PoolConfig::new().with_max_connections(4));
    let pool = client.pool().clone();
    let (stop, asked) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (client, stop) = (client.clone(), Arc::clone(&stop));
            let asked = Arc::clone(&asked);
            tokio::spawn(async move {
                while stop.load(SeqCst) == 0 {
                    well(&client, "load").await;
                    asked.fetch_add(1, SeqCst);
                }
            })
        })
        .collect();
    let mut random = fastrand::Rng::with_seed(22);
    for _ in 0..SIZES {
        let (size, before) = (random.usize(0..8), asked.load(SeqCst));
        pool.resize(size);
        assert_eq!(pool.stats().max_connections, size.max(1));
        // With each size some requests are served.
        while asked.load(SeqCst) < before + CALLERS {
            tokio::time::sleep(Duration::from_micros(100)).await;
        }
    }
    stop.store(1, SeqCst);
    for caller in callers {
        caller.await.unwrap();
    }
    let asked = asked.load(SeqCst);
    println!("{asked} requests while the pool had {SIZES} sizes");
    assert!(asked >= SIZES * CALLERS);
    for size in [0, 3] {
        pool.resize(size);
        let mut held = Vec::new();
        for _ in 0..size.max(1) {
            held.push(pool.acquire().await.unwrap());
        }
        let mut more = pin!(pool.acquire());
        assert!(
            more.as_mut().now_or_never().is_none(),
            "no more than {size}"
        );
        drop(held);
    }
    let stats = pool.stats();
    assert_eq!((stats.in_use, stats.waiting), (0, 0));
    assert!(stats.idle <= 3, "{stats:?}");
}
