//! Numbers of the pools of connections to members.

use super::super::pool_numbers::timeouts;
use super::Measured;
use super::members::labels;
use super::write::{Families, Labels};
use ajp::client::{CloseCause, ErrorKind, Mismatch, PoolStats};
use std::fmt;

type Count = fn(&PoolStats) -> u64;
type Gauge = fn(&PoolStats) -> Option<f64>;

const COUNTERS: [(&str, &str, Count); 7] = [
    ("ajp_pool_created", "Connections opened.", |pool| {
        pool.created
    }),
    (
        "ajp_pool_reused",
        "Exchanges over a connection that was idle.",
        |pool| pool.reused,
    ),
    ("ajp_pool_closed", "Connections closed.", |pool| pool.closed),
    (
        "ajp_pool_completed",
        "Exchanges whose response came to its end.",
        |pool| pool.completed,
    ),
    (
        "ajp_pool_received_bytes",
        "Bytes received, of all packets.",
        |pool| pool.bytes_in,
    ),
    (
        "ajp_pool_sent_bytes",
        "Bytes sent, of all packets.",
        |pool| pool.bytes_out,
    ),
    (
        "ajp_pool_secret_changes",
        "Times that the container took another one of several secrets.",
        |pool| pool.secret_changes,
    ),
];

const GAUGES: [(&str, &str, Gauge); 8] = [
    (
        "ajp_pool_max_connections",
        "Most connections at a time.",
        |pool| number(pool.max_connections),
    ),
    (
        "ajp_pool_waiting",
        "Requests that wait for a connection.",
        |pool| number(pool.waiting),
    ),
    (
        "ajp_pool_largest_packet_received_bytes",
        "Longest packet received, its header included.",
        |pool| number(pool.largest_in),
    ),
    (
        "ajp_pool_largest_packet_sent_bytes",
        "Longest packet sent, its header included.",
        |pool| number(pool.largest_out),
    ),
    (
        "ajp_pool_cping_seconds",
        "Moving average of the round trips of CPing.",
        |pool| pool.cping_average.map(|time| time.as_secs_f64()),
    ),
    (
        "ajp_pool_cping_last_seconds",
        "Round trip of the last CPing that was answered.",
        |pool| pool.cping_last.map(|time| time.as_secs_f64()),
    ),
    (
        "ajp_pool_keep_alive_learned_seconds",
        "The container's keepAliveTimeout as its closes tell.",
        |pool| pool.keep_alive_learned.map(|time| time.as_secs_f64()),
    ),
    (
        "ajp_pool_secret_in_use",
        "Which of several secrets the container takes: 0 the first of secret_file, the new one.",
        |pool| pool.secret_in_use.and_then(number),
    ),
];

fn number(number: usize) -> Option<f64> {
    u32::try_from(number).ok().map(f64::from)
}

/// A pool with the labels of its member.
type Named<'a> = (Labels<'a>, &'a PoolStats);

pub(super) fn write(families: &mut Families<'_>, balancers: &[Measured]) -> fmt::Result {
    let pools: Vec<Named<'_>> = balancers
        .iter()
        .flat_map(|measured| {
            let balancer = &measured.balancer;
            let members = balancer.members.iter().zip(&measured.members);
            members.filter_map(|(member, more)| {
                Some((labels(&(&*balancer.name, member)), more.pool.as_ref()?))
            })
        })
        .collect();
    for (name, help, read) in COUNTERS {
        let samples = pools
            .iter()
            .map(|(labels, pool)| (labels.clone(), read(pool)));
        families.counter(name, help, samples)?;
    }
    for (name, help, read) in GAUGES {
        let samples = pools.iter();
        let samples = samples.filter_map(|(labels, pool)| Some((labels.clone(), read(pool)?)));
        families.gauge(name, help, samples)?;
    }
    let connections = pools.iter().flat_map(|(labels, pool)| {
        [("in_use", pool.in_use), ("idle", pool.idle)].map(|(state, count)| {
            (
                with(labels, "state", state),
                number(count).unwrap_or(f64::INFINITY),
            )
        })
    });
    families.gauge(
        "ajp_pool_connections",
        "Connections by what they do.",
        connections,
    )?;
    by_kind(families, &pools)
}

/// What has kinds: closes, failures, limits, settings that differ. All kinds are there from
/// the beginning, so that a rate can be taken of the first one.
fn by_kind(families: &mut Families<'_>, pools: &[Named<'_>]) -> fmt::Result {
    let closes = pools.iter().flat_map(|(labels, pool)| {
        let causes = CloseCause::ALL.iter();
        causes.map(|cause| (with(labels, "cause", cause.label()), pool.closed_by(*cause)))
    });
    families.counter("ajp_pool_closes", "Connections closed, by cause.", closes)?;
    let failures = pools.iter().flat_map(|(labels, pool)| {
        let kinds = ErrorKind::ALL.iter();
        kinds.map(|kind| (with(labels, "kind", kind.label()), pool.failed_with(*kind)))
    });
    let help = "Acquires and exchanges that failed, by kind; those that were tried again too.";
    families.counter("ajp_pool_failures", help, failures)?;
    let limits = pools.iter().flat_map(|(labels, pool)| {
        timeouts(pool).map(|(step, count)| (with(labels, "step", step), count))
    });
    families.counter("ajp_pool_timeouts", "Limits that ran out, by step.", limits)?;
    let differing = pools.iter().flat_map(|(labels, pool)| {
        let all = Mismatch::ALL.iter();
        all.map(|mismatch| {
            (
                with(labels, "kind", mismatch.label()),
                pool.mismatched(*mismatch),
            )
        })
    });
    let help = "Exchanges that tell of settings which differ from the container's, by kind.";
    families.counter("ajp_pool_mismatches", help, differing)
}

fn with<'a>(labels: &Labels<'a>, name: &'a str, value: &'a str) -> Labels<'a> {
    let mut labels = labels.clone();
    labels.push((name, value));
    labels
}
