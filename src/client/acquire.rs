//! How a request gets its connection: a permit first, then an idle connection that is fit,
//! and if there is none, a new one.

use super::cause::CloseCause;
use super::connection::Connection;
use super::error::{Blame, ClientError, ErrorKind};
use super::lease::Lease;
use super::limits::{AcquireStep, Limits};
use super::permits::NoPermit;
use super::shared::{PerThreadShared, Shared};
use crate::net::PeerState;
use crate::proto::Progress;
use crate::trace::event;
use std::sync::Arc;
use tokio::time::Instant;

/// Which connection a caller takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// An idle one that is fit, or else a new one.
    Any,
    /// A new one, whatever is idle.
    New,
}

/// The whole way to a connection in hand, counted and told to the observer.
///
/// Most requests find a free permit and an idle connection of which the kernel says that it
/// is fit: they wait for nothing. What waiting needs is allocated when it comes to that, so
/// that the futures of all callers stay small.
pub(super) async fn acquire(
    shared: &PerThreadShared,
    limits: Limits,
    wanted: Wanted,
) -> Result<Lease, ClientError> {
    let started = limits.started;
    let result = match Lease::new(shared, limits).ready_without_waiting(wanted) {
        Attempt::Ready(lease) => Ok(lease),
        Attempt::Unready(lease) => Box::pin(lease.ready(wanted)).await,
    };
    record(shared, started, result)
}

/// How far a lease got without waiting.
enum Attempt {
    Ready(Lease),
    /// Perhaps with a permit, and perhaps with an idle connection that was not looked at yet.
    Unready(Lease),
}

impl Lease {
    /// The part of the way that waits for nothing.
    fn ready_without_waiting(mut self, wanted: Wanted) -> Attempt {
        let now = self.limits.started;
        if self.limits.is_over(now) || !self.try_permit() || wanted == Wanted::New {
            return Attempt::Unready(self);
        }
        let Some(connection) = self.pop_idle(now) else {
            return Attempt::Unready(self);
        };
        let is_fit = !self.asks_first(&connection)
            && connection.kernel_peer_state() == Some(PeerState::Quiet);
        self.connection = Some(connection);
        self.reused = is_fit;
        if is_fit {
            Attempt::Ready(self)
        } else {
            Attempt::Unready(self)
        }
    }

    /// The rest of the way, from wherever [`ready_without_waiting`](Self::ready_without_waiting) got.
    async fn ready(mut self, wanted: Wanted) -> Result<Self, ClientError> {
        if self.limits.is_over(self.limits.started) {
            return Err(self.shared.error(ErrorKind::RequestTimeout));
        }
        if !self.has_permit {
            self.wait_for_permit().await?;
        }
        if wanted == Wanted::New || !self.reuse_idle().await? {
            self.open().await?;
        }
        Ok(self)
    }

    /// Takes a permit if one is free.
    pub(super) fn try_permit(&mut self) -> bool {
        if let Ok(permit) = self.shared.permits.try_acquire() {
            permit.forget();
            self.has_permit = true;
        }
        self.has_permit
    }

    async fn wait_for_permit(&mut self) -> Result<(), ClientError> {
        let start = Instant::now();
        let shared = &self.shared;
        let turn = self.limits.step(
            AcquireStep::Permit,
            &shared.config.timeouts,
            shared.wait_watched(shared.permits.acquire()),
        );
        let permit = turn.await.map_err(|limit| shared.limit_reached(limit))?;
        match permit {
            Ok(permit) => permit.forget(),
            Err(NoPermit::Shut) => return Err(shared.error(ErrorKind::PoolShut)),
            Err(NoPermit::AllTaken | NoPermit::QueueFull) => {
                return Err(shared.error(ErrorKind::QueueFull));
            }
        }
        self.has_permit = true;
        self.stopwatch.permitted(start.elapsed());
        Ok(())
    }

    fn pop_idle(&self, now: Instant) -> Option<Box<Connection>> {
        let (connection, expired) = self.shared.idle.pop(now);
        self.shared.close_all(expired);
        connection
    }

    /// Takes the first idle connection that is fit; all others that were looked at are closed.
    ///
    /// `CPing` is not tried for long: all probes share the time of one, and after one that
    /// timed out no other connection is asked. If they were given all the time that the pool
    /// gives, those that became idle before are closed unasked. So a container that is stuck,
    /// or behind a path that is cut, costs one limit and not one for every idle connection;
    /// and a request in a hurry closes nothing that it did not ask.
    ///
    /// # Errors
    /// [`ErrorKind::RequestTimeout`] when the whole request is over.
    async fn reuse_idle(&mut self) -> Result<bool, ClientError> {
        let mut probes = None;
        loop {
            let now = Instant::now();
            let next = self.connection.take().or_else(|| self.pop_idle(now));
            let Some(connection) = next else {
                return Ok(false);
            };
            let (heard, asks) = (connection.heard, self.asks_first(&connection));
            let state = self.connection.insert(connection).peer_state().await;
            if let Some(cause) = CloseCause::of(state) {
                self.shared.idle.learn(state, heard, now);
                self.close(cause);
                continue;
            }
            if asks {
                let pool = &self.shared.config.timeouts;
                let probes = probes.get_or_insert_with(|| Probes::begin(&self.limits, pool));
                if let Err(error) = self.ping(Instant::now(), probes.by).await {
                    if error.blame() == Blame::Container {
                        self.shared.idle.learn(PeerState::Failed, heard, now);
                    }
                    self.close(CloseCause::CPing);
                    match error.kind() {
                        ErrorKind::RequestTimeout => return Err(error),
                        ErrorKind::CPingTimeout | ErrorKind::CPingCutShort => {
                            self.unanswered(probes);
                            return Ok(false);
                        }
                        _ => continue,
                    }
                }
            }
            self.reused = true;
            return Ok(true);
        }
    }

    /// Whether the container was not heard on a connection for so long that it has to answer
    /// a `CPing`.
    fn asks_first(&self, connection: &Connection) -> bool {
        let idle = connection.idle_before.zip(self.shared.config.cping.idle);
        idle.is_some_and(|(idle, limit)| idle >= limit)
    }

    /// An idle connection did not answer `CPing` in the time that there was.
    fn unanswered(&self, probes: &Probes) {
        self.shared.counters.probe_timed_out();
        let enough = self.shared.config.timeouts.cping;
        if enough.is_some_and(|limit| probes.began.elapsed() >= limit) {
            self.shared.close_unresponsive(probes.began);
        }
    }

    /// Opens a new connection, within the cap of the pool.
    pub(super) async fn open(&mut self) -> Result<(), ClientError> {
        let shared = Arc::clone(&self.shared);
        let limits = &self.limits;
        let room = limits.step(
            AcquireStep::Permit,
            &shared.config.timeouts,
            shared.make_room(),
        );
        room.await.map_err(|limit| shared.limit_reached(limit))?;
        let start = Instant::now();
        let connecting = shared.connector.connect();
        let connected = limits
            .step(AcquireStep::Connect, &shared.config.timeouts, connecting)
            .await;
        let took = start.elapsed();
        self.stopwatch.connected(took);
        let transport = match connected {
            Ok(Ok(transport)) => transport,
            Ok(Err(error)) => {
                let error = ClientError::io(ErrorKind::Connect, error);
                if error.blame() == Blame::Container {
                    shared.idle.unreachable(Instant::now());
                }
                return Err(error.at(Progress::NotSent, &shared.peer));
            }
            Err(limit) => {
                let error = shared.limit_reached(limit);
                if error.blame() == Blame::Container {
                    shared.idle.unreachable(Instant::now());
                }
                return Err(error);
            }
        };
        let connection = Connection::new(transport, &shared.config, shared.lifetime());
        self.connection = Some(Box::new(connection));
        self.reused = false;
        shared.opened(took);
        if shared.config.cping.on_connect {
            if let Err(error) = self.ping(Instant::now(), None).await {
                self.close(CloseCause::CPing);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Asks the connection in hand with `CPing`, from `start` to `by`, or for as long as one
    /// may take.
    pub(super) async fn ping(
        &mut self,
        start: Instant,
        by: Option<Instant>,
    ) -> Result<(), ClientError> {
        let cping = self.timeouts().cping;
        let Self {
            connection,
            shared,
            limits,
            stopwatch,
            ..
        } = self;
        let Some(connection) = connection else {
            return Err(shared.error(ErrorKind::Closed));
        };
        let by = by.or_else(|| start.checked_add(cping?));
        let pool = &shared.config.timeouts;
        let answered = limits
            .step_until(AcquireStep::CPing, start, by, pool, connection.ping())
            .await;
        let took = start.elapsed();
        stopwatch.pinged(took);
        let result = match answered {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(error.at(Progress::NotSent, &shared.peer)),
            Err(limit) => Err(shared.limit_reached(limit)),
        };
        shared.pinged(took, result.as_ref().err());
        result
    }

    /// Opens a new connection instead of one that turned out to be stale. The permit was
    /// kept, so this waits for nobody.
    pub(crate) async fn reopen(mut self) -> Result<Self, ClientError> {
        let shared = Arc::clone(&self.shared);
        self.limits.acquire_again(&shared.config.timeouts);
        let started = Instant::now();
        let result = self.open().await.map(|()| self);
        record(&shared, started, result)
    }
}

/// The probes of one acquire, which share the time of one.
struct Probes {
    began: Instant,
    by: Option<Instant>,
}

impl Probes {
    fn begin(limits: &Limits, pool: &super::timeouts::Timeouts) -> Self {
        let began = Instant::now();
        Self {
            began,
            by: limits.probes_by(pool, began),
        }
    }
}

/// Counts how an acquire ended, and tells the observer.
fn record(
    shared: &Shared,
    started: Instant,
    result: Result<Lease, ClientError>,
) -> Result<Lease, ClientError> {
    match &result {
        Ok(lease) => {
            if lease.reused {
                shared.counters.reused();
            }
            let waited = lease.stopwatch.waited();
            shared
                .config
                .observer
                .tell(|observer| observer.acquired(&shared.id, waited, lease.reused));
        }
        Err(error) => {
            let kind = error.kind();
            shared.counters.failed(kind);
            event!(DEBUG, pool = shared.id.name(), peer = &*shared.peer, error = %kind, "no AJP connection");
            shared.config.observer.tell(|observer| {
                observer.acquire_failed(&shared.id, started.elapsed(), kind);
            });
        }
    }
    result
}
