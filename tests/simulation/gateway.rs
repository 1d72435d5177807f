//! The gateway of the program, from the listener to the balancer, before the farm of the world.

// The program's modules know each other by these names.
#[allow(
    dead_code,
    unused_imports,
    clippy::doc_markdown,
    reason = "as in the program, which uses all of it"
)]
#[path = "../../src/bin/ajp/gateway/front/mod.rs"]
pub(crate) mod front;

use super::network::{Host, Incoming, State, Stream};
use super::random::Random;
use super::visitor::Tally;
use ajp::balancer::Balancer;
use ajp::proxy::ForwardedRules;
use front::{
    Accept, AccessLog, Action, Breakable, Budget, Current, Limits, Mapping, Maps, Options, Order,
    Pattern, Requests, Rule, Settings, Site, SiteCounts, Sites, Traffic,
};
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

/// The paths of the site that lead to the farm, which knows the second one alone.
pub(crate) const PATHS: [&str; 2] = ["/shop", "/t"];

/// How long the gateway may take to end: running requests have 30 s then, and breaking them off
/// takes no more than 5 s.
const ENDS_WITHIN: Duration = Duration::from_secs(36);

/// Memory for buffers: little, so that it is used up now and then.
pub(crate) const BUFFERS: usize = 256 * 1024;

/// A gateway that runs.
pub(crate) struct Gateway {
    /// Visitors connect here.
    pub(crate) host: Arc<Host>,
    balancer: Balancer,
    current: Arc<Current>,
    counts: Arc<SiteCounts>,
    traffic: Arc<Traffic>,
    budget: Arc<Budget>,
    options: watch::Sender<Arc<Options>>,
    run: Run,
    tally: Arc<Tally>,
}

/// One life of it.
struct Run {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// Where visitors come in.
struct Door(Mutex<Incoming>);

impl Breakable for Stream {
    fn break_off(&self) {
        self.cut();
    }
}

impl Accept for Door {
    type Io = Stream;

    async fn accept(&self) -> io::Result<(Stream, SocketAddr, Option<SocketAddr>)> {
        let client = SocketAddr::from(([192, 0, 2, 7], 4711));
        let here = SocketAddr::from(([192, 0, 2, 1], 80));
        match self.0.lock().await.next().await {
            Some(stream) => Ok((stream, client, Some(here))),
            None => pending().await,
        }
    }

    fn close(self) {}
}

impl Gateway {
    pub(crate) fn new(balancer: Balancer, tally: Arc<Tally>, random: &mut Random) -> Self {
        let (host, incoming) = Host::new("gateway", random.next());
        let counts = Requests::default().of("default");
        let (budget, traffic) = (Budget::new(BUFFERS), Arc::default());
        let current = Arc::new(Current::new(site(&balancer, &counts, &budget, random)));
        let options = watch::Sender::new(Arc::new(Options {
            limits: limits(random),
            ..Options::default()
        }));
        let run = Run::start(incoming, &options, &traffic, &current);
        Self {
            host,
            balancer,
            current,
            counts,
            traffic,
            budget,
            options,
            run,
            tally,
        }
    }

    /// Bytes of its buffers.
    pub(crate) fn buffered(&self) -> usize {
        self.budget.used()
    }

    /// Requests that are not over.
    pub(crate) fn running(&self) -> usize {
        self.counts.running() as usize
    }

    /// Another configuration is read. Whatever runs goes on.
    pub(crate) fn reload(&self, random: &mut Random) {
        let site = site(&self.balancer, &self.counts, &self.budget, random);
        self.current.set(site);
        self.options.send_replace(Arc::new(Options {
            limits: limits(random),
            ..Options::default()
        }));
    }

    /// Another process takes over, and the one before ends what it has begun.
    pub(crate) fn restart(&mut self) -> impl Future<Output = ()> + Send + 'static {
        let incoming = self.host.listen();
        let new = Run::start(incoming, &self.options, &self.traffic, &self.current);
        std::mem::replace(&mut self.run, new).end(Arc::clone(&self.tally))
    }

    /// Ends. Nothing may be left.
    pub(crate) async fn end(self) {
        self.host.set(State::Refusing, Duration::ZERO);
        self.run.end(self.tally).await;
        assert_eq!(self.counts.running(), 0, "requests are left in the gateway");
        assert_eq!(
            self.traffic.connections.open(),
            0,
            "connections of visitors"
        );
        assert_eq!(self.budget.used(), 0, "bytes of buffers");
    }
}

impl Run {
    fn start(
        incoming: Incoming,
        options: &watch::Sender<Arc<Options>>,
        traffic: &Arc<Traffic>,
        current: &Arc<Current>,
    ) -> Self {
        let (stop, stopping) = watch::channel(false);
        let door = Door(Mutex::new(incoming));
        let (traffic, current) = (Arc::clone(traffic), Arc::clone(current));
        let task = front::run(door, options.subscribe(), traffic, current, stopping);
        Self {
            stop,
            task: tokio::spawn(task),
        }
    }

    async fn end(mut self, tally: Arc<Tally>) {
        self.stop.send_replace(true);
        loop {
            let since = Instant::now();
            if let Ok(ended) = timeout(ENDS_WITHIN, &mut self.task).await {
                return ended.unwrap();
            }
            assert!(tally.is_shaken(since), "the gateway does not end");
        }
    }
}

/// What is served: the farm, below two paths, with buffers of any size.
fn site(
    balancer: &Balancer,
    counts: &Arc<SiteCounts>,
    budget: &Arc<Budget>,
    random: &mut Random,
) -> Site {
    let mut rules = Vec::new();
    for path in PATHS {
        let pattern = Pattern::parse(path).unwrap();
        let mapping = Mapping::new(&pattern, balancer.clone(), PATHS[1]).unwrap();
        let settings = Settings {
            request_buffer: [None, Some(0), Some(1000)][random.below(3)],
            response_buffer: [None, Some(0), Some(10_000)][random.below(3)],
            ..Settings::default()
        };
        rules.push(Rule {
            pattern,
            action: Action::Forward(mapping.with_settings(settings)),
        });
    }
    let mut sites = Sites::default();
    let maps = Maps::new(rules, Order::Longest, false);
    sites.add(&[], true, maps).unwrap();
    Site {
        sites,
        counts: (vec![Arc::clone(counts)], Arc::clone(counts)),
        max_body: None,
        forwarded: ForwardedRules::new(),
        log: AccessLog::none(),
        limits: limits(random),
        budget: Arc::clone(budget),
        tunnels: Arc::default(),
    }
}

fn limits(random: &mut Random) -> Limits {
    Limits {
        requests_per_connection: [3, 1000][random.below(2)],
        ..Limits::default()
    }
}
