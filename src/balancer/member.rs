//! What is configured of a member.

use super::{Flags, Weight};
use std::fmt;
use std::time::Duration;

/// Names a member for as long as the process runs; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct MemberId(pub(super) u64);

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One container of a balancer: everything but how to reach it. Serialised, times are numbers
/// of seconds, and what may be left out is; keys that it does not know are refused.
///
/// | here | httpd | `mod_jk` |
/// |---|---|---|
/// | [`route`](Self::with_route) | `route` | `route` |
/// | [`weight`](Self::with_weight) | `loadfactor` | `lbfactor` |
/// | [`set`](Self::with_set) | `lbset` | `distance` |
/// | [`flags`](Self::with_flags) | `status` | `activation` |
/// | [`redirect`](Self::with_redirect) | `redirect` | `redirect` |
/// | [`domain`](Self::with_domain) | | `domain` |
/// | [`max_requests`](Self::with_max_requests) | | `busy_limit` |
/// | [`retry`](Self::with_retry) | `retry` | `recover_time` |
///
/// ```
/// use ajp::balancer::{Flags, Member};
/// let member = Member::new("jvm1").with_route("jvm1").with_weight("1.5".parse()?).with_flags(Flags::HOT_STANDBY);
/// # Ok::<(), ajp::balancer::InvalidWeight>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
pub struct Member {
    pub(super) name: String,
    pub(super) route: Option<String>,
    pub(super) weight: Weight,
    pub(super) set: u32,
    pub(super) flags: Flags,
    pub(super) redirect: Option<String>,
    pub(super) domain: Option<String>,
    pub(super) max_requests: Option<u32>,
    #[cfg_attr(feature = "serde", serde(with = "super::seconds::optional"))]
    pub(super) retry: Option<Duration>,
    #[cfg_attr(feature = "serde", serde(with = "super::seconds::optional"))]
    pub(super) slow_start: Option<Duration>,
}

impl Default for Member {
    /// A member without name; it must be given one.
    fn default() -> Self {
        Self::new("")
    }
}

impl Member {
    /// An active member of weight 1 without route. The name is for operators, and unique
    /// in its balancer.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            route: None,
            weight: Weight::ONE,
            set: 0,
            flags: Flags::ACTIVE,
            redirect: None,
            domain: None,
            max_requests: None,
            retry: None,
            slow_start: None,
        }
    }

    /// Its `jvmRoute`: what its session ids end in. Here and below an empty text means none.
    #[must_use]
    pub fn with_route(mut self, route: impl Into<String>) -> Self {
        self.route = some(route.into());
        self
    }

    /// Its share of the load.
    #[must_use]
    pub fn with_weight(mut self, weight: Weight) -> Self {
        self.weight = weight;
        self
    }

    /// A member of a higher set serves only when all lower sets cannot. Default 0.
    #[must_use]
    pub fn with_set(mut self, set: u32) -> Self {
        self.set = set;
        self
    }

    /// Its role and administrative state.
    #[must_use]
    pub fn with_flags(mut self, flags: Flags) -> Self {
        self.flags = flags;
        self
    }

    /// The route of the member that takes its sessions while it cannot serve.
    #[must_use]
    pub fn with_redirect(mut self, route: impl Into<String>) -> Self {
        self.redirect = some(route.into());
        self
    }

    /// Members of one domain know each other's sessions.
    #[must_use]
    pub fn with_domain(mut self, domain: impl Into<String>) -> Self {
        self.domain = some(domain.into());
        self
    }

    /// Most requests at a time, waiting ones included. With this many it counts as unable
    /// to serve. Default no limit but the pool's.
    #[must_use]
    pub fn with_max_requests(mut self, count: impl Into<Option<u32>>) -> Self {
        self.max_requests = count.into();
        self
    }

    /// How long it is left alone after a failure. Default
    /// [`ClusterConfig::with_retry`](super::ClusterConfig::with_retry).
    #[must_use]
    pub fn with_retry(mut self, pause: impl Into<Option<Duration>>) -> Self {
        self.retry = pause.into();
        self
    }

    /// How long its weight takes to grow from a tenth to the whole after it was out.
    /// Default [`ClusterConfig::with_slow_start`](super::ClusterConfig::with_slow_start).
    #[must_use]
    pub fn with_slow_start(mut self, time: impl Into<Option<Duration>>) -> Self {
        self.slow_start = time.into();
        self
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The route.
    #[must_use]
    pub fn route_name(&self) -> Option<&str> {
        self.route.as_deref()
    }

    /// Its role and administrative state.
    #[must_use]
    pub fn current_flags(&self) -> Flags {
        self.flags
    }

    /// What `mod_jk` would tell it about itself: [`Flags::activation`].
    #[must_use]
    pub fn activation(&self) -> &'static str {
        self.flags.activation()
    }

    /// Names and routes appear in logs, cookies and pages.
    pub(super) fn check(&self) -> Result<(), InvalidMember> {
        let invalid = |what| InvalidMember {
            name: self.name.clone(),
            what,
        };
        if self.name.is_empty() || self.name.chars().any(char::is_control) {
            return Err(invalid("must have a name without control characters"));
        }
        for (text, what) in [
            (
                &self.route,
                "has a route that cannot be part of a session id",
            ),
            (&self.redirect, "redirects to a route that cannot be one"),
            (&self.domain, "has a domain that cannot be part of a route"),
        ] {
            if text.as_deref().is_some_and(|text| !is_route(text)) {
                return Err(invalid(what));
            }
        }
        if self.max_requests == Some(0) {
            return Err(invalid("must be allowed one request at least"));
        }
        Ok(())
    }
}

fn some(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// What can stand in a cookie value and in a path parameter alike.
fn is_route(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 256
        && text
            .bytes()
            .all(|b| b.is_ascii_graphic() && !b"\",;\\/?#%".contains(&b))
}

/// A member cannot be added, or changed like this.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("member \"{name}\" {what}")]
pub struct InvalidMember {
    pub(super) name: String,
    pub(super) what: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_a_member() {
        let good = Member::new("a").with_route("jvm-1.x").with_redirect("");
        assert_eq!(good.check(), Ok(()));
        assert_eq!(good.redirect, None);
        for bad in [
            Member::new(""),
            Member::new("a\nb"),
            Member::new("a").with_route("a b"),
            Member::new("a").with_route("a;b"),
            Member::new("a").with_route("\u{e4}"),
            Member::new("a").with_redirect("\""),
            Member::new("a").with_domain("x".repeat(257)),
            Member::new("a").with_max_requests(0),
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn each_setting_is_the_one_that_was_set() {
        let flags = Flags::ACTIVE.with(Flags::HOT_STANDBY);
        let weight = Weight::from_hundredths(300).unwrap();
        let member = Member::new("a")
            .with_route("r")
            .with_weight(weight)
            .with_set(4)
            .with_flags(flags)
            .with_redirect("s")
            .with_domain("d")
            .with_max_requests(5)
            .with_retry(Duration::from_secs(6))
            .with_slow_start(Duration::from_secs(7));
        let expected = Member {
            name: "a".into(),
            route: Some("r".into()),
            weight,
            set: 4,
            flags,
            redirect: Some("s".into()),
            domain: Some("d".into()),
            max_requests: Some(5),
            retry: Some(Duration::from_secs(6)),
            slow_start: Some(Duration::from_secs(7)),
        };
        assert_eq!(member, expected);
        assert_eq!((member.name(), member.route_name()), ("a", Some("r")));
        assert_eq!(member.current_flags(), flags);
        assert_eq!(member.activation(), flags.activation());
    }
}
