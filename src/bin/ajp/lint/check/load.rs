//! AJP3xx: connections and threads.

use crate::lint::farm::{Farm, Front, Link, Located, Pair};
use crate::lint::rule::{Findings, Rule, Severity};
use std::collections::BTreeMap;

pub(super) const RULES: &[&Rule] = &[
    &MORE_THAN_THREADS,
    &MORE_THAN_CONNECTIONS,
    &WAITS_FOR_EVER,
    &SMALL_JK_POOL,
    &EXECUTOR_WINS,
    &NO_REUSE,
    &SMAX_ABOVE_MAX,
];

const MORE_THAN_THREADS: Rule = Rule {
    code: "AJP301",
    name: "more-requests-than-threads",
    severity: Severity::Warning,
    title: "the web servers may send more requests at a time than the container has threads",
    reason: "each running request holds a thread; what is beyond waits, and so does CPing, until the web server takes the container for dead",
    sees: "503 Service Unavailable under load, while the container looks idle or its threads all wait",
    front_log: "cping/cpong failed",
    container_log: "",
    advice: "raise maxThreads, or lower max= of the workers or MaxRequestWorkers, until web servers x processes x max is below maxThreads",
    affects: "all",
    source: "Tomcat, config/ajp.html: maxThreads; seen with httpd 2.4.71 and Tomcat 10.1.60",
};

const MORE_THAN_CONNECTIONS: Rule = Rule {
    code: "AJP302",
    name: "more-than-max-connections",
    severity: Severity::Error,
    title: "the web servers keep more connections open than the container accepts",
    reason: "kept connections count against maxConnections also while nothing runs on them; the next one connects and is not served",
    sees: "503 Service Unavailable after the web server's timeout, for some requests and not for others",
    front_log: "cping/cpong failed",
    container_log: "",
    advice: "take maxConnections out of the connector (8192), or raise it above all pools together",
    affects: "all Tomcat",
    source: "Tomcat, config/ajp.html: maxConnections; seen with httpd 2.4.71 and Tomcat 10.1.60",
};

const WAITS_FOR_EVER: Rule = Rule {
    code: "AJP303",
    name: "waits-for-ever",
    severity: Severity::Warning,
    title: "requests wait without limit for one of the few connections",
    reason: "max= is below the threads of a process and acquire= is not set, so a slow container holds all threads of httpd, also those for other sites",
    sees: "the whole site hangs while the container is slow",
    front_log: "server reached MaxRequestWorkers",
    container_log: "",
    advice: "set acquire=2000 (milliseconds) beside max=, so that requests beyond get 503 at once",
    affects: "all httpd",
    source: "httpd manual, mod_proxy: max, acquire",
};

const SMALL_JK_POOL: Rule = Rule {
    code: "AJP304",
    name: "jk-pool-below-threads",
    severity: Severity::Warning,
    title: "mod_jk has fewer connections than httpd has threads",
    reason: "connection_pool_size below ThreadsPerChild leaves threads without a connection; mod_jk then fails the request",
    sees: "503 Service Unavailable under load",
    front_log: "Unable to get the free endpoint for worker",
    container_log: "",
    advice: "take connection_pool_size out: mod_jk asks httpd for the number of threads",
    affects: "all mod_jk in httpd",
    source: "mod_jk reference, workers: connection_pool_size",
};

const EXECUTOR_WINS: Rule = Rule {
    code: "AJP305",
    name: "executor-wins",
    severity: Severity::Warning,
    title: "maxThreads of the connector means nothing beside an executor",
    reason: "a connector with executor= takes its threads from there, and shares them with the other connectors that do",
    sees: "503 Service Unavailable under load, below the maxThreads that is written",
    front_log: "cping/cpong failed",
    container_log: "",
    advice: "set maxThreads of the <Executor>, or take executor= out of the connector",
    affects: "all Tomcat",
    source: "Tomcat, config/ajp.html: executor",
};

const NO_REUSE: Rule = Rule {
    code: "AJP306",
    name: "connections-not-reused",
    severity: Severity::Note,
    title: "every request opens a connection of its own",
    reason: "disablereuse costs a connect for each request, and leaves thousands of ports in TIME_WAIT under load",
    sees: "slower pages; 503 when ports run out",
    front_log: "Cannot assign requested address",
    container_log: "",
    advice: "take it out, and set ping=1 (mod_proxy) or ping_mode=A (mod_jk) against stale connections",
    affects: "all",
    source: "httpd manual, mod_proxy: disablereuse; mod_jk reference, apache: JkOptions",
};

const SMAX_ABOVE_MAX: Rule = Rule {
    code: "AJP307",
    name: "smax-above-max",
    severity: Severity::Note,
    title: "the soft maximum of connections is above the hard one",
    reason: "smax says how many idle connections ttl leaves open; above max it means nothing, and ttl then closes none",
    sees: "idle connections hold the container's slots for ever",
    front_log: "",
    container_log: "",
    advice: "set smax below max, smax=0 to let ttl close all that are idle",
    affects: "all httpd",
    source: "httpd manual, mod_proxy: smax, ttl",
};

/// httpd's defaults with mpm_event.
const THREADS_PER_CHILD: u64 = 25;

/// Most requests of one web server at a time, and what says so.
fn workers(farm: &Farm) -> Option<Located<u64>> {
    farm.httpd_number("maxrequestworkers")
        .or_else(|| farm.httpd_number("maxclients"))
}

/// How many processes one web server has: the pools of each are its own.
fn processes(farm: &Farm, front: Front) -> u64 {
    if front == Front::Gateway {
        return 1;
    }
    let threads = farm
        .httpd_number("threadsperchild")
        .map_or(THREADS_PER_CHILD, |number| number.value);
    let all = workers(farm).map(|number| number.value);
    all.map_or(1, |all| all.div_ceil(threads.max(1)))
}

/// Most connections that a way opens from one web server, and what says so.
fn most(farm: &Farm, link: &Link) -> Option<Located<u64>> {
    match (&link.max, workers(farm)) {
        (Some(max), _) => {
            let number = max.value.saturating_mul(processes(farm, link.front));
            let capped = match (link.front, workers(farm)) {
                (Front::Gateway, _) | (_, None) => number,
                (_, Some(all)) => number.min(all.value),
            };
            Some(Located::new(capped, &max.place))
        }
        (None, Some(all)) if link.front != Front::Gateway => Some(all),
        (None, _) if link.front == Front::Gateway => Some(Located::new(100, &link.place)),
        _ => None,
    }
}

pub(super) fn check(findings: &mut Findings<'_>) {
    let farm = findings.farm;
    let mut of_connector: BTreeMap<String, Vec<Pair<'_>>> = BTreeMap::new();
    for pair in farm.pairs() {
        of_connector
            .entry(pair.connector.place.to_string())
            .or_default()
            .push(pair);
    }
    for pairs in of_connector.values() {
        sum(findings, pairs);
    }
    let threads = farm.httpd_number("threadsperchild");
    for link in &farm.links {
        let max = link.max.as_ref();
        if let (Some(max), Some(threads)) = (max, &threads) {
            let is_small = max.value < threads.value;
            if is_small && link.front == Front::ProxyAjp && link.setting("acquire").is_none() {
                let text = format!(
                    "max={} of {}, ThreadsPerChild {}, and no acquire=",
                    max.value, link.name, threads.value
                );
                findings
                    .at(&WAITS_FOR_EVER, max, text)
                    .see(&threads.place, "the threads");
            }
            if is_small && link.front == Front::ModJk {
                let text = format!(
                    "connection_pool_size={} of worker {}, ThreadsPerChild {}",
                    max.value, link.name, threads.value
                );
                findings
                    .at(&SMALL_JK_POOL, max, text)
                    .see(&threads.place, "the threads");
            }
        }
        let is = |name: &str, value: &str| {
            link.setting(name)
                .filter(|set| set.value.eq_ignore_ascii_case(value))
        };
        if let Some(set) = is("disablereuse", "on").or_else(|| is("enablereuse", "off")) {
            findings.at(
                &NO_REUSE,
                set,
                format!("{} opens a connection for each request", link.name),
            );
        }
        let smax = link
            .setting("smax")
            .and_then(|set| Some(Located::new(set.value.parse::<u64>().ok()?, &set.place)));
        if let (Some(smax), Some(max)) = (smax, max) {
            if smax.value > max.value {
                findings.at(
                    &SMAX_ABOVE_MAX,
                    &smax,
                    format!("smax={}, max={}", smax.value, max.value),
                );
            }
        }
    }
    for (_, connector) in farm.ajp_connectors() {
        if let (Some(set), true) = (
            connector.settings.get("maxThreads"),
            connector.is_set("executor"),
        ) {
            findings.add(
                &EXECUTOR_WINS,
                &set.place,
                format!("maxThreads=\"{}\" beside executor", set.text),
            );
        }
    }
    if let Some(tree) = &farm.httpd {
        for item in tree.named("jkoptions") {
            if item.args.iter().any(|arg| {
                arg.trim_start_matches('+')
                    .eq_ignore_ascii_case("DisableReuse")
                    && !arg.starts_with('-')
            }) {
                findings.add(
                    &NO_REUSE,
                    &item.place,
                    "JkOptions +DisableReuse: mod_jk opens a connection for each request",
                );
            }
        }
    }
}

/// All ways to one connector.
fn sum(findings: &mut Findings<'_>, pairs: &[Pair<'_>]) {
    let farm = findings.farm;
    let Some(first) = pairs.first() else { return };
    let connector = first.connector;
    let known: Vec<_> = pairs
        .iter()
        .filter_map(|pair| Some((pair.link, most(farm, pair.link)?)))
        .collect();
    let Some((link, number)) = known.first() else {
        return;
    };
    let of_httpd = known
        .iter()
        .filter(|(link, _)| link.front != Front::Gateway)
        .map(|(_, most)| most.value);
    let of_gateway = known
        .iter()
        .filter(|(link, _)| link.front == Front::Gateway)
        .map(|(_, most)| most.value);
    // However many ways there are, httpd runs no more requests than it has threads.
    let connections: u64 = of_httpd.clone().fold(0, u64::saturating_add);
    let running = workers(farm).map_or(connections, |all| connections.min(all.value));
    let others: u64 = of_gateway.fold(0, u64::saturating_add);
    let times = farm.web_servers.max(1);
    let running = running.saturating_add(others).saturating_mul(times);
    let connections = connections.saturating_add(others).saturating_mul(times);
    let is_said = connector.threads().is_some() || link.max.is_some() || workers(farm).is_some();
    let threads = connector.threads().map_or(200, |threads| threads.value);
    let place = connector
        .threads()
        .map_or_else(|| connector.place.clone(), |threads| threads.place);
    if is_said && running > threads {
        let text = format!("up to {running} requests at a time, and {threads} threads");
        findings
            .add(&MORE_THAN_THREADS, &place, text)
            .write(format!(
                "write maxThreads=\"{}\", or let the web server send fewer",
                running.saturating_add(running / 4)
            ))
            .see(&number.place, "so many come from here");
    }
    let Some(limit) = connector.number("maxConnections") else {
        return;
    };
    if u64::try_from(limit.value).is_ok_and(|limit| limit < connections) {
        let text = format!(
            "up to {connections} connections, and maxConnections is {}",
            limit.value
        );
        findings
            .at(&MORE_THAN_CONNECTIONS, &limit, text)
            .see(&number.place, "so many come from here");
    }
}
