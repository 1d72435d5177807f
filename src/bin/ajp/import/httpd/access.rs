//! Who may have what: a rule that would be lost stops the import.

use super::{Location, Reader, shown};
use crate::import::plan::{Granted, Kind, Plan};

impl Reader {
    /// Who may have what. The gateway can only deny all of a path; any other rule, if it is
    /// about what is forwarded, must not be lost.
    pub(super) fn access(&self, name: &str, args: &[&str], place: &str, plan: &mut Plan) {
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
            ("require", ["all", "granted"]) | ("allow", ["from", "all"]) => {
                if let Some(Location::Path(path)) = self.location() {
                    plan.granted.push(Granted {
                        place: place.to_owned(),
                        site: self.site().map(str::to_owned),
                        path: path.to_owned(),
                    });
                }
            }
            ("order", _) => {}
            _ if is_about_files || !is_forwarded => {}
            _ if self.open("limit").or(self.open("limitexcept")).is_some() => plan.open(
                place,
                format!(
                    "{name} {} for some methods: the gateway knows only paths; keep that path \
                     with httpd, or protect it in the application",
                    shown(args)
                ),
            ),
            ("require", ["all", "denied"]) | ("deny", ["from", "all"]) => match self.location() {
                Some(Location::Path(path)) => {
                    self.exclude(path.to_owned(), Kind::Forbidden, place, plan);
                }
                Some(Location::Regex(regex)) => {
                    self.exclude(format!("~ {regex}"), Kind::Forbidden, place, plan);
                }
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

    /// `RewriteRule`: a refusal is expressed, or stops the import.
    pub(super) fn rewrite(&mut self, args: &[&str], place: &str, plan: &mut Plan) {
        let is_conditional = std::mem::take(&mut self.has_rewrite_condition);
        let is_about_files = self.open("directory").is_some();
        let text = format!("RewriteRule {}", shown(args));
        let [pattern, _, rest @ ..] = args else {
            plan.lost(place, text);
            return;
        };
        let flags = rest.first().copied().unwrap_or_default();
        let flags = flags.trim_matches(['[', ']']).split(',').map(str::trim);
        let flags: Vec<_> = flags.map(str::to_ascii_uppercase).collect();
        let has = |names: &[&str]| flags.iter().any(|flag| names.contains(&flag.as_str()));
        let kind = if has(&["F", "FORBIDDEN", "R=403"]) {
            Some(Kind::Forbidden)
        } else if has(&["G", "GONE", "R=404", "R=410"]) {
            Some(Kind::NotFound)
        } else {
            None
        };
        let is_expressible = !is_conditional
            && !pattern.starts_with('!')
            && self.location().is_none()
            && regex::Regex::new(pattern).is_ok();
        match kind {
            _ if is_about_files => plan.left(place, text),
            Some(kind) if is_expressible => {
                let case = if has(&["NC", "NOCASE"]) { "(?i)" } else { "" };
                self.exclude(format!("~ {case}{pattern}"), kind, place, plan);
            }
            Some(_) => plan.open(
                place,
                format!("{text}: refuses what the gateway cannot tell; map it to deny"),
            ),
            None if has(&["P", "PROXY"]) => {
                plan.lost(place, "RewriteRule with [P]: map the path that it means");
            }
            None if flags.iter().any(|flag| flag.starts_with("E=AJP_")) => plan.lost(
                place,
                format!("{text}: the gateway sends attributes that are always the same only"),
            ),
            None => plan.left(place, text),
        }
    }
}
