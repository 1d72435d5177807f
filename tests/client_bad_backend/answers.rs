//! Wrong answers to a request on a fresh connection.

use crate::raw::backend::{Backend, Then};
use crate::raw::packets::{answer_packet, chunk, head, response, string};
use ajp::client::{ErrorKind, Retry};
use ajp::proto::Progress;
use ajp::wire::{CPONG, END_RESPONSE_REUSE, FLUSH, get_body_chunk};
use bytes::Bytes;
use http::Request;
use http_body_util::StreamBody;
use std::convert::Infallible;

const BEFORE: (Progress, Retry) = (Progress::RequestSent, Retry::IfIdempotent);
const AFTER: (Progress, Retry) = (Progress::Responding, Retry::Never);

type Case = (
    &'static str,
    Vec<u8>,
    Then,
    ErrorKind,
    (Progress, Retry),
    &'static str,
);

/// Every answer is this error, spoils its connection, and nothing else.
async fn all_fail(cases: Vec<Case>) {
    for (name, bytes, then, kind, (progress, retry), cause) in cases {
        let backend = Backend::answering(bytes, then).await;
        let failure = backend.get("first").await.unwrap_err();
        assert_eq!(failure.kind, kind, "{name}: {failure:?}");
        assert_eq!(failure.progress, progress, "{name}: {failure:?}");
        assert_eq!(failure.retry, retry, "{name}: {failure:?}");
        assert!(failure.cause.contains(cause), "{name}: {failure:?}");
        assert_eq!(backend.idle(), 0, "{name}");
        backend.well("second").await;
        assert_eq!(backend.accepted(), 2, "{name}");
        assert_eq!(backend.idle(), 1, "{name}");
    }
}

fn protocol(
    name: &'static str,
    bytes: Vec<u8>,
    place: (Progress, Retry),
    cause: &'static str,
) -> Case {
    (name, bytes, Then::Poison, ErrorKind::Protocol, place, cause)
}

fn closed(
    name: &'static str,
    bytes: Vec<u8>,
    place: (Progress, Retry),
    cause: &'static str,
) -> Case {
    (name, bytes, Then::Close, ErrorKind::Closed, place, cause)
}

/// A 200 of three bytes, without End Response.
fn begun(length: &str) -> Vec<u8> {
    [head(200, &[("content-length", length)]), chunk(b"one")].concat()
}

#[tokio::test]
async fn the_wrong_packet_first() {
    let unexpected = "before Send Headers";
    all_fail(vec![
        protocol("CPong", CPONG.to_vec(), BEFORE, unexpected),
        protocol("End", END_RESPONSE_REUSE.to_vec(), BEFORE, unexpected),
        protocol("data", chunk(b"one"), BEFORE, unexpected),
        protocol(
            "unknown type",
            answer_packet(&[0x1e]),
            BEFORE,
            "message type 0x1e is not defined",
        ),
        protocol(
            "no type",
            answer_packet(&[]),
            BEFORE,
            "needs 1 bytes, 0 left",
        ),
        protocol(
            "the magic of the other direction",
            vec![0x12, 0x34, 0, 2, 5, 1],
            BEFORE,
            "byte 0: magic has 0x12",
        ),
        protocol(
            "HTTP",
            b"HTTP/1.1 400 \r\n\r\n".to_vec(),
            BEFORE,
            "the peer speaks HTTP, not AJP",
        ),
        protocol(
            "TLS",
            b"\x15\x03\x03\0\x02\x02\x28".to_vec(),
            BEFORE,
            "the peer speaks TLS, not AJP",
        ),
        protocol(
            "an announced length that is too long",
            vec![0x41, 0x42, 0x20, 0x01],
            BEFORE,
            "byte 2: payload length is 8193 bytes, more than the 8192 this packet size allows; raise packet_size here",
        ),
        protocol(
            "half an End",
            answer_packet(&[5]),
            BEFORE,
            "byte 5: reuse flag",
        ),
    ])
    .await;
}

#[tokio::test]
async fn heads_that_are_wrong() {
    let split = [
        &[4, 0, 200, 0xff, 0xff, 0, 1][..],
        &string("x"),
        &string("a\r\nset-cookie: b"),
    ]
    .concat();
    all_fail(vec![
        protocol(
            "status 0",
            answer_packet(&[4, 0, 0, 0, 0, 0, 0, 0]),
            BEFORE,
            "byte 5: status 0 is out of range",
        ),
        protocol("status 101", head(101, &[]), AFTER, "status 101"),
        protocol("status 199", head(199, &[]), AFTER, "status 199"),
        protocol(
            "status 103 of an application, without data",
            [head(103, &[]), END_RESPONSE_REUSE.to_vec()].concat(),
            AFTER,
            "status 103, which AJP cannot carry",
        ),
        protocol(
            "status 103 of an application, with data",
            [head(103, &[]), chunk(b"one")].concat(),
            AFTER,
            "status 103, which AJP cannot carry",
        ),
        protocol(
            "CR LF in a value",
            answer_packet(&split),
            BEFORE,
            "value of header 0 may not contain 0x0d",
        ),
        protocol(
            "header a00c",
            answer_packet(&[4, 0, 200, 0xff, 0xff, 0, 1, 0xa0, 0x0c, 0, 0, 0]),
            BEFORE,
            "0xa00c is not defined",
        ),
        protocol(
            "two lengths",
            head(200, &[("content-length", "1"), ("Content-Length", "2")]),
            BEFORE,
            "content-length occurs twice",
        ),
        protocol(
            "a length that is no number",
            head(200, &[("content-length", "-1")]),
            BEFORE,
            "content-length is not a plain decimal number",
        ),
        protocol(
            "a second head",
            [head(200, &[]), head(200, &[])].concat(),
            AFTER,
            "sent Send Headers after Send Headers",
        ),
        protocol(
            "CPong after the head",
            [head(200, &[]), CPONG.to_vec()].concat(),
            AFTER,
            "sent CPong after Send Headers",
        ),
    ])
    .await;
}

#[tokio::test]
async fn bodies_that_are_wrong() {
    let tail = |payload: &[u8]| [head(200, &[]), answer_packet(payload)].concat();
    all_fail(vec![
        protocol(
            "a chunk shorter than it says",
            tail(b"\x03\0\x09ok\0"),
            AFTER,
            "byte 5: data length says 9, the payload holds 3",
        ),
        protocol(
            "a chunk longer than it says",
            tail(b"\x03\0\x01oops\0"),
            AFTER,
            "data length says 1",
        ),
        protocol("half a length", tail(b"\x03\0"), AFTER, "data length"),
        protocol(
            "more than Content-Length",
            begun("2"),
            AFTER,
            "longer than its Content-Length of 2",
        ),
        protocol(
            "less than Content-Length",
            [begun("10"), END_RESPONSE_REUSE.to_vec()].concat(),
            AFTER,
            "ended after 3 of 10",
        ),
        protocol(
            "data after Content-Length 0",
            [head(200, &[("content-length", "0")]), chunk(b"x")].concat(),
            AFTER,
            "longer than its Content-Length of 0",
        ),
    ])
    .await;
}

#[tokio::test]
async fn connections_that_end_too_early() {
    let truncated = "inside a packet";
    all_fail(vec![
        closed("at once", vec![], BEFORE, ""),
        closed("inside the head", vec![0x41, 0x42, 0], BEFORE, truncated),
        closed("after the head", head(200, &[]), AFTER, ""),
        closed("inside the body", begun("10"), AFTER, ""),
        closed(
            "inside a chunk",
            [head(200, &[]), chunk(b"one")[..8].to_vec()].concat(),
            AFTER,
            truncated,
        ),
    ])
    .await;
}

/// A response of which all has come is delivered, also when the connection then closes
/// instead of an End Response; the connection is not used again.
#[tokio::test]
async fn what_was_promised_has_come_without_an_end() {
    let inside_end = vec![0x41, 0x42, 0, 2, 5];
    for (status, text, bytes) in [
        (200, "one", begun("3")),
        (200, "one", [begun("3"), FLUSH.to_vec()].concat()),
        (200, "one", [begun("3"), inside_end].concat()),
        (204, "", head(204, &[])),
        (202, "", head(202, &[("content-length", "0")])),
    ] {
        let backend = Backend::answering(bytes, Then::Close).await;
        assert_eq!(backend.get("first").await, Ok((status, text.into())));
        assert_eq!(backend.idle(), 0);
        backend.well("second").await;
        assert_eq!(backend.accepted(), 2);
    }
}

#[tokio::test]
async fn asking_for_body_wrongly() {
    all_fail(vec![protocol(
        "for 0 bytes",
        answer_packet(&[6, 0, 0]),
        BEFORE,
        "byte 5: requested length 0 is out of range",
    )])
    .await;

    // Twice before the caller's body had anything to answer the first with.
    let twice = get_body_chunk(8186).repeat(2);
    let backend = Backend::answering(twice, Then::Poison).await;
    let frames = futures_util::stream::pending::<Result<http_body::Frame<Bytes>, Infallible>>();
    let request = Request::post("/first")
        .body(StreamBody::new(frames))
        .unwrap();
    let failure = backend.send(request).await.unwrap_err();
    assert_eq!(failure.kind, ErrorKind::Protocol, "{failure:?}");
    assert_eq!((failure.progress, failure.retry), BEFORE);
    assert!(
        failure.cause.contains("Get Body Chunk while"),
        "{failure:?}"
    );
    assert_eq!(backend.idle(), 0);
    backend.well("second").await;
}

/// The response counts, the connection does not.
#[tokio::test]
async fn more_than_one_answer() {
    let good = response("first", 1);
    for (name, more) in [
        ("a second response", response("poison", 1)),
        ("a flush", FLUSH.to_vec()),
        ("CPong", CPONG.to_vec()),
        ("End", END_RESPONSE_REUSE.to_vec()),
        ("Get Body Chunk", get_body_chunk(1).to_vec()),
        ("one byte", vec![0x41]),
        ("garbage", vec![0; 5000]),
    ] {
        let backend = Backend::answering([good.clone(), more].concat(), Then::Poison).await;
        backend.well("first").await;
        assert_eq!(backend.idle(), 0, "{name}");
        backend.well("second").await;
        assert_eq!(backend.accepted(), 2, "{name}");
    }
    // The end of the response is exactly the end of a read.
    for len in 4000..4100 {
        let head = head(200, &[("content-length", &len.to_string())]);
        let text = "x".repeat(len);
        let mut bytes = [head, chunk(text.as_bytes()), END_RESPONSE_REUSE.to_vec()].concat();
        if bytes.len() % 4096 != 0 {
            continue;
        }
        bytes.extend(response("poison", 1));
        let backend = Backend::answering(bytes, Then::Poison).await;
        assert_eq!(backend.get("first").await, Ok((200, text)));
        assert_eq!(backend.idle(), 0);
        backend.well("second").await;
        return;
    }
    panic!("no length fits");
}

#[tokio::test]
async fn reuse_is_exactly_1() {
    for flag in [0, 2, 255] {
        let backend = Backend::answering(response("first", flag), Then::Poison).await;
        backend.well("first").await;
        assert_eq!(backend.idle(), 0, "{flag}");
        backend.well("second").await;
        assert_eq!(backend.accepted(), 2);
    }
}

/// What is allowed although it looks odd must not cost a connection.
#[tokio::test]
async fn odd_but_right() {
    let flushes = [FLUSH.to_vec(), response("first", 1)].concat();
    let interim = [head(103, &[]), response("first", 1)].concat();
    let bare_chunk = [
        head(200, &[]),
        answer_packet(b"\x03\0\x05first"),
        FLUSH.to_vec(),
        END_RESPONSE_REUSE.to_vec(),
    ]
    .concat();
    for bytes in [flushes, interim, bare_chunk] {
        let backend = Backend::start(crate::raw::backend::config(), move |_, mut conn| {
            let bytes = bytes.clone();
            async move {
                conn.request().await;
                conn.write(&bytes).await;
                conn.serve_well().await;
            }
        })
        .await;
        backend.well("first").await;
        assert_eq!(backend.idle(), 1);
        backend.well("second").await;
        assert_eq!(backend.accepted(), 1);
    }
}
