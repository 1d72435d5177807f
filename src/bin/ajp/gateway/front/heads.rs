//! The heads of HTTP/1 requests as they come, before hyper reads them.
//!
//! Browsers percent-encode what a URI cannot hold, other programs do not. httpd, nginx and Tomcat
//! (with `relaxedQueryChars`) take such targets, hyper answers an empty 400. The rule here: in
//! the target of a request `"`, `<`, `>`, `^`, a backtick and every byte from 0x80 are
//! percent-encoded, which is what the client should have done; the application reads the same.
//! All other bytes that a URI cannot hold, such as control characters, are refused as before.
//! Over HTTP/2 the library lets `^`, a backtick and UTF-8 through, which are encoded too, and refuses
//! the others by resetting the stream.
//!
//! For that, hyper is given one head at a time, and of a body not more than its bytes: by its
//! `Content-Length`, or to the end of its chunks. The rule holds for every request of a
//! connection: where the next head begins cannot be told (trailers, odd chunks, an upgrade that
//! is not taken), the connection answers no further request.
//!
//! What hyper did not take for a request is left behind for the log.
//!
//! Here it is known too when a head is waited for, so the time for that is measured here. hyper's own
//! limit would cost a timer on the heap and one more turn of its loop for every request.

mod text;

pub(super) use text::encoded_target;

use super::chunks::{Chunks, Found};
use super::connection::{BodyLength, State};
use super::timer::HeadClock;
use super::transport::{Breakable, writes_through};
use bytes::{Buf, BytesMut};
use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use text::{encoded, end_of_head, has_special, is_no_request, keep_line, request_line};
use tokio::io::{AsyncRead, ReadBuf};

/// So much is read at once when a connection rests: the whole head of most requests.
const WAKING_READ: usize = 4096;

/// What hyper is given next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// The head of a request.
    Head,
    /// A whole head was given; what follows is known when the request has been seen.
    Request,
    /// So many bytes of a body.
    Body(u64),
    /// A chunked body.
    Chunked(Chunks),
    /// Whatever comes: no further request is answered.
    Anything,
}

/// A stream to a client whose request heads are looked at.
#[derive(Debug)]
pub(crate) struct Heads<S> {
    stream: S,
    state: Arc<State>,
    next: Next,
    /// Bytes of a head: more is for hyper to refuse.
    most: usize,
    /// What hyper gets before all else.
    ready: BytesMut,
    /// What came after it.
    pending: BytesMut,
    /// So much of `pending` has been searched for the end of a head.
    searched: usize,
    /// The last request line, or its beginning.
    line: Vec<u8>,
    /// hyper was given a head that it has not taken for a request.
    unseen: bool,
    clock: HeadClock,
}

impl<S> Heads<S> {
    /// Each head may have so many bytes and take so long.
    pub(crate) fn new(stream: S, state: Arc<State>, most: usize, limit: Duration) -> Self {
        Self {
            stream,
            state,
            next: Next::Head,
            most,
            ready: BytesMut::new(),
            pending: BytesMut::new(),
            searched: 0,
            line: Vec::new(),
            unseen: false,
            clock: HeadClock::new(limit),
        }
    }

    fn is_between_requests(&self) -> bool {
        self.next == Next::Head && self.ready.is_empty() && self.pending.is_empty()
    }

    /// hyper is gone, which has left so much unread, and all memory is given back that is not
    /// needed until the next request.
    pub(super) fn rest(&mut self, unread: &[u8]) {
        // Copied: all of hyper's buffer would stay with it.
        self.ready = BytesMut::from(unread);
        self.pending = BytesMut::new();
    }

    /// Looks what has become of the request whose head was given.
    fn settle(&mut self) {
        if self.next != Next::Request {
            return;
        }
        self.next = match self.state.take_body_length() {
            Some(BodyLength::Known(0)) => Next::Head,
            Some(BodyLength::Known(length)) => Next::Body(length),
            Some(BodyLength::Chunked) => Next::Chunked(Chunks::new()),
            Some(BodyLength::Upgrade) => Next::Anything,
            None => {
                // hyper wants more although it has a whole head: it knows better.
                self.unseen = true;
                Next::Anything
            }
        };
    }

    /// Makes of `pending` what is `ready` for hyper, as far as it can be told yet.
    fn prepare(&mut self) {
        match self.next {
            Next::Head => match end_of_head(&self.pending, self.searched) {
                Some(end) => {
                    let head = self.pending.split_to(end);
                    keep_line(&mut self.line, &head);
                    self.ready = encoded(head);
                    self.next = Next::Request;
                    self.clock.stop();
                    self.searched = 0;
                }
                None if self.pending.len() > self.most || is_no_request(&self.pending) => {
                    self.pass_on();
                }
                None => self.searched = self.pending.len(),
            },
            Next::Body(left) => {
                let most = usize::try_from(left).unwrap_or(usize::MAX);
                let count = most.min(self.pending.len());
                self.ready = self.pending.split_to(count);
                let left = left.saturating_sub(count as u64);
                self.next = if left == 0 {
                    Next::Head
                } else {
                    Next::Body(left)
                };
            }
            Next::Chunked(mut chunks) => {
                let found = chunks.read(&self.pending);
                self.ready = match found {
                    Found::End(end) => self.pending.split_to(end),
                    Found::More | Found::Unclear => self.pending.split(),
                };
                self.next = self.after_chunks(chunks, found);
            }
            Next::Request | Next::Anything => self.ready = self.pending.split(),
        }
    }

    /// What comes behind these bytes of a chunked body.
    fn after_chunks(&self, chunks: Chunks, found: Found) -> Next {
        match found {
            Found::More => Next::Chunked(chunks),
            Found::End(_) => Next::Head,
            Found::Unclear => {
                self.state.distrust();
                Next::Anything
            }
        }
    }

    /// From here on nothing is looked at.
    fn pass_on(&mut self) {
        if !self.pending.is_empty() {
            keep_line(&mut self.line, &self.pending);
            self.unseen = true;
        }
        self.next = Next::Anything;
        self.ready = self.pending.split();
    }

    /// Nothing has come: whether a head is waited for, and for too long.
    fn poll_clock(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        if self.unseen && self.state.take_body_length().is_some() {
            // It was a request after all.
            self.unseen = false;
        }
        if self.next != Next::Head && !self.unseen {
            self.clock.stop();
            return Poll::Pending;
        }
        ready!(self.clock.poll(cx));
        self.state.head_is_late();
        Poll::Ready(io::ErrorKind::TimedOut.into())
    }

    /// What has just been read straight to hyper, from `start` on: whether it may stay there.
    fn may_stay(&mut self, read: &[u8]) -> bool {
        match self.next {
            Next::Anything | Next::Request => true,
            Next::Body(left) if read.len() as u64 <= left => {
                let left = left.saturating_sub(read.len() as u64);
                self.next = if left == 0 {
                    Next::Head
                } else {
                    Next::Body(left)
                };
                true
            }
            Next::Chunked(mut chunks) => {
                let found = chunks.read(read);
                let is_whole = match found {
                    Found::End(end) => end == read.len(),
                    Found::More | Found::Unclear => true,
                };
                if is_whole {
                    self.next = self.after_chunks(chunks, found);
                }
                is_whole
            }
            Next::Head if end_of_head(read, 0) == Some(read.len()) => {
                keep_line(&mut self.line, read);
                let is_plain = !has_special(request_line(read));
                if is_plain {
                    self.next = Next::Request;
                    self.clock.stop();
                }
                is_plain
            }
            Next::Body(_) | Next::Head => false,
        }
    }
}

impl<S: Breakable> Breakable for Heads<S> {
    fn break_off(&self) {
        self.stream.break_off();
    }
}

impl<S: AsyncRead + Unpin> Heads<S> {
    /// Waits for the first bytes of a request, without memory to read into. `false` if the client
    /// has closed instead; its time goes on as before.
    pub(super) async fn wake(&mut self) -> io::Result<bool> {
        if !self.ready.is_empty() {
            return Ok(true);
        }
        poll_fn(|cx| {
            let mut space = [MaybeUninit::uninit(); WAKING_READ];
            let mut buffer = ReadBuf::uninit(&mut space);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                Poll::Ready(read) => read?,
                Poll::Pending => return self.poll_clock(cx).map(Err),
            }
            self.pending.extend_from_slice(buffer.filled());
            Poll::Ready(Ok(!buffer.filled().is_empty()))
        })
        .await
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Heads<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if !this.ready.is_empty() {
                let count = this.ready.len().min(buf.remaining());
                buf.put_slice(this.ready.get(..count).unwrap_or_default());
                this.ready.advance(count);
                return Poll::Ready(Ok(()));
            }
            this.settle();
            if !this.pending.is_empty() {
                this.prepare();
                if !this.ready.is_empty() {
                    continue;
                }
            }
            let start = buf.filled().len();
            let polled = Pin::new(&mut this.stream).poll_read(cx, buf);
            let awaits_head = polled.is_pending() && this.is_between_requests();
            this.state.awaits_head(awaits_head);
            match polled {
                Poll::Ready(read) => read?,
                Poll::Pending => return this.poll_clock(cx).map(Err),
            }
            let read = buf.filled().get(start..).unwrap_or_default();
            if read.is_empty() {
                // The client has ended in the middle of a head: hyper says so.
                this.pass_on();
                if this.ready.is_empty() {
                    return Poll::Ready(Ok(()));
                }
                continue;
            }
            if this.pending.is_empty() && this.may_stay(read) {
                return Poll::Ready(Ok(()));
            }
            this.pending.extend_from_slice(read);
            buf.set_filled(start);
        }
    }
}

writes_through!(Heads, stream);

impl<S> Drop for Heads<S> {
    fn drop(&mut self) {
        let has_part_of_a_head = self.next == Next::Head && !self.pending.is_empty();
        if has_part_of_a_head {
            keep_line(&mut self.line, &self.pending);
        }
        let is_unseen = self.next == Next::Request && self.state.take_body_length().is_none();
        if has_part_of_a_head || is_unseen || self.unseen {
            let line = ajp::mapping::text(&self.line).into_owned();
            self.state.leave_line(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    fn pair() -> (DuplexStream, Heads<DuplexStream>, Arc<State>) {
        let (client, server) = duplex(10_000);
        let state = Arc::new(State::default());
        let limit = Duration::from_secs(30);
        let heads = Heads::new(server, Arc::clone(&state), 1000, limit);
        (client, heads, state)
    }

    async fn next(heads: &mut Heads<DuplexStream>) -> String {
        let mut buffer = vec![0; 5000];
        let count = heads.read(&mut buffer).await.unwrap();
        String::from_utf8_lossy(&buffer[..count]).into_owned()
    }

    #[test]
    fn ends_of_heads() {
        for (bytes, end) in [
            ("GET / HTTP/1.1\r\n\r\n", Some(18)),
            ("GET / HTTP/1.1\r\n\r\nGET", Some(18)),
            ("GET / HTTP/1.1\n\nx", Some(16)),
            ("GET / HTTP/1.1\n\r\nx", Some(17)),
            ("\r\n\r\nGET / HTTP/1.1\r\n\r\n", Some(22)),
            ("GET / HTTP/1.1\r\nHost: a\r\n", None),
            ("GET / HTTP/1.1\r\nHost: a\r\n\r", None),
            ("\r\n\r\n", None),
            ("", None),
        ] {
            assert_eq!(end_of_head(bytes.as_bytes(), 0), end, "{bytes:?}");
            // However it came.
            let mut searched = 0;
            let found = (0..=bytes.len()).find_map(|length| {
                let found = end_of_head(&bytes.as_bytes()[..length], searched);
                searched = length;
                found
            });
            assert_eq!(found, end, "{bytes:?} byte by byte");
        }
    }

    #[test]
    fn only_the_target_is_encoded() {
        for (head, expected) in [
            (
                &b"GET /a?b=<c>\xe4\" HTTP/1.1\r\nX: <\xe4>\r\n\r\n"[..],
                &b"GET /a?b=%3Cc%3E%E4%22 HTTP/1.1\r\nX: <\xe4>\r\n\r\n"[..],
            ),
            (
                b"\r\nGET /^`x HTTP/1.1\r\n\r\n",
                b"\r\nGET /%5E%60x HTTP/1.1\r\n\r\n",
            ),
            (b"G<T /a HTTP/1.1\r\n\r\n", b"G<T /a HTTP/1.1\r\n\r\n"),
            (b"GET<\r\n\r\n", b"GET<\r\n\r\n"),
            (
                b"GET /plain HTTP/1.1\r\nX: <\r\n\r\n",
                b"GET /plain HTTP/1.1\r\nX: <\r\n\r\n",
            ),
        ] {
            assert_eq!(encoded(BytesMut::from(head)), expected);
        }
    }

    #[tokio::test]
    async fn one_head_at_a_time_and_no_more_of_a_body_than_its_length() {
        let (mut client, mut heads, state) = pair();
        let post = "POST /b?<x HTTP/1.1\r\nContent-Length: 5\r\n\r\n";
        let all = format!("GET /a HTTP/1.1\r\n\r\n{post}<bodyGET /c?> HTTP/1.1\r\n\r\n");
        // In pieces of every size.
        for size in [1, 2, 7, 30, 1000] {
            for piece in all.as_bytes().chunks(size) {
                client.write_all(piece).await.unwrap();
            }
            assert_eq!(next(&mut heads).await, "GET /a HTTP/1.1\r\n\r\n");
            state.saw_request(BodyLength::Known(0));
            assert_eq!(next(&mut heads).await, post.replace('<', "%3C"));
            state.saw_request(BodyLength::Known(5));
            let mut body = String::new();
            while body.len() < 5 {
                body += &next(&mut heads).await;
            }
            assert_eq!(body, "<body", "in pieces of {size}");
            assert_eq!(next(&mut heads).await, "GET /c?%3E HTTP/1.1\r\n\r\n");
            state.saw_request(BodyLength::Known(0));
        }
    }

    #[tokio::test]
    async fn the_head_behind_a_chunked_body_is_one_of_its_own() {
        let (mut client, mut heads, state) = pair();
        let post = "POST /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        let body = "7\r\n<\r\n0\r\n\r\r\n0\r\n\r\n";
        let all = format!("{post}{body}GET /c?> HTTP/1.1\r\n\r\n");
        for size in [1, 2, 7, 30, 1000] {
            for piece in all.as_bytes().chunks(size) {
                client.write_all(piece).await.unwrap();
            }
            assert_eq!(next(&mut heads).await, post);
            state.saw_request(BodyLength::Chunked);
            let mut read = String::new();
            while read.len() < body.len() {
                read += &next(&mut heads).await;
            }
            assert_eq!(read, body, "in pieces of {size}");
            assert_eq!(next(&mut heads).await, "GET /c?%3E HTTP/1.1\r\n\r\n");
            state.saw_request(BodyLength::Known(0));
            assert!(!state.is_distrusted());
        }
    }

    #[tokio::test]
    async fn where_the_next_head_begins_cannot_be_told_there_is_none() {
        let (mut client, mut heads, state) = pair();
        client.write_all(b"POST /a HTTP/1.1\r\n\r\n").await.unwrap();
        next(&mut heads).await;
        state.saw_request(BodyLength::Chunked);
        let rest = "0\r\nX: y\n\nGET /<> HTTP/1.1\r\n\r\n";
        client.write_all(rest.as_bytes()).await.unwrap();
        assert_eq!(next(&mut heads).await, rest);
        assert!(state.is_distrusted());
    }

    #[tokio::test]
    async fn what_was_no_request_is_left_for_the_log() {
        for (sent, seen, line) in [
            ("GET /a HTTP/1.1\r\nHo", false, Some("GET /a HTTP/1.1")),
            ("GET /a HTTP/9\r\n\r\n", false, Some("GET /a HTTP/9")),
            ("GET /a HTTP/1.1\r\n\r\n", true, None),
            ("", false, None),
        ] {
            let (mut client, mut heads, state) = pair();
            client.write_all(sent.as_bytes()).await.unwrap();
            let read = tokio::time::timeout(std::time::Duration::from_millis(20), next(&mut heads));
            let _ = read.await;
            if seen {
                state.saw_request(BodyLength::Known(0));
            }
            drop(heads);
            assert_eq!(state.take_line().as_deref(), line, "{sent:?}");
        }
    }

    /// What is sent, with what is seen of it, and after how many seconds of silence it is too late.
    #[tokio::test(start_paused = true)]
    async fn a_head_that_does_not_come_ends_the_connection_and_a_body_does_not() {
        let get = "GET /a HTTP/1.1\r\n\r\n";
        for (sent, body, late) in [
            ("", None, true),
            ("GET /a HT", None, true),
            (get, Some(BodyLength::Known(0)), true),
            // Those who read the body have limits of their own.
            (get, Some(BodyLength::Known(5)), false),
            (get, Some(BodyLength::Chunked), false),
            (get, Some(BodyLength::Upgrade), false),
            // hyper wants more although the head is there.
            (get, None, true),
        ] {
            let (mut client, mut heads, state) = pair();
            client.write_all(sent.as_bytes()).await.unwrap();
            if sent == get {
                next(&mut heads).await;
            }
            if let Some(body) = body {
                state.saw_request(body);
            }
            let start = tokio::time::Instant::now();
            let mut buffer = [0; 100];
            let limit = Duration::from_secs(100);
            let read = tokio::time::timeout(limit, heads.read(&mut buffer)).await;
            let seconds = start.elapsed().as_secs();
            assert_eq!(seconds, if late { 30 } else { 100 }, "{sent:?} {body:?}");
            assert_eq!(state.is_head_late(), late);
            let is_late = matches!(read, Ok(Err(error)) if error.kind() == io::ErrorKind::TimedOut);
            assert_eq!(is_late, late);
        }
    }

    #[tokio::test]
    async fn a_head_without_end_is_for_hyper_to_refuse() {
        let (mut client, mut heads, _state) = pair();
        let long = format!("GET /{} HTTP/1.1\r\n", "x".repeat(2000));
        client.write_all(long.as_bytes()).await.unwrap();
        assert_eq!(next(&mut heads).await, long);
    }
}
