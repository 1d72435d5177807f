//! Members by the records of name servers.

use super::{Answer, Endpoint, Unanswered};
use crate::balancer::weight::Weight;
use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::name_server::TokioConnectionProvider;
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{RData, Record, RecordType};
use hickory_resolver::proto::xfer::Protocol;
use hickory_resolver::proto::{ProtoError, ProtoErrorKind};
use hickory_resolver::{ResolveError, TokioResolver};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long a question may take, with all repetitions.
const LONGEST_ANSWER: Duration = Duration::from_secs(5);

/// How long other answers are waited for where there are addresses already: some name servers never
/// answer questions for IPv6 (RFC 4074), and that must not hold up what they say of IPv4.
const LATER_ANSWERS: Duration = Duration::from_secs(1);

/// After so long a question is sent again.
const REPEAT_AFTER: Duration = Duration::from_secs(2);

/// So many questions about the targets of a service are asked at a time.
const QUESTIONS_AT_A_TIME: usize = 64;

/// What is asked, and who.
pub(super) struct Dns {
    name: String,
    wanted: RecordKind,
    /// Those of the system if there are none.
    servers: Vec<SocketAddr>,
    /// Made when it is first used: the system may not know its name servers yet.
    resolver: Option<TokioResolver>,
}

#[derive(Clone, Copy)]
enum RecordKind {
    /// The addresses of a host, at this port.
    Addresses(u16),
    Services,
}

impl Dns {
    pub(super) fn addresses(name: String, port: u16) -> Self {
        Self::new(name, RecordKind::Addresses(port))
    }

    pub(super) fn services(name: String) -> Self {
        Self::new(name, RecordKind::Services)
    }

    fn new(name: String, wanted: RecordKind) -> Self {
        Self {
            name,
            wanted,
            servers: Vec::new(),
            resolver: None,
        }
    }

    pub(super) fn set_name_servers(&mut self, servers: Vec<SocketAddr>) {
        self.servers = servers;
        self.resolver = None;
    }

    pub(super) async fn look(&mut self, longest: Duration) -> Result<Answer, String> {
        let looked = self.ask(longest).await;
        if looked.is_err() {
            // The system may have other name servers by the next look.
            self.resolver = None;
        }
        looked
    }

    async fn ask(&mut self, longest: Duration) -> Result<Answer, String> {
        let resolver = match self.resolver.take() {
            Some(resolver) => resolver,
            None => resolver(&self.servers).map_err(|error| error.to_string())?,
        };
        let resolver = self.resolver.insert(resolver);
        // How long an answer is good for is known here too.
        resolver.clear_cache();
        let mut look = Look {
            resolver,
            good_for: longest,
            missing: None,
        };
        let endpoints = match self.wanted {
            RecordKind::Addresses(port) => look.addresses(&self.name, port).await,
            RecordKind::Services => look.services(&self.name).await?,
        };
        match look.missing {
            Some(missing) if endpoints.is_empty() => Err(missing.what),
            missing => Ok(Answer {
                endpoints,
                good_for: Some(look.good_for),
                missing,
            }),
        }
    }
}

/// One look.
struct Look<'a> {
    resolver: &'a TokioResolver,
    /// The shortest TTL so far.
    good_for: Duration,
    missing: Option<Unanswered>,
}

/// A record of a service.
struct Service {
    priority: u16,
    weight: u16,
    target: String,
    port: u16,
}

impl Look<'_> {
    async fn addresses(&mut self, name: &str, port: u16) -> Vec<Endpoint> {
        let names = BTreeSet::from([name.to_owned()]);
        let found = self.hosts(names).await.into_values().flatten();
        found
            .map(|ip| Endpoint::at_ip(SocketAddr::new(ip, port)))
            .collect()
    }

    async fn services(&mut self, name: &str) -> Result<Vec<Endpoint>, String> {
        let records = records(self.resolver, name, RecordType::SRV).await?;
        self.note_ttl(&records);
        let services = records.iter().filter_map(|record| match record.data() {
            // RFC 2782: a dot alone says that there is no such service.
            RData::SRV(service) if !service.target().is_root() => Some(Service {
                priority: service.priority(),
                weight: service.weight(),
                target: service.target().to_ascii(),
                port: service.port(),
            }),
            _ => None,
        });
        let mut services: Vec<Service> = services.collect();
        // Name servers give records in any order. Of several that lead to the same container the
        // same one counts at each look.
        services.sort_unstable_by(|a, b| {
            let key = |one: &Service| (one.priority, Reverse(one.weight), one.port);
            key(a).cmp(&key(b)).then_with(|| a.target.cmp(&b.target))
        });
        let targets = services.iter().map(|service| service.target.clone());
        let hosts = self.hosts(targets.collect()).await;
        let endpoints = services.iter().flat_map(|service| {
            let ips = hosts.get(&service.target).into_iter().flatten();
            ips.map(|&ip| service.endpoint(ip))
        });
        Ok(endpoints.collect())
    }

    /// The addresses of these hosts of both versions of IP, as far as they are told.
    async fn hosts(&mut self, names: BTreeSet<String>) -> BTreeMap<String, BTreeSet<IpAddr>> {
        // All questions of one kind before those of the other, which may stay without answers.
        let kinds = [RecordType::A, RecordType::AAAA].into_iter();
        let questions = kinds.flat_map(|kind| names.iter().map(move |name| (name.clone(), kind)));
        let questions: Vec<_> = questions.collect();
        let mut questions = questions.into_iter();
        let mut running = JoinSet::new();
        let mut unanswered = BTreeSet::new();
        let mut found: BTreeMap<String, BTreeSet<IpAddr>> = BTreeMap::new();
        loop {
            while running.len() < QUESTIONS_AT_A_TIME {
                let Some((name, kind)) = questions.next() else {
                    break;
                };
                unanswered.insert((name.clone(), kind));
                let resolver = self.resolver.clone();
                running.spawn(async move {
                    let answer = records(&resolver, &name, kind).await;
                    (name, kind, answer)
                });
            }
            let patience = if found.is_empty() {
                LONGEST_ANSWER
            } else {
                LATER_ANSWERS
            };
            let (name, kind, answer) = match timeout(patience, running.join_next()).await {
                Ok(None) => return found,
                Ok(Some(Ok(answered))) => answered,
                // A panic in the resolver.
                Ok(Some(Err(error))) => {
                    self.note_missing(error.to_string(), true, true);
                    continue;
                }
                // These are given up, and not those that were not asked yet.
                Err(_) => {
                    running = JoinSet::new();
                    for (name, kind) in std::mem::take(&mut unanswered) {
                        self.note_unanswered(&name, kind, "no answer in time");
                    }
                    continue;
                }
            };
            match answer {
                Ok(records) => {
                    self.note_ttl(&records);
                    let ips = records.iter().filter_map(|record| record.data().ip_addr());
                    let ips: BTreeSet<IpAddr> = ips.collect();
                    if !ips.is_empty() {
                        found.entry(name.clone()).or_default().extend(ips);
                    }
                }
                Err(error) => self.note_unanswered(&name, kind, &error),
            }
            unanswered.remove(&(name, kind));
        }
    }

    fn note_unanswered(&mut self, name: &str, kind: RecordType, error: &str) {
        let what = format!("{kind} of {name}: {error}");
        self.note_missing(what, kind == RecordType::A, kind == RecordType::AAAA);
    }

    fn note_ttl(&mut self, records: &[Record]) {
        for record in records {
            let ttl = Duration::from_secs(record.ttl().into());
            self.good_for = self.good_for.min(ttl);
        }
    }

    fn note_missing(&mut self, what: String, ipv4: bool, ipv6: bool) {
        let missing = Unanswered { what, ipv4, ipv6 };
        self.missing = Some(match self.missing.take() {
            Some(known) => known.and(missing),
            None => missing,
        });
    }
}

impl Service {
    fn endpoint(&self, ip: IpAddr) -> Endpoint {
        let route = self.target.split('.').next().unwrap_or_default();
        // Only how weights relate to each other matters.
        let weight = u32::from(self.weight.max(1));
        let mut endpoint = Endpoint::at_ip(SocketAddr::new(ip, self.port));
        endpoint.member = endpoint
            .member
            .with_route(route)
            .with_weight(Weight::from_hundredths(weight).unwrap_or_default())
            .with_set(self.priority.into());
        endpoint
    }
}

/// The records of a name; none is no error.
async fn records(
    resolver: &TokioResolver,
    name: &str,
    wanted: RecordType,
) -> Result<Vec<Record>, String> {
    match timeout(LONGEST_ANSWER, resolver.lookup(name, wanted)).await {
        Ok(Ok(found)) => Ok(found.records().to_vec()),
        Ok(Err(error)) if says_there_are_none(&error) => Ok(Vec::new()),
        Ok(Err(error)) => Err(in_words(&error)),
        Err(_) => Err("no answer in time".into()),
    }
}

/// Why there are no records. The resolver's own words for a name server that refuses or fails are
/// that there are none.
fn in_words(error: &ResolveError) -> String {
    match error.proto().map(ProtoError::kind) {
        Some(ProtoErrorKind::NoRecordsFound { response_code, .. }) => {
            format!("the name server says {response_code}")
        }
        _ => error.to_string(),
    }
}

/// Whether a name server knows that there are no such records. One that only cannot tell gives
/// no records either.
fn says_there_are_none(error: &ResolveError) -> bool {
    let kind = error.proto().map(ProtoError::kind);
    matches!(
        kind,
        Some(ProtoErrorKind::NoRecordsFound {
            response_code: ResponseCode::NoError | ResponseCode::NXDomain,
            ..
        })
    )
}

fn resolver(servers: &[SocketAddr]) -> Result<TokioResolver, ResolveError> {
    let mut builder = if servers.is_empty() {
        TokioResolver::builder_tokio()?
    } else {
        let mut config = ResolverConfig::new();
        for &server in servers {
            // TCP is for answers that are too long for UDP.
            for protocol in [Protocol::Udp, Protocol::Tcp] {
                config.add_name_server(NameServerConfig::new(server, protocol));
            }
        }
        TokioResolver::builder_with_config(config, TokioConnectionProvider::default())
    };
    let options = builder.options_mut();
    options.timeout = options.timeout.min(REPEAT_AFTER);
    Ok(builder.build())
}

impl fmt::Display for Dns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.wanted {
            RecordKind::Addresses(_) => "DNS name",
            RecordKind::Services => "DNS service",
        };
        write!(f, "{what} {}", self.name)
    }
}
