//! AJP1xx: secrets, and who can connect.

use crate::lint::farm::{Connector, Kind, is_loopback};
use crate::lint::rule::{Findings, Rule, Severity};

pub(super) const RULES: &[&Rule] = &[
    &NO_SECRET_SENT,
    &OTHER_SECRET,
    &NOT_STARTED,
    &UNCHECKED,
    &OPEN,
    &OLD_NAME,
    &TOO_LONG,
    &SAMPLE,
    &READABLE,
    &EVERY_ATTRIBUTE,
    &ANY_USER,
];

const NO_SECRET_SENT: Rule = Rule {
    code: "AJP101",
    name: "secret-not-sent",
    severity: Severity::Error,
    title: "the container wants a secret and the web server sends none",
    reason: "a connector with secret= answers every request without it with 403, before the application sees it",
    sees: "403 Forbidden on every page, as Tomcat's own error page",
    front_log: "",
    container_log: "",
    advice: "give the worker the same secret: secret=... of ProxyPass or BalancerMember, worker.NAME.secret in mod_jk",
    affects: "Tomcat 7.0.100, 8.5.51, 9.0.31 and later; mod_proxy_ajp sends one since httpd 2.4.42; neither log says a word",
    source: "Tomcat, config/ajp.html: secret; httpd manual, mod_proxy: secret; seen with Tomcat 10.1.60",
};

const OTHER_SECRET: Rule = Rule {
    code: "AJP102",
    name: "secrets-differ",
    severity: Severity::Error,
    title: "the web server sends another secret than the container wants",
    reason: "the secrets are compared byte by byte, blanks and quotes included",
    sees: "403 Forbidden on every page, as Tomcat's own error page",
    front_log: "",
    container_log: "",
    advice: "write the same secret on both sides; quote it in httpd when it has blanks or #",
    affects: "Tomcat 7.0.100, 8.5.51, 9.0.31 and later; neither log says a word",
    source: "Tomcat, config/ajp.html: secret; seen with Tomcat 10.1.60",
};

const NOT_STARTED: Rule = Rule {
    code: "AJP103",
    name: "connector-without-secret",
    severity: Severity::Error,
    title: "the AJP connector does not start: it has no secret and does not say that it needs none",
    reason: "secretRequired is true by default since Ghostcat (CVE-2020-1938), and a connector without secret is then refused",
    sees: "503 Service Unavailable, after the web server's timeout: the port is bound and nobody serves it",
    front_log: "can't receive header",
    container_log: "The AJP Connector is configured with secretRequired=\"true\" but the secret attribute is either null or \"\"",
    advice: "write secret=\"...\" into the <Connector> and the same into the web server; secretRequired=\"false\" only where nobody but the web server can connect",
    affects: "Tomcat 7.0.100, 8.5.51, 9.0.31 and later",
    source: "Tomcat, config/ajp.html: secretRequired; seen with Tomcat 10.1.60",
};

const UNCHECKED: Rule = Rule {
    code: "AJP104",
    name: "secret-not-checked",
    severity: Severity::Warning,
    title: "the web server sends a secret that the container does not check",
    reason: "a container without a secret takes requests from whoever connects, whatever the web server sends",
    sees: "nothing: it works, and it is not protected",
    front_log: "",
    container_log: "",
    advice: "write the same secret=\"...\" into the <Connector>; Undertow has no secret, so let only the web server reach its port",
    affects: "all Tomcat; all Undertow and WildFly, which ignore the secret",
    source: "Tomcat, config/ajp.html: secretRequired; Undertow, AjpRequestParser",
};

const OPEN: Rule = Rule {
    code: "AJP105",
    name: "open-to-all",
    severity: Severity::Error,
    title: "anybody who reaches the port is taken for the web server",
    reason: "an AJP peer sets the client's address, its user and request attributes; an open port was Ghostcat (CVE-2020-1938), and is still a way to be any user",
    sees: "nothing, until somebody else connects",
    front_log: "",
    container_log: "",
    advice: "set secret=\"...\", and address to loopback or to the network of the web servers",
    affects: "Tomcat with secretRequired=\"false\"; WildFly and Undertow, which know no secret",
    source: "CVE-2020-1938, CVE-2020-1745; Tomcat, security-howto.html",
};

const OLD_NAME: Rule = Rule {
    code: "AJP106",
    name: "required-secret",
    severity: Severity::Error,
    title: "requiredSecret is the old name of secret, which is not read any more",
    reason: "it was renamed in 2020; Tomcat 10.1 does not know it, and the connector then has no secret",
    sees: "503 Service Unavailable: the connector does not start, for want of a secret",
    front_log: "can't receive header",
    container_log: "failed to set property [requiredSecret]",
    advice: "rename requiredSecret to secret",
    affects: "renamed in Tomcat 7.0.100, 8.5.51, 9.0.31; gone in 10.1",
    source: "Tomcat changelog 9.0.31; seen with Tomcat 10.1.60",
};

const TOO_LONG: Rule = Rule {
    code: "AJP107",
    name: "secret-too-long",
    severity: Severity::Error,
    title: "the secret is longer than mod_proxy takes",
    reason: "a worker's secret has room for 63 bytes",
    sees: "httpd does not start",
    front_log: "Secret length must be < 64 characters",
    container_log: "",
    advice: "use a secret of at most 63 bytes; 32 random characters are enough",
    affects: "httpd 2.4.42 and later",
    source: "httpd, mod_proxy.c; seen with httpd 2.4.71",
};

const SAMPLE: Rule = Rule {
    code: "AJP108",
    name: "sample-secret",
    severity: Severity::Warning,
    title: "the secret is one that everybody knows",
    reason: "it stands in examples, so it is among the first that are tried",
    sees: "nothing, until somebody guesses it",
    front_log: "",
    container_log: "",
    advice: "make one: openssl rand -hex 16",
    affects: "all",
    source: "Tomcat, security-howto.html",
};

const READABLE: Rule = Rule {
    code: "AJP109",
    name: "readable-secret",
    severity: Severity::Warning,
    title: "every user of this machine can read the secret",
    reason: "the file that holds it may be read by all; whoever has the secret may be any user of the application",
    sees: "nothing",
    front_log: "",
    container_log: "",
    advice: "chmod o-r the file, and let the user of the web server or container own it",
    affects: "all",
    source: "Tomcat, security-howto.html",
};

const EVERY_ATTRIBUTE: Rule = Rule {
    code: "AJP110",
    name: "every-attribute-allowed",
    severity: Severity::Warning,
    title: "the container takes request attributes of any name",
    reason: "attributes of javax.servlet.include made Ghostcat read files; a pattern that allows all takes the protection away again",
    sees: "nothing, until somebody sends them",
    front_log: "",
    container_log: "",
    advice: "name the attributes: allowedRequestAttributesPattern=\"SHIB_.*|TENANT\"",
    affects: "Tomcat 7.0.100, 8.5.51, 9.0.31 and later; Undertow 2.0.30 and later",
    source: "CVE-2020-1938; Tomcat, config/ajp.html: allowedRequestAttributesPattern",
};

const ANY_USER: Rule = Rule {
    code: "AJP111",
    name: "user-believed-without-secret",
    severity: Severity::Error,
    title: "the container believes who the user is, and asks for no secret",
    reason: "with tomcatAuthentication=\"false\" the user name in the packet is a logged-in user; without secret every local process can send it",
    sees: "nothing, until somebody sends remote_user=admin",
    front_log: "",
    container_log: "",
    advice: "set secret=\"...\" on both sides",
    affects: "all Tomcat",
    source: "Tomcat, config/ajp.html: tomcatAuthentication",
};

const SAMPLES: [&str; 12] = [
    "secret",
    "changeit",
    "changeme",
    "password",
    "mysecret",
    "yoursecret",
    "your_secret",
    "tomcat",
    "ajpsecret",
    "your_tomcat_ajp_secret",
    "some-secret",
    "s3cr3t",
];

pub(super) fn check(findings: &mut Findings<'_>) {
    let farm = findings.farm;
    for pair in farm.pairs() {
        let (link, connector) = (pair.link, pair.connector);
        match (&link.secret, connector.secret()) {
            (None, Some(wanted)) => {
                let text = format!("{} sends no secret, and the connector wants one", link.name);
                findings
                    .add(&NO_SECRET_SENT, &link.place, text)
                    .see(&wanted.place, "the secret is wanted here");
            }
            (Some(sent), Some(wanted)) => {
                let mut secrets = link.other_secrets.iter().chain([&sent.value]);
                let is_known = wanted.is_known && secrets.all(|secret| !secret.contains("${"));
                let is_sent =
                    sent.value == wanted.text || link.other_secrets.contains(&wanted.text);
                if is_known && !is_sent {
                    let text = format!("the secret of {} is not the connector's", link.name);
                    findings
                        .at(&OTHER_SECRET, sent, text)
                        .see(&wanted.place, "the other secret");
                }
            }
            (Some(sent), None) if !connector.secret_is_required() => {
                let text = format!("{} sends a secret, and nobody checks it", link.name);
                findings
                    .at(&UNCHECKED, sent, text)
                    .see(&connector.place, "it is not checked here");
            }
            _ => {}
        }
    }
    for (container, connector) in farm.ajp_connectors() {
        if let Some(old) = connector.settings.get("requiredSecret") {
            findings.add(
                &OLD_NAME,
                &old.place,
                "requiredSecret is not read by Tomcat 10.1 and later",
            );
        }
        if connector.secret().is_none()
            && connector.secret_is_required()
            && container.kind == Kind::Tomcat
        {
            findings.add(
                &NOT_STARTED,
                &connector.place,
                "this connector does not start",
            );
        }
        open(findings, container.kind, connector);
        if let Some(pattern) = connector.known("allowedRequestAttributesPattern") {
            if matches!(
                &*pattern.text,
                ".*" | ".+" | "(.*)" | "^.*$" | "[^.]*" | "\\S*"
            ) {
                let text = format!(
                    "allowedRequestAttributesPattern=\"{}\" allows every name",
                    pattern.text
                );
                findings.add(&EVERY_ATTRIBUTE, &pattern.place, text);
            }
        }
        let believes = connector.is_set("tomcatAuthentication")
            && !connector.is_on("tomcatAuthentication", true)
            && connector.known("tomcatAuthentication").is_some();
        let believes = believes || connector.is_on("tomcatAuthorization", false);
        if believes && connector.secret().is_none() && !connector.secret_is_required() {
            findings.add(
                &ANY_USER,
                &connector.place,
                "users are believed from whoever connects",
            );
        }
        if let Some(secret) = connector.secret().filter(|secret| secret.is_known) {
            sample(findings, &secret.text, &secret.place);
        }
    }
    for link in &farm.links {
        let Some(secret) = &link.secret else { continue };
        if link.front == crate::lint::farm::Front::ProxyAjp && secret.value.len() > 63 {
            let text = format!(
                "the secret of {} has {} bytes",
                link.name,
                secret.value.len()
            );
            findings.at(&TOO_LONG, secret, text);
        }
        sample(findings, &secret.value, &secret.place);
    }
    for place in &farm.readable {
        findings.add(
            &READABLE,
            place,
            format!("{} can be read by everybody", place.file),
        );
    }
}

fn open(findings: &mut Findings<'_>, kind: Kind, connector: &Connector) {
    if connector.secret().is_some() || connector.secret_is_required() {
        return;
    }
    let Some(address) = connector.known("address") else {
        return;
    };
    if is_loopback(&address.text) {
        return;
    }
    let what = match kind {
        Kind::Tomcat => "without secret",
        Kind::WildFly => "and Undertow knows no secret",
    };
    let text = format!("the connector listens on {}, {what}", address.text);
    findings
        .add(&OPEN, &connector.place, text)
        .see(&address.place, "the address");
}

fn sample(findings: &mut Findings<'_>, secret: &str, place: &crate::config::Place) {
    if SAMPLES
        .iter()
        .any(|sample| sample.eq_ignore_ascii_case(secret))
    {
        findings.add(&SAMPLE, place, "the secret is one of the examples");
    }
}
