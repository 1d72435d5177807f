//! What a server accepts connections from.

use crate::trace::event;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{unconstrained, yield_now};

/// Connections taken over from a listener that closes: as many as its queue can hold.
const BACKLOG: usize = 4096;

/// What a [`Listener`] accepts: a byte stream, or something that becomes one by a handshake.
///
/// Everything that reads and writes is its own stream already. A listener whose connections
/// begin with a handshake, such as TLS, accepts the raw connection in a type of its own and
/// implements this for it: the handshake then runs in the connection's own task, beside all
/// others, within [`ServerTimeouts::with_handshake`](super::ServerTimeouts::with_handshake).
/// In [`Listener::accept`] itself handshakes would be done one after the other, and one slow
/// peer would keep out all the rest.
///
/// ```
/// use ajp::server::Accepted;
/// use std::{future::Future, io};
/// use tokio::io::AsyncReadExt;
/// use tokio::net::TcpStream;
///
/// /// A connection that begins with a byte that nobody needs.
/// struct AfterOneByte(TcpStream);
///
/// impl Accepted for AfterOneByte {
///     type Stream = TcpStream;
///
///     async fn handshake(mut self) -> io::Result<TcpStream> {
///         self.0.read_u8().await?;
///         Ok(self.0)
///     }
/// }
/// ```
pub trait Accepted: Send + 'static {
    /// The byte stream that AJP is spoken over.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Makes the connection ready for its first AJP packet.
    ///
    /// # Errors
    /// Whatever keeps the connection from being used; it ends this connection only and is
    /// given to `on_error` as [`ServerError::Handshake`](super::ServerError::Handshake).
    fn handshake(self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Accepted for T {
    type Stream = T;

    async fn handshake(self) -> io::Result<T> {
        Ok(self)
    }
}

/// A source of connections.
///
/// Implemented for tokio's listeners of TCP and Unix sockets, and with feature `rustls` for
/// [`TlsListener`](../tls/struct.TlsListener.html). For axum's wrappers of listeners:
/// `tap_io` is [`ListenerExt::tap_io`], and
/// [`max_connections`](super::ServerConfig::with_max_connections) limits connections, with an
/// answer to those beyond.
pub trait Listener: Send + 'static {
    /// What is accepted: the byte stream of a connection, or what becomes one.
    type Io: Accepted;
    /// Who connected.
    type Peer: fmt::Debug + Clone + Send + Sync + 'static;

    /// The next connection. Errors of single connections are the listener's to handle.
    ///
    /// # Cancel safety
    /// Must be safe: a connection that was accepted may not be lost. A server drops the future
    /// when it is told to shut down.
    fn accept(&mut self) -> impl Future<Output = (Self::Io, Self::Peer)> + Send;

    /// Closes the listener. The result is what has connected by then and was not accepted:
    /// a server that drains serves it, for its peers may have sent a request.
    ///
    /// By default that is what [`accept`](Self::accept) has ready. On a runtime of several
    /// threads this can miss a connection that another thread is just told of, and which
    /// the kernel then resets; so a listener that wraps one of tokio's should call that
    /// one's `close`, which asks the kernel.
    fn close(mut self) -> impl Future<Output = Vec<(Self::Io, Self::Peer)>> + Send
    where
        Self: Sized,
    {
        async move {
            // The pause lets the runtime look for connections.
            yield_now().await;
            let mut waiting = Vec::new();
            while waiting.len() < BACKLOG {
                let mut next = pin!(self.accept());
                let ready = poll_fn(|cx| match next.as_mut().poll(cx) {
                    Poll::Ready(accepted) => Poll::Ready(Some(accepted)),
                    Poll::Pending => Poll::Ready(None),
                });
                match unconstrained(ready).await {
                    Some(accepted) => waiting.push(accepted),
                    None => break,
                }
            }
            waiting
        }
    }
}

/// Listeners made from other listeners.
pub trait ListenerExt: Listener + Sized {
    /// Calls `tap` with every connection that is accepted, before anything is read from it:
    /// to set socket options, for example.
    ///
    /// If `tap` panics, that connection is closed.
    ///
    /// ```no_run
    /// use ajp::server::{ListenerExt, serve};
    /// # async fn example(app: axum::Router) -> std::io::Result<()> {
    /// let listener = tokio::net::TcpListener::bind("127.0.0.1:8009").await?;
    /// let listener = listener.tap_io(|stream| {
    ///     let _ = stream.set_ttl(16);
    /// });
    /// serve(listener, app).trusted_network().await;
    /// # Ok(())
    /// # }
    /// ```
    fn tap_io<F>(self, tap: F) -> TapIo<Self, F>
    where
        F: FnMut(&mut Self::Io) + Send + 'static,
    {
        TapIo {
            listener: self,
            tap,
        }
    }
}

impl<L: Listener> ListenerExt for L {}

/// The listener of [`ListenerExt::tap_io`].
pub struct TapIo<L, F> {
    listener: L,
    tap: F,
}

impl<L: Listener, F: FnMut(&mut L::Io)> TapIo<L, F> {
    /// False when `tap` panicked.
    fn tap(tap: &mut F, io: &mut L::Io) -> bool {
        // What the panic left half done goes with the connection.
        let result = catch_unwind(AssertUnwindSafe(|| tap(io)));
        if result.is_err() {
            event!(ERROR, "the callback of `tap_io` panicked");
        }
        result.is_ok()
    }
}

impl<L, F> Listener for TapIo<L, F>
where
    L: Listener,
    F: FnMut(&mut L::Io) + Send + 'static,
{
    type Io = L::Io;
    type Peer = L::Peer;

    async fn accept(&mut self) -> (L::Io, L::Peer) {
        loop {
            let (mut io, peer) = self.listener.accept().await;
            if Self::tap(&mut self.tap, &mut io) {
                return (io, peer);
            }
        }
    }

    async fn close(mut self) -> Vec<(L::Io, L::Peer)> {
        let mut waiting = self.listener.close().await;
        waiting.retain_mut(|(io, _)| Self::tap(&mut self.tap, io));
        waiting
    }
}

impl<L: fmt::Debug, F> fmt::Debug for TapIo<L, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TapIo").field(&self.listener).finish()
    }
}

impl Listener for TcpListener {
    type Io = TcpStream;
    type Peer = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            match Self::accept(self).await {
                Ok((stream, peer)) => {
                    // Fails only on a connection that is already gone; the first read tells.
                    let _ = stream.set_nodelay(true);
                    return (stream, peer);
                }
                Err(error) => pause(&error).await,
            }
        }
    }

    async fn close(self) -> Vec<(TcpStream, SocketAddr)> {
        let Ok(listener) = self.into_std() else {
            return Vec::new();
        };
        let accept = || {
            let (stream, peer) = listener.accept()?;
            stream.set_nonblocking(true)?;
            let stream = TcpStream::from_std(stream)?;
            let _ = stream.set_nodelay(true);
            Ok((stream, peer))
        };
        waiting(accept)
    }
}

#[cfg(unix)]
impl Listener for tokio::net::UnixListener {
    type Io = tokio::net::UnixStream;
    type Peer = super::UnixPeer;

    async fn accept(&mut self) -> (Self::Io, Self::Peer) {
        loop {
            match Self::accept(self).await {
                Ok((stream, address)) => {
                    let peer = super::UnixPeer::new(&stream, address);
                    return (stream, peer);
                }
                Err(error) => pause(&error).await,
            }
        }
    }

    async fn close(self) -> Vec<(Self::Io, Self::Peer)> {
        let Ok(listener) = self.into_std() else {
            return Vec::new();
        };
        let accept = || {
            let (stream, _) = listener.accept()?;
            stream.set_nonblocking(true)?;
            let stream = tokio::net::UnixStream::from_std(stream)?;
            let peer = super::UnixPeer::new(&stream, stream.peer_addr()?);
            Ok((stream, peer))
        };
        waiting(accept)
    }
}

/// What the kernel has accepted: `accept`, which does not block, until there is no more.
fn waiting<T>(mut accept: impl FnMut() -> io::Result<T>) -> Vec<T> {
    let mut waiting = Vec::new();
    while waiting.len() < BACKLOG {
        match accept() {
            Ok(accepted) => waiting.push(accepted),
            Err(error) if is_of_one_connection(&error) => {}
            // There is no other, or no file descriptor for it.
            Err(_) => break,
        }
    }
    waiting
}

/// An aborted connection is no reason to wait; a lack of file descriptors is.
async fn pause(error: &io::Error) {
    if !is_of_one_connection(error) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use io::ErrorKind::{
        ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted, WouldBlock,
    };

    const OF_ONE_CONNECTION: [io::ErrorKind; 4] = [
        ConnectionAborted,
        ConnectionRefused,
        ConnectionReset,
        Interrupted,
    ];

    #[test]
    fn what_waits_is_taken_until_there_is_no_more() {
        let mut answers = vec![Ok(1), Ok(2)].into_iter();
        let mut failing = OF_ONE_CONNECTION.into_iter();
        // Errors of one connection in between, and something behind the end.
        let mut ended = false;
        let taken = waiting(|| {
            if let Some(kind) = failing.next() {
                return Err(kind.into());
            }
            assert!(!ended, "nobody asks behind the end");
            answers.next().unwrap_or_else(|| {
                ended = true;
                Err(io::Error::from(WouldBlock))
            })
        });
        assert_eq!(taken, [1, 2]);
        assert_eq!(waiting(|| Ok(())).len(), BACKLOG, "without an end");
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_lack_of_something_is_waited_for() {
        let start = tokio::time::Instant::now();
        for kind in OF_ONE_CONNECTION {
            pause(&kind.into()).await;
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        pause(&io::ErrorKind::OutOfMemory.into()).await;
        assert_eq!(start.elapsed(), Duration::from_millis(100));
    }

    #[tokio::test]
    async fn connections_that_wait_when_the_listener_closes_are_not_lost() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let first = std::net::TcpStream::connect(address).unwrap();
        let second = std::net::TcpStream::connect(address).unwrap();
        let mut taps = 0;
        let tapped = listener.tap_io(move |_| {
            taps += 1;
            assert!(taps != 2, "the second one");
        });
        let waiting = Listener::close(tapped).await;
        let peers: Vec<SocketAddr> = waiting.iter().map(|(_, peer)| *peer).collect();
        assert_eq!(peers, [first.local_addr().unwrap()]);
        drop(second);
    }
}
