//! The life of a server: who gets in, how long each step may take, how many requests and
//! connections there may be, what is counted, and the end. In memory and on paused time, so
//! that every limit is met to the millisecond.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    missing_docs,
    reason = "tests"
)]
#![cfg(all(feature = "client", feature = "server"))]

#[path = "../raw/mod.rs"]
mod raw;

mod application;
mod broken;
mod callbacks;
mod drain;
mod draining;
mod hall;
mod handshakes;
mod limits;
mod other_protocols;
mod refusals;
mod spans;
