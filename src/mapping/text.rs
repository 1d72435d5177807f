//! Text of unknown charset.

use bytes::Bytes;
use std::borrow::Cow;
#[cfg(feature = "server")]
use std::net::{IpAddr, Ipv6Addr};

/// Text of unknown charset: UTF-8 if it is valid UTF-8, else Latin-1. AJP defines none
/// (protocol chapter [packets](crate::docs::protocol::packets#strings)).
#[must_use]
pub fn text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(bytes.iter().copied().map(char::from).collect()),
    }
}

/// The text of a field that holds nothing but ASCII, as was checked when it was read or set.
#[cfg(feature = "client")]
pub(super) fn as_str(field: Option<&Bytes>) -> Option<&str> {
    std::str::from_utf8(field?).ok()
}

/// The IP address that a text is. A zone (RFC 4007), as httpd adds it to the link-local address of a
/// client, is left out: it is an interface of the web server's machine.
#[cfg(feature = "server")]
pub(super) fn ip_address(text: &str) -> Option<IpAddr> {
    match text.split_once('%') {
        Some((address, _)) => address.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => text.parse().ok(),
    }
}

/// A value that is set; an empty one says nothing and counts as absent.
pub(super) fn non_empty(value: impl Into<String>) -> Option<Bytes> {
    Some(value.into())
        .filter(|value| !value.is_empty())
        .map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_any_charset_have_a_text() {
        for (bytes, expected) in [
            (&b"plain"[..], "plain"),
            ("\u{e9}".as_bytes(), "\u{e9}"),
            (b"caf\xe9", "caf\u{e9}"),
            (b"", ""),
        ] {
            assert_eq!(text(bytes), expected);
        }
    }

    #[cfg(feature = "server")]
    #[test]
    fn an_address_may_have_a_zone() {
        let address = |text: &str| text.parse().ok();
        for (text, expected) in [
            ("192.0.2.1", address("192.0.2.1")),
            ("2001:db8::1", address("2001:db8::1")),
            ("fe80::fc:ff:fe00:1%eth0", address("fe80::fc:ff:fe00:1")),
            ("192.0.2.1%eth0", None),
            ("%eth0", None),
            ("[::1]", None),
            ("localhost", None),
        ] {
            assert_eq!(ip_address(text), expected, "{text}");
        }
    }

    #[test]
    fn an_empty_value_is_none() {
        assert_eq!(non_empty(""), None);
        assert_eq!(non_empty("a"), Some(Bytes::from_static(b"a")));
    }
}
