//! Settings of a balancer that are changed while requests run, beside those of its
//! [handle](super::handle): how members are reached, how they fail and recover, how they are
//! checked.

use super::abandoned::AbandonedRequests;
use super::config::ClusterConfig;
use super::handle::Balancer;
use super::health::Health;
use super::member::InvalidMember;
use super::shared::Backend;
use crate::client::Pool;

impl Balancer {
    /// Reaches the member of this name through another pool from now on, such as one with other
    /// limits or of another address; gives the one before. All that is known of the member
    /// stays.
    ///
    /// Requests that run end over the pool that they began with: until then both may have as many
    /// connections as they are allowed.
    ///
    /// # Errors
    /// [`InvalidMember`] when there is none such.
    pub fn set_pool(&self, name: &str, pool: Pool) -> Result<Pool, InvalidMember> {
        // Made and dropped outside of the lock.
        let questions = Backend::questions(&pool);
        let (id, before) = self.with(|state, _| {
            let id = state.cluster.named(name)?;
            let before = state.backends.get_mut(&id).map(|backend| {
                let new = backend.with_pool(pool.clone(), questions);
                std::mem::replace(backend, new)
            });
            Ok((id, before))
        })?;
        pool.count_requests_with(AbandonedRequests::of(&self.shared, id));
        self.shared.changed.notify_waiters();
        // Every member has one.
        Ok(before.map_or(pool, |before| before.pool.clone()))
    }

    /// How members fail and recover.
    #[must_use]
    pub fn cluster_config(&self) -> ClusterConfig {
        self.with(|state, _| state.cluster.config.clone())
    }

    /// Lets members fail and recover by other rules from now on. What is known of them stays; the
    /// seed is that of the beginning. Where [`AdaptiveLimit`](super::AdaptiveLimit) changes the
    /// limits are found out anew.
    pub fn set_cluster_config(&self, config: ClusterConfig) {
        self.with(|state, now| state.cluster.set_config(config, now));
        self.shared.changed.notify_waiters();
    }

    /// How members are checked by [`run`](Self::run), if they are.
    #[must_use]
    pub fn health(&self) -> Option<Health> {
        self.with(|state, _| state.health.clone())
    }

    /// Checks members otherwise from now on, or not at all: then those that checks had taken out
    /// serve again.
    pub fn set_health(&self, health: impl Into<Option<Health>>) {
        let health = health.into();
        let before = self.with(|state, now| {
            if health.is_none() {
                state.cluster.forget_checks(now);
            }
            std::mem::replace(&mut state.health, health)
        });
        self.shared.changed.notify_waiters();
        // The check may be the user's, and is not dropped under the lock.
        drop(before);
    }
}
