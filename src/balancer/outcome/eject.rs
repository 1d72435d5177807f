//! Members that answer, and badly: they are taken out if enough others are left.

use super::super::Flags;
use super::super::cluster::Cluster;
use super::super::events::MemberChange;
use super::super::member::MemberId;
use std::time::Instant;

/// Fewer members than this are nothing to compare with.
const FEWEST_PEERS: f64 = 5.0;

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

    /// Takes a member out for its bad answers, if enough others are left.
    pub(super) fn eject(&mut self, id: MemberId, now: Instant) {
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
        if slot.settings.flags.contains(Flags::IGNORE_ERRORS) {
            return;
        }
        let times = slot.rate.eject();
        let pause = outlier.pause(times);
        slot.circuit.open(now, pause, true);
        slot.last_error = Some(("too many bad answers".into(), now));
        self.spare_too_few(now);
        self.changed(id, MemberChange::Ejected { times, pause });
    }
}

/// Whether `part` is more than this percentage of `all`.
fn exceeds(part: usize, percent: u32, all: usize) -> bool {
    let percent = usize::try_from(percent).unwrap_or(usize::MAX);
    part.saturating_mul(100) > all.saturating_mul(percent)
}
