//! Our gateway's TOML. What its file may hold the gateway itself checks when it starts; here is
//! what containers must agree with.

use super::{authority, is_readable_by_all};
use crate::config::{Place, Text};
use crate::lint::farm::{Farm, Front, Group, Link, Located, Map, Target};
use crate::values::duration;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use toml::de::{DeTable, DeValue};

pub(super) fn read(path: &Path, text: &Text, farm: &mut Farm) {
    let table = match DeTable::parse(&text.text) {
        Ok(table) => table,
        Err(error) => {
            let offset = error.span().map_or(0, |span| span.start);
            farm.wrong_settings
                .push((place(text, offset), error.message().to_owned()));
            return;
        }
    };
    let reader = Reader { path, text };
    #[cfg(feature = "gateway")]
    for (span, message) in crate::gateway::faults(&text.text) {
        let at = span.map_or(0, |span| span.start);
        farm.wrong_settings.push((place(text, at), message));
    }
    for balancer in tables(table.get_ref(), "balancer") {
        reader.balancer(balancer, farm);
    }
    let sites = tables(table.get_ref(), "site");
    let of_sites = sites.iter().flat_map(|site| tables(site.table, "map"));
    for map in tables(table.get_ref(), "map").into_iter().chain(of_sites) {
        reader.map(map, farm);
    }
}

/// Secrets as files hold them, and where the files are named.
#[derive(Clone)]
struct Secrets {
    first: Located<String>,
    others: Vec<String>,
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a Text,
}

/// A table and where it begins.
#[derive(Clone, Copy)]
struct Table<'a> {
    table: &'a DeTable<'a>,
    offset: usize,
}

fn tables<'a>(table: &'a DeTable<'a>, name: &str) -> Vec<Table<'a>> {
    let Some(DeValue::Array(array)) = table.get(name).map(toml::Spanned::get_ref) else {
        return Vec::new();
    };
    let tables = array.iter().filter_map(|value| match value.get_ref() {
        DeValue::Table(table) => Some(Table {
            table,
            offset: value.span().start,
        }),
        _ => None,
    });
    tables.collect()
}

/// The table under a key.
fn table_of<'a>(table: Table<'a>, name: &str) -> Option<Table<'a>> {
    let value = table.table.get(name)?;
    match value.get_ref() {
        DeValue::Table(table) => Some(Table {
            table,
            offset: value.span().start,
        }),
        _ => None,
    }
}

fn place(text: &Text, offset: usize) -> Place {
    let before = text.text.get(..offset).unwrap_or(&text.text);
    text.place(before.matches('\n').count().saturating_add(1))
}

impl Reader<'_> {
    fn text_of(&self, table: Table<'_>, name: &str) -> Option<Located<String>> {
        let value = table.table.get(name)?;
        let text = match value.get_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(number) => number.to_string(),
            DeValue::Boolean(switch) => switch.to_string(),
            _ => return None,
        };
        Some(Located::new(text, &place(self.text, value.span().start)))
    }

    fn number(&self, table: Table<'_>, name: &str) -> Option<Located<u64>> {
        let text = self.text_of(table, name)?;
        Some(Located::new(
            text.value.replace('_', "").parse().ok()?,
            &text.place,
        ))
    }

    /// The secret of a table, and those that are tried after it.
    fn secrets(&self, table: Table<'_>, farm: &mut Farm) -> Option<Secrets> {
        let value = table.table.get("secret_file")?;
        let at = place(self.text, value.span().start);
        let files: Vec<String> = match value.get_ref() {
            DeValue::String(file) => vec![file.to_string()],
            DeValue::Array(files) => files
                .iter()
                .filter_map(|file| match file.get_ref() {
                    DeValue::String(file) => Some(file.to_string()),
                    _ => None,
                })
                .collect(),
            _ => return None,
        };
        let mut secrets = files.iter().map(|file| self.secret(file, farm));
        let first = Located::new(secrets.next()?, &at);
        let others = secrets.collect();
        Some(Secrets { first, others })
    }

    /// What a file holds. One that cannot be read here is a secret too, of which nothing is known.
    fn secret(&self, file: &str, farm: &mut Farm) -> String {
        let path = self.path.parent().unwrap_or(Path::new("")).join(file);
        match crate::files::read_to_string(&path) {
            Ok(secret) => {
                if is_readable_by_all(&path) {
                    farm.readable
                        .push(Text::new(&path.display().to_string(), "").place(1));
                }
                secret.trim_end_matches(['\r', '\n']).to_owned()
            }
            Err(_) => "${secret_file}".to_owned(),
        }
    }

    /// A way to the URL under a key, with the settings of the balancer's table.
    fn link(
        &self,
        of: Table<'_>,
        key: &str,
        balancer: Table<'_>,
        secrets: Option<Secrets>,
    ) -> Option<Link> {
        let url = self.text_of(of, key)?;
        let (host, port) = if let Some(socket) = url.value.strip_prefix("unix:") {
            (socket.to_owned(), None)
        } else {
            let rest = url.value.strip_prefix("ajp://").unwrap_or(&url.value);
            let (host, port) = authority(rest.split('/').next().unwrap_or(rest))?;
            (host, Some(port))
        };
        let size = self.number(balancer, "packet_size");
        let mut settings = BTreeMap::new();
        // Not a number: "auto".
        if let (None, Some(set)) = (&size, self.text_of(balancer, "packet_size")) {
            settings.insert("packet_size".to_owned(), set);
        }
        let pool = table_of(balancer, "pool");
        let of_pool = |name: &str| pool.and_then(|pool| self.text_of(pool, name));
        let time = |name: &str| {
            let time = of_pool(name)?;
            Some(Located::new(duration(&time.value).ok()?, &time.place))
        };
        // It learns when the container closes, and closes first, unless it is told not to.
        let learns = of_pool("learn_keep_alive").is_none_or(|learns| learns.value != "false");
        let idle = if learns {
            Some(Located::new(Duration::ZERO, &url.place))
        } else {
            time("container_keep_alive").or_else(|| time("idle_timeout"))
        };
        let (secret, other_secrets) = match secrets {
            Some(secrets) => (Some(secrets.first), secrets.others),
            None => (None, Vec::new()),
        };
        Some(Link {
            front: Front::Gateway,
            name: url.value,
            place: url.place,
            host,
            port,
            secret,
            other_secrets,
            packet_size: size.as_ref().map_or(8192, |size| size.value),
            packet_place: size.map(|size| size.place),
            max: self.number(balancer, "max_connections"),
            idle,
            is_probed: of_pool("cping").is_none_or(|mode| mode.value != "never"),
            route: None,
            attributes: Vec::new(),
            settings,
            site: None,
        })
    }

    fn balancer(&self, table: Table<'_>, farm: &mut Farm) {
        let at = place(self.text, table.offset);
        let name = self
            .text_of(table, "name")
            .map_or_else(String::new, |name| name.value);
        let secrets = self.secrets(table, farm);
        let mut members = Vec::new();
        for member in tables(table.table, "member") {
            let own = self.secrets(member, farm);
            let Some(mut link) = self.link(member, "url", table, own.or_else(|| secrets.clone()))
            else {
                continue;
            };
            link.route = self.text_of(member, "route");
            members.push(farm.links.len());
            farm.links.push(link);
        }
        farm.groups.push(Group {
            front: Front::Gateway,
            name,
            place: at,
            members,
            sticky: self.text_of(table, "sticky"),
            settings: BTreeMap::new(),
        });
    }

    /// Names of the attributes that a map sets.
    fn attributes(&self, table: Table<'_>) -> Vec<Located<String>> {
        let Some(set) = table_of(table, "attributes") else {
            return Vec::new();
        };
        let names = set.table.keys();
        let names = names.map(|name| {
            let at = place(self.text, name.span().start);
            Located::new(name.get_ref().to_string(), &at)
        });
        names.collect()
    }

    fn map(&self, table: Table<'_>, farm: &mut Farm) {
        let (Some(path), Some(to)) = (self.text_of(table, "path"), self.text_of(table, "to"))
        else {
            return;
        };
        let attributes = self.attributes(table);
        let (target, rest) = if let Some(rest) = to.value.strip_prefix("balancer://") {
            let name = rest.split('/').next().unwrap_or(rest).to_owned();
            let groups = farm.groups.iter().filter(|group| group.name == name);
            let members: Vec<usize> = groups.flat_map(|group| group.members.clone()).collect();
            for member in members {
                if let Some(link) = farm.links.get_mut(member) {
                    link.attributes.extend(attributes.clone());
                }
            }
            (Target::Named(name), rest)
        } else if let Some(rest) = to.value.strip_prefix("ajp://") {
            // A container without a balancer has the settings of the command line alone.
            let Some(mut link) = self.link(table, "to", table, None) else {
                return;
            };
            link.attributes = attributes;
            farm.links.push(link);
            (Target::Link(farm.links.len().saturating_sub(1)), rest)
        } else {
            return;
        };
        let inner = rest.find('/').and_then(|slash| rest.get(slash..));
        farm.maps.push(Map {
            front: Front::Gateway,
            place: path.place,
            path: path.value,
            target,
            inner: inner.unwrap_or_default().to_owned(),
            site: None,
            is_in_order: false,
        });
    }
}
