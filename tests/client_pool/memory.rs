//! A container in memory whose connections do what a script says, and how many there are.

use crate::raw::backend::Conn;
use ajp::client::{
    Client, ClientError, Connect, Connecting, Pool, PoolConfig, RequestTimeouts, Timeouts,
    Transport,
};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

pub(crate) type End = Conn<DuplexStream>;
type Script = dyn Fn(usize, End) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync;

pub(crate) struct Container(Arc<State>);

struct State {
    script: Box<Script>,
    opened: AtomicUsize,
    open: AtomicUsize,
    most: AtomicUsize,
    refusing: AtomicBool,
    connecting_takes: Mutex<Duration>,
    /// Bytes for each read and write, and a `Pending` before each write; 0 for streams
    /// without whims.
    sip: usize,
}

impl Container {
    /// The script of each connection is given its number.
    pub(crate) fn new<F>(script: impl Fn(usize, End) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::sipping(0, script)
    }

    /// As [`new`](Self::new); every write and flush of the client first waits for a turn of
    /// the scheduler, and no more than `sip` bytes are on the way.
    pub(crate) fn sipping<F>(
        sip: usize,
        script: impl Fn(usize, End) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self(Arc::new(State {
            script: Box::new(move |number, end| Box::pin(script(number, end))),
            opened: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            refusing: AtomicBool::new(false),
            connecting_takes: Mutex::new(Duration::ZERO),
            sip,
        }))
    }

    /// Every request is answered with its token.
    pub(crate) fn well() -> Self {
        Self::new(|_, end| end.serve_well())
    }

    pub(crate) fn client(&self, config: PoolConfig) -> Client {
        Client::for_own_requests(Pool::new(Door(Arc::clone(&self.0)), config))
    }

    pub(crate) fn refuse(&self, refusing: bool) {
        self.0.refusing.store(refusing, SeqCst);
    }

    pub(crate) fn connecting_takes(&self, time: Duration) {
        *self.0.connecting_takes.lock().unwrap() = time;
    }

    /// Connections opened so far.
    pub(crate) fn opened(&self) -> usize {
        self.0.opened.load(SeqCst)
    }

    /// Connections that the client has not closed.
    pub(crate) fn open(&self) -> usize {
        self.0.open.load(SeqCst)
    }

    /// The most there were at a time.
    pub(crate) fn most(&self) -> usize {
        self.0.most.load(SeqCst)
    }
}

struct Door(Arc<State>);

impl Connect for Door {
    fn connect(&self) -> Connecting<'_> {
        let state = &self.0;
        Box::pin(async move {
            let time = *state.connecting_takes.lock().unwrap();
            if !time.is_zero() {
                tokio::time::sleep(time).await;
            }
            if state.sip > 0 {
                tokio::task::yield_now().await;
            }
            if state.refusing.load(SeqCst) {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            let room = if state.sip > 0 { state.sip } else { 65536 };
            let (ours, theirs) = tokio::io::duplex(room);
            let number = state.opened.fetch_add(1, SeqCst);
            tokio::spawn((state.script)(number, Conn::new(theirs)));
            let open = state.open.fetch_add(1, SeqCst) + 1;
            state.most.fetch_max(open, SeqCst);
            Ok(Transport::new(Counted {
                inner: ours,
                state: Arc::clone(state),
                rested: false,
            }))
        })
    }

    fn describe(&self) -> String {
        "memory".into()
    }
}

/// The client's end.
struct Counted {
    inner: DuplexStream,
    state: Arc<State>,
    rested: bool,
}

impl Counted {
    /// Whether the stream wants a rest first.
    fn rests(&mut self, cx: &mut Context<'_>) -> bool {
        self.rested = !self.rested && self.state.sip > 0;
        if self.rested {
            cx.waker().wake_by_ref();
        }
        self.rested
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.state.open.fetch_sub(1, SeqCst);
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.rests(cx) {
            return Poll::Pending;
        }
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.rests(cx) {
            return Poll::Pending;
        }
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

pub(crate) fn get(token: &str) -> Request<Empty<Bytes>> {
    Request::get(format!("/{token}"))
        .body(Empty::new())
        .unwrap()
}

/// A whole exchange with limits of its own.
pub(crate) async fn fetch_with(
    client: &Client,
    token: &str,
    timeouts: RequestTimeouts,
) -> Result<String, ClientError> {
    let mut request = get(token);
    request.extensions_mut().insert(timeouts);
    let response = client.send(request).await?;
    let body = response.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8(body.to_vec()).unwrap())
}

/// A whole exchange.
pub(crate) async fn fetch(client: &Client, token: &str) -> Result<String, ClientError> {
    fetch_with(client, token, RequestTimeouts::new()).await
}

/// A whole exchange that must go well.
pub(crate) async fn well(client: &Client, token: &str) {
    assert_eq!(fetch(client, token).await.unwrap(), token);
}

/// This many idle connections, by as many exchanges at a time.
pub(crate) async fn fill(client: &Client, count: usize) {
    let mut held = Vec::new();
    for n in 0..count {
        held.push(client.send(get(&format!("fill-{n}"))).await.unwrap());
    }
    for response in held {
        response.into_body().collect().await.unwrap();
    }
    assert_eq!(client.pool().stats().idle, count);
}

/// Lets everything that can run do so.
pub(crate) async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

/// No limit at all.
pub(crate) fn unlimited() -> Timeouts {
    Timeouts::default()
        .with_acquire(None)
        .with_connect(None)
        .with_cping(None)
        .with_write(None)
        .with_response_head(None)
        .with_request_body(None)
        .with_between_packets(None)
        .with_response_read(None)
        .with_request(None)
}
