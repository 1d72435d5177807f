//! Many requests, each with a token of its own, against a container that breaks the
//! protocol at random: every response that is delivered is the request's own.
//!
//! `client_pool` does the same with many more in memory, where time is a fault too.
//!
//! Not among the faults: a second answer that arrives after the connection was checked and
//! before the next request is written. It cannot be told from the right one by anybody;
//! `idle` shows that one which is there at the check is found.

use crate::raw::Random;
use crate::raw::backend::{Backend, Conn, config, token};
use crate::raw::faults::{FAULTS, misbehave};
use crate::raw::packets::response;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const REQUESTS: usize = 2000;

async fn serve_badly(mut conn: Conn, seed: u64, wrong_bodies: Arc<AtomicUsize>) {
    let mut random = Random::new(seed);
    while let Some(request) = conn.request().await {
        let token = token(&request);
        let Some(body) = conn.body(&request).await else {
            return;
        };
        if request.method() == b"POST" && body != token.as_bytes() {
            wrong_bodies.fetch_add(1, Ordering::SeqCst);
        }
        if random.below(3) > 0 {
            conn.write(&response(&token, 1)).await;
            continue;
        }
        let (bytes, close) = misbehave(random.below(FAULTS), &token);
        conn.write(&bytes).await;
        if close {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_response_is_another_requests() {
    let wrong_bodies = Arc::new(AtomicUsize::new(0));
    let sink = Arc::clone(&wrong_bodies);
    let backend = Backend::start(config().with_max_connections(4), move |number, conn| {
        let seed = 0x5eed_0002_u64.wrapping_mul(number as u64 * 2 + 1);
        serve_badly(conn, seed, Arc::clone(&sink))
    })
    .await;
    let backend = &backend;
    let outcomes: Vec<_> = stream::iter(0..REQUESTS)
        .map(|i| async move {
            let token = format!("token-{i}");
            let outcome = if i % 4 == 0 {
                backend.post(&token, Bytes::from(token.clone())).await
            } else {
                backend.get(&token).await
            };
            (token, outcome)
        })
        .buffer_unordered(8)
        .collect()
        .await;
    let mut delivered = 0;
    for (token, outcome) in outcomes {
        if let Ok(answer) = outcome {
            assert_eq!(answer, (200, token));
            delivered += 1;
        }
    }
    assert_eq!(wrong_bodies.load(Ordering::SeqCst), 0);
    assert!(delivered > REQUESTS / 2, "{delivered} delivered");
    assert!(delivered < REQUESTS, "nothing went wrong");
    let stats = backend.client.pool().stats();
    assert_eq!(stats.in_use, 0);
    assert!(stats.idle <= 4);
    assert!(stats.reused > 200, "{stats:?}");
}
