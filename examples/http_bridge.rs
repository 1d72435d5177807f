//! AJP in, HTTP out: for a web server that cannot be changed and an application that has
//! left AJP.
//!
//! ```text
//! cargo run --release --example http_bridge -- --to http://127.0.0.1:8080 --no-secret
//! ```
//!
//! What AJP tells beyond HTTP goes into the usual headers: `x-forwarded-for`, `-proto` and
//! `-host`, and with `--user-header NAME` the authenticated user. The same headers of the
//! client's are dropped, since the application is to believe them.

use ajp::Secret;
use ajp::server::RequestClaims;
use ajp::server::{RequestBody, ServerConfig, Trust, serve};
use bytes::Bytes;
use clap::Parser;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Request, Response, StatusCode, Uri};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::net::TcpListener;

#[derive(Debug, Clone, Parser)]
#[command(about = "AJP in, HTTP out")]
struct Args {
    /// Address of the AJP port
    #[arg(long, default_value = "127.0.0.1:8009")]
    listen: SocketAddr,
    /// The application: http://host:port
    #[arg(long)]
    to: Uri,
    /// File that holds the secret shared with the web server
    #[arg(long, required_unless_present = "no_secret")]
    secret_file: Option<PathBuf>,
    /// Believe whoever can connect
    #[arg(long, conflicts_with = "secret_file")]
    no_secret: bool,
    /// Header for the user that the web server has authenticated
    #[arg(long)]
    user_header: Option<HeaderName>,
}

type BoxError = Box<dyn Error + Send + Sync>;
type Body = BoxBody<Bytes, BoxError>;
type HttpClient = Client<HttpConnector, RequestBody>;

/// What belongs to one connection and not to the message.
const HOP_BY_HOP: [&str; 8] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// What only this program may say to the application.
const OURS: [&str; 5] = [
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
];

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("http_bridge: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<(), BoxError> {
    if args.to.scheme_str() != Some("http") || args.to.authority().is_none() {
        return Err(format!("--to {}: must be http://host:port", args.to).into());
    }
    let trust = match &args.secret_file {
        Some(path) => Trust::Secrets(vec![
            Secret::from_file(path).map_err(|error| format!("{}: {error}", path.display()))?,
        ]),
        None => Trust::TrustedNetwork,
    };
    let listener = TcpListener::bind(args.listen).await?;
    println!(
        "http_bridge: ajp://{} to {}",
        listener.local_addr()?,
        args.to
    );
    let client: HttpClient = Client::builder(TokioExecutor::new()).build_http();
    let config = ServerConfig::new(trust).with_trust_remote_user(args.user_header.is_some());
    let app = tower::service_fn(move |request| bridge(client.clone(), args.clone(), request));
    serve(listener, app)
        .with_config(config)
        .on_error(|peer, error| eprintln!("http_bridge: {peer:?}: {error}"))
        .with_graceful_shutdown(async {
            let _ = tokio::signal::ctrl_c().await;
        })
        .await;
    Ok(())
}

/// One request, both bodies streamed.
async fn bridge(
    client: HttpClient,
    args: Args,
    request: Request<RequestBody>,
) -> Result<Response<Body>, Infallible> {
    let forwarded = match outgoing(&args, request) {
        Ok(request) => request,
        Err(error) => return Ok(failed(StatusCode::BAD_REQUEST, &*error)),
    };
    Ok(match client.request(forwarded).await {
        Ok(mut response) => {
            strip(response.headers_mut());
            response.map(|body| body.map_err(Into::into).boxed())
        }
        Err(error) => failed(StatusCode::BAD_GATEWAY, &error),
    })
}

fn outgoing(args: &Args, request: Request<RequestBody>) -> Result<Request<RequestBody>, BoxError> {
    let (mut parts, body) = request.into_parts();
    let facts = parts
        .extensions
        .remove::<RequestClaims>()
        .unwrap_or_default();
    let mut uri = args.to.clone().into_parts();
    uri.path_and_query = Some(
        parts
            .uri
            .path_and_query()
            .cloned()
            .unwrap_or_else(|| http::uri::PathAndQuery::from_static("/")),
    );
    parts.uri = Uri::from_parts(uri)?;
    let headers = &mut parts.headers;
    strip(headers);
    for name in OURS {
        headers.remove(name);
    }
    if let Some(host) = headers.get(header::HOST).cloned() {
        headers.insert("x-forwarded-host", host);
    }
    if let Some(address) = facts.remote_addr() {
        headers.insert("x-forwarded-for", HeaderValue::from_str(address)?);
    }
    let scheme = if facts.is_tls() { "https" } else { "http" };
    headers.insert("x-forwarded-proto", HeaderValue::from_static(scheme));
    if let Some(name) = &args.user_header {
        headers.remove(name);
        if let Some(user) = facts.remote_user() {
            headers.insert(name, HeaderValue::from_bytes(user.as_bytes())?);
        }
    }
    Ok(Request::from_parts(parts, body))
}

fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

fn failed(status: StatusCode, error: &dyn Error) -> Response<Body> {
    eprintln!("http_bridge: {error}");
    let text = Full::new(Bytes::from(format!("{status}\n")));
    let mut response = Response::new(text.map_err(|never| match never {}).boxed());
    *response.status_mut() = status;
    response
}
