//! Real httpd, with `mod_proxy_ajp` and with `mod_jk`, in front of our server.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report"
)]

mod cases;
mod container;
mod support;

use ajp::Secret;
use ajp::server::{Listener, ServerConfig, Trust, serve};
use ajp::wire::PacketSize;
use axum::Router;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use support::http1::{self, Body};
use support::httpd::{Httpd, HttpdBuilder};
use tokio::net::{TcpListener, TcpStream};

const SECRET: &str = "s3cr3t-ours";

/// Counts the connections it accepts.
struct Counting(TcpListener, Arc<AtomicUsize>);

impl Listener for Counting {
    type Io = TcpStream;
    type Peer = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        let accepted = Listener::accept(&mut self.0).await;
        self.1.fetch_add(1, Ordering::SeqCst);
        accepted
    }
}

struct Container {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    errors: Arc<Mutex<Vec<String>>>,
}

impl Container {
    async fn start(size: PacketSize) -> Self {
        Self::asking_ahead(size, 1).await
    }

    /// One that asks for so many body packets at a time.
    async fn asking_ahead(size: PacketSize, packets: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let errors = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&errors);
        let trust = Trust::Secrets(vec![Secret::new(SECRET).unwrap()]);
        let config = ServerConfig::new(trust)
            .with_packet_size(size)
            .with_body_requests(packets)
            .with_trust_remote_user(true);
        let server = serve(
            Counting(listener, Arc::clone(&connections)),
            Router::new().nest("/app", container::app()),
        )
        .with_config(config)
        .on_error(move |_, error| sink.lock().unwrap().push(format!("{error:?}")));
        tokio::spawn(server.into_future());
        Self {
            address,
            connections,
            errors,
        }
    }

    /// The errors of its connections, without those that the list provokes.
    fn unexpected_errors(&self) -> Vec<String> {
        let errors = self.errors.lock().unwrap();
        errors
            .iter()
            .filter(|error| !error.contains("aborted on purpose"))
            .cloned()
            .collect()
    }
}

fn by_proxy_ajp(container: &Container) -> HttpdBuilder {
    Httpd::builder().proxy_ajp("/app", container.address, &format!("secret={SECRET}"))
}

fn by_jk(container: &Container) -> HttpdBuilder {
    Httpd::builder().mod_jk_worker(container.address, &[&format!("secret={SECRET}")])
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_list_through_mod_proxy_ajp() {
    let container = Container::start(PacketSize::DEFAULT).await;
    let httpd = by_proxy_ajp(&container).start().await;
    let pair = cases::Pair {
        keeps_length: false,
        shows_truncation: true,
    };
    cases::run(&mut http1::Client::new(httpd.http_addr()), pair).await;
    assert_eq!(
        container.unexpected_errors(),
        [""; 0],
        "{}",
        httpd.error_log()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_list_through_mod_jk() {
    let container = Container::start(PacketSize::DEFAULT).await;
    let httpd = by_jk(&container).start().await;
    let pair = cases::Pair {
        keeps_length: true,
        shows_truncation: false,
    };
    cases::run(&mut http1::Client::new(httpd.http_addr()), pair).await;
    assert_eq!(container.unexpected_errors(), [""; 0], "{}", httpd.jk_log());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_list_with_large_packets() {
    let container = Container::start(PacketSize::MAX).await;
    let pair = cases::Pair {
        keeps_length: false,
        shows_truncation: true,
    };
    let httpd = by_proxy_ajp(&container)
        .raw_global("ProxyIOBufferSize 65536")
        .start()
        .await;
    cases::run(&mut http1::Client::new(httpd.http_addr()), pair).await;
    let pair = cases::Pair {
        keeps_length: true,
        shows_truncation: false,
    };
    let properties = [&format!("secret={SECRET}")[..], "max_packet_size=65536"];
    let httpd = Httpd::builder()
        .mod_jk_worker(container.address, &properties)
        .start()
        .await;
    cases::run(&mut http1::Client::new(httpd.http_addr()), pair).await;
    assert_eq!(container.unexpected_errors(), [""; 0]);
}

/// The size of a worker goes before the directive: what `ajp lint` and `ajp import` take it for.
/// A head of 12 000 bytes tells the two apart.
#[tokio::test]
async fn the_packet_size_of_a_worker_goes_before_the_directive() {
    let long = "x".repeat(6000);
    let headers = [("x-one", &*long), ("x-two", &*long)];
    let (small, large) = ("iobuffersize=8192", "iobuffersize=65536");
    for (directive, worker, status) in [
        (None, "", 400),
        (None, large, 200),
        (Some("ProxyIOBufferSize 65536"), "", 200),
        (Some("ProxyIOBufferSize 65536"), small, 400),
        (Some("ProxyIOBufferSize 8192"), large, 200),
    ] {
        let container = Container::start(PacketSize::MAX).await;
        let settings = format!("secret={SECRET} {worker}");
        let mut httpd = Httpd::builder().proxy_ajp("/app", container.address, &settings);
        if let Some(directive) = directive {
            httpd = httpd.raw_global(directive);
        }
        let httpd = httpd.start().await;
        let mut client = http1::Client::new(httpd.http_addr());
        let answer = client
            .request("GET", "/app/hello", &headers, http1::Body::None)
            .await;
        assert_eq!(answer.status, status, "{directive:?} {worker}");
    }
}

/// Both modules answer questions one by one that have come together.
#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_asked_for_ahead() {
    for (size, packets) in [(PacketSize::DEFAULT, 16), (PacketSize::MAX, 3)] {
        let container = Container::asking_ahead(size, packets).await;
        let max = format!("max_packet_size={}", size.bytes());
        let properties = [&format!("secret={SECRET}")[..], &max];
        let jk = Httpd::builder().mod_jk_worker(container.address, &properties);
        let iobuffer = format!("ProxyIOBufferSize {}", size.bytes());
        for httpd in [by_proxy_ajp(&container).raw_global(&iobuffer), jk] {
            let httpd = httpd.start().await;
            let mut client = http1::Client::new(httpd.http_addr());
            for _ in 0..2 {
                cases::uploads(&mut client).await;
                cases::unread(&mut client).await;
            }
        }
        assert_eq!(container.unexpected_errors(), [""; 0]);
    }
}

/// An answer that begins before its request's body was asked for, and ends with that: httpd tells a
/// client that waits for it to go on when the body is asked for, and may have begun the answer then.
#[tokio::test]
async fn a_body_that_is_answered_with_itself_arrives_whole() {
    let container = Container::start(PacketSize::DEFAULT).await;
    let body = "0123456789".repeat(5_000);
    for httpd in [by_proxy_ajp(&container), by_jk(&container)] {
        let httpd = httpd.start().await;
        let url = format!("http://{}/app/same", httpd.http_addr());
        for expect in ["Expect: 100-continue", "Expect:"] {
            for framing in ["Transfer-Encoding: chunked", "Accept: */*"] {
                let answer = http1::curl(&["-H", expect, "-H", framing, "-d", &body, &url]).await;
                assert!(answer.status.success(), "{answer:?}");
                let came = String::from_utf8_lossy(&answer.stdout);
                assert!(
                    came == body,
                    "{expect}, {framing}: {} bytes: {:.60}",
                    came.len(),
                    came
                );
            }
        }
    }
    assert_eq!(container.unexpected_errors(), [""; 0]);
}

/// Both modules encode the path and pass the query on as it came. Browsers send more than a URI
/// may hold, and Tomcat serves it.
#[tokio::test]
async fn a_query_that_is_no_uri_is_served() {
    let container = Container::start(PacketSize::DEFAULT).await;
    for httpd in [by_proxy_ajp(&container), by_jk(&container)] {
        let httpd = httpd.start().await;
        for (sent, query) in [
            (&b"q=caf\xc3\xa9"[..], "q=caf%C3%A9"),
            (b"q=caf\xe9&\xff", "q=caf%E9&%FF"),
            (b"q=<b>\"{c}|d", "q=%3Cb%3E%22%7Bc%7D|d"),
        ] {
            let request = [
                b"GET /app/echo?",
                sent,
                b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            ]
            .concat();
            let answer = http1::raw(httpd.http_addr(), &request).await;
            let text = String::from_utf8_lossy(&answer);
            assert!(text.starts_with("HTTP/1.1 200"), "{text}");
            let expected = format!("\"query\":\"{query}\"");
            assert!(
                text.replace("\": \"", "\":\"").contains(&expected),
                "{text}"
            );
        }
    }
    assert_eq!(container.connections.load(Ordering::SeqCst), 2, "kept");
    assert_eq!(container.unexpected_errors(), [""; 0]);
}

#[tokio::test]
async fn two_hundred_requests_share_one_connection() {
    let container = Container::start(PacketSize::DEFAULT).await;
    let httpd = by_proxy_ajp(&container).start().await;
    let mut client = http1::Client::new(httpd.http_addr());
    for _ in 0..200 {
        assert_eq!(client.get("/app/hello").await.text(), "Hello, AJP!\n");
    }
    assert_eq!(container.connections.load(Ordering::SeqCst), 1);
    assert_eq!(container.unexpected_errors(), [""; 0]);
}

#[tokio::test]
async fn a_wrong_secret_is_a_403_and_the_node_stays_up() {
    let container = Container::start(PacketSize::DEFAULT).await;
    let wrong = Httpd::builder()
        .proxy_ajp("/app", container.address, "secret=wrong")
        .start()
        .await;
    let mut client = http1::Client::new(wrong.http_addr());
    for _ in 0..3 {
        let answer = client
            .request(
                "POST",
                "/app/echo",
                &[],
                Body::Full(support::pattern::bytes(20_000)),
            )
            .await;
        // A bare close would be a 503 and take the node out.
        assert_eq!(
            (answer.status.as_u16(), answer.text()),
            (403, "403 secret missing or wrong\n")
        );
    }
}

#[tokio::test]
async fn cping_of_both_modules_is_answered() {
    let container = Container::start(PacketSize::DEFAULT).await;
    let pinging = Httpd::builder()
        .proxy_ajp(
            "/app",
            container.address,
            &format!("secret={SECRET} ping=1"),
        )
        .start()
        .await;
    let properties = [
        &format!("secret={SECRET}")[..],
        "ping_mode=A",
        "ping_timeout=1000",
    ];
    let jk = Httpd::builder()
        .mod_jk_worker(container.address, &properties)
        .start()
        .await;
    for httpd in [&pinging, &jk] {
        let mut client = http1::Client::new(httpd.http_addr());
        for _ in 0..5 {
            assert_eq!(client.get("/app/hello").await.text(), "Hello, AJP!\n");
        }
    }
    assert_eq!(container.unexpected_errors(), [""; 0]);
}

/// What `/app/echo` tells of a request over TLS with a client certificate, and of one with
/// a password.
async fn facts(httpd: &Httpd, jk: bool) {
    let url = format!("https://localhost:{}/app/echo", httpd.https_addr().port());
    let ca = httpd.ca_pem_path();
    let mut arguments = vec!["--cacert", ca.to_str().unwrap(), &url];
    let plain = support::http1::curl(&arguments).await;
    let plain: serde_json::Value = serde_json::from_slice(&plain.stdout).unwrap();
    assert_eq!(
        (&plain["is_ssl"], &plain["tls"]["certificate_pem"]),
        (&true.into(), &serde_json::Value::Null)
    );

    let (cert, key) = (httpd.client_cert_path(), httpd.client_key_path());
    arguments.extend([
        "--cert",
        cert.to_str().unwrap(),
        "--key",
        key.to_str().unwrap(),
    ]);
    let seen = support::http1::curl(&arguments).await;
    let seen: serde_json::Value = serde_json::from_slice(&seen.stdout).unwrap();
    let tls = &seen["tls"];
    let pem = std::fs::read_to_string(&cert).unwrap();
    let only_pem = &pem[pem.find("-----BEGIN").unwrap()..];
    assert_eq!(
        tls["certificate_pem"].as_str().unwrap().trim(),
        only_pem.trim()
    );
    assert_eq!(tls["protocol"], "TLSv1.3");
    assert_eq!(tls["key_size"], 256);
    assert!(
        tls["cipher"].as_str().unwrap().starts_with("TLS_AES_256"),
        "{tls}"
    );
    assert_eq!(seen["remote_addr"], "127.0.0.1");
    assert!(seen["remote_port"].as_u64().unwrap() > 0);
    assert_eq!(
        seen["server_port"].as_u64().unwrap(),
        u64::from(httpd.https_addr().port())
    );
    assert_eq!(
        seen["activation"],
        if jk {
            "ACT".into()
        } else {
            serde_json::Value::Null
        }
    );

    let url = format!("http://{}/app/echo/private", httpd.http_addr());
    let user = support::http1::curl(&["-u", "bob:pw", &url]).await;
    let user: serde_json::Value = serde_json::from_slice(&user.stdout).unwrap();
    assert_eq!(
        (&user["remote_user"], &user["auth_type"]),
        (&"bob".into(), &"Basic".into())
    );
}

#[tokio::test]
async fn tls_facts_and_users_arrive() {
    let container = Container::start(PacketSize::DEFAULT).await;
    let httpd = by_proxy_ajp(&container)
        .tls(true)
        .basic_auth("/app/echo/private", "bob", "pw")
        .start()
        .await;
    facts(&httpd, false).await;
    let httpd = by_jk(&container)
        .tls(true)
        .basic_auth("/app/echo/private", "bob", "pw")
        .start()
        .await;
    facts(&httpd, true).await;
    assert_eq!(container.unexpected_errors(), [""; 0]);
}

#[tokio::test]
async fn the_route_of_a_sticky_session_arrives() {
    let container = Container::start(PacketSize::DEFAULT).await;
    let member = format!("route=node1 secret={SECRET}");
    let httpd = Httpd::builder()
        .proxy_balancer(
            "/app",
            &[(container.address, &member)],
            "stickysession=JSESSIONID|jsessionid",
        )
        .start()
        .await;
    let cookie = [("cookie", "JSESSIONID=0123.node1")];
    let seen = http1::Client::new(httpd.http_addr())
        .request("GET", "/app/echo", &cookie, Body::None)
        .await
        .json();
    assert_eq!(seen["route"], "node1");
}
