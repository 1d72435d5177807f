//! Members by a name server of the test's own and by a file, with containers on addresses of
//! loopback.

use crate::name_server::{Answer, NameServer, host, hosts};
use ajp::balancer::{Balancer, BalancerConfig, Discover, Discovery, Flags, Leaving, Member};
use ajp::client::{Address, Pool, PoolConfig};
use bytes::Bytes;
use hickory_proto::op::ResponseCode;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// A container that needs 5 ms for a request and answers with its own number.
struct Container {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

async fn container(number: u8, port: u16) -> Container {
    let listener = TcpListener::bind((host(number), port)).await.unwrap();
    let app = tower::service_fn(move |_: Request<ajp::server::RequestBody>| async move {
        sleep(Duration::from_millis(5)).await;
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(number.to_string()))))
    });
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(async move {
        let server = ajp::server::serve(listener, app).trusted_network();
        server
            .with_graceful_shutdown(async {
                let _ = stopped.await;
            })
            .await;
    });
    Container { stop, task }
}

impl Container {
    async fn stop(self) {
        let _ = self.stop.send(());
        self.task.await.unwrap();
    }
}

/// A port that is free on these addresses.
async fn free_port(numbers: &[u8]) -> u16 {
    'again: loop {
        let first = TcpListener::bind((host(numbers[0]), 0)).await.unwrap();
        let port = first.local_addr().unwrap().port();
        for &number in &numbers[1..] {
            if TcpListener::bind((host(number), port)).await.is_err() {
                continue 'again;
            }
        }
        return port;
    }
}

async fn get(balancer: &Balancer) -> String {
    let request = Request::get("http://app.example/").body(Empty::<Bytes>::new());
    let response = balancer.send(request.unwrap()).await.unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

fn names(balancer: &Balancer) -> Vec<String> {
    let mut names: Vec<_> = balancer
        .members()
        .iter()
        .map(|m| m.name().to_owned())
        .collect();
    names.sort();
    names
}

fn named(numbers: &[u8], port: u16) -> Vec<String> {
    let name = |number: &u8| format!("ajp://127.0.0.{number}:{port}");
    numbers.iter().map(name).collect()
}

async fn until(what: &str, mut is: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what}");
        sleep(Duration::from_millis(10)).await;
    }
}

fn follow(discovery: Discovery) -> (Balancer, JoinHandle<()>) {
    let balancer = Balancer::new(BalancerConfig::new("app").with_own_requests(true));
    let follower = balancer.clone();
    let discovery = discovery.with_interval(Duration::from_millis(50));
    let task = tokio::spawn(async move { follower.follow(discovery, Leaving::default()).await });
    (balancer, task)
}

/// The records of a name change under load: a container is added and another one drained, and
/// no request fails. Whatever else the name server says or does not say leaves all as it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_changes_under_load() {
    let port = free_port(&[11, 12, 13]).await;
    let first = container(11, port).await;
    let _second = container(12, port).await;
    let _third = container(13, port).await;
    let server = NameServer::start(0, hosts(&[11, 12])).await;
    let discovery = Discovery::dns("tomcats.test", port).with_name_servers([server.address]);
    let (balancer, _following) = follow(discovery);
    until("two members", || names(&balancer) == named(&[11, 12], port)).await;

    let stop = Arc::new(AtomicBool::new(false));
    let mut visitors = Vec::new();
    for _ in 0..8 {
        let (balancer, stop) = (balancer.clone(), Arc::clone(&stop));
        visitors.push(tokio::spawn(async move {
            let mut answers = Vec::new();
            while !stop.load(Ordering::SeqCst) {
                answers.push(get(&balancer).await);
            }
            answers
        }));
    }
    sleep(Duration::from_millis(300)).await;
    server.say(hosts(&[13, 12]));
    until("another set", || names(&balancer) == named(&[12, 13], port)).await;
    // It is gone from the balancer only when it has ended what it was serving.
    first.stop().await;

    // Nothing that is wrong with the name server empties the farm.
    for answer in [
        hosts(&[]),
        Answer::Code(ResponseCode::NXDomain),
        Answer::Code(ResponseCode::ServFail),
        Answer::Code(ResponseCode::Refused),
    ] {
        server.say(answer.clone());
        let asked = server.queries();
        until("three looks", || server.queries() >= asked + 6).await;
        assert_eq!(names(&balancer), named(&[12, 13], port), "{answer:?}");
    }
    // One that knows many addresses tells some of them at a time.
    let before = server.queries();
    let mut told = 0;
    while server.queries() < before + 20 {
        server.say(hosts(&[[12], [13]][told % 2]));
        told += 1;
        // One look asks twice, for both kinds of addresses.
        let asked = server.queries();
        until("a look", || server.queries() >= asked + 2).await;
        assert_eq!(names(&balancer), named(&[12, 13], port));
        if told > 100 {
            break;
        }
    }
    server.say(hosts(&[12, 13]));
    let asked = server.queries();
    until("two looks", || server.queries() >= asked + 4).await;
    server.task.abort();
    sleep(Duration::from_millis(300)).await;
    assert_eq!(names(&balancer), named(&[12, 13], port), "it is down");

    stop.store(true, Ordering::SeqCst);
    let mut answers = Vec::new();
    for visitor in visitors {
        answers.extend(visitor.await.unwrap());
    }
    for number in ["11", "12", "13"] {
        let count = answers.iter().filter(|one| *one == number).count();
        assert!(count > 10, "{number}: {count} of {}", answers.len());
    }
}

/// What name servers answer to the question for a name, and which members that makes.
#[tokio::test]
async fn answers_of_name_servers() {
    let many: Vec<u8> = (1..=100).collect();
    let ips =
        |texts: &[&str]| Answer::Addresses(texts.iter().map(|ip| ip.parse().unwrap()).collect());
    let aliases = |count, at_once| Answer::Aliases {
        count,
        at_once,
        address: host(7),
    };
    let server = NameServer::start(0, Answer::Silence).await;
    let discovery = || {
        let discovery = Discovery::dns("tomcats.test", 8009).with_name_servers([server.address]);
        discovery.with_interval(Duration::from_millis(50))
    };
    for (answer, members) in [
        // Too many for UDP: the whole answer comes over TCP.
        (hosts(&many), named(&many, 8009)),
        (hosts(&[9, 9, 9]), named(&[9], 8009)),
        (aliases(3, true), named(&[7], 8009)),
        (aliases(3, false), named(&[7], 8009)),
        (ips(&["::1"]), vec!["ajp://[::1]:8009".to_owned()]),
        (
            ips(&["::1", "127.0.0.1", "fd00::2"]),
            vec![
                "ajp://127.0.0.1:8009".to_owned(),
                "ajp://[::1]:8009".to_owned(),
                "ajp://[fd00::2]:8009".to_owned(),
            ],
        ),
    ] {
        server.say(answer.clone());
        let mut discovery = discovery();
        let set = timeout(Duration::from_secs(10), discovery.next_set());
        let set = set.await.unwrap().unwrap();
        let mut found: Vec<_> = set.iter().map(|one| one.member.name().to_owned()).collect();
        found.sort();
        let mut members = members;
        members.sort();
        assert_eq!(found, members, "{answer:?}");
        // However the records are ordered at the next looks, the set is the same one.
        let again = timeout(Duration::from_millis(300), discovery.next_set()).await;
        assert!(again.is_err(), "{answer:?}: {again:?}");
    }
    assert!(server.over_tcp() >= 1);
    // A circle of names has no address, and ends.
    server.say(aliases(usize::MAX, false));
    let asked = server.queries();
    let mut discovery = discovery();
    let none = timeout(Duration::from_millis(500), discovery.next_set()).await;
    assert!(none.is_err(), "{none:?}");
    let asked = server.queries() - asked;
    assert!((2..200).contains(&asked), "{asked}");
}

/// A name server that never answers questions about IPv6, as some do, holds up nothing else; and
/// one that answers nothing is asked again, and changes nothing.
#[tokio::test]
async fn a_name_server_that_is_silent() {
    let server = NameServer::start(0, Answer::SilentAboutIpv6(vec![host(11), host(12)])).await;
    let discovery = Discovery::dns("tomcats.test", 8009).with_name_servers([server.address]);
    let start = Instant::now();
    let (balancer, _following) = follow(discovery.with_absences(1));
    until("two members", || names(&balancer) == named(&[11, 12], 8009)).await;
    let took = start.elapsed();
    assert!(took < Duration::from_secs(4), "{took:?}");
    // However many hosts a service has: those that are asked for later are not given up with it.
    let many: Vec<u8> = (1..=100).collect();
    let crowd = NameServer::start(0, Answer::ManySilentAboutIpv6(many.clone())).await;
    let discovery = Discovery::srv("_ajp._tcp.app.test").with_name_servers([crowd.address]);
    let (all, _following) = follow(discovery.with_absences(1));
    let mut expected = named(&many, 8009);
    expected.sort();
    until("a hundred", || names(&all) == expected).await;
    crowd.say(Answer::ManySilentAboutIpv6(many[..99].to_vec()));
    expected.retain(|name| name != &named(&[100], 8009)[0]);
    until("one is gone", || names(&all) == expected).await;

    server.say(Answer::Silence);
    let asked = server.queries();
    until("a look", || server.queries() >= asked + 2).await;
    assert_eq!(names(&balancer), named(&[11, 12], 8009));
    server.say(hosts(&[12]));
    until("an answer", || names(&balancer) == named(&[12], 8009)).await;
}

/// Several records may lead to one container. Whichever is told first: it is one member, whose
/// route does not change from look to look.
#[tokio::test]
async fn a_container_that_is_found_twice_is_one_member() {
    let services = Answer::Services(vec![
        (5, 9, 8009, "jvm4.local.test."),
        (0, 10, 8009, "jvm2.local.test."),
        (0, 10, 8009, "jvm1.local.test."),
        (0, 10, 8010, "jvm3.local.test."),
    ]);
    let server = NameServer::start(0, services).await;
    let discovery = Discovery::srv("_ajp._tcp.app.test").with_name_servers([server.address]);
    let mut discovery = discovery.with_interval(Duration::from_millis(20));
    let set = discovery.next_set().await.unwrap();
    let members = set
        .iter()
        .map(|one| (one.member.name(), one.member.route_name()));
    let members: Vec<_> = members.collect();
    assert_eq!(
        members,
        [
            ("ajp://127.0.0.1:8009", Some("jvm1")),
            ("ajp://127.0.0.1:8010", Some("jvm3")),
        ]
    );
    let asked = server.queries();
    let again = timeout(Duration::from_millis(500), discovery.next_set()).await;
    assert!(again.is_err(), "{again:?}");
    assert!(server.queries() >= asked + 30, "some looks were made");
}

/// A name server that fails at some questions only: what it tells is used, and says nothing of
/// who is gone of those that it does not tell.
#[tokio::test]
async fn a_part_of_the_answers_is_missing() {
    let only = |numbers: &[u8]| Answer::OnlyThese(numbers.iter().copied().map(host).collect());
    let both: Vec<IpAddr> = vec![host(11).into(), host(12).into(), "::1".parse().unwrap()];
    let server = NameServer::start(0, Answer::Addresses(both)).await;
    let discovery = Discovery::dns("tomcats.test", 8009).with_name_servers([server.address]);
    let (balancer, _following) = follow(discovery);
    let with_ipv6 = |numbers: &[u8]| {
        let mut all = named(numbers, 8009);
        all.push("ajp://[::1]:8009".to_owned());
        all
    };
    until("members", || names(&balancer) == with_ipv6(&[11, 12])).await;
    // Nothing is told of IPv6: who has such an address stays, and others come and go.
    server.say(only(&[11, 13]));
    until("another", || names(&balancer) == with_ipv6(&[11, 13])).await;
    let asked = server.queries();
    until("looks", || server.queries() >= asked + 12).await;
    assert_eq!(names(&balancer), with_ipv6(&[11, 13]));
    server.say(hosts(&[11, 13]));
    until("it is gone", || names(&balancer) == named(&[11, 13], 8009)).await;

    let services = vec![(0, 1, 8009, "gone.test."), (0, 1, 8009, "jvm2.test.")];
    let server = NameServer::start(0, Answer::Services(services)).await;
    let discovery = Discovery::srv("_ajp._tcp.app.test").with_name_servers([server.address]);
    let (balancer, _following) = follow(discovery);
    until("the other target", || names(&balancer) == named(&[2], 8009)).await;
}

/// However seldom it is looked: where nothing was found it is looked again soon.
#[tokio::test(start_paused = true)]
async fn nothing_is_not_believed_for_long() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("members");
    let mut discovery = Discovery::file(&path).with_interval(Duration::from_secs(3600));
    let start = tokio::time::Instant::now();
    let write = async {
        sleep(Duration::from_secs(1)).await;
        std::fs::write(&path, "ajp://127.0.0.1:1\n").unwrap();
    };
    let (found, ()) = tokio::join!(discovery.next_set(), write);
    assert_eq!(found.unwrap().len(), 1);
    assert!(start.elapsed() <= Duration::from_secs(6));
}

#[tokio::test]
async fn a_service_tells_ports_weights_and_priorities() {
    let services = Answer::Services(vec![
        (0, 30, 8009, "jvm1.test."),
        (0, 10, 8010, "jvm2.test."),
        (5, 0, 8009, "jvm3.test."),
        (9, 9, 9, "."),
    ]);
    let server = NameServer::start(1, services).await;
    let discovery = Discovery::srv("_ajp._tcp.app.test")
        .with_name_servers([server.address])
        .with_member(|member| member.with_domain("blue"));
    let (balancer, _following) = follow(discovery);
    until("three members", || balancer.members().len() == 3).await;
    let mut members = balancer.members();
    members.sort_by_key(|member| member.name().to_owned());
    let member = |name: &str, route: &str, weight: &str, set| {
        Member::new(name)
            .with_route(route)
            .with_weight(weight.parse().unwrap())
            .with_set(set)
            .with_domain("blue")
    };
    assert_eq!(
        members,
        [
            member("ajp://127.0.0.1:8009", "jvm1", "0.3", 0),
            member("ajp://127.0.0.2:8010", "jvm2", "0.1", 0),
            member("ajp://127.0.0.3:8009", "jvm3", "0.01", 5),
        ]
    );
    // An answer is good for its TTL: 1 + 3 * 2 queries a second, and not every 50 ms.
    let before = server.queries();
    sleep(Duration::from_millis(1500)).await;
    let asked = server.queries() - before;
    assert!((7..=14).contains(&asked), "{asked}");
}

#[tokio::test]
async fn a_file_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("members");
    let write = |text: &str| {
        let new = folder.path().join("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(&new, &path).unwrap();
    };
    // It may come later than the program.
    let (balancer, _following) = follow(Discovery::file(&path));
    write("ajp://127.0.0.1:1 route=a\najp://127.0.0.1:2 route=b # and a comment\n");
    until("two members", || balancer.members().len() == 2).await;
    for wrong in ["", "# nobody\n", "ajp://127.0.0.1:1 colour=red\n"] {
        write(wrong);
        sleep(Duration::from_millis(200)).await;
        assert_eq!(balancer.members().len(), 2, "{wrong:?}");
        write("ajp://127.0.0.1:1 route=a\najp://127.0.0.1:2 route=b\n");
    }
    let draining = |name: &str| {
        let members = balancer.members();
        let member = members.iter().find(|member| member.name() == name)?;
        Some(member.current_flags() == Flags::DRAINING)
    };
    write("ajp://127.0.0.1:2 route=b status=N\n");
    until("an operator's word", || {
        draining("ajp://127.0.0.1:2") == Some(true)
    })
    .await;
    until("one is gone", || draining("ajp://127.0.0.1:1").is_none()).await;
    write("ajp://127.0.0.1:2 route=b\n");
    until("and taken back", || {
        draining("ajp://127.0.0.1:2") == Some(false)
    })
    .await;
}

/// The system's resolver: loopback has a name everywhere.
#[tokio::test]
async fn a_host_name_of_the_system() {
    let (balancer, _following) = follow(Discovery::host("localhost", 8009));
    until("loopback", || {
        names(&balancer).contains(&"ajp://127.0.0.1:8009".to_owned())
            || names(&balancer).contains(&"ajp://[::1]:8009".to_owned())
    })
    .await;
}

/// A program that has its members from a discovery takes no request before it has one.
#[tokio::test(start_paused = true)]
async fn the_first_member_is_waited_for() {
    let balancer = Balancer::new(BalancerConfig::new("app").with_own_requests(true));
    let limit = Duration::from_secs(1);
    timeout(limit, balancer.wait_for_member())
        .await
        .unwrap_err();
    let waiting = {
        let balancer = balancer.clone();
        tokio::spawn(async move { balancer.wait_for_member().await })
    };
    sleep(limit).await;
    assert!(!waiting.is_finished());
    let pool = Pool::new(Address::tcp("127.0.0.1", 8009), PoolConfig::new());
    balancer.add(Member::new("a"), pool).unwrap();
    timeout(limit, waiting).await.unwrap().unwrap();
    timeout(limit, balancer.wait_for_member()).await.unwrap();
}
