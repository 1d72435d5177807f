//! The pool: its permits, its idle connections, and the way of a connection through both.

mod cause {
    include!(concat!(env!("OUT_DIR"), "/client_cause.rs"));
}
mod idle {
    include!(concat!(env!("OUT_DIR"), "/client_idle.rs"));
}
mod idle_order {
    include!(concat!(env!("OUT_DIR"), "/client_idle_order.rs"));
}
mod keep_alive {
    include!(concat!(env!("OUT_DIR"), "/client_keep_alive.rs"));
}
mod permits {
    include!(concat!(env!("OUT_DIR"), "/client_permits.rs"));
}

/// As much of the settings as the idle connections need.
mod config {
    use super::idle_order::IdleOrder;
    use std::time::Duration;

    pub(super) struct PoolConfig {
        pub(super) idle_order: IdleOrder,
        pub(super) idle_timeout: Option<Duration>,
        pub(super) keep_alive: Option<Duration>,
        pub(super) learn_keep_alive: bool,
        pub(super) max_idle: usize,
        pub(super) min_idle: usize,
    }
}

/// A connection that is nothing but open.
mod connection {
    use std::time::Duration;
    use tokio::runtime;
    use tokio::time::Instant;

    #[derive(Debug)]
    pub(super) struct Connection {
        pub(super) runtime: Option<runtime::Id>,
        pub(super) idle_since: Instant,
        pub(super) idle_before: Option<Duration>,
        pub(super) heard: Instant,
        pub(super) turn: u64,
    }

    impl Connection {
        pub(super) fn is_past_lifetime(&self, _: Instant) -> bool {
            false
        }
    }
}

use crate::sync::Arc;
use crate::sync::atomic::{AtomicUsize, Ordering};
use cause::CloseCause;
use config::PoolConfig;
use connection::Connection;
use idle::{ClosingConnections, IdleList};
use permits::{NoPermit, Permits};
use shuttle::future::block_on;
use shuttle::thread;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use tokio::time::Instant;

/// A pool as `client/shared.rs` and `client/lease.rs` have it, less what counts, waits for
/// sockets, or tells.
struct Pool {
    permits: Permits,
    idle: IdleList,
    /// Sockets that are open, and the most there ever were.
    live: AtomicUsize,
    most: AtomicUsize,
}

impl Pool {
    fn new(max: usize, max_idle: usize) -> Arc<Self> {
        let config = PoolConfig {
            idle_order: idle_order::IdleOrder::Lifo,
            idle_timeout: None,
            keep_alive: None,
            learn_keep_alive: false,
            max_idle,
            min_idle: 0,
        };
        Arc::new(Self {
            permits: Permits::new(max, 100),
            idle: IdleList::new(&config),
            live: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        })
    }

    fn close(&self, connection: Box<Connection>) {
        drop(connection);
        self.live.fetch_sub(1, Ordering::SeqCst);
    }

    fn close_all(&self, closing: ClosingConnections<'_>) {
        closing.close_each(|connection, _: CloseCause| self.close(connection));
    }

    fn room_for_idle(&self) -> usize {
        self.permits.total().saturating_sub(self.permits.in_use())
    }

    fn trim_idle(&self) -> bool {
        let (surplus, fits) = self.idle.shrink_to(self.room_for_idle());
        self.close_all(surplus);
        fits
    }

    async fn make_room(&self) {
        loop {
            let fewer_out = self.idle.fewer_out();
            if self.trim_idle() {
                return;
            }
            fewer_out.await;
        }
    }

    /// An idle connection, or a new one. The permit was taken before.
    async fn connection(&self) -> Box<Connection> {
        let now = Instant::now();
        let (found, expired) = self.idle.pop(now);
        self.close_all(expired);
        if let Some(connection) = found {
            return connection;
        }
        self.open().await
    }

    async fn open(&self) -> Box<Connection> {
        self.make_room().await;
        let live = self.live.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(live, Ordering::SeqCst);
        let now = Instant::now();
        Box::new(Connection {
            runtime: None,
            idle_since: now,
            idle_before: None,
            heard: now,
            turn: 0,
        })
    }

    fn put_back(&self, connection: Box<Connection>) {
        let surplus = self.idle.push(connection, Instant::now());
        self.close_all(surplus);
    }

    fn release(&self) {
        if self.permits.release() {
            self.trim_idle();
        }
    }

    /// A request, which leaves its connection clean or not.
    fn exchange(&self, clean: bool, fresh: bool) -> Result<(), NoPermit> {
        block_on(async {
            self.permits.acquire().await?.forget();
            let connection = if fresh {
                self.open().await
            } else {
                self.connection().await
            };
            if clean {
                self.put_back(connection);
            } else {
                self.close(connection);
            }
            self.release();
            Ok(())
        })
    }

    fn shut(&self) {
        self.permits.shut();
        self.close_all(self.idle.shut());
    }

    /// Nothing is in use, and all that is open is idle.
    fn check_rest(&self) {
        assert_eq!((self.permits.in_use(), self.permits.waiting()), (0, 0));
        assert_eq!(self.live.load(Ordering::SeqCst), self.idle.len());
    }
}

/// Polls a future once and drops it: a caller that gives up while it waits.
fn give_up(future: impl Future<Output = Result<(), NoPermit>>) -> Option<Result<(), NoPermit>> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => Some(result),
        Poll::Pending => None,
    }
}

/// Permits are never lost nor made: callers that wait, one that gives up, and a pool that is made
/// smaller and larger meanwhile.
pub fn permits_add_up() {
    let permits = Arc::new(Permits::new(2, 8));
    let held = Arc::new(AtomicUsize::new(0));
    let mut threads = Vec::new();
    for _ in 0..2 {
        let (permits, held) = (Arc::clone(&permits), Arc::clone(&held));
        threads.push(thread::spawn(move || {
            let permit = block_on(permits.acquire());
            permit.unwrap().forget();
            assert!(held.fetch_add(1, Ordering::SeqCst) < 3);
            held.fetch_sub(1, Ordering::SeqCst);
            permits.release();
        }));
    }
    let hurried = Arc::clone(&permits);
    threads.push(thread::spawn(move || {
        let got = give_up(async { hurried.acquire().await.map(|permit| permit.forget()) });
        if got == Some(Ok(())) {
            hurried.release();
        }
    }));
    let operator = Arc::clone(&permits);
    threads.push(thread::spawn(move || {
        operator.resize(1);
        operator.resize(3);
    }));
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!((permits.in_use(), permits.waiting()), (0, 0));
    for _ in 0..3 {
        permits.try_acquire().unwrap().forget();
    }
    assert_eq!(permits.try_acquire().unwrap_err(), NoPermit::AllTaken);
}

/// Whoever waits is told when the pool is shut down, and nobody gets a permit afterwards.
pub fn everybody_is_told_of_the_shutdown() {
    let permits = Arc::new(Permits::new(1, 8));
    let mut threads = Vec::new();
    for _ in 0..2 {
        let permits = Arc::clone(&permits);
        threads.push(thread::spawn(move || {
            match block_on(permits.acquire()) {
                // It may have come before.
                Ok(permit) => {
                    permit.forget();
                    permits.release();
                }
                Err(error) => assert_eq!(error, NoPermit::Shut),
            }
        }));
    }
    permits.shut();
    assert_eq!(permits.try_acquire().unwrap_err(), NoPermit::Shut);
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!((permits.in_use(), permits.waiting()), (0, 0));
}

/// Never more sockets than the cap, whether connections come back clean or not, are looked at,
/// or are opened anew while others are idle.
pub fn the_cap_holds() {
    let pool = Pool::new(2, 2);
    let mut threads = Vec::new();
    for (clean, fresh) in [(true, false), (true, true), (false, false)] {
        let pool = Arc::clone(&pool);
        threads.push(thread::spawn(move || pool.exchange(clean, fresh).unwrap()));
    }
    let keeper = Arc::clone(&pool);
    threads.push(thread::spawn(move || {
        let end = keeper.idle.next_turn();
        if let Some(connection) = keeper.idle.take_to_look_at(0, end) {
            let closing = keeper.idle.put_back(connection);
            keeper.close_all(closing);
        }
    }));
    for thread in threads {
        thread.join().unwrap();
    }
    let most = pool.most.load(Ordering::SeqCst);
    assert!(most <= 2, "{most} connections");
    pool.check_rest();
}

/// A pool that is made smaller has no more than it may once everybody is done.
pub fn a_smaller_pool_gets_small() {
    let pool = Pool::new(3, 3);
    let mut threads = Vec::new();
    for _ in 0..2 {
        let pool = Arc::clone(&pool);
        threads.push(thread::spawn(move || pool.exchange(true, false).unwrap()));
    }
    let operator = Arc::clone(&pool);
    threads.push(thread::spawn(move || {
        operator.permits.resize(1);
        operator.trim_idle();
    }));
    for thread in threads {
        thread.join().unwrap();
    }
    pool.check_rest();
    assert!(pool.idle.len() <= 1, "{} are idle", pool.idle.len());
}

/// After a shutdown no socket is left, whoever comes back when.
pub fn nothing_is_left_after_the_shutdown() {
    let pool = Pool::new(2, 2);
    let mut threads = Vec::new();
    for clean in [true, false] {
        let pool = Arc::clone(&pool);
        threads.push(thread::spawn(move || {
            let ended = pool.exchange(clean, false);
            assert!(matches!(ended, Ok(()) | Err(NoPermit::Shut)));
        }));
    }
    pool.shut();
    for thread in threads {
        thread.join().unwrap();
    }
    pool.check_rest();
    assert_eq!(pool.live.load(Ordering::SeqCst), 0);
}
