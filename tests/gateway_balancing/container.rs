//! Containers that say who they are and do what the query asks for.

use ajp::client::Address;
use ajp::server::RequestClaims;
use axum::extract::{Query, Request};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use serde_json::json;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A container on a free loopback port. Dropped, it is gone.
pub(crate) struct Container {
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    server: JoinHandle<()>,
}

impl Container {
    pub(crate) async fn start(name: &str) -> Self {
        Self::listen(name, "127.0.0.1:0".parse().unwrap()).await
    }

    /// A container at an address that was another's.
    pub(crate) async fn listen(name: &str, address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let route = name.to_owned();
        let app = Router::new().fallback(move |query, facts, request| {
            let name = route.clone();
            async move { answer(&name, query, facts, request).await }
        });
        let server = ajp::server::serve(listener, app).trusted_network();
        Self {
            name: name.into(),
            address,
            server: tokio::spawn(server.into_future()),
        }
    }

    pub(crate) fn url(&self) -> String {
        Address::from(self.address).to_string()
    }

    /// A `[[balancer.member]]` whose route is the name.
    pub(crate) fn member(&self, more: &str) -> String {
        member(&self.url(), &self.name, more)
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A `[[balancer.member]]`; `more` are further lines.
pub(crate) fn member(url: &str, route: &str, more: &str) -> String {
    format!("[[balancer.member]]\nurl = \"{url}\"\nroute = \"{route}\"\n{more}\n")
}

/// What is seen of the request, as JSON. Of the query, `status`, `location`, `cookie`,
/// `refresh` and `type` shape the response, `sleep` delays it by milliseconds, `login` gives
/// it a session.
async fn answer(
    name: &str,
    Query(query): Query<HashMap<String, String>>,
    Extension(facts): Extension<RequestClaims>,
    request: Request,
) -> Response {
    static SESSIONS: AtomicU32 = AtomicU32::new(0);
    if let Some(pause) = query.get("sleep") {
        tokio::time::sleep(Duration::from_millis(pause.parse().unwrap())).await;
    }
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, usize::MAX).await else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let headers: Vec<_> = parts
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), ajp::mapping::text(value.as_bytes())))
        .collect();
    let seen = json!({
        "name": name,
        "path": parts.uri.path(),
        "query": parts.uri.query(),
        "headers": headers,
        "remote": facts.remote_addr(),
        "tls": facts.is_tls(),
        "route": facts.route(),
        "body": body.len(),
    });
    let mut response = axum::Json(seen).into_response();
    if let Some(status) = query.get("status") {
        *response.status_mut() = status.parse().unwrap();
    }
    let mut set = |name: &'static str, value: &str| {
        let value = value.parse().unwrap();
        response.headers_mut().append(name, value);
    };
    for (key, name) in [
        ("location", "location"),
        ("content-location", "content-location"),
        ("refresh", "refresh"),
        ("cookie", "set-cookie"),
    ] {
        if let Some(value) = query.get(key) {
            set(name, value);
        }
    }
    if query.contains_key("login") {
        let id = SESSIONS.fetch_add(1, Ordering::Relaxed);
        set(
            "set-cookie",
            &format!("JSESSIONID={id:08X}.{name}; Path=/app; HttpOnly"),
        );
    }
    response
}
