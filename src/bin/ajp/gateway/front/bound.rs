//! Sockets that listen: how they are made, and the clients that connect to them.

use super::transport::{Breakable, Socket};
use socket2::{Domain, SockAddr, Socket as Unbound, Type};
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};

/// How many connections may wait to be accepted: as many as the system lets.
const BACKLOG: i32 = -1;

/// Where a listener is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum ListenAddress {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Who may connect to a Unix socket: its permissions, as of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SocketMode(pub(crate) u32);

impl Default for SocketMode {
    /// Everybody who gets to its directory, as nginx has it: the web server in front is seldom
    /// the same user.
    fn default() -> Self {
        Self(0o666)
    }
}

impl SocketMode {
    /// Gives it to the socket at this path.
    pub(crate) fn set(self, path: &Path) -> io::Result<()> {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(self.0))
    }
}

/// How a socket is made.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SocketOptions {
    /// Whether one for all addresses of IPv6 takes no clients of IPv4. Otherwise it does as the
    /// system has it, which is that it takes them.
    pub(crate) only_v6: bool,
    pub(crate) mode: SocketMode,
}

/// A socket that listens.
#[derive(Debug)]
pub(crate) enum Bound {
    Tcp(TcpListener),
    Unix {
        listener: UnixListener,
        path: PathBuf,
        /// It was made here, and is removed in the end.
        is_own: bool,
    },
}

impl Bound {
    /// Listens at this address. A Unix socket that an ended process has left is replaced.
    ///
    /// # Errors
    /// Where it cannot listen, and why.
    pub(crate) async fn at(
        address: &ListenAddress,
        options: SocketOptions,
    ) -> Result<Self, String> {
        let failed = |error: io::Error| format!("cannot listen on {address}: {error}");
        match address {
            ListenAddress::Tcp(ip) => {
                let listener = if options.only_v6 {
                    only_v6(*ip)
                } else {
                    let bound = TcpListener::bind(ip).await;
                    // The runtime lets 128 wait, fewer than come at a time after a pause.
                    bound.and_then(|listener| {
                        socket2::SockRef::from(&listener).listen(BACKLOG)?;
                        Ok(listener)
                    })
                };
                Ok(Self::Tcp(listener.map_err(failed)?))
            }
            ListenAddress::Unix(path) => {
                remove_abandoned(path).map_err(failed)?;
                let listener = unix(path, options.mode).map_err(failed)?;
                Ok(Self::Unix {
                    listener,
                    path: path.clone(),
                    is_own: true,
                })
            }
        }
    }

    /// Whether it could listen at this address if nobody else did, without doing so: an address that
    /// is in use may be that of the gateway that runs.
    ///
    /// # Errors
    /// Why it could not.
    pub(crate) fn could_be(address: &ListenAddress) -> Result<(), String> {
        let possible = match address {
            // Another port of the address: this one may be in use, or be for a privileged user.
            ListenAddress::Tcp(ip) => std::net::TcpListener::bind((ip.ip(), 0)).map(drop),
            ListenAddress::Unix(path) => could_be_socket(path),
        };
        possible.map_err(|error| format!("cannot listen on {address}: {error}"))
    }

    /// A socket that somebody else has opened.
    pub(crate) fn from_tcp(listener: std::net::TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener).map(Self::Tcp)
    }

    /// As [`from_tcp`](Self::from_tcp), at this path.
    pub(crate) fn from_unix(
        listener: std::os::unix::net::UnixListener,
        path: PathBuf,
    ) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let listener = UnixListener::from_std(listener)?;
        Ok(Self::Unix {
            listener,
            path,
            is_own: false,
        })
    }

    /// Where it listens; a port that was left to the system is known now.
    pub(crate) fn address(&self) -> io::Result<ListenAddress> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(ListenAddress::Tcp),
            Self::Unix { path, .. } => Ok(ListenAddress::Unix(path.clone())),
        }
    }
}

/// Where connections come from.
pub(crate) trait Accept: Send + Sync {
    type Io: AsyncRead + AsyncWrite + Breakable + Unpin + Send + 'static;

    /// The next client: its socket and both ends, the own one if it is known.
    fn accept(&self) -> impl Future<Output = io::Result<Accepted<Self::Io>>> + Send;

    /// Nobody can connect from here on.
    fn close(self);
}

/// A client that has connected.
type Accepted<S> = (S, SocketAddr, Option<SocketAddr>);

impl Accept for Bound {
    type Io = Socket;

    /// Clients of a Unix socket are on this machine and count as 127.0.0.1.
    async fn accept(&self) -> io::Result<Accepted<Socket>> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                // Fails only on a connection that is already gone; the first read tells.
                let _ = stream.set_nodelay(true);
                let local = stream.local_addr().ok();
                Ok((Socket::Tcp(stream), peer, local))
            }
            Self::Unix { listener, .. } => {
                let (stream, _) = listener.accept().await?;
                let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
                Ok((Socket::Unix(stream), here, None))
            }
        }
    }

    fn close(self) {
        if let Self::Unix {
            path, is_own: true, ..
        } = &self
        {
            // Somebody may have put a file in its place.
            if let Ok(true) = has_socket(path) {
                let _ = std::fs::remove_file(path);
            }
        }
    }
}

/// Listens for clients of IPv6 alone.
fn only_v6(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Unbound::new(Domain::IPV6, Type::STREAM, Some(socket2::Protocol::TCP))?;
    // As the standard library does it: old connections of the port do not matter.
    socket.set_reuse_address(true)?;
    socket.set_only_v6(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Listens at this path. Nobody can connect before the mode is what it is to be: that of a new
/// file is the process's, whatever it is.
fn unix(path: &Path, mode: SocketMode) -> io::Result<UnixListener> {
    let socket = Unbound::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let is_open = mode.set(path).and_then(|()| socket.listen(BACKLOG));
    is_open.inspect_err(|_| {
        let _ = std::fs::remove_file(path);
    })?;
    UnixListener::from_std(socket.into())
}

/// Whether there is, or could be, a socket at this path.
fn could_be_socket(path: &Path) -> io::Result<()> {
    SockAddr::unix(path)?;
    has_socket(path)?;
    let directory = path.parent().unwrap_or(path).metadata()?;
    if directory.is_dir() {
        Ok(())
    } else {
        Err(io::ErrorKind::NotADirectory.into())
    }
}

/// Removes a socket that an ended process has left. What is no socket is somebody's file, at a path
/// that was mistyped: connecting to it is refused in the same way, and it stays where it is.
fn remove_abandoned(path: &Path) -> io::Result<()> {
    if !has_socket(path)? {
        return Ok(());
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path)
        }
        _ => Ok(()),
    }
}

/// Whether there is a socket at this path; `false` if there is nothing.
///
/// # Errors
/// There is something else.
fn has_socket(path: &Path) -> io::Result<bool> {
    match path.symlink_metadata() {
        Ok(found) if found.file_type().is_socket() => Ok(true),
        Ok(_) => Err(io::Error::other("what is there is no socket, and stays")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
