//! How long each step may take, for a pool and for one request.

use std::time::Duration;
use tokio::time::Instant;

/// How long each step may take. `None` switches a limit off.
///
/// | step | default | httpd | `mod_jk` |
/// |---|---|---|---|
/// | [`acquire`](Self::with_acquire) | 10 s | `acquire` | `connection_acquire_timeout` |
/// | [`connect`](Self::with_connect) | 5 s | `connectiontimeout` | `socket_connect_timeout` |
/// | [`cping`](Self::with_cping) | 5 s | `ping` | `ping_timeout` |
/// | [`write`](Self::with_write) | 30 s | `timeout` | `socket_timeout` |
/// | [`request_body`](Self::with_request_body) | 20 s | `RequestReadTimeout` | - |
/// | [`response_head`](Self::with_response_head) | 60 s | `timeout` | `reply_timeout` |
/// | [`between_packets`](Self::with_between_packets) | 60 s | `timeout` | `reply_timeout` |
/// | [`response_read`](Self::with_response_read) | 60 s | `Timeout` | - |
/// | [`request`](Self::with_request) | 1 h | - | - |
///
/// Each has an [`ErrorKind`](super::ErrorKind) of its own. A step that runs out of the time
/// of [`acquire`](Self::with_acquire) fails with its own kind; one that runs out of the time of
/// [`request`](Self::with_request) with
/// [`ErrorKind::RequestTimeout`](super::ErrorKind::RequestTimeout).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    pub(super) acquire: Option<Duration>,
    pub(super) connect: Option<Duration>,
    pub(super) cping: Option<Duration>,
    pub(super) write: Option<Duration>,
    pub(super) request_body: Option<Duration>,
    pub(super) response_head: Option<Duration>,
    pub(super) between_packets: Option<Duration>,
    pub(super) response_read: Option<Duration>,
    pub(super) request: Option<Duration>,
}

impl Default for Timeouts {
    fn default() -> Self {
        let seconds = |n| Some(Duration::from_secs(n));
        Self {
            acquire: seconds(10),
            connect: seconds(5),
            cping: seconds(5),
            write: seconds(30),
            request_body: seconds(20),
            response_head: seconds(60),
            between_packets: seconds(60),
            response_read: seconds(60),
            request: seconds(3600),
        }
    }
}

impl Timeouts {
    /// The defaults: every limit is finite.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Until a connection is in hand: waiting for a slot in the pool, then probing idle
    /// connections, opening one and its CPing, which also have limits of their own.
    #[must_use]
    pub fn with_acquire(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.acquire = limit.into();
        self
    }

    /// Opening a connection, name lookup included.
    #[must_use]
    pub fn with_connect(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.connect = limit.into();
        self
    }

    /// Waiting for CPong. All probes of idle connections for one request together take no
    /// longer than this, and no longer than half of what is left of
    /// [`acquire`](Self::with_acquire).
    #[must_use]
    pub fn with_cping(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.cping = limit.into();
        self
    }

    /// A write that makes no progress.
    #[must_use]
    pub fn with_write(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.write = limit.into();
        self
    }

    /// How long the container may wait for a packet of the request body while the caller gives
    /// nothing of it. Each packet that is given, and each packet of the response, starts the
    /// time anew. As with [`with_response_read`](Self::with_response_read) nobody need poll.
    #[must_use]
    pub fn with_request_body(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.request_body = limit.into();
        self
    }

    /// From the request, or the last packet of its body, to the head of the response. What
    /// comes before the head, such as a flush or an interim status, does not lengthen it; time
    /// in which the container waits for request body does not count.
    #[must_use]
    pub fn with_response_head(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.response_head = limit.into();
        self
    }

    /// From one packet of the container to the next. Tomcat neither ends nor closes an aborted
    /// response, so this is the only way to notice (protocol chapter
    /// [peers](crate::docs::protocol::peers)).
    #[must_use]
    pub fn with_between_packets(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.between_packets = limit.into();
        self
    }

    /// How long the caller may stay away from an exchange that could go on: from the head, or
    /// a frame of the body, to the next poll. Where the caller passes the response on, this
    /// cuts clients that take nothing at all. A task of the pool enforces it, so that it holds
    /// although nobody polls; that task looks once a second, or more often for short limits. It runs
    /// in one of the runtimes that use the pool. When that one is shut down the next request that
    /// begins, or waits for a connection, starts it anew, or [`maintain`](super::Pool::maintain) does.
    #[must_use]
    pub fn with_response_read(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.response_read = limit.into();
        self
    }

    /// The whole request, from the call that acquires a connection to the end of the
    /// response. Once an exchange has begun it holds whether anybody polls it or not, as
    /// [`with_response_read`](Self::with_response_read) does. Switch it off for responses without an end, such as server-sent events.
    #[must_use]
    pub fn with_request(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.request = limit.into();
        self
    }

    /// How long a connection may be waited for in all. `None` is no limit.
    #[must_use]
    pub fn acquire(&self) -> Option<Duration> {
        self.acquire
    }

    /// How long opening a connection may take. `None` is no limit.
    #[must_use]
    pub fn connect(&self) -> Option<Duration> {
        self.connect
    }

    /// How long `CPong` may take. `None` is no limit.
    #[must_use]
    pub fn cping(&self) -> Option<Duration> {
        self.cping
    }

    /// How long a write may make no progress. `None` is no limit.
    #[must_use]
    pub fn write(&self) -> Option<Duration> {
        self.write
    }

    /// How long the container may wait for the body of the request. `None` is no limit.
    #[must_use]
    pub fn request_body(&self) -> Option<Duration> {
        self.request_body
    }

    /// How long the head of the response may take. `None` is no limit.
    #[must_use]
    pub fn response_head(&self) -> Option<Duration> {
        self.response_head
    }

    /// How long it may take from one packet of the response to the next. `None` is no limit.
    #[must_use]
    pub fn between_packets(&self) -> Option<Duration> {
        self.between_packets
    }

    /// How long the response may stay unread. `None` is no limit.
    #[must_use]
    pub fn response_read(&self) -> Option<Duration> {
        self.response_read
    }

    /// How long the whole request may take. `None` is no limit.
    #[must_use]
    pub fn request(&self) -> Option<Duration> {
        self.request
    }
}

/// What one request has instead of the [`Timeouts`] of its pool: what is not set stays as it
/// is there.
///
/// [`Client::send`](super::Client::send) takes it from the extensions of the request,
/// [`Pool::acquire_with`](super::Pool::acquire_with) as a parameter.
///
/// ```
/// use ajp::client::RequestTimeouts;
/// use std::time::Duration;
/// let report = RequestTimeouts::new().with_response_head(Duration::from_secs(600)).with_request(None);
/// let request = http::Request::get("/report").extension(report);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RequestTimeouts {
    acquire: Own,
    connect: Own,
    cping: Own,
    write: Own,
    request_body: Own,
    response_head: Own,
    between_packets: Own,
    response_read: Own,
    request: Own,
    deadline: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Own {
    #[default]
    None,
    Limit(Option<Duration>),
}

impl Own {
    fn or(self, pool: Option<Duration>) -> Option<Duration> {
        match self {
            Self::None => pool,
            Self::Limit(limit) => limit,
        }
    }
}

impl RequestTimeouts {
    /// Nothing differs from the pool.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            acquire: Own::None,
            connect: Own::None,
            cping: Own::None,
            write: Own::None,
            request_body: Own::None,
            response_head: Own::None,
            between_packets: Own::None,
            response_read: Own::None,
            request: Own::None,
            deadline: None,
        }
    }

    /// See [`Timeouts::with_acquire`].
    #[must_use]
    pub fn with_acquire(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.acquire = Own::Limit(limit.into());
        self
    }

    /// See [`Timeouts::with_connect`].
    #[must_use]
    pub fn with_connect(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.connect = Own::Limit(limit.into());
        self
    }

    /// See [`Timeouts::with_cping`].
    #[must_use]
    pub fn with_cping(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.cping = Own::Limit(limit.into());
        self
    }

    /// See [`Timeouts::with_write`].
    #[must_use]
    pub fn with_write(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.write = Own::Limit(limit.into());
        self
    }

    /// See [`Timeouts::with_request_body`].
    #[must_use]
    pub fn with_request_body(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.request_body = Own::Limit(limit.into());
        self
    }

    /// See [`Timeouts::with_response_head`].
    #[must_use]
    pub fn with_response_head(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.response_head = Own::Limit(limit.into());
        self
    }

    /// See [`Timeouts::with_between_packets`].
    #[must_use]
    pub fn with_between_packets(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.between_packets = Own::Limit(limit.into());
        self
    }

    /// See [`Timeouts::with_response_read`].
    #[must_use]
    pub fn with_response_read(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.response_read = Own::Limit(limit.into());
        self
    }

    /// See [`Timeouts::with_request`].
    #[must_use]
    pub fn with_request(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.request = Own::Limit(limit.into());
        self
    }

    /// The request ends at this moment, whatever [`request`](Self::with_request) says. Unlike a
    /// duration it holds over all attempts when a request is sent again.
    #[must_use]
    pub fn with_deadline(mut self, at: impl Into<Option<Instant>>) -> Self {
        self.deadline = at.into();
        self
    }

    /// These over those of the pool; `None` when none is set.
    pub(super) fn over(&self, pool: &Timeouts) -> Option<Timeouts> {
        let own = Self {
            deadline: None,
            ..*self
        };
        (own != Self::new()).then(|| Timeouts {
            acquire: self.acquire.or(pool.acquire),
            connect: self.connect.or(pool.connect),
            cping: self.cping.or(pool.cping),
            write: self.write.or(pool.write),
            request_body: self.request_body.or(pool.request_body),
            response_head: self.response_head.or(pool.response_head),
            between_packets: self.between_packets.or(pool.between_packets),
            response_read: self.response_read.or(pool.response_read),
            request: self.request.or(pool.request),
        })
    }

    /// When a request that began at `start` must be over.
    pub(super) fn end(&self, start: Instant, limit: Option<Duration>) -> Option<Instant> {
        // A limit beyond what the clock can express is no limit.
        let own = limit.and_then(|limit| start.checked_add(limit));
        earlier(own, self.deadline)
    }
}

/// The earlier of two moments that need not exist.
pub(super) fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_is_not_set_stays_as_the_pool_has_it() {
        let pool = Timeouts::default();
        assert_eq!(RequestTimeouts::new().over(&pool), None);
        let late = RequestTimeouts::new().with_deadline(Instant::now());
        assert_eq!(late.over(&pool), None);
        let own = RequestTimeouts::new()
            .with_acquire(SECOND)
            .with_connect(SECOND)
            .with_cping(SECOND)
            .with_write(SECOND)
            .with_response_head(SECOND)
            .with_request_body(SECOND)
            .with_between_packets(None)
            .with_response_read(SECOND)
            .with_request(None)
            .over(&pool);
        let expected = Timeouts::default()
            .with_acquire(SECOND)
            .with_connect(SECOND)
            .with_cping(SECOND)
            .with_write(SECOND)
            .with_response_head(SECOND)
            .with_request_body(SECOND)
            .with_between_packets(None)
            .with_response_read(SECOND)
            .with_request(None);
        assert_eq!(own, Some(expected));
    }

    #[test]
    fn each_limit_is_the_one_that_was_set() {
        let timeouts = Timeouts::new()
            .with_acquire(SECOND)
            .with_connect(SECOND * 2)
            .with_cping(SECOND * 3)
            .with_write(SECOND * 4)
            .with_request_body(SECOND * 5)
            .with_response_head(SECOND * 6)
            .with_between_packets(SECOND * 7)
            .with_response_read(SECOND * 8)
            .with_request(SECOND * 9);
        let limits = [
            timeouts.acquire(),
            timeouts.connect(),
            timeouts.cping(),
            timeouts.write(),
            timeouts.request_body(),
            timeouts.response_head(),
            timeouts.between_packets(),
            timeouts.response_read(),
            timeouts.request(),
        ];
        let expected = [1, 2, 3, 4, 5, 6, 7, 8, 9].map(|n| Some(SECOND * n));
        assert_eq!(limits, expected);
        assert_eq!(timeouts.with_request(None).request(), None);
    }

    #[test]
    fn the_earlier_end_counts() {
        let now = Instant::now();
        let own = RequestTimeouts::new().with_deadline(now + SECOND);
        assert_eq!(own.end(now, Some(SECOND * 2)), Some(now + SECOND));
        assert_eq!(own.end(now, Some(SECOND / 2)), Some(now + SECOND / 2));
        assert_eq!(own.end(now, None), Some(now + SECOND));
        let none = RequestTimeouts::new();
        assert_eq!(none.end(now, None), None);
        assert_eq!(none.end(now, Some(Duration::MAX)), None);
    }
}
