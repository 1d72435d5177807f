//! What happens to requests when containers fail.

use super::farm::{Farm, Mood, get, whole};
use ajp::balancer::{
    Attempt, BalancerConfig, ClusterConfig, Failover, Failure, Idempotent, MemberState, OnStatus,
    Outlier, Reason, RetryBudget, SendOptions,
};
use ajp::client::{CPingMode, ErrorKind, PoolConfig, Timeouts};
use bytes::Bytes;
use futures_util::stream;
use http::{Method, Request};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use std::convert::Infallible;
use std::time::Duration;
use tokio::time::{Instant, sleep};

fn config(failover: Failover) -> BalancerConfig {
    BalancerConfig::new("farm").with_failover(failover)
}

fn farm(count: usize) -> Farm {
    Farm::new(count, config(Failover::default()))
}

fn with_body(method: Method, body: &'static str) -> Request<Full<Bytes>> {
    let body = Full::new(Bytes::from_static(body.as_bytes()));
    Request::builder()
        .method(method)
        .uri("/x")
        .body(body)
        .unwrap()
}

/// A body of these pieces that does not say how long it is.
fn pieces(
    method: Method,
    pieces: &'static [&'static str],
) -> Request<impl http_body::Body<Data = Bytes, Error = Infallible> + Send + 'static> {
    let frames = pieces
        .iter()
        .map(|text| Ok(Frame::data(Bytes::from_static(text.as_bytes()))));
    let body = StreamBody::new(stream::iter(frames));
    Request::builder()
        .method(method)
        .uri("/x")
        .body(body)
        .unwrap()
}

fn kinds(attempts: &[Attempt]) -> Vec<(&str, Failure)> {
    attempts
        .iter()
        .map(|one| (&*one.member, one.failure))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_refused_connection_costs_nobody_anything() {
    let farm = farm(2);
    farm.of("a").set(Mood::Dead);
    // POST too: nothing was sent.
    let answer = farm.send(with_body(Method::POST, "once")).await.unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (200, "b"));
    assert_eq!(
        kinds(&answer.served.failed),
        [("a", Failure::Exchange(ErrorKind::Connect))]
    );
    assert_eq!(farm.of("b").seen()[0].body, b"once");
    assert_eq!(farm.serving().await, "b");
    assert_eq!(farm.of("a").connects(), 1, "it is left alone");
    let a = farm.member("a");
    assert_eq!((a.state, a.failed), (MemberState::Error, 1));
    assert_eq!(a.last_error.as_deref(), Some("cannot connect"));
    assert_eq!(a.recovery_in, Some(Duration::from_secs(10)));
    farm.is_quiet();
}

#[tokio::test(start_paused = true)]
async fn a_member_that_returns_is_noticed_within_the_retry_time() {
    let farm = farm(2);
    farm.of("a").set(Mood::Dead);
    assert_eq!(farm.serving().await, "b");
    sleep(Duration::from_secs(10)).await;
    // Still dead: the request never notices, the member is tried once.
    let before = farm.of("a").connects();
    assert_eq!(farm.serving().await, "b");
    assert_eq!(farm.of("a").connects(), before + 1);
    farm.of("a").set(Mood::Well);
    sleep(Duration::from_secs(10)).await;
    assert_eq!(farm.serving().await, "ab");
    assert_eq!(
        farm.of("a").pings(),
        1,
        "the trial was asked before it was trusted"
    );
    farm.is_quiet();
}

/// While a trial waits for a connection nobody else does.
#[tokio::test(start_paused = true)]
async fn one_request_alone_waits_for_a_member_that_is_lost() {
    let farm = farm(2);
    farm.of("a").set(Mood::Lost);
    let start = Instant::now();
    assert_eq!(farm.get("/").await.unwrap().body, "b");
    assert_eq!(start.elapsed().as_secs(), 5, "the connect timeout");
    sleep(Duration::from_secs(10)).await;
    let start = Instant::now();
    let mut requests = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let balancer = farm.balancer.clone();
        requests.spawn(async move {
            let answer = whole(balancer.send(get("/")).await.unwrap()).await;
            assert_eq!(answer.body, "b");
            start.elapsed()
        });
    }
    let mut times = requests.join_all().await;
    times.sort();
    assert!(times[18] < Duration::from_millis(100), "{times:?}");
    // The probe gives up before the connect timeout.
    assert_eq!(times[19].as_secs(), 1);
    farm.is_quiet();
}

#[tokio::test(start_paused = true)]
async fn killed_under_load_no_idempotent_request_is_lost() {
    let farm = farm(2);
    for container in &farm.containers {
        container.set(Mood::Silent);
    }
    let mut requests = tokio::task::JoinSet::new();
    for n in 0..100 {
        let balancer = farm.balancer.clone();
        requests.spawn(async move {
            let response = balancer.send(get(&format!("/{n}"))).await;
            whole(response.unwrap()).await.body
        });
    }
    sleep(Duration::from_millis(10)).await;
    assert_eq!(
        farm.of("a").seen().len(),
        50,
        "half of them are at work here"
    );
    farm.of("a").set(Mood::Dead);
    farm.of("b").set(Mood::Well);
    let bodies = requests.join_all().await;
    assert!(bodies.iter().all(|body| body == "b"), "{bodies:?}");
    let snapshot = farm.balancer.snapshot();
    assert_eq!((snapshot.repeated, snapshot.not_repeated), (50, 0));
    assert_eq!(farm.member("a").state, MemberState::Error);
    farm.is_quiet();
}

#[tokio::test(start_paused = true)]
async fn when_all_are_dead_it_is_told_at_once_and_the_first_to_return_serves() {
    let farm = farm(2);
    for container in &farm.containers {
        container.set(Mood::Dead);
    }
    let start = Instant::now();
    let error = farm.get("/").await.unwrap_err();
    assert_eq!(error.suggested_status(), 503);
    assert_eq!(error.retry_after(), Some(Duration::from_secs(1)));
    assert_eq!(error.exchange().unwrap().kind(), ErrorKind::Connect);
    assert_eq!(error.unavailable().unwrap().reason(), Reason::AllTried);
    assert_eq!(
        kinds(error.attempts()),
        [
            ("a", Failure::Exchange(ErrorKind::Connect)),
            ("b", Failure::Exchange(ErrorKind::Connect))
        ]
    );
    // Forced recovery: both are asked again, and are still dead.
    let error = farm.get("/").await.unwrap_err();
    let unreachable = [("a", Failure::Unreachable), ("b", Failure::Unreachable)];
    assert_eq!(kinds(error.attempts()), unreachable);
    assert_eq!(error.suggested_status(), 503);
    assert!(error.exchange().is_none());
    assert_eq!(
        error.to_string(),
        "all members of the balancer were tried: a could still not be reached, b could still not be \
         reached"
    );
    farm.of("b").set(Mood::Well);
    assert_eq!(farm.get("/").await.unwrap().body, "b");
    assert_eq!(start.elapsed(), Duration::ZERO);
    farm.is_quiet();
}

/// CVE-2011-3348 and its kin: a request that containers choke on must not take them out.
#[tokio::test(start_paused = true)]
async fn a_poisonous_request_takes_nobody_out() {
    for mood in [Mood::Chokes, Mood::Babbles] {
        let farm = farm(3);
        for container in &farm.containers {
            container.set(mood);
        }
        let error = farm.get("/").await.unwrap_err();
        assert_eq!(error.suggested_status(), 502, "{mood:?}");
        assert_eq!(error.attempts().len(), 3);
        for container in &farm.containers {
            assert_eq!(container.seen().len(), 1, "each once");
            assert_eq!(container.pings(), 1, "asked whether it lives");
            container.set(Mood::Well);
        }
        assert_eq!(farm.serving().await, "abc");
        assert_eq!(farm.member("a").failed, 1);
        farm.is_quiet();
    }
}

#[tokio::test(start_paused = true)]
async fn what_may_not_be_sent_twice_is_not() {
    for (mood, request) in [
        (Mood::Chokes, pieces(Method::POST, &[]).map(BodyExt::boxed)),
        (
            Mood::ChokesOnBody,
            with_body(Method::POST, "once").map(BodyExt::boxed),
        ),
        // As in httpd: a body was sent.
        (
            Mood::ChokesOnBody,
            with_body(Method::PUT, "once").map(BodyExt::boxed),
        ),
    ] {
        let farm = farm(2);
        farm.of("a").set(mood);
        let error = farm.send(request).await.unwrap_err();
        assert_eq!(error.suggested_status(), 502);
        assert_eq!(error.attempts().len(), 1);
        assert_eq!(farm.of("b").seen(), []);
        assert!(error.unavailable().is_none());
        farm.is_quiet();
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_may_say_whether_it_can_be_sent_twice() {
    let farm = farm(2);
    farm.of("a").set(Mood::Chokes);
    let mut request = pieces(Method::POST, &[]);
    request.extensions_mut().insert(Idempotent(true));
    assert_eq!(farm.send(request).await.unwrap().body, "b");
    let farm = super::failover::farm(2);
    farm.of("a").set(Mood::Chokes);
    let mut request = get("/");
    request.extensions_mut().insert(Idempotent(false));
    assert!(farm.send(request).await.is_err());
}

/// The client repeats for itself what met a stale connection, and it keeps the same promise.
#[tokio::test(start_paused = true)]
async fn a_stale_connection_does_not_make_a_request_that_may_be_sent_once_two() {
    for (said, times) in [(None, 2), (Some(false), 1), (Some(true), 2)] {
        let farm = farm(1);
        farm.get("/").await.unwrap();
        farm.of("a").seen();
        farm.of("a").set(Mood::Chokes);
        let mut request = get("/order");
        if let Some(said) = said {
            request.extensions_mut().insert(Idempotent(said));
        }
        assert!(farm.send(request).await.is_err());
        assert_eq!(farm.of("a").seen().len(), times, "{said:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn bodies_are_repeated_whole_where_that_was_asked_for() {
    let failover = Failover::default().with_repeat_sent_bodies(true);
    for request in [
        with_body(Method::PUT, "one two").map(BodyExt::boxed),
        pieces(Method::PUT, &["one", " ", "two"]).map(BodyExt::boxed),
    ] {
        let farm = Farm::new(3, config(failover.clone()));
        farm.of("a").set(Mood::ChokesOnBody);
        farm.of("b").set(Mood::ChokesOnBody);
        assert_eq!(farm.send(request).await.unwrap().body, "c");
        for name in ["a", "b", "c"] {
            let seen = farm.of(name).seen();
            assert_eq!(seen.len(), 1);
            assert_eq!(seen[0].body, b"one two", "{name}");
            assert_eq!(farm.member(name).sent_bytes, 7);
        }
        let farm = Farm::new(2, config(failover.clone()));
        farm.of("a").set(Mood::ChokesOnBody);
        let post = with_body(Method::POST, "once");
        assert!(farm.send(post).await.is_err(), "never POST");
    }
    // More than is kept.
    let farm = Farm::new(2, config(failover.with_replay_bytes(6)));
    farm.of("a").set(Mood::ChokesOnBody);
    let error = farm.send(pieces(Method::PUT, &["one", " ", "two"])).await;
    assert_eq!(error.unwrap_err().attempts().len(), 1);
    assert_eq!(farm.of("b").seen(), []);
}

#[tokio::test(start_paused = true)]
async fn a_slow_answer_is_no_failure_unless_it_is_told_to_be() {
    let limits = Timeouts::default().with_response_head(Duration::from_secs(3));
    let pool = || PoolConfig::default().with_timeouts(limits);
    let farm = Farm::with_pools(2, config(Failover::default()), pool());
    farm.of("a").set(Mood::Silent);
    let error = farm.get("/").await.unwrap_err();
    assert_eq!(error.suggested_status(), 504);
    assert_eq!(error.retry_after(), None);
    assert_eq!(farm.of("b").seen(), []);
    let a = farm.member("a");
    assert_eq!((a.state, a.timed_out), (MemberState::Ok, 1));
    // Repeated, and taken out, by option.
    let cluster = ClusterConfig::default().with_max_timeouts(1);
    let config = config(Failover::default().with_repeat_timed_out(true)).with_cluster(cluster);
    let farm = Farm::with_pools(2, config, pool());
    farm.of("a").set(Mood::Silent);
    assert_eq!(farm.get("/").await.unwrap().body, "b");
    assert_eq!(farm.member("a").state, MemberState::Error);
    // CPing is no proof that it answers again: the trial is a request.
    sleep(Duration::from_secs(10)).await;
    while farm.of("a").pings() == 0 {
        assert_eq!(farm.get("/").await.unwrap().body, "b");
    }
    assert_eq!(farm.member("a").state, MemberState::Error);
    farm.is_quiet();
}

#[tokio::test(start_paused = true)]
async fn statuses() {
    for (action, body, out, seen) in [
        (OnStatus::Fail, "a", true, 0),
        (OnStatus::TryOther, "b", false, 1),
        (OnStatus::FailAndTryOther, "b", true, 1),
    ] {
        let failover = Failover::default().on_status(503, action);
        let farm = Farm::new(2, config(failover));
        farm.of("a").set(Mood::Status(503));
        let answer = farm.get("/").await.unwrap();
        assert_eq!(answer.body, body, "{action:?}");
        assert_eq!(farm.of("b").seen().len(), seen);
        assert_eq!(farm.member("a").state == MemberState::Error, out);
        assert_eq!(farm.member("a").statuses, [0, 0, 0, 0, 1]);
        if seen > 0 {
            assert_eq!(kinds(&answer.served.failed), [("a", Failure::Status(503))]);
        }
        // Others are of no concern.
        farm.of("b").set(Mood::Status(500));
        assert_eq!(farm.get("/").await.unwrap().status, 500);
        assert_eq!(farm.member("b").state, MemberState::Ok);
        farm.is_quiet();
    }
}

/// Requests that fail at the same time ask the container together: it is not late because they
/// wait for each other.
#[tokio::test(start_paused = true)]
async fn requests_that_fail_together_share_a_question() {
    let never =
        PoolConfig::default().with_cping(CPingMode::idle_longer_than(Duration::from_secs(60)));
    let farm = Farm::with_pools(2, config(Failover::default()), never);
    farm.of("a").set(Mood::ChokesSlowly);
    let orders = (0..90).map(|_| farm.send(with_body(Method::POST, "order")));
    let answers = futures_util::future::join_all(orders).await;
    let served = answers.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!(served, 45);
    let a = farm.member("a");
    assert_eq!((a.state, a.failed), (MemberState::Ok, 45));
    assert!(farm.of("a").pings() <= 3, "{}", farm.of("a").pings());
    farm.is_quiet();
}

/// A status that all members give to the same request says nothing of the members.
#[tokio::test(start_paused = true)]
async fn what_all_members_say_is_the_requests() {
    let failover = Failover::default().on_status(503, OnStatus::FailAndTryOther);
    let farm = Farm::new(2, config(failover));
    for name in ["a", "b"] {
        farm.of(name).set(Mood::Status(503));
    }
    for _ in 0..3 {
        assert_eq!(farm.get("/").await.unwrap().status, 503);
    }
    let states = ["a", "b"].map(|name| farm.member(name).state);
    assert_eq!(states, [MemberState::Ok, MemberState::Ok]);
    // A request that may not be sent twice is asked of one: the last member stays.
    for _ in 0..4 {
        let answer = farm.send(with_body(Method::POST, "once")).await.unwrap();
        assert_eq!(answer.status, 503);
    }
    let states = ["a", "b"].map(|name| farm.member(name).state);
    let out = states.iter().filter(|state| **state == MemberState::Error);
    assert_eq!(out.count(), 1, "{states:?}");
    // When both serve again, and one answers better, it was the other.
    sleep(Duration::from_secs(60)).await;
    farm.of("b").set(Mood::Well);
    for _ in 0..4 {
        assert_eq!(farm.get("/").await.unwrap().body, "b");
    }
    assert_eq!(farm.member("a").state, MemberState::Error);
    assert_eq!(farm.member("b").state, MemberState::Ok);
    farm.is_quiet();
}

/// How long a client takes to send its body is not the time of the member.
#[tokio::test(start_paused = true)]
async fn a_slow_upload_is_no_slow_member() {
    let farm = farm(1);
    let pieces = stream::unfold(0, |sent| async move {
        sleep(Duration::from_secs(2)).await;
        (sent < 3).then(|| {
            (
                Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"part"))),
                sent + 1,
            )
        })
    });
    let request = Request::post("/x")
        .body(StreamBody::new(Box::pin(pieces)))
        .unwrap();
    assert_eq!(farm.send(request).await.unwrap().body, "a");
    let latency = farm.member("a").latency.max;
    assert!(latency <= Duration::from_secs(2), "{latency:?}");
    farm.is_quiet();
}

#[tokio::test(start_paused = true)]
async fn the_first_bad_answer_is_delivered_when_there_is_no_better_one() {
    let failover = Failover::default().on_status(503, OnStatus::TryOther);
    let farm = Farm::new(3, config(failover));
    farm.of("a").set(Mood::Status(503));
    farm.of("b").set(Mood::Status(503));
    farm.of("c").set(Mood::Dead);
    let answer = farm.get("/").await.unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (503, "a"));
    // Nor is anything tried for a request that may not be sent twice.
    farm.of("b").seen();
    let answer = farm.send(with_body(Method::POST, "once")).await.unwrap();
    assert_eq!(answer.status, 503);
    let seen = farm.of("a").seen().len() + farm.of("b").seen().len();
    assert_eq!(seen, 2, "the GET at a, and the POST once");
    farm.is_quiet();
}

#[tokio::test(start_paused = true)]
async fn the_budget_limits_what_containers_may_have_worked_on() {
    let none = RetryBudget::default()
        .with_percent(0)
        .with_min_per_second(0);
    let farm = Farm::new(2, config(Failover::default().with_budget(none)));
    farm.of("a").set(Mood::Chokes);
    assert!(farm.get("/").await.is_err());
    assert_eq!(farm.balancer.snapshot().not_repeated, 1);
    // A refused connection is no work.
    farm.of("b").set(Mood::Dead);
    farm.of("a").set(Mood::Well);
    assert_eq!(farm.get("/").await.unwrap().body, "a");

    // An outage in which every request fails: one in five is repeated.
    let fifth = RetryBudget::default().with_min_per_second(0);
    // A connection that was never idle is not repeated by the client itself.
    let pool = PoolConfig::default().with_cping(CPingMode::NEVER);
    let farm = Farm::with_pools(2, config(Failover::default().with_budget(fifth)), pool);
    for container in &farm.containers {
        container.set(Mood::Chokes);
    }
    for _ in 0..100 {
        assert!(farm.get("/").await.is_err());
    }
    let seen = farm.of("a").seen().len() + farm.of("b").seen().len();
    assert_eq!(seen, 120);
    farm.is_quiet();
}

#[tokio::test(start_paused = true)]
async fn attempts_are_limited() {
    for (most, tried) in [(1, 1), (2, 2), (9, 4)] {
        let farm = Farm::new(4, config(Failover::default().with_max_attempts(most)));
        for container in &farm.containers {
            container.set(Mood::Dead);
        }
        let error = farm.get("/").await.unwrap_err();
        assert_eq!(error.attempts().len(), tried);
    }
}

#[tokio::test(start_paused = true)]
async fn a_member_that_is_not_tried_is_not_chosen() {
    let farm = Farm::new(2, config(Failover::default().with_max_attempts(1)));
    for container in &farm.containers {
        container.set(Mood::Dead);
    }
    for _ in 0..10 {
        assert!(farm.get("/").await.is_err());
    }
    let elected = farm.member("a").elected + farm.member("b").elected;
    assert_eq!(elected, 10);
    farm.is_quiet();
}

/// The time that a request waits for a place is the request's, not each member's.
#[tokio::test(start_paused = true)]
async fn a_place_is_waited_for_once() {
    let limits = Timeouts::default().with_acquire(Duration::from_millis(300));
    let pool = PoolConfig::default()
        .with_max_connections(1)
        .with_timeouts(limits);
    let farm = Farm::with_pools(3, config(Failover::default()), pool);
    let mut stalled = Vec::new();
    for name in ["a", "b", "c"] {
        farm.of(name).set(Mood::Stalls);
    }
    for _ in 0..3 {
        stalled.push(farm.balancer.send(get("/")).await.unwrap());
    }
    let start = Instant::now();
    let error = farm.get("/").await.unwrap_err();
    assert_eq!(start.elapsed(), Duration::from_millis(300));
    assert_eq!(error.exchange().unwrap().kind(), ErrorKind::AcquireTimeout);
    assert_eq!(error.suggested_status(), 503);
    assert!(error.retry_after().is_some());
    assert_eq!(error.attempts().len(), 1, "it waited at one of them");
    // Who waits gets the place that becomes free there.
    for container in &farm.containers {
        container.set(Mood::Well);
    }
    let waiting = farm.balancer.clone();
    let waiting = tokio::spawn(async move { waiting.send(get("/")).await.map(|_| ()) });
    sleep(Duration::from_millis(50)).await;
    for response in stalled {
        whole(response).await;
    }
    assert!(waiting.await.unwrap().is_ok());
    assert_eq!(farm.serving().await, "abc");
    farm.is_quiet();
}

/// Two healthy members with 4 places each and 120 users, of whom each third gives up after
/// 250 ms: the members are busy and that is all. None is ever out.
#[tokio::test(start_paused = true)]
async fn overload_takes_nobody_out() {
    let limits = Timeouts::default().with_acquire(Duration::from_millis(500));
    let pool = PoolConfig::default()
        .with_max_connections(4)
        .with_timeouts(limits);
    let farm = Farm::with_pools(2, config(Failover::default()), pool);
    for container in &farm.containers {
        container.set(Mood::FarAndSlow);
    }
    let end = Instant::now() + Duration::from_secs(8);
    let mut users = tokio::task::JoinSet::new();
    for user in 0..120 {
        let balancer = farm.balancer.clone();
        users.spawn(async move {
            let patience = if user % 3 == 0 { 250 } else { 60_000 };
            while Instant::now() < end {
                let work = async {
                    if let Ok(response) = balancer.send(get("/")).await {
                        whole(response).await;
                    }
                };
                let _ = tokio::time::timeout(Duration::from_millis(patience), work).await;
                sleep(Duration::from_millis(50)).await;
            }
        });
    }
    let mut answered = 0;
    while Instant::now() < end {
        sleep(Duration::from_millis(20)).await;
        for name in ["a", "b"] {
            let member = farm.member(name);
            assert_eq!(member.state, MemberState::Ok, "{:?}", member.last_error);
            answered = answered.max(member.answered);
        }
    }
    users.join_all().await;
    // 4 places, 120 ms for each request.
    assert!(answered > 240, "{answered}");
    assert_eq!(farm.balancer.snapshot().forced_recoveries, 0);
    farm.is_quiet();
}

/// Whose fault it is, is asked after the head as before it.
#[tokio::test(start_paused = true)]
async fn a_client_that_goes_away_during_the_answer_is_not_the_members_failure() {
    let farm = farm(1);
    farm.of("a").set(Mood::AnswersEarly);
    let gone = stream::iter([
        Ok(Frame::data(Bytes::from_static(b"half"))),
        Err("the browser went away"),
    ]);
    let request = Request::post("/").body(StreamBody::new(gone)).unwrap();
    let response = farm.balancer.send(request).await.unwrap();
    assert_eq!(response.status(), 200);
    let error = response.into_body().collect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BodySource);
    let a = farm.member("a");
    assert_eq!((a.answered, a.failed, a.timed_out), (1, 0, 0));
    assert_eq!(a.last_error, None);
    // What the container breaks off is.
    farm.of("a").set(Mood::BreaksOff);
    let response = farm.balancer.send(get("/")).await.unwrap();
    assert!(response.into_body().collect().await.is_err());
    assert_eq!(farm.member("a").failed, 1);
    farm.is_quiet();
}

#[tokio::test(start_paused = true)]
async fn a_request_may_have_options_of_its_own() {
    let sticky = ajp::balancer::Sticky::new("S").unwrap();
    let farm = Farm::new(3, config(Failover::default()).with_sticky(sticky));
    let with = |options: SendOptions| {
        let request = Request::get("/")
            .header("cookie", "S=1.b")
            .extension(options);
        request.body(String::new()).unwrap()
    };
    let plain = SendOptions::new;
    for _ in 0..3 {
        assert_eq!(farm.send(with(plain())).await.unwrap().body, "b");
    }
    let mut names = Vec::new();
    for _ in 0..4 {
        let ignored = with(plain().with_sticky_ignore(true));
        names.push(farm.send(ignored).await.unwrap().body);
    }
    assert_eq!(names, ["a", "c", "a", "c"], "b had its share");
    let picture = with(plain().with_stateless(true));
    assert_eq!(farm.send(picture).await.unwrap().body, "b", "its session");
    let new_sessions = |farm: &Farm| -> u64 {
        let members = farm.balancer.snapshot().members;
        members.iter().map(|member| member.new_sessions).sum()
    };
    let before = new_sessions(&farm);
    for (stateless, counted) in [(true, 0), (false, 1)] {
        let options = plain().with_stateless(stateless);
        let request = Request::get("/").extension(options).body(String::new());
        assert_eq!(farm.send(request.unwrap()).await.unwrap().status, 200);
        assert_eq!(new_sessions(&farm) - before, counted);
    }
    let wanted = with(plain().with_member("c"));
    assert_eq!(farm.send(wanted).await.unwrap().body, "c");
    farm.of("b").set(Mood::Dead);
    let once = with(plain().with_max_attempts(1));
    assert_eq!(farm.send(once).await.unwrap_err().attempts().len(), 1);
    farm.of("a").set(Mood::Status(503));
    farm.of("c").set(Mood::Status(503));
    let fails = plain().with_on_status(503, OnStatus::Fail);
    let answer = farm.send(with(fails)).await.unwrap();
    assert_eq!(answer.status, 503);
    assert_eq!(farm.member(&answer.body).state, MemberState::Error);
}

#[tokio::test(start_paused = true)]
async fn a_request_at_fault_fails_alone() {
    let farm = farm(2);
    let request = Request::builder()
        .method(Method::CONNECT)
        .uri("a:1")
        .body(String::new());
    let error = farm.send(request.unwrap()).await.unwrap_err();
    assert_eq!(error.suggested_status(), 501);
    assert_eq!(error.attempts().len(), 1);
    let large = Request::get("/")
        .header("x", "y".repeat(9000))
        .body(String::new());
    let error = farm.send(large.unwrap()).await.unwrap_err();
    assert_eq!(error.suggested_status(), 431);
    assert_eq!(error.attempts().len(), 1);
    let broken = stream::iter([Err::<Frame<Bytes>, _>("the browser went away")]);
    let request = Request::put("/").body(StreamBody::new(broken)).unwrap();
    let error = farm.send(request).await.unwrap_err();
    assert_eq!(error.suggested_status(), 400);
    assert_eq!(error.attempts().len(), 1);
    assert_eq!(farm.serving().await, "ab");
    assert_eq!(farm.member("a").failed + farm.member("b").failed, 0);
    farm.is_quiet();
}

#[tokio::test(start_paused = true)]
async fn a_response_that_breaks_off_is_an_error_of_its_body() {
    let farm = farm(1);
    farm.of("a").set(Mood::BreaksOff);
    let response = farm.balancer.send(get("/")).await.unwrap();
    assert_eq!(farm.member("a").busy, 1);
    let error = response.into_body().collect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    let a = farm.member("a");
    assert_eq!(
        (a.state, a.failed, a.received_bytes),
        (MemberState::Ok, 1, 4)
    );
    farm.is_quiet();
}

#[tokio::test(start_paused = true)]
async fn a_member_is_busy_until_its_response_has_ended() {
    let farm = farm(1);
    farm.of("a").set(Mood::Stalls);
    let response = farm.balancer.send(get("/")).await.unwrap();
    assert_eq!(farm.member("a").busy, 1);
    farm.of("a").set(Mood::Well);
    assert_eq!(whole(response).await.body, "a");
    farm.is_quiet();
    // Dropped halfway.
    farm.of("a").set(Mood::Stalls);
    let response = farm.balancer.send(get("/")).await.unwrap();
    assert_eq!(farm.member("a").busy, 1);
    drop(response);
    farm.is_quiet();
    assert_eq!(farm.member("a").answered, 2);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_gives_up_says_nothing_of_the_member() {
    let farm = farm(2);
    farm.of("a").set(Mood::Dead);
    farm.get("/").await.unwrap();
    farm.of("a").set(Mood::Lost);
    sleep(Duration::from_secs(10)).await;
    // Whichever of these is the trial is given up, and the next one tries.
    for _ in 0..2 {
        let before = farm.of("a").connects();
        for _ in 0..2 {
            let limit = Duration::from_millis(100);
            let _ = tokio::time::timeout(limit, farm.get("/")).await;
        }
        assert_eq!(farm.of("a").connects(), before + 1);
        assert_eq!(farm.member("a").state, MemberState::Due);
    }
    farm.is_quiet();
}

/// A request whose caller has gone keeps its member busy once, however often the balancer was given
/// the pool, and keeps no balancer alive.
#[tokio::test(start_paused = true)]
async fn a_request_whose_caller_has_gone_counts_once() {
    #[derive(Debug)]
    struct First;
    impl ajp::balancer::Choose for First {
        fn name(&self) -> &'static str {
            "first"
        }
        fn choose(
            &self,
            _: &ajp::balancer::RequestInfo<'_>,
            _: &[ajp::balancer::Candidate],
        ) -> usize {
            0
        }
    }
    let pools = PoolConfig::default().with_abandoned(Duration::from_secs(60));
    let farm = Farm::with_pools(1, config(Failover::default()), pools);
    let method = std::sync::Arc::new(First);
    let lives = std::sync::Arc::downgrade(&method);
    farm.balancer
        .set_method(ajp::balancer::Method::Custom(method));
    for _ in 0..3 {
        let pool = farm.balancer.pool("a").unwrap();
        farm.balancer.set_pool("a", pool).unwrap();
    }
    let container = std::sync::Arc::clone(farm.of("a"));
    container.set(Mood::Silent);
    for gone in 1..3 {
        let limit = Duration::from_millis(100);
        tokio::time::timeout(limit, farm.get("/"))
            .await
            .unwrap_err();
        assert_eq!(farm.member("a").busy, gone);
    }
    assert_eq!(container.seen().len(), 2, "they run");
    drop(farm);
    assert!(lives.upgrade().is_none(), "the balancer is gone");
    container.set(Mood::Well);
    sleep(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_full_pool_sends_requests_elsewhere() {
    let limits = Timeouts::default().with_acquire(Duration::from_secs(2));
    let pool = PoolConfig::default()
        .with_max_connections(1)
        .with_timeouts(limits);
    let farm = Farm::with_pools(2, config(Failover::default()), pool);
    farm.of("a").set(Mood::Stalls);
    let stalled = farm.balancer.send(get("/")).await.unwrap();
    for _ in 0..4 {
        assert_eq!(farm.get("/").await.unwrap().body, "b");
    }
    let a = farm.member("a");
    assert_eq!(a.state, MemberState::Ok);
    assert!(a.full > 0 && a.failed == 0, "{a:?}");
    drop(stalled);
}

#[tokio::test(start_paused = true)]
async fn a_full_farm_says_so_at_once() {
    let mut farm = farm(0);
    for name in ["a", "b"] {
        farm.add(ajp::balancer::Member::new(name).with_max_requests(1));
        farm.of(name).set(Mood::Stalls);
    }
    let first = farm.balancer.send(get("/")).await.unwrap();
    let second = farm.balancer.send(get("/")).await.unwrap();
    let start = Instant::now();
    let error = farm.get("/").await.unwrap_err();
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(error.unavailable().unwrap().reason(), Reason::Full);
    assert_eq!(error.suggested_status(), 503);
    assert_eq!(error.retry_after(), Some(Duration::from_secs(1)));
    assert!(error.attempts().is_empty());
    assert_eq!(farm.member("a").state, MemberState::Full);
    assert_eq!(farm.balancer.snapshot().refused_full, 1);
    drop((first, second));
    farm.is_quiet();
}

#[tokio::test(start_paused = true)]
async fn a_container_that_does_not_know_cping_is_connected_to() {
    let pool = PoolConfig::default().with_cping(CPingMode::NEVER);
    let farm = Farm::with_pools(2, config(Failover::default()), pool);
    farm.of("a").set(Mood::Chokes);
    assert_eq!(farm.get("/").await.unwrap().body, "b");
    let a = farm.member("a");
    assert_eq!((a.state, a.failed), (MemberState::Ok, 1));
    assert_eq!((farm.of("a").connects(), farm.of("a").pings()), (2, 0));
    farm.of("a").set(Mood::Dead);
    assert_eq!(farm.serving().await, "b");
    farm.of("a").set(Mood::Well);
    sleep(Duration::from_secs(10)).await;
    assert_eq!(farm.serving().await, "ab");
    farm.is_quiet();
}

#[tokio::test(start_paused = true)]
async fn without_a_probe_only_refusals_take_a_member_out() {
    let farm = Farm::new(2, config(Failover::default().with_probe_limit(None)));
    farm.of("a").set(Mood::Chokes);
    assert_eq!(farm.get("/").await.unwrap().body, "b");
    assert_eq!(farm.member("a").state, MemberState::Ok);
    assert_eq!(farm.of("a").pings(), 0);
}

#[tokio::test(start_paused = true)]
async fn bad_answers_take_a_member_out() {
    let outlier = Outlier::default().with_min_requests(5);
    let config =
        config(Failover::default()).with_cluster(ClusterConfig::default().with_outlier(outlier));
    let farm = Farm::new(2, config);
    farm.of("a").set(Mood::Status(503));
    for _ in 0..10 {
        farm.get("/").await.unwrap();
    }
    let a = farm.member("a");
    assert_eq!(a.state, MemberState::Error);
    assert_eq!(a.last_error.as_deref(), Some("too many bad answers"));
    assert_eq!(farm.serving().await, "b");
}

/// An error of the balancer names the request as one of the client does.
#[tokio::test(start_paused = true)]
async fn an_error_names_its_request() {
    let farm = farm(1);
    let named = || {
        let mut request = get("/");
        let id = ajp::client::RequestId::new("8a4e-17").unwrap();
        request.extensions_mut().insert(id);
        request
    };
    farm.of("a").set(Mood::Dead);
    let error = farm.send(named()).await.unwrap_err();
    assert_eq!(error.request_id().unwrap().as_str(), "8a4e-17");
    let inner = error.exchange().unwrap();
    assert_eq!(inner.request_id().unwrap().as_str(), "8a4e-17");
    for text in [error.to_string(), inner.to_string()] {
        assert!(text.ends_with(" (request 8a4e-17)"), "{text}");
    }
    // Nobody was asked: the balancer alone has something to say.
    farm.balancer.remove("a").unwrap();
    let error = farm.send(named()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the balancer has no active member (request 8a4e-17)"
    );
    let error = farm.get("/").await.unwrap_err();
    assert_eq!(error.to_string(), "the balancer has no active member");
}
