//! One place in a pool, with its connection.

use super::cause::CloseCause;
use super::connection::Connection;
use super::error::{Error, ErrorKind};
use super::exchange::Exchange;
use super::limits::Limits;
use super::phases::Stopwatch;
use super::shared::Shared;
use super::timeouts::Timeouts;
use crate::proto::{ClientExchange, Progress};
use crate::wire::{BodyFraming, EncodeError, PacketSize};
use bytes::BytesMut;
use std::fmt;
use std::sync::Arc;

/// One place in a [`Pool`](super::Pool) with its connection, clean and idle. Dropping it
/// closes the connection.
pub struct Lease {
    pub(super) connection: Option<Box<Connection>>,
    pub(super) shared: Arc<Shared>,
    has_place: bool,
    pub(super) reused: bool,
    pub(super) limits: Limits,
    pub(super) stopwatch: Stopwatch,
}

impl Lease {
    /// Owns a place that was just entered.
    pub(super) fn new(shared: &Arc<Shared>, limits: Limits) -> Self {
        Self {
            connection: None,
            shared: Arc::clone(shared),
            has_place: true,
            reused: false,
            limits,
            stopwatch: Stopwatch::new(),
        }
    }

    /// Whether the connection was idle in the pool, and so may turn out to be stale.
    #[must_use]
    pub fn is_reused(&self) -> bool {
        self.reused
    }

    /// The container as named in errors.
    #[must_use]
    pub fn peer(&self) -> &str {
        &self.shared.peer
    }

    /// Begins an exchange. `encode` appends one Forward Request to the buffer and
    /// returns what [`ForwardRequestWriter::finish`](crate::wire::ForwardRequestWriter::finish)
    /// told; `head_request` says whether the method is HEAD. Nothing is sent before the
    /// exchange is polled.
    ///
    /// # Errors
    /// [`ErrorKind::UriTooLong`], [`ErrorKind::HeadTooLarge`] and
    /// [`ErrorKind::InvalidRequest`] when `encode` fails;
    /// the connection goes back to the pool unharmed.
    pub fn begin<F>(self, head_request: bool, encode: F) -> Result<Exchange, Error>
    where
        F: FnOnce(&mut BytesMut, PacketSize) -> Result<BodyFraming, EncodeError>,
    {
        let mut exchange = self.begin_at_once(head_request, encode)?;
        exchange.distrust();
        Ok(exchange)
    }

    /// As [`begin`](Self::begin), of a lease that was acquired just now.
    pub(crate) fn begin_at_once<F>(
        mut self,
        head_request: bool,
        encode: F,
    ) -> Result<Exchange, Error>
    where
        F: FnOnce(&mut BytesMut, PacketSize) -> Result<BodyFraming, EncodeError>,
    {
        let Some(connection) = &mut self.connection else {
            return Err(self.shared.error(ErrorKind::Closed));
        };
        let size = connection.io.size();
        match encode(connection.io.write_buffer(), size) {
            Ok(framing) => {
                connection.exchanges = connection.exchanges.saturating_add(1);
                connection.sends(connection.io.queued());
                let machine = ClientExchange::new(framing, head_request, size)
                    .with_body_requests(self.shared.config.body_requests);
                Ok(Exchange::new(self, machine))
            }
            Err(error) => {
                let error = Error::encode(error).at(Progress::NotSent, &self.shared.peer);
                self.shared.counters.failed(error.kind());
                if connection.io.queued() == 0 {
                    self.put_back();
                } else {
                    self.release(CloseCause::Request);
                }
                Err(error)
            }
        }
    }

    /// Puts a clean connection back and gives up the place. Only for callers that have
    /// proven it clean.
    pub(super) fn put_back(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.shared.put_back(connection);
        }
        self.leave();
    }

    /// Closes the connection and gives up the place.
    pub(super) fn release(&mut self, cause: CloseCause) {
        self.close(cause);
        self.leave();
    }

    /// Closes the connection now and keeps the place.
    pub(super) fn close(&mut self, cause: CloseCause) {
        if let Some(connection) = self.connection.take() {
            self.shared.close(connection, cause);
        }
    }

    /// Gives up the place.
    pub(super) fn leave(&mut self) {
        if std::mem::take(&mut self.has_place) {
            self.shared.queue.leave();
        }
    }

    /// Moves the place out of an exchange that has failed.
    pub(super) fn take(&mut self) -> Self {
        Self {
            connection: self.connection.take(),
            shared: Arc::clone(&self.shared),
            has_place: std::mem::take(&mut self.has_place),
            reused: self.reused,
            limits: self.limits.take(),
            stopwatch: Stopwatch::new(),
        }
    }

    /// The limits of its request.
    pub(super) fn timeouts(&self) -> &Timeouts {
        self.limits.timeouts(&self.shared.config.timeouts)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // The connection is closed before its place is free.
        self.release(CloseCause::Dropped);
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("peer", &self.shared.peer)
            .field("reused", &self.reused)
            .finish_non_exhaustive()
    }
}
