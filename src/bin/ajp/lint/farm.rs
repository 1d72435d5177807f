//! What all files together say: ways to containers, balancers, paths, connectors.

use crate::config::Place;
use crate::config::httpd::Tree;
use crate::config::workers::Workers;
use crate::config::xml::{Element, Value};
use std::collections::BTreeMap;
use std::time::Duration;

/// A value and where it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Located<T> {
    pub(super) value: T,
    pub(super) place: Place,
}

impl<T> Located<T> {
    pub(super) fn new(value: T, place: &Place) -> Self {
        Self {
            value,
            place: place.clone(),
        }
    }
}

/// Which program is in front of containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Front {
    ProxyAjp,
    ModJk,
    Gateway,
}

/// One way to a container: a worker of httpd or mod_jk, a member of the gateway.
#[derive(Debug, Clone)]
pub(super) struct Link {
    pub(super) front: Front,
    /// The URL, or the name of the worker.
    pub(super) name: String,
    pub(super) place: Place,
    pub(super) host: String,
    /// `None` for Unix sockets.
    pub(super) port: Option<u16>,
    pub(super) secret: Option<Located<String>>,
    /// What is sent where the first one is refused, while secrets are being changed.
    pub(super) other_secrets: Vec<String>,
    /// In force, rounded as the front does it.
    pub(super) packet_size: u64,
    /// Where it is set.
    pub(super) packet_place: Option<Place>,
    /// Most connections of one process, where they are set.
    pub(super) max: Option<Located<u64>>,
    /// After what time an idle connection is closed.
    pub(super) idle: Option<Located<Duration>>,
    /// Whether connections are checked with CPing before use.
    pub(super) is_probed: bool,
    /// What sessions of this container end in.
    pub(super) route: Option<Located<String>>,
    /// Names of request attributes that are set for this way, where they are written with it.
    pub(super) attributes: Vec<Located<String>>,
    /// All settings by their names in lower case.
    pub(super) settings: BTreeMap<String, Located<String>>,
    /// The virtual host, if the way was written for one.
    pub(super) site: Option<usize>,
}

impl Link {
    pub(super) fn setting(&self, name: &str) -> Option<&Located<String>> {
        self.settings.get(name)
    }
}

pub(super) fn is_loopback(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback())
}

/// Several ways that share requests.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) front: Front,
    pub(super) name: String,
    pub(super) place: Place,
    /// Indices of links.
    pub(super) members: Vec<usize>,
    /// Names of the session cookie and parameter, unless sessions are not followed.
    pub(super) sticky: Option<Located<String>>,
    pub(super) settings: BTreeMap<String, Located<String>>,
}

/// A path and where it leads.
#[derive(Debug, Clone)]
pub(super) struct Map {
    pub(super) front: Front,
    pub(super) place: Place,
    pub(super) path: String,
    pub(super) target: Target,
    /// The path there; empty when the URL ends before it.
    pub(super) inner: String,
    pub(super) site: Option<usize>,
    /// Whether earlier lines go before it: not so in a `Location`.
    pub(super) is_in_order: bool,
}

/// Where a path leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    Link(usize),
    /// A balancer, or with mod_jk a worker, by its name.
    Named(String),
    /// `!`: not to a container; with `mod_jk` not to this worker, or none: to no worker.
    Excluded(Option<String>),
    /// `http://host:port`: host and port.
    Http(String, u16),
}

/// Which program serves AJP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Tomcat,
    WildFly,
}

/// The configuration of a container.
#[derive(Debug, Clone)]
pub(super) struct Container {
    pub(super) kind: Kind,
    pub(super) place: Place,
    pub(super) route: Option<Value>,
    /// Where a route would be written.
    pub(super) engine: Place,
    pub(super) connectors: Vec<Connector>,
    /// All of the file.
    pub(super) root: Element,
    /// AJP connectors that are commented out.
    pub(super) commented_out: Vec<Place>,
}

/// A listener of a container, its settings under Tomcat's names.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    pub(super) is_ajp: bool,
    pub(super) place: Place,
    pub(super) port: Option<u16>,
    pub(super) settings: BTreeMap<String, Value>,
    /// `maxThreads` of the executor it uses.
    pub(super) executor_threads: Option<Value>,
}

impl Connector {
    /// A setting whose value is known.
    pub(super) fn known(&self, name: &str) -> Option<&Value> {
        self.settings.get(name).filter(|value| value.is_known)
    }

    pub(super) fn number(&self, name: &str) -> Option<Located<i64>> {
        let value = self.known(name)?;
        let number = value.text.trim().parse().ok()?;
        Some(Located::new(number, &value.place))
    }

    pub(super) fn is_on(&self, name: &str, default: bool) -> bool {
        self.settings.get(name).map_or(default, |value| {
            // Neither, when it is not known here: whoever asks finds nothing.
            value.is_known && value.text.eq_ignore_ascii_case("true")
        })
    }

    pub(super) fn is_set(&self, name: &str) -> bool {
        self.settings.contains_key(name)
    }

    /// The secret it wants; an empty one is none.
    pub(super) fn secret(&self) -> Option<&Value> {
        let secret = self.settings.get("secret");
        // Before Tomcat 10.1 the old name did the same.
        let secret = secret.or_else(|| self.settings.get("requiredSecret"));
        secret.filter(|value| !value.text.is_empty())
    }

    /// Whether it starts without a secret.
    pub(super) fn secret_is_required(&self) -> bool {
        self.settings
            .get("secretRequired")
            .is_none_or(|value| !value.is_known || !value.text.eq_ignore_ascii_case("false"))
    }

    /// The packet size in force.
    pub(super) fn packet_size(&self) -> Option<u64> {
        if !self.is_set("packetSize") {
            return Some(8192);
        }
        let size = self.number("packetSize")?.value;
        u64::try_from(size).ok().map(|size| size.max(8192))
    }

    /// After what time it closes idle connections; `None`: never, or it is not known.
    pub(super) fn keep_alive(&self) -> Option<Located<Duration>> {
        let set = self.number("keepAliveTimeout").or_else(|| {
            self.number("connectionTimeout")
                .filter(|_| !self.is_set("keepAliveTimeout"))
        })?;
        let millis = u64::try_from(set.value).ok()?;
        Some(Located::new(Duration::from_millis(millis), &set.place))
    }

    pub(super) fn threads(&self) -> Option<Located<u64>> {
        if let Some(value) = &self.executor_threads {
            let number = value.text.parse().ok().filter(|_| value.is_known)?;
            return Some(Located::new(number, &value.place));
        }
        let set = self.number("maxThreads")?;
        u64::try_from(set.value)
            .ok()
            .map(|number| Located::new(number, &set.place))
    }
}

/// Everything that was read.
#[derive(Debug, Default)]
pub(super) struct Farm {
    pub(super) httpd: Option<Tree>,
    pub(super) workers: Vec<Workers>,
    pub(super) links: Vec<Link>,
    pub(super) groups: Vec<Group>,
    pub(super) maps: Vec<Map>,
    pub(super) containers: Vec<Container>,
    /// `context.xml` files.
    pub(super) contexts: Vec<Element>,
    /// Files that could not be understood, and why.
    pub(super) broken: Vec<(Place, String)>,
    /// Lines that httpd does not start with, and why.
    pub(super) refused: Vec<(Place, String)>,
    /// Files that could not be looked at, which need not be wrong, and why.
    pub(super) unchecked: Vec<(Place, String)>,
    /// Files that others name and that are not there.
    pub(super) missing: Vec<(Place, String)>,
    /// Files with settings that their program does not take, and why.
    pub(super) wrong_settings: Vec<(Place, String)>,
    /// Places of secrets in files that everybody can read.
    pub(super) readable: Vec<Place>,
    /// How many web servers have these files.
    pub(super) web_servers: u64,
}

/// `ProxyIOBufferSize` of a virtual host, or else of the server.
pub(super) fn io_buffer_size(tree: &Tree, site: Option<usize>) -> Option<Located<u64>> {
    let of = |site: Option<usize>| {
        let items = tree.named("proxyiobuffersize");
        items.filter(|item| item.site() == site).last()
    };
    let item = of(site).or_else(|| of(None))?;
    Some(Located::new(item.arg(0).parse().ok()?, &item.place))
}

/// A way, and the connector it leads to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair<'a> {
    pub(super) link: &'a Link,
    pub(super) container: &'a Container,
    pub(super) connector: &'a Connector,
}

impl Farm {
    /// The ways to AJP connectors that are known. A way whose port several containers have is
    /// left out, unless address or route tell which of them it is.
    pub(super) fn pairs(&self) -> Vec<Pair<'_>> {
        let pairs = self.links.iter().filter_map(|link| {
            let (container, connector) = self.connector_of(link, true)?;
            Some(Pair {
                link,
                container,
                connector,
            })
        });
        pairs.collect()
    }

    /// The connector at the port of a way, of AJP or of HTTP.
    pub(super) fn connector_of(
        &self,
        link: &Link,
        is_ajp: bool,
    ) -> Option<(&Container, &Connector)> {
        let port = link.port?;
        let found: Vec<_> = self
            .connectors()
            .filter(|(_, connector)| connector.is_ajp == is_ajp && connector.port == Some(port))
            .collect();
        if let [one] = found[..] {
            return Some(one);
        }
        let at_host = |connector: &Connector| {
            let address = connector.known("address");
            address.is_some_and(|address| address.text == link.host)
        };
        let of_route = |container: &Container| {
            let route = container.route.as_ref().map(|route| &route.text);
            route.is_some() && route == link.route.as_ref().map(|route| &route.value)
        };
        let one = |is: &dyn Fn(&(&Container, &Connector)) -> bool| {
            let mut fitting = found.iter().filter(|pair| is(pair));
            match (fitting.next(), fitting.next()) {
                (Some(pair), None) => Some(*pair),
                _ => None,
            }
        };
        one(&|(_, connector)| at_host(connector))
            .or_else(|| one(&|(container, _)| of_route(container)))
    }

    /// Whether requests can come over a way: workers of mod_jk get none that nothing is mounted
    /// on, where it is known what is mounted.
    pub(super) fn is_used(&self, index: usize) -> bool {
        let Some(link) = self
            .links
            .get(index)
            .filter(|link| link.front == Front::ModJk)
        else {
            return true;
        };
        let mut mounted = self.maps.iter().filter_map(|map| match &map.target {
            Target::Named(name) if map.front == Front::ModJk => Some(name),
            _ => None,
        });
        let leads_here = |name: &String| {
            let mut groups = self.groups.iter().filter(|group| group.name == *name);
            *name == link.name || groups.any(|group| group.members.contains(&index))
        };
        mounted.clone().next().is_none() || mounted.any(leads_here)
    }

    pub(super) fn connectors(&self) -> impl Iterator<Item = (&Container, &Connector)> {
        self.containers.iter().flat_map(|container| {
            let connectors = container.connectors.iter();
            connectors.map(move |connector| (container, connector))
        })
    }

    /// AJP connectors alone.
    pub(super) fn ajp_connectors(&self) -> impl Iterator<Item = (&Container, &Connector)> {
        self.connectors().filter(|(_, connector)| connector.is_ajp)
    }

    /// The ways of a group.
    pub(super) fn members<'a>(&'a self, group: &'a Group) -> impl Iterator<Item = &'a Link> {
        let links = group.members.iter();
        links.filter_map(|&index| self.links.get(index))
    }

    /// A number of httpd's that is written once, such as `MaxRequestWorkers`; the last holds.
    pub(super) fn httpd_number(&self, name: &str) -> Option<Located<u64>> {
        let item = self.httpd.as_ref()?.named(name).last()?;
        let number = item.arg(0).parse().ok()?;
        Some(Located::new(number, &item.place))
    }
}
