//! The reason phrase of a response, for web servers that pass it on.

use crate::wire::{SendHeaders, decimal};
use bytes::Bytes;
use std::fmt;

/// What a container says beside the status: an extension of responses, where it says
/// something else than the standard phrase of the status. Tomcat, for example, sends the
/// digits of the status, and then there is none.
///
/// Only HTTP/1 has reason phrases. A server on hyper passes one on like this; the type is this
/// crate's own so that hyper need not be:
///
/// ```
/// use ajp::mapping::ReasonPhrase;
///
/// fn with_reason<B>(mut response: http::Response<B>) -> http::Response<B> {
///     if let Some(reason) = response.extensions_mut().remove::<ReasonPhrase>() {
///         if let Ok(reason) = hyper::ext::ReasonPhrase::try_from(reason.into_bytes()) {
///             response.extensions_mut().insert(reason);
///         }
///     }
///     response
/// }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct ReasonPhrase(Bytes);

impl ReasonPhrase {
    /// That of a response, if it is worth passing on and can be: a phrase with a line break
    /// would split the response (protocol chapter
    /// [security](crate::docs::protocol::security#bytes-in-strings)).
    pub(super) fn of(head: &SendHeaders) -> Option<Self> {
        let phrase = head.raw_reason()?;
        let mut digits = [0; 20];
        let digits = decimal(head.status().into(), &mut digits);
        let says_more = phrase != digits && phrase != head.reason().as_bytes();
        // RFC 9112 section 4: HTAB, SP, VCHAR and obs-text.
        let is_clean = |b: &u8| matches!(b, b'\t' | b' '..=b'~' | 0x80..);
        let passes = !phrase.is_empty() && says_more && phrase.iter().all(is_clean);
        passes.then(|| Self(head.slice_ref(phrase)))
    }

    /// The phrase: printable ASCII, blanks, and bytes from 0x80.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// As [`as_bytes`](Self::as_bytes), without a copy.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

impl fmt::Debug for ReasonPhrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReasonPhrase(\"{}\")", self.0.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use crate::wire::standard_reason;
    use http::StatusCode;

    /// `wire` has a table of its own, without the http crate.
    #[test]
    fn standard_reasons_are_those_of_the_http_crate() {
        for code in 200..=599 {
            let expected = match code {
                // The crate leaves a dash out, RFC 9110 has renamed two, and one is obsolete.
                203 => "Non-Authoritative Information",
                510 => "",
                413 => "Content Too Large",
                422 => "Unprocessable Content",
                _ => {
                    let status = StatusCode::from_u16(code).unwrap();
                    status.canonical_reason().unwrap_or_default()
                }
            };
            assert_eq!(standard_reason(code), expected, "{code}");
        }
        // Interim answers do not exist in AJP.
        assert_eq!(standard_reason(100), "");
    }
}
