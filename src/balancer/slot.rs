//! One member of a cluster with everything that is known about it.

use super::Flags;
use super::adaptive_limit::Limiter;
use super::circuit::{Circuit, Phase};
use super::config::ClusterConfig;
use super::fnv::hash;
use super::latency::Latency;
use super::member::{Member, MemberId};
use super::outlier::Rate;
use super::traffic::Traffic;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Counters since the start or the last reset.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counters {
    pub(super) elected: u64,
    pub(super) new_sessions: u64,
    pub(super) own_sessions: u64,
    pub(super) lost_sessions: u64,
    pub(super) answered: u64,
    pub(super) failed: u64,
    pub(super) timed_out: u64,
    pub(super) full: u64,
    /// Requests refused while it had as many as its adaptive limit allows.
    pub(super) refused_by_limit: u64,
    /// Answers by the first digit of their status.
    pub(super) statuses: [u64; 6],
    pub(super) max_busy: u32,
}

/// What health checks have found out about a member.
#[derive(Debug, Clone, Copy)]
pub(super) struct Checks {
    /// Whether they hold the member for well.
    pub(super) verdict: Verdict,
    /// Whether the last one was passed.
    pub(super) last_passed: bool,
    /// How many have ended like the last one, in a row.
    pub(super) in_a_row: u32,
}

/// What health checks say of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Healthy,
    /// It serves nobody.
    Unhealthy {
        /// Counts the members that became unhealthy: who was first is out first.
        order: u64,
    },
    /// It would serve nobody, but too few others are left.
    KeptServing {
        order: u64,
    },
}

impl Checks {
    pub(super) const NEW: Self = Self {
        verdict: Verdict::Healthy,
        last_passed: true,
        in_a_row: 0,
    };
}

/// What a choice looks at of what is configured of a member, beside its other state.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    pub(super) set: u32,
    pub(super) flags: Flags,
    /// In hundredths.
    weight: u32,
    max_requests: u32,
}

impl Terms {
    fn of(member: &Member) -> Self {
        Self {
            set: member.set,
            flags: member.flags,
            weight: member.weight.hundredths(),
            max_requests: member.max_requests.unwrap_or(u32::MAX),
        }
    }
}

/// A choice looks at every member of a set, so what it needs stands together at the beginning
/// (`repr(C)` keeps the order): of a thousand members two lines of the cache each are read, and
/// nothing behind a pointer.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Slot {
    pub(super) terms: Terms,
    pub(super) busy: u32,
    /// Removed; gone when its last request is.
    pub(super) leaving: bool,
    /// Whether it could have been chosen when a member was last chosen from its set. One that
    /// could not begins anew when it can again.
    pub(super) took_part: bool,
    /// The method's own number.
    pub(super) score: i64,
    pub(super) circuit: Circuit,
    pub(super) checks: Checks,
    /// Off unless configured.
    pub(super) limiter: Option<Box<Limiter>>,
    slow_start: Option<Duration>,
    pub(super) id: MemberId,
    /// Of its name, for [`HashBy`](super::HashBy).
    pub(super) name_hash: u64,
    pub(super) settings: Arc<Member>,
    pub(super) traffic: Arc<Traffic>,
    /// The bytes of `traffic` that the score has in it, where the method counts bytes.
    pub(super) scored_bytes: u64,
    /// Requests that are over. Never reset, as the traffic that it is compared with.
    pub(super) ended: u64,
    /// Requests that it answered. Never reset: see [`signs_of_life`](Self::signs_of_life).
    pub(super) answers: u64,
    pub(super) counters: Counters,
    /// Timeouts in a row.
    pub(super) timeouts: u32,
    /// Where `counters.sent` and `received` begin.
    pub(super) traffic_mark: (u64, u64),
    pub(super) latency: Latency,
    pub(super) rate: Rate,
    pub(super) last_error: Option<(String, Instant)>,
    pub(super) last_own_session: Option<Instant>,
    /// When it was told that it failed and is spared, as long as that is not told anew.
    pub(super) spared_told: Option<Instant>,
}

impl Slot {
    pub(super) fn new(id: MemberId, settings: Member, config: &ClusterConfig) -> Self {
        Self {
            slow_start: settings.slow_start.or(config.slow_start),
            id,
            name_hash: hash(settings.name().as_bytes()),
            terms: Terms::of(&settings),
            settings: Arc::new(settings),
            circuit: Circuit::new(),
            checks: Checks::NEW,
            leaving: false,
            busy: 0,
            ended: 0,
            answers: 0,
            counters: Counters::default(),
            timeouts: 0,
            traffic_mark: (0, 0),
            traffic: Arc::default(),
            latency: Latency::new(),
            rate: Rate::default(),
            limiter: config
                .adaptive_limit
                .clone()
                .map(|limit| Box::new(Limiter::new(limit))),
            score: 0,
            scored_bytes: 0,
            took_part: false,
            last_error: None,
            last_own_session: None,
            spared_told: None,
        }
    }

    pub(super) fn set_settings(&mut self, settings: Member, config: &ClusterConfig) {
        self.slow_start = settings.slow_start.or(config.slow_start);
        self.terms = Terms::of(&settings);
        self.settings = Arc::new(settings);
    }

    /// The rules of its cluster have changed. What its limit has learned stays if that is the same.
    pub(super) fn set_config(&mut self, config: &ClusterConfig) {
        self.slow_start = self.settings.slow_start.or(config.slow_start);
        let limit = config.adaptive_limit.as_ref();
        let before = self.limiter.as_ref().map(|limiter| limiter.settings());
        if before != limit {
            self.limiter = limit.map(|limit| Box::new(Limiter::new(limit.clone())));
        }
    }

    /// Its domain: as in `mod_jk` the part of its route before a dot, unless it was told.
    pub(super) fn domain(&self) -> Option<&str> {
        let of_route = || self.settings.route.as_deref()?.split_once('.');
        let told = self.settings.domain.as_deref();
        told.or_else(|| of_route().map(|(domain, _)| domain))
    }

    /// Whether it could serve if it had a free slot.
    pub(super) fn works(&self, now: Instant) -> bool {
        !self.is_unhealthy() && !self.leaving && self.circuit.passes(now)
    }

    /// As [`works`](Self::works), for requests of its own sessions: one that was taken out for
    /// answers that are worse than those of the others still serves them, if most were good.
    pub(super) fn works_for_its_own(&self, now: Instant) -> bool {
        let passes = self.circuit.passes(now) || self.circuit.keeps_sessions();
        !self.is_unhealthy() && !self.leaving && passes
    }

    /// Whether health checks keep it from serving.
    pub(super) fn is_unhealthy(&self) -> bool {
        matches!(self.checks.verdict, Verdict::Unhealthy { .. })
    }

    /// Whether neither health checks nor failures keep it from serving.
    pub(super) fn is_in(&self, now: Instant) -> bool {
        !self.is_unhealthy() && !self.leaving && self.circuit.phase(now) == Phase::Closed
    }

    /// A number that changes whenever the container does something for a request: if it is
    /// the same after a wait, the container has done nothing all that time.
    pub(super) fn signs_of_life(&self) -> u64 {
        self.answers.wrapping_add(self.traffic.received())
    }

    /// One of the requests that it is busy with is over. Whether it was the last one of a member
    /// that was removed.
    pub(super) fn is_left_by_one(&mut self) -> bool {
        self.busy = self.busy.saturating_sub(1);
        self.leaving && self.busy == 0
    }

    pub(super) fn is_full(&self, now: Instant) -> bool {
        let limiter = self.limiter.as_ref();
        self.busy >= self.terms.max_requests || limiter.is_some_and(|limiter| limiter.is_full(now))
    }

    /// A request was refused, and that its adaptive limit was reached had a part in it if it
    /// was.
    pub(super) fn count_refusal(&mut self, now: Instant) {
        let limited = |limiter: &Limiter| limiter.is_full(now);
        if self.works(now) && self.limiter.as_deref().is_some_and(limited) {
            let count = &mut self.counters.refused_by_limit;
            *count = count.wrapping_add(1);
        }
    }

    /// Whether health alone keeps nobody out: what an operator has said is not asked.
    pub(super) fn is_usable(&self, now: Instant) -> bool {
        self.works(now) && !self.is_full(now)
    }

    pub(super) fn ramp(&self, now: Instant) -> u32 {
        self.circuit.ramp(now, self.slow_start)
    }

    /// Hundredths, at least 1.
    pub(super) fn weight(&self, now: Instant) -> u32 {
        let whole = self.terms.weight;
        match self.ramp(now) {
            1000 => whole,
            ramp => u32::try_from(u64::from(whole) * u64::from(ramp) / 1000)
                .unwrap_or(whole)
                .max(1),
        }
    }

    /// Hundredths, without regard to a slow start.
    pub(super) fn whole_weight(&self) -> u32 {
        self.terms.weight
    }

    /// Bytes sent and received since the last reset.
    pub(super) fn bytes(&self) -> (u64, u64) {
        let (sent, received) = self.traffic_mark;
        (
            self.traffic.sent() - sent,
            self.traffic.received() - received,
        )
    }

    pub(super) fn reset_counters(&mut self) {
        self.counters = Counters {
            max_busy: self.busy,
            ..Counters::default()
        };
        self.traffic_mark = (self.traffic.sent(), self.traffic.received());
        self.latency.reset();
        self.last_error = None;
    }
}
