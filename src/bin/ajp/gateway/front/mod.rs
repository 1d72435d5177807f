//! The HTTP side: every request becomes one AJP exchange with a member of the balancer that
//! its path leads to; bodies stream both ways.

mod answer;
mod body;
mod bound;
mod buffer;
mod chunks;
mod connection;
mod counts;
mod failures;
mod heads;
mod http1;
mod limits;
mod listen;
mod log;
mod map;
mod methods;
mod one_task;
mod patient;
mod proxied;
mod refused_streams;
mod request_id;
mod reverse;
mod service;
mod settings;
mod stalled;
mod timer;
mod tls;
mod transport;
mod upgrade;
mod upload;

pub(crate) use answer::wants_html;
pub(crate) use bound::{Accept, Bound, ListenAddress, SocketMode, SocketOptions};
pub(crate) use counts::{BOUNDS, Requests, SiteCounts};
pub(crate) use limits::{Budget, Limits};
pub(crate) use listen::{Ends, Options, Traffic, serve};
pub(super) use log::text::shown;
pub(super) use log::writer::{Lines, Target, could_be_made, could_be_opened};
pub(crate) use log::{AccessLog, LogFormat, writer::Writer as LogWriter};
pub(crate) use map::{Action, HostName, Mapping, Maps, Order, Pattern, Rule, Sites, Upgrades};
pub(crate) use settings::{HeaderChanges, Settings};
pub(crate) use tls::TlsSettings;
pub(crate) use transport::Breakable;
pub(crate) use upgrade::{Tunnels, UpgradeLimits};

use crate::common::{CacheAligned, Striped};
use ajp::balancer::BalancerError;
use ajp::client::{ClientError, Phases, RequestFacts};
use ajp::proxy::{ForwardedRules, InvalidHost, Origin, Peer, remove_nominated, settle_host};
use answer::Refusal;
use body::Answer;
use buffer::Buffered;
use bytes::Bytes;
use connection::BodyLength;
use counts::{CountedRequest, UnansweredRequest};
use failures::Fault;
use http::header::{self, HOST, HeaderValue};
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, Version, request};
use http_body::Body as _;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use listen::Refused;
use log::{Entry, Sent, Served};
pub(crate) use map::Found;
use methods::Notable;
use request_id::RequestId;
use stalled::Watched;
use std::borrow::Cow;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Instant;
use tokio::sync::watch;
use upload::Upload;

type GatewayBody = Watched<Sent<Answer>>;

/// What is served, and how.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) sites: Sites,
    /// The numbers of each site, in the order of their being added, and of what is of none.
    pub(crate) counts: (Vec<Arc<SiteCounts>>, Arc<SiteCounts>),
    /// Largest request body in bytes.
    pub(crate) max_body: Option<u64>,
    /// Whose word about clients is taken.
    pub(crate) forwarded: ForwardedRules,
    pub(crate) log: AccessLog,
    pub(crate) limits: Limits,
    /// Memory for all buffers.
    pub(crate) budget: Arc<Budget>,
    /// The WebSockets of all members.
    pub(crate) tunnels: Arc<Tunnels>,
}

impl Site {
    /// The numbers of the site that a request is of.
    fn counts_of(&self, parts: &request::Parts) -> &SiteCounts {
        let (sites, none) = &self.counts;
        let host = || host_of(&parts.uri, &parts.headers);
        let site = self.sites.index_by(host);
        site.and_then(|site| sites.get(site)).unwrap_or(none)
    }
}

/// The site as it is now. A request that has begun keeps the one that it found.
#[derive(Debug)]
pub(crate) struct Current(Striped<RwLock<PerThreadSite>>);

/// A site as a request keeps it. The outer `Arc` is made once for each thread: to clone it changes a
/// count of references that only this thread has, and not one that all cores share.
type PerThreadSite = Arc<CacheAligned<Arc<Site>>>;

impl Current {
    pub(crate) fn new(site: Site) -> Self {
        let site = Arc::new(site);
        let of_thread = || Arc::new(CacheAligned::new(Arc::clone(&site)));
        Self(Striped::new(|| RwLock::new(of_thread())))
    }

    pub(crate) fn get(&self) -> PerThreadSite {
        let current = self.0.own().read();
        Arc::clone(&current.unwrap_or_else(PoisonError::into_inner))
    }

    /// From here on this is the site.
    pub(crate) fn set(&self, site: Site) {
        let site = Arc::new(site);
        let of_thread = move || Arc::new(CacheAligned::new(Arc::clone(&site)));
        self.0.replace(|| of_thread);
    }
}

/// What all requests of a connection have in common.
struct Client {
    ends: Ends,
    peer: Peer,
    /// Whether it is a proxy whose word about clients is taken.
    is_trusted: bool,
    /// The host that the client itself asked for last, and what the members were told then.
    /// Hardly any connection asks for several.
    last: Mutex<Option<(Option<Bytes>, Arc<RequestFacts>)>>,
}

impl Client {
    fn new(ends: Ends) -> Self {
        let mut peer = Peer::new(ends.peer).with_tls(ends.tls.is_some());
        if let Some(local) = ends.local {
            peer = peer.with_local(local);
        }
        let mut trusted = ends.options.trusted.iter();
        Self {
            peer,
            is_trusted: trusted.any(|networks| networks.contains(ends.peer.ip())),
            ends,
            last: Mutex::new(None),
        }
    }

    /// What the members are told.
    fn facts(&self, origin: &Origin, host: Option<&HeaderValue>) -> Arc<RequestFacts> {
        // What a proxy says is said of this request alone, and the TLS of its connection is not
        // that of its clients.
        if !origin.is_direct() {
            return Arc::new(origin.facts(&self.peer, host));
        }
        let asked = host.map(HeaderValue::as_bytes);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some((known, facts)) if known.as_deref() == asked => Arc::clone(facts),
            _ => {
                let mut facts = origin.facts(&self.peer, host);
                if let Some(tls) = &self.ends.tls {
                    facts = facts.with_tls_facts((**tls).clone());
                }
                let facts = Arc::new(facts);
                // In memory of its own, or the buffer of the whole request would stay.
                let asked = asked.map(Bytes::copy_from_slice);
                *last = Some((asked, Arc::clone(&facts)));
                facts
            }
        }
    }
}

/// Serves the site at one listener until `stopping` turns true, then ends what is running.
pub(crate) async fn run(
    bound: impl Accept,
    options: watch::Receiver<Arc<Options>>,
    traffic: Arc<Traffic>,
    current: Arc<Current>,
    stopping: watch::Receiver<bool>,
) {
    let log = Arc::clone(&current);
    let counted = Arc::clone(&traffic);
    let refused = move |client, refused: Refused| {
        counted.refused.count(&refused);
        let Refused {
            line, status, why, ..
        } = refused;
        failures::tell_client(client, &format!("no request, answered {status}: {why}"));
        log.get().log.refused(client, &line, status, &why);
    };
    let service = move |ends: Ends| {
        let here = Arc::new((Arc::clone(&current), Client::new(ends)));
        service_fn(move |mut request: Request<Incoming>| {
            let here = Arc::clone(&here);
            let notable = Notable::of(request.headers());
            let asks_for_upgrade = notable.for_the_connection && upgrade::is_wanted(&request);
            if request.version() < Version::HTTP_2 {
                let length = body_length(request.body(), asks_for_upgrade);
                here.1.ends.state.saw_request(length);
            }
            let seen = Seen {
                at: Instant::now(),
                notable,
                is_distrusted: here.1.ends.state.is_distrusted(),
            };
            let upgrade = asks_for_upgrade.then(|| hyper::upgrade::on(&mut request));
            // Here, and lent from here on: else there would be room for it several times.
            let (mut parts, body) = request.into_parts();
            async move {
                let site = here.0.get();
                let request = CountedRequest::begin(site.counts_of(&parts), seen.at);
                let request = UnansweredRequest::new(request, &here.1.ends.state);
                let asked = (&mut parts, body, upgrade);
                Ok::<_, Infallible>(answer(&site, asked, seen, &here.1, request).await)
            }
        })
    };
    serve(bound, options, traffic, stopping, service, refused).await;
}

/// Why a request for WebSocket goes nowhere.
const NO_UPGRADES: &str = "it asks for WebSocket, which AJP has no form for, and no member has an \
                           `upgrade` address";

/// What is known of a request when its head has come.
#[derive(Clone, Copy)]
struct Seen {
    at: Instant,
    notable: Notable,
    /// By what came before this request: its own body has not been looked at.
    is_distrusted: bool,
}

/// What comes over the connection after the head of this request.
fn body_length(body: &Incoming, asks_for_upgrade: bool) -> BodyLength {
    if asks_for_upgrade {
        return BodyLength::Upgrade;
    }
    let length = body.size_hint().exact();
    length.map_or(BodyLength::Chunked, BodyLength::Known)
}

async fn answer(
    site: &Site,
    (parts, body, upgrade): (&mut request::Parts, Incoming, Option<OnUpgrade>),
    seen: Seen,
    client: &Client,
    request: UnansweredRequest<'_>,
) -> Response<GatewayBody> {
    let notable = seen.notable;
    let asks_for_upgrade = upgrade.is_some();
    let state = &client.ends.state;
    let running = state.begin();
    if parts.version >= Version::HTTP_2 {
        if let Some(encoded) = heads::encoded_target(&parts.uri) {
            parts.uri = encoded;
        }
    }
    let id = RequestId::of(&parts.headers, client.is_trusted);
    let mut entry = site.log.entry(parts, client.ends.peer.ip(), id, seen.at);
    entry.came_over(state);
    let number = state.count_request();
    let body = Upload::new(body, parts.version, state, &site.limits);
    let has_odd_framing = notable.transfer_encoding && methods::has_odd_framing(&parts.headers);
    let mut body = Some(body);
    let result = if let Some(response) = own_answer(parts, seen, client, &entry) {
        Ok(response.map(Answer::Own))
    } else {
        let body = (&mut body, notable);
        forward(site, parts, body, client, upgrade, &mut entry).await
    };
    let is_http1 = parts.version <= Version::HTTP_11;
    if let Some(body) = body.filter(|_| is_http1 && !notable.expect && state.has_more_body()) {
        // Rare, and a large future.
        Box::pin(body.discard(site.limits.request_buffer)).await;
    }
    let mut response = result.unwrap_or_else(|refusal| {
        let by_browser = answer::wants_html(&parts.headers);
        refusal.response(by_browser, entry.id()).map(Answer::Own)
    });
    answer::pass_reason_on(&mut response);
    entry.status(response.status());
    if has_odd_framing {
        state.distrust();
    }
    // What comes behind an upgrade that is not taken has not been looked at.
    // And a body of which nobody has read all cannot be told from the next request: the connection
    // is closed behind the answer, which says so (RFC 9112, section 9.6).
    // A connection that was opened by other limits than those of now is not used again either.
    let limits = &client.ends.options.limits;
    let is_last = number >= site.limits.requests_per_connection
        || limits.of_connection() != site.limits.of_connection()
        || state.is_distrusted()
        || asks_for_upgrade
        || is_http1 && state.has_more_body();
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        // The connection is no longer HTTP's.
    } else if is_last && is_http1 {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    } else if is_last {
        state.close();
    }
    let options = &client.ends.options;
    if let (Some(hsts), Some(_)) = (&options.hsts, &client.ends.tls) {
        let name = header::STRICT_TRANSPORT_SECURITY;
        response
            .headers_mut()
            .entry(name)
            .or_insert_with(|| hsts.clone());
    }
    let counted = request.answered(response.status());
    if parts.version == Version::HTTP_10 {
        let has_length = response.body().size_hint().exact().is_some()
            || response.headers().contains_key(header::CONTENT_LENGTH);
        state.answers_unframed(!has_length);
    }
    response.map(|body| {
        let body = Sent::new(body, entry, running, counted);
        state.streams.watched(body, parts.version)
    })
}

/// What is answered without looking at the maps.
fn own_answer(
    parts: &mut request::Parts,
    seen: Seen,
    client: &Client,
    entry: &Entry,
) -> Option<Response<Full<Bytes>>> {
    let refused = |status, text| Refusal::new(status, text).response(false, entry.id());
    if seen.is_distrusted {
        let text = "a request with trailers or odd framing came before this one; use another \
                    connection";
        return Some(refused(StatusCode::BAD_REQUEST, text));
    }
    let most = client.ends.options.limits.headers;
    if parts.version >= Version::HTTP_2 && parts.headers.len() > most {
        // Over HTTP/1 hyper counts them.
        let text = "the request has too many headers";
        return Some(refused(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, text));
    }
    if client.ends.state.refuses() {
        let text = "too many requests of this connection were cancelled; use another connection";
        return Some(refused(StatusCode::SERVICE_UNAVAILABLE, text));
    }
    if has_userinfo(&parts.uri) {
        let text = "a user or a password stands before the host";
        return Some(refused(StatusCode::BAD_REQUEST, text));
    }
    if let (Some(port), None) = (client.ends.options.redirect, &client.ends.tls) {
        let bad = |text| refused(StatusCode::BAD_REQUEST, text);
        let host = settle_host(&mut parts.headers, &parts.uri, parts.version);
        let host = host.and_then(|host| host.ok_or(InvalidHost::Missing));
        let answer = host.and_then(|host| {
            methods::to_https(&host, &parts.uri, port).ok_or(InvalidHost::NotAHost)
        });
        return Some(answer.unwrap_or_else(|error| bad(host_fault(error))));
    }
    if seen.notable.expect && methods::expects_more(&parts.headers) {
        let text = "nothing but 100-continue can be expected";
        return Some(refused(StatusCode::EXPECTATION_FAILED, text));
    }
    methods::max_forwards(parts)
}

async fn forward(
    site: &Site,
    parts: &mut request::Parts,
    (upload, notable): (&mut Option<Upload<Incoming>>, Notable),
    client: &Client,
    upgrade: Option<OnUpgrade>,
    entry: &mut Entry,
) -> Result<Response<Answer>, Refusal> {
    let outgoing = outgoing(site, parts, (upload, notable), client, entry)?;
    // It stays there if the request goes nowhere.
    let Some(mut body) = upload.take() else {
        return Err(Refusal::broken_off());
    };
    let settings = outgoing.mapping.settings();
    let (mapping, maps) = (outgoing.mapping, outgoing.maps);
    let map_back = |headers: &mut HeaderMap, parts: &request::Parts| {
        // As the members were told it.
        reverse::headers(headers, mapping, maps, || parts.headers.get(HOST));
        settings.response_headers.apply(headers);
    };
    if let Some(upgrade) = upgrade {
        // Rare, and a large future: those of all requests would have room for it.
        let upgraded = upgraded(site, (&*parts, &outgoing), client, upgrade, entry);
        let mut response = Box::pin(upgraded).await?;
        map_back(response.headers_mut(), parts);
        return Ok(response.map(Answer::Upgrade));
    }
    let most = settings.request_buffer;
    let most = most.unwrap_or(site.limits.request_buffer);
    // Who waits to be told to go on is told so by the gateway if all of the body fits its buffer,
    // or a client that then says nothing would keep a connection of a member. The word about a
    // longer body is the container's.
    if !body.is_end_stream() && (!notable.expect || body.fits(most)) {
        let held = body.hold(most, &site.budget).await;
        held.map_err(|error| {
            entry.failed(&answer::chain(&error));
            Refusal::of_upload(&error)
        })?;
    }
    entry.waiting();
    let sent = mapping.balancer().send_parts(parts, &outgoing.facts, body);
    match sent.await {
        Ok(mut response) => {
            entry.status(response.status());
            entry.served(|| {
                let served = response.body().served();
                Served {
                    route: served.route,
                    member: Some(served.member),
                    attempts: served.failed.len().saturating_add(1),
                    phases: served.phases,
                }
            });
            map_back(response.headers_mut(), parts);
            let (head, body) = response.into_parts();
            let most = settings.response_buffer;
            let most = most.unwrap_or(site.limits.response_buffer);
            let is_http1 = parts.version < Version::HTTP_2;
            let connection = is_http1.then_some(&*client.ends.state);
            let body = Buffered::new(body, most, &site.budget, connection).await;
            let body = body.map_err(|error| broken_off(mapping, entry, &error))?;
            Ok(Response::from_parts(head, Answer::Container(body)))
        }
        Err(error) => Err(unanswered(mapping, entry, &error)),
    }
}

/// What becomes of a request that asks for WebSocket.
async fn upgraded(
    site: &Site,
    (parts, outgoing): (&request::Parts, &Outgoing<'_>),
    client: &Client,
    upgrade: OnUpgrade,
    entry: &mut Entry,
) -> Result<Response<Incoming>, Refusal> {
    let mapping = outgoing.mapping;
    if mapping.upgrades().is_empty() {
        failures::tell(entry, Some(mapping.path()), Fault::Ours, NO_UPGRADES);
        entry.failed(NO_UPGRADES);
        let text = "there is no WebSocket at this address";
        return Err(Refusal::new(StatusCode::NOT_IMPLEMENTED, text));
    }
    if upgrade::has_body(&parts.headers) {
        let text = "a request for WebSocket has no body";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, text));
    }
    entry.waiting();
    let wanted = upgrade::Wanted {
        parts,
        origin: &outgoing.origin,
        host: outgoing.host.as_ref(),
        mapping,
        limits: &site.limits.upgrades,
        tunnels: &site.tunnels,
        state: &client.ends.state,
    };
    upgrade::forward(wanted, upgrade, entry).await
}

/// The container broke off before the client was given anything.
#[cold]
fn broken_off(mapping: &Mapping, entry: &mut Entry, error: &ClientError) -> Refusal {
    let why = answer::chain(error);
    failures::tell(entry, Some(mapping.path()), Fault::Ours, &why);
    entry.failed(&why);
    Refusal::broken_off()
}

/// No member has answered.
#[cold]
fn unanswered(mapping: &Mapping, entry: &mut Entry, error: &BalancerError) -> Refusal {
    let why = answer::chain(error);
    let refusal = Refusal::of(error);
    let fault = if refusal.status.is_client_error() {
        Fault::Client
    } else {
        Fault::Ours
    };
    failures::tell(entry, Some(mapping.path()), fault, &why);
    entry.failed(&why);
    let attempts = error.attempts();
    let last = attempts.last().map(|attempt| Arc::clone(&attempt.member));
    entry.served(|| Served {
        route: None,
        member: last,
        attempts: attempts.len(),
        phases: Phases::default(),
    });
    refusal
}

/// What goes to the members beside the head of a request, and what is kept of that.
struct Outgoing<'a> {
    mapping: &'a Mapping,
    maps: &'a Maps,
    origin: Origin,
    host: Option<HeaderValue>,
    facts: Arc<RequestFacts>,
}

/// Makes the head of a request what goes to the members.
fn outgoing<'a>(
    site: &'a Site,
    parts: &mut request::Parts,
    (body, notable): (&mut Option<Upload<Incoming>>, Notable),
    client: &Client,
    entry: &mut Entry,
) -> Result<Outgoing<'a>, Refusal> {
    let bad = |text| Refusal::new(StatusCode::BAD_REQUEST, text);
    if parts.method == Method::CONNECT {
        let text = "the method is not supported";
        return Err(Refusal::new(StatusCode::NOT_IMPLEMENTED, text));
    }
    let nothing = || Refusal::new(StatusCode::NOT_FOUND, "there is nothing at this address");
    // One host chooses the site and is told to the members.
    let host = settle_host(&mut parts.headers, &parts.uri, parts.version);
    let host = host.map_err(|error| bad(host_fault(error)))?;
    let asked = host.as_ref().and_then(|host| host.to_str().ok());
    let maps = site.sites.find(asked).ok_or_else(nothing)?;
    let (mapping, inward) = match maps.find(parts.uri.path()) {
        Found::Mapped(mapping, inward) => (mapping, inward),
        Found::Ambiguous(why) => return Err(bad(why)),
        Found::Forbidden => {
            let text = "this address is not for visitors";
            return Err(Refusal::new(StatusCode::FORBIDDEN, text));
        }
        Found::Nothing => return Err(nothing()),
    };
    let settings = mapping.settings();
    let most = settings.max_body.or(site.max_body);
    let length = body.as_ref().and_then(|body| body.size_hint().exact());
    if matches!((most, length), (Some(limit), Some(length)) if length > limit) {
        return Err(answer::too_large());
    }
    if let Some(body) = body {
        body.allow(most);
    }
    let unmapped = || bad("the path cannot be mapped");
    match inward {
        Cow::Owned(inward) => {
            parts.uri = target(&parts.uri, inward).ok_or_else(unmapped)?;
        }
        Cow::Borrowed(_) if parts.uri.authority().is_some() => {
            let uri = std::mem::take(&mut parts.uri);
            parts.uri = without_authority(uri).ok_or_else(unmapped)?;
        }
        Cow::Borrowed(_) => {}
    }
    let origin = site.forwarded.apply(&mut parts.headers, &client.peer);
    if notable.for_the_connection {
        remove_nominated(&mut parts.headers);
        methods::ignore_upgrade(&mut parts.headers);
    }
    // `Connection` may have named it.
    entry.tell_id(&mut parts.headers);
    entry.client(origin.client());
    settings
        .request_headers
        .apply_to_request(&mut parts.headers);
    settings.tell(&mut parts.extensions);
    let facts = client.facts(&origin, host.as_ref());
    Ok(Outgoing {
        mapping,
        maps,
        facts: settings.facts(facts),
        origin,
        host,
    })
}

/// What the client is told of its host.
#[cold]
fn host_fault(error: InvalidHost) -> &'static str {
    match error {
        InvalidHost::Several => "the request has more than one Host header",
        InvalidHost::Missing => "the request has no Host header",
        _ => "the Host header names no host",
    }
}

/// Whether a target names more than a host and a port (RFC 9110, section 4.2.4).
fn has_userinfo(uri: &Uri) -> bool {
    uri.authority()
        .is_some_and(|authority| authority.as_str().contains('@'))
}

/// The host that the client asks for, which in an absolute target outdoes the header
/// (RFC 9112 section 3.2.2). What names none is refused later.
fn host_of<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    match uri.authority() {
        Some(_) if has_userinfo(uri) => None,
        Some(authority) => Some(authority.as_str()),
        None => headers.get(HOST)?.to_str().ok(),
    }
}

/// The request's target at the members: the mapped path and the query as it was.
#[cold]
fn target(uri: &Uri, mut path: String) -> Option<Uri> {
    if let Some(query) = uri.query() {
        path.push('?');
        path.push_str(query);
    }
    let path = PathAndQuery::from_maybe_shared(Bytes::from(path)).ok()?;
    of_path(path)
}

/// The request's target at the members where its path stays what it is.
#[cold]
fn without_authority(uri: Uri) -> Option<Uri> {
    of_path(uri.into_parts().path_and_query?)
}

fn of_path(path: PathAndQuery) -> Option<Uri> {
    let mut parts = http::uri::Parts::default();
    parts.path_and_query = Some(path);
    Uri::from_parts(parts).ok()
}
