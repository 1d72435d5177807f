//! A Forward Request as `http::Request`, without its body.

use super::names::request_name;
use super::request_claims::RequestClaims;
use super::target::{self, InvalidTarget};
use super::tls_facts::TlsFacts;
use crate::server::{AttributeAction, ServerConfig};
use crate::wire::{Attribute, AttributeCode, ForwardRequest, request_attribute};
use http::header::{HeaderMap, HeaderName, HeaderValue};
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
    *out.method_mut() = Method::from_bytes(request.method()).map_err(|_| InvalidTarget)?;
    let (uri, raw_target) = target::uri(request)?;
    *out.uri_mut() = uri;
    *out.version_mut() = match request.protocol() {
        b"HTTP/0.9" => Version::HTTP_09,
        b"HTTP/1.0" => Version::HTTP_10,
        b"HTTP/2.0" | b"HTTP/2" => Version::HTTP_2,
        b"HTTP/3.0" | b"HTTP/3" => Version::HTTP_3,
        _ => Version::HTTP_11,
    };
    *out.headers_mut() = headers(request);
    out.extensions_mut().insert(claims(request, config));
    if let Some(raw_target) = raw_target {
        out.extensions_mut().insert(raw_target);
    }
    Ok(out)
}

fn headers(request: &ForwardRequest) -> HeaderMap {
    let headers = request.headers();
    let mut map = HeaderMap::with_capacity(headers.len());
    for header in headers {
        let name = match header.code.and_then(request_name) {
            Some(name) => name,
            None => match HeaderName::from_bytes(header.name) {
                Ok(name) => name,
                // The view has checked that it is a token.
                Err(_) => continue,
            },
        };
        if let Ok(value) = HeaderValue::from_maybe_shared(request.slice_ref(header.value)) {
            map.append(name, value);
        }
    }
    map
}

fn claims(request: &ForwardRequest, config: &ServerConfig) -> RequestClaims {
    // What is present but empty says nothing: the accessors leave it out.
    let bytes = |part: Option<&[u8]>| part.map(|part| request.slice_ref(part));
    let mut claims = RequestClaims {
        remote_addr: bytes(request.remote_addr()),
        remote_host: bytes(request.remote_host()),
        server_name: bytes(request.server_name()),
        // Two values that senders use for "unknown" (protocol chapter "codes").
        server_port: Some(request.server_port()).filter(|port| !matches!(port, 0 | 0xffff)),
        is_tls: request.is_ssl(),
        trust_user: config.trust_remote_user,
        ..RequestClaims::default()
    };
    let mut tls = TlsFacts::default();
    for attribute in request.attributes() {
        match attribute {
            Attribute::Coded { code, .. } => match code {
                AttributeCode::RemoteUser => claims.remote_user = bytes(attribute.value()),
                AttributeCode::AuthType => claims.auth_type = bytes(attribute.value()),
                AttributeCode::Route => claims.route = bytes(attribute.value()),
                AttributeCode::SslCert => tls.certificate = bytes(attribute.value()),
                AttributeCode::SslCipher => tls.cipher = bytes(attribute.value()),
                AttributeCode::SslSession => tls.session_id = bytes(attribute.value()),
                _ => {}
            },
            Attribute::SslKeySize(bits) => tls.key_size = Some(bits),
            Attribute::Named { name, .. } => {
                let Some(value) = attribute.value() else {
                    continue;
                };
                if config.attributes.action(name) != AttributeAction::Accept {
                    continue;
                }
                match name {
                    request_attribute::REMOTE_PORT => {
                        claims.remote_port = std::str::from_utf8(value)
                            .ok()
                            .and_then(|port| port.parse().ok());
                    }
                    request_attribute::LOCAL_ADDR => claims.local_addr = bytes(Some(value)),
                    request_attribute::SSL_PROTOCOL => tls.protocol = bytes(Some(value)),
                    request_attribute::ACTIVATION => claims.activation = bytes(Some(value)),
                    name => {
                        let (name, value) = (request.slice_ref(name), request.slice_ref(value));
                        claims.attributes.push((name, value));
                    }
                }
            }
        }
    }
    if tls != TlsFacts::default() {
        claims.tls = Some(Box::new(tls));
    }
    claims
}
