//! The pool: its permits, its idle connections, the way of a connection through both in a lease,
//! and its secrets.

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
mod lease {
    include!(concat!(env!("OUT_DIR"), "/client_lease.rs"));
}
mod permits {
    include!(concat!(env!("OUT_DIR"), "/client_permits.rs"));
}
mod secrets {
    include!(concat!(env!("OUT_DIR"), "/client_secrets.rs"));
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

/// What a lease knows beside its connection: nothing, here.
mod limits {
    use super::timeouts::Timeouts;
    use tokio::time::Instant;

    #[derive(Debug, Default)]
    pub(super) struct Limits {
        pub(super) request_by: Option<Instant>,
    }

    impl Limits {
        pub(super) fn take(&mut self) -> Self {
            std::mem::take(self)
        }

        pub(super) fn timeouts<'a>(&'a self, of_pool: &'a Timeouts) -> &'a Timeouts {
            of_pool
        }
    }
}
mod phases {
    #[derive(Debug)]
    pub(super) struct Stopwatch;

    impl Stopwatch {
        pub(super) fn new() -> Self {
            Self
        }
    }
}
mod timeouts {
    #[derive(Debug)]
    pub(super) struct Timeouts;
}

/// A pool as `client/shared.rs` has it, less what counts, waits for sockets, or tells.
mod shared {
    use super::cause::CloseCause;
    use super::config::PoolConfig;
    use super::connection::Connection;
    use super::idle::{ClosingConnections, IdleList};
    use super::idle_order::IdleOrder;
    use super::permits::Permits;
    use super::timeouts::Timeouts;
    use crate::common::CacheAligned;
    use crate::sync::Arc;
    use crate::sync::atomic::{AtomicUsize, Ordering};
    use tokio::time::Instant;

    pub(super) type PerThreadShared = Arc<CacheAligned<Arc<Shared>>>;

    pub(super) struct Settings {
        pub(super) timeouts: Timeouts,
    }

    pub(super) struct Shared {
        pub(super) peer: Arc<str>,
        pub(super) config: Settings,
        pub(super) permits: Permits,
        pub(super) idle: IdleList,
        /// Sockets that are open, and the most there ever were.
        pub(super) live: AtomicUsize,
        pub(super) most: AtomicUsize,
    }

    impl Shared {
        pub(super) fn new(max: usize, max_idle: usize) -> Arc<Self> {
            let config = PoolConfig {
                idle_order: IdleOrder::Lifo,
                idle_timeout: None,
                keep_alive: None,
                learn_keep_alive: false,
                max_idle,
                min_idle: 0,
            };
            Arc::new(Self {
                peer: "jvm1".into(),
                config: Settings { timeouts: Timeouts },
                permits: Permits::new(max, 100),
                idle: IdleList::new(&config),
                live: AtomicUsize::new(0),
                most: AtomicUsize::new(0),
            })
        }

        pub(super) fn close(&self, connection: Box<Connection>, _: CloseCause) {
            drop(connection);
            self.live.fetch_sub(1, Ordering::SeqCst);
        }

        pub(super) fn close_all(&self, closing: ClosingConnections<'_>) {
            closing.close_each(|connection, cause| self.close(connection, cause));
        }

        fn room_for_idle(&self) -> usize {
            self.permits.total().saturating_sub(self.permits.in_use())
        }

        pub(super) fn trim_idle(&self) -> bool {
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
        pub(super) async fn connection(&self) -> Box<Connection> {
            let now = Instant::now();
            let (found, expired) = self.idle.pop(now);
            self.close_all(expired);
            if let Some(connection) = found {
                return connection;
            }
            self.open().await
        }

        pub(super) async fn open(&self) -> Box<Connection> {
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

        pub(super) fn put_back(&self, connection: Box<Connection>) {
            let surplus = self.idle.push(connection, Instant::now());
            self.close_all(surplus);
        }

        pub(super) fn release_permit(&self) {
            if self.permits.release() {
                self.trim_idle();
            }
        }

        pub(super) fn shut(&self) {
            self.permits.shut();
            self.close_all(self.idle.shut());
        }

        /// Nothing is in use, and all that is open is idle.
        pub(super) fn check_rest(&self) {
            assert_eq!((self.permits.in_use(), self.permits.waiting()), (0, 0));
            assert_eq!(self.live.load(Ordering::SeqCst), self.idle.len());
        }

        pub(super) fn check_most(&self, cap: usize) {
            let most = self.most.load(Ordering::SeqCst);
            assert!(most <= cap, "{most} connections");
        }
    }
}

use crate::common::CacheAligned;
use crate::sync::Arc;
use crate::sync::atomic::{AtomicUsize, Ordering};
use lease::Lease;
use limits::Limits;
use permits::{NoPermit, Permits};
use secrets::Secrets;
use shared::Shared;
use shuttle::future::block_on;
use shuttle::thread;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use tokio::time::Instant;

/// How a request leaves its connection.
#[derive(Debug, Clone, Copy)]
enum End {
    /// Clean, so that it goes back.
    Clean,
    /// In doubt: its lease is dropped.
    Dropped,
    /// In doubt, after the lease was handed on.
    HandedOn,
}

/// A request, over an idle connection or a `fresh` one.
fn exchange(pool: &Arc<Shared>, end: End, fresh: bool) -> Result<(), NoPermit> {
    let of_this_thread = Arc::new(CacheAligned::new(Arc::clone(pool)));
    block_on(async {
        let mut lease = Lease::new(&of_this_thread, Limits::default());
        pool.permits.acquire().await?.forget();
        lease.has_permit = true;
        lease.connection = Some(if fresh {
            pool.open().await
        } else {
            pool.connection().await
        });
        match end {
            End::Clean => lease.put_back(),
            End::Dropped => drop(lease),
            End::HandedOn => drop(lease.take()),
        }
        Ok(())
    })
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
    let pool = Shared::new(2, 2);
    let mut threads = Vec::new();
    for (end, fresh) in [
        (End::Clean, false),
        (End::HandedOn, true),
        (End::Dropped, false),
    ] {
        let pool = Arc::clone(&pool);
        threads.push(thread::spawn(move || exchange(&pool, end, fresh).unwrap()));
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
    pool.check_most(2);
    pool.check_rest();
}

/// Idle connections count until their sockets are closed: of a container that does not answer,
/// and of one that was looked at, while others are opened in their place.
pub fn what_is_being_closed_counts() {
    let pool = Shared::new(2, 2);
    for connection in [pool.open(), pool.open()].map(block_on) {
        pool.put_back(connection);
    }
    let mut threads = Vec::new();
    for _ in 0..2 {
        let pool = Arc::clone(&pool);
        threads.push(thread::spawn(move || {
            exchange(&pool, End::Clean, true).unwrap()
        }));
    }
    let keeper = Arc::clone(&pool);
    threads.push(thread::spawn(move || {
        let end = keeper.idle.next_turn();
        if let Some(connection) = keeper.idle.take_to_look_at(0, end) {
            let cause = cause::CloseCause::ClosedByPeer;
            keeper.close_all(keeper.idle.close_one(connection, cause));
        }
    }));
    pool.close_all(pool.idle.remove_unresponsive(Instant::now()));
    for thread in threads {
        thread.join().unwrap();
    }
    pool.check_most(2);
    pool.check_rest();
}

/// A pool that is made smaller has no more than it may once everybody is done.
pub fn a_smaller_pool_gets_small() {
    let pool = Shared::new(3, 3);
    let mut threads = Vec::new();
    for _ in 0..2 {
        let pool = Arc::clone(&pool);
        threads.push(thread::spawn(move || {
            exchange(&pool, End::Clean, false).unwrap()
        }));
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
    let pool = Shared::new(2, 2);
    let mut threads = Vec::new();
    for end in [End::Clean, End::Dropped] {
        let pool = Arc::clone(&pool);
        threads.push(thread::spawn(move || {
            let ended = exchange(&pool, end, false);
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

/// Of several requests that find that the container takes the other secret, one is told of the
/// change. If the secrets are replaced meanwhile, the one that it takes stays the first to be
/// sent, or nobody is told.
pub fn one_request_is_told_of_a_changed_secret() {
    let [newer, new, old] = ["newer", "new", "old"].map(|text| ajp::Secret::new(text).unwrap());
    for replaced in [false, true] {
        let secrets = Arc::new(Secrets::new(&[new.clone(), old.clone()]));
        // All of them were sent with the new one first, and refused.
        let choices = [(); 3].map(|()| secrets.choose());
        let threads = choices.map(|mut choice| {
            assert!(choice.advance());
            let secrets = Arc::clone(&secrets);
            thread::spawn(move || usize::from(secrets.taken(&choice)))
        });
        if replaced {
            secrets.set(&[newer.clone(), new.clone(), old.clone()]);
        }
        let told: usize = threads.map(|thread| thread.join().unwrap()).iter().sum();
        assert!(told == 1 || replaced && told == 0, "{told} were told");
        let first = if told == 1 { &old } else { &new };
        assert_eq!(secrets.choose().secret(), Some(first));
    }
}
