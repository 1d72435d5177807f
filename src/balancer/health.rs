//! How members are asked whether they are well, apart from requests.

use crate::client::{Blame, Pool};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// How members are checked (httpd's `hcmethod`, `hcinterval`, `hcpasses`, `hcfails`).
///
/// Each member has its own rhythm. A member that hangs is out at most `fall` times
/// `interval`, and one `limit`, after that, whatever its load.
///
/// ```
/// use ajp::balancer::{CPing, Health};
/// use std::time::Duration;
/// let health = Health::new(CPing).with_interval(Duration::from_secs(5)).with_rise(2).with_fall(3);
/// ```
#[derive(Debug, Clone)]
pub struct Health {
    pub(super) check: Arc<dyn Check>,
    pub(super) interval: Duration,
    pub(super) limit: Duration,
    pub(super) rise: u32,
    pub(super) fall: u32,
}

impl Health {
    /// This check every 10 s, for 5 s at most. One success brings a member back, two
    /// failures in a row take it out.
    pub fn new(check: impl Check) -> Self {
        Self {
            check: Arc::new(check),
            interval: Duration::from_secs(10),
            limit: Duration::from_secs(5),
            rise: 1,
            fall: 2,
        }
    }

    /// From the start of one check of a member to the start of the next, up to a tenth less
    /// at random, so that members and web servers do not fall into step. A check that takes
    /// longer is waited for. At least 10 ms.
    #[must_use]
    pub fn with_interval(mut self, interval: Duration) -> Self {
        // Not a busy loop.
        self.interval = interval.max(Duration::from_millis(10));
        self
    }

    /// From the start of one check to the start of the next.
    #[must_use]
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// How long a check may take.
    #[must_use]
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// Successes in a row that bring a member back.
    #[must_use]
    pub fn rise(&self) -> u32 {
        self.rise
    }

    /// Failures in a row that take a member out.
    #[must_use]
    pub fn fall(&self) -> u32 {
        self.fall
    }

    /// Whether both are the same check in the same rhythm.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let numbers = |health: &Self| (health.interval, health.limit, health.rise, health.fall);
        Arc::ptr_eq(&self.check, &other.check) && numbers(self) == numbers(other)
    }

    /// A check that takes longer has failed.
    #[must_use]
    pub fn with_limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Successes in a row that bring a member back, at least 1.
    #[must_use]
    pub fn with_rise(mut self, count: u32) -> Self {
        self.rise = count.max(1);
        self
    }

    /// Failures in a row that take a member out, at least 1.
    #[must_use]
    pub fn with_fall(mut self, count: u32) -> Self {
        self.fall = count.max(1);
        self
    }
}

/// The future of [`Check::check`].
#[allow(clippy::module_name_repetitions, reason = "named after the trait")]
pub type Checking<'a> = Pin<Box<dyn Future<Output = Result<(), CheckError>> + Send + 'a>>;

/// One way to ask a member whether it is well: [`CPing`] or [`HttpCheck`](super::HttpCheck).
pub trait Check: Send + Sync + 'static + fmt::Debug {
    /// Asks over `pool`. That is not the pool of the requests, but one of its own for checks,
    /// which opens a new connection each time: so a check never waits for requests to end.
    ///
    /// It runs under no lock. One that panics has said nothing, and the member is asked again
    /// after the interval.
    ///
    /// # Errors
    /// [`CheckError`].
    ///
    /// # Cancel safety
    /// Must leave nothing behind when the future is dropped.
    fn check<'a>(&'a self, pool: &'a Pool) -> Checking<'a>;

    /// The check for operators, such as `CPing`.
    fn describe(&self) -> String;

    /// Whether a check that is not answered in time has only failed if the member did nothing
    /// for requests either in that time. True where all that is waited for is a thread of the
    /// container, which a busy one does not have. Default no.
    fn waits_for_a_thread(&self) -> bool {
        false
    }
}

/// A check that did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// The member is not well.
    #[error("{0}")]
    Failed(String),
    /// It did not answer in time: see [`Check::waits_for_a_thread`].
    #[error("{0}")]
    Late(String),
    /// Nothing is known, for a reason of this side.
    #[error("{0}")]
    Unknown(String),
}

impl From<crate::client::ClientError> for CheckError {
    fn from(error: crate::client::ClientError) -> Self {
        let text = error.kind().to_string();
        match (error.blame(), error.kind()) {
            (Blame::WebServer, _) => Self::Unknown(text),
            (_, crate::client::ErrorKind::CPingTimeout) => Self::Late(text),
            _ => Self::Failed(text),
        }
    }
}

/// CPing and CPong: the container has a thread for the connection. Says nothing of its
/// applications.
#[derive(Debug, Clone, Copy, Default)]
pub struct CPing;

impl Check for CPing {
    fn check<'a>(&'a self, pool: &'a Pool) -> Checking<'a> {
        Box::pin(async move { Ok(pool.ping().await.map(drop)?) })
    }

    fn describe(&self) -> String {
        "CPing".into()
    }

    fn waits_for_a_thread(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_setting_is_the_one_that_was_set() {
        let seconds = Duration::from_secs;
        let health = Health::new(CPing)
            .with_interval(seconds(3))
            .with_limit(seconds(4))
            .with_rise(5)
            .with_fall(6);
        assert_eq!(
            (health.interval(), health.limit()),
            (seconds(3), seconds(4))
        );
        assert_eq!((health.rise(), health.fall()), (5, 6));
        let other = health.clone();
        assert!(health.is_same(&other) && !health.is_same(&other.with_rise(7)));
        assert!(!health.is_same(&Health::new(CPing)));
        let least = health
            .with_interval(Duration::ZERO)
            .with_rise(0)
            .with_fall(0);
        assert_eq!(least.interval(), Duration::from_millis(10));
        assert_eq!((least.rise(), least.fall()), (1, 1));
    }

    /// What a check of one's own need not say.
    #[test]
    fn a_check_waits_for_no_thread_unless_it_says_so() {
        #[derive(Debug)]
        struct Well;
        impl Check for Well {
            fn check<'a>(&'a self, _: &'a Pool) -> Checking<'a> {
                Box::pin(async { Ok(()) })
            }
            fn describe(&self) -> String {
                "well".into()
            }
        }
        assert!(!Well.waits_for_a_thread());
        assert!(CPing.waits_for_a_thread());
        assert_eq!(CPing.describe(), "CPing");
    }

    /// A member is out only for what it is to blame for.
    #[test]
    fn an_error_of_a_check_says_who_is_to_blame() {
        use crate::client::{ClientError, ErrorKind};
        let of = |kind| CheckError::from(ClientError::bare(kind));
        let text = |kind: ErrorKind| kind.to_string();
        for kind in [ErrorKind::AcquireTimeout, ErrorKind::LocalResources] {
            assert_eq!(of(kind), CheckError::Unknown(text(kind)));
        }
        let kind = ErrorKind::CPingTimeout;
        assert_eq!(of(kind), CheckError::Late(text(kind)));
        let kind = ErrorKind::Connect;
        assert_eq!(of(kind), CheckError::Failed(text(kind)));
    }
}
