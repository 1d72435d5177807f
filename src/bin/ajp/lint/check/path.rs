//! AJP7xx: which request goes where.

use crate::config::workers::Aside;
use crate::lint::farm::{Front, Map, Target};
use crate::lint::rule::{Findings, Rule, Severity};
use std::collections::BTreeMap;

pub(super) const RULES: &[&Rule] = &[
    &NEVER_REACHED,
    &SLASHES,
    &NO_SUCH_WORKER,
    &EMPTY_BALANCER,
    &NO_SUCH_MEMBER,
    &BASE_NOT_MOUNTED,
    &MANAGER_OPEN,
    &FORWARD_PROXY,
    &UNKNOWN_PROPERTY,
    &OLD_PROPERTY,
    &WRONG_CASE,
    &SHARED_WORKER,
    &NO_MODULE,
    &NO_WEBSOCKET,
    &OLD_PROTOCOL,
];

const NEVER_REACHED: Rule = Rule {
    code: "AJP701",
    name: "never-reached",
    severity: Severity::Error,
    title: "an earlier line takes all requests of this one",
    reason: "httpd takes the first ProxyPass that fits, not the longest; exclusions and longer paths must come first",
    sees: "the excluded path is open, or another container answers",
    front_log: "",
    container_log: "",
    advice: "move this line before the other one",
    affects: "all httpd",
    source: "httpd manual, mod_proxy: Ordering ProxyPass Directives; seen with httpd 2.4.71",
};

const SLASHES: Rule = Rule {
    code: "AJP702",
    name: "slash-on-one-side",
    severity: Severity::Error,
    title: "the path ends in a slash on one side and not on the other",
    reason: "what follows the path is put behind the URL as it is: /app/ to ajp://host/app makes /apphello of /app/hello",
    sees: "404 Not Found on every page",
    front_log: "",
    container_log: "",
    advice: "write a slash at the end of both, or of none",
    affects: "all httpd",
    source: "httpd manual, mod_proxy: ProxyPass; seen with httpd 2.4.71 and Tomcat 10.1.60",
};

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

const BASE_NOT_MOUNTED: Rule = Rule {
    code: "AJP706",
    name: "base-not-mounted",
    severity: Severity::Note,
    title: "the path itself is not mounted, only what is below it",
    reason: "/app/* does not stand for /app: httpd looks for a file of that name",
    sees: "404 Not Found for http://site/app without a slash",
    front_log: "AH00128: File does not exist",
    container_log: "",
    advice: "write /app|/* instead of /app/*",
    affects: "all mod_jk",
    source: "mod_jk reference, uriworkermap; seen with mod_jk 1.2.48",
};

const MANAGER_OPEN: Rule = Rule {
    code: "AJP707",
    name: "manager-open",
    severity: Severity::Error,
    title: "everybody can stop members",
    reason: "the balancer manager and the status worker change the balancer; nothing here asks who wants to",
    sees: "nothing, until somebody finds the page",
    front_log: "",
    container_log: "",
    advice: "put Require ip or Require user into its <Location>",
    affects: "all httpd and mod_jk",
    source: "httpd manual, mod_proxy_balancer; CVE-2012-4558; CVE-2007-6420",
};

const FORWARD_PROXY: Rule = Rule {
    code: "AJP708",
    name: "forward-proxy",
    severity: Severity::Error,
    title: "httpd is a proxy to anywhere, for anybody",
    reason: "ProxyRequests belongs to forward proxies; ProxyPass needs none of it",
    sees: "the server is slow, and others send mail and attacks through it",
    front_log: "",
    container_log: "",
    advice: "write ProxyRequests Off",
    affects: "all httpd",
    source: "httpd manual, mod_proxy: ProxyRequests",
};

const UNKNOWN_PROPERTY: Rule = Rule {
    code: "AJP709",
    name: "unknown-property",
    severity: Severity::Error,
    title: "mod_jk does not know the property",
    reason: "one property that is unknown makes mod_jk refuse the whole file",
    sees: "httpd does not start",
    front_log: "Error in reading worker properties",
    container_log: "",
    advice: "correct the name, or take the line out",
    affects: "mod_jk 1.2.19 and later",
    source: "mod_jk reference, workers; seen with mod_jk 1.2.48",
};

const OLD_PROPERTY: Rule = Rule {
    code: "AJP710",
    name: "old-property",
    severity: Severity::Note,
    title: "the property has another name today",
    reason: "old names work still, with a line in the log",
    sees: "nothing",
    front_log: "deprecated",
    container_log: "",
    advice: "write today's name",
    affects: "mod_jk 1.2.16 and later",
    source: "mod_jk reference, workers: deprecated directives",
};

const WRONG_CASE: Rule = Rule {
    code: "AJP711",
    name: "wrong-case",
    severity: Severity::Error,
    title: "an attribute of a connector is written in other letters than Tomcat knows",
    reason: "capital letters count in XML; an attribute that is not known is left out with a warning",
    sees: "as if it were not there",
    front_log: "",
    container_log: "failed to set property",
    advice: "write it as Tomcat does",
    affects: "all Tomcat",
    source: "Tomcat, config/ajp.html; seen with Tomcat 10.1.60",
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

const NO_WEBSOCKET: Rule = Rule {
    code: "AJP714",
    name: "no-websocket",
    severity: Severity::Warning,
    title: "WebSockets do not go over AJP",
    reason: "the protocol has no Upgrade; an upgrade request is answered as if it were a plain one",
    sees: "chat and live pages fall back to polling, or fail with 400",
    front_log: "",
    container_log: "",
    advice: "send that path to the HTTP connector: ProxyPass /ws http://host:8080/ws upgrade=websocket, before the line for AJP",
    affects: "all",
    source: "httpd manual, mod_proxy: upgrade; seen with httpd 2.4.71 and Tomcat 10.1.60",
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

/// Properties of workers that mod_jk 1.2.48 to 1.2.50 know.
const KNOWN: [&str; 66] = [
    "activation",
    "ajp13_max_packet_size",
    "balance_workers",
    "balanced_workers",
    "bad",
    "busy_limit",
    "cache_timeout",
    "cachesize",
    "cmd_line",
    "connect_timeout",
    "connection_acquire_timeout",
    "connection_ping_interval",
    "connection_pool_minsize",
    "connection_pool_size",
    "connection_pool_timeout",
    "css",
    "debug",
    "degraded",
    "disabled",
    "distance",
    "domain",
    "error_escalation_time",
    "fail_on_status",
    "good",
    "host",
    "jvm_route",
    "lb_retries",
    "lbfactor",
    "local_worker",
    "local_worker_only",
    "lock",
    "max_packet_size",
    "max_reply_timeouts",
    "method",
    "mount",
    "ms",
    "mx",
    "ns",
    "ping_mode",
    "ping_timeout",
    "port",
    "prefer_ipv6",
    "prefix",
    "prepost_timeout",
    "read_only",
    "recover_time",
    "recover_wait_time",
    "recovery_options",
    "recycle_timeout",
    "redirect",
    "reference",
    "reply_timeout",
    "retries",
    "retry_interval",
    "route",
    "secret",
    "secretkey",
    "session_cookie",
    "session_cookie_path",
    "session_path",
    "set_session_cookie",
    "socket_buffer",
    "socket_connect_timeout",
    "socket_keepalive",
    "socket_timeout",
    "source",
];
const KNOWN_TOO: [&str; 18] = [
    "status",
    "sticky_session",
    "sticky_session_force",
    "stopped",
    "type",
    "user",
    "user_case_insensitive",
    "xmlns",
    "doctype",
    "bridge",
    "classpath",
    "class_path",
    "stderr",
    "stdout",
    "sysprops",
    "min_processes",
    "max_processes",
    "native_lib",
];

/// Attributes of AJP connectors, as Tomcat writes them.
const ATTRIBUTES: [&str; 26] = [
    "acceptCount",
    "address",
    "ajpFlush",
    "allowTrace",
    "allowedRequestAttributesPattern",
    "asyncTimeout",
    "connectionTimeout",
    "enableLookups",
    "executor",
    "keepAliveTimeout",
    "maxConnections",
    "maxHeaderCount",
    "maxParameterCount",
    "maxPostSize",
    "maxThreads",
    "minSpareThreads",
    "packetSize",
    "port",
    "protocol",
    "proxyName",
    "proxyPort",
    "redirectPort",
    "scheme",
    "secret",
    "secretRequired",
    "tomcatAuthentication",
];

pub(super) fn check(findings: &mut Findings<'_>) {
    let farm = findings.farm;
    for (at, map) in farm.maps.iter().enumerate() {
        covered(findings, at, map);
        slashes(findings, map);
        target(findings, map);
    }
    shared(findings);
    modules(findings);
    workers(findings);
    for (_, connector) in farm.ajp_connectors() {
        for (name, value) in &connector.settings {
            let known = ATTRIBUTES
                .iter()
                .find(|known| known.eq_ignore_ascii_case(name));
            if let Some(known) = known.filter(|known| *known != name) {
                findings
                    .add(&WRONG_CASE, &value.place, format!("{name} is not {known}"))
                    .write(format!("write {known}"));
            }
        }
    }
    if let Some(tree) = &farm.httpd {
        for item in tree.named("proxyrequests") {
            if item.arg(0).eq_ignore_ascii_case("on") {
                findings.add(&FORWARD_PROXY, &item.place, "ProxyRequests On");
            }
        }
        for item in tree.named("sethandler") {
            if item.arg(0) == "balancer-manager" {
                let section = item.open("location").map(|section| section.place.clone());
                manager(
                    findings,
                    section.as_ref(),
                    &item.place,
                    "the balancer manager",
                );
            }
        }
    }
    for link in &farm.links {
        if let Some(set) = link
            .setting("upgrade")
            .filter(|_| link.front == Front::ProxyAjp)
        {
            findings.at(
                &NO_WEBSOCKET,
                set,
                format!("upgrade={} of {} means nothing", set.value, link.name),
            );
        }
        if let Some(kind) = link.setting("type").filter(|kind| kind.value == "ajp14") {
            findings.at(
                &OLD_PROTOCOL,
                kind,
                format!("worker {} is of type {}", link.name, kind.value),
            );
        }
    }
}

/// Whether a path is another one or below it, as httpd looks at it.
fn is_below(path: &str, above: &str) -> bool {
    path.strip_prefix(above)
        .is_some_and(|rest| rest.is_empty() || above.ends_with('/') || rest.starts_with('/'))
}

fn covered(findings: &mut Findings<'_>, at: usize, map: &Map) {
    if map.front != Front::ProxyAjp || !map.is_in_order {
        return;
    }
    let earlier = findings.farm.maps.iter().take(at).filter(|other| {
        other.front == Front::ProxyAjp && other.is_in_order && other.site == map.site
    });
    let mut earlier =
        earlier.filter(|other| is_below(&map.path, &other.path) && other.target != map.target);
    if let Some(other) = earlier.next() {
        let what = if map.target == Target::Excluded {
            "is not excluded"
        } else {
            "does not lead here"
        };
        let text = format!("{} {what}: {} takes it first", map.path, other.path);
        findings
            .add(&NEVER_REACHED, &map.place, text)
            .see(&other.place, "this line takes it");
    }
}

fn slashes(findings: &mut Findings<'_>, map: &Map) {
    let leads = matches!(map.target, Target::Link(_) | Target::Named(_));
    if map.front != Front::ProxyAjp
        || !leads
        || map.inner.is_empty() && map.path != "/" && !map.path.ends_with('/')
    {
        return;
    }
    let ends = |path: &str| path.ends_with('/');
    // Without a path the URL gets what follows: a slash if the path had none.
    let is_odd = ends(&map.path) != ends(&map.inner);
    // `ProxyPass / ajp://host` is common, and httpd makes it fit.
    if is_odd && !(map.path == "/" && map.inner.is_empty()) {
        let text = format!(
            "{} leads to {}",
            map.path,
            if map.inner.is_empty() {
                "a URL without a path"
            } else {
                &map.inner
            }
        );
        let inner = map.inner.trim_end_matches('/');
        let slash = if ends(&map.path) { "/" } else { "" };
        let advice = format!("write {} and {inner}{slash}", map.path);
        findings.add(&SLASHES, &map.place, text).write(advice);
    }
}

fn target(findings: &mut Findings<'_>, map: &Map) {
    let farm = findings.farm;
    let Target::Named(name) = &map.target else {
        return;
    };
    match map.front {
        Front::ProxyAjp => {
            let mut known = farm
                .groups
                .iter()
                .filter(|group| group.front == Front::ProxyAjp && group.name == *name);
            let has_http = farm.httpd.as_ref().is_some_and(|tree| {
                tree.named("balancermember").any(|item| {
                    let of = item
                        .open("proxy")
                        .map(|section| section.args.join(" ").to_ascii_lowercase());
                    of.or_else(|| Some(item.arg(0).to_ascii_lowercase()))
                        .is_some_and(|of| {
                            of.strip_prefix("balancer://")
                                .is_some_and(|of| of.split('/').next() == Some(name))
                        })
                })
            });
            if known.all(|group| group.members.is_empty()) && !has_http {
                findings.add(
                    &EMPTY_BALANCER,
                    &map.place,
                    format!(
                        "{} leads to balancer://{name}, which has no members",
                        map.path
                    ),
                );
            }
        }
        Front::ModJk if !farm.workers.is_empty() => {
            let listed = farm
                .workers
                .iter()
                .any(|workers| workers.list.contains(name));
            if !listed && name != "*" {
                let text = format!(
                    "{} is mounted on {name}, which worker.list does not name",
                    map.path
                );
                let place = farm
                    .workers
                    .iter()
                    .find_map(|workers| workers.list_place.clone());
                let finding = findings.add(&NO_SUCH_WORKER, &map.place, text);
                if let Some(place) = place {
                    finding.see(&place, "worker.list");
                }
            }
            let base = map
                .path
                .strip_suffix("/*")
                .filter(|base| !base.is_empty() && !base.contains(['*', '|']));
            let is_mounted = |base: &str| {
                farm.maps.iter().any(|other| {
                    other.front == Front::ModJk && matches!(other.path.as_str(), "/*" | "/")
                        || other.path == base
                        || other.path == format!("{base}*")
                        || other.path == format!("{base}|/*")
                })
            };
            // `/app|/*` comes as both here.
            let is_both = findings
                .farm
                .maps
                .iter()
                .any(|other| other.place == map.place && Some(&*other.path) == base);
            if let Some(base) = base
                .filter(|base| !is_mounted(base) && !is_both && !is_written_short(findings, map))
            {
                findings
                    .add(
                        &BASE_NOT_MOUNTED,
                        &map.place,
                        format!("{base} itself is not mounted"),
                    )
                    .write(format!("write {base}|/* instead of {base}/*"));
            }
            let is_status = farm.workers.iter().any(|workers| {
                workers
                    .all
                    .get(name)
                    .and_then(|worker| worker.get("type"))
                    .is_some_and(|kind| kind.value == "status")
                    && workers
                        .all
                        .get(name)
                        .and_then(|worker| worker.get("read_only"))
                        .is_none_or(|only| !crate::config::workers::is_on(&only.value))
            });
            if is_status {
                let section = farm.httpd.as_ref().and_then(|tree| {
                    let item = tree.named("jkmount").find(|item| item.place == map.place)?;
                    item.open("location").map(|section| section.place.clone())
                });
                manager(findings, section.as_ref(), &map.place, "the status worker");
            }
        }
        _ => {}
    }
}

/// Whether the rule was `/app|/*`, which the reader has joined.
fn is_written_short(findings: &Findings<'_>, map: &Map) -> bool {
    let text = std::fs::read_to_string(&*map.place.file).unwrap_or_default();
    let line = text
        .lines()
        .nth(map.place.line.saturating_sub(1))
        .unwrap_or_default();
    let _ = findings;
    line.contains('|')
}

fn manager(
    findings: &mut Findings<'_>,
    section: Option<&crate::config::Place>,
    place: &crate::config::Place,
    what: &str,
) {
    let Some(tree) = &findings.farm.httpd else {
        return;
    };
    let guards = ["require", "allow", "deny", "authtype", "satisfy"];
    let is_guarded = tree.items.iter().any(|item| {
        let asks = guards.contains(&&*item.name)
            && !(item.name == "require" && item.args.join(" ").eq_ignore_ascii_case("all granted"));
        asks && item.sections.iter().any(|open| {
            Some(&open.place) == section
                || open.name == "location" && section.is_none() && open.args.join(" ") != "/"
        })
    });
    if !is_guarded {
        findings.add(
            &MANAGER_OPEN,
            place,
            format!("{what} asks nobody who he is"),
        );
    }
}

/// Lines whose worker is another line's.
fn shared(findings: &mut Findings<'_>) {
    let farm = findings.farm;
    let mut workers: Vec<&crate::lint::farm::Link> = Vec::new();
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

fn modules(findings: &mut Findings<'_>) {
    let farm = findings.farm;
    let Some(tree) = farm.httpd.as_ref().filter(|tree| !tree.modules.is_empty()) else {
        return;
    };
    let first = |front| {
        farm.links
            .iter()
            .find(|link| link.front == front && farm.httpd.is_some())
    };
    let mut need = |module: &str, place: &crate::config::Place| {
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

fn workers(findings: &mut Findings<'_>) {
    let farm = findings.farm;
    for workers in &farm.workers {
        for aside in &workers.asides {
            if let Aside::Global(place, name) = aside {
                if name != "maintain" && name != "list" {
                    findings.add(
                        &UNKNOWN_PROPERTY,
                        place,
                        format!("worker.{name} is no property, and no worker"),
                    );
                }
            }
        }
        for (name, worker) in &workers.all {
            for property in worker.values() {
                let written = &*property.written;
                if !KNOWN.contains(&written) && !KNOWN_TOO.contains(&written) {
                    findings.add(
                        &UNKNOWN_PROPERTY,
                        &property.place,
                        format!("worker.{name}.{written}"),
                    );
                }
                let modern = match written {
                    "disabled" | "stopped" => "activation",
                    other => crate::config::workers::modern(other),
                };
                if modern != written {
                    findings
                        .add(
                            &OLD_PROPERTY,
                            &property.place,
                            format!("worker.{name}.{written} is {modern} today"),
                        )
                        .write(format!("write worker.{name}.{modern}"));
                }
                if written == "type"
                    && !matches!(&*property.value, "ajp13" | "ajp14" | "lb" | "status")
                {
                    findings.add(
                        &OLD_PROTOCOL,
                        &property.place,
                        format!("worker {name} is of type {}", property.value),
                    );
                }
            }
            for member in worker
                .get("balance_workers")
                .into_iter()
                .flat_map(|list| crate::config::workers::names(&list.value))
            {
                if !workers.all.contains_key(&member) {
                    let place = worker.get("balance_workers").map(|list| &list.place);
                    if let Some(place) = place {
                        findings.add(
                            &NO_SUCH_MEMBER,
                            place,
                            format!("nothing is said of worker {member}"),
                        );
                    }
                }
            }
        }
    }
}
