//! Times in serialised form: numbers of seconds, with a fraction where there is one.

use serde::{Deserialize, Deserializer, Serializer};
use std::time::Duration;

/// For `serialize_with`.
pub(super) fn serialize<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_secs_f64())
}

/// A time that may be absent, for `with` and `serialize_with`.
pub(super) mod optional {
    use super::{Deserialize, Deserializer, Duration, Serializer};
    use serde::de::Error;

    #[allow(clippy::ref_option, reason = "serde's signature")]
    pub(in crate::balancer) fn serialize<S: Serializer>(
        time: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => serializer.serialize_some(&time.as_secs_f64()),
            None => serializer.serialize_none(),
        }
    }

    pub(in crate::balancer) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        let seconds = Option::<f64>::deserialize(deserializer)?;
        let time = seconds.map(Duration::try_from_secs_f64).transpose();
        time.map_err(|error| Error::custom(format!("a time is a number of seconds: {error}")))
    }
}
