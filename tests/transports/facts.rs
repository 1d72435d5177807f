//! Facts of an HTTP connection, from where a gateway has them to the container.

use super::over_tls::{acceptor, connector};
use super::support::tls::Certificates;
use super::{client, container};
use ajp::client::RequestFacts;
use ajp::client::{Address, Client};
use ajp::mapping::TlsFacts;
use ajp::server::RequestClaims;
use axum::Router;
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::extract::{Request as AxumRequest, State};
use axum::serve::IncomingStream;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::rustls::{ProtocolVersion, ServerConnection};

async fn backend() -> (Client, mpsc::UnboundedReceiver<RequestClaims>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = Address::from(listener.local_addr().unwrap());
    (client(address), container(listener))
}

/// Both ends of a connection that axum has accepted.
#[derive(Debug, Clone, Copy)]
struct Ends {
    remote: SocketAddr,
    local: SocketAddr,
}

impl Connected<IncomingStream<'_, TcpListener>> for Ends {
    fn connect_info(stream: IncomingStream<'_, TcpListener>) -> Self {
        Self {
            remote: *stream.remote_addr(),
            local: stream.io().local_addr().unwrap(),
        }
    }
}

async fn forward(
    State(client): State<Client>,
    ConnectInfo(ends): ConnectInfo<Ends>,
    mut request: AxumRequest,
) -> Response<axum::body::Body> {
    let facts = RequestFacts::from_connection(ends.remote, ends.local);
    request.extensions_mut().insert(facts);
    client
        .send(request)
        .await
        .unwrap()
        .map(axum::body::Body::new)
}

#[tokio::test]
async fn from_connect_info_of_axum() {
    let (client, mut seen) = backend().await;
    let listener = TcpListener::bind("[::]:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let app = Router::new().fallback(forward).with_state(client);
    let app = app.into_make_service_with_connect_info::<Ends>();
    tokio::spawn(async { axum::serve(listener, app).await });

    // An IPv4 client of a dual-stack socket is shown as one.
    for ip in ["127.0.0.1", "::1"] {
        let stream = TcpStream::connect((ip, port)).await.unwrap();
        let remote = stream.local_addr().unwrap();
        let (mut http, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        let request = Request::get("/a").header("host", "app.example:81");
        let request = request.body(Empty::<Bytes>::new()).unwrap();
        assert_eq!(http.send_request(request).await.unwrap().status(), 200);
        let facts = seen.recv().await.unwrap();
        assert_eq!(facts.remote_ip(), Some(remote.ip()));
        assert_eq!(facts.remote_port(), Some(remote.port()));
        assert_eq!(facts.local_addr(), Some(ip));
        assert_eq!(facts.server_name(), Some("app.example"));
        assert_eq!(facts.server_port(), Some(port));
        assert!(!facts.is_tls());
    }
}

/// What a gateway writes that ends TLS with rustls.
fn tls_facts(connection: &ServerConnection) -> TlsFacts {
    let mut facts = TlsFacts::new();
    if let Some(chain) = connection.peer_certificates() {
        facts = facts.with_certificates_der(chain);
    }
    if let Some(suite) = connection.negotiated_cipher_suite() {
        facts = facts.with_cipher_suite(suite.suite().as_str().unwrap_or_default());
    }
    match connection.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => facts.with_protocol("TLSv1.3"),
        Some(ProtocolVersion::TLSv1_2) => facts.with_protocol("TLSv1.2"),
        _ => facts,
    }
}

#[tokio::test]
async fn from_a_tls_connection_with_a_client_certificate() {
    let directory = tempfile::tempdir().unwrap();
    let certificates = Certificates::create(directory.path());
    let (client, mut seen) = backend().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let tls = acceptor(&certificates);
    tokio::spawn(async move {
        let (tcp, remote) = listener.accept().await.unwrap();
        let stream = tls.accept(tcp).await.unwrap();
        let facts = RequestFacts::from_connection(remote, address)
            .with_tls_facts(tls_facts(stream.get_ref().1));
        let service = service_fn(|mut request: Request<Incoming>| {
            request.extensions_mut().insert(facts.clone());
            client.send(request)
        });
        let http = hyper::server::conn::http1::Builder::new();
        http.serve_connection(TokioIo::new(stream), service).await
    });

    let tcp = TcpStream::connect(address).await.unwrap();
    let name = "localhost".try_into().unwrap();
    let stream = connector(&certificates).connect(name, tcp).await.unwrap();
    let (mut http, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    let request = Request::get("/").header("host", "app.example");
    let request = request.body(Empty::<Bytes>::new()).unwrap();
    assert_eq!(http.send_request(request).await.unwrap().status(), 200);

    let facts = seen.recv().await.unwrap();
    assert!(facts.is_tls());
    let tls = facts.tls_facts().unwrap();
    assert_eq!(tls.protocol().as_deref(), Some("TLSv1.3"));
    let cipher = tls.cipher().unwrap();
    assert!(cipher.starts_with("TLS_"), "{cipher}");
    let size = if cipher.contains("_128_") { 128 } else { 256 };
    assert_eq!(tls.key_size(), Some(size), "{cipher}");
    // As openssl writes them: the client's own, and its authority.
    let blocks: Vec<_> = tls.certificates_pem().map(<[u8]>::to_vec).collect();
    let files = ["client", "ca"].map(|name| {
        let text = std::fs::read(certificates.pem(name)).unwrap();
        text.trim_ascii_end().to_vec()
    });
    assert_eq!(blocks, files);
}
