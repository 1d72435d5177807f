//! Whom a container believes.

use crate::Secret;
use crate::wire::{Attribute, AttributeCode, ForwardRequest};

/// Why requests on this listener are believed. There is no default: an AJP peer decides
/// about client addresses, users and TLS facts (protocol section 6.1).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Trust {
    /// Every request must carry one of these secrets. Several allow a rotation.
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

/// What happens to a `req_attribute` by its name.
///
/// `AJP_REMOTE_PORT`, `AJP_LOCAL_ADDR`, `AJP_SSL_PROTOCOL` and `JK_LB_ACTIVATION` are
/// always accepted. Any other name is refused unless it is allowed here: a peer that can
/// set arbitrary attributes was Ghostcat (section 6.1).
#[derive(Debug, Clone, Default)]
pub struct AttributePolicy {
    allowed: Vec<Box<[u8]>>,
    drop_others: bool,
}

impl AttributePolicy {
    /// Allows a name, compared exactly.
    #[must_use]
    pub fn allow(mut self, name: impl AsRef<[u8]>) -> Self {
        self.allowed.push(name.as_ref().into());
        self
    }

    /// Ignores names that are not allowed, as Undertow does, instead of answering 403
    /// as Tomcat does.
    #[must_use]
    pub fn drop_others(mut self) -> Self {
        self.drop_others = true;
        self
    }

    /// Whether the application may see this name.
    #[must_use]
    pub fn allows(&self, name: &[u8]) -> bool {
        is_well_known(name) || self.allowed.iter().any(|allowed| allowed.as_ref() == name)
    }

    pub(super) fn admits(&self, request: &ForwardRequest) -> bool {
        self.drop_others
            || request.attributes().all(|attribute| match attribute {
                Attribute::Named { name, .. } => self.allows(name),
                _ => true,
            })
    }
}

fn is_well_known(name: &[u8]) -> bool {
    matches!(
        name,
        b"AJP_REMOTE_PORT" | b"AJP_LOCAL_ADDR" | b"AJP_SSL_PROTOCOL" | b"JK_LB_ACTIVATION"
    )
}
