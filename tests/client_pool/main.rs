//! The client's pool against a container in memory, on paused time: who waits, what is kept
//! and for how long, what is asked with CPing, which limit runs out, also while
//! nobody polls, what is counted and told, and that nothing leaks wherever a future is dropped.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    missing_docs,
    reason = "tests"
)]
#![cfg(all(feature = "client", feature = "server"))]

#[path = "../raw/mod.rs"]
mod raw;

mod abandoned;
mod cancel;
mod cap;
mod deadlines;
mod expiry;
mod keep_alive;
mod maintain;
mod memory;
mod observing;
mod probes;
mod queue;
mod runtimes;
mod secrets;
mod slow_callers;
mod spans;
mod stress;
mod tokens;
