//! What may stand in a log.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::SystemTime;

/// What stands in the place of what is left out.
const MASK: char = '*';

/// A text that can neither end its field nor its line, nor move a terminal's cursor.
pub(in crate::gateway::front) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c => push_shown(&mut out, c),
        }
    }
    out
}

/// As [`escaped`], where no quotes stand around the text.
pub(in crate::gateway) fn shown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        push_shown(&mut out, c);
    }
    out
}

fn push_shown(out: &mut String, c: char) {
    // Writing to a string cannot fail.
    let _ = match c {
        c if c.is_control() => write!(out, "\\x{:02x}", u32::from(c)),
        c if is_odd(c) => write!(out, "\\u{:04x}", u32::from(c)),
        c => return out.push(c),
    };
}

/// Whether a character ends a line somewhere, or changes the direction of what is around it.
fn is_odd(c: char) -> bool {
    matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A JSON text in which nothing is left that moves a reader's cursor.
pub(super) fn tame_json(json: String) -> String {
    let is_wild = |c: char| c.is_control() || is_odd(c);
    if !json.contains(is_wild) {
        return json;
    }
    let mut out = String::with_capacity(json.len().saturating_add(16));
    for c in json.chars() {
        if is_wild(c) {
            // Such characters stand in strings only. Writing to a string cannot fail.
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}

/// A target or URL without the values of path parameters (`;jsessionid=...`), of a query's
/// `jsessionid`, and of user and password before a host.
pub(in crate::gateway::front) fn masked(url: &str) -> Cow<'_, str> {
    let has_query_session = || url.to_ascii_lowercase().contains("jsessionid");
    if !url.contains([';', '@']) && !has_query_session() {
        return url.into();
    }
    let (path, query) = match url.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (url, None),
    };
    let mut out = String::with_capacity(url.len());
    let rest = match path.split_once("://") {
        None => path,
        Some((scheme, rest)) => {
            let end = rest.find('/').unwrap_or(rest.len());
            let (authority, rest) = rest.split_at(end);
            out.extend([scheme, "://"]);
            match authority.rsplit_once('@') {
                Some((_, host)) => out.extend(["*@", host]),
                None => out.push_str(authority),
            }
            rest
        }
    };
    for (index, segment) in rest.split('/').enumerate() {
        if index > 0 {
            out.push('/');
        }
        let mut parts = segment.split(';');
        out.push_str(parts.next().unwrap_or_default());
        for parameter in parts {
            out.push(';');
            push_masked(&mut out, parameter, true);
        }
    }
    if let Some(query) = query {
        out.push('?');
        for (index, parameter) in query.split('&').enumerate() {
            if index > 0 {
                out.push('&');
            }
            let name = parameter.split('=').next().unwrap_or_default();
            push_masked(&mut out, parameter, name.eq_ignore_ascii_case("jsessionid"));
        }
    }
    out.into()
}

fn push_masked(out: &mut String, parameter: &str, is_masked: bool) {
    match parameter.split_once('=').filter(|_| is_masked) {
        Some((name, _)) => {
            out.push_str(name);
            out.extend(['=', MASK]);
        }
        None => out.push_str(parameter),
    }
}

/// `06/Nov/1994:08:49:37 +0000`
pub(super) fn clf_time(at: SystemTime) -> String {
    let [day, month, year, time] = words(at);
    format!("{day}/{month}/{year}:{time} +0000")
}

/// `1994-11-06T08:49:37.123Z` (RFC 3339)
pub(super) fn iso_time(at: SystemTime) -> String {
    let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let [day, month, year, time] = words(at);
    let month = months.iter().position(|name| *name == month);
    let month = month.map_or(0, |index| index.saturating_add(1));
    let since = at.duration_since(SystemTime::UNIX_EPOCH);
    let millis = since.map_or(0, |since| since.subsec_millis());
    format!("{year}-{month:02}-{day}T{time}.{millis:03}Z")
}

/// Day, month, year and time of `Sun, 06 Nov 1994 08:49:37 GMT`.
fn words(at: SystemTime) -> [String; 4] {
    let text = httpdate::fmt_http_date(at);
    let mut words = text.split(' ').skip(1).map(str::to_owned);
    [(); 4].map(|()| words.next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn fields_cannot_be_broken_out_of() {
        assert_eq!(
            escaped("a\"b\\c\r\n\u{7f}\u{85}\u{1b}[2Jd"),
            "a\\\"b\\\\c\\x0d\\x0a\\x7f\\x85\\x1b[2Jd"
        );
    }

    #[test]
    fn sessions_and_passwords_are_left_out() {
        for (url, expected) in [
            ("/a/b?c=d&e", "/a/b?c=d&e"),
            ("*", "*"),
            (
                "/a;jsessionid=1.x/b;v=2;w/c?d;e=f",
                "/a;jsessionid=*/b;v=*;w/c?d;e=f",
            ),
            ("/a?x=1&JSESSIONID=4F.a&y=2", "/a?x=1&JSESSIONID=*&y=2"),
            ("http://me:pw@a.example/b?c", "http://*@a.example/b?c"),
            ("https://a.example/b;s=1", "https://a.example/b;s=*"),
            ("/mail/me@a.example", "/mail/me@a.example"),
        ] {
            assert_eq!(masked(url), expected);
        }
    }

    #[test]
    fn times() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(784_111_777_045);
        assert_eq!(clf_time(at), "06/Nov/1994:08:49:37 +0000");
        assert_eq!(iso_time(at), "1994-11-06T08:49:37.045Z");
    }
}
