//! Closes the connections of exchanges whose caller stays away: the one task of a pool.
//!
//! It runs while connections are in use and ends with the last of them. It looks at each
//! [`Parking`] once per tick, so an exchange that flows pays for it with no more than the
//! atomic read that tells whether it runs; and since it looks from outside, a limit holds
//! whether anybody polls the exchange or not.

use super::cause::CloseCause;
use super::parking::Parking;
use super::shared::Shared;
use super::timeouts::Timeouts;
use crate::trace::event;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, timeout};

/// The time between two looks is at most this. A wait counts from the look that sees it to one
/// that finds it too long, so no limit is overrun by more than two of them. While the process is
/// stopped nobody looks: who was not yet seen to wait has the whole limit afterwards.
const LONGEST_TICK: Duration = Duration::from_secs(1);
/// And at least this.
const SHORTEST_TICK: Duration = Duration::from_millis(10);
/// The tick is the shortest limit of the pool divided by this, so that no limit is overrun by more
/// than this part of the shortest.
const TICKS_PER_LIMIT: u32 = 8;
/// A task that is late by this much is taken for gone, with its runtime for example, and
/// another one is started.
const GRACE: Duration = Duration::from_secs(2);
/// No task runs.
const NONE: u64 = 0;

#[derive(Debug)]
pub(super) struct Watchdog {
    parkings: Mutex<Vec<Weak<Parking>>>,
    tick: Duration,
    made: Instant,
    /// The moment before which the running task promises to look again, in milliseconds since
    /// `made`, or [`NONE`]. A task that finds here what it has not written itself has been
    /// replaced by another one, and ends.
    looks_by: AtomicU64,
}

impl Watchdog {
    pub(super) fn new(timeouts: &Timeouts) -> Self {
        let limits = [
            timeouts.request_body,
            timeouts.response_read,
            timeouts.request,
        ];
        let shortest = limits.into_iter().flatten().min().unwrap_or(LONGEST_TICK);
        let tick = shortest.checked_div(TICKS_PER_LIMIT).unwrap_or_default();
        Self {
            parkings: Mutex::default(),
            tick: tick.clamp(SHORTEST_TICK, LONGEST_TICK),
            made: Instant::now(),
            looks_by: AtomicU64::new(NONE),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Weak<Parking>>> {
        // No code that can panic runs under this lock.
        self.parkings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Watches one more connection, until it is gone.
    pub(super) fn add(&self, parking: &Arc<Parking>) {
        self.lock().push(Arc::downgrade(parking));
    }

    /// When a task that looks at `now` will have looked again. Never [`NONE`].
    fn next_look(&self, now: Instant) -> u64 {
        let by = self.tick.saturating_add(GRACE);
        self.since_made(now).saturating_add(millis(by)).max(1)
    }

    fn since_made(&self, now: Instant) -> u64 {
        millis(now.saturating_duration_since(self.made))
    }

    /// All connections that are still there.
    fn watched(&self) -> Vec<Arc<Parking>> {
        let mut parkings = self.lock();
        parkings.retain(|parking| parking.strong_count() > 0);
        parkings.iter().filter_map(Weak::upgrade).collect()
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Shared {
    /// An exchange begins: makes sure that somebody watches it. Its connection counts as in
    /// use already.
    pub(super) fn start_watchdog(self: &Arc<Self>, now: Instant) {
        let watchdog = &self.watchdog;
        // Pairs with the fence of a task that ends: either it sees the connection in use, or
        // this sees that it ends.
        fence(Ordering::SeqCst);
        let looks_by = watchdog.looks_by.load(Ordering::Relaxed);
        if looks_by != NONE && watchdog.since_made(now) <= looks_by {
            return;
        }
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let next = watchdog.next_look(now);
        let claimed =
            watchdog
                .looks_by
                .compare_exchange(looks_by, next, Ordering::SeqCst, Ordering::Relaxed);
        if claimed.is_ok() {
            runtime.spawn(watch(Arc::downgrade(self), next));
        }
    }

    /// Starts another task where the one that should have looked did not: its runtime is gone,
    /// or nobody drives it.
    pub(super) fn replace_lost_watchdog(self: &Arc<Self>) {
        if self.watchdog.looks_by.load(Ordering::Relaxed) != NONE {
            self.start_watchdog(Instant::now());
        }
    }

    /// Waits for what is free only when others give their connections back, and makes sure
    /// meanwhile that somebody watches these.
    pub(super) async fn wait_watched<T>(self: &Arc<Self>, wait: impl Future<Output = T>) -> T {
        let mut wait = pin!(wait);
        loop {
            self.replace_lost_watchdog();
            if let Ok(done) = timeout(GRACE, wait.as_mut()).await {
                return done;
            }
        }
    }

    /// One look at all connections.
    fn clear_overdue(&self) -> bool {
        let now = Instant::now();
        let mut any_left = false;
        for parking in self.watchdog.watched() {
            let Some(overdue) = parking.cut_if_overdue(now) else {
                any_left |= parking.is_parked();
                continue;
            };
            event!(
                DEBUG,
                pool = self.id.name(),
                peer = &*self.peer,
                error = %overdue.kind,
                "AJP exchange ended, its caller stayed away"
            );
            self.counters.failed(overdue.kind);
            // The connection is closed before its permit is free.
            self.close(overdue.connection, CloseCause::Timeout);
            if overdue.has_permit {
                self.release_permit();
            }
        }
        any_left
    }
}

/// `looks_by` is what was announced for the first look.
async fn watch(pool: Weak<Shared>, mut looks_by: u64) {
    loop {
        let Some(tick) = pool.upgrade().map(|shared| shared.watchdog.tick) else {
            return;
        };
        sleep(tick).await;
        let Some(shared) = pool.upgrade() else {
            return;
        };
        let announce = |before: u64, next: u64| {
            let announced = &shared.watchdog.looks_by;
            announced
                .compare_exchange(before, next, Ordering::SeqCst, Ordering::Relaxed)
                .is_ok()
        };
        let any_left = shared.clear_overdue();
        let is_idle = || !any_left && shared.permits.in_use() == 0;
        if is_idle() {
            if !announce(looks_by, NONE) {
                return;
            }
            fence(Ordering::SeqCst);
            if is_idle() {
                return;
            }
            looks_by = NONE;
        }
        let next = shared.watchdog.next_look(Instant::now());
        if !announce(looks_by, next) {
            return;
        }
        looks_by = next;
    }
}
