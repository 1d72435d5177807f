//! What of mod_jk is in httpd's files.

use super::{Reader, shown};
use crate::config::httpd::Directive;
use crate::import::plan::Plan;
use crate::import::workers;
use std::fmt::Write;

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
impl Reader {
    /// What of mod_jk is in httpd's files.
    pub(super) fn jk(&mut self, directive: &Directive, name: &str, args: &[&str], plan: &mut Plan) {
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
            ("jkmount", [worker]) => match self.location_as_written() {
                Some(path) => workers::mount(path, worker, place, self.site(), plan),
                None => plan.lost(place, "JkMount without a path; map the one that it means"),
            },
            ("jkunmount", [worker]) => match self.location_as_written() {
                Some(path) => {
                    workers::mount(&format!("!{path}"), worker, place, self.site(), plan);
                }
                None => plan.open(place, "JkUnMount of a pattern; map the paths to none"),
            },
            ("jkmount" | "jkunmount", _) => plan.open(
                place,
                format!("{} {} cannot be understood", directive.name, shown(args)),
            ),
            ("jkmountcopy", [value]) => {
                if value.eq_ignore_ascii_case("all") {
                    plan.mount_copies.push(None);
                } else if let Some(site) = self.site().filter(|_| is_on(value)) {
                    plan.mount_copies.push(Some(site.to_owned()));
                }
            }
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
}

/// Whether mod_jk's directives take it for `On`.
fn is_on(value: &str) -> bool {
    value.eq_ignore_ascii_case("on")
}

/// Whether it is an option of mod_jk that needs no word.
fn is_own_way(option: &&str) -> bool {
    JK_OPTIONS.contains(&&*option.to_ascii_lowercase())
}
