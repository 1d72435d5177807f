//! What was understood of a configuration, and the gateway's TOML for it.

use std::fmt::{self, Write};
use std::path::Path;
use std::time::Duration;

/// How the source of a balancer begins that a URL leads to.
const DIRECT: &str = "ajp://";

/// All of it, in its order.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) manager: bool,
    pub(super) balancers: Vec<Balancer>,
    pub(super) maps: Vec<Map>,
    /// The names of virtual hosts, by their place.
    pub(super) hosts: Vec<(String, Vec<String>)>,
    /// What httpd maps back, to be held against the maps.
    pub(super) reverses: Vec<Reverse>,
    /// Where a path may lead without a further word: all has been said.
    pub(super) silent: Vec<String>,
    remarks: Vec<Remark>,
}

/// `[[balancer]]`. What is `None` is the gateway's default.
#[derive(Debug, Default)]
pub(super) struct Balancer {
    /// What it is called where it comes from.
    pub(super) source: String,
    pub(super) name: String,
    /// What httpd has for each member, as the first has it.
    pub(super) of_first: Option<OfMember>,
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
pub(super) struct OfMember {
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
}

/// `[[map]]`
#[derive(Debug)]
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
    /// The first that fits is taken, not the longest.
    pub(super) is_in_order: bool,
}

/// What a map is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
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

/// Something that whoever moves should know.
#[derive(Debug)]
pub(super) struct Remark {
    place: String,
    text: String,
    pub(super) severity: Severity,
}

/// How bad it is that something is otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Severity {
    /// The gateway does it otherwise.
    Note,
    /// The gateway does not do this.
    Lost,
    /// Without it the gateway would let through what was kept out: nothing is written.
    Open,
}

/// Remarks about one line.
#[derive(Debug, Default)]
pub(super) struct Told(Vec<(String, Severity)>);

impl Told {
    /// As [`Plan::note`].
    pub(super) fn note(&mut self, text: impl Into<String>) {
        self.0.push((text.into(), Severity::Note));
    }

    /// As [`Plan::lost`].
    pub(super) fn lost(&mut self, text: impl Into<String>) {
        self.0.push((text.into(), Severity::Lost));
    }
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.severity {
            Severity::Note => "note",
            Severity::Lost => "no equal",
            Severity::Open => "would be open",
        };
        write!(f, "{}: {kind}: {}", self.place, self.text)
    }
}

impl Plan {
    /// What the gateway does otherwise.
    pub(super) fn note(&mut self, place: &str, text: impl Into<String>) {
        self.remark(place, text.into(), Severity::Note);
    }

    /// What the gateway does not do, and what to do about it.
    pub(super) fn lost(&mut self, place: &str, text: impl Into<String>) {
        self.remark(place, text.into(), Severity::Lost);
    }

    /// What was kept out and the gateway would let through.
    pub(super) fn open(&mut self, place: &str, text: impl Into<String>) {
        self.remark(place, text.into(), Severity::Open);
    }

    /// All of a line.
    pub(super) fn tell(&mut self, place: &str, told: Told) {
        for (text, severity) in told.0 {
            self.remark(place, text, severity);
        }
    }

    fn remark(&mut self, place: &str, text: String, severity: Severity) {
        // The same setting of a template, or of many members, once.
        let known = self
            .remarks
            .iter()
            .any(|known| known.text == text && known.place == place);
        if !known {
            self.remarks.push(Remark {
                place: place.to_owned(),
                text,
                severity,
            });
        }
    }

    pub(super) fn remarks(&self) -> &[Remark] {
        &self.remarks
    }

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
    pub(super) fn direct(&mut self, member: Member, settings: &OfMember) -> String {
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
        let paths = if is_pattern {
            Vec::new()
        } else {
            vec![&mut map.path, &mut map.target]
        };
        for path in paths {
            path.truncate(path.trim_end_matches('/').len());
            if path.is_empty() {
                path.push('/');
            }
        }
        self.maps.push(map);
    }

    /// Names of balancers and their secrets.
    pub(super) fn secrets(&self) -> impl Iterator<Item = (&str, &str)> {
        self.balancers
            .iter()
            .filter_map(|balancer| Some((&*balancer.name, balancer.pool.secret.as_deref()?)))
    }

    /// The gateway's configuration; `secrets` is where the secret files are.
    pub(super) fn toml(&self, secrets: Option<&Path>) -> String {
        let mut text = String::new();
        let known = |place: &str| self.maps.iter().any(|map| map.place == place);
        for remark in self.remarks.iter().filter(|remark| !known(&remark.place)) {
            remark.comment(&mut text);
        }
        text.push_str("listen = \"127.0.0.1:8080\"\n");
        let sites = self.sites();
        if sites.is_empty() {
            text.push_str(order(self.maps.iter()));
        }
        if self.manager {
            text.push_str("\n[manager]\nchanges = true\n");
        }
        for balancer in &self.balancers {
            balancer.write(&mut text, secrets);
        }
        let is_own = |map: &&Map| sites.is_empty() || map.site.is_none();
        let mut has_own = false;
        for map in self.maps.iter().filter(is_own) {
            has_own = true;
            self.write_map(map, "map", &mut text);
        }
        for (number, (place, names)) in sites.iter().enumerate() {
            let own = || {
                self.maps
                    .iter()
                    .filter(|map| map.site.as_ref() == Some(place))
            };
            let names: Vec<_> = names.iter().map(|name| quoted(name)).collect();
            let _ = write!(text, "\n[[site]]\nhosts = [{}]\n", names.join(", "));
            // httpd's default is the first virtual host.
            if number == 0 && !has_own {
                text.push_str("default = true\n");
            }
            text.push_str(order(own()));
            for map in own() {
                self.write_map(map, "site.map", &mut text);
            }
        }
        text
    }

    /// The virtual hosts with maps of their own, where there are several; each with its names.
    pub(super) fn sites(&self) -> Vec<(String, &[String])> {
        let mut sites: Vec<(String, &[String])> = Vec::new();
        for place in self.maps.iter().filter_map(|map| map.site.as_ref()) {
            if !sites.iter().any(|(known, _)| known == place) {
                let names = self.hosts.iter().find(|(site, _)| site == place);
                sites.push((place.clone(), names.map_or(&[], |(_, names)| names)));
            }
        }
        if sites.len() > 1 { sites } else { Vec::new() }
    }

    fn write_map(&self, map: &Map, table: &str, text: &mut String) {
        text.push('\n');
        for remark in self
            .remarks
            .iter()
            .filter(|remark| remark.place == map.place)
        {
            remark.comment(text);
        }
        let balancer = self.balancers.iter().find(|b| b.source == map.balancer);
        let name = balancer.map_or(&map.balancer, |balancer| &balancer.name);
        let to = match map.kind {
            Kind::Forward => format!("balancer://{name}{}", map.target),
            Kind::NotFound => "none".to_owned(),
            Kind::Forbidden => "deny".to_owned(),
        };
        let (path, to) = (quoted(&map.path), quoted(&to));
        let _ = write!(text, "[[{table}]]\npath = {path}\nto = {to}\n");
        for (name, on) in [("location", map.location), ("cookie_path", map.cookie_path)] {
            if !on {
                let _ = writeln!(text, "{name} = false");
            }
        }
    }
}

/// The key for maps that are tried in the order of the file, which matters where one is
/// excluded or has a pattern.
fn order<'a>(maps: impl Iterator<Item = &'a Map>) -> &'static str {
    let mut has_pattern = false;
    for map in maps {
        if !map.is_in_order && map.kind == Kind::Forward {
            return "";
        }
        has_pattern |= map.kind != Kind::Forward || map.path.starts_with('~');
    }
    if has_pattern {
        "order = \"file\"\n"
    } else {
        ""
    }
}

impl Remark {
    /// As a comment of the configuration.
    fn comment(&self, text: &mut String) {
        if self.severity > Severity::Note {
            let line = self.to_string().replace(['\n', '\r'], " ");
            let _ = writeln!(text, "# {line}");
        }
    }
}

impl Balancer {
    /// Settings of a member, which go before those that it has.
    pub(super) fn take(&mut self, settings: OfMember) {
        let OfMember {
            pool,
            health,
            retry,
        } = settings;
        let mine = &mut self.pool;
        mine.secret = pool.secret.or(mine.secret.take());
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

    fn write(&self, text: &mut String, secrets: Option<&Path>) {
        let mut line = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                text.extend([name, " = ", &value, "\n"]);
            }
        };
        line("\n[[balancer]]\nname", Some(quoted(&self.name)));
        line("method", self.method.map(quoted));
        line("sticky", self.sticky.as_deref().map(quoted));
        line("nofailover", self.nofailover.then(|| "true".to_owned()));
        line("retry", self.retry.map(time));
        line("attempts", self.attempts.map(|count| count.to_string()));
        let statuses: Vec<_> = self.fail_on_status.iter().map(i64::to_string).collect();
        let statuses = (!statuses.is_empty()).then(|| format!("[{}]", statuses.join(", ")));
        line("fail_on_status", statuses);
        let pool = &self.pool;
        let file = pool.secret.as_ref().map(|_| {
            let name = format!("{}.secret", self.name);
            let path = secrets.map_or_else(|| name.clone().into(), |dir| dir.join(&name));
            quoted(&path.display().to_string())
        });
        line("secret_file", file);
        line("packet_size", pool.packet_size.map(|size| size.to_string()));
        let most = pool.max_connections.map(|count| count.to_string());
        line("max_connections", most);
        line("connect_timeout", pool.connect_timeout.map(time));
        line("acquire_timeout", pool.acquire_timeout.map(time));
        line("timeout", pool.timeout.map(time));
        line("health", self.health.inline());
        for member in &self.members {
            line("\n[[balancer.member]]\nurl", Some(quoted(&member.url)));
            line("route", member.route.as_deref().map(quoted));
            line("weight", member.weight.clone());
            let status = (!member.status.is_empty()).then(|| format!("+{}", member.status));
            line("status", status.as_deref().map(quoted));
            line("set", member.set.map(|set| set.to_string()));
        }
    }
}

impl Health {
    fn inline(&self) -> Option<String> {
        let mut text = format!("{{ check = {}", quoted(self.check?));
        let mut field = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                text.extend([", ", name, " = ", &value]);
            }
        };
        let path = self.path.as_deref().filter(|_| self.check == Some("http"));
        field("path", path.map(quoted));
        field("interval", self.interval.map(time));
        field("rise", self.rise.map(|count| count.to_string()));
        field("fall", self.fall.map(|count| count.to_string()));
        text.push_str(" }");
        Some(text)
    }
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// As the gateway writes it.
fn time(time: Duration) -> String {
    let millis = time.as_millis();
    quoted(&match millis.checked_rem(1000) {
        Some(0) => format!("{}s", time.as_secs()),
        _ => format!("{millis}ms"),
    })
}
