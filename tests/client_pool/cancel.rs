//! A future that is dropped, at any of its polls: no place, no connection, no waiter and no
//! number is left behind, and the pool goes on.

use crate::memory::{Container, End, SECOND, get, settle, well};
use crate::raw::backend::{Conn, token};
use crate::raw::packets::response;
use ajp::client::{CPingMode, Client, PoolConfig, RequestTimeouts};
use ajp::wire::get_body_chunk;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full, StreamBody};
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use tokio::time::advance;

/// Bytes on the way at a time: every packet takes many polls.
const SIP: usize = 7;

/// Polls the future this often. `None` when it was not done by then, and was dropped; if
/// `late`, when everything else has gone on.
async fn dropped_after<T>(polls: usize, late: bool, future: impl Future<Output = T>) -> Option<T> {
    let mut left = polls;
    let mut future = pin!(future);
    let result = poll_fn(|cx| {
        let Some(rest) = left.checked_sub(1) else {
            return Poll::Ready(None);
        };
        left = rest;
        future.as_mut().poll(cx).map(Some)
    })
    .await;
    if result.is_none() && late {
        settle().await;
    }
    result
}

/// Runs `act` on a new client again and again, and drops it after one poll more each time,
/// until it is done by itself. Tells how often it was dropped.
async fn at_every_poll(
    container: impl Fn() -> Container,
    config: &PoolConfig,
    prepare: impl AsyncFn(&Client),
    act: impl AsyncFn(&Client),
) -> usize {
    for polls in 0.. {
        let mut done = true;
        for late in [false, true] {
            let container = container();
            let client = container.client(config.clone());
            prepare(&client).await;
            done &= dropped_after(polls, late, act(&client)).await.is_some();
            settle().await;
            let stats = client.pool().stats();
            assert_eq!((stats.in_use, stats.waiting), (0, 0), "{polls}: {stats:?}");
            assert_eq!(container.open(), stats.idle, "{polls}: {stats:?}");
            assert_eq!(stats.created - stats.closed, stats.idle as u64);
            assert_eq!(container.opened() as u64, stats.created, "{polls}");
            well(&client, "afterwards").await;
            let after = client.pool().stats();
            assert_eq!((after.in_use, after.idle), (0, container.open()));
            assert!(after.completed > stats.completed);
        }
        if done {
            return polls;
        }
    }
    unreachable!()
}

fn sipping() -> Container {
    Container::sipping(SIP, |_, end| end.serve_well())
}

async fn nothing(_: &Client) {}

async fn one_idle(client: &Client) {
    well(client, "prepared").await;
    advance(SECOND * 5).await;
}

#[tokio::test(start_paused = true)]
async fn while_connecting_asking_writing_waiting_and_reading() {
    let config = PoolConfig::default().with_cping(CPingMode::ALWAYS);
    let long = "long".repeat(100);
    let act = async |client: &Client| well(client, &long).await;
    let polls = at_every_poll(sipping, &config, nothing, &act).await;
    assert!(polls > 30, "{polls}");
    let polls = at_every_poll(sipping, &config, one_idle, &act).await;
    assert!(polls > 30, "{polls}");
    // The check of a stream that is no socket waits for one turn.
    let config = config.with_cping(CPingMode::NEVER);
    let polls = at_every_poll(sipping, &config, one_idle, &act).await;
    assert!(polls > 20, "{polls}");
}

#[tokio::test(start_paused = true)]
async fn while_a_body_is_sent() {
    let config = PoolConfig::default();
    let announced = async |client: &Client| {
        let body = Full::new(Bytes::from(vec![b'x'; 1000]));
        let request = Request::post("/announced").body(body).unwrap();
        let response = client.send(request).await.unwrap();
        response.into_body().collect().await.unwrap();
    };
    let polls = at_every_poll(sipping, &config, one_idle, &announced).await;
    assert!(polls > 80, "{polls}");
    let chunked = async |client: &Client| {
        let frame = || Ok::<_, Infallible>(http_body::Frame::data(Bytes::from(vec![b'x'; 200])));
        let frames = futures_util::stream::unfold(5, move |left| async move {
            tokio::task::yield_now().await;
            (left > 0).then(|| (frame(), left - 1))
        });
        let request = Request::post("/chunked")
            .body(StreamBody::new(frames))
            .unwrap();
        let response = client.send(request).await.unwrap();
        response.into_body().collect().await.unwrap();
    };
    let polls = at_every_poll(sipping, &config, one_idle, &chunked).await;
    assert!(polls > 80, "{polls}");
}

/// The connection is stale, and dropped while it is replaced.
#[tokio::test(start_paused = true)]
async fn while_a_stale_connection_is_replaced() {
    let container = || {
        Container::sipping(SIP, |number, mut end| async move {
            if number > 0 {
                return end.serve_well().await;
            }
            let request = end.request().await.unwrap();
            end.write(&response(&token(&request), 1)).await;
            end.payload().await;
        })
    };
    let config = PoolConfig::default().with_cping(CPingMode::NEVER);
    let act = async |client: &Client| {
        well(client, "again").await;
        assert_eq!(client.pool().stats().created, 2);
    };
    let polls = at_every_poll(container, &config, one_idle, act).await;
    assert!(polls > 10, "{polls}");
}

/// Also the one who was given the place and did not get to know it.
#[tokio::test(start_paused = true)]
async fn while_waiting_for_a_place() {
    let config = PoolConfig::default()
        .with_max_connections(1)
        .with_max_waiting(1);
    let act = async |client: &Client| {
        let held = client.pool().acquire().await.unwrap();
        let release = async {
            for _ in 0..5 {
                tokio::task::yield_now().await;
            }
            drop(held);
        };
        tokio::join!(well(client, "after-waiting"), release);
    };
    let polls = at_every_poll(sipping, &config, nothing, act).await;
    assert!(polls > 10, "{polls}");

    for woken in [false, true] {
        let container = Container::well();
        let client = container.client(config.clone());
        let held = client.pool().acquire().await.unwrap();
        let mut waiting = Box::pin(client.pool().acquire());
        let first = poll_fn(|cx| Poll::Ready(waiting.as_mut().poll(cx))).await;
        assert!(first.is_pending());
        assert_eq!(client.pool().stats().waiting, 1);
        if woken {
            drop(held);
            drop(waiting);
        } else {
            drop(waiting);
            drop(held);
        }
        settle().await;
        let stats = client.pool().stats();
        assert_eq!((stats.in_use, stats.waiting), (0, 0));
        well(&client, "afterwards").await;
    }
}

#[tokio::test(start_paused = true)]
async fn while_pinging_and_replenishing() {
    let config = PoolConfig::default()
        .with_min_idle(3)
        .with_cping(CPingMode::ALWAYS);
    let ping = async |client: &Client| {
        client.pool().ping().await.unwrap();
    };
    let polls = at_every_poll(sipping, &config, nothing, &ping).await;
    assert!(polls > 3, "{polls}");
    let replenish = async |client: &Client| assert_eq!(client.pool().replenish().await.unwrap(), 3);
    let polls = at_every_poll(sipping, &config, nothing, &replenish).await;
    assert!(polls > 9, "{polls}");
    let fresh = async |client: &Client| {
        let none = RequestTimeouts::new();
        drop(client.pool().acquire_fresh(&none).await.unwrap());
    };
    let polls = at_every_poll(sipping, &config, one_idle, &fresh).await;
    assert!(polls > 3, "{polls}");
}

/// A probe that nobody answers.
#[tokio::test(start_paused = true)]
async fn while_a_probe_waits_in_vain() {
    let container = || {
        Container::sipping(SIP, |number, mut end: End| async move {
            if number > 2 {
                return end.serve_well().await;
            }
            let request = end.request().await.unwrap();
            end.write(&response(&token(&request), 1)).await;
            end.silent().await;
        })
    };
    let prepare = async |client: &Client| {
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(client.send(get("x")).await.unwrap());
        }
        for response in held {
            response.into_body().collect().await.unwrap();
        }
        advance(SECOND * 5).await;
    };
    let config = PoolConfig::default();
    let act = async |client: &Client| well(client, "saved").await;
    let polls = at_every_poll(container, &config, prepare, act).await;
    assert!(polls > 10, "{polls}");
}

/// The exchange itself, without HTTP: dropped before its first poll, in the middle, after.
#[tokio::test(start_paused = true)]
async fn an_exchange_in_packets() {
    let container = || {
        Container::sipping(SIP, |_, mut end: Conn<_>| async move {
            while let Some(request) = end.request().await {
                if request.req_uri() == b"/ask" {
                    end.write(&get_body_chunk(100)).await;
                    end.payload().await;
                }
                end.write(&response(&token(&request), 1)).await;
            }
        })
    };
    let act = async |client: &Client| {
        let lease = client.pool().acquire().await.unwrap();
        tokio::task::yield_now().await;
        let line = ajp::wire::RequestLine {
            req_uri: b"/ask",
            ..Default::default()
        };
        let mut exchange = lease
            .begin(false, |buffer, size| {
                let mut writer = ajp::wire::ForwardRequestWriter::new(buffer, size, &line)?;
                writer.header(b"transfer-encoding", b"chunked")?;
                writer.finish()
            })
            .unwrap();
        tokio::task::yield_now().await;
        loop {
            match exchange.next_event().await.unwrap() {
                ajp::proto::ClientEvent::End => return,
                ajp::proto::ClientEvent::BodyRequested => {
                    tokio::task::yield_now().await;
                    exchange.send_end_of_body().unwrap();
                }
                _ => tokio::task::yield_now().await,
            }
        }
    };
    let config = PoolConfig::default();
    let polls = at_every_poll(container, &config, one_idle, act).await;
    assert!(polls > 10, "{polls}");
}
