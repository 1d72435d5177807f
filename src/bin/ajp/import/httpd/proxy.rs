//! What is forwarded where, and what is mapped back.

use super::parameters::{ParameterOwner, member, parameters};
use super::{Location, RETRY, Reader, shown};
use crate::import::plan::{Kind, Map, Plan, Remarks, Reverse};

/// The name of a balancer in `balancer://name/path`: httpd takes it without regard to case.
pub(super) fn balancer_name(url: &str) -> Option<String> {
    let rest = url.strip_prefix("balancer://")?;
    Some(rest.split('/').next()?.to_ascii_lowercase())
}

impl Reader {
    pub(super) fn proxy_pass(&self, args: &[&str], place: &str, plan: &mut Plan) {
        // In a Location the path is that of the section.
        let (path, url, settings) = match (args, self.location()) {
            ([path, url, settings @ ..], _) if !path.contains("://") && *path != "!" => {
                (*path, *url, settings)
            }
            ([url, settings @ ..], Some(Location::Path(path))) => (path, *url, settings),
            (["!", ..], Some(Location::Regex(regex))) => {
                self.exclude(format!("~ {regex}"), Kind::NotFound, place, plan);
                return;
            }
            (["!", ..], _) => {
                plan.open(
                    place,
                    "ProxyPass ! for a pattern; map what it means to none",
                );
                return;
            }
            (_, Some(Location::Regex(_) | Location::Glob)) => {
                let text = "ProxyPass in a Location with a pattern; map the path that it means";
                plan.lost(place, text);
                return;
            }
            _ => {
                plan.lost(place, "ProxyPass without a path and a URL");
                return;
            }
        };
        if path.contains('*') || self.partial().is_some() {
            let text = format!("{path} is no plain path; map the path that it means");
            if url == "!" {
                plan.open(place, text);
            } else {
                plan.lost(place, text);
            }
            return;
        }
        if url == "!" {
            self.exclude(path.to_owned(), Kind::NotFound, place, plan);
            return;
        }
        self.forward(path.to_owned(), url, settings, place, plan);
    }

    /// A path, or pattern, that is not forwarded.
    pub(super) fn exclude(&self, path: String, kind: Kind, place: &str, plan: &mut Plan) {
        plan.map(self.excluded(path, kind, place));
    }

    /// The same, where httpd knows it before it forwards anything.
    pub(super) fn exclude_first(&self, path: String, kind: Kind, place: &str, plan: &mut Plan) {
        plan.map(Map {
            is_of_location: true,
            ..self.excluded(path, kind, place)
        });
    }

    pub(super) fn excluded(&self, path: String, kind: Kind, place: &str) -> Map {
        Map {
            place: place.to_owned(),
            path,
            balancer: String::new(),
            target: "/".to_owned(),
            kind,
            location: true,
            cookie_path: true,
            site: self.site().map(str::to_owned),
            is_of_location: self.location().is_some(),
            ..Map::default()
        }
    }

    /// A regular expression and where it leads.
    pub(super) fn proxy_pass_match(&self, args: &[&str], place: &str, plan: &mut Plan) {
        match args {
            [regex, "!", ..] => self.exclude(format!("~ {regex}"), Kind::NotFound, place, plan),
            ["!", ..] => match self.location() {
                Some(Location::Regex(regex)) if self.partial().is_none() => {
                    self.exclude(format!("~ {regex}"), Kind::NotFound, place, plan);
                }
                _ => plan.open(place, "ProxyPassMatch ! of a Location; map it to none"),
            },
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
    pub(super) fn reverse(&self, args: &[&str], is_cookie: bool, place: &str, plan: &mut Plan) {
        let (path, of) = match (args, self.location()) {
            ([of, path], _) if is_cookie => (*path, *of),
            ([path, of, ..], _) if path.starts_with('/') => (*path, *of),
            ([of], Some(Location::Path(path))) => (path, *of),
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

    fn forward(&self, path: String, url: &str, settings: &[&str], place: &str, plan: &mut Plan) {
        let Some((scheme, rest)) = url.split_once("://") else {
            plan.lost(place, format!("{url} is no URL"));
            return;
        };
        let (authority, target) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        if path.starts_with('/') && path.ends_with('/') && !target.ends_with('/') {
            let text = format!(
                "{path} and {target}: httpd joins them as they stand, the gateway with a slash \
                 between; let both end with one"
            );
            plan.note(place, text);
        }
        let balancer = match scheme {
            "balancer" => {
                let name = authority.to_ascii_lowercase();
                of_balancer(&name, settings, place, plan);
                name
            }
            "ajp" => {
                let mut told = Remarks::default();
                let url = format!("ajp://{authority}");
                let (member, own) = member(url, settings, place, &mut told);
                plan.tell(place, told);
                plan.direct(member, &own)
            }
            _ => {
                let text = format!("{path} leads to {scheme}://; the gateway speaks AJP only");
                plan.lost(place, text);
                // It is not a path of a container that is behind a shorter one.
                self.exclude(path, Kind::NotFound, place, plan);
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
            is_of_location: self.location().is_some(),
            ..Map::default()
        });
    }

    pub(super) fn member(&self, args: &[&str], place: &str, plan: &mut Plan) {
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
        let mut told = Remarks::default();
        let (mut member, own) = member(format!("ajp://{authority}"), settings, place, &mut told);
        plan.tell(place, told);
        let balancer = plan.balancer(&name);
        let Some(first) = &balancer.of_first else {
            balancer.of_first = Some(own.clone());
            balancer.members.push(member);
            balancer.take(own);
            return;
        };
        if first.retry != own.retry {
            member.retry = Some(own.retry.unwrap_or(RETRY));
        }
        let is_alike =
            first.pool.without_secret() == own.pool.without_secret() && first.health == own.health;
        balancer.members.push(member);
        if !is_alike {
            plan.lost(
                place,
                "differs from the first member in packet size, connections, timeouts or \
                 checks, which are the balancer's in the gateway; the first one's are kept, else \
                 split the balancer",
            );
        }
    }
}

/// `ProxySet`.
pub(super) fn set(name: Option<String>, settings: &[&str], place: &str, plan: &mut Plan) {
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
    let mut told = Remarks::default();
    parameters(
        ParameterOwner::Balancer,
        plan.balancer(name),
        settings,
        &mut told,
    );
    plan.tell(place, told);
}
