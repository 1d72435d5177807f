//! One timer for many short waits. Moving the deadline costs nothing; the timer itself is
//! only touched when a wait really blocks past its old setting.

use super::current_runtime;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::runtime;
use tokio::time::{Instant, Sleep, sleep_until};

#[derive(Debug, Default)]
pub(crate) struct Deadline {
    at: Option<Instant>,
    timer: Option<Timer>,
}

#[derive(Debug)]
struct Timer {
    sleep: Pin<Box<Sleep>>,
    /// Which runtime drives it.
    runtime: Option<runtime::Id>,
}

impl Timer {
    fn new(at: Instant) -> Self {
        Self {
            sleep: Box::pin(sleep_until(at)),
            runtime: current_runtime(),
        }
    }
}

impl Deadline {
    /// Starts a wait, or ends it with `None`.
    pub(crate) fn set(&mut self, limit: Option<Duration>) {
        // A limit beyond what the clock can express is no limit.
        self.at = limit.and_then(|limit| Instant::now().checked_add(limit));
    }

    /// As [`set`](Self::set), with the moment itself.
    pub(crate) fn set_at(&mut self, at: Option<Instant>) {
        self.at = at;
    }

    pub(crate) fn is_set(&self) -> bool {
        self.at.is_some()
    }

    /// Before a deadline that was kept is used again, perhaps in another runtime: its timer
    /// stays only if this one drives it. Touching that of a runtime that has ended would
    /// panic. One that has rung is dropped too: so do all timers of a runtime that ends, whose
    /// id may be given to another.
    pub(crate) fn drop_foreign_timer(&mut self) {
        let timer = self.timer.as_ref();
        if timer.is_some_and(|timer| timer.sleep.is_elapsed() || timer.runtime != current_runtime())
        {
            self.timer = None;
        }
    }

    /// Ready when the deadline has passed; never without a deadline.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(at) = self.at else {
            return Poll::Pending;
        };
        let timer = &mut self.timer.get_or_insert_with(|| Timer::new(at)).sleep;
        loop {
            if timer.deadline() > at {
                timer.as_mut().reset(at);
            }
            match timer.as_mut().poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(()) if timer.deadline() >= at => return Poll::Ready(()),
                Poll::Ready(()) => timer.as_mut().reset(at),
            }
        }
    }
}

#[cfg(all(test, feature = "server", feature = "client"))]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use std::future::poll_fn;

    #[tokio::test(start_paused = true)]
    async fn fires_at_the_latest_setting() {
        let start = Instant::now();
        let mut deadline = Deadline::default();
        deadline.set(Some(Duration::from_secs(1)));
        assert!(poll_fn(|cx| Poll::Ready(deadline.poll(cx).is_pending())).await);
        deadline.set(Some(Duration::from_secs(5)));
        poll_fn(|cx| deadline.poll(cx)).await;
        assert_eq!(start.elapsed().as_secs(), 5);
        deadline.set(Some(Duration::from_secs(2)));
        poll_fn(|cx| deadline.poll(cx)).await;
        assert_eq!(start.elapsed().as_secs(), 7);
        deadline.set(None);
        assert!(!deadline.is_set());
        assert!(poll_fn(|cx| Poll::Ready(deadline.poll(cx).is_pending())).await);
    }

    fn current_thread() -> runtime::Runtime {
        let mut builder = runtime::Builder::new_current_thread();
        builder.enable_time().build().unwrap()
    }

    /// Polls it once for a wait of that length; tells whether it has a timer of before.
    async fn waits(deadline: &mut Deadline, length: Duration) -> bool {
        deadline.drop_foreign_timer();
        let kept = deadline.timer.is_some();
        deadline.set(Some(length));
        assert!(poll_fn(|cx| Poll::Ready(deadline.poll(cx).is_pending())).await);
        kept
    }

    #[test]
    fn a_timer_is_kept_in_its_runtime_and_nowhere_else() {
        let long = Duration::from_secs(60);
        let mut deadline = Deadline::default();
        let first = current_thread();
        assert!(!first.block_on(waits(&mut deadline, long)));
        assert!(first.block_on(waits(&mut deadline, long)));
        // Nothing drives the first one meanwhile.
        let second = current_thread();
        assert!(!second.block_on(waits(&mut deadline, long)));
        drop(second);
        assert!(!first.block_on(waits(&mut deadline, long)));
        drop(first);
        let third = current_thread();
        third.block_on(async {
            assert!(!waits(&mut deadline, Duration::from_millis(1)).await);
            poll_fn(|cx| deadline.poll(cx)).await;
            // It has rung.
            assert!(!waits(&mut deadline, long).await);
            assert!(waits(&mut deadline, long).await);
        });
    }
}
