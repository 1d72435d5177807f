//! The numbers for Prometheus: OpenMetrics, or its older text format for who asks for no other.

mod balancers;
mod front;
mod members;
mod pools;
mod write;

pub(super) use members::state;

use super::verdicts::Verdict;
use crate::gateway::front::{SiteCounts, Traffic};
use ajp::balancer::BalancerSnapshot;
use ajp::client::PoolStats;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, text};
use prometheus_client::registry::Registry;
use std::fmt;
use std::sync::Arc;
use write::Families;

/// OpenMetrics, as the crate writes it.
pub(super) const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The older format, which everybody reads.
pub(super) const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A balancer, and what else is known of its members, in their order.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) balancer: BalancerSnapshot,
    pub(super) members: Vec<OfMember>,
}

/// What a snapshot does not tell of a member.
#[derive(Debug)]
pub(super) struct OfMember {
    /// None once it is leaving.
    pub(super) pool: Option<PoolStats>,
    pub(super) verdict: Option<Verdict>,
}

/// Everything at one moment.
#[derive(Debug)]
pub(super) struct Numbers {
    pub(super) uptime: f64,
    pub(super) balancers: Vec<Measured>,
    pub(super) traffic: Arc<Traffic>,
    pub(super) sites: Vec<Arc<SiteCounts>>,
}

impl Collector for Numbers {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut families = Families(encoder);
        families.gauge(
            "ajp_gateway_uptime_seconds",
            "Time since the start.",
            [(vec![], self.uptime)],
        )?;
        front::write(&mut families, &self.traffic, &self.sites)?;
        balancers::write(&mut families, &self.balancers)?;
        members::write(&mut families, &self.balancers)?;
        pools::write(&mut families, &self.balancers)
    }
}

impl Numbers {
    /// In OpenMetrics.
    pub(super) fn open_metrics(self) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = text::encode(&mut text, &registry);
        text
    }

    /// In the older format.
    pub(super) fn text(self) -> String {
        older(&self.open_metrics())
    }
}

/// The same in the older format: there a counter's family has the name of its series, and
/// nothing marks the end.
fn older(text: &str) -> String {
    let name_of = |line: &str, kind: &str| {
        let rest = line.strip_prefix("# TYPE ")?;
        let name = rest.strip_suffix(kind)?;
        name.strip_suffix(' ').map(str::to_owned)
    };
    let counters: std::collections::HashSet<String> = text
        .lines()
        .filter_map(|line| name_of(line, "counter"))
        .collect();
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("EOF" | "UNIT"), ..) => continue,
            (Some("#"), Some(what), Some(name), Some(rest)) if counters.contains(name) => {
                out.extend(["# ", what, " ", name, "_total ", rest]);
            }
            // The older format's word for it.
            (Some("#"), Some("TYPE"), Some(name), Some("unknown")) => {
                out.extend(["# TYPE ", name, " untyped"]);
            }
            _ => out.push_str(line),
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_format_names_counters_by_their_series() {
        let text = "# HELP a_b Some.\n# TYPE a_b counter\na_b_total{x=\"1\"} 2\n\
                    # HELP c Other.\n# TYPE c gauge\nc 1\n# EOF\n";
        let expected = "# HELP a_b_total Some.\n# TYPE a_b_total counter\na_b_total{x=\"1\"} 2\n\
                        # HELP c Other.\n# TYPE c gauge\nc 1\n";
        assert_eq!(older(text), expected);
    }
}
