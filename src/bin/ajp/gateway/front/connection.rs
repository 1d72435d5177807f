//! One HTTP connection: what its requests and its stream tell each other, and how hyper is set.

use super::limits::Limits;
use super::patient::Patient;
use super::timer::KeptTimer;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::error::Error;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;

/// What the parts of a connection know of each other.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// The client still sends a body that nobody reads.
    unread: AtomicBool,
    /// What follows may be read differently by a proxy before this one.
    distrusted: AtomicBool,
    close: Notify,
    requests: AtomicU64,
}

impl State {
    /// A request body was given up before its end.
    pub(crate) fn leave_body_unread(&self) {
        self.unread.store(true, Ordering::Relaxed);
    }

    pub(crate) fn has_unread_body(&self) -> bool {
        self.unread.load(Ordering::Relaxed)
    }

    /// No further request of this connection is answered.
    pub(crate) fn distrust(&self) {
        self.distrusted.store(true, Ordering::Release);
        self.close.notify_one();
    }

    pub(crate) fn is_distrusted(&self) -> bool {
        self.distrusted.load(Ordering::Acquire)
    }

    /// The connection ends when its running requests have.
    pub(crate) fn close(&self) {
        self.close.notify_one();
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

/// hyper's settings for HTTP/1, each one decided.
fn http1_builder(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        // Boot loaders and old monitors look for `Content-Length: ` as it stands here.
        .title_case_headers(true)
        .preserve_header_case(false)
        // A probe that sends its request and closes its direction waits for an answer.
        .half_close(true)
        .keep_alive(true)
        // A request line with more than one space, and headers that are none, are read
        // differently by different servers.
        .allow_multiple_spaces_in_request_line_delimiters(false)
        .ignore_invalid_headers(false)
        .max_headers(limits.headers)
        .max_header_size(limits.head)
        // hyper's least is 8192.
        .max_buf_size(limits.head.max(8192))
        .timer(KeptTimer::default())
        .header_read_timeout(limits.head_timeout)
        .auto_date_header(true)
        // Answers to pipelined requests leave as they are ready.
        .pipeline_flush(false);
    builder
}

/// hyper's settings for HTTP/2.
fn http2_builder(limits: &Limits) -> http2::Builder<TokioExecutor> {
    let head = u32::try_from(limits.head).unwrap_or(u32::MAX);
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.http2_streams)
        .max_header_list_size(head)
        // CVE-2023-44487: streams that are opened and reset at once.
        .max_pending_accept_reset_streams(limits.http2_resets)
        .max_local_error_reset_streams(limits.http2_resets.max(10))
        // What a client may send unread: the initial windows of the protocol.
        .initial_stream_window_size(65_535)
        .initial_connection_window_size(1 << 20)
        .adaptive_window(false)
        .max_frame_size(16_384)
        .max_send_buf_size(64 * 1024)
        // A client that has gone without a word is found out.
        .keep_alive_interval(limits.head_timeout)
        .keep_alive_timeout(Duration::from_secs(20))
        .auto_date_header(true);
    builder
}

/// Serves a connection to its end. When `stop` completes it answers what has begun.
pub(crate) async fn serve<T, S, B>(
    stream: T,
    protocol: Protocol,
    state: Arc<State>,
    limits: &Limits,
    service: S,
    stop: impl Future<Output = ()>,
) -> hyper::Result<()>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<B>> + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let io = TokioIo::new(Patient::new(stream, Arc::clone(&state), limits));
    // What asks the connection to end: the operator, or what its own requests found out.
    let ending = async {
        tokio::select! {
            () = stop => {}
            () = state.close.notified() => {}
        }
    };
    let mut ending = pin!(ending);
    /// Both kinds of connection have the same methods, but no trait.
    macro_rules! run {
        ($connection:expr) => {{
            let mut connection = pin!($connection);
            tokio::select! {
                result = connection.as_mut() => return result,
                () = ending.as_mut() => connection.as_mut().graceful_shutdown(),
            }
            connection.await
        }};
    }
    match protocol {
        Protocol::Http1 => run!(http1_builder(limits).serve_connection(io, service)),
        Protocol::Http2 => run!(http2_builder(limits).serve_connection(io, service)),
    }
}
