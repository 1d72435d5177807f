//! AJP5xx: routes, session cookies and where they lead.

use crate::lint::farm::{Front, Group, Kind, Map, Pair, Target};
use crate::lint::rule::{Findings, Rule, Severity};
use std::collections::BTreeSet;

pub(super) const RULES: &[&Rule] = &[
    &ROUTE_DIFFERS,
    &NO_JVM_ROUTE,
    &MEMBER_WITHOUT_ROUTE,
    &SAME_ROUTE,
    &SAME_JVM_ROUTE,
    &NOT_STICKY,
    &COOKIE_ONLY,
    &OTHER_COOKIE,
    &COOKIE_PATH,
    &NO_SUCH_REDIRECT,
];

const ROUTE_DIFFERS: Rule = Rule {
    code: "AJP501",
    name: "route-differs",
    severity: Severity::Error,
    title: "the route of the member is not the container's jvmRoute",
    reason: "a session id ends in the jvmRoute; the balancer looks for the member of that route, finds none, and sends the request to any",
    sees: "users are logged out or lose their cart from one click to the next",
    front_log: "",
    container_log: "",
    advice: "write the same name on both sides: route= of the member (the worker's name in mod_jk), jvmRoute of <Engine>",
    affects: "all",
    source: "httpd manual, mod_proxy_balancer: stickysession; Tomcat, config/engine.html: jvmRoute; seen with httpd 2.4.71 and Tomcat 10.1.60",
};

const NO_JVM_ROUTE: Rule = Rule {
    code: "AJP502",
    name: "no-jvm-route",
    severity: Severity::Error,
    title: "the balancer follows sessions and the container puts no route into them",
    reason: "without jvmRoute a session id ends in nothing, so no request with a session is known to belong to a member",
    sees: "users are logged out or lose their cart from one click to the next",
    front_log: "",
    container_log: "",
    advice: "write jvmRoute into <Engine>, instance-id into WildFly's undertow subsystem",
    affects: "all",
    source: "Tomcat, config/engine.html: jvmRoute",
};

const MEMBER_WITHOUT_ROUTE: Rule = Rule {
    code: "AJP503",
    name: "member-without-route",
    severity: Severity::Error,
    title: "sessions are to be followed and a member has no route",
    reason: "stickysession compares what the session id ends in with route= of the members; a member without one is never found",
    sees: "users are logged out or lose their cart from one click to the next",
    front_log: "",
    container_log: "",
    advice: "write route= into each BalancerMember, the jvmRoute of its container",
    affects: "all httpd",
    source: "httpd manual, mod_proxy_balancer",
};

const SAME_ROUTE: Rule = Rule {
    code: "AJP504",
    name: "route-twice",
    severity: Severity::Error,
    title: "two members of a balancer have the same route",
    reason: "the first of them gets every session of both",
    sees: "users of the second container lose their session",
    front_log: "",
    container_log: "",
    advice: "give each member, and its container, a route of its own",
    affects: "all",
    source: "httpd manual, mod_proxy: route",
};

const SAME_JVM_ROUTE: Rule = Rule {
    code: "AJP505",
    name: "jvm-route-twice",
    severity: Severity::Error,
    title: "two containers have the same jvmRoute",
    reason: "their sessions cannot be told apart, and go to one of them",
    sees: "half of the users lose their session",
    front_log: "",
    container_log: "",
    advice: "give each container a jvmRoute of its own",
    affects: "all",
    source: "Tomcat, config/engine.html: jvmRoute",
};

const NOT_STICKY: Rule = Rule {
    code: "AJP506",
    name: "sessions-not-followed",
    severity: Severity::Warning,
    title: "the balancer has several members and does not follow sessions",
    reason: "sessions live in one container unless they are replicated; without stickysession each request goes to any member",
    sees: "users are logged out or lose their cart from one click to the next",
    front_log: "",
    container_log: "",
    advice: "write stickysession=JSESSIONID|jsessionid, and route= for each member",
    affects: "all",
    source: "httpd manual, mod_proxy_balancer: stickysession",
};

const COOKIE_ONLY: Rule = Rule {
    code: "AJP507",
    name: "cookie-only",
    severity: Severity::Note,
    title: "sessions in URLs are not followed",
    reason: "a container writes ;jsessionid= into links until it knows that the browser takes cookies; with the cookie's name alone the balancer looks for that name in the path as well, and does not find the lower case one",
    sees: "users lose their session on the first click",
    front_log: "",
    container_log: "",
    advice: "write both names: stickysession=JSESSIONID|jsessionid",
    affects: "all httpd",
    source: "httpd manual, mod_proxy_balancer: stickysession",
};

const OTHER_COOKIE: Rule = Rule {
    code: "AJP508",
    name: "session-cookie-differs",
    severity: Severity::Error,
    title: "the balancer follows another cookie than the container sets",
    reason: "sessionCookieName of a <Context> changes the cookie's name, and the balancer looks for the old one",
    sees: "users are logged out or lose their cart from one click to the next",
    front_log: "",
    container_log: "",
    advice: "write the name into stickysession (session_cookie in mod_jk)",
    affects: "all",
    source: "Tomcat, config/context.html: sessionCookieName",
};

const COOKIE_PATH: Rule = Rule {
    code: "AJP509",
    name: "path-changes",
    severity: Severity::Error,
    title: "the path differs on both sides and is not mapped back",
    reason: "the container sets its session cookie and writes redirects for the path it knows; browsers then do not send the cookie with the outer path, and follow redirects to where nothing is",
    sees: "users cannot log in: every request has a new session; redirects lead to 404",
    front_log: "",
    container_log: "",
    advice: "give the application the same path on both sides, or add ProxyPassReverseCookiePath and ProxyPassReverse",
    affects: "all httpd",
    source: "httpd manual, mod_proxy: ProxyPassReverseCookiePath; seen with httpd 2.4.71 and Tomcat 10.1.60",
};

const NO_SUCH_REDIRECT: Rule = Rule {
    code: "AJP510",
    name: "redirect-to-nobody",
    severity: Severity::Warning,
    title: "the member that should take over does not exist",
    reason: "redirect= names the route of another member of the same balancer",
    sees: "nothing until the member fails: then any other one is taken",
    front_log: "",
    container_log: "",
    advice: "name the route of a member of this balancer",
    affects: "all",
    source: "httpd manual, mod_proxy: redirect; mod_jk reference, workers: redirect",
};

pub(super) fn check(findings: &mut Findings<'_>) {
    let farm = findings.farm;
    let sticky: BTreeSet<_> = farm
        .groups
        .iter()
        .filter(|group| group.sticky.is_some() && is_used(group))
        .flat_map(|group| farm.members(group))
        .map(|link| (link.place.clone(), link.name.clone()))
        .collect();
    for pair in farm.pairs() {
        if sticky.contains(&(pair.link.place.clone(), pair.link.name.clone())) {
            route(findings, pair);
        }
    }
    let mut routes: Vec<(&crate::config::xml::Value, &crate::config::Place)> = Vec::new();
    for container in &farm.containers {
        let Some(route) = container.route.as_ref().filter(|route| route.is_known) else {
            continue;
        };
        // A service without AJP has no part in it.
        if !container
            .connectors
            .iter()
            .any(|connector| connector.is_ajp)
        {
            continue;
        }
        if let Some((_, other)) = routes.iter().find(|(known, _)| known.text == route.text) {
            findings
                .add(
                    &SAME_JVM_ROUTE,
                    &route.place,
                    format!("jvmRoute \"{}\" is another container's too", route.text),
                )
                .see(other, "the other one");
        }
        routes.push((route, &route.place));
    }
    for group in &farm.groups {
        of_group(findings, group);
    }
    for map in &farm.maps {
        path(findings, map);
    }
}

/// Whether there is a choice.
fn is_used(group: &Group) -> bool {
    group.members.len() > 1
}

fn route(findings: &mut Findings<'_>, pair: Pair<'_>) {
    let (link, container) = (pair.link, pair.container);
    let name = match container.kind {
        Kind::Tomcat => "jvmRoute",
        Kind::WildFly => "instance-id",
    };
    match (&link.route, &container.route) {
        (Some(ours), Some(theirs)) if theirs.is_known && ours.value != theirs.text => {
            // One server.xml may stand for several containers, which differ in this.
            let of_another = findings.farm.pairs().iter().any(|other| {
                other.container.engine == container.engine
                    && other
                        .link
                        .route
                        .as_ref()
                        .is_some_and(|route| route.value == theirs.text)
            });
            if of_another {
                return;
            }
            let text = format!(
                "the route of {} is \"{}\", {name} is \"{}\"",
                link.name, ours.value, theirs.text
            );
            findings
                .at(&ROUTE_DIFFERS, ours, text)
                .write(format!(
                    "write route=\"{}\" here, or {name}=\"{}\" there",
                    theirs.text, ours.value
                ))
                .see(&theirs.place, "the other name");
        }
        (Some(ours), None) => {
            let text = format!(
                "the route of {} is \"{}\", and there is no {name}",
                link.name, ours.value
            );
            findings
                .add(&NO_JVM_ROUTE, &container.engine, text)
                .write(format!("write {name}=\"{}\" here", ours.value))
                .see(&ours.place, "the route");
        }
        _ => {}
    }
}

fn of_group(findings: &mut Findings<'_>, group: &Group) {
    let farm = findings.farm;
    let mut routes = Vec::new();
    for link in farm.members(group) {
        let Some(route) = &link.route else { continue };
        if routes.contains(&&route.value) && is_used(group) {
            let text = format!("route \"{}\" is another member's too", route.value);
            findings.at(&SAME_ROUTE, route, text);
        }
        routes.push(&route.value);
    }
    for link in farm.members(group) {
        if let Some(redirect) = link.setting("redirect") {
            let is_name = farm
                .members(group)
                .any(|other| other.name == redirect.value);
            if !is_name && !routes.contains(&&redirect.value) {
                let text = format!(
                    "redirect={} of {}: no member has this route",
                    redirect.value, link.name
                );
                findings.at(&NO_SUCH_REDIRECT, redirect, text);
            }
        }
        if link.route.is_none() && group.sticky.is_some() && is_used(group) {
            let text = format!("{} of {} has no route", link.name, group.name);
            findings.add(&MEMBER_WITHOUT_ROUTE, &link.place, text);
        }
    }
    let Some(sticky) = &group.sticky else {
        // With routes sessions were meant to be followed.
        if is_used(group) {
            let text = format!(
                "{} has {} members and follows no sessions",
                group.name,
                group.members.len()
            );
            findings.add(&NOT_STICKY, &group.place, text);
        }
        return;
    };
    if !is_used(group) {
        return;
    }
    if group.front == Front::ProxyAjp && sticky.value == "JSESSIONID" {
        findings.at(
            &COOKIE_ONLY,
            sticky,
            format!("stickysession={} of {}", sticky.value, group.name),
        );
    }
    let cookie = sticky.value.split('|').next().unwrap_or_default();
    let contexts = farm
        .containers
        .iter()
        .flat_map(|container| container.root.all("Context"));
    for context in contexts.chain(&farm.contexts) {
        if let Some(name) = context.attribute("sessionCookieName") {
            if name.is_known && name.text != cookie {
                let text = format!(
                    "the cookie is called {}, and {} follows {cookie}",
                    name.text, group.name
                );
                findings
                    .at(&OTHER_COOKIE, sticky, text)
                    .write(format!("write stickysession={}|jsessionid", name.text))
                    .see(&name.place, "the cookie's name");
            }
        }
    }
}

/// An application that has another path outside than inside.
fn path(findings: &mut Findings<'_>, map: &Map) {
    let farm = findings.farm;
    let leads_to_ajp = match &map.target {
        Target::Link(_) => true,
        Target::Named(name) => farm.groups.iter().any(|group| {
            group.front == map.front && group.name == *name && !group.members.is_empty()
        }),
        _ => false,
    };
    if map.front != Front::ProxyAjp || !leads_to_ajp || map.path.contains('$') {
        return;
    }
    let plain = |path: &str| path.trim_end_matches('/').to_owned();
    let (outer, inner) = (plain(&map.path), plain(&map.inner));
    // Slashes that do not fit are another matter.
    if outer == inner || map.inner.is_empty() {
        return;
    }
    let Some(tree) = &farm.httpd else { return };
    let is_mapped = |name: &str, is_inner: bool| {
        tree.named(name).any(|item| {
            let site = item.site();
            let args = &item.args;
            let of_site = site.is_none() || site == map.site;
            of_site
                && args
                    .iter()
                    .any(|arg| plain(arg).ends_with(if is_inner { &*inner } else { &*outer }))
        })
    };
    if !is_mapped("proxypassreversecookiepath", true) {
        let inner = if inner.is_empty() { "/" } else { &inner };
        let outer = if outer.is_empty() { "/" } else { &outer };
        let text = format!("{outer} outside is {inner} inside, and cookies are not mapped back");
        findings.add(&COOKIE_PATH, &map.place, text).write(format!(
            "write ProxyPassReverseCookiePath {inner} {outer}, and ProxyPassReverse {outer} http://SERVERNAME{inner} for redirects"
        ));
    }
}
