//! AJP0xx: files that cannot be read as a whole.

use crate::lint::rule::{Findings, Rule, Severity};

pub(super) const RULES: &[&Rule] = &[&BROKEN, &MISSING, &WRONG_SETTING, &UNCHECKED, &REFUSED];

const BROKEN: Rule = Rule {
    code: "AJP001",
    name: "unreadable-file",
    severity: Severity::Error,
    title: "the file cannot be understood",
    reason: "a file that is no XML keeps its container from starting, and nothing in it could be checked",
    sees: "the container does not start",
    front_log: "",
    container_log: "Failed to parse server.xml",
    advice: "correct the line",
    affects: "all",
    source: "the parser's message",
};

const MISSING: Rule = Rule {
    code: "AJP002",
    name: "missing-file",
    severity: Severity::Warning,
    title: "a file that is named does not exist",
    reason: "Include, JkWorkersFile and JkMountFile need the file: httpd does not start without it, and what is in it could not be checked here",
    sees: "httpd does not start",
    front_log: "Could not open configuration file",
    container_log: "",
    advice: "give the file to ajp lint as well, or correct its path; relative paths begin at ServerRoot",
    affects: "all httpd and mod_jk",
    source: "httpd manual, core: Include; mod_jk reference, apache: JkWorkersFile",
};

const WRONG_SETTING: Rule = Rule {
    code: "AJP003",
    name: "wrong-setting",
    severity: Severity::Error,
    title: "the gateway's file is no TOML, or has a key or a value that it does not take",
    reason: "a key that is not known may be one that is written wrongly, so the gateway does not start with it",
    sees: "the gateway does not start, or goes on with what it had before the reload",
    front_log: "",
    container_log: "",
    advice: "correct the key; ajp gateway --config FILE --check says the same, and looks at secrets and certificates too",
    affects: "ajp gateway",
    source: "its own reader of the configuration",
};

const UNCHECKED: Rule = Rule {
    code: "AJP004",
    name: "unchecked-file",
    severity: Severity::Warning,
    title: "the file could not be looked at",
    reason: "it may be right, but nothing in it was checked: it is a file of another kind, has lost its contents, or is made of several files",
    sees: "nothing by that alone",
    front_log: "",
    container_log: "",
    advice: "name the file that was meant; of a container that includes files, the whole as it reads it: xmllint --noent server.xml",
    affects: "all",
    source: "ajp lint knows files of httpd, mod_jk, Tomcat, WildFly and ajp gateway",
};

const REFUSED: Rule = Rule {
    code: "AJP005",
    name: "refused-line",
    severity: Severity::Error,
    title: "the web server does not start with this line",
    reason: "a section that is not closed or never opened, a byte order mark, a regular expression whose brackets do not match, or a worker that leads to itself cannot stand as it is",
    sees: "the web server does not start, or goes on with what it had before the reload",
    front_log: "Syntax error on line",
    container_log: "",
    advice: "correct the line; apachectl configtest says the same, but for workers of mod_jk",
    affects: "all httpd and mod_jk",
    source: "httpd manual, Configuration Sections; seen with httpd 2.4.71 and mod_jk 1.2.48",
};

pub(super) fn check(findings: &mut Findings<'_>) {
    let farm = findings.farm;
    for (place, why) in &farm.broken {
        findings.add(&BROKEN, place, why.clone());
    }
    for (place, why) in &farm.refused {
        findings.add(&REFUSED, place, why.clone());
    }
    for (place, why) in &farm.unchecked {
        findings.add(&UNCHECKED, place, why.clone());
    }
    for (place, why) in &farm.wrong_settings {
        findings.add(&WRONG_SETTING, place, why.clone());
    }
    for (place, name) in &farm.missing {
        findings.add(&MISSING, place, format!("{name} is not there"));
    }
}
