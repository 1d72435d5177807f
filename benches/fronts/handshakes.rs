//! A client that makes a TLS connection for each request. wrk can do so too, but takes up the
//! session of the connection before wherever the server lets it, and does not tell.

use crate::peers::Peer;
use crate::peers::wrk::Report;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, HandshakeKind, RootCertStore};

/// When it has been enough.
#[derive(Clone, Copy)]
pub(crate) enum Until {
    Time(Duration),
    Requests(u64),
}

/// Requests over new connections, so many at a time; whether each resumes a session.
pub(crate) fn load(
    front: &Peer,
    path: &str,
    at_a_time: u32,
    until: Until,
    resumes: bool,
) -> Report {
    let (addr, ca, path) = (front.addr, front.ca.clone(), path.to_owned());
    // Of its own, as wrk is.
    let client = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(run(addr, &ca, &path, at_a_time, until, resumes))
    });
    client.join().unwrap()
}

async fn run(
    addr: SocketAddr,
    ca: &Path,
    path: &str,
    at_a_time: u32,
    until: Until,
    resumes: bool,
) -> Report {
    let start = Instant::now();
    let begun = Arc::new(AtomicU64::new(0));
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..at_a_time {
        let (tls, begun, path) = (connector(ca, resumes), Arc::clone(&begun), path.to_owned());
        clients.spawn(async move {
            let (mut times, mut of_before) = (Vec::new(), 0);
            while match until {
                Until::Time(limit) => start.elapsed() < limit,
                Until::Requests(count) => begun.fetch_add(1, Ordering::Relaxed) < count,
            } {
                let since = Instant::now();
                let kind = request(addr, &tls, &path).await;
                times.push(since.elapsed().as_secs_f64() * 1000.0);
                of_before += usize::from(kind == HandshakeKind::Resumed);
            }
            (times, of_before)
        });
    }
    let (mut times, mut of_before) = (Vec::new(), 0);
    for (some, more) in clients.join_all().await {
        times.extend(some);
        of_before += more;
    }
    // The first of each client has nothing to resume.
    let expected = times.len().saturating_sub(at_a_time as usize);
    assert_eq!(
        of_before,
        if resumes { expected } else { 0 },
        "of {}",
        times.len()
    );
    let count = times.len() as f64;
    Report::of(times, count / start.elapsed().as_secs_f64())
}

fn connector(ca: &Path, resumes: bool) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(ca).unwrap())
        .unwrap();
    let mut config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    if !resumes {
        config.resumption = Resumption::disabled();
    }
    TlsConnector::from(Arc::new(config))
}

async fn request(addr: SocketAddr, tls: &TlsConnector, path: &str) -> HandshakeKind {
    let socket = TcpStream::connect(addr).await.unwrap();
    socket.set_nodelay(true).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = tls.connect(name, socket).await.unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(
        answer.starts_with(b"HTTP/1.1 200"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    stream.get_ref().1.handshake_kind().unwrap()
}
