//! A member that serves a request, until it is dropped.

use super::failover::Fault;
use super::handle::{Backend, Balancer, State};
use super::health::{is_full, is_overload};
use super::member::{Member, MemberId};
use super::request::{Affinity, Choice, Outcome};
use super::slot::Traffic;
use crate::client::{CPingMode, Error, Pool, RequestTimeouts};
use std::fmt;
use std::sync::Arc;

/// A member that serves a request. Dropping it ends the request; a pick of which no
/// outcome was told says nothing of the member.
///
/// ```no_run
/// # use ajp::balancer::{Ask, Balancer, Outcome};
/// # use ajp::client::Error;
/// # async fn exchange(pool: &ajp::client::Pool) -> Result<u16, Error> { Ok(200) }
/// # async fn example(balancer: Balancer) -> Result<(), Box<dyn std::error::Error>> {
/// let mut tried = Vec::new();
/// let status = loop {
///     let mut pick = balancer.pick(&Ask::new().with_tried(&tried))?;
///     tried.push(pick.id());
///     if !pick.is_up().await {
///         continue;
///     }
///     match exchange(pick.pool()).await {
///         Ok(status) => {
///             pick.answered(Outcome::Answered { status });
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
    balancer: Balancer,
    choice: Choice,
    backend: Arc<Backend>,
    answered: bool,
    ended: bool,
}

impl Pick {
    pub(super) fn new(balancer: Balancer, choice: Choice, backend: Arc<Backend>) -> Self {
        Self {
            balancer,
            choice,
            backend,
            answered: false,
            ended: false,
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

    /// Whether this request alone tries a member that had failed.
    #[must_use]
    pub fn is_trial(&self) -> bool {
        self.choice.trial
    }

    /// Where its body bytes are counted.
    #[must_use]
    pub fn traffic(&self) -> &Arc<Traffic> {
        &self.choice.traffic
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
            Some(false) => {
                self.answered(Outcome::Unreachable("it cannot be reached"));
                false
            }
            Some(true) => {
                let choice = &self.choice;
                let with = |state: &mut State, now| state.cluster.reached(choice, now);
                self.balancer.with(with);
                true
            }
            None => true,
        }
    }

    /// Tells what became of the request. Only the first call counts.
    pub fn answered(&mut self, outcome: Outcome<'_>) {
        if !std::mem::replace(&mut self.answered, true) {
            let choice = &self.choice;
            let with = |state: &mut State, now| state.cluster.answered(choice, outcome, now);
            self.balancer.with(with);
        }
    }

    /// Tells that the exchange failed. A member that may be down is asked whether it is
    /// ([`Failover::with_probe_limit`](super::Failover::with_probe_limit)).
    ///
    /// # Cancel safety
    /// Nothing is known of the member then.
    pub async fn failed(&mut self, error: &Error) {
        let text = error.kind().to_string();
        let outcome = match Fault::of(error) {
            Fault::Request => Outcome::Unknown,
            Fault::Full => Outcome::Full,
            Fault::Dead => Outcome::Unreachable(&text),
            Fault::Slow => Outcome::TimedOut(&text),
            Fault::BrokeOff => Outcome::Broken(&text),
            Fault::Suspect => match Box::pin(self.probe()).await {
                Some(false) => Outcome::Unreachable(&text),
                _ => Outcome::Broken(&text),
            },
        };
        self.answered(outcome);
    }

    /// Tells that a response broke off that had begun.
    pub fn broke_off(&self, error: &Error) {
        let (choice, text) = (&self.choice, error.kind().to_string());
        let with = |state: &mut State, now| state.cluster.broke_off(choice, &text, now);
        self.balancer.with(with);
    }

    /// Ends the request ahead of the drop.
    pub(crate) fn end(&mut self) {
        if !std::mem::replace(&mut self.ended, true) {
            self.answered(Outcome::Unknown);
            let choice = &self.choice;
            self.balancer.state().cluster.ended(choice);
        }
    }

    /// Its name and route, for those who keep them.
    pub(crate) fn names(&self) -> (Arc<str>, Option<Arc<str>>) {
        self.backend.names.clone()
    }

    /// Whether the member can be reached; `None` when that cannot be found out.
    async fn probe(&self) -> Option<bool> {
        let limit = self.balancer.failover().probe_limit?;
        let pool = self.pool();
        if is_full(pool) {
            return None;
        }
        let probe = async {
            // A container that does not know CPing can only be connected to.
            if pool.config().cping() == CPingMode::NEVER {
                let timeouts = RequestTimeouts::default();
                pool.acquire_fresh(&timeouts).await.map(drop)
            } else {
                pool.ping().await.map(drop)
            }
        };
        match tokio::time::timeout(limit, probe).await {
            Ok(Ok(())) => Some(true),
            Ok(Err(error)) if is_overload(error.kind()) => None,
            Err(_) if is_full(pool) => None,
            Ok(Err(_)) | Err(_) => Some(false),
        }
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
