//! Every setting of the library has a key in the configuration, or a line here that says why not.
//! The listing of the public API says which settings there are.

use std::collections::BTreeSet;
use toml::{Table, Value};

/// The public API, one item a line.
const API: &str = include_str!("../../../../../tests/fixtures/public_api.txt");

/// Types whose setters are no settings of the gateway.
const OTHERS: [(&str, &str); 20] = [
    ("dump::", "prints packets"),
    ("proto::", "the state machines have the limits of the pool"),
    (
        "server::",
        "the container's side: `ajp serve`, and whoever writes a container",
    ),
    ("wire::", "packets; their size is `packet_size`"),
    (
        "balancer::MemberDrain::",
        "an argument of one drain: `ajp drain`, the manager",
    ),
    (
        "balancer::Leaving::",
        "[balancer.discovery] has them by the same names",
    ),
    (
        "balancer::AdaptiveLimit::",
        "[balancer.adaptive_limit] has them by the same names",
    ),
    (
        "balancer::ClusterConfig::with_adaptive_limit",
        "the table [balancer.adaptive_limit]",
    ),
    (
        "balancer::Discovery::",
        "[balancer.discovery] has them by the same names; the pools are the balancer's",
    ),
    (
        "client::Exchange::with_request_id",
        "one request: the front gives it a name",
    ),
    (
        "balancer::RequestInfo",
        "one request: the front fills it in",
    ),
    (
        "client::RequestFacts::",
        "one request: the front and [[map]] fill it in",
    ),
    (
        "client::RetryPolicy::",
        "for tower's retry; the balancer repeats requests itself",
    ),
    (
        "mapping::TlsFacts::",
        "one handshake: the listener fills it in",
    ),
    ("proxy::Peer::", "one connection: the listener fills it in"),
    (
        "rustls::",
        "AJP inside of TLS: the configuration has no member of that kind",
    ),
    (
        "client::Lookup",
        "an address with a lookup of the caller's own",
    ),
    ("metrics::", "the manager's /metrics has the pools' numbers"),
    (
        "retry::",
        "for tower's retry; the balancer repeats requests itself",
    ),
    ("tower::", "for stacks of tower's layers"),
];

/// What is a setting: its key, with the tables that it is in.
const KEYS: [(&str, &str); 98] = [
    (
        "balancer::BalancerConfig::with_cluster",
        "balancer.recovery",
    ),
    (
        "balancer::BalancerConfig::with_failover",
        "balancer.failover",
    ),
    ("balancer::BalancerConfig::with_health", "balancer.health"),
    ("balancer::BalancerConfig::with_sticky", "balancer.sticky"),
    (
        "balancer::ClusterConfig::with_forced_recovery",
        "balancer.recovery.forced_recovery",
    ),
    (
        "balancer::ClusterConfig::with_max_timeouts",
        "balancer.recovery.max_timeouts",
    ),
    ("balancer::ClusterConfig::with_outlier", "balancer.outlier"),
    (
        "balancer::ClusterConfig::with_panic_threshold",
        "balancer.recovery.panic_threshold",
    ),
    ("balancer::ClusterConfig::with_retry", "balancer.retry"),
    (
        "balancer::ClusterConfig::with_retry_after",
        "balancer.recovery.retry_after",
    ),
    (
        "balancer::ClusterConfig::with_slow_start",
        "balancer.recovery.slow_start",
    ),
    (
        "balancer::Failover::with_budget",
        "balancer.failover.budget_percent",
    ),
    ("balancer::Failover::with_max_attempts", "balancer.attempts"),
    (
        "balancer::Failover::with_probe_limit",
        "balancer.failover.probe_limit",
    ),
    (
        "balancer::Failover::with_repeat_sent_bodies",
        "balancer.failover.repeat_sent_bodies",
    ),
    (
        "balancer::Failover::with_repeat_timed_out",
        "balancer.failover.repeat_timed_out",
    ),
    (
        "balancer::Failover::with_replay_bytes",
        "balancer.failover.replay_bytes",
    ),
    (
        "balancer::Failover::with_send_activation",
        "balancer.failover.send_activation",
    ),
    (
        "balancer::Failover::with_statuses",
        "balancer.fail_on_status",
    ),
    ("balancer::Health::with_fall", "balancer.health.fall"),
    (
        "balancer::Health::with_interval",
        "balancer.health.interval",
    ),
    ("balancer::Health::with_limit", "balancer.health.limit"),
    ("balancer::Health::with_rise", "balancer.health.rise"),
    (
        "balancer::HttpCheck::with_body_contains",
        "balancer.health.body",
    ),
    (
        "balancer::HttpCheck::with_headers",
        "balancer.health.headers",
    ),
    ("balancer::HttpCheck::with_method", "balancer.health.method"),
    (
        "balancer::HttpCheck::with_statuses",
        "balancer.health.status",
    ),
    ("balancer::Member::with_domain", "balancer.member.domain"),
    ("balancer::Member::with_flags", "balancer.member.status"),
    (
        "balancer::Member::with_max_requests",
        "balancer.member.max_requests",
    ),
    (
        "balancer::Member::with_redirect",
        "balancer.member.redirect",
    ),
    ("balancer::Member::with_retry", "balancer.member.retry"),
    ("balancer::Member::with_route", "balancer.member.route"),
    ("balancer::Member::with_set", "balancer.member.set"),
    (
        "balancer::Member::with_slow_start",
        "balancer.member.slow_start",
    ),
    ("balancer::Member::with_weight", "balancer.member.weight"),
    (
        "balancer::Outlier::with_bad_percent",
        "balancer.outlier.bad_percent",
    ),
    (
        "balancer::Outlier::with_eject_for",
        "balancer.outlier.eject_for",
    ),
    (
        "balancer::Outlier::with_max_out_percent",
        "balancer.outlier.max_out_percent",
    ),
    (
        "balancer::Outlier::with_min_requests",
        "balancer.outlier.min_requests",
    ),
    (
        "balancer::Outlier::with_peer_deviations",
        "balancer.outlier.peer_deviations",
    ),
    (
        "balancer::Outlier::with_peer_latency",
        "balancer.outlier.peer_latency",
    ),
    (
        "balancer::Outlier::with_statuses",
        "balancer.outlier.statuses",
    ),
    ("balancer::Outlier::with_window", "balancer.outlier.window"),
    (
        "balancer::RetryBudget::with_min_per_second",
        "balancer.failover.budget_min_per_second",
    ),
    (
        "balancer::RetryBudget::with_percent",
        "balancer.failover.budget_percent",
    ),
    (
        "balancer::RouteCookie::with_path",
        "balancer.sessions.route_cookie.path",
    ),
    (
        "balancer::RouteCookie::with_same_site",
        "balancer.sessions.route_cookie.same_site",
    ),
    (
        "balancer::RouteCookie::with_secure",
        "balancer.sessions.route_cookie.secure",
    ),
    ("balancer::SendOptions::with_domain", "map.domain"),
    ("balancer::SendOptions::with_max_attempts", "map.attempts"),
    ("balancer::SendOptions::with_member", "map.member"),
    (
        "balancer::SendOptions::with_on_status",
        "map.fail_on_status",
    ),
    ("balancer::SendOptions::with_stateless", "map.stateless"),
    (
        "balancer::SendOptions::with_sticky_ignore",
        "map.sticky_ignore",
    ),
    ("balancer::Sticky::with_cookie", "balancer.sessions.cookies"),
    ("balancer::Sticky::with_force", "balancer.nofailover"),
    (
        "balancer::Sticky::with_last_segment_only",
        "balancer.sessions.last_segment_only",
    ),
    (
        "balancer::Sticky::with_move_when_full",
        "balancer.sessions.move_when_full",
    ),
    (
        "balancer::Sticky::with_path_parameter",
        "balancer.sessions.path_parameters",
    ),
    (
        "balancer::Sticky::with_route_after_last",
        "balancer.sessions.route_after_last",
    ),
    (
        "balancer::Sticky::with_route_cookie",
        "balancer.sessions.route_cookie",
    ),
    (
        "balancer::Sticky::with_separator",
        "balancer.sessions.separator",
    ),
    ("client::Address::with_tcp", "balancer.tcp"),
    (
        "client::PoolConfig::with_body_requests",
        "balancer.body_requests",
    ),
    (
        "client::PoolConfig::with_container_keep_alive",
        "balancer.pool.container_keep_alive",
    ),
    ("client::PoolConfig::with_cping", "balancer.pool.cping"),
    (
        "client::PoolConfig::with_idle_order",
        "balancer.pool.idle_order",
    ),
    (
        "client::PoolConfig::with_idle_ping_interval",
        "balancer.pool.idle_ping_interval",
    ),
    (
        "client::PoolConfig::with_idle_timeout",
        "balancer.pool.idle_timeout",
    ),
    (
        "client::PoolConfig::with_learn_keep_alive",
        "balancer.pool.learn_keep_alive",
    ),
    (
        "client::PoolConfig::with_maintenance_interval",
        "balancer.pool.maintenance_interval",
    ),
    (
        "client::PoolConfig::with_max_connections",
        "balancer.max_connections",
    ),
    (
        "client::PoolConfig::with_max_idle",
        "balancer.pool.max_idle",
    ),
    (
        "client::PoolConfig::with_abandoned",
        "balancer.pool.abandoned",
    ),
    (
        "client::PoolConfig::with_max_lifetime",
        "balancer.pool.max_lifetime",
    ),
    (
        "client::PoolConfig::with_max_requests",
        "balancer.pool.max_requests",
    ),
    (
        "client::PoolConfig::with_max_waiting",
        "balancer.pool.max_waiting",
    ),
    (
        "client::PoolConfig::with_min_idle",
        "balancer.pool.min_idle",
    ),
    (
        "client::PoolConfig::with_packet_size",
        "balancer.packet_size",
    ),
    (
        "client::PoolConfig::with_learn_packet_size",
        "balancer.packet_size",
    ),
    ("client::PoolConfig::with_secret", "balancer.secret_file"),
    ("client::PoolConfig::with_secrets", "balancer.secret_file"),
    ("client::PoolConfig::with_timeouts", "balancer.timeouts"),
    ("client::RequestTimeouts::with_*", "map.timeouts"),
    (
        "client::TcpKeepAlive::with_interval",
        "balancer.tcp.keep_alive_interval",
    ),
    (
        "client::TcpKeepAlive::with_retries",
        "balancer.tcp.keep_alive_retries",
    ),
    (
        "client::TcpOptions::with_keep_alive",
        "balancer.tcp.keep_alive",
    ),
    ("client::TcpOptions::with_source", "balancer.tcp.source"),
    ("client::Timeouts::with_*", "balancer.timeouts.*"),
    (
        "proxy::ForwardedRules::with_client_certificate_header",
        "client_certificate_header",
    ),
    ("proxy::ForwardedRules::with_precedence", "forwarded"),
    (
        "proxy::ForwardedRules::with_trusted_proxies",
        "trusted_proxies",
    ),
    (
        "proxy::ForwardedRules::with_underscores",
        "header_underscores",
    ),
    ("proxy::PathMap::with_cookie_path", "map.cookie_path"),
    ("proxy::PathMap::with_location", "map.location"),
    ("proxy::ReverseMap::with_other", "map"),
    ("client::Idempotent", "map.idempotent"),
];

/// What is a setting, and has no key.
const WITHOUT: [(&str, &str); 12] = [
    (
        "balancer::BalancerConfig::with_own_requests",
        "the gateway has no requests of its own",
    ),
    ("balancer::ClusterConfig::with_seed", "for tests"),
    (
        "balancer::SendOptions::with_key",
        "no method of the configuration hashes by a key",
    ),
    ("client::PoolConfig::with_jitter_seed", "for tests"),
    (
        "client::PoolConfig::with_name",
        "a pool has the name of its member's address",
    ),
    (
        "client::PoolConfig::with_observer",
        "the gateway's own measures the phases",
    ),
    (
        "client::RequestTimeouts::with_deadline",
        "a moment, not a length of time",
    ),
    (
        "proxy::ForwardedRules::with_claim",
        "the gateway takes no claims from headers",
    ),
    (
        "proxy::ReverseMap::with_cookie_domain",
        "members are not asked by names of their own",
    ),
    (
        "client::TcpKeepAlive::after",
        "balancer.tcp.keep_alive says it",
    ),
    ("balancer::Health::new", "balancer.health.check says it"),
    (
        "client::Pool::with_config",
        "a pool with other settings, not a setting: changes and reloads make one",
    ),
];

/// The setters of the library that may be settings, without the crate's name.
fn setters() -> BTreeSet<&'static str> {
    let functions = API.lines().filter_map(|line| {
        let (_, path) = line.split_once("fn ajp::")?;
        let name = path.split(['(', '<']).next()?;
        // Of types with parameters: the name behind them.
        let name = if name.len() < path.len() && path.as_bytes().get(name.len()) == Some(&b'<') {
            path.split('(').next()?
        } else {
            name
        };
        let is_setter = name.rsplit("::").next()?.starts_with("with_");
        is_setter.then_some(name)
    });
    functions
        .filter(|name| !OTHERS.iter().any(|(prefix, _)| name.starts_with(prefix)))
        .collect()
}

fn is_for(entry: &str, setter: &str) -> bool {
    entry == setter
        || entry
            .strip_suffix('*')
            .is_some_and(|all| setter.starts_with(all))
}

#[test]
fn every_setting_has_a_key_or_a_reason() {
    let setters = setters();
    assert!(setters.len() > 100, "{setters:?}");
    for setter in &setters {
        let keys = KEYS.iter().chain(&WITHOUT);
        let known = keys.filter(|(entry, _)| is_for(entry, setter)).count();
        assert!(
            known > 0,
            "{setter} has neither a key nor a line that says why not"
        );
    }
    // The listing may be a little older than what is here, but no type is made up.
    for (entry, _) in KEYS.iter().chain(&WITHOUT) {
        let (kind, _) = entry.rsplit_once("::").unwrap();
        let kind = format!("ajp::{kind}");
        assert!(API.contains(&kind), "{entry} does not exist any more");
    }
}

/// The value of a key such as `balancer.member.url`, in whichever element of an array.
fn find<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    let (first, rest) = match path.split_once('.') {
        Some((first, rest)) => (first, Some(rest)),
        None => (path, None),
    };
    let mut tables: Vec<&Table> = Vec::new();
    match value {
        Value::Table(table) => tables.push(table),
        Value::Array(array) => tables.extend(array.iter().filter_map(Value::as_table)),
        _ => {}
    }
    tables.into_iter().find_map(|table| {
        let value = table.get(first)?;
        rest.map_or(Some(value), |rest| find(value, rest))
    })
}

#[test]
fn the_keys_are_in_the_example() {
    let example = super::tests::every_key();
    let example: Value = toml::from_str(&example).unwrap();
    // The example shows two ways to write this key.
    let other_way = super::tests::EXAMPLE.lines();
    let other_way: Vec<_> = other_way
        .filter_map(|line| line.trim_start_matches("# ").strip_prefix("health = "))
        .map(|value| format!("[[way]]\nhealth = {value}\n"))
        .collect();
    assert_eq!(other_way.len(), 2);
    let other_way: Value = toml::from_str(&other_way.concat()).unwrap();
    let timeouts = [
        "acquire",
        "connect",
        "cping",
        "write",
        "request_body",
        "response_head",
        "between_packets",
        "response_read",
        "request",
    ];
    for (setter, key) in KEYS {
        let keys: Vec<String> = match key.strip_suffix('*') {
            Some(table) => timeouts
                .iter()
                .map(|name| format!("{table}{name}"))
                .collect(),
            None => vec![key.to_owned()],
        };
        for key in keys {
            let is_shown = find(&example, &key).is_some()
                || key
                    .strip_prefix("balancer.")
                    .is_some_and(|key| find(&other_way, &format!("way.{key}")).is_some());
            assert!(is_shown, "{setter}: {key} is not in gateway.toml");
        }
    }
}
