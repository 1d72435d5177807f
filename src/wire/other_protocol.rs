//! What speaks at a port where AJP was expected, by the first bytes that it sent.

use std::fmt;

/// A protocol that is not AJP, recognised by the first bytes of a connection.
///
/// A browser on the AJP port, a client on an HTTP port, a load balancer that puts its own
/// header in front: all of these are "wrong magic" to the codec. This tells which of them it is.
///
/// ```
/// use ajp::wire::OtherProtocol;
/// assert_eq!(OtherProtocol::guess(b"GET / HTTP/1.1\r\n"), Some(OtherProtocol::Http));
/// assert_eq!(OtherProtocol::guess(&[0x16, 0x03, 0x01, 0x02, 0x00]), Some(OtherProtocol::Tls));
/// assert_eq!(OtherProtocol::guess(&[0x12, 0x34, 0x00, 0x01, 0x0a]), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OtherProtocol {
    /// An HTTP request or response, or the preface of HTTP/2.
    Http,
    /// A TLS record: a handshake message or an alert.
    Tls,
    /// The header that load balancers put in front of a connection (PROXY protocol, version 1 or 2).
    ProxyHeader,
    /// The greeting of an SSH server.
    Ssh,
    /// The greeting of a mail or FTP server.
    SmtpOrFtp,
}

/// Request methods of HTTP/1 with the space behind them, the preface of HTTP/2, and the
/// beginning of a response.
const HTTP: [&[u8]; 11] = [
    b"HTTP/",
    b"GET ",
    b"HEAD ",
    b"POST ",
    b"PUT ",
    b"DELETE ",
    b"OPTIONS ",
    b"CONNECT ",
    b"TRACE ",
    b"PATCH ",
    b"PRI * HTTP/2",
];

impl OtherProtocol {
    /// What begins like this. `None` when nothing is known about it, and for AJP itself.
    #[must_use]
    pub fn guess(first: &[u8]) -> Option<Self> {
        if HTTP.iter().any(|start| first.starts_with(start)) {
            return Some(Self::Http);
        }
        match first {
            // An alert or a handshake message; all versions have 3 as their first number.
            [0x15 | 0x16, 3, ..] => Some(Self::Tls),
            [b'P', b'R', b'O', b'X', b'Y', b' ', ..] | [b'\r', b'\n', b'\r', b'\n', 0, ..] => {
                Some(Self::ProxyHeader)
            }
            [b'S', b'S', b'H', b'-', ..] => Some(Self::Ssh),
            [b'2', b'2', b'0', b' ' | b'-', ..] => Some(Self::SmtpOrFtp),
            _ => None,
        }
    }
}

impl fmt::Display for OtherProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "HTTP",
            Self::Tls => "TLS",
            Self::ProxyHeader => "the PROXY protocol",
            Self::Ssh => "SSH",
            Self::SmtpOrFtp => "SMTP or FTP",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes() {
        for (first, known) in [
            (&b"GET / HTTP/1.1\r\n"[..], Some(OtherProtocol::Http)),
            (b"HTTP/1.1 400 Bad Request\r\n", Some(OtherProtocol::Http)),
            (b"PRI * HTTP/2.0\r\n", Some(OtherProtocol::Http)),
            (b"\x16\x03\x01\x02\x00\x01", Some(OtherProtocol::Tls)),
            (b"\x15\x03\x03\x00\x02", Some(OtherProtocol::Tls)),
            (b"PROXY TCP4 ", Some(OtherProtocol::ProxyHeader)),
            (b"\r\n\r\n\0\r\nQUIT\n", Some(OtherProtocol::ProxyHeader)),
            (b"SSH-2.0-OpenSSH", Some(OtherProtocol::Ssh)),
            (b"220 mail", Some(OtherProtocol::SmtpOrFtp)),
            (b"\x12\x34\0\x01\x0a", None),
            (b"AB\0\x01\x09", None),
            (b"G", None),
            (b"", None),
        ] {
            assert_eq!(
                OtherProtocol::guess(first),
                known,
                "{}",
                first.escape_ascii()
            );
        }
    }
}
