//! Health checks, snapshots, and changes while requests run.

use super::farm::{Farm, Mood, get, whole};
use ajp::balancer::{
    AdaptiveLimit, Balancer, BalancerConfig, CPing, ClusterConfig, Failover, Health, HttpCheck,
    Member, MemberState, Method, RequestInfo, RequestOutcome, Sticky,
};
use ajp::client::{Address, CPingMode, Pool, PoolConfig, Timeouts};
use std::time::Duration;
use tokio::time::sleep;

fn checked(health: Health) -> Farm {
    Farm::new(2, BalancerConfig::new("farm").with_health(health))
}

/// Runs the checks beside the test.
fn run(farm: &Farm) -> tokio::task::JoinHandle<()> {
    let balancer = farm.balancer.clone();
    tokio::spawn(async move { balancer.run().await })
}

#[tokio::test(start_paused = true)]
async fn cping_takes_members_out_and_brings_them_back() {
    let farm = checked(Health::new(CPing).with_interval(Duration::from_secs(10)));
    let task = run(&farm);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(
        (farm.of("a").pings(), farm.of("b").pings()),
        (1, 1),
        "at once"
    );
    farm.of("a").set(Mood::Dead);
    sleep(Duration::from_secs(10)).await;
    assert_eq!(
        farm.member("a").state,
        MemberState::Ok,
        "once is not enough"
    );
    sleep(Duration::from_secs(10)).await;
    let a = farm.member("a");
    assert_eq!(a.state, MemberState::Unhealthy);
    assert_eq!(
        a.last_error.as_deref(),
        Some("health check: cannot connect")
    );
    assert_eq!(farm.serving().await, "b");
    farm.of("a").set(Mood::Well);
    sleep(Duration::from_secs(10)).await;
    assert_eq!(farm.member("a").state, MemberState::Ok);
    assert_eq!(farm.serving().await, "ab");
    task.abort();
    let _ = task.await;
    let pings = farm.of("a").pings();
    sleep(Duration::from_secs(60)).await;
    assert_eq!(farm.of("a").pings(), pings, "it ends with its future");
    farm.is_quiet();
}

#[tokio::test(start_paused = true)]
async fn a_check_that_hangs_has_failed() {
    let health = Health::new(CPing)
        .with_limit(Duration::from_secs(2))
        .with_fall(1);
    let farm = checked(health);
    let _task = run(&farm);
    sleep(Duration::from_secs(1)).await;
    farm.of("a").set(Mood::Lost);
    // Its idle connection is not answered either.
    sleep(Duration::from_secs(12)).await;
    let a = farm.member("a");
    assert_eq!(a.state, MemberState::Unhealthy);
    assert_eq!(
        a.last_error.as_deref(),
        Some("health check: no answer in time")
    );
    assert_eq!(
        farm.member("b").state,
        MemberState::Ok,
        "others do not wait for it"
    );
}

#[tokio::test(start_paused = true)]
async fn an_http_check_sees_what_cping_does_not() {
    let check = HttpCheck::get("/app/health".parse().unwrap()).with_body_contains("a");
    assert_eq!(ajp::balancer::Check::describe(&check), "GET /app/health");
    let farm = checked(Health::new(check).with_fall(1));
    let _task = run(&farm);
    sleep(Duration::from_secs(1)).await;
    let seen = farm.of("a").seen();
    assert_eq!(seen[0].uri, "/app/health");
    assert_eq!(farm.member("a").state, MemberState::Ok);
    let b = farm.member("b");
    assert_eq!(b.state, MemberState::Unhealthy);
    assert_eq!(
        b.last_error.as_deref(),
        Some("health check: the response has another body")
    );
    for (mood, state) in [
        (Mood::Status(500), MemberState::Unhealthy),
        (Mood::Status(302), MemberState::Ok),
        (Mood::Chokes, MemberState::Unhealthy),
        (Mood::Well, MemberState::Ok),
    ] {
        farm.of("a").set(mood);
        sleep(Duration::from_secs(10)).await;
        assert_eq!(farm.member("a").state, state, "{mood:?}");
    }
    // Checks are no requests.
    assert_eq!(farm.member("a").elected, 0);
    farm.is_quiet();
}

#[tokio::test(start_paused = true)]
async fn a_member_at_work_is_not_checked_out() {
    // The check gives up after 5 s, the pool before or after that.
    for patience in [1, 30] {
        let limits = Timeouts::default().with_acquire(Duration::from_secs(patience));
        let pool = PoolConfig::default()
            .with_max_connections(1)
            .with_timeouts(limits);
        let config = BalancerConfig::new("farm").with_health(Health::new(CPing).with_fall(1));
        let farm = Farm::with_pools(1, config, pool);
        farm.of("a").set(Mood::Stalls);
        let stalled = farm.balancer.send(get("/")).await.unwrap();
        let _task = run(&farm);
        sleep(Duration::from_secs(55)).await;
        assert_eq!(farm.member("a").state, MemberState::Ok);
        farm.of("a").set(Mood::Well);
        assert_eq!(whole(stalled).await.body, "a");
    }
}

#[tokio::test(start_paused = true)]
async fn checks_follow_the_members() {
    let mut farm = checked(Health::new(CPing));
    let _task = run(&farm);
    sleep(Duration::from_secs(1)).await;
    farm.add(Member::new("c"));
    farm.balancer.remove("b").unwrap();
    let stop = |member: Member| member.with_flags("S".parse().unwrap());
    farm.balancer.update("a", stop).unwrap();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(farm.of("c").pings(), 1, "at once");
    sleep(Duration::from_secs(30)).await;
    assert_eq!((farm.of("a").pings(), farm.of("b").pings()), (1, 1));
    assert!(farm.of("c").pings() >= 3);
}

#[tokio::test(start_paused = true)]
async fn a_removed_member_ends_its_requests() {
    let farm = Farm::new(2, BalancerConfig::new("farm"));
    farm.of("a").set(Mood::Stalls);
    let stalled = farm.balancer.send(get("/")).await.unwrap();
    farm.balancer.remove("a").unwrap();
    assert!(farm.balancer.remove("a").is_err());
    assert_eq!(farm.serving().await, "b");
    let a = farm.member("a");
    assert_eq!((a.state, a.busy), (MemberState::Leaving, 1));
    assert!(a.pool.is_none());
    // Another of its name is another.
    let mut farm = farm;
    farm.add(Member::new("a"));
    farm.containers[0].set(Mood::Well);
    assert_eq!(whole(stalled).await.body, "a");
    assert_eq!(farm.serving().await, "ab");
    assert_eq!(farm.balancer.snapshot().members.len(), 2);
    farm.is_quiet();
}

#[tokio::test(start_paused = true)]
async fn changes_apply_to_the_next_request() {
    let farm = Farm::new(2, BalancerConfig::new("farm"));
    let change = |f: fn(Member) -> Member| farm.balancer.update("a", f);
    change(|a| a.with_flags("+H".parse().unwrap())).unwrap();
    assert_eq!(farm.serving().await, "b");
    change(|a| a.with_flags("".parse().unwrap()).with_set(3)).unwrap();
    assert_eq!(farm.serving().await, "b");
    change(|a| a.with_set(0).with_weight("11".parse().unwrap())).unwrap();
    let mut served = 0;
    for _ in 0..24 {
        served += usize::from(farm.get("/").await.unwrap().body == "a");
    }
    assert!((21..=23).contains(&served), "{served}");
    assert!(change(|a| a.with_route("\u{0}")).is_err());
    assert!(farm.balancer.update("x", |x| x).is_err());
    farm.balancer.set_method("lowestlatency".parse().unwrap());
    assert_eq!(farm.balancer.snapshot().method, "lowestlatency");
    assert!(farm.balancer.sticky().is_none());
    farm.balancer.set_sticky(Sticky::new("SID").unwrap());
    assert_eq!(farm.balancer.snapshot().sticky.as_deref(), Some("SID|SID"));
    assert_eq!(farm.balancer.members()[0].name(), "a");
    assert!(farm.balancer.recover("x").is_err());
}

#[tokio::test(start_paused = true)]
async fn numbers() {
    let farm = Farm::new(
        2,
        BalancerConfig::new("farm").with_sticky(Sticky::new("S").unwrap()),
    );
    for _ in 0..4 {
        farm.get("/").await.unwrap();
    }
    let post = http::Request::post("/")
        .header("cookie", "S=1.a")
        .body("12345".to_owned());
    farm.send(post.unwrap()).await.unwrap();
    farm.of("b").set(Mood::Dead);
    farm.get("/").await.unwrap();
    let snapshot = farm.balancer.snapshot();
    assert_eq!(
        (snapshot.name.as_str(), snapshot.method.as_str()),
        ("farm", "byrequests")
    );
    let (a, b) = (&snapshot.members[0], &snapshot.members[1]);
    assert_eq!(a.address, "ajp://a");
    assert_eq!((a.elected, a.answered, a.failed), (4, 4, 0));
    assert_eq!((a.new_sessions, a.own_sessions), (3, 1));
    assert_eq!((a.sent_bytes, a.received_bytes), (5, 4));
    assert_eq!(a.statuses, [0, 4, 0, 0, 0]);
    assert_eq!((a.busy, a.max_busy), (0, 1));
    assert_eq!(a.latency.count, 4);
    let pool = a.pool.unwrap();
    assert_eq!(
        (pool.idle, pool.created, pool.reused, pool.max),
        (1, 1, 3, 100)
    );
    assert_eq!((b.elected, b.answered, b.failed), (3, 2, 1));
    assert_eq!(b.state, MemberState::Error);
    farm.balancer.recover("b").unwrap();
    assert_eq!(farm.member("b").state, MemberState::Ok);
    farm.balancer.reset_counters();
    let a = farm.member("a");
    assert_eq!(
        (a.elected, a.sent_bytes, a.received_bytes, a.latency.count),
        (0, 0, 0, 0)
    );
    assert_eq!(a.statuses, [0; 5]);
}

#[cfg(feature = "serde")]
#[tokio::test(start_paused = true)]
async fn snapshots_and_members_as_json() {
    let farm = Farm::new(2, BalancerConfig::new("farm"));
    farm.of("a").set(Mood::Dead);
    farm.get("/").await.unwrap();
    let json = serde_json::to_value(farm.balancer.snapshot()).unwrap();
    assert_eq!(json["members"][0]["state"], "error");
    assert_eq!(json["members"][0]["recovery_in"], 10.0);
    assert_eq!(json["members"][0]["weight"], 1.0);
    assert_eq!(json["members"][0]["flags"], "");
    assert_eq!(
        json["members"][1]["statuses"],
        serde_json::json!([0, 1, 0, 0, 0])
    );
    assert_eq!(json["members"][1]["latency"]["count"], 1);
    assert!(json["members"][1]["latency"]["p99"].is_f64());
    // What is configured survives a restart.
    let drain = |m: Member| {
        m.with_flags("N".parse().unwrap())
            .with_weight("2.5".parse().unwrap())
    };
    farm.balancer.update("b", drain).unwrap();
    let text = serde_json::to_string(&farm.balancer.members()).unwrap();
    let members: Vec<Member> = serde_json::from_str(&text).unwrap();
    assert_eq!(members, farm.balancer.members());
    // Fields may be left out, but the name not be forgotten.
    let member: Member = serde_json::from_str(r#"{"name":"x","flags":"+H"}"#).unwrap();
    assert_eq!(member, Member::new("x").with_flags("H".parse().unwrap()));
    let cluster = &mut ajp::balancer::Cluster::new(ajp::balancer::ClusterConfig::default());
    let nameless: Member = serde_json::from_str("{}").unwrap();
    assert!(cluster.add(nameless, std::time::Instant::now()).is_err());
}

#[tokio::test(start_paused = true)]
async fn as_a_service() {
    use tower::ServiceExt;
    let farm = Farm::new(1, BalancerConfig::new("farm"));
    let response = farm.balancer.clone().oneshot(get("/")).await.unwrap();
    assert_eq!(whole(response).await.body, "a");
}

/// Threads that pick, and an operator who changes everything meanwhile.
#[test]
fn picks_from_many_threads_all_end() {
    const EACH: u64 = 5000;
    let balancer = Balancer::new(BalancerConfig::new("farm").with_own_requests(true));
    let pool = || Pool::new(Address::tcp("127.0.0.1", 9), PoolConfig::default());
    for n in 0..5 {
        balancer.add(Member::new(format!("m{n}")), pool()).unwrap();
    }
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut held = std::collections::VecDeque::new();
                for n in 0..EACH {
                    let mut pick = balancer.pick(&RequestInfo::new()).unwrap();
                    pick.answered(if n % 97 == 0 {
                        RequestOutcome::Unreachable("refused")
                    } else {
                        RequestOutcome::Answered { status: 200 }
                    });
                    held.push_back(pick);
                    if held.len() > 10 {
                        held.pop_front();
                    }
                }
            });
        }
        scope.spawn(|| {
            for n in 0..200 {
                let name = ["bytraffic", "bysessions", "leastoutstanding"][n % 3];
                balancer.set_method(name.parse().unwrap());
                let weight = |m: Member| m.with_weight(["1", "3"][n % 2].parse().unwrap());
                balancer.update("m1", weight).unwrap();
                balancer.add(Member::new("extra"), pool()).unwrap();
                assert!(balancer.snapshot().members.len() >= 6);
                balancer.remove("extra").unwrap();
            }
        });
    });
    let members = balancer.snapshot().members;
    assert_eq!(members.len(), 5, "nobody is left over");
    assert!(members.iter().all(|m| m.busy == 0), "{members:?}");
    let elected: u64 = members.iter().map(|m| m.elected).sum();
    assert!(elected > 0 && elected <= 4 * EACH, "{elected}");
}

/// What callers move between threads.
#[test]
fn send_and_sync() {
    fn both<T: Send + Sync>() {}
    fn send<T: Send>() {}
    send::<ajp::balancer::BalancedBody>();
    both::<ajp::balancer::Balancer>();
    both::<ajp::balancer::Pick>();
    both::<ajp::balancer::BalancerError>();
}

/// A container that hangs is found whatever its load: checks need no place in the pool.
#[tokio::test(start_paused = true)]
async fn a_hung_member_is_out_in_time_with_and_without_load() {
    for load in [0, 30] {
        let health = Health::new(CPing)
            .with_interval(Duration::from_secs(10))
            .with_limit(Duration::from_secs(2))
            .with_fall(2);
        let pool = PoolConfig::default().with_max_connections(2);
        let config = BalancerConfig::new("farm").with_health(health);
        let farm = Farm::with_pools(2, config, pool);
        let _task = run(&farm);
        sleep(Duration::from_secs(1)).await;
        farm.of("a").set(Mood::Lost);
        farm.of("b").set(Mood::Silent);
        for _ in 0..load {
            let balancer = farm.balancer.clone();
            tokio::spawn(async move { balancer.send(get("/")).await.map(|_| ()) });
        }
        sleep(Duration::from_secs(22)).await;
        assert_eq!(farm.member("a").state, MemberState::Unhealthy, "{load}");
        // The other one answers CPing, and its requests late.
        assert_eq!(farm.member("b").state, MemberState::Ok, "{load}");
    }
}

/// A container that is at work answers CPing late. It is not dead.
#[tokio::test(start_paused = true)]
async fn a_busy_member_stays_in() {
    for requests in [true, false] {
        let health = Health::new(CPing)
            .with_limit(Duration::from_secs(2))
            .with_fall(1);
        let farm = checked(health);
        let _task = run(&farm);
        sleep(Duration::from_secs(1)).await;
        farm.of("a").set(Mood::Busy);
        for _ in 0..60 {
            sleep(Duration::from_millis(500)).await;
            if requests {
                // Its connections are never idle for so long that they are asked first.
                farm.get("/").await.unwrap();
                farm.get("/").await.unwrap();
            }
        }
        let state = farm.member("a").state;
        assert_eq!(state == MemberState::Ok, requests, "{state:?}");
    }
}

#[derive(Debug)]
struct Panicking(std::sync::Arc<std::sync::atomic::AtomicUsize>);

impl ajp::balancer::Check for Panicking {
    fn check<'a>(&'a self, _: &'a Pool) -> ajp::balancer::Checking<'a> {
        self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Box::pin(async { panic!("a fault of the check") })
    }

    fn describe(&self) -> String {
        "panics".into()
    }
}

#[tokio::test(start_paused = true)]
async fn a_check_that_panics_waits_for_its_interval() {
    let count = std::sync::Arc::default();
    let health = Health::new(Panicking(std::sync::Arc::clone(&count)));
    let farm = Farm::new(1, BalancerConfig::new("farm").with_health(health));
    let _task = run(&farm);
    sleep(Duration::from_secs(105)).await;
    let count = count.load(std::sync::atomic::Ordering::SeqCst);
    assert!((10..=12).contains(&count), "{count} in 105 s");
    assert_eq!(farm.member("a").state, MemberState::Ok, "it says nothing");
}

#[tokio::test(start_paused = true)]
async fn no_check_begins_while_the_last_one_runs() {
    let health = Health::new(CPing)
        .with_interval(Duration::from_secs(1))
        .with_limit(Duration::from_secs(4));
    let farm = checked(health);
    farm.of("a").set(Mood::Lost);
    let _task = run(&farm);
    sleep(Duration::from_secs(41)).await;
    let connects = farm.of("a").connects();
    assert!((10..=11).contains(&connects), "{connects} in 41 s");
    assert!(farm.of("b").connects() >= 40);
}

/// Nothing of the user's runs under the balancer's lock.
#[test]
fn what_the_balancer_calls_may_ask_the_balancer() {
    #[derive(Debug)]
    struct Asks(std::sync::OnceLock<Balancer>);

    impl ajp::balancer::Choose for Asks {
        fn name(&self) -> &'static str {
            assert!(!self.0.get().unwrap().members().is_empty());
            "asks"
        }

        fn choose(&self, _: &RequestInfo<'_>, all: &[ajp::balancer::Candidate]) -> usize {
            let balancer = self.0.get().unwrap();
            // Even what changes its mind: the one that it chooses is gone.
            if balancer.members().len() == 2 {
                balancer.remove("a").unwrap();
            }
            assert_eq!(balancer.snapshot().method, "asks");
            assert!(!all.is_empty());
            0
        }
    }

    let balancer = Balancer::new(BalancerConfig::new("farm"));
    let pool = || Pool::new(Address::tcp("127.0.0.1", 9), PoolConfig::default());
    for name in ["a", "b"] {
        balancer.add(Member::new(name), pool()).unwrap();
    }
    let (done, is_done) = std::sync::mpsc::channel();
    let inner = balancer.clone();
    std::thread::spawn(move || {
        let mut calls = 0;
        let other = inner.clone();
        inner
            .update("a", |member| {
                calls += 1;
                // Somebody changes the same member meanwhile: neither change is lost.
                if calls == 1 {
                    let set = |member: Member| member.with_set(7);
                    other.update("a", set).unwrap();
                }
                member.with_weight("3".parse().unwrap())
            })
            .unwrap();
        assert_eq!(calls, 2);
        let a = inner.snapshot().members.remove(0);
        assert_eq!((a.set, a.weight.hundredths()), (7, 300));
        let asks = std::sync::Arc::new(Asks(std::sync::OnceLock::new()));
        asks.0.set(inner.clone()).unwrap();
        inner.set_method(ajp::balancer::Method::Custom(asks));
        let both = RequestInfo::new();
        inner.update("a", |member| member.with_set(0)).unwrap();
        let pick = inner.pick(&both);
        done.send(pick.map(|pick| pick.member().name().to_owned()))
            .unwrap();
    });
    let picked = is_done.recv_timeout(Duration::from_secs(10));
    assert_eq!(picked.expect("no deadlock").unwrap(), "b");
}

#[tokio::test(start_paused = true)]
async fn changes_of_members_are_events() {
    use ajp::balancer::MemberChange;
    let mut farm = Farm::new(2, BalancerConfig::new("farm"));
    let mut events = farm.balancer.events();
    farm.of("a").set(Mood::Dead);
    assert_eq!(farm.serving().await, "b");
    farm.balancer.recover("a").unwrap();
    farm.add(Member::new("c"));
    farm.balancer.remove("c").unwrap();
    let mut told = Vec::new();
    for _ in 0..5 {
        let event = events.next().await.unwrap();
        told.push((event.name, event.change));
    }
    let failed = MemberChange::Failed {
        error: "cannot connect".into(),
        pause: Duration::from_secs(10),
    };
    let expected = [
        ("a", failed),
        ("a", MemberChange::Recovered),
        ("c", MemberChange::Added),
        ("c", MemberChange::Leaving),
        ("c", MemberChange::Removed),
    ];
    assert_eq!(
        told,
        expected.map(|(name, change)| (name.to_owned(), change))
    );
    drop(farm);
    assert_eq!(events.next().await, None);
}

#[cfg(feature = "serde")]
#[test]
fn times_are_written_as_they_are_read_and_what_is_misspelt_is_refused() {
    let member = Member::new("a")
        .with_retry(Duration::from_millis(2500))
        .with_slow_start(Duration::from_secs(30));
    let text = serde_json::to_string(&member).unwrap();
    assert!(
        text.contains(r#""retry":2.5"#) && text.contains(r#""slow_start":30.0"#),
        "{text}"
    );
    assert_eq!(serde_json::from_str::<Member>(&text).unwrap(), member);
    let member: Member = serde_json::from_str(r#"{"name":"a","retry":7}"#).unwrap();
    assert_eq!(member, Member::new("a").with_retry(Duration::from_secs(7)));
    for wrong in [r#"{"name":"a","wieght":2}"#, r#"{"name":"a","retry":-1}"#] {
        let error = serde_json::from_str::<Member>(wrong)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("wieght") || error.contains("seconds"),
            "{error}"
        );
    }
}

/// A drain ends when nothing runs and no session was seen for as long as sessions live.
#[tokio::test(start_paused = true)]
async fn a_member_is_drained() {
    use ajp::balancer::Drained;
    let config = BalancerConfig::new("farm").with_sticky(Sticky::new("S").unwrap());
    let farm = Farm::new(2, config);
    let session = || {
        let request = http::Request::get("/").header("cookie", "S=1.a");
        request.body(String::new()).unwrap()
    };
    let minutes = |n: u64| Duration::from_secs(n * 60);
    farm.send(session()).await.unwrap();
    let drain = farm.balancer.drain("a").unwrap();
    let drain = drain.with_session_timeout(minutes(10));
    let start = tokio::time::Instant::now();
    let waiting = tokio::spawn(drain.clone().finish());
    assert_eq!(farm.serving().await, "b");
    // Its sessions go on, and while they do it is not empty.
    for _ in 0..3 {
        sleep(minutes(5)).await;
        assert_eq!(farm.send(session()).await.unwrap().body, "a");
    }
    assert_eq!(waiting.await.unwrap(), Drained::Empty);
    let took = start.elapsed();
    assert!(took >= minutes(25) && took < minutes(26), "{took:?}");
    // A request that runs is waited for, but not for ever.
    farm.of("a").set(Mood::Stalls);
    let stalled = farm.balancer.send(session()).await.unwrap();
    let limited = drain
        .clone()
        .with_session_timeout(Duration::ZERO)
        .with_at_most(minutes(1));
    let start = tokio::time::Instant::now();
    assert_eq!(limited.finish().await, Drained::TimeUp { busy: 1 });
    assert_eq!(start.elapsed(), minutes(1));
    drop(stalled);
    // Whoever takes it back ends the drain.
    let waiting = tokio::spawn(drain.finish());
    sleep(minutes(1)).await;
    farm.balancer
        .update("a", |a| a.with_flags("".parse().unwrap()))
        .unwrap();
    assert_eq!(waiting.await.unwrap(), Drained::NotDraining);
    assert!(farm.balancer.drain("x").is_err());
}

/// Sets of members, sent by the test.
#[derive(Debug)]
struct Sets(tokio::sync::mpsc::Receiver<Vec<ajp::balancer::Discovered>>);

impl ajp::balancer::Discover for Sets {
    fn next_set(&mut self) -> ajp::balancer::Discovering<'_> {
        Box::pin(self.0.recv())
    }
}

/// Has the balancer follow the sets that are sent here, until there is no sender any more.
fn follow_sets(
    farm: &Farm,
) -> (
    tokio::sync::mpsc::Sender<Vec<ajp::balancer::Discovered>>,
    tokio::task::JoinHandle<()>,
) {
    let (sets, receiver) = tokio::sync::mpsc::channel(1);
    let balancer = farm.balancer.clone();
    let following = tokio::spawn(async move {
        balancer
            .follow(Sets(receiver), ajp::balancer::Leaving::default())
            .await;
    });
    (sets, following)
}

#[tokio::test(start_paused = true)]
async fn a_balancer_follows_a_discovery() {
    let mut farm = Farm::new(0, BalancerConfig::new("farm"));
    let (sets, following) = follow_sets(&farm);
    let names = |farm: &Farm| {
        let members = farm.balancer.members();
        let names: Vec<_> = members.iter().map(|m| m.name().to_owned()).collect();
        names.concat()
    };
    let moment = || sleep(Duration::from_millis(10));
    let set = |farm: &mut Farm, names: &str| {
        let one = |name: char| farm.discovered(Member::new(name.to_string()));
        names.chars().map(one).collect::<Vec<_>>()
    };
    let first = set(&mut farm, "ab");
    sets.send(first).await.unwrap();
    moment().await;
    assert_eq!(farm.serving().await, "ab");
    let elected = farm.member("a").elected;
    assert!(elected > 0);
    // Nothing is no news, and a set that is as before changes nothing.
    sets.send(Vec::new()).await.unwrap();
    let again = set(&mut farm, "ab");
    sets.send(again).await.unwrap();
    moment().await;
    assert_eq!(
        (names(&farm), farm.member("a").elected),
        ("ab".into(), elected)
    );
    // One comes, one goes: what it serves ends undisturbed.
    farm.containers.iter().for_each(|one| one.set(Mood::Stalls));
    let (one, two) = (get("/"), get("/"));
    let stalled = [
        farm.balancer.send(one).await.unwrap(),
        farm.balancer.send(two).await.unwrap(),
    ];
    let next = set(&mut farm, "bc");
    sets.send(next).await.unwrap();
    moment().await;
    assert_eq!(names(&farm), "abc", "a drains");
    farm.containers.iter().for_each(|one| one.set(Mood::Well));
    for response in stalled {
        assert_eq!(whole(response).await.status, 200);
    }
    sleep(Duration::from_secs(1)).await;
    assert_eq!(
        (names(&farm), farm.serving().await),
        ("bc".into(), "bc".into())
    );
    // Gone for a moment, and back before it was empty: it is kept with all that is known.
    farm.containers.iter().for_each(|one| one.set(Mood::Stalls));
    let (one, two) = (get("/"), get("/"));
    let stalled = [
        farm.balancer.send(one).await.unwrap(),
        farm.balancer.send(two).await.unwrap(),
    ];
    let id = farm.member("b").id;
    for names in ["c", "bc"] {
        let set = set(&mut farm, names);
        sets.send(set).await.unwrap();
        moment().await;
    }
    drop(stalled);
    farm.containers.iter().for_each(|one| one.set(Mood::Well));
    sleep(Duration::from_secs(60)).await;
    assert_eq!((names(&farm), farm.member("b").id), ("bc".into(), id));
    assert_eq!(farm.serving().await, "bc");
    drop(sets);
    following.await.unwrap();
}

/// A discovery's sets are about the members that it has found, whatever others are called.
#[tokio::test(start_paused = true)]
async fn members_that_were_added_otherwise_are_left_alone() {
    let mut farm = Farm::new(1, BalancerConfig::new("farm"));
    let (sets, _following) = follow_sets(&farm);
    let weight = |farm: &Farm, name: &str| farm.member(name).weight.hundredths();
    let heavy = |farm: &mut Farm, names: &str, weight: &str| {
        let member =
            |name: char| Member::new(name.to_string()).with_weight(weight.parse().unwrap());
        let names = names.chars();
        names
            .map(|name| farm.discovered(member(name)))
            .collect::<Vec<_>>()
    };
    // `a` is the program's own: it stays as that says, and stays when the discovery loses it.
    for (names, told) in [("ab", "7"), ("ab", "8"), ("b", "8")] {
        let set = heavy(&mut farm, names, told);
        sets.send(set).await.unwrap();
        sleep(Duration::from_secs(60)).await;
        assert_eq!(weight(&farm, "a"), 100);
        assert_eq!(weight(&farm, "b"), told.parse::<u32>().unwrap() * 100);
    }
    assert_eq!(farm.serving().await, "ab");
    // Removed by hand it is the discovery's, as soon as that tells a set again.
    farm.balancer.remove("a").unwrap();
    let set = heavy(&mut farm, "ab", "9");
    sets.send(set).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(weight(&farm, "a"), 900);
    // One of the discovery that is removed by hand is gone until the discovery has lost it.
    farm.balancer.remove("b").unwrap();
    for (names, serving) in [("ab", "a"), ("abc", "ac"), ("ac", "ac"), ("abc", "abc")] {
        let set = heavy(&mut farm, names, "9");
        sets.send(set).await.unwrap();
        sleep(Duration::from_secs(1)).await;
        assert_eq!(farm.serving().await, serving, "{names}");
    }
    // Its name may be taken by another one meanwhile, which is no affair of the discovery's.
    farm.balancer.remove("c").unwrap();
    farm.add(Member::new("c"));
    for names in ["ab", "abc", "ab"] {
        let set = heavy(&mut farm, names, "9");
        sets.send(set).await.unwrap();
        sleep(Duration::from_secs(60)).await;
        assert_eq!(weight(&farm, "c"), 100, "{names}");
    }
    assert!(
        farm.member("c").flags.to_string().is_empty(),
        "it does not drain"
    );
}

/// A request that goes from member to member finds those of the moment: one that was removed
/// meanwhile is not asked, and one that has come is.
#[tokio::test(start_paused = true)]
async fn a_request_that_is_repeated_finds_the_members_of_that_moment() {
    let mut farm = Farm::new(2, BalancerConfig::new("farm"));
    let moment = || sleep(Duration::from_millis(1));
    let busy_one = |farm: &Farm| {
        let members = farm.balancer.snapshot().members.into_iter();
        let busy = members.filter(|member| member.busy == 1);
        let names: Vec<_> = busy.map(|member| member.name).collect();
        assert_eq!(names.len(), 1, "{names:?}");
        names.concat()
    };
    farm.containers.iter().for_each(|one| one.set(Mood::Silent));
    let sending = farm.balancer.clone();
    let sent = tokio::spawn(async move { sending.send(get("/")).await });
    moment().await;
    let first = busy_one(&farm);
    let other = if first == "a" { "b" } else { "a" };
    farm.balancer.remove(other).unwrap();
    farm.add(Member::new("c"));
    farm.of("c").set(Mood::Silent);
    farm.of(&first).set(Mood::Dead);
    moment().await;
    assert_eq!(busy_one(&farm), "c");
    assert_eq!(farm.of(other).seen(), [], "it was removed");
    // The one that has it now is removed, and one comes back under the name of the first.
    farm.balancer.remove("c").unwrap();
    farm.balancer.remove(&first).unwrap();
    farm.add(Member::new(first.clone()));
    farm.of("c").set(Mood::Dead);
    let answer = whole(sent.await.unwrap().unwrap()).await;
    assert_eq!((answer.status, answer.body), (200, first.clone()));
    farm.is_quiet();

    // Nobody is left while it is tried: it ends with what it has found out.
    farm.of(&first).set(Mood::Silent);
    let sending = farm.balancer.clone();
    let sent = tokio::spawn(async move { sending.send(get("/")).await });
    moment().await;
    farm.balancer.remove(&first).unwrap();
    farm.of(&first).set(Mood::Dead);
    let error = sent.await.unwrap().unwrap_err();
    assert_eq!(error.attempts().len(), 1, "{error}");
    assert!(
        farm.balancer.snapshot().members.is_empty(),
        "its last request has ended"
    );
}

/// A member that is back in the set is not removed by the drain that its absence had begun, though
/// an operator drains it meanwhile.
#[tokio::test(start_paused = true)]
async fn who_is_back_leaves_no_more() {
    let mut farm = Farm::new(1, BalancerConfig::new("farm"));
    let (sets, _following) = follow_sets(&farm);
    let set = |farm: &mut Farm, names: &str| {
        let one = |name: char| farm.discovered(Member::new(name.to_string()));
        names.chars().map(one).collect::<Vec<_>>()
    };
    let both = set(&mut farm, "bc");
    sets.send(both).await.unwrap();
    sleep(Duration::from_millis(1)).await;
    farm.of("b").set(Mood::Stalls);
    let info = ajp::balancer::RequestInfo::new().with_member("b");
    let busy = farm.balancer.pick(&info).unwrap();
    for names in ["c", "bc"] {
        let set = set(&mut farm, names);
        sets.send(set).await.unwrap();
        sleep(Duration::from_millis(1)).await;
    }
    // Before the first drain has looked again.
    let drain = farm.balancer.drain("b").unwrap();
    drop(busy);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(
        farm.balancer.members().len(),
        3,
        "b drains as the operator has said"
    );
    assert_eq!(
        drain.with_at_most(Duration::from_secs(1)).finish().await,
        ajp::balancer::Drained::TimeUp { busy: 0 }
    );
}

/// Sets that change at random under load: no request is lost that had a member to serve it.
#[tokio::test(start_paused = true)]
async fn members_that_come_and_go_lose_no_request() {
    const SETS: usize = if cfg!(debug_assertions) { 500 } else { 10_000 };
    let mut random = super::random::Random::new(22);
    let mut farm = Farm::new(0, BalancerConfig::new("farm"));
    let (sets, _following) = follow_sets(&farm);
    // One member is always there.
    let always = farm.discovered(Member::new("a"));
    sets.send(vec![always]).await.unwrap();
    sleep(Duration::from_millis(1)).await;
    let id = farm.member("a").id;
    for _ in 0..SETS {
        let mut set = Vec::new();
        if !random.one_in(10) {
            set.push(farm.discovered(Member::new("a")));
            for name in ["b", "c", "d", "e"] {
                if random.one_in(2) {
                    set.push(farm.discovered(Member::new(name)));
                }
            }
        }
        let requests: Vec<_> = (0..3).map(|_| farm.balancer.send(get("/"))).collect();
        let (answers, delivered) =
            tokio::join!(futures_util::future::join_all(requests), sets.send(set));
        delivered.unwrap();
        for answer in answers {
            assert_eq!(whole(answer.unwrap()).await.status, 200);
        }
        sleep(Duration::from_millis(random.below(300) as u64)).await;
    }
    assert_eq!(farm.member("a").id, id, "what stays is kept");
    let known: u64 = farm.member("a").elected;
    assert!(known > SETS as u64 / 2, "{known}");
}

/// A wrong secret is a plain 403 for the visitor. The operator is told what it is.
#[tokio::test(start_paused = true)]
async fn a_refusal_is_shown() {
    let farm = Farm::new(1, BalancerConfig::new("farm"));
    farm.of("a").set(Mood::Status(403));
    assert_eq!(farm.get("/").await.unwrap().status, 403);
    assert_eq!(farm.member("a").last_error, None, "of the application");
    farm.of("a").set(Mood::Refuses);
    assert_eq!(farm.get("/").await.unwrap().status, 403);
    let a = farm.member("a");
    let error = a.last_error.unwrap();
    assert!(
        error.contains("secret") && error.contains("attribute"),
        "{error}"
    );
    assert_eq!((a.state, a.failed), (MemberState::Ok, 0));
}

/// A container whose packet size is smaller only closes. The operator is told what that means.
#[tokio::test(start_paused = true)]
async fn a_packet_size_that_differs_is_shown() {
    let pool = PoolConfig::default().try_with_packet_size(65536).unwrap();
    let farm = Farm::with_pools(1, BalancerConfig::new("farm"), pool);
    let mut long = get("/");
    let value = "x".repeat(9000).parse().unwrap();
    long.headers_mut().insert("x-long", value);
    farm.send(long).await.unwrap_err();
    let error = farm.member("a").last_error.unwrap();
    assert!(error.contains("packet size"), "{error}");
}

/// What is changed while requests run is what is shown.
#[tokio::test(start_paused = true)]
async fn settings_are_shown_as_they_were_set() {
    let farm = checked(Health::new(CPing));
    let balancer = &farm.balancer;
    assert!(balancer.is_same(&balancer.clone()));
    assert!(!balancer.is_same(&Farm::new(1, BalancerConfig::new("farm")).balancer));
    let pool = balancer.pool("a").unwrap();
    assert!(pool.is_same(&balancer.pool("a").unwrap()));
    assert!(!pool.is_same(&balancer.pool("b").unwrap()));
    assert!(balancer.pool("c").is_none());
    let named = Pool::new(
        Address::tcp("127.0.0.1", 8009),
        PoolConfig::new().with_name("named"),
    );
    assert_eq!(
        (named.name(), named.peer()),
        ("named", "ajp://127.0.0.1:8009")
    );
    let secrets = ["new", "old"].map(|text| ajp::Secret::new(text).unwrap());
    named.set_secrets(secrets.clone());
    assert_eq!(named.secrets(), secrets);

    balancer.set_method(Method::ByTraffic);
    assert!(matches!(balancer.method(), Method::ByTraffic));
    assert!(balancer.sticky().is_none());
    balancer.set_sticky(Sticky::new("A|b").unwrap());
    assert_eq!(balancer.sticky().unwrap().names(), "A|b");
    let failover = Failover::default().with_max_attempts(7);
    balancer.set_failover(failover);
    assert_eq!(balancer.failover().max_attempts(), Some(7));
    let config = ClusterConfig::default().with_retry(Duration::from_secs(77));
    balancer.set_cluster_config(config);
    assert_eq!(balancer.cluster_config().retry(), Duration::from_secs(77));

    let task = run(&farm);
    farm.of("a").set(Mood::Dead);
    sleep(Duration::from_secs(30)).await;
    assert_eq!(farm.member("a").state, MemberState::Unhealthy);
    let health = Health::new(CPing).with_rise(7);
    balancer.set_health(health);
    assert_eq!(balancer.health().unwrap().rise(), 7);
    assert_eq!(farm.member("a").state, MemberState::Unhealthy);
    balancer.set_health(None);
    assert!(balancer.health().is_none());
    assert_eq!(
        farm.member("a").state,
        MemberState::Ok,
        "nobody asks any more"
    );
    task.abort();
}

/// With an adaptive limit a member under load is asked once a second how long a request waits for
/// a thread of it, and an idle one is left alone.
#[tokio::test(start_paused = true)]
async fn a_member_under_load_is_asked_how_long_requests_wait() {
    let limit = AdaptiveLimit::default().with_initial(8);
    for (requests, pings, cping) in [
        (0, 0, CPingMode::default()),
        (2, 0, CPingMode::default()),
        (3, 10, CPingMode::default()),
        (3, 0, CPingMode::NEVER),
    ] {
        let config = ClusterConfig::default().with_adaptive_limit(limit.clone());
        let config = BalancerConfig::new("farm").with_cluster(config);
        let farm = Farm::with_pools(1, config, PoolConfig::new().with_cping(cping));
        farm.of("a").set(Mood::Silent);
        let running: Vec<_> = (0..requests)
            .map(|_| {
                let balancer = farm.balancer.clone();
                tokio::spawn(async move { balancer.send(get("/")).await.map(drop) })
            })
            .collect();
        let task = run(&farm);
        sleep(Duration::from_millis(10_500)).await;
        assert_eq!(farm.of("a").pings(), pings, "{requests} {cping:?}");
        task.abort();
        running.iter().for_each(tokio::task::JoinHandle::abort);
    }
}
