//! An axum application on an AJP port, behind Apache httpd: sessions, uploads, server-sent events,
//! and what httpd knows of the client.
//!
//! ```text
//! cargo run --release --example axum_behind_httpd -- --secret-file ajp.secret
//! ```
//!
//! and in httpd: `ProxyPass "/" "ajp://127.0.0.1:8009/" secret=...`. `proxy_ajp.conf` and
//! `mod_jk.conf` beside this file put httpd in front of two of them, with sticky sessions; the
//! tests use the very same files.

use ajp::Secret;
use ajp::mapping::{TlsFacts, text};
use ajp::server::{RequestClaims, ServerConfig, Trust, serve, shutdown_signal};
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Extension, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{Html, Response, sse};
use axum::routing::{get, post};
use axum::{Json, Router};
use clap::Parser;
use futures_util::stream::{self, Stream};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio::net::TcpListener;
use tower_sessions::{Expiry, MemoryStore, Session, SessionManagerLayer, cookie::time};

#[derive(Parser)]
#[command(about = "An axum application on an AJP port")]
struct Args {
    /// Address of the AJP port; stay on loopback unless only web servers can reach it
    #[arg(long, default_value = "127.0.0.1:8009")]
    listen: SocketAddr,
    /// File that holds the secret shared with the web server
    #[arg(long)]
    secret_file: PathBuf,
    /// Name of this instance, as httpd's `route=` has it
    #[arg(long, default_value = "one")]
    route: String,
    /// Take the user that the web server has authenticated for authenticated
    #[arg(long)]
    trust_remote_user: bool,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let trust = Trust::Secrets(vec![Secret::from_file(&args.secret_file)?]);
    let listener = TcpListener::bind(args.listen).await?;
    println!("axum_behind_httpd: AJP on {}", listener.local_addr()?);
    serve(listener, app(&args.route)?)
        .with_config(ServerConfig::new(trust).with_trust_remote_user(args.trust_remote_user))
        .on_error(|peer, error| eprintln!("axum_behind_httpd: {peer:?}: {error}"))
        .with_graceful_shutdown(shutdown_signal())
        .await;
    Ok(())
}

/// The whole site. Nothing in it knows of AJP but what shows the claims of the web server.
fn app(route: &str) -> Result<Router, Box<dyn Error>> {
    let sessions = SessionManagerLayer::new(MemoryStore::default())
        // The web server may be asked over HTTP as well.
        .with_secure(false)
        .with_expiry(Expiry::OnInactivity(time::Duration::minutes(30)));
    let cookie = HeaderValue::try_from(format!("ROUTEID=.{route}; Path=/; HttpOnly"))?;
    Ok(Router::new()
        .route("/", get(Html("<h1>axum behind httpd</h1>")))
        .route("/session", get(session))
        .route("/upload", post(upload))
        .route("/events", get(events))
        .route("/whoami", get(whoami))
        // Uploads are not kept, so they may be of any size.
        .layer(DefaultBodyLimit::disable())
        .layer(sessions)
        .layer(from_fn_with_state(cookie, stay_here)))
}

/// The sessions are in the memory of this instance. By the cookie `ROUTEID` the web server
/// sends a visitor back to it.
async fn stay_here(State(cookie): State<HeaderValue>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if response.headers().contains_key(header::SET_COOKIE) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// Counts the visits.
async fn session(session: Session) -> Result<Json<Value>, StatusCode> {
    let failed = |_| StatusCode::INTERNAL_SERVER_ERROR;
    let visits = session.get::<u64>("visits").await.map_err(failed)?;
    let visits = visits.unwrap_or(0) + 1;
    session.insert("visits", visits).await.map_err(failed)?;
    Ok(Json(json!({ "visits": visits })))
}

/// Length and digest of what is sent, piece by piece as it comes: the web server sends no
/// faster than this reads.
async fn upload(mut body: Body) -> Result<Json<Value>, StatusCode> {
    let (mut length, mut hash) = (0, Sha256::new());
    while let Some(frame) = body.frame().await {
        // A body that breaks off must not look complete.
        let frame = frame.map_err(|_| StatusCode::BAD_REQUEST)?;
        if let Ok(data) = frame.into_data() {
            length += data.len();
            hash.update(&data);
        }
    }
    let digest = format!("{:x}", hash.finalize());
    Ok(Json(json!({ "length": length, "sha256": digest })))
}

/// Ten server-sent events, one a second. Each leaves as soon as it is there.
async fn events() -> sse::Sse<impl Stream<Item = Result<sse::Event, Infallible>>> {
    sse::Sse::new(stream::unfold(0, async |count: u8| {
        if count == 10 {
            return None;
        }
        tokio::time::sleep(Duration::from_secs(u64::from(count > 0))).await;
        let event = sse::Event::default().id(count.to_string()).data("tick");
        Some((Ok(event), count + 1))
    }))
}

/// Who the web server says that the client is, and over which TLS connection it came.
async fn whoami(Extension(claims): Extension<RequestClaims>) -> Json<Value> {
    let tls = claims.tls_facts().map(|tls| {
        json!({ "protocol": tls.protocol(), "cipher": tls.cipher(), "key_size": tls.key_size() })
    });
    let certificate = claims.tls_facts().and_then(TlsFacts::certificate_pem);
    Json(json!({
        "address": claims.remote_ip(),
        "port": claims.remote_port(),
        "user": claims.remote_user(),
        "tls": tls,
        "certificate": certificate.map(text),
    }))
}
