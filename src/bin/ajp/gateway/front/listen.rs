//! Listeners: they accept connections, find out what comes over them, and have them served.

mod open;
mod traffic;

pub(crate) use traffic::{Refused, Traffic};

use super::Breakable;
use super::bound::Accept;
use super::connection::{self, Listener, State};
use super::failures;
use super::limits::Limits;
use super::service::HttpService;
use ajp::mapping::TlsFacts;
use ajp::server::Networks;
use futures_util::FutureExt;
use http::HeaderValue;
use open::{Arrival, NotOpened, open};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use traffic::count;

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
        traffic.refused.count_connection(name);
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

#[cfg(test)]
mod tests {
    use super::super::bound::{Bound, ListenAddress, SocketOptions};
    use super::*;
    use bytes::Bytes;
    use http::Response;
    use http_body_util::Empty;
    use hyper::service::service_fn;
    use std::io;
    use std::sync::atomic::AtomicU64;
    use tokio::io::AsyncWriteExt;
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
