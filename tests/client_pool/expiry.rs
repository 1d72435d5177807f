//! Which idle connection is used, how many are kept, and for how long.

use crate::memory::{Container, SECOND, fill, get, settle, well};
use crate::raw::backend::{config, token};
use crate::raw::packets::response;
use ajp::client::{CPingMode, Client, CloseCause, IdleOrder, Pool, PoolConfig};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{Instant, advance, sleep};

/// No probes: they would tell from each other what was idle for longer.
fn plain() -> PoolConfig {
    PoolConfig::default()
        .with_cping(CPingMode::NEVER)
        .with_idle_timeout(None)
        .with_max_lifetime(None)
}

/// A container that notes which connection a request came over.
fn noting() -> (Container, Arc<Mutex<Vec<usize>>>) {
    let notes = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&notes);
    let container = Container::new(move |number, mut end| {
        let notes = Arc::clone(&sink);
        async move {
            while let Some(request) = end.request().await {
                notes.lock().unwrap().push(number);
                end.write(&response(&token(&request), 1)).await;
            }
        }
    });
    (container, notes)
}

#[tokio::test(start_paused = true)]
async fn the_newest_is_used_and_the_oldest_expires() {
    let (container, notes) = noting();
    let client = container.client(plain().with_idle_timeout(SECOND * 10));
    fill(&client, 3).await;
    notes.lock().unwrap().clear();
    for _ in 0..5 {
        sleep(Duration::from_millis(1999)).await;
        well(&client, "again").await;
    }
    assert_eq!(*notes.lock().unwrap(), [2; 5], "always the same one");
    assert_eq!(client.pool().stats().idle, 3);
    sleep(SECOND).await;
    well(&client, "again").await;
    let stats = client.pool().stats();
    assert_eq!((stats.idle, stats.created), (1, 3));
    assert_eq!(stats.closed_by(CloseCause::IdleTimeout), 2);
    assert_eq!(container.open(), 1);
}

/// On request in turn, so that each stays in use.
#[tokio::test(start_paused = true)]
async fn all_are_used_in_turn_where_the_oldest_is_used_first() {
    let (container, notes) = noting();
    let config = plain()
        .with_idle_order(IdleOrder::Fifo)
        .with_idle_timeout(SECOND * 10);
    let client = container.client(config);
    fill(&client, 3).await;
    notes.lock().unwrap().clear();
    for _ in 0..9 {
        sleep(SECOND * 3).await;
        well(&client, "again").await;
    }
    assert_eq!(*notes.lock().unwrap(), [0, 1, 2, 0, 1, 2, 0, 1, 2]);
    assert_eq!(client.pool().stats().created, 3);
}

#[tokio::test(start_paused = true)]
async fn the_limit_is_exact() {
    for (idle, created) in [(Duration::from_millis(9999), 1), (SECOND * 10, 2)] {
        let container = Container::well();
        let client = container.client(plain().with_idle_timeout(SECOND * 10));
        well(&client, "first").await;
        advance(idle).await;
        well(&client, "second").await;
        assert_eq!(client.pool().stats().created, created, "{idle:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn more_than_max_idle_are_closed_oldest_first() {
    let (container, notes) = noting();
    let client = container.client(plain().with_max_idle(2));
    let mut held = Vec::new();
    for _ in 0..5 {
        held.push(client.pool().acquire().await.unwrap());
    }
    // Leases that are dropped are closed: only exchanges put back.
    drop(held);
    assert_eq!(client.pool().stats().closed_by(CloseCause::Dropped), 5);
    let all = (0..5).map(|n| client.send(get(&format!("{n}"))));
    let responses = futures_util::future::join_all(all).await;
    for response in responses {
        http_body_util::BodyExt::collect(response.unwrap().into_body())
            .await
            .unwrap();
    }
    let stats = client.pool().stats();
    assert_eq!((stats.idle, container.open()), (2, 2));
    assert_eq!(stats.closed_by(CloseCause::Surplus), 3);
    notes.lock().unwrap().clear();
    well(&client, "newest").await;
    assert_eq!(*notes.lock().unwrap(), [9]);

    let client = container.client(plain().with_max_idle(0));
    well(&client, "one").await;
    well(&client, "two").await;
    assert_eq!(client.pool().stats().created, 2);
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_closed_after_its_requests() {
    let container = Container::well();
    let client = container.client(plain().with_max_requests(3));
    for n in 0..7 {
        client.pool().ping().await.unwrap();
        well(&client, &format!("{n}")).await;
    }
    let stats = client.pool().stats();
    assert_eq!((stats.created, container.open()), (3, 1), "{stats:?}");
    assert_eq!(stats.closed_by(CloseCause::MaxRequests), 2);
}

/// When the first connections of a pool end, in seconds.
async fn lifetimes(seed: u64) -> Vec<u64> {
    let (container, notes) = noting();
    let config = plain()
        .with_max_lifetime(SECOND * 100)
        .with_jitter_seed(seed);
    let client = container.client(config);
    let mut ends = Vec::new();
    let mut start = Instant::now();
    while ends.len() < 5 {
        well(&client, "again").await;
        if *notes.lock().unwrap().last().unwrap() > ends.len() {
            ends.push(start.elapsed().as_secs());
            start = Instant::now();
        }
        sleep(SECOND).await;
    }
    let stats = client.pool().stats();
    assert_eq!(stats.closed_by(CloseCause::Lifetime), 5);
    assert_eq!(stats.closed, 5);
    ends
}

#[tokio::test(start_paused = true)]
async fn lifetimes_end_at_random_and_the_same_with_the_same_seed() {
    let first = lifetimes(7).await;
    assert_eq!(first, lifetimes(7).await);
    assert_ne!(first, lifetimes(8).await);
    assert!(
        first.iter().all(|end| (80..=101).contains(end)),
        "{first:?}"
    );
    assert!(first.iter().any(|end| *end != first[0]), "{first:?}");
}

/// Also in the middle of an exchange, which is not disturbed.
#[tokio::test(start_paused = true)]
async fn a_lifetime_that_ends_in_an_exchange_closes_afterwards() {
    let container = Container::new(|_, mut end| async move {
        while let Some(request) = end.request().await {
            sleep(SECOND * 20).await;
            end.write(&response(&token(&request), 1)).await;
        }
    });
    let client = container.client(plain().with_max_lifetime(SECOND * 10));
    well(&client, "long").await;
    let stats = client.pool().stats();
    assert_eq!(stats.closed_by(CloseCause::Lifetime), 1);
    assert_eq!((stats.idle, container.open()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn min_idle_is_opened_on_request() {
    let container = Container::well();
    let config = plain().with_min_idle(4).with_idle_timeout(SECOND * 10);
    let client = container.client(config.clone());
    assert_eq!(client.pool().replenish().await.unwrap(), 4);
    assert_eq!(client.pool().replenish().await.unwrap(), 0);
    let stats = client.pool().stats();
    assert_eq!((stats.idle, stats.in_use, stats.created), (4, 0, 4));
    well(&client, "warm").await;
    assert_eq!(client.pool().stats().reused, 1);
    // Those that are to be kept ready outlive the idle timeout; others do not.
    advance(SECOND * 10).await;
    assert_eq!(client.pool().replenish().await.unwrap(), 0);
    fill(&client, 5).await;
    advance(SECOND * 10).await;
    assert_eq!(client.pool().evict_expired(), 1);
    let stats = client.pool().stats();
    assert_eq!((stats.idle, stats.created), (4, 5));
    assert_eq!(stats.closed_by(CloseCause::IdleTimeout), 1);

    // Never beyond the cap, never waiting, never more than may be idle.
    let client = container.client(config.clone().with_max_connections(2));
    assert_eq!(client.pool().replenish().await.unwrap(), 2);
    let held = client.pool().acquire().await.unwrap();
    let also_held = client.pool().acquire().await.unwrap();
    assert_eq!(client.pool().replenish().await.unwrap(), 0);
    drop((held, also_held));
    let client = container.client(config.clone().with_max_idle(1));
    assert_eq!(client.pool().replenish().await.unwrap(), 1);

    container.refuse(true);
    let client = container.client(config);
    let error = client.pool().replenish().await.unwrap_err();
    assert_eq!(error.kind(), ajp::client::ErrorKind::Connect);
    assert_eq!(client.pool().stats().in_use, 0);
}

#[tokio::test(start_paused = true)]
async fn expired_connections_can_be_evicted() {
    let container = Container::well();
    let config = plain()
        .with_idle_timeout(SECOND * 10)
        .with_max_lifetime(SECOND * 6);
    let client = container.client(config);
    fill(&client, 2).await;
    advance(SECOND * 4).await;
    fill(&client, 3).await;
    assert_eq!(client.pool().evict_expired(), 0);
    advance(SECOND * 2).await;
    assert_eq!(client.pool().evict_expired(), 2);
    let stats = client.pool().stats();
    assert_eq!((stats.idle, container.open()), (1, 1));
    assert_eq!(stats.closed_by(CloseCause::Lifetime), 2);
}

/// Of sockets the kernel is asked, so those that the container has closed go too.
#[tokio::test]
async fn closed_sockets_are_evicted() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = ajp::client::Address::from(listener.local_addr().unwrap());
    let (close, closing) = tokio::sync::oneshot::channel::<()>();
    let container = tokio::spawn(async move {
        let mut streams = Vec::new();
        for _ in 0..3 {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 1000]).await.unwrap();
            stream.write_all(&response("here", 1)).await.unwrap();
            streams.push(stream);
        }
        closing.await.unwrap();
        streams[1].write_all(&[0x41]).await.unwrap();
        streams.remove(0);
        streams
    });
    let client = Client::for_own_requests(Pool::new(address, config()));
    fill(&client, 3).await;
    assert_eq!(client.pool().evict_expired(), 0);
    close.send(()).unwrap();
    let _open = container.await.unwrap();
    let mut evicted = 0;
    while evicted < 2 {
        evicted += client.pool().evict_expired();
        settle().await;
    }
    let stats = client.pool().stats();
    assert_eq!((stats.idle, stats.closed), (1, 2));
    assert_eq!(stats.closed_by(CloseCause::ClosedByPeer), 1);
    assert_eq!(stats.closed_by(CloseCause::StrayData), 1);
}
