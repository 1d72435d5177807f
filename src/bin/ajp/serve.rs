//! `ajp serve`: a container that tells what it was asked.

use crate::exit::{CODES, Exit, Failure};
use crate::peer::SecretArgs;
use crate::ui;
use crate::values;
use ajp::mapping::{RequestFacts, text};
use ajp::server::{
    AttributeAction, AttributePolicy, RequestBody, RequestBodyError, ServerConfig, Trust, serve,
};
use ajp::wire::PacketSize;
use bytes::Bytes;
use clap::Args;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use std::convert::Infallible;
use std::fmt::Write;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Notify;

/// Largest body that `/echo` sends back.
const MAX_ECHO: usize = 64 << 20;
/// Largest body that `size` asks for.
const MAX_SIZE: u64 = 1 << 30;

pub(crate) fn after_help() -> String {
    format!(
        "\
Examples:
  ajp serve --no-secret                         on 127.0.0.1:8009, for whoever can connect
  ajp serve --secret-file /etc/ajp.secret --listen 127.0.0.1:8010 --route jvm1
  ajp serve --no-secret --count 1               until one request is answered
  ajp get 'ajp://127.0.0.1/any/path?status=503&sleep=200ms'
  ajp post -d @file ajp://127.0.0.1/echo        the body comes back

Every path answers with what arrived, as text; /echo with the body that it got. In the query,
status=NNN, sleep=TIME and size=BYTES shape the answer.

{CODES}"
    )
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Where to listen; port 0: any free one
    #[arg(short, long, value_name = "IP:PORT", default_value = "127.0.0.1:8009")]
    listen: SocketAddr,
    /// AJP packet size in bytes, 8192 to 65536; must be the web server's
    #[arg(long, value_name = "BYTES", default_value = "8192", value_parser = values::packet_size)]
    packet_size: PacketSize,
    /// Route of this container: answers carry a JSESSIONID cookie that ends in it
    #[arg(long, value_name = "NAME")]
    route: Option<String>,
    /// Accept request attributes of this name, may be repeated; *: of every name
    #[arg(long = "accept-attr", value_name = "NAME")]
    attributes: Vec<String>,
    /// Take the user that the web server has authenticated for authenticated
    #[arg(long)]
    trust_remote_user: bool,
    /// End after so many requests
    #[arg(short, long, value_name = "N")]
    count: Option<u64>,
    /// No line for each request
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    secret: SecretArgs,
}

impl ServeArgs {
    pub(crate) async fn run(self) -> Result<Exit, Failure> {
        let trust = match self.secret.read()? {
            Some(secret) => Trust::Secrets(vec![secret]),
            None if self.secret.is_refused() => Trust::TrustedNetwork,
            None => {
                return Err(Failure::usage(
                    "whom to believe? Give --secret-file, --secret-env or AJP_SECRET, or say \
                     --no-secret where only web servers can connect",
                ));
            }
        };
        let listener = TcpListener::bind(self.listen).await.map_err(|error| {
            Failure::usage(format!("cannot listen on {}: {error}", self.listen))
        })?;
        let address = listener
            .local_addr()
            .map_err(|error| Failure::usage(error.to_string()))?;
        let mut policy = AttributePolicy::default();
        for name in &self.attributes {
            policy = match &**name {
                "*" => policy.others(AttributeAction::Accept),
                name => policy.accept(name),
            };
        }
        let config = ServerConfig::new(trust)
            .with_packet_size(self.packet_size)
            .with_attributes(policy)
            .with_trust_remote_user(self.trust_remote_user);
        let all_done = Arc::new(Notify::new());
        let app = Echo(Arc::new(State {
            route: self.route,
            quiet: self.quiet,
            left: self.count.map(AtomicU64::new),
            all_done: Arc::clone(&all_done),
        }));
        ui::print_line(&format!("ajp: serving at ajp://{address}"))?;
        serve(listener, app)
            .with_config(config)
            .on_error(|peer, error| ui::error(&format!("{peer:?}: {}", crate::exit::chain(error))))
            .with_graceful_shutdown(async move {
                tokio::select! {
                    _ = tokio::signal::ctrl_c() => {}
                    () = all_done.notified() => {}
                }
            })
            .await;
        Ok(Exit::Done)
    }
}

#[derive(Clone)]
struct Echo(Arc<State>);

struct State {
    route: Option<String>,
    quiet: bool,
    /// Requests until the end.
    left: Option<AtomicU64>,
    all_done: Arc<Notify>,
}

type Answer = Pin<Box<dyn Future<Output = Result<Response<Full<Bytes>>, Infallible>> + Send>>;

impl tower_service::Service<Request<RequestBody>> for Echo {
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
        let (kept, length) = match read(body, most).await {
            Ok(read) => read,
            Err(error) => {
                return plain(StatusCode::BAD_REQUEST, format!("{error}\n"));
            }
        };
        if !self.quiet {
            let (method, uri) = (&parts.method, &parts.uri);
            ui::say(&format!("{method} {uri}, {length} bytes"));
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
        .get::<RequestFacts>()
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
    fact("user", facts.asserted_user().map(|value| value.to_string()));
    fact(
        "authentication",
        facts.auth_type().map(|value| value.to_string()),
    );
    fact("route", facts.route().map(|value| value.to_string()));
    fact("tls", facts.is_ssl().then(|| "yes".to_owned()));
    if let Some(tls) = facts.tls() {
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
