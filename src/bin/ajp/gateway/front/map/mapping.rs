//! One map: a pattern, and who serves what fits it.

use crate::gateway::front::settings::Settings;
use crate::paths::{
    InvalidPattern, Pattern, below, fault_of_target, readings, split_parameters, template_base,
};
use ajp::balancer::Balancer;
use ajp::proxy::PathMap;
use http::uri::Authority;
use regex::Regex;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

/// A pattern and what becomes of the paths that fit it.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    pub(crate) pattern: Pattern,
    pub(crate) action: Action,
}

/// What becomes of a path.
#[derive(Debug, Clone)]
pub(crate) enum Action {
    /// The members of a balancer serve it.
    Forward(Mapping),
    /// Nobody serves it: 404.
    NotFound,
    /// Nobody may have it: 403.
    Forbidden,
}

impl Rule {
    /// Who serves it, if anybody does.
    pub(crate) fn mapping(&self) -> Option<&Mapping> {
        match &self.action {
            Action::Forward(mapping) => Some(mapping),
            Action::NotFound | Action::Forbidden => None,
        }
    }

    /// Leads to the one of these balancers that has the name of its own.
    pub(crate) fn use_balancers(&mut self, balancers: &[Balancer]) {
        if let Action::Forward(mapping) = &mut self.action {
            let name = mapping.balancer.name();
            let known = balancers.iter().find(|known| known.name() == name);
            if let Some(known) = known.cloned() {
                mapping.balancer = known;
            }
        }
    }
}

/// A path of the site and the path at a balancer's members that stands for it.
#[derive(Debug, Clone)]
pub(crate) struct Mapping {
    balancer: Balancer,
    target: Target,
    /// As it stands in the configuration.
    name: String,
    location: bool,
    cookie_path: bool,
    settings: Arc<Settings>,
    upgrades: Arc<Upgrades>,
}

/// The HTTP addresses of members that take upgrades, by their names. The manager may change them.
#[derive(Debug, Default)]
pub(crate) struct Upgrades(RwLock<HashMap<String, Authority>>);

impl Upgrades {
    /// Where the member of this name takes them, if it does.
    pub(crate) fn get(&self, name: &str) -> Option<Authority> {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        all.get(name).cloned()
    }

    /// From now on the member takes them there, or not at all.
    pub(crate) fn set(&self, name: &str, address: Option<Authority>) {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match address {
            Some(address) => all.insert(name.to_owned(), address),
            None => all.remove(name),
        };
    }

    /// Whether no member takes any.
    pub(crate) fn is_empty(&self) -> bool {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        all.is_empty()
    }
}

impl FromIterator<(String, Authority)> for Upgrades {
    fn from_iter<I: IntoIterator<Item = (String, Authority)>>(all: I) -> Self {
        Self(RwLock::new(all.into_iter().collect()))
    }
}

/// How a path of the site becomes one at the members.
#[derive(Debug, Clone)]
enum Target {
    /// `front` is replaced by `target`; both without slash at their end.
    Prefix { front: String, target: String },
    /// It is this path.
    Path(String),
    /// What the expression found is put into `template`. `base` is the part of it that is
    /// always the same, up to a slash.
    Template {
        regex: Regex,
        template: String,
        base: String,
    },
}

impl Mapping {
    /// What fits `pattern` goes to `target` at the members of `balancer`.
    pub(crate) fn new(
        pattern: &Pattern,
        balancer: Balancer,
        target: &str,
    ) -> Result<Self, InvalidPattern> {
        if let Some(why) = fault_of_target(pattern, target) {
            return Err(InvalidPattern::new(target, why));
        }
        let prefix = |front: &str| Target::Prefix {
            front: front.to_owned(),
            target: target.trim_end_matches('/').to_owned(),
        };
        let target = match pattern {
            Pattern::Below(front) | Pattern::Suffix { below: front, .. } => prefix(front),
            Pattern::Exact(_) => Target::Path(target.to_owned()),
            // As with ProxyPassMatch: without a reference the path goes behind the target.
            Pattern::Regex(_) if !target.contains('$') => prefix(""),
            Pattern::Regex(regex) => Target::Template {
                regex: regex.clone(),
                template: target.to_owned(),
                base: template_base(target)
                    .unwrap_or_default()
                    .trim_end_matches('/')
                    .to_owned(),
            },
        };
        Ok(Self {
            balancer,
            target,
            name: pattern.to_string(),
            location: true,
            cookie_path: true,
            settings: Arc::default(),
            upgrades: Arc::default(),
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

    /// Where members take upgrades.
    pub(crate) fn with_upgrades(mut self, upgrades: Arc<Upgrades>) -> Self {
        self.upgrades = upgrades;
        self
    }

    /// Where members take upgrades.
    pub(crate) fn upgrades(&self) -> &Upgrades {
        &self.upgrades
    }

    /// What is different for its requests.
    pub(crate) fn with_settings(mut self, settings: Settings) -> Self {
        self.settings = Arc::new(settings);
        self
    }

    /// What is different for its requests.
    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The pattern as it stands in the configuration.
    pub(crate) fn path(&self) -> &str {
        &self.name
    }

    /// Where it leads, as it could stand in the configuration.
    pub(crate) fn target(&self) -> String {
        let path = match &self.target {
            Target::Prefix { target, .. } if target.is_empty() => "/",
            Target::Prefix { target: path, .. } | Target::Path(path) => path,
            Target::Template { template, .. } => template,
        };
        match self.balancer.name() {
            // A balancer that was made for the one container of a map.
            address if address.contains("://") => format!("{address}{path}"),
            name => format!("balancer://{name}{path}"),
        }
    }

    /// Who serves it.
    pub(crate) fn balancer(&self) -> &Balancer {
        &self.balancer
    }

    /// The path at the members for a path of the site that fits; borrowed if it is the same.
    pub(crate) fn inward<'a>(&self, path: &'a str) -> Option<Cow<'a, str>> {
        if path == "*" {
            return self.is_whole_site().then_some(path.into());
        }
        match &self.target {
            Target::Prefix { front, target } => {
                let rest = below(path, front)?;
                Some(if front == target {
                    path.into()
                } else {
                    joined(target, rest).into()
                })
            }
            Target::Path(target) => Some(format!("{target}{}", split_parameters(path).1).into()),
            Target::Template {
                regex, template, ..
            } => {
                let (plain, parameters) = split_parameters(path);
                let found = regex.captures(plain)?;
                let mut inward = String::new();
                found.expand(template, &mut inward);
                inward.push_str(parameters);
                Some(inward.into())
            }
        }
    }

    /// Whether the members, however they read `inward`, stay below what is mapped.
    pub(super) fn holds(&self, inward: &str) -> bool {
        let base = match &self.target {
            Target::Prefix { target, .. } => target,
            Target::Path(path) => path,
            Target::Template { base, .. } => base,
        };
        readings(inward).is_ok_and(|all| all.iter().all(|path| below(path, base).is_some()))
    }

    /// The way back, for what the members say of their own paths.
    pub(in super::super) fn path_map(&self) -> PathMap {
        let map = match &self.target {
            Target::Prefix { front, target } => PathMap::new(front, target),
            // No path at the members is the image of one path of the site: none begins so.
            Target::Path(_) | Target::Template { .. } => PathMap::new("", "?"),
        };
        map.with_location(self.location)
            .with_cookie_path(self.cookie_path)
    }

    /// Whether site and members are one and the same.
    fn is_whole_site(&self) -> bool {
        matches!(&self.target, Target::Prefix { front, target } if front.is_empty() && target.is_empty())
    }
}

pub(super) fn joined(prefix: &str, rest: &str) -> String {
    let slash = if prefix.is_empty() && !rest.starts_with('/') {
        "/"
    } else {
        ""
    };
    format!("{prefix}{slash}{rest}")
}
