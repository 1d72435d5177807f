//! What the gateway would not take, or would do otherwise, when all has been read.

use super::plan::{Balancer, Diversion, Kind, Map, Plan, VirtualHost};
use crate::paths::{Pattern, fault_of_target};
use ajp::Secret;
use ajp::balancer::Sticky;
use ajp::client::Address;

impl Plan {
    /// Leaves out what the gateway would refuse to start with, and tells so.
    pub(super) fn settle(&mut self) {
        for mut balancer in std::mem::take(&mut self.balancers) {
            self.members(&mut balancer);
            self.settings(&mut balancer);
            if balancer.members.is_empty() {
                self.lost(
                    &balancer.source,
                    "has no member that the gateway can have; it is left out, with its paths",
                );
                self.silent.push(balancer.source);
            } else {
                self.balancers.push(balancer);
            }
        }
        self.settle_mounts();
        self.settle_diverted();
        // httpd asks who may have a path before it forwards it, and a later Location outdoes
        // an earlier one.
        let (mut first, others): (Vec<_>, Vec<_>) = std::mem::take(&mut self.maps)
            .into_iter()
            .partition(|map| map.kind == Kind::Forbidden || map.is_of_location);
        first.reverse();
        first.sort_by_key(|map| map.kind != Kind::Forbidden);
        first.extend(others);
        self.maps = first;
        self.settle_sites();
        self.settle_granted();
        for map in std::mem::take(&mut self.maps) {
            self.settle_map(map);
        }
        self.settle_bare_paths();
        self.settle_scopes();
        self.settle_reverses();
        self.settle_same_names();
        self.settle_tls();
        if !self.maps.iter().any(|map| map.kind == Kind::Forward) {
            self.lost("all files", "map no path to a container; add a [[map]]");
        }
    }

    /// What httpd leads elsewhere is no path of a container: where it would be one it is left
    /// out, although nothing leads the visitor on.
    fn settle_diverted(&mut self) {
        for diverted in std::mem::take(&mut self.diverted) {
            let Diversion {
                map,
                let_through,
                is_of_tls,
            } = diverted;
            let has_tls = |host: &VirtualHost| {
                host.tls.is_on && map.site.as_ref().is_none_or(|site| *site == host.place)
            };
            if is_of_tls && !self.virtual_hosts.iter().any(has_tls) {
                continue;
            }
            let start = start_of(&map.path);
            let meets = |known: &Map| {
                let is_here = known.site == map.site || known.site.is_none();
                let known_start = start_of(&known.path);
                known.kind == Kind::Forward
                    && (is_here || map.site.is_none())
                    && (known_start.starts_with(&start) || start.starts_with(&known_start))
            };
            let mounts = self.mounts.iter().filter(|mount| !mount.is_excluded);
            let is_mounted = mounts.count() > 0;
            match let_through {
                _ if !is_mounted && !self.maps.iter().any(meets) => {}
                Some(text) => self.open(&map.place, text),
                None => self.map(map),
            }
        }
    }

    fn members(&mut self, balancer: &mut Balancer) {
        let mut addresses = Vec::new();
        for member in std::mem::take(&mut balancer.members) {
            let url = &member.url;
            match url.parse::<Address>() {
                Ok(address) if addresses.contains(&address) => self.lost(
                    &member.place,
                    format!("{url} is a member already; the first is kept"),
                ),
                Ok(address) => {
                    addresses.push(address);
                    balancer.members.push(member);
                }
                Err(error) => self.lost(&member.place, format!("is left out: {error}")),
            }
        }
    }

    fn settings(&mut self, balancer: &mut Balancer) {
        let name = balancer.source.clone();
        if let Some(sticky) = balancer.sticky.take_if(|text| Sticky::new(text).is_err()) {
            self.lost(
                &name,
                format!("{sticky:?} names no cookie and path parameter; set sticky"),
            );
        }
        if balancer.nofailover && balancer.sticky.is_none() {
            balancer.nofailover = false;
            self.note(&name, "nofailover means nothing without sticky sessions");
        }
        self.secrets_of(balancer);
    }

    /// One secret for all members, or one for each.
    fn secrets_of(&mut self, balancer: &mut Balancer) {
        let mut wrong = false;
        for member in &mut balancer.members {
            let is_none = |text: &mut String| Secret::new(text.as_bytes()).is_err();
            wrong |= member.secret.take_if(is_none).is_some();
        }
        if wrong {
            let text = "the secret is empty or not printable, so none is sent";
            self.lost(&balancer.source, text);
        }
        let mut secrets = balancer.members.iter().map(|member| &member.secret);
        let first = secrets.next().cloned().unwrap_or_default();
        balancer.pool.secret = None;
        if secrets.all(|secret| *secret == first) {
            balancer.pool.secret = first;
            for member in &mut balancer.members {
                member.secret = None;
            }
        }
    }

    /// One path, after all that stand before it.
    fn settle_map(&mut self, map: Map) {
        let Map {
            path,
            balancer,
            target,
            place,
            ..
        } = &map;
        if self.silent.contains(balancer) {
            return;
        }
        let wrong = match Pattern::parse(path) {
            Err(error) => Some(error.to_string()),
            Ok(pattern) if map.kind == Kind::Forward => {
                fault_of_target(&pattern, target).map(|why| format!("the path {target:?} {why}"))
            }
            Ok(_) => None,
        };
        if let Some(wrong) = wrong {
            let text = format!("{wrong}; map the path that it means");
            if map.kind == Kind::Forward {
                self.lost(place, text);
            } else {
                self.open(place, text);
            }
            return;
        }
        let is_known = self.balancers.iter().any(|known| known.source == *balancer);
        if map.kind == Kind::Forward && !is_known {
            self.lost(
                place,
                format!("{path} leads to {balancer}, which is nowhere described"),
            );
            return;
        }
        let is_same_path = |known: &&mut Map| known.path == *path && known.site == map.site;
        if let Some(known) = self.maps.iter_mut().find(is_same_path) {
            let is_same =
                known.balancer == *balancer && known.target == *target && known.kind == map.kind;
            if known.is_below_only && !map.is_below_only {
                if is_same {
                    known.is_below_only = false;
                } else {
                    // All below it is taken already.
                    let path = format!("= {path}");
                    self.maps.push(Map { path, ..map });
                }
                return;
            }
            if !is_same {
                let text = format!(
                    "{path} leads elsewhere at {}, and that is kept; several virtual hosts need a \
                     ServerName each",
                    known.place
                );
                if map.kind == Kind::Forward {
                    self.lost(place, text);
                } else {
                    self.open(place, text);
                }
            }
            return;
        }
        // `/app` alone and all below it are one map of the gateway.
        let one_of = |alone: &Map, below: &Map| {
            alone.path.strip_prefix("= ") == Some(&below.path)
                && alone.balancer == below.balancer
                && (alone.kind != Kind::Forward || alone.target == below.target)
                && alone.kind == below.kind
                && alone.site == below.site
        };
        if let Some(known) = self.maps.iter_mut().find(|known| one_of(&map, known)) {
            known.is_below_only = false;
            return;
        }
        let before = self.maps.len();
        self.maps.retain(|known| !one_of(known, &map));
        let mut map = map;
        map.is_below_only &= before == self.maps.len();
        let Map { path, place, .. } = &map;
        let covers = |known: &&Map| {
            let rest = path.strip_prefix(known.path.trim_end_matches('/'));
            known.path.starts_with('/')
                && known.site == map.site
                && rest.is_some_and(|rest| rest.starts_with('/'))
        };
        if let Some(first) = self.maps.iter().find(covers) {
            let text = format!(
                "{path} is left out: httpd takes {} at {} first and never comes to it",
                first.path, first.place
            );
            self.note(place, text);
            return;
        }
        self.maps.push(map);
    }

    /// A part of what nobody may have that everybody may have: the gateway denies it too.
    fn settle_granted(&mut self) {
        for granted in std::mem::take(&mut self.granted) {
            let is_around = |map: &&Map| {
                let rest = granted.path.strip_prefix(map.path.trim_end_matches('/'));
                map.kind == Kind::Forbidden
                    && (map.site == granted.site || granted.site.is_none())
                    && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            };
            if let Some(denied) = self.maps.iter().find(is_around) {
                let text = format!(
                    "{} is denied with {} at {}, which the gateway looks at first; put a map for \
                     it before that one",
                    granted.path, denied.path, denied.place
                );
                self.lost(&granted.place, text);
            }
        }
    }

    /// `ProxyPass /app/` and `JkMount /app/*` are not for `/app`, which the gateway has in the
    /// same map: it goes wherever it goes without them.
    fn settle_bare_paths(&mut self) {
        let all = self.maps.clone();
        for map in std::mem::take(&mut self.maps) {
            let exact = format!("= {}", map.path);
            let is_told = |known: &Map| known.path == exact && known.site == map.site;
            let is_below_only = map.is_below_only && !all.iter().any(is_told);
            let (path, site) = (map.path.clone(), map.site.clone());
            let place = map.place.clone();
            self.maps.push(map);
            if !is_below_only {
                continue;
            }
            let bare = Map {
                path: format!("= {path}"),
                place,
                site,
                ..Map::default()
            };
            self.maps.push(bare);
        }
        let bare = |map: &Map| map.kind == Kind::Forward && map.balancer.is_empty();
        let all = self.maps.clone();
        for map in self.maps.iter_mut().filter(|map| bare(map)) {
            let path = map.path.trim_start_matches("= ").to_owned();
            let fits = |known: &&Map| {
                let pattern = Pattern::parse(&known.path);
                let is_it = known.path == path && known.is_below_only;
                !bare(known)
                    && known.site == map.site
                    && !is_it
                    && pattern.is_ok_and(|pattern| pattern.matches(&path))
            };
            let found = all.iter().find(fits);
            match found {
                Some(found) if found.path.starts_with('/') && !found.path.contains('*') => {
                    let rest = path.strip_prefix(found.path.trim_end_matches('/'));
                    let target = found.target.trim_end_matches('/');
                    map.target = format!("{target}{}", rest.unwrap_or_default());
                    map.balancer.clone_from(&found.balancer);
                    map.kind = found.kind;
                }
                _ => {
                    map.kind = Kind::NotFound;
                    "/".clone_into(&mut map.target);
                }
            }
        }
        // What leads to the same as without it needs no word.
        let known = std::mem::take(&mut self.maps);
        let says_nothing = |map: &Map| {
            let path = map.path.trim_start_matches("= ");
            map.kind == Kind::NotFound
                && map.path.starts_with("= ")
                && known
                    .iter()
                    .any(|other| other.path == path && other.kind == map.kind)
        };
        self.maps = known
            .iter()
            .filter(|map| !says_nothing(map))
            .cloned()
            .collect();
        self.exact_first();
    }

    /// Paths alone come before those below them, in the order of the file too.
    fn exact_first(&mut self) {
        let mut at = 0;
        while let Some(map) = self.maps.get(at) {
            let below = map.path.strip_prefix("= ").map(str::to_owned);
            let site = map.site.clone();
            let first = below.and_then(|path| {
                let is_around = |known: &Map| known.site == site && known.path == path;
                self.maps.iter().position(is_around)
            });
            if let Some(first) = first.filter(|first| *first < at) {
                let map = self.maps.remove(at);
                self.maps.insert(first, map);
            }
            at = at.saturating_add(1);
        }
    }

    /// Holds what httpd maps back against what the gateway does: it maps back what its own
    /// maps change, and nothing else.
    fn settle_reverses(&mut self) {
        let reverses = std::mem::take(&mut self.reverses);
        // Of mod_jk's and of a path that is the same on both sides nothing is changed.
        for map in &mut self.maps {
            let is_path = map.path.starts_with('/') && !map.path.contains('*');
            map.location = !is_path || map.path == map.target || map.kind != Kind::Forward;
            map.cookie_path = map.location;
        }
        for reverse in &reverses {
            let plain = |path: &str| {
                let path = path.trim_end_matches('/');
                if path.is_empty() {
                    "/".to_owned()
                } else {
                    path.to_owned()
                }
            };
            let balancers = &self.balancers;
            let url = |map: &Map| {
                let known = balancers
                    .iter()
                    .find(|known| known.source == map.balancer)?;
                let one = match &known.members[..] {
                    [one] if known.is_direct() => one.url.clone(),
                    _ => format!("balancer://{}", known.source),
                };
                Some(plain(&format!("{one}{}", map.target)))
            };
            let path = plain(&reverse.path);
            let of = plain(&reverse.of);
            let is_of = |map: &&mut Map| {
                let is_there = map.site == reverse.site && map.path == path;
                let is_that = if reverse.is_cookie {
                    map.target == of
                } else {
                    url(map).is_some_and(|url| url.eq_ignore_ascii_case(&of))
                };
                is_there && is_that && map.kind == Kind::Forward
            };
            match self.maps.iter_mut().find(is_of) {
                Some(map) if reverse.is_cookie => map.cookie_path = true,
                Some(map) => map.location = true,
                None if reverse.is_cookie => self.lost(
                    &reverse.place,
                    format!(
                        "ProxyPassReverseCookiePath {} {}: no map changes one into the other; let \
                         the application set the path that it means",
                        reverse.of, reverse.path
                    ),
                ),
                None => self.lost(
                    &reverse.place,
                    format!(
                        "ProxyPassReverse {} {}: the gateway maps back only what it maps; let the \
                         application redirect to the site's own name",
                        reverse.path, reverse.of
                    ),
                ),
            }
        }
    }
}

/// How every path begins that a path of a map, or a pattern, is for; in small letters, as a
/// pattern may take both.
fn start_of(path: &str) -> String {
    let pattern = path.strip_prefix("~ ");
    let Some(pattern) = pattern else {
        let path = path.trim_start_matches("= ");
        let start = path.split('*').next().unwrap_or_default();
        return start.trim_end_matches('/').to_ascii_lowercase();
    };
    let pattern = pattern.strip_prefix("(?i)").unwrap_or(pattern);
    let Some(pattern) = pattern
        .strip_prefix('^')
        .filter(|pattern| !pattern.contains('|'))
    else {
        return String::new();
    };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/-_".contains(c);
    let (start, rest) = pattern.split_at(pattern.find(|c| !is_plain(c)).unwrap_or(pattern.len()));
    // The last one may be there or not.
    let last = start.len().saturating_sub(1);
    let start = if rest.starts_with(['?', '*', '{']) {
        start.get(..last).unwrap_or_default()
    } else {
        start
    };
    start.trim_end_matches('/').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::start_of;

    #[test]
    fn starts_of_paths() {
        for (path, start) in [
            ("/app/", "/app"),
            ("= /app", "/app"),
            ("/a*.jsp", "/a"),
            ("~ ^/App/(.*)$", "/app"),
            ("~ (?i)^/a/b?/c", "/a"),
            ("~ ^/a|^/b", ""),
            ("~ /a", ""),
            ("/", ""),
        ] {
            assert_eq!(start_of(path), start, "{path}");
        }
    }
}
