//! Members that answer, but badly or late: they are taken out if enough others are left.

use super::super::Flags;
use super::super::cluster::Cluster;
use super::super::events::MemberChange;
use super::super::member::MemberId;
use super::super::outlier::Fault;
use super::super::slot::Slot;
use std::time::Instant;

/// Fewer members than this are nothing to compare with.
const FEWEST_PEERS: f64 = 5.0;

/// As many others must be there to compare the time of answers with: their median is one of them.
const FEWEST_TIMED_PEERS: usize = 2;

/// Answers that take so much longer, in seconds, are not late: among those that take next to no
/// time a multiple means nothing.
const LEAST_DELAY: f64 = 0.01;

/// A member whose part of good answers is below the mean by less than this counts as good as the
/// others. Where all are nearly alike, a deviation is so small that noise alone is many of them.
const LEAST_GAP: f64 = 0.05;

impl Cluster {
    /// Whether a member answers so much worse than the others that it must be its own fault.
    pub(super) fn falls_behind(&self, id: MemberId, now: Instant) -> bool {
        let outlier = self.config.outlier.as_ref();
        let Some((outlier, most)) = outlier.and_then(|all| Some((all, all.peer_deviations?)))
        else {
            return false;
        };
        let own = self.roster.get(id);
        let Some(own) = own.and_then(|slot| slot.rate.good_part(outlier, now)) else {
            return false;
        };
        let (mut count, mut sum, mut squares) = (0.0, 0.0, 0.0);
        for slot in self.roster.in_service().filter(|slot| slot.is_in(now)) {
            if let Some(part) = slot.rate.good_part(outlier, now) {
                count += 1.0;
                sum += part;
                squares += part * part;
            }
        }
        if count < FEWEST_PEERS {
            return false;
        }
        let mean = sum / count;
        let deviation = (squares / count - mean * mean).max(0.0).sqrt();
        let gap = mean - own;
        gap >= LEAST_GAP && gap > deviation * f64::from(most) / 100.0
    }

    /// Whether the answers of a member take so much longer than those of the others that it must
    /// be its own fault.
    pub(super) fn is_slow_beside_others(&self, id: MemberId, now: Instant) -> bool {
        let outlier = self.config.outlier.as_ref();
        let Some((outlier, most)) = outlier.and_then(|all| Some((all, all.peer_latency?))) else {
            return false;
        };
        let time = |slot: &Slot| slot.rate.mean_time(outlier, now);
        let Some(own) = self.roster.get(id).and_then(time) else {
            return false;
        };
        let others = self.roster.in_service();
        let others = others.filter(|slot| slot.id != id && slot.is_in(now));
        let mut others: Vec<f64> = others.filter_map(time).collect();
        if others.len() < FEWEST_TIMED_PEERS {
            return false;
        }
        // Of an even number the lower one of both in the middle.
        let middle = (others.len() - 1) / 2;
        let (_, &mut median, _) = others.select_nth_unstable_by(middle, f64::total_cmp);
        own - median >= LEAST_DELAY && own > median * f64::from(most) / 100.0
    }

    /// Takes a member out for its answers, if enough others are left.
    pub(super) fn eject(&mut self, id: MemberId, fault: Fault, now: Instant) {
        let Some(outlier) = self.config.outlier.clone() else {
            return;
        };
        let all = self.roster.in_service().count();
        let out = self.roster.in_service();
        let out = out.filter(|slot| slot.id == id || !slot.is_in(now)).count();
        if exceeds(out, outlier.max_out_percent, all) {
            return;
        }
        let Some(slot) = self.roster.get_mut(id) else {
            return;
        };
        if slot.terms.flags.contains(Flags::IGNORE_ERRORS) {
            return;
        }
        let (times, sessions_fail) = slot.rate.eject();
        let pause = outlier.pause(times);
        slot.circuit.eject(now, pause, !sessions_fail);
        slot.last_error = Some((fault.describe().into(), now));
        self.spare_too_few(now);
        self.changed(id, MemberChange::Ejected { times, pause });
    }
}

/// Whether `part` is more than this percentage of `all`.
fn exceeds(part: usize, percent: u32, all: usize) -> bool {
    let percent = usize::try_from(percent).unwrap_or(usize::MAX);
    part.saturating_mul(100) > all.saturating_mul(percent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balancer::outlier::Outlier;
    use crate::balancer::{ClusterConfig, Member};
    use std::time::Duration;

    /// Members with so many good answers each out of 16, which took so long.
    fn cluster(outlier: &Outlier, members: &[(u32, u64)], now: Instant) -> Cluster {
        let config = ClusterConfig::default().with_outlier(outlier.clone());
        let mut cluster = Cluster::new(config);
        for (index, &(good, millis)) in members.iter().enumerate() {
            let id = cluster.add(Member::new(format!("{index}")), now).unwrap();
            let slot = cluster.roster.get_mut(id).unwrap();
            for answer in 0..16 {
                let took = Duration::from_millis(millis);
                slot.rate.record(answer >= good, took, outlier, now);
            }
        }
        cluster
    }

    fn first(cluster: &Cluster) -> MemberId {
        cluster.roster.slots[0].id
    }

    #[test]
    fn a_member_falls_behind_the_others_by_deviations() {
        let now = Instant::now();
        let falls_behind = |most, goods: &[u32]| {
            let outlier = Outlier::default().with_min_requests(16);
            let outlier = outlier.with_peer_deviations(most);
            let members: Vec<_> = goods.iter().map(|&good| (good, 1)).collect();
            let cluster = cluster(&outlier, &members, now);
            cluster.falls_behind(first(&cluster), now)
        };
        // Of these the mean is 0.9, and the deviation 0.2.
        let five = [8, 16, 16, 16, 16];
        assert!(falls_behind(190, &five) && !falls_behind(210, &five));
        assert!(!falls_behind(190, &five[..4]), "too few to compare with");
        // The mean is 0.75, and the deviation 0.25: exactly as much is not more.
        let halves = [8, 8, 8, 8, 16, 16, 16, 16];
        assert!(!falls_behind(100, &halves) && falls_behind(99, &halves));
        assert!(!falls_behind(1, &[16; 5]) && !falls_behind(0, &[16; 5]));
        // Far from the others, and yet hardly worse.
        assert!(!falls_behind(1, &[15, 16, 16, 16, 15]));
        assert!(!falls_behind(190, &[16, 8, 16, 16, 16]), "another one does");
    }

    #[test]
    fn a_member_is_slow_beside_the_median_of_the_others() {
        let now = Instant::now();
        let is_slow = |percent, millis: &[u64]| {
            let outlier = Outlier::default().with_min_requests(16);
            let outlier = outlier.with_peer_latency(percent);
            let members: Vec<_> = millis.iter().map(|&millis| (16, millis)).collect();
            let cluster = cluster(&outlier, &members, now);
            cluster.is_slow_beside_others(first(&cluster), now)
        };
        // The median of the others is 125 ms.
        assert!(is_slow(200, &[251, 125, 500]) && !is_slow(200, &[250, 125, 500]));
        assert!(!is_slow(300, &[251, 125, 500]));
        assert!(is_slow(200, &[251, 500, 125, 10]));
        assert!(!is_slow(200, &[251, 125]), "too few to compare with");
        assert!(!is_slow(200, &[12, 3, 3]) && is_slow(200, &[14, 3, 3]));
        assert!(!is_slow(200, &[3, 14, 14]));
    }

    #[test]
    fn no_more_than_a_part_of_all_is_out() {
        assert!(!exceeds(1, 50, 2) && exceeds(2, 50, 3) && !exceeds(0, 0, 3));
        assert!(exceeds(1, 0, 3) && !exceeds(3, 100, 3));
    }
}
