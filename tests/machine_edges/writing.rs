//! What the writers refuse, and what stands in a packet in spite of it.

use super::SIZE;
use ajp::wire::{
    Attribute, AttributeCode, EncodeError, EncodeRule, Field, ForwardRequest, ForwardRequestWriter,
    PacketSize, RequestLine,
};
use bytes::BytesMut;

/// What is wrong with a request of this line.
fn of_line(line: &RequestLine<'_>) -> Option<(Field, EncodeRule)> {
    let request = ForwardRequest::build(SIZE, line, |_| Ok(()));
    let error = request.err()?;
    Some((error.field(), error.rule()))
}

/// What is wrong with a request that has these headers.
fn of_headers(headers: &[(&str, &str)]) -> Option<EncodeRule> {
    let request = ForwardRequest::build(SIZE, &RequestLine::default(), |writer| {
        let mut headers = headers.iter();
        headers.try_for_each(|(name, value)| writer.header(name.as_bytes(), value.as_bytes()))
    });
    Some(request.err()?.rule())
}

#[test]
fn a_request_line_holds_what_containers_take() {
    use EncodeRule::{Empty, InvalidByte, NotOriginForm};
    let line = RequestLine::default();
    for (req_uri, rule) in [
        (&b"/"[..], None),
        (b"/a;b=c%20", None),
        (b"*", None),
        (b"", Some(Empty)),
        (b"a", Some(NotOriginForm)),
        (b"**", Some(NotOriginForm)),
        (b"http://host/", Some(NotOriginForm)),
        (b"/a b", Some(InvalidByte(b' '))),
        (b"/a?b", Some(InvalidByte(b'?'))),
        (b"/a/path/long/enough/\xe9", Some(InvalidByte(0xe9))),
    ] {
        let line = RequestLine { req_uri, ..line };
        let expected = rule.map(|rule| (Field::ReqUri, rule));
        assert_eq!(of_line(&line), expected, "{}", req_uri.escape_ascii());
    }
    let bad = Some(&b"a b"[..]);
    for (line, field) in [
        (
            RequestLine {
                protocol: b"a b",
                ..line
            },
            Field::Protocol,
        ),
        (
            RequestLine {
                remote_addr: bad,
                ..line
            },
            Field::RemoteAddr,
        ),
        (
            RequestLine {
                remote_host: bad,
                ..line
            },
            Field::RemoteHost,
        ),
        (
            RequestLine {
                server_name: bad,
                ..line
            },
            Field::ServerName,
        ),
    ] {
        assert_eq!(of_line(&line), Some((field, InvalidByte(b' '))));
    }
    let line = RequestLine {
        method: b"",
        ..line
    };
    assert_eq!(of_line(&line), Some((Field::Method, Empty)));
}

/// Protocol chapter "framing".
#[test]
fn a_body_is_announced_once_and_in_one_way() {
    use EncodeRule::{Duplicate, LengthAndEncoding, NotANumber, NotChunked};
    const LENGTH: &str = "Content-Length";
    const ENCODING: &str = "Transfer-Encoding";
    for (value, rule) in [
        ("0", None),
        ("0000000000000000005", None),
        ("9223372036854775807", None),
        ("", Some(NotANumber)),
        ("+5", Some(NotANumber)),
        ("00000000000000000005", Some(NotANumber)),
        ("9223372036854775808", Some(NotANumber)),
    ] {
        assert_eq!(of_headers(&[(LENGTH, value)]), rule, "{value}");
    }
    for (value, rule) in [
        ("chunked", None),
        ("Chunked", None),
        ("", Some(NotChunked)),
        ("gzip", Some(NotChunked)),
        ("gzip, chunked", Some(NotChunked)),
    ] {
        assert_eq!(of_headers(&[(ENCODING, value)]), rule, "{value}");
    }
    let (length, encoding) = ((LENGTH, "5"), (ENCODING, "chunked"));
    assert_eq!(of_headers(&[length, length]), Some(Duplicate));
    assert_eq!(of_headers(&[encoding, encoding]), Some(Duplicate));
    assert_eq!(of_headers(&[length, encoding]), Some(LengthAndEncoding));
    assert_eq!(of_headers(&[encoding, length]), Some(LengthAndEncoding));
}

/// Undertow takes the length of a long name for a code.
#[test]
fn a_header_name_has_at_most_255_bytes() {
    let name = "x".repeat(256);
    assert_eq!(of_headers(&[(&name[1..], "a")]), None);
    assert_eq!(
        of_headers(&[(&name, "a")]),
        Some(EncodeRule::OutOfRange(256))
    );
    assert_eq!(of_headers(&[("", "a")]), Some(EncodeRule::Empty));
}

/// Whoever reads the error in a log sees which header it is about.
#[test]
fn an_error_names_the_header_by_its_first_bytes() {
    for (name, shown) in [
        ("x-short", "header x-short".to_owned()),
        (
            "x-30-bytes-are-kept-of-a-name-",
            "header x-30-bytes-are-kept-of-a-name-".to_owned(),
        ),
        (
            "x-30-bytes-are-kept-of-a-name-x",
            "header x-30-bytes-are-kept-of-a-name-...".to_owned(),
        ),
    ] {
        let line = RequestLine::default();
        let request = ForwardRequest::build(SIZE, &line, |writer| {
            writer.header(name.as_bytes(), b"a\nb")
        });
        let error = request.unwrap_err();
        let text = format!("cannot write AJP packet: {shown} may not contain 0x0a");
        assert_eq!(error.to_string(), text);
        let Field::Header(kept) = error.field() else {
            panic!("{error:?}");
        };
        assert_eq!(kept.as_bytes(), &name.as_bytes()[..name.len().min(30)]);
        assert_eq!(kept.is_cut(), name.len() > 30);
    }
}

/// Each rule is told in words.
#[test]
fn rules_of_writing_are_told_in_words() {
    for (rule, text) in [
        (
            EncodeRule::TooLarge {
                needed: 8200,
                packet_size: 8192,
            },
            "makes the packet 8200 bytes long, 8 more than the packet size 8192",
        ),
        (EncodeRule::Duplicate, "was given twice"),
        (EncodeRule::NotChunked, "is not exactly \"chunked\""),
        (
            EncodeRule::OverLimit { len: 3, allowed: 2 },
            "is 3 bytes, 2 are allowed",
        ),
    ] {
        assert_eq!(rule.to_string(), text);
    }
}

/// What of an attribute was written before its error would be read as the next one.
#[test]
fn nothing_of_a_refused_attribute_is_written() {
    let named = |name, value| Attribute::Named {
        name,
        value: Some(value),
    };
    let refused = |result: Result<(), EncodeError>, rule| {
        assert_eq!(result.unwrap_err().rule(), rule);
        Ok(())
    };
    let user = Attribute::Coded {
        code: AttributeCode::RemoteUser,
        value: Some(b"u"),
    };
    let query = |query| Attribute::Coded {
        code: AttributeCode::QueryString,
        value: Some(query),
    };
    let request = ForwardRequest::build(SIZE, &RequestLine::default(), |writer| {
        let written = writer.attribute(named(b"A", b"a\0b"));
        refused(written, EncodeRule::InvalidByte(0))?;
        writer.attribute(named(b"B", b"b"))?;
        writer.attribute(user)?;
        refused(writer.attribute(user), EncodeRule::Duplicate)?;
        let written = writer.attribute(query(b"a b"));
        refused(written, EncodeRule::InvalidByte(b' '))?;
        // One that was refused was not written yet.
        writer.attribute(query(b"a+b"))?;
        refused(writer.attribute(query(b"c")), EncodeRule::Duplicate)?;
        refused(writer.header(b"c", b"d"), EncodeRule::AfterAttributes)
    })
    .unwrap();
    let attributes: Vec<Attribute<'_>> = request.attributes().collect();
    assert_eq!(attributes, [named(b"B", b"b"), user, query(b"a+b")]);
}

/// Only four names are known to every container.
#[test]
fn a_name_that_is_not_known_may_come_twice_and_be_empty() {
    for name in [
        &b"AJP_REMOTE_PORX"[..],
        b"AJP_LOCAL_ADDX",
        b"AJP_SSL_PROTOCOX",
        b"JK_LB_ACTIVATIOX",
    ] {
        let empty = Attribute::Named {
            name,
            value: Some(b""),
        };
        let request = ForwardRequest::build(SIZE, &RequestLine::default(), |writer| {
            writer.attribute(empty)?;
            writer.attribute(empty)
        })
        .unwrap();
        assert_eq!(request.req_attribute(name), Some(&b""[..]));
        assert_eq!(request.attributes().count(), 2);
    }
}

/// A packet takes what fits to the last byte, whatever was in the buffer before.
#[test]
fn a_packet_is_filled_to_the_last_byte() {
    let size = PacketSize::DEFAULT;
    let mut room = None;
    for value_len in [8000, 8100, 8200] {
        let mut buffer = BytesMut::from(&b"before"[..]);
        let line = RequestLine::default();
        let mut writer = ForwardRequestWriter::new(&mut buffer, size, &line).unwrap();
        let value = vec![b'v'; value_len];
        match writer.header(b"x", &value) {
            Ok(()) => {
                writer.finish().unwrap();
                let packet = buffer.len() - b"before".len();
                room = Some(value_len + size.bytes() - packet);
            }
            Err(error) => {
                assert!(error.is_too_large(), "{error}");
                assert!(room.is_some_and(|room| value_len > room));
            }
        }
    }
    let exact = room.unwrap();
    for (value_len, fits) in [(exact, true), (exact + 1, false)] {
        let mut buffer = BytesMut::new();
        let line = RequestLine::default();
        let mut writer = ForwardRequestWriter::new(&mut buffer, size, &line).unwrap();
        let value = vec![b'v'; value_len];
        let written = writer.header(b"x", &value).and_then(|()| writer.finish());
        assert_eq!(written.is_ok(), fits, "{written:?}");
        assert_eq!(buffer.len(), if fits { size.bytes() } else { 0 });
    }
}
