//! The methods that httpd does not have, beside models of their own.

use super::lab::{Lab, OK};
use super::random::Random;
use ajp::balancer::{
    Candidate, Choice, Choose, ClusterConfig, HashBy, Member, Method, RequestInfo, Sticky, Weight,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

fn weighted(weights: &[u32]) -> Vec<Member> {
    let member = |(n, weight): (usize, &u32)| {
        let weight = Weight::from_hundredths(*weight).unwrap();
        Member::new(format!("m{n}")).with_weight(weight)
    };
    weights.iter().enumerate().map(member).collect()
}

fn index(choice: &Choice) -> usize {
    choice.member().to_string().parse().unwrap()
}

#[test]
fn every_name_is_a_method() {
    for name in Method::NAMES {
        assert_eq!(name.parse::<Method>().unwrap().name(), name);
    }
    for hash in [
        "hash:path",
        "hash:header:x-user",
        "hash:cookie:cart",
        "hash:client",
        "hash:key",
    ] {
        assert_eq!(hash.parse::<Method>().unwrap().name(), hash);
    }
    for none in ["bylottery", "hash", "hash:", "hash:header:"] {
        let error = none.parse::<Method>().unwrap_err().to_string();
        assert!(error.contains("lowestlatency"), "{error}");
    }
}

/// `mod_jk`'s method `Session` (protocol chapter "balancing") with exact multipliers. Its scan
/// begins at another member each time, which only matters among equals; here it begins at the
/// first.
#[test]
fn by_sessions_beside_mod_jk() {
    fn gcd(a: u64, b: u64) -> u64 {
        if b == 0 { a } else { gcd(b, a % b) }
    }
    let sticky = Sticky::new("S").unwrap();
    for seed in 1..=20 {
        let mut random = Random::new(seed);
        let factors: Vec<u64> = (0..2 + random.below(8))
            .map(|_| 1 + random.below(20) as u64)
            .collect();
        let lcm = factors
            .iter()
            .fold(1, |all, &one| all / gcd(all, one) * one);
        let mut values = vec![0u64; factors.len()];
        let hundredths: Vec<_> = factors.iter().map(|&f| f as u32 * 100).collect();
        let mut lab = Lab::with(weighted(&hundredths));
        lab.cluster.set_method(Method::BySessions);
        for step in 0..10_000 {
            let has_session = random.one_in(3);
            let least = *values.iter().min().unwrap();
            let expected = values.iter().position(|&value| value == least).unwrap();
            if !has_session {
                values[expected] += lcm / factors[expected];
            }
            let cookie: &[u8] = if has_session { b"S=1" } else { b"" };
            let session = sticky.session(b"/", [cookie]);
            let choice = lab.ask(&RequestInfo::new().with_session(&session)).unwrap();
            lab.done(&choice, OK);
            assert_eq!(index(&choice), expected, "{step}: {values:?} {factors:?}");
        }
    }
}

/// Requests that begin no session cost nothing, and do not all go to the member that has paid
/// least.
#[test]
fn what_begins_no_session_is_not_counted() {
    let mut lab = Lab::with(weighted(&[100; 4]));
    lab.cluster.set_method(Method::BySessions);
    let mut held = Vec::new();
    let mut begun = [0u32; 4];
    for _ in 0..200 {
        let choice = lab.hold().unwrap();
        begun[index(&choice)] += 1;
        lab.done(&choice, OK);
        for _ in 0..3 {
            let picture = RequestInfo::new().with_stateless(true);
            held.push(lab.ask(&picture).unwrap());
        }
    }
    assert_eq!(begun, [50; 4]);
    let mut pictures = [0u32; 4];
    for choice in held {
        pictures[index(&choice)] += 1;
        lab.done(&choice, OK);
    }
    assert!(
        pictures.iter().all(|&count| (140..160).contains(&count)),
        "{pictures:?}"
    );
}

/// Two drawn by weight, the second among the rest; fewer requests for the weight wins, of
/// equals the first.
#[test]
fn least_outstanding_beside_a_model() {
    fn draw(weights: &[u64], but: Option<usize>, random: &mut fastrand::Rng) -> usize {
        let weight = |at: usize| if Some(at) == but { 0 } else { weights[at] };
        let total: u64 = (0..weights.len()).map(weight).sum();
        let at = random.u64(..total);
        let mut sum = 0;
        (0..weights.len())
            .find(|&one| {
                sum += weight(one);
                at < sum
            })
            .unwrap()
    }
    for seed in 1..=10 {
        let mut random = Random::new(seed);
        let weights: Vec<u32> = (0..2 + random.below(20))
            .map(|_| 1 + random.below(1000) as u32)
            .collect();
        let wide: Vec<u64> = weights.iter().map(|&w| w.into()).collect();
        let mut busy = vec![0u64; weights.len()];
        let mut lab = Lab::seeded(seed, weighted(&weights));
        lab.cluster.set_method(Method::LeastOutstanding);
        let mut dice = fastrand::Rng::with_seed(seed);
        let mut running = Vec::new();
        for step in 0..10_000 {
            let first = draw(&wide, None, &mut dice);
            let second = draw(&wide, Some(first), &mut dice);
            let better = busy[second] * wide[first] < busy[first] * wide[second];
            let expected = if better { second } else { first };
            let choice = lab.hold().unwrap();
            assert_eq!(index(&choice), expected, "{step}");
            busy[expected] += 1;
            running.push(choice);
            while running.len() > 50 || (!running.is_empty() && random.one_in(2)) {
                let at = random.below(running.len());
                let choice = running.swap_remove(at);
                busy[index(&choice)] -= 1;
                lab.done(&choice, OK);
            }
        }
    }
}

/// Shares of 20 000 requests, one after the other, each taking as long as `times` says for
/// its member, in milliseconds.
fn shares(lab: &mut Lab, times: &[u64]) -> Vec<f64> {
    let mut counts = vec![0u32; times.len()];
    for _ in 0..20_000 {
        let choice = lab.hold().unwrap();
        lab.now += Duration::from_millis(times[index(&choice)]);
        lab.done(&choice, OK);
        counts[index(&choice)] += 1;
    }
    counts.iter().map(|&n| f64::from(n) / 20_000.0).collect()
}

fn close(share: f64, wanted: f64, tolerance: f64) -> bool {
    (share - wanted).abs() <= tolerance
}

#[test]
fn members_of_equal_speed_are_loaded_by_weight() {
    for method in [Method::LowestLatency, Method::LeastOutstanding] {
        let mut lab = Lab::with(weighted(&[300, 100]));
        lab.cluster.set_method(method);
        let shares = shares(&mut lab, &[50, 50]);
        assert!(close(shares[0], 0.75, 0.02), "{shares:?}");
    }
}

#[test]
fn noise_between_members_does_not_override_weights() {
    let mut lab = Lab::with(weighted(&[100, 300, 100]));
    lab.cluster.set_method(Method::LowestLatency);
    let shares = shares(&mut lab, &[50, 55, 52]);
    assert!(close(shares[1], 0.6, 0.02), "{shares:?}");
}

#[test]
fn a_slow_member_gets_little_and_is_tried_again() {
    let mut lab = Lab::with(weighted(&[100, 100, 100]));
    lab.cluster.set_method(Method::LowestLatency);
    let slow = shares(&mut lab, &[50, 50, 500]);
    assert!(slow[2] > 0.001 && slow[2] < 0.05, "{slow:?}");
    // It becomes as fast as the others.
    let fast = shares(&mut lab, &[50, 50, 50]);
    assert!(close(fast[2], 0.33, 0.05), "{fast:?}");
}

/// A member that answers nothing any more collects requests, and by that gets no more.
#[test]
fn a_member_that_hangs_gets_few_requests() {
    for name in ["lowestlatency", "leastoutstanding", "bybusyness"] {
        let mut lab = Lab::with(weighted(&[100, 100]));
        lab.cluster.set_method(name.parse().unwrap());
        shares(&mut lab, &[20, 20]);
        let mut stuck = Vec::new();
        for _ in 0..1000 {
            let choice = lab.hold().unwrap();
            if index(&choice) == 1 {
                stuck.push(choice);
            } else {
                lab.now += Duration::from_millis(20);
                lab.done(&choice, OK);
            }
        }
        assert!(stuck.len() <= 2, "{name}: {}", stuck.len());
    }
}

#[test]
fn the_same_seed_makes_the_same_choices() {
    for name in Method::NAMES {
        let run = |seed| {
            let mut lab = Lab::seeded(seed, weighted(&[100, 250, 100, 70]));
            lab.cluster.set_method(name.parse().unwrap());
            let mut served = Vec::new();
            for n in 0..500 {
                let choice = lab.hold().unwrap();
                lab.now += Duration::from_millis(n % 7);
                lab.done(&choice, OK);
                served.push(index(&choice));
            }
            served
        };
        assert_eq!(run(1), run(1), "{name}");
        let random = matches!(name, "leastoutstanding" | "lowestlatency");
        assert_eq!(run(1) != run(2), random, "{name}");
    }
}

/// Who serves each of these keys, all idle.
fn by_key(lab: &mut Lab, keys: std::ops::Range<u32>) -> BTreeMap<u32, String> {
    let serve = |key: u32| {
        let bytes = key.to_be_bytes();
        let choice = lab.ask(&RequestInfo::new().with_key(&bytes)).unwrap();
        lab.done(&choice, OK);
        (key, lab.name(&choice))
    };
    keys.map(serve).collect()
}

#[test]
fn hashing_moves_the_keys_of_a_lost_member_alone() {
    const KEYS: u32 = 20_000;
    let mut lab = Lab::with(weighted(&[100; 10]));
    lab.cluster.set_method(Method::Hash(HashBy::Key));
    let before = by_key(&mut lab, 0..KEYS);
    let again = by_key(&mut lab, 0..KEYS);
    assert_eq!(before, again, "the same key, the same member");
    lab.flag("m3", "+D");
    let without = by_key(&mut lab, 0..KEYS);
    let moved = before.iter().filter(|(key, name)| without[key] != **name);
    let moved: Vec<_> = moved.collect();
    assert!(moved.iter().all(|(_, name)| *name == "m3"), "only its own");
    let percent = f64::from(moved.len() as u32) * 100.0 / f64::from(KEYS);
    println!("removing 1 of 10 moves {percent:.2} percent of the keys");
    assert!((8.0..12.0).contains(&percent), "{percent}");
    // They spread over all others, and return.
    let mut heirs: Vec<_> = moved.iter().map(|(key, _)| without[key].clone()).collect();
    heirs.sort();
    heirs.dedup();
    assert_eq!(heirs.len(), 9);
    lab.flag("m3", "-D");
    assert_eq!(by_key(&mut lab, 0..KEYS), before);
    // A new member takes its share from all, and nothing moves between the others.
    lab.cluster.add(Member::new("m10"), lab.now).unwrap();
    let with = by_key(&mut lab, 0..KEYS);
    let moved = with.iter().filter(|(key, name)| before[key] != **name);
    let moved: Vec<_> = moved.collect();
    assert!(moved.iter().all(|(_, name)| *name == "m10"));
    let percent = f64::from(moved.len() as u32) * 100.0 / f64::from(KEYS);
    assert!((8.0..10.5).contains(&percent), "{percent}");
}

#[test]
fn hashing_respects_weights_and_bounds_the_load() {
    let mut lab = Lab::with(weighted(&[100, 300]));
    lab.cluster.set_method(Method::Hash(HashBy::Key));
    let served = by_key(&mut lab, 0..20_000);
    let heavy = served.values().filter(|name| *name == "m1").count();
    assert!((14_600..15_400).contains(&heavy), "{heavy}");
    // Everybody asks for the same: no member has more than 1.25 times its share.
    let mut lab = Lab::with(weighted(&[100; 4]));
    lab.cluster.set_method(Method::Hash(HashBy::Key));
    let mut busy = [0u32; 4];
    for n in 1..=400u32 {
        let choice = lab.ask(&RequestInfo::new().with_key(b"hot")).unwrap();
        busy[index(&choice)] += 1;
        let most = *busy.iter().max().unwrap();
        let bound = (f64::from(n) / 4.0 * 1.25).ceil();
        assert!(f64::from(most) <= bound, "{n}: {busy:?}");
    }
    assert_eq!(
        busy.iter().max(),
        Some(&125),
        "the first choice is used to its bound"
    );
}

#[test]
fn what_is_hashed() {
    let mut headers = http::HeaderMap::new();
    headers.insert("x-user", "kim".parse().unwrap());
    headers.insert("cookie", "theme=dark; cart=17".parse().unwrap());
    let other = {
        let mut other = headers.clone();
        other.insert("x-user", "lee".parse().unwrap());
        other.insert("cookie", "cart=18; theme=dark".parse().unwrap());
        other
    };
    let client = |last: u8| Some(std::net::IpAddr::from([192, 0, 2, last]));
    // Of 30 members, chance hardly ever takes two keys to the same.
    let info = |headers, path, last| {
        RequestInfo::new()
            .with_headers(headers)
            .with_path(path)
            .with_client(client(last))
    };
    let one = info(&headers, b"/a?x", 1);
    let two = info(&other, b"/b", 2);
    for by in ["path", "header:x-user", "cookie:cart", "client"] {
        let mut lab = Lab::with(weighted(&[100; 30]));
        lab.cluster.set_method(Method::Hash(by.parse().unwrap()));
        let mut serve = |info: &RequestInfo<'_>| {
            let choice = lab.ask(info).unwrap();
            lab.done(&choice, OK);
            index(&choice)
        };
        let (first, second) = (serve(&one), serve(&two));
        assert_ne!(first, second, "{by}");
        for _ in 0..5 {
            assert_eq!((serve(&one), serve(&two)), (first, second), "{by}");
        }
        assert_eq!(
            serve(&one.with_path(b"/a?y")),
            first,
            "a query is no part of it"
        );
        // What has no key is spread.
        let mut seen: Vec<_> = (0..40).map(|_| serve(&RequestInfo::new())).collect();
        seen.sort_unstable();
        seen.dedup();
        assert!(seen.len() > 10, "{by}: {seen:?}");
    }
}

/// Paying customers have members of their own; the others share the rest.
#[derive(Debug)]
struct PayingCustomersFirst;

impl Choose for PayingCustomersFirst {
    fn name(&self) -> &'static str {
        "paying"
    }

    fn choose(&self, request: &RequestInfo<'_>, candidates: &[Candidate]) -> usize {
        let pays = request
            .headers()
            .is_some_and(|h| h.contains_key("x-customer"));
        let reserved = |one: &Candidate| one.member().name() == "m0";
        let fitting = (0..candidates.len()).filter(|&at| reserved(&candidates[at]) == pays);
        fitting.min_by_key(|&at| candidates[at].busy()).unwrap_or(0)
    }
}

#[test]
fn a_method_of_the_users_own_sees_the_request() {
    let mut lab = Lab::with(weighted(&[100; 3]));
    lab.cluster
        .set_method(Method::Custom(Arc::new(PayingCustomersFirst)));
    assert_eq!(lab.cluster.method().name(), "paying");
    let mut headers = http::HeaderMap::new();
    headers.insert("x-customer", "17".parse().unwrap());
    let paying = RequestInfo::new().with_headers(&headers);
    let mut held = Vec::new();
    for _ in 0..6 {
        let choice = lab.ask(&paying).unwrap();
        assert_eq!(index(&choice), 0);
        let other = lab.hold().unwrap();
        assert_ne!(index(&other), 0);
        held.extend([choice, other]);
    }
    let busy = |at: usize| held.iter().filter(|choice| index(choice) == at).count();
    assert_eq!((busy(1), busy(2)), (3, 3));
    // Who can serve is settled before: it is not asked about those that cannot.
    lab.flag("m0", "+D");
    assert_ne!(index(&lab.ask(&paying).unwrap()), 0);
}

#[test]
fn a_seed_is_part_of_the_settings() {
    let config = ClusterConfig::default().with_seed(7);
    let mut lab = Lab::new(config, weighted(&[100; 5]));
    lab.cluster.set_method(Method::LeastOutstanding);
    let order: Vec<_> = (0..10).map(|_| index(&lab.hold().unwrap())).collect();
    assert!(order.iter().any(|at| *at != order[0]), "{order:?}");
}
