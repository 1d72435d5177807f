//! The end of a server: nothing that has begun is lost, nothing new begins.

use crate::hall::{App, Hall, settle, text};
use crate::raw::packets::{Answer, request};
use crate::raw::site::Seen;
use ajp::server::{ServerConfig, ServerTimeouts, Trust};
use ajp::wire::{CPING, END_RESPONSE_CLOSE};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::sleep;

const LAST_CALL: Duration = Duration::from_millis(250);

fn open() -> ServerConfig {
    ServerConfig::new(Trust::TrustedNetwork)
}

fn get(uri: &str) -> Vec<u8> {
    request("GET", uri, &[])
}

/// Answers when it gets a permit.
fn gated() -> (App, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let inner = Arc::clone(&gate);
    let app = App::new(move |request| {
        let gate = Arc::clone(&inner);
        async move {
            gate.acquire().await.unwrap().forget();
            Ok(text(request.uri().path().to_owned()))
        }
    });
    (app, gate)
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_takes_a_last_request() {
    let mut hall = Hall::open(open(), App::echo_path());
    let mut late = hall.connect();
    late.probe().await;
    let mut fresh = hall.connect();
    let mut silent = hall.connect();
    silent.send(&get("/silent")).await;
    silent.answer().await;
    settle().await;
    hall.shut_down();
    sleep(LAST_CALL / 2).await;
    for guest in [&mut late, &mut fresh] {
        guest.send(&get("/late")).await;
        assert_eq!(guest.answer().await, Answer::new(200, "/late", false, 0));
    }
    let (rest, took) = silent.rest().await;
    assert_eq!(rest, b"");
    assert!(took <= LAST_CALL / 2 + Duration::from_millis(5), "{took:?}");
    drop((late, fresh));
    hall.closed().await;
    assert_eq!(hall.errors(), []);
}

#[tokio::test(start_paused = true)]
async fn the_last_call_is_as_long_as_it_was_set() {
    for last_call in [Duration::ZERO, Duration::from_secs(9)] {
        let timeouts = ServerTimeouts::default().with_last_call(last_call);
        let mut hall = Hall::open(open().with_timeouts(timeouts), App::echo_path());
        let mut guest = hall.connect();
        guest.probe().await;
        hall.shut_down();
        let took = hall.closed().await;
        assert!(
            took >= last_call && took <= last_call + Duration::from_millis(5),
            "{took:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn there_is_no_cpong_any_more() {
    let mut hall = Hall::open(open(), App::echo_path());
    let mut guest = hall.connect();
    guest.probe().await;
    hall.shut_down();
    settle().await;
    guest.send(&CPING).await;
    assert_eq!(guest.rest().await, (Vec::new(), Duration::ZERO));
    hall.closed().await;
    assert_eq!(hall.errors(), []);
    assert_eq!(hall.stats().cpings, 1);
}

/// Also when the probe lies in the buffer as the signal comes.
#[tokio::test(start_paused = true)]
async fn a_probe_that_meets_the_signal_is_not_answered() {
    let mut hall = Hall::open(open(), App::echo_path());
    let mut guest = hall.connect();
    guest.probe().await;
    hall.shut_down();
    guest.send(&CPING).await;
    assert_eq!(guest.rest().await.0, b"");
    hall.closed().await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_has_begun_is_received_and_served() {
    let mut hall = Hall::open(open(), App::echo_path());
    let mut guest = hall.connect();
    let whole = get("/begun");
    guest.send(&whole[..10]).await;
    settle().await;
    hall.shut_down();
    // Far beyond the last call, and within the limit of the packet.
    sleep(Duration::from_secs(5)).await;
    guest.send(&whole[10..]).await;
    assert_eq!(guest.answer().await, Answer::new(200, "/begun", false, 0));
    drop(guest);
    hall.closed().await;
    assert_eq!(hall.errors(), []);
}

#[tokio::test(start_paused = true)]
async fn a_running_exchange_ends_with_reuse_0() {
    let (app, gate) = gated();
    let mut hall = Hall::open(open(), app);
    let mut guest = hall.connect();
    guest.send(&get("/running")).await;
    settle().await;
    hall.shut_down();
    sleep(Duration::from_secs(20)).await;
    gate.add_permits(1);
    assert_eq!(guest.answer().await, Answer::new(200, "/running", false, 0));
    assert_eq!(guest.rest().await.0, b"");
    drop(guest);
    hall.closed().await;
    assert_eq!(hall.errors(), []);
}

#[tokio::test(start_paused = true)]
async fn what_runs_longer_than_the_drain_limit_is_cut() {
    let (app, _gate) = gated();
    let limit = Duration::from_secs(3);
    let mut hall = Hall::open_to(open(), app, |_| true, limit);
    let mut guest = hall.connect();
    guest.send(&get("/hanging")).await;
    settle().await;
    hall.shut_down();
    let (rest, took) = guest.rest().await;
    assert_eq!(rest, b"", "no End Response");
    assert!(
        took >= limit && took <= limit + Duration::from_millis(5),
        "{took:?}"
    );
    hall.closed().await;
    assert_eq!(hall.stats().open, 0);
}

#[tokio::test(start_paused = true)]
async fn one_too_many_stays_one_too_many() {
    let mut hall = Hall::open(open().with_max_connections(1), App::echo_path());
    let mut inside = hall.connect();
    inside.probe().await;
    let mut beyond = hall.connect();
    let mut silent = hall.connect();
    settle().await;
    hall.shut_down();
    settle().await;
    beyond.send(&get("/beyond")).await;
    assert_eq!(beyond.answer().await.status, 503);
    // The last call is theirs too.
    let (rest, took) = silent.rest().await;
    assert_eq!(rest, b"");
    assert!(took <= LAST_CALL + Duration::from_millis(5), "{took:?}");
    drop(beyond);
    hall.closed().await;
    assert_eq!(hall.errors(), [Seen::Refused(503, "too many connections")]);
}

/// The kernel has accepted them; a listener that closes resets them.
#[tokio::test(start_paused = true)]
async fn connections_that_wait_at_the_door_are_served() {
    let mut hall = Hall::open(open(), App::echo_path());
    hall.shut_down();
    let mut guests: Vec<_> = (0..50).map(|_| hall.connect()).collect();
    for guest in &mut guests {
        guest.send(&get("/waiting")).await;
    }
    for guest in &mut guests {
        assert_eq!(guest.answer().await, Answer::new(200, "/waiting", false, 0));
    }
    drop(guests);
    hall.closed().await;
    assert_eq!(hall.errors(), []);
}

/// The owed packet of a connection that closes anyway does not hold up End Response.
#[tokio::test(start_paused = true)]
async fn an_owed_packet_does_not_delay_a_last_response() {
    let (app, gate) = gated();
    let mut hall = Hall::open(open(), app);
    let mut guest = hall.connect();
    guest
        .send(&request("POST", "/owing", &[("content-length", "5")]))
        .await;
    settle().await;
    hall.shut_down();
    gate.add_permits(1);
    let (answer, took) = {
        let start = tokio::time::Instant::now();
        (guest.answer().await, start.elapsed())
    };
    assert_eq!(answer, Answer::new(200, "/owing", false, 0));
    assert_eq!(took, Duration::ZERO);
    drop(guest);
    hall.closed().await;
    assert_eq!(hall.errors(), Vec::<Seen>::new());
    assert_eq!(END_RESPONSE_CLOSE.last(), Some(&0));
}
