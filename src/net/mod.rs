//! What client and server share below the protocol: one buffered stream of packets and
//! one deadline. Crate-private.
//!
//! What may not live here: anything that knows requests from responses.

mod buffered;
mod deadline;
mod scratch;
mod segment;

#[cfg(feature = "client")]
pub(crate) use buffered::Silence;
pub(crate) use buffered::{Buffered, ReadError};
pub(crate) use deadline::Deadline;
