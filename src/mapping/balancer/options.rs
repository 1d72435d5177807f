//! What a caller wants for one request.

use crate::balancer::OnStatus;

/// A request extension: what [`Balancer::send`](crate::balancer::Balancer::send) does
/// differently for this request. Its limits in time are in
/// [`RequestTimeouts`](crate::client::RequestTimeouts), and whether it may be sent twice in
/// [`Idempotent`](crate::balancer::Idempotent).
///
/// ```
/// use ajp::balancer::SendOptions;
/// let mut request = http::Request::get("/static/logo.png").body(())?;
/// request.extensions_mut().insert(SendOptions::new().with_stateless(true).with_max_attempts(1));
/// # Ok::<(), http::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SendOptions {
    pub(super) sticky_ignore: bool,
    pub(super) stateless: bool,
    pub(super) key: Option<Vec<u8>>,
    pub(super) member: Option<String>,
    pub(super) domain: Option<String>,
    pub(super) max_attempts: Option<u32>,
    pub(super) statuses: Vec<(u16, OnStatus)>,
}

impl SendOptions {
    /// Nothing is different.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether its session is ignored: any member may serve it, and no route cookie is set, as
    /// `mod_jk` with `sticky_ignore`. Default no.
    #[must_use]
    pub fn with_sticky_ignore(mut self, ignore: bool) -> Self {
        self.sticky_ignore = ignore;
        self
    }

    /// Whether it surely begins no session, such as one for a picture: no route cookie is set, and
    /// methods that count sessions do not count it
    /// ([`RequestInfo::with_stateless`](crate::balancer::RequestInfo::with_stateless)). A session
    /// that it has already is respected. Default no.
    #[must_use]
    pub fn with_stateless(mut self, stateless: bool) -> Self {
        self.stateless = stateless;
        self
    }

    /// The key that [`HashBy::Key`](crate::balancer::HashBy::Key) hashes, such as a tenant.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<Vec<u8>>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// The name of the member that should serve it, whatever its session says. Another one
    /// does if that one cannot.
    #[must_use]
    pub fn with_member(mut self, name: impl Into<String>) -> Self {
        self.member = Some(name.into());
        self
    }

    /// The domain of which a member should serve it, unless its session names a member.
    #[must_use]
    pub fn with_domain(mut self, domain: impl Into<String>) -> Self {
        self.domain = Some(domain.into());
        self
    }

    /// Most members that it is tried on, at least 1, in place of
    /// [`Failover::with_max_attempts`](crate::balancer::Failover::with_max_attempts).
    #[must_use]
    pub fn with_max_attempts(mut self, count: u32) -> Self {
        self.max_attempts = Some(count);
        self
    }

    /// What this status means for it, in place of
    /// [`Failover::on_status`](crate::balancer::Failover::on_status).
    #[must_use]
    pub fn with_on_status(mut self, status: u16, action: OnStatus) -> Self {
        self.statuses.retain(|(known, _)| *known != status);
        self.statuses.push((status, action));
        self
    }

    pub(super) fn action(&self, status: u16) -> Option<OnStatus> {
        let mut known = self.statuses.iter();
        let found = known.find(|(code, _)| *code == status);
        found.map(|(_, action)| *action)
    }
}
