//! A Tomcat that goes away and comes back.

use super::{client, config, echoes, exchange, get};
use crate::support::tomcat::Tomcat;
use ajp::client::{Client, ReplayBody, RetryPolicy};
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::RwLock;
use tokio::task::JoinSet;
use tower::retry::budget::TpsBudget;
use tower::{ServiceBuilder, ServiceExt};

const WORKERS: usize = 20;
const METHODS: [Method; 4] = [Method::GET, Method::HEAD, Method::PUT, Method::DELETE];

/// Requests, and how often Tomcat was away between them.
#[derive(Default)]
struct Run {
    done: AtomicUsize,
    over: AtomicBool,
    /// Held for reading while a request runs, for writing while Tomcat is away.
    running: RwLock<()>,
}

impl Run {
    async fn reach(&self, count: usize) {
        while self.done.load(Ordering::SeqCst) < count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn work(client: Client, run: Arc<Run>, worker: usize) {
    for turn in 0.. {
        if run.over.load(Ordering::SeqCst) {
            return;
        }
        let _running = run.running.read().await;
        let method = &METHODS[(worker + turn) % METHODS.len()];
        let token = worker * 1_000_000 + turn;
        let result = echoes(&client, method, token).await;
        result.unwrap_or_else(|error| panic!("{method} {token}: {error:?}"));
        run.done.fetch_add(1, Ordering::SeqCst);
    }
}

/// Twenty callers at a time; between two of their requests Tomcat is restarted, or killed and
/// started again. All connections of the pool are stale then, and nobody notices.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stale_connections_are_no_errors() {
    let mut tomcat = Tomcat::builder().start().await;
    let client = client(&tomcat, config());
    let run = Arc::new(Run::default());
    let mut workers = JoinSet::new();
    for worker in 0..WORKERS {
        workers.spawn(work(client.clone(), Arc::clone(&run), worker));
    }
    for round in 0..3 {
        run.reach((round + 1) * 400).await;
        let stopped = run.running.write().await;
        let before = client.pool().stats();
        assert_eq!(before.in_use, 0, "{before:?}");
        assert!(before.idle > 5, "{before:?}");
        if round == 1 {
            tomcat.kill_9();
        }
        tomcat.restart().await;
        drop(stopped);
        run.reach((round + 1) * 400 + 200).await;
        let after = client.pool().stats();
        assert!(after.created > before.created, "{after:?}");
    }
    run.over.store(true, Ordering::SeqCst);
    while let Some(worker) = workers.join_next().await {
        worker.unwrap();
    }
}

/// Tomcat is killed in the middle of everything. With the retry policy every idempotent
/// request is answered all the same, once it is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_under_load_is_waited_out_by_the_policy() {
    let mut tomcat = Tomcat::builder().start().await;
    let client = client(&tomcat, config());
    let policy = RetryPolicy::new()
        .with_retries(10)
        .with_pause(Duration::from_millis(50))
        .with_budget(TpsBudget::new(Duration::from_secs(60), 1000, 1.0));
    let run = Arc::new(Run::default());
    let mut workers = JoinSet::new();
    for worker in 0..WORKERS {
        let service = ServiceBuilder::new()
            .map_request(|request: Request<Full<Bytes>>| {
                request.map(|body| ReplayBody::new(body, 65536))
            })
            .retry(policy.clone())
            .service(client.clone());
        let run = Arc::clone(&run);
        workers.spawn(async move {
            while !run.over.load(Ordering::SeqCst) {
                let method = &METHODS[worker % METHODS.len()];
                let request = super::request(method, "/app/hello", Bytes::from("a body"));
                let response = service.clone().oneshot(request).await.unwrap();
                assert_eq!(response.status(), 200);
                let body = response.into_body().collect().await.unwrap().to_bytes();
                let expected = if method == Method::HEAD {
                    ""
                } else {
                    "Hello, AJP!\n"
                };
                assert_eq!(body, expected);
                run.done.fetch_add(1, Ordering::SeqCst);
            }
        });
    }
    run.reach(1000).await;
    tomcat.kill_9();
    let down = run.done.load(Ordering::SeqCst);
    tomcat.restart().await;
    run.reach(down + 1000).await;
    run.over.store(true, Ordering::SeqCst);
    while let Some(worker) = workers.join_next().await {
        worker.unwrap();
    }
    assert_eq!(exchange(&client, get("/app/hello")).await.unwrap().0, 200);
}
