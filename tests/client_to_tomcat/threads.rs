//! More callers than Tomcat has threads.

use super::{client, config, exchange, get};
use crate::support::tomcat::Tomcat;
use ajp::client::{Client, ClientError, ErrorKind, PoolConfig, Timeouts};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const CALLERS: usize = 200;

/// All callers at once; how long the last one took, and the errors.
async fn storm(client: &Client, uri: &'static str) -> (Duration, Vec<ClientError>) {
    let start = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let client = client.clone();
        callers.spawn(async move { exchange(&client, get(uri)).await });
    }
    let mut errors = Vec::new();
    while let Some(done) = callers.join_next().await {
        match done.unwrap() {
            Ok((status, body)) => assert_eq!((status, &body[..]), (200, &b"slept\n"[..])),
            Err(error) => errors.push(error),
        }
    }
    (start.elapsed(), errors)
}

fn capped(cap: usize, acquire: Duration) -> PoolConfig {
    let timeouts = Timeouts::default().with_acquire(acquire);
    config().with_max_connections(cap).with_timeouts(timeouts)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_callers_and_five_threads() {
    let tomcat = Tomcat::builder().max_threads(5).start().await;
    let patient = Duration::from_secs(30);

    // With a cap that Tomcat can serve, and with one that is set too high.
    for cap in [5, 20] {
        let client = client(&tomcat, capped(cap, patient));
        let (_, errors) = storm(&client, "/app/sleep?ms=50").await;
        assert!(errors.is_empty(), "{errors:?}");
        let stats = client.pool().stats();
        assert_eq!(stats.in_use, 0, "{stats:?}");
        assert!(stats.created <= cap as u64, "{stats:?}");
    }

    // Whoever cannot be served in time is told so, in time, and by name.
    let client = client(&tomcat, capped(5, Duration::from_millis(500)));
    let (time, errors) = storm(&client, "/app/sleep?ms=300").await;
    assert!((1..CALLERS).contains(&errors.len()), "{}", errors.len());
    for error in &errors {
        assert_eq!(error.kind(), ErrorKind::AcquireTimeout, "{error:?}");
        assert_eq!(error.suggested_status(), 503);
    }
    assert!(time < Duration::from_secs(10), "{time:?}");
    let stats = client.pool().stats();
    assert_eq!(stats.in_use, 0, "{stats:?}");
    assert!(stats.created <= 5, "{stats:?}");
    // It was no harm to anybody.
    let (code, _) = exchange(&client, get("/app/hello")).await.unwrap();
    assert_eq!(code, 200);
}
