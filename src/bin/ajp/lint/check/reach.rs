//! AJP15x: ports and addresses.

use crate::lint::farm::{Connector, Front, Link, Target, is_loopback};
use crate::lint::rule::{Findings, Rule, Severity};
use std::net::IpAddr;

pub(super) const RULES: &[&Rule] = &[
    &LOOPBACK_ONLY,
    &OTHER_ADDRESS,
    &HTTP_PORT,
    &AJP_PORT,
    &NO_CONNECTOR,
    &SAME_PORT,
    &NO_TLS,
];

const LOOPBACK_ONLY: Rule = Rule {
    code: "AJP151",
    name: "loopback-only",
    severity: Severity::Error,
    title: "the web server is on another machine and the connector listens on loopback only",
    reason: "without address= an AJP connector listens on the loopback address since 2020; before, it listened on all",
    sees: "503 Service Unavailable at once",
    front_log: "Connection refused",
    container_log: "",
    advice: "write address=\"...\", the address the web server connects to, and a secret",
    affects: "Tomcat 7.0.100, 8.5.51, 9.0.31 and later",
    source: "Tomcat, config/ajp.html: address",
};

const OTHER_ADDRESS: Rule = Rule {
    code: "AJP152",
    name: "address-differs",
    severity: Severity::Error,
    title: "the web server connects to another address of this machine than the connector listens on",
    reason: "127.0.0.1, ::1 and the addresses of the network are different places: nobody listens at the others",
    sees: "503 Service Unavailable at once",
    front_log: "Connection refused",
    container_log: "",
    advice: "use one address on both sides, as a number: 127.0.0.1 or ::1",
    affects: "all",
    source: "Tomcat, config/ajp.html: address; seen with httpd 2.4.71 and Tomcat 10.1.60",
};

const HTTP_PORT: Rule = Rule {
    code: "AJP153",
    name: "http-port",
    severity: Severity::Error,
    title: "AJP is sent to a port that speaks HTTP",
    reason: "the port of the worker is that of the HTTP connector; 4854 in the log are the letters HT",
    sees: "503 Service Unavailable or 500",
    front_log: "got bad signature 4854",
    container_log: "Invalid character found in method name",
    advice: "use the port of the AJP <Connector>",
    affects: "all",
    source: "seen with httpd 2.4.71 and Tomcat 10.1.60",
};

const AJP_PORT: Rule = Rule {
    code: "AJP154",
    name: "ajp-port",
    severity: Severity::Error,
    title: "HTTP is sent to a port that speaks AJP",
    reason: "the URL begins with http:// and the port is that of the AJP connector; 18245 in the log are the letters GE of GET",
    sees: "502 Proxy Error",
    front_log: "error reading status line from remote server",
    container_log: "Invalid message received with signature [18245]",
    advice: "write ajp:// instead of http://",
    affects: "all",
    source: "seen with httpd 2.4.71 and Tomcat 10.1.60",
};

const NO_CONNECTOR: Rule = Rule {
    code: "AJP155",
    name: "no-connector",
    severity: Severity::Error,
    title: "the container has no AJP connector",
    reason: "the AJP connector is commented out in the server.xml that comes with Tomcat, since 2020",
    sees: "503 Service Unavailable at once",
    front_log: "Connection refused",
    container_log: "",
    advice: "write <Connector protocol=\"AJP/1.3\" address=\"127.0.0.1\" port=\"8009\" secret=\"...\"/> into <Service>",
    affects: "Tomcat 7.0.100, 8.5.51, 9.0.31 and later",
    source: "Tomcat changelog 9.0.31",
};

const SAME_PORT: Rule = Rule {
    code: "AJP156",
    name: "port-taken",
    severity: Severity::Error,
    title: "two connectors have the same port",
    reason: "the second one cannot listen, and does not start",
    sees: "what the second should serve is not there",
    front_log: "",
    container_log: "Address already in use",
    advice: "give each connector a port of its own",
    affects: "all",
    source: "Tomcat, config/ajp.html: port",
};

const NO_TLS: Rule = Rule {
    code: "AJP157",
    name: "tls-on-ajp",
    severity: Severity::Error,
    title: "AJP has no TLS, and a connector that is told to use it does not start",
    reason: "SSLEnabled belongs to HTTP connectors; that a request came over TLS the web server tells in each packet",
    sees: "503 Service Unavailable",
    front_log: "Connection refused",
    container_log: "No SSLHostConfig element was found",
    advice: "take SSLEnabled and the certificates out of the AJP connector; across networks use a tunnel (WireGuard, stunnel)",
    affects: "all Tomcat",
    source: "Tomcat, config/ajp.html; seen with Tomcat 10.1.60",
};

pub(super) fn check(findings: &mut Findings<'_>) {
    let farm = findings.farm;
    let mut has_pair = false;
    for pair in farm.pairs() {
        has_pair = true;
        address(findings, pair.link, pair.connector);
    }
    for link in &farm.links {
        if farm.connector_of(link, true).is_some() {
            continue;
        }
        if let Some((_, connector)) = farm.connector_of(link, false) {
            has_pair = true;
            let text = format!("{} leads to an HTTP connector", link.name);
            findings
                .add(&HTTP_PORT, &link.place, text)
                .see(&connector.place, "it speaks HTTP");
        }
    }
    for map in &farm.maps {
        let Target::Http(host, port) = &map.target else {
            continue;
        };
        let connector = farm
            .ajp_connectors()
            .find(|(_, connector)| connector.port == Some(*port));
        if let Some((_, connector)) = connector {
            let text = format!(
                "{} goes by HTTP to {host}:{port}, which speaks AJP",
                map.path
            );
            findings
                .add(&AJP_PORT, &map.place, text)
                .see(&connector.place, "it speaks AJP");
        }
    }
    let mut links = farm.links.iter().enumerate();
    let used = links.find(|(index, _)| farm.is_used(*index));
    if let (Some((_, link)), false) = (used, has_pair) {
        for container in &farm.containers {
            if container
                .connectors
                .iter()
                .any(|connector| connector.is_ajp)
            {
                continue;
            }
            let place = container.commented_out.first().unwrap_or(&container.place);
            let text = match container.commented_out.first() {
                Some(_) => "the AJP connector is commented out, and a web server wants to connect",
                None => "there is no AJP connector, and a web server wants to connect",
            };
            findings
                .add(&NO_CONNECTOR, place, text)
                .see(&link.place, "it connects from here");
        }
    }
    for container in &farm.containers {
        for (at, connector) in container.connectors.iter().enumerate() {
            let before = container.connectors.iter().take(at);
            let address = |connector: &Connector| {
                connector
                    .settings
                    .get("address")
                    .map(|value| value.text.clone())
            };
            let mut same = before.filter(|other| {
                other.port.is_some()
                    && other.port != Some(0)
                    && other.port == connector.port
                    && (address(other) == address(connector))
            });
            if let Some(other) = same.next() {
                let text = format!("port {} is taken", connector.port.unwrap_or(0));
                findings
                    .add(&SAME_PORT, &connector.place, text)
                    .see(&other.place, "by this connector");
            }
            if connector.is_ajp && connector.is_on("SSLEnabled", false) {
                findings.add(
                    &NO_TLS,
                    &connector.place,
                    "SSLEnabled=\"true\" on an AJP connector",
                );
            }
        }
    }
}

fn address(findings: &mut Findings<'_>, link: &Link, connector: &Connector) {
    let address = match connector.settings.get("address") {
        None => None,
        Some(value) if value.is_known => Some(value),
        Some(_) => return,
    };
    let listens = address.map_or("127.0.0.1", |value| value.text.trim_matches(['[', ']']));
    let host = link.host.trim_matches(['[', ']']);
    if link.front == Front::Gateway && link.port.is_none() {
        return;
    }
    let (Ok(to), here) = (host.parse::<IpAddr>(), listens.parse::<IpAddr>()) else {
        // A name: only what is on another machine for certain.
        if address.is_none() && !is_loopback(host) && host.contains('.') {
            let text = format!(
                "{} is on another machine, and this connector is on loopback",
                link.name
            );
            findings
                .add(&LOOPBACK_ONLY, &connector.place, text)
                .see(&link.place, "it connects from here");
        }
        return;
    };
    if !to.is_loopback() {
        if is_loopback(listens) {
            let text = format!(
                "{} connects to {host}, and this connector is on loopback",
                link.name
            );
            findings
                .add(&LOOPBACK_ONLY, &connector.place, text)
                .write(format!(
                    "write address=\"{host}\" into this <Connector>, and a secret"
                ))
                .see(&link.place, "it connects from here");
        }
        return;
    }
    let Ok(here) = here else { return };
    // Loopback is this machine for certain: then the addresses must be one.
    if here != to && !here.is_unspecified() {
        let text = format!(
            "{} connects to {to}, and the connector listens on {here}",
            link.name
        );
        findings
            .add(&OTHER_ADDRESS, &link.place, text)
            .write(format!(
                "connect to {here}, or write address=\"{to}\" into the <Connector>"
            ))
            .see(
                address.map_or(&connector.place, |value| &value.place),
                "it listens here",
            );
    }
}
