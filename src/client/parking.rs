//! Where an exchange leaves its connection between two polls.
//!
//! Only its caller polls an exchange. A caller that stops polling, for example because its own
//! client reads nothing, would keep the connection and its slot in the pool for any time: a timer
//! inside of the exchange is of no use, since nobody polls that either. So each poll leaves the
//! connection here when it returns. The pool's [watchdog](super::watchdog) looks at it here, and
//! closes it when a limit has run out. The next poll takes it back, or finds out why it was closed.

use super::connection::Connection;
use super::error::ErrorKind;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Stays with its connection for life.
#[derive(Debug, Default)]
pub(super) struct Parking(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    limits: CallerLimits,
    /// Whether the exchange holds a permit of the pool.
    has_permit: bool,
    place: Place,
}

/// How long the caller of an exchange may keep it waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct CallerLimits {
    /// For data of the request body that the container waits for.
    pub(super) request_body: Option<Duration>,
    /// Until the next poll.
    pub(super) response_read: Option<Duration>,
    /// Until when the whole request must be over.
    pub(super) request_by: Option<Instant>,
}

impl CallerLimits {
    /// Whether there is anything to watch.
    pub(super) fn are_set(&self) -> bool {
        *self != Self::default()
    }
}

/// Where the connection of an exchange is.
#[derive(Debug, Default)]
enum Place {
    /// The exchange has its connection in hand, or there is no exchange.
    #[default]
    InHand,
    /// It lies here until the next poll.
    Parked(Parked),
    /// The watchdog has taken it and closed it, because a limit ran out.
    Cut(Cut),
}

#[derive(Debug)]
struct Parked {
    connection: Box<Connection>,
    awaits: Awaits,
    /// Since when the caller is known to be the one who is waited for.
    overdue_since: Option<Instant>,
}

/// What an exchange waits for while nobody polls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Awaits {
    /// Its caller: the last poll gave it something.
    Poll,
    /// Its caller, for data of the request body.
    RequestBody,
    /// The container or the transport. They wake the caller, and so does the timer of the
    /// exchange at this moment.
    Wakeup(Option<Instant>),
}

/// How the watchdog ended an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) kind: ErrorKind,
    /// What `io.traffic()` was: bytes received and sent.
    pub(super) traffic: (u64, u64),
}

/// What an exchange finds when it comes back.
pub(super) enum Found {
    Connection(Box<Connection>),
    Nothing,
    Cut(Cut),
}

impl Parking {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Only the code of this file runs under this lock, and a look at a socket.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An exchange begins.
    pub(super) fn begin(&self, limits: CallerLimits, has_permit: bool) {
        *self.lock() = State {
            limits,
            has_permit,
            place: Place::InHand,
        };
    }

    /// Leaves the connection of an exchange here.
    pub(super) fn park(&self, connection: Box<Connection>, awaits: Awaits) {
        self.lock().place = Place::Parked(Parked {
            connection,
            awaits,
            overdue_since: None,
        });
    }

    /// Takes it back.
    pub(super) fn take(&self) -> Found {
        match std::mem::take(&mut self.lock().place) {
            Place::InHand => Found::Nothing,
            Place::Parked(parked) => Found::Connection(parked.connection),
            Place::Cut(cut) => Found::Cut(cut),
        }
    }

    /// Whether a connection lies here.
    pub(super) fn is_parked(&self) -> bool {
        matches!(self.lock().place, Place::Parked(_))
    }

    /// The connection, if the caller has kept its exchange waiting for too long. It is gone
    /// from here then, and must be closed.
    pub(super) fn cut_if_overdue(&self, now: Instant) -> Option<Overdue> {
        let mut state = self.lock();
        let (limits, has_permit) = (state.limits, state.has_permit);
        let Place::Parked(parked) = &mut state.place else {
            return None;
        };
        let kind = parked.overdue(&limits, now)?;
        let traffic = parked.connection.io.traffic();
        let cut = Place::Cut(Cut { kind, traffic });
        match std::mem::replace(&mut state.place, cut) {
            Place::Parked(parked) => Some(Overdue {
                connection: parked.connection,
                has_permit,
                kind,
            }),
            Place::InHand | Place::Cut(_) => None,
        }
    }
}

/// What is left of an exchange whose caller stayed away.
pub(super) struct Overdue {
    pub(super) connection: Box<Connection>,
    pub(super) has_permit: bool,
    /// What to call that.
    pub(super) kind: ErrorKind,
}

impl Parked {
    fn overdue(&mut self, limits: &CallerLimits, now: Instant) -> Option<ErrorKind> {
        if limits.request_by.is_some_and(|by| by <= now) {
            return Some(ErrorKind::RequestTimeout);
        }
        if !self.is_up_to_the_caller(now) {
            self.overdue_since = None;
            return None;
        }
        let since = *self.overdue_since.get_or_insert(now);
        let (limit, kind) = match self.awaits {
            Awaits::RequestBody => (limits.request_body, ErrorKind::RequestBodyTimeout),
            Awaits::Poll | Awaits::Wakeup(_) => {
                (limits.response_read, ErrorKind::ResponseReadTimeout)
            }
        };
        limit.filter(|&limit| now.saturating_duration_since(since) >= limit)?;
        Some(kind)
    }

    /// Whether the next thing that must happen is a poll. Where the caller was to be woken it
    /// is when its timer has rung, or, without a timer, when the container has sent something.
    fn is_up_to_the_caller(&self, now: Instant) -> bool {
        match self.awaits {
            Awaits::Poll | Awaits::RequestBody => true,
            Awaits::Wakeup(Some(at)) => at <= now,
            Awaits::Wakeup(None) => self.connection.has_received(),
        }
    }
}
