//! One JSON object.

use crate::lint::rule::Finding;
use serde_json::{Value, json};

pub(super) fn all(findings: &[Finding]) -> String {
    let findings: Vec<Value> = findings.iter().map(finding).collect();
    let text = json!({ "findings": findings });
    format!("{text:#}\n")
}

fn finding(finding: &Finding) -> Value {
    let rule = finding.rule;
    let related: Vec<Value> = finding
        .related
        .iter()
        .map(|(place, what)| json!({ "file": &*place.file, "line": place.line, "what": what }))
        .collect();
    json!({
        "code": rule.code,
        "name": rule.name,
        "severity": rule.severity,
        "file": &*finding.place.file,
        "line": finding.place.line,
        "message": finding.message,
        "title": rule.title,
        "users_see": rule.sees,
        "web_server_log": rule.front_log,
        "container_log": rule.container_log,
        "advice": finding.advice(),
        "related": related,
    })
}
