//! What went wrong with an exchange, how far it had got, and whether it may be tried again.

use super::mismatch::Mismatch;
use crate::proto::{Progress, ProtocolError};
use crate::wire::{EncodeError, Field};
use http::StatusCode;
use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::Arc;

type BoxError = Box<dyn StdError + Send + Sync>;

/// An exchange failed. `Display` prints this level only; the cause is in `source`.
pub struct ClientError(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    progress: Progress,
    peer: Option<Arc<str>>,
    source: Option<BoxError>,
    mismatch: Option<Mismatch>,
}

/// What failed, by step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// No connection of the pool became free in time.
    AcquireTimeout,
    /// All connections are in use and enough callers wait for one already.
    QueueFull,
    /// The pool was shut down.
    PoolShut,
    /// The connection could not be opened.
    Connect,
    /// The connection was not open within the pool's own limit,
    /// [`Timeouts::connect`](super::Timeouts::with_connect).
    ConnectTimeout,
    /// Opening the connection was cut short before the pool's own limit for it: what was
    /// left of [`Timeouts::acquire`](super::Timeouts::with_acquire), or a shorter limit of the
    /// request itself, ran out. This says nothing about the container. The source says
    /// which limit it was.
    ConnectCutShort,
    /// The connection could not be opened for a reason of this machine: no file descriptor,
    /// no memory or no local port is left, or the source address is not one of its own. The
    /// container was not even asked.
    LocalResources,
    /// A new connection did not answer CPing properly.
    CPing,
    /// CPong did not come within the pool's own limit,
    /// [`Timeouts::cping`](super::Timeouts::with_cping).
    CPingTimeout,
    /// Waiting for CPong was cut short before the pool's own limit for it, as in
    /// [`ConnectCutShort`](Self::ConnectCutShort).
    CPingCutShort,
    /// The path and query of the request alone do not fit the packet size.
    UriTooLong,
    /// The request head does not fit the packet size.
    HeadTooLarge,
    /// The request cannot be expressed in AJP, or breaks a rule of HTTP.
    InvalidRequest,
    /// The request says nothing about its client: it has no
    /// [`RequestFacts`](super::RequestFacts) in its extensions, and the client was not made for
    /// requests of its own.
    MissingFacts,
    /// A transfer coding other than `chunked`.
    UnsupportedTransferEncoding,
    /// WebSocket and other upgrades do not exist in AJP.
    UpgradeNotSupported,
    /// The caller's request body failed.
    BodySource,
    /// The caller's request body is not as long as announced.
    BodyLength,
    /// The container waited for the request body, and the caller gave nothing of it in time
    /// ([`Timeouts::with_request_body`](super::Timeouts::with_request_body)).
    RequestBodyTimeout,
    /// The caller did not go on: it neither read what had come of the response nor drove the
    /// exchange in any other way
    /// ([`Timeouts::with_response_read`](super::Timeouts::with_response_read)).
    ResponseReadTimeout,
    /// Writing failed.
    Write,
    /// A write made no progress in time.
    WriteTimeout,
    /// The head of the response did not come in time after the request.
    ResponseHeadTimeout,
    /// The container stopped in the middle of its response.
    BetweenPacketsTimeout,
    /// The whole request took too long.
    RequestTimeout,
    /// Reading failed.
    Read,
    /// The container closed the connection before the end of the response.
    Closed,
    /// The container broke the protocol.
    Protocol,
}

/// Whether a failed request may be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(
    clippy::exhaustive_enums,
    reason = "callers must be able to match it completely"
)]
pub enum Retry {
    /// The container cannot have seen the request.
    Safe,
    /// The container may have acted on it: only if the method is idempotent.
    IfIdempotent,
    /// Part of the body is gone, or a response began.
    Never,
}

/// Who caused a failure, as far as the kind of the error tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(
    clippy::exhaustive_enums,
    reason = "callers must be able to match it completely"
)]
pub enum Blame {
    /// The container, or the way to it: only this may count against it.
    Container,
    /// The request, its body, or the time that its caller gave it.
    Caller,
    /// This side: its pool had no connection to give, or its machine had no resources left.
    WebServer,
}

impl ErrorKind {
    /// Who is to blame. This is the one place that decides it: whoever takes a container out
    /// of service for its failures has to ask here.
    #[must_use]
    pub fn blame(self) -> Blame {
        // No wildcard: whoever adds a kind decides here.
        match self {
            Self::Connect
            | Self::ConnectTimeout
            | Self::CPing
            | Self::CPingTimeout
            | Self::Write
            | Self::WriteTimeout
            | Self::ResponseHeadTimeout
            | Self::BetweenPacketsTimeout
            | Self::Read
            | Self::Closed
            | Self::Protocol => Blame::Container,
            Self::ConnectCutShort
            | Self::CPingCutShort
            | Self::RequestTimeout
            | Self::UriTooLong
            | Self::HeadTooLarge
            | Self::InvalidRequest
            | Self::MissingFacts
            | Self::UnsupportedTransferEncoding
            | Self::UpgradeNotSupported
            | Self::BodySource
            | Self::BodyLength
            | Self::RequestBodyTimeout
            | Self::ResponseReadTimeout => Blame::Caller,
            Self::AcquireTimeout | Self::QueueFull | Self::PoolShut | Self::LocalResources => {
                Blame::WebServer
            }
        }
    }
}

impl ClientError {
    pub(crate) fn new(kind: ErrorKind, source: impl Into<BoxError>) -> Self {
        Self::from_parts(kind, Some(source.into()))
    }

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
        }))
    }

    pub(crate) fn protocol(error: ProtocolError) -> Self {
        Self::new(ErrorKind::Protocol, error)
    }

    pub(crate) fn encode(error: EncodeError) -> Self {
        let kind = match error.field() {
            Field::ReqUri if error.is_too_large() => ErrorKind::UriTooLong,
            _ if error.is_too_large() => ErrorKind::HeadTooLarge,
            _ => ErrorKind::InvalidRequest,
        };
        Self::new(kind, error)
    }

    pub(crate) fn io(kind: ErrorKind, error: io::Error) -> Self {
        Self::new(kind, error)
    }

    pub(crate) fn at(mut self, progress: Progress, peer: &Arc<str>) -> Self {
        self.0.progress = progress;
        self.0.peer = Some(Arc::clone(peer));
        self
    }

    /// What the failure tells of settings that differ. Where nothing else is known of its
    /// cause, that is given as the cause.
    pub(crate) fn hinting(mut self, mismatch: Option<Mismatch>) -> Self {
        self.0.mismatch = mismatch;
        if let (None, Some(mismatch)) = (&self.0.source, mismatch) {
            self.0.source = Some(mismatch.into());
        }
        self
    }

    /// For the second attempt at a request: the first had got this far.
    pub(crate) fn after(mut self, first: Progress) -> Self {
        self.0.progress = self.0.progress.max(first);
        self
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

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AcquireTimeout => "no connection became free in time",
            Self::QueueFull => "too many callers wait for a connection",
            Self::PoolShut => "the pool was shut down",
            Self::Connect => "cannot connect",
            Self::ConnectTimeout => "connecting took too long",
            Self::ConnectCutShort => "there was too little time left to connect",
            Self::LocalResources => "this machine has no resources left to open a connection",
            Self::CPing => "CPing was not answered",
            Self::CPingTimeout => "CPing was not answered in time",
            Self::CPingCutShort => "there was too little time left for CPing",
            Self::UriTooLong => "the path and query of the request do not fit the packet size",
            Self::HeadTooLarge => "the request head does not fit the packet size",
            Self::InvalidRequest => "the request cannot be sent",
            Self::MissingFacts => "the request says nothing about its client",
            Self::UnsupportedTransferEncoding => "the transfer coding is not supported",
            Self::UpgradeNotSupported => "AJP cannot upgrade a connection",
            Self::BodySource => "the request body failed",
            Self::BodyLength => "the request body does not have its announced length",
            Self::RequestBodyTimeout => "the request body did not come in time",
            Self::ResponseReadTimeout => "the response was not read in time",
            Self::Write => "sending failed",
            Self::WriteTimeout => "the container takes no data",
            Self::ResponseHeadTimeout => "the container did not answer in time",
            Self::BetweenPacketsTimeout => "the container stopped in the middle of its response",
            Self::RequestTimeout => "the whole request took too long",
            Self::Read => "receiving failed",
            Self::Closed => "the container closed the connection before the end of the response",
            Self::Protocol => "the container broke the protocol",
        })
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.peer {
            Some(peer) => write!(f, "{peer}: {}", self.0.kind),
            None => write!(f, "{}", self.0.kind),
        }
    }
}

impl fmt::Debug for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientError")
            .field("kind", &self.0.kind)
            .field("progress", &self.0.progress)
            .field("peer", &self.0.peer)
            .field("source", &self.0.source)
            .finish()
    }
}

impl StdError for ClientError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}
