//! Outcomes as text, JSON and JUnit.

use super::check::{Check, Outcome, Verdict};
use crate::ui;
use clap::ValueEnum;
use serde_json::json;
use std::fmt::Write;

/// How to show what was seen.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Format {
    /// For people
    Text,
    /// One object
    Json,
    /// JUnit's XML, as CI systems read it
    Junit,
}

impl Format {
    pub(super) fn show(self, peer: &str, outcomes: &[Outcome]) -> String {
        match self {
            Self::Text => text(peer, outcomes),
            Self::Json => {
                let value = json!({ "peer": peer, "checks": outcomes });
                format!("{value:#}\n")
            }
            Self::Junit => junit(peer, outcomes),
        }
    }

    /// Which checks there are. There is no such thing in JUnit.
    pub(super) fn list(self, checks: &[&Check]) -> String {
        if let Self::Json = self {
            return format!("{:#}\n", json!(checks));
        }
        let mut out = String::new();
        for check in checks {
            let Check {
                id,
                name,
                rule,
                section,
            } = check;
            let _ = writeln!(out, "{id} {name}: {rule} ({section})");
        }
        out
    }
}

fn count(outcomes: &[Outcome], verdict: Verdict) -> usize {
    outcomes
        .iter()
        .filter(|outcome| outcome.verdict == verdict)
        .count()
}

fn text(peer: &str, outcomes: &[Outcome]) -> String {
    let mut out = format!("{peer}\n");
    for Outcome {
        check,
        verdict,
        seen,
    } in outcomes
    {
        let shown = format!("{:<18}", verdict.text());
        let shown = if *verdict >= Verdict::Wrong {
            ui::bad(&shown)
        } else {
            shown
        };
        let _ = writeln!(out, "  {} {shown} {}: {seen}", check.id, check.name);
        if *verdict >= Verdict::Wrong {
            let _ = writeln!(
                out,
                "        rule: {} (section {})",
                check.rule, check.section
            );
        }
    }
    let _ = writeln!(
        out,
        "{} hold, {} differ harmlessly, {} wrong, {} dangerous, {} skipped",
        count(outcomes, Verdict::Holds),
        count(outcomes, Verdict::Differs),
        count(outcomes, Verdict::Wrong),
        count(outcomes, Verdict::Dangerous),
        count(outcomes, Verdict::Skipped),
    );
    out
}

fn junit(peer: &str, outcomes: &[Outcome]) -> String {
    let failures = outcomes
        .iter()
        .filter(|outcome| outcome.verdict >= Verdict::Wrong)
        .count();
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"{}\" tests=\"{}\" failures=\"{failures}\" skipped=\"{}\">\n",
        escaped(peer),
        outcomes.len(),
        count(outcomes, Verdict::Skipped),
    );
    for Outcome {
        check,
        verdict,
        seen,
    } in outcomes
    {
        let _ = write!(
            out,
            "  <testcase classname=\"{}\" name=\"{}\"",
            check.id, check.name
        );
        let seen = escaped(seen);
        let _ = match verdict {
            Verdict::Holds => writeln!(out, "/>"),
            Verdict::Differs => writeln!(
                out,
                "><system-out>differs harmlessly: {seen}</system-out></testcase>"
            ),
            Verdict::Skipped => writeln!(out, "><skipped message=\"{seen}\"/></testcase>"),
            Verdict::Wrong | Verdict::Dangerous => writeln!(
                out,
                "><failure type=\"{}\" message=\"{seen}\">{} (section {})</failure></testcase>",
                verdict.text(),
                escaped(check.rule),
                check.section
            ),
        };
    }
    out.push_str("</testsuite>\n");
    out
}

fn escaped(text: &str) -> String {
    let is_text = |c: char| c >= ' ' || c == '\t';
    let text: String = text.chars().filter(|c| is_text(*c)).collect();
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
