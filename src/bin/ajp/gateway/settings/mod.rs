//! What of a balancer and of its members can be changed while they run, as objects of JSON:
//! the form in which the manager shows it, takes changes and keeps them.

mod balancer;
mod member;
mod pool;
mod values;

pub(crate) use balancer::BalancerSettings;
pub(crate) use member::{GivenMember, apply_member, member_keys, member_object, running_member};
pub(crate) use pool::pool_object;
pub(crate) use values::{allowed_seconds, seconds};

use serde::Serialize;
use serde_json::{Map, Value};

/// An object of JSON.
pub(crate) type Object = Map<String, Value>;

fn object(value: &impl Serialize) -> Object {
    match serde_json::to_value(value) {
        Ok(Value::Object(object)) => object,
        // Structs with names for keys always are objects.
        _ => Object::new(),
    }
}
