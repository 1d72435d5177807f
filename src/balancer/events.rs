//! Changes of members, for whoever wants to know of them when they happen.

use super::member::MemberId;
use crate::trace::event;
use std::time::Duration;
use tokio::sync::broadcast;

/// A member has changed its state.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemberEvent {
    /// Which member.
    pub id: MemberId,
    /// Its name.
    pub name: String,
    /// What happened.
    pub change: MemberChange,
    /// Whether it only goes on: another request has failed at a member that had failed before and
    /// has not recovered, or that was spared a moment ago. While all members are down every
    /// request has such an event; the log has them at level `DEBUG`.
    pub again: bool,
}

/// What happened to a member.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum MemberChange {
    /// It was added.
    Added,
    /// An operator has changed what is configured of it.
    Updated,
    /// It was removed, and ends its last requests.
    Leaving,
    /// The last request of a removed member has ended, or it had none.
    Removed,
    /// It failed a request and is left alone for a while.
    Failed {
        /// How.
        error: String,
        /// For how long.
        pause: Duration,
    },
    /// Too many of its answers were bad, or they took much longer than those of the others
    /// ([`Outlier`](super::Outlier)), and it is left alone for a while.
    Ejected {
        /// How many times in a row this happened.
        times: u32,
        /// For how long.
        pause: Duration,
    },
    /// It was about to be taken out, for slowness or failed health checks, and goes on
    /// serving because [too few others](super::ClusterConfig::with_panic_threshold) are
    /// left.
    Spared {
        /// What was wrong.
        error: String,
    },
    /// Health checks have taken it out.
    Unhealthy {
        /// What the last one said.
        error: String,
    },
    /// It serves again.
    Recovered,
}

impl MemberEvent {
    /// For the log. Under no lock, since subscribers of `tracing` may do anything.
    pub(super) fn log(&self) {
        let Self { name, change, .. } = self;
        match change {
            MemberChange::Failed { .. } | MemberChange::Spared { .. } if self.again => {
                event!(DEBUG, member = %name, ?change, "AJP member fails again");
            }
            MemberChange::Failed { error, .. } => {
                event!(WARN, member = %name, %error, "AJP member failed");
                let _ = error;
            }
            MemberChange::Ejected { times, .. } => {
                event!(WARN, member = %name, times, "AJP member ejected");
                let _ = times;
            }
            MemberChange::Spared { error } => {
                event!(WARN, member = %name, %error, "AJP member is not well, but too few are left");
                let _ = error;
            }
            MemberChange::Unhealthy { error } => {
                event!(WARN, member = %name, %error, "AJP member is unhealthy");
                let _ = error;
            }
            MemberChange::Recovered => {
                event!(INFO, member = %name, "AJP member recovered");
            }
            MemberChange::Added
            | MemberChange::Updated
            | MemberChange::Leaving
            | MemberChange::Removed => {
                event!(DEBUG, member = %name, ?change, "AJP members changed");
            }
        }
        let _ = name;
    }
}

/// Events that a slow listener may be behind.
const MOST_WAITING: usize = 256;

/// The events of one balancer, from the moment it was asked for them.
#[derive(Debug)]
pub struct MemberEvents(broadcast::Receiver<MemberEvent>);

impl MemberEvents {
    /// The next one; `None` once the balancer is gone. A listener that is behind by more than
    /// 256 events misses the oldest: what matters is in the
    /// [snapshot](super::Balancer::snapshot).
    ///
    /// # Cancel safety
    /// Safe: no event is lost.
    pub async fn next(&mut self) -> Option<MemberEvent> {
        loop {
            match self.0.recv().await {
                Ok(event) => return Some(event),
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}

/// Where the events of a balancer go.
#[derive(Debug)]
pub(super) struct Announcer(broadcast::Sender<MemberEvent>);

impl Announcer {
    pub(super) fn new() -> Self {
        Self(broadcast::Sender::new(MOST_WAITING))
    }

    pub(super) fn subscribe(&self) -> MemberEvents {
        MemberEvents(self.0.subscribe())
    }

    pub(super) fn announce(&self, event: MemberEvent) {
        event.log();
        // Without listeners it is heard by nobody.
        let _ = self.0.send(event);
    }
}
