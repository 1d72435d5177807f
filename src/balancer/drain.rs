//! Emptying a member before it is stopped: for deployments.

use super::Flags;
use super::handle::Balancer;
use super::member::{InvalidMember, MemberId};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How often it is looked whether a member is empty.
const LOOK: Duration = Duration::from_millis(200);

/// A member on its way out: see [`Balancer::drain`].
#[derive(Debug, Clone)]
#[must_use = "the member drains, but nobody waits until it is empty"]
pub struct MemberDrain {
    balancer: Balancer,
    id: MemberId,
    session_timeout: Duration,
    at_most: Option<Duration>,
}

/// How a drain ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Drained {
    /// It serves no request, and no session of it was seen for the time that sessions live.
    Empty,
    /// The time was up. So many requests were still running.
    TimeUp {
        /// Requests that it is serving.
        busy: u32,
    },
    /// The member was removed meanwhile, or an operator took it back.
    NotDraining,
}

impl Balancer {
    /// Lets a member serve the requests of its own sessions alone from now on
    /// ([`Flags::DRAINING`]), and gives a future for the end of it. The member drains whether
    /// that is awaited or not.
    ///
    /// ```no_run
    /// # async fn example(balancer: ajp::balancer::Balancer) -> Result<(), ajp::balancer::InvalidMember> {
    /// use ajp::balancer::Drained;
    /// use std::time::Duration;
    /// let drain = balancer
    ///     .drain("jvm1")?
    ///     .with_session_timeout(Duration::from_secs(30 * 60))
    ///     .with_at_most(Duration::from_secs(2 * 3600));
    /// if drain.finish().await == Drained::Empty {
    ///     balancer.remove("jvm1")?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`InvalidMember`] when there is no member of this name.
    pub fn drain(&self, name: &str) -> Result<MemberDrain, InvalidMember> {
        let id = self.with(|state, _| state.cluster.named(name))?;
        self.update(name, |member| {
            let flags = member.current_flags().with(Flags::DRAINING);
            member.with_flags(flags)
        })?;
        Ok(MemberDrain {
            balancer: self.clone(),
            id,
            session_timeout: Duration::from_secs(30 * 60),
            at_most: None,
        })
    }
}

impl MemberDrain {
    /// A session counts as over when no request of it came for so long: AJP does not tell how
    /// many sessions a container has, so this is its `session-timeout`. Default 30 min, as
    /// Tomcat's. Zero: only running requests are waited for.
    pub fn with_session_timeout(mut self, timeout: Duration) -> Self {
        self.session_timeout = timeout;
        self
    }

    /// It is waited no longer than this. Default without limit: whoever sends a session id of the
    /// member's route now and then, a real one or not, keeps it from being empty, so give a time
    /// where clients may be anybody.
    pub fn with_at_most(mut self, time: impl Into<Option<Duration>>) -> Self {
        self.at_most = time.into();
        self
    }

    /// Waits until the member is empty, or the time is up.
    ///
    /// # Cancel safety
    /// Safe: the member goes on draining.
    pub async fn finish(self) -> Drained {
        let start = Instant::now();
        loop {
            let looked = self.balancer.with(|state, now| {
                let slot = state.cluster.roster.get(self.id)?;
                let drains = slot.terms.flags.contains(Flags::DRAINING) && !slot.leaving;
                let last = slot.last_own_session;
                let quiet = last.map(|last| now.saturating_duration_since(last));
                drains.then_some((slot.busy, quiet))
            });
            let Some((busy, quiet)) = looked else {
                return Drained::NotDraining;
            };
            let waited = start.elapsed();
            // Sessions that were not seen since the start may still live.
            let quiet = quiet.unwrap_or(waited).min(waited);
            if busy == 0 && quiet >= self.session_timeout {
                return Drained::Empty;
            }
            if self.at_most.is_some_and(|most| waited >= most) {
                return Drained::TimeUp { busy };
            }
            let left = self
                .at_most
                .map_or(LOOK, |most| most.saturating_sub(waited));
            sleep(LOOK.min(left)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balancer::{BalancerConfig, Member};
    use crate::client::{Address, Pool, PoolConfig};

    #[test]
    fn sessions_live_for_half_an_hour_unless_somebody_says_otherwise() {
        let balancer = Balancer::new(BalancerConfig::new("farm"));
        let pool = Pool::new(Address::tcp("localhost", 8009), PoolConfig::new());
        balancer.add(Member::new("a"), pool).unwrap();
        let drain = balancer.drain("a").unwrap();
        assert_eq!(drain.session_timeout, Duration::from_secs(1800));
        assert_eq!(drain.at_most, None);
        let second = Duration::from_secs(1);
        let drain = drain.with_session_timeout(second).with_at_most(second * 2);
        assert_eq!(drain.session_timeout, second);
        assert_eq!(drain.at_most, Some(second * 2));
    }
}
