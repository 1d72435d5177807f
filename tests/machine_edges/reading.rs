//! What the readers refuse, and where they say it is.

use super::{SIZE, with_attributes, with_query};
use ajp::wire::{
    Attribute, AttributeCode, BodyFraming, DecodeOptions, Direction, EncodeRule, Field,
    ForwardRequest, PacketSize, RequestLine, Rule, SendHeaders,
};
use bytes::Bytes;

/// The header of the packet, which positions count.
const HEADER: usize = 4;

fn put_string(payload: &mut Vec<u8>, value: &[u8]) {
    let len = u16::try_from(value.len()).unwrap();
    payload.extend_from_slice(&len.to_be_bytes());
    payload.extend_from_slice(value);
    payload.push(0);
}

/// A GET of this path with headers that are spelled out.
fn request(uri: &[u8], headers: &[(&str, &str)]) -> Bytes {
    let mut payload = vec![2, 2];
    put_string(&mut payload, b"HTTP/1.1");
    put_string(&mut payload, uri);
    payload.extend_from_slice(b"\xff\xff\xff\xff\xff\xff\0\x50\0");
    payload.extend_from_slice(&u16::try_from(headers.len()).unwrap().to_be_bytes());
    for (name, value) in headers {
        put_string(&mut payload, name.as_bytes());
        put_string(&mut payload, value.as_bytes());
    }
    payload.push(0xff);
    payload.into()
}

#[test]
fn a_path_or_an_asterisk_is_asked_for() {
    let absolute = DecodeOptions::default().with_absolute_uri(true);
    for (uri, default, with_absolute) in [
        (&b"/"[..], None, None),
        (b"*", None, None),
        (b"", Some(Rule::Empty), Some(Rule::Empty)),
        (b"a", Some(Rule::NotOriginForm), Some(Rule::NotOriginForm)),
        (b"**", Some(Rule::NotOriginForm), Some(Rule::NotOriginForm)),
        (b"HTTP://host/a", Some(Rule::NotOriginForm), None),
        (b"https://h", Some(Rule::NotOriginForm), None),
        (
            b"https://",
            Some(Rule::NotOriginForm),
            Some(Rule::NotOriginForm),
        ),
        (
            b"ftp://host/",
            Some(Rule::NotOriginForm),
            Some(Rule::NotOriginForm),
        ),
    ] {
        for (options, expected) in [
            (DecodeOptions::default(), default),
            (absolute, with_absolute),
        ] {
            let result = ForwardRequest::parse_with(request(uri, &[]), &options);
            let broken = result.err().map(|error| {
                // Where the bytes of the path begin: behind the protocol and a length.
                let at = HEADER + 2 + (2 + 8 + 1) + 2;
                assert_eq!((error.field(), error.offset()), (Field::ReqUri, at));
                error.rule()
            });
            assert_eq!(broken, expected, "{}", uri.escape_ascii());
        }
    }
}

/// Protocol chapter "framing".
#[test]
fn a_body_that_is_announced_twice_is_refused() {
    let length = ("content-length", "5");
    let encoding = ("Transfer-Encoding", "Chunked");
    let framing = |headers: &[(&str, &str)]| {
        let result = ForwardRequest::parse(request(b"/", headers));
        let result = result.map(|request| request.framing());
        result.map_err(|error| (error.field(), error.rule()))
    };
    assert_eq!(framing(&[]), Ok(BodyFraming::Absent));
    assert_eq!(framing(&[length]), Ok(BodyFraming::Length(5)));
    assert_eq!(framing(&[length]).unwrap().length(), Some(5));
    assert_eq!(framing(&[encoding]), Ok(BodyFraming::Chunked));
    assert_eq!(BodyFraming::Chunked.length(), None);
    let (at_length, at_encoding) = (Field::ContentLength, Field::TransferEncoding);
    for (headers, expected) in [
        ([length, length], (at_length, Rule::Duplicate)),
        ([encoding, encoding], (at_encoding, Rule::Duplicate)),
        ([length, encoding], (at_encoding, Rule::LengthAndEncoding)),
        ([encoding, length], (at_length, Rule::LengthAndEncoding)),
    ] {
        assert_eq!(framing(&headers), Err(expected), "{headers:?}");
    }
    for (header, expected) in [
        (("content-length", ""), (at_length, Rule::NotANumber)),
        (
            ("content-length", "00000000000000000005"),
            (at_length, Rule::NotANumber),
        ),
        (
            ("transfer-encoding", "gzip"),
            (at_encoding, Rule::NotChunked),
        ),
    ] {
        assert_eq!(framing(&[header]), Err(expected), "{header:?}");
    }
}

#[test]
fn an_error_says_which_header_it_is_in() {
    let headers = [("a", "b"), ("c", "d\x01"), ("e", "f")];
    let error = ForwardRequest::parse(request(b"/", &headers)).unwrap_err();
    assert_eq!(error.field(), Field::HeaderValue(1));
    assert_eq!(error.rule(), Rule::InvalidByte(1));
    assert!(error.to_string().contains("value of header 1"), "{error}");
}

#[test]
fn there_are_no_more_headers_than_may_be() {
    let payload = request(b"/", &[("a", "b"), ("c", "d")]);
    let read = |limit| {
        let options = DecodeOptions::default().with_max_headers(limit);
        let result = ForwardRequest::parse_with(payload.clone(), &options);
        result.map_err(|error| error.rule())
    };
    assert!(read(2).is_ok() && read(3).is_ok());
    for limit in [0, 1] {
        let too_many = Rule::TooMany {
            count: 2,
            limit: limit.into(),
        };
        assert_eq!(read(limit).unwrap_err(), too_many);
    }
    // The smallest header takes four bytes: 9 headers do not fit where 33 bytes are left.
    let head = |count: u8, left: usize| {
        let mut payload = vec![4, 0, 200, 0, 0, 0, 0, count];
        payload.resize(8 + left, 0);
        SendHeaders::parse(payload.into()).unwrap_err().rule()
    };
    let truncated = Rule::Truncated {
        needed: 36,
        left: 33,
    };
    assert_eq!(head(9, 33), truncated);
    assert_ne!(head(8, 33), truncated);
}

/// The payload length of a packet has 16 bits, but whoever parses a payload may hand over more.
#[test]
fn a_payload_is_no_longer_than_its_length_can_say() {
    assert_eq!(PacketSize::MAX.max_accepted_payload(), 65_535);
    assert_eq!(PacketSize::DEFAULT.max_accepted_payload(), 8_192);
    assert_eq!(PacketSize::DEFAULT.max_payload(), 8_188);
    let rule = |len: usize| {
        let error = SendHeaders::parse(vec![4; len].into()).unwrap_err();
        let request = ForwardRequest::parse(vec![2; len].into()).unwrap_err();
        let too_long = |rule| matches!(rule, Rule::TooLong { .. });
        assert_eq!(too_long(error.rule()), too_long(request.rule()));
        error.rule()
    };
    let too_long = Rule::TooLong {
        len: 65_536,
        max: 65_535,
    };
    assert_eq!(rule(65_536), too_long);
    assert!(matches!(rule(65_537), Rule::TooLong { len: 65_537, .. }));
    assert!(!matches!(rule(65_535), Rule::TooLong { .. }));
}

/// Of strings from 256 bytes.
#[test]
fn an_error_in_a_long_string_says_where_it_is() {
    let long = vec![b'v'; 300];
    let at = with_attributes(&[]).len() - 1;
    let field = Field::Attribute(AttributeCode::QueryString);
    // A code, a length, 300 bytes, and one that is not NUL.
    let mut attribute = vec![5, 1, 44];
    attribute.extend_from_slice(&long);
    attribute.push(7);
    let error = ForwardRequest::parse(with_attributes(&attribute)).unwrap_err();
    assert_eq!(error.field(), field);
    assert_eq!(error.rule(), Rule::MissingTerminator(7));
    assert_eq!(error.offset(), HEADER + at + 3 + 300);
    // The payload ends within it; its last byte is the end of the attributes.
    let error = ForwardRequest::parse(with_attributes(&attribute[..103])).unwrap_err();
    let truncated = Rule::Truncated {
        needed: 301,
        left: 101,
    };
    assert_eq!(error.rule(), truncated);
    assert_eq!(error.offset(), HEADER + at + 3);
    // A bad byte far behind.
    *attribute.last_mut().unwrap() = 0;
    attribute[250] = b'#';
    let error = ForwardRequest::parse(with_attributes(&attribute)).unwrap_err();
    assert_eq!(error.rule(), Rule::InvalidByte(b'#'));
    assert_eq!(error.offset(), HEADER + at + 250);
}

#[test]
fn a_request_says_who_asks_whom() {
    let line = RequestLine {
        remote_addr: Some(b"192.0.2.1"),
        remote_host: Some(b"client.example"),
        server_name: Some(b"server.example"),
        server_port: 8443,
        is_ssl: true,
        ..RequestLine::default()
    };
    let request = ForwardRequest::build(SIZE, &line, |writer| {
        let (code, value) = (AttributeCode::RemoteUser, Some(&b"u"[..]));
        writer.attribute(Attribute::Coded { code, value })
    })
    .unwrap();
    assert_eq!(request.remote_addr(), line.remote_addr);
    assert_eq!(request.remote_host(), line.remote_host);
    assert_eq!(request.server_name(), line.server_name);
    assert_eq!((request.server_port(), request.is_ssl()), (8443, true));
    assert_eq!(request.line(), line);
    let query = ForwardRequest::parse(with_query(b"a=b")).unwrap();
    assert_eq!(query.remote_addr(), None);
}

/// Containers spell a header out that they could write as a code.
#[test]
fn a_spelled_length_of_a_response_is_a_length() {
    let head = |lengths: &[&str]| {
        let mut payload = vec![4, 0, 200, 0, 0, 0, 0];
        payload.push(u8::try_from(lengths.len()).unwrap());
        for length in lengths {
            put_string(&mut payload, b"content-Length");
            put_string(&mut payload, length.as_bytes());
        }
        let head = SendHeaders::parse(payload.into());
        head.map(|head| head.content_length())
            .map_err(|error| (error.field(), error.rule()))
    };
    assert_eq!(head(&["5"]), Ok(Some(5)));
    assert_eq!(head(&["5", "5"]), Ok(Some(5)));
    let field = Field::ContentLength;
    assert_eq!(head(&["5", "6"]), Err((field, Rule::Duplicate)));
    assert_eq!(head(&["5a"]), Err((field, Rule::NotANumber)));
}

/// What people read of a packet: on one line, and of a head all of it.
#[test]
fn packets_are_shown_without_secrets() {
    let request = request(b"/a;jsessionid=0123", &[("Cookie", "c=d"), ("x", "y")]);
    let request = ForwardRequest::parse(request).unwrap();
    let shown: Vec<String> = request.headers().map(|header| header.to_string()).collect();
    assert_eq!(shown, ["Cookie: [redacted, 3 bytes]", "x: y"]);
    assert!(
        request
            .to_string()
            .contains("jsessionid=[redacted, 4 bytes]")
    );
    assert!(request.reveal().to_string().contains("jsessionid=0123"));
    assert_eq!(Direction::ToContainer.to_string(), "to container");
    assert_eq!(Direction::ToWebServer.to_string(), "to web server");
}

/// A head that is built as a value cannot be one that nobody can read.
#[test]
fn a_head_with_two_lengths_is_not_built() {
    let built = |lengths: &[&str]| {
        let head = SendHeaders::build(SIZE, 200, |writer| {
            let mut lengths = lengths.iter();
            lengths.try_for_each(|length| writer.header(b"content-length", length.as_bytes()))
        });
        head.map(|head| head.content_length())
            .map_err(|error| (error.field(), error.rule()))
    };
    assert_eq!(built(&["5", "5"]), Ok(Some(5)));
    let field = Field::ContentLength;
    assert_eq!(built(&["5", "6"]), Err((field, EncodeRule::Duplicate)));
    assert_eq!(built(&["five"]), Err((field, EncodeRule::NotANumber)));
}

/// An empty secret is no secret, and one behind it does not take its place: containers compare
/// all, and would refuse the empty one.
#[test]
fn of_repeated_secrets_the_first_is_told() {
    for (secrets, told) in [
        (&[&b"one"[..], b"two"][..], Some(&b"one"[..])),
        (&[b"", b"two"], None),
        (&[b""], None),
        (&[], None),
    ] {
        let mut payload = request(b"/", &[]).to_vec();
        payload.pop();
        for secret in secrets {
            payload.push(AttributeCode::Secret.code());
            put_string(&mut payload, secret);
        }
        payload.push(0xff);
        let request = ForwardRequest::parse(payload.into()).unwrap();
        assert_eq!(
            request.attribute(AttributeCode::Secret),
            told,
            "{secrets:?}"
        );
        let all: Vec<_> = request.attributes().collect();
        assert_eq!(all.len(), secrets.len());
    }
}
