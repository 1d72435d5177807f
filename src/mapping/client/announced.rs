//! What a request announces of its body, and what of it AJP cannot carry. Checked before a
//! connection is taken.

use crate::client::{ClientError, ErrorKind, Pool};
use crate::wire::BodyFraming;
use http::header::HeaderValue;
use http::{Method, request};
use http_body::Body;

/// The headers that say how the body is announced.
#[derive(Default)]
pub(super) struct BodyHeaders<'a> {
    coding: Option<&'a HeaderValue>,
    length: Option<&'a HeaderValue>,
}

/// What AJP cannot carry is refused before a connection is taken. One walk over the headers
/// costs less than to look for each of these names.
pub(super) fn check(parts: &request::Parts) -> Result<BodyHeaders<'_>, ClientError> {
    if parts.method == Method::CONNECT {
        return Err(ClientError::new(
            ErrorKind::UpgradeNotSupported,
            "AJP has no CONNECT",
        ));
    }
    let twice = |text| Err(ClientError::new(ErrorKind::InvalidRequest, text));
    let mut announced = BodyHeaders::default();
    let mut has_host = false;
    for (name, value) in &parts.headers {
        match name.as_str() {
            "host" if has_host => return twice("more than one Host"),
            "host" => has_host = true,
            "upgrade" if value.as_bytes().split(|&b| b == b',').any(is_real_upgrade) => {
                return Err(ClientError::new(
                    ErrorKind::UpgradeNotSupported,
                    "AJP has no WebSocket and no other upgrade",
                ));
            }
            "transfer-encoding" if announced.coding.is_some() => {
                return Err(ClientError::new(
                    ErrorKind::UnsupportedTransferEncoding,
                    "more than one Transfer-Encoding",
                ));
            }
            "transfer-encoding" => announced.coding = Some(value),
            "content-length" if announced.length.is_some() => {
                return twice("more than one Content-Length");
            }
            "content-length" => announced.length = Some(value),
            _ => {}
        }
    }
    Ok(announced)
}

/// Whether an offered protocol is another one than HTTP. The offer of another HTTP version
/// comes with ordinary requests and is declined by not answering it.
fn is_real_upgrade(protocol: &[u8]) -> bool {
    let name = protocol.split(|&b| b == b'/').next().unwrap_or_default();
    let name = name.trim_ascii();
    !name.is_empty() && !name.eq_ignore_ascii_case(b"h2c") && !name.eq_ignore_ascii_case(b"http")
}

/// How the request announces its body (protocol chapter
/// [framing](crate::docs::protocol::framing#requests)).
pub(super) fn framing<B: Body>(
    announced: &BodyHeaders<'_>,
    body: Option<&B>,
) -> Result<BodyFraming, ClientError> {
    let exact = body.map_or(Some(0), |body| body.size_hint().exact());
    match (announced.coding, announced.length) {
        (Some(_), Some(_)) => Err(ClientError::new(
            ErrorKind::InvalidRequest,
            "both Content-Length and Transfer-Encoding",
        )),
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => {
            Ok(BodyFraming::Chunked)
        }
        (Some(_), None) => Err(ClientError::new(
            ErrorKind::UnsupportedTransferEncoding,
            "only \"chunked\" is supported",
        )),
        (None, Some(length)) => {
            let length = crate::wire::parse_content_length(length.as_bytes()).ok_or_else(|| {
                ClientError::new(ErrorKind::InvalidRequest, "Content-Length is not a number")
            })?;
            match exact {
                Some(exact) if exact != length => Err(ClientError::new(
                    ErrorKind::BodyLength,
                    format!("Content-Length is {length}, the body has {exact} bytes"),
                )),
                _ => Ok(BodyFraming::Length(length)),
            }
        }
        (None, None) if body.is_none_or(Body::is_end_stream) => Ok(BodyFraming::Length(0)),
        (None, None) => Ok(exact.map_or(BodyFraming::Chunked, BodyFraming::Length)),
    }
}

/// A path and query that alone are longer than a packet are refused with an error of their
/// own (RFC 9110 section 15.5.15), before a connection is taken.
pub(super) fn check_uri_length(pool: &Pool, parts: &request::Parts) -> Result<(), ClientError> {
    let len = parts
        .uri
        .path_and_query()
        .map_or(0, |uri| uri.as_str().len());
    let size = pool.config().packet_size().bytes();
    if len < size {
        return Ok(());
    }
    let text = format!("path and query are {len} bytes, a packet has at most {size}");
    Err(ClientError::new(ErrorKind::UriTooLong, text))
}
