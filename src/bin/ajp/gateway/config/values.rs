//! Single values of the configuration: what each may be, and its text form.

use crate::gateway::front::{ListenAddress, SocketMode};
use ajp::balancer::{HashBy, Method, Sticky};
use ajp::client::{Address, CPingMode, PoolConfig};
use ajp::server::Networks;
use ajp::wire::PacketSize;
use http::uri::Authority;
use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};
use std::fmt;
use std::marker::PhantomData;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

/// A value that is written as a text.
pub(crate) trait Value: Sized {
    /// What may be written, as it completes "expected ...".
    const ALLOWED: &'static str;

    /// Reads it.
    fn read(text: &str) -> Option<Self>;
}

/// A [`Value`] in a file.
#[derive(Debug, Clone)]
pub(crate) struct Text<T>(pub T);

impl<'de, T: Value> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<T>(PhantomData<T>);
        impl<T: Value> Visitor<'_> for Reader<T> {
            type Value = Text<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(T::ALLOWED)
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Text<T>, E> {
                let value = T::read(text).map(Text);
                value.ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_str(Reader(PhantomData))
    }
}

/// A [`Value`] on the command line.
pub(crate) fn argument<T: Value>(text: &str) -> Result<T, String> {
    T::read(text).ok_or_else(|| format!("expected {}", T::ALLOWED))
}

impl Value for SocketAddr {
    const ALLOWED: &'static str = "an IP address and a port, such as \"127.0.0.1:8080\"";

    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl Value for ListenAddress {
    const ALLOWED: &'static str =
        "an IP address and a port, such as \"0.0.0.0:443\", or \"unix:/path\"";

    fn read(text: &str) -> Option<Self> {
        match text.strip_prefix("unix:") {
            Some(path) if path.starts_with('/') => Some(Self::Unix(path.into())),
            Some(_) => None,
            None => text.parse().ok().map(Self::Tcp),
        }
    }
}

impl Value for SocketMode {
    const ALLOWED: &'static str = "three octal digits, such as \"660\"";

    fn read(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('0').filter(|rest| rest.len() == 3);
        let digits = digits.unwrap_or(text);
        let is_mode = digits.len() == 3 && digits.bytes().all(|b| b.is_ascii_digit());
        let mode = u32::from_str_radix(digits, 8).ok();
        mode.filter(|_| is_mode).map(Self)
    }
}

impl Value for Address {
    const ALLOWED: &'static str = "ajp://host:port or unix:/path";

    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl Value for Duration {
    const ALLOWED: &'static str =
        "a number and a unit of ms, s, m or h, such as \"500ms\" or \"10s\", at most \"87600h\"";

    fn read(text: &str) -> Option<Self> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().ok()?;
        let seconds = |factor| Some(Duration::from_secs(number.checked_mul(factor)?));
        let time = match unit.trim_start() {
            "ms" => Some(Duration::from_millis(number)),
            "s" => seconds(1),
            "m" => seconds(60),
            "h" => seconds(3600),
            _ => None,
        };
        time.filter(|time| *time <= LONGEST)
    }
}

/// Ten years. Who adds more to a moment, as libraries below do, may end beyond what a clock shows.
pub(crate) const LONGEST: Duration = Duration::from_secs(87_600 * 3600);

/// A time of TCP's keep-alive: what Linux takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeepAliveTime(pub(crate) Duration);

impl Value for KeepAliveTime {
    const ALLOWED: &'static str = "a time from \"1s\" to \"32767s\"";

    fn read(text: &str) -> Option<Self> {
        let allowed = Duration::from_secs(1)..=Duration::from_secs(32_767);
        let time = Duration::read(text).filter(|time| allowed.contains(time));
        time.map(Self)
    }
}

/// Reads a time such as "30m".
pub(crate) fn duration(text: &str) -> Option<Duration> {
    Duration::read(text)
}

/// When a connection is asked with `CPing`, as it is written.
pub(crate) fn cping_mode(text: &str) -> Option<CPingMode> {
    CPingMode::read(text)
}

/// An HTTP server, as it is written: `http://host:port`.
pub(crate) fn upstream(text: &str) -> Option<Authority> {
    Upstream::read(text).map(|Upstream(address)| address)
}

impl Value for Sticky {
    const ALLOWED: &'static str = "the name of a cookie, or of a cookie and a path parameter, \
        such as \"JSESSIONID|jsessionid\"";

    fn read(text: &str) -> Option<Self> {
        Sticky::new(text).ok()
    }
}

/// The name of a host and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostAndPort {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Value for HostAndPort {
    const ALLOWED: &'static str = "a host name and a port, such as \"tomcats.internal:8009\"";

    fn read(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let is_name = |b: u8| b.is_ascii_alphanumeric() || b".-_".contains(&b);
        let port = port.parse().ok().filter(|&port| port != 0)?;
        (!host.is_empty() && host.bytes().all(is_name)).then(|| Self {
            host: host.into(),
            port,
        })
    }
}

/// The methods, as they are written.
pub(crate) const METHODS: &str = MethodName::ALLOWED;

/// The name of a balancing method, as the library has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MethodName(pub String);

impl Value for MethodName {
    const ALLOWED: &'static str = "one of byrequests, bytraffic, bybusyness, bysessions, \
        least_outstanding, lowest_latency, hash:path, hash:header:NAME, hash:cookie:NAME, \
        hash:client";

    fn read(text: &str) -> Option<Self> {
        let plain = text.replace('_', "");
        if Method::NAMES.contains(&&*plain) {
            return Some(Self(plain));
        }
        // A key of the caller's own is for programs: nobody sets it here.
        let by = text.strip_prefix("hash:").filter(|by| *by != "key")?;
        by.parse::<HashBy>().ok().map(|_| Self(text.into()))
    }
}

/// A whole number of this range.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Whole<const LEAST: u64, const MOST: u64>(pub u64);

impl<'de, const LEAST: u64, const MOST: u64> Deserialize<'de> for Whole<LEAST, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<const LEAST: u64, const MOST: u64>;
        impl<const LEAST: u64, const MOST: u64> Visitor<'_> for Reader<LEAST, MOST> {
            type Value = Whole<LEAST, MOST>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a whole number from {LEAST} to {MOST}")
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
                match u64::try_from(number) {
                    Ok(value) if (LEAST..=MOST).contains(&value) => Ok(Whole(value)),
                    _ => Err(E::invalid_value(Unexpected::Signed(number), &self)),
                }
            }
        }
        deserializer.deserialize_i64(Reader)
    }
}

impl<const LEAST: u64, const MOST: u64> Whole<LEAST, MOST> {
    /// As a number that the library takes; `MOST` fits it.
    pub(crate) fn number(self) -> u32 {
        u32::try_from(self.0).unwrap_or(u32::MAX)
    }

    /// As a number of bytes or things in memory.
    pub(crate) fn size(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// The AJP packet size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packets {
    /// The members have this one.
    Fixed(PacketSize),
    /// It is learned of each member.
    Auto,
}

impl Packets {
    /// The longest packet that may come.
    pub(crate) fn longest(self) -> PacketSize {
        match self {
            Self::Fixed(size) => size,
            Self::Auto => PacketSize::MAX,
        }
    }

    /// Pools with packets of this size.
    pub(crate) fn of_pools(self, config: PoolConfig) -> PoolConfig {
        config
            .with_packet_size(self.longest())
            .with_learn_packet_size(self == Self::Auto)
    }
}

impl FromStr for Packets {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            number => crate::values::packet_size(number)
                .map(Self::Fixed)
                .map_err(|error| format!("{error}, and not \"auto\"")),
        }
    }
}

impl<'de> Deserialize<'de> for Packets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl Visitor<'_> for Reader {
            type Value = Packets;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number from 8192 to 65536, or \"auto\"")
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Packets, E> {
                let size = u32::try_from(number).ok().and_then(PacketSize::new);
                size.map(Packets::Fixed)
                    .ok_or_else(|| E::invalid_value(Unexpected::Signed(number), &self))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Packets, E> {
                match text {
                    "auto" => Ok(Packets::Auto),
                    _ => Err(E::invalid_value(Unexpected::Str(text), &self)),
                }
            }
        }

        deserializer.deserialize_any(Reader)
    }
}

/// A status on which a member counts as failed; negative: it does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FailStatus {
    pub(crate) status: u16,
    pub(crate) keeps_member: bool,
}

impl<'de> Deserialize<'de> for FailStatus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = i64::deserialize(deserializer)?;
        match u16::try_from(number.unsigned_abs()) {
            Ok(status @ 400..=599) => Ok(Self {
                status,
                keeps_member: number < 0,
            }),
            _ => Err(D::Error::invalid_value(
                Unexpected::Signed(number),
                &"statuses from 400 to 599, or negative to try another member only",
            )),
        }
    }
}

/// A status, or a range of them such as "200-399".
#[derive(Debug, Clone)]
pub(crate) struct Statuses(pub RangeInclusive<u16>);

impl Statuses {
    fn read(text: &str) -> Option<Self> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let status = |text: &str| text.trim().parse::<u16>().ok();
        let (first, last) = (status(first)?, status(last)?);
        (100 <= first && first <= last && last <= 599).then_some(Self(first..=last))
    }
}

impl<'de> Deserialize<'de> for Statuses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = Statuses;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a status from 100 to 599, or two of them such as \"200-399\"")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Statuses, E> {
                let statuses = Statuses::read(text);
                statuses.ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Statuses, E> {
                let statuses = Statuses::read(&number.to_string());
                statuses.ok_or_else(|| E::invalid_value(Unexpected::Signed(number), &self))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

impl Value for Networks {
    const ALLOWED: &'static str = "an IP address or a network, such as \"10.0.0.0/8\"";

    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl Value for IpAddr {
    const ALLOWED: &'static str = "an IP address";

    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

/// A limit in time that can be switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limit(pub Option<Duration>);

impl Value for Limit {
    const ALLOWED: &'static str = "a number above 0 and a unit of ms, s, m or h, such as \"500ms\" \
        or \"10s\", or \"none\" for no limit";

    fn read(text: &str) -> Option<Self> {
        if text == "none" {
            return Some(Self(None));
        }
        Positive::read(text).map(|Positive(limit)| Self(Some(limit)))
    }
}

/// A time that something may take. Other programs mean no limit by 0, here nothing would be in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Positive(pub Duration);

impl Value for Positive {
    const ALLOWED: &'static str =
        "a number above 0 and a unit of ms, s, m or h, such as \"500ms\" or \"10s\"";

    fn read(text: &str) -> Option<Self> {
        let time = Duration::read(text).filter(|time| !time.is_zero());
        time.map(Self)
    }
}

impl Value for CPingMode {
    const ALLOWED: &'static str = "one of never, on_connect, always, or how long a connection \
        must have been idle, such as \"1s\"";

    fn read(text: &str) -> Option<Self> {
        match text {
            "never" => Some(Self::NEVER),
            "on_connect" => Some(Self::ON_CONNECT),
            "always" => Some(Self::ALWAYS),
            _ => Duration::read(text).map(Self::idle_longer_than),
        }
    }
}

/// What stands between a session id and its route; none: the whole value is the route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Separator(pub Option<u8>);

impl Value for Separator {
    const ALLOWED: &'static str = "one ASCII character, such as \".\", or \"none\"";

    fn read(text: &str) -> Option<Self> {
        match text.as_bytes() {
            b"none" => Some(Self(None)),
            [byte] if byte.is_ascii_graphic() => Some(Self(Some(*byte))),
            _ => None,
        }
    }
}

/// An HTTP server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Upstream(pub Authority);

impl Value for Upstream {
    const ALLOWED: &'static str = "http://, a host and a port, such as \"http://127.0.0.1:8080\"";

    fn read(text: &str) -> Option<Self> {
        let authority: Authority = text.strip_prefix("http://")?.parse().ok()?;
        let is_plain = authority.port_u16().is_some() && !authority.as_str().contains('@');
        is_plain.then_some(Self(authority))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, millis) in [
            ("0s", Some(0)),
            ("500ms", Some(500)),
            ("10s", Some(10_000)),
            ("10 s", Some(10_000)),
            ("2m", Some(120_000)),
            ("1h", Some(3_600_000)),
            ("10", None),
            ("", None),
            ("s", None),
            ("-1s", None),
            ("1.5s", None),
            ("1d", None),
            ("87600h", Some(315_360_000_000)),
            ("87601h", None),
            ("5124095576030431h", None),
            ("18446744073709551615h", None),
            ("18446744073709551616s", None),
        ] {
            let expected = millis.map(Duration::from_millis);
            assert_eq!(Duration::read(text), expected, "{text}");
        }
    }

    #[test]
    fn a_limit_is_a_time_or_none_and_never_0() {
        let second = Some(Duration::from_secs(1));
        for (text, limit) in [
            ("none", Some(None)),
            ("1s", Some(second)),
            ("0s", None),
            ("0ms", None),
            ("", None),
        ] {
            assert_eq!(Limit::read(text), limit.map(Limit), "{text}");
            let time = limit.flatten().map(Positive);
            assert_eq!(Positive::read(text), time, "{text}");
        }
    }

    #[test]
    fn times_of_keep_alive_are_those_of_the_kernel() {
        for (text, seconds) in [
            ("1s", Some(1)),
            ("32767s", Some(32_767)),
            ("9h", Some(9 * 3600)),
            ("500ms", None),
            ("32768s", None),
            ("10h", None),
        ] {
            let expected = seconds.map(|s| KeepAliveTime(Duration::from_secs(s)));
            assert_eq!(KeepAliveTime::read(text), expected, "{text}");
        }
    }

    #[test]
    fn statuses() {
        for (text, range) in [
            ("200", Some(200..=200)),
            ("200-399", Some(200..=399)),
            ("399-200", None),
            ("99", None),
            ("600", None),
            ("ok", None),
        ] {
            assert_eq!(
                Statuses::read(text).map(|statuses| statuses.0),
                range,
                "{text}"
            );
        }
    }

    #[test]
    fn methods_are_known_with_and_without_underscore() {
        for name in MethodName::ALLOWED["one of ".len()..].split(", ") {
            let MethodName(known) = MethodName::read(name).unwrap();
            assert_eq!(MethodName::read(&known), Some(MethodName(known.clone())));
            assert!(known.parse::<Method>().is_ok());
        }
        for bad in [
            "heartbeat",
            "hash",
            "hash:key",
            "hash:header:",
            "hash:colour",
        ] {
            assert_eq!(MethodName::read(bad), None, "{bad}");
        }
    }
}
