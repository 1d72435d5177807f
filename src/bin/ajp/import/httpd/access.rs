//! Who may have what: a rule that would be lost stops the import.

use super::{Location, Reader, Section, shown};
use crate::import::plan::{AccessGrant, Kind, Plan};

impl Reader {
    /// Who may have what. The gateway can only deny all of a path; any other rule, if it is
    /// about what is forwarded, must not be lost.
    pub(super) fn access(&mut self, name: &str, args: &[&str], place: &str, plan: &mut Plan) {
        if self.is_about_files() || !self.is_forwarded() {
            return;
        }
        let lower: Vec<_> = args.iter().map(|arg| arg.to_ascii_lowercase()).collect();
        let words: Vec<_> = lower.iter().map(String::as_str).collect();
        match (name, &words[..]) {
            ("order", ["deny,allow"]) => {
                self.innermost(|section| section.closed_by_order = None);
            }
            ("order", ["allow,deny" | "mutual-failure"]) => {
                let place = place.to_owned();
                self.innermost(|section| section.closed_by_order = Some(place));
            }
            ("allow", _) => self.innermost(|section| section.allows = true),
            _ => {}
        }
        match (name, &words[..]) {
            ("order", ["allow,deny" | "mutual-failure" | "deny,allow"])
            | ("allowmethods", ["reset"])
            | ("satisfy", ["all"]) => {}
            ("require", ["all", "granted"]) | ("allow", ["from", "all"])
                if self.open("requirenone").is_none() =>
            {
                let path = self.location().filter(|_| self.partial().is_none());
                if let Some(Location::Path(path)) = path {
                    plan.granted.push(AccessGrant {
                        place: place.to_owned(),
                        site: self.site().map(str::to_owned),
                        path: path.to_owned(),
                    });
                }
            }
            ("require", ["all", "denied"]) | ("deny", ["from", "all"]) => {
                self.deny(&format!("{name} {}", shown(args)), place, plan);
            }
            _ => plan.open(
                place,
                format!(
                    "{name} {}{}: the gateway knows no users, networks and methods; keep that \
                     path with httpd, or protect it in the application",
                    shown(args),
                    self.of_partial()
                ),
            ),
        }
    }

    /// Rules about all requests of the server or of a virtual host.
    pub(super) fn rule_of_server(name: &str, args: &[&str], place: &str, plan: &mut Plan) {
        let text = match (name, args) {
            ("proxypassinherit", [on]) if on.eq_ignore_ascii_case("on") => return,
            ("proxypassinherit", _) => {
                "ProxyPassInherit Off: the gateway has the paths of the server in every virtual \
                 host; write them into those that have them"
            }
            _ => "the gateway has no rules of mod_security; keep httpd in front",
        };
        plan.open(place, text);
    }

    /// At the end of a section: `Order allow,deny` without any `Allow` lets nobody in.
    pub(super) fn end_of_order(&self, plan: &mut Plan) {
        let last = self.sections.last().filter(|open| !open.allows);
        if let Some(place) = last.and_then(|open| open.closed_by_order.clone()) {
            self.deny("Order without Allow", &place, plan);
        }
    }

    /// Nobody may have what the open sections are for.
    fn deny(&self, text: &str, place: &str, plan: &mut Plan) {
        if self.partial().is_some() {
            let text = format!(
                "{text}{}: the gateway denies a path to all methods and all requests or to none; \
                 map it to deny, or keep that path with httpd",
                self.of_partial()
            );
            plan.open(place, text);
            return;
        }
        match self.location() {
            Some(Location::Path(path)) => {
                self.exclude(path.to_owned(), Kind::Forbidden, place, plan);
            }
            Some(Location::Regex(regex)) => {
                self.exclude(format!("~ {regex}"), Kind::Forbidden, place, plan);
            }
            _ => plan.open(place, "denies what a pattern means; map it to deny"),
        }
    }

    /// Says of which requests a rule is.
    fn of_partial(&self) -> String {
        let partial = self.partial();
        partial.map_or_else(String::new, |Section { name, args, .. }| {
            let space = if args.is_empty() { "" } else { " " };
            format!(" in <{name}{space}{}>", args.join(" "))
        })
    }

    fn innermost(&mut self, change: impl FnOnce(&mut Section)) {
        if let Some(section) = self.sections.last_mut() {
            change(section);
        }
    }

    /// Whether what stands here is about requests that are forwarded.
    fn is_forwarded(&self) -> bool {
        let of = [
            "location",
            "locationmatch",
            "proxy",
            "proxymatch",
            "if",
            "elseif",
            "else",
        ];
        of.iter().any(|name| self.open(name).is_some())
    }
}
