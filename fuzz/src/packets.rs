//! Streams of packets: taken apart by the crate whole and in pieces, and by hand.

use crate::input::{Cuts, Input};
use crate::printed::{Line, printed};
use crate::shadow;
use ajp::wire::{
    DecodeError, Direction, EncodeError, Field, OtherProtocol, PacketSize, split_packet,
};
use bytes::{BufMut, Bytes, BytesMut};
use std::cell::RefCell;

/// The sizes of the document's tests.
#[must_use]
pub fn packet_size(selector: u8) -> PacketSize {
    let bytes = [8192, 9216, 65536][usize::from(selector % 3)];
    PacketSize::new(bytes).expect("in range")
}

/// Why no further packet comes out of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// This many bytes wait for more.
    NeedsMore(usize),
    /// Byte 0 or 1 of the header is not the magic.
    WrongMagic(usize),
    /// The announced length is not allowed.
    TooLong,
}

/// By hand, from protocol chapter "packets" and the receiver's rule of protocol chapter "packets".
#[must_use]
pub fn split_by_hand(
    mut bytes: &[u8],
    direction: Direction,
    size: PacketSize,
) -> (Vec<&[u8]>, Stop) {
    let magic = match direction {
        Direction::ToContainer => [0x12, 0x34],
        Direction::ToWebServer => [0x41, 0x42],
    };
    let mut payloads = Vec::new();
    loop {
        for at in 0..2 {
            if at < bytes.len() && bytes[at] != magic[at] {
                return (payloads, Stop::WrongMagic(at));
            }
        }
        if bytes.len() < 4 {
            return (payloads, Stop::NeedsMore(bytes.len()));
        }
        let len = usize::from(bytes[2]) * 256 + usize::from(bytes[3]);
        if len > size.bytes() {
            return (payloads, Stop::TooLong);
        }
        if bytes.len() < 4 + len {
            return (payloads, Stop::NeedsMore(bytes.len()));
        }
        payloads.push(&bytes[4..4 + len]);
        bytes = &bytes[4 + len..];
    }
}

fn stop_of(error: &DecodeError) -> Stop {
    check_error(error, 0);
    match error.field() {
        Field::Magic => Stop::WrongMagic(error.offset()),
        Field::PayloadLength if error.offset() == 2 => Stop::TooLong,
        _ => panic!("{error} from a packet header"),
    }
}

fn split_in_pieces(
    bytes: &[u8],
    mut next_len: impl FnMut() -> usize,
    direction: Direction,
    size: PacketSize,
) -> (Vec<Bytes>, Stop) {
    let mut buffer = BytesMut::with_capacity(bytes.len());
    let mut payloads = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(next_len().min(rest.len()));
        rest = after;
        buffer.put_slice(piece);
        loop {
            let before = buffer.len();
            match split_packet(&mut buffer, direction, size) {
                Ok(Some(payload)) => {
                    assert_eq!(before, buffer.len() + payload.len() + 4);
                    payloads.push(payload);
                }
                Ok(None) => {
                    assert_eq!(before, buffer.len(), "bytes went away");
                    break;
                }
                Err(error) => return (payloads, stop_of(&error)),
            }
        }
    }
    (payloads, Stop::NeedsMore(buffer.len()))
}

/// The payloads of a stream. Whole, in pieces and by hand must give the same.
#[must_use]
pub fn split(bytes: &[u8], cuts: u8, direction: Direction, size: PacketSize) -> Vec<Bytes> {
    check_guess(bytes);
    let (expected, stop) = split_by_hand(bytes, direction, size);
    let whole = split_in_pieces(bytes, || usize::MAX, direction, size);
    assert_eq!(whole.0, expected, "whole");
    assert_eq!(whole.1, stop, "whole");
    let mut cuts = Cuts::new(cuts);
    let pieces = split_in_pieces(bytes, || cuts.next_len(), direction, size);
    assert_eq!(pieces, whole, "in pieces");
    whole.0
}

/// What else a stream may be is said by its first bytes, and AJP is never taken for it.
fn check_guess(bytes: &[u8]) {
    let guess = OtherProtocol::guess(bytes).map(|guess| guess.to_string());
    assert_eq!(guess.as_deref(), shadow::other_protocol(bytes));
}

/// The input of a target that decodes: what arrives at one side, and how it is cut.
#[derive(Debug)]
pub struct Stream {
    pub switches: u8,
    /// What the container accepts; 0 for a web server, which has no such settings.
    pub accepts: u8,
    /// Where another packet is cut short, and how much longer it is made.
    pub number: usize,
    cuts: u8,
    direction: Direction,
    size: PacketSize,
    bytes: Vec<u8>,
}

impl Stream {
    #[must_use]
    pub fn read(data: &[u8], direction: Direction) -> Self {
        let mut input = Input::new(data);
        let switches = input.byte();
        let accepts = match direction {
            Direction::ToContainer => input.byte(),
            Direction::ToWebServer => 0,
        };
        let size = packet_size(switches >> 4);
        let cuts = input.byte();
        let number = usize::from(input.number());
        let bytes = if switches & 8 == 0 {
            framed(input.rest(), direction, size)
        } else {
            input.rest().to_vec()
        };
        Self {
            switches,
            accepts,
            number,
            cuts,
            direction,
            size,
            bytes,
        }
    }

    /// What [`split`] makes of it.
    #[must_use]
    pub fn payloads(&self) -> Vec<Bytes> {
        split(&self.bytes, self.cuts, self.direction, self.size)
    }

    /// Whether packets are to be tried [`stretched`](Self::stretched) too.
    #[must_use]
    pub fn stretches(&self) -> bool {
        self.switches & 0x80 != 0
    }

    /// The packet that `write` makes with a long value, and the same with one byte changed: whole
    /// blocks are counted at once, and a short packet has none. Now and then also one that is
    /// longer than any packet can be.
    pub fn stretched(
        &self,
        write: impl FnOnce(&'static [u8], &mut BytesMut) -> Result<(), EncodeError>,
    ) -> Vec<Bytes> {
        let mut packet = BytesMut::new();
        if write(&LONG[..stretched_len(self.number)], &mut packet).is_err() {
            return Vec::new();
        }
        let payload = packet.split_off(4).freeze();
        let mut changed = BytesMut::from(&payload[..]);
        let at = payload.len() - 1 - (self.number.wrapping_mul(7) % payload.len());
        changed[at] = self.cuts;
        let mut all = vec![payload.clone(), changed.freeze()];
        if self.number & 0xff == 0xff {
            all.push([&payload[..], &LONG].concat().into());
        }
        all
    }
}

/// A payload with its header; cut to what the receiver takes.
#[must_use]
pub fn framed(payload: &[u8], direction: Direction, size: PacketSize) -> Vec<u8> {
    let payload = &payload[..payload.len().min(size.max_accepted_payload())];
    let len = u16::try_from(payload.len()).expect("at most 65535");
    let mut packet = direction.magic().to_vec();
    packet.extend(len.to_be_bytes());
    packet.extend(payload);
    packet
}

/// An error says something, and points into the packet.
pub fn check_error(error: &DecodeError, payload_len: usize) {
    assert!(error.offset() <= payload_len + 4, "{error}: {payload_len}");
    // What the same error prints is the same.
    if SEEN.with_borrow_mut(|seen| seen.contains(error.offset(), error)) {
        return;
    }
    assert!(printed(format_args!("{}", error.field())));
    assert!(printed(format_args!("{}", error.rule())));
    let text = Line::of(format_args!("{error}"));
    let offset = Line::of(format_args!("{}", error.offset()));
    assert!(text.contains(&offset) && text.is_ascii(), "{error}");
    assert!(printed(format_args!("{error:?}")));
}

thread_local! {
    static SEEN: RefCell<Seen<DecodeError>> = const { RefCell::new(Seen::new()) };
}

/// Some of the errors that were looked at, so that each is looked at once or a few times.
#[derive(Debug)]
pub struct Seen<T>([[Option<T>; 4]; 256]);

impl<T: Clone + PartialEq> Seen<T> {
    #[must_use]
    pub const fn new() -> Self {
        Self([const { [const { None }; 4] }; 256])
    }

    /// Whether this was seen; from now on it is. Equal ones have the same `key`.
    pub fn contains(&mut self, key: usize, value: &T) -> bool {
        let row = &mut self.0[key % 256];
        let found = row.iter().any(|known| known.as_ref() == Some(value));
        if !found {
            row.rotate_right(1);
            row[0] = Some(value.clone());
        }
        found
    }
}

impl<T: Clone + PartialEq> Default for Seen<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether `part` lies in `whole`.
#[must_use]
pub fn lies_in(part: &[u8], whole: &[u8]) -> bool {
    let (part, whole) = (part.as_ptr_range(), whole.as_ptr_range());
    part.is_empty() || (part.start >= whole.start && part.end <= whole.end)
}

/// The value of a long header.
static LONG: [u8; 65_536] = [b'l'; 65_536];

/// How long a long header is: some blocks of the vectorised walk, and one time of 256 anything.
fn stretched_len(len: usize) -> usize {
    match len & 0xff {
        0xff => len & 0xffff,
        _ => len % 400,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nothing is taken for seen that was not.
    #[test]
    fn only_what_was_seen_is_skipped() {
        let mut seen = Seen::new();
        for key in [1, 257, 2] {
            for value in 0..5 {
                assert!(!seen.contains(key, &(key, value)));
                assert!(seen.contains(key, &(key, value)));
            }
        }
        assert!(!seen.contains(1, &(1, 0)), "it was forgotten");
    }
}
