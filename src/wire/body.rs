//! Body packets of both directions (protocol chapter
//! [packets](crate::docs::protocol::packets#request-body)). The data is never copied on the way in;
//! on the way out callers may write header, data and terminator as separate slices.

use super::error::{DecodeError, EncodeError, EncodeRule, Field, Rule};
use super::limits::PacketSize;
use super::packet::HEADER_LEN;
use super::reader::Reader;
use bytes::{BufMut, Bytes, BytesMut};

pub(crate) const SEND_BODY_CHUNK: u8 = 3;

/// End of the request body, the form to send (form A of protocol chapter
/// [exchange](crate::docs::protocol::exchange#the-end-of-a-body)).
pub const END_OF_BODY: [u8; 6] = [0x12, 0x34, 0, 2, 0, 0];

/// A Send Body Chunk of length 0: asks the web server to flush.
pub const FLUSH: [u8; 8] = [0x41, 0x42, 0, 4, 3, 0, 0, 0];

/// The byte that ends every Send Body Chunk; no length counts it.
pub const CHUNK_TERMINATOR: [u8; 1] = [0];

/// The six bytes before the data of a request body packet.
///
/// # Errors
/// [`EncodeError`] when `len` exceeds [`PacketSize::max_request_body`] or is 0, which
/// would mean end of body: send [`END_OF_BODY`] for that.
pub fn body_packet_header(len: usize, size: PacketSize) -> Result<[u8; 6], EncodeError> {
    let (payload, inner) = lengths(len, 2, size.max_request_body())?;
    let ([a, b], [c, d]) = (payload.to_be_bytes(), inner.to_be_bytes());
    Ok([0x12, 0x34, a, b, c, d])
}

/// The seven bytes before the data of a Send Body Chunk; [`CHUNK_TERMINATOR`] follows it.
///
/// # Errors
/// [`EncodeError`] when `len` exceeds [`PacketSize::max_body_chunk`] or is 0, which
/// would mean flush: send [`FLUSH`] for that.
pub fn body_chunk_header(len: usize, size: PacketSize) -> Result<[u8; 7], EncodeError> {
    let (payload, inner) = lengths(len, 4, size.max_body_chunk())?;
    let ([a, b], [c, d]) = (payload.to_be_bytes(), inner.to_be_bytes());
    Ok([0x41, 0x42, a, b, SEND_BODY_CHUNK, c, d])
}

fn lengths(len: usize, extra: usize, max: usize) -> Result<(u16, u16), EncodeError> {
    if len == 0 {
        return Err(EncodeError::new(Field::Data, EncodeRule::Empty));
    }
    let payload = u16::try_from(len.saturating_add(extra))
        .ok()
        .filter(|_| len <= max);
    if let (Some(payload), Ok(inner)) = (payload, u16::try_from(len)) {
        return Ok((payload, inner));
    }
    let overhead = extra + HEADER_LEN;
    Err(EncodeError::new(
        Field::Data,
        EncodeRule::TooLarge {
            needed: u32::try_from(len.saturating_add(overhead)).unwrap_or(u32::MAX),
            packet_size: u32::try_from(max + overhead).unwrap_or(u32::MAX),
        },
    ))
}

/// Appends one request body packet, copying the data.
///
/// # Errors
/// As [`body_packet_header`].
pub fn write_request_body(
    buffer: &mut BytesMut,
    data: &[u8],
    size: PacketSize,
) -> Result<(), EncodeError> {
    let header = body_packet_header(data.len(), size)?;
    buffer.reserve(data.len() + header.len());
    buffer.put_slice(&header);
    buffer.put_slice(data);
    Ok(())
}

/// Appends one Send Body Chunk, copying the data.
///
/// # Errors
/// As [`body_chunk_header`].
pub fn write_body_chunk(
    buffer: &mut BytesMut,
    data: &[u8],
    size: PacketSize,
) -> Result<(), EncodeError> {
    let header = body_chunk_header(data.len(), size)?;
    buffer.reserve(data.len() + 8);
    buffer.put_slice(&header);
    buffer.put_slice(data);
    buffer.put_slice(&CHUNK_TERMINATOR);
    Ok(())
}

/// A request body packet. It carries no type byte: only a container that waits for one
/// may decode a payload as this.
#[derive(Clone, PartialEq, Eq)]
#[allow(
    clippy::exhaustive_enums,
    reason = "the protocol has exactly these two"
)]
pub enum BodyPacket {
    /// Data, at least one byte, a slice of the payload.
    Data(Bytes),
    /// The body is complete. Both spellings, `00 00` and an empty payload, read as this.
    End,
}

impl BodyPacket {
    /// Checks a payload.
    ///
    /// # Errors
    /// [`DecodeError`] when the inner length does not agree with the payload. One NUL
    /// after the data is tolerated (protocol chapter [exchange](crate::docs::protocol::exchange)).
    pub fn parse(payload: &Bytes) -> Result<Self, DecodeError> {
        if payload.is_empty() {
            return Ok(Self::End);
        }
        let mut r = Reader::new(payload);
        let len = r.u16(Field::DataLength)?;
        let start = r.position();
        let wanted = usize::from(len);
        match r.rest().split_at_checked(wanted) {
            Some((_, [])) if wanted == 0 => Ok(Self::End),
            Some((_, [] | [0])) if wanted > 0 => {
                Ok(Self::Data(payload.slice(start..start + wanted)))
            }
            _ => {
                let actual = u32::try_from(r.remaining()).unwrap_or(u32::MAX);
                Err(r.error_at(
                    0,
                    Field::DataLength,
                    Rule::LengthMismatch {
                        declared: len.into(),
                        actual,
                    },
                ))
            }
        }
    }
}

/// The data of a Send Body Chunk payload (code byte included); empty means flush.
///
/// The terminator may have any value or be missing (protocol chapter
/// [packets](crate::docs::protocol::packets#send-body-chunk)).
pub(crate) fn parse_body_chunk(payload: &Bytes) -> Result<Bytes, DecodeError> {
    let mut r = Reader::new(payload);
    r.u8(Field::MessageCode)?;
    let at = r.position();
    let len = r.u16(Field::DataLength)?;
    let start = r.position();
    let wanted = usize::from(len);
    if let Some((_, [] | [_])) = r.rest().split_at_checked(wanted) {
        return Ok(payload.slice(start..start + wanted));
    }
    let actual = u32::try_from(r.remaining()).unwrap_or(u32::MAX);
    Err(r.error_at(
        at,
        Field::DataLength,
        Rule::LengthMismatch {
            declared: len.into(),
            actual,
        },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn end_of_body_carries_nothing_else() {
        for payload in [&[0, 0, 0][..], &[0, 0, b'x']] {
            let error = BodyPacket::parse(&Bytes::copy_from_slice(payload)).unwrap_err();
            assert_eq!((error.offset(), error.field()), (4, Field::DataLength));
        }
    }
}
