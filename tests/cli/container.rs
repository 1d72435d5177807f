//! A container of ours in a thread of its own.

use ajp::Secret;
use ajp::server::RequestClaims;
use ajp::server::{ServerConfig, Trust};
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request};
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;
use axum::routing::any;
use http_body_util::BodyExt;
use std::fmt::Write;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::sync::oneshot;

pub(crate) struct Container {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Container {
    /// Whoever connects is believed.
    pub(crate) fn open() -> Self {
        Self::with(ServerConfig::new(Trust::TrustedNetwork))
    }

    /// With a secret to be sent.
    pub(crate) fn closed(secret: &str) -> Self {
        let secret = Secret::new(secret).unwrap();
        Self::with(ServerConfig::new(Trust::Secrets(vec![secret])))
    }

    pub(crate) fn with(config: ServerConfig) -> Self {
        let (tell, told) = std::sync::mpsc::channel();
        let (stop, stopping) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                let server = ajp::server::serve(listener, app()).with_config(config);
                tokio::select! {
                    () = server.into_future() => {}
                    _ = stopping => {}
                }
            });
        });
        Self {
            address: told.recv().unwrap(),
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// The URL of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("ajp://{}{path}", self.address)
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        self.stop.take();
        let _ = self.thread.take().unwrap().join();
    }
}

fn app() -> Router {
    Router::new()
        .route("/hello", any(|| async { "Hello, AJP!\n" }))
        .route("/facts", any(facts))
        .route(
            "/echo",
            any(|request: Request| async { Body::new(request.into_body()) }),
        )
        .route("/status/{code}", any(status))
        .route("/large", any(|| async { vec![b'x'; 200_000] }))
        .route("/binary", any(|| async { vec![0u8; 10] }))
        .route(
            "/cookie",
            any(|| async { ([("set-cookie", "JSESSIONID=hidden")], "cookie\n") }),
        )
        .route("/silent", any(std::future::pending::<()>))
        .route("/stuck", any(stuck))
        .route("/aborted", any(aborted))
        .layer(axum::extract::DefaultBodyLimit::disable())
}

/// What is known of the request, one fact on a line.
async fn facts(request: Request) -> String {
    let (parts, body) = request.into_parts();
    let facts = parts.extensions.get::<RequestClaims>().unwrap();
    let mut text = format!("{} {}\n", parts.method, parts.uri);
    for (name, value) in &parts.headers {
        writeln!(text, "{name}: {}", ajp::mapping::text(value.as_bytes())).unwrap();
    }
    writeln!(
        text,
        "remote {:?} {:?} {:?}",
        facts.remote_addr(),
        facts.remote_port(),
        facts.remote_host()
    )
    .unwrap();
    writeln!(
        text,
        "server {:?} {:?} local {:?}",
        facts.server_name(),
        facts.server_port(),
        facts.local_addr()
    )
    .unwrap();
    writeln!(
        text,
        "user {:?} {:?} route {:?}",
        facts.claimed_user(),
        facts.claimed_auth_type(),
        facts.route()
    )
    .unwrap();
    if facts.is_tls() {
        let tls = facts.tls_facts();
        writeln!(
            text,
            "tls {:?} {:?} {:?} {:?} {}",
            tls.and_then(ajp::mapping::TlsFacts::protocol),
            tls.and_then(ajp::mapping::TlsFacts::cipher),
            tls.and_then(ajp::mapping::TlsFacts::key_size),
            tls.and_then(ajp::mapping::TlsFacts::session_id),
            tls.map_or(0, |tls| tls.certificates_pem().count()),
        )
        .unwrap();
    }
    for (name, value) in facts.attributes() {
        writeln!(
            text,
            "attribute {}={}",
            ajp::mapping::text(name),
            ajp::mapping::text(value)
        )
        .unwrap();
    }
    let body = body.collect().await.unwrap().to_bytes();
    writeln!(text, "body {}", ajp::mapping::text(&body)).unwrap();
    text
}

async fn status(Path(code): Path<u16>) -> impl IntoResponse {
    (
        StatusCode::from_u16(code).unwrap(),
        format!("status {code}\n"),
    )
}

/// A response that begins and never ends.
async fn stuck() -> Response<Body> {
    let parts = futures_util::stream::unfold(true, |first| async move {
        if !first {
            tokio::time::sleep(Duration::from_secs(3600)).await;
        }
        Some((Ok::<_, std::io::Error>("begun\n"), false))
    });
    Response::new(Body::from_stream(parts))
}

/// A response that breaks off.
async fn aborted() -> Response<Body> {
    let parts = [Ok("begun\n"), Err(std::io::Error::other("on purpose"))];
    Response::new(Body::from_stream(futures_util::stream::iter(parts)))
}
