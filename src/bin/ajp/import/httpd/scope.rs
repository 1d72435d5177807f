//! What is said for the server, a virtual host or a path: attributes, headers, the size of
//! bodies, names, redirects.

use super::{Location, Reader, shown};
use crate::framing::FRAMING;
use crate::import::plan::{Plan, ScopedSetting, Setting, VirtualHost};
use ajp::proxy::{ForwardedRules, Peer};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

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

    /// A setting of what is forwarded where this stands; what the gateway cannot set there is
    /// told with the reason.
    fn scoped(&self, setting: Setting, text: &str, place: &str, plan: &mut Plan) {
        if self.is_about_files() {
            return;
        }
        let path = match self.location() {
            Some(Location::Path(path)) => Some(path.to_owned()),
            _ => None,
        };
        let why = match self.location() {
            _ if self.partial().is_some() => Some("under a condition"),
            Some(Location::Regex(_) | Location::Glob) => Some("for a pattern; say it for each map"),
            _ if self.part_of_proxy().is_some() => {
                Some("for a part of what is forwarded; say it for each map")
            }
            _ => None,
        };
        match (why, &setting) {
            // Where it cannot be set it can still be removed.
            (None, _) | (Some(_), Setting::NotOfVisitors(_)) => {}
            (Some(why), Setting::RequestHeader(header, _)) => {
                self.not_of_visitors(header, &format!("{text} {why}"), place, plan);
                return;
            }
            (Some(why), _) => {
                plan.lost(place, format!("{text} {why}"));
                return;
            }
        }
        plan.scoped.push(ScopedSetting {
            place: place.to_owned(),
            site: self.site().map(str::to_owned),
            path,
            setting,
        });
    }

    /// A header of requests that httpd writes, or takes away, in a way that the gateway has
    /// not: from here on nobody writes it, and visitors must not.
    fn not_of_visitors(&self, header: &str, text: &str, place: &str, plan: &mut Plan) {
        let is_name = HeaderName::try_from(header).is_ok_and(|name| !FRAMING.contains(&name));
        if !is_name {
            plan.lost(place, text);
        } else if is_removed(header) {
            plan.lost(
                place,
                format!("{text}: visitors cannot write it, and the gateway tells what it knows"),
            );
        } else {
            plan.believed(
                place,
                format!("{text}: the gateway removes {header}, which nobody writes any more"),
            );
            let setting = Setting::NotOfVisitors(header.to_owned());
            self.scoped(setting, text, place, plan);
        }
    }

    /// `SetEnv` and its like.
    pub(super) fn variable(&self, name: &str, args: &[&str], place: &str, plan: &mut Plan) {
        if self.keeps(name, args, place, plan) {
            return;
        }
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

    /// `mod_remoteip`: whose word on a visitor's address counts. Without it every visitor would
    /// have the address of the proxy before, which containers may let do more.
    pub(super) fn remote_ip(name: &str, args: &[&str], place: &str, plan: &mut Plan) {
        let text = format!("{name} {}", shown(args));
        match (name, args) {
            ("remoteipheader", [header]) if header.eq_ignore_ascii_case("x-forwarded-for") => {}
            ("remoteipinternalproxy" | "remoteiptrustedproxy", proxies) => {
                for proxy in proxies {
                    if !is_network(proxy) {
                        plan.open(
                            place,
                            format!(
                                "{text}: name {proxy} by its address; every visitor would have it"
                            ),
                        );
                        continue;
                    }
                    let known = plan.trusted_proxies.iter().any(|known| known == proxy);
                    if !known {
                        plan.trusted_proxies.push((*proxy).to_owned());
                    }
                }
            }
            ("remoteipheader" | "remoteipinternalproxylist" | "remoteiptrustedproxylist", _) => {
                plan.open(
                    place,
                    format!("{text}: set trusted_proxies; every visitor would have their address"),
                );
            }
            ("remoteipproxyprotocol", [on]) if on.eq_ignore_ascii_case("on") => {
                plan.lost(place, format!("{text}: set proxy_protocol of the listener"));
            }
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
        // What httpd does early is done before anything else, and to the same end.
        let args = match args {
            [rest @ .., early] if early.eq_ignore_ascii_case("early") => rest,
            args => args,
        };
        let action = args
            .first()
            .map_or(String::new(), |action| action.to_ascii_lowercase());
        let change = match args {
            [_, header, value] if action == "set" => {
                plain_value(value).map(|value| (*header, Some(value)))
            }
            [_, header] if action == "unset" => Some((*header, None)),
            _ => None,
        };
        let Some((header, value)) = change else {
            let header = args
                .get(1)
                .map_or("", |header| header.trim_end_matches(':'));
            match &*action {
                _ if self.is_about_files() => {}
                // Whoever has written it already is asked nothing.
                "setifempty" | "note" if is_request => plan.lost(place, text),
                _ if is_request => self.not_of_visitors(header, &text, place, plan),
                _ => plan.left(place, text),
            }
            return;
        };
        let header = header.trim_end_matches(':').to_owned();
        if !HeaderName::try_from(&header).is_ok_and(|name| !FRAMING.contains(&name)) {
            plan.lost(
                place,
                format!("{text}: the gateway has no say over this header"),
            );
            return;
        }
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
}

/// An address, or a network as `10.0.0.0/8`.
fn is_network(text: &str) -> bool {
    let (address, length) = text.split_once('/').unwrap_or((text, "0"));
    let most = match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    length.parse::<u8>().is_ok_and(|length| length <= most)
}

/// Whether the gateway takes this header from every visitor unasked.
fn is_removed(header: &str) -> bool {
    let visitor = Peer::new(SocketAddr::from((Ipv4Addr::LOCALHOST, 1)));
    let mut headers = HeaderMap::new();
    if let Ok(name) = HeaderName::try_from(header) {
        headers.insert(name, HeaderValue::from_static("1"));
    }
    let _ = ForwardedRules::new()
        .with_underscores(true)
        .apply(&mut headers, &visitor);
    headers.is_empty()
}

/// What httpd sends for a value, if that is always the same: no `%{variable}s`, no `expr=`, no
/// escapes.
fn plain_value(value: &str) -> Option<String> {
    let parts: Vec<_> = value.split("%%").collect();
    let is_plain = !value.starts_with("expr=") && !value.contains(['\\', '$']);
    let is_plain = is_plain && parts.iter().all(|part| !part.contains('%'));
    is_plain.then(|| parts.join("%"))
}
