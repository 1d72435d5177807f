//! What a balancer does without being asked: health checks and the upkeep of the pools.

use super::Flags;
use super::handle::Balancer;
use super::health::{CheckError, Health};
use super::member::MemberId;
use super::request::CheckOutcome;
use super::shared::{Backend, State};
use crate::client::{CPingMode, Pool};
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

/// The task of one member, and what it looks after.
struct MemberTask {
    task: AbortHandle,
    duties: Duties,
}

/// What is to be done for one member.
#[derive(Clone)]
struct Duties {
    pool: Pool,
    /// None: it is not checked.
    health: Option<Health>,
    /// Whether there is an adaptive limit.
    measures_load: bool,
}

impl Duties {
    fn is_same(&self, other: &Self) -> bool {
        let same_health = match (&self.health, &other.health) {
            (None, None) => true,
            (Some(one), Some(other)) => one.is_same(other),
            _ => false,
        };
        same_health && self.measures_load == other.measures_load && self.pool.is_same(&other.pool)
    }
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
            let members = self.members_and_duties();
            running.retain(|id, member| {
                let wanted = members.iter().find(|(known, ..)| known == id);
                let stays = wanted.is_some_and(|(.., duties)| duties.is_same(&member.duties));
                if !stays {
                    member.task.abort();
                }
                stays
            });
            for (id, backend, duties) in members {
                running.entry(id).or_insert_with(|| MemberTask {
                    task: tasks.spawn(look_after(self.clone(), id, backend, duties.clone())),
                    duties,
                });
            }
            // Tasks that were ended are forgotten.
            while tasks.try_join_next().is_some() {}
            changed.await;
        }
    }

    /// All members, and what is to be done for them.
    fn members_and_duties(&self) -> Vec<(MemberId, Arc<Backend>, Duties)> {
        self.shared.with(|state, _| {
            let backends = state.backends.iter();
            let members = backends.map(|(id, backend)| {
                let stopped = backend.member.flags.contains(Flags::STOPPED);
                let duties = Duties {
                    pool: backend.pool.clone(),
                    health: state.health.clone().filter(|_| !stopped),
                    measures_load: state.cluster.config.adaptive_limit.is_some(),
                };
                (*id, Arc::clone(backend), duties)
            });
            members.collect()
        })
    }
}

/// Looks after one member until the task is ended.
async fn look_after(balancer: Balancer, id: MemberId, backend: Arc<Backend>, duties: Duties) {
    let checking = async {
        match &duties.health {
            Some(health) => check_again_and_again(&balancer, id, &backend, health).await,
            None => std::future::pending().await,
        }
    };
    let measuring = async {
        match backend.pool.config().cping() {
            // A container that does not know it.
            CPingMode::NEVER => {}
            _ if duties.measures_load => measure_load(&balancer, id, &backend).await,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balancer::CPing;
    use crate::client::{Address, PoolConfig};

    /// A task goes on while it has the same to do.
    #[test]
    fn duties_are_the_same_if_nothing_of_them_differs() {
        let pool = || Pool::new(Address::tcp("localhost", 8009), PoolConfig::new());
        let health = Health::new(CPing);
        let duties = Duties {
            pool: pool(),
            health: Some(health.clone()),
            measures_load: true,
        };
        assert!(duties.is_same(&duties.clone()));
        let unchecked = Duties {
            health: None,
            ..duties.clone()
        };
        assert!(unchecked.is_same(&unchecked.clone()));
        for other in [
            unchecked,
            Duties {
                pool: pool(),
                ..duties.clone()
            },
            Duties {
                health: Some(health.with_rise(9)),
                ..duties.clone()
            },
            Duties {
                measures_load: false,
                ..duties.clone()
            },
        ] {
            assert!(!duties.is_same(&other) && !other.is_same(&duties));
        }
    }
}
