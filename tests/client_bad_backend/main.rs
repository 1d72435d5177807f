//! A client of ours and containers that break the protocol, close, or fall silent
//! (protocol chapters "reuse", "exchange" and "security").
//!
//! Every case asks for the error's kind, progress and retry advice, that no connection is
//! kept that could hold something left over, and that the next request gets its own answer.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    missing_docs,
    reason = "tests"
)]
#![cfg(all(feature = "client", feature = "server", feature = "retry"))]

#[path = "../raw/mod.rs"]
mod raw;

mod answers;
mod early;
mod idle;
mod policy;
mod retries;
mod timeouts;
mod tokens;
mod transports;
mod unsent;
