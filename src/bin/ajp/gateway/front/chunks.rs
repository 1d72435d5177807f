//! Where a chunked body ends (RFC 9112, section 7.1): what follows is the head of the next request.
//!
//! hyper reads the body; this reads the same bytes beside it, by the same grammar, and changes
//! nothing. Whatever hyper may read differently, such as trailers with a bare line feed, is
//! [`Found::Unclear`]: then the connection must not answer another request.

/// What the next byte belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// The size of a chunk, before its first digit.
    SizeStart,
    Size,
    /// Blanks behind the size.
    Blanks,
    Extension,
    /// The line feed behind the size.
    SizeEnd,
    /// So many bytes of the chunk.
    Data(u64),
    /// The carriage return and the line feed behind the chunk.
    DataReturn,
    DataFeed,
    /// Behind the last chunk: an empty line, or a trailer.
    Last,
    LastFeed,
}

/// What some bytes of a chunked body have in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// All of them belong to the body, which goes on.
    More,
    /// The body ends behind so many of them.
    End(usize),
    /// Where the body ends cannot be told for certain.
    Unclear,
}

/// A chunked body, as far as it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chunks {
    part: Part,
    size: u64,
}

impl Chunks {
    pub(super) fn new() -> Self {
        Self {
            part: Part::SizeStart,
            size: 0,
        }
    }

    /// Takes the next bytes.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Found {
        let mut at: usize = 0;
        while let Some(byte) = bytes.get(at) {
            if let Part::Data(left) = self.part {
                let here = bytes.len().saturating_sub(at);
                let count = usize::try_from(left).unwrap_or(usize::MAX).min(here);
                at = at.saturating_add(count);
                self.part = match left.saturating_sub(count as u64) {
                    0 => Part::DataReturn,
                    left => Part::Data(left),
                };
                continue;
            }
            at = at.saturating_add(1);
            match self.next(*byte) {
                Some(Some(part)) => self.part = part,
                Some(None) => return Found::End(at),
                None => return Found::Unclear,
            }
        }
        Found::More
    }

    /// What comes behind this byte: `Some(None)` is the end, `None` what hyper may read differently.
    #[allow(clippy::option_option, reason = "three ways to go on")]
    fn next(&mut self, byte: u8) -> Option<Option<Part>> {
        let part = match (self.part, byte) {
            (Part::SizeStart | Part::Size, byte) if byte.is_ascii_hexdigit() => {
                let digit = char::from(byte).to_digit(16)?;
                self.size = self.size.checked_mul(16)?.checked_add(u64::from(digit))?;
                Part::Size
            }
            (Part::Size | Part::Blanks, b' ' | b'\t') => Part::Blanks,
            (Part::Size | Part::Blanks, b';') => Part::Extension,
            (Part::Size | Part::Blanks | Part::Extension, b'\r') => Part::SizeEnd,
            (Part::Extension, byte) if byte != b'\n' => Part::Extension,
            (Part::SizeEnd, b'\n') => match std::mem::take(&mut self.size) {
                0 => Part::Last,
                size => Part::Data(size),
            },
            (Part::DataReturn, b'\r') => Part::DataFeed,
            (Part::DataFeed, b'\n') => Part::SizeStart,
            (Part::Last, b'\r') => Part::LastFeed,
            (Part::LastFeed, b'\n') => return Some(None),
            _ => return None,
        };
        Some(Some(part))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found in these bytes, in pieces of this size.
    fn found(body: &[u8], size: usize) -> Found {
        let mut chunks = Chunks::new();
        for (number, piece) in body.chunks(size).enumerate() {
            match chunks.read(piece) {
                Found::More => {}
                Found::End(at) => return Found::End(number * size + at),
                Found::Unclear => return Found::Unclear,
            }
        }
        Found::More
    }

    #[test]
    fn ends_of_chunked_bodies() {
        for (body, end) in [
            ("0\r\n\r\nGET", Found::End(5)),
            ("3\r\nabc\r\n0\r\n\r\nGET", Found::End(13)),
            (
                "00a \t;x=\"0\"\r\n0\r\n\r\n01234\r\n0\r\n\r\n",
                Found::End(30),
            ),
            ("A\r\n0123456789\r\n1;\r\nx\r\n00\r\n\r\n", Found::End(28)),
            ("3\r\nabc\r\n0\r\n\r", Found::More),
            ("3\r\nab", Found::More),
            ("", Found::More),
            // A trailer, and what is not the grammar.
            ("0\r\nX: y\r\n\r\n", Found::Unclear),
            ("0\r\n\nGET", Found::Unclear),
            ("0\n\r\n", Found::Unclear),
            ("3\r\nabc\n0\r\n\r\n", Found::Unclear),
            ("3;a\nb\r\n", Found::Unclear),
            ("3 4\r\n", Found::Unclear),
            ("\r\n0\r\n\r\n", Found::Unclear),
            ("x\r\n", Found::Unclear),
            ("10000000000000000\r\n", Found::Unclear),
        ] {
            for size in [1, 2, 3, 7, 100] {
                let found = found(body.as_bytes(), size);
                assert_eq!(found, end, "{body:?} in pieces of {size}");
            }
        }
    }
}
