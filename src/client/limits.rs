//! The limits of one request, as moments where that is possible.

use super::error::ErrorKind;
use super::timeouts::{RequestTimeouts, Timeouts, earlier};
use std::future::Future;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

#[derive(Debug)]
pub(super) struct Limits {
    /// Those of the request, if they are not the pool's: rare, and large.
    own: Option<Box<Timeouts>>,
    /// When the connection was asked for.
    pub(super) started: Instant,
    acquire_by: Option<Instant>,
    pub(super) request_by: Option<Instant>,
}

impl Limits {
    /// From now on.
    pub(super) fn new(pool: &Timeouts, own: &RequestTimeouts) -> Self {
        let started = Instant::now();
        let own_timeouts = own.over(pool).map(Box::new);
        let timeouts = own_timeouts.as_deref().unwrap_or(pool);
        Self {
            acquire_by: after(started, timeouts.acquire),
            request_by: own.end(started, timeouts.request),
            own: own_timeouts,
            started,
        }
    }

    /// Those of the request, or else of its pool.
    pub(super) fn timeouts<'a>(&'a self, pool: &'a Timeouts) -> &'a Timeouts {
        self.own.as_deref().unwrap_or(pool)
    }

    /// Moves them.
    pub(super) fn take(&mut self) -> Self {
        Self {
            own: self.own.take(),
            ..*self
        }
    }

    /// A connection is asked for once more; the end of the request stays where it is.
    pub(super) fn acquire_again(&mut self, pool: &Timeouts) {
        self.acquire_by = after(Instant::now(), self.timeouts(pool).acquire);
    }

    /// When all probes of this acquire must be over, if they begin now. Half of the time is
    /// left for opening a connection.
    pub(super) fn probes_by(&self, pool: &Timeouts, now: Instant) -> Option<Instant> {
        let half = self
            .acquire_by
            .and_then(|by| after(now, by.saturating_duration_since(now).checked_div(2)));
        earlier(after(now, self.timeouts(pool).cping), half)
    }

    /// Whether the request must be over.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.request_by.is_some_and(|end| end <= now)
    }

    /// Waits for one step of acquiring a connection, within the limit of that step and those
    /// of the acquire and of the request. `pool` are the limits of the pool.
    ///
    /// # Errors
    /// [`LimitReached`] says which of them ended it.
    pub(super) async fn step<T>(
        &self,
        step: AcquireStep,
        pool: &Timeouts,
        work: impl Future<Output = T>,
    ) -> Result<T, LimitReached> {
        let start = Instant::now();
        let by = after(start, step.limit(self.timeouts(pool)));
        self.step_until(step, start, by, pool, work).await
    }

    /// As [`step`](Self::step), of a step that began at `start` and ends at `by`.
    pub(super) async fn step_until<T>(
        &self,
        step: AcquireStep,
        start: Instant,
        by: Option<Instant>,
        pool: &Timeouts,
        work: impl Future<Output = T>,
    ) -> Result<T, LimitReached> {
        let acquire = earlier(by, self.acquire_by);
        let Some(end) = earlier(acquire, self.request_by) else {
            return Ok(work.await);
        };
        if self.is_over(start) {
            return Err(LimitReached::of_request(step));
        }
        timeout_at(end, work).await.map_err(|_| {
            let pool = after(start, step.limit(pool));
            if acquire != Some(end) {
                LimitReached::of_request(step)
            } else if pool.is_some_and(|pool| pool <= end) {
                LimitReached {
                    limit: "the pool's limit for this step",
                    step,
                    kind: step.timeout(),
                }
            } else {
                let is_acquire = self.acquire_by == Some(end);
                LimitReached {
                    limit: if is_acquire {
                        "the limit of acquire"
                    } else {
                        "the time that the request has for this step"
                    },
                    step,
                    kind: step.cut_short(),
                }
            }
        })
    }
}

/// What an acquire may have to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AcquireStep {
    /// A permit to have one of the pool's connections.
    Permit,
    /// A new connection.
    Connect,
    /// The answer to `CPing`.
    CPing,
}

impl AcquireStep {
    /// The limit of its own. The one for a permit is that of the acquire itself.
    fn limit(self, timeouts: &Timeouts) -> Option<Duration> {
        match self {
            Self::Permit => timeouts.acquire,
            Self::Connect => timeouts.connect,
            Self::CPing => timeouts.cping,
        }
    }

    /// The error when the step had all the time that the pool gives it.
    fn timeout(self) -> ErrorKind {
        match self {
            Self::Permit => ErrorKind::AcquireTimeout,
            Self::Connect => ErrorKind::ConnectTimeout,
            Self::CPing => ErrorKind::CPingTimeout,
        }
    }

    /// The error when it had less. The container is not to blame for that: the caller was in
    /// a hurry, or the time went by before.
    fn cut_short(self) -> ErrorKind {
        match self {
            Self::Permit => ErrorKind::AcquireTimeout,
            Self::Connect => ErrorKind::ConnectCutShort,
            Self::CPing => ErrorKind::CPingCutShort,
        }
    }
}

/// A limit that ended a step of an acquire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{limit} ran out while waiting for {}", match step {
    AcquireStep::Permit => "a free connection of the pool",
    AcquireStep::Connect => "a new connection",
    AcquireStep::CPing => "CPong",
})]
pub(super) struct LimitReached {
    limit: &'static str,
    step: AcquireStep,
    kind: ErrorKind,
}

impl LimitReached {
    fn of_request(step: AcquireStep) -> Self {
        Self {
            limit: "the limit of the whole request",
            step,
            kind: ErrorKind::RequestTimeout,
        }
    }

    pub(super) fn kind(self) -> ErrorKind {
        self.kind
    }
}

fn after(start: Instant, limit: Option<Duration>) -> Option<Instant> {
    // A limit beyond what the clock can express is no limit.
    limit.and_then(|limit| start.checked_add(limit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;

    const SECOND: Duration = Duration::from_secs(1);

    fn limits(acquire: u32, request: u32) -> Limits {
        let timeouts = Timeouts::default()
            .with_acquire(SECOND * acquire)
            .with_request(SECOND * request);
        Limits::new(&timeouts, &RequestTimeouts::new())
    }

    /// Limits of connecting: of the request itself and of the pool; then those of the acquire
    /// and of the request; and what is said after how many seconds.
    #[tokio::test(start_paused = true)]
    async fn the_limit_that_ran_out_is_named() {
        use ErrorKind::{ConnectCutShort, ConnectTimeout, RequestTimeout};
        for (own, pool, acquire, request, kind, seconds, limit) in [
            (None, 1, 2, 3, ConnectTimeout, 1, "the pool's limit"),
            // The request allows more than the pool, and got more.
            (Some(2), 1, 5, 6, ConnectTimeout, 2, "the pool's limit"),
            (None, 2, 2, 3, ConnectTimeout, 2, "the pool's limit"),
            (None, 3, 2, 4, ConnectCutShort, 2, "the limit of acquire"),
            (
                Some(1),
                3,
                2,
                4,
                ConnectCutShort,
                1,
                "the time that the request has",
            ),
            (
                None,
                3,
                2,
                1,
                RequestTimeout,
                1,
                "the limit of the whole request",
            ),
        ] {
            let second = |n: u64| Duration::from_secs(n);
            let pool = Timeouts {
                connect: Some(second(pool)),
                acquire: Some(second(acquire)),
                request: Some(second(request)),
                ..Timeouts::default()
            };
            let mut limits = Limits::new(&pool, &RequestTimeouts::new());
            limits.own = own.map(|own| {
                Box::new(Timeouts {
                    connect: Some(second(own)),
                    ..pool
                })
            });
            let result = limits
                .step(AcquireStep::Connect, &pool, pending::<()>())
                .await;
            let reached = result.unwrap_err();
            assert_eq!(reached.kind(), kind);
            assert_eq!(limits.started.elapsed().as_secs(), seconds);
            let text = reached.to_string();
            assert!(text.starts_with(limit), "{text}");
        }
        let limits = limits(1, 1);
        let pool = Timeouts::default();
        assert_eq!(
            limits.step(AcquireStep::Permit, &pool, async { 5 }).await,
            Ok(5)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn probes_leave_half_of_the_time() {
        let (now, pool) = (Instant::now(), Timeouts::default());
        let half = |acquire| limits(acquire, 9).probes_by(&pool, now);
        assert_eq!(half(4), Some(now + SECOND * 2));
        assert_eq!(half(40), Some(now + SECOND * 5));
        tokio::time::advance(SECOND * 3).await;
        let late = Instant::now();
        let mut limits = limits(4, 9);
        limits.acquire_by = Some(now);
        assert_eq!(limits.probes_by(&pool, late), Some(late), "nothing is left");
    }

    #[test]
    fn only_limits_that_differ_are_kept() {
        let pool = Timeouts::default();
        let limits = Limits::new(&pool, &RequestTimeouts::new());
        assert!(limits.own.is_none());
        let own = RequestTimeouts::new().with_write(SECOND);
        let limits = Limits::new(&pool, &own);
        assert_eq!(*limits.timeouts(&pool), pool.with_write(SECOND));
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_is_asked_for_again_has_all_the_time_again() {
        let pool = Timeouts::default().with_acquire(SECOND * 4);
        let mut limits = Limits::new(&pool, &RequestTimeouts::new());
        tokio::time::advance(SECOND * 3).await;
        limits.acquire_again(&pool);
        let ended = limits.step(AcquireStep::Permit, &pool, pending::<()>());
        assert_eq!(ended.await.unwrap_err().kind(), ErrorKind::AcquireTimeout);
        assert_eq!(limits.started.elapsed(), SECOND * 7);
    }
}
