//! What went wrong with an exchange, how far it had got, and whether it may be tried again.

use crate::proto::{Progress, ProtocolError};
use crate::wire::EncodeError;
use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::Arc;

type BoxError = Box<dyn StdError + Send + Sync>;

/// An exchange failed. `Display` prints this level only; the cause is in `source`.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    progress: Progress,
    peer: Option<Arc<str>>,
    source: Option<BoxError>,
}

/// What failed, by step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// No place in the pool became free in time.
    AcquireTimeout,
    /// All connections are in use and enough callers wait for one already.
    QueueFull,
    /// The pool was shut down.
    PoolShut,
    /// The connection could not be opened.
    Connect,
    /// The connection was not open in time.
    ConnectTimeout,
    /// A new connection did not answer CPing properly.
    CPing,
    /// CPong did not come in time.
    CPingTimeout,
    /// The request head does not fit the packet size.
    HeadTooLarge,
    /// The request cannot be expressed in AJP, or breaks a rule of HTTP.
    InvalidRequest,
    /// A transfer coding other than `chunked`.
    UnsupportedTransferEncoding,
    /// WebSocket and other upgrades do not exist in AJP.
    UpgradeNotSupported,
    /// The caller's request body failed.
    BodySource,
    /// The caller's request body is not as long as announced.
    BodyLength,
    /// Writing failed.
    Write,
    /// A write made no progress in time.
    WriteTimeout,
    /// The container sent nothing in time after the request.
    FirstPacketTimeout,
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

impl Error {
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
        }))
    }

    pub(crate) fn protocol(error: ProtocolError) -> Self {
        Self::new(ErrorKind::Protocol, error)
    }

    pub(crate) fn encode(error: EncodeError) -> Self {
        let kind = if error.is_too_large() {
            ErrorKind::HeadTooLarge
        } else {
            ErrorKind::InvalidRequest
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
                ErrorKind::HeadTooLarge
                | ErrorKind::InvalidRequest
                | ErrorKind::UnsupportedTransferEncoding
                | ErrorKind::UpgradeNotSupported
                | ErrorKind::BodySource
                | ErrorKind::BodyLength,
                _,
            ) => Retry::Never,
            (_, Progress::NotSent) => Retry::Safe,
            (_, Progress::RequestSent | Progress::BodySent) => Retry::IfIdempotent,
            _ => Retry::Never,
        }
    }

    /// The HTTP status a gateway answers with, when its response has not begun
    /// (section 4.17).
    #[must_use]
    pub fn suggested_status(&self) -> u16 {
        match self.0.kind {
            ErrorKind::AcquireTimeout
            | ErrorKind::QueueFull
            | ErrorKind::PoolShut
            | ErrorKind::Connect
            | ErrorKind::ConnectTimeout
            | ErrorKind::CPing
            | ErrorKind::CPingTimeout => 503,
            ErrorKind::HeadTooLarge => 431,
            ErrorKind::InvalidRequest | ErrorKind::BodySource | ErrorKind::BodyLength => 400,
            ErrorKind::UnsupportedTransferEncoding | ErrorKind::UpgradeNotSupported => 501,
            ErrorKind::WriteTimeout
            | ErrorKind::FirstPacketTimeout
            | ErrorKind::BetweenPacketsTimeout
            | ErrorKind::RequestTimeout => 504,
            ErrorKind::Write | ErrorKind::Read | ErrorKind::Closed | ErrorKind::Protocol => 502,
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
            Self::CPing => "CPing was not answered",
            Self::CPingTimeout => "CPing was not answered in time",
            Self::HeadTooLarge => "the request head does not fit the packet size",
            Self::InvalidRequest => "the request cannot be sent",
            Self::UnsupportedTransferEncoding => "the transfer coding is not supported",
            Self::UpgradeNotSupported => "AJP cannot upgrade a connection",
            Self::BodySource => "the request body failed",
            Self::BodyLength => "the request body does not have its announced length",
            Self::Write => "sending failed",
            Self::WriteTimeout => "the container takes no data",
            Self::FirstPacketTimeout => "the container did not answer in time",
            Self::BetweenPacketsTimeout => "the container stopped in the middle of its response",
            Self::RequestTimeout => "the whole request took too long",
            Self::Read => "receiving failed",
            Self::Closed => "the container closed the connection before the end of the response",
            Self::Protocol => "the container broke the protocol",
        })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.peer {
            Some(peer) => write!(f, "{peer}: {}", self.0.kind),
            None => write!(f, "{}", self.0.kind),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("progress", &self.0.progress)
            .field("peer", &self.0.peer)
            .field("source", &self.0.source)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}
