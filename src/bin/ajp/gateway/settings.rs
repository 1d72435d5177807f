//! What of a balancer and of its members can be changed while they run, as objects of JSON:
//! the form in which the manager shows it, takes changes and keeps them.

use ajp::balancer::{Balancer, Failover, Member, Method, OnStatus, Sticky};
use ajp::client::Pool;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// An object of JSON.
pub(crate) type Object = Map<String, Value>;

/// Key of a member's object beside those of [`Member`].
pub(crate) const MAX_CONNECTIONS: &str = "max_connections";

/// The settings of a balancer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BalancerSettings {
    /// How it chooses.
    method: String,
    /// Cookie and path parameter of sessions; none: no sticky sessions.
    sticky: Option<String>,
    /// Whether sessions are refused rather than moved.
    nofailover: bool,
    /// Most members that a request is tried on; none: all.
    attempts: Option<u32>,
    /// Statuses on which a member has failed; negative: it is well, and another is tried.
    fail_on_status: Vec<i32>,
}

impl BalancerSettings {
    /// Those of a balancer as it runs.
    pub(crate) fn of(balancer: &Balancer) -> Self {
        let sticky = balancer.sticky();
        let failover = balancer.failover();
        let statuses = failover.statuses().iter();
        Self {
            method: balancer.method().name(),
            sticky: sticky.as_ref().map(|sticky| sticky.names()),
            nofailover: sticky.is_some_and(|sticky| sticky.is_forced()),
            attempts: failover.max_attempts(),
            fail_on_status: statuses
                .map(|(status, action)| match action {
                    OnStatus::TryOther => i32::from(*status).wrapping_neg(),
                    _ => i32::from(*status),
                })
                .collect(),
        }
    }

    /// As an object.
    pub(crate) fn object(&self) -> Object {
        object(self)
    }

    /// Makes a balancer work by these settings: all of them, or none when one is wrong.
    /// `configured` is how the configuration reads sessions, which is more than the names here
    /// say: those names get it back.
    ///
    /// # Errors
    /// Which one is wrong, and what is allowed.
    pub(crate) fn apply(
        &self,
        balancer: &Balancer,
        configured: Option<&Sticky>,
    ) -> Result<(), String> {
        let before = Self::of(balancer);
        let method = self.changed_method(&before)?;
        let sticky = self.new_sticky(balancer, configured)?;
        let failover = self.new_failover(&balancer.failover())?;
        if let Some(method) = method {
            balancer.set_method(method);
        }
        balancer.set_sticky(sticky);
        balancer.set_failover(failover);
        Ok(())
    }

    fn changed_method(&self, before: &Self) -> Result<Option<Method>, String> {
        let plain = self.method.replace('_', "");
        if plain == before.method || self.method == before.method {
            return Ok(None);
        }
        let known = self.method.parse().or_else(|_| plain.parse::<Method>());
        known.map(Some).map_err(|_| {
            let names = Method::NAMES.join(", ");
            format!("method: {:?} is none; there are {names}", self.method)
        })
    }

    fn new_sticky(
        &self,
        balancer: &Balancer,
        configured: Option<&Sticky>,
    ) -> Result<Option<Sticky>, String> {
        let Some(names) = &self.sticky else {
            if self.nofailover {
                return Err("nofailover: true needs sticky".into());
            }
            return Ok(None);
        };
        let running = balancer.sticky();
        let mut known = running.as_deref().into_iter().chain(configured);
        let sticky = match known.find(|known| known.names() == *names) {
            Some(same) => same.clone(),
            None => Sticky::new(names).map_err(|error| format!("sticky: {error}"))?,
        };
        Ok(Some(sticky.with_force(self.nofailover)))
    }

    fn new_failover(&self, before: &Failover) -> Result<Failover, String> {
        if self
            .attempts
            .is_some_and(|most| !(1..=1000).contains(&most))
        {
            return Err("attempts: must be from 1 to 1000, or null for all members".into());
        }
        let mut statuses = Vec::new();
        for number in &self.fail_on_status {
            let Ok(status @ 400..=599) = u16::try_from(number.unsigned_abs()) else {
                let text = "statuses from 400 to 599, or negative to try another member only";
                return Err(format!(
                    "fail_on_status: {number} is not allowed; allowed are {text}"
                ));
            };
            let mut known = before.statuses().iter();
            let action = match known.find(|(known, _)| *known == status) {
                _ if *number < 0 => OnStatus::TryOther,
                Some((_, OnStatus::Fail)) => OnStatus::Fail,
                _ => OnStatus::FailAndTryOther,
            };
            statuses.push((status, action));
        }
        let after = before.clone().with_max_attempts(self.attempts);
        Ok(after.with_statuses(statuses))
    }
}

/// A member with the size of its pool, as an object.
pub(crate) fn member_object(member: &Member, max_connections: usize) -> Object {
    let mut object = object(member);
    object.insert(MAX_CONNECTIONS.into(), max_connections.into());
    object
}

/// A member as it runs.
pub(crate) fn running_member(balancer: &Balancer, name: &str) -> Option<Object> {
    let members = balancer.members();
    let member = members.iter().find(|member| member.name() == name)?;
    let pool = balancer.pool(name)?;
    Some(member_object(member, pool.stats().max_connections))
}

/// What an object says of a member: the member, and the size of its pool.
///
/// # Errors
/// Which key is wrong, and why.
pub(crate) fn read_member(mut object: Object) -> Result<(Member, Option<usize>), String> {
    let most = match object.remove(MAX_CONNECTIONS) {
        None | Some(Value::Null) => None,
        Some(given) => {
            let number = given
                .as_u64()
                .and_then(|number| usize::try_from(number).ok());
            let number = number.filter(|number| (1..=100_000).contains(number));
            let wrong =
                || format!("{MAX_CONNECTIONS}: {given} is not a whole number from 1 to 100000");
            Some(number.ok_or_else(wrong)?)
        }
    };
    if let Some(set) = object
        .get("set")
        .and_then(Value::as_u64)
        .filter(|set| *set > 1000)
    {
        return Err(format!("set: {set} is not a whole number from 0 to 1000"));
    }
    // What is taken away has its default.
    object.retain(|_, value| !value.is_null());
    let member = read_fields(object)?;
    Ok((member, most))
}

/// Reads an object key by key, so that an error can name the key.
fn read_fields(object: Object) -> Result<Member, String> {
    for (key, value) in &object {
        let alone: Object = [(key.clone(), value.clone())].into_iter().collect();
        if let Err(error) = serde_json::from_value::<Member>(Value::Object(alone)) {
            return Err(format!("{key}: {error}"));
        }
    }
    serde_json::from_value(Value::Object(object)).map_err(|error| error.to_string())
}

/// Makes a running member what this object says.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn apply_member(balancer: &Balancer, name: &str, object: Object) -> Result<(), String> {
    let (member, most) = read_member(object)?;
    if member.name() != name {
        return Err("name: a member keeps its name; remove it and add another".into());
    }
    let changed = balancer.update(name, |_| member.clone());
    changed.map_err(|error| error.to_string())?;
    if let (Some(most), Some(pool)) = (most, balancer.pool(name)) {
        resize(&pool, most);
    }
    Ok(())
}

fn resize(pool: &Pool, most: usize) {
    if pool.stats().max_connections != most {
        pool.resize(most);
    }
}

fn object(value: &impl Serialize) -> Object {
    match serde_json::to_value(value) {
        Ok(Value::Object(object)) => object,
        // Structs with names for keys always are objects.
        _ => Object::new(),
    }
}
