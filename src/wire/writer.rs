//! Appends one packet to a buffer, with the length patched in at the end. A writer that
//! fails or is dropped early takes back every byte it wrote.
//!
//! Lengths are those of slices and sums of a few of them, which do not overflow.

#![allow(
    clippy::inline_always,
    reason = "what is left of the window stays in registers only when nothing takes its address"
)]

use super::class::Class;
use super::error::{EncodeError, EncodeRule, Field, ShortName};
use super::limits::PacketSize;
use super::packet::{Direction, HEADER_LEN};
use bytes::BytesMut;

pub(crate) struct PacketWriter<'b> {
    /// As long as the window that pieces are written to, of which nothing is kept but the packet.
    buffer: &'b mut BytesMut,
    start: usize,
    /// Where the next piece goes.
    at: usize,
    /// Where the packet ends at the latest.
    limit: usize,
}

/// Bytes of the window that a packet begins with: most heads fit, and clearing it costs little.
const WINDOW: usize = 1024;

impl<'b> PacketWriter<'b> {
    pub(crate) fn new(buffer: &'b mut BytesMut, direction: Direction, size: PacketSize) -> Self {
        let start = buffer.len();
        buffer.resize(start.wrapping_add(WINDOW), 0);
        let mut packet = Self {
            buffer,
            start,
            at: start.wrapping_add(HEADER_LEN),
            limit: start.wrapping_add(size.bytes()),
        };
        packet.overwrite(0, direction.magic());
        packet
    }

    /// Length of the packet so far, header included.
    pub(crate) fn len(&self) -> usize {
        self.at.wrapping_sub(self.start)
    }

    /// Takes back what was written beyond a length of the packet.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.at = self.at.min(self.start.wrapping_add(len));
    }

    /// Room for so many bytes more, which hold anything.
    #[inline]
    fn room(
        &mut self,
        field: impl FnOnce() -> Field,
        bytes: usize,
    ) -> Result<&mut [u8], EncodeError> {
        let (from, to) = (self.at, self.at.wrapping_add(bytes));
        if to > self.buffer.len() {
            self.grow(field, to)?;
        }
        self.at = to;
        Ok(self.buffer.get_mut(from..to).unwrap_or_default())
    }

    /// Makes the window larger, up to the size of a packet.
    #[cold]
    #[inline(never)]
    fn grow(&mut self, field: impl FnOnce() -> Field, needed: usize) -> Result<(), EncodeError> {
        if needed > self.limit {
            return Err(self.too_large(field(), needed));
        }
        let double = self.buffer.len().wrapping_sub(self.start).wrapping_mul(2);
        let window = needed.max(self.start.wrapping_add(double));
        self.buffer.resize(window.min(self.limit), 0);
        Ok(())
    }

    fn too_large(&self, field: Field, needed: usize) -> EncodeError {
        let in_packet =
            |end: usize| u32::try_from(end.wrapping_sub(self.start)).unwrap_or(u32::MAX);
        let rule = EncodeRule::TooLarge {
            needed: in_packet(needed),
            packet_size: in_packet(self.limit),
        };
        EncodeError::new(field, rule)
    }

    /// A few bytes.
    #[inline]
    fn bytes<const N: usize>(
        &mut self,
        field: impl FnOnce() -> Field,
        bytes: [u8; N],
    ) -> Result<(), EncodeError> {
        self.room(field, N)?.copy_from_slice(&bytes);
        Ok(())
    }

    #[inline]
    pub(crate) fn u8(
        &mut self,
        field: impl FnOnce() -> Field,
        value: u8,
    ) -> Result<(), EncodeError> {
        self.bytes(field, [value])
    }

    #[inline]
    pub(crate) fn u16(
        &mut self,
        field: impl FnOnce() -> Field,
        value: u16,
    ) -> Result<(), EncodeError> {
        self.bytes(field, value.to_be_bytes())
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
        let room = self.room(field, value.len().wrapping_add(3))?;
        put_string(room, value);
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
    #[allow(
        dead_code,
        reason = "for the client and the server, which are features"
    )]
    #[inline]
    pub(crate) fn checked_headers<'h>(
        &mut self,
        headers: impl Iterator<Item = (Option<u8>, &'h str, &'h [u8])>,
    ) -> Result<usize, EncodeError> {
        let mut headers = headers;
        let mut count = 0usize;
        loop {
            // What is left of the window stays in registers while headers fit.
            let mut room = self.buffer.get_mut(self.at..).unwrap_or_default();
            let (whole, mut unfit) = (room.len(), None);
            let mut left = whole;
            for header in headers.by_ref() {
                let Some(rest) = put_header(room, header) else {
                    unfit = Some(header);
                    break;
                };
                left = rest.len();
                room = rest;
                count = count.wrapping_add(1);
            }
            self.at = self.at.wrapping_add(whole.wrapping_sub(left));
            let Some(header) = unfit else {
                return Ok(count);
            };
            self.unfit_header(header)?;
            count = count.wrapping_add(1);
        }
    }

    /// A header that is too long for what is left of the window, or for any packet.
    #[cold]
    #[inline(never)]
    fn unfit_header(&mut self, header: (Option<u8>, &str, &[u8])) -> Result<(), EncodeError> {
        let (code, name, value) = header;
        let name_len = match code {
            Some(_) => 2,
            None => usize::from(name_len(name.as_bytes())?).wrapping_add(3),
        };
        let all = name_len.wrapping_add(value.len()).wrapping_add(3);
        let field = || Field::Header(ShortName::new(name.as_bytes()));
        let room = self.room(field, all)?;
        put_header(room, header);
        Ok(())
    }

    /// Overwrites bytes at an offset from the start of the packet.
    fn overwrite<const N: usize>(&mut self, offset: usize, bytes: [u8; N]) {
        let at = self.start.wrapping_add(offset);
        if let Some(to) = self.buffer.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
            *to = bytes;
        }
    }

    /// Overwrites two bytes at an offset from the start of the packet.
    pub(crate) fn patch_u16(&mut self, offset: usize, value: u16) {
        self.overwrite(offset, value.to_be_bytes());
    }

    /// Patches the payload length in and keeps the packet.
    pub(crate) fn finish(mut self) {
        let payload = self.len().wrapping_sub(HEADER_LEN);
        self.patch_u16(2, u16::try_from(payload).unwrap_or(u16::MAX));
        // All that is dropped now is the rest of the window.
        self.start = self.at;
    }
}

/// A string with its length before and a NUL behind, at the start of `room`; what is left of
/// that. `None` if it does not fit. Packets are at most 65536 bytes, so no length that fits is
/// that of the null string.
#[inline(always)]
fn put_string<'r>(room: &'r mut [u8], value: &[u8]) -> Option<&'r mut [u8]> {
    let len = u16::try_from(value.len()).ok()?;
    let (to, rest) = room.split_at_mut_checked(usize::from(len).wrapping_add(3))?;
    let (prefix, to) = to.split_first_chunk_mut()?;
    *prefix = len.to_be_bytes();
    let (end, to) = to.split_last_mut()?;
    *end = 0;
    to.copy_from_slice(value);
    Some(rest)
}

/// A header at the start of `room`, and what is left of that. `None` if it does not fit, or its
/// name is too long.
#[inline(always)]
fn put_header<'r>(
    room: &'r mut [u8],
    (code, name, value): (Option<u8>, &str, &[u8]),
) -> Option<&'r mut [u8]> {
    let room = if let Some(code) = code {
        let (to, rest) = room.split_first_chunk_mut()?;
        *to = [0xa0, code];
        rest
    } else {
        // See `name_len`.
        if !(1..=255).contains(&name.len()) {
            return None;
        }
        put_string(room, name.as_bytes())?
    };
    put_string(room, value)
}

/// The length of a header name that is spelled out.
///
/// # Errors
/// Undertow takes any name length from 256 up for a code (protocol chapter
/// [packets](crate::docs::protocol::packets#strings)).
pub(crate) fn name_len(name: &[u8]) -> Result<u8, EncodeError> {
    let rule = match u8::try_from(name.len()) {
        Ok(0) => EncodeRule::Empty,
        Ok(len) => return Ok(len),
        Err(_) => EncodeRule::OutOfRange(u32::try_from(name.len()).unwrap_or(u32::MAX)),
    };
    Err(EncodeError::new(Field::Header(ShortName::new(name)), rule))
}

/// A packet made of a payload that is known to be right.
pub(crate) fn write_payload(
    buffer: &mut BytesMut,
    direction: Direction,
    size: PacketSize,
    payload: &[u8],
) -> Result<(), EncodeError> {
    let mut packet = PacketWriter::new(buffer, direction, size);
    packet
        .room(|| Field::End, payload.len())?
        .copy_from_slice(payload);
    packet.finish();
    Ok(())
}

/// Whatever of the window is no finished packet.
impl Drop for PacketWriter<'_> {
    fn drop(&mut self) {
        self.buffer.truncate(self.start);
    }
}
