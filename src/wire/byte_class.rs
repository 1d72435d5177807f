//! Byte classes of protocol chapter
//! [packets](crate::docs::protocol::packets#what-a-string-may-hold). Each scan is branch-free over
//! the whole string so that the compiler can vectorise it, and may take a rare byte for a bad one;
//! only a scan that was not satisfied looks for the first bad byte, exactly.

#![allow(clippy::needless_bitwise_bool, reason = "branch-free scans vectorise")]
#![allow(
    clippy::inline_always,
    reason = "the class is known where a string is checked, and most strings are short"
)]

/// Which bytes a string may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// RFC 9110 token.
    Token,
    /// Tab, 0x20..=0x7E, 0x80..=0xFF.
    Value,
    /// 0x21..=0x7E.
    Visible,
    /// 0x21..=0x7E without `#` and `?`.
    Path,
    /// A decoded path: 0x20..=0x7E, 0x80..=0xFF. What was `%3F` is a `?` now.
    DecodedPath,
    /// 0x21..=0x7E without `#`.
    AsciiQuery,
    /// As `AsciiQuery`, also 0x80..=0xFF: a query as httpd and `mod_jk` pass it on.
    Query,
    /// As `Query`, also 0x20.
    LenientQuery,
    /// LF, CR, 0x20..=0x7E.
    Pem,
    /// Anything.
    Any,
}

impl Class {
    fn allows(self, b: u8) -> bool {
        match self {
            Self::Token => is_token(b),
            Self::Value => is_value(b),
            Self::Visible => is_visible(b),
            Self::Path => is_visible(b) & (b != b'#') & (b != b'?'),
            Self::DecodedPath => is_printable(b),
            Self::AsciiQuery => is_visible(b) & (b != b'#'),
            Self::Query => is_printable(b) & (b != b' ') & (b != b'#'),
            Self::LenientQuery => is_printable(b) & (b != b'#'),
            Self::Pem => (b == b'\n') | (b == b'\r') | (0x20..0x7f).contains(&b),
            Self::Any => true,
        }
    }

    /// The first byte that the class does not allow, with its index.
    #[inline]
    pub(crate) fn first_bad(self, bytes: &[u8]) -> Option<(usize, u8)> {
        if self.all_usual(bytes) {
            return None;
        }
        match self {
            Self::Token if bytes.iter().all(|&b| is_token(b)) => None,
            _ => self.find_bad(bytes),
        }
    }

    /// [`is_usual`](Self::is_usual) where the class is not known.
    #[inline(never)]
    fn all_usual(self, bytes: &[u8]) -> bool {
        self.is_usual(bytes)
    }

    /// Whether a string holds nothing but what is usual in its class, all of which is allowed. A
    /// string that is not usual may be right nevertheless.
    #[inline(always)]
    pub(crate) fn is_usual(self, bytes: &[u8]) -> bool {
        match self {
            // Nearly all names are letters and `-`.
            Self::Token => holds(bytes, self, not_letter_or_dash),
            Self::Value => holds(bytes, self, not_plain),
            Self::Query => holds(bytes, self, |word| {
                not_plain(word) | is_byte(word, b' ') | is_byte(word, b'#')
            }),
            Self::Visible => holds(bytes, self, not_visible),
            Self::Path => holds(bytes, self, |word| {
                not_visible(word) | is_byte(word, b'#') | is_byte(word, b'?')
            }),
            Self::AsciiQuery => holds(bytes, self, |word| not_visible(word) | is_byte(word, b'#')),
            Self::Any => true,
            Self::DecodedPath | Self::LenientQuery | Self::Pem => {
                bytes.iter().fold(true, |ok, &b| ok & self.allows(b))
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn find_bad(self, bytes: &[u8]) -> Option<(usize, u8)> {
        bytes
            .iter()
            .enumerate()
            .find(|&(_, &b)| !self.allows(b))
            .map(|(i, &b)| (i, b))
    }
}

/// Whether `marks` sets no high bit in the words of a string; it may set one too many. Words
/// overlap at its end; a string shorter than one is looked at in halves, or byte by byte.
#[inline(always)]
fn holds(bytes: &[u8], class: Class, marks: impl Fn(u64) -> u64) -> bool {
    let word = |bytes: &[u8; 8]| marks(u64::from_ne_bytes(*bytes));
    let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) else {
        return match (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
            (Some(first), Some(last)) => {
                let halves = [u32::from_ne_bytes(*first), u32::from_ne_bytes(*last)];
                let [low, high] = halves.map(u64::from);
                marks(low | high.wrapping_shl(32)) & HIGH == 0
            }
            _ => bytes.iter().all(|&b| class.allows(b)),
        };
    };
    let ends = word(first) | word(last);
    let (Some(start), Some(end)) = (bytes.first_chunk::<16>(), bytes.last_chunk::<16>()) else {
        return ends & HIGH == 0;
    };
    let (Some(second), Some(third)) = (start.last_chunk(), end.first_chunk()) else {
        return false;
    };
    let found = ends | word(second) | word(third);
    if bytes.len() <= 32 {
        return found & HIGH == 0;
    }
    let middle = bytes.get(16..bytes.len().wrapping_sub(16).next_multiple_of(8));
    found & HIGH == 0 && middle.is_some_and(|middle| long_holds(middle, marks))
}

/// As [`holds`], of whole words: those of a long string between its ends.
#[inline(never)]
fn long_holds(bytes: &[u8], marks: impl Fn(u64) -> u64) -> bool {
    let mut found = 0;
    let mut rest = bytes;
    while let Some((word, after)) = rest.split_first_chunk::<8>() {
        found |= marks(u64::from_ne_bytes(*word));
        rest = after;
    }
    found & HIGH == 0
}

/// The high bit of each byte of a word.
const HIGH: u64 = 0x8080_8080_8080_8080;

/// A word of one byte repeated.
const fn all(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// Sets the high bit of bytes that are `byte`, if all are below 0x80.
#[inline]
const fn is_byte(word: u64, byte: u8) -> u64 {
    !(word ^ all(byte)).wrapping_add(all(0x7f))
}

/// Sets the high bit of a byte that is not in 0x21..=0x7E if there is one, and perhaps of
/// others: such a byte may carry into its neighbour, but is marked itself.
#[inline]
const fn not_visible(word: u64) -> u64 {
    word.wrapping_sub(all(0x21)) | word.wrapping_add(all(1)) | word
}

/// As [`not_visible`], of a byte that is neither a letter nor `-`.
#[inline]
const fn not_letter_or_dash(word: u64) -> u64 {
    let lower = word | all(0x20);
    let not_letter = lower.wrapping_sub(all(b'a')) | lower.wrapping_add(all(0x7f - b'z'));
    let not_dash = (word ^ all(b'-')).wrapping_add(all(0x7f));
    (not_letter & not_dash) | word
}

/// As [`not_visible`], of a byte that is not in 0x20..=0x7E.
#[inline]
const fn not_plain(word: u64) -> u64 {
    word.wrapping_sub(all(0x20)) | word.wrapping_add(all(1)) | word
}

const fn is_value(b: u8) -> bool {
    is_printable(b) | (b == b'\t')
}

const fn is_printable(b: u8) -> bool {
    (b >= 0x20) & (b != 0x7f)
}

const fn is_visible(b: u8) -> bool {
    (b > 0x20) & (b < 0x7f)
}

/// The token bytes as a table: ranges this ragged do not vectorise.
const TOKENS: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0u8;
    loop {
        #[allow(clippy::indexing_slicing, reason = "evaluated at compile time")]
        {
            table[byte as usize] = is_token_byte(byte);
        }
        if byte == u8::MAX {
            break table;
        }
        byte = byte.wrapping_add(1);
    }
};

fn is_token(b: u8) -> bool {
    TOKENS.get(usize::from(b)).copied().unwrap_or_default()
}

const fn is_token_byte(b: u8) -> bool {
    matches!(b, b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z'
        | b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bad_agrees_with_allows_for_every_byte() {
        use Class::{
            Any, AsciiQuery, DecodedPath, LenientQuery, Path, Pem, Query, Token, Value, Visible,
        };
        for class in [
            Token,
            Value,
            Visible,
            Path,
            DecodedPath,
            AsciiQuery,
            Query,
            LenientQuery,
            Pem,
            Any,
        ] {
            for b in 0..=255u8 {
                // Longer than a word, at its start, end and overlap.
                for at in 0..11 {
                    let mut text = *b"abcdefghijk";
                    text[at] = b;
                    let expected = (!class.allows(b)).then_some((at, b));
                    assert_eq!(class.first_bad(&text), expected, "{class:?} {b:#x} {at}");
                }
                let text = [b'a', b, b'a'];
                let expected = if class.allows(b) { None } else { Some((1, b)) };
                assert_eq!(class.first_bad(&text), expected, "{class:?} {b:#04x}");
            }
            assert_eq!(class.first_bad(b""), None);
        }
    }

    /// The classes as the protocol chapter has them.
    fn may_hold(class: Class, b: u8) -> bool {
        let (visible, high) = (matches!(b, 0x21..=0x7e), b >= 0x80);
        match class {
            Class::Token => b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b),
            Class::Value => visible || high || b == b' ' || b == b'\t',
            Class::Visible => visible,
            Class::Path => visible && b != b'#' && b != b'?',
            Class::DecodedPath => visible || high || b == b' ',
            Class::AsciiQuery => visible && b != b'#',
            Class::Query => (visible || high) && b != b'#',
            Class::LenientQuery => (visible || high || b == b' ') && b != b'#',
            Class::Pem => visible || b == b' ' || b == b'\n' || b == b'\r',
            Class::Any => true,
        }
    }

    /// Of every length up to several words a bad byte is found wherever it is, alone and beside
    /// another one.
    #[test]
    fn what_a_class_may_not_hold_is_found_anywhere() {
        use Class::{
            Any, AsciiQuery, DecodedPath, LenientQuery, Path, Pem, Query, Token, Value, Visible,
        };
        for class in [
            Token,
            Value,
            Visible,
            Path,
            DecodedPath,
            AsciiQuery,
            Query,
            LenientQuery,
            Pem,
            Any,
        ] {
            for len in 1..=50 {
                for at in 0..len {
                    for b in [
                        0, b'\n', 0x1f, b' ', b'#', b'%', b'?', b'A', 0x7f, 0x80, 0xff,
                    ] {
                        let mut text = vec![b'a'; len];
                        text[at] = b;
                        let bad = (!may_hold(class, b)).then_some((at, b));
                        assert_eq!(class.first_bad(&text), bad, "{class:?} {text:?}");
                        // Elsewhere in a word, and in the same place of two words.
                        for distance in [7, 8, len.abs_diff(8)] {
                            let mut text = text.clone();
                            let other = (at + distance) % len;
                            text[other] = b;
                            let bad = bad.map(|(at, b)| (at.min(other), b));
                            assert_eq!(class.first_bad(&text), bad, "{class:?} {text:?}");
                        }
                    }
                }
            }
            for b in 0..=255 {
                let bad = (!may_hold(class, b)).then_some((0, b));
                assert_eq!(class.first_bad(&[b]), bad, "{class:?}");
            }
        }
    }

    /// Strings that are short are looked at as quickly as long ones.
    #[test]
    fn what_is_usual_is_seen_to_be() {
        for len in 0..=50 {
            let text = vec![b'a'; len];
            for class in [
                Class::Token,
                Class::Value,
                Class::Visible,
                Class::Path,
                Class::Query,
            ] {
                assert!(
                    class.is_usual(&text) && class.all_usual(&text),
                    "{class:?} {len}"
                );
            }
        }
        assert!(!Class::Token.is_usual(b"a name"));
    }
}
