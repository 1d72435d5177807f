//! What a rule is, and what it finds.

use super::farm::{Farm, Located};
use crate::config::Place;
use serde::Serialize;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(super) enum Severity {
    /// Worth knowing.
    Note,
    /// It fails under load, after a restart or for some users, or it is not safe.
    Warning,
    /// It does not work, or lets anybody in.
    Error,
}

impl Severity {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One rule. Texts are for operators: they name what a log says word by word.
#[derive(Debug, Serialize)]
pub(super) struct Rule {
    pub(super) code: &'static str,
    /// In kebab case.
    pub(super) name: &'static str,
    pub(super) severity: Severity,
    /// What is wrong, in one sentence.
    pub(super) title: &'static str,
    /// Why that is so.
    pub(super) reason: &'static str,
    /// What users of the site see.
    pub(super) sees: &'static str,
    /// What the web server's log says, or nothing.
    pub(super) front_log: &'static str,
    /// What the container's log says, or nothing.
    pub(super) container_log: &'static str,
    /// What to write instead.
    pub(super) advice: &'static str,
    /// Which versions have it.
    pub(super) affects: &'static str,
    /// Where it is written, or how it was seen.
    pub(super) source: &'static str,
}

/// A rule that a configuration breaks, and where.
#[derive(Debug, Clone)]
pub(super) struct Finding {
    pub(super) rule: &'static Rule,
    pub(super) place: Place,
    /// With the names and values of this case; never a secret.
    pub(super) message: String,
    /// In place of the rule's.
    pub(super) advice: Option<String>,
    /// The other side of it.
    pub(super) related: Vec<(Place, &'static str)>,
}

impl Finding {
    pub(super) fn advice(&self) -> &str {
        self.advice.as_deref().unwrap_or(self.rule.advice)
    }

    /// What to write, with the values of this case.
    pub(super) fn write(&mut self, advice: impl Into<String>) -> &mut Self {
        self.advice = Some(advice.into());
        self
    }

    /// Another line that has to do with it.
    pub(super) fn see(&mut self, place: &Place, what: &'static str) -> &mut Self {
        let related = (place.clone(), what);
        if !self.related.contains(&related) {
            self.related.push(related);
        }
        self
    }
}

/// Everything found in a farm.
#[derive(Debug)]
pub(super) struct Findings<'a> {
    pub(super) farm: &'a Farm,
    pub(super) list: Vec<Finding>,
}

impl Findings<'_> {
    pub(super) fn add(
        &mut self,
        rule: &'static Rule,
        place: &Place,
        message: impl Into<String>,
    ) -> &mut Finding {
        let finding = Finding {
            rule,
            place: place.clone(),
            message: message.into(),
            advice: None,
            related: Vec::new(),
        };
        // The same line of a macro, a template or a shared worker is one finding.
        let known = self.list.iter().position(|known| {
            known.rule.code == rule.code
                && known.place == *place
                && known.message == finding.message
        });
        let index = known.unwrap_or(self.list.len());
        if known.is_none() {
            self.list.push(finding);
        }
        #[allow(clippy::indexing_slicing, reason = "it was found there, or put there")]
        &mut self.list[index]
    }

    /// At the line of a setting.
    pub(super) fn at<T>(
        &mut self,
        rule: &'static Rule,
        setting: &Located<T>,
        message: impl Into<String>,
    ) -> &mut Finding {
        self.add(rule, &setting.place, message)
    }
}
