//! The numbers in Prometheus' text format.

use ajp::balancer::{BalancerSnapshot, MemberSnapshot, MemberState};
use std::fmt::{Display, Write};

/// The format's version 0.0.4.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All metrics of these balancers.
pub(crate) fn text(balancers: &[BalancerSnapshot]) -> String {
    let mut out = Metrics(String::new());
    out.balancers(balancers);
    let members: Vec<_> = balancers
        .iter()
        .flat_map(|balancer| {
            balancer
                .members
                .iter()
                .map(|member| (&*balancer.name, member))
        })
        .collect();
    out.members(&members);
    out.latencies(&members);
    out.pools(&members);
    out.0
}

/// A member with its balancer's name.
type Named<'a> = (&'a str, &'a MemberSnapshot);

struct Metrics(String);

impl Metrics {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = self.0.write_fmt(line);
        self.0.push('\n');
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let labels: Vec<_> = labels
            .iter()
            .map(|(label, value)| format!("{label}=\"{}\"", escaped(value)))
            .collect();
        self.line(format_args!("{name}{{{}}} {value}", labels.join(",")));
    }

    fn balancers(&mut self, balancers: &[BalancerSnapshot]) {
        type Read = fn(&BalancerSnapshot) -> u64;
        let counters: [(&str, &str, Read); 7] = [
            (
                "unknown_routes",
                "Requests whose session named no member.",
                |balancer| balancer.unknown_routes,
            ),
            (
                "moved_sessions",
                "Requests served by a member that is not their session's.",
                |balancer| balancer.moved_sessions,
            ),
            (
                "refused_sessions",
                "Requests refused because their session's member could not serve.",
                |balancer| balancer.refused_sessions,
            ),
            (
                "lost_sessions",
                "Requests of sessions that their own member answered with a new session.",
                |balancer| balancer.lost_sessions,
            ),
            (
                "forced_recoveries",
                "Times that all members had failed and were tried early.",
                |balancer| balancer.forced_recoveries,
            ),
            (
                "repeated",
                "Requests sent again that a container may have begun to work on.",
                |balancer| balancer.repeated,
            ),
            (
                "not_repeated",
                "Requests not sent again because the budget was used up.",
                |balancer| balancer.not_repeated,
            ),
        ];
        for (name, help, read) in counters {
            let name = format!("ajp_balancer_{name}_total");
            self.family(&name, "counter", help);
            for balancer in balancers {
                self.sample(&name, &[("balancer", &balancer.name)], read(balancer));
            }
        }
        let name = "ajp_balancer_refused_total";
        self.family(name, "counter", "Requests refused for want of a member.");
        for balancer in balancers {
            for (reason, count) in [
                ("full", balancer.refused_full),
                ("down", balancer.refused_down),
            ] {
                let labels = [("balancer", &*balancer.name), ("reason", reason)];
                self.sample(name, &labels, count);
            }
        }
    }

    fn members(&mut self, members: &[Named<'_>]) {
        type Read = fn(&MemberSnapshot) -> u64;
        let numbers: [(&str, &str, &str, Read); 12] = [
            (
                "elected_total",
                "counter",
                "Requests it was given.",
                |member| member.elected,
            ),
            ("busy", "gauge", "Requests it is serving.", |member| {
                member.busy.into()
            }),
            (
                "max_busy",
                "gauge",
                "Most requests it served at a time.",
                |member| member.max_busy.into(),
            ),
            (
                "new_sessions_total",
                "counter",
                "Requests without session.",
                |member| member.new_sessions,
            ),
            (
                "own_sessions_total",
                "counter",
                "Requests of its own sessions.",
                |member| member.own_sessions,
            ),
            (
                "sent_bytes_total",
                "counter",
                "Request body bytes sent to it.",
                |member| member.sent_bytes,
            ),
            (
                "received_bytes_total",
                "counter",
                "Response body bytes received.",
                |member| member.received_bytes,
            ),
            (
                "failed_total",
                "counter",
                "Requests it failed to serve.",
                |member| member.failed,
            ),
            (
                "timed_out_total",
                "counter",
                "Requests it did not answer in time.",
                |member| member.timed_out,
            ),
            (
                "full_total",
                "counter",
                "Requests that found no place free.",
                |member| member.full,
            ),
            ("set", "gauge", "Its set.", |member| member.set.into()),
            ("serving", "gauge", "1 if it can serve.", |member| {
                u64::from(matches!(member.state, MemberState::Ok | MemberState::Full))
            }),
        ];
        for (name, kind, help, read) in numbers {
            let name = format!("ajp_member_{name}");
            self.family(&name, kind, help);
            for (balancer, member) in members {
                self.sample(&name, &labels(balancer, member), read(member));
            }
        }
        self.shares(members);
        self.states(members);
    }

    fn shares(&mut self, members: &[Named<'_>]) {
        let name = "ajp_member_weight";
        self.family(name, "gauge", "Its weight; less during a slow start.");
        for (balancer, member) in members {
            let weight = f64::from(member.effective_weight) / 100.0;
            self.sample(name, &labels(balancer, member), weight);
        }
        let name = "ajp_member_recovery_seconds";
        self.family(name, "gauge", "How long it is left alone.");
        for (balancer, member) in members {
            let time = member.recovery_in.unwrap_or_default();
            self.sample(name, &labels(balancer, member), time.as_secs_f64());
        }
    }

    fn states(&mut self, members: &[Named<'_>]) {
        let name = "ajp_member_info";
        self.family(name, "gauge", "Its state and flags as labels; always 1.");
        for (balancer, member) in members {
            let flags = member.flags.to_string();
            let mut labels = labels(balancer, member).to_vec();
            labels.push(("state", state(member.state)));
            labels.push(("flags", &flags));
            self.sample(name, &labels, 1);
        }
        let name = "ajp_member_responses_total";
        self.family(name, "counter", "Its responses by class of status.");
        for (balancer, member) in members {
            let classes = ["1xx", "2xx", "3xx", "4xx", "5xx"];
            for (class, count) in classes.into_iter().zip(member.statuses) {
                let mut labels = labels(balancer, member).to_vec();
                labels.push(("code", class));
                self.sample(name, &labels, count);
            }
        }
    }

    fn latencies(&mut self, members: &[Named<'_>]) {
        let name = "ajp_member_latency_seconds";
        let help = "Time to the head of the response; quantiles of the last minutes.";
        self.family(name, "summary", help);
        for (balancer, member) in members {
            let latency = &member.latency;
            let quantiles = [
                ("0.5", latency.p50),
                ("0.9", latency.p90),
                ("0.99", latency.p99),
                ("1", latency.max),
            ];
            for (quantile, time) in quantiles {
                let mut labels = labels(balancer, member).to_vec();
                labels.push(("quantile", quantile));
                self.sample(name, &labels, time.as_secs_f64());
            }
            let labels = labels(balancer, member);
            let sum = latency.sum.as_secs_f64();
            self.sample(&format!("{name}_sum"), &labels, sum);
            self.sample(&format!("{name}_count"), &labels, latency.count);
        }
    }

    fn pools(&mut self, members: &[Named<'_>]) {
        let pools: Vec<_> = members
            .iter()
            .filter_map(|(balancer, member)| Some((labels(balancer, member), member.pool?)))
            .collect();
        let name = "ajp_pool_connections";
        self.family(name, "gauge", "Connections by what they do.");
        for (labels, pool) in &pools {
            for (state, count) in [("in_use", pool.in_use), ("idle", pool.idle)] {
                let mut labels = labels.to_vec();
                labels.push(("state", state));
                self.sample(name, &labels, count);
            }
        }
        let name = "ajp_pool_max_connections";
        self.family(name, "gauge", "Most connections at a time.");
        for (labels, pool) in &pools {
            self.sample(name, labels, pool.max);
        }
        for (what, help) in [
            ("created", "Connections opened."),
            ("reused", "Exchanges over a connection that was idle."),
            ("closed", "Connections closed."),
        ] {
            let name = format!("ajp_pool_{what}_total");
            self.family(&name, "counter", help);
            for (labels, pool) in &pools {
                let count = match what {
                    "created" => pool.created,
                    "reused" => pool.reused,
                    _ => pool.closed,
                };
                self.sample(&name, labels, count);
            }
        }
    }
}

fn labels<'a>(balancer: &'a str, member: &'a MemberSnapshot) -> [(&'a str, &'a str); 3] {
    [
        ("balancer", balancer),
        ("member", &member.name),
        ("route", member.route.as_deref().unwrap_or_default()),
    ]
}

/// A state as in JSON.
pub(super) fn state(state: MemberState) -> &'static str {
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

fn escaped(value: &str) -> String {
    let value = value.replace('\\', "\\\\").replace('"', "\\\"");
    value.replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_escaped() {
        assert_eq!(escaped("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
    }
}
