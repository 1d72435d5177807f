//! `http::request::Parts` straight into a Forward Request, without a message in between.

use super::header_names::{Kind, is_nominated, nominates, request_kind};
use super::request_facts::RequestFacts;
use super::target;
use crate::Secret;
use crate::wire::{
    Attribute, AttributeCode, BodyFraming, EncodeError, EncodeRule, ForwardRequestWriter,
    PacketSize, RequestLine, decimal, request_attribute,
};
use bytes::BytesMut;
use http::header::{self, HeaderMap};
use http::{Version, request};

/// The code of `Host`.
const HOST: u8 = 0x0b;
/// The code of `Cookie`.
const COOKIE: u8 = 0x09;

/// What a container is told beside the HTTP request.
#[derive(Clone, Copy)]
pub(super) struct ContainerFacts<'a> {
    pub(super) request: &'a RequestFacts,
    /// The session's route as a balancer found it, instead of that of the facts.
    pub(super) route: Option<&'a str>,
    /// The state that a balancer gives the container, instead of that of the facts.
    pub(super) activation: Option<&'a str>,
}

impl ContainerFacts<'_> {
    /// Whether the request has a secret of its own.
    pub(super) fn has_secret(self) -> bool {
        self.request.secret.is_some()
    }
}

impl<'a> From<&'a RequestFacts> for ContainerFacts<'a> {
    fn from(request: &'a RequestFacts) -> Self {
        Self {
            request,
            route: None,
            activation: None,
        }
    }
}

/// Appends the Forward Request for an HTTP request.
///
/// `framing` says how the body is announced; the request's own `Content-Length` and
/// `Transfer-Encoding` are replaced by it, and `BodyFraming::Absent` becomes `content-length: 0`,
/// the only announcement that all containers understand alike (protocol chapter
/// [framing](crate::docs::protocol::framing#requests)). Hop-by-hop headers and `Expect` are left
/// out, as are headers that `Connection` names, but for those that HTTP itself defines for the
/// recipient, such as `Host`, `Cookie` and `Content-Type`. Several `Cookie` headers become one (RFC
/// 9113 section 8.2.3). An authority in the URI takes the place of the `Host` header (RFC 9112
/// section 3.2.2); what `facts` do not say about the virtual host is taken from it. Whether the
/// HTTP client's connection is TLS is what `facts` say, whatever the URI's scheme is; only
/// [`RequestFacts::own_request`] leaves it to the scheme. `secret` is sent unless `facts` have
/// another one.
///
/// ```
/// use ajp::client::RequestFacts;
/// use ajp::mapping::write_forward_request;
/// use ajp::wire::{BodyFraming, PacketSize};
/// let facts = RequestFacts::new([192, 0, 2, 10].into());
/// let (parts, ()) = http::Request::get("http://app.example/a?b=c").body(()).unwrap().into_parts();
/// let mut buffer = bytes::BytesMut::new();
/// write_forward_request(&mut buffer, PacketSize::DEFAULT, &parts, &facts, BodyFraming::Length(0), None)?;
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
    write_request(buffer, size, parts, facts.into(), framing, secret)
}

/// As [`write_forward_request`], with what only a balancer knows.
pub(super) fn write_request(
    buffer: &mut BytesMut,
    size: PacketSize,
    parts: &request::Parts,
    container: ContainerFacts<'_>,
    framing: BodyFraming,
    secret: Option<&Secret>,
) -> Result<BodyFraming, EncodeError> {
    let facts = container.request;
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
    let is_tls = match facts.is_tls {
        Some(is_tls) => is_tls,
        None => parts.uri.scheme_str() == Some("https"),
    };
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
    let mut line = RequestLine {
        method: parts.method.as_str().as_bytes(),
        protocol: protocol(parts.version),
        req_uri: path.as_bytes(),
        remote_addr: Some(&facts.remote_addr),
        remote_host: facts.remote_host.as_deref(),
        server_name: Some(server_name),
        server_port: facts
            .server_port
            .or(host_port)
            .unwrap_or(if is_tls { 443 } else { 80 }),
        is_ssl: is_tls,
    };
    let encoded;
    if let Err(error) = line.check_req_uri() {
        encoded = is_not_ascii(&error)
            .then(|| target::encode_non_ascii(path))
            .ok_or(error)?;
        line.req_uri = &encoded;
        line.check_req_uri()?;
    }
    line.check_names()?;
    // Of the rest the types say that it is right: an address is one, a method is a token.
    let secret = facts.secret.as_ref().or(secret);
    let mut writer = ForwardRequestWriter::of_checked(buffer, size, &line)?;
    // However many `Host` headers there are, and whatever `Connection` names.
    if let Some(host) = authority {
        writer.header(b"host", host)?;
    }
    write_headers(&mut writer, headers, authority.is_some())?;
    write_own_headers(&mut writer, facts)?;
    writer.announce(framing)?;
    write_attributes(&mut writer, parts, container, is_tls, secret)?;
    writer.finish()
}

/// Writes the headers of the request. Hardly any request has a `Connection` header that names
/// others, or several `Cookie` headers; when one does, its headers are written a second time.
fn write_headers(
    writer: &mut ForwardRequestWriter<'_, '_>,
    headers: &HeaderMap,
    skip_host: bool,
) -> Result<(), EncodeError> {
    let start = writer.mark();
    let mut nominated = false;
    let mut cookies = 0usize;
    writer.checked_headers(headers.iter().filter_map(|(name, value)| {
        let code = match request_kind(name) {
            Kind::Coded(HOST) if skip_host => return None,
            Kind::Coded(code) => {
                cookies = cookies.wrapping_add(usize::from(code == COOKIE));
                Some(code)
            }
            Kind::Spelled => None,
            Kind::Connection => {
                nominated |= nominates(value);
                return None;
            }
            Kind::HopByHop | Kind::ContentLength | Kind::Expect => return None,
        };
        Some((code, name, value.as_bytes()))
    }))?;
    if !nominated && cookies < 2 {
        return Ok(());
    }
    writer.take_back(start);
    let cookie = (cookies > 1).then(|| joined_cookies(headers));
    let mut is_first_cookie = true;
    writer.checked_headers(
        headers
            .iter()
            .filter_map(|(name, value)| match request_kind(name) {
                Kind::Coded(HOST) if skip_host => None,
                Kind::Coded(COOKIE) if cookie.is_some() => {
                    let is_first = std::mem::take(&mut is_first_cookie);
                    let joined = cookie.as_deref().filter(|_| is_first)?;
                    Some((Some(COOKIE), name, joined))
                }
                Kind::Coded(code) => Some((Some(code), name, value.as_bytes())),
                Kind::Spelled if !is_nominated(headers, name) => {
                    Some((None, name, value.as_bytes()))
                }
                _ => None,
            }),
    )
}

/// HTTP/2 may send the cookies as several headers; outside of it they are one (RFC 9113 section
/// 8.2.3).
pub(super) fn joined_cookies(headers: &HeaderMap) -> Vec<u8> {
    let cookies = headers.get_all(header::COOKIE).iter();
    let cookies: Vec<_> = cookies.map(header::HeaderValue::as_bytes).collect();
    cookies.join(&b"; "[..])
}

/// Writes the headers of the facts.
fn write_own_headers(
    writer: &mut ForwardRequestWriter<'_, '_>,
    facts: &RequestFacts,
) -> Result<(), EncodeError> {
    if facts.headers.is_empty() {
        return Ok(());
    }
    writer.checked_headers(facts.headers.iter().filter_map(|(name, value)| {
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
    container: ContainerFacts<'_>,
    is_tls: bool,
    secret: Option<&Secret>,
) -> Result<(), EncodeError> {
    let facts = container.request;
    // First, so that a container can refuse early.
    coded(writer, AttributeCode::Secret, secret.map(Secret::expose))?;
    coded(
        writer,
        AttributeCode::RemoteUser,
        facts.remote_user.as_deref(),
    )?;
    coded(writer, AttributeCode::AuthType, facts.auth_type.as_deref())?;
    if let Some(query) = parts.uri.query() {
        match writer.query(query.as_bytes()) {
            // Containers take other bytes too; encoded, all of them read the same.
            Err(error) if is_not_ascii(&error) => {
                writer.query(&target::encode_non_ascii(query))?;
            }
            written => written?,
        }
    }
    let route = container.route.map(str::as_bytes);
    coded(
        writer,
        AttributeCode::Route,
        route.or(facts.route.as_deref()),
    )?;
    if let Some(tls) = facts.tls.as_deref().filter(|_| is_tls) {
        coded(writer, AttributeCode::SslCert, tls.certificate.as_deref())?;
        coded(writer, AttributeCode::SslCipher, tls.cipher.as_deref())?;
        coded(writer, AttributeCode::SslSession, tls.session_id.as_deref())?;
        if let Some(bits) = tls.key_size {
            writer.attribute(Attribute::SslKeySize(bits))?;
        }
        named(
            writer,
            request_attribute::SSL_PROTOCOL,
            tls.protocol.as_deref(),
        )?;
    }
    let mut digits = [0u8; 20];
    let port = facts
        .remote_port
        .map(|port| decimal(port.into(), &mut digits));
    named(writer, request_attribute::REMOTE_PORT, port)?;
    named(
        writer,
        request_attribute::LOCAL_ADDR,
        facts.local_addr.as_deref(),
    )?;
    for (name, value) in &facts.attributes {
        named(writer, name, Some(value))?;
    }
    let activation = container.activation.map(str::as_bytes);
    let activation = activation.or(facts.activation.as_deref());
    named(writer, request_attribute::ACTIVATION, activation)
}

#[inline]
fn coded(
    writer: &mut ForwardRequestWriter<'_, '_>,
    code: AttributeCode,
    value: Option<&[u8]>,
) -> Result<(), EncodeError> {
    match value {
        Some(_) => writer.attribute(Attribute::Coded { code, value }),
        None => Ok(()),
    }
}

#[inline]
fn named(
    writer: &mut ForwardRequestWriter<'_, '_>,
    name: &[u8],
    value: Option<&[u8]>,
) -> Result<(), EncodeError> {
    match value {
        Some(_) => writer.attribute(Attribute::Named { name, value }),
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
#[inline]
fn split_host(host: &[u8]) -> (&[u8], Option<u16>) {
    // As most are.
    if !host.contains(&b':') && !host.starts_with(b"[") {
        return (host, None);
    }
    split_port(host)
}

/// As [`split_host`], of a host with a port or in brackets.
fn split_port(host: &[u8]) -> (&[u8], Option<u16>) {
    let (name, port) = match host {
        [b'[', rest @ ..] => {
            let end = rest.iter().position(|&b| b == b']').unwrap_or(rest.len());
            let (name, after) = rest.split_at(end);
            (name, after.get(2..).unwrap_or_default())
        }
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

/// Whether a path or a query was refused that has to be percent-encoded: `http::Uri` may hold bytes
/// from 0x80, and this side writes none. Hardly any has one, and the writer looks anyway.
#[cold]
fn is_not_ascii(error: &EncodeError) -> bool {
    matches!(error.rule(), EncodeRule::InvalidByte(0x80..))
}

#[cfg(test)]
mod tests;
