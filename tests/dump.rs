//! `ajp::dump` over all recorded connections and over damaged ones: what every packet is,
//! the same for any cut, found again after garbage, and never a secret shown.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    missing_docs,
    reason = "in a test a panic is the report, and no length comes from a stranger"
)]

mod packets;

use ajp::dump::{Content, Dump, Note, Record, guess_direction};
use ajp::wire::{
    Attribute, AttributeCode as Code, BodyPacket, CPING, CPONG, Direction, END_OF_BODY,
    END_RESPONSE_REUSE, FLUSH, Field, ForwardRequest, ForwardRequestWriter, PacketSize,
    RequestLine, SendHeadersWriter, ToContainer, ToWebServer, get_body_chunk, write_body_chunk,
    write_request_body,
};
use bytes::{Bytes, BytesMut};
use packets::{fixture, load};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

use Direction::{ToContainer as Up, ToWebServer as Down};

/// The parts of a recorded connection in their order.
type Turns = Vec<(Direction, Vec<u8>)>;

fn recorded() -> Vec<(String, Turns, Value)> {
    let mut all = Vec::new();
    for case in load("captures/manifest.json") {
        for entry in case["connections"].as_array().unwrap() {
            let read = |key: &str| {
                let path = format!("captures/{}", entry[key].as_str().unwrap());
                std::fs::read(fixture(&path)).unwrap()
            };
            let (mut up, mut down) = (read("request"), read("response"));
            let turns = entry["timeline"].as_array().unwrap().iter().map(|step| {
                let len = step[1].as_u64().unwrap() as usize;
                if step[0] == ">" {
                    (Up, up.drain(..len).collect())
                } else {
                    (Down, down.drain(..len).collect())
                }
            });
            let turns = turns.collect();
            let name = entry["request"].as_str().unwrap().to_owned();
            all.push((name, turns, entry["decoded"].clone()));
        }
    }
    assert_eq!(all.len(), 225);
    all
}

fn dump(turns: &Turns, mut cut: impl FnMut() -> usize) -> Vec<Record> {
    let mut dump = Dump::new();
    let mut records = Vec::new();
    for (direction, bytes) in turns {
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (now, later) = rest.split_at(cut().clamp(1, rest.len()));
            records.extend(dump.feed(*direction, now));
            rest = later;
        }
    }
    records.extend(dump.finish());
    records
}

fn whole(turns: &Turns) -> Vec<Record> {
    dump(turns, || usize::MAX)
}

/// Numbers that look random and are the same in every run.
fn numbers(mut seed: u64) -> impl FnMut() -> u64 {
    move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        seed >> 33
    }
}

/// The manifest's names.
fn kind(record: &Record) -> &'static str {
    match record.kind() {
        "Forward Request" => "FORWARD_REQUEST",
        "Request Body" => "DATA",
        "CPing" => "CPING",
        "CPong" => "CPONG",
        "Send Headers" => "SEND_HEADERS",
        "Send Body Chunk" => "SEND_BODY_CHUNK",
        "Get Body Chunk" => "GET_BODY_CHUNK",
        "End Response" => "END_RESPONSE",
        other => panic!("{other}: {record}"),
    }
}

#[test]
fn every_recorded_packet_is_told_for_what_it_is() {
    let mut total = 0;
    let mut notes = BTreeMap::new();
    for (name, turns, decoded) in recorded() {
        let records = whole(&turns);
        let mut runs: Vec<(&str, &str, usize)> = Vec::new();
        let mut at = BTreeMap::from([(">", 0), ("<", 0)]);
        for record in &records {
            assert!(!record.is_error(), "{name}: {record}");
            if let Some(note) = record.remark() {
                *notes.entry(note.to_string()).or_insert(0) += 1;
            }
            let arrow = if record.direction() == Up { ">" } else { "<" };
            let offset = at.get_mut(arrow).unwrap();
            assert_eq!(record.offset(), *offset, "{name}: no byte is lost");
            assert_eq!(record.len(), record.raw().len() as u64);
            *offset += record.len();
            match runs.last_mut() {
                Some(run) if (run.0, run.1) == (arrow, kind(record)) => run.2 += 1,
                _ => runs.push((arrow, kind(record), 1)),
            }
        }
        assert_eq!(
            serde_json::to_value(runs).unwrap(),
            decoded["packets"],
            "{name}"
        );
        total += records.len();
    }
    assert_eq!(total, 1865);
    assert_eq!(notes, BTreeMap::new());
}

#[test]
fn any_cut_gives_the_same_records() {
    let mut next = numbers(1);
    for (name, turns, _) in recorded() {
        let expected = whole(&turns);
        let most = [1, 5, 100, 20_000][next() as usize % 4];
        let cut = dump(&turns, || next() as usize % most + 1);
        assert!(cut == expected, "{name} in pieces of at most {most}");
    }
}

/// One direction alone: nobody is seen asking for a body, and still all are told.
#[test]
fn one_direction_alone_is_told_the_same() {
    for (name, turns, _) in recorded() {
        let both = whole(&turns);
        for direction in [Up, Down] {
            let mut one = turns.clone();
            one.retain(|(of, _)| *of == direction);
            let expected: Vec<_> = both
                .iter()
                .filter(|record| record.direction() == direction)
                .cloned()
                .collect();
            assert_eq!(whole(&one), expected, "{name}");
        }
    }
}

/// What two recordings without times lack is restored by `expects`.
#[test]
fn the_conversation_tells_whose_turn_it_is() {
    for (name, turns, _) in recorded() {
        let joined = |of: Direction| -> Vec<u8> {
            let parts = turns.iter().filter(|(direction, _)| *direction == of);
            parts.flat_map(|(_, bytes)| bytes.clone()).collect()
        };
        let (up, down) = (joined(Up), joined(Down));
        let (mut up, mut down) = (&up[..], &down[..]);
        let mut dump = Dump::new();
        let mut records = Vec::new();
        while !up.is_empty() || !down.is_empty() {
            let direction = match dump.expects() {
                _ if down.is_empty() => Up,
                _ if up.is_empty() => Down,
                direction => direction,
            };
            let from = if direction == Up { &mut up } else { &mut down };
            let len = usize::from(u16::from_be_bytes([from[2], from[3]])) + 4;
            let (packet, rest) = from.split_at(len);
            *from = rest;
            records.extend(dump.feed(direction, packet));
        }
        let noted: Vec<_> = records.iter().filter_map(Record::remark).collect();
        assert_eq!(
            (noted, records.len()),
            (Vec::new(), whole(&turns).len()),
            "{name}"
        );
    }
}

fn request(headers: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut buffer = BytesMut::new();
    let line = RequestLine {
        method: b"POST",
        req_uri: b"/app/up",
        ..RequestLine::default()
    };
    let mut writer = ForwardRequestWriter::new(&mut buffer, PacketSize::DEFAULT, &line).unwrap();
    for (name, value) in headers {
        writer.header(name, value).unwrap();
    }
    writer.finish().unwrap();
    buffer.to_vec()
}

fn body(data: &[u8]) -> Vec<u8> {
    let mut buffer = BytesMut::new();
    write_request_body(&mut buffer, data, PacketSize::DEFAULT).unwrap();
    buffer.to_vec()
}

fn chunk(data: &[u8]) -> Vec<u8> {
    let mut buffer = BytesMut::new();
    write_body_chunk(&mut buffer, data, PacketSize::DEFAULT).unwrap();
    buffer.to_vec()
}

fn head() -> Vec<u8> {
    let mut buffer = BytesMut::new();
    let mut writer = SendHeadersWriter::new(&mut buffer, PacketSize::DEFAULT, 200).unwrap();
    writer.header(b"Content-Length", b"3").unwrap();
    writer.finish();
    buffer.to_vec()
}

fn lines(records: &[Record]) -> Vec<String> {
    records.iter().map(ToString::to_string).collect()
}

#[test]
fn an_upload_reads_like_this() {
    let sent = request(&[(b"Host", b"a"), (b"Content-Length", b"5")]);
    let turns = vec![
        (Up, [sent.clone(), body(b"hel")].concat()),
        (Down, get_body_chunk(8186).to_vec()),
        (Up, body(b"lo")),
        (Down, get_body_chunk(8186).to_vec()),
        (Up, END_OF_BODY.to_vec()),
        (
            Down,
            [
                head(),
                FLUSH.to_vec(),
                chunk(b"a\nb"),
                END_RESPONSE_REUSE.to_vec(),
            ]
            .concat(),
        ),
    ];
    let records = whole(&turns);
    assert_eq!(
        lines(&records),
        [
            "> 0        71     Forward Request POST /app/up (HTTP/1.1, 2 headers, 0 attributes, Content-Length 5)",
            "> 71       9      Request Body (3 bytes)",
            "< 0        7      Get Body Chunk (at most 8186 bytes)",
            "> 80       8      Request Body (2 bytes)",
            "< 7        7      Get Body Chunk (at most 8186 bytes)",
            "> 88       6      Request Body (end)",
            "< 14       20     Send Headers 200 OK (1 header, Content-Length 3)",
            "< 34       8      Send Body Chunk (flush)",
            "< 42       11     Send Body Chunk (3 bytes)",
            "< 53       6      End Response (reuse)",
        ]
    );
    assert_eq!(
        format!("{:#}", records[0]),
        "\
> 0        71     Forward Request
  method       POST (code 4)
  protocol     HTTP/1.1
  req_uri      /app/up
  remote_addr  127.0.0.1
  remote_host  (null)
  server_name  localhost
  server_port  80
  is_ssl       false
  body         Content-Length 5
  2 headers
    a00b  host: a
    a008  content-length: 5
  0 attributes"
    );
    assert_eq!(
        format!("{:#}", records[8]),
        "< 42       11     Send Body Chunk (3 bytes)\n  data         a\\nb"
    );
    assert_eq!(
        records[8].hex().to_string(),
        "  0000  41 42 00 07 03 00 03 61  0a 62 00                 AB.....a.b."
    );
}

#[test]
fn the_time_is_the_callers() {
    let mut dump = Dump::new();
    dump.at(Duration::from_micros(1_000_002));
    let record = dump.feed(Up, &CPING).next().unwrap();
    assert_eq!(record.to_string(), "   1.000002 > 0        5      CPing");
    assert_eq!(record.time(), Some(Duration::from_micros(1_000_002)));
}

/// What a body packet holds may look like a message; only the state tells.
#[test]
fn a_body_that_looks_like_a_request_is_a_body() {
    // A request (2) with POST (4) of 0x0204 + 2 bytes is a body of 0x0204 bytes as well.
    let short = request(&[(b"x", b"")]).len();
    let padding = vec![b'p'; 4 + 2 + 0x0204 - short];
    let both = request(&[(b"x", &padding)]);
    let payload = Bytes::copy_from_slice(&both[4..]);
    assert!(ForwardRequest::parse(payload.clone()).is_ok() && BodyPacket::parse(&payload).is_ok());

    let due = request(&[(b"Content-Length", b"516")]);
    let records = whole(&vec![(Up, due), (Up, both.clone()), (Up, both)]);
    let kinds: Vec<_> = records.iter().map(Record::kind).collect();
    assert_eq!(
        kinds,
        ["Forward Request", "Request Body", "Forward Request"]
    );
}

/// A container that asks ahead is owed several.
#[test]
fn every_answer_is_a_body() {
    let short = request(&[(b"x", b"")]).len();
    let padding = vec![b'p'; 4 + 2 + 0x0204 - short];
    let both = request(&[(b"x", &padding)]);
    let asks = [get_body_chunk(8186), get_body_chunk(8186)].concat();
    let records = whole(&vec![
        (
            Up,
            [request(&[(b"Content-Length", b"5000")]), both.clone()].concat(),
        ),
        (Down, asks),
        (Up, [both.clone(), both].concat()),
    ]);
    let kinds: Vec<_> = records.iter().map(Record::kind).collect();
    assert_eq!(kinds[4..], ["Request Body", "Request Body"]);
    assert!(records.iter().all(|record| record.remark().is_none()));
}

#[test]
fn disagreements_are_noted() {
    // Nobody asked, and the container is there to ask.
    let records = whole(&vec![
        (Up, CPING.to_vec()),
        (Down, CPONG.to_vec()),
        (
            Up,
            [
                request(&[(b"Content-Length", b"0")]),
                END_OF_BODY.to_vec(),
                END_OF_BODY.to_vec(),
            ]
            .concat(),
        ),
    ]);
    // lighttpd sends one after each request without a body.
    assert_eq!(records[3].remark(), None);
    assert_eq!(records[4].remark(), Some(Note::NotAskedFor));
    assert_eq!(
        records[4].to_string(),
        "> 76       6      Request Body (end); note: nobody asked for it"
    );
    assert!(!records.iter().any(Record::is_error));

    let records = whole(&vec![(
        Up,
        [request(&[(b"Content-Length", b"1")]), CPING.to_vec()].concat(),
    )]);
    assert_eq!(
        records[1].content(),
        &Content::ToContainer(ToContainer::CPing)
    );
    assert_eq!(records[1].remark(), Some(Note::BodyWasDue));

    // A space in the path.
    let mut lenient = request(&[]);
    let at = lenient.windows(2).position(|w| w == b"pp").unwrap();
    lenient[at] = b' ';
    let records = whole(&vec![(Up, lenient.clone())]);
    let Some(Note::Lenient(error)) = records[0].remark() else {
        panic!("{records:?}");
    };
    assert_eq!((error.offset(), error.field()), (at, Field::ReqUri));
    let mut strict = Dump::new().with_decode_options(ajp::wire::DecodeOptions::default());
    let record = strict.feed(Up, &lenient).next().unwrap();
    assert_eq!(record.content(), &Content::Undecodable(error));
}

#[test]
fn an_error_says_where_and_why_and_the_next_packet_follows() {
    let mut bad = request(&[(b"Content-Length", b"5")]);
    let at = bad.windows(4).rposition(|w| w == b"\0\x015\0").unwrap() + 2;
    bad[at] = b'x';
    let records = whole(&vec![(Up, [bad.clone(), CPING.to_vec()].concat())]);
    let expected = format!(
        "> 0        {}     error: invalid AJP packet at byte {}: content-length is not a plain decimal number",
        bad.len(),
        at - 2
    );
    assert_eq!(
        lines(&records),
        [expected, format!("> {}       5      CPing", bad.len())]
    );
    assert!(records[0].is_error());
    assert_eq!(
        records[0].hex().to_string(),
        format!(
            "  0000  12 34 00 {:02x}                                       .4.{}\n  [{} bytes may hold secrets]",
            bad.len() - 4,
            char::from(bad[3]),
            bad.len() - 4
        )
    );
}

#[test]
fn garbage_is_skipped_up_to_the_next_packet() {
    let packets = [
        head(),
        chunk(b"AB\0\x02\x05\x01"),
        END_RESPONSE_REUSE.to_vec(),
    ];
    let mut next = numbers(7);
    for round in 0..300 {
        // Parts of magics and whole headers that lie.
        let mut garbage: Vec<u8> = (0..=next() % 200).map(|_| next() as u8).collect();
        garbage[0] |= 0x80;
        for lie in [
            &b"\x41"[..],
            b"\x41\x42",
            b"\x41\x42\xff\xff\x03\xff\xfb",
            b"\x41\x42\0\x09\x04\0\xc8\xff\xff\0\x05",
        ] {
            if next() % 2 == 0 {
                garbage.extend_from_slice(lie);
            }
        }
        garbage.push(0x80);
        let at = round % 3;
        let mut stream = packets[..at].concat();
        let start = stream.len() as u64;
        stream.extend_from_slice(&garbage);
        stream.extend_from_slice(&packets[at..].concat());
        let records = whole(&vec![(Down, stream)]);
        let skipped: Vec<_> = records.iter().filter(|r| r.is_error()).collect();
        assert_eq!(skipped.len(), 1, "{records:?}");
        assert_eq!(skipped[0].content(), &Content::Skipped);
        assert_eq!(
            (skipped[0].offset(), skipped[0].len()),
            (start, garbage.len() as u64)
        );
        let found: Vec<_> = records
            .iter()
            .filter(|r| !r.is_error())
            .map(|r| r.raw().to_vec())
            .collect();
        assert_eq!(found, packets, "round {round}");
    }
}

#[test]
fn any_end_within_a_packet_is_noticed() {
    let (first, second) = (CPING.to_vec(), request(&[]));
    for n in 1..second.len() {
        let records = whole(&vec![(Up, [&first[..], &second[..n]].concat())]);
        let announced = (n >= 4).then_some(second.len() as u64);
        assert_eq!(records.len(), 2);
        assert_eq!(records[1].content(), &Content::Incomplete { announced });
        assert_eq!((records[1].offset(), records[1].len()), (5, n as u64));
        assert!(records[1].is_error());
    }
    let records = whole(&vec![(Up, second[..20].to_vec())]);
    assert_eq!(
        records[0].to_string(),
        format!(
            "> 0        20     error: 20 bytes of a packet of {}",
            second.len()
        )
    );
}

#[test]
fn a_recording_may_begin_anywhere() {
    let stream = [
        head(),
        chunk(&[b'x'; 100]),
        chunk(b"abc"),
        END_RESPONSE_REUSE.to_vec(),
    ]
    .concat();
    let second = head().len();
    let third = second + 108;
    for start in 1..third {
        let mut dump = Dump::midway();
        let mut records: Vec<_> = dump.feed(Down, &stream[start..]).collect();
        records.extend(dump.finish());
        assert!(!records.iter().any(Record::is_error), "{records:?}");
        let begin = if start <= second { second } else { third };
        let skipped = (begin - start) as u64;
        assert_eq!(records[0].content() == &Content::Skipped, skipped > 0);
        assert_eq!(
            records.last().unwrap().content(),
            &Content::ToWebServer(ToWebServer::EndResponse { reuse: true })
        );
        let found = records
            .iter()
            .find(|r| r.content() != &Content::Skipped)
            .unwrap();
        assert_eq!(found.offset(), skipped);
    }
    // Between a request and its bodies.
    let mut dump = Dump::midway();
    let records: Vec<_> = dump
        .feed(Up, &[body(b"abc"), CPING.to_vec()].concat())
        .collect();
    assert_eq!(
        lines(&records),
        [
            "> 0        9      Request Body (3 bytes)",
            "> 9        5      CPing"
        ]
    );
}

#[test]
fn a_gap_is_told_and_offsets_go_on() {
    let mut dump = Dump::new();
    let long = chunk(&[b'x'; 100]);
    let mut records: Vec<_> = dump.feed(Down, &long[..50]).collect();
    records.extend(dump.gap(Down, 30));
    records.extend(dump.feed(Down, &long[80..]));
    records.extend(dump.feed(Down, &END_RESPONSE_REUSE));
    records.extend(dump.finish());
    assert_eq!(
        lines(&records),
        [
            "< 0        50     error: 50 bytes of a packet of 108",
            "< 50       30     missing 30 bytes",
            "< 80       28     skipped 28 bytes, no packet begins there",
            "< 108      6      End Response (reuse)",
        ]
    );
    let errors: Vec<_> = records.iter().map(Record::is_error).collect();
    assert_eq!(errors, [true, true, false, false]);
}

/// A false header that announces more than there is does not hide what it covers.
#[test]
fn a_packet_behind_a_lie_is_found_at_the_end() {
    let lie = b"x\x41\x42\x20\x00\x04\x00\xc8";
    let stream = [&lie[..], &END_RESPONSE_REUSE, &head()].concat();
    let records = whole(&vec![(Down, stream)]);
    let kinds: Vec<_> = records.iter().map(Record::kind).collect();
    assert_eq!(kinds, ["Skipped", "End Response", "Send Headers"]);
}

#[test]
fn no_more_than_one_packet_is_kept() {
    let mut next = numbers(3);
    let mut dump = Dump::new();
    for _ in 0..400 {
        let mut junk: Vec<u8> = (0..10_000).map(|_| next() as u8).collect();
        // Headers of long packets that never come true.
        for at in (0..junk.len() - 7).step_by(977) {
            junk[at..at + 7].copy_from_slice(b"\x41\x42\xff\x00\x04\x00\xc8");
        }
        for record in dump.feed(Down, &junk) {
            assert!(record.raw().len() <= 65539);
        }
        assert!(dump.buffered(Down) <= 65539, "{}", dump.buffered(Down));
    }
    assert_eq!(dump.buffered(Up), 0);
    // An iterator that is dropped early has still taken its bytes.
    let mut dump = Dump::new();
    drop(dump.feed(Up, &[&CPING[..], &CPING[..3]].concat()));
    assert_eq!(dump.buffered(Up), 3);
}

/// Everything that a record can be shown as without asking for secrets.
fn all_views(record: &Record) -> String {
    let mut all = format!(
        "{record}\n{record:#}\n{record:?}\n{record:#?}\n{}",
        record.hex()
    );
    let mut add = |text: String| {
        all.push('\n');
        all.push_str(&text);
    };
    match record.content() {
        Content::ToContainer(packet) => {
            add(format!("{packet} {packet:#} {packet:?} {packet:#?}"));
            if let ToContainer::ForwardRequest(request) = packet {
                add(format!(
                    "{request} {request:#} {request:?} {:?} {:?}",
                    request.headers(),
                    request.attributes()
                ));
                request
                    .headers()
                    .for_each(|header| add(format!("{header} {header:?} {header:#?}")));
                request
                    .attributes()
                    .for_each(|value| add(format!("{value} {value:?} {value:#?}")));
            }
        }
        Content::ToWebServer(packet) => {
            add(format!("{packet} {packet:#} {packet:?} {packet:#?}"));
            if let ToWebServer::SendHeaders(head) = packet {
                add(format!("{head} {head:#} {head:?} {:?}", head.headers()));
            }
        }
        Content::RequestBody(packet) => add(format!("{packet} {packet:#} {packet:?} {packet:#?}")),
        _ => {}
    }
    all
}

/// The values that nobody may see, by the rules of this test and not by the crate's.
fn secrets_of(record: &Record) -> Vec<Vec<u8>> {
    let mut secrets = Vec::new();
    let secret = |name: &[u8]| {
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        let listed = [
            "authorization",
            "proxy-authorization",
            "cookie",
            "cookie2",
            "set-cookie",
            "set-cookie2",
            "ssl_session",
        ];
        listed.contains(&name.as_str())
            || ["secret", "password", "token"]
                .iter()
                .any(|word| name.contains(word))
    };
    let mut uri = |text: &[u8]| {
        let text = String::from_utf8_lossy(text).into_owned();
        for part in text.split(";jsessionid=").skip(1) {
            secrets.push(part.split(['/', '?', ';', '#']).next().unwrap().into());
        }
    };
    let mut named = Vec::new();
    match record.content() {
        Content::ToContainer(ToContainer::ForwardRequest(request)) => {
            uri(request.req_uri());
            for header in request.headers() {
                uri(header.value);
                named.push((header.name, Some(header.value)));
            }
            for attribute in request.attributes() {
                match attribute {
                    Attribute::Coded { code, value } => named.push((code.name().as_bytes(), value)),
                    Attribute::Named { name, value } => named.push((name, value)),
                    Attribute::SslKeySize(_) => {}
                }
            }
        }
        Content::ToWebServer(ToWebServer::SendHeaders(head)) => {
            for header in head.headers() {
                uri(header.value);
                named.push((header.name, Some(header.value)));
            }
        }
        _ => {}
    }
    for (name, value) in named {
        if secret(name) {
            let value = value.unwrap_or_default();
            secrets.push(value.to_vec());
            // The parts of a cookie, so that a piece of it counts too.
            for part in value.split(|&b| b == b';' || b == b' ') {
                secrets.push(part.split(|&b| b == b'=').next_back().unwrap().to_vec());
            }
        }
    }
    secrets.retain(|secret| secret.len() >= 6);
    secrets
}

#[test]
fn no_secret_is_shown_unless_revealed() {
    let mut seen = BTreeMap::new();
    for (name, turns, _) in recorded() {
        let records = whole(&turns);
        let mut secrets: Vec<_> = records.iter().flat_map(secrets_of).collect();
        // What such a value is otherwise: a name, a path, an attribute's word.
        secrets
            .retain(|secret| ![&b"HttpOnly"[..], b"Path=/app", b"Secure"].contains(&&secret[..]));
        for record in &records {
            let views = all_views(record);
            for secret in &secrets {
                let text = String::from_utf8_lossy(secret);
                assert!(!views.contains(&*text), "{name}: {text} in {views}");
                // Debug of raw bytes.
                let numbers = format!("{secret:?}");
                assert!(
                    !views.contains(numbers.trim_matches(['[', ']'])),
                    "{name}: {text}"
                );
            }
            let revealed = format!("{:#}", record.reveal());
            for secret in secrets_of(record) {
                let text = String::from_utf8_lossy(&secret).into_owned();
                assert!(revealed.contains(&text), "{name}: no {text} in {revealed}");
                assert!(views.contains("[redacted, "), "{views}");
                *seen.entry(record.kind()).or_insert(0) += 1;
            }
        }
    }
    // All three places have some, or this test would see nothing.
    assert!(
        seen["Forward Request"] > 50 && seen["Send Headers"] > 5,
        "{seen:?}"
    );
}

#[test]
fn every_kind_of_secret_is_redacted() {
    let mut buffer = BytesMut::new();
    let line = RequestLine {
        req_uri: b"/a;jsessionid=HIDDEN01.jvm1/b",
        ..RequestLine::default()
    };
    assert!(!format!("{line:?}").contains("HIDDEN"));
    let mut writer = ForwardRequestWriter::new(&mut buffer, PacketSize::DEFAULT, &line).unwrap();
    let headers: [(&[u8], &[u8]); 9] = [
        (b"Authorization", b"Basic HIDDEN02"),
        (b"proxy-authorization", b"HIDDEN03"),
        (b"COOKIE", b"a=HIDDEN04; b=HIDDEN05"),
        (b"x-my-SECRET-thing", b"HIDDEN06"),
        (b"X-Csrf-Token", b"HIDDEN07"),
        (b"x-password", b"HIDDEN08"),
        (b"referer", b"http://a/b;JSESSIONID=HIDDEN09?x"),
        (b"x-empty-token", b""),
        (b"user-agent", b"seen"),
    ];
    for (name, value) in headers {
        writer.header(name, value).unwrap();
    }
    let coded = |code, value: &'static [u8]| Attribute::Coded {
        code,
        value: Some(value),
    };
    let named = |name: &'static [u8], value: &'static [u8]| Attribute::Named {
        name,
        value: Some(value),
    };
    for attribute in [
        coded(Code::QueryString, b"a=b&access_token=HIDDEN10&c=seen2"),
        coded(Code::SslSession, b"HIDDEN11"),
        named(b"app_Secret", b"HIDDEN12"),
        named(b"AJP_TOKEN", b"HIDDEN13"),
        coded(Code::Secret, b"HIDDEN14"),
    ] {
        writer.attribute(attribute).unwrap();
    }
    assert!(!format!("{writer:?}").contains("HIDDEN"));
    assert!(!format!("{writer:?}").contains("72, 73, 68"));
    writer.finish().unwrap();
    let record = Dump::new().feed(Up, &buffer).next().unwrap();
    let views = all_views(&record);
    assert!(
        !views.contains("HIDDEN") && !views.contains("DDEN") && !views.contains("44 44 45 4e"),
        "{views}"
    );
    let facts = format!("{record:#}");
    for line in [
        "  req_uri      /a;jsessionid=[redacted, 13 bytes]/b",
        "    a005  authorization: [redacted, 14 bytes]",
        "    text  x-my-SECRET-thing: [redacted, 8 bytes]",
        "    a00d  referer: http://a/b;JSESSIONID=[redacted, 8 bytes]?x",
        "    text  x-empty-token: [redacted, 0 bytes]",
        "    a00e  user-agent: seen",
        "    05    query_string: a=b&access_token=[redacted, 8 bytes]&c=seen2",
        "    0a    app_Secret: [redacted, 8 bytes]",
        "    0c    secret: [redacted, 8 bytes]",
    ] {
        assert!(facts.lines().any(|l| l == line), "no {line:?} in {facts}");
    }
    let revealed = format!("{:#}", record.reveal());
    for n in 1..=14 {
        assert!(
            revealed.contains(&format!("HIDDEN{n:02}")),
            "{n} in {revealed}"
        );
    }
    assert!(
        record
            .reveal()
            .to_string()
            .contains("?a=b&access_token=HIDDEN10&c=seen2 ")
    );
    let hex = record.reveal().hex().to_string();
    assert!(!hex.contains("**"));
    // Each masked byte is one of a value.
    let hex = record.hex().to_string();
    let masked: usize = hex
        .lines()
        .map(|line| line[..56].matches("**").count())
        .sum();
    assert_eq!(masked, 13 + 14 + 8 + 22 + 8 * 3 + 8 + 8 * 5);
}

/// A hostile peer cannot break the one line or write to the terminal.
#[test]
fn one_line_is_one_line_of_printable_text() {
    let mut next = numbers(11);
    let hostile: Vec<u8> = (0..=255).collect();
    let mut stream = chunk(&hostile);
    let mut reason = BytesMut::new();
    // Any bytes are taken as a reason phrase.
    reason.extend_from_slice(&[0x41, 0x42, 0, 0, 4, 0, 200, 1, 0]);
    reason.extend_from_slice(&hostile);
    reason.extend_from_slice(&[0, 0, 0]);
    let len = (reason.len() - 4) as u16;
    reason[2..4].copy_from_slice(&len.to_be_bytes());
    stream.extend_from_slice(&reason);
    stream.extend((0..3000).map(|_| next() as u8));
    let records = whole(&vec![(Down, stream)]);
    assert_eq!(records[1].kind(), "Send Headers");
    for record in &records {
        let line = record.to_string();
        assert!(line.bytes().all(|b| (0x20..0x7f).contains(&b)), "{line:?}");
        let facts = format!("{record:#}\n{}", record.hex());
        assert!(
            facts
                .bytes()
                .all(|b| b == b'\n' || (0x20..0x7f).contains(&b)),
            "{facts:?}"
        );
        assert!(!format!("{record:?}").contains('\n'));
    }
    // A path of 8000 bytes does not fill the screen.
    let mut buffer = BytesMut::new();
    let long = [&b"/"[..], &[b'a'; 7999]].concat();
    let line = RequestLine {
        req_uri: &long,
        ..RequestLine::default()
    };
    ForwardRequestWriter::new(&mut buffer, PacketSize::DEFAULT, &line)
        .unwrap()
        .finish()
        .unwrap();
    let record = Dump::new().feed(Up, &buffer).next().unwrap();
    assert!(record.to_string().len() < 400);
    assert!(record.to_string().contains("aaa... (7744 bytes more)"));
}

#[test]
fn other_protocols_are_no_packets() {
    for other in [
        &b"GET / HTTP/1.1\r\n"[..],
        b"\x16\x03\x01\x02\x00\x01",
        b"AB",
        b"ABCDEF",
        b"",
    ] {
        assert_eq!(guess_direction(other), None);
    }
    for (_, turns, _) in recorded() {
        for (direction, bytes) in turns {
            assert_eq!(guess_direction(&bytes), Some(direction));
        }
    }
    let records = whole(&vec![(Up, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec())]);
    assert_eq!(
        lines(&records),
        ["> 0        27     skipped 27 bytes, no packet begins there"]
    );
}
