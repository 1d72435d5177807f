//! Whether failures keep a member from serving: closed, open for a while after a failure,
//! and then half open, with one request out to try it.

use std::time::{Duration, Instant};

/// A half-open circuit whose trial request is out for so long lets another one pass.
const TRIAL_LIMIT: Duration = Duration::from_secs(10);

/// The whole weight of a member, in thousandths.
const WHOLE: u32 = 1000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed,
    Open { until: Instant },
    Trial { serial: u64, since: Instant },
}

/// A request, as a circuit knows it.
#[derive(Debug, Clone, Copy)]
pub(super) struct CircuitRequest {
    pub(super) started: Instant,
    /// Whether it passed as a trial.
    pub(super) was_trial: bool,
}

/// `mod_jk`'s states OK, ERROR, RECOVER and PROBE (protocol chapter
/// [balancing](crate::docs::protocol::balancing#mod_jk-members)): open turns into half open by time
/// alone, and exactly one request probes.
#[derive(Debug, Clone)]
pub(super) struct Circuit {
    state: State,
    /// When it opened last.
    opened_at: Option<Instant>,
    /// When it closed last, if it was ever open.
    closed_at: Option<Instant>,
    /// Whether only the answer to a trial request closes it; otherwise it is enough that the
    /// container was reached.
    strict: bool,
    /// Whether requests of the member's own sessions pass while it is not closed.
    keeps_sessions: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Closed,
    Open,
    /// The next request is the trial.
    Due,
    Trial,
}

impl Circuit {
    pub(super) fn new() -> Self {
        Self {
            state: State::Closed,
            opened_at: None,
            closed_at: None,
            strict: false,
            keeps_sessions: false,
        }
    }

    pub(super) fn phase(&self, now: Instant) -> Phase {
        match self.state {
            State::Closed => Phase::Closed,
            State::Open { until } if now < until => Phase::Open,
            State::Trial { since, .. } if now.saturating_duration_since(since) < TRIAL_LIMIT => {
                Phase::Trial
            }
            State::Open { .. } | State::Trial { .. } => Phase::Due,
        }
    }

    /// Whether a request may pass.
    pub(super) fn passes(&self, now: Instant) -> bool {
        matches!(self.phase(now), Phase::Closed | Phase::Due)
    }

    /// Whether requests of the member's own sessions pass although others do not.
    pub(super) fn keeps_sessions(&self) -> bool {
        self.keeps_sessions && self.state != State::Closed
    }

    /// The member's own sessions are served elsewhere too while it is not closed.
    pub(super) fn let_sessions_go(&mut self) {
        self.keeps_sessions = false;
    }

    /// A request passes. Whether it is the trial.
    pub(super) fn enter(&mut self, serial: u64, now: Instant) -> bool {
        let due = self.phase(now) == Phase::Due;
        if due {
            self.state = State::Trial { serial, since: now };
        }
        due
    }

    /// Whether this request is the trial, and nothing has been learned from it yet.
    pub(super) fn is_trial(&self, serial: u64) -> bool {
        matches!(self.state, State::Trial { serial: trial, .. } if trial == serial)
    }

    /// A request was answered. Whether that closed the circuit: only a trial does, also one that
    /// took so long that another has taken its place; a request from before the failure says
    /// nothing of what happened since.
    pub(super) fn succeed(&mut self, request: CircuitRequest, now: Instant) -> bool {
        let since = self
            .opened_at
            .is_none_or(|opened| request.started >= opened);
        request.was_trial && since && self.close(now)
    }

    /// Whether only an answer to a request closes it.
    pub(super) fn is_strict(&self) -> bool {
        self.strict && self.state != State::Closed
    }

    /// The container of the trial can be reached. Whether that closed the circuit.
    pub(super) fn reach(&mut self, serial: u64, now: Instant) -> bool {
        !self.strict && self.is_trial(serial) && self.close(now)
    }

    /// A request that began at `started` failed. Whether that opened the circuit for
    /// `pause`.
    pub(super) fn fail(
        &mut self,
        serial: u64,
        started: Instant,
        now: Instant,
        pause: Duration,
        strict: bool,
    ) -> bool {
        let counts = match self.state {
            // A failure from before the recovery is old news.
            State::Closed => self.closed_at.is_none_or(|closed| started >= closed),
            State::Trial { .. } => self.is_trial(serial),
            State::Open { .. } => false,
        };
        // Whatever it was opened for: sessions would fail there too.
        self.keeps_sessions = false;
        if counts {
            // A trial that was not even reached leaves what was known before.
            self.open(now, pause, strict || self.is_strict());
        }
        counts
    }

    /// A request ended without telling anything. After a trial the next request tries.
    pub(super) fn release(&mut self, serial: u64, now: Instant) {
        if self.is_trial(serial) {
            self.state = State::Open { until: now };
        }
    }

    /// Opens it for `pause`. Whether only an answer to a request closes it again is
    /// `strict`.
    pub(super) fn open(&mut self, now: Instant, pause: Duration, strict: bool) {
        self.strict = strict;
        self.keeps_sessions = false;
        self.opened_at = Some(now);
        // A pause beyond what the clock can express: a year.
        let year = Duration::from_secs(365 * 24 * 3600);
        let until = now.checked_add(pause).or_else(|| now.checked_add(year));
        self.state = State::Open {
            until: until.unwrap_or(now),
        };
    }

    /// Opens it for `pause`, until an answer closes it, for a member that answers, but not well
    /// enough for new requests. Whether its own sessions are better served there than nowhere
    /// they are known is `keeps_sessions`.
    pub(super) fn eject(&mut self, now: Instant, pause: Duration, keeps_sessions: bool) {
        self.open(now, pause, true);
        self.keeps_sessions = keeps_sessions;
    }

    /// Ends the pause. Whether there was one.
    pub(super) fn make_due(&mut self, now: Instant) -> bool {
        let open = self.phase(now) == Phase::Open;
        if open {
            self.state = State::Open { until: now };
        }
        open
    }

    /// Whether it was not closed.
    pub(super) fn close(&mut self, now: Instant) -> bool {
        let was_open = self.state != State::Closed;
        if was_open {
            self.state = State::Closed;
            self.restart(now);
        }
        was_open
    }

    /// The member begins anew, with a slow start.
    pub(super) fn restart(&mut self, now: Instant) {
        self.closed_at = Some(now);
    }

    /// How long it stays open, if it is.
    pub(super) fn due_in(&self, now: Instant) -> Option<Duration> {
        match self.state {
            State::Open { until } => Some(until.saturating_duration_since(now)),
            State::Closed | State::Trial { .. } => None,
        }
    }

    /// The part of its weight that a member has reached, in thousandths: from a tenth when
    /// it came back to the whole after `time`.
    pub(super) fn ramp(&self, now: Instant, time: Option<Duration>) -> u32 {
        let (Some(closed), Some(time)) = (self.closed_at, time) else {
            return WHOLE;
        };
        let gone = now.saturating_duration_since(closed);
        if gone >= time {
            return WHOLE;
        }
        let (gone, time) = (gone.as_micros(), time.as_micros().max(1));
        let part = (gone * 900).checked_div(time).unwrap_or(900);
        WHOLE.min(u32::try_from(part).unwrap_or(900) + 100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(5);

    /// A trial that passed at this time.
    fn trial(started: Instant) -> CircuitRequest {
        CircuitRequest {
            started,
            was_trial: true,
        }
    }

    fn at(base: Instant, seconds: u64) -> Instant {
        base.checked_add(Duration::from_secs(seconds)).unwrap()
    }

    #[test]
    fn one_request_tries_and_closes() {
        let t = Instant::now();
        let mut circuit = Circuit::new();
        assert!(!circuit.enter(1, t));
        assert!(circuit.fail(1, t, t, PAUSE, false));
        assert_eq!(circuit.due_in(at(t, 2)), Some(Duration::from_secs(3)));
        assert!(!circuit.passes(at(t, 4)));
        assert!(circuit.passes(at(t, 5)));
        assert!(circuit.enter(2, at(t, 5)));
        assert!(!circuit.passes(at(t, 6)));
        // An old request that ends well is no proof.
        let old = CircuitRequest {
            was_trial: false,
            ..trial(t)
        };
        assert!(!circuit.succeed(old, at(t, 6)));
        assert_eq!(circuit.phase(at(t, 6)), Phase::Trial);
        assert!(circuit.succeed(trial(at(t, 5)), at(t, 7)));
        assert_eq!(circuit.phase(at(t, 7)), Phase::Closed);
        // A request from before the recovery that ends badly neither.
        assert!(!circuit.fail(1, t, at(t, 8), PAUSE, false));
        assert!(circuit.fail(3, at(t, 7), at(t, 8), PAUSE, false));
    }

    #[test]
    fn a_failed_trial_opens_again_and_an_undecided_one_leaves_it_to_the_next() {
        let t = Instant::now();
        let mut circuit = Circuit::new();
        circuit.open(t, PAUSE, false);
        assert!(circuit.enter(1, at(t, 5)));
        assert!(circuit.fail(1, at(t, 5), at(t, 6), PAUSE, false));
        assert!(!circuit.passes(at(t, 10)));
        assert!(circuit.enter(2, at(t, 11)));
        circuit.release(1, at(t, 11));
        assert!(!circuit.passes(at(t, 11)));
        circuit.release(2, at(t, 11));
        assert!(circuit.passes(at(t, 11)));
    }

    #[test]
    fn a_trial_that_never_ends_is_not_waited_for() {
        let t = Instant::now();
        let mut circuit = Circuit::new();
        circuit.open(t, PAUSE, false);
        assert!(circuit.enter(1, at(t, 5)));
        assert_eq!(circuit.due_in(at(t, 14)), None);
        assert!(!circuit.passes(at(t, 14)));
        assert!(circuit.enter(2, at(t, 15)));
        assert!(!circuit.fail(1, at(t, 5), at(t, 16), PAUSE, false));
        // The answer to the first is as good a proof as that to the second.
        assert!(circuit.succeed(trial(at(t, 5)), at(t, 17)));
        // One from before it failed once more is none.
        circuit.open(at(t, 18), PAUSE, true);
        assert!(!circuit.succeed(trial(at(t, 15)), at(t, 19)));
    }

    #[test]
    fn being_reached_is_proof_unless_more_was_wrong() {
        let t = Instant::now();
        for strict in [false, true] {
            let mut circuit = Circuit::new();
            circuit.open(t, PAUSE, strict);
            assert!(circuit.enter(1, at(t, 5)));
            assert!(!circuit.reach(0, at(t, 5)));
            assert_eq!(circuit.reach(1, at(t, 5)), !strict);
            assert_eq!(circuit.passes(at(t, 5)), !strict);
        }
        let mut circuit = Circuit::new();
        circuit.open(t, PAUSE, true);
        assert!(circuit.enter(1, at(t, 5)));
        assert!(circuit.fail(1, at(t, 5), at(t, 5), PAUSE, false));
        assert!(circuit.enter(2, at(t, 10)));
        assert!(!circuit.reach(2, at(t, 10)), "still an answer is wanted");
        assert!(circuit.succeed(trial(at(t, 10)), at(t, 10)));
    }

    #[test]
    fn sessions_stay_where_most_answers_are_good_until_one_fails() {
        let t = Instant::now();
        let mut circuit = Circuit::new();
        circuit.eject(t, PAUSE, true);
        assert!(!circuit.passes(t) && circuit.keeps_sessions());
        assert!(!circuit.fail(7, t, t, PAUSE, false), "it is out already");
        assert!(!circuit.keeps_sessions());
        circuit.eject(t, PAUSE, true);
        circuit.close(t);
        assert!(!circuit.keeps_sessions(), "nothing is out");
        circuit.open(t, PAUSE, true);
        assert!(!circuit.keeps_sessions(), "it failed since");
    }

    #[test]
    fn a_pause_can_be_cut_short() {
        let t = Instant::now();
        let mut circuit = Circuit::new();
        assert!(!circuit.make_due(t));
        circuit.open(t, Duration::MAX, false);
        assert!(!circuit.passes(at(t, 1_000_000)));
        assert!(circuit.make_due(t));
        assert!(circuit.enter(1, t));
        assert!(!circuit.make_due(t));
    }

    #[test]
    fn weights_grow() {
        let t = Instant::now();
        let ten = Some(Duration::from_secs(10));
        let mut circuit = Circuit::new();
        assert_eq!(circuit.ramp(t, ten), 1000);
        circuit.open(t, PAUSE, false);
        circuit.close(t);
        assert_eq!(circuit.ramp(t, ten), 100);
        assert_eq!(circuit.ramp(at(t, 5), ten), 550);
        assert_eq!(circuit.ramp(at(t, 10), ten), 1000);
        assert_eq!(circuit.ramp(t, None), 1000);
        assert_eq!(circuit.ramp(t, Some(Duration::ZERO)), 1000);
    }
}
