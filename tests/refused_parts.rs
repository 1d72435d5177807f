//! A writer that refuses a header or an attribute says which one and by how much it is too
//! large, and goes on as if it had not been offered.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    missing_docs,
    reason = "in a test a panic is the report, and no length comes from a stranger"
)]

use ajp::client::RequestFacts;
use ajp::mapping::{write_forward_request, write_send_headers};
use ajp::wire::{
    Attribute, AttributeCode, BodyFraming, Direction, EncodeRule, Field, ForwardRequest,
    ForwardRequestWriter, PacketSize, RequestLine, SendHeaders, SendHeadersWriter, split_packet,
};
use bytes::BytesMut;

#[test]
fn of_a_request_leaves_nothing() {
    let mut buffer = BytesMut::new();
    let line = RequestLine::default();
    let mut writer = ForwardRequestWriter::new(&mut buffer, PacketSize::DEFAULT, &line).unwrap();
    for name in [&b"Host"[..], b"X-Bad", b"Content-Length"] {
        writer.header(name, b"a\nb").unwrap_err();
    }
    writer.header(b"Content-Length", b"0").unwrap();
    let user = |value| Attribute::Coded {
        code: AttributeCode::RemoteUser,
        value: Some(value),
    };
    writer.attribute(user(b"a\nb")).unwrap_err();
    let named = Attribute::Named {
        name: b"n",
        value: Some(b"\0"),
    };
    writer.attribute(named).unwrap_err();
    writer.attribute(user(b"u")).unwrap();
    writer.finish().unwrap();

    let payload = split_packet(&mut buffer, Direction::ToContainer, PacketSize::DEFAULT);
    let request = ForwardRequest::parse(payload.unwrap().unwrap()).unwrap();
    let headers: Vec<_> = request.headers().map(|h| (h.name, h.value)).collect();
    assert_eq!(headers, [(&b"content-length"[..], &b"0"[..])]);
    assert_eq!(request.attributes().collect::<Vec<_>>(), [user(b"u")]);
}

#[test]
fn of_a_response_leaves_nothing() {
    let mut buffer = BytesMut::new();
    let mut writer = SendHeadersWriter::new(&mut buffer, PacketSize::DEFAULT, 200).unwrap();
    writer.header(b"Location", b"a\nb").unwrap_err();
    writer.header(b"X-Bad", b"a\nb").unwrap_err();
    writer.header(b"X-Good", b"g").unwrap();
    writer.finish();

    let payload = split_packet(&mut buffer, Direction::ToWebServer, PacketSize::DEFAULT);
    let response = SendHeaders::parse(payload.unwrap().unwrap()).unwrap();
    let headers: Vec<_> = response.headers().map(|h| (h.name, h.value)).collect();
    assert_eq!(headers, [(&b"X-Good"[..], &b"g"[..])]);
}

#[test]
fn what_does_not_fit_is_named_with_the_sizes() {
    // Large enough for every size: the room of a packet grows several times.
    for size in [8192, 9216, 65536] {
        let size = PacketSize::new(size).unwrap();
        let value = "v".repeat(size.bytes());
        let request = http::Request::get("/a")
            .header("host", "app.example")
            .header("x-token", &value);
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let mut buffer = BytesMut::from(&b"before"[..]);
        let framing = BodyFraming::Length(0);
        let error = write_forward_request(
            &mut buffer,
            size,
            &parts,
            &RequestFacts::own_request(),
            framing,
            None,
        )
        .unwrap_err();
        assert_eq!(buffer, b"before"[..], "no byte leaves");
        assert!(matches!(error.field(), Field::Header(name) if name.as_bytes() == b"x-token"));
        let EncodeRule::TooLarge {
            needed,
            packet_size,
        } = error.rule()
        else {
            panic!("{error:?}");
        };
        assert_eq!(packet_size as usize, size.bytes());
        let more = needed - packet_size;
        assert!(
            error.to_string().contains(&format!("{more} more than")),
            "{error}"
        );

        // With exactly that much less it fits, with one byte more it does not. What follows
        // are a coded content-length of one digit and the end.
        let tail = 6 + 1;
        for (spare, fits) in [(0, true), (1, false)] {
            let kept = size.bytes() - more as usize - tail + spare;
            let mut parts = parts.clone();
            parts
                .headers
                .insert("x-token", value[..kept].parse().unwrap());
            let facts = RequestFacts::own_request();
            let written = write_forward_request(&mut buffer, size, &parts, &facts, framing, None);
            assert_eq!(written.is_ok(), fits, "{written:?}");
            let whole = buffer.len() - "before".len();
            assert_eq!(whole, if fits { size.bytes() } else { 0 });
            buffer.truncate("before".len());
        }

        let response = http::Response::builder().header("x-token", &value);
        let (parts, ()) = response.body(()).unwrap().into_parts();
        let error = write_send_headers(&mut buffer, size, &parts, false, None).unwrap_err();
        assert_eq!(buffer, b"before"[..]);
        assert!(error.to_string().contains("x-token"), "{error}");
        assert!(error.is_too_large());
    }
}
