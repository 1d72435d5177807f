//! Appends one packet to a buffer, with the length patched in at the end. A writer that
//! fails or is dropped early takes back every byte it wrote.
//!
//! Lengths are those of slices and sums of a few of them, which do not overflow.

#![allow(
    clippy::inline_always,
    reason = "what is left of the window stays in registers only when nothing takes its address"
)]

use super::byte_class::Class;
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

    /// Writes into what is left of the window; whether it fitted. `write` returns what is left
    /// then.
    #[inline(always)]
    pub(crate) fn put(
        &mut self,
        write: impl for<'r> FnOnce(&'r mut [u8]) -> Option<&'r mut [u8]>,
    ) -> bool {
        let room = self.buffer.get_mut(self.at..).unwrap_or_default();
        let whole = room.len();
        let Some(rest) = write(room) else {
            return false;
        };
        let written = whole.wrapping_sub(rest.len());
        self.at = self.at.wrapping_add(written);
        true
    }

    /// Makes the window large enough for so many bytes of each field more. What comes next is
    /// likely to need more still, so it doubles, up to the size of a packet.
    ///
    /// # Errors
    /// [`EncodeError`] naming the first field that no packet of this size can hold.
    #[cold]
    #[inline(never)]
    pub(crate) fn make_room(&mut self, fields: &[(Field, usize)]) -> Result<(), EncodeError> {
        let mut end = self.at;
        for &(field, len) in fields {
            end = end.wrapping_add(len);
            if end > self.limit {
                return Err(self.too_large(field, end));
            }
        }
        let double = self.buffer.len().wrapping_sub(self.start).wrapping_mul(2);
        let window = end.max(self.start.wrapping_add(double));
        if window > self.buffer.len() {
            self.buffer.resize(window.min(self.limit), 0);
        }
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
        if !self.put(|room| put_bytes(room, bytes)) {
            self.make_room(&[(field(), N)])?;
            self.put(|room| put_bytes(room, bytes));
        }
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
        self.nullable(field, Some(value), class)
    }

    /// A string, or the null string.
    #[inline]
    pub(crate) fn nullable(
        &mut self,
        field: impl Fn() -> Field,
        value: Option<&[u8]>,
        class: Class,
    ) -> Result<(), EncodeError> {
        check(&field, value, class)?;
        if !self.put(|room| put_nullable(room, value)) {
            self.make_room(&[(field(), nullable_len(value))])?;
            self.put(|room| put_nullable(room, value));
        }
        Ok(())
    }

    /// A byte that says what follows, and a string or the null string.
    #[inline]
    pub(crate) fn coded(
        &mut self,
        field: impl Fn() -> Field,
        code: u8,
        value: Option<&[u8]>,
        class: Class,
    ) -> Result<(), EncodeError> {
        check(&field, value, class)?;
        self.checked_coded(field, code, value)
    }

    /// As [`coded`](Self::coded), of a string that is known to hold only what it may.
    #[inline]
    pub(crate) fn checked_coded(
        &mut self,
        field: impl Fn() -> Field,
        code: u8,
        value: Option<&[u8]>,
    ) -> Result<(), EncodeError> {
        if !self.put(|room| put_nullable(put_bytes(room, [code])?, value)) {
            let len = nullable_len(value).wrapping_add(1);
            self.make_room(&[(field(), len)])?;
            self.put(|room| put_nullable(put_bytes(room, [code])?, value));
        }
        Ok(())
    }

    /// Headers whose names and values are known to hold only what they may, each with the
    /// code of its name if there is one. Returns how many there were.
    #[allow(
        dead_code,
        reason = "for the client and the server, which are features"
    )]
    #[inline]
    pub(crate) fn checked_headers<'h, N: AsRef<str> + Copy>(
        &mut self,
        headers: impl Iterator<Item = (Option<u8>, N, &'h [u8])>,
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

    /// As [`checked_headers`](Self::checked_headers), of one.
    #[inline]
    pub(crate) fn checked_header<N: AsRef<str> + Copy>(
        &mut self,
        header: (Option<u8>, N, &[u8]),
    ) -> Result<(), EncodeError> {
        if self.put(|room| put_header(room, header)) {
            return Ok(());
        }
        self.unfit_header(header)
    }

    /// A header that is too long for what is left of the window, or for any packet.
    #[cold]
    #[inline(never)]
    fn unfit_header<N: AsRef<str> + Copy>(
        &mut self,
        header: (Option<u8>, N, &[u8]),
    ) -> Result<(), EncodeError> {
        let (code, name, value) = header;
        let name = name.as_ref().as_bytes();
        let name_len = match code {
            Some(_) => 2,
            None => usize::from(name_len(name)?).wrapping_add(3),
        };
        let all = name_len.wrapping_add(value.len()).wrapping_add(3);
        let field = Field::Header(ShortName::new(name));
        self.make_room(&[(field, all)])?;
        self.put(|room| put_header(room, header));
        Ok(())
    }

    /// Overwrites bytes at an offset from the start of the packet.
    #[inline]
    fn overwrite<const N: usize>(&mut self, offset: usize, bytes: [u8; N]) {
        let at = self.start.wrapping_add(offset);
        if let Some(to) = self.buffer.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
            *to = bytes;
        }
    }

    /// Overwrites two bytes at an offset from the start of the packet.
    #[inline]
    pub(crate) fn patch_u16(&mut self, offset: usize, value: u16) {
        self.overwrite(offset, value.to_be_bytes());
    }

    /// Patches the payload length in and keeps the packet.
    #[inline]
    pub(crate) fn finish(mut self) {
        let payload = self.len().wrapping_sub(HEADER_LEN);
        self.patch_u16(2, u16::try_from(payload).unwrap_or(u16::MAX));
        // All that is dropped now is the rest of the window.
        self.start = self.at;
    }
}

/// Refuses a byte that a string may not hold.
#[inline]
pub(crate) fn check(
    field: impl FnOnce() -> Field,
    value: Option<&[u8]>,
    class: Class,
) -> Result<(), EncodeError> {
    match value.and_then(|value| class.first_bad(value)) {
        None => Ok(()),
        Some((_, byte)) => Err(EncodeError::new(field(), EncodeRule::InvalidByte(byte))),
    }
}

/// As [`check`], in place: for strings that every packet has. Only one that is not usual is looked at
/// again, for the byte that is wrong.
#[inline(always)]
pub(crate) fn check_inlined(
    field: impl FnOnce() -> Field,
    value: Option<&[u8]>,
    class: Class,
) -> Result<(), EncodeError> {
    match value {
        Some(value) if !class.is_usual(value) => check(field, Some(value), class),
        _ => Ok(()),
    }
}

/// How much of a packet a string takes, or the null string.
pub(crate) fn nullable_len(value: Option<&[u8]>) -> usize {
    value.map_or(2, |value| value.len().wrapping_add(3))
}

/// A few bytes at the start of `room`; what is left of that. `None` if they do not fit.
#[inline(always)]
pub(crate) fn put_bytes<const N: usize>(room: &mut [u8], bytes: [u8; N]) -> Option<&mut [u8]> {
    let (to, rest) = room.split_first_chunk_mut()?;
    *to = bytes;
    Some(rest)
}

/// As [`put_string`], or the null string.
#[inline(always)]
pub(crate) fn put_nullable<'r>(room: &'r mut [u8], value: Option<&[u8]>) -> Option<&'r mut [u8]> {
    match value {
        Some(value) => put_string(room, value),
        None => put_bytes(room, [0xff, 0xff]),
    }
}

/// A string with its length before and a NUL behind, at the start of `room`; what is left of
/// that. `None` if it does not fit. Packets are at most 65536 bytes, so no length that fits is
/// that of the null string.
#[inline(always)]
pub(crate) fn put_string<'r>(room: &'r mut [u8], value: &[u8]) -> Option<&'r mut [u8]> {
    let len = u16::try_from(value.len()).ok()?;
    let (to, rest) = room.split_at_mut_checked(usize::from(len).wrapping_add(3))?;
    let (prefix, to) = to.split_first_chunk_mut()?;
    *prefix = len.to_be_bytes();
    let (end, to) = to.split_last_mut()?;
    *end = 0;
    copy(to, value);
    Some(rest)
}

/// As `copy_from_slice`, of a string, which is short as a rule: two words that overlap are moved
/// in less than it takes to call `memcpy`.
#[inline(always)]
fn copy(to: &mut [u8], from: &[u8]) {
    let copied = match from.len() {
        8..16 => copy_ends::<8>(to, from),
        16..=32 => copy_ends::<16>(to, from),
        _ => None,
    };
    if copied.is_none() {
        to.copy_from_slice(from);
    }
}

/// The first `N` bytes and the last `N`; `None` if there are not so many.
#[inline(always)]
fn copy_ends<const N: usize>(to: &mut [u8], from: &[u8]) -> Option<()> {
    let (first, last) = (from.first_chunk::<N>()?, from.last_chunk::<N>()?);
    *to.first_chunk_mut()? = *first;
    *to.last_chunk_mut()? = *last;
    Some(())
}

/// A header at the start of `room`, and what is left of that. `None` if it does not fit, or its
/// name is too long.
#[inline(always)]
fn put_header<'r, N: AsRef<str>>(
    room: &'r mut [u8],
    (code, name, value): (Option<u8>, N, &[u8]),
) -> Option<&'r mut [u8]> {
    let room = if let Some(code) = code {
        put_bytes(room, [0xa0, code])?
    } else {
        let name = name.as_ref().as_bytes();
        // See `name_len`.
        if !(1..=255).contains(&name.len()) {
            return None;
        }
        put_string(room, name)?
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
    packet.make_room(&[(Field::End, payload.len())])?;
    packet.put(|room| {
        let (to, rest) = room.split_at_mut_checked(payload.len())?;
        to.copy_from_slice(payload);
        Some(rest)
    });
    packet.finish();
    Ok(())
}

/// Whatever of the window is no finished packet.
impl Drop for PacketWriter<'_> {
    #[inline]
    fn drop(&mut self) {
        self.buffer.truncate(self.start);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of every length, whichever way it is copied, into room that is just enough.
    #[test]
    fn a_string_is_written_as_it_is() {
        let text: Vec<u8> = (0..70).collect();
        for len in 0..=text.len() {
            let value = &text[..len];
            let expected = [&u16::try_from(len).unwrap().to_be_bytes(), value, b"\0"].concat();
            let mut room = vec![0xaa; expected.len() + 1];
            let rest = put_string(&mut room, value);
            assert_eq!(rest, Some(&mut [0xaa][..]), "{len}");
            assert_eq!(room[..expected.len()], expected, "{len}");
            assert_eq!(put_string(&mut room[..len + 2], value), None, "{len}");
        }
    }
}
