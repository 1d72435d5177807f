//! What a client's bytes come through: a TCP or Unix socket, with TLS or without.

use bytes::{Buf, Bytes};
use socket2::SockRef;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;

/// Slices of so many bytes together, such as the head of an answer and a small body, are written
/// as one piece: to copy them takes less time than what the kernel does for each of several.
const ONE_PIECE: usize = 2048;

/// Copies several slices one behind the other, if they fit. Whether they did.
fn gather(bufs: &[IoSlice<'_>], piece: &mut ReadBuf<'_>) -> bool {
    let length: usize = bufs.iter().map(|buf| buf.len()).sum();
    let fits = bufs.len() > 1 && length <= piece.remaining();
    if fits {
        for buf in bufs {
            piece.put_slice(buf);
        }
    }
    fits
}

/// An accepted socket.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A socket some of whose bytes were read to find out what they are; they are read once more.
#[derive(Debug)]
pub(crate) struct Rewound<S> {
    first: Bytes,
    socket: S,
}

impl<S> Rewound<S> {
    pub(crate) fn new(first: Bytes, socket: S) -> Self {
        Self { first, socket }
    }
}

/// A connection that HTTP is spoken over.
#[derive(Debug)]
pub(crate) enum Transport<S> {
    Plain(Rewound<S>),
    Tls(Box<Rewound<TlsStream<Rewound<S>>>>),
}

/// A stream that can be broken off: its peer sees a reset when it is dropped, and not an end. Of an
/// answer that ends with its connection, as those to clients of HTTP/1.0 may, nothing else tells that
/// it is not whole.
pub(crate) trait Breakable {
    /// What has not left yet is lost, too.
    fn break_off(&self);
}

impl Breakable for Socket {
    fn break_off(&self) {
        match self {
            // Fails only on a connection that is gone already.
            Self::Tcp(stream) => drop(SockRef::from(stream).set_linger(Some(Duration::ZERO))),
            // There is no reset.
            Self::Unix(_) => {}
        }
    }
}

impl<S: Breakable> Breakable for Rewound<S> {
    fn break_off(&self) {
        self.socket.break_off();
    }
}

impl<S: Breakable> Breakable for Transport<S> {
    fn break_off(&self) {
        match self {
            Self::Plain(stream) => stream.break_off(),
            Self::Tls(stream) => stream.socket.get_ref().0.break_off(),
        }
    }
}

/// Calls the method on whichever stream this is.
macro_rules! forward {
    ($self:ident, $kind:ident :: { $($variant:ident),+ }, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            $($kind::$variant($stream) => $call,)+
        }
    };
}

/// What is written to a stream around another one goes to that as it is.
macro_rules! writes_through {
    ($outer:ident, $inner:ident) => {
        impl<S: tokio::io::AsyncWrite + Unpin> tokio::io::AsyncWrite for $outer<S> {
            fn poll_write(
                mut self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                buf: &[u8],
            ) -> std::task::Poll<std::io::Result<usize>> {
                std::pin::Pin::new(&mut self.$inner).poll_write(cx, buf)
            }

            fn poll_write_vectored(
                mut self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                bufs: &[std::io::IoSlice<'_>],
            ) -> std::task::Poll<std::io::Result<usize>> {
                std::pin::Pin::new(&mut self.$inner).poll_write_vectored(cx, bufs)
            }

            fn is_write_vectored(&self) -> bool {
                self.$inner.is_write_vectored()
            }

            fn poll_flush(
                mut self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                std::pin::Pin::new(&mut self.$inner).poll_flush(cx)
            }

            fn poll_shutdown(
                mut self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                std::pin::Pin::new(&mut self.$inner).poll_shutdown(cx)
            }
        }
    };
}
pub(super) use writes_through;

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        forward!(self, Self::{Tcp, Unix}, stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        forward!(self, Self::{Tcp, Unix}, stream => Pin::new(stream).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut space = [MaybeUninit::uninit(); ONE_PIECE];
        let mut piece = ReadBuf::uninit(&mut space);
        if gather(bufs, &mut piece) {
            return self.poll_write(cx, piece.filled());
        }
        forward!(self, Self::{Tcp, Unix}, stream => Pin::new(stream).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        forward!(self, Self::{Tcp, Unix}, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        forward!(self, Self::{Tcp, Unix}, stream => Pin::new(stream).poll_shutdown(cx))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Rewound<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            return Pin::new(&mut self.socket).poll_read(cx, buf);
        }
        let count = self.first.len().min(buf.remaining());
        if let Some(bytes) = self.first.get(..count) {
            buf.put_slice(bytes);
        }
        self.first.advance(count);
        if self.first.is_empty() {
            // Nothing of a connection's first bytes is kept for its whole life.
            self.first = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

writes_through!(Rewound, socket);

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Transport<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        forward!(self, Self::{Plain, Tls}, stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Transport<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        forward!(self, Self::{Plain, Tls}, stream => Pin::new(stream).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        forward!(self, Self::{Plain, Tls}, stream => Pin::new(stream).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        forward!(self, Self::{Plain, Tls}, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        forward!(self, Self::{Plain, Tls}, stream => Pin::new(stream).poll_shutdown(cx))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use tokio::io::AsyncReadExt;

    #[test]
    fn slices_that_fit_are_one_piece() {
        let long = [b'x'; ONE_PIECE + 1];
        let piece = |lengths: &[usize]| {
            let bufs: Vec<_> = lengths.iter().map(|n| IoSlice::new(&long[..*n])).collect();
            let mut space = [MaybeUninit::uninit(); ONE_PIECE];
            let mut piece = ReadBuf::uninit(&mut space);
            gather(&bufs, &mut piece).then(|| piece.filled().len())
        };
        assert_eq!(piece(&[150, 13]), Some(163));
        assert_eq!(piece(&[1000, 0, ONE_PIECE - 1000]), Some(ONE_PIECE));
        assert_eq!(piece(&[1000, ONE_PIECE - 999]), None);
        // Nothing is gained by a copy of what is one already.
        assert_eq!((piece(&[150]), piece(&[])), (None, None));
    }

    /// Whether they are sent as one piece or not, it is the same that arrives.
    #[tokio::test]
    async fn slices_arrive_in_their_order() {
        let (one, mut other) = UnixStream::pair().unwrap();
        let mut socket = Socket::Unix(one);
        for body in [0, 1, ONE_PIECE - 5, ONE_PIECE - 4, ONE_PIECE * 3] {
            let sent = [&b"head"[..], &vec![b'x'; body], b"", b"end"].concat();
            let (head, rest) = sent.split_at(4);
            let (body, end) = rest.split_at(body);
            let slices = [head, body, end].map(IoSlice::new);
            let written = poll_fn(|cx| Pin::new(&mut socket).poll_write_vectored(cx, &slices));
            assert_eq!(written.await.unwrap(), sent.len());
            let mut arrived = vec![0; sent.len()];
            other.read_exact(&mut arrived).await.unwrap();
            assert!(arrived == sent, "{}", body.len());
        }
    }
}
