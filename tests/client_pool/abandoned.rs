//! Requests whose callers go while the container works on them: a container does not notice.

use crate::memory::{Container, End, SECOND, fetch, get, settle, well};
use crate::raw::backend::token;
use crate::raw::packets::{chunk, head, response};
use ajp::balancer::{AdaptiveLimit, Balancer, BalancerConfig, ClusterConfig, Member};
use ajp::client::{CPingMode, Client, PoolConfig};
use ajp::wire::get_body_chunk;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, StreamBody};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// Requests that a container works on, and the most at a time.
#[derive(Default)]
struct Work {
    now: AtomicUsize,
    most: AtomicUsize,
}

/// A container that takes so long for each request, whether anybody waits for it or not.
fn slow(time: Duration) -> (Container, Arc<Work>) {
    let work = Arc::new(Work::default());
    let working = Arc::clone(&work);
    let container = Container::new(move |_, mut end: End| {
        let work = Arc::clone(&working);
        async move {
            while let Some(request) = end.request().await {
                let now = work.now.fetch_add(1, SeqCst) + 1;
                work.most.fetch_max(now, SeqCst);
                sleep(time).await;
                work.now.fetch_sub(1, SeqCst);
                end.write(&response(&token(&request), 1)).await;
            }
        }
    });
    (container, work)
}

fn config(abandoned: impl Into<Option<Duration>>) -> PoolConfig {
    PoolConfig::default()
        .with_max_connections(2)
        .with_cping(CPingMode::NEVER)
        .with_abandoned(abandoned)
}

async fn give_up_on(client: &Client, count: usize) {
    for n in 0..count {
        let asked = client.send(get(&format!("given-up-{n}")));
        assert!(timeout(SECOND / 10, asked).await.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn no_more_run_at_the_container_than_there_are_connections() {
    for (abandoned, most, opened) in [(None, 10, 40), (Some(SECOND * 3), 2, 2)] {
        let (container, work) = slow(SECOND);
        let client = container.client(config(abandoned));
        give_up_on(&client, 40).await;
        assert_eq!(work.most.load(SeqCst), most, "{abandoned:?}");
        // What the container has answered in the meantime is no reason for another connection.
        assert_eq!(container.opened(), opened, "{abandoned:?}");
        assert!(container.most() <= 2);
        // Whoever stays is answered.
        well(&client, "stays").await;
        sleep(SECOND * 3).await;
        assert_eq!(client.pool().stats().in_use, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_a_container_has_an_end() {
    let (container, work) = slow(SECOND * 60);
    let client = container.client(config(SECOND * 3));
    give_up_on(&client, 2).await;
    let start = Instant::now();
    assert_eq!(client.pool().stats().in_use, 2);
    // The slots are free after the time, and the connections are closed.
    give_up_on(&client, 29).await;
    assert_eq!(work.most.load(SeqCst), 2);
    give_up_on(&client, 1).await;
    assert_eq!((work.most.load(SeqCst), start.elapsed()), (3, SECOND * 3));
    sleep(SECOND * 4).await;
    let stats = client.pool().stats();
    assert_eq!((stats.in_use, stats.idle, container.open()), (0, 0, 0));
    assert_eq!(stats.closed, 3, "{stats:?}");
}

/// It works on them: whoever chooses by how busy it is must know, and nothing of it is left over.
#[tokio::test(start_paused = true)]
async fn a_member_is_busy_with_them() {
    let (container, _) = slow(SECOND);
    let pool = container.client(config(SECOND * 3)).pool().clone();
    let rules = ClusterConfig::default().with_adaptive_limit(AdaptiveLimit::default());
    let settings = BalancerConfig::new("b")
        .with_cluster(rules)
        .with_own_requests(true);
    let balancer = Balancer::new(settings);
    balancer.add(Member::new("a"), pool.clone()).unwrap();
    let busy = || {
        let member = &balancer.snapshot().members[0];
        (member.busy, member.adaptive_in_flight)
    };
    for n in 0..2 {
        let asked = balancer.send(get(&format!("given-up-{n}")));
        assert!(timeout(SECOND / 10, asked).await.is_err());
    }
    settle().await;
    assert_eq!(busy(), (2, Some(2)));
    assert_eq!(pool.stats().in_use, 2);
    // The container has answered both.
    sleep(SECOND).await;
    assert_eq!((busy(), pool.stats().in_use), ((0, Some(0)), 0));
    // Also over a pool that the member was given later, and where it is removed meanwhile.
    let other = container.client(config(SECOND * 3)).pool().clone();
    balancer.set_pool("a", other).unwrap();
    let asked = balancer.send(get("given-up-2"));
    assert!(timeout(SECOND / 10, asked).await.is_err());
    settle().await;
    assert_eq!(busy(), (1, Some(1)));
    balancer.remove("a").unwrap();
    sleep(SECOND * 4).await;
    assert!(balancer.snapshot().members.is_empty());
}

/// These learn at once that there is nobody.
#[tokio::test(start_paused = true)]
async fn a_container_that_reads_or_writes_is_not_waited_for() {
    let container = Container::new(|_, mut end: End| async move {
        let request = end.request().await.unwrap();
        if request.req_uri() == b"/large" {
            end.write(&head(200, &[])).await;
            // More than anybody reads for nobody; the last write fails.
            for _ in 0..100 {
                end.write(&chunk(&[b'x'; 8000])).await;
            }
        } else {
            end.write(&get_body_chunk(100)).await;
        }
        end.payload().await;
    });
    let client = container.client(config(SECOND * 30));
    let never = StreamBody::new(futures_util::stream::pending::<
        Result<http_body::Frame<Bytes>, Infallible>,
    >());
    let upload = Request::post("/upload").body(never).unwrap();
    assert!(timeout(SECOND, client.send(upload)).await.is_err());
    settle().await;
    assert_eq!((client.pool().stats().in_use, container.open()), (0, 0));
    let mut answer = client.send(get("large")).await.unwrap();
    answer.body_mut().frame().await.unwrap().unwrap();
    drop(answer);
    let start = Instant::now();
    while client.pool().stats().in_use > 0 {
        sleep(Duration::from_millis(1)).await;
    }
    assert!(start.elapsed() < SECOND, "{:?}", start.elapsed());
    assert_eq!(container.open(), 0);
}

/// In the middle of an answer that takes its time.
#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_read_to_its_end_is_read_for_nobody() {
    let container = Container::new(|_, mut end: End| async move {
        while let Some(request) = end.request().await {
            if request.req_uri() == b"/slow" {
                end.write(&head(200, &[])).await;
                end.write(&chunk(b"part")).await;
                sleep(SECOND).await;
                end.write(&chunk(b"rest")).await;
                end.write(&ajp_end()).await;
            } else {
                end.write(&response(&token(&request), 1)).await;
            }
        }
    });
    let client = container.client(config(SECOND * 3).with_max_connections(1));
    let mut answer = client.send(get("slow")).await.unwrap();
    answer.body_mut().frame().await.unwrap().unwrap();
    drop(answer);
    let start = Instant::now();
    assert_eq!(fetch(&client, "next").await.unwrap(), "next");
    assert_eq!((start.elapsed(), container.opened()), (SECOND, 1));
}

/// End Response; the connection may be used again.
fn ajp_end() -> Vec<u8> {
    crate::raw::packets::answer_packet(&[5, 1])
}
