//! What proxies say about the client of a request: `X-Forwarded-*` and `Forwarded` (RFC 7239).
//!
//! Every proxy adds its word behind those of the ones before it, so lists are read from the
//! right, byte by byte: only what a trusted proxy has added is looked at, and nothing that a
//! client wrote before it can change how that is read.

use super::node::{Node, node, unquoted};
use crate::host::is_host;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use std::net::IpAddr;

static FORWARDED: HeaderName = http::header::FORWARDED;
static FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
static HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
static PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
static PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");

/// What trusted proxies have said.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ForwardedFacts {
    /// The addresses that were named, the one that the peer named first. Empty if none was.
    pub(super) named: Vec<IpAddr>,
    /// The port of the last of them.
    pub(super) port_of_client: Option<u16>,
    /// The last trusted proxy does not say who its client is, or it cannot be read.
    pub(super) client_is_unknown: bool,
    pub(super) is_tls: Option<bool>,
    pub(super) host: Option<HeaderValue>,
    pub(super) port: Option<u16>,
    pub(super) prefix: Option<HeaderValue>,
}

pub(super) fn has_x_forwarded(headers: &HeaderMap) -> bool {
    let known = [&FOR, &PROTO, &HOST, &PORT, &PREFIX];
    known.into_iter().any(|name| headers.contains_key(name))
}

pub(super) fn has_forwarded(headers: &HeaderMap) -> bool {
    headers.contains_key(&FORWARDED)
}

/// What a trusted peer says in `X-Forwarded-For`, `-Proto`, `-Host`, `-Port` and `-Prefix`.
pub(super) fn x_forwarded(headers: &HeaderMap, trusted: impl Fn(IpAddr) -> bool) -> ForwardedFacts {
    // A proxy that speaks of its client and does not name it is no client itself.
    let mut said = ForwardedFacts {
        client_is_unknown: elements(headers, &FOR).next().is_none(),
        ..ForwardedFacts::default()
    };
    for element in elements(headers, &FOR) {
        if !said.follow(node(element), &trusted) {
            break;
        }
    }
    let last = |name| elements(headers, name).next();
    said.is_tls = last(&PROTO).and_then(is_tls);
    said.host = last(&HOST).and_then(host);
    said.port = last(&PORT).and_then(|port| std::str::from_utf8(port).ok()?.parse().ok());
    said.prefix = last(&PREFIX).and_then(prefix);
    said
}

/// What a trusted peer says in `Forwarded`.
pub(super) fn forwarded(headers: &HeaderMap, trusted: impl Fn(IpAddr) -> bool) -> ForwardedFacts {
    let mut said = ForwardedFacts::default();
    for element in elements(headers, &FORWARDED) {
        let of = |name| parameter(element, name);
        // Each trusted proxy says how it was reached; the one that the client has reached counts.
        said.is_tls = of("proto").and_then(is_tls);
        said.host = of("host").and_then(host);
        if !said.follow(of("for").map_or(Node::Unknown, node), &trusted) {
            break;
        }
    }
    said
}

impl ForwardedFacts {
    /// Takes the next name from the right. `false` if it ends there: whoever is named is not
    /// trusted, or nobody can be made out.
    fn follow(&mut self, node: Node, trusted: impl Fn(IpAddr) -> bool) -> bool {
        match node {
            Node::Address(address, port) => {
                self.named.push(address);
                self.port_of_client = port;
                trusted(address)
            }
            Node::Unknown => {
                self.client_is_unknown = true;
                self.port_of_client = None;
                false
            }
        }
    }
}

/// The elements of a list, over all lines of the header, from the right. Empty ones count for
/// nothing (RFC 9110 section 5.6.1).
fn elements<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    let lines = headers.get_all(name).iter().rev();
    lines
        .flat_map(|line| line.as_bytes().rsplit(|&b| b == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|element| !element.is_empty())
}

/// The value of a parameter. One that is there twice has none: it would be read differently by
/// others.
fn parameter<'a>(element: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut found = element.split(|&b| b == b';').filter_map(|pair| {
        let at = pair.iter().position(|&b| b == b'=')?;
        let (key, value) = pair.split_at(at);
        let is_it = key.trim_ascii().eq_ignore_ascii_case(name.as_bytes());
        is_it.then(|| value.strip_prefix(b"=").unwrap_or(value).trim_ascii())
    });
    let value = found.next();
    value.filter(|_| found.next().is_none())
}

fn text(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(value).ok().map(unquoted)
}

fn is_tls(scheme: &[u8]) -> Option<bool> {
    match text(scheme)? {
        scheme if scheme.eq_ignore_ascii_case("https") => Some(true),
        scheme if scheme.eq_ignore_ascii_case("http") => Some(false),
        _ => None,
    }
}

fn host(value: &[u8]) -> Option<HeaderValue> {
    let host = text(value)?;
    let is_good = !host.is_empty() && is_host(host.as_bytes());
    is_good.then(|| HeaderValue::from_str(host).ok())?
}

/// A path that an application may put before its own: never one that begins another host's URL.
fn prefix(value: &[u8]) -> Option<HeaderValue> {
    let prefix = text(value)?;
    let is_path = prefix.starts_with('/')
        && !prefix.starts_with("//")
        && prefix
            .bytes()
            .all(|b| b.is_ascii_graphic() && !b"\\?#;<>\"".contains(&b));
    is_path.then(|| HeaderValue::from_str(prefix).ok())?
}
