//! One farm, from its start to the last connection closed.

use super::browser::Browser;
use super::container;
use super::discovery::{Discovery, Known, Set};
use super::gateway::{BUFFERS, Gateway};
use super::ledger::Ledger;
use super::network::{Host, State, Wire};
use super::ours::{self, Application};
use super::paths_taken::Paths;
use super::random::Random;
use super::visitor::{Tally, Visitor};
use ajp::Secret;
use ajp::balancer::{
    Balancer, BalancerConfig, CPing, ClusterConfig, Failover, Flags, HashBy, Health, HttpCheck,
    Leaving, Member, MemberChange, MemberEvents, MemberSnapshot, MemberState, Method, Outlier,
    Sticky,
};
use ajp::client::{Pool, PoolConfig, Timeouts};
use futures_util::FutureExt;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, advance, sleep};

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

    /// Something happens.
    async fn event(&mut self) {
        let unsound = self.machines.len() - 1;
        let number = match unsound {
            0 => 0,
            _ => 1 + self.random.below(unsound),
        };
        let delay = Duration::from_millis(self.random.below(100) as u64);
        // What happens to the members that are not sound; the rest may happen to any.
        let what = if unsound == 0 {
            12 + self.random.below(6)
        } else {
            self.random.below(27)
        };
        let host = &self.machines[number].host;
        let happened = match what {
            0..=9 if Instant::now() < self.cut_off_until => "cut off",
            0 => {
                host.set(State::Refusing, delay);
                "refuses"
            }
            1 => {
                host.set(State::Unreachable, delay);
                "is unreachable"
            }
            2 => {
                host.set(State::Up, Duration::from_secs(3));
                "is slow to connect to"
            }
            3 => {
                host.cut();
                "cut"
            }
            4 => {
                host.freeze();
                "frozen"
            }
            5 => {
                host.cut();
                host.set(State::Up, delay);
                "killed and started"
            }
            6 => {
                host.lose_power();
                host.set(State::Refusing, delay);
                "lost power"
            }
            7 => {
                host.hang();
                "hangs"
            }
            8 => {
                for machine in &self.machines[1..] {
                    machine.host.hang();
                }
                self.cut_off_until = Instant::now() + OUT_AFTER * 2;
                "partition"
            }
            9 => {
                for machine in &self.machines[1..] {
                    machine.host.set(State::Up, delay);
                }
                "all are up"
            }
            12 => self.resize(),
            13 => self.set_method(),
            14 => self.jump().await,
            15 => self.recover(),
            16 => {
                self.gateway.reload(&mut self.random);
                "gateway reloaded"
            }
            17 => {
                self.later.spawn(self.gateway.restart());
                "gateway restarted"
            }
            18 => self.flags(number),
            19 => self.drain(number),
            20 | 21 => self.discover(number),
            22 => self.restart(number),
            23 => self.rotate(number),
            24 => self.change_secret(number),
            25 if Instant::now() >= self.cut_off_until => {
                host.lag([30, 300, 2_000, 7_000][self.random.below(4)]);
                "is late"
            }
            _ if Instant::now() < self.cut_off_until => "cut off",
            _ => {
                host.set(State::Up, delay);
                "is up"
            }
        };
        *self.happened.entry(happened).or_default() += 1;
    }

    /// The first machine of a kind, from this one on.
    fn one_of(&self, from: usize, fits: impl Fn(usize, &Machine) -> bool) -> Option<usize> {
        let count = self.machines.len();
        (from..from + count)
            .map(|number| number % count)
            .find(|&number| fits(number, &self.machines[number]))
    }

    /// A pool may have fewer connections, or more again.
    fn resize(&mut self) -> &'static str {
        let at = self.random.below(self.pools.len());
        let most = 1 + self.random.below(CONNECTIONS);
        let pool = self.pools.values().nth(at).unwrap();
        pool.resize(most);
        "resize"
    }

    fn set_method(&mut self) -> &'static str {
        let methods = [
            Method::ByRequests,
            Method::ByTraffic,
            Method::ByBusyness,
            Method::BySessions,
            Method::LeastOutstanding,
            Method::LowestLatency,
            Method::Hash(HashBy::ClientAddress),
        ];
        let method = methods[self.random.below(methods.len())].clone();
        self.balancer.set_method(method);
        "another method"
    }

    /// The machine slept: all timers that are due fire at once.
    async fn jump(&mut self) -> &'static str {
        let time = [50, 900, 3_000, 40_000, 400_000][self.random.below(5)];
        let before = Instant::now();
        advance(Duration::from_millis(time)).await;
        self.tally.shake(before, Instant::now() + SHAKEN);
        "clock jumps"
    }

    /// An operator believes a member to be well.
    fn recover(&mut self) -> &'static str {
        let at = self.random.below(self.machines.len());
        let host = &self.machines[at].host;
        if host.hung_for().is_none() {
            // One that is gone cannot be recovered.
            let _ = self.balancer.recover(&host.name);
        }
        "recover"
    }

    /// An operator drains a member, or takes it back. Not one that is discovered: taken back
    /// while it leaves, it would stay.
    fn flags(&mut self, number: usize) -> &'static str {
        let number = number - number % 2;
        let text = ["+N", "", "+D", ""][self.random.below(4)];
        let flags: Flags = text.parse().unwrap();
        // One that is gone cannot be changed.
        let name = &self.machines[number].host.name;
        let _ = self
            .balancer
            .update(name, |member| member.with_flags(flags));
        "flags"
    }

    /// A deployment: a member drains and comes back.
    fn drain(&mut self, number: usize) -> &'static str {
        let number = number - number % 2;
        let name = self.machines[number].host.name.clone();
        if let Ok(drain) = self.balancer.drain(&name) {
            let balancer = self.balancer.clone();
            self.later.spawn(async move {
                let drain = drain
                    .with_session_timeout(Duration::from_secs(2))
                    .with_at_most(Duration::from_secs(20));
                drain.finish().await;
                let _ = balancer.update(&name, |member| member.with_flags(Flags::default()));
            });
        }
        "drain"
    }

    /// A member is gone from the discovery, or is there again.
    fn discover(&mut self, number: usize) -> &'static str {
        let Some(number) = self.one_of(number, |number, _| number % 2 == 1) else {
            return "nothing discovered";
        };
        let machine = &self.machines[number];
        let host = &machine.host.name;
        let of_it = |name: &String| name.split('-').next() == Some(host);
        let names: Vec<String> = self
            .set
            .keys()
            .filter(|name| of_it(name))
            .cloned()
            .collect();
        if names.is_empty() {
            let (name, known) = (machine.name(), machine.known());
            self.set.insert(name, known);
        } else {
            for name in names {
                self.set.remove(&name);
            }
        }
        self.publish();
        "another set discovered"
    }

    /// The container is stopped gently, and started again.
    fn restart(&mut self, number: usize) -> &'static str {
        let machine = &mut self.machines[number];
        let Kind::Ours {
            generation, taken, ..
        } = &machine.kind
        else {
            machine.host.cut();
            return "killed";
        };
        let takes = secret(generation + taken.0);
        machine.restart(vec![takes]);
        "restarted gently"
    }

    /// The secret of a member that is not discovered changes, step by step.
    fn change_secret(&mut self, number: usize) -> &'static str {
        // Not of the sound one: a restart may break a request off.
        let may_change =
            |number: usize, machine: &Machine| number > 0 && number % 2 == 0 && machine.is_ours();
        let Some(number) = self.one_of(number, may_change) else {
            return "no secret to change";
        };
        let (machine, pool) = (&mut self.machines[number], &self.pools[&number]);
        let Kind::Ours { taken, .. } = &mut machine.kind else {
            panic!("it was found to be ours");
        };
        let (current, next) = (secret(taken.0), secret(taken.0 + 1));
        match taken.1 {
            Change::None => {
                taken.1 = Change::Announced;
                pool.set_secrets([next, current]);
                "secret announced"
            }
            Change::Announced => {
                *taken = (taken.0 + 1, Change::Taken);
                machine.restart(vec![next]);
                "secret changed"
            }
            Change::Taken => {
                taken.1 = Change::None;
                pool.set_secrets([current]);
                "old secret forgotten"
            }
        }
    }

    /// The secret changes: the container takes both, the web server comes with the new one as
    /// another member, the old one is gone.
    fn rotate(&mut self, number: usize) -> &'static str {
        let may_rotate = |number: usize, machine: &Machine| number % 2 == 1 && machine.is_ours();
        let Some(number) = self.one_of(number, may_rotate) else {
            return "nothing to rotate";
        };
        let machine = &mut self.machines[number];
        let old = machine.generation().unwrap();
        let was = machine.name();
        machine.restart(vec![secret(old), secret(old + 1)]);
        if let Kind::Ours { generation, .. } = &mut machine.kind {
            *generation = old + 1;
        }
        machine.pool = machine.pool.clone().with_secret(secret(old + 1));
        if self.set.remove(&was).is_some() {
            self.set.insert(machine.name(), machine.known());
            self.publish();
        }
        "secret rotated"
    }

    /// What holds at every moment.
    fn check(&mut self) {
        if let Some(broken) = self.ledger.broken() {
            panic!("{broken}");
        }
        let buffered = self.gateway.buffered();
        assert!(buffered <= BUFFERS, "{buffered} bytes of buffers");
        let shaken = self.tally.is_shaken(Instant::now());
        while let Some(event) = self.events.next().now_or_never() {
            let event = event.unwrap();
            self.paths.member(&event.change);
            let out = matches!(
                event.change,
                MemberChange::Failed { .. }
                    | MemberChange::Unhealthy { .. }
                    | MemberChange::Ejected { .. }
                    | MemberChange::Spared { .. }
            );
            assert!(
                shaken || !out || event.name != "jvm0",
                "a member without a fault of its own is out: {event:?}"
            );
        }
        for machine in &self.machines {
            let host = &machine.host;
            // Several pools while its secret changes. Each has one more for the health check,
            // and one for failed requests that ask whether the container is there: both have
            // connections of their own.
            let pools = 1 + machine.generation().unwrap_or(0) as usize;
            let most = pools * (CONNECTIONS + 2);
            assert!(
                host.most() <= most || host.name != "jvm0" && host.most() <= 2 * most,
                "{} connections to {} at a time",
                host.most(),
                host.name
            );
        }
        let snapshot = self.balancer.snapshot();
        let pools = snapshot.members.iter().filter_map(|member| member.pool);
        let in_use: usize = pools.clone().map(|pool| pool.in_use).sum();
        // Each pool may be looked after at the moment, with one connection.
        let in_gateway = self.gateway.running();
        let most = self.tally.in_hand(self.script.visitors) + in_gateway + pools.count();
        assert!(
            in_use <= most,
            "{in_use} connections are in use by {most} requests: {:?}",
            snapshot.members
        );
        let busy: usize = snapshot
            .members
            .iter()
            .map(|member| member.busy as usize)
            .sum();
        assert!(
            busy <= self.tally.active() + in_gateway,
            "members are busy with {busy} requests: {:?}",
            snapshot.members
        );
        if !shaken && self.changed_at.elapsed() > OUT_AFTER {
            snapshot
                .members
                .iter()
                .for_each(|member| self.check_hung(member));
        }
    }

    /// A member of which nothing comes back is out in time.
    fn check_hung(&self, member: &MemberSnapshot) {
        let name = member.name.split('-').next().unwrap();
        let mut machines = self.machines.iter();
        let machine = machines.find(|machine| machine.host.name == name).unwrap();
        let hung_for = machine.host.hung_for();
        assert!(
            hung_for.is_none_or(|time| time < OUT_AFTER)
                || !matches!(member.state, MemberState::Ok | MemberState::Full),
            "it has hung for {hung_for:?} and is in service: {member:?}"
        );
    }

    /// Nothing may be left.
    async fn finish(mut self, upkeep: JoinHandle<()>) -> Report {
        // Members that are gone may take 30 s, and drains; so may the gateways before this one.
        sleep(Duration::from_secs(40)).await;
        self.check();
        let mut expected: Vec<String> = self.set.keys().cloned().collect();
        // A discovery that finds nothing changes nothing.
        let is_empty = expected.is_empty();
        let fixed = self.pools.keys().map(|number| format!("jvm{number}"));
        expected.extend(fixed);
        expected.sort_unstable();
        let members = self.balancer.members();
        let mut names: Vec<&str> = members.iter().map(Member::name).collect();
        names.sort_unstable();
        assert!(
            is_empty || names == expected,
            "the discovery knows {expected:?}, and the members are {names:?}"
        );
        // Maintenance or a check may be under way.
        upkeep.abort();
        let _ = upkeep.await;
        sleep(Duration::from_secs(1)).await;
        for member in self.balancer.snapshot().members {
            let Some(pool) = member.pool else {
                panic!("still leaving: {member:?}");
            };
            assert_eq!(
                (pool.in_use, member.busy),
                (0, 0),
                "something is in use: {member:?}"
            );
            assert_eq!(
                pool.created,
                pool.closed + pool.idle as u64,
                "connections are lost: {member:?}"
            );
        }
        for pool in self.pools.values() {
            assert_eq!(pool.stats().waiting, 0);
        }
        let report = Report {
            outcomes: self.tally.take(),
            events: std::mem::take(&mut self.happened),
            paths: self.paths.take(),
            exchanges: self.ledger.total(),
            trace: self.tally.trace(),
        };
        let Self {
            balancer,
            gateway,
            events,
            machines,
            pools,
            published,
            mut later,
            tally,
            ..
        } = self;
        // The discovery ends with this, and whoever follows it.
        drop(published);
        gateway.end().await;
        while let Some(ended) = later.join_next().await {
            ended.unwrap();
        }
        drop((balancer, events, pools, tally));
        sleep(Duration::from_secs(40)).await;
        for machine in &machines {
            let (host, live) = (&machine.host.name, machine.host.live());
            assert_eq!(live, 0, "connections to {host} are left");
        }
        drop(machines);
        sleep(Duration::from_secs(120)).await;
        let tasks = Handle::current().metrics().num_alive_tasks();
        // Those of containers that hang for ever, and whoever accepts connections.
        let hanging = 4 * report.exchanges as usize + 8;
        assert!(tasks <= hanging, "{tasks} tasks are left");
        report
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
