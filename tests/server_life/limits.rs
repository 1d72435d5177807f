//! Limits in time and number.

use crate::hall::{App, Hall, settle, text};
use crate::raw::packets::{Answer, body, packet, refusal, request, request_with};
use crate::raw::site::Seen;
use ajp::Secret;
use ajp::server::{Monitor, ServerConfig, ServerTimeouts, Step, Trust};
use ajp::wire::{Attribute, AttributeCode, CPING};
use http_body_util::BodyExt;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn open() -> ServerConfig {
    ServerConfig::new(Trust::TrustedNetwork)
}

fn get(uri: &str) -> Vec<u8> {
    request("GET", uri, &[])
}

/// Within what the timer rounds up to.
#[track_caller]
fn assert_took(took: Duration, expected: Duration) {
    let slack = Duration::from_millis(5);
    assert!(
        took >= expected && took <= expected + slack,
        "{took:?}, not {expected:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn silence_ends_a_connection_after_its_limit_and_is_no_error() {
    let limits = ServerTimeouts::default()
        .with_first(seconds(3))
        .with_idle(seconds(7));
    let hall = Hall::open(open().with_timeouts(limits), App::echo_path());
    let mut silent = hall.connect();
    assert_took(silent.rest().await.1, seconds(3));
    // The limit begins again with every exchange and every probe.
    let mut used = hall.connect();
    sleep(seconds(2)).await;
    used.probe().await;
    sleep(seconds(6)).await;
    used.send(&get("/a")).await;
    assert_eq!(used.answer().await.body, "/a");
    sleep(seconds(6)).await;
    used.probe().await;
    assert_took(used.rest().await.1, seconds(7));
    assert_eq!(hall.errors(), []);
}

#[tokio::test(start_paused = true)]
async fn the_defaults_are_finite() {
    let hall = Hall::open(open(), App::echo_path());
    let mut fresh = hall.connect();
    assert_took(fresh.rest().await.1, seconds(20));
    let mut used = hall.connect();
    used.send(&get("/a")).await;
    used.answer().await;
    assert_took(used.rest().await.1, seconds(60));
    let mut started = hall.connect();
    started.send(&[0x12]).await;
    assert_took(started.rest().await.1, seconds(10));
    assert_eq!(hall.errors(), [Seen::Timeout(Step::Packet)]);
}

#[tokio::test(start_paused = true)]
async fn a_packet_must_be_whole_in_time_however_it_trickles() {
    let hall = Hall::open(open(), App::echo_path());
    let mut guest = hall.connect();
    let whole = get(&format!("/{}", "x".repeat(200)));
    let start = Instant::now();
    let mut sent = 0;
    for byte in whole {
        if guest.stream.is_closed_by(&[byte]).await {
            break;
        }
        sent += 1;
        sleep(Duration::from_millis(300)).await;
    }
    assert!((30..=35).contains(&sent), "{sent}");
    assert!(start.elapsed() < seconds(11));
    assert_eq!(hall.errors(), [Seen::Timeout(Step::Packet)]);
}

trait IsClosed {
    /// Sends, and tells whether the other side is gone.
    async fn is_closed_by(&mut self, bytes: &[u8]) -> bool;
}

impl IsClosed for tokio::io::DuplexStream {
    async fn is_closed_by(&mut self, bytes: &[u8]) -> bool {
        tokio::io::AsyncWriteExt::write_all(self, bytes)
            .await
            .is_err()
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_a_408() {
    let app = App::new(|request| async move {
        let body = request.into_body().collect().await;
        Ok(text(format!("{:?}", body.is_ok())))
    });
    let hall = Hall::open(open(), app);
    let chunked = [("transfer-encoding", "chunked")];
    let length = [("content-length", "10")];
    for (headers, sent, prefix) in [
        (&length, &b""[..], 0),
        (&length, &body(b"hello")[..7], 0),
        (&length, &body(b"hello")[..], 7),
        (&chunked, &b""[..], 7),
    ] {
        let mut guest = hall.connect();
        guest.send(&request("POST", "/", headers)).await;
        guest.send(sent).await;
        let start = Instant::now();
        let (answer, _) = guest.rest().await;
        assert_eq!(answer[prefix..], refusal(408, "request body took too long"));
        assert_took(start.elapsed(), seconds(30));
        drop(guest);
        settle().await;
        assert_eq!(hall.errors(), [Seen::Timeout(Step::Body)]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_request_of_a_connection_says_so() {
    let hall = Hall::open(open().with_max_requests(3), App::echo_path());
    let mut guest = hall.connect();
    for (uri, reuse) in [("/1", true), ("/2", true), ("/3", false)] {
        guest.probe().await;
        guest.send(&get(uri)).await;
        let answer = guest.answer().await;
        assert_eq!(
            (&answer.body[..], answer.reuse),
            (uri.as_bytes(), Some(reuse))
        );
    }
    assert_eq!(guest.rest().await.0, b"");
    assert_eq!(hall.errors(), []);
}

#[tokio::test(start_paused = true)]
async fn one_connection_too_many_is_told_so() {
    let hall = Hall::open(open().with_max_connections(2), App::echo_path());
    let mut first = hall.connect();
    first.probe().await;
    let mut second = hall.connect();
    second.probe().await;

    let mut third = hall.connect();
    third.send(&get("/third")).await;
    assert_eq!(third.rest().await.0, refusal(503, "too many connections"));
    drop(third);
    let mut probing = hall.connect();
    probing.send(&CPING).await;
    let (answer, took) = probing.rest().await;
    assert_eq!((answer, took), (Vec::new(), Duration::ZERO));
    settle().await;
    assert_eq!(hall.errors(), [Seen::Refused(503, "too many connections")]);
    let stats = hall.stats();
    assert_eq!(
        (stats.over_limit, stats.open, stats.refusals.overload),
        (2, 2, 1)
    );

    // Nobody inside notices, and a place that is left is taken.
    first.probe().await;
    second.send(&get("/second")).await;
    assert_eq!(second.answer().await, Answer::new(200, "/second", true, 0));
    drop(first);
    settle().await;
    let mut fourth = hall.connect();
    fourth.send(&get("/fourth")).await;
    assert_eq!(fourth.answer().await, Answer::new(200, "/fourth", true, 0));
    assert_eq!(hall.errors(), []);
}

#[tokio::test(start_paused = true)]
async fn connections_far_beyond_the_limit_are_closed() {
    let hall = Hall::open(open().with_max_connections(1), App::echo_path());
    let mut inside = hall.connect();
    inside.probe().await;
    let waiting: Vec<_> = (0..128).map(|_| hall.connect()).collect();
    settle().await;
    assert_eq!(hall.stats().open, 129);
    let mut late = hall.connect();
    let (answer, took) = late.rest().await;
    assert_eq!((answer, took), (Vec::new(), Duration::ZERO));
    let [Seen::Other(error)] = &hall.errors()[..] else {
        panic!("one error");
    };
    assert_eq!(error, "TooManyConnections");
    // They do not wait for ever.
    let start = Instant::now();
    for mut guest in waiting {
        assert_eq!(guest.rest().await.0, b"");
    }
    assert_took(start.elapsed(), seconds(20));
    inside.probe().await;
}

#[tokio::test(start_paused = true)]
async fn a_stranger_does_not_learn_that_the_server_is_full() {
    let secret = Secret::new("s3cr3t").unwrap();
    let config = ServerConfig::new(Trust::Secrets(vec![secret])).with_max_connections(0);
    let hall = Hall::open(config, App::echo_path());
    let mut stranger = hall.connect();
    stranger.send(&get("/")).await;
    assert_eq!(
        stranger.rest().await.0,
        refusal(403, "secret missing or wrong")
    );
    let mut friend = hall.connect();
    let right = Attribute::Coded {
        code: AttributeCode::Secret,
        value: Some(b"s3cr3t"),
    };
    friend.send(&request_with("GET", "/", &[], &[right])).await;
    assert_eq!(friend.rest().await.0, refusal(503, "too many connections"));
}

#[tokio::test(start_paused = true)]
async fn peers_that_may_not_connect_are_closed() {
    let allow = |peer: &&'static str| *peer == "front";
    let hall = Hall::open_to(open(), App::echo_path(), allow, seconds(30));
    let mut front = hall.connect_as("front");
    let mut stranger = hall.connect_as("stranger");
    assert_eq!(stranger.rest().await, (Vec::new(), Duration::ZERO));
    front.probe().await;
    let expected = Seen::Other("Peer".into());
    assert_eq!(hall.errors_by_peer(), [("\"stranger\"".into(), expected)]);
    let stats = hall.stats();
    assert_eq!(
        (stats.accepted, stats.refusals.peer, stats.errors),
        (1, 1, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn everything_is_counted() {
    let monitor = Monitor::new();
    let app = App::new(|request| async move {
        match request.uri().path() {
            "/fail" => Err("broken".into()),
            "/hang" => std::future::pending().await,
            path => Ok(text(path.to_owned())),
        }
    });
    let hall = Hall::open(open().with_monitor(&monitor).with_max_body(3), app);
    let mut guest = hall.connect();
    guest.probe().await;
    guest.probe().await;
    let sent = get("/abc");
    guest.send(&sent).await;
    guest.answer().await;
    settle().await;
    let stats = monitor.stats();
    assert_eq!(
        (
            stats.accepted,
            stats.open,
            stats.running,
            stats.requests,
            stats.cpings
        ),
        (1, 1, 0, 1, 2)
    );
    assert_eq!(stats.bytes_in, (sent.len() + 10) as u64);
    let answered = crate::raw::packets::response("/abc", 1);
    assert_eq!(stats.bytes_out, (answered.len() + 10) as u64);

    guest.send(&get("/hang")).await;
    settle().await;
    let stats = monitor.stats();
    assert_eq!((stats.running, stats.requests), (1, 2));
    drop(guest);
    settle().await;
    let stats = monitor.stats();
    assert_eq!((stats.running, stats.open, stats.errors), (0, 0, 1));

    for attack in [
        packet(&[2, 2]),
        request("POST", "/", &[("content-length", "4")]),
        get("/fail"),
        packet(&[7]),
    ] {
        let mut guest = hall.connect();
        guest.send(&attack).await;
        guest.rest().await;
    }
    settle().await;
    let stats = monitor.stats();
    assert_eq!(
        (
            stats.malformed,
            stats.refusals.body_too_large,
            stats.failed,
            stats.errors
        ),
        (1, 1, 1, 5)
    );
    assert_eq!((stats.open, stats.running, stats.accepted), (0, 0, 5));
}
