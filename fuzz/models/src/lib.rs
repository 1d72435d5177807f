//! Parts of the library under every order of events: what several threads do at the same time
//! to the permits, leases, idle connections and secrets of a pool, to a request body that is sent
//! again, and to the members of a cluster. `tests/schedules.rs` runs them.
//!
//! The modules are the library's own (see `build.rs`). What stands in for the rest, a
//! connection for example, is here.

#![forbid(unsafe_code)]
#![allow(
    dead_code,
    unused_imports,
    clippy::module_inception,
    clippy::must_use_candidate,
    clippy::missing_panics_doc,
    reason = "included modules have more than the models need"
)]

pub mod client;
pub mod cluster;
pub mod replay;
mod tokio_sync;

pub(crate) use ajp::Secret;

/// The locks and atomics that shuttle schedules.
mod sync {
    pub(crate) use shuttle::sync::{Arc, Mutex, MutexGuard, RwLock, RwLockReadGuard};
    pub(crate) use std::sync::PoisonError;
    pub(crate) mod atomic {
        pub(crate) use shuttle::sync::atomic::{AtomicUsize, Ordering};
    }
}

/// What the pool knows of sockets.
mod net {
    use tokio::runtime;

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(crate) enum PeerState {
        Quiet,
        SentData,
        Closed,
        Failed,
    }

    pub(crate) fn current_runtime() -> Option<runtime::Id> {
        None
    }
}
