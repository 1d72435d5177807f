//! Everything that is known of a balancer at one moment, for pages, metrics and scripts.

use super::circuit::Phase;
use super::handle::Balancer;
use super::latency::LatencySnapshot;
use super::slot::{Slot, Verdict};
use super::{Flags, MemberId, Weight};
use crate::client::Pool;
use std::time::{Duration, Instant};

/// A balancer at one moment. Serialised, times are numbers of seconds.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct BalancerSnapshot {
    /// Its name.
    pub name: String,
    /// How it chooses.
    pub method: String,
    /// Where it finds session ids, as [`Sticky::names`](super::Sticky::names).
    pub sticky: Option<String>,
    /// Whether sessions are refused rather than moved.
    pub sticky_force: bool,
    /// Most members that a request is tried on.
    pub max_attempts: Option<u32>,
    /// How members are checked.
    pub health_check: Option<String>,
    /// The members, those that are leaving included.
    pub members: Vec<MemberSnapshot>,
    /// Requests whose session named no member: a `route` here and a `jvmRoute` there
    /// differ.
    pub unknown_routes: u64,
    /// The last such route, escaped, at most 64 bytes of it. A stranger may have written
    /// it.
    pub last_unknown_route: Option<String>,
    /// Requests that went to a member which is not their session's, because that could not
    /// serve.
    pub moved_sessions: u64,
    /// Requests refused because their session's member could not serve.
    pub refused_sessions: u64,
    /// Sessions that their members did not know any more: the sum of
    /// [`MemberSnapshot::lost_sessions`].
    pub lost_sessions: u64,
    /// Requests refused because all members were full.
    pub refused_full: u64,
    /// Requests refused because all members had failed.
    pub refused_down: u64,
    /// Times that all members had failed and were tried before their time.
    pub forced_recoveries: u64,
    /// Requests sent again that a container may have begun to work on.
    pub repeated: u64,
    /// Such requests that the budget did not pay for.
    pub not_repeated: u64,
}

/// Whether a member can serve. What an operator wants of it is in its [`Flags`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum MemberState {
    /// It serves.
    Ok,
    /// It has as many requests as it may have.
    Full,
    /// It failed and is left alone for a while.
    Error,
    /// It failed; the next request tries it.
    Due,
    /// It failed; a request is trying it.
    Trial,
    /// Health checks have taken it out.
    Unhealthy,
    /// It was removed and ends its last requests.
    Leaving,
}

/// A member at one moment. Counters begin at the start or the last reset.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct MemberSnapshot {
    /// Which member.
    pub id: MemberId,
    /// Its name.
    pub name: String,
    /// Where it is; empty once it is leaving.
    pub address: String,
    /// Its route.
    pub route: Option<String>,
    /// The route of the member that takes its sessions.
    pub redirect: Option<String>,
    /// Its domain.
    pub domain: Option<String>,
    /// Its weight.
    pub weight: Weight,
    /// Its weight at the moment, in hundredths: less during a slow start.
    pub effective_weight: u32,
    /// Its set.
    pub set: u32,
    /// What an operator has said about it.
    pub flags: Flags,
    /// Most requests at a time.
    pub max_requests: Option<u32>,
    /// The [adaptive limit](super::AdaptiveLimit) at this moment, if there is one.
    pub adaptive_limit: Option<u32>,
    /// Requests that wait for the head of their response, which is what the adaptive limit
    /// bounds, if there is one.
    pub adaptive_in_flight: Option<u32>,
    /// Requests refused while it had as many as its adaptive limit allows.
    pub adaptive_refused: u64,
    /// Whether it can serve.
    pub state: MemberState,
    /// Whether it goes on serving although it is unhealthy, because [too few
    /// others](super::ClusterConfig::with_panic_threshold) are left.
    pub spared: bool,
    /// Whether it still serves its own sessions while it is left alone: it was taken out as an
    /// [outlier](super::Outlier), and most of its answers were good.
    pub keeps_sessions: bool,
    /// How long it is left alone.
    #[cfg_attr(
        feature = "serde",
        serde(serialize_with = "super::seconds::optional::serialize")
    )]
    pub recovery_in: Option<Duration>,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// How long ago that was.
    #[cfg_attr(
        feature = "serde",
        serde(serialize_with = "super::seconds::optional::serialize")
    )]
    pub last_error_ago: Option<Duration>,
    /// Requests it was given.
    pub elected: u64,
    /// Requests it is serving.
    pub busy: u32,
    /// Most requests it served at a time.
    pub max_busy: u32,
    /// Requests without session that it was given.
    pub new_sessions: u64,
    /// Requests of its own sessions.
    pub own_sessions: u64,
    /// Requests of its own sessions that it answered with a new session: it did not know the
    /// old one any more. A container that changes the id of a session at a login does the
    /// same.
    pub lost_sessions: u64,
    /// How long ago the last of those came.
    #[cfg_attr(
        feature = "serde",
        serde(serialize_with = "super::seconds::optional::serialize")
    )]
    pub last_own_session_ago: Option<Duration>,
    /// Request body bytes sent to it.
    pub sent_bytes: u64,
    /// Response body bytes received from it.
    pub received_bytes: u64,
    /// Requests it answered, whatever the status.
    pub answered: u64,
    /// Requests it failed to serve, responses that broke off included.
    pub failed: u64,
    /// Requests it did not answer in time.
    pub timed_out: u64,
    /// Requests that found no free slot.
    pub full: u64,
    /// Answers with status 1xx, 2xx, 3xx, 4xx and 5xx.
    pub statuses: [u64; 5],
    /// The method's number for it.
    pub score: i64,
    /// How long it takes to answer.
    pub latency: LatencySnapshot,
    /// Its connections, `None` once it is leaving.
    pub pool: Option<PoolSnapshot>,
}

/// The numbers of a member's [`Pool`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct PoolSnapshot {
    /// Most connections at a time.
    pub max: usize,
    /// Connections serving an exchange or being opened.
    pub in_use: usize,
    /// Connections waiting for one.
    pub idle: usize,
    /// Requests that wait for a connection.
    pub waiting: usize,
    /// Which of several secrets the container takes: see
    /// [`PoolStats::secret_in_use`](crate::client::PoolStats::secret_in_use).
    pub secret_in_use: Option<usize>,
    /// Connections opened so far.
    pub created: u64,
    /// Exchanges that took an idle connection.
    pub reused: u64,
    /// Connections closed so far.
    pub closed: u64,
}

impl From<&Pool> for PoolSnapshot {
    fn from(pool: &Pool) -> Self {
        let stats = pool.stats();
        Self {
            max: stats.max_connections,
            in_use: stats.in_use,
            idle: stats.idle,
            waiting: stats.waiting,
            secret_in_use: stats.secret_in_use,
            created: stats.created,
            reused: stats.reused,
            closed: stats.closed,
        }
    }
}

impl Balancer {
    /// Everything that is known at this moment.
    #[must_use]
    pub fn snapshot(&self) -> BalancerSnapshot {
        let health_check = self.health().map(|health| health.check.describe());
        let (mut snapshot, pools, method) = self.with(|state, now| {
            let pools: Vec<_> = {
                let backends = state.backends.iter();
                backends
                    .map(|(id, backend)| (*id, backend.pool.clone()))
                    .collect()
            };
            let cluster = &mut state.cluster;
            let members = cluster.roster.slots.iter_mut();
            let members: Vec<_> = members.map(|slot| member(slot, now)).collect();
            let sticky = state.rules.sticky.as_deref();
            let snapshot = BalancerSnapshot {
                name: self.name().into(),
                lost_sessions: cluster.totals.lost_sessions,
                members,
                method: String::new(),
                sticky: sticky.map(super::Sticky::names),
                sticky_force: sticky.is_some_and(super::Sticky::is_forced),
                max_attempts: state.rules.failover.max_attempts,
                health_check,
                unknown_routes: cluster.totals.unknown_routes,
                last_unknown_route: cluster.totals.last_unknown_route.clone(),
                moved_sessions: cluster.totals.moved_sessions,
                refused_sessions: cluster.totals.refused_sessions,
                refused_full: cluster.totals.refused_full,
                refused_down: cluster.totals.refused_down,
                forced_recoveries: cluster.totals.forced_recoveries,
                repeated: state.repeated,
                not_repeated: state.not_repeated,
            };
            (snapshot, pools, cluster.method.clone())
        });
        // A method of the user's own tells its name by itself: not under the lock.
        snapshot.method = method.name();
        // Pools have locks of their own.
        for member in &mut snapshot.members {
            if let Some((_, pool)) = pools.iter().find(|(id, _)| *id == member.id) {
                pool.peer().clone_into(&mut member.address);
                member.pool = Some(pool.into());
                member.hint(pool);
            }
        }
        snapshot
    }
}

impl MemberSnapshot {
    /// Settings that differ are the last error, if they showed after the last other one.
    fn hint(&mut self, pool: &Pool) {
        if let Some((mismatch, ago)) = pool.stats().last_mismatch {
            if self.last_error_ago.is_none_or(|known| ago <= known) {
                self.last_error = Some(mismatch.to_string());
                self.last_error_ago = Some(ago);
            }
        }
    }
}

fn member(slot: &mut Slot, now: Instant) -> MemberSnapshot {
    let phase = slot.circuit.phase(now);
    let state = match phase {
        _ if slot.leaving => MemberState::Leaving,
        _ if slot.checks.verdict != Verdict::Healthy => MemberState::Unhealthy,
        Phase::Open => MemberState::Error,
        Phase::Due => MemberState::Due,
        Phase::Trial => MemberState::Trial,
        Phase::Closed if slot.is_full(now) => MemberState::Full,
        Phase::Closed => MemberState::Ok,
    };
    let ago = |at: Instant| now.saturating_duration_since(at);
    let (sent_bytes, received_bytes) = slot.bytes();
    let latency = slot.latency.snapshot(now);
    let (settings, counters) = (&slot.settings, &slot.counters);
    let [_, statuses @ ..] = counters.statuses;
    MemberSnapshot {
        id: slot.id,
        name: settings.name.clone(),
        address: String::new(),
        route: settings.route.clone(),
        redirect: settings.redirect.clone(),
        domain: settings.domain.clone(),
        weight: settings.weight,
        effective_weight: slot.weight(now),
        set: settings.set,
        flags: settings.flags,
        max_requests: settings.max_requests,
        adaptive_limit: slot.limiter.as_ref().map(|limiter| limiter.places(now)),
        adaptive_in_flight: slot.limiter.as_ref().map(|limiter| limiter.waiting()),
        adaptive_refused: counters.refused_by_limit,
        state,
        keeps_sessions: slot.circuit.keeps_sessions(),
        spared: matches!(slot.checks.verdict, Verdict::KeptServing { .. }),
        recovery_in: slot.circuit.due_in(now),
        last_error: slot.last_error.as_ref().map(|(error, _)| error.clone()),
        last_error_ago: slot.last_error.as_ref().map(|(_, at)| ago(*at)),
        elected: counters.elected,
        busy: slot.busy,
        max_busy: counters.max_busy,
        new_sessions: counters.new_sessions,
        own_sessions: counters.own_sessions,
        lost_sessions: counters.lost_sessions,
        last_own_session_ago: slot.last_own_session.map(ago),
        sent_bytes,
        received_bytes,
        answered: counters.answered,
        failed: counters.failed,
        timed_out: counters.timed_out,
        full: counters.full,
        statuses,
        score: slot.score,
        latency,
        pool: None,
    }
}
