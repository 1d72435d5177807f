//! A connection whose other side may do anything.

use ajp::wire::{Direction, PacketSize, split_packet};
use bytes::{Bytes, BytesMut};
use std::fmt;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

/// Why no packet came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoPacket {
    /// Bytes that are no packet.
    Broken(String),
    /// The other side closed or reset the connection.
    Closed,
    /// Nothing, or less than a packet, within the time.
    TimedOut,
}

impl fmt::Display for NoPacket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(error) => write!(f, "bytes that are no packet: {error}"),
            Self::Closed => f.write_str("the connection is closed"),
            Self::TimedOut => f.write_str("nothing comes in time"),
        }
    }
}

/// What came, in words.
pub(super) fn shown<T: fmt::Display>(received: &Result<T, NoPacket>) -> String {
    match received {
        Ok(packet) => packet.to_string(),
        Err(none) => none.to_string(),
    }
}

/// The moment this much later.
pub(super) fn deadline(limit: Duration) -> Instant {
    let now = Instant::now();
    // Nobody waits longer than a clock can tell.
    now.checked_add(limit).unwrap_or(now)
}

/// A stream of packets in one direction, and bytes in the other.
pub(super) struct Connection<S> {
    pub(super) stream: S,
    buffer: BytesMut,
    /// Where the packets that are read go.
    direction: Direction,
    /// Longer packets are broken ones.
    size: PacketSize,
    /// Longest wait for a packet.
    pub(super) limit: Duration,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub(super) fn new(stream: S, direction: Direction, size: PacketSize, limit: Duration) -> Self {
        Self {
            stream,
            buffer: BytesMut::new(),
            direction,
            size,
            limit,
        }
    }

    /// What the other side does not take any more, it does not take.
    pub(super) async fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
        let _ = self.stream.flush().await;
    }

    /// The payload of the next packet.
    pub(super) async fn payload(&mut self, limit: Duration) -> Result<Bytes, NoPacket> {
        let deadline = deadline(limit);
        loop {
            match split_packet(&mut self.buffer, self.direction, self.size) {
                Ok(Some(payload)) => return Ok(payload),
                Ok(None) => {}
                Err(error) => return Err(NoPacket::Broken(error.to_string())),
            }
            match timeout_at(deadline, self.stream.read_buf(&mut self.buffer)).await {
                Err(_) => return Err(NoPacket::TimedOut),
                Ok(Ok(0) | Err(_)) => return Err(NoPacket::Closed),
                Ok(Ok(_)) => {}
            }
        }
    }
}
