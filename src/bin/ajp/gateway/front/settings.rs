//! What a map does differently from the rest of its site.

use ajp::balancer::{Idempotent, SendOptions};
use ajp::client::{RequestFacts, RequestTimeouts};
use http::{Extensions, HeaderMap, HeaderName, HeaderValue};
use std::sync::Arc;

/// The settings of one map. What is absent is as everywhere.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    /// How a member is chosen, and when another one is tried.
    pub(crate) options: Option<SendOptions>,
    /// These three are in `options` as well.
    pub(crate) sticky_ignore: bool,
    pub(crate) member: Option<String>,
    pub(crate) domain: Option<String>,
    pub(crate) timeouts: Option<RequestTimeouts>,
    /// Whether requests may be sent twice, whatever their method.
    pub(crate) idempotent: Option<Idempotent>,
    /// Largest request body in bytes.
    pub(crate) max_body: Option<u64>,
    /// Bytes of a request body that are waited for before a member is asked.
    pub(crate) request_buffer: Option<usize>,
    /// Bytes of an answer that are taken from the member ahead of the client.
    pub(crate) response_buffer: Option<usize>,
    /// Request attributes for the member, by name.
    pub(crate) attributes: Vec<(String, String)>,
    pub(crate) request_headers: HeaderChanges,
    pub(crate) response_headers: HeaderChanges,
}

/// Headers that are taken away, and headers that are put in the place of those of their names.
#[derive(Debug, Clone, Default)]
pub(crate) struct HeaderChanges {
    pub(crate) remove: Vec<HeaderName>,
    pub(crate) set: Vec<(HeaderName, HeaderValue)>,
}

impl HeaderChanges {
    /// As [`apply`](Self::apply), to what a visitor sends: applications may take `_` and `-` in a
    /// name for the same, so what is taken away or put in its place is so in either spelling.
    pub(super) fn apply_to_request(&self, headers: &mut HeaderMap) {
        if self.remove.is_empty() && self.set.is_empty() {
            return;
        }
        let set = self.set.iter().map(|(name, _)| name);
        let changed: Vec<_> = self.remove.iter().chain(set).collect();
        let is_changed = |name: &&HeaderName| changed.iter().any(|known| is_alike(known, name));
        let alike: Vec<_> = headers.keys().filter(is_changed).cloned().collect();
        for name in alike {
            headers.remove(name);
        }
        self.apply(headers);
    }

    pub(super) fn apply(&self, headers: &mut HeaderMap) {
        for name in &self.remove {
            headers.remove(name);
        }
        for (name, value) in &self.set {
            headers.insert(name.clone(), value.clone());
        }
    }
}

/// Whether two names are the same but for `_` and `-`.
fn is_alike(one: &HeaderName, other: &HeaderName) -> bool {
    let plain = |byte: &u8| if *byte == b'_' { b'-' } else { *byte };
    let (one, other) = (one.as_str().as_bytes(), other.as_str().as_bytes());
    one.len() == other.len() && one.iter().map(plain).eq(other.iter().map(plain))
}

impl Settings {
    /// Tells the balancer what is different for a request.
    pub(super) fn tell(&self, extensions: &mut Extensions) {
        if let Some(options) = &self.options {
            extensions.insert(options.clone());
        }
        if let Some(timeouts) = self.timeouts {
            extensions.insert(timeouts);
        }
        if let Some(idempotent) = self.idempotent {
            extensions.insert(idempotent);
        }
    }

    /// What the members are told, with the attributes of the map.
    pub(super) fn facts(&self, facts: Arc<RequestFacts>) -> Arc<RequestFacts> {
        if self.attributes.is_empty() {
            return facts;
        }
        let attributes = self.attributes.iter();
        Arc::new(attributes.fold((*facts).clone(), |facts, (name, value)| {
            facts.with_attribute(name, value)
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A gateway that lets names with `_` through must not let a visitor write by them what it
    /// removes or sets itself.
    #[test]
    fn both_spellings_of_a_name_are_changed() {
        let changes = HeaderChanges {
            remove: vec![HeaderName::from_static("x-debug")],
            set: vec![(
                HeaderName::from_static("x_remote_user"),
                HeaderValue::from_static("ann"),
            )],
        };
        let mut headers = HeaderMap::new();
        for name in [
            "x-debug",
            "x_debug",
            "x-remote-user",
            "x_remote-user",
            "x-debugs",
            "x_kept",
        ] {
            headers.insert(
                HeaderName::from_static(name),
                HeaderValue::from_static("visitor"),
            );
        }
        changes.apply_to_request(&mut headers);
        let mut left: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .collect();
        left.sort_unstable();
        let expected = [
            ("x-debugs", "visitor"),
            ("x_kept", "visitor"),
            ("x_remote_user", "ann"),
        ];
        assert_eq!(left, expected);
    }
}
