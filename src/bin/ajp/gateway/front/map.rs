//! Which part of the site is served by whom.
//!
//! A path is matched and forwarded as it came: nothing is decoded on the way, so that the
//! container and the map cannot read the same path differently.

use ajp::balancer::Balancer;
use std::borrow::Cow;
use std::cmp::Reverse;
use std::fmt;
use std::sync::Arc;

/// A path of the site and the path at a balancer's members that stands for it.
#[derive(Debug, Clone)]
pub(crate) struct Mapping {
    /// Without slash at its end: empty for the whole site.
    prefix: String,
    balancer: Balancer,
    /// As `prefix`.
    target: String,
    pub(super) location: bool,
    pub(super) cookie_path: bool,
}

impl Mapping {
    /// Maps `path` and all that is below it to `target` at the members of `balancer`. A
    /// slash at the end of either means the same as none.
    pub(crate) fn new(path: &str, balancer: Balancer, target: &str) -> Result<Self, InvalidPath> {
        let checked = |text: &str, is_target| match fault(text) {
            None => Ok(text.trim_end_matches('/').to_owned()),
            Some(why) => Err(InvalidPath {
                text: text.into(),
                is_target,
                why,
            }),
        };
        Ok(Self {
            prefix: checked(path, false)?,
            balancer,
            target: checked(target, true)?,
            location: true,
            cookie_path: true,
        })
    }

    /// Whether URLs in `Location`, `Content-Location` and `Refresh` are mapped back.
    pub(crate) fn location(mut self, on: bool) -> Self {
        self.location = on;
        self
    }

    /// Whether the paths of cookies are mapped back.
    pub(crate) fn cookie_path(mut self, on: bool) -> Self {
        self.cookie_path = on;
        self
    }

    /// The path of the site.
    pub(crate) fn path(&self) -> &str {
        if self.prefix.is_empty() {
            "/"
        } else {
            &self.prefix
        }
    }

    /// Who serves it.
    pub(crate) fn balancer(&self) -> &Balancer {
        &self.balancer
    }

    /// The path at the members for a path of the site, if it is mapped here; borrowed if it
    /// is the same.
    pub(crate) fn inward<'a>(&self, path: &'a str) -> Option<Cow<'a, str>> {
        if path == "*" && self.is_plain() {
            return Some(path.into());
        }
        let rest = below(path, &self.prefix)?;
        Some(if self.is_same() {
            path.into()
        } else {
            joined(&self.target, rest).into()
        })
    }

    /// The path of the site for a path, with whatever follows it, at the members.
    pub(crate) fn outward(&self, path: &str) -> Option<String> {
        below(path, &self.target).map(|rest| joined(&self.prefix, rest))
    }

    /// How much of a path at the members it explains.
    pub(super) fn depth(&self) -> usize {
        self.target.len()
    }

    /// Whether paths are the same on both sides.
    fn is_same(&self) -> bool {
        self.prefix == self.target
    }

    /// Whether site and members are one and the same.
    fn is_plain(&self) -> bool {
        self.prefix.is_empty() && self.target.is_empty()
    }
}

/// What follows `prefix` in `path`, which ends there or goes on with another segment, path
/// parameters, a query or a fragment.
fn below<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(prefix)?;
    let ends = rest.is_empty() || rest.starts_with(['/', ';', '?', '#']);
    (ends && path.starts_with('/')).then_some(rest)
}

fn joined(prefix: &str, rest: &str) -> String {
    let slash = if prefix.is_empty() && !rest.starts_with('/') {
        "/"
    } else {
        ""
    };
    format!("{prefix}{slash}{rest}")
}

/// Why a path cannot be mapped.
fn fault(path: &str) -> Option<&'static str> {
    if !path.starts_with('/') {
        Some("must begin with a slash")
    } else if !path
        .bytes()
        .all(|b| b.is_ascii_graphic() && !b"?#;\\\"<>".contains(&b))
    {
        Some("must be a plain path: no blanks, queries, fragments or path parameters")
    } else if path.contains("//") {
        Some("has an empty segment")
    } else if has_dot_segment(path) {
        Some("has a dot segment")
    } else {
        None
    }
}

/// A path that cannot be mapped.
#[derive(Debug)]
pub(crate) struct InvalidPath {
    text: String,
    /// Whether it is the one at the members.
    pub(crate) is_target: bool,
    why: &'static str,
}

impl fmt::Display for InvalidPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the path {:?} {}", self.text, self.why)
    }
}

/// Whether a container could take part of the path for `.` or `..`: it may decode it, and
/// drop path parameters, before it looks.
fn has_dot_segment(path: &str) -> bool {
    if !path.contains('.') && !path.contains('%') {
        return false;
    }
    let plain = path.to_ascii_lowercase().replace("%2e", ".");
    let plain = plain.replace("%2f", "/").replace("%5c", "/");
    plain.split(['/', '\\']).any(|segment| {
        let name = segment.split(';').next().unwrap_or_default();
        name == "." || name == ".."
    })
}

/// All maps of a site.
#[derive(Debug, Clone, Default)]
pub(crate) struct Maps {
    maps: Arc<[Mapping]>,
    /// One of them has other paths at the members.
    changing: bool,
}

/// What a path leads to.
#[derive(Debug)]
pub(crate) enum Found<'m, 'p> {
    /// A map, and the path at its balancer's members.
    Mapped(&'m Mapping, Cow<'p, str>),
    /// It leads somewhere else in disguise.
    Ambiguous,
    /// Nothing.
    Nothing,
}

impl Maps {
    /// These maps; the longest path that fits is taken.
    pub(crate) fn new(mut maps: Vec<Mapping>) -> Self {
        maps.sort_by_key(|mapping| Reverse(mapping.prefix.len()));
        Self {
            changing: maps.iter().any(|mapping| !mapping.is_same()),
            maps: maps.into(),
        }
    }

    /// Whether what the members say of their paths needs a look.
    pub(super) fn is_changing(&self) -> bool {
        self.changing
    }

    /// All, the longest path first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Mapping> {
        self.maps.iter()
    }

    /// Looks a path up.
    pub(crate) fn find<'m, 'p>(&'m self, path: &'p str) -> Found<'m, 'p> {
        let mut fitting = self.maps.iter().filter_map(|mapping| {
            let inward = mapping.inward(path)?;
            Some((mapping, inward))
        });
        match fitting.next() {
            // Where the whole site is the members' there is nowhere else to get.
            Some((mapping, _)) if !mapping.is_plain() && has_dot_segment(path) => Found::Ambiguous,
            Some((mapping, inward)) => Found::Mapped(mapping, inward),
            None => Found::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ajp::balancer::BalancerConfig;

    fn mapping(path: &str, to: &str) -> Mapping {
        let (name, target) = to.split_at(to.find('/').unwrap());
        Mapping::new(path, Balancer::new(BalancerConfig::new(name)), target).unwrap()
    }

    fn maps(table: &[(&str, &str)]) -> Maps {
        Maps::new(table.iter().map(|(path, to)| mapping(path, to)).collect())
    }

    /// Where a path leads, as `name/path`.
    fn lead(maps: &Maps, path: &str) -> String {
        match maps.find(path) {
            Found::Mapped(mapping, inward) => format!("{}{inward}", mapping.balancer().name()),
            Found::Ambiguous => "ambiguous".into(),
            Found::Nothing => "nothing".into(),
        }
    }

    #[test]
    fn the_longest_path_at_a_segment_border() {
        let maps = maps(&[
            ("/", "root/"),
            ("/cart", "cart/app"),
            ("/cart/admin/", "admin/console/"),
            ("/shop", "shop/"),
        ]);
        for (path, to) in [
            ("/", "root/"),
            ("/x?y", "root/x?y"),
            ("/cart", "cart/app"),
            ("/cart/", "cart/app/"),
            ("/cart/a%2Fb", "cart/app/a%2Fb"),
            ("/cart;jsessionid=1.a", "cart/app;jsessionid=1.a"),
            ("/cart/x;jsessionid=1.a", "cart/app/x;jsessionid=1.a"),
            ("/carting", "root/carting"),
            ("/Cart", "root/Cart"),
            ("/%63art", "root/%63art"),
            ("//cart", "root//cart"),
            ("/cart//x", "cart/app//x"),
            ("/cart/admin", "admin/console"),
            ("/cart/admin/x", "admin/console/x"),
            ("/cart/administrator", "cart/app/administrator"),
            ("/shop", "shop/"),
            ("/shop/", "shop/"),
            ("/shop/x", "shop/x"),
            ("/shop;v=1", "shop/;v=1"),
            ("*", "root*"),
        ] {
            assert_eq!(lead(&maps, path), to, "{path}");
        }
    }

    #[test]
    fn what_is_not_mapped() {
        let maps = maps(&[("/cart", "cart/app")]);
        for path in ["/", "/carts", "*", "", "cart", "/x/cart"] {
            assert_eq!(lead(&maps, path), "nothing", "{path}");
        }
        assert_eq!(lead(&Maps::default(), "/"), "nothing");
    }

    #[test]
    fn nobody_climbs_out_of_a_map() {
        let maps = maps(&[("/", "root/"), ("/cart", "cart/app")]);
        for path in [
            "/cart/..",
            "/cart/../manager",
            "/cart/./x",
            "/cart/%2e%2E/manager",
            "/cart/.%2e/manager",
            "/cart/..;x=1/manager",
            "/cart/%2e%2e;/manager",
            "/cart/x%2f..%2f..%2fmanager",
            "/cart/..\\manager",
            "/cart/..%5Cmanager",
        ] {
            assert_eq!(lead(&maps, path), "ambiguous", "{path}");
        }
        for path in [
            "/cart/...",
            "/cart/a..b",
            "/cart/.a",
            "/cart/..a",
            "/cart/%252e%252e/",
        ] {
            let to = format!("cart/app{}", &path["/cart".len()..]);
            assert_eq!(lead(&maps, path), to);
        }
        assert_eq!(lead(&maps, "/a/../b"), "root/a/../b");
    }

    #[test]
    fn outward_is_the_way_back() {
        for (path, to) in [
            ("/cart", "b/app"),
            ("/", "b/"),
            ("/cart", "b/"),
            ("/", "b/app"),
        ] {
            let mapping = mapping(path, to);
            for rest in ["/", "/x", "/x/y;z=1", ""] {
                let site = joined(&mapping.prefix, rest);
                let inward = mapping.inward(&site).unwrap();
                let back = mapping.outward(&inward).unwrap();
                let expected = if site == "/cart" && to == "b/" {
                    "/cart/"
                } else {
                    &site
                };
                assert_eq!(back, expected, "{path} {to} {rest}");
            }
        }
        assert_eq!(mapping("/cart", "b/app").outward("/application"), None);
    }

    #[test]
    fn paths_that_cannot_be_mapped() {
        let balancer = Balancer::new(BalancerConfig::new("b"));
        for path in [
            "", "cart", "/a b", "/a?b", "/a#b", "/a;b", "/a//b", "/a/../b", "/%2e", "/\u{e4}",
        ] {
            for (path, target) in [(path, "/"), ("/", path)] {
                let error = Mapping::new(path, balancer.clone(), target).unwrap_err();
                assert_eq!(error.is_target, path == "/", "{error}");
            }
        }
    }
}
