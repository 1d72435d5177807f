//! What the machines, the reader and the writer may not be talked into, found by fuzzing and by
//! mutants that no other test noticed.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failure is the test's failure"
)]

mod reading;
mod writing;

use ajp::proto::{
    BodyEvent, ClientEvent, ClientExchange, Finish, Progress, ProtocolError, ServerExchange,
};
use ajp::wire::{
    Attribute, AttributeCode, BodyFraming, BodyPacket, DecodeOptions, EncodeRule, Field,
    ForwardRequest, ForwardRequestWriter, FromWebServer, PacketSize, RequestLine, Rule,
    SendHeaders, ToContainer, ToWebServer, write_body_chunk, write_request_body,
};
use bytes::{Bytes, BytesMut};

const SIZE: PacketSize = PacketSize::DEFAULT;

/// Protocol chapter "reuse": sent after End Response, the packet would be read as a message.
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

/// A relay's machine knows from the request whether its answer has a body.
#[test]
fn a_request_of_somebody_else_says_what_its_answer_may_hold() {
    for (method, expected) in [(&b"GET"[..], Some(5)), (b"HEAD", Some(0))] {
        let line = RequestLine {
            method,
            req_uri: b"/",
            ..RequestLine::default()
        };
        let mut buffer = BytesMut::new();
        let writer = ForwardRequestWriter::new(&mut buffer, SIZE, &line).unwrap();
        writer.finish().unwrap();
        let request = ForwardRequest::parse(buffer.split_off(4).freeze()).unwrap();
        let mut exchange = ClientExchange::for_request(&request, SIZE);
        assert_eq!(exchange.progress(), Progress::NotSent);
        exchange.request_written();
        assert_eq!(exchange.progress(), Progress::RequestSent);
        // A status, no reason, and Content-Length 5.
        let head = b"\x04\x00\xc8\x00\x00\x00\x00\x01\xa0\x03\x00\x015\x00";
        let head = SendHeaders::parse(Bytes::from_static(head)).unwrap();
        exchange.receive(ToWebServer::SendHeaders(head)).unwrap();
        assert_eq!(exchange.response_left(), expected);
        assert_eq!(exchange.progress(), Progress::Responding);
    }
}

/// Containers send the digits, or nothing: whoever wants a phrase gets the standard one.
#[test]
fn the_reason_of_a_head_is_the_standard_one() {
    for (status, reason) in [(404_u16, "Not Found"), (599, "")] {
        let [high, low] = status.to_be_bytes();
        let head = SendHeaders::parse(Bytes::from(vec![4, high, low, 0, 0, 0, 0, 0])).unwrap();
        assert_eq!((head.status(), head.reason()), (status, reason));
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

/// What a web server sends in the middle of an exchange, and may not, ends its connection.
#[test]
fn a_message_in_the_middle_of_an_exchange_ends_the_connection() {
    let mut exchange = ServerExchange::new(BodyFraming::Length(0), false, SIZE);
    exchange.headers_sent(200, Some(0));
    assert_eq!(exchange.finish(), Finish::End { reuse: true });
    let message = FromWebServer::Message(ToContainer::CPing);
    exchange.receive_packet(message).unwrap_err();
    assert_eq!(exchange.finish(), Finish::End { reuse: false });
    assert_eq!(exchange.request_body(), None);
}

/// What the machines tell of themselves, for relays and logs.
#[test]
fn the_machines_tell_where_they_are() {
    for head in [true, false] {
        let exchange = ClientExchange::new(BodyFraming::Absent, head, SIZE);
        assert_eq!(exchange.is_head_request(), head);
    }
    let mut exchange = ServerExchange::new(BodyFraming::Length(10), false, SIZE);
    assert!(!exchange.is_responding());
    assert_eq!(exchange.body_received(), 0);
    let body = FromWebServer::Body(BodyPacket::Data(Bytes::from_static(b"four")));
    exchange.receive_packet(body).unwrap();
    assert_eq!(exchange.body_received(), 4);
    exchange.headers_sent(200, None);
    assert!(exchange.is_responding());
}

/// Whoever breaks off says how much was announced and how much came.
#[test]
fn a_body_that_ends_early_says_how_much_is_missing() {
    let mut exchange = ClientExchange::new(BodyFraming::Length(10), false, SIZE);
    exchange.send_data(4).unwrap();
    let ask = ToWebServer::GetBodyChunk { requested: 3 };
    exchange.receive(ask.clone()).unwrap();
    exchange.send_data(3).unwrap();
    exchange.receive(ask).unwrap();
    let (expected, received) = (10, 7);
    let missing = ProtocolError::RequestTooShort { expected, received };
    assert_eq!(exchange.send_end(), Err(missing));
}

/// An error says what came.
#[test]
fn what_comes_too_early_is_named() {
    let mut exchange = ClientExchange::new(BodyFraming::Absent, false, SIZE);
    exchange.request_written();
    let chunk = ToWebServer::SendBodyChunk(Bytes::from_static(b"x"));
    let error = exchange.receive(chunk).unwrap_err();
    assert!(error.to_string().contains("Send Body Chunk"), "{error}");
}

/// A server whose client has sent all ends an exchange, and goes on only if both want to.
#[test]
fn an_end_keeps_the_connection_only_if_both_may() {
    let exchange = ServerExchange::new(BodyFraming::Length(0), false, SIZE);
    for keep in [true, false] {
        let end = ToWebServer::EndResponse { reuse: keep };
        assert_eq!(exchange.end_packet(keep), Some(end));
    }
    let mut stray = ServerExchange::new(BodyFraming::Length(0), false, SIZE);
    let empty = || FromWebServer::Body(BodyPacket::End);
    stray.receive_packet(empty()).unwrap();
    let end = ToWebServer::EndResponse { reuse: false };
    assert_eq!(stray.end_packet(true), Some(end));
    stray.receive_packet(empty()).unwrap_err();
}

/// Whether a body may be answered is known from the method.
#[test]
fn an_answer_to_head_has_no_body() {
    for (method, may) in [(&b"GET"[..], true), (b"HEAD", false)] {
        let line = RequestLine {
            method,
            req_uri: b"/",
            ..RequestLine::default()
        };
        let mut buffer = BytesMut::new();
        let writer = ForwardRequestWriter::new(&mut buffer, SIZE, &line).unwrap();
        writer.finish().unwrap();
        let request = ForwardRequest::parse(buffer.split_off(4).freeze()).unwrap();
        let mut exchange = ServerExchange::for_request(&request, SIZE);
        exchange.headers_sent(200, None);
        assert_eq!(exchange.response_has_body(), may);
    }
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

/// Protocol chapter "codes": a container refuses them.
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
        assert!(!error.is_too_large() && error.to_string().contains("cannot write AJP packet"));
        writer.attribute(named(b"OTHER")).unwrap();
        writer.attribute(named(b"OTHER")).unwrap();
        writer.finish().unwrap();
    }
}

/// What a web server does not know, some send as null and some as the empty string.
#[test]
fn present_but_empty_is_absent() {
    let unknown = RequestLine {
        remote_addr: Some(b""),
        remote_host: Some(b""),
        server_name: Some(b""),
        ..RequestLine::default()
    };
    let codes = [
        AttributeCode::RemoteUser,
        AttributeCode::AuthType,
        AttributeCode::Route,
        AttributeCode::SslCert,
        AttributeCode::SslCipher,
        AttributeCode::SslSession,
        AttributeCode::Secret,
    ];
    let names = [
        &b"AJP_REMOTE_PORT"[..],
        b"AJP_LOCAL_ADDR",
        b"AJP_SSL_PROTOCOL",
        b"JK_LB_ACTIVATION",
    ];
    for empty in [Some(&b""[..]), None] {
        let request = ForwardRequest::build(SIZE, &unknown, |writer| {
            for code in codes {
                writer.attribute(Attribute::Coded { code, value: empty })?;
            }
            names
                .into_iter()
                .try_for_each(|name| writer.attribute(Attribute::Named { name, value: empty }))
        })
        .unwrap();
        for code in codes {
            assert_eq!(request.attribute(code), None, "{code}");
        }
        for name in names {
            assert_eq!(request.req_attribute(name), None);
        }
        assert!(request.attributes().all(|sent| sent.value().is_none()));
        assert_eq!(request.remote_addr(), None);
        assert_eq!((request.remote_host(), request.server_name()), (None, None));
        assert_eq!(request.line(), unknown, "as it was sent");
    }
    // These two mean it.
    let request = ForwardRequest::build(SIZE, &unknown, |writer| {
        let (code, value) = (AttributeCode::QueryString, Some(&b""[..]));
        writer.attribute(Attribute::Coded { code, value })?;
        let name = b"SHIB_mail";
        writer.attribute(Attribute::Named { name, value })
    })
    .unwrap();
    assert_eq!(request.query_string(), Some(&b""[..]));
    assert_eq!(request.req_attribute(b"SHIB_mail"), Some(&b""[..]));
}

fn with_query(query: &[u8]) -> Bytes {
    let mut attribute = vec![5, 0, u8::try_from(query.len()).unwrap()];
    attribute.extend_from_slice(query);
    attribute.push(0);
    with_attributes(&attribute)
}

/// A GET with these attributes.
fn with_attributes(attributes: &[u8]) -> Bytes {
    let mut payload = vec![2, 2, 0, 8];
    payload.extend_from_slice(b"HTTP/1.1\0\0\x01/\0\xff\xff\xff\xff\xff\xff\0\x50\0\0\0");
    payload.extend_from_slice(attributes);
    payload.push(0xff);
    payload.into()
}

/// The field and the rule that a request with these attributes breaks.
fn broken(attributes: &[u8]) -> Option<(Field, Rule)> {
    let error = ForwardRequest::parse(with_attributes(attributes)).err()?;
    Some((error.field(), error.rule()))
}

/// Protocol chapter "codes": which attributes there may be once.
#[test]
fn an_attribute_comes_once_but_for_the_secret() {
    let user = b"\x03\0\x01u\0";
    let field = Field::Attribute(AttributeCode::RemoteUser);
    assert_eq!(broken(user), None);
    assert_eq!(
        broken(&[&user[..], user].concat()),
        Some((field, Rule::Duplicate))
    );
    let secret = b"\x0c\0\x01s\0";
    assert_eq!(broken(&[&secret[..], secret].concat()), None);
    let port = b"\x0a\0\x0fAJP_REMOTE_PORT\0\0\x01\x31\0";
    let other = b"\x0a\0\x01X\0\0\x01\x31\0";
    let address = b"\x0a\0\x0eAJP_LOCAL_ADDR\0\0\x01\x31\0";
    assert_eq!(broken(&[&port[..], other, address, other].concat()), None);
    let duplicate = Some((Field::AttributeName, Rule::Duplicate));
    assert_eq!(broken(&[&port[..], address, port].concat()), duplicate);
    assert_eq!(broken(&[&port[..], port].concat()), duplicate);
}

/// Protocol chapter "codes": what the strings of attributes may hold.
#[test]
fn each_attribute_holds_what_its_kind_may() {
    let method = Field::Attribute(AttributeCode::StoredMethod);
    let payload = |method: &[u8]| {
        let mut payload = with_attributes(method).to_vec();
        payload[1] = 0xff;
        ForwardRequest::parse(payload.into())
    };
    let request = payload(b"\x0d\0\x04LOCK\0").unwrap();
    assert_eq!(request.method(), b"LOCK");
    for (value, rule) in [
        (&b"\x0d\0\x03A B\0"[..], Rule::InvalidByte(b' ')),
        (b"\x0d\0\0\0", Rule::Empty),
        (b"\x0d\xff\xff", Rule::Null),
    ] {
        let error = payload(value).unwrap_err();
        assert_eq!((error.field(), error.rule()), (method, rule));
    }
    let certificate = Field::Attribute(AttributeCode::SslCert);
    let (der, pem) = (b"\x07\0\x02\x30\x82\0", b"\x07\0\x02a\n\0");
    assert_eq!(broken(pem), None);
    assert_eq!(broken(der), Some((certificate, Rule::InvalidByte(0x82))));
    let options = DecodeOptions::default().with_der_certificate(true);
    let request = ForwardRequest::parse_with(with_attributes(der), &options).unwrap();
    let value = request.attribute(AttributeCode::SslCert);
    assert_eq!(value, Some(&[0x30, 0x82][..]));
}

/// Protocol chapter "codes": a number, or as some peers send it by mistake, its digits.
#[test]
fn a_key_size_is_a_number_or_its_digits() {
    let key_size = |attributes: &[u8]| {
        let request = ForwardRequest::parse(with_attributes(attributes));
        request.map(|request| request.ssl_key_size())
    };
    assert_eq!(key_size(b"\x0b\x01\0"), Ok(Some(256)));
    assert_eq!(key_size(b"\x0b\0\x03256\0"), Ok(Some(256)));
    let field = Field::Attribute(AttributeCode::SslKeySize);
    let too_large = broken(b"\x0b\0\x0570000\0");
    assert_eq!(too_large, Some((field, Rule::OutOfRange(70_000))));
    // These are the numbers 2, 6 and 0, and what follows them is no attribute.
    for (attributes, next) in [
        (&b"\x0b\0\x02x1\0"[..], b'x'),
        (b"\x0b\0\x06123456\0", b'1'),
    ] {
        let unknown = (Field::AttributeCode, Rule::UnknownCode(next.into()));
        assert_eq!(broken(attributes), Some(unknown));
    }
    assert_eq!(key_size(b"\x0b\0\0"), Ok(Some(0)));
}

/// Protocol chapter "packets": a message of one code, or of a code and a number, is nothing more.
#[test]
fn short_messages_carry_nothing_else() {
    let options = DecodeOptions::default();
    let trailing = (Field::End, Rule::TrailingBytes(1));
    for code in [10, 8, 7] {
        assert!(ToContainer::parse(Bytes::from(vec![code]), &options).is_ok());
        let error = ToContainer::parse(Bytes::from(vec![code, 0]), &options).unwrap_err();
        assert_eq!((error.field(), error.rule()), trailing);
    }
    for message in [&[9][..], &[5, 1], &[6, 0, 1]] {
        assert!(ToWebServer::parse(Bytes::from(message.to_vec())).is_ok());
        let longer = [message, &[0]].concat();
        let error = ToWebServer::parse(longer.into()).unwrap_err();
        assert_eq!((error.field(), error.rule()), trailing);
    }
}

/// A refusal says what would have been needed, and how much a packet holds.
#[test]
fn too_long_a_body_says_how_large_the_packet_would_be() {
    let mut buffer = BytesMut::new();
    let (needed, packet_size) = (8192 + 1, 8192);
    let expected = EncodeRule::TooLarge {
        needed,
        packet_size,
    };
    let error = write_request_body(&mut buffer, &[0; 8187], SIZE).unwrap_err();
    assert_eq!(error.rule(), expected);
    let error = write_body_chunk(&mut buffer, &[0; 8185], SIZE).unwrap_err();
    assert_eq!(error.rule(), expected);
    assert!(buffer.is_empty());
}

/// httpd and `mod_jk` pass the query on as the browser sent it.
#[test]
fn a_query_may_hold_bytes_that_are_not_ascii() {
    let (strict, lenient) = (
        DecodeOptions::default().with_ascii_query(true),
        DecodeOptions::default().with_lenient_uri(true),
    );
    for (query, default, ascii) in [
        (&b"a=<b>&c=\"{d}|e^`"[..], true, true),
        (b"caf\xc3\xa9&\xe9\xff", true, false),
        (b"a b", false, false),
        (b"a#b", false, false),
        (b"a\x7fb", false, false),
        (b"a\tb", false, false),
        (b"\xe9\0", false, false),
    ] {
        let decoded = |options: &DecodeOptions| {
            let request = ForwardRequest::parse_with(with_query(query), options);
            request.map(|request| request.query_string().map(<[u8]>::to_vec))
        };
        let expected = Ok(Some(query.to_vec()));
        let shown = query.escape_ascii();
        assert_eq!(
            decoded(&DecodeOptions::default()) == expected,
            default,
            "{shown}"
        );
        assert_eq!(decoded(&strict) == expected, ascii, "{shown}");
        assert_eq!(
            decoded(&lenient) == expected,
            default || query == b"a b",
            "{shown}"
        );
        if !default {
            let error = decoded(&DecodeOptions::default()).unwrap_err();
            assert_eq!(error.field(), Field::Attribute(AttributeCode::QueryString));
        }
    }
}

#[test]
fn an_absent_length_is_unknown_or_none_as_one_says() {
    let payload = with_query(b"a");
    let request = ForwardRequest::parse(payload.clone()).unwrap();
    assert_eq!(request.framing(), BodyFraming::Absent);
    let options = DecodeOptions::default().with_absent_length_as_empty(true);
    let request = ForwardRequest::parse_with(payload, &options).unwrap();
    assert_eq!(request.framing(), BodyFraming::Length(0));
    let mut exchange = ServerExchange::for_request(&request, SIZE);
    assert!(exchange.is_body_complete());
    assert_eq!(exchange.request_body(), None);
}

#[test]
fn a_small_request_for_body_does_not_make_the_next_one_small() {
    let mut exchange = ClientExchange::new(BodyFraming::Length(10_000), false, SIZE);
    exchange.send_data(8_186).unwrap();
    let ask = |requested| ToWebServer::GetBodyChunk { requested };
    exchange.receive(ask(100)).unwrap();
    assert_eq!(exchange.credit(), Some(100));
    exchange.send_data(100).unwrap();
    exchange.receive(ask(8_186)).unwrap();
    assert_eq!(exchange.credit(), Some(1_714));
}

/// What is wrong is told by what came before: an interim head that was meant to be the last, or
/// no head at all.
#[test]
fn an_end_without_a_final_head_says_what_is_missing() {
    let end = ToWebServer::EndResponse { reuse: true };
    let mut exchange = ClientExchange::new(BodyFraming::Absent, false, SIZE);
    let head = Bytes::from_static(&[4, 0, 103, 0, 0, 0, 0, 0]);
    let head = ToWebServer::SendHeaders(SendHeaders::parse(head).unwrap());
    assert_eq!(exchange.receive(head), Ok(ClientEvent::Ignored));
    let missing = Err(ProtocolError::InformationalStatus(103));
    assert_eq!(exchange.receive(end.clone()), missing);
    let mut exchange = ClientExchange::new(BodyFraming::Absent, false, SIZE);
    assert!(!exchange.is_ended());
    let unexpected = exchange.receive(end).unwrap_err();
    assert!(
        matches!(unexpected, ProtocolError::Unexpected { .. }),
        "{unexpected}"
    );
}

#[test]
fn a_flush_after_the_end_is_called_a_flush() {
    let mut exchange = ClientExchange::new(BodyFraming::Absent, false, SIZE);
    let head = Bytes::from_static(&[4, 0, 200, 0, 0, 0, 0, 0]);
    let head = ToWebServer::SendHeaders(SendHeaders::parse(head).unwrap());
    exchange.receive(head).unwrap();
    exchange
        .receive(ToWebServer::EndResponse { reuse: true })
        .unwrap();
    for (data, name) in [(&b""[..], "a flush"), (b"late", "Send Body Chunk")] {
        let packet = ToWebServer::SendBodyChunk(Bytes::from_static(data));
        let error = exchange.receive(packet).unwrap_err();
        let (packet, state) = (name, "after the end of the exchange");
        assert_eq!(error, ProtocolError::Unexpected { packet, state });
    }
}

/// lighttpd and nginx's AJP module send an empty packet behind a request that has no body. Behind
/// a body that has begun it would be the answer to a question that nobody asked.
#[test]
fn an_unasked_empty_packet_is_tolerated_once_and_only_without_a_body() {
    let empty = || FromWebServer::Body(BodyPacket::End);
    let mut exchange = ServerExchange::new(BodyFraming::Absent, false, SIZE);
    assert_eq!(exchange.receive_packet(empty()), Ok(BodyEvent::StrayEmpty));
    exchange.receive_packet(empty()).unwrap_err();
    let mut exchange = ServerExchange::new(BodyFraming::Absent, false, SIZE);
    exchange.request_body().unwrap();
    let data = FromWebServer::Body(BodyPacket::Data(Bytes::from_static(b"data")));
    exchange.receive_packet(data).unwrap();
    exchange.receive_packet(empty()).unwrap_err();
}

/// A web server whose packets are longer than ours answers the first of two questions with all
/// that there is, and the second with the end.
#[test]
fn an_end_behind_the_last_byte_is_the_end() {
    let length = BodyFraming::Length(10_000);
    let mut exchange = ServerExchange::new(length, false, SIZE).with_body_requests(2);
    assert!(exchange.request_body().is_some());
    assert_eq!(exchange.owed(), 2);
    let all = Bytes::from(vec![0; 10_000]);
    let data = FromWebServer::Body(BodyPacket::Data(all.clone()));
    assert_eq!(exchange.receive_packet(data), Ok(BodyEvent::Data(all)));
    let end = FromWebServer::Body(BodyPacket::End);
    assert_eq!(exchange.receive_packet(end), Ok(BodyEvent::End));
    assert!(!exchange.is_owed());
}
