//! What a member is given when it comes back after a long time, in every way in which one can be
//! away: no more than its share, and no queue.

use super::model::Farm;
use super::{SECOND, Time, fewer};
use ajp::balancer::{ClusterConfig, Flags, Member, Method, Outlier};
use std::time::Duration;

const MEMBERS: usize = 8;
const THREADS: usize = 8;
const MS: Time = 1000;
const WORK: Time = 20 * MS;
/// Of what all can do.
const LOAD: f64 = 0.6;
const RATE: f64 = (MEMBERS * THREADS) as f64 * 1000.0 / 20.0 * LOAD;

/// How a member is away.
#[derive(Debug, Clone, Copy)]
enum Absence {
    /// It refuses connections.
    Refuses,
    /// It answers 503 and is ejected.
    Ejected,
    /// An operator switches it off.
    Disabled,
    /// It drains.
    Draining,
    /// It is removed, and added under the same name.
    Removed,
    /// Health checks take it out.
    Unhealthy,
}

const ABSENCES: [Absence; 6] = [
    Absence::Refuses,
    Absence::Ejected,
    Absence::Disabled,
    Absence::Draining,
    Absence::Unhealthy,
    // Last, as it is another container then.
    Absence::Removed,
];

fn flags(farm: &mut Farm, flags: Flags) {
    let (id, now) = (farm.containers[0].id, farm.at());
    let member = farm.cluster.member(id).unwrap();
    let member = Member::clone(member).with_flags(flags);
    farm.cluster.update(id, member, now).unwrap();
}

fn check(farm: &mut Farm, passed: bool) {
    use ajp::balancer::CheckOutcome;
    let (id, now) = (farm.containers[0].id, farm.at());
    let outcome = if passed {
        CheckOutcome::Passed
    } else {
        CheckOutcome::Failed("no")
    };
    farm.cluster.checked(id, outcome, (1, 1), now);
}

/// Takes the first member away.
fn leave(farm: &mut Farm, absence: Absence) {
    match absence {
        Absence::Refuses => farm.containers[0].refuses = true,
        Absence::Ejected => farm.containers[0].status = 503,
        Absence::Disabled => flags(farm, Flags::DISABLED),
        Absence::Draining => flags(farm, Flags::DRAINING),
        Absence::Removed => {
            let (id, now) = (farm.containers[0].id, farm.at());
            farm.cluster.remove(id, now);
        }
        Absence::Unhealthy => check(farm, false),
    }
}

/// Brings it back. Which container it is then.
fn come_back(farm: &mut Farm, absence: Absence) -> usize {
    match absence {
        Absence::Refuses => farm.containers[0].refuses = false,
        Absence::Ejected => farm.containers[0].status = 200,
        Absence::Disabled | Absence::Draining => flags(farm, Flags::default()),
        Absence::Removed => {
            farm.add(Member::new("m0"), THREADS);
            return MEMBERS;
        }
        Absence::Unhealthy => check(farm, true),
    }
    0
}

#[test]
fn nobody_is_flooded_who_returns() {
    let mut worst: Vec<(&str, f64, f64)> = Vec::new();
    let mut requests = 0;
    for method in Method::NAMES {
        let config = ClusterConfig::default()
            .with_retry(Duration::from_secs(1))
            .with_outlier(
                Outlier::default()
                    .with_window(Duration::from_secs(1))
                    .with_eject_for(Duration::from_secs(1)),
            )
            .with_seed(6);
        let members = (0..MEMBERS).map(|number| Member::new(format!("m{number}")));
        let mut farm = Farm::new(config, method, members.collect(), THREADS);
        farm.run(SECOND, RATE, WORK, true);
        let (mut most_share, mut most_in_flight) = (0.0f64, 0.0f64);
        for absence in ABSENCES {
            leave(&mut farm, absence);
            let away = 18 / fewer() as u64;
            farm.run(away * SECOND, RATE, WORK, true);
            let at = come_back(&mut farm, absence);
            // Until it serves again: a pause or an ejection may have to end.
            for _ in 0..15_000 {
                farm.look_anew();
                farm.run(MS, RATE, WORK, true);
                if farm.containers[at].given > 0 {
                    break;
                }
            }
            assert!(
                farm.containers[at].given > 0,
                "{method} {absence:?}: it never serves"
            );
            let first = farm.containers[at].given;
            farm.run(SECOND / 4, RATE, WORK, true);
            let others = farm.containers.iter().enumerate();
            let others = others.filter(|(other, one)| *other != at && one.given > 0);
            let (count, given, in_flight) = others.fold((0.0, 0.0, 0.0), |sum, (_, one)| {
                (
                    sum.0 + 1.0,
                    sum.1 + one.given as f64,
                    sum.2 + f64::from(one.most_in_flight),
                )
            });
            let one = &farm.containers[at];
            let share = one.given as f64 / (given / count);
            let fullness = f64::from(one.most_in_flight) / (in_flight / count);
            most_share = most_share.max(share);
            most_in_flight = most_in_flight.max(fullness);
            assert!(
                share < 1.7 && fullness < 2.0,
                "{method} {absence:?}: {share:.2} of its share, {fullness:.2} as full, \
                     {first} at once"
            );
            assert_eq!(farm.lost, 0, "{method} {absence:?}");
            requests += farm.requests;
        }
        worst.push((method, most_share, most_in_flight));
    }
    println!(
        "returns: the first quarter of a second of a member that was away, beside the others:"
    );
    for (name, share, in_flight) in worst {
        println!("  {name:17} requests {share:.2}, most in flight {in_flight:.2}");
    }
    println!("  {requests} requests while it was looked at");
}
