//! `http::request::Parts` straight into a Forward Request, without a message in between.

use super::facts::RequestFacts;
use super::names::{Kind, is_nominated, nominates, request_kind};
use crate::Secret;
use crate::wire::{
    Attribute, AttributeCode, BodyFraming, EncodeError, EncodeRule, Field, ForwardRequestWriter,
    PacketSize, RequestLine, decimal,
};
use bytes::BytesMut;
use http::header::{self, HeaderMap};
use http::{Version, request};

/// The code of `Host`.
const HOST: u8 = 0x0b;

/// Appends the Forward Request for an HTTP request.
///
/// `framing` says how the body is announced; the request's own `Content-Length` and
/// `Transfer-Encoding` are replaced by it, and `BodyFraming::Absent` becomes
/// `content-length: 0`, the only announcement that all containers understand alike
/// (protocol section 4.2). Hop-by-hop headers and `Expect` are left out. An authority in the
/// URI takes the place of the `Host` header (RFC 9112 section 3.2.2); what `facts` do not say
/// about the virtual host is taken from it. `secret` is sent unless `facts` have another one.
///
/// ```
/// use ajp::http::{RequestFacts, write_forward_request};
/// use ajp::wire::{BodyFraming, PacketSize};
/// let (parts, ()) = http::Request::get("http://app.example/a?b=c").body(()).unwrap().into_parts();
/// let mut buffer = bytes::BytesMut::new();
/// write_forward_request(&mut buffer, PacketSize::DEFAULT, &parts, &RequestFacts::new(), BodyFraming::Length(0), None)?;
/// assert_eq!(&buffer[..2], [0x12, 0x34]);
/// # Ok::<(), ajp::wire::EncodeError>(())
/// ```
///
/// # Errors
/// [`EncodeError`] naming what cannot be written; the buffer is as it was.
pub fn write_forward_request(
    buffer: &mut BytesMut,
    size: PacketSize,
    parts: &request::Parts,
    facts: &RequestFacts,
    framing: BodyFraming,
    secret: Option<&Secret>,
) -> Result<BodyFraming, EncodeError> {
    let headers = &parts.headers;
    // It usually comes first, which saves looking for it.
    let host_header = match headers.iter().next() {
        Some((name, value)) if name == header::HOST => Some(value),
        _ => headers.get(header::HOST),
    };
    let host_header = host_header.map(header::HeaderValue::as_bytes);
    let authority = parts.uri.authority();
    let authority = authority.map(|authority| strip_userinfo(authority.as_str()).as_bytes());
    let host = authority.or(host_header);
    let is_ssl = facts.is_ssl || parts.uri.scheme_str() == Some("https");
    let (host_name, host_port) = split_host(host.unwrap_or_default());
    let server_name = match &facts.server_name {
        Some(name) => name.as_ref(),
        None if host_name.is_empty() => b"localhost",
        None => host_name,
    };
    let path = match parts.uri.path() {
        "" => "/",
        path => path,
    };
    let line = RequestLine {
        method: parts.method.as_str().as_bytes(),
        protocol: protocol(parts.version),
        req_uri: path.as_bytes(),
        remote_addr: Some(facts.remote_addr.as_deref().unwrap_or(b"127.0.0.1")),
        remote_host: facts.remote_host.as_deref(),
        server_name: Some(server_name),
        server_port: facts
            .server_port
            .or(host_port)
            .unwrap_or(if is_ssl { 443 } else { 80 }),
        is_ssl,
    };
    let secret = facts.secret.as_ref().or(secret);
    let rest = |mut writer: ForwardRequestWriter<'_, '_>| {
        // However many `Host` headers there are, and whatever `Connection` names.
        if let Some(host) = authority {
            writer.header(b"host", host)?;
        }
        write_headers(&mut writer, headers, authority.is_some())?;
        write_own_headers(&mut writer, facts)?;
        writer.announce(framing)?;
        write_attributes(&mut writer, parts, facts, is_ssl, secret)?;
        writer.finish()
    };
    let error = match ForwardRequestWriter::new(buffer, size, &line) {
        Ok(writer) => return rest(writer),
        Err(error) => error,
    };
    if !is_not_ascii(&error) {
        return Err(error);
    }
    let req_uri = &percent_encode(path);
    let line = RequestLine { req_uri, ..line };
    rest(ForwardRequestWriter::new(buffer, size, &line)?)
}

fn write_headers(
    writer: &mut ForwardRequestWriter<'_, '_>,
    headers: &HeaderMap,
    skip_host: bool,
) -> Result<(), EncodeError> {
    let start = writer.mark();
    let mut nominated = false;
    writer.checked_headers(headers.iter().filter_map(|(name, value)| {
        let name = name.as_str();
        let code = match request_kind(name) {
            Kind::Coded(HOST) if skip_host => return None,
            Kind::Coded(code) => Some(code),
            Kind::Spelled => None,
            Kind::Connection => {
                nominated |= nominates(value);
                return None;
            }
            Kind::HopByHop | Kind::ContentLength | Kind::Expect => return None,
        };
        Some((code, name, value.as_bytes()))
    }))?;
    if nominated {
        // Rare enough to begin again.
        writer.take_back(start);
        let kept = headers
            .iter()
            .filter(|(name, _)| !is_nominated(headers, name));
        writer.checked_headers(kept.filter_map(|(name, value)| {
            let name = name.as_str();
            let code = match request_kind(name) {
                Kind::Coded(HOST) if skip_host => return None,
                Kind::Coded(code) => Some(code),
                Kind::Spelled => None,
                _ => return None,
            };
            Some((code, name, value.as_bytes()))
        }))?;
    }
    Ok(())
}

fn write_own_headers(
    writer: &mut ForwardRequestWriter<'_, '_>,
    facts: &RequestFacts,
) -> Result<(), EncodeError> {
    if facts.headers.is_empty() {
        return Ok(());
    }
    writer.checked_headers(facts.headers.iter().filter_map(|(name, value)| {
        let name = name.as_str();
        match request_kind(name) {
            Kind::Coded(HOST) => None,
            Kind::Coded(code) => Some((Some(code), name, value.as_bytes())),
            Kind::Spelled => Some((None, name, value.as_bytes())),
            _ => None,
        }
    }))
}

fn write_attributes(
    writer: &mut ForwardRequestWriter<'_, '_>,
    parts: &request::Parts,
    facts: &RequestFacts,
    is_ssl: bool,
    secret: Option<&Secret>,
) -> Result<(), EncodeError> {
    let mut coded = |code, value: Option<&[u8]>| match value {
        Some(value) => writer.attribute(Attribute::Coded {
            code,
            value: Some(value),
        }),
        None => Ok(()),
    };
    // First, so that a container can refuse early.
    coded(AttributeCode::Secret, secret.map(Secret::expose))?;
    coded(AttributeCode::RemoteUser, facts.remote_user.as_deref())?;
    coded(AttributeCode::AuthType, facts.auth_type.as_deref())?;
    let query = parts.uri.query();
    match coded(AttributeCode::QueryString, query.map(str::as_bytes)) {
        Err(error) if is_not_ascii(&error) => coded(
            AttributeCode::QueryString,
            query.map(percent_encode).as_deref(),
        )?,
        written => written?,
    }
    coded(AttributeCode::Route, facts.route.as_deref())?;
    if let Some(tls) = facts.tls.as_deref().filter(|_| is_ssl) {
        coded(AttributeCode::SslCert, tls.certificate.as_deref())?;
        coded(AttributeCode::SslCipher, tls.cipher.as_deref())?;
        coded(AttributeCode::SslSession, tls.session_id.as_deref())?;
        if let Some(bits) = tls.key_size {
            writer.attribute(Attribute::SslKeySize(bits))?;
        }
        named(writer, b"AJP_SSL_PROTOCOL", tls.protocol.as_deref())?;
    }
    let mut digits = [0u8; 20];
    let port = facts
        .remote_port
        .map(|port| decimal(port.into(), &mut digits));
    named(writer, b"AJP_REMOTE_PORT", port)?;
    named(writer, b"AJP_LOCAL_ADDR", facts.local_addr.as_deref())?;
    named(writer, b"JK_LB_ACTIVATION", facts.activation.as_deref())?;
    for (name, value) in &facts.attributes {
        named(writer, name, Some(value))?;
    }
    Ok(())
}

fn named(
    writer: &mut ForwardRequestWriter<'_, '_>,
    name: &[u8],
    value: Option<&[u8]>,
) -> Result<(), EncodeError> {
    match value {
        Some(value) => writer.attribute(Attribute::Named {
            name,
            value: Some(value),
        }),
        None => Ok(()),
    }
}

fn protocol(version: Version) -> &'static [u8] {
    match version {
        Version::HTTP_09 => b"HTTP/0.9",
        Version::HTTP_10 => b"HTTP/1.0",
        Version::HTTP_2 => b"HTTP/2.0",
        Version::HTTP_3 => b"HTTP/3.0",
        _ => b"HTTP/1.1",
    }
}

fn strip_userinfo(authority: &str) -> &str {
    authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host)
}

/// Name and port of a `Host` value; the brackets of an IPv6 address stay off the name.
fn split_host(host: &[u8]) -> (&[u8], Option<u16>) {
    let (name, port) = match host {
        [b'[', rest @ ..] => {
            let end = rest.iter().position(|&b| b == b']').unwrap_or(rest.len());
            let (name, after) = rest.split_at(end);
            (name, after.get(2..).unwrap_or_default())
        }
        _ if !host.contains(&b':') => (host, &b""[..]),
        _ => match host.iter().rposition(|&b| b == b':') {
            Some(colon) => {
                let (name, port) = host.split_at(colon);
                (name, port.get(1..).unwrap_or_default())
            }
            None => (host, &b""[..]),
        },
    };
    (
        name,
        std::str::from_utf8(port)
            .ok()
            .and_then(|port| port.parse().ok()),
    )
}

/// Whether a path or query was refused that has to be percent-encoded: AJP carries no bytes
/// from 0x80 in them, `http::Uri` may. Most have none, and the writer looks anyway.
fn is_not_ascii(error: &EncodeError) -> bool {
    matches!(
        error.field(),
        Field::ReqUri | Field::Attribute(AttributeCode::QueryString)
    ) && matches!(error.rule(), EncodeRule::InvalidByte(0x80..))
}

#[cold]
fn percent_encode(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len().saturating_mul(3));
    for &byte in text.as_bytes() {
        if byte.is_ascii() {
            out.push(byte);
        } else {
            const HEX: &[u8; 16] = b"0123456789ABCDEF";
            let digit = |n: u8| HEX.get(usize::from(n & 0x0f)).copied().unwrap_or_default();
            out.extend([b'%', digit(byte.wrapping_shr(4)), digit(byte)]);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Direction, ForwardRequest, split_packet};
    use http::Request;
    use http::header::{HeaderName, HeaderValue};

    fn encode(request: Request<()>, facts: &RequestFacts, framing: BodyFraming) -> ForwardRequest {
        let (parts, ()) = request.into_parts();
        let mut buffer = BytesMut::new();
        let secret = Secret::new("s3cr3t").unwrap();
        let size = PacketSize::DEFAULT;
        write_forward_request(&mut buffer, size, &parts, facts, framing, Some(&secret)).unwrap();
        ForwardRequest::parse(
            split_packet(&mut buffer, Direction::ToContainer, size)
                .unwrap()
                .unwrap(),
        )
        .unwrap()
    }

    fn header<'a>(request: &'a ForwardRequest, name: &str) -> Vec<&'a [u8]> {
        request
            .headers()
            .filter(|header| header.name == name.as_bytes())
            .map(|header| header.value)
            .collect()
    }

    #[test]
    fn headers_of_the_web_server_come_behind_those_of_the_request() {
        let request = Request::get("/a")
            .header("host", "app.example")
            .header("connection", "x-forwarded-proto, x-mine")
            .header("x-mine", "1")
            .body(())
            .unwrap();
        let mut facts = RequestFacts::new();
        for (name, value) in [
            ("x-forwarded-proto", "https"),
            ("accept", "*/*"),
            ("host", "evil.example"),
            ("content-length", "9"),
            ("te", "trailers"),
        ] {
            facts = facts.with_header(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        let request = encode(request, &facts, BodyFraming::Length(5));
        let seen: Vec<_> = request
            .headers()
            .map(|header| [header.name, header.value].map(String::from_utf8_lossy))
            .collect();
        assert_eq!(
            seen,
            [
                ["host", "app.example"],
                ["x-forwarded-proto", "https"],
                ["accept", "*/*"],
                ["content-length", "5"]
            ]
        );
        assert_eq!(request.server_name(), Some(&b"app.example"[..]));
    }

    #[test]
    fn hop_by_hop_headers_stay_behind() {
        let request = Request::get("/a")
            .header("host", "app.example:8080")
            .header("connection", "keep-alive, X-Private")
            .header("x-private", "1")
            .header("te", "trailers")
            .header("expect", "100-continue")
            .header("content-length", "7")
            .header("x-kept", "1")
            .header("x-kept", "2")
            .body(())
            .unwrap();
        let request = encode(request, &RequestFacts::new(), BodyFraming::Length(5));
        let names: Vec<_> = request
            .headers()
            .map(|header| String::from_utf8_lossy(header.name).into_owned())
            .collect();
        assert_eq!(names, ["host", "x-kept", "x-kept", "content-length"]);
        assert_eq!(header(&request, "x-kept"), [b"1", b"2"]);
        assert_eq!(request.framing(), BodyFraming::Length(5));
        assert_eq!(request.server_name(), Some(&b"app.example"[..]));
        assert_eq!(request.server_port(), 8080);
        assert!(matches!(
            request.attributes().next(),
            Some(Attribute::Coded {
                code: AttributeCode::Secret,
                value: Some(b"s3cr3t")
            })
        ));
    }

    #[test]
    fn absolute_uris_become_origin_form_and_give_the_host() {
        let request = Request::get("https://user@app.example/p%20q?x=\u{e9}")
            .body(())
            .unwrap();
        let request = encode(request, &RequestFacts::new(), BodyFraming::Absent);
        assert_eq!(request.req_uri(), b"/p%20q");
        assert_eq!(request.query_string(), Some(&b"x=%C3%A9"[..]));
        assert_eq!(header(&request, "host"), [b"app.example"]);
        assert_eq!((request.server_port(), request.is_ssl()), (443, true));
        assert_eq!(request.framing(), BodyFraming::Length(0));
        // The authority of the target counts, not what the header says (RFC 9112 section 3.2.2).
        for (connection, host) in [
            ("close", "other.example"),
            ("x-private", ""),
            ("host", "app.example:8080"),
        ] {
            let request = Request::get("http://app.example:8080/")
                .header("host", host)
                .header("host", "third.example")
                .header("connection", connection)
                .header("x-kept", "1")
                .body(())
                .unwrap();
            let request = encode(request, &RequestFacts::new(), BodyFraming::Absent);
            assert_eq!(header(&request, "host"), [b"app.example:8080"]);
            assert_eq!(request.server_name(), Some(&b"app.example"[..]));
            assert_eq!(request.server_port(), 8080);
            assert_eq!(header(&request, "x-kept"), [b"1"]);
        }
        let star = Request::options("*").body(()).unwrap();
        assert_eq!(
            encode(star, &RequestFacts::new(), BodyFraming::Absent).req_uri(),
            b"*"
        );
    }

    #[test]
    fn facts_become_attributes() {
        let tls = super::super::TlsFacts::new()
            .with_certificate_pem("-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n")
            .with_cipher("TLS_AES_128_GCM_SHA256", 128)
            .with_session_id("0a0b")
            .with_protocol("TLSv1.3");
        let facts = RequestFacts::new()
            .remote("[::1]:51234".parse().unwrap())
            .local([192, 0, 2, 1].into())
            .user("bob", "Basic")
            .with_route("n1")
            .with_activation("ACT")
            .with_attribute("SHIB", "x")
            .with_remote_host("client.example")
            .with_secret(Secret::new("another").unwrap())
            .tls_facts(tls);
        let request = encode(
            Request::patch("/").body(()).unwrap(),
            &facts,
            BodyFraming::Chunked,
        );
        assert_eq!(request.method(), b"PATCH");
        assert_eq!(request.remote_addr(), Some(&b"::1"[..]));
        assert_eq!(request.remote_host(), Some(&b"client.example"[..]));
        let secret = request.attribute(AttributeCode::Secret);
        assert_eq!(secret, Some(&b"another"[..]));
        assert_eq!(
            request.attribute(AttributeCode::RemoteUser),
            Some(&b"bob"[..])
        );
        assert_eq!(request.attribute(AttributeCode::Route), Some(&b"n1"[..]));
        assert_eq!(request.ssl_key_size(), Some(128));
        assert_eq!(
            request.req_attribute(b"AJP_REMOTE_PORT"),
            Some(&b"51234"[..])
        );
        assert_eq!(
            request.req_attribute(b"AJP_SSL_PROTOCOL"),
            Some(&b"TLSv1.3"[..])
        );
        assert_eq!(
            request.req_attribute(b"JK_LB_ACTIVATION"),
            Some(&b"ACT"[..])
        );
        assert_eq!(request.req_attribute(b"SHIB"), Some(&b"x"[..]));
        assert_eq!(request.framing(), BodyFraming::Chunked);
    }

    #[test]
    fn a_length_that_no_container_can_count_is_refused() {
        let (parts, ()) = Request::get("/").body(()).unwrap().into_parts();
        let facts = RequestFacts::new();
        for (length, ok) in [(i64::MAX as u64, true), (i64::MAX as u64 + 1, false)] {
            let mut buffer = BytesMut::from(&b"before"[..]);
            let framing = BodyFraming::Length(length);
            let size = PacketSize::DEFAULT;
            let written = write_forward_request(&mut buffer, size, &parts, &facts, framing, None);
            if ok {
                assert_eq!(written, Ok(framing));
            } else {
                assert_eq!(written.unwrap_err().field(), Field::ContentLength);
                assert_eq!(buffer, b"before"[..]);
            }
        }
    }

    #[test]
    fn decimals() {
        for n in [0, 7, 10, 65535, u64::MAX] {
            assert_eq!(decimal(n, &mut [0; 20]), n.to_string().as_bytes());
        }
    }
}
