//! Appends one packet to a buffer, with the length patched in at the end. A writer that
//! fails or is dropped early takes back every byte it wrote.

use super::class::Class;
use super::error::{EncodeError, EncodeRule, Field};
use super::limits::PacketSize;
use super::packet::{Direction, HEADER_LEN};
use bytes::{BufMut, BytesMut};

pub(crate) struct PacketWriter<'b> {
    buffer: &'b mut BytesMut,
    start: usize,
    limit: usize,
    finished: bool,
}

impl<'b> PacketWriter<'b> {
    pub(crate) fn new(buffer: &'b mut BytesMut, direction: Direction, size: PacketSize) -> Self {
        let start = buffer.len();
        buffer.put_slice(&direction.magic());
        buffer.put_u16(0);
        Self {
            buffer,
            start,
            limit: size.bytes(),
            finished: false,
        }
    }

    /// Length of the packet so far, header included.
    pub(crate) fn len(&self) -> usize {
        self.buffer.len().saturating_sub(self.start)
    }

    /// Takes back what was written beyond a length of the packet.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.buffer.truncate(self.start.saturating_add(len));
    }

    fn reserve(&mut self, field: Field, bytes: usize) -> Result<(), EncodeError> {
        let needed = self.len().saturating_add(bytes);
        if needed > self.limit {
            return Err(EncodeError::new(
                field,
                EncodeRule::TooLarge {
                    needed: u32::try_from(needed).unwrap_or(u32::MAX),
                    packet_size: u32::try_from(self.limit).unwrap_or(u32::MAX),
                },
            ));
        }
        Ok(())
    }

    pub(crate) fn u8(&mut self, field: Field, value: u8) -> Result<(), EncodeError> {
        self.reserve(field, 1)?;
        self.buffer.put_u8(value);
        Ok(())
    }

    pub(crate) fn u16(&mut self, field: Field, value: u16) -> Result<(), EncodeError> {
        self.reserve(field, 2)?;
        self.buffer.put_u16(value);
        Ok(())
    }

    /// A string of a byte class: length, bytes, NUL.
    pub(crate) fn string(
        &mut self,
        field: Field,
        value: &[u8],
        class: Class,
    ) -> Result<(), EncodeError> {
        if let Some((_, byte)) = class.first_bad(value) {
            return Err(EncodeError::new(field, EncodeRule::InvalidByte(byte)));
        }
        self.reserve(field, value.len().saturating_add(3))?;
        // The packet size is at most 65536, so the length of what fits is below 0xffff.
        let len = u16::try_from(value.len())
            .map_err(|_| EncodeError::new(field, EncodeRule::OutOfRange(u32::MAX)))?;
        self.buffer.put_u16(len);
        self.buffer.put_slice(value);
        self.buffer.put_u8(0);
        Ok(())
    }

    /// A string, or the null string.
    pub(crate) fn nullable(
        &mut self,
        field: Field,
        value: Option<&[u8]>,
        class: Class,
    ) -> Result<(), EncodeError> {
        match value {
            Some(value) => self.string(field, value, class),
            None => self.u16(field, 0xffff),
        }
    }

    /// Overwrites two bytes at an offset from the start of the packet.
    pub(crate) fn patch_u16(&mut self, offset: usize, value: u16) {
        let at = self.start.saturating_add(offset);
        if let Some(slot) = self.buffer.get_mut(at..at.saturating_add(2)) {
            slot.copy_from_slice(&value.to_be_bytes());
        }
    }

    /// Patches the payload length in and keeps the packet.
    pub(crate) fn finish(mut self) {
        let payload = self.len().saturating_sub(HEADER_LEN);
        self.patch_u16(2, u16::try_from(payload).unwrap_or(u16::MAX));
        self.finished = true;
    }
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
    packet.reserve(Field::End, payload.len())?;
    packet.buffer.put_slice(payload);
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
