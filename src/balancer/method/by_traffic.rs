//! httpd's `bytraffic` (protocol section 8.1).

use super::{Candidate, Candidates, Method};
use crate::balancer::random::Random;

/// The member that has moved the fewest body bytes for its weight, as httpd's `bytraffic`.
///
/// The score is what a member was credited with when it joined: it begins level with the
/// busiest, where httpd sends everything to it until it has caught up.
#[derive(Debug, Clone, Copy, Default)]
pub struct ByTraffic;

/// httpd divides the two numbers apart.
fn traffic(one: &Candidate<'_>) -> i64 {
    let weight = u64::from(one.weight());
    let share = |bytes: u64| bytes.checked_div(weight).unwrap_or(0);
    let sum = share(one.sent()).saturating_add(share(one.received()));
    i64::try_from(sum).unwrap_or(i64::MAX)
}

fn level(one: &Candidate<'_>) -> i64 {
    traffic(one).saturating_add(one.score())
}

impl Method for ByTraffic {
    fn name(&self) -> &'static str {
        "bytraffic"
    }

    fn choose(&mut self, candidates: &mut Candidates<'_>, _: &mut dyn Random) -> usize {
        // The first of equals.
        let all = candidates.iter().enumerate();
        all.min_by_key(|(_, one)| level(one))
            .map_or(0, |(index, _)| index)
    }

    fn joined(&mut self, candidates: &mut Candidates<'_>, index: usize) {
        let highest = candidates.iter().map(|one| level(&one)).max().unwrap_or(0);
        let own = candidates.get(index).map_or(0, |one| traffic(&one));
        candidates.set_score(index, highest.saturating_sub(own));
    }
}
