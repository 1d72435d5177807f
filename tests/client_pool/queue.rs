//! The hard cap, the queue before it, and the end of a pool.

use crate::memory::{Container, SECOND, fetch, fill, get, settle, well};
use ajp::client::{CloseCause, ErrorKind, PoolConfig, RequestTimeouts, Retry, Timeouts};
use ajp::proto::Progress;
use futures_util::future::join_all;
use http_body_util::BodyExt;
use std::sync::{Arc, Mutex};
use tokio::time::Instant;

fn one() -> PoolConfig {
    PoolConfig::default().with_max_connections(1)
}

#[tokio::test(start_paused = true)]
async fn callers_are_served_in_the_order_they_came() {
    let container = Container::well();
    let client = container.client(one());
    let held = client.pool().acquire().await.unwrap();
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut callers = Vec::new();
    for n in 0..20 {
        let (client, order) = (client.clone(), Arc::clone(&order));
        callers.push(tokio::spawn(async move {
            well(&client, &format!("caller-{n}")).await;
            order.lock().unwrap().push(n);
        }));
        settle().await;
        assert_eq!(client_waiting(&callers), n + 1);
    }
    assert_eq!(client.pool().stats().waiting, 20);
    drop(held);
    join_all(callers).await;
    assert_eq!(*order.lock().unwrap(), (0..20).collect::<Vec<_>>());
    let stats = client.pool().stats();
    assert_eq!((stats.waiting, stats.in_use, stats.idle), (0, 0, 1));
    assert_eq!(container.most(), 1);
}

fn client_waiting(callers: &[tokio::task::JoinHandle<()>]) -> usize {
    callers
        .iter()
        .filter(|caller| !caller.is_finished())
        .count()
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_at_once() {
    for most in [0, 2] {
        let container = Container::well();
        let client = container.client(one().with_max_waiting(most));
        let held = client.pool().acquire().await.unwrap();
        let callers: Vec<_> = (0..most)
            .map(|n| {
                let client = client.clone();
                tokio::spawn(async move { well(&client, &format!("caller-{n}")).await })
            })
            .collect();
        settle().await;
        let start = Instant::now();
        let error = fetch(&client, "too-many").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::QueueFull);
        assert_eq!(
            (error.progress(), error.retry()),
            (Progress::NotSent, Retry::Safe)
        );
        assert_eq!(error.suggested_status(), 503);
        assert_eq!(error.peer(), Some("memory"));
        assert!(start.elapsed().is_zero());
        let stats = client.pool().stats();
        assert_eq!(stats.waiting, most);
        assert_eq!(stats.failed_with(ErrorKind::QueueFull), 1);
        drop(held);
        for caller in callers {
            caller.await.unwrap();
        }
        well(&client, "there-is-room-again").await;
    }
}

#[tokio::test(start_paused = true)]
async fn waiting_ends_in_time_and_gives_the_queue_its_room_back() {
    let container = Container::well();
    let timeouts = Timeouts::default().with_acquire(SECOND * 3);
    let client = container.client(one().with_max_waiting(1).with_timeouts(timeouts));
    let held = client.pool().acquire().await.unwrap();
    for _ in 0..3 {
        let start = Instant::now();
        let error = fetch(&client, "patient").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AcquireTimeout);
        assert_eq!(start.elapsed(), SECOND * 3);
        assert_eq!(client.pool().stats().waiting, 0);
    }
    assert_eq!(client.pool().stats().timeouts.acquire, 3);
    drop(held);
    well(&client, "after").await;
}

/// 200 callers and 5 places: all are served, and never more than 5 connections exist.
#[tokio::test(start_paused = true)]
async fn a_storm_keeps_to_the_cap() {
    let container = Container::new(|number, mut end| async move {
        let mut random = crate::raw::Random::new(number as u64 + 1);
        while let Some(request) = end.request().await {
            let token = crate::raw::backend::token(&request);
            tokio::time::sleep(SECOND / 100 * random.below(10) as u32).await;
            let reuse = u8::from(!random.one_in(5));
            end.write(&crate::raw::packets::response(&token, reuse))
                .await;
            if reuse == 0 {
                return;
            }
        }
    });
    let client = container.client(PoolConfig::default().with_max_connections(5));
    join_all((0..200).map(|n| {
        let client = client.clone();
        async move { well(&client, &format!("caller-{n}")).await }
    }))
    .await;
    let stats = client.pool().stats();
    assert_eq!(container.most(), 5);
    assert_eq!((stats.in_use, stats.waiting, stats.failed), (0, 0, 0));
    assert_eq!(stats.completed, 200);
    assert!(stats.closed_by(CloseCause::NoReuse) > 10, "{stats:?}");
    assert_eq!(stats.created - stats.closed, stats.idle as u64);
    assert_eq!(container.open(), stats.idle);
}

/// Idle connections count too: a new one that is asked for takes the room of the oldest.
#[tokio::test(start_paused = true)]
async fn a_fresh_connection_keeps_to_the_cap() {
    let container = Container::well();
    let client = container.client(PoolConfig::default().with_max_connections(3));
    fill(&client, 3).await;
    let none = RequestTimeouts::new();
    let first = client.pool().acquire_fresh(&none).await.unwrap();
    assert!(!first.is_reused());
    let second = client.pool().acquire_fresh(&none).await.unwrap();
    let stats = client.pool().stats();
    assert_eq!((stats.in_use, stats.idle, stats.created), (2, 1, 5));
    assert_eq!(stats.closed_by(CloseCause::Surplus), 2);
    drop((first, second));
    assert_eq!(container.most(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_shuts_down_lets_exchanges_end_and_nobody_in() {
    let container = Container::well();
    let client = container.client(PoolConfig::default().with_max_connections(2));
    fill(&client, 2).await;
    let running = client.send(get("running")).await.unwrap();
    let held = client.pool().acquire().await.unwrap();
    let waiter = tokio::spawn({
        let client = client.clone();
        async move { fetch(&client, "waiter").await.unwrap_err().kind() }
    });
    settle().await;
    assert_eq!(client.pool().stats().waiting, 1);

    client.pool().shut_down();
    assert_eq!(waiter.await.unwrap(), ErrorKind::PoolShut);
    let error = fetch(&client, "late").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PoolShut);
    assert_eq!(
        (error.retry(), error.suggested_status().as_u16()),
        (Retry::Safe, 503)
    );
    drop(held);
    let body = running.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "running");
    let stats = client.pool().stats();
    assert_eq!((stats.in_use, stats.idle, container.open()), (0, 0, 0));
    assert_eq!(stats.closed_by(CloseCause::PoolShut), 1);
    assert_eq!(client.pool().replenish().await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_is_dropped_closes_what_is_idle_and_then_the_rest() {
    let container = Container::well();
    let client = container.client(PoolConfig::default());
    fill(&client, 3).await;
    let running = client.send(get("running")).await.unwrap();
    drop(client.clone());
    assert_eq!(container.open(), 3, "a clone is no last handle");
    drop(client);
    assert_eq!(container.open(), 1);
    let body = running.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "running");
    assert_eq!(container.open(), 0);
}
