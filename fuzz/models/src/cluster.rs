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

/// How a request ends, and what that says of its member.
const ANSWERED: RequestOutcome<'static> = RequestOutcome::Answered { status: 200 };
const REFUSED: RequestOutcome<'static> = RequestOutcome::Unreachable("refused");
const GIVEN_UP: RequestOutcome<'static> = RequestOutcome::Unknown;

fn end(cluster: &Mutex<Cluster>, choice: &Choice, outcome: RequestOutcome<'_>, now: Instant) {
    cluster.lock().unwrap().answered(choice, outcome, now);
    cluster.lock().unwrap().ended(choice);
}

/// Two requests are under way when their member fails: the first says so, and the second ends as
/// nobody knows. Later three others come, which end like this; only one at a time may try it. The
/// cluster, when all is over, and the time.
fn after_trials(outcomes: [RequestOutcome<'static>; 3]) -> (Arc<Mutex<Cluster>>, Instant) {
    let start = Instant::now();
    let cluster = cluster(&["jvm1"], start);
    let trials = Arc::new(AtomicUsize::new(0));
    let [first, second] = [(); 2].map(|()| pick(&cluster, start).unwrap());
    let later = start + RETRY + Duration::from_secs(1);
    let threads = outcomes.map(|outcome| {
        let (cluster, trials) = (Arc::clone(&cluster), Arc::clone(&trials));
        thread::spawn(move || {
            let Some(choice) = pick(&cluster, later) else {
                return;
            };
            if choice.is_trial() {
                let others = trials.fetch_add(1, Ordering::SeqCst);
                assert_eq!(others, 0, "two requests try one member");
                trials.fetch_sub(1, Ordering::SeqCst);
            }
            end(&cluster, &choice, outcome, later);
        })
    });
    end(&cluster, &first, REFUSED, start);
    end(&cluster, &second, GIVEN_UP, later);
    for thread in threads {
        thread.join().unwrap();
    }
    (cluster, later)
}

/// A member that has failed is tried by one request at a time, whatever becomes of the others
/// that were under way; and it is not left out for ever.
pub fn one_request_tries_a_failed_member() {
    let (cluster, later) = after_trials([ANSWERED, REFUSED, ANSWERED]);
    let now = later + RETRY + Duration::from_secs(1);
    let served = pick(&cluster, now);
    assert!(served.is_some(), "it is tried again, or serves");
}

/// Where a request that tried a member was given up, the next one tries it, and waits for nothing.
pub fn a_trial_that_is_given_up_is_for_the_next() {
    let (cluster, later) = after_trials([GIVEN_UP, ANSWERED, GIVEN_UP]);
    assert!(pick(&cluster, later).is_some(), "it waits for nobody");
}

/// A member that is removed goes with the last of its requests, and no other is disturbed.
pub fn a_member_that_is_removed_goes_with_its_last_request() {
    let now = Instant::now();
    let cluster = cluster(&["jvm1", "jvm2"], now);
    let leaving = cluster.lock().unwrap().find("jvm1").unwrap();
    let mut threads = Vec::new();
    // So many that two of them may be its.
    for _ in 0..3 {
        let cluster = Arc::clone(&cluster);
        threads.push(thread::spawn(move || {
            let choice = pick(&cluster, now).unwrap();
            let member = choice.member();
            assert!(
                cluster.lock().unwrap().member(member).is_some(),
                "it is gone"
            );
            end(&cluster, &choice, ANSWERED, now);
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
