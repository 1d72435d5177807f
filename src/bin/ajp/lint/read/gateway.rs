//! Our gateway's TOML. What its file may hold the gateway itself checks when it starts; here is
//! what containers must agree with.

use super::authority;
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
    for balancer in tables(table.get_ref(), "balancer") {
        reader.balancer(balancer, farm);
    }
    for map in tables(table.get_ref(), "map") {
        reader.map(map, farm);
    }
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

    fn balancer(&self, table: Table<'_>, farm: &mut Farm) {
        let at = place(self.text, table.offset);
        let name = self
            .text_of(table, "name")
            .map_or_else(String::new, |name| name.value);
        let secret = self.text_of(table, "secret_file").and_then(|file| {
            let base = self.path.parent().unwrap_or(Path::new(""));
            let secret = std::fs::read_to_string(base.join(&file.value)).ok()?;
            Some(At::new(
                secret.trim_end_matches(['\r', '\n']).to_owned(),
                &file.place,
            ))
        });
        // A file that cannot be read here is still a secret, of which nothing is known.
        let secret = secret.or_else(|| {
            let file = self.text_of(table, "secret_file")?;
            Some(At::new("${secret_file}".to_owned(), &file.place))
        });
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
            members.push(farm.links.len());
            farm.links.push(Link {
                front: Front::Gateway,
                name: url.value,
                place: url.place,
                host,
                port,
                secret: secret.clone(),
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
