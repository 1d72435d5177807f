//! A capture file: raw IPv4, one TCP stream per conversation.

use std::io::Write as _;

/// The port of the container in every stream.
pub const PORT: u16 = 8009;

const RAW_IP: u32 = 101;
/// What an IPv4 packet holds besides 40 bytes of headers, and less.
pub const MOST: usize = 60_000;

const SYN: u8 = 0x02;
const ACK: u8 = 0x10;
const PUSH: u8 = 0x08;
const FIN: u8 = 0x01;

/// A capture file in memory.
pub struct Pcap {
    file: Vec<u8>,
    frames: usize,
}

/// One TCP connection of a [`Pcap`]; both sides have a sequence number.
pub struct Stream {
    client_port: u16,
    next: [u32; 2],
}

/// Who sends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The web server, from a port of its own.
    Client,
    /// The container, from [`PORT`].
    Server,
}

impl Pcap {
    /// No packets yet.
    pub fn new() -> Self {
        let mut file = 0xa1b2_c3d4u32.to_le_bytes().to_vec();
        for half in [2u16, 4] {
            file.extend(half.to_le_bytes());
        }
        for word in [0, 0, 0xffff, RAW_IP] {
            file.extend(u32::to_le_bytes(word));
        }
        Self { file, frames: 0 }
    }

    /// How many packets it holds.
    pub fn frames(&self) -> usize {
        self.frames
    }

    /// A connection from `client_port`, with its handshake.
    pub fn connect(&mut self, client_port: u16, sequence: [u32; 2]) -> Stream {
        let mut stream = Stream {
            client_port,
            next: sequence,
        };
        self.segment(&mut stream, Side::Client, SYN, &[]);
        self.segment(&mut stream, Side::Server, SYN | ACK, &[]);
        self.segment(&mut stream, Side::Client, ACK, &[]);
        stream
    }

    /// One segment with data, at most [`MOST`] bytes.
    pub fn data(&mut self, stream: &mut Stream, side: Side, data: &[u8]) {
        assert!((1..=MOST).contains(&data.len()));
        self.segment(stream, side, PUSH | ACK, data);
    }

    /// Both sides close.
    pub fn close(&mut self, mut stream: Stream) {
        self.segment(&mut stream, Side::Client, FIN | ACK, &[]);
        self.segment(&mut stream, Side::Server, FIN | ACK, &[]);
        self.segment(&mut stream, Side::Client, ACK, &[]);
    }

    /// Writes the file.
    pub fn save(&self, path: &std::path::Path) {
        let mut file = std::fs::File::create(path).unwrap();
        file.write_all(&self.file).unwrap();
    }

    fn segment(&mut self, stream: &mut Stream, side: Side, flags: u8, data: &[u8]) {
        let (own, other, ports, addresses) = match side {
            Side::Client => (
                0,
                1,
                [stream.client_port, PORT],
                [[127, 0, 0, 1], [127, 0, 0, 2]],
            ),
            Side::Server => (
                1,
                0,
                [PORT, stream.client_port],
                [[127, 0, 0, 2], [127, 0, 0, 1]],
            ),
        };
        let mut packet = vec![0x45, 0];
        packet.extend((data.len() as u16 + 40).to_be_bytes());
        packet.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
        packet.extend(addresses.concat());
        let sum = checksum(&packet, 0);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        for port in ports {
            packet.extend(port.to_be_bytes());
        }
        packet.extend(stream.next[own].to_be_bytes());
        let ack = if flags & ACK == 0 {
            0
        } else {
            stream.next[other]
        };
        packet.extend(ack.to_be_bytes());
        packet.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
        packet.extend(data);
        let pseudo = 6 + (data.len() + 20) as u32 + sum_words(&addresses.concat());
        let sum = checksum(&packet[20..], pseudo);
        packet[36..38].copy_from_slice(&sum.to_be_bytes());
        stream.next[own] = stream.next[own]
            .wrapping_add(data.len() as u32)
            .wrapping_add(u32::from(flags & (SYN | FIN) != 0));

        let time = self.frames as u32;
        for word in [
            time / 1000,
            time % 1000 * 1000,
            packet.len() as u32,
            packet.len() as u32,
        ] {
            self.file.extend(word.to_le_bytes());
        }
        self.file.extend(packet);
        self.frames += 1;
    }
}

fn sum_words(bytes: &[u8]) -> u32 {
    bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0)))
        .sum()
}

/// The checksum of IPv4 and TCP.
fn checksum(bytes: &[u8], start: u32) -> u16 {
    let mut sum = sum_words(bytes) + start;
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
