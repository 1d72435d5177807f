//! A server of ours behind a listener without a network.

use crate::raw::packets::{Answer, answers, next_answer};
use crate::raw::site::Seen;
use ajp::server::{Listener, Monitor, RequestBody, ServerConfig, ServerStats, Trust, serve};
use ajp::wire::{CPING, CPONG, ToWebServer};
use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tower_service::Service;

pub(crate) type Body = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;
type Answering = Pin<Box<dyn Future<Output = Result<Response<Body>, String>> + Send>>;

/// An application made of one function.
#[derive(Clone)]
pub(crate) struct App(Arc<dyn Fn(Request<RequestBody>) -> Answering + Send + Sync>);

impl App {
    pub(crate) fn new<F>(f: impl Fn(Request<RequestBody>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Response<Body>, String>> + Send + 'static,
    {
        Self(Arc::new(move |request| Box::pin(f(request))))
    }

    /// Answers every request with its path.
    pub(crate) fn echo_path() -> Self {
        Self::new(|request| async move { Ok(text(request.uri().path().to_owned())) })
    }
}

/// A 200 with this body.
pub(crate) fn text(text: impl Into<Bytes>) -> Response<Body> {
    use http_body_util::{BodyExt, Full};
    Response::new(
        Full::new(text.into())
            .map_err(|never| match never {})
            .boxed_unsync(),
    )
}

impl Service<Request<RequestBody>> for App {
    type Response = Response<Body>;
    type Error = String;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), String>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RequestBody>) -> Answering {
        (self.0)(request)
    }
}

/// Settings of a server that believes whoever connects.
pub(crate) fn open() -> ServerConfig {
    ServerConfig::new(Trust::TrustedNetwork)
}

/// Gives out what was put into the channel.
pub(crate) struct Queue(mpsc::UnboundedReceiver<(DuplexStream, &'static str)>);

impl Queue {
    /// A listener, and what connects to it.
    pub(crate) fn new() -> (Door, Self) {
        let (door, queue) = mpsc::unbounded_channel();
        (Door(door), Self(queue))
    }
}

/// The other end of a [`Queue`].
pub(crate) struct Door(mpsc::UnboundedSender<(DuplexStream, &'static str)>);

impl Door {
    /// A new connection; the pipe holds 64 KiB.
    pub(crate) fn connect_as(&self, name: &'static str) -> Guest {
        let (ours, theirs) = tokio::io::duplex(65_536);
        self.0.send((theirs, name)).unwrap();
        Guest::over(ours)
    }
}

impl Listener for Queue {
    type Io = DuplexStream;
    type Peer = &'static str;

    async fn accept(&mut self) -> (DuplexStream, &'static str) {
        match self.0.recv().await {
            Some(accepted) => accepted,
            None => std::future::pending().await,
        }
    }
}

/// A running server.
pub(crate) struct Hall {
    door: Door,
    monitor: Monitor,
    errors: Arc<Mutex<Vec<(String, Seen)>>>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Hall {
    pub(crate) fn open(config: ServerConfig, app: App) -> Self {
        Self::open_to(config, app, |_| true, Duration::from_secs(30))
    }

    pub(crate) fn open_to(
        config: ServerConfig,
        app: App,
        allow: impl Fn(&&'static str) -> bool + Send + 'static,
        drain_limit: Duration,
    ) -> Self {
        let (door, queue) = Queue::new();
        let (stop, stopped) = oneshot::channel();
        let errors = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&errors);
        let server = serve(queue, app)
            .with_config(config)
            .with_peers(allow)
            .with_drain_limit(drain_limit)
            .on_error(move |peer, error| {
                let peer = format!("{peer:?}");
                sink.lock().unwrap().push((peer, Seen::from(error)));
            })
            .with_graceful_shutdown(async {
                let _ = stopped.await;
            });
        Self {
            door,
            monitor: server.monitor(),
            errors,
            stop: Some(stop),
            task: tokio::spawn(server.into_future()),
        }
    }

    pub(crate) fn connect(&self) -> Guest {
        self.connect_as("guest")
    }

    pub(crate) fn connect_as(&self, name: &'static str) -> Guest {
        self.door.connect_as(name)
    }

    pub(crate) fn stats(&self) -> ServerStats {
        self.monitor.stats()
    }

    /// What reached `on_error` so far.
    pub(crate) fn errors(&self) -> Vec<Seen> {
        let mut errors = self.errors.lock().unwrap();
        errors.drain(..).map(|(_, seen)| seen).collect()
    }

    pub(crate) fn errors_by_peer(&self) -> Vec<(String, Seen)> {
        std::mem::take(&mut self.errors.lock().unwrap())
    }

    /// Gives the shutdown signal.
    pub(crate) fn shut_down(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    /// Waits for the end of the server, and tells how long that took.
    pub(crate) async fn closed(&mut self) -> Duration {
        let start = Instant::now();
        (&mut self.task).await.unwrap();
        start.elapsed()
    }
}

/// A web server made of one end of a pipe.
pub(crate) struct Guest {
    pub(crate) stream: DuplexStream,
    buffer: BytesMut,
}

impl Guest {
    pub(crate) fn over(stream: DuplexStream) -> Self {
        Self {
            stream,
            buffer: BytesMut::new(),
        }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Everything up to the end, and how long that took.
    pub(crate) async fn rest(&mut self) -> (Vec<u8>, Duration) {
        let start = Instant::now();
        let mut out = std::mem::take(&mut self.buffer).to_vec();
        self.stream.read_to_end(&mut out).await.unwrap();
        (out, start.elapsed())
    }

    /// One whole response.
    pub(crate) async fn answer(&mut self) -> Answer {
        loop {
            let mut rest = self.buffer.clone();
            while let Some(packet) = next_answer(&mut rest) {
                if let ToWebServer::EndResponse { .. } = packet {
                    let bytes = self.buffer.split_to(self.buffer.len() - rest.len());
                    let mut all = answers(&bytes);
                    assert_eq!(all.len(), 1);
                    return all.remove(0);
                }
            }
            let n = self.stream.read_buf(&mut self.buffer).await.unwrap();
            assert_ne!(n, 0, "the container closed");
        }
    }

    pub(crate) async fn probe(&mut self) {
        self.send(&CPING).await;
        let mut answer = [0; CPONG.len()];
        self.stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, CPONG);
    }
}

/// Lets every task run until it waits for something.
pub(crate) async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}
