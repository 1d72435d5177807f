//! A small axum application, as it would run behind httpd: nothing in it knows of AJP but
//! the request facts.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    unreachable_pub,
    reason = "generated data; the module is also used by tests"
)]

use ajp::server::RequestClaims;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Path, Query, Request};
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse};
use axum::routing::{any, get};
use axum::{Json, Router};
use futures_util::stream;
use http_body_util::BodyExt;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::convert::Infallible;
use std::time::Duration;

/// The application.
pub fn app() -> Router {
    Router::new()
        .route("/hello", any(|| async { "Hello, AJP!\n" }))
        .route("/echo", any(echo))
        .route("/echo/{*rest}", any(echo))
        .route("/bytes", get(bytes))
        .route("/slow", get(slow))
        .route("/upload", any(upload))
        // The answer begins before anything of the request's body was read.
        .route("/same", any(|body: axum::body::Body| async { body }))
        .route("/unread", any(|| async { "unread\n" }))
        .route("/status/{code}", any(status))
        .route("/headers", get(headers))
        .route("/cookies", get(cookies))
        .route("/abort", get(abort))
        .layer(DefaultBodyLimit::disable())
}

/// Everything that is known about the request, and length and hash of its body.
async fn echo(request: Request) -> Result<Json<Value>, StatusCode> {
    let (parts, body) = request.into_parts();
    let facts = parts
        .extensions
        .get::<RequestClaims>()
        .cloned()
        .unwrap_or_default();
    let headers: Vec<_> = parts
        .headers
        .iter()
        .map(|(name, value)| {
            (
                name.as_str(),
                ajp::mapping::text(value.as_bytes()).into_owned(),
            )
        })
        .collect();
    let attributes: Vec<_> = facts
        .attributes()
        .map(|(name, value)| {
            (
                ajp::mapping::text(name).into_owned(),
                ajp::mapping::text(value).into_owned(),
            )
        })
        .collect();
    let tls = facts.tls_facts().map(|tls| {
        json!({
            "protocol": tls.protocol(),
            "cipher": tls.cipher(),
            "key_size": tls.key_size(),
            "session_id": tls.session_id(),
            "certificate_pem": tls.certificate_pem().map(ajp::mapping::text),
        })
    });
    let body = digest(body).await?;
    Ok(Json(json!({
        "method": parts.method.as_str(),
        "uri": parts.uri.to_string(),
        "path": parts.uri.path(),
        "query": parts.uri.query(),
        "version": format!("{:?}", parts.version),
        "headers": headers,
        "remote_addr": facts.remote_addr(),
        "remote_host": facts.remote_host(),
        "remote_port": facts.remote_port(),
        "local_addr": facts.local_addr(),
        "server_name": facts.server_name(),
        "server_port": facts.server_port(),
        "is_ssl": facts.is_tls(),
        "tls": tls,
        "remote_user": facts.remote_user(),
        "claimed_user": facts.claimed_user(),
        "auth_type": facts.auth_type(),
        "route": facts.route(),
        "activation": facts.activation(),
        "attributes": attributes,
        "body": body,
    })))
}

/// Length and SHA-256 of the request body.
async fn upload(request: Request) -> Result<Json<Value>, StatusCode> {
    Ok(Json(digest(request.into_body()).await?))
}

async fn digest(mut body: Body) -> Result<Value, StatusCode> {
    let (mut length, mut hash) = (0, Sha256::new());
    while let Some(frame) = body.frame().await {
        // A body that breaks off must not look complete.
        let frame = frame.map_err(|_| StatusCode::BAD_REQUEST)?;
        if let Ok(data) = frame.into_data() {
            length += data.len();
            hash.update(&data);
        }
    }
    Ok(json!({ "length": length, "sha256": format!("{:x}", hash.finalize()) }))
}

#[derive(Deserialize)]
struct Numbers {
    /// How many bytes, headers or parts.
    n: Option<usize>,
    /// Pause before each part.
    ms: Option<u64>,
    /// 1 announces a Content-Length.
    len: Option<u8>,
    /// Characters of each header's value.
    size: Option<usize>,
}

/// The byte at a position of every generated body.
fn byte_at(position: usize) -> u8 {
    (position.wrapping_mul(31).wrapping_add(position >> 8) & 0xff) as u8
}

/// `n` bytes, the same every time. With `len=1` their number is announced.
async fn bytes(Query(query): Query<Numbers>) -> Response<Body> {
    const PIECE: usize = 16 * 1024;
    let n = query.n.unwrap_or(0);
    let pieces = (0..n).step_by(PIECE).map(move |start| {
        let piece: Vec<u8> = (start..n.min(start + PIECE)).map(byte_at).collect();
        Ok::<_, Infallible>(Bytes::from(piece))
    });
    let mut response = Response::new(Body::from_stream(stream::iter(pieces)));
    if query.len == Some(1) {
        response
            .headers_mut()
            .insert(header::CONTENT_LENGTH, n.into());
    }
    response
}

/// Five parts (or `n`), each after a pause of `ms` milliseconds.
async fn slow(Query(query): Query<Numbers>) -> Response<Body> {
    let pause = Duration::from_millis(query.ms.unwrap_or(200));
    let parts = stream::unfold(0, move |part| async move {
        if part == query.n.unwrap_or(5) {
            return None;
        }
        tokio::time::sleep(pause).await;
        Some((Ok::<_, Infallible>(format!("part {part}\n")), part + 1))
    });
    Response::new(Body::from_stream(parts))
}

async fn status(Path(code): Path<u16>) -> impl IntoResponse {
    match StatusCode::from_u16(code) {
        Ok(status) if code >= 200 => (status, format!("status {code}\n")),
        _ => (StatusCode::NOT_FOUND, "no such status\n".into()),
    }
}

/// `n` response headers.
async fn headers(Query(query): Query<Numbers>) -> Response<Body> {
    let mut response = Response::new(Body::from("headers\n"));
    for i in 0..query.n.unwrap_or(10) {
        let name = HeaderName::try_from(format!("x-h-{i}"));
        let value = match query.size {
            Some(size) => "v".repeat(size.min(1 << 16)),
            None => format!("value {i}"),
        };
        if let (Ok(name), Ok(value)) = (name, HeaderValue::try_from(value)) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

async fn cookies() -> impl IntoResponse {
    let cookies =
        ["a=1; Path=/", "b=2; HttpOnly", "c=3"].map(|cookie| (header::SET_COOKIE, cookie));
    (AppendHeaders(cookies), "cookies\n")
}

/// A response that fails after `n` bytes.
async fn abort(Query(query): Query<Numbers>) -> Response<Body> {
    let data = Bytes::from(
        (0..query.n.unwrap_or(1000))
            .map(byte_at)
            .collect::<Vec<_>>(),
    );
    let parts = [Ok(data), Err(std::io::Error::other("aborted on purpose"))];
    let mut response = Response::new(Body::from_stream(stream::iter(parts)));
    if query.len == Some(1) {
        response
            .headers_mut()
            .insert(header::CONTENT_LENGTH, 1_000_000.into());
    }
    response
}
