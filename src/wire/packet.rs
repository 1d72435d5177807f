//! The 4-byte packet header, and taking one packet off a receive buffer.

use super::error::{DecodeError, Field, Rule};
use super::limits::PacketSize;
use bytes::{Buf, Bytes, BytesMut};

/// Length of a packet header in bytes.
pub const HEADER_LEN: usize = 4;

/// Who a packet is for; each direction has its own magic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_enums, reason = "a connection has two directions")]
pub enum Direction {
    /// Web server to container: `12 34`.
    ToContainer,
    /// Container to web server: `41 42`.
    ToWebServer,
}

impl Direction {
    /// The two magic bytes.
    #[must_use]
    pub const fn magic(self) -> [u8; 2] {
        match self {
            Self::ToContainer => [0x12, 0x34],
            Self::ToWebServer => [0x41, 0x42],
        }
    }
}

/// Takes one payload off the front of `buffer`, without copying it.
///
/// `Ok(None)` means that more bytes are needed. The announced length is checked against
/// [`PacketSize::max_accepted_payload`] as soon as the header is there, before any
/// memory is reserved for the payload.
///
/// ```
/// use ajp::wire::{Direction, PacketSize, split_packet};
/// let mut buffer = bytes::BytesMut::from(&[0x12, 0x34, 0, 1, 10, 0x12][..]);
/// let payload = split_packet(&mut buffer, Direction::ToContainer, PacketSize::DEFAULT)?;
/// assert_eq!(payload.as_deref(), Some(&[10][..]));
/// assert_eq!(split_packet(&mut buffer, Direction::ToContainer, PacketSize::DEFAULT)?, None);
/// # Ok::<(), ajp::wire::DecodeError>(())
/// ```
///
/// # Errors
/// [`Rule::WrongMagic`] as soon as a byte of the magic is wrong, [`Rule::TooLong`] when the
/// announced length exceeds the limit. Both end the connection: bytes are never skipped to find the
/// next packet (protocol chapter [packets](crate::docs::protocol::packets#packet-header)).
pub fn split_packet(
    buffer: &mut BytesMut,
    direction: Direction,
    size: PacketSize,
) -> Result<Option<Bytes>, DecodeError> {
    match packet_len(buffer, direction, size)? {
        Some(len) if buffer.len() >= len + HEADER_LEN => {
            buffer.advance(HEADER_LEN);
            Ok(Some(buffer.split_to(len).freeze()))
        }
        _ => Ok(None),
    }
}

/// The payload length of the packet at the front of `bytes`, once its header is there.
pub(crate) fn packet_len(
    bytes: &[u8],
    direction: Direction,
    size: PacketSize,
) -> Result<Option<usize>, DecodeError> {
    let magic = direction.magic();
    let Some(&[first, second, high, low]) = bytes.first_chunk::<HEADER_LEN>() else {
        return check_magic(bytes, magic).map(|()| None);
    };
    if [first, second] != magic {
        return check_magic(bytes, magic).map(|()| None);
    }
    let (len, max) = (u16::from_be_bytes([high, low]), size.max_accepted_payload());
    if usize::from(len) > max {
        let max = u32::try_from(max).unwrap_or(u32::MAX);
        return Err(DecodeError::new(
            2,
            Field::PayloadLength,
            Rule::TooLong {
                len: len.into(),
                max,
            },
        ));
    }
    Ok(Some(usize::from(len)))
}

/// # Errors
/// The first byte that is there and wrong.
fn check_magic(bytes: &[u8], magic: [u8; 2]) -> Result<(), DecodeError> {
    let mut pairs = bytes.iter().zip(magic).enumerate();
    match pairs.find(|(_, (got, want))| *got != want) {
        Some((offset, (&got, _))) => {
            let rule = Rule::WrongMagic(got);
            Err(DecodeError::new(offset, Field::Magic, rule))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn any_split_needs_more_until_complete() {
        let whole = [0x41, 0x42, 0, 2, 5, 1];
        for n in 0..whole.len() {
            let mut buffer = BytesMut::from(whole.get(..n).unwrap());
            assert_eq!(
                split_packet(&mut buffer, Direction::ToWebServer, PacketSize::DEFAULT),
                Ok(None)
            );
            assert_eq!(buffer.len(), n);
        }
        let mut buffer = BytesMut::from(&whole[..]);
        let payload =
            split_packet(&mut buffer, Direction::ToWebServer, PacketSize::DEFAULT).unwrap();
        assert_eq!(payload.as_deref(), Some(&[5, 1][..]));
        assert!(buffer.is_empty());
    }

    #[test]
    fn wrong_magic_is_seen_at_its_first_byte() {
        let mut tls = BytesMut::from(&[0x16][..]);
        let error =
            split_packet(&mut tls, Direction::ToContainer, PacketSize::DEFAULT).unwrap_err();
        assert_eq!((error.offset(), error.field()), (0, Field::Magic));
        let mut ajp14 = BytesMut::from(&[0x12, 0x35][..]);
        let error =
            split_packet(&mut ajp14, Direction::ToContainer, PacketSize::DEFAULT).unwrap_err();
        assert_eq!((error.offset(), error.rule()), (1, Rule::WrongMagic(0x35)));
    }

    #[test]
    fn an_over_long_packet_is_refused_from_its_header() {
        let mut header = BytesMut::from(&[0x12, 0x34, 0x20, 0x01][..]);
        let error =
            split_packet(&mut header, Direction::ToContainer, PacketSize::DEFAULT).unwrap_err();
        assert_eq!(
            error.rule(),
            Rule::TooLong {
                len: 8193,
                max: 8192
            }
        );
        let mut header = BytesMut::from(&[0x12, 0x34, 0x20, 0x00][..]);
        assert_eq!(
            split_packet(&mut header, Direction::ToContainer, PacketSize::DEFAULT),
            Ok(None)
        );
        let mut header = BytesMut::from(&[0x12, 0x34, 0xff, 0xff][..]);
        assert_eq!(
            split_packet(&mut header, Direction::ToContainer, PacketSize::MAX),
            Ok(None)
        );
    }
}
