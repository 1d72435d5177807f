//! The test vectors: 24 positive and 41 negative ones decode or fail as
//! stated, whole and fed byte by byte.
//!
//! A positive vector goes through both state machines; all facts that the fixture states are
//! compared as one JSON object, so none can be forgotten. Then it is written again. A negative
//! vector must fail at the stated byte of the stated field.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    missing_docs,
    reason = "in a test a panic is the report, and no length comes from a stranger"
)]

mod packets;

use ajp::proto::{ClientEvent, ClientExchange, Finish, Idle, IdleEvent, ServerExchange};
use ajp::wire::{
    Attribute, BodyFraming, BodyPacket, DecodeError, DecodeOptions, Direction, Field,
    ForwardRequest, Headers, PacketSize, SendHeaders, ToContainer, ToWebServer, get_body_chunk,
    method_name, split_packet,
};
use bytes::{Bytes, BytesMut};
use packets::observer::{Observer, Packet};
use packets::rewrite::{self, Reason};
use packets::{load, sha256, text};
use serde_json::{Value, json};

const SIZE: PacketSize = PacketSize::DEFAULT;

/// Vectors that the crate writes in another form than the fixture has them.
const REWRITTEN: [(&str, Reason); 4] = [
    ("TV-05", Reason::KeySizeAsString),
    ("TV-08", Reason::EndFormB),
    ("TV-11", Reason::NullPhrase),
    ("TV-24", Reason::NameHasCode),
];

/// Where each negative vector of an idle container breaks; field and offset of its error.
/// `None`: well-formed, but never obeyed.
const IDLE_DEFECTS: [(&str, Option<(Field, usize)>); 26] = [
    ("N-01", Some((Field::Magic, 1))),
    ("N-02", Some((Field::Magic, 0))),
    ("N-03", Some((Field::Magic, 1))),
    ("N-04", Some((Field::MessageCode, 4))),
    ("N-05", None),
    ("N-06", Some((Field::PayloadLength, 2))),
    ("N-07", Some((Field::Protocol, 8))),
    ("N-08", Some((Field::Protocol, 8))),
    ("N-09", Some((Field::Protocol, 16))),
    ("N-10", Some((Field::AttributeCode, 38))),
    ("N-11", Some((Field::End, 39))),
    ("N-12", Some((Field::HeaderName(0), 38))),
    ("N-13", Some((Field::HeaderName(0), 38))),
    ("N-14", Some((Field::HeaderName(0), 38))),
    ("N-15", Some((Field::NumHeaders, 36))),
    ("N-16", Some((Field::NumHeaders, 36))),
    ("N-17", Some((Field::AttributeCode, 38))),
    ("N-18", Some((Field::Method, 5))),
    ("N-19", Some((Field::Method, 5))),
    ("N-20", Some((Field::Method, 5))),
    ("N-21", Some((Field::ContentLength, 44))),
    ("N-22", Some((Field::ContentLength, 40))),
    ("N-23", Some((Field::TransferEncoding, 44))),
    ("N-24", Some((Field::TransferEncoding, 58))),
    ("N-25", Some((Field::HeaderValue(0), 45))),
    ("N-26", Some((Field::HeaderValue(0), 45))),
];

/// The same for body packets and for packets to a web server.
const OTHER_DEFECTS: [(&str, Field, usize); 14] = [
    ("N-27", Field::DataLength, 4),
    ("N-28", Field::DataLength, 4),
    ("N-29", Field::DataLength, 4),
    ("N-30", Field::DataLength, 4),
    ("N-31", Field::DataLength, 5),
    ("N-32", Field::DataLength, 5),
    ("N-34", Field::HeaderName(0), 14),
    ("N-35", Field::NumHeaders, 12),
    ("N-36", Field::Status, 5),
    ("N-37", Field::HeaderValue(0), 21),
    ("N-38", Field::Reuse, 5),
    ("N-39", Field::RequestedLength, 5),
    ("N-40", Field::RequestedLength, 5),
    ("N-41", Field::MessageCode, 4),
];

fn hex(value: &Value) -> Vec<u8> {
    let digits = value["hex"].as_str().unwrap();
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
        .collect()
}

fn direction_of(packet: &Value) -> Direction {
    match packet["from"].as_str() {
        Some("web") => Direction::ToContainer,
        Some("container") => Direction::ToWebServer,
        other => panic!("from {other:?}"),
    }
}

/// Takes the payload off whole and byte by byte: both must agree, and no prefix is enough.
fn take(packet: &[u8], direction: Direction) -> Result<Bytes, DecodeError> {
    let mut buffer = BytesMut::from(packet);
    let whole = split_packet(&mut buffer, direction, SIZE).map(Option::unwrap_or_default);
    let mut buffer = BytesMut::new();
    for (n, &byte) in packet.iter().enumerate() {
        buffer.extend_from_slice(&[byte]);
        match split_packet(&mut buffer, direction, SIZE) {
            Ok(None) => assert!(n + 1 < packet.len(), "incomplete at the end"),
            Ok(Some(payload)) => {
                assert_eq!(n + 1, packet.len(), "complete too early");
                assert_eq!(whole, Ok(payload));
            }
            Err(error) => {
                let expected = whole.as_ref().expect_err("fails only byte by byte");
                assert_eq!(error.offset(), expected.offset());
                assert_eq!(error.field(), expected.field());
                return whole;
            }
        }
    }
    whole
}

#[test]
fn positive_vectors_decode_to_the_stated_facts() {
    let vectors = load("vectors/positive.json");
    assert_eq!(vectors.len(), 24);
    let (mut packets, mut surplus) = (0, Vec::new());
    for vector in &vectors {
        let id = vector["id"].as_str().unwrap();
        let mut observer = start(vector);
        for expected in vector["packets"].as_array().unwrap() {
            let bytes = hex(expected);
            if let Some(digest) = expected.get("sha256") {
                assert_eq!(*digest, sha256(&bytes), "{id}");
            }
            let payload = take(&bytes, direction_of(expected)).unwrap();
            let packet = observe(vector, &mut observer, expected, &payload);
            assert_eq!(kind(&packet, &payload), expected["what"], "{id}");
            assert_eq!(facts(&packet, &payload), expected["expect"], "{id}");
            packets += 1;
        }
        if vector["shape"] == "exchange" {
            assert_eq!(observer.state().map(|(_, ended)| ended), Some(true), "{id}");
        }
        surplus.extend((observer.surplus_asks > 0).then_some(id));
    }
    assert_eq!(packets, 57);
    // Tomcat asks once more after the last byte of a known length.
    assert_eq!(surplus, ["TV-21"]);
}

/// Both machines in the state in which the first packet of the vector may come.
fn start(vector: &Value) -> Observer {
    match vector["shape"].as_str() {
        Some("ping" | "exchange" | "open_exchange" | "samples") => Observer::new(SIZE),
        Some("answer") => Observer::within_exchange(SIZE, BodyFraming::Absent),
        other => panic!("shape {other:?}"),
    }
}

/// A sample stands alone: its exchange is brought to where it is due first.
fn observe(vector: &Value, observer: &mut Observer, expected: &Value, payload: &Bytes) -> Packet {
    if vector["shape"] == "samples" {
        *observer = Observer::within_exchange(SIZE, BodyFraming::Chunked);
        match expected["what"].as_str().unwrap() {
            "body" => drop(observer.container_sent(&Bytes::from_static(&[6, 0x1f, 0xfa]))),
            "send_body_chunk" | "end_response" => {
                let bare_head = Bytes::from_static(&[4, 0, 200, 0, 0, 0, 0, 0]);
                observer.container_sent(&bare_head);
            }
            "get_body_chunk" => return sample_of_get_body_chunk(payload),
            "send_headers" => {}
            other => panic!("a sample of {other}"),
        }
    }
    match direction_of(expected) {
        Direction::ToContainer => observer.web_server_sent(payload),
        Direction::ToWebServer => observer.container_sent(payload),
    }
}

/// A container may ask for any size; the answer fits the packet size all the same.
fn sample_of_get_body_chunk(payload: &Bytes) -> Packet {
    let packet = ToWebServer::parse(payload.clone()).unwrap();
    let ToWebServer::GetBodyChunk { requested } = packet else {
        panic!("{packet:?}")
    };
    let mut client = ClientExchange::new(BodyFraming::Chunked, false, SIZE);
    assert_eq!(client.receive(packet), Ok(ClientEvent::BodyRequested));
    assert_eq!(client.credit(), Some(usize::from(requested).min(8186)));
    Packet::Ask(requested)
}

/// The fixture's name for a packet.
fn kind(packet: &Packet, payload: &[u8]) -> &'static str {
    match packet {
        Packet::CPing => "cping",
        Packet::Request(_) => "forward_request",
        Packet::Body(BodyPacket::Data(_)) => "body",
        Packet::Body(BodyPacket::End) if payload.is_empty() => "end_of_body_b",
        Packet::Body(BodyPacket::End) => "end_of_body_a",
        Packet::CPong => "cpong",
        Packet::Head(_) => "send_headers",
        Packet::Chunk(_) => "send_body_chunk",
        Packet::Ask(_) => "get_body_chunk",
        Packet::End { .. } => "end_response",
    }
}

/// Everything the fixture states about a packet, from what was decoded.
fn facts(packet: &Packet, payload: &Bytes) -> Value {
    let mut facts = match packet {
        Packet::CPing | Packet::CPong => json!({}),
        Packet::Request(request) => request_facts(request),
        Packet::Head(head) => head_facts(head),
        Packet::Body(BodyPacket::Data(data)) => data_facts(data),
        Packet::Body(BodyPacket::End) => data_facts(&[]),
        Packet::Chunk(data) => {
            let mut facts = data_facts(data);
            facts["terminator"] = json!(payload.len() == data.len() + 4 && payload.ends_with(&[0]));
            facts
        }
        Packet::Ask(requested) => json!({"requested": requested}),
        Packet::End { reuse } => json!({"reuse": reuse}),
    };
    facts["payload_length"] = json!(payload.len());
    facts
}

fn data_facts(data: &[u8]) -> Value {
    json!({"length": data.len(), "sha256": sha256(data)})
}

fn head_facts(head: &SendHeaders) -> Value {
    json!({
        "status": head.status(),
        "reason": head.raw_reason().map(text),
        "num_headers": head.headers().len(),
        "headers": header_list(head.headers()),
        "header_coded": coded_list(head.headers()),
    })
}

fn request_facts(request: &ForwardRequest) -> Value {
    // The fixture states the method of the code; with 0xFF it is among the attributes.
    let by_code = method_name(request.method_code());
    let attributes: Vec<Value> = request
        .attributes()
        .map(|attribute| attribute_facts(&attribute, request))
        .collect();
    let stored = attributes.iter().find(|a| a["name"] == "stored_method");
    let method = by_code.map_or_else(|| stored.unwrap()["value"].clone(), Value::from);
    assert_eq!(method, text(request.method()));
    json!({
        "method": by_code,
        "method_code": request.method_code(),
        "protocol": text(request.protocol()),
        "req_uri": text(request.req_uri()),
        "remote_addr": request.line().remote_addr.map(text),
        "remote_host": request.line().remote_host.map(text),
        "server_name": request.line().server_name.map(text),
        "server_port": request.server_port(),
        "is_ssl": request.is_ssl(),
        "num_headers": request.headers().len(),
        "headers": header_list(request.headers()),
        "header_coded": coded_list(request.headers()),
        "attributes": attributes,
    })
}

fn header_list(headers: Headers<'_>) -> Vec<[&str; 2]> {
    headers.map(|h| [text(h.name), text(h.value)]).collect()
}

fn coded_list(headers: Headers<'_>) -> Vec<bool> {
    headers.map(|header| header.code.is_some()).collect()
}

/// One attribute, and that the accessor by name or code gives the same.
fn attribute_facts(attribute: &Attribute<'_>, request: &ForwardRequest) -> Value {
    match *attribute {
        Attribute::Coded { code, value } => {
            assert_eq!(request.attribute(code), attribute.value());
            json!({"code": code.code(), "name": code.name(), "value": value.map(text)})
        }
        Attribute::SslKeySize(bits) => {
            assert_eq!(request.ssl_key_size(), Some(bits));
            let form = rewrite::key_size_form(request).map_or("integer", |_| "string");
            json!({"code": 11, "name": "ssl_key_size", "value": bits, "form": form})
        }
        Attribute::Named { name, value } => {
            assert_eq!(request.req_attribute(name), attribute.value());
            json!({"code": 10, "name": text(name), "value": value.map(text)})
        }
    }
}

#[test]
fn positive_vectors_are_written_as_stated_or_in_the_canonical_form() {
    let mut rewritten = Vec::new();
    for vector in &load("vectors/positive.json") {
        let mut observer = start(vector);
        for expected in vector["packets"].as_array().unwrap() {
            let payload = take(&hex(expected), direction_of(expected)).unwrap();
            let packet = observe(vector, &mut observer, expected, &payload);
            for reason in rewrite::check(&packet, &payload, SIZE) {
                rewritten.push((vector["id"].as_str().unwrap().to_owned(), reason));
            }
        }
    }
    assert_eq!(
        rewritten,
        REWRITTEN.map(|(id, reason)| (id.to_owned(), reason))
    );
}

/// A cut inside a complete packet is an error, except where the shorter bytes
/// are a packet of their own: no payload is end of body, a chunk may lack its terminator.
#[test]
fn shortened_payloads_of_positive_vectors_are_errors() {
    let mut cuts = 0;
    for vector in &load("vectors/positive.json") {
        for expected in vector["packets"].as_array().unwrap() {
            let payload = take(&hex(expected), direction_of(expected)).unwrap();
            for (n, mut packet) in rewrite::truncations(direction_of(expected), &payload) {
                let len = packet.len();
                let cut = split_packet(&mut packet, direction_of(expected), SIZE);
                let cut = cut.unwrap().unwrap();
                let result = match expected["what"].as_str().unwrap() {
                    "body" | "end_of_body_a" if n == 0 => continue,
                    "send_body_chunk" if n + 1 == payload.len() => continue,
                    "body" | "end_of_body_a" => BodyPacket::parse(&cut).map(drop),
                    _ if expected["from"] == "container" => ToWebServer::parse(cut).map(drop),
                    _ => ToContainer::parse(cut, &DecodeOptions::default()).map(drop),
                };
                check_error(result.unwrap_err(), len);
                cuts += 1;
            }
        }
    }
    assert_eq!(cuts, 26_681);
}

/// A decode error says where, inside the packet.
fn check_error(error: DecodeError, packet_len: usize) {
    assert!(error.offset() <= packet_len, "{error}");
    let wanted = format!("invalid AJP packet at byte {}: ", error.offset());
    let shown = error.to_string();
    assert!(
        shown.len() > wanted.len() && shown.starts_with(&wanted),
        "{shown}"
    );
    assert!(!error.rule().to_string().is_empty() && !error.field().to_string().is_empty());
}

#[test]
fn negative_vectors_fail_as_stated() {
    let vectors = load("vectors/negative.json");
    assert_eq!(vectors.len(), 41);
    let mut accepted = Vec::new();
    for vector in &vectors {
        let (id, bytes) = (vector["id"].as_str().unwrap(), hex(vector));
        let (outcome, error) = match vector["to"].as_str() {
            Some("server_idle") => to_idle_container(&bytes),
            Some("server_exchange") => to_waiting_container(&bytes),
            Some("client") => to_web_server(&bytes),
            other => panic!("{id} goes to {other:?}"),
        };
        assert_eq!(outcome, vector["expect"], "{id}");
        let found = error.map(|error| (error.field(), error.offset()));
        assert_eq!(found, defect(id), "{id}: {}", vector["defect"]);
        if let Some(error) = error {
            check_error(error, bytes.len());
        }
        accepted.extend((outcome == "accepted_tolerant").then_some(id));
    }
    assert_eq!(accepted, ["N-33"]);
}

fn defect(id: &str) -> Option<(Field, usize)> {
    let idle = IDLE_DEFECTS.into_iter().find(|known| known.0 == id);
    let other = OTHER_DEFECTS.into_iter().find(|known| known.0 == id);
    idle.map_or_else(|| other.map(|(_, field, at)| (field, at)), |known| known.1)
}

type Outcome = (&'static str, Option<DecodeError>);

fn to_idle_container(bytes: &[u8]) -> Outcome {
    let payload = match take(bytes, Direction::ToContainer) {
        Ok(payload) => payload,
        // Protocol chapter "exchange": right magic and too long is a 400, anything else is no AJP.
        Err(error) if error.field() == Field::PayloadLength => return ("bad_request", Some(error)),
        Err(error) => return ("close", Some(error)),
    };
    match Idle::new().receive(payload, &DecodeOptions::default()) {
        IdleEvent::BadRequest(error) => ("bad_request", Some(error)),
        IdleEvent::Close(ajp::proto::ProtocolError::Decode(error)) => ("close", Some(error)),
        IdleEvent::Close(error) => {
            assert!(!error.to_string().is_empty());
            ("close", None)
        }
        other => panic!("accepted: {other:?}"),
    }
}

/// With a known length and without, the packet that is owed must be a body packet.
fn to_waiting_container(bytes: &[u8]) -> Outcome {
    let payload = take(bytes, Direction::ToContainer).unwrap();
    let [first, second] = [BodyFraming::Length(8186), BodyFraming::Chunked].map(|framing| {
        let mut exchange = ServerExchange::new(framing, false, SIZE);
        let ask = exchange.request_body();
        assert_eq!(ask, (!framing.is_eager()).then(|| get_body_chunk(8186)));
        assert!(exchange.is_owed());
        let result = exchange.receive(&payload);
        assert_eq!(exchange.finish(), Finish::End { reuse: false });
        match result {
            Err(ajp::proto::ProtocolError::Decode(error)) => error,
            other => panic!("{other:?}"),
        }
    });
    assert_eq!(first, second);
    ("abort", Some(first))
}

fn to_web_server(bytes: &[u8]) -> Outcome {
    let payload = take(bytes, Direction::ToWebServer).unwrap();
    match ToWebServer::parse(payload) {
        Err(error) => ("protocol_error", Some(error)),
        Ok(packet) => {
            let mut client = ClientExchange::new(BodyFraming::Length(0), false, SIZE);
            let head = SendHeaders::parse(Bytes::from_static(&[4, 0, 200, 0, 0, 0, 0, 0]));
            client
                .receive(ToWebServer::SendHeaders(head.unwrap()))
                .unwrap();
            let event = client.receive(packet);
            assert_eq!(event, Ok(ClientEvent::Data(Bytes::from_static(b"ok"))));
            ("accepted_tolerant", None)
        }
    }
}
