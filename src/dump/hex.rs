//! Bytes in hexadecimal.

use super::record::Record;
use crate::wire::HEADER_LEN;
use std::fmt::{self, Write};
use std::ops::Range;

const PER_LINE: usize = 16;

/// The bytes of a record: 16 on a line, offsets from the packet's first byte, and the
/// printable ones as text. No line end after the last line. Masked bytes are `**`.
#[derive(Clone)]
pub struct Hex<'a> {
    bytes: &'a [u8],
    masked: Vec<Range<usize>>,
    /// Bytes at the end that are not shown.
    withheld: usize,
}

impl<'a> Hex<'a> {
    pub(super) fn new(record: &'a Record, reveal: bool) -> Self {
        let bytes = record.raw().as_ref();
        let mut masked = Vec::new();
        let mut shown = bytes;
        if !reveal {
            match record.packet() {
                Some(packet) => packet.secrets(|secret| masked.extend(position(bytes, secret))),
                None => shown = header(bytes),
            }
        }
        Self {
            bytes: shown,
            masked,
            withheld: bytes.len() - shown.len(),
        }
    }

    fn is_masked(&self, at: usize) -> bool {
        self.masked.iter().any(|range| range.contains(&at))
    }
}

/// The header of a packet; garbage has none.
fn header(bytes: &[u8]) -> &[u8] {
    match bytes.get(..HEADER_LEN) {
        Some(header @ ([0x12, 0x34, ..] | [0x41, 0x42, ..])) => header,
        _ => &[],
    }
}

/// Where a part lies in the whole; parts of views are slices of it.
fn position(whole: &[u8], part: &[u8]) -> Option<Range<usize>> {
    let start = part.as_ptr().addr().checked_sub(whole.as_ptr().addr())?;
    let end = start.checked_add(part.len())?;
    (end <= whole.len()).then_some(start..end)
}

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (line, bytes) in self.bytes.chunks(PER_LINE).enumerate() {
            let start = line * PER_LINE;
            if line > 0 {
                f.write_char('\n')?;
            }
            write!(f, "  {start:04x} ")?;
            for column in 0..PER_LINE {
                if column == PER_LINE / 2 {
                    f.write_char(' ')?;
                }
                let masked = self.is_masked(start + column);
                match bytes.get(column) {
                    Some(_) if masked => f.write_str(" **")?,
                    Some(byte) => write!(f, " {byte:02x}")?,
                    None => f.write_str("   ")?,
                }
            }
            f.write_str("  ")?;
            for (column, &byte) in bytes.iter().enumerate() {
                f.write_char(match byte {
                    _ if self.is_masked(start + column) => '*',
                    0x20..=0x7e => byte.into(),
                    _ => '.',
                })?;
            }
        }
        if self.withheld > 0 {
            let line_end = if self.bytes.is_empty() { "" } else { "\n" };
            let withheld = self.withheld;
            write!(f, "{line_end}  [{withheld} bytes may hold secrets]")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hex")
            .field("len", &self.bytes.len())
            .field("masked", &self.masked)
            .field("withheld", &self.withheld)
            .finish()
    }
}
