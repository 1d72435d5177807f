//! Numbers for people.

use std::time::Duration;

/// `1,234,567`
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && digits.len().wrapping_sub(at) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1.2 MiB`
pub(crate) fn bytes(number: u64) -> String {
    let (mut whole, mut unit) = (number, "B");
    let mut tenths = 0;
    for next in ["KiB", "MiB", "GiB", "TiB", "PiB"] {
        if whole < 1024 {
            break;
        }
        tenths = (whole % 1024).saturating_mul(10) / 1024;
        (whole, unit) = (whole / 1024, next);
    }
    if unit == "B" || whole >= 100 {
        format!("{whole} {unit}")
    } else {
        format!("{whole}.{tenths} {unit}")
    }
}

/// `340 µs`, `12 ms`, `1.5 s`
pub(crate) fn time(time: Duration) -> String {
    let micros = time.as_micros();
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..10_000 => format!("{}.{} ms", micros / 1_000, micros % 1_000 / 100),
        10_000..1_000_000 => format!("{} ms", micros / 1_000),
        _ => format!("{}.{} s", time.as_secs(), time.subsec_millis() / 100),
    }
}

/// `12 s`, `3 min 5 s`, `2 h 10 min`, `4 d 3 h`
pub(crate) fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    let two = |whole: u64, large, rest: u64, small| match rest {
        0 => format!("{whole} {large}"),
        _ => format!("{whole} {large} {rest} {small}"),
    };
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => two(seconds / 60, "min", seconds % 60, "s"),
        3_600..86_400 => two(seconds / 3_600, "h", seconds % 3_600 / 60, "min"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
    }
}

/// Whole seconds that are left: nothing is due before `0 s`.
pub(crate) fn left(time: Duration) -> String {
    span(time.saturating_add(Duration::from_millis(999)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (123_456, "123,456"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(count(number), text);
        }
        for (number, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (102_400, "100 KiB"),
            (5_000_000, "4.7 MiB"),
            (u64::MAX, "16383 PiB"),
        ] {
            assert_eq!(bytes(number), text);
        }
    }

    #[test]
    fn times() {
        for (micros, text) in [
            (0, "0 µs"),
            (999, "999 µs"),
            (1_000, "1.0 ms"),
            (9_999, "9.9 ms"),
            (10_000, "10 ms"),
            (999_999, "999 ms"),
            (1_500_000, "1.5 s"),
        ] {
            assert_eq!(time(Duration::from_micros(micros)), text);
        }
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (185, "3 min 5 s"),
            (7_800, "2 h 10 min"),
            (356_400, "4 d 3 h"),
        ] {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
        assert_eq!(left(Duration::from_millis(1)), "1 s");
        assert_eq!(left(Duration::from_secs(10)), "10 s");
    }
}
