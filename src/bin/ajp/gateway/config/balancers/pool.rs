//! From the tables of a balancer to the pools of its members.

use super::super::balancer_tables as tables;
use super::super::error::{Fault, Faults};
use super::super::timeouts;
use super::super::values::{KeepAliveTime, Text, Whole};
use super::super::{Defaults, secrets as read_secrets};
use super::{limit, time, with};
use crate::gateway::front::AccessLog;
use ajp::Secret;
use ajp::client::{IdleOrder, Observer, PoolConfig, TcpKeepAlive, TcpOptions, Timeouts};
use std::time::Duration;
use toml::Spanned;

pub(super) fn secrets(files: &Spanned<tables::SecretFiles>) -> Result<Vec<Secret>, Fault> {
    let paths = files.get_ref().paths();
    if paths.is_empty() {
        return Err(Fault::at(files.span(), "must name a file"));
    }
    read_secrets(paths).map_err(|error| Fault::at(files.span(), error))
}

/// How long a member may go on with a request whose client has gone, unless the file says
/// otherwise.
const ABANDONED: Duration = Duration::from_secs(2);

/// How the members are reached.
pub(super) fn pool_config(
    table: &tables::Balancer,
    defaults: &Defaults,
    faults: &mut Faults,
) -> PoolConfig {
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
        .with_observer(PhaseObserver);
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
pub(super) fn tcp(table: &tables::Tcp) -> TcpOptions {
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

/// A pool that is observed measures all phases of its exchanges: the access log shows them.
pub(in crate::gateway::config) struct PhaseObserver;

impl Observer for PhaseObserver {
    fn wants_exchanges(&self) -> bool {
        AccessLog::has_been_opened()
    }
}
