//! How much of the load a member takes.

use std::fmt;
use std::str::FromStr;

/// A member's share of the load, relative to the others: 0.01 to 10000, two decimals, as
/// httpd's `loadfactor`. Default 1.
///
/// ```
/// use ajp::balancer::Weight;
/// let weight: Weight = "1.5".parse()?;
/// assert_eq!(weight.hundredths(), 150);
/// assert_eq!(weight.to_string(), "1.5");
/// assert!("0".parse::<Weight>().is_err());
/// # Ok::<(), ajp::balancer::InvalidWeight>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Weight(u32);

impl Weight {
    /// Weight 1.
    pub const ONE: Self = Self(100);

    const MAX: u32 = 1_000_000;

    /// A weight in hundredths: 100 is weight 1.
    ///
    /// # Errors
    /// [`InvalidWeight`] below 1 and above 1000000.
    pub fn from_hundredths(hundredths: u32) -> Result<Self, InvalidWeight> {
        if (1..=Self::MAX).contains(&hundredths) {
            Ok(Self(hundredths))
        } else {
            Err(InvalidWeight)
        }
    }

    /// The weight in hundredths.
    #[must_use]
    pub const fn hundredths(self) -> u32 {
        self.0
    }
}

impl Default for Weight {
    fn default() -> Self {
        Self::ONE
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / 100, self.0 % 100);
        match (rest, rest % 10) {
            (0, _) => write!(f, "{whole}"),
            (_, 0) => write!(f, "{whole}.{}", rest / 10),
            _ => write!(f, "{whole}.{rest:02}"),
        }
    }
}

impl FromStr for Weight {
    type Err = InvalidWeight;

    fn from_str(text: &str) -> Result<Self, InvalidWeight> {
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(decimals) || decimals.len() > 2 {
            return Err(InvalidWeight);
        }
        let number = |text: &str| text.parse::<u32>().map_err(|_| InvalidWeight);
        let (whole, rest) = (number(whole)?, number(decimals)?);
        let rest = if decimals.len() == 1 {
            rest.saturating_mul(10)
        } else {
            rest
        };
        Self::from_hundredths(whole.saturating_mul(100).saturating_add(rest))
    }
}

/// A text or number is not a [`Weight`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a weight is a number from 0.01 to 10000 with at most two decimals")]
pub struct InvalidWeight;

#[cfg(feature = "serde")]
impl serde::Serialize for Weight {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(f64::from(self.0) / 100.0)
    }
}

/// From a number, or a text as in [`FromStr`].
#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for Weight {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Weight;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{InvalidWeight}")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Weight, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Weight, E> {
                // The shortest text of a number has the decimals that were written.
                self.visit_str(&number.to_string())
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Weight, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Weight, E> {
                self.visit_str(&number.to_string())
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        for (text, hundredths, shown) in [
            ("1", 100, "1"),
            ("1.5", 150, "1.5"),
            ("1.50", 150, "1.5"),
            ("0.01", 1, "0.01"),
            ("0.05", 5, "0.05"),
            ("12.34", 1234, "12.34"),
            ("10000", 1_000_000, "10000"),
        ] {
            let weight: Weight = text.parse().unwrap();
            assert_eq!(weight.hundredths(), hundredths, "{text}");
            assert_eq!(weight.to_string(), shown);
            assert_eq!(shown.parse(), Ok(weight));
        }
        for text in [
            "",
            "0",
            "0.00",
            "0.001",
            "1.",
            ".5",
            "-1",
            "+1",
            "1e2",
            "10000.01",
            "4294967296",
            "42949673",
            "1.2.3",
            " 1",
            "nan",
        ] {
            assert_eq!(text.parse::<Weight>(), Err(InvalidWeight), "{text}");
        }
    }

    #[cfg(feature = "serde")]
    #[test]
    fn numbers() {
        for (json, hundredths) in [("1", 100), ("1.5", 150), ("\"0.25\"", 25), ("0.07", 7)] {
            let weight: Weight = serde_json::from_str(json).unwrap();
            assert_eq!(weight.hundredths(), hundredths);
            let again = serde_json::to_string(&weight).unwrap();
            assert_eq!(serde_json::from_str::<Weight>(&again).unwrap(), weight);
        }
        for json in ["0", "-1", "1.234", "1e9", "\"\"", "null"] {
            assert!(serde_json::from_str::<Weight>(json).is_err(), "{json}");
        }
    }
}
