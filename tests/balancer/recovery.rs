//! Members that fail, and how they come back.

use super::lab::{DOWN, Lab, OK, members};
use ajp::balancer::{
    Affinity, CheckOutcome, Choice, ClusterConfig, Member, MemberChange, Outlier, Reason,
    RequestInfo, RequestOutcome,
};
use std::time::Duration;

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[test]
fn one_request_tries_a_member_that_failed() {
    let mut lab = Lab::with(members("a b"));
    lab.fail("a");
    assert_eq!(lab.serving(), ["b"]);
    lab.pass(9);
    assert_eq!(lab.serving(), ["b"]);
    lab.pass(1);
    // Its trial comes with the first request it would be given, and is the only one.
    let held: Vec<_> = (0..10).map(|_| lab.hold().unwrap()).collect();
    let trials: Vec<_> = held.iter().filter(|choice| choice.is_trial()).collect();
    assert_eq!(trials.len(), 1);
    assert_eq!(lab.name(trials[0]), "a");
    assert_eq!(lab.serving(), ["b"]);
    lab.tell(trials[0], OK);
    assert_eq!(lab.serving(), ["a", "b"]);
    let again = lab.hold().unwrap();
    assert!(!again.is_trial());
}

#[test]
fn a_trial_that_fails_begins_another_pause() {
    let mut lab = Lab::with([Member::new("a").with_retry(seconds(30)), Member::new("b")]);
    lab.fail("a");
    lab.pass(30);
    lab.fail("a");
    lab.pass(29);
    assert_eq!(lab.serving(), ["b"]);
    lab.pass(1);
    assert_eq!(lab.serving(), ["a", "b"]);
}

#[test]
fn what_says_nothing_leaves_the_trial_to_the_next() {
    for outcome in [RequestOutcome::Unknown, RequestOutcome::Full] {
        let mut lab = Lab::with(members("a b"));
        lab.fail("a");
        lab.pass(10);
        lab.fail_with("a", outcome);
        let next = (0..4).map(|_| lab.hold().unwrap()).find(Choice::is_trial);
        assert_eq!(lab.name(&next.unwrap()), "a", "{outcome:?}");
    }
}

#[test]
fn an_answer_from_before_is_no_recovery_and_a_failure_from_before_no_failure() {
    let mut lab = Lab::with(members("a b"));
    let old: Vec<_> = (0..6).map(|_| lab.hold().unwrap()).collect();
    let old: Vec<_> = old.into_iter().filter(|c| lab.name(c) == "a").collect();
    lab.pass(1);
    lab.done(&old[0], DOWN);
    lab.done(&old[1], OK);
    assert_eq!(lab.serving(), ["b"]);
    lab.pass(10);
    assert_eq!(lab.serving(), ["a", "b"]);
    lab.done(&old[2], DOWN);
    assert_eq!(lab.serving(), ["a", "b"]);
}

#[test]
fn when_all_have_failed_each_is_tried_by_one_request() {
    let mut lab = Lab::with(members("a b h/H"));
    for name in ["a", "b", "h"] {
        lab.fail(name);
    }
    let (first, second) = (lab.hold().unwrap(), lab.hold().unwrap());
    assert!(first.is_trial() && second.is_trial());
    assert_ne!(first.member(), second.member());
    let standby = lab.hold().unwrap();
    assert_eq!(lab.name(&standby), "h");
    let none = lab.ask(&RequestInfo::new()).unwrap_err();
    assert_eq!(none.reason(), Reason::Down);
    assert_eq!(none.retry_after(), Some(seconds(1)));
    for choice in [first, second, standby] {
        lab.done(&choice, OK);
    }
    assert_eq!(lab.serving(), ["a", "b"]);
}

#[test]
fn without_forced_recovery_the_pause_is_kept_and_told() {
    let config = ClusterConfig::default()
        .with_forced_recovery(false)
        .with_retry(seconds(60));
    let mut lab = Lab::new(config, members("a b"));
    lab.fail("a");
    lab.pass(20);
    lab.fail("b");
    lab.pass(15);
    let none = lab.ask(&RequestInfo::new()).unwrap_err();
    assert_eq!(none.reason(), Reason::Down);
    assert_eq!(none.retry_after(), Some(seconds(25)), "a is due first");
    lab.pass(25);
    assert_eq!(lab.serve(), Ok("a".into()));
}

/// A member that an operator has switched off is no reason to leave the rest down.
#[test]
fn a_member_that_is_switched_off_does_not_prevent_forced_recovery() {
    let mut lab = Lab::with(members("a b/D c/N"));
    lab.fail("a");
    assert_eq!(lab.serve(), Ok("a".into()));
    // Nor is one that is only full, and then nothing is forced.
    let mut lab = Lab::with([Member::new("a").with_max_requests(1), Member::new("b")]);
    lab.fail("b");
    let held = lab.hold().unwrap();
    assert_eq!(lab.name(&held), "a");
    assert_eq!(lab.serve(), Err(Reason::Full));
}

#[test]
fn a_session_returns_to_a_member_that_is_forced_to_recover() {
    let mut lab = Lab::with(members("a b"));
    lab.fail("a");
    assert_eq!(lab.bound("a"), Ok(("b".into(), Affinity::Moved)));
    lab.fail("b");
    assert_eq!(lab.bound("a"), Ok(("a".into(), Affinity::Kept)));
}

#[test]
fn a_member_whose_errors_are_ignored_is_never_out() {
    let mut lab = Lab::with(members("a/I b"));
    lab.fail("a");
    assert_eq!(lab.serving(), ["a", "b"]);
    lab.flag("a", "-I");
    lab.fail("a");
    assert_eq!(lab.serving(), ["b"]);
    lab.flag("a", "+I");
    assert_eq!(lab.serving(), ["a", "b"]);
}

#[test]
fn being_reached_ends_an_outage_and_not_a_run_of_bad_answers() {
    for (outcome, proof) in [(DOWN, true), (RequestOutcome::Unfit { status: 503 }, false)] {
        let mut lab = Lab::with(members("a b"));
        lab.fail_with("a", outcome);
        lab.pass(10);
        let trial = loop {
            let choice = lab.hold().unwrap();
            if choice.is_trial() {
                break choice;
            }
        };
        lab.cluster.reached(&trial, lab.now);
        let serving = lab.serving();
        assert_eq!(serving.contains(&"a".to_owned()), proof, "{outcome:?}");
        lab.done(&trial, OK);
        assert_eq!(lab.serving(), ["a", "b"]);
    }
}

#[test]
fn timeouts_count_when_they_are_told_to_and_in_a_row() {
    let slow = RequestOutcome::TimedOut("no answer");
    let mut lab = Lab::with(members("a b"));
    for _ in 0..20 {
        lab.fail_with("a", slow);
    }
    assert_eq!(lab.serving(), ["a", "b"]);
    let mut lab = Lab::new(
        ClusterConfig::default().with_max_timeouts(3),
        members("a b"),
    );
    lab.fail_with("a", slow);
    lab.fail_with("a", slow);
    lab.fail_with("a", OK);
    lab.fail_with("a", slow);
    lab.fail_with("a", slow);
    assert_eq!(lab.serving(), ["a", "b"]);
    lab.fail_with("a", slow);
    lab.fail_with("a", slow);
    lab.fail_with("a", slow);
    assert_eq!(lab.serving(), ["b"]);
}

#[test]
fn what_breaks_off_alone_takes_nobody_out() {
    let mut lab = Lab::with(members("a b"));
    for _ in 0..50 {
        lab.fail_with("a", RequestOutcome::Broken("closed"));
    }
    assert_eq!(lab.serving(), ["a", "b"]);
}

fn watchful() -> ClusterConfig {
    let outlier = Outlier::default()
        .with_min_requests(10)
        .with_eject_for(seconds(30));
    ClusterConfig::default().with_outlier(outlier)
}

#[test]
fn bad_answers_take_a_member_out() {
    let mut lab = Lab::new(watchful(), members("a b c"));
    for n in 0..9 {
        let outcome = match n % 3 {
            0 => RequestOutcome::Answered { status: 503 },
            1 => RequestOutcome::Broken("closed"),
            _ => RequestOutcome::TimedOut("no answer"),
        };
        lab.fail_with("a", outcome);
    }
    assert_eq!(lab.serving(), ["a", "b", "c"], "9 bad ones and some good");
    let mut lab = Lab::new(watchful(), members("a b c"));
    for _ in 0..10 {
        lab.fail_with("a", RequestOutcome::Answered { status: 503 });
    }
    assert_eq!(lab.serving(), ["b", "c"]);
    lab.pass(30);
    // The trial is bad again.
    lab.fail_with("a", RequestOutcome::Answered { status: 503 });
    assert_eq!(lab.serving(), ["b", "c"]);
    lab.pass(30);
    assert_eq!(lab.serving(), ["a", "b", "c"]);
}

#[test]
fn an_application_that_fails_everywhere_stays_reachable() {
    let mut lab = Lab::new(watchful(), members("a b c d"));
    for _ in 0..200 {
        let choice = lab.hold().unwrap();
        lab.done(&choice, RequestOutcome::Answered { status: 503 });
    }
    assert_eq!(lab.serving().len(), 2, "half of them");
}

#[test]
fn health_checks_by_rise_and_fall() {
    let mut lab = Lab::with(members("a b"));
    let id = lab.id("a");
    let check = |lab: &mut Lab, good: bool| {
        let outcome = if good {
            CheckOutcome::Passed
        } else {
            CheckOutcome::Failed("no")
        };
        lab.cluster.checked(id, outcome, (2, 3), lab.now);
        lab.serving().len()
    };
    for (good, serving) in [
        (false, 2),
        (false, 2),
        (true, 2),
        (false, 2),
        (false, 2),
        (false, 1),
        (false, 1),
        (true, 1),
        (false, 1),
        (true, 1),
        (true, 2),
        (true, 2),
    ] {
        assert_eq!(check(&mut lab, good), serving);
    }
    // Both ways to be out: what checks find out is found out by checks.
    lab.fail("a");
    for _ in 0..3 {
        check(&mut lab, false);
    }
    lab.pass(100);
    assert_eq!(lab.serving(), ["b"]);
    assert_eq!(check(&mut lab, true), 1);
    assert_eq!(check(&mut lab, true), 2);
}

#[test]
fn good_checks_shorten_the_pause_after_an_outage_but_not_an_ejection() {
    for (outcome, shorter) in [(DOWN, true), (RequestOutcome::Unfit { status: 503 }, false)] {
        let mut lab = Lab::with(members("a b"));
        lab.fail_with("a", outcome);
        let id = lab.id("a");
        lab.cluster
            .checked(id, CheckOutcome::Passed, (1, 1), lab.now);
        let found = (0..4)
            .map(|_| lab.hold().unwrap())
            .any(|choice| choice.is_trial());
        assert_eq!(found, shorter, "{outcome:?}");
    }
}

#[test]
fn an_operator_may_end_an_outage() {
    let mut lab = Lab::with(members("a b"));
    let id = lab.id("a");
    lab.fail("a");
    lab.cluster.recover(id, lab.now);
    assert_eq!(lab.serving(), ["a", "b"]);
    lab.cluster
        .checked(id, CheckOutcome::Failed("no"), (1, 1), lab.now);
    assert_eq!(lab.serving(), ["b"]);
    lab.cluster.recover(id, lab.now);
    assert_eq!(lab.serving(), ["a", "b"]);
}

/// How many of 100 requests in a row go to a member that was out for a long time.
fn share_after_outage(lab: &mut Lab) -> usize {
    lab.fail("a");
    let bytes = |lab: &mut Lab| {
        let choice = lab.hold().unwrap();
        choice.add_received(10_000);
        lab.done(&choice, OK);
        lab.name(&choice)
    };
    for _ in 0..3000 {
        bytes(lab);
    }
    lab.pass(10);
    let served = (0..100).filter(|_| bytes(lab) == "a");
    served.count()
}

#[test]
fn a_member_that_returns_is_not_flooded() {
    for method in ["bytraffic", "bysessions", "byrequests", "bybusyness"] {
        let mut lab = Lab::with(members("a b c d"));
        lab.cluster.set_method(method.parse().unwrap());
        let share = share_after_outage(&mut lab);
        assert!((20..=30).contains(&share), "{method}: {share} of 100");
    }
    // Nor one that is added.
    for method in ["bytraffic", "bysessions", "byrequests", "bybusyness"] {
        let mut lab = Lab::with(members("a b c"));
        lab.cluster.set_method(method.parse().unwrap());
        for _ in 0..3000 {
            let choice = lab.hold().unwrap();
            choice.add_sent(10_000);
            lab.done(&choice, OK);
        }
        lab.cluster.add(Member::new("d"), lab.now).unwrap();
        let mut share = 0;
        for _ in 0..100 {
            let choice = lab.hold().unwrap();
            choice.add_sent(10_000);
            share += usize::from(lab.name(&choice) == "d");
            lab.done(&choice, OK);
        }
        assert!((20..=30).contains(&share), "{share} of 100");
    }
}

#[test]
fn slow_start_after_an_outage() {
    let config = ClusterConfig::default().with_slow_start(seconds(100));
    for method in ajp::balancer::Method::NAMES {
        let mut lab = Lab::new(config.clone(), members("a b"));
        lab.cluster.set_method(method.parse().unwrap());
        lab.fail("a");
        lab.pass(10);
        // The trial.
        while lab.serve().unwrap() != "a" {}
        let mut running = std::collections::VecDeque::new();
        let mut share = 0;
        for _ in 0..1100 {
            let choice = lab.hold().unwrap();
            choice.add_received(10_000);
            share += usize::from(lab.name(&choice) == "a");
            running.push_back(choice);
            if running.len() > 30 {
                let choice = running.pop_front().unwrap();
                lab.done(&choice, OK);
            }
        }
        // About a tenth of the other's; of few requests in flight a tenth is not even two.
        assert!((60..=200).contains(&share), "{method}: {share} of 1100");
    }
}

/// Requests of the last 1000 that went to a member which was not there for long, of three
/// equals. Each moves 10 000 bytes and is over before the next.
fn share_of(lab: &mut Lab, name: &str) -> usize {
    let mut share = 0;
    for _ in 0..1000 {
        let choice = lab.hold().unwrap();
        choice.add_received(10_000);
        share += usize::from(lab.name(&choice) == name);
        lab.done(&choice, OK);
    }
    share
}

/// Requests of sessions, all of one member.
fn sticky_requests(lab: &mut Lab, route: &str, count: usize) {
    let sticky = lab.sticky.clone();
    let cookie = format!("S=1.{route}");
    let session = sticky.session(b"/", [cookie.as_bytes()]);
    for _ in 0..count {
        let choice = lab.ask(&RequestInfo::new().with_session(&session)).unwrap();
        choice.add_received(10_000);
        lab.done(&choice, OK);
    }
}

/// Whoever was away for 100 000 requests begins as one of the others: nobody has to catch up.
#[test]
fn history_floods_nobody() {
    type Scenario = fn(&mut Lab);
    let scenarios: [(&str, &str, Scenario); 6] = [
        ("drained, while the others serve", "a b c", |lab| {
            lab.flag("a", "+N");
            sticky_requests(lab, "b", 100_000);
            lab.flag("a", "-N");
        }),
        ("drained, serving its own sessions", "a b c", |lab| {
            lab.flag("a", "+N");
            sticky_requests(lab, "a", 100_000);
            lab.flag("a", "-N");
        }),
        ("a spare", "a/R b c d", |lab| {
            sticky_requests(lab, "b", 100_000);
            lab.flag("d", "+D");
        }),
        ("switched off", "a b c", |lab| {
            lab.flag("a", "+D");
            sticky_requests(lab, "b", 50_000);
            for _ in 0..50_000 {
                let choice = lab.hold().unwrap();
                choice.add_received(10_000);
                lab.done(&choice, OK);
            }
            lab.flag("a", "-D");
        }),
        ("heavy, then as the others", "a b c", |lab| {
            lab.change("a", |a| a.with_weight("10000".parse().unwrap()));
            sticky_requests(lab, "b", 50_000);
            share_of(lab, "a");
            lab.change("a", |a| a.with_weight("1".parse().unwrap()));
        }),
        ("another method before", "a b c", |lab| {
            let method = lab.cluster.set_method(ajp::balancer::Method::ByTraffic);
            sticky_requests(lab, "b", 100_000);
            lab.cluster.set_method(method);
        }),
    ];
    let mut worst = (0usize, String::new());
    for method in ajp::balancer::Method::NAMES {
        for slow in [false, true] {
            for (what, farm, scenario) in &scenarios {
                let mut config = ClusterConfig::default().with_seed(1);
                if slow {
                    config = config.with_slow_start(seconds(100));
                }
                let mut lab = Lab::new(config, members(farm));
                lab.cluster.set_method(method.parse().unwrap());
                scenario(&mut lab);
                let share = share_of(&mut lab, "a");
                let off = share.abs_diff(333);
                if !slow && off > worst.0 {
                    worst = (off, format!("{method}, {what}"));
                }
                // A slow start gives less at first where the member was off (by busyness none
                // at all while others are idle), never more.
                let least = if slow { 0 } else { 280 };
                assert!(
                    (least..390).contains(&share),
                    "{method}, {what}, {slow}: {share}"
                );
            }
        }
    }
    println!("worst: {} of 1000 requests off ({})", worst.0, worst.1);
}

/// More sessions than anybody has: the number that counts them does not wear out.
#[test]
fn by_sessions_after_very_many() {
    let mut lab = Lab::with(members("a b"));
    lab.cluster.set_method(ajp::balancer::Method::BySessions);
    lab.change("a", |a| a.with_weight("0.01".parse().unwrap()));
    lab.change("b", |b| b.with_weight("0.01".parse().unwrap()));
    // Each costs a hundred times as much: as many as 10^8 at weight 1.
    for _ in 0..1_000_000 {
        let choice = lab.hold().unwrap();
        lab.done(&choice, OK);
    }
    let light = Member::new("c").with_weight("0.01".parse().unwrap());
    lab.cluster.add(light, lab.now).unwrap();
    assert!((300..370).contains(&share_of(&mut lab, "a")), "by weight");
}

#[test]
fn with_too_few_left_nobody_more_is_taken_out_for_checks() {
    let mut lab = Lab::with(members("a b c d"));
    let check = |lab: &mut Lab, name: &str, good: bool| {
        let outcome = if good {
            CheckOutcome::Passed
        } else {
            CheckOutcome::Failed("no")
        };
        let id = lab.id(name);
        lab.cluster.checked(id, outcome, (1, 1), lab.now);
    };
    for name in ["a", "b", "c", "d"] {
        check(&mut lab, name, false);
    }
    assert_eq!(lab.serving(), ["c", "d"], "half of them serve");
    let changes: Vec<_> = lab.cluster.take_changes();
    let spared = |name: &str| {
        changes
            .iter()
            .any(|event| event.name == name && matches!(event.change, MemberChange::Spared { .. }))
    };
    assert!(!spared("a") && !spared("b") && spared("c") && spared("d"));
    // One is well again, so that another one can be done without.
    check(&mut lab, "a", true);
    assert_eq!(lab.serving(), ["a", "d"]);
    check(&mut lab, "b", true);
    assert_eq!(lab.serving(), ["a", "b"]);
    // What certainly cannot serve does not.
    lab.fail("a");
    assert_eq!(lab.serving(), ["b", "d"]);
    lab.fail("d");
    assert_eq!(
        lab.serving(),
        ["b"],
        "c is spared only while others are not better"
    );
    // Off.
    let mut lab = Lab::new(
        ClusterConfig::default().with_panic_threshold(0),
        members("a b"),
    );
    check(&mut lab, "a", false);
    check(&mut lab, "b", false);
    assert_eq!(lab.serve(), Err(Reason::Down));
}

#[test]
fn with_too_few_left_nobody_more_is_taken_out_for_slowness() {
    let config = ClusterConfig::default().with_max_timeouts(1);
    for outcome in [
        RequestOutcome::TimedOut("no answer"),
        RequestOutcome::Late("no CPong"),
    ] {
        let mut lab = Lab::new(config.clone(), members("a b c"));
        lab.fail_with("a", outcome);
        assert_eq!(lab.serving(), ["b", "c"], "{outcome:?}");
        lab.fail_with("b", outcome);
        assert_eq!(lab.serving(), ["b", "c"], "{outcome:?}");
        // A refused connection is another matter.
        lab.fail("b");
        assert_eq!(lab.serving(), ["c"], "{outcome:?}");
    }
}

/// A container whose threads are all busy answers CPing late, and a dead one never: what it
/// does for other requests meanwhile tells them apart.
#[test]
fn who_is_at_work_is_not_dead() {
    let late = RequestOutcome::Late("no CPong");
    for sign in ["answer", "bytes", "none"] {
        let mut lab = Lab::with(members("a b c"));
        let by_name = |lab: &mut Lab, name: &str| loop {
            let choice = lab.hold().unwrap();
            if lab.name(&choice) == name {
                return choice;
            }
            lab.done(&choice, OK);
        };
        let (running, waiting) = (by_name(&mut lab, "a"), by_name(&mut lab, "a"));
        let id = lab.id("a");
        let signs_of_life = lab.cluster.signs_of_life(id);
        lab.pass(5);
        match sign {
            "answer" => lab.tell(&running, OK),
            "bytes" => running.add_received(1),
            _ => {}
        }
        let check = CheckOutcome::Late {
            error: "no CPong",
            signs_of_life,
        };
        lab.cluster.checked(id, check, (1, 1), lab.now);
        let dead = sign == "none";
        assert_eq!(
            lab.serving().len(),
            if dead { 2 } else { 3 },
            "check, {sign}"
        );
        lab.cluster.recover(id, lab.now);
        lab.done(&waiting, late);
        assert_eq!(
            lab.serving().len(),
            if dead { 2 } else { 3 },
            "request, {sign}"
        );
    }
}

#[test]
fn changes_are_told() {
    let mut lab = Lab::with(members("a b"));
    lab.fail("a");
    lab.pass(10);
    lab.fail_with("a", OK);
    let id = lab.id("b");
    lab.cluster
        .checked(id, CheckOutcome::Failed("no"), (1, 1), lab.now);
    lab.cluster
        .checked(id, CheckOutcome::Passed, (1, 1), lab.now);
    lab.flag("b", "+N");
    lab.cluster.remove(id, lab.now);
    let changes = lab.cluster.take_changes();
    let told: Vec<_> = changes.into_iter().map(|e| (e.name, e.change)).collect();
    let (error, pause) = ("refused".to_owned(), seconds(10));
    let no = "no".to_owned();
    let expected = [
        ("a", MemberChange::Added),
        ("b", MemberChange::Added),
        ("a", MemberChange::Failed { error, pause }),
        ("a", MemberChange::Recovered),
        ("b", MemberChange::Unhealthy { error: no }),
        ("b", MemberChange::Recovered),
        ("b", MemberChange::Updated),
        ("b", MemberChange::Leaving),
        ("b", MemberChange::Removed),
    ];
    assert_eq!(
        told,
        expected.map(|(name, change)| (name.to_owned(), change))
    );
    assert!(lab.cluster.take_changes().is_empty());
}

/// One member of six answers a fifth of its requests badly and the others none: far below the
/// limit for all, and far from the others.
#[test]
fn a_member_that_answers_worse_than_the_others_is_taken_out() {
    for (deviations, out) in [(None, false), (Some(190), true)] {
        let outlier = Outlier::default()
            .with_min_requests(20)
            .with_peer_deviations(deviations);
        let config = ClusterConfig::default().with_outlier(outlier);
        let mut lab = Lab::new(config, members("a b c d e f"));
        for n in 0..600 {
            let choice = lab.hold().unwrap();
            let bad = lab.name(&choice) == "a" && n % 5 == 0;
            let status = if bad { 503 } else { 200 };
            lab.done(&choice, RequestOutcome::Answered { status });
        }
        assert_eq!(
            lab.serving().contains(&"a".to_owned()),
            !out,
            "{deviations:?}"
        );
    }
    // What all do is nobody's own fault.
    let outlier = Outlier::default()
        .with_min_requests(20)
        .with_peer_deviations(190);
    let config = ClusterConfig::default().with_outlier(outlier);
    let mut lab = Lab::new(config, members("a b c d e f"));
    for n in 0..600 {
        let choice = lab.hold().unwrap();
        let status = if n / 6 % 5 == 0 { 503 } else { 200 };
        lab.done(&choice, RequestOutcome::Answered { status });
    }
    assert_eq!(lab.serving().len(), 6);
}
