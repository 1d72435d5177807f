//! The methods that httpd does not have, beside models of their own.

use super::lab::{Lab, OK};
use super::random::Random;
use ajp::balancer::{
    Ask, BySessions, Choice, LeastOutstanding, LowestLatency, METHODS, Member, Seeded, Sticky,
    Weight, method,
};
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
    for name in METHODS {
        assert_eq!(method(name).unwrap().name(), name);
    }
    assert!(method("bylottery").is_none());
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
        lab.cluster.set_method(Box::new(BySessions));
        for step in 0..10_000 {
            let has_session = random.one_in(3);
            let least = *values.iter().min().unwrap();
            let expected = values.iter().position(|&value| value == least).unwrap();
            if !has_session {
                values[expected] += lcm / factors[expected];
            }
            let cookie: &[u8] = if has_session { b"S=1" } else { b"" };
            let session = sticky.session(b"/", [cookie]);
            let choice = lab.ask(&Ask::new().with_session(&session)).unwrap();
            lab.done(&choice, OK);
            assert_eq!(index(&choice), expected, "{step}: {values:?} {factors:?}");
        }
    }
}

/// Two drawn by weight, the second among the rest; fewer requests for the weight wins, of
/// equals the first.
#[test]
fn least_outstanding_beside_a_model() {
    use ajp::balancer::Random as _;
    fn draw(weights: &[u64], but: Option<usize>, random: &mut Seeded) -> usize {
        let weight = |at: usize| if Some(at) == but { 0 } else { weights[at] };
        let total: u64 = (0..weights.len()).map(weight).sum();
        let at = ((u128::from(random.next_u64()) * u128::from(total)) >> 64) as u64;
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
        let mut lab = Lab::with(weighted(&weights));
        lab.cluster.set_method(Box::new(LeastOutstanding));
        lab.random = Seeded::new(seed);
        let mut dice = Seeded::new(seed);
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
    for method in [
        Box::new(LowestLatency) as Box<dyn ajp::balancer::Method>,
        Box::new(LeastOutstanding),
    ] {
        let mut lab = Lab::with(weighted(&[300, 100]));
        lab.cluster.set_method(method);
        let shares = shares(&mut lab, &[50, 50]);
        assert!(close(shares[0], 0.75, 0.02), "{shares:?}");
    }
}

#[test]
fn noise_between_members_does_not_override_weights() {
    let mut lab = Lab::with(weighted(&[100, 300, 100]));
    lab.cluster.set_method(Box::new(LowestLatency));
    let shares = shares(&mut lab, &[50, 55, 52]);
    assert!(close(shares[1], 0.6, 0.02), "{shares:?}");
}

#[test]
fn a_slow_member_gets_little_and_is_tried_again() {
    let mut lab = Lab::with(weighted(&[100, 100, 100]));
    lab.cluster.set_method(Box::new(LowestLatency));
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
        lab.cluster.set_method(method(name).unwrap());
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
    for name in METHODS {
        let run = |seed| {
            let mut lab = Lab::with(weighted(&[100, 250, 100, 70]));
            lab.cluster.set_method(method(name).unwrap());
            lab.random = Seeded::new(seed);
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
