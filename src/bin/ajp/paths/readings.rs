//! The ways in which servers read one path.
//!
//! A server may decode percent signs, drop path parameters (`;x`), take a backslash for a
//! slash, join slashes and resolve dot segments; which of these it does, and in which order,
//! differs. Tomcat drops parameters, decodes and then resolves; httpd decodes and resolves;
//! others resolve before they decode. All that any order of these steps can give is listed
//! here, so that a path cannot mean one thing to the maps and another to the container.

use std::borrow::Cow;

/// More readings than any honest path has; beyond it a path is refused.
const MOST: usize = 64;
/// Bytes of all readings together. A long path has few, or looking at them would cost more than
/// serving the request.
const MOST_BYTES: usize = 64 * 1024;
/// What a path may have that is as long as its head can be: escapes, and a parameter with them.
const LEAST: usize = 4;

/// A path that no reading makes safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UnreadablePath {
    /// A NUL, which ends a string in some servers and not in others.
    Nul,
    /// A dot segment above the root.
    AboveRoot,
    /// Too many different readings.
    TooMany,
}

impl UnreadablePath {
    /// What to tell the client.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Nul => "the path has a NUL",
            Self::AboveRoot => "the path climbs above its root",
            Self::TooMany => "the path can be read in too many ways",
        }
    }
}

/// Whether every server reads this path as it stands. Looks at all bytes, which takes less time than
/// to stop at the first one: many are looked at together.
pub(crate) fn is_plain(path: &str) -> bool {
    let bytes = path.as_bytes();
    let is_special = |byte: u8| matches!(byte, b'%' | b';' | b'\\' | 0);
    let has_special = bytes.iter().fold(false, |found, b| found | is_special(*b));
    let pairs = bytes.iter().zip(bytes.iter().skip(1));
    let is_odd = |first: u8, second: u8| first == b'/' && matches!(second, b'/' | b'.');
    let has_odd_pair = pairs.fold(false, |found, (first, second)| {
        found | is_odd(*first, *second)
    });
    !has_special && !has_odd_pair
}

/// Every reading of `path`, the path as it came first.
///
/// Bytes that are decoded become the characters of the same number, so that nothing is lost
/// where they are no UTF-8; patterns are ASCII and compare the same.
pub(crate) fn readings(path: &str) -> Result<Vec<String>, UnreadablePath> {
    let mut found = vec![(path.to_owned(), false)];
    let by_length = MOST_BYTES.checked_div(path.len()).unwrap_or(MOST);
    let most = by_length.clamp(LEAST, MOST);
    for next in 0..=MOST {
        let Some((path, decoded)) = found.get(next).cloned() else {
            break;
        };
        if path.contains('\0') {
            return Err(UnreadablePath::Nul);
        }
        let mut add = |reading: Cow<'_, str>, decoded: bool| {
            // The same text that may still be decoded has more readings than one that may not.
            if let Cow::Owned(reading) = reading {
                let known = |(text, was): &(String, bool)| *text == reading && (decoded || !was);
                if !found.iter().any(known) {
                    found.push((reading, decoded));
                }
            }
        };
        if !decoded {
            add(decoded_once(&path), true);
        }
        add(without_parameters(&path), decoded);
        add(with_slashes(&path), decoded);
        add(resolved(&path)?, decoded);
        if found.len() > most {
            return Err(UnreadablePath::TooMany);
        }
    }
    Ok(found.into_iter().map(|(path, _)| path).collect())
}

/// The path with what is sure to mean the same taken away: unreserved characters decoded,
/// slashes joined, dot segments resolved (RFC 3986 section 6.2.2). Parameters stay, but for
/// those of dot segments.
pub(crate) fn normalised(path: &str) -> Result<String, UnreadablePath> {
    let mut plain = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        let (before, escape) = rest.split_at(at);
        plain.push_str(before);
        match escaped(escape.as_bytes()) {
            Some(byte) if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => {
                plain.push(char::from(byte));
                rest = escape.get(3..).unwrap_or_default();
            }
            Some(_) => {
                plain.push_str(&escape.get(..3).unwrap_or_default().to_ascii_uppercase());
                rest = escape.get(3..).unwrap_or_default();
            }
            None => {
                plain.push('%');
                rest = escape.get(1..).unwrap_or_default();
            }
        }
    }
    plain.push_str(rest);
    let segments = plain
        .split('/')
        .map(|segment| match segment.split_once(';') {
            Some((name @ ("" | "." | ".."), _)) => name,
            _ => segment,
        });
    let path = segments.collect::<Vec<_>>().join("/");
    resolved(&path).map(Cow::into_owned)
}

/// The byte that `%41` and the like at the start of `text` stand for.
fn escaped(text: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = text else {
        return None;
    };
    let digit = |b: &u8| char::from(*b).to_digit(16);
    u8::try_from((digit(high)? << 4) | digit(low)?).ok()
}

/// Percent signs decoded once; what is no escape stays.
fn decoded_once(path: &str) -> Cow<'_, str> {
    let bytes = path.as_bytes();
    if !bytes.contains(&b'%') {
        return path.into();
    }
    let mut decoded = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        let (before, escape) = rest.split_at(at);
        decoded.push_str(before);
        let (byte, after) = match escaped(escape.as_bytes()) {
            Some(byte) => (byte, 3),
            None => (b'%', 1),
        };
        decoded.push(char::from(byte));
        rest = escape.get(after..).unwrap_or_default();
    }
    decoded.push_str(rest);
    if decoded == path {
        path.into()
    } else {
        decoded.into()
    }
}

/// Every segment without what follows a semicolon.
fn without_parameters(path: &str) -> Cow<'_, str> {
    if !path.contains(';') {
        return path.into();
    }
    let segments = path.split('/');
    let names = segments.map(|segment| segment.split(';').next().unwrap_or_default());
    names.collect::<Vec<_>>().join("/").into()
}

/// Backslashes taken for slashes.
fn with_slashes(path: &str) -> Cow<'_, str> {
    if path.contains('\\') {
        path.replace('\\', "/").into()
    } else {
        path.into()
    }
}

/// Slashes joined and dot segments resolved.
fn resolved(path: &str) -> Result<Cow<'_, str>, UnreadablePath> {
    if !path.contains("//") && !path.contains("/.") {
        return Ok(path.into());
    }
    let mut kept: Vec<&str> = Vec::new();
    let mut ends_in_directory = false;
    for segment in path.split('/') {
        ends_in_directory = matches!(segment, "" | "." | "..");
        match segment {
            "" | "." => {}
            ".." => {
                kept.pop().ok_or(UnreadablePath::AboveRoot)?;
            }
            name => kept.push(name),
        }
    }
    let end = if ends_in_directory && !kept.is_empty() {
        "/"
    } else {
        ""
    };
    let resolved = format!("/{}{end}", kept.join("/"));
    Ok(if resolved == path {
        path.into()
    } else {
        resolved.into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_orders_of_all_steps() {
        let all = |path: &str| {
            let mut all = readings(path).unwrap();
            all.sort();
            all
        };
        assert_eq!(all("/a/b"), ["/a/b"]);
        assert_eq!(all("/a%20b"), ["/a b", "/a%20b"]);
        assert_eq!(all("//a"), ["//a", "/a"]);
        assert_eq!(all("/a/../b/."), ["/a/../b/.", "/b/"]);
        assert_eq!(all("/x/..;y/a"), ["/a", "/x/../a", "/x/..;y/a"]);
        assert_eq!(all("/a%3bx"), ["/a", "/a%3bx", "/a;x"]);
        assert_eq!(all("/%2561"), ["/%2561", "/%61"], "nobody decodes twice");
        assert!(all("/;x/a").contains(&"/a".to_owned()));
        assert!(all("/x/%2e%2e%5ca").contains(&"/a".to_owned()));
        assert!(all("/x/..%2fa").contains(&"/a".to_owned()));
    }

    #[test]
    fn what_cannot_be_read() {
        assert_eq!(readings("/a%00b"), Err(UnreadablePath::Nul));
        // As long as this it is refused before it costs more than serving it.
        let path = format!("/x{}/%41;x//./\\%2f%5c/b%3b", "/a".repeat(3400));
        assert_eq!(readings(&path), Err(UnreadablePath::TooMany));
        let path = format!("/x{}/%41;x=y%20z", "/a".repeat(8000));
        assert_eq!(readings(&path).unwrap().len(), 4);
        for path in ["/..", "/a/../..", "/%2e%2e/a", "/..;x/a", "/a/..\\.."] {
            assert_eq!(readings(path), Err(UnreadablePath::AboveRoot), "{path}");
        }
    }

    #[test]
    fn a_plain_path_has_one_reading() {
        for path in ["/", "/a", "/a/b.c/", "/a-b_c~d!$&'()*+,=:@"] {
            assert!(is_plain(path), "{path}");
            assert_eq!(readings(path).unwrap(), [path]);
        }
        for path in ["/%61", "/a;b", "/a//b", "/.a", "/a\\b"] {
            assert!(!is_plain(path), "{path}");
        }
    }

    #[test]
    fn a_normal_form() {
        for (path, normal) in [
            ("/%73ecret//x", "/secret/x"),
            ("/a/./b/../c", "/a/c"),
            ("/a/%2e%2E;v=1/b", "/b"),
            ("/a;v=1/b%2fc%e4", "/a;v=1/b%2Fc%E4"),
            ("/;x/secret", "/secret"),
            ("/a%zz", "/a%zz"),
            ("/a/..", "/"),
        ] {
            assert_eq!(normalised(path).as_deref(), Ok(normal), "{path}");
        }
        assert_eq!(normalised("/../a"), Err(UnreadablePath::AboveRoot));
    }
}
