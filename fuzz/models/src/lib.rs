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

/// What each thread has apart.
mod common {
    use crate::sync::{Arc, Mutex, PoisonError, RwLock};
    use std::ops::Deref;

    #[derive(Debug)]
    pub(crate) struct CacheAligned<T>(T);

    impl<T> CacheAligned<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(value)
        }
    }

    impl<T> Deref for CacheAligned<T> {
        type Target = T;

        fn deref(&self) -> &T {
            &self.0
        }
    }

    /// As `common/striped.rs` has it, in two parts: one for every other thread.
    #[derive(Debug)]
    pub(crate) struct Striped<T> {
        parts: [Arc<CacheAligned<T>>; 2],
        replacing: Mutex<()>,
    }

    impl<T> Striped<T> {
        pub(crate) fn new(mut part: impl FnMut() -> T) -> Self {
            Self {
                parts: std::array::from_fn(|_| Arc::new(CacheAligned(part()))),
                replacing: Mutex::new(()),
            }
        }

        pub(crate) fn own(&self) -> &Arc<CacheAligned<T>> {
            let [even, odd] = &self.parts;
            if usize::from(shuttle::current::me()) % 2 == 0 {
                even
            } else {
                odd
            }
        }
    }

    impl<T> Striped<RwLock<T>> {
        pub(crate) fn replace<V: FnMut() -> T>(&self, values: impl FnOnce() -> V) {
            let alone = self.replacing.lock();
            let alone = alone.unwrap_or_else(PoisonError::into_inner);
            let mut value = values();
            for part in &self.parts {
                let value = value();
                *part.write().unwrap_or_else(PoisonError::into_inner) = value;
            }
            drop(alone);
        }
    }
}
