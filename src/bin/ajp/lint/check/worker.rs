//! AJP703 to AJP705, AJP712, AJP715: workers and balancers that are not what their names promise.

use crate::lint::farm::{Farm, Front, Link, Map, Target};
use crate::lint::rule::{Findings, Rule, Severity};
use std::collections::BTreeMap;

pub(super) const RULES: &[&Rule] = &[
    &NO_SUCH_WORKER,
    &EMPTY_BALANCER,
    &NO_SUCH_MEMBER,
    &SHARED_WORKER,
    &OLD_PROTOCOL,
];

const NO_SUCH_WORKER: Rule = Rule {
    code: "AJP703",
    name: "no-such-worker",
    severity: Severity::Error,
    title: "a path is mounted on a worker that worker.list does not name",
    reason: "only the workers of worker.list, not the members of balancers, can be mounted",
    sees: "500 Internal Server Error",
    front_log: "Could not find worker with name",
    container_log: "",
    advice: "add the worker to worker.list, or correct its name",
    affects: "all mod_jk",
    source: "mod_jk reference, workers: worker.list; seen with mod_jk 1.2.48",
};

const EMPTY_BALANCER: Rule = Rule {
    code: "AJP704",
    name: "no-members",
    severity: Severity::Error,
    title: "a balancer has no members",
    reason: "the name in balancer:// must be that of a <Proxy> section with BalancerMember lines",
    sees: "503 Service Unavailable",
    front_log: "No workers in balancer",
    container_log: "",
    advice: "add BalancerMember lines, or correct the name",
    affects: "all httpd and mod_jk",
    source: "httpd manual, mod_proxy: BalancerMember; seen with httpd 2.4.71",
};

const NO_SUCH_MEMBER: Rule = Rule {
    code: "AJP705",
    name: "member-not-described",
    severity: Severity::Error,
    title: "balance_workers names a worker of which nothing is said",
    reason: "mod_jk then takes localhost:8009 for it, which is another member or nobody",
    sees: "a part of the requests goes to the wrong container or fails",
    front_log: "",
    container_log: "",
    advice: "describe the worker (host, port), or correct its name",
    affects: "all mod_jk",
    source: "mod_jk reference, workers: balance_workers, host, port",
};

const SHARED_WORKER: Rule = Rule {
    code: "AJP712",
    name: "parameters-ignored",
    severity: Severity::Error,
    title: "the parameters of this line are left out, since another line has made the worker",
    reason: "httpd has one worker for URLs that begin alike; the first line's parameters hold for all of them",
    sees: "as if secret, timeout or max of this line were not written",
    front_log: "because of worker sharing",
    container_log: "",
    advice: "write the parameters into the first of the lines, or into <Proxy URL> with ProxySet",
    affects: "all httpd 2.4",
    source: "httpd manual, mod_proxy: Workers; seen with httpd 2.4.71",
};

const OLD_PROTOCOL: Rule = Rule {
    code: "AJP715",
    name: "other-protocol",
    severity: Severity::Error,
    title: "the worker speaks a protocol that no container of today does",
    reason: "ajp12 is gone, ajp14 never left the experimental state and adds nothing",
    sees: "503 Service Unavailable",
    front_log: "",
    container_log: "",
    advice: "write type=ajp13",
    affects: "all mod_jk",
    source: "mod_jk reference, workers: type",
};

pub(super) fn check(findings: &mut Findings<'_>) {
    let farm = findings.farm;
    for map in &farm.maps {
        let Target::Named(name) = &map.target else {
            continue;
        };
        match map.front {
            Front::ProxyAjp => balancer(findings, map, name),
            Front::ModJk => mounted(findings, map, name),
            Front::Gateway => {}
        }
    }
    shared(findings);
    for workers in &farm.workers {
        for (name, worker) in &workers.all {
            if let Some(kind) = worker.get("type") {
                if !matches!(&*kind.value, "ajp13" | "lb" | "status") {
                    let text = format!("worker {name} is of type {}", kind.value);
                    findings.add(&OLD_PROTOCOL, &kind.place, text);
                }
            }
            let Some(list) = worker.get("balance_workers") else {
                continue;
            };
            for member in crate::config::workers::names(&list.value) {
                if !workers.all.contains_key(&member) {
                    let text = format!("nothing is said of worker {member}");
                    findings.add(&NO_SUCH_MEMBER, &list.place, text);
                }
            }
        }
    }
}

/// A balancer of httpd that a path leads to.
fn balancer(findings: &mut Findings<'_>, map: &Map, name: &str) {
    let farm = findings.farm;
    let mut known = farm
        .groups
        .iter()
        .filter(|group| group.front == Front::ProxyAjp && group.name == name);
    if known.all(|group| group.members.is_empty()) && !has_other_members(farm, name) {
        let text = format!(
            "{} leads to balancer://{name}, which has no members",
            map.path
        );
        findings.add(&EMPTY_BALANCER, &map.place, text);
    }
}

/// Whether a balancer of httpd has members of another protocol than AJP.
fn has_other_members(farm: &Farm, name: &str) -> bool {
    let is_of = |balancer: &str| {
        let balancer = balancer.to_ascii_lowercase();
        balancer
            .strip_prefix("balancer://")
            .is_some_and(|rest| rest.split('/').next() == Some(name))
    };
    farm.httpd.as_ref().is_some_and(|tree| {
        tree.named("balancermember")
            .any(|item| match item.open("proxy") {
                Some(section) => is_of(&section.args.join(" ")),
                None => is_of(item.arg(0)),
            })
    })
}

/// A worker of mod_jk that a path is mounted on.
fn mounted(findings: &mut Findings<'_>, map: &Map, name: &str) {
    let workers = &findings.farm.workers;
    let is_listed = workers
        .iter()
        .any(|workers| workers.list.iter().any(|listed| listed == name));
    if workers.is_empty() || name == "*" || is_listed {
        return;
    }
    let text = format!(
        "{} is mounted on {name}, which worker.list does not name",
        map.path
    );
    let list = workers
        .iter()
        .find_map(|workers| workers.list_place.as_ref());
    let finding = findings.add(&NO_SUCH_WORKER, &map.place, text);
    if let Some(list) = list {
        finding.see(list, "worker.list");
    }
}

/// Lines whose worker is another line's.
fn shared(findings: &mut Findings<'_>) {
    let farm = findings.farm;
    let mut workers: Vec<&Link> = Vec::new();
    let is_member = |index: usize| {
        farm.groups
            .iter()
            .any(|group| group.members.contains(&index))
    };
    for (index, link) in farm.links.iter().enumerate() {
        if link.front != Front::ProxyAjp || is_member(index) {
            continue;
        }
        let of_proxy_pass = farm
            .maps
            .iter()
            .any(|map| map.target == Target::Link(index));
        if !of_proxy_pass {
            continue;
        }
        let url = link.name.trim_end_matches('/');
        // Workers of the server are those of its sites too; sites do not share with each other.
        let same = workers.iter().find(|known| {
            let known_url = known.name.trim_end_matches('/');
            (known.site == link.site || known.site.is_none()) && url.starts_with(known_url)
        });
        match same {
            Some(known) => {
                let differing: BTreeMap<_, _> = link
                    .settings
                    .iter()
                    .filter(|(name, set)| {
                        set.place == link.place
                            && known
                                .setting(name)
                                .is_none_or(|other| other.value != set.value)
                    })
                    .collect();
                if !differing.is_empty() {
                    let names: Vec<_> = differing.keys().map(|name| name.as_str()).collect();
                    let text = format!("{} of {}: no effect", names.join(", "), link.name);
                    findings
                        .add(&SHARED_WORKER, &link.place, text)
                        .see(&known.place, "this line made the worker");
                }
            }
            None => workers.push(link),
        }
    }
}
