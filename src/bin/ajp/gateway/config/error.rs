//! What is wrong with the configuration, and where: every fault is collected, so that all are
//! told at once.

use std::fmt;
use std::ops::Range;
use std::path::Path;

/// One fault, by its place in the file.
#[derive(Debug)]
pub(crate) struct Fault {
    /// Bytes of the file; none for what came from the command line.
    pub(crate) span: Option<Range<usize>>,
    pub(crate) message: String,
    /// The key that should be there. The fault is no news if that key has one of its own.
    missing: Option<&'static str>,
}

impl Fault {
    /// A fault of the value at `span`.
    pub(crate) fn at(span: Range<usize>, message: impl Into<String>) -> Self {
        let span = Some(span).filter(|span| !span.is_empty());
        Self {
            span,
            message: message.into(),
            missing: None,
        }
    }

    /// A fault of the whole.
    pub(crate) fn whole(message: impl Into<String>) -> Self {
        Self::at(0..0, message)
    }

    /// It is one because this key is not there.
    pub(crate) fn for_want_of(mut self, key: &'static str) -> Self {
        self.missing = Some(key);
        self
    }

    /// It is of something at `span`, if nothing is known closer to it.
    pub(super) fn within(mut self, span: Range<usize>) -> Self {
        self.span = self.span.or(Some(span).filter(|span| !span.is_empty()));
        self
    }

    /// The key that should be there, if that is what is wrong. It is told with the others whatever is found
    /// later.
    pub(super) fn take_missing(&mut self) -> Option<&'static str> {
        self.missing.take()
    }

    /// The fault with the name of the file, the line, the column and the key.
    fn place(&self, path: &Path, text: &str) -> String {
        let mut place = path.display().to_string();
        if let Some(span) = &self.span {
            let before = text.get(..span.start).unwrap_or(text);
            let line = before.matches('\n').count().saturating_add(1);
            let last = before.rsplit('\n').next().unwrap_or_default();
            let column = last.chars().count().saturating_add(1);
            place = format!("{place}:{line}:{column}");
            if let Some(key) = key(before) {
                place = format!("{place}: {key}");
            }
        }
        format!("{place}: {}", self.message)
    }
}

/// The text is no TOML.
impl From<toml::de::Error> for Fault {
    fn from(error: toml::de::Error) -> Self {
        Self {
            span: error.span(),
            message: error.message().to_owned(),
            missing: None,
        }
    }
}

/// A value is not what its key takes.
impl serde::de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::whole(suggested(&message.to_string()))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::whole(format!("missing field `{field}`")).for_want_of(field)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

/// The message for a key that does not exist, with the one that was probably meant.
fn suggested(message: &str) -> String {
    let Some(rest) = message.strip_prefix("unknown field `") else {
        return message.to_owned();
    };
    let mut names = rest.split('`').step_by(2);
    let unknown = names.next().unwrap_or_default();
    let likeness = |name: &str| strsim::jaro_winkler(unknown, name);
    let meant = names.max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    match meant.filter(|name| likeness(name) > 0.8) {
        Some(name) => format!("unknown key `{unknown}`; did you mean `{name}`?"),
        None => message.replacen("unknown field", "unknown key", 1),
    }
}

/// The faults of a configuration as they are found.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    found: Vec<Fault>,
    /// The keys, and the names of the tables, that could not be read.
    unread: Vec<String>,
}

impl Faults {
    /// One more.
    pub(crate) fn add(&mut self, fault: Fault) {
        self.found.push(fault);
    }

    /// The value, or nothing where there is a fault in its place.
    pub(crate) fn take<T>(&mut self, result: Result<T, Fault>) -> Option<T> {
        result.map_err(|fault| self.add(fault)).ok()
    }

    /// What stands under this key could not be read, so that nothing follows from its absence.
    pub(super) fn unread(&mut self, key: String) {
        self.unread.push(key);
    }

    /// Whether something under this key could not be read.
    pub(super) fn is_unread(&self, key: &str) -> bool {
        self.unread.iter().any(|unread| unread == key)
    }

    /// The faults in the order of the file; none of those that follow from another one.
    pub(super) fn sorted(mut self) -> Vec<Fault> {
        let found = std::mem::take(&mut self.found);
        self.found = found
            .into_iter()
            .filter(|fault| !fault.missing.is_some_and(|key| self.is_unread(key)))
            .collect();
        let start = |fault: &Fault| fault.span.as_ref().map_or(usize::MAX, |span| span.start);
        self.found.sort_by_key(start);
        self.found
    }

    /// The configuration, if nothing is wrong with it. `text` is that of the file.
    pub(crate) fn settle<T>(
        self,
        path: &Path,
        text: &str,
        whole: Option<T>,
    ) -> Result<T, ConfigError> {
        let faults = self.sorted();
        match whole {
            Some(whole) if faults.is_empty() => Ok(whole),
            _ => {
                let lines = faults.iter().map(|fault| fault.place(path, text));
                Err(ConfigError(lines.collect()))
            }
        }
    }

    /// As [`settle`](Self::settle), for what came from the command line.
    pub(crate) fn settle_flags<T>(self, whole: Option<T>) -> Result<T, ConfigError> {
        let faults = self.sorted();
        match whole {
            Some(whole) if faults.is_empty() => Ok(whole),
            _ => {
                let lines = faults.into_iter().map(|fault| fault.message);
                Err(ConfigError(lines.collect()))
            }
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

/// What is wrong with the configuration, for the operator: a line for each fault.
#[derive(Debug)]
pub(crate) struct ConfigError(Vec<String>);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for ConfigError {}

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

    #[test]
    fn likely_keys_are_suggested() {
        let all = "expected one of `listen`, `access_log`, `max_body`";
        for (unknown, expected) in [
            ("lisen", "unknown key `lisen`; did you mean `listen`?"),
            ("maxbody", "unknown key `maxbody`; did you mean `max_body`?"),
            ("color", &format!("unknown key `color`, {all}")),
        ] {
            let message = format!("unknown field `{unknown}`, {all}");
            assert_eq!(suggested(&message), expected);
        }
        assert_eq!(suggested("missing field `name`"), "missing field `name`");
    }
}
