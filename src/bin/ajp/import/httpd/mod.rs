//! httpd: `ProxyPass`, `BalancerMember`, `<Proxy>`, and what of mod_jk is in its files.

mod parameters;

use super::plan::{Kind, Map, Plan, Reverse, Told};
use super::values::{self, limit, seconds};
use super::workers;
use crate::config::Text;
use crate::config::httpd::{Defined, Directive, directives};
use parameters::{Of, member, parameters};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::Duration;

/// Directives of one line that need no word: the gateway does it unasked.
const COVERED: [&str; 3] = ["proxypreservehost", "loadmodule", "jkmountcopy"];
/// How long httpd leaves a member alone that failed.
const RETRY: Duration = Duration::from_secs(60);

struct Section {
    /// In lower case.
    name: String,
    args: Vec<String>,
    place: String,
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

/// The name of a balancer in `balancer://name/path`: httpd takes it without regard to case.
fn balancer_name(url: &str) -> Option<String> {
    let rest = url.strip_prefix("balancer://")?;
    Some(rest.split('/').next()?.to_ascii_lowercase())
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
            self.section(&name, directive);
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
            ("setenv" | "setenvif", [.., variable, _]) if variable.starts_with("AJP_") => plan
                .lost(
                    place,
                    format!("{variable}: the gateway sends no attribute from a variable"),
                ),
            ("limitrequestbody", [limit]) if *limit != "0" => plan.lost(
                place,
                format!("LimitRequestBody {limit}: set max_body, which is for all sites"),
            ),
            ("ssloptions", _) => plan.note(
                place,
                "SSLOptions: the gateway tells what it knows of TLS without being asked",
            ),
            ("rewriterule", [.., flags]) if is_proxied(flags) => {
                plan.lost(place, "RewriteRule with [P]: map the path that it means");
            }
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
            _ => {
                self.others.insert(directive.name.clone());
            }
        }
    }

    fn section(&mut self, name: &str, directive: &Directive) {
        if let Some(name) = name.strip_prefix("</") {
            if self.sections.last().is_some_and(|open| open.name == name) {
                self.sections.pop();
            }
            return;
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
                Some(Ok(path)) => workers::mount(path, worker, place, self.site(), plan),
                _ => plan.lost(place, "JkMount without a path; map the one that it means"),
            },
            ("jkworkersfile" | "jkmountfile", [file]) => {
                plan.lost(place, format!("give {file} as --workers or --uriworkermap"));
            }
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

    /// The path of the open `Location`; `Err`: a pattern.
    fn location(&self) -> Option<Result<&str, ()>> {
        if self.open("locationmatch").is_some() {
            return Some(Err(()));
        }
        match &*self.open("location")?.args {
            [path] if path.starts_with('/') && !path.contains(['*', '?', '[']) => Some(Ok(path)),
            _ => Some(Err(())),
        }
    }

    /// The open virtual host.
    fn site(&self) -> Option<&str> {
        Some(&self.open("virtualhost")?.place)
    }

    /// Names of the open virtual host.
    fn names(&self, names: &[&str], plan: &mut Plan) {
        let Some(site) = self.site() else { return };
        let hosts = names.iter().map(|name| {
            let name = name.split("://").last().unwrap_or(name);
            name.split(':').next().unwrap_or(name).to_owned()
        });
        match plan.hosts.iter_mut().find(|(known, _)| known == site) {
            Some((_, known)) => known.extend(hosts),
            None => plan.hosts.push((site.to_owned(), hosts.collect())),
        }
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

    fn proxy_pass(&self, args: &[&str], place: &str, plan: &mut Plan) {
        // In a Location the path is that of the section.
        let (path, url, settings) = match (args, self.location()) {
            ([path, url, settings @ ..], _) if !path.contains("://") && *path != "!" => {
                (*path, *url, settings)
            }
            ([url, settings @ ..], Some(Ok(path))) => (path, *url, settings),
            (_, Some(Err(()))) => {
                let text = "ProxyPass in a Location with a pattern; map the path that it means";
                plan.lost(place, text);
                return;
            }
            _ => {
                plan.lost(place, "ProxyPass without a path and a URL");
                return;
            }
        };
        if path.contains('*') {
            let text = format!("{path} is no plain path; map the path that it means");
            plan.lost(place, text);
            return;
        }
        if url == "!" {
            self.exclude(path.to_owned(), Kind::NotFound, place, plan);
            return;
        }
        self.forward(path.to_owned(), url, settings, place, plan);
    }

    /// A path, or pattern, that is not forwarded.
    fn exclude(&self, path: String, kind: Kind, place: &str, plan: &mut Plan) {
        plan.map(Map {
            place: place.to_owned(),
            path,
            balancer: String::new(),
            target: "/".to_owned(),
            kind,
            location: true,
            cookie_path: true,
            site: self.site().map(str::to_owned),
            is_in_order: self.location().is_none(),
        });
    }

    /// A regular expression and where it leads.
    fn proxy_pass_match(&self, args: &[&str], place: &str, plan: &mut Plan) {
        match args {
            [regex, "!"] => self.exclude(format!("~ {regex}"), Kind::NotFound, place, plan),
            [regex, url, settings @ ..] if regex::Regex::new(regex).is_ok() => {
                self.forward(format!("~ {regex}"), url, settings, place, plan);
            }
            _ => plan.lost(
                place,
                format!(
                    "ProxyPassMatch {}: map the paths that it means",
                    shown(args)
                ),
            ),
        }
    }

    /// `ProxyPassReverse` and `ProxyPassReverseCookiePath`.
    fn reverse(&self, args: &[&str], is_cookie: bool, place: &str, plan: &mut Plan) {
        let (path, of) = match (args, self.location()) {
            ([of, path], _) if is_cookie => (*path, *of),
            ([path, of, ..], _) if path.starts_with('/') => (*path, *of),
            ([of], Some(Ok(path))) => (path, *of),
            _ => {
                plan.lost(place, "maps back by a pattern; map the path that it means");
                return;
            }
        };
        plan.reverses.push(Reverse {
            place: place.to_owned(),
            site: self.site().map(str::to_owned),
            path: path.to_owned(),
            of: of.to_owned(),
            is_cookie,
        });
    }

    /// Who may have what. The gateway can only deny all of a path; any other rule, if it is
    /// about what is forwarded, must not be lost.
    fn access(&self, name: &str, args: &[&str], place: &str, plan: &mut Plan) {
        let is_about_files = self
            .open("directory")
            .or(self.open("directorymatch"))
            .is_some();
        let is_forwarded = self.open("location").is_some()
            || self.open("locationmatch").is_some()
            || self.open("proxy").is_some();
        let lower: Vec<_> = args.iter().map(|arg| arg.to_ascii_lowercase()).collect();
        let words: Vec<_> = lower.iter().map(String::as_str).collect();
        match (name, &words[..]) {
            ("require", ["all", "granted"]) | ("allow", ["from", "all"]) | ("order", _) => {}
            _ if is_about_files || !is_forwarded => {}
            ("require", ["all", "denied"]) | ("deny", ["from", "all"]) => match self.location() {
                Some(Ok(path)) => self.exclude(path.to_owned(), Kind::Forbidden, place, plan),
                _ => plan.open(place, "denies what a pattern means; map it to deny"),
            },
            _ => plan.open(
                place,
                format!(
                    "{name} {}: the gateway knows no users and no networks; keep that path with \
                     httpd, or protect it in the application",
                    shown(args)
                ),
            ),
        }
    }

    fn forward(&self, path: String, url: &str, settings: &[&str], place: &str, plan: &mut Plan) {
        let Some((scheme, rest)) = url.split_once("://") else {
            plan.lost(place, format!("{url} is no URL"));
            return;
        };
        let (authority, target) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        let balancer = match scheme {
            "balancer" => {
                let name = authority.to_ascii_lowercase();
                of_balancer(&name, settings, place, plan);
                name
            }
            "ajp" => {
                let mut told = Told::default();
                let url = format!("ajp://{authority}");
                let (member, own) = member(url, settings, place, &mut told);
                plan.tell(place, told);
                plan.direct(member, &own)
            }
            _ => {
                plan.lost(
                    place,
                    format!("{path} leads to {scheme}://; the gateway speaks AJP only"),
                );
                return;
            }
        };
        plan.map(Map {
            place: place.to_owned(),
            path,
            balancer,
            target: target.to_owned(),
            kind: Kind::Forward,
            location: true,
            cookie_path: true,
            site: self.site().map(str::to_owned),
            is_in_order: self.location().is_none(),
        });
    }

    fn member(&self, args: &[&str], place: &str, plan: &mut Plan) {
        let (name, url, settings) = match args {
            [name, url, settings @ ..] if name.starts_with("balancer://") => {
                (balancer_name(name), *url, settings)
            }
            [url, settings @ ..] => (self.balancer(), *url, settings),
            [] => (None, "", &[][..]),
        };
        let Some(name) = name else {
            plan.lost(place, "BalancerMember of no balancer");
            return;
        };
        let Some(rest) = url.strip_prefix("ajp://") else {
            plan.lost(place, format!("{url}: the gateway speaks AJP only"));
            return;
        };
        let authority = rest.split('/').next().unwrap_or(rest);
        if rest.trim_end_matches('/') != authority {
            plan.lost(
                place,
                format!("{url} has a path; put it into to of the [[map]]"),
            );
        }
        let mut told = Told::default();
        let (member, own) = member(format!("ajp://{authority}"), settings, place, &mut told);
        plan.tell(place, told);
        let balancer = plan.balancer(&name);
        balancer.members.push(member);
        let Some(first) = &balancer.of_first else {
            balancer.of_first = Some(own.clone());
            balancer.take(own);
            return;
        };
        let is_alike = first.pool == own.pool && first.health == own.health;
        let has_other_retry = first.retry != own.retry;
        if !is_alike {
            plan.lost(
                place,
                "differs from the first member in secret, packet size, connections, timeouts or \
                 checks, which are the balancer's in the gateway; the first one's are kept, else \
                 split the balancer",
            );
        }
        if has_other_retry {
            plan.note(
                place,
                "retry is the balancer's in the gateway: the first member's",
            );
        }
    }
}

/// `ProxySet`.
fn set(name: Option<String>, settings: &[&str], place: &str, plan: &mut Plan) {
    match name {
        Some(name) => of_balancer(&name, settings, place, plan),
        None => plan.lost(
            place,
            "ProxySet of no balancer; give it to each ProxyPass of this container",
        ),
    }
}

/// Settings of a balancer.
fn of_balancer(name: &str, settings: &[&str], place: &str, plan: &mut Plan) {
    let mut told = Told::default();
    parameters(Of::Balancer, plan.balancer(name), settings, &mut told);
    plan.tell(place, told);
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

fn is_proxied(flags: &str) -> bool {
    let flags = flags.trim_matches(['[', ']']);
    flags
        .split(',')
        .any(|flag| matches!(flag.trim(), "P" | "proxy"))
}
