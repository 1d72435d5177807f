//! The balancer: its choices beside models of httpd and mod_jk, sessions, recovery,
//! failover between containers in memory, health checks, management.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    missing_docs,
    reason = "tests"
)]
#![cfg(all(feature = "balancer", feature = "server", feature = "tower"))]

mod farm;
mod httpd_order;
mod lab;
mod methods;
#[path = "../support/random.rs"]
#[allow(
    unreachable_pub,
    dead_code,
    reason = "other binaries have it as a public module"
)]
mod random;
mod recovery;
mod selection;
