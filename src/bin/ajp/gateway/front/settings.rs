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
    pub(crate) stateless: bool,
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
    pub(super) fn apply(&self, headers: &mut HeaderMap) {
        for name in &self.remove {
            headers.remove(name);
        }
        for (name, value) in &self.set {
            headers.insert(name.clone(), value.clone());
        }
    }
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
