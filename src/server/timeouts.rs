//! How long each step of a connection may take: the settings. `connection.rs` and `exchange.rs`
//! enforce them.

use std::time::Duration;

/// How long each step may take. `None` switches a limit off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerTimeouts {
    pub(crate) handshake: Option<Duration>,
    pub(super) first: Option<Duration>,
    pub(super) idle: Option<Duration>,
    pub(super) packet: Option<Duration>,
    pub(super) body: Option<Duration>,
    pub(super) write: Option<Duration>,
    pub(super) swallow: Option<Duration>,
    pub(super) last_call: Duration,
}

impl Default for ServerTimeouts {
    fn default() -> Self {
        let seconds = |n| Some(Duration::from_secs(n));
        Self {
            handshake: seconds(10),
            first: seconds(20),
            idle: seconds(60),
            packet: seconds(10),
            body: seconds(30),
            write: seconds(30),
            swallow: seconds(5),
            last_call: Duration::from_millis(250),
        }
    }
}

impl ServerTimeouts {
    /// The handshake of a new connection, with TLS for example
    /// ([`Accepted`](super::Accepted)). Default 10 s.
    #[must_use]
    pub fn with_handshake(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.handshake = limit.into();
        self
    }

    /// Waiting for the first byte of a new connection. Default 20 s; web servers open a
    /// connection when they have a request for it.
    #[must_use]
    pub fn with_first(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.first = limit.into();
        self
    }

    /// Waiting for the next request, as `keepAliveTimeout` of Tomcat. Default 60 s; keep
    /// it above the web server's idle limit.
    #[must_use]
    pub fn with_idle(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.idle = limit.into();
        self
    }

    /// From the first byte of a request to its last. Default 10 s.
    #[must_use]
    pub fn with_packet(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.packet = limit.into();
        self
    }

    /// Waiting for a body packet that the application wants; above it 408, if the response
    /// has not begun. Default 30 s.
    #[must_use]
    pub fn with_body(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.body = limit.into();
        self
    }

    /// A write that makes no progress. Default 30 s.
    #[must_use]
    pub fn with_write(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.write = limit.into();
        self
    }

    /// Waiting for the one body packet that is still owed after the response, before the
    /// connection is given up instead of reused. Default 5 s.
    #[must_use]
    pub fn with_swallow(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.swallow = limit.into();
        self
    }

    /// After the shutdown signal: how long an idle connection may still bring a request. It
    /// is served, with reuse 0. Default 250 ms.
    ///
    /// A request that was sent a moment before its connection closes is lost, and a POST is
    /// an error for its user. In this time a web server finds that nobody accepts new
    /// connections, and takes its requests elsewhere.
    #[must_use]
    pub fn with_last_call(mut self, limit: Duration) -> Self {
        self.last_call = limit;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_is_the_one_that_was_set() {
        let seconds = Duration::from_secs;
        let timeouts = ServerTimeouts::default()
            .with_handshake(seconds(1))
            .with_first(seconds(2))
            .with_idle(seconds(3))
            .with_packet(seconds(4))
            .with_body(seconds(5))
            .with_write(seconds(6))
            .with_swallow(seconds(7))
            .with_last_call(seconds(8));
        let expected = ServerTimeouts {
            handshake: Some(seconds(1)),
            first: Some(seconds(2)),
            idle: Some(seconds(3)),
            packet: Some(seconds(4)),
            body: Some(seconds(5)),
            write: Some(seconds(6)),
            swallow: Some(seconds(7)),
            last_call: seconds(8),
        };
        assert_eq!(timeouts, expected);
        assert_eq!(timeouts.with_idle(None).idle, None);
    }
}
