//! The idle connections of a pool, in the order in which they became idle. Each is used only
//! in the runtime that drives it.
//!
//! Nothing but bookkeeping happens under the lock: no system call, no code of a transport.
//! So a connection that is to be closed, or looked at, is taken out of the list first. While
//! it is out and nobody holds a permit for it, it is counted here, so that the cap of the
//! pool holds until its socket is closed.

use super::cause::CloseCause;
use super::config::PoolConfig;
use super::connection::Connection;
use super::idle_order::IdleOrder;
use super::keep_alive::KeepAlive;
use crate::net::{PeerState, current_runtime};
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::Instant;

/// Aligned: it changes with every request, and what stands beside it does not.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct IdleList {
    state: Mutex<State>,
    /// Wakes who waits for connections that are out to be closed or put back.
    fewer_out: Notify,
    order: IdleOrder,
    idle_timeout: Option<Duration>,
    max_idle: usize,
    min_idle: usize,
}

#[derive(Debug)]
struct State {
    /// By their turn: the one that has been idle for longest is at the front.
    connections: VecDeque<Box<Connection>>,
    next_turn: u64,
    /// Connections that were taken out without a permit and are neither closed nor back.
    out: usize,
    keep_alive: KeepAlive,
    shut: bool,
}

/// Connections that left the list to be closed. They count against the cap until this is
/// dropped.
#[must_use]
pub(super) struct ClosingConnections<'a> {
    list: &'a IdleList,
    count: usize,
    connections: Vec<(Box<Connection>, CloseCause)>,
}

impl ClosingConnections<'_> {
    /// Hands them over one after the other, to be closed, and tells how many there were.
    pub(super) fn close_each(mut self, close: impl Fn(Box<Connection>, CloseCause)) -> usize {
        for (connection, cause) in self.connections.drain(..) {
            close(connection, cause);
        }
        self.count
    }
}

impl Drop for ClosingConnections<'_> {
    fn drop(&mut self) {
        self.connections.clear();
        self.list.less_out(self.count);
    }
}

impl IdleList {
    pub(super) fn new(config: &PoolConfig) -> Self {
        Self {
            state: Mutex::new(State {
                connections: VecDeque::new(),
                next_turn: 0,
                out: 0,
                keep_alive: KeepAlive::new(config.keep_alive, config.learn_keep_alive),
                shut: false,
            }),
            fewer_out: Notify::new(),
            order: config.idle_order,
            idle_timeout: config.idle_timeout,
            max_idle: config.max_idle,
            min_idle: config.min_idle,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was taken out of the list under its lock, which is given up here.
    fn closing(
        &self,
        mut state: MutexGuard<'_, State>,
        connections: Vec<(Box<Connection>, CloseCause)>,
    ) -> ClosingConnections<'_> {
        let count = connections.len();
        state.out += count;
        ClosingConnections {
            list: self,
            count,
            connections,
        }
    }

    fn less_out(&self, count: usize) {
        if count > 0 {
            let mut state = self.lock();
            state.out = state.out.saturating_sub(count);
            drop(state);
            self.fewer_out.notify_waiters();
        }
    }

    /// Ends when connections that were out when it was called are closed or back.
    pub(super) fn fewer_out(&self) -> Notified<'_> {
        self.fewer_out.notified()
    }

    pub(super) fn len(&self) -> usize {
        self.lock().connections.len()
    }

    /// The container's `keepAliveTimeout`, as far as it was learned.
    pub(super) fn learned(&self, now: Instant) -> Option<Duration> {
        self.lock().keep_alive.learned(now)
    }

    /// The connection of this runtime whose turn it is. Expired ones are closed on the way.
    pub(super) fn pop(&self, now: Instant) -> (Option<Box<Connection>>, ClosingConnections<'_>) {
        let runtime = current_runtime();
        let mut closing = Vec::new();
        let mut state = self.lock();
        let expiry = state.expiry(self, now);
        state.remove_expired_at_the_front(&expiry, &mut closing);
        let mut found = None;
        while let Some(mut connection) = state.take_next(runtime, self.order) {
            if let Some(cause) = expiry.cause(&connection, state.connections.len()) {
                closing.push((connection, cause));
                continue;
            }
            connection.idle_before = Some(now.saturating_duration_since(connection.heard));
            found = Some(connection);
            break;
        }
        (found, self.closing(state, closing))
    }

    /// Takes a connection in, as the one that became idle last.
    pub(super) fn push(
        &self,
        mut connection: Box<Connection>,
        now: Instant,
    ) -> ClosingConnections<'_> {
        let mut state = self.lock();
        if state.shut {
            return self.closing(state, vec![(connection, CloseCause::PoolShut)]);
        }
        if let Some(idle) = connection.idle_before.take() {
            state.keep_alive.survived(idle, now);
        }
        connection.idle_since = now;
        connection.heard = now;
        connection.turn = state.next_turn;
        state.next_turn += 1;
        state.connections.push_back(connection);
        let mut closing = Vec::new();
        let expiry = state.expiry(self, now);
        state.remove_expired_at_the_front(&expiry, &mut closing);
        state.shrink_to(self.max_idle, &mut closing);
        self.closing(state, closing)
    }

    /// Removes the oldest until at most this many are left. Tells too whether there are no
    /// more then, those included that are out.
    pub(super) fn shrink_to(&self, most: usize) -> (ClosingConnections<'_>, bool) {
        let mut closing = Vec::new();
        let mut state = self.lock();
        let out = state.out;
        state.shrink_to(most, &mut closing);
        let fits = state.connections.len() + out <= most;
        (self.closing(state, closing), fits)
    }

    /// Removes all that became idle at `since` or before: the container did not answer on a
    /// connection that was not idle for longer than these.
    pub(super) fn remove_unresponsive(&self, since: Instant) -> ClosingConnections<'_> {
        let mut state = self.lock();
        let idle_since = state
            .connections
            .iter()
            .map(|connection| connection.idle_since);
        let count = idle_since.take_while(|&moment| moment <= since).count();
        let oldest = state.connections.drain(..count);
        let closing = oldest.map(|connection| (connection, CloseCause::Unresponsive));
        let closing = closing.collect();
        self.closing(state, closing)
    }

    /// Removes all that have expired.
    pub(super) fn remove_expired(&self, now: Instant) -> ClosingConnections<'_> {
        let mut closing = Vec::new();
        let mut state = self.lock();
        let expiry = state.expiry(self, now);
        let mut at = 0usize;
        while let Some((connection, others)) = state.connections.get(at).zip(state.others()) {
            let Some(cause) = expiry.cause(connection, others) else {
                at += 1;
                continue;
            };
            let removed = state.connections.remove(at);
            closing.extend(removed.map(|connection| (connection, cause)));
        }
        self.closing(state, closing)
    }

    /// The turn that the next connection to become idle will have.
    pub(super) fn next_turn(&self) -> u64 {
        self.lock().next_turn
    }

    /// Takes out the first connection whose turn is not before `from` and before `to`, to
    /// look at it. It is given back with [`put_back`](Self::put_back) or
    /// [`close_one`](Self::close_one).
    pub(super) fn take_to_look_at(&self, from: u64, to: u64) -> Option<Box<Connection>> {
        let mut state = self.lock();
        let at = state
            .connections
            .partition_point(|connection| connection.turn < from);
        state
            .connections
            .get(at)
            .filter(|connection| connection.turn < to)?;
        let connection = state.connections.remove(at)?;
        state.out += 1;
        Some(connection)
    }

    /// Puts back, where it was, what was taken out to be looked at.
    pub(super) fn put_back(&self, connection: Box<Connection>) -> ClosingConnections<'_> {
        let closing = self.put_back_with_permit(connection);
        self.less_out(1);
        closing
    }

    /// What was taken out to be looked at is to be closed.
    pub(super) fn close_one(
        &self,
        connection: Box<Connection>,
        cause: CloseCause,
    ) -> ClosingConnections<'_> {
        ClosingConnections {
            list: self,
            count: 1,
            connections: vec![(connection, cause)],
        }
    }

    /// Takes out the first connection of this runtime that the container was not heard on
    /// since `before`, for a caller that holds a permit. It is given back with
    /// [`put_back_with_permit`](Self::put_back_with_permit).
    pub(super) fn take_unheard(&self, before: Instant) -> Option<Box<Connection>> {
        let runtime = current_runtime();
        let mut state = self.lock();
        let at = state
            .connections
            .iter()
            .position(|connection| connection.runtime == runtime && connection.heard <= before)?;
        state.connections.remove(at)
    }

    /// Puts a connection back where it was.
    pub(super) fn put_back_with_permit(
        &self,
        connection: Box<Connection>,
    ) -> ClosingConnections<'_> {
        let mut state = self.lock();
        if state.shut {
            return self.closing(state, vec![(connection, CloseCause::PoolShut)]);
        }
        let turn = connection.turn;
        let at = state
            .connections
            .partition_point(|connection| connection.turn < turn);
        state.connections.insert(at, connection);
        let mut closing = Vec::new();
        state.shrink_to(self.max_idle, &mut closing);
        self.closing(state, closing)
    }

    /// Learns from what an idle connection was found to be on which the container was heard
    /// last at `heard`.
    pub(super) fn learn(&self, state: PeerState, heard: Instant, now: Instant) {
        let keep_alive = &mut self.lock().keep_alive;
        match state {
            PeerState::Quiet => {}
            PeerState::Closed => keep_alive.closed(heard, now),
            PeerState::SentData | PeerState::Failed => keep_alive.lost(now),
        }
    }

    /// No connection could be opened.
    pub(super) fn unreachable(&self, now: Instant) {
        self.lock().keep_alive.unreachable(now);
    }

    /// Removes all, and takes no more in.
    pub(super) fn shut(&self) -> ClosingConnections<'_> {
        let mut state = self.lock();
        state.shut = true;
        let all = std::mem::take(&mut state.connections).into_iter();
        let closing = all.map(|connection| (connection, CloseCause::PoolShut));
        let closing = closing.collect();
        self.closing(state, closing)
    }
}

impl State {
    /// The next one that this runtime drives. Few others are in the way: where several
    /// runtimes share a pool, each has as many requests as the next.
    fn take_next(
        &mut self,
        current: Option<runtime::Id>,
        order: IdleOrder,
    ) -> Option<Box<Connection>> {
        let mut runtimes = self.connections.iter().map(|connection| connection.runtime);
        let at = match order {
            IdleOrder::Lifo => runtimes.rposition(|runtime| runtime == current)?,
            IdleOrder::Fifo => runtimes.position(|runtime| runtime == current)?,
        };
        self.connections.remove(at)
    }

    /// When connections expire, as it is known now.
    fn expiry(&self, list: &IdleList, now: Instant) -> Expiry {
        Expiry {
            now,
            idle_timeout: list.idle_timeout,
            keep_alive: self.keep_alive.limit(now),
            min_idle: list.min_idle,
        }
    }

    /// The one that was idle for longest is at the front, and most often the first to expire.
    fn remove_expired_at_the_front(
        &mut self,
        expiry: &Expiry,
        closing: &mut Vec<(Box<Connection>, CloseCause)>,
    ) {
        while let Some((oldest, others)) = self.connections.front().zip(self.others()) {
            let Some(cause) = expiry.cause(oldest, others) else {
                return;
            };
            let oldest = self.connections.pop_front();
            closing.extend(oldest.map(|connection| (connection, cause)));
        }
    }

    /// How many there are beside one of them.
    fn others(&self) -> Option<usize> {
        self.connections.len().checked_sub(1)
    }

    fn shrink_to(&mut self, most: usize, closing: &mut Vec<(Box<Connection>, CloseCause)>) {
        let surplus = self.connections.len().saturating_sub(most);
        let oldest = self.connections.drain(..surplus);
        closing.extend(oldest.map(|connection| (connection, CloseCause::Surplus)));
    }
}

/// When idle connections expire.
struct Expiry {
    now: Instant,
    idle_timeout: Option<Duration>,
    keep_alive: Option<Duration>,
    min_idle: usize,
}

impl Expiry {
    /// Why a connection may not be used any more, if that is so. `others` are idle beside it.
    fn cause(&self, connection: &Connection, others: usize) -> Option<CloseCause> {
        // A limit beyond what the clock can express is none.
        let over = |since: Instant, limit: Option<Duration>| {
            let end = limit.and_then(|limit| since.checked_add(limit));
            end.is_some_and(|end| end <= self.now)
        };
        if others >= self.min_idle && over(connection.idle_since, self.idle_timeout) {
            Some(CloseCause::IdleTimeout)
        } else if over(connection.heard, self.keep_alive) {
            Some(CloseCause::KeepAlive)
        } else if connection.is_past_lifetime(self.now) {
            Some(CloseCause::Lifetime)
        } else {
            None
        }
    }
}
