//! Numbers of members: requests, answers, checks, latency.

use super::Measured;
use super::write::{Families, Labels};
use ajp::balancer::{MemberSnapshot, MemberState};
use std::fmt;

type Count = fn(&MemberSnapshot) -> u64;
type Gauge = fn(&MemberSnapshot) -> f64;

const COUNTERS: [(&str, &str, Count); 10] = [
    ("ajp_member_elected", "Requests it was given.", |member| {
        member.elected
    }),
    ("ajp_member_answered", "Requests it answered.", |member| {
        member.answered
    }),
    (
        "ajp_member_new_sessions",
        "Requests without session.",
        |member| member.new_sessions,
    ),
    (
        "ajp_member_own_sessions",
        "Requests of its own sessions.",
        |member| member.own_sessions,
    ),
    (
        "ajp_member_lost_sessions",
        "Requests of its own sessions that it answered with a new session.",
        |member| member.lost_sessions,
    ),
    (
        "ajp_member_sent_bytes",
        "Request body bytes sent to it.",
        |member| member.sent_bytes,
    ),
    (
        "ajp_member_received_bytes",
        "Response body bytes received.",
        |member| member.received_bytes,
    ),
    (
        "ajp_member_failed",
        "Requests it failed to serve.",
        |member| member.failed,
    ),
    (
        "ajp_member_timed_out",
        "Requests it did not answer in time.",
        |member| member.timed_out,
    ),
    (
        "ajp_member_full",
        "Requests that found no place free.",
        |member| member.full,
    ),
];

const GAUGES: [(&str, &str, Gauge); 7] = [
    ("ajp_member_busy", "Requests it is serving.", |member| {
        member.busy.into()
    }),
    (
        "ajp_member_max_busy",
        "Most requests it served at a time.",
        |member| member.max_busy.into(),
    ),
    ("ajp_member_set", "Its set.", |member| member.set.into()),
    ("ajp_member_serving", "1 if it can serve.", |member| {
        f64::from(matches!(member.state, MemberState::Ok | MemberState::Full))
    }),
    (
        "ajp_member_healthy",
        "0 if its health checks fail.",
        |member| f64::from(!matches!(member.state, MemberState::Unhealthy)),
    ),
    (
        "ajp_member_weight",
        "Its weight; less during a slow start.",
        |member| f64::from(member.effective_weight) / 100.0,
    ),
    (
        "ajp_member_recovery_seconds",
        "How long it is left alone.",
        |member| member.recovery_in.unwrap_or_default().as_secs_f64(),
    ),
];

/// A member with its balancer's name.
type Named<'a> = (&'a str, &'a MemberSnapshot);

pub(super) fn write(families: &mut Families<'_>, balancers: &[Measured]) -> fmt::Result {
    let members: Vec<Named<'_>> = balancers
        .iter()
        .flat_map(|measured| {
            let balancer = &measured.balancer;
            balancer
                .members
                .iter()
                .map(|member| (&*balancer.name, member))
        })
        .collect();
    for (name, help, read) in COUNTERS {
        let samples = members.iter().map(|named| (labels(named), read(named.1)));
        families.counter(name, help, samples)?;
    }
    for (name, help, read) in GAUGES {
        let samples = members.iter().map(|named| (labels(named), read(named.1)));
        families.gauge(name, help, samples)?;
    }
    adaptive_limits(families, &members)?;
    states(families, &members)?;
    latencies(families, &members)?;
    verdicts(families, balancers)
}

/// Of members that have one.
fn adaptive_limits(families: &mut Families<'_>, members: &[Named<'_>]) -> fmt::Result {
    let limited = || {
        let members = members.iter();
        members.filter_map(|named| Some((named, named.1.adaptive_limit?)))
    };
    let limits = limited().map(|(named, limit)| (labels(named), f64::from(limit)));
    let help = "Requests that it can take at a time, found out.";
    families.gauge("ajp_member_adaptive_limit", help, limits)?;
    let in_flight = limited().map(|(named, _)| {
        let waiting = named.1.adaptive_in_flight.unwrap_or(0);
        (labels(named), f64::from(waiting))
    });
    let help = "Requests that wait for an answer, which its adaptive limit bounds.";
    families.gauge("ajp_member_adaptive_in_flight", help, in_flight)?;
    let refused = limited().map(|(named, _)| (labels(named), named.1.adaptive_refused));
    let help = "Requests refused while its adaptive limit was reached.";
    families.counter("ajp_member_adaptive_refused", help, refused)
}

fn states(families: &mut Families<'_>, members: &[Named<'_>]) -> fmt::Result {
    let flags: Vec<String> = members
        .iter()
        .map(|(_, member)| member.flags.to_string())
        .collect();
    let info = members.iter().zip(&flags).map(|(named, flags)| {
        let mut labels = labels(named);
        labels.push(("state", state(named.1.state)));
        labels.push(("flags", flags));
        (labels, 1.0)
    });
    families.gauge(
        "ajp_member_info",
        "Its state and flags as labels; always 1.",
        info,
    )?;
    let responses = members.iter().flat_map(|named| {
        let classes = ["1xx", "2xx", "3xx", "4xx", "5xx"];
        classes
            .into_iter()
            .zip(named.1.statuses)
            .map(|(class, count)| {
                let mut labels = labels(named);
                labels.push(("code", class));
                (labels, count)
            })
    });
    families.counter(
        "ajp_member_responses",
        "Its responses by class of status.",
        responses,
    )
}

fn latencies(families: &mut Families<'_>, members: &[Named<'_>]) -> fmt::Result {
    let percentiles = members.iter().flat_map(|named| {
        let latency = &named.1.latency;
        let times = [
            ("50", latency.p50),
            ("90", latency.p90),
            ("99", latency.p99),
            ("100", latency.max),
        ];
        times.map(|(percentile, time)| {
            let mut labels = labels(named);
            labels.push(("percentile", percentile));
            (labels, time.as_secs_f64())
        })
    });
    let help = "Time to the head of the response, by percentiles of the last minutes.";
    families.gauge("ajp_member_latency_seconds", help, percentiles)?;
    let sums = members.iter();
    let sums = sums.map(|named| (labels(named), named.1.latency.sum.as_secs_f64()));
    let help = "Time to the head of the response, of all that are counted as answered in time.";
    families.counter("ajp_member_answer_seconds", help, sums)?;
    let counts = members
        .iter()
        .map(|named| (labels(named), named.1.latency.count));
    let help = "Responses whose time is in ajp_member_answer_seconds_total.";
    families.counter("ajp_member_timed_answers", help, counts)
}

fn verdicts(families: &mut Families<'_>, balancers: &[Measured]) -> fmt::Result {
    let verdicts = balancers.iter().flat_map(|measured| {
        let balancer = &measured.balancer;
        let members = balancer.members.iter().zip(&measured.members);
        members.filter_map(|(member, more)| {
            let cause = more.verdict.as_ref()?.cause.as_ref()?;
            let mut labels = labels(&(&*balancer.name, member));
            labels.push(("verdict", cause.label()));
            Some((labels, 1.0))
        })
    });
    let help = "1 where it was found out why the member refuses what it is sent.";
    families.gauge("ajp_member_verdict", help, verdicts)
}

/// By which a member is known.
pub(super) fn labels<'a>((balancer, member): &Named<'a>) -> Labels<'a> {
    vec![
        ("balancer", *balancer),
        ("member", &member.name),
        ("route", member.route.as_deref().unwrap_or_default()),
    ]
}

/// A state as in JSON.
pub(in super::super) fn state(state: MemberState) -> &'static str {
    match state {
        MemberState::Ok => "ok",
        MemberState::Full => "full",
        MemberState::Error => "error",
        MemberState::Due => "due",
        MemberState::Trial => "trial",
        MemberState::Unhealthy => "unhealthy",
        MemberState::Leaving => "leaving",
        _ => "unknown",
    }
}
