//! What a web server may send: any bytes, cut anywhere, are decoded as the document says, and
//! what is accepted holds together and can be written again.

use crate::decoded::{check_request, check_rewritten_request, request_facts, write_request};
use crate::packets::{Stream, check_error, lies_in};
use crate::printed::printed;
use crate::shadow;
use ajp::wire::{BodyPacket, DecodeOptions, Direction, ForwardRequest, PacketSize, ToContainer};
use bytes::Bytes;

/// Checks one input.
pub fn run(data: &[u8]) {
    let stream = Stream::read(data, Direction::ToContainer);
    let options = shadow::Options {
        max_headers: [100, 3, u16::MAX][usize::from(stream.accepts % 3)],
        lenient_uri: stream.switches & 1 != 0,
        ascii_query: stream.switches & 0x10 != 0,
        absolute_uri: stream.switches & 2 != 0,
        der_certificate: stream.switches & 4 != 0,
        absent_as_empty: stream.accepts & 0x80 != 0,
    };
    for payload in stream.payloads() {
        let facts = check_message(&payload, options, stream.number);
        check_body(&payload);
        let Some(mut facts) = facts.filter(|_| stream.stretches()) else {
            continue;
        };
        let long = stream.stretched(|value, packet| {
            facts.headers.push(shadow::Header {
                code: None,
                name: b"x-long",
                value,
            });
            write_request(&facts, packet, PacketSize::MAX)
        });
        for payload in long {
            check_message(&payload, options, stream.number);
        }
    }
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
            if options.decode_options() == DecodeOptions::default() {
                assert_eq!(ForwardRequest::parse(payload.clone()).as_ref(), Ok(request));
            }
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
