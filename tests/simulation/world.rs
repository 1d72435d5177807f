//! One farm, from its start to the last connection closed.

use super::container::{self, Ledger};
use super::network::{Host, State, Wire};
use super::raw::Random;
use super::visitor::{Tally, Visitor};
use ajp::balancer::{
    Balancer, BalancerConfig, CPing, ClusterConfig, Failover, Flags, Health, Member, MemberState,
    Sticky,
};
use ajp::client::{Pool, PoolConfig, Timeouts};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::sleep;

const CONNECTIONS: usize = 4;

/// What a world is made of. The same values give the same world.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Script {
    pub(crate) seed: u64,
    pub(crate) visitors: usize,
    /// Of each visitor.
    pub(crate) requests: usize,
    /// Members whose container or network is not sound; one more is.
    pub(crate) unsound: usize,
    /// Things that happen to the network and to the set of members.
    pub(crate) events: usize,
}

/// What happened.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) outcomes: BTreeMap<&'static str, u64>,
    /// Exchanges that reached a container.
    pub(crate) exchanges: u64,
}

/// Lets it happen, and panics where a promise is broken.
pub(crate) fn run(script: Script) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async { World::new(script).run().await })
}

struct World {
    script: Script,
    random: Random,
    balancer: Balancer,
    ledger: Arc<Ledger>,
    hosts: Vec<Arc<Host>>,
    pools: Vec<Pool>,
}

impl World {
    fn new(script: Script) -> Self {
        let mut random = Random::new(script.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        for _ in 0..4 {
            random.next();
        }
        let health = Health::new(CPing)
            .with_interval(Duration::from_secs(2))
            .with_limit(Duration::from_secs(1))
            .with_fall(2);
        let config = BalancerConfig::new("farm")
            .with_sticky(Sticky::new("JSESSIONID").unwrap())
            .with_health(health)
            .with_failover(Failover::default().with_replay_bytes(if random.one_in(2) {
                0
            } else {
                64 * 1024
            }))
            .with_cluster(
                ClusterConfig::default()
                    .with_retry(Duration::from_secs(3))
                    .with_seed(random.next()),
            );
        let balancer = Balancer::new(config);
        let ledger = Arc::new(Ledger::default());
        let (mut hosts, mut pools) = (Vec::new(), Vec::new());
        for number in 0..=script.unsound {
            let name = format!("jvm{number}");
            let (host, accepted) = Host::new(&name);
            let limits = Timeouts::default()
                .with_acquire(Duration::from_secs(2))
                .with_connect(Duration::from_secs(1))
                .with_response_head(Duration::from_secs(5))
                .with_between_packets(Duration::from_secs(5))
                .with_request(Duration::from_secs(120));
            let config = PoolConfig::default()
                .with_max_connections(CONNECTIONS)
                .with_max_waiting(1000)
                .with_jitter_seed(random.next())
                .with_idle_timeout(Duration::from_secs(10))
                .with_timeouts(limits);
            let pool = Pool::new(Wire(Arc::clone(&host)), config);
            let member = Member::new(&name).with_route(&name);
            balancer.add(member, pool.clone()).unwrap();
            let badness = (number > 0).then(|| 2 + random.below(10));
            let container =
                container::run(accepted, name, badness, Arc::clone(&ledger), random.next());
            Self::later(container);
            hosts.push(host);
            pools.push(pool);
        }
        Self {
            script,
            random,
            balancer,
            ledger,
            hosts,
            pools,
        }
    }

    fn later(task: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(task);
    }

    async fn run(mut self) -> Report {
        let balancer = self.balancer.clone();
        let upkeep = tokio::spawn(async move { balancer.run().await });
        let tally = Arc::new(Tally::default());
        let mut visitors = JoinSet::new();
        for number in 0..self.script.visitors {
            let visitor = Visitor {
                balancer: self.balancer.clone(),
                ledger: Arc::clone(&self.ledger),
                tally: Arc::clone(&tally),
                random: Random::new(self.random.next()),
                first: 1_000 + number * self.script.requests,
                requests: self.script.requests,
                route: self
                    .random
                    .one_in(3)
                    .then(|| format!("jvm{}", self.random.below(self.hosts.len()))),
            };
            visitors.spawn(visitor.visit());
        }
        let mut events = self.script.events;
        while !visitors.is_empty() {
            let pause = Duration::from_millis(self.random.below(1_500) as u64);
            tokio::select! {
                biased;
                ended = visitors.join_next() => {
                    if let Some(Err(error)) = ended {
                        std::panic::resume_unwind(error.into_panic());
                    }
                }
                () = sleep(pause) => {
                    if events > 0 && self.hosts.len() > 1 {
                        events -= 1;
                        self.event();
                    }
                    self.check();
                }
            }
        }
        self.check();
        self.finish(upkeep).await;
        Report {
            outcomes: tally.take(),
            exchanges: self.ledger.total(),
        }
    }

    /// Something happens to one of the members that are not sound.
    fn event(&mut self) {
        let number = 1 + self.random.below(self.hosts.len() - 1);
        let host = &self.hosts[number];
        let delay = Duration::from_millis(self.random.below(100) as u64);
        match self.random.below(8) {
            0 => host.set(State::Refusing, delay),
            1 => host.set(State::Unreachable, delay),
            2 => host.set(State::Up, Duration::from_secs(3)),
            3 => host.cut(),
            4 => host.freeze(),
            5 => {
                // The container is restarted.
                host.cut();
                host.set(State::Up, delay);
            }
            6 => {
                let drain = self.random.one_in(2);
                self.update(number, drain);
            }
            _ => host.set(State::Up, delay),
        }
    }

    /// An operator drains a member, or takes it back.
    fn update(&self, number: usize, drain: bool) {
        let flags: Flags = if drain { "+N" } else { "" }.parse().unwrap();
        self.balancer
            .update(&format!("jvm{number}"), |member| member.with_flags(flags))
            .unwrap();
    }

    /// What holds at every moment.
    fn check(&self) {
        if let Some(broken) = self.ledger.broken() {
            panic!("{broken}");
        }
        for (host, pool) in self.hosts.iter().zip(&self.pools) {
            let stats = pool.stats();
            // One more for the health check, and one for failed requests that ask whether the
            // container is there: both have connections of their own.
            assert!(
                host.most() <= CONNECTIONS + 2,
                "{} connections to {} at a time: {stats:?}",
                host.most(),
                host.name
            );
            assert!(stats.in_use <= CONNECTIONS, "{stats:?}");
        }
        let snapshot = self.balancer.snapshot();
        let sound = &snapshot.members[0];
        assert!(
            matches!(sound.state, MemberState::Ok | MemberState::Full),
            "a member without a fault of its own is out: {sound:?}"
        );
    }

    /// Nothing may be left.
    async fn finish(&self, upkeep: tokio::task::JoinHandle<()>) {
        // A check may be under way.
        upkeep.abort();
        let _ = upkeep.await;
        sleep(Duration::from_secs(1)).await;
        for (host, pool) in self.hosts.iter().zip(&self.pools) {
            let stats = pool.stats();
            assert_eq!(
                (stats.in_use, stats.waiting),
                (0, 0),
                "{}: {stats:?}",
                host.name
            );
            assert_eq!(stats.created, stats.closed + stats.idle as u64, "{stats:?}");
        }
        for pool in &self.pools {
            pool.shut_down();
        }
        sleep(Duration::from_secs(1)).await;
        for host in &self.hosts {
            assert_eq!(host.live(), 0, "connections to {} are left", host.name);
        }
    }
}
