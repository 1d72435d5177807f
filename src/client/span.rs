//! The span of an exchange, for feature `tracing`; nothing without it. Never secrets,
//! cookies, queries or bodies: there is nothing of them in what is recorded.

use super::observer::{ExchangeReport, PoolId};
use super::request_id::RequestId;
#[cfg(feature = "tracing")]
use std::time::Duration;

#[cfg(feature = "tracing")]
#[derive(Debug)]
pub(super) struct ExchangeSpan(tracing::Span);

#[cfg(feature = "tracing")]
impl Default for ExchangeSpan {
    /// No span.
    fn default() -> Self {
        Self(tracing::Span::none())
    }
}

#[cfg(feature = "tracing")]
impl ExchangeSpan {
    pub(super) fn new(pool: &PoolId, reused: bool) -> Self {
        use tracing::field::Empty;
        Self(tracing::debug_span!(
            "ajp.exchange",
            pool = pool.name(),
            peer = pool.peer(),
            reused,
            request_id = Empty,
            outcome = Empty,
            status = Empty,
            mismatch = Empty,
            progress = Empty,
            acquire_us = Empty,
            connect_us = Empty,
            cping_us = Empty,
            write_us = Empty,
            first_packet_us = Empty,
            body_us = Empty,
            total_us = Empty,
            bytes_in = Empty,
            bytes_out = Empty,
        ))
    }

    pub(super) fn name(&self, id: &RequestId) {
        self.0.record("request_id", id.as_str());
    }

    /// Whether anybody looks at it.
    pub(super) fn is_on(&self) -> bool {
        !self.0.is_disabled()
    }

    /// Runs a step of the exchange inside the span.
    pub(super) fn run<T>(&self, step: impl FnOnce() -> T) -> T {
        self.0.in_scope(step)
    }

    pub(super) fn end(&self, report: &ExchangeReport<'_>) {
        let (span, phases) = (&self.0, &report.phases);
        let phase = |name: &'static str, time: Option<Duration>| {
            if let Some(time) = time {
                span.record(name, u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
            }
        };
        span.record("outcome", report.outcome.label());
        if let Some(status) = report.status {
            span.record("status", status);
        }
        if let Some(mismatch) = report.mismatch {
            span.record("mismatch", mismatch.label());
        }
        span.record("progress", tracing::field::debug(report.progress));
        phase("acquire_us", Some(phases.acquire));
        phase("connect_us", phases.connect);
        phase("cping_us", phases.cping);
        phase("write_us", phases.write);
        phase("first_packet_us", phases.first_packet);
        phase("body_us", phases.body);
        phase("total_us", Some(phases.total));
        span.record("bytes_in", report.bytes_in);
        span.record("bytes_out", report.bytes_out);
    }
}

#[cfg(not(feature = "tracing"))]
#[derive(Debug, Default)]
pub(super) struct ExchangeSpan;

#[cfg(not(feature = "tracing"))]
#[allow(clippy::unused_self, reason = "as with the feature")]
impl ExchangeSpan {
    pub(super) fn new(_: &PoolId, _: bool) -> Self {
        Self
    }

    pub(super) fn name(&self, _: &RequestId) {}

    pub(super) fn is_on(&self) -> bool {
        false
    }

    pub(super) fn run<T>(&self, step: impl FnOnce() -> T) -> T {
        step()
    }

    pub(super) fn end(&self, _: &ExchangeReport<'_>) {}
}
