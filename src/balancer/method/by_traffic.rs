//! httpd's `bytraffic` (protocol chapter
//! [balancing](crate::docs::protocol::balancing#httpd-methods)), with three differences without which it floods
//! members one after the other: a request in flight counts as an average one, nobody
//! catches up on what happened before a member joined, and bytes count by the weight that the member had when they were moved.
//!
//! The score is what a member has moved for its weight.

use super::lineup::{Entrant, Lineup};

/// Parts of a byte, for whole numbers that are exact enough.
const PARTS: i128 = 1 << 16;

/// Scores are lowered together beyond this.
const HIGH: i64 = i64::MAX / 4;

/// Average requests that a light member may have to catch up on when another one joins, and a
/// heavier one in proportion.
const MOST_BEHIND: u64 = 64;

/// The member that has moved least for its weight.
pub(super) fn by_traffic(lineup: &mut Lineup<'_>) -> usize {
    account(lineup);
    let average = average(lineup);
    let all = lineup.iter().enumerate();
    // Of equals the idlest, and of those the first.
    let least = all.min_by_key(|(_, one)| (level(one, average), one.busy()));
    let Some((chosen, score)) = least.map(|(index, one)| (index, one.score())) else {
        return 0;
    };
    if score > HIGH {
        lineup.each(|slot, _, _| slot.score = slot.score.saturating_sub(score));
    }
    chosen
}

/// Members have joined. They begin in the middle of the others, and what they moved before
/// counts no more; of the others nobody has more than a few requests to catch up on.
pub(super) fn rebase(lineup: &mut Lineup<'_>) {
    account(lineup);
    let mut lightest = u32::MAX;
    lineup.each(|slot, now, _| lightest = lightest.min(slot.weight(now)));
    let lag = share(average(lineup).saturating_mul(MOST_BEHIND), lightest);
    lineup.gather(lag);
}

/// Brings the scores up to what was moved until now.
fn account(lineup: &mut Lineup<'_>) {
    lineup.each(|slot, now, _| {
        let moved = total(slot.traffic.sent(), slot.traffic.received());
        let new = moved.saturating_sub(slot.scored_bytes);
        slot.scored_bytes = moved;
        slot.score = slot.score.saturating_add(share(new, slot.weight(now)));
    });
}

fn total(sent: u64, received: u64) -> u64 {
    sent.saturating_add(received)
}

fn level(one: &Entrant<'_>, average: u64) -> i64 {
    one.score()
        .saturating_add(running(one.busy(), average, one.weight()))
}

/// What requests in flight are expected to move.
fn running(busy: u32, average: u64, weight: u32) -> i64 {
    share(average.saturating_mul(busy.into()), weight)
}

/// Bytes by weight.
fn share(bytes: u64, weight: u32) -> i64 {
    let parts = i128::from(bytes) * PARTS;
    let share = parts.checked_div(weight.into()).unwrap_or(parts);
    i64::try_from(share).unwrap_or(i64::MAX)
}

/// The bytes of a request, from all that have ended.
fn average(lineup: &Lineup<'_>) -> u64 {
    let (mut bytes, mut requests) = (0u64, 0u64);
    for one in lineup.iter() {
        let traffic = &one.slot.traffic;
        bytes = bytes.saturating_add(total(traffic.sent(), traffic.received()));
        requests += one.slot.ended;
    }
    bytes.checked_div(requests).unwrap_or(0)
}
