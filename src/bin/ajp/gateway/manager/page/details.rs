//! One member with all that is known of its connections, and the form that changes it.

use super::super::farm::Managed;
use super::super::pool_numbers::timeouts;
use super::super::{format, markup::Markup};
use ajp::balancer::MemberSnapshot;
use ajp::client::{CloseCause, ErrorKind, PoolStats};
use std::time::Duration;

const DETAILS: &str = include_str!("../templates/details.html");
const FACT: &str = include_str!("../templates/fact.html");
const COUNTS: &str = include_str!("../templates/counts.html");

/// What is known of a member, for readers.
pub(super) fn details(managed: &Managed, member: &MemberSnapshot) -> Markup {
    let pool = managed.balancer.pool(&member.name);
    let stats = pool.as_ref().map(ajp::client::Pool::stats);
    let size = pool.map_or(0, |pool| pool.config().packet_size().bytes());
    let facts = stats.as_ref().map(|stats| facts(member, stats, size));
    let facts = facts
        .unwrap_or_default()
        .into_iter()
        .map(|(name, value)| Markup::fill(FACT, &[("name", name.into()), ("value", value.into())]));
    let counts = stats.as_ref().map(counts).unwrap_or_default();
    Markup::fill(
        DETAILS,
        &[
            ("name", (&*member.name).into()),
            ("balancer", managed.balancer.name().into()),
            ("facts", facts.collect::<Markup>().into()),
            ("counts", counts.into()),
        ],
    )
}

fn facts(
    member: &MemberSnapshot,
    stats: &PoolStats,
    packet_size: usize,
) -> Vec<(&'static str, String)> {
    let count = format::count;
    let packet = |longest: usize| match longest {
        0 => "none".to_owned(),
        longest => format!(
            "{} of {} bytes",
            count(longest as u64),
            count(packet_size as u64)
        ),
    };
    let none = || "none yet".to_owned();
    let time = |time: Option<Duration>| time.map_or_else(none, format::time);
    let mut facts = vec![
        (
            "Connections in use",
            format!("{} of {}", stats.in_use, stats.max_connections),
        ),
        ("Idle", stats.idle.to_string()),
        ("Requests waiting", stats.waiting.to_string()),
        ("Opened", count(stats.created)),
        ("Reused", count(stats.reused)),
        ("Closed", count(stats.closed)),
        ("Longest packet received", packet(stats.largest_in)),
        ("Longest packet sent", packet(stats.largest_out)),
        ("CPing, average", time(stats.cping_average)),
        ("CPing, last", time(stats.cping_last)),
        (
            "keepAliveTimeout, learned",
            stats
                .keep_alive_learned
                .map_or_else(|| "no".to_owned(), format::time),
        ),
        (
            "Packet size, learned",
            stats
                .packet_size_learned
                .map_or_else(|| "no".to_owned(), |size| count(size.bytes() as u64)),
        ),
        ("Own sessions", count(member.own_sessions)),
        ("New sessions", count(member.new_sessions)),
        ("Sessions lost", count(member.lost_sessions)),
    ];
    if let Some(limit) = member.adaptive_limit {
        let in_flight = member.adaptive_in_flight.unwrap_or(0);
        facts.push((
            "Adaptive limit",
            format!("{in_flight} waiting for an answer, of {limit}"),
        ));
        facts.push(("Refused at that limit", count(member.adaptive_refused)));
    }
    if let Some(place) = stats.secret_in_use {
        let place = place.saturating_add(1);
        facts.push((
            "Secret that it takes",
            format!("number {place} of secret_file"),
        ));
    }
    facts
}

/// What has kinds, those that occurred.
fn counts(stats: &PoolStats) -> Markup {
    let closes = CloseCause::ALL.iter();
    let closes = closes.map(|cause| (cause.label(), stats.closed_by(*cause)));
    let failures = ErrorKind::ALL.iter();
    let failures = failures.map(|kind| (kind.label(), stats.failed_with(*kind)));
    [
        ("Closed because of", words(closes)),
        ("Failed with", words(failures)),
        ("Limits that ran out", words(timeouts(stats).into_iter())),
    ]
    .into_iter()
    .filter(|(_, counts)| !counts.is_empty())
    .map(|(name, counts)| Markup::fill(COUNTS, &[("name", name.into()), ("counts", counts.into())]))
    .collect()
}

/// `idle timeout 12, lifetime 3`
fn words(counts: impl Iterator<Item = (&'static str, u64)>) -> String {
    let some = counts.filter(|(_, count)| *count > 0);
    let some =
        some.map(|(label, count)| format!("{} {}", label.replace('_', " "), format::count(count)));
    some.collect::<Vec<_>>().join(", ")
}
