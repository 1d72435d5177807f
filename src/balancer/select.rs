//! Who can serve a request, and in which order: sessions, sets, spares, standbys (protocol
//! chapter [balancing](crate::docs::protocol::balancing#httpd-methods)).

mod order;
mod refusal;
mod session;

use super::config::ClusterConfig;
use super::member::MemberId;
use super::method::{Candidate, Method};
use super::request::{Affinity, RequestInfo};
use super::roster::Roster;
use super::slot::Slot;
use super::totals::Totals;
use super::unavailable::{Reason, Unavailable};
use session::SessionMember;
use std::time::Instant;

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
pub(super) struct SelectedMember {
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
    pub(super) fn run(&mut self) -> Result<SelectedMember, NotSelected> {
        if let Some(wanted) = self.wanted_member()? {
            return Ok(wanted);
        }
        let mut recovered = false;
        loop {
            let (affinity, route) = match self.session_member()? {
                SessionMember::Found(selected) => return Ok(selected),
                SessionMember::Full(route) => return Err(self.refuse_session(route).into()),
                SessionMember::Out(route) => (Affinity::Moved, Some(route)),
                SessionMember::Unknown if self.names_a_route() => (Affinity::Unknown, None),
                SessionMember::Unknown => (Affinity::Free, None),
            };
            let forced = self.request.session.is_some_and(|session| session.force);
            let may_move = !(affinity == Affinity::Moved && forced);
            if may_move {
                if let Some(at) = self.best_of_lowest_set()? {
                    self.count_session(affinity);
                    return Ok(SelectedMember {
                        at,
                        affinity,
                        route,
                    });
                }
                if let Some(at) = self.first_redirect() {
                    self.count_session(affinity);
                    return Ok(SelectedMember {
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

    /// Whether a member can serve a request of its own sessions.
    fn can_serve_its_own(&self, at: usize) -> bool {
        let slot = self.roster.slots.get(at);
        slot.is_some_and(|slot| self.would_serve_its_own(slot) && !slot.is_full(self.now))
    }

    /// Whether a member can serve a request of the sessions of another one, which redirects to
    /// it.
    fn can_serve_redirected(&self, at: usize) -> bool {
        let slot = self.roster.slots.get(at);
        slot.is_some_and(|slot| {
            slot.terms.flags.takes_own() && slot.is_usable(self.now) && !self.was_tried(slot)
        })
    }

    /// Whether it could, but for want of a free slot.
    fn is_only_full(&self, at: usize) -> bool {
        let slot = self.roster.slots.get(at);
        slot.is_some_and(|slot| self.would_serve_its_own(slot) && slot.is_full(self.now))
    }

    fn would_serve_its_own(&self, slot: &Slot) -> bool {
        slot.terms.flags.takes_own() && slot.works_for_its_own(self.now) && !self.was_tried(slot)
    }

    fn was_tried(&self, slot: &Slot) -> bool {
        self.request.tried.contains(&slot.id)
    }

    /// Whether a member can serve a request without session.
    fn takes_new(&self, slot: &Slot) -> bool {
        slot.terms.flags.takes_new() && slot.is_usable(self.now)
    }
}
