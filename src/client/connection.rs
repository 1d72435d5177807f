//! One connection in the web server, between exchanges.

use super::error::{Error, ErrorKind};
use super::transport::Transport;
use crate::net::{Buffered, ReadError};
use crate::wire::{CPING, Direction, PacketSize, ToWebServer};
use std::future::{Future, poll_fn};
use std::task::Poll;
use std::time::Duration;
use tokio::time::{Instant, timeout};

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) io: Buffered<Transport>,
    pub(super) idle_since: Instant,
}

impl Connection {
    pub(super) fn new(transport: Transport, size: PacketSize) -> Self {
        Self {
            io: Buffered::new(transport, Direction::ToWebServer, size),
            idle_since: Instant::now(),
        }
    }

    /// Whether the connection is open and the container has sent nothing unasked.
    pub(super) async fn is_clean(&mut self) -> bool {
        // What the runtime knows of a socket may be older than what the kernel knows: let
        // it look first.
        tokio::task::yield_now().await;
        // Without a budget: an exhausted one would look like silence.
        tokio::task::unconstrained(poll_fn(|cx| Poll::Ready(self.io.is_quiet(cx)))).await
    }

    /// CPing, and nothing but CPong back.
    pub(super) async fn ping(&mut self, limit: Option<Duration>) -> Result<(), Error> {
        let exchange = async {
            self.io.queue(&CPING);
            poll_fn(|cx| self.io.poll_flush(cx))
                .await
                .map_err(|error| Error::io(ErrorKind::CPing, error))?;
            let payload = poll_fn(|cx| self.io.poll_payload(cx)).await;
            match payload.map_err(|error| read_error(error, ErrorKind::CPing))? {
                None => Err(Error::bare(ErrorKind::CPing)),
                Some(payload) => match ToWebServer::parse(payload) {
                    Ok(ToWebServer::CPong) if !self.io.has_unread() => Ok(()),
                    Ok(_) => Err(Error::bare(ErrorKind::CPing)),
                    Err(error) => Err(Error::new(ErrorKind::CPing, error)),
                },
            }
        };
        within(limit, exchange)
            .await
            .unwrap_or_else(|| Err(Error::bare(ErrorKind::CPingTimeout)))
    }
}

pub(super) fn read_error(error: ReadError, kind: ErrorKind) -> Error {
    match error {
        ReadError::Io(error) => Error::io(kind, error),
        ReadError::Truncated => Error::new(kind, "the connection closed inside a packet"),
        ReadError::Frame(error) => Error::new(ErrorKind::Protocol, error),
    }
}

/// What `future` gives, `None` when it takes longer than the limit.
pub(super) async fn within<T>(
    limit: Option<Duration>,
    future: impl Future<Output = T>,
) -> Option<T> {
    match limit {
        Some(limit) => timeout(limit, future).await.ok(),
        None => Some(future.await),
    }
}
