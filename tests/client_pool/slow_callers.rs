//! Callers that stay away: their client reads nothing, or uploads nothing. The limits hold
//! whether anybody polls or not, and the place in the pool is free again.

use crate::memory::{Container, SECOND, fetch, fetch_with, get, settle, well};
use crate::raw::backend::{config, token};
use crate::raw::packets::{chunk, head, response};
use crate::runtimes::{single, stopping_container};
use ajp::client::{
    Blame, Client, ClientError, CloseCause, ErrorKind, PoolConfig, RequestTimeouts, Retry, Timeouts,
};
use ajp::proto::{ClientEvent, Progress};
use ajp::wire::{END_RESPONSE_REUSE, ForwardRequestWriter, RequestLine, get_body_chunk};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, StreamBody};
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::{Instant, advance, sleep};

/// The watchdog looks once a second, or eight times within the shortest limit.
const LATE: Duration = Duration::from_secs(1);

fn one_place(timeouts: Timeouts) -> PoolConfig {
    PoolConfig::default()
        .with_max_connections(1)
        .with_timeouts(timeouts.with_acquire(SECOND * 1000))
}

/// Answers the token `long` with data without an end, and all others well.
fn container() -> Container {
    Container::new(|_, mut end| async move {
        while let Some(request) = end.request().await {
            let token = token(&request);
            if token == "long" {
                end.write(&head(200, &[])).await;
                loop {
                    end.write(&chunk(&[b'x'; 8000])).await;
                    sleep(SECOND / 100).await;
                }
            }
            end.write(&response(&token, 1)).await;
        }
    })
}

/// When the only place is free again, while somebody holds it.
async fn free_after(client: &Client) -> Duration {
    let start = Instant::now();
    let patient = RequestTimeouts::new().with_request(None);
    assert_eq!(fetch_with(client, "next", patient).await.unwrap(), "next");
    start.elapsed()
}

fn is_about(time: Duration, expected: Duration) {
    assert!(
        (expected..=expected + LATE).contains(&time),
        "{time:?}, not {expected:?}"
    );
}

fn is_the_callers(error: &ClientError, kind: ErrorKind) {
    assert_eq!((error.kind(), error.blame()), (kind, Blame::Caller));
    assert_eq!(error.retry(), Retry::Never);
}

#[tokio::test(start_paused = true)]
async fn a_response_that_is_not_read_gives_its_place_back() {
    let unread = ErrorKind::ResponseReadTimeout;
    let pool = Timeouts::default();
    let own = RequestTimeouts::new();
    for (pool, own, kind, limit) in [
        (pool, own, unread, SECOND * 60),
        (pool.with_response_read(SECOND * 5), own, unread, SECOND * 5),
        (pool, own.with_response_read(SECOND * 7), unread, SECOND * 7),
        (
            pool.with_response_read(None).with_request(SECOND * 9),
            own,
            ErrorKind::RequestTimeout,
            SECOND * 9,
        ),
        (
            pool,
            own.with_request(SECOND * 3),
            ErrorKind::RequestTimeout,
            SECOND * 3,
        ),
    ] {
        for frames in 0..2 {
            let container = container();
            let client = container.client(one_place(pool));
            let mut request = get("long");
            // A moment means the same as a duration.
            let own = match kind {
                ErrorKind::RequestTimeout if frames == 1 => {
                    own.with_deadline(Instant::now() + limit)
                }
                _ => own,
            };
            request.extensions_mut().insert(own);
            let mut held = client.send(request).await.unwrap().into_body();
            for _ in 0..frames {
                held.frame().await.unwrap().unwrap();
            }
            is_about(free_after(&client).await, limit);
            let stats = client.pool().stats();
            assert_eq!(stats.failed_with(kind), 1, "{stats:?}");
            assert_eq!(stats.closed_by(CloseCause::Timeout), 1, "{stats:?}");
            assert_eq!((stats.in_use, stats.idle, container.open()), (0, 1, 1));

            // Who reads on is told, once.
            let error = held.frame().await.unwrap().unwrap_err();
            is_the_callers(&error, kind);
            assert_eq!(error.progress(), Progress::Responding);
            assert_eq!(error.suggested_status().is_server_error(), kind != unread);
            assert!(held.frame().await.is_none());
            drop(held);
            let after = client.pool().stats();
            assert_eq!((after.failed, after.in_use), (1, 0), "{after:?}");
        }
    }
}

/// While the process is stopped nobody can read: a caller that was not yet seen to stay away has its
/// whole time afterwards, and no more. One that was seen has had it.
#[tokio::test(start_paused = true)]
async fn time_in_which_the_process_is_stopped_is_not_the_callers() {
    let limit = SECOND * 5;
    for (seen, expected) in [(false, limit), (true, Duration::ZERO)] {
        let container = container();
        let timeouts = Timeouts::default().with_response_read(limit);
        let client = container.client(one_place(timeouts));
        let held = client.send(get("long")).await.unwrap().into_body();
        if seen {
            sleep(SECOND * 2).await;
        }
        advance(SECOND * 40).await;
        assert_eq!(client.pool().stats().in_use, 1, "nobody has looked since");
        is_about(free_after(&client).await, expected);
        let stats = client.pool().stats();
        assert_eq!((stats.in_use, stats.idle, container.open()), (0, 1, 1));
        drop(held);
    }
}

/// However long it takes.
#[tokio::test(start_paused = true)]
async fn a_response_that_is_read_slowly_is_not_cut() {
    let container = Container::new(|_, mut end| async move {
        end.request().await;
        end.write(&head(200, &[])).await;
        for _ in 0..20 {
            end.write(&chunk(&[b'x'; 8000])).await;
        }
        end.write(&END_RESPONSE_REUSE).await;
        end.silent().await;
    });
    let limits = Timeouts::default().with_response_read(SECOND * 5);
    let client = container.client(one_place(limits));
    let mut body = client.send(get("x")).await.unwrap().into_body();
    let mut received = 0;
    loop {
        sleep(SECOND * 4).await;
        let Some(frame) = body.frame().await else {
            break;
        };
        received += frame.unwrap().into_data().unwrap().len();
    }
    assert_eq!(received, 160_000);
    assert_eq!(client.pool().stats().idle, 1);
}

/// Who waits for the container is not slow, with limits for the container and without.
#[tokio::test(start_paused = true)]
async fn a_stream_without_events_is_not_cut() {
    let container = Container::new(|_, mut end| async move {
        end.request().await;
        end.write(&head(200, &[])).await;
        sleep(SECOND * 5000).await;
        end.write(&chunk(b"event")).await;
        end.silent().await;
    });
    for between in [None, Some(SECOND * 6000)] {
        let limits = Timeouts::default()
            .with_response_read(SECOND * 5)
            .with_between_packets(between)
            .with_request(None);
        let client = container.client(one_place(limits));
        let mut body = client.send(get("x")).await.unwrap().into_body();
        let frame = body.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), "event");
    }
}

fn upload(
    uri: &str,
    own: RequestTimeouts,
) -> Request<
    StreamBody<
        impl futures_util::Stream<Item = Result<http_body::Frame<Bytes>, Infallible>> + Send + 'static,
    >,
> {
    let frames = futures_util::stream::pending();
    let request = Request::post(uri).extension(own);
    request.body(StreamBody::new(frames)).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_the_callers_fault() {
    let container = Container::new(|_, mut end| async move {
        while let Some(request) = end.request().await {
            if request.framing().is_eager() || token(&request) == "next" {
                end.write(&response(&token(&request), 1)).await;
                continue;
            }
            end.write(&get_body_chunk(8186)).await;
            end.payload().await;
        }
    });
    let none = RequestTimeouts::new();
    for (own, limit) in [
        (none, SECOND * 20),
        (none.with_request_body(SECOND * 3), SECOND * 3),
    ] {
        let client = container.client(one_place(Timeouts::default()));
        let start = Instant::now();
        let error = client.send(upload("/x", own)).await.unwrap_err();
        assert_eq!(start.elapsed(), limit);
        is_the_callers(&error, ErrorKind::RequestBodyTimeout);
        assert_eq!(error.progress(), Progress::RequestSent);
        assert_eq!(error.suggested_status(), 408);
        let stats = client.pool().stats();
        assert_eq!((stats.in_use, stats.timeouts.request_body), (0, 1));

        // The future is kept and not polled: at the limit the exchange would have told, and
        // the caller has as long again to ask.
        let mut sending = pin!(client.send(upload("/x", own)));
        let first = async {
            for _ in 0..50 {
                assert!(poll_fn(|cx| Poll::Ready(sending.as_mut().poll(cx).is_pending())).await);
                tokio::task::yield_now().await;
            }
        };
        first.await;
        let time = free_after(&client).await;
        assert!((limit..=limit + LATE).contains(&time), "{time:?}");
        let error = sending.await.unwrap_err();
        is_the_callers(&error, ErrorKind::RequestBodyTimeout);
    }
}

/// Each piece starts the time anew, and so does each packet of a response that came early.
#[tokio::test(start_paused = true)]
async fn a_body_that_comes_slowly_is_not_cut() {
    let container = Container::new(|_, mut end| async move {
        while let Some(request) = end.request().await {
            if token(&request) == "early" {
                end.write(&head(200, &[])).await;
                for _ in 0..10 {
                    sleep(SECOND * 15).await;
                    end.write(&chunk(b"x")).await;
                }
                end.write(&END_RESPONSE_REUSE).await;
                return;
            }
            let body = end.body(&request).await.unwrap();
            assert_eq!(body.len(), 10);
            end.write(&response("xxxxxxxxxx", 1)).await;
        }
    });
    let client = container.client(one_place(Timeouts::default()));
    for announced in [true, false] {
        let frames = futures_util::stream::unfold(10, |left| async move {
            sleep(SECOND * 15).await;
            let frame = http_body::Frame::data(Bytes::from_static(b"y"));
            (left > 0).then_some((Ok::<_, Infallible>(frame), left - 1))
        });
        let mut request = Request::post("/slow");
        if announced {
            request = request.header("content-length", "10");
        }
        let request = request.body(StreamBody::new(Box::pin(frames))).unwrap();
        let body = client.send(request).await.unwrap().into_body();
        assert_eq!(body.collect().await.unwrap().to_bytes(), "xxxxxxxxxx");
    }
    let mut request = upload("/early", RequestTimeouts::new());
    let length = http::HeaderValue::from_static("10");
    request.headers_mut().insert("content-length", length);
    let body = client.send(request).await.unwrap().into_body();
    assert_eq!(body.collect().await.unwrap().to_bytes(), "xxxxxxxxxx");
}

/// The exchange itself, without HTTP: before its first poll, and while its caller owes it a
/// body packet.
#[tokio::test(start_paused = true)]
async fn an_exchange_in_packets_is_watched_too() {
    let container = Container::new(|_, mut end| async move {
        while let Some(request) = end.request().await {
            if token(&request) == "next" {
                end.write(&response("next", 1)).await;
            } else {
                end.write(&get_body_chunk(100)).await;
            }
        }
    });
    let limits = Timeouts::default()
        .with_request_body(SECOND * 10)
        .with_response_read(SECOND * 30);
    for (polled, kind, limit) in [
        (false, ErrorKind::ResponseReadTimeout, SECOND * 30),
        (true, ErrorKind::RequestBodyTimeout, SECOND * 10),
    ] {
        let client = container.client(one_place(limits));
        let lease = client.pool().acquire().await.unwrap();
        let line = RequestLine {
            req_uri: b"/x",
            ..RequestLine::default()
        };
        let mut exchange = lease
            .begin(false, |buffer, size| {
                let mut writer = ForwardRequestWriter::new(buffer, size, &line)?;
                writer.header(b"transfer-encoding", b"chunked")?;
                writer.finish()
            })
            .unwrap();
        if polled {
            let event = exchange.next_event().await.unwrap();
            assert_eq!(event, ClientEvent::BodyRequested);
        }
        is_about(free_after(&client).await, limit);
        let error = if polled {
            exchange.send_end_of_body().unwrap_err()
        } else {
            exchange.next_event().await.unwrap_err()
        };
        is_the_callers(&error, kind);
        assert_eq!(exchange.next_event().await.unwrap_err().kind(), kind);
        drop(exchange);
        let stats = client.pool().stats();
        assert_eq!((stats.failed, stats.in_use), (1, 0), "{stats:?}");
    }
}

/// A caller that has leaked what it holds, or that was dropped meanwhile.
#[tokio::test(start_paused = true)]
async fn what_is_leaked_or_dropped_leaves_the_pool_in_order() {
    let container = container();
    let limits = Timeouts::default().with_response_read(SECOND * 5);
    let client = container.client(one_place(limits));
    std::mem::forget(client.send(get("long")).await.unwrap());
    is_about(free_after(&client).await, SECOND * 5);
    let held = client.send(get("long")).await.unwrap();
    sleep(SECOND * 10).await;
    drop(held);
    settle().await;
    let stats = client.pool().stats();
    assert_eq!((stats.in_use, stats.failed), (0, 2), "{stats:?}");
    assert_eq!(stats.created, stats.closed + stats.idle as u64);
    assert_eq!(container.open(), stats.idle);
}

/// The task lives while connections are in use, and no longer.
#[tokio::test(start_paused = true)]
async fn an_idle_pool_has_no_task() {
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let container = container();
    let before = tasks();
    let client = container.client(one_place(Timeouts::default()));
    for _ in 0..3 {
        // One for all of them.
        for _ in 0..3 {
            well(&client, "x").await;
        }
        let connections = container.open();
        assert_eq!(tasks(), before + connections + 1);
        sleep(SECOND * 2).await;
        assert_eq!(tasks(), before + connections, "idle");
    }
    // Without any limit there is none.
    let client = container.client(one_place(crate::memory::unlimited()));
    let before = tasks();
    well(&client, "x").await;
    assert_eq!(tasks(), before + 1, "the container's");
}

/// Nobody drives the runtime of the task any more: another one takes over.
#[test]
fn a_runtime_that_has_ended_leaves_nobody_unwatched() {
    let limits = Timeouts::default()
        .with_response_read(Duration::from_millis(100))
        .with_acquire(Duration::from_secs(10));
    let config = config().with_max_connections(2).with_timeouts(limits);
    let (home, backend) = stopping_container(config);
    let first = single();
    let held = first.block_on(backend.client.send(get("long"))).unwrap();
    // Its task goes with it, unfinished.
    drop(first);
    let pool = backend.client.pool();
    assert_eq!(pool.stats().in_use, 1);
    single().block_on(async {
        sleep(Duration::from_millis(2500)).await;
        assert_eq!(pool.stats().in_use, 1);
        assert_eq!(fetch(&backend.client, "a").await.unwrap(), "a");
        for _ in 0..100 {
            if pool.stats().in_use == 0 {
                break;
            }
            sleep(Duration::from_millis(50)).await;
        }
        let stats = pool.stats();
        assert_eq!((stats.in_use, stats.timeouts.response_read), (0, 1));
        let own = RequestTimeouts::new();
        assert_eq!(fetch_with(&backend.client, "b", own).await.unwrap(), "b");
    });
    drop(held);
    home.shutdown_background();
}

/// The runtime of the task has ended, and all places are held by who stays away: whoever waits
/// for one of them, or maintains the pool, sees that nobody looks any more.
#[test]
fn a_full_pool_whose_watchdog_is_gone_is_free_again() {
    let limits = Timeouts::default()
        .with_response_read(Duration::from_millis(100))
        .with_acquire(Duration::from_secs(10));
    for is_maintained in [false, true] {
        let config = config()
            .with_max_connections(1)
            .with_maintenance_interval(Duration::from_millis(100))
            .with_timeouts(limits);
        let (home, backend) = stopping_container(config);
        let first = single();
        let held = first.block_on(backend.client.send(get("long"))).unwrap();
        drop(first);
        let pool = backend.client.pool();
        single().block_on(async {
            if is_maintained {
                let maintained = tokio::spawn(pool.clone().maintain());
                let start = std::time::Instant::now();
                while pool.stats().in_use > 0 && start.elapsed() < Duration::from_secs(8) {
                    sleep(Duration::from_millis(50)).await;
                }
                maintained.abort();
                assert_eq!(pool.stats().in_use, 0);
            }
            assert_eq!(fetch(&backend.client, "a").await.unwrap(), "a");
            assert_eq!(pool.stats().timeouts.response_read, 1);
        });
        drop(held);
        home.shutdown_background();
    }
}
