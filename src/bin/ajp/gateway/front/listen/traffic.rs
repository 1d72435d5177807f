//! What happened at the listeners, counted.

use crate::gateway::front::limits::Connections;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What happened at all listeners.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) connections: Arc<Connections>,
    pub(crate) accepted: AtomicU64,
    pub(crate) crowded: AtomicU64,
    pub(crate) handshakes: AtomicU64,
    pub(crate) failed_handshakes: AtomicU64,
    /// Connections that began with no PROXY protocol that is taken.
    pub(crate) unproxied: AtomicU64,
    pub(crate) refused: Refusals,
}

/// What came over connections and was no request, counted.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    /// By the version of HTTP and the status that it was answered with.
    requests: Mutex<BTreeMap<(&'static str, u16), u64>>,
    /// Connections of HTTP/2 that ended with an error, by its name.
    connections: Mutex<BTreeMap<&'static str, u64>>,
}

impl Refusals {
    /// Counts one.
    pub(crate) fn count(&self, refused: &Refused) {
        increase(&self.requests, (refused.http, refused.status));
    }

    /// Counts a connection of HTTP/2 that has ended with this error.
    pub(super) fn count_connection(&self, error: &'static str) {
        increase(&self.connections, error);
    }

    /// Their numbers by version and status.
    pub(crate) fn requests(&self) -> Vec<((&'static str, u16), u64)> {
        all(&self.requests)
    }

    /// The numbers of HTTP/2 connections by the error that they ended with.
    pub(crate) fn connections(&self) -> Vec<(&'static str, u64)> {
        all(&self.connections)
    }
}

fn increase<K: Ord>(counts: &Mutex<BTreeMap<K, u64>>, key: K) {
    let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
    let count = counts.entry(key).or_default();
    *count = count.saturating_add(1);
}

fn all<K: Copy>(counts: &Mutex<BTreeMap<K, u64>>) -> Vec<(K, u64)> {
    let counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
    counts.iter().map(|(key, count)| (*key, *count)).collect()
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// What came over a connection and was no request, as it is noted.
#[derive(Debug)]
pub(crate) struct Refused {
    /// The line that it began with.
    pub(crate) line: String,
    /// What it was answered with, if it was answered.
    pub(crate) status: u16,
    pub(crate) why: String,
    /// The version of HTTP that it came with.
    pub(crate) http: &'static str,
}

impl Refused {
    /// A request of HTTP/2. Its head cannot be shown: it is compressed.
    pub(crate) fn of_http2(status: u16, why: String) -> Self {
        Self {
            line: String::new(),
            status,
            why,
            http: "2",
        }
    }
}
