//! How a member is chosen among those that could serve.

mod by_requests;
mod by_sessions;
mod by_traffic;
mod hash;
mod least_outstanding;
mod lineup;
mod lowest_latency;

pub use hash::HashBy;
pub(super) use lineup::Lineup;

use super::member::{Member, MemberId};
use super::request::RequestInfo;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// How a member is chosen among those that can serve a request. Who can is not its affair:
/// flags, failures, sets, spares, standbys and sessions are settled before.
///
/// As text it is the name that operators write: `byrequests`, `bytraffic`, `bybusyness`,
/// `bysessions`, `leastoutstanding`, `lowestlatency`, `hash:path`, `hash:header:NAME`,
/// `hash:cookie:NAME`, `hash:client`, `hash:key`.
///
/// ```
/// use ajp::balancer::{HashBy, Method};
/// let method: Method = "hash:cookie:cart".parse()?;
/// assert_eq!(method.name(), "hash:cookie:cart");
/// assert!("bylottery".parse::<Method>().is_err());
/// # Ok::<(), ajp::balancer::InvalidMethod>(())
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum Method {
    /// Smooth weighted round robin, in the order of httpd's `byrequests`: requests by weight,
    /// those of running sessions included.
    #[default]
    ByRequests,
    /// The member that has moved the fewest body bytes for its weight, as httpd's
    /// `bytraffic`; but a request in flight counts as an average one, and bytes count by the
    /// weight that the member had when they were moved.
    ByTraffic,
    /// The member with the fewest requests in flight, as httpd's `bybusyness`; among equals
    /// as [`ByRequests`](Self::ByRequests). Weights only matter among equals.
    ByBusyness,
    /// The member with the fewest new sessions for its weight, as `mod_jk`'s methods
    /// `Session` and `Next`: a request that has a session already costs nothing, nor does one that
    /// is [stateless](RequestInfo::with_stateless). Right where sessions are what fills a container.
    BySessions,
    /// Of two members drawn by weight the one with fewer requests in flight for its weight.
    ///
    /// Unlike [`ByBusyness`](Self::ByBusyness) it respects weights under load, and several
    /// web servers that do not know of each other do not all take the same member.
    LeastOutstanding,
    /// Of two members drawn by weight the one with the lower moving average of latency times
    /// requests in flight.
    LowestLatency,
    /// Consistent hashing: requests that have this in common go to the same member, unless
    /// that has more than 1.25 times its share of all requests in flight. When a member goes
    /// or comes, only its own part of the requests moves.
    Hash(HashBy),
    /// A way of the caller's own.
    Custom(Arc<dyn Choose>),
}

/// A way of the caller's own to choose a member: see [`Method::Custom`].
///
/// A [`Balancer`](super::Balancer) calls it under no lock, so it may ask the balancer, and
/// from several threads at a time. The members may have changed when it returns: if the one
/// that it chose cannot serve any more it is asked again.
///
/// ```
/// use ajp::balancer::{Candidate, Choose, RequestInfo};
///
/// /// Reports are for the big machines.
/// #[derive(Debug)]
/// struct ReportsToBigMachines;
///
/// impl Choose for ReportsToBigMachines {
///     fn name(&self) -> &str {
///         "reports"
///     }
///
///     fn choose(&self, request: &RequestInfo<'_>, candidates: &[Candidate]) -> usize {
///         let is_report = request.path().starts_with(b"/reports/");
///         let fits = |one: &Candidate| one.member().name().starts_with("big") == is_report;
///         let fitting = (0..candidates.len()).filter(|&index| fits(&candidates[index]));
///         fitting.min_by_key(|&index| candidates[index].busy()).unwrap_or(0)
///     }
/// }
///
/// use ajp::balancer::{Cluster, ClusterConfig, Member, Method};
/// use std::{sync::Arc, time::Instant};
/// let mut cluster = Cluster::new(ClusterConfig::default());
/// cluster.set_method(Method::Custom(Arc::new(ReportsToBigMachines)));
/// let now = Instant::now();
/// for name in ["small1", "small2", "big1", "big2"] {
///     cluster.add(Member::new(name), now)?;
/// }
/// let mut served = Vec::new();
/// for path in ["/reports/2", "/reports/3", "/cart", "/cart"] {
///     let request = RequestInfo::new().with_path(path.as_bytes());
///     let choice = cluster.pick(&request, now)?;
///     served.push(cluster.member(choice.member()).unwrap().name().to_owned());
/// }
/// assert_eq!(served, ["big1", "big2", "small1", "small2"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Choose: Send + Sync + fmt::Debug {
    /// The name for operators.
    fn name(&self) -> &str;

    /// The index of the member that serves, among at least one candidate. Beyond the last
    /// one means the last one.
    fn choose(&self, request: &RequestInfo<'_>, candidates: &[Candidate]) -> usize;
}

/// A member that can serve a request, as it was when the method was asked.
#[derive(Debug, Clone)]
pub struct Candidate {
    pub(super) id: MemberId,
    member: Arc<Member>,
    weight: u32,
    busy: u32,
    elected: u64,
    latency: Option<f64>,
}

impl Candidate {
    /// What is configured of it.
    #[must_use]
    pub fn member(&self) -> &Member {
        &self.member
    }

    /// Its weight in hundredths, less during a slow start.
    #[must_use]
    pub fn weight(&self) -> u32 {
        self.weight
    }

    /// Requests it is serving.
    #[must_use]
    pub fn busy(&self) -> u32 {
        self.busy
    }

    /// Requests it was given since the counters were reset.
    #[must_use]
    pub fn elected(&self) -> u64 {
        self.elected
    }

    /// The moving average of its time to the head of the response, which fades while it
    /// serves nothing. `None` when nothing is known since it was last out.
    #[must_use]
    pub fn latency(&self) -> Option<Duration> {
        self.latency
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
    }

    /// Copies of all members of a lineup.
    pub(super) fn all(lineup: &Lineup<'_>) -> Vec<Self> {
        let copy = |one: lineup::Entrant<'_>| Self {
            id: one.slot.id,
            member: Arc::clone(&one.slot.settings),
            weight: one.weight(),
            busy: one.busy(),
            elected: one.slot.counters.elected,
            latency: one.latency(),
        };
        lineup.iter().map(copy).collect()
    }
}

/// A text names no [`Method`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no balancing method; methods are byrequests, bytraffic, bybusyness, bysessions, \
     leastoutstanding, lowestlatency, hash:path, hash:header:NAME, hash:cookie:NAME, \
     hash:client and hash:key"
)]
pub struct InvalidMethod(String);

impl FromStr for Method {
    type Err = InvalidMethod;

    fn from_str(text: &str) -> Result<Self, InvalidMethod> {
        Ok(match text {
            "byrequests" => Self::ByRequests,
            "bytraffic" => Self::ByTraffic,
            "bybusyness" => Self::ByBusyness,
            "bysessions" => Self::BySessions,
            "leastoutstanding" => Self::LeastOutstanding,
            "lowestlatency" => Self::LowestLatency,
            _ => {
                let by = text.strip_prefix("hash:").and_then(|by| by.parse().ok());
                Self::Hash(by.ok_or_else(|| InvalidMethod(text.into()))?)
            }
        })
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ByRequests => f.write_str("byrequests"),
            Self::ByTraffic => f.write_str("bytraffic"),
            Self::ByBusyness => f.write_str("bybusyness"),
            Self::BySessions => f.write_str("bysessions"),
            Self::LeastOutstanding => f.write_str("leastoutstanding"),
            Self::LowestLatency => f.write_str("lowestlatency"),
            Self::Hash(by) => write!(f, "hash:{by}"),
            Self::Custom(custom) => f.write_str(custom.name()),
        }
    }
}

impl Method {
    /// The names of the built-in methods that need no parameter.
    pub const NAMES: [&'static str; 6] = [
        "byrequests",
        "bytraffic",
        "bybusyness",
        "bysessions",
        "leastoutstanding",
        "lowestlatency",
    ];

    /// Its name, as it is shown to operators.
    #[must_use]
    pub fn name(&self) -> String {
        self.to_string()
    }

    /// The index of a member of a lineup that is not empty. `None`: a [`Method::Custom`] has
    /// to be asked.
    pub(super) fn choose(
        &self,
        lineup: &mut Lineup<'_>,
        request: &RequestInfo<'_>,
        random: &mut fastrand::Rng,
    ) -> Option<usize> {
        Some(match self {
            Self::ByRequests => by_requests::by_requests(lineup),
            Self::ByTraffic => by_traffic::by_traffic(lineup),
            Self::ByBusyness => by_requests::by_busyness(lineup),
            // As in `mod_jk` what has been paid for sessions does not matter to it.
            Self::BySessions if request.is_stateless() => {
                least_outstanding::least_outstanding(lineup, random)
            }
            Self::BySessions => by_sessions::by_sessions(lineup, request.may_begin_session()),
            Self::LeastOutstanding => least_outstanding::least_outstanding(lineup, random),
            Self::LowestLatency => lowest_latency::lowest_latency(lineup, random),
            Self::Hash(by) => match by.hash(request) {
                Some(key) => hash::by_hash(lineup, key),
                None => least_outstanding::least_outstanding(lineup, random),
            },
            Self::Custom(_) => return None,
        })
    }

    /// A session has sent a request to the member at `index` of a lineup.
    pub(super) fn charge(&self, lineup: &mut Lineup<'_>, index: usize) {
        match self {
            Self::ByRequests | Self::ByBusyness => by_requests::charge(lineup, index),
            // Bytes count when they are moved, and sessions when they begin; the others keep
            // no account.
            Self::ByTraffic
            | Self::BySessions
            | Self::LeastOutstanding
            | Self::LowestLatency
            | Self::Hash(_)
            | Self::Custom(_) => {}
        }
    }

    /// Members have joined a lineup. Makes scores comparable again, so that neither they nor
    /// the others have to catch up on what happened meanwhile.
    pub(super) fn rebase(&self, lineup: &mut Lineup<'_>) {
        match self {
            Self::ByRequests | Self::ByBusyness => by_requests::rebase(lineup),
            Self::ByTraffic => by_traffic::rebase(lineup),
            Self::BySessions => by_sessions::rebase(lineup),
            Self::LeastOutstanding | Self::LowestLatency | Self::Hash(_) | Self::Custom(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balancer::{Choice, Cluster, ClusterConfig, RequestInfo, RequestOutcome, Weight};
    use std::time::Instant;

    /// Members `a` and `b`.
    struct Two {
        cluster: Cluster,
        now: Instant,
    }

    impl Two {
        fn new(method: Method, weight_of_a: u32) -> Self {
            let mut cluster = Cluster::new(ClusterConfig::default().with_seed(7));
            cluster.set_method(method);
            let now = Instant::now();
            let weight = Weight::from_hundredths(weight_of_a).unwrap();
            cluster
                .add(Member::new("a").with_weight(weight), now)
                .unwrap();
            cluster.add(Member::new("b"), now).unwrap();
            Self { cluster, now }
        }

        fn pick(&mut self) -> Choice {
            self.cluster.pick(&RequestInfo::new(), self.now).unwrap()
        }

        /// A request that goes to this member whatever the method says.
        fn give(&mut self, name: &str) -> Choice {
            let request = RequestInfo::new().with_member(name);
            self.cluster.pick(&request, self.now).unwrap()
        }

        fn answer(&mut self, choice: &Choice, after: Duration) {
            self.now += after;
            let outcome = RequestOutcome::Answered { status: 200 };
            self.cluster.answered(choice, outcome, self.now);
            self.cluster.ended(choice);
        }

        fn name(&self, choice: &Choice) -> String {
            self.cluster.member(choice.id).unwrap().name().to_owned()
        }

        /// Whom 40 requests go to that end at once without an outcome.
        fn chosen(&mut self) -> String {
            let mut names: Vec<String> = (0..40)
                .map(|_| {
                    let choice = self.pick();
                    self.cluster.ended(&choice);
                    self.name(&choice)
                })
                .collect();
            names.sort();
            names.dedup();
            names.concat()
        }

        fn score(&mut self, name: &str) -> &mut i64 {
            let id = self.cluster.find(name).unwrap();
            &mut self.cluster.roster.get_mut(id).unwrap().score
        }
    }

    #[test]
    fn least_outstanding_counts_requests_in_flight_by_weight() {
        let mut two = Two::new(Method::LeastOutstanding, 300);
        assert_eq!(two.chosen(), "ab", "idle ones are drawn");
        let _one = two.give("a");
        assert_eq!(two.chosen(), "b");
        let _other = two.give("b");
        assert_eq!(two.chosen(), "a", "one of three, and one of one");
        let _more = (two.give("a"), two.give("a"));
        assert_eq!(two.chosen(), "ab", "three of three");
        let _too_many = two.give("a");
        assert_eq!(two.chosen(), "b");
    }

    #[test]
    fn lowest_latency_counts_time_and_requests_in_flight_by_weight() {
        let mut two = Two::new(Method::LowestLatency, 400);
        for name in ["a", "b"] {
            let choice = two.give(name);
            two.answer(&choice, Duration::from_millis(10));
        }
        let of_a = two.give("a");
        let _of_b = two.give("b");
        assert_eq!(two.chosen(), "a", "a fourth of what it can do, and all");
        let _more = (two.give("a"), two.give("a"), two.give("a"));
        assert_eq!(two.chosen(), "ab", "as much");
        drop(of_a);
        let mut two = Two::new(Method::LowestLatency, 400);
        for name in ["a", "b"] {
            let choice = two.give(name);
            two.answer(&choice, Duration::from_millis(10));
        }
        let _three = (two.give("a"), two.give("a"), two.give("a"));
        assert_eq!(two.chosen(), "b", "it is idle");
    }

    #[test]
    fn by_traffic_expects_of_a_request_in_flight_what_others_have_moved() {
        let mut two = Two::new(Method::ByTraffic, 100);
        for (name, bytes) in [("a", 1000), ("b", 1100)] {
            let choice = two.give(name);
            choice.traffic.add_received(bytes);
            let now = Duration::ZERO;
            two.answer(&choice, now);
        }
        let running = [two.pick(), two.pick(), two.pick()];
        let names: Vec<String> = running.iter().map(|choice| two.name(choice)).collect();
        assert_eq!(names.concat(), "aba");
    }

    /// Scores that have become high are lowered together, and only then.
    #[test]
    fn scores_do_not_run_over() {
        let high = i64::MAX / 4;
        for method in [Method::ByTraffic, Method::BySessions] {
            for (score, lowered) in [(high, false), (high + 1, true), (5, false)] {
                let mut two = Two::new(method.clone(), 100);
                // Nobody joins any more.
                let choice = two.pick();
                two.cluster.ended(&choice);
                (*two.score("a"), *two.score("b")) = (score, score + 9);
                let choice = two.pick();
                assert_eq!(two.name(&choice), "a");
                let expected = if lowered { 9 } else { score + 9 };
                assert_eq!(*two.score("b"), expected, "{method:?}");
            }
        }
    }

    /// What a method of the caller's own is told of the members.
    #[test]
    fn a_method_of_ones_own_knows_the_members() {
        #[derive(Debug, Default)]
        struct Last(std::sync::Mutex<Vec<Candidate>>);
        impl Choose for Last {
            fn name(&self) -> &'static str {
                "last"
            }
            fn choose(&self, _: &RequestInfo<'_>, candidates: &[Candidate]) -> usize {
                *self.0.lock().unwrap() = candidates.to_vec();
                candidates.len() - 1
            }
        }
        let last = Arc::new(Last::default());
        let mut two = Two::new(Method::Custom(last.clone()), 300);
        let choice = two.give("a");
        two.answer(&choice, Duration::from_millis(10));
        let _running = two.give("a");
        let chosen = two.pick();
        assert_eq!(two.name(&chosen), "b");
        let candidates = last.0.lock().unwrap();
        let told: Vec<_> = candidates
            .iter()
            .map(|one| (one.member().name(), one.weight(), one.busy(), one.elected()))
            .collect();
        assert_eq!(told, [("a", 300, 1, 2), ("b", 100, 0, 0)]);
        assert_eq!(candidates[0].latency(), Some(Duration::from_millis(10)));
        assert_eq!(candidates[1].latency(), None);
    }
}
