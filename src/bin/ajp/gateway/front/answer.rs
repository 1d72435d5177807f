//! The gateway's own answers: what the visitor may know, and nothing of what is behind.

use super::request_id;
use super::upload::UploadError;
use ajp::balancer::BalancerError;
use ajp::mapping::ReasonPhrase;
use bytes::Bytes;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use http_body_util::Full;
use std::error::Error as StdError;
use std::time::Duration;

const PAGE: &str = include_str!("error.html");

/// Why a request is not answered by a container.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) text: &'static str,
    pub(crate) retry_after: Option<Duration>,
}

impl Refusal {
    /// This status and line, without more.
    #[cold]
    pub(crate) fn new(status: StatusCode, text: &'static str) -> Self {
        Self {
            status,
            text,
            retry_after: None,
        }
    }

    /// What the visitor is told of an error.
    #[cold]
    pub(crate) fn of(error: &BalancerError) -> Self {
        if let Some(error) = upload_error(error) {
            return Self::of_upload(error);
        }
        let status = error.suggested_status();
        let text = match status {
            StatusCode::BAD_REQUEST => "the request or its body cannot be understood",
            StatusCode::REQUEST_TIMEOUT => "the body of the request did not come in time",
            StatusCode::URI_TOO_LONG => "the request's address is too long",
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => "the request's headers are too large",
            StatusCode::NOT_IMPLEMENTED => {
                "the method, transfer coding or upgrade is not supported"
            }
            StatusCode::SERVICE_UNAVAILABLE => "the application is not available at the moment",
            StatusCode::GATEWAY_TIMEOUT => "the application did not answer in time",
            _ => "the application gave no valid answer",
        };
        Self {
            status,
            text,
            retry_after: error.retry_after(),
        }
    }

    /// What the client is told of its request's body.
    #[cold]
    pub(crate) fn of_upload(error: &UploadError) -> Self {
        match error {
            UploadError::TooLarge => too_large(),
            UploadError::TooSlow(..) => {
                let text = "the request body did not come in time";
                Self::new(StatusCode::REQUEST_TIMEOUT, text)
            }
            UploadError::Client(_) => {
                let text = "the request or its body cannot be understood";
                Self::new(StatusCode::BAD_REQUEST, text)
            }
        }
    }

    /// The container broke off, and the client has got nothing yet.
    #[cold]
    pub(crate) fn broken_off() -> Self {
        let text = "the application gave no valid answer";
        Self::new(StatusCode::BAD_GATEWAY, text)
    }

    /// The response, as a page for browsers and as a line for everybody else. Both tell the id
    /// of the request, by which it is found in the logs.
    #[cold]
    pub(crate) fn response(&self, by_browser: bool, id: &str) -> Response<Full<Bytes>> {
        let code = self.status.as_str();
        let (body, kind) = if by_browser {
            let reason = self.status.canonical_reason().unwrap_or_default();
            let page = PAGE.replace("{{code}}", code);
            let page = page.replace("{{reason}}", reason);
            let page = page.replace("{{text}}", self.text);
            // It has no character that means anything in HTML.
            (page.replace("{{id}}", id), "text/html")
        } else {
            (format!("{code} {}\n", self.text), "text/plain")
        };
        let mut response = Response::new(Full::from(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        if let Ok(kind) = HeaderValue::try_from(format!("{kind}; charset=utf-8")) {
            headers.insert(CONTENT_TYPE, kind);
        }
        if let Ok(id) = HeaderValue::try_from(id) {
            headers.insert(request_id::HEADER, id);
        }
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(time) = self.retry_after {
            headers.insert(RETRY_AFTER, seconds(time).into());
        }
        response
    }
}

/// Whether the client shows pages.
#[cold]
pub(crate) fn wants_html(headers: &HeaderMap) -> bool {
    let is_html = |kind: &[u8]| kind.trim_ascii().starts_with(b"text/html");
    let mut values = headers.get_all(ACCEPT).iter();
    values.any(|value| value.as_bytes().split(|&b| b == b',').any(is_html))
}

/// Whole seconds, at least one.
fn seconds(time: Duration) -> u64 {
    let more = u64::from(time.subsec_nanos() > 0);
    time.as_secs().saturating_add(more).max(1)
}

/// The body is larger than configured.
#[cold]
pub(crate) fn too_large() -> Refusal {
    let text = "the request body is too large";
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, text)
}

/// What was wrong with the request's body, if that is why.
fn upload_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a UploadError> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// An error with its causes, for the operator.
#[cold]
pub(crate) fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

/// Puts a reason phrase of the application's own where hyper finds it, for HTTP/1.
pub(crate) fn pass_reason_on<B>(response: &mut Response<B>) {
    let Some(reason) = response.extensions_mut().remove::<ReasonPhrase>() else {
        return;
    };
    if let Ok(reason) = hyper::ext::ReasonPhrase::try_from(reason.into_bytes()) {
        response.extensions_mut().insert(reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_seconds() {
        for (millis, expected) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (10_000, 10)] {
            assert_eq!(seconds(Duration::from_millis(millis)), expected, "{millis}");
        }
    }

    #[test]
    fn a_page_has_no_holes() {
        let mut request = HeaderMap::new();
        request.insert(ACCEPT, HeaderValue::from_static("text/html,*/*;q=0.8"));
        let response = too_large().response(wants_html(&request), "0a1b");
        assert_eq!(response.headers()["x-request-id"], "0a1b");
        assert_eq!(response.headers()[CONTENT_TYPE], "text/html; charset=utf-8");
        let page = format!("{:?}", response.into_body());
        assert!(
            page.contains("413") && page.contains("is too large") && page.contains("0a1b"),
            "{page}"
        );
        assert!(!page.contains("{{"), "{page}");
    }
}
