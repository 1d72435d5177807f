//! What HTTP means, kept across AJP (protocol sections 3.7, 4.2 to 4.10 and 6.5).
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    missing_docs,
    reason = "tests"
)]
#![cfg(all(feature = "balancer", feature = "server"))]

#[path = "../raw/mod.rs"]
#[allow(unused_imports, reason = "other binaries use the rest")]
mod raw;

mod bytes_through;
mod heads;
mod packing;
mod passed_on;
mod streaming;
