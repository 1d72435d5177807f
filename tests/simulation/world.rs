//! One farm, from its start to the last connection closed.

mod checks;
mod events;

use super::browser::Browser;
use super::container;
use super::discovery::{Discovery, Known, Set};
use super::gateway::Gateway;
use super::ledger::Ledger;
use super::network::{Host, State, Wire};
use super::ours::{self, Application};
use super::paths_taken::Paths;
use super::random::Random;
use super::visitor::{Tally, Visitor};
use ajp::Secret;
use ajp::balancer::{
    Balancer, BalancerConfig, CPing, ClusterConfig, Failover, Health, HttpCheck, Leaving, Member,
    MemberEvents, Outlier, Sticky,
};
use ajp::client::{Pool, PoolConfig, Timeouts};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// Most connections that a pool may have, whatever it is resized to.
const CONNECTIONS: usize = 4;
/// The interval of the health checks, and how many of them must fail.
const INTERVAL: Duration = Duration::from_secs(2);
const FALL: u32 = 2;
/// A member that hangs is out after `fall` times the interval and one limit; a check that was
/// under way when it began to hang may say nothing.
const OUT_AFTER: Duration = Duration::from_millis(7_500);
/// How long a caller may read nothing, or have no body, at one member.
pub(crate) const READ_LIMIT: Duration = Duration::from_secs(15);
const BODY_LIMIT: Duration = Duration::from_secs(10);
/// After a jump of the clock everything may be late for so long.
const SHAKEN: Duration = Duration::from_secs(30);

/// What a world is made of. The same values give the same world.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Script {
    pub(crate) seed: u64,
    /// Visitors that ask the library's balancer, or one of its clients.
    pub(crate) visitors: usize,
    /// Visitors that come through the gateway.
    pub(crate) browsers: usize,
    /// Of each visitor.
    pub(crate) requests: usize,
    /// Members whose container or network is not sound; one more is.
    pub(crate) unsound: usize,
    /// Things that happen to the network and to the set of members.
    pub(crate) events: usize,
}

/// What happened.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) outcomes: BTreeMap<&'static str, u64>,
    pub(crate) events: BTreeMap<&'static str, u64>,
    /// What pools and members went through.
    pub(crate) paths: BTreeMap<String, u64>,
    /// Exchanges that reached a container.
    pub(crate) exchanges: u64,
    /// Tells two worlds apart in which something else happened, or in another order.
    pub(crate) trace: u64,
}

/// Lets it happen, and panics where a promise is broken. What has happened until then is noted
/// in `exchanges`.
pub(crate) fn run(script: Script, exchanges: &Mutex<u64>) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let ledger = Arc::new(Ledger::default());
    let seen = Arc::clone(&ledger);
    let world = std::panic::AssertUnwindSafe(|| {
        runtime.block_on(async { World::new(script, ledger).run().await })
    });
    let result = std::panic::catch_unwind(world);
    *exchanges.lock().unwrap() = seen.total();
    result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// A machine with a container.
struct Machine {
    host: Arc<Host>,
    kind: Kind,
    pool: PoolConfig,
}

enum Kind {
    /// Written by hand.
    Scripted,
    /// Of this crate; it can be stopped, and its secret changes.
    Ours {
        application: Application,
        stop: Option<oneshot::Sender<()>>,
        /// Of a member that is discovered: the secret of the pool.
        generation: u32,
        /// Of one that is not, and whose pool knows two secrets while they are changed: the
        /// secret that its container takes, and how far the change has got.
        taken: (u32, Change),
    },
}

/// A secret is changed under a pool that stays.
#[derive(Clone, Copy)]
enum Change {
    None,
    /// The pool sends the new one first, and the container takes the old one.
    Announced,
    /// The container takes the new one, and the pool knows the old one too.
    Taken,
}

struct World {
    script: Script,
    random: Random,
    balancer: Balancer,
    gateway: Gateway,
    events: MemberEvents,
    ledger: Arc<Ledger>,
    tally: Arc<Tally>,
    machines: Vec<Machine>,
    /// Of the members that are not discovered, by number.
    pools: BTreeMap<usize, Pool>,
    /// What the discovery knows, by name.
    set: Set,
    published: Option<watch::Sender<Set>>,
    changed_at: Instant,
    /// Until when the machines are cut off from the web server, and stay so.
    cut_off_until: Instant,
    happened: BTreeMap<&'static str, u64>,
    paths: Paths,
    later: JoinSet<()>,
}

fn secret(generation: u32) -> Secret {
    Secret::new(format!("secret of generation {generation}")).unwrap()
}

impl World {
    fn new(script: Script, ledger: Arc<Ledger>) -> Self {
        let mut random = Random::new(script.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        for _ in 0..4 {
            random.next();
        }
        let balancer = Balancer::new(Self::balancer_config(&mut random));
        let (published, discovered) = watch::channel(Set::new());
        let events = balancer.events();
        let tally = Arc::new(Tally::default());
        let gateway = Gateway::new(balancer.clone(), Arc::clone(&tally), &mut random);
        let mut world = Self {
            script,
            gateway,
            events,
            balancer: balancer.clone(),
            ledger,
            tally,
            machines: Vec::new(),
            pools: BTreeMap::new(),
            set: Set::new(),
            published: Some(published),
            changed_at: Instant::now(),
            cut_off_until: Instant::now(),
            happened: BTreeMap::new(),
            paths: Paths::default(),
            later: JoinSet::new(),
            random,
        };
        for number in 0..=script.unsound {
            let machine = world.machine(number);
            let (name, known) = (machine.host.name.clone(), machine.known());
            world.machines.push(machine);
            if number % 2 == 1 {
                world.set.insert(name, known);
            } else {
                let pool = Pool::new(Wire(known.host), known.config);
                let member = Member::new(&name).with_route(&name);
                balancer.add(member, pool.clone()).unwrap();
                world.pools.insert(number, pool);
            }
        }
        let follower = balancer.clone();
        world.later.spawn(async move {
            follower
                .follow(Discovery(discovered), Leaving::default())
                .await;
        });
        world.publish();
        world
    }

    fn balancer_config(random: &mut Random) -> BalancerConfig {
        let health = if random.one_in(2) {
            Health::new(CPing)
        } else {
            Health::new(HttpCheck::get("/t/health".parse().unwrap()))
        };
        let replay = [0, 1000, 64 * 1024, 1 << 20][random.below(4)];
        BalancerConfig::new("farm")
            .with_sticky(Sticky::new("JSESSIONID").unwrap())
            .with_health(
                health
                    .with_interval(INTERVAL)
                    .with_limit(Duration::from_secs(1))
                    .with_fall(FALL),
            )
            .with_failover(Failover::default().with_replay_bytes(replay))
            .with_cluster(
                ClusterConfig::default()
                    .with_outlier(
                        random
                            .one_in(2)
                            .then(|| Outlier::default().with_min_requests(5)),
                    )
                    .with_retry(Duration::from_secs(3))
                    .with_seed(random.next()),
            )
    }

    /// A machine, and its container. The first is sound.
    fn machine(&mut self, number: usize) -> Machine {
        let random = &mut self.random;
        let name = format!("jvm{number}");
        let (host, incoming) = Host::new(&name, random.next());
        let opening = [1, 5, 80][random.below(3)];
        host.set(State::Up, Duration::from_millis(opening));
        let badness = (number > 0).then(|| 2 + random.below(10));
        let asks_ahead = [1, 1, 2, 5][random.below(4)];
        let limits = Timeouts::default()
            .with_acquire(Duration::from_secs(2))
            .with_connect(Duration::from_secs(1))
            .with_response_head(Duration::from_secs(5))
            .with_between_packets(Duration::from_secs(5))
            .with_cping([Duration::from_secs(10), Duration::from_millis(700)][random.below(2)])
            .with_request_body(BODY_LIMIT)
            .with_response_read(READ_LIMIT)
            .with_request(random.one_in(2).then(|| Duration::from_secs(120)));
        let pool = PoolConfig::default()
            .with_max_connections(CONNECTIONS)
            .with_max_waiting([1, 1000][random.below(2)])
            .with_max_requests(random.one_in(2).then_some(7))
            .with_jitter_seed(random.next())
            .with_body_requests(asks_ahead)
            .with_min_idle(random.below(3))
            .with_idle_ping_interval(random.one_in(2).then(|| Duration::from_secs(3)))
            .with_idle_timeout(Duration::from_secs(10))
            .with_secret(secret(0))
            .with_observer(self.paths.clone())
            .with_timeouts(limits);
        let kind = if random.one_in(3) {
            let application = Application {
                name,
                badness,
                asks_ahead,
                ledger: Arc::clone(&self.ledger),
                random: Arc::new(Mutex::new(Random::new(random.next()))),
            };
            Kind::Ours {
                stop: Some(ours::start(incoming, application.clone(), vec![secret(0)])),
                application,
                generation: 0,
                taken: (0, Change::None),
            }
        } else {
            let ledger = Arc::clone(&self.ledger);
            let seed = random.next();
            tokio::spawn(container::run(
                incoming, name, badness, asks_ahead, ledger, seed,
            ));
            Kind::Scripted
        };
        Machine { host, kind, pool }
    }

    /// Tells the discovery what there is.
    fn publish(&mut self) {
        self.changed_at = Instant::now();
        if let Some(published) = &self.published {
            published.send_replace(self.set.clone());
        }
    }

    async fn run(mut self) -> Report {
        let balancer = self.balancer.clone();
        let upkeep = tokio::spawn(async move { balancer.run().await });
        let mut visitors = JoinSet::new();
        for number in 0..self.script.visitors {
            let visitor = Visitor {
                balancer: self.balancer.clone(),
                ledger: Arc::clone(&self.ledger),
                tally: Arc::clone(&self.tally),
                random: Random::new(self.random.next()),
                first: 1_000 + number * self.script.requests,
                requests: self.script.requests,
                route: self.session(),
                only: self.random.one_in(4).then(|| self.one_member()),
            };
            visitors.spawn(visitor.visit());
        }
        for number in 0..self.script.browsers {
            let browser = Browser {
                gateway: Arc::clone(&self.gateway.host),
                ledger: Arc::clone(&self.ledger),
                tally: Arc::clone(&self.tally),
                random: Random::new(self.random.next()),
                first: 1_000 + (self.script.visitors + number) * self.script.requests,
                requests: self.script.requests,
                route: self.session(),
                balancer: self.balancer.clone(),
            };
            visitors.spawn(browser.visit());
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
                    self.check();
                    if events > 0 {
                        events -= 1;
                        self.event().await;
                    }
                }
            }
        }
        self.check();
        self.finish(upkeep).await
    }

    /// The route of the session that a visitor has, if it has one.
    fn session(&mut self) -> Option<String> {
        let has_one = self.random.one_in(3);
        has_one.then(|| format!("jvm{}", self.random.below(self.machines.len())))
    }

    /// A member that is always there, and its pool.
    fn one_member(&mut self) -> (String, Pool) {
        let at = self.random.below(self.pools.len());
        let (number, pool) = self.pools.iter().nth(at).unwrap();
        (format!("jvm{number}"), pool.clone())
    }
}

impl Machine {
    /// The name of the member that it is now.
    fn name(&self) -> String {
        match self.generation() {
            None | Some(0) => self.host.name.clone(),
            Some(generation) => format!("{}-{generation}", self.host.name),
        }
    }

    fn known(&self) -> Known {
        Known {
            host: Arc::clone(&self.host),
            config: self.pool.clone(),
        }
    }

    /// Whether the container is of this crate.
    fn is_ours(&self) -> bool {
        matches!(self.kind, Kind::Ours { .. })
    }

    /// How often the secret has changed; `None` if the container knows none.
    fn generation(&self) -> Option<u32> {
        match self.kind {
            Kind::Scripted => None,
            Kind::Ours { generation, .. } => Some(generation),
        }
    }

    /// Another server takes over, and the one before drains.
    fn restart(&mut self, secrets: Vec<Secret>) {
        let Kind::Ours {
            application, stop, ..
        } = &mut self.kind
        else {
            return;
        };
        let incoming = self.host.listen();
        let new = ours::start(incoming, application.clone(), secrets);
        drop(stop.replace(new));
    }
}
