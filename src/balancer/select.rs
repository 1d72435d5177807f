//! Who can serve a request, and in which order: sessions, sets, spares, standbys (protocol
//! chapter [balancing](crate::docs::protocol::balancing#httpd-methods)).

use super::Flags;
use super::circuit::Phase;
use super::cluster::Cluster;
use super::method::Candidates;
use super::random::Random;
use super::request::{Affinity, Ask};
use super::slot::Slot;
use super::sticky::Session;
use std::time::{Duration, Instant};

/// Room for indices, kept so that choosing allocates nothing.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub(super) order: Vec<usize>,
    spares: Vec<usize>,
    standbys: Vec<usize>,
}

/// No member can serve a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Unavailable {
    reason: Reason,
    retry_after: Option<Duration>,
}

/// Why no member can serve a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// There are no members, or an operator has switched all of them off.
    NoMember,
    /// Those that are left have failed.
    Down,
    /// Those that work have no place free.
    Full,
    /// The session's member cannot serve, and [`Sticky::with_force`](super::Sticky::with_force) wants
    /// no other.
    SessionLost,
    /// It was tried on all of them.
    AllTried,
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NoMember => "the balancer has no active member",
            Self::Down => "all members of the balancer have failed",
            Self::Full => "all members of the balancer are busy",
            Self::SessionLost => "the member that knows the session cannot serve",
            Self::AllTried => "all members of the balancer were tried",
        })
    }
}

impl Unavailable {
    pub(super) fn none() -> Self {
        Self {
            reason: Reason::NoMember,
            retry_after: None,
        }
    }

    /// Why.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// When it is worth while to ask again: a value for `Retry-After`.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }
}

/// What a session's routes lead to.
enum Bound {
    Member(usize, Affinity),
    /// Its member has no place free, and it stays there.
    Full,
    /// A member that knows it exists and cannot serve.
    Out,
    /// No member that exists.
    Unknown,
}

impl Cluster {
    /// The index of the member for a request.
    pub(super) fn select(
        &mut self,
        ask: &Ask<'_>,
        now: Instant,
        random: &mut dyn Random,
    ) -> Result<(usize, Affinity), Unavailable> {
        let mut forced = false;
        loop {
            let mut affinity = Affinity::Free;
            let session = ask.session.filter(|session| !session.routes().is_empty());
            if let Some(session) = session {
                match self.bound(session, ask, now, random) {
                    Bound::Member(at, affinity) => return Ok((at, affinity)),
                    Bound::Full => return Err(self.refuse(Reason::Full, now)),
                    Bound::Out => affinity = Affinity::Moved,
                    Bound::Unknown => affinity = Affinity::Unknown,
                }
            }
            // A pause that is cut short may bring the session's own member back.
            let may_serve = !(affinity == Affinity::Moved && session.is_some_and(|s| s.force));
            if may_serve {
                if let Some(at) = self.free(ask, now, random) {
                    self.note_session(affinity, session);
                    return Ok((at, affinity));
                }
                if let Some(at) = self.redirected(ask, now) {
                    self.note_session(affinity, session);
                    return Ok((at, Affinity::Redirected));
                }
            }
            if forced || !self.force_recovery(now) {
                let reason = if may_serve {
                    self.why_none(ask, now)
                } else {
                    Reason::SessionLost
                };
                return Err(self.refuse(reason, now));
            }
            forced = true;
        }
    }

    fn note_session(&mut self, affinity: Affinity, session: Option<&Session<'_>>) {
        let totals = &mut self.totals;
        match affinity {
            Affinity::Moved => totals.moved_sessions = totals.moved_sessions.saturating_add(1),
            Affinity::Unknown => {
                totals.unknown_routes = totals.unknown_routes.saturating_add(1);
                let route = session.and_then(|session| session.routes().first());
                // For an operator's eyes; who wrote it is not known.
                totals.last_unknown_route = route.map(|route| {
                    let start = route.get(..64).unwrap_or(route);
                    start.escape_ascii().to_string()
                });
            }
            _ => {}
        }
    }

    /// The member that a session wants.
    fn bound(
        &mut self,
        session: &Session<'_>,
        ask: &Ask<'_>,
        now: Instant,
        random: &mut dyn Random,
    ) -> Bound {
        let mut known = false;
        for &route in session.routes() {
            match self.resolve(route, session, ask, now, random) {
                Bound::Unknown => {}
                Bound::Out => known = true,
                other => return other,
            }
        }
        if known { Bound::Out } else { Bound::Unknown }
    }

    fn resolve(
        &mut self,
        route: &[u8],
        session: &Session<'_>,
        ask: &Ask<'_>,
        now: Instant,
        random: &mut dyn Random,
    ) -> Bound {
        let Some(mut at) = self.by_route(route) else {
            // mod_jk: the part of a route before its first dot is a domain.
            let end = route.iter().position(|&b| b == b'.').unwrap_or(route.len());
            let domain = route.get(..end).unwrap_or(route).to_vec();
            return match self.in_domain(&domain, ask, now, random) {
                Some(at) => Bound::Member(at, Affinity::Domain),
                None => Bound::Unknown,
            };
        };
        let mut affinity = Affinity::Kept;
        let mut full = false;
        // Members may redirect to each other.
        for _ in 0..self.slots.len() {
            let Some(slot) = self.slots.get(at) else {
                break;
            };
            let can =
                slot.settings.flags.takes_own() && slot.works(now) && !ask.tried.contains(&slot.id);
            if can && !slot.is_full() {
                self.charge(at, now);
                return Bound::Member(at, affinity);
            }
            full |= can && affinity == Affinity::Kept;
            if session.force {
                break;
            }
            let redirect = slot.settings.redirect.as_ref();
            let Some(next) = redirect.and_then(|route| self.by_route(route.as_bytes())) else {
                break;
            };
            at = next;
            affinity = Affinity::Redirected;
        }
        let own = self.by_route(route).and_then(|at| self.slots.get(at));
        let domain = own.and_then(Slot::domain).map(ToOwned::to_owned);
        if let (false, Some(domain)) = (session.force, domain) {
            if let Some(at) = self.in_domain(domain.as_bytes(), ask, now, random) {
                return Bound::Member(at, Affinity::Domain);
            }
        }
        if full && !session.move_when_full {
            Bound::Full
        } else {
            Bound::Out
        }
    }

    /// The member of this route; standbys after all others.
    fn by_route(&self, route: &[u8]) -> Option<usize> {
        let matches = |slot: &Slot| {
            let own = slot.settings.route.as_ref();
            !slot.leaving && own.is_some_and(|own| own.as_bytes() == route)
        };
        let standby = |slot: &Slot| slot.settings.flags.contains(Flags::HOT_STANDBY);
        let find = |wanted| {
            let mut slots = self.slots.iter();
            slots.position(|slot| standby(slot) == wanted && matches(slot))
        };
        find(false).or_else(|| find(true))
    }

    /// The best member of a domain.
    fn in_domain(
        &mut self,
        domain: &[u8],
        ask: &Ask<'_>,
        now: Instant,
        random: &mut dyn Random,
    ) -> Option<usize> {
        let mut order = std::mem::take(&mut self.scratch.order);
        order.clear();
        let members = self.slots.iter().enumerate().filter(|(_, slot)| {
            slot.domain().is_some_and(|own| own.as_bytes() == domain)
                && slot.settings.flags.takes_new()
                && slot.is_usable(now)
                && !ask.tried.contains(&slot.id)
        });
        order.extend(members.map(|(at, _)| at));
        let chosen = self.choose(&order, ask, now, random);
        self.scratch.order = order;
        chosen
    }

    /// The method must know of a request that a session has decided.
    fn charge(&mut self, at: usize, now: Instant) {
        let mut order = std::mem::take(&mut self.scratch.order);
        order.clear();
        let usable = self.slots.iter().enumerate();
        let usable =
            usable.filter(|(_, slot)| slot.settings.flags.takes_own() && slot.is_usable(now));
        order.extend(usable.map(|(at, _)| at));
        if let Ok(index) = order.binary_search(&at) {
            let mut candidates = Candidates::new(&mut self.slots, &order, now, true);
            self.method.bound(&mut candidates, index);
        }
        self.scratch.order = order;
    }

    /// The best member of the lowest set that has one.
    fn free(&mut self, ask: &Ask<'_>, now: Instant, random: &mut dyn Random) -> Option<usize> {
        let mut scratch = std::mem::take(&mut self.scratch);
        for &set in &self.sets {
            self.candidates(set, ask, now, &mut scratch);
            if !scratch.order.is_empty() {
                break;
            }
        }
        let chosen = self.choose(&scratch.order, ask, now, random);
        self.scratch = scratch;
        chosen
    }

    /// When nobody is left `mod_jk` asks where the first member with a redirect points to.
    fn redirected(&mut self, ask: &Ask<'_>, now: Instant) -> Option<usize> {
        let mut slots = self.slots.iter().filter(|slot| !slot.leaving);
        let route = slots.find_map(|slot| slot.settings.redirect.as_deref())?;
        let at = self.by_route(route.as_bytes())?;
        let slot = self.slots.get(at)?;
        let can =
            slot.settings.flags.takes_own() && slot.is_usable(now) && !ask.tried.contains(&slot.id);
        can.then(|| self.charge(at, now))?;
        Some(at)
    }

    /// Those of one set that can serve, by httpd's rule: a spare for each member that
    /// cannot, standbys when there is nobody else.
    fn candidates(&self, set: u32, ask: &Ask<'_>, now: Instant, scratch: &mut Scratch) {
        let Scratch {
            order,
            spares,
            standbys,
        } = scratch;
        order.clear();
        spares.clear();
        standbys.clear();
        let mut missing = 0usize;
        for (at, slot) in self.slots.iter().enumerate() {
            if slot.settings.set != set || slot.leaving {
                continue;
            }
            let flags = slot.settings.flags;
            let usable = flags.takes_new() && slot.is_usable(now) && !ask.tried.contains(&slot.id);
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
                missing = missing.saturating_add(1);
            }
        }
        order.extend(spares.iter().take(missing));
        if order.is_empty() {
            order.append(standbys);
        }
    }

    fn choose(
        &mut self,
        order: &[usize],
        ask: &Ask<'_>,
        now: Instant,
        random: &mut dyn Random,
    ) -> Option<usize> {
        let last = order.last()?;
        let has_session = ask.session.is_some_and(Session::is_present);
        let mut candidates = Candidates::new(&mut self.slots, order, now, has_session);
        let chosen = self.method.choose(&mut candidates, random);
        Some(*order.get(chosen).unwrap_or(last))
    }

    /// Ends the pauses of all members when every one that may serve has failed. Whether
    /// that changed anything.
    fn force_recovery(&mut self, now: Instant) -> bool {
        let may_serve =
            |slot: &Slot| slot.settings.flags.takes_new() && !slot.leaving && !slot.unhealthy;
        let works = |slot: &Slot| may_serve(slot) && slot.circuit.phase(now) == Phase::Closed;
        if !self.config.forced_recovery || self.slots.iter().any(works) {
            return false;
        }
        let mut changed = false;
        for slot in self.slots.iter_mut().filter(|slot| may_serve(slot)) {
            changed |= slot.circuit.make_due(now);
        }
        if changed {
            self.totals.forced_recoveries = self.totals.forced_recoveries.saturating_add(1);
        }
        changed
    }

    fn why_none(&self, ask: &Ask<'_>, now: Instant) -> Reason {
        let all = || {
            let slots = self.slots.iter();
            slots.filter(|slot| slot.settings.flags.takes_new() && !slot.leaving)
        };
        if all().next().is_none() {
            Reason::NoMember
        } else if all().any(|slot| slot.works(now) && slot.is_full()) {
            Reason::Full
        } else if !ask.tried.is_empty() {
            Reason::AllTried
        } else {
            Reason::Down
        }
    }

    fn refuse(&mut self, reason: Reason, now: Instant) -> Unavailable {
        let totals = &mut self.totals;
        let count = |counter: &mut u64| *counter = counter.saturating_add(1);
        let retry_after = match reason {
            Reason::NoMember | Reason::AllTried => None,
            Reason::Full => {
                count(&mut totals.refused_full);
                Some(self.config.retry_after)
            }
            Reason::Down | Reason::SessionLost => {
                count(match reason {
                    Reason::Down => &mut totals.refused_down,
                    _ => &mut totals.lost_sessions,
                });
                let slots = self
                    .slots
                    .iter()
                    .filter(|slot| slot.settings.flags.takes_new());
                let due = slots.filter_map(|slot| slot.circuit.due_in(now)).min();
                Some(due.unwrap_or_default().max(Duration::from_secs(1)))
            }
        };
        Unavailable {
            reason,
            retry_after,
        }
    }
}
