//! httpd: `ProxyPass`, `BalancerMember`, `<Proxy>`, and what of mod_jk is in its files.

use super::Text;
use super::plan::{Member, Plan, weight};
use super::workers;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::Duration;

/// Directives of one line that need no word: the gateway does it unasked.
const COVERED: [&str; 5] = [
    "proxypassreverse",
    "proxypassreversecookiepath",
    "proxypreservehost",
    "loadmodule",
    "jkmountcopy",
];

struct Directive {
    name: String,
    args: Vec<String>,
    place: String,
}

#[derive(Default)]
struct Reader {
    /// Open sections: name in lower case, argument.
    sections: Vec<(String, String)>,
    /// What httpd does itself.
    others: BTreeSet<String>,
    /// `ProxyTimeout`, or else `Timeout`.
    proxy_timeout: Option<Duration>,
    timeout: Option<Duration>,
    /// Lines of `JkWorkerProperty`.
    jk: String,
}

pub(super) fn read(files: &[Text], plan: &mut Plan) {
    let mut reader = Reader::default();
    for file in files {
        reader.sections.clear();
        for directive in directives(file) {
            reader.directive(&directive, plan);
        }
    }
    if !reader.jk.is_empty() {
        let text = Text {
            name: "JkWorkerProperty".to_owned(),
            text: reader.jk,
        };
        let empty = Text {
            name: String::new(),
            text: String::new(),
        };
        workers::read(&text, Some(&empty), plan);
    }
    if let Some(limit) = reader.proxy_timeout.or(reader.timeout) {
        for balancer in &mut plan.balancers {
            balancer.pool.timeout.get_or_insert(limit);
        }
    }
    if !reader.others.is_empty() {
        let names: Vec<_> = reader.others.into_iter().collect();
        let names = names.join(", ");
        plan.note("httpd", format!("left to the web server: {names}"));
    }
}

/// Lines with continuations joined, comments left out.
fn directives(file: &Text) -> Vec<Directive> {
    let mut all = Vec::new();
    let mut joined = String::new();
    let mut start = 0;
    for (number, line) in file.lines() {
        if joined.is_empty() {
            start = number;
        }
        if let Some(line) = line.strip_suffix('\\') {
            joined.push_str(line);
            continue;
        }
        joined.push_str(line);
        let text = std::mem::take(&mut joined);
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let text = match text.strip_prefix('<') {
            Some(section) => format!("<{}", section.trim_end().trim_end_matches('>')),
            None => text.to_owned(),
        };
        let mut args = words(&text);
        if args.is_empty() {
            continue;
        }
        all.push(Directive {
            name: args.remove(0),
            args,
            place: file.place(start),
        });
    }
    all
}

/// Words, and texts in quotes.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) if c == '\\' => {
                if let Some(c) = chars.next() {
                    word.get_or_insert_default().push(c);
                }
            }
            None if c == '"' || c == '\'' => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            None if c.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

impl Reader {
    fn directive(&mut self, directive: &Directive, plan: &mut Plan) {
        let name = directive.name.to_ascii_lowercase();
        if let Some(section) = name.strip_prefix("</") {
            if self
                .sections
                .last()
                .is_some_and(|(open, _)| open == section)
            {
                self.sections.pop();
            }
            return;
        }
        if let Some(section) = name.strip_prefix('<') {
            let argument = directive.args.first().cloned().unwrap_or_default();
            self.sections.push((section.to_owned(), argument));
            return;
        }
        let args: Vec<&str> = directive.args.iter().map(String::as_str).collect();
        let place = &directive.place;
        match (&*name, &args[..]) {
            ("proxypass", _) => self.proxy_pass(&args, place, plan),
            ("balancermember", _) => self.member(&args, place, plan),
            ("proxyset", _) => match (args.first(), self.balancer()) {
                (Some(name), _) if name.starts_with("balancer://") => {
                    let name = name.trim_start_matches("balancer://").to_owned();
                    parameters(
                        Of::Balancer,
                        &name,
                        args.get(1..).unwrap_or_default(),
                        place,
                        plan,
                    );
                }
                (_, Some(name)) => parameters(Of::Balancer, &name, &args, place, plan),
                _ => plan.lost(place, "ProxySet of no balancer"),
            },
            ("proxytimeout", [value]) => self.proxy_timeout = seconds(value),
            ("timeout", [value]) => self.timeout = seconds(value),
            ("proxyiobuffersize", [value]) => {
                plan.note(place, format!("packet_size = {value} is for each balancer"));
            }
            ("sethandler", ["balancer-manager"]) => plan.manager = true,
            ("jkworkerproperty", _) => {
                let _ = writeln!(self.jk, "{}", args.join(" "));
            }
            ("jkmount", [pattern, worker]) => workers::mount(pattern, worker, place, plan),
            ("jkunmount", [pattern, worker]) => {
                workers::mount(&format!("!{pattern}"), worker, place, plan);
            }
            ("jkworkersfile" | "jkmountfile", [file]) => {
                plan.lost(place, format!("give {file} as --workers or --uriworkermap"));
            }
            ("include" | "includeoptional", [file]) => {
                plan.lost(
                    place,
                    format!("{file} was not read; give it as --httpd too"),
                );
            }
            ("proxyrequests", [value]) if value.eq_ignore_ascii_case("off") => {}
            ("proxypassmatch" | "jkoptions" | "jkenvvar" | "jkmountoptions", _) => plan.lost(
                place,
                format!(
                    "{} {}: map the paths that it means",
                    directive.name,
                    args.join(" ")
                ),
            ),
            ("rewriterule", [.., flags]) if is_proxied(flags) => {
                plan.lost(place, "RewriteRule with [P]: map the path that it means");
            }
            (known, _) if COVERED.contains(&known) => {}
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

    /// The balancer whose section is open.
    fn balancer(&self) -> Option<String> {
        let (_, url) = self
            .sections
            .iter()
            .rev()
            .find(|(name, _)| name == "proxy")?;
        Some(
            url.strip_prefix("balancer://")?
                .trim_end_matches('/')
                .to_owned(),
        )
    }

    fn proxy_pass(&self, args: &[&str], place: &str, plan: &mut Plan) {
        let location = self
            .sections
            .iter()
            .rev()
            .find(|(name, _)| name == "location");
        // In a Location the path is that of the section.
        let (path, url, settings) = match (args, location) {
            ([path, url, settings @ ..], None) => (*path, *url, settings),
            ([path, url, settings @ ..], Some(_)) if path.starts_with('/') => {
                (*path, *url, settings)
            }
            ([url, settings @ ..], Some((_, path))) => (&**path, *url, settings),
            _ => {
                plan.lost(place, "ProxyPass without a path and a URL");
                return;
            }
        };
        if url == "!" {
            plan.lost(
                place,
                format!("{path} is left out; the gateway forwards all below a path, so serve it in front"),
            );
            return;
        }
        let Some((scheme, rest)) = url.split_once("://") else {
            plan.lost(place, format!("{url} is no URL"));
            return;
        };
        let (authority, target) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        match scheme {
            "balancer" => {
                parameters(Of::Balancer, authority, settings, place, plan);
                plan.map(path, authority, target);
            }
            "ajp" => {
                let name = format!("ajp-{authority}");
                let url = format!("ajp://{authority}");
                let is_new = plan.balancer(&name).members.is_empty();
                if is_new {
                    plan.balancer(&name).members.push(Member {
                        url,
                        ..Member::default()
                    });
                }
                parameters(Of::Member, &name, settings, place, plan);
                plan.map(path, &name, target);
            }
            _ => plan.lost(
                place,
                format!("{path} leads to {scheme}://; the gateway speaks AJP only"),
            ),
        }
    }

    fn member(&self, args: &[&str], place: &str, plan: &mut Plan) {
        let (name, url, settings) = match args {
            [name, url, settings @ ..] if name.starts_with("balancer://") => {
                let name = name.trim_start_matches("balancer://").trim_end_matches('/');
                (Some(name.to_owned()), *url, settings)
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
        let mut member = Member {
            url: format!("ajp://{authority}"),
            ..Member::default()
        };
        let is_first = plan.balancer(&name).members.is_empty();
        let mut of_pool = Vec::new();
        for (key, value) in settings.iter().filter_map(|pair| pair.split_once('=')) {
            match &*key.to_ascii_lowercase() {
                "route" => member.route = Some(value.to_owned()),
                "loadfactor" => match weight(value) {
                    Some(weight) => member.weight = Some(weight),
                    None => plan.lost(
                        place,
                        format!("loadfactor={value} is no weight from 0.01 to 10000"),
                    ),
                },
                "lbset" => member.set = value.parse().ok().filter(|set| *set > 0),
                "status" => status(value, &mut member, place, plan),
                "redirect" => plan.lost(
                    place,
                    format!("redirect={value}: give that member status +H, or a higher set"),
                ),
                _ => of_pool.push((key, value)),
            }
        }
        plan.balancer(&name).members.push(member);
        let before = (
            plan.balancer(&name).pool.clone(),
            plan.balancer(&name).health.clone(),
        );
        for (key, value) in of_pool {
            parameter(Of::Member, &name, key, value, place, plan);
        }
        let balancer = plan.balancer(&name);
        let differs = (balancer.pool.clone(), balancer.health.clone()) != before;
        if !is_first && differs {
            plan.lost(
                place,
                "differs from the member before it in secret, packet size, connections, timeouts \
                 or checks, which are the balancer's in the gateway; split the balancer",
            );
        }
    }
}

fn is_proxied(flags: &str) -> bool {
    let flags = flags.trim_matches(['[', ']']);
    flags
        .split(',')
        .any(|flag| matches!(flag.trim(), "P" | "proxy"))
}

/// httpd's letters, each with `+` or without, or `-` to take it away.
fn status(value: &str, member: &mut Member, place: &str, plan: &mut Plan) {
    let mut adds = true;
    for letter in value.chars() {
        match letter.to_ascii_uppercase() {
            '+' => adds = true,
            '-' => adds = false,
            known @ ('I' | 'D' | 'S' | 'H' | 'R' | 'N') => {
                member.status.retain(|other| other != known);
                if adds {
                    member.status.push(known);
                }
            }
            other => plan.lost(place, format!("status {other} is httpd's own state")),
        }
    }
}

/// What a parameter belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    Balancer,
    Member,
}

fn parameters(of: Of, name: &str, settings: &[&str], place: &str, plan: &mut Plan) {
    for setting in settings {
        match setting.split_once('=') {
            Some((key, value)) => parameter(of, name, key, value, place, plan),
            None if setting.eq_ignore_ascii_case("nocanon") => {
                plan.note(place, "nocanon: the gateway forwards paths as they come");
            }
            None => plan.lost(place, format!("{setting} is not known to the gateway")),
        }
    }
}

/// A parameter of `ProxyPass`, `ProxySet` or of a member's connections.
fn parameter(of: Of, name: &str, key: &str, value: &str, place: &str, plan: &mut Plan) {
    let whole = || value.parse::<u64>().ok();
    let balancer = plan.balancer(name);
    let mut known = true;
    match &*key.to_ascii_lowercase() {
        "secret" => balancer.pool.secret = Some(value.to_owned()),
        "iobuffersize" => balancer.pool.packet_size = whole(),
        "max" => balancer.pool.max_connections = whole(),
        "connectiontimeout" | "connecttimeout" => balancer.pool.connect_timeout = seconds(value),
        "acquire" => balancer.pool.acquire_timeout = millis(value),
        // Of a balancer it is the time for a free connection.
        "timeout" if of == Of::Balancer => balancer.pool.acquire_timeout = seconds(value),
        "timeout" => balancer.pool.timeout = seconds(value),
        "retry" => balancer.retry = seconds(value),
        "stickysession" => balancer.sticky = Some(value.to_owned()),
        "nofailover" => balancer.nofailover = value.eq_ignore_ascii_case("on"),
        "maxattempts" => balancer.attempts = whole().map(|count| count.saturating_add(1)),
        "failonstatus" => {
            let statuses = value.split(',').filter_map(|one| one.trim().parse().ok());
            balancer.fail_on_status = statuses.collect();
        }
        "lbmethod" => match value {
            "byrequests" => {}
            "bytraffic" => balancer.method = Some("bytraffic"),
            "bybusyness" => balancer.method = Some("bybusyness"),
            _ => known = false,
        },
        "hcmethod" => match &*value.to_ascii_uppercase() {
            "CPING" | "TCP" => balancer.health.check = Some("cping"),
            "NONE" => {}
            _ => {
                balancer.health.check = Some("http");
                balancer.health.path.get_or_insert_with(|| "/".to_owned());
            }
        },
        "hcinterval" => balancer.health.interval = seconds(value),
        "hcpasses" => balancer.health.rise = whole(),
        "hcfails" => balancer.health.fall = whole(),
        "hcuri" => balancer.health.path = Some(value.to_owned()),
        "ping" => plan.note(
            place,
            "ping: the pool probes connections that were idle for a second",
        ),
        "min" | "smax" | "ttl" | "keepalive" | "disablereuse" | "enablereuse" | "flushpackets"
        | "flushwait" | "receivebuffersize" | "addressttl" | "growth" | "nonce"
        | "forcerecovery" | "scolonpathdelim" => {
            plan.note(
                place,
                format!("{key}: not needed, or the gateway's own way"),
            );
        }
        _ => known = false,
    }
    if key.eq_ignore_ascii_case("secret") {
        plan.note(place, "the secret goes to a file, see secret_file");
    }
    if !known {
        plan.lost(place, format!("{key}={value} is not known to the gateway"));
    }
}

/// `5`, or `500ms`.
fn seconds(value: &str) -> Option<Duration> {
    let digits = value.trim_end_matches(|c: char| !c.is_ascii_digit());
    let number: u64 = digits.parse().ok()?;
    Some(match value.strip_prefix(digits) {
        Some("ms") => Duration::from_millis(number),
        Some("mi" | "min") => Duration::from_secs(number.saturating_mul(60)),
        Some("h") => Duration::from_secs(number.saturating_mul(3600)),
        _ => Duration::from_secs(number),
    })
}

/// `500`, or `5s`.
fn millis(value: &str) -> Option<Duration> {
    match value.parse() {
        Ok(number) => Some(Duration::from_millis(number)),
        Err(_) => seconds(value),
    }
}
