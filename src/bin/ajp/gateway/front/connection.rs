//! One HTTP connection: what its requests and its stream tell each other, and how hyper is set.
//!
//! Every option of hyper's builders is decided here for HTTP/2, and in `http1` for HTTP/1.
//!
//! | HTTP/2 | is | because |
//! |---|---|---|
//! | `max_concurrent_streams` | `http2_streams` | requests at a time |
//! | `max_header_list_size` | `max_head` | as HTTP/1 |
//! | `max_pending_accept_reset_streams`, `max_local_error_reset_streams` | `http2_resets` | CVE-2023-44487: streams that are opened and reset at once |
//! | `initial_stream_window_size` | 65 535 | the protocol's: what a client may send before anybody reads |
//! | `initial_connection_window_size` | that of all `http2_streams` | an upload that no container takes does not stop the others |
//! | `adaptive_window` | off | it would take memory by the client's wish |
//! | `max_frame_size` | 16 384 | the protocol's least |
//! | `header_table_size` | hyper's 4096 | the protocol's |
//! | `max_send_buf_size` | 64 KiB | of each stream; it is counted in `buffer_memory` as what waits before it |
//! | `keep_alive_interval`, `keep_alive_timeout`, `timer` | `head_timeout`, 20 s | a client that has gone without a word is found out |
//! | `enable_connect_protocol` | off | WebSocket over HTTP/2 is not spoken; browsers take HTTP/1.1 then |
//! | `auto_date_header` | on | as HTTP/1 |
//!
//! hyper has no limit for an HTTP/2 connection that answers pings and asks for nothing: after
//! `head_timeout` without a request it is told to go away.

use super::buffer::ReadAhead;
use super::http1;
use super::limits::Limits;
use super::listen::Refused;
use super::one_task::{OneTask, StreamExecutor};
use super::patient::Patient;
use super::refused_streams::{Frames, Known};
use super::service::HttpService;
use super::stalled::Streams;
use super::transport::Breakable;
use crate::common::WhenWoken;
use http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// What the parts of a connection know of each other.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// The client still sends a body that nobody reads.
    unread: AtomicBool,
    /// The body of the last request has not come to its end.
    has_more: AtomicBool,
    /// What follows may be read differently by a proxy before this one.
    distrusted: AtomicBool,
    /// The client has cancelled too many requests.
    refuses: AtomicBool,
    /// A head did not come in time.
    head_is_late: AtomicBool,
    close: Notify,
    requests: AtomicU64,
    /// Requests whose answers have not ended.
    running: AtomicUsize,
    /// There was none, or there is none now.
    running_changed: Notify,
    /// Somebody waits for that.
    is_watched: AtomicBool,
    /// How long the body of the last request is, for the stream that it comes from.
    body: Mutex<Option<BodyLength>>,
    /// The line of what came last and was no request.
    line: Mutex<Option<String>>,
    /// What the connection has become after an upgrade.
    tunnel: Mutex<Option<JoinHandle<()>>>,
    /// The answer that is on its way, as long as more of it is to come.
    answer: Mutex<Weak<ReadAhead>>,
    /// The answers of HTTP/2.
    pub(crate) streams: Streams,
    /// Requests of which all was answered.
    answered: AtomicU64,
    /// Nothing of a further request has come.
    awaits_head: AtomicBool,
    /// The client has taken all that was written to it.
    is_flushed: AtomicBool,
    /// The end of the last answer is that of the connection.
    is_unframed: AtomicBool,
    /// What it knows of its listener.
    listener: Option<Listener>,
}

/// Why something ends that its client has not ended.
pub(crate) const STOPS: &str = "the gateway stops";

/// What a request counts as, and is noted as, whose client has gone before it was answered: as nginx
/// notes it.
pub(crate) const CLIENT_HAS_GONE: u16 = 499;

/// The same of one that was broken off because its listener ended, and its time was over. Its client
/// gets no answer, and it is not the client that has ended it.
pub(crate) const BROKEN_OFF: StatusCode = StatusCode::SERVICE_UNAVAILABLE;

/// What all connections of a listener know. The listener waits until nobody has this any more.
#[derive(Debug, Clone)]
pub(crate) struct Listener {
    stopping: watch::Receiver<bool>,
    /// The time is over that requests had after the signal to stop.
    pub(crate) is_over: Arc<AtomicBool>,
    /// Its receiver ends when the last connection has.
    _running: mpsc::Sender<()>,
}

impl Listener {
    /// The receiver of `running` ends when no connection is left.
    pub(crate) fn new(stopping: watch::Receiver<bool>, running: mpsc::Sender<()>) -> Self {
        Self {
            stopping,
            is_over: Arc::default(),
            _running: running,
        }
    }
}

/// Requests that a client of HTTP/2 may cancel if they are more than were answered: a member
/// works on for each of them (CVE-2023-44487, where hyper's own limits see no harm).
const MOST_CANCELLED: u64 = 100;

/// How long the body of a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyLength {
    Known(u64),
    /// Its chunks tell where it ends.
    Chunked,
    /// It asks for WebSocket: what follows is none of HTTP, or the connection ends.
    Upgrade,
}

/// A request that is running; dropped, it has ended.
#[derive(Debug)]
pub(crate) struct Running(Arc<State>);

impl Running {
    /// All of its answer was taken.
    pub(crate) fn answered(&self) {
        self.0.answered.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let before = self.0.running.fetch_sub(1, Ordering::AcqRel);
        if before == 1 {
            self.0.running_has_changed();
        }
        let requests = self.0.requests.load(Ordering::Relaxed);
        let answered = self.0.answered.load(Ordering::Relaxed);
        let others = answered.saturating_add(before.saturating_sub(1) as u64);
        let cancelled = requests.saturating_sub(others);
        if cancelled > MOST_CANCELLED && cancelled > answered {
            self.0.close();
        }
        // It goes on although it was told to go away.
        if cancelled > MOST_CANCELLED * 2 && cancelled > answered {
            self.0.refuses.store(true, Ordering::Relaxed);
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    /// Of a new connection of this listener.
    pub(crate) fn new(listener: Listener) -> Self {
        Self {
            listener: Some(listener),
            ..Self::default()
        }
    }

    /// Completes when the listener stops.
    pub(crate) fn stopped(&self) -> impl Future<Output = ()> + use<> {
        let stopping = self.listener.as_ref();
        let stopping = stopping.map(|listener| listener.stopping.clone());
        async move {
            match stopping {
                // Without a sender it has stopped.
                Some(mut stopping) => drop(stopping.wait_for(|stop| *stop).await),
                None => std::future::pending().await,
            }
        }
    }

    /// Whether what is still running is broken off.
    pub(crate) fn is_over(&self) -> bool {
        let listener = self.listener.as_ref();
        listener.is_some_and(|listener| listener.is_over.load(Ordering::Acquire))
    }

    /// A request body was given up before its end.
    #[cold]
    pub(crate) fn leave_body_unread(&self) {
        self.unread.store(true, Ordering::Relaxed);
    }

    pub(crate) fn has_unread_body(&self) -> bool {
        self.unread.load(Ordering::Relaxed)
    }

    /// Whether more is to come of the body of the last request.
    pub(crate) fn expects_body(&self, more: bool) {
        self.has_more.store(more, Ordering::Relaxed);
    }

    /// Whether the body of the last request has not come to its end. Of HTTP/1, where there is
    /// one at a time.
    pub(crate) fn has_more_body(&self) -> bool {
        self.has_more.load(Ordering::Relaxed)
    }

    /// No further request of this connection is answered.
    #[cold]
    pub(crate) fn distrust(&self) {
        self.distrusted.store(true, Ordering::Release);
        self.close.notify_one();
    }

    pub(crate) fn is_distrusted(&self) -> bool {
        self.distrusted.load(Ordering::Acquire)
    }

    /// Whether no member is asked for this client any more.
    pub(crate) fn refuses(&self) -> bool {
        self.refuses.load(Ordering::Relaxed)
    }

    /// The connection ends when its running requests have.
    #[cold]
    pub(crate) fn close(&self) {
        self.close.notify_one();
    }

    /// Completes when the connection is to end with its running requests: by its listener, which
    /// completes `stop`, or by [`close`](Self::close).
    pub(super) async fn asked_to_end(&self, stop: impl Future<Output = ()>) {
        tokio::select! {
            () = stop => {}
            () = self.close.notified() => {}
        }
    }

    /// Whether the next thing to come is a request, of which nothing has come yet.
    pub(super) fn awaits_head(&self, awaits: bool) {
        self.awaits_head.store(awaits, Ordering::Relaxed);
    }

    /// Whether the client has taken all that was written to it.
    pub(super) fn flushed(&self, is_flushed: bool) {
        self.is_flushed.store(is_flushed, Ordering::Relaxed);
    }

    /// Whether the end of this answer is that of the connection, as it may be with HTTP/1.0.
    pub(super) fn answers_unframed(&self, is_unframed: bool) {
        self.is_unframed.store(is_unframed, Ordering::Relaxed);
    }

    /// Whether the client takes the end of the connection for that of its answer.
    pub(super) fn is_unframed(&self) -> bool {
        self.is_unframed.load(Ordering::Relaxed)
    }

    /// Whether nothing is on its way: no request, and no part of one or of an answer.
    pub(super) fn is_at_rest(&self) -> bool {
        self.running.load(Ordering::Acquire) == 0
            && self.awaits_head.load(Ordering::Relaxed)
            && self.is_flushed.load(Ordering::Relaxed)
    }

    /// Requests so far.
    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// A request begins.
    pub(crate) fn begin(self: &Arc<Self>) -> Running {
        if self.running.fetch_add(1, Ordering::AcqRel) == 0 {
            self.running_has_changed();
        }
        Running(Arc::clone(self))
    }

    fn running_has_changed(&self) {
        if self.is_watched.load(Ordering::Acquire) {
            self.running_changed.notify_waiters();
        }
    }

    /// From here on changes are told to [`idle`](Self::idle). To be called before the first
    /// request.
    fn watch_running(&self) {
        self.is_watched.store(true, Ordering::Release);
    }

    /// Completes when no request has run for so long. Needs [`watch_running`](Self::watch_running).
    async fn idle(&self, limit: Duration) {
        loop {
            let mut changed = pin!(self.running_changed.notified());
            // From here on no change is missed.
            changed.as_mut().enable();
            if self.running.load(Ordering::Acquire) > 0 {
                changed.await;
            } else if timeout(limit, changed).await.is_err() {
                return;
            }
        }
    }

    /// hyper has taken a head for a request with such a body.
    pub(crate) fn saw_request(&self, body: BodyLength) {
        *locked(&self.body) = Some(body);
    }

    pub(crate) fn take_body_length(&self) -> Option<BodyLength> {
        locked(&self.body).take()
    }

    /// This answer is read ahead while the client takes nothing.
    pub(crate) fn reads_ahead(&self, answer: &Arc<ReadAhead>) {
        *locked(&self.answer) = Arc::downgrade(answer);
    }

    /// The client takes nothing now: reads ahead what is to be sent to it.
    pub(crate) fn client_is_behind(&self, cx: &mut Context<'_>) {
        let answer = locked(&self.answer).upgrade();
        if let Some(answer) = answer {
            answer.poll(cx);
        }
    }

    /// The time for a head is over.
    pub(crate) fn head_is_late(&self) {
        self.head_is_late.store(true, Ordering::Relaxed);
    }

    /// Whether the connection has ended because a head did not come.
    pub(crate) fn is_head_late(&self) -> bool {
        self.head_is_late.load(Ordering::Relaxed)
    }

    /// What came last was no request.
    #[cold]
    pub(crate) fn leave_line(&self, line: String) {
        *locked(&self.line) = Some(line);
    }

    pub(crate) fn take_line(&self) -> Option<String> {
        locked(&self.line).take()
    }

    /// The connection is something else from here on, which ends with this task.
    pub(crate) fn become_tunnel(&self, task: JoinHandle<()>) {
        *locked(&self.tunnel) = Some(task);
    }

    pub(crate) fn take_tunnel(&self) -> Option<JoinHandle<()>> {
        locked(&self.tunnel).take()
    }

    /// The number of a new request, from 1.
    pub(crate) fn count_request(&self) -> u64 {
        let before = self.requests.fetch_add(1, Ordering::Relaxed);
        before.saturating_add(1)
    }
}

/// Which HTTP a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

/// What a client may send over a stream before anybody reads it.
const STREAM_WINDOW: u32 = 65_535;
/// The largest window of HTTP/2 (RFC 9113, section 6.9.1).
const LARGEST_WINDOW: u32 = (1 << 31) - 1;

/// hyper's settings for HTTP/2.
fn http2_builder(limits: &Limits, executor: StreamExecutor) -> http2::Builder<StreamExecutor> {
    let head = u32::try_from(limits.head).unwrap_or(u32::MAX);
    let streams = limits.http2_streams.saturating_add(1);
    let all_streams = streams.saturating_mul(STREAM_WINDOW).min(LARGEST_WINDOW);
    let mut builder = http2::Builder::new(executor);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.http2_streams)
        .max_header_list_size(head)
        .max_pending_accept_reset_streams(limits.http2_resets)
        .max_local_error_reset_streams(limits.http2_resets.max(10))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(all_streams)
        .adaptive_window(false)
        .max_frame_size(16_384)
        .max_send_buf_size(64 * 1024)
        .keep_alive_interval(limits.head_timeout)
        .keep_alive_timeout(Duration::from_secs(20))
        .auto_date_header(true);
    builder
}

/// A service whose futures are on the heap from their beginning. For HTTP/2 hyper copies each
/// several times on the way to its executor; for HTTP/1 it keeps room for one itself.
struct OnTheHeap<S> {
    service: S,
    known: Arc<Known>,
}

impl<S: Service<Request<Incoming>>> Service<Request<Incoming>> for OnTheHeap<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<S::Future>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.known.takes_one();
        Box::pin(self.service.call(request))
    }
}

/// How a connection ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) result: hyper::Result<()>,
    /// The error of HTTP/2 that the client was sent with its end.
    pub(crate) goodbye: Option<&'static str>,
}

/// Serves a connection to its end. When `stop` completes it answers what has begun. `refused` is
/// told of requests of HTTP/2 that the service is not given; of HTTP/1 the result tells.
pub(crate) async fn serve<T, S>(
    stream: T,
    protocol: Protocol,
    state: Arc<State>,
    limits: &Limits,
    service: S,
    stop: impl Future<Output = ()>,
    refused: impl Fn(Refused),
) -> Ended
where
    T: AsyncRead + AsyncWrite + Breakable + Unpin + Send + 'static,
    S: HttpService,
{
    let stream = Patient::new(stream, Arc::clone(&state), limits);
    match protocol {
        Protocol::Http1 => Ended {
            result: http1::serve(stream, state, limits, service, stop).await,
            goodbye: None,
        },
        // On the heap: the tasks of all other connections would have room for it.
        Protocol::Http2 => {
            Box::pin(serve_http2(stream, state, limits, service, stop, refused)).await
        }
    }
}

async fn serve_http2<T, S>(
    stream: Patient<T>,
    state: Arc<State>,
    limits: &Limits,
    service: S,
    stop: impl Future<Output = ()>,
    refused: impl Fn(Refused),
) -> Ended
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: HttpService,
{
    state.watch_running();
    let no_requests = || state.idle(limits.head_timeout);
    let (idle, abandoned) = (no_requests(), no_requests());
    let ending = async {
        tokio::select! {
            () = state.asked_to_end(stop) => {}
            () = idle => {}
        }
    };
    let ending = pin!(ending);
    let mut ending = WhenWoken::new(ending);
    let stalled = async {
        let least = limits.least_bytes_in(limits.write_timeout);
        state.streams.watch(limits.write_timeout, least).await
    };
    let stalled = pin!(stalled);
    let mut stalled = WhenWoken::new(stalled);
    let known = Arc::new(Known::default());
    let frames = TokioIo::new(Frames::new(stream, Arc::clone(&known)));
    let service = OnTheHeap {
        service,
        known: Arc::clone(&known),
    };
    let executor = StreamExecutor::default();
    let builder = http2_builder(limits, executor.clone());
    let connection = builder.serve_connection(frames, service);
    let mut connection = pin!(OneTask::new(connection, executor));
    // After the connection each time.
    let look = || {
        poll_fn(|_| {
            known.look(&refused);
            Poll::<Infallible>::Pending
        })
    };
    let run = async {
        tokio::select! {
            biased;
            result = connection.as_mut() => return result,
            never = look() => match never {},
            never = &mut stalled => match never {},
            () = &mut ending => connection.connection().graceful_shutdown(),
        }
        tokio::select! {
            biased;
            result = connection.as_mut() => result,
            never = look() => match never {},
            never = &mut stalled => match never {},
            // It was told to go away, and does not.
            () = abandoned => Ok(()),
        }
    };
    let result = run.await;
    let goodbye = known.end(&result, refused);
    Ended { result, goodbye }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::{Instant, sleep};

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_when_no_request_has_run_for_the_limit() {
        let state = Arc::new(State::default());
        state.watch_running();
        let limit = Duration::from_secs(30);
        let start = Instant::now();
        let requests = {
            let state = Arc::clone(&state);
            tokio::spawn(async move {
                sleep(Duration::from_secs(20)).await;
                let first = state.begin();
                sleep(Duration::from_secs(100)).await;
                let second = state.begin();
                drop(first);
                sleep(Duration::from_secs(100)).await;
                drop(second);
            })
        };
        state.idle(limit).await;
        assert_eq!(start.elapsed().as_secs(), 20 + 100 + 100 + 30);
        requests.await.unwrap();
    }
}
