//! How a member is chosen among those that could serve.

mod by_requests;
mod by_sessions;
mod by_traffic;
mod lowest_latency;
mod two_choices;

pub use by_requests::{ByBusyness, ByRequests};
pub use by_sessions::BySessions;
pub use by_traffic::ByTraffic;
pub use lowest_latency::LowestLatency;
pub use two_choices::LeastOutstanding;

use super::member::MemberId;
use super::random::Random;
use super::slot::Slot;
use std::fmt;
use std::time::Instant;

/// Chooses among members that can serve a request. Who can is not its affair: flags,
/// failures, sets, spares, standbys and sessions are settled before.
///
/// The methods of this crate: [`ByRequests`], [`ByTraffic`], [`ByBusyness`],
/// [`BySessions`], [`LeastOutstanding`], [`LowestLatency`].
///
/// It runs under the cluster's lock: it must be quick and must not block.
///
/// ```
/// use ajp::balancer::{Candidates, Method, Random};
///
/// /// Any member, whatever its weight.
/// #[derive(Debug)]
/// struct Dice;
///
/// impl Method for Dice {
///     fn name(&self) -> &str {
///         "dice"
///     }
///
///     fn choose(&mut self, candidates: &mut Candidates<'_>, random: &mut dyn Random) -> usize {
///         (random.next_u64() % candidates.len() as u64) as usize
///     }
/// }
/// ```
pub trait Method: Send + fmt::Debug {
    /// The name for operators, such as `byrequests`.
    fn name(&self) -> &str;

    /// The index of the member that serves, among at least one candidate. Beyond the last
    /// one means the last one.
    fn choose(&mut self, candidates: &mut Candidates<'_>, random: &mut dyn Random) -> usize;

    /// A session has bound a request to the member at `index`, among all members that can
    /// serve. Does nothing unless implemented.
    fn bound(&mut self, candidates: &mut Candidates<'_>, index: usize) {
        let _ = (candidates, index);
    }

    /// The member at `index` begins to serve, among all members that can serve: it was
    /// added, it recovered, or it was switched on. Does nothing unless implemented.
    fn joined(&mut self, candidates: &mut Candidates<'_>, index: usize) {
        let _ = (candidates, index);
    }

    /// What [`Candidates::score`] of a member of this weight begins with.
    fn first_score(&self, weight: u32) -> i64 {
        let _ = weight;
        0
    }
}

/// The method of this name: `byrequests`, `bytraffic`, `bybusyness`, `bysessions`,
/// `leastoutstanding` or `lowestlatency`.
#[must_use]
pub fn method(name: &str) -> Option<Box<dyn Method>> {
    Some(match name {
        "byrequests" => Box::new(ByRequests),
        "bytraffic" => Box::new(ByTraffic),
        "bybusyness" => Box::new(ByBusyness),
        "bysessions" => Box::new(BySessions),
        "leastoutstanding" => Box::new(LeastOutstanding),
        "lowestlatency" => Box::new(LowestLatency),
        _ => return None,
    })
}

/// The names that [`method`] knows.
pub const METHODS: [&str; 6] = [
    "byrequests",
    "bytraffic",
    "bybusyness",
    "bysessions",
    "leastoutstanding",
    "lowestlatency",
];

/// Members that can serve, in the order in which they were added; spares after the members
/// that they stand in for.
#[derive(Debug)]
pub struct Candidates<'a> {
    slots: &'a mut [Slot],
    order: &'a [usize],
    now: Instant,
    has_session: bool,
}

impl<'a> Candidates<'a> {
    pub(super) fn new(
        slots: &'a mut [Slot],
        order: &'a [usize],
        now: Instant,
        has_session: bool,
    ) -> Self {
        Self {
            slots,
            order,
            now,
            has_session,
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Whether the request belongs to a session already.
    #[must_use]
    pub fn has_session(&self) -> bool {
        self.has_session
    }

    /// The member at `index`.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<Candidate<'_>> {
        let slot = self.slots.get(*self.order.get(index)?)?;
        Some(Candidate {
            slot,
            now: self.now,
        })
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = Candidate<'_>> {
        let slots = self.order.iter().filter_map(|&at| self.slots.get(at));
        slots.map(|slot| Candidate {
            slot,
            now: self.now,
        })
    }

    /// A number of the method's own for the member at `index`, kept until the method
    /// changes.
    #[must_use]
    pub fn score(&self, index: usize) -> i64 {
        self.get(index).map_or(0, |candidate| candidate.score())
    }

    /// Sets that number.
    pub fn set_score(&mut self, index: usize, score: i64) {
        let at = self.order.get(index).copied();
        if let Some(slot) = at.and_then(|at| self.slots.get_mut(at)) {
            slot.score = score;
        }
    }

    /// Adds to that number.
    pub fn add_score(&mut self, index: usize, more: i64) {
        self.set_score(index, self.score(index).saturating_add(more));
    }

    /// An index drawn by weight, other than `but`.
    fn draw(&self, random: &mut dyn Random, but: Option<usize>) -> Option<usize> {
        let weights = || {
            let all = self.iter().map(|candidate| u64::from(candidate.weight()));
            all.enumerate().filter(|(index, _)| Some(*index) != but)
        };
        let total = weights().fold(0u64, |sum, (_, weight)| sum.saturating_add(weight));
        let mut at = super::random::below(random, total);
        for (index, weight) in weights() {
            match at.checked_sub(weight) {
                None => return Some(index),
                Some(rest) => at = rest,
            }
        }
        None
    }

    /// Two different indices drawn by weight; one if there is only one.
    fn draw_two(&self, random: &mut dyn Random) -> (usize, Option<usize>) {
        let first = self.draw(random, None).unwrap_or(0);
        (first, self.draw(random, Some(first)))
    }
}

/// What a method may know of a member.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    slot: &'a Slot,
    now: Instant,
}

impl Candidate<'_> {
    /// Which member it is.
    #[must_use]
    pub fn id(&self) -> MemberId {
        self.slot.id
    }

    /// Its weight in hundredths, less during a slow start.
    #[must_use]
    pub fn weight(&self) -> u32 {
        self.slot.weight(self.now)
    }

    /// The part of its weight that its slow start has reached, in thousandths.
    #[must_use]
    pub fn ramp(&self) -> u32 {
        self.slot.ramp(self.now)
    }

    /// Requests it is serving.
    #[must_use]
    pub fn busy(&self) -> u32 {
        self.slot.busy
    }

    /// Requests it was given since the counters were reset.
    #[must_use]
    pub fn elected(&self) -> u64 {
        self.slot.counters.elected
    }

    /// Requests it has served to their end, failed ones included.
    #[must_use]
    pub fn ended(&self) -> u64 {
        self.slot.ended
    }

    /// Request body bytes sent to it.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.slot.traffic.sent()
    }

    /// Response body bytes received from it.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.slot.traffic.received()
    }

    /// The moving average of its time to the head of the response, in seconds. It fades
    /// while the member serves nothing. `None` when nothing is known since it was last out.
    #[must_use]
    pub fn latency(&self) -> Option<f64> {
        self.slot.latency.average(self.now, self.slot.busy == 0)
    }

    /// The method's own number.
    #[must_use]
    pub fn score(&self) -> i64 {
        self.slot.score
    }
}
