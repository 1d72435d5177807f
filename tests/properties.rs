//! Properties of the codec and of both state machines, with random input.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report"
)]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "small numbers of our own"
)]

use ajp::proto::{BodyEvent, ClientEvent, ClientExchange, Finish, ServerExchange};
use ajp::wire::{
    Attribute, AttributeCode, BodyFraming, BodyPacket, CHUNK_TERMINATOR, DecodeOptions, Direction,
    END_RESPONSE_CLOSE, END_RESPONSE_REUSE, FLUSH, ForwardRequest, ForwardRequestWriter,
    PacketSize, RequestLine, SendHeaders, SendHeadersWriter, ToContainer, ToWebServer,
    split_packet, write_body_chunk, write_request_body,
};
use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use std::collections::VecDeque;

fn token() -> impl Strategy<Value = String> {
    "[A-Za-z0-9!#$%&'*+.^_`|~-]{1,20}"
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(
        prop_oneof![Just(b'\t'), 0x20..=0x7eu8, 0x80..=0xffu8],
        0..60,
    )
}

fn uri() -> impl Strategy<Value = String> {
    "/[!$-;=@-~]{0,40}"
}

fn size() -> impl Strategy<Value = PacketSize> {
    prop_oneof![Just(8192), Just(9216), Just(65536)]
        .prop_map(|bytes| PacketSize::new(bytes).unwrap())
}

/// Names that say how long the body is have rules of their own.
fn header() -> impl Strategy<Value = (String, Vec<u8>)> {
    let coded = prop::sample::select(vec![
        "Accept",
        "cookie",
        "HOST",
        "user-agent",
        "x-forwarded-for",
    ]);
    let name = prop_oneof![coded.prop_map(String::from), token()];
    let lengths = |name: &String| {
        !name.eq_ignore_ascii_case("content-length")
            && !name.eq_ignore_ascii_case("transfer-encoding")
    };
    (name.prop_filter("a body length", lengths), value())
}

fn take(buffer: &mut BytesMut, direction: Direction, size: PacketSize) -> Bytes {
    split_packet(buffer, direction, size).unwrap().unwrap()
}

/// The same cases in every run.
fn seeded(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        rng_seed: RngSeed::Fixed(0x1234_4142),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(seeded(128))]

    #[test]
    fn forward_requests_round_trip(
        size in size(),
        method in prop_oneof![Just("GET".to_owned()), Just("PATCH".to_owned()), token()],
        uri in uri(),
        host in prop::option::of("[a-z0-9.]{0,20}"),
        port: u16,
        is_ssl: bool,
        headers in prop::collection::vec(header(), 0..20),
        framing in prop_oneof![
            Just(BodyFraming::Absent), Just(BodyFraming::Chunked), (0..=i64::MAX as u64).prop_map(BodyFraming::Length)
        ],
        query in prop::option::of("[!$-;=?@-~]{0,30}"),
        bits in prop::option::of(6u16..),
        named in prop::collection::vec(("X_[A-Z]{1,12}", prop::option::of(value())), 0..4),
    ) {
        let mut buffer = BytesMut::from(&b"before"[..]);
        let line = RequestLine {
            method: method.as_bytes(),
            req_uri: uri.as_bytes(),
            remote_host: host.as_ref().map(String::as_bytes),
            server_port: port,
            is_ssl,
            ..RequestLine::default()
        };
        let mut writer = ForwardRequestWriter::new(&mut buffer, size, &line).unwrap();
        for (name, value) in &headers {
            writer.header(name.as_bytes(), value).unwrap();
        }
        match framing {
            BodyFraming::Length(n) => writer.header(b"Content-Length", n.to_string().as_bytes()).unwrap(),
            BodyFraming::Chunked => writer.header(b"transfer-encoding", b"chunked").unwrap(),
            BodyFraming::Absent => {}
        }
        if let Some(query) = &query {
            let value = Some(query.as_bytes());
            writer.attribute(Attribute::Coded { code: AttributeCode::QueryString, value }).unwrap();
        }
        if let Some(bits) = bits {
            writer.attribute(Attribute::SslKeySize(bits)).unwrap();
        }
        for (name, value) in &named {
            writer.attribute(Attribute::Named { name: name.as_bytes(), value: value.as_deref() }).unwrap();
        }
        prop_assert_eq!(writer.finish().unwrap(), framing);
        let mut packet = buffer.split_off(6);
        prop_assert_eq!(&buffer[..], b"before");

        let request = ForwardRequest::parse(take(&mut packet, Direction::ToContainer, size)).unwrap();
        prop_assert!(packet.is_empty());
        prop_assert_eq!(request.method(), method.as_bytes());
        prop_assert_eq!(request.req_uri(), uri.as_bytes());
        prop_assert_eq!(request.line().remote_host, host.as_ref().map(String::as_bytes));
        prop_assert_eq!(request.remote_host(), host.as_ref().map(String::as_bytes).filter(|host| !host.is_empty()));
        prop_assert_eq!((request.server_port(), request.is_ssl()), (port, is_ssl));
        prop_assert_eq!(request.framing(), framing);
        prop_assert_eq!(request.query_string(), query.as_ref().map(String::as_bytes));
        prop_assert_eq!(request.ssl_key_size(), bits);
        let seen: Vec<_> = request.headers().take(headers.len()).collect();
        for (seen, (name, value)) in seen.iter().zip(&headers) {
            prop_assert!(seen.name.eq_ignore_ascii_case(name.as_bytes()));
            prop_assert_eq!(seen.value, &value[..]);
        }
        prop_assert_eq!(request.headers().len(), headers.len() + usize::from(framing != BodyFraming::Absent));
        let attributes: Vec<_> = request.attributes().filter_map(|attribute| match attribute {
            Attribute::Named { name, value } => Some((name.to_vec(), value.map(<[u8]>::to_vec))),
            _ => None,
        }).collect();
        let expected: Vec<_> = named.into_iter().map(|(name, value)| (name.into_bytes(), value)).collect();
        prop_assert_eq!(attributes, expected);

        // Every truncation inside the packet is an error, with an offset inside it.
        let payload = request.payload();
        for cut in 0..payload.len() {
            let error = ForwardRequest::parse(payload.slice(..cut)).unwrap_err();
            prop_assert!(error.offset() <= cut + 4, "{error} at {cut}");
        }
    }

    #[test]
    fn send_headers_round_trip(size in size(), status in 100u16..=999, reason in value(),
                               headers in prop::collection::vec(header(), 0..20)) {
        let mut buffer = BytesMut::new();
        let mut writer = SendHeadersWriter::with_reason(&mut buffer, size, status, &reason).unwrap();
        for (name, value) in &headers {
            writer.header(name.as_bytes(), value).unwrap();
        }
        writer.finish();
        let head = SendHeaders::parse(take(&mut buffer, Direction::ToWebServer, size)).unwrap();
        prop_assert_eq!((head.status(), head.raw_reason()), (status, Some(&reason[..])));
        for (seen, (name, value)) in head.headers().zip(&headers) {
            prop_assert!(seen.name.eq_ignore_ascii_case(name.as_bytes()));
            prop_assert_eq!(seen.value, &value[..]);
        }
        prop_assert_eq!(head.headers().len(), headers.len());
        for cut in 0..head.payload().len() {
            prop_assert!(SendHeaders::parse(head.payload().slice(..cut)).is_err());
        }
    }

    #[test]
    fn any_bytes_are_an_answer_or_an_error_never_a_panic(payload in prop::collection::vec(any::<u8>(), 0..400), code in 0u8..12) {
        let mut typed = payload.clone();
        typed.insert(0, code);
        for payload in [Bytes::from(payload), Bytes::from(typed)] {
            let options = DecodeOptions::default();
            if let Ok(ToContainer::ForwardRequest(request)) = ToContainer::parse(payload.clone(), &options) {
                prop_assert_eq!(request.headers().count(), request.headers().len());
                let _ = format!("{request:?}");
            }
            let _ = ToWebServer::parse(payload.clone());
            if let Ok(BodyPacket::Data(data)) = BodyPacket::parse(&payload) {
                prop_assert!(!data.is_empty() && data.len() + 2 <= payload.len());
            }
        }
    }

    #[test]
    fn packets_fill_the_size_exactly_and_never_exceed_it(size in size(), spare in 0usize..3) {
        let mut buffer = BytesMut::new();
        let max = size.max_request_body();
        prop_assert!(write_request_body(&mut buffer, &vec![1; max - spare], size).is_ok());
        prop_assert_eq!(buffer.len(), size.bytes() - spare);
        prop_assert!(write_request_body(&mut buffer, &vec![1; max + 1 + spare], size).unwrap_err().is_too_large());
        buffer.clear();
        let max = size.max_body_chunk();
        prop_assert!(write_body_chunk(&mut buffer, &vec![1; max - spare], size).is_ok());
        prop_assert_eq!(buffer.len(), size.bytes() - spare);
        prop_assert!(write_body_chunk(&mut buffer, &vec![1; max + 1 + spare], size).unwrap_err().is_too_large());
        // A request whose last header makes the packet exactly P, then one byte more.
        let build = |buffer: &mut BytesMut, len: usize| {
            let mut writer = ForwardRequestWriter::new(buffer, size, &RequestLine::default())?;
            writer.header(b"x-fill", &vec![b'f'; len])?;
            writer.finish()
        };
        buffer.clear();
        build(&mut buffer, 0).unwrap();
        let room = size.bytes() - buffer.len();
        buffer.clear();
        build(&mut buffer, room - spare).unwrap();
        prop_assert_eq!(buffer.len(), size.bytes() - spare);
        buffer.clear();
        let error = build(&mut buffer, room + 1).unwrap_err();
        prop_assert!(error.is_too_large() && buffer.is_empty(), "{}", error);
    }

    #[test]
    fn any_split_gives_the_same_packets(bodies in prop::collection::vec(1usize..9000, 1..6), cuts in prop::collection::vec(1usize..9000, 0..40)) {
        let mut stream = BytesMut::new();
        for &len in &bodies {
            write_body_chunk(&mut stream, &vec![7; len.min(8184)], PacketSize::DEFAULT).unwrap();
        }
        let stream = stream.freeze();
        let (mut buffer, mut fed, mut seen) = (BytesMut::new(), 0, Vec::new());
        for cut in cuts.into_iter().chain([stream.len()]) {
            let end = (fed + cut).min(stream.len());
            buffer.extend_from_slice(&stream[fed..end]);
            fed = end;
            while let Some(payload) = split_packet(&mut buffer, Direction::ToWebServer, PacketSize::DEFAULT).unwrap() {
                seen.push(payload.len() - 4);
            }
        }
        let expected: Vec<_> = bodies.iter().map(|&len| len.min(8184)).collect();
        prop_assert_eq!(seen, expected);
        prop_assert!(buffer.is_empty());
    }
}

/// What the container's application does next.
#[derive(Debug, Clone, Copy)]
enum Act {
    Read,
    Write(usize),
    Flush,
    Idle,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![3 => Just(Act::Read), 2 => (1usize..20_000).prop_map(Act::Write), 1 => Just(Act::Flush), 1 => Just(Act::Idle)]
}

/// Both machines back to back over two byte pipes that pass on a few bytes at a time.
struct Pair {
    client: ClientExchange,
    server: ServerExchange,
    to_server: BytesMut,
    to_client: BytesMut,
    at_server: BytesMut,
    at_client: BytesMut,
    source: VecDeque<Bytes>,
    uploaded: usize,
    downloaded: usize,
    body_ended: bool,
}

impl Pair {
    fn new(length: usize, chunked: bool, frame: usize, requests: u16) -> Self {
        let framing = if chunked {
            BodyFraming::Chunked
        } else {
            BodyFraming::Length(length as u64)
        };
        let size = PacketSize::DEFAULT;
        let mut client = ClientExchange::new(framing, false, size).with_body_requests(requests);
        client.request_written();
        let data = vec![2u8; length];
        Self {
            client,
            server: ServerExchange::new(framing, false, size).with_body_requests(requests),
            to_server: BytesMut::new(),
            to_client: BytesMut::new(),
            at_server: BytesMut::new(),
            at_client: BytesMut::new(),
            source: data.chunks(frame).map(Bytes::copy_from_slice).collect(),
            uploaded: 0,
            downloaded: 0,
            body_ended: false,
        }
    }

    /// Moves up to `n` bytes each way and lets both sides react. Returns whether anything moved.
    fn step(&mut self, n: usize) -> bool {
        let mut moved = self.pump_upload();
        for (from, to) in [
            (&mut self.to_server, &mut self.at_server),
            (&mut self.to_client, &mut self.at_client),
        ] {
            let part = from.split_to(n.min(from.len()));
            moved |= !part.is_empty();
            to.extend_from_slice(&part);
        }
        if let Some(payload) = split_packet(
            &mut self.at_server,
            Direction::ToContainer,
            PacketSize::DEFAULT,
        )
        .unwrap()
        {
            moved = true;
            match self.server.receive(&payload).unwrap() {
                BodyEvent::Data(data) => self.uploaded += data.len(),
                BodyEvent::End => self.body_ended = true,
                BodyEvent::StrayEmpty => panic!("nobody sends one"),
            }
        }
        if let Some(payload) = split_packet(
            &mut self.at_client,
            Direction::ToWebServer,
            PacketSize::DEFAULT,
        )
        .unwrap()
        {
            moved = true;
            if let ClientEvent::Data(data) = self
                .client
                .receive(ToWebServer::parse(payload).unwrap())
                .unwrap()
            {
                self.downloaded += data.len();
            }
        }
        moved
    }

    fn pump_upload(&mut self) -> bool {
        let Some(credit) = self.client.credit() else {
            return false;
        };
        match self.source.pop_front() {
            Some(mut data) if credit > 0 => {
                let part = data.split_to(credit.min(data.len()));
                if !data.is_empty() {
                    self.source.push_front(data);
                }
                self.to_server
                    .extend_from_slice(&self.client.send_data(part.len()).unwrap());
                self.to_server.extend_from_slice(&part);
            }
            rest => {
                assert!(rest.is_none() || credit > 0);
                self.to_server
                    .extend_from_slice(&self.client.send_end().unwrap());
            }
        }
        true
    }

    fn settle(&mut self, n: usize) {
        for _ in 0..2_000_000 {
            if !self.step(n) {
                return;
            }
        }
        panic!("the pair never comes to rest");
    }
}

proptest! {
    #![proptest_config(seeded(1000))]

    /// Random bodies, flushes, reads and early ends: nothing deadlocks, every byte that was
    /// read is right, and when reuse is claimed no byte is left anywhere.
    #[test]
    fn the_machines_never_deadlock_and_never_leave_a_byte(
        length in prop_oneof![Just(0usize), Just(1), 512usize..768, Just(8186), Just(8187), 0usize..40_000],
        chunked: bool,
        frame in 1usize..9000,
        acts in prop::collection::vec(act(), 0..12),
        n in 1usize..5000,
        read_all: bool,
        requests in 1u16..5,
    ) {
        let mut pair = Pair::new(length, chunked, frame, requests);
        let mut head = BytesMut::new();
        SendHeadersWriter::new(&mut head, PacketSize::DEFAULT, 200).unwrap().finish();
        let mut written = 0;
        let mut started = false;
        for act in acts {
            match act {
                Act::Read => if let Some(ask) = pair.server.request_body() {
                    pair.to_client.extend_from_slice(&ask);
                },
                Act::Write(_) | Act::Flush if !started => {
                    started = true;
                    pair.server.headers_sent(200, None);
                    pair.to_client.extend_from_slice(&head);
                }
                Act::Write(len) => {
                    for part in vec![9u8; len].chunks(8184) {
                        pair.to_client.extend_from_slice(&pair.server.send_chunk(part.len()).unwrap());
                        pair.to_client.extend_from_slice(part);
                        pair.to_client.extend_from_slice(&CHUNK_TERMINATOR);
                    }
                    written += len;
                }
                Act::Flush => pair.to_client.extend_from_slice(&FLUSH),
                Act::Idle => {}
            }
            pair.step(n);
        }
        if read_all {
            while !pair.server.is_body_complete() {
                if let Some(ask) = pair.server.request_body() {
                    pair.to_client.extend_from_slice(&ask);
                }
                prop_assert!(pair.step(n), "deadlock after {} of {} bytes", pair.uploaded, length);
            }
            prop_assert_eq!(pair.uploaded, length);
        }
        if !started {
            pair.server.headers_sent(200, None);
            pair.to_client.extend_from_slice(&head);
        }
        while pair.server.finish() == Finish::ReadOwedBodyFirst {
            prop_assert!(pair.step(n), "the owed packet never comes");
        }
        let reuse = pair.server.finish() == (Finish::End { reuse: true });
        prop_assert!(reuse, "both sides kept the rules");
        pair.to_client.extend_from_slice(if reuse { &END_RESPONSE_REUSE } else { &END_RESPONSE_CLOSE });
        pair.settle(n);
        prop_assert!(pair.client.is_ended());
        prop_assert!(pair.client.is_reusable());
        prop_assert_eq!(pair.downloaded, written);
        for left in [&pair.to_server, &pair.to_client, &pair.at_server, &pair.at_client] {
            prop_assert!(left.is_empty(), "{} bytes are left over", left.len());
        }
    }
}
