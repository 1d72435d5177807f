//! Our gateway's TOML. What its file may hold the gateway itself checks when it starts; here is
//! what containers must agree with.

use super::{authority, is_readable_by_all};
use crate::config::{Place, Text};
use crate::lint::farm::{At, Farm, Front, Group, Link, Map, Target};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use toml::de::{DeTable, DeValue};

pub(super) fn read(path: &Path, text: &Text, farm: &mut Farm) {
    let table = match DeTable::parse(&text.text) {
        Ok(table) => table,
        Err(error) => {
            let offset = error.span().map_or(0, |span| span.start);
            farm.broken
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
struct Secrets {
    first: At<String>,
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

fn place(text: &Text, offset: usize) -> Place {
    let before = text.text.get(..offset).unwrap_or(&text.text);
    text.place(before.matches('\n').count().saturating_add(1))
}

impl Reader<'_> {
    fn text_of(&self, table: Table<'_>, name: &str) -> Option<At<String>> {
        let value = table.table.get(name)?;
        let text = match value.get_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(number) => number.to_string(),
            _ => return None,
        };
        Some(At::new(text, &place(self.text, value.span().start)))
    }

    fn number(&self, table: Table<'_>, name: &str) -> Option<At<u64>> {
        let text = self.text_of(table, name)?;
        Some(At::new(
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
        let first = At::new(secrets.next()?, &at);
        let others = secrets.collect();
        Some(Secrets { first, others })
    }

    /// What a file holds. One that cannot be read here is a secret too, of which nothing is known.
    fn secret(&self, file: &str, farm: &mut Farm) -> String {
        let path = self.path.parent().unwrap_or(Path::new("")).join(file);
        match std::fs::read_to_string(&path) {
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

    fn balancer(&self, table: Table<'_>, farm: &mut Farm) {
        let at = place(self.text, table.offset);
        let name = self
            .text_of(table, "name")
            .map_or_else(String::new, |name| name.value);
        let secrets = self.secrets(table, farm);
        let size = self.number(table, "packet_size");
        let mut members = Vec::new();
        for member in tables(table.table, "member") {
            let Some(url) = self.text_of(member, "url") else {
                continue;
            };
            let (host, port) = if let Some(socket) = url.value.strip_prefix("unix:") {
                (socket.to_owned(), None)
            } else {
                let rest = url.value.strip_prefix("ajp://").unwrap_or(&url.value);
                match authority(rest.trim_end_matches('/')) {
                    Some((host, port)) => (host, Some(port)),
                    None => continue,
                }
            };
            let own = self.secrets(member, farm);
            let secrets = own.as_ref().or(secrets.as_ref());
            members.push(farm.links.len());
            farm.links.push(Link {
                front: Front::Gateway,
                name: url.value,
                place: url.place,
                host,
                port,
                secret: secrets.map(|secrets| secrets.first.clone()),
                other_secrets: secrets.map_or_else(Vec::new, |secrets| secrets.others.clone()),
                packet_size: size.as_ref().map_or(8192, |size| size.value),
                packet_place: size.as_ref().map(|size| size.place.clone()),
                max: self.number(table, "max_connections"),
                // It learns when the container closes, and closes first.
                idle: Some(At::new(Duration::ZERO, &at)),
                is_probed: true,
                route: self.text_of(member, "route"),
                settings: BTreeMap::new(),
                site: None,
            });
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

    fn map(&self, table: Table<'_>, farm: &mut Farm) {
        let (Some(path), Some(to)) = (self.text_of(table, "path"), self.text_of(table, "to"))
        else {
            return;
        };
        let Some(rest) = to.value.strip_prefix("balancer://") else {
            return;
        };
        let (name, inner) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        farm.maps.push(Map {
            front: Front::Gateway,
            place: path.place,
            path: path.value,
            target: Target::Named(name.to_owned()),
            inner: inner.to_owned(),
            site: None,
            is_in_order: false,
        });
    }
}
