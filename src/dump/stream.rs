//! One direction of a connection, cut into packets.
//!
//! While the stream is in step, a packet begins where the one before it ended. When none
//! does, the stream is searched byte by byte for a header that announces what its payload
//! begins with, and whose whole packet decodes.

use super::conversation::lenient;
use crate::wire::{
    BodyPacket, Direction, HEADER_LEN, PacketSize, ToContainer, ToWebServer, method_name,
};
use bytes::{Buf, Bytes, BytesMut};
use std::fmt;

/// Most of the skipped bytes to keep.
const KEPT: usize = 64;

/// What a header and the first bytes after it tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    /// No packet begins here.
    No,
    /// More bytes are needed to tell.
    Unknown,
    /// One of so many bytes, header included.
    Packet(usize),
}

/// The direction of the packet that `bytes` begin with, if they look like the beginning of
/// one. For telling AJP from other data, and which side of a connection is which.
///
/// ```
/// use ajp::dump::guess_direction;
/// use ajp::wire::Direction;
/// assert_eq!(guess_direction(&[0x41, 0x42, 0, 2, 5, 1]), Some(Direction::ToWebServer));
/// assert_eq!(guess_direction(b"ABCDEFGH"), None);
/// ```
#[must_use]
pub fn guess_direction(bytes: &[u8]) -> Option<Direction> {
    [Direction::ToContainer, Direction::ToWebServer]
        .into_iter()
        .find(|&direction| {
            matches!(
                start(bytes, direction, PacketSize::MAX),
                Start::Packet(total) if bytes.len() >= total.min(HEADER_LEN + 1)
            )
        })
}

fn start(bytes: &[u8], direction: Direction, size: PacketSize) -> Start {
    if bytes.iter().zip(direction.magic()).any(|(&a, b)| a != b) {
        return Start::No;
    }
    let Some((&[_, _, high, low], payload)) = bytes.split_first_chunk::<HEADER_LEN>() else {
        return Start::Unknown;
    };
    let len = usize::from(u16::from_be_bytes([high, low]));
    if len > size.max_accepted_payload() {
        return Start::No;
    }
    let fits = match direction {
        Direction::ToContainer => fits_container(payload, len),
        Direction::ToWebServer => fits_web_server(payload, len),
    };
    match fits {
        Some(true) => Start::Packet(len + HEADER_LEN),
        Some(false) => Start::No,
        None => Start::Unknown,
    }
}

/// Whether a payload of `len` bytes may begin like this; `None` when too little is there.
fn fits_container(payload: &[u8], len: usize) -> Option<bool> {
    if len == 0 {
        return Some(true);
    }
    let first = *payload.first()?;
    if len == 1 {
        return Some(matches!(first, 7 | 8 | 10));
    }
    let second = *payload.get(1)?;
    let is_request = first == 2 && (second == 0xff || method_name(second).is_some());
    let data = usize::from(u16::from_be_bytes([first, second]));
    let is_body = matches!(len.checked_sub(data), Some(2 | 3));
    Some(is_request || is_body)
}

fn fits_web_server(payload: &[u8], len: usize) -> Option<bool> {
    if len == 0 {
        return Some(false);
    }
    let number = || match *payload {
        [_, high, low, ..] => Some(usize::from(u16::from_be_bytes([high, low]))),
        _ => None,
    };
    Some(match *payload.first()? {
        3 if len >= 3 => matches!(len.checked_sub(number()?), Some(3 | 4)),
        4 if len >= 7 => (100..=999).contains(&number()?),
        5 => len == 2,
        6 => len == 3,
        9 => len == 1,
        _ => false,
    })
}

/// Whether a payload is some packet, whatever came before it.
fn decodes(payload: &Bytes, direction: Direction) -> bool {
    match direction {
        Direction::ToContainer => {
            let is_message = ToContainer::parse(payload.clone(), &lenient()).is_ok();
            is_message || BodyPacket::parse(payload).is_ok()
        }
        Direction::ToWebServer => ToWebServer::parse(payload.clone()).is_ok(),
    }
}

/// A part of a stream.
pub(super) enum Piece {
    Packet {
        offset: u64,
        bytes: Bytes,
    },
    /// No packet begins in these; `bytes` are the first of them.
    Skipped {
        offset: u64,
        len: u64,
        bytes: Bytes,
        expected: bool,
    },
    /// The stream ends within a packet.
    Incomplete {
        offset: u64,
        announced: Option<u64>,
        bytes: Bytes,
    },
}

#[derive(Default)]
struct SkippedBytes {
    len: u64,
    first: BytesMut,
    expected: bool,
}

pub(super) struct Stream {
    direction: Direction,
    pub(super) size: PacketSize,
    buffer: BytesMut,
    /// Where in the stream the buffer begins.
    offset: u64,
    /// Set while the next packet is searched for.
    skipped: Option<SkippedBytes>,
}

impl Stream {
    pub(super) fn new(direction: Direction) -> Self {
        Self {
            direction,
            size: PacketSize::MAX,
            buffer: BytesMut::new(),
            offset: 0,
            skipped: None,
        }
    }

    pub(super) fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// From here on a packet may begin anywhere.
    pub(super) fn search(&mut self, expected: bool) {
        self.skipped.get_or_insert_with(|| SkippedBytes {
            expected,
            ..SkippedBytes::default()
        });
    }

    /// The next piece that the bytes complete, and `None` when all of them were taken.
    pub(super) fn next_piece(&mut self, bytes: &mut &[u8]) -> Option<Piece> {
        loop {
            if self.skipped.is_some() {
                match self.find(bytes) {
                    SearchResult::Nothing => return None,
                    SearchResult::Packet => {}
                    SearchResult::PacketAfter(piece) => return Some(piece),
                }
            }
            match self.wanted() {
                Some(wanted) if self.buffer.len() >= wanted && wanted >= HEADER_LEN => {
                    return Some(self.packet(wanted));
                }
                Some(wanted) if bytes.is_empty() && self.buffer.len() < wanted => return None,
                Some(wanted) => self.fill(wanted, bytes),
                None => self.search(false),
            }
        }
    }

    /// Bytes to have before anything more can be said about the packet at the front. `None`
    /// when there is no packet. Never less than a header once that is there.
    fn wanted(&self) -> Option<usize> {
        let magic = self.direction.magic();
        if self.buffer.iter().zip(magic).any(|(&a, b)| a != b) {
            return None;
        }
        let Some(&[_, _, high, low]) = self.buffer.first_chunk::<HEADER_LEN>() else {
            // One byte at a time, so that a wrong one is not kept waiting.
            return Some(self.buffer.len() + 1);
        };
        let len = usize::from(u16::from_be_bytes([high, low]));
        (len <= self.size.max_accepted_payload()).then(|| len + HEADER_LEN)
    }

    fn fill(&mut self, wanted: usize, bytes: &mut &[u8]) {
        let need = wanted.saturating_sub(self.buffer.len());
        if let Some((now, later)) = bytes.split_at_checked(need) {
            self.buffer.extend_from_slice(now);
            *bytes = later;
        } else {
            self.buffer.extend_from_slice(bytes);
            *bytes = &[];
        }
    }

    fn packet(&mut self, len: usize) -> Piece {
        // Copied, so that a record keeps its own packet alive and nothing else.
        let bytes = Bytes::copy_from_slice(self.buffer.get(..len).unwrap_or_default());
        let offset = self.offset;
        self.advance(len);
        Piece::Packet { offset, bytes }
    }

    fn advance(&mut self, len: usize) {
        self.buffer.advance(len.min(self.buffer.len()));
        self.offset += len as u64;
    }

    /// Searches for a packet, dropping all bytes before it.
    fn find(&mut self, bytes: &mut &[u8]) -> SearchResult {
        loop {
            let more = match start(&self.buffer, self.direction, self.size) {
                Start::No => {
                    self.skip(self.next_magic());
                    continue;
                }
                Start::Packet(total) if self.buffer.len() >= total => {
                    let payload = self.buffer.get(HEADER_LEN..total).unwrap_or_default();
                    if decodes(&Bytes::copy_from_slice(payload), self.direction) {
                        return match self.take_skipped() {
                            Some(piece) => SearchResult::PacketAfter(piece),
                            None => SearchResult::Packet,
                        };
                    }
                    self.skip(self.next_magic());
                    continue;
                }
                Start::Packet(total) => total,
                Start::Unknown => self.buffer.len() + 1,
            };
            if bytes.is_empty() {
                return SearchResult::Nothing;
            }
            self.fill(more, bytes);
        }
    }

    /// How far it is from the front, which is no packet, to the next byte that may begin one.
    fn next_magic(&self) -> usize {
        let [magic, _] = self.direction.magic();
        self.buffer
            .iter()
            .skip(1)
            .position(|&b| b == magic)
            .map_or(self.buffer.len(), |at| at + 1)
    }

    fn skip(&mut self, len: usize) {
        if let Some(skipped) = &mut self.skipped {
            let room = KEPT.saturating_sub(skipped.first.len());
            let kept = self.buffer.get(..len.min(room)).unwrap_or_default();
            skipped.first.extend_from_slice(kept);
            skipped.len += len as u64;
        }
        self.advance(len);
    }

    /// Ends the search.
    fn take_skipped(&mut self) -> Option<Piece> {
        let skipped = self.skipped.take().filter(|skipped| skipped.len > 0)?;
        Some(Piece::Skipped {
            offset: self.offset.saturating_sub(skipped.len),
            len: skipped.len,
            bytes: skipped.first.freeze(),
            expected: skipped.expected,
        })
    }

    /// The next piece of what is left when no more bytes come.
    pub(super) fn last_piece(&mut self) -> Option<Piece> {
        loop {
            if let Some(piece) = self.next_piece(&mut &[][..]) {
                return Some(piece);
            }
            if self.skipped.is_none() {
                return self.incomplete();
            }
            if self.buffer.is_empty() {
                return self.take_skipped();
            }
            // What looked like a packet was none, or is not all there.
            self.skip(self.next_magic());
        }
    }

    fn incomplete(&mut self) -> Option<Piece> {
        let bytes = self.buffer.split().freeze();
        let offset = self.offset;
        self.offset = offset + bytes.len() as u64;
        let announced = bytes
            .get(2..HEADER_LEN)
            .map(|mut len| u64::from(len.get_u16()) + HEADER_LEN as u64);
        (!bytes.is_empty()).then_some(Piece::Incomplete {
            offset,
            announced,
            bytes,
        })
    }

    /// Passes over bytes that were never recorded; returns where they would have been.
    pub(super) fn skip_missing(&mut self, len: u64) -> u64 {
        let at = self.offset;
        self.offset = at + len;
        self.search(true);
        at
    }
}

/// What a search has come to.
enum SearchResult {
    /// All bytes were taken.
    Nothing,
    /// A packet at the front of the buffer.
    Packet,
    /// The same, and before it bytes were skipped.
    PacketAfter(Piece),
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("offset", &self.offset)
            .field("buffered", &self.buffer.len())
            .field("searching", &self.skipped.is_some())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{CPING, END_OF_BODY, END_RESPONSE_REUSE, FLUSH, get_body_chunk};

    #[test]
    fn a_start_needs_few_bytes_and_says_no_early() {
        for (direction, packet) in [
            (Direction::ToContainer, &CPING[..]),
            (Direction::ToContainer, &END_OF_BODY),
            (Direction::ToContainer, &[0x12, 0x34, 0, 0]),
            (Direction::ToWebServer, &END_RESPONSE_REUSE),
            (Direction::ToWebServer, &FLUSH),
            (Direction::ToWebServer, &get_body_chunk(8186)),
        ] {
            let size = PacketSize::DEFAULT;
            assert_eq!(start(packet, direction, size), Start::Packet(packet.len()));
            for n in 0..HEADER_LEN.min(packet.len() - 1) {
                assert_eq!(start(&packet[..n], direction, size), Start::Unknown);
            }
            assert_eq!(guess_direction(packet), Some(direction));
        }
        for no in [
            &b"AB\x00\x02\x06\x01"[..],
            b"AB\x00\x00",
            b"AB12345678",
            b"\x12\x35",
        ] {
            assert_eq!(guess_direction(no), None, "{no:?}");
        }
    }
}
