//! Addresses as proxies write them into headers.

use std::net::{IpAddr, Ipv6Addr};

/// Who is named in one element of `X-Forwarded-For`, or by `for=` in `Forwarded`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Node {
    Address(IpAddr, Option<u16>),
    /// `unknown`, an obfuscated name (RFC 7239 section 6.3), or nothing that can be read.
    Unknown,
}

/// Reads an address with or without a port, brackets, zone and quotes. An IPv4 address in IPv6
/// form is told as IPv4.
pub(super) fn node(text: &[u8]) -> Node {
    parse(text).map_or(Node::Unknown, |(address, port)| {
        Node::Address(address.to_canonical(), port)
    })
}

fn parse(text: &[u8]) -> Option<(IpAddr, Option<u16>)> {
    let text = std::str::from_utf8(text.trim_ascii()).ok()?;
    let text = unquoted(text);
    if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        let port = match port {
            "" => None,
            port => port_number(port.strip_prefix(':')?)?,
        };
        return Some((ipv6(address)?.into(), port));
    }
    match text.split_once(':') {
        None => Some((text.parse().ok()?, None)),
        Some((address, port)) if !port.contains(':') => {
            Some((address.parse().ok()?, port_number(port)?))
        }
        Some(_) => Some((ipv6(text)?.into(), None)),
    }
}

/// Without the quotes around it, if there are two.
pub(super) fn unquoted(text: &str) -> &str {
    let inner = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    inner.unwrap_or(text)
}

/// A zone is of no use to anybody but the machine that wrote it.
fn ipv6(text: &str) -> Option<Ipv6Addr> {
    let (address, _zone) = text.split_once('%').unwrap_or((text, ""));
    address.parse().ok()
}

/// A port, or an obfuscated one, which is none.
#[allow(clippy::option_option, reason = "no port, or nothing that can be read")]
fn port_number(text: &str) -> Option<Option<u16>> {
    match text.strip_prefix('_') {
        Some(_) => Some(None),
        None => Some(Some(text.parse().ok()?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_in_every_form() {
        for (text, address, port) in [
            ("203.0.113.9", "203.0.113.9", None),
            (" 203.0.113.9\t", "203.0.113.9", None),
            ("203.0.113.9:4711", "203.0.113.9", Some(4711)),
            ("\"203.0.113.9:4711\"", "203.0.113.9", Some(4711)),
            ("203.0.113.9:_port", "203.0.113.9", None),
            ("2001:db8::1", "2001:db8::1", None),
            ("[2001:db8::1]", "2001:db8::1", None),
            ("[2001:db8::1]:443", "2001:db8::1", Some(443)),
            ("\"[2001:db8::1]:443\"", "2001:db8::1", Some(443)),
            ("fe80::1%eth0", "fe80::1", None),
            ("[fe80::1%25eth0]:80", "fe80::1", Some(80)),
            ("::ffff:203.0.113.9", "203.0.113.9", None),
            ("[::ffff:203.0.113.9]:1", "203.0.113.9", Some(1)),
        ] {
            let expected = Node::Address(address.parse().unwrap(), port);
            assert_eq!(node(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_unknown() {
        for text in [
            &b""[..],
            b"unknown",
            b"_hidden",
            b"\"",
            b"\"203.0.113.9",
            b"203.0.113",
            b"203.0.113.9:",
            b"203.0.113.9:65536",
            b"203.0.113.9:80:80",
            b"[2001:db8::1",
            b"[2001:db8::1]443",
            b"[203.0.113.9]",
            b"localhost",
            b"\xff",
            b"203.0.113.9 10.0.0.1",
        ] {
            assert_eq!(node(text), Node::Unknown, "{}", text.escape_ascii());
        }
    }
}
