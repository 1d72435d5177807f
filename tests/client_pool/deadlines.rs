//! Limits: each step has its own, the acquire bounds its steps, the request bounds all, and
//! a request can have limits of its own.

use crate::memory::{Container, End, SECOND, fetch, fetch_with, fill, unlimited, well};
use crate::raw::backend::token;
use crate::raw::packets::{chunk, head, response};
use ajp::client::{
    Blame, CPingMode, ClientError, CloseCause, ErrorKind, PoolConfig, RequestTimeouts, Retry,
    Timeouts,
};
use ajp::proto::Progress;
use ajp::wire::{END_RESPONSE_REUSE, FLUSH, get_body_chunk};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, StreamBody};
use std::convert::Infallible;
use std::error::Error as _;
use std::time::Duration;
use tokio::time::{Instant, advance, sleep};

fn within(timeouts: Timeouts) -> PoolConfig {
    PoolConfig::default()
        .with_cping(CPingMode::NEVER)
        .with_timeouts(timeouts)
}

/// The error of a fetch, and after how long it came.
async fn failing(client: &ajp::client::Client, own: RequestTimeouts) -> (ClientError, Duration) {
    let start = Instant::now();
    let error = fetch_with(client, "x", own).await.unwrap_err();
    (error, start.elapsed())
}

#[tokio::test(start_paused = true)]
async fn the_request_is_bounded_in_every_step() {
    let limit = RequestTimeouts::new().with_request(SECOND * 3);
    let none = PoolConfig::default().with_timeouts(unlimited());

    // Waiting for a place.
    let container = Container::well();
    let client = container.client(none.clone().with_max_connections(1));
    let held = client.pool().acquire().await.unwrap();
    let (error, time) = failing(&client, limit).await;
    check(&error, Progress::NotSent, time);
    drop(held);

    // Connecting.
    container.connecting_takes(SECOND * 60);
    let client = container.client(none.clone());
    let (error, time) = failing(&client, limit).await;
    check(&error, Progress::NotSent, time);
    assert_eq!(client.pool().stats().in_use, 0);

    // CPing, of a new connection and of an idle one.
    let deaf = Container::new(|_, end| end.silent());
    let client = deaf.client(none.clone().with_cping(CPingMode::ON_CONNECT));
    let (error, time) = failing(&client, limit).await;
    check(&error, Progress::NotSent, time);
    let falling_silent = Container::new(|_, mut end| async move {
        end.request().await;
        end.write(&response("fill-0", 1)).await;
        end.silent().await;
    });
    let client = falling_silent.client(none.clone());
    fill(&client, 1).await;
    advance(SECOND * 10).await;
    let (error, time) = failing(&client, limit).await;
    check(&error, Progress::NotSent, time);

    // Waiting for the answer, and for its rest.
    let client = deaf.client(none.clone());
    let (error, time) = failing(&client, limit).await;
    check(&error, Progress::RequestSent, time);
    assert_eq!(client.pool().stats().closed_by(CloseCause::Timeout), 1);
    let begun = Container::new(|_, mut end| async move {
        end.request().await;
        end.write(&head(200, &[])).await;
        end.silent().await;
    });
    let client = begun.client(none.clone());
    let (error, time) = failing(&client, limit).await;
    check(&error, Progress::Responding, time);

    // The caller's own body never comes.
    let waiting = Container::new(|_, mut end| async move {
        end.request().await;
        end.write(&get_body_chunk(8186)).await;
        end.silent().await;
    });
    let client = waiting.client(none);
    let frames = futures_util::stream::pending::<Result<http_body::Frame<Bytes>, Infallible>>();
    let mut request = Request::post("/x").body(StreamBody::new(frames)).unwrap();
    request.extensions_mut().insert(limit);
    let start = Instant::now();
    let error = client.send(request).await.unwrap_err();
    check(&error, Progress::RequestSent, start.elapsed());
}

fn check(error: &ClientError, progress: Progress, time: Duration) {
    assert_eq!(error.kind(), ErrorKind::RequestTimeout);
    assert_eq!(error.progress(), progress);
    assert_eq!(error.suggested_status(), 504);
    let retry = match progress {
        Progress::NotSent => Retry::Safe,
        Progress::RequestSent => Retry::IfIdempotent,
        _ => Retry::Never,
    };
    assert_eq!(error.retry(), retry);
    assert_eq!(time, SECOND * 3, "{error:?}");
}

/// Neither silence nor a slow step: packets come all the time.
#[tokio::test(start_paused = true)]
async fn a_response_without_an_end_is_cut() {
    for packet in [chunk(b"more"), FLUSH.to_vec()] {
        let packet = packet.repeat(100);
        let container = Container::new(move |_, mut end| {
            let packet = packet.clone();
            async move {
                end.request().await;
                end.write(&head(200, &[])).await;
                loop {
                    end.write(&packet).await;
                    sleep(SECOND / 1000).await;
                }
            }
        });
        let client = container.client(within(Timeouts::default().with_request(SECOND * 3)));
        let (error, time) = failing(&client, RequestTimeouts::new()).await;
        check(&error, Progress::Responding, time);
        assert_eq!(container.open(), 0);
    }
}

/// A reader that is slow meets the limit at the next packet, not at the end that is there.
#[tokio::test(start_paused = true)]
async fn a_slow_reader_is_cut_too() {
    let container = Container::new(|_, mut end| async move {
        end.request().await;
        let whole = [head(200, &[]), chunk(b"one"), chunk(b"two")].concat();
        end.write(&whole).await;
        end.write(&END_RESPONSE_REUSE).await;
        end.silent().await;
    });
    let config = within(Timeouts::default().with_request(SECOND * 3));
    for (pause, ends) in [(2, true), (4, false)] {
        let client = container.client(config.clone());
        let mut body = client
            .send(crate::memory::get("x"))
            .await
            .unwrap()
            .into_body();
        body.frame().await.unwrap().unwrap();
        sleep(SECOND * pause).await;
        let rest = body.collect().await;
        assert_eq!(rest.is_ok(), ends);
        if let Err(error) = rest {
            assert_eq!(error.kind(), ErrorKind::RequestTimeout);
        }
    }
}

/// Who is cut off by the limit of the acquire is told in which step, and the container is not
/// to blame.
#[tokio::test(start_paused = true)]
async fn the_acquire_bounds_its_steps() {
    let container = Container::new(|_, end: End| end.silent());
    let timeouts = Timeouts::default()
        .with_acquire(SECOND * 3)
        .with_connect(SECOND * 60)
        .with_cping(SECOND * 60);
    let config = within(timeouts).with_max_connections(1);
    let none = RequestTimeouts::new();

    let client = container.client(config.clone());
    let held = client.pool().acquire().await.unwrap();
    let (error, time) = failing(&client, none).await;
    assert_eq!(
        (error.kind(), time),
        (ErrorKind::AcquireTimeout, SECOND * 3)
    );
    drop(held);

    let client = container.client(config.clone().with_cping(CPingMode::ON_CONNECT));
    let (error, time) = failing(&client, none).await;
    assert_eq!((error.kind(), time), (ErrorKind::CPingCutShort, SECOND * 3));

    container.connecting_takes(SECOND * 10);
    let client = container.client(config);
    let (error, time) = failing(&client, none).await;
    assert_eq!(
        (error.kind(), time),
        (ErrorKind::ConnectCutShort, SECOND * 3)
    );

    // What is left of it after waiting.
    container.connecting_takes(SECOND * 2);
    let held = client.pool().acquire().await.unwrap();
    let release = async {
        sleep(SECOND * 2).await;
        drop(held);
    };
    let ((error, time), ()) = tokio::join!(failing(&client, none), release);
    assert_eq!(
        (error.kind(), time),
        (ErrorKind::ConnectCutShort, SECOND * 3)
    );
    assert_eq!(error.blame(), Blame::Caller);
    assert_eq!(
        error.source().unwrap().to_string(),
        "the limit of acquire ran out while waiting for a new connection"
    );
    let stats = client.pool().stats();
    assert_eq!((stats.timeouts.connect, stats.in_use), (2, 0));

    // Only the pool's own limit accuses the container.
    container.connecting_takes(SECOND * 10);
    let impatient = Timeouts::default().with_connect(SECOND * 3);
    let client = container.client(within(impatient));
    let (error, time) = failing(&client, none).await;
    assert_eq!(
        (error.kind(), error.blame(), time),
        (ErrorKind::ConnectTimeout, Blame::Container, SECOND * 3)
    );
    let (error, _) = failing(&client, none.with_connect(SECOND)).await;
    assert_eq!(error.kind(), ErrorKind::ConnectCutShort);
}

/// Longer and shorter than the pool's, and off.
#[tokio::test(start_paused = true)]
async fn a_request_can_have_limits_of_its_own() {
    let container = Container::new(|_, mut end| async move {
        while let Some(request) = end.request().await {
            sleep(SECOND * 20).await;
            end.write(&response(&token(&request), 1)).await;
        }
    });
    let client = container.client(within(Timeouts::default().with_response_head(SECOND * 10)));
    let none = RequestTimeouts::new();
    let (error, time) = failing(&client, none).await;
    assert_eq!(
        (error.kind(), time),
        (ErrorKind::ResponseHeadTimeout, SECOND * 10)
    );
    let (error, time) = failing(&client, none.with_response_head(SECOND)).await;
    assert_eq!(
        (error.kind(), time),
        (ErrorKind::ResponseHeadTimeout, SECOND)
    );
    for patient in [
        none.with_response_head(SECOND * 21),
        none.with_response_head(None),
    ] {
        let answer = fetch_with(&client, "late", patient).await;
        assert_eq!(answer.unwrap(), "late");
    }
    let (error, time) = failing(&client, none.with_deadline(Instant::now() + SECOND * 4)).await;
    assert_eq!(
        (error.kind(), time),
        (ErrorKind::RequestTimeout, SECOND * 4)
    );
    // A moment that is over.
    let opened = container.opened();
    let (error, time) = failing(&client, none.with_deadline(Instant::now() - SECOND)).await;
    assert_eq!(
        (error.kind(), time),
        (ErrorKind::RequestTimeout, Duration::ZERO)
    );
    assert_eq!(container.opened(), opened);
    let stats = client.pool().stats();
    assert_eq!((stats.in_use, stats.timeouts.request), (0, 2));
}

/// What comes before the head is no answer: it does not buy time.
#[tokio::test(start_paused = true)]
async fn packets_before_the_head_do_not_lengthen_its_limit() {
    for packet in [FLUSH.to_vec(), head(103, &[("link", "</x>")])] {
        let container = Container::new(move |_, mut end| {
            let packet = packet.clone();
            async move {
                end.request().await;
                for _ in 0..12 {
                    sleep(SECOND).await;
                    end.write(&packet).await;
                }
                end.write(&response("x", 1)).await;
                end.silent().await;
            }
        });
        let client = container.client(within(Timeouts::default()));
        let own = RequestTimeouts::new().with_response_head(SECOND * 5 / 2);
        let (error, time) = failing(&client, own).await;
        let expected = (ErrorKind::ResponseHeadTimeout, SECOND * 5 / 2);
        assert_eq!((error.kind(), time), expected);
        // With time enough they do no harm.
        let own = RequestTimeouts::new().with_response_head(SECOND * 13);
        assert_eq!(fetch_with(&client, "x", own).await.unwrap(), "x");
    }
}

/// The limits of the lease are those of its exchange, also when the pool is gone.
#[tokio::test(start_paused = true)]
async fn an_exchange_keeps_its_limits_when_the_pool_is_dropped() {
    let container = Container::new(|_, end: End| end.silent());
    let client = container.client(within(Timeouts::default().with_response_head(SECOND * 7)));
    let lease = client.pool().acquire().await.unwrap();
    drop(client);
    let mut exchange = begin(lease);
    let start = Instant::now();
    let error = exchange.next_event().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResponseHeadTimeout);
    assert_eq!(start.elapsed(), SECOND * 7);
}

fn begin(lease: ajp::client::Lease) -> ajp::client::Exchange {
    let line = ajp::wire::RequestLine {
        req_uri: b"/x",
        ..Default::default()
    };
    lease
        .begin(false, |buffer, size| {
            ajp::wire::ForwardRequestWriter::new(buffer, size, &line)?.finish()
        })
        .unwrap()
}

/// What comes, or goes, while a lease is held is found before the request is sent.
#[tokio::test(start_paused = true)]
async fn a_lease_that_was_held_is_looked_at_again() {
    for stray in [response("foreign", 1), vec![]] {
        let foreign = stray.clone();
        let container = Container::new(move |_, mut end| {
            let foreign = foreign.clone();
            async move {
                end.request().await;
                end.write(&response("x", 1)).await;
                sleep(SECOND * 5).await;
                end.write(&foreign).await;
                if !foreign.is_empty() {
                    end.poison().await;
                }
            }
        });
        let client = container.client(within(Timeouts::default()));
        well(&client, "x").await;
        let lease = client.pool().acquire().await.unwrap();
        assert!(lease.is_reused());
        sleep(SECOND * 10).await;
        let error = begin(lease).next_event().await.unwrap_err();
        let (kind, cause) = if stray.is_empty() {
            (ErrorKind::Closed, CloseCause::ClosedByPeer)
        } else {
            (ErrorKind::Protocol, CloseCause::StrayData)
        };
        assert_eq!((error.kind(), error.retry()), (kind, Retry::Safe));
        let stats = client.pool().stats();
        assert_eq!((stats.closed_by(cause), stats.closed), (1, 1));
        assert_eq!((stats.in_use, container.open()), (0, 0));
    }
}

/// The retry over a fresh connection does not queue again, and keeps the deadline.
#[tokio::test(start_paused = true)]
async fn a_stale_connection_is_replaced_without_queueing() {
    let container = Container::new(|number, mut end| async move {
        if number > 0 {
            return end.serve_well().await;
        }
        end.request().await;
        end.write(&response("x", 1)).await;
        // Takes the next one and closes.
        end.payload().await;
        sleep(SECOND).await;
    });
    let client = container.client(within(Timeouts::default()).with_max_connections(1));
    well(&client, "x").await;
    let stale = tokio::spawn({
        let client = client.clone();
        async move {
            fetch(&client, "again")
                .await
                .map(|answer| (answer, Instant::now()))
        }
    });
    sleep(SECOND / 2).await;
    let start = Instant::now();
    let queued = tokio::spawn({
        let client = client.clone();
        async move {
            fetch(&client, "queued")
                .await
                .map(|answer| (answer, Instant::now()))
        }
    });
    container.connecting_takes(SECOND);
    let (answer, first) = stale.await.unwrap().unwrap();
    assert_eq!((answer.as_str(), first - start), ("again", SECOND * 3 / 2));
    let (answer, second) = queued.await.unwrap().unwrap();
    assert_eq!(answer, "queued");
    assert!(second >= first, "the retry kept its place");
    let stats = client.pool().stats();
    assert_eq!(stats.closed_by(CloseCause::Stale), 1);
    assert_eq!(stats.failed_with(ErrorKind::Closed), 1);
    assert_eq!((stats.created, container.most()), (2, 1));
}

/// Nobody can answer a request that is not there yet: what comes is for somebody else.
#[tokio::test(start_paused = true)]
async fn an_answer_that_overtakes_the_request_is_none() {
    for (closes, kind) in [(false, ErrorKind::Protocol), (true, ErrorKind::Write)] {
        let container = Container::sipping(64, move |_, mut end| async move {
            use tokio::io::AsyncReadExt;
            end.stream.read_exact(&mut [0; 10]).await.unwrap();
            end.write(&response("foreign", 1)).await;
            if !closes {
                std::future::pending::<()>().await;
            }
        });
        let client = container.client(within(Timeouts::default()));
        let error = fetch(&client, &"x".repeat(500)).await.unwrap_err();
        assert_eq!(error.kind(), kind);
        assert_eq!(
            (error.progress(), error.retry()),
            (Progress::NotSent, Retry::Safe)
        );
        assert_eq!(client.pool().stats().closed, 1);
        assert_eq!(container.open(), 0);
    }
}
