//! What is told about a packet.

use super::hex::Hex;
use crate::wire::{BodyPacket, DecodeError, Direction, Packet, ToContainer, ToWebServer};
use bytes::Bytes;
use std::fmt;
use std::time::Duration;

/// What a part of a stream is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Content {
    /// A packet with a type byte from the web server.
    ToContainer(ToContainer),
    /// A request body packet.
    RequestBody(BodyPacket),
    /// A packet from the container.
    ToWebServer(ToWebServer),
    /// A packet with a sound header whose payload breaks a rule.
    Undecodable(DecodeError),
    /// Bytes in which no packet begins.
    Skipped,
    /// Bytes that were not recorded, as told by [`Dump::gap`](super::Dump::gap).
    Missing,
    /// The recording ends, or has a gap, within this packet.
    Incomplete {
        /// Length of the whole packet, if its header is there.
        announced: Option<u64>,
    },
}

/// What is remarkable about a packet that could be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Note {
    /// A request body packet that the container did not ask for.
    NotAskedFor,
    /// Another packet came where a request body packet was due.
    BodyWasDue,
    /// Breaks this rule of the default [`DecodeOptions`](crate::wire::DecodeOptions).
    Lenient(DecodeError),
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAskedFor => f.write_str("nobody asked for it"),
            Self::BodyWasDue => f.write_str("a request body was due"),
            Self::Lenient(error) => write!(
                f,
                "a strict container refuses it: byte {}, {} {}",
                error.offset(),
                error.field(),
                error.rule()
            ),
        }
    }
}

/// One packet of a recorded connection, or bytes that are none.
///
/// `{}` is one line: `>` to the container or `<` to the web server, offset and length, and
/// what it is. With a time from [`Dump::at`](super::Dump::at) the line begins with that, in
/// seconds. `{:#}` adds all facts, each on a line of its own. Secrets are redacted.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    direction: Direction,
    offset: u64,
    len: u64,
    time: Option<Duration>,
    content: Content,
    note: Option<Note>,
    expected: bool,
    bytes: Bytes,
}

impl Record {
    pub(super) fn new(direction: Direction, offset: u64, len: u64, content: Content) -> Self {
        Self {
            direction,
            offset,
            len,
            time: None,
            content,
            note: None,
            expected: false,
            bytes: Bytes::new(),
        }
    }

    pub(super) fn bytes(mut self, bytes: Bytes) -> Self {
        self.bytes = bytes;
        self
    }

    pub(super) fn note(mut self, note: Option<Note>) -> Self {
        self.note = note;
        self
    }

    pub(super) fn expected(mut self, expected: bool) -> Self {
        self.expected = expected;
        self
    }

    pub(super) fn at(mut self, time: Option<Duration>) -> Self {
        self.time = time;
        self
    }

    /// Who it is for.
    #[must_use]
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// Where it begins in the stream of its direction.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Its length in the stream, the packet header included.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "it never is")]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// When its last byte came, as told by [`Dump::at`](super::Dump::at).
    #[must_use]
    pub fn time(&self) -> Option<Duration> {
        self.time
    }

    /// What it is.
    #[must_use]
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// The name of what it is, such as `Forward Request`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match &self.content {
            Content::ToContainer(ToContainer::ForwardRequest(_)) => "Forward Request",
            Content::ToContainer(ToContainer::CPing) => "CPing",
            Content::ToContainer(ToContainer::Shutdown) => "Shutdown",
            Content::ToContainer(ToContainer::Ping) => "Ping",
            Content::RequestBody(_) => "Request Body",
            Content::ToWebServer(ToWebServer::SendHeaders(_)) => "Send Headers",
            Content::ToWebServer(ToWebServer::SendBodyChunk(_)) => "Send Body Chunk",
            Content::ToWebServer(ToWebServer::EndResponse { .. }) => "End Response",
            Content::ToWebServer(ToWebServer::GetBodyChunk { .. }) => "Get Body Chunk",
            Content::ToWebServer(ToWebServer::CPong) => "CPong",
            Content::Undecodable(_) => "Undecodable",
            Content::Skipped => "Skipped",
            Content::Missing => "Missing",
            Content::Incomplete { .. } => "Incomplete",
        }
    }

    /// What is remarkable about a packet that could be decoded.
    #[must_use]
    pub fn remark(&self) -> Option<Note> {
        self.note
    }

    /// Whether these bytes could not be told as packets. Those before the first packet of a
    /// connection [from midway](super::Dump::midway) or after a gap do not count.
    #[must_use]
    pub fn is_error(&self) -> bool {
        match &self.content {
            Content::ToContainer(_) | Content::RequestBody(_) | Content::ToWebServer(_) => false,
            Content::Skipped => !self.expected,
            Content::Undecodable(_) | Content::Missing | Content::Incomplete { .. } => true,
        }
    }

    /// The whole packet with its header, secrets included. Of skipped bytes the first 64, of
    /// missing ones none.
    #[must_use]
    pub fn raw(&self) -> &Bytes {
        &self.bytes
    }

    /// The bytes in hexadecimal, with the secrets masked. Where nothing could be decoded
    /// only the header is shown: secrets may be anywhere behind it.
    #[must_use]
    pub fn hex(&self) -> Hex<'_> {
        Hex::new(self, false)
    }

    /// Shows everything, secrets too.
    #[must_use]
    pub fn reveal(&self) -> RevealedRecord<'_> {
        RevealedRecord(self)
    }

    pub(super) fn packet(&self) -> Option<Packet<'_>> {
        match &self.content {
            Content::ToContainer(packet) => Some(packet.into()),
            Content::RequestBody(packet) => Some(packet.into()),
            Content::ToWebServer(packet) => Some(packet.into()),
            _ => None,
        }
    }

    fn show(&self, f: &mut fmt::Formatter<'_>, reveal: bool) -> fmt::Result {
        if let Some(time) = self.time {
            write!(f, "{:>4}.{:06} ", time.as_secs(), time.subsec_micros())?;
        }
        let arrow = match self.direction {
            Direction::ToContainer => '>',
            Direction::ToWebServer => '<',
        };
        write!(f, "{arrow} {:<8} {:<6} ", self.offset, self.len)?;
        match (&self.content, self.packet()) {
            (_, Some(packet)) => packet.write(f, reveal)?,
            (Content::Undecodable(error), _) => write!(f, "error: {error}")?,
            (Content::Skipped, _) => {
                write!(f, "skipped {}, no packet begins there", Count(self.len))?;
            }
            (Content::Missing, _) => write!(f, "missing {}", Count(self.len))?,
            (Content::Incomplete { announced }, _) => {
                write!(f, "error: {} of a packet", Count(self.len))?;
                match announced {
                    Some(announced) => write!(f, " of {announced}")?,
                    None => f.write_str(", not even its header")?,
                }
            }
            _ => {}
        }
        match self.note {
            Some(note) if f.alternate() => write!(f, "\n  note         {note}"),
            Some(note) => write!(f, "; note: {note}"),
            None => Ok(()),
        }
    }
}

struct Count(u64);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} byte{}", self.0, if self.0 == 1 { "" } else { "s" })
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.show(f, false)
    }
}

/// Leaves out the bytes, which may hold secrets.
impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("direction", &self.direction)
            .field("offset", &self.offset)
            .field("len", &self.len)
            .field("time", &self.time)
            .field("content", &self.content)
            .field("note", &self.note)
            .finish_non_exhaustive()
    }
}

/// A record that shows secrets too. Made by [`Record::reveal`].
#[derive(Debug, Clone, Copy)]
pub struct RevealedRecord<'a>(&'a Record);

impl<'a> RevealedRecord<'a> {
    /// The bytes in hexadecimal, all of them.
    #[must_use]
    pub fn hex(self) -> Hex<'a> {
        Hex::new(self.0, true)
    }
}

impl fmt::Display for RevealedRecord<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.show(f, true)
    }
}
