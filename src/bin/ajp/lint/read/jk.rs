//! mod_jk: workers, and which paths go to them.

use super::packet_size;
use crate::config::httpd::Tree;
use crate::config::workers::{Worker, Workers, is_on, names};
use crate::config::{Text, uri_map};
use crate::lint::farm::{Farm, Front, Group, Link, Located, Map, Target};
use std::path::Path;
use std::time::Duration;

/// mod_jk's files.
pub(super) fn read(workers: &[&Text], maps: &[&Text], farm: &mut Farm) {
    for text in workers {
        of_text(text, farm);
    }
    for text in maps {
        uri_map(text, farm);
    }
}

/// What of mod_jk is in httpd's files: mounts, and files that they name and nobody gave.
pub(super) fn of_httpd(tree: &Tree, base: &Path, given: &[&Text], farm: &mut Farm) {
    let mut lines = Vec::new();
    for item in &tree.items {
        match &*item.name {
            "jkworkerproperty" => lines.push((item.place.clone(), item.args.join(" "))),
            "jkworkersfile" => {
                let path = tree.path(item.arg(0), base);
                let is_given = given.iter().any(|text| {
                    let file = Path::new(&*text.name);
                    file == path || (!path.exists() && file.file_name() == path.file_name())
                });
                if is_given {
                    continue;
                }
                match Text::read(&path) {
                    Ok(text) => of_text(&text, farm),
                    Err(_) => farm
                        .missing
                        .push((item.place.clone(), item.arg(0).to_owned())),
                }
            }
            "jkmountfile" => {
                let path = tree.path(item.arg(0), base);
                match Text::read(&path) {
                    Ok(text) => uri_map(&text, farm),
                    Err(_) => farm
                        .missing
                        .push((item.place.clone(), item.arg(0).to_owned())),
                }
            }
            "jkmount" | "jkunmount" => {
                let location = item.open("location").map(|section| section.args.join(" "));
                let (path, worker) = match (&item.args[..], location) {
                    ([path, worker], _) => (path.clone(), worker),
                    ([worker], Some(path)) => (path, worker),
                    _ => continue,
                };
                let target = if item.name == "jkmount" {
                    Target::Named(worker.clone())
                } else {
                    excluded(worker)
                };
                let (path, base) = uri_map::patterns(&path);
                for path in base.into_iter().chain([path]) {
                    farm.maps.push(Map {
                        front: Front::ModJk,
                        place: item.place.clone(),
                        inner: path.clone(),
                        path,
                        target: target.clone(),
                        site: item.site(),
                        is_in_order: false,
                    });
                }
            }
            _ => {}
        }
    }
    if !lines.is_empty() {
        // Each line has a place of its own, so each is read as a file of one line: first as a
        // whole for what refers to what, then every property gets its place back.
        let joined: Vec<&str> = lines.iter().map(|(_, line)| &**line).collect();
        let text = Text::new("JkWorkerProperty", joined.join("\n"));
        let mut workers = Workers::read(&text);
        let place_of = |line: usize| {
            lines
                .get(line.saturating_sub(1))
                .map(|(place, _)| place.clone())
        };
        let properties = workers
            .all
            .values_mut()
            .flat_map(|worker| worker.values_mut());
        for property in properties {
            if let Some(place) = place_of(property.place.line) {
                property.place = place;
            }
        }
        if let Some(list) = &mut workers.list_place {
            if let Some(place) = place_of(list.line) {
                *list = place;
            }
        }
        add(workers, farm);
    }
}

fn of_text(text: &Text, farm: &mut Farm) {
    add(Workers::read(text), farm);
}

/// A path that is taken away from a worker; a star stands for every one.
fn excluded(worker: &str) -> Target {
    Target::Excluded(Some(worker.to_owned()).filter(|worker| worker != "*"))
}

fn uri_map(text: &Text, farm: &mut Farm) {
    for rule in uri_map::rules(text).filter_map(Result::ok) {
        if rule.pattern.starts_with('-') {
            continue;
        }
        for pattern in rule.base.iter().chain([&rule.pattern]) {
            let (path, target) = match pattern.strip_prefix('!') {
                Some(path) => (path, excluded(&rule.worker)),
                None => (&**pattern, Target::Named(rule.worker.clone())),
            };
            farm.maps.push(Map {
                front: Front::ModJk,
                place: rule.place.clone(),
                inner: path.to_owned(),
                path: path.to_owned(),
                target,
                site: None,
                is_in_order: false,
            });
        }
    }
}

fn add(workers: Workers, farm: &mut Farm) {
    for (name, own) in &workers.all {
        let worker = workers.whole(name);
        let kind = worker.get("type").map_or("ajp13", |kind| &*kind.value);
        let Some(place) = own.values().map(|property| &property.place).min() else {
            continue;
        };
        match kind {
            "lb" => {
                let value = |property: &str| worker.get(property).map(|known| &*known.value);
                let sticky = value("sticky_session").is_none_or(is_on).then(|| {
                    let cookie = value("session_cookie").unwrap_or("JSESSIONID");
                    let path = value("session_path").unwrap_or(";jsessionid");
                    format!("{cookie}|{}", path.trim_start_matches(';'))
                });
                let sticky_place = worker
                    .get("sticky_session")
                    .or_else(|| worker.get("session_cookie"))
                    .map_or(place, |property| &property.place);
                let mut members = Vec::new();
                for member in names(value("balance_workers").unwrap_or_default()) {
                    let of_member = workers.whole(&member);
                    let place = of_member.values().map(|known| &known.place).next();
                    // A worker that nothing is said of is at localhost:8009.
                    let place = place.unwrap_or(place_of(&worker));
                    members.push(farm.links.len());
                    farm.links
                        .push(link(&member, &of_member, Some(&worker), place.clone()));
                }
                farm.groups.push(Group {
                    front: Front::ModJk,
                    name: name.clone(),
                    place: place.clone(),
                    members,
                    sticky: sticky.map(|names| Located::new(names, sticky_place)),
                    settings: settings(&worker),
                });
            }
            "ajp13" | "ajp14" => {
                let is_member = workers.all.values().any(|other| {
                    let members = other.get("balance_workers");
                    members.is_some_and(|list| names(&list.value).any(|member| member == *name))
                });
                let is_template = workers.all.values().any(|other| {
                    let reference = other.get("reference").map(|known| &*known.value);
                    reference.is_some_and(|known| {
                        known == name || known.strip_prefix("worker.") == Some(name)
                    })
                });
                if !is_member && (!is_template || workers.list.contains(name)) {
                    farm.links.push(link(name, &worker, None, place.clone()));
                }
            }
            _ => {}
        }
    }
    farm.workers.push(workers);
}

/// Where a balancer names its members.
fn place_of(worker: &Worker) -> &crate::config::Place {
    let list = worker.get("balance_workers");
    let any = || worker.values().next();
    #[allow(clippy::expect_used, reason = "an lb worker has at least its type")]
    &list.or_else(any).expect("a worker has a property").place
}

fn settings(worker: &Worker) -> std::collections::BTreeMap<String, Located<String>> {
    let settings = worker.iter().map(|(name, property)| {
        (
            name.clone(),
            Located::new(property.value.clone(), &property.place),
        )
    });
    settings.collect()
}

fn link(
    name: &str,
    worker: &Worker,
    balancer: Option<&Worker>,
    place: crate::config::Place,
) -> Link {
    let at = |property: &str| {
        let known = worker.get(property)?;
        Some(Located::new(known.value.clone(), &known.place))
    };
    let number = |property: &str| {
        let known = worker.get(property)?;
        Some(Located::new(known.value.parse::<u64>().ok()?, &known.place))
    };
    let size = number("max_packet_size");
    // A secret of the balancer holds for its members too.
    let secret = at("secret").or_else(|| {
        let known = balancer?.get("secret")?;
        Some(Located::new(known.value.clone(), &known.place))
    });
    let is_probed = worker.contains_key("ping_mode")
        || number("prepost_timeout").is_some_and(|limit| limit.value > 0)
        || number("connect_timeout").is_some_and(|limit| limit.value > 0);
    let route = at("route").or_else(|| balancer.map(|_| Located::new(name.to_owned(), &place)));
    let seconds =
        |limit: &Located<u64>| Located::new(Duration::from_secs(limit.value), &limit.place);
    Link {
        front: Front::ModJk,
        name: name.to_owned(),
        host: worker
            .get("host")
            .map_or_else(|| "localhost".to_owned(), |host| host.value.clone()),
        port: match worker.get("port") {
            Some(port) => port.value.parse().ok(),
            None => Some(8009),
        },
        secret,
        other_secrets: Vec::new(),
        attributes: Vec::new(),
        packet_size: size.as_ref().map_or(8192, |size| packet_size(size.value)),
        packet_place: size.map(|size| size.place),
        max: number("connection_pool_size"),
        idle: number("connection_pool_timeout")
            .filter(|limit| limit.value > 0)
            .as_ref()
            .map(seconds),
        is_probed,
        route,
        settings: settings(worker),
        site: None,
        place,
    }
}
