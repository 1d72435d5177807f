//! AJP2xx: packets, and heads that must fit one.

use crate::lint::farm::{Front, Kind, io_buffer_size};
use crate::lint::read::packet_size;
use crate::lint::rule::{Findings, Rule, Severity};

pub(super) const RULES: &[&Rule] = &[
    &CONTAINER_SMALLER,
    &CONTAINER_LARGER,
    &OF_WORKER,
    &OUT_OF_RANGE,
    &LONG_HEADS,
    &CERTIFICATES,
];

const CONTAINER_SMALLER: Rule = Rule {
    code: "AJP201",
    name: "container-packet-smaller",
    severity: Severity::Error,
    title: "the web server sends longer packets than the container takes",
    reason: "the packet size is not negotiated; long cookies and uploads fill packets of the larger size",
    sees: "400 or 500 for users with long cookies, 500 on uploads; everything else works",
    front_log: "",
    container_log: "received but the packetSize is only",
    advice: "write the same size on both sides",
    affects: "all",
    source: "Tomcat, config/ajp.html: packetSize; seen with httpd 2.4.71 and Tomcat 10.1.60",
};

const CONTAINER_LARGER: Rule = Rule {
    code: "AJP202",
    name: "container-packet-larger",
    severity: Severity::Error,
    title: "the container sends longer packets than the web server takes",
    reason: "the packet size is not negotiated; a page longer than the web server's packets comes in one that it refuses",
    sees: "pages longer than 8 KB are cut off or empty, with status 200",
    front_log: "incoming message is too big",
    container_log: "",
    advice: "write the same size on both sides: ProxyIOBufferSize in httpd, worker.NAME.max_packet_size in mod_jk",
    affects: "all",
    source: "Tomcat, config/ajp.html: packetSize; seen with httpd 2.4.71 and Tomcat 10.1.60",
};

const OF_WORKER: Rule = Rule {
    code: "AJP203",
    name: "packet-size-of-the-worker",
    severity: Severity::Note,
    title: "the packet size is set by iobuffersize= of the worker, which httpd before 2.4.64 does not take for AJP",
    reason: "before 2.4.64 mod_proxy_ajp looks at the directive ProxyIOBufferSize alone, without a word about the parameter; since then the parameter goes before the directive",
    sees: "with httpd before 2.4.64, as if the parameter were not there: 400 Bad Request for users with long cookies, pages that are cut off where the container has the larger size",
    front_log: "BufferOverflowException",
    container_log: "",
    advice: "write the size as ProxyIOBufferSize, which every httpd takes, and take iobuffersize= out",
    affects: "httpd before 2.4.64",
    source: "httpd, CHANGES of 2.4.64: PR 69402; that the parameter counts since, and before the directive, was seen with httpd 2.4.71",
};

const OUT_OF_RANGE: Rule = Rule {
    code: "AJP204",
    name: "packet-size-out-of-range",
    severity: Severity::Warning,
    title: "the packet size is not one that both sides take as it is",
    reason: "httpd and mod_jk bring it to 8192 to 65536 and round up to steps of 1024, Tomcat only raises it to 8192, so what is written on both sides may differ in force; above 65536 the length does not fit the packet's header",
    sees: "some long requests or pages fail",
    front_log: "incoming message is too big",
    container_log: "received but the packetSize is only",
    advice: "take 8192, 16384, 32768 or 65536",
    affects: "all",
    source: "httpd, mod_proxy_ajp.c; mod_jk, jk_ajp_common.c; Tomcat, config/ajp.html: packetSize",
};

const LONG_HEADS: Rule = Rule {
    code: "AJP205",
    name: "long-heads-allowed",
    severity: Severity::Warning,
    title: "httpd lets in longer headers than one AJP packet holds",
    reason: "the head of a request must fit one packet; what LimitRequestFieldSize and LimitRequestLine let in beyond that fails on its way to the container",
    sees: "400 Bad Request for users with long cookies, Kerberos tickets or tokens",
    front_log: "BufferOverflowException",
    container_log: "",
    advice: "raise the packet size on both sides to hold it: ProxyIOBufferSize and packetSize",
    affects: "all httpd",
    source: "httpd manual, core: LimitRequestFieldSize; seen with httpd 2.4.71",
};

const CERTIFICATES: Rule = Rule {
    code: "AJP206",
    name: "certificates-in-small-packets",
    severity: Severity::Note,
    title: "client certificates travel in the head of each request, and the packet is of the least size",
    reason: "a certificate has 1 to 3 KB as text, a chain more, and cookies come on top of it",
    sees: "400 Bad Request for users whose certificate is long",
    front_log: "BufferOverflowException",
    container_log: "",
    advice: "set 16384 or more on both sides: ProxyIOBufferSize or max_packet_size, and packetSize",
    affects: "all",
    source: "protocol, attribute ssl_cert",
};

#[expect(
    clippy::too_many_lines,
    reason = "one pair of sizes, judged from all sides"
)]
pub(super) fn check(findings: &mut Findings<'_>) {
    let farm = findings.farm;
    for pair in farm.pairs() {
        let (link, connector) = (pair.link, pair.connector);
        // Undertow's own option shapes what it sends, and it takes what comes.
        let Some(theirs) = connector.packet_size() else {
            continue;
        };
        if link.front == Front::Gateway && link.setting("packet_size").is_some() {
            // "auto": it takes what comes, and sends what the container shows that it takes.
            continue;
        }
        let ours = link.packet_size;
        let size = connector.settings.get("packetSize");
        let there = size.map_or(&connector.place, |value| &value.place);
        let here = link.packet_place.as_ref().unwrap_or(&link.place);
        let setting = match (link.front, pair.container.kind) {
            (_, Kind::WildFly) => "max-ajp-packet-size",
            _ => "packetSize",
        };
        if theirs < ours && pair.container.kind == Kind::Tomcat {
            let text = format!(
                "{} sends packets of {ours} bytes, the connector takes {theirs}",
                link.name
            );
            findings
                .add(&CONTAINER_SMALLER, here, text)
                .write(format!("write {setting}=\"{ours}\" into the <Connector>"))
                .see(there, "the smaller size");
        } else if theirs > ours {
            let text = format!(
                "the connector sends packets of {theirs} bytes, {} takes {ours}",
                link.name
            );
            let here_text = match link.front {
                // It goes before the directive.
                Front::ProxyAjp if link.setting("iobuffersize").is_some() => {
                    format!("ProxyIOBufferSize {theirs} in place of iobuffersize=")
                }
                Front::ProxyAjp => format!("ProxyIOBufferSize {theirs}"),
                Front::ModJk => format!("worker.{}.max_packet_size={theirs}", link.name),
                Front::Gateway => format!("packet_size = {theirs}"),
            };
            findings
                .add(&CONTAINER_LARGER, here, text)
                .write(format!(
                    "write {here_text}, or take {setting} out of the container"
                ))
                .see(there, "the larger size");
        }
    }
    for link in &farm.links {
        if let Some(set) = link
            .setting("iobuffersize")
            .filter(|_| link.front == Front::ProxyAjp)
        {
            out_of_range(findings, &set.value, &set.place, "iobuffersize");
            let tree = farm.httpd.as_ref();
            let of_server = tree.and_then(|tree| io_buffer_size(tree, link.site));
            let before = packet_size(of_server.map_or(8192, |size| size.value));
            if link.packet_size != before {
                let text = format!(
                    "{} has packets of {} bytes by iobuffersize=, of {before} with httpd before 2.4.64",
                    link.name, link.packet_size
                );
                findings.add(&OF_WORKER, &set.place, text).write(format!(
                    "write ProxyIOBufferSize {}, and take iobuffersize= out",
                    link.packet_size
                ));
            }
        }
        if let Some(set) = link.setting("max_packet_size") {
            out_of_range(findings, &set.value, &set.place, "max_packet_size");
        }
    }
    for (_, connector) in farm.ajp_connectors() {
        if let Some(set) = connector.known("packetSize") {
            out_of_range(findings, &set.text, &set.place, "packetSize");
        }
    }
    let Some(tree) = &farm.httpd else { return };
    for item in tree.named("proxyiobuffersize") {
        out_of_range(findings, item.arg(0), &item.place, "ProxyIOBufferSize");
    }
    let largest = farm
        .links
        .iter()
        .filter(|link| link.front != Front::Gateway)
        .map(|link| link.packet_size)
        .max();
    let Some(largest) = largest else { return };
    for name in ["limitrequestfieldsize", "limitrequestline"] {
        for item in tree.named(name) {
            if item.arg(0).parse().is_ok_and(|limit: u64| limit > largest) {
                let text = format!(
                    "one header may have {} bytes, the packet {largest}",
                    item.arg(0)
                );
                findings.add(&LONG_HEADS, &item.place, text);
            }
        }
    }
    for item in tree.named("sslverifyclient") {
        let asks = matches!(item.arg(0), "optional" | "require" | "optional_no_ca");
        let of_site = |link: &&crate::lint::farm::Link| {
            let site = item.site();
            link.front != Front::Gateway && (link.site.is_none() || link.site == site)
        };
        if asks && largest == 8192 && farm.links.iter().any(|link| of_site(&link)) {
            findings.add(
                &CERTIFICATES,
                &item.place,
                "client certificates, and packets of 8192 bytes",
            );
        }
    }
}

fn out_of_range(findings: &mut Findings<'_>, text: &str, place: &crate::config::Place, name: &str) {
    let fits = |size: u64| (8192..=65536).contains(&size) && size % 1024 == 0;
    if !text.parse().is_ok_and(fits) {
        findings.add(&OUT_OF_RANGE, place, format!("{name} is {text}"));
    }
}
