//! AJP inside TLS, with certificates on both sides: the connector and the listener that a
//! user writes, here with rustls.

use super::support::tls::Certificates;
use super::{client, container, works};
use ajp::client::{Connect, Connecting, ErrorKind, Transport};
use ajp::server::Listener;
use bytes::Bytes;
use http::Request;
use http_body_util::Empty;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// A certificate and its key.
pub(crate) fn identity(
    certificates: &Certificates,
    name: &str,
) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let chain = [name, "ca"].map(|name| CertificateDer::from_pem_file(certificates.pem(name)));
    let key = PrivateKeyDer::from_pem_file(certificates.key(name)).unwrap();
    (chain.map(Result::unwrap).to_vec(), key)
}

pub(crate) fn roots(certificates: &Certificates) -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_file(certificates.pem("ca")).unwrap();
    roots.add(ca).unwrap();
    Arc::new(roots)
}

/// Accepts whom the authority knows.
pub(crate) fn acceptor(certificates: &Certificates) -> TlsAcceptor {
    let clients = WebPkiClientVerifier::builder(roots(certificates))
        .build()
        .unwrap();
    let (chain, key) = identity(certificates, "server");
    let config = ServerConfig::builder()
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

pub(crate) fn connector(certificates: &Certificates) -> TlsConnector {
    let (chain, key) = identity(certificates, "client");
    let config = ClientConfig::builder()
        .with_root_certificates(roots(certificates))
        .with_client_auth_cert(chain, key)
        .unwrap();
    TlsConnector::from(Arc::new(config))
}

struct OverTls {
    address: SocketAddr,
    tls: TlsConnector,
}

impl Connect for OverTls {
    fn connect(&self) -> Connecting<'_> {
        Box::pin(async {
            let tcp = TcpStream::connect(self.address).await?;
            tcp.set_nodelay(true)?;
            let name = ServerName::try_from("localhost").map_err(std::io::Error::other)?;
            Ok(Transport::new(self.tls.connect(name, tcp).await?))
        })
    }

    fn describe(&self) -> String {
        format!("ajps://{}", self.address)
    }
}

struct TlsListener {
    tcp: TcpListener,
    tls: TlsAcceptor,
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Peer = SocketAddr;

    // One handshake after the other is enough for a test.
    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            let (tcp, peer) = Listener::accept(&mut self.tcp).await;
            if let Ok(stream) = self.tls.accept(tcp).await {
                return (stream, peer);
            }
        }
    }
}

#[tokio::test]
async fn both_sides_prove_who_they_are() {
    let directory = tempfile::tempdir().unwrap();
    let ours = Certificates::create(&directory.path().join("ours"));
    let others = Certificates::create(&directory.path().join("others"));
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = tcp.local_addr().unwrap();
    let tls = acceptor(&ours);
    container(TlsListener { tcp, tls });

    let trusted = client(OverTls {
        address,
        tls: connector(&ours),
    });
    works(&trusted).await;
    works(&trusted).await;
    assert_eq!(trusted.pool().stats().created, 1);

    let stranger = client(OverTls {
        address,
        tls: connector(&others),
    });
    let request = Request::get("/").body(Empty::<Bytes>::new()).unwrap();
    let error = stranger.send(request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect);
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("certificate"), "{cause}");
    works(&trusted).await;
}
