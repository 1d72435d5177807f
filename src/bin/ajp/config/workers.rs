//! mod_jk's `workers.properties`.

use super::{Place, Text};
use std::collections::BTreeMap;

/// How long a chain of `reference`s is followed.
const MAX_DEPTH: usize = 20;

/// A value and the line it is on.
#[derive(Debug, Clone)]
pub(crate) struct Property {
    pub(crate) value: String,
    /// As it is written, before old names are replaced by today's.
    pub(crate) written: String,
    pub(crate) place: Place,
}

/// Properties of a worker by name.
pub(crate) type Worker = BTreeMap<String, Property>;

/// A line that sets nothing of a worker.
#[derive(Debug, Clone)]
pub(crate) enum OtherLine {
    /// It has no `=`. Its text is not kept: a secret may be in it.
    NoProperty(Place),
    /// `worker.NAME=...` that is no worker's, such as `worker.maintain`.
    Global(Place, String),
}

/// All of a file.
#[derive(Debug, Default)]
pub(crate) struct Workers {
    /// `worker.list`, or mod_jk's default.
    pub(crate) list: Vec<String>,
    /// Where `worker.list` is.
    pub(crate) list_place: Option<Place>,
    pub(crate) all: BTreeMap<String, Worker>,
    pub(crate) other_lines: Vec<OtherLine>,
}

impl Workers {
    pub(crate) fn read(text: &Text) -> Self {
        let mut workers = Self::default();
        let mut variables: BTreeMap<String, String> = BTreeMap::new();
        for (number, line) in text.lines() {
            let line = without_comment(line);
            if line.is_empty() {
                continue;
            }
            let place = text.place(number);
            let Some((key, value)) = line.split_once('=') else {
                workers.other_lines.push(OtherLine::NoProperty(place));
                continue;
            };
            let key = key.trim();
            let value = expand(value.trim(), &variables);
            variables.insert(key.to_owned(), value.clone());
            let Some(rest) = key.strip_prefix("worker.") else {
                // A variable, for `$(name)`.
                continue;
            };
            match rest.split_once('.') {
                None if rest == "list" => {
                    workers.list.extend(names(&value));
                    workers.list_place.get_or_insert(place);
                }
                None => workers
                    .other_lines
                    .push(OtherLine::Global(place, rest.to_owned())),
                Some((name, property)) => {
                    let written = property.to_owned();
                    workers.set(
                        name,
                        property,
                        Property {
                            value,
                            written,
                            place,
                        },
                    );
                }
            }
        }
        if workers.list.is_empty() {
            // mod_jk's own default.
            workers.list.push("ajp13".to_owned());
        }
        workers
    }

    fn set(&mut self, name: &str, property: &str, value: Property) {
        let property = modern(property);
        let (property, value) = match (property, is_on(&value.value)) {
            ("disabled" | "stopped", false) => return,
            ("disabled" | "stopped", true) => {
                let state = Property {
                    value: property.to_owned(),
                    ..value
                };
                ("activation", state)
            }
            _ => (property, value),
        };
        let worker = self.all.entry(name.to_owned()).or_default();
        match worker.get_mut(property) {
            // Lists may be written in parts.
            Some(before) if property == "balance_workers" => {
                before.value = format!("{},{}", before.value, value.value);
            }
            _ => {
                worker.insert(property.to_owned(), value);
            }
        }
    }

    /// Workers that lead to themselves, with which mod_jk does not start, and how.
    pub(crate) fn circles(&self) -> Vec<(Place, String)> {
        let mut circles = Vec::new();
        for (name, worker) in &self.all {
            if let Some(members) = worker.get("balance_workers") {
                if names(&members.value).any(|member| member == *name) {
                    let why = format!("worker {name} balances itself");
                    circles.push((members.place.clone(), why));
                }
            }
            let mut next = worker.get("reference");
            for _ in 0..self.all.len() {
                let Some(reference) = next else {
                    break;
                };
                let other = reference.value.strip_prefix("worker.");
                let other = other.unwrap_or(&reference.value);
                if other == name {
                    let why = format!("the references of worker {name} lead back to it");
                    circles.push((reference.place.clone(), why));
                    break;
                }
                next = self
                    .all
                    .get(other)
                    .and_then(|worker| worker.get("reference"));
            }
        }
        circles
    }

    /// A worker with what it has of the one it refers to.
    pub(crate) fn whole(&self, name: &str) -> Worker {
        let mut whole = Worker::new();
        let mut next = Some(name.to_owned());
        for _ in 0..MAX_DEPTH {
            let Some(worker) = next.and_then(|name| self.all.get(&name)) else {
                break;
            };
            for (property, value) in worker {
                whole
                    .entry(property.clone())
                    .or_insert_with(|| value.clone());
            }
            next = worker.get("reference").map(|other| {
                let name = other.value.strip_prefix("worker.");
                name.unwrap_or(&other.value).to_owned()
            });
        }
        whole
    }
}

/// A line of mod_jk's files without its comment, which may stand behind a value: it begins at a
/// `#` that has no backslash before it.
pub(crate) fn without_comment(line: &str) -> String {
    let mut text = String::new();
    for c in line.chars() {
        if c == '#' {
            if !text.ends_with('\\') {
                break;
            }
            text.pop();
        }
        text.push(c);
    }
    text.trim().to_owned()
}

/// Today's name of a property.
pub(crate) fn modern(property: &str) -> &str {
    match property {
        "jvm_route" => "route",
        "balanced_workers" => "balance_workers",
        "cachesize" => "connection_pool_size",
        "cache_timeout" | "recycle_timeout" => "connection_pool_timeout",
        other => other,
    }
}

/// The names in a list.
pub(crate) fn names(list: &str) -> impl Iterator<Item = String> {
    list.split([',', ' ', '\t'])
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
}

/// A switch as mod_jk reads it.
pub(crate) fn is_on(value: &str) -> bool {
    value.starts_with(['1', 'T', 't', 'Y', 'y']) || value.eq_ignore_ascii_case("on")
}

/// Puts in the values of `$(name)`.
fn expand(value: &str, variables: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once("$(") {
        out.push_str(before);
        let Some((name, later)) = after.split_once(')') else {
            out.push_str("$(");
            rest = after;
            continue;
        };
        match variables.get(name) {
            Some(value) => out.push_str(value),
            None => out.extend(["$(", name, ")"]),
        }
        rest = later;
    }
    out + rest
}
