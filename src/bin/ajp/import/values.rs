//! Values as httpd and mod_jk write them, within the limits that the gateway has.

use std::ops::RangeInclusive;
use std::time::Duration;

pub(super) const PACKET_SIZE: RangeInclusive<u64> = 8192..=65536;
pub(super) const CONNECTIONS: RangeInclusive<u64> = 1..=100_000;
pub(super) const COUNT: RangeInclusive<u64> = 1..=1000;
pub(super) const SET: RangeInclusive<u64> = 0..=1000;

/// A whole number that the gateway takes.
pub(super) fn whole(text: &str, range: &RangeInclusive<u64>) -> Option<u64> {
    text.parse().ok().filter(|number| range.contains(number))
}

/// A packet size. httpd and mod_jk bring others into the range too, and round them up.
pub(super) fn packet_size(text: &str) -> Option<u64> {
    let size: u64 = text.parse().ok()?;
    let size = size.clamp(*PACKET_SIZE.start(), *PACKET_SIZE.end());
    Some(size.next_multiple_of(1024))
}

/// `5`, or `500ms`.
pub(super) fn seconds(text: &str) -> Option<Duration> {
    time(text, "s")
}

/// `500`, or `5s`.
pub(super) fn millis(text: &str) -> Option<Duration> {
    time(text, "ms")
}

/// A limit, which nothing keeps when it is zero.
pub(super) fn limit(time: Option<Duration>) -> Option<Duration> {
    time.filter(|time| !time.is_zero())
}

fn time(text: &str, default_unit: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let unit = if unit.is_empty() { default_unit } else { unit };
    let factor = match unit {
        "ms" => return Some(Duration::from_millis(number)),
        "s" => 1,
        "mi" | "min" => 60,
        "h" => 3600,
        _ => return None,
    };
    number.checked_mul(factor).map(Duration::from_secs)
}

/// A weight as a TOML number.
pub(super) fn weight(text: &str) -> Option<String> {
    let weight: f64 = text.parse().ok()?;
    let fits = (0.01..=10_000.0).contains(&weight);
    fits.then(|| format!("{weight:?}"))
}
