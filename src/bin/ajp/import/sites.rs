//! Virtual hosts: which of them become sites of the gateway, and the listener for those with
//! TLS.

use super::plan::{Kind, Listener, Map, Plain, Plan, VirtualHost};

impl Plan {
    /// The virtual hosts that are sites of their own; each with its names.
    ///
    /// One alone that is httpd's default answers for every name, and is none.
    pub(super) fn sites(&self) -> Vec<(String, &[String])> {
        let mut sites: Vec<(String, &[String])> = Vec::new();
        for place in self.maps.iter().filter_map(|map| map.site.as_ref()) {
            if !sites.iter().any(|(known, _)| known == place) {
                let host = self.virtual_hosts.iter().find(|host| host.place == *place);
                sites.push((place.clone(), host.map_or(&[], |host| &host.names)));
            }
        }
        match &sites[..] {
            [(place, names)] if names.is_empty() || self.is_first_of_address(place) => Vec::new(),
            _ => sites,
        }
    }

    /// Whether httpd takes this virtual host for names that none has.
    pub(super) fn is_first_of_address(&self, place: &str) -> bool {
        let hosts = &self.virtual_hosts;
        let own = hosts.iter().find(|host| host.place == place);
        let first = hosts
            .iter()
            .find(|host| own.is_some_and(|own| own.address == host.address));
        first.is_some_and(|first| first.place == place)
    }

    /// Before maps are looked at one by one: what is said for all sites is said in each, and
    /// sites that cannot be told apart are one.
    pub(super) fn settle_sites(&mut self) {
        for host in &mut self.virtual_hosts {
            // The gateway knows a star only in front of a whole name.
            let is_plain = |name: &String| !name.trim_start_matches("*.").contains(['*', '?']);
            let (plain, others): (Vec<_>, _) = host.names.drain(..).partition(is_plain);
            host.names = plain;
            host.odd_names = others;
        }
        for (place, name) in self.odd_names() {
            let text =
                format!("{name} stands for names that the gateway cannot name so; write them out");
            self.lost(&place, text);
        }
        self.settle_addresses();
        let sites = self.sites();
        if sites.iter().any(|(_, names)| names.is_empty()) {
            for map in &mut self.maps {
                map.site = None;
            }
            for scoped in &mut self.scoped {
                scoped.site = None;
            }
            for reverse in &mut self.reverses {
                reverse.site = None;
            }
            return;
        }
        let named: Vec<String> = sites.into_iter().map(|(place, _)| place).collect();
        if named.is_empty() {
            return;
        }
        // Virtual hosts have what the server has, and that comes first.
        let inherited: Vec<Map> = self
            .maps
            .iter()
            .filter(|map| map.site.is_none())
            .cloned()
            .collect();
        for place in named.iter().rev() {
            let copies = inherited.iter().cloned().map(|map| Map {
                site: Some(place.clone()),
                ..map
            });
            let all = copies.chain(std::mem::take(&mut self.maps)).collect();
            self.maps = all;
        }
    }

    /// Virtual hosts at other addresses than the first, with TLS or without: not everybody may
    /// come there, and the gateway has the same sites at all listeners.
    fn settle_addresses(&mut self) {
        let forwards = |host: &&VirtualHost| {
            let mut maps = self.maps.iter().filter(|map| map.kind == Kind::Forward);
            maps.any(|map| map.site.as_ref() == Some(&host.place))
        };
        let hosts: Vec<_> = self.virtual_hosts.iter().filter(forwards).collect();
        let first = |tls: bool| hosts.iter().find(|host| host.tls.is_on == tls);
        let elsewhere = hosts.iter().filter_map(|host| {
            let first = first(host.tls.is_on).filter(|first| first.address != host.address)?;
            let text = format!(
                "is served at {} only, and the virtual host at {} at {}: the gateway has the same \
                 sites at all listeners; import them one by one, for a gateway each",
                host.address, first.place, first.address
            );
            Some((host.place.clone(), text))
        });
        for (place, text) in elsewhere.collect::<Vec<_>>() {
            self.open(&place, text);
        }
    }

    fn odd_names(&self) -> Vec<(String, String)> {
        let of = |host: &VirtualHost| {
            let odd = host.odd_names.iter();
            odd.map(|name| (host.place.clone(), name.clone()))
                .collect::<Vec<_>>()
        };
        self.virtual_hosts.iter().flat_map(of).collect()
    }

    /// After maps were looked at: two sites with a name in common are one, as the gateway has
    /// the same sites at all listeners.
    pub(super) fn settle_same_names(&mut self) {
        let sites: Vec<_> = self
            .sites()
            .into_iter()
            .map(|(place, names)| (place, names.to_vec()))
            .collect();
        let mut kept: Vec<(String, Vec<String>)> = Vec::new();
        for (place, names) in sites {
            let shared =
                |known: &&(String, Vec<String>)| known.1.iter().any(|name| names.contains(name));
            let Some((first, _)) = kept.iter().find(shared) else {
                kept.push((place, names));
                continue;
            };
            let first = first.clone();
            let of = |site: &str| {
                let maps = self
                    .maps
                    .iter()
                    .filter(|map| map.site.as_deref() == Some(site));
                maps.cloned().collect::<Vec<_>>()
            };
            let (mine, theirs) = (of(&place), of(&first));
            let is_known = |map: &Map| theirs.iter().any(|other| other.is_like(map));
            let closed = |map: &&Map| map.kind != Kind::Forward && !is_known(map);
            if let Some(map) = mine.iter().find(closed) {
                let text = format!(
                    "{} is kept out here and not at {first}, which has the same name; the \
                     gateway has one site for a name",
                    map.path
                );
                self.open(&map.place, text);
            } else if self.shows_without_certificate(&first, &place, &theirs, &mine) {
                let text = format!(
                    "has a name of {first}, which clients must show certificates for: the paths \
                     of that would be served here to everybody; give it another name"
                );
                self.open(&place, text);
            } else if !mine.iter().all(is_known) || theirs.len() != mine.len() {
                let text = format!(
                    "has a name of {first}, whose paths are kept; the gateway has one site for \
                     a name"
                );
                self.lost(&place, text);
            }
            self.maps.retain(|map| map.site.as_ref() != Some(&place));
            let mut hosts = self.virtual_hosts.iter_mut();
            if let Some(host) = hosts.find(|host| host.place == place) {
                host.is_one_with = Some(first);
            }
        }
    }

    /// Whether a virtual host without TLS would have paths of one that asks clients for
    /// certificates, if both were one site with the maps of the latter.
    fn shows_without_certificate(
        &self,
        first: &str,
        other: &str,
        maps: &[Map],
        own: &[Map],
    ) -> bool {
        let tls = |place: &str| {
            let mut hosts = self.virtual_hosts.iter();
            hosts.find(|host| host.place == place).map(|host| &host.tls)
        };
        let asks = tls(first).is_some_and(|tls| tls.is_on && tls.clients.is_required);
        let is_plain = tls(other).is_some_and(|tls| !tls.is_on);
        let is_new = |map: &Map| !own.iter().any(|own| own.is_like(map));
        let is_more = maps
            .iter()
            .any(|map| map.kind == Kind::Forward && is_new(map));
        asks && is_plain && is_more
    }

    /// The listener with TLS, if a virtual host with maps has TLS.
    pub(super) fn settle_tls(&mut self) {
        let has_maps = |host: &&VirtualHost| {
            let is_here = |map: &Map| map.site.as_deref().is_none_or(|site| site == host.site());
            self.maps.iter().any(is_here)
        };
        let (with, without): (Vec<_>, Vec<_>) =
            self.virtual_hosts.iter().partition(|host| host.tls.is_on);
        let with: Vec<_> = with.into_iter().filter(has_maps).collect();
        let Some(first) = with.first() else {
            return;
        };
        let own = |host: &&VirtualHost| {
            let mut maps = self.maps.iter();
            maps.any(|map| map.site.as_deref() == Some(host.site()))
        };
        let plain_hosts: Vec<_> = without.iter().copied().filter(own).collect();
        // Those that httpd serves over plain HTTP too are as they were.
        let only_tls = with.iter().find(|host| {
            let mut plain = plain_hosts.iter();
            !plain.any(|plain| plain.site() == host.site())
        });
        let only_tls = only_tls.zip(plain_hosts.first());
        let only_tls = only_tls.map(|(host, plain)| (host.place.clone(), plain.place.clone()));
        let plain = if !plain_hosts.is_empty() {
            Plain::Served
        } else if without.iter().any(|host| host.redirects_to_https) {
            Plain::Redirected
        } else {
            Plain::None
        };
        let pairs = with.iter().flat_map(|host| &host.tls.certificates);
        let mut certificates = Vec::new();
        for (certificate, key) in pairs {
            let key = key.as_ref().unwrap_or(certificate);
            let pair = (certificate.clone(), key.clone());
            if !certificates.contains(&pair) {
                certificates.push(pair);
            }
        }
        let place = first.place.clone();
        let clients = first.tls.clients.clone();
        let other = with.iter().find(|host| host.tls.clients != clients);
        let other = other.map(|host| (host.place.clone(), host.tls.clients.clone()));
        let only_tls13 = with.iter().all(|host| host.tls.only_tls13);
        let hsts = with.iter().find_map(|host| host.tls.hsts.clone());
        let is_required = with.iter().any(|host| host.tls.clients.is_required);
        let no_authority = with.iter().find(|host| {
            let clients = &host.tls.clients;
            clients.is_required && clients.ca.is_none()
        });
        let no_authority = no_authority.map(|host| host.place.clone());
        if let Some(place) = no_authority {
            let text = "SSLVerifyClient require without SSLCACertificateFile: the gateway would ask \
                        for no certificate; put the certificates of the authorities into one file";
            self.open(&place, text);
        }
        if let Some((other, others)) = other {
            let text = "asks clients for other certificates than the virtual host at ";
            let text = format!("{text}{place}; a listener of the gateway asks all of them alike");
            if clients.is_required || others.is_required {
                self.open(&other, text);
            } else {
                self.lost(&other, text);
            }
        }
        if let Some((place, plain_site)) = only_tls {
            let text = format!(
                "is served over plain HTTP too where its name is asked for there, as {plain_site} \
                 is: the gateway has the same sites at all listeners"
            );
            if is_required {
                self.open(
                    &place,
                    format!("{text}; and there clients show no certificate"),
                );
            } else {
                self.lost(&place, text);
            }
        }
        if certificates.is_empty() {
            self.lost(
                &place,
                "SSLEngine without SSLCertificateFile: no listener with TLS",
            );
            return;
        }
        self.listener = Some(Listener {
            place,
            certificates,
            clients,
            only_tls13,
            hsts,
            plain,
        });
    }
}

impl Map {
    /// Whether another map does the same for the same path, of whatever site.
    fn is_like(&self, other: &Self) -> bool {
        self.path == other.path
            && self.balancer == other.balancer
            && self.target == other.target
            && self.kind == other.kind
            && self.settings == other.settings
    }
}
