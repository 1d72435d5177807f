//! A writer that refuses a header or an attribute goes on as if it had not been offered.

#![allow(clippy::unwrap_used, reason = "a failure is the test's failure")]

use ajp::wire::{
    Attribute, AttributeCode, Direction, ForwardRequest, ForwardRequestWriter, PacketSize,
    RequestLine, SendHeaders, SendHeadersWriter, split_packet,
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
