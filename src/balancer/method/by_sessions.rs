//! `mod_jk`'s `Next` (protocol chapter
//! [balancing](crate::docs::protocol::balancing#mod_jk-methods)).
//!
//! The score is what a member has paid for its sessions.

use super::lineup::Lineup;

/// What a new session costs a member of weight 0.01. Divisible by all weights up to 20 and
/// their hundredths, so that equal shares are equal numbers.
const COST: i64 = 23_279_256_000;

/// Scores are lowered together beyond this.
const HIGH: i64 = i64::MAX / 4;

/// Sessions that a light member may have to catch up on when another one joins, and a heavier
/// one in proportion.
const MOST_BEHIND: i64 = 32;

/// The member that has paid least. Only requests that may begin a session pay.
pub(super) fn by_sessions(lineup: &mut Lineup<'_>, may_begin_session: bool) -> usize {
    let all = lineup.iter().enumerate();
    let least = all.min_by_key(|(_, one)| one.score());
    let Some((chosen, score, weight)) =
        least.map(|(index, one)| (index, one.score(), one.weight()))
    else {
        return 0;
    };
    if score > HIGH {
        lineup.each(|slot, _, _| slot.score = slot.score.saturating_sub(score));
    }
    if may_begin_session {
        let cost = COST.checked_div(weight.into()).unwrap_or(COST);
        lineup.add_score(chosen, cost);
    }
    chosen
}

/// Members have joined. They begin in the middle of the others; of these nobody has more than
/// a few sessions to catch up on.
pub(super) fn rebase(lineup: &mut Lineup<'_>) {
    let mut lightest = u32::MAX;
    lineup.each(|slot, now, _| lightest = lightest.min(slot.weight(now)));
    let cost = COST.checked_div(lightest.into()).unwrap_or(COST);
    lineup.gather(cost.saturating_mul(MOST_BEHIND));
}
