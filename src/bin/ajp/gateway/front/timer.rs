//! How long a client may take for the head of a request, the time before it included.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

/// A clock that runs while a head is waited for. Nearly every head comes in time, so the alarm of the
/// runtime stays set when it has come, and is moved only when it rings too early or would ring too
/// late: to move it for each request costs more than one idle wake-up of the connection now and
/// then.
#[derive(Debug)]
pub(super) struct HeadClock {
    limit: Duration,
    /// When the head that is waited for must have come.
    until: Option<Instant>,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl HeadClock {
    pub(super) fn new(limit: Duration) -> Self {
        Self {
            limit,
            until: None,
            alarm: None,
        }
    }

    /// A head has come.
    pub(super) fn stop(&mut self) {
        self.until = None;
    }

    /// A head is waited for, from now on if it was not before: completes when that has taken too
    /// long.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let limit = self.limit;
        let until = *self.until.get_or_insert_with(|| {
            let now = Instant::now();
            now.checked_add(limit).unwrap_or(now)
        });
        let alarm = self
            .alarm
            .get_or_insert_with(|| Box::pin(sleep_until(until)));
        loop {
            if alarm.deadline() > until {
                alarm.as_mut().reset(until);
            }
            match alarm.as_mut().poll(cx) {
                Poll::Ready(()) if alarm.deadline() < until => alarm.as_mut().reset(until),
                other => return other,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use tokio::time::{advance, sleep};

    async fn waits(clock: &mut HeadClock) {
        let pending = poll_fn(|cx| Poll::Ready(clock.poll(cx).is_pending())).await;
        assert!(pending);
    }

    #[tokio::test(start_paused = true)]
    async fn each_head_has_its_time_whatever_came_before() {
        let second = Duration::from_secs(1);
        let mut clock = HeadClock::new(second * 60);
        for _ in 0..20 {
            waits(&mut clock).await;
            sleep(second * 7).await;
            clock.stop();
        }
        let start = Instant::now();
        waits(&mut clock).await;
        sleep(second * 30).await;
        // It goes on.
        poll_fn(|cx| clock.poll(cx)).await;
        assert_eq!(start.elapsed(), second * 60);
        // The alarm has rung and is behind the clock.
        clock.stop();
        advance(second * 100).await;
        let start = Instant::now();
        poll_fn(|cx| clock.poll(cx)).await;
        assert_eq!(start.elapsed(), second * 60);
    }
}
