//! What a cluster is told of a request, what it answers, and what it is told afterwards.

use super::adaptive_limit::{Entry, Load};
use super::circuit::CircuitRequest;
use super::member::MemberId;
use super::sticky::Session;
use super::traffic::Traffic;
use http::HeaderMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

/// What a balancer knows of a request for which it chooses a member.
///
/// ```
/// use ajp::balancer::RequestInfo;
/// let info = RequestInfo::new().with_path(b"/app/cart").with_key(b"customer 17");
/// assert_eq!(info.path(), b"/app/cart");
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct RequestInfo<'a> {
    pub(super) session: Option<&'a Session<'a>>,
    pub(super) tried: &'a [MemberId],
    path: &'a [u8],
    headers: Option<&'a HeaderMap>,
    client: Option<IpAddr>,
    key: Option<&'a [u8]>,
    pub(super) member: Option<&'a str>,
    pub(super) domain: Option<&'a str>,
    stateless: bool,
}

impl<'a> RequestInfo<'a> {
    /// A request without session of which nothing is known.
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

    /// Its path, as it came. A query behind it is left out.
    #[must_use]
    pub fn with_path(mut self, path: &'a [u8]) -> Self {
        self.path = path.split(|&b| b == b'?').next().unwrap_or_default();
        self
    }

    /// Its headers.
    #[must_use]
    pub fn with_headers(mut self, headers: &'a HeaderMap) -> Self {
        self.headers = Some(headers);
        self
    }

    /// The address of its client.
    #[must_use]
    pub fn with_client(mut self, address: impl Into<Option<IpAddr>>) -> Self {
        self.client = address.into();
        self
    }

    /// A key of the caller's own, such as a tenant: see [`HashBy::Key`](super::HashBy::Key).
    #[must_use]
    pub fn with_key(mut self, key: &'a [u8]) -> Self {
        self.key = Some(key);
        self
    }

    /// The name of the member that should serve it. Another one does if that one cannot.
    #[must_use]
    pub fn with_member(mut self, name: &'a str) -> Self {
        self.member = Some(name);
        self
    }

    /// The domain of which a member should serve it, unless its session names a member.
    /// Another one does if none of the domain can.
    #[must_use]
    pub fn with_domain(mut self, domain: &'a str) -> Self {
        self.domain = Some(domain);
        self
    }

    /// Whether it surely begins no session, such as one for a picture: then
    /// [`Method::BySessions`](super::Method::BySessions) does not count it as a new one, as `mod_jk`
    /// with `stateless`. A session that it has already stays where it is. Default no.
    #[must_use]
    pub fn with_stateless(mut self, stateless: bool) -> Self {
        self.stateless = stateless;
        self
    }

    /// What it says of its session.
    #[must_use]
    pub fn session(&self) -> Option<&'a Session<'a>> {
        self.session
    }

    /// Whether it belongs to a session already, on whichever member.
    #[must_use]
    pub fn has_session(&self) -> bool {
        self.session.is_some_and(Session::is_present)
    }

    /// Whether it surely begins no session.
    #[must_use]
    pub fn is_stateless(&self) -> bool {
        self.stateless
    }

    /// Whether it may begin a session.
    pub(super) fn may_begin_session(&self) -> bool {
        !self.stateless && !self.has_session()
    }

    /// Its path without query; empty when that was not told.
    #[must_use]
    pub fn path(&self) -> &'a [u8] {
        self.path
    }

    /// Its headers, if they were told.
    #[must_use]
    pub fn headers(&self) -> Option<&'a HeaderMap> {
        self.headers
    }

    /// The address of its client, if that was told.
    #[must_use]
    pub fn client(&self) -> Option<IpAddr> {
        self.client
    }

    /// The caller's own key, if there is one.
    #[must_use]
    pub fn key(&self) -> Option<&'a [u8]> {
        self.key
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
    /// The member, or one of the domain, that the caller wanted for this request.
    Wanted,
}

/// A member serves a request. Tell the cluster the [outcome](super::Cluster::answered) and the
/// [end](super::Cluster::ended), each once.
#[derive(Debug, Clone)]
#[must_use = "the member counts as busy until it is told to the cluster"]
pub struct Choice {
    pub(super) id: MemberId,
    pub(super) serial: u64,
    pub(super) started: Instant,
    /// Since when nobody but the member is waited for.
    pub(super) waits_since: Instant,
    pub(super) trial: bool,
    pub(super) affinity: Affinity,
    pub(super) route: Option<usize>,
    /// [`Slot::signs_of_life`](super::slot::Slot::signs_of_life) at that moment.
    pub(super) signs_of_life: u64,
    pub(super) traffic: Arc<Traffic>,
    /// For [`AdaptiveLimit`](super::AdaptiveLimit).
    pub(super) load: Load,
}

impl Choice {
    /// What a limiter knows it by.
    pub(super) fn entry(&self) -> Entry {
        Entry {
            serial: self.serial,
            started: self.waits_since,
            load: self.load,
        }
    }

    /// What a circuit knows it by.
    pub(super) fn passage(&self) -> CircuitRequest {
        CircuitRequest {
            started: self.started,
            was_trial: self.trial,
        }
    }

    /// Up to this moment it was the client that was waited for, who still sent the body: how
    /// long the member takes counts from there.
    pub(crate) fn wait_from(&mut self, uploaded: Instant) {
        self.waits_since = self.waits_since.max(uploaded);
    }

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

    /// When it was made.
    #[must_use]
    pub fn started(&self) -> Instant {
        self.started
    }

    /// How it was chosen.
    #[must_use]
    pub fn affinity(&self) -> Affinity {
        self.affinity
    }

    /// Which of the session's [routes](Session::routes) named a member: the one that serves,
    /// or one that serves in its place.
    #[must_use]
    pub fn route(&self) -> Option<usize> {
        self.route
    }

    /// Counts request body bytes on their way to the container.
    pub fn add_sent(&self, bytes: u64) {
        self.traffic.add_sent(bytes);
    }

    /// Counts response body bytes from the container.
    pub fn add_received(&self, bytes: u64) {
        self.traffic.add_received(bytes);
    }
}

/// What became of a request, as far as the member is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestOutcome<'a> {
    /// The head of a response came.
    Answered {
        /// Its HTTP status.
        status: u16,
    },
    /// The request was sent, and no answer came in time.
    TimedOut(&'a str),
    /// The request was not sent, because the container did not answer CPing in time. A
    /// container whose threads are all busy is as late as a dead one; it has failed only if
    /// it did nothing for other requests meanwhile either.
    Late(&'a str),
    /// The exchange broke off, but the member is alive.
    Broken(&'a str),
    /// The member cannot be reached; it is left alone for a while.
    Unreachable(&'a str),
    /// It answered, and the status means that it cannot serve; it is left alone for a while.
    Unfit {
        /// The HTTP status.
        status: u16,
    },
    /// No slot and no connection was free.
    Full,
    /// Nothing is known of the member: the caller gave up, or the request was at fault.
    Unknown,
}

/// How a health check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CheckOutcome<'a> {
    /// The member is well.
    Passed,
    /// It is not, for this reason.
    Failed(&'a str),
    /// It did not answer in time. That is a failure only if it did nothing for requests
    /// meanwhile either: a container whose threads are all busy answers late.
    Late {
        /// The reason.
        error: &'a str,
        /// What [`Cluster::signs_of_life`](super::Cluster::signs_of_life) was when the check
        /// began.
        signs_of_life: u64,
    },
}
