//! The balancer: its choices beside models of httpd and mod_jk, sessions, recovery,
//! failover between containers in memory, health checks, management.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    missing_docs,
    reason = "tests"
)]
#![cfg(all(feature = "balancer", feature = "server"))]

mod discovery;
mod failover;
mod farm;
mod httpd_order;
mod lab;
mod management;
mod methods;
mod metrics;
mod name_server;
mod outliers;
mod overload;
#[path = "../raw/packets.rs"]
#[allow(dead_code, reason = "written for other binaries too")]
mod packets;
#[path = "../support/random.rs"]
#[allow(
    unreachable_pub,
    dead_code,
    reason = "other binaries have it as a public module"
)]
mod random;
mod recovery;
mod selection;
mod sessions;
