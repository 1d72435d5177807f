//! httpd's `byrequests` and `bybusyness` (protocol chapter
//! [balancing](crate::docs::protocol::balancing#httpd-methods)).

use super::{Candidate, Candidates, Method};
use crate::balancer::random::Random;

/// Smooth weighted round robin, in the order of httpd's `byrequests`: requests by weight,
/// those of running sessions included. The default.
///
/// The score is httpd's `lbstatus`. Each choice pays every candidate its weight and takes
/// the sum from the one chosen, so that the scores of the candidates have a constant sum.
#[derive(Debug, Clone, Copy, Default)]
pub struct ByRequests;

/// The member with the fewest requests in flight, as httpd's `bybusyness`; among equals as
/// [`ByRequests`]. Weights only matter among equals.
#[derive(Debug, Clone, Copy, Default)]
pub struct ByBusyness;

/// Pays every candidate its weight. The sum that was paid.
fn pay(candidates: &mut Candidates<'_>) -> i64 {
    let mut total = 0i64;
    for index in 0..candidates.len() {
        let weight = candidates.get(index).map_or(0, |one| one.weight().into());
        candidates.add_score(index, weight);
        total = total.saturating_add(weight);
    }
    total
}

/// The first candidate that no other is better than.
fn best(
    candidates: &Candidates<'_>,
    better: impl Fn(&Candidate<'_>, &Candidate<'_>) -> bool,
) -> usize {
    let mut best: Option<(usize, Candidate<'_>)> = None;
    for (index, candidate) in candidates.iter().enumerate() {
        if best.is_none_or(|(_, best)| better(&candidate, &best)) {
            best = Some((index, candidate));
        }
    }
    best.map_or(0, |(index, _)| index)
}

/// httpd's way to charge for what a session has decided.
fn charge(candidates: &mut Candidates<'_>, index: usize) {
    let total = pay(candidates);
    candidates.add_score(index, total.saturating_neg());
}

impl Method for ByRequests {
    fn name(&self) -> &'static str {
        "byrequests"
    }

    fn choose(&mut self, candidates: &mut Candidates<'_>, _: &mut dyn Random) -> usize {
        let total = pay(candidates);
        let chosen = best(candidates, |one, best| one.score() > best.score());
        candidates.add_score(chosen, total.saturating_neg());
        chosen
    }

    fn bound(&mut self, candidates: &mut Candidates<'_>, index: usize) {
        charge(candidates, index);
    }

    fn first_score(&self, weight: u32) -> i64 {
        weight.into()
    }
}

impl Method for ByBusyness {
    fn name(&self) -> &'static str {
        "bybusyness"
    }

    fn choose(&mut self, candidates: &mut Candidates<'_>, _: &mut dyn Random) -> usize {
        let total = pay(candidates);
        // During a slow start a member counts as busier than it is; otherwise this is the
        // plain number.
        let load = |one: &Candidate<'_>, other: &Candidate<'_>| {
            let busy = u64::from(one.busy()).saturating_add(1);
            busy.saturating_mul(other.ramp().into())
        };
        let chosen = best(candidates, |one, best| {
            let (own, others) = (load(one, best), load(best, one));
            own < others || (own == others && one.score() > best.score())
        });
        candidates.add_score(chosen, total.saturating_neg());
        chosen
    }

    fn bound(&mut self, candidates: &mut Candidates<'_>, index: usize) {
        charge(candidates, index);
    }

    fn first_score(&self, weight: u32) -> i64 {
        weight.into()
    }
}
