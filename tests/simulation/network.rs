//! A network of one process: connections that are cut, that freeze, that never open, and bytes
//! that arrive in pieces of any size and in any order of tasks.

use super::random::Random;
use ajp::client::{Connect, Connecting, Transport};
use ajp::server::Listener;
use std::future::pending;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::time::{Instant, Sleep, sleep};

/// What the network takes in before the other side reads it.
const BUFFER: usize = 16 * 1024;
/// The largest of the small pieces that bytes arrive in now and then.
const PIECE: usize = 600;

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
    /// As [`Frozen`](Self::Frozen), but what is written is taken: the other side is gone, and
    /// this side's kernel does not know it.
    HalfOpen,
}

/// What both ends of a connection share.
pub(crate) struct Link {
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

    /// Whether nothing has happened to the connection.
    pub(crate) fn is_whole(&self) -> bool {
        self.fate.lock().unwrap().0 == Fate::Whole
    }

    /// Whether the connection carries bytes; if not, what the caller gets. `Ok(false)`: what is
    /// written is lost.
    fn check(&self, cx: &Context<'_>, writes: bool) -> Poll<io::Result<bool>> {
        let mut state = self.fate.lock().unwrap();
        match state.0 {
            Fate::Cut => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            Fate::HalfOpen if writes => Poll::Ready(Ok(false)),
            fate => {
                if !state.1.iter().any(|waker| waker.will_wake(cx.waker())) {
                    state.1.push(cx.waker().clone());
                }
                if fate == Fate::Whole {
                    Poll::Ready(Ok(true))
                } else {
                    Poll::Pending
                }
            }
        }
    }
}

/// One end of a connection.
pub(crate) struct Stream {
    link: Arc<Link>,
    bytes: DuplexStream,
    random: Random,
    /// Of the end that has opened it: this one counts.
    host: Option<Arc<Host>>,
    /// Of the other end: for how many milliseconds what is sent to it is on its way. Only requests
    /// are late: an answer that nobody has asked for must be there when a web server asks whether
    /// the connection is quiet, for nobody could tell it from another one later.
    lag: Option<Arc<AtomicU64>>,
    late: Option<Pin<Box<Sleep>>>,
}

impl Stream {
    /// Both sides get a reset.
    pub(crate) fn cut(&self) {
        self.link.set(Fate::Cut);
    }

    /// For a look at what has happened to the connection.
    pub(crate) fn link(&self) -> Arc<Link> {
        Arc::clone(&self.link)
    }

    /// Whether the bytes that are to be read have not arrived yet.
    fn is_on_its_way(&mut self, cx: &mut Context<'_>) -> bool {
        let lag = self
            .lag
            .as_ref()
            .map_or(0, |lag| lag.load(Ordering::Relaxed));
        if lag == 0 {
            return false;
        }
        let late = self
            .late
            .get_or_insert_with(|| Box::pin(sleep(Duration::from_millis(lag))));
        let arrived = late.as_mut().poll(cx).is_ready();
        if arrived {
            self.late = None;
        }
        !arrived
    }

    /// Lets the tasks that are ready run in another order, now and then.
    fn hesitates(&mut self, cx: &Context<'_>) -> bool {
        let hesitates = self.random.one_in(6);
        if hesitates {
            cx.waker().wake_by_ref();
        }
        hesitates
    }

    /// How much passes at a time: all, most often.
    fn piece(&mut self) -> usize {
        if self.random.one_in(4) {
            1 + self.random.below(PIECE)
        } else {
            usize::MAX
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Some(host) = &self.host {
            host.live.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.link.check(cx, false))?;
        // The end that has opened it never hesitates: a web server asks whether a connection is
        // quiet, as it asks a kernel, and a kernel knows.
        if self.host.is_none() && self.hesitates(cx) || self.is_on_its_way(cx) {
            return Poll::Pending;
        }
        let most = self.piece().min(buf.remaining());
        if most > PIECE {
            return Pin::new(&mut self.bytes).poll_read(cx, buf);
        }
        let mut piece = [0; PIECE];
        let mut part = ReadBuf::new(&mut piece[..most]);
        let polled = Pin::new(&mut self.bytes).poll_read(cx, &mut part);
        buf.put_slice(part.filled());
        polled
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if !ready!(self.link.check(cx, true))? {
            return Poll::Ready(Ok(buf.len()));
        }
        if self.hesitates(cx) {
            return Poll::Pending;
        }
        let most = self.piece().min(buf.len());
        Pin::new(&mut self.bytes).poll_write(cx, &buf[..most])
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
    /// How late what is sent to it arrives, in milliseconds.
    lag: Arc<AtomicU64>,
    /// Since when nothing at all comes back from it.
    hung: Mutex<Option<Instant>>,
    accept: Mutex<UnboundedSender<Stream>>,
    links: Mutex<Vec<Weak<Link>>>,
    seeds: AtomicU64,
    /// Connections that others have open to it, and the most they ever had.
    live: AtomicUsize,
    most: AtomicUsize,
}

impl Host {
    /// A host that is up, and the connections that come in.
    pub(crate) fn new(name: &str, seed: u64) -> (Arc<Self>, Incoming) {
        let (accept, incoming) = mpsc::unbounded_channel();
        let host = Self {
            name: name.to_owned(),
            state: Mutex::new((State::Up, Duration::from_millis(1))),
            lag: Arc::default(),
            hung: Mutex::new(None),
            accept: Mutex::new(accept),
            links: Mutex::default(),
            seeds: AtomicU64::new(seed),
            live: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        };
        (Arc::new(host), Incoming(incoming))
    }

    /// Another container listens here, instead of the one before.
    pub(crate) fn listen(&self) -> Incoming {
        let (accept, incoming) = mpsc::unbounded_channel();
        *self.accept.lock().unwrap() = accept;
        Incoming(incoming)
    }

    /// How it behaves from now on, and how long opening a connection takes.
    pub(crate) fn set(&self, state: State, delay: Duration) {
        *self.state.lock().unwrap() = (state, delay);
        self.lag.store(0, Ordering::Relaxed);
        *self.hung.lock().unwrap() = None;
    }

    /// What is sent to it is late from now on, also over connections that are open.
    pub(crate) fn lag(&self, milliseconds: u64) {
        self.lag.store(milliseconds, Ordering::Relaxed);
    }

    /// All connections are reset, as when the container is killed.
    pub(crate) fn cut(&self) {
        self.each(Fate::Cut);
    }

    /// Nothing passes on the connections that are open, as when a firewall forgets them.
    pub(crate) fn freeze(&self) {
        self.each(Fate::Frozen);
    }

    /// The machine loses its power: what was open stays open on one side.
    pub(crate) fn lose_power(&self) {
        self.each(Fate::HalfOpen);
    }

    /// Nothing passes any more, neither on old connections nor on new ones.
    pub(crate) fn hang(&self) {
        self.set(State::Unreachable, Duration::from_millis(1));
        self.freeze();
        *self.hung.lock().unwrap() = Some(Instant::now());
    }

    /// How long nothing at all has come back from it.
    pub(crate) fn hung_for(&self) -> Option<Duration> {
        self.hung.lock().unwrap().map(|since| since.elapsed())
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

    /// Opens a connection to it.
    pub(crate) async fn connect(self: &Arc<Self>) -> io::Result<Stream> {
        let delay = self.state.lock().unwrap().1;
        sleep(delay).await;
        let state = self.state.lock().unwrap().0;
        match state {
            State::Up => {}
            State::Refusing => return Err(io::ErrorKind::ConnectionRefused.into()),
            State::Unreachable => pending::<()>().await,
        }
        let (near, far) = duplex(BUFFER);
        let link = Arc::new(Link {
            fate: Mutex::new((Fate::Whole, Vec::new())),
        });
        let far = Stream {
            link: Arc::clone(&link),
            bytes: far,
            random: self.random(),
            host: None,
            lag: Some(Arc::clone(&self.lag)),
            late: None,
        };
        if self.accept.lock().unwrap().send(far).is_err() {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let mut links = self.links.lock().unwrap();
        links.retain(|link| link.strong_count() > 0);
        links.push(Arc::downgrade(&link));
        drop(links);
        let live = self.live.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(live, Ordering::Relaxed);
        Ok(Stream {
            link,
            bytes: near,
            random: self.random(),
            host: Some(Arc::clone(self)),
            lag: None,
            late: None,
        })
    }

    fn random(&self) -> Random {
        let seed = self.seeds.fetch_add(0x9E37_79B9, Ordering::Relaxed);
        Random::new(seed.wrapping_mul(0x2545_F491_4F6C_DD1D))
    }
}

/// The connections that come in to a container.
pub(crate) struct Incoming(UnboundedReceiver<Stream>);

impl Incoming {
    /// The next one; `None` when another container listens there.
    pub(crate) async fn next(&mut self) -> Option<Stream> {
        self.0.recv().await
    }
}

impl Listener for Incoming {
    type Io = Stream;
    type Peer = ();

    async fn accept(&mut self) -> (Stream, ()) {
        match self.next().await {
            Some(stream) => (stream, ()),
            None => pending().await,
        }
    }
}

/// Opens connections to a host.
pub(crate) struct Wire(pub(crate) Arc<Host>);

impl Connect for Wire {
    fn connect(&self) -> Connecting<'_> {
        Box::pin(async { self.0.connect().await.map(Transport::new) })
    }

    fn describe(&self) -> String {
        self.0.name.clone()
    }
}
