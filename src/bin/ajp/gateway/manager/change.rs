//! The changes of an operator: a form says what is to be different, all of it is checked,
//! then all of it is done.

use super::edit::{self, Author};
use super::farm::{Farm, Managed};
use super::refusal::Refusal;
use super::{Manager, PATH, guard};
use crate::gateway::settings::Object;
use ajp::balancer::{Flags, Method, Weight};
use axum::http::StatusCode;
use serde_json::Value;

/// What a form asks for.
#[derive(Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "the boxes of a form")]
struct Wish<'a> {
    nonce: &'a str,
    balancer: Option<&'a str>,
    member: Option<&'a str>,
    weight: Option<Weight>,
    set: Option<u32>,
    /// httpd's `status`: what is switched on and off.
    status: Option<&'a str>,
    /// All flags that are to be set.
    flags: Option<Flags>,
    recover: bool,
    method: Option<&'static str>,
    reset: bool,
    /// Values of settings, by their keys: fields that are called `is:KEY`.
    settings: Object,
    /// Where a member is that is to be added.
    url: Option<&'a str>,
    remove: bool,
    /// What cannot be undone by another form is meant.
    sure: bool,
    refresh: Option<u32>,
}

/// Makes the change that these fields ask for; where to look next.
pub(super) fn change(
    manager: &Manager,
    author: Author,
    fields: &[(String, String)],
) -> Result<String, Refusal> {
    let forbidden = |text| Err(Refusal::new(StatusCode::FORBIDDEN, text));
    let view = manager.farm.view();
    if !view.access.forms {
        return forbidden("the manager is read only; `changes = true` allows changes");
    }
    let given = fields.iter().find(|(name, _)| name == "nonce");
    match given {
        Some((_, given)) if guard::is_same(&manager.nonce, given) => {}
        Some(_) => return forbidden("the nonce is not of this process; load the page again"),
        None => return forbidden("the nonce is missing"),
    }
    let wish = Wish::read(fields)?;
    let missing = |what: &str, name: &str| {
        let text = format!("there is no {what} {name:?}");
        Refusal::new(StatusCode::NOT_FOUND, text)
    };
    let Some(name) = wish.balancer else {
        return Err(bad("balancer", "must be named"));
    };
    let entry = view
        .balancer(name)
        .ok_or_else(|| missing("balancer", name))?;
    match wish.member {
        None => wish.apply_to_balancer(&manager.farm, author, entry)?,
        Some(member) => {
            let members = entry.balancer.members();
            let known = members.iter().find(|known| known.name() == member);
            let known = known.ok_or_else(|| missing("member", member))?;
            let flags = known.current_flags();
            wish.apply_to_member(&manager.farm, author, entry, member, flags)?;
        }
    }
    Ok(match wish.refresh {
        Some(seconds) => format!("{PATH}?refresh={seconds}"),
        None => PATH.into(),
    })
}

fn bad(field: &str, why: impl std::fmt::Display) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, format!("{field}: {why}"))
}

impl<'a> Wish<'a> {
    fn read(fields: &'a [(String, String)]) -> Result<Self, Refusal> {
        let mut wish = Self::default();
        for (name, value) in fields {
            let value = value.as_str();
            match name.as_str() {
                "nonce" => wish.nonce = value,
                "balancer" => wish.balancer = Some(value),
                "member" => wish.member = Some(value),
                "weight" => {
                    let weight = value.trim().parse();
                    wish.weight = Some(weight.map_err(|error| bad("weight", error))?);
                }
                "set" => {
                    let set = value.trim().parse().ok().filter(|set| *set <= 1000);
                    let allowed = || bad("set", "a whole number from 0 to 1000");
                    wish.set = Some(set.ok_or_else(allowed)?);
                }
                "status" => {
                    let checked = Flags::ACTIVE.apply(value);
                    checked.map_err(|error| bad("status", error))?;
                    wish.status = Some(value);
                }
                // Once for each flag that is set, and once with nothing, since an empty
                // list of boxes says nothing at all.
                "flag" => {
                    let flags = wish.flags.unwrap_or_default().apply(value);
                    wish.flags = Some(flags.map_err(|error| bad("flag", error))?);
                }
                "recover" => wish.recover = true,
                "method" => {
                    let plain = value.replace('_', "");
                    let known = Method::NAMES.into_iter().find(|known| *known == plain);
                    let allowed = || bad("method", Method::NAMES.join(", "));
                    wish.method = Some(known.ok_or_else(allowed)?);
                }
                "reset" => wish.reset = true,
                "url" => wish.url = Some(value.trim()),
                "remove" => wish.remove = true,
                "sure" => wish.sure = true,
                "refresh" => wish.refresh = value.parse().ok(),
                _ => {
                    let key = name.strip_prefix("is:");
                    let key = key.ok_or_else(|| bad(name, "is no field of the manager"))?;
                    wish.settings.insert(key.to_owned(), setting(key, value));
                }
            }
        }
        Ok(wish)
    }

    fn apply_to_balancer(
        &self,
        farm: &Farm,
        author: Author,
        managed: &Managed,
    ) -> Result<(), Refusal> {
        let of_member = self.weight.is_some()
            || self.set.is_some()
            || self.status.is_some()
            || self.flags.is_some()
            || self.remove
            || self.recover;
        if of_member {
            return Err(bad(
                "member",
                "must be named for weight, set, flags and recovery",
            ));
        }
        if let Some(url) = self.url {
            let mut given = self.settings.clone();
            // What is left empty is as for all.
            given.retain(|_, value| !value.is_null());
            given.insert("url".into(), url.into());
            return edit::add(farm, author, managed, given).map(drop);
        }
        let mut patch = self.settings.clone();
        if let Some(method) = self.method {
            patch.insert("method".into(), method.into());
        }
        if patch.is_empty() && !self.reset {
            return nothing();
        }
        if !patch.is_empty() {
            edit::balancer(farm, author, managed, &patch)?;
        }
        if self.reset {
            edit::reset(author, &managed.balancer);
        }
        Ok(())
    }

    fn apply_to_member(
        &self,
        farm: &Farm,
        author: Author,
        managed: &Managed,
        name: &str,
        before: Flags,
    ) -> Result<(), Refusal> {
        if self.method.is_some() || self.reset || self.url.is_some() {
            return Err(bad(
                "member",
                "has no method, no members and no counters of its own to reset",
            ));
        }
        if self.remove {
            if !self.sure {
                return Err(bad("sure", "must be given to remove a member"));
            }
            return edit::remove(farm, author, managed, name).map(drop);
        }
        let patch = self.patch(before);
        if patch.is_empty() && !self.recover {
            return nothing();
        }
        if !patch.is_empty() {
            edit::member(farm, author, managed, name, patch)?;
        }
        if self.recover {
            edit::recover(author, &managed.balancer, name)?;
        }
        Ok(())
    }

    /// What is to be different of a member that has these flags.
    fn patch(&self, before: Flags) -> Object {
        let mut patch = self.settings.clone();
        if let Some(weight) = self.weight {
            let weight = serde_json::to_value(weight).unwrap_or_default();
            patch.insert("weight".into(), weight);
        }
        if let Some(set) = self.set {
            patch.insert("set".into(), set.into());
        }
        let changed = self.status.and_then(|text| {
            let flags = self.flags.unwrap_or(before);
            flags.apply(text).ok()
        });
        if let Some(flags) = changed.or(self.flags) {
            patch.insert("flags".into(), Value::String(flags.to_string()));
        }
        patch
    }
}

/// The value of a setting as a form has it: an empty field is none.
fn setting(key: &str, text: &str) -> Value {
    const TEXTS: [&str; 9] = [
        "cping",
        "domain",
        "idle_order",
        "method",
        "name",
        "redirect",
        "route",
        "sticky",
        "upgrade",
    ];
    let text = text.trim();
    match serde_json::from_str(text) {
        _ if text.is_empty() => Value::Null,
        Ok(value) if !TEXTS.contains(&key) => value,
        _ => text.into(),
    }
}

fn nothing() -> Result<(), Refusal> {
    Err(Refusal::new(
        StatusCode::BAD_REQUEST,
        "the form asks for nothing",
    ))
}
