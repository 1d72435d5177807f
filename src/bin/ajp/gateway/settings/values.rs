//! Times in objects of JSON: numbers of seconds, and what people write.

use crate::gateway::config::{LONGEST, duration};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};
use std::time::Duration;

/// What a time may be.
macro_rules! allowed_seconds {
    () => {
        "a number of seconds, or a text such as \"30s\" or \"5m\""
    };
}
pub(crate) use allowed_seconds;

/// The time that is given: a number of seconds, or a text such as "30m".
pub(crate) fn seconds(value: &Value) -> Option<Duration> {
    match value {
        Value::String(text) => duration(text),
        value => {
            let time = Duration::try_from_secs_f64(value.as_f64()?).ok();
            time.filter(|time| *time <= LONGEST)
        }
    }
}

/// A time as it is shown.
pub(super) fn shown_seconds(time: Duration) -> Value {
    json!(time.as_secs_f64())
}

/// A time in an object with named fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seconds(pub(super) Duration);

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        shown_seconds(self.0).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let wrong = || serde::de::Error::custom(concat!("must be ", allowed_seconds!()));
        seconds(&value).map(Self).ok_or_else(wrong)
    }
}
