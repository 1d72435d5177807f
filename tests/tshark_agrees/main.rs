//! Wireshark's AJP dissector reads every packet as the library does: the recorded
//! connections, and 2,000 random conversations cut into TCP segments at random.
//!
//! The dissector has limits. What it will do at each of them is predicted from a model of its
//! state, counted and asserted; nothing else may differ. The last tests show each limit alone,
//! so that a better tshark is noticed.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    missing_docs,
    reason = "in a test a panic is the report, and no length comes from a stranger"
)]

mod conversation;
mod fields;
#[path = "../packets/mod.rs"]
mod packets;
#[path = "../support/mod.rs"]
mod support;

use ajp::wire::{
    CPING, Direction, END_RESPONSE_REUSE, PacketSize, get_body_chunk, method_name, split_packet,
    write_body_chunk,
};
use bytes::{Bytes, BytesMut};
use fields::Compared;
use packets::observer::{Observer, Packet};
use serde_json::Value;
use std::collections::BTreeMap;
use support::pcap::{MOST, Pcap, Side, Stream};
use support::random::Random;
use support::tshark;

/// Recorded connections with packets that tshark cannot read at all.
const TOO_LARGE: [&str; 5] = [
    "httpd/packet65536-get",
    "httpd/packet65536-post",
    "jk/packet65536-get",
    "jk/packet65536-post",
    "jk/packet65536-post-chunked",
];

/// A connection on its way into the capture file, and what the library read in it.
struct Connection {
    name: String,
    stream: Stream,
    observer: Observer,
    size: PacketSize,
    buffers: [BytesMut; 2],
    /// The number of each frame, and the packets that end in it.
    frames: Vec<(usize, Vec<(Bytes, Packet)>)>,
}

impl Connection {
    fn new(name: String, pcap: &mut Pcap, port: u16, sequence: [u32; 2], size: PacketSize) -> Self {
        Self {
            name,
            stream: pcap.connect(port, sequence),
            observer: Observer::new(size),
            size,
            buffers: [BytesMut::new(), BytesMut::new()],
            frames: Vec::new(),
        }
    }

    fn segment(&mut self, pcap: &mut Pcap, side: Side, data: &[u8]) {
        let frame = pcap.frames();
        pcap.data(&mut self.stream, side, data);
        let (buffer, direction) = match side {
            Side::Client => (&mut self.buffers[0], Direction::ToContainer),
            Side::Server => (&mut self.buffers[1], Direction::ToWebServer),
        };
        buffer.extend_from_slice(data);
        let mut packets = Vec::new();
        while let Some(payload) = split_packet(buffer, direction, self.size).unwrap() {
            let packet = match side {
                Side::Client => self.observer.web_server_sent(&payload),
                Side::Server => self.observer.container_sent(&payload),
            };
            packets.push((payload, packet));
        }
        self.frames.push((frame, packets));
    }

    fn close(self, pcap: &mut Pcap) -> Read {
        assert!(self.buffers.iter().all(BytesMut::is_empty), "{}", self.name);
        pcap.close(self.stream);
        Read {
            name: self.name,
            frames: self.frames,
        }
    }
}

/// What the library read in one connection.
struct Read {
    name: String,
    frames: Vec<(usize, Vec<(Bytes, Packet)>)>,
}

/// Where tshark goes wrong, and knowably so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Limit {
    /// A body packet is read as a message: its length was not announced by a coded name, or the
    /// request ends in the same segment.
    BodyAsMessage,
    /// A message is read as a body packet, because tshark still expects some of an earlier body.
    MessageAsBody,
}

/// tshark's idea of a connection: so much request body is still to come.
#[derive(Default)]
struct Model {
    left: i64,
}

impl Model {
    /// Compares one connection frame by frame.
    fn follow(
        read: &Read,
        theirs: &[Vec<tshark::Packet>],
        compared: &mut Compared,
        limits: &mut BTreeMap<Limit, Vec<String>>,
    ) {
        let mut model = Self::default();
        for (frame, packets) in &read.frames {
            let found = &theirs[*frame];
            assert_eq!(
                found.len(),
                packets.len(),
                "{}: packets in frame {frame}",
                read.name
            );
            // Decided once for all packets of a frame.
            let as_body = model.left != 0;
            for ((payload, packet), found) in packets.iter().zip(found) {
                match model.limit(as_body, payload, packet, found) {
                    Some(limit) => limits.entry(limit).or_default().push(read.name.clone()),
                    None => fields::compare(packet, payload, found, compared),
                }
            }
        }
    }

    fn limit(
        &mut self,
        as_body: bool,
        payload: &Bytes,
        packet: &Packet,
        found: &tshark::Packet,
    ) -> Option<Limit> {
        let is_body = match packet {
            Packet::CPing | Packet::Request(_) => false,
            Packet::Body(_) => true,
            Packet::Ask(requested) => {
                // Whatever was left before.
                self.left = i64::from(*requested);
                return None;
            }
            _ => return None,
        };
        if as_body {
            match payload.first_chunk() {
                Some(n) if *n != [0, 0] => self.left -= i64::from(u16::from_be_bytes(*n)),
                // One byte gives it nothing to read.
                None if payload.len() == 1 => {}
                _ => self.left = 0,
            }
            assert!(found.field("code").is_none(), "{packet:?}: {found:?}");
        } else if let Packet::Request(request) = packet {
            let coded = request.headers().find(|header| header.code == Some(8));
            self.left = coded.map_or(0, |header| packets::text(header.value).parse().unwrap());
        }
        match (as_body, is_body) {
            (false, true) => {
                let code = found.field("code").map(|field| field.bytes.clone());
                assert_eq!(
                    code,
                    payload.first().map(|b| vec![*b]),
                    "{packet:?} {found:?}"
                );
                Some(Limit::BodyAsMessage)
            }
            (true, false) => Some(Limit::MessageAsBody),
            _ => None,
        }
    }
}

fn compare_all(all: &[Read], pcap: &Pcap) -> (Compared, BTreeMap<Limit, Vec<String>>) {
    let theirs = tshark::dissect(pcap);
    let mut compared = Compared::default();
    let mut limits = BTreeMap::new();
    for read in all {
        Model::follow(read, &theirs, &mut compared, &mut limits);
    }
    let expected: usize = all
        .iter()
        .flat_map(|read| &read.frames)
        .map(|(_, p)| p.len())
        .sum();
    let found: usize = theirs.iter().map(Vec::len).sum();
    assert_eq!(found, expected, "tshark saw packets in other frames");
    assert_eq!(
        compared.packets + limits.values().map(Vec::len).sum::<usize>(),
        expected
    );
    (compared, limits)
}

#[test]
fn two_thousand_random_conversations() {
    let mut random = Random::new(0x1234_4142);
    let mut pcap = Pcap::new();
    let mut all = Vec::new();
    for n in 0..2_000 {
        let sequence = [random.next() as u32, random.next() as u32];
        let name = format!("conversation {n}");
        let mut connection =
            Connection::new(name, &mut pcap, 20_000 + n, sequence, PacketSize::DEFAULT);
        for run in conversation::conversation(&mut random) {
            for segment in run.segments(&mut random) {
                connection.segment(&mut pcap, run.side, segment);
            }
        }
        all.push(connection.close(&mut pcap));
    }
    let several = all
        .iter()
        .flat_map(|read| &read.frames)
        .filter(|(_, p)| p.len() > 1)
        .count();
    let none = all
        .iter()
        .flat_map(|read| &read.frames)
        .filter(|(_, p)| p.is_empty())
        .count();
    let (compared, limits) = compare_all(&all, &pcap);
    assert_eq!(limits, BTreeMap::new());
    assert!(several > 4_000 && none > 20_000, "{several} {none}");
    let expected = Compared {
        packets: 25_953,
        fields: 171_624,
        headers: 29_835,
        shown: 125_480,
    };
    assert_eq!(compared, expected);
}

#[test]
fn every_recorded_connection() {
    let mut pcap = Pcap::new();
    let mut all = Vec::new();
    let mut too_large = Vec::new();
    for case in packets::load("captures/manifest.json") {
        let size = PacketSize::new(case["packet_size"].as_u64().unwrap() as u32).unwrap();
        let name = format!(
            "{}/{}",
            case["peer"].as_str().unwrap(),
            case["case"].as_str().unwrap()
        );
        for entry in case["connections"].as_array().unwrap() {
            let largest = |side: &str| entry["decoded"]["largest_packet"][side].as_u64().unwrap();
            if largest(">").max(largest("<")) == 65_536 {
                too_large.push(name.clone());
                continue;
            }
            let port = 20_000 + all.len() as u16;
            let mut connection = Connection::new(name.clone(), &mut pcap, port, [1, 1], size);
            recorded(entry, &mut connection, &mut pcap);
            all.push(connection.close(&mut pcap));
        }
    }
    let (compared, limits) = compare_all(&all, &pcap);
    let expected = Compared {
        packets: 1_813,
        fields: 12_888,
        headers: 2_308,
        shown: 10_281,
    };
    assert_eq!(compared, expected);
    // The web server went on to the next request without a body that was announced.
    let lost = ["httpd/early-then-next"; 2]
        .into_iter()
        .chain(["jk/early-then-next"; 2]);
    let lost = lost.map(str::to_owned).collect();
    assert_eq!(limits, BTreeMap::from([(Limit::MessageAsBody, lost)]));
    assert_eq!(too_large, TOO_LARGE);
    assert_eq!(all.len(), 225 - TOO_LARGE.len());
}

/// One segment for each packet of the web server and for each step of the container.
fn recorded(entry: &Value, connection: &mut Connection, pcap: &mut Pcap) {
    let read = |key: &str| {
        let path = format!("captures/{}", entry[key].as_str().unwrap());
        std::fs::read(packets::fixture(&path)).unwrap()
    };
    let (requests, responses) = (read("request"), read("response"));
    let (mut requests, mut responses) = (&requests[..], &responses[..]);
    for step in entry["timeline"].as_array().unwrap() {
        let len = step[1].as_u64().unwrap() as usize;
        if step[0] == "<" {
            let (data, rest) = responses.split_at(len);
            responses = rest;
            for segment in data.chunks(MOST) {
                connection.segment(pcap, Side::Server, segment);
            }
            continue;
        }
        let (mut data, rest) = requests.split_at(len);
        requests = rest;
        while let [_, _, high, low, ..] = *data {
            let len = usize::from(u16::from_be_bytes([high, low])) + 4;
            let (packet, rest) = data.split_at(len);
            connection.segment(pcap, Side::Client, packet);
            data = rest;
        }
    }
}

/// One connection with a segment for each element, compared up to the limits it shows.
fn limits_of(segments: &[(Side, Vec<u8>)]) -> Vec<(Limit, usize)> {
    let mut pcap = Pcap::new();
    let mut connection = Connection::new(
        "limit".to_owned(),
        &mut pcap,
        20_000,
        [1, 1],
        PacketSize::DEFAULT,
    );
    for (side, segment) in segments {
        connection.segment(&mut pcap, *side, segment);
    }
    let read = connection.close(&mut pcap);
    let (_, limits) = compare_all(&[read], &pcap);
    limits
        .into_iter()
        .map(|(limit, names)| (limit, names.len()))
        .collect()
}

fn request(headers: &[(&[u8], &str)]) -> Vec<u8> {
    let string = |text: &[u8]| [&(text.len() as u16).to_be_bytes(), text, &[0]].concat();
    let mut payload = vec![2, 4];
    for text in ["HTTP/1.1", "/", "::1", "a", "a"] {
        payload.extend(string(text.as_bytes()));
    }
    payload.extend([0, 80, 0]);
    payload.extend((headers.len() as u16).to_be_bytes());
    for (name, value) in headers {
        payload.extend(*name);
        payload.extend(string(value.as_bytes()));
    }
    payload.push(0xff);
    [
        &[0x12, 0x34],
        &(payload.len() as u16).to_be_bytes()[..],
        &payload,
    ]
    .concat()
}

const CODED: &[u8] = &[0xa0, 8];
const SPELLED_OUT: &[u8] = b"\0\x0econtent-length\0";
const BODY: [u8; 9] = *b"\x12\x34\0\x05\0\x03abc";

fn answer() -> Vec<u8> {
    let head = b"AB\0\x08\x04\0\xc8\0\0\0\0\0";
    [&head[..], &END_RESPONSE_REUSE].concat()
}

fn ask() -> Vec<u8> {
    get_body_chunk(8186).to_vec()
}

#[test]
fn limit_a_spelled_out_content_length_announces_nothing() {
    let with = |name| {
        [
            (Side::Client, request(&[(name, "3")])),
            (Side::Client, BODY.to_vec()),
        ]
    };
    assert_eq!(limits_of(&with(CODED)), []);
    assert_eq!(limits_of(&with(SPELLED_OUT)), [(Limit::BodyAsMessage, 1)]);
}

#[test]
fn limit_a_body_in_the_segment_of_its_request() {
    let together = [request(&[(CODED, "3")]), BODY.to_vec()].concat();
    assert_eq!(
        limits_of(&[(Side::Client, together)]),
        [(Limit::BodyAsMessage, 1)]
    );
}

#[test]
fn limit_as_much_body_is_expected_as_was_asked_for() {
    let conversation = [
        (Side::Client, request(&[(CODED, "6")])),
        (Side::Client, BODY.to_vec()),
        (Side::Server, ask()),
        (Side::Client, BODY.to_vec()),
        (Side::Server, answer()),
        (Side::Client, CPING.to_vec()),
    ];
    assert_eq!(limits_of(&conversation[..5]), []);
    assert_eq!(limits_of(&conversation), [(Limit::MessageAsBody, 1)]);
}

#[test]
fn limit_method_codes_above_21_have_no_name() {
    let mut pcap = Pcap::new();
    let mut stream = pcap.connect(20_000, [1, 1]);
    for code in 1..=27 {
        let mut packet = request(&[]);
        packet[5] = code;
        pcap.data(&mut stream, Side::Client, &packet);
    }
    let found: Vec<String> = tshark::dissect(&pcap)
        .iter()
        .flatten()
        .map(|packet| packets::text(&packet.field("method").unwrap().label).to_owned())
        .collect();
    let expected = (1..=27).map(|code| {
        let name = method_name(code).filter(|_| code <= 21);
        format!("Method: {} ({code})", name.unwrap_or("Unknown"))
    });
    assert_eq!(found, expected.collect::<Vec<_>>());
}

/// The length of a packet is kept in 16 bits.
#[test]
fn limit_a_packet_of_65536_bytes() {
    for (len, readable) in [(65_535, true), (65_536, false)] {
        let mut packet = BytesMut::new();
        write_body_chunk(&mut packet, &vec![b'a'; len - 8], PacketSize::MAX).unwrap();
        assert_eq!(packet.len(), len);
        let mut pcap = Pcap::new();
        let mut stream = pcap.connect(20_000, [1, 1]);
        for segment in packet.chunks(MOST) {
            pcap.data(&mut stream, Side::Server, segment);
        }
        let frames = tshark::dissect(&pcap);
        let data = frames
            .iter()
            .flatten()
            .find_map(|packet| packet.field("data"));
        assert_eq!(
            data.map(|field| field.bytes.len()),
            readable.then_some(len - 7)
        );
    }
}
