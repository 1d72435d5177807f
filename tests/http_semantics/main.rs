//! What HTTP means, kept across AJP (protocol chapters "codes" and "framing").
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

mod broken_off;
mod bytes_through;
mod heads;
mod packing;
mod passed_on;
mod streaming;
