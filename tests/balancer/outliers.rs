//! Members that answer, but worse or later than the others.

use crate::lab::{DOWN, Lab, OK, members};
use ajp::balancer::{Affinity, ClusterConfig, MemberChange, Outlier, RequestInfo, RequestOutcome};
use std::time::Duration;

const BAD: RequestOutcome<'static> = RequestOutcome::Answered { status: 503 };

fn lab(outlier: Outlier, names: &str) -> Lab {
    let config = ClusterConfig::default().with_outlier(outlier).with_seed(1);
    Lab::new(config, members(names))
}

fn by_latency() -> Outlier {
    Outlier::default()
        .with_peer_latency(300)
        .with_min_requests(10)
}

/// Requests of all members, each of which takes what `time` says of its member.
fn answer(lab: &mut Lab, count: usize, time: impl Fn(&str) -> u64) {
    for _ in 0..count {
        let choice = lab.hold().unwrap();
        let took = time(&lab.name(&choice));
        lab.now += Duration::from_millis(took);
        lab.done(&choice, OK);
    }
}

/// How often and for how long a member was taken out since the last look.
fn ejections(lab: &mut Lab, name: &str) -> Vec<(u32, u64)> {
    let changes = lab.cluster.take_changes().into_iter();
    let changes = changes.filter(|event| event.name == name);
    changes
        .filter_map(|event| match event.change {
            MemberChange::Ejected { times, pause } => Some((times, pause.as_secs())),
            _ => None,
        })
        .collect()
}

#[test]
fn a_member_that_takes_three_times_as_long_is_taken_out_and_longer_when_it_stays_so() {
    let mut lab = lab(by_latency(), "a b c");
    let slow = |name: &str| if name == "b" { 95 } else { 30 };
    answer(&mut lab, 60, slow);
    assert_eq!(ejections(&mut lab, "b"), [(1, 30)]);
    assert_eq!(lab.serving(), ["a", "c"]);
    lab.pass(30);
    answer(&mut lab, 60, slow);
    assert_eq!(ejections(&mut lab, "b"), [(2, 60)], "longer");
    lab.pass(60);
    // As quick as the others for a while: all is forgotten.
    answer(&mut lab, 600, |_| 30);
    assert_eq!(ejections(&mut lab, "b"), []);
    answer(&mut lab, 600, slow);
    assert_eq!(ejections(&mut lab, "b").first(), Some(&(1, 30)));
    for other in ["a", "c"] {
        assert_eq!(ejections(&mut lab, other), []);
    }
}

#[test]
fn nobody_is_slow_for_a_few_milliseconds_or_without_others_to_compare_with() {
    // Four times as long, and 6 ms.
    let mut one = lab(by_latency(), "a b c");
    answer(&mut one, 90, |name| if name == "b" { 8 } else { 2 });
    assert_eq!(one.serving(), ["a", "b", "c"]);
    // All slow alike, whatever for.
    answer(&mut one, 90, |_| 900);
    assert_eq!(one.serving(), ["a", "b", "c"]);
    // Of two nobody knows which one is slow.
    let mut two = lab(by_latency(), "a b");
    answer(&mut two, 90, |name| if name == "b" { 900 } else { 10 });
    assert_eq!(two.serving(), ["a", "b"]);
    // Two of three are slow: one is taken out, and half must stay.
    let mut three = lab(by_latency(), "a b c");
    answer(&mut three, 90, |name| if name == "a" { 10 } else { 900 });
    assert_eq!(three.serving().len(), 2);
    // Off unless it is wanted.
    let mut off = lab(Outlier::default().with_min_requests(10), "a b c");
    answer(&mut off, 90, |name| if name == "b" { 900 } else { 10 });
    assert_eq!(off.serving(), ["a", "b", "c"]);
}

/// A session that most requests of would succeed stays, since elsewhere it may be unknown.
#[test]
fn sessions_of_a_slow_member_stay_until_it_fails() {
    let slow = |name: &str| if name == "b" { 200 } else { 10 };
    let ejected = || {
        let mut lab = lab(by_latency(), "a b c");
        answer(&mut lab, 60, slow);
        assert_eq!(lab.serving(), ["a", "c"]);
        lab
    };
    let mut lab = ejected();
    assert_eq!(lab.bound("b"), Ok(("b".into(), Affinity::Kept)));
    // It cannot be reached any more: the session moves with this very request.
    let bound = |lab: &mut Lab, outcome| {
        let sticky = lab.sticky.clone();
        let session = sticky.session(b"/", [&b"S=1.b"[..]]);
        let info = RequestInfo::new().with_session(&session);
        let choice = lab.ask(&info).unwrap();
        lab.done(&choice, outcome);
        (lab.name(&choice), choice.affinity())
    };
    assert_eq!(bound(&mut lab, DOWN).0, "b");
    assert_eq!(bound(&mut lab, OK).1, Affinity::Moved);

    // Its sessions get bad answers too: when most are, they go.
    let mut lab = ejected();
    for _ in 0..10 {
        assert_eq!(bound(&mut lab, BAD), ("b".into(), Affinity::Kept));
    }
    assert_eq!(bound(&mut lab, OK).1, Affinity::Moved);

    // After the pause one request tries it, and all is well again.
    let mut lab = ejected();
    lab.pass(30);
    assert_eq!(lab.bound("b"), Ok(("b".into(), Affinity::Kept)));
    assert_eq!(lab.serving(), ["a", "b", "c"]);
}

#[test]
fn sessions_leave_a_member_that_was_taken_out_for_mostly_bad_answers() {
    let outlier = Outlier::default().with_min_requests(10);
    for (bad_of_ten, limit, affinity) in [(4, 40, Affinity::Kept), (6, 50, Affinity::Moved)] {
        let mut lab = lab(outlier.clone().with_bad_percent(limit), "a b c");
        let mut of_b = 0;
        while ejections(&mut lab, "b").is_empty() {
            let choice = lab.hold().unwrap();
            let mut outcome = OK;
            if lab.name(&choice) == "b" {
                of_b += 1;
                if of_b % 10 < bad_of_ten {
                    outcome = BAD;
                }
            }
            lab.done(&choice, outcome);
            assert!(of_b < 1000);
        }
        assert_eq!(lab.serving(), ["a", "c"]);
        assert_eq!(
            lab.bound("b").unwrap().1,
            affinity,
            "{bad_of_ten} of ten bad"
        );
    }
}
