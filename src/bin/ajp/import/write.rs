//! The gateway's TOML for what was understood.
//!
//! The file is made of entries, each with the places that it comes from. What was not taken
//! over stands as a comment before the entry of the same place or, if there is none, behind
//! which it stood.

use super::plan::{Balancer, Health, Kind, Listener, Map, Plain, Plan, Remark, Settings, Severity};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

/// Where the gateway listens, without TLS and with it.
const PLAIN: &str = "127.0.0.1:8080";
const TLS_PORT: u16 = 8443;

/// What httpd's `SSLVerifyDepth` is where nobody says it.
const HTTPD_DEPTH: u32 = 1;

/// A table of the file.
#[derive(Default)]
struct Entry {
    /// Lines of the source, or the name of a balancer there.
    places: Vec<String>,
    text: String,
}

impl Plan {
    /// The gateway's configuration; `secrets` is where the secret files are.
    pub(super) fn toml(&self, secrets: Option<&Path>) -> String {
        let entries = self.entries(secrets);
        let mut comments: Vec<Vec<String>> = entries.iter().map(|_| Vec::new()).collect();
        for remark in self.remarks() {
            if remark.severity > Severity::Note {
                if let Some(comments) = comments.get_mut(nearest(&entries, remark)) {
                    comments.push(remark.to_string().replace(['\n', '\r'], " "));
                }
            }
        }
        let mut text = String::new();
        for (entry, comments) in entries.iter().zip(comments) {
            let (gap, table) = match entry.text.strip_prefix('\n') {
                Some(table) => ("\n", table),
                None => ("", &*entry.text),
            };
            text.push_str(gap);
            for comment in comments {
                let _ = writeln!(text, "# {comment}");
            }
            text.push_str(table);
        }
        text
    }

    fn entries(&self, secrets: Option<&Path>) -> Vec<Entry> {
        let sites = self.sites();
        let mut entries = vec![self.head(sites.is_empty())];
        if let Some(listener) = &self.listener {
            entries.push(listener.entry());
        }
        for balancer in &self.balancers {
            entries.extend(balancer.entries(secrets));
        }
        let is_own = |map: &&Map| sites.is_empty() || map.site.is_none();
        let own = self.maps.iter().filter(is_own);
        let before = entries.len();
        entries.extend(own.map(|map| self.map_entry(map, "map")));
        let mut has_default = entries.len() > before;
        for (place, names) in &sites {
            let own = || {
                let maps = self.maps.iter();
                maps.filter(|map| map.site.as_ref() == Some(place))
            };
            let names: Vec<_> = names.iter().map(|name| quoted(name)).collect();
            let mut text = format!("\n[[site]]\nhosts = [{}]\n", names.join(", "));
            if !has_default && self.is_first_of_address(place) {
                text.push_str("default = true\n");
                has_default = true;
            }
            text.push_str(order(own()));
            text.push_str("paths = \"normalise\"\n");
            entries.push(Entry {
                places: vec![place.clone()],
                text,
            });
            entries.extend(own().map(|map| self.map_entry(map, "site.map")));
        }
        entries
    }

    /// The keys before all tables.
    fn head(&self, has_one_site: bool) -> Entry {
        let mut text = String::new();
        if self
            .listener
            .as_ref()
            .is_none_or(|tls| tls.plain == Plain::Served)
        {
            let _ = writeln!(text, "listen = {}", quoted(PLAIN));
        }
        if !self.trusted_proxies.is_empty() {
            let proxies: Vec<_> = self.trusted_proxies.iter().map(|one| quoted(one)).collect();
            let _ = writeln!(text, "trusted_proxies = [{}]", proxies.join(", "));
        }
        if has_one_site {
            text.push_str(order(self.maps.iter()));
            text.push_str("paths = \"normalise\"\n");
        }
        if self.manager {
            text.push_str("\n[manager]\nchanges = true\n");
        }
        Entry {
            places: Vec::new(),
            text,
        }
    }

    fn map_entry(&self, map: &Map, table: &str) -> Entry {
        let balancer = self.balancers.iter().find(|b| b.source == map.balancer);
        let name = balancer.map_or(&map.balancer, |balancer| &balancer.name);
        let to = match map.kind {
            Kind::Forward => format!("balancer://{name}{}", map.target),
            Kind::NotFound => "none".to_owned(),
            Kind::Forbidden => "deny".to_owned(),
        };
        let (path, to) = (quoted(&map.path), quoted(&to));
        let mut text = format!("\n[[{table}]]\npath = {path}\nto = {to}\n");
        for (name, on) in [("location", map.location), ("cookie_path", map.cookie_path)] {
            if !on {
                let _ = writeln!(text, "{name} = false");
            }
        }
        if map.kind == Kind::Forward {
            map.settings.write(&mut text);
        }
        Entry {
            places: vec![map.place.clone()],
            text,
        }
    }
}

/// The entry that a remark belongs to.
fn nearest(entries: &[Entry], remark: &Remark) -> usize {
    let is_there = |entry: &Entry| entry.places.contains(&remark.place);
    if let Some(exact) = entries.iter().position(is_there) {
        return exact;
    }
    let Some((file, line)) = line_of(&remark.place) else {
        return 0;
    };
    let mut best: Option<(usize, usize)> = None;
    for (index, entry) in entries.iter().enumerate() {
        let lines = entry.places.iter().filter_map(|place| line_of(place));
        for (_, at) in lines.filter(|(of, at)| *of == file && *at <= line) {
            if best.is_none_or(|(_, known)| known < at) {
                best = Some((index, at));
            }
        }
    }
    best.map_or(0, |(index, _)| index)
}

/// File and line of a place, which may also be a name.
fn line_of(place: &str) -> Option<(&str, usize)> {
    let (file, line) = place.rsplit_once(':')?;
    Some((file, line.parse().ok()?))
}

/// The key for maps that are tried in the order of the file, which matters where one is
/// excluded or has a pattern; else the longest path is the first one, too.
fn order<'a>(mut maps: impl Iterator<Item = &'a Map>) -> &'static str {
    let is_pattern = |map: &Map| !map.path.starts_with(['/', '=']) || map.path.contains('*');
    if maps.any(|map| map.kind != Kind::Forward || is_pattern(map)) {
        "order = \"file\"\n"
    } else {
        ""
    }
}

impl Settings {
    fn write(&self, text: &mut String) {
        let mut line = |name: &str, value: String| {
            let _ = writeln!(text, "{name} = {value}");
        };
        if let Some(limit) = self.timeout {
            line("timeout", time(limit));
        }
        if self.sticky_ignore {
            line("sticky_ignore", "true".to_owned());
        }
        if self.stateless {
            line("stateless", "true".to_owned());
        }
        if !self.fail_on_status.is_empty() {
            line("fail_on_status", statuses(&self.fail_on_status));
        }
        if let Some(bytes) = self.max_body {
            line("max_body", bytes.to_string());
        }
        if !self.attributes.is_empty() {
            line("attributes", table(&self.attributes));
        }
        for (name, headers) in [
            ("request_headers", &self.request_headers),
            ("response_headers", &self.response_headers),
        ] {
            if !headers.is_empty() {
                line(name, changes(headers));
            }
        }
    }
}

/// Headers that are set, and those that are removed.
fn changes(headers: &BTreeMap<String, Option<String>>) -> String {
    let given = headers
        .iter()
        .filter_map(|(name, value)| Some((name.clone(), value.clone()?)));
    let set: BTreeMap<_, _> = given.collect();
    let removed = headers.iter().filter(|(_, value)| value.is_none());
    let removed: Vec<_> = removed.map(|(name, _)| quoted(name)).collect();
    let mut parts = Vec::new();
    if !set.is_empty() {
        parts.push(format!("set = {}", table(&set)));
    }
    if !removed.is_empty() {
        parts.push(format!("remove = [{}]", removed.join(", ")));
    }
    format!("{{ {} }}", parts.join(", "))
}

fn table(pairs: &BTreeMap<String, String>) -> String {
    let pairs = pairs
        .iter()
        .map(|(name, value)| format!("{} = {}", quoted(name), quoted(value)));
    format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", "))
}

fn statuses(all: &[i64]) -> String {
    let all: Vec<_> = all.iter().map(i64::to_string).collect();
    format!("[{}]", all.join(", "))
}

impl Listener {
    fn entry(&self) -> Entry {
        let mut text = String::new();
        if self.plain == Plain::Redirected {
            let plain = quoted(PLAIN);
            let _ = write!(
                text,
                "\n[[listener]]\naddress = {plain}\nredirect_to_https = {TLS_PORT}\n"
            );
        }
        let address = quoted(&format!("127.0.0.1:{TLS_PORT}"));
        let _ = write!(text, "\n[[listener]]\naddress = {address}\n");
        if let Some(hsts) = &self.hsts {
            let _ = writeln!(text, "hsts = {}", quoted(hsts));
        }
        text.push_str("[listener.tls]\ncertificates = [\n");
        for (certificate, key) in &self.certificates {
            let (certificate, key) = (quoted(certificate), quoted(key));
            let _ = writeln!(text, "    {{ certificate = {certificate}, key = {key} }},");
        }
        text.push_str("]\n");
        if let Some(ca) = self.clients.ca.as_ref().filter(|_| self.clients.is_asked) {
            let kind = if self.clients.is_required {
                "required"
            } else {
                "optional"
            };
            let _ = write!(
                text,
                "client_ca = {}\nclient_certificate = {}\nclient_depth = {}\n",
                quoted(ca),
                quoted(kind),
                self.clients.depth.unwrap_or(HTTPD_DEPTH)
            );
        }
        if self.only_tls13 {
            text.push_str("min_version = \"1.3\"\n");
        }
        Entry {
            places: vec![self.place.clone()],
            text,
        }
    }
}

impl Balancer {
    /// It, and each of its members.
    fn entries(&self, secrets: Option<&Path>) -> Vec<Entry> {
        let mut text = String::new();
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
        let fails = (!self.fail_on_status.is_empty()).then(|| statuses(&self.fail_on_status));
        line("fail_on_status", fails);
        let pool = &self.pool;
        let file = |name: &str| {
            let name = format!("{name}.secret");
            let path = secrets.map_or_else(|| name.clone().into(), |dir| dir.join(&name));
            quoted(&path.display().to_string())
        };
        line(
            "secret_file",
            pool.secret.as_ref().map(|_| file(&self.name)),
        );
        line("packet_size", pool.packet_size.map(|size| size.to_string()));
        let most = pool.max_connections.map(|count| count.to_string());
        line("max_connections", most);
        line("connect_timeout", pool.connect_timeout.map(time));
        line("acquire_timeout", pool.acquire_timeout.map(time));
        line("timeout", pool.timeout.map(time));
        line("health", self.health.inline());
        let mut entries = vec![Entry {
            places: vec![self.source.clone()],
            text,
        }];
        for (index, member) in self.members.iter().enumerate() {
            let mut text = String::new();
            let mut line = |name: &str, value: Option<String>| {
                if let Some(value) = value {
                    text.extend([name, " = ", &value, "\n"]);
                }
            };
            line("\n[[balancer.member]]\nurl", Some(quoted(&member.url)));
            line("route", member.route.as_deref().map(quoted));
            line("weight", member.weight.clone());
            let status = (!member.status.is_empty()).then(|| format!("+{}", member.status));
            line("status", status.as_deref().map(quoted));
            line("set", member.set.map(|set| set.to_string()));
            line("domain", member.domain.as_deref().map(quoted));
            line("redirect", member.redirect.as_deref().map(quoted));
            line("retry", member.retry.map(time));
            let secret = member.secret.as_ref();
            line(
                "secret_file",
                secret.map(|_| file(&self.secret_name(index))),
            );
            // Of a URL that a path leads to, the map is the place.
            let places = if self.is_direct() {
                Vec::new()
            } else {
                vec![member.place.clone()]
            };
            entries.push(Entry { places, text });
        }
        entries
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
