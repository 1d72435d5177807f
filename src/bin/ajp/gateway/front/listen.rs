//! Listeners: they accept connections, find out what comes over them, and have them served.

use super::bound::Accept;
use super::connection::{self, Listener, Protocol, State};
use super::failures;
use super::limits::{Connections, CountedConnection, Crowded, Limits};
use super::proxied::{self, Proxied};
use super::service::HttpService;
use super::tls;
use super::transport::{Breakable, Rewound, Transport};
use ajp::mapping::TlsFacts;
use ajp::server::Networks;
use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use http::HeaderValue;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

/// Stands for the address of a client that nobody knows.
const NOBODY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
/// How long connections are accepted after the signal to stop: who has connected before it may have
/// sent a request, and would be told by a reset that nobody is there.
const LAST_ACCEPTS: Duration = Duration::from_millis(20);
/// How many are accepted at the end of that time, which is as many as wait on most systems.
const MOST_LAST_ACCEPTS: usize = 4096;
/// How long a connection of which no request is known may bring one after the signal to stop.
const LAST_CALL: Duration = Duration::from_secs(1);
/// How long running requests may take after the signal to stop.
const DRAIN_LIMIT: Duration = Duration::from_secs(30);
/// How long it may take to break off what is running then.
const BREAK_OFF_LIMIT: Duration = Duration::from_secs(5);
/// How long a client may take to read that there is no room for it.
const CROWDED_LIMIT: Duration = Duration::from_secs(1);
/// So much of a TLS handshake is read at once: the whole hello of most clients.
const FIRST_READ: usize = 2048;
/// The first bytes of HTTP/2 (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// For clients of plain listeners when there is no room.
const CROWDED: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\n\
    Content-Length: 29\r\nRetry-After: 10\r\nConnection: close\r\n\r\n503 too many connections now\n";

/// For clients that speak plain HTTP to a listener of TLS.
const SPEAKS_TLS: &str = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n\
    Content-Length: 47\r\nConnection: close\r\n\r\n400 this port speaks TLS: ask it with https://\n";
/// The first byte of TLS (RFC 8446, section 5.1), and of a hello of SSL 2 in its place.
const TLS_HANDSHAKE: u8 = 22;
const OLD_HELLO: u8 = 0x80;

/// What a listener does with its connections. It may be exchanged while it listens.
#[derive(Clone, Default)]
pub(crate) struct Options {
    pub(crate) tls: Option<TlsAcceptor>,
    /// Whether the PROXY protocol comes first.
    pub(crate) proxy_protocol: bool,
    /// Whose word about clients is taken, and whose connections are not counted as one
    /// client's.
    pub(crate) trusted: Vec<Networks>,
    pub(crate) limits: Limits,
    /// Requests are sent to the same address of this port with `https`.
    pub(crate) redirect: Option<u16>,
    /// Said with every answer over TLS.
    pub(crate) hsts: Option<HeaderValue>,
    /// What clients are let in by and believed by, as text to be compared: connections that
    /// were let in by other terms end with their next answer.
    pub(crate) terms: Arc<str>,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("tls", &self.tls.is_some())
            .field("proxy_protocol", &self.proxy_protocol)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// The two ends of a connection, and what they have agreed on.
#[derive(Debug, Clone)]
pub(crate) struct Ends {
    pub(crate) peer: SocketAddr,
    pub(crate) local: Option<SocketAddr>,
    pub(crate) tls: Option<Arc<TlsFacts>>,
    pub(crate) state: Arc<State>,
    pub(crate) options: Arc<Options>,
}

/// What happened at all listeners.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) connections: Arc<Connections>,
    pub(crate) accepted: AtomicU64,
    pub(crate) crowded: AtomicU64,
    pub(crate) handshakes: AtomicU64,
    pub(crate) failed_handshakes: AtomicU64,
    /// Connections that began with no PROXY protocol that is taken.
    pub(crate) unproxied: AtomicU64,
    pub(crate) refused: Refusals,
}

/// What came over connections and was no request, counted.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    /// By the version of HTTP and the status that it was answered with.
    requests: Mutex<BTreeMap<(&'static str, u16), u64>>,
    /// Connections of HTTP/2 that ended with an error, by its name.
    connections: Mutex<BTreeMap<&'static str, u64>>,
}

impl Refusals {
    /// Counts one.
    pub(crate) fn count(&self, refused: &Refused) {
        increase(&self.requests, (refused.http, refused.status));
    }

    /// Their numbers by version and status.
    pub(crate) fn requests(&self) -> Vec<((&'static str, u16), u64)> {
        all(&self.requests)
    }

    /// The numbers of HTTP/2 connections by the error that they ended with.
    pub(crate) fn connections(&self) -> Vec<(&'static str, u64)> {
        all(&self.connections)
    }
}

fn increase<K: Ord>(counts: &Mutex<BTreeMap<K, u64>>, key: K) {
    let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
    let count = counts.entry(key).or_default();
    *count = count.saturating_add(1);
}

fn all<K: Copy>(counts: &Mutex<BTreeMap<K, u64>>) -> Vec<(K, u64)> {
    let counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
    counts.iter().map(|(key, count)| (*key, *count)).collect()
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// What came over a connection and was no request, as it is noted.
#[derive(Debug)]
pub(crate) struct Refused {
    /// The line that it began with.
    pub(crate) line: String,
    /// What it was answered with, if it was answered.
    pub(crate) status: u16,
    pub(crate) why: String,
    /// The version of HTTP that it came with.
    pub(crate) http: &'static str,
}

impl Refused {
    /// A request of HTTP/2. Its head cannot be shown: it is compressed.
    pub(crate) fn of_http2(status: u16, why: String) -> Self {
        Self {
            line: String::new(),
            status,
            why,
            http: "2",
        }
    }
}

/// Accepts connections until `stopping` turns true, then drains them. Each is served by
/// what `service` gives for it; what is no request `refused` is told.
pub(crate) async fn serve<A, F, R, S>(
    bound: A,
    options: watch::Receiver<Arc<Options>>,
    traffic: Arc<Traffic>,
    mut stopping: watch::Receiver<bool>,
    service: F,
    refused: R,
) where
    A: Accept,
    F: Fn(Ends) -> S + Send + Sync + 'static,
    R: Fn(IpAddr, Refused) + Send + Sync + 'static,
    S: HttpService,
{
    let service = Arc::new((service, refused));
    let (running, mut ended) = mpsc::channel::<()>(1);
    let listener = Listener::new(stopping.clone(), running);
    let mut connections = JoinSet::new();
    let mut last = pin!(async {
        // Without a sender it stops, too.
        let _ = stopping.wait_for(|stop| *stop).await;
        sleep(LAST_ACCEPTS).await;
    });
    let mut is_last = false;
    let mut left = MOST_LAST_ACCEPTS;
    loop {
        let accepted = if is_last {
            // Those that have connected up to this moment, also where they are more than a task may
            // take at a time.
            left = left.saturating_sub(1);
            match tokio::task::unconstrained(bound.accept()).now_or_never() {
                Some(Ok(accepted)) if left > 0 => Ok(accepted),
                // One that has gone again.
                Some(Err(_)) if left > 0 => continue,
                _ => break,
            }
        } else {
            tokio::select! {
                accepted = bound.accept() => accepted,
                // A panic has been reported.
                Some(_) = connections.join_next() => continue,
                () = last.as_mut() => {
                    is_last = true;
                    continue;
                }
            }
        };
        let (socket, peer, local) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                failures::tell_ours(&format!("cannot accept a connection: {error}"));
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        count(&traffic.accepted);
        let arrival = Arrival {
            socket,
            peer,
            local,
            options: Arc::clone(&options.borrow()),
            changes: options.clone(),
            traffic: Arc::clone(&traffic),
        };
        let (service, listener) = (Arc::clone(&service), listener.clone());
        connections.spawn(async move {
            let state = Arc::new(State::new(listener));
            serve_one(arrival, &service.0, &service.1, state).await;
        });
    }
    bound.close();
    let is_over = Arc::clone(&listener.is_over);
    drop(listener);
    if timeout(DRAIN_LIMIT, ended.recv()).await.is_err() {
        tracing::warn!("some requests did not end within {DRAIN_LIMIT:?} and are broken off");
        is_over.store(true, Ordering::Release);
        connections.shutdown().await;
        // Requests of HTTP/2 end soon after their connection.
        let _ = timeout(BREAK_OFF_LIMIT, ended.recv()).await;
    }
}

/// A connection that nothing is known of yet.
struct Arrival<Io> {
    socket: Io,
    peer: SocketAddr,
    local: Option<SocketAddr>,
    options: Arc<Options>,
    /// What the options become later.
    changes: watch::Receiver<Arc<Options>>,
    traffic: Arc<Traffic>,
}

/// A connection that HTTP is spoken over.
struct Opened<Io> {
    transport: Transport<Io>,
    protocol: Protocol,
    tls: Option<Arc<TlsFacts>>,
    peer: SocketAddr,
    local: Option<SocketAddr>,
    _counted: CountedConnection,
}

async fn serve_one<Io, F, R, S>(arrival: Arrival<Io>, service: &F, refused: &R, state: Arc<State>)
where
    Io: AsyncRead + AsyncWrite + Breakable + Unpin + Send + 'static,
    F: Fn(Ends) -> S,
    R: Fn(IpAddr, Refused),
    S: HttpService,
{
    let (options, traffic) = (Arc::clone(&arrival.options), Arc::clone(&arrival.traffic));
    let peer = arrival.peer;
    let mut changes = arrival.changes.clone();
    let terms = Arc::clone(&options.terms);
    let stop = async {
        let other_terms = changes.wait_for(|options| options.terms != terms);
        tokio::select! {
            () = state.stopped() => {}
            Ok(_) = other_terms => {}
        }
    };
    // It may have sent a request before it can know that the gateway stops.
    let last_call = async {
        state.stopped().await;
        sleep(LAST_CALL).await;
    };
    // On the heap: the task would have room for it, and for a TLS handshake, to its end.
    let opening = Box::pin(open(arrival));
    let opened = tokio::select! {
        opened = timeout(options.limits.head_timeout, opening) => opened,
        () = last_call => return,
    };
    let opened = match opened {
        Ok(Ok(opened)) => opened,
        Ok(Err(NotOpened::Crowded(why))) => {
            let what = Refused {
                line: String::new(),
                status: 503,
                why: why.to_owned(),
                http: "1",
            };
            return refused(peer.ip(), what);
        }
        Ok(Err(NotOpened::Unproxied(error))) => {
            count(&traffic.unproxied);
            failures::tell_client(peer.ip(), &format!("no PROXY protocol: {error}"));
            return;
        }
        Ok(Err(NotOpened::NoTls(line))) => {
            let what = Refused {
                line,
                status: 400,
                why: "plain HTTP on a listener that speaks TLS".to_owned(),
                http: "1",
            };
            return refused(peer.ip(), what);
        }
        Ok(Err(NotOpened::Failed(error))) => {
            tracing::debug!("{}: {error}", peer.ip());
            return;
        }
        // It has said nothing.
        Err(_) => return,
    };
    let ends = Ends {
        peer: opened.peer,
        local: opened.local,
        tls: opened.tls,
        state: Arc::clone(&state),
        options: Arc::clone(&options),
    };
    let client = opened.peer.ip();
    let service = service(ends);
    let served = connection::serve(
        opened.transport,
        opened.protocol,
        Arc::clone(&state),
        &options.limits,
        service,
        stop,
        |what| refused(client, what),
    );
    let ended = served.await;
    if let Some(name) = ended.goodbye {
        increase(&traffic.refused.connections, name);
        let error = ended.result.as_ref().err();
        let why = error.map_or_else(String::new, |error| super::answer::chain(error));
        failures::tell_client(client, &format!("its connection ends with {name}: {why}"));
    }
    let no_request = match &ended.result {
        // hyper takes it for the client's end.
        _ if state.is_head_late() => late_head(state.take_line()),
        Ok(()) => None,
        Err(error) => no_request(error, state.take_line()),
    };
    if let Some(what) = no_request {
        refused(client, what);
    } else if let Err(error) = ended.result {
        let text = super::answer::chain(&error);
        tracing::debug!("{client}: the connection broke: {text}");
    }
    if let Some(tunnel) = state.take_tunnel() {
        // A panic has been reported.
        let _ = tunnel.await;
    }
}

/// A head that has begun and did not come in time. Nothing is answered: the client may send the rest at
/// any moment.
fn late_head(line: Option<String>) -> Option<Refused> {
    let why = "the head of the request did not come in time".to_owned();
    let line = line?;
    Some(Refused {
        line,
        status: 408,
        why,
        http: "1",
    })
}

/// What hyper did not take for a request, and has answered or closed. `line` is what there is of
/// it; an idle connection that ends is no request.
fn no_request(error: &hyper::Error, line: Option<String>) -> Option<Refused> {
    let why = super::answer::chain(error);
    let status = if error.is_parse_too_large() {
        let is_target = why.contains("URI too long");
        if is_target { 414 } else { 431 }
    } else if error.is_parse() || (error.is_incomplete_message() && line.is_some()) {
        400
    } else {
        return None;
    };
    Some(Refused {
        line: line.unwrap_or_default(),
        status,
        why,
        http: "1",
    })
}

/// Why a connection is not one that HTTP is spoken over.
enum NotOpened {
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
async fn open<Io>(arrival: Arrival<Io>) -> Result<Opened<Io>, NotOpened>
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

#[cfg(test)]
mod tests {
    use super::super::bound::{Bound, ListenAddress, SocketOptions};
    use super::*;
    use http::Response;
    use http_body_util::Empty;
    use hyper::service::service_fn;
    use tokio::net::TcpStream;

    /// Told when it is dropped.
    struct Told(Arc<AtomicU64>);

    impl Drop for Told {
        fn drop(&mut self) {
            count(&self.0);
        }
    }

    #[tokio::test]
    async fn what_outlives_the_drain_is_broken_off() {
        let anywhere = ListenAddress::Tcp(([127, 0, 0, 1], 0).into());
        let bound = Bound::at(&anywhere, SocketOptions::default())
            .await
            .unwrap();
        let Bound::Tcp(listener) = &bound else {
            unreachable!()
        };
        let address = listener.local_addr().unwrap();
        let (began, dropped) = (Arc::new(tokio::sync::Notify::new()), Arc::default());
        let (stop, stopping) = watch::channel(false);
        let (_options, options) = watch::channel(Arc::default());
        let service = {
            let (began, dropped) = (Arc::clone(&began), Arc::clone(&dropped));
            move |_| {
                let (began, dropped) = (Arc::clone(&began), Arc::clone(&dropped));
                service_fn(move |_| {
                    let told = Told(Arc::clone(&dropped));
                    began.notify_one();
                    async move {
                        let _told = told;
                        std::future::pending::<()>().await;
                        Ok::<_, io::Error>(Response::new(Empty::<Bytes>::new()))
                    }
                })
            }
        };
        let served = serve(bound, options, Arc::default(), stopping, service, |_, _| {});
        let served = tokio::spawn(served);
        let mut client = TcpStream::connect(address).await.unwrap();
        let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        client.write_all(request).await.unwrap();
        began.notified().await;
        tokio::time::pause();
        stop.send_replace(true);
        served.await.unwrap();
        assert_eq!(dropped.load(Ordering::Relaxed), 1);
    }
}
