//! What a container may send: any bytes, cut anywhere, are decoded as the document says, and
//! what is accepted holds together and can be written again.

use crate::decoded::{check_response, check_rewritten_response, response_facts, write_response};
use crate::packets::{Stream, check_error, lies_in, split};
use crate::printed::printed;
use crate::shadow;
use ajp::wire::{
    CPONG, Direction, END_RESPONSE_CLOSE, END_RESPONSE_REUSE, FLUSH, PacketSize, SendHeaders,
    ToWebServer, get_body_chunk, write_body_chunk,
};
use bytes::{Bytes, BytesMut};

/// Checks one input.
pub fn run(data: &[u8]) {
    let stream = Stream::read(data, Direction::ToWebServer);
    for payload in stream.payloads() {
        let facts = check_message(&payload, stream.number);
        let Some(mut facts) = facts.filter(|_| stream.stretches()) else {
            continue;
        };
        let long = stream.stretched(|value, packet| {
            facts.headers.push(shadow::Header {
                code: None,
                name: b"x-long",
                value,
            });
            write_response(&facts, packet, PacketSize::MAX)
        });
        for payload in long {
            check_message(&payload, stream.number);
        }
    }
}

fn check_message(payload: &Bytes, shortened: usize) -> Option<shadow::Response<'_>> {
    let expected = shadow::to_web_server(payload);
    let message = match ToWebServer::parse(payload.clone()) {
        Ok(message) => message,
        Err(error) => {
            check_error(&error, payload.len());
            assert_eq!(expected, None, "{error}");
            return None;
        }
    };
    assert!(printed(format_args!("{message}")) && printed(format_args!("{message:?}")));
    let mut again = BytesMut::new();
    let facts = match &message {
        ToWebServer::SendHeaders(head) => {
            check_response(head);
            let facts = response_facts(head);
            check_rewritten_response(&facts, PacketSize::MAX);
            let cut = payload.slice(..shortened % payload.len());
            let error = SendHeaders::parse(cut.clone()).expect_err("cut short");
            check_error(&error, cut.len());
            shadow::ToWebServer::Head(facts)
        }
        ToWebServer::SendBodyChunk(data) => {
            assert!(lies_in(data, payload));
            if data.is_empty() {
                again.extend_from_slice(&FLUSH);
            } else if let Err(error) = write_body_chunk(&mut again, data, PacketSize::MAX) {
                assert!(error.is_too_large() && data.len() > 65528 && again.is_empty());
            }
            shadow::ToWebServer::Chunk(data)
        }
        ToWebServer::EndResponse { reuse } => {
            again.extend_from_slice(if *reuse {
                &END_RESPONSE_REUSE
            } else {
                &END_RESPONSE_CLOSE
            });
            shadow::ToWebServer::End { reuse: *reuse }
        }
        ToWebServer::GetBodyChunk { requested } => {
            again.extend_from_slice(&get_body_chunk(*requested));
            shadow::ToWebServer::Ask(*requested)
        }
        ToWebServer::CPong => {
            again.extend_from_slice(&CPONG);
            shadow::ToWebServer::CPong
        }
    };
    assert_eq!(Some(&facts), expected.as_ref());
    for payload in split(&again, 0, Direction::ToWebServer, PacketSize::MAX) {
        assert_eq!(ToWebServer::parse(payload).as_ref(), Ok(&message));
    }
    match expected {
        Some(shadow::ToWebServer::Head(facts)) => Some(facts),
        _ => None,
    }
}
