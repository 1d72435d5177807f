//! What a cluster is asked, what it answers, and what it is told afterwards.

use super::member::MemberId;
use super::slot::Traffic;
use super::sticky::Session;
use std::sync::Arc;
use std::time::Instant;

/// A request that asks for a member.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ask<'a> {
    pub(super) session: Option<&'a Session<'a>>,
    pub(super) tried: &'a [MemberId],
}

impl<'a> Ask<'a> {
    /// A request without session that was not tried yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What it says of its session.
    #[must_use]
    pub fn with_session(mut self, session: &'a Session<'a>) -> Self {
        self.session = Some(session);
        self
    }

    /// Members that it was tried on; they are not chosen again.
    #[must_use]
    pub fn with_tried(mut self, members: &'a [MemberId]) -> Self {
        self.tried = members;
        self
    }
}

/// How a member was chosen with regard to the request's session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Affinity {
    /// It names no member.
    Free,
    /// The session's own member.
    Kept,
    /// The member that the session's own redirects to.
    Redirected,
    /// Another member of the domain.
    Domain,
    /// Any other member; the session's own cannot serve.
    Moved,
    /// Any member; the session names one that does not exist.
    Unknown,
}

/// A member serves a request. Tell the cluster the [outcome](super::Cluster::answered) and the
/// [end](super::Cluster::ended), each once.
#[derive(Debug, Clone)]
#[must_use = "the member counts as busy until it is told to the cluster"]
pub struct Choice {
    pub(super) id: MemberId,
    pub(super) serial: u64,
    pub(super) started: Instant,
    pub(super) trial: bool,
    pub(super) affinity: Affinity,
    pub(super) traffic: Arc<Traffic>,
}

impl Choice {
    /// The member.
    #[must_use]
    pub fn member(&self) -> MemberId {
        self.id
    }

    /// Whether this request alone tries a member that had failed.
    #[must_use]
    pub fn is_trial(&self) -> bool {
        self.trial
    }

    /// How it was chosen.
    #[must_use]
    pub fn affinity(&self) -> Affinity {
        self.affinity
    }

    /// Where its body bytes are counted.
    #[must_use]
    pub fn traffic(&self) -> &Arc<Traffic> {
        &self.traffic
    }
}

/// What became of a request, as far as the member is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome<'a> {
    /// The head of a response came.
    Answered {
        /// Its HTTP status.
        status: u16,
    },
    /// No answer in time.
    TimedOut(&'a str),
    /// The exchange broke off, but the member is alive.
    Broken(&'a str),
    /// The member cannot be reached; it is left alone for a while.
    Unreachable(&'a str),
    /// It answered, and the status means that it cannot serve; it is left alone for a while.
    Unfit {
        /// The HTTP status.
        status: u16,
    },
    /// No place or connection was free.
    Full,
    /// Nothing is known of the member: the caller gave up, or the request was at fault.
    Unknown,
}
