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

    /// One step of acquiring a connection: its own limit, and those of the acquire and of
    /// the request. `late` is what the first two are called.
    pub(super) async fn step<T>(
        &self,
        limit: Option<Duration>,
        late: ErrorKind,
        step: impl Future<Output = T>,
    ) -> Result<T, ErrorKind> {
        // Without a limit of its own the step needs no clock.
        let own = limit.and_then(|limit| Instant::now().checked_add(limit));
        self.step_by(own, late, step).await
    }

    /// As [`step`](Self::step), until a moment.
    pub(super) async fn step_by<T>(
        &self,
        own: Option<Instant>,
        late: ErrorKind,
        step: impl Future<Output = T>,
    ) -> Result<T, ErrorKind> {
        let own = earlier(own, self.acquire_by);
        let Some(by) = earlier(own, self.request_by) else {
            return Ok(step.await);
        };
        if self.is_over(Instant::now()) {
            return Err(ErrorKind::RequestTimeout);
        }
        timeout_at(by, step).await.map_err(|_| match own {
            Some(own) if own == by => late,
            _ => ErrorKind::RequestTimeout,
        })
    }
}

fn after(start: Instant, limit: Option<Duration>) -> Option<Instant> {
    // A limit beyond what the clock can express is no limit.
    limit.and_then(|limit| start.checked_add(limit))
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use super::*;
    use std::future::pending;

    const SECOND: Duration = Duration::from_secs(1);

    fn limits(acquire: u32, request: u32) -> Limits {
        let timeouts = Timeouts::default()
            .acquire(SECOND * acquire)
            .request(SECOND * request);
        Limits::new(&timeouts, &RequestTimeouts::new())
    }

    #[tokio::test(start_paused = true)]
    async fn the_limit_that_ran_out_is_named() {
        let late = ErrorKind::ConnectTimeout;
        for (own, acquire, request, kind, seconds) in [
            (Some(1), 2, 3, late, 1),
            (Some(3), 2, 3, late, 2),
            (None, 2, 3, late, 2),
            (Some(3), 2, 1, ErrorKind::RequestTimeout, 1),
        ] {
            let limits = limits(acquire, request);
            let own = own.map(|own: u32| SECOND * own);
            let result = limits.step(own, late, pending::<()>()).await;
            assert_eq!(result, Err(kind));
            assert_eq!(limits.started.elapsed().as_secs(), seconds);
        }
        let limits = limits(1, 1);
        assert_eq!(limits.step(None, late, async { 5 }).await, Ok(5));
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
        let own = RequestTimeouts::new().write(SECOND);
        let limits = Limits::new(&pool, &own);
        assert_eq!(*limits.timeouts(&pool), pool.write(SECOND));
    }
}
