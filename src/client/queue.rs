//! The places of a pool and the callers that wait for one: first come, first served, and not
//! more of them than agreed.

use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{Semaphore, SemaphorePermit, TryAcquireError};

#[derive(Debug)]
pub(super) struct Queue {
    places: Semaphore,
    total: usize,
    waiting: AtomicUsize,
    max_waiting: usize,
}

/// Why a place cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoPlace {
    /// All are taken.
    Taken,
    /// All are taken, and so is the queue.
    QueueFull,
    Shut,
}

impl Queue {
    pub(super) fn new(total: usize, max_waiting: usize) -> Self {
        Self {
            places: Semaphore::new(total),
            total,
            waiting: AtomicUsize::new(0),
            max_waiting,
        }
    }

    /// A place, if one is free. Free places exist only while nobody waits, so this jumps no
    /// queue. Forget the permit to keep the place, and [`leave`](Self::leave) it later.
    pub(super) fn try_enter(&self) -> Result<SemaphorePermit<'_>, NoPlace> {
        self.places.try_acquire().map_err(|error| match error {
            TryAcquireError::NoPermits => NoPlace::Taken,
            TryAcquireError::Closed => NoPlace::Shut,
        })
    }

    /// Waits for a place behind all who wait already.
    pub(super) async fn wait(&self) -> Result<SemaphorePermit<'_>, NoPlace> {
        let _waiting = Waiting::join(self)?;
        self.places.acquire().await.map_err(|_| NoPlace::Shut)
    }

    /// Gives up a place that was kept.
    pub(super) fn leave(&self) {
        self.places.add_permits(1);
    }

    pub(super) fn in_use(&self) -> usize {
        self.total.saturating_sub(self.places.available_permits())
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Nobody gets a place any more.
    pub(super) fn shut(&self) {
        self.places.close();
    }
}

/// One caller in the queue.
struct Waiting<'a>(&'a Queue);

impl<'a> Waiting<'a> {
    fn join(queue: &'a Queue) -> Result<Self, NoPlace> {
        let room = |waiting: usize| {
            waiting
                .checked_add(1)
                .filter(|&count| count <= queue.max_waiting)
        };
        queue
            .waiting
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, room)
            .map_err(|_| NoPlace::QueueFull)?;
        Ok(Self(queue))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    #[test]
    fn the_queue_is_bounded_and_fair_and_forgets_who_leaves() {
        let queue = Queue::new(1, 2);
        let cx = &mut Context::from_waker(Waker::noop());
        queue.try_enter().unwrap().forget();
        assert_eq!(queue.try_enter().unwrap_err(), NoPlace::Taken);
        let mut second = pin!(queue.wait());
        assert!(second.as_mut().poll(cx).is_pending());
        {
            let mut first = pin!(queue.wait());
            assert!(first.as_mut().poll(cx).is_pending());
            let full = pin!(queue.wait()).poll(cx);
            assert!(matches!(full, Poll::Ready(Err(NoPlace::QueueFull))));
            assert_eq!(queue.waiting(), 2);
        }
        assert_eq!(queue.waiting(), 1, "who is dropped waits no more");
        let mut third = pin!(queue.wait());
        assert!(third.as_mut().poll(cx).is_pending());
        queue.leave();
        assert_eq!(
            queue.try_enter().unwrap_err(),
            NoPlace::Taken,
            "no overtaking"
        );
        assert!(third.as_mut().poll(cx).is_pending());
        let Poll::Ready(Ok(place)) = second.as_mut().poll(cx) else {
            panic!("the place was free")
        };
        place.forget();
        assert_eq!((queue.in_use(), queue.waiting()), (1, 1));
        queue.shut();
        assert!(matches!(
            third.as_mut().poll(cx),
            Poll::Ready(Err(NoPlace::Shut))
        ));
        assert_eq!(queue.try_enter().unwrap_err(), NoPlace::Shut);
        queue.leave();
        assert_eq!((queue.in_use(), queue.waiting()), (0, 0));
    }
}
