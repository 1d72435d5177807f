//! Who asks, by which way, for which host: headers that say so are never passed on as the
//! client wrote them.

use super::Network;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Uri, Version};
use std::net::IpAddr;

/// Names under which clients and proxies tell addresses, hosts and schemes.
const CLAIMS: [&str; 6] = [
    "forwarded",
    "x-forwarded",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "true-client-ip",
];

static FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
static FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Who is at the other end of a connection, in the forms that its requests need.
#[derive(Debug)]
pub(crate) struct Peer {
    /// An IPv4 client of a dual-stack socket is shown as what it is.
    address: IpAddr,
    text: Option<HeaderValue>,
    is_tls: bool,
}

impl Peer {
    pub(crate) fn new(address: IpAddr, is_tls: bool) -> Self {
        let address = address.to_canonical();
        Self {
            address,
            text: HeaderValue::try_from(address.to_string()).ok(),
            is_tls,
        }
    }
}

/// Where a request really comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The client: the peer, or whom a trusted proxy names.
    pub(crate) client: IpAddr,
    /// Whether the peer is the client itself.
    pub(crate) is_direct: bool,
    /// Whether the client's connection is TLS: this one, or what a trusted proxy says of its own.
    pub(crate) is_tls: bool,
    /// The addresses from the client to the peer.
    chain: Option<HeaderValue>,
    host: Option<HeaderValue>,
}

impl Origin {
    /// In memory of its own: that of a request is a part of the buffer it was read to, which
    /// would stay as long as this.
    pub(crate) fn detached(mut self) -> Self {
        let host = self.host.as_ref().map(HeaderValue::as_bytes);
        self.host = host.and_then(|host| HeaderValue::from_bytes(host).ok());
        self
    }

    /// What the members are told of it beside the facts that AJP has fields for.
    pub(crate) fn headers(&self) -> impl Iterator<Item = (HeaderName, HeaderValue)> + '_ {
        let proto = HeaderValue::from_static(if self.is_tls { "https" } else { "http" });
        let all = [
            (&FORWARDED_FOR, self.chain.clone()),
            (&FORWARDED_PROTO, Some(proto)),
            (&FORWARDED_HOST, self.host.clone()),
        ];
        let known = |(name, value): (&HeaderName, _)| Some((name.clone(), value?));
        all.into_iter().filter_map(known)
    }
}

/// Takes away what the client claims, and tells what is known.
///
/// # Errors
/// What is wrong with the request's host, in one line.
pub(crate) fn settle(
    headers: &mut HeaderMap,
    uri: &Uri,
    version: Version,
    peer: &Peer,
    trusted: &[Network],
) -> Result<Origin, &'static str> {
    let host = settle_host(headers, uri, version)?;
    let origin = origin(headers, host, peer, trusted);
    let claims: Vec<_> = headers
        .keys()
        .filter(|name| is_claim(name.as_str()))
        .cloned()
        .collect();
    for name in claims {
        headers.remove(name);
    }
    remove_nominated(headers);
    Ok(origin)
}

/// One host, and the target's if that names one (RFC 9112, section 3.2).
fn settle_host(
    headers: &mut HeaderMap,
    uri: &Uri,
    version: Version,
) -> Result<Option<HeaderValue>, &'static str> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let mut host = hosts.next().cloned();
    if hosts.next().is_some() {
        return Err("the request has more than one Host header");
    }
    if let Some(authority) = uri.authority() {
        let name = authority.as_str();
        let name = name.rsplit_once('@').map_or(name, |(_, name)| name);
        let name = HeaderValue::try_from(name).map_err(|_| "the request's target has no host")?;
        headers.insert(header::HOST, name.clone());
        host = Some(name);
    }
    match &host {
        Some(host) if !is_host(host.as_bytes()) => Err("the Host header names no host"),
        None if version >= Version::HTTP_11 => Err("the request has no Host header"),
        _ => Ok(host),
    }
}

/// Whether it can be a host and a port; an empty one is allowed.
fn is_host(host: &[u8]) -> bool {
    let known = |b: &u8| b.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:[]".contains(b);
    host.iter().all(known)
}

/// Some applications read `X_Forwarded_For` as the same header.
fn is_claim(name: &str) -> bool {
    let same = |(a, b): (u8, u8)| a == b || (a == b'_' && b == b'-');
    let begins =
        |known: &str| name.len() >= known.len() && name.bytes().zip(known.bytes()).all(same);
    let is = |known: &&str| name.len() == known.len() && begins(known);
    // Most headers are none, and their first letter tells.
    name.starts_with(['x', 'f', 't']) && (begins("x-forwarded-") || CLAIMS.iter().any(is))
}

/// Headers that the client declares to be for the gateway alone. It cannot take the
/// gateway's own away.
fn remove_nominated(headers: &mut HeaderMap) {
    if !headers.contains_key(header::CONNECTION) {
        return;
    }
    let nominated: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|&b| b == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .collect();
    headers.remove(header::CONNECTION);
    let needed = [
        header::HOST,
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
        // Looked at before it is refused.
        header::UPGRADE,
    ];
    for name in nominated {
        if !needed.contains(&name) {
            headers.remove(name);
        }
    }
}

fn origin(
    headers: &HeaderMap,
    host: Option<HeaderValue>,
    peer: &Peer,
    trusted: &[Network],
) -> Origin {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    if !is_trusted(peer.address) {
        return Origin {
            client: peer.address,
            is_direct: true,
            is_tls: peer.is_tls,
            chain: peer.text.clone(),
            host,
        };
    }
    let mut chain = vec![peer.address];
    let mut client = peer.address;
    let told = header_text(headers, &FORWARDED_FOR);
    for word in told.rsplit(',') {
        if !is_trusted(client) {
            break;
        }
        let Ok(address) = word.trim().parse::<IpAddr>() else {
            break;
        };
        client = address.to_canonical();
        chain.push(client);
    }
    let proto = header_text(headers, &FORWARDED_PROTO);
    let proto = proto.rsplit(',').next().unwrap_or_default().trim();
    let chain: Vec<_> = chain.iter().rev().map(IpAddr::to_string).collect();
    Origin {
        client,
        is_direct: client == peer.address,
        is_tls: proto.eq_ignore_ascii_case("https") || (proto.is_empty() && peer.is_tls),
        chain: HeaderValue::try_from(chain.join(", ")).ok(),
        host,
    }
}

/// All values of a header, as one list.
fn header_text(headers: &HeaderMap, name: &HeaderName) -> String {
    let values = headers.get_all(name).iter();
    let texts: Vec<_> = values.filter_map(|value| value.to_str().ok()).collect();
    texts.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(
        lines: &[(&'static str, &str)],
        peer: &str,
        trusted: &[&str],
    ) -> Result<(Origin, HeaderMap), &'static str> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::try_from(*value).unwrap());
        }
        let trusted: Vec<_> = trusted.iter().map(|text| text.parse().unwrap()).collect();
        let peer = Peer::new(peer.parse().unwrap(), false);
        let uri = Uri::from_static("/");
        let origin = settle(&mut headers, &uri, Version::HTTP_11, &peer, &trusted)?;
        Ok(all(origin, headers))
    }

    /// With all headers that the members see.
    fn all(origin: Origin, mut headers: HeaderMap) -> (Origin, HeaderMap) {
        for (name, value) in origin.headers() {
            headers.append(name, value);
        }
        (origin, headers)
    }

    #[test]
    fn claims_are_replaced() {
        let lines = [
            ("host", "shop.example"),
            ("x-forwarded-for", "10.0.0.1"),
            ("x-forwarded-for", "10.0.0.2"),
            ("x_forwarded_for", "10.0.0.3"),
            ("x-forwarded-host", "evil"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-port", "443"),
            ("x-forwarded-prefix", "/evil"),
            ("forwarded", "for=10.0.0.1;proto=https"),
            ("x-real-ip", "10.0.0.1"),
            ("true-client-ip", "10.0.0.1"),
            ("x-other", "kept"),
        ];
        let (origin, headers) = settled(&lines, "::ffff:192.0.2.1", &[]).unwrap();
        let expected: [(&str, &str); 5] = [
            ("host", "shop.example"),
            ("x-forwarded-for", "192.0.2.1"),
            ("x-forwarded-host", "shop.example"),
            ("x-forwarded-proto", "http"),
            ("x-other", "kept"),
        ];
        let mut found: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .collect();
        found.sort_unstable();
        assert_eq!(found, expected);
        assert_eq!(origin.client, IpAddr::from([192, 0, 2, 1]));
        assert!(origin.is_direct && !origin.is_tls);
    }

    #[test]
    fn a_connection_header_takes_nothing_of_ours_away() {
        let lines = [
            ("host", "a"),
            ("connection", "close, X-Forwarded-For, Host, X-Private"),
            ("connection", "content-length"),
            ("content-length", "5"),
            ("x-private", "1"),
            ("upgrade", "websocket"),
        ];
        let (_, headers) = settled(&lines, "192.0.2.1", &[]).unwrap();
        assert_eq!(headers["x-forwarded-for"], "192.0.2.1");
        assert_eq!(headers["host"], "a");
        assert_eq!(headers["content-length"], "5");
        assert_eq!(headers["upgrade"], "websocket");
        assert!(!headers.contains_key("connection") && !headers.contains_key("x-private"));
    }

    #[test]
    fn trusted_proxies_are_believed_and_nobody_before_them() {
        let trusted = ["10.0.0.0/8", "::1"];
        for (told, peer, client, chain) in [
            (
                "203.0.113.9",
                "10.0.0.1",
                "203.0.113.9",
                "203.0.113.9, 10.0.0.1",
            ),
            (
                "1.2.3.4, 203.0.113.9",
                "10.0.0.1",
                "203.0.113.9",
                "203.0.113.9, 10.0.0.1",
            ),
            (
                "1.2.3.4, 203.0.113.9, 10.0.0.2",
                "10.0.0.1",
                "203.0.113.9",
                "203.0.113.9, 10.0.0.2, 10.0.0.1",
            ),
            ("203.0.113.9", "192.0.2.1", "192.0.2.1", "192.0.2.1"),
            ("", "10.0.0.1", "10.0.0.1", "10.0.0.1"),
            ("203.0.113.9, unknown", "10.0.0.1", "10.0.0.1", "10.0.0.1"),
            ("10.0.0.3", "10.0.0.1", "10.0.0.3", "10.0.0.3, 10.0.0.1"),
            ("2001:db8::1", "::1", "2001:db8::1", "2001:db8::1, ::1"),
        ] {
            let lines = [
                ("host", "a"),
                ("x-forwarded-for", told),
                ("x-forwarded-proto", "http, HTTPS"),
            ];
            let (origin, headers) = settled(&lines, peer, &trusted).unwrap();
            assert_eq!(origin.client.to_string(), client, "{told} from {peer}");
            assert_eq!(headers["x-forwarded-for"], chain);
            assert_eq!(origin.is_tls, peer != "192.0.2.1");
        }
    }

    #[test]
    fn what_is_kept_of_a_request_keeps_no_more_of_it() {
        let buffer = bytes::Bytes::from(b"host: shop.example\r\n".repeat(400));
        let host = HeaderValue::from_maybe_shared(buffer.slice(6..18)).unwrap();
        let mut headers = HeaderMap::from_iter([(header::HOST, host)]);
        let (uri, peer) = (
            Uri::from_static("/"),
            Peer::new([192, 0, 2, 1].into(), false),
        );
        let origin = settle(&mut headers, &uri, Version::HTTP_11, &peer, &[]).unwrap();
        let kept = origin.clone().detached();
        assert_eq!(kept, origin);
        drop((origin, headers));
        assert!(buffer.is_unique());
        assert_eq!(kept.headers().last().unwrap().1, "shop.example");
    }

    #[test]
    fn hosts() {
        for (lines, ok) in [
            (&[("host", "a")][..], true),
            (&[("host", "[::1]:8080")], true),
            (&[("host", "")], true),
            (&[], false),
            (&[("host", "a"), ("host", "a")], false),
            (&[("host", "a b")], false),
            (&[("host", "a/b")], false),
            (&[("host", "a@b")], false),
            (&[("host", "a\"")], false),
        ] {
            assert_eq!(settled(lines, "192.0.2.1", &[]).is_ok(), ok, "{lines:?}");
        }
        let uri = Uri::from_static("http://user@other:81/x");
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("a"));
        let peer = Peer::new([192, 0, 2, 1].into(), false);
        let origin = settle(&mut headers, &uri, Version::HTTP_11, &peer, &[]).unwrap();
        let (_, headers) = all(origin, headers);
        assert_eq!(headers[header::HOST], "other:81");
        assert_eq!(headers["x-forwarded-host"], "other:81");
        let mut none = HeaderMap::new();
        let old = settle(
            &mut none,
            &Uri::from_static("/"),
            Version::HTTP_10,
            &peer,
            &[],
        );
        assert!(old.is_ok());
    }
}
