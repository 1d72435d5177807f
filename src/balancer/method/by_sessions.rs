//! `mod_jk`'s `Next` (protocol chapter
//! [balancing](crate::docs::protocol::balancing#mod_jk-methods)).

use super::{Candidates, Method};
use crate::balancer::random::Random;

/// What a new session costs a member of weight 0.01. Divisible by all weights up to 20 and
/// their hundredths, so that equal shares are equal numbers.
const COST: i64 = 23_279_256_000;

/// Scores are lowered together beyond this.
const HIGH: i64 = i64::MAX / 4;

/// The member with the fewest new sessions for its weight, as `mod_jk`'s methods `Session`
/// and `Next`: a request that has a session already costs nothing. Right where sessions
/// are what fills a container.
///
/// A member that joins begins level with the busiest.
#[derive(Debug, Clone, Copy, Default)]
pub struct BySessions;

impl Method for BySessions {
    fn name(&self) -> &'static str {
        "bysessions"
    }

    fn choose(&mut self, candidates: &mut Candidates<'_>, _: &mut dyn Random) -> usize {
        let all = candidates.iter().enumerate();
        let least = all.min_by_key(|(_, one)| one.score());
        let Some((chosen, score, weight)) =
            least.map(|(index, one)| (index, one.score(), one.weight()))
        else {
            return 0;
        };
        if score > HIGH {
            for index in 0..candidates.len() {
                candidates.add_score(index, score.saturating_neg());
            }
        }
        if !candidates.has_session() {
            let cost = COST.checked_div(weight.into()).unwrap_or(COST);
            candidates.add_score(chosen, cost);
        }
        chosen
    }

    fn joined(&mut self, candidates: &mut Candidates<'_>, index: usize) {
        let highest = candidates.iter().map(|one| one.score()).max();
        candidates.set_score(index, highest.unwrap_or(0));
    }
}
