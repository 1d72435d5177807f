//! AJP601 to AJP604, AJP606 to AJP608, AJP610: attributes, users, addresses.

use crate::config::httpd::Item;
use crate::lint::farm::{Connector, Front, Kind, Link, Located, Target};
use crate::lint::rule::{Findings, Rule, Severity};
use ajp::server::{AttributeAction, AttributePolicy};

pub(super) const RULES: &[&Rule] = &[
    &ATTRIBUTE_REFUSED,
    &ATTRIBUTE_DROPPED,
    &USER_IGNORED,
    &AUTHORIZATION_WINS,
    &LOOKUPS,
    &OTHER_TLS_PORT,
    &ADDRESS_FILTER,
    &PATTERN_BROKEN,
];

const ATTRIBUTE_REFUSED: Rule = Rule {
    code: "AJP601",
    name: "attribute-refused",
    severity: Severity::Error,
    title: "the web server sends a request attribute that the container does not allow",
    reason: "every variable that begins with AJP_ (mod_proxy_ajp) or that JkEnvVar names (mod_jk) is sent, and Tomcat refuses a request with a name it does not know",
    sees: "403 Forbidden on every page that the variable is set for",
    front_log: "",
    container_log: "Rejecting request due to unknown request attribute",
    advice: "allow the name: allowedRequestAttributesPattern=\"NAME\" of the <Connector>, a regular expression for the whole name",
    affects: "Tomcat 7.0.100, 8.5.51, 9.0.31 and later; the log line since 9.0.37",
    source: "Tomcat, config/ajp.html: allowedRequestAttributesPattern; seen with Tomcat 10.1.60",
};

const ATTRIBUTE_DROPPED: Rule = Rule {
    code: "AJP602",
    name: "attribute-dropped",
    severity: Severity::Error,
    title: "the web server sends a request attribute that WildFly drops",
    reason: "Undertow leaves out attributes whose names do not match allowed-request-attributes-pattern, without a word",
    sees: "users are not logged in, though Shibboleth or the like has them",
    front_log: "",
    container_log: "",
    advice: "write allowed-request-attributes-pattern=\"NAME\" into the <ajp-listener>",
    affects: "Undertow 2.0.30 and later, WildFly 19 and later",
    source: "WFLY-15452; Undertow, UndertowOptions",
};

const USER_IGNORED: Rule = Rule {
    code: "AJP603",
    name: "user-ignored",
    severity: Severity::Warning,
    title: "httpd logs users in and Tomcat does not believe it",
    reason: "tomcatAuthentication is true by default: the user in the packet is left out, and getRemoteUser() is null",
    sees: "users log in twice, or the application does not know them",
    front_log: "",
    container_log: "",
    advice: "write tomcatAuthentication=\"false\" into the <Connector>, beside a secret",
    affects: "all Tomcat",
    source: "Tomcat, config/ajp.html: tomcatAuthentication; seen with Tomcat 10.1.60",
};

const AUTHORIZATION_WINS: Rule = Rule {
    code: "AJP604",
    name: "authorization-wins",
    severity: Severity::Note,
    title: "tomcatAuthorization makes tomcatAuthentication mean nothing",
    reason: "with tomcatAuthorization=\"true\" the web server's user is taken, and roles come from Tomcat's realm, whatever tomcatAuthentication says",
    sees: "users have other roles than expected",
    front_log: "",
    container_log: "",
    advice: "write one of the two",
    affects: "Tomcat 8.0 and later",
    source: "Tomcat, config/ajp.html: tomcatAuthorization",
};

const LOOKUPS: Rule = Rule {
    code: "AJP606",
    name: "name-lookups",
    severity: Severity::Warning,
    title: "the container asks DNS for the name of each client",
    reason: "the web server sends no name, so getRemoteHost() looks it up while the request waits",
    sees: "pages are slow when DNS is",
    front_log: "",
    container_log: "",
    advice: "take enableLookups out",
    affects: "all Tomcat",
    source: "Tomcat, config/ajp.html: enableLookups",
};

const OTHER_TLS_PORT: Rule = Rule {
    code: "AJP607",
    name: "other-tls-port",
    severity: Severity::Warning,
    title: "redirects to TLS lead to a port that the web server does not have",
    reason: "redirectPort is where pages with CONFIDENTIAL are sent; 8443 is from an example for a Tomcat without a web server",
    sees: "some pages redirect to :8443, where nobody answers",
    front_log: "",
    container_log: "",
    advice: "write redirectPort=\"443\", or take it out",
    affects: "all Tomcat; the default is 443",
    source: "Tomcat, config/ajp.html: redirectPort",
};

const ADDRESS_FILTER: Rule = Rule {
    code: "AJP608",
    name: "address-filter-sees-clients",
    severity: Severity::Warning,
    title: "a filter for addresses lets in this machine only, and sees the browsers' addresses",
    reason: "with AJP the remote address is the client's, not the web server's, so a filter for loopback refuses everybody else",
    sees: "403 Forbidden for everybody but the machine itself",
    front_log: "",
    container_log: "",
    advice: "let Require ip of httpd decide, or allow the clients' networks; to let in only the web server is what secret is for",
    affects: "all Tomcat",
    source: "Tomcat, config/valve.html: RemoteAddrValve, RemoteCIDRValve; seen with Tomcat 10.1.60",
};

const PATTERN_BROKEN: Rule = Rule {
    code: "AJP610",
    name: "broken-pattern",
    severity: Severity::Error,
    title: "the pattern of allowed attributes is no regular expression",
    reason: "it is one for the whole name, not a list and not a pattern of the shell",
    sees: "the connector does not start",
    front_log: "",
    container_log: "PatternSyntaxException",
    advice: "write names with |, and .* for any letters: AJP_TENANT|SHIB_.*",
    affects: "Tomcat 7.0.100, 8.5.51, 9.0.31 and later",
    source: "Tomcat, config/ajp.html: allowedRequestAttributesPattern",
};

/// What Tomcat takes beside the names that all web servers send: those of Microsoft's IIS.
const OF_IIS: [&str; 9] = [
    "CERT_ISSUER",
    "CERT_SUBJECT",
    "CERT_COOKIE",
    "HTTPS_SERVER_SUBJECT",
    "CERT_FLAGS",
    "HTTPS_SECRETKEYSIZE",
    "CERT_SERIALNUMBER",
    "HTTPS_SERVER_ISSUER",
    "HTTPS_KEYSIZE",
];

/// Whether a container takes the attribute without being told.
fn is_well_known(name: &str) -> bool {
    let action = AttributePolicy::default().action(name.as_bytes());
    action == AttributeAction::Accept || OF_IIS.contains(&name)
}

pub(super) fn check(findings: &mut Findings<'_>) {
    let farm = findings.farm;
    for pair in farm.pairs() {
        for name in sent(findings, pair.link) {
            attribute(findings, pair.container.kind, pair.connector, &name);
        }
        if pair.container.kind == Kind::Tomcat {
            user(findings, pair.link, pair.connector);
        }
        other_tls_port(findings, pair.link, pair.connector);
    }
    for (_, connector) in farm.ajp_connectors() {
        let both = connector.is_set("tomcatAuthentication")
            && connector.is_on("tomcatAuthorization", false);
        if let (true, Some(set)) = (both, connector.settings.get("tomcatAuthentication")) {
            findings.add(
                &AUTHORIZATION_WINS,
                &set.place,
                "tomcatAuthorization=\"true\" is written too",
            );
        }
        if let (true, Some(set)) = (
            connector.is_on("enableLookups", false),
            connector.settings.get("enableLookups"),
        ) {
            findings.add(&LOOKUPS, &set.place, "enableLookups=\"true\"");
        }
        if let Some(set) = connector.known("allowedRequestAttributesPattern") {
            if is_no_pattern(&set.text) {
                findings.add(&PATTERN_BROKEN, &set.place, format!("\"{}\"", set.text));
            }
        }
    }
    if farm.links.is_empty() {
        return;
    }
    let valves = farm
        .containers
        .iter()
        .flat_map(|container| container.root.all("Valve"));
    let valves: Vec<_> = valves
        .chain(
            farm.contexts
                .iter()
                .flat_map(|context| context.all("Valve")),
        )
        .collect();
    for valve in valves {
        let is_filter = valve.attribute("className").is_some_and(|class| {
            class.text.ends_with(".RemoteAddrValve") || class.text.ends_with(".RemoteCIDRValve")
        });
        let Some(allow) = valve
            .attribute("allow")
            .filter(|allow| is_filter && allow.is_known)
        else {
            continue;
        };
        let parts = allow.text.split(['|', ',']).map(str::trim);
        let is_local = |part: &str| {
            let part = part.replace('\\', "");
            part.starts_with("127.") || part.contains("::1") || part.contains("0:0:0:0:0:0:0:1")
        };
        if parts.clone().count() > 0 && parts.clone().all(is_local) {
            findings.add(
                &ADDRESS_FILTER,
                &allow.place,
                format!("allow=\"{}\"", allow.text),
            );
        }
    }
}

/// Names of attributes that a front sends with requests of a way, beside the well-known ones.
fn sent(findings: &Findings<'_>, link: &Link) -> Vec<Located<String>> {
    let is_unknown = |name: &Located<String>| !is_well_known(&name.value) && !name.value.is_empty();
    let own = link.attributes.iter().filter(|name| is_unknown(name));
    let own: Vec<Located<String>> = own.cloned().collect();
    let Some(tree) = &findings.farm.httpd else {
        return own;
    };
    let paths = paths(findings, link);
    let of_site = |item: &Item| {
        let site = item.site();
        let is_of_path = item.open("location").is_none_or(|section| {
            let guarded = section.args.join(" ");
            covers(&paths, guarded.trim_end_matches('/'))
        });
        is_of_path && (site.is_none() || link.site.is_none() || site == link.site)
    };
    let names = tree
        .items
        .iter()
        .filter(|item| of_site(item))
        .flat_map(|item| {
            let name = match (&*item.name, link.front) {
                ("setenv" | "passenv", Front::ProxyAjp) => item.arg(0).strip_prefix("AJP_"),
                ("jkenvvar", Front::ModJk) => Some(item.arg(0)),
                ("setenvif" | "setenvifnocase", Front::ProxyAjp) => {
                    let names = item.args.iter().skip(2).filter_map(|arg| {
                        let name = arg.split('=').next()?.strip_prefix("AJP_")?;
                        Some(Located::new(name.to_owned(), &item.place))
                    });
                    return names.collect::<Vec<_>>();
                }
                ("rewriterule", Front::ProxyAjp) => {
                    let flags = item
                        .args
                        .last()
                        .map_or("", |flags| flags.trim_matches(['[', ']']));
                    let names = flags.split(',').filter_map(|flag| {
                        let set = flag
                            .trim()
                            .strip_prefix("E=")
                            .or_else(|| flag.trim().strip_prefix("env="))?;
                        let name = set.split(':').next()?.strip_prefix("AJP_")?;
                        Some(Located::new(name.to_owned(), &item.place))
                    });
                    return names.collect();
                }
                // Every attribute of the session, among them these.
                ("shibrequestsetting", Front::ProxyAjp)
                    if item.arg(0).eq_ignore_ascii_case("attributePrefix")
                        && item.arg(1) == "AJP_" =>
                {
                    Some("Shib-Session-ID")
                }
                _ => None,
            };
            name.map(|name| Located::new(name.to_owned(), &item.place))
                .into_iter()
                .collect()
        });
    own.into_iter().chain(names.filter(is_unknown)).collect()
}

fn attribute(
    findings: &mut Findings<'_>,
    kind: Kind,
    connector: &Connector,
    name: &Located<String>,
) {
    let pattern = connector.settings.get("allowedRequestAttributesPattern");
    let is_allowed = match pattern {
        None => false,
        Some(pattern) if !pattern.is_known => true,
        // What Java alone understands is let pass.
        Some(pattern) => regex::Regex::new(&format!("^(?:{})$", pattern.text))
            .map_or(true, |regex| regex.is_match(&name.value)),
    };
    if is_allowed {
        return;
    }
    let place = pattern.map_or(&connector.place, |pattern| &pattern.place);
    let now = pattern.map_or_else(String::new, |pattern| format!("{}|", pattern.text));
    let text = format!(
        "{} is sent to the container, which does not allow it",
        name.value
    );
    let (rule, setting) = match kind {
        Kind::Tomcat => (&ATTRIBUTE_REFUSED, "allowedRequestAttributesPattern"),
        Kind::WildFly => (&ATTRIBUTE_DROPPED, "allowed-request-attributes-pattern"),
    };
    findings
        .at(rule, name, text)
        .write(format!(
            "write {setting}=\"{now}{}\" into the connector",
            name.value
        ))
        .see(place, "allowed names");
}

/// Whether it is meant for another kind of pattern.
fn is_no_pattern(pattern: &str) -> bool {
    match regex::Regex::new(pattern) {
        Ok(_) => false,
        // Java knows more than this reader: look-ahead, back references, possessive counts.
        Err(_) => {
            pattern.starts_with(['*', '+', '?'])
                || pattern.matches('(').count() != pattern.matches(')').count()
        }
    }
}

/// The paths that lead to a way, without what ends them.
fn paths(findings: &Findings<'_>, link: &Link) -> Vec<String> {
    let farm = findings.farm;
    let leads_here = |target: &Target| match target {
        Target::Link(index) => farm
            .links
            .get(*index)
            .is_some_and(|known| known.place == link.place),
        Target::Named(name) => {
            let mut groups = farm.groups.iter().filter(|group| group.name == *name);
            *name == link.name
                || groups.any(|group| farm.members(group).any(|known| known.place == link.place))
        }
        _ => false,
    };
    let paths = farm.maps.iter().filter(|map| leads_here(&map.target));
    paths
        .map(|map| map.path.trim_end_matches(['*', '/']).to_owned())
        .collect()
}

/// Whether a section is about these paths: they are below it, or it is below one of them.
fn covers(paths: &[String], section: &str) -> bool {
    paths
        .iter()
        .any(|path| path.is_empty() || path.starts_with(section) || section.starts_with(&**path))
}

/// Users that httpd has logged in.
fn user(findings: &mut Findings<'_>, link: &Link, connector: &Connector) {
    let ignores = connector.is_on("tomcatAuthentication", true)
        && !connector.is_on("tomcatAuthorization", false);
    let is_unknown = ["tomcatAuthentication", "tomcatAuthorization"]
        .iter()
        .any(|name| {
            connector
                .settings
                .get(*name)
                .is_some_and(|value| !value.is_known)
        });
    let Some(tree) = findings
        .farm
        .httpd
        .as_ref()
        .filter(|_| ignores && !is_unknown)
    else {
        return;
    };
    let paths = paths(findings, link);
    for item in tree.named("authtype") {
        if item.arg(0).eq_ignore_ascii_case("none") {
            continue;
        }
        let Some(section) = item.open("location") else {
            continue;
        };
        let guarded = section.args.join(" ");
        let guarded = guarded.trim_end_matches('/');
        if covers(&paths, guarded) {
            let text = format!(
                "users of {} are logged in by httpd, and Tomcat leaves them out",
                if guarded.is_empty() { "/" } else { guarded }
            );
            findings
                .add(&USER_IGNORED, &item.place, text)
                .see(&connector.place, "tomcatAuthentication is true here");
        }
    }
}

fn other_tls_port(findings: &mut Findings<'_>, link: &Link, connector: &Connector) {
    let Some(set) = connector.number("redirectPort") else {
        return;
    };
    if link.front == Front::Gateway || set.value == 443 {
        return;
    }
    let Some(tree) = &findings.farm.httpd else {
        return;
    };
    let port = format!(":{}", set.value);
    let sites: Vec<_> = tree
        .items
        .iter()
        .filter_map(|item| item.virtual_host())
        .collect();
    let listens = tree
        .named("listen")
        .any(|item| item.arg(0) == set.value.to_string() || item.arg(0).ends_with(&port));
    let has = listens
        || sites
            .iter()
            .any(|site| site.args.iter().any(|arg| arg.ends_with(&port)));
    // Without any site or Listen the files are a part, and nothing is known of the ports.
    let is_whole = !sites.is_empty() || tree.named("listen").next().is_some();
    if is_whole && !has {
        findings.at(
            &OTHER_TLS_PORT,
            &set,
            format!("redirectPort is {}, and httpd has no such port", set.value),
        );
    }
}
