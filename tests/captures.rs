//! 225 recorded connections between httpd or `mod_jk` and Tomcat, decoded completely through
//! `ajp::proto`. Both state machines follow each conversation in the recorded order and agree
//! with what the two programs did; what was decoded equals the manifest, which an independent
//! program wrote; every packet is written again with the crate's writers and compared.
//!
//! Nothing is skipped: the totals of files, connections and packets are asserted, and every
//! conversation that stops early is listed here with the state it stopped in.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    missing_docs,
    reason = "in a test a panic is the report, and no length comes from a stranger"
)]

mod packets;

use ajp::proto::Progress::{self, RequestSent, Responding};
use ajp::wire::{Attribute, BodyPacket, Direction, ForwardRequest, PacketSize, SendHeaders};
use bytes::{Buf, Bytes};
use packets::observer::{Observer, Packet};
use packets::rewrite::{self, Reason};
use packets::{fixture, load, sha256, text};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The web server dealt with these requests itself.
const WITHOUT_FILES: [&str; 7] = [
    "httpd/get-encoded-slash",
    "httpd/get-too-big",
    "httpd/options-star",
    "jk/get-encoded-slash",
    "jk/get-too-big",
    "jk/options-star",
    "jk/trace",
];

/// Conversations without End Response, in manifest order: on how many connections, how far the
/// exchange got, and how many response bytes Content-Length still promised.
#[rustfmt::skip]
const UNFINISHED: [(&str, usize, Progress, Option<u64>); 20] = [
    ("httpd/client-abort",        1, Responding,  None),
    ("httpd/client-abort-big",    1, Responding,  Some(188_000)),
    ("httpd/headers-too-many",    1, RequestSent, None),
    ("httpd/abort",               1, Responding,  None),
    ("httpd/abort-length",        1, Responding,  Some(4_000)),
    ("httpd/abort-big",           1, Responding,  Some(40_000)),
    ("httpd/abort-then-next",     1, Responding,  Some(4_000)),
    ("httpd/response-timeout",    1, RequestSent, None),
    ("httpd/abort-closed",        1, Responding,  None),
    ("httpd/abort-closed-length", 1, Responding,  Some(4_000)),
    ("jk/client-abort",           1, Responding,  None),
    ("jk/client-abort-big",       1, Responding,  Some(16_000)),
    ("jk/headers-too-many",       2, RequestSent, None),
    ("jk/abort",                  2, Responding,  None),
    ("jk/abort-length",           2, Responding,  Some(4_000)),
    ("jk/abort-big",              2, Responding,  Some(40_000)),
    ("jk/abort-then-next",        2, Responding,  Some(4_000)),
    ("jk/response-timeout",       1, RequestSent, None),
    ("jk/abort-closed",           2, Responding,  None),
    ("jk/abort-closed-length",    2, Responding,  Some(4_000)),
];

/// What the crate writes in another form than the peers did, and how often.
const REWRITTEN: [(&str, Reason, usize); 5] = [
    ("httpd", Reason::MethodHasCode, 2),
    ("httpd", Reason::StoredMethodEarly, 2),
    ("jk", Reason::EndFormB, 24),
    ("jk", Reason::NameHasCode, 9),
    ("jk", Reason::StoredMethodEarly, 2),
];

/// One recorded connection.
struct Connection {
    name: String,
    size: PacketSize,
    to_container: Vec<u8>,
    to_web_server: Vec<u8>,
    entry: Value,
}

/// What came out of one connection, in the recorded order.
struct Decoded {
    packets: Vec<(Direction, Bytes, Packet)>,
    observer: Observer,
}

fn connections() -> Vec<Connection> {
    let mut all = Vec::new();
    for case in load("captures/manifest.json") {
        let size = case["packet_size"].as_u64().unwrap();
        for entry in case["connections"].as_array().unwrap() {
            let read = |key: &str| {
                let path = format!("captures/{}", entry[key].as_str().unwrap());
                std::fs::read(fixture(&path)).unwrap()
            };
            all.push(Connection {
                name: case_name(&case),
                size: PacketSize::new(size as u32).unwrap(),
                to_container: read("request"),
                to_web_server: read("response"),
                entry: entry.clone(),
            });
        }
    }
    assert_eq!(all.len(), 225);
    all
}

fn case_name(case: &Value) -> String {
    let part = |key: &str| case[key].as_str().unwrap();
    format!("{}/{}", part("peer"), part("case"))
}

/// Feeds both machines step by step as the bytes arrived. A step ends between packets.
fn decode(connection: &Connection) -> Decoded {
    let mut observer = Observer::new(connection.size);
    let mut packets = Vec::new();
    let mut to_container = &connection.to_container[..];
    let mut to_web_server = &connection.to_web_server[..];
    for step in connection.entry["timeline"].as_array().unwrap() {
        let len = step[1].as_u64().unwrap() as usize;
        let (direction, bytes) = match step[0].as_str() {
            Some(">") => (Direction::ToContainer, to_container.copy_to_bytes(len)),
            _ => (Direction::ToWebServer, to_web_server.copy_to_bytes(len)),
        };
        for payload in packets::split(&bytes, direction, connection.size, len).unwrap() {
            let packet = match direction {
                Direction::ToContainer => observer.web_server_sent(&payload),
                Direction::ToWebServer => observer.container_sent(&payload),
            };
            packets.push((direction, payload, packet));
        }
    }
    assert!(to_container.is_empty() && to_web_server.is_empty());
    Decoded { packets, observer }
}

fn kind(packet: &Packet) -> &'static str {
    match packet {
        Packet::CPing => "CPING",
        Packet::Request(_) => "FORWARD_REQUEST",
        Packet::Body(_) => "DATA",
        Packet::CPong => "CPONG",
        Packet::Head(_) => "SEND_HEADERS",
        Packet::Chunk(_) => "SEND_BODY_CHUNK",
        Packet::Ask(_) => "GET_BODY_CHUNK",
        Packet::End { .. } => "END_RESPONSE",
    }
}

fn arrow(direction: Direction) -> &'static str {
    match direction {
        Direction::ToContainer => ">",
        Direction::ToWebServer => "<",
    }
}

/// The manifest's `decoded`, from what the machines saw.
fn facts(packets: &[(Direction, Bytes, Packet)]) -> Value {
    let mut runs: Vec<(&str, &str, usize)> = Vec::new();
    let (mut requests, mut responses, mut reuse) = (Vec::new(), Vec::new(), Vec::new());
    let mut body_sent = [0, 0];
    let mut largest = BTreeMap::from([(">", 0), ("<", 0)]);
    for (direction, payload, packet) in packets {
        let (arrow, kind) = (arrow(*direction), kind(packet));
        match runs.last_mut() {
            Some(run) if (run.0, run.1) == (arrow, kind) => run.2 += 1,
            _ => runs.push((arrow, kind, 1)),
        }
        let len = largest.entry(arrow).or_default();
        *len = payload.len().saturating_add(4).max(*len);
        match packet {
            Packet::Request(request) => requests.push(request_facts(request)),
            Packet::Head(head) => responses.push(head_facts(head)),
            Packet::Body(BodyPacket::Data(data)) => body_sent[0] += data.len(),
            Packet::Chunk(data) => body_sent[1] += data.len(),
            Packet::End { reuse: flag } => reuse.push(u8::from(*flag)),
            _ => {}
        }
    }
    json!({
        "packets": runs,
        "requests": requests,
        "responses": responses,
        "body_sent": body_sent,
        "largest_packet": largest,
        "reuse": reuse,
    })
}

fn request_facts(request: &ForwardRequest) -> Value {
    let attributes = request.attributes().map(|attribute| match attribute {
        Attribute::Coded { code, .. } => code.name().to_owned(),
        Attribute::SslKeySize(_) => "ssl_key_size".to_owned(),
        Attribute::Named { name, .. } => text(name).to_owned(),
    });
    json!({
        "method_code": request.method_code(),
        "method": text(request.method()),
        "uri": text(request.req_uri()),
        "headers": request.headers().count(),
        "attributes": attributes.collect::<Vec<_>>(),
    })
}

fn head_facts(head: &SendHeaders) -> Value {
    json!({
        "status": head.status(),
        "reason": head.raw_reason().map(text),
        "headers": head.headers().count(),
    })
}

#[test]
fn every_file_is_in_the_manifest_and_unchanged() {
    let manifest = load("captures/manifest.json");
    assert_eq!(manifest.len(), 220);
    let (mut files, mut silent) = (BTreeSet::new(), BTreeSet::new());
    let mut without_files = Vec::new();
    for case in &manifest {
        let connections = case["connections"].as_array().unwrap();
        without_files.extend(connections.is_empty().then(|| case_name(case)));
        for (entry, side) in connections
            .iter()
            .flat_map(|entry| [(entry, "request"), (entry, "response")])
        {
            let name = entry[side].as_str().unwrap();
            let bytes = std::fs::read(fixture(&format!("captures/{name}"))).unwrap();
            assert_eq!(entry[format!("{side}_len")], bytes.len(), "{name}");
            assert_eq!(entry[format!("{side}_sha256")], sha256(&bytes), "{name}");
            if bytes.is_empty() {
                silent.insert((case_name(case), side));
            }
            assert!(files.insert(name.to_owned()), "{name} is there twice");
        }
    }
    assert_eq!(without_files, WITHOUT_FILES);
    // The container said nothing on these; no web server ever stayed silent.
    let expected = ["headers-too-many", "response-timeout"]
        .map(|case| ["httpd", "jk"].map(|peer| (format!("{peer}/{case}"), "response")));
    assert_eq!(silent, expected.into_iter().flatten().collect());
    assert_eq!(files.len(), 450);
    assert_eq!(files, recorded_files());
}

/// What lies in the two directories.
fn recorded_files() -> BTreeSet<String> {
    let names = |peer: &'static str| {
        let entries = std::fs::read_dir(fixture(&format!("captures/{peer}"))).unwrap();
        entries.map(move |e| format!("{peer}/{}", e.unwrap().file_name().to_str().unwrap()))
    };
    names("httpd").chain(names("jk")).collect()
}

#[test]
fn both_machines_follow_every_conversation() {
    let mut count = BTreeMap::new();
    let mut totals = BTreeMap::new();
    for connection in connections() {
        let decoded = decode(&connection);
        let facts = facts(&decoded.packets);
        assert_eq!(facts, connection.entry["decoded"], "{}", connection.name);
        for (_, _, packet) in &decoded.packets {
            *count.entry(kind(packet)).or_insert(0) += 1;
        }
        let observer = &decoded.observer;
        *totals.entry("surplus asks").or_insert(0) += observer.surplus_asks;
        *totals.entry("reused").or_insert(0) += observer.reused;
        *totals.entry("flushes").or_insert(0) += observer.flushes;
        *totals.entry("ignored").or_insert(0) += observer.ignored;
    }
    let expected_count = [
        ("CPING", 6),
        ("FORWARD_REQUEST", 283),
        ("DATA", 202),
        ("CPONG", 6),
        ("SEND_HEADERS", 278),
        ("SEND_BODY_CHUNK", 680),
        ("GET_BODY_CHUNK", 154),
        ("END_RESPONSE", 256),
    ];
    assert_eq!(count, BTreeMap::from(expected_count));
    assert_eq!(
        totals,
        BTreeMap::from([
            ("surplus asks", 38),
            ("reused", 58),
            ("flushes", 132),
            ("ignored", 0)
        ])
    );
}

/// All the others ended, and may serve another request exactly if End Response said so.
#[test]
fn unfinished_conversations_are_all_listed() {
    let mut unfinished: Vec<(String, usize, Progress, Option<u64>)> = Vec::new();
    let mut finished = 0;
    for connection in connections() {
        let observer = decode(&connection).observer;
        let (progress, ended) = observer.state().unwrap();
        assert_eq!(observer.credit(), None, "{}: body due", connection.name);
        if ended {
            let last = connection.entry["decoded"]["reuse"].as_array().unwrap();
            assert_eq!(observer.is_reusable(), *last.last().unwrap() == 1);
            finished += 1;
            continue;
        }
        assert!(!observer.is_reusable(), "{}", connection.name);
        let left = observer.response_left();
        match unfinished.last_mut() {
            Some(last) if last.0 == connection.name => {
                assert_eq!((last.2, last.3), (progress, left));
                last.1 += 1;
            }
            _ => unfinished.push((connection.name, 1, progress, left)),
        }
    }
    let listed = UNFINISHED.map(|(name, n, progress, left)| (name.to_owned(), n, progress, left));
    assert_eq!(unfinished, listed);
    assert_eq!(finished, 225 - 27);
}

#[test]
fn every_packet_is_written_the_same_or_in_the_canonical_form() {
    let mut reasons = BTreeMap::new();
    let (mut same, mut canonical) = (0, 0);
    for connection in connections() {
        let peer = if connection.name.starts_with("jk/") {
            "jk"
        } else {
            "httpd"
        };
        for (_, payload, packet) in decode(&connection).packets {
            let found = rewrite::check(&packet, &payload, connection.size);
            *if found.is_empty() {
                &mut same
            } else {
                &mut canonical
            } += 1;
            for reason in found {
                *reasons.entry((peer, reason)).or_insert(0) += 1;
            }
        }
    }
    let expected = REWRITTEN.map(|(peer, reason, n)| ((peer, reason), n));
    assert_eq!(reasons, BTreeMap::from(expected));
    // A request of mod_jk can have two literal names, so there are more reasons than packets.
    assert_eq!((same, canonical), (1831, 34));
}

/// However the bytes arrive, the packets are the same.
#[test]
fn every_split_of_every_file_gives_the_same_packets() {
    let mut files = 0;
    for connection in connections() {
        let decoded = decode(&connection).packets;
        for (direction, bytes) in [
            (Direction::ToContainer, &connection.to_container),
            (Direction::ToWebServer, &connection.to_web_server),
        ] {
            let expected: Vec<&Bytes> = decoded
                .iter()
                .filter(|(of, _, _)| *of == direction)
                .map(|(_, payload, _)| payload)
                .collect();
            for step in [1, 7, 4096, usize::MAX] {
                let payloads = packets::split(bytes, direction, connection.size, step).unwrap();
                assert!(
                    payloads.iter().eq(expected.iter().copied()),
                    "{step} {}",
                    connection.name
                );
            }
            files += 1;
        }
    }
    assert_eq!(files, 450);
}
