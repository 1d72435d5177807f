//! HTTP/1 over one connection, served by hyper while there is something to serve.
//!
//! | hyper's option | is | because |
//! |---|---|---|
//! | `title_case_headers` | on | boot loaders and old monitors look for `Content-Length: ` as it stands |
//! | `preserve_header_case` | off | names come from the container, which has no case to preserve |
//! | `half_close` | on | a probe that sends its request and closes its direction waits for an answer |
//! | `keep_alive` | on | as HTTP/1.1 has it; `requests_per_connection` and `head_timeout` end it |
//! | `allow_multiple_spaces_in_request_line_delimiters`, `ignore_invalid_headers` | off | what servers read differently is refused |
//! | `max_headers`, `max_header_size` | `[limits]` | a head that fits no packet is of no use |
//! | `max_buf_size` | 128 KiB | so much of an answer leaves in one write, and hyper reads so much of a request's body at once from a client that sends it fast |
//! | `header_read_timeout`, `timer` | none | [`Heads`] measure the time for a head, and between requests |
//! | `writev` | hyper's choice | it asks the stream, which says that it can |
//! | `auto_date_header` | on | RFC 9110, section 6.6.1 |
//! | `pipeline_flush` | off | answers to pipelined requests leave as they are ready |
//!
//! hyper keeps two buffers of 8 KiB and room for a request's future as long as its connection is
//! there, and has no way to give them back. Most connections of browsers are idle most of the
//! time. So a connection that nothing is asked of for a while rests: hyper's part of it is
//! dropped, the stream is kept, and the first bytes that come make a new one. The client sees no
//! difference; `head_timeout` goes on counting.

use super::buffer::WRITE;
use super::connection::State;
use super::heads::Heads;
use super::limits::Limits;
use super::patient::Patient;
use super::service::HttpService;
use super::transport::Breakable;
use crate::common::WhenWoken;
use hyper::server::conn::http1::Builder;
use hyper_util::rt::TokioIo;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::sleep;

/// A connection rests when nothing has been asked for so long, or at most twice that. Longer, and
/// of many clients that come at a time all would have their buffers at a time, which the C
/// library does not give back to the system. Shorter, and hyper's part would be made anew for
/// requests that follow each other.
const QUIET: Duration = Duration::from_millis(50);

/// What hyper takes without being told.
const HYPERS_MAX_HEADERS: usize = 100;

/// hyper's settings.
fn builder(limits: &Limits) -> Builder {
    let mut builder = Builder::new();
    builder
        .title_case_headers(true)
        .preserve_header_case(false)
        .half_close(true)
        .keep_alive(true)
        .allow_multiple_spaces_in_request_line_delimiters(false)
        .ignore_invalid_headers(false)
        .max_header_size(limits.head)
        .max_buf_size(limits.head.max(WRITE))
        .header_read_timeout(None)
        .auto_date_header(true)
        .pipeline_flush(false);
    // Told a number, hyper fills a table of that length for every request.
    if limits.headers != HYPERS_MAX_HEADERS {
        builder.max_headers(limits.headers);
    }
    builder
}

/// Serves a connection to its end. When `stop` completes it answers what has begun.
pub(super) async fn serve<T, S>(
    stream: Patient<T>,
    state: Arc<State>,
    limits: &Limits,
    mut service: S,
    stop: impl Future<Output = ()>,
) -> hyper::Result<()>
where
    T: AsyncRead + AsyncWrite + Breakable + Unpin + Send + 'static,
    S: HttpService,
{
    let ending = pin!(state.asked_to_end(stop));
    let mut ending = WhenWoken::new(ending);
    let (most, limit) = (limits.head, limits.head_timeout);
    let mut heads = Heads::new(stream, Arc::clone(&state), most, limit);
    loop {
        let served = until_quiet(heads, service, limits, &state, &mut ending);
        let Some((stream, same)) = served.await? else {
            return Ok(());
        };
        (heads, service) = (stream, same);
        if !rest(&mut heads, &mut ending).await {
            // As hyper does with an idle connection: whoever cannot be told is gone.
            let _ = heads.shutdown().await;
            return Ok(());
        }
    }
}

/// Why hyper does not go on with a connection.
enum Paused {
    Ended(hyper::Result<()>),
    AskedToEnd,
    Quiet,
}

/// Has hyper serve the connection until it may rest, or to its end.
async fn until_quiet<T, S>(
    heads: Heads<Patient<T>>,
    service: S,
    limits: &Limits,
    state: &State,
    mut ending: impl Future<Output = ()> + Unpin,
) -> hyper::Result<Option<(Heads<Patient<T>>, S)>>
where
    T: AsyncRead + AsyncWrite + Breakable + Unpin + Send + 'static,
    S: HttpService,
{
    let connection = builder(limits).serve_connection(TokioIo::new(heads), service);
    // On the heap: the task of a connection that rests has no room for it.
    let mut connection = Box::new(connection.with_upgrades());
    let paused = {
        let quiet = pin!(quiet(state));
        let mut quiet = WhenWoken::new(quiet);
        tokio::select! {
            biased;
            result = &mut connection => Paused::Ended(result),
            () = &mut ending => Paused::AskedToEnd,
            () = &mut quiet => Paused::Quiet,
        }
    };
    let result = match paused {
        Paused::Ended(result) => result,
        Paused::AskedToEnd => {
            Pin::new(&mut *connection).graceful_shutdown();
            (&mut connection).await
        }
        Paused::Quiet => {
            // An upgrade would have completed it.
            return Ok(connection.into_parts().map(|parts| {
                let mut heads = parts.io.into_inner();
                heads.rest(&parts.read_buf);
                (heads, parts.service)
            }));
        }
    };
    if result.is_err() && state.is_unframed() {
        if let Some(parts) = connection.into_parts() {
            parts.io.inner().break_off();
        }
    }
    result.map(|()| None)
}

/// Completes when nothing was asked for a while, and nothing is on its way in either direction.
async fn quiet(state: &State) {
    loop {
        let before = (state.is_at_rest(), state.requests());
        sleep(QUIET).await;
        if before == (true, state.requests()) && state.is_at_rest() {
            return;
        }
    }
}

/// Waits for the first bytes of a request. `false` if the connection ends instead: by the
/// client, by the time, or because it was asked to.
async fn rest<T>(heads: &mut Heads<Patient<T>>, ending: impl Future<Output = ()>) -> bool
where
    T: AsyncRead + Unpin,
{
    tokio::select! {
        biased;
        woken = heads.wake() => matches!(woken, Ok(true)),
        () = ending => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::connection::BodyLength;
    use super::super::transport::writes_through;
    use super::*;
    use bytes::Bytes;
    use http::{Request, Response};
    use http_body::Body as _;
    use http_body_util::{BodyExt, Full};
    use hyper::body::Incoming;
    use hyper::service::service_fn;
    use std::convert::Infallible;
    use std::io;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Poll};
    use tokio::io::{AsyncReadExt, DuplexStream, ReadBuf, duplex};
    use tokio::sync::Notify;
    use tokio::task::JoinHandle;
    use tokio::time::Instant;

    /// A stream that tells how much was to be read last: hyper has 8 KiB for it and more.
    struct Offered<S> {
        stream: S,
        space: Arc<AtomicUsize>,
    }

    impl<S: AsyncRead + Unpin> AsyncRead for Offered<S> {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            self.space.store(buf.remaining(), Ordering::Relaxed);
            Pin::new(&mut self.stream).poll_read(cx, buf)
        }
    }

    writes_through!(Offered, stream);

    impl<S> Breakable for Offered<S> {
        fn break_off(&self) {}
    }

    /// A client's end, and a connection whose requests are answered with their path and body.
    struct Lab {
        client: DuplexStream,
        space: Arc<AtomicUsize>,
        stop: Arc<Notify>,
        state: Arc<State>,
        running_task: JoinHandle<hyper::Result<()>>,
    }

    impl Lab {
        fn new() -> Self {
            let (client, server) = duplex(1000);
            let space = Arc::new(AtomicUsize::new(0));
            let stream = Offered {
                stream: server,
                space: Arc::clone(&space),
            };
            let (state, limits) = (Arc::new(State::default()), Limits::default());
            let stop = Arc::new(Notify::new());
            let (told, known) = (Arc::clone(&stop), Arc::clone(&state));
            let running_task = tokio::spawn(async move {
                let stream = Patient::new(stream, Arc::clone(&state), &limits);
                let seen = Arc::clone(&state);
                let service = service_fn(move |request: Request<Incoming>| {
                    // As soon as hyper has the head.
                    let length = request.body().size_hint().exact();
                    seen.saw_request(length.map_or(BodyLength::Chunked, BodyLength::Known));
                    answer(Arc::clone(&seen), request)
                });
                serve(stream, state, &limits, service, told.notified()).await
            });
            Self {
                client,
                space,
                stop,
                state: known,
                running_task,
            }
        }

        fn is_resting(&self) -> bool {
            self.space.load(Ordering::Relaxed) < 8192
        }

        /// The answer to a request that is sent in such pieces, a millisecond between them.
        async fn ask(&mut self, request: &str, piece: usize) -> String {
            for piece in request.as_bytes().chunks(piece) {
                self.client.write_all(piece).await.unwrap();
                sleep(Duration::from_millis(1)).await;
            }
            self.answer().await
        }

        /// Head and body of an answer.
        async fn answer(&mut self) -> String {
            let mut text = String::new();
            loop {
                let mut space = [0; 100];
                let count = self.client.read(&mut space).await.unwrap();
                text += std::str::from_utf8(&space[..count]).unwrap();
                if count == 0 || text.ends_with("end") {
                    return text;
                }
            }
        }
    }

    async fn answer(
        state: Arc<State>,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        state.count_request();
        let running = state.begin();
        let path = request.uri().path().to_owned();
        let body = request.into_body().collect().await.unwrap().to_bytes();
        if path == "/slow" {
            sleep(QUIET * 10).await;
        }
        let body = String::from_utf8_lossy(&body);
        let long = if path == "/long" { 100_000 } else { 0 };
        drop(running);
        let text = format!("{path} {body} {} end", "x".repeat(long));
        Ok(Response::new(Full::from(text)))
    }

    const GET: &str = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";

    #[tokio::test(start_paused = true)]
    async fn a_quiet_connection_rests_and_goes_on_with_the_next_request() {
        let post = "POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody";
        for piece in [1, 7, 1000] {
            let mut lab = Lab::new();
            for _ in 0..3 {
                assert!(lab.ask(GET, piece).await.ends_with("/a   end"));
                assert!(!lab.is_resting());
                sleep(QUIET * 3).await;
                assert!(lab.is_resting());
                assert!(lab.ask(post, piece).await.ends_with("/b body  end"));
                assert!(!lab.is_resting());
                sleep(QUIET * 3).await;
                assert!(lab.is_resting());
            }
            // Two at once.
            lab.client
                .write_all(GET.repeat(2).as_bytes())
                .await
                .unwrap();
            let mut answers = String::new();
            while answers.matches("/a   end").count() < 2 {
                answers += &lab.answer().await;
            }
        }
    }

    /// With its task, and the pipe to the client of 2000 bytes.
    #[test]
    fn a_resting_connection_holds_none_of_hypers_buffers() {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_time().start_paused(true).build().unwrap();
        let mut resting = None;
        let memory = allocation_counter::measure(|| {
            resting = Some(runtime.block_on(async {
                let mut lab = Lab::new();
                lab.ask(GET, 1000).await;
                sleep(QUIET * 3).await;
                lab
            }));
        });
        assert!(resting.is_some_and(|lab| lab.is_resting()));
        let held = memory.bytes_current;
        assert!(held < 8192, "{held}");
    }

    #[tokio::test(start_paused = true)]
    async fn it_does_not_rest_while_anything_is_on_its_way() {
        let mut lab = Lab::new();
        // A request that takes its time.
        let slow = GET.replace("/a", "/slow");
        lab.client.write_all(slow.as_bytes()).await.unwrap();
        sleep(QUIET * 5).await;
        assert!(!lab.is_resting());
        assert!(lab.answer().await.contains("/slow"));
        // An answer that the client has not taken.
        let long = GET.replace("/a", "/long");
        lab.client.write_all(long.as_bytes()).await.unwrap();
        sleep(QUIET * 5).await;
        assert!(!lab.is_resting());
        assert!(lab.answer().await.len() > 100_000);
        // A part of a head.
        lab.client.write_all(&GET.as_bytes()[..10]).await.unwrap();
        sleep(QUIET * 5).await;
        assert!(!lab.is_resting());
        assert!(lab.ask(&GET[10..], 1000).await.contains("/a "));
        sleep(QUIET * 3).await;
        assert!(lab.is_resting());
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_for_the_next_head_goes_on_while_it_rests() {
        let limit = Limits::default().head_timeout;
        for begins in [None, Some(limit.saturating_sub(QUIET))] {
            let mut lab = Lab::new();
            let start = Instant::now();
            lab.ask(GET, 1000).await;
            if let Some(begins) = begins {
                sleep(begins).await;
                assert!(lab.is_resting());
                lab.client.write_all(b"GET / HTT").await.unwrap();
            }
            assert_eq!(lab.answer().await, "");
            assert_eq!(start.elapsed().as_secs(), limit.as_secs());
            lab.running_task.await.unwrap().unwrap();
            assert!(lab.state.is_head_late());
            let line = begins.map(|_| "GET / HTT");
            assert_eq!(lab.state.take_line().as_deref(), line);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_resting_connection_ends_with_its_listener_and_with_its_client() {
        let mut lab = Lab::new();
        lab.ask(GET, 1000).await;
        sleep(QUIET * 3).await;
        let start = Instant::now();
        lab.stop.notify_one();
        assert_eq!(lab.answer().await, "");
        lab.running_task.await.unwrap().unwrap();

        let mut lab = Lab::new();
        lab.ask(GET, 1000).await;
        sleep(QUIET * 3).await;
        lab.client.shutdown().await.unwrap();
        lab.running_task.await.unwrap().unwrap();
        assert!(start.elapsed() < QUIET * 4);
    }
}
