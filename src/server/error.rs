//! Why a connection ended.

use crate::proto::ProtocolError;
use crate::wire::EncodeError;
use std::fmt;
use std::io;

/// A connection ended otherwise than by the peer closing it between requests.
///
/// Where the web server could still take an answer, it got one: a proxy takes a bare close
/// for the failure of the whole container (protocol section 6.7). Whether the answer
/// arrived is not known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Reading or writing failed.
    #[error("the connection failed")]
    Io(#[source] io::Error),
    /// The peer closed in the middle of a packet or exchange.
    #[error("the web server closed the connection in the middle of {0}")]
    Closed(&'static str),
    /// The peer broke the protocol. Inside an exchange it was answered with 400, if the
    /// response had not begun.
    #[error("the web server broke the protocol")]
    Protocol(#[source] ProtocolError),
    /// A step took too long. [`Step::Body`] was answered with 408, if the response had not
    /// begun.
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
    /// A request was refused with 403 because of a `req_attribute` of this name
    /// ([`AttributePolicy`](super::AttributePolicy)).
    #[error("request refused with 403: attribute \"{}\" is not allowed", .0.escape_ascii())]
    AttributeRefused(Box<[u8]>),
    /// A request was malformed; it was answered with 400.
    #[error("request refused with 400")]
    BadRequest(#[source] ProtocolError),
    /// The peer may not connect; it was closed without an answer.
    #[error("the peer may not connect")]
    PeerRefused,
    /// Too many connections are open; this one was closed without an answer.
    #[error("too many connections")]
    TooManyConnections,
    /// The application gave an error instead of a response, or one that AJP cannot carry;
    /// the request was answered with 500.
    #[error("the application failed")]
    Application(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The application panicked. The request was answered with 500, if the response had not
    /// begun.
    #[error("the application panicked")]
    Panicked,
    /// The head of the application's response cannot be sent; the request was answered
    /// with 500.
    #[error("the response head cannot be sent over AJP")]
    ResponseHead(#[source] EncodeError),
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

impl Error {
    /// What a web server that waits for a response is told.
    pub(crate) fn answer(&self) -> Option<Refusal> {
        match self {
            Self::Protocol(_) => Some(Refusal::BODY),
            Self::Timeout(Step::Body) => Some(Refusal::BODY_TIMEOUT),
            Self::Refused { status, reason } => Some(Refusal {
                status: *status,
                reason,
            }),
            Self::Application(_) | Self::Panicked => Some(Refusal::FAILED),
            Self::ResponseHead(_) => Some(Refusal::HEAD),
            _ => None,
        }
    }

    /// Whether it is the application that failed.
    pub(crate) fn is_applications(&self) -> bool {
        matches!(
            self,
            Self::Application(_) | Self::Panicked | Self::ResponseHead(_) | Self::Aborted(..)
        )
    }
}

/// An error with all its causes, for one line of a log.
#[cfg(feature = "tracing")]
pub(crate) struct Chain<'a>(pub(crate) &'a Error);

#[cfg(feature = "tracing")]
impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.0, f)?;
        let mut cause = std::error::Error::source(self.0);
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
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
    const fn new(status: u16, reason: &'static str) -> Self {
        Self { status, reason }
    }

    pub(crate) const MALFORMED: Self = Self::new(400, "malformed AJP request");
    pub(crate) const SECRET: Self = Self::new(403, "secret missing or wrong");
    pub(crate) const ATTRIBUTE: Self = Self::new(403, "request attribute not allowed");
    pub(crate) const HOST: Self = Self::new(400, "bad Host header");
    pub(crate) const BUSY: Self = Self::new(503, "too many connections");
    pub(crate) const BODY_TOO_LARGE: Self = Self::new(413, "request body too large");
}

impl Refusal {
    pub(crate) const BODY: Self = Self::new(400, "broken request body");
    pub(crate) const BODY_TIMEOUT: Self = Self::new(408, "request body took too long");
    pub(crate) const URI: Self = Self::new(400, "request target cannot be used");
    pub(crate) const FAILED: Self = Self::new(500, "the application failed");
    pub(crate) const HEAD: Self = Self::new(500, "the response head cannot be sent over AJP");
}
