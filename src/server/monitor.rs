//! What a server counts.

use super::error::{ServerError, Step};
use super::refusal::Refusal;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The counters of a server. Cloning gives another handle to the same counters; give it to
/// [`ServerConfig::with_monitor`](super::ServerConfig::with_monitor) and keep one.
///
/// ```
/// use ajp::server::{Monitor, ServerConfig, Trust};
/// let monitor = Monitor::new();
/// let config = ServerConfig::new(Trust::TrustedNetwork).with_monitor(&monitor);
/// // ... serve(listener, app).with_config(config) ...
/// assert_eq!(monitor.stats().requests, 0);
/// # let _ = config;
/// ```
#[derive(Clone, Default)]
pub struct Monitor(Arc<Counters>);

#[derive(Default)]
struct Counters {
    accepted: AtomicU64,
    open: AtomicUsize,
    running: AtomicUsize,
    requests: AtomicU64,
    cpings: AtomicU64,
    malformed: AtomicU64,
    refusals: RefusalCounters,
    over_limit: AtomicU64,
    other_protocol: AtomicU64,
    failed_handshakes: AtomicU64,
    failed: AtomicU64,
    errors: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
}

#[derive(Default)]
struct RefusalCounters {
    peer: AtomicU64,
    secret: AtomicU64,
    attribute: AtomicU64,
    host: AtomicU64,
    target: AtomicU64,
    body_too_large: AtomicU64,
    overload: AtomicU64,
}

impl RefusalCounters {
    fn count(&self, refusal: &Refusal) {
        let counter = match refusal {
            Refusal::Peer => &self.peer,
            Refusal::Secret => &self.secret,
            Refusal::Attribute(_) => &self.attribute,
            Refusal::Host => &self.host,
            Refusal::Target => &self.target,
            Refusal::BodyTooLarge => &self.body_too_large,
            Refusal::Overload => &self.overload,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// How often each rule of a server refused something; one number for each [`Refusal`]. All
/// of them only grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Refusals {
    /// Connections closed because their peer may not connect.
    pub peer: u64,
    /// Requests without the secret, or with a wrong one.
    pub secret: u64,
    /// Requests with an attribute that is not accepted.
    pub attribute: u64,
    /// Requests with a Host header that cannot be used.
    pub host: u64,
    /// Requests whose target cannot be expressed as a URI.
    pub target: u64,
    /// Requests that announced a body longer than allowed.
    pub body_too_large: u64,
    /// Requests on connections beyond the limit.
    pub overload: u64,
}

/// Numbers of a server at one moment. Those of type `u64` only grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ServerStats {
    /// Connections taken in so far.
    pub accepted: u64,
    /// Connections open now, idle ones included.
    pub open: usize,
    /// Exchanges running now.
    pub running: usize,
    /// Requests handed to the application.
    pub requests: u64,
    /// Probes answered.
    pub cpings: u64,
    /// Requests answered with 400 because they are malformed.
    pub malformed: u64,
    /// Connections and well-formed requests that were refused, by rule.
    pub refusals: Refusals,
    /// Connections beyond [`max_connections`](super::ServerConfig::with_max_connections).
    pub over_limit: u64,
    /// Connections of peers that do not speak AJP, such as browsers.
    pub other_protocol: u64,
    /// Connections whose handshake failed or took too long, with TLS for example. They are
    /// counted nowhere else but under `errors`.
    pub failed_handshakes: u64,
    /// Requests that the application failed to answer completely: errors, panics, heads
    /// that do not fit, bodies that break off.
    pub failed: u64,
    /// Connections that ended with an error, whatever it was.
    pub errors: u64,
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes sent.
    pub bytes_out: u64,
}

impl Monitor {
    /// Counters at zero.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The numbers now. Each is right; between two of them something may have happened.
    #[must_use]
    pub fn stats(&self) -> ServerStats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let c = &*self.0;
        ServerStats {
            accepted: get(&c.accepted),
            open: c.open.load(Ordering::Relaxed),
            running: c.running.load(Ordering::Relaxed),
            requests: get(&c.requests),
            cpings: get(&c.cpings),
            malformed: get(&c.malformed),
            refusals: Refusals {
                peer: get(&c.refusals.peer),
                secret: get(&c.refusals.secret),
                attribute: get(&c.refusals.attribute),
                host: get(&c.refusals.host),
                target: get(&c.refusals.target),
                body_too_large: get(&c.refusals.body_too_large),
                overload: get(&c.refusals.overload),
            },
            over_limit: get(&c.over_limit),
            other_protocol: get(&c.other_protocol),
            failed_handshakes: get(&c.failed_handshakes),
            failed: get(&c.failed),
            errors: get(&c.errors),
            bytes_in: get(&c.bytes_in),
            bytes_out: get(&c.bytes_out),
        }
    }
}

impl Monitor {
    pub(crate) fn refused(&self, refusal: &Refusal) {
        self.0.refusals.count(refusal);
    }

    pub(crate) fn over_limit(&self) {
        self.0.over_limit.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection ended with this error.
    pub(crate) fn ended(&self, error: &ServerError) {
        self.0.errors.fetch_add(1, Ordering::Relaxed);
        let kind = match error {
            ServerError::OtherProtocol(_) => &self.0.other_protocol,
            ServerError::Handshake(_) | ServerError::Timeout(Step::Handshake) => {
                &self.0.failed_handshakes
            }
            error if error.is_applications() => &self.0.failed,
            _ => return,
        };
        kind.fetch_add(1, Ordering::Relaxed);
    }
}

/// One connection's share in the counters.
#[derive(Debug)]
pub(super) struct Meter {
    monitor: Monitor,
    running: bool,
    /// What of the connection's bytes was counted.
    seen: (u64, u64),
}

impl Meter {
    /// A connection was taken in; it is open until this is dropped.
    pub(super) fn new(monitor: &Monitor) -> Self {
        monitor.0.accepted.fetch_add(1, Ordering::Relaxed);
        monitor.0.open.fetch_add(1, Ordering::Relaxed);
        Self {
            monitor: monitor.clone(),
            running: false,
            seen: (0, 0),
        }
    }

    pub(super) fn exchange_begins(&mut self) {
        self.exchange_ends();
        self.running = true;
        self.monitor.0.requests.fetch_add(1, Ordering::Relaxed);
        self.monitor.0.running.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn exchange_ends(&mut self) {
        if std::mem::take(&mut self.running) {
            self.monitor.0.running.fetch_sub(1, Ordering::Relaxed);
        }
    }

    pub(super) fn cping(&self) {
        self.monitor.0.cpings.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn malformed(&self) {
        self.monitor.0.malformed.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn refused(&self, refusal: &Refusal) {
        self.monitor.refused(refusal);
    }

    /// Takes what the connection has received and sent so far.
    pub(super) fn traffic(&mut self, now: (u64, u64)) {
        let grown = (now.0 - self.seen.0, now.1 - self.seen.1);
        self.seen = now;
        if grown.0 > 0 {
            self.monitor
                .0
                .bytes_in
                .fetch_add(grown.0, Ordering::Relaxed);
        }
        if grown.1 > 0 {
            self.monitor
                .0
                .bytes_out
                .fetch_add(grown.1, Ordering::Relaxed);
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.exchange_ends();
        self.monitor.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Monitor").field(&self.stats()).finish()
    }
}
