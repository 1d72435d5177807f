//! Sessions over HTTP.

use super::farm::{Answer, Farm, Mood};
use ajp::balancer::{
    Affinity, BalancerConfig, BalancerError, Failover, Member, Reason, RouteCookie, Sticky,
};
use ajp::client::RequestFacts;
use ajp::client::{PoolConfig, Timeouts};
use http::Request;
use std::time::Duration;

fn tomcat() -> Sticky {
    Sticky::new("JSESSIONID|jsessionid").unwrap()
}

fn farm(sticky: Sticky) -> Farm {
    Farm::new(3, BalancerConfig::new("farm").with_sticky(sticky))
}

async fn with_cookie(farm: &Farm, cookie: &str) -> Result<Answer, BalancerError> {
    let request = Request::get("/app").header("cookie", cookie);
    farm.send(request.body(String::new()).unwrap()).await
}

#[tokio::test(start_paused = true)]
async fn a_session_stays() {
    let farm = farm(tomcat());
    for _ in 0..5 {
        let answer = with_cookie(&farm, "JSESSIONID=4F1A.b").await.unwrap();
        assert_eq!(
            (answer.body.as_str(), answer.served.affinity),
            ("b", Affinity::Kept)
        );
        let answer = farm.get("/x;jsessionid=1.c/y").await.unwrap();
        assert_eq!(answer.body, "c");
    }
    let snapshot = farm.balancer.snapshot();
    let own: Vec<_> = snapshot.members.iter().map(|m| m.own_sessions).collect();
    assert_eq!(own, [0, 5, 5]);
    assert_eq!(snapshot.sticky.as_deref(), Some("JSESSIONID|jsessionid"));
    // The container is told what the session id said, on the path as it was.
    let seen = farm.of("c").seen();
    assert_eq!(seen[0].uri, "/x;jsessionid=1.c/y");
    assert_eq!(seen[0].route.as_deref(), Some("c"));
    farm.is_quiet();
}

#[tokio::test(start_paused = true)]
async fn a_route_of_nobody_is_counted_and_shown() {
    let farm = farm(tomcat());
    let answer = with_cookie(&farm, "JSESSIONID=4F1A.jvm9").await.unwrap();
    assert_eq!(answer.served.affinity, Affinity::Unknown);
    let snapshot = farm.balancer.snapshot();
    assert_eq!(snapshot.unknown_routes, 1);
    assert_eq!(snapshot.last_unknown_route.as_deref(), Some("jvm9"));
    assert_eq!(farm.of(&answer.body).seen()[0].route, None);
    let cookie = format!("JSESSIONID=1.<b>{}", "x".repeat(200));
    with_cookie(&farm, &cookie).await.unwrap();
    let shown = farm.balancer.snapshot().last_unknown_route.unwrap();
    assert_eq!(shown.len(), 64);
}

#[tokio::test(start_paused = true)]
async fn a_session_moves_when_its_member_dies() {
    let farm = farm(tomcat());
    farm.of("b").set(Mood::Dead);
    let answer = with_cookie(&farm, "JSESSIONID=1.b").await.unwrap();
    assert_eq!(answer.served.affinity, Affinity::Moved);
    assert_ne!(answer.body, "b");
    assert_eq!(farm.balancer.snapshot().moved_sessions, 1);
    // And returns with it.
    farm.of("b").set(Mood::Well);
    tokio::time::sleep(Duration::from_secs(10)).await;
    let answer = with_cookie(&farm, "JSESSIONID=1.b").await.unwrap();
    assert_eq!(answer.body, "b");
}

#[tokio::test(start_paused = true)]
async fn a_forced_session_is_refused_when_its_member_dies() {
    let farm = farm(tomcat().with_force(true));
    farm.of("b").set(Mood::Dead);
    for attempts in [1, 0] {
        let error = with_cookie(&farm, "JSESSIONID=1.b").await.unwrap_err();
        assert_eq!(error.suggested_status(), 503);
        let none = error.unavailable().unwrap();
        assert_eq!(none.reason(), Reason::SessionLost);
        assert_eq!(error.retry_after(), Some(Duration::from_secs(10)));
        assert_eq!(error.attempts().len(), attempts);
    }
    assert_eq!(farm.balancer.snapshot().refused_sessions, 2);
    assert!(farm.balancer.snapshot().sticky_force);
}

#[tokio::test(start_paused = true)]
async fn a_draining_member_keeps_its_sessions_and_may_be_told() {
    let failover = Failover::default().with_send_activation(true);
    let config = BalancerConfig::new("farm")
        .with_sticky(tomcat())
        .with_failover(failover);
    let farm = Farm::new(2, config);
    let drain = |member: Member| member.with_flags("N".parse().unwrap());
    farm.balancer.update("a", drain).unwrap();
    assert_eq!(farm.serving().await, "b");
    assert_eq!(
        with_cookie(&farm, "JSESSIONID=1.a").await.unwrap().body,
        "a"
    );
    let seen = farm.of("a").seen();
    assert_eq!(seen[0].activation.as_deref(), Some("DIS"));
    assert_eq!(farm.of("b").seen()[0].activation.as_deref(), Some("ACT"));
    let a = farm.member("a");
    assert_eq!(a.own_sessions, 1);
    assert_eq!(a.last_own_session_ago, Some(Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn what_the_caller_knows_of_the_request_is_kept() {
    let farm = farm(tomcat());
    let mut request = Request::get("/")
        .header("cookie", "JSESSIONID=1.a")
        .body(String::new());
    let facts = RequestFacts::own_request().with_attribute("JK_LB_ACTIVATION", "XXX");
    request.as_mut().unwrap().extensions_mut().insert(facts);
    farm.send(request.unwrap()).await.unwrap();
    let seen = farm.of("a").seen();
    assert_eq!(seen[0].activation.as_deref(), Some("XXX"));
    assert_eq!(seen[0].route.as_deref(), Some("a"));
}

#[tokio::test(start_paused = true)]
async fn the_balancers_own_cookie() {
    let cookie = RouteCookie::new("ROUTEID").unwrap();
    let farm = farm(tomcat().with_route_cookie(cookie));
    let answer = farm.get("/").await.unwrap();
    let expected = format!("ROUTEID=.{}; Path=/; HttpOnly; SameSite=Lax", answer.body);
    assert_eq!(answer.cookies, [expected]);
    for _ in 0..3 {
        let again = with_cookie(&farm, &format!("ROUTEID=.{}", answer.body))
            .await
            .unwrap();
        assert_eq!(again.body, answer.body);
        assert!(again.cookies.is_empty(), "it is right as it is");
    }
    // After failover it names the new member.
    farm.of("a").set(Mood::Dead);
    let moved = with_cookie(&farm, "ROUTEID=.a").await.unwrap();
    assert!(moved.cookies[0].starts_with(&format!("ROUTEID=.{};", moved.body)));
}

#[tokio::test(start_paused = true)]
async fn a_session_waits_for_a_full_pool() {
    let limits = Timeouts::default().with_acquire(Duration::from_secs(2));
    let pool = PoolConfig::default()
        .with_max_connections(1)
        .with_timeouts(limits);
    for (moves, expected) in [(false, None), (true, Some(()))] {
        let config = BalancerConfig::new("farm").with_sticky(tomcat().with_move_when_full(moves));
        let farm = Farm::with_pools(2, config, pool.clone());
        farm.of("a").set(Mood::Stalls);
        let stalled = farm.balancer.send(super::farm::get("/")).await.unwrap();
        let answer = with_cookie(&farm, "JSESSIONID=1.a").await;
        assert_eq!(answer.as_ref().ok().map(|_| ()), expected);
        if let Err(error) = answer {
            assert_eq!(error.suggested_status(), 503);
            assert_eq!(error.retry_after(), Some(Duration::from_secs(1)));
        }
        drop(stalled);
    }
}

/// The container is told the route that led to it, whatever else the cookies say.
#[tokio::test(start_paused = true)]
async fn the_route_that_matched_is_told() {
    let farm = farm(tomcat());
    let cookies = "JSESSIONID=1.jvm9; JSESSIONID=2.b; JSESSIONID=3.c";
    assert_eq!(with_cookie(&farm, cookies).await.unwrap().body, "b");
    assert_eq!(farm.of("b").seen()[0].route.as_deref(), Some("b"));
    farm.of("b").set(Mood::Dead);
    assert_eq!(with_cookie(&farm, cookies).await.unwrap().body, "c");
    assert_eq!(farm.of("c").seen()[0].route.as_deref(), Some("c"));
}

/// A session that goes in and another one that comes out: the container had lost it.
#[tokio::test(start_paused = true)]
async fn lost_sessions_are_counted() {
    let farm = farm(tomcat());
    farm.of("b").set(Mood::NewSession);
    let lost = |farm: &Farm| {
        let snapshot = farm.balancer.snapshot();
        assert_eq!(snapshot.lost_sessions, farm.member("b").lost_sessions);
        snapshot.lost_sessions
    };
    with_cookie(&farm, "JSESSIONID=old.b").await.unwrap();
    assert_eq!(lost(&farm), 1);
    // The same id again is only a renewed cookie.
    with_cookie(&farm, "JSESSIONID=new.b").await.unwrap();
    assert_eq!(lost(&farm), 1);
    // Who had none has lost none, nor has one who came from another member.
    for _ in 0..3 {
        farm.get("/").await.unwrap();
    }
    farm.of("a").set(Mood::Dead);
    farm.of("c").set(Mood::Dead);
    with_cookie(&farm, "JSESSIONID=1.a").await.unwrap();
    assert_eq!(lost(&farm), 1);
    assert_eq!(farm.balancer.snapshot().moved_sessions, 1);
    // They were lost whether their member is still there or not: the sum only grows.
    farm.balancer.remove("b").unwrap();
    assert_eq!(farm.balancer.snapshot().lost_sessions, 1);
    farm.balancer.reset_counters();
    assert_eq!(farm.balancer.snapshot().lost_sessions, 0);
}
