//! From the tables of a balancer to the balancer.

use super::balancer_tables::{self as tables, CheckKind};
use super::discovery::Found;
use super::error::{Fault, Faults};
use super::timeouts;
use super::values::{KeepAliveTime, Limit, MethodName, Positive, Text, Upstream, Whole};
use super::{Defaults, Plan};
use crate::gateway::front::AccessLog;
use ajp::Secret;
use ajp::balancer::{
    AdaptiveLimit, Balancer, BalancerConfig, CPing, ClusterConfig, Failover, Health, HttpCheck,
    Member, OnStatus, Outlier, RetryBudget, RouteCookie, SameSite, Sticky,
};
use ajp::client::{IdleOrder, Observer, PoolConfig, TcpKeepAlive, TcpOptions, Timeouts};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use toml::Spanned;

/// The balancer with its members, as far as nothing is wrong with them.
pub(super) fn balancer(table: &tables::Balancer, defaults: &Defaults, faults: &mut Faults) -> Plan {
    let name = table.name.get_ref();
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    if name.is_empty() || !name.bytes().all(is_plain) {
        let text =
            format!("{name:?} is no name; allowed are letters, digits, \".\", \"_\" and \"-\"");
        faults.add(Fault::at(table.name.span(), text));
    }
    let checks = health_text(table.health.as_ref());
    let health = table.health.as_ref().map(|table| health(table, faults));
    let cluster = cluster(table, faults);
    let found = table.discovery.as_ref();
    let found = found.and_then(|table| faults.take(Found::read(table)));
    let config = BalancerConfig::new(name)
        .with_failover(failover(table))
        .with_cluster(cluster)
        .with_health(health.flatten())
        .with_sticky(sticky(table, faults));
    let pools = pool_config(table, defaults, faults);
    if table.member.is_empty() && table.discovery.is_none() {
        let fault = Fault::at(
            table.name.span(),
            format!("{name:?} has no [[balancer.member]] and no [balancer.discovery]"),
        );
        faults.add(fault.for_want_of("member"));
    }
    let tcp = table.tcp.as_ref().map(tcp).unwrap_or_default();
    let mut plan = Plan::new(Balancer::new(config), checks, pools.clone(), tcp);
    if let Some(Text(MethodName(method))) = &table.method {
        plan.set_method(method);
    }
    if let Some(found) = found {
        plan.set_discovery(found);
    }
    let upgrades = table.member.iter().filter_map(|member| {
        let Text(Upstream(address)) = member.upgrade.as_ref()?;
        Some((member.url.get_ref().0.to_string(), address.clone()))
    });
    plan.upgrades = Arc::new(upgrades.collect());
    for table in &table.member {
        let address = table.url.get_ref().0.clone().with_tcp(tcp);
        let own = table.secret_file.as_ref();
        let own = own.and_then(|files| faults.take(secrets(files)));
        let pools = with(pools.clone(), own, PoolConfig::with_secrets);
        let added = plan.add(member(table), &address, &pools);
        faults.take(added.map_err(|error| Fault::at(table.url.span(), error.to_string())));
    }
    plan
}

/// The health checks as text: the same wherever they stand in the file.
fn health_text(table: Option<&tables::Health>) -> String {
    let Some(health) = table else {
        return String::new();
    };
    let text = |value: &Option<Spanned<String>>| value.as_ref().map(|text| text.get_ref().clone());
    let headers = health.headers.as_ref().map(Spanned::get_ref);
    let statuses = health
        .status
        .as_ref()
        .map(|range| range.get_ref().0.clone());
    format!(
        "{:?} {:?} {:?} {:?} {:?} {:?} {headers:?} {statuses:?}",
        health.check.get_ref(),
        (
            time(health.interval.as_ref()),
            positive(health.limit.as_ref())
        ),
        health.rise.map(Whole::number),
        health.fall.map(Whole::number),
        (text(&health.path), text(&health.body)),
        text(&health.method),
    )
}

fn member(table: &tables::Member) -> Member {
    let Text(address) = table.url.get_ref();
    Member::new(address.to_string())
        .with_route(table.route.clone().unwrap_or_default())
        .with_weight(table.weight)
        .with_flags(table.status)
        .with_set(table.set.map_or(0, Whole::number))
        .with_domain(table.domain.clone().unwrap_or_default())
        .with_redirect(table.redirect.clone().unwrap_or_default())
        .with_max_requests(table.max_requests.map(Whole::number))
        .with_retry(table.retry.as_ref().map(|Text(time)| *time))
        .with_slow_start(table.slow_start.as_ref().map(|Text(time)| *time))
}

/// A pool that is observed measures all phases of its exchanges: the access log shows them.
pub(super) struct Measured;

impl Observer for Measured {
    fn wants_exchanges(&self) -> bool {
        AccessLog::has_been_opened()
    }
}

/// `config` with this value, if there is one.
fn with<C, V>(config: C, value: Option<V>, set: impl FnOnce(C, V) -> C) -> C {
    match value {
        Some(value) => set(config, value),
        None => config,
    }
}

/// The time that is written here, if any is.
fn time(value: Option<&Text<Duration>>) -> Option<Duration> {
    value.map(|Text(time)| *time)
}

/// As [`time`], for those that are above 0.
fn positive(value: Option<&Text<Positive>>) -> Option<Duration> {
    value.map(|Text(Positive(time))| *time)
}

/// The limit that is written here, if any is; `None` in it is no limit.
#[allow(clippy::option_option, reason = "absent is not the same as no limit")]
fn limit(value: Option<&Text<Limit>>) -> Option<Option<Duration>> {
    value.map(|Text(Limit(limit))| *limit)
}

fn cluster(table: &tables::Balancer, faults: &mut Faults) -> ClusterConfig {
    let config = ClusterConfig::default();
    let config = with(
        config,
        time(table.retry.as_ref()),
        ClusterConfig::with_retry,
    );
    let config = with(config, table.outlier.as_ref(), |config, table| {
        config.with_outlier(outlier(table))
    });
    let config = with(config, table.adaptive_limit.as_ref(), |config, table| {
        config.with_adaptive_limit(adaptive_limit(table, faults))
    });
    let Some(table) = &table.recovery else {
        return config;
    };
    let config = with(
        config,
        table.forced_recovery,
        ClusterConfig::with_forced_recovery,
    );
    let config = with(config, time(table.slow_start.as_ref()), |config, time| {
        config.with_slow_start(time)
    });
    let config = with(config, table.max_timeouts, |config, count| {
        config.with_max_timeouts(count.number())
    });
    let config = with(
        config,
        time(table.retry_after.as_ref()),
        ClusterConfig::with_retry_after,
    );
    with(config, table.panic_threshold, |config, percent| {
        config.with_panic_threshold(percent.number())
    })
}

fn adaptive_limit(spanned: &Spanned<tables::AdaptiveLimit>, faults: &mut Faults) -> AdaptiveLimit {
    let table = spanned.get_ref();
    if let (Some(least), Some(most)) = (table.least, table.most) {
        if least.number() > most.number() {
            let (least, most) = (least.number(), most.number());
            let text = format!("least = {least} is more than most = {most}");
            faults.add(Fault::at(spanned.span(), text));
        }
    }
    let limit = AdaptiveLimit::default();
    let limit = with(limit, table.initial, |limit, count| {
        limit.with_initial(count.number())
    });
    let limit = with(limit, table.least, |limit, count| {
        limit.with_least(count.number())
    });
    let limit = with(limit, table.most, |limit, count| {
        limit.with_most(count.number())
    });
    let limit = with(limit, table.tolerance, |limit, percent| {
        limit.with_tolerance(percent.number())
    });
    with(
        limit,
        time(table.calibration_interval.as_ref()),
        AdaptiveLimit::with_calibration_interval,
    )
}

fn outlier(table: &tables::Outlier) -> Outlier {
    let outlier = Outlier::default();
    let outlier = with(outlier, time(table.window.as_ref()), Outlier::with_window);
    let outlier = with(outlier, table.min_requests, |outlier, count| {
        outlier.with_min_requests(count.number())
    });
    let outlier = with(outlier, table.bad_percent, |outlier, percent| {
        outlier.with_bad_percent(percent.number())
    });
    let outlier = with(outlier, table.statuses.as_ref(), |outlier, statuses| {
        let codes = statuses
            .iter()
            .filter_map(|code| u16::try_from(code.0).ok());
        outlier.with_statuses(codes.collect::<Vec<_>>())
    });
    let outlier = with(
        outlier,
        time(table.eject_for.as_ref()),
        Outlier::with_eject_for,
    );
    let outlier = with(outlier, table.max_out_percent, |outlier, percent| {
        outlier.with_max_out_percent(percent.number())
    });
    let outlier = with(outlier, table.peer_deviations, |outlier, hundredths| {
        outlier.with_peer_deviations(hundredths.number())
    });
    with(outlier, table.peer_latency, |outlier, percent| {
        outlier.with_peer_latency(percent.number())
    })
}

/// How session ids are read; nothing where there are no sessions.
fn sticky(table: &tables::Balancer, faults: &mut Faults) -> Option<Sticky> {
    let force = table.nofailover.as_ref();
    let sessions = table.sessions.as_ref();
    let Some(Text(sticky)) = &table.sticky else {
        if let Some(force) = force.filter(|force| *force.get_ref()) {
            faults.add(Fault::at(force.span(), "true needs sticky").for_want_of("sticky"));
        }
        if let Some(sessions) = sessions {
            let fault = Fault::at(sessions.span(), "[balancer.sessions] needs sticky");
            faults.add(fault.for_want_of("sticky"));
        }
        return None;
    };
    let sticky = sticky
        .clone()
        .with_force(force.is_some_and(|force| *force.get_ref()));
    let Some(table) = sessions.map(Spanned::get_ref) else {
        return Some(sticky);
    };
    let mut sticky = with(
        sticky,
        table.separator.as_ref(),
        |sticky, Text(separator)| sticky.with_separator(separator.0),
    );
    for name in &table.cookies {
        let more = sticky.clone().with_cookie(name.get_ref());
        let more = more.map_err(|error| Fault::at(name.span(), error.to_string()));
        sticky = faults.take(more).unwrap_or(sticky);
    }
    for name in &table.path_parameters {
        let more = sticky.clone().with_path_parameter(name.get_ref());
        let more = more.map_err(|error| Fault::at(name.span(), error.to_string()));
        sticky = faults.take(more).unwrap_or(sticky);
    }
    let sticky = with(
        sticky,
        table.route_after_last,
        Sticky::with_route_after_last,
    );
    let sticky = with(
        sticky,
        table.last_segment_only,
        Sticky::with_last_segment_only,
    );
    let sticky = with(sticky, table.move_when_full, Sticky::with_move_when_full);
    let cookie = table.route_cookie.as_ref();
    let cookie = cookie.and_then(|cookie| faults.take(route_cookie(cookie)));
    Some(with(sticky, cookie, Sticky::with_route_cookie))
}

fn route_cookie(table: &Spanned<tables::RouteCookie>) -> Result<RouteCookie, Fault> {
    let wrong = |error: ajp::balancer::InvalidSticky| Fault::at(table.span(), error.to_string());
    let table = table.get_ref();
    let mut cookie = RouteCookie::new(&table.name).map_err(wrong)?;
    if let Some(path) = &table.path {
        cookie = cookie.with_path(path).map_err(wrong)?;
    }
    let cookie = with(cookie, table.secure, RouteCookie::with_secure);
    Ok(with(cookie, table.same_site, |cookie, to| {
        cookie.with_same_site(match to {
            tables::SameSite::Strict => SameSite::Strict,
            tables::SameSite::Lax => SameSite::Lax,
            tables::SameSite::None => SameSite::None,
        })
    }))
}

fn failover(table: &tables::Balancer) -> Failover {
    let mut failover = Failover::default();
    if let Some(attempts) = table.attempts {
        failover = failover.with_max_attempts(attempts.number());
    }
    for bad in &table.fail_on_status {
        let action = if bad.keeps_member {
            OnStatus::TryOther
        } else {
            OnStatus::FailAndTryOther
        };
        failover = failover.on_status(bad.status, action);
    }
    let Some(table) = &table.failover else {
        return failover;
    };
    let budget = RetryBudget::default();
    let budget = with(budget, table.budget_percent, |budget, percent| {
        budget.with_percent(percent.number())
    });
    let budget = with(budget, table.budget_min_per_second, |budget, count| {
        budget.with_min_per_second(count.number())
    });
    let failover = with(
        failover.with_budget(budget),
        table.replay_bytes,
        |failover, bytes| failover.with_replay_bytes(bytes.size()),
    );
    let failover = with(
        failover,
        table.repeat_sent_bodies,
        Failover::with_repeat_sent_bodies,
    );
    let failover = with(
        failover,
        table.repeat_timed_out,
        Failover::with_repeat_timed_out,
    );
    let failover = with(
        failover,
        limit(table.probe_limit.as_ref()),
        Failover::with_probe_limit,
    );
    with(
        failover,
        table.send_activation,
        Failover::with_send_activation,
    )
}

fn secrets(files: &Spanned<tables::SecretFiles>) -> Result<Vec<Secret>, Fault> {
    let paths = files.get_ref().paths();
    if paths.is_empty() {
        return Err(Fault::at(files.span(), "must name a file"));
    }
    super::secrets(paths).map_err(|error| Fault::at(files.span(), error))
}

/// How long a member may go on with a request whose client has gone, unless the file says
/// otherwise.
const ABANDONED: Duration = Duration::from_secs(2);

/// How the members are reached.
fn pool_config(table: &tables::Balancer, defaults: &Defaults, faults: &mut Faults) -> PoolConfig {
    let own = table.secret_file.as_ref();
    let own = own.and_then(|files| faults.take(secrets(files)));
    // A download or a stream may last as long as its bytes come.
    let mut limits = Timeouts::default().with_request(None);
    if let Some(limit) = limit(table.timeout.as_ref()) {
        limits = limits.with_response_head(limit).with_between_packets(limit);
    }
    if let Some(limit) = limit(table.connect_timeout.as_ref()) {
        limits = limits.with_connect(limit).with_cping(limit);
    }
    if let Some(limit) = limit(table.acquire_timeout.as_ref()) {
        limits = limits.with_acquire(limit);
    }
    if let Some(table) = &table.timeouts {
        limits = timeouts::of_balancer(limits, table);
    }
    let most = table.max_connections.map(Whole::size);
    let packets = table.packet_size.unwrap_or(defaults.packets);
    let ahead = table
        .body_requests
        .and_then(|Whole(count)| u16::try_from(count).ok());
    let config = PoolConfig::default()
        .with_secrets(own.unwrap_or_else(|| defaults.secrets.clone()))
        .with_body_requests(ahead.unwrap_or(defaults.body_requests))
        .with_max_connections(most.unwrap_or(defaults.max_connections))
        .with_timeouts(limits)
        .with_abandoned(ABANDONED)
        .with_observer(Measured);
    with(packets.of_pools(config), table.pool.as_ref(), connections)
}

/// `[balancer.pool]`
fn connections(config: PoolConfig, table: &tables::Pool) -> PoolConfig {
    let config = with(config, table.max_waiting, |config, count| {
        config.with_max_waiting(count.size())
    });
    let config = with(config, table.min_idle, |config, count| {
        config.with_min_idle(count.size())
    });
    let config = with(config, table.max_idle, |config, count| {
        config.with_max_idle(count.size())
    });
    let config = with(config, table.idle_order, |config, order| {
        config.with_idle_order(match order {
            tables::IdleOrder::Lifo => IdleOrder::Lifo,
            tables::IdleOrder::Fifo => IdleOrder::Fifo,
        })
    });
    let config = with(
        config,
        limit(table.idle_timeout.as_ref()),
        PoolConfig::with_idle_timeout,
    );
    let config = with(
        config,
        limit(table.idle_ping_interval.as_ref()),
        PoolConfig::with_idle_ping_interval,
    );
    let config = with(
        config,
        time(table.maintenance_interval.as_ref()),
        PoolConfig::with_maintenance_interval,
    );
    let config = with(
        config,
        limit(table.container_keep_alive.as_ref()),
        PoolConfig::with_container_keep_alive,
    );
    let config = with(
        config,
        table.learn_keep_alive,
        PoolConfig::with_learn_keep_alive,
    );
    let config = with(
        config,
        limit(table.max_lifetime.as_ref()),
        PoolConfig::with_max_lifetime,
    );
    let config = with(
        config,
        limit(table.abandoned.as_ref()),
        PoolConfig::with_abandoned,
    );
    let config = with(config, table.max_requests, |config, Whole(count)| {
        config.with_max_requests(count)
    });
    with(config, table.cping.as_ref(), |config, Text(mode)| {
        config.with_cping(*mode)
    })
}

/// `[balancer.tcp]`
fn tcp(table: &tables::Tcp) -> TcpOptions {
    let options = TcpOptions::new().with_source(table.source.as_ref().map(|Text(ip)| *ip));
    let Some(Text(KeepAliveTime(quiet))) = table.keep_alive else {
        return options;
    };
    let interval = table.keep_alive_interval.as_ref();
    options.with_keep_alive(
        TcpKeepAlive::after(quiet)
            .with_interval(interval.map(|Text(KeepAliveTime(time))| *time))
            .with_retries(table.keep_alive_retries.map(Whole::number)),
    )
}

fn health(table: &tables::Health, faults: &mut Faults) -> Option<Health> {
    let health = match table.check.get_ref() {
        CheckKind::CPing => {
            let only_http = [
                table.path.as_ref().map(Spanned::span),
                table.method.as_ref().map(Spanned::span),
                table.headers.as_ref().map(Spanned::span),
                table.status.as_ref().map(Spanned::span),
                table.body.as_ref().map(Spanned::span),
            ];
            for span in only_http.into_iter().flatten() {
                faults.add(Fault::at(span, "is for check = \"http\" only"));
            }
            Health::new(CPing)
        }
        CheckKind::Http => Health::new(http_check(table, faults)?),
    };
    let interval = time(table.interval.as_ref());
    let health = with(health, interval, |health, interval| {
        health.with_interval(interval.max(Duration::from_millis(100)))
    });
    let health = with(health, positive(table.limit.as_ref()), Health::with_limit);
    let health = with(health, table.rise, |health, count| {
        health.with_rise(count.number())
    });
    Some(with(health, table.fall, |health, count| {
        health.with_fall(count.number())
    }))
}

fn http_check(table: &tables::Health, faults: &mut Faults) -> Option<HttpCheck> {
    let Some(path) = &table.path else {
        let fault = Fault::at(table.check.span(), "\"http\" needs a path");
        faults.add(fault.for_want_of("path"));
        return None;
    };
    let uri: Option<Uri> = path.get_ref().parse().ok();
    let Some(uri) = uri.filter(|_| path.get_ref().starts_with('/')) else {
        let text = format!("{:?} is no path, such as \"/app/health\"", path.get_ref());
        faults.add(Fault::at(path.span(), text));
        return None;
    };
    let mut check = HttpCheck::get(uri);
    if let Some(method) = &table.method {
        let known = Method::from_bytes(method.get_ref().as_bytes());
        let known = known.map_err(|error| Fault::at(method.span(), error.to_string()));
        check = with(check, faults.take(known), HttpCheck::with_method);
    }
    if let Some(headers) = &table.headers {
        let known = header_map(headers.get_ref());
        let known = known.map_err(|error| Fault::at(headers.span(), error));
        check = with(check, faults.take(known), HttpCheck::with_headers);
    }
    if let Some(statuses) = &table.status {
        check = check.with_statuses(statuses.get_ref().0.clone());
    }
    if let Some(text) = &table.body {
        check = check.with_body_contains(text.get_ref().clone());
    }
    Some(check)
}

fn header_map(table: &BTreeMap<String, String>) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (name, value) in table {
        let name = HeaderName::try_from(name).map_err(|error| error.to_string())?;
        let value = HeaderValue::try_from(value).map_err(|error| error.to_string())?;
        headers.append(name, value);
    }
    Ok(headers)
}
