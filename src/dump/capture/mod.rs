//! Captures of network tools: AJP conversations out of pcap and pcapng files.
//!
//! [`Capture`] takes the file, puts the segments of each TCP connection in order, finds out which
//! connections speak AJP, and gives their packets in the order of the capture. What was not captured
//! is told and skipped.
//!
//! ```no_run
//! use ajp::dump::capture::{Capture, Event};
//!
//! let file = std::io::BufReader::new(std::fs::File::open("ajp.pcap")?);
//! for event in Capture::new(file)?.with_ports(&[8009]) {
//!     match event {
//!         Event::Connection { number, web_server, container, .. } => {
//!             println!("#{number}: {web_server} to {container}");
//!         }
//!         Event::Packet { number, record } => println!("#{number} {record}"),
//!         other => println!("{other:?}"),
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Frames from anywhere else, such as a socket of a sniffer, are put together in the same way:
//!
//! ```
//! use ajp::dump::capture::{Capture, Event};
//! use ajp::wire::CPING;
//! use etherparse::PacketBuilder;
//!
//! let frame = |from, to, sequence, is_first: bool, data: &[u8]| {
//!     let builder = PacketBuilder::ethernet2([1; 6], [2; 6])
//!         .ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
//!         .tcp(from, to, sequence, 1024);
//!     let builder = if is_first { builder.syn() } else { builder };
//!     let mut frame = Vec::new();
//!     builder.write(&mut frame, data).map(|()| frame)
//! };
//! let frames = vec![
//!     frame(40000, 8009, 99, true, &[])?,
//!     // CPing in two segments, of which the second was captured first.
//!     frame(40000, 8009, 102, false, &CPING[2..])?,
//!     frame(40000, 8009, 100, false, &CPING[..2])?,
//! ];
//! let packets: Vec<String> = Capture::of_ethernet(frames)
//!     .with_ports(&[8009])
//!     .filter_map(|event| match event {
//!         Event::Packet { record, .. } => Some(record.to_string()),
//!         _ => None,
//!     })
//!     .collect();
//! assert_eq!(packets, ["> 0        5      CPing"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Layers
//!
//! - `pcap`: frames out of files.
//! - `segment`: TCP segments out of frames: Ethernet, loopback, raw IP and Linux cooked.
//! - `reassembly`: segments to streams, and what is missing in them.
//! - `connections`: which streams are AJP, and their packets.

mod connections;
mod pcap;
mod reassembly;
mod segment;

use super::Record;
use connections::Connections;
use pcap::Frame;
use std::collections::VecDeque;
use std::fmt;
use std::io::Read;
use std::net::SocketAddr;
use std::time::Duration;

/// What was found in a capture, in its order.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// A connection that speaks AJP.
    Connection {
        /// From 1, in the order in which they were found.
        number: u32,
        /// The end that opened it.
        web_server: SocketAddr,
        /// The other end.
        container: SocketAddr,
        /// Whether its first byte was captured.
        from_start: bool,
    },
    /// A packet of a connection.
    Packet {
        /// Which connection.
        number: u32,
        /// The packet, with the time since the first frame of the capture.
        record: Record,
    },
    /// A connection was closed or reset.
    Closed {
        /// Which connection.
        number: u32,
        /// Since the first frame of the capture.
        time: Option<Duration>,
        /// Who did what, in words.
        text: String,
    },
    /// Something is wrong with the capture, and what follows may lack a part. In words.
    Problem(String),
}

/// A file that is no capture.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CaptureError(String);

/// The AJP conversations of a capture, as an iterator of [`Event`]s.
///
/// It reads as it goes, so a capture may still be growing: `tcpdump -U -w -` through a pipe. Memory is
/// bounded: at most 256 KiB of each connection are kept until it is known whether it is AJP, and 1 MiB
/// behind a gap.
pub struct Capture {
    frames: Box<dyn Iterator<Item = Result<Frame, String>>>,
    connections: Option<Connections>,
    events: VecDeque<Event>,
}

impl fmt::Debug for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Capture").finish_non_exhaustive()
    }
}

impl Capture {
    /// Reads a pcap or pcapng file, told apart by its first bytes. Give it a buffered reader.
    ///
    /// # Errors
    /// When it is neither.
    pub fn new(mut reader: impl Read + 'static) -> Result<Self, CaptureError> {
        let mut first = [0; 4];
        reader.read_exact(&mut first).map_err(|error| {
            let why = if error.kind() == std::io::ErrorKind::UnexpectedEof {
                "it is shorter than the four bytes that one begins with".to_owned()
            } else {
                error.to_string()
            };
            CaptureError(format!("is no capture: {why}"))
        })?;
        let is_ng = first == [0x0a, 0x0d, 0x0d, 0x0a];
        let frames = pcap::frames(std::io::Cursor::new(first).chain(reader), is_ng);
        frames.map(Self::of).map_err(CaptureError)
    }

    /// Ethernet frames without times, as they are in a hex dump.
    pub fn of_ethernet(frames: impl IntoIterator<Item = Vec<u8>, IntoIter: 'static>) -> Self {
        let frames = frames.into_iter().map(|data| Ok(Frame::without_time(data)));
        Self::of(Box::new(frames))
    }

    fn of(frames: Box<dyn Iterator<Item = Result<Frame, String>>>) -> Self {
        Self {
            frames,
            connections: Some(Connections::new(&[])),
            events: VecDeque::new(),
        }
    }

    /// Only connections of these ports, which are AJP whatever they look like. Default: every
    /// connection on which an AJP packet is seen.
    #[must_use]
    pub fn with_ports(mut self, ports: &[u16]) -> Self {
        self.connections = Some(Connections::new(ports));
        self
    }

    /// Whether bytes are an Ethernet frame with TCP in it.
    #[must_use]
    pub fn is_ethernet_tcp(frame: &[u8]) -> bool {
        segment::of_ethernet(frame).is_some()
    }
}

impl Iterator for Capture {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            let connections = self.connections.as_mut()?;
            match self.frames.next() {
                Some(Ok(frame)) => connections.frame(&frame, &mut self.events),
                end => {
                    if let Some(Err(text)) = end {
                        self.events.push_back(Event::Problem(text));
                    }
                    let connections = self.connections.take()?;
                    connections.finish(&mut self.events);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_capture_is_told() {
        for bytes in [&b""[..], b"GET", b"not a capture at all, but text"] {
            let error = Capture::new(bytes).unwrap_err();
            assert!(error.to_string().starts_with("is no "), "{error}");
        }
    }

    #[test]
    fn a_frame_of_a_hex_dump() {
        // Ethernet, IPv4 and TCP to port 8009, and in it CPing.
        let mut frame = vec![0; 12];
        frame.extend([
            8, 0, 0x45, 0, 0, 45, 0, 0, 0, 0, 64, 6, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1,
        ]);
        frame.extend([
            0x9c, 0x40, 0x1f, 0x49, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x18, 0xff, 0xff, 0, 0, 0, 0,
        ]);
        frame.extend(crate::wire::CPING);
        assert!(Capture::is_ethernet_tcp(&frame));
        let events: Vec<_> = Capture::of_ethernet([frame]).collect();
        let [
            Event::Connection {
                container,
                from_start,
                ..
            },
            Event::Packet { record, .. },
        ] = &events[..]
        else {
            panic!("{events:?}");
        };
        assert_eq!((container.port(), *from_start), (8009, false));
        assert!(record.to_string().ends_with("CPing"), "{record}");
    }
}
