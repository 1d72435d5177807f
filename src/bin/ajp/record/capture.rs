//! A capture of TCP segments, as if they had been seen on the network: pcapng with a comment on
//! each, or the older pcap.

use ajp::dump::Dump;
use ajp::wire::Direction;
use etherparse::PacketBuilder;
use std::fs::File;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Microseconds, this machine's order told by the number itself.
const MAGIC: u32 = 0xa1b2_c3d4;
/// Packets begin with their IP header.
const LINK_RAW: u16 = 101;
const SNAP: u32 = 0x4_0000;
const WINDOW: u16 = u16::MAX;
/// Longest comment on a segment, in bytes.
const MAX_COMMENT: usize = 4096;

/// Which kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Pcap,
    Pcapng,
}

/// The file.
pub(super) struct Capture {
    file: File,
    format: Format,
    bytes: u64,
    /// The first failure; nothing is written after it.
    error: Option<io::Error>,
}

impl Capture {
    /// A new file that only its owner can read; a pcap if its name says so, or else a pcapng that
    /// begins with `comment`.
    pub(super) fn create(path: &Path, comment: &str) -> io::Result<Self> {
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path)?;
        let is_old = path
            .extension()
            .is_some_and(|extension| extension == "pcap");
        let format = if is_old { Format::Pcap } else { Format::Pcapng };
        let head = match format {
            Format::Pcap => pcap_head(),
            Format::Pcapng => [section(comment), interface()].concat(),
        };
        file.write_all(&head)?;
        Ok(Self {
            file,
            format,
            bytes: 0,
            error: None,
        })
    }

    /// Bytes of AJP so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn error(&self) -> Option<&io::Error> {
        self.error.as_ref()
    }

    fn packet(&mut self, packet: &[u8], payload: usize, comment: &str) {
        if self.error.is_some() {
            return;
        }
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let len = u32::try_from(packet.len()).unwrap_or(SNAP);
        let record = match self.format {
            Format::Pcap => {
                let mut record = Vec::with_capacity(packet.len().saturating_add(16));
                let seconds = u32::try_from(now.as_secs()).unwrap_or(u32::MAX);
                record.extend(seconds.to_le_bytes());
                record.extend(now.subsec_micros().to_le_bytes());
                record.extend(len.to_le_bytes());
                record.extend(len.to_le_bytes());
                record.extend(packet);
                record
            }
            Format::Pcapng => {
                let micros = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
                // The interface, the upper half of the time and the lower one.
                let mut body = vec![0; 4];
                let (lower, upper) = (micros & 0xffff_ffff, micros >> 32);
                for half in [upper, lower] {
                    body.extend(half.to_le_bytes().iter().take(4));
                }
                body.extend(len.to_le_bytes());
                body.extend(len.to_le_bytes());
                body.extend(packet);
                pad(&mut body);
                option(&mut body, comment);
                block(6, &body)
            }
        };
        // At once: who reads the file while it grows sees whole packets.
        match self.file.write_all(&record) {
            Ok(()) => self.bytes = self.bytes.saturating_add(payload as u64),
            Err(error) => self.error = Some(error),
        }
    }
}

fn pcap_head() -> Vec<u8> {
    let mut head = Vec::new();
    head.extend(MAGIC.to_le_bytes());
    head.extend(2_u16.to_le_bytes());
    head.extend(4_u16.to_le_bytes());
    head.extend([0; 8]);
    head.extend(SNAP.to_le_bytes());
    head.extend(u32::from(LINK_RAW).to_le_bytes());
    head
}

/// A section header block of pcapng.
fn section(comment: &str) -> Vec<u8> {
    let mut body = 0x1a2b_3c4d_u32.to_le_bytes().to_vec();
    body.extend(1_u16.to_le_bytes());
    body.extend(0_u16.to_le_bytes());
    // Of unknown length.
    body.extend([0xff; 8]);
    option(&mut body, comment);
    block(0x0a0d_0d0a, &body)
}

/// An interface description block: times in microseconds, which is the default.
fn interface() -> Vec<u8> {
    let mut body = LINK_RAW.to_le_bytes().to_vec();
    body.extend([0, 0]);
    body.extend(SNAP.to_le_bytes());
    block(1, &body)
}

/// A comment, and the end of options. Nothing when there is nothing to say.
fn option(body: &mut Vec<u8>, comment: &str) {
    if comment.is_empty() {
        return;
    }
    body.extend(1_u16.to_le_bytes());
    let len = u16::try_from(comment.len()).unwrap_or(u16::MAX);
    body.extend(len.to_le_bytes());
    body.extend(comment.as_bytes().iter().take(len.into()));
    pad(body);
    body.extend([0; 4]);
}

/// Blocks and options end at a multiple of four.
fn pad(bytes: &mut Vec<u8>) {
    let len = bytes.len().next_multiple_of(4);
    bytes.resize(len, 0);
}

fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len().saturating_add(12)).unwrap_or(u32::MAX);
    let len = len.to_le_bytes();
    [&kind.to_le_bytes(), &len[..], body, &len].concat()
}

/// One end of a connection, and the number of its next byte.
#[derive(Clone, Copy)]
struct End {
    address: SocketAddr,
    next: u32,
}

/// A connection in the file.
pub(super) struct Conversation {
    web: End,
    container: End,
    /// Knows which packets the bytes are, for the comments.
    dump: Dump,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Flag {
    Syn,
    SynAck,
    Ack,
    Data,
    Fin,
}

impl Conversation {
    /// With its handshake.
    pub(super) fn begin(web: SocketAddr, container: SocketAddr, capture: &mut Capture) -> Self {
        let (web, container) = same_family(web, container);
        let end = |address| End { address, next: 1 };
        let mut new = Self {
            web: end(web),
            container: end(container),
            dump: Dump::new(),
        };
        new.segment(Direction::ToContainer, Flag::Syn, &[], "", capture);
        new.segment(Direction::ToWebServer, Flag::SynAck, &[], "", capture);
        new.segment(Direction::ToContainer, Flag::Ack, &[], "", capture);
        new
    }

    /// Bytes, or with none the end of this way.
    pub(super) fn write(&mut self, direction: Direction, bytes: &[u8], capture: &mut Capture) {
        let flag = if bytes.is_empty() {
            Flag::Fin
        } else {
            Flag::Data
        };
        let comment = self.comment(direction, bytes);
        self.segment(direction, flag, bytes, &comment, capture);
    }

    /// The packets that end in these bytes, without secrets.
    fn comment(&mut self, direction: Direction, bytes: &[u8]) -> String {
        let records = self.dump.feed(direction, bytes);
        let mut lines = Vec::new();
        for record in records {
            lines.push(record.to_string());
        }
        let mut comment = lines.join("\n");
        let mut end = comment.len().min(MAX_COMMENT);
        while !comment.is_char_boundary(end) {
            end = end.saturating_sub(1);
        }
        comment.truncate(end);
        comment
    }

    fn segment(
        &mut self,
        direction: Direction,
        flag: Flag,
        bytes: &[u8],
        comment: &str,
        capture: &mut Capture,
    ) {
        let (from, to) = match direction {
            Direction::ToContainer => (&mut self.web, &self.container),
            Direction::ToWebServer => (&mut self.container, &self.web),
        };
        let builder = match (from.address.ip(), to.address.ip()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => PacketBuilder::ipv4(a.octets(), b.octets(), 64),
            (a, b) => {
                let octets = |ip: IpAddr| match ip {
                    IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
                    IpAddr::V6(ip) => ip.octets(),
                };
                PacketBuilder::ipv6(octets(a), octets(b), 64)
            }
        };
        let (number, takes) = match flag {
            // The numbers begin with the byte after it.
            Flag::Syn | Flag::SynAck => (0, 0),
            Flag::Ack => (from.next, 0),
            Flag::Data => (from.next, u32::try_from(bytes.len()).unwrap_or(0)),
            Flag::Fin => (from.next, 1),
        };
        let builder = builder.tcp(from.address.port(), to.address.port(), number, WINDOW);
        let builder = match flag {
            Flag::Syn => builder.syn(),
            Flag::SynAck => builder.syn().ack(to.next),
            Flag::Ack => builder.ack(to.next),
            Flag::Data => builder.psh().ack(to.next),
            Flag::Fin => builder.fin().ack(to.next),
        };
        from.next = from.next.wrapping_add(takes);
        let mut packet = Vec::with_capacity(builder.size(bytes.len()));
        match builder.write(&mut packet, bytes) {
            Ok(()) => capture.packet(&packet, bytes.len(), comment),
            Err(error) => capture.error = Some(io::Error::other(error.to_string())),
        }
    }
}

/// Both as IPv6 if one of them is.
fn same_family(one: SocketAddr, other: SocketAddr) -> (SocketAddr, SocketAddr) {
    if one.is_ipv4() == other.is_ipv4() {
        return (one, other);
    }
    let six = |address: SocketAddr| match address {
        SocketAddr::V4(v4) => SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port()),
        SocketAddr::V6(_) => address,
    };
    (six(one), six(other))
}
