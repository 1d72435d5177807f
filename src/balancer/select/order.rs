//! The best of the members that can serve: sets, spares, standbys, and then the method (protocol
//! chapter [balancing](crate::docs::protocol::balancing#httpd-methods)).

use super::super::Flags;
use super::super::method::{Candidate, Lineup, Method};
use super::{Advice, NotSelected, Scratch, Selection};

impl Selection<'_> {
    /// The best member of a domain.
    pub(super) fn best_of_domain(&mut self, domain: &[u8]) -> Result<Option<usize>, NotSelected> {
        let mut order = std::mem::take(&mut self.scratch.order);
        order.clear();
        let slots = self.roster.slots.iter().enumerate();
        let members = slots.filter(|(_, slot)| {
            slot.domain().is_some_and(|own| own.as_bytes() == domain)
                && self.takes_new(slot)
                && !self.was_tried(slot)
        });
        order.extend(members.map(|(at, _)| at));
        // A part of the set, for this request alone, is no round of the set (see
        // `method/lineup.rs`): nobody joins or leaves by it.
        let chosen = self.choose(&order, None);
        self.scratch.order = order;
        chosen
    }

    /// The best member of the lowest set that has one.
    pub(super) fn best_of_lowest_set(&mut self) -> Result<Option<usize>, NotSelected> {
        let mut index = 0;
        while let Some(set) = self.roster.set_at(index) {
            index += 1;
            let round = self.line_up(set);
            let order = std::mem::take(&mut self.scratch.order);
            let chosen = self.choose(&order, Some(round));
            self.scratch.order = order;
            if let Some(at) = chosen? {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    /// When nobody is left `mod_jk` asks where the first member with a redirect points to.
    pub(super) fn first_redirect(&mut self) -> Option<usize> {
        let mut slots = self.roster.slots.iter().filter(|slot| !slot.leaving);
        let route = slots.find_map(|slot| slot.settings.redirect.as_deref())?;
        let at = self
            .roster
            .with_route(route.as_bytes())
            .find(|&at| self.can_serve_redirected(at))?;
        self.charge(at);
        Some(at)
    }

    /// The method must know of a request that was not for it to decide.
    pub(super) fn charge(&mut self, at: usize) {
        let Some(set) = self.roster.slots.get(at).map(|slot| slot.settings.set) else {
            return;
        };
        let round = self.line_up(set);
        let order = std::mem::take(&mut self.scratch.order);
        let mut lineup = Lineup::new(&mut self.roster.slots, &order, self.now, round);
        if lineup.has_joined() {
            self.method.rebase(&mut lineup);
        }
        // One that takes no new requests, such as a draining member, does not compete for
        // them: what it serves is nothing that the others were spared.
        if let Some(index) = order.iter().position(|&one| one == at) {
            self.method.charge(&mut lineup, index);
        }
        lineup.close_round();
        self.scratch.order = order;
    }

    /// Puts those of one set that can serve into `scratch.order`, by httpd's rule: a spare
    /// for each member that cannot, standbys when there is nobody else. A member that has only
    /// no free slot is back in a moment: for that spares come in when all others are full too,
    /// and not to and fro with each request. The round of the set.
    pub(super) fn line_up(&mut self, set: u32) -> u64 {
        let round = self.roster.next_round(set);
        let before = round.wrapping_sub(1);
        let mut scratch = std::mem::take(self.scratch);
        let Scratch {
            order,
            spares,
            standbys,
        } = &mut scratch;
        order.clear();
        spares.clear();
        standbys.clear();
        let (mut missing, mut full) = (0, 0);
        for at in 0..self.roster.slots.len() {
            let Some(slot) = self.roster.slots.get(at) else {
                break;
            };
            if slot.settings.set != set || slot.leaving {
                continue;
            }
            let flags = slot.settings.flags;
            let able = self.takes_new(slot);
            let usable = able && !self.was_tried(slot);
            if flags.contains(Flags::HOT_SPARE) {
                if usable {
                    spares.push(at);
                }
            } else if flags.contains(Flags::HOT_STANDBY) {
                if usable {
                    standbys.push(at);
                }
            } else if usable {
                order.push(at);
            } else {
                if flags.takes_new() && slot.works(self.now) && !able {
                    full += 1;
                } else {
                    missing += 1;
                }
                let slot = self.roster.slots.get_mut(at);
                if let Some(slot) = slot.filter(|slot| able && slot.round == before) {
                    // It was tried for this request alone, and takes part in the next round.
                    slot.round = round;
                }
            }
        }
        order.extend(spares.iter().take(missing));
        if order.is_empty() {
            order.extend(spares.iter().take(full));
        }
        if order.is_empty() {
            order.append(standbys);
        }
        *self.scratch = scratch;
        round
    }

    /// The best of these by the method. With a round, members that were not in the round
    /// before have joined.
    pub(super) fn choose(
        &mut self,
        order: &[usize],
        round: Option<u64>,
    ) -> Result<Option<usize>, NotSelected> {
        let Some(last) = order.last() else {
            return Ok(None);
        };
        let mut lineup = Lineup::new(
            &mut self.roster.slots,
            order,
            self.now,
            round.unwrap_or_default(),
        );
        if round.is_some() {
            if lineup.has_joined() {
                self.method.rebase(&mut lineup);
            }
            lineup.close_round();
        }
        let chosen = self.method.choose(&mut lineup, self.request, self.random);
        let chosen = match (chosen, self.advice) {
            (Some(chosen), _) => Some(chosen),
            (None, Advice::Unasked) => None,
            (None, Advice::Member(wanted)) => lineup.iter().position(|one| one.slot.id == wanted),
            (None, Advice::Fallback) => {
                Method::LeastOutstanding.choose(&mut lineup, self.request, self.random)
            }
        };
        match chosen {
            Some(index) => Ok(Some(*order.get(index).unwrap_or(last))),
            None => Err(NotSelected::AskMethod(Candidate::all(&lineup))),
        }
    }
}
