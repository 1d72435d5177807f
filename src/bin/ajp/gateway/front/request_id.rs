//! The name of a request in all logs: the gateway's, those of proxies in front and those of the
//! application.

use http::{HeaderMap, HeaderName, HeaderValue};

/// Where it stands on the way.
pub(super) const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// More is no name.
const MOST: usize = 128;

/// The id that a trusted proxy has given the request, or a new one. [`tell`] tells the members.
pub(super) fn settle(headers: &mut HeaderMap, is_trusted: bool) -> String {
    let given = given(headers).filter(|_| is_trusted).map(str::to_owned);
    let id = given.unwrap_or_else(|| format!("{:032x}", fastrand::u128(..)));
    tell(headers, &id);
    id
}

/// Puts the id where the members find it.
pub(super) fn tell(headers: &mut HeaderMap, id: &str) {
    // One that was given was looked at, one of our own is plain.
    if let Ok(value) = HeaderValue::try_from(id) {
        headers.insert(HEADER, value);
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
            let id = settle(&mut headers, trusted);
            assert_eq!(values.contains(&&*id), kept, "{values:?}");
            assert_eq!(headers.get_all(HEADER).iter().count(), 1);
            assert_eq!(headers[HEADER], id);
            assert!(kept || id.len() == 32, "{id}");
        }
    }
}
