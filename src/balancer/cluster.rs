//! The members of one balancer, and the bookkeeping of their requests. No IO; time comes from
//! outside, and random numbers from a seed.

use super::Flags;
use super::adaptive_limit::Load;
use super::config::ClusterConfig;
use super::events::{MemberChange, MemberEvent};
use super::member::{InvalidMember, Member, MemberId};
use super::method::{Candidate, Method};
use super::request::{Affinity, Choice, RequestInfo};
use super::roster::Roster;
use super::select::{Advice, NotSelected, Scratch, SelectedMember, Selection};
use super::slot::Slot;
use super::totals::Totals;
use super::unavailable::Unavailable;
use std::sync::Arc;
use std::time::Instant;

/// Changes that are kept for [`Cluster::take_changes`].
const MOST_CHANGES: usize = 1024;

/// How often a method of the caller's own is asked about one request while the members
/// change under it.
pub(super) const MOST_QUESTIONS: usize = 3;

/// Members, and which of them serves a request (protocol chapter
/// [balancing](crate::docs::protocol::balancing)). Give it the same calls, times and
/// [seed](ClusterConfig::with_seed) and it chooses the same members.
///
/// ```
/// use ajp::balancer::{Cluster, ClusterConfig, Member, RequestOutcome, RequestInfo};
/// use std::time::Instant;
///
/// let mut cluster = Cluster::new(ClusterConfig::default());
/// let now = Instant::now();
/// let a = cluster.add(Member::new("a"), now)?;
/// let b = cluster.add(Member::new("b").with_weight("2".parse()?), now)?;
/// let mut served = Vec::new();
/// for _ in 0..6 {
///     let choice = cluster.pick(&RequestInfo::new(), now)?;
///     served.push(choice.member());
///     cluster.answered(&choice, RequestOutcome::Answered { status: 200 }, now);
///     cluster.ended(&choice);
/// }
/// assert_eq!(served, [b, a, b, b, a, b]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Cluster {
    pub(super) config: ClusterConfig,
    pub(super) method: Method,
    pub(super) roster: Roster,
    pub(super) totals: Totals,
    /// How many members have become unhealthy so far.
    pub(super) unhealthy_order: u64,
    random: fastrand::Rng,
    scratch: Scratch,
    next_id: u64,
    serial: u64,
    changes: Vec<MemberEvent>,
}

impl Cluster {
    /// A cluster without members that chooses [by requests](Method::ByRequests).
    #[must_use]
    pub fn new(config: ClusterConfig) -> Self {
        Self {
            random: match config.seed {
                Some(seed) => fastrand::Rng::with_seed(seed),
                None => fastrand::Rng::new(),
            },
            config,
            method: Method::default(),
            roster: Roster::default(),
            totals: Totals::default(),
            unhealthy_order: 0,
            scratch: Scratch::default(),
            next_id: 0,
            serial: 0,
            changes: Vec::new(),
        }
    }

    /// Adds a member.
    ///
    /// # Errors
    /// [`InvalidMember`] when a name or route cannot be one, or the name is in use.
    pub fn add(&mut self, member: Member, now: Instant) -> Result<MemberId, InvalidMember> {
        member.check()?;
        if self.find(member.name()).is_some() {
            return Err(InvalidMember {
                name: member.name,
                what: "exists already",
            });
        }
        let id = MemberId(self.next_id);
        self.next_id = self.next_id.wrapping_add(1);
        let mut slot = Slot::new(id, member, &self.config);
        let running = self.serial > 0;
        if running {
            slot.circuit.restart(now);
        }
        self.roster.slots.push(slot);
        self.members_changed(now);
        self.changed(id, MemberChange::Added);
        Ok(id)
    }

    /// Removes a member: it serves nobody any more. Its running requests may end; it is
    /// gone with the last of them. Whether it was there.
    pub fn remove(&mut self, id: MemberId, now: Instant) -> bool {
        let slot = self.roster.get_mut(id).filter(|slot| !slot.leaving);
        let Some(slot) = slot else {
            return false;
        };
        slot.leaving = true;
        let is_idle = slot.busy == 0;
        self.changed(id, MemberChange::Leaving);
        if is_idle {
            self.forget(id);
        }
        self.members_changed(now);
        true
    }

    /// A member that was removed has ended its last request.
    pub(super) fn forget(&mut self, id: MemberId) {
        self.changed(id, MemberChange::Removed);
        self.roster.slots.retain(|slot| slot.id != id);
    }

    /// Replaces what is configured of a member; its name stays.
    ///
    /// # Errors
    /// [`InvalidMember`] when there is none such, or it cannot be like this.
    pub fn update(
        &mut self,
        id: MemberId,
        mut member: Member,
        now: Instant,
    ) -> Result<(), InvalidMember> {
        let config = &self.config;
        let slot = self.roster.get_mut(id).filter(|slot| !slot.leaving);
        let Some(slot) = slot else {
            return Err(InvalidMember {
                name: format!("#{id}"),
                what: "does not exist",
            });
        };
        member.name.clone_from(&slot.settings.name);
        member.check()?;
        let was = Arc::clone(&slot.settings);
        slot.set_settings(member, config);
        let is = &slot.settings;
        if is.flags.contains(Flags::IGNORE_ERRORS) {
            slot.circuit.close(now);
        }
        if is.flags.takes_new() && !was.flags.takes_own() {
            slot.circuit.restart(now);
        }
        if is.set != was.set {
            slot.took_part = false;
        }
        if is.weight != was.weight {
            self.restart_scores();
        }
        self.members_changed(now);
        self.changed(id, MemberChange::Updated);
        Ok(())
    }

    /// Members fail and recover by these rules from now on. The seed stays that of the beginning.
    pub fn set_config(&mut self, config: ClusterConfig, now: Instant) {
        self.config = config;
        for slot in &mut self.roster.slots {
            slot.set_config(&self.config);
        }
        self.members_changed(now);
    }

    fn members_changed(&mut self, now: Instant) {
        self.roster.index_sets();
        self.spare_too_few(now);
    }

    /// Chooses by another method from now on. The method before.
    pub fn set_method(&mut self, method: Method) -> Method {
        self.restart_scores();
        std::mem::replace(&mut self.method, method)
    }

    /// How members are chosen.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// All members join anew: scores by other weights or of another method mean nothing.
    fn restart_scores(&mut self) {
        for slot in &mut self.roster.slots {
            slot.took_part = false;
        }
    }

    /// The member of this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<MemberId> {
        let at = self.roster.named(name)?;
        self.roster.slots.get(at).map(|slot| slot.id)
    }

    /// As [`find`](Self::find).
    pub(super) fn named(&self, name: &str) -> Result<MemberId, InvalidMember> {
        self.find(name).ok_or_else(|| InvalidMember {
            name: name.into(),
            what: "does not exist",
        })
    }

    /// What is configured of a member.
    #[must_use]
    pub fn member(&self, id: MemberId) -> Option<&Arc<Member>> {
        self.roster.get(id).map(|slot| &slot.settings)
    }

    /// The member for a request. It counts as busy until [`ended`](Self::ended).
    ///
    /// # Errors
    /// [`Unavailable`] when no member can serve it.
    pub fn pick(&mut self, request: &RequestInfo<'_>, now: Instant) -> Result<Choice, Unavailable> {
        let mut advice = Advice::Unasked;
        loop {
            match self.try_pick(request, advice, now) {
                Ok(choice) => return Ok(choice),
                Err(NotSelected::Unavailable(none)) => return Err(none),
                Err(NotSelected::AskMethod(candidates)) => {
                    advice = match advice {
                        Advice::Unasked => ask(&self.method, request, &candidates),
                        Advice::Member(_) | Advice::Fallback => Advice::Fallback,
                    };
                }
            }
        }
    }

    /// As [`pick`](Self::pick), for a caller that asks a method of the user's by itself.
    pub(super) fn try_pick(
        &mut self,
        request: &RequestInfo<'_>,
        advice: Advice,
        now: Instant,
    ) -> Result<Choice, NotSelected> {
        let selected = Selection {
            roster: &mut self.roster,
            config: &self.config,
            method: &self.method,
            random: &mut self.random,
            scratch: &mut self.scratch,
            totals: &mut self.totals,
            request,
            advice,
            now,
        }
        .run()?;
        self.next_serial();
        Ok(self.elect(selected, request, now)?)
    }

    fn elect(
        &mut self,
        selected: SelectedMember,
        request: &RequestInfo<'_>,
        now: Instant,
    ) -> Result<Choice, Unavailable> {
        let SelectedMember {
            at,
            affinity,
            route,
        } = selected;
        let serial = self.serial;
        let Some(slot) = self.roster.slots.get_mut(at) else {
            return Err(Unavailable::none());
        };
        slot.busy += 1;
        let counters = &mut slot.counters;
        counters.max_busy = counters.max_busy.max(slot.busy);
        counters.elected = counters.elected.wrapping_add(1);
        if affinity == Affinity::Kept {
            counters.own_sessions = counters.own_sessions.wrapping_add(1);
            slot.last_own_session = Some(now);
        } else if request.may_begin_session() {
            counters.new_sessions = counters.new_sessions.wrapping_add(1);
        }
        let limiter = slot.limiter.as_mut();
        let load = limiter.map_or(Load::Usual, |limiter| limiter.enter(serial, slot.busy, now));
        Ok(Choice {
            load,
            id: slot.id,
            serial,
            started: now,
            waits_since: now,
            trial: slot.circuit.enter(serial, now),
            affinity,
            route,
            signs_of_life: slot.signs_of_life(),
            traffic: Arc::clone(&slot.traffic),
        })
    }

    /// The number of the next request.
    pub(super) fn next_serial(&mut self) -> u64 {
        self.serial = self.serial.wrapping_add(1);
        self.serial
    }

    /// A source of random numbers of one's own, which is the same with the same seed.
    pub(super) fn fork_random(&mut self) -> fastrand::Rng {
        self.random.fork()
    }

    /// Sets the counters of all members to zero.
    pub fn reset_counters(&mut self) {
        self.roster.slots.iter_mut().for_each(Slot::reset_counters);
        self.totals = Totals::default();
    }

    /// What has happened to members since the last call, oldest first; at most 1024 changes
    /// are kept.
    pub fn take_changes(&mut self) -> Vec<MemberEvent> {
        std::mem::take(&mut self.changes)
    }

    /// Notes a change of a member.
    pub(super) fn changed(&mut self, id: MemberId, change: MemberChange) {
        self.note(id, change, false);
    }

    /// As [`changed`](Self::changed); `again` where it only goes on.
    pub(super) fn note(&mut self, id: MemberId, change: MemberChange, again: bool) {
        if self.changes.len() >= MOST_CHANGES {
            self.changes.remove(0);
        }
        let name = self.member(id).map(|member| member.name().to_owned());
        self.changes.push(MemberEvent {
            id,
            name: name.unwrap_or_default(),
            change,
            again,
        });
    }
}

/// Asks a method of the user's.
pub(super) fn ask(method: &Method, request: &RequestInfo<'_>, candidates: &[Candidate]) -> Advice {
    let Method::Custom(custom) = method else {
        return Advice::Fallback;
    };
    let chosen = custom.choose(request, candidates);
    let chosen = candidates.get(chosen).or(candidates.last());
    chosen.map_or(Advice::Fallback, |chosen| Advice::Member(chosen.id))
}
