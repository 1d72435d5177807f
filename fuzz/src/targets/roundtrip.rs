//! Any packet the writers are asked for: what they accept decodes to the same, never exceeds
//! the packet size, and is what the document allows. What they refuse leaves no trace and
//! names the field.

use crate::decoded::{
    canonical, canonical_headers, check_encode_error, header_len, only_packet, request_facts,
    response_facts, written_len,
};
use crate::packets::packet_size;
use crate::shadow;
use ajp::wire::{
    Attribute, AttributeCode, BodyPacket, DecodeOptions, Direction, EncodeError, Field,
    ForwardRequest, ForwardRequestWriter, PacketSize, RequestLine, SendHeaders, SendHeadersWriter,
    ToWebServer, write_body_chunk, write_request_body,
};
use arbitrary::{Arbitrary, Unstructured};
use bytes::{Bytes, BytesMut};
use std::borrow::Cow;

/// A text: mostly what may stand there, sometimes anything, sometimes very long.
#[derive(Debug, Clone)]
struct Text(Vec<u8>);

impl<'a> Arbitrary<'a> for Text {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let shape: u8 = u.arbitrary()?;
        let len = usize::from(u.arbitrary::<u8>()? % 40);
        let mut bytes = u.bytes(len.min(u.len()))?.to_vec();
        if shape & 7 != 0 {
            // Tokens, and now and then what is allowed in values only.
            for byte in &mut bytes {
                *byte = match shape & 7 {
                    1 => *byte | 0x80,
                    _ => b'0' + *byte % 75,
                };
            }
            bytes.retain(|&b| shape & 7 == 1 || shadow::token_byte(b));
        }
        if shape >> 4 == 15 {
            // Mostly beyond the 255 bytes of a name, now and then beyond a packet.
            let fill = match u.int_in_range(0..=66_000)? {
                fill if shape & 8 != 0 && fill % 8 == 0 => fill,
                fill => fill % 700,
            };
            bytes.resize(bytes.len() + fill, b'f');
        }
        Ok(Self(bytes))
    }
}

#[derive(Debug, Clone, Arbitrary)]
enum Name {
    Request(u8),
    Response(u8),
    Length,
    Encoding,
    Other(Text),
}

impl Name {
    fn bytes(&self) -> Cow<'_, [u8]> {
        let of = |table: &[&'static str], n: u8| table[usize::from(n) % table.len()].as_bytes();
        match self {
            Self::Request(n) => of(&shadow::REQUEST_HEADERS, *n).into(),
            Self::Response(n) => of(&shadow::RESPONSE_HEADERS, *n)
                .to_ascii_uppercase()
                .into(),
            Self::Length => b"Content-Length"[..].into(),
            Self::Encoding => b"Transfer-Encoding"[..].into(),
            Self::Other(text) => text.0[..].into(),
        }
    }
}

#[derive(Debug, Clone, Arbitrary)]
enum Value {
    Text(Text),
    Number(u64),
    Chunked,
}

impl Value {
    fn bytes(&self) -> Cow<'_, [u8]> {
        match self {
            Self::Text(text) => text.0[..].into(),
            Self::Number(number) => number.to_string().into_bytes().into(),
            Self::Chunked => b"chunked"[..].into(),
        }
    }
}

#[derive(Debug, Clone, Arbitrary)]
enum AnAttribute {
    Coded(u8, Option<Text>),
    KeySize(u16),
    WellKnown(u8, Option<Text>),
    Named(Text, Option<Text>),
}

#[derive(Debug, Clone, Arbitrary)]
enum Method {
    Coded(u8),
    Text(Text),
}

#[derive(Debug, Clone, Arbitrary)]
struct ARequest {
    method: Method,
    protocol: Option<Text>,
    uri: Text,
    slash: bool,
    remote_addr: Option<Text>,
    remote_host: Option<Text>,
    server_name: Option<Text>,
    server_port: u16,
    is_ssl: bool,
    headers: Vec<(Name, Value)>,
    attributes: Vec<AnAttribute>,
    /// A last header that brings the packet to its size, and this much beyond.
    fill: Option<u8>,
}

#[derive(Debug, Clone, Arbitrary)]
struct AResponse {
    status: u16,
    reason: Option<Text>,
    headers: Vec<(Name, Value)>,
    fill: Option<u8>,
}

#[derive(Debug, Clone, Arbitrary)]
enum Packet {
    Request(ARequest),
    Response(AResponse),
    RequestBody(u32, bool),
    BodyChunk(u32, bool),
}

/// Checks one input: a packet size, and what is asked of the writers.
pub fn run(data: &[u8]) {
    let Ok(input) = <(u8, Packet)>::arbitrary_take_rest(Unstructured::new(data)) else {
        return;
    };
    let size = packet_size(input.0);
    match input.1 {
        Packet::Request(request) => round_trip_request(&request, size),
        Packet::Response(response) => round_trip_response(&response, size),
        Packet::RequestBody(len, near) => round_trip_data(&REQUEST_BODY, len, near, size),
        Packet::BodyChunk(len, near) => round_trip_data(&BODY_CHUNK, len, near, size),
    }
}

fn text(text: &Option<Text>) -> Option<&[u8]> {
    text.as_ref().map(|text| &text.0[..])
}

fn all(text: &[u8], allowed: impl Fn(u8) -> bool) -> bool {
    // All of them are looked at, many at a time.
    text.iter().fold(true, |all, &b| all & allowed(b))
}

fn round_trip_request(input: &ARequest, size: PacketSize) {
    let method = match &input.method {
        Method::Coded(n) => shadow::METHODS[usize::from(n % 27)].as_bytes(),
        Method::Text(text) => &text.0,
    };
    let uri = if input.slash {
        Cow::from([b"/", &input.uri.0[..]].concat())
    } else {
        Cow::from(&input.uri.0)
    };
    let names: Vec<_> = input
        .headers
        .iter()
        .map(|(name, value)| (name.bytes(), value.bytes()))
        .collect();
    // What has been accepted so far.
    let mut facts = shadow::Request {
        method_code: 0xff,
        method,
        protocol: text(&input.protocol).unwrap_or(b"HTTP/1.1"),
        req_uri: &uri,
        remote_addr: text(&input.remote_addr),
        remote_host: text(&input.remote_host),
        server_name: text(&input.server_name),
        server_port: input.server_port,
        is_ssl: input.is_ssl,
        headers: Vec::new(),
        attributes: Vec::new(),
        framing: ajp::wire::BodyFraming::Absent,
    };
    let line = RequestLine {
        method: facts.method,
        protocol: facts.protocol,
        req_uri: facts.req_uri,
        remote_addr: facts.remote_addr,
        remote_host: facts.remote_host,
        server_name: facts.server_name,
        server_port: facts.server_port,
        is_ssl: facts.is_ssl,
    };
    let visible = |text: Option<&[u8]>| all(text.unwrap_or_default(), shadow::visible_byte);
    // Without the method and the end, which are written last.
    let stored = |facts: &shadow::Request<'_>| {
        let coded = shadow::METHODS.iter().any(|m| m.as_bytes() == facts.method);
        1 + if coded { 0 } else { facts.method.len() + 4 }
    };
    let line_fits = !line.method.is_empty()
        && visible(Some(line.protocol))
        && (line.req_uri == b"*" || line.req_uri.starts_with(b"/"))
        && all(line.req_uri, |b| shadow::path_byte(b, false))
        && [line.remote_addr, line.remote_host, line.server_name]
            .into_iter()
            .all(visible)
        && written_len(&facts) - stored(&facts) <= size.bytes();
    let mut buffer = BytesMut::from(&b"before"[..]);
    let Ok(mut writer) = ForwardRequestWriter::new(&mut buffer, size, &line).map_err(|error| {
        check_encode_error(&error, size);
        assert!(!line_fits, "{error}: {line:?}");
    }) else {
        assert_eq!(buffer, &b"before"[..]);
        return;
    };
    assert!(line_fits, "{line:?}");

    for (name, value) in &names {
        let code = None;
        let header = shadow::Header { code, name, value };
        let result = writer.header(name, value);
        offer_header(&mut facts, header, result, size, stored);
    }
    if let Some(beyond) = input.fill {
        // Exactly full, or up to a few bytes more or less.
        let room = size.bytes().saturating_sub(written_len(&facts) + 9);
        let value = &FILL[..(room + usize::from(beyond % 8)).saturating_sub(4)];
        let header = shadow::Header {
            code: None,
            name: b"x-fill",
            value,
        };
        let result = writer.header(header.name, header.value);
        offer_header(&mut facts, header, result, size, stored);
    }
    for attribute in &input.attributes {
        offer_attribute(&mut facts, attribute, &mut writer, size, stored);
    }
    let whole = written_len(&facts) <= size.bytes() && is_method(facts.method);
    match writer.finish() {
        Ok(framing) => {
            assert!(whole, "{facts:?}");
            assert_eq!(Some(framing), shadow::body_framing(&facts.headers));
            facts.framing = framing;
        }
        Err(error) => {
            check_encode_error(&error, size);
            assert!(!whole, "{error}: {facts:?}");
            assert_eq!(buffer, &b"before"[..]);
            return;
        }
    }
    let mut packet = buffer.split_off(6);
    assert_eq!(buffer, &b"before"[..]);
    assert!(packet.len() <= size.bytes());
    assert_eq!(packet.len(), written_len(&facts));
    let payload = only_packet(&mut packet, Direction::ToContainer, size);
    let options = DecodeOptions::default().with_max_headers(u16::MAX);
    let request = ForwardRequest::parse_with(payload, &options).expect("written by the crate");
    assert_eq!(request_facts(&request), canonical(&facts));
}

fn is_method(method: &[u8]) -> bool {
    shadow::METHODS.iter().any(|m| m.as_bytes() == method) || shadow::is_token(method)
}

/// The error is about this header.
fn check_header_error(error: &EncodeError, name: &[u8], size: PacketSize) {
    check_encode_error(error, size);
    match error.field() {
        Field::Header(short) => {
            assert!(name.starts_with(short.as_bytes()));
            assert_eq!(short.is_cut(), name.len() > 30);
        }
        Field::ContentLength => assert!(name.eq_ignore_ascii_case(b"content-length")),
        Field::TransferEncoding => assert!(name.eq_ignore_ascii_case(b"transfer-encoding")),
        field => panic!("{field} of a header"),
    }
}

fn is_header(name: &[u8], value: &[u8]) -> bool {
    shadow::is_token(name) && name.len() <= 255 && all(value, shadow::value_byte)
}

fn offer_header<'a>(
    facts: &mut shadow::Request<'a>,
    header: shadow::Header<'a>,
    result: Result<(), EncodeError>,
    size: PacketSize,
    stored: impl Fn(&shadow::Request<'_>) -> usize,
) {
    facts.headers.push(header);
    let fits = is_header(header.name, header.value)
        && shadow::body_framing(&facts.headers).is_some()
        && written_len(facts) - stored(facts) <= size.bytes();
    match result {
        Ok(()) => assert!(fits, "{header:?}"),
        Err(error) => {
            facts.headers.pop();
            assert!(!fits, "{error}: {header:?}");
            check_header_error(&error, header.name, size);
        }
    }
}

fn offer_attribute<'a>(
    facts: &mut shadow::Request<'a>,
    attribute: &'a AnAttribute,
    writer: &mut ForwardRequestWriter<'_, '_>,
    size: PacketSize,
    stored: impl Fn(&shadow::Request<'_>) -> usize,
) {
    let attribute = match attribute {
        AnAttribute::Coded(n, value) => shadow::Attribute::Coded(1 + n % 13, text(value)),
        AnAttribute::KeySize(bits) => shadow::Attribute::KeySize(*bits),
        AnAttribute::WellKnown(n, value) => {
            // Of those that have a code none may be spelled out.
            let name = match n {
                0..128 => shadow::WELL_KNOWN[usize::from(n % 4)],
                _ => shadow::ATTRIBUTES[usize::from(n % 13)],
            };
            shadow::Attribute::Named(name.as_bytes(), text(value))
        }
        AnAttribute::Named(name, value) => shadow::Attribute::Named(&name.0, text(value)),
    };
    let text =
        |value: &shadow::Text<'_>, allowed: fn(u8) -> bool| all(value.unwrap_or_default(), allowed);
    let allowed = match &attribute {
        shadow::Attribute::Coded(0x0a | 0x0b | shadow::STORED_METHOD, _) => false,
        shadow::Attribute::Coded(shadow::QUERY_STRING, value) => {
            text(value, shadow::written_query_byte)
        }
        shadow::Attribute::Coded(shadow::SSL_CERT, value) => text(value, shadow::pem_byte),
        shadow::Attribute::Coded(_, value) => text(value, shadow::value_byte),
        shadow::Attribute::KeySize(_) => true,
        shadow::Attribute::Named(name, value) => {
            let coded = |coded: &&str| coded.as_bytes().eq_ignore_ascii_case(name);
            !name.is_empty()
                && all(name, shadow::value_byte)
                && !shadow::ATTRIBUTES.iter().any(coded)
                && text(value, shadow::value_byte)
        }
    };
    let twice = facts
        .attributes
        .iter()
        .any(|known| match (known, &attribute) {
            (shadow::Attribute::Coded(a, _), shadow::Attribute::Coded(b, _)) => a == b,
            (shadow::Attribute::KeySize(_), shadow::Attribute::KeySize(_)) => true,
            (shadow::Attribute::Named(a, _), shadow::Attribute::Named(b, _)) => {
                // Protocol chapter "codes": a container refuses them.
                a == b && shadow::WELL_KNOWN.iter().any(|name| name.as_bytes() == *a)
            }
            _ => false,
        });
    facts.attributes.push(attribute);
    let fits = allowed && !twice && written_len(facts) - stored(facts) <= size.bytes();
    let result = writer.attribute(match &attribute {
        shadow::Attribute::Coded(code, value) => Attribute::Coded {
            code: AttributeCode::from_code(*code).expect("1 to 13"),
            value: *value,
        },
        shadow::Attribute::KeySize(bits) => Attribute::SslKeySize(*bits),
        shadow::Attribute::Named(name, value) => Attribute::Named {
            name,
            value: *value,
        },
    });
    match result {
        Ok(()) => assert!(fits, "{attribute:?}"),
        Err(error) => {
            facts.attributes.pop();
            assert!(!fits, "{error}: {attribute:?}");
            check_encode_error(&error, size);
            match error.field() {
                Field::Attribute(_) | Field::AttributeName | Field::NamedAttribute(_) => {}
                field => panic!("{field} of an attribute"),
            }
        }
    }
    // A header comes too late now.
    let late = writer
        .header(b"x-late", b"")
        .expect_err("after the attributes");
    assert!(!late.is_too_large());
    check_encode_error(&late, size);
}

fn round_trip_response(input: &AResponse, size: PacketSize) {
    let reason = text(&input.reason).unwrap_or_default();
    let mut len = 4 + 1 + 2 + reason.len() + 3 + 2;
    let fits = (100..=999).contains(&input.status)
        && all(reason, shadow::value_byte)
        && len <= size.bytes();
    let mut buffer = BytesMut::from(&b"before"[..]);
    let Ok(mut writer) = SendHeadersWriter::with_reason(&mut buffer, size, input.status, reason)
        .map_err(|error| {
            check_encode_error(&error, size);
            assert!(!fits, "{error}");
        })
    else {
        assert_eq!(buffer, &b"before"[..]);
        return;
    };
    assert!(fits);
    let mut headers = Vec::new();
    let mut offered: Vec<_> = input
        .headers
        .iter()
        .map(|(name, value)| (name.bytes(), value.bytes()))
        .collect();
    if let Some(beyond) = input.fill {
        let room = size.bytes().saturating_sub(len + 12) + usize::from(beyond % 8);
        let value = &FILL[..room.saturating_sub(4)];
        offered.insert(0, (b"x-fill"[..].into(), value.into()));
    }
    for (name, value) in &offered {
        let with = len + header_len(name, value, &shadow::RESPONSE_HEADERS);
        let fits = is_header(name, value) && with <= size.bytes();
        match writer.header(name, value) {
            Ok(()) => {
                assert!(fits, "{name:?}: {value:?}");
                len = with;
                let code = None;
                headers.push(shadow::Header { code, name, value });
            }
            Err(error) => {
                assert!(!fits, "{error}");
                check_header_error(&error, name, size);
            }
        }
    }
    writer.finish();
    let mut packet = buffer.split_off(6);
    assert_eq!(buffer, &b"before"[..]);
    assert_eq!(packet.len(), len);
    let payload = only_packet(&mut packet, Direction::ToWebServer, size);
    // The writer takes any Content-Length; a web server does not.
    let length = shadow::response_length(&headers);
    let head = match (SendHeaders::parse(payload), length) {
        (Ok(head), Some(_)) => head,
        (Err(error), None) => {
            assert_eq!(error.field(), Field::ContentLength);
            return;
        }
        (decoded, length) => panic!("{decoded:?} with {length:?}"),
    };
    let expected = shadow::Response {
        status: input.status,
        reason: Some(reason),
        headers: canonical_headers(&headers, &shadow::RESPONSE_HEADERS),
        content_length: length.flatten(),
    };
    assert_eq!(response_facts(&head), expected);
}

/// Any length, or one near the largest.
fn data(len: u32, near: bool, most: usize) -> &'static [u8] {
    let len = len as usize;
    let len = match (near, len >> 28) {
        (true, _) => most - 2 + len % 5,
        (false, 15) => len % DATA.len(),
        (false, _) => len % 700,
    };
    &DATA[..len]
}

/// Bytes that differ from place to place.
static DATA: [u8; 70_000] = {
    let mut data = [0; 70_000];
    let mut at = 0;
    while at < data.len() {
        data[at] = at as u8;
        at += 1;
    }
    data
};

/// The value of a header that fills a packet.
static FILL: [u8; 66_000] = [b'f'; 66_000];

/// A packet of data: what stands before its length, and what behind it.
struct Form {
    direction: Direction,
    before: &'static [u8],
    behind: &'static [u8],
    write: fn(&mut BytesMut, &[u8], PacketSize) -> Result<(), EncodeError>,
    read: fn(Bytes) -> Option<Bytes>,
}

const REQUEST_BODY: Form = Form {
    direction: Direction::ToContainer,
    before: &[],
    behind: &[],
    write: write_request_body,
    read: |payload| match BodyPacket::parse(&payload) {
        Ok(BodyPacket::Data(data)) => Some(data),
        _ => None,
    },
};

const BODY_CHUNK: Form = Form {
    direction: Direction::ToWebServer,
    before: &[3],
    behind: &[0],
    write: write_body_chunk,
    read: |payload| match ToWebServer::parse(payload) {
        Ok(ToWebServer::SendBodyChunk(data)) => Some(data),
        _ => None,
    },
};

fn round_trip_data(form: &Form, len: u32, near: bool, size: PacketSize) {
    let around = 6 + form.before.len() + form.behind.len();
    let most = size.bytes() - around;
    let data = data(len, near, most);
    let mut buffer = BytesMut::from(&b"before"[..]);
    if let Err(error) = (form.write)(&mut buffer, data, size) {
        assert!(data.is_empty() || data.len() > most, "{error}");
        check_encode_error(&error, size);
        assert_eq!((error.field(), &buffer[..]), (Field::Data, &b"before"[..]));
        return;
    }
    assert!(!data.is_empty() && data.len() <= most);
    let mut packet = buffer.split_off(6);
    assert_eq!(buffer, &b"before"[..]);
    assert_eq!(packet.len(), data.len() + around);
    assert!(packet[4..].starts_with(form.before) && packet.ends_with(form.behind));
    let payload = only_packet(&mut packet, form.direction, size);
    assert_eq!((form.read)(payload).as_deref(), Some(data));
}
