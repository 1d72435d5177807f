//! AJP605, AJP609, AJP611 to AJP614: how paths and queries are read.

use crate::config::httpd::Item;
use crate::lint::farm::{Connector, Farm, Front, Kind, Link, Pair, Target};
use crate::lint::rule::{Findings, Rule, Severity};

pub(super) const RULES: &[&Rule] = &[
    &LATIN,
    &DECODED_PATHS,
    &SLASH_REFUSED_BY_HTTPD,
    &SLASH_REFUSED_BY_TOMCAT,
    &SLASH_ENCODED_TWICE,
    &BODY_ENCODING,
];

const LATIN: Rule = Rule {
    code: "AJP605",
    name: "latin-uris",
    severity: Severity::Warning,
    title: "paths and queries are not read as UTF-8",
    reason: "browsers send UTF-8; with URIEncoding=\"ISO-8859-1\" each letter beyond ASCII becomes two",
    sees: "searches with umlauts find nothing, files with them are 404",
    front_log: "",
    container_log: "",
    advice: "take URIEncoding out: UTF-8 is the default",
    affects: "Tomcat 8 and later",
    source: "Tomcat, config/ajp.html: URIEncoding; seen with Tomcat 10.1.60",
};

const DECODED_PATHS: Rule = Rule {
    code: "AJP609",
    name: "decoded-paths",
    severity: Severity::Warning,
    title: "mod_jk sends paths decoded, and they are decoded again",
    reason: "ForwardURICompat and ForwardURICompatUnparsed let %252e%252e pass as .. behind rules that look at the path; ForwardURIProxy, the default, does not",
    sees: "nothing, until somebody reaches a path that httpd protects",
    front_log: "",
    container_log: "",
    advice: "take it out, or write JkOptions +ForwardURIProxy",
    affects: "mod_jk 1.2.23 and later have the safe default",
    source: "CVE-2007-1860; mod_jk reference, apache: JkOptions",
};

const SLASH_REFUSED_BY_HTTPD: Rule = Rule {
    code: "AJP611",
    name: "encoded-slash-refused-by-httpd",
    severity: Severity::Warning,
    title: "the container takes encoded slashes, and httpd answers them with 404",
    reason: "AllowEncodedSlashes is off by default: a path with %2F gets 404 before it is forwarded, whatever encodedSolidusHandling of the <Connector> says",
    sees: "404 Not Found for paths with %2F, as REST interfaces have them in names",
    front_log: "",
    container_log: "",
    advice: "write AllowEncodedSlashes NoDecode into the virtual host",
    affects: "all httpd; Tomcat 8.5.67, 9.0.47, 10.0.7 and later have encodedSolidusHandling",
    source: "httpd manual, core: AllowEncodedSlashes; Tomcat, config/ajp.html: encodedSolidusHandling; seen with httpd 2.4.71",
};

const SLASH_REFUSED_BY_TOMCAT: Rule = Rule {
    code: "AJP612",
    name: "encoded-slash-refused-by-tomcat",
    severity: Severity::Warning,
    title: "httpd forwards encoded slashes, and the container answers them with 400",
    reason: "with AllowEncodedSlashes NoDecode a path goes out with its %2F, and encodedSolidusHandling is reject by default",
    sees: "400 Bad Request for paths with %2F",
    front_log: "",
    container_log: "",
    advice: "write encodedSolidusHandling=\"passthrough\" into the <Connector>, if the application expects such paths",
    affects: "all httpd with Tomcat 8.5.67, 9.0.47, 10.0.7 and later",
    source: "Tomcat, config/ajp.html: encodedSolidusHandling; seen with httpd 2.4.71 and Tomcat 10.1.60",
};

const SLASH_ENCODED_TWICE: Rule = Rule {
    code: "AJP613",
    name: "encoded-slash-encoded-twice",
    severity: Severity::Warning,
    title: "mod_jk encodes slashes once more that httpd has left encoded",
    reason: "with AllowEncodedSlashes NoDecode the path that mod_jk encodes holds %2F already, and %252F is sent",
    sees: "404 Not Found for paths with %2F, or names with %2F in them",
    front_log: "",
    container_log: "",
    advice: "forward these paths with mod_proxy_ajp, which sends them as they are, or leave AllowEncodedSlashes off",
    affects: "all mod_jk with ForwardURIProxy, the default",
    source: "seen with mod_jk 1.2.48 and httpd 2.4.71",
};

const BODY_ENCODING: Rule = Rule {
    code: "AJP614",
    name: "queries-as-bodies",
    severity: Severity::Note,
    title: "queries are read in the character set of the body",
    reason: "with useBodyEncodingForURI=\"true\" the query follows Content-Type or setCharacterEncoding, in place of URIEncoding; browsers send queries as UTF-8 whatever the page is",
    sees: "searches with umlauts work on some pages and not on others",
    front_log: "",
    container_log: "",
    advice: "take useBodyEncodingForURI out: UTF-8 is the default for queries",
    affects: "all Tomcat",
    source: "Tomcat, config/ajp.html: useBodyEncodingForURI",
};

pub(super) fn check(findings: &mut Findings<'_>) {
    let farm = findings.farm;
    for (_, connector) in farm.ajp_connectors() {
        if let Some(set) = connector.known("URIEncoding") {
            let is_utf8 = ["UTF-8", "UTF8"]
                .iter()
                .any(|name| set.text.eq_ignore_ascii_case(name));
            if !is_utf8 {
                findings.add(&LATIN, &set.place, format!("URIEncoding=\"{}\"", set.text));
            }
        }
        if let (true, Some(set)) = (
            connector.is_on("useBodyEncodingForURI", false),
            connector.settings.get("useBodyEncodingForURI"),
        ) {
            findings.add(&BODY_ENCODING, &set.place, "useBodyEncodingForURI=\"true\"");
        }
    }
    for pair in farm.pairs() {
        if pair.container.kind == Kind::Tomcat && pair.link.front == Front::ProxyAjp {
            slashes(findings, pair);
        }
    }
    options(findings);
    mod_jk_slashes(findings);
}

/// Encoded slashes on the way from httpd to Tomcat.
fn slashes(findings: &mut Findings<'_>, pair: Pair<'_>) {
    let Pair {
        link, connector, ..
    } = pair;
    // Paths of rewritten requests are not those that httpd has looked at.
    if findings.farm.httpd.is_none() || !is_mapped(findings.farm, link) {
        return;
    }
    let allowed = allowed_slashes(findings.farm, link.site);
    let handling = connector.settings.get("encodedSolidusHandling");
    let refuses = match handling {
        None => true,
        Some(handling) if handling.is_known => handling.text.eq_ignore_ascii_case("reject"),
        Some(_) => return,
    };
    match (allowed, refuses) {
        (None, false) => {
            let place = handling.map_or(&connector.place, |handling| &handling.place);
            let text = format!("{} gets no path with %2F from httpd", shown(connector));
            findings
                .add(&SLASH_REFUSED_BY_HTTPD, place, text)
                .see(&link.place, "it is forwarded from here");
        }
        // With On they are decoded before.
        (Some(item), true) if item.arg(0).eq_ignore_ascii_case("NoDecode") => {
            let text = format!("paths with %2F go to {}, which refuses them", link.name);
            findings
                .add(&SLASH_REFUSED_BY_TOMCAT, &item.place, text)
                .see(&connector.place, "they are refused here");
        }
        _ => {}
    }
}

fn shown(connector: &Connector) -> String {
    match connector.port {
        Some(port) => format!("the connector at port {port}"),
        None => "the connector".to_owned(),
    }
}

/// Whether a `ProxyPass` leads to a way.
fn is_mapped(farm: &Farm, link: &Link) -> bool {
    farm.maps.iter().any(|map| match &map.target {
        Target::Link(index) => farm
            .links
            .get(*index)
            .is_some_and(|known| known.place == link.place),
        Target::Named(name) => farm
            .groups
            .iter()
            .filter(|group| group.name == *name)
            .any(|group| farm.members(group).any(|known| known.place == link.place)),
        _ => false,
    })
}

/// The line that allows encoded slashes in a virtual host, or else in all of httpd.
fn allowed_slashes(farm: &Farm, site: Option<usize>) -> Option<&Item> {
    let tree = farm.httpd.as_ref()?;
    let last = |of: Option<usize>| {
        tree.named("allowencodedslashes")
            .filter(|item| item.site() == of)
            .last()
    };
    let item = site
        .and_then(|site| last(Some(site)))
        .or_else(|| last(None))?;
    (!item.arg(0).eq_ignore_ascii_case("Off")).then_some(item)
}

/// Encoded slashes that mod_jk forwards.
fn mod_jk_slashes(findings: &mut Findings<'_>) {
    let farm = findings.farm;
    let Some(tree) = &farm.httpd else { return };
    let sends_as_it_is = tree.named("jkoptions").any(|item| {
        let mut args = item.args.iter();
        args.any(|arg| {
            let name = arg.trim_start_matches('+');
            name.eq_ignore_ascii_case("ForwardURICompatUnparsed")
        })
    });
    if sends_as_it_is {
        return;
    }
    let mounts = farm
        .maps
        .iter()
        .filter(|map| map.front == Front::ModJk && matches!(map.target, Target::Named(_)));
    for map in mounts {
        let Some(item) = allowed_slashes(farm, map.site) else {
            continue;
        };
        if item.arg(0).eq_ignore_ascii_case("NoDecode") {
            findings
                .add(
                    &SLASH_ENCODED_TWICE,
                    &item.place,
                    "%2F goes to the container as %252F",
                )
                .see(&map.place, "for this path");
        }
    }
}

/// Options of mod_jk.
fn options(findings: &mut Findings<'_>) {
    let Some(tree) = &findings.farm.httpd else {
        return;
    };
    for item in tree.named("jkoptions") {
        for arg in &item.args {
            let is_compat = ["ForwardURICompat", "ForwardURICompatUnparsed"]
                .iter()
                .any(|name| arg.trim_start_matches('+').eq_ignore_ascii_case(name));
            if is_compat {
                findings.add(&DECODED_PATHS, &item.place, format!("JkOptions {arg}"));
            }
        }
    }
}
