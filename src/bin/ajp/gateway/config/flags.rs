//! The same tables from the command line.

use super::balancer_tables::{Balancer, Member};
use super::file::{File, Manager, Map};
use super::values::{MethodName, Text, Whole};
use ajp::balancer::{Sticky, Weight};
use ajp::client::Address;
use std::net::SocketAddr;
use std::str::FromStr;
use toml::Spanned;

/// The only balancer.
const NAME: &str = "default";

/// A container with httpd's parameters: `ajp://127.0.0.1:8009 route=jvm1 weight=2`.
#[derive(Debug, Clone)]
pub(crate) struct Backend {
    url: Address,
    route: Option<String>,
    weight: Weight,
    status: ajp::balancer::Flags,
    set: u32,
}

impl From<Address> for Backend {
    fn from(url: Address) -> Self {
        Self {
            url,
            route: None,
            weight: Weight::ONE,
            status: ajp::balancer::Flags::ACTIVE,
            set: 0,
        }
    }
}

impl FromStr for Backend {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split_ascii_whitespace();
        let url = words.next().unwrap_or_default();
        let url: Address = url.parse().map_err(|error| format!("{error}"))?;
        let mut backend = Self::from(url);
        for word in words {
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            match key {
                "route" => backend.route = Some(value.into()),
                "weight" => backend.weight = value.parse().map_err(|error| format!("{error}"))?,
                "status" => backend.status = value.parse().map_err(|error| format!("{error}"))?,
                "set" => {
                    let set = value.parse().ok().filter(|set| *set <= 1000);
                    backend.set = set.ok_or("set is a whole number from 0 to 1000")?;
                }
                _ => {
                    return Err(format!(
                        "unknown parameter {key:?}; there are route, weight, status and set"
                    ));
                }
            }
        }
        Ok(backend)
    }
}

/// A value that stands in no file.
fn here<T>(value: T) -> Spanned<T> {
    Spanned::new(0..0, value)
}

/// One balancer over these containers, for all paths.
pub(crate) fn file(
    backends: Vec<Backend>,
    method: Option<MethodName>,
    sticky: Option<Sticky>,
) -> File {
    let member = |backend: Backend| Member {
        url: here(Text(backend.url)),
        route: backend.route,
        secret_file: None,
        weight: backend.weight,
        status: backend.status,
        set: Some(Whole(backend.set.into())),
        domain: None,
        redirect: None,
        upgrade: None,
        max_requests: None,
        retry: None,
        slow_start: None,
    };
    let balancer = Balancer {
        name: here(NAME.into()),
        method: method.map(Text),
        sticky: sticky.map(Text),
        nofailover: None,
        retry: None,
        attempts: None,
        fail_on_status: Vec::new(),
        secret_file: None,
        packet_size: None,
        body_requests: None,
        max_connections: None,
        connect_timeout: None,
        acquire_timeout: None,
        timeout: None,
        timeouts: None,
        pool: None,
        tcp: None,
        sessions: None,
        failover: None,
        recovery: None,
        outlier: None,
        adaptive_limit: None,
        discovery: None,
        health: None,
        member: backends.into_iter().map(member).collect(),
    };
    let map = Map::new(here("/".into()), here(format!("balancer://{NAME}/")));
    File {
        balancer: vec![balancer],
        map: vec![map],
        ..File::default()
    }
}

/// The manager's table.
pub(crate) fn manager(listen: SocketAddr, changes: bool) -> Manager {
    Manager {
        listen: Some(here(Text(listen))),
        allow_remote: false,
        changes: Some(here(changes)),
        token_file: None,
        state_file: None,
        health_listen: None,
        hosts: Vec::new(),
    }
}
