//! Which part of the site is served by whom.
//!
//! A path is matched and forwarded as it came, but only if every way in which a server may
//! read it leads to the same map ([`readings`]): the maps and the container cannot take one
//! path for two places. A site that normalises forwards the normal form instead.
//!
//! The order in which maps are tried:
//!
//! 1. `= /path`, the path alone;
//! 2. exclusions by ending (`*.bak`) and by regular expression, wherever they fit;
//! 3. regular expressions, in the order of the file;
//! 4. the longest path, and for the same path an ending before all below it.
//!
//! That is the servlet specification's order and mod_jk's. httpd takes the first that fits in
//! the order of its file: [`Order::File`].

mod hosts;
mod mapping;
#[cfg(test)]
mod tests;

pub(crate) use crate::paths::Pattern;
pub(crate) use hosts::{HostName, Sites};
pub(crate) use mapping::{Action, Mapping, Rule, Upgrades};

use crate::paths::{is_plain, normalised, readings};
use std::borrow::Cow;
use std::cmp::Reverse;
use std::sync::Arc;

/// Which of several maps that fit is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Order {
    /// The most specific one.
    #[default]
    Longest,
    /// The first in the file.
    File,
}

/// All maps of a site.
#[derive(Debug, Clone, Default)]
pub(crate) struct Maps {
    rules: Arc<[Rule]>,
    /// Paths are brought to their normal form first.
    normalise: bool,
}

const OUTSIDE: &str = "the path can be read as one outside of its map";

/// What a path leads to.
#[derive(Debug)]
pub(crate) enum Found<'m, 'p> {
    /// A map, and the path at its balancer's members.
    Mapped(&'m Mapping, Cow<'p, str>),
    /// A map that says nobody may have it.
    Forbidden,
    /// It can be read in ways that lead to different places; why.
    Ambiguous(&'static str),
    /// Nothing, or a map that says so.
    Nothing,
}

impl Maps {
    /// These rules, tried in this order.
    pub(crate) fn new(mut rules: Vec<Rule>, order: Order, normalise: bool) -> Self {
        if order == Order::Longest {
            // The sort is stable: what ranks the same stays in the order of the file.
            rules.sort_by_key(|rule| {
                let is_exclusion = rule.mapping().is_none();
                let (rank, ending) = match &rule.pattern {
                    Pattern::Exact(_) => (0, ""),
                    Pattern::Suffix { end, .. } if is_exclusion => (1, end.as_str()),
                    Pattern::Regex(_) if is_exclusion => (1, ""),
                    Pattern::Regex(_) => (2, ""),
                    Pattern::Suffix { end, .. } => (3, end.as_str()),
                    Pattern::Below(_) => (3, ""),
                };
                let front = rule.pattern.front();
                (rank, Reverse((front.len(), ending.len())))
            });
        }
        Self {
            rules: rules.into(),
            normalise,
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Mapping> {
        self.rules.iter().filter_map(Rule::mapping)
    }

    /// Looks a path up.
    pub(crate) fn find<'m, 'p>(&'m self, path: &'p str) -> Found<'m, 'p> {
        if path == "*" || is_plain(path) {
            return match self.first(path, path.into()) {
                // What a template has made of a plain path need not be plain: `/u-..` with
                // `/app/$1` is `/app/..`.
                Found::Mapped(mapping, Cow::Owned(inward))
                    if !is_plain(&inward) && !mapping.holds(&inward) =>
                {
                    Found::Ambiguous(OUTSIDE)
                }
                found => found,
            };
        }
        if self.normalise {
            return match normalised(path) {
                Ok(normal) if normal == path => self.agreed(path.into()),
                Ok(normal) => self.agreed(normal.into()),
                Err(unreadable) => Found::Ambiguous(unreadable.reason()),
            };
        }
        self.agreed(path.into())
    }

    /// The rule that a path fits, taken as it stands.
    fn rule(&self, path: &str) -> Option<usize> {
        self.rules
            .iter()
            .position(|rule| rule.pattern.matches(path))
    }

    /// What the first rule that fits says.
    fn first<'m, 'p>(&'m self, path: &str, forwarded: Cow<'p, str>) -> Found<'m, 'p> {
        let rule = if path == "*" {
            self.rule("/")
        } else {
            self.rule(path)
        };
        match rule
            .and_then(|at| self.rules.get(at))
            .map(|rule| &rule.action)
        {
            Some(Action::Forward(mapping)) => {
                let inward = match forwarded {
                    Cow::Borrowed(path) => mapping.inward(path),
                    Cow::Owned(path) => {
                        let inward = mapping.inward(&path);
                        inward.map(|path| Cow::Owned(path.into_owned()))
                    }
                };
                inward.map_or(Found::Nothing, |inward| Found::Mapped(mapping, inward))
            }
            Some(Action::Forbidden) => Found::Forbidden,
            Some(Action::NotFound) | None => Found::Nothing,
        }
    }

    /// What the first rule that fits says, if every reading of the path fits the same.
    fn agreed<'m, 'p>(&'m self, path: Cow<'p, str>) -> Found<'m, 'p> {
        let all = match readings(&path) {
            Ok(all) => all,
            Err(unreadable) => return Found::Ambiguous(unreadable.reason()),
        };
        let rule = self.rule(&path);
        let found = self.first(&path.clone(), path);
        // What is not forwarded can be read by nobody else.
        let Found::Mapped(mapping, inward) = found else {
            return found;
        };
        if all.iter().any(|reading| self.rule(reading) != rule) {
            return Found::Ambiguous("the path can be read as one of another map");
        }
        if !mapping.holds(&inward) {
            return Found::Ambiguous(OUTSIDE);
        }
        Found::Mapped(mapping, inward)
    }
}
