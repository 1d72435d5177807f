//! What keeps a pool in order between requests.

use crate::memory::{Container, End, SECOND, fill, settle, well};
use ajp::client::{CPingMode, CloseCause, PoolConfig};
use ajp::wire::{CPONG, DecodeOptions, ToContainer};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use tokio::time::{advance, sleep};

fn plain() -> PoolConfig {
    PoolConfig::new()
        .with_cping(CPingMode::NEVER)
        .with_max_lifetime(None)
}

/// A container that counts the `CPing`s which it answers, unless it hangs.
struct Pinged {
    container: Container,
    count: Arc<AtomicUsize>,
    hangs: Arc<AtomicBool>,
}

impl Pinged {
    fn new() -> Self {
        let count = Arc::new(AtomicUsize::new(0));
        let hangs = Arc::new(AtomicBool::new(false));
        let state = (Arc::clone(&count), Arc::clone(&hangs));
        let container = Container::new(move |_, mut end: End| {
            let (count, hangs) = state.clone();
            async move {
                while let Some(payload) = end.payload().await {
                    match ToContainer::parse(payload, &DecodeOptions::default()).unwrap() {
                        ToContainer::CPing if hangs.load(SeqCst) => {}
                        ToContainer::CPing => {
                            count.fetch_add(1, SeqCst);
                            end.write(&CPONG).await;
                        }
                        ToContainer::ForwardRequest(request) => {
                            let token = crate::raw::backend::token(&request);
                            let answer = crate::raw::packets::response(&token, 1);
                            end.write(&answer).await;
                        }
                        other => panic!("{other:?}"),
                    }
                }
            }
        });
        Self {
            container,
            count,
            hangs,
        }
    }
}

/// Without traffic: 6 of 6 were still open before.
#[tokio::test(start_paused = true)]
async fn idle_connections_are_closed_without_traffic() {
    let container = Container::well();
    let client = container.client(plain());
    let task = tokio::spawn(client.pool().maintain());
    fill(&client, 6).await;
    sleep(SECOND * 29).await;
    assert_eq!(container.open(), 6);
    // The idle timeout is 30 s, and a look comes every 5 s.
    sleep(SECOND * 7).await;
    assert_eq!(container.open(), 0);
    let stats = client.pool().stats();
    assert_eq!(
        (stats.idle, stats.closed_by(CloseCause::IdleTimeout)),
        (0, 6)
    );

    // It holds no handle, and ends with the pool.
    drop(client);
    settle().await;
    assert!(task.is_finished());
}

#[tokio::test(start_paused = true)]
async fn it_ends_when_the_pool_is_shut_down() {
    let client = Container::well().client(plain());
    let pool = client.pool().clone();
    let task = tokio::spawn(pool.maintain());
    settle().await;
    assert!(!task.is_finished());
    pool.shut_down();
    settle().await;
    assert!(task.is_finished());
    pool.maintain().await;
}

#[tokio::test(start_paused = true)]
async fn as_many_as_wanted_are_kept_ready() {
    let container = Container::well();
    let config = plain().with_min_idle(3).with_max_connections(4);
    let client = container.client(config);
    container.refuse(true);
    let task = tokio::spawn(client.pool().maintain());
    sleep(SECOND * 20).await;
    assert!(client.pool().stats().failed >= 3, "one try in each round");
    container.refuse(false);
    sleep(SECOND * 5).await;
    assert_eq!((container.open(), client.pool().stats().idle), (3, 3));
    // They outlive the idle timeout, and what is taken is replaced as far as the cap allows.
    sleep(SECOND * 60).await;
    assert_eq!(client.pool().stats().created, 3);
    let held = client.pool().acquire().await.unwrap();
    let also_held = client.pool().acquire().await.unwrap();
    assert!(held.is_reused() && also_held.is_reused());
    sleep(SECOND * 5).await;
    let stats = client.pool().stats();
    assert_eq!((stats.in_use, stats.idle, container.most()), (2, 2, 4));
    task.abort();
}

#[tokio::test(start_paused = true)]
async fn quiet_connections_are_asked() {
    let pinged = Pinged::new();
    let config = plain()
        .with_idle_timeout(SECOND * 1000)
        .with_idle_ping_interval(SECOND * 40)
        .with_container_keep_alive(SECOND * 60);
    let client = pinged.container.client(config);
    let task = tokio::spawn(client.pool().maintain());
    fill(&client, 3).await;
    sleep(SECOND * 39).await;
    assert_eq!(pinged.count.load(SeqCst), 0);
    sleep(SECOND * 6).await;
    assert_eq!(pinged.count.load(SeqCst), 3);
    // To the container they are not idle, so its keep-alive timeout closes none.
    sleep(SECOND * 400).await;
    let stats = client.pool().stats();
    assert_eq!((stats.idle, stats.in_use, stats.closed), (3, 0, 0));
    assert!((3 * 9..=3 * 11).contains(&pinged.count.load(SeqCst)));
    // The order is kept, and none is asked that serves requests.
    let before = pinged.count.load(SeqCst);
    for _ in 0..50 {
        well(&client, "busy").await;
        sleep(SECOND).await;
    }
    assert!(pinged.count.load(SeqCst) <= before + 4);

    // One that does not answer costs one limit, and those that were idle for longer go too.
    pinged.hangs.store(true, SeqCst);
    sleep(SECOND * 120).await;
    let stats = client.pool().stats();
    assert_eq!((stats.idle, stats.in_use), (0, 0), "{stats:?}");
    assert_eq!(
        (
            stats.closed_by(CloseCause::CPing),
            stats.closed_by(CloseCause::Unresponsive)
        ),
        (1, 2)
    );
    assert_eq!(stats.timeouts.cping, 1);
    task.abort();
}

/// Who has the cap to itself is not kept from its connection for longer than one `CPing`.
#[tokio::test(start_paused = true)]
async fn a_request_waits_for_the_answer_at_most() {
    let pinged = Pinged::new();
    let config = plain()
        .with_idle_timeout(None)
        .with_idle_ping_interval(SECOND * 10)
        .with_max_connections(1);
    let client = pinged.container.client(config);
    well(&client, "first").await;
    pinged.hangs.store(true, SeqCst);
    let task = tokio::spawn(client.pool().maintain());
    settle().await;
    advance(SECOND * 13).await;
    settle().await;
    assert_eq!(client.pool().stats().in_use, 1, "it is being asked");
    pinged.hangs.store(false, SeqCst);
    let start = tokio::time::Instant::now();
    well(&client, "second").await;
    assert!(start.elapsed() <= SECOND * 5);
    assert_eq!((pinged.container.opened(), pinged.container.most()), (2, 1));
    task.abort();
}
