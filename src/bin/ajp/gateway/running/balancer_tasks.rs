//! What balancers do beside their requests: they check their members, and find them.

use crate::gateway::config::Plan;
use crate::gateway::manager::{Farm, Following, Place};
use ajp::Secret;
use ajp::balancer::Balancer;
use std::future::Future;
use std::sync::Arc;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;

/// A balancer with all that it does beside its requests: its checks, and members that come and go.
pub(super) struct BalancerTasks {
    pub(super) balancer: Balancer,
    checks: JoinHandle<()>,
    followed: Option<MemberSource>,
}

/// Where members are found.
struct MemberSource {
    finds: (String, Vec<Secret>),
    places: UnboundedSender<Place>,
    task: JoinHandle<()>,
}

impl BalancerTasks {
    pub(super) fn new(balancer: Balancer) -> Self {
        let checked = balancer.clone();
        Self {
            balancer,
            checks: tokio::spawn(async move { checked.run().await }),
            followed: None,
        }
    }

    /// Finds members where this plan says. Those that are known go on serving until there is an
    /// answer from there.
    pub(super) fn follow(&mut self, plan: &Plan, farm: &Arc<Farm>) {
        let wanted = plan.finds().zip(plan.discovery());
        let (before, wanted) = (self.followed.take(), wanted);
        self.followed = match (before, wanted) {
            (None, None) => None,
            (Some(before), None) => {
                before.task.abort();
                farm.remove_found(&self.balancer);
                None
            }
            (Some(mut before), Some((finds, place))) => {
                if before.finds != finds {
                    before.finds = finds;
                    // The task ends with the balancer only.
                    let _ = before.places.send(place);
                }
                Some(before)
            }
            (None, Some((finds, place))) => {
                let name = self.balancer.name();
                let leaving = place.1;
                let (following, places) = Following::new(Arc::clone(farm), name, place);
                let balancer = self.balancer.clone();
                let task = tokio::spawn(async move { balancer.follow(following, leaving).await });
                Some(MemberSource {
                    finds,
                    places,
                    task,
                })
            }
        };
    }
}

impl Drop for BalancerTasks {
    fn drop(&mut self) {
        self.checks.abort();
        if let Some(followed) = &self.followed {
            followed.task.abort();
        }
    }
}

/// Runs the health checks and discoveries of these balancers, those of others go on.
pub(super) fn tend(tended: &mut Vec<BalancerTasks>, plans: &[Plan], farm: &Arc<Farm>) {
    for plan in plans {
        let known = tended
            .iter()
            .position(|known| known.balancer.is_same(&plan.balancer));
        let at = known.unwrap_or_else(|| {
            tended.push(BalancerTasks::new(plan.balancer.clone()));
            tended.len().saturating_sub(1)
        });
        if let Some(tended) = tended.get_mut(at) {
            tended.follow(plan, farm);
        }
    }
}

/// Waits until balancers have members whose members must be found, each as long as its
/// `first_set` says. Without any it is as good as one whose members are all down: its requests
/// are answered with 503 until there are some.
pub(super) fn first_sets(plans: &[Plan]) -> impl Future<Output = ()> + Send + use<> {
    let start = tokio::time::Instant::now();
    let plans = plans.iter();
    let waits: Vec<_> = plans
        .filter_map(|plan| Some((plan.balancer.clone(), plan.first_set()?)))
        .collect();
    async move {
        for (balancer, limit) in waits {
            let until = start.checked_add(limit).unwrap_or(start);
            let found = tokio::time::timeout_at(until, balancer.wait_for_member());
            if found.await.is_err() {
                let name = balancer.name();
                tracing::warn!(
                    "balancer {name}: no member was found within {limit:?}, it answers 503"
                );
            }
        }
    }
}
