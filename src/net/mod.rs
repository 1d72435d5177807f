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

pub(crate) use buffered::PeerState;
pub(crate) use buffered::{Buffered, ReadError};
pub(crate) use deadline::Deadline;
use tokio::runtime;

/// The runtime of whoever runs this.
pub(crate) fn current_runtime() -> Option<runtime::Id> {
    let handle = runtime::Handle::try_current();
    handle.ok().map(|handle| handle.id())
}
