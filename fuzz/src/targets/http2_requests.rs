//! A request as an HTTP/2 or HTTP/1 server gives it, with whatever a client put into it, made into
//! a Forward Request as a gateway does and read again: no header is lost or invented, there is one
//! host, cookies are one header, and nothing is left that concerns one HTTP connection.

use crate::decoded::{check_encode_error, only_packet};
use crate::http_model::{Pairs, end_to_end, grouped, pairs};
use crate::input::Input;
use crate::packets::packet_size;
use crate::shadow;
use ajp::client::RequestFacts;
use ajp::mapping::write_forward_request;
use ajp::proxy::{ForwardedRules, Peer, remove_nominated, settle_host};
use ajp::wire::{
    BodyFraming, DecodeOptions, Direction, EncodeError, Field, ForwardRequest, PacketSize,
};
use bytes::BytesMut;
use http::header::{HeaderName, HeaderValue};
use http::{Method, Request, Uri, Version, request};

const NAMES: [&str; 24] = [
    "host",
    "cookie",
    "cookie",
    "te",
    "connection",
    "keep-alive",
    "proxy-connection",
    "upgrade",
    "transfer-encoding",
    "content-length",
    "content-type",
    "expect",
    "trailer",
    "http2-settings",
    "x-named",
    "x-forwarded-for",
    "forwarded",
    "accept",
    "accept-language",
    "authorization",
    "user-agent",
    "range",
    "priority",
    "via",
];

const METHODS: [&str; 8] = [
    "GET", "POST", "HEAD", "CONNECT", "OPTIONS", "PROPFIND", "get", "M-SEARCH",
];

const VERSIONS: [(Version, &str); 5] = [
    (Version::HTTP_2, "HTTP/2.0"),
    (Version::HTTP_11, "HTTP/1.1"),
    (Version::HTTP_10, "HTTP/1.0"),
    (Version::HTTP_3, "HTTP/3.0"),
    (Version::HTTP_09, "HTTP/0.9"),
];

/// Checks one input.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let switches = input.byte();
    let size = packet_size(switches >> 6);
    let Some(mut parts) = parts(&mut input, switches) else {
        return;
    };
    let framing = match switches & 0x0c {
        0 => BodyFraming::Absent,
        4 => BodyFraming::Chunked,
        _ => BodyFraming::Length(u64::from(switches)),
    };
    let facts = RequestFacts::new([192, 0, 2, 10].into());
    // By a program that has no proxy in mind.
    check(&parts, &facts, framing, size, &Vec::new());

    // As a gateway: one host first, then nobody's word about clients.
    let Ok(host) = settle_host(&mut parts.headers, &parts.uri, parts.version) else {
        return;
    };
    let hosts = parts.headers.get_all("host").iter();
    assert!(hosts.eq(host.iter()), "one host, or none");
    let is_host = |b: &u8| shadow::visible_byte(*b) && !b"/?#@\\<>\"".contains(b);
    assert!(host.iter().all(|host| host.as_bytes().iter().all(is_host)));
    remove_nominated(&mut parts.headers);
    let peer = Peer::new(([192, 0, 2, 10], 4711).into()).with_tls(switches & 2 != 0);
    let origin = ForwardedRules::new().apply(&mut parts.headers, &peer);
    let facts = origin.facts(&peer, host.as_ref());
    let is_tls = switches & 2 != 0;
    let mut told = vec![
        ("x-forwarded-for".to_owned(), b"192.0.2.10".to_vec()),
        (
            "x-forwarded-proto".to_owned(),
            if is_tls {
                b"https".to_vec()
            } else {
                b"http".to_vec()
            },
        ),
    ];
    if let Some(host) = host {
        told.push(("x-forwarded-host".to_owned(), host.as_bytes().to_vec()));
    }
    let Some(again) = check(&parts, &facts, framing, size, &told) else {
        return;
    };
    assert_eq!(again.remote_addr(), Some(&b"192.0.2.10"[..]));
    assert_eq!(again.is_ssl(), is_tls);
}

/// A short text, its length first.
fn text<'a>(input: &mut Input<'a>) -> &'a [u8] {
    let len = usize::from(input.byte()) % 64;
    input.take(len)
}

fn parts(input: &mut Input<'_>, switches: u8) -> Option<request::Parts> {
    let mut request = Request::new(());
    let method = METHODS[usize::from(input.byte()) % METHODS.len()];
    *request.method_mut() = Method::from_bytes(method.as_bytes()).expect("a token");
    *request.version_mut() = VERSIONS[usize::from(input.byte()) % VERSIONS.len()].0;
    let (authority, target) = (text(input), text(input));
    let uri = match switches & 0x30 {
        0 => target.to_vec(),
        0x10 => [b"https://", authority, b"/", target].concat(),
        0x20 => [b"http://", authority, b"/", target].concat(),
        // As of CONNECT.
        _ => authority.to_vec(),
    };
    *request.uri_mut() = Uri::try_from(&uri[..]).ok()?;
    while !input.is_empty() {
        let pick = usize::from(input.byte());
        let name = match NAMES.get(pick % 32) {
            Some(name) => name.as_bytes(),
            None => text(input),
        };
        let value = match pick >> 5 {
            0 => &b"x-named, close"[..],
            1 => b"trailers",
            2 => b"host, cookie, x-forwarded-for",
            3 => b"a=b",
            _ => text(input),
        };
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
        {
            request.headers_mut().append(name, value);
        }
    }
    Some(request.into_parts().0)
}

/// The Forward Request of these parts, or nothing where the writer says why not. `told` are the
/// headers by which a proxy says who asks.
fn check(
    parts: &request::Parts,
    facts: &RequestFacts,
    framing: BodyFraming,
    size: PacketSize,
    told: &Pairs,
) -> Option<ForwardRequest> {
    let mut buffer = BytesMut::from(&b"before"[..]);
    let framing = match write_forward_request(&mut buffer, size, parts, facts, framing, None) {
        Ok(framing) => framing,
        Err(error) => {
            assert_eq!(buffer, &b"before"[..]);
            check_encode_error(&error, size);
            check_refusal(&error, parts);
            return None;
        }
    };
    let mut packet = buffer.split_off(6);
    assert!(packet.len() <= size.bytes());
    let payload = only_packet(&mut packet, Direction::ToContainer, size);
    let options = DecodeOptions::default().with_max_headers(u16::MAX);
    let again = ForwardRequest::parse_with(payload, &options).expect("written by the crate");

    assert_eq!(again.method(), parts.method.as_str().as_bytes());
    let protocol = VERSIONS
        .iter()
        .find(|(version, _)| *version == parts.version);
    assert_eq!(
        again.protocol(),
        protocol.expect("of the table").1.as_bytes()
    );
    let path = Some(parts.uri.path()).filter(|path| !path.is_empty());
    assert!(same_text(again.req_uri(), path.unwrap_or("/")));
    match (again.query_string(), parts.uri.query()) {
        (Some(read), Some(query)) => assert!(same_text(read, query)),
        (read, query) => assert_eq!((read, query), (None, None)),
    }
    assert_eq!(again.framing(), framing);
    let expected = [expected(parts, framing), told.clone()].concat();
    assert_eq!(grouped(read_headers(&again)), grouped(expected));
    Some(again)
}

/// Equal but for what is not ASCII, which is percent-encoded on the way.
fn same_text(read: &[u8], text: &str) -> bool {
    let written = crate::http_model::percent_encoded(text.as_bytes(), |b| b.is_ascii());
    read == written
}

fn read_headers(request: &ForwardRequest) -> Pairs {
    let pair = |header: ajp::wire::Header<'_>| {
        let name = header.name.to_ascii_lowercase();
        let name = String::from_utf8(name).expect("a token");
        (name, header.value.to_vec())
    };
    request.headers().map(pair).collect()
}

/// The headers that a container must see.
fn expected(parts: &request::Parts, framing: BodyFraming) -> Pairs {
    let mut out = end_to_end(&pairs(&parts.headers));
    out.retain(|(name, _)| name != "content-length" && name != "expect");
    if let Some(authority) = parts.uri.authority() {
        let host = authority.as_str().rsplit('@').next().expect("one at least");
        out.retain(|(name, _)| name != "host");
        out.push(("host".to_owned(), host.as_bytes().to_vec()));
    }
    let is_cookie = |(name, _): &&(String, Vec<u8>)| name == "cookie";
    let cookies: Vec<_> = out
        .iter()
        .filter(is_cookie)
        .map(|(_, value)| value.clone())
        .collect();
    if cookies.len() > 1 {
        out.retain(|(name, _)| name != "cookie");
        out.push(("cookie".to_owned(), cookies.join(&b"; "[..])));
    }
    out.push(match framing {
        BodyFraming::Chunked => ("transfer-encoding".to_owned(), b"chunked".to_vec()),
        BodyFraming::Length(length) => {
            ("content-length".to_owned(), length.to_string().into_bytes())
        }
        BodyFraming::Absent => panic!("no body is announced as one of length 0"),
    });
    out
}

/// Refused is what AJP cannot carry, and nothing else.
fn check_refusal(error: &EncodeError, parts: &request::Parts) {
    let hosts = parts.headers.get_all("host").iter();
    let odd_host = hosts
        .into_iter()
        .any(|host| !host.as_bytes().iter().all(|&b| shadow::visible_byte(b)));
    let known = match error.field() {
        Field::ServerName => odd_host || parts.uri.authority().is_some(),
        Field::ReqUri | Field::Attribute(_) => true,
        Field::Header(_) => parts.headers.keys().any(|name| name.as_str().len() > 255),
        _ => false,
    };
    assert!(known || error.is_too_large(), "{error}: {parts:?}");
}
