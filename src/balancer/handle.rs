//! The balancer that programs hold.

use super::abandoned::AbandonedRequests;
use super::cluster::Cluster;
use super::config::ClusterConfig;
use super::events::MemberEvents;
use super::failover::Failover;
use super::flags::Flags;
use super::health::Health;
use super::member::{InvalidMember, Member, MemberId};
use super::method::Method;
use super::pick::Pick;
use super::request::RequestInfo;
use super::shared::{Backend, PerThreadRules, Rules, Shared, State};
use super::sticky::Sticky;
use super::unavailable::Unavailable;
use crate::client::repeat::Repeat;
use crate::client::{ClientError, Pool};
use crate::common::Striped;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

/// Settings of a [`Balancer`].
#[derive(Debug, Clone, Default)]
pub struct BalancerConfig {
    pub(super) name: String,
    pub(super) cluster: ClusterConfig,
    pub(super) sticky: Option<Sticky>,
    pub(super) failover: Failover,
    pub(super) health: Option<Health>,
    pub(super) own_requests: bool,
}

impl BalancerConfig {
    /// Settings of a balancer of this name, without sticky sessions and health checks.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ..Self::default()
        }
    }

    /// How members fail and recover.
    #[must_use]
    pub fn with_cluster(mut self, cluster: ClusterConfig) -> Self {
        self.cluster = cluster;
        self
    }

    /// Where session ids are found. Default nowhere.
    #[must_use]
    pub fn with_sticky(mut self, sticky: impl Into<Option<Sticky>>) -> Self {
        self.sticky = sticky.into();
        self
    }

    /// What happens to requests that a member fails to serve.
    #[must_use]
    pub fn with_failover(mut self, failover: Failover) -> Self {
        self.failover = failover;
        self
    }

    /// How members are checked by [`Balancer::run`]. Default not at all.
    #[must_use]
    pub fn with_health(mut self, health: impl Into<Option<Health>>) -> Self {
        self.health = health.into();
        self
    }

    /// Whether the balancer is for requests that this program makes itself: then those without
    /// [`RequestFacts`](crate::client::RequestFacts) are sent with
    /// [`RequestFacts::own_request`](crate::client::RequestFacts::own_request). Default not:
    /// they are refused, as the members would take this machine for their client.
    #[must_use]
    pub fn with_own_requests(mut self, on: bool) -> Self {
        self.own_requests = on;
        self
    }
}

/// Several containers that serve the same application. Cloning gives another handle to the
/// same balancer.
///
/// [`send`](Self::send) sends a request, with failover; [`pick`](Self::pick) only chooses a
/// member and gives its pool.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use ajp::balancer::{Balancer, BalancerConfig, Member, Sticky};
/// use ajp::client::{Address, Pool, PoolConfig, RequestFacts};
///
/// let config = BalancerConfig::new("app").with_sticky(Sticky::new("JSESSIONID|jsessionid")?);
/// let balancer = Balancer::new(config);
/// for (name, address) in [("jvm1", "ajp://10.0.0.1"), ("jvm2", "ajp://10.0.0.2")] {
///     let pool = Pool::new(address.parse::<Address>()?, PoolConfig::default());
///     balancer.add(Member::new(name).with_route(name), pool)?;
/// }
/// let health = balancer.clone();
/// tokio::spawn(async move { health.run().await });
/// // As a web server knows them of the connection that the request came over.
/// let (remote, local) = (([192, 0, 2, 10], 51234).into(), ([192, 0, 2, 1], 80).into());
/// let request = http::Request::get("http://app.example/")
///     .extension(RequestFacts::from_connection(remote, local))
///     .body(http_body_util::Empty::<bytes::Bytes>::new())?;
/// let response = balancer.send(request).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Balancer {
    pub(super) shared: Arc<Shared>,
    /// For picks.
    per_thread: Arc<Striped<Arc<Shared>>>,
}

impl Balancer {
    /// A balancer without members that chooses [by requests](Method::ByRequests).
    #[must_use]
    pub fn new(config: BalancerConfig) -> Self {
        let rules = Rules {
            sticky: config.sticky.map(Arc::new),
            failover: Arc::new(config.failover),
        };
        let cluster = Cluster::new(config.cluster);
        let own_requests = config.own_requests;
        let shared = Shared::new(config.name, config.health, own_requests, cluster, rules);
        let shared = Arc::new(shared);
        let per_thread = Striped::new(|| Arc::clone(&shared));
        Self {
            shared,
            per_thread: Arc::new(per_thread),
        }
    }

    /// Runs `f` under the lock, with the time.
    pub(super) fn with<T>(&self, f: impl FnOnce(&mut State, Instant) -> T) -> T {
        self.shared.with(f)
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Whether both are handles to the same balancer.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// Whether requests without facts about a client are this program's own.
    pub(crate) fn is_for_own_requests(&self) -> bool {
        self.shared.own_requests
    }

    /// Adds a member; it is reached through `pool`. That is to be a pool of the member's own: a
    /// request over it whose caller has gone keeps this member
    /// [busy](crate::client::PoolConfig::with_abandoned), whoever has sent it.
    ///
    /// # Errors
    /// [`InvalidMember`] when a name or route cannot be one, or the name is in use.
    pub fn add(&self, member: Member, pool: Pool) -> Result<MemberId, InvalidMember> {
        self.add_backend(&Backend::new(pool, member.clone(), false), member)
    }

    /// Adds a member that a discovery has found.
    pub(super) fn add_discovered(
        &self,
        member: Member,
        pool: Pool,
    ) -> Result<MemberId, InvalidMember> {
        self.add_backend(&Backend::new(pool, member.clone(), true), member)
    }

    /// Whether a discovery has added the member of this name; `None` if there is none such.
    pub(super) fn is_discovered(&self, name: &str) -> Option<bool> {
        self.with(|state, _| {
            let id = state.cluster.find(name)?;
            state.backends.get(&id).map(|backend| backend.is_discovered)
        })
    }

    fn add_backend(
        &self,
        backend: &Arc<Backend>,
        member: Member,
    ) -> Result<MemberId, InvalidMember> {
        // If it cannot be added it is dropped here, and not under the lock.
        let added = Arc::clone(backend);
        let id = self.with(|state, now| {
            let id = state.cluster.add(member, now)?;
            state.backends.insert(id, added);
            Ok(id)
        })?;
        let pool = &backend.pool;
        pool.count_requests_with(AbandonedRequests::of(&self.shared, id));
        self.shared.changed.notify_waiters();
        Ok(id)
    }

    /// Removes the member of this name. Requests that it is serving end undisturbed; its
    /// connections are closed with the last of them.
    ///
    /// # Errors
    /// [`InvalidMember`] when there is none such.
    pub fn remove(&self, name: &str) -> Result<(), InvalidMember> {
        let backend = self.with(|state, now| {
            let id = state.cluster.named(name)?;
            state.cluster.remove(id, now);
            Ok(state.backends.remove(&id))
        })?;
        self.shared.changed.notify_waiters();
        // Outside the lock: it closes connections.
        drop(backend);
        Ok(())
    }

    /// Removes the member of this name if it is draining at this moment.
    pub(super) fn remove_draining(&self, name: &str) {
        let backend = self.with(|state, now| {
            let id = state.cluster.named(name).ok()?;
            let member = state.cluster.member(id)?;
            if !member.flags.contains(Flags::DRAINING) {
                return None;
            }
            state.cluster.remove(id, now);
            state.backends.remove(&id)
        });
        self.shared.changed.notify_waiters();
        // Outside the lock: it closes connections.
        drop(backend);
    }

    /// Changes what is configured of the member of this name: weight, flags, set and so on.
    /// The name stays.
    ///
    /// `change` runs under no lock and may ask the balancer. If the member was changed by
    /// somebody else meanwhile it is called again, with the member as it is then.
    ///
    /// # Errors
    /// [`InvalidMember`] when there is none such, or it cannot be like this.
    pub fn update(
        &self,
        name: &str,
        mut change: impl FnMut(Member) -> Member,
    ) -> Result<(), InvalidMember> {
        loop {
            let (id, before) = self.with(|state, _| {
                let id = state.cluster.named(name)?;
                Ok((id, state.cluster.member(id).cloned()))
            })?;
            let Some(before) = before else {
                continue;
            };
            let after = change(Member::clone(&before));
            let replaced = self.with(|state, now| {
                let now_is = state.cluster.member(id);
                if !now_is.is_some_and(|now_is| Arc::ptr_eq(now_is, &before)) {
                    return Ok(None);
                }
                state.cluster.update(id, after, now)?;
                let member = state.cluster.member(id).cloned();
                let (Some(member), Some(backend)) = (member, state.backends.get_mut(&id)) else {
                    return Ok(None);
                };
                let new = backend.with_member(Member::clone(&member));
                Ok(Some(std::mem::replace(backend, new)))
            })?;
            if replaced.is_some() {
                self.shared.changed.notify_waiters();
                return Ok(());
            }
        }
    }

    /// What is configured of all members, in the order in which they were added.
    #[must_use]
    pub fn members(&self) -> Vec<Member> {
        self.with(|state, _| {
            let backends = state.backends.values();
            backends
                .map(|backend| Member::clone(&backend.member))
                .collect()
        })
    }

    /// Waits until there is a member: for programs that have their members from a
    /// [discovery](Self::follow), and are not to take requests before.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn wait_for_member(&self) {
        loop {
            let changed = self.shared.changed.notified();
            tokio::pin!(changed);
            // From here on no change is missed.
            changed.as_mut().enable();
            if self.with(|state, _| !state.backends.is_empty()) {
                return;
            }
            changed.await;
        }
    }

    /// The pool of the member of this name, for its numbers and its size
    /// ([`Pool::resize`]).
    #[must_use]
    pub fn pool(&self, name: &str) -> Option<Pool> {
        self.with(|state, _| {
            let id = state.cluster.named(name).ok()?;
            state.backends.get(&id).map(|backend| backend.pool.clone())
        })
    }

    /// How it chooses.
    #[must_use]
    pub fn method(&self) -> Method {
        self.with(|state, _| state.cluster.method().clone())
    }

    /// Chooses by another method from now on.
    pub fn set_method(&self, method: Method) {
        // The one before may be of the user's, and is not dropped under the lock.
        let before = self.with(|state, _| state.cluster.set_method(method));
        drop(before);
    }

    /// What happens to members from now on.
    #[must_use]
    pub fn events(&self) -> MemberEvents {
        self.shared.announcer.subscribe()
    }

    /// Finds session ids elsewhere from now on, or nowhere.
    pub fn set_sticky(&self, sticky: impl Into<Option<Sticky>>) {
        let sticky = sticky.into().map(Arc::new);
        self.shared.change_rules(|rules| rules.sticky = sticky);
    }

    /// Where session ids are found.
    #[must_use]
    pub fn sticky(&self) -> Option<Arc<Sticky>> {
        self.with(|state, _| state.rules.sticky.clone())
    }

    /// By which rules failed requests are treated.
    #[must_use]
    pub fn failover(&self) -> Arc<Failover> {
        self.with(|state, _| Arc::clone(&state.rules.failover))
    }

    /// Both, as they are at this moment.
    pub(crate) fn rules(&self) -> PerThreadRules {
        self.shared.rules()
    }

    /// Treats failed requests by other rules from now on.
    pub fn set_failover(&self, failover: Failover) {
        let failover = Arc::new(failover);
        self.shared.change_rules(|rules| rules.failover = failover);
    }

    /// Believes the member of this name to be well, whatever has happened.
    ///
    /// # Errors
    /// [`InvalidMember`] when there is none such.
    pub fn recover(&self, name: &str) -> Result<(), InvalidMember> {
        self.with(|state, now| {
            let id = state.cluster.named(name)?;
            state.cluster.recover(id, now);
            Ok(())
        })
    }

    /// Sets all counters to zero.
    pub fn reset_counters(&self) {
        self.with(|state, _| {
            state.cluster.reset_counters();
            (state.repeated, state.not_repeated) = (0, 0);
        });
    }

    /// A member for a request. It counts as busy until the pick is dropped.
    ///
    /// # Errors
    /// [`Unavailable`] when no member can serve it.
    pub fn pick(&self, request: &RequestInfo<'_>) -> Result<Pick, Unavailable> {
        let chosen = self.shared.choose(request)?;
        Ok(Pick::new(Arc::clone(self.per_thread.own()), chosen))
    }

    /// Whether a request that failed with `error` may be sent to another member, by the
    /// rules of [`Failover`]. Takes it from the budget.
    #[must_use]
    pub fn may_repeat(&self, error: &ClientError, idempotent: bool, body_at_hand: bool) -> bool {
        self.with(
            |state, now| match state.rules.failover.repeat(error, idempotent, body_at_hand) {
                Repeat::No => false,
                Repeat::Unseen => true,
                Repeat::Harmless => state.pay(now),
            },
        )
    }

    /// Whether the budget pays for sending a request again that was answered.
    pub(crate) fn pay(&self) -> bool {
        self.with(State::pay)
    }

    /// Another member gave a better answer to a request that the member of this choice had
    /// answered with this status, or nobody else was asked.
    pub(crate) fn was_unfit(&self, choice: &super::Choice, status: u16) {
        self.shared
            .with(|state, now| state.cluster.was_unfit(choice, status, now));
    }
}

impl fmt::Debug for Balancer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Balancer")
            .field("name", &self.shared.name)
            .finish_non_exhaustive()
    }
}
