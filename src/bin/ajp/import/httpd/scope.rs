//! What is said for the server, a virtual host or a path: attributes, headers, the size of
//! bodies, names, redirects.

use super::{Location, Reader, shown};
use crate::import::plan::{Kind, Plan, Scoped, Setting, VirtualHost};

/// How variables begin that httpd sends as request attributes.
const ATTRIBUTE: &str = "AJP_";

impl Reader {
    /// A virtual host begins.
    pub(super) fn begin_virtual_host(args: &[String], place: &str, plan: &mut Plan) {
        plan.virtual_hosts.push(VirtualHost {
            place: place.to_owned(),
            address: args.first().cloned().unwrap_or_default(),
            ..VirtualHost::default()
        });
    }

    /// Names of the open virtual host.
    pub(super) fn names(&self, names: &[&str], plan: &mut Plan) {
        let hosts = names.iter().map(|name| {
            let name = name.split("://").last().unwrap_or(name);
            name.split(':').next().unwrap_or(name).to_owned()
        });
        let host = self.site().and_then(|site| plan.virtual_host(site));
        if let Some(host) = host {
            host.names.extend(hosts);
        }
    }

    /// A setting of what is forwarded where this stands.
    fn scoped(&self, setting: Setting, text: &str, place: &str, plan: &mut Plan) {
        let is_about_files = self.open("directory").or(self.open("directorymatch"));
        let is_conditional = self
            .open("if")
            .or(self.open("limit"))
            .or(self.open("files"));
        let path = match self.location() {
            _ if is_conditional.is_some() => {
                plan.lost(place, format!("{text} under a condition"));
                return;
            }
            Some(Location::Path(path)) => Some(path.to_owned()),
            Some(Location::Regex(_) | Location::Glob) => {
                plan.lost(place, format!("{text} for a pattern; say it for each map"));
                return;
            }
            None if is_about_files.is_some() => return,
            None => None,
        };
        plan.scoped.push(Scoped {
            place: place.to_owned(),
            site: self.site().map(str::to_owned),
            path,
            setting,
        });
    }

    /// `SetEnv` and its like.
    pub(super) fn variable(&self, name: &str, args: &[&str], place: &str, plan: &mut Plan) {
        let of = |arg: &&str| arg.trim_start_matches('!').starts_with(ATTRIBUTE);
        match (name, args) {
            ("setenv", [variable, rest @ ..]) if of(variable) => {
                let attribute = variable.trim_start_matches(ATTRIBUTE).to_owned();
                let value = rest.first().copied().unwrap_or_default().to_owned();
                let setting = Setting::Attribute(attribute, Some(value));
                self.scoped(setting, &format!("SetEnv {variable}"), place, plan);
            }
            ("unsetenv", variables) if variables.iter().any(of) => {
                for variable in variables.iter().filter(|variable| of(variable)) {
                    let attribute = variable.trim_start_matches(ATTRIBUTE).to_owned();
                    let setting = Setting::Attribute(attribute, None);
                    self.scoped(setting, &format!("UnsetEnv {variable}"), place, plan);
                }
            }
            (_, args) if args.iter().any(of) => {
                let variable = args.iter().find(|arg| of(arg)).copied().unwrap_or_default();
                let variable = variable.split('=').next().unwrap_or_default();
                let text = format!(
                    "{variable}: the gateway sends attributes that are always the same only"
                );
                plan.lost(place, text);
            }
            // What no container sees.
            _ => {}
        }
    }

    pub(super) fn max_body(&self, limit: &str, place: &str, plan: &mut Plan) {
        let text = format!("LimitRequestBody {limit}");
        match limit.parse::<u64>() {
            Ok(0) => self.scoped(Setting::MaxBody(None), &text, place, plan),
            Ok(bytes) => {
                plan.note(
                    place,
                    format!("{text}: httpd does not apply it to what it forwards, max_body does"),
                );
                self.scoped(Setting::MaxBody(Some(bytes)), &text, place, plan);
            }
            Err(_) => plan.lost(place, format!("{text} is no number of bytes")),
        }
    }

    /// `Header` and `RequestHeader`, as far as they say the same of every message.
    pub(super) fn header(&self, name: &str, args: &[&str], place: &str, plan: &mut Plan) {
        let is_request = name == "requestheader";
        let text = format!(
            "{} {}",
            if is_request {
                "RequestHeader"
            } else {
                "Header"
            },
            shown(args)
        );
        let args = match args {
            ["always" | "onsuccess", rest @ ..] if !is_request => rest,
            args => args,
        };
        let change = match args {
            [action, header, value]
                if action.eq_ignore_ascii_case("set") && is_plain_value(value) =>
            {
                Some(((*header).to_owned(), Some((*value).to_owned())))
            }
            [action, header] if action.eq_ignore_ascii_case("unset") => {
                Some(((*header).to_owned(), None))
            }
            _ => None,
        };
        let Some((header, value)) = change else {
            plan.left(place, text);
            return;
        };
        let header = header.trim_end_matches(':').to_owned();
        let site = self.site().filter(|_| self.location().is_none());
        let host = site.and_then(|site| plan.virtual_host(site));
        if let (Some(host), false) = (host, is_request) {
            if header.eq_ignore_ascii_case("strict-transport-security") {
                host.tls.hsts = value;
                return;
            }
        }
        let setting = if is_request {
            Setting::RequestHeader(header, value)
        } else {
            Setting::ResponseHeader(header, value)
        };
        self.scoped(setting, &text, place, plan);
    }

    /// `Redirect` and `RedirectMatch`: refusals are expressed, what leads elsewhere is left.
    pub(super) fn redirect(&self, name: &str, args: &[&str], place: &str, plan: &mut Plan) {
        let is_match = name == "redirectmatch";
        let pattern = |path: &str| {
            if is_match {
                format!("~ {path}")
            } else {
                path.to_owned()
            }
        };
        let kind = |status: &str| match status {
            "403" => Some(Kind::Forbidden),
            "404" | "410" => Some(Kind::NotFound),
            status if status.eq_ignore_ascii_case("gone") => Some(Kind::NotFound),
            _ => None,
        };
        match args {
            [status, path] if kind(status).is_some() => {
                let kind = kind(status).unwrap_or(Kind::NotFound);
                self.exclude(pattern(path), kind, place, plan);
            }
            [.., "/", url] if url.starts_with("https://") && self.location().is_none() => {
                match self.site().and_then(|site| plan.virtual_host(site)) {
                    Some(host) => host.redirects_to_https = true,
                    None => plan.left(place, format!("{name} {}", shown(args))),
                }
            }
            _ => plan.left(place, format!("{name} {}", shown(args))),
        }
    }
}

/// Whether httpd sends it as it stands: no `%{variable}s`, no `expr=`.
fn is_plain_value(value: &str) -> bool {
    !value.contains('%') && !value.starts_with("expr=") && !value.is_empty()
}
