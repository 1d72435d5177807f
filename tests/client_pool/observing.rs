//! What the observer is told and what the statistics count.

use crate::memory::{Container, End, SECOND, fetch, get, well};
use crate::raw::backend::token;
use crate::raw::packets::{chunk, head, response};
use ajp::client::{
    CPingMode, Client, CloseCause, ConnectionReport, ErrorKind, ExchangeOutcome, ExchangeReport,
    Mismatch, Observer, PoolConfig, PoolId, Timeouts,
};
use ajp::proto::Progress;
use ajp::wire::{
    CPONG, DecodeOptions, END_RESPONSE_CLOSE, END_RESPONSE_REUSE, PacketSize, ToContainer,
};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::time::{advance, sleep};

/// Writes down what it is told.
#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl Notes {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    fn note(&self, text: String) {
        self.0.lock().unwrap().push(text);
    }
}

fn ms(time: Duration) -> u128 {
    time.as_millis()
}

impl Observer for Notes {
    fn connection_opened(&self, pool: &PoolId, took: Duration) {
        let (name, peer) = (pool.name(), pool.peer());
        self.note(format!("{name} at {peer} opened {}", ms(took)));
    }

    fn connection_closed(&self, _: &PoolId, report: &ConnectionReport) {
        let ConnectionReport {
            cause,
            age,
            exchanges,
            bytes_in,
            bytes_out,
            ..
        } = *report;
        self.note(format!(
            "closed {} {} x{exchanges} {bytes_in}/{bytes_out}",
            cause.label(),
            ms(age)
        ));
    }

    fn acquired(&self, _: &PoolId, waited: Duration, reused: bool) {
        self.note(format!("acquired {} {reused}", ms(waited)));
    }

    fn acquire_failed(&self, _: &PoolId, took: Duration, error: ErrorKind) {
        self.note(format!("failed {} {}", ms(took), error.label()));
    }

    fn cping(&self, _: &PoolId, round_trip: Duration) {
        self.note(format!("cping {}", ms(round_trip)));
    }

    fn cping_failed(&self, _: &PoolId, took: Duration, error: ErrorKind) {
        self.note(format!("cping {} {}", ms(took), error.label()));
    }

    fn exchange_finished(&self, report: &ExchangeReport<'_>) {
        let phases = report.phases;
        let phase = |time: Option<Duration>| time.map_or("-".into(), |time| ms(time).to_string());
        self.note(format!(
            "{} {:?} {:?} {}: {} {} {} {} {} {} {}; {}/{}",
            report.outcome.label(),
            report.status,
            report.progress,
            report.reused,
            ms(phases.acquire),
            phase(phases.connect),
            phase(phases.cping),
            phase(phases.write),
            phase(phases.first_packet),
            phase(phases.body),
            ms(phases.total),
            report.bytes_in,
            report.bytes_out,
        ));
    }
}

/// 10 ms for `CPong`, 100 ms for the head, 1 s for the end.
async fn leisurely(mut end: End) {
    while let Some(payload) = end.payload().await {
        match ToContainer::parse(payload, &DecodeOptions::default()).unwrap() {
            ToContainer::CPing => {
                sleep(SECOND / 100).await;
                end.write(&CPONG).await;
            }
            ToContainer::ForwardRequest(request) => {
                sleep(SECOND / 10).await;
                end.write(&head(200, &[])).await;
                sleep(SECOND).await;
                let whole = response(&token(&request), 1);
                let rest = whole.len() - chunk(token(&request).as_bytes()).len() - 6;
                end.write(&whole[rest..]).await;
            }
            other => panic!("{other:?}"),
        }
    }
}

fn watched(container: &Container, config: PoolConfig) -> (Client, Arc<Notes>) {
    let notes = Arc::new(Notes::default());
    let client = container.client(config.with_name("shop").with_observer(Arc::clone(&notes)));
    (client, notes)
}

#[tokio::test(start_paused = true)]
async fn the_time_of_an_exchange_is_told_phase_by_phase() {
    let container = Container::new(|_, end| leisurely(end));
    container.connecting_takes(SECOND / 2);
    let config = PoolConfig::default()
        .with_cping(CPingMode::ALWAYS)
        .with_max_connections(1);
    let (client, notes) = watched(&container, config);
    well(&client, "first").await;
    let pool = client.pool();
    let sent = pool.stats().bytes_out - 5;
    let received = pool.stats().bytes_in - 5;
    let expected = [
        "shop at memory opened 500".to_owned(),
        "cping 10".to_owned(),
        "acquired 0 false".to_owned(),
        format!(
            "completed Some(200) Responding false: 0 500 10 0 100 1000 1610; {received}/{sent}"
        ),
    ];
    assert_eq!(notes.take(), expected);

    // Over the idle connection, after waiting for it.
    let held = client.send(get("held!")).await.unwrap();
    assert_eq!(notes.take(), ["cping 10", "acquired 0 true"]);
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { well(&client, "third").await }
    });
    sleep(SECOND / 4).await;
    held.into_body().collect().await.unwrap();
    waiting.await.unwrap();
    let expected = [
        format!("completed Some(200) Responding true: 0 - 10 0 100 1000 1110; {received}/{sent}"),
        "cping 10".to_owned(),
        "acquired 1000 true".to_owned(),
        format!(
            "completed Some(200) Responding true: 1000 - 10 0 100 1000 2110; {received}/{sent}"
        ),
    ];
    assert_eq!(notes.take(), expected);

    let stats = pool.stats();
    assert_eq!((stats.completed, stats.created, stats.reused), (3, 1, 2));
    assert_eq!(stats.bytes_in, 3 * (received + 5));
    assert_eq!(stats.bytes_out, 3 * (sent + 5));
    drop(client);
    let age = 3 * 1110;
    let bytes = format!("{}/{}", stats.bytes_in, stats.bytes_out);
    assert_eq!(notes.take(), [format!("closed pool_shut {age} x3 {bytes}")]);
}

#[tokio::test(start_paused = true)]
async fn failures_are_told_once_each() {
    let container = Container::new(|number, mut end| async move {
        if number == 0 {
            end.request().await;
            end.write(&head(200, &[])).await;
        }
        end.silent().await;
    });
    let limits = Timeouts::default()
        .with_cping(SECOND)
        .with_response_head(SECOND * 2);
    let config = PoolConfig::default()
        .with_max_waiting(0)
        .with_max_connections(1)
        .with_timeouts(limits);
    let (client, notes) = watched(&container, config);

    // Dropped in the middle of the body.
    let response = client.send(get("x")).await.unwrap();
    let error = fetch(&client, "y").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::QueueFull);
    sleep(SECOND).await;
    drop(response);
    let told = notes.take();
    assert_eq!(
        told[..3],
        [
            "shop at memory opened 0",
            "acquired 0 false",
            "failed 0 queue_full"
        ]
    );
    assert!(told[3].starts_with("closed dropped 1000 x1 "), "{told:?}");
    assert!(told[4].starts_with("dropped Some(200) Responding false: 0 0 - 0 0 1000 1000; "));
    assert_eq!(told.len(), 5);

    // A timeout, and the same error asked for again.
    let lease = client.pool().acquire().await.unwrap();
    let line = ajp::wire::RequestLine::default();
    let mut exchange = lease
        .begin(false, |buffer, size| {
            ajp::wire::ForwardRequestWriter::new(buffer, size, &line)?.finish()
        })
        .unwrap();
    for _ in 0..2 {
        let error = exchange.next_event().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ResponseHeadTimeout);
    }
    drop(exchange);
    let told = notes.take();
    assert!(told[2].starts_with("closed timeout 2000 x1 0/"), "{told:?}");
    assert!(
        told[3].starts_with("response_head_timeout None RequestSent false: 0 0 - 0 - - 2000; 0/")
    );
    assert_eq!(told.len(), 4);

    // No answer to CPing.
    client.pool().ping().await.unwrap_err();
    let told = notes.take();
    assert_eq!(
        told[2..],
        ["cping 1000 cping_timeout", "closed cping 1000 x0 0/5"]
    );

    container.refuse(true);
    fetch(&client, "z").await.unwrap_err();
    assert_eq!(notes.take(), ["failed 0 connect"]);

    let stats = client.pool().stats();
    for kind in [
        ErrorKind::QueueFull,
        ErrorKind::ResponseHeadTimeout,
        ErrorKind::CPingTimeout,
        ErrorKind::Connect,
    ] {
        assert_eq!(stats.failed_with(kind), 1, "{kind:?}");
    }
    assert_eq!((stats.failed, stats.completed), (4, 0));
    assert_eq!((stats.timeouts.response_head, stats.timeouts.cping), (1, 1));
    for cause in [CloseCause::Dropped, CloseCause::Timeout, CloseCause::CPing] {
        assert_eq!(stats.closed_by(cause), 1, "{cause:?}");
    }
    assert_eq!((stats.created, stats.closed, stats.idle), (3, 3, 0));
    let text = format!("{stats:?}");
    assert!(
        text.contains("failed_with: {QueueFull: 1, Connect: 1"),
        "{text}"
    );
}

/// Why connections are closed at the end of an exchange.
#[tokio::test(start_paused = true)]
async fn the_cause_of_a_close_is_told_apart() {
    let good = response("x", 1);
    let cases = [
        (response("x", 0), CloseCause::NoReuse),
        ([good.clone(), vec![0x41]].concat(), CloseCause::StrayData),
        ([good.clone(), good.clone()].concat(), CloseCause::StrayData),
        (vec![0; 9], CloseCause::Protocol),
        (good[..9].to_vec(), CloseCause::Broken),
        (
            [ajp::wire::get_body_chunk(1).to_vec(), good].concat(),
            CloseCause::Unclean,
        ),
    ];
    for (answer, cause) in cases {
        let container = Container::new(move |_, mut end| {
            let answer = answer.clone();
            async move {
                end.request().await;
                end.write(&answer).await;
            }
        });
        let client = container.client(PoolConfig::default());
        let body = http_body_util::StreamBody::new(futures_util::stream::pending::<
            Result<http_body::Frame<Bytes>, std::convert::Infallible>,
        >());
        if cause == CloseCause::Unclean {
            let request = Request::post("/x").body(body).unwrap();
            let response = client.send(request).await.unwrap();
            response.into_body().collect().await.unwrap();
        } else {
            let _ = fetch(&client, "x").await;
        }
        let stats = client.pool().stats();
        assert_eq!((stats.closed_by(cause), stats.closed), (1, 1), "{stats:?}");
        assert_eq!((stats.in_use, stats.idle, container.open()), (0, 0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn the_largest_packets_are_known() {
    let container = Container::well();
    let client = container.client(PoolConfig::default());
    let token = "t".repeat(3000);
    well(&client, &token).await;
    let stats = client.pool().stats();
    assert_eq!(stats.largest_in, chunk(token.as_bytes()).len());
    assert_eq!(stats.largest_out as u64, stats.bytes_out);
    let request = Request::post("/x").body(Full::new(Bytes::from(vec![0; 20_000])));
    let response = client.send(request.unwrap()).await.unwrap();
    response.into_body().collect().await.unwrap();
    assert_eq!(client.pool().stats().largest_out, 8192);
}

#[tokio::test(start_paused = true)]
async fn the_round_trip_is_averaged() {
    let container = Container::new(|_, mut end| async move {
        let mut time = SECOND / 10;
        while end.payload().await.is_some() {
            sleep(time).await;
            end.write(&CPONG).await;
            time += SECOND / 10;
        }
    });
    let client = container.client(PoolConfig::default().with_cping(CPingMode::NEVER));
    assert_eq!(client.pool().stats().cping_last, None);
    for (last, average) in [(100.0, 100.0), (200.0, 112.5), (300.0, 135.9375)] {
        client.pool().ping().await.unwrap();
        let stats = client.pool().stats();
        let ms = |time: Option<Duration>| time.unwrap().as_secs_f64() * 1000.0;
        assert!((ms(stats.cping_last) - last).abs() < 0.001);
        assert!((ms(stats.cping_average) - average).abs() < 0.001);
    }
}

/// Panics whenever it is told anything.
struct Hysterical;

impl Observer for Hysterical {
    fn connection_opened(&self, _: &PoolId, _: Duration) {
        panic!("opened");
    }

    fn connection_closed(&self, _: &PoolId, _: &ConnectionReport) {
        panic!("closed");
    }

    fn acquired(&self, _: &PoolId, _: Duration, _: bool) {
        panic!("acquired");
    }

    fn acquire_failed(&self, _: &PoolId, _: Duration, _: ErrorKind) {
        panic!("failed");
    }

    fn cping(&self, _: &PoolId, _: Duration) {
        panic!("cping");
    }

    fn wants_exchanges(&self) -> bool {
        panic!("wanted");
    }

    fn exchange_finished(&self, _: &ExchangeReport<'_>) {
        panic!("finished");
    }
}

#[tokio::test(start_paused = true)]
async fn an_observer_that_panics_breaks_nothing() {
    let container = Container::well();
    let config = PoolConfig::default()
        .with_observer(Hysterical)
        .with_cping(CPingMode::ALWAYS)
        .with_max_connections(1)
        .with_idle_timeout(SECOND * 10);
    let client = container.client(config);
    for n in 0..3 {
        well(&client, &format!("{n}")).await;
        drop(client.send(get("dropped")).await.unwrap());
        advance(SECOND * 10).await;
    }
    container.refuse(true);
    fetch(&client, "refused").await.unwrap_err();
    container.refuse(false);
    well(&client, "last").await;
    let stats = client.pool().stats();
    assert_eq!((stats.in_use, stats.idle, container.open()), (0, 1, 1));
    assert_eq!(stats.created - stats.closed, 1);
}

/// An observer may look at the pool, also while it is told of a close.
#[tokio::test(start_paused = true)]
async fn an_observer_may_ask_for_the_statistics() {
    #[derive(Default)]
    struct Curious(
        Mutex<Option<ajp::client::Pool>>,
        Mutex<Vec<ExchangeOutcome>>,
    );

    impl Observer for Curious {
        fn connection_closed(&self, _: &PoolId, report: &ConnectionReport) {
            let stats = self.0.lock().unwrap().as_ref().unwrap().stats();
            assert!(stats.closed_by(report.cause) > 0);
        }

        fn exchange_finished(&self, report: &ExchangeReport<'_>) {
            assert_eq!(report.progress, Progress::Responding);
            let stats = self.0.lock().unwrap().as_ref().unwrap().stats();
            assert!(stats.completed > 0);
            self.1.lock().unwrap().push(report.outcome);
        }
    }

    let container = Container::well();
    let curious = Arc::new(Curious::default());
    let config = PoolConfig::default()
        .with_observer(Arc::clone(&curious))
        .with_max_idle(1);
    let client = container.client(config);
    *curious.0.lock().unwrap() = Some(client.pool().clone());
    let held = client.send(get("held")).await.unwrap();
    well(&client, "other").await;
    held.into_body().collect().await.unwrap();
    assert_eq!(*curious.1.lock().unwrap(), [ExchangeOutcome::Completed; 2]);
    assert_eq!(client.pool().stats().closed_by(CloseCause::Surplus), 1);
    *curious.0.lock().unwrap() = None;
}

/// A container that closes under a long head, or answers it with 400, takes smaller packets; one
/// that answers 403 and closes refuses the secret. Neither is told of short heads and of
/// connections that are kept.
#[tokio::test(start_paused = true)]
async fn settings_that_differ_are_told() {
    #[derive(Default)]
    struct Mismatches(Mutex<Vec<Option<Mismatch>>>);
    impl Observer for Mismatches {
        fn exchange_finished(&self, report: &ExchangeReport<'_>) {
            self.0.lock().unwrap().push(report.mismatch);
        }
    }

    let container = Container::new(|_, mut end: End| async move {
        // Longer ones than the packets of the default size too.
        while let Ok(header) = end.stream.read_u32().await {
            let mut payload = vec![0; (header & 0xffff) as usize];
            end.stream.read_exact(&mut payload).await.unwrap();
            let answer = match (payload[..].windows(5).find(|w| w[0] == b'!'), payload.len()) {
                (Some(b"!keep"), _) => [head(403, &[]).as_slice(), &END_RESPONSE_REUSE].concat(),
                (Some(b"!403c"), _) => [head(403, &[]).as_slice(), &END_RESPONSE_CLOSE].concat(),
                (Some(b"!400c"), _) => [head(400, &[]).as_slice(), &END_RESPONSE_CLOSE].concat(),
                _ => return,
            };
            end.write(&answer).await;
        }
    });
    let told = Arc::new(Mismatches::default());
    let config = PoolConfig::new()
        .with_packet_size(PacketSize::MAX)
        .with_max_idle(0)
        .with_observer(Arc::clone(&told));
    let client = container.client(config);
    let send = async |path: &str, len: usize| {
        let request = Request::get(path).header("x", "t".repeat(len));
        let request = request.body(Full::new(Bytes::new())).unwrap();
        client.send(request).await?.into_body().collect().await
    };
    for (path, len, expected) in [
        ("/!keep", 1, None),
        ("/!keep", 9000, None),
        ("/!403c", 1, Some(Mismatch::Refused)),
        ("/!400c", 1, None),
        ("/!400c", 9000, Some(Mismatch::Cut)),
    ] {
        send(path, len).await.unwrap();
        assert_eq!(told.0.lock().unwrap().pop(), Some(expected), "{path} {len}");
    }
    let error = send("/!none", 1).await.unwrap_err();
    assert_eq!((error.kind(), error.mismatch()), (ErrorKind::Closed, None));
    let error = send("/!none", 9000).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.mismatch()),
        (ErrorKind::Closed, Some(Mismatch::Cut))
    );
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("packet size"), "{cause}");
    let stats = client.pool().stats();
    assert_eq!(
        (
            stats.mismatched(Mismatch::Refused),
            stats.mismatched(Mismatch::Cut),
            stats.last_mismatch.unwrap().0
        ),
        (1, 2, Mismatch::Cut)
    );
}

/// Nothing is measured for an observer that does not want to know, and it is asked each time.
#[tokio::test(start_paused = true)]
async fn exchanges_are_measured_while_somebody_wants_to_know() {
    #[derive(Default)]
    struct Sometimes(AtomicBool, Mutex<Vec<Duration>>);
    impl Observer for Sometimes {
        fn wants_exchanges(&self) -> bool {
            self.0.load(Ordering::Relaxed)
        }

        fn exchange_finished(&self, report: &ExchangeReport<'_>) {
            self.1.lock().unwrap().push(report.phases.total);
        }
    }
    let observer = Arc::new(Sometimes::default());
    let container = Container::new(|_, mut end| async move {
        while end.request().await.is_some() {
            sleep(SECOND).await;
            end.write(&head(200, &[])).await;
            end.write(&END_RESPONSE_REUSE).await;
        }
    });
    let config = PoolConfig::default().with_observer(Arc::clone(&observer));
    let client = container.client(config);
    for wanted in [false, true, false] {
        observer.0.store(wanted, Ordering::Relaxed);
        let response = client.send(get("page")).await.unwrap();
        let mut body = response.into_body();
        while let Some(frame) = body.frame().await {
            frame.unwrap();
        }
        assert_eq!(body.phases().total == SECOND, wanted);
        assert_eq!(body.phases().first_packet.is_some(), wanted);
    }
    assert_eq!(*observer.1.lock().unwrap(), [SECOND]);
}

/// The name of a request is in the report, and in an error of it, whenever that comes.
#[tokio::test(start_paused = true)]
async fn a_request_has_a_name() {
    #[derive(Default)]
    struct Names(std::sync::Mutex<Vec<Option<String>>>);
    impl Observer for Names {
        fn exchange_finished(&self, report: &ExchangeReport<'_>) {
            let name = report.request_id.map(str::to_owned);
            self.0.lock().unwrap().push(name);
        }
    }
    let names = std::sync::Arc::new(Names::default());
    let container = Container::new(|_, mut end| async move {
        if end.request().await.is_some() {
            // A head, and then nothing.
            end.write(&head(200, &[])).await;
            end.silent().await;
        }
    });
    let timeouts = Timeouts::default()
        .with_between_packets(SECOND)
        .with_acquire(SECOND);
    let config = PoolConfig::default()
        .with_observer(std::sync::Arc::clone(&names))
        .with_max_connections(1)
        .with_timeouts(timeouts);
    let client = container.client(config);
    let request = |name: &str| {
        let mut page = get("page");
        let name = ajp::client::RequestId::new(name).unwrap();
        page.extensions_mut().insert(name);
        page
    };
    let response = client.send(request("one")).await.unwrap();
    let waiting = client.send(request("two")).await.unwrap_err();
    assert_eq!(waiting.request_id().unwrap().as_str(), "two");
    let error = response.into_body().collect().await.unwrap_err();
    assert_eq!(error.request_id().unwrap().as_str(), "one");
    let mut impossible = request("three");
    impossible
        .headers_mut()
        .insert("transfer-encoding", "gzip".parse().unwrap());
    let refused = client.send(impossible).await.unwrap_err();
    assert_eq!(refused.request_id().unwrap().as_str(), "three");
    drop(client.send(get("page")).await.unwrap());
    assert_eq!(*names.0.lock().unwrap(), [Some("one".to_owned()), None]);
    for bad in ["", "two words", "\n", &"x".repeat(129)] {
        assert!(ajp::client::RequestId::new(bad).is_err(), "{bad:?}");
    }
}
