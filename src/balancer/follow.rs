//! Members that come and go: a balancer that follows what a discovery tells.

use super::drain::Drained;
use super::handle::Balancer;
use super::member::{InvalidMember, Member};
use crate::client::Pool;
use crate::trace::event;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;
use tokio::task::{AbortHandle, JoinSet};

/// A member that a discovery knows of, and how it is reached.
///
/// A member that stays in the set from one time to the next keeps its pool and all that is
/// known of it; the new pool is not used then. One whose address has changed needs another
/// name.
#[derive(Debug)]
pub struct Discovered {
    /// What is configured of it.
    pub member: Member,
    /// How it is reached.
    pub pool: Pool,
}

/// The future of [`Discover::next_set`].
pub type Discovering<'a> = Pin<Box<dyn Future<Output = Option<Vec<Discovered>>> + Send + 'a>>;

/// Whoever knows which members there are: a name server, a file, an orchestrator.
pub trait Discover: Send + fmt::Debug {
    /// The next set of members, when it is another one; `None` when there will be none any
    /// more. An empty set, and one that cannot be found out, is no reason to empty a farm that
    /// works: the first is ignored, and for the second nothing is to be returned.
    ///
    /// # Cancel safety
    /// Must lose no set when the future is dropped.
    fn next_set(&mut self) -> Discovering<'_>;

    /// How those members leave that are gone from the last set, where that may change while they
    /// are followed. By default they leave as [`Balancer::follow`] was told.
    fn leaving(&self) -> Option<Leaving> {
        None
    }
}

/// How long members that are gone from the set may take to end their sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leaving {
    session_timeout: Duration,
    at_most: Duration,
}

impl Default for Leaving {
    /// Running requests are waited for, for 30 s at most: what is gone from a discovery is
    /// usually about to stop.
    fn default() -> Self {
        Self {
            session_timeout: Duration::ZERO,
            at_most: Duration::from_secs(30),
        }
    }
}

impl Leaving {
    /// As [`MemberDrain::with_session_timeout`](super::MemberDrain::with_session_timeout).
    #[must_use]
    pub fn with_session_timeout(mut self, timeout: Duration) -> Self {
        self.session_timeout = timeout;
        self
    }

    /// As [`MemberDrain::with_at_most`](super::MemberDrain::with_at_most).
    #[must_use]
    pub fn with_at_most(mut self, time: Duration) -> Self {
        self.at_most = time;
        self
    }
}

impl Balancer {
    /// Follows a discovery until that ends: members that are new in a set are added, those
    /// that are gone drain and are removed, those that stay are kept with all that is known of
    /// them. Members that were added otherwise are left alone, also where the discovery finds one
    /// of the same name. Run it in a task beside [`run`](Self::run).
    ///
    /// # Cancel safety
    /// Safe: members stay as they are; those that were draining go on doing so and are not
    /// removed.
    pub async fn follow(&self, mut discovery: impl Discover, leaving: Leaving) {
        // What was discovered and is there, and what was told of it last.
        let mut known: BTreeMap<String, Member> = BTreeMap::new();
        let mut drains = Drains::default();
        while let Some(set) = discovery.next_set().await {
            drains.forget_ended();
            if set.is_empty() {
                event!(
                    WARN,
                    balancer = self.name(),
                    "a discovery found no AJP member; the known ones stay"
                );
                continue;
            }
            let gone: Vec<String> = {
                let names: BTreeSet<&str> = set.iter().map(|one| one.member.name()).collect();
                let names = known.keys().filter(|name| !names.contains(name.as_str()));
                names.cloned().collect()
            };
            // New ones first: no moment without members.
            for Discovered { member, pool } in set {
                // One that comes back is not removed by the drain that it had begun.
                drains.end(member.name());
                if let Err(error) = self.settle(&mut known, member, pool) {
                    event!(WARN, balancer = self.name(), %error, "a discovered AJP member is refused");
                    let _ = error;
                }
            }
            let leaving = discovery.leaving().unwrap_or(leaving);
            for name in gone {
                known.remove(&name);
                if self.is_discovered(&name) == Some(true) {
                    drains.begin(self, name, leaving);
                }
            }
        }
        while drains.tasks.join_next().await.is_some() {}
    }

    /// Adds a discovered member, or brings what is configured of it up to date.
    fn settle(
        &self,
        known: &mut BTreeMap<String, Member>,
        member: Member,
        pool: Pool,
    ) -> Result<(), InvalidMember> {
        let name = member.name().to_owned();
        match (known.get(&name), self.is_discovered(&name)) {
            (_, Some(false)) => {
                known.remove(&name);
                return Err(InvalidMember {
                    name,
                    what: "exists already, and was not discovered",
                });
            }
            // What an operator has changed since stays, unless the discovery says news.
            (Some(before), _) if *before == member => return Ok(()),
            // It was removed by hand, and stays so until it was gone from the discovery.
            (Some(_), None) => {}
            (Some(_), Some(true)) => self.update(&name, |_| member.clone())?,
            // It may be draining still, because it was gone for a moment.
            (None, Some(true)) if self.update(&name, |_| member.clone()).is_ok() => {}
            (None, _) => {
                self.add_discovered(member.clone(), pool)?;
            }
        }
        known.insert(name, member);
        Ok(())
    }
}

/// The members that leave because they are gone from a discovery.
#[derive(Default)]
struct Drains {
    tasks: JoinSet<()>,
    by_name: BTreeMap<String, AbortHandle>,
}

impl Drains {
    fn begin(&mut self, balancer: &Balancer, name: String, leaving: Leaving) {
        let Ok(drain) = balancer.drain(&name) else {
            return;
        };
        let drain = drain
            .with_session_timeout(leaving.session_timeout)
            .with_at_most(leaving.at_most);
        let (balancer, leaves) = (balancer.clone(), name.clone());
        let task = self.tasks.spawn(async move {
            // One that an operator has taken back is not removed.
            if drain.finish().await != Drained::NotDraining {
                balancer.remove_draining(&leaves);
            }
        });
        self.by_name.insert(name, task);
    }

    /// Nobody waits for the end of this drain any more.
    fn end(&mut self, name: &str) {
        if let Some(task) = self.by_name.remove(name) {
            task.abort();
        }
    }

    fn forget_ended(&mut self) {
        while self.tasks.try_join_next().is_some() {}
        self.by_name.retain(|_, task| !task.is_finished());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_leave_as_the_follower_was_told_unless_the_discovery_says_otherwise() {
        #[derive(Debug)]
        struct Nothing;
        impl Discover for Nothing {
            fn next_set(&mut self) -> Discovering<'_> {
                Box::pin(std::future::pending())
            }
        }
        assert_eq!(Nothing.leaving(), None);
        let second = Duration::from_secs(1);
        let leaving = Leaving::default()
            .with_session_timeout(second)
            .with_at_most(second * 2);
        let expected = Leaving {
            session_timeout: second,
            at_most: second * 2,
        };
        assert_eq!(leaving, expected);
        assert_eq!(expected.with_session_timeout(second), leaving);
    }
}
