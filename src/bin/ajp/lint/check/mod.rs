//! The rules by subject. Each module has its rules beside the checks that find them.
//!
//! - `files`: what cannot be read. AJP0xx.
//! - `trust`: secrets, and who can connect. AJP1xx.
//! - `reach`: ports and addresses. AJP15x.
//! - `size`: packets and heads. AJP2xx.
//! - `load`: connections and threads. AJP3xx.
//! - `time`: limits that do not fit each other. AJP4xx.
//! - `session`: routes and cookies. AJP5xx.
//! - `identity`, `text`: attributes, users; paths and queries. AJP6xx.
//! - `path`, `worker`, `setting_names`, `modules`: which request goes where, and by whom. AJP7xx.
//! - `health`: members, checks, failover. AJP8xx.

mod files;
mod health;
mod identity;
mod load;
mod modules;
mod path;
mod reach;
mod session;
mod setting_names;
mod size;
mod text;
mod time;
mod trust;
mod worker;

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
        text::RULES,
        path::RULES,
        worker::RULES,
        setting_names::RULES,
        modules::RULES,
        health::RULES,
    ];
    let mut rules = subjects.concat();
    rules.sort_by_key(|rule| rule.code);
    rules
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
    text::check(&mut findings);
    path::check(&mut findings);
    worker::check(&mut findings);
    setting_names::check(&mut findings);
    modules::check(&mut findings);
    health::check(&mut findings);
    let mut list = findings.list;
    list.sort_by(|one, other| {
        let key = |finding: &Finding| (finding.place.clone(), finding.rule.code);
        key(one).cmp(&key(other))
    });
    list
}
