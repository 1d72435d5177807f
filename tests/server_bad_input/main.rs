//! A server under attack over raw TCP (protocol chapters "exchange" and "security").
//!
//! Every case asks for the exact answer, the typed error that reaches `on_error`, and
//! that honest connections, one opened before and one after, notice nothing.
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

mod bodies;
mod framing;
mod garbage;
mod refusals;
mod requests;
mod smuggling;
mod timeouts;
