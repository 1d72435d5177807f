//! What the machines and the writer may not be talked into, found by fuzzing.

#![allow(clippy::unwrap_used, reason = "a failure is the test's failure")]

use ajp::proto::{ClientEvent, ClientExchange, ServerExchange};
use ajp::wire::{
    Attribute, BodyFraming, EncodeRule, ForwardRequestWriter, PacketSize, RequestLine, SendHeaders,
    ToWebServer,
};
use bytes::{Bytes, BytesMut};

const SIZE: PacketSize = PacketSize::DEFAULT;

/// Section 4.12: sent after End Response, the packet would be read as a message.
#[test]
fn a_body_packet_that_is_late_makes_no_connection_reusable() {
    for framing in [BodyFraming::Length(5), BodyFraming::Chunked] {
        let mut exchange = ClientExchange::new(framing, false, SIZE);
        exchange.request_written();
        if framing == BodyFraming::Chunked {
            let ask = ToWebServer::GetBodyChunk { requested: 5 };
            assert_eq!(exchange.receive(ask), Ok(ClientEvent::BodyRequested));
        }
        let head = Bytes::from_static(&[4, 0, 200, 0, 0, 0, 0, 0]);
        let head = ToWebServer::SendHeaders(SendHeaders::parse(head).unwrap());
        exchange.receive(head).unwrap();
        assert_eq!(exchange.credit(), Some(5));
        let end = ToWebServer::EndResponse { reuse: true };
        assert_eq!(exchange.receive(end), Ok(ClientEvent::End));
        assert_eq!(exchange.credit(), None);
        exchange.send_data(5).unwrap_err();
        exchange.send_end().unwrap_err();
        assert!(!exchange.is_reusable());
    }
}

#[test]
fn nothing_is_sent_after_a_protocol_error() {
    let mut exchange = ClientExchange::new(BodyFraming::Length(5), false, SIZE);
    exchange.receive(ToWebServer::CPong).unwrap_err();
    assert_eq!(exchange.credit(), None);
    exchange.send_data(5).unwrap_err();
    exchange.send_end().unwrap_err();
}

#[test]
fn a_refused_chunk_takes_nothing_from_the_announced_length() {
    let mut exchange = ServerExchange::new(BodyFraming::Length(0), false, SIZE);
    exchange.headers_sent(200, Some(9000));
    let error = exchange.send_chunk(8185).unwrap_err();
    assert!(error.is_too_large(), "{error}");
    assert_eq!(exchange.response_left(), Some(9000));
    exchange.send_chunk(8184).unwrap();
    assert_eq!(exchange.response_left(), Some(816));
}

/// Section 3.4: a container refuses them.
#[test]
fn well_known_attributes_are_written_once() {
    let named = |name| Attribute::Named {
        name,
        value: Some(b"1"),
    };
    for name in [
        &b"AJP_REMOTE_PORT"[..],
        b"AJP_LOCAL_ADDR",
        b"AJP_SSL_PROTOCOL",
        b"JK_LB_ACTIVATION",
    ] {
        let mut buffer = BytesMut::new();
        let line = RequestLine::default();
        let mut writer = ForwardRequestWriter::new(&mut buffer, SIZE, &line).unwrap();
        writer.attribute(named(name)).unwrap();
        let error = writer.attribute(named(name)).unwrap_err();
        assert_eq!(error.rule(), EncodeRule::Duplicate);
        writer.attribute(named(b"OTHER")).unwrap();
        writer.attribute(named(b"OTHER")).unwrap();
        writer.finish().unwrap();
    }
}
