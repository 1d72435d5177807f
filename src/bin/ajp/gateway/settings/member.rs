//! A member as an object: what the balancer knows of it, how it is reached, and where it takes
//! WebSocket.

use super::pool::{MAX_CONNECTIONS, pool_object, take_pool};
use super::{Object, object};
use crate::gateway::config::upstream;
use crate::gateway::front::Upgrades;
use ajp::balancer::{Balancer, Member};
use ajp::client::PoolConfig;
use http::uri::Authority;
use serde_json::Value;

/// Where a member takes WebSocket.
pub(crate) const UPGRADE: &str = "upgrade";

/// A member, the settings of its pool, and where it takes WebSocket.
#[derive(Debug)]
pub(crate) struct GivenMember {
    pub(crate) member: Member,
    pub(crate) pool: PoolConfig,
    pub(crate) upgrade: Option<Authority>,
}

/// A member as an object.
pub(crate) fn member_object(
    member: &Member,
    pool: &PoolConfig,
    max_connections: usize,
    upgrade: Option<&Authority>,
) -> Object {
    let mut all = object(member);
    all.extend(pool_object(pool, max_connections));
    let upgrade = upgrade.map(|address| Value::String(format!("http://{address}")));
    all.insert(UPGRADE.into(), upgrade.unwrap_or_default());
    all
}

/// A member as it runs.
pub(crate) fn running_member(
    balancer: &Balancer,
    upgrades: &Upgrades,
    name: &str,
) -> Option<Object> {
    let members = balancer.members();
    let member = members.iter().find(|member| member.name() == name)?;
    let pool = balancer.pool(name)?;
    let most = pool.stats().max_connections;
    let upgrade = upgrades.get(name);
    Some(member_object(member, pool.config(), most, upgrade.as_ref()))
}

impl GivenMember {
    /// What an object says; what it does not say of the pool is as in `pool`.
    ///
    /// # Errors
    /// Which key is wrong, and why.
    pub(crate) fn read(mut object: Object, pool: PoolConfig) -> Result<Self, String> {
        let upgrade = match object.remove(UPGRADE) {
            None | Some(Value::Null) => None,
            Some(given) => {
                let address = given.as_str().and_then(upstream);
                let wrong = || {
                    format!("{UPGRADE}: {given} is not an address such as \"http://10.0.0.3:8080\"")
                };
                Some(address.ok_or_else(wrong)?)
            }
        };
        let pool = take_pool(&mut object, pool)?;
        if let Some(set) = object
            .get("set")
            .and_then(Value::as_u64)
            .filter(|set| *set > 1000)
        {
            return Err(format!("set: {set} is not a whole number from 0 to 1000"));
        }
        // What is taken away has its default.
        object.retain(|_, value| !value.is_null());
        Ok(Self {
            member: read_fields(object)?,
            pool,
            upgrade,
        })
    }
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

/// Makes a running member what this object says. Where its connections are to be others it gets
/// another pool; requests that run end over the one that they began with.
///
/// # Errors
/// What is wrong with it. Then it stays as it is.
pub(crate) fn apply_member(
    balancer: &Balancer,
    upgrades: &Upgrades,
    name: &str,
    object: Object,
) -> Result<(), String> {
    let gone = || format!("there is no member {name:?}");
    let before = balancer.pool(name).ok_or_else(gone)?;
    let given = GivenMember::read(object, before.config().clone())?;
    if given.member.name() != name {
        return Err("name: a member keeps its name; remove it and add another".into());
    }
    let changed = balancer.update(name, |_| given.member.clone());
    changed.map_err(|error| error.to_string())?;
    upgrades.set(name, given.upgrade);
    let most = given.pool.max_connections();
    if pool_object(&given.pool, most) != pool_object(before.config(), most) {
        let pool = before.with_config(given.pool);
        let replaced = balancer.set_pool(name, pool);
        replaced.map_err(|error| error.to_string())?;
    } else if before.stats().max_connections != most {
        before.resize(most);
    }
    Ok(())
}

/// The keys that a member can be given, for a text.
pub(crate) fn member_keys() -> String {
    let pool = PoolConfig::default();
    let all = member_object(&Member::default(), &pool, 1, None);
    let keys: Vec<_> = all.keys().filter(|key| *key != "name").cloned().collect();
    debug_assert!(keys.iter().any(|key| key == MAX_CONNECTIONS));
    keys.join(", ")
}
