//! What `ajp gateway` says in HTTP, byte for byte, before containers that follow a script.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::duplicate_mod,
    missing_docs,
    reason = "in a test a panic is the report"
)]

#[path = "../raw/mod.rs"]
#[allow(unused_imports, reason = "other binaries use the rest")]
mod raw;
#[path = "../support/mod.rs"]
mod support;

mod behind_nginx;
mod claims;
mod expect;
mod hostile;
mod http2;
mod listeners;
mod maps;
mod records;
mod reload;
mod service;
mod slow;
mod stalled_logs;
mod stopping;
mod tls;
mod unread;
mod upgrade;
mod wire;
