//! Appends one packet to a buffer, with the length patched in at the end. A writer that
//! fails or is dropped early takes back every byte it wrote.
//!
//! Lengths are those of slices and sums of a few of them, which do not overflow.

use super::class::Class;
use super::error::{EncodeError, EncodeRule, Field, ShortName};
use super::limits::PacketSize;
use super::packet::{Direction, HEADER_LEN};
use bytes::BytesMut;

pub(crate) struct PacketWriter<'b> {
    /// The packet and, until it is finished, room for more of it.
    buffer: &'b mut BytesMut,
    start: usize,
    /// Length of the packet so far, header included.
    len: usize,
    /// Length for which there is room.
    room: usize,
    limit: usize,
    finished: bool,
}

/// The room that a packet begins with.
const ROOM: usize = 1024;

impl<'b> PacketWriter<'b> {
    pub(crate) fn new(buffer: &'b mut BytesMut, direction: Direction, size: PacketSize) -> Self {
        let start = buffer.len();
        // Room is made a piece at a time: to ask for each string costs more than its bytes.
        buffer.resize(start.wrapping_add(ROOM), 0);
        let mut packet = Self {
            buffer,
            start,
            len: HEADER_LEN,
            room: ROOM,
            limit: size.bytes(),
            finished: false,
        };
        packet.patch_u16(0, u16::from_be_bytes(direction.magic()));
        packet
    }

    /// Length of the packet so far, header included.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Takes back what was written beyond a length of the packet.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.len = len;
    }

    /// The next bytes of the packet.
    #[inline]
    fn next(
        &mut self,
        field: impl FnOnce() -> Field,
        bytes: usize,
    ) -> Result<&mut [u8], EncodeError> {
        let needed = self.len.wrapping_add(bytes);
        if needed > self.room {
            self.grow(field, needed)?;
        }
        let at = self.start.wrapping_add(self.len);
        self.len = needed;
        let range = at..at.wrapping_add(bytes);
        Ok(self.buffer.get_mut(range).unwrap_or_default())
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self, field: impl FnOnce() -> Field, needed: usize) -> Result<(), EncodeError> {
        if needed > self.limit {
            let rule = EncodeRule::TooLarge {
                needed: u32::try_from(needed).unwrap_or(u32::MAX),
                packet_size: u32::try_from(self.limit).unwrap_or(u32::MAX),
            };
            return Err(EncodeError::new(field(), rule));
        }
        self.room = needed.max(self.room.saturating_mul(2)).min(self.limit);
        let end = self.start.wrapping_add(self.room);
        self.buffer.resize(end, 0);
        Ok(())
    }

    #[inline]
    pub(crate) fn u8(
        &mut self,
        field: impl FnOnce() -> Field,
        value: u8,
    ) -> Result<(), EncodeError> {
        put(self.next(field, 1)?, [value]);
        Ok(())
    }

    #[inline]
    pub(crate) fn u16(
        &mut self,
        field: impl FnOnce() -> Field,
        value: u16,
    ) -> Result<(), EncodeError> {
        put(self.next(field, 2)?, value.to_be_bytes());
        Ok(())
    }

    /// A string of a byte class: length, bytes, NUL.
    #[inline]
    pub(crate) fn string(
        &mut self,
        field: impl Fn() -> Field,
        value: &[u8],
        class: Class,
    ) -> Result<(), EncodeError> {
        if let Some((_, byte)) = class.first_bad(value) {
            return Err(EncodeError::new(field(), EncodeRule::InvalidByte(byte)));
        }
        let out = self.next(field, value.len().wrapping_add(3))?;
        put_string(put(out, len_bytes(value)), value);
        Ok(())
    }

    /// A string, or the null string.
    pub(crate) fn nullable(
        &mut self,
        field: impl Fn() -> Field,
        value: Option<&[u8]>,
        class: Class,
    ) -> Result<(), EncodeError> {
        match value {
            Some(value) => self.string(field, value, class),
            None => self.u16(field, 0xffff),
        }
    }

    /// Headers whose names and values are known to hold only what they may, each with the
    /// code of its name if there is one. Returns how many there were.
    #[cfg(feature = "http")]
    #[inline(always)]
    pub(crate) fn checked_headers<'h>(
        &mut self,
        headers: impl Iterator<Item = (Option<u8>, &'h str, &'h [u8])>,
    ) -> Result<usize, EncodeError> {
        let mut count = 0usize;
        // What is left of the room stays in registers from one header to the next.
        let mut out = self.rest();
        for (code, name, value) in headers {
            let [high, low] = len_bytes(value);
            let needed = match code {
                Some(_) => value.len().wrapping_add(5),
                None => name.len().wrapping_add(value.len()).wrapping_add(6),
            };
            if needed > out.len() {
                let left = out.len();
                self.len = self.room.wrapping_sub(left);
                let field = || Field::Header(ShortName::new(name.as_bytes()));
                self.grow(field, self.len.wrapping_add(needed))?;
                out = self.rest();
            }
            if let Some(code) = code {
                out = put(out, [0xa0, code, high, low]);
            } else {
                out = put(out, [0, name_len(name.as_bytes())?]);
                out = put_string(out, name.as_bytes());
                out = put(out, [high, low]);
            }
            out = put_string(out, value);
            count = count.wrapping_add(1);
        }
        let left = out.len();
        self.len = self.room.wrapping_sub(left);
        Ok(count)
    }

    /// The room that is left.
    #[cfg(feature = "http")]
    fn rest(&mut self) -> &mut [u8] {
        let start = self.start.wrapping_add(self.len);
        let end = self.start.wrapping_add(self.room);
        self.buffer.get_mut(start..end).unwrap_or_default()
    }

    /// Overwrites two bytes at an offset from the start of the packet.
    pub(crate) fn patch_u16(&mut self, offset: usize, value: u16) {
        let at = self.start.wrapping_add(offset);
        if let Some(slot) = self.buffer.get_mut(at..at.wrapping_add(2)) {
            slot.copy_from_slice(&value.to_be_bytes());
        }
    }

    /// Patches the payload length in and keeps the packet.
    pub(crate) fn finish(mut self) {
        let payload = self.len.wrapping_sub(HEADER_LEN);
        self.patch_u16(2, u16::try_from(payload).unwrap_or(u16::MAX));
        self.finished = true;
    }
}

/// Writes to the start and returns the rest.
#[inline]
fn put<const N: usize>(out: &mut [u8], bytes: [u8; N]) -> &mut [u8] {
    match out.split_first_chunk_mut::<N>() {
        Some((to, rest)) => {
            *to = bytes;
            rest
        }
        None => &mut [],
    }
}

/// Writes the bytes of a string and its NUL to the start and returns the rest.
#[inline]
fn put_string<'a>(out: &'a mut [u8], bytes: &[u8]) -> &'a mut [u8] {
    match out.split_at_mut_checked(bytes.len()) {
        Some((to, rest)) => {
            to.copy_from_slice(bytes);
            put(rest, [0])
        }
        None => &mut [],
    }
}

/// The length of what fits a packet; packets are at most 65536 bytes, so it is below 0xffff.
#[allow(
    clippy::cast_possible_truncation,
    reason = "asked only where there is room for the string"
)]
fn len_bytes(value: &[u8]) -> [u8; 2] {
    (value.len() as u16).to_be_bytes()
}

/// The length of a header name that is spelled out.
///
/// # Errors
/// Undertow takes any name length from 256 up for a code (section 5, D-24).
pub(crate) fn name_len(name: &[u8]) -> Result<u8, EncodeError> {
    let rule = match u8::try_from(name.len()) {
        Ok(0) => EncodeRule::Empty,
        Ok(len) => return Ok(len),
        Err(_) => EncodeRule::OutOfRange(u32::try_from(name.len()).unwrap_or(u32::MAX)),
    };
    Err(EncodeError::new(Field::Header(ShortName::new(name)), rule))
}

/// A packet made of a payload that is known to be right.
#[cfg(feature = "tokio-codec")]
pub(crate) fn write_payload(
    buffer: &mut BytesMut,
    direction: Direction,
    size: PacketSize,
    payload: &[u8],
) -> Result<(), EncodeError> {
    let mut packet = PacketWriter::new(buffer, direction, size);
    packet
        .next(|| Field::End, payload.len())?
        .copy_from_slice(payload);
    packet.finish();
    Ok(())
}

impl Drop for PacketWriter<'_> {
    fn drop(&mut self) {
        let kept = if self.finished { self.len } else { 0 };
        self.buffer.truncate(self.start.wrapping_add(kept));
    }
}
