//! What client and server share below the protocol: one buffered stream of packets and
//! one deadline. Crate-private.
//!
//! What may not live here: anything that knows requests from responses.

mod buffered;
mod deadline;

pub(crate) use buffered::{Buffered, ReadError};
pub(crate) use deadline::Deadline;

use tokio::io::{AsyncRead, AsyncWrite};

/// A byte stream that a connection can run over.
pub(crate) trait Io: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Io for T {}
