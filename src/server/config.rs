//! Settings of a container.

use super::attributes::AttributePolicy;
use super::monitor::Monitor;
use super::timeouts::ServerTimeouts;
use super::trust::Trust;
use crate::wire::{DecodeOptions, PacketSize};

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
    pub(crate) max_requests: Option<u64>,
    pub(crate) max_connections: usize,
    pub(crate) monitor: Monitor,
    pub(crate) flush_when_pending: bool,
    pub(crate) high_water: usize,
    pub(crate) body_requests: u16,
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
            max_requests: Some(10_000),
            max_connections: 8192,
            monitor: Monitor::new(),
            flush_when_pending: true,
            high_water: 65536,
            body_requests: 1,
        }
    }

    /// Which `req_attribute` names are accepted.
    #[must_use]
    pub fn with_attributes(mut self, policy: AttributePolicy) -> Self {
        self.attributes = policy;
        self
    }

    /// Whether the application may take `remote_user` for authenticated, as
    /// `tomcatAuthentication="false"` says in Tomcat. Default off.
    #[must_use]
    pub fn with_trust_remote_user(mut self, on: bool) -> Self {
        self.trust_remote_user = on;
        self
    }

    /// Packet size of both directions; must be the web server's. Default 8192.
    #[must_use]
    pub fn with_packet_size(mut self, size: PacketSize) -> Self {
        self.packet_size = size;
        self
    }

    /// What is accepted beyond the strict rules, and the limit of headers.
    #[must_use]
    pub fn with_decode_options(mut self, options: DecodeOptions) -> Self {
        self.decode = options;
        self
    }

    /// The limits of each step.
    #[must_use]
    pub fn with_timeouts(mut self, timeouts: ServerTimeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// Largest request body in bytes: above it 413 when announced, an error of the body
    /// ([`RequestBodyError::is_too_large`](super::RequestBodyError::is_too_large)) when not, which
    /// the application answers. Default no limit; axum has its own.
    #[must_use]
    pub fn with_max_body(mut self, bytes: impl Into<Option<u64>>) -> Self {
        self.max_body = bytes.into();
        self
    }

    /// Requests on one connection, after which it ends with reuse 0. Default 10 000.
    #[must_use]
    pub fn with_max_requests(mut self, count: impl Into<Option<u64>>) -> Self {
        self.max_requests = count.into();
        self
    }

    /// Connections that [`serve`](super::serve) serves at the same time, idle ones included.
    /// A few more are answered with 503 and no CPong, so that a balancer goes elsewhere at
    /// once; what comes beyond those is closed. Default 8192, as in Tomcat.
    #[must_use]
    pub fn with_max_connections(mut self, count: usize) -> Self {
        self.max_connections = count;
        self
    }

    /// Where connections, requests and bytes are counted. Default a monitor of its own;
    /// several servers may share one.
    #[must_use]
    pub fn with_monitor(mut self, monitor: &Monitor) -> Self {
        self.monitor = monitor.clone();
        self
    }

    /// Response bytes waiting to be written from which on the response body is not asked
    /// for more. Default 65536.
    #[must_use]
    pub fn with_high_water(mut self, bytes: usize) -> Self {
        self.high_water = bytes;
        self
    }

    /// Request body packets that are asked for before the first of them is there, at least 1.
    /// They are buffered until the application reads them. Default 1, as the protocol has it:
    /// then an upload has one packet per round trip.
    ///
    /// More make uploads several times as fast ([`docs::packet_size`](crate::docs::packet_size)
    /// has figures). httpd, mod_jk and this crate's client
    /// ([`PoolConfig::with_body_requests`](../client/struct.PoolConfig.html#method.with_body_requests))
    /// answer all of them; try it with any other web server before you rely on it. Bodies of
    /// unknown length are asked for one packet at a time all the same. When the application
    /// answers without having read the body, what was asked for is read and dropped
    /// ([`ServerTimeouts::with_swallow`]).
    #[must_use]
    pub fn with_body_requests(mut self, packets: u16) -> Self {
        self.body_requests = packets.max(1);
        self
    }

    /// Whether to send a flush packet when a response body has nothing ready, so that the
    /// web server passes on what it has (server-sent events). Default on.
    #[must_use]
    pub fn with_flush_when_pending(mut self, on: bool) -> Self {
        self.flush_when_pending = on;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn each_setting_is_the_one_that_was_set() {
        let decode = DecodeOptions::default().with_absolute_uri(true);
        let timeouts = ServerTimeouts::default().with_idle(Duration::from_secs(3));
        let config = ServerConfig::new(Trust::TrustedNetwork)
            .with_trust_remote_user(true)
            .with_packet_size(PacketSize::MAX)
            .with_decode_options(decode)
            .with_timeouts(timeouts)
            .with_max_body(4)
            .with_max_requests(5)
            .with_max_connections(6)
            .with_high_water(7)
            .with_flush_when_pending(false)
            .with_body_requests(8);
        assert!(config.trust_remote_user && !config.flush_when_pending);
        assert_eq!(config.packet_size, PacketSize::MAX);
        assert_eq!((config.decode, config.timeouts), (decode, timeouts));
        assert_eq!((config.max_body, config.max_requests), (Some(4), Some(5)));
        assert_eq!((config.max_connections, config.high_water), (6, 7));
        assert_eq!(config.body_requests, 8);
        assert_eq!(config.with_body_requests(0).body_requests, 1);
    }
}
