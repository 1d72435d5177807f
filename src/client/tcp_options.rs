//! Options of the TCP connections to a container.

use socket2::{SockRef, TcpKeepalive};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream};

/// Options of TCP connections: [`Address::with_tcp`](super::Address::with_tcp) and
/// [`Lookup::with_tcp`](super::Lookup::with_tcp) take them. `TCP_NODELAY` is always on.
///
/// ```
/// use ajp::client::{Address, TcpKeepAlive, TcpOptions};
/// use std::time::Duration;
/// let quiet = Duration::from_secs(60);
/// let tcp = TcpOptions::new()
///     .with_keep_alive(TcpKeepAlive::after(quiet).with_retries(3))
///     .with_source("192.0.2.10".parse::<std::net::IpAddr>()?);
/// let address = "ajp://tomcat.example".parse::<Address>()?.with_tcp(tcp);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct TcpOptions {
    keep_alive: Option<TcpKeepAlive>,
    source: Option<IpAddr>,
}

impl TcpOptions {
    /// No keep-alive, and whichever source address the kernel takes.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            keep_alive: None,
            source: None,
        }
    }

    /// Lets the kernel ask over connections that are quiet, so that firewalls keep them open and
    /// a peer that is gone is noticed (httpd's `keepalive`, `mod_jk`'s `socket_keepalive`). This
    /// is TCP's keep-alive and has nothing to do with the container's `keepAliveTimeout`.
    /// Default off.
    #[must_use]
    pub fn with_keep_alive(mut self, keep_alive: impl Into<Option<TcpKeepAlive>>) -> Self {
        self.keep_alive = keep_alive.into();
        self
    }

    /// The address of this machine that connections come from (`mod_jk`'s `source`). A
    /// container's addresses of the other IP version are left out. There are no more
    /// connections at a time than the machine has local ports for this address. Default: what
    /// the kernel takes.
    ///
    /// One that is not this machine's is
    /// [`ErrorKind::LocalResources`](super::ErrorKind::LocalResources).
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Option<IpAddr>>) -> Self {
        self.source = source.into();
        self
    }

    /// See [`with_keep_alive`](Self::with_keep_alive).
    #[must_use]
    pub fn keep_alive(&self) -> Option<TcpKeepAlive> {
        self.keep_alive
    }

    /// See [`with_source`](Self::with_source).
    #[must_use]
    pub fn source(&self) -> Option<IpAddr> {
        self.source
    }

    /// Whether this address can be reached from the source address.
    pub(super) fn reaches(&self, address: SocketAddr) -> bool {
        self.source
            .is_none_or(|source| source.is_ipv4() == address.is_ipv4())
    }

    /// One connection to one address.
    pub(super) async fn connect_to(self, address: SocketAddr) -> io::Result<TcpStream> {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        socket.set_nodelay(true)?;
        if let Some(keep_alive) = self.keep_alive {
            SockRef::from(&socket).set_tcp_keepalive(&keep_alive.parameters())?;
        }
        if let Some(source) = self.source {
            socket.bind(SocketAddr::new(source, 0))?;
        }
        socket.connect(address).await
    }
}

/// The bounds of Linux (`MAX_TCP_KEEPIDLE`, `MAX_TCP_KEEPINTVL`, `MAX_TCP_KEEPCNT`).
const LEAST: Duration = Duration::from_secs(1);
const MOST: Duration = Duration::from_secs(32_767);
const MOST_RETRIES: u32 = 127;

/// When the kernel asks over a quiet TCP connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TcpKeepAlive {
    idle: Duration,
    interval: Option<Duration>,
    retries: Option<u32>,
}

impl TcpKeepAlive {
    /// After so long without a byte; whole seconds, from 1 to 32767, which is all that Linux
    /// takes: less or more is the least or most.
    #[must_use]
    pub const fn after(idle: Duration) -> Self {
        Self {
            idle,
            interval: None,
            retries: None,
        }
    }

    /// From one question to the next, while there is no answer; whole seconds, from 1 to 32767
    /// as with [`after`](Self::after).
    /// Default: what the kernel is set to, as also on systems that cannot set it.
    #[must_use]
    pub fn with_interval(mut self, interval: impl Into<Option<Duration>>) -> Self {
        self.interval = interval.into();
        self
    }

    /// After so many questions without an answer the connection has failed; from 1 to 127, as
    /// with [`after`](Self::after).
    /// Default: what the kernel is set to, as also on systems that cannot set it.
    #[must_use]
    pub fn with_retries(mut self, retries: impl Into<Option<u32>>) -> Self {
        self.retries = retries.into();
        self
    }

    /// See [`after`](Self::after).
    #[must_use]
    pub fn idle(&self) -> Duration {
        self.idle
    }

    /// See [`with_interval`](Self::with_interval).
    #[must_use]
    pub fn interval(&self) -> Option<Duration> {
        self.interval
    }

    /// See [`with_retries`](Self::with_retries).
    #[must_use]
    pub fn retries(&self) -> Option<u32> {
        self.retries
    }

    fn parameters(self) -> TcpKeepalive {
        // The kernel counts seconds, refuses what is outside, and the connection with it.
        let seconds = |time: Duration| time.clamp(LEAST, MOST);
        let parameters = TcpKeepalive::new().with_time(seconds(self.idle));
        #[cfg(any(
            target_os = "android",
            target_os = "freebsd",
            target_os = "ios",
            target_os = "linux",
            target_os = "macos",
            target_os = "netbsd",
            target_os = "windows",
        ))]
        let parameters = {
            let interval = self.interval.map(seconds);
            let parameters = match interval {
                Some(interval) => parameters.with_interval(interval),
                None => parameters,
            };
            match self.retries {
                Some(retries) => parameters.with_retries(retries.clamp(1, MOST_RETRIES)),
                None => parameters,
            }
        };
        parameters
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn the_kernel_has_the_options() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seconds = Duration::from_secs;
        let keep_alive = TcpKeepAlive::after(seconds(70))
            .with_interval(seconds(7))
            .with_retries(4);
        let tcp = TcpOptions::new()
            .with_keep_alive(keep_alive)
            .with_source(IpAddr::from([127, 0, 0, 2]));
        let ours = tcp.connect_to(address).await.unwrap();
        let (_, from) = listener.accept().await.unwrap();
        assert_eq!(from.ip(), IpAddr::from([127, 0, 0, 2]));
        let socket = SockRef::from(&ours);
        assert!(socket.keepalive().unwrap() && ours.nodelay().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), seconds(70));
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), seconds(7));
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), 4);

        let plain = TcpOptions::new().connect_to(address).await.unwrap();
        let socket = SockRef::from(&plain);
        assert!(!socket.keepalive().unwrap() && plain.nodelay().unwrap());
        let none = TcpKeepAlive::after(Duration::ZERO).with_retries(0);
        let tcp = TcpOptions::new().with_keep_alive(none);
        let ours = tcp.connect_to(address).await.unwrap();
        assert_eq!(
            SockRef::from(&ours).tcp_keepalive_time().unwrap(),
            seconds(1)
        );
        // What the kernel would refuse is no reason not to connect.
        let long = TcpKeepAlive::after(Duration::MAX)
            .with_interval(Duration::MAX)
            .with_retries(u32::MAX);
        let tcp = TcpOptions::new().with_keep_alive(long);
        let ours = tcp.connect_to(address).await.unwrap();
        let socket = SockRef::from(&ours);
        assert_eq!(socket.tcp_keepalive_time().unwrap(), MOST);
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), MOST);
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), MOST_RETRIES);
    }

    #[test]
    fn a_source_leaves_the_other_version_out() {
        let tcp = TcpOptions::new().with_source(IpAddr::from([192, 0, 2, 1]));
        assert!(tcp.reaches(([192, 0, 2, 2], 1).into()));
        assert!(!tcp.reaches(([0; 8], 1).into()));
        assert!(TcpOptions::new().reaches(([0; 8], 1).into()));
    }

    #[test]
    fn each_option_is_the_one_that_was_set() {
        let seconds = Duration::from_secs;
        let keep_alive = TcpKeepAlive::after(seconds(5))
            .with_interval(seconds(6))
            .with_retries(7);
        assert_eq!(keep_alive.idle(), seconds(5));
        assert_eq!(keep_alive.interval(), Some(seconds(6)));
        assert_eq!(keep_alive.retries(), Some(7));
        let source = IpAddr::from([127, 0, 0, 2]);
        let tcp = TcpOptions::new()
            .with_keep_alive(keep_alive)
            .with_source(source);
        assert_eq!(tcp.keep_alive(), Some(keep_alive));
        assert_eq!(tcp.source(), Some(source));
        let plain = keep_alive.with_interval(None).with_retries(None);
        assert_eq!((plain.interval(), plain.retries()), (None, None));
    }
}
