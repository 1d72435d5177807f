//! Connections to one container: a hard cap with a fair queue, the newest idle one first,
//! nothing reused that is not proven clean. No background task.

use super::config::PoolConfig;
use super::connection::{Connection, within};
use super::error::{Error, ErrorKind};
use super::exchange::Exchange;
use super::transport::Connect;
use crate::proto::{ClientExchange, Progress};
use crate::trace::event;
use crate::wire::{BodyFraming, EncodeError, PacketSize};
use bytes::BytesMut;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// A pool of connections to one container. Cloning gives another handle to the same pool.
#[derive(Clone)]
pub struct Pool {
    inner: Arc<Inner>,
}

struct Inner {
    connector: Box<dyn Connect>,
    peer: Arc<str>,
    config: PoolConfig,
    permits: Arc<Semaphore>,
    /// Newest at the end.
    idle: Mutex<Vec<Connection>>,
    created: AtomicU64,
    reused: AtomicU64,
    closed: AtomicU64,
}

/// Numbers of a [`Pool`] at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolStats {
    /// Connections serving an exchange or being opened.
    pub in_use: usize,
    /// Connections waiting for one.
    pub idle: usize,
    /// Connections opened so far.
    pub created: u64,
    /// Exchanges that took an idle connection.
    pub reused: u64,
    /// Connections closed so far.
    pub closed: u64,
}

impl Pool {
    /// A pool that opens connections with `connector`, usually an
    /// [`Address`](super::Address), when they are needed.
    pub fn new(connector: impl Connect, config: PoolConfig) -> Self {
        Self {
            inner: Arc::new(Inner {
                peer: connector.describe().into(),
                connector: Box::new(connector),
                permits: Arc::new(Semaphore::new(config.max_connections)),
                idle: Mutex::new(Vec::new()),
                created: AtomicU64::new(0),
                reused: AtomicU64::new(0),
                closed: AtomicU64::new(0),
                config,
            }),
        }
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &PoolConfig {
        &self.inner.config
    }

    /// The container as named in errors.
    #[must_use]
    pub fn peer(&self) -> &str {
        &self.inner.peer
    }

    /// Numbers of this moment.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        let inner = &self.inner;
        PoolStats {
            in_use: inner
                .config
                .max_connections
                .saturating_sub(inner.permits.available_permits()),
            idle: inner.idle().len(),
            created: inner.created.load(Ordering::Relaxed),
            reused: inner.reused.load(Ordering::Relaxed),
            closed: inner.closed.load(Ordering::Relaxed),
        }
    }

    /// Takes the newest idle connection that is still clean, or opens one.
    ///
    /// # Errors
    /// [`ErrorKind::AcquireTimeout`] when all connections stay in use,
    /// [`ErrorKind::Connect`] and [`ErrorKind::ConnectTimeout`] when a new one cannot be
    /// opened. A stale idle connection is never an error.
    ///
    /// # Cancel safety
    /// Safe: the place in the queue and any connection in hand are given up.
    pub async fn acquire(&self) -> Result<Lease, Error> {
        let mut lease = self.lease().await?;
        while let Some(connection) = self.inner.pop_idle() {
            lease.connection = Some(connection);
            if self.is_fit(&mut lease).await {
                self.inner.reused.fetch_add(1, Ordering::Relaxed);
                return Ok(lease);
            }
            event!(
                DEBUG,
                peer = &*self.inner.peer,
                "stale AJP connection closed"
            );
            lease.close();
        }
        self.open(lease).await
    }

    /// Opens a new connection whatever is idle.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire).
    ///
    /// # Cancel safety
    /// Safe, as [`acquire`](Self::acquire).
    pub async fn acquire_fresh(&self) -> Result<Lease, Error> {
        let lease = self.lease().await?;
        self.open(lease).await
    }

    /// Waits for a place; the order is first come, first served.
    async fn lease(&self) -> Result<Lease, Error> {
        let inner = &self.inner;
        let waiting = Arc::clone(&inner.permits).acquire_owned();
        let permit = within(inner.config.timeouts.acquire, waiting)
            .await
            .ok_or_else(|| inner.error(ErrorKind::AcquireTimeout))?
            // The semaphore is never closed.
            .map_err(|error| Error::new(ErrorKind::AcquireTimeout, error))?;
        Ok(Lease {
            connection: None,
            permit: Some(permit),
            pool: Arc::downgrade(inner),
            peer: Arc::clone(&inner.peer),
            reused: true,
        })
    }

    /// Whether the connection in the lease is clean and alive.
    async fn is_fit(&self, lease: &mut Lease) -> bool {
        let Some(connection) = &mut lease.connection else {
            return false;
        };
        if !connection.is_clean().await {
            return false;
        }
        let config = &self.inner.config;
        match config.cping_after {
            Some(limit) if connection.idle_since.elapsed() >= limit => {
                connection.ping(config.timeouts.cping).await.is_ok()
            }
            _ => true,
        }
    }

    async fn open(&self, mut lease: Lease) -> Result<Lease, Error> {
        let inner = &self.inner;
        let transport = within(inner.config.timeouts.connect, inner.connector.connect())
            .await
            .ok_or_else(|| inner.error(ErrorKind::ConnectTimeout))?
            .map_err(|error| {
                Error::io(ErrorKind::Connect, error).at(Progress::NotSent, &inner.peer)
            })?;
        inner.created.fetch_add(1, Ordering::Relaxed);
        event!(DEBUG, peer = &*inner.peer, "AJP connection opened");
        lease.connection = Some(Connection::new(transport, inner.config.packet_size));
        lease.reused = false;
        Ok(lease)
    }

    /// Sends CPing over a connection of the pool and waits for CPong.
    ///
    /// # Errors
    /// [`ErrorKind::CPing`], [`ErrorKind::CPingTimeout`], or what
    /// [`acquire`](Self::acquire) fails with.
    ///
    /// # Cancel safety
    /// Safe: the connection is closed.
    pub async fn ping(&self) -> Result<Duration, Error> {
        let mut lease = self.acquire().await?;
        let start = Instant::now();
        if let Some(connection) = &mut lease.connection {
            connection
                .ping(self.inner.config.timeouts.cping)
                .await
                .map_err(|error| error.at(Progress::NotSent, &self.inner.peer))?;
        }
        let time = start.elapsed();
        lease.put_back();
        Ok(time)
    }
}

impl Inner {
    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        // No code that can panic runs under this lock.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest idle connection. Expired ones are closed on the way.
    fn pop_idle(&self) -> Option<Connection> {
        let mut expired = Vec::new();
        let mut idle = self.idle();
        if let Some(limit) = self.config.idle_timeout {
            // Oldest first, so the expired ones are all at the front.
            let count = idle
                .iter()
                .take_while(|connection| connection.idle_since.elapsed() >= limit)
                .count();
            expired.extend(idle.drain(..count));
        }
        let newest = idle.pop();
        drop(idle);
        self.closed
            .fetch_add(expired.len() as u64, Ordering::Relaxed);
        newest
    }

    fn error(&self, kind: ErrorKind) -> Error {
        Error::bare(kind).at(Progress::NotSent, &self.peer)
    }
}

/// One place in a [`Pool`] with its connection, clean and idle. Dropping it closes the
/// connection.
pub struct Lease {
    // Fields drop in order: the connection is closed before its place is free.
    pub(super) connection: Option<Connection>,
    permit: Option<OwnedSemaphorePermit>,
    pool: Weak<Inner>,
    pub(super) peer: Arc<str>,
    reused: bool,
}

impl Lease {
    /// Whether the connection served an exchange before.
    #[must_use]
    pub fn is_reused(&self) -> bool {
        self.reused
    }

    /// Begins an exchange. `encode` appends one Forward Request to the buffer and
    /// returns what [`ForwardRequestWriter::finish`](crate::wire::ForwardRequestWriter::finish)
    /// told; `head_request` says whether the method is HEAD. Nothing is sent before the
    /// exchange is polled.
    ///
    /// # Errors
    /// [`ErrorKind::HeadTooLarge`] and [`ErrorKind::InvalidRequest`] when `encode` fails;
    /// the connection goes back to the pool unharmed.
    pub fn begin<F>(mut self, head_request: bool, encode: F) -> Result<Exchange, Error>
    where
        F: FnOnce(&mut BytesMut, PacketSize) -> Result<BodyFraming, EncodeError>,
    {
        let Some(connection) = &mut self.connection else {
            return Err(Error::bare(ErrorKind::Closed));
        };
        let size = connection.io.size();
        match encode(connection.io.write_buffer(), size) {
            Ok(framing) => {
                let timeouts = self
                    .pool
                    .upgrade()
                    .map(|pool| pool.config.timeouts)
                    .unwrap_or_default();
                Ok(Exchange::new(
                    self,
                    ClientExchange::new(framing, head_request, size),
                    timeouts,
                ))
            }
            Err(error) => {
                let error = Error::encode(error).at(Progress::NotSent, &self.peer);
                if connection.io.queued() == 0 {
                    self.put_back();
                }
                Err(error)
            }
        }
    }

    /// Puts a clean connection back and gives up the place. Only for callers that have
    /// proven it clean.
    pub(super) fn put_back(&mut self) {
        let Some(mut connection) = self.connection.take() else {
            return;
        };
        let Some(pool) = self.pool.upgrade() else {
            return;
        };
        connection.io.release_buffers();
        connection.idle_since = Instant::now();
        pool.idle().push(connection);
        self.permit = None;
    }

    /// Closes the connection and gives up the place.
    pub(super) fn release(&mut self) {
        self.close();
        self.permit = None;
    }

    /// Closes the connection now and keeps the place.
    pub(super) fn close(&mut self) {
        if self.connection.take().is_some() {
            if let Some(pool) = self.pool.upgrade() {
                pool.closed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("peer", &self.peer)
            .field("reused", &self.reused)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("peer", &self.inner.peer)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
