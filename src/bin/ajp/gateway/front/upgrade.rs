//! WebSocket, which AJP has no form for: a member may name an HTTP address beside its AJP one
//! (`upgrade` in the configuration), and upgrades go there. Which member that is, is decided as
//! for every other request: by session, load, health and drain. The member counts as busy with
//! it until it ends.
//!
//! Over HTTP/1.1 only: browsers take it for WebSocket where HTTP/2 does not offer RFC 8441.

use super::Refusal;
use super::connection::State;
use super::failures::Fault;
use super::log::{Entry, Served};
use super::map::Mapping;
use ajp::balancer::{Pick, RequestInfo, RequestOutcome, Session};
use ajp::client::Phases;
use ajp::proxy::{Origin, remove_hop_by_hop};
use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HeaderMap, HeaderName, HeaderValue,
    SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE,
};
use http::uri::Authority;
use http::{Method, Request, Response, StatusCode, Version, request};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::timeout;

/// Bytes that are passed on at a time.
const PIECE: usize = 8 * 1024;

/// Whether a request asks for WebSocket, with all that RFC 6455 (section 4.1) has for it.
pub(super) fn is_wanted<B>(request: &Request<B>) -> bool {
    let headers = request.headers();
    let has = |name, token: &str| {
        let mut values = headers.get_all(name).iter();
        values.any(|value| {
            let mut tokens = value.as_bytes().split(|b| *b == b',');
            tokens.any(|text| text.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
        })
    };
    request.version() == Version::HTTP_11
        && request.method() == Method::GET
        && has(CONNECTION, "upgrade")
        && has(UPGRADE, "websocket")
        && only(headers, &SEC_WEBSOCKET_KEY).is_some_and(|key| !key.is_empty())
        && only(headers, &SEC_WEBSOCKET_VERSION).is_some_and(|version| version == "13")
}

/// The value of a header that is there once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// Whether a request says that it has a body, which one for WebSocket must not.
pub(super) fn has_body(headers: &HeaderMap) -> bool {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    headers.contains_key(TRANSFER_ENCODING) || lengths.any(|length| length != "0")
}

/// A request for an upgrade, ready for a member.
pub(super) struct Wanted<'a> {
    pub(super) parts: &'a request::Parts,
    pub(super) origin: &'a Origin,
    pub(super) host: Option<&'a HeaderValue>,
    pub(super) mapping: &'a Mapping,
    pub(super) limits: &'a UpgradeLimits,
    pub(super) tunnels: &'a Arc<Tunnels>,
    pub(super) state: &'a Arc<State>,
}

/// Limits on upgrades.
#[derive(Debug, Clone)]
pub(crate) struct UpgradeLimits {
    /// For a connection to a member's HTTP address.
    pub(crate) connect: Duration,
    /// For its answer.
    pub(crate) head: Duration,
    /// How long a tunnel may be silent.
    pub(crate) idle: Duration,
    /// Tunnels to one member at a time.
    pub(crate) per_member: usize,
}

/// The tunnels to each member, by balancer and name.
#[derive(Debug, Default)]
pub(crate) struct Tunnels(Mutex<HashMap<(String, String), usize>>);

/// A tunnel to a member; dropped, it has ended.
#[derive(Debug)]
struct Tunnel {
    all: Arc<Tunnels>,
    member: (String, String),
}

impl Tunnels {
    fn counts(&self) -> MutexGuard<'_, HashMap<(String, String), usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more to this member, unless it has so many.
    fn open(self: &Arc<Self>, balancer: &str, member: &str, most: usize) -> Option<Tunnel> {
        let member = (balancer.to_owned(), member.to_owned());
        let mut counts = self.counts();
        let count = counts.entry(member.clone()).or_default();
        if *count >= most {
            return None;
        }
        *count = count.saturating_add(1);
        let all = Arc::clone(self);
        Some(Tunnel { all, member })
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        let mut counts = self.all.counts();
        if let Some(count) = counts.get_mut(&self.member) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&self.member);
            }
        }
    }
}

/// Why a member did not answer.
enum Failed {
    /// It was not asked.
    NotSent(String),
    /// It was, and gave no answer.
    Unanswered(String),
}

/// Asks a member. If it agrees, the client's connection is one to the member from then on. Any
/// other answer of its HTTP connector is not for the visitor, who has asked for WebSocket only:
/// a refusal is told by its status.
pub(super) async fn forward(
    wanted: Wanted<'_>,
    client: OnUpgrade,
    entry: &mut Entry,
) -> Result<Response<Incoming>, Refusal> {
    let (pick, tunnel_counted, mut response) = ask_members(&wanted, entry).await?;
    let name: Arc<str> = pick.member().name().into();
    entry.served(|| Served {
        route: pick.member().route_name().map(Into::into),
        member: Some(name),
        attempts: 1,
        phases: Phases::default(),
    });
    let status = response.status();
    if status != StatusCode::SWITCHING_PROTOCOLS {
        let why = format!("{} answered {status} to WebSocket", pick.member().name());
        entry.failed(&why);
        if status.is_client_error() {
            let text = "the application does not agree to WebSocket";
            return Err(Refusal::new(status, text));
        }
        super::failures::tell(entry, Some(wanted.mapping.path()), Fault::Ours, &why);
        return Err(Refusal::broken_off());
    }
    entry.status(status);
    let member = hyper::upgrade::on(&mut response);
    let entry = std::mem::take(entry);
    let state = Arc::clone(wanted.state);
    let idle = wanted.limits.idle;
    let task = tokio::spawn(async move {
        tunnel(client, member, idle, pick, entry, state.stopped()).await;
        drop(tunnel_counted);
        // The record is complete; now the listener may end.
        drop(state);
    });
    wanted.state.become_tunnel(task);
    Ok(response)
}

/// The answer of the member that the request belongs to, or of the next best that can be reached.
async fn ask_members(
    wanted: &Wanted<'_>,
    entry: &mut Entry,
) -> Result<(Pick, Tunnel, Response<Incoming>), Refusal> {
    let (parts, mapping) = (wanted.parts, wanted.mapping);
    let (balancer, settings) = (mapping.balancer(), mapping.settings());
    let sticky = balancer.sticky().filter(|_| !settings.sticky_ignore);
    let cookies = parts.headers.get_all(COOKIE).iter();
    let cookies = cookies.map(HeaderValue::as_bytes);
    let path = parts.uri.path().as_bytes();
    let session = sticky.as_ref().map(|sticky| sticky.session(path, cookies));
    let session = session.unwrap_or_else(Session::default);
    let mut tried = Vec::new();
    let mut why = "no member has an address for upgrades".to_owned();
    loop {
        let mut info = RequestInfo::new()
            .with_session(&session)
            .with_tried(&tried)
            .with_path(path)
            .with_headers(&parts.headers)
            .with_client(wanted.origin.client());
        if let Some(name) = &settings.member {
            info = info.with_member(name);
        }
        if let Some(name) = &settings.domain {
            info = info.with_domain(name);
        }
        let Ok(mut pick) = balancer.pick(&info) else {
            super::failures::tell(entry, Some(mapping.path()), Fault::Ours, &why);
            entry.failed(&why);
            let text = "the application is not available at the moment";
            return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, text));
        };
        tried.push(pick.id());
        let Some(address) = mapping.upgrades().get(pick.member().name()) else {
            pick.answered(RequestOutcome::Unknown);
            continue;
        };
        let most = wanted.limits.per_member;
        let name = pick.member().name();
        let Some(tunnel) = wanted.tunnels.open(balancer.name(), name, most) else {
            why = format!("{name} has {most} WebSockets (upgrades_per_member)");
            pick.answered(RequestOutcome::Unknown);
            continue;
        };
        if !pick.is_up().await {
            continue;
        }
        match ask(&address, request(wanted), wanted.limits).await {
            Ok(response) => {
                let status = response.status().as_u16();
                pick.answered(RequestOutcome::Answered { status });
                return Ok((pick, tunnel, response));
            }
            // Its AJP address may be as well as ever.
            Err(Failed::NotSent(error)) => {
                pick.answered(RequestOutcome::Unknown);
                why = error;
            }
            Err(Failed::Unanswered(error)) => {
                pick.answered(RequestOutcome::Unknown);
                super::failures::tell(entry, Some(mapping.path()), Fault::Ours, &error);
                entry.failed(&error);
                return Err(Refusal::broken_off());
            }
        }
    }
}

/// The request for the member: what it is told of the client stands in headers.
fn request(wanted: &Wanted<'_>) -> Request<Empty<Bytes>> {
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = wanted.parts.uri.clone();
    let mut headers: HeaderMap = wanted.parts.headers.clone();
    remove_hop_by_hop(&mut headers);
    for name in [CONTENT_LENGTH, EXPECT] {
        headers.remove(name);
    }
    for (name, value) in wanted.origin.headers(wanted.host) {
        headers.insert(name, value);
    }
    if let Some(host) = wanted.host {
        headers.insert(http::header::HOST, host.clone());
    }
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    *request.headers_mut() = headers;
    request
}

async fn ask(
    address: &Authority,
    request: Request<Empty<Bytes>>,
    limits: &UpgradeLimits,
) -> Result<Response<Incoming>, Failed> {
    let not_sent = |error: &dyn std::fmt::Display| {
        Failed::NotSent(format!("http://{address} cannot be reached: {error}"))
    };
    let connected = timeout(limits.connect, TcpStream::connect(address.as_str())).await;
    let stream = connected
        .map_err(|error| not_sent(&error))?
        .map_err(|error| not_sent(&error))?;
    // Fails only on a connection that is already gone.
    let _ = stream.set_nodelay(true);
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| not_sent(&error))?;
    // What it fails with is told by the request.
    let connection = tokio::spawn(connection.with_upgrades());
    let unanswered = |error: &dyn std::fmt::Display| {
        Failed::Unanswered(format!("http://{address} gave no answer: {error}"))
    };
    let answered = timeout(limits.head, sender.send_request(request)).await;
    let answered = answered
        .map_err(|error| unanswered(&error))
        .and_then(|answered| answered.map_err(|error| unanswered(&error)));
    let is_agreed = |answer: &Response<_>| answer.status() == StatusCode::SWITCHING_PROTOCOLS;
    if !answered.as_ref().is_ok_and(is_agreed) {
        // Nobody waits for the rest of what it has to say.
        connection.abort();
    }
    answered
}

/// What went over a tunnel.
#[derive(Debug, Default)]
struct Passed {
    to_client: AtomicU64,
    to_member: AtomicU64,
    /// Something has just passed.
    moved: Notify,
}

/// Passes bytes on in both directions until one end has closed, both are silent, or the gateway
/// stops: a WebSocket has no end to wait for, and its client comes back by another gateway.
async fn tunnel(
    client: OnUpgrade,
    member: OnUpgrade,
    idle: Duration,
    pick: Pick,
    mut entry: Entry,
    stopped: impl Future<Output = ()>,
) {
    let passed = Passed::default();
    let until_closed = async {
        match tokio::try_join!(client, member) {
            Ok((client, member)) => both_ways(client, member, &passed)
                .await
                .map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        }
    };
    tokio::select! {
        ended = until_closed => {
            if let Err(why) = ended {
                entry.failed(&why);
            }
        }
        () = silent(&passed, idle) => entry.failed(&format!("nothing came for {idle:?}")),
        () = stopped => entry.stopped(),
    }
    let sent = passed.to_client.load(Ordering::Relaxed);
    entry.sent(usize::try_from(sent).unwrap_or(usize::MAX));
    pick.choice().add_received(sent);
    pick.choice()
        .add_sent(passed.to_member.load(Ordering::Relaxed));
}

async fn both_ways(client: Upgraded, member: Upgraded, passed: &Passed) -> io::Result<()> {
    let (mut from_client, mut to_client) = tokio::io::split(TokioIo::new(client));
    let (mut from_member, mut to_member) = tokio::io::split(TokioIo::new(member));
    tokio::try_join!(
        pass(
            &mut from_client,
            &mut to_member,
            &passed.to_member,
            &passed.moved
        ),
        pass(
            &mut from_member,
            &mut to_client,
            &passed.to_client,
            &passed.moved
        ),
    )?;
    Ok(())
}

async fn pass(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    count: &AtomicU64,
    moved: &Notify,
) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        let length = from.read(&mut piece).await?;
        if length == 0 {
            return to.shutdown().await;
        }
        to.write_all(piece.get(..length).unwrap_or_default())
            .await?;
        to.flush().await?;
        count.fetch_add(length as u64, Ordering::Relaxed);
        moved.notify_one();
    }
}

/// Completes when nothing has passed for so long.
async fn silent(passed: &Passed, limit: Duration) {
    while timeout(limit, passed.moved.notified()).await.is_ok() {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_asks_for_websocket() {
        let whole = [("sec-websocket-key", "k"), ("sec-websocket-version", "13")];
        let (key, number) = (whole[0], whole[1]);
        for (connection, upgrade, version, more, wanted) in [
            ("Upgrade", "websocket", Version::HTTP_11, &whole[..], true),
            (
                "keep-alive, upgrade",
                "WebSocket",
                Version::HTTP_11,
                &whole,
                true,
            ),
            ("keep-alive", "websocket", Version::HTTP_11, &whole, false),
            ("upgrade", "h2c", Version::HTTP_11, &whole, false),
            ("upgrade", "websocket", Version::HTTP_10, &whole, false),
            ("upgrade", "websocket", Version::HTTP_11, &[], false),
            ("upgrade", "websocket", Version::HTTP_11, &[key], false),
            ("upgrade", "websocket", Version::HTTP_11, &[number], false),
            (
                "upgrade",
                "websocket",
                Version::HTTP_11,
                &[key, key, number],
                false,
            ),
            (
                "upgrade",
                "websocket",
                Version::HTTP_11,
                &[key, ("sec-websocket-version", "8")],
                false,
            ),
        ] {
            let mut request = Request::get("/")
                .version(version)
                .header(CONNECTION, connection)
                .header(UPGRADE, upgrade);
            for (name, value) in more {
                request = request.header(*name, *value);
            }
            let request = request.body(()).unwrap();
            assert_eq!(
                is_wanted(&request),
                wanted,
                "{connection} {upgrade} {more:?}"
            );
        }
    }
}
