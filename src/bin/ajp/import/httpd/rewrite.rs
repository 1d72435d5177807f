//! What httpd does with a path before it forwards anything: rules that rewrite, redirects, and
//! variables that keep a path from being forwarded.

use super::{Location, Reader, shown};
use crate::import::plan::{Diversion, Kind, Map, Plan};

/// Variables that keep a request from `ProxyPass` and from `JkMount`.
const KEEPS: [&str; 2] = ["no-proxy", "no-jk"];

/// For which of the requests that its pattern fits a rule is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RewriteScope {
    All,
    /// Those with some host or scheme, which visitors choose: nothing is kept from them so.
    SomeHosts,
    Some,
}

/// What of the rules before decides over the next one.
#[derive(Debug, Default)]
pub(super) struct State {
    /// `RewriteCond` came last; what the conditions since the last rule are about.
    condition: Option<RewriteScope>,
    /// The rule before has the flag `C`: this one is only for what that one is for.
    is_chained: bool,
    /// How many rules the flag `S` of one before leaves out of some requests.
    skips: usize,
    /// A rule before ends the rules for what it is for, and changes nothing.
    has_exceptions: bool,
}

impl State {
    /// `RewriteCond`
    pub(super) fn condition(&mut self, args: &[&str]) {
        const HOSTS: [&str; 6] = [
            "%{HTTPS}",
            "%{REQUEST_SCHEME}",
            "%{SERVER_PORT}",
            "%{HTTP_HOST}",
            "%{SERVER_NAME}",
            "%{HTTP:X-Forwarded-Proto}",
        ];
        let is_host = |of: &&str| HOSTS.iter().any(|host| host.eq_ignore_ascii_case(of));
        let is_of_host =
            args.first().is_some_and(is_host) && self.condition != Some(RewriteScope::Some);
        self.condition = Some(if is_of_host {
            RewriteScope::SomeHosts
        } else {
            RewriteScope::Some
        });
    }

    /// What the next rule is for.
    fn begin(&mut self) -> RewriteScope {
        let is_alone = !self.is_chained && self.skips == 0 && !self.has_exceptions;
        let condition = self.condition.take().unwrap_or(RewriteScope::All);
        self.skips = self.skips.saturating_sub(1);
        if is_alone {
            condition
        } else {
            RewriteScope::Some
        }
    }
}

/// Flags of a rule, in upper case.
struct Flags(Vec<String>);

impl Flags {
    fn of(text: &str) -> Self {
        let flags = text.trim_matches(['[', ']']).split(',').map(str::trim);
        Self(flags.map(str::to_ascii_uppercase).collect())
    }

    fn has(&self, names: &[&str]) -> bool {
        self.0.iter().any(|flag| names.contains(&flag.as_str()))
    }

    /// The value of a flag of these names.
    fn value(&self, names: [&str; 2]) -> Option<&str> {
        self.0.iter().find_map(|flag| {
            let (name, value) = flag.split_once('=')?;
            names.contains(&name).then_some(value)
        })
    }

    /// What is answered instead of the path.
    fn refusal(&self) -> Option<Kind> {
        if self.has(&["F", "FORBIDDEN"]) {
            return Some(Kind::Forbidden);
        }
        if self.has(&["G", "GONE"]) {
            return Some(Kind::NotFound);
        }
        refusal(self.value(["R", "REDIRECT"])?)
    }

    /// Whether the path goes elsewhere for good.
    fn is_redirect(&self) -> bool {
        self.has(&["R", "REDIRECT"]) || self.value(["R", "REDIRECT"]).is_some()
    }
}

/// What a status means that is no redirect.
pub(super) fn refusal(status: &str) -> Option<Kind> {
    match status.parse::<u16>() {
        Ok(404 | 410) => Some(Kind::NotFound),
        Ok(300..=399) => None,
        Ok(_) => Some(Kind::Forbidden),
        Err(_) if status.eq_ignore_ascii_case("gone") => Some(Kind::NotFound),
        Err(_) => None,
    }
}

impl Reader {
    /// `RewriteRule`: a refusal is expressed, or stops the import.
    pub(super) fn rewrite(&mut self, args: &[&str], place: &str, plan: &mut Plan) {
        let text = format!("RewriteRule {}", shown(args));
        let requests = self.rewrite.begin();
        let [pattern, to, rest @ ..] = args else {
            plan.lost(place, text);
            return;
        };
        let flags = Flags::of(&rest.join(" "));
        self.rewrite.is_chained = flags.has(&["C", "CHAIN"]);
        if let Some(count) = flags.value(["S", "SKIP"]) {
            let count = count.parse().unwrap_or(usize::MAX);
            self.rewrite.skips = self.rewrite.skips.max(count);
        }
        let kind = flags.refusal();
        let ends = flags.has(&["L", "LAST", "END"]) && kind.is_none();
        self.rewrite.has_exceptions |= ends && *to == "-";
        if self.is_about_files() {
            plan.left(place, text);
            return;
        }
        let is_expressible = requests == RewriteScope::All
            && !pattern.starts_with('!')
            && !pattern.contains("${")
            && self.location().is_none()
            && self.partial().is_none()
            && regex::Regex::new(pattern).is_ok();
        let case = if flags.has(&["NC", "NOCASE"]) {
            "(?i)"
        } else {
            ""
        };
        let path = format!("~ {case}{pattern}");
        let keeps = |flag: &String| {
            let variable = flag.strip_prefix("E=").or(flag.strip_prefix("ENV="));
            let name = variable.and_then(|set| set.split(':').next());
            name.is_some_and(|name| KEEPS.iter().any(|keeps| keeps.eq_ignore_ascii_case(name)))
        };
        let keeps = flags.0.iter().any(keeps).then_some(Kind::NotFound);
        match kind.or(keeps) {
            Some(kind) if is_expressible => self.exclude_first(path, kind, place, plan),
            Some(_) => plan.open(
                place,
                format!("{text}: refuses what the gateway cannot tell; map it to deny"),
            ),
            None if flags.0.iter().any(|flag| flag.starts_with("E=AJP_")) => plan.lost(
                place,
                format!("{text}: the gateway sends attributes that are always the same only"),
            ),
            None if *to == "-" => plan.left(place, text),
            None if is_to_https(pattern, to)
                && requests != RewriteScope::Some
                && self.https(plan) =>
            {
                if requests == RewriteScope::All {
                    let map = self.excluded("~ ^".to_owned(), Kind::NotFound, place);
                    plan.diverted.push(Diversion {
                        map,
                        let_through: Some(format!("{text}: leads to another place of https")),
                        is_of_tls: true,
                    });
                }
            }
            None => {
                let why = if flags.has(&["P", "PROXY"]) {
                    "the gateway forwards by maps only; map the path that it means"
                } else if flags.is_redirect() {
                    "the gateway redirects nothing"
                } else {
                    "the gateway rewrites nothing; map the paths that it means"
                };
                let text = format!("{text}: {why}");
                if is_expressible {
                    self.divert(path, true, place, plan);
                } else if requests != RewriteScope::SomeHosts {
                    let is_path = !pattern.starts_with('!') && self.location().is_none();
                    self.divert_sometimes(is_path.then_some(path), &text, place, plan);
                }
                plan.lost(place, text);
            }
        }
    }

    /// `Redirect` and `RedirectMatch`: refusals are expressed; what leads elsewhere is not
    /// forwarded.
    pub(super) fn redirect(&self, name: &str, args: &[&str], place: &str, plan: &mut Plan) {
        let text = format!("{name} {}", shown(args));
        if self.is_about_files() {
            plan.left(place, text);
            return;
        }
        let is_match = name == "redirectmatch";
        let here = match self.location() {
            Some(Location::Path(path)) => Some(path.to_owned()),
            Some(Location::Regex(regex)) => Some(format!("~ {regex}")),
            _ => None,
        };
        let written = |path: &str| {
            if is_match {
                format!("~ {path}")
            } else {
                path.to_owned()
            }
        };
        let is_path = |path: &str| is_match || path.starts_with('/');
        let (kind, path) = match args {
            [status, path] if refusal(status).is_some() => (refusal(status), Some(written(path))),
            // In a Location the path may be left out.
            [status] if refusal(status).is_some() => (refusal(status), here),
            [_, "/", url] | ["/", url] if url.starts_with("https://") && self.https(plan) => {
                return;
            }
            [path, _] | [_, path, _] if is_path(path) => (None, Some(written(path))),
            _ => (None, here),
        };
        let is_known = path.as_ref().is_some_and(|path| !path.contains("${"));
        let path = path.filter(|_| is_known && self.partial().is_none());
        match (kind, path) {
            (Some(kind), Some(path)) => self.exclude(path, kind, place, plan),
            (Some(_), None) => plan.open(
                place,
                format!("{text}: refuses what the gateway cannot tell; map it to deny"),
            ),
            (None, path) => {
                if let Some(path) = path {
                    self.divert(path, self.location().is_some(), place, plan);
                }
                plan.lost(place, format!("{text}: the gateway redirects nothing"));
            }
        }
    }

    /// `SetEnvIf` and its like for a variable that keeps a path from being forwarded; whether
    /// it was one.
    pub(super) fn keeps(&self, name: &str, args: &[&str], place: &str, plan: &mut Plan) -> bool {
        let is_kept = |arg: &&str| KEEPS.contains(&arg.split('=').next().unwrap_or_default());
        if name == "unsetenv" || !args.iter().any(is_kept) || self.is_about_files() {
            return false;
        }
        let case = if name == "setenvifnocase" { "(?i)" } else { "" };
        let is_plain = self.location().is_none() && self.partial().is_none();
        match (args, self.location()) {
            ([of, regex, ..], _)
                if of.eq_ignore_ascii_case("Request_URI")
                    && name.starts_with("setenvif")
                    && is_plain
                    && !regex.contains("${") =>
            {
                self.exclude_first(format!("~ {case}{regex}"), Kind::NotFound, place, plan);
            }
            (_, Some(Location::Path(path))) if name == "setenv" && self.partial().is_none() => {
                self.exclude(path.to_owned(), Kind::NotFound, place, plan);
            }
            _ => plan.open(
                place,
                format!(
                    "{name} {}: keeps from the containers what the gateway cannot tell; map it to \
                     none",
                    shown(args)
                ),
            ),
        }
        true
    }

    /// The open virtual host sends everything to `https`; whether there is one.
    fn https(&self, plan: &mut Plan) -> bool {
        let is_whole = self.location().is_none() && self.partial().is_none();
        let host = self.site().filter(|_| is_whole);
        let host = host.and_then(|site| plan.virtual_host(site));
        host.is_some_and(|host| {
            host.redirects_to_https = true;
            true
        })
    }

    /// A path that is led elsewhere: where a part of it would be forwarded it is not.
    fn divert(&self, path: String, is_first: bool, place: &str, plan: &mut Plan) {
        let map = Map {
            is_of_location: is_first,
            ..self.excluded(path, Kind::NotFound, place)
        };
        plan.diverted.push(Diversion {
            map,
            let_through: None,
            is_of_tls: false,
        });
    }

    /// Some requests for a path, or for paths that the gateway cannot tell, are led elsewhere: to
    /// a login, for example.
    fn divert_sometimes(&self, path: Option<String>, text: &str, place: &str, plan: &mut Plan) {
        let path = path.unwrap_or_else(|| "~ ^".to_owned());
        plan.diverted.push(Diversion {
            map: self.excluded(path, Kind::NotFound, place),
            let_through: Some(format!(
                "{text}; and what it leads elsewhere would come to the containers"
            )),
            is_of_tls: false,
        });
    }
}

/// Whether a rule sends every path to the same one of `https`.
fn is_to_https(pattern: &str, to: &str) -> bool {
    let is_all = [
        "^", "^/", ".*", "^.*$", "(.*)", "^(.*)$", "^/(.*)$", "^/?(.*)$", "^/?(.*)",
    ];
    is_all.contains(&pattern) && to.starts_with("https://")
}
