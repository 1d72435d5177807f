//! Asking members whether they are well, apart from requests.

use super::MemberId;
use super::handle::Balancer;
use crate::client::{ErrorKind, Pool};
use crate::trace::event;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

/// How members are checked (httpd's `hcmethod`, `hcinterval`, `hcpasses`, `hcfails`).
///
/// ```
/// use ajp::balancer::{CPing, Health};
/// use std::time::Duration;
/// let health = Health::new(CPing).with_interval(Duration::from_secs(5)).with_rise(2).with_fall(3);
/// ```
#[derive(Debug, Clone)]
pub struct Health {
    pub(super) check: Arc<dyn Check>,
    interval: Duration,
    limit: Duration,
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

    /// From the end of one check of a member to the next.
    #[must_use]
    pub fn with_interval(mut self, interval: Duration) -> Self {
        // Not a busy loop.
        self.interval = interval.max(Duration::from_millis(10));
        self
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

/// One way to ask a member whether it is well: [`CPing`] or
/// [`HttpCheck`](super::HttpCheck).
pub trait Check: Send + Sync + 'static + fmt::Debug {
    /// Asks over a connection of the member's pool.
    ///
    /// # Cancel safety
    /// Must leave nothing behind when the future is dropped.
    fn check<'a>(&'a self, pool: &'a Pool) -> Checking<'a>;

    /// The check for operators, such as `CPing`.
    fn describe(&self) -> String;
}

/// A check that did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// The member is not well.
    #[error("{0}")]
    Failed(String),
    /// Nothing is known: the member's pool has no place free, because it is at work.
    #[error("the pool is busy")]
    Busy,
}

impl From<crate::client::Error> for CheckError {
    fn from(error: crate::client::Error) -> Self {
        match error.kind() {
            kind if is_overload(kind) => Self::Busy,
            kind => Self::Failed(kind.to_string()),
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
}

impl Balancer {
    /// Checks all members again and again, as [`BalancerConfig::with_health`] says; without it
    /// does nothing. Never ends: run it in a task beside the requests.
    ///
    /// [`BalancerConfig::with_health`]: super::BalancerConfig::with_health
    ///
    /// # Cancel safety
    /// Dropping the future ends all checks. It needs a tokio runtime with time.
    pub async fn run(&self) {
        let Some(health) = self.health() else {
            return std::future::pending().await;
        };
        let mut running = JoinSet::new();
        // When each member is checked next; none while it is being checked.
        let mut due: BTreeMap<MemberId, Option<Instant>> = BTreeMap::new();
        loop {
            let changed = self.changed();
            let now = Instant::now();
            let members = self.checked_members();
            due.retain(|id, _| members.iter().any(|(known, _)| known == id));
            for (id, pool) in members {
                let next = due.entry(id).or_insert(Some(now));
                if next.is_some_and(|at| at <= now) {
                    *next = None;
                    let health = health.clone();
                    running.spawn(async move { (id, ask(&health, &pool).await) });
                }
            }
            let next = due.values().flatten().min().copied();
            let asleep = async {
                match next {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some(done) = running.join_next() => {
                    // A check that panics is a check that says nothing; the member is
                    // checked again as if it were new.
                    let Ok((id, result)) = done else {
                        due.retain(|_, next| next.is_some());
                        continue;
                    };
                    let next = Instant::now().checked_add(health.interval);
                    due.insert(id, next);
                    self.checked(id, &health, &result);
                }
                () = asleep => {}
                () = changed => {}
            }
        }
    }

    fn checked(&self, id: MemberId, health: &Health, result: &Result<(), CheckError>) {
        let result = match result {
            Ok(()) => Ok(()),
            Err(CheckError::Failed(error)) => Err(error.as_str()),
            Err(CheckError::Busy) => {
                event!(DEBUG, member = %id, "no place free for a health check");
                return;
            }
        };
        let limits = (health.rise, health.fall);
        self.with(|state, now| state.cluster.checked(id, result, limits, now));
    }
}

async fn ask(health: &Health, pool: &Pool) -> Result<(), CheckError> {
    match timeout(health.limit, health.check.check(pool)).await {
        Ok(result) => result,
        Err(_) if is_full(pool) => Err(CheckError::Busy),
        Err(_) => Err(CheckError::Failed("no answer in time".into())),
    }
}

/// Whether a pool had no place.
pub(super) fn is_overload(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::AcquireTimeout | ErrorKind::QueueFull)
}

/// Whether waiting for a place explains that there was no answer.
pub(super) fn is_full(pool: &Pool) -> bool {
    let stats = pool.stats();
    stats.in_use >= stats.max_connections
}
