//! Configuration files of web servers and containers, read line by line: what `import` and
//! `lint` have in common.
//!
//! - `httpd`: directives, with `Include`, `Define`, conditions and macros.
//! - `workers`: mod_jk's `workers.properties`.
//! - `uri_map`: mod_jk's `uriworkermap.properties`.
//! - `xml`: elements and attributes with `${...}`.
//!
//! Nothing here judges: every value comes with the place where it is written.

pub(crate) mod httpd;
pub(crate) mod uri_map;
pub(crate) mod workers;
pub(crate) mod xml;

use crate::exit::Failure;
use std::fmt;
use std::path::Path;
use std::rc::Rc;

/// Where something is written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) file: Rc<str>,
    /// From 1.
    pub(crate) line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// A configuration file.
#[derive(Debug, Clone)]
pub(crate) struct Text {
    pub(crate) name: Rc<str>,
    pub(crate) text: String,
}

impl Text {
    pub(crate) fn new(name: &str, text: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            text: text.into(),
        }
    }

    /// Reads a file; bytes that are not UTF-8 are replaced.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let bytes = crate::files::read(path).map_err(|error| Failure::file(path, &error))?;
        let name = path.display().to_string();
        Ok(Self::new(&name, String::from_utf8_lossy(&bytes)))
    }

    /// Lines with their numbers from 1.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.text.lines())
    }

    /// A line of this file.
    pub(crate) fn place(&self, line: usize) -> Place {
        Place {
            file: Rc::clone(&self.name),
            line,
        }
    }
}
