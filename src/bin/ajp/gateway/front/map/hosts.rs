//! Sites by the name that they are asked by.

use super::Maps;
use std::collections::HashMap;
use std::fmt;

/// A host name of a site: `shop.example`, or `*.shop.example` for all below it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct HostName {
    name: String,
    wildcard: bool,
}

impl HostName {
    /// Reads a name without port.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (name, wildcard) = match text.strip_prefix("*.") {
            Some(name) => (name, true),
            None => (text, false),
        };
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-._[]:".contains(&b);
        if name.is_empty() || !name.bytes().all(is_plain) {
            return Err(format!(
                "{text:?} is no host name; a name such as shop.example or *.shop.example is \
                 wanted, without scheme and port"
            ));
        }
        Ok(Self {
            name: normal(name),
            wildcard,
        })
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let star = if self.wildcard { "*." } else { "" };
        write!(f, "{star}{}", self.name)
    }
}

/// The name in the form in which names are compared, and without port.
fn normal(host: &str) -> String {
    let name = match host.rsplit_once(':') {
        // Not the colons within the brackets of an IPv6 address.
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.ends_with(':') => {
            name
        }
        _ => host,
    };
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// The maps of every site.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sites {
    exact: HashMap<String, usize>,
    /// The longest name first.
    wildcards: Vec<(String, usize)>,
    maps: Vec<Maps>,
    default: Option<usize>,
}

impl Sites {
    /// Adds a site; the names that another one has already are returned as an error.
    pub(crate) fn add(
        &mut self,
        hosts: &[HostName],
        is_default: bool,
        maps: Maps,
    ) -> Result<(), String> {
        let site = self.maps.len();
        for host in hosts {
            let twice = if host.wildcard {
                let known = self.wildcards.iter().any(|(name, _)| *name == host.name);
                self.wildcards.push((host.name.clone(), site));
                known
            } else {
                self.exact.insert(host.name.clone(), site).is_some()
            };
            if twice {
                return Err(format!("two sites have the name {host}"));
            }
        }
        self.wildcards
            .sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        if is_default && self.default.replace(site).is_some() {
            return Err("there are two default sites".to_owned());
        }
        self.maps.push(maps);
        Ok(())
    }

    /// The maps of the site of this name: the name itself, the longest wildcard, the default.
    pub(crate) fn find(&self, host: Option<&str>) -> Option<&Maps> {
        self.maps.get(self.index(host)?)
    }

    /// The place of that site, in the order in which they were added.
    pub(crate) fn index(&self, host: Option<&str>) -> Option<usize> {
        self.index_by(|| host)
    }

    /// The same for a host that is asked for only if it makes a difference.
    pub(crate) fn index_by<'a>(&self, host: impl FnOnce() -> Option<&'a str>) -> Option<usize> {
        if self.exact.is_empty() && self.wildcards.is_empty() {
            return self.default;
        }
        let named = host().and_then(|host| {
            let name = normal(host);
            let wildcard = || {
                let below = |parent: &str| {
                    name.strip_suffix(parent)
                        .is_some_and(|front| front.ends_with('.'))
                };
                let found = self.wildcards.iter().find(|(parent, _)| below(parent));
                found.map(|(_, site)| *site)
            };
            self.exact.get(&name).copied().or_else(wildcard)
        });
        named.or(self.default)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Action, Found, Order, Pattern, Rule};
    use super::*;

    /// A site whose answer to `/` tells it from the others.
    fn site(forbidden: bool) -> Maps {
        let action = if forbidden {
            Action::Forbidden
        } else {
            Action::NotFound
        };
        let pattern = Pattern::parse("/").unwrap();
        Maps::new(vec![Rule { pattern, action }], Order::Longest, false)
    }

    #[test]
    fn names_wildcards_and_the_default() {
        let host = |text| HostName::parse(text).unwrap();
        let mut sites = Sites::default();
        sites
            .add(
                &[host("shop.example"), host("*.shop.example")],
                false,
                site(true),
            )
            .unwrap();
        let is_shop = |sites: &Sites, name| {
            sites
                .find(name)
                .map(|maps| matches!(maps.find("/"), Found::Forbidden))
        };
        assert_eq!(is_shop(&sites, Some("other.example")), None);
        sites
            .add(&[host("deep.shop.example")], true, site(false))
            .unwrap();
        for (name, shop) in [
            ("shop.example", true),
            ("SHOP.example.:8080", true),
            ("a.b.shop.example", true),
            ("deep.shop.example", false),
            ("workshop.example", false),
            ("[::1]:80", false),
            ("", false),
        ] {
            assert_eq!(is_shop(&sites, Some(name)), Some(shop), "{name}");
        }
        assert_eq!(is_shop(&sites, None), Some(false));
        assert_eq!(normal("[::1]:80"), "[::1]");
        assert_eq!(normal("[::1]"), "[::1]");
    }

    #[test]
    fn what_cannot_be() {
        let host = |text| HostName::parse(text).unwrap();
        let mut sites = Sites::default();
        sites.add(&[host("a.example")], true, site(true)).unwrap();
        assert!(sites.add(&[host("A.example")], false, site(true)).is_err());
        assert!(sites.add(&[], true, site(true)).is_err());
        for text in ["", "*.", "http://a", "a/b", "a b"] {
            assert!(HostName::parse(text).is_err(), "{text}");
        }
    }
}
