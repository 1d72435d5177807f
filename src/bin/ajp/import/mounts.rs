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
            self.settle_uncopied(&mount);
            let glob = Glob::parse(&mount.pattern);
            for taken in &excluded {
                // A star stands for every worker.
                let is_of_worker = taken.worker == mount.worker || taken.worker == "*";
                let Some(common) = Glob::parse(&taken.pattern).and(&glob) else {
                    continue;
                };
                match (&taken.site, &mount.site) {
                    _ if !is_of_worker => {}
                    (mine, other) if mine == other => {
                        self.mount(taken, common, Kind::NotFound, mount.site.as_ref());
                    }
                    (None, Some(site)) if self.has_mounts_of_server(site) => {
                        self.mount(taken, common, Kind::NotFound, mount.site.as_ref());
                    }
                    (Some(site), None) if self.has_mounts_of_server(site) => {
                        let text = format!(
                            "takes {} away from a mount of the server in one virtual host; write \
                             that mount, of {}, into the virtual host",
                            taken.pattern, mount.place
                        );
                        self.open(&taken.place, text);
                    }
                    _ => {}
                }
            }
            self.mount(&mount, glob, Kind::Forward, mount.site.as_ref());
        }
    }

    /// Whether `JkMountCopy` gives a virtual host the mounts of the server.
    fn has_mounts_of_server(&self, site: &str) -> bool {
        let mut copies = self.mount_copies.iter();
        copies.any(|copy| copy.as_deref().is_none_or(|copy| copy == site))
    }

    /// A mount of the server is not one of its virtual hosts unless `JkMountCopy` says so, and
    /// the gateway would serve it there too.
    fn settle_uncopied(&mut self, mount: &Mount) {
        if mount.site.is_some() || mount.is_of_file && self.mount_files.is_empty() {
            return;
        }
        let hosts = self.virtual_hosts.iter();
        let without = hosts.map(|host| &host.place);
        let mut without = without.filter(|place| !self.has_mounts_of_server(place));
        if let Some(host) = without.next() {
            let text = format!(
                "the mount of {} is the server's and not of the virtual host at {host}, which has \
                 no JkMountCopy; say JkMountCopy On there, or mount it in the virtual hosts that \
                 it is for",
                mount.pattern
            );
            self.open(&mount.place, text);
        }
    }

    fn mount(&mut self, mount: &Mount, glob: Glob, kind: Kind, site: Option<&String>) {
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
            site: site.cloned(),
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
