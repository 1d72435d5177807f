//! Keeping a pool in order between requests.

use super::cause::CloseCause;
use super::error::{Blame, ClientError, ErrorKind};
use super::lease::Lease;
use super::limits::Limits;
use super::shared::Shared;
use super::timeouts::RequestTimeouts;
use crate::common::CacheAligned;
use crate::trace::event;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Runs until the pool is shut down or its last handle is dropped. It keeps no handle.
pub(super) async fn maintain(shared: Arc<Shared>) {
    let interval = shared.maintenance_interval();
    loop {
        // Before the look, so that a shutdown after it is not missed.
        let is_shut = shared.is_shut.notified();
        if shared.permits.is_shut() {
            return;
        }
        let round = async {
            shared.one_round().await;
            sleep(interval).await;
        };
        tokio::pin!(is_shut, round);
        std::future::poll_fn(|cx| {
            if is_shut.as_mut().poll(cx).is_ready() {
                return std::task::Poll::Ready(());
            }
            round.as_mut().poll(cx)
        })
        .await;
    }
}

impl Shared {
    fn maintenance_interval(&self) -> Duration {
        let config = &self.config;
        let limits = [config.idle_timeout, config.idle_ping_interval];
        let quarters = limits.into_iter().flatten().map(|limit| limit.div_f64(4.0));
        let least = quarters.min().unwrap_or(Duration::MAX);
        let interval = config.maintenance_interval.min(least);
        interval.max(Duration::from_millis(10))
    }

    async fn one_round(self: &Arc<Self>) {
        self.close_unfit();
        self.replace_lost_watchdog();
        if let Some(interval) = self.config.idle_ping_interval {
            self.ping_idle(interval).await;
        }
        if let Err(error) = self.replenish().await {
            // Requests say the same, more loudly.
            event!(DEBUG, pool = self.id.name(), peer = &*self.peer, error = %error.kind(), "no idle AJP connection opened");
            let _ = error;
        }
    }

    /// Asks the idle connections of this runtime on which the container was not heard for
    /// this long, one after the other. After one that does not answer in time the others are
    /// not asked: those that became idle before are closed.
    async fn ping_idle(self: &Arc<Self>, interval: Duration) {
        let Some(before) = Instant::now().checked_sub(interval) else {
            return;
        };
        loop {
            let mut lease = self.lease();
            // None is free: the pool is at work, and its requests ask.
            if !lease.try_permit() {
                return;
            }
            let Some(connection) = self.idle.take_unheard(before) else {
                return;
            };
            let heard = connection.heard;
            lease.connection = Some(connection);
            let start = Instant::now();
            match lease.ping(start, None).await {
                Ok(()) => lease.put_back_after_ping(),
                Err(error) => {
                    if error.blame() == Blame::Container {
                        let lost = crate::net::PeerState::Failed;
                        self.idle.learn(lost, heard, Instant::now());
                    }
                    lease.release(CloseCause::CPing);
                    if error.kind() == ErrorKind::CPingTimeout {
                        self.counters.probe_timed_out();
                        self.close_unresponsive(start);
                        return;
                    }
                }
            }
        }
    }

    /// Opens connections until as many are idle as are to be kept ready, or no permit is free.
    /// Tells how many.
    pub(super) async fn replenish(self: &Arc<Self>) -> Result<usize, ClientError> {
        let wanted = self.config.min_idle.min(self.config.max_idle);
        let mut opened = 0usize;
        while opened < wanted && self.idle.len() < wanted {
            let mut lease = self.lease();
            if !lease.try_permit() || self.is_full() {
                break;
            }
            if let Err(error) = lease.open().await {
                self.counters.failed(error.kind());
                return Err(error);
            }
            lease.put_back();
            opened += 1;
        }
        Ok(opened)
    }

    /// A lease for the pool's own purposes.
    fn lease(self: &Arc<Self>) -> Lease {
        let limits = Limits::new(&self.config.timeouts, &RequestTimeouts::new());
        Lease::new(&Arc::new(CacheAligned::new(Arc::clone(self))), limits)
    }
}

impl Lease {
    /// Puts a connection that answered `CPing` back where it was.
    fn put_back_after_ping(&mut self) {
        if let Some(mut connection) = self.connection.take() {
            connection.heard = Instant::now();
            self.shared.counters.traffic(&mut connection);
            connection.io.release_buffers();
            let surplus = self.shared.idle.put_back_with_permit(connection);
            self.shared.close_all(surplus);
        }
        self.release_permit();
    }
}
