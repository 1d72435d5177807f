//! What an idle connection holds, counted.

use crate::raw::packets::request;
use ajp::server::{Listener, RequestBody, ServerConfig, ServerStats, Trust, serve};
use ajp::wire::CPING;
use allocation_counter::measure;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use std::cell::Cell;
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const CONNECTIONS: usize = 10_000;
/// The aim.
const MOST: i64 = 4096;

/// A peer that says its part, takes what comes, and then says nothing for ever.
struct Quiet {
    says: Arc<[u8]>,
    said: usize,
    taken: Arc<AtomicUsize>,
}

impl AsyncRead for Quiet {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let says = Arc::clone(&self.says);
        let rest = &says[self.said..];
        if rest.is_empty() {
            return Poll::Pending;
        }
        let n = rest.len().min(buf.remaining());
        buf.put_slice(&rest[..n]);
        self.said += n;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Quiet {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.taken.fetch_add(data.len(), Ordering::Relaxed);
        Poll::Ready(Ok(data.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// So many of them, and no more.
struct Crowd {
    left: usize,
    says: Arc<[u8]>,
    taken: Arc<AtomicUsize>,
}

impl Listener for Crowd {
    type Io = Quiet;
    type Peer = usize;

    async fn accept(&mut self) -> (Quiet, usize) {
        if self.left == 0 {
            std::future::pending::<()>().await;
        }
        self.left -= 1;
        let quiet = Quiet {
            says: Arc::clone(&self.says),
            said: 0,
            taken: Arc::clone(&self.taken),
        };
        (quiet, self.left)
    }
}

/// Bytes of heap that each of them holds when it has said this and was answered.
fn held(says: &[u8]) -> i64 {
    let taken = Arc::new(AtomicUsize::new(0));
    let crowd = Crowd {
        left: CONNECTIONS,
        says: says.into(),
        taken: Arc::clone(&taken),
    };
    let answered = if says.is_empty() {
        0
    } else {
        CONNECTIONS as u64
    };
    let open = Rc::new(Cell::new(0));
    let seen = Rc::clone(&open);
    let info = measure(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        let large = Bytes::from(vec![b'd'; 100_000]);
        let app = tower::service_fn(move |_: Request<RequestBody>| {
            let large = large.clone();
            async move { Ok::<_, Infallible>(Response::new(Full::new(large))) }
        });
        runtime.block_on(async {
            let config =
                ServerConfig::new(Trust::TrustedNetwork).with_max_connections(2 * CONNECTIONS);
            let server = serve(crowd, app).with_config(config);
            let monitor = server.monitor();
            tokio::spawn(server.into_future());
            let all_there = |stats: ServerStats| {
                stats.requests + stats.cpings == answered
                    && (stats.open, stats.running) == (CONNECTIONS, 0)
            };
            while !all_there(monitor.stats()) {
                tokio::task::yield_now().await;
            }
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            seen.set(monitor.stats().open);
        });
        // The connections stay, so that what they hold is counted.
        std::mem::forget(runtime);
    });
    assert_eq!(open.get(), CONNECTIONS);
    assert_eq!(taken.load(Ordering::Relaxed) > 0, answered > 0);
    info.bytes_current / i64::try_from(CONNECTIONS).unwrap()
}

#[test]
fn an_idle_connection_holds_no_packet_buffer() {
    // Nothing yet; a probe; a request with an answer of 13 packets.
    let [fresh, probed, served] = [&b""[..], &CPING, &request("GET", "/", &[])].map(held);
    println!("bytes of an idle connection: {fresh} fresh, {probed} probed, {served} served");
    for (what, bytes) in [("fresh", fresh), ("probed", probed), ("served", served)] {
        assert!(bytes > 0 && bytes < MOST, "{what}: {bytes}");
    }
}
