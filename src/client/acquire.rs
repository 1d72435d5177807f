//! From a request for a connection to a connection in hand.

use super::cause::CloseCause;
use super::connection::Connection;
use super::error::{Blame, Error, ErrorKind};
use super::idle::Doomed;
use super::lease::Lease;
use super::limits::{Limits, Step};
use super::local_resources;
use super::queue::NoPlace;
use super::shared::Shared;
use crate::net::Silence;
use crate::proto::Progress;
use crate::trace::event;
use std::sync::Arc;
use tokio::time::Instant;

/// A place, an idle connection if one is fit, else a new one.
///
/// With a free place and a socket that is fit this waits for nothing; so what waiting needs is
/// allocated when it comes to that, and the futures of all callers stay small.
pub(super) async fn acquire(
    shared: &Arc<Shared>,
    limits: Limits,
    fresh: bool,
) -> Result<Lease, Error> {
    let started = limits.started;
    let result = match at_once(shared, limits, fresh) {
        Start::Ready(lease) => Ok(lease),
        Start::Fill(lease, known) => Box::pin(lease.fill(known, fresh)).await,
        Start::Enter(limits) => Box::pin(enter_and_fill(shared, limits, fresh)).await,
        Start::Late => Err(shared.error(ErrorKind::RequestTimeout)),
    };
    conclude(shared, started, result)
}

/// How far an acquire gets without waiting.
enum Start {
    /// To the end.
    Ready(Lease),
    /// A place; perhaps a connection too, of which the kernel said this.
    Fill(Lease, Option<Silence>),
    /// No place is free.
    Enter(Limits),
    /// The request is over.
    Late,
}

fn at_once(shared: &Arc<Shared>, limits: Limits, fresh: bool) -> Start {
    let now = limits.started;
    if limits.is_over(now) {
        return Start::Late;
    }
    let mut lease = match shared.queue.try_enter() {
        Ok(place) => {
            place.forget();
            Lease::new(shared, limits)
        }
        Err(_) => return Start::Enter(limits),
    };
    if fresh {
        return Start::Fill(lease, None);
    }
    let Some(connection) = lease.pop(now) else {
        return Start::Fill(lease, None);
    };
    let known = connection.kernel_silence();
    let asks = lease.asks_first(&connection);
    lease.connection = Some(connection);
    if known == Some(Silence::Kept) && !asks {
        lease.reused = true;
        return Start::Ready(lease);
    }
    Start::Fill(lease, known)
}

async fn enter_and_fill(shared: &Arc<Shared>, limits: Limits, fresh: bool) -> Result<Lease, Error> {
    enter(shared, limits).await?.fill(None, fresh).await
}

/// Counts and tells how an acquire ended.
fn conclude(
    shared: &Arc<Shared>,
    started: Instant,
    result: Result<Lease, Error>,
) -> Result<Lease, Error> {
    let peer = &shared.peer;
    match &result {
        Ok(lease) => {
            if lease.reused {
                shared.counters.reused();
            }
            let waited = lease.stopwatch.phases.acquire;
            let observer = &shared.config.observer;
            observer.tell(|observer| observer.acquired(peer, waited, lease.reused));
        }
        Err(error) => {
            let kind = error.kind();
            shared.counters.failed(kind);
            event!(DEBUG, peer = &**peer, error = %kind, "no AJP connection");
            shared.config.observer.tell(|observer| {
                observer.acquire_failed(peer, started.elapsed(), kind);
            });
        }
    }
    result
}

/// Waits for a place.
async fn enter(shared: &Arc<Shared>, limits: Limits) -> Result<Lease, Error> {
    let queue = &shared.queue;
    let mut waited = None;
    let entered = match queue.try_enter() {
        Err(NoPlace::Taken) => {
            let start = Instant::now();
            let turn = limits.step(Step::Place, &shared.config.timeouts, queue.wait());
            let place = turn.await.map_err(|limit| shared.limit_reached(limit))?;
            waited = Some(start.elapsed());
            place
        }
        other => other,
    };
    match entered {
        Ok(place) => place.forget(),
        Err(NoPlace::Shut) => return Err(shared.error(ErrorKind::PoolShut)),
        Err(NoPlace::Taken | NoPlace::QueueFull) => {
            return Err(shared.error(ErrorKind::QueueFull));
        }
    }
    let mut lease = Lease::new(shared, limits);
    lease.stopwatch.phases.acquire = waited.unwrap_or_default();
    Ok(lease)
}

/// A place without waiting, if one is free.
pub(super) fn try_enter(shared: &Arc<Shared>, limits: Limits) -> Option<Lease> {
    shared.queue.try_enter().ok()?.forget();
    Some(Lease::new(shared, limits))
}

impl Lease {
    /// `known` is what the kernel said of the connection in hand.
    async fn fill(mut self, known: Option<Silence>, fresh: bool) -> Result<Self, Error> {
        if fresh || !self.reuse(known).await? {
            self.open().await?;
        }
        Ok(self)
    }

    /// Takes the newest idle connection that is fit; all others that were looked at are
    /// closed. `CPing` is not tried for long: all probes share the time of one, and after
    /// one that timed out no other connection is asked. If they were given all the time that
    /// the pool gives, those that became idle before are closed unasked. So a container
    /// that is stuck, or behind a path that is cut, costs one limit and not one for every
    /// idle connection; and a request in a hurry condemns nothing.
    ///
    /// # Errors
    /// [`ErrorKind::RequestTimeout`] when the whole request is over.
    async fn reuse(&mut self, mut known: Option<Silence>) -> Result<bool, Error> {
        let waited = self.stopwatch.phases.acquire;
        let mut now = if waited.is_zero() {
            self.limits.started
        } else {
            Instant::now()
        };
        let mut probes_by = None;
        let mut probing = None;
        while let Some(connection) = self.connection.take().or_else(|| self.pop(now)) {
            let (since, asked) = (connection.idle_since, self.asks_first(&connection));
            let connection = self.connection.insert(connection);
            let silence = match known.take() {
                Some(silence) => silence,
                None => connection.silence().await,
            };
            if let Some(cause) = CloseCause::of(silence) {
                self.shared.idle.noticed(silence, since, now);
                self.close(cause);
                continue;
            }
            if !asked {
                self.reused = true;
                return Ok(true);
            }
            now = Instant::now();
            let pool = &self.shared.config.timeouts;
            let (enough, began) = (pool.cping, *probing.get_or_insert(now));
            if began == now {
                probes_by = self.limits.probes_by(pool, now);
            }
            match self.ping(now, probes_by).await {
                Ok(()) => {
                    self.reused = true;
                    return Ok(true);
                }
                Err(error) => {
                    self.shared.idle.noticed(Silence::Failed, since, now);
                    self.close(CloseCause::CPing);
                    if error.kind() == ErrorKind::RequestTimeout {
                        return Err(error);
                    }
                    if matches!(
                        error.kind(),
                        ErrorKind::CPingTimeout | ErrorKind::CPingCutShort
                    ) {
                        self.shared.counters.probe_timed_out();
                        if enough.is_some_and(|limit| began.elapsed() >= limit) {
                            self.close_suspects(now);
                        }
                        break;
                    }
                }
            }
            now = Instant::now();
        }
        Ok(false)
    }

    /// Whether this connection was idle for so long that it has to answer a `CPing`.
    fn asks_first(&self, connection: &Connection) -> bool {
        let idle = connection.idle_before.zip(self.shared.config.cping.idle);
        idle.is_some_and(|(idle, limit)| idle >= limit)
    }

    /// Closes what is idle since then or longer.
    fn close_suspects(&self, since: Instant) {
        let mut doomed = Doomed::new();
        self.shared.idle.drop_suspects(since, &mut doomed);
        self.shared.close_all(doomed);
    }

    fn pop(&self, now: Instant) -> Option<Box<Connection>> {
        let mut doomed = Doomed::new();
        let connection = self.shared.idle.pop(now, &mut doomed);
        self.shared.close_all(doomed);
        connection
    }

    /// Opens a new connection for this place.
    pub(super) async fn open(&mut self) -> Result<(), Error> {
        let shared = Arc::clone(&self.shared);
        shared.make_room();
        let start = Instant::now();
        let connecting = shared.connector.connect();
        let opened = self
            .limits
            .step(Step::Connect, &shared.config.timeouts, connecting)
            .await;
        let opened = match opened {
            Ok(Ok(transport)) => Ok(transport),
            Ok(Err(error)) => {
                let kind = if local_resources::is_cause_of(&error) {
                    ErrorKind::LocalResources
                } else {
                    ErrorKind::Connect
                };
                Err(Error::io(kind, error).at(Progress::NotSent, &shared.peer))
            }
            Err(limit) => Err(shared.limit_reached(limit)),
        };
        let took = start.elapsed();
        self.stopwatch.connected(took);
        let transport = opened.inspect_err(|error| {
            if error.blame() == Blame::Container {
                shared.idle.unreachable(Instant::now());
            }
        })?;
        let size = shared.config.packet_size;
        let connection = Connection::new(transport, size, shared.lifetime());
        self.connection = Some(Box::new(connection));
        self.reused = false;
        shared.counters.created();
        event!(DEBUG, peer = &*shared.peer, "AJP connection opened");
        let observer = &shared.config.observer;
        observer.tell(|observer| observer.connection_opened(&shared.peer, took));
        if shared.config.cping.on_connect {
            if let Err(error) = self.ping(Instant::now(), None).await {
                self.close(CloseCause::CPing);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Asks the connection in hand with `CPing`, from `start` to `by` or for as long as one
    /// may take.
    pub(super) async fn ping(&mut self, start: Instant, by: Option<Instant>) -> Result<(), Error> {
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
            .step_until(Step::CPing, start, by, pool, connection.ping())
            .await;
        let took = start.elapsed();
        stopwatch.pinged(took);
        let result = match answered {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(error.at(Progress::NotSent, &shared.peer)),
            Err(limit) => Err(shared.limit_reached(limit)),
        };
        if result.is_ok() {
            shared.counters.cping(took);
        } else {
            event!(DEBUG, peer = &*shared.peer, "AJP connection failed CPing");
        }
        shared.config.observer.tell(|observer| match &result {
            Ok(()) => observer.cping(&shared.peer, took),
            Err(error) => observer.cping_failed(&shared.peer, took, error.kind()),
        });
        result
    }

    /// Opens a new connection instead of one that turned out to be stale. The place was
    /// kept, so this waits for nobody.
    pub(crate) async fn reopen(mut self) -> Result<Self, Error> {
        let shared = Arc::clone(&self.shared);
        self.limits.acquire_again(&shared.config.timeouts);
        let started = Instant::now();
        let result = self.open().await.map(|()| self);
        conclude(&shared, started, result)
    }
}
