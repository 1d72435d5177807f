//! That no member can serve a request, and why.

use std::time::Duration;

/// No member can serve a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Unavailable {
    pub(super) reason: Reason,
    pub(super) retry_after: Option<Duration>,
}

/// Why no member can serve a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// There are no members, or an operator has switched all of them off.
    NoMember,
    /// Those that are left have failed.
    Down,
    /// Those that work have no free slot.
    Full,
    /// The session's member cannot serve, and [`Sticky::with_force`](super::Sticky::with_force) wants
    /// no other.
    SessionLost,
    /// It was tried on all of them.
    AllTried,
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NoMember => "the balancer has no active member",
            Self::Down => "all members of the balancer have failed",
            Self::Full => "all members of the balancer are busy",
            Self::SessionLost => "the member that knows the session cannot serve",
            Self::AllTried => "all members of the balancer were tried",
        })
    }
}

impl Unavailable {
    pub(super) fn none() -> Self {
        Self {
            reason: Reason::NoMember,
            retry_after: None,
        }
    }

    /// Why.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// When it is worth while to ask again: a value for `Retry-After`.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }
}
