//! Our client against our server over loopback TCP.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]
#![cfg(all(feature = "client", feature = "server"))]

use ajp::Secret;
use ajp::client::RequestFacts;
use ajp::client::{
    Address, CPingMode, Client, ErrorKind, Pool, PoolConfig, ResponseBody, Retry, Timeouts,
};
use ajp::server::RequestClaims;
use ajp::server::{RequestBody, ServerConfig, Trust, serve};
use ajp::wire::PacketSize;
use axum::Router;
use axum::body::Body;
use axum::extract::Request as AxumRequest;
use axum::response::{IntoResponse, Response as AxumResponse};
use axum::routing::{any, get};
use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// A listener that counts the connections it accepts.
struct Counting(TcpListener, Arc<AtomicUsize>);

impl ajp::server::Listener for Counting {
    type Io = TcpStream;
    type Peer = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        let accepted = ajp::server::Listener::accept(&mut self.0).await;
        self.1.fetch_add(1, Ordering::SeqCst);
        accepted
    }
}

struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    errors: Arc<std::sync::Mutex<Vec<String>>>,
    stop: Option<oneshot::Sender<()>>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    async fn start(config: ServerConfig) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let errors = Arc::new(std::sync::Mutex::new(Vec::new()));
        let (stop, stopped) = oneshot::channel();
        let sink = Arc::clone(&errors);
        let server = serve(Counting(listener, Arc::clone(&connections)), app())
            .with_config(config)
            .on_error(move |_, error| sink.lock().unwrap().push(format!("{error:?}")))
            .with_graceful_shutdown(async {
                let _ = stopped.await;
            });
        let task = tokio::spawn(server.into_future());
        Self {
            address,
            connections,
            errors,
            stop: Some(stop),
            task,
        }
    }

    fn client(&self, config: PoolConfig) -> Client {
        Client::for_own_requests(Pool::new(Address::from(self.address), config))
    }

    /// Shuts it down; gives what reached `on_error`.
    async fn stop(mut self) -> Vec<String> {
        self.stop.take().unwrap().send(()).unwrap();
        self.task.await.unwrap();
        std::mem::take(&mut self.errors.lock().unwrap())
    }

    fn accepted(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

fn app() -> Router {
    Router::new()
        .route("/hello", get(|| async { "Hello, AJP!" }))
        .route(
            "/echo",
            any(|request: AxumRequest| async move {
                Body::from_stream(request.into_body().into_data_stream())
            }),
        )
        .route(
            "/count",
            any(|body: Bytes| async move { body.len().to_string() }),
        )
        .route("/facts", any(facts))
        .route("/unread", any(|| async { "unread" }))
        .route(
            "/status/{code}",
            get(
                |axum::extract::Path(code): axum::extract::Path<u16>| async move {
                    StatusCode::from_u16(code).unwrap()
                },
            ),
        )
        .route(
            "/bytes/{n}",
            get(|axum::extract::Path(n): axum::extract::Path<usize>| async move { vec![b'x'; n] }),
        )
        .route(
            "/cookies",
            get(|| async {
                axum::response::AppendHeaders([("set-cookie", "a=1"), ("set-cookie", "b=2")])
            }),
        )
        .route(
            "/abort",
            get(|| async {
                let frames = stream::iter([
                    Ok(Bytes::from_static(b"part")),
                    Err(std::io::Error::other("broken")),
                ]);
                Body::from_stream(frames).into_response()
            }),
        )
        .route(
            "/short",
            get(|| async {
                AxumResponse::builder()
                    .header("content-length", "10")
                    .body(Body::from_stream(stream::iter([Ok::<_, Infallible>(
                        "short",
                    )])))
                    .unwrap()
            }),
        )
        .route(
            "/huge-header",
            get(|| async { [("x-huge", "h".repeat(9000))] }),
        )
        .route(
            "/panic",
            get(|| async {
                std::future::ready(()).await;
                panic!("on purpose") as &'static str
            }),
        )
        .route(
            "/hang",
            get(|| async { std::future::pending::<&'static str>().await }),
        )
        .layer(axum::extract::DefaultBodyLimit::disable())
}

async fn facts(request: Request<Body>) -> String {
    let facts = request.extensions().get::<RequestClaims>().unwrap();
    format!(
        "{} {} {:?} {:?} {:?} {:?} {}",
        request.method(),
        request.uri(),
        facts.remote_ip(),
        facts.remote_port(),
        facts.claimed_user(),
        facts.remote_user(),
        request.headers().len(),
    )
}

fn trusted() -> ServerConfig {
    ServerConfig::new(Trust::TrustedNetwork)
}

fn no_body(uri: &str) -> Request<Empty<Bytes>> {
    Request::get(uri).body(Empty::new()).unwrap()
}

async fn text(response: Response<ResponseBody>) -> String {
    String::from_utf8(
        response
            .into_body()
            .collect()
            .await
            .unwrap()
            .to_bytes()
            .to_vec(),
    )
    .unwrap()
}

#[tokio::test]
async fn two_hundred_requests_share_one_connection() {
    let server = Server::start(trusted()).await;
    let client = server.client(PoolConfig::default());
    for _ in 0..200 {
        let response = client
            .send(no_body("http://app.example/hello"))
            .await
            .unwrap();
        assert_eq!(response.headers()["content-length"], "11");
        assert_eq!(text(response).await, "Hello, AJP!");
    }
    assert_eq!(server.accepted(), 1);
    let stats = client.pool().stats();
    assert_eq!(
        (stats.created, stats.reused, stats.idle, stats.in_use),
        (1, 199, 1, 0)
    );
    assert!(server.errors.lock().unwrap().is_empty());
}

#[tokio::test]
async fn bodies_of_every_size_come_back() {
    let small = PacketSize::DEFAULT;
    for (size, requests) in [
        (small, 1),
        (PacketSize::MAX, 1),
        (small, 16),
        (PacketSize::MAX, 3),
    ] {
        let config = trusted()
            .with_packet_size(size)
            .with_body_requests(requests);
        let server = Server::start(config).await;
        let config = PoolConfig::default().with_packet_size(size);
        let client = server.client(config.with_body_requests(requests));
        for n in [0, 1, 8186, 8187, 100_000, 5_000_000] {
            let data: Bytes = (0..n)
                .map(|i: u32| i.to_le_bytes()[0])
                .collect::<Vec<_>>()
                .into();
            let known = Request::post("/echo")
                .body(Full::new(data.clone()))
                .unwrap();
            let response = client.send(known).await.unwrap();
            assert_eq!(
                response.into_body().collect().await.unwrap().to_bytes(),
                data,
                "{n} known"
            );
            let pieces: Vec<_> = data.chunks(3001).map(Bytes::copy_from_slice).collect();
            let frames = pieces
                .into_iter()
                .map(|piece| Ok::<_, Infallible>(http_body::Frame::data(piece)));
            let chunked = Request::post("/echo")
                .body(StreamBody::new(stream::iter(frames)))
                .unwrap();
            let response = client.send(chunked).await.unwrap();
            assert_eq!(
                response.into_body().collect().await.unwrap().to_bytes(),
                data,
                "{n} chunked"
            );
        }
        assert_eq!(server.accepted(), 1, "{:?}", server.errors.lock().unwrap());
    }
}

/// A container that asks for more than a packet of 8192 bytes holds has longer packets.
#[tokio::test]
async fn the_packet_size_is_learned_from_what_is_asked_for() {
    let server = Server::start(trusted().with_packet_size(PacketSize::MAX)).await;
    let config = PoolConfig::default().with_packet_size(PacketSize::MAX);
    let client = server.client(config.with_learn_packet_size(true));
    let upload = || async {
        let before = client.pool().stats().bytes_in;
        let request = Request::post("/count").body(Full::new(Bytes::from(vec![b'u'; 40_000])));
        let response = client.send(request.unwrap()).await.unwrap();
        assert_eq!(text(response).await, "40000");
        client.pool().stats().bytes_in - before
    };
    assert_eq!(client.pool().stats().packet_size_learned, None);
    let first = upload().await;
    let learned = client.pool().stats().packet_size_learned;
    assert_eq!(learned, Some(PacketSize::MAX));
    // Whoever sends all at once is not asked: a question has seven bytes.
    assert_eq!(upload().await, first - 7);
    assert_eq!(server.accepted(), 1);
    let lease = client.pool().acquire().await.unwrap();
    assert_eq!(lease.peer(), client.pool().peer());
}

#[tokio::test]
async fn unread_bodies_leave_the_connection_usable() {
    let server = Server::start(trusted()).await;
    let client = server.client(PoolConfig::default());
    for n in [0, 1, 8186, 100_000] {
        let request = Request::post("/unread")
            .body(Full::new(Bytes::from(vec![b'u'; n])))
            .unwrap();
        assert_eq!(text(client.send(request).await.unwrap()).await, "unread");
        assert_eq!(
            text(client.send(no_body("/hello")).await.unwrap()).await,
            "Hello, AJP!"
        );
    }
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn head_and_bodiless_statuses() {
    let server = Server::start(trusted()).await;
    let client = server.client(PoolConfig::default());
    let head = Request::head("/bytes/1234")
        .body(Empty::<Bytes>::new())
        .unwrap();
    let response = client.send(head).await.unwrap();
    assert_eq!(response.headers()["content-length"], "1234");
    assert_eq!(text(response).await, "");
    for code in [204, 205, 304, 404, 500] {
        let response = client
            .send(no_body(&format!("/status/{code}")))
            .await
            .unwrap();
        assert_eq!(response.status().as_u16(), code);
        assert_eq!(text(response).await, "");
    }
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn repeated_headers_stay_repeated() {
    let server = Server::start(trusted()).await;
    let client = server.client(PoolConfig::default());
    let response = client.send(no_body("/cookies")).await.unwrap();
    let cookies: Vec<_> = response.headers().get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["a=1", "b=2"]);
}

#[tokio::test]
async fn facts_cross_the_wire() {
    let server = Server::start(trusted()).await;
    let client = server.client(PoolConfig::default());
    let facts = RequestFacts::new("192.0.2.10".parse().unwrap())
        .with_remote_port(51234)
        .with_user("bob", "Basic");
    let mut request = no_body("/facts?a=1&b=%20");
    request.extensions_mut().insert(facts);
    let seen = text(client.send(request).await.unwrap()).await;
    assert_eq!(
        seen,
        "GET /facts?a=1&b=%20 Some(192.0.2.10) Some(51234) Some(\"bob\") None 1"
    );
}

/// Handlers that take axum's `ConnectInfo` see the visitor, not the web server.
#[tokio::test]
async fn connect_info_of_axum_is_the_visitor() {
    use axum::extract::ConnectInfo;
    async fn whoami(ConnectInfo(visitor): ConnectInfo<SocketAddr>) -> String {
        visitor.to_string()
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = Address::from(listener.local_addr().unwrap());
    let app = Router::new().route("/", get(whoami));
    let app = ajp::server::with_remote_addr(app, ConnectInfo);
    tokio::spawn(serve(listener, app).trusted_network());
    let client = Client::new(Pool::new(address, PoolConfig::default()));
    let v6: std::net::IpAddr = "2001:db8::1".parse().unwrap();
    for (facts, expected) in [
        (
            RequestFacts::new([192, 0, 2, 10].into()).with_remote_port(51234),
            "192.0.2.10:51234",
        ),
        (RequestFacts::new(v6), "[2001:db8::1]:0"),
    ] {
        let mut request = no_body("/");
        request.extensions_mut().insert(facts);
        let response = client.send(request).await.unwrap();
        assert_eq!(text(response).await, expected);
    }
}

#[tokio::test]
async fn truncated_responses_are_errors() {
    let server = Server::start(trusted()).await;
    let client = server.client(PoolConfig::default());
    for uri in ["/abort", "/short"] {
        let response = client.send(no_body(uri)).await.unwrap();
        let error = response.into_body().collect().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Closed, "{uri}");
        assert_eq!(error.retry(), Retry::Never);
    }
    assert_eq!(client.pool().stats().idle, 0);
    assert_eq!(
        text(client.send(no_body("/hello")).await.unwrap()).await,
        "Hello, AJP!"
    );
}

#[tokio::test]
async fn a_head_that_does_not_fit_is_a_500_from_the_server_and_431_from_the_client() {
    let server = Server::start(trusted()).await;
    let client = server.client(PoolConfig::default());
    let response = client.send(no_body("/huge-header")).await.unwrap();
    assert_eq!(response.status(), 500);
    assert_eq!(
        text(response).await,
        "500 the response head cannot be sent over AJP
"
    );
    let request = Request::get("/hello")
        .header("x-huge", "h".repeat(9000))
        .body(Empty::<Bytes>::new())
        .unwrap();
    let error = client.send(request).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.suggested_status().as_u16()),
        (ErrorKind::HeadTooLarge, 431)
    );
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(
        cause.contains("header x-huge") && cause.contains("packet size 8192"),
        "{cause}"
    );
    let error = client
        .send(no_body(&format!("/{}", "u".repeat(9000))))
        .await;
    let error = error.unwrap_err();
    assert_eq!(
        (error.kind(), error.suggested_status().as_u16()),
        (ErrorKind::UriTooLong, 414)
    );
    assert_eq!(
        text(client.send(no_body("/hello")).await.unwrap()).await,
        "Hello, AJP!"
    );
    // An exchange that failed ends its connection, and is told.
    assert_eq!(server.accepted(), 2);
    let errors = server.stop().await;
    assert!(
        matches!(&errors[..], [error] if error.contains("ResponseHead")),
        "{errors:?}"
    );
}

#[tokio::test]
async fn a_panicking_handler_costs_one_connection_and_nothing_else() {
    let server = Server::start(trusted()).await;
    let client = server.client(PoolConfig::default());
    let response = client.send(no_body("/panic")).await.unwrap();
    assert_eq!(response.status(), 500);
    assert_eq!(text(response).await, "500 the application failed\n");
    assert_eq!(
        text(client.send(no_body("/hello")).await.unwrap()).await,
        "Hello, AJP!"
    );
    assert_eq!(server.stop().await, ["Panicked"]);
}

#[tokio::test]
async fn secrets_are_checked() {
    let secret = |text: &str| Secret::new(text).unwrap();
    let trust = Trust::Secrets(vec![secret("new"), secret("old")]);
    let server = Server::start(ServerConfig::new(trust)).await;
    for (sent, status) in [
        (Some("new"), 200),
        (Some("old"), 200),
        (Some("ne"), 403),
        (Some("wrong"), 403),
        (None, 403),
    ] {
        let client = server.client(PoolConfig::default().with_secret(sent.map(secret)));
        let response = client.send(no_body("/hello")).await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{sent:?}");
        response.into_body().collect().await.unwrap();
        // A body that was owed is dealt with before the connection closes.
        let request = Request::post("/count")
            .body(Full::new(Bytes::from(vec![0; 20_000])))
            .unwrap();
        assert_eq!(
            client.send(request).await.unwrap().status().as_u16(),
            status,
            "{sent:?}"
        );
    }
}

#[tokio::test]
async fn dropped_requests_and_bodies_close_and_never_mix() {
    let server = Server::start(trusted()).await;
    let client = server.client(PoolConfig::default());
    let hanging =
        tokio::time::timeout(Duration::from_millis(50), client.send(no_body("/hang"))).await;
    assert!(hanging.is_err());
    let response = client.send(no_body("/bytes/1000000")).await.unwrap();
    drop(response);
    let stats = client.pool().stats();
    assert_eq!((stats.in_use, stats.idle), (0, 0));
    assert_eq!(
        text(client.send(no_body("/hello")).await.unwrap()).await,
        "Hello, AJP!"
    );
}

#[tokio::test]
async fn a_body_that_breaks_its_promise_is_an_error() {
    let server = Server::start(trusted()).await;
    let client = server.client(PoolConfig::default());
    for (announced, sent) in [("10", 5usize), ("10", 15)] {
        let frames = stream::iter([Ok::<_, Infallible>(http_body::Frame::data(Bytes::from(
            vec![b'x'; sent],
        )))]);
        let request = Request::post("/count")
            .header("content-length", announced)
            .body(StreamBody::new(frames))
            .unwrap();
        let error = client.send(request).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BodyLength, "{announced} {sent}");
        assert_eq!(error.retry(), Retry::Never);
    }
    let failing = stream::iter([
        Ok(http_body::Frame::data(Bytes::from_static(b"x"))),
        Err("client went away"),
    ]);
    let request = Request::post("/count")
        .body(StreamBody::new(failing))
        .unwrap();
    assert_eq!(
        client.send(request).await.unwrap_err().kind(),
        ErrorKind::BodySource
    );
    assert_eq!(client.pool().stats().idle, 0);
}

/// All that was announced is there, so the request is whole whatever becomes of its source.
#[tokio::test]
async fn a_source_that_fails_behind_its_last_byte_fails_nothing() {
    let server = Server::start(trusted()).await;
    let client = server.client(PoolConfig::default());
    let frame = http_body::Frame::data(Bytes::from_static(b"whole"));
    let source = stream::iter([Ok(frame), Err("the client has gone")]);
    let request = Request::post("/count")
        .header("content-length", 5)
        .body(StreamBody::new(source))
        .unwrap();
    assert_eq!(text(client.send(request).await.unwrap()).await, "5");
    assert_eq!(client.pool().stats().idle, 1);
}

#[tokio::test]
async fn a_silent_container_is_a_timeout() {
    let server = Server::start(trusted()).await;
    let timeouts = Timeouts::default().with_response_head(Duration::from_millis(50));
    let client = server.client(PoolConfig::default().with_timeouts(timeouts));
    let error = client.send(no_body("/hang")).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.retry()),
        (ErrorKind::ResponseHeadTimeout, Retry::IfIdempotent)
    );
    assert_eq!(error.suggested_status(), 504);
}

#[tokio::test]
async fn a_full_pool_is_an_error_in_time() {
    let server = Server::start(trusted()).await;
    let timeouts = Timeouts::default().with_acquire(Duration::from_millis(500));
    let client = server.client(
        PoolConfig::default()
            .with_max_connections(1)
            .with_timeouts(timeouts),
    );
    let held = client.send(no_body("/bytes/1000000")).await.unwrap();
    let error = client.send(no_body("/hello")).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.retry()),
        (ErrorKind::AcquireTimeout, Retry::Safe)
    );
    drop(held);
    assert_eq!(
        text(client.send(no_body("/hello")).await.unwrap()).await,
        "Hello, AJP!"
    );
}

#[tokio::test]
async fn what_ajp_cannot_carry_is_refused_before_anything_is_sent() {
    let server = Server::start(trusted()).await;
    let client = server.client(PoolConfig::default());
    let refused = [
        (
            Request::get("/")
                .header("upgrade", "websocket")
                .header("connection", "upgrade"),
            ErrorKind::UpgradeNotSupported,
        ),
        (
            Request::post("/").header("transfer-encoding", "gzip, chunked"),
            ErrorKind::UnsupportedTransferEncoding,
        ),
        (
            Request::post("/")
                .header("transfer-encoding", "chunked")
                .header("content-length", "0"),
            ErrorKind::InvalidRequest,
        ),
        (
            Request::post("/")
                .header("content-length", "0")
                .header("content-length", "0"),
            ErrorKind::InvalidRequest,
        ),
        (
            Request::post("/").header("content-length", "+1"),
            ErrorKind::InvalidRequest,
        ),
    ];
    for (request, kind) in refused {
        let error = client
            .send(request.body(Empty::<Bytes>::new()).unwrap())
            .await
            .unwrap_err();
        assert_eq!(error.kind(), kind);
    }
    assert_eq!(server.accepted(), 0);
}

#[tokio::test]
async fn cping_is_answered_and_stale_connections_are_replaced() {
    let mut server = Server::start(trusted()).await;
    let client = server
        .client(PoolConfig::default().with_cping(CPingMode::idle_longer_than(Duration::ZERO)));
    client.pool().ping().await.unwrap();
    assert_eq!(
        text(client.send(no_body("/hello")).await.unwrap()).await,
        "Hello, AJP!"
    );
    assert_eq!(client.pool().stats().created, 1);
    server.stop.take().unwrap().send(()).unwrap();
    (&mut server.task).await.unwrap();
    let error = client.send(no_body("/hello")).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.retry()),
        (ErrorKind::Connect, Retry::Safe)
    );
    assert_eq!(error.peer().unwrap(), format!("ajp://{}", server.address));
}

#[tokio::test]
async fn shutdown_lets_running_exchanges_end() {
    let mut server = Server::start(trusted()).await;
    let client = server.client(PoolConfig::default());
    let response = client.send(no_body("/bytes/30000000")).await.unwrap();
    server.stop.take().unwrap().send(()).unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body.len(), 30_000_000);
    (&mut server.task).await.unwrap();
    assert_eq!(
        client.pool().stats().idle,
        0,
        "the last response said reuse 0"
    );
}

#[tokio::test]
async fn the_client_is_a_tower_service() {
    use tower::ServiceExt;
    let server = Server::start(trusted()).await;
    let client = server.client(PoolConfig::default());
    let response = client.oneshot(no_body("/hello")).await.unwrap();
    assert_eq!(text(response).await, "Hello, AJP!");
}

#[tokio::test]
async fn a_service_of_ones_own_gets_the_request_body() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = tower::service_fn(|request: Request<RequestBody>| async move {
        let body = request
            .into_body()
            .collect()
            .await
            .map_err(|error| error.to_string())?;
        Ok::<_, String>(Response::new(Full::new(body.to_bytes())))
    });
    tokio::spawn(serve(listener, service).trusted_network().into_future());
    let client = Client::for_own_requests(Pool::new(Address::from(address), PoolConfig::default()));
    let request = Request::put("/")
        .body(Full::new(Bytes::from_static(b"hello")))
        .unwrap();
    assert_eq!(text(client.send(request).await.unwrap()).await, "hello");
}
