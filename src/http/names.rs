//! Header names: ready-made `HeaderName`s for the codes, and the hop-by-hop ones.

use http::header::{self, HeaderMap, HeaderName};

/// The name of a request header code.
#[cfg(feature = "server")]
pub(super) fn request_name(code: u8) -> Option<HeaderName> {
    Some(match code {
        0x01 => header::ACCEPT,
        0x02 => header::ACCEPT_CHARSET,
        0x03 => header::ACCEPT_ENCODING,
        0x04 => header::ACCEPT_LANGUAGE,
        0x05 => header::AUTHORIZATION,
        0x06 => header::CONNECTION,
        0x07 => header::CONTENT_TYPE,
        0x08 => header::CONTENT_LENGTH,
        0x09 => header::COOKIE,
        0x0a => HeaderName::from_static("cookie2"),
        0x0b => header::HOST,
        0x0c => header::PRAGMA,
        0x0d => header::REFERER,
        0x0e => header::USER_AGENT,
        _ => return None,
    })
}

/// The name of a response header code.
pub(super) fn response_name(code: u8) -> Option<HeaderName> {
    Some(match code {
        0x01 => header::CONTENT_TYPE,
        0x02 => header::CONTENT_LANGUAGE,
        0x03 => header::CONTENT_LENGTH,
        0x04 => header::DATE,
        0x05 => header::LAST_MODIFIED,
        0x06 => header::LOCATION,
        0x07 => header::SET_COOKIE,
        0x08 => HeaderName::from_static("set-cookie2"),
        0x09 => HeaderName::from_static("servlet-engine"),
        0x0a => HeaderName::from_static("status"),
        0x0b => header::WWW_AUTHENTICATE,
        _ => return None,
    })
}

/// Whether a header concerns one HTTP connection only and must not be passed on
/// (protocol section 4.10).
pub(super) fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// Whether a `Connection` header names anything that [`is_hop_by_hop`] does not know.
/// Asked once per message, so that the usual `keep-alive` costs nothing per header.
fn nominates(headers: &HeaderMap) -> bool {
    const KNOWN: [&[u8]; 7] = [
        b"keep-alive",
        b"close",
        b"upgrade",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"proxy-connection",
    ];
    headers.get_all(header::CONNECTION).iter().any(|value| {
        let mut options = value
            .as_bytes()
            .split(|&b| b == b',')
            .map(<[u8]>::trim_ascii);
        options.any(|option| !KNOWN.iter().any(|known| known.eq_ignore_ascii_case(option)))
    })
}

/// Whether a `Connection` header names `name` as belonging to this connection.
pub(super) fn is_nominated(headers: &HeaderMap, name: &HeaderName) -> bool {
    headers.get_all(header::CONNECTION).iter().any(|value| {
        value.as_bytes().split(|&b| b == b',').any(|option| {
            option
                .trim_ascii()
                .eq_ignore_ascii_case(name.as_str().as_bytes())
        })
    })
}

/// Which headers of one message stay behind.
pub(super) struct HopByHop<'a> {
    headers: &'a HeaderMap,
    nominates: bool,
}

impl<'a> HopByHop<'a> {
    pub(super) fn of(headers: &'a HeaderMap) -> Self {
        Self {
            headers,
            nominates: nominates(headers),
        }
    }

    pub(super) fn holds(&self, name: &HeaderName) -> bool {
        is_hop_by_hop(name) || (self.nominates && is_nominated(self.headers, name))
    }
}
