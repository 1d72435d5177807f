//! Hostile peers over raw TCP: what `server_bad_input` and `client_bad_backend` share.
//!
//! - [`packets`]: packets made by hand or by the crate's writers, streams cut into packets;
//! - [`site`]: a server of ours and a raw web server that talks to it;
//! - [`backend`]: a scripted container and a client of ours that talks to it.

#![allow(dead_code, reason = "each of the two test binaries uses its own half")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "in a test a panic is the report, and no length comes from a stranger"
)]

pub(crate) mod app;
pub(crate) mod backend;
pub(crate) mod packets;
pub(crate) mod site;

use std::future::Future;
use std::time::Duration;

/// Longer than anything here may take; whoever waits that long has found a bug.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// What `future` gives, or a panic that names the wait.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let value = tokio::time::timeout(PATIENCE, future).await;
    value.unwrap_or_else(|_| panic!("waited in vain: {what}"))
}

/// Random numbers that are the same in every run (xorshift64).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.max(1))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    pub(crate) fn bytes(&mut self, n: usize) -> Vec<u8> {
        (0..n).map(|_| (self.next() >> 32) as u8).collect()
    }
}
