//! From tables to balancers and maps: everything that is checked beside something else.

use super::error::Fault;
use super::file::{self, CheckKind, File};
use super::values::{Packets, Text, Whole};
use super::{Config, Defaults, Manager, NamedSite, Plan, listeners};
use crate::gateway::front::{Action, HostName, Mapping, Order, Pattern, Rule};
use ajp::balancer::{
    Balancer, BalancerConfig, CPing, ClusterConfig, Failover, Health, HttpCheck, Member, OnStatus,
};
use ajp::client::{Address, PoolConfig, Timeouts};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;
use toml::Spanned;

/// Where the manager listens unless told.
const MANAGER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8081);

/// The whole configuration.
pub(crate) fn lower(file: File, defaults: &Defaults) -> Result<Config, Fault> {
    let mut balancers: Vec<Plan> = Vec::new();
    for table in &file.balancer {
        let name = table.name.get_ref();
        if balancers.iter().any(|known| known.name() == name) {
            return Err(Fault::at(
                table.name.span(),
                format!("there are two balancers of the name {name:?}"),
            ));
        }
        balancers.push(balancer(table, defaults)?);
    }
    let maps = rules(&file.map, &mut balancers, defaults)?;
    let mut named_sites = Vec::new();
    for table in &file.site {
        named_sites.push(site(table, &mut balancers, defaults)?);
    }
    if maps.is_empty() && named_sites.is_empty() && !balancers.is_empty() {
        return Err(Fault::whole(
            "there are balancers but no [[map]] that leads to one, such as path = \"/\", \
             to = \"balancer://name/\"",
        ));
    }
    let has_trusted = !file.trusted_proxies.is_empty();
    let listeners = file.listener.iter();
    let listeners = listeners.map(|table| listeners::listener(table, has_trusted));
    Ok(Config {
        listeners: listeners.collect::<Result<_, _>>()?,
        limits: listeners::limits(&file.limits, defaults.packet_size.bytes()),
        listen: file.listen.map(|Text(address)| address),
        access_log: file.access_log,
        max_body: file.max_body.map(|Whole(bytes)| bytes),
        trusted_proxies: file
            .trusted_proxies
            .into_iter()
            .map(|Text(network)| network)
            .collect(),
        forwarded_first: file.forwarded == file::Forwarded::Forwarded,
        header_underscores: file.header_underscores,
        manager: file.manager.map(manager).transpose()?,
        balancers,
        maps,
        order: order(file.order),
        normalise: file.paths == file::Paths::Normalise,
        named_sites,
    })
}

fn order(order: file::Order) -> Order {
    match order {
        file::Order::Longest => Order::Longest,
        file::Order::File => Order::File,
    }
}

/// A site with names of its own.
fn site(
    table: &file::Site,
    balancers: &mut Vec<Plan>,
    defaults: &Defaults,
) -> Result<NamedSite, Fault> {
    let names = table.hosts.get_ref();
    if names.is_empty() && !table.default {
        let text = "must name a host, or the site must have default = true";
        return Err(Fault::at(table.hosts.span(), text));
    }
    let mut hosts = Vec::new();
    for name in names {
        let host = HostName::parse(name.get_ref());
        hosts.push(host.map_err(|error| Fault::at(name.span(), error))?);
    }
    let maps = rules(&table.map, balancers, defaults)?;
    if maps.is_empty() {
        return Err(Fault::at(
            table.hosts.span(),
            "the site has no [[site.map]]",
        ));
    }
    Ok(NamedSite {
        hosts,
        is_default: table.default,
        maps,
        order: order(table.order),
        normalise: table.paths == file::Paths::Normalise,
    })
}

/// The maps of one site.
fn rules(
    tables: &[file::Map],
    balancers: &mut Vec<Plan>,
    defaults: &Defaults,
) -> Result<Vec<Rule>, Fault> {
    let mut rules: Vec<Rule> = Vec::new();
    for table in tables {
        let rule = map(table, balancers, defaults)?;
        let path = rule.pattern.to_string();
        if rules.iter().any(|known| known.pattern.to_string() == path) {
            let text = format!("{path:?} is mapped twice");
            return Err(Fault::at(table.path.span(), text));
        }
        rules.push(rule);
    }
    Ok(rules)
}

/// The manager, on loopback unless told otherwise.
pub(crate) fn manager(table: file::Manager) -> Result<Manager, Fault> {
    let (listen, span) = match table.listen {
        Some(listen) => (listen.get_ref().0, listen.span()),
        None => (MANAGER, 0..0),
    };
    let remote = !listen.ip().is_loopback();
    if remote && !table.allow_remote {
        return Err(Fault::at(
            span,
            format!("{listen} is no loopback address; allow_remote = true allows it, read only"),
        ));
    }
    let changes = table.changes.as_ref();
    if let Some(changes) = changes.filter(|changes| remote && *changes.get_ref()) {
        return Err(Fault::at(
            changes.span(),
            "true is allowed on a loopback address only",
        ));
    }
    Ok(Manager {
        listen,
        changes: changes.is_some_and(|changes| *changes.get_ref()),
        hosts: table.hosts,
    })
}

fn balancer(table: &file::Balancer, defaults: &Defaults) -> Result<Plan, Fault> {
    let name = table.name.get_ref();
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    if name.is_empty() || !name.bytes().all(is_plain) {
        return Err(Fault::at(
            table.name.span(),
            format!("{name:?} is no name; allowed are letters, digits, \".\", \"_\" and \"-\""),
        ));
    }
    let mut config = BalancerConfig::new(name)
        .with_failover(failover(table))
        .with_health(table.health.as_ref().map(health).transpose()?);
    if let Some(Text(pause)) = table.retry {
        config = config.with_cluster(ClusterConfig::default().with_retry(pause));
    }
    let force = table.nofailover.as_ref();
    match &table.sticky {
        Some(Text(sticky)) => {
            let force = force.is_some_and(|force| *force.get_ref());
            config = config.with_sticky(sticky.clone().with_force(force));
        }
        None => {
            if let Some(force) = force.filter(|force| *force.get_ref()) {
                return Err(Fault::at(force.span(), "true needs sticky"));
            }
        }
    }
    let (pools, secret) = pool_config(table, defaults)?;
    if table.member.is_empty() {
        return Err(Fault::at(
            table.name.span(),
            format!("{name:?} has no [[balancer.member]]"),
        ));
    }
    let mut plan = Plan::new(Balancer::new(config), fixed(table));
    if let Some(Text(method)) = table.method {
        plan.set_method(method.0);
    }
    for table in &table.member {
        let Text(address) = table.url.get_ref();
        let member = Member::new(address.to_string())
            .with_route(table.route.clone().unwrap_or_default())
            .with_weight(table.weight)
            .with_flags(table.status)
            .with_set(table.set.map_or(0, Whole::number));
        plan.add(member, address, &pools, secret)
            .map_err(|error| Fault::at(table.url.span(), error.to_string()))?;
    }
    Ok(plan)
}

/// What of a balancer cannot be changed while it runs.
fn fixed(table: &file::Balancer) -> String {
    let retry = table.retry.as_ref().map(|Text(pause)| pause);
    let health = table.health.as_ref().map(|health| {
        let text =
            |value: &Option<Spanned<String>>| value.as_ref().map(|text| text.get_ref().clone());
        (
            *health.check.get_ref(),
            health.interval.as_ref().map(|Text(time)| *time),
            (
                health.rise.map(Whole::number),
                health.fall.map(Whole::number),
            ),
            (text(&health.path), text(&health.body)),
            health
                .status
                .as_ref()
                .map(|statuses| statuses.get_ref().0.clone()),
        )
    });
    format!("{retry:?} {health:?}")
}

fn failover(table: &file::Balancer) -> Failover {
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
    failover
}

/// How the members are reached, and a number that changes when their secret does.
fn pool_config(table: &file::Balancer, defaults: &Defaults) -> Result<(PoolConfig, u64), Fault> {
    let (secret, digest) = match &table.secret_file {
        None => (defaults.secret.clone(), defaults.secret_digest),
        Some(path) => {
            let (secret, digest) =
                super::secret(path.get_ref()).map_err(|error| Fault::at(path.span(), error))?;
            (Some(secret), digest)
        }
    };
    // A download or a stream may last as long as its bytes come.
    let mut timeouts = Timeouts::default().with_request(None);
    if let Some(Text(limit)) = table.timeout {
        timeouts = timeouts
            .with_response_head(limit)
            .with_between_packets(limit);
    }
    if let Some(Text(limit)) = table.connect_timeout {
        timeouts = timeouts.with_connect(limit).with_cping(limit);
    }
    if let Some(Text(limit)) = table.acquire_timeout {
        timeouts = timeouts.with_acquire(limit);
    }
    let most = table
        .max_connections
        .and_then(|Whole(count)| usize::try_from(count).ok());
    let size = table.packet_size.map(|Packets(size)| size);
    let ahead = table
        .body_requests
        .and_then(|Whole(count)| u16::try_from(count).ok());
    let config = PoolConfig::default()
        .with_secret(secret)
        .with_packet_size(size.unwrap_or(defaults.packet_size))
        .with_body_requests(ahead.unwrap_or(defaults.body_requests))
        .with_max_connections(most.unwrap_or(defaults.max_connections))
        .with_timeouts(timeouts);
    Ok((config, digest))
}

fn health(table: &file::Health) -> Result<Health, Fault> {
    let health = match table.check.get_ref() {
        CheckKind::CPing => {
            let only_http = [
                table.path.as_ref().map(Spanned::span),
                table.status.as_ref().map(Spanned::span),
                table.body.as_ref().map(Spanned::span),
            ];
            if let Some(span) = only_http.into_iter().flatten().next() {
                return Err(Fault::at(span, "is for check = \"http\" only"));
            }
            Health::new(CPing)
        }
        CheckKind::Http => Health::new(http_check(table)?),
    };
    let health = match table.interval {
        Some(Text(interval)) => health.with_interval(interval.max(Duration::from_millis(100))),
        None => health,
    };
    let health = match table.rise {
        Some(rise) => health.with_rise(rise.number()),
        None => health,
    };
    Ok(match table.fall {
        Some(fall) => health.with_fall(fall.number()),
        None => health,
    })
}

fn http_check(table: &file::Health) -> Result<HttpCheck, Fault> {
    let Some(path) = &table.path else {
        return Err(Fault::at(table.check.span(), "\"http\" needs a path"));
    };
    let uri = path.get_ref().parse().ok();
    let uri = uri.filter(|_| path.get_ref().starts_with('/'));
    let mut check = HttpCheck::get(uri.ok_or_else(|| {
        Fault::at(
            path.span(),
            format!(
                "{:?} is no path, such as \"/app/health\"",
                path.get_ref().as_str()
            ),
        )
    })?);
    if let Some(statuses) = &table.status {
        check = check.with_statuses(statuses.get_ref().0.clone());
    }
    if let Some(text) = &table.body {
        check = check.with_body_contains(text.get_ref().clone());
    }
    Ok(check)
}

/// Where a map leads: a balancer and a path there.
fn map(table: &file::Map, balancers: &mut Vec<Plan>, defaults: &Defaults) -> Result<Rule, Fault> {
    let pattern = Pattern::parse(table.path.get_ref())
        .map_err(|error| Fault::at(table.path.span(), error.to_string()))?;
    let to = table.to.get_ref();
    let wrong = |message: String| Fault::at(table.to.span(), message);
    let exclusion = match to.as_str() {
        "none" => Some(Action::NotFound),
        "deny" => Some(Action::Forbidden),
        _ => None,
    };
    if let Some(action) = exclusion {
        return Ok(Rule { pattern, action });
    }
    let Some((scheme, rest)) = to.split_once("://") else {
        return Err(wrong(format!(
            "{to:?} leads nowhere; allowed are balancer://name/path, ajp://host:port/path, \
             none (404) and deny (403)"
        )));
    };
    let (place, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    let balancer = match scheme {
        "balancer" => {
            let known = balancers.iter().find(|known| known.name() == place);
            known.map(|known| known.balancer.clone()).ok_or_else(|| {
                let names: Vec<_> = balancers.iter().map(Plan::name).collect();
                wrong(format!(
                    "there is no [[balancer]] of the name {place:?}; there are: {}",
                    names.join(", ")
                ))
            })?
        }
        "ajp" => {
            let address: Address = format!("ajp://{place}")
                .parse()
                .map_err(|error| wrong(format!("{error}")))?;
            direct(&address, balancers, defaults).map_err(wrong)?
        }
        _ => {
            return Err(wrong(format!(
                "{to:?} has the scheme {scheme:?}; allowed are balancer and ajp"
            )));
        }
    };
    let mapping =
        Mapping::new(&pattern, balancer, path).map_err(|error| wrong(error.to_string()))?;
    let mapping = mapping
        .location(table.location)
        .cookie_path(table.cookie_path);
    Ok(Rule {
        pattern,
        action: Action::Forward(mapping),
    })
}

/// A balancer of one member for a map that leads to a container.
fn direct(
    address: &Address,
    balancers: &mut Vec<Plan>,
    defaults: &Defaults,
) -> Result<Balancer, String> {
    let name = address.to_string();
    if let Some(known) = balancers.iter().find(|known| known.name() == name) {
        return Ok(known.balancer.clone());
    }
    let mut plan = Plan::new(Balancer::new(BalancerConfig::new(name)), String::new());
    let pools = PoolConfig::default()
        .with_secret(defaults.secret.clone())
        .with_packet_size(defaults.packet_size)
        .with_body_requests(defaults.body_requests)
        .with_max_connections(defaults.max_connections)
        .with_timeouts(Timeouts::default().with_request(None));
    let member = Member::new(address.to_string());
    plan.add(member, address, &pools, defaults.secret_digest)
        .map_err(|error| error.to_string())?;
    let balancer = plan.balancer.clone();
    balancers.push(plan);
    Ok(balancer)
}
