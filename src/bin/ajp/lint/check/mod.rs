//! The rules by subject. Each module has its rules beside the checks that find them.
//!
//! - `files`: what cannot be read. AJP0xx.
//! - `trust`: secrets, and who can connect. AJP1xx.
//! - `reach`: ports and addresses. AJP15x.
//! - `size`: packets and heads. AJP2xx.
//! - `load`: connections and threads. AJP3xx.
//! - `time`: limits that do not fit each other. AJP4xx.
//! - `session`: routes and cookies. AJP5xx.
//! - `identity`: attributes, users, text. AJP6xx.
//! - `path`: which request goes where. AJP7xx.
//! - `health`: members, checks, failover. AJP8xx.

mod files;
mod health;
mod identity;
mod load;
mod path;
mod reach;
mod session;
mod size;
mod time;
mod trust;

use super::farm::Farm;
use super::rule::{Finding, Findings, Rule};

/// All rules in the order of their codes.
pub(super) fn rules() -> Vec<&'static Rule> {
    let subjects = [
        files::RULES,
        trust::RULES,
        reach::RULES,
        size::RULES,
        load::RULES,
        time::RULES,
        session::RULES,
        identity::RULES,
        path::RULES,
        health::RULES,
    ];
    subjects.concat()
}

/// Everything that is wrong, by file and line.
pub(super) fn check(farm: &Farm) -> Vec<Finding> {
    let mut findings = Findings {
        farm,
        list: Vec::new(),
    };
    files::check(&mut findings);
    trust::check(&mut findings);
    reach::check(&mut findings);
    size::check(&mut findings);
    load::check(&mut findings);
    time::check(&mut findings);
    session::check(&mut findings);
    identity::check(&mut findings);
    path::check(&mut findings);
    health::check(&mut findings);
    let mut list = findings.list;
    list.sort_by(|one, other| {
        let key = |finding: &Finding| (finding.place.clone(), finding.rule.code);
        key(one).cmp(&key(other))
    });
    list
}
