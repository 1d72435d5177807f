//! Numbers for the `metrics` facade, and so for any exporter of it (feature `metrics`).
//!
//! What happens at a moment is told by an [`Observer`]: give
//! [`MetricsObserver`] to each pool. What is counted all the time is read by whoever exports,
//! as often as numbers are wanted:
//!
//! | | numbers |
//! |---|---|
//! | `MetricsObserver` | histograms of the phases of exchanges, of connects, waits and `CPing` |
//! | `record_pool` | connections of a pool; exchanges, closes and errors by kind |
//! | `record_balancer` | requests, sessions, state and latency of each member |
//! | `record_server` | connections, requests and refusals of a server |
//!
//! Names begin with `ajp_`, times are in seconds, sums end in `_total`. Each series is labelled
//! with the name of the pool, balancer or server that it is of: give them different ones.
//!
//! ```
//! # #[cfg(feature = "client")]
//! # {
//! use ajp::client::{Address, Pool, PoolConfig};
//! use ajp::metrics::{MetricsObserver, record_pool};
//!
//! let config = PoolConfig::default().with_name("shop").with_observer(MetricsObserver);
//! let pool = Pool::new(Address::tcp("tomcat.internal", 8009), config);
//! // Whenever the exporter is asked:
//! record_pool(&pool.stats());
//! # }
//! ```

#[cfg(feature = "balancer")]
use crate::balancer::{BalancerSnapshot, MemberSnapshot, MemberState};
#[cfg(feature = "client")]
use crate::client::{
    CloseCause, ConnectionReport, ErrorKind, ExchangeReport, Observer, PoolId, PoolStats,
};
#[cfg(feature = "server")]
use crate::server::ServerStats;
use metrics::SharedString;
#[cfg(feature = "client")]
use metrics::histogram;
#[cfg(any(feature = "client", feature = "server"))]
use metrics::{counter, gauge};
#[cfg(feature = "client")]
use std::time::Duration;

/// An [`Observer`] that tells the recorder of the `metrics` crate how long everything takes.
///
/// | histogram | labels |
/// |---|---|
/// | `ajp_client_phase_seconds` | `pool`, `phase`: `acquire`, `connect`, `cping`, `write`, `first_packet`, `body`, `total` |
/// | `ajp_client_connect_seconds` | `pool` |
/// | `ajp_client_acquire_seconds` | `pool`, `outcome`: `reused`, `new`, or the kind of the error |
/// | `ajp_client_cping_seconds` | `pool`, `outcome`: `answered`, or the kind of the error |
/// | `ajp_client_connection_age_seconds` | `pool`, `cause` |
///
/// The counter `ajp_client_exchanges_total` has the labels `pool`, `outcome` and `status`, the
/// first digit of the response's status followed by `xx`, or `none`.
#[cfg(feature = "client")]
#[derive(Debug, Clone, Copy, Default)]
pub struct MetricsObserver;

#[cfg(feature = "client")]
impl Observer for MetricsObserver {
    fn connection_opened(&self, pool: &PoolId, took: Duration) {
        histogram!("ajp_client_connect_seconds", "pool" => pool.shared_name()).record(took);
    }

    fn connection_closed(&self, pool: &PoolId, report: &ConnectionReport) {
        let cause = report.cause.label();
        histogram!("ajp_client_connection_age_seconds", "pool" => pool.shared_name(), "cause" => cause)
            .record(report.age);
    }

    fn acquired(&self, pool: &PoolId, waited: Duration, reused: bool) {
        let outcome = if reused { "reused" } else { "new" };
        histogram!("ajp_client_acquire_seconds", "pool" => pool.shared_name(), "outcome" => outcome)
            .record(waited);
    }

    fn acquire_failed(&self, pool: &PoolId, took: Duration, error: ErrorKind) {
        let outcome = error.label();
        histogram!("ajp_client_acquire_seconds", "pool" => pool.shared_name(), "outcome" => outcome)
            .record(took);
    }

    fn cping(&self, pool: &PoolId, round_trip: Duration) {
        histogram!("ajp_client_cping_seconds", "pool" => pool.shared_name(), "outcome" => "answered")
            .record(round_trip);
    }

    fn cping_failed(&self, pool: &PoolId, took: Duration, error: ErrorKind) {
        let outcome = error.label();
        histogram!("ajp_client_cping_seconds", "pool" => pool.shared_name(), "outcome" => outcome)
            .record(took);
    }

    fn exchange_finished(&self, report: &ExchangeReport<'_>) {
        let pool = report.pool;
        let status = match report.status.map(|status| status / 100) {
            Some(1) => "1xx",
            Some(2) => "2xx",
            Some(3) => "3xx",
            Some(4) => "4xx",
            Some(_) => "5xx",
            None => "none",
        };
        let outcome = report.outcome.label();
        counter!("ajp_client_exchanges_total", "pool" => pool.shared_name(), "outcome" => outcome, "status" => status)
            .increment(1);
        let phases = &report.phases;
        for (phase, took) in [
            ("acquire", Some(phases.acquire)),
            ("connect", phases.connect),
            ("cping", phases.cping),
            ("write", phases.write),
            ("first_packet", phases.first_packet),
            ("body", phases.body),
            ("total", Some(phases.total)),
        ] {
            if let Some(took) = took {
                histogram!("ajp_client_phase_seconds", "pool" => pool.shared_name(), "phase" => phase)
                    .record(took);
            }
        }
    }
}

/// Records the numbers of a pool: the gauges `ajp_pool_connections` (label `state`: `in_use`,
/// `idle`), `ajp_pool_max_connections` and `ajp_pool_waiting`, the counters
/// `ajp_pool_created_total`, `ajp_pool_reused_total`, `ajp_pool_closed_total` (label `cause`),
/// `ajp_pool_completed_total`, `ajp_pool_failed_total` (label `kind`) and
/// `ajp_pool_bytes_total` (label `direction`), all with the label `pool`.
#[cfg(feature = "client")]
pub fn record_pool(stats: &PoolStats) {
    let pool = || SharedString::from(std::sync::Arc::clone(&stats.name));
    for (state, count) in [("in_use", stats.in_use), ("idle", stats.idle)] {
        gauge!("ajp_pool_connections", "pool" => pool(), "state" => state).set(float(count));
    }
    gauge!("ajp_pool_max_connections", "pool" => pool()).set(float(stats.max_connections));
    gauge!("ajp_pool_waiting", "pool" => pool()).set(float(stats.waiting));
    counter!("ajp_pool_created_total", "pool" => pool()).absolute(stats.created);
    counter!("ajp_pool_reused_total", "pool" => pool()).absolute(stats.reused);
    counter!("ajp_pool_completed_total", "pool" => pool()).absolute(stats.completed);
    for &cause in CloseCause::ALL {
        let count = stats.closed_by(cause);
        if count > 0 {
            counter!("ajp_pool_closed_total", "pool" => pool(), "cause" => cause.label())
                .absolute(count);
        }
    }
    for &kind in ErrorKind::ALL {
        let count = stats.failed_with(kind);
        if count > 0 {
            counter!("ajp_pool_failed_total", "pool" => pool(), "kind" => kind.label())
                .absolute(count);
        }
    }
    for (direction, bytes) in [("in", stats.bytes_in), ("out", stats.bytes_out)] {
        counter!("ajp_pool_bytes_total", "pool" => pool(), "direction" => direction)
            .absolute(bytes);
    }
}

/// Records the numbers of a balancer: counters and gauges `ajp_balancer_*` with the label
/// `balancer`, and `ajp_member_*` with the label `member` beside it. The gauge
/// `ajp_member_state` is 1 for the state that its label `state` names.
///
/// Counters of recorders do not fall: after
/// [`Balancer::reset_counters`](crate::balancer::Balancer::reset_counters) the series stand
/// still until the numbers are larger than they were before.
#[cfg(feature = "balancer")]
pub fn record_balancer(snapshot: &BalancerSnapshot) {
    let name: SharedString = snapshot.name.clone().into();
    for (what, count) in [
        ("unknown", snapshot.unknown_routes),
        ("moved", snapshot.moved_sessions),
        ("refused", snapshot.refused_sessions),
        ("lost", snapshot.lost_sessions),
    ] {
        counter!("ajp_balancer_sessions_total", "balancer" => name.clone(), "what" => what)
            .absolute(count);
    }
    for (reason, count) in [
        ("full", snapshot.refused_full),
        ("down", snapshot.refused_down),
    ] {
        counter!("ajp_balancer_refused_total", "balancer" => name.clone(), "reason" => reason)
            .absolute(count);
    }
    counter!("ajp_balancer_forced_recoveries_total", "balancer" => name.clone())
        .absolute(snapshot.forced_recoveries);
    counter!("ajp_balancer_repeated_total", "balancer" => name.clone()).absolute(snapshot.repeated);
    counter!("ajp_balancer_not_repeated_total", "balancer" => name.clone())
        .absolute(snapshot.not_repeated);
    for member in &snapshot.members {
        record_member(&name, member);
    }
}

#[cfg(feature = "balancer")]
fn record_member(balancer: &SharedString, member: &MemberSnapshot) {
    let name: SharedString = member.name.clone().into();
    let labels = |more: &[(&'static str, &'static str)]| {
        let own = [
            metrics::Label::new("balancer", balancer.clone()),
            metrics::Label::new("member", name.clone()),
        ];
        let more = more
            .iter()
            .map(|&(key, value)| metrics::Label::new(key, value));
        own.into_iter().chain(more).collect::<Vec<_>>()
    };
    for (what, count) in [
        ("answered", member.answered),
        ("failed", member.failed),
        ("timed_out", member.timed_out),
        ("full", member.full),
    ] {
        counter!("ajp_member_requests_total", labels(&[("outcome", what)])).absolute(count);
    }
    counter!("ajp_member_elected_total", labels(&[])).absolute(member.elected);
    for (what, count) in [
        ("new", member.new_sessions),
        ("own", member.own_sessions),
        ("lost", member.lost_sessions),
    ] {
        counter!("ajp_member_sessions_total", labels(&[("what", what)])).absolute(count);
    }
    for (class, count) in ["1xx", "2xx", "3xx", "4xx", "5xx"]
        .into_iter()
        .zip(member.statuses)
    {
        counter!("ajp_member_responses_total", labels(&[("status", class)])).absolute(count);
    }
    for (direction, bytes) in [("in", member.received_bytes), ("out", member.sent_bytes)] {
        counter!(
            "ajp_member_body_bytes_total",
            labels(&[("direction", direction)])
        )
        .absolute(bytes);
    }
    gauge!("ajp_member_busy", labels(&[])).set(member.busy);
    if let Some(limit) = member.adaptive_limit {
        gauge!("ajp_member_adaptive_limit", labels(&[])).set(limit);
        let in_flight = member.adaptive_in_flight.unwrap_or(0);
        gauge!("ajp_member_adaptive_in_flight", labels(&[])).set(in_flight);
        counter!("ajp_member_adaptive_refused_total", labels(&[]))
            .absolute(member.adaptive_refused);
    }
    for (state, label) in [
        (MemberState::Ok, "ok"),
        (MemberState::Full, "full"),
        (MemberState::Error, "error"),
        (MemberState::Due, "due"),
        (MemberState::Trial, "trial"),
        (MemberState::Unhealthy, "unhealthy"),
        (MemberState::Leaving, "leaving"),
    ] {
        let is = if member.state == state { 1.0 } else { 0.0 };
        gauge!("ajp_member_state", labels(&[("state", label)])).set(is);
    }
    let latency = &member.latency;
    for (quantile, time) in [
        ("0.5", latency.p50),
        ("0.9", latency.p90),
        ("0.99", latency.p99),
    ] {
        gauge!(
            "ajp_member_latency_seconds",
            labels(&[("quantile", quantile)])
        )
        .set(time);
    }
}

/// Records the numbers of a server under the label `server`: the gauges
/// `ajp_server_connections` and `ajp_server_running`, and counters, of which
/// `ajp_server_refused_total` has the label `rule`: one of the fields of
/// [`Refusals`](crate::server::Refusals).
#[cfg(feature = "server")]
pub fn record_server(name: impl Into<SharedString>, stats: &ServerStats) {
    let name = name.into();
    gauge!("ajp_server_connections", "server" => name.clone()).set(float(stats.open));
    gauge!("ajp_server_running", "server" => name.clone()).set(float(stats.running));
    let refusals = &stats.refusals;
    for (rule, count) in [
        ("peer", refusals.peer),
        ("secret", refusals.secret),
        ("attribute", refusals.attribute),
        ("host", refusals.host),
        ("target", refusals.target),
        ("body_too_large", refusals.body_too_large),
        ("overload", refusals.overload),
    ] {
        counter!("ajp_server_refused_total", "server" => name.clone(), "rule" => rule)
            .absolute(count);
    }
    for (metric, count) in [
        ("ajp_server_accepted_total", stats.accepted),
        ("ajp_server_requests_total", stats.requests),
        ("ajp_server_cpings_total", stats.cpings),
        ("ajp_server_malformed_total", stats.malformed),
        ("ajp_server_over_limit_total", stats.over_limit),
        ("ajp_server_other_protocol_total", stats.other_protocol),
        (
            "ajp_server_failed_handshakes_total",
            stats.failed_handshakes,
        ),
        ("ajp_server_failed_total", stats.failed),
        ("ajp_server_errors_total", stats.errors),
    ] {
        counter!(metric, "server" => name.clone()).absolute(count);
    }
    for (direction, bytes) in [("in", stats.bytes_in), ("out", stats.bytes_out)] {
        counter!("ajp_server_bytes_total", "server" => name.clone(), "direction" => direction)
            .absolute(bytes);
    }
}

/// A count as a number of the facade: it is nowhere near where that has gaps.
#[cfg(any(feature = "client", feature = "server"))]
fn float(count: usize) -> f64 {
    u32::try_from(count).unwrap_or(u32::MAX).into()
}
