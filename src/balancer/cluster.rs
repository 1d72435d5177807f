//! The members of one balancer, and the bookkeeping of their requests. No IO; time and
//! randomness come from outside.

use super::Flags;
use super::config::ClusterConfig;
use super::member::{InvalidMember, Member, MemberId};
use super::method::{ByRequests, Candidates, Method};
use super::random::Random;
use super::request::{Affinity, Ask, Choice};
use super::select::{Scratch, Unavailable};
use super::slot::Slot;
use super::sticky::Session;
use std::sync::Arc;
use std::time::Instant;

/// Members, and which of them serves a request (protocol chapter
/// [balancing](crate::docs::protocol::balancing)). Give it the same calls, times and random numbers
/// and it chooses the same members.
///
/// ```
/// use ajp::balancer::{Ask, Cluster, ClusterConfig, Member, Outcome, Seeded};
/// use std::time::Instant;
///
/// let mut cluster = Cluster::new(ClusterConfig::default());
/// let now = Instant::now();
/// let a = cluster.add(Member::new("a"), now)?;
/// let b = cluster.add(Member::new("b").with_weight("2".parse()?), now)?;
/// let mut random = Seeded::new(1);
/// let mut served = Vec::new();
/// for _ in 0..6 {
///     let choice = cluster.pick(&Ask::new(), now, &mut random)?;
///     served.push(choice.member());
///     cluster.answered(&choice, Outcome::Answered { status: 200 }, now);
///     cluster.ended(&choice);
/// }
/// assert_eq!(served, [b, a, b, b, a, b]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Cluster {
    pub(super) config: ClusterConfig,
    pub(super) method: Box<dyn Method>,
    /// By id.
    pub(super) slots: Vec<Slot>,
    /// Those in use, in order.
    pub(super) sets: Vec<u32>,
    pub(super) scratch: Scratch,
    pub(super) next_id: u64,
    pub(super) serial: u64,
    pub(super) totals: Totals,
}

/// What concerns no single member.
#[derive(Debug, Clone, Default)]
pub(super) struct Totals {
    pub(super) unknown_routes: u64,
    pub(super) last_unknown_route: Option<String>,
    pub(super) moved_sessions: u64,
    pub(super) lost_sessions: u64,
    pub(super) refused_full: u64,
    pub(super) refused_down: u64,
    pub(super) forced_recoveries: u64,
}

impl Cluster {
    /// A cluster without members that chooses [by requests](ByRequests).
    #[must_use]
    pub fn new(config: ClusterConfig) -> Self {
        Self {
            config,
            method: Box::new(ByRequests),
            slots: Vec::new(),
            sets: Vec::new(),
            scratch: Scratch::default(),
            next_id: 0,
            serial: 0,
            totals: Totals::default(),
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
        self.next_id = self.next_id.saturating_add(1);
        let mut slot = Slot::new(id, member, &self.config);
        slot.score = self.method.first_score(slot.settings.weight.hundredths());
        let running = self.serial > 0;
        if running {
            slot.circuit.restart(now);
        }
        self.slots.push(slot);
        self.index_sets();
        if running {
            self.joined(id, now);
        }
        Ok(id)
    }

    /// Removes a member: it serves nobody any more. Its running requests may end; it is
    /// gone with the last of them. Whether it was there.
    pub fn remove(&mut self, id: MemberId) -> bool {
        let Some(slot) = self.slot_mut(id).filter(|slot| !slot.leaving) else {
            return false;
        };
        slot.leaving = true;
        if slot.busy == 0 {
            self.slots.retain(|slot| slot.id != id);
        }
        self.index_sets();
        true
    }

    /// Changes what is configured of a member; its name stays.
    ///
    /// # Errors
    /// [`InvalidMember`] when there is none such, or it cannot be like this.
    pub fn update(
        &mut self,
        id: MemberId,
        change: impl FnOnce(Member) -> Member,
        now: Instant,
    ) -> Result<(), InvalidMember> {
        let config = &self.config;
        let slot = self.slots.iter_mut().find(|slot| slot.id == id);
        let Some(slot) = slot.filter(|slot| !slot.leaving) else {
            return Err(InvalidMember {
                name: format!("#{id}"),
                what: "does not exist",
            });
        };
        let mut changed = change(slot.settings.clone());
        changed.name.clone_from(&slot.settings.name);
        changed.check()?;
        let resumes = changed.flags.takes_new() && !slot.settings.flags.takes_new();
        let was_off = !slot.settings.flags.takes_own();
        slot.set_settings(changed, config);
        if slot.settings.flags.contains(Flags::IGNORE_ERRORS) {
            slot.circuit.close(now);
        }
        if resumes && was_off {
            slot.circuit.restart(now);
        }
        if resumes {
            self.joined(id, now);
        }
        self.index_sets();
        Ok(())
    }

    /// Chooses by another method from now on.
    pub fn set_method(&mut self, method: Box<dyn Method>) {
        self.method = method;
        for slot in &mut self.slots {
            slot.score = self.method.first_score(slot.settings.weight.hundredths());
        }
    }

    /// The member of this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<MemberId> {
        // One that is leaving has given its name up.
        let named = |slot: &&Slot| !slot.leaving && slot.settings.name == name;
        self.slots.iter().find(named).map(|slot| slot.id)
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
    pub fn member(&self, id: MemberId) -> Option<&Member> {
        self.slot(id).map(|slot| &slot.settings)
    }

    /// The member for a request. It counts as busy until [`ended`](Self::ended).
    ///
    /// # Errors
    /// [`Unavailable`] when no member can serve it.
    pub fn pick(
        &mut self,
        ask: &Ask<'_>,
        now: Instant,
        random: &mut dyn Random,
    ) -> Result<Choice, Unavailable> {
        let (at, affinity) = self.select(ask, now, random)?;
        self.serial = self.serial.saturating_add(1);
        let serial = self.serial;
        let Some(slot) = self.slots.get_mut(at) else {
            return Err(Unavailable::none());
        };
        slot.busy = slot.busy.saturating_add(1);
        let counters = &mut slot.counters;
        counters.max_busy = counters.max_busy.max(slot.busy);
        counters.elected = counters.elected.saturating_add(1);
        if affinity == Affinity::Kept {
            counters.own_sessions = counters.own_sessions.saturating_add(1);
            slot.last_own_session = Some(now);
        } else if !ask.session.is_some_and(Session::is_present) {
            counters.new_sessions = counters.new_sessions.saturating_add(1);
        }
        Ok(Choice {
            id: slot.id,
            serial,
            started: now,
            trial: slot.circuit.enter(serial, now),
            affinity,
            traffic: Arc::clone(&slot.traffic),
        })
    }

    /// Sets the counters of all members to zero.
    pub fn reset_counters(&mut self) {
        self.slots.iter_mut().for_each(Slot::reset_counters);
        self.totals = Totals::default();
    }

    /// Tells the method that a member begins to serve.
    pub(super) fn joined(&mut self, id: MemberId, now: Instant) {
        let mut order = std::mem::take(&mut self.scratch.order);
        order.clear();
        let serving = self.slots.iter().enumerate().filter(|(_, slot)| {
            slot.id == id || (slot.settings.flags.takes_new() && slot.is_usable(now))
        });
        order.extend(serving.map(|(at, _)| at));
        let at = order
            .iter()
            .position(|&at| self.slots.get(at).is_some_and(|slot| slot.id == id));
        if let Some(at) = at {
            let mut candidates = Candidates::new(&mut self.slots, &order, now, false);
            self.method.joined(&mut candidates, at);
        }
        self.scratch.order = order;
    }

    fn index_sets(&mut self) {
        let serving = self.slots.iter().filter(|slot| !slot.leaving);
        self.sets = serving.map(|slot| slot.settings.set).collect();
        self.sets.sort_unstable();
        self.sets.dedup();
    }

    pub(super) fn slot(&self, id: MemberId) -> Option<&Slot> {
        let at = self.slots.binary_search_by_key(&id, |slot| slot.id).ok()?;
        self.slots.get(at)
    }

    pub(super) fn slot_mut(&mut self, id: MemberId) -> Option<&mut Slot> {
        let at = self.slots.binary_search_by_key(&id, |slot| slot.id).ok()?;
        self.slots.get_mut(at)
    }
}
