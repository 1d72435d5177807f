//! AJP713: modules that httpd has not loaded.

use crate::config::Place;
use crate::lint::farm::Front;
use crate::lint::rule::{Findings, Rule, Severity};

pub(super) const RULES: &[&Rule] = &[&NO_MODULE];

const NO_MODULE: Rule = Rule {
    code: "AJP713",
    name: "module-not-loaded",
    severity: Severity::Error,
    title: "a module that this needs is not loaded",
    reason: "ajp:// needs mod_proxy_ajp, balancer:// needs mod_proxy_balancer with a slotmem provider and a method",
    sees: "500 Internal Server Error, or httpd does not start",
    front_log: "No protocol handler was valid for the URL",
    container_log: "",
    advice: "a2enmod proxy_ajp (and proxy_balancer lbmethod_byrequests), or the LoadModule lines for them",
    affects: "all httpd",
    source: "httpd manual, mod_proxy; seen with httpd 2.4.71",
};

pub(super) fn check(findings: &mut Findings<'_>) {
    let farm = findings.farm;
    let Some(tree) = farm.httpd.as_ref().filter(|tree| !tree.modules.is_empty()) else {
        return;
    };
    let first = |front| {
        farm.links
            .iter()
            .find(|link| link.front == front && farm.httpd.is_some())
    };
    let mut need = |module: &str, place: &Place| {
        if !tree.modules.contains(module) {
            findings
                .add(&NO_MODULE, place, format!("mod_{module} is not loaded"))
                .write(format!(
                    "a2enmod {module}, or LoadModule {module}_module modules/mod_{module}.so"
                ));
        }
    };
    if let Some(link) = first(Front::ProxyAjp) {
        need("proxy", &link.place);
        need("proxy_ajp", &link.place);
    }
    for group in farm
        .groups
        .iter()
        .filter(|group| group.front == Front::ProxyAjp)
    {
        need("proxy_balancer", &group.place);
        let method = group
            .settings
            .get("lbmethod")
            .map_or("byrequests", |set| &*set.value);
        need(&format!("lbmethod_{method}"), &group.place);
    }
    for link in &farm.links {
        if let Some(set) = link
            .setting("hcmethod")
            .filter(|_| link.front == Front::ProxyAjp)
        {
            need("proxy_hcheck", &set.place);
        }
    }
}
