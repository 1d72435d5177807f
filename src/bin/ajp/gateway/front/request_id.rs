//! The name of a request in all logs: the gateway's, those of proxies in front and those of the
//! application.

use http::{HeaderMap, HeaderName, HeaderValue};

/// Where it stands on the way.
pub(super) const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// More is no name.
const MOST: usize = 128;

/// The id of a request.
#[derive(Debug, Clone)]
pub(super) enum RequestId {
    /// Made here: 32 hexadecimal digits.
    Made([u8; 32]),
    /// From a trusted proxy.
    Given(Box<str>),
}

impl RequestId {
    /// The id that a trusted proxy has given the request, or a new one.
    pub(super) fn of(headers: &HeaderMap, is_trusted: bool) -> Self {
        let given = is_trusted.then(|| given(headers)).flatten();
        given.map_or_else(Self::made, |id| Self::Given(id.into()))
    }

    fn made() -> Self {
        let digit = |value: u8| match value & 15 {
            value @ 0..=9 => value | b'0',
            value => value.wrapping_add(b'a' - 10),
        };
        let mut digits = [0; 32];
        for (pair, byte) in digits
            .chunks_exact_mut(2)
            .zip(fastrand::u128(..).to_be_bytes())
        {
            pair.copy_from_slice(&[digit(byte >> 4), digit(byte)]);
        }
        Self::Made(digits)
    }

    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Made(digits) => std::str::from_utf8(digits).unwrap_or_default(),
            Self::Given(id) => id,
        }
    }

    /// Puts the id where the members find it, in place of what the client says.
    pub(super) fn tell(&self, headers: &mut HeaderMap) {
        // One that was given was looked at, one of our own is plain.
        let id = match self {
            Self::Made(digits) => digits,
            Self::Given(id) => id.as_bytes(),
        };
        if let Ok(value) = HeaderValue::from_bytes(id) {
            headers.insert(HEADER, value);
        }
    }
}

impl Default for RequestId {
    /// None.
    fn default() -> Self {
        Self::Given(Box::default())
    }
}

/// What a request says, if it says it once and in a form that can stand in any log.
fn given(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(HEADER).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.:/+=@".contains(&b);
    let text = value.to_str().ok()?;
    let is_id = !text.is_empty() && text.len() <= MOST && text.bytes().all(is_plain);
    is_id.then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_trusted_proxies_are_kept() {
        let long = "x".repeat(129);
        for (values, trusted, kept) in [
            (&["a1-B_2.c:3/4+5=@"][..], true, true),
            (&["a1"], false, false),
            (&["a1", "a1"], true, false),
            (&["a b"], true, false),
            (&["a\"b"], true, false),
            (&[""], true, false),
            (&[&long], true, false),
            (&[], true, false),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(HEADER, HeaderValue::from_str(value).unwrap());
            }
            let id = RequestId::of(&headers, trusted);
            id.tell(&mut headers);
            let id = id.as_str();
            assert_eq!(values.contains(&id), kept, "{values:?}");
            assert_eq!(headers.get_all(HEADER).iter().count(), 1);
            assert_eq!(headers[HEADER], id);
            let is_made = id.len() == 32 && id.bytes().all(|b| b"0123456789abcdef".contains(&b));
            assert!(kept || is_made, "{id}");
        }
    }
}
