//! The span of an exchange, for feature `tracing`; nothing without it. Never secrets,
//! cookies, queries or bodies: there is nothing of them in what is recorded.

use super::observer::ExchangeReport;

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
    pub(super) fn new(peer: &str, reused: bool) -> Self {
        use tracing::field::Empty;
        Self(tracing::debug_span!(
            "ajp.exchange",
            peer,
            reused,
            outcome = Empty,
            status = Empty,
            progress = Empty,
            acquire_us = Empty,
            connect_us = Empty,
            cping_us = Empty,
            write_us = Empty,
            first_packet_us = Empty,
            total_us = Empty,
            bytes_in = Empty,
            bytes_out = Empty,
        ))
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
        let micros =
            |time: std::time::Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let (span, phases) = (&self.0, &report.phases);
        span.record("outcome", report.outcome.label());
        span.record("status", report.status);
        span.record("progress", tracing::field::debug(report.progress));
        span.record("acquire_us", micros(phases.acquire));
        span.record("connect_us", phases.connect.map(micros));
        span.record("cping_us", phases.cping.map(micros));
        span.record("write_us", phases.write.map(micros));
        span.record("first_packet_us", phases.first_packet.map(micros));
        span.record("total_us", micros(phases.total));
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
    pub(super) fn new(_: &str, _: bool) -> Self {
        Self
    }

    pub(super) fn is_on(&self) -> bool {
        false
    }

    pub(super) fn run<T>(&self, step: impl FnOnce() -> T) -> T {
        step()
    }

    pub(super) fn end(&self, _: &ExchangeReport<'_>) {}
}
