//! The members of a cluster behind the lock that a balancer has.

use ajp::balancer::{Choice, Cluster, ClusterConfig, Member, RequestInfo, RequestOutcome};
use shuttle::sync::atomic::{AtomicUsize, Ordering};
use shuttle::sync::{Arc, Mutex};
use shuttle::thread;
use std::time::{Duration, Instant};

const RETRY: Duration = Duration::from_secs(10);

fn cluster(names: &[&str], now: Instant) -> Arc<Mutex<Cluster>> {
    let mut cluster = Cluster::new(ClusterConfig::default().with_retry(RETRY).with_seed(1));
    for name in names {
        cluster.add(Member::new(*name), now).unwrap();
    }
    Arc::new(Mutex::new(cluster))
}

fn pick(cluster: &Mutex<Cluster>, now: Instant) -> Option<Choice> {
    cluster.lock().unwrap().pick(&RequestInfo::new(), now).ok()
}

/// A member that has failed is tried by one request at a time, whatever becomes of the others
/// that were under way; and in the end nobody counts as busy.
pub fn one_request_tries_a_failed_member() {
    let start = Instant::now();
    let cluster = cluster(&["jvm1"], start);
    let trials = Arc::new(AtomicUsize::new(0));
    let first = pick(&cluster, start).unwrap();
    let later = start + RETRY + Duration::from_secs(1);
    let mut threads = Vec::new();
    for answers in [true, false, true] {
        let (cluster, trials) = (Arc::clone(&cluster), Arc::clone(&trials));
        threads.push(thread::spawn(move || {
            let Some(choice) = pick(&cluster, later) else {
                return;
            };
            if choice.is_trial() {
                let others = trials.fetch_add(1, Ordering::SeqCst);
                assert_eq!(others, 0, "two requests try one member");
            }
            let outcome = if answers {
                RequestOutcome::Answered { status: 200 }
            } else {
                RequestOutcome::Unreachable("refused")
            };
            if choice.is_trial() {
                trials.fetch_sub(1, Ordering::SeqCst);
            }
            cluster.lock().unwrap().answered(&choice, outcome, later);
            cluster.lock().unwrap().ended(&choice);
        }));
    }
    cluster
        .lock()
        .unwrap()
        .answered(&first, RequestOutcome::Unreachable("refused"), start);
    cluster.lock().unwrap().ended(&first);
    for thread in threads {
        thread.join().unwrap();
    }
    let now = later + RETRY + Duration::from_secs(1);
    assert!(
        pick(&cluster, now).is_some(),
        "it is tried again, or serves"
    );
}

/// A member that is removed goes with the last of its requests, and no other is disturbed.
pub fn a_member_that_is_removed_goes_with_its_last_request() {
    let now = Instant::now();
    let cluster = cluster(&["jvm1", "jvm2"], now);
    let leaving = cluster.lock().unwrap().find("jvm1").unwrap();
    let mut threads = Vec::new();
    for _ in 0..2 {
        let cluster = Arc::clone(&cluster);
        threads.push(thread::spawn(move || {
            let choice = pick(&cluster, now).unwrap();
            let outcome = RequestOutcome::Answered { status: 200 };
            cluster.lock().unwrap().answered(&choice, outcome, now);
            cluster.lock().unwrap().ended(&choice);
        }));
    }
    cluster.lock().unwrap().remove(leaving, now);
    for thread in threads {
        thread.join().unwrap();
    }
    let mut cluster = cluster.lock().unwrap();
    assert!(cluster.member(leaving).is_none(), "it is still there");
    let left = cluster.pick(&RequestInfo::new(), now).unwrap();
    assert_eq!(cluster.member(left.member()).unwrap().name(), "jvm2");
}
