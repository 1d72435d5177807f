//! What the gateway would not take, or would do otherwise, when all has been read.

use super::plan::{Balancer, Kind, Map, Plan};
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
        self.settle_sites();
        for map in std::mem::take(&mut self.maps) {
            self.settle_map(map);
        }
        self.settle_reverses();
        // httpd asks who may have a path before it forwards it.
        self.maps.sort_by_key(|map| map.kind != Kind::Forbidden);
        if self.maps.is_empty() {
            self.lost("all files", "map no path to a container; add a [[map]]");
        }
    }

    /// Virtual hosts are told apart by their names; where one of several has none, all are one.
    fn settle_sites(&mut self) {
        let sites = self.sites();
        if sites.iter().any(|(_, names)| names.is_empty()) {
            for map in &mut self.maps {
                map.site = None;
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
        let is_none = |text: &mut String| Secret::new(text.as_bytes()).is_err();
        if balancer.pool.secret.take_if(is_none).is_some() {
            self.lost(
                &name,
                "the secret is empty or not printable, so none is sent",
            );
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
        let same = |known: &&Map| known.path == *path && known.site == map.site;
        if let Some(known) = self.maps.iter().find(same) {
            let is_same =
                known.balancer == *balancer && known.target == *target && known.kind == map.kind;
            if !is_same {
                let text = format!(
                    "{path} leads elsewhere at {}, and that is kept; several virtual hosts need a \
                     ServerName each",
                    known.place
                );
                self.lost(place, text);
            }
            return;
        }
        // `/app` alone and all below it are one map of the gateway.
        let one_of = |alone: &Map, below: &Map| {
            alone.path.strip_prefix("= ") == Some(&below.path)
                && alone.balancer == below.balancer
                && alone.kind == below.kind
                && alone.site == below.site
        };
        if self.maps.iter().any(|known| one_of(&map, known)) {
            return;
        }
        self.maps.retain(|known| !one_of(known, &map));
        let covers = |known: &&Map| {
            let rest = path.strip_prefix(known.path.trim_end_matches('/'));
            known.is_in_order
                && map.is_in_order
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
                    [one] if known.source.starts_with("ajp://") => one.url.clone(),
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
