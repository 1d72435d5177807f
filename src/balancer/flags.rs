//! What an operator has said about a member.

use std::fmt;
use std::ops::BitOr;
use std::str::FromStr;

/// What an operator has said about a member (protocol chapter
/// [balancing](crate::docs::protocol::balancing#httpd-members)). No flag: active.
///
/// As text it is httpd's `status`: letters, each switched on by `+` or off by `-` before
/// it.
///
/// ```
/// use ajp::balancer::Flags;
/// let flags: Flags = "+H".parse()?;
/// assert!(flags.contains(Flags::HOT_STANDBY));
/// let flags = flags.apply("+D-H")?;
/// assert_eq!(flags, Flags::DISABLED);
/// assert_eq!(flags.to_string(), "D");
/// # Ok::<(), ajp::balancer::InvalidFlags>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Flags(u8);

impl Flags {
    /// No flag: an active member.
    pub const ACTIVE: Self = Self(0);
    /// `N`: only requests of its own sessions.
    pub const DRAINING: Self = Self(1);
    /// `D`: no requests.
    pub const DISABLED: Self = Self(1 << 1);
    /// `S`: no requests and no health checks.
    pub const STOPPED: Self = Self(1 << 2);
    /// `H`: serves when no member and no spare of its set can.
    pub const HOT_STANDBY: Self = Self(1 << 3);
    /// `R`: serves in place of one member of its set that cannot. In place of one that has only no
    /// free slot it serves when all others are as full.
    pub const HOT_SPARE: Self = Self(1 << 4);
    /// `I`: failures do not take it out.
    pub const IGNORE_ERRORS: Self = Self(1 << 5);

    const LETTERS: [(Self, char); 6] = [
        (Self::DRAINING, 'N'),
        (Self::DISABLED, 'D'),
        (Self::STOPPED, 'S'),
        (Self::HOT_STANDBY, 'H'),
        (Self::HOT_SPARE, 'R'),
        (Self::IGNORE_ERRORS, 'I'),
    ];

    /// Whether all of these are set.
    #[must_use]
    pub const fn contains(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }

    /// Whether one of these is set.
    #[must_use]
    pub const fn intersects(self, flags: Self) -> bool {
        self.0 & flags.0 != 0
    }

    /// With these set.
    #[must_use]
    pub const fn with(self, flags: Self) -> Self {
        Self(self.0 | flags.0)
    }

    /// Without these.
    #[must_use]
    pub const fn without(self, flags: Self) -> Self {
        Self(self.0 & !flags.0)
    }

    /// Switches flags on and off as `text` says, such as `+D-H`. A letter without sign is
    /// switched on; upper and lower case are the same.
    ///
    /// # Errors
    /// [`InvalidFlags`] for anything else.
    pub fn apply(mut self, text: &str) -> Result<Self, InvalidFlags> {
        let mut on = true;
        for letter in text.chars() {
            match letter {
                '+' => on = true,
                '-' => on = false,
                _ => {
                    let known = |&&(_, known): &&(Self, char)| letter.eq_ignore_ascii_case(&known);
                    let (flag, _) = Self::LETTERS
                        .iter()
                        .find(known)
                        .ok_or(InvalidFlags(letter))?;
                    self = if on {
                        self.with(*flag)
                    } else {
                        self.without(*flag)
                    };
                }
            }
        }
        Ok(self)
    }

    /// Whether requests without session may go to it.
    pub(super) const fn takes_new(self) -> bool {
        !self.intersects(Self(Self::DRAINING.0 | Self::DISABLED.0 | Self::STOPPED.0))
    }

    /// Whether requests of its own sessions may go to it.
    pub(super) const fn takes_own(self) -> bool {
        !self.intersects(Self(Self::DISABLED.0 | Self::STOPPED.0))
    }

    /// What `mod_jk` would tell the container (`JK_LB_ACTIVATION`).
    #[must_use]
    pub const fn activation(self) -> &'static str {
        if self.intersects(Self(Self::DISABLED.0 | Self::STOPPED.0)) {
            "STP"
        } else if self.contains(Self::DRAINING) {
            "DIS"
        } else {
            "ACT"
        }
    }
}

impl BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.with(other)
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (flag, letter) in Self::LETTERS {
            if self.contains(flag) {
                write!(f, "{letter}")?;
            }
        }
        Ok(())
    }
}

impl FromStr for Flags {
    type Err = InvalidFlags;

    fn from_str(text: &str) -> Result<Self, InvalidFlags> {
        Self::default().apply(text)
    }
}

/// A letter that is no flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no member flag; flags are N, D, S, H, R and I")]
pub struct InvalidFlags(char);

#[cfg(feature = "serde")]
impl serde::Serialize for Flags {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for Flags {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        for (text, flags) in [
            ("", Flags::ACTIVE),
            ("+H", Flags::HOT_STANDBY),
            ("h", Flags::HOT_STANDBY),
            ("+D-H", Flags::DISABLED),
            (
                "+DNI",
                Flags::DISABLED | Flags::DRAINING | Flags::IGNORE_ERRORS,
            ),
            ("+D-DS", Flags::ACTIVE),
        ] {
            assert_eq!(text.parse(), Ok(flags), "{text}");
            assert_eq!(flags.to_string().parse(), Ok(flags));
        }
        assert_eq!("+X".parse::<Flags>(), Err(InvalidFlags('X')));
        assert_eq!("H R".parse::<Flags>(), Err(InvalidFlags(' ')));
    }

    #[test]
    fn who_is_served() {
        for (text, new, own, activation) in [
            ("", true, true, "ACT"),
            ("HRI", true, true, "ACT"),
            ("N", false, true, "DIS"),
            ("D", false, false, "STP"),
            ("NS", false, false, "STP"),
        ] {
            let flags: Flags = text.parse().unwrap();
            assert_eq!(flags.takes_new(), new, "{text}");
            assert_eq!(flags.takes_own(), own, "{text}");
            assert_eq!(flags.activation(), activation);
        }
    }
}
