//! The better of two members drawn by weight.

use super::{Candidate, Candidates, Method};
use crate::balancer::random::Random;

/// Draws two members by weight and takes the one with fewer requests in flight for its
/// weight; of equals the one drawn first, so that an idle farm is loaded by weight.
///
/// Unlike [`ByBusyness`](super::ByBusyness) it respects weights under load, and several
/// web servers that do not know of each other do not all take the same member.
#[derive(Debug, Clone, Copy, Default)]
pub struct LeastOutstanding;

/// Whether `one` has fewer requests for its weight than `other`.
pub(super) fn is_idler(one: &Candidate<'_>, other: &Candidate<'_>) -> bool {
    let load = |of: &Candidate<'_>, weight: u32| u64::from(of.busy()).saturating_mul(weight.into());
    load(one, other.weight()) < load(other, one.weight())
}

impl Method for LeastOutstanding {
    fn name(&self) -> &'static str {
        "leastoutstanding"
    }

    fn choose(&mut self, candidates: &mut Candidates<'_>, random: &mut dyn Random) -> usize {
        let (first, second) = candidates.draw_two(random);
        let pair = candidates
            .get(first)
            .zip(second.and_then(|at| candidates.get(at)));
        match (pair, second) {
            (Some((one, other)), Some(second)) if is_idler(&other, &one) => second,
            _ => first,
        }
    }
}
