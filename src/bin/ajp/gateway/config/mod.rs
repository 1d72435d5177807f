//! The configuration: a file, or flags for what one balancer needs.

mod addresses;
mod balancer_tables;
mod balancers;
mod deserializer;
mod discovery;
mod error;
mod file;
mod flags;
mod listeners;
mod lower;
mod maps;
mod paths;
mod plan;
mod read;
mod timeouts;
mod values;

pub(crate) use error::ConfigError;
pub(crate) use flags::Backend;
pub(crate) use plan::Plan;
pub(crate) use values::{
    LONGEST, METHODS, MethodName, Packets, argument, cping_mode, duration, upstream,
};

use crate::gateway::front::{
    HostName, Limits, ListenAddress, LogFormat, Maps, Order, Rule, Sites, SocketMode, TlsSettings,
};
use crate::gateway::manager::Route;
use ajp::Secret;
use ajp::balancer::{Balancer, Sticky};
use ajp::proxy::{ForwardedRules, Precedence};
use ajp::server::Networks;
use error::{Fault, Faults};
use std::collections::BTreeSet;
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
    pub(crate) log_format: LogFormat,
    pub(crate) max_body: Option<u64>,
    pub(crate) trusted_proxies: Vec<Networks>,
    /// Whether `Forwarded` comes before `X-Forwarded-*`.
    pub(crate) forwarded_first: bool,
    pub(crate) header_underscores: bool,
    /// Where trusted proxies send the certificate of their client.
    pub(crate) client_certificate_header: Option<http::HeaderName>,
    pub(crate) manager: Option<Manager>,
    pub(crate) balancers: Vec<Plan>,
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
    /// Who may connect, if it is a Unix socket.
    pub(crate) mode: SocketMode,
    pub(crate) proxy_protocol: bool,
    pub(crate) redirect: Option<u16>,
    pub(crate) hsts: Option<http::HeaderValue>,
    pub(crate) tls: Option<TlsSettings>,
}

/// Where and how the balancers are managed.
#[derive(Debug, Clone)]
pub(crate) struct Manager {
    pub(crate) listen: SocketAddr,
    /// Whether anything can be changed by forms.
    pub(crate) changes: bool,
    /// What programs that change something prove themselves with.
    pub(crate) token: Option<Secret>,
    /// Where changes are kept.
    pub(crate) state_file: Option<PathBuf>,
    /// Where it tells whether it is alive and ready.
    pub(crate) health_listen: Option<SocketAddr>,
    /// Names under which browsers may ask for it, beside IP addresses and `localhost`.
    pub(crate) hosts: Vec<String>,
}

/// How containers are reached that the file says nothing else of.
#[derive(Debug, Clone)]
pub(crate) struct Defaults {
    /// Several while they are being changed, the new one first.
    pub(crate) secrets: Vec<Secret>,
    pub(crate) packets: Packets,
    pub(crate) body_requests: u16,
    pub(crate) max_connections: usize,
}

/// Reads secrets; which file cannot be read, and why.
pub(crate) fn secrets(paths: &[PathBuf]) -> Result<Vec<Secret>, String> {
    let read = |path: &PathBuf| Secret::from_file(path).map_err(|error| error.to_string());
    paths.iter().map(read).collect()
}

/// What is wrong with the keys and values of a configuration.
#[cfg(feature = "cli")]
pub(crate) fn faults(text: &str) -> Vec<(Option<std::ops::Range<usize>>, String)> {
    let mut faults = Faults::default();
    read::read(text, &mut faults);
    let faults = faults.sorted().into_iter();
    faults.map(|fault| (fault.span, fault.message)).collect()
}

impl Config {
    /// How many files and sockets clients, members and the rest may take together.
    pub(crate) fn descriptors(&self) -> u64 {
        /// Listeners, logs, name servers, what the runtime itself needs.
        const OTHERS: usize = 64;
        let members = self.balancers.iter().map(Plan::most_connections);
        let all = [OTHERS, self.limits.connections]
            .into_iter()
            .chain(members)
            .fold(0, usize::saturating_add);
        u64::try_from(all).unwrap_or(u64::MAX)
    }

    /// The balancers, each with its members.
    pub(crate) fn balancers(&self) -> Vec<Balancer> {
        self.balancers
            .iter()
            .map(|plan| plan.balancer.clone())
            .collect()
    }

    /// Goes on with the balancers of a configuration that runs; what has changed, in words.
    pub(crate) fn adopt(&mut self, running: &Self) -> Vec<String> {
        let mut changes = Vec::new();
        for plan in &mut self.balancers {
            let name = plan.name().to_owned();
            let before = running
                .balancers
                .iter()
                .find(|before| before.name() == name);
            match before.map(|before| plan.adopt(before)) {
                None => changes.push(format!("{name}: new")),
                Some(done) => {
                    changes.extend(done.into_iter().map(|text| format!("{name}: {text}")));
                }
            }
        }
        let balancers = self.balancers();
        let named = self.named_sites.iter_mut().flat_map(|site| &mut site.maps);
        for rule in self.maps.iter_mut().chain(named) {
            rule.use_balancers(&balancers);
        }
        changes
    }

    /// The manager's listeners and its state file stay those that were there at the start: what
    /// is different and holds from the next start only, in words. Forms stay closed where the
    /// listener is open to other machines.
    pub(crate) fn hold_manager(&mut self, running: &Self) -> Vec<String> {
        const LATER: &str = "holds from the next start";
        let mut later = Vec::new();
        let Some(before) = &running.manager else {
            if self.manager.take().is_some() {
                later.push(format!("manager: {LATER}"));
            }
            return later;
        };
        let Some(manager) = &mut self.manager else {
            later.push(format!(
                "manager: that there is none {LATER}; it is read only until then"
            ));
            self.manager = Some(Manager {
                changes: false,
                token: None,
                ..before.clone()
            });
            return later;
        };
        let wanted = manager.clone();
        manager.listen = before.listen;
        manager.health_listen = before.health_listen;
        manager.state_file.clone_from(&before.state_file);
        manager.changes &= before.listen.ip().is_loopback();
        for (key, is_held) in [
            ("listen", wanted.listen != manager.listen),
            (
                "health_listen",
                wanted.health_listen != manager.health_listen,
            ),
            ("state_file", wanted.state_file != manager.state_file),
            ("changes", wanted.changes != manager.changes),
        ] {
            if is_held {
                later.push(format!("manager.{key}: {LATER}"));
            }
        }
        later
    }

    /// The names of the sites, in the order of [`sites`](Self::sites).
    pub(crate) fn site_names(&self) -> Vec<String> {
        let own = (!self.maps.is_empty()).then(|| "default".to_owned());
        let named = self.named_sites.iter().map(|site| {
            let name = site.hosts.first();
            name.map_or_else(|| "default".to_owned(), ToString::to_string)
        });
        own.into_iter().chain(named).collect()
    }

    /// The request attributes that the maps to a balancer add, by name.
    pub(crate) fn attributes_for(&self, balancer: &str) -> Vec<String> {
        let named = self.named_sites.iter().flat_map(|site| &site.maps);
        let mappings = self.maps.iter().chain(named).filter_map(Rule::mapping);
        let mappings = mappings.filter(|mapping| mapping.balancer().name() == balancer);
        let attributes = mappings.flat_map(|mapping| &mapping.settings().attributes);
        let unique: BTreeSet<&String> = attributes.map(|(name, _)| name).collect();
        unique.into_iter().cloned().collect()
    }

    /// Where each part of the site leads, for readers.
    pub(crate) fn routes(&self) -> Vec<Route> {
        let own = self.maps.iter().map(|rule| Route::of(&[], rule));
        let named = self.named_sites.iter().flat_map(|site| {
            let rules = site.maps.iter();
            rules.map(|rule| Route::of(&site.hosts, rule))
        });
        own.chain(named).collect()
    }

    /// Whose word about clients is taken.
    pub(crate) fn forwarded(&self) -> ForwardedRules {
        let trusted = self.trusted_proxies.clone();
        let precedence = if self.forwarded_first {
            Precedence::Forwarded
        } else {
            Precedence::XForwarded
        };
        let rules = ForwardedRules::new()
            .with_trusted_proxies(move |address| {
                trusted.iter().any(|network| network.contains(address))
            })
            .with_precedence(precedence)
            .with_underscores(self.header_underscores);
        match &self.client_certificate_header {
            Some(name) => rules.with_client_certificate_header(name.as_str()),
            None => rules,
        }
    }

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
    ///
    /// # Errors
    ///
    /// All that is wrong with it.
    pub(crate) fn load(path: &Path, defaults: &Defaults) -> Result<Self, ConfigError> {
        match crate::files::read_to_string(path) {
            Ok(text) => Self::parse(path, &text, defaults),
            Err(error) => {
                let mut faults = Faults::default();
                faults.add(Fault::whole(error.to_string()));
                faults.settle(path, "", None)
            }
        }
    }

    /// Reads the text of the configuration file at `path`.
    fn parse(path: &Path, text: &str, defaults: &Defaults) -> Result<Self, ConfigError> {
        let mut faults = Faults::default();
        let file = read::read(text, &mut faults);
        let config = file.map(|mut file| {
            paths::resolve(&mut file, path);
            lower::lower(file, defaults, &mut faults)
        });
        faults.settle(path, text, config)
    }

    /// One balancer named `default` over these containers, for all paths.
    pub(crate) fn of_backends(
        backends: Vec<Backend>,
        method: Option<MethodName>,
        sticky: Option<Sticky>,
        defaults: &Defaults,
    ) -> Result<Self, ConfigError> {
        let file = flags::file(backends, method, sticky);
        let mut faults = Faults::default();
        let config = lower::lower(file, defaults, &mut faults);
        faults.settle_flags(Some(config))
    }
}

impl Manager {
    /// A manager by flags.
    pub(crate) fn new(listen: SocketAddr, changes: bool) -> Result<Self, ConfigError> {
        let file = flags::manager(listen, changes);
        let mut faults = Faults::default();
        let manager = lower::manager(file, &mut faults);
        faults.settle_flags(Some(manager))
    }
}

#[cfg(test)]
mod library_settings;
#[cfg(test)]
mod tests;
