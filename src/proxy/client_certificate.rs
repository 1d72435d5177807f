//! The certificate of a client as a TLS proxy in front sends it in a header.
//!
//! | from | as |
//! |---|---|
//! | nginx, `$ssl_client_escaped_cert`; AWS | PEM, percent-encoded |
//! | httpd, `"%{SSL_CLIENT_CERT}s"` | PEM in one line |
//! | `HAProxy`, `%[ssl_c_der,base64]`; Traefik | base64 alone |
//! | RFC 9440, `Client-Cert` | base64 between colons |

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";
/// Characters of base64 in a line (RFC 7468, section 2).
const LINE: usize = 64;

/// The certificate in the value of a header as PEM; `None` where there is none that can be read. Of
/// several the first counts, which is the client's own.
pub(super) fn read(value: &[u8]) -> Option<String> {
    let decoded = if value.contains(&b'%') {
        percent_decoded(value)?
    } else {
        value.to_vec()
    };
    let text = std::str::from_utf8(&decoded).ok()?;
    let inner = match text.split_once(BEGIN) {
        Some((_, after)) => after.split_once(END)?.0,
        None => text.split(',').next().unwrap_or(text).trim_matches(':'),
    };
    let digits: Vec<u8> = inner.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    if !is_certificate(&digits) {
        return None;
    }
    let mut pem = String::with_capacity(digits.len().saturating_add(128));
    pem.push_str(BEGIN);
    pem.push('\n');
    for line in digits.chunks(LINE) {
        pem.push_str(std::str::from_utf8(line).ok()?);
        pem.push('\n');
    }
    pem.push_str(END);
    pem.push('\n');
    Some(pem)
}

/// Whether this is base64 with its padding, of what begins as a certificate does: a sequence of
/// ASN.1, whose first byte is 0x30.
fn is_certificate(digits: &[u8]) -> bool {
    let padding = digits.iter().rev().take_while(|b| **b == b'=').count();
    let bare = digits.get(..digits.len().saturating_sub(padding));
    let is_digit = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
    digits.first() == Some(&b'M')
        && digits.len() % 4 == 0
        && padding <= 2
        && bare.is_some_and(|bare| bare.iter().all(is_digit))
}

fn percent_decoded(text: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(&byte) = rest.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || char::from(*rest.next()?).to_digit(16);
        let value = digit()?.checked_mul(16)?.checked_add(digit()?)?;
        decoded.push(u8::try_from(value).ok()?);
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 100 bytes that begin as a certificate does.
    const DIGITS: &str = "MIICzDCCAbSgAwIBAgIUQ2hhbmdlZEZvclRoaXNUZXN0MDAwMAowDQYJKoZIhvcNAQELBQAwMDEQMA4GA1UECgwHQUpQIGxhYjEc+/==";

    #[test]
    fn as_each_proxy_sends_it() {
        let (first, second) = DIGITS.split_at(64);
        let pem = format!("{BEGIN}\n{first}\n{second}\n{END}\n");
        let escaped: String = pem
            .bytes()
            .map(|b| match b {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' => char::from(b).to_string(),
                _ => format!("%{b:02X}"),
            })
            .collect();
        for sent in [
            escaped.clone(),
            // "+", "/" and "=" may be left as they are.
            escaped
                .replace("%2B", "+")
                .replace("%2F", "/")
                .replace("%3D", "="),
            pem.replace('\n', " "),
            pem.replace('\n', "\t"),
            format!("{pem}{pem}").replace('\n', " "),
            DIGITS.to_owned(),
            format!("{DIGITS},{DIGITS}"),
            format!(":{DIGITS}:"),
        ] {
            assert_eq!(read(sent.as_bytes()).as_deref(), Some(&*pem), "{sent}");
        }
    }

    #[test]
    fn what_is_no_certificate_is_none() {
        for sent in [
            "",
            "(null)",
            "none",
            "-----BEGIN CERTIFICATE-----",
            "-----BEGIN CERTIFICATE-----(null)-----END CERTIFICATE-----",
            "MII",
            "MII=MIIC",
            "MIIC====",
            "MII%",
            "MII%zz",
            "%ff%fe",
            "QUJD",
            "MII\u{e4}MIIC",
        ] {
            assert_eq!(read(sent.as_bytes()), None, "{sent}");
        }
    }
}
