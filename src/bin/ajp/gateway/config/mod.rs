//! The configuration: a file, or flags for what one balancer needs.

mod error;
mod file;
mod flags;
mod listeners;
mod lower;
mod values;

pub(crate) use error::ConfigError;
pub(crate) use flags::Backend;
pub(crate) use values::{MethodName, argument};

use crate::gateway::front::{
    HostName, Limits, ListenAddress, Maps, Network, Order, Rule, Sites, TlsSettings,
};
use ajp::Secret;
use ajp::balancer::{Balancer, Sticky};
use ajp::wire::PacketSize;
use error::Fault;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// What the gateway is to do.
#[derive(Debug, Default)]
pub(crate) struct Config {
    /// The plain listener that needs no table.
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) listeners: Vec<Listener>,
    pub(crate) limits: Limits,
    pub(crate) access_log: Option<PathBuf>,
    pub(crate) max_body: Option<u64>,
    pub(crate) trusted_proxies: Vec<Network>,
    pub(crate) manager: Option<Manager>,
    pub(crate) balancers: Vec<Balancer>,
    /// The maps of the site that is asked by no name of another one.
    pub(crate) maps: Vec<Rule>,
    pub(crate) order: Order,
    pub(crate) normalise: bool,
    pub(crate) named_sites: Vec<NamedSite>,
}

/// A site with names of its own.
#[derive(Debug)]
pub(crate) struct NamedSite {
    pub(crate) hosts: Vec<HostName>,
    pub(crate) is_default: bool,
    pub(crate) maps: Vec<Rule>,
    pub(crate) order: Order,
    pub(crate) normalise: bool,
}

/// One more listener.
#[derive(Debug, Clone)]
pub(crate) struct Listener {
    pub(crate) address: ListenAddress,
    pub(crate) proxy_protocol: bool,
    pub(crate) redirect: Option<u16>,
    pub(crate) hsts: Option<http::HeaderValue>,
    pub(crate) tls: Option<TlsSettings>,
}

/// Where and how the balancers are managed.
#[derive(Debug, Clone)]
pub(crate) struct Manager {
    pub(crate) listen: SocketAddr,
    /// Whether anything can be changed.
    pub(crate) changes: bool,
    /// Names under which browsers may ask for it, beside IP addresses and `localhost`.
    pub(crate) hosts: Vec<String>,
}

/// How containers are reached that the file says nothing else of.
#[derive(Debug, Clone)]
pub(crate) struct Defaults {
    pub(crate) secret: Option<Secret>,
    pub(crate) packet_size: PacketSize,
    pub(crate) body_requests: u16,
    pub(crate) max_connections: usize,
}

impl Config {
    /// The maps of every site.
    ///
    /// # Errors
    ///
    /// Two sites have a name, or the place of the default site, in common.
    pub(crate) fn sites(&self) -> Result<Sites, String> {
        let mut sites = Sites::default();
        if !self.maps.is_empty() {
            let maps = Maps::new(self.maps.clone(), self.order, self.normalise);
            sites.add(&[], true, maps)?;
        }
        for site in &self.named_sites {
            let maps = Maps::new(site.maps.clone(), site.order, site.normalise);
            sites.add(&site.hosts, site.is_default, maps)?;
        }
        Ok(sites)
    }

    /// Reads a configuration file.
    pub(crate) fn load(path: &Path, defaults: &Defaults) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Fault::whole(error.to_string()).of(path, ""))?;
        Self::parse(&text, defaults).map_err(|fault| fault.of(path, &text))
    }

    fn parse(text: &str, defaults: &Defaults) -> Result<Self, Fault> {
        lower::lower(file::read(text)?, defaults)
    }

    /// One balancer named `default` over these containers, for all paths.
    pub(crate) fn of_backends(
        backends: Vec<Backend>,
        method: Option<MethodName>,
        sticky: Option<Sticky>,
        defaults: &Defaults,
    ) -> Result<Self, ConfigError> {
        let file = flags::file(backends, method, sticky);
        Ok(lower::lower(file, defaults)?)
    }
}

impl Manager {
    /// A manager by flags.
    pub(crate) fn new(listen: SocketAddr, changes: bool) -> Result<Self, ConfigError> {
        let file = flags::manager(listen, changes);
        Ok(lower::manager(file)?)
    }
}

#[cfg(test)]
mod tests;
