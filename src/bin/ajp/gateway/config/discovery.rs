//! `[balancer.discovery]`: where members are found that the file does not name.

use super::balancer_tables as tables;
use super::error::Fault;
use super::values::{HostAndPort, Text, Whole};
use ajp::balancer::{Discovery, Leaving};
use ajp::client::{PoolConfig, TcpOptions};
use std::time::Duration;
use toml::Spanned;

/// A place where members are found.
#[derive(Debug)]
pub(crate) struct Found {
    place: Place,
    table: tables::Discovery,
}

#[derive(Debug)]
enum Place {
    Host(HostAndPort),
    Dns(HostAndPort),
    Service(String),
    File(std::path::PathBuf),
}

/// How long the first members are waited for unless the file says otherwise.
const FIRST_SET: Duration = Duration::from_secs(10);

impl Found {
    /// What the table says; exactly one place.
    pub(super) fn read(table: &Spanned<tables::Discovery>) -> Result<Self, Fault> {
        let span = table.span();
        let mut table = table.get_ref().clone();
        // Taken out, so that nothing is left that changes with the place in the file.
        let host = |value: Spanned<Text<HostAndPort>>| value.into_inner().0;
        let places = [
            table.host.take().map(|value| Place::Host(host(value))),
            table.dns.take().map(|value| Place::Dns(host(value))),
            table
                .srv
                .take()
                .map(Spanned::into_inner)
                .map(Place::Service),
            table.file.take().map(Spanned::into_inner).map(Place::File),
        ];
        let mut places = places.into_iter().flatten();
        let (Some(place), None) = (places.next(), places.next()) else {
            return Err(Fault::at(span, "must have one of host, dns, srv and file"));
        };
        let asks_servers = matches!(place, Place::Dns(_) | Place::Service(_));
        if !table.name_servers.is_empty() && !asks_servers {
            return Err(Fault::at(span, "name_servers is for dns and srv only"));
        }
        if let Place::Service(name) = &place {
            let is_plain = |b: u8| b.is_ascii_alphanumeric() || b".-_".contains(&b);
            if name.is_empty() || !name.bytes().all(is_plain) {
                let text = format!("{name:?} is no service, such as \"_ajp._tcp.app.internal\"");
                return Err(Fault::at(span, text));
            }
        }
        Ok(Self { place, table })
    }

    /// How long the first members are waited for before requests are taken.
    pub(super) fn first_set(&self) -> Duration {
        let Some(Text(time)) = self.table.first_set else {
            return FIRST_SET;
        };
        time
    }

    /// It begins to look when it is followed.
    pub(super) fn discovery(&self, pools: PoolConfig, tcp: TcpOptions) -> (Discovery, Leaving) {
        let discovery = match &self.place {
            Place::Host(HostAndPort { host, port }) => Discovery::host(host, *port),
            Place::Dns(HostAndPort { host, port }) => Discovery::dns(host, *port),
            Place::Service(name) => Discovery::srv(name),
            Place::File(path) => Discovery::file(path),
        };
        let mut discovery = discovery.with_pools(pools).with_tcp(tcp);
        let table = &self.table;
        if !table.name_servers.is_empty() {
            let servers = table.name_servers.iter().map(|Text(server)| *server);
            discovery = discovery.with_name_servers(servers.collect::<Vec<_>>());
        }
        let time = |value: &Option<Text<Duration>>| value.as_ref().map(|Text(time)| *time);
        if let Some(interval) = time(&table.interval) {
            discovery = discovery.with_interval(interval);
        }
        if let Some(count) = table.absences.map(Whole::number) {
            discovery = discovery.with_absences(count);
        }
        let mut leaving = Leaving::default();
        if let Some(timeout) = time(&table.session_timeout) {
            leaving = leaving.with_session_timeout(timeout);
        }
        if let Some(most) = time(&table.at_most) {
            leaving = leaving.with_at_most(most);
        }
        (discovery, leaving)
    }
}
