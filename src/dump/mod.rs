//! Recorded connections for human readers: bytes of both directions in, one [`Record`] per
//! packet out.
//!
//! [`Dump`] follows one connection. It takes bytes of either direction in any pieces and
//! knows from the conversation which packets to the container are request bodies, for these
//! carry no type byte. Unlike a peer it goes on after an error: it tells what is wrong, looks
//! for the next packet and tells what it had to skip.
//!
//! ```
//! use ajp::dump::Dump;
//! use ajp::wire::{CPING, CPONG, Direction};
//!
//! let mut dump = Dump::new();
//! let mut lines = Vec::new();
//! for (direction, bytes) in [(Direction::ToContainer, CPING), (Direction::ToWebServer, CPONG)] {
//!     lines.extend(dump.feed(direction, &bytes).map(|record| record.to_string()));
//! }
//! lines.extend(dump.finish().map(|record| record.to_string()));
//! assert_eq!(lines, ["> 0        5      CPing", "< 0        5      CPong"]);
//! ```
//!
//! A record shows itself on one line (`{}`), with all facts (`{:#}`) and as
//! [`hex`](Record::hex). Secrets are left out of all three: the AJP secret, credentials,
//! cookies, session ids, and whatever goes by such a name. [`Record::reveal`] shows them.
//! In body data, which has no names of its own, that is a best effort.
//!
//! # Layers
//!
//! - `stream`: one direction cut into packets, and the search for the next one after garbage.
//! - `conversation`: what a packet is, from those before it.
//! - `record`, `hex`: what is told about a packet, and how.
//! - `capture`: conversations out of pcap files, with feature `pcap`.
//!
//! What may not live here, outside of `capture`: files, capture formats, TCP; and any clock: times are handed in
//! with [`Dump::at`]. Nor anything that judges a conversation; that is [`crate::proto`]'s.

#[cfg(feature = "pcap")]
#[cfg_attr(docsrs, doc(cfg(feature = "pcap")))]
pub mod capture;
mod conversation;
mod hex;
mod record;
mod stream;

pub use hex::Hex;
pub use record::{Content, Note, Record, RevealedRecord};
pub use stream::guess_direction;

use crate::wire::{DecodeOptions, Direction, PacketSize};
use conversation::Conversation;
use std::fmt;
use std::time::Duration;
use stream::{Piece, Stream};

/// Follows one connection, both directions of it or one. Keeps at most one packet of each.
///
/// By default it takes packets of any size, and what peers are known to send beyond the
/// strict rules; a packet that a strict container would refuse has a [`Note`].
pub struct Dump {
    to_container: Stream,
    to_web_server: Stream,
    conversation: Conversation,
    time: Option<Duration>,
}

impl Default for Dump {
    fn default() -> Self {
        Self::new()
    }
}

impl Dump {
    /// A connection from its first byte on.
    #[must_use]
    pub fn new() -> Self {
        Self {
            to_container: Stream::new(Direction::ToContainer),
            to_web_server: Stream::new(Direction::ToWebServer),
            conversation: Conversation::new(),
            time: None,
        }
    }

    /// A connection whose beginning was not recorded. What comes before the first packet is
    /// skipped, and that is no [error](Record::is_error).
    #[must_use]
    pub fn midway() -> Self {
        let mut dump = Self::new();
        dump.to_container.search(true);
        dump.to_web_server.search(true);
        dump.conversation.lose_track();
        dump
    }

    /// Takes longer packets for errors. Default [`PacketSize::MAX`].
    #[must_use]
    pub fn with_packet_size(mut self, size: PacketSize) -> Self {
        self.to_container.size = size;
        self.to_web_server.size = size;
        self
    }

    /// What is decoded beyond the strict rules. Default: all of it.
    #[must_use]
    pub fn with_decode_options(mut self, options: DecodeOptions) -> Self {
        self.conversation.options = options;
        self
    }

    /// The time of the bytes fed from now on, on whatever clock the caller has.
    pub fn at(&mut self, time: Duration) {
        self.time = Some(time);
    }

    /// Takes the next bytes of one direction and gives the records they complete. All bytes
    /// are taken, also when the iterator is dropped before its end.
    ///
    /// Bytes of the two directions should come in the order of their packets. Where that
    /// order is lost, [`expects`](Self::expects) restores it.
    pub fn feed<'a>(&'a mut self, direction: Direction, bytes: &'a [u8]) -> Records<'a> {
        if !bytes.is_empty() {
            self.conversation.sees(direction);
        }
        Records {
            dump: self,
            direction,
            bytes,
        }
    }

    /// `missing` bytes of one direction are known to be lost, as when a capture dropped
    /// packets.
    pub fn gap(
        &mut self,
        direction: Direction,
        missing: u64,
    ) -> impl Iterator<Item = Record> + use<> {
        let mut records: Vec<Record> = std::iter::from_fn(|| self.last_record(direction)).collect();
        let at = self.stream(direction).skip_missing(missing);
        self.conversation.lose_track();
        let gap = Record::new(direction, at, missing, Content::Missing);
        records.push(gap.at(self.time));
        records.into_iter()
    }

    /// The end of the recording: tells of a packet that is not complete in either direction.
    pub fn finish(mut self) -> impl Iterator<Item = Record> {
        std::iter::from_fn(move || {
            self.last_record(Direction::ToContainer)
                .or_else(|| self.last_record(Direction::ToWebServer))
        })
    }

    fn last_record(&mut self, direction: Direction) -> Option<Record> {
        let piece = self.stream(direction).last_piece()?;
        Some(self.record(direction, piece))
    }

    /// The direction of the packet that should come next, for putting two recordings without
    /// times in order.
    #[must_use]
    pub fn expects(&self) -> Direction {
        self.conversation.expects()
    }

    /// Bytes kept until the rest of their packet comes: at most one packet.
    #[must_use]
    pub fn buffered(&self, direction: Direction) -> usize {
        match direction {
            Direction::ToContainer => self.to_container.buffered(),
            Direction::ToWebServer => self.to_web_server.buffered(),
        }
    }

    fn stream(&mut self, direction: Direction) -> &mut Stream {
        match direction {
            Direction::ToContainer => &mut self.to_container,
            Direction::ToWebServer => &mut self.to_web_server,
        }
    }

    fn record(&mut self, direction: Direction, piece: Piece) -> Record {
        let record = match piece {
            Piece::Packet { offset, bytes } => {
                let (content, note) = self.conversation.tell(direction, &bytes);
                Record::new(direction, offset, bytes.len() as u64, content)
                    .bytes(bytes)
                    .note(note)
            }
            Piece::Skipped {
                offset,
                len,
                bytes,
                expected,
            } => {
                self.conversation.lose_track();
                Record::new(direction, offset, len, Content::Skipped)
                    .bytes(bytes)
                    .expected(expected)
            }
            Piece::Incomplete {
                offset,
                announced,
                bytes,
            } => Record::new(
                direction,
                offset,
                bytes.len() as u64,
                Content::Incomplete { announced },
            )
            .bytes(bytes),
        };
        record.at(self.time)
    }
}

/// Says how far it is; the bytes may hold secrets.
impl fmt::Debug for Dump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dump")
            .field("to_container", &self.to_container)
            .field("to_web_server", &self.to_web_server)
            .finish_non_exhaustive()
    }
}

/// The records that the bytes given to [`Dump::feed`] complete.
#[must_use = "each record is one packet"]
pub struct Records<'a> {
    dump: &'a mut Dump,
    direction: Direction,
    bytes: &'a [u8],
}

impl Iterator for Records<'_> {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        let piece = self
            .dump
            .stream(self.direction)
            .next_piece(&mut self.bytes)?;
        Some(self.dump.record(self.direction, piece))
    }
}

impl Drop for Records<'_> {
    fn drop(&mut self) {
        self.for_each(drop);
    }
}

impl fmt::Debug for Records<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records")
            .field("direction", &self.direction)
            .field("left", &self.bytes.len())
            .finish_non_exhaustive()
    }
}
