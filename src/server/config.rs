//! Settings of a container.

use super::trust::{AttributePolicy, Trust};
use crate::wire::{DecodeOptions, PacketSize};
use std::time::Duration;

/// How long each step may take. `None` switches a limit off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerTimeouts {
    pub(crate) idle: Option<Duration>,
    pub(crate) packet: Option<Duration>,
    pub(crate) body: Option<Duration>,
    pub(crate) write: Option<Duration>,
    pub(crate) swallow: Option<Duration>,
}

impl Default for ServerTimeouts {
    fn default() -> Self {
        let seconds = |n| Some(Duration::from_secs(n));
        Self {
            idle: seconds(60),
            packet: seconds(10),
            body: seconds(30),
            write: seconds(30),
            swallow: seconds(5),
        }
    }
}

impl ServerTimeouts {
    /// Waiting for the next request, as `keepAliveTimeout` of Tomcat. Default 60 s; keep
    /// it above the web server's idle limit.
    #[must_use]
    pub fn idle(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.idle = limit.into();
        self
    }

    /// From the first byte of a request to its last. Default 10 s.
    #[must_use]
    pub fn packet(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.packet = limit.into();
        self
    }

    /// Waiting for a body packet that the application wants. Default 30 s.
    #[must_use]
    pub fn body(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.body = limit.into();
        self
    }

    /// A write that makes no progress. Default 30 s.
    #[must_use]
    pub fn write(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.write = limit.into();
        self
    }

    /// Waiting for the one body packet that is still owed after the response, before the
    /// connection is given up instead of reused. Default 5 s.
    #[must_use]
    pub fn swallow(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.swallow = limit.into();
        self
    }
}

/// Settings of a container. There is no default: see [`Trust`].
///
/// ```
/// use ajp::Secret;
/// use ajp::server::{ServerConfig, Trust};
/// let config = ServerConfig::new(Trust::Secrets(vec![Secret::new("s3cr3t")?]));
/// # Ok::<(), ajp::InvalidSecret>(())
/// ```
#[derive(Debug, Clone)]
pub struct ServerConfig {
    pub(crate) trust: Trust,
    pub(crate) attributes: AttributePolicy,
    pub(crate) trust_remote_user: bool,
    pub(crate) packet_size: PacketSize,
    pub(crate) decode: DecodeOptions,
    pub(crate) timeouts: ServerTimeouts,
    pub(crate) max_body: Option<u64>,
    pub(crate) flush_when_pending: bool,
    pub(crate) high_water: usize,
}

impl ServerConfig {
    /// Default settings for requests that are believed for this reason.
    #[must_use]
    pub fn new(trust: Trust) -> Self {
        Self {
            trust,
            attributes: AttributePolicy::default(),
            trust_remote_user: false,
            packet_size: PacketSize::DEFAULT,
            decode: DecodeOptions::default(),
            timeouts: ServerTimeouts::default(),
            max_body: None,
            flush_when_pending: true,
            high_water: 65536,
        }
    }

    /// Which `req_attribute` names are accepted.
    #[must_use]
    pub fn attributes(mut self, policy: AttributePolicy) -> Self {
        self.attributes = policy;
        self
    }

    /// Whether the application may take `remote_user` for authenticated, as
    /// `tomcatAuthentication="false"` says in Tomcat. Default off.
    #[must_use]
    pub fn trust_remote_user(mut self, on: bool) -> Self {
        self.trust_remote_user = on;
        self
    }

    /// Packet size of both directions; must be the web server's. Default 8192.
    #[must_use]
    pub fn packet_size(mut self, size: PacketSize) -> Self {
        self.packet_size = size;
        self
    }

    /// What is accepted beyond the strict rules, and the limit of headers.
    #[must_use]
    pub fn decode_options(mut self, options: DecodeOptions) -> Self {
        self.decode = options;
        self
    }

    /// The limits of each step.
    #[must_use]
    pub fn timeouts(mut self, timeouts: ServerTimeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// Largest request body in bytes: above it 413 when announced, an error of the body
    /// when not. Default no limit; axum has its own.
    #[must_use]
    pub fn max_body(mut self, bytes: impl Into<Option<u64>>) -> Self {
        self.max_body = bytes.into();
        self
    }

    /// Response bytes waiting to be written from which on the response body is not asked
    /// for more. Default 65536.
    #[must_use]
    pub fn high_water(mut self, bytes: usize) -> Self {
        self.high_water = bytes;
        self
    }

    /// Whether to send a flush packet when a response body has nothing ready, so that the
    /// web server passes on what it has (server-sent events). Default on.
    #[must_use]
    pub fn flush_when_pending(mut self, on: bool) -> Self {
        self.flush_when_pending = on;
        self
    }
}
