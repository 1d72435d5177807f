//! Changes, whoever asks for them: each is checked as a whole, made, kept, and told in the log
//! with the values before and after and with who asked for it. Whether it is on the disk tells
//! [`Farm::kept`].

use super::farm::{Farm, Managed};
use super::refusal::Refusal;
use crate::gateway::settings::{BalancerSettings, GivenMember, Object};
use ajp::balancer::Balancer;
use ajp::client::Address;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

/// Who asks for a change.
#[derive(Debug, Clone, Copy)]
pub(super) struct Author {
    pub(super) ip: IpAddr,
    pub(super) way: Way,
}

/// How a change is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Way {
    /// A form of the page.
    Page,
    /// The API, with the token.
    Api,
    /// A drain that was asked for so, when it comes to its end.
    Drain,
}

impl fmt::Display for Author {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = match self.way {
            Way::Page => "page",
            Way::Api => "api",
            Way::Drain => "end of a drain",
        };
        write!(f, "{} ({way})", self.ip)
    }
}

/// What has changed, by the keys.
pub(super) type Differences = BTreeMap<String, Difference>;

/// A value before and after.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Difference {
    pub(super) old: Value,
    pub(super) new: Value,
}

impl Author {
    /// One line for the log.
    fn tell(&self, what: &str, done: &str) {
        tracing::warn!("manager: {self}: {what}: {done}");
    }
}

/// Changes what a member is, or how many connections it may have.
pub(super) fn member(
    farm: &Farm,
    author: Author,
    managed: &Managed,
    name: &str,
    patch: Object,
) -> Result<Differences, Refusal> {
    let (mut store, managed) = farm.locked(managed);
    let managed = &managed;
    let balancer = &managed.balancer;
    let known = managed.member(name);
    let before = known.ok_or_else(|| Refusal::no_member(balancer, name))?;
    let mut after = before.clone();
    for (key, value) in patch {
        after.insert(key, value);
    }
    managed.set_member(name, after).map_err(Refusal::bad)?;
    let after = managed.member(name).unwrap_or_default();
    let done = differences(&before, &after);
    store.keep_member(managed, name, &before);
    author.tell(&format!("{}/{name}", balancer.name()), &in_words(&done));
    store.save();
    Ok(done)
}

/// Changes how a balancer works.
pub(super) fn balancer(
    farm: &Farm,
    author: Author,
    managed: &Managed,
    patch: &Object,
) -> Result<Differences, Refusal> {
    let (mut store, managed) = farm.locked(managed);
    let managed = &managed;
    let balancer = &managed.balancer;
    let before = BalancerSettings::of(balancer).object();
    let mut wanted = before.clone();
    for (key, value) in patch {
        wanted.insert(key.clone(), value.clone());
    }
    let settings = BalancerSettings::read(wanted).map_err(|error| {
        // Which key it is, where the library says only what was wrong with a value.
        let is_wrong = |(key, value): &(&String, &Value)| {
            let mut one = before.clone();
            one.insert((*key).clone(), (*value).clone());
            BalancerSettings::read(one).is_err()
        };
        Refusal::bad(match patch.iter().find(is_wrong) {
            Some((key, _)) => format!("{key}: {error}"),
            None => error,
        })
    })?;
    managed.apply(&settings).map_err(Refusal::bad)?;
    let after = BalancerSettings::of(balancer).object();
    let done = differences(&before, &after);
    store.keep_settings(managed, &after);
    author.tell(balancer.name(), &in_words(&done));
    store.save();
    Ok(done)
}

/// Adds a member; its name.
pub(super) fn add(
    farm: &Farm,
    author: Author,
    managed: &Managed,
    mut given: Object,
) -> Result<String, Refusal> {
    let (mut store, managed) = farm.locked(managed);
    let managed = &managed;
    let balancer = &managed.balancer;
    let url = match given.remove("url") {
        Some(Value::String(url)) => url,
        Some(_) => {
            return Err(Refusal::bad(
                "url: must be a text, such as \"ajp://10.0.0.3:8009\"",
            ));
        }
        None => {
            return Err(Refusal::bad(
                "url: is missing; such as \"ajp://10.0.0.3:8009\"",
            ));
        }
    };
    let address: Address = url
        .parse()
        .map_err(|error| Refusal::bad(format!("url: {error}")))?;
    let name = given
        .entry("name")
        .or_insert_with(|| address.to_string().into());
    let name = name.as_str().unwrap_or_default().to_owned();
    let given = GivenMember::read(given, managed.pools.clone()).map_err(Refusal::bad)?;
    let pool = managed.pool(&address, given.pool);
    if balancer.pool(&name).is_some() {
        return Err(Refusal::conflict(format!(
            "{}/{name}: is there already; PUT changes it, or give another name",
            balancer.name()
        )));
    }
    let added = balancer.add(given.member, pool);
    added.map_err(|error| Refusal::bad(error.to_string()))?;
    managed.upgrades.set(&name, given.upgrade);
    store.keep_added(managed, &name, &url);
    let after = managed.member(&name).unwrap_or_default();
    let text = format!("added, at {url}: {}", Value::Object(after));
    author.tell(&format!("{}/{name}", balancer.name()), &text);
    store.save();
    Ok(name)
}

/// Removes a member; what it was.
pub(super) fn remove(
    farm: &Farm,
    author: Author,
    managed: &Managed,
    name: &str,
) -> Result<Object, Refusal> {
    let (mut store, managed) = farm.locked(managed);
    let managed = &managed;
    let balancer = &managed.balancer;
    let known = managed.member(name);
    let before = known.ok_or_else(|| Refusal::no_member(balancer, name))?;
    let removed = balancer.remove(name);
    removed.map_err(|error| Refusal::bad(error.to_string()))?;
    managed.upgrades.set(name, None);
    store.keep_removed(managed, name);
    let text = format!("removed, it was {}", Value::Object(before.clone()));
    author.tell(&format!("{}/{name}", balancer.name()), &text);
    store.save();
    Ok(before)
}

/// Believes a member to be well.
pub(super) fn recover(author: Author, balancer: &Balancer, name: &str) -> Result<(), Refusal> {
    let recovered = balancer.recover(name);
    recovered.map_err(|_| Refusal::no_member(balancer, name))?;
    author.tell(&format!("{}/{name}", balancer.name()), "recovered");
    Ok(())
}

/// Sets the counters of a balancer and its members to zero.
pub(super) fn reset(author: Author, balancer: &Balancer) {
    balancer.reset_counters();
    author.tell(balancer.name(), "counters reset");
}

fn differences(before: &Object, after: &Object) -> Differences {
    let of = |object: &Object, key: &str| object.get(key).cloned().unwrap_or_default();
    let keys = before.keys().chain(after.keys());
    keys.filter(|key| before.get(*key) != after.get(*key))
        .map(|key| {
            let difference = Difference {
                old: of(before, key),
                new: of(after, key),
            };
            (key.clone(), difference)
        })
        .collect()
}

/// `weight 1.0 -> 2.5, set 0 -> 7`
fn in_words(done: &Differences) -> String {
    if done.is_empty() {
        return "nothing changed".into();
    }
    let parts = done.iter();
    let parts = parts.map(|(key, Difference { old, new })| format!("{key} {old} -> {new}"));
    parts.collect::<Vec<_>>().join(", ")
}
