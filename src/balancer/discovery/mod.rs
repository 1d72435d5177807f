//! Where members are found: a name, a service, or a file that is looked at again and again.

#[cfg(feature = "dns")]
mod dns;
mod file;

use super::follow::{Discover, Discovered, Discovering};
use super::member::Member;
use crate::client::{Address, Pool, PoolConfig, TcpOptions};
use crate::trace::event;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
#[cfg(any(test, feature = "dns"))]
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::lookup_host;
use tokio::time::{Instant, sleep_until};

/// However long an answer of a name server is good for, it is asked again after this.
#[cfg(feature = "dns")]
const LONGEST_INTERVAL: Duration = Duration::from_secs(300);

/// Where nothing was found it is looked again after so many times the usual interval, and this
/// time at most.
const AFTER_NOTHING: u32 = 5;
const LONGEST_AFTER_NOTHING: Duration = Duration::from_secs(5);

/// A built-in [`Discover`]: the members of a [`Balancer`](super::Balancer) that
/// [follows](super::Balancer::follow) it are those of a host name, of a DNS service, or of a
/// file. A name with several addresses is several members. Each is named after its address,
/// such as `ajp://10.0.0.1:8009`.
///
/// | | what is looked at | how often |
/// |---|---|---|
/// | [`host`](Self::host) | all addresses that the system's resolver knows | every 30 s |
/// | [`dns`](Self::dns) | the records A and AAAA | when their TTL has passed |
/// | [`srv`](Self::srv) | the records SRV, and the addresses of their targets | likewise |
/// | [`file`](Self::file) | the lines of a file | every second |
///
/// An answer without members, and none at all, change nothing: what is known goes on serving.
/// Where a part of the answers is missing the rest is used. What is missing takes no member away:
/// while the records AAAA are not told, members with IPv6 addresses stay, and those with IPv4
/// addresses come and go. A name server has 5 s for an answer, and where it has told addresses 1 s
/// for another one.
/// Name servers that know many addresses give some of them at a time, so a member is gone only
/// when [several answers in a row](Self::with_absences) did not have it.
///
/// ```no_run
/// # async fn example(balancer: ajp::balancer::Balancer) {
/// use ajp::balancer::{Discovery, Leaving};
/// let members = Discovery::host("tomcats.internal", 8009);
/// balancer.follow(members, Leaving::default()).await;
/// # }
/// ```
pub struct Discovery {
    source: Source,
    pools: PoolConfig,
    tcp: TcpOptions,
    shape: Arc<dyn Fn(Member) -> Member + Send + Sync>,
    interval: Duration,
    absences: u32,
    /// The members by name, and how many answers in a row did not have them.
    known: BTreeMap<String, (Endpoint, u32)>,
    /// When it is looked next; at once if there is no time yet.
    next_look: Option<Instant>,
    /// What was said last of answers that could not be used, so that it is said once.
    complaint: Option<String>,
}

enum Source {
    Host {
        name: String,
        port: u16,
    },
    File(PathBuf),
    #[cfg(feature = "dns")]
    Dns(Box<dns::Dns>),
}

/// A container that was found.
#[derive(Debug, Clone, PartialEq)]
struct Endpoint {
    address: Address,
    /// Where an answer about one version of IP alone tells of it.
    ip: Option<IpAddr>,
    member: Member,
}

impl Endpoint {
    fn at(address: Address) -> Self {
        Self {
            member: Member::new(address.to_string()),
            address,
            ip: None,
        }
    }

    #[cfg(any(test, feature = "dns"))]
    fn at_ip(address: SocketAddr) -> Self {
        Self {
            ip: Some(address.ip()),
            ..Self::at(address.into())
        }
    }
}

/// What one look has shown.
struct Answer {
    endpoints: Vec<Endpoint>,
    /// How long it is good for, if that was told.
    good_for: Option<Duration>,
    missing: Option<Unanswered>,
}

/// Something was not answered, so there may be more members than were found.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Unanswered {
    /// The question, and why there is no answer.
    what: String,
    /// Whether there may be more with addresses of this version.
    ipv4: bool,
    ipv6: bool,
}

impl Unanswered {
    /// This and another one. Of both texts always the same is told, in whichever order they came.
    #[cfg(any(test, feature = "dns"))]
    fn and(self, other: Self) -> Self {
        Self {
            what: self.what.min(other.what),
            ipv4: self.ipv4 || other.ipv4,
            ipv6: self.ipv6 || other.ipv6,
        }
    }

    /// Whether a member at this address may be there though it was not found.
    fn may_be_there(&self, ip: Option<IpAddr>) -> bool {
        match ip {
            Some(IpAddr::V4(_)) => self.ipv4,
            Some(IpAddr::V6(_)) => self.ipv6,
            None => true,
        }
    }
}

impl Discovery {
    /// The addresses of a host name, by the system's resolver. It does not tell how long they
    /// are good for.
    pub fn host(name: impl Into<String>, port: u16) -> Self {
        let name = name.into();
        Self::new(Source::Host { name, port }, Duration::from_secs(30), 2)
    }

    /// The addresses of a host name, by the name servers of the system or those
    /// [told](Self::with_name_servers). `/etc/hosts` is not asked.
    #[cfg(feature = "dns")]
    pub fn dns(name: impl Into<String>, port: u16) -> Self {
        let dns = dns::Dns::addresses(name.into(), port);
        Self::new(Source::Dns(Box::new(dns)), Duration::from_secs(1), 2)
    }

    /// The targets of a service, such as `_ajp._tcp.app.internal`, with the ports that they
    /// have there. Their weights are the weights of the members, and their priorities the
    /// [sets](Member::with_set). The first part of a target's name is the
    /// [route](Member::with_route): name the hosts as the `jvmRoute` of their containers, or
    /// set it by [`with_member`](Self::with_member).
    #[cfg(feature = "dns")]
    pub fn srv(service: impl Into<String>) -> Self {
        let dns = dns::Dns::services(service.into());
        Self::new(Source::Dns(Box::new(dns)), Duration::from_secs(1), 2)
    }

    /// The members in a file, one in each line. Behind the address come settings of the
    /// member, with the values that they have in httpd's and this crate's other texts: `route`,
    /// `weight`, `set`, `status`, `domain` and `redirect`. What follows a `#` is for readers.
    ///
    /// ```text
    /// # The shop
    /// ajp://10.0.0.1:8009 route=jvm1 weight=2
    /// ajp://10.0.0.2:8009 route=jvm2 status=H
    /// ```
    ///
    /// Write a new file beside it and rename that, so that no half of it is read.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self::new(Source::File(path.into()), Duration::from_secs(1), 1)
    }

    fn new(source: Source, interval: Duration, absences: u32) -> Self {
        Self {
            source,
            pools: PoolConfig::default(),
            tcp: TcpOptions::new(),
            shape: Arc::new(|member| member),
            interval,
            absences,
            known: BTreeMap::new(),
            next_look: None,
            complaint: None,
        }
    }

    /// The settings of the members' pools.
    #[must_use]
    pub fn with_pools(mut self, config: PoolConfig) -> Self {
        self.pools = config;
        self
    }

    /// How connections to the members are opened. Default [`TcpOptions::new`].
    #[must_use]
    pub fn with_tcp(mut self, tcp: TcpOptions) -> Self {
        self.tcp = tcp;
        self
    }

    /// Changes what is configured of each member that was found, such as its route. Its name
    /// is that of its address.
    #[must_use]
    pub fn with_member(mut self, shape: impl Fn(Member) -> Member + Send + Sync + 'static) -> Self {
        self.shape = Arc::new(shape);
        self
    }

    /// The time from one look to the next; where a TTL is known the shortest. At least 10 ms.
    /// For the defaults see [above](Self).
    #[must_use]
    pub fn with_interval(mut self, interval: Duration) -> Self {
        // Not a busy loop.
        self.interval = interval.max(Duration::from_millis(10));
        self
    }

    /// A member is gone when so many answers in a row did not have it. Default 2, for a file
    /// 1; at least 1.
    #[must_use]
    pub fn with_absences(mut self, count: u32) -> Self {
        self.absences = count.max(1);
        self
    }

    /// The name servers that are asked. Default those of the system. Nothing where no name
    /// server is asked.
    #[cfg(feature = "dns")]
    #[must_use]
    pub fn with_name_servers(mut self, servers: impl Into<Vec<SocketAddr>>) -> Self {
        if let Source::Dns(dns) = &mut self.source {
            dns.set_name_servers(servers.into());
        }
        self
    }

    /// Takes note of the members that were found, and of those that were not unless they are
    /// among what is missing. Whether the set is another one now.
    fn merge(&mut self, found: Vec<Endpoint>, missing: Option<&Unanswered>) -> bool {
        let mut changed = false;
        for (endpoint, absent) in self.known.values_mut() {
            if !missing.is_some_and(|missing| missing.may_be_there(endpoint.ip)) {
                *absent = absent.saturating_add(1);
            }
        }
        let mut seen = BTreeSet::new();
        for mut endpoint in found {
            let name = endpoint.member.name().to_owned();
            if !seen.insert(name.clone()) {
                continue;
            }
            endpoint.member = (self.shape)(endpoint.member);
            endpoint.member.name.clone_from(&name);
            let known = self.known.get(&name);
            changed |= known.is_none_or(|(known, _)| *known != endpoint);
            self.known.insert(name, (endpoint, 0));
        }
        let before = self.known.len();
        let most = self.absences;
        self.known.retain(|_, (_, absent)| *absent < most);
        changed || self.known.len() != before
    }

    fn set(&self) -> Vec<Discovered> {
        let endpoints = self.known.values().map(|(endpoint, _)| endpoint);
        endpoints
            .map(|endpoint| Discovered {
                member: endpoint.member.clone(),
                pool: Pool::new(
                    endpoint.address.clone().with_tcp(self.tcp),
                    self.pools.clone(),
                ),
            })
            .collect()
    }

    /// Says what is wrong with an answer, once.
    fn complain(&mut self, complaint: String) {
        if self.complaint.as_ref() != Some(&complaint) {
            event!(WARN, source = %self.source, error = %complaint, "AJP members are not found; the known ones stay");
            self.complaint = Some(complaint);
        }
    }
}

impl Discover for Discovery {
    fn next_set(&mut self) -> Discovering<'_> {
        Box::pin(async move {
            loop {
                if let Some(next) = self.next_look {
                    sleep_until(next).await;
                }
                let looked = self.source.look().await;
                let after_nothing = self.interval.saturating_mul(AFTER_NOTHING);
                let after_nothing = after_nothing.min(LONGEST_AFTER_NOTHING);
                let pause = match &looked {
                    Ok(found) if !found.endpoints.is_empty() => {
                        let good_for = found.good_for.unwrap_or(self.interval);
                        let good_for = match &found.missing {
                            Some(_) => good_for.min(after_nothing),
                            None => good_for,
                        };
                        good_for.max(self.interval)
                    }
                    Ok(_) | Err(_) => after_nothing,
                };
                self.next_look = Instant::now().checked_add(pause);
                match looked {
                    Ok(found) if found.endpoints.is_empty() => {
                        self.complain("there are none".into());
                    }
                    Ok(found) => {
                        match &found.missing {
                            Some(missing) => self.complain(missing.what.clone()),
                            None => self.complaint = None,
                        }
                        if self.merge(found.endpoints, found.missing.as_ref()) {
                            return Some(self.set());
                        }
                    }
                    Err(error) => self.complain(error),
                }
            }
        })
    }
}

impl Source {
    async fn look(&mut self) -> Result<Answer, String> {
        match self {
            Self::Host { name, port } => {
                let found = lookup_host((name.as_str(), *port)).await;
                let found = found.map_err(|error| error.to_string())?;
                Ok(Answer {
                    endpoints: found.map(|at| Endpoint::at(at.into())).collect(),
                    good_for: None,
                    missing: None,
                })
            }
            Self::File(path) => Ok(Answer {
                endpoints: file::read(path).await?,
                good_for: None,
                missing: None,
            }),
            #[cfg(feature = "dns")]
            Self::Dns(dns) => dns.look(LONGEST_INTERVAL).await,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host { name, .. } => write!(f, "host {name}"),
            Self::File(path) => write!(f, "file {}", path.display()),
            #[cfg(feature = "dns")]
            Self::Dns(dns) => dns.fmt(f),
        }
    }
}

impl fmt::Debug for Discovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Discovery")
            .field("source", &format_args!("{}", self.source))
            .field("known", &self.known.keys())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_gone_when_so_many_answers_did_not_have_it() {
        let found = |names: &[&str]| -> Vec<Endpoint> {
            let endpoint = |name: &&str| Endpoint {
                member: Member::new(*name),
                address: Address::tcp(*name, 8009),
                ip: None,
            };
            names.iter().map(endpoint).collect()
        };
        let discovery = Discovery::file("members").with_absences(2);
        let mut discovery = discovery.with_member(|member| member.with_route("r"));
        let names = |discovery: &Discovery| -> String {
            let set = discovery.set().into_iter();
            set.map(|one| {
                assert_eq!(one.member.route_name(), Some("r"));
                one.member.name().to_owned()
            })
            .collect()
        };
        assert!(discovery.merge(found(&["a", "b"]), None));
        assert!(!discovery.merge(found(&["a", "b"]), None), "the same");
        assert!(!discovery.merge(found(&["a"]), None), "once");
        assert_eq!(names(&discovery), "ab");
        assert!(!discovery.merge(found(&["a", "b"]), None));
        assert!(!discovery.merge(found(&["a"]), None), "once again");
        let missing = Unanswered {
            what: "AAAA".into(),
            ipv4: false,
            ipv6: true,
        };
        assert!(
            !discovery.merge(found(&["a"]), Some(&missing)),
            "not the whole answer"
        );
        assert!(discovery.merge(found(&["a"]), None), "twice");
        assert_eq!(names(&discovery), "a");
    }

    /// What is not told of one version of IP says nothing of the other.
    #[test]
    fn members_of_the_version_that_is_told_come_and_go() {
        let found = |ips: &[&str]| -> Vec<Endpoint> {
            let endpoint = |ip: &&str| Endpoint::at_ip(SocketAddr::new(ip.parse().unwrap(), 8009));
            ips.iter().map(endpoint).collect()
        };
        let missing = |what: &str, ipv4| Unanswered {
            what: what.into(),
            ipv4,
            ipv6: !ipv4,
        };
        let mut discovery = Discovery::file("members");
        let known = |discovery: &Discovery| -> Vec<String> {
            let ips = discovery.known.values();
            ips.map(|(endpoint, _)| endpoint.ip.unwrap().to_string())
                .collect()
        };
        assert!(discovery.merge(found(&["10.0.0.1", "10.0.0.2", "::1", "::2"]), None));
        assert!(discovery.merge(found(&["10.0.0.2"]), Some(&missing("AAAA", false))));
        assert_eq!(known(&discovery), ["10.0.0.2", "::1", "::2"]);
        assert!(discovery.merge(found(&["::2", "::3"]), Some(&missing("A", true))));
        assert_eq!(known(&discovery), ["10.0.0.2", "::2", "::3"]);
        let both = missing("AAAA", false).and(missing("A", true));
        assert!(!discovery.merge(found(&["::2"]), Some(&both)));
        assert_eq!(both.what, "A");
        assert_eq!(both, missing("A", true).and(missing("AAAA", false)));
    }

    /// Of several records that lead to the same container the first counts, and the set is not
    /// another one by them each time.
    #[test]
    fn what_is_found_twice_is_one_member() {
        let endpoint = |route: &str| {
            let mut endpoint = Endpoint::at_ip(SocketAddr::from(([10, 0, 0, 1], 8009)));
            endpoint.member = endpoint.member.with_route(route);
            endpoint
        };
        let mut discovery = Discovery::file("members");
        let twice = || vec![endpoint("a"), endpoint("b")];
        assert!(discovery.merge(twice(), None));
        assert!(!discovery.merge(twice(), None));
        let set = discovery.set();
        let routes: Vec<_> = set.iter().map(|one| one.member.route_name()).collect();
        assert_eq!(routes, [Some("a")]);
    }

    /// For logs.
    #[test]
    fn a_source_is_named() {
        let shown = |discovery: Discovery| discovery.source.to_string();
        assert_eq!(shown(Discovery::file("/etc/members")), "file /etc/members");
        assert_eq!(shown(Discovery::host("tomcats", 8009)), "host tomcats");
        #[cfg(feature = "dns")]
        assert_eq!(shown(Discovery::dns("tomcats", 8009)), "DNS name tomcats");
    }
}
