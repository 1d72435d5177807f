//! The quick walk's way of checking strings (see [`reader`](super::reader)): bytes are counted
//! many at a time, whatever string they belong to.
//!
//! The bytes of a payload that hardly any string holds are mostly lengths, numbers and
//! terminators. The walk counts those it passes; a vectorised pass counts all of them. When
//! the two agree, no string holds such a byte.

#![allow(clippy::needless_bitwise_bool, reason = "branch-free scans vectorise")]

use super::class::{Class, HIGH, all, is_byte};
use super::error::{Field, Rule};
use super::reader::{Bad, Check, Span};

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Quick {
    /// Bytes that are not plain, as far as the walk has come.
    odd: usize,
}

/// The quick walk was not satisfied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Suspect;

impl Quick {
    /// After the walk through `bytes`: whether all bytes that are not plain belong to the
    /// structure.
    pub(crate) fn is_clean(self, bytes: &[u8]) -> bool {
        count_plain(bytes) == bytes.len().wrapping_sub(self.odd)
    }
}

impl Check for Quick {
    type Error = Suspect;

    #[inline(always)]
    fn error(_: usize, _: Field, _: Rule) -> Suspect {
        Suspect
    }

    #[inline(always)]
    fn structure<const N: usize>(&mut self, bytes: [u8; N]) {
        for byte in bytes {
            let odd = ODD.get(usize::from(byte)).copied().unwrap_or_default();
            self.odd = self.odd.wrapping_add(odd.into());
        }
    }

    #[inline(always)]
    fn short_frame(&mut self, len: u8) {
        let odd = ODD_IN_FRAME.get(usize::from(len)).copied();
        self.odd = self.odd.wrapping_add(odd.unwrap_or_default().into());
    }

    #[inline(always)]
    fn string(&mut self, bytes: &[u8], class: Class) -> Result<(), Bad> {
        let holds = match class {
            // What else the last three do not hold is looked for at the end of the line.
            Class::Value | Class::Visible | Class::Path | Class::DecodedPath => true,
            Class::Token => is_quick_token(bytes) || is_all(bytes, class),
            // A byte from 0x80 is not plain: the exact walk looks whether it may stand there.
            Class::Query | Class::AsciiQuery => !has_space_or_hash(bytes),
            Class::LenientQuery => is_all(bytes, class),
            Class::Pem | Class::Any => {
                let odd = bytes.len().wrapping_sub(count_plain(bytes));
                self.odd = self.odd.wrapping_add(odd);
                is_all(bytes, class)
            }
        };
        if holds { Ok(()) } else { Err(Bad::UNKNOWN) }
    }

    #[inline(always)]
    fn line_end<const N: usize>(
        self,
        line: &[u8],
        strings: impl FnOnce() -> [(Span, Class); N],
    ) -> Result<(), Suspect> {
        // A length may look like one of them.
        if has_separator(line) && !are_all(line, &strings()) {
            return Err(Suspect);
        }
        Ok(())
    }
}

#[cold]
#[inline(never)]
fn is_all(bytes: &[u8], class: Class) -> bool {
    class.first_bad(bytes).is_none()
}

#[cold]
#[inline(never)]
fn are_all(line: &[u8], strings: &[(Span, Class)]) -> bool {
    strings
        .iter()
        .all(|&(span, class)| span.get(line).is_none_or(|bytes| is_all(bytes, class)))
}

/// 0x20..=0x7E, in the form that takes the fewest vector instructions.
#[inline(always)]
#[allow(
    clippy::cast_possible_wrap,
    clippy::as_conversions,
    reason = "bytes from 0x80 are to be negative"
)]
const fn is_plain(byte: u8) -> bool {
    (byte as i8).wrapping_add(1) > 0x20
}

static ODD: [u8; 256] = odd(0);

/// By the low byte of a length: itself, its high byte, and the terminator of the string.
static ODD_IN_FRAME: [u8; 256] = odd(2);

const fn odd(more: u8) -> [u8; 256] {
    let mut table = [more; 256];
    let mut byte = 0u8;
    loop {
        if !is_plain(byte) {
            #[allow(clippy::indexing_slicing, reason = "evaluated at compile time")]
            {
                table[byte as usize] = more.wrapping_add(1);
            }
        }
        if byte == u8::MAX {
            break table;
        }
        byte = byte.wrapping_add(1);
    }
}

const LANES: usize = 64;

/// How many bytes are plain. In blocks, so that it compiles to vector instructions on
/// every target.
#[inline(never)]
fn count_plain(bytes: &[u8]) -> usize {
    let one = |byte: u8| u8::from(is_plain(byte));
    let Some(last) = bytes.last_chunk::<LANES>() else {
        return bytes.iter().map(|&b| usize::from(one(b))).sum();
    };
    let mut total = 0usize;
    // A lane counts to 255: 254 blocks and the end.
    let mut groups = bytes.chunks(254 * LANES);
    loop {
        let group = groups.next().unwrap_or_default();
        let mut counts = [0u8; LANES];
        let mut blocks = group.chunks_exact(LANES);
        for block in blocks.by_ref() {
            for (count, &byte) in counts.iter_mut().zip(block) {
                *count = count.wrapping_add(one(byte));
            }
        }
        if group.len() == 254 * LANES {
            total = total.wrapping_add(sum(&counts));
            continue;
        }
        // The last block overlaps what was counted: only its end is new.
        let new = blocks.remainder().len();
        let old = u8::try_from(LANES.wrapping_sub(new)).unwrap_or_default();
        for ((count, &byte), &index) in counts.iter_mut().zip(last).zip(&INDEX) {
            *count = count.wrapping_add(one(byte) & u8::from(index >= old));
        }
        return total.wrapping_add(sum(&counts));
    }
}

const INDEX: [u8; LANES] = {
    let mut index = [0; LANES];
    let mut i = 0u8;
    while (i as usize) < LANES {
        #[allow(clippy::indexing_slicing, reason = "evaluated at compile time")]
        {
            index[i as usize] = i;
        }
        i = i.wrapping_add(1);
    }
    index
};

/// The sum of all bytes, eight at a time.
#[inline]
fn sum(counts: &[u8; LANES]) -> usize {
    const EVEN: u64 = 0x00ff_00ff_00ff_00ff;
    let mut rest = &counts[..];
    let mut pairs = 0u64;
    while let Some((&word, after)) = rest.split_first_chunk::<8>() {
        let word = u64::from_ne_bytes(word);
        pairs = pairs
            .wrapping_add(word & EVEN)
            .wrapping_add(word.wrapping_shr(8) & EVEN);
        rest = after;
    }
    // Four 16-bit sums of at most 8 * 255 each, added into the highest.
    let total = pairs.wrapping_mul(0x0001_0001_0001_0001).wrapping_shr(48);
    usize::try_from(total).unwrap_or_default()
}

/// Whether a plain name consists of letters and `-`, as nearly all do.
#[inline(always)]
fn is_quick_token(name: &[u8]) -> bool {
    let marks = |word: &[u8; 8]| not_letter_or_dash(u64::from_ne_bytes(*word));
    // Words overlap rather than be cut short.
    let (Some(first), Some(last)) = (name.first_chunk::<8>(), name.last_chunk::<8>()) else {
        return false;
    };
    let mut found = marks(first) | marks(last);
    if let (Some(start), Some(end)) = (name.first_chunk::<16>(), name.last_chunk::<16>()) {
        if let (Some(second), Some(third)) = (start.last_chunk(), end.first_chunk()) {
            found |= marks(second) | marks(third);
        }
    }
    found & HIGH == 0 && name.len() <= 32
}

/// Whether there is a byte that the path or another string of a request line may not hold.
#[inline(never)]
fn has_separator(line: &[u8]) -> bool {
    const LANES: usize = 32;
    let one = |byte: u8| (byte == b' ') | (byte == b'#') | (byte == b'?');
    let Some(last) = line.last_chunk::<LANES>() else {
        return line.iter().any(|&byte| one(byte));
    };
    let mut found = [0u8; LANES];
    let mut look = |block: &[u8]| {
        for (found, &byte) in found.iter_mut().zip(block) {
            *found |= u8::from(one(byte));
        }
    };
    line.chunks_exact(LANES).for_each(&mut look);
    look(last);
    found != [0; LANES]
}

/// Whether a plain query has a byte that it may not hold.
#[inline(never)]
fn has_space_or_hash(query: &[u8]) -> bool {
    let one = |byte: u8| (byte == b' ') | (byte == b'#');
    let Some(last) = query.last_chunk::<8>() else {
        return query.iter().any(|&byte| one(byte));
    };
    let marks = |word: &[u8; 8]| {
        let word = u64::from_ne_bytes(*word);
        is_byte(word, b' ') | is_byte(word, b'#')
    };
    let mut found = marks(last);
    let mut rest = query;
    while let Some((word, after)) = rest.split_first_chunk::<8>() {
        found |= marks(word);
        rest = after;
    }
    found & HIGH != 0
}

/// Sets the high bit of bytes below 0x80 that are neither letters nor `-`.
#[inline]
const fn not_letter_or_dash(word: u64) -> u64 {
    // 0x20 makes letters lower case, keeps `-`, and turns 0x0D into it, which is not plain.
    let lower = word | all(0x20);
    let from_a = lower.wrapping_add(all(0x80 - b'a'));
    let above_z = lower.wrapping_add(all(0x7f - b'z'));
    let not_dash = (lower ^ all(b'-')).wrapping_add(all(0x7f));
    (!from_a | above_z) & not_dash
}
