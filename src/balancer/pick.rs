//! The guard of one chosen member: holds its slot, takes the outcome. Choosing is in `select.rs`.

use super::failover::Failover;
use super::fault::Fault;
use super::member::{Member, MemberId};
use super::request::{Affinity, Choice, RequestOutcome};
use super::shared::{Backend, ChosenMember, PerThreadShared};
use crate::client::{Blame, CPingMode, ClientError, ErrorKind, Pool, RequestTimeouts};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The guard of one chosen member: it holds the member's slot for a request and takes the
/// outcome. Dropping it ends the request; if no outcome was told before, nothing is learned of
/// the member.
///
/// ```no_run
/// # use ajp::balancer::{Balancer, RequestOutcome, RequestInfo};
/// # use ajp::client::ClientError;
/// # async fn exchange(pool: &ajp::client::Pool) -> Result<u16, ClientError> { Ok(200) }
/// # async fn example(balancer: Balancer) -> Result<(), Box<dyn std::error::Error>> {
/// let mut tried = Vec::new();
/// let status = loop {
///     let mut pick = balancer.pick(&RequestInfo::new().with_tried(&tried))?;
///     tried.push(pick.id());
///     if !pick.is_up().await {
///         continue;
///     }
///     match exchange(pick.pool()).await {
///         Ok(status) => {
///             pick.answered(RequestOutcome::Answered { status });
///             break status;
///         }
///         Err(error) => {
///             pick.failed(&error).await;
///             if !balancer.may_repeat(&error, true, true) {
///                 return Err(error.into());
///             }
///         }
///     }
/// };
/// # Ok(())
/// # }
/// ```
#[must_use = "the member is chosen for nothing"]
pub struct Pick {
    shared: PerThreadShared,
    choice: Choice,
    backend: Arc<Backend>,
    stage: Stage,
}

/// How much the cluster knows of a pick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// No outcome.
    Running,
    /// The outcome, and the member is busy with the rest.
    Answered,
    Ended,
}

/// What came of asking a container whether it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Probe {
    Answered,
    /// It cannot be reached.
    Unreachable,
    /// It did not answer in time.
    Late,
    /// It was not asked, or this side could not ask.
    NotAsked,
}

impl Pick {
    pub(super) fn new(shared: PerThreadShared, (choice, backend): ChosenMember) -> Self {
        Self {
            shared,
            choice,
            backend,
            stage: Stage::Running,
        }
    }

    /// Which member it is.
    #[must_use]
    pub fn id(&self) -> MemberId {
        self.choice.id
    }

    /// What is configured of it.
    #[must_use]
    pub fn member(&self) -> &Arc<Member> {
        &self.backend.member
    }

    /// How to reach it.
    #[must_use]
    pub fn pool(&self) -> &Pool {
        &self.backend.pool
    }

    /// How it was chosen with regard to the session.
    #[must_use]
    pub fn affinity(&self) -> Affinity {
        self.choice.affinity
    }

    /// Which of the session's routes has led to it: [`Choice::route`].
    #[must_use]
    pub fn route(&self) -> Option<usize> {
        self.choice.route
    }

    /// Whether this request alone tries a member that had failed.
    #[must_use]
    pub fn is_trial(&self) -> bool {
        self.choice.trial
    }

    /// The choice that it is made of. Its body bytes are counted there.
    pub fn choice(&self) -> &Choice {
        &self.choice
    }

    /// Before a member that had failed is given its trial request: whether it can be reached
    /// at all. If not it has failed again. Of every other member it is believed.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn is_up(&mut self) -> bool {
        if !self.choice.trial {
            return true;
        }
        // Rare, and a large future.
        match Box::pin(self.probe()).await {
            Probe::Unreachable | Probe::Late => {
                self.answered(RequestOutcome::Unreachable("it cannot be reached"));
                false
            }
            Probe::Answered => {
                let choice = &self.choice;
                self.shared
                    .with(|state, now| state.cluster.reached(choice, now));
                true
            }
            Probe::NotAsked => true,
        }
    }

    /// Tells what became of the request. Only the first call counts.
    pub fn answered(&mut self, outcome: RequestOutcome<'_>) {
        if self.stage == Stage::Running {
            self.stage = Stage::Answered;
            let choice = &self.choice;
            self.shared
                .with(|state, now| state.cluster.answered(choice, outcome, now));
        }
    }

    /// Tells that the exchange failed before the head of a response came. A member that may
    /// be down is asked whether it is
    /// ([`Failover::with_probe_limit`](super::Failover::with_probe_limit)).
    ///
    /// # Cancel safety
    /// Nothing is known of the member then.
    pub async fn failed(&mut self, error: &ClientError) {
        let text = describe(error);
        let outcome = match Fault::of(error) {
            Fault::NotTheMembers => RequestOutcome::Unknown,
            Fault::PoolFull => RequestOutcome::Full,
            Fault::Unreachable => RequestOutcome::Unreachable(&text),
            Fault::Late => RequestOutcome::Late(&text),
            Fault::Slow => RequestOutcome::TimedOut(&text),
            Fault::BrokeOff => RequestOutcome::Broken(&text),
            Fault::ClosedUnanswered => match Box::pin(self.probe()).await {
                Probe::Unreachable => RequestOutcome::Unreachable(&text),
                Probe::Late => RequestOutcome::Late(&text),
                Probe::Answered | Probe::NotAsked => RequestOutcome::Broken(&text),
            },
        };
        self.answered(outcome);
    }

    /// Tells that a response broke off that had begun. Whoever is to blame is asked as before
    /// the head: a client that went away says nothing of the member.
    pub fn broke_off(&self, error: &ClientError) {
        let text = describe(error);
        let outcome = match Fault::of(error) {
            Fault::NotTheMembers | Fault::PoolFull => return,
            Fault::Slow => RequestOutcome::TimedOut(&text),
            _ => RequestOutcome::Broken(&text),
        };
        let choice = &self.choice;
        self.shared
            .with(|state, now| state.cluster.broke_off(choice, outcome, now));
    }

    /// Tells that the container answered with a new session a request of a session of its own.
    pub(crate) fn session_replaced(&self) {
        let choice = &self.choice;
        self.shared
            .with(|state, _| state.cluster.session_replaced(choice));
    }

    /// Up to this moment it was the client that was waited for, who still sent the body.
    pub(crate) fn wait_from(&mut self, uploaded: Instant) {
        self.choice.wait_from(uploaded);
    }

    /// Ends the request ahead of the drop.
    pub(crate) fn end(&mut self) {
        if self.stage == Stage::Running {
            self.answered(RequestOutcome::Unknown);
        }
        if self.stage == Stage::Answered {
            self.stage = Stage::Ended;
            let choice = &self.choice;
            self.shared.change(|state| state.cluster.ended(choice));
        }
    }

    /// Its name and route, for those who keep them.
    pub(crate) fn names(&self) -> (Arc<str>, Option<Arc<str>>) {
        self.backend.names.clone()
    }

    fn failover(&self) -> Arc<Failover> {
        self.shared
            .with(|state, _| Arc::clone(&state.rules.failover))
    }

    /// Whether the member can be reached, over a connection beside those of the pool.
    ///
    /// One question is answered for all who wait for it: many requests may fail at the same
    /// time, and none of them is to take the others' questions for a container that is late.
    async fn probe(&self) -> Probe {
        let Some(limit) = self.failover().probe_limit else {
            return Probe::NotAsked;
        };
        let asked = tokio::time::Instant::now().into_std();
        let turn = self.backend.last_probe.lock();
        // One question that runs, one that is begun after this request failed, and some time.
        let patience = limit.saturating_mul(3);
        let Ok(mut last) = tokio::time::timeout(patience, turn).await else {
            return Probe::NotAsked;
        };
        if let Some((begun, probe)) = *last {
            if begun > asked {
                return probe;
            }
        }
        let begun = tokio::time::Instant::now().into_std();
        let probe = self.ask(limit).await;
        *last = Some((begun, probe));
        probe
    }

    async fn ask(&self, limit: Duration) -> Probe {
        let probes = &self.backend.probes;
        let probe = async {
            // A container that does not know CPing can only be connected to.
            if self.backend.pool.config().cping() == CPingMode::NEVER {
                let timeouts = RequestTimeouts::default();
                probes.acquire_fresh(&timeouts).await.map(drop)
            } else {
                probes.ping().await.map(drop)
            }
        };
        match tokio::time::timeout(limit, probe).await {
            Ok(Ok(())) => Probe::Answered,
            Ok(Err(error)) if error.blame() != Blame::Container => Probe::NotAsked,
            Ok(Err(error)) if error.kind() == ErrorKind::CPingTimeout => Probe::Late,
            Ok(Err(_)) => Probe::Unreachable,
            Err(_) => Probe::Late,
        }
    }
}

/// An error for operators: with what it tells of settings that differ, if it does.
fn describe(error: &ClientError) -> String {
    match error.mismatch() {
        Some(mismatch) => format!("{}: {mismatch}", error.kind()),
        None => error.kind().to_string(),
    }
}

impl Drop for Pick {
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for Pick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pick")
            .field("member", &self.backend.member.name())
            .field("affinity", &self.choice.affinity)
            .field("trial", &self.choice.trial)
            .finish_non_exhaustive()
    }
}
