//! TCP segments out of frames.

use etherparse::{EtherType, LaxNetSlice, LaxSlicedPacket, TransportSlice};
use std::net::{IpAddr, SocketAddr};

pub(super) const ETHERNET: u32 = 1;

/// What a frame holds for us.
pub(super) enum FrameContent<'a> {
    Tcp(Segment<'a>),
    /// A part of an IP packet.
    Fragment,
    /// Something else, or too little of it.
    Other,
    /// Frames of this kind cannot be read.
    UnknownLink,
}

/// One TCP segment.
#[allow(
    clippy::struct_excessive_bools,
    reason = "independent flags of the protocol"
)]
pub(super) struct Segment<'a> {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) sequence: u32,
    pub(super) ack: Option<u32>,
    pub(super) syn: bool,
    pub(super) fin: bool,
    pub(super) rst: bool,
    pub(super) data: &'a [u8],
}

/// Takes a frame of a pcap link type apart.
pub(super) fn parse(link: u32, data: &[u8]) -> FrameContent<'_> {
    let packet = match link {
        // BSD loopback: the family, in the byte order of the host. The IP version says it too.
        0 | 108 => ip(data.get(4..)),
        ETHERNET => LaxSlicedPacket::from_ethernet(data).ok(),
        12 | 14 | 101 | 228 | 229 => ip(Some(data)),
        // Linux cooked, version 1 and 2.
        113 => cooked(data, 14, 16),
        276 => cooked(data, 0, 20),
        _ => return FrameContent::UnknownLink,
    };
    packet.map_or(FrameContent::Other, tcp)
}

/// The segment in an Ethernet frame, if there is one.
pub(super) fn of_ethernet(data: &[u8]) -> Option<Segment<'_>> {
    match parse(ETHERNET, data) {
        FrameContent::Tcp(segment) => Some(segment),
        _ => None,
    }
}

fn ip(data: Option<&[u8]>) -> Option<LaxSlicedPacket<'_>> {
    LaxSlicedPacket::from_ip(data?).ok()
}

fn cooked(data: &[u8], protocol: usize, payload: usize) -> Option<LaxSlicedPacket<'_>> {
    let protocol = data.get(protocol..)?.first_chunk::<2>()?;
    let kind = EtherType(u16::from_be_bytes(*protocol));
    Some(LaxSlicedPacket::from_ether_type(kind, data.get(payload..)?))
}

fn tcp(packet: LaxSlicedPacket<'_>) -> FrameContent<'_> {
    let (from, to) = match &packet.net {
        Some(LaxNetSlice::Ipv4(v4)) => (
            IpAddr::V4(v4.header().source_addr()),
            IpAddr::V4(v4.header().destination_addr()),
        ),
        Some(LaxNetSlice::Ipv6(v6)) => (
            IpAddr::V6(v6.header().source_addr()),
            IpAddr::V6(v6.header().destination_addr()),
        ),
        _ => return FrameContent::Other,
    };
    match packet.transport {
        Some(TransportSlice::Tcp(tcp)) => {
            let header = tcp.to_header();
            FrameContent::Tcp(Segment {
                from: SocketAddr::new(from, header.source_port),
                to: SocketAddr::new(to, header.destination_port),
                sequence: header.sequence_number,
                ack: header.ack.then_some(header.acknowledgment_number),
                syn: header.syn,
                fin: header.fin,
                rst: header.rst,
                data: tcp.payload(),
            })
        }
        _ if packet
            .ip_payload()
            .is_some_and(|payload| payload.fragmented) =>
        {
            FrameContent::Fragment
        }
        _ => FrameContent::Other,
    }
}
