//! `ajp bridge`: AJP in, HTTP out, for a web server that cannot be changed and an application
//! that has left AJP.

mod upload;

use crate::complaints::Complaints;
use crate::exit::{Exit, Failure, chain, codes};
use crate::ui;
use ajp::Secret;
use ajp::proxy::{ForwardedRules, Origin, Peer, remove_hop_by_hop};
use ajp::server::{
    RequestBody, RequestBodyError, RequestClaims, ServerConfig, Trust, serve_with, shutdown_signal,
};
use bytes::Bytes;
use clap::Args;
use http::header::{self, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Request, Response, StatusCode, Uri, Version};
use http_body::Body as _;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error as ClientError};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::error::Error;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use upload::{Progress, Upload};

/// How long a connection to the application is kept without a request. Applications close theirs
/// after 2 s (gunicorn), 5 s (Node.js, uvicorn, httpd), 20 s (Tomcat) or more: one that is about
/// to be closed is not used, which a POST could not be repeated after. Opening another one costs a
/// round trip a second at most.
const IDLE_LIMIT: Duration = Duration::from_secs(1);

pub(crate) fn after_help() -> String {
    format!(
        "\
Examples:
  ajp bridge --to http://127.0.0.1:8080 --secret-file /etc/ajp.secret
  ajp bridge --to http://127.0.0.1:8080 --no-secret --user-header X-Remote-User

What the web server tells of the client goes into X-Forwarded-For, -Proto and -Host, and the user
that it has authenticated into the header of --user-header. What the client itself writes into
these headers, and into others that applications believe about users, certificates and addresses
(Remote-User, Client-Cert, X-SSL-*, X-Real-IP and more), is removed: with _ in place of -, too, for
applications take both for the same. One that the web server writes itself, by RequestHeader set
for example, goes on with --keep-header.

{}",
        codes(None, &[])
    )
}

#[derive(Debug, Args)]
pub(crate) struct BridgeArgs {
    /// Where to listen for AJP; port 0: any free one
    #[arg(short, long, value_name = "IP:PORT", default_value = "127.0.0.1:8009")]
    listen: SocketAddr,
    /// The application: http://host:port, without a path
    #[arg(long, value_name = "URL")]
    to: Uri,
    /// File that holds the secret shared with the web server
    #[arg(long, value_name = "FILE", required_unless_present = "no_secret")]
    secret_file: Option<PathBuf>,
    /// Believe whoever can connect
    #[arg(long, conflicts_with = "secret_file")]
    no_secret: bool,
    /// Header for the user that the web server has authenticated
    #[arg(long, value_name = "NAME")]
    user_header: Option<HeaderName>,
    /// Header of this kind that the web server itself writes over whatever a visitor sends, and that
    /// goes on; may be repeated
    #[arg(long, value_name = "NAME")]
    keep_header: Vec<HeaderName>,
    /// Longest time in which the application neither takes more of an upload nor begins to answer
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = crate::values::nonzero)]
    timeout: Duration,
}

pub(crate) fn run(args: BridgeArgs) -> Result<Exit, Failure> {
    crate::descriptors::raise_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::usage(format!("cannot start: {error}")))?;
    runtime.block_on(listen(args))
}

async fn listen(args: BridgeArgs) -> Result<Exit, Failure> {
    let trust = match &args.secret_file {
        Some(path) => Trust::Secrets(vec![
            Secret::from_file(path)
                .map_err(|error| Failure::usage(format!("secret file {error}")))?,
        ]),
        None => Trust::TrustedNetwork,
    };
    let config = ServerConfig::new(trust).with_trust_remote_user(args.user_header.is_some());
    let (listener, address) = crate::listen::listen(args.listen).await?;
    let to = args.to.clone();
    let bridge = Arc::new(Bridge::new(args)?);
    let complaints = Complaints::default();
    ui::print_line(&format!("ajp: bridge from ajp://{address} to {to}"))?;
    serve_with(listener, move |_: &SocketAddr| {
        BridgeService(Arc::clone(&bridge))
    })
    .with_config(config)
    .on_error(move |peer, error| complaints.tell(peer, error))
    .with_graceful_shutdown(shutdown_signal())
    .await;
    Ok(Exit::Done)
}

type Body = UnsyncBoxBody<Bytes, hyper::Error>;

/// From one web server's connections to the application.
struct Bridge {
    client: Client<HttpConnector, Upload>,
    to: Uri,
    rules: ForwardedRules,
    user_header: Option<HeaderName>,
    kept_headers: Vec<HeaderName>,
    timeout: Duration,
}

impl Bridge {
    fn new(args: BridgeArgs) -> Result<Self, Failure> {
        if args.to.scheme_str() != Some("http") || args.to.authority().is_none() {
            let text = format!("--to {}: must be http://host:port", args.to);
            return Err(Failure::usage(text));
        }
        if args.to.path() != "/" || args.to.query().is_some() {
            let text = format!(
                "--to {}: must be http://host:port without a path; the application is asked for the \
                 path that the web server sends, so map it there",
                args.to
            );
            return Err(Failure::usage(text));
        }
        let mut rules = ForwardedRules::new();
        if let Some(name) = &args.user_header {
            rules = rules.with_claim(name.as_str());
        }
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(Duration::from_secs(5)));
        Ok(Self {
            client: Client::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(IDLE_LIMIT)
                .build(connector),
            to: args.to,
            rules,
            user_header: args.user_header,
            kept_headers: args.keep_header,
            timeout: args.timeout,
        })
    }

    /// One request, both bodies streamed.
    async fn answer(&self, request: Request<RequestBody>) -> Response<Body> {
        let request = match self.outgoing(request) {
            Ok(request) => request,
            Err(text) => return failed(StatusCode::BAD_REQUEST, &text),
        };
        let progress = Progress::new();
        let request = request.map(|body| Upload::new(body, progress.clone()));
        let answered = tokio::select! {
            answered = self.send(request, &progress) => answered,
            () = progress.stalled(self.timeout) => {
                let text = format!("the application did nothing for {:?}", self.timeout);
                return failed(StatusCode::GATEWAY_TIMEOUT, &text);
            }
        };
        match answered {
            Ok(mut response) => {
                remove_hop_by_hop(response.headers_mut());
                response.map(BodyExt::boxed_unsync)
            }
            Err(error) => {
                let status = if is_upload_error(&error) {
                    StatusCode::BAD_REQUEST
                } else {
                    StatusCode::BAD_GATEWAY
                };
                failed(status, &chain(&error))
            }
        }
    }

    /// Sends the request. An application that has closed a kept connection as the request went out
    /// is asked once more, over another connection, if that changes nothing: the method is
    /// idempotent (RFC 9110, section 9.2.2) and there is no body, which would be gone. The client's
    /// own repetition is for requests that were not written at all.
    async fn send(
        &self,
        request: Request<Upload>,
        progress: &Progress,
    ) -> Result<Response<Incoming>, ClientError> {
        let may_repeat = request.method().is_idempotent() && request.body().is_end_stream();
        let (parts, body) = request.into_parts();
        let again = may_repeat.then(|| parts.clone());
        let answered = self.client.request(Request::from_parts(parts, body)).await;
        match (answered, again) {
            (Err(error), Some(parts)) if is_closed(&error) => {
                let body = Upload::empty(progress.clone());
                self.client.request(Request::from_parts(parts, body)).await
            }
            (answered, _) => answered,
        }
    }

    /// The request as the application gets it.
    fn outgoing(&self, request: Request<RequestBody>) -> Result<Request<RequestBody>, String> {
        let (mut parts, body) = request.into_parts();
        let claims = parts.extensions.remove::<RequestClaims>();
        let claims = claims.unwrap_or_default();
        let mut uri = self.to.clone().into_parts();
        let root = || PathAndQuery::from_static("/");
        uri.path_and_query = Some(parts.uri.path_and_query().cloned().unwrap_or_else(root));
        parts.uri = Uri::from_parts(uri).map_err(|error| error.to_string())?;
        // Whatever the visitor spoke with the web server.
        parts.version = Version::HTTP_11;
        let headers = &mut parts.headers;
        remove_hop_by_hop(headers);
        // The web server's word is in the claims. Headers are the client's, so nobody's claims
        // in them are believed.
        let kept = self.kept_headers.iter().flat_map(|name| {
            let values = headers.get_all(name).iter();
            values.map(|value| (name.clone(), value.clone()))
        });
        let kept: Vec<_> = kept.collect();
        self.rules.apply(headers, &Peer::without_address());
        for name in &self.kept_headers {
            headers.remove(name);
        }
        headers.extend(kept);
        let host = headers.get(header::HOST).cloned();
        for (name, value) in Origin::from_claims(&claims).headers(host.as_ref()) {
            headers.insert(name, value);
        }
        if let (Some(name), Some(user)) = (&self.user_header, claims.remote_user()) {
            let user = HeaderValue::from_bytes(user.as_bytes())
                .map_err(|_| "the user's name cannot be a header".to_owned())?;
            headers.insert(name, user);
        }
        Ok(Request::from_parts(parts, body))
    }
}

/// Whether the application has closed the connection without an answer.
fn is_closed(error: &(dyn Error + 'static)) -> bool {
    let by_hyper = error.downcast_ref::<hyper::Error>();
    let by_system = error.downcast_ref::<io::Error>().map(io::Error::kind);
    by_hyper.is_some_and(hyper::Error::is_incomplete_message)
        || by_system == Some(io::ErrorKind::ConnectionReset)
        || by_system == Some(io::ErrorKind::BrokenPipe)
        || error.source().is_some_and(is_closed)
}

/// Whether it was the upload that ended too early, and not the application.
fn is_upload_error(error: &(dyn Error + 'static)) -> bool {
    error.is::<RequestBodyError>() || error.source().is_some_and(is_upload_error)
}

fn failed(status: StatusCode, text: &str) -> Response<Body> {
    ui::error(text);
    let body = Full::new(Bytes::from(format!("{status}\n")));
    let mut response = Response::new(body.map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = status;
    response
}

/// The bridge as a service.
struct BridgeService(Arc<Bridge>);

impl tower_service::Service<Request<RequestBody>> for BridgeService {
    type Response = Response<Body>;
    type Error = std::convert::Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        let bridge = Arc::clone(&self.0);
        Box::pin(async move { Ok(bridge.answer(request).await) })
    }
}
