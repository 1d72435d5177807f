//! The better of two members drawn by weight.

use super::lineup::{Entrant, Lineup};

/// Draws two members by weight and takes the one with fewer requests in flight for its
/// weight; of equals the one drawn first, so that an idle farm is loaded by weight.
pub(super) fn least_outstanding(lineup: &Lineup<'_>, random: &mut fastrand::Rng) -> usize {
    lineup.better_of_two(random, is_idler)
}

/// Whether `one` has fewer requests for its weight than `other`.
pub(super) fn is_idler(one: &Entrant<'_>, other: &Entrant<'_>) -> bool {
    let load = |of: &Entrant<'_>, weight: u32| u64::from(of.busy()) * u64::from(weight);
    load(one, other.weight()) < load(other, one.weight())
}
