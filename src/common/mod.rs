//! What the library and the tool both build on, and nobody else: each of the two crates compiles this
//! folder for itself, so that nothing in it has to be part of the library's interface.
//!
//! What may not live here: anything that knows the protocol, or another module of either crate.

#[cfg(feature = "client")]
mod striped;
#[cfg(feature = "server")]
mod when_woken;

#[cfg(feature = "client")]
pub(crate) use striped::{CacheAligned, Striped};
#[cfg(feature = "server")]
pub(crate) use when_woken::WhenWoken;
