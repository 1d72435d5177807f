//! Hostile peers over raw TCP: what `server_bad_input`, `client_bad_backend` and
//! `client_pool` share.
//!
//! - [`packets`]: packets made by hand or by the crate's writers, streams cut into packets;
//! - [`faults`]: answers with which a container breaks the protocol;
//! - [`site`]: a server of ours and a raw web server that talks to it;
//! - [`backend`]: a scripted container and a client of ours that talks to it.

#![allow(dead_code, reason = "each of the test binaries uses a part")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "in a test a panic is the report, and no length comes from a stranger"
)]

pub(crate) mod app;
pub(crate) mod backend;
pub(crate) mod faults;
pub(crate) mod packets;
#[path = "../support/random.rs"]
#[allow(unreachable_pub, reason = "other binaries have it as a public module")]
mod random;
pub(crate) mod site;

#[allow(unused_imports, reason = "each of the test binaries uses a part")]
pub(crate) use random::Random;
use std::future::Future;
use std::time::Duration;

/// Longer than anything here may take; whoever waits that long has found a bug.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// What `future` gives, or a panic that names the wait.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let value = tokio::time::timeout(PATIENCE, future).await;
    value.unwrap_or_else(|_| panic!("waited in vain: {what}"))
}
