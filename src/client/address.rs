//! Where a container listens.

use super::tcp;
use super::tcp_options::TcpOptions;
use super::transport::{Connect, Connecting};
use std::borrow::Cow;
use std::fmt;
use std::io;
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};
use std::path::PathBuf;
use std::str::FromStr;
use tokio::net::{TcpSocket, lookup_host};

/// The address of a container: `ajp://host:port` or `unix:/path`. A missing port is 8009,
/// a missing scheme is `ajp`.
///
/// Host names are looked up again for every new connection, and all their addresses are
/// tried: see [`Lookup`](super::Lookup). An IPv6 address may have a scope:
/// `ajp://[fe80::1%eth0]:8009`.
///
/// ```
/// use ajp::client::Address;
/// let address: Address = "ajp://tomcat.example".parse()?;
/// assert_eq!(address.to_string(), "ajp://tomcat.example:8009");
/// assert_eq!("[::1]:8010".parse::<Address>()?.to_string(), "ajp://[::1]:8010");
/// assert!("http://tomcat.example".parse::<Address>().is_err());
/// # Ok::<(), ajp::client::InvalidAddress>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address(Kind);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Kind {
    Tcp {
        host: Box<str>,
        port: u16,
        options: TcpOptions,
    },
    Unix(PathBuf),
}

impl Address {
    /// A host name or IP address (without brackets) and a port.
    pub fn tcp(host: impl Into<String>, port: u16) -> Self {
        Self(Kind::Tcp {
            host: host.into().into(),
            port,
            options: TcpOptions::new(),
        })
    }

    /// Options of TCP connections; a Unix domain socket has none. Default
    /// [`TcpOptions::new`].
    #[must_use]
    pub fn with_tcp(mut self, tcp: TcpOptions) -> Self {
        if let Kind::Tcp { options, .. } = &mut self.0 {
            *options = tcp;
        }
        self
    }

    /// A Unix domain socket.
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        Self(Kind::Unix(path.into()))
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        let host = match address {
            SocketAddr::V6(v6) if v6.scope_id() != 0 => format!("{}%{}", v6.ip(), v6.scope_id()),
            _ => address.ip().to_string(),
        };
        Self::tcp(host, address.port())
    }
}

impl TryFrom<&str> for Address {
    type Error = InvalidAddress;

    fn try_from(text: &str) -> Result<Self, InvalidAddress> {
        text.parse()
    }
}

impl TryFrom<String> for Address {
    type Error = InvalidAddress;

    fn try_from(text: String) -> Result<Self, InvalidAddress> {
        text.parse()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Tcp { host, port, .. } if host.contains(':') => {
                write!(f, "ajp://[{host}]:{port}")
            }
            Kind::Tcp { host, port, .. } => write!(f, "ajp://{host}:{port}"),
            Kind::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let invalid = |why| InvalidAddress {
            text: without_secrets(text).into(),
            why,
        };
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() {
                Err(invalid("has no path"))
            } else {
                Ok(Self::unix(path))
            };
        }
        let rest = match text.split_once("://") {
            Some(("ajp", rest)) => rest.strip_suffix('/').unwrap_or(rest),
            Some(_) => return Err(invalid("must begin with ajp:// or unix:")),
            None => text,
        };
        let (host, port) = if let Some(rest) = rest.strip_prefix('[') {
            let (host, rest) = rest
                .split_once(']')
                .ok_or_else(|| invalid("has no closing bracket"))?;
            let (ip, scope) = host.split_once('%').unwrap_or((host, "0"));
            if ip.parse::<Ipv6Addr>().is_err() || scope.is_empty() {
                return Err(invalid("has no IPv6 address in its brackets"));
            }
            let port = rest
                .strip_prefix(':')
                .or_else(|| rest.is_empty().then_some("8009"));
            (
                host,
                port.ok_or_else(|| invalid("has text after the bracket"))?,
            )
        } else {
            rest.rsplit_once(':').unwrap_or((rest, "8009"))
        };
        if host.is_empty() {
            return Err(invalid("has no host"));
        }
        if host.contains(['/', '@', '?', '#', ' '])
            || (host.contains(':') && !rest.starts_with('['))
        {
            return Err(invalid("has a host that is no host name and no IP address"));
        }
        let port = port
            .parse()
            .map_err(|_| invalid("has a port that is no number from 0 to 65535"))?;
        Ok(Self::tcp(host, port))
    }
}

/// Without what may hold a secret: user information and a query, which other programs put
/// into an address.
fn without_secrets(text: &str) -> Cow<'_, str> {
    let mut text = Cow::Borrowed(text);
    if let Some((before, _)) = text.split_once('?') {
        text = format!("{before}?[redacted]").into();
    }
    if let Some((before, host)) = text.rsplit_once('@') {
        let scheme = before.find("://").map(|at| at + 3);
        let scheme = before.get(..scheme.unwrap_or(0)).unwrap_or_default();
        text = format!("{scheme}[redacted]@{host}").into();
    }
    text
}

/// Why a text is not an [`Address`]. Does not contain user information or a query.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the AJP address \"{text}\" {why}")]
pub struct InvalidAddress {
    text: Box<str>,
    why: &'static str,
}

impl Connect for Address {
    fn connect(&self) -> Connecting<'_> {
        Box::pin(async move {
            match &self.0 {
                Kind::Tcp {
                    host,
                    port,
                    options,
                } => tcp::connect(resolve(host, *port).await?, *options).await,
                #[cfg(unix)]
                Kind::Unix(path) => {
                    let stream = tokio::net::UnixStream::connect(path).await?;
                    Ok(super::transport::Transport::new(stream))
                }
                #[cfg(not(unix))]
                Kind::Unix(_) => Err(std::io::ErrorKind::Unsupported.into()),
            }
        })
    }

    fn describe(&self) -> String {
        self.to_string()
    }
}

/// The addresses of a host.
async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    // One with a numeric scope needs no resolver, and not every resolver takes it.
    if let Ok(address) = format!("[{host}]:{port}").parse::<SocketAddrV6>() {
        return Ok(vec![address.into()]);
    }
    match lookup_host((host, port)).await {
        Ok(addresses) => Ok(addresses.collect()),
        // A resolver that gets no socket of its own says something else.
        Err(error) => Err(TcpSocket::new_v4().err().unwrap_or(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_round_trip() {
        for (text, shown) in [
            ("ajp://127.0.0.1:8009", "ajp://127.0.0.1:8009"),
            ("tomcat", "ajp://tomcat:8009"),
            ("ajp://tomcat:1/", "ajp://tomcat:1"),
            ("ajp://[::1]", "ajp://[::1]:8009"),
            ("ajp://[fe80::1%eth0]:1", "ajp://[fe80::1%eth0]:1"),
            ("unix:/run/tomcat.sock", "unix:/run/tomcat.sock"),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), shown);
            assert_eq!(shown.parse::<Address>().unwrap(), address);
        }
    }

    #[test]
    fn a_scope_is_part_of_an_address() {
        let link_local = SocketAddrV6::new("fe80::1".parse().unwrap(), 8009, 0, 2);
        let address = Address::from(SocketAddr::from(link_local));
        assert_eq!(address.to_string(), "ajp://[fe80::1%2]:8009");
        assert_eq!(address.to_string().parse::<Address>().unwrap(), address);
    }

    #[test]
    fn wrong_texts_keep_secrets() {
        for (text, shown) in [
            ("ajp://bob:pass@tomcat:8009", "ajp://[redacted]@tomcat:8009"),
            ("bob:p@ss@tomcat", "[redacted]@tomcat"),
            (
                "ajp://tomcat:8009?secret=pass",
                "ajp://tomcat:8009?[redacted]",
            ),
            (
                "ajp://pass@tomcat?pass@x",
                "ajp://[redacted]@tomcat?[redacted]",
            ),
            ("http://bob:pass@tomcat", "http://[redacted]@tomcat"),
        ] {
            let error = text.parse::<Address>().unwrap_err();
            assert!(
                error.to_string().contains(&format!("\"{shown}\"")),
                "{error}"
            );
            let debug = format!("{error:?}");
            assert!(
                !debug.contains("pass") && !debug.contains("p@ss"),
                "{debug}"
            );
        }
    }

    #[test]
    fn wrong_texts_say_why() {
        for text in [
            "",
            "ajp://",
            "http://a",
            "a:b",
            "a:70000",
            "::1",
            "[::1",
            "[::1]x",
            "[tomcat]",
            "[fe80::1%]",
            "unix:",
            "a/b",
            "ajp://a/b",
        ] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains(&format!("\"{text}\"")), "{error}");
        }
    }
}
