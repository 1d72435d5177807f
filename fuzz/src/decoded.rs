//! What the crate's views say, in the words of [`shadow`](crate::shadow), and the checks that
//! hold for every view.

use crate::packets::{Seen, lies_in};
use crate::printed::{Line, printed};
use crate::shadow;
use ajp::wire::{
    Attribute, AttributeCode, Direction, EncodeError, EncodeRule, ForwardRequest,
    ForwardRequestWriter, Headers, PacketSize, RequestLine, SendHeaders, SendHeadersWriter,
    request_header_name, response_header_name, split_packet,
};
use bytes::{Bytes, BytesMut};
use std::cell::RefCell;
use std::sync::Once;

fn text<'a>(part: Option<&'a [u8]>, payload: &[u8]) -> shadow::Text<'a> {
    part.inspect(|part| assert!(lies_in(part, payload), "a copy"))
}

fn headers<'a>(mut headers: Headers<'a>, payload: &[u8]) -> Vec<shadow::Header<'a>> {
    let (count, again) = (headers.len(), headers.clone());
    let mut out = Vec::with_capacity(count);
    while let Some(header) = headers.next() {
        assert!(!header.name.is_empty() && header.name.iter().all(|&b| shadow::token_byte(b)));
        // All of them, many at a time.
        let allowed = |all, &b| all & shadow::value_byte(b);
        assert!(header.value.iter().fold(true, allowed));
        assert!(lies_in(header.value, payload));
        assert!(header.code.is_some() || lies_in(header.name, payload));
        out.push(shadow::Header {
            code: header.code,
            name: header.name,
            value: header.value,
        });
        assert_eq!(headers.len(), count - out.len());
        assert_eq!(headers.size_hint(), (headers.len(), Some(headers.len())));
    }
    assert_eq!(out.len(), count, "the announced number of headers");
    assert_eq!(again.count(), count);
    assert!(headers.next().is_none(), "fused");
    out
}

/// The facts of a Forward Request.
#[must_use]
pub fn request_facts(request: &ForwardRequest) -> shadow::Request<'_> {
    let payload = &request.payload()[..];
    fn within<'a>(part: &'a [u8], payload: &[u8]) -> &'a [u8] {
        text(Some(part), payload).expect("some")
    }
    let attributes = request.attributes().map(|attribute| match attribute {
        Attribute::Coded { code, value } => {
            shadow::Attribute::Coded(code.code(), text(value, payload))
        }
        Attribute::SslKeySize(bits) => shadow::Attribute::KeySize(bits),
        Attribute::Named { name, value } => {
            shadow::Attribute::Named(within(name, payload), text(value, payload))
        }
    });
    let line = request.line();
    shadow::Request {
        method_code: request.method_code(),
        method: request.method(),
        protocol: within(request.protocol(), payload),
        req_uri: within(request.req_uri(), payload),
        remote_addr: text(line.remote_addr, payload),
        remote_host: text(line.remote_host, payload),
        server_name: text(line.server_name, payload),
        server_port: request.server_port(),
        is_ssl: request.is_ssl(),
        headers: headers(request.headers(), payload),
        attributes: attributes.collect(),
        framing: request.framing(),
    }
}

/// By themselves; for debugging they print as their packet does.
fn check_printed_headers(headers: Headers<'_>) {
    for header in headers {
        assert!(printed(format_args!("{header}")));
    }
}

/// The accessors that look up what the iterators list, and what prints by itself; in the short
/// form it prints as its message does.
pub fn check_request(request: &ForwardRequest, facts: &shadow::Request<'_>) {
    // Whatever the input is.
    static CODES: Once = Once::new();
    CODES.call_once(|| {
        for code in 0..=255 {
            let known = AttributeCode::from_code(code).is_some();
            assert!(known || !(1..=0x0d).contains(&code));
            let at = |names: &[&'static str]| names.get(usize::from(code).wrapping_sub(1)).copied();
            assert_eq!(request_header_name(code), at(&shadow::REQUEST_HEADERS));
            assert_eq!(response_header_name(code), at(&shadow::RESPONSE_HEADERS));
        }
    });
    let codes = 1..=0x0f;
    for (code, attribute) in codes.filter_map(|code| Some((code, AttributeCode::from_code(code)?)))
    {
        // Only the secret may be repeated.
        let first = facts.attributes.iter().find_map(|known| match known {
            shadow::Attribute::Coded(known, value) if *known == code => Some(*value),
            _ => None,
        });
        // Present but empty is absent, but for the query.
        let may_be_empty = attribute == AttributeCode::QueryString;
        let first = first
            .flatten()
            .filter(|value| may_be_empty || !value.is_empty());
        assert_eq!(request.attribute(attribute), first, "{attribute}");
    }
    for (value, sent) in [
        (request.remote_addr(), facts.remote_addr),
        (request.remote_host(), facts.remote_host),
        (request.server_name(), facts.server_name),
    ] {
        assert_eq!(value, sent.filter(|sent| !sent.is_empty()));
    }
    assert_eq!(
        request.query_string(),
        request.attribute(AttributeCode::QueryString)
    );
    let key_size = facts.attributes.iter().find_map(|known| match known {
        shadow::Attribute::KeySize(bits) => Some(*bits),
        _ => None,
    });
    assert_eq!(request.ssl_key_size(), key_size);
    for attribute in &facts.attributes {
        let shadow::Attribute::Named(name, _) = attribute else {
            continue;
        };
        let last = facts.attributes.iter().rev().find_map(|known| match known {
            shadow::Attribute::Named(known, value) if known == name => Some(*value),
            _ => None,
        });
        let may_be_empty = !shadow::WELL_KNOWN
            .iter()
            .any(|known| known.as_bytes() == *name);
        let last = last
            .flatten()
            .filter(|value| may_be_empty || !value.is_empty());
        assert_eq!(request.req_attribute(name), last);
    }
    assert_eq!(request.req_attribute(b""), None);
    for part in [request.req_uri(), request.method(), b"elsewhere"] {
        assert_eq!(request.slice_ref(part), part);
    }
    check_printed_headers(request.headers());
    assert!(printed(format_args!("{request:#}")));
    assert!(printed(format_args!("{:#}", request.reveal())));
    assert_eq!(request, &request.clone());
}

/// The size of the packet that the writer makes of these facts.
#[must_use]
pub fn written_len(facts: &shadow::Request<'_>) -> usize {
    let string = |text: &shadow::Text<'_>| text.map_or(2, |text| text.len() + 3);
    let headers: usize = facts
        .headers
        .iter()
        .map(|header| header_len(header.name, header.value, &shadow::REQUEST_HEADERS))
        .sum();
    let attributes: usize = facts
        .attributes
        .iter()
        .map(|attribute| match attribute {
            shadow::Attribute::Coded(shadow::STORED_METHOD, _) => 0,
            shadow::Attribute::Coded(_, value) => 1 + string(value),
            shadow::Attribute::KeySize(_) => 3,
            shadow::Attribute::Named(name, value) => 1 + name.len() + 3 + string(value),
        })
        .sum();
    let coded_method = shadow::METHODS.iter().any(|m| m.as_bytes() == facts.method);
    let stored = if coded_method {
        0
    } else {
        facts.method.len() + 4
    };
    4 + 2
        + (facts.protocol.len() + 3)
        + (facts.req_uri.len() + 3)
        + string(&facts.remote_addr)
        + string(&facts.remote_host)
        + string(&facts.server_name)
        + (2 + 1 + 2)
        + headers
        + attributes
        + stored
        + 1
}

#[must_use]
pub fn header_len(name: &[u8], value: &[u8], coded: &[&str]) -> usize {
    let coded = coded
        .iter()
        .any(|known| known.as_bytes().eq_ignore_ascii_case(name));
    let name = if coded { 2 } else { name.len() + 3 };
    name + value.len() + 3
}

/// Why the writer must refuse what the decoder accepted, by the document.
#[must_use]
pub fn is_unwritable(facts: &shadow::Request<'_>, size: PacketSize) -> bool {
    let strict_path = facts.req_uri.iter().all(|&b| shadow::path_byte(b, false));
    let origin_form = facts.req_uri.starts_with(b"/") || facts.req_uri == b"*";
    let long_name = |header: &shadow::Header<'_>| header.name.len() > 255;
    let secrets = facts
        .attributes
        .iter()
        .filter(|known| matches!(known, shadow::Attribute::Coded(shadow::SECRET, _)));
    let bad_attribute = |known: &shadow::Attribute<'_>| match known {
        shadow::Attribute::Coded(shadow::QUERY_STRING, Some(query)) => {
            !query.iter().all(|&b| shadow::written_query_byte(b))
        }
        shadow::Attribute::Coded(shadow::SSL_CERT, Some(pem)) => {
            !pem.iter().all(|&b| shadow::pem_byte(b))
        }
        shadow::Attribute::Named(name, _) => shadow::ATTRIBUTES
            .iter()
            .any(|coded| coded.as_bytes().eq_ignore_ascii_case(name)),
        _ => false,
    };
    !strict_path
        || !origin_form
        || facts.headers.iter().any(long_name)
        || secrets.count() > 1
        || facts.attributes.iter().any(bad_attribute)
        || written_len(facts) > size.bytes()
}

/// Writes the facts with the crate's writer.
///
/// # Errors
/// As the writer.
pub fn write_request(
    facts: &shadow::Request<'_>,
    buffer: &mut BytesMut,
    size: PacketSize,
) -> Result<(), EncodeError> {
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
    let mut writer = ForwardRequestWriter::new(buffer, size, &line)?;
    for header in &facts.headers {
        writer.header(header.name, header.value)?;
    }
    for attribute in &facts.attributes {
        writer.attribute(match attribute {
            shadow::Attribute::Coded(shadow::STORED_METHOD, _) => continue,
            shadow::Attribute::Coded(code, value) => Attribute::Coded {
                code: AttributeCode::from_code(*code).expect("a code of the table"),
                value: *value,
            },
            shadow::Attribute::KeySize(bits) => Attribute::SslKeySize(*bits),
            shadow::Attribute::Named(name, value) => Attribute::Named {
                name,
                value: *value,
            },
        })?;
    }
    let framing = shadow::body_framing(&facts.headers);
    assert_eq!(Some(writer.finish()?), framing, "the announced body");
    Ok(())
}

/// The form in which the writer puts facts: codes where there are any, `stored_method` last.
#[must_use]
pub fn canonical<'a>(facts: &shadow::Request<'a>) -> shadow::Request<'a> {
    let mut out = facts.clone();
    out.headers = canonical_headers(&facts.headers, &shadow::REQUEST_HEADERS);
    // Nobody takes an absent length for an empty body here.
    out.framing = shadow::body_framing(&facts.headers).expect("accepted");
    out.attributes
        .retain(|known| !matches!(known, shadow::Attribute::Coded(shadow::STORED_METHOD, _)));
    let code = shadow::METHODS
        .iter()
        .position(|method| method.as_bytes() == facts.method);
    if let Some(at) = code {
        out.method_code = u8::try_from(at + 1).expect("27 of them");
    } else {
        out.method_code = 0xff;
        let method = Some(facts.method);
        out.attributes
            .push(shadow::Attribute::Coded(shadow::STORED_METHOD, method));
    }
    out
}

#[must_use]
pub fn canonical_headers<'a>(
    headers: &[shadow::Header<'a>],
    coded: &[&'static str],
) -> Vec<shadow::Header<'a>> {
    headers
        .iter()
        .map(|header| {
            let is_name = |known: &&str| known.as_bytes().eq_ignore_ascii_case(header.name);
            let at = coded.iter().position(is_name);
            shadow::Header {
                code: at.map(|at| u8::try_from(at + 1).expect("few")),
                name: at.map_or(header.name, |at| coded[at].as_bytes()),
                value: header.value,
            }
        })
        .collect()
}

/// Takes the only packet off a buffer.
#[must_use]
pub fn only_packet(buffer: &mut BytesMut, direction: Direction, size: PacketSize) -> Bytes {
    let payload = split_packet(buffer, direction, size)
        .expect("written by the crate")
        .expect("complete");
    assert!(buffer.is_empty(), "one packet");
    payload
}

/// An accepted request is written again, and read again with the same facts.
pub fn check_rewritten_request(facts: &shadow::Request<'_>, size: PacketSize) {
    let mut buffer = BytesMut::from(&b"before"[..]);
    let result = write_request(facts, &mut buffer, size);
    if let Err(error) = result {
        assert_eq!(buffer, &b"before"[..], "{error}");
        assert!(is_unwritable(facts, size), "{error}: {facts:?}");
        check_encode_error(&error, size);
        return;
    }
    assert!(!is_unwritable(facts, size), "{facts:?}");
    let mut packet = buffer.split_off(6);
    assert_eq!(buffer, &b"before"[..]);
    assert_eq!(packet.len(), written_len(facts));
    let bytes = packet.clone();
    let payload = only_packet(&mut packet, Direction::ToContainer, size);
    let options = ajp::wire::DecodeOptions::default().with_max_headers(u16::MAX);
    let again = ForwardRequest::parse_with(payload, &options).expect("written by the crate");
    let again = request_facts(&again);
    assert_eq!(again, canonical(facts));
    let mut third = BytesMut::new();
    write_request(&again, &mut third, size).expect("written before");
    assert_eq!(third, bytes, "the canonical form is its own");
}

thread_local! {
    static SEEN: RefCell<Seen<EncodeError>> = const { RefCell::new(Seen::new()) };
}

/// A number that tells errors apart a little.
fn key_of(error: &EncodeError) -> usize {
    match error.rule() {
        EncodeRule::TooLarge { needed, .. } => needed as usize,
        EncodeRule::InvalidByte(byte) => usize::from(byte),
        _ => 0,
    }
}

/// An error says which field, and does not claim to fit.
pub fn check_encode_error(error: &EncodeError, size: PacketSize) {
    // What the same error prints is the same.
    if SEEN.with_borrow_mut(|seen| seen.contains(key_of(error), error)) {
        return;
    }
    let field = Line::of(format_args!("{}", error.field()));
    assert!(!field.is_empty() && printed(format_args!("{}", error.rule())));
    let text = Line::of(format_args!("{error}"));
    assert!(text.contains(&field), "{error}");
    assert!(printed(format_args!("{error:?}")));
    match error.rule() {
        EncodeRule::TooLarge {
            needed,
            packet_size,
        } => {
            assert!(error.is_too_large());
            assert_eq!(packet_size as usize, size.bytes());
            assert!(needed > packet_size, "{error}");
        }
        _ => assert!(!error.is_too_large()),
    }
}

/// The facts of Send Headers.
#[must_use]
pub fn response_facts(head: &SendHeaders) -> shadow::Response<'_> {
    shadow::Response {
        status: head.status(),
        reason: text(head.raw_reason(), head.payload()),
        headers: headers(head.headers(), head.payload()),
        content_length: head.content_length(),
    }
}

/// What else Send Headers says, and what prints by itself; in the short form it prints as its
/// message does.
pub fn check_response(head: &SendHeaders) {
    assert!((100..=999).contains(&head.status()));
    assert!(head.reason().bytes().all(|b| (0x20..0x7f).contains(&b)));
    assert_eq!(head.slice_ref(head.payload()), head.payload());
    check_printed_headers(head.headers());
    assert!(printed(format_args!("{head:#}")));
    assert!(printed(format_args!("{:#}", head.reveal())));
    assert_eq!(head, &head.clone());
}

/// Writes the facts with the crate's writer; a null reason becomes an empty one.
///
/// # Errors
/// As the writer.
pub fn write_response(
    facts: &shadow::Response<'_>,
    buffer: &mut BytesMut,
    size: PacketSize,
) -> Result<(), EncodeError> {
    let reason = facts.reason.unwrap_or_default();
    let mut writer = SendHeadersWriter::with_reason(buffer, size, facts.status, reason)?;
    for header in &facts.headers {
        writer.header(header.name, header.value)?;
    }
    writer.finish();
    Ok(())
}

/// An accepted response head is written again, and read again with the same facts.
pub fn check_rewritten_response(facts: &shadow::Response<'_>, size: PacketSize) {
    let reason = facts.reason.unwrap_or_default();
    let headers: usize = facts
        .headers
        .iter()
        .map(|header| header_len(header.name, header.value, &shadow::RESPONSE_HEADERS))
        .sum();
    let len = 4 + 1 + 2 + reason.len() + 3 + 2 + headers;
    let unwritable = len > size.bytes()
        || !reason.iter().all(|&b| shadow::value_byte(b))
        || facts.headers.iter().any(|header| header.name.len() > 255);
    let mut buffer = BytesMut::from(&b"before"[..]);
    if let Err(error) = write_response(facts, &mut buffer, size) {
        assert_eq!(buffer, &b"before"[..], "{error}");
        assert!(unwritable, "{error}: {facts:?}");
        check_encode_error(&error, size);
        return;
    }
    assert!(!unwritable, "{facts:?}");
    let mut packet = buffer.split_off(6);
    assert_eq!(buffer, &b"before"[..]);
    assert_eq!(packet.len(), len);
    let payload = only_packet(&mut packet, Direction::ToWebServer, size);
    let again = SendHeaders::parse(payload).expect("written by the crate");
    let expected = shadow::Response {
        reason: Some(reason),
        headers: canonical_headers(&facts.headers, &shadow::RESPONSE_HEADERS),
        ..facts.clone()
    };
    assert_eq!(response_facts(&again), expected);
}
