//! Headers that concern one HTTP connection only.

use crate::mapping::header_names::{is_for_recipient, is_hop_by_hop, is_nominated};
use http::header::{CONNECTION, HeaderMap, HeaderName};

/// Removes the `Connection` header and what it names (RFC 9110 section 7.6.1), before a proxy
/// adds headers of its own: a client cannot take those away then.
///
/// What HTTP defines for the recipient of the message stays, whatever a peer writes: `Host`,
/// `Cookie`, `Authorization`, `Content-Type` and their like. So do the headers that frame the
/// message, and `Upgrade`, which a proxy wants to look at first.
pub fn remove_nominated(headers: &mut HeaderMap) {
    if !headers.contains_key(CONNECTION) {
        return;
    }
    let named = |name: &&HeaderName| {
        !matches!(name.as_str(), "transfer-encoding" | "upgrade")
            && !is_for_recipient(name)
            && is_nominated(headers, name)
    };
    let nominated: Vec<HeaderName> = headers.keys().filter(named).cloned().collect();
    for name in nominated {
        headers.remove(name);
    }
    headers.remove(CONNECTION);
}

/// Removes all headers that concern one HTTP connection only, `Transfer-Encoding` and `Upgrade`
/// among them, and what `Connection` names, as [`remove_nominated`] does: for a request or a
/// response that goes on over HTTP. Over AJP, `Client` and `serve` do it themselves.
pub fn remove_hop_by_hop(headers: &mut HeaderMap) {
    remove_nominated(headers);
    let known: Vec<HeaderName> = headers
        .keys()
        .filter(|name| is_hop_by_hop(name))
        .cloned()
        .collect();
    for name in known {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    const LINES: [(&str, &str); 10] = [
        ("host", "a"),
        ("cookie", "a=1"),
        ("content-length", "5"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "websocket"),
        ("keep-alive", "timeout=5"),
        ("x-private", "1"),
        ("x-kept", "1"),
        ("connection", "close, X-Private, Host, Keep-Alive, upgrade"),
        ("connection", "cookie, content-length, transfer-encoding"),
    ];

    #[test]
    fn what_connection_names_goes_but_not_what_the_recipient_needs() {
        let mut found = headers(&LINES);
        remove_nominated(&mut found);
        let kept = [
            "content-length",
            "cookie",
            "host",
            "transfer-encoding",
            "upgrade",
            "x-kept",
        ];
        assert_eq!(names(&found), kept);
        // Without a Connection header nothing is named.
        let mut found = headers(&LINES[..8]);
        remove_nominated(&mut found);
        assert_eq!(found, headers(&LINES[..8]));
    }

    #[test]
    fn nothing_of_the_connection_is_left() {
        let mut found = headers(&LINES);
        remove_hop_by_hop(&mut found);
        assert_eq!(
            names(&found),
            ["content-length", "cookie", "host", "x-kept"]
        );
    }
}
