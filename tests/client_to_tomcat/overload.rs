//! Twice as many requests as Tomcat's threads can serve, with an adaptive limit.

use super::{config, get};
use crate::support::tomcat::Tomcat;
use ajp::balancer::{AdaptiveLimit, Balancer, BalancerConfig, ClusterConfig, Member};
use ajp::client::{Address, Pool};
use http_body_util::BodyExt;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

const THREADS: u32 = 10;
const WORK: Duration = Duration::from_millis(200);
const SECONDS: u32 = 7;

/// One request; how long its answer took, or `None` if it was refused at once.
async fn request(balancer: &Balancer) -> Option<Duration> {
    let start = Instant::now();
    match balancer.send(get("/app/sleep?ms=200")).await {
        Ok(response) => {
            assert_eq!(response.status(), 200);
            response.into_body().collect().await.unwrap();
            Some(start.elapsed())
        }
        Err(error) => {
            assert_eq!(error.suggested_status(), 503, "{error:?}");
            assert!(error.retry_after().is_some(), "{error:?}");
            assert!(error.attempts().is_empty(), "{error:?}");
            assert!(start.elapsed() < Duration::from_millis(100), "{error:?}");
            None
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn overload_ends_in_early_refusals() {
    let tomcat = Tomcat::builder()
        .max_threads(THREADS as usize)
        .start()
        .await;
    let cluster = ClusterConfig::default().with_adaptive_limit(AdaptiveLimit::default());
    let balancer = Balancer::new(
        BalancerConfig::new("app")
            .with_cluster(cluster)
            .with_own_requests(true),
    );
    let pool = Pool::new(Address::from(tomcat.ajp_addr()), config());
    balancer.add(Member::new("a"), pool).unwrap();
    let attending = balancer.clone();
    tokio::spawn(async move { attending.run().await });

    let mut unloaded = Duration::ZERO;
    for _ in 0..5 {
        unloaded = unloaded.max(request(&balancer).await.unwrap());
    }
    let served = Arc::new(Mutex::new(Vec::new()));
    let start = Instant::now();
    let warm = start + Duration::from_secs(4);
    let end = warm + Duration::from_secs(SECONDS.into());
    let every = WORK / THREADS / 2;
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut refused_at_first = 0;
    while ticks.tick().await < end {
        let (balancer, served) = (balancer.clone(), Arc::clone(&served));
        if refused_at_first == 0 && Instant::now() >= warm {
            refused_at_first = balancer.snapshot().refused_full;
        }
        tokio::spawn(async move {
            let took = request(&balancer).await;
            let now = Instant::now();
            if let Some(took) = took.filter(|_| warm <= now && now < end) {
                served.lock().unwrap().push(took);
            }
        });
    }
    let snapshot = balancer.snapshot();
    sleep(Duration::from_secs(1)).await;
    let mut served = std::mem::take(&mut *served.lock().unwrap());
    served.sort();
    let p99 = served[served.len() * 99 / 100];
    let capacity = f64::from(THREADS * SECONDS) / WORK.as_secs_f64();
    let goodput = f64::from(u32::try_from(served.len()).unwrap()) / capacity;
    let limit = snapshot.members[0].adaptive_limit.unwrap();
    println!("goodput {goodput:.3}, p99 {p99:?}, unloaded {unloaded:?}, limit {limit}");
    assert!(snapshot.refused_full > refused_at_first, "{snapshot:?}");
    assert!(goodput >= 0.95, "{goodput}");
    assert!(p99 < unloaded * 3, "{p99:?} {unloaded:?}");
    assert!((THREADS..THREADS * 3).contains(&limit), "{limit}");
    assert_eq!(snapshot.members[0].failed, 0, "{snapshot:?}");
}
