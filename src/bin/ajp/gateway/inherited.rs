//! Sockets that a service manager has opened and gives to the program (`LISTEN_FDS` of systemd),
//! and which listener takes which.
//!
//! A listener takes the socket that has its address, whatever their order is: a socket of systemd
//! has no name that the configuration knows. Only at the start, listeners whose address no socket
//! has take those that are left in their order, and it is said; never one that clients of other
//! addresses reach than the configuration says, such as a socket for all addresses in place of one
//! for this machine.

use super::config::Config;
use super::front::{Bound, ListenAddress};
use listenfd::ListenFd;
use std::io;
use std::net::{IpAddr, TcpListener};
use std::os::unix::net::UnixListener;

/// Those that nobody has taken yet.
#[derive(Debug)]
pub(super) struct Inherited(Vec<Given>);

#[derive(Debug)]
struct Given {
    address: ListenAddress,
    socket: Socket,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Inherited {
    /// All that this process was given. What is no socket that listens is told and left alone.
    pub(super) fn from_env() -> Self {
        let mut descriptors = ListenFd::from_env();
        let mut given = Vec::new();
        for index in 0..descriptors.len() {
            match take(&mut descriptors, index) {
                Ok(one) => given.push(one),
                Err(error) => tracing::warn!("socket {index} of LISTEN_FDS is not used: {error}"),
            }
        }
        Self(given)
    }

    /// Which socket each of these listeners takes, none where it opens one of its own. `reserved`
    /// are addresses of others that take theirs later. `by_order` says whether the order decides
    /// where addresses do not.
    pub(super) fn choose(
        &self,
        wanted: &[ListenAddress],
        reserved: &[ListenAddress],
        by_order: bool,
    ) -> Vec<Option<ListenAddress>> {
        let given: Vec<_> = self.0.iter().map(|given| &given.address).collect();
        let chosen = choose(wanted, reserved, &given, by_order);
        for (wanted, given) in wanted.iter().zip(&chosen) {
            if let Some(given) = given.as_ref().filter(|given| !has_address(given, wanted)) {
                tracing::warn!(
                    "no socket of the service manager has the address {wanted}: the listener takes \
                     the next one, {given}"
                );
            }
        }
        chosen
    }

    /// The socket of this address for the listener `wanted`.
    ///
    /// # Errors
    /// It cannot be used.
    pub(super) fn take(
        &mut self,
        address: &ListenAddress,
        wanted: &ListenAddress,
    ) -> Option<Result<Bound, String>> {
        let is_it = |given: &Given| has_address(&given.address, address);
        let index = self.0.iter().position(is_it)?;
        let bound = match (self.0.remove(index).socket, wanted) {
            (Socket::Tcp(listener), _) => Bound::from_tcp(listener),
            (Socket::Unix(listener), ListenAddress::Unix(path)) => {
                Bound::from_unix(listener, path.clone())
            }
            (Socket::Unix(_), ListenAddress::Tcp(_)) => return None,
        };
        Some(bound.map_err(|error| format!("the socket for {wanted}: {error}")))
    }

    /// Tells which sockets nobody accepts from. They stay open: the service manager has them open,
    /// too, so closing them would refuse nobody, and a reload may bring a listener for them.
    pub(super) fn tell_unused(&self) {
        for Given { address, .. } in &self.0 {
            tracing::warn!(
                "the service manager has opened {address}, and no listener of the configuration \
                 has this address: who connects to it waits and is never answered"
            );
        }
    }
}

fn take(descriptors: &mut ListenFd, index: usize) -> io::Result<Given> {
    if let Ok(Some(listener)) = descriptors.take_tcp_listener(index) {
        return Ok(Given {
            address: ListenAddress::Tcp(listener.local_addr()?),
            socket: Socket::Tcp(listener),
        });
    }
    let other = || io::Error::other("it is no stream socket");
    let listener = descriptors.take_unix_listener(index)?.ok_or_else(other)?;
    let address = listener.local_addr()?;
    let path = address.as_pathname().unwrap_or_else(|| "".as_ref());
    Ok(Given {
        address: ListenAddress::Unix(path.to_owned()),
        socket: Socket::Unix(listener),
    })
}

/// What becomes of sockets at a start.
#[derive(Debug)]
pub(super) struct Choice {
    /// Each listener, the page and the health address, and the socket that it takes; none where it
    /// opens one of its own.
    pub(super) taken: Vec<(ListenAddress, Option<ListenAddress>)>,
    /// Sockets that nobody accepts from.
    pub(super) unused: Vec<ListenAddress>,
}

/// Which socket each listener of this configuration would take if it were given these.
pub(super) fn chosen(config: &Config, given: &[ListenAddress]) -> Choice {
    let wanted = config.plain_address().map(ListenAddress::Tcp).into_iter();
    let listeners = config.listeners.iter();
    let wanted = wanted.chain(listeners.map(|listener| listener.address.clone()));
    let wanted: Vec<_> = wanted.collect();
    let reserved: Vec<_> = config.manager_addresses().map(ListenAddress::Tcp).collect();
    let all: Vec<_> = given.iter().collect();
    let sockets = choose(&wanted, &reserved, &all, true);
    let mut unused = given.to_vec();
    let mut leave = |socket: &ListenAddress| {
        let at = unused.iter().position(|one| one == socket)?;
        Some(unused.remove(at))
    };
    for socket in sockets.iter().flatten() {
        let _ = leave(socket);
    }
    let mut taken: Vec<_> = wanted.into_iter().zip(sockets).collect();
    for address in reserved {
        let socket = given.iter().find(|given| has_address(given, &address));
        let socket = socket.and_then(&mut leave);
        taken.push((address, socket));
    }
    Choice { taken, unused }
}

/// The socket of each listener: first by the address, then by the order.
fn choose(
    wanted: &[ListenAddress],
    reserved: &[ListenAddress],
    given: &[&ListenAddress],
    by_order: bool,
) -> Vec<Option<ListenAddress>> {
    let mut left = given.to_vec();
    let mut take = |fits: &dyn Fn(&ListenAddress) -> bool| {
        let index = left.iter().position(|given| fits(given))?;
        Some(left.remove(index).clone())
    };
    let mut chosen: Vec<_> = wanted
        .iter()
        .map(|wanted| take(&|given| given == wanted))
        .collect();
    for (wanted, chosen) in wanted.iter().zip(&mut chosen) {
        if chosen.is_none() {
            *chosen = take(&|given| has_address(given, wanted));
        }
    }
    if !by_order {
        return chosen;
    }
    let is_reserved = |given: &ListenAddress| reserved.iter().any(|one| has_address(given, one));
    for (wanted, chosen) in wanted.iter().zip(&mut chosen) {
        if chosen.is_none() {
            *chosen = take(&|given| !is_reserved(given) && may_stand_for(given, wanted));
        }
    }
    chosen
}

/// Whether a socket of the address `given` is what a listener at `wanted` would have opened: for
/// all addresses systemd opens one of IPv6 that takes IPv4 as well.
fn has_address(given: &ListenAddress, wanted: &ListenAddress) -> bool {
    match (given, wanted) {
        (ListenAddress::Tcp(given), ListenAddress::Tcp(wanted)) => {
            let (ip, other) = (given.ip().to_canonical(), wanted.ip().to_canonical());
            // One for all addresses of IPv4 takes no client of IPv6.
            let takes_all = ip.is_ipv6() || other.is_ipv4();
            let is_any = ip.is_unspecified() && other.is_unspecified() && takes_all;
            let is_same = ip == other || is_any;
            given.port() == wanted.port() && is_same
        }
        _ => given == wanted,
    }
}

/// Whether clients reach a socket of the address `given` from no other addresses than the listener
/// at `wanted` is for.
fn may_stand_for(given: &ListenAddress, wanted: &ListenAddress) -> bool {
    match (given, wanted) {
        (ListenAddress::Tcp(given), ListenAddress::Tcp(wanted)) => {
            let (ip, other): (IpAddr, IpAddr) = (given.ip(), wanted.ip());
            other.is_unspecified() || ip.to_canonical() == other.to_canonical()
        }
        (ListenAddress::Unix(_), ListenAddress::Unix(_)) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &str) -> Vec<ListenAddress> {
        let read = |text: &str| match text.strip_prefix("unix:") {
            Some(path) => ListenAddress::Unix(path.into()),
            None => ListenAddress::Tcp(text.parse().unwrap()),
        };
        texts.split_whitespace().map(read).collect()
    }

    fn chosen(wanted: &str, given: &str, by_order: bool) -> String {
        let (wanted, given) = (addresses(wanted), addresses(given));
        let reserved = addresses("127.0.0.1:8081");
        let given: Vec<_> = given.iter().collect();
        let chosen = choose(&wanted, &reserved, &given, by_order).into_iter();
        let shown = chosen.map(|one| one.map_or("-".into(), |address| address.to_string()));
        shown.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_listener_takes_the_socket_of_its_address() {
        for (wanted, given, expected) in [
            (
                "0.0.0.0:443 0.0.0.0:80",
                "0.0.0.0:80 0.0.0.0:443",
                "0.0.0.0:443 0.0.0.0:80",
            ),
            ("127.0.0.1:8080 0.0.0.0:80", "0.0.0.0:80", "- 0.0.0.0:80"),
            // What `ListenStream=80` opens is for IPv4, too; one of the own family goes first.
            ("0.0.0.0:80", "[::]:80", "[::]:80"),
            (
                "0.0.0.0:80 [::]:80",
                "[::]:80 0.0.0.0:80",
                "0.0.0.0:80 [::]:80",
            ),
            ("unix:/b unix:/a", "unix:/a unix:/b", "unix:/b unix:/a"),
            ("127.0.0.1:80", "0.0.0.0:80", "-"),
            (
                "0.0.0.0:80 [::]:80",
                "0.0.0.0:80 [::]:80",
                "0.0.0.0:80 [::]:80",
            ),
        ] {
            assert_eq!(chosen(wanted, given, true), expected, "{wanted} of {given}");
            assert_eq!(
                chosen(wanted, given, false),
                expected,
                "{wanted} of {given}"
            );
        }
    }

    #[test]
    fn the_order_decides_where_no_address_fits_and_opens_nothing_wider() {
        for (wanted, given, expected) in [
            (
                "127.0.0.1:0 127.0.0.1:9",
                "127.0.0.1:7 127.0.0.1:9",
                "127.0.0.1:7 127.0.0.1:9",
            ),
            ("0.0.0.0:8080", "192.0.2.1:80", "192.0.2.1:80"),
            ("unix:/a", "127.0.0.1:7 unix:/b", "unix:/b"),
            // Meant for this machine alone.
            ("127.0.0.1:8080", "0.0.0.0:80 0.0.0.0:443", "-"),
            ("192.0.2.1:80", "[::]:80", "-"),
            // The manager's.
            ("127.0.0.1:8080", "127.0.0.1:8081", "-"),
        ] {
            assert_eq!(chosen(wanted, given, true), expected, "{wanted} of {given}");
        }
        assert_eq!(chosen("127.0.0.1:0", "127.0.0.1:7", false), "-");
    }
}
