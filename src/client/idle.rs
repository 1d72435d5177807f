//! The idle connections of a pool: the newest is used first, the oldest leaves first. Each
//! is used only in the runtime that drives it.

use super::cause::CloseCause;
use super::config::PoolConfig;
use super::connection::Connection;
use super::keep_alive::KeepAlive;
use crate::net::{Silence, here};
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime;
use tokio::time::Instant;

/// Connections to close once the lock is given up.
pub(super) type Doomed = Vec<(Box<Connection>, CloseCause)>;

#[derive(Debug)]
pub(super) struct IdleList {
    state: Mutex<State>,
    idle_timeout: Option<Duration>,
    max_idle: usize,
}

#[derive(Debug)]
struct State {
    /// Newest at the back.
    connections: VecDeque<Box<Connection>>,
    keep_alive: KeepAlive,
    shut: bool,
}

impl IdleList {
    pub(super) fn new(config: &PoolConfig) -> Self {
        Self {
            state: Mutex::new(State {
                connections: VecDeque::new(),
                keep_alive: KeepAlive::new(config.keep_alive, config.learn_keep_alive),
                shut: false,
            }),
            idle_timeout: config.idle_timeout,
            max_idle: config.max_idle,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn len(&self) -> usize {
        self.lock().connections.len()
    }

    /// The container's `keepAliveTimeout`, as far as it was learned.
    pub(super) fn learned(&self, now: Instant) -> Option<Duration> {
        self.lock().keep_alive.learned(now)
    }

    /// The newest connection of this runtime. Expired ones are closed on the way.
    pub(super) fn pop(&self, now: Instant, doomed: &mut Doomed) -> Option<Box<Connection>> {
        let here = here();
        let mut state = self.lock();
        state.drop_expired(self.idle_timeout, now, doomed);
        while let Some(mut connection) = state.take_newest(here) {
            if connection.is_past_lifetime(now) {
                doomed.push((connection, CloseCause::Lifetime));
                continue;
            }
            connection.idle_before = Some(now.saturating_duration_since(connection.idle_since));
            return Some(connection);
        }
        None
    }

    /// Takes a connection in as the newest one.
    pub(super) fn push(&self, mut connection: Box<Connection>, now: Instant, doomed: &mut Doomed) {
        let mut state = self.lock();
        if state.shut {
            doomed.push((connection, CloseCause::PoolShut));
            return;
        }
        if let Some(idle) = connection.idle_before.take() {
            state.keep_alive.survived(idle, now);
        }
        connection.idle_since = now;
        state.connections.push_back(connection);
        state.drop_expired(self.idle_timeout, now, doomed);
        state.trim(self.max_idle, doomed);
    }

    /// Closes the oldest until at most this many are left.
    pub(super) fn trim(&self, most: usize, doomed: &mut Doomed) {
        self.lock().trim(most, doomed);
    }

    /// Closes all that became idle at `since` or before.
    pub(super) fn drop_suspects(&self, since: Instant, doomed: &mut Doomed) {
        let mut state = self.lock();
        let idle_since = state
            .connections
            .iter()
            .map(|connection| connection.idle_since);
        let count = idle_since.take_while(|&moment| moment <= since).count();
        let oldest = state.connections.drain(..count);
        doomed.extend(oldest.map(|connection| (connection, CloseCause::Suspect)));
    }

    /// Closes all that have expired, and the sockets that the container has closed or sent
    /// something over.
    pub(super) fn drop_unfit(&self, now: Instant, doomed: &mut Doomed) {
        let mut state = self.lock();
        state.drop_expired(self.idle_timeout, now, doomed);
        for _ in 0..state.connections.len() {
            let Some(connection) = state.connections.pop_front() else {
                break;
            };
            // Only the kernel is asked: no code of a transport runs under this lock.
            let silence = connection.kernel_silence().unwrap_or(Silence::Kept);
            note(&mut state.keep_alive, silence, connection.idle_since, now);
            let past = connection
                .is_past_lifetime(now)
                .then_some(CloseCause::Lifetime);
            match past.or(CloseCause::of(silence)) {
                Some(cause) => doomed.push((connection, cause)),
                // Once around, so the order stays.
                None => state.connections.push_back(connection),
            }
        }
    }

    /// An idle connection, taken out, was asked whether it is silent.
    pub(super) fn noticed(&self, silence: Silence, idle_since: Instant, now: Instant) {
        note(&mut self.lock().keep_alive, silence, idle_since, now);
    }

    /// No connection could be opened.
    pub(super) fn unreachable(&self, now: Instant) {
        self.lock().keep_alive.unreachable(now);
    }

    /// Closes all, now and in future.
    pub(super) fn shut(&self, doomed: &mut Doomed) {
        let mut state = self.lock();
        state.shut = true;
        let all = std::mem::take(&mut state.connections).into_iter();
        doomed.extend(all.map(|connection| (connection, CloseCause::PoolShut)));
    }
}

fn note(keep_alive: &mut KeepAlive, silence: Silence, idle_since: Instant, now: Instant) {
    match silence {
        Silence::Kept => {}
        Silence::Closed => keep_alive.closed(idle_since, now),
        Silence::Broken | Silence::Failed => keep_alive.lost(now),
    }
}

impl State {
    /// The newest that this runtime drives. Few others are newer: where several runtimes
    /// share a pool, each has as many requests as the next.
    fn take_newest(&mut self, here: Option<runtime::Id>) -> Option<Box<Connection>> {
        let mut runtimes = self.connections.iter().map(|connection| connection.runtime);
        let at = runtimes.rposition(|runtime| runtime == here)?;
        self.connections.remove(at)
    }

    /// Closes what was idle for too long. The oldest is at the front.
    fn drop_expired(&mut self, limit: Option<Duration>, now: Instant, doomed: &mut Doomed) {
        let keep_alive = self.keep_alive.limit(now);
        while let Some(oldest) = self.connections.front() {
            let idle = now.saturating_duration_since(oldest.idle_since);
            let cause = if limit.is_some_and(|limit| idle >= limit) {
                CloseCause::IdleTimeout
            } else if keep_alive.is_some_and(|limit| idle >= limit) {
                CloseCause::KeepAlive
            } else {
                return;
            };
            doomed.extend(self.connections.pop_front().map(|oldest| (oldest, cause)));
        }
    }

    fn trim(&mut self, most: usize, doomed: &mut Doomed) {
        let surplus = self.connections.len().saturating_sub(most);
        let oldest = self.connections.drain(..surplus);
        doomed.extend(oldest.map(|connection| (connection, CloseCause::Surplus)));
    }
}
