//! `CPing`: when it is asked, and what it costs when nobody answers.

use crate::memory::{Container, End, SECOND, fetch, fill, well};
use crate::raw::backend::{limits, token};
use crate::raw::packets::response;
use ajp::client::{CPingMode, CloseCause, ErrorKind, PoolConfig, RequestTimeouts, Retry};
use ajp::proto::Progress;
use ajp::wire::{CPING, CPONG, DecodeOptions, ToContainer};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use tokio::time::{Instant, advance, sleep};

/// Answers everything and counts the probes.
async fn counting(mut end: End, probes: Arc<AtomicUsize>) {
    while let Some(payload) = end.payload().await {
        match ToContainer::parse(payload, &DecodeOptions::default()).unwrap() {
            ToContainer::CPing => {
                probes.fetch_add(1, SeqCst);
                sleep(SECOND / 100).await;
                end.write(&CPONG).await;
            }
            ToContainer::ForwardRequest(request) => {
                end.write(&response(&token(&request), 1)).await;
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn each_mode_asks_when_it_says() {
    // After connecting, at once, after 3 s, after 5 s.
    for (mode, expected) in [
        (CPingMode::NEVER, [0, 0, 0, 0]),
        (CPingMode::ON_CONNECT, [1, 1, 1, 1]),
        (CPingMode::idle_longer_than(SECOND * 5), [0, 0, 0, 1]),
        (CPingMode::idle_longer_than(SECOND * 3), [0, 0, 1, 2]),
        (
            CPingMode::idle_longer_than(SECOND * 5).and_on_connect(),
            [1, 1, 1, 2],
        ),
        (CPingMode::ALWAYS, [1, 2, 3, 4]),
        (CPingMode::default(), [0, 0, 1, 2]),
    ] {
        let probes = Arc::new(AtomicUsize::new(0));
        let sink = Arc::clone(&probes);
        let container = Container::new(move |_, end| counting(end, Arc::clone(&sink)));
        let client = container.client(PoolConfig::default().with_cping(mode));
        let mut seen = [0; 4];
        for (n, pause) in [0, 0, 3, 5].into_iter().enumerate() {
            advance(SECOND * pause).await;
            well(&client, "x").await;
            seen[n] = probes.load(SeqCst);
        }
        assert_eq!(seen, expected, "{mode:?}");
        assert_eq!(container.opened(), 1);
        let stats = client.pool().stats();
        let answered = (expected[3] > 0).then_some(SECOND / 100);
        assert_eq!(
            (stats.cping_last, stats.cping_average),
            (answered, answered)
        );
    }
}

/// A container whose first connections fall silent, or worse, when the switch is thrown.
struct Dying {
    container: Container,
    dead: Arc<AtomicBool>,
}

impl Dying {
    /// Connections below `old` answer a request after the switch was thrown only with what
    /// `last` does.
    fn new<F>(old: usize, last: impl Fn(End) -> F + Send + Sync + Copy + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let dead = Arc::new(AtomicBool::new(false));
        let switch = Arc::clone(&dead);
        let container = Container::new(move |number, mut end| {
            let dead = Arc::clone(&switch);
            async move {
                while let Some(payload) = end.payload().await {
                    if dead.load(SeqCst) && number < old {
                        return last(end).await;
                    }
                    match ToContainer::parse(payload, &DecodeOptions::default()).unwrap() {
                        ToContainer::CPing => end.write(&CPONG).await,
                        ToContainer::ForwardRequest(request) => {
                            end.write(&response(&token(&request), 1)).await;
                        }
                        other => panic!("{other:?}"),
                    }
                }
            }
        });
        Self { container, dead }
    }

    fn die(&self) {
        self.dead.store(true, SeqCst);
    }
}

fn config() -> PoolConfig {
    PoolConfig::default()
        .with_cping(CPingMode::default())
        .with_idle_timeout(None)
        .with_timeouts(limits())
}

/// Twenty dead connections cost one limit, not twenty.
#[tokio::test(start_paused = true)]
async fn one_probe_that_times_out_condemns_the_older_ones() {
    let dying = Dying::new(20, End::silent);
    let client = dying.container.client(config().with_max_connections(20));
    fill(&client, 20).await;
    dying.die();
    advance(SECOND * 60).await;
    let start = Instant::now();
    well(&client, "saved").await;
    assert_eq!(start.elapsed(), SECOND * 5);
    let stats = client.pool().stats();
    assert_eq!(stats.closed_by(CloseCause::CPing), 1);
    assert_eq!(stats.closed_by(CloseCause::Unresponsive), 19);
    assert_eq!((stats.timeouts.cping, stats.failed), (1, 0));
    assert_eq!((stats.idle, dying.container.open()), (1, 1));
}

/// What was put back while the probe waited is alive.
#[tokio::test(start_paused = true)]
async fn a_connection_that_came_back_meanwhile_is_no_suspect() {
    let dying = Dying::new(2, End::silent);
    let client = dying.container.client(config());
    fill(&client, 2).await;
    dying.die();
    advance(SECOND * 60).await;
    let slow = tokio::spawn({
        let client = client.clone();
        async move { well(&client, "slow").await }
    });
    sleep(SECOND).await;
    client
        .pool()
        .acquire_fresh(&RequestTimeouts::new())
        .await
        .unwrap();
    let fresh = client.pool().replenish().await.unwrap();
    assert_eq!(fresh, 0);
    // The second old one is idle still, below what comes back now.
    let lease = client.pool().acquire_fresh(&RequestTimeouts::new()).await;
    let exchange = lease.unwrap().begin(false, |buffer, size| {
        let line = ajp::wire::RequestLine {
            req_uri: b"/fresh",
            ..Default::default()
        };
        ajp::wire::ForwardRequestWriter::new(buffer, size, &line)?.finish()
    });
    let mut exchange = exchange.unwrap();
    while exchange.next_event().await.unwrap() != ajp::proto::ClientEvent::End {}
    assert_eq!(client.pool().stats().idle, 2);
    slow.await.unwrap();
    let stats = client.pool().stats();
    assert_eq!(stats.closed_by(CloseCause::Unresponsive), 1, "{stats:?}");
    assert_eq!(stats.closed_by(CloseCause::CPing), 1);
    assert_eq!(stats.idle, 2);
}

/// Probes that fail late, but not by silence, share the limit of one.
#[tokio::test(start_paused = true)]
async fn all_probes_together_take_no_longer_than_one() {
    let dying = Dying::new(20, |end: End| async move {
        sleep(SECOND * 2).await;
        drop(end);
    });
    let client = dying.container.client(config().with_max_connections(20));
    fill(&client, 20).await;
    dying.die();
    advance(SECOND * 60).await;
    let start = Instant::now();
    well(&client, "saved").await;
    assert_eq!(start.elapsed(), SECOND * 5);
    let stats = client.pool().stats();
    assert_eq!(stats.closed_by(CloseCause::CPing), 3);
    assert_eq!(stats.closed_by(CloseCause::Unresponsive), 17);
    assert_eq!(stats.timeouts.cping, 1);
}

/// Those that fail at once are looked through to the first that is alive.
#[tokio::test(start_paused = true)]
async fn probes_that_fail_at_once_cost_nothing() {
    for answer in [
        CPONG.repeat(2),
        vec![0x41, 0x42, 0, 1, 77],
        vec![1, 2, 3, 4],
    ] {
        let dying = Container::new(move |number, mut end| {
            let answer = answer.clone();
            async move {
                end.request().await;
                end.write(&response(&format!("fill-{number}"), 1)).await;
                while end
                    .payload()
                    .await
                    .is_some_and(|payload| payload == CPING[4..])
                {
                    end.write(if number == 0 { &CPONG } else { &answer }).await;
                    if number == 0 {
                        return end.serve_well().await;
                    }
                }
            }
        });
        let client = dying.client(config());
        fill(&client, 5).await;
        advance(SECOND * 60).await;
        let start = Instant::now();
        well(&client, "saved").await;
        assert!(start.elapsed() < SECOND / 10);
        let stats = client.pool().stats();
        assert_eq!(stats.closed_by(CloseCause::CPing), 4, "{stats:?}");
        assert_eq!((stats.created, stats.reused, stats.failed), (5, 1, 0));
    }
}

/// Half of what is left of the acquire is for the new connection.
#[tokio::test(start_paused = true)]
async fn probes_leave_time_for_a_new_connection() {
    let dying = Dying::new(3, End::silent);
    let client = dying.container.client(config());
    fill(&client, 3).await;
    dying.die();
    advance(SECOND * 60).await;
    dying.container.connecting_takes(SECOND);
    let start = Instant::now();
    let short = RequestTimeouts::new().with_acquire(SECOND * 4);
    let answer = crate::memory::fetch_with(&client, "saved", short).await;
    assert_eq!(answer.unwrap(), "saved");
    assert_eq!(start.elapsed(), SECOND * 3);
    // Two seconds are no proof: the others stay for those who have more time.
    let stats = client.pool().stats();
    assert_eq!(stats.closed_by(CloseCause::Unresponsive), 0);
    assert_eq!((stats.closed_by(CloseCause::CPing), stats.idle), (1, 3));
}

#[tokio::test(start_paused = true)]
async fn a_new_connection_that_fails_is_an_error() {
    type Act = fn(End) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;
    let wrong: Act = |mut end| {
        Box::pin(async move {
            end.payload().await;
            end.write(&response("poison", 1)).await;
            end.silent().await;
        })
    };
    let cases: [(Act, ErrorKind, Duration); 3] = [
        (
            |end| Box::pin(end.silent()),
            ErrorKind::CPingTimeout,
            SECOND * 5,
        ),
        (|_| Box::pin(async {}), ErrorKind::CPing, Duration::ZERO),
        (wrong, ErrorKind::CPing, Duration::ZERO),
    ];
    for (act, kind, time) in cases {
        let container = Container::new(move |_, end| act(end));
        let client = container.client(config().with_cping(CPingMode::ALWAYS));
        let start = Instant::now();
        let error = fetch(&client, "never").await.unwrap_err();
        assert_eq!(error.kind(), kind);
        assert_eq!(
            (error.progress(), error.retry()),
            (Progress::NotSent, Retry::Safe)
        );
        assert_eq!(start.elapsed(), time);
        let stats = client.pool().stats();
        assert_eq!(stats.closed_by(CloseCause::CPing), 1);
        assert_eq!((stats.in_use, stats.idle, container.open()), (0, 0, 0));
    }
}
