//! What a server accepts connections from.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{unconstrained, yield_now};

/// Connections taken over from a listener that closes: as many as its queue can hold.
const BACKLOG: usize = 4096;

/// A source of connections.
pub trait Listener: Send + 'static {
    /// The byte stream of a connection.
    type Io: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    /// Who connected.
    type Peer: fmt::Debug + Clone + Send + Sync + 'static;

    /// The next connection. Errors of single connections are the listener's to handle.
    ///
    /// # Cancel safety
    /// Must be safe: a connection that was accepted may not be lost.
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
