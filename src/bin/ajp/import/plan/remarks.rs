//! What whoever moves should know of a plan: everything that the gateway does otherwise.

use super::Plan;
use std::fmt;

/// Something that whoever moves should know.
#[derive(Debug)]
pub(in crate::import) struct Remark {
    pub(in crate::import) place: String,
    text: String,
    pub(in crate::import) severity: Severity,
}

/// How bad it is that something is otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::import) enum Severity {
    /// The gateway does it otherwise.
    Note,
    /// It is no business of a gateway.
    Left,
    /// The gateway does not do this.
    Lost,
    /// Without it containers would believe of visitors what httpd itself wrote: nothing is
    /// written.
    Believed,
    /// Without it the gateway would let through what was kept out: nothing is written.
    Open,
}

/// Remarks about one line.
#[derive(Debug, Default)]
pub(in crate::import) struct Remarks(Vec<(String, Severity)>);

impl Remarks {
    /// As [`Plan::note`].
    pub(in crate::import) fn note(&mut self, text: impl Into<String>) {
        self.0.push((text.into(), Severity::Note));
    }

    /// As [`Plan::lost`].
    pub(in crate::import) fn lost(&mut self, text: impl Into<String>) {
        self.0.push((text.into(), Severity::Lost));
    }
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.severity {
            Severity::Note => "note",
            Severity::Left => "left to the web server",
            Severity::Lost => "no equal",
            Severity::Believed => "would be believed from visitors",
            Severity::Open => "would be open",
        };
        write!(f, "{}: {kind}: {}", self.place, self.text)
    }
}

impl Plan {
    /// What the gateway does otherwise.
    pub(in crate::import) fn note(&mut self, place: &str, text: impl Into<String>) {
        self.remark(place, text.into(), Severity::Note);
    }

    /// What is no business of a gateway.
    pub(in crate::import) fn left(&mut self, place: &str, text: impl Into<String>) {
        self.remark(place, text.into(), Severity::Left);
    }

    /// What the gateway does not do, and what to do about it.
    pub(in crate::import) fn lost(&mut self, place: &str, text: impl Into<String>) {
        self.remark(place, text.into(), Severity::Lost);
    }

    /// What httpd wrote, so that no visitor could, and the gateway does not.
    pub(in crate::import) fn believed(&mut self, place: &str, text: impl Into<String>) {
        self.remark(place, text.into(), Severity::Believed);
    }

    /// What was kept out and the gateway would let through.
    pub(in crate::import) fn open(&mut self, place: &str, text: impl Into<String>) {
        self.remark(place, text.into(), Severity::Open);
    }

    /// All of a line.
    pub(in crate::import) fn tell(&mut self, place: &str, told: Remarks) {
        for (text, severity) in told.0 {
            self.remark(place, text, severity);
        }
    }

    fn remark(&mut self, place: &str, text: String, severity: Severity) {
        // The same setting of a template, or of many members, once.
        let known = self
            .remarks
            .iter()
            .any(|known| known.text == text && known.place == place);
        if !known {
            self.remarks.push(Remark {
                place: place.to_owned(),
                text,
                severity,
            });
        }
    }

    pub(in crate::import) fn remarks(&self) -> &[Remark] {
        &self.remarks
    }
}
