//! Who can serve a request, and in which order: sessions, sets, spares, standbys (protocol
//! chapter [balancing](crate::docs::protocol::balancing#httpd-methods)).

use super::Flags;
use super::circuit::Phase;
use super::config::ClusterConfig;
use super::member::MemberId;
use super::method::{Candidate, Lineup, Method};
use super::request::{Affinity, RequestInfo};
use super::roster::Roster;
use super::slot::Slot;
use super::sticky::Session;
use super::totals::Totals;
use super::unavailable::{Reason, Unavailable};
use std::time::{Duration, Instant};

/// Room for indices, kept so that choosing allocates nothing.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    order: Vec<usize>,
    spares: Vec<usize>,
    standbys: Vec<usize>,
}

/// Who decides where a method of the caller's own is to choose.
#[derive(Debug, Clone, Copy)]
pub(super) enum Advice {
    /// It has not been asked yet.
    Unasked,
    /// It wants this member.
    Member(MemberId),
    /// It was asked often enough: a built-in method decides.
    Fallback,
}

/// The member for a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Selected {
    pub(super) at: usize,
    pub(super) affinity: Affinity,
    /// Which of the session's routes has led there.
    pub(super) route: Option<usize>,
}

/// There is no member for a request, or not yet.
#[derive(Debug)]
pub(super) enum NotSelected {
    Unavailable(Unavailable),
    /// A method of the caller's own has to be asked about these.
    AskMethod(Vec<Candidate>),
}

impl From<Unavailable> for NotSelected {
    fn from(none: Unavailable) -> Self {
        Self::Unavailable(none)
    }
}

/// What the routes of a session lead to.
enum SessionMember {
    Found(Selected),
    /// Its member has no place free, and the session stays there.
    Full,
    /// Members that know it exist and cannot serve; the first of its routes that names one.
    Out(usize),
    /// No member that exists.
    Unknown,
}

/// The choice of a member for one request.
pub(super) struct Selection<'a> {
    pub(super) roster: &'a mut Roster,
    pub(super) config: &'a ClusterConfig,
    pub(super) method: &'a Method,
    pub(super) random: &'a mut fastrand::Rng,
    pub(super) scratch: &'a mut Scratch,
    pub(super) totals: &'a mut Totals,
    pub(super) request: &'a RequestInfo<'a>,
    pub(super) advice: Advice,
    pub(super) now: Instant,
}

impl Selection<'_> {
    /// The member for the request.
    pub(super) fn run(&mut self) -> Result<Selected, NotSelected> {
        if let Some(wanted) = self.wanted_member()? {
            return Ok(wanted);
        }
        let mut recovered = false;
        loop {
            let (affinity, route) = match self.session_member()? {
                SessionMember::Found(selected) => return Ok(selected),
                SessionMember::Full => return Err(self.refuse(Reason::Full).into()),
                SessionMember::Out(route) => (Affinity::Moved, Some(route)),
                SessionMember::Unknown if self.names_a_route() => (Affinity::Unknown, None),
                SessionMember::Unknown => (Affinity::Free, None),
            };
            let forced = self.request.session.is_some_and(|session| session.force);
            let may_move = !(affinity == Affinity::Moved && forced);
            if may_move {
                if let Some(at) = self.best_of_lowest_set()? {
                    self.count_session(affinity);
                    return Ok(Selected {
                        at,
                        affinity,
                        route,
                    });
                }
                if let Some(at) = self.first_redirect() {
                    self.count_session(affinity);
                    return Ok(Selected {
                        at,
                        affinity: Affinity::Redirected,
                        route,
                    });
                }
            }
            // A pause that is cut short may bring the session's own member back.
            if recovered || !self.force_recovery() {
                let reason = if may_move {
                    self.why_none()
                } else {
                    Reason::SessionLost
                };
                return Err(self.refuse(reason).into());
            }
            recovered = true;
        }
    }

    /// The member, or one of the domain, that the caller wants for this request.
    fn wanted_member(&mut self) -> Result<Option<Selected>, NotSelected> {
        let selected = |at| Selected {
            at,
            affinity: Affinity::Wanted,
            route: None,
        };
        let named = self.request.member.and_then(|name| self.roster.named(name));
        if let Some(at) = named.filter(|&at| self.can_serve_its_own(at)) {
            self.charge(at);
            return Ok(Some(selected(at)));
        }
        match self.request.domain {
            Some(domain) if !self.names_a_route() => {
                let at = self.best_of_domain(domain.as_bytes())?;
                Ok(at.map(selected))
            }
            _ => Ok(None),
        }
    }

    fn names_a_route(&self) -> bool {
        let session = self.request.session;
        session.is_some_and(|session| !session.routes().is_empty())
    }

    /// The member that the session lives on, or one that takes its place.
    fn session_member(&mut self) -> Result<SessionMember, NotSelected> {
        let Some(session) = self.request.session else {
            return Ok(SessionMember::Unknown);
        };
        let mut out = None;
        for (index, &route) in session.routes().iter().enumerate() {
            match self.member_of_route(session, index, route)? {
                SessionMember::Unknown => {}
                SessionMember::Out(route) => out = out.or(Some(route)),
                decided => return Ok(decided),
            }
        }
        Ok(out.map_or(SessionMember::Unknown, SessionMember::Out))
    }

    /// The member of a route: all members of the same route know its sessions. If none of
    /// them can serve, one that they redirect to, or else one of the domain.
    fn member_of_route(
        &mut self,
        session: &Session<'_>,
        index: usize,
        route: &[u8],
    ) -> Result<SessionMember, NotSelected> {
        let found = |at, affinity| {
            SessionMember::Found(Selected {
                at,
                affinity,
                route: Some(index),
            })
        };
        let able = |selection: &Self, route: &[u8]| {
            let mut members = selection.roster.with_route(route);
            members.find(|&at| selection.can_serve_its_own(at))
        };
        if let Some(at) = able(self, route) {
            self.charge(at);
            return Ok(found(at, Affinity::Kept));
        }
        let Some(own) = self.roster.with_route(route).next() else {
            // mod_jk: the part of a route before its first dot is a domain.
            let end = route.iter().position(|&b| b == b'.').unwrap_or(route.len());
            let domain = route.get(..end).unwrap_or(route);
            return Ok(match self.best_of_domain(domain)? {
                Some(at) => found(at, Affinity::Domain),
                None => SessionMember::Unknown,
            });
        };
        let mut members = self.roster.with_route(route);
        let full = members.any(|at| self.is_only_full(at));
        drop(members);
        // A member may redirect to another, that one to a third, and they may go in circles.
        let mut here = route.to_vec();
        for _ in 0..self.roster.slots.len() {
            let mut members = self.roster.with_route(&here);
            let redirect =
                members.find_map(|at| self.roster.slots.get(at)?.settings.redirect.clone());
            drop(members);
            match redirect {
                Some(next) if !session.force => here = next.into_bytes(),
                _ => break,
            }
            if let Some(at) = able(self, &here) {
                self.charge(at);
                return Ok(found(at, Affinity::Redirected));
            }
        }
        let domain = self.roster.slots.get(own).and_then(Slot::domain);
        if let (false, Some(domain)) = (session.force, domain.map(ToOwned::to_owned)) {
            if let Some(at) = self.best_of_domain(domain.as_bytes())? {
                return Ok(found(at, Affinity::Domain));
            }
        }
        Ok(if full && !session.move_when_full {
            SessionMember::Full
        } else {
            SessionMember::Out(index)
        })
    }

    /// Whether a member can serve a request of its own sessions.
    fn can_serve_its_own(&self, at: usize) -> bool {
        let slot = self.roster.slots.get(at);
        slot.is_some_and(|slot| self.would_serve_its_own(slot) && !slot.is_full())
    }

    /// Whether it could, but for want of a place.
    fn is_only_full(&self, at: usize) -> bool {
        let slot = self.roster.slots.get(at);
        slot.is_some_and(|slot| self.would_serve_its_own(slot) && slot.is_full())
    }

    fn would_serve_its_own(&self, slot: &Slot) -> bool {
        slot.settings.flags.takes_own() && slot.works(self.now) && !self.was_tried(slot)
    }

    fn was_tried(&self, slot: &Slot) -> bool {
        self.request.tried.contains(&slot.id)
    }

    /// Whether a member can serve a request without session.
    fn takes_new(&self, slot: &Slot) -> bool {
        slot.settings.flags.takes_new() && slot.is_usable(self.now)
    }

    /// The best member of a domain.
    fn best_of_domain(&mut self, domain: &[u8]) -> Result<Option<usize>, NotSelected> {
        let mut order = std::mem::take(&mut self.scratch.order);
        order.clear();
        let slots = self.roster.slots.iter().enumerate();
        let members = slots.filter(|(_, slot)| {
            slot.domain().is_some_and(|own| own.as_bytes() == domain)
                && self.takes_new(slot)
                && !self.was_tried(slot)
        });
        order.extend(members.map(|(at, _)| at));
        // Part of the set, for this request alone: nobody joins or leaves by it.
        let chosen = self.choose(&order, None);
        self.scratch.order = order;
        chosen
    }

    /// The best member of the lowest set that has one.
    fn best_of_lowest_set(&mut self) -> Result<Option<usize>, NotSelected> {
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
    fn first_redirect(&mut self) -> Option<usize> {
        let mut slots = self.roster.slots.iter().filter(|slot| !slot.leaving);
        let route = slots.find_map(|slot| slot.settings.redirect.as_deref())?;
        let at = self
            .roster
            .with_route(route.as_bytes())
            .find(|&at| self.can_serve_its_own(at))?;
        self.charge(at);
        Some(at)
    }

    /// The method must know of a request that was not for it to decide.
    fn charge(&mut self, at: usize) {
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
    /// for each member that cannot, standbys when there is nobody else. The round of the set.
    fn line_up(&mut self, set: u32) -> u64 {
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
        let mut missing = 0usize;
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
                missing += 1;
                let slot = self.roster.slots.get_mut(at);
                if let Some(slot) = slot.filter(|slot| able && slot.round == before) {
                    // It was tried for this request alone, and takes part in the next round.
                    slot.round = round;
                }
            }
        }
        order.extend(spares.iter().take(missing));
        if order.is_empty() {
            order.append(standbys);
        }
        *self.scratch = scratch;
        round
    }

    /// The best of these by the method. With a round, members that were not in the round
    /// before have joined.
    fn choose(
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

    /// Counts a session whose member does not exist: once, however many members the request
    /// is tried on.
    fn count_session(&mut self, affinity: Affinity) {
        if affinity == Affinity::Unknown && self.request.tried.is_empty() {
            let session = self.request.session;
            let route = session.and_then(|session| session.routes().first());
            self.totals
                .unknown_route(route.copied().unwrap_or_default());
        }
    }

    /// Ends the pauses of all members when every one that may serve has failed. Whether
    /// that changed anything.
    fn force_recovery(&mut self) -> bool {
        let now = self.now;
        let may_serve =
            |slot: &Slot| slot.settings.flags.takes_new() && !slot.leaving && !slot.is_unhealthy();
        let works = |slot: &Slot| may_serve(slot) && slot.circuit.phase(now) == Phase::Closed;
        if !self.config.forced_recovery || self.roster.slots.iter().any(works) {
            return false;
        }
        let mut changed = false;
        for slot in self.roster.slots.iter_mut().filter(|slot| may_serve(slot)) {
            changed |= slot.circuit.make_due(now);
        }
        if changed {
            self.totals.forced_recovery();
        }
        changed
    }

    fn why_none(&self) -> Reason {
        let all = || {
            let slots = self.roster.slots.iter();
            slots.filter(|slot| slot.settings.flags.takes_new() && !slot.leaving)
        };
        if all().next().is_none() {
            Reason::NoMember
        } else if all().any(|slot| slot.works(self.now) && slot.is_full()) {
            Reason::Full
        } else if !self.request.tried.is_empty() {
            Reason::AllTried
        } else {
            Reason::Down
        }
    }

    fn refuse(&mut self, reason: Reason) -> Unavailable {
        self.totals.refused(reason);
        let retry_after = match reason {
            Reason::NoMember | Reason::AllTried => None,
            Reason::Full => Some(self.config.retry_after),
            Reason::Down | Reason::SessionLost => {
                let slots = self.roster.slots.iter();
                let slots = slots.filter(|slot| slot.settings.flags.takes_new());
                let due = slots.filter_map(|slot| slot.circuit.due_in(self.now)).min();
                Some(due.unwrap_or_default().max(Duration::from_secs(1)))
            }
        };
        Unavailable {
            reason,
            retry_after,
        }
    }
}
