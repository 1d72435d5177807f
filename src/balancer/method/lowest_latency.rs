//! The quicker of two members drawn by weight.

use super::two_choices::is_idler;
use super::{Candidate, Candidates, Method};
use crate::balancer::random::Random;

/// Costs that differ by less are the same: the noise between equal members must not
/// override their weights.
const TOLERANCE: f64 = 1.25;

/// Draws two members by weight and takes the one with the lower moving average of latency
/// times requests in flight (EWMA); within a fourth the one drawn first.
///
/// The average fades while a member serves nothing, so that a slow one is tried again
/// after a while. A member of which nothing is known is compared by requests in flight.
#[derive(Debug, Clone, Copy, Default)]
pub struct LowestLatency;

/// Whether the first is clearly the better one.
fn is_quicker(one: &Candidate<'_>, other: &Candidate<'_>) -> bool {
    let cost = |of: &Candidate<'_>| {
        let queue = f64::from(of.busy()) / f64::from(of.weight()) * 100.0 + 1.0;
        of.latency().map(|latency| latency * queue)
    };
    match (cost(one), cost(other)) {
        (Some(own), Some(others)) => own * TOLERANCE < others,
        _ => is_idler(one, other),
    }
}

impl Method for LowestLatency {
    fn name(&self) -> &'static str {
        "lowestlatency"
    }

    fn choose(&mut self, candidates: &mut Candidates<'_>, random: &mut dyn Random) -> usize {
        let (first, second) = candidates.draw_two(random);
        let pair = candidates
            .get(first)
            .zip(second.and_then(|at| candidates.get(at)));
        match (pair, second) {
            (Some((one, other)), Some(second)) if is_quicker(&other, &one) => second,
            _ => first,
        }
    }
}
