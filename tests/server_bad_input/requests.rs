//! Malformed requests: 400, End Response with reuse 0, close.

use crate::raw::packets::{crude, crude_attributes, crude_headers, refusal, string};
use crate::raw::site::{Seen, Site};
use ajp::wire::{AttributeCode, Field, Rule};

type Case = (&'static str, Vec<u8>, (usize, Field, Rule));

/// Sends each attack to a server of its own and compares answer and error.
async fn all_are_400(cases: Vec<Case>) {
    let expected = refusal(400, "malformed AJP request");
    for (name, attack, place) in cases {
        let (answer, seen) = Site::open().await.attack(&attack).await;
        assert_eq!(answer, expected, "{name}");
        assert!(matches!(seen, Seen::Bad(_)), "{name}: {seen:?}");
        assert_eq!(seen.decode(), place, "{name}");
    }
}

fn stored_method(method: &str) -> Vec<u8> {
    [vec![0x0d], string(method)].concat()
}

#[tokio::test]
async fn codes_that_do_not_exist() {
    let get_and_put = [&[0, 0], stored_method("PUT").as_slice(), &[0xff]].concat();
    all_are_400(vec![
        (
            "method 0",
            crude(0, &[0, 0, 0xff]),
            (5, Field::Method, Rule::UnknownCode(0)),
        ),
        (
            "method 28",
            crude(28, &[0, 0, 0xff]),
            (5, Field::Method, Rule::UnknownCode(28)),
        ),
        (
            "method ff without stored_method",
            crude(0xff, &[0, 0, 0xff]),
            (5, Field::Method, Rule::MethodMissing),
        ),
        (
            "method twice",
            crude(2, &get_and_put),
            (5, Field::Method, Rule::MethodTwice),
        ),
        (
            "header a000",
            crude_headers(&[(&[0xa0, 0], "x")]),
            (43, Field::HeaderName(0), Rule::UnknownCode(0xa000)),
        ),
        (
            "header a00f",
            crude_headers(&[(&[0xa0, 0x0b], "a"), (&[0xa0, 0x0f], "x")]),
            (49, Field::HeaderName(1), Rule::UnknownCode(0xa00f)),
        ),
        (
            "attribute 0e",
            crude_attributes(&[[vec![0x0e], string("x")].concat()]),
            (43, Field::AttributeCode, Rule::UnknownCode(0x0e)),
        ),
        (
            "attribute 00",
            crude_attributes(&[vec![0]]),
            (43, Field::AttributeCode, Rule::UnknownCode(0)),
        ),
    ])
    .await;
}

#[tokio::test]
async fn bytes_that_split_headers() {
    let name = string("x");
    let value = |text: &'static str| crude_headers(&[(&name, text)]);
    let bad = |offset, b| (offset, Field::HeaderValue(0), Rule::InvalidByte(b));
    let bad_name = string("x:");
    all_are_400(vec![
        ("CR LF", value("a\r\nb: c"), bad(50, b'\r')),
        ("LF", value("a\nb"), bad(50, b'\n')),
        ("NUL", value("ab\0c"), bad(51, 0)),
        ("DEL", value("\x7f"), bad(49, 0x7f)),
        (
            "colon in name",
            crude_headers(&[(&bad_name, "x")]),
            (46, Field::HeaderName(0), Rule::InvalidByte(b':')),
        ),
        (
            "null name",
            crude_headers(&[(&[0xff, 0xff], "x")]),
            (43, Field::HeaderName(0), Rule::Null),
        ),
        (
            "CR in the query",
            crude_attributes(&[[vec![5], string("a=\r")].concat()]),
            (
                48,
                Field::Attribute(AttributeCode::QueryString),
                Rule::InvalidByte(b'\r'),
            ),
        ),
        (
            "blank in stored_method",
            crude_attributes(&[stored_method("A B")]),
            (
                47,
                Field::Attribute(AttributeCode::StoredMethod),
                Rule::InvalidByte(b' '),
            ),
        ),
    ])
    .await;
}

#[tokio::test]
async fn body_lengths_that_disagree() {
    let length: &[u8] = &[0xa0, 8];
    let spelled = string("Content-Length");
    let coding = string("Transfer-Encoding");
    all_are_400(vec![
        (
            "Content-Length twice",
            crude_headers(&[(length, "5"), (&spelled, "5")]),
            (49, Field::ContentLength, Rule::Duplicate),
        ),
        (
            "Content-Length, then Transfer-Encoding",
            crude_headers(&[(length, "5"), (&coding, "chunked")]),
            (49, Field::TransferEncoding, Rule::LengthAndEncoding),
        ),
        (
            "Transfer-Encoding, then Content-Length",
            crude_headers(&[(&coding, "chunked"), (length, "0")]),
            (73, Field::ContentLength, Rule::LengthAndEncoding),
        ),
        (
            "Transfer-Encoding twice",
            crude_headers(&[(&coding, "chunked"), (&coding, "chunked")]),
            (73, Field::TransferEncoding, Rule::Duplicate),
        ),
        (
            "a coding that only looks like chunked",
            crude_headers(&[(&coding, "chunked, identity")]),
            (63, Field::TransferEncoding, Rule::NotChunked),
        ),
        (
            "a sign",
            crude_headers(&[(length, "+5")]),
            (45, Field::ContentLength, Rule::NotANumber),
        ),
        (
            "a list",
            crude_headers(&[(length, "5, 5")]),
            (45, Field::ContentLength, Rule::NotANumber),
        ),
        (
            "2^63",
            crude_headers(&[(length, "9223372036854775808")]),
            (45, Field::ContentLength, Rule::NotANumber),
        ),
    ])
    .await;
}

#[tokio::test]
async fn counts_and_ends_that_are_wrong() {
    let many = |count| {
        let headers: Vec<(&[u8], &str)> = vec![(&[0xa0, 1], "x"); count];
        crude_headers(&headers)
    };
    all_are_400(vec![
        (
            "101 headers",
            many(101),
            (
                41,
                Field::NumHeaders,
                Rule::TooMany {
                    count: 101,
                    limit: 100,
                },
            ),
        ),
        (
            "65535 headers announced",
            crude(2, &[0xff, 0xff, 0xff]),
            (
                41,
                Field::NumHeaders,
                Rule::Truncated {
                    needed: 262_140,
                    left: 1,
                },
            ),
        ),
        (
            "no end of attributes",
            crude(2, &[0, 0]),
            (
                43,
                Field::AttributeCode,
                Rule::Truncated { needed: 1, left: 0 },
            ),
        ),
        (
            "a byte after the end",
            crude(2, &[0, 0, 0xff, 0]),
            (44, Field::End, Rule::TrailingBytes(1)),
        ),
    ])
    .await;
    // 100 are allowed.
    let site = Site::open().await;
    let mut peer = site.connect().await;
    peer.send(&many(100)).await;
    assert_eq!(peer.answer().await.status, 200);
    drop(peer);
    site.close().await;
}
