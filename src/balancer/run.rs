//! What a balancer does without being asked: health checks and the upkeep of the pools.

use super::Flags;
use super::handle::Balancer;
use super::health::{CheckError, Health};
use super::member::MemberId;
use super::request::CheckOutcome;
use super::shared::{Backend, State};
use crate::client::CPingMode;
use crate::trace::event;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// The first checks of a balancer's members are spread over so much time at most.
const LONGEST_HEAD_START: Duration = Duration::from_secs(1);

/// How often a member under load is asked how long requests wait, if there is an adaptive limit.
const LOAD_INTERVAL: Duration = Duration::from_secs(1);

/// The task of one member, and whether it checks its health.
struct MemberTask {
    task: AbortHandle,
    checks: bool,
}

impl Balancer {
    /// Looks after the members, each in a task of its own: checks them again and again, as
    /// [`BalancerConfig::with_health`] says, keeps their pools in order
    /// ([`Pool::maintain`](crate::client::Pool::maintain)), and asks those under load how long
    /// requests wait ([`AdaptiveLimit`](super::AdaptiveLimit)). Never ends: run it in a task beside
    /// the requests.
    ///
    /// [`BalancerConfig::with_health`]: super::BalancerConfig::with_health
    ///
    /// # Cancel safety
    /// Dropping the future ends all of this. It needs a tokio runtime with time.
    pub async fn run(&self) {
        let mut tasks = JoinSet::new();
        let mut running: BTreeMap<MemberId, MemberTask> = BTreeMap::new();
        loop {
            // Made before the members are looked at: no change is missed in between.
            let changed = self.shared.changed.notified();
            let members = self.members_and_checks();
            running.retain(|id, member| {
                let wanted = members.iter().find(|(known, ..)| known == id);
                let stays = wanted.is_some_and(|(.., checks)| *checks == member.checks);
                if !stays {
                    member.task.abort();
                }
                stays
            });
            for (id, backend, checks) in members {
                running.entry(id).or_insert_with(|| MemberTask {
                    task: tasks.spawn(look_after(self.clone(), id, backend, checks)),
                    checks,
                });
            }
            // Tasks that were ended are forgotten.
            while tasks.try_join_next().is_some() {}
            changed.await;
        }
    }

    fn has_adaptive_limit(&self) -> bool {
        self.shared
            .with(|state, _| state.cluster.config.adaptive_limit.is_some())
    }

    /// All members, and whether health checks are for them.
    fn members_and_checks(&self) -> Vec<(MemberId, Arc<Backend>, bool)> {
        let has_checks = self.shared.health.is_some();
        self.shared.with(|state, _| {
            let backends = state.backends.iter();
            let members = backends.map(|(id, backend)| {
                let stopped = backend.member.flags.contains(Flags::STOPPED);
                (*id, Arc::clone(backend), has_checks && !stopped)
            });
            members.collect()
        })
    }
}

/// Looks after one member until the task is ended.
async fn look_after(balancer: Balancer, id: MemberId, backend: Arc<Backend>, checks: bool) {
    let checking = async {
        match balancer.shared.health.clone() {
            Some(health) if checks => check_again_and_again(&balancer, id, &backend, &health).await,
            _ => std::future::pending().await,
        }
    };
    let measuring = async {
        match backend.pool.config().cping() {
            // A container that does not know it.
            CPingMode::NEVER => {}
            _ if balancer.has_adaptive_limit() => measure_load(&balancer, id, &backend).await,
            _ => {}
        }
    };
    tokio::join!(checking, measuring, backend.pool.maintain());
}

/// Asks with `CPing` again and again how long a request waits for a thread of the container.
async fn measure_load(balancer: &Balancer, id: MemberId, backend: &Backend) {
    let questions = backend.pool.for_questions(1);
    loop {
        sleep(LOAD_INTERVAL).await;
        let is_loaded = |state: &mut State, now| state.cluster.is_under_load(id, now);
        if !balancer.shared.with(is_loaded) {
            continue;
        }
        // One that fails says nothing of the load; requests find out what it is.
        if let Ok(round_trip) = questions.ping().await {
            balancer
                .shared
                .with(|state, now| state.cluster.cping_answered(id, round_trip, now));
        }
    }
}

async fn check_again_and_again(
    balancer: &Balancer,
    id: MemberId,
    backend: &Backend,
    health: &Health,
) {
    let mut random = balancer.shared.with(|state, _| state.cluster.fork_random());
    let tenth = health.interval.div_f64(10.0);
    sleep(tenth.min(LONGEST_HEAD_START).mul_f64(random.f64())).await;
    loop {
        let started = Instant::now();
        check_once(balancer, id, backend, health).await;
        let pause = health.interval.saturating_sub(tenth.mul_f64(random.f64()));
        match started.checked_add(pause) {
            Some(next) => sleep_until(next).await,
            // An interval beyond what the clock can express never comes round.
            None => return,
        }
    }
}

async fn check_once(balancer: &Balancer, id: MemberId, backend: &Backend, health: &Health) {
    let signs_of_life = balancer
        .shared
        .with(|state, _| state.cluster.signs_of_life(id));
    // In a task of its own, so that a check that panics ends nothing but itself. It is ended
    // with this future.
    let mut task = JoinSet::new();
    let (check, pool, limit) = (
        Arc::clone(&health.check),
        backend.checks.clone(),
        health.limit,
    );
    task.spawn(async move {
        let late = || Err(CheckError::Late("no answer in time".into()));
        timeout(limit, check.check(&pool))
            .await
            .unwrap_or_else(|_| late())
    });
    let result = match task.join_next().await {
        Some(Ok(result)) => result,
        Some(Err(_)) | None => Err(CheckError::Unknown("the health check panicked".into())),
    };
    let outcome = match &result {
        Ok(()) => CheckOutcome::Passed,
        Err(CheckError::Late(error)) if health.check.waits_for_a_thread() => CheckOutcome::Late {
            error,
            signs_of_life,
        },
        Err(CheckError::Failed(error) | CheckError::Late(error)) => CheckOutcome::Failed(error),
        Err(CheckError::Unknown(error)) => {
            event!(WARN, member = backend.member.name(), %error, "an AJP health check says nothing");
            let _ = error;
            return;
        }
    };
    let limits = (health.rise, health.fall);
    balancer
        .shared
        .with(|state, now| state.cluster.checked(id, outcome, limits, now));
}
