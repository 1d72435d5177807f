//! Counters of a cluster that concern no single member.

use super::unavailable::Reason;

#[derive(Debug, Clone, Default)]
pub(super) struct Totals {
    pub(super) unknown_routes: u64,
    pub(super) last_unknown_route: Option<String>,
    pub(super) moved_sessions: u64,
    pub(super) refused_sessions: u64,
    /// Those of members that have been removed meanwhile included.
    pub(super) lost_sessions: u64,
    pub(super) refused_full: u64,
    pub(super) refused_down: u64,
    pub(super) forced_recoveries: u64,
}

fn count(counter: &mut u64) {
    *counter = counter.wrapping_add(1);
}

impl Totals {
    pub(super) fn moved_session(&mut self) {
        count(&mut self.moved_sessions);
    }

    pub(super) fn lost_session(&mut self) {
        count(&mut self.lost_sessions);
    }

    pub(super) fn forced_recovery(&mut self) {
        count(&mut self.forced_recoveries);
    }

    /// A session names a member that does not exist.
    pub(super) fn unknown_route(&mut self, route: &[u8]) {
        count(&mut self.unknown_routes);
        // For an operator's eyes; who wrote it is not known.
        let start = route.get(..64).unwrap_or(route);
        self.last_unknown_route = Some(start.escape_ascii().to_string());
    }

    /// A request found no member.
    pub(super) fn refused(&mut self, reason: Reason) {
        match reason {
            Reason::Full => count(&mut self.refused_full),
            Reason::Down => count(&mut self.refused_down),
            Reason::SessionLost => count(&mut self.refused_sessions),
            Reason::NoMember | Reason::AllTried => {}
        }
    }
}
