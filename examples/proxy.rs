//! An HTTP proxy with upstreams of both kinds: paths of old applications go to containers over
//! AJP, all others over HTTP.
//!
//! ```text
//! cargo run --example proxy -- 127.0.0.1:8080 /app=ajp://127.0.0.1:8009 /=http://127.0.0.1:3000
//! ```
//! What every proxy must get right is in `ajp::proxy`: who the client is, which headers it may not
//! write, which host it asks for, which status an error becomes. `ajp gateway` does much more.

use ajp::client::{Address, Client, Pool, PoolConfig};
use ajp::proxy::{ForwardedRules, Peer, remove_hop_by_hop, settle_host, status_of};
use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri, Version};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::{self, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;
use tokio::net::TcpListener;

type BoxError = Box<dyn Error + Send + Sync>;
type Body = UnsyncBoxBody<Bytes, BoxError>;

/// Where requests go whose path begins so.
struct Route {
    prefix: String,
    upstream: Upstream,
}

enum Upstream {
    Ajp(Client),
    Http {
        client: Box<legacy::Client<HttpConnector, Incoming>>,
        to: Uri,
    },
}

impl Route {
    /// Of `/prefix=ajp://host:port` or `/prefix=http://host:port`.
    fn parse(text: &str) -> Result<Self, BoxError> {
        let (prefix, url) = text.split_once('=').ok_or("a route is PREFIX=URL")?;
        let upstream = if url.starts_with("ajp://") {
            let config =
                PoolConfig::default().with_secret(ajp::Secret::from_env_if_set("AJP_SECRET")?);
            Upstream::Ajp(Client::new(Pool::new(url.parse::<Address>()?, config)))
        } else {
            Upstream::Http {
                client: Box::new(legacy::Client::builder(TokioExecutor::new()).build_http()),
                to: url.parse()?,
            }
        };
        let prefix = prefix.trim_end_matches('/').into();
        Ok(Self { prefix, upstream })
    }

    /// Whether it is for a path: `/app` is for `/app` and `/app/x`, not for `/apple`.
    fn is_for(&self, path: &str) -> bool {
        let rest = path.strip_prefix(&*self.prefix);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', ';']))
    }
}

struct Proxy {
    routes: Vec<Route>,
    rules: ForwardedRules,
}

impl Proxy {
    async fn answer(&self, peer: &Peer, request: Request<Incoming>) -> Response<Body> {
        match self.forward(peer, request).await {
            Ok(response) => response,
            Err(status) => {
                let text = Full::new(Bytes::from(format!("{status}\n")));
                let mut response =
                    Response::new(text.map_err(|never| match never {}).boxed_unsync());
                *response.status_mut() = status;
                response
            }
        }
    }

    async fn forward(
        &self,
        peer: &Peer,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, StatusCode> {
        let (mut parts, body) = request.into_parts();
        let host = settle_host(&mut parts.headers, &parts.uri, parts.version)
            .map_err(|_| StatusCode::BAD_REQUEST)?;
        let origin = self.rules.apply(&mut parts.headers, peer);
        let path = parts.uri.path();
        let route = self.routes.iter().find(|route| route.is_for(path));
        match &route.ok_or(StatusCode::NOT_FOUND)?.upstream {
            Upstream::Ajp(client) => {
                let facts = origin.facts(peer, host.as_ref());
                let sent = client.send_parts(&parts, &facts, body).await;
                let response = sent.map_err(|error| status_of(&error))?;
                Ok(response.map(|body| body.map_err(Into::into).boxed_unsync()))
            }
            Upstream::Http { client, to } => {
                remove_hop_by_hop(&mut parts.headers);
                parts.headers.extend(origin.headers(host.as_ref()));
                let mut uri = to.clone().into_parts();
                uri.path_and_query = parts.uri.path_and_query().cloned();
                parts.uri = Uri::from_parts(uri).map_err(|_| StatusCode::BAD_REQUEST)?;
                parts.version = Version::HTTP_11;
                let sent = client.request(Request::from_parts(parts, body)).await;
                let mut response = sent.map_err(|_| StatusCode::BAD_GATEWAY)?;
                remove_hop_by_hop(response.headers_mut());
                Ok(response.map(|body| body.map_err(Into::into).boxed_unsync()))
            }
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let mut args = std::env::args().skip(1);
    let listen = args.next().ok_or("arguments: ADDRESS PREFIX=URL...")?;
    let mut routes = args
        .map(|text| Route::parse(&text))
        .collect::<Result<Vec<_>, _>>()?;
    // The longest that fits comes first.
    routes.sort_by_key(|route| std::cmp::Reverse(route.prefix.len()));
    let rules = ForwardedRules::new();
    let proxy = Arc::new(Proxy { routes, rules });
    let listener = TcpListener::bind(listen).await?;
    println!("proxy: http://{}", listener.local_addr()?);
    loop {
        let (stream, remote) = listener.accept().await?;
        let peer = Peer::new(remote).with_local(stream.local_addr()?);
        let proxy = Arc::clone(&proxy);
        tokio::spawn(async move {
            let service = service_fn(|request| async {
                Ok::<_, Infallible>(proxy.answer(&peer, request).await)
            });
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service);
            if let Err(error) = served.await {
                eprintln!("proxy: {remote}: {error}");
            }
        });
    }
}
