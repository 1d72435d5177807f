//! httpd's `byrequests` and `bybusyness` (protocol chapter
//! [balancing](crate::docs::protocol::balancing#httpd-methods)).
//!
//! The score is httpd's `lbstatus`. Each choice pays every member its weight and takes the
//! sum from the one chosen, so that the scores of those that take part have a constant sum:
//! that of their weights.

use super::lineup::{Entrant, Lineup};
use crate::balancer::slot::Slot;
use std::time::Instant;

/// Smooth weighted round robin.
pub(super) fn by_requests(lineup: &mut Lineup<'_>) -> usize {
    let (mut total, mut index, mut best) = (0i64, 0, None);
    // Paid and compared in one walk: with many members this is what a choice costs.
    lineup.each(|slot, now, _| {
        let weight = pay_one(slot, now);
        total += weight;
        if best.is_none_or(|(_, score)| slot.score > score) {
            best = Some((index, slot.score));
        }
        index += 1;
    });
    let chosen = best.map_or(0, |(index, _)| index);
    lineup.add_score(chosen, -total);
    chosen
}

/// The member with the fewest requests in flight; among equals as [`by_requests`].
pub(super) fn by_busyness(lineup: &mut Lineup<'_>) -> usize {
    let total = pay(lineup);
    // During a slow start a member counts as busier than it is; otherwise this is the plain
    // number.
    let load = |one: &Entrant<'_>, other: &Entrant<'_>| {
        let busy = u64::from(one.busy()) + 1;
        busy * u64::from(other.ramp())
    };
    let chosen = lineup.best(|one, best| {
        let (own, others) = (load(one, best), load(best, one));
        own < others || (own == others && one.score() > best.score())
    });
    lineup.add_score(chosen, -total);
    chosen
}

/// A session has sent a request to the member at `index`, which counts as if that had been
/// chosen.
pub(super) fn charge(lineup: &mut Lineup<'_>, index: usize) {
    let total = pay(lineup);
    lineup.add_score(index, -total);
}

/// Pays every member its weight. The sum that was paid.
fn pay(lineup: &mut Lineup<'_>) -> i64 {
    let mut total = 0i64;
    lineup.each(|slot, now, _| total += pay_one(slot, now));
    total
}

/// Pays a member its weight.
fn pay_one(slot: &mut Slot, now: Instant) -> i64 {
    let weight = i64::from(slot.weight(now));
    slot.score = slot.score.saturating_add(weight);
    weight
}

/// Rounds, in each of which every member has its turns, that a member may have to catch up on
/// when another one joins.
const MOST_BEHIND: i64 = 8;

/// Members have joined. They begin with their weight, as in httpd all do at the start. The
/// others keep what is due to them from the last rounds: nobody has to catch up on what
/// happened long ago.
pub(super) fn rebase(lineup: &mut Lineup<'_>) {
    let mut round = 0i64;
    lineup.each(|slot, now, _| round += i64::from(slot.weight(now)));
    let most = round * MOST_BEHIND;
    lineup.each(|slot, now, joined| {
        slot.score = if joined {
            slot.weight(now).into()
        } else {
            slot.score.clamp(-most, most)
        };
    });
}
