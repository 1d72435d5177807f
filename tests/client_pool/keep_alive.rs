//! Closing ahead of the container's `keepAliveTimeout`, configured and learned.

use crate::memory::{Container, End, SECOND, fetch, well};
use crate::raw::backend::token;
use crate::raw::packets::response;
use ajp::client::{Client, CloseCause, PoolConfig};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// Answers until it was idle for as long as the container keeps it, or is restarted.
async fn serve(mut end: End, keep: Arc<Mutex<Duration>>, mut restart: watch::Receiver<u32>) {
    restart.mark_unchanged();
    loop {
        let keep = *keep.lock().unwrap();
        let request = tokio::select! {
            request = timeout(keep, end.request()) => request,
            _ = restart.changed() => return,
        };
        let Ok(Some(request)) = request else {
            return;
        };
        end.write(&response(&token(&request), 1)).await;
    }
}

struct Tomcat {
    container: Container,
    keep: Arc<Mutex<Duration>>,
    restart: watch::Sender<u32>,
}

impl Tomcat {
    fn keeping(time: Duration) -> Self {
        let keep = Arc::new(Mutex::new(time));
        let (restart, restarts) = watch::channel(0);
        let shared = Arc::clone(&keep);
        let container =
            Container::new(move |_, end| serve(end, Arc::clone(&shared), restarts.clone()));
        Self {
            container,
            keep,
            restart,
        }
    }

    fn client(&self, config: PoolConfig) -> Client {
        self.container.client(config)
    }
}

/// Requests, so far apart.
async fn requests(client: &Client, pauses: &[u64]) {
    for pause in pauses {
        sleep(SECOND * u32::try_from(*pause).unwrap()).await;
        well(client, "again").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_configured_timeout_is_never_met() {
    let tomcat = Tomcat::keeping(SECOND * 20);
    let config = PoolConfig::default().with_container_keep_alive(SECOND * 20);
    let client = tomcat.client(config);
    well(&client, "first").await;
    requests(&client, &[17, 18, 19, 20, 21, 25]).await;
    let stats = client.pool().stats();
    assert_eq!(stats.closed_by(CloseCause::KeepAlive), 5, "{stats:?}");
    assert_eq!((stats.closed, stats.reused), (5, 1));
    assert_eq!(stats.keep_alive_learned, None);
}

#[tokio::test(start_paused = true)]
async fn two_closes_teach() {
    let tomcat = Tomcat::keeping(SECOND * 20);
    let client = tomcat.client(PoolConfig::default());
    well(&client, "first").await;
    requests(&client, &[25]).await;
    assert_eq!(client.pool().stats().keep_alive_learned, None);
    requests(&client, &[22]).await;
    let stats = client.pool().stats();
    assert_eq!(stats.keep_alive_learned, Some(SECOND * 25));
    assert_eq!(stats.closed_by(CloseCause::ClosedByPeer), 2);
    // The shorter of the two has only been seen once, until now.
    requests(&client, &[21]).await;
    assert_eq!(client.pool().stats().keep_alive_learned, Some(SECOND * 22));
    // From now on the pool is first.
    requests(&client, &[20, 21, 22, 25]).await;
    let stats = client.pool().stats();
    assert_eq!(stats.closed_by(CloseCause::ClosedByPeer), 3);
    assert_eq!(stats.closed_by(CloseCause::KeepAlive), 4);
    requests(&client, &[19]).await;
    assert_eq!(client.pool().stats().reused, 1);
}

#[tokio::test(start_paused = true)]
async fn learning_can_be_switched_off() {
    let tomcat = Tomcat::keeping(SECOND * 20);
    let client = tomcat.client(PoolConfig::default().with_learn_keep_alive(false));
    well(&client, "first").await;
    requests(&client, &[25, 25, 25, 25]).await;
    let stats = client.pool().stats();
    assert_eq!(stats.keep_alive_learned, None);
    assert_eq!(stats.closed_by(CloseCause::ClosedByPeer), 4);
}

/// Restarts close in order too, now and then.
#[tokio::test(start_paused = true)]
async fn restarts_teach_nothing() {
    let tomcat = Tomcat::keeping(SECOND * 3600);
    let client = tomcat.client(PoolConfig::default());
    for n in 0..50 {
        let held: Vec<_> = futures_util::future::join_all((0..5).map(|_| fetch(&client, "x")))
            .await
            .into_iter()
            .map(Result::unwrap)
            .collect();
        assert_eq!(held.len(), 5);
        // All five were idle for a while when it restarts; none of them counts twice, and a
        // connection that outlives the same time says that it was no timeout.
        sleep(SECOND * 10).await;
        tomcat.restart.send_modify(|n| *n += 1);
        if n % 2 == 0 {
            tomcat.container.refuse(true);
            fetch(&client, "down").await.unwrap_err();
            tomcat.container.refuse(false);
        }
        well(&client, "up").await;
        sleep(SECOND * 20).await;
        well(&client, "still-up").await;
        let stats = client.pool().stats();
        assert_eq!(stats.keep_alive_learned, None, "round {n}: {stats:?}");
    }
    let stats = client.pool().stats();
    assert!(
        stats.closed_by(CloseCause::ClosedByPeer) >= 250,
        "{stats:?}"
    );
}

/// A timeout that was made longer is found out, by trying a little more now and then.
#[tokio::test(start_paused = true)]
async fn what_was_learned_is_unlearned() {
    let tomcat = Tomcat::keeping(SECOND * 10);
    let client = tomcat.client(PoolConfig::default());
    well(&client, "first").await;
    requests(&client, &[12, 12]).await;
    assert_eq!(client.pool().stats().keep_alive_learned, Some(SECOND * 12));
    *tomcat.keep.lock().unwrap() = SECOND * 3600;
    requests(&client, &[25]).await;
    assert_eq!(client.pool().stats().reused, 0);
    sleep(SECOND * 3000).await;
    well(&client, "later").await;
    assert_eq!(client.pool().stats().keep_alive_learned, None);
    requests(&client, &[25]).await;
    assert_eq!(client.pool().stats().reused, 1);
}
