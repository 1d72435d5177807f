//! Why a balancer did not answer a request.

use crate::balancer::{Reason, Unavailable};
use crate::client::{self, RequestId};
use http::StatusCode;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// No member answered a request. `Display` prints this level only, with the [`RequestId`] if the
/// request had one; the cause is in `source`. Where there is none, it names the members that were
/// tried.
#[derive(Debug)]
pub struct BalancerError(Box<Inner>);

#[derive(Debug)]
struct Inner {
    unavailable: Option<Unavailable>,
    last: Option<client::ClientError>,
    attempts: Vec<Attempt>,
    request_id: Option<RequestId>,
}

/// A member that a request was tried on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempt {
    /// The member's name.
    pub member: Arc<str>,
    /// Why it went on to another.
    pub failure: Failure,
}

/// Why a request went on to another member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Failure {
    /// The exchange failed.
    Exchange(client::ErrorKind),
    /// The member had failed before and could not be reached this time either. It was not
    /// given the request.
    Unreachable,
    /// It answered with a status of [`Failover::on_status`].
    ///
    /// [`Failover::on_status`]: crate::balancer::Failover::on_status
    Status(u16),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exchange(kind) => write!(f, "failed ({kind})"),
            Self::Unreachable => f.write_str("could still not be reached"),
            Self::Status(status) => write!(f, "answered with {status}"),
        }
    }
}

impl BalancerError {
    pub(super) fn new(
        unavailable: Option<Unavailable>,
        last: Option<client::ClientError>,
        attempts: Vec<Attempt>,
    ) -> Self {
        Self(Box::new(Inner {
            unavailable,
            last,
            attempts,
            request_id: None,
        }))
    }

    /// It is of this request.
    pub(super) fn of_request(mut self, id: Option<&RequestId>) -> Self {
        self.0.request_id = id.cloned();
        self
    }

    /// The [`RequestId`] that the request had in its extensions.
    #[must_use]
    pub fn request_id(&self) -> Option<&RequestId> {
        self.0.request_id.as_ref()
    }

    /// Why there was no member for the request, or none after those it was tried on.
    #[must_use]
    pub fn unavailable(&self) -> Option<Unavailable> {
        self.0.unavailable
    }

    /// What failed on the last member it was tried on.
    #[must_use]
    pub fn exchange(&self) -> Option<&client::ClientError> {
        self.0.last.as_ref()
    }

    /// The members it was tried on, in their order.
    #[must_use]
    pub fn attempts(&self) -> &[Attempt] {
        &self.0.attempts
    }

    /// The HTTP status a gateway answers with.
    #[must_use]
    pub fn suggested_status(&self) -> StatusCode {
        let last = self.0.last.as_ref();
        last.map_or(
            StatusCode::SERVICE_UNAVAILABLE,
            client::ClientError::suggested_status,
        )
    }

    /// A value for `Retry-After`, if the status is 503.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        let told = self.0.unavailable.and_then(|none| none.retry_after());
        let short = || Some(Duration::from_secs(1));
        let switched_off =
            matches!(self.0.unavailable, Some(none) if none.reason() == Reason::NoMember);
        if self.suggested_status() != StatusCode::SERVICE_UNAVAILABLE || switched_off {
            return None;
        }
        told.or_else(short)
    }
}

impl fmt::Display for BalancerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.0.unavailable, &self.0.last) {
            (Some(none), Some(_)) => none.fmt(f),
            (Some(none), None) => {
                none.fmt(f)?;
                // There is no source that tells of them.
                for (at, attempt) in self.0.attempts.iter().enumerate() {
                    let before = if at == 0 { ": " } else { ", " };
                    write!(f, "{before}{} {}", attempt.member, attempt.failure)?;
                }
                Ok(())
            }
            (None, Some(_)) => f.write_str("the request failed"),
            (None, None) => f.write_str("the member could not be reached"),
        }?;
        match &self.0.request_id {
            Some(id) => write!(f, " (request {id})"),
            None => Ok(()),
        }
    }
}

impl StdError for BalancerError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.last.as_ref().map(|error| error as _)
    }
}
