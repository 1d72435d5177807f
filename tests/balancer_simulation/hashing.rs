//! Consistent hashing: which keys move when a member goes, and how full a member gets.

use super::{Dice, fewer};
use ajp::balancer::{
    Choice, Cluster, ClusterConfig, Member, MemberId, RequestInfo, RequestOutcome, Weight,
};
use std::collections::HashMap;
use std::time::Instant;

const OK: RequestOutcome<'static> = RequestOutcome::Answered { status: 200 };

fn cluster(weights: &[u32], now: Instant) -> (Cluster, Vec<MemberId>) {
    let mut cluster = Cluster::new(ClusterConfig::default().with_seed(1));
    cluster.set_method("hash:key".parse().unwrap());
    let members = weights.iter().enumerate().map(|(number, weight)| {
        let weight = Weight::from_hundredths(weight * 100).unwrap();
        Member::new(format!("tomcat{number}")).with_weight(weight)
    });
    let ids = members.map(|member| cluster.add(member, now).unwrap());
    let ids = ids.collect();
    (cluster, ids)
}

fn pick(cluster: &mut Cluster, key: usize, now: Instant) -> Choice {
    let key = format!("customer {key}");
    let info = RequestInfo::new().with_key(key.as_bytes());
    cluster.pick(&info, now).unwrap()
}

/// Where each key goes while nothing else runs.
fn places(cluster: &mut Cluster, keys: usize, now: Instant) -> Vec<MemberId> {
    let place = |key| {
        let choice = pick(cluster, key, now);
        cluster.answered(&choice, OK, now);
        cluster.ended(&choice);
        choice.member()
    };
    (0..keys).map(place).collect()
}

/// Each of ten members goes and comes back: only its own keys move, all others stay, and those
/// that moved are back afterwards.
#[test]
fn only_the_keys_of_a_member_that_goes_move() {
    let keys = 60_000 / fewer();
    let now = Instant::now();
    let (mut cluster, ids) = cluster(&[1; 10], now);
    let before = places(&mut cluster, keys, now);
    let (mut most_moved, mut worst_share) = (0.0f64, 0.0f64);
    for (number, &gone) in ids.iter().enumerate() {
        let without = |on: bool| if on { "D" } else { "" };
        let flags = |cluster: &mut Cluster, on| {
            let member = cluster.member(gone).unwrap();
            let member = Member::clone(member).with_flags(without(on).parse().unwrap());
            cluster.update(gone, member, now).unwrap();
        };
        flags(&mut cluster, true);
        let after = places(&mut cluster, keys, now);
        let mut taken: HashMap<MemberId, usize> = HashMap::new();
        let mut moved = 0;
        for (was, is) in before.iter().zip(&after) {
            if was == &gone {
                moved += 1;
                *taken.entry(*is).or_default() += 1;
            } else {
                assert_eq!(was, is, "a key of another member moved");
            }
        }
        assert_eq!(taken.len(), 9, "they spread over all others: {taken:?}");
        most_moved = most_moved.max(f64::from(moved) / keys as f64);
        let most = taken.values().max().copied().unwrap_or_default();
        worst_share = worst_share.max(most as f64 * 9.0 / f64::from(moved));
        flags(&mut cluster, false);
        if number == 0 {
            assert_eq!(places(&mut cluster, keys, now), before);
        }
    }
    println!(
        "hashing: of {keys} keys at most {:.2} percent move when one of ten members goes; the \
         member that takes most of them takes {worst_share:.2} times its share",
        most_moved * 100.0
    );
    assert!(most_moved <= 0.12, "{most_moved}");
    assert!(worst_share < 1.4, "{worst_share}");
}

/// Keys by weight, to the accuracy that chance allows.
#[test]
fn keys_go_by_weight() {
    let keys = 60_000 / fewer();
    let now = Instant::now();
    let weights = [1, 1, 2, 4];
    let (mut cluster, ids) = cluster(&weights, now);
    let places = places(&mut cluster, keys, now);
    let mut worst = 0.0f64;
    for (id, weight) in ids.iter().zip(weights) {
        let count = places.iter().filter(|place| *place == id).count();
        let fair = keys as f64 * f64::from(weight) / 8.0;
        worst = worst.max((count as f64 / fair - 1.0).abs());
    }
    println!(
        "hashing: by weight, worst deviation {:.1} percent",
        worst * 100.0
    );
    assert!(worst < 0.08, "{worst}");
}

/// Half of all requests have one key. No member gets more than a quarter beyond its share of
/// what is in flight, rounded up, and keys that have room stay at home.
#[test]
fn a_key_that_everybody_asks_for_overloads_nobody() {
    let requests = 120_000 / fewer();
    let now = Instant::now();
    let (mut cluster, ids) = cluster(&[1; 10], now);
    let mut dice = Dice::new(5);
    let mut held: Vec<Choice> = Vec::new();
    let mut busy: HashMap<MemberId, u64> = HashMap::new();
    let mut worst = 0.0f64;
    for _ in 0..requests {
        if held.len() == 200 {
            let choice = held.swap_remove(dice.below(200));
            cluster.answered(&choice, OK, now);
            cluster.ended(&choice);
            *busy.get_mut(&choice.member()).unwrap() -= 1;
        }
        let key = if dice.unit() < 0.5 {
            0
        } else {
            dice.below(5000)
        };
        let choice = pick(&mut cluster, key, now);
        let own = busy.entry(choice.member()).or_default();
        *own += 1;
        held.push(choice);
        let share = held.len() as f64 / ids.len() as f64;
        let most = (share * 1.25).ceil();
        assert!(*own as f64 <= most, "{own} of {} in flight", held.len());
        if held.len() == 200 {
            worst = worst.max(*own as f64 / share);
        }
    }
    println!("hashing: half of the requests with one key, fullest member {worst:.2} of its share");
}
