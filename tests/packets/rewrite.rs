//! Writes a decoded packet again with the writers of the crate. The bytes are the same, or
//! differ for a [`Reason`] whose effect on the length is known; then the new packet must
//! decode to the same facts.

use super::observer::Packet;
use ajp::wire::{
    Attribute, AttributeCode, BodyFraming, BodyPacket, CPING, CPONG, Direction, END_OF_BODY,
    END_RESPONSE_CLOSE, END_RESPONSE_REUSE, FLUSH, ForwardRequest, ForwardRequestWriter,
    HEADER_LEN, Headers, PacketSize, SendHeaders, SendHeadersWriter, get_body_chunk, method_code,
    request_header_code, response_header_code, split_packet, write_body_chunk, write_request_body,
};
use bytes::{Bytes, BytesMut};

/// Why the crate writes a packet in another form than some peer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reason {
    /// End of body as an empty payload (`mod_jk`); the crate writes the length 0.
    EndFormB,
    /// A header name spelled out that has a code.
    NameHasCode,
    /// Code 0xFF and `stored_method` for a method that has a code (httpd: ACL, SEARCH).
    MethodHasCode,
    /// `stored_method` before other attributes; the crate writes it last.
    StoredMethodEarly,
    /// `ssl_key_size` as a string of digits instead of a number.
    KeySizeAsString,
    /// The null string as reason phrase; the crate writes the empty string.
    NullPhrase,
}

/// Rewrites a packet and compares it with the original payload.
pub(crate) fn check(packet: &Packet, payload: &Bytes, size: PacketSize) -> Vec<Reason> {
    let (direction, written) = write(packet, size);
    let differences = differences(packet, payload);
    let whole = whole(direction, payload);
    if differences.is_empty() {
        assert!(written == whole, "{packet:?}\nwas written\n{written:02x?}");
        return Vec::new();
    }
    let saved: isize = differences.iter().map(|(_, saved)| saved).sum();
    assert_eq!(
        signed(written.len()) + saved,
        signed(whole.len()),
        "{packet:?} {differences:?}"
    );
    assert_ne!(written, whole, "{differences:?}");
    let canonical = split_packet(&mut BytesMut::from(&written[..]), direction, size);
    check_same_facts(packet, canonical.unwrap().unwrap());
    differences.into_iter().map(|(reason, _)| reason).collect()
}

/// A payload with its packet header before it.
pub(crate) fn whole(direction: Direction, payload: &[u8]) -> BytesMut {
    let mut whole = BytesMut::from(&direction.magic()[..]);
    whole.extend_from_slice(&(payload.len() as u16).to_be_bytes());
    whole.extend_from_slice(payload);
    whole
}

fn write(packet: &Packet, size: PacketSize) -> (Direction, BytesMut) {
    let mut buffer = BytesMut::new();
    let direction = match packet {
        Packet::CPing | Packet::Request(_) | Packet::Body(_) => Direction::ToContainer,
        _ => Direction::ToWebServer,
    };
    match packet {
        Packet::CPing => buffer.extend_from_slice(&CPING),
        Packet::CPong => buffer.extend_from_slice(&CPONG),
        Packet::Request(request) => write_request(request, &mut buffer, size),
        Packet::Head(head) => write_head(head, &mut buffer, size),
        Packet::Body(BodyPacket::Data(data)) => {
            write_request_body(&mut buffer, data, size).unwrap();
        }
        Packet::Body(BodyPacket::End) => buffer.extend_from_slice(&END_OF_BODY),
        Packet::Chunk(data) if data.is_empty() => buffer.extend_from_slice(&FLUSH),
        Packet::Chunk(data) => write_body_chunk(&mut buffer, data, size).unwrap(),
        Packet::Ask(requested) => buffer.extend_from_slice(&get_body_chunk(*requested)),
        Packet::End { reuse: true } => buffer.extend_from_slice(&END_RESPONSE_REUSE),
        Packet::End { reuse: false } => buffer.extend_from_slice(&END_RESPONSE_CLOSE),
    }
    (direction, buffer)
}

fn write_request(request: &ForwardRequest, buffer: &mut BytesMut, size: PacketSize) {
    let mut writer = ForwardRequestWriter::new(buffer, size, &request.line()).unwrap();
    for header in request.headers() {
        writer.header(header.name, header.value).unwrap();
    }
    for attribute in request.attributes().filter(|a| !is_stored_method(a)) {
        writer.attribute(attribute).unwrap();
    }
    assert_eq!(writer.finish(), Ok(request.framing()));
}

fn write_head(head: &SendHeaders, buffer: &mut BytesMut, size: PacketSize) {
    let reason = head.raw_reason().unwrap_or_default();
    let mut writer = SendHeadersWriter::with_reason(buffer, size, head.status(), reason).unwrap();
    for header in head.headers() {
        writer.header(header.name, header.value).unwrap();
    }
    writer.finish();
}

/// Every reason to differ that applies, with the bytes that the crate's form saves.
fn differences(packet: &Packet, payload: &[u8]) -> Vec<(Reason, isize)> {
    match packet {
        Packet::Request(request) => {
            let mut all = literal_names(request.headers(), request_header_code);
            all.extend(method_form(request));
            all.extend(key_size_form(request));
            all
        }
        Packet::Head(head) => {
            let mut all = literal_names(head.headers(), response_header_code);
            all.extend(
                head.raw_reason()
                    .is_none()
                    .then_some((Reason::NullPhrase, -1)),
            );
            all
        }
        Packet::Body(BodyPacket::End) if payload.is_empty() => vec![(Reason::EndFormB, -2)],
        _ => Vec::new(),
    }
}

/// A code takes 2 bytes, a name 3 more than its length.
fn literal_names(headers: Headers<'_>, code: fn(&[u8]) -> Option<u8>) -> Vec<(Reason, isize)> {
    headers
        .filter(|header| header.code.is_none() && code(header.name).is_some())
        .map(|header| (Reason::NameHasCode, signed(header.name.len()) + 1))
        .collect()
}

fn method_form(request: &ForwardRequest) -> Option<(Reason, isize)> {
    let at = request.attributes().position(|a| is_stored_method(&a))?;
    let method = request.method();
    if method_code(method).is_some() {
        return Some((Reason::MethodHasCode, signed(method.len()) + 4));
    }
    (at + 1 < request.attributes().count()).then_some((Reason::StoredMethodEarly, 0))
}

fn signed(n: usize) -> isize {
    isize::try_from(n).unwrap()
}

fn is_stored_method(attribute: &Attribute<'_>) -> bool {
    let code = AttributeCode::StoredMethod;
    matches!(attribute, Attribute::Coded { code: c, .. } if *c == code)
}

/// The number takes 2 bytes, the string 3 more than its digits.
pub(crate) fn key_size_form(request: &ForwardRequest) -> Option<(Reason, isize)> {
    let digits = request.ssl_key_size()?.to_string();
    let mut string = vec![AttributeCode::SslKeySize.code(), 0, digits.len() as u8];
    string.extend_from_slice(digits.as_bytes());
    string.push(0);
    let is_string = request.payload().windows(string.len()).any(|w| w == string);
    is_string.then_some((Reason::KeySizeAsString, signed(digits.len()) + 1))
}

fn check_same_facts(packet: &Packet, canonical: Bytes) {
    match packet {
        Packet::Request(before) => {
            let after = ForwardRequest::parse(canonical).unwrap();
            assert_eq!(line_facts(&after), line_facts(before));
            assert_eq!(
                header_facts(after.headers()),
                header_facts(before.headers())
            );
            assert_eq!(attribute_facts(&after), attribute_facts(before));
        }
        Packet::Head(before) => {
            let after = SendHeaders::parse(canonical).unwrap();
            assert_eq!(after.status(), before.status());
            assert_eq!(after.content_length(), before.content_length());
            assert_eq!(
                after.raw_reason().unwrap_or_default(),
                before.raw_reason().unwrap_or_default()
            );
            assert_eq!(
                header_facts(after.headers()),
                header_facts(before.headers())
            );
        }
        Packet::Body(before) => assert_eq!(BodyPacket::parse(&canonical).as_ref(), Ok(before)),
        other => panic!("{other:?} has one form only"),
    }
}

type Text<'a> = Option<&'a [u8]>;

fn line_facts(request: &ForwardRequest) -> ([Text<'_>; 6], u16, bool, BodyFraming) {
    let strings = [
        Some(request.method()),
        Some(request.protocol()),
        Some(request.req_uri()),
        request.remote_addr(),
        request.remote_host(),
        request.server_name(),
    ];
    let (port, ssl) = (request.server_port(), request.is_ssl());
    (strings, port, ssl, request.framing())
}

fn header_facts(headers: Headers<'_>) -> Vec<(Vec<u8>, &[u8])> {
    headers
        .map(|header| (header.name.to_ascii_lowercase(), header.value))
        .collect()
}

fn attribute_facts(request: &ForwardRequest) -> Vec<Attribute<'_>> {
    request
        .attributes()
        .filter(|attribute| !is_stored_method(attribute))
        .collect()
}

/// Every packet that a cut payload can be, with the header patched: lengths 0 up to all but
/// the last byte.
pub(crate) fn truncations(
    direction: Direction,
    payload: &[u8],
) -> impl Iterator<Item = (usize, BytesMut)> {
    (0..payload.len()).map(move |n| {
        let packet = whole(direction, &payload[..n]);
        assert_eq!(packet.len(), n + HEADER_LEN);
        (n, packet)
    })
}
