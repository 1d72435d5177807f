//! A client in this process and a server in another, measured together.

use super::client::{AnyClient, Case};
use super::{Server, own_cpu, protocol, runtime};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

pub(crate) struct Pair {
    pub(crate) name: &'static str,
    pub(crate) runtime: Runtime,
    pub(crate) client: AnyClient,
    /// Last, so that the client is gone before it.
    _server: Server,
}

/// What a round took: from start to end, and of both processes' CPUs.
#[derive(Clone, Copy)]
pub(crate) struct Spent {
    pub(crate) time: Duration,
    pub(crate) cpu: Duration,
}

impl Pair {
    /// Both sides with so many workers, or on one thread if 0.
    pub(crate) fn start(name: &'static str, workers: usize) -> Self {
        let server = Server::start(name, workers);
        let client = AnyClient::new(protocol(name), &server.address);
        Self {
            name,
            runtime: runtime(workers),
            client,
            _server: server,
        }
    }

    /// The time that so many requests take.
    pub(crate) fn run(&self, case: Case, count: u64, callers: u64) -> Duration {
        self.runtime.block_on(async {
            let start = Instant::now();
            self.client.run(case, count, callers).await;
            start.elapsed()
        })
    }

    /// What so many requests cost.
    pub(crate) fn spent(&self, case: Case, count: u64, callers: u64) -> Spent {
        let before = self.cpu();
        let time = self.run(case, count, callers);
        let cpu = self.cpu().saturating_sub(before);
        Spent { time, cpu }
    }

    /// CPU time of both processes so far.
    pub(crate) fn cpu(&self) -> Duration {
        let server = self.runtime.block_on(async {
            let body = self.client.response("/cpu").await;
            String::from_utf8(body.to_vec()).unwrap()
        });
        own_cpu() + Duration::from_nanos(server.parse().unwrap())
    }
}

/// Measures all in turns, so that the machine's moods meet all of them: the medians.
pub(crate) fn in_turns<T>(
    all: &[T],
    rounds: usize,
    mut measure: impl FnMut(&T) -> f64,
) -> Vec<f64> {
    let mut seen = vec![Vec::new(); all.len()];
    for _ in 0..rounds {
        for (one, seen) in all.iter().zip(&mut seen) {
            seen.push(measure(one));
        }
    }
    let median = |mut seen: Vec<f64>| {
        seen.sort_by(f64::total_cmp);
        seen[seen.len() / 2]
    };
    seen.into_iter().map(median).collect()
}
