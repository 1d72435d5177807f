//! The HTTP side: every request becomes one AJP exchange with a member of the balancer that
//! its path leads to; bodies stream both ways.

mod answer;
mod listen;
mod log;
mod map;
mod network;
mod origin;
mod reverse;
mod timer;

pub(crate) use answer::wants_html;
pub(crate) use listen::{Ends, serve};
pub(crate) use log::AccessLog;
pub(crate) use map::{Action, HostName, Mapping, Maps, Order, Pattern, Rule, Sites};
pub(crate) use network::Network;

use ajp::balancer::ResponseBody;
use ajp::client::RequestFacts;
use answer::Refusal;
use bytes::Bytes;
use http::header::HOST;
use http::uri::PathAndQuery;
use http::{Method, Request, Response, StatusCode, Uri, request};
use http_body::Body as _;
use http_body_util::{Either, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use log::{Entry, Logged, Served};
pub(crate) use map::Found;
use origin::Origin;
use std::borrow::Cow;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;
use tokio::sync::watch;

type GatewayBody = Logged<Either<ResponseBody, Full<Bytes>>>;

/// What is served, and how.
#[derive(Debug, Default)]
pub(crate) struct Site {
    pub(crate) sites: Sites,
    /// Largest request body in bytes.
    pub(crate) max_body: Option<u64>,
    /// Proxies whose word about their clients is taken.
    pub(crate) trusted_proxies: Vec<Network>,
    pub(crate) log: AccessLog,
}

/// What all requests of a connection have in common.
struct Client {
    ends: Ends,
    peer: origin::Peer,
    /// Where the last request came from, and what the members were told of it. Hardly any
    /// connection has requests of several origins.
    last: Mutex<Option<(Origin, Arc<RequestFacts>)>>,
}

impl Client {
    fn new(ends: Ends) -> Self {
        Self {
            ends,
            peer: origin::Peer::new(ends.peer.ip()),
            last: Mutex::new(None),
        }
    }

    /// What the members are told.
    fn facts(&self, origin: Origin) -> Arc<RequestFacts> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some((known, facts)) if *known == origin => Arc::clone(facts),
            _ => {
                let origin = origin.detached();
                let facts = Arc::new(facts(self.ends, &origin));
                *last = Some((origin, Arc::clone(&facts)));
                facts
            }
        }
    }
}

fn facts(ends: Ends, origin: &Origin) -> RequestFacts {
    let mut facts = RequestFacts::new(origin.client);
    // The port of a client behind a proxy is not known.
    if origin.is_direct {
        facts = facts.with_remote_port(ends.peer.port());
    }
    if let Some(local) = ends.local {
        facts = facts.with_local_addr(local);
    }
    if origin.is_tls {
        facts = facts.with_tls(true);
    }
    for (name, value) in origin.headers() {
        facts = facts.with_header(name, value);
    }
    facts
}

/// Serves the site until `stopping` turns true, then ends what is running.
pub(crate) async fn run(listener: TcpListener, site: Arc<Site>, stopping: watch::Receiver<bool>) {
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
    let (mut parts, body) = request.into_parts();
    let response = match forward(site, &mut parts, body, client, &mut entry).await {
        Ok(response) => response.map(Either::Left),
        Err(refusal) => {
            entry.status(refusal.status);
            let by_browser = answer::wants_html(&parts.headers);
            refusal.response(by_browser).map(Either::Right)
        }
    };
    response.map(|body| Logged::new(body, entry))
}

async fn forward(
    site: &Site,
    parts: &mut request::Parts,
    body: Incoming,
    client: &Client,
    entry: &mut Entry,
) -> Result<Response<ResponseBody>, Refusal> {
    let outgoing = outgoing(site, parts, body, client, entry)?;
    let (parts, mapping) = (&*parts, outgoing.mapping);
    let sent = mapping
        .balancer()
        .send_parts(parts, &outgoing.facts, outgoing.body);
    match sent.await {
        Ok(mut response) => {
            entry.status(response.status());
            entry.served(|| {
                let served = response.body().served();
                Served {
                    route: served.route,
                    member: Some(served.member),
                    attempts: served.failed.len().saturating_add(1),
                }
            });
            if outgoing.maps.is_changing() {
                let host = parts.headers.get(HOST);
                let host = host.and_then(|host| host.to_str().ok());
                reverse::headers(response.headers_mut(), mapping, outgoing.maps, host);
            }
            Ok(response)
        }
        Err(error) => {
            let (method, uri) = (&parts.method, outgoing.uri.as_ref().unwrap_or(&parts.uri));
            let map = mapping.path();
            eprintln!(
                "gateway: {method} {uri} (map {map}): {}",
                answer::chain(&error)
            );
            let attempts = error.attempts();
            let last = attempts.last().map(|attempt| Arc::clone(&attempt.member));
            entry.served(|| Served {
                route: None,
                member: last,
                attempts: attempts.len(),
            });
            Err(Refusal::of(&error))
        }
    }
}

/// What goes to the members beside the head of a request, and what is kept of that.
struct Outgoing<'a> {
    body: Limited<Incoming>,
    mapping: &'a Mapping,
    maps: &'a Maps,
    /// As the client has asked, if that is another one.
    uri: Option<Uri>,
    facts: Arc<RequestFacts>,
}

/// Makes the head of a request what goes to the members.
fn outgoing<'a>(
    site: &'a Site,
    parts: &mut request::Parts,
    body: Incoming,
    client: &Client,
    entry: &mut Entry,
) -> Result<Outgoing<'a>, Refusal> {
    let bad = |text| Refusal::new(StatusCode::BAD_REQUEST, text);
    if parts.method == Method::CONNECT {
        let text = "the method is not supported";
        return Err(Refusal::new(StatusCode::NOT_IMPLEMENTED, text));
    }
    let nothing = || Refusal::new(StatusCode::NOT_FOUND, "there is nothing at this address");
    let maps = site.sites.find(asked_host(parts)).ok_or_else(nothing)?;
    let (mapping, inward) = match maps.find(parts.uri.path()) {
        Found::Mapped(mapping, inward) => (mapping, inward),
        Found::Ambiguous(why) => return Err(bad(why)),
        Found::Forbidden => {
            let text = "this address is not for visitors";
            return Err(Refusal::new(StatusCode::FORBIDDEN, text));
        }
        Found::Nothing => return Err(nothing()),
    };
    let length = body.size_hint().exact();
    if matches!((site.max_body, length), (Some(limit), Some(length)) if length > limit) {
        return Err(answer::too_large());
    }
    let limit = site.max_body.and_then(|limit| usize::try_from(limit).ok());
    let body = Limited::new(body, limit.unwrap_or(usize::MAX));
    let mut uri = None;
    if !matches!(inward, Cow::Borrowed(_)) || parts.uri.authority().is_some() {
        let target = target(&parts.uri, inward).ok_or_else(|| bad("the path cannot be mapped"))?;
        uri = Some(std::mem::replace(&mut parts.uri, target));
    }
    let origin = origin::settle(
        &mut parts.headers,
        uri.as_ref().unwrap_or(&parts.uri),
        parts.version,
        &client.peer,
        &site.trusted_proxies,
    );
    let origin = origin.map_err(bad)?;
    entry.client(origin.client);
    Ok(Outgoing {
        body,
        mapping,
        maps,
        uri,
        facts: client.facts(origin),
    })
}

/// The host that the client asks for, which in an absolute target outdoes the header
/// (RFC 9112 section 3.2.2).
fn asked_host(parts: &request::Parts) -> Option<&str> {
    match parts.uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => parts.headers.get(HOST)?.to_str().ok(),
    }
}

/// The request's target at the members: the mapped path and the query as it was.
fn target(uri: &Uri, path: Cow<'_, str>) -> Option<Uri> {
    let mut path = path.into_owned();
    if let Some(query) = uri.query() {
        path.push('?');
        path.push_str(query);
    }
    let path = PathAndQuery::from_maybe_shared(Bytes::from(path)).ok()?;
    let mut parts = http::uri::Parts::default();
    parts.path_and_query = Some(path);
    Uri::from_parts(parts).ok()
}
