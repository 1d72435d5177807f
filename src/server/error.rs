//! Why a connection ended.

use super::refusal::{OwnAnswer, Refusal};
use crate::proto::ProtocolError;
use crate::wire::{EncodeError, OtherProtocol};
use std::fmt;
use std::io;

/// A connection ended otherwise than by the peer closing it between requests.
///
/// Where the web server could still take an answer, it got one: a proxy takes a bare close for the
/// failure of the whole container (protocol chapter
/// [security](crate::docs::protocol::security#taking-a-container-out)). Whether the answer arrived
/// is not known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
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
    /// A request was refused by a rule of this server; [`Refusal`] says by which one and with
    /// which status it was answered.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A request was malformed; it was answered with 400.
    #[error("request refused with 400")]
    BadRequest(#[source] ProtocolError),
    /// Whoever connected does not speak AJP: a browser or a TLS client, for example, that was
    /// pointed at the AJP port. It was closed without an answer.
    #[error("this is {0}, not AJP: a web server's AJP connections belong on this port")]
    OtherProtocol(OtherProtocol),
    /// The handshake before the first AJP packet failed, with TLS for example.
    #[error("the handshake failed")]
    Handshake(#[source] io::Error),
    /// A callback that was given to [`Serve`](super::Serve) panicked; the name is that of the
    /// method or function that took it. The connection it was asked about was closed.
    #[error("the callback given to `{0}` panicked")]
    CallbackPanicked(&'static str),
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

impl From<ProtocolError> for ServerError {
    fn from(error: ProtocolError) -> Self {
        Self::Protocol(error)
    }
}

impl ServerError {
    /// What a web server that waits for a response is told.
    pub(crate) fn answer(&self) -> Option<OwnAnswer> {
        match self {
            Self::Protocol(_) => Some(OwnAnswer::BROKEN_BODY),
            Self::Timeout(Step::Body) => Some(OwnAnswer::BODY_TIMEOUT),
            Self::Refused(refusal) => refusal.answer(),
            Self::Application(_) | Self::Panicked => Some(OwnAnswer::FAILED),
            Self::ResponseHead(_) => Some(OwnAnswer::HEAD),
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
pub(crate) struct Chain<'a>(pub(crate) &'a ServerError);

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
    /// The handshake before the first packet, with TLS for example.
    Handshake,
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
            Self::Handshake => "the handshake",
            Self::Packet => "receiving a request",
            Self::Body => "waiting for a body packet",
            Self::Write => "writing",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_answered_as_it_says() {
        let refusal = || Refusal::Secret;
        let answer = ServerError::Refused(refusal()).answer().unwrap();
        let own = refusal().answer().unwrap();
        assert_eq!((answer.status, answer.reason), (own.status, own.reason));
        assert_eq!(answer.status, 403);
        assert!(ServerError::Timeout(Step::Handshake).answer().is_none());
    }
}
