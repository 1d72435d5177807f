//! What a peer did wrong. The blame is always the peer's.

use crate::wire::{DecodeError, OtherProtocol};

/// A packet that is malformed or came at the wrong time. The connection must close.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// The packet is malformed.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The peer does not speak AJP but something that is known.
    #[error("the peer speaks {0}, not AJP")]
    OtherProtocol(OtherProtocol),
    /// A packet of a kind that is not allowed in this state.
    #[error("the peer sent {packet} {state}")]
    Unexpected {
        /// What came.
        packet: &'static str,
        /// When it came.
        state: &'static str,
    },
    /// The container asked for the next body packet before the last one was sent, or for more
    /// than it may wait for at a time ([`ClientExchange::with_body_requests`](super::ClientExchange::with_body_requests)).
    #[error(
        "the container sent Get Body Chunk while the answer to the last one was unsent; if it is known to ask ahead, allow it with body_requests"
    )]
    BodyRequestedTwice,
    /// A response status that cannot end an exchange (1xx).
    #[error("the container sent status {0}, which AJP cannot carry")]
    InformationalStatus(u16),
    /// More response data than Content-Length announced.
    #[error("the response body is longer than its Content-Length of {expected} bytes")]
    ResponseTooLong {
        /// The announced length in bytes.
        expected: u64,
    },
    /// Less response data than Content-Length announced.
    #[error("the response body ended after {received} of {expected} bytes")]
    ResponseTooShort {
        /// The announced length in bytes.
        expected: u64,
        /// Bytes that came.
        received: u64,
    },
    /// More request data than Content-Length announced.
    #[error("the request body is longer than its Content-Length of {expected} bytes")]
    RequestTooLong {
        /// The announced length in bytes.
        expected: u64,
    },
    /// End of body before Content-Length bytes came.
    #[error("the request body ended after {received} of {expected} bytes")]
    RequestTooShort {
        /// The announced length in bytes.
        expected: u64,
        /// Bytes that came.
        received: u64,
    },
}
