//! Adaptive limits of a farm whose load changes: they stay near what the containers can take,
//! and what is served stays quick.

use super::model::Farm;
use super::{SECOND, Time, fewer};
use ajp::balancer::{AdaptiveLimit, ClusterConfig, Member};
use std::time::Duration;

const MEMBERS: usize = 10;
const THREADS: usize = 10;
const MS: Time = 1000;
const WORK: Time = 100 * MS;
/// What all containers together can answer in a second.
const CAPACITY: f64 = (MEMBERS * THREADS) as f64 * 1000.0 / 100.0;

fn farm() -> Farm {
    let config = ClusterConfig::default()
        .with_adaptive_limit(AdaptiveLimit::default())
        .with_retry(Duration::from_secs(1))
        .with_seed(4);
    let members = (0..MEMBERS).map(|number| Member::new(format!("m{number}")));
    Farm::new(config, "leastoutstanding", members.collect(), THREADS)
}

/// What limits there were, of each member second by second, lowest first.
#[derive(Debug)]
struct Seen(Vec<u32>);

impl Seen {
    /// The one that so many of a thousand did not exceed.
    fn part(&self, of_thousand: usize) -> u32 {
        self.0[(self.0.len() - 1) * of_thousand / 1000]
    }
}

/// Runs second by second.
fn watch(farm: &mut Farm, seconds: u64, rate: f64, takes: Time, varies: bool) -> Seen {
    let mut seen = Vec::new();
    for _ in 0..seconds {
        farm.run(SECOND, rate, takes, varies);
        let all = farm.containers.iter();
        seen.extend(all.map(|one| farm.cluster.adaptive_limit(one.id).unwrap()));
    }
    seen.sort_unstable();
    Seen(seen)
}

/// A day in the life of a farm: quiet, busy, twice too much, a member that becomes slow, one that
/// is away, and quiet again.
#[test]
fn limits_are_stable_whatever_the_load() {
    let seconds = |all: u64| (all / fewer() as u64).max(20);
    for varies in [false, true] {
        let mut farm = farm();
        let kind = if varies { "exponential" } else { "constant" };
        let report = |farm: &mut Farm, what: &str, seconds: u64, part: f64, seen: &Seen| {
            let goodput = farm.answered.len() as f64 / (CAPACITY * seconds as f64);
            let refused = farm.refused as f64 / farm.requests as f64;
            let p99 = f64::from(farm.percentile(99)) / WORK as f64;
            println!(
                "limits, {kind:11} {what:12} offered {part:.1}: goodput {goodput:.3}, refused \
                 {refused:.3}, p99 {p99:.2} times the work, limits {} to {}, nine of ten {} to {}",
                seen.part(0),
                seen.part(1000),
                seen.part(50),
                seen.part(950),
            );
            (goodput, refused, p99)
        };
        farm.run(20 * SECOND, CAPACITY * 0.5, WORK, varies);
        farm.look_anew();

        let time = seconds(60);
        let seen = watch(&mut farm, time, CAPACITY * 0.7, WORK, varies);
        let (_, refused, _) = report(&mut farm, "below", time, 0.7, &seen);
        assert!(refused < 0.005, "nobody is refused without need: {refused}");

        farm.run(20 * SECOND, CAPACITY * 2.0, WORK, varies);
        farm.look_anew();
        let time = seconds(120);
        let seen = watch(&mut farm, time, CAPACITY * 2.0, WORK, varies);
        let (goodput, _, p99) = report(&mut farm, "twice", time, 2.0, &seen);
        assert!(goodput >= 0.95, "{goodput}");
        // A single request takes 4.6 times the mean in 99 of 100 cases if times are exponential.
        assert!(p99 < if varies { 3.0 * 4.6 } else { 3.0 }, "{p99}");
        assert!(seen.part(1000) as usize <= THREADS * 3, "{seen:?}");
        // A limit is no less than 2, but for some seconds of measurements, when a quarter of it
        // waits.
        assert!(seen.part(0) as usize >= THREADS / 8, "{seen:?}");
        assert!(seen.part(20) >= 2, "{seen:?}");
        assert!(seen.part(50) as usize >= THREADS / 2, "{seen:?}");

        // One is away for ten seconds, and comes back into the overload.
        farm.containers[0].refuses = true;
        farm.run(10 * SECOND, CAPACITY * 2.0, WORK, varies);
        farm.containers[0].refuses = false;
        farm.look_anew();
        let seen = watch(&mut farm, 20, CAPACITY * 2.0, WORK, varies);
        let (goodput, ..) = report(&mut farm, "one returned", 20, 2.0, &seen);
        assert!(goodput >= 0.93, "{goodput}");
        let most = farm.containers[0].most_in_flight as usize;
        assert!(most <= THREADS * 3, "it is flooded: {most}");
        assert_eq!(farm.lost, 0);

        // What one of them works with becomes slow.
        farm.containers[1].slowness = 4.0;
        farm.run(20 * SECOND, CAPACITY * 2.0, WORK, varies);
        farm.look_anew();
        let seen = watch(&mut farm, 20, CAPACITY * 2.0, WORK, varies);
        let (goodput, ..) = report(&mut farm, "one slow", 20, 2.0, &seen);
        let possible = (MEMBERS as f64 - 0.75) / MEMBERS as f64;
        assert!(goodput >= possible * 0.93, "{goodput} of {possible}");
        farm.containers[1].slowness = 1.0;

        farm.run(20 * SECOND, CAPACITY * 0.7, WORK, varies);
        farm.look_anew();
        let time = seconds(60);
        let seen = watch(&mut farm, time, CAPACITY * 0.7, WORK, varies);
        let (_, refused, _) = report(&mut farm, "below again", time, 0.7, &seen);
        assert!(refused < 0.005, "{refused}");
    }
}
