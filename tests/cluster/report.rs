//! What came of the script: a table of what was seen, and a list of what was wrong.

use std::fmt;

use super::front::Kind;

/// What came of the script with one front.
pub struct Report {
    /// Which front.
    pub kind: Kind,
    lines: Vec<(&'static str, String)>,
    wrong: Vec<String>,
}

impl Report {
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            lines: Vec::new(),
            wrong: Vec::new(),
        }
    }

    /// A line of the table.
    pub fn say(&mut self, what: &'static str, seen: impl fmt::Display) {
        let seen = seen.to_string();
        println!("{}: {what}: {seen}", self.kind);
        self.lines.push((what, seen));
    }

    /// The script goes on after a failed expectation, so that the table is whole.
    pub fn expect(&mut self, right: bool, what: impl FnOnce() -> String) {
        if !right {
            self.wrong.push(format!("{}: {}", self.kind, what()));
        }
    }

    fn seen(&self, what: &str) -> &str {
        let line = self.lines.iter().find(|(known, _)| *known == what);
        line.map_or("", |(_, seen)| seen)
    }
}

/// The fronts side by side.
#[derive(Default)]
pub struct Table(Vec<Report>);

impl Table {
    pub fn add(&mut self, report: Report) {
        self.0.push(report);
    }

    /// Panics when anything was wrong.
    pub fn judge(&self) {
        let wrong: Vec<_> = self.0.iter().flat_map(|report| &report.wrong).collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut whats: Vec<&str> = Vec::new();
        for (what, _) in self.0.iter().flat_map(|report| &report.lines) {
            if !whats.contains(what) {
                whats.push(what);
            }
        }
        write!(f, "\n{:56}", "")?;
        for report in &self.0 {
            write!(f, " | {:26}", report.kind.to_string())?;
        }
        for what in whats {
            write!(f, "\n{what:56}")?;
            for report in &self.0 {
                write!(f, " | {:26}", report.seen(what))?;
            }
        }
        writeln!(f)
    }
}
