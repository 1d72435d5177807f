//! The connections to a member as keys of its object: limits, sizes and numbers of its pool.

use super::Object;
use super::values::{allowed_seconds, seconds, shown_seconds};
use crate::gateway::config::{Packets, cping_mode};
use ajp::client::{CPingMode, IdleOrder, PoolConfig, Timeouts};
use ajp::wire::PacketSize;
use serde_json::{Value, json};
use std::time::Duration;

/// How many connections there may be: the one number that a pool can change.
pub(crate) const MAX_CONNECTIONS: &str = "max_connections";

/// One key: what may be given, what it is, and the settings with another value.
struct Key {
    name: &'static str,
    allowed: &'static str,
    get: fn(&PoolConfig) -> Value,
    set: fn(PoolConfig, &Value) -> Option<PoolConfig>,
}

/// A limit of [`Timeouts`].
macro_rules! limit {
    ($name:literal, $get:ident, $set:ident) => {
        Key {
            name: $name,
            allowed: LIMIT,
            get: |config| shown_limit(config.timeouts().$get()),
            set: |config, value| {
                let limits: Timeouts = config.timeouts().$set(limit(value)?);
                Some(config.with_timeouts(limits))
            },
        }
    };
}

/// A time that may be absent.
macro_rules! time {
    ($name:literal, $get:ident, $set:ident) => {
        Key {
            name: $name,
            allowed: LIMIT,
            get: |config| shown_limit(config.$get()),
            set: |config, value| Some(config.$set(limit(value)?)),
        }
    };
}

/// A whole number.
macro_rules! count {
    ($name:literal, $get:ident, $set:ident, $range:expr, $allowed:literal) => {
        Key {
            name: $name,
            allowed: $allowed,
            get: |config| json!(config.$get()),
            set: |config, value| Some(config.$set(count(value, $range)?.try_into().ok()?)),
        }
    };
}

const LIMIT: &str = "a number of seconds above 0, a text such as \"30s\", or null for no limit";

const KEYS: [Key; 25] = [
    count!(
        "max_connections",
        max_connections,
        with_max_connections,
        1..=100_000,
        "a whole number from 1 to 100000"
    ),
    limit!("acquire_timeout", acquire, with_acquire),
    limit!("connect_timeout", connect, with_connect),
    limit!("cping_timeout", cping, with_cping),
    limit!("write_timeout", write, with_write),
    limit!("request_body_timeout", request_body, with_request_body),
    limit!("response_head_timeout", response_head, with_response_head),
    limit!(
        "between_packets_timeout",
        between_packets,
        with_between_packets
    ),
    limit!("response_read_timeout", response_read, with_response_read),
    limit!("request_timeout", request, with_request),
    Key {
        name: "packet_size",
        allowed: "a whole number from 8192 to 65536, or \"auto\"",
        get: |config| {
            if config.learn_packet_size() {
                json!("auto")
            } else {
                json!(config.packet_size().bytes())
            }
        },
        set: |config, value| {
            let size = match value.as_str() {
                Some(text) => (text == "auto").then_some(Packets::Auto),
                None => u32::try_from(value.as_u64()?)
                    .ok()
                    .and_then(PacketSize::new)
                    .map(Packets::Fixed),
            };
            Some(size?.of_pools(config))
        },
    },
    Key {
        name: "learn_keep_alive",
        allowed: "true or false",
        get: |config| json!(config.learn_keep_alive()),
        set: |config, value| Some(config.with_learn_keep_alive(value.as_bool()?)),
    },
    count!(
        "body_requests",
        body_requests,
        with_body_requests,
        1..=1000,
        "a whole number from 1 to 1000"
    ),
    count!(
        "max_waiting",
        max_waiting,
        with_max_waiting,
        0..=1_000_000,
        "a whole number from 0 to 1000000"
    ),
    count!(
        "min_idle",
        min_idle,
        with_min_idle,
        0..=100_000,
        "a whole number from 0 to 100000"
    ),
    count!(
        "max_idle",
        max_idle,
        with_max_idle,
        0..=u64::MAX,
        "a whole number"
    ),
    time!("idle_timeout", idle_timeout, with_idle_timeout),
    time!(
        "idle_ping_interval",
        idle_ping_interval,
        with_idle_ping_interval
    ),
    time!(
        "container_keep_alive",
        container_keep_alive,
        with_container_keep_alive
    ),
    time!("max_lifetime", max_lifetime, with_max_lifetime),
    time!("abandoned", abandoned, with_abandoned),
    Key {
        name: "maintenance_interval",
        allowed: allowed_seconds!(),
        get: |config| shown_seconds(config.maintenance_interval()),
        set: |config, value| Some(config.with_maintenance_interval(seconds(value)?)),
    },
    Key {
        name: "max_requests_per_connection",
        allowed: "a whole number above 0, or null for no limit",
        get: |config| json!(config.max_requests()),
        set: |config, value| match value {
            Value::Null => Some(config.with_max_requests(None)),
            value => Some(config.with_max_requests(count(value, 1..=u64::MAX)?)),
        },
    },
    Key {
        name: "idle_order",
        allowed: "\"lifo\" or \"fifo\"",
        get: |config| match config.idle_order() {
            IdleOrder::Fifo => json!("fifo"),
            _ => json!("lifo"),
        },
        set: |config, value| match value.as_str()? {
            "lifo" => Some(config.with_idle_order(IdleOrder::Lifo)),
            "fifo" => Some(config.with_idle_order(IdleOrder::Fifo)),
            _ => None,
        },
    },
    Key {
        name: "cping",
        allowed: "\"never\", \"on_connect\", \"always\", or how long a connection must have been \
                  idle, such as \"1s\"",
        get: |config| shown_cping(config.cping()),
        set: |config, value| Some(config.with_cping(cping_mode(value.as_str()?)?)),
    },
];

/// A time limit, `null` for none; nothing where the value is neither.
#[allow(clippy::option_option, reason = "no limit is a value")]
fn limit(value: &Value) -> Option<Option<Duration>> {
    match value {
        Value::Null => Some(None),
        value => seconds(value).filter(|time| !time.is_zero()).map(Some),
    }
}

fn shown_limit(limit: Option<Duration>) -> Value {
    limit.map_or(Value::Null, shown_seconds)
}

fn count(value: &Value, range: std::ops::RangeInclusive<u64>) -> Option<u64> {
    value.as_u64().filter(|number| range.contains(number))
}

fn shown_cping(mode: CPingMode) -> Value {
    let texts = ["never", "on_connect", "always"];
    let known = texts
        .into_iter()
        .find(|text| cping_mode(text) == Some(mode));
    match (known, mode.idle_limit()) {
        (Some(text), _) => json!(text),
        (None, Some(time)) => json!(format!("{}ms", time.as_millis())),
        (None, None) => Value::Null,
    }
}

/// These settings as an object; `max_connections` is what the pool has now.
pub(crate) fn pool_object(config: &PoolConfig, max_connections: usize) -> Object {
    let keys = KEYS.iter();
    let mut object: Object = keys
        .map(|key| (key.name.to_owned(), (key.get)(config)))
        .collect();
    object.insert(MAX_CONNECTIONS.into(), max_connections.into());
    object
}

/// Takes the keys of a pool out of an object: `config` with what they say.
///
/// # Errors
/// Which key is wrong, and what is allowed.
pub(crate) fn take_pool(object: &mut Object, config: PoolConfig) -> Result<PoolConfig, String> {
    KEYS.iter().try_fold(config, |config, key| {
        let Some(value) = object.remove(key.name) else {
            return Ok(config);
        };
        let wrong = || format!("{}: {value} is not {}", key.name, key.allowed);
        (key.set)(config, &value).ok_or_else(wrong)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_read_as_it_is_shown_and_changed() {
        let config = PoolConfig::default();
        let shown = pool_object(&config, config.max_connections());
        assert_eq!(shown.len(), KEYS.len());
        let mut again = shown.clone();
        let same = take_pool(&mut again, config.clone()).unwrap();
        assert_eq!(pool_object(&same, same.max_connections()), shown);
        for key in &KEYS {
            let other = match &shown[key.name] {
                Value::Null => json!(3),
                Value::Bool(is) => json!(!is),
                Value::Number(_) if key.allowed == LIMIT => json!("90s"),
                Value::Number(_) if key.name == "packet_size" => json!(16384),
                Value::Number(_) => json!(17),
                Value::String(text) if text == "lifo" => json!("fifo"),
                _ => json!("always"),
            };
            let mut object: Object = [(key.name.to_owned(), other)].into_iter().collect();
            let changed = take_pool(&mut object, config.clone()).unwrap();
            let now = pool_object(&changed, changed.max_connections());
            let differing: Vec<_> = now.iter().filter(|(key, is)| shown[*key] != **is).collect();
            assert_eq!(differing.len(), 1, "{}: {differing:?}", key.name);
            assert_eq!(differing[0].0, key.name);
            let mut wrong: Object = [(key.name.to_owned(), json!("x"))].into_iter().collect();
            let error = take_pool(&mut wrong, config.clone()).unwrap_err();
            assert_eq!(error, format!("{}: \"x\" is not {}", key.name, key.allowed));
        }
    }
}
