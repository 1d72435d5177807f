//! What client and server share below the protocol: one buffered stream of packets and
//! one deadline, and which runtime drives them. Crate-private.
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
#[cfg(feature = "client")]
use tokio::runtime;

/// The runtime of whoever runs this.
#[cfg(feature = "client")]
pub(crate) fn here() -> Option<runtime::Id> {
    let handle = runtime::Handle::try_current();
    handle.ok().map(|handle| handle.id())
}
