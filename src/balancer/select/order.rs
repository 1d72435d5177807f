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
        // A part of the set, for this request alone (see `method/lineup.rs`): nobody joins or
        // leaves by it.
        let chosen = self.choose(&order, false);
        self.scratch.order = order;
        chosen
    }

    /// The best member of the lowest set that has one.
    pub(super) fn best_of_lowest_set(&mut self) -> Result<Option<usize>, NotSelected> {
        let mut index = 0;
        while let Some(set) = self.roster.set_at(index) {
            index += 1;
            let joined = self.line_up(set);
            let order = std::mem::take(&mut self.scratch.order);
            let chosen = self.choose(&order, joined);
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
        let Some(set) = self.roster.slots.get(at).map(|slot| slot.terms.set) else {
            return;
        };
        let joined = self.line_up(set);
        let order = std::mem::take(&mut self.scratch.order);
        let mut lineup = Lineup::new(&mut self.roster.slots, &order, self.now);
        if joined {
            self.method.rebase(&mut lineup);
            lineup.take_part();
        }
        // One that takes no new requests, such as a draining member, does not compete for
        // them: what it serves is nothing that the others were spared.
        if let Some(index) = order.iter().position(|&one| one == at) {
            self.method.charge(&mut lineup, index);
        }
        self.scratch.order = order;
    }

    /// Puts those of one set that can serve into `scratch.order`, by httpd's rule: a spare
    /// for each member that cannot, standbys when there is nobody else. A member that has only
    /// no free slot is back in a moment: for that spares come in when all others are full too,
    /// and not to and fro with each request. Whether one of them could not have been chosen
    /// the last time.
    pub(super) fn line_up(&mut self, set: u32) -> bool {
        let mut scratch = std::mem::take(self.scratch);
        let Scratch {
            order,
            spares,
            standbys,
        } = &mut scratch;
        order.clear();
        spares.clear();
        standbys.clear();
        let (now, tried) = (self.now, self.request.tried);
        let (mut missing, mut full) = (0, 0);
        let mut joined = false;
        for (at, slot) in self.roster.slots.iter_mut().enumerate() {
            if slot.terms.set != set || slot.leaving {
                continue;
            }
            let flags = slot.terms.flags;
            let able = flags.takes_new() && slot.is_usable(now);
            let usable = able && (tried.is_empty() || !tried.contains(&slot.id));
            if flags.contains(Flags::HOT_SPARE) {
                if usable {
                    spares.push(at);
                }
            } else if flags.contains(Flags::HOT_STANDBY) {
                if usable {
                    standbys.push(at);
                }
            } else if usable {
                joined |= !slot.took_part;
                order.push(at);
                continue;
            } else if flags.takes_new() && slot.works(now) && !able {
                full += 1;
            } else {
                missing += 1;
            }
            // One that was tried, for this request alone, takes part the next time as before.
            slot.took_part &= able;
        }
        let serving = order.len();
        order.extend(spares.iter().take(missing));
        if order.is_empty() {
            order.extend(spares.iter().take(full));
        }
        let standing_in = order.len() - serving;
        // The others of them have no part in this choice.
        let idle = spares.iter().skip(standing_in);
        let idle = idle.chain(standbys.iter().filter(|_| !order.is_empty()));
        for &at in idle {
            if let Some(slot) = self.roster.slots.get_mut(at) {
                slot.took_part = false;
            }
        }
        if order.is_empty() {
            order.append(standbys);
        }
        let stand_ins = order.iter().skip(serving);
        let slots = stand_ins.filter_map(|&at| self.roster.slots.get(at));
        joined |= slots.into_iter().any(|slot| !slot.took_part);
        *self.scratch = scratch;
        joined
    }

    /// The best of these by the method; whether one of them has joined is told.
    pub(super) fn choose(
        &mut self,
        order: &[usize],
        joined: bool,
    ) -> Result<Option<usize>, NotSelected> {
        let Some(last) = order.last() else {
            return Ok(None);
        };
        let mut lineup = Lineup::new(&mut self.roster.slots, order, self.now);
        if joined {
            self.method.rebase(&mut lineup);
            lineup.take_part();
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
