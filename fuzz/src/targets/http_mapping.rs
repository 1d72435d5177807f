//! AJP to the `http` crate and back: what was decoded from any bytes, and what was built from
//! any structure. Nothing is lost but what concerns one connection, nothing is invented, and
//! the announced length is the one that was asked for.

use crate::decoded::{check_encode_error, only_packet};
use crate::http_model::{Pairs, end_to_end, grouped, pairs, percent_decoded, percent_encoded};
use crate::input::Input;
use crate::packets::packet_size;
use crate::shadow;
use ajp::Secret;
use ajp::client::RequestFacts;
use ajp::mapping::{
    TlsFacts, parse_with_headers, request_parts, request_parts_with_headers, response_parts,
    write_forward_request, write_send_headers,
};
use ajp::server::{AttributePolicy, RequestClaims, ServerConfig, Trust};
use ajp::wire::{
    AttributeCode, BodyFraming, DecodeOptions, Direction, EncodeError, EncodeRule, Field,
    ForwardRequest, PacketSize, SendHeaders,
};
use arbitrary::{Arbitrary, Unstructured};
use bytes::{Bytes, BytesMut};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode, Uri, Version};

const SECRET: &str = "s3cr3t";

/// Checks one input.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let mode = input.byte() % 4;
    let size = packet_size(input.byte());
    match mode {
        0 => decoded_request(input.rest(), size),
        1 => decoded_response(input.rest(), size),
        2 => drop(
            ARequest::arbitrary_take_rest(Unstructured::new(input.rest()))
                .map(|request| built_request(&request, size)),
        ),
        _ => drop(
            AResponse::arbitrary_take_rest(Unstructured::new(input.rest()))
                .map(|response| built_response(&response, size)),
        ),
    }
}

fn wire_pairs(headers: ajp::wire::Headers<'_>) -> Pairs {
    let pair = |header: ajp::wire::Header<'_>| {
        let name = header.name.to_ascii_lowercase();
        (
            String::from_utf8(name).expect("a token"),
            header.value.to_vec(),
        )
    };
    headers.map(pair).collect()
}

/// The buffer is as it was, and the error says what is wrong.
fn refused(buffer: &BytesMut, error: &EncodeError, size: PacketSize) {
    assert_eq!(buffer, &b"before"[..]);
    check_encode_error(error, size);
}

/// Names that the writer refuses because of Undertow.
fn has_long_name(pairs: &Pairs) -> bool {
    pairs.iter().any(|(name, _)| name.len() > 255)
}

fn decoded_request(payload: &[u8], size: PacketSize) {
    let options = DecodeOptions::default().with_lenient_uri(size == PacketSize::DEFAULT);
    let payload = Bytes::copy_from_slice(payload);
    // What is checked and mapped in one walk is the same, and so is what is refused.
    let parsed = ForwardRequest::parse_with(payload.clone(), &options);
    let (request, map) = match (parsed, parse_with_headers(payload, &options)) {
        (Ok(request), Ok((same, map))) => {
            assert_eq!(request, same);
            (request, map)
        }
        (parsed, mapped) => {
            let same = mapped.expect_err("refused by the other way");
            assert_eq!(parsed.expect_err("refused by the other way"), same);
            return;
        }
    };
    let policy = AttributePolicy::default().accept("SHIB");
    let config = ServerConfig::new(Trust::TrustedNetwork).with_attributes(policy);
    let target = match request.query_string() {
        Some(query) => [request.req_uri(), b"?", query].concat(),
        None => request.req_uri().to_vec(),
    };
    let mapped = request_parts_with_headers(&request, map, &config);
    let Ok(out) = request_parts(&request, &config) else {
        assert!(mapped.is_err());
        // `*` with a query is no URI, and a URI has at most 65534 bytes.
        assert!(target.starts_with(b"*") || 3 * target.len() > 65534);
        return;
    };
    let (parts, ()) = out.into_parts();
    let (same, ()) = mapped.expect("refused by the other way").into_parts();
    assert_eq!(parts.headers, same.headers);
    assert_eq!(
        (&parts.method, &parts.uri, parts.version),
        (&same.method, &same.uri, same.version)
    );
    assert_eq!(parts.method.as_str().as_bytes(), request.method());
    let mapped = parts
        .uri
        .path_and_query()
        .expect("has a path")
        .as_str()
        .as_bytes();
    assert_eq!(percent_decoded(mapped), percent_decoded(&target));
    let same = request.query_string().map(percent_decoded);
    assert_eq!(
        parts
            .uri
            .query()
            .map(|query| percent_decoded(query.as_bytes())),
        same
    );
    let headers = wire_pairs(request.headers());
    assert_eq!(grouped(pairs(&parts.headers)), grouped(headers.clone()));

    let claims = parts.extensions.get::<RequestClaims>().expect("attached");
    check_claims(&request, claims);
    assert!(!format!("{claims:?}").is_empty());

    // And on to another container.
    let mut buffer = BytesMut::from(&b"before"[..]);
    let framing = request.framing();
    // Without an address of the client there is nobody whose request could be passed on.
    let Some(facts) = RequestFacts::from_trusted_claims(claims) else {
        assert!(request.remote_addr().is_none_or(<[u8]>::is_empty));
        return;
    };
    match write_forward_request(&mut buffer, PacketSize::MAX, &parts, &facts, framing, None) {
        Ok(_) => {
            let mut packet = buffer.split_off(6);
            assert!(packet.len() <= 65536);
            let payload = only_packet(&mut packet, Direction::ToContainer, PacketSize::MAX);
            let options = DecodeOptions::default().with_max_headers(u16::MAX);
            let again = ForwardRequest::parse_with(payload, &options).expect("written");
            assert_eq!(again.method(), request.method());
            assert_eq!(
                percent_decoded(again.req_uri()),
                percent_decoded(request.req_uri())
            );
            assert_eq!(again.query_string().map(percent_decoded), same);
            assert_eq!(again.is_ssl(), request.is_ssl());
            assert_eq!(again.remote_host(), request.remote_host());
            check_request_headers(&headers, &again, framing);
            let tls = facts.tls_facts().is_some() && request.is_ssl();
            // The user is not trusted, and the route is that of the first container.
            for code in [
                AttributeCode::RemoteUser,
                AttributeCode::AuthType,
                AttributeCode::Route,
            ] {
                assert_eq!(again.attribute(code), None);
            }
            for code in [AttributeCode::SslCert, AttributeCode::SslCipher] {
                let expected = request
                    .attribute(code)
                    .filter(|value| tls && !value.is_empty());
                assert_eq!(again.attribute(code), expected);
            }
        }
        Err(error) => {
            refused(&buffer, &error, PacketSize::MAX);
            let host = parts
                .headers
                .get("host")
                .map(HeaderValue::as_bytes)
                .unwrap_or_default();
            let odd_host = !host.iter().all(|&b| shadow::visible_byte(b));
            let known = has_long_name(&headers)
                || error.is_too_large()
                || (odd_host && error.field() == Field::ServerName);
            assert!(known, "{error}");
        }
    }
}

/// What is present but empty is absent.
fn present(value: Option<&[u8]>) -> Option<&[u8]> {
    value.filter(|value| !value.is_empty())
}

fn check_claims(request: &ForwardRequest, facts: &RequestClaims) {
    let is = |text: Option<&str>, bytes: Option<&[u8]>| {
        assert_eq!(text.map(str::as_bytes), present(bytes));
    };
    is(facts.remote_addr(), request.remote_addr());
    is(facts.remote_host(), request.remote_host());
    is(facts.server_name(), request.server_name());
    assert_eq!(facts.is_tls(), request.is_ssl());
    let port = request.server_port();
    assert_eq!(
        facts.server_port(),
        (port != 0 && port != 65535).then_some(port)
    );
    assert_eq!(facts.remote_user(), None, "not trusted");
    let user = request.attribute(AttributeCode::RemoteUser);
    assert_eq!(facts.claimed_user(), present(user).map(ajp::mapping::text));
    assert_eq!(facts.auth_type(), None, "not trusted");
    let auth_type = request.attribute(AttributeCode::AuthType);
    let claimed = facts.claimed_auth_type();
    assert_eq!(claimed, present(auth_type).map(ajp::mapping::text));
    let route = request.attribute(AttributeCode::Route);
    assert_eq!(facts.route(), present(route).map(ajp::mapping::text));
    let key_size = facts.tls_facts().and_then(TlsFacts::key_size);
    assert_eq!(key_size, request.ssl_key_size());
    let certificate = facts.tls_facts().and_then(TlsFacts::certificate_pem);
    assert_eq!(
        certificate,
        present(request.attribute(AttributeCode::SslCert))
    );
    // Only what the policy names is passed on.
    assert!(facts.attributes().all(|(name, _)| name == b"SHIB"));
    let shib = request.req_attribute(b"SHIB");
    if let Some(value) = shib {
        assert_eq!(facts.attribute("SHIB"), Some(ajp::mapping::text(value)));
    }
}

/// All that is not hop-by-hop, in order, and one announcement of the body.
fn check_request_headers(before: &Pairs, request: &ForwardRequest, framing: BodyFraming) {
    let mut expected = end_to_end(before);
    expected.retain(|(name, _)| name != "content-length" && name != "expect");
    // Several cookie headers are one.
    let is_cookie = |(name, _): &&(String, Vec<u8>)| name == "cookie";
    let cookies: Vec<_> = expected
        .iter()
        .filter(is_cookie)
        .map(|(_, value)| value.clone())
        .collect();
    if cookies.len() > 1 {
        expected.retain(|(name, _)| name != "cookie");
        expected.push(("cookie".to_owned(), cookies.join(&b"; "[..])));
    }
    let (framing, announced) = match framing {
        BodyFraming::Length(length) => (framing, ("content-length", length.to_string())),
        BodyFraming::Absent => (BodyFraming::Length(0), ("content-length", "0".to_owned())),
        BodyFraming::Chunked => (framing, ("transfer-encoding", "chunked".to_owned())),
    };
    expected.push((announced.0.to_owned(), announced.1.into_bytes()));
    let headers = wire_pairs(request.headers());
    assert_eq!(request.framing(), framing);
    assert_eq!(grouped(headers), grouped(expected));
}

fn decoded_response(payload: &[u8], size: PacketSize) {
    let Ok(head) = SendHeaders::parse(Bytes::copy_from_slice(payload)) else {
        return;
    };
    let (parts, ()) = response_parts(&head).into_parts();
    assert_eq!(parts.status.as_u16(), head.status());
    let headers = wire_pairs(head.headers());
    let mut expected = end_to_end(&headers);
    if head.status() == 204 {
        expected.retain(|(name, _)| name != "content-length");
    }
    assert_eq!(grouped(pairs(&parts.headers)), grouped(expected));
    check_send_headers(parts, false, None, size);
}

fn check_send_headers(
    parts: http::response::Parts,
    head_request: bool,
    body_length: Option<u64>,
    size: PacketSize,
) {
    let headers = pairs(&parts.headers);
    let status = parts.status.as_u16();
    let mut expected = end_to_end(&headers);
    let lengths: Vec<_> = expected
        .iter()
        .filter(|(name, _)| name == "content-length")
        .map(|(_, value)| shadow::content_length(value))
        .collect();
    let may_have_body = !head_request && !matches!(status, 100..=199 | 204 | 205 | 304);
    let dropped = matches!(status, 204 | 205);
    let named = lengths.first().copied().flatten().filter(|_| !dropped);
    expected.retain(|(name, _)| name != "content-length");
    // What a 205 says is fixed; what the response names goes before what is known of its body.
    let length = match (status, named, body_length) {
        (205, _, _) => Some(0),
        (_, Some(named), _) => Some(named),
        (_, None, Some(length)) if may_have_body => Some(length),
        _ => None,
    };
    // A body that follows has the length that is named, if both are known.
    let is_anothers = may_have_body
        && named
            .zip(body_length)
            .is_some_and(|(named, length)| named != length);
    let mut buffer = BytesMut::from(&b"before"[..]);
    match write_send_headers(&mut buffer, size, &parts, head_request, body_length) {
        Ok(announced) => {
            assert!(!is_anothers);
            assert_eq!(announced, length.filter(|_| may_have_body));
            let mut packet = buffer.split_off(6);
            assert!(packet.len() <= size.bytes());
            let payload = only_packet(&mut packet, Direction::ToWebServer, size);
            let again = match SendHeaders::parse(payload) {
                Ok(again) => again,
                Err(error) => {
                    // More than a web server takes: the caller's number.
                    assert!(
                        body_length.is_some_and(|length| length > i64::MAX as u64),
                        "{error}"
                    );
                    return;
                }
            };
            assert_eq!((again.status(), again.content_length()), (status, length));
            let mut written = wire_pairs(again.headers());
            let count = written.len();
            written.retain(|(name, _)| name != "content-length");
            assert_eq!(
                count - written.len(),
                usize::from(length.is_some()),
                "one length"
            );
            assert_eq!(grouped(written), grouped(expected));
        }
        Err(error) => {
            refused(&buffer, &error, size);
            let first = lengths.first().copied();
            let bad_length = !dropped
                && lengths
                    .iter()
                    .any(|length| length.is_none() || Some(*length) != first);
            let known =
                error.is_too_large() || has_long_name(&headers) || bad_length || is_anothers;
            assert!(known, "{error}");
        }
    }
}

/// Headers from names that matter and any others.
#[derive(Debug, Clone, Arbitrary)]
struct Headers(Vec<(u8, String, Vec<u8>)>);

impl Headers {
    fn map(&self) -> HeaderMap {
        let names = [
            "host",
            "connection",
            "keep-alive",
            "te",
            "trailer",
            "upgrade",
            "proxy-connection",
            "proxy-authenticate",
            "transfer-encoding",
            "content-length",
            "expect",
            "cookie",
            "set-cookie",
            "x-private",
        ];
        let mut map = HeaderMap::new();
        for (pick, name, value) in &self.0 {
            let name = match names.get(usize::from(pick % 24)) {
                Some(name) => name.as_bytes(),
                None => name.as_bytes(),
            };
            let value: &[u8] = match pick >> 5 {
                1 => b"x-private, close",
                2 => b"12",
                3 => b"keep-alive,Set-Cookie",
                _ => value,
            };
            if let (Ok(name), Ok(value)) =
                (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
            {
                map.append(name, value);
            }
        }
        map
    }
}

#[derive(Debug, Clone, Arbitrary)]
struct ARequest {
    method: String,
    uri: String,
    version: u8,
    headers: Headers,
    length: Option<Option<u64>>,
    remote: Option<([u8; 4], u16)>,
    server: Option<(String, u16)>,
    user: Option<(String, String)>,
    tls: Option<(Vec<u8>, String, u16, String)>,
    texts: [Option<String>; 2],
    attributes: Vec<(String, String)>,
    secret: bool,
}

fn built_request(input: &ARequest, size: PacketSize) {
    let method = Method::from_bytes(input.method.as_bytes()).unwrap_or(Method::PUT);
    let uri: Uri = input
        .uri
        .parse()
        .unwrap_or_else(|_| Uri::from_static("/a?b"));
    let mut request = Request::new(());
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.version_mut() = [
        Version::HTTP_11,
        Version::HTTP_10,
        Version::HTTP_2,
        Version::HTTP_3,
    ][usize::from(input.version % 4)];
    *request.headers_mut() = input.headers.map();
    let framing = match input.length {
        None => BodyFraming::Absent,
        Some(None) => BodyFraming::Chunked,
        Some(Some(length)) => BodyFraming::Length(length),
    };
    let facts = facts(input);
    let secret = Secret::new(SECRET).expect("valid");
    let (parts, ()) = request.into_parts();
    let headers = pairs(&parts.headers);
    let mut buffer = BytesMut::from(&b"before"[..]);
    let secret = input.secret.then_some(&secret);
    let written = write_forward_request(&mut buffer, size, &parts, &facts, framing, secret);
    let framing = match written {
        Ok(framing) => framing,
        Err(error) => {
            refused(&buffer, &error, size);
            check_refusal(&error, input, &headers);
            return;
        }
    };
    let mut packet = buffer.split_off(6);
    assert!(packet.len() <= size.bytes());
    let payload = only_packet(&mut packet, Direction::ToContainer, size);
    let options = DecodeOptions::default().with_max_headers(u16::MAX);
    let again = ForwardRequest::parse_with(payload, &options).expect("written by the crate");
    assert_eq!(again.framing(), framing);
    assert_eq!(again.method(), parts.method.as_str().as_bytes());
    let ascii = |text: &str| percent_encoded(text.as_bytes(), |b| b.is_ascii());
    let path = Some(parts.uri.path())
        .filter(|path| !path.is_empty())
        .unwrap_or("/");
    assert_eq!(again.req_uri(), ascii(path));
    assert_eq!(
        again.query_string(),
        parts.uri.query().map(ascii).as_deref()
    );
    let secret = again.attribute(AttributeCode::Secret);
    assert_eq!(secret, input.secret.then_some(SECRET.as_bytes()));
    let https = parts.uri.scheme_str() == Some("https");
    assert_eq!(again.is_ssl(), input.tls.is_some() || https);
    let mut expected = headers;
    if let Some(authority) = parts.uri.authority() {
        let host = authority.as_str().rsplit('@').next().expect("one at least");
        // It is the only host, and written whatever `Connection` names.
        expected = end_to_end(&expected);
        expected.retain(|(name, _)| name != "host");
        expected.push(("host".to_owned(), host.as_bytes().to_vec()));
    }
    check_request_headers(
        &expected,
        &again,
        match input.length {
            None => BodyFraming::Absent,
            _ => framing,
        },
    );
    let config = ServerConfig::new(Trust::TrustedNetwork).with_trust_remote_user(true);
    if let Ok(request) = request_parts(&again, &config) {
        let seen = request
            .extensions()
            .get::<RequestClaims>()
            .expect("attached")
            .clone();
        assert_eq!(seen.remote_user(), facts.remote_user());
        assert_eq!(seen.remote_port(), facts.remote_port());
        assert_eq!(seen.route(), facts.route());
    }
}

fn facts(input: &ARequest) -> RequestFacts {
    let mut facts = RequestFacts::own_request();
    if let Some(remote) = input.remote {
        let remote = std::net::SocketAddr::from(remote);
        facts = facts
            .with_remote_ip(remote.ip())
            .with_remote_port(remote.port());
    }
    if let Some((name, port)) = &input.server {
        facts = facts.with_server(name.clone(), *port);
    }
    if let Some((name, auth_type)) = &input.user {
        facts = facts.with_user(name.clone(), auth_type.clone());
    }
    if let Some((pem, cipher, bits, protocol)) = &input.tls {
        let tls = TlsFacts::new()
            .with_certificate_pem(pem.clone())
            .with_cipher(cipher.clone(), *bits)
            .with_protocol(protocol.clone());
        facts = facts.with_tls_facts(tls);
    }
    let [route, activation] = &input.texts;
    if let Some(route) = route {
        facts = facts.with_route(route.clone());
    }
    if let Some(activation) = activation {
        facts = facts.with_activation(activation.clone());
    }
    for (name, value) in &input.attributes {
        facts = facts.with_attribute(name.clone(), value.clone());
    }
    facts
}

/// A request of harmless parts is never refused, but for its size.
fn check_refusal(error: &EncodeError, input: &ARequest, headers: &Pairs) {
    let plain = |text: &str| text.bytes().all(shadow::visible_byte);
    let [route, activation] = &input.texts;
    let harmless = !has_long_name(headers)
        && headers
            .iter()
            .all(|(name, value)| name != "host" || value.iter().all(|&b| shadow::visible_byte(b)))
        && input
            .length
            .flatten()
            .is_none_or(|length| i64::try_from(length).is_ok())
        && input.server.as_ref().is_none_or(|(name, _)| plain(name))
        && input
            .user
            .as_ref()
            .is_none_or(|(name, kind)| plain(name) && plain(kind))
        && input.tls.as_ref().is_none_or(|(pem, cipher, _, protocol)| {
            pem.iter().all(|&b| shadow::pem_byte(b)) && plain(cipher) && plain(protocol)
        })
        && [route, activation]
            .into_iter()
            .flatten()
            .all(|text| plain(text))
        && input.attributes.is_empty();
    // What `http::Uri` takes and AJP does not carry.
    let target = matches!(error.field(), Field::ReqUri | Field::ServerName)
        || error.field() == Field::Attribute(AttributeCode::QueryString);
    let known = !harmless || error.is_too_large() || target;
    assert!(known, "{error}: {input:?}");
    if target {
        assert!(
            matches!(
                error.rule(),
                EncodeRule::InvalidByte(_)
                    | EncodeRule::NotOriginForm
                    | EncodeRule::TooLarge { .. }
            ),
            "{error}"
        );
    }
}

#[derive(Debug, Clone, Arbitrary)]
struct AResponse {
    status: u16,
    headers: Headers,
    head_request: bool,
    body_length: Option<u64>,
}

fn built_response(input: &AResponse, size: PacketSize) {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(100 + input.status % 900).expect("in range");
    *response.headers_mut() = input.headers.map();
    let (parts, ()) = response.into_parts();
    check_send_headers(parts, input.head_request, input.body_length, size);
}
