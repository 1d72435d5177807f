//! What a connection runs over.

use socket2::SockRef;
use std::any::Any;
use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;

/// Everything that reads and writes.
trait Io: AsyncRead + AsyncWrite + Unpin + Send {
    fn as_any(&self) -> &dyn Any;
}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Io for T {
    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A byte stream to a container: TCP, a Unix socket, TLS, or anything else that reads and
/// writes.
pub struct Transport {
    // The lock is there for `Sync` alone, which the bodies of responses are expected to be.
    io: Mutex<Box<dyn Io>>,
    is_write_vectored: bool,
}

impl Transport {
    /// Wraps a stream. Turn on `TCP_NODELAY` for TCP before.
    ///
    /// Of tokio's `TcpStream` and `UnixStream` the kernel itself is asked before reuse
    /// whether anything has come or the container has closed. A stream around one of them,
    /// such as TLS, is asked what it knows, after the runtime had a chance to look.
    pub fn new<T>(stream: T) -> Self
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        Self {
            is_write_vectored: stream.is_write_vectored(),
            io: Mutex::new(Box::new(stream)),
        }
    }

    /// Nobody else can hold the lock.
    fn io(&mut self) -> Pin<&mut Box<dyn Io>> {
        Pin::new(self.io.get_mut().unwrap_or_else(PoisonError::into_inner))
    }

    /// Asks the kernel for a byte without taking it and without waiting: 0 bytes mean that
    /// the container has closed. `None` when this is no socket.
    pub(super) fn peek(&self) -> Option<io::Result<usize>> {
        let mut byte = [MaybeUninit::uninit(); 1];
        let io = self.io.lock().unwrap_or_else(PoisonError::into_inner);
        // The box is an `Io` too.
        let stream = (**io).as_any();
        // Neither socket blocks: that is how tokio has them.
        if let Some(stream) = stream.downcast_ref::<TcpStream>() {
            return Some(SockRef::from(stream).peek(&mut byte));
        }
        #[cfg(unix)]
        if let Some(stream) = stream.downcast_ref::<UnixStream>() {
            return Some(SockRef::from(stream).peek(&mut byte));
        }
        None
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Transport")
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.io().poll_read(cx, buf)
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.io().poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io().poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.io().poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.is_write_vectored
    }
}

/// The future of [`Connect::connect`].
#[allow(clippy::module_name_repetitions, reason = "named after the trait")]
pub type Connecting<'a> = Pin<Box<dyn Future<Output = io::Result<Transport>> + Send + 'a>>;

/// Opens connections to one container. [`Address`](super::Address) does it for TCP and Unix
/// sockets; implement it for anything else. TLS, for a container behind a TLS end point:
///
/// ```
/// use ajp::client::{Connect, Connecting, Transport};
/// use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};
///
/// struct OverTls {
///     host: String,
///     port: u16,
///     tls: TlsConnector,
/// }
///
/// impl Connect for OverTls {
///     fn connect(&self) -> Connecting<'_> {
///         Box::pin(async {
///             let tcp = tokio::net::TcpStream::connect((self.host.as_str(), self.port)).await?;
///             tcp.set_nodelay(true)?;
///             let name = ServerName::try_from(self.host.clone()).map_err(std::io::Error::other)?;
///             Ok(Transport::new(self.tls.connect(name, tcp).await?))
///         })
///     }
///
///     fn describe(&self) -> String {
///         format!("{}:{} over TLS", self.host, self.port)
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not open connections",
    label = "no `ajp::client::Connect`",
    note = "parse a text to an `ajp::client::Address`, or give it to `Pool::for_address`"
)]
pub trait Connect: Send + Sync + 'static {
    /// Opens one connection.
    ///
    /// # Errors
    /// Whatever keeps the connection from being opened; it reaches the caller who waited.
    ///
    /// # Cancel safety
    /// Must leave nothing behind when the future is dropped.
    fn connect(&self) -> Connecting<'_>;

    /// The container as named in errors and logs.
    fn describe(&self) -> String;
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    /// Until the kernel has delivered what was sent.
    async fn peeked(transport: &Transport) -> usize {
        loop {
            match transport.peek().unwrap() {
                Ok(n) => return n,
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
            tokio::task::yield_now().await;
        }
    }

    async fn is_asked<S>(ours: Transport, mut theirs: S)
    where
        S: AsyncWrite + Unpin,
    {
        let silent = ours.peek().unwrap().unwrap_err();
        assert_eq!(silent.kind(), io::ErrorKind::WouldBlock);
        theirs.write_all(b"xyz").await.unwrap();
        assert_eq!(peeked(&ours).await, 1);
        assert_eq!(peeked(&ours).await, 1, "nothing is taken");
    }

    #[tokio::test]
    async fn sockets_are_asked_themselves() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        for close in [false, true] {
            let ours = TcpStream::connect(listener.local_addr().unwrap());
            let (ours, theirs) = tokio::join!(ours, listener.accept());
            let (ours, (theirs, _)) = (Transport::new(ours.unwrap()), theirs.unwrap());
            if close {
                drop(theirs);
                assert_eq!(peeked(&ours).await, 0);
            } else {
                is_asked(ours, theirs).await;
            }
        }
        #[cfg(unix)]
        {
            let (ours, theirs) = UnixStream::pair().unwrap();
            is_asked(Transport::new(ours), theirs).await;
            let (ours, _) = UnixStream::pair().unwrap();
            assert_eq!(peeked(&Transport::new(ours)).await, 0);
        }
        assert!(Transport::new(tokio::io::empty()).peek().is_none());
    }
}
