//! A network of one process: connections that are cut, that freeze, that never open.

use ajp::client::{Connect, Connecting, Transport};
use std::future::pending;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};
use tokio::sync::mpsc;

/// How a host behaves towards those who connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Up,
    /// Nobody listens.
    Refusing,
    /// Nothing ever comes back.
    Unreachable,
}

/// What has happened to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Whole,
    /// Both sides get a reset.
    Cut,
    /// Nothing passes any more, and nobody is told.
    Frozen,
}

/// What both ends of a connection share.
struct Link {
    fate: Mutex<(Fate, Vec<Waker>)>,
}

impl Link {
    fn set(&self, fate: Fate) {
        let wakers = {
            let mut state = self.fate.lock().unwrap();
            state.0 = fate;
            std::mem::take(&mut state.1)
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Whether the connection carries bytes; if not, what the caller gets.
    fn check(&self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.fate.lock().unwrap();
        match state.0 {
            Fate::Cut => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            fate => {
                if !state.1.iter().any(|waker| waker.will_wake(cx.waker())) {
                    state.1.push(cx.waker().clone());
                }
                if fate == Fate::Frozen {
                    Poll::Pending
                } else {
                    Poll::Ready(Ok(()))
                }
            }
        }
    }
}

/// One end of a connection.
pub(crate) struct Stream {
    link: Arc<Link>,
    bytes: DuplexStream,
    /// The web server's end counts.
    host: Option<Arc<Host>>,
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Some(host) = &self.host {
            host.live.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

macro_rules! ready {
    ($poll:expr) => {
        match $poll {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => return Poll::Pending,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.link.check(cx));
        Pin::new(&mut self.bytes).poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.link.check(cx));
        Pin::new(&mut self.bytes).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.bytes).poll_shutdown(cx)
    }
}

/// A host that a container runs on.
pub(crate) struct Host {
    pub(crate) name: String,
    state: Mutex<(State, Duration)>,
    accept: mpsc::UnboundedSender<Stream>,
    links: Mutex<Vec<Weak<Link>>>,
    /// Connections that the web server has open, and the most it ever had.
    live: AtomicUsize,
    most: AtomicUsize,
}

impl Host {
    /// A host that is up, and the connections that come in.
    pub(crate) fn new(name: &str) -> (Arc<Self>, mpsc::UnboundedReceiver<Stream>) {
        let (accept, accepted) = mpsc::unbounded_channel();
        let host = Self {
            name: name.to_owned(),
            state: Mutex::new((State::Up, Duration::from_millis(1))),
            accept,
            links: Mutex::default(),
            live: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        };
        (Arc::new(host), accepted)
    }

    /// How it behaves from now on, and how long opening a connection takes.
    pub(crate) fn set(&self, state: State, delay: Duration) {
        *self.state.lock().unwrap() = (state, delay);
    }

    /// All connections are reset, as when the container is killed.
    pub(crate) fn cut(&self) {
        self.each(Fate::Cut);
    }

    /// Nothing passes on the connections that are open, as when a firewall forgets them.
    pub(crate) fn freeze(&self) {
        self.each(Fate::Frozen);
    }

    fn each(&self, fate: Fate) {
        let links = std::mem::take(&mut *self.links.lock().unwrap());
        for link in links.iter().filter_map(Weak::upgrade) {
            link.set(fate);
        }
    }

    pub(crate) fn live(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }

    pub(crate) fn most(&self) -> usize {
        self.most.load(Ordering::Relaxed)
    }
}

/// Opens connections to a host.
pub(crate) struct Wire(pub(crate) Arc<Host>);

impl Connect for Wire {
    fn connect(&self) -> Connecting<'_> {
        Box::pin(async move {
            let host = &self.0;
            let (state, delay) = *host.state.lock().unwrap();
            tokio::time::sleep(delay).await;
            match state {
                State::Up => {}
                State::Refusing => return Err(io::ErrorKind::ConnectionRefused.into()),
                State::Unreachable => pending::<()>().await,
            }
            let (near, far) = duplex(16 * 1024);
            let link = Arc::new(Link {
                fate: Mutex::new((Fate::Whole, Vec::new())),
            });
            let mut links = host.links.lock().unwrap();
            links.retain(|link| link.strong_count() > 0);
            links.push(Arc::downgrade(&link));
            drop(links);
            let live = host.live.fetch_add(1, Ordering::Relaxed) + 1;
            host.most.fetch_max(live, Ordering::Relaxed);
            let far = Stream {
                link: Arc::clone(&link),
                bytes: far,
                host: None,
            };
            host.accept
                .send(far)
                .map_err(|_| io::ErrorKind::ConnectionRefused)?;
            Ok(Transport::new(Stream {
                link,
                bytes: near,
                host: Some(Arc::clone(host)),
            }))
        })
    }

    fn describe(&self) -> String {
        self.0.name.clone()
    }
}
