//! One timer for many short waits. Moving the deadline costs nothing; the timer itself is
//! only touched when a wait really blocks past its old setting.

use std::pin::Pin;
use std::task::{Context, Poll};
#[cfg(any(feature = "server", feature = "client"))]
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

#[derive(Debug, Default)]
pub(crate) struct Deadline {
    at: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Deadline {
    /// Starts a wait, or ends it with `None`.
    #[cfg(any(feature = "server", feature = "client"))]
    pub(crate) fn set(&mut self, limit: Option<Duration>) {
        // A limit beyond what the clock can express is no limit.
        self.at = limit.and_then(|limit| Instant::now().checked_add(limit));
    }

    /// As [`set`](Self::set), with the moment itself.
    #[cfg(feature = "client")]
    pub(crate) fn set_at(&mut self, at: Option<Instant>) {
        self.at = at;
    }

    #[cfg(feature = "server")]
    pub(crate) fn is_set(&self) -> bool {
        self.at.is_some()
    }

    /// Ready when the deadline has passed; never without a deadline.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(at) = self.at else {
            return Poll::Pending;
        };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
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

#[cfg(all(test, feature = "server"))]
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
}
