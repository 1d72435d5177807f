//! The changes of an operator: a form says what is to be different, all of it is checked,
//! then all of it is done.

use super::{Manager, PATH, Refusal, guard};
use ajp::balancer::{Balancer, Flags, Method, Weight};
use axum::http::StatusCode;

/// A change that was made.
#[derive(Debug)]
pub(super) struct Done {
    /// For the log.
    pub(super) text: String,
    /// Where to look next.
    pub(super) next: String,
}

/// What a form asks for.
#[derive(Debug, Default)]
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
    refresh: Option<u32>,
}

/// Makes the change that these fields ask for.
pub(super) fn change(manager: &Manager, fields: &[(String, String)]) -> Result<Done, Refusal> {
    let forbidden = |text| Err(Refusal::new(StatusCode::FORBIDDEN, text));
    let Some(nonce) = &manager.nonce else {
        return forbidden("the manager is read only; `changes = true` allows changes");
    };
    let given = fields.iter().find(|(name, _)| name == "nonce");
    match given {
        Some((_, given)) if guard::is_same(nonce, given) => {}
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
    let balancer = manager.balancer(name);
    let balancer = balancer.ok_or_else(|| missing("balancer", name))?;
    let done = match wish.member {
        None => wish.apply_to_balancer(&balancer)?,
        Some(member) => {
            if !balancer
                .members()
                .iter()
                .any(|known| known.name() == member)
            {
                return Err(missing("member", member));
            }
            wish.apply_to_member(&balancer, member)?
        }
    };
    let next = match wish.refresh {
        Some(seconds) => format!("{PATH}?refresh={seconds}"),
        None => PATH.into(),
    };
    let text = format!("{name}: {}", done.join(", "));
    Ok(Done { text, next })
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
                "refresh" => wish.refresh = value.parse().ok(),
                _ => return Err(bad(name, "is no field of the manager")),
            }
        }
        Ok(wish)
    }

    fn apply_to_balancer(&self, balancer: &Balancer) -> Result<Vec<String>, Refusal> {
        let of_member = self.weight.is_some()
            || self.set.is_some()
            || self.status.is_some()
            || self.flags.is_some()
            || self.recover;
        if of_member {
            return Err(bad(
                "member",
                "must be named for weight, set, flags and recovery",
            ));
        }
        let mut done = Vec::new();
        if let Some(method) = self.method.and_then(|name| name.parse::<Method>().ok()) {
            done.push(format!("method {}", method.name()));
            balancer.set_method(method);
        }
        if self.reset {
            balancer.reset_counters();
            done.push("counters reset".into());
        }
        said(done)
    }

    fn apply_to_member(&self, balancer: &Balancer, name: &str) -> Result<Vec<String>, Refusal> {
        if self.method.is_some() || self.reset {
            return Err(bad(
                "member",
                "has no method and no counters of its own to reset",
            ));
        }
        let mut done = Vec::new();
        let mut say = |text: String| done.push(format!("{name}: {text}"));
        let failed = |error: ajp::balancer::InvalidMember| bad("member", error);
        if let Some(weight) = self.weight {
            say(format!("weight {weight}"));
        }
        if let Some(set) = self.set {
            say(format!("set {set}"));
        }
        if let Some(flags) = self.flags {
            say(format!("flags {:?}", flags.to_string()));
        }
        if let Some(status) = self.status {
            say(format!("status {status}"));
        }
        if self.recover {
            say("recovered".into());
        }
        balancer
            .update(name, |member| {
                let mut flags = self.flags.unwrap_or(member.current_flags());
                if let Some(changed) = self.status.and_then(|text| flags.apply(text).ok()) {
                    flags = changed;
                }
                let member = member.with_flags(flags);
                let member = match self.weight {
                    Some(weight) => member.with_weight(weight),
                    None => member,
                };
                match self.set {
                    Some(set) => member.with_set(set),
                    None => member,
                }
            })
            .map_err(failed)?;
        if self.recover {
            balancer.recover(name).map_err(failed)?;
        }
        said(done)
    }
}

fn said(done: Vec<String>) -> Result<Vec<String>, Refusal> {
    if done.is_empty() {
        let text = "the form asks for nothing";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, text));
    }
    Ok(done)
}
