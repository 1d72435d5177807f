//! What is known of the HTTP client's TLS connection.

use super::text::{non_empty, text};
use bytes::Bytes;
use std::borrow::Cow;
use std::fmt;

/// What is known of the HTTP client's TLS connection.
///
/// ```
/// use ajp::mapping::TlsFacts;
/// let tls = TlsFacts::new().with_cipher_suite("TLS_AES_256_GCM_SHA384").with_protocol("TLSv1.3");
/// assert_eq!(tls.key_size(), Some(256));
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct TlsFacts {
    pub(super) certificate: Option<Bytes>,
    pub(super) cipher: Option<Bytes>,
    pub(super) session_id: Option<Bytes>,
    pub(super) key_size: Option<u16>,
    pub(super) protocol: Option<Bytes>,
}

impl TlsFacts {
    /// No facts.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The client certificate as PEM text; further certificates of the chain may follow it.
    #[must_use]
    pub fn certificate_pem(&self) -> Option<&[u8]> {
        self.certificate.as_deref()
    }

    /// The certificates in that text, one block of PEM each: the client's own, and then the
    /// chain as far as it was sent. Bytes outside of the blocks are left out.
    pub fn certificates_pem(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.certificate.as_deref().unwrap_or_default();
        std::iter::from_fn(move || {
            let (_, found) = rest.split_at_checked(find(rest, BEGIN.as_bytes())?)?;
            let end = find(found, END.as_bytes())?;
            let (block, after) = found.split_at_checked(end.checked_add(END.len())?)?;
            rest = after;
            Some(block)
        })
    }

    /// The cipher suite.
    #[must_use]
    pub fn cipher(&self) -> Option<Cow<'_, str>> {
        self.cipher.as_deref().map(text)
    }

    /// The session id.
    #[must_use]
    pub fn session_id(&self) -> Option<Cow<'_, str>> {
        self.session_id.as_deref().map(text)
    }

    /// The size of the symmetric key in bits.
    #[must_use]
    pub fn key_size(&self) -> Option<u16> {
        self.key_size
    }

    /// The protocol version, such as `TLSv1.3` (`AJP_SSL_PROTOCOL`).
    #[must_use]
    pub fn protocol(&self) -> Option<Cow<'_, str>> {
        self.protocol.as_deref().map(text)
    }

    /// Sets the client certificate, or chain, as PEM text.
    #[must_use]
    pub fn with_certificate_pem(mut self, pem: impl Into<Bytes>) -> Self {
        self.certificate = Some(pem.into()).filter(|pem| !pem.is_empty());
        self
    }

    /// Sets the client certificate and its chain from DER, as TLS libraries give them: in the
    /// order of the chain, the client's own first. `CertificateDer` of rustls will do.
    #[must_use]
    pub fn with_certificates_der(
        mut self,
        chain: impl IntoIterator<Item = impl AsRef<[u8]>>,
    ) -> Self {
        let mut pem = String::new();
        for certificate in chain {
            write_pem(&mut pem, certificate.as_ref());
        }
        self.certificate = (!pem.is_empty()).then(|| pem.into());
        self
    }

    /// Sets the cipher suite, and with it the size of its key as far as the name tells it.
    /// Names of TLS 1.3 may begin as in rustls, with `TLS13_`.
    #[must_use]
    pub fn with_cipher_suite(mut self, name: &str) -> Self {
        self.key_size = key_size_of(name);
        self.cipher = match name.strip_prefix("TLS13_") {
            Some(rest) => non_empty(format!("TLS_{rest}")),
            None => non_empty(name),
        };
        self
    }

    /// Sets the cipher suite and the size of its key in bits.
    #[must_use]
    pub fn with_cipher(mut self, cipher: impl Into<String>, key_size: u16) -> Self {
        self.cipher = non_empty(cipher);
        self.key_size = Some(key_size);
        self
    }

    /// Sets the session id.
    #[must_use]
    pub fn with_session_id(mut self, id: impl Into<String>) -> Self {
        self.session_id = non_empty(id);
        self
    }

    /// Sets the protocol version, such as `TLSv1.3`.
    #[must_use]
    pub fn with_protocol(mut self, version: impl Into<String>) -> Self {
        self.protocol = non_empty(version);
        self
    }
}

impl fmt::Debug for TlsFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsFacts")
            .field("protocol", &self.protocol())
            .field("cipher", &self.cipher())
            .field("key_size", &self.key_size)
            .field("certificate", &self.certificate.is_some())
            .finish_non_exhaustive()
    }
}

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|part| part == what)
}

/// RFC 7468: 64 characters of base64 a line.
fn write_pem(out: &mut String, der: &[u8]) {
    const LINE: usize = 48;
    out.push_str(BEGIN);
    out.push('\n');
    for line in der.chunks(LINE) {
        for bytes in line.chunks(3) {
            write_base64(out, bytes);
        }
        out.push('\n');
    }
    out.push_str(END);
    out.push('\n');
}

/// One to three bytes as four characters.
fn write_base64(out: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let byte = |at: usize| u32::from(bytes.get(at).copied().unwrap_or_default());
    let all = byte(0) << 16 | byte(1) << 8 | byte(2);
    for (at, shift) in [18, 12, 6, 0].into_iter().enumerate() {
        let digit = usize::try_from(all >> shift & 0x3f).unwrap_or_default();
        out.push(match DIGITS.get(digit) {
            Some(&digit) if at <= bytes.len() => digit.into(),
            _ => '=',
        });
    }
}

/// The symmetric key's size in bits, by the usual names of IANA and OpenSSL.
fn key_size_of(cipher: &str) -> Option<u16> {
    for family in ["AES", "CAMELLIA", "ARIA", "RC4"] {
        if let Some((_, rest)) = cipher.split_once(family) {
            let rest = rest.strip_prefix(['_', '-']).unwrap_or(rest);
            return match rest.get(..3)? {
                "128" => Some(128),
                "192" => Some(192),
                "256" => Some(256),
                _ => None,
            };
        }
    }
    let fixed = [
        ("CHACHA20", 256),
        ("3DES", 168),
        ("DES-CBC3", 168),
        ("SEED", 128),
    ];
    let known = fixed.iter().find(|(name, _)| cipher.contains(name));
    known.map(|&(_, bits)| bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_every_length() {
        // RFC 4648 section 10, and both digits that are no letters.
        for (bytes, expected) in [
            (&b"f"[..], "Zg=="),
            (b"fo", "Zm8="),
            (b"foo", "Zm9v"),
            (b"\xfb\xff\xbf", "+/+/"),
        ] {
            let mut out = String::new();
            write_base64(&mut out, bytes);
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn a_chain_of_der_is_a_text_of_blocks() {
        let chain = [vec![0u8; 48], vec![0xff; 49]];
        let tls = TlsFacts::new().with_certificates_der(&chain);
        let zeros = format!("{BEGIN}\n{}\n{END}", "A".repeat(64));
        let ones = format!("{BEGIN}\n{}\n/w==\n{END}", "/".repeat(64));
        let text = format!("{zeros}\n{ones}\n");
        assert_eq!(tls.certificate_pem(), Some(text.as_bytes()));
        let blocks: Vec<_> = tls.certificates_pem().collect();
        assert_eq!(blocks, [zeros.as_bytes(), ones.as_bytes()]);
        let none: [&[u8]; 0] = [];
        assert_eq!(TlsFacts::new().with_certificates_der(none), TlsFacts::new());
    }

    #[test]
    fn text_around_certificates_is_no_certificate() {
        let block = format!("{BEGIN}\nAA==\n{END}");
        for text in [
            String::new(),
            BEGIN.into(),
            format!("subject=x\n{block}"),
            format!("{block}\n{BEGIN}\nAA=="),
        ] {
            let complete = text.contains(&block);
            let tls = TlsFacts::new().with_certificate_pem(text);
            let blocks: Vec<_> = tls.certificates_pem().collect();
            assert_eq!(blocks, vec![block.as_bytes(); usize::from(complete)]);
        }
    }

    #[test]
    fn key_sizes_by_name() {
        for (name, size) in [
            ("TLS13_AES_128_GCM_SHA256", Some(128)),
            ("TLS_AES_256_GCM_SHA384", Some(256)),
            ("TLS_CHACHA20_POLY1305_SHA256", Some(256)),
            ("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256", Some(128)),
            ("ECDHE-RSA-AES256-GCM-SHA384", Some(256)),
            ("CAMELLIA256-SHA", Some(256)),
            ("DES-CBC3-SHA", Some(168)),
            ("TLS_RSA_WITH_3DES_EDE_CBC_SHA", Some(168)),
            ("TLS_RSA_WITH_NULL_SHA256", None),
            ("AES", None),
        ] {
            let tls = TlsFacts::new().with_cipher_suite(name);
            assert_eq!(tls.key_size(), size, "{name}");
            assert!(!tls.cipher().unwrap().starts_with("TLS13"));
        }
    }
}
