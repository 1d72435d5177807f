//! Visitors who go on asking while something happens.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use super::visitor::{By, Visitor, Wrong};

const PAUSE: Duration = Duration::from_millis(10);

/// Visitors at work, each with one request at a time.
pub struct Load {
    stop: Arc<AtomicBool>,
    visitors: Vec<JoinHandle<(Visitor, Tally)>>,
}

/// What became of the requests.
#[derive(Debug, Default)]
pub struct Tally {
    pub asked: usize,
    /// Failed GETs.
    pub failed: Vec<Wrong>,
    /// Failed GETs whose target has a query.
    pub failed_with_query: Vec<Wrong>,
    pub lost: Vec<String>,
    pub slowest: Duration,
}

impl Load {
    /// Every second request has a query.
    pub fn start(visitors: Vec<Visitor>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let visit = |mut visitor: Visitor| {
            let stop = Arc::clone(&stop);
            tokio::spawn(async move {
                let mut tally = Tally::default();
                while !stop.load(Ordering::SeqCst) {
                    let query = tally.asked % 2 == 1;
                    let target = if query { "/cart/?item=7" } else { "/cart/" };
                    let start = Instant::now();
                    match visitor.get(target).await {
                        Ok(_) => {}
                        Err(Wrong::SessionLost(what)) => tally.lost.push(what),
                        Err(wrong) if query => tally.failed_with_query.push(wrong),
                        Err(wrong) => tally.failed.push(wrong),
                    }
                    tally.asked += 1;
                    tally.slowest = tally.slowest.max(start.elapsed());
                    tokio::time::sleep(PAUSE).await;
                }
                (visitor, tally)
            })
        };
        let visitors = visitors.into_iter().map(visit).collect();
        Self { stop, visitors }
    }

    /// Lets each end its request.
    pub async fn stop(self) -> (Vec<Visitor>, Tally) {
        self.stop.store(true, Ordering::SeqCst);
        let mut visitors = Vec::new();
        let mut all = Tally::default();
        for visitor in self.visitors {
            let (visitor, tally) = visitor.await.unwrap();
            visitors.push(visitor);
            all.asked += tally.asked;
            all.failed.extend(tally.failed);
            all.failed_with_query.extend(tally.failed_with_query);
            all.lost.extend(tally.lost);
            all.slowest = all.slowest.max(tally.slowest);
        }
        (visitors, all)
    }
}

impl Tally {
    /// Failures of any kind.
    pub fn failures(&self) -> usize {
        self.failed.len() + self.failed_with_query.len()
    }
}

/// Begins a session now and then until one is on `node`, and tells when that was.
pub fn watch_for(front: SocketAddr, node: &'static str) -> JoinHandle<Instant> {
    tokio::spawn(async move {
        loop {
            let mut visitor = Visitor::new(front, By::Cookie);
            // What fails is counted by the load.
            if visitor.get("/cart/").await.is_ok() && visitor.node == node {
                return Instant::now();
            }
            tokio::time::sleep(PAUSE * 5).await;
        }
    })
}
