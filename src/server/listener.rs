//! What a server accepts connections from.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

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
}

/// An aborted connection is no reason to wait; a lack of file descriptors is.
async fn pause(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if !matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    ) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
