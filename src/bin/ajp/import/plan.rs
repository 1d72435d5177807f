//! What was understood of a configuration, and the gateway's TOML for it.

use std::fmt::{self, Write};
use std::path::Path;
use std::time::Duration;

/// All of it, in its order.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) manager: bool,
    pub(super) balancers: Vec<Balancer>,
    pub(super) maps: Vec<Map>,
    remarks: Vec<Remark>,
}

/// `[[balancer]]`. What is `None` is the gateway's default.
#[derive(Debug, Default)]
pub(super) struct Balancer {
    pub(super) name: String,
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

/// `[[balancer.member]]`
#[derive(Debug, Default)]
pub(super) struct Member {
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
    pub(super) path: String,
    pub(super) balancer: String,
    /// The path there.
    pub(super) target: String,
}

/// Something that whoever moves should know.
#[derive(Debug)]
pub(super) struct Remark {
    place: String,
    text: String,
    /// The gateway does not do this.
    pub(super) is_lost: bool,
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_lost { "no equal" } else { "note" };
        write!(f, "{}: {kind}: {}", self.place, self.text)
    }
}

impl Plan {
    /// What the gateway does otherwise.
    pub(super) fn note(&mut self, place: &str, text: impl Into<String>) {
        self.remark(place, text.into(), false);
    }

    /// What the gateway does not do, and what to do about it.
    pub(super) fn lost(&mut self, place: &str, text: impl Into<String>) {
        self.remark(place, text.into(), true);
    }

    fn remark(&mut self, place: &str, text: String, is_lost: bool) {
        // The same setting of a template, or of many members, once.
        let known = self
            .remarks
            .iter()
            .any(|known| known.text == text && known.place == place);
        if !known {
            self.remarks.push(Remark {
                place: place.to_owned(),
                text,
                is_lost,
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
    pub(super) fn balancer(&mut self, name: &str) -> &mut Balancer {
        let name = plain(name);
        let known = self.balancers.iter().position(|known| known.name == name);
        let at = known.unwrap_or(self.balancers.len());
        if known.is_none() {
            self.balancers.push(Balancer {
                name,
                ..Balancer::default()
            });
        }
        #[allow(clippy::indexing_slicing, reason = "it was found there, or put there")]
        &mut self.balancers[at]
    }

    /// A path and where it leads, with the slashes that the gateway does not need taken off.
    pub(super) fn map(&mut self, path: &str, balancer: &str, target: &str) {
        let trim = |path: &str| match path.trim_end_matches('/') {
            "" => "/".to_owned(),
            path => path.to_owned(),
        };
        self.maps.push(Map {
            path: trim(path),
            balancer: plain(balancer),
            target: trim(target),
        });
    }

    /// What does not hold together.
    pub(super) fn check(&mut self) {
        let empty: Vec<_> = self
            .balancers
            .iter()
            .filter(|balancer| balancer.members.is_empty())
            .map(|balancer| balancer.name.clone())
            .collect();
        for name in empty {
            self.lost(&name, "has no members; the gateway needs one");
        }
        let unknown: Vec<_> = self
            .maps
            .iter()
            .filter(|map| {
                !self
                    .balancers
                    .iter()
                    .any(|known| known.name == map.balancer)
            })
            .map(|map| (map.path.clone(), map.balancer.clone()))
            .collect();
        for (path, name) in unknown {
            self.lost(
                &path,
                format!("leads to {name}, which is nowhere described"),
            );
        }
        let mut seen = Vec::new();
        let mut twice = Vec::new();
        for map in &self.maps {
            if seen.contains(&&map.path) {
                twice.push(map.path.clone());
            }
            seen.push(&map.path);
        }
        for path in twice {
            self.lost(&path, "is mapped twice; leave one of the two");
        }
        if self.maps.is_empty() {
            self.lost("all files", "map no path to a container; add a [[map]]");
        }
    }

    /// Names of balancers and their secrets.
    pub(super) fn secrets(&self) -> impl Iterator<Item = (&str, &str)> {
        self.balancers
            .iter()
            .filter_map(|balancer| Some((&*balancer.name, balancer.pool.secret.as_deref()?)))
    }

    /// The gateway's configuration; `secrets` is where the secret files are.
    pub(super) fn toml(&self, secrets: Option<&Path>) -> String {
        let mut text = String::from("listen = \"127.0.0.1:8080\"\n");
        if self.manager {
            text.push_str("\n[manager]\nchanges = true\n");
        }
        for balancer in &self.balancers {
            balancer.write(&mut text, secrets);
        }
        for map in &self.maps {
            let to = format!("balancer://{}{}", map.balancer, map.target);
            let _ = write!(
                text,
                "\n[[map]]\npath = {}\nto = {}\n",
                quoted(&map.path),
                quoted(&to)
            );
        }
        text
    }
}

impl Balancer {
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

/// What a balancer may be called.
fn plain(name: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    name.chars()
        .map(|c| if allowed(c) { c } else { '-' })
        .collect()
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

/// A weight as a TOML number; `None` if it is none that the gateway takes.
pub(super) fn weight(text: &str) -> Option<String> {
    let weight: f64 = text.parse().ok()?;
    let fits = (0.01..=10_000.0).contains(&weight);
    fits.then(|| format!("{weight:?}"))
}
