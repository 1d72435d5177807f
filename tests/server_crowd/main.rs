//! A server among many: ten thousand idle connections, a thousand that trickle, and garbage of
//! every kind, while honest clients are served.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "in a test a panic is the report"
)]
#![cfg(all(feature = "client", feature = "server"))]

#[path = "../raw/mod.rs"]
mod raw;

mod garbage;
mod honest;
mod idle;
mod slow;
