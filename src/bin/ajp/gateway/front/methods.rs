//! What is decided by the method and the listener, before a container is thought of.

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue, LOCATION, MAX_FORWARDS};
use http::{HeaderMap, Method, Response, StatusCode, header, request};
use http_body_util::Full;
use std::fmt::Write;

/// Which headers a request has that are not only passed on. Most requests have none of them: one
/// walk over the names says so, in less time than it takes to look them up.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Notable {
    /// `Connection` or `Upgrade`.
    pub(super) for_the_connection: bool,
    pub(super) expect: bool,
    pub(super) transfer_encoding: bool,
}

impl Notable {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut found = Self::default();
        for name in headers.keys() {
            found.for_the_connection |= *name == header::CONNECTION || *name == header::UPGRADE;
            found.expect |= *name == header::EXPECT;
            found.transfer_encoding |= *name == header::TRANSFER_ENCODING;
        }
        found
    }
}

/// What TRACE does not show: whoever can send it for a visitor must not read it.
const PRIVATE: [header::HeaderName; 3] = [
    header::AUTHORIZATION,
    header::PROXY_AUTHORIZATION,
    header::COOKIE,
];

/// The gateway's own answer to `OPTIONS` and `TRACE` of a client that wants the first proxy's,
/// by `Max-Forwards: 0`; a higher number is lowered (RFC 9110, section 7.6.2).
pub(super) fn max_forwards(parts: &mut request::Parts) -> Option<Response<Full<Bytes>>> {
    if !matches!(parts.method, Method::OPTIONS | Method::TRACE) {
        return None;
    }
    let value = parts.headers.get(MAX_FORWARDS)?.to_str().ok()?;
    let left: u64 = value.trim().parse().ok()?;
    if let Some(less) = left.checked_sub(1) {
        parts.headers.insert(MAX_FORWARDS, less.into());
        return None;
    }
    let mut response = Response::new(Full::default());
    let headers = response.headers_mut();
    if parts.method == Method::OPTIONS {
        let methods = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
        headers.insert(ALLOW, methods);
    } else {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("message/http"));
        *response.body_mut() = Full::from(reflected(parts));
    }
    Some(response)
}

fn reflected(parts: &request::Parts) -> Vec<u8> {
    let mut line = String::new();
    // Writing to a string cannot fail.
    let _ = write!(line, "TRACE {} {:?}\r\n", parts.uri, parts.version);
    let mut text = line.into_bytes();
    for (name, value) in &parts.headers {
        if !PRIVATE.contains(name) {
            text.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
        }
    }
    text.extend(b"\r\n");
    text
}

/// Whether a proxy before this one may have read another end of the body: there is more than
/// the one coding that everybody knows, or a length beside it (RFC 9112 section 6.1). No
/// further request over the connection is answered then.
pub(super) fn has_odd_framing(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else {
        return false;
    };
    !coding.as_bytes().eq_ignore_ascii_case(b"chunked")
        || codings.next().is_some()
        || headers.contains_key(header::CONTENT_LENGTH)
}

/// Whether the client expects something other than to be told to go on, which nobody here can
/// promise (RFC 9110, section 10.1.1).
pub(super) fn expects_more(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(header::EXPECT).iter();
    let is_more = |value: &HeaderValue| !value.as_bytes().eq_ignore_ascii_case(b"100-continue");
    values.any(is_more)
}

/// An upgrade that the gateway has no use for is ignored (RFC 9110, section 7.8). WebSocket is
/// left to be refused: an application that answers as to an ordinary request helps nobody.
pub(super) fn ignore_upgrade(headers: &mut HeaderMap) {
    let is_websocket = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"websocket");
    if !headers.get(header::UPGRADE).is_some_and(is_websocket) {
        headers.remove(header::UPGRADE);
    }
}

/// The same address with `https`.
pub(super) fn to_https(
    host: &HeaderValue,
    uri: &http::Uri,
    port: u16,
) -> Option<Response<Full<Bytes>>> {
    let authority: http::uri::Authority = host.to_str().ok()?.parse().ok()?;
    let host = authority.host();
    let port = match port {
        443 => String::new(),
        port => format!(":{port}"),
    };
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let path = if path.starts_with('/') { path } else { "/" };
    let location = HeaderValue::try_from(format!("https://{host}{port}{path}")).ok()?;
    let mut response = Response::new(Full::default());
    // The method and the body stay what they are.
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    response.headers_mut().insert(LOCATION, location);
    Some(response)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;
    use http_body_util::BodyExt;

    fn parts(method: &str, uri: &str, headers: &[(&str, &str)]) -> request::Parts {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[tokio::test]
    async fn the_last_proxy_answers_by_itself() {
        let mut options = parts("OPTIONS", "/", &[("max-forwards", "0")]);
        let answer = max_forwards(&mut options).unwrap();
        assert_eq!(answer.status(), 200);
        assert!(answer.headers()[ALLOW].to_str().unwrap().contains("POST"));

        let headers = [("max-forwards", "0"), ("cookie", "a=1"), ("x-a", "b")];
        let answer = max_forwards(&mut parts("TRACE", "/a?b", &headers)).unwrap();
        assert_eq!(answer.headers()[CONTENT_TYPE], "message/http");
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(
            body,
            "TRACE /a?b HTTP/1.1\r\nmax-forwards: 0\r\nx-a: b\r\n\r\n"
        );
    }

    #[test]
    fn all_others_are_forwarded() {
        for (method, value, then) in [
            ("OPTIONS", "5", "4"),
            ("TRACE", "1", "0"),
            ("GET", "0", "0"),
            ("OPTIONS", "x", "x"),
        ] {
            let mut parts = parts(method, "/", &[("max-forwards", value)]);
            assert!(max_forwards(&mut parts).is_none(), "{method} {value}");
            assert_eq!(parts.headers[MAX_FORWARDS], then);
        }
        assert!(max_forwards(&mut parts("OPTIONS", "*", &[])).is_none());
    }

    #[test]
    fn the_way_to_https() {
        let to_https = |uri: &'static str, host, port| {
            super::to_https(
                &HeaderValue::from_static(host),
                &http::Uri::from_static(uri),
                port,
            )
        };
        for (uri, host, port, expected) in [
            ("/a?b=c", "shop.example", 443, "https://shop.example/a?b=c"),
            ("/", "shop.example:8080", 8443, "https://shop.example:8443/"),
            ("/", "[::1]:80", 443, "https://[::1]/"),
            (
                "http://other.example/x",
                "other.example",
                443,
                "https://other.example/x",
            ),
        ] {
            let answer = to_https(uri, host, port).unwrap();
            assert_eq!(answer.status(), 308);
            assert_eq!(answer.headers()[LOCATION], expected);
        }
        assert!(to_https("/", "a b", 443).is_none());
    }

    #[test]
    fn upgrades() {
        for (value, kept) in [("h2c", false), ("WebSocket", true), ("TLS/1.0", false)] {
            let mut parts = parts("GET", "/", &[("upgrade", value)]);
            ignore_upgrade(&mut parts.headers);
            assert_eq!(parts.headers.contains_key(header::UPGRADE), kept, "{value}");
        }
    }
}
