//! From tables to the configuration: everything that is checked beside something else.

use super::error::{Fault, Faults};
use super::file::{self, File};
use super::values::{Text, Whole};
use super::{Config, Defaults, Manager, NamedSite, Plan, addresses, balancers, listeners, maps};
use crate::gateway::front::{HostName, LogFormat, Order};
use ajp::Secret;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use toml::Spanned;

/// Where the manager listens unless told.
pub(super) const MANAGER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8081);

/// The whole configuration, which is right if there are no faults.
pub(crate) fn lower(file: File, defaults: &Defaults, faults: &mut Faults) -> Config {
    let mut plans: Vec<Plan> = Vec::new();
    for table in &file.balancer {
        let name = table.name.get_ref();
        if plans.iter().any(|known| known.name() == name) {
            let text = format!("there are two balancers of the name {name:?}");
            faults.add(Fault::at(table.name.span(), text));
            continue;
        }
        plans.push(balancers::balancer(table, defaults, faults));
    }
    let maps = maps::rules(&file.map, &mut plans, defaults, faults);
    let mut named_sites = Vec::new();
    for table in &file.site {
        named_sites.push(site(table, &mut plans, defaults, faults));
    }
    same_names(&file, faults);
    addresses::exclusive(&file, faults);
    if file.map.is_empty() && file.site.is_empty() && !plans.is_empty() {
        let fault = Fault::whole(
            "there are balancers but no [[map]] that leads to one, such as path = \"/\", \
             to = \"balancer://name/\"",
        );
        faults.add(fault.for_want_of("map"));
    }
    let has_trusted = !file.trusted_proxies.is_empty();
    let name = file.client_certificate_header.as_ref();
    if let Some(name) = name.filter(|_| !has_trusted) {
        let fault = Fault::at(
            name.span(),
            "is taken from trusted_proxies only, and there are none",
        );
        faults.add(fault.for_want_of("trusted_proxies"));
    }
    let client_certificate_header = name.and_then(|name| faults.take(maps::header_name(name)));
    let listeners = file.listener.iter();
    let listeners = listeners.map(|table| listeners::listener(table, has_trusted, faults));
    Config {
        listeners: listeners.collect(),
        limits: listeners::limits(&file.limits, defaults.packets.longest().bytes()),
        listen: file.listen.map(|listen| listen.get_ref().0),
        access_log: file.access_log,
        log_format: match file.log_format {
            file::LogFormat::Combined => LogFormat::Combined,
            file::LogFormat::Json => LogFormat::Json,
        },
        max_body: file.max_body.map(|Whole(bytes)| bytes),
        trusted_proxies: file
            .trusted_proxies
            .into_iter()
            .map(|Text(networks)| networks)
            .collect(),
        forwarded_first: file.forwarded == file::Forwarded::Forwarded,
        header_underscores: file.header_underscores,
        client_certificate_header,
        manager: file.manager.map(|table| manager(table, faults)),
        balancers: plans,
        maps,
        order: order(file.order),
        normalise: file.paths == file::Paths::Normalise,
        named_sites,
    }
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
    faults: &mut Faults,
) -> NamedSite {
    let names = table.hosts.get_ref();
    if names.is_empty() && !table.default {
        let text = "must name a host, or the site must have default = true";
        faults.add(Fault::at(table.hosts.span(), text).for_want_of("hosts"));
    }
    let mut hosts = Vec::new();
    for name in names {
        let host = HostName::parse(name.get_ref());
        hosts.extend(faults.take(host.map_err(|error| Fault::at(name.span(), error))));
    }
    let maps = maps::rules(&table.map, balancers, defaults, faults);
    if table.map.is_empty() {
        let fault = Fault::at(table.hosts.span(), "the site has no [[site.map]]");
        faults.add(fault.for_want_of("map"));
    }
    NamedSite {
        hosts,
        is_default: table.default,
        maps,
        order: order(table.order),
        normalise: table.paths == file::Paths::Normalise,
    }
}

/// Sites that cannot be told apart.
fn same_names(file: &File, faults: &mut Faults) {
    let mut known: Vec<HostName> = Vec::new();
    let mut has_default = !file.map.is_empty();
    for table in &file.site {
        for name in table.hosts.get_ref() {
            let Ok(host) = HostName::parse(name.get_ref()) else {
                continue;
            };
            if known.contains(&host) {
                let text = format!("two sites have the name {host}");
                faults.add(Fault::at(name.span(), text));
            }
            known.push(host);
        }
        if table.default && std::mem::replace(&mut has_default, true) {
            let text = "there are two default sites; the maps outside of sites are one";
            faults.add(Fault::at(table.hosts.span(), text));
        }
    }
}

/// The manager, on loopback unless told otherwise.
pub(crate) fn manager(table: file::Manager, faults: &mut Faults) -> Manager {
    let (listen, span) = match table.listen {
        Some(listen) => (listen.get_ref().0, listen.span()),
        None => (MANAGER, 0..0),
    };
    let remote = !listen.ip().is_loopback();
    if remote && !table.allow_remote {
        faults.add(Fault::at(
            span,
            format!("{listen} is no loopback address; allow_remote = true allows it, read only"),
        ));
    }
    let changes = table.changes.as_ref();
    if let Some(changes) = changes.filter(|changes| remote && *changes.get_ref()) {
        faults.add(Fault::at(
            changes.span(),
            "true is allowed on a loopback address only",
        ));
    }
    let token = table.token_file.as_ref();
    let token = token.and_then(|path| faults.take(token_of(path)));
    Manager {
        listen,
        changes: changes.is_some_and(|changes| *changes.get_ref()),
        token,
        state_file: table.state_file,
        health_listen: table.health_listen.map(|listen| listen.get_ref().0),
        hosts: table.hosts,
    }
}

/// Shorter ones can be guessed.
const LEAST_TOKEN_BYTES: u64 = 16;

/// The token of the manager's API.
fn token_of(path: &Spanned<PathBuf>) -> Result<Secret, Fault> {
    let file = path.get_ref();
    let wrong = |error: String| Fault::at(path.span(), format!("{}: {error}", file.display()));
    let found = std::fs::metadata(file).map_err(|error| wrong(error.to_string()))?;
    if found.len() < LEAST_TOKEN_BYTES {
        return Err(wrong(format!(
            "a token has at least {LEAST_TOKEN_BYTES} bytes; make one with: openssl rand -hex 32"
        )));
    }
    Secret::from_file(file).map_err(|error| Fault::at(path.span(), error.to_string()))
}
