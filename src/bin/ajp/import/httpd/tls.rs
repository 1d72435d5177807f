//! `SSL...`: what a listener of the gateway has of it.

use super::{Reader, shown};
use crate::import::plan::Plan;

impl Reader {
    pub(super) fn tls(&mut self, name: &str, args: &[&str], place: &str, plan: &mut Plan) {
        if self.is_about_files() {
            self.others.insert(name.to_owned());
            return;
        }
        // httpd takes values in any case, and whether clients are asked must not depend on it.
        let lower: Vec<_> = args.iter().map(|arg| arg.to_ascii_lowercase()).collect();
        let lower: Vec<_> = lower.iter().map(String::as_str).collect();
        let is_host = self.location().is_none() && self.partial().is_none();
        let text = format!("{name} {}", shown(args));
        let asks = |kind: &str| !kind.eq_ignore_ascii_case("none");
        match (name, args) {
            ("sslverifyclient", [kind]) if !is_host && asks(kind) => {
                plan.open(
                    place,
                    format!("{text} for a path: a listener asks for certificates, or does not"),
                );
                return;
            }
            ("sslrequire" | "sslrequiressl", _) => {
                plan.open(
                    place,
                    format!("{text}: the gateway serves the same at all listeners"),
                );
                return;
            }
            ("ssloptions", options) => {
                ssl_options(options, place, plan);
                return;
            }
            _ => {}
        }
        let is_on = |value: &str| !["off", "none"].contains(&&*value.to_ascii_lowercase());
        match (name, args) {
            // Who has lost a certificate must not be let in with it.
            ("sslcarevocationcheck" | "sslocspenable", [check, ..]) if is_on(check) => plan.open(
                place,
                format!("{text}: the gateway does not ask whether a certificate was revoked"),
            ),
            // A virtual host has it from the server unless it says otherwise.
            ("sslverifyclient", [kind]) if self.site().is_none() && asks(kind) => plan.open(
                place,
                format!("{text} for all virtual hosts; say it in those that it is for"),
            ),
            _ => {}
        }
        let Some(host) = self.site().and_then(|site| plan.virtual_host(site)) else {
            self.others.insert(name.to_owned());
            return;
        };
        let tls = &mut host.tls;
        match (name, &lower[..]) {
            ("sslverifyclient", ["require"]) => {
                (tls.clients.is_asked, tls.clients.is_required) = (true, true);
                return;
            }
            ("sslverifyclient", ["optional"]) => {
                tls.clients.is_asked = true;
                return;
            }
            ("sslverifyclient", ["none"]) => return,
            ("sslverifydepth", [depth]) => {
                match depth.parse() {
                    Ok(depth @ 1..=100) => tls.clients.depth = Some(depth),
                    _ => plan.lost(
                        place,
                        format!("{text}: only certificates that an authority has signed are taken"),
                    ),
                }
                return;
            }
            _ => {}
        }
        match (name, args) {
            ("sslengine", [on]) => tls.is_on = on.eq_ignore_ascii_case("on"),
            ("sslcertificatefile", [file]) => {
                tls.certificates.push(((*file).to_owned(), None));
            }
            ("sslcertificatekeyfile", [file]) => {
                let without = tls.certificates.iter_mut().find(|(_, key)| key.is_none());
                if let Some((_, key)) = without {
                    *key = Some((*file).to_owned());
                }
            }
            ("sslcacertificatefile", [file]) => tls.clients.ca = Some((*file).to_owned()),
            ("sslverifyclient", _) => {
                plan.lost(
                    place,
                    format!("{text}: only certificates of a known authority are taken"),
                );
            }
            ("sslprotocol", versions) => tls.only_tls13 = !has_tls12(versions),
            _ => plan.left(place, text),
        }
    }
}

/// Whether TLS 1.2 is spoken by `SSLProtocol`.
fn has_tls12(versions: &[&str]) -> bool {
    let mut has = false;
    for version in versions {
        let (adds, version) = match version.strip_prefix('-') {
            Some(version) => (false, version),
            None => (true, version.trim_start_matches('+')),
        };
        if version.eq_ignore_ascii_case("all") || version.eq_ignore_ascii_case("TLSv1.2") {
            has = adds;
        }
    }
    has
}

/// What the containers learn of TLS they learn from the gateway unasked.
fn ssl_options(options: &[&str], place: &str, plan: &mut Plan) {
    let named = |name: &str| {
        let mut options = options.iter();
        options.any(|option| option.trim_start_matches('+').eq_ignore_ascii_case(name))
    };
    if named("FakeBasicAuth") {
        let text = "SSLOptions FakeBasicAuth: the gateway makes no user of a certificate; the \
                    container sees the certificate";
        plan.lost(place, text);
    } else {
        plan.note(
            place,
            "SSLOptions: the gateway tells what it knows of TLS without being asked",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::has_tls12;

    #[test]
    fn versions() {
        for (text, has) in [
            ("all", true),
            ("all -TLSv1.2", false),
            ("-all +TLSv1.3", false),
            ("-all +TLSv1.2 +TLSv1.3", true),
            ("TLSv1.2", true),
        ] {
            let versions: Vec<_> = text.split(' ').collect();
            assert_eq!(has_tls12(&versions), has, "{text}");
        }
    }
}
