//! Why this server refuses a well-formed request, and what it answers by itself.

use std::fmt;

/// The rule of this server that a request, or a whole connection, did not pass.
///
/// Each has a counter of its own in [`Refusals`](super::Refusals).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The peer may not connect ([`Serve::with_peers`](super::Serve::with_peers)). The connection was
    /// closed without an answer.
    Peer,
    /// The secret is missing or wrong; which of them is not told. Answered with 403.
    Secret,
    /// A `req_attribute` of this name is not accepted
    /// ([`AttributePolicy`](super::AttributePolicy)). Answered with 403.
    Attribute(Box<[u8]>),
    /// More than one Host header, or one that is no host. Answered with 400.
    Host,
    /// The request target cannot be expressed as a URI. Answered with 400.
    Target,
    /// A body longer than [`with_max_body`](super::ServerConfig::with_max_body) was announced. Answered
    /// with 413.
    BodyTooLarge,
    /// There are more connections than
    /// [`with_max_connections`](super::ServerConfig::with_max_connections). Answered with 503.
    Overload,
}

impl Refusal {
    /// The HTTP status of the answer; `None` when there was no answer.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.answer().map(|answer| answer.status)
    }

    /// The reason in a few words, as the answer's body has it.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        self.answer()
            .map_or("the peer may not connect", |answer| answer.reason)
    }

    pub(crate) fn answer(&self) -> Option<OwnAnswer> {
        match self {
            Self::Peer => None,
            Self::Secret => Some(OwnAnswer::new(403, "secret missing or wrong")),
            Self::Attribute(_) => Some(OwnAnswer::new(403, "request attribute not allowed")),
            Self::Host => Some(OwnAnswer::new(400, "bad Host header")),
            Self::Target => Some(OwnAnswer::new(400, "request target cannot be used")),
            Self::BodyTooLarge => Some(OwnAnswer::new(413, "request body too large")),
            Self::Overload => Some(OwnAnswer::new(503, "too many connections")),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, self.answer()) {
            (Self::Attribute(name), _) => write!(
                f,
                "request refused with 403: attribute \"{}\" is not allowed",
                name.escape_ascii()
            ),
            (_, Some(answer)) => {
                let OwnAnswer { status, reason } = answer;
                write!(f, "request refused with {status}: {reason}")
            }
            (_, None) => f.write_str(self.reason()),
        }
    }
}

impl std::error::Error for Refusal {}

/// An answer that the container gives without the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OwnAnswer {
    pub(crate) status: u16,
    pub(crate) reason: &'static str,
}

impl OwnAnswer {
    const fn new(status: u16, reason: &'static str) -> Self {
        Self { status, reason }
    }

    pub(crate) const MALFORMED: Self = Self::new(400, "malformed AJP request");
    pub(crate) const BROKEN_BODY: Self = Self::new(400, "broken request body");
    pub(crate) const BODY_TIMEOUT: Self = Self::new(408, "request body took too long");
    pub(crate) const FAILED: Self = Self::new(500, "the application failed");
    pub(crate) const HEAD: Self = Self::new(500, "the response head cannot be sent over AJP");
}
