//! Findings as text, JSON and SARIF.

mod json;
mod sarif;
mod text;

use super::rule::Finding;
use clap::ValueEnum;

/// How to show findings.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Format {
    /// For people
    Text,
    /// One object with all findings
    Json,
    /// SARIF 2.1.0, as code hosts and editors read it
    Sarif,
}

impl Format {
    pub(super) fn show(self, findings: &[Finding]) -> String {
        match self {
            Self::Text => text::all(findings),
            Self::Json => json::all(findings),
            Self::Sarif => sarif::all(findings),
        }
    }
}

pub(super) use text::{list, rule};
