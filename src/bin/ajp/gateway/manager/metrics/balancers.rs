//! Numbers of whole balancers.

use super::Measured;
use super::write::Families;
use ajp::balancer::BalancerSnapshot;
use std::fmt;

type Read = fn(&BalancerSnapshot) -> u64;

const COUNTERS: [(&str, &str, Read); 7] = [
    (
        "ajp_balancer_unknown_routes",
        "Requests whose session named no member.",
        |balancer| balancer.unknown_routes,
    ),
    (
        "ajp_balancer_moved_sessions",
        "Requests served by a member that is not their session's.",
        |balancer| balancer.moved_sessions,
    ),
    (
        "ajp_balancer_refused_sessions",
        "Requests refused because their session's member could not serve.",
        |balancer| balancer.refused_sessions,
    ),
    (
        "ajp_balancer_lost_sessions",
        "Requests of sessions that their own member answered with a new session.",
        |balancer| balancer.lost_sessions,
    ),
    (
        "ajp_balancer_forced_recoveries",
        "Times that all members had failed and were tried early.",
        |balancer| balancer.forced_recoveries,
    ),
    (
        "ajp_balancer_repeated",
        "Requests sent again that a container may have begun to work on.",
        |balancer| balancer.repeated,
    ),
    (
        "ajp_balancer_not_repeated",
        "Requests not sent again because the budget was used up.",
        |balancer| balancer.not_repeated,
    ),
];

pub(super) fn write(families: &mut Families<'_>, balancers: &[Measured]) -> fmt::Result {
    let all = || balancers.iter().map(|measured| &measured.balancer);
    for (name, help, read) in COUNTERS {
        let samples = all().map(|balancer| (vec![("balancer", &*balancer.name)], read(balancer)));
        families.counter(name, help, samples)?;
    }
    let refused = all().flat_map(|balancer| {
        let counts = [
            ("full", balancer.refused_full),
            ("down", balancer.refused_down),
        ];
        counts.map(|(reason, count)| {
            (
                vec![("balancer", &*balancer.name), ("reason", reason)],
                count,
            )
        })
    });
    let help = "Requests refused for want of a member.";
    families.counter("ajp_balancer_refused", help, refused)?;
    let info = all().map(|balancer| {
        let check = balancer.health_check.as_deref().unwrap_or("none");
        let sticky = balancer.sticky.as_deref().unwrap_or("none");
        let labels = vec![
            ("balancer", &*balancer.name),
            ("method", &*balancer.method),
            ("check", check),
            ("sticky", sticky),
        ];
        (labels, 1.0)
    });
    let help = "How it chooses, how members are checked, and where sessions are found, as labels; \
                always 1.";
    families.gauge("ajp_balancer_info", help, info)
}
