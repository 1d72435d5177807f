//! What client and server share below the protocol: one buffered stream of packets and
//! one deadline, and which runtime drives them. Crate-private.
//!
//! What may not live here: anything that knows requests from responses.

mod buffered;
mod deadline;
mod read_buffer;
mod scratch;
mod segment;
mod write_queue;

#[cfg(feature = "client")]
pub(crate) use buffered::PeerState;
pub(crate) use buffered::{Buffered, ReadError};
pub(crate) use deadline::Deadline;
#[cfg(feature = "client")]
use tokio::runtime;

/// The runtime of whoever runs this.
#[cfg(feature = "client")]
pub(crate) fn current_runtime() -> Option<runtime::Id> {
    let handle = runtime::Handle::try_current();
    handle.ok().map(|handle| handle.id())
}
