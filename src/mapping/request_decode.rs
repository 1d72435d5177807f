//! A Forward Request as `http::Request`, without its body.

use super::facts::RequestFacts;
use super::names::request_name;
use super::tls_facts::TlsFacts;
use crate::server::{AttributeAction, ServerConfig};
use crate::wire::{Attribute, AttributeCode, ForwardRequest};
use bytes::{BufMut, Bytes, BytesMut};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::uri::{PathAndQuery, Uri};
use http::{Method, Request, Version};

/// The request target of a Forward Request cannot be expressed as `http::Uri`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the request target is no valid URI")]
pub struct InvalidTarget;

/// Builds an `http::Request` with [`RequestFacts`] in its extensions.
///
/// Paths and header values are slices of the packet, which they keep alive.
///
/// # Errors
/// [`InvalidTarget`] when path and query make no URI.
pub fn request_parts(
    request: &ForwardRequest,
    config: &ServerConfig,
) -> Result<Request<()>, InvalidTarget> {
    let mut out = Request::new(());
    *out.method_mut() = Method::from_bytes(request.method()).map_err(|_| InvalidTarget)?;
    *out.uri_mut() = target(request)?;
    *out.version_mut() = match request.protocol() {
        b"HTTP/0.9" => Version::HTTP_09,
        b"HTTP/1.0" => Version::HTTP_10,
        b"HTTP/2.0" | b"HTTP/2" => Version::HTTP_2,
        b"HTTP/3.0" | b"HTTP/3" => Version::HTTP_3,
        _ => Version::HTTP_11,
    };
    *out.headers_mut() = headers(request);
    out.extensions_mut().insert(facts(request, config));
    Ok(out)
}

fn target(request: &ForwardRequest) -> Result<Uri, InvalidTarget> {
    let path = request.req_uri();
    let whole = || match request.query_string() {
        None => request.slice_ref(path),
        Some(query) => {
            let mut whole =
                BytesMut::with_capacity(path.len().saturating_add(query.len()).saturating_add(1));
            whole.put_slice(path);
            whole.put_u8(b'?');
            whole.put_slice(query);
            whole.freeze()
        }
    };
    if matches!(path, [b'/', ..] | [b'*']) {
        return PathAndQuery::from_maybe_shared(whole())
            // Bytes that AJP carries but `http::Uri` does not take, such as `<`.
            .or_else(|_| PathAndQuery::from_maybe_shared(escape(&whole())))
            .map(Uri::from)
            .map_err(|_| InvalidTarget);
    }
    Uri::from_maybe_shared(whole()).map_err(|_| InvalidTarget)
}

fn escape(target: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(target.len().saturating_mul(2));
    for &byte in target {
        let plain = byte.is_ascii_alphanumeric() || b"/?:@!$&'()*+,;=-._~%[]|\\".contains(&byte);
        if plain {
            out.put_u8(byte);
        } else {
            out.put_slice(format!("%{byte:02X}").as_bytes());
        }
    }
    out.freeze()
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

fn facts(request: &ForwardRequest, config: &ServerConfig) -> RequestFacts {
    let bytes = |part: Option<&[u8]>| part.map(|part| request.slice_ref(part));
    let mut facts = RequestFacts {
        remote_addr: bytes(request.remote_addr()),
        remote_host: bytes(request.remote_host()),
        server_name: bytes(request.server_name()),
        // Two values that senders use for "unknown" (section 3.7.2).
        server_port: Some(request.server_port()).filter(|port| !matches!(port, 0 | 0xffff)),
        is_ssl: request.is_ssl(),
        user_trusted: config.trust_remote_user,
        ..RequestFacts::default()
    };
    let mut tls = TlsFacts::default();
    for attribute in request.attributes() {
        match attribute {
            Attribute::Coded { code, value } => match code {
                AttributeCode::RemoteUser => facts.remote_user = bytes(value),
                AttributeCode::AuthType => facts.auth_type = bytes(value),
                AttributeCode::Route => facts.route = bytes(value),
                AttributeCode::SslCert => tls.certificate = bytes(value),
                AttributeCode::SslCipher => tls.cipher = bytes(value),
                AttributeCode::SslSession => tls.session_id = bytes(value),
                _ => {}
            },
            Attribute::SslKeySize(bits) => tls.key_size = Some(bits),
            Attribute::Named { value: None, .. } => {}
            Attribute::Named { name, .. }
                if config.attributes.action(name) != AttributeAction::Accept => {}
            Attribute::Named {
                name,
                value: Some(value),
            } => match name {
                b"AJP_REMOTE_PORT" => {
                    facts.remote_port = std::str::from_utf8(value)
                        .ok()
                        .and_then(|port| port.parse().ok());
                }
                b"AJP_LOCAL_ADDR" => facts.local_addr = bytes(Some(value)),
                b"AJP_SSL_PROTOCOL" => tls.protocol = bytes(Some(value)),
                b"JK_LB_ACTIVATION" => facts.activation = bytes(Some(value)),
                name => {
                    let (name, value) = (request.slice_ref(name), request.slice_ref(value));
                    facts.attributes.push((name, value));
                }
            },
        }
    }
    if tls != TlsFacts::default() {
        facts.tls = Some(Box::new(tls));
    }
    facts
}
