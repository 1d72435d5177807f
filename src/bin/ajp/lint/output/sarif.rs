//! SARIF 2.1.0: the rules that were broken, and where.

use crate::config::Place;
use crate::lint::rule::{Finding, Rule};
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub(super) fn all(findings: &[Finding]) -> String {
    let rules: BTreeMap<&str, &Rule> = findings
        .iter()
        .map(|finding| (finding.rule.code, finding.rule))
        .collect();
    let index = |code: &str| rules.keys().position(|known| *known == code);
    let descriptions: Vec<Value> = rules.values().map(|rule| description(rule)).collect();
    let results: Vec<Value> = findings
        .iter()
        .map(|finding| {
            let related: Vec<Value> = finding
                .related
                .iter()
                .map(|(place, what)| {
                    let mut location = location(place);
                    if let Some(object) = location.as_object_mut() {
                        object.insert("message".to_owned(), json!({ "text": what }));
                    }
                    location
                })
                .collect();
            json!({
                "ruleId": finding.rule.code,
                "ruleIndex": index(finding.rule.code),
                "level": finding.rule.severity.name(),
                "message": { "text": format!("{}. Instead: {}", finding.message, finding.advice()) },
                "locations": [location(&finding.place)],
                "relatedLocations": related,
            })
        })
        .collect();
    let log = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "ajp lint",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": descriptions,
            }},
            "results": results,
        }],
    });
    format!("{log:#}\n")
}

fn description(rule: &Rule) -> Value {
    json!({
        "id": rule.code,
        "name": rule.name,
        "shortDescription": { "text": rule.title },
        "fullDescription": { "text": format!("{}. Users see: {}.", rule.reason, rule.sees) },
        "help": { "text": rule.advice },
        "defaultConfiguration": { "level": rule.severity.name() },
    })
}

fn location(place: &Place) -> Value {
    json!({
        "physicalLocation": {
            "artifactLocation": { "uri": &*place.file },
            "region": { "startLine": place.line },
        }
    })
}
