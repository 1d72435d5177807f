//! What a web server may send: any bytes, cut anywhere, are decoded as the document says, and
//! what is accepted holds together and can be written again.

use crate::decoded::{check_request, check_rewritten_request, request_facts, write_request};
use crate::input::Input;
use crate::packets::{LONG, check_error, framed, lies_in, packet_size, split, stretched_len};
use crate::printed::printed;
use crate::shadow;
use ajp::wire::{BodyPacket, Direction, ForwardRequest, PacketSize, ToContainer};
use bytes::{Bytes, BytesMut};

/// Checks one input.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let switches = input.byte();
    let options = shadow::Options {
        max_headers: [100, 3, u16::MAX][usize::from(input.byte() % 3)],
        lenient_uri: switches & 1 != 0,
        ascii_query: switches & 0x10 != 0,
        absolute_uri: switches & 2 != 0,
        der_certificate: switches & 4 != 0,
    };
    let size = packet_size(switches >> 4);
    let cuts = input.byte();
    let shortened = usize::from(input.number());
    let stream = if switches & 8 == 0 {
        framed(input.rest(), Direction::ToContainer, size)
    } else {
        input.rest().to_vec()
    };
    for payload in split(&stream, cuts, Direction::ToContainer, size) {
        let facts = check_message(&payload, options, shortened);
        check_body(&payload);
        if let Some(long) = facts.filter(|_| switches & 0x80 != 0) {
            check_stretched(&long, options, shortened, cuts);
        }
    }
}

/// The same request with a long header, and then with one byte of it changed: whole blocks are
/// counted at once, and a short packet has none.
fn check_stretched(facts: &shadow::Request<'_>, options: shadow::Options, len: usize, byte: u8) {
    let mut facts = facts.clone();
    facts.headers.push(shadow::Header {
        code: None,
        name: b"x-long",
        value: &LONG[..stretched_len(len)],
    });
    let mut packet = BytesMut::new();
    if write_request(&facts, &mut packet, PacketSize::MAX).is_err() {
        return;
    }
    let mut payload = packet.split_off(4);
    check_message(&payload.clone().freeze(), options, len);
    let at = payload.len() - 1 - (len.wrapping_mul(7) % payload.len());
    payload[at] = byte;
    check_message(&payload.freeze(), options, len);
}

fn check_message(
    payload: &Bytes,
    options: shadow::Options,
    shortened: usize,
) -> Option<shadow::Request<'_>> {
    let expected = shadow::to_container(payload, options);
    let decoded = ToContainer::parse(payload.clone(), &options.decode_options());
    let message = match decoded {
        Ok(message) => message,
        Err(error) => {
            check_error(&error, payload.len());
            assert_eq!(expected, None, "{error}");
            return None;
        }
    };
    assert!(printed(format_args!("{message}")) && printed(format_args!("{message:?}")));
    match (&message, expected) {
        (ToContainer::ForwardRequest(request), Some(shadow::ToContainer::Request(expected))) => {
            let facts = request_facts(request);
            assert_eq!(facts, expected);
            check_request(request, &facts);
            check_rewritten_request(&facts, PacketSize::MAX);
            // Cut short it is no request.
            let cut = payload.slice(..shortened % payload.len());
            let error = ForwardRequest::parse_with(cut.clone(), &options.decode_options());
            check_error(&error.expect_err("cut short"), cut.len());
            return Some(expected);
        }
        (ToContainer::CPing, Some(shadow::ToContainer::CPing))
        | (ToContainer::Shutdown, Some(shadow::ToContainer::Shutdown))
        | (ToContainer::Ping, Some(shadow::ToContainer::Ping)) => {}
        (_, expected) => panic!("{message:?} instead of {expected:?}"),
    }
    None
}

fn check_body(payload: &Bytes) {
    match (BodyPacket::parse(payload), shadow::body(payload)) {
        (Ok(BodyPacket::Data(data)), Some(shadow::Body::Data(expected))) => {
            assert_eq!(data, expected);
            assert!(!data.is_empty() && lies_in(&data, payload));
        }
        (Ok(BodyPacket::End), Some(shadow::Body::End)) => {}
        (Err(error), None) => check_error(&error, payload.len()),
        (decoded, expected) => panic!("{decoded:?} instead of {expected:?}"),
    }
}
