//! `[[balancer]]`, its members and where they are found, also as flags.

use super::maps::inward;
use super::*;
use std::time::Duration;

#[test]
fn an_http_check_and_one_container_for_several_maps() {
    let config = read(
        r#"
        [[balancer]]
        name = "a"
        method = "least_outstanding"
        sticky = "SID"
        nofailover = true
        health = { check = "http", path = "/up", status = 204 }
        member = [{ url = "unix:/run/a.sock" }]
        [[map]]
        path = "/a"
        to = "balancer://a"
        [[map]]
        path = "/b"
        to = "ajp://[::1]:8010/x"
        [[map]]
        path = "/c"
        to = "ajp://[::1]:8010/y/"
        "#,
    )
    .unwrap();
    let balancers = snapshots(&config);
    let names: Vec<_> = balancers.iter().map(|balancer| &*balancer.name).collect();
    assert_eq!(names, ["a", "ajp://[::1]:8010"]);
    assert_eq!(balancers[0].method, "leastoutstanding");
    assert_eq!(balancers[0].health_check.as_deref(), Some("GET /up"));
    assert!(balancers[0].sticky_force);
    assert_eq!(inward(&config, 0, "/a/z").as_deref(), Some("/z"));
    assert_eq!(inward(&config, 2, "/c/z").as_deref(), Some("/y/z"));
}

/// A download or a stream of events lasts as long as its bytes come, until an operator says
/// otherwise.
#[test]
fn no_answer_ends_by_the_clock_alone() {
    let hour = Duration::from_secs(3600);
    for (written, limit) in [
        ("", None),
        ("timeout = \"1m\"", None),
        ("timeouts = { request = \"1h\" }", Some(hour)),
    ] {
        let config = read(&balancer(written)).unwrap();
        let farm = config.balancers();
        let name = &farm[0].snapshot().members[0].name;
        let pool = farm[0].pool(name).unwrap();
        assert_eq!(pool.config().timeouts().request(), limit, "{written}");
    }
}

#[test]
fn a_packet_size_is_a_number_or_learned() {
    for (written, size, learns) in [
        ("", 8192, false),
        ("packet_size = 16384", 16384, false),
        ("packet_size = \"auto\"", 65536, true),
    ] {
        let config = read(&balancer(written)).unwrap();
        let farm = config.balancers();
        let name = &farm[0].snapshot().members[0].name;
        let pool = farm[0].pool(name).unwrap();
        let pool = pool.config();
        assert_eq!(pool.packet_size().bytes(), size, "{written}");
        assert_eq!(pool.learn_packet_size(), learns, "{written}");
    }
}

#[test]
fn backends_of_flags() {
    let read = |text: &str| text.parse::<Backend>();
    let backends = [
        "ajp://127.0.0.1:8009 route=jvm1 weight=2.5 status=+H set=1",
        "unix:/run/tomcat.sock",
    ];
    let backends = backends.map(|text| read(text).unwrap()).to_vec();
    let sticky = Sticky::new("SID").unwrap();
    let config = Config::of_backends(backends, None, Some(sticky), &defaults()).unwrap();
    let [balancer] = &snapshots(&config)[..] else {
        panic!("{config:?}");
    };
    assert_eq!(
        (&*balancer.name, &*balancer.method),
        ("default", "byrequests")
    );
    let first = &balancer.members[0];
    assert_eq!(first.route.as_deref(), Some("jvm1"));
    assert_eq!((first.weight.hundredths(), first.set), (250, 1));
    assert_eq!(first.flags.to_string(), "H");
    assert_eq!(balancer.members[1].address, "unix:/run/tomcat.sock");
    assert_eq!(config.maps[0].pattern.to_string(), "/");
    for (text, expected) in [
        ("", "has no host"),
        ("http://a", "must begin with ajp:// or unix:"),
        ("a weight=0", "a weight is a number"),
        ("a status=x", "'x' is no member flag"),
        ("a set=-1", "set is a whole number"),
        (
            "a color=red",
            "unknown parameter \"color\"; there are route, weight, status and set",
        ),
    ] {
        let error = read(text).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
    let twice = vec![read("a").unwrap(), read("a").unwrap()];
    let error = Config::of_backends(twice, None, None, &defaults()).unwrap_err();
    assert_eq!(error.to_string(), "member \"ajp://a:8009\" exists already");
}

/// A balancer without members of its own finds them; the table must name one place.
#[test]
fn the_least_limit_is_no_more_than_the_most() {
    let of = |least: u32| {
        read(&format!(
            "[[balancer]]\nname = \"a\"\nmember = [{{ url = \"ajp://127.0.0.1\" }}]\n\
             adaptive_limit = {{ least = {least}, most = 5 }}\n\
             [[map]]\npath = \"/\"\nto = \"balancer://a/\"\n"
        ))
    };
    assert!(of(5).is_ok());
    let error = of(6).unwrap_err();
    assert!(error.contains("least = 6 is more than most = 5"), "{error}");
    assert!(error.contains(":4"), "{error}");
}

#[test]
fn members_that_are_found() {
    let of = |table: &str| {
        read(&format!(
            "[[balancer]]\nname = \"a\"\nmethod = \"hash:header:x-tenant\"\n\
             adaptive_limit = {{ most = 50 }}\ndiscovery = {table}\n\
             [[map]]\npath = \"/\"\nto = \"balancer://a/\"\n"
        ))
    };
    for good in [
        "{ dns = \"tomcats.internal:8009\", name_servers = [\"127.0.0.1:53\"], absences = 3 }",
        "{ host = \"localhost:8009\", interval = \"10s\" }",
        "{ srv = \"_ajp._tcp.app.internal\", session_timeout = \"30m\", at_most = \"1h\" }",
        "{ file = \"/etc/ajp/members\" }",
    ] {
        let config = of(good).unwrap();
        let plan = &config.balancers[0];
        assert!(plan.discovery().is_some(), "{good}");
        assert_eq!(snapshots(&config)[0].method, "hash:header:x-tenant");
    }
    for (bad, said) in [
        ("{ }", "must have one of host, dns, srv and file"),
        (
            "{ file = \"/a\", srv = \"b\" }",
            "must have one of host, dns, srv and file",
        ),
        ("{ dns = \"tomcats\" }", "a host name and a port"),
        ("{ dns = \"tom cats:8009\" }", "a host name and a port"),
        ("{ srv = \"a b\" }", "is no service"),
        (
            "{ file = \"/a\", name_servers = [\"127.0.0.1:53\"] }",
            "name_servers is for dns and srv only",
        ),
        ("{ file = \"/a\", absences = 0 }", "a whole number from 1"),
    ] {
        let error = of(bad).unwrap_err();
        assert!(error.contains(said), "{bad}: {error}");
    }
}
