//! The application in the tool's own containers, those of `ajp serve` and of a gateway without
//! a backend: it tells what it was asked.

use crate::ui;
use crate::values;
use ajp::mapping::text;
use ajp::server::RequestClaims;
use ajp::server::{RequestBody, RequestBodyError};
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use std::convert::Infallible;
use std::fmt::Write;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::Notify;

/// Largest body that `/echo` sends back.
pub(crate) const MAX_ECHO: usize = 64 << 20;
/// Largest body that `size` asks for.
const MAX_SIZE: u64 = 1 << 30;

/// The application, as a service that `ajp::server::serve` runs. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Application(Arc<State>);

impl Application {
    /// An application that tells every request on the standard error unless it is `quiet`.
    pub(crate) fn new(quiet: bool) -> Self {
        Self(Arc::new(State {
            route: None,
            quiet,
            left: None,
            all_done: Notify::new(),
        }))
    }

    /// With a cookie that leads back to this route, and an end after `count` requests.
    pub(crate) fn with(self, route: Option<String>, count: Option<u64>) -> Self {
        Self(Arc::new(State {
            route,
            quiet: self.0.quiet,
            left: count.map(AtomicU64::new),
            all_done: Notify::new(),
        }))
    }

    /// Completes when the last of the counted requests is answered.
    pub(crate) async fn all_done(&self) {
        self.0.all_done.notified().await;
    }
}

struct State {
    route: Option<String>,
    quiet: bool,
    /// Requests until the end.
    left: Option<AtomicU64>,
    all_done: Notify,
}

type Answer = Pin<Box<dyn Future<Output = Result<Response<Full<Bytes>>, Infallible>> + Send>>;

impl tower_service::Service<Request<RequestBody>> for Application {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RequestBody>) -> Answer {
        let state = Arc::clone(&self.0);
        Box::pin(async move {
            let response = state.answer(request).await;
            if let Some(left) = &state.left {
                if left.fetch_sub(1, Ordering::Relaxed) == 1 {
                    state.all_done.notify_one();
                }
            }
            Ok(response)
        })
    }
}

impl State {
    async fn answer(&self, request: Request<RequestBody>) -> Response<Full<Bytes>> {
        let (parts, body) = request.into_parts();
        let line = format!("{} {}", parts.method, parts.uri);
        if !self.quiet {
            // Before the body, which may take its time or never come.
            ui::say(&line);
        }
        let query = parts.uri.query().unwrap_or_default();
        let value = |name: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs
                .find(|(known, _)| *known == name)
                .map(|(_, value)| value)
        };
        if let Some(Ok(pause)) = value("sleep").map(values::duration) {
            tokio::time::sleep(pause.min(Duration::from_secs(600))).await;
        }
        let status = value("status").and_then(|code| code.parse().ok());
        let status = status.and_then(|code| StatusCode::from_u16(code).ok());
        let size = value("size").and_then(|size| size.parse::<u64>().ok());
        let is_echo = parts.uri.path() == "/echo";
        let most = if is_echo { MAX_ECHO } else { 0 };
        let (kept, length) = if has_body(&parts) {
            match read(body, most).await {
                Ok(read) => read,
                Err(error) => {
                    return plain(StatusCode::BAD_REQUEST, format!("{error}\n"));
                }
            }
        } else {
            (Bytes::new(), 0)
        };
        if !self.quiet && length > 0 {
            ui::say(&format!("{line}: {length} bytes"));
        }
        let mut response = if is_echo && length > kept.len() as u64 {
            plain(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("more than {MAX_ECHO} bytes\n"),
            )
        } else if is_echo {
            let mut response = Response::new(Full::new(kept));
            if let Some(kind) = parts.headers.get(header::CONTENT_TYPE) {
                response
                    .headers_mut()
                    .insert(header::CONTENT_TYPE, kind.clone());
            }
            response
        } else if let Some(size) = size.filter(|size| *size <= MAX_SIZE) {
            let size = usize::try_from(size).unwrap_or(usize::MAX);
            Response::new(Full::new(Bytes::from(vec![b'x'; size])))
        } else {
            plain(StatusCode::OK, described(&parts, length))
        };
        if let Some(status) = status {
            *response.status_mut() = status;
        }
        self.cookie(&parts.headers, &mut response);
        response
    }

    /// A session that leads back here, for who has none.
    fn cookie(&self, headers: &http::HeaderMap, response: &mut Response<Full<Bytes>>) {
        let Some(route) = &self.route else {
            return;
        };
        let mut cookies = headers.get_all(header::COOKIE).iter();
        let has_one = cookies.any(|line| text(line.as_bytes()).contains("JSESSIONID="));
        let cookie = format!("JSESSIONID=serve.{route}; Path=/; HttpOnly");
        if let (false, Ok(cookie)) = (has_one, cookie.try_into()) {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
    }
}

/// Whether a body is to be read. A GET or HEAD that announces none has none: clients such as
/// nmap's scripts never answer when they are asked for it.
fn has_body(parts: &http::request::Parts) -> bool {
    let is_plain = matches!(parts.method, http::Method::GET | http::Method::HEAD);
    let is_announced = [header::CONTENT_LENGTH, header::TRANSFER_ENCODING]
        .iter()
        .any(|name| parts.headers.contains_key(name));
    is_announced || !is_plain
}

/// Reads all of a body and keeps its first bytes: these, and how many there were.
async fn read(mut body: RequestBody, most: usize) -> Result<(Bytes, u64), RequestBodyError> {
    let (mut kept, mut length) = (Vec::new(), 0_u64);
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            length = length.saturating_add(data.len() as u64);
            let room = most.saturating_sub(kept.len());
            kept.extend_from_slice(data.get(..room).unwrap_or(&data));
        }
    }
    Ok((kept.into(), length))
}

fn plain(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    let kind = header::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// The request, line by line.
fn described(parts: &http::request::Parts, length: u64) -> String {
    let mut out = String::new();
    let mut line = |name: &str, value: &dyn std::fmt::Display| {
        let _ = writeln!(out, "{name}: {value}");
    };
    line("method", &parts.method);
    line("uri", &parts.uri);
    line("protocol", &format_args!("{:?}", parts.version));
    let facts = parts
        .extensions
        .get::<RequestClaims>()
        .cloned()
        .unwrap_or_default();
    let mut fact = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            line(name, &value);
        }
    };
    fact("remote address", facts.remote_addr().map(str::to_owned));
    fact(
        "remote port",
        facts.remote_port().map(|port| port.to_string()),
    );
    fact("remote host", facts.remote_host().map(str::to_owned));
    fact("server name", facts.server_name().map(str::to_owned));
    fact(
        "server port",
        facts.server_port().map(|port| port.to_string()),
    );
    fact("local address", facts.local_addr().map(str::to_owned));
    fact("user", facts.claimed_user().map(|value| value.to_string()));
    fact(
        "authentication",
        facts.auth_type().map(|value| value.to_string()),
    );
    fact("route", facts.route().map(|value| value.to_string()));
    fact("tls", facts.is_tls().then(|| "yes".to_owned()));
    if let Some(tls) = facts.tls_facts() {
        fact(
            "tls protocol",
            tls.protocol().map(|value| value.to_string()),
        );
        fact("tls cipher", tls.cipher().map(|value| value.to_string()));
        fact("tls key size", tls.key_size().map(|size| size.to_string()));
        let count = tls.certificates_pem().count();
        fact("tls certificates", (count > 0).then(|| count.to_string()));
    }
    for (name, value) in facts.attributes() {
        let _ = writeln!(out, "attribute: {}={}", text(name), text(value));
    }
    for (name, value) in &parts.headers {
        let _ = writeln!(out, "header: {name}: {}", text(value.as_bytes()));
    }
    let _ = writeln!(out, "body: {length} bytes");
    out
}
