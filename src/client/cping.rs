//! When a connection is asked with CPing.

use std::time::Duration;

/// When the container is asked with `CPing` whether it is there, before a request.
///
/// | | httpd | `mod_jk` |
/// |---|---|---|
/// | [`NEVER`](Self::NEVER) | no `ping` | no `ping_mode` |
/// | [`ON_CONNECT`](Self::ON_CONNECT) | - | `ping_mode=C` |
/// | [`idle_longer_than`](Self::idle_longer_than) | - | `ping_mode=P`, but only when needed |
/// | [`ALWAYS`](Self::ALWAYS) | `ping` | `ping_mode=CP` |
///
/// Whether an idle connection is still open is checked in every mode: that asks only the
/// kernel. `CPing` also finds a container that is stuck, and a path that is cut; it costs one
/// round trip. An idle connection that fails is replaced and the request does not notice;
/// a new one that fails is an error.
///
/// ```
/// use ajp::client::{CPingMode, PoolConfig};
/// use std::time::Duration;
/// let mode = CPingMode::idle_longer_than(Duration::from_secs(5)).and_on_connect();
/// let config = PoolConfig::default().with_cping(mode);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CPingMode {
    pub(super) on_connect: bool,
    /// Idle connections, when idle for at least this long.
    pub(super) idle: Option<Duration>,
}

impl CPingMode {
    /// Not at all: for containers that do not know `CPing`.
    pub const NEVER: Self = Self {
        on_connect: false,
        idle: None,
    };

    /// New connections only.
    pub const ON_CONNECT: Self = Self::NEVER.and_on_connect();

    /// Before every request, over new connections and idle ones.
    pub const ALWAYS: Self = Self::idle_longer_than(Duration::ZERO).and_on_connect();

    /// Idle connections that were idle for this long or longer.
    #[must_use]
    pub const fn idle_longer_than(limit: Duration) -> Self {
        Self {
            on_connect: false,
            idle: Some(limit),
        }
    }

    /// New connections too.
    #[must_use]
    pub const fn and_on_connect(mut self) -> Self {
        self.on_connect = true;
        self
    }

    /// How long a connection must have been idle to be asked, if idle ones are.
    #[must_use]
    pub const fn idle_limit(self) -> Option<Duration> {
        self.idle
    }
}

impl Default for CPingMode {
    /// Idle connections that were idle for 1 s or longer.
    fn default() -> Self {
        Self::idle_longer_than(Duration::from_secs(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_a_connection_is_idle_before_it_is_asked() {
        let second = Duration::from_secs(1);
        for (mode, limit) in [
            (CPingMode::NEVER, None),
            (CPingMode::ON_CONNECT, None),
            (CPingMode::ALWAYS, Some(Duration::ZERO)),
            (CPingMode::default(), Some(second)),
            (
                CPingMode::idle_longer_than(second * 2).and_on_connect(),
                Some(second * 2),
            ),
        ] {
            assert_eq!(mode.idle_limit(), limit, "{mode:?}");
        }
    }
}
