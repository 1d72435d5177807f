//! AJP4xx: limits that do not fit each other, and units that are mixed up.

use crate::lint::farm::{Front, Kind, Link};
use crate::lint::rule::{Findings, Rule, Severity};
use std::time::Duration;

pub(super) const RULES: &[&Rule] = &[
    &CONTAINER_CLOSES_FIRST,
    &UNIT_OF_FRONT,
    &UNIT_OF_CONTAINER,
    &NO_LIMIT,
    &NOT_PROBED,
    &SHORT_READ,
];

const CONTAINER_CLOSES_FIRST: Rule = Rule {
    code: "AJP401",
    name: "container-closes-first",
    severity: Severity::Warning,
    title: "the container closes idle connections before the web server does",
    reason: "a request that is sent while the container closes is lost: GET is sent again, POST is an error. Without keepAliveTimeout, connectionTimeout is that limit too",
    sees: "now and then 500 or 503 after a quiet time, for POST above all",
    front_log: "ajp_read_header: ajp_ilink_receive failed",
    container_log: "",
    advice: "close first on the web server's side: ttl= (with smax=0) of the worker, connection_pool_timeout in mod_jk, a few seconds below keepAliveTimeout",
    affects: "all",
    source: "Tomcat, config/ajp.html: keepAliveTimeout; mod_jk reference, workers: connection_pool_timeout",
};

const UNIT_OF_FRONT: Rule = Rule {
    code: "AJP402",
    name: "wrong-unit-in-front",
    severity: Severity::Error,
    title: "the time is in another unit than it looks",
    reason: "mod_proxy counts seconds, but acquire in milliseconds; mod_jk counts some in seconds and some in milliseconds",
    sees: "502, 503 or 504 on pages that are only slow, or a site that waits for hours",
    front_log: "The timeout specified has expired",
    container_log: "",
    advice: "write the unit: 5s, 500ms in mod_proxy; look up the unit of each property of mod_jk",
    affects: "all httpd and mod_jk",
    source: "httpd manual, mod_proxy; mod_jk reference, workers; seen with mod_jk 1.2.48",
};

const UNIT_OF_CONTAINER: Rule = Rule {
    code: "AJP403",
    name: "wrong-unit-in-container",
    severity: Severity::Error,
    title: "the time is in milliseconds and looks like seconds",
    reason: "connectionTimeout and keepAliveTimeout are milliseconds; 20 or 60 is over before an upload's next packet is there",
    sees: "uploads fail with 400 or 500; connections are closed all the time",
    front_log: "ajp_read_header: ajp_ilink_receive failed",
    container_log: "SocketTimeoutException",
    advice: "write milliseconds: 20000 are 20 seconds",
    affects: "all Tomcat and Undertow",
    source: "Tomcat, config/ajp.html: connectionTimeout",
};

const NO_LIMIT: Rule = Rule {
    code: "AJP404",
    name: "no-reply-limit",
    severity: Severity::Warning,
    title: "mod_jk waits without end for a container that hangs",
    reason: "reply_timeout and socket_timeout are 0 by default; a container that accepts and never answers takes every thread of httpd, and the other members never get the requests",
    sees: "the whole site hangs, though other members are well",
    front_log: "",
    container_log: "",
    advice: "set worker.NAME.reply_timeout=60000 (milliseconds), above your slowest page, and max_reply_timeouts=10 of the balancer",
    affects: "all mod_jk",
    source: "mod_jk reference, workers: reply_timeout",
};

const NOT_PROBED: Rule = Rule {
    code: "AJP405",
    name: "not-probed",
    severity: Severity::Note,
    title: "connections of a balancer are used without a look whether the container still answers",
    reason: "after a restart or behind a firewall kept connections are dead; CPing finds out before a request is lost",
    sees: "some errors after each restart of a container",
    front_log: "ajp_ilink_receive failed",
    container_log: "",
    advice: "set ping=1 of each member (mod_proxy), ping_mode=A (mod_jk)",
    affects: "all",
    source: "httpd manual, mod_proxy: ping; mod_jk reference, workers: ping_mode",
};

const SHORT_READ: Rule = Rule {
    code: "AJP406",
    name: "connection-timeout-is-for-bodies-too",
    severity: Severity::Note,
    title: "connectionTimeout also cuts idle connections and slow uploads",
    reason: "on an AJP connector it is the wait for the next packet of a body, and without keepAliveTimeout for the next request",
    sees: "uploads over slow lines fail; kept connections are closed early",
    front_log: "ajp_read_header: ajp_ilink_receive failed",
    container_log: "SocketTimeoutException",
    advice: "set keepAliveTimeout for idle connections, and connectionTimeout to 60000 or more",
    affects: "all Tomcat",
    source: "Tomcat, config/ajp.html: connectionTimeout, keepAliveTimeout",
};

/// Name, unit in seconds, least and most that are likely.
type LikelyRange = (&'static str, f64, f64, f64);

const OF_PROXY: [LikelyRange; 7] = [
    ("acquire", 0.001, 0.05, 600.0),
    ("connectiontimeout", 1.0, 0.001, 600.0),
    ("ping", 1.0, 0.001, 60.0),
    ("timeout", 1.0, 0.05, 20_000.0),
    ("retry", 1.0, 0.0, 3600.0),
    ("ttl", 1.0, 0.05, 86_400.0),
    ("hcinterval", 1.0, 0.1, 3600.0),
];
const OF_JK: [LikelyRange; 9] = [
    ("reply_timeout", 0.001, 1.0, 86_400.0),
    ("connect_timeout", 0.001, 0.1, 600.0),
    ("prepost_timeout", 0.001, 0.1, 600.0),
    ("ping_timeout", 0.001, 0.1, 600.0),
    ("socket_connect_timeout", 0.001, 0.05, 600.0),
    ("socket_timeout", 1.0, 1.0, 7200.0),
    ("connection_pool_timeout", 1.0, 1.0, 86_400.0),
    ("recover_time", 1.0, 1.0, 3600.0),
    ("connection_ping_interval", 1.0, 1.0, 3600.0),
];

pub(super) fn check(findings: &mut Findings<'_>) {
    let farm = findings.farm;
    for pair in farm.pairs() {
        closes_first(findings, pair.link, pair.connector);
    }
    for link in &farm.links {
        let known: &[LikelyRange] = match link.front {
            Front::ProxyAjp => &OF_PROXY,
            Front::ModJk => &OF_JK,
            Front::Gateway => &[],
        };
        for likely in known {
            if let Some(set) = link.setting(likely.0) {
                unit(findings, &link.name, likely, &set.value, &set.place);
            }
        }
    }
    for group in farm
        .groups
        .iter()
        .filter(|group| group.front == Front::ModJk)
    {
        if let Some(set) = group.settings.get("recover_time") {
            unit(
                findings,
                &group.name,
                &("recover_time", 1.0, 1.0, 3600.0),
                &set.value,
                &set.place,
            );
        }
    }
    for (container, connector) in farm.ajp_connectors() {
        for name in ["connectionTimeout", "keepAliveTimeout"] {
            let Some(set) = connector.number(name) else {
                continue;
            };
            let shown = if container.kind == Kind::WildFly {
                "no-request-timeout"
            } else {
                name
            };
            if (1..1000).contains(&set.value) {
                let text = format!("{shown} is {} milliseconds", set.value);
                findings.at(&UNIT_OF_CONTAINER, &set, text).write(format!(
                    "write {shown}=\"{}000\" for {} seconds",
                    set.value, set.value
                ));
            } else if name == "connectionTimeout"
                && (1000..30_000).contains(&set.value)
                && !connector.is_set("keepAliveTimeout")
            {
                findings.at(
                    &SHORT_READ,
                    &set,
                    format!("connectionTimeout is {} milliseconds", set.value),
                );
            }
        }
    }
    for group in &farm.groups {
        if group.members.len() < 2 {
            continue;
        }
        if group.front == Front::ModJk {
            let hangs = |link: &&Link| {
                let none = |name: &str| link.setting(name).is_none_or(|set| set.value == "0");
                none("reply_timeout") && none("socket_timeout")
            };
            if let Some(link) = farm.members(group).find(hangs) {
                let text = format!(
                    "worker {} of {} has no reply_timeout and no socket_timeout",
                    link.name, group.name
                );
                findings.add(&NO_LIMIT, &group.place, text);
            }
        }
        let is_checked = |link: &Link| link.is_probed || link.setting("hcmethod").is_some();
        if let Some(link) = farm.members(group).find(|link| !is_checked(link)) {
            let text = format!("{} of {} is not probed", link.name, group.name);
            findings.add(&NOT_PROBED, &link.place, text);
        }
    }
}

fn closes_first(
    findings: &mut Findings<'_>,
    link: &Link,
    connector: &crate::lint::farm::Connector,
) {
    let Some(theirs) = connector
        .keep_alive()
        .filter(|limit| limit.value >= Duration::from_secs(1))
    else {
        return;
    };
    let seconds = theirs.value.as_secs();
    let text = match &link.idle {
        Some(ours) if ours.value < theirs.value => return,
        Some(ours) => format!(
            "{} keeps idle connections for {} s, the container for {seconds} s",
            link.name,
            ours.value.as_secs()
        ),
        None => format!(
            "{} keeps idle connections for ever, the container for {seconds} s",
            link.name
        ),
    };
    // CPing finds nearly all of them.
    if link.is_probed {
        return;
    }
    let less = seconds.saturating_sub(2).max(1);
    let here = link.idle.as_ref().map_or(&link.place, |idle| &idle.place);
    findings
        .add(&CONTAINER_CLOSES_FIRST, here, text)
        .write(match link.front {
            Front::ModJk => format!(
                "set worker.{}.connection_pool_timeout={less} and ping_mode=A",
                link.name
            ),
            Front::ProxyAjp => format!("set ttl={less} smax=0 ping=1"),
            Front::Gateway => {
                format!("take learn_keep_alive out, or set idle_timeout = \"{less}s\"")
            }
        })
        .see(&theirs.place, "the container's limit");
}

fn unit(
    findings: &mut Findings<'_>,
    name: &str,
    likely: &LikelyRange,
    value: &str,
    place: &crate::config::Place,
) {
    let (setting, unit, least, most) = *likely;
    // With a unit it is meant.
    let Ok(number) = value.parse::<f64>() else {
        return;
    };
    let seconds = number * unit;
    if number == 0.0 || (least..=most).contains(&seconds) {
        return;
    }
    let shown = if unit < 1.0 {
        "milliseconds"
    } else {
        "seconds"
    };
    findings.add(
        &UNIT_OF_FRONT,
        place,
        format!("{setting}={value} of {name} is {value} {shown}"),
    );
}
