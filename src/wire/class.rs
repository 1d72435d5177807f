//! Byte classes of protocol section 6.4. Each scan is branch-free over the whole string
//! so that the compiler can vectorise it; only a failed scan looks for the first bad byte.

#![allow(clippy::needless_bitwise_bool, reason = "branch-free scans vectorise")]

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
    /// As `Path`, also 0x20 and 0x80..=0xFF.
    LenientPath,
    /// 0x21..=0x7E without `#`.
    Query,
    /// As `Query`, also 0x20 and 0x80..=0xFF.
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
            Self::LenientPath => is_lenient(b) & (b != b'?'),
            Self::Query => is_visible(b) & (b != b'#'),
            Self::LenientQuery => is_lenient(b),
            Self::Pem => (b == b'\n') | (b == b'\r') | (0x20..0x7f).contains(&b),
            Self::Any => true,
        }
    }

    /// The first byte that the class does not allow, with its index.
    pub(crate) fn first_bad(self, bytes: &[u8]) -> Option<(usize, u8)> {
        let all = match self {
            Self::Token => bytes.iter().all(|&b| is_token(b)),
            Self::Value => bytes.iter().fold(true, |ok, &b| ok & is_value(b)),
            Self::Visible => bytes.iter().fold(true, |ok, &b| ok & is_visible(b)),
            Self::Query => bytes
                .iter()
                .fold(true, |ok, &b| ok & is_visible(b) & (b != b'#')),
            Self::Any => true,
            Self::Path | Self::LenientPath | Self::LenientQuery | Self::Pem => {
                bytes.iter().fold(true, |ok, &b| ok & self.allows(b))
            }
        };
        if all {
            return None;
        }
        bytes
            .iter()
            .enumerate()
            .find(|&(_, &b)| !self.allows(b))
            .map(|(i, &b)| (i, b))
    }
}

const fn is_value(b: u8) -> bool {
    ((b >= 0x20) & (b != 0x7f)) | (b == b'\t')
}

const fn is_lenient(b: u8) -> bool {
    (b >= 0x20) & (b != 0x7f) & (b != b'#')
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
        use Class::{Any, LenientPath, LenientQuery, Path, Pem, Query, Token, Value, Visible};
        for class in [
            Token,
            Value,
            Visible,
            Path,
            LenientPath,
            Query,
            LenientQuery,
            Pem,
            Any,
        ] {
            for b in 0..=255u8 {
                let text = [b'a', b, b'a'];
                let expected = if class.allows(b) { None } else { Some((1, b)) };
                assert_eq!(class.first_bad(&text), expected, "{class:?} {b:#04x}");
            }
            assert_eq!(class.first_bad(b""), None);
        }
    }
}
