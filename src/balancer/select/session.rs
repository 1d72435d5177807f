//! The member that a request belongs to: the one that its caller wants, or that of its session.

use super::super::request::Affinity;
use super::super::slot::Slot;
use super::super::sticky::Session;
use super::{NotSelected, SelectedMember, Selection};

/// What the routes of a session lead to.
pub(super) enum SessionMember {
    Found(SelectedMember),
    /// Its member has no free slot, and the session stays there: by which of its routes.
    Full(usize),
    /// Members that know it exist and cannot serve; the first of its routes that names one.
    Out(usize),
    /// No member that exists.
    Unknown,
}

impl Selection<'_> {
    /// The member, or one of the domain, that the caller wants for this request.
    pub(super) fn wanted_member(&mut self) -> Result<Option<SelectedMember>, NotSelected> {
        let selected = |at| SelectedMember {
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

    pub(super) fn names_a_route(&self) -> bool {
        let session = self.request.session;
        session.is_some_and(|session| !session.routes().is_empty())
    }

    /// The member that the session lives on, or one that takes its place.
    pub(super) fn session_member(&mut self) -> Result<SessionMember, NotSelected> {
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
    pub(super) fn member_of_route(
        &mut self,
        session: &Session<'_>,
        index: usize,
        route: &[u8],
    ) -> Result<SessionMember, NotSelected> {
        let found = |at, affinity| {
            SessionMember::Found(SelectedMember {
                at,
                affinity,
                route: Some(index),
            })
        };
        let mut members = self.roster.with_route(route);
        let own = members.find(|&at| self.can_serve_its_own(at));
        drop(members);
        if let Some(at) = own {
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
            let mut members = self.roster.with_route(&here);
            let able = members.find(|&at| self.can_serve_redirected(at));
            drop(members);
            if let Some(at) = able {
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
            SessionMember::Full(index)
        } else {
            SessionMember::Out(index)
        })
    }
}
