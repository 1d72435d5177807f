//! The accept loop: who gets in, one task for each connection, and the end of it all.
//!
//! Callbacks of the user's run here for one connection each. If one of them panics, that
//! connection is closed and the server goes on.

use super::complaints::Complaints;
use super::connection::{BoxError, serve_requests};
use super::serve::{ErrorHook, PeerFilter};
use super::span;
use crate::mapping::request_body::RequestBody;
use crate::server::{Accepted, Connection, Listener, Refusal, ServerConfig, ServerError, Step};
use crate::trace::event;
use bytes::Buf;
use http::{Request, Response};
use http_body::Body;
use std::fmt::Debug;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{JoinError, JoinSet};
use tower_service::Service;

/// Connections beyond the limit that are answered at the same time.
const SPARE: usize = 128;

/// What a server was built of, but for its listener and the shutdown signal.
pub(super) struct Setup<P> {
    pub(super) config: ServerConfig,
    pub(super) peers: Option<PeerFilter<P>>,
    pub(super) on_error: Option<ErrorHook<P>>,
    pub(super) drain_limit: Duration,
}

/// What takes in the connections of one server.
struct Acceptor<M, P> {
    make_service: M,
    config: Arc<ServerConfig>,
    peers: Option<PeerFilter<P>>,
    on_error: Option<ErrorHook<P>>,
    drain_limit: Duration,
    slots: Arc<Semaphore>,
    spare: Arc<Semaphore>,
    drain: watch::Sender<bool>,
    complaints: Arc<Complaints>,
    tasks: JoinSet<()>,
}

/// A connection that may come in.
struct AdmittedConnection<S> {
    service: S,
    slot: OwnedSemaphorePermit,
    /// It can only be told that there are too many.
    overloaded: bool,
}

/// Serves what `listener` accepts until `signal` completes, then drains.
pub(super) async fn accept_all<L, M, S, B>(
    mut listener: L,
    make_service: M,
    setup: Setup<L::Peer>,
    mut signal: impl Future<Output = ()> + Unpin,
) where
    L: Listener,
    M: FnMut(&L::Peer) -> S,
    S: Service<Request<RequestBody>, Response = Response<B>> + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Data: Buf + Send,
    B::Error: Into<BoxError>,
{
    let mut acceptor = Acceptor::new(make_service, setup);
    while let Some((io, peer)) = acceptor.next(&mut listener, &mut signal).await {
        acceptor.take_in(io, peer);
    }
    acceptor.drain.send_replace(true);
    // Closed without this, the listener would reset what has connected meanwhile, perhaps
    // with a request on its way.
    for (io, peer) in listener.close().await {
        acceptor.take_in(io, peer);
    }
    acceptor.wait().await;
}

impl<M, P> Acceptor<M, P> {
    fn new(make_service: M, setup: Setup<P>) -> Self {
        let limit = setup.config.max_connections.min(Semaphore::MAX_PERMITS);
        Self {
            make_service,
            config: Arc::new(setup.config),
            peers: setup.peers,
            on_error: setup.on_error,
            drain_limit: setup.drain_limit,
            slots: Arc::new(Semaphore::new(limit)),
            spare: Arc::new(Semaphore::new(SPARE)),
            drain: watch::Sender::new(false),
            complaints: Arc::default(),
            tasks: JoinSet::new(),
        }
    }

    /// The next connection; `None` at the shutdown signal. What the listener is doing goes on
    /// while connections end.
    async fn next<L: Listener<Peer = P>>(
        &mut self,
        listener: &mut L,
        mut signal: impl Future<Output = ()> + Unpin,
    ) -> Option<(L::Io, P)> {
        let mut accepting = pin!(listener.accept());
        loop {
            tokio::select! {
                biased;
                () = &mut signal => return None,
                // Takes finished tasks out of the set.
                Some(ended) = self.tasks.join_next() => note_panic(&ended),
                accepted = &mut accepting => return Some(accepted),
            }
        }
    }

    /// Gives a connection its task, or turns it away.
    fn take_in<A, S, B>(&mut self, accepted: A, peer: P)
    where
        A: Accepted,
        P: Debug + Send + Sync + 'static,
        M: FnMut(&P) -> S,
        S: Service<Request<RequestBody>, Response = Response<B>> + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        B: Body + Send + 'static,
        B::Data: Buf + Send,
        B::Error: Into<BoxError>,
    {
        let admitted = match self.admit(&peer) {
            Ok(admitted) => admitted,
            Err(error) => return self.turn_away(&peer, &error),
        };
        let config = Arc::clone(&self.config);
        let mut draining = self.drain.subscribe();
        let on_error = self.on_error.clone();
        let complaints = Arc::clone(&self.complaints);
        let AdmittedConnection {
            service,
            slot,
            overloaded,
        } = admitted;
        self.tasks.spawn(async move {
            let peer = &peer;
            let drained = async move {
                // An error means that the server itself is gone.
                let _ = draining.wait_for(|drain| *drain).await;
            };
            let serving = async move {
                let ended = match shake_hands(accepted, &config).await {
                    Ok(stream) => {
                        let mut connection = Connection::new(stream, config);
                        if overloaded {
                            connection.overload();
                        }
                        serve_requests(connection, service, drained).await
                    }
                    Err(error) => {
                        config.monitor.ended(&error);
                        Err(error)
                    }
                };
                if let Err(error) = ended {
                    complaints.other_protocol(&error);
                    tell(on_error.as_ref(), peer, &error);
                }
            };
            span::of_connection(peer).instrument(serving).await;
            drop(slot);
        });
    }

    /// Asks everybody who has a say whether the peer may come in.
    fn admit<S>(&mut self, peer: &P) -> Result<AdmittedConnection<S>, ServerError>
    where
        M: FnMut(&P) -> S,
    {
        if let Some(allow) = &self.peers {
            if !guarded("with_peers", || allow(peer))? {
                self.config.monitor.refused(&Refusal::Peer);
                return Err(Refusal::Peer.into());
            }
        }
        let (slot, overloaded) = self.slot().ok_or(ServerError::TooManyConnections)?;
        let make_service = &mut self.make_service;
        let service = guarded("serve_with", || make_service(peer))?;
        Ok(AdmittedConnection {
            service,
            slot,
            overloaded,
        })
    }

    /// A slot for a connection; true means that it can only be told that there is none.
    fn slot(&self) -> Option<(OwnedSemaphorePermit, bool)> {
        if let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() {
            return Some((slot, false));
        }
        self.config.monitor.over_limit();
        let spare = Arc::clone(&self.spare).try_acquire_owned();
        spare.ok().map(|slot| (slot, true))
    }

    fn turn_away(&self, peer: &P, error: &ServerError) {
        self.config.monitor.ended(error);
        tell(self.on_error.as_ref(), peer, error);
    }

    /// Waits for the connections to end, and cuts what has not within the drain limit.
    async fn wait(mut self) {
        let all_done = async {
            while let Some(ended) = self.tasks.join_next().await {
                note_panic(&ended);
            }
        };
        if tokio::time::timeout(self.drain_limit, pin!(all_done))
            .await
            .is_err()
        {
            event!(
                WARN,
                connections = self.tasks.len(),
                "AJP connections cut at the drain limit"
            );
            self.tasks.shutdown().await;
        }
    }
}

/// The handshake of a connection, within its limit.
async fn shake_hands<A: Accepted>(
    accepted: A,
    config: &ServerConfig,
) -> Result<A::Stream, ServerError> {
    let handshake = accepted.handshake();
    let done = match config.timeouts.handshake {
        None => handshake.await,
        Some(limit) => tokio::time::timeout(limit, handshake)
            .await
            .map_err(|_| ServerError::Timeout(Step::Handshake))?,
    };
    done.map_err(ServerError::Handshake)
}

/// Runs a callback of the user's.
///
/// # Errors
/// [`ServerError::CallbackPanicked`] with this name. What the panic left half done is the
/// callback's own; nothing of the server's is changed inside.
fn guarded<T>(name: &'static str, callback: impl FnOnce() -> T) -> Result<T, ServerError> {
    catch_unwind(AssertUnwindSafe(callback)).map_err(|_| ServerError::CallbackPanicked(name))
}

/// Tells the user's hook how a connection ended.
fn tell<P>(hook: Option<&ErrorHook<P>>, peer: &P, error: &ServerError) {
    let Some(hook) = hook else { return };
    if guarded("on_error", || hook(peer, error)).is_err() {
        event!(ERROR, "the callback of `on_error` panicked");
    }
}

/// A panic stays with its connection. Those of the application itself end as
/// [`ServerError::Panicked`]; what is left is one in a destructor.
fn note_panic(ended: &Result<(), JoinError>) {
    if ended.is_err() {
        event!(ERROR, "the task of an AJP connection panicked");
    }
}
