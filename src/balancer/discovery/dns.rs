//! Members by the records of name servers.

use super::{Endpoint, Found};
use crate::balancer::weight::Weight;
use crate::client::Address;
use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::name_server::TokioConnectionProvider;
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{RData, Record, RecordType};
use hickory_resolver::proto::xfer::Protocol;
use hickory_resolver::proto::{ProtoError, ProtoErrorKind};
use hickory_resolver::{ResolveError, TokioResolver};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// What is asked, and who.
pub(super) struct Dns {
    name: String,
    wanted: Wanted,
    /// Those of the system if there are none.
    servers: Vec<SocketAddr>,
    /// Made when it is first used: the system may not know its name servers yet.
    resolver: Option<TokioResolver>,
}

#[derive(Clone, Copy)]
enum Wanted {
    /// The addresses of a host, at this port.
    Addresses(u16),
    Services,
}

impl Dns {
    pub(super) fn addresses(name: String, port: u16) -> Self {
        Self::new(name, Wanted::Addresses(port))
    }

    pub(super) fn services(name: String) -> Self {
        Self::new(name, Wanted::Services)
    }

    fn new(name: String, wanted: Wanted) -> Self {
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

    pub(super) async fn look(&mut self, longest: Duration) -> Result<Found, String> {
        let resolver = match self.resolver.take() {
            Some(resolver) => resolver,
            None => resolver(&self.servers).map_err(|error| error.to_string())?,
        };
        let resolver = self.resolver.insert(resolver);
        // How long an answer is good for is known here too.
        resolver.clear_cache();
        let mut query = Query {
            resolver,
            good_for: longest,
            endpoints: Vec::new(),
            missing: None,
        };
        match self.wanted {
            Wanted::Addresses(port) => query.addresses(&self.name, port).await,
            Wanted::Services => {
                let asked = query.services(&self.name).await;
                asked.map_err(|error| error.to_string())?;
            }
        }
        if let (true, Some(missing)) = (query.endpoints.is_empty(), &query.missing) {
            return Err(missing.clone());
        }
        Ok(Found {
            endpoints: query.endpoints,
            good_for: Some(query.good_for),
            missing: query.missing,
        })
    }
}

/// One look.
struct Query<'a> {
    resolver: &'a TokioResolver,
    /// The shortest TTL so far.
    good_for: Duration,
    endpoints: Vec<Endpoint>,
    /// The last question that was not answered, and why.
    missing: Option<String>,
}

impl Query<'_> {
    async fn addresses(&mut self, name: &str, port: u16) {
        let found = self.host(name).await;
        let at = |ip| Endpoint::at(SocketAddr::new(ip, port).into());
        self.endpoints.extend(found.into_iter().map(at));
    }

    async fn services(&mut self, name: &str) -> Result<(), ResolveError> {
        for record in self.records(name, RecordType::SRV).await? {
            let RData::SRV(service) = record.data() else {
                continue;
            };
            let target = service.target();
            // RFC 2782: a dot alone says that there is no such service.
            if target.is_root() {
                continue;
            }
            let host = target.to_ascii();
            let route = host.split('.').next().unwrap_or_default();
            // Only how weights relate to each other matters.
            let weight = u32::from(service.weight().max(1));
            for ip in self.host(&host).await {
                let address = SocketAddr::new(ip, service.port());
                let mut endpoint = Endpoint::at(Address::from(address));
                endpoint.member = endpoint
                    .member
                    .with_route(route)
                    .with_weight(Weight::from_hundredths(weight).unwrap_or_default())
                    .with_set(service.priority().into());
                self.endpoints.push(endpoint);
            }
        }
        Ok(())
    }

    /// The addresses of both versions of IP, as far as they are told.
    async fn host(&mut self, name: &str) -> Vec<IpAddr> {
        let mut found = Vec::new();
        for version in [RecordType::A, RecordType::AAAA] {
            match self.records(name, version).await {
                Ok(records) => {
                    let ips = records.iter().filter_map(|record| record.data().ip_addr());
                    found.extend(ips);
                }
                Err(error) => self.missing = Some(format!("{version} of {name}: {error}")),
            }
        }
        found
    }

    /// The records of a name; none is no error.
    async fn records(
        &mut self,
        name: &str,
        wanted: RecordType,
    ) -> Result<Vec<Record>, ResolveError> {
        let records = match self.resolver.lookup(name, wanted).await {
            Ok(found) => found.records().to_vec(),
            Err(error) if says_there_are_none(&error) => Vec::new(),
            Err(error) => return Err(error),
        };
        for record in &records {
            let ttl = Duration::from_secs(record.ttl().into());
            self.good_for = self.good_for.min(ttl);
        }
        Ok(records)
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
    if servers.is_empty() {
        return Ok(TokioResolver::builder_tokio()?.build());
    }
    let mut config = ResolverConfig::new();
    for &server in servers {
        for protocol in [Protocol::Udp, Protocol::Tcp] {
            config.add_name_server(NameServerConfig::new(server, protocol));
        }
    }
    let provider = TokioConnectionProvider::default();
    Ok(TokioResolver::builder_with_config(config, provider).build())
}

impl fmt::Display for Dns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.wanted {
            Wanted::Addresses(_) => "DNS name",
            Wanted::Services => "DNS service",
        };
        write!(f, "{what} {}", self.name)
    }
}
