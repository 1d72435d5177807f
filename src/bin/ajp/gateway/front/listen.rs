//! HTTP/1.1 connections of one listener.

use super::timer::KeptTimer;
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::GracefulShutdown;
use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// How long running requests may take after Ctrl-C.
const DRAIN_LIMIT: Duration = Duration::from_secs(30);

/// The two ends of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ends {
    pub(crate) peer: SocketAddr,
    pub(crate) local: Option<IpAddr>,
}

/// Accepts connections until `stopping` turns true, then drains them. Each is served by
/// what `service` gives for it.
pub(crate) async fn serve<S, B>(
    listener: TcpListener,
    mut stopping: watch::Receiver<bool>,
    service: impl Fn(Ends) -> S,
) where
    S: Service<Request<Incoming>, Response = Response<B>> + Send + 'static,
    S::Future: Send,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopping.wait_for(|stop| *stop) => break,
        };
        match accepted {
            Ok((stream, peer)) => connection(stream, peer, &service, &graceful),
            Err(error) => {
                eprintln!("gateway: accept: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    if tokio::time::timeout(DRAIN_LIMIT, graceful.shutdown())
        .await
        .is_err()
    {
        eprintln!("gateway: some requests did not end within {DRAIN_LIMIT:?}");
    }
}

fn connection<S, B>(
    stream: TcpStream,
    peer: SocketAddr,
    service: impl Fn(Ends) -> S,
    graceful: &GracefulShutdown,
) where
    S: Service<Request<Incoming>, Response = Response<B>> + Send + 'static,
    S::Future: Send,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    // Fails only on a connection that is already gone; the first read tells.
    let _ = stream.set_nodelay(true);
    let local = stream.local_addr().ok().map(|address| address.ip());
    let connection = http1::Builder::new()
        .timer(KeptTimer::default())
        .header_read_timeout(Duration::from_secs(30))
        .serve_connection(TokioIo::new(stream), service(Ends { peer, local }));
    let connection = graceful.watch(connection);
    tokio::spawn(async move {
        // What the HTTP client did wrong hyper has answered; what it broke off is its own affair.
        let _ = connection.await;
    });
}
