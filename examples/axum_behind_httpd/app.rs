//! The application. Nothing in it knows of AJP but the request facts.

use crate::session::Sessions;
use ajp::mapping::{TlsFacts, text};
use ajp::server::RequestClaims;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Extension, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::{Event, Sse};
use axum::response::{AppendHeaders, Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::stream::{self, Stream};
use http_body_util::BodyExt;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::convert::Infallible;
use std::time::Duration;

/// The whole site of the instance with this route.
pub(crate) fn app(route: &str) -> Router {
    Router::new()
        .route("/", get(home))
        .route("/session", get(session))
        .route("/upload", post(upload))
        .route("/events", get(events))
        .route("/tls", get(tls))
        .route("/whoami", get(whoami))
        // Uploads are not kept, so they may be of any size.
        .layer(DefaultBodyLimit::disable())
        .with_state(Sessions::new(route))
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

/// Counts the visits. The web server finds the way back by the id's suffix.
async fn session(State(sessions): State<Sessions>, headers: HeaderMap) -> Response {
    let Some(visit) = sessions.visit(&headers) else {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many sessions\n").into_response();
    };
    let route = visit.id.split_once('.').map(|(_, route)| route);
    let seen = Json(json!({ "visits": visit.visits, "route": route }));
    if visit.is_new {
        let cookie = format!("JSESSIONID={}; Path=/; HttpOnly; SameSite=Lax", visit.id);
        (AppendHeaders([(header::SET_COOKIE, cookie)]), seen).into_response()
    } else {
        seen.into_response()
    }
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
