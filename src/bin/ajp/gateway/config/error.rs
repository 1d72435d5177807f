//! What is wrong with the configuration, and where.

use std::fmt;
use std::ops::Range;
use std::path::Path;

/// One fault, by its place in the file.
#[derive(Debug)]
pub(crate) struct Fault {
    /// Bytes of the file; none for what came from the command line.
    pub(crate) span: Option<Range<usize>>,
    pub(crate) message: String,
}

impl Fault {
    /// A fault of the value at `span`.
    pub(crate) fn at(span: Range<usize>, message: impl Into<String>) -> Self {
        let span = Some(span).filter(|span| !span.is_empty());
        let message = message.into();
        Self { span, message }
    }

    /// A fault of the whole.
    pub(crate) fn whole(message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            span: None,
            message,
        }
    }

    /// The fault with the name of the file, the line and the key.
    pub(crate) fn of(self, path: &Path, text: &str) -> ConfigError {
        let mut place = path.display().to_string();
        if let Some(span) = self.span {
            let before = text.get(..span.start).unwrap_or(text);
            let line = before.matches('\n').count().saturating_add(1);
            place = format!("{place}:{line}");
            if let Some(key) = key(before) {
                place = format!("{place}: {key}");
            }
        }
        ConfigError(format!("{place}: {}", self.message))
    }
}

impl From<toml::de::Error> for Fault {
    fn from(error: toml::de::Error) -> Self {
        Self {
            span: error.span(),
            message: error.message().into(),
        }
    }
}

/// The key whose value begins after `before`.
fn key(before: &str) -> Option<&str> {
    let (line, value) = before.trim_end().rsplit_once('=')?;
    // An array may have begun in between; anything else is not the value.
    if !value.is_empty() && !value.trim_start().starts_with('[') {
        return None;
    }
    let line = line.trim_end();
    let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let start = line.trim_end_matches(is_bare).len();
    line.get(start..).filter(|key| !key.is_empty())
}

/// What is wrong with the configuration, for the operator.
#[derive(Debug)]
pub(crate) struct ConfigError(String);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

impl From<Fault> for ConfigError {
    fn from(fault: Fault) -> Self {
        Self(fault.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys() {
        for (before, expected) in [
            ("listen = ", Some("listen")),
            ("x = 1\nlisten=", Some("listen")),
            ("health = { check = ", Some("check")),
            ("health = { check = 1, rise = ", Some("rise")),
            ("statuses = [1, ", Some("statuses")),
            ("statuses = [", Some("statuses")),
            ("a = 1\n", None),
            ("", None),
            ("[[balancer]]\nname = \"a\"\n", None),
        ] {
            assert_eq!(key(before), expected, "{before:?}");
        }
    }
}
