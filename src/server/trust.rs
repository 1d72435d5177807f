//! Why the requests of a listener are believed, and the check of their secret.

use crate::Secret;
use crate::wire::{Attribute, AttributeCode, ForwardRequest};

/// Why requests on this listener are believed. There is no default: an AJP peer decides about
/// client addresses, users and TLS facts (protocol chapter
/// [security](crate::docs::protocol::security#ghostcat)).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Trust {
    /// Every request must carry one of these secrets. Several allow a rotation: have the
    /// container take both, change the one that web servers send, then leave the old one out. A
    /// web server that tries several secrets itself takes a 403 of the application for a refusal
    /// where the connection is closed behind it, and sends the request again; what this crate's
    /// pools do then is said where they are given several. One side with several is enough.
    Secrets(Vec<Secret>),
    /// Whoever can connect is trusted: a loopback or Unix socket, or a network that only
    /// web servers can reach.
    TrustedNetwork,
}

impl Trust {
    /// Whether the request proves what is asked for. Missing and wrong look the same.
    pub(super) fn admits(&self, request: &ForwardRequest) -> bool {
        let Self::Secrets(secrets) = self else {
            return true;
        };
        let mut seen = false;
        let mut right = true;
        for attribute in request.attributes() {
            if let Attribute::Coded {
                code: AttributeCode::Secret,
                value,
            } = attribute
            {
                seen = true;
                // All are compared, whatever the result so far.
                let matches = secrets.iter().fold(false, |found, secret| {
                    found | value.is_some_and(|value| secret.matches(value))
                });
                right &= matches;
            }
        }
        seen & right
    }
}
