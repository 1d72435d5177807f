//! For people.

use crate::lint::rule::{Finding, Rule, Severity};
use crate::ui;
use std::fmt::Write;

/// Every finding, and a summary.
pub(super) fn all(findings: &[Finding]) -> String {
    let mut out = String::new();
    for finding in findings {
        let rule = finding.rule;
        let severity = rule.severity.name();
        let severity = match rule.severity {
            Severity::Error => ui::bad(severity),
            Severity::Warning | Severity::Note => severity.to_owned(),
        };
        let _ = writeln!(
            out,
            "{}: {severity} {}: {}",
            finding.place, rule.code, finding.message
        );
        for (place, what) in &finding.related {
            let _ = writeln!(out, "    {place}: {what}");
        }
        let _ = writeln!(out, "    users see:      {}", rule.sees);
        for (name, log) in [
            ("web server log", rule.front_log),
            ("container log", rule.container_log),
        ] {
            if !log.is_empty() {
                let _ = writeln!(out, "    {name:<16}{log}", name = format!("{name}:"));
            }
        }
        let _ = writeln!(out, "    instead:        {}", finding.advice());
    }
    let count = |severity| {
        findings
            .iter()
            .filter(|finding| finding.rule.severity == severity)
            .count()
    };
    let (errors, warnings, notes) = (
        count(Severity::Error),
        count(Severity::Warning),
        count(Severity::Note),
    );
    let _ = writeln!(out, "{errors} errors, {warnings} warnings, {notes} notes");
    if let Some(first) = findings.first() {
        let _ = writeln!(out, "ajp lint --explain {} tells more", first.rule.code);
    }
    out
}

/// Everything about one rule.
pub(in crate::lint) fn rule(rule: &Rule) -> String {
    let or_nothing = |log: &'static str| if log.is_empty() { "nothing" } else { log };
    format!(
        "{} {} ({})\n\n{}.\n\nwhy:            {}\nusers see:      {}\nweb server log: {}\ncontainer log:  {}\ninstead:        {}\naffects:        {}\nsource:         {}\n",
        rule.code,
        rule.name,
        rule.severity.name(),
        rule.title,
        rule.reason,
        rule.sees,
        or_nothing(rule.front_log),
        or_nothing(rule.container_log),
        rule.advice,
        rule.affects,
        rule.source,
    )
}

/// All rules, a line for each.
pub(in crate::lint) fn list(rules: &[&Rule]) -> String {
    let mut out = String::new();
    for rule in rules {
        let _ = writeln!(
            out,
            "{} {:<7} {}",
            rule.code,
            rule.severity.name(),
            rule.title
        );
    }
    out
}
