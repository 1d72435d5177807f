//! httpd's `bytraffic` (protocol chapter
//! [balancing](crate::docs::protocol::balancing#httpd-methods)).

use super::{Candidate, Candidates, Method};
use crate::balancer::random::Random;

/// The member that has moved the fewest body bytes for its weight, as httpd's `bytraffic`,
/// with two differences without which it floods members one after the other: a request in
/// flight counts as an average one, and a member that joins begins level with the busiest.
///
/// The score is what a member was credited with when it joined.
#[derive(Debug, Clone, Copy, Default)]
pub struct ByTraffic;

/// httpd divides the two numbers apart.
fn traffic(one: &Candidate<'_>, average: u64) -> i64 {
    let weight = u64::from(one.weight());
    let share = |bytes: u64| bytes.checked_div(weight).unwrap_or(0);
    let running = average.saturating_mul(one.busy().into());
    let sum = share(one.sent())
        .saturating_add(share(one.received()))
        .saturating_add(share(running));
    i64::try_from(sum).unwrap_or(i64::MAX)
}

fn level(one: &Candidate<'_>, average: u64) -> i64 {
    traffic(one, average).saturating_add(one.score())
}

/// The bytes of a request, from all that have ended.
fn average(candidates: &Candidates<'_>) -> u64 {
    let (mut bytes, mut requests) = (0u64, 0u64);
    for one in candidates.iter() {
        bytes = bytes.saturating_add(one.sent().saturating_add(one.received()));
        requests = requests.saturating_add(one.ended());
    }
    bytes.checked_div(requests).unwrap_or(0)
}

impl Method for ByTraffic {
    fn name(&self) -> &'static str {
        "bytraffic"
    }

    fn choose(&mut self, candidates: &mut Candidates<'_>, _: &mut dyn Random) -> usize {
        let average = average(candidates);
        let all = candidates.iter().enumerate();
        // Of equals the idlest, and of those the first.
        all.min_by_key(|(_, one)| (level(one, average), one.busy()))
            .map_or(0, |(index, _)| index)
    }

    fn joined(&mut self, candidates: &mut Candidates<'_>, index: usize) {
        let average = average(candidates);
        let levels = candidates.iter().map(|one| level(&one, average));
        let highest = levels.max().unwrap_or(0);
        let own = candidates.get(index);
        let own = own.map_or(0, |one| traffic(&one, average));
        candidates.set_score(index, highest.saturating_sub(own));
    }
}
