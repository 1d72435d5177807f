//! The panic threshold: members that are unhealthy go on serving where too few others are left
//! ([`ClusterConfig::with_panic_threshold`](crate::balancer::ClusterConfig::with_panic_threshold)).

use super::super::circuit::Phase;
use super::super::cluster::Cluster;
use super::super::member::MemberId;
use super::super::slot::Verdict;
use std::time::Instant;

impl Cluster {
    /// How many members may be out for reasons that are no certain proof.
    pub(super) fn most_out(&self) -> usize {
        let all = self.roster.in_service().count();
        let least = usize::try_from(self.config.panic_threshold.min(100)).unwrap_or(100);
        let must_serve = (all * least).div_ceil(100);
        all - must_serve
    }

    /// Whether too few members would be left if this one were taken out.
    pub(super) fn too_few_without(&self, id: MemberId, now: Instant) -> bool {
        let out = self.roster.in_service();
        let out = out.filter(|slot| slot.id == id || !slot.is_in(now)).count();
        out > self.most_out()
    }

    /// Whether nobody would be left if this one were taken out.
    pub(super) fn is_last(&self, id: MemberId, now: Instant) -> bool {
        let mut others = self.roster.in_service();
        !others.any(|slot| slot.id != id && slot.is_in(now))
    }

    /// Decides anew which of the unhealthy members have to go on serving because too few
    /// others are left. Who became unhealthy first is out first.
    pub(in crate::balancer) fn spare_too_few(&mut self, now: Instant) {
        let most = self.most_out();
        let failed = self.roster.in_service().filter(|slot| {
            slot.checks.verdict == Verdict::Healthy && slot.circuit.phase(now) != Phase::Closed
        });
        let mut left = most.saturating_sub(failed.count());
        let mut unhealthy: Vec<(u64, MemberId)> = Vec::new();
        for slot in self.roster.in_service() {
            if let Verdict::Unhealthy { order } | Verdict::KeptServing { order } =
                slot.checks.verdict
            {
                unhealthy.push((order, slot.id));
            }
        }
        unhealthy.sort_unstable();
        for (order, id) in unhealthy {
            let verdict = if left > 0 {
                Verdict::Unhealthy { order }
            } else {
                Verdict::KeptServing { order }
            };
            left = left.saturating_sub(1);
            if let Some(slot) = self.roster.get_mut(id) {
                slot.checks.verdict = verdict;
            }
        }
    }
}
