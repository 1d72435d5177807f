//! The permits of a pool and the callers that wait for one. Whoever has a connection in hand,
//! or opens one, holds a permit; there are as many as connections are allowed. Who waits is
//! served in the order of arrival, and no more may wait than agreed.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use tokio::sync::{Semaphore, SemaphorePermit, TryAcquireError};

/// Aligned: it changes with every request, and what stands beside it does not.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Permits {
    semaphore: Semaphore,
    /// All that exist, free or held.
    issued: AtomicUsize,
    /// Of these, how many are too many since the pool was made smaller: they vanish when they
    /// are released.
    surplus: AtomicUsize,
    /// How many there shall be.
    total: AtomicUsize,
    /// Locked while that changes.
    resizing: Mutex<()>,
    waiting: AtomicUsize,
    max_waiting: usize,
}

/// Why a permit cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoPermit {
    /// All are held.
    AllTaken,
    /// All are held, and enough callers wait already.
    QueueFull,
    /// The pool was shut down.
    Shut,
}

impl Permits {
    pub(super) fn new(total: usize, max_waiting: usize) -> Self {
        Self {
            semaphore: Semaphore::new(total),
            issued: AtomicUsize::new(total),
            surplus: AtomicUsize::new(0),
            total: AtomicUsize::new(total),
            resizing: Mutex::new(()),
            waiting: AtomicUsize::new(0),
            max_waiting,
        }
    }

    /// A permit, if one is free. Free ones exist only while nobody waits, so this jumps no
    /// queue. Forget it to keep it, and call [`release`](Self::release) later.
    pub(super) fn try_acquire(&self) -> Result<SemaphorePermit<'_>, NoPermit> {
        loop {
            match self.semaphore.try_acquire() {
                Ok(permit) if self.is_surplus() => permit.forget(),
                Ok(permit) => return Ok(permit),
                Err(TryAcquireError::NoPermits) => return Err(NoPermit::AllTaken),
                Err(TryAcquireError::Closed) => return Err(NoPermit::Shut),
            }
        }
    }

    /// A permit, after all who wait already.
    pub(super) async fn acquire(&self) -> Result<SemaphorePermit<'_>, NoPermit> {
        match self.try_acquire() {
            Err(NoPermit::AllTaken) => {}
            other => return other,
        }
        let _waiting = Waiting::join(self)?;
        loop {
            match self.semaphore.acquire().await {
                Ok(permit) if self.is_surplus() => permit.forget(),
                Ok(permit) => return Ok(permit),
                Err(_) => return Err(NoPermit::Shut),
            }
        }
    }

    /// Gives back a permit that was kept. Tells whether it vanished because the pool was made
    /// smaller.
    pub(super) fn release(&self) -> bool {
        let vanishes = self.is_surplus();
        if !vanishes {
            self.semaphore.add_permits(1);
        }
        vanishes
    }

    /// Whether a permit in hand is one too many. If it is, it no longer counts.
    fn is_surplus(&self) -> bool {
        // Almost always 0: a look costs less than an update.
        if self.surplus.load(Ordering::Acquire) == 0 {
            return false;
        }
        let one_less = |surplus: usize| surplus.checked_sub(1);
        let taken = self
            .surplus
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, one_less)
            .is_ok();
        if taken {
            self.issued.fetch_sub(1, Ordering::AcqRel);
        }
        taken
    }

    /// From now on there are this many. Those that are too many and held stay valid until
    /// they are released.
    pub(super) fn resize(&self, wanted: usize) {
        let _alone = self.resizing.lock().unwrap_or_else(PoisonError::into_inner);
        let total = self.total();
        if let Some(fewer) = total.checked_sub(wanted) {
            let forgotten = self.semaphore.forget_permits(fewer);
            self.issued.fetch_sub(forgotten, Ordering::AcqRel);
            let held = fewer - forgotten;
            self.surplus.fetch_add(held, Ordering::AcqRel);
        } else {
            let mut more = wanted - total;
            // First those that would have vanished stay.
            while more > 0 {
                let one_less = |surplus: usize| surplus.checked_sub(1);
                let kept = self
                    .surplus
                    .fetch_update(Ordering::AcqRel, Ordering::Acquire, one_less);
                if kept.is_err() {
                    break;
                }
                more -= 1;
            }
            self.issued.fetch_add(more, Ordering::AcqRel);
            self.semaphore.add_permits(more);
        }
        self.total.store(wanted, Ordering::Release);
    }

    /// How many there shall be.
    pub(super) fn total(&self) -> usize {
        self.total.load(Ordering::Acquire)
    }

    pub(super) fn in_use(&self) -> usize {
        // Read one after the other while others come and go, so this may be off by those.
        let issued = self.issued.load(Ordering::Acquire);
        issued.saturating_sub(self.semaphore.available_permits())
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    pub(super) fn is_shut(&self) -> bool {
        self.semaphore.is_closed()
    }

    /// Nobody gets a permit any more.
    pub(super) fn shut(&self) {
        self.semaphore.close();
    }
}

/// One caller in the queue.
struct Waiting<'a>(&'a Permits);

impl<'a> Waiting<'a> {
    fn join(permits: &'a Permits) -> Result<Self, NoPermit> {
        let room = |waiting: usize| {
            waiting
                .checked_add(1)
                .filter(|&count| count <= permits.max_waiting)
        };
        permits
            .waiting
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, room)
            .map_err(|_| NoPermit::QueueFull)?;
        Ok(Self(permits))
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
        let permits = Permits::new(1, 2);
        let cx = &mut Context::from_waker(Waker::noop());
        permits.try_acquire().unwrap().forget();
        assert_eq!(permits.try_acquire().unwrap_err(), NoPermit::AllTaken);
        let mut second = pin!(permits.acquire());
        assert!(second.as_mut().poll(cx).is_pending());
        {
            let mut first = pin!(permits.acquire());
            assert!(first.as_mut().poll(cx).is_pending());
            let full = pin!(permits.acquire()).poll(cx);
            assert!(matches!(full, Poll::Ready(Err(NoPermit::QueueFull))));
            assert_eq!(permits.waiting(), 2);
        }
        assert_eq!(permits.waiting(), 1, "who is dropped waits no more");
        let mut third = pin!(permits.acquire());
        assert!(third.as_mut().poll(cx).is_pending());
        permits.release();
        assert_eq!(
            permits.try_acquire().unwrap_err(),
            NoPermit::AllTaken,
            "no overtaking"
        );
        assert!(third.as_mut().poll(cx).is_pending());
        let Poll::Ready(Ok(permit)) = second.as_mut().poll(cx) else {
            panic!("the permit was free")
        };
        permit.forget();
        assert_eq!((permits.in_use(), permits.waiting()), (1, 1));
        permits.shut();
        assert!(matches!(
            third.as_mut().poll(cx),
            Poll::Ready(Err(NoPermit::Shut))
        ));
        assert_eq!(permits.try_acquire().unwrap_err(), NoPermit::Shut);
        permits.release();
        assert_eq!((permits.in_use(), permits.waiting()), (0, 0));
    }

    #[test]
    fn what_is_held_when_there_shall_be_fewer_vanishes_at_its_release() {
        let permits = Permits::new(3, 0);
        permits.try_acquire().unwrap().forget();
        permits.try_acquire().unwrap().forget();
        permits.resize(1);
        assert_eq!((permits.total(), permits.in_use()), (1, 2));
        assert_eq!(permits.try_acquire().unwrap_err(), NoPermit::AllTaken);
        assert!(permits.release(), "one too many");
        assert_eq!(permits.try_acquire().unwrap_err(), NoPermit::AllTaken);
        assert!(!permits.release());
        assert_eq!(permits.in_use(), 0);
        permits.try_acquire().unwrap().forget();
        assert_eq!(permits.try_acquire().unwrap_err(), NoPermit::AllTaken);

        // What would have vanished stays when there may be more again.
        permits.resize(0);
        permits.resize(2);
        permits.try_acquire().unwrap().forget();
        assert_eq!(permits.in_use(), 2);
        assert!(!permits.release() && !permits.release());
        assert_eq!(permits.in_use(), 0);
    }

    #[test]
    fn who_waits_gets_what_is_added() {
        let permits = Permits::new(1, 1);
        let cx = &mut Context::from_waker(Waker::noop());
        permits.try_acquire().unwrap().forget();
        let mut waiting = pin!(permits.acquire());
        assert!(waiting.as_mut().poll(cx).is_pending());
        permits.resize(2);
        assert!(matches!(waiting.as_mut().poll(cx), Poll::Ready(Ok(_))));
    }

    #[test]
    fn no_more_is_kept_than_there_shall_be() {
        let permits = Permits::new(3, 0);
        (0..3).for_each(|_| permits.try_acquire().unwrap().forget());
        permits.resize(0);
        permits.resize(1);
        assert_eq!((permits.total(), permits.in_use()), (1, 3));
        assert!(permits.release() && permits.release() && !permits.release());
        assert_eq!(permits.in_use(), 0);
        permits.try_acquire().unwrap().forget();
        assert_eq!(permits.try_acquire().unwrap_err(), NoPermit::AllTaken);
    }

    #[test]
    fn who_waited_longest_gets_what_does_not_vanish() {
        let permits = Permits::new(1, 2);
        let cx = &mut Context::from_waker(Waker::noop());
        permits.try_acquire().unwrap().forget();
        let (mut first, mut second) = (pin!(permits.acquire()), pin!(permits.acquire()));
        assert!(first.as_mut().poll(cx).is_pending());
        assert!(second.as_mut().poll(cx).is_pending());
        permits.resize(0);
        permits.resize(2);
        let Poll::Ready(Ok(permit)) = first.as_mut().poll(cx) else {
            panic!("one of two is free")
        };
        permit.forget();
        assert!(second.as_mut().poll(cx).is_pending());
        assert!(!permits.release());
        assert!(matches!(second.as_mut().poll(cx), Poll::Ready(Ok(_))));
    }
}
