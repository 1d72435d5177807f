//! Which ways requests, connections and members have gone: a simulation in which a path of the
//! client or of the balancer is never taken proves nothing of it.

use ajp::balancer::MemberChange;
use ajp::client::{ConnectionReport, ErrorKind, ExchangeOutcome, ExchangeReport, Observer, PoolId};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How often each was taken.
#[derive(Debug, Clone, Default)]
pub(crate) struct Paths(Arc<Mutex<BTreeMap<String, u64>>>);

impl Paths {
    fn count(&self, path: String) {
        *self.0.lock().unwrap().entry(path).or_default() += 1;
    }

    pub(crate) fn take(&self) -> BTreeMap<String, u64> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    /// A member has changed.
    pub(crate) fn member(&self, change: &MemberChange) {
        let name = match change {
            MemberChange::Added => "added",
            MemberChange::Updated => "updated",
            MemberChange::Leaving => "leaves",
            MemberChange::Removed => "removed",
            MemberChange::Failed { .. } => "failed",
            MemberChange::Ejected { .. } => "ejected",
            MemberChange::Spared { .. } => "spared",
            MemberChange::Unhealthy { .. } => "unhealthy",
            MemberChange::Recovered => "recovered",
            other => panic!("{other:?}"),
        };
        self.count(format!("member: {name}"));
    }
}

impl Observer for Paths {
    fn connection_opened(&self, _: &PoolId, _: Duration) {
        self.count("connection: opened".to_owned());
    }

    fn connection_closed(&self, _: &PoolId, report: &ConnectionReport) {
        self.count(format!("connection closed: {:?}", report.cause));
    }

    fn acquired(&self, _: &PoolId, waited: Duration, reused: bool) {
        let how = if reused { "reused" } else { "new" };
        self.count(format!("connection in hand: {how}"));
        if !waited.is_zero() {
            self.count("connection in hand: after a wait".to_owned());
        }
    }

    fn acquire_failed(&self, _: &PoolId, _: Duration, error: ErrorKind) {
        self.count(format!("no connection: {error:?}"));
    }

    fn cping_failed(&self, _: &PoolId, _: Duration, error: ErrorKind) {
        self.count(format!("CPing failed: {error:?}"));
    }

    fn secret_changed(&self, _: &PoolId, _: usize) {
        self.count("secret: the container takes another one".to_owned());
    }

    fn exchange_finished(&self, report: &ExchangeReport<'_>) {
        let path = match report.outcome {
            ExchangeOutcome::Completed => "completed".to_owned(),
            ExchangeOutcome::Dropped => format!("dropped at {:?}", report.progress),
            ExchangeOutcome::Failed(kind) => format!("failed: {kind:?}"),
            _ => format!("{:?}", report.outcome),
        };
        self.count(format!("exchange: {path}"));
    }
}
