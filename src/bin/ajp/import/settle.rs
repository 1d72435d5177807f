//! What the gateway would not take, or would do otherwise, when all has been read.

use super::plan::{Balancer, Map, Plan};
use super::values::is_plain_path;
use ajp::Secret;
use ajp::balancer::Sticky;
use ajp::client::Address;
use std::collections::BTreeSet;

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
        for map in std::mem::take(&mut self.maps) {
            self.settle_map(map);
        }
        self.exact_maps();
        let sites: BTreeSet<_> = self
            .maps
            .iter()
            .filter_map(|map| map.site.clone())
            .collect();
        if let (Some(site), true) = (sites.first(), sites.len() > 1) {
            self.lost(
                site,
                "has other paths than another virtual host, and the gateway does not tell hosts \
                 apart; import each by itself and run a gateway for each",
            );
        }
        if self.maps.is_empty() {
            self.lost("all files", "map no path to a container; add a [[map]]");
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
        if let Some(wrong) = [path, target].into_iter().find(|path| !is_plain_path(path)) {
            self.lost(
                place,
                format!("{wrong} is no plain path; map the path that it means"),
            );
            return;
        }
        if !self.balancers.iter().any(|known| known.source == *balancer) {
            self.lost(
                place,
                format!("{path} leads to {balancer}, which is nowhere described"),
            );
            return;
        }
        let same = self.maps.iter_mut().find(|known| known.path == *path);
        if let Some(known) = same {
            if known.balancer == *balancer && known.target == *target {
                known.is_exact &= map.is_exact;
                return;
            }
            let text = format!(
                "{path} leads elsewhere at {}, and that is kept{}",
                known.place,
                if known.site == map.site {
                    ""
                } else {
                    "; the gateway does not tell hosts apart, so run one for each"
                }
            );
            self.lost(place, text);
            return;
        }
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

    fn exact_maps(&mut self) {
        let exact: Vec<_> = self
            .maps
            .iter()
            .filter(|map| map.is_exact)
            .map(|map| (map.place.clone(), map.path.clone()))
            .collect();
        for (place, path) in exact {
            self.note(
                &place,
                format!("{path}: the gateway forwards what is below it too"),
            );
        }
    }
}
