//! The tables of a balancer, as [`file`](super::file) has the others.

use super::values::{
    FailStatus, HostAndPort, KeepAliveTime, Limit, MethodName, Packets, Positive, Separator,
    Statuses, Text, Upstream, Whole,
};
use ajp::balancer::{Flags, Sticky, Weight};
use ajp::client::{Address, CPingMode};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;
use toml::Spanned;

/// `[[balancer]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Balancer {
    pub(crate) name: Spanned<String>,
    pub(crate) method: Option<Text<MethodName>>,
    pub(crate) sticky: Option<Text<Sticky>>,
    pub(crate) nofailover: Option<Spanned<bool>>,
    pub(crate) retry: Option<Text<Duration>>,
    pub(crate) attempts: Option<Whole<1, 1000>>,
    #[serde(default)]
    pub(crate) fail_on_status: Vec<FailStatus>,
    pub(crate) secret_file: Option<Spanned<SecretFiles>>,
    pub(crate) packet_size: Option<Packets>,
    pub(crate) body_requests: Option<Whole<1, 1000>>,
    pub(crate) max_connections: Option<Whole<1, 100_000>>,
    pub(crate) connect_timeout: Option<Text<Limit>>,
    pub(crate) acquire_timeout: Option<Text<Limit>>,
    pub(crate) timeout: Option<Text<Limit>>,
    pub(crate) timeouts: Option<Timeouts>,
    pub(crate) pool: Option<Pool>,
    pub(crate) tcp: Option<Tcp>,
    pub(crate) sessions: Option<Spanned<Sessions>>,
    pub(crate) failover: Option<Failover>,
    pub(crate) recovery: Option<Recovery>,
    pub(crate) outlier: Option<Outlier>,
    pub(crate) adaptive_limit: Option<Spanned<AdaptiveLimit>>,
    pub(crate) discovery: Option<Spanned<Discovery>>,
    pub(crate) health: Option<Health>,
    #[serde(default)]
    pub(crate) member: Vec<Member>,
}

/// `health = { .. }`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Health {
    pub(crate) check: Spanned<CheckKind>,
    pub(crate) interval: Option<Text<Duration>>,
    pub(crate) limit: Option<Text<Positive>>,
    pub(crate) rise: Option<Whole<1, 1000>>,
    pub(crate) fall: Option<Whole<1, 1000>>,
    pub(crate) path: Option<Spanned<String>>,
    pub(crate) method: Option<Spanned<String>>,
    pub(crate) headers: Option<Spanned<BTreeMap<String, String>>>,
    pub(crate) status: Option<Spanned<Statuses>>,
    pub(crate) body: Option<Spanned<String>>,
}

/// How a member is asked whether it is well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum CheckKind {
    CPing,
    Http,
}

/// Where the secret is; several files while it is being changed.
#[derive(Debug, Clone, Deserialize)]
#[serde(
    untagged,
    expecting = "a path, or a list of them: the new secret, then the old one"
)]
pub(crate) enum SecretFiles {
    One(PathBuf),
    Several(Vec<PathBuf>),
}

impl SecretFiles {
    pub(crate) fn paths(&self) -> &[PathBuf] {
        match self {
            Self::One(path) => std::slice::from_ref(path),
            Self::Several(paths) => paths,
        }
    }
}

/// `[[balancer.member]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Member {
    pub(crate) url: Spanned<Text<Address>>,
    pub(crate) route: Option<String>,
    pub(crate) secret_file: Option<Spanned<SecretFiles>>,
    #[serde(default)]
    pub(crate) weight: Weight,
    #[serde(default)]
    pub(crate) status: Flags,
    pub(crate) set: Option<Whole<0, 1000>>,
    pub(crate) domain: Option<String>,
    pub(crate) redirect: Option<String>,
    pub(crate) upgrade: Option<Text<Upstream>>,
    pub(crate) max_requests: Option<Whole<1, 100_000>>,
    pub(crate) retry: Option<Text<Duration>>,
    pub(crate) slow_start: Option<Text<Duration>>,
}

/// `timeouts = { .. }`, of a balancer or of a map: the limits of the library, by their names.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Timeouts {
    pub(crate) acquire: Option<Text<Limit>>,
    pub(crate) connect: Option<Text<Limit>>,
    pub(crate) cping: Option<Text<Limit>>,
    pub(crate) write: Option<Text<Limit>>,
    pub(crate) request_body: Option<Text<Limit>>,
    pub(crate) response_head: Option<Text<Limit>>,
    pub(crate) between_packets: Option<Text<Limit>>,
    pub(crate) response_read: Option<Text<Limit>>,
    pub(crate) request: Option<Text<Limit>>,
}

/// `[balancer.pool]`: the connections to each member.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Pool {
    pub(crate) max_waiting: Option<Whole<0, 1_000_000>>,
    pub(crate) min_idle: Option<Whole<0, 100_000>>,
    pub(crate) max_idle: Option<Whole<0, 100_000>>,
    pub(crate) idle_order: Option<IdleOrder>,
    pub(crate) idle_timeout: Option<Text<Limit>>,
    pub(crate) idle_ping_interval: Option<Text<Limit>>,
    pub(crate) maintenance_interval: Option<Text<Duration>>,
    pub(crate) container_keep_alive: Option<Text<Limit>>,
    pub(crate) learn_keep_alive: Option<bool>,
    pub(crate) max_lifetime: Option<Text<Limit>>,
    pub(crate) abandoned: Option<Text<Limit>>,
    pub(crate) max_requests: Option<Whole<1, { i64::MAX as u64 }>>,
    pub(crate) cping: Option<Text<CPingMode>>,
}

/// Which idle connection is used first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum IdleOrder {
    Lifo,
    Fifo,
}

/// `[balancer.tcp]`
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Tcp {
    pub(crate) source: Option<Text<IpAddr>>,
    pub(crate) keep_alive: Option<Text<KeepAliveTime>>,
    pub(crate) keep_alive_interval: Option<Text<KeepAliveTime>>,
    pub(crate) keep_alive_retries: Option<Whole<1, 127>>,
}

/// `[balancer.sessions]`: how `sticky` reads session ids.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Sessions {
    pub(crate) cookies: Vec<Spanned<String>>,
    pub(crate) path_parameters: Vec<Spanned<String>>,
    pub(crate) separator: Option<Text<Separator>>,
    pub(crate) route_after_last: Option<bool>,
    pub(crate) last_segment_only: Option<bool>,
    pub(crate) move_when_full: Option<bool>,
    pub(crate) route_cookie: Option<Spanned<RouteCookie>>,
}

/// A cookie of the gateway's own.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RouteCookie {
    pub(crate) name: String,
    pub(crate) path: Option<String>,
    pub(crate) secure: Option<bool>,
    pub(crate) same_site: Option<SameSite>,
}

/// To whom browsers send it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SameSite {
    Strict,
    Lax,
    None,
}

/// `[balancer.failover]`: requests that go to another member.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Failover {
    pub(crate) replay_bytes: Option<Whole<0, 1_000_000_000>>,
    pub(crate) repeat_sent_bodies: Option<bool>,
    pub(crate) repeat_timed_out: Option<bool>,
    pub(crate) probe_limit: Option<Text<Limit>>,
    pub(crate) send_activation: Option<bool>,
    pub(crate) budget_percent: Option<Whole<0, 1000>>,
    pub(crate) budget_min_per_second: Option<Whole<0, 1_000_000>>,
}

/// `[balancer.recovery]`: members that have failed.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Recovery {
    #[allow(clippy::struct_field_names, reason = "the library's name")]
    pub(crate) forced_recovery: Option<bool>,
    pub(crate) slow_start: Option<Text<Duration>>,
    pub(crate) max_timeouts: Option<Whole<1, 1_000_000>>,
    pub(crate) retry_after: Option<Text<Duration>>,
    pub(crate) panic_threshold: Option<Whole<0, 100>>,
}

/// `[balancer.outlier]`: members that answer badly.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Outlier {
    pub(crate) window: Option<Text<Duration>>,
    pub(crate) min_requests: Option<Whole<1, 1_000_000>>,
    pub(crate) bad_percent: Option<Whole<1, 100>>,
    pub(crate) statuses: Option<Vec<Whole<100, 599>>>,
    pub(crate) eject_for: Option<Text<Duration>>,
    pub(crate) max_out_percent: Option<Whole<0, 100>>,
    pub(crate) peer_deviations: Option<Whole<1, 1_000_000>>,
    pub(crate) peer_latency: Option<Whole<100, 1_000_000>>,
}

/// `[balancer.adaptive_limit]`: requests at a time at each member, found out.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct AdaptiveLimit {
    pub(crate) initial: Option<Whole<1, 1_000_000>>,
    pub(crate) least: Option<Whole<1, 1_000_000>>,
    pub(crate) most: Option<Whole<1, 1_000_000>>,
    pub(crate) tolerance: Option<Whole<100, 10_000>>,
    pub(crate) calibration_interval: Option<Text<Duration>>,
}

/// `[balancer.discovery]`: members that come and go.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Discovery {
    pub(crate) host: Option<Spanned<Text<HostAndPort>>>,
    pub(crate) dns: Option<Spanned<Text<HostAndPort>>>,
    pub(crate) srv: Option<Spanned<String>>,
    pub(crate) file: Option<Spanned<PathBuf>>,
    pub(crate) name_servers: Vec<Text<SocketAddr>>,
    pub(crate) interval: Option<Text<Duration>>,
    pub(crate) absences: Option<Whole<1, 1000>>,
    pub(crate) session_timeout: Option<Text<Duration>>,
    pub(crate) at_most: Option<Text<Duration>>,
    pub(crate) first_set: Option<Text<Duration>>,
}
