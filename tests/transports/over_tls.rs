//! AJP inside TLS, with certificates on both sides: feature `rustls`.

use super::support::tls::Certificates;
use super::{client, container, works};
use ajp::client::{Address, CPingMode, Client, ErrorKind, Pool, PoolConfig, Retry};
use ajp::server::{Monitor, ServerError, serve};
use ajp::tls::rustls::{self, ProtocolVersion, SupportedProtocolVersion, version};
use ajp::tls::{self, Identity, TlsConnector, TlsListener};
use bytes::Bytes;
use http::Request;
use http_body_util::{Empty, Full};
use rustls::{ClientConfig, ServerConfig};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// A certificate with its authority's behind it, and its key.
fn identity(certificates: &Certificates, name: &str) -> Identity {
    let chain = [name, "ca"].map(|name| std::fs::read(certificates.pem(name)).unwrap());
    let file = certificates.pem(&format!("{name}-chain"));
    std::fs::write(&file, chain.concat()).unwrap();
    Identity::from_pem_files(file, certificates.key(name)).unwrap()
}

/// Accepts whom the authority knows.
fn server(certificates: &Certificates) -> Arc<ServerConfig> {
    let clients = tls::roots_from_pem_file(certificates.pem("ca")).unwrap();
    tls::server_config(identity(certificates, "server"), clients).unwrap()
}

pub(crate) fn acceptor(certificates: &Certificates) -> TlsAcceptor {
    TlsAcceptor::from(server(certificates))
}

fn known(certificates: &Certificates) -> Arc<ClientConfig> {
    let roots = tls::roots_from_pem_file(certificates.pem("ca")).unwrap();
    tls::client_config(roots, identity(certificates, "client")).unwrap()
}

pub(crate) fn connector(certificates: &Certificates) -> tokio_rustls::TlsConnector {
    known(certificates).into()
}

fn over_tls(address: SocketAddr, config: Arc<ClientConfig>) -> Client {
    let name = "localhost".try_into().unwrap();
    client(TlsConnector::new(Address::from(address), name, config))
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

async fn failure(client: &Client) -> String {
    let request = Request::get("/").body(Empty::<Bytes>::new()).unwrap();
    let error = client.send(request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect, "{error:?}");
    std::error::Error::source(&error).unwrap().to_string()
}

#[tokio::test]
async fn both_sides_prove_who_they_are() {
    let directory = tempfile::tempdir().unwrap();
    let ours = Certificates::create(&directory.path().join("ours"));
    let others = Certificates::create(&directory.path().join("others"));
    let (tcp, address) = listener().await;
    container(TlsListener::new(tcp, server(&ours)));

    let trusted = over_tls(address, known(&ours));
    works(&trusted).await;
    works(&trusted).await;
    assert_eq!(trusted.pool().stats().created, 1);

    // A container of another authority is not believed.
    let stranger = over_tls(address, known(&others));
    let cause = failure(&stranger).await;
    assert!(cause.contains("certificate"), "{cause}");
    // Nor one of another name.
    let name = "other.example".try_into().unwrap();
    let misled = TlsConnector::new(Address::from(address), name, known(&ours));
    let cause = failure(&client(misled)).await;
    assert!(cause.contains("certificate"), "{cause}");
    works(&trusted).await;
}

/// A web server without a certificate, or with one of another authority, is not let in.
#[tokio::test]
async fn a_web_server_must_have_a_certificate() {
    let directory = tempfile::tempdir().unwrap();
    let ours = Certificates::create(&directory.path().join("ours"));
    let others = Certificates::create(&directory.path().join("others"));
    let (tcp, address) = listener().await;
    container(TlsListener::new(tcp, server(&ours)));
    let roots = || tls::roots_from_pem_file(ours.pem("ca")).unwrap();
    for config in [
        tls::client_config(roots(), None).unwrap(),
        tls::client_config(roots(), identity(&others, "client")).unwrap(),
    ] {
        let request = Request::get("/").body(Empty::<Bytes>::new()).unwrap();
        // With TLS 1.3 the client is done before the server has looked.
        over_tls(address, config.clone())
            .send(request)
            .await
            .unwrap_err();
        // Whoever asks first has not sent a request by then.
        let name = "localhost".try_into().unwrap();
        let connector = TlsConnector::new(Address::from(address), name, config);
        let asking = PoolConfig::default().with_cping(CPingMode::default().and_on_connect());
        let asking = Client::for_own_requests(Pool::new(connector, asking));
        let order = Request::post("/").body(Full::new(Bytes::from("order")));
        let error = asking.send(order.unwrap()).await.unwrap_err();
        assert_eq!(error.retry(), Retry::Safe, "{error:?}");
    }
    works(&over_tls(address, known(&ours))).await;
}

async fn versions(
    both: &'static SupportedProtocolVersion,
    expected: ProtocolVersion,
    certificates: &Certificates,
) {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = tls::roots_from_pem_file(certificates.pem("ca")).unwrap();
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[both])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let (tcp, address) = listener().await;
    let config_of_server = tls::server_config(identity(certificates, "server"), None).unwrap();
    container(TlsListener::new(tcp, config_of_server));
    works(&over_tls(address, Arc::new(config.clone()))).await;

    let tcp = TcpStream::connect(address).await.unwrap();
    let name = "localhost".try_into().unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let mut stream = connector.connect(name, tcp).await.unwrap();
    assert_eq!(stream.get_ref().1.protocol_version(), Some(expected));
    stream.write_all(&ajp::wire::CPING).await.unwrap();
    let mut answer = [0; 5];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, ajp::wire::CPONG);
}

#[tokio::test]
async fn both_versions_of_tls() {
    let directory = tempfile::tempdir().unwrap();
    let certificates = Certificates::create(directory.path());
    versions(&version::TLS12, ProtocolVersion::TLSv1_2, &certificates).await;
    versions(&version::TLS13, ProtocolVersion::TLSv1_3, &certificates).await;
}

/// Peers that never finish their handshake keep nobody out, and connections that end meanwhile
/// take nobody's handshake with them.
#[tokio::test]
async fn slow_handshakes_hold_up_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let certificates = Certificates::create(directory.path());
    let (tcp, address) = listener().await;
    let monitor = Monitor::new();
    let errors = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&errors);
    let limits = ajp::server::ServerTimeouts::default().with_handshake(Duration::from_secs(2));
    let config = ajp::server::ServerConfig::new(ajp::server::Trust::TrustedNetwork)
        .with_monitor(&monitor)
        .with_timeouts(limits);
    let listener = TlsListener::new(tcp, server(&certificates));
    let server = serve(listener, axum::Router::<()>::new())
        .with_config(config)
        .on_error(move |_, error| sink.lock().unwrap().push(error.to_string()));
    tokio::spawn(server);

    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    // Does not speak TLS at all.
    let mut plain = TcpStream::connect(address).await.unwrap();
    plain.write_all(&ajp::wire::CPING).await.unwrap();
    let quick = std::time::Instant::now();
    for _ in 0..5 {
        let client = over_tls(address, known(&certificates));
        let request = Request::get("/").body(Empty::<Bytes>::new()).unwrap();
        assert_eq!(client.send(request).await.unwrap().status(), 404);
    }
    assert!(
        quick.elapsed() < Duration::from_secs(2),
        "{:?}",
        quick.elapsed()
    );
    let mut rest = Vec::new();
    for mut silent in silent {
        let _ = silent.read_to_end(&mut rest).await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let errors = errors.lock().unwrap();
    let of = |text: &str| errors.iter().filter(|known| known.contains(text)).count();
    assert_eq!(of("the handshake took too long"), 20, "{errors:?}");
    assert_eq!(
        of(&ServerError::Handshake(std::io::ErrorKind::Other.into()).to_string()),
        1
    );
    assert_eq!(monitor.stats().failed_handshakes, 21);
}

/// What the listener gives out is rustls' own stream.
#[test]
fn the_stream_is_rustls() {
    fn stream_of<A: ajp::server::Accepted<Stream = TlsStream<TcpStream>>>() -> &'static str {
        std::any::type_name::<A>()
    }
    let name = stream_of::<tls::Handshaking<TcpStream>>();
    assert!(name.contains("Handshaking"), "{name}");
}

/// Which of the files it is.
#[test]
fn a_file_that_cannot_be_used_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let certificates = Certificates::create(directory.path());
    let (chain, key) = (certificates.pem("server"), certificates.key("server"));
    let missing = directory.path().join("missing.pem");
    let empty = directory.path().join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    for wrong in [&missing, &empty] {
        let wrong = wrong.as_path();
        for error in [
            Identity::from_pem_files(wrong, &key).unwrap_err(),
            Identity::from_pem_files(&chain, wrong).unwrap_err(),
            tls::roots_from_pem_file(wrong).unwrap_err(),
        ] {
            let text = error.to_string();
            assert!(text.contains(&wrong.display().to_string()), "{text}");
        }
    }
    // It holds no key.
    let error = Identity::from_pem_files(&chain, &chain).unwrap_err();
    assert!(error.to_string().contains("server.pem: "), "{error}");
}
