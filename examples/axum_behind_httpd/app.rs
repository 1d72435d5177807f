//! The application. Nothing in it knows of AJP but the request facts.

use crate::route;
use ajp::mapping::{TlsFacts, text};
use ajp::server::RequestClaims;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Extension, Query};
use axum::http::StatusCode;
use axum::response::Html;
use axum::response::sse::{Event, Sse};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::stream::{self, Stream};
use http_body_util::BodyExt;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::convert::Infallible;
use std::time::Duration;
use tower_sessions::cookie::time;
use tower_sessions::{Expiry, MemoryStore, Session, SessionManagerLayer};

/// The whole site of the instance with this route.
pub(crate) fn app(own_route: &str) -> Router {
    let sessions = SessionManagerLayer::new(MemoryStore::default())
        .with_name("JSESSIONID")
        // The web server may be asked over HTTP as well.
        .with_secure(false)
        .with_expiry(Expiry::OnInactivity(time::Duration::minutes(30)));
    let site = Router::new()
        .route("/", get(home))
        .route("/session", get(session))
        .route("/upload", post(upload))
        .route("/events", get(events))
        .route("/tls", get(tls))
        .route("/whoami", get(whoami))
        // Uploads are not kept, so they may be of any size.
        .layer(DefaultBodyLimit::disable())
        .layer(sessions);
    // Outside of the sessions, which know ids without a route.
    route::in_session_ids(site, own_route)
}

async fn home() -> Html<&'static str> {
    Html(
        "<!doctype html><title>axum behind httpd</title><h1>axum behind httpd</h1><ul>\
         <li><a href=session>your session</a><li><a href=events>ten seconds, one by one</a>\
         <li><a href=tls>your TLS connection</a><li><a href=whoami>who you are</a></ul>\
         <form method=post action=upload enctype=text/plain>\
         <input name=text> <button>upload</button></form>\n",
    )
}

/// Counts the visits.
async fn session(session: Session) -> Result<Json<Value>, StatusCode> {
    let failed = |_| StatusCode::INTERNAL_SERVER_ERROR;
    let visits = session.get::<u64>("visits").await.map_err(failed)?;
    let visits = visits.unwrap_or(0).saturating_add(1);
    session.insert("visits", visits).await.map_err(failed)?;
    Ok(Json(json!({ "visits": visits })))
}

/// Length and digest of what is sent, piece by piece as it comes: the web server sends no
/// faster than this reads.
async fn upload(mut body: Body) -> Result<Json<Value>, StatusCode> {
    let (mut length, mut hash) = (0_u64, Sha256::new());
    while let Some(frame) = body.frame().await {
        // A body that breaks off must not look complete.
        let frame = frame.map_err(|_| StatusCode::BAD_REQUEST)?;
        if let Ok(data) = frame.into_data() {
            length = length.saturating_add(data.len() as u64);
            hash.update(&data);
        }
    }
    let digest = format!("{:x}", hash.finalize());
    Ok(Json(json!({ "length": length, "sha256": digest })))
}

#[derive(Deserialize)]
struct Pace {
    /// Milliseconds between events.
    ms: Option<u64>,
}

/// Ten server-sent events. Each leaves at once: the server flushes while it waits for more.
async fn events(Query(pace): Query<Pace>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let pause = Duration::from_millis(pace.ms.unwrap_or(1000));
    let events = stream::unfold(0_u8, move |count| async move {
        if count == 10 {
            return None;
        }
        if count > 0 {
            tokio::time::sleep(pause).await;
        }
        let event = Event::default().id(count.to_string()).data("tick");
        Some((Ok(event), count.saturating_add(1)))
    });
    Sse::new(events)
}

/// What the web server tells about the client's TLS connection.
async fn tls(Extension(facts): Extension<RequestClaims>) -> Html<String> {
    let mut rows = String::new();
    let mut row = |name: &str, value: &str| {
        let value = value.replace('&', "&amp;").replace('<', "&lt;");
        rows.extend(["<tr><th>", name, "<td><pre>", &value, "</pre>"]);
    };
    match facts.tls_facts() {
        None if facts.is_tls() => row("TLS", "yes, and nothing is told about it"),
        None => row("TLS", "no"),
        Some(tls) => {
            row("Protocol", &tls.protocol().unwrap_or("not told".into()));
            row("Cipher", &tls.cipher().unwrap_or("not told".into()));
            let size = tls.key_size().map(|size| format!("{size} bit"));
            row("Key", &size.unwrap_or("not told".into()));
            row("Session", &tls.session_id().unwrap_or("none".into()));
            let pem = tls.certificate_pem().map(text);
            row("Certificate", &pem.unwrap_or("none".into()));
        }
    }
    Html(format!(
        "<!doctype html><title>TLS</title><table>{rows}</table>\n"
    ))
}

/// Who the web server says that the client is.
async fn whoami(Extension(facts): Extension<RequestClaims>) -> Json<Value> {
    let tls = facts
        .tls_facts()
        .map(|tls| json!({ "protocol": tls.protocol(), "cipher": tls.cipher() }));
    let certificate = facts
        .tls_facts()
        .and_then(TlsFacts::certificate_pem)
        .map(text);
    Json(json!({
        "address": facts.remote_ip(),
        "port": facts.remote_port(),
        "user": facts.remote_user(),
        "tls": tls,
        "certificate": certificate,
    }))
}
