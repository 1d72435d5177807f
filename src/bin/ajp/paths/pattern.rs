//! Which paths a map is for.

use super::readings::readings;
use regex::Regex;
use std::fmt;

/// What a path must look like.
#[derive(Debug, Clone)]
pub(crate) enum Pattern {
    /// `= /a/b`: this path alone.
    Exact(String),
    /// `/a`: this path and all below it. Without slash at its end: empty for the whole site.
    Below(String),
    /// `/a/*.jsp`: all below the first whose last segment ends in the second.
    Suffix { below: String, end: String },
    /// `~ ^/a/(\d+)$`: what the regular expression finds.
    Regex(Regex),
}

/// A path is told apart from the parameters of its last segment (`;jsessionid=1`), which no
/// pattern looks at.
pub(crate) fn split_parameters(path: &str) -> (&str, &str) {
    let last = path.rfind('/').map_or(0, |slash| slash);
    let tail = path.get(last..).unwrap_or_default();
    match tail.find(';') {
        Some(at) => path.split_at(last.saturating_add(at)),
        None => (path, ""),
    }
}

/// What follows `prefix` in `path`, which ends there or goes on with another segment, path
/// parameters, a query or a fragment.
pub(crate) fn below<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(prefix)?;
    let ends = rest.is_empty() || rest.starts_with(['/', ';', '?', '#']);
    (ends && path.starts_with('/')).then_some(rest)
}

impl Pattern {
    /// Reads the notation of the configuration file.
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidPattern> {
        let invalid = |why: String| InvalidPattern {
            text: text.to_owned(),
            why,
        };
        let plain = |path: &str| match fault(path) {
            None => Ok(path.to_owned()),
            Some(why) => Err(invalid(why.to_owned())),
        };
        if let Some(regex) = text.strip_prefix('~') {
            let regex = Regex::new(regex.trim_start());
            return regex
                .map(Self::Regex)
                .map_err(|error| invalid(error.to_string()));
        }
        if let Some(path) = text.strip_prefix('=') {
            return Ok(Self::Exact(plain(path.trim_start())?));
        }
        if let Some((front, end)) = text.split_once('*') {
            let end_is_plain = end
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"._~-".contains(&b));
            if end.is_empty() || !end_is_plain {
                return Err(invalid(
                    "must go on behind its * with an ending such as .jsp; all below a path is \
                     the path alone"
                        .to_owned(),
                ));
            }
            let front = if front.is_empty() { "/" } else { front };
            if !front.ends_with('/') {
                return Err(invalid("must have a slash before its *".to_owned()));
            }
            let below = plain(front)?;
            return Ok(Self::Suffix {
                below: below.trim_end_matches('/').to_owned(),
                end: end.to_owned(),
            });
        }
        Ok(Self::Below(plain(text)?.trim_end_matches('/').to_owned()))
    }

    /// Whether `path` is one of them.
    pub(crate) fn matches(&self, path: &str) -> bool {
        match self {
            Self::Below(prefix) => below(path, prefix).is_some(),
            Self::Exact(wanted) => split_parameters(path).0 == wanted,
            Self::Suffix { below: prefix, end } => {
                below(path, prefix).is_some() && split_parameters(path).0.ends_with(end.as_str())
            }
            Self::Regex(regex) => regex.is_match(split_parameters(path).0),
        }
    }

    /// The path that all of them are below; none is known of a regular expression.
    pub(crate) fn front(&self) -> &str {
        match self {
            Self::Below(front) | Self::Exact(front) | Self::Suffix { below: front, .. } => front,
            Self::Regex(_) => "",
        }
    }
}

/// As it is written in the configuration file.
impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Below(path) if path.is_empty() => f.write_str("/"),
            Self::Below(path) => f.write_str(path),
            Self::Exact(path) => write!(f, "= {path}"),
            Self::Suffix { below, end } => write!(f, "{below}/*{end}"),
            Self::Regex(regex) => write!(f, "~ {regex}"),
        }
    }
}

/// Why a path cannot stand in the configuration.
pub(crate) fn fault(path: &str) -> Option<&'static str> {
    if !path.starts_with('/') {
        Some("must begin with a slash")
    } else if !path
        .bytes()
        .all(|b| b.is_ascii_graphic() && !b"?#;\\\"<>*".contains(&b))
    {
        Some("must be a plain path: no blanks, queries, fragments or path parameters")
    } else if path.contains("//") {
        Some("has an empty segment")
    } else if path.contains('%') {
        Some("must be written without percent signs: paths are compared decoded, too")
    } else if !matches!(readings(path), Ok(all) if all.len() == 1) {
        Some("has a dot segment")
    } else {
        None
    }
}

/// The part of a target that is the same whatever its expression finds: up to the last slash
/// before the first reference such as `$1`.
pub(crate) fn template_base(target: &str) -> Option<&str> {
    let fixed = target.split('$').next()?;
    fixed.get(..=fixed.rfind('/')?)
}

/// Why a path at the members cannot be the target of a pattern.
pub(crate) fn fault_of_target(pattern: &Pattern, target: &str) -> Option<&'static str> {
    match pattern {
        Pattern::Regex(_) if target.contains('$') => {
            template_base(target).map_or(Some("must begin with a slash"), fault)
        }
        _ => fault(target),
    }
}

/// A path or pattern that cannot be mapped.
#[derive(Debug)]
pub(crate) struct InvalidPattern {
    text: String,
    why: String,
}

impl InvalidPattern {
    pub(crate) fn new(text: &str, why: &str) -> Self {
        Self {
            text: text.to_owned(),
            why: why.to_owned(),
        }
    }
}

impl fmt::Display for InvalidPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the path {:?} {}", self.text, self.why)
    }
}
