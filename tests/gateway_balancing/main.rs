//! `ajp gateway` in front of several containers: paths, sessions, failover, what it
//! answers by itself, and its manager. The containers are this crate's own.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    missing_docs,
    reason = "in a test a panic is the report"
)]
#![cfg(all(feature = "balancer", feature = "server"))]

mod all_together;
mod answers;
mod api;
mod balancing;
mod container;
mod drain;
mod failures;
mod health;
mod live;
mod manager;
mod mapping;
mod metrics;
mod page;
mod state;
#[path = "../support/mod.rs"]
mod support;
