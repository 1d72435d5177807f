//! From the tables of maps to the maps, each with what is different there.

use super::balancers::PhaseObserver;
use super::error::{Fault, Faults};
use super::file;
use super::timeouts;
use super::values::{Limit, Text, Whole};
use super::{Defaults, Plan};
use crate::framing::FRAMING;
use crate::gateway::front::{Action, HeaderChanges, Mapping, Pattern, Rule, Settings, Upgrades};
use ajp::balancer::{Balancer, BalancerConfig, Idempotent, Member, OnStatus, SendOptions};
use ajp::client::{Address, PoolConfig, RequestTimeouts, TcpOptions, Timeouts};
use ajp::wire::{Attribute, ForwardRequestWriter, PacketSize, RequestLine};
use bytes::BytesMut;
use http::header::{HeaderName, HeaderValue};
use std::sync::Arc;
use toml::Spanned;

/// The maps of one site.
pub(super) fn rules(
    tables: &[file::Map],
    balancers: &mut Vec<Plan>,
    defaults: &Defaults,
    faults: &mut Faults,
) -> Vec<Rule> {
    let mut rules: Vec<Rule> = Vec::new();
    for table in tables {
        let Some(rule) = rule(table, balancers, defaults, faults) else {
            continue;
        };
        let path = rule.pattern.to_string();
        if rules.iter().any(|known| known.pattern.to_string() == path) {
            let text = format!("{path:?} is mapped twice");
            faults.add(Fault::at(table.path.span(), text));
        }
        rules.push(rule);
    }
    rules
}

/// Where a map leads: a balancer and a path there, or nowhere.
fn rule(
    table: &file::Map,
    balancers: &mut Vec<Plan>,
    defaults: &Defaults,
    faults: &mut Faults,
) -> Option<Rule> {
    let pattern = Pattern::parse(table.path.get_ref());
    let pattern = pattern.map_err(|error| Fault::at(table.path.span(), error.to_string()));
    let pattern = faults.take(pattern);
    let settings = settings(table, faults);
    let exclusion = match table.to.get_ref().as_str() {
        "none" => Some(Action::NotFound),
        "deny" => Some(Action::Forbidden),
        _ => None,
    };
    if let Some(action) = exclusion {
        let pattern = pattern?;
        return Some(Rule { pattern, action });
    }
    let target = target(table, balancers, defaults);
    let (balancer, upgrades, path) = faults.take(target)?;
    let pattern = pattern?;
    let mapping = Mapping::new(&pattern, balancer, &path);
    let mapping = mapping.map_err(|error| Fault::at(table.to.span(), error.to_string()));
    let mapping = faults.take(mapping)?;
    let mapping = mapping
        .location(table.location)
        .cookie_path(table.cookie_path)
        .with_upgrades(upgrades)
        .with_settings(settings);
    Some(Rule {
        pattern,
        action: Action::Forward(mapping),
    })
}

/// The balancer that `to` names, where its members take upgrades, and the path there.
fn target(
    table: &file::Map,
    balancers: &mut Vec<Plan>,
    defaults: &Defaults,
) -> Result<(Balancer, Arc<Upgrades>, String), Fault> {
    let to = table.to.get_ref();
    let wrong = |message: String| Fault::at(table.to.span(), message);
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
    let (balancer, upgrades) = match scheme {
        "balancer" => {
            let known = balancers.iter().find(|known| known.name() == place);
            let known = known.map(|known| (known.balancer.clone(), Arc::clone(&known.upgrades)));
            known.ok_or_else(|| {
                let names: Vec<_> = balancers.iter().map(Plan::name).collect();
                let fault = wrong(format!(
                    "there is no [[balancer]] of the name {place:?}; there are: {}",
                    names.join(", ")
                ));
                fault.for_want_of("balancer")
            })?
        }
        "ajp" => {
            let address: Address = format!("ajp://{place}")
                .parse()
                .map_err(|error| wrong(format!("{error}")))?;
            let balancer = direct(&address, balancers, defaults).map_err(wrong)?;
            (balancer, Arc::default())
        }
        _ => {
            return Err(wrong(format!(
                "{to:?} has the scheme {scheme:?}; allowed are balancer and ajp"
            )));
        }
    };
    Ok((balancer, upgrades, path.to_owned()))
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
    let pools = PoolConfig::default()
        .with_secrets(defaults.secrets.clone())
        .with_body_requests(defaults.body_requests)
        .with_max_connections(defaults.max_connections)
        .with_timeouts(Timeouts::default().with_request(None))
        .with_observer(PhaseObserver);
    let pools = defaults.packets.of_pools(pools);
    let balancer = Balancer::new(BalancerConfig::new(name));
    let tcp = TcpOptions::default();
    let mut plan = Plan::new(balancer, String::new(), pools.clone(), tcp);
    let member = Member::new(address.to_string());
    plan.add(member, address, &pools)
        .map_err(|error| error.to_string())?;
    let balancer = plan.balancer.clone();
    balancers.push(plan);
    Ok(balancer)
}

/// What is different for requests of this map.
fn settings(table: &file::Map, faults: &mut Faults) -> Settings {
    let mut options = SendOptions::new()
        .with_stateless(table.stateless.unwrap_or(false))
        .with_sticky_ignore(table.sticky_ignore.unwrap_or(false));
    if let Some(name) = &table.member {
        options = options.with_member(name);
    }
    if let Some(name) = &table.domain {
        options = options.with_domain(name);
    }
    if let Some(count) = table.attempts {
        options = options.with_max_attempts(count.number());
    }
    for bad in &table.fail_on_status {
        let action = if bad.keeps_member {
            OnStatus::TryOther
        } else {
            OnStatus::FailAndTryOther
        };
        options = options.with_on_status(bad.status, action);
    }
    let mut limits = RequestTimeouts::new();
    if let Some(Text(Limit(limit))) = table.timeout {
        limits = limits.with_response_head(limit).with_between_packets(limit);
    }
    if let Some(table) = &table.timeouts {
        limits = timeouts::of_map(limits, table);
    }
    for (name, value) in &table.attributes {
        if let Some(why) = unsent(name.get_ref(), value) {
            faults.add(Fault::at(name.span(), why));
        }
    }
    let attributes = table.attributes.iter();
    Settings {
        options: Some(options).filter(|options| *options != SendOptions::new()),
        sticky_ignore: table.sticky_ignore.unwrap_or(false),
        member: table.member.clone(),
        domain: table.domain.clone(),
        timeouts: Some(limits).filter(|limits| *limits != RequestTimeouts::new()),
        idempotent: table.idempotent.map(Idempotent),
        max_body: table.max_body.map(|Whole(bytes)| bytes),
        request_buffer: table.request_buffer.map(Whole::size),
        response_buffer: table.response_buffer.map(Whole::size),
        attributes: attributes
            .map(|(name, value)| (name.get_ref().clone(), value.clone()))
            .collect(),
        request_headers: headers(&table.request_headers, faults),
        response_headers: headers(&table.response_headers, faults),
    }
}

/// Why a request with this attribute could not be sent: each would be answered with 400, as if its
/// client had done something wrong.
fn unsent(name: &str, value: &str) -> Option<String> {
    /// What every request tells by itself, or may (`docs::attributes`).
    const OWN: [&str; 4] = [
        "AJP_REMOTE_PORT",
        "AJP_LOCAL_ADDR",
        "AJP_SSL_PROTOCOL",
        "JK_LB_ACTIVATION",
    ];
    if name.is_empty() {
        return Some("an attribute has a name".into());
    }
    if OWN.contains(&name) {
        return Some(format!("{name:?} is told by the gateway itself"));
    }
    let line = RequestLine::default();
    let mut buffer = BytesMut::new();
    let attribute = Attribute::Named {
        name: name.as_bytes(),
        value: Some(value.as_bytes()),
    };
    let written = ForwardRequestWriter::new(&mut buffer, PacketSize::MAX, &line)
        .and_then(|mut writer| writer.attribute(attribute));
    Some(written.err()?.to_string())
}

/// Headers that are set and removed.
fn headers(table: &file::Headers, faults: &mut Faults) -> HeaderChanges {
    let mut changes = HeaderChanges::default();
    for (name, value) in &table.set {
        let field = faults.take(header_name(name));
        let text = HeaderValue::try_from(value.get_ref().as_str());
        let text = text.map_err(|error| Fault::at(value.span(), error.to_string()));
        if let (Some(field), Some(text)) = (field, faults.take(text)) {
            changes.set.push((field, text));
        }
    }
    for name in &table.remove {
        changes.remove.extend(faults.take(header_name(name)));
    }
    changes
}

pub(super) fn header_name(name: &Spanned<String>) -> Result<HeaderName, Fault> {
    let text = name.get_ref().as_str();
    let known = HeaderName::try_from(text)
        .map_err(|_| Fault::at(name.span(), format!("{text:?} is no name of a header")))?;
    if FRAMING.contains(&known) {
        let text = format!("{text:?} is HTTP's own: it cannot be set or removed");
        return Err(Fault::at(name.span(), text));
    }
    Ok(known)
}
