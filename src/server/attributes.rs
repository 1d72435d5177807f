//! Which request attributes a container takes.

use std::fmt;

use crate::wire::{Attribute, ForwardRequest, request_attribute};

/// What happens to a `req_attribute`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(
    clippy::exhaustive_enums,
    reason = "there is nothing else to do with an attribute"
)]
pub enum AttributeAction {
    /// The application sees it.
    Accept,
    /// It is ignored, as Undertow does with unknown names.
    Drop,
    /// The request is answered with 403, as Tomcat does with unknown names.
    #[default]
    Reject,
}

/// What happens to a `req_attribute` by its name.
///
/// `AJP_REMOTE_PORT`, `AJP_LOCAL_ADDR`, `AJP_SSL_PROTOCOL` and `JK_LB_ACTIVATION` are accepted, any
/// other name is rejected, until it is said otherwise: a peer that can set arbitrary attributes was
/// Ghostcat (protocol chapter [security](crate::docs::protocol::security#ghostcat)).
///
/// ```
/// use ajp::server::{AttributeAction, AttributePolicy};
/// let policy = AttributePolicy::default()
///     .accept("eppn")
///     .accept_prefix("Shib-")
///     .drop("JK_LB_ACTIVATION");
/// assert_eq!(policy.action(b"Shib-Session-ID"), AttributeAction::Accept);
/// assert_eq!(policy.action(b"javax.servlet.include.request_uri"), AttributeAction::Reject);
/// ```
#[derive(Debug, Clone, Default)]
pub struct AttributePolicy {
    rules: Vec<Rule>,
    others: AttributeAction,
}

#[derive(Clone)]
struct Rule {
    name: Box<[u8]>,
    is_prefix: bool,
    action: AttributeAction,
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let more = if self.is_prefix { "*" } else { "" };
        write!(f, "{}{more}: {:?}", self.name.escape_ascii(), self.action)
    }
}

impl AttributePolicy {
    /// Accepts a name, compared exactly.
    #[must_use]
    pub fn accept(self, name: impl AsRef<[u8]>) -> Self {
        self.rule(name.as_ref(), false, AttributeAction::Accept)
    }

    /// Accepts every name that begins like this. An empty prefix accepts all.
    #[must_use]
    pub fn accept_prefix(self, prefix: impl AsRef<[u8]>) -> Self {
        self.rule(prefix.as_ref(), true, AttributeAction::Accept)
    }

    /// Ignores a name, compared exactly.
    #[must_use]
    pub fn drop(self, name: impl AsRef<[u8]>) -> Self {
        self.rule(name.as_ref(), false, AttributeAction::Drop)
    }

    /// Answers 403 to a name, compared exactly.
    #[must_use]
    pub fn reject(self, name: impl AsRef<[u8]>) -> Self {
        self.rule(name.as_ref(), false, AttributeAction::Reject)
    }

    /// What happens to names that no rule is about. Default [`AttributeAction::Reject`].
    #[must_use]
    pub fn others(mut self, action: AttributeAction) -> Self {
        self.others = action;
        self
    }

    fn rule(mut self, name: &[u8], is_prefix: bool, action: AttributeAction) -> Self {
        self.rules.push(Rule {
            name: name.into(),
            is_prefix,
            action,
        });
        self
    }

    /// What happens to this name: what the last rule says that is about it. A rule about
    /// the whole name goes before one about a prefix.
    #[must_use]
    pub fn action(&self, name: &[u8]) -> AttributeAction {
        let exact = self
            .rules
            .iter()
            .rfind(|rule| !rule.is_prefix && *rule.name == *name);
        let found = exact.or_else(|| {
            self.rules
                .iter()
                .rfind(|rule| rule.is_prefix && name.starts_with(&rule.name))
        });
        match found {
            Some(rule) => rule.action,
            None if request_attribute::bit(name) != 0 => AttributeAction::Accept,
            None => self.others,
        }
    }

    /// The first attribute for which the request is to be rejected.
    pub(super) fn rejected<'a>(&self, request: &'a ForwardRequest) -> Option<&'a [u8]> {
        request.attributes().find_map(|attribute| match attribute {
            Attribute::Named { name, .. } if self.action(name) == AttributeAction::Reject => {
                Some(name)
            }
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::AttributeAction::{Accept, Drop, Reject};
    use super::*;

    #[test]
    fn the_default_takes_the_well_known_names_only() {
        let policy = AttributePolicy::default();
        for name in ["AJP_REMOTE_PORT", "JK_LB_ACTIVATION"] {
            assert_eq!(policy.action(name.as_bytes()), Accept);
        }
        for name in ["", "ajp_remote_port", "AJP_REMOTE_PORT2", "CERT_ISSUER"] {
            assert_eq!(policy.action(name.as_bytes()), Reject, "{name}");
        }
    }

    #[test]
    fn the_last_and_most_exact_rule_decides() {
        let policy = AttributePolicy::default()
            .reject("Shib-Handler")
            .accept_prefix("Shib-")
            .drop("noise")
            .reject("noise")
            .drop("AJP_LOCAL_ADDR")
            .others(Drop);
        for (name, action) in [
            ("Shib-Handler", Reject),
            ("Shib-Session", Accept),
            ("Shib", Drop),
            ("noise", Reject),
            ("AJP_LOCAL_ADDR", Drop),
            ("AJP_SSL_PROTOCOL", Accept),
            ("anything", Drop),
        ] {
            assert_eq!(policy.action(name.as_bytes()), action, "{name}");
        }
    }
}
