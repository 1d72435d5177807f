//! The quick walk's way of checking strings (see [`reader`](super::reader)): bytes are counted
//! many at a time, whatever string they belong to.
//!
//! The bytes of a payload that hardly any string holds are mostly lengths, numbers and
//! terminators. The walk counts those it passes; a vectorised pass counts all of them. When
//! the two agree, no string holds such a byte.

#![allow(clippy::needless_bitwise_bool, reason = "branch-free scans vectorise")]

use super::class::Class;
use super::error::{Field, Rule};
use super::reader::{Bad, Check};

/// The walk through a payload, or through what follows a request line.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Quick {
    controls: usize,
}

/// The walk through a request line, whose strings are narrower.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct QuickLine {
    odd: usize,
}

/// The quick walk was not satisfied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Suspect;

impl Quick {
    /// After the walk through `bytes`: whether all control bytes belong to the structure.
    pub(crate) fn is_clean(self, bytes: &[u8]) -> bool {
        count(bytes, is_control) == self.controls
    }
}

impl Check for Quick {
    type Error = Suspect;
    type Rest = Self;

    #[inline(always)]
    fn error(_: usize, _: Field, _: Rule) -> Suspect {
        Suspect
    }

    #[inline(always)]
    fn structure<const N: usize>(&mut self, bytes: [u8; N]) {
        self.controls = self.controls.wrapping_add(structure(&CONTROLS, bytes));
    }

    #[inline(always)]
    fn frame(&mut self, len: usize) {
        self.controls = self.controls.wrapping_add(frame(&CONTROLS, len));
    }

    fn line_end(self, _: &[u8]) -> Result<Self, Suspect> {
        Ok(self)
    }

    #[inline(always)]
    fn string(&mut self, bytes: &[u8], class: Class) -> Result<(), Bad> {
        let holds = match class {
            Class::Value => true,
            Class::Token => is_quick_token(bytes) || class.first_bad(bytes).is_none(),
            Class::Query => is_quick_query(bytes) || class.first_bad(bytes).is_none(),
            Class::Pem | Class::Any => {
                self.controls = self.controls.wrapping_add(count(bytes, is_control));
                class.first_bad(bytes).is_none()
            }
            _ => class.first_bad(bytes).is_none(),
        };
        if holds { Ok(()) } else { Err(Bad::UNKNOWN) }
    }
}

impl Check for QuickLine {
    type Error = Suspect;
    type Rest = Quick;

    #[inline(always)]
    fn error(_: usize, _: Field, _: Rule) -> Suspect {
        Suspect
    }

    #[inline(always)]
    fn structure<const N: usize>(&mut self, bytes: [u8; N]) {
        self.odd = self.odd.wrapping_add(structure(&IN_LINE, bytes));
    }

    #[inline(always)]
    fn frame(&mut self, len: usize) {
        self.odd = self.odd.wrapping_add(frame(&IN_LINE, len));
    }

    #[inline(always)]
    fn line_end(self, line: &[u8]) -> Result<Quick, Suspect> {
        if count(line, is_odd_in_line) == self.odd {
            Ok(Quick::default())
        } else {
            Err(Suspect)
        }
    }

    #[inline(always)]
    fn string(&mut self, bytes: &[u8], class: Class) -> Result<(), Bad> {
        match class {
            // Counted: what is odd in a line is wrong in both.
            Class::Visible | Class::Path | Class::LenientPath => Ok(()),
            _ if class.first_bad(bytes).is_none() => Ok(()),
            _ => Err(Bad::UNKNOWN),
        }
    }
}

/// How many bytes of the structure are of the class of a table.
#[inline(always)]
fn structure<const N: usize>(table: &[u8; 256], bytes: [u8; N]) -> usize {
    bytes.iter().fold(0, |n, &byte| {
        let one = table.get(usize::from(byte)).copied().unwrap_or_default();
        n.wrapping_add(one.into())
    })
}

/// [`structure`] of the length and the terminator of a string. NUL is of every class.
#[inline(always)]
fn frame(table: &'static [u8; 256], len: usize) -> usize {
    match table.get(len) {
        Some(&low) => usize::from(low).wrapping_add(2),
        None => long_frame(table, len),
    }
}

#[cold]
fn long_frame(table: &'static [u8; 256], len: usize) -> usize {
    let len = u16::try_from(len).unwrap_or(u16::MAX).to_be_bytes();
    structure(table, len).wrapping_add(1)
}

/// Below 0x20, and 0x7F. Tab counts too although values may hold it; it is rare enough.
const fn is_control(b: u8) -> bool {
    (b < 0x20) | (b == 0x7f)
}

/// Bytes that no string of a request line may hold, and two that only the path may not.
const fn is_odd_in_line(b: u8) -> bool {
    (b < 0x21) | (b > 0x7e) | (b == b'#') | (b == b'?')
}

/// A class as a table, for single bytes.
macro_rules! table {
    ($class:ident) => {{
        let mut table = [0; 256];
        let mut byte = 0u8;
        loop {
            #[allow(clippy::indexing_slicing, reason = "evaluated at compile time")]
            {
                table[byte as usize] = $class(byte) as u8;
            }
            if byte == u8::MAX {
                break table;
            }
            byte = byte.wrapping_add(1);
        }
    }};
}
static CONTROLS: [u8; 256] = table!(is_control);
static IN_LINE: [u8; 256] = table!(is_odd_in_line);

const LANES: usize = 32;

/// How many bytes are of a class. In blocks, so that it compiles to vector instructions on
/// every target.
#[inline(never)]
fn count(bytes: &[u8], class: impl Fn(u8) -> bool) -> usize {
    let one = |byte: u8| u8::from(class(byte));
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

/// Whether a name consists of letters and `-`, as nearly all do.
#[inline(never)]
fn is_quick_token(name: &[u8]) -> bool {
    no_word_of(name, not_letter_or_dash)
}

/// Whether a query is free of spaces, `#` and bytes from 0x80.
#[inline(never)]
fn is_quick_query(query: &[u8]) -> bool {
    no_word_of(query, |word| {
        is_byte(word, b' ') | is_byte(word, b'#') | word
    })
}

/// Whether a string of 8..=32 bytes has no word in which `marks` sets a high bit. Words
/// overlap rather than be cut short. Of other strings: no.
#[inline(always)]
fn no_word_of(bytes: &[u8], marks: impl Fn(u64) -> u64) -> bool {
    let marks = |word: &[u8; 8]| marks(u64::from_ne_bytes(*word));
    let (Some(first), Some(last)) = (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) else {
        return false;
    };
    let mut found = marks(first) | marks(last);
    if let (Some(start), Some(end)) = (bytes.first_chunk::<16>(), bytes.last_chunk::<16>()) {
        if let (Some(second), Some(third)) = (start.last_chunk(), end.first_chunk()) {
            found |= marks(second) | marks(third);
        }
    }
    found & HIGH == 0 && bytes.len() <= 32
}

const HIGH: u64 = 0x8080_8080_8080_8080;

const fn all(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// Sets the high bit of bytes that are not letters or `-`; of others too when there is one.
#[inline]
const fn not_letter_or_dash(word: u64) -> u64 {
    // 0x20 makes letters lower case, keeps `-`, and turns 0x0D into it: control bytes are
    // counted elsewhere. A byte from 0x80 may disturb its neighbour, but is marked itself.
    let lower = word | all(0x20);
    let from_a = lower.wrapping_add(all(0x80 - b'a'));
    let above_z = lower.wrapping_add(all(0x7f - b'z'));
    let not_dash = (lower ^ all(b'-')).wrapping_add(all(0x7f));
    (!from_a | above_z) & not_dash | word
}

/// Sets the high bit of bytes that are `byte`; of others too when one is from 0x80.
#[inline]
const fn is_byte(word: u64, byte: u8) -> u64 {
    !(word ^ all(byte)).wrapping_add(all(0x7f))
}
