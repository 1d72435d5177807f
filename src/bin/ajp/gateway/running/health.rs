//! The listener that tells load balancers and orchestrators whether the gateway is ready.

use super::print;
use crate::gateway::front::Bound;
use crate::gateway::manager::{self, Farm};
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The listener that tells whether the gateway is ready: it ends last.
pub(super) struct HealthListener {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl HealthListener {
    pub(super) fn start(
        bound: Bound,
        farm: &Arc<Farm>,
        draining: &watch::Receiver<bool>,
    ) -> Result<Self, String> {
        let address = bound.address().map_err(|error| error.to_string())?;
        print(&format!("gateway: health http://{address}/ready"));
        let (stop, stopping) = watch::channel(false);
        let answers = manager::health(bound, Arc::clone(farm), draining.clone(), stopping);
        Ok(Self {
            stop,
            task: tokio::spawn(answers),
        })
    }

    pub(super) async fn end(self) {
        self.stop.send_replace(true);
        // A panic has been reported.
        let _ = self.task.await;
    }
}
