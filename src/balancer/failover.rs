//! When a request goes to another member.

use super::budget::RetryBudget;
use super::fault::Fault;
use crate::client::ClientError;
use crate::client::repeat::{self, Repeat};
use crate::proto::Progress;
use std::time::Duration;

/// What happens to a request that a member failed to serve.
///
/// It goes to another member, each at most once, while that cannot do harm: when the
/// container cannot have seen it, or when its method is idempotent and no answer began.
/// What was read of its body must be at hand still.
#[derive(Debug, Clone)]
pub struct Failover {
    pub(crate) max_attempts: Option<u32>,
    pub(crate) budget: RetryBudget,
    pub(crate) replay_bytes: usize,
    pub(crate) repeat_sent_bodies: bool,
    pub(crate) repeat_timed_out: bool,
    pub(crate) probe_limit: Option<Duration>,
    pub(crate) statuses: Vec<(u16, OnStatus)>,
    pub(crate) send_activation: bool,
}

/// What a status of a response means for the member and the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OnStatus {
    /// The response is delivered and the member has failed: httpd's `failonstatus`.
    Fail,
    /// The request goes to another member, if it is idempotent and its body is at hand;
    /// the member is well: `mod_jk`'s `fail_on_status` with a minus.
    TryOther,
    /// Both: `mod_jk`'s `fail_on_status`.
    FailAndTryOther,
}

impl Default for Failover {
    fn default() -> Self {
        Self {
            max_attempts: None,
            budget: RetryBudget::default(),
            replay_bytes: 64 * 1024,
            repeat_sent_bodies: false,
            repeat_timed_out: false,
            probe_limit: Some(Duration::from_secs(1)),
            statuses: Vec::new(),
            send_activation: false,
        }
    }
}

impl Failover {
    /// The budget of repetitions.
    #[must_use]
    pub fn budget(&self) -> RetryBudget {
        self.budget
    }

    /// How many bytes of a body are kept to be sent again.
    #[must_use]
    pub fn replay_bytes(&self) -> usize {
        self.replay_bytes
    }

    /// Whether bodies that were sent may be sent again.
    #[must_use]
    pub fn repeat_sent_bodies(&self) -> bool {
        self.repeat_sent_bodies
    }

    /// Whether requests that timed out may be sent again.
    #[must_use]
    pub fn repeat_timed_out(&self) -> bool {
        self.repeat_timed_out
    }

    /// How long a doubtful member is asked for.
    #[must_use]
    pub fn probe_limit(&self) -> Option<Duration> {
        self.probe_limit
    }

    /// Whether members are told their state.
    #[must_use]
    pub fn send_activation(&self) -> bool {
        self.send_activation
    }

    /// Most members that a request is tried on, at least 1. Default all of them. httpd's
    /// `maxattempts` is one less.
    #[must_use]
    pub fn with_max_attempts(mut self, count: impl Into<Option<u32>>) -> Self {
        self.max_attempts = count.into();
        self
    }

    /// How many requests may be repeated that a container may have begun to work on.
    #[must_use]
    pub fn with_budget(mut self, budget: RetryBudget) -> Self {
        self.budget = budget;
        self
    }

    /// How much of a request body is kept, in bytes, so that it can be sent again. A body
    /// that gives more is not repeated. Default 64 KiB.
    #[must_use]
    pub fn with_replay_bytes(mut self, bytes: usize) -> Self {
        self.replay_bytes = bytes;
        self
    }

    /// Whether an idempotent request is repeated after part of its body was sent. Default
    /// no, as in httpd.
    #[must_use]
    pub fn with_repeat_sent_bodies(mut self, repeat: bool) -> Self {
        self.repeat_sent_bodies = repeat;
        self
    }

    /// Whether an idempotent request is repeated that a container did not answer in time.
    /// Default no: it is probably the request that is slow.
    #[must_use]
    pub fn with_repeat_timed_out(mut self, repeat: bool) -> Self {
        self.repeat_timed_out = repeat;
        self
    }

    /// How long a container may take to show that it is still there. It is asked when it broke
    /// an exchange off, and when it is tried again after a failure: with CPing, or where that is
    /// off ([`CPingMode::NEVER`](crate::client::CPingMode::NEVER)) by a new connection. A
    /// container that answers stays in service, so one request that containers choke on takes
    /// no member out. Default 1 s. `None`: it is not asked, and an exchange that breaks off
    /// never takes a member out.
    #[must_use]
    pub fn with_probe_limit(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.probe_limit = limit.into();
        self
    }

    /// What this status means. Default for all: nothing.
    #[must_use]
    pub fn on_status(mut self, status: u16, action: OnStatus) -> Self {
        self.statuses.retain(|(known, _)| *known != status);
        self.statuses.push((status, action));
        self
    }

    /// What all these statuses mean; all others mean nothing.
    #[must_use]
    pub fn with_statuses(mut self, statuses: impl IntoIterator<Item = (u16, OnStatus)>) -> Self {
        self.statuses.clear();
        statuses.into_iter().fold(self, |this, (status, action)| {
            this.on_status(status, action)
        })
    }

    /// Whether containers are told that they are draining (`JK_LB_ACTIVATION`), which
    /// Tomcat's `LoadBalancerDrainingValve` uses. Default no.
    #[must_use]
    pub fn with_send_activation(mut self, send: bool) -> Self {
        self.send_activation = send;
        self
    }

    /// See [`with_max_attempts`](Self::with_max_attempts).
    #[must_use]
    pub fn max_attempts(&self) -> Option<u32> {
        self.max_attempts
    }

    /// The statuses that mean something, and what.
    #[must_use]
    pub fn statuses(&self) -> &[(u16, OnStatus)] {
        &self.statuses
    }

    pub(crate) fn action(&self, status: u16) -> Option<OnStatus> {
        let mut known = self.statuses.iter();
        known
            .find(|(code, _)| *code == status)
            .map(|(_, action)| *action)
    }

    /// Whether a failed request may be sent to another member. [`Repeat::Harmless`] has to be
    /// paid from the budget.
    pub(crate) fn repeat(
        &self,
        error: &ClientError,
        idempotent: bool,
        body_at_hand: bool,
    ) -> Repeat {
        let sent_body = error.progress() == Progress::BodySent;
        let whole_body = body_at_hand && (self.repeat_sent_bodies || !sent_body);
        match repeat::after_error(error, idempotent, whole_body) {
            // It is probably the request that is slow.
            Repeat::Harmless if Fault::of(error) == Fault::Slow && !self.repeat_timed_out => {
                Repeat::No
            }
            decided => decided,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::ErrorKind;
    use std::sync::Arc;

    fn error(kind: ErrorKind, progress: Progress) -> ClientError {
        ClientError::bare(kind).at(progress, &Arc::from("peer"))
    }

    #[test]
    fn what_may_be_repeated() {
        use Progress::{BodySent, NotSent, RequestSent, Responding};
        use Repeat::{Harmless as Paid, No, Unseen as Free};
        let plain = Failover::default();
        let more = Failover::default()
            .with_repeat_sent_bodies(true)
            .with_repeat_timed_out(true);
        // The last three: idempotent, not idempotent, idempotent with all options.
        for (kind, progress, expected) in [
            (ErrorKind::Connect, NotSent, [Free, Free, Free]),
            (ErrorKind::AcquireTimeout, NotSent, [Free, Free, Free]),
            (ErrorKind::QueueFull, NotSent, [Free, Free, Free]),
            (ErrorKind::RequestTimeout, NotSent, [No, No, No]),
            (ErrorKind::RequestTimeout, RequestSent, [No, No, No]),
            (ErrorKind::Write, NotSent, [Free, Free, Free]),
            (ErrorKind::Closed, RequestSent, [Paid, No, Paid]),
            (ErrorKind::Protocol, RequestSent, [Paid, No, Paid]),
            (ErrorKind::Closed, BodySent, [No, No, Paid]),
            (ErrorKind::Closed, Responding, [No, No, No]),
            (ErrorKind::ResponseHeadTimeout, RequestSent, [No, No, Paid]),
            (ErrorKind::WriteTimeout, NotSent, [Free, Free, Free]),
            (ErrorKind::HeadTooLarge, NotSent, [No, No, No]),
            (ErrorKind::BodySource, BodySent, [No, No, No]),
            (ErrorKind::InvalidRequest, NotSent, [No, No, No]),
        ] {
            let error = error(kind, progress);
            let decided = [
                plain.repeat(&error, true, true),
                plain.repeat(&error, false, true),
                more.repeat(&error, true, true),
            ];
            assert_eq!(decided, expected, "{kind:?} {progress:?}");
            assert_eq!(more.repeat(&error, true, false), No);
            let post = more.repeat(&error, false, true);
            assert!(post != Paid, "{kind:?} {progress:?}");
        }
    }

    #[test]
    fn each_setting_is_the_one_that_was_set() {
        let budget = RetryBudget::default()
            .with_percent(1)
            .with_min_per_second(2);
        assert_eq!((budget.percent(), budget.min_per_second()), (1, 2));
        let failover = Failover::default()
            .with_max_attempts(3)
            .with_budget(budget)
            .with_replay_bytes(4)
            .with_repeat_sent_bodies(true)
            .with_repeat_timed_out(true)
            .with_probe_limit(Duration::from_secs(5))
            .on_status(500, OnStatus::Fail)
            .with_statuses([(503, OnStatus::Fail), (502, OnStatus::TryOther)])
            .on_status(503, OnStatus::FailAndTryOther)
            .with_send_activation(true);
        assert_eq!(failover.max_attempts(), Some(3));
        assert_eq!(failover.budget(), budget);
        assert_eq!(failover.replay_bytes(), 4);
        assert!(failover.repeat_sent_bodies() && failover.repeat_timed_out());
        assert_eq!(failover.probe_limit(), Some(Duration::from_secs(5)));
        let statuses = [(502, OnStatus::TryOther), (503, OnStatus::FailAndTryOther)];
        assert_eq!(failover.statuses(), statuses);
        assert!(failover.send_activation());
        let default = Failover::default();
        assert!(!default.repeat_sent_bodies() && !default.repeat_timed_out());
        assert!(!default.send_activation());
    }
}
