//! What is mounted by mod_jk: the longest pattern that fits a path counts, and what is taken
//! away from a worker is taken away from all of its mounts.

use super::plan::{Kind, Map, Mount, Plan};
use std::cmp::Reverse;

/// What a pattern stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Glob {
    /// This path.
    Exact(String),
    /// All below it; with the slash at its end.
    Below(String),
    /// All below the first that ends in the second.
    Ending(String, String),
    /// A regular expression.
    Other(String),
}

impl Glob {
    fn parse(pattern: &str) -> Self {
        let is_ending = |end: &str| {
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"._~-".contains(&b);
            !end.is_empty() && end.bytes().all(plain)
        };
        let wild = pattern.contains(['*', '?']);
        match pattern.split_once('*') {
            _ if !wild => Self::Exact(pattern.to_owned()),
            Some((front, "")) if front.ends_with('/') && !front.contains('?') => {
                Self::Below(front.to_owned())
            }
            Some(("", end)) if is_ending(end) => Self::Ending("/".to_owned(), end.to_owned()),
            Some((front, end)) if front.ends_with('/') && is_ending(end) => {
                Self::Ending(front.to_owned(), end.to_owned())
            }
            _ => {
                let escaped = regex::escape(pattern);
                let regex = escaped.replace("\\*", ".*").replace("\\?", ".");
                let end = if pattern.ends_with('*') { "" } else { "$" };
                let regex = regex.strip_suffix(".*").unwrap_or(&regex);
                Self::Other(format!("~ ^{regex}{end}"))
            }
        }
    }

    /// What both stand for, if there is anything.
    fn and(&self, other: &Self) -> Option<Self> {
        let longer = |a: &String, b: &String| {
            if a.starts_with(b.as_str()) {
                Some(a.clone())
            } else {
                b.starts_with(a.as_str()).then(|| b.clone())
            }
        };
        match (self, other) {
            (Self::Other(_), _) | (_, Self::Other(_)) => Some(self.clone()),
            (Self::Exact(path), with) | (with, Self::Exact(path)) => {
                with.has(path).then(|| Self::Exact(path.clone()))
            }
            (Self::Below(a), Self::Below(b)) => longer(a, b).map(Self::Below),
            (Self::Below(a), Self::Ending(b, end)) | (Self::Ending(b, end), Self::Below(a)) => {
                longer(a, b).map(|front| Self::Ending(front, end.clone()))
            }
            (Self::Ending(a, first), Self::Ending(b, second)) => {
                let end = if first.ends_with(second.as_str()) {
                    first
                } else if second.ends_with(first.as_str()) {
                    second
                } else {
                    return None;
                };
                longer(a, b).map(|front| Self::Ending(front, end.clone()))
            }
        }
    }

    fn has(&self, path: &str) -> bool {
        match self {
            Self::Exact(own) => own == path,
            Self::Below(front) => path.starts_with(front.as_str()),
            Self::Ending(front, end) => {
                path.starts_with(front.as_str()) && path.ends_with(end.as_str())
            }
            Self::Other(_) => false,
        }
    }

    /// The path of a map, and the target that leaves it as it is.
    fn path(self) -> (String, String) {
        match self {
            Self::Exact(path) => (format!("= {path}"), path),
            Self::Below(front) => (front.clone(), front),
            Self::Ending(front, end) => (format!("{front}*{end}"), front),
            Self::Other(regex) => (regex, "/".to_owned()),
        }
    }
}

impl Plan {
    /// Makes maps of all mounts, in mod_jk's order: the longest pattern first, and before each
    /// what is taken away from it.
    pub(super) fn settle_mounts(&mut self) {
        let mut mounts = Vec::new();
        for mount in std::mem::take(&mut self.mounts) {
            if mount.is_of_file && !self.mount_files.is_empty() {
                for site in &self.mount_files {
                    let site = site.clone();
                    mounts.push(Mount {
                        site,
                        ..mount.clone()
                    });
                }
            } else {
                mounts.push(mount);
            }
        }
        mounts.sort_by_key(|mount| Reverse(mount.pattern.len()));
        let (excluded, mounted): (Vec<_>, Vec<_>) =
            mounts.into_iter().partition(|mount| mount.is_excluded);
        for mount in mounted {
            let glob = Glob::parse(&mount.pattern);
            for taken in &excluded {
                let is_of_it = taken.worker == mount.worker && taken.site == mount.site;
                let common = Glob::parse(&taken.pattern).and(&glob);
                if let Some(common) = common.filter(|_| is_of_it) {
                    self.mount(taken, common, Kind::NotFound);
                }
            }
            self.mount(&mount, glob, Kind::Forward);
        }
    }

    fn mount(&mut self, mount: &Mount, glob: Glob, kind: Kind) {
        let (path, target) = glob.path();
        self.map(Map {
            place: mount.place.clone(),
            path,
            balancer: match kind {
                Kind::Forward => mount.worker.clone(),
                _ => String::new(),
            },
            target,
            kind,
            location: true,
            cookie_path: true,
            site: mount.site.clone(),
            settings: mount.settings.clone(),
            ..Map::default()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_two_patterns_have_in_common() {
        for (one, other, common) in [
            ("/a/*", "/a/b/*", Some("/a/b/")),
            ("/a/*", "/b/*", None),
            ("/*.gif", "/a/*", Some("/a/*.gif")),
            ("/*.gif", "/*.jsp", None),
            ("/*.gif", "/a/*.gif", Some("/a/*.gif")),
            ("/a/x.gif", "/*.gif", Some("= /a/x.gif")),
            ("/a/x", "/*.gif", None),
            ("/a*", "/a/*", Some("~ ^/a")),
            ("/a/*/b", "/a/*", Some("~ ^/a/.*/b$")),
        ] {
            let common_of = |a: &str, b: &str| {
                let both = Glob::parse(a).and(&Glob::parse(b));
                both.map(|glob| glob.path().0)
            };
            assert_eq!(common_of(one, other).as_deref(), common, "{one} {other}");
        }
    }
}
