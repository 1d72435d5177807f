//! What becomes of HTTP headers on their way through AJP, by protocol chapter "framing".

use http::HeaderMap;

/// Headers as plain pairs, names in lower case.
pub type Pairs = Vec<(String, Vec<u8>)>;

#[must_use]
pub fn pairs(headers: &HeaderMap) -> Pairs {
    headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
        .collect()
}

/// A header map keeps the order of equal names only.
#[must_use]
pub fn grouped(mut pairs: Pairs) -> Pairs {
    pairs.sort_by(|a, b| a.0.cmp(&b.0));
    pairs
}

/// Headers that HTTP defines for the recipient: `Connection` cannot take them away.
fn is_for_recipient(name: &str) -> bool {
    let known = "accept accept-charset accept-encoding accept-language authorization cookie cookie2 host \
        pragma referer user-agent date last-modified location set-cookie set-cookie2 servlet-engine status \
        www-authenticate cache-control";
    name.starts_with("content-") || known.split_ascii_whitespace().any(|known| known == name)
}

/// Without what concerns one HTTP connection, and what `Connection` names.
#[must_use]
pub fn end_to_end(pairs: &Pairs) -> Pairs {
    let hop_by_hop = [
        "connection",
        "keep-alive",
        "proxy-connection",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    let mut named = Vec::new();
    for (name, value) in pairs {
        if name == "connection" {
            for option in value.split(|&b| b == b',') {
                named.push(option.trim_ascii().to_ascii_lowercase());
            }
        }
    }
    pairs
        .iter()
        .filter(|(name, _)| {
            let is_named = named.iter().any(|n| n == name.as_bytes());
            !hop_by_hop.contains(&name.as_str()) && (!is_named || is_for_recipient(name))
        })
        .cloned()
        .collect()
}

/// Percent-encodes every byte for which `keep` is false.
#[must_use]
pub fn percent_encoded(text: &[u8], keep: impl Fn(u8) -> bool) -> Vec<u8> {
    let mut out = Vec::new();
    for &byte in text {
        if keep(byte) {
            out.push(byte);
        } else {
            out.extend(format!("%{byte:02X}").bytes());
        }
    }
    out
}

/// Undoes percent-encoding where there is any.
#[must_use]
pub fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let digit = |b: Option<&u8>| char::from(*b?).to_digit(16);
    let mut out = Vec::new();
    let mut at = 0;
    while at < text.len() {
        match (text[at], digit(text.get(at + 1)), digit(text.get(at + 2))) {
            (b'%', Some(high), Some(low)) => {
                out.push(u8::try_from(high * 16 + low).expect("two digits"));
                at += 3;
            }
            (byte, _, _) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out
}
