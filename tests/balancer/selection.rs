//! Who can serve: sets, spares, standbys, places, sessions.

use super::lab::{DOWN, Lab, OK, members};
use ajp::balancer::{Affinity, ClusterConfig, Member, Reason, RequestInfo, Sticky};
use std::time::Duration;

#[test]
fn a_higher_set_serves_when_the_lower_cannot() {
    let mut lab = Lab::with([
        Member::new("a"),
        Member::new("b").with_set(5),
        Member::new("c").with_set(2),
        Member::new("d"),
    ]);
    assert_eq!(lab.serving(), ["a", "d"]);
    lab.flag("a", "+D");
    assert_eq!(lab.serving(), ["d"]);
    lab.fail("d");
    assert_eq!(lab.serving(), ["c"]);
    lab.flag("c", "+N");
    assert_eq!(lab.serving(), ["b"]);
    lab.flag("a", "-D");
    assert_eq!(lab.serving(), ["a"]);
}

#[test]
fn spares_replace_members_one_for_one_and_standbys_all() {
    let mut lab = Lab::with(members("a b s/R t/R h/H"));
    assert_eq!(lab.serving(), ["a", "b"]);
    lab.flag("a", "+D");
    assert_eq!(lab.serving(), ["b", "s"]);
    lab.flag("b", "+N");
    assert_eq!(lab.serving(), ["s", "t"]);
    lab.flag("s", "+S");
    assert_eq!(lab.serving(), ["t"]);
    lab.flag("t", "+D");
    assert_eq!(lab.serving(), ["h"]);
    lab.flag("h", "+D");
    assert_eq!(lab.serve(), Err(Reason::NoMember));
    lab.flag("a", "-D");
    assert_eq!(lab.serving(), ["a"]);
}

#[test]
fn a_full_member_is_passed_over_and_all_full_is_told_at_once() {
    let limited = |name: &str| Member::new(name).with_max_requests(1);
    let mut lab = Lab::with([limited("a"), limited("b")]);
    let (a, b) = (lab.hold().unwrap(), lab.hold().unwrap());
    assert_eq!((lab.name(&a), lab.name(&b)), ("a".into(), "b".into()));
    let none = lab.ask(&RequestInfo::new()).unwrap_err();
    assert_eq!(none.reason(), Reason::Full);
    assert_eq!(none.retry_after(), Some(Duration::from_secs(1)));
    // The answer does not end the request, the end of its body does.
    lab.tell(&a, OK);
    assert_eq!(lab.serve(), Err(Reason::Full));
    lab.cluster.ended(&a);
    assert_eq!(lab.serve(), Ok("a".into()));
    lab.done(&b, OK);
    // A spare helps out when all are full, and not to and fro with each request before.
    let spare = Member::new("s").with_flags("R".parse().unwrap());
    lab.cluster.add(spare, lab.now).unwrap();
    let held = lab.hold().unwrap();
    let name = lab.name(&held);
    let left = if name == "a" { "b" } else { "a" };
    assert_eq!(lab.serving(), [left]);
    let other = lab.hold().unwrap();
    assert_eq!(lab.serving(), ["s"]);
    lab.done(&other, OK);
    lab.done(&held, OK);
    assert_eq!(lab.serving(), ["a", "b"]);
}

#[test]
fn a_member_is_tried_once() {
    let mut lab = Lab::with(members("a b c"));
    let mut tried = Vec::new();
    for _ in 0..3 {
        let choice = lab.ask(&RequestInfo::new().with_tried(&tried)).unwrap();
        assert!(!tried.contains(&choice.member()));
        tried.push(choice.member());
        lab.done(&choice, OK);
    }
    let none = lab.ask(&RequestInfo::new().with_tried(&tried)).unwrap_err();
    assert_eq!(none.reason(), Reason::AllTried);
}

#[test]
fn nobody_to_ask() {
    let mut lab = Lab::with([]);
    assert_eq!(lab.serve(), Err(Reason::NoMember));
    let mut lab = Lab::with(members("a/D b/S c/N"));
    let none = lab.ask(&RequestInfo::new()).unwrap_err();
    assert_eq!(none.reason(), Reason::NoMember);
    assert_eq!(none.retry_after(), None);
}

#[allow(clippy::unnecessary_wraps, reason = "what `bound` gives")]
fn kept(name: &str) -> Result<(String, Affinity), Reason> {
    Ok((name.into(), Affinity::Kept))
}

#[test]
fn a_session_stays_with_its_member() {
    let mut lab = Lab::with(members("a b/N c/H d/D e/S"));
    assert_eq!(lab.bound("a"), kept("a"));
    assert_eq!(lab.bound("b"), kept("b"), "draining");
    assert_eq!(lab.bound("c"), kept("c"), "standby");
    assert_eq!(lab.bound("d"), Ok(("a".into(), Affinity::Moved)));
    assert_eq!(lab.bound("e"), Ok(("a".into(), Affinity::Moved)));
    assert_eq!(lab.bound("x"), Ok(("a".into(), Affinity::Unknown)));
    // Routes in their order; those of nobody are passed over.
    assert_eq!(lab.bound("x b a"), kept("b"));
    assert_eq!(lab.bound("d b"), kept("b"));
    // Case matters.
    assert_eq!(lab.bound("A"), Ok(("a".into(), Affinity::Unknown)));
}

#[test]
fn forced_sessions_stay_or_are_refused() {
    let mut lab = Lab::with(members("a b c"));
    lab.sticky = Sticky::new("S").unwrap().with_force(true);
    assert_eq!(lab.bound("b"), kept("b"));
    lab.flag("b", "+D");
    assert_eq!(lab.bound("b"), Err(Reason::SessionLost));
    // mod_jk: the next id may do.
    assert_eq!(lab.bound("b c"), kept("c"));
    // A route of nobody is not worth a refusal.
    assert!(matches!(lab.bound("x"), Ok((_, Affinity::Unknown))));
    // Neither redirect nor domain helps.
    lab.change("b", |b| b.with_redirect("a").with_domain("x"));
    lab.change("a", |a| a.with_domain("x"));
    assert_eq!(lab.bound("b"), Err(Reason::SessionLost));
}

#[test]
fn redirects() {
    let mut lab = Lab::with([
        Member::new("a").with_route("a").with_redirect("b"),
        Member::new("b")
            .with_route("b")
            .with_redirect("c")
            .with_flags("N".parse().unwrap()),
        Member::new("c").with_route("c").with_redirect("a"),
        Member::new("d").with_route("d"),
    ]);
    let to = |name: &str| Ok((name.to_owned(), Affinity::Redirected));
    assert_eq!(lab.bound("a"), kept("a"));
    lab.flag("a", "+D");
    assert_eq!(
        lab.bound("a"),
        to("b"),
        "a draining member takes what is sent to it"
    );
    lab.flag("b", "+D");
    assert_eq!(lab.bound("a"), to("c"));
    assert_eq!(lab.bound("b"), to("c"));
    lab.flag("c", "+D");
    // Round in circles, and out.
    assert_eq!(lab.bound("a"), Ok(("d".into(), Affinity::Moved)));
    lab.flag("b", "-D");
    lab.flag("d", "+D");
    // mod_jk: when nobody is left, where the first redirect leads.
    assert_eq!(lab.bound("x"), to("b"));
    assert_eq!(lab.serve(), Ok("b".into()));
}

#[test]
fn domains() {
    let mut lab = Lab::with([
        Member::new("a1").with_route("a.1"),
        Member::new("a2").with_route("a2").with_domain("a"),
        Member::new("a3")
            .with_route("a3")
            .with_domain("a")
            .with_flags("D".parse().unwrap()),
        Member::new("b1").with_route("b1"),
    ]);
    let domain = |name: &str| Ok((name.to_owned(), Affinity::Domain));
    assert_eq!(lab.bound("a.1"), kept("a1"));
    lab.flag("a1", "+D");
    for _ in 0..4 {
        // a.1 is in domain a by its name, as in mod_jk.
        assert_eq!(lab.bound("a.1"), domain("a2"));
        // A member that is gone: its domain is still in the route.
        assert_eq!(lab.bound("a.9"), domain("a2"));
    }
    lab.flag("a2", "+N");
    assert_eq!(lab.bound("a.1"), Ok(("b1".into(), Affinity::Moved)));
    assert_eq!(lab.bound("a.9"), Ok(("b1".into(), Affinity::Unknown)));
}

#[test]
fn a_session_waits_for_a_full_member() {
    let two = || {
        let one = |name: &str| Member::new(name).with_route(name).with_max_requests(1);
        [one("a"), one("b")]
    };
    let mut lab = Lab::with(two());
    let a = lab.hold().unwrap();
    assert_eq!(lab.name(&a), "a");
    assert_eq!(lab.bound("a"), Err(Reason::Full));
    lab.sticky = Sticky::new("S").unwrap().with_move_when_full(true);
    assert_eq!(lab.bound("a"), Ok(("b".into(), Affinity::Moved)));
    // With another member that knows its sessions there is no need to wait.
    lab.sticky = Sticky::new("S").unwrap();
    lab.change("a", |a| a.with_redirect("b"));
    assert_eq!(lab.bound("a"), Ok(("b".into(), Affinity::Redirected)));
}

#[test]
fn requests_of_sessions_count_in_by_requests() {
    let mut lab = Lab::with(members("a b"));
    for _ in 0..5 {
        assert_eq!(lab.bound("a"), kept("a"));
    }
    let order: Vec<_> = (0..6).map(|_| lab.serve().unwrap()).collect();
    assert_eq!(order, ["b", "b", "b", "b", "b", "a"]);
}

#[test]
fn a_member_that_is_removed_ends_its_requests() {
    let mut lab = Lab::with(members("a b"));
    let (a, id) = (lab.hold().unwrap(), lab.id("a"));
    assert_eq!(lab.name(&a), "a");
    assert!(lab.cluster.remove(id, lab.now));
    assert!(!lab.cluster.remove(id, lab.now));
    assert_eq!(lab.serving(), ["b"]);
    assert_eq!(lab.bound("a"), Ok(("b".into(), Affinity::Unknown)));
    assert!(lab.cluster.member(id).is_some());
    // Its name is free again, its id is not.
    let again = lab.cluster.add(Member::new("a"), lab.now).unwrap();
    assert_ne!(again, id);
    lab.done(&a, DOWN);
    assert!(lab.cluster.member(id).is_none());
    assert_eq!(
        lab.serving(),
        ["a", "b"],
        "the old one's failure is not the new one's"
    );
    lab.done(&a, DOWN);
}

#[test]
fn what_cannot_be_added() {
    let mut lab = Lab::with(members("a"));
    for member in [
        Member::new("a"),
        Member::new(""),
        Member::new("b").with_route("b;"),
    ] {
        assert!(lab.cluster.add(member, lab.now).is_err());
    }
    let id = lab.id("a");
    let update = |lab: &mut Lab, change: fn(Member) -> Member| {
        let member = Member::clone(lab.cluster.member(id).unwrap());
        lab.cluster.update(id, change(member), lab.now)
    };
    assert!(update(&mut lab, |a| a.with_route("\n")).is_err());
    assert!(update(&mut lab, |_| Member::new("other").with_set(3)).is_ok());
    assert_eq!(lab.cluster.find("a"), Some(id), "the name stays");
    assert_eq!(lab.serving(), ["a"]);
}

#[test]
fn a_new_member_is_slow_at_first_only_in_a_running_cluster() {
    let slow = ClusterConfig::default().with_slow_start(Duration::from_secs(100));
    let mut lab = Lab::new(slow, members("a b"));
    let share = |lab: &mut Lab, name: &str| {
        let served = (0..1100).filter(|_| lab.serve().unwrap() == name);
        served.count()
    };
    assert_eq!(share(&mut lab, "b"), 550);
    lab.cluster.add(Member::new("c"), lab.now).unwrap();
    let first = share(&mut lab, "c");
    assert!(
        (50..=54).contains(&first),
        "a tenth of the others': {first}"
    );
    lab.pass(100);
    assert!((365..=369).contains(&share(&mut lab, "c")));
}

/// A replicated pair, and a member with its standby: those of the same route know the same
/// sessions, as in httpd.
#[test]
fn members_of_one_route_stand_in_for_each_other() {
    for (second, affinity) in [("", Affinity::Kept), ("H", Affinity::Kept)] {
        let mut lab = Lab::with([
            Member::new("a1").with_route("r1"),
            Member::new("b").with_route("r2"),
            Member::new("a2")
                .with_route("r1")
                .with_flags(second.parse().unwrap()),
        ]);
        assert_eq!(lab.bound("r1"), Ok(("a1".into(), affinity)));
        lab.fail("a1");
        for _ in 0..6 {
            assert_eq!(lab.bound("r1"), Ok(("a2".into(), affinity)));
        }
        lab.flag("a2", "+D");
        assert_eq!(lab.bound("r1"), Ok(("b".into(), Affinity::Moved)));
        lab.flag("a2", "-D");
        // A session that may go nowhere else may go there.
        lab.sticky = Sticky::new("S").unwrap().with_force(true);
        assert_eq!(lab.bound("r1"), Ok(("a2".into(), affinity)));
    }
    // Also when the first is only full.
    let one = |name: &str| Member::new(name).with_route("r1").with_max_requests(1);
    let mut lab = Lab::with([one("a1"), one("a2")]);
    let held = lab.hold().unwrap();
    assert_eq!(lab.name(&held), "a1");
    assert_eq!(lab.bound("r1"), kept("a2"));
}

#[test]
fn the_route_that_led_there_is_told() {
    let mut lab = Lab::with(members("a b c/D"));
    let mut routes = |cookie: &str| {
        let sticky = Sticky::new("S").unwrap();
        let session = sticky.session(b"/", [cookie.as_bytes()]);
        let choice = lab.ask(&RequestInfo::new().with_session(&session)).unwrap();
        lab.done(&choice, OK);
        choice.route().map(|at| session.routes()[at].to_vec())
    };
    assert_eq!(routes("S=1.x; S=1.b").unwrap(), b"b");
    assert_eq!(
        routes("S=1.x; S=1.c").unwrap(),
        b"c",
        "its member cannot serve"
    );
    assert_eq!(routes("S=1.x"), None);
    assert_eq!(routes("S=1"), None);
}

#[test]
fn a_caller_may_want_a_member_or_a_domain() {
    let mut lab = Lab::with([
        Member::new("a").with_route("a"),
        Member::new("b").with_route("b").with_domain("east"),
        Member::new("c").with_route("c").with_domain("east"),
    ]);
    let serve = |lab: &mut Lab, info: &RequestInfo<'_>| {
        let choice = lab.ask(info).unwrap();
        lab.done(&choice, OK);
        (lab.name(&choice), choice.affinity())
    };
    for _ in 0..4 {
        let wanted = serve(&mut lab, &RequestInfo::new().with_member("b"));
        assert_eq!(wanted, ("b".into(), Affinity::Wanted));
        let (name, affinity) = serve(&mut lab, &RequestInfo::new().with_domain("east"));
        assert!(name != "a" && affinity == Affinity::Wanted, "{name}");
    }
    // A session knows better than the domain.
    let sticky = Sticky::new("S").unwrap();
    let session = sticky.session(b"/", [&b"S=1.a"[..]]);
    let info = RequestInfo::new()
        .with_session(&session)
        .with_domain("east");
    assert_eq!(serve(&mut lab, &info), ("a".into(), Affinity::Kept));
    lab.flag("b", "+D");
    let (name, affinity) = serve(&mut lab, &RequestInfo::new().with_member("b"));
    assert!(name != "b" && affinity == Affinity::Free);
    lab.flag("c", "+D");
    let (name, affinity) = serve(&mut lab, &RequestInfo::new().with_domain("east"));
    assert_eq!((name.as_str(), affinity), ("a", Affinity::Free));
}
