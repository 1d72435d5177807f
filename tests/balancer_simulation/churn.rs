//! Members that come and go: a balancer follows a file through 10 000 random changes while
//! requests run. The containers are where the file says; one that is gone from it runs on for a
//! while, as a deployment lets it, and then stops.

use super::{Dice, fewer};
use ajp::balancer::{
    Affinity, Balancer, BalancerConfig, ClusterConfig, Discovery, Flags, Leaving, MemberId,
    MemberState, Pick, Reason, RequestInfo, RequestOutcome, Sticky,
};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::{Instant, sleep};

const CHANGES: usize = 10_000;
/// Most containers, of which some are there at any time.
const CONTAINERS: usize = 24;
const LOOK: Duration = Duration::from_millis(100);
/// How long a container runs after it is gone from the file.
const GRACE: Duration = Duration::from_secs(40);
/// How long the balancer lets one drain at most.
const AT_MOST: Duration = Duration::from_secs(20);

/// A container as it really is.
#[derive(Debug, Clone, Copy)]
struct Container {
    /// When it stops; never while it is in the file.
    stops: Option<Instant>,
    /// Until when it refuses connections.
    refuses_until: Option<Instant>,
}

impl Container {
    fn serves(&self, now: Instant) -> bool {
        self.stops.is_none_or(|at| now < at) && self.refuses_until.is_none_or(|at| now >= at)
    }
}

#[derive(Debug, Default)]
struct Counts {
    requests: u64,
    of_sessions: u64,
    /// Attempts at members that refused.
    refused: u64,
    /// Those at members whose containers had stopped.
    at_stopped: u64,
    /// Requests that found nobody, and those of them that somebody could have served.
    nobody_served: u64,
    lost: u64,
    moved: u64,
    added: u64,
    /// The most members that drained at a time.
    most_draining: usize,
}

struct World {
    dice: Dice,
    balancer: Balancer,
    sticky: Sticky,
    path: PathBuf,
    containers: BTreeMap<usize, Container>,
    /// What the file says, or said before it became useless.
    told: BTreeSet<usize>,
    running: BinaryHeap<Reverse<(Instant, u64)>>,
    picks: HashMap<u64, Pick>,
    serial: u64,
    /// What each member has been given, by our own count.
    given: HashMap<MemberId, u64>,
    counts: Counts,
}

fn name(container: usize) -> String {
    format!("ajp://10.0.0.{}:8009", container + 1)
}

fn route(container: usize) -> String {
    format!("jvm{container}")
}

fn container_of(pick: &Pick) -> usize {
    let route = pick.member().route_name().unwrap();
    route.strip_prefix("jvm").unwrap().parse().unwrap()
}

/// As one who replaces a file does: nobody reads half of it.
fn write(path: &Path, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(&new, path).unwrap();
}

impl World {
    fn say(&self) {
        let lines = self
            .told
            .iter()
            .map(|&container| format!("{} route={}\n", name(container), route(container)));
        write(&self.path, &lines.collect::<String>());
    }

    /// One random change of what is told, and of what there is.
    fn change(&mut self) {
        let now = Instant::now();
        match self.dice.below(12) {
            // The file is useless for a while; nothing may follow from that.
            0 => write(&self.path, ""),
            1 => write(&self.path, "ajp://10.0.0.1 colour=red\n"),
            2 => std::fs::remove_file(&self.path).unwrap_or_default(),
            // A container refuses connections for some time, and is in the file all the same.
            3 if self.told.len() > 2 => {
                let all: Vec<usize> = self.told.iter().copied().collect();
                let others_serve = |but: usize| {
                    all.iter()
                        .any(|&one| one != but && self.containers[&one].serves(now))
                };
                let one = all[self.dice.below(all.len())];
                if others_serve(one) {
                    let time = Duration::from_millis(500 + self.dice.below(5000) as u64);
                    self.containers.get_mut(&one).unwrap().refuses_until = Some(now + time);
                }
            }
            // Most of them are others now.
            4 => {
                let (first, step) = (self.dice.below(CONTAINERS), 1 + self.dice.below(6));
                self.set((first..CONTAINERS).step_by(step).collect());
            }
            _ => {
                let mut set = self.told.clone();
                for _ in 0..=self.dice.below(3) {
                    let one = self.dice.below(CONTAINERS);
                    if !set.remove(&one) {
                        set.insert(one);
                    }
                }
                self.set(set);
            }
        }
    }

    /// These are there from now on, at least one of them that serves.
    fn set(&mut self, set: BTreeSet<usize>) {
        let now = Instant::now();
        let serves = |one: &usize| self.containers.get(one).is_none_or(|one| one.serves(now));
        if !set.iter().any(serves) {
            return;
        }
        for gone in self.told.difference(&set) {
            self.containers.get_mut(gone).unwrap().stops = Some(now + GRACE);
        }
        for &there in &set {
            let known = self.containers.get(&there).copied();
            // One that has not stopped yet goes on.
            let refuses_until = known.and_then(|known| known.refuses_until);
            let container = Container {
                stops: None,
                refuses_until,
            };
            self.containers.insert(there, container);
        }
        self.told = set;
        self.say();
    }

    /// One request, tried on one member after the other.
    fn request(&mut self) {
        let now = Instant::now();
        self.counts.requests += 1;
        let of_session = self.dice.unit() < 0.3;
        let own = of_session.then(|| self.dice.below(CONTAINERS));
        let cookie = own
            .map(|own| format!("S=1.{}", route(own)))
            .unwrap_or_default();
        let sticky = self.sticky.clone();
        let session = sticky.session(b"/", [cookie.as_bytes()]);
        let mut tried = Vec::new();
        loop {
            let info = RequestInfo::new().with_session(&session).with_tried(&tried);
            let mut pick = match self.balancer.pick(&info) {
                Ok(pick) => pick,
                Err(none) => {
                    // Those that the balancer knows; whom it does not it cannot have chosen, and one
                    // that drains takes no new requests, as in httpd and mod_jk.
                    let members = self.balancer.snapshot().members;
                    let lost = members.iter().any(|member| {
                        let route = member.route.as_deref().unwrap_or_default();
                        let number: usize = route.strip_prefix("jvm").unwrap().parse().unwrap();
                        let takes_new = !member.flags.contains(Flags::DRAINING);
                        takes_new && self.containers[&number].serves(now)
                    });
                    assert_eq!(none.reason(), Reason::AllTried);
                    self.counts.lost += u64::from(lost);
                    self.counts.nobody_served += 1;
                    return;
                }
            };
            *self.given.entry(pick.id()).or_default() += 1;
            let at = container_of(&pick);
            if !self.containers[&at].serves(now) {
                self.counts.refused += 1;
                let stopped = self.containers[&at].stops.is_some_and(|stops| now >= stops);
                self.counts.at_stopped += u64::from(stopped);
                tried.push(pick.id());
                pick.answered(RequestOutcome::Unreachable("refused"));
                continue;
            }
            match (own, pick.affinity()) {
                (Some(own), Affinity::Kept) => {
                    assert_eq!(own, at);
                    self.counts.of_sessions += 1;
                }
                (Some(_), _) => self.counts.moved += 1,
                (None, _) => {}
            }
            let takes = Duration::from_secs_f64(self.dice.exponential(0.05).min(3.0));
            // That a member that had failed is there again is known at once, by CPing before the
            // request is sent (`Pick::is_up`).
            let takes = if pick.is_trial() {
                Duration::ZERO
            } else {
                takes
            };
            self.serial += 1;
            self.running.push(Reverse((now + takes, self.serial)));
            self.picks.insert(self.serial, pick);
            return;
        }
    }

    fn answer(&mut self) {
        let now = Instant::now();
        while let Some(&Reverse((end, serial))) = self.running.peek() {
            if end > now {
                return;
            }
            self.running.pop();
            let mut pick = self.picks.remove(&serial).unwrap();
            pick.answered(RequestOutcome::Answered { status: 200 });
        }
    }

    /// What the balancer knows of its members is what has happened: of each that is still there,
    /// whatever has come and gone beside it.
    fn compare(&mut self) {
        let snapshot = self.balancer.snapshot();
        let mut busy: HashMap<MemberId, u32> = HashMap::new();
        for pick in self.picks.values() {
            *busy.entry(pick.id()).or_default() += 1;
        }
        for member in &snapshot.members {
            let given = self.given.get(&member.id).copied().unwrap_or(0);
            assert_eq!(member.elected, given, "{member:?}");
            assert_eq!(
                member.busy,
                busy.get(&member.id).copied().unwrap_or(0),
                "{member:?}"
            );
        }
        let draining = snapshot.members.iter().filter(|member| {
            member.state == MemberState::Leaving || member.flags.contains(Flags::DRAINING)
        });
        self.counts.most_draining = self.counts.most_draining.max(draining.count());
        let ids: BTreeSet<MemberId> = snapshot.members.iter().map(|member| member.id).collect();
        self.given.retain(|id, _| ids.contains(id));
    }

    /// The members that take new requests are those that were told.
    fn assert_settled(&self) {
        let snapshot = self.balancer.snapshot();
        let serving = snapshot.members.iter().filter(|member| {
            member.state != MemberState::Leaving && !member.flags.contains(Flags::DRAINING)
        });
        let serving: BTreeSet<String> = serving.map(|member| member.name.clone()).collect();
        let told: BTreeSet<String> = self.told.iter().map(|&one| name(one)).collect();
        assert_eq!(serving, told);
    }
}

#[tokio::test(start_paused = true)]
async fn no_request_is_lost_while_members_come_and_go() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("members");
    let cluster = ClusterConfig::default()
        .with_retry(Duration::from_secs(2))
        .with_seed(9);
    let sticky = Sticky::new("S").unwrap();
    let config = BalancerConfig::new("app")
        .with_cluster(cluster)
        .with_sticky(sticky.clone());
    let balancer = Balancer::new(config);
    let mut world = World {
        dice: Dice::new(11),
        balancer: balancer.clone(),
        sticky,
        path: path.clone(),
        containers: BTreeMap::new(),
        told: BTreeSet::new(),
        running: BinaryHeap::new(),
        picks: HashMap::new(),
        serial: 0,
        given: HashMap::new(),
        counts: Counts::default(),
    };
    world.set((0..8).collect());
    // Two looks must agree, so that flapping is not followed.
    let discovery = Discovery::file(&path).with_interval(LOOK).with_absences(2);
    let leaving = Leaving::default().with_at_most(AT_MOST);
    let following = balancer.clone();
    tokio::spawn(async move { following.follow(discovery, leaving).await });
    balancer.wait_for_member().await;

    let steps = 30 / fewer();
    for change in 0..CHANGES {
        world.change();
        // Some sets last shorter than a look, others long enough to be believed.
        let lasts = Duration::from_micros(10_000 + world.dice.below(250_000) as u64);
        for _ in 0..steps {
            for _ in 0..=world.dice.below(3) {
                world.request();
            }
            sleep(lasts / steps as u32).await;
            world.answer();
        }
        if change % 50 == 0 {
            world.compare();
        }
        if change % 500 == 499 {
            // A while without changes: what is told is what serves.
            world.say();
            for _ in 0..8 {
                world.request();
                sleep(LOOK).await;
                world.answer();
            }
            world.assert_settled();
        }
    }
    world.say();
    sleep(Duration::from_secs(60)).await;
    world.answer();
    world.compare();
    world.assert_settled();
    let snapshot = balancer.snapshot();
    assert_eq!(
        snapshot.members.len(),
        world.told.len(),
        "whoever drained is gone"
    );
    world.counts.added = snapshot
        .members
        .iter()
        .map(|one| one.id)
        .max()
        .map_or(0, |id| id.to_string().parse::<u64>().unwrap_or(0));
    println!("churn: {CHANGES} changes: {:?}", world.counts);
    let counts = &world.counts;
    assert_eq!((counts.lost, counts.at_stopped), (0, 0));
    assert!(
        counts.refused * 50 < counts.requests,
        "one request tries a member that failed"
    );
    assert!(counts.of_sessions * 20 > counts.requests);
}
