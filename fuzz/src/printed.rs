//! What is printed, looked at without being kept.

use std::fmt::{self, Write};

/// Whether anything is printed. It has no control characters but line feeds.
///
/// # Panics
/// Where it has others.
#[must_use]
pub fn printed(what: fmt::Arguments<'_>) -> bool {
    let mut length = Length(0);
    length.write_fmt(what).expect("nothing that fails");
    length.0 > 0
}

struct Length(usize);

impl Write for Length {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let harmless = |ok, b| ok & (b == b'\n' || b >= 0x20);
        assert!(text.bytes().fold(true, harmless), "{text:?}");
        self.0 += text.len();
        Ok(())
    }
}

/// A short text.
#[derive(Debug)]
pub struct Line {
    bytes: [u8; 512],
    len: usize,
}

impl Line {
    /// # Panics
    /// Beyond 512 bytes.
    #[must_use]
    pub fn of(what: fmt::Arguments<'_>) -> Self {
        let mut line = Self {
            bytes: [0; 512],
            len: 0,
        };
        line.write_fmt(what).expect("nothing that fails");
        line
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    #[must_use]
    pub fn is_ascii(&self) -> bool {
        self.bytes().is_ascii()
    }

    #[must_use]
    pub fn contains(&self, part: &Self) -> bool {
        let part = part.bytes();
        part.is_empty() || self.bytes().windows(part.len()).any(|here| here == part)
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len + text.len();
        self.bytes[self.len..end].copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_looked_at() {
        assert!(printed(format_args!("a\nb {}", 1)));
        assert!(!printed(format_args!("")));
        assert!(std::panic::catch_unwind(|| printed(format_args!("a\tb"))).is_err());
        let line = Line::of(format_args!("at {}: no", 17));
        let part = |text: &str| Line::of(format_args!("{text}"));
        assert!(line.contains(&part("17")) && line.contains(&part("")));
        assert!(!line.contains(&part("18")) && line.is_ascii() && !line.is_empty());
        assert!(!part("\u{e4}").is_ascii());
    }
}
