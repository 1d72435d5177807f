//! Connections that tell what goes over them, and when.

use ajp::client::{Address, Connect, Connecting, Transport};
use ajp::dump::{Dump, Record};
use ajp::wire::Direction;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Most bytes of an answer to keep for telling what it is.
const FIRST_BYTES: usize = 64;

type Hook = Box<dyn FnMut(&Record) + Send>;

/// What is known of the newest connection. Clones show the same.
#[derive(Clone)]
pub(crate) struct Watch(Arc<Mutex<State>>);

struct State {
    dump: Dump,
    /// Called with each packet.
    hook: Hook,
    start: Instant,
    marks: Marks,
    first_bytes: Vec<u8>,
}

/// When things happened last.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Marks {
    pub(crate) connecting: Option<Instant>,
    pub(crate) connected: Option<Instant>,
    pub(crate) written: Option<Instant>,
    pub(crate) read: Option<Instant>,
}

impl Watch {
    /// Calls `hook` with every packet. Times of packets count from now.
    pub(crate) fn new(hook: impl FnMut(&Record) + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(State {
            dump: Dump::new(),
            hook: Box::new(hook),
            start: Instant::now(),
            marks: Marks::default(),
            first_bytes: Vec::new(),
        })))
    }

    /// A watched way to a container.
    pub(crate) fn connector(&self, address: Address) -> WatchedConnector {
        WatchedConnector {
            address,
            watch: self.clone(),
        }
    }

    pub(crate) fn marks(&self) -> Marks {
        self.state().marks
    }

    /// What the peer sent first.
    pub(crate) fn first_bytes(&self) -> Vec<u8> {
        self.state().first_bytes.clone()
    }

    /// How long the newest connection took to open.
    pub(crate) fn connect_time(&self) -> Option<Duration> {
        let marks = self.marks();
        Some(marks.connected?.duration_since(marks.connecting?))
    }

    /// Tells of a packet that is not complete.
    pub(crate) fn finish(&self) {
        let state = &mut *self.state();
        for record in std::mem::take(&mut state.dump).finish() {
            (state.hook)(&record);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn bytes(&mut self, direction: Direction, bytes: &[u8]) {
        let now = Instant::now();
        match direction {
            Direction::ToContainer => self.marks.written = Some(now),
            Direction::ToWebServer => {
                self.marks.read = Some(now);
                let room = FIRST_BYTES.saturating_sub(self.first_bytes.len());
                let first = bytes.get(..room).unwrap_or(bytes);
                self.first_bytes.extend_from_slice(first);
            }
        }
        self.dump.at(now.duration_since(self.start));
        for record in self.dump.feed(direction, bytes) {
            (self.hook)(&record);
        }
    }
}

/// Opens watched connections.
pub(crate) struct WatchedConnector {
    address: Address,
    watch: Watch,
}

impl Connect for WatchedConnector {
    fn connect(&self) -> Connecting<'_> {
        Box::pin(async {
            self.watch.state().marks.connecting = Some(Instant::now());
            let inner = self.address.connect().await?;
            let mut state = self.watch.state();
            state.dump = Dump::new();
            state.first_bytes.clear();
            state.marks.connected = Some(Instant::now());
            let watch = self.watch.clone();
            Ok(Transport::new(Stream { inner, watch }))
        })
    }

    fn describe(&self) -> String {
        self.address.to_string()
    }
}

struct Stream {
    inner: Transport,
    watch: Watch,
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        let read = buf.filled().get(before..).unwrap_or_default();
        if !read.is_empty() {
            self.watch.state().bytes(Direction::ToWebServer, read);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write_vectored(cx, bufs))?;
        let mut state = self.watch.state();
        let mut left = written;
        for buf in bufs {
            let part = buf.get(..left).unwrap_or(buf);
            left = left.saturating_sub(part.len());
            if !part.is_empty() {
                state.bytes(Direction::ToContainer, part);
            }
        }
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}
