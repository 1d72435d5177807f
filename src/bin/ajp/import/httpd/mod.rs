//! httpd: `ProxyPass`, `BalancerMember`, `<Proxy>`, and what of mod_jk is in its files.
//!
//! - `proxy`, `parameters`: what is forwarded where.
//! - `access`: who may have what.
//! - `scope`: attributes, headers, limits and names.
//! - `tls`: `SSL...`.

mod access;
mod parameters;
mod proxy;
mod scope;
mod tls;

use super::plan::Plan;
use super::values::{self, limit, seconds};
use super::workers;
use crate::config::Text;
use crate::config::httpd::{Defined, Directive, directives};
use proxy::{balancer_name, set};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::Duration;

/// Directives of one line that need no word: the gateway does it unasked.
const COVERED: [&str; 4] = ["proxypreservehost", "loadmodule", "jkmountcopy", "define"];
/// Directives about the program, its files and its logs, which are named in one line.
const OPERATION: [&str; 17] = [
    "listen",
    "server",
    "pidfile",
    "user",
    "group",
    "mutex",
    "default",
    "document",
    "directory",
    "log",
    "customlog",
    "errorlog",
    "transferlog",
    "max",
    "keepalive",
    "thread",
    "host",
];
/// Options of mod_jk that are the gateway's own way.
const JK_OPTIONS: [&str; 8] = [
    "+forwarduriproxy",
    "+forwarduricompat",
    "+forwarduricompatunparsed",
    "+forwardkeysize",
    "-forwarddirectories",
    "+forwardlocaladdress",
    "+rejectunsafeuri",
    "+flushpackets",
];
/// How long httpd leaves a member alone that failed.
const RETRY: Duration = Duration::from_secs(60);

struct Section {
    /// In lower case.
    name: String,
    args: Vec<String>,
    place: String,
}

/// What the open `Location` is for.
#[derive(Debug, Clone, Copy)]
enum Location<'a> {
    Path(&'a str),
    Regex(&'a str),
    /// With stars.
    Glob,
}

#[derive(Default)]
struct Reader {
    /// Those that are open.
    sections: Vec<Section>,
    /// What httpd does itself.
    others: BTreeSet<String>,
    /// `ProxyTimeout`, or else `Timeout`.
    proxy_timeout: Option<Duration>,
    timeout: Option<Duration>,
    /// `ProxyIOBufferSize`
    packet_size: Option<u64>,
    /// Lines of `JkWorkerProperty`.
    jk: String,
    /// `RewriteCond` came last.
    has_rewrite_condition: bool,
}

pub(super) fn read(files: &[Text], plan: &mut Plan) {
    let before = plan.balancers.len();
    let mut reader = Reader::default();
    let mut defined = Defined::new();
    for file in files {
        reader.sections.clear();
        for directive in directives(file, &mut defined) {
            reader.directive(&directive, plan);
        }
    }
    let timeout = reader.proxy_timeout.or(reader.timeout);
    for balancer in plan.balancers.iter_mut().skip(before) {
        balancer.pool.timeout = balancer.pool.timeout.or(timeout);
        balancer.pool.packet_size = balancer.pool.packet_size.or(reader.packet_size);
        balancer.retry.get_or_insert(RETRY);
    }
    if !reader.jk.is_empty() {
        let text = Text::new("JkWorkerProperty", reader.jk);
        let empty = Text::new("", "");
        workers::read(&text, Some(&empty), plan);
    }
    if !reader.others.is_empty() {
        let names: Vec<_> = reader.others.into_iter().collect();
        let names = names.join(", ");
        plan.note("httpd", format!("left to the web server: {names}"));
    }
}

/// Arguments as a remark may show them.
fn shown(args: &[&str]) -> String {
    let is_secret = |arg: &&str| arg.to_ascii_lowercase().contains("secret");
    let args = args
        .iter()
        .map(|arg| if is_secret(arg) { "[redacted]" } else { arg });
    args.collect::<Vec<_>>().join(" ")
}

impl Reader {
    fn directive(&mut self, directive: &Directive, plan: &mut Plan) {
        let name = directive.name.to_ascii_lowercase();
        if name.starts_with('<') {
            self.section(&name, directive, plan);
            return;
        }
        let args: Vec<&str> = directive.args.iter().map(String::as_str).collect();
        let place = &directive.place.to_string();
        if ["proxy", "balancer", "jk"]
            .iter()
            .any(|of| name.starts_with(of))
        {
            self.conditions(plan);
            if args.iter().any(|arg| arg.contains("${")) {
                let text = format!("{} {}", directive.name, shown(&args));
                plan.lost(place, format!("{text}: Define what stands in ${{}}"));
                return;
            }
        }
        match (&*name, &args[..]) {
            ("proxypass", _) => self.proxy_pass(&args, place, plan),
            ("balancermember", _) => self.member(&args, place, plan),
            ("proxyset", [first, settings @ ..]) if first.starts_with("balancer://") => {
                set(balancer_name(first), settings, place, plan);
            }
            ("proxyset", _) => set(self.balancer(), &args, place, plan),
            ("proxytimeout", [value]) => time_limit(&mut self.proxy_timeout, value, place, plan),
            ("timeout", [value]) => time_limit(&mut self.timeout, value, place, plan),
            ("proxyiobuffersize", [value]) => match values::packet_size(value) {
                Some(size) => self.packet_size = Some(size),
                None => plan.lost(place, format!("{value} is no packet size")),
            },
            ("sethandler", ["balancer-manager"]) => plan.manager = true,
            ("sethandler", [handler, ..])
                if handler.starts_with("proxy:") || handler.contains("servlet") =>
            {
                plan.lost(
                    place,
                    format!("SetHandler {handler}: map the paths that it means"),
                );
            }
            ("use", _) => plan.lost(
                place,
                "macros are not expanded; write out what this one says",
            ),
            ("include" | "includeoptional", [file]) => {
                plan.lost(
                    place,
                    format!("{file} was not read; give it as --httpd too"),
                );
            }
            ("proxyrequests", [value]) if value.eq_ignore_ascii_case("off") => {}
            ("proxypassmatch", _) => self.proxy_pass_match(&args, place, plan),
            ("proxypassreverse", _) => self.reverse(&args, false, place, plan),
            ("proxypassreversecookiepath", _) => self.reverse(&args, true, place, plan),
            ("require" | "deny" | "allow" | "order" | "satisfy" | "authtype", _) => {
                self.access(&name, &args, place, plan);
            }
            ("servername" | "serveralias", names) => self.names(names, plan),
            ("setenv" | "unsetenv" | "passenv" | "setenvif" | "setenvifnocase", _) => {
                self.variable(&name, &args, place, plan);
            }
            ("limitrequestbody", [limit]) => self.max_body(limit, place, plan),
            ("header" | "requestheader", _) => self.header(&name, &args, place, plan),
            ("redirect" | "redirectmatch" | "redirectpermanent", _) => {
                self.redirect(&name, &args, place, plan);
            }
            ("rewritecond", _) => self.has_rewrite_condition = true,
            ("rewriterule", _) => self.rewrite(&args, place, plan),
            ("rewriteengine", _) => {}
            (ssl, args) if ssl.starts_with("ssl") => self.tls(ssl, args, place, plan),
            (known, _) if COVERED.contains(&known) => {}
            (jk, args) if jk.starts_with("jk") => self.jk(directive, jk, args, plan),
            (other, _) if other.starts_with("proxy") || other.starts_with("balancer") => {
                plan.lost(
                    place,
                    format!(
                        "{} is httpd's own; the gateway has no such thing",
                        directive.name
                    ),
                );
            }
            _ => self.left(directive, &args, place, plan),
        }
    }

    /// What is no business of a gateway.
    fn left(&mut self, directive: &Directive, args: &[&str], place: &str, plan: &mut Plan) {
        let name = directive.name.to_ascii_lowercase();
        let is_about_files = self.open("directory").or(self.open("files")).is_some();
        if is_about_files || OPERATION.iter().any(|of| name.starts_with(of)) {
            self.others.insert(directive.name.clone());
        } else {
            plan.left(place, format!("{} {}", directive.name, shown(args)));
        }
    }

    fn section(&mut self, name: &str, directive: &Directive, plan: &mut Plan) {
        if let Some(name) = name.strip_prefix("</") {
            if self.sections.last().is_some_and(|open| open.name == name) {
                self.sections.pop();
            }
            return;
        }
        if name == "<virtualhost" {
            let place = directive.place.to_string();
            Self::begin_virtual_host(&directive.args, &place, plan);
        }
        self.sections.push(Section {
            name: name.trim_start_matches('<').to_owned(),
            args: directive.args.clone(),
            place: directive.place.to_string(),
        });
    }

    /// What of mod_jk is in httpd's files.
    fn jk(&mut self, directive: &Directive, name: &str, args: &[&str], plan: &mut Plan) {
        let place = &directive.place.to_string();
        match (name, args) {
            ("jkworkerproperty", _) => {
                let _ = writeln!(self.jk, "{}", args.join(" "));
            }
            ("jkmount", [pattern, worker]) => {
                workers::mount(pattern, worker, place, self.site(), plan);
            }
            ("jkunmount", [pattern, worker]) => {
                workers::mount(&format!("!{pattern}"), worker, place, self.site(), plan);
            }
            ("jkmount", [worker]) => match self.location() {
                Some(Location::Path(path)) => {
                    workers::mount(path, worker, place, self.site(), plan);
                }
                _ => plan.lost(place, "JkMount without a path; map the one that it means"),
            },
            ("jkworkersfile", [file]) => {
                if !plan.has_workers {
                    plan.lost(place, format!("give {file} as --workers"));
                }
            }
            ("jkmountfile", [file]) => {
                plan.mount_files.push(self.site().map(str::to_owned));
                if !plan.has_uri_map {
                    plan.lost(place, format!("give {file} as --uriworkermap"));
                }
            }
            ("jkoptions", options) if options.iter().all(is_own_way) => plan.note(
                place,
                format!("JkOptions {}: as the gateway does it", shown(args)),
            ),
            ("jkoptions" | "jkenvvar" | "jkmountoptions" | "jkautoalias", _) => {
                let text = format!("{} {}", directive.name, shown(args));
                plan.lost(
                    place,
                    format!(
                        "{text}: the gateway has no such thing; leave it, or keep httpd in front"
                    ),
                );
            }
            _ => {
                self.others.insert(directive.name.clone());
            }
        }
    }

    /// The balancer whose section is open.
    fn balancer(&self) -> Option<String> {
        let proxy = self.open("proxy")?;
        balancer_name(proxy.args.first()?)
    }

    fn open(&self, name: &str) -> Option<&Section> {
        self.sections.iter().rev().find(|open| open.name == name)
    }

    /// What the open `Location` is for.
    fn location(&self) -> Option<Location<'_>> {
        if let Some(section) = self.open("locationmatch") {
            let regex = section.args.first();
            return Some(regex.map_or(Location::Glob, |regex| Location::Regex(regex)));
        }
        Some(match &*self.open("location")?.args {
            [tilde, regex] if tilde == "~" => Location::Regex(regex),
            [path] if path.starts_with('/') && !path.contains(['*', '?', '[']) => {
                Location::Path(path)
            }
            _ => Location::Glob,
        })
    }

    /// The open virtual host.
    fn site(&self) -> Option<&str> {
        Some(&self.open("virtualhost")?.place)
    }

    /// Sections that httpd may skip.
    fn conditions(&self, plan: &mut Plan) {
        for Section { name, args, place } in &self.sections {
            let is_negated = args.first().is_some_and(|arg| arg.starts_with('!'));
            let is_condition = name.starts_with("if") || name.starts_with("else");
            if is_condition && (name != "ifmodule" || is_negated) {
                let text = format!("<{name} {}> is read as if it held", args.join(" "));
                plan.note(place, text);
            }
        }
    }
}

fn time_limit(known: &mut Option<Duration>, value: &str, place: &str, plan: &mut Plan) {
    match limit(seconds(value)) {
        Some(time) if known.is_some_and(|known| known != time) => plan.lost(
            place,
            format!(
                "{value} is another limit than before, which is kept; set timeout of each balancer"
            ),
        ),
        Some(time) => *known = Some(time),
        None => plan.lost(
            place,
            format!("{value} is no limit that the gateway has; set timeout"),
        ),
    }
}

/// Whether it is an option of mod_jk that needs no word.
fn is_own_way(option: &&str) -> bool {
    JK_OPTIONS.contains(&&*option.to_ascii_lowercase())
}
