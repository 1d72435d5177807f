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
use http::header::{HOST, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, Request, Response, StatusCode, Uri, request};
use http_body::Body as _;
use http_body_util::{Either, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use log::{Entry, Logged, Served};
use map::Found;
use std::borrow::Cow;
use std::convert::Infallible;
use std::net::SocketAddr;
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

/// What all requests of a connection have in common.
struct Client {
    ends: Ends,
    peer: origin::Peer,
    /// Of requests that the peer makes for itself.
    facts: RequestFacts,
}

impl Client {
    fn new(ends: Ends) -> Self {
        Self {
            ends,
            peer: origin::Peer::new(ends.peer.ip()),
            facts: facts(ends, ends.peer),
        }
    }
}

/// Serves the site until `stopping` turns true, then ends what is running.
pub async fn run(listener: TcpListener, site: Arc<Site>, stopping: watch::Receiver<bool>) {
    let service = |ends| {
        let here = Arc::new((Arc::clone(&site), Client::new(ends)));
        service_fn(move |request| {
            let here = Arc::clone(&here);
            async move { Ok::<_, Infallible>(answer(&here.0, request, &here.1).await) }
        })
    };
    serve(listener, stopping, service).await;
}

async fn answer(site: &Site, request: Request<Incoming>, client: &Client) -> Response<GatewayBody> {
    let mut entry = site.log.entry(&request, Some(client.ends.peer.ip()));
    let by_browser = answer::wants_html(request.headers());
    let response = match forward(site, request, client, &mut entry).await {
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
    client: &Client,
    entry: &mut Entry,
) -> Result<Response<ResponseBody>, Refusal> {
    let Outgoing {
        request,
        mapping,
        method,
        uri,
        host,
    } = outgoing(site, request, client, entry)?;
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

/// A request as it goes to the members, and what is kept of it.
struct Outgoing<'a> {
    request: Request<Limited<Incoming>>,
    mapping: &'a Mapping,
    method: Method,
    uri: Uri,
    host: Option<HeaderValue>,
}

fn outgoing<'a>(
    site: &'a Site,
    request: Request<Incoming>,
    client: &Client,
    entry: &mut Entry,
) -> Result<Outgoing<'a>, Refusal> {
    let bad = |text| Refusal::new(StatusCode::BAD_REQUEST, text);
    let (mut parts, body) = request.into_parts();
    if parts.method == Method::CONNECT {
        let text = "the method is not supported";
        return Err(Refusal::new(StatusCode::NOT_IMPLEMENTED, text));
    }
    let (mapping, inward) = match site.maps.find(parts.uri.path()) {
        Found::Mapped(mapping, inward) => (mapping, inward),
        Found::Ambiguous => return Err(bad("the path has dot segments")),
        Found::Nothing => {
            let text = "there is nothing at this address";
            return Err(Refusal::new(StatusCode::NOT_FOUND, text));
        }
    };
    let length = body.size_hint().exact();
    if matches!((site.max_body, length), (Some(limit), Some(length)) if length > limit) {
        return Err(answer::too_large());
    }
    let limit = site.max_body.and_then(|limit| usize::try_from(limit).ok());
    let body = Limited::new(body, limit.unwrap_or(usize::MAX));
    let target = target(&parts.uri, inward).ok_or_else(|| bad("the path cannot be mapped"))?;
    let uri = std::mem::replace(&mut parts.uri, target);
    let facts = settled(&mut parts, &uri, client, &site.trusted_proxies, entry).map_err(bad)?;
    parts.extensions.insert(facts);
    // Only for the way back.
    let host = site.maps.is_changing();
    let host = host.then(|| parts.headers.get(HOST).cloned()).flatten();
    Ok(Outgoing {
        method: parts.method.clone(),
        request: Request::from_parts(parts, body),
        mapping,
        uri,
        host,
    })
}

/// What is known of the client; its own claims are gone from the headers afterwards.
fn settled(
    parts: &mut request::Parts,
    uri: &Uri,
    client: &Client,
    trusted: &[Network],
    entry: &mut Entry,
) -> Result<RequestFacts, &'static str> {
    let origin = origin::settle(
        &mut parts.headers,
        uri,
        parts.version,
        &client.peer,
        trusted,
    )?;
    entry.client(origin.client);
    let facts = if origin.is_direct {
        client.facts.clone()
    } else {
        facts(client.ends, (origin.client, 0).into())
    };
    Ok(if origin.is_tls { facts.tls_on() } else { facts })
}

fn facts(ends: Ends, client: SocketAddr) -> RequestFacts {
    let facts = RequestFacts::new().remote(client);
    match ends.local {
        Some(local) => facts.local(local),
        None => facts,
    }
}

/// The request's target at the members: the mapped path and the query as it was.
fn target(uri: &Uri, path: Cow<'_, str>) -> Option<Uri> {
    let mut path = match path {
        Cow::Borrowed(_) if uri.authority().is_none() => return Some(uri.clone()),
        path => path.into_owned(),
    };
    if let Some(query) = uri.query() {
        path.push('?');
        path.push_str(query);
    }
    let path = PathAndQuery::from_maybe_shared(Bytes::from(path)).ok()?;
    let mut parts = http::uri::Parts::default();
    parts.path_and_query = Some(path);
    Uri::from_parts(parts).ok()
}
