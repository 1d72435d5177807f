//! What was understood of a configuration.

mod remarks;

pub(super) use remarks::{Remark, Remarks, Severity};

use std::collections::BTreeMap;
use std::time::Duration;

/// `JkMount`, `JkUnMount`, or a rule of `uriworkermap.properties`.
#[derive(Debug, Clone)]
pub(super) struct Mount {
    pub(super) place: String,
    /// As it stands there.
    pub(super) pattern: String,
    pub(super) worker: String,
    /// It is taken away.
    pub(super) is_excluded: bool,
    pub(super) site: Option<String>,
    /// It stands in a file of rules, which is for the sites that name it.
    pub(super) is_of_file: bool,
    pub(super) settings: Settings,
}

/// How the source of a balancer begins that a URL leads to.
const DIRECT: &str = "ajp://";

/// All of it, in its order.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) manager: bool,
    /// Which files of mod_jk were given.
    pub(super) has_workers: bool,
    pub(super) has_uri_map: bool,
    pub(super) balancers: Vec<Balancer>,
    pub(super) maps: Vec<Map>,
    /// Of mod_jk; they become maps.
    pub(super) mounts: Vec<Mount>,
    /// The sites that name the file of mounts.
    pub(super) mount_files: Vec<Option<String>>,
    /// The virtual hosts that have the mounts of the server; `None` stands for all.
    pub(super) mount_copies: Vec<Option<String>>,
    /// Addresses and networks of proxies whose word on visitors counts.
    pub(super) trusted_proxies: Vec<String>,
    /// What httpd leads elsewhere before it forwards anything.
    pub(super) diverted: Vec<Diversion>,
    /// Paths that everybody may have.
    pub(super) granted: Vec<AccessGrant>,
    /// In their order.
    pub(super) virtual_hosts: Vec<VirtualHost>,
    /// What is said for a part of a site, in its order.
    pub(super) scoped: Vec<ScopedSetting>,
    /// What httpd maps back, to be held against the maps.
    pub(super) reverses: Vec<Reverse>,
    /// Where a path may lead without a further word: all has been said.
    pub(super) silent: Vec<String>,
    /// The one with TLS, once it is known.
    pub(super) listener: Option<Listener>,
    remarks: Vec<Remark>,
}

/// What httpd leads elsewhere before it forwards anything.
#[derive(Debug)]
pub(super) struct Diversion {
    /// As a path that is not forwarded.
    pub(super) map: Map,
    /// What is to be said if it is led elsewhere for some requests only, or the gateway cannot
    /// tell its path: it is let through then, which stops the import.
    pub(super) let_through: Option<String>,
    /// It leads to `https`, which changes nothing but in a virtual host that has TLS.
    pub(super) is_of_tls: bool,
}

/// `Require all granted` for a path.
#[derive(Debug)]
pub(super) struct AccessGrant {
    pub(super) place: String,
    pub(super) site: Option<String>,
    pub(super) path: String,
}

/// `<VirtualHost>`
#[derive(Debug, Default)]
pub(super) struct VirtualHost {
    pub(super) place: String,
    /// As it stands there, such as `*:443`.
    pub(super) address: String,
    pub(super) names: Vec<String>,
    /// With stars where the gateway has none.
    pub(super) odd_names: Vec<String>,
    pub(super) tls: Tls,
    /// Where it sends every request, if to `https`.
    pub(super) redirects_to_https: bool,
    /// The virtual host before it that has a name of it: they are one site.
    pub(super) is_one_with: Option<String>,
}

impl VirtualHost {
    /// The place of the site that it is.
    pub(super) fn site(&self) -> &str {
        self.is_one_with.as_deref().unwrap_or(&self.place)
    }
}

/// `SSL...` of a virtual host.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Tls {
    pub(super) is_on: bool,
    /// Certificates and their keys; without one the key is in the file of the certificate.
    pub(super) certificates: Vec<(String, Option<String>)>,
    pub(super) clients: Clients,
    /// Without TLS 1.2.
    pub(super) only_tls13: bool,
    pub(super) hsts: Option<String>,
}

/// Which certificates clients are asked for.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Clients {
    pub(super) ca: Option<String>,
    pub(super) is_asked: bool,
    pub(super) is_required: bool,
    /// `SSLVerifyDepth`, if it is said.
    pub(super) depth: Option<u32>,
}

/// `[[listener]]` with TLS.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) place: String,
    pub(super) certificates: Vec<(String, String)>,
    pub(super) clients: Clients,
    pub(super) only_tls13: bool,
    pub(super) hsts: Option<String>,
    pub(super) plain: Plain,
}

/// What becomes of plain HTTP beside TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plain {
    /// There is none.
    None,
    /// It is sent to `https`.
    Redirected,
    /// It is served.
    Served,
}

/// A setting of all that is forwarded, of a virtual host, or of a path.
#[derive(Debug)]
pub(super) struct ScopedSetting {
    pub(super) place: String,
    pub(super) site: Option<String>,
    pub(super) path: Option<String>,
    pub(super) setting: Setting,
}

/// What a map may have for itself.
#[derive(Debug, Clone)]
pub(super) enum Setting {
    /// Largest request body; `None`: any.
    MaxBody(Option<u64>),
    /// A request attribute; `None`: not any more.
    Attribute(String, Option<String>),
    /// A header of requests or of responses that is set, or else removed.
    RequestHeader(String, Option<String>),
    ResponseHeader(String, Option<String>),
    /// A header of requests that httpd wrote and the gateway cannot: it is removed where nothing
    /// else sets it, so that visitors do not write it.
    NotOfVisitors(String),
}

/// `[[balancer]]`. What is `None` is the gateway's default.
#[derive(Debug, Default)]
pub(super) struct Balancer {
    /// What it is called where it comes from.
    pub(super) source: String,
    pub(super) name: String,
    /// What httpd has for each member, as the first has it.
    pub(super) of_first: Option<MemberSettings>,
    pub(super) members: Vec<Member>,
    /// Settings of the connections, which the gateway has for all members.
    pub(super) pool: Pool,
    pub(super) method: Option<&'static str>,
    pub(super) sticky: Option<String>,
    pub(super) nofailover: bool,
    pub(super) retry: Option<Duration>,
    pub(super) attempts: Option<u64>,
    pub(super) fail_on_status: Vec<i64>,
    pub(super) health: Health,
}

/// How to connect.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Pool {
    pub(super) secret: Option<String>,
    pub(super) packet_size: Option<u64>,
    pub(super) max_connections: Option<u64>,
    pub(super) connect_timeout: Option<Duration>,
    pub(super) acquire_timeout: Option<Duration>,
    pub(super) timeout: Option<Duration>,
}

impl Pool {
    /// All the rest.
    pub(super) fn without_secret(&self) -> Self {
        Self {
            secret: None,
            ..self.clone()
        }
    }
}

/// `health`.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Health {
    pub(super) check: Option<&'static str>,
    pub(super) path: Option<String>,
    pub(super) interval: Option<Duration>,
    pub(super) rise: Option<u64>,
    pub(super) fall: Option<u64>,
}

/// What httpd has for each member and the gateway for all.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct MemberSettings {
    pub(super) pool: Pool,
    pub(super) health: Health,
    pub(super) retry: Option<Duration>,
}

/// `[[balancer.member]]`
#[derive(Debug, Default)]
pub(super) struct Member {
    pub(super) place: String,
    pub(super) url: String,
    pub(super) route: Option<String>,
    pub(super) weight: Option<String>,
    /// Letters, without sign.
    pub(super) status: String,
    pub(super) set: Option<u64>,
    pub(super) domain: Option<String>,
    pub(super) redirect: Option<String>,
    /// In the end only where it is another one than the balancer's.
    pub(super) retry: Option<Duration>,
    pub(super) secret: Option<String>,
}

/// `[[map]]`
#[derive(Debug, Clone, Default)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "two of the gateway's keys, and two facts of httpd's file"
)]
pub(super) struct Map {
    pub(super) place: String,
    pub(super) path: String,
    /// The source's name of it.
    pub(super) balancer: String,
    /// The path there.
    pub(super) target: String,
    pub(super) kind: Kind,
    /// Whether redirects and the paths of cookies are mapped back.
    pub(super) location: bool,
    pub(super) cookie_path: bool,
    /// The virtual host.
    pub(super) site: Option<String>,
    /// It stands in a `<Location>`, or is a rule that rewrites: these come before `ProxyPass`
    /// outside of one.
    pub(super) is_of_location: bool,
    /// What is below the path, without the path itself.
    pub(super) is_below_only: bool,
    pub(super) settings: Settings,
}

/// What a map has for itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) timeout: Option<Duration>,
    pub(super) sticky_ignore: bool,
    pub(super) stateless: bool,
    pub(super) fail_on_status: Vec<i64>,
    pub(super) max_body: Option<u64>,
    pub(super) attributes: BTreeMap<String, String>,
    pub(super) request_headers: BTreeMap<String, Option<String>>,
    pub(super) response_headers: BTreeMap<String, Option<String>>,
}

/// What a map is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Kind {
    #[default]
    Forward,
    /// Excluded: 404.
    NotFound,
    /// Nobody may have it: 403.
    Forbidden,
}

/// `ProxyPassReverse` and `ProxyPassReverseCookiePath`.
#[derive(Debug)]
pub(super) struct Reverse {
    pub(super) place: String,
    pub(super) site: Option<String>,
    /// The path of the site.
    pub(super) path: String,
    /// A URL as it stands there, or a cookie's path at the container.
    pub(super) of: String,
    pub(super) is_cookie: bool,
}

impl Plan {
    /// Balancers and maps.
    pub(super) fn len(&self) -> (usize, usize) {
        (self.balancers.len(), self.maps.len())
    }

    /// The balancer of this name, made if there is none.
    pub(super) fn balancer(&mut self, source: &str) -> &mut Balancer {
        let known = self
            .balancers
            .iter()
            .position(|known| known.source == source);
        let at = known.unwrap_or(self.balancers.len());
        if known.is_none() {
            self.balancers.push(Balancer {
                source: source.to_owned(),
                name: self.unused_name(source),
                ..Balancer::default()
            });
        }
        #[allow(clippy::indexing_slicing, reason = "it was found there, or put there")]
        &mut self.balancers[at]
    }

    /// The balancer of one member with these settings, made if there is none; its source.
    pub(super) fn direct(&mut self, member: Member, settings: &MemberSettings) -> String {
        let known = self.balancers.iter().find(|known| {
            let urls = known.members.iter().map(|member| &member.url);
            // No balancer of httpd is called like a URL.
            known.source.starts_with(DIRECT)
                && urls.eq([&member.url])
                && known.of_first.as_ref() == Some(settings)
        });
        if let Some(known) = known {
            return known.source.clone();
        }
        let authority = member.url.strip_prefix(DIRECT).unwrap_or(&member.url);
        let name = self.unused_name(&format!("ajp-{authority}"));
        let source = format!("{DIRECT}{name}");
        let mut balancer = Balancer {
            source: source.clone(),
            name,
            of_first: Some(settings.clone()),
            members: vec![member],
            ..Balancer::default()
        };
        balancer.take(settings.clone());
        self.balancers.push(balancer);
        source
    }

    /// What a balancer of this name may be called, if no other is called so.
    fn unused_name(&self, source: &str) -> String {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let plain: String = source
            .chars()
            .map(|c| if allowed(c) { c } else { '-' })
            .collect();
        let plain = if plain.is_empty() {
            "balancer".to_owned()
        } else {
            plain
        };
        let is_used = |name: &String| self.balancers.iter().any(|known| known.name == *name);
        let others = (2..).map(|n: u64| format!("{plain}-{n}"));
        let mut names = std::iter::once(plain.clone()).chain(others);
        names.find(|name| !is_used(name)).unwrap_or(plain)
    }

    /// A path and where it leads, with the slashes that the gateway does not need taken off.
    pub(super) fn map(&mut self, mut map: Map) {
        let is_pattern = map.path.starts_with(['=', '~']) || map.path.contains('*');
        if !is_pattern {
            map.is_below_only = map.path.len() > 1 && map.path.ends_with('/');
            map.path = without_slash(&map.path);
            map.target = without_slash(&map.target);
        }
        self.maps.push(map);
    }

    /// The virtual host at this place.
    pub(super) fn virtual_host(&mut self, place: &str) -> Option<&mut VirtualHost> {
        self.virtual_hosts
            .iter_mut()
            .find(|known| known.place == place)
    }

    /// The secrets, each with the name of its file.
    pub(super) fn secrets(&self) -> impl Iterator<Item = (String, &str)> {
        self.balancers.iter().flat_map(|balancer| {
            let own = balancer.pool.secret.as_deref();
            let own = own.map(|secret| (balancer.name.clone(), secret));
            let members = balancer.members.iter().enumerate();
            own.into_iter().chain(members.filter_map(|(index, member)| {
                Some((balancer.secret_name(index), member.secret.as_deref()?))
            }))
        })
    }
}

impl Balancer {
    /// Whether it was made for a URL that a path leads to.
    pub(super) fn is_direct(&self) -> bool {
        self.source.starts_with(DIRECT)
    }

    /// What the file with the secret of a member is called.
    pub(super) fn secret_name(&self, member: usize) -> String {
        format!("{}-{}", self.name, member.saturating_add(1))
    }

    /// Settings of a member, which go before those that it has.
    pub(super) fn take(&mut self, settings: MemberSettings) {
        let MemberSettings {
            pool,
            health,
            retry,
        } = settings;
        let mine = &mut self.pool;
        mine.packet_size = pool.packet_size.or(mine.packet_size);
        mine.max_connections = pool.max_connections.or(mine.max_connections);
        mine.connect_timeout = pool.connect_timeout.or(mine.connect_timeout);
        mine.acquire_timeout = pool.acquire_timeout.or(mine.acquire_timeout);
        mine.timeout = pool.timeout.or(mine.timeout);
        if health != Health::default() {
            self.health = health;
        }
        self.retry = retry.or(self.retry);
    }
}

/// A path without the slash at its end.
pub(super) fn without_slash(path: &str) -> String {
    match path.trim_end_matches('/') {
        "" => "/".to_owned(),
        path => path.to_owned(),
    }
}
