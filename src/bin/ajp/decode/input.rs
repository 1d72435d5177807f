//! What a file holds, told by its first bytes.

use super::{Format, hextext};
use ajp::dump::capture::Capture;
use ajp::dump::guess_direction;
use ajp::wire::{Direction, HEADER_LEN};
use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::path::Path;

/// Why nothing more can be shown.
pub(crate) enum Failure {
    /// What is wrong and what to do.
    Usage(String),
    OutputClosed,
}

/// Only the output fails with an `io::Error` that is not told with its file.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::OutputClosed,
            _ => Self::Usage(format!("cannot write the output: {error}")),
        }
    }
}

pub(crate) enum Source {
    /// Not a byte.
    Empty,
    Stream(Stream),
    Capture(Capture),
}

/// Bytes of one direction that follow each other.
pub(crate) struct DirectedBytes {
    pub(crate) direction: Direction,
    pub(crate) bytes: Vec<u8>,
}

/// AJP without any capture format around it.
pub(crate) struct Stream {
    turns: Vec<DirectedBytes>,
}

impl Stream {
    pub(crate) fn turns(&self) -> &[DirectedBytes] {
        &self.turns
    }

    /// The direction, if there is only one.
    pub(crate) fn direction(&self) -> Option<Direction> {
        match &self.turns[..] {
            [turn] => Some(turn.direction),
            _ => None,
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.turns[..] {
            [turn] => &turn.bytes,
            _ => &[],
        }
    }

    /// Cuts bytes where the direction changes; `None` when no packet begins anywhere.
    fn cut(mut rest: &[u8]) -> Option<Self> {
        let mut direction = (0..rest.len())
            .find_map(|at| guess_direction(rest.get(at..).unwrap_or_default()))
            .filter(|_| !rest.is_empty())?;
        let mut turns: Vec<DirectedBytes> = Vec::new();
        while !rest.is_empty() {
            let begins = guess_direction(rest);
            direction = begins.unwrap_or(direction);
            let len = if begins.is_some() {
                packet_len(rest)
            } else {
                let garbage = (1..rest.len())
                    .find(|&at| guess_direction(rest.get(at..).unwrap_or_default()).is_some());
                garbage.unwrap_or(rest.len())
            };
            let (now, later) = rest.split_at(len);
            rest = later;
            match turns.last_mut() {
                Some(turn) if turn.direction == direction => turn.bytes.extend_from_slice(now),
                _ => turns.push(DirectedBytes {
                    direction,
                    bytes: now.to_vec(),
                }),
            }
        }
        Some(Self { turns })
    }
}

/// How long the packet at the front says it is, at most what is there.
pub(crate) fn packet_len(bytes: &[u8]) -> usize {
    match bytes.first_chunk::<HEADER_LEN>() {
        Some(&[_, _, high, low]) => {
            let len = usize::from(u16::from_be_bytes([high, low]));
            len.saturating_add(HEADER_LEN).min(bytes.len())
        }
        None => bytes.len(),
    }
}

/// Opens a file and finds out what is in it.
pub(crate) fn open(path: &Path, format: Format) -> Result<Source, Failure> {
    let name = path.display();
    let failed = |error: io::Error| {
        let advice = match error.kind() {
            io::ErrorKind::NotFound => "; check the path",
            io::ErrorKind::PermissionDenied => "; run it as a user who may read it",
            _ => "",
        };
        Failure::Usage(format!("{name}: cannot be read: {error}{advice}"))
    };
    let mut reader: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(path).map_err(failed)?)
    };
    let mut head = Vec::new();
    reader
        .by_ref()
        .take(16)
        .read_to_end(&mut head)
        .map_err(failed)?;
    let format = match format {
        Format::Auto => detect(&head),
        given => given,
    };
    let mut reader = BufReader::new(Cursor::new(head).chain(reader));
    match format {
        Format::Pcap | Format::Pcapng => {
            return match Capture::new(reader) {
                Ok(capture) => Ok(Source::Capture(capture)),
                Err(error) => Err(Failure::Usage(format!("{name}: {error}"))),
            };
        }
        Format::Raw | Format::Hex | Format::Auto => {}
    }
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).map_err(failed)?;
    let explain = |text: &str| Failure::Usage(format!("{name}: {text}"));
    if bytes.is_empty() {
        return Ok(Source::Empty);
    }
    if bytes.starts_with(&[0x1f, 0x8b]) {
        return Err(explain("is compressed; unpack it with gunzip first"));
    }
    let as_text = format == Format::Hex || (format == Format::Auto && is_text(&bytes));
    if as_text {
        return hex(&bytes).map_err(|text| explain(&text));
    }
    match Stream::cut(&bytes) {
        Some(stream) => Ok(Source::Stream(stream)),
        None => Err(explain(
            "no AJP packet begins anywhere (12 34 or 41 42); is it a capture? --format names what it is",
        )),
    }
}

fn detect(head: &[u8]) -> Format {
    match head {
        [0xa1, 0xb2, 0xc3, 0xd4, ..]
        | [0xd4, 0xc3, 0xb2, 0xa1, ..]
        | [0xa1, 0xb2, 0x3c, 0x4d, ..]
        | [0x4d, 0x3c, 0xb2, 0xa1, ..] => Format::Pcap,
        [0x0a, 0x0d, 0x0d, 0x0a, ..] => Format::Pcapng,
        _ if guess_direction(head).is_some() => Format::Raw,
        _ => Format::Auto,
    }
}

fn is_text(bytes: &[u8]) -> bool {
    let is_text = |&b: &u8| matches!(b, b'\t' | b'\r' | b'\n' | 0x20..=0x7e) || b >= 0x80;
    bytes.iter().all(is_text) && std::str::from_utf8(bytes).is_ok()
}

/// Hex text holds AJP, or whole frames as `tshark -x` prints them.
fn hex(text: &[u8]) -> Result<Source, String> {
    let blocks = hextext::blocks(&String::from_utf8_lossy(text))?;
    let is_frame = |block: &Vec<u8>| Capture::is_ethernet_tcp(block);
    if blocks.iter().any(is_frame) {
        return Ok(Source::Capture(Capture::of_ethernet(blocks)));
    }
    Stream::cut(&blocks.concat())
        .map(Source::Stream)
        .ok_or_else(|| "the hex text holds no AJP packet (12 34 or 41 42)".to_owned())
}
