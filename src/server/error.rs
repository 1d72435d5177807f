//! Why a connection ended.

use crate::proto::ProtocolError;
use std::fmt;
use std::io;

/// A connection ended otherwise than by the peer closing it between requests.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Reading or writing failed.
    #[error("the connection failed")]
    Io(#[source] io::Error),
    /// The peer closed in the middle of a packet or exchange.
    #[error("the web server closed the connection in the middle of {0}")]
    Closed(&'static str),
    /// The peer broke the protocol.
    #[error("the web server broke the protocol")]
    Protocol(#[source] ProtocolError),
    /// A step took too long.
    #[error("{0} took too long")]
    Timeout(Step),
    /// A request was refused; it was answered with this status.
    #[error("request refused with {status}: {reason}")]
    Refused {
        /// The HTTP status of the answer.
        status: u16,
        /// Why.
        reason: &'static str,
    },
    /// A request was malformed; it was answered with 400.
    #[error("request refused with 400")]
    BadRequest(#[source] ProtocolError),
    /// The response failed after its headers were sent; the connection was closed without
    /// End Response, so that the web server sees the truncation.
    #[error("the response failed after its headers were sent: {0}")]
    Aborted(
        &'static str,
        #[source] Option<Box<dyn std::error::Error + Send + Sync>>,
    ),
}

impl From<ProtocolError> for Error {
    fn from(error: ProtocolError) -> Self {
        Self::Protocol(error)
    }
}

/// A step with a time limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// Receiving a request that had begun.
    Packet,
    /// Waiting for a body packet.
    Body,
    /// Writing.
    Write,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Packet => "receiving a request",
            Self::Body => "waiting for a body packet",
            Self::Write => "writing",
        })
    }
}

/// An answer that the container gives without the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) reason: &'static str,
}

impl Refusal {
    pub(crate) const MALFORMED: Self = Self {
        status: 400,
        reason: "malformed AJP request",
    };
    pub(crate) const SECRET: Self = Self {
        status: 403,
        reason: "secret missing or wrong",
    };
    pub(crate) const ATTRIBUTE: Self = Self {
        status: 403,
        reason: "request attribute not allowed",
    };
    pub(crate) const HOST: Self = Self {
        status: 400,
        reason: "bad Host header",
    };
    pub(crate) const BODY_TOO_LARGE: Self = Self {
        status: 413,
        reason: "request body too large",
    };
    #[cfg(feature = "tower")]
    pub(crate) const URI: Self = Self {
        status: 400,
        reason: "request target cannot be used",
    };
    #[cfg(feature = "tower")]
    pub(crate) const FAILED: Self = Self {
        status: 500,
        reason: "the application failed",
    };
    #[cfg(feature = "tower")]
    pub(crate) const HEAD: Self = Self {
        status: 500,
        reason: "the response head cannot be sent over AJP",
    };
}
