//! A future that waits beside busy ones in the same task.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// Polls a future only when it was woken itself. A task is polled as a whole whenever one of its
/// futures was woken: a connection's with every request, while what else it waits for hardly ever
/// happens.
#[derive(Debug)]
pub(crate) struct WhenWoken<F> {
    future: F,
    signal: Arc<Signal>,
    /// Wakes through the signal.
    waker: Waker,
    /// As the signal has it.
    task: Waker,
}

#[derive(Debug)]
struct Signal {
    is_woken: AtomicBool,
    task: Mutex<Waker>,
}

impl<F: Future + Unpin> WhenWoken<F> {
    pub(crate) fn new(future: F) -> Self {
        let signal = Arc::new(Signal {
            // It has to be polled a first time.
            is_woken: AtomicBool::new(true),
            task: Mutex::new(Waker::noop().clone()),
        });
        Self {
            future,
            waker: Arc::clone(&signal).into(),
            signal,
            task: Waker::noop().clone(),
        }
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_woken.store(true, Ordering::Release);
        let task = {
            let task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
            task.clone()
        };
        task.wake();
    }
}

impl<F: Future + Unpin> Future for WhenWoken<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        if !this.task.will_wake(cx.waker()) {
            this.task.clone_from(cx.waker());
            let mut task = this
                .signal
                .task
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            task.clone_from(&this.task);
        }
        // The task is known by now: whoever wakes later than this look wakes it.
        let is_woken = &this.signal.is_woken;
        if !is_woken.load(Ordering::Acquire) || !is_woken.swap(false, Ordering::AcqRel) {
            return Poll::Pending;
        }
        Pin::new(&mut this.future).poll(&mut Context::from_waker(&this.waker))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::pin::pin;
    use std::sync::atomic::AtomicUsize;
    use tokio::sync::Notify;
    use tokio::time::{Duration, sleep};

    #[tokio::test(start_paused = true)]
    async fn it_is_polled_when_it_was_woken_and_not_with_its_neighbours() {
        let (polls, event) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let count = Arc::clone(&polls);
        let waited = Arc::clone(&event);
        let mut inner = Box::pin(async move {
            waited.notified().await;
            waited.notified().await;
        });
        let mut rare = WhenWoken::new(poll_fn(move |cx| {
            count.fetch_add(1, Ordering::Relaxed);
            inner.as_mut().poll(cx)
        }));
        let mut busy = pin!(async {
            for _ in 0..100 {
                sleep(Duration::from_millis(1)).await;
            }
        });
        let is_over = poll_fn(
            |cx| match (busy.as_mut().poll(cx), Pin::new(&mut rare).poll(cx)) {
                (_, Poll::Ready(())) => Poll::Ready(true),
                (Poll::Ready(()), Poll::Pending) => Poll::Ready(false),
                (Poll::Pending, Poll::Pending) => Poll::Pending,
            },
        );
        assert!(!is_over.await);
        assert_eq!(polls.load(Ordering::Relaxed), 1);
        // In another task from here on, which has another waker.
        let task = tokio::spawn(rare);
        sleep(Duration::from_millis(1)).await;
        event.notify_one();
        sleep(Duration::from_millis(1)).await;
        event.notify_one();
        task.await.unwrap();
        assert_eq!(polls.load(Ordering::Relaxed), 3);
    }

    #[tokio::test]
    async fn what_wakes_it_while_it_is_polled_is_not_lost() {
        let mut left = 3;
        WhenWoken::new(poll_fn(move |cx: &mut Context<'_>| {
            left -= 1;
            cx.waker().wake_by_ref();
            if left == 0 {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        }))
        .await;
    }
}
