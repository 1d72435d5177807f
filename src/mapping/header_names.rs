//! Header names: ready-made `HeaderName`s for the codes, and the hop-by-hop ones.

use super::uncoded_header_names::common_name;
use crate::wire::{SentName, request_headers, response_headers};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use std::borrow::Cow;

/// Ready-made names in code order.
macro_rules! header_names {
    ([] $(($code:literal $len:literal $name:literal))*) => {
        [$(HeaderName::from_static($name)),*]
    };
}

/// The name of a header of a request, if it has a code or is a common one.
#[inline(always)]
#[allow(clippy::inline_always, reason = "asked for every header")]
pub(super) fn known_request_name(sent: SentName<'_>) -> Option<&'static HeaderName> {
    static NAMES: [HeaderName; 14] = request_headers!(header_names!);
    known_name(sent, &NAMES)
}

/// The name of a header of a response. `None` is for what a view never hands out: it has checked
/// that a name is a token.
#[inline(always)]
#[allow(clippy::inline_always, reason = "as of a request")]
pub(super) fn response_name(sent: SentName<'_>) -> Option<Cow<'static, HeaderName>> {
    static NAMES: [HeaderName; 11] = response_headers!(header_names!);
    match (known_name(sent, &NAMES), sent) {
        (Some(name), _) => Some(Cow::Borrowed(name)),
        (None, SentName::Spelled(token)) => HeaderName::from_bytes(token).ok().map(Cow::Owned),
        (None, SentName::Coded(_)) => None,
    }
}

#[inline(always)]
#[allow(clippy::inline_always, reason = "asked for every header")]
fn known_name(sent: SentName<'_>, coded: &'static [HeaderName]) -> Option<&'static HeaderName> {
    match sent {
        SentName::Coded(code) => coded.get(usize::from(code).checked_sub(1)?),
        SentName::Spelled(token) => common_name(token),
    }
}

/// Adds a header whose name is known as a constant without making a name of its own of it.
#[inline(always)]
#[allow(clippy::inline_always, reason = "asked for every header")]
pub(super) fn append(map: &mut HeaderMap, name: Cow<'static, HeaderName>, value: HeaderValue) {
    match name {
        Cow::Borrowed(name) => map.append(name, value),
        Cow::Owned(name) => map.append(name, value),
    };
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

/// The kind of a name. `http` has a number for each standard name, so that the compiler makes one
/// table of the comparisons with these; only names that are none are compared as strings.
macro_rules! kind {
    ([$name:ident] $(($code:literal $len:literal $known:literal))*) => {
        match *$name {
            // Coded too, but written with what this side knows of the body, or not at all.
            ref name if *name == header::CONNECTION => Kind::Connection,
            ref name if *name == header::CONTENT_LENGTH => Kind::ContentLength,
            $(ref name if *name == const { HeaderName::from_static($known) } => {
                Kind::Coded($code)
            })*
            ref name
                if *name == header::TE
                    || *name == header::TRAILER
                    || *name == header::TRANSFER_ENCODING
                    || *name == header::UPGRADE
                    || *name == header::PROXY_AUTHENTICATE
                    || *name == header::PROXY_AUTHORIZATION
                    || *name == const { HeaderName::from_static("keep-alive") }
                    || *name == const { HeaderName::from_static("proxy-connection") } =>
            {
                Kind::HopByHop
            }
            _ => Kind::Spelled,
        }
    };
}

/// The kind of a name in a request.
#[inline(always)]
#[allow(
    clippy::inline_always,
    reason = "asked for every header, by a loop that then knows the kind without looking again"
)]
pub(super) fn request_kind(name: &HeaderName) -> Kind {
    match request_headers!(kind! name) {
        Kind::Spelled if *name == header::EXPECT => Kind::Expect,
        kind => kind,
    }
}

/// The kind of a name in a response.
#[inline(always)]
#[allow(clippy::inline_always, reason = "as in a request")]
pub(super) fn response_kind(name: &HeaderName) -> Kind {
    response_headers!(kind! name)
}

/// Whether a header concerns one HTTP connection only and must not be passed on (protocol chapter
/// [framing](crate::docs::protocol::framing#headers-that-stay-on-their-connection)).
pub(crate) fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(kind!([name]), Kind::HopByHop | Kind::Connection)
}

/// Whether the value of a `Connection` header names anything that [`is_hop_by_hop`] does
/// not know.
#[inline]
pub(super) fn nominates(value: &HeaderValue) -> bool {
    // As nearly all are.
    value != "keep-alive" && value != "close" && nominates_unknown(value.as_bytes())
}

#[cold]
fn nominates_unknown(value: &[u8]) -> bool {
    value.split(|&b| b == b',').any(|option| {
        let option = option.trim_ascii();
        let is_known = |name: HeaderName| name == "close" || is_hop_by_hop(&name);
        !HeaderName::from_bytes(option).is_ok_and(is_known)
    })
}

/// Whether HTTP defines a header for the recipient of the message: then it does not belong to a
/// connection, whatever a peer writes (RFC 9110 section 7.6.1). Otherwise a client could take
/// `Host` or `Cookie` away from a request.
pub(crate) fn is_for_recipient(name: &HeaderName) -> bool {
    let is_coded = |kind| matches!(kind, Kind::Coded(_) | Kind::ContentLength);
    is_coded(request_kind(name))
        || is_coded(response_kind(name))
        || name.as_str().starts_with("content-")
        || *name == header::CACHE_CONTROL
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
                (request_kind(&header), request_header_code(name.as_bytes())),
                (
                    response_kind(&header),
                    response_header_code(name.as_bytes()),
                ),
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
        assert_eq!(request_kind(&header::EXPECT), Kind::Expect);
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
