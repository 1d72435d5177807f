//! Header names that have no code and are common nevertheless: ready-made, so that a name of a
//! packet is neither checked again byte by byte nor allocated.

use http::header::HeaderName;

/// What tells a token from all others of up to 32 bytes: its length, and its bytes in lower case
/// in words that overlap.
type Key = [u64; 5];

/// Sets 0x20 in every byte, which makes letters lower case and leaves `-` and digits alone. The
/// few other bytes of a token that it changes become none of those.
const LOWER: u64 = u64::from_ne_bytes([0x20; 8]);

const fn word(bytes: [u8; 8]) -> u64 {
    u64::from_ne_bytes(bytes) | LOWER
}

/// `None` for names shorter than 4 bytes or longer than 32.
#[inline]
const fn key(name: &[u8]) -> Option<Key> {
    let mut key = [name.len() as u64, 0, 0, 0, 0];
    if let (Some(start), Some(end)) = (name.first_chunk::<16>(), name.last_chunk::<16>()) {
        let ([first, ..], [.., last]) = (halves(start), halves(end));
        let ([.., second], [third, ..]) = (halves(start), halves(end));
        key = [key[0], first, second, third, last];
    } else if let (Some(first), Some(last)) = (name.first_chunk(), name.last_chunk()) {
        key = [key[0], word(*first), word(*last), 0, 0];
    } else if let (Some(&[a, b, c, d]), Some(&[e, f, g, h])) =
        (name.first_chunk(), name.last_chunk())
    {
        key = [key[0], word([a, b, c, d, e, f, g, h]), 0, 0, 0];
    } else {
        return None;
    }
    if name.len() <= 32 { Some(key) } else { None }
}

const fn halves(bytes: &[u8; 16]) -> [u64; 2] {
    match (bytes.first_chunk(), bytes.last_chunk()) {
        (Some(first), Some(last)) => [word(*first), word(*last)],
        _ => [0, 0],
    }
}

macro_rules! common_names {
    ($($constant:ident $text:literal)*) => {
        /// The name of a token in any letter case, if it is a common one.
        pub(super) fn common_name(token: &[u8]) -> Option<&'static HeaderName> {
            $(const $constant: Key = key($text.as_bytes()).expect("4 to 32 bytes");)*
            match key(token)? {
                $($constant => {
                    static NAME: HeaderName = HeaderName::from_static($text);
                    Some(&NAME)
                })*
                _ => None,
            }
        }

        #[cfg(test)]
        const ALL: &[&str] = &[$($text),*];
    };
}

common_names! {
    ACCEPT_RANGES "accept-ranges"
    ACCESS_CONTROL_ALLOW_CREDENTIALS "access-control-allow-credentials"
    ACCESS_CONTROL_ALLOW_HEADERS "access-control-allow-headers"
    ACCESS_CONTROL_ALLOW_METHODS "access-control-allow-methods"
    ACCESS_CONTROL_ALLOW_ORIGIN "access-control-allow-origin"
    CACHE_CONTROL "cache-control"
    CONTENT_DISPOSITION "content-disposition"
    CONTENT_ENCODING "content-encoding"
    CONTENT_SECURITY_POLICY "content-security-policy"
    ETAG "etag"
    EXPIRES "expires"
    FORWARDED "forwarded"
    IF_MATCH "if-match"
    IF_MODIFIED_SINCE "if-modified-since"
    IF_NONE_MATCH "if-none-match"
    IF_RANGE "if-range"
    KEEP_ALIVE "keep-alive"
    LINK "link"
    ORIGIN "origin"
    PERMISSIONS_POLICY "permissions-policy"
    PRIORITY "priority"
    RANGE "range"
    REFERRER_POLICY "referrer-policy"
    RETRY_AFTER "retry-after"
    SEC_CH_UA "sec-ch-ua"
    SEC_CH_UA_MOBILE "sec-ch-ua-mobile"
    SEC_CH_UA_PLATFORM "sec-ch-ua-platform"
    SEC_FETCH_DEST "sec-fetch-dest"
    SEC_FETCH_MODE "sec-fetch-mode"
    SEC_FETCH_SITE "sec-fetch-site"
    SEC_FETCH_USER "sec-fetch-user"
    SERVER "server"
    STRICT_TRANSPORT_SECURITY "strict-transport-security"
    TRACEPARENT "traceparent"
    TRANSFER_ENCODING "transfer-encoding"
    UPGRADE "upgrade"
    UPGRADE_INSECURE_REQUESTS "upgrade-insecure-requests"
    VARY "vary"
    X_CONTENT_TYPE_OPTIONS "x-content-type-options"
    X_FORWARDED_FOR "x-forwarded-for"
    X_FORWARDED_HOST "x-forwarded-host"
    X_FORWARDED_PORT "x-forwarded-port"
    X_FORWARDED_PROTO "x-forwarded-proto"
    X_FORWARDED_SERVER "x-forwarded-server"
    X_FRAME_OPTIONS "x-frame-options"
    X_POWERED_BY "x-powered-by"
    X_REAL_IP "x-real-ip"
    X_REQUEST_ID "x-request-id"
    X_REQUESTED_WITH "x-requested-with"
    X_XSS_PROTECTION "x-xss-protection"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_found_in_any_letter_case() {
        for text in ALL {
            let name = HeaderName::from_static(text);
            for token in [text.to_string(), text.to_uppercase()] {
                assert_eq!(common_name(token.as_bytes()), Some(&name), "{token}");
            }
        }
    }

    #[test]
    fn no_other_token_is_taken_for_one() {
        let tokens: Vec<u8> = (0x21..0x7f)
            .filter(|&byte| HeaderName::from_bytes(&[byte]).is_ok())
            .collect();
        for text in ALL {
            for at in 0..text.len() {
                for &byte in &tokens {
                    let mut token = text.as_bytes().to_vec();
                    token[at] = byte;
                    let expected = token.eq_ignore_ascii_case(text.as_bytes());
                    let found = common_name(&token);
                    if let Some(found) = found {
                        assert_eq!(*found, HeaderName::from_bytes(&token).unwrap());
                    }
                    assert!(found.is_some() || !expected, "{text} {at} {byte:#x}");
                }
            }
            // One byte more or less, at either end.
            for token in [format!("{text}x"), format!("x{text}"), text[1..].to_owned()] {
                assert_ne!(
                    common_name(token.as_bytes()).map(HeaderName::as_str),
                    Some(*text)
                );
            }
        }
        for token in ["te", "dnt", "", &"x".repeat(33)] {
            assert_eq!(common_name(token.as_bytes()), None);
        }
    }
}
