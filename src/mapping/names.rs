//! Header names: ready-made `HeaderName`s for the codes, and the hop-by-hop ones.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

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

/// What is to be done with a header of a message that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Written; the code of its name.
    Coded(u8),
    /// Written with its name spelled out.
    Spelled,
    Expect,
    ContentLength,
    Connection,
    /// Concerns one HTTP connection only and must not be passed on (protocol chapter
    /// [framing](crate::docs::protocol::framing#headers-that-stay-on-their-connection)).
    HopByHop,
}

/// The kind of a name: by length first, then one comparison or two. One `match` for both
/// the coded names and the common ones, as it is gone through for every header of every
/// message.
macro_rules! kind {
    ($name:expr, $($len:literal $known:literal $kind:expr,)*) => {
        match $name.len() {
            $($len if $name == $known => $kind,)*
            10 if $name == "connection" => Kind::Connection,
            14 if $name == "content-length" => Kind::ContentLength,
            2 if $name == "te" => Kind::HopByHop,
            7 if $name == "trailer" => Kind::HopByHop,
            7 if $name == "upgrade" => Kind::HopByHop,
            10 if $name == "keep-alive" => Kind::HopByHop,
            16 if $name == "proxy-connection" => Kind::HopByHop,
            17 if $name == "transfer-encoding" => Kind::HopByHop,
            18 if $name == "proxy-authenticate" => Kind::HopByHop,
            19 if $name == "proxy-authorization" => Kind::HopByHop,
            _ => Kind::Spelled,
        }
    };
}

/// The kind of a name in a request.
#[inline]
pub(super) fn request_kind(name: &str) -> Kind {
    kind!(name,
        4 "host" Kind::Coded(0x0b),
        6 "accept" Kind::Coded(0x01),
        6 "cookie" Kind::Coded(0x09),
        6 "pragma" Kind::Coded(0x0c),
        6 "expect" Kind::Expect,
        7 "referer" Kind::Coded(0x0d),
        7 "cookie2" Kind::Coded(0x0a),
        10 "user-agent" Kind::Coded(0x0e),
        12 "content-type" Kind::Coded(0x07),
        13 "authorization" Kind::Coded(0x05),
        14 "accept-charset" Kind::Coded(0x02),
        15 "accept-encoding" Kind::Coded(0x03),
        15 "accept-language" Kind::Coded(0x04),
    )
}

/// The kind of a name in a response.
#[inline]
pub(super) fn response_kind(name: &str) -> Kind {
    kind!(name,
        4 "date" Kind::Coded(0x04),
        6 "status" Kind::Coded(0x0a),
        8 "location" Kind::Coded(0x06),
        10 "set-cookie" Kind::Coded(0x07),
        11 "set-cookie2" Kind::Coded(0x08),
        12 "content-type" Kind::Coded(0x01),
        13 "last-modified" Kind::Coded(0x05),
        14 "servlet-engine" Kind::Coded(0x09),
        16 "content-language" Kind::Coded(0x02),
        16 "www-authenticate" Kind::Coded(0x0b),
    )
}

/// Whether a header concerns one HTTP connection only and must not be passed on (protocol chapter
/// [framing](crate::docs::protocol::framing#headers-that-stay-on-their-connection)).
pub(crate) fn is_hop_by_hop(name: &HeaderName) -> bool {
    is_hop_by_hop_name(name.as_str())
}

fn is_hop_by_hop_name(name: &str) -> bool {
    matches!(kind!(name,), Kind::HopByHop | Kind::Connection)
}

/// Whether the value of a `Connection` header names anything that [`is_hop_by_hop`] does
/// not know.
pub(super) fn nominates(value: &HeaderValue) -> bool {
    let is_usual = |option: &[u8]| matches!(option, b"keep-alive" | b"close");
    let value = value.as_bytes();
    !is_usual(value)
        && value.split(|&b| b == b',').any(|option| {
            let option = option.trim_ascii().to_ascii_lowercase();
            let name = std::str::from_utf8(&option).unwrap_or_default();
            !is_usual(&option) && !is_hop_by_hop_name(name)
        })
}

/// Whether HTTP defines a header for the recipient of the message: then it does not belong to a
/// connection, whatever a peer writes (RFC 9110 section 7.6.1). Otherwise a client could take
/// `Host` or `Cookie` away from a request.
pub(crate) fn is_for_recipient(name: &HeaderName) -> bool {
    let name = name.as_str();
    let is_coded = |kind| matches!(kind, Kind::Coded(_) | Kind::ContentLength);
    is_coded(request_kind(name))
        || is_coded(response_kind(name))
        || name.starts_with("content-")
        || name == "cache-control"
}

/// Whether a `Connection` header names `name` as belonging to this connection.
///
/// A header that is [for the recipient](is_for_recipient) is never named.
pub(crate) fn is_nominated(headers: &HeaderMap, name: &HeaderName) -> bool {
    !is_for_recipient(name)
        && headers.get_all(header::CONNECTION).iter().any(|value| {
            value.as_bytes().split(|&b| b == b',').any(|option| {
                option
                    .trim_ascii()
                    .eq_ignore_ascii_case(name.as_str().as_bytes())
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{
        request_header_code, request_header_name, response_header_code, response_header_name,
    };

    #[test]
    fn kinds_agree_with_the_code_tables() {
        let others = "te trailer upgrade connection keep-alive proxy-connection content-length \
            transfer-encoding proxy-authenticate proxy-authorization expect x-other etag";
        let names = (0..=255u8)
            .flat_map(|code| [request_header_name(code), response_header_name(code)])
            .flatten()
            .chain(others.split_ascii_whitespace());
        let mut looked_at = 0;
        for name in names {
            let header = HeaderName::from_static(name);
            for (kind, code) in [
                (request_kind(name), request_header_code(name.as_bytes())),
                (response_kind(name), response_header_code(name.as_bytes())),
            ] {
                let special = match name {
                    "connection" => Some(Kind::Connection),
                    "content-length" => Some(Kind::ContentLength),
                    "expect" => None,
                    _ if is_hop_by_hop(&header) => Some(Kind::HopByHop),
                    _ => None,
                };
                let usual = code.map_or(Kind::Spelled, Kind::Coded);
                if (name, kind) != ("expect", Kind::Expect) {
                    assert_eq!(kind, special.unwrap_or(usual), "{name}");
                }
                looked_at += 1;
            }
        }
        assert_eq!(looked_at, 2 * (14 + 11 + 13));
        assert_eq!(request_kind("expect"), Kind::Expect);
    }

    #[test]
    fn only_names_that_are_not_known_are_nominated() {
        for (value, expected) in [
            ("keep-alive", false),
            ("Close", false),
            ("Keep-Alive, Upgrade", false),
            ("TE, close", false),
            ("close, X-Private", true),
            ("x-private", true),
            ("keep-alive, \u{e9}", true),
            ("", true),
        ] {
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            assert_eq!(nominates(&value), expected, "{value:?}");
        }
    }
}
