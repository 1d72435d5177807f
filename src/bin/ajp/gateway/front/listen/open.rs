//! What comes over a connection before HTTP: the PROXY protocol, TLS, and which HTTP it is.

use super::Options;
use super::traffic::{Traffic, count};
use crate::gateway::front::connection::Protocol;
use crate::gateway::front::limits::{CountedConnection, Crowded};
use crate::gateway::front::proxied::{self, Proxied};
use crate::gateway::front::tls;
use crate::gateway::front::transport::{Rewound, Transport};
use ajp::mapping::TlsFacts;
use bytes::{Bytes, BytesMut};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::timeout;

/// Stands for the address of a client that nobody knows.
const NOBODY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
/// So much of a TLS handshake is read at once: the whole hello of most clients.
const FIRST_READ: usize = 2048;
/// The first bytes of HTTP/2 (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The first byte of TLS (RFC 8446, section 5.1), and of a hello of SSL 2 in its place.
const TLS_HANDSHAKE: u8 = 22;
const OLD_HELLO: u8 = 0x80;

/// How long a client may take to read that there is no room for it.
const CROWDED_LIMIT: Duration = Duration::from_secs(1);
/// For clients of plain listeners when there is no room.
const CROWDED: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\n\
    Content-Length: 29\r\nRetry-After: 10\r\nConnection: close\r\n\r\n503 too many connections now\n";
/// For clients that speak plain HTTP to a listener of TLS.
const SPEAKS_TLS: &str = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n\
    Content-Length: 47\r\nConnection: close\r\n\r\n400 this port speaks TLS: ask it with https://\n";

/// A connection that nothing is known of yet.
pub(super) struct Arrival<Io> {
    pub(super) socket: Io,
    pub(super) peer: SocketAddr,
    pub(super) local: Option<SocketAddr>,
    pub(super) options: Arc<Options>,
    /// What the options become later.
    pub(super) changes: watch::Receiver<Arc<Options>>,
    pub(super) traffic: Arc<Traffic>,
}

/// A connection that HTTP is spoken over.
pub(super) struct Opened<Io> {
    pub(super) transport: Transport<Io>,
    pub(super) protocol: Protocol,
    pub(super) tls: Option<Arc<TlsFacts>>,
    pub(super) peer: SocketAddr,
    pub(super) local: Option<SocketAddr>,
    _counted: CountedConnection,
}

/// Why a connection is not one that HTTP is spoken over.
pub(super) enum NotOpened {
    /// There are too many.
    Crowded(&'static str),
    /// Who it comes from is not told as the listener is.
    Unproxied(io::Error),
    /// It speaks something else than TLS, which began with this line.
    NoTls(String),
    Failed(io::Error),
}

impl From<io::Error> for NotOpened {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

/// Finds out who is there, and brings the connection to where HTTP begins.
pub(super) async fn open<Io>(arrival: Arrival<Io>) -> Result<Opened<Io>, NotOpened>
where
    Io: AsyncRead + AsyncWrite + Unpin,
{
    let Arrival {
        mut socket,
        mut peer,
        mut local,
        options,
        traffic,
        ..
    } = arrival;
    let is_trusted = |address: IpAddr| {
        let mut networks = options.trusted.iter();
        networks.any(|network| network.contains(address))
    };
    let mut first = Bytes::new();
    if options.proxy_protocol {
        if !is_trusted(peer.ip()) {
            let text = "the PROXY protocol is taken from trusted_proxies only";
            let error = io::Error::new(io::ErrorKind::PermissionDenied, text);
            return Err(NotOpened::Unproxied(error));
        }
        let read = proxied::read(&mut socket).await;
        let (proxied, rest) = read.map_err(NotOpened::Unproxied)?;
        first = rest;
        match proxied {
            Proxied::Client {
                client,
                local: here,
            } => (peer, local) = (client, Some(here)),
            // Nobody's address, so that its words are not taken for the load balancer's.
            Proxied::Unknown => (peer, local) = (NOBODY, None),
            Proxied::Own => {}
        }
    }
    // Over a Unix socket comes another program, with whoever asks it: containers open to the
    // gateway's own machine what nobody else may see.
    if local.is_none() && !is_trusted(peer.ip()) {
        peer = NOBODY;
    }
    let address = peer.ip().to_canonical();
    let is_one_client = |address: &IpAddr| !is_trusted(*address) && !address.is_unspecified();
    let address = Some(address).filter(is_one_client);
    let counted = match traffic.connections.enter(address, &options.limits) {
        Ok(counted) => counted,
        Err(crowded) => {
            count(&traffic.crowded);
            if options.tls.is_none() {
                refuse(socket, CROWDED).await;
            }
            return Err(NotOpened::Crowded(match crowded {
                Crowded::All => "there are max_connections connections",
                Crowded::Address => "there are max_connections_per_address of this client",
            }));
        }
    };
    let Some(acceptor) = &options.tls else {
        let (first, protocol) = first_bytes(&mut socket, first).await?;
        return Ok(Opened {
            transport: Transport::Plain(Rewound::new(first, socket)),
            protocol,
            tls: None,
            peer,
            local,
            _counted: counted,
        });
    };
    if first.is_empty() {
        let mut buffer = BytesMut::with_capacity(FIRST_READ);
        socket.read_buf(&mut buffer).await?;
        first = buffer.freeze();
    }
    if first
        .first()
        .is_some_and(|byte| *byte != TLS_HANDSHAKE && *byte & OLD_HELLO == 0)
    {
        count(&traffic.failed_handshakes);
        let line = first.split(|b| *b == b'\n').next().unwrap_or_default();
        let line = String::from_utf8_lossy(line.trim_ascii()).into_owned();
        refuse(socket, SPEAKS_TLS).await;
        return Err(NotOpened::NoTls(line));
    }
    let stream = acceptor.accept(Rewound::new(first, socket)).await;
    let stream = stream.inspect_err(|_| count(&traffic.failed_handshakes))?;
    count(&traffic.handshakes);
    let (_, session) = stream.get_ref();
    let facts = Arc::new(tls::facts(session, &tls::id()));
    let protocol = match session.alpn_protocol() {
        Some(b"h2") => Protocol::Http2,
        _ => Protocol::Http1,
    };
    Ok(Opened {
        transport: Transport::Tls(Box::new(Rewound::new(Bytes::new(), stream))),
        protocol,
        tls: Some(facts),
        peer,
        local,
        _counted: counted,
    })
}

/// Reads as much as tells HTTP/2 with prior knowledge from HTTP/1.
async fn first_bytes<Io>(socket: &mut Io, first: Bytes) -> io::Result<(Bytes, Protocol)>
where
    Io: AsyncRead + Unpin,
{
    let mut buffer = BytesMut::from(first);
    loop {
        let known = buffer.len().min(PREFACE.len());
        if buffer.get(..known) != PREFACE.get(..known) {
            return Ok((buffer.freeze(), Protocol::Http1));
        }
        if known == PREFACE.len() {
            return Ok((buffer.freeze(), Protocol::Http2));
        }
        if socket.read_buf(&mut buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Answers with this and closes.
async fn refuse<Io: AsyncRead + AsyncWrite + Unpin>(mut socket: Io, answer: &str) {
    let told = async {
        socket.write_all(answer.as_bytes()).await?;
        socket.shutdown().await?;
        // What the client has sent is read, or the answer might be lost.
        socket.read(&mut [0; 4096]).await
    };
    let _ = timeout(CROWDED_LIMIT, told).await;
}
