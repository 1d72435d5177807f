//! The members that a built-in method chooses among.
//!
//! A member keeps whether it could have been chosen when one was last chosen from its set. Who
//! could not has joined since, and begins with the score of the others in place of an old one of
//! its own.

use crate::balancer::slot::Slot;
use std::time::Instant;

/// Members that can serve a request, in the order in which they were added; spares after the
/// members that they stand in for.
pub(in crate::balancer) struct Lineup<'a> {
    slots: &'a mut [Slot],
    order: &'a [usize],
    now: Instant,
}

impl<'a> Lineup<'a> {
    pub(in crate::balancer) fn new(
        slots: &'a mut [Slot],
        order: &'a [usize],
        now: Instant,
    ) -> Self {
        Self { slots, order, now }
    }

    pub(in crate::balancer) fn get(&self, index: usize) -> Option<Entrant<'_>> {
        let slot = self.slots.get(*self.order.get(index)?)?;
        Some(Entrant {
            slot,
            now: self.now,
        })
    }

    pub(in crate::balancer) fn iter(&self) -> impl Iterator<Item = Entrant<'_>> {
        let slots = self.order.iter().filter_map(|&at| self.slots.get(at));
        slots.map(|slot| Entrant {
            slot,
            now: self.now,
        })
    }

    /// Runs `f` on each member; whether it has joined since the last choice is told too.
    pub(super) fn each(&mut self, mut f: impl FnMut(&mut Slot, Instant, bool)) {
        for &at in self.order {
            if let Some(slot) = self.slots.get_mut(at) {
                let joined = !slot.took_part;
                f(slot, self.now, joined);
            }
        }
    }

    /// From now on these are no newcomers.
    pub(in crate::balancer) fn take_part(&mut self) {
        self.each(|slot, _, _| slot.took_part = true);
    }

    /// Puts those that have joined in the middle of the scores of the others, and the others
    /// not further away from it than `most`.
    pub(super) fn gather(&mut self, most: i64) {
        let (mut sum, mut count) = (0i128, 0i128);
        self.each(|slot, _, joined| {
            if !joined {
                sum += i128::from(slot.score);
                count += 1;
            }
        });
        let middle = sum.checked_div(count).unwrap_or(0);
        let middle = i64::try_from(middle).unwrap_or(0);
        let (least, highest) = (middle.saturating_sub(most), middle.saturating_add(most));
        self.each(|slot, _, joined| {
            slot.score = if joined {
                middle
            } else {
                slot.score.clamp(least, highest)
            };
        });
    }

    pub(super) fn add_score(&mut self, index: usize, more: i64) {
        let at = self.order.get(index).copied();
        if let Some(slot) = at.and_then(|at| self.slots.get_mut(at)) {
            slot.score = slot.score.saturating_add(more);
        }
    }

    /// The first member that no other is better than.
    pub(super) fn best(&self, better: impl Fn(&Entrant<'_>, &Entrant<'_>) -> bool) -> usize {
        let mut best: Option<(usize, Entrant<'_>)> = None;
        for (index, one) in self.iter().enumerate() {
            if best.is_none_or(|(_, best)| better(&one, &best)) {
                best = Some((index, one));
            }
        }
        best.map_or(0, |(index, _)| index)
    }

    /// An index drawn by weight, other than `but`, and its weight. `total` is the sum of the
    /// weights of all others.
    fn draw(
        &self,
        random: &mut fastrand::Rng,
        total: u64,
        but: Option<usize>,
    ) -> Option<(usize, u64)> {
        if total == 0 {
            return None;
        }
        let mut at = random.u64(..total);
        let all = self.iter().map(|one| u64::from(one.weight()));
        for (index, weight) in all.enumerate().filter(|(index, _)| Some(*index) != but) {
            match at.checked_sub(weight) {
                None => return Some((index, weight)),
                Some(rest) => at = rest,
            }
        }
        None
    }

    /// Of two members that are drawn by weight the first, unless the second is better.
    pub(super) fn better_of_two(
        &self,
        random: &mut fastrand::Rng,
        better: impl Fn(&Entrant<'_>, &Entrant<'_>) -> bool,
    ) -> usize {
        let total = self.iter().map(|one| u64::from(one.weight())).sum::<u64>();
        let Some((first, weight)) = self.draw(random, total, None) else {
            return 0;
        };
        let second = self.draw(random, total - weight, Some(first));
        let second = second.map(|(index, _)| index);
        let pair = self.get(first).zip(second.and_then(|at| self.get(at)));
        match (pair, second) {
            (Some((one, other)), Some(second)) if better(&other, &one) => second,
            _ => first,
        }
    }
}

/// One member of a [`Lineup`].
#[derive(Clone, Copy)]
pub(in crate::balancer) struct Entrant<'a> {
    pub(in crate::balancer) slot: &'a Slot,
    now: Instant,
}

impl Entrant<'_> {
    /// In hundredths, less during a slow start.
    pub(in crate::balancer) fn weight(&self) -> u32 {
        self.slot.weight(self.now)
    }

    /// The part of its weight that its slow start has reached, in thousandths.
    pub(super) fn ramp(&self) -> u32 {
        self.slot.ramp(self.now)
    }

    /// Requests it is serving.
    pub(in crate::balancer) fn busy(&self) -> u32 {
        self.slot.busy
    }

    pub(super) fn score(&self) -> i64 {
        self.slot.score
    }

    /// The moving average of its time to the head of the response, in seconds. It fades while
    /// the member serves nothing. `None` when nothing is known since it was last out.
    pub(in crate::balancer) fn latency(&self) -> Option<f64> {
        self.slot.latency.average(self.now, self.slot.busy == 0)
    }
}
