//! A Tomcat that closes idle connections long before the pool would.

use super::{client, config, echoes};
use crate::support::random::Random;
use crate::support::tomcat::Tomcat;
use ajp::client::{CPingMode, Client};
use http::Method;
use std::time::Duration;
use tokio::task::JoinSet;

const CALLERS: usize = 8;

/// All callers at once, with methods in turn.
async fn burst(client: &Client, methods: &[Method], tokens: std::ops::Range<usize>) {
    let mut callers = JoinSet::new();
    for token in tokens {
        let (client, method) = (client.clone(), methods[token % methods.len()].clone());
        callers.spawn(async move { (echoes(&client, &method, token).await, method) });
    }
    while let Some(done) = callers.join_next().await {
        let (result, method) = done.unwrap();
        result.unwrap_or_else(|error| panic!("{method}: {error:?}"));
    }
}

/// Callers come back after pauses around the time at which Tomcat closes, which it looks after
/// once a second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shorter_than_the_pools_idle_timeout() {
    let tomcat = Tomcat::builder()
        .connector_attr("keepAliveTimeout", "1500")
        .start()
        .await;
    let config = || config().with_idle_timeout(Duration::from_secs(60));
    // CPing after a second of idleness, before Tomcat closes: any method is safe.
    let probing = client(&tomcat, config());
    let any = [Method::GET, Method::POST, Method::PUT, Method::HEAD];
    // Without it a connection may close under a request, which is then sent again.
    let trusting = client(&tomcat, config().with_cping(CPingMode::NEVER));
    let bodiless = [Method::GET, Method::HEAD];
    let mut random = Random::new(4);
    for round in 0..8 {
        let tokens = round * CALLERS..(round + 1) * CALLERS;
        tokio::join!(
            burst(&probing, &any, tokens.clone()),
            burst(&trusting, &bodiless, tokens),
        );
        let pause = 1200 + random.below(1600);
        tokio::time::sleep(Duration::from_millis(pause as u64)).await;
    }
    // Longer than Tomcat takes to close all: then a look at the socket is enough.
    tokio::time::sleep(Duration::from_secs(3)).await;
    for client in [probing, trusting] {
        let before = client.pool().stats();
        assert!(
            before.created > CALLERS as u64,
            "Tomcat closed none: {before:?}"
        );
        assert!(before.idle > 0, "{before:?}");
        echoes(&client, &Method::POST, 0).await.unwrap();
        let after = client.pool().stats();
        assert_eq!(after.created, before.created + 1, "{before:?} {after:?}");
    }
}
