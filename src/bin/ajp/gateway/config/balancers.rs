//! From the tables of a balancer to the balancer.

mod health;
mod pool;

pub(super) use pool::PhaseObserver;

use super::balancer_tables as tables;
use super::discovery::Found;
use super::error::{Fault, Faults};
use super::values::{Limit, MethodName, Positive, Text, Upstream, Whole};
use super::{Defaults, Plan};
use ajp::balancer::{
    AdaptiveLimit, Balancer, BalancerConfig, ClusterConfig, Failover, Member, OnStatus, Outlier,
    RetryBudget, RouteCookie, SameSite, Sticky,
};
use ajp::client::PoolConfig;
use health::{health, health_text};
use pool::{pool_config, secrets, tcp};
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
