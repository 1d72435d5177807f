//! The accept loop: who gets in, one task for each connection, and the end of it all.

use super::connection::{BoxError, serve_requests};
use super::serve::{ErrorHook, PeerFilter};
use super::span;
use crate::mapping::request_body::RequestBody;
use crate::server::{Connection, Error, Listener, ServerConfig};
use crate::trace::event;
use bytes::Buf;
use http::{Request, Response};
use http_body::Body;
use std::fmt::Debug;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{JoinError, JoinSet};
use tower_service::Service;

/// Connections beyond the limit that are answered at the same time.
const SPARE: usize = 128;

/// What takes in the connections of one server.
pub(super) struct Acceptor<M, P> {
    make_service: M,
    config: Arc<ServerConfig>,
    peers: Option<PeerFilter<P>>,
    on_error: Option<ErrorHook>,
    drain_limit: Duration,
    slots: Arc<Semaphore>,
    spare: Arc<Semaphore>,
    drain: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

/// Serves what `listener` accepts until `signal` completes, then drains.
pub(super) async fn accept_all<L, M, S, B>(
    mut listener: L,
    mut acceptor: Acceptor<M, L::Peer>,
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
    loop {
        let (io, peer) = tokio::select! {
            biased;
            () = &mut signal => break,
            // Takes finished tasks out of the set.
            Some(ended) = acceptor.tasks.join_next() => {
                note_panic(&ended);
                continue;
            }
            accepted = listener.accept() => accepted,
        };
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
    pub(super) fn new(
        make_service: M,
        config: ServerConfig,
        peers: Option<PeerFilter<P>>,
        on_error: Option<ErrorHook>,
        drain_limit: Duration,
    ) -> Self {
        let limit = config.max_connections.min(Semaphore::MAX_PERMITS);
        Self {
            make_service,
            config: Arc::new(config),
            peers,
            on_error,
            drain_limit,
            slots: Arc::new(Semaphore::new(limit)),
            spare: Arc::new(Semaphore::new(SPARE)),
            drain: watch::Sender::new(false),
            tasks: JoinSet::new(),
        }
    }

    /// Gives a connection its task, or turns it away.
    fn take_in<I, S, B>(&mut self, io: I, peer: P)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        P: Debug + Send + Sync + 'static,
        M: FnMut(&P) -> S,
        S: Service<Request<RequestBody>, Response = Response<B>> + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        B: Body + Send + 'static,
        B::Data: Buf + Send,
        B::Error: Into<BoxError>,
    {
        if self.peers.as_ref().is_some_and(|allow| !allow(&peer)) {
            self.config.monitor.peer_refused();
            return self.turn_away(&peer, &Error::PeerRefused);
        }
        let Some((slot, overloaded)) = self.slot() else {
            return self.turn_away(&peer, &Error::TooManyConnections);
        };
        let mut connection = Connection::new(io, Arc::clone(&self.config));
        if overloaded {
            connection.overload();
        }
        let service = (self.make_service)(&peer);
        let mut draining = self.drain.subscribe();
        let on_error = self.on_error.clone();
        let span = span::of_connection(&peer);
        let task = async move {
            let drained = async move {
                // An error means that the server itself is gone.
                let _ = draining.wait_for(|drain| *drain).await;
            };
            if let Err(error) = serve_requests(connection, service, drained).await {
                if let Some(hook) = on_error {
                    hook(&peer, &error);
                }
            }
            drop(slot);
        };
        self.tasks.spawn(span.instrument(task));
    }

    /// A place for a connection; true means that it can only be told that there is none.
    fn slot(&self) -> Option<(OwnedSemaphorePermit, bool)> {
        if let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() {
            return Some((slot, false));
        }
        self.config.monitor.over_limit();
        let spare = Arc::clone(&self.spare).try_acquire_owned();
        spare.ok().map(|slot| (slot, true))
    }

    fn turn_away(&self, peer: &P, error: &Error)
    where
        P: Debug,
    {
        self.config.monitor.ended(error);
        if let Some(hook) = &self.on_error {
            hook(peer, error);
        }
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

/// A panic stays with its connection. Those of the application itself end as
/// [`Error::Panicked`]; what is left is one in a destructor or in the error hook.
fn note_panic(ended: &Result<(), JoinError>) {
    if ended.is_err() {
        event!(ERROR, "the task of an AJP connection panicked");
    }
}
