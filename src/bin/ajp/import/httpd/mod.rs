//! httpd: `ProxyPass`, `BalancerMember`, `<Proxy>`, and what of mod_jk is in its files.
//!
//! - `files`: conditions, macros, includes.
//! - `jk`: mounts and options of mod_jk.
//! - `proxy`, `parameters`: what is forwarded where.
//! - `access`: who may have what.
//! - `rewrite`: rules that rewrite, redirects, variables that keep a path from being forwarded.
//! - `scope`: attributes, headers, limits and names.
//! - `tls`: `SSL...`.

mod access;
mod files;
mod jk;
mod parameters;
mod proxy;
mod rewrite;
mod scope;
mod tls;

use super::plan::Plan;
use super::values::{self, limit, seconds};
use super::workers;
use crate::config::Text;
use crate::config::httpd::{Definitions, Directive, Macro};
use proxy::{balancer_name, set};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Directives of one line that need no word: the gateway does it unasked.
const COVERED: [&str; 2] = ["proxypreservehost", "loadmodule"];
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
/// How long httpd leaves a member alone that failed.
const RETRY: Duration = Duration::from_secs(60);

/// How deep files may include each other, and macros use each other.
const MAX_DEPTH: usize = 20;
/// Sections that httpd applies to some of the requests of those around them.
const PARTIAL: [&str; 6] = [
    "if",
    "elseif",
    "else",
    "limit",
    "limitexcept",
    "requirenone",
];
/// Sections for files, which httpd does not look for where it forwards a request.
const OF_FILES: [&str; 4] = ["directory", "directorymatch", "files", "filesmatch"];

#[derive(Default)]
struct Section {
    /// In lower case.
    name: String,
    args: Vec<String>,
    place: String,
    /// Where `Order` lets nobody in whom no `Allow` names.
    closed_by_order: Option<String>,
    /// There is an `Allow`.
    allows: bool,
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
    rewrite: rewrite::State,
    defined: Definitions,
    macros: BTreeMap<String, Macro>,
    /// The macro that is being read, and its name.
    recorded: Option<(String, Macro)>,
    /// How many sections are open within one that does not hold.
    skipped: usize,
    /// Files that an `Include` named.
    included: BTreeSet<PathBuf>,
    /// Where relative paths begin.
    root: Option<PathBuf>,
    depth: usize,
    /// Lines that macros have written.
    macro_lines: usize,
}

pub(super) fn read(files: &[Text], plan: &mut Plan) {
    let before = plan.balancers.len();
    let mut reader = Reader::default();
    for file in files {
        reader.sections.clear();
        if !reader.included.contains(Path::new(&*file.name)) {
            reader.file(file, plan);
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
    /// A line that holds, with all values put in.
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
                let text = format!(
                    "{} {}: Define what stands in ${{}}",
                    directive.name,
                    shown(&args)
                );
                if args.contains(&"!") || name == "jkunmount" {
                    plan.open(place, text);
                } else {
                    plan.lost(place, text);
                }
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
            ("proxyiobuffersize", [value]) => {
                match values::packet_size(value) {
                    Some(size) if self.packet_size.is_some_and(|other| other != size) => {
                        plan.lost(
                        place,
                        format!("{value} is not that of other sites: set packet_size for its balancers"),
                    );
                    }
                    Some(size) => self.packet_size = Some(size),
                    None => plan.lost(place, format!("{value} is no packet size")),
                }
            }
            ("sethandler", ["balancer-manager"]) => plan.manager = true,
            ("sethandler", [handler, ..])
                if handler.starts_with("proxy:") || handler.contains("servlet") =>
            {
                plan.lost(
                    place,
                    format!("SetHandler {handler}: map the paths that it means"),
                );
            }
            ("serverroot", [root]) => self.root = Some(root.into()),
            ("proxyrequests", [value]) if value.eq_ignore_ascii_case("off") => {}
            ("proxypassmatch", _) => self.proxy_pass_match(&args, place, plan),
            ("proxypassreverse", _) => self.reverse(&args, false, place, plan),
            ("proxypassreversecookiepath", _) => self.reverse(&args, true, place, plan),
            (
                "require" | "deny" | "allow" | "order" | "satisfy" | "authtype" | "allowmethods",
                _,
            ) => self.access(&name, &args, place, plan),
            ("secrule" | "secaction" | "proxypassinherit", _) => {
                Self::rule_of_server(&name, &args, place, plan);
            }
            ("servername" | "serveralias", names) => self.names(names, plan),
            (
                "setenv" | "unsetenv" | "passenv" | "setenvif" | "setenvifnocase" | "setenvifexpr"
                | "browsermatch" | "browsermatchnocase",
                _,
            ) => self.variable(&name, &args, place, plan),
            (remote_ip, _) if remote_ip.starts_with("remoteip") => {
                Self::remote_ip(remote_ip, &args, place, plan);
            }
            ("limitrequestbody", [limit]) => self.max_body(limit, place, plan),
            ("header" | "requestheader", _) => self.header(&name, &args, place, plan),
            ("redirect" | "redirectmatch" | "redirectpermanent" | "redirecttemp", _) => {
                self.redirect(&name, &args, place, plan);
            }
            ("rewritecond", _) => self.rewrite.condition(&args),
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
        if self.is_about_files() || OPERATION.iter().any(|of| name.starts_with(of)) {
            self.others.insert(directive.name.clone());
        } else {
            plan.left(place, format!("{} {}", directive.name, shown(args)));
        }
    }

    fn section(&mut self, name: &str, directive: &Directive, plan: &mut Plan) {
        if let Some(name) = name.strip_prefix("</") {
            if self.sections.last().is_some_and(|open| open.name == name) {
                self.end_of_order(plan);
                self.sections.pop();
            }
            return;
        }
        if name == "<virtualhost" {
            let place = directive.place.to_string();
            Self::begin_virtual_host(&directive.args, &place, plan);
            self.rewrite = rewrite::State::default();
        }
        self.sections.push(Section {
            name: name.trim_start_matches('<').to_owned(),
            args: directive.args.clone(),
            place: directive.place.to_string(),
            ..Section::default()
        });
    }

    /// The balancer whose section is open.
    fn balancer(&self) -> Option<String> {
        let proxy = self.open("proxy")?;
        balancer_name(proxy.args.first()?)
    }

    fn open(&self, name: &str) -> Option<&Section> {
        self.sections.iter().rev().find(|open| open.name == name)
    }

    /// The path of the open `Location` as it stands there, which mod_jk takes for a pattern of
    /// its own.
    fn location_as_written(&self) -> Option<&str> {
        match &self.open("location")?.args[..] {
            [path] if path.starts_with('/') && !path.contains("${") => Some(path),
            _ => None,
        }
    }

    /// Whether what stands here is for files only.
    fn is_about_files(&self) -> bool {
        let is_of_files = OF_FILES.iter().any(|name| self.open(name).is_some());
        is_of_files && self.location().is_none()
    }

    /// The open section whose requests are only some of those around it.
    fn partial(&self) -> Option<&Section> {
        let mut open = self.sections.iter().rev();
        open.find(|open| PARTIAL.contains(&&*open.name))
    }

    /// The open `<Proxy>` that is for a part of what is forwarded.
    fn part_of_proxy(&self) -> Option<&Section> {
        let open = self.open("proxy").or(self.open("proxymatch"))?;
        Some(open).filter(|open| open.name != "proxy" || open.args != ["*"])
    }

    /// What the open `Location` is for.
    fn location(&self) -> Option<Location<'_>> {
        if let Some(section) = self.open("locationmatch") {
            let regex = section.args.first().filter(|regex| !regex.contains("${"));
            return Some(regex.map_or(Location::Glob, |regex| Location::Regex(regex)));
        }
        Some(match &*self.open("location")?.args {
            // Nobody knows what would stand there.
            args if args.iter().any(|arg| arg.contains("${")) => Location::Glob,
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

    /// Sections that httpd may skip, around what is forwarded.
    fn conditions(&self, plan: &mut Plan) {
        for Section {
            name, args, place, ..
        } in &self.sections
        {
            let first = args.first().map_or("", String::as_str);
            let holds = match &**name {
                "ifmodule" => !first.starts_with('!'),
                "ifdefine" => self.defined.contains_key(first),
                "ifversion" => true,
                other => !other.starts_with("if") && !other.starts_with("else"),
            };
            if !holds {
                let text = format!("<{name} {}> is read as if it held", args.join(" "));
                plan.lost(place, text);
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
