//! What the library and the tool both build on, and nobody else: each of the two crates compiles this
//! folder for itself, so that nothing in it has to be part of the library's interface.
//!
//! What may not live here: anything that knows the protocol, or another module of either crate.

#[cfg(any(feature = "client", feature = "gateway"))]
mod striped;
#[cfg(any(feature = "server", feature = "gateway"))]
mod when_woken;

#[cfg(any(feature = "client", feature = "gateway"))]
pub(crate) use striped::{CacheAligned, Striped};
#[cfg(any(feature = "server", feature = "gateway"))]
pub(crate) use when_woken::WhenWoken;
