//! Who may ask: nobody whose browser was led here by another site.

use super::refusal::Refusal;
use super::{Manager, api};
use ajp::proxy::settle_host;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::fmt::Write;
use std::net::IpAddr;
use std::sync::Arc;
use subtle::ConstantTimeEq;

/// On every response.
const HEADERS: [(HeaderName, &str); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; \
         base-uri 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    // Not "no-referrer", which would take the origin from the forms as well.
    (header::REFERRER_POLICY, "same-origin"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    (header::CACHE_CONTROL, "no-store"),
];

/// Looks at every request before it is answered.
pub(crate) async fn guard(
    State(manager): State<Arc<Manager>>,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    // Over HTTP/2 the target has it, and not a header.
    let host = settle_host(&mut parts.headers, &parts.uri, parts.version);
    let mut response = match refusal(&manager, &parts, host.ok().flatten().as_ref()) {
        Some((status, text)) if parts.uri.path().starts_with(api::PATH) => {
            Refusal::new(status, text).json()
        }
        Some((status, text)) => (status, format!("{} {text}\n", status.as_u16())).into_response(),
        None => next.run(Request::from_parts(parts, body)).await,
    };
    for (name, value) in HEADERS {
        let value = HeaderValue::from_static(value);
        response.headers_mut().insert(name, value);
    }
    response
}

fn refusal(
    manager: &Manager,
    parts: &Parts,
    host: Option<&HeaderValue>,
) -> Option<(StatusCode, &'static str)> {
    let host = host.and_then(|host| host.to_str().ok());
    let view = manager.farm.view();
    let Some(host) = host.filter(|host| is_known(host, &view.access.hosts)) else {
        return Some((
            StatusCode::MISDIRECTED_REQUEST,
            "the manager is asked by IP address, as localhost, or by a name of `hosts`",
        ));
    };
    let changes = !matches!(parts.method, Method::GET | Method::HEAD);
    if changes && comes_from_elsewhere(&parts.headers, host) {
        return Some((StatusCode::FORBIDDEN, "the form is not of this page"));
    }
    None
}

/// Whether a browser may ask under this name. A name that a stranger has pointed to this
/// address is not known (DNS rebinding); an IP address cannot be pointed anywhere.
fn is_known(host: &str, names: &[String]) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.parse::<IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || names.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// Whether the browser says that another site sends the form.
fn comes_from_elsewhere(headers: &HeaderMap, host: &str) -> bool {
    let told = |name: &str| headers.get(name).map(HeaderValue::as_bytes);
    let origin = told("origin").is_some_and(|origin| {
        // A TLS proxy may stand before the manager.
        let same = ["http://", "https://"].map(|scheme| format!("{scheme}{host}"));
        !same.iter().any(|same| same.as_bytes() == origin)
    });
    let site = told("sec-fetch-site").is_some_and(|site| site != b"same-origin");
    origin || site
}

/// 128 random bits.
pub(crate) fn nonce() -> Result<String, String> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes).map_err(|error| format!("no random numbers: {error}"))?;
    let mut text = String::new();
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}

/// Whether both are the same, in a time that tells nothing of where they differ.
pub(crate) fn is_same(nonce: &str, given: &str) -> bool {
    nonce.as_bytes().ct_eq(given.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        let names = ["gateway.example".to_owned()];
        for (host, known) in [
            ("127.0.0.1:8081", true),
            ("127.0.0.1", true),
            ("[::1]:8081", true),
            ("localhost:9000", true),
            ("LOCALHOST", true),
            ("192.0.2.1:8081", true),
            ("gateway.example:8081", true),
            ("Gateway.Example", true),
            ("evil.example:8081", false),
            ("127.0.0.1.evil.example", false),
            ("localhost.evil.example", false),
            ("evil.gateway.example", false),
            ("[evil.example]", false),
            ("", false),
            (":8081", false),
        ] {
            assert_eq!(is_known(host, &names), known, "{host}");
        }
    }

    #[test]
    fn origins() {
        for (name, value, elsewhere) in [
            ("origin", "http://127.0.0.1:8081", false),
            ("origin", "https://127.0.0.1:8081", false),
            ("origin", "http://127.0.0.1:8080", true),
            ("origin", "http://evil.example", true),
            ("origin", "null", true),
            ("sec-fetch-site", "same-origin", false),
            ("sec-fetch-site", "cross-site", true),
            ("sec-fetch-site", "same-site", true),
            ("x-other", "", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static(value));
            let found = comes_from_elsewhere(&headers, "127.0.0.1:8081");
            assert_eq!(found, elsewhere, "{name}: {value}");
        }
    }

    #[test]
    fn nonces() {
        let (a, b) = (nonce().unwrap(), nonce().unwrap());
        assert_eq!(a.len(), 32);
        assert!(is_same(&a, &a.clone()) && !is_same(&a, &b) && !is_same(&a, ""));
    }
}
