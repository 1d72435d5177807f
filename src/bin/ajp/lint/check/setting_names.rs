//! AJP709 to AJP711: names of settings that nobody knows, or knows otherwise.

use crate::config::workers::{OtherLine, Property, modern};
use crate::lint::rule::{Findings, Rule, Severity};

pub(super) const RULES: &[&Rule] = &[&UNKNOWN_PROPERTY, &OLD_PROPERTY, &WRONG_CASE];

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

/// Properties of workers that mod_jk 1.2.48 to 1.2.50 know.
const PROPERTIES: [&str; 84] = [
    "activation",
    "ajp13_max_packet_size",
    "bad",
    "balance_workers",
    "balanced_workers",
    "bridge",
    "busy_limit",
    "cache_timeout",
    "cachesize",
    "class_path",
    "classpath",
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
    "doctype",
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
    "max_processes",
    "max_reply_timeouts",
    "method",
    "min_processes",
    "mount",
    "ms",
    "mx",
    "native_lib",
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
    "status",
    "stderr",
    "stdout",
    "sticky_session",
    "sticky_session_force",
    "stopped",
    "sysprops",
    "type",
    "user",
    "user_case_insensitive",
    "xmlns",
];

/// Attributes of AJP connectors, as Tomcat writes them.
const ATTRIBUTES: [&str; 48] = [
    "acceptCount",
    "address",
    "ajpFlush",
    "allowedRequestAttributesPattern",
    "allowTrace",
    "asyncTimeout",
    "bindOnInit",
    "clientCertProvider",
    "connectionLinger",
    "connectionTimeout",
    "discardFacades",
    "enableLookups",
    "encodedReverseSolidusHandling",
    "encodedSolidusHandling",
    "executor",
    "executorTerminationTimeoutMillis",
    "keepAliveTimeout",
    "maxConnections",
    "maxCookieCount",
    "maxHeaderCount",
    "maxParameterCount",
    "maxPostSize",
    "maxSavePostSize",
    "maxSwallowSize",
    "maxThreads",
    "minSpareThreads",
    "packetSize",
    "parseBodyMethods",
    "port",
    "processorCache",
    "protocol",
    "proxyName",
    "proxyPort",
    "redirectPort",
    "scheme",
    "secret",
    "secretRequired",
    "secure",
    "SSLEnabled",
    "tcpNoDelay",
    "threadPriority",
    "tomcatAuthentication",
    "tomcatAuthorization",
    "URIEncoding",
    "useBodyEncodingForURI",
    "useIPVHosts",
    "useVirtualThreads",
    "xpoweredBy",
];

pub(super) fn check(findings: &mut Findings<'_>) {
    let farm = findings.farm;
    for workers in &farm.workers {
        for line in &workers.other_lines {
            if let OtherLine::Global(place, name) = line {
                if name != "maintain" && name != "list" {
                    let text = format!("worker.{name} is no property, and no worker");
                    findings.add(&UNKNOWN_PROPERTY, place, text);
                }
            }
        }
        for (name, worker) in &workers.all {
            for property in worker.values() {
                of_worker(findings, name, property);
            }
        }
    }
    for (_, connector) in farm.ajp_connectors() {
        for (name, value) in &connector.settings {
            let mut known = ATTRIBUTES.iter();
            let known = known.find(|known| known.eq_ignore_ascii_case(name));
            if let Some(known) = known.filter(|known| *known != name) {
                findings
                    .add(&WRONG_CASE, &value.place, format!("{name} is not {known}"))
                    .write(format!("write {known}"));
            }
        }
    }
}

fn of_worker(findings: &mut Findings<'_>, worker: &str, property: &Property) {
    let written = &*property.written;
    if !PROPERTIES.contains(&written) {
        let text = format!("worker.{worker}.{written}");
        findings.add(&UNKNOWN_PROPERTY, &property.place, text);
    }
    let modern = match written {
        "disabled" | "stopped" => "activation",
        other => modern(other),
    };
    if modern != written {
        let text = format!("worker.{worker}.{written} is {modern} today");
        findings
            .add(&OLD_PROPERTY, &property.place, text)
            .write(format!("write worker.{worker}.{modern}"));
    }
}
