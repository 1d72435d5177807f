//! mod_proxy's part of httpd's files.

use super::{authority, packet_size, time};
use crate::config::Place;
use crate::config::httpd::{Item, Tree};
use crate::lint::farm::{Farm, Front, Group, Link, Located, Map, Target, io_buffer_size};
use std::collections::BTreeMap;
use std::time::Duration;

type Settings = BTreeMap<String, Located<String>>;

pub(super) fn read(tree: &Tree, farm: &mut Farm) {
    let mut reader = Reader {
        farm,
        set_apart: Vec::new(),
    };
    for item in &tree.items {
        reader.item(item);
    }
    let set_apart = std::mem::take(&mut reader.set_apart);
    settle(tree, &set_apart, farm);
}

struct Reader<'a> {
    farm: &'a mut Farm,
    /// Settings of `<Proxy ajp://...>`, and of which URL.
    set_apart: Vec<(String, Settings)>,
}

impl Reader<'_> {
    fn item(&mut self, item: &Item) {
        match &*item.name {
            "proxypass" => self.proxy_pass(item),
            "balancermember" => self.member(item),
            "proxyset" => self.set(item),
            "rewriterule" if is_proxied(item.args.last().map_or("", String::as_str)) => {
                self.plain(item, item.arg(1), None);
            }
            "sethandler" => {
                if let Some(url) = item.arg(0).strip_prefix("proxy:") {
                    self.plain(item, url, None);
                }
            }
            _ => {}
        }
    }

    fn proxy_pass(&mut self, item: &Item) {
        let location = item.open("location").map(|section| section.args.join(" "));
        let is_path = |text: &str| text.starts_with('/') && !text.contains("://");
        let (path, url, settings) = match (&item.args[..], location) {
            ([path, url, settings @ ..], _) if is_path(path) => (path.clone(), url, settings),
            ([url, settings @ ..], Some(path)) if is_path(&path) => (path, url, settings),
            _ => return,
        };
        let site = item.site();
        let mut map = Map {
            front: Front::ProxyAjp,
            place: item.place.clone(),
            path,
            target: Target::Excluded(None),
            inner: String::new(),
            site,
            is_in_order: item.open("location").is_none(),
        };
        if url != "!" {
            let Some((target, inner)) = self.target(item, url, settings) else {
                return;
            };
            map.target = target;
            map.inner = inner;
        }
        self.farm.maps.push(map);
    }

    /// Where a URL leads; a way to a container is made for `ajp`.
    fn target(&mut self, item: &Item, url: &str, settings: &[String]) -> Option<(Target, String)> {
        let (scheme, rest) = url.split_once("://")?;
        let end = rest.find('/').unwrap_or(rest.len());
        let (host, inner) = rest.split_at(end);
        let target = match scheme {
            "balancer" => {
                let settings = pairs(settings, &item.place);
                let group = self.group(host, &item.place);
                group.settings.extend(settings);
                Target::Named(host.to_ascii_lowercase())
            }
            "ajp" => Target::Link(self.link(item, url, settings)?),
            "http" => {
                let (host, port) = match authority(host)? {
                    (name, 8009) if !host.ends_with(":8009") => (name, 80),
                    found => found,
                };
                Target::Http(host, port)
            }
            _ if url.starts_with("unix:") && url.contains("|ajp://") => {
                Target::Link(self.link(item, url, settings)?)
            }
            _ => return None,
        };
        Some((target, inner.to_owned()))
    }

    /// A way that no `ProxyPass` is for.
    fn plain(&mut self, item: &Item, url: &str, group: Option<&str>) -> Option<usize> {
        let is_ajp =
            url.starts_with("ajp://") || (url.starts_with("unix:") && url.contains("|ajp://"));
        if !is_ajp {
            return None;
        }
        let end = url
            .get(6..)
            .and_then(|rest| rest.find(['/', '$', '%']))
            .map_or(url.len(), |end| end.saturating_add(6));
        let url = url.get(..end).unwrap_or(url);
        let index = self.link(item, url, &[])?;
        if let Some(name) = group {
            self.group(name, &item.place).members.push(index);
        }
        Some(index)
    }

    fn link(&mut self, item: &Item, url: &str, settings: &[String]) -> Option<usize> {
        let (socket, rest) = match url.split_once('|') {
            Some((socket, rest)) => (socket.strip_prefix("unix:"), rest),
            None => (None, url),
        };
        let rest = rest.strip_prefix("ajp://")?;
        let host = rest.split('/').next().unwrap_or(rest);
        let (host, port) = if let Some(socket) = socket {
            (socket.to_owned(), None)
        } else {
            let (host, port) = authority(host)?;
            (host, Some(port))
        };
        if host.contains("${") {
            return None;
        }
        let site = item.site();
        self.farm.links.push(Link {
            front: Front::ProxyAjp,
            name: url.to_owned(),
            place: item.place.clone(),
            host,
            port,
            secret: None,
            other_secrets: Vec::new(),
            attributes: Vec::new(),
            packet_size: 8192,
            packet_place: None,
            max: None,
            idle: None,
            is_probed: false,
            route: None,
            settings: pairs(settings, &item.place),
            site,
        });
        self.farm.links.len().checked_sub(1)
    }

    fn member(&mut self, item: &Item) {
        let in_section = item.open("proxy").and_then(|section| section.args.first());
        let (group, url, settings) = match &item.args[..] {
            [group, url, settings @ ..] if group.starts_with("balancer://") => {
                (group.clone(), url, settings)
            }
            [url, settings @ ..] => match in_section {
                Some(group) => (group.clone(), url, settings),
                None => return,
            },
            [] => return,
        };
        let Some(name) = balancer_name(&group) else {
            return;
        };
        if let Some(index) = self.link(item, url, settings) {
            let place = item
                .open("proxy")
                .map_or(&item.place, |section| &section.place);
            self.group(&name, place).members.push(index);
        }
    }

    fn set(&mut self, item: &Item) {
        let in_section = item.open("proxy").and_then(|section| section.args.first());
        let (url, settings) = match &item.args[..] {
            [url, settings @ ..] if url.contains("://") => (url.clone(), settings),
            settings => match in_section {
                Some(url) => (url.clone(), settings),
                None => return,
            },
        };
        let settings = pairs(settings, &item.place);
        match balancer_name(&url) {
            Some(name) => self.group(&name, &item.place).settings.extend(settings),
            None => self.set_apart.push((url, settings)),
        }
    }

    fn group(&mut self, name: &str, place: &Place) -> &mut Group {
        let name = name.to_ascii_lowercase();
        let groups = &mut self.farm.groups;
        let known = groups
            .iter()
            .position(|known| known.front == Front::ProxyAjp && known.name == name);
        let index = known.unwrap_or(groups.len());
        if known.is_none() {
            groups.push(Group {
                front: Front::ProxyAjp,
                name,
                place: place.clone(),
                members: Vec::new(),
                sticky: None,
                settings: Settings::new(),
            });
        }
        #[allow(clippy::indexing_slicing, reason = "it was found there, or put there")]
        &mut groups[index]
    }
}

/// What settings mean when all are known.
fn settle(tree: &Tree, set_apart: &[(String, Settings)], farm: &mut Farm) {
    for link in farm
        .links
        .iter_mut()
        .filter(|link| link.front == Front::ProxyAjp)
    {
        for (url, settings) in set_apart {
            let is_of = link.name.strip_prefix(url.trim_end_matches('/'));
            if is_of.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
                for (name, value) in settings {
                    link.settings
                        .entry(name.clone())
                        .or_insert_with(|| value.clone());
                }
            }
        }
        if let Some(size) = io_buffer_size(tree, link.site) {
            link.packet_size = packet_size(size.value);
            link.packet_place = Some(size.place);
        }
        // What the worker says goes before the directive, since httpd 2.4.64.
        let own = link.setting("iobuffersize").cloned();
        if let Some(own) = own.filter(|own| own.value.parse::<u64>().is_ok()) {
            link.packet_size = packet_size(own.value.parse().unwrap_or(0));
            link.packet_place = Some(own.place);
        }
        link.secret = link.setting("secret").cloned();
        link.route = link.setting("route").cloned();
        let max = link.setting("max");
        link.max = max.and_then(|set| Some(Located::new(set.value.parse().ok()?, &set.place)));
        let reuses_none = link
            .setting("disablereuse")
            .is_some_and(|set| is_on(&set.value))
            || link
                .setting("enablereuse")
                .is_some_and(|set| !is_on(&set.value));
        link.idle = match link.setting("ttl") {
            _ if reuses_none => Some(Located::new(Duration::ZERO, &link.place)),
            Some(set) => {
                time(&set.value, Duration::from_secs(1)).map(|ttl| Located::new(ttl, &set.place))
            }
            None => None,
        };
        link.is_probed = link.setting("ping").is_some();
    }
    for group in farm
        .groups
        .iter_mut()
        .filter(|group| group.front == Front::ProxyAjp)
    {
        group.sticky = group.settings.get("stickysession").cloned();
    }
}

fn balancer_name(url: &str) -> Option<String> {
    let rest = url.strip_prefix("balancer://")?;
    Some(rest.split('/').next()?.to_ascii_lowercase())
}

fn pairs(settings: &[String], place: &Place) -> Settings {
    let pairs = settings.iter().filter_map(|setting| {
        let (name, value) = setting.split_once('=')?;
        Some((
            name.to_ascii_lowercase(),
            Located::new(value.to_owned(), place),
        ))
    });
    pairs.collect()
}

fn is_on(value: &str) -> bool {
    value.eq_ignore_ascii_case("on") || value == "1"
}

fn is_proxied(flags: &str) -> bool {
    let flags = flags.trim_matches(['[', ']']);
    flags
        .split(',')
        .any(|flag| matches!(flag.trim(), "P" | "proxy"))
}
