//! Requests of HTTP/2 that no service is given: their heads make no sense, are too large, or come
//! when there are too many. The library answers them itself, with a reset of their stream or the
//! end of the connection, and tells nobody.
//!
//! So the frames of a connection are looked at as they pass (RFC 9113, section 4.1): the heads
//! that came, the streams that were reset, and for what. What came and was not given to the
//! service by the time that the connection waits for more was refused.

use super::answer::chain;
use super::listen::Refused;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes of the first thing that a client sends (RFC 9113, section 3.4).
const PREFACE_LENGTH: usize = 24;
/// Bytes before the payload of a frame.
const HEAD_LENGTH: usize = 9;
/// So many requests that ended with their connection are noted one by one.
const MOST_AT_THE_END: u64 = 100;

const HEADERS: u8 = 1;
const RESET: u8 = 3;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
/// Of HEADERS: the stream ends.
const END_STREAM: u8 = 1;
/// Of HEADERS and CONTINUATION: the head ends.
const END_HEADERS: u8 = 4;

/// Error codes (RFC 9113, section 7).
const NAMES: [&str; 14] = [
    "NO_ERROR",
    "PROTOCOL_ERROR",
    "INTERNAL_ERROR",
    "FLOW_CONTROL_ERROR",
    "SETTINGS_TIMEOUT",
    "STREAM_CLOSED",
    "FRAME_SIZE_ERROR",
    "REFUSED_STREAM",
    "CANCEL",
    "COMPRESSION_ERROR",
    "CONNECT_ERROR",
    "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY",
    "HTTP_1_1_REQUIRED",
];
const NO_ERROR: u32 = 0;
const INTERNAL_ERROR: u32 = 2;
const REFUSED_STREAM: u32 = 7;
const CANCEL: u32 = 8;

fn name_of(code: u32) -> &'static str {
    let name = usize::try_from(code).ok().and_then(|code| NAMES.get(code));
    name.copied().unwrap_or("an unknown error")
}

/// What a frame is, and the first bytes of its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    /// As far as it has so many.
    payload: [u8; 8],
}

impl Frame {
    /// The number that begins here in the payload.
    fn number(&self, at: usize) -> u32 {
        let bytes = self.payload.get(at..).and_then(<[u8]>::first_chunk);
        bytes.map_or(0, |bytes| u32::from_be_bytes(*bytes))
    }
}

/// Follows the frames of one direction, however they are cut.
#[derive(Debug, Default)]
struct Walk {
    /// Bytes before the first frame.
    before: usize,
    head: [u8; HEAD_LENGTH],
    /// So many bytes of `head` are known.
    known: usize,
    payload: [u8; 8],
    /// So many bytes of the payload have passed.
    passed: usize,
}

impl Walk {
    fn after(before: usize) -> Self {
        Self {
            before,
            ..Self::default()
        }
    }

    /// Bytes of the payload of the frame that is passing.
    fn length(&self) -> usize {
        let [a, b, c, ..] = self.head;
        let length = u32::from_be_bytes([0, a, b, c]);
        usize::try_from(length).unwrap_or(usize::MAX)
    }

    fn frame(&self) -> Frame {
        let [_, _, _, kind, flags, a, b, c, d] = self.head;
        Frame {
            kind,
            flags,
            stream: u32::from_be_bytes([a & 0x7f, b, c, d]),
            payload: self.payload,
        }
    }

    /// These bytes pass; `whole` is given each frame of which they are the end.
    fn pass(&mut self, mut bytes: &[u8], mut whole: impl FnMut(Frame)) {
        let skipped = self.before.min(bytes.len());
        self.before = self.before.saturating_sub(skipped);
        bytes = bytes.get(skipped..).unwrap_or_default();
        while !bytes.is_empty() {
            if self.known < HEAD_LENGTH {
                let missing = self.head.get_mut(self.known..).unwrap_or_default();
                let count = copied(missing, bytes);
                self.known = self.known.saturating_add(count);
                bytes = bytes.get(count..).unwrap_or_default();
                if self.known < HEAD_LENGTH {
                    return;
                }
                self.payload = [0; 8];
                self.passed = 0;
            }
            let left = self.length().saturating_sub(self.passed);
            let count = left.min(bytes.len());
            let part = bytes.get(..count).unwrap_or_default();
            if let Some(missing) = self.payload.get_mut(self.passed..) {
                copied(missing, part);
            }
            self.passed = self.passed.saturating_add(count);
            bytes = bytes.get(count..).unwrap_or_default();
            if count == left {
                self.known = 0;
                whole(self.frame());
            }
        }
    }

    /// The kind of the frame that has begun and not ended.
    fn open_kind(&self) -> Option<u8> {
        (self.known == HEAD_LENGTH).then(|| self.frame().kind)
    }
}

/// Copies what fits; how much that is.
fn copied(to: &mut [u8], from: &[u8]) -> usize {
    let count = to.len().min(from.len());
    if let (Some(to), Some(from)) = (to.get_mut(..count), from.get(..count)) {
        to.copy_from_slice(from);
    }
    count
}

/// A stream to a client of HTTP/2 whose frames are looked at.
#[derive(Debug)]
pub(super) struct Frames<S> {
    stream: S,
    read: Walk,
    written: Walk,
    /// The last stream that the client has opened.
    last: u32,
    /// A head that goes on is that of a new stream.
    is_opening: bool,
    known: Arc<Known>,
}

/// What is known of the requests of a connection.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Whole heads that came.
    came: AtomicU64,
    /// Requests that the service was given.
    taken: AtomicU64,
    /// Those that are noted as refused.
    noted: AtomicU64,
    /// Something was sent since the last look that may have been a refusal.
    has_news: AtomicBool,
    /// The client takes nothing now: heads that came may wait until it does.
    is_blocked: AtomicBool,
    sent: Mutex<Sent>,
    /// A head has begun, and not ended.
    has_part: AtomicBool,
}

/// What was sent to the client, which may have been the library's own.
#[derive(Debug, Default)]
struct Sent {
    /// What streams were reset for since the last look.
    resets: Vec<u32>,
    /// What the connection ends for.
    goodbye: Option<u32>,
}

impl Known {
    fn lock(&self) -> MutexGuard<'_, Sent> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The service is given a request.
    pub(super) fn takes_one(&self) {
        self.taken.fetch_add(1, Ordering::Relaxed);
    }

    /// Requests that came, and neither the service was given nor was anybody told of.
    fn untold(&self) -> u64 {
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let told = get(&self.taken).saturating_add(get(&self.noted));
        get(&self.came).saturating_sub(told)
    }

    /// To be called whenever the connection waits for more: all that it takes it has given to
    /// the service. Tells of each request that was refused since the last time.
    pub(super) fn look(&self, refused: impl Fn(Refused)) {
        let has_news = self.has_news.load(Ordering::Relaxed);
        if has_news && !self.is_blocked.load(Ordering::Relaxed) {
            self.has_news.store(false, Ordering::Relaxed);
            self.tell(refused);
        }
    }

    fn tell(&self, refused: impl Fn(Refused)) {
        let resets = std::mem::take(&mut self.lock().resets);
        for code in resets {
            // Others were reset because of their bodies: the service knows.
            if self.untold() == 0 {
                return;
            }
            self.noted.fetch_add(1, Ordering::Relaxed);
            let name = name_of(code);
            let (status, why) = match code {
                REFUSED_STREAM => (503, format!("{name}: too many requests at a time")),
                _ => (400, format!("{name}: the head of the request is not valid")),
            };
            refused(Refused::of_http2(status, why));
        }
        // Without a reset the library answers only to heads that are too large.
        for _ in 0..self.untold() {
            self.noted.fetch_add(1, Ordering::Relaxed);
            let why = "the head of the request is too large".to_owned();
            refused(Refused::of_http2(431, why));
        }
    }

    /// The connection has ended, as hyper says. Tells of each request that ended with it, and
    /// gives the error that the client was sent, if there was one.
    pub(super) fn end(
        &self,
        ended: &hyper::Result<()>,
        refused: impl Fn(Refused),
    ) -> Option<&'static str> {
        let goodbye = self.lock().goodbye.map(name_of);
        if goodbye.is_none() {
            self.look(&refused);
        }
        let part = u64::from(self.has_part.load(Ordering::Relaxed));
        let left = self.untold().saturating_add(part);
        if left > 0 {
            let (status, why) = match (ended, goodbye) {
                (Err(error), Some(goodbye)) => (400, format!("{goodbye}: {}", chain(error))),
                (Ok(()), Some(goodbye)) => (400, format!("{goodbye}: the connection ended")),
                (Err(error), None) => (499, chain(error)),
                (Ok(()), None) => (503, "the connection ended before it was taken".to_owned()),
            };
            for _ in 0..left.min(MOST_AT_THE_END) {
                refused(Refused::of_http2(status, why.clone()));
            }
        }
        goodbye
    }
}

impl<S> Frames<S> {
    pub(super) fn new(stream: S, known: Arc<Known>) -> Self {
        Self {
            stream,
            read: Walk::after(PREFACE_LENGTH),
            written: Walk::default(),
            last: 0,
            is_opening: false,
            known,
        }
    }

    fn saw_read(&mut self, bytes: &[u8]) {
        let Self {
            read,
            last,
            is_opening,
            known,
            ..
        } = self;
        read.pass(bytes, |frame| {
            match frame.kind {
                HEADERS if frame.stream > *last => {
                    *last = frame.stream;
                    *is_opening = true;
                }
                HEADERS => *is_opening = false,
                CONTINUATION => {}
                _ => return,
            }
            if *is_opening && frame.flags & END_HEADERS != 0 {
                *is_opening = false;
                known.came.fetch_add(1, Ordering::Relaxed);
            }
        });
        let has_part = *is_opening || read.open_kind() == Some(HEADERS);
        if has_part != known.has_part.load(Ordering::Relaxed) {
            known.has_part.store(has_part, Ordering::Relaxed);
        }
    }

    /// Notes whether the client takes what is written.
    fn looked_at<T>(&self, written: Poll<T>) -> Poll<T> {
        let is_blocked = written.is_pending();
        self.known.is_blocked.store(is_blocked, Ordering::Relaxed);
        written
    }

    fn saw_written(&mut self, bytes: &[u8]) {
        let Self { written, known, .. } = self;
        written.pass(bytes, |frame| match frame.kind {
            HEADERS if frame.flags & END_STREAM != 0 => {
                known.has_news.store(true, Ordering::Relaxed);
            }
            // The others are sent for the service: what it left unread, or gave up.
            RESET if ![NO_ERROR, INTERNAL_ERROR, CANCEL].contains(&frame.number(0)) => {
                known.lock().resets.push(frame.number(0));
                known.has_news.store(true, Ordering::Relaxed);
            }
            GOAWAY if frame.number(4) != NO_ERROR => {
                known.lock().goodbye = Some(frame.number(4));
            }
            _ => {}
        });
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Frames<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let start = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        self.saw_read(buf.filled().get(start..).unwrap_or_default());
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Frames<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        let count = ready!(self.looked_at(written))?;
        self.saw_written(buf.get(..count).unwrap_or_default());
        Poll::Ready(Ok(count))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        let count = ready!(self.looked_at(written))?;
        let mut left = count;
        for buf in bufs {
            let part = left.min(buf.len());
            self.saw_written(buf.get(..part).unwrap_or_default());
            left = left.saturating_sub(part);
        }
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = length[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        frame
    }

    #[test]
    fn frames_are_found_however_they_are_cut() {
        let bytes = [
            &[b'P'; PREFACE_LENGTH][..],
            &frame(4, 0, 0, &[]),
            &frame(HEADERS, 5, 1, &[b'h'; 300]),
            &frame(RESET, 0, 3, &[0, 0, 0, 8]),
            &frame(GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 11, b'x']),
        ]
        .concat();
        for size in 1..bytes.len() {
            let mut walk = Walk::after(PREFACE_LENGTH);
            let mut found = Vec::new();
            for part in bytes.chunks(size) {
                walk.pass(part, |frame| found.push(frame));
            }
            let kinds: Vec<_> = found.iter().map(|f| (f.kind, f.stream)).collect();
            assert_eq!(
                kinds,
                [(4, 0), (HEADERS, 1), (RESET, 3), (GOAWAY, 0)],
                "{size}"
            );
            assert_eq!((found[2].number(0), found[3].number(4)), (8, 11), "{size}");
            assert_eq!(walk.open_kind(), None);
        }
    }

    /// Reads and writes nothing.
    fn frames() -> (Frames<tokio::io::Empty>, Arc<Known>) {
        let known = Arc::new(Known::default());
        let mut frames = Frames::new(tokio::io::empty(), Arc::clone(&known));
        frames.saw_read(&[b'P'; PREFACE_LENGTH]);
        (frames, known)
    }

    fn told(known: &Known) -> Vec<u16> {
        let told = Mutex::new(Vec::new());
        known.look(|refused| told.lock().unwrap().push(refused.status));
        told.into_inner().unwrap()
    }

    #[test]
    fn what_the_service_was_given_was_not_refused() {
        let (mut frames, known) = frames();
        for stream in [1, 3, 5, 7] {
            frames.saw_read(&frame(HEADERS, END_HEADERS, stream, b"head"));
        }
        // Trailers open nothing.
        frames.saw_read(&frame(HEADERS, 5, 3, b"more"));
        known.takes_one();
        known.takes_one();
        // One of too many, a body that is not as long as it says, and too large a head.
        frames.saw_written(&frame(RESET, 0, 7, &7u32.to_be_bytes()));
        frames.saw_written(&frame(HEADERS, 5, 5, b"\x48\x03431"));
        let _: Poll<()> = frames.looked_at(Poll::Pending);
        assert!(told(&known).is_empty(), "not before the client takes it");
        let _ = frames.looked_at(Poll::Ready(()));
        assert_eq!(told(&known), [503, 431]);
        frames.saw_written(&frame(RESET, 0, 3, &1u32.to_be_bytes()));
        frames.saw_written(&frame(HEADERS, 5, 1, b"\x8b"));
        assert!(told(&known).is_empty());
        assert_eq!(known.end(&Ok(()), |_| panic!("nothing is left")), None);
    }

    #[test]
    fn what_ended_with_its_connection_is_told_at_its_end() {
        let (mut frames, known) = frames();
        frames.saw_read(&frame(HEADERS, END_HEADERS, 1, b"head"));
        // A head of which there is no end.
        frames.saw_read(&frame(HEADERS, 0, 3, b"part"));
        frames.saw_read(&frame(CONTINUATION, 0, 3, b"part"));
        frames.saw_written(&frame(GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 11]));
        let told = Mutex::new(Vec::new());
        let goodbye = known.end(&Ok(()), |refused| told.lock().unwrap().push(refused.why));
        assert_eq!(goodbye, Some("ENHANCE_YOUR_CALM"));
        let expected = "ENHANCE_YOUR_CALM: the connection ended";
        assert_eq!(told.into_inner().unwrap(), [expected, expected]);
    }
}
