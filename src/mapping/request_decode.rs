//! A Forward Request as `http::Request`, without its body.

use super::header_names::known_request_name;
use super::request_claims::RequestClaims;
use super::target::{self, InvalidTarget};
use super::tls_facts::TlsFacts;
use crate::server::{AttributeAction, ServerConfig};
use crate::wire::request_attribute::WellKnown;
use crate::wire::{
    Attribute, AttributeCode, DecodeError, DecodeOptions, ForwardRequest, HeaderSink, SentName,
    Span, parse_content_length, request_attribute, slice_ref,
};
use bytes::Bytes;
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
    let mut map = HeaderMap::new();
    let mut headers = request.headers();
    map.reserve(headers.len());
    while let Some((name, value)) = headers.next_sent() {
        // Every value of a view is one that `http` takes.
        let _ = map.add(request.payload(), name, value);
    }
    request_parts_with_headers(request, map, config)
}

/// Checks a payload as [`ForwardRequest::parse_with`] does, and makes a map of the headers in the
/// same walk, for [`request_parts_with_headers`]. Nothing is said yet about whether who sent it is
/// to be believed.
///
/// ```
/// use ajp::mapping::{parse_with_headers, request_parts_with_headers};
/// use ajp::server::{ServerConfig, Trust};
/// use ajp::wire::{DecodeOptions, ForwardRequest, PacketSize, RequestLine};
/// # let line = RequestLine { req_uri: b"/hello", ..RequestLine::default() };
/// # let packet = ForwardRequest::build(PacketSize::DEFAULT, &line, |writer| {
/// #     writer.header(b"Host", b"app.example")
/// # })?;
/// # let payload = packet.payload().clone();
/// let (request, headers) = parse_with_headers(payload, &DecodeOptions::default())?;
/// // ... is the secret right? ...
/// let config = ServerConfig::new(Trust::TrustedNetwork);
/// let parts = request_parts_with_headers(&request, headers, &config)?;
/// assert_eq!(parts.headers()["host"], "app.example");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// As [`ForwardRequest::parse_with`].
pub fn parse_with_headers(
    payload: Bytes,
    options: &DecodeOptions,
) -> Result<(ForwardRequest, HeaderMap), DecodeError> {
    let mut headers = HeaderMap::new();
    let request = ForwardRequest::parse_into(payload, *options, &mut headers)?;
    Ok((request, headers))
}

/// As [`request_parts`], with headers that [`parse_with_headers`] has made a map of.
///
/// # Errors
/// As [`request_parts`].
pub fn request_parts_with_headers(
    request: &ForwardRequest,
    headers: HeaderMap,
    config: &ServerConfig,
) -> Result<Request<()>, InvalidTarget> {
    let mut out = Request::new(());
    *out.headers_mut() = headers;
    if request.method() != Method::GET.as_str().as_bytes() {
        *out.method_mut() = Method::from_bytes(request.method()).map_err(|_| InvalidTarget)?;
    }
    if request.protocol() != b"HTTP/1.1" {
        *out.version_mut() = version(request.protocol());
    }
    let (claims, query) = claims(request, config);
    target::set_uri(&mut out, request, query)?;
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

/// For so many headers a map has room from the beginning. It grows when more have been checked: a
/// packet may claim any number, and whether who sends it knows the secret is not known yet.
const MOST_RESERVED: usize = 32;

/// `http` allows the same bytes in a value as AJP does: all but control characters, and the tab.
impl HeaderSink for HeaderMap {
    const CHECKS_VALUES: bool = true;

    fn begin(&mut self, count: u16) {
        self.clear();
        self.reserve(usize::from(count).min(MOST_RESERVED));
    }

    fn discard(&mut self) {
        *self = Self::new();
    }

    // The walk stays in registers beside it.
    #[inline(never)]
    fn add(&mut self, payload: &Bytes, name: SentName<'_>, value: &[u8]) -> bool {
        let Ok(value) = HeaderValue::from_maybe_shared(slice_ref(payload, value)) else {
            return false;
        };
        match known_request_name(name) {
            Some(name) => {
                self.append(name, value);
            }
            None => append_other(self, name, value),
        }
        true
    }
}

/// Adds a header whose name is not known as a constant.
#[cold]
#[inline(never)]
fn append_other(map: &mut HeaderMap, name: SentName<'_>, value: HeaderValue) {
    if let SentName::Spelled(token) = name {
        // The walk has checked that it is a token.
        if let Ok(name) = HeaderName::from_bytes(token) {
            map.append(name, value);
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
    let [remote_addr, remote_host, server_name] = request.peer_spans();
    let span = |part: Option<&[u8]>| part.map_or(Span::NULL, |part| Span::of(part, packet));
    let mut claims = RequestClaims {
        packet: packet.clone(),
        remote_addr,
        remote_host,
        server_name,
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "in a test a panic is the report")]
mod tests {
    use super::*;
    use crate::wire::{PacketSize, RequestLine};

    /// A request with headers of all kinds: with a code and spelled out, common and not, repeated,
    /// empty, long, with bytes beyond ASCII, and the length of a body.
    fn payload() -> Vec<u8> {
        let line = RequestLine {
            req_uri: b"/a",
            ..RequestLine::default()
        };
        let long = vec![b'v'; 70];
        let request = ForwardRequest::build(PacketSize::DEFAULT, &line, |writer| {
            for (name, value) in [
                ("Host", &b"app.example"[..]),
                ("sec-fetch-site", b"same-origin"),
                ("X-Other", b"caf\xe9\t\xff"),
                ("x-other", b""),
                ("content-length", b"12"),
                ("Cookie", &long),
                ("cookie", b"a=b"),
            ] {
                writer.header(name.as_bytes(), value)?;
            }
            Ok(())
        });
        request.unwrap().payload().to_vec()
    }

    /// As [`request_parts`] makes it, in a walk of its own.
    fn map_of(request: &ForwardRequest) -> HeaderMap {
        let config = ServerConfig::new(crate::server::Trust::TrustedNetwork);
        let parts = request_parts(request, &config).unwrap();
        parts.headers().clone()
    }

    #[test]
    fn one_walk_finds_what_two_find() {
        let whole = payload();
        let request = ForwardRequest::parse(whole.clone().into()).unwrap();
        let map = map_of(&request);
        let others: Vec<_> = map.get_all("x-other").iter().collect();
        assert_eq!(others, [&b"caf\xe9\t\xff"[..], b""]);
        assert_eq!(
            (map.len(), map["content-length"].as_bytes()),
            (7, &b"12"[..])
        );

        // Any byte is another one, also each that a value may or may not hold; or the packet ends.
        let options = DecodeOptions::default();
        let long_at = whole.windows(20).position(|part| part == [b'v'; 20]);
        let long_at = long_at.unwrap() + 30;
        let (mut right, mut wrong) = (0, 0);
        for at in 0..whole.len() {
            let bytes = [0x09, 0x1f, b' ', b'a', 0x7f, 0x80, 0xa0, 0xff];
            // Of the long value all.
            let all = bytes
                .into_iter()
                .chain(0..if at == long_at { 255 } else { 2 });
            for byte in all {
                let mut bytes = whole.clone();
                bytes[at] = byte;
                if byte == 1 && at != long_at {
                    bytes.truncate(at);
                }
                let bytes = Bytes::from(bytes);
                match (
                    ForwardRequest::parse(bytes.clone()),
                    parse_with_headers(bytes, &options),
                ) {
                    (Ok(request), Ok((same, map))) => {
                        assert_eq!(request, same);
                        if request.req_uri() == b"/a" {
                            assert_eq!(map, map_of(&request), "{at} {byte:#x}");
                        }
                        right += 1;
                    }
                    (Err(error), Err(same)) => {
                        assert_eq!(error, same, "{at} {byte:#x}");
                        wrong += 1;
                    }
                    other => panic!("{at} {byte:#x}: {other:?}"),
                }
            }
        }
        assert!(right > 500 && wrong > 500, "{right} and {wrong}");
    }

    /// A header that is claimed takes no memory before it was seen.
    #[test]
    fn a_packet_that_claims_many_headers_makes_no_large_map() {
        let mut payload = payload();
        // The count stands before the first header, whose code is that of `host`.
        let host_at = payload.windows(2).position(|code| code == [0xa0, 0x0b]);
        let count_at = host_at.unwrap() - 2;
        payload.splice(count_at..count_at + 2, 10_000_u16.to_be_bytes());
        payload.resize(60_000, 0);
        let options = DecodeOptions::default().with_max_headers(u16::MAX);
        let mut map = HeaderMap::new();
        let parsed = ForwardRequest::parse_into(payload.into(), options, &mut map);
        assert!(parsed.is_err() && map.len() == 7, "{parsed:?}");
        assert!(map.capacity() <= 2 * MOST_RESERVED, "{}", map.capacity());
    }

    #[tokio::test]
    async fn nothing_is_kept_of_a_request_that_is_refused() {
        let secret = crate::Secret::new("right").unwrap();
        let config = ServerConfig::new(crate::server::Trust::Secrets(vec![secret]));
        let (ours, mut theirs) = tokio::io::duplex(4096);
        let mut connection = crate::server::Connection::new(ours, std::sync::Arc::new(config));
        let payload = payload();
        let len = u16::try_from(payload.len()).unwrap().to_be_bytes();
        let packet = [&[0x12, 0x34], &len[..], &payload].concat();
        tokio::io::AsyncWriteExt::write_all(&mut theirs, &packet)
            .await
            .unwrap();
        // It has answered, and waits for the web server to close.
        let mut map = HeaderMap::new();
        let polled = std::future::poll_fn(|cx| {
            std::task::Poll::Ready(connection.poll_next_request(cx, &mut map))
        });
        assert!(polled.await.is_pending());
        assert_eq!((map.len(), map.capacity()), (0, 0));
    }
}
