//! Farms on paper, with the same numbers in every run: no IO but a file of members, no clock but
//! one that is set forward, no threads but to run things side by side.
//!
//! | file | what |
//! |---|---|
//! | `methods.rs` | all methods compared, with members that refuse, are slow or fail |
//! | `churn.rs` | members that come and go by 10 000 random sets under load |
//! | `hashing.rs` | which keys move when a member goes, and how full a member gets |
//! | `limits.rs` | adaptive limits of a farm under changing load |
//! | `returns.rs` | what members are given when they come back |
//!
//! `cargo test --test balancer_simulation -- --nocapture` prints the tables. Without optimisation
//! there are fewer requests, a million and a half in all; with `AJP_SIMULATION=full` as many as
//! with it, some eight million.
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
#![cfg(feature = "balancer")]

mod churn;
mod hashing;
mod limits;
mod methods;
mod model;
mod returns;

use std::sync::LazyLock;

/// Microseconds.
pub(crate) type Time = u64;
pub(crate) const SECOND: Time = 1_000_000;

/// So many times fewer requests are enough where nothing is optimised, unless all are wanted.
pub(crate) fn fewer() -> usize {
    static FULL: LazyLock<bool> =
        LazyLock::new(|| std::env::var_os("AJP_SIMULATION").is_some_and(|value| value == "full"));
    if cfg!(debug_assertions) && !*FULL {
        6
    } else {
        1
    }
}

pub(crate) struct Dice(pub(crate) fastrand::Rng);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    /// From 0 to 1, never 0.
    pub(crate) fn unit(&mut self) -> f64 {
        // `f64` may be 0, and never is 1.
        1.0 - self.0.f64()
    }

    pub(crate) fn exponential(&mut self, mean: f64) -> f64 {
        -self.unit().ln() * mean
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.unit() * n as f64) as usize % n
    }
}
