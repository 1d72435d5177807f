//! The quicker of two members drawn by weight.

use super::least_outstanding::is_idler;
use super::lineup::{Entrant, Lineup};

/// Costs that differ by less are the same: the noise between equal members must not
/// override their weights.
const TOLERANCE: f64 = 1.25;

/// Draws two members by weight and takes the one with the lower moving average of latency
/// times requests in flight; within a fourth the one drawn first.
///
/// The average fades while a member serves nothing, so that a slow one is tried again after
/// a while. A member of which nothing is known is compared by requests in flight.
pub(super) fn lowest_latency(lineup: &Lineup<'_>, random: &mut fastrand::Rng) -> usize {
    lineup.better_of_two(random, is_quicker)
}

/// Whether the first is clearly the better one.
fn is_quicker(one: &Entrant<'_>, other: &Entrant<'_>) -> bool {
    let cost = |of: &Entrant<'_>| {
        let queue = f64::from(of.busy()) / f64::from(of.weight()) * 100.0 + 1.0;
        of.latency().map(|latency| latency * queue)
    };
    match (cost(one), cost(other)) {
        (Some(own), Some(others)) => own * TOLERANCE < others,
        _ => is_idler(one, other),
    }
}
