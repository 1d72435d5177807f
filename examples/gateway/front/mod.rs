//! The HTTP side: every request becomes one AJP exchange with a member of the balancer that
//! its path leads to; bodies stream both ways.

mod answer;
mod listen;
mod log;
mod map;
mod network;
mod origin;
mod reverse;

pub use answer::wants_html;
pub use listen::{Ends, serve};
pub use log::AccessLog;
pub use map::{Mapping, Maps};
pub use network::Network;

use ajp::balancer::ResponseBody;
use ajp::http::RequestFacts;
use answer::Refusal;
use bytes::Bytes;
use http::header::HOST;
use http::uri::PathAndQuery;
use http::{Method, Request, Response, StatusCode, Uri};
use http_body::Body as _;
use http_body_util::{Either, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use log::{Entry, Logged, Served};
use map::Found;
use std::convert::Infallible;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;

type GatewayBody = Logged<Either<ResponseBody, Full<Bytes>>>;

/// What is served, and how.
#[derive(Debug, Default)]
pub struct Site {
    pub maps: Maps,
    /// Largest request body in bytes.
    pub max_body: Option<u64>,
    /// Proxies whose word about their clients is taken.
    pub trusted_proxies: Vec<Network>,
    pub log: AccessLog,
}

/// Serves the site until `stopping` turns true, then ends what is running.
pub async fn run(listener: TcpListener, site: Arc<Site>, stopping: watch::Receiver<bool>) {
    let service = |ends| {
        let site = Arc::clone(&site);
        service_fn(move |request| {
            let site = Arc::clone(&site);
            async move { Ok::<_, Infallible>(answer(&site, request, ends).await) }
        })
    };
    serve(listener, stopping, service).await;
}

async fn answer(site: &Site, request: Request<Incoming>, ends: Ends) -> Response<GatewayBody> {
    let mut entry = site.log.entry(&request, Some(ends.peer.ip()));
    let by_browser = answer::wants_html(request.headers());
    let response = match forward(site, request, ends, &mut entry).await {
        Ok(response) => response.map(Either::Left),
        Err(refusal) => {
            entry.status(refusal.status);
            refusal.response(by_browser).map(Either::Right)
        }
    };
    response.map(|body| Logged::new(body, entry))
}

async fn forward(
    site: &Site,
    request: Request<Incoming>,
    ends: Ends,
    entry: &mut Entry,
) -> Result<Response<ResponseBody>, Refusal> {
    let bad = |text| Refusal::new(StatusCode::BAD_REQUEST, text);
    if request.method() == Method::CONNECT {
        let text = "the method is not supported";
        return Err(Refusal::new(StatusCode::NOT_IMPLEMENTED, text));
    }
    let (mapping, inward) = match site.maps.find(request.uri().path()) {
        Found::Mapped(mapping, inward) => (mapping, inward),
        Found::Ambiguous => return Err(bad("the path has dot segments")),
        Found::Nothing => {
            let text = "there is nothing at this address";
            return Err(Refusal::new(StatusCode::NOT_FOUND, text));
        }
    };
    let length = request.body().size_hint().exact();
    if matches!((site.max_body, length), (Some(limit), Some(length)) if length > limit) {
        return Err(answer::too_large());
    }
    let limit = site.max_body.and_then(|limit| usize::try_from(limit).ok());
    let mut request = request.map(|body| Limited::new(body, limit.unwrap_or(usize::MAX)));
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let facts = facts(&mut request, ends, &site.trusted_proxies, entry).map_err(bad)?;
    request.extensions_mut().insert(facts);
    let host = request.headers().get(HOST).cloned();
    *request.uri_mut() = target(&uri, inward).ok_or_else(|| bad("the path cannot be mapped"))?;

    match mapping.balancer().send(request).await {
        Ok(mut response) => {
            let served = response.extensions_mut().remove::<ajp::balancer::Served>();
            let served = served.map(|served| Served {
                route: served.route,
                member: Some(served.member),
                attempts: served.failed.len().saturating_add(1),
            });
            entry.status(response.status());
            entry.served(served.unwrap_or_default());
            let host = host.as_ref().and_then(|host| host.to_str().ok());
            reverse::headers(response.headers_mut(), mapping, &site.maps, host);
            Ok(response)
        }
        Err(error) => {
            eprintln!("gateway: {method} {uri}: {}", answer::chain(&error));
            let attempts = error.attempts();
            let last = attempts.last().map(|attempt| Arc::clone(&attempt.member));
            entry.served(Served {
                route: None,
                member: last,
                attempts: attempts.len(),
            });
            Err(Refusal::of(&error))
        }
    }
}

/// What is known of the client; its own claims are gone from the headers afterwards.
fn facts<B>(
    request: &mut Request<B>,
    ends: Ends,
    trusted: &[Network],
    entry: &mut Entry,
) -> Result<RequestFacts, &'static str> {
    let (uri, version) = (request.uri().clone(), request.version());
    let peer = ends.peer.ip();
    let origin = origin::settle(request.headers_mut(), &uri, version, peer, trusted)?;
    entry.client(origin.client);
    let port = if origin.is_direct {
        ends.peer.port()
    } else {
        0
    };
    let mut facts = RequestFacts::new().remote((origin.client, port).into());
    if let Some(local) = ends.local {
        facts = facts.local(local);
    }
    if origin.is_tls {
        facts = facts.tls_on();
    }
    Ok(facts)
}

/// The request's target at the members: the mapped path and the query as it was.
fn target(uri: &Uri, mut path: String) -> Option<Uri> {
    if let Some(query) = uri.query() {
        path.push('?');
        path.push_str(query);
    }
    let path = PathAndQuery::from_maybe_shared(Bytes::from(path)).ok()?;
    let mut parts = http::uri::Parts::default();
    parts.path_and_query = Some(path);
    Uri::from_parts(parts).ok()
}
