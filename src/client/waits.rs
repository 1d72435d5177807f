//! The waits of an exchange, on one timer.

use crate::net::Deadline;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::Instant;

#[derive(Debug, Default)]
pub(super) struct Waits {
    timer: Deadline,
    write: Option<Instant>,
    read: Option<Instant>,
    request: Option<Instant>,
}

/// The wait that took too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Late {
    Write,
    Read,
    Request,
}

impl Waits {
    /// `request` is when the whole exchange must be over.
    pub(super) fn new(request: Option<Instant>) -> Self {
        Self {
            request,
            ..Self::default()
        }
    }

    /// Takes over the timer of an earlier exchange.
    pub(super) fn adopt(&mut self, timer: Deadline) {
        self.timer = timer;
        self.timer.adopt();
    }

    /// The timer, for a later exchange.
    pub(super) fn give_up(&mut self) -> Deadline {
        std::mem::take(&mut self.timer)
    }

    pub(super) fn write(&mut self, limit: Option<Duration>) {
        self.write = from_now(limit);
    }

    pub(super) fn is_write_set(&self) -> bool {
        self.write.is_some()
    }

    pub(super) fn read(&mut self, limit: Option<Duration>) {
        self.read = from_now(limit);
    }

    pub(super) fn is_read_set(&self) -> bool {
        self.read.is_some()
    }

    /// Whether the exchange must be over by now.
    pub(super) fn is_over(&self) -> bool {
        self.request.is_some_and(|end| end <= Instant::now())
    }

    /// Ready when one of them took too long.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Late> {
        let all = [
            (self.write, Late::Write),
            (self.read, Late::Read),
            (self.request, Late::Request),
        ];
        // The first of several that end at the same moment.
        let set = all.into_iter().filter_map(|(at, late)| Some((at?, late)));
        let Some((at, late)) = set.min_by_key(|(at, _)| *at) else {
            return Poll::Pending;
        };
        self.timer.set_at(Some(at));
        ready!(self.timer.poll(cx));
        Poll::Ready(late)
    }
}

fn from_now(limit: Option<Duration>) -> Option<Instant> {
    // A limit beyond what the clock can express is no limit.
    limit.and_then(|limit| Instant::now().checked_add(limit))
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use super::*;
    use std::future::poll_fn;

    #[tokio::test(start_paused = true)]
    async fn the_earliest_is_named() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut waits = Waits::new(Some(start + second * 5));
        waits.read(Some(second * 2));
        waits.write(Some(second * 3));
        assert_eq!(poll_fn(|cx| waits.poll(cx)).await, Late::Read);
        assert_eq!(start.elapsed(), second * 2);
        waits.read(None);
        assert_eq!(poll_fn(|cx| waits.poll(cx)).await, Late::Write);
        assert_eq!(start.elapsed(), second * 3);
        waits.write(None);
        assert!(!waits.is_over());
        assert_eq!(poll_fn(|cx| waits.poll(cx)).await, Late::Request);
        assert_eq!(start.elapsed(), second * 5);
        assert!(waits.is_over());
        assert!(poll_fn(|cx| Poll::Ready(Waits::new(None).poll(cx).is_pending())).await);
    }
}
