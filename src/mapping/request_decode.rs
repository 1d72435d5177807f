//! A Forward Request as `http::Request`, without its body.

use super::header_names::{append, request_name};
use super::request_claims::RequestClaims;
use super::target::{self, InvalidTarget};
use super::tls_facts::TlsFacts;
use crate::server::{AttributeAction, ServerConfig};
use crate::wire::request_attribute::WellKnown;
use crate::wire::{
    Attribute, AttributeCode, ForwardRequest, Span, parse_content_length, request_attribute,
};
use bytes::Bytes;
use http::header::{HeaderMap, HeaderValue};
use http::{Method, Request, Version};

/// Builds an `http::Request` with [`RequestClaims`] in its extensions.
///
/// Paths and header values are slices of the packet, which they keep alive. What `http::Uri`
/// does not take is percent-encoded; [`RawTarget`](super::RawTarget) in the extensions has it as
/// it came then.
///
/// # Errors
/// [`InvalidTarget`] when path and query make no URI.
pub fn request_parts(
    request: &ForwardRequest,
    config: &ServerConfig,
) -> Result<Request<()>, InvalidTarget> {
    let mut out = Request::new(());
    if request.method() != Method::GET.as_str().as_bytes() {
        *out.method_mut() = Method::from_bytes(request.method()).map_err(|_| InvalidTarget)?;
    }
    if request.protocol() != b"HTTP/1.1" {
        *out.version_mut() = version(request.protocol());
    }
    let (claims, query) = claims(request, config);
    target::set_uri(&mut out, request, query)?;
    add_headers(request, out.headers_mut());
    out.extensions_mut().insert(claims);
    Ok(out)
}

fn version(protocol: &[u8]) -> Version {
    match protocol {
        b"HTTP/0.9" => Version::HTTP_09,
        b"HTTP/1.0" => Version::HTTP_10,
        b"HTTP/2.0" | b"HTTP/2" => Version::HTTP_2,
        b"HTTP/3.0" | b"HTTP/3" => Version::HTTP_3,
        _ => Version::HTTP_11,
    }
}

fn add_headers(request: &ForwardRequest, map: &mut HeaderMap) {
    let mut headers = request.headers();
    map.reserve(headers.len());
    while let Some((name, value)) = headers.next_sent() {
        let Some(name) = request_name(name) else {
            continue;
        };
        if let Ok(value) = HeaderValue::from_maybe_shared(request.slice_ref(value)) {
            append(map, name, value);
        }
    }
}

/// What is claimed, and the query, which is among the attributes too.
fn claims<'a>(
    request: &'a ForwardRequest,
    config: &ServerConfig,
) -> (RequestClaims, Option<&'a [u8]>) {
    let packet = request.payload();
    let mut query = None;
    // What is present but empty says nothing: the accessors leave it out.
    let span = |part: Option<&[u8]>| part.map_or(Span::NULL, |part| Span::of(part, packet));
    let mut claims = RequestClaims {
        packet: packet.clone(),
        remote_addr: span(request.remote_addr()),
        remote_host: span(request.remote_host()),
        server_name: span(request.server_name()),
        // Two values that senders use for "unknown" (protocol chapter "codes").
        server_port: Some(request.server_port()).filter(|port| !matches!(port, 0 | 0xffff)),
        is_tls: request.is_ssl(),
        trust_user: config.trust_remote_user,
        ..RequestClaims::default()
    };
    for attribute in request.attributes() {
        let value = attribute.value();
        match attribute {
            Attribute::Coded { code, .. } => match code {
                // A query may be there only once.
                AttributeCode::QueryString => query = value,
                AttributeCode::RemoteUser => claims.remote_user = span(value),
                AttributeCode::AuthType => claims.auth_type = span(value),
                AttributeCode::Route => claims.route = span(value),
                AttributeCode::SslCert => tls(&mut claims).certificate = shared(request, value),
                AttributeCode::SslCipher => tls(&mut claims).cipher = shared(request, value),
                AttributeCode::SslSession => tls(&mut claims).session_id = shared(request, value),
                _ => {}
            },
            Attribute::SslKeySize(bits) => tls(&mut claims).key_size = Some(bits),
            Attribute::Named { name, .. } => {
                if value.is_none() || config.attributes.action(name) != AttributeAction::Accept {
                    continue;
                }
                match request_attribute::well_known(name) {
                    Some(WellKnown::RemotePort) => {
                        claims.remote_port = value
                            .and_then(parse_content_length)
                            .and_then(|port| port.try_into().ok());
                    }
                    Some(WellKnown::LocalAddr) => claims.local_addr = span(value),
                    Some(WellKnown::SslProtocol) => {
                        tls(&mut claims).protocol = shared(request, value);
                    }
                    Some(WellKnown::Activation) => claims.activation = span(value),
                    None => claims.attributes.push((span(Some(name)), span(value))),
                }
            }
        }
    }
    // Attributes that say nothing make no facts.
    claims.tls = claims.tls.filter(|tls| **tls != TlsFacts::default());
    (claims, query)
}

fn tls(claims: &mut RequestClaims) -> &mut TlsFacts {
    claims.tls.get_or_insert_default()
}

fn shared(request: &ForwardRequest, part: Option<&[u8]>) -> Option<Bytes> {
    part.map(|part| request.slice_ref(part))
}
