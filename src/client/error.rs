//! What went wrong with an exchange, how far it had got, and whether it may be tried again.

pub(super) mod kind;

pub use kind::{Blame, ErrorKind, Retry};

use super::local_resources;
use super::mismatch::Mismatch;
use super::request_id::RequestId;
use crate::proto::{Progress, ProtocolError};
use crate::wire::{EncodeError, Field};
use http::StatusCode;
use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::Arc;
use tokio::runtime::is_rt_shutdown_err;

type BoxError = Box<dyn StdError + Send + Sync>;

/// An exchange failed. `Display` prints this level only, with the [`RequestId`] if the request
/// had one; the cause is in `source`.
pub struct ClientError(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    progress: Progress,
    peer: Option<Arc<str>>,
    source: Option<BoxError>,
    mismatch: Option<Mismatch>,
    request_id: Option<RequestId>,
}

impl ClientError {
    #[cold]
    pub(crate) fn new(kind: ErrorKind, source: impl Into<BoxError>) -> Self {
        Self::from_parts(kind, Some(source.into()))
    }

    #[cold]
    pub(crate) fn bare(kind: ErrorKind) -> Self {
        Self::from_parts(kind, None)
    }

    fn from_parts(kind: ErrorKind, source: Option<BoxError>) -> Self {
        Self(Box::new(Inner {
            kind,
            progress: Progress::NotSent,
            peer: None,
            source,
            mismatch: None,
            request_id: None,
        }))
    }

    #[cold]
    pub(crate) fn protocol(error: ProtocolError) -> Self {
        Self::new(ErrorKind::Protocol, error)
    }

    #[cold]
    pub(crate) fn encode(error: EncodeError) -> Self {
        let kind = match error.field() {
            Field::ReqUri if error.is_too_large() => ErrorKind::UriTooLong,
            _ if error.is_too_large() => ErrorKind::HeadTooLarge,
            _ => ErrorKind::InvalidRequest,
        };
        Self::new(kind, error)
    }

    /// An error of the transport in the step that `kind` names, unless this side is its cause.
    #[cold]
    pub(crate) fn io(kind: ErrorKind, error: io::Error) -> Self {
        let kind = if local_resources::is_or_wraps(&error, is_rt_shutdown_err) {
            ErrorKind::RuntimeShutDown
        } else if local_resources::is_cause_of(&error) {
            ErrorKind::LocalResources
        } else {
            kind
        };
        Self::new(kind, error)
    }

    #[cold]
    pub(crate) fn at(mut self, progress: Progress, peer: &Arc<str>) -> Self {
        self.0.progress = progress;
        self.0.peer = Some(Arc::clone(peer));
        self
    }

    /// It is of this request.
    pub(crate) fn of_request(mut self, id: Option<&RequestId>) -> Self {
        if let Some(id) = id {
            self.0.request_id = Some(id.clone());
        }
        self
    }

    /// What the failure tells of settings that differ. Where nothing else is known of its
    /// cause, that is given as the cause.
    #[cold]
    pub(crate) fn hinting(mut self, mismatch: Option<Mismatch>) -> Self {
        self.0.mismatch = mismatch;
        if let (None, Some(mismatch)) = (&self.0.source, mismatch) {
            self.0.source = Some(mismatch.into());
        }
        self
    }

    /// For the second attempt at a request: the first had got this far.
    #[cold]
    pub(crate) fn after(mut self, first: Progress) -> Self {
        self.0.progress = self.0.progress.max(first);
        self
    }

    /// The [`RequestId`] that the request had in its extensions.
    #[must_use]
    pub fn request_id(&self) -> Option<&RequestId> {
        self.0.request_id.as_ref()
    }

    /// What failed.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Who is to blame: see [`ErrorKind::blame`].
    #[must_use]
    pub fn blame(&self) -> Blame {
        self.0.kind.blame()
    }

    /// Whether the failure tells of settings that differ on both sides.
    #[must_use]
    pub fn mismatch(&self) -> Option<Mismatch> {
        self.0.mismatch
    }

    /// How far the exchange had got.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.0.progress
    }

    /// The container, as given to the pool.
    #[must_use]
    pub fn peer(&self) -> Option<&str> {
        self.0.peer.as_deref()
    }

    /// Whether the request may be sent again, to this container or another.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self.0.progress {
            Progress::BodySent => Retry::Never,
            _ => self.retry_with_body(),
        }
    }

    /// As [`retry`](Self::retry), for a caller that can give the whole request body again: then
    /// body that was sent leaves it to the method.
    #[must_use]
    pub fn retry_with_body(&self) -> Retry {
        match (self.0.kind, self.0.progress) {
            // The request itself is at fault, or its source is used up.
            (
                ErrorKind::UriTooLong
                | ErrorKind::HeadTooLarge
                | ErrorKind::InvalidRequest
                | ErrorKind::MissingFacts
                | ErrorKind::UnsupportedTransferEncoding
                | ErrorKind::UpgradeNotSupported
                | ErrorKind::BodySource
                | ErrorKind::BodyLength
                | ErrorKind::RequestBodyTimeout
                | ErrorKind::ResponseReadTimeout,
                _,
            ) => Retry::Never,
            (_, Progress::NotSent) => Retry::Safe,
            (_, Progress::RequestSent | Progress::BodySent) => Retry::IfIdempotent,
            _ => Retry::Never,
        }
    }

    /// The HTTP status a gateway answers with, when its response has not begun
    /// (protocol chapter [exchange](crate::docs::protocol::exchange#errors)).
    #[must_use]
    pub fn suggested_status(&self) -> StatusCode {
        // No wildcard: whoever adds a kind decides here.
        match self.0.kind {
            ErrorKind::AcquireTimeout
            | ErrorKind::QueueFull
            | ErrorKind::PoolShut
            | ErrorKind::Connect
            | ErrorKind::ConnectTimeout
            | ErrorKind::ConnectCutShort
            | ErrorKind::LocalResources
            | ErrorKind::RuntimeShutDown
            | ErrorKind::CPing
            | ErrorKind::CPingTimeout
            | ErrorKind::CPingCutShort => StatusCode::SERVICE_UNAVAILABLE,
            ErrorKind::UriTooLong => StatusCode::URI_TOO_LONG,
            ErrorKind::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            // The program that sends the request is wrong, not whoever asked it.
            ErrorKind::MissingFacts => StatusCode::INTERNAL_SERVER_ERROR,
            ErrorKind::InvalidRequest | ErrorKind::BodySource | ErrorKind::BodyLength => {
                StatusCode::BAD_REQUEST
            }
            ErrorKind::RequestBodyTimeout | ErrorKind::ResponseReadTimeout => {
                StatusCode::REQUEST_TIMEOUT
            }
            ErrorKind::UnsupportedTransferEncoding | ErrorKind::UpgradeNotSupported => {
                StatusCode::NOT_IMPLEMENTED
            }
            ErrorKind::WriteTimeout
            | ErrorKind::ResponseHeadTimeout
            | ErrorKind::BetweenPacketsTimeout
            | ErrorKind::RequestTimeout => StatusCode::GATEWAY_TIMEOUT,
            ErrorKind::Write | ErrorKind::Read | ErrorKind::Closed | ErrorKind::Protocol => {
                StatusCode::BAD_GATEWAY
            }
        }
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.peer {
            Some(peer) => write!(f, "{peer}: {}", self.0.kind),
            None => write!(f, "{}", self.0.kind),
        }?;
        match &self.0.request_id {
            Some(id) => write!(f, " (request {id})"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientError")
            .field("kind", &self.0.kind)
            .field("progress", &self.0.progress)
            .field("peer", &self.0.peer)
            .field("request_id", &self.0.request_id)
            .field("source", &self.0.source)
            .finish()
    }
}

impl StdError for ClientError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{EncodeRule, Field};

    /// Who reads a 414 knows what to make shorter.
    #[test]
    fn what_cannot_be_written_says_what_was_too_long() {
        let too_large = EncodeRule::TooLarge {
            needed: 9000,
            packet_size: 8192,
        };
        for (field, rule, kind) in [
            (Field::ReqUri, too_large, ErrorKind::UriTooLong),
            (Field::ServerName, too_large, ErrorKind::HeadTooLarge),
            (Field::ReqUri, EncodeRule::Empty, ErrorKind::InvalidRequest),
            (
                Field::ServerName,
                EncodeRule::InvalidByte(0),
                ErrorKind::InvalidRequest,
            ),
        ] {
            let error = ClientError::encode(EncodeError::new(field, rule));
            assert_eq!(error.kind(), kind, "{field} {rule}");
        }
    }
}
