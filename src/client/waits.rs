//! What an exchange waits for, and until when: one step at a time and the end of the whole
//! request, on one timer.

use crate::net::Deadline;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::Instant;

#[derive(Debug, Default)]
pub(super) struct Waits {
    timer: Deadline,
    /// What is waited for now, and when that has taken too long.
    step: Option<(ExchangeStep, Option<Instant>)>,
    /// When the whole request must be over.
    request: Option<Instant>,
}

/// What an exchange waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ExchangeStep {
    /// The transport takes no bytes of the request.
    Write,
    /// The caller has no body for a container that waits for it.
    RequestBody,
    /// The container has not sent the head of the response.
    ResponseHead,
    /// The container has sent the head, and is to go on.
    NextPacket,
}

/// The limit that ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expired {
    Step(ExchangeStep),
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
    pub(super) fn use_timer(&mut self, timer: Deadline) {
        self.timer = timer;
        self.timer.drop_foreign_timer();
    }

    /// The timer, for a later exchange.
    pub(super) fn take_timer(&mut self) -> Deadline {
        std::mem::take(&mut self.timer)
    }

    /// Waits for this step. The time of a step that is waited for already goes on.
    pub(super) fn wait_for(&mut self, step: ExchangeStep, limit: Option<Duration>) {
        if !self.is_current(step) {
            self.start(step, limit);
        }
    }

    /// Waits for this step, from now on.
    pub(super) fn start(&mut self, step: ExchangeStep, limit: Option<Duration>) {
        // A limit beyond what the clock can express is no limit.
        let by = limit.and_then(|limit| Instant::now().checked_add(limit));
        self.step = Some((step, by));
    }

    /// What was waited for has happened, if it was this.
    pub(super) fn stop_if(&mut self, step: ExchangeStep) {
        if self.is_current(step) {
            self.step = None;
        }
    }

    /// What was waited for has happened, unless it was this.
    pub(super) fn stop_unless(&mut self, step: ExchangeStep) {
        if !self.is_current(step) {
            self.step = None;
        }
    }

    fn is_current(&self, step: ExchangeStep) -> bool {
        self.step.is_some_and(|(current, _)| current == step)
    }

    /// Whether the exchange must be over by now.
    pub(super) fn is_over(&self) -> bool {
        self.request.is_some_and(|end| end <= Instant::now())
    }

    /// When the next limit runs out, if nothing happens.
    pub(super) fn next(&self) -> Option<Instant> {
        let step = self.step.and_then(|(_, by)| by);
        match (step, self.request) {
            (Some(step), Some(request)) => Some(step.min(request)),
            (step, request) => step.or(request),
        }
    }

    /// Ready when something took too long.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Expired> {
        let Some(next) = self.next() else {
            return Poll::Pending;
        };
        self.timer.set_at(Some(next));
        ready!(self.timer.poll(cx));
        // The step comes first if both end at the same moment.
        Poll::Ready(match self.step {
            Some((step, Some(by))) if by == next => Expired::Step(step),
            _ => Expired::Request,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    #[tokio::test(start_paused = true)]
    async fn what_ran_out_is_named() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut waits = Waits::new(Some(start + second * 5));
        waits.wait_for(ExchangeStep::ResponseHead, Some(second * 2));
        let expired = poll_fn(|cx| waits.poll(cx)).await;
        assert_eq!(expired, Expired::Step(ExchangeStep::ResponseHead));
        assert_eq!(start.elapsed(), second * 2);

        waits.start(ExchangeStep::Write, Some(second));
        waits.wait_for(ExchangeStep::Write, Some(second * 60));
        assert_eq!(waits.next(), Some(start + second * 3), "its time goes on");
        waits.stop_if(ExchangeStep::NextPacket);
        waits.stop_unless(ExchangeStep::Write);
        let expired = poll_fn(|cx| waits.poll(cx)).await;
        assert_eq!(expired, Expired::Step(ExchangeStep::Write));
        assert_eq!(start.elapsed(), second * 3);

        waits.stop_if(ExchangeStep::Write);
        assert!(!waits.is_over());
        assert_eq!(poll_fn(|cx| waits.poll(cx)).await, Expired::Request);
        assert_eq!(start.elapsed(), second * 5);
        assert!(waits.is_over());

        let mut none = Waits::new(None);
        none.wait_for(ExchangeStep::NextPacket, None);
        assert!(poll_fn(|cx| Poll::Ready(none.poll(cx).is_pending())).await);
    }
}
