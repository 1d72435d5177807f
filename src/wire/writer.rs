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
    buffer: &'b mut BytesMut,
    start: usize,
    /// Length that the buffer may grow to.
    limit: usize,
    finished: bool,
}

/// The room that a packet begins with, so that small pieces find it there.
const ROOM: usize = 1024;

impl<'b> PacketWriter<'b> {
    pub(crate) fn new(buffer: &'b mut BytesMut, direction: Direction, size: PacketSize) -> Self {
        let start = buffer.len();
        buffer.reserve(ROOM);
        let [high, low] = direction.magic();
        buffer.extend_from_slice(&[high, low, 0, 0]);
        Self {
            buffer,
            start,
            limit: start.wrapping_add(size.bytes()),
            finished: false,
        }
    }

    /// Length of the packet so far, header included.
    pub(crate) fn len(&self) -> usize {
        self.buffer.len().wrapping_sub(self.start)
    }

    /// Takes back what was written beyond a length of the packet.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.buffer.truncate(self.start.wrapping_add(len));
    }

    /// Whether so many bytes more fit the packet.
    #[inline]
    fn check_room(&self, field: impl FnOnce() -> Field, bytes: usize) -> Result<(), EncodeError> {
        let needed = self.buffer.len().wrapping_add(bytes);
        if needed <= self.limit {
            return Ok(());
        }
        Err(self.too_large(field(), needed))
    }

    #[cold]
    #[inline(never)]
    fn too_large(&self, field: Field, needed: usize) -> EncodeError {
        let in_packet =
            |end: usize| u32::try_from(end.wrapping_sub(self.start)).unwrap_or(u32::MAX);
        let rule = EncodeRule::TooLarge {
            needed: in_packet(needed),
            packet_size: in_packet(self.limit),
        };
        EncodeError::new(field, rule)
    }

    #[inline]
    pub(crate) fn u8(
        &mut self,
        field: impl FnOnce() -> Field,
        value: u8,
    ) -> Result<(), EncodeError> {
        self.check_room(field, 1)?;
        self.buffer.extend_from_slice(&[value]);
        Ok(())
    }

    #[inline]
    pub(crate) fn u16(
        &mut self,
        field: impl FnOnce() -> Field,
        value: u16,
    ) -> Result<(), EncodeError> {
        self.check_room(field, 2)?;
        self.buffer.extend_from_slice(&value.to_be_bytes());
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
        self.check_room(field, value.len().wrapping_add(3))?;
        self.buffer.extend_from_slice(&len_bytes(value));
        self.buffer.extend_from_slice(value);
        self.buffer.extend_from_slice(&[0]);
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
    #[cfg(any(feature = "client", feature = "server"))]
    #[inline(always)]
    pub(crate) fn checked_headers<'h>(
        &mut self,
        headers: impl Iterator<Item = (Option<u8>, &'h str, &'h [u8])>,
    ) -> Result<usize, EncodeError> {
        let mut count = 0usize;
        // The NUL of one value is written with what follows it, and before the first header
        // whatever comes before.
        let Some(&before) = self.buffer.last() else {
            return Ok(count);
        };
        let mut last = before;
        self.buffer.truncate(self.buffer.len().wrapping_sub(1));
        for (code, name, value) in headers {
            let [high, low] = len_bytes(value);
            let field = || Field::Header(ShortName::new(name.as_bytes()));
            if let Some(code) = code {
                self.check_room(field, value.len().wrapping_add(6))?;
                self.buffer
                    .extend_from_slice(&[last, 0xa0, code, high, low]);
            } else {
                let both = name.len().wrapping_add(value.len());
                self.check_room(field, both.wrapping_add(7))?;
                let name_len = name_len(name.as_bytes())?;
                self.buffer.extend_from_slice(&[last, 0, name_len]);
                self.buffer.extend_from_slice(name.as_bytes());
                self.buffer.extend_from_slice(&[0, high, low]);
            }
            self.buffer.extend_from_slice(value);
            last = 0;
            count = count.wrapping_add(1);
        }
        self.buffer.extend_from_slice(&[last]);
        Ok(count)
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
        let payload = self.len().wrapping_sub(HEADER_LEN);
        self.patch_u16(2, u16::try_from(payload).unwrap_or(u16::MAX));
        self.finished = true;
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
    let packet = PacketWriter::new(buffer, direction, size);
    packet.check_room(|| Field::End, payload.len())?;
    packet.buffer.extend_from_slice(payload);
    packet.finish();
    Ok(())
}

impl Drop for PacketWriter<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.buffer.truncate(self.start);
        }
    }
}
