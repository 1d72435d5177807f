//! What the handles of a balancer and its picks share: a cluster behind a lock, with a pool
//! for each member.
//!
//! Nothing of the user's runs under this lock: no method, check, observer, subscriber or
//! closure, and nothing of theirs is dropped there.

use super::budget::BudgetAccount;
use super::cluster::{Cluster, MOST_QUESTIONS, ask};
use super::events::Announcer;
use super::failover::Failover;
use super::health::Health;
use super::member::{Member, MemberId};
use super::pick::Probe;
use super::request::{Choice, RequestInfo};
use super::select::{Advice, NotSelected};
use super::sticky::Sticky;
use super::unavailable::Unavailable;
use crate::client::Pool;
use crate::common::{CacheAligned, Striped};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Instant;
use tokio::sync::Notify;

/// What a balancer's picks keep. The outer `Arc` is made once for each thread: to clone it changes a count of
/// references that only this thread has, and not one that all cores share.
pub(super) type PerThreadShared = Arc<CacheAligned<Arc<Shared>>>;

pub(super) struct Shared {
    pub(super) name: String,
    /// Whether requests without facts about a client are this program's own.
    pub(super) own_requests: bool,
    pub(super) announcer: Announcer,
    /// Members were added, removed or changed.
    pub(super) changed: Notify,
    state: LockedState,
    rules: Striped<RwLock<PerThreadRules>>,
}

/// Aligned: it changes with every request, and what stands beside it does not.
#[repr(align(128))]
struct LockedState(Mutex<State>);

pub(super) struct State {
    pub(super) cluster: Cluster,
    pub(super) backends: BTreeMap<MemberId, Arc<Backend>>,
    pub(super) rules: Rules,
    pub(super) health: Option<Health>,
    pub(super) repeated: u64,
    pub(super) not_repeated: u64,
    account: BudgetAccount,
}

/// How requests are treated, as it is at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    pub(crate) sticky: Option<Arc<Sticky>>,
    pub(crate) failover: Arc<Failover>,
}

/// The rules that a request keeps, of its thread as [`PerThreadShared`] is.
pub(crate) type PerThreadRules = Arc<CacheAligned<Rules>>;

/// A member, and how it is reached. Shared as a whole: threads that pick the same member
/// contend for one count of references.
#[derive(Debug)]
pub(super) struct Backend {
    pub(super) pool: Pool,
    /// For health checks: beside the pool, so that they work also when that is used up by
    /// requests that hang.
    pub(super) checks: Pool,
    /// For asking whether the container is there when a request has failed. Requests that fail
    /// together share a question: it is one connection more, and not one for each.
    pub(super) probes: Pool,
    /// The last of these questions: when it was begun, and what came of it.
    pub(super) last_probe: tokio::sync::Mutex<Option<(Instant, Probe)>>,
    pub(super) member: Arc<Member>,
    /// Whether a discovery has added it: only such a member comes and goes with its set.
    pub(super) is_discovered: bool,
    /// Name and route of the member, for those who keep them.
    pub(super) names: (Arc<str>, Option<Arc<str>>),
}

impl Backend {
    pub(super) fn new(pool: Pool, member: Member, is_discovered: bool) -> Arc<Self> {
        let questions = Self::questions(&pool);
        Self::of(pool, questions, member, is_discovered)
    }

    /// The pools for health checks and for probes that belong to a pool of requests.
    pub(super) fn questions(pool: &Pool) -> (Pool, Pool) {
        (pool.for_questions(1), pool.for_questions(1))
    }

    /// The same pools, of a member that was changed.
    pub(super) fn with_member(&self, member: Member) -> Arc<Self> {
        let questions = (self.checks.clone(), self.probes.clone());
        Self::of(self.pool.clone(), questions, member, self.is_discovered)
    }

    /// The same member, reached through another pool.
    pub(super) fn with_pool(&self, pool: Pool, questions: (Pool, Pool)) -> Arc<Self> {
        let member = Member::clone(&self.member);
        Self::of(pool, questions, member, self.is_discovered)
    }

    fn of(
        pool: Pool,
        (checks, probes): (Pool, Pool),
        member: Member,
        is_discovered: bool,
    ) -> Arc<Self> {
        Arc::new(Self {
            pool,
            checks,
            probes,
            is_discovered,
            last_probe: tokio::sync::Mutex::default(),
            names: (member.name().into(), member.route_name().map(Into::into)),
            member: Arc::new(member),
        })
    }
}

impl State {
    /// Whether the budget pays for sending a request again.
    pub(super) fn pay(&mut self, now: Instant) -> bool {
        let paid = self.account.withdraw(self.rules.failover.budget, now);
        let count = if paid {
            &mut self.repeated
        } else {
            &mut self.not_repeated
        };
        *count = count.wrapping_add(1);
        paid
    }
}

/// A choice, and the member that it is of.
pub(super) type ChosenMember = (Choice, Arc<Backend>);

impl Shared {
    pub(super) fn new(
        name: String,
        health: Option<Health>,
        own_requests: bool,
        cluster: Cluster,
        rules: Rules,
    ) -> Self {
        Self {
            name,
            own_requests,
            announcer: Announcer::new(),
            changed: Notify::new(),
            rules: Striped::new(|| RwLock::new(Arc::new(CacheAligned::new(rules.clone())))),
            state: LockedState(Mutex::new(State {
                cluster,
                backends: BTreeMap::new(),
                rules,
                health,
                repeated: 0,
                not_repeated: 0,
                account: BudgetAccount::default(),
            })),
        }
    }

    /// Runs `f` under the lock, with the time, and then tells everybody what has changed.
    pub(super) fn with<T>(&self, f: impl FnOnce(&mut State, Instant) -> T) -> T {
        let now = tokio::time::Instant::now().into_std();
        self.change(|state| f(state, now))
    }

    /// How requests are treated, as it is at this moment.
    pub(super) fn rules(&self) -> PerThreadRules {
        let rules = self.rules.own().read();
        Arc::clone(&rules.unwrap_or_else(PoisonError::into_inner))
    }

    /// Treats requests otherwise from now on.
    pub(super) fn change_rules(&self, change: impl FnOnce(&mut Rules)) {
        self.rules.replace(|| {
            let rules = self.change(|state| {
                change(&mut state.rules);
                state.rules.clone()
            });
            move || Arc::new(CacheAligned::new(rules.clone()))
        });
    }

    /// As [`with`](Self::with), for what asks for no time: a look at the clock is what costs
    /// most of it.
    pub(super) fn change<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        let (result, changes) = {
            // No code of others runs under the lock, so that nothing panics there.
            let mut state = self.state.0.lock().unwrap_or_else(PoisonError::into_inner);
            let result = f(&mut state);
            (result, state.cluster.take_changes())
        };
        for change in changes {
            self.announcer.announce(change);
        }
        result
    }

    /// A member for a request. A method of the user's is asked without the lock; if the
    /// member that it wants cannot serve any more it is asked again.
    pub(super) fn choose(&self, request: &RequestInfo<'_>) -> Result<ChosenMember, Unavailable> {
        let mut advice = Advice::Unasked;
        for question in 0..=MOST_QUESTIONS {
            let tried = self.with(|state, now| {
                if question == 0 && request.tried.is_empty() {
                    let budget = state.rules.failover.budget;
                    state.account.deposit(budget, now);
                }
                match state.cluster.try_pick(request, advice, now) {
                    Ok(choice) => Ok(state.backend_of(choice)),
                    Err(NotSelected::Unavailable(none)) => Ok(Err(none)),
                    Err(NotSelected::AskMethod(candidates)) => {
                        Err((candidates, state.cluster.method.clone()))
                    }
                }
            });
            match tried {
                Ok(decided) => return decided,
                Err((candidates, method)) if question < MOST_QUESTIONS - 1 => {
                    advice = ask(&method, request, &candidates);
                }
                Err(_) => advice = Advice::Fallback,
            }
        }
        Err(Unavailable::none())
    }
}

impl State {
    fn backend_of(&mut self, choice: Choice) -> Result<ChosenMember, Unavailable> {
        if let Some(backend) = self.backends.get(&choice.id) {
            Ok((choice, Arc::clone(backend)))
        } else {
            self.cluster.ended(&choice);
            Err(Unavailable::none())
        }
    }
}
