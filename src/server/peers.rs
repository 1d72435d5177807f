//! Who connects: address ranges, and the user behind a Unix socket.

use ipnet::IpNet;
use std::net::IpAddr;
use std::str::FromStr;
#[cfg(unix)]
use {
    std::sync::Arc,
    tokio::net::unix::{SocketAddr, UCred},
};

/// Ranges of IP addresses, such as those of the web servers.
///
/// ```
/// use ajp::server::Networks;
/// let front: Networks = "192.0.2.10, 10.1.0.0/16, 2001:db8::/32".parse()?;
/// assert!(front.contains([10, 1, 2, 3].into()));
/// assert!(!front.contains([10, 2, 0, 1].into()));
/// # Ok::<(), ajp::server::InvalidNetwork>(())
/// ```
///
/// With a server: `serve(listener, app).with_secret(secret).with_peers(move |peer| front.contains(peer.ip()))`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    /// This machine: `127.0.0.0/8` and `::1`.
    #[must_use]
    pub fn loopback() -> Self {
        let ipv4 = IpNet::new_assert([127, 0, 0, 0].into(), 8);
        Self(vec![
            ipv4,
            std::net::Ipv6Addr::LOCALHOST.to_canonical().into(),
        ])
    }

    /// Whether an address lies in one of the ranges. An IPv4 address that comes from a
    /// dual-stack socket as IPv6 counts as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

impl FromStr for Networks {
    type Err = InvalidNetwork;

    /// Addresses, and addresses with a prefix length, between commas.
    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        text.split(',')
            .map(|part| network(part.trim()).ok_or_else(|| InvalidNetwork(part.trim().into())))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

fn network(text: &str) -> Option<IpNet> {
    let network = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => text.parse().ok()?,
    };
    // An IPv4 address written as IPv6 would match nothing.
    (network.addr() == network.addr().to_canonical()).then_some(network)
}

/// A text that is no IP address and no range of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no IP address or network")]
pub struct InvalidNetwork(String);

/// Who connected to a Unix socket, as the kernel tells.
#[cfg(unix)]
#[derive(Clone)]
pub struct UnixPeer {
    address: Arc<SocketAddr>,
    credentials: Option<UCred>,
}

#[cfg(unix)]
impl UnixPeer {
    pub(super) fn new(stream: &tokio::net::UnixStream, address: SocketAddr) -> Self {
        Self {
            address: address.into(),
            credentials: stream.peer_cred().ok(),
        }
    }

    /// The user that the peer's process ran as when it connected; `None` when the system
    /// does not tell.
    #[must_use]
    pub fn uid(&self) -> Option<u32> {
        self.credentials.as_ref().map(UCred::uid)
    }

    /// The group of that process.
    #[must_use]
    pub fn gid(&self) -> Option<u32> {
        self.credentials.as_ref().map(UCred::gid)
    }

    /// The id of that process, where the system tells it.
    #[must_use]
    pub fn pid(&self) -> Option<i32> {
        self.credentials.as_ref().and_then(UCred::pid)
    }

    /// The path that the peer's socket is bound to; usually none.
    #[must_use]
    pub fn path(&self) -> Option<&std::path::Path> {
        self.address.as_pathname()
    }
}

#[cfg(unix)]
impl std::fmt::Debug for UnixPeer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UnixPeer")
            .field("uid", &self.uid())
            .field("gid", &self.gid())
            .field("pid", &self.pid())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let networks: Networks = "127.0.0.1,10.0.0.0/8, 2001:db8::/33".parse().unwrap();
        for (address, inside) in [
            ("127.0.0.1", true),
            ("::ffff:127.0.0.1", true),
            ("127.0.0.2", false),
            ("10.255.0.1", true),
            ("11.0.0.0", false),
            ("2001:db8:7fff::1", true),
            ("2001:db8:8000::1", false),
            ("::", false),
        ] {
            assert_eq!(
                networks.contains(address.parse().unwrap()),
                inside,
                "{address}"
            );
        }
        let all: Networks = "0.0.0.0/0".parse().unwrap();
        assert!(all.contains([255, 255, 255, 255].into()));
        assert!(!all.contains("::1".parse().unwrap()));
        assert!(Networks::loopback().contains("::1".parse().unwrap()));
        assert!(Networks::loopback().contains([127, 9, 9, 9].into()));
    }

    #[test]
    fn what_is_no_range() {
        for text in [
            "",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "localhost",
            "10.0.0/8",
            "1.2.3.4,",
            "::ffff:10.0.0.1",
        ] {
            assert!(text.parse::<Networks>().is_err(), "{text}");
        }
    }
}
