//! Addresses of listeners beside each other.

use super::Config;
use super::error::{Fault, Faults};
use super::file::File;
use super::lower::MANAGER;
use crate::gateway::front::ListenAddress;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;

/// Where requests are taken unless the configuration says otherwise.
pub(crate) const DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

/// Tells which addresses cannot be listened on at the same time.
pub(super) fn exclusive(file: &File, faults: &mut Faults) {
    let tcp = |key, address: SocketAddr, span| (key, ListenAddress::Tcp(address), span);
    let mut all: Vec<(&str, ListenAddress, Range<usize>)> = Vec::new();
    // Where there is none a flag may say another one than the default.
    if let Some(listen) = &file.listen {
        all.push(tcp("listen", listen.get_ref().0, listen.span()));
    }
    for listener in &file.listener {
        let address = listener.address.get_ref().0.clone();
        all.push(("address", address, listener.address.span()));
    }
    if let Some(manager) = &file.manager {
        all.push(match &manager.listen {
            Some(listen) => tcp("manager.listen", listen.get_ref().0, listen.span()),
            None => tcp("manager.listen, unless told,", MANAGER, 0..0),
        });
        if let Some(health) = &manager.health_listen {
            all.push(tcp("health_listen", health.get_ref().0, health.span()));
        }
    }
    for (index, (_, later, span)) in all.iter().enumerate() {
        let mut before = all.iter().take(index);
        if let Some((key, earlier, _)) = before.find(|(_, earlier, _)| exclude(earlier, later)) {
            let text = format!("{later} is taken already: {key} is {earlier}");
            faults.add(Fault::at(span.clone(), text));
        }
    }
}

/// Whether only one of two can listen. All addresses of a family include each single one;
/// those of IPv6 leave IPv4 to a listener that has the port there.
fn exclude(one: &ListenAddress, other: &ListenAddress) -> bool {
    match (one, other) {
        (ListenAddress::Tcp(one), ListenAddress::Tcp(other)) => {
            let (ip, other_ip) = (one.ip().to_canonical(), other.ip().to_canonical());
            let is_same_family = ip.is_ipv4() == other_ip.is_ipv4();
            let has_all = ip.is_unspecified() || other_ip.is_unspecified();
            let is_same = ip == other_ip || (is_same_family && has_all);
            // The system picks a port for 0.
            is_same && one.port() == other.port() && one.port() != 0
        }
        _ => one == other,
    }
}

impl Config {
    /// Where the manager and its health are.
    pub(crate) fn manager_addresses(&self) -> impl Iterator<Item = SocketAddr> {
        let manager = self.manager.iter();
        manager.flat_map(|manager| {
            [Some(manager.listen), manager.health_listen]
                .into_iter()
                .flatten()
        })
    }

    /// Where requests are taken without a table.
    pub(crate) fn plain_address(&self) -> Option<SocketAddr> {
        let default = self.listeners.is_empty().then_some(DEFAULT);
        self.listen.or(default)
    }

    /// Whether this is all addresses of IPv6 at a port that something else has for IPv4: then
    /// each takes the clients of its own family.
    pub(crate) fn has_ipv4_beside(&self, address: &ListenAddress) -> bool {
        let ListenAddress::Tcp(SocketAddr::V6(address)) = address else {
            return false;
        };
        let listeners = self.listeners.iter();
        let listeners = listeners.filter_map(|listener| match listener.address {
            ListenAddress::Tcp(address) => Some(address),
            ListenAddress::Unix(_) => None,
        });
        let all = self.plain_address().into_iter().chain(listeners);
        let mut all = all.chain(self.manager_addresses());
        let is_beside = |other: SocketAddr| {
            other.ip().to_canonical().is_ipv4() && other.port() == address.port()
        };
        address.ip().is_unspecified() && address.port() != 0 && all.any(is_beside)
    }
}
