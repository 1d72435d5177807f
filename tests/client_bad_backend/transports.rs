//! Byte streams that are not TCP: those that buffer, and those that break on one side only.

use crate::raw::packets::response;
use crate::raw::soon;
use ajp::client::{Client, Connect, Connecting, ErrorKind, Pool, Transport};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};

/// As TLS: takes everything at once and passes it on when it is flushed, which may
/// take more than one poll.
struct Buffering {
    inner: DuplexStream,
    taken: Vec<u8>,
    delays: u8,
}

impl AsyncRead for Buffering {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl AsyncWrite for Buffering {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.taken.extend_from_slice(bytes);
        self.delays = 2;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(left) = self.delays.checked_sub(1) {
            self.delays = left;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let this = &mut *self;
        while !this.taken.is_empty() {
            let n = ready!(Pin::new(&mut this.inner).poll_write(cx, &this.taken))?;
            this.taken.drain(..n);
        }
        Pin::new(&mut this.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

struct ToBuffering;

impl Connect for ToBuffering {
    fn connect(&self) -> Connecting<'_> {
        let (ours, mut theirs) = tokio::io::duplex(65536);
        tokio::spawn(async move {
            let mut bytes = [0; 4096];
            while theirs.read(&mut bytes).await.unwrap_or(0) > 0 {
                theirs.write_all(&response("here", 1)).await.unwrap();
            }
        });
        Box::pin(async {
            Ok(Transport::new(Buffering {
                inner: ours,
                taken: Vec::new(),
                delays: 0,
            }))
        })
    }

    fn describe(&self) -> String {
        "buffering".into()
    }
}

#[tokio::test]
async fn what_a_transport_has_taken_is_flushed_to_the_end() {
    let client = Client::for_own_requests(Pool::new(ToBuffering, crate::raw::backend::config()));
    for _ in 0..3 {
        let request = Request::get("/").body(Empty::<Bytes>::new()).unwrap();
        let response = soon("a response", client.send(request)).await.unwrap();
        let body = soon("a body", response.into_body().collect()).await;
        assert_eq!(body.unwrap().to_bytes(), "here");
    }
    let stats = client.pool().stats();
    assert_eq!((stats.created, stats.idle, stats.in_use), (1, 1, 0));
}

/// Nothing can be written, and nothing ever comes.
struct Deaf;

impl AsyncRead for Deaf {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Deaf {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

struct ToDeaf;

impl Connect for ToDeaf {
    fn connect(&self) -> Connecting<'_> {
        Box::pin(async { Ok(Transport::new(Deaf)) })
    }

    fn describe(&self) -> String {
        "deaf".into()
    }
}

/// The answer is still waited for, in case it was sent before the connection broke, but
/// not for ever.
#[tokio::test]
async fn a_write_that_fails_ends_the_wait_for_an_answer() {
    let limits =
        crate::raw::backend::limits().with_response_head(std::time::Duration::from_millis(100));
    let config = crate::raw::backend::config().with_timeouts(limits);
    let client = Client::for_own_requests(Pool::new(ToDeaf, config));
    let request = Request::get("/").body(Empty::<Bytes>::new()).unwrap();
    let error = soon("an error", client.send(request)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Write);
    assert_eq!(client.pool().stats().in_use, 0);
}
