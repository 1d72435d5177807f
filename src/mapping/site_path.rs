//! Paths for `Location` and its like that lead to the own site.

use std::borrow::Cow;

/// A path that no browser takes for another host: exactly one slash at its beginning. Two
/// slashes, or a slash and a backslash, begin the name of a host (WHATWG URL, "relative state").
/// A path without a slash at its beginning stays as it is.
pub(crate) fn on_site(path: &str) -> Cow<'_, str> {
    let rest = path.trim_start_matches(['/', '\\']);
    match path.get(..path.len().wrapping_sub(rest.len())) {
        Some("" | "/") | None => Cow::Borrowed(path),
        Some(_) => Cow::Owned(format!("/{rest}")),
    }
}

#[cfg(test)]
mod tests {
    use super::on_site;

    #[test]
    fn one_slash_at_the_beginning() {
        for (path, expected) in [
            ("", ""),
            ("/", "/"),
            ("a//b", "a//b"),
            ("/a//b", "/a//b"),
            ("//a", "/a"),
            ("/\\a", "/a"),
            ("\\a", "/a"),
            ("/\\/\\//a", "/a"),
        ] {
            assert_eq!(on_site(path), expected, "{path}");
        }
    }
}
