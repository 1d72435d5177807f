//! What is no AJP, or no message that an idle container takes.

use crate::raw::packets::{packet, refusal};
use crate::raw::site::{Seen, Site};
use ajp::proto::ProtocolError;
use ajp::wire::{CPING, CPONG, Field, Rule};
use std::time::Duration;
use tokio::io::AsyncWriteExt;

#[tokio::test]
async fn other_protocols_are_closed_without_an_answer() {
    let tls = [&[0x16, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3][..], &[7; 194]].concat();
    for (attack, name) in [
        (
            &b"GET / HTTP/1.1\r\nHost: localhost:8009\r\n\r\n"[..],
            "Http",
        ),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "Http"),
        (&tls, "Tls"),
    ] {
        let (answer, seen) = Site::open().await.attack(attack).await;
        assert!(answer.is_empty(), "{attack:?}");
        assert_eq!(seen, Seen::Other(format!("OtherProtocol({name})")));
    }
    let cases: [(&[u8], usize, Rule); 4] = [
        (b"BREW / HTTP/1.1\r\n\r\n", 0, Rule::WrongMagic(0x42)),
        (b"AB\0\x01\x0a", 0, Rule::WrongMagic(0x41)),
        (&[0x12, 0x35, 0, 1, 10], 1, Rule::WrongMagic(0x35)),
        (&[0x12, 0x33, 0, 1, 10], 1, Rule::WrongMagic(0x33)),
    ];
    for (attack, offset, rule) in cases {
        let (answer, seen) = Site::open().await.attack(attack).await;
        assert!(answer.is_empty(), "{attack:?}");
        assert!(matches!(seen, Seen::Protocol(_)), "{seen:?}");
        assert_eq!(seen.decode(), (offset, Field::Magic, rule));
    }
}

#[tokio::test]
async fn a_packet_too_long_is_answered_from_its_header() {
    // The one answer that is spelled out, so that the others may be built by the crate.
    let expected = b"AB\0\x38\x04\x01\x90\0\x0bBad Request\0\0\x02\
        \xa0\x01\0\x19text/plain; charset=utf-8\0\xa0\x03\0\x0226\0\
        AB\0\x1e\x03\0\x1a400 malformed AJP request\n\0\
        AB\0\x02\x05\0";
    assert_eq!(expected[..], refusal(400, "malformed AJP request"));
    for (high, low) in [(0x20, 1), (0xff, 0xff)] {
        let (answer, seen) = Site::open().await.attack(&[0x12, 0x34, high, low]).await;
        assert_eq!(answer, expected);
        assert!(matches!(seen, Seen::Bad(_)), "{seen:?}");
        let len = u32::from(high) << 8 | u32::from(low);
        let rule = Rule::TooLong { len, max: 8192 };
        assert_eq!(seen.decode(), (2, Field::PayloadLength, rule));
    }
}

#[tokio::test]
async fn a_whole_packet_of_a_larger_packet_size_is_answered_without_a_reset() {
    // What a web server sends that was configured for 65536.
    let attack = packet(&vec![2; 65_532]);
    let mut site = Site::open().await;
    let mut peer = site.connect().await;
    peer.send(&attack).await;
    // Time in which a server that stops reading would have sent its reset.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let (answer, reset) = peer.read_to_end().await;
    assert_eq!(answer, refusal(400, "malformed AJP request"));
    assert!(!reset, "the answer may be lost");
    drop(peer);
    let rule = Rule::TooLong {
        len: 65_532,
        max: 8192,
    };
    assert_eq!(site.error().await.decode(), (2, Field::PayloadLength, rule));
    site.close().await;
}

#[tokio::test]
async fn a_close_inside_a_packet_is_an_error_and_one_between_packets_is_none() {
    for attack in [&[0x12][..], &[0x12, 0x34, 0], &[0x12, 0x34, 0, 9, 2, 2, 0]] {
        let mut site = Site::open().await;
        let mut honest = site.connect().await;
        let mut peer = site.connect().await;
        peer.send(attack).await;
        peer.stream.shutdown().await.unwrap();
        assert_eq!(peer.read_to_end().await, (Vec::new(), false));
        assert_eq!(site.error().await, Seen::Closed("a packet"));
        honest.hello().await;
        site.connect().await.hello().await;
        site.close().await;
    }
}

#[tokio::test]
async fn unknown_types_are_closed_without_an_answer() {
    for code in [0, 1, 3, 4, 5, 6, 9, 11, 0x10, 0x1e, 0xff] {
        for payload in [&[code][..], &[code, 0, 0, 0]] {
            let (answer, seen) = Site::open().await.attack(&packet(payload)).await;
            assert!(answer.is_empty(), "{payload:?}");
            assert!(matches!(seen, Seen::Protocol(_)), "{seen:?}");
            let rule = Rule::UnknownCode(code.into());
            // A payload of two zero bytes would be an empty body packet, this is not.
            assert_eq!(seen.decode(), (4, Field::MessageCode, rule));
        }
    }
}

#[tokio::test]
async fn shutdown_and_ping_are_closed_without_an_answer() {
    for (code, name) in [(7, "SHUTDOWN"), (8, "PING")] {
        let (answer, seen) = Site::open().await.attack(&packet(&[code])).await;
        assert!(answer.is_empty());
        let error = ProtocolError::Unexpected {
            packet: name,
            state: "which is never obeyed",
        };
        assert_eq!(seen, Seen::Protocol(error));
    }
}

/// A left-over body packet of 0x07xx bytes looks like this, and a SHUTDOWN with a password.
#[tokio::test]
async fn messages_without_fields_that_have_some_are_closed_without_an_answer() {
    for code in [7, 8, 10] {
        let (answer, seen) = Site::open().await.attack(&packet(&[code, 0])).await;
        assert!(answer.is_empty(), "{code}");
        assert!(matches!(seen, Seen::Protocol(_)), "{seen:?}");
        assert_eq!(seen.decode(), (5, Field::End, Rule::TrailingBytes(1)));
    }
}

#[tokio::test]
async fn an_empty_packet_out_of_nowhere_is_closed_without_an_answer() {
    for payload in [&[][..], &[0, 0]] {
        let (answer, seen) = Site::open().await.attack(&packet(payload)).await;
        assert!(answer.is_empty());
        let error = ProtocolError::Unexpected {
            packet: "an empty packet",
            state: "between exchanges",
        };
        assert_eq!(seen, Seen::Protocol(error));
    }
}

#[tokio::test]
async fn every_cping_is_answered_however_it_arrives() {
    let site = Site::open().await;
    let mut peer = site.connect().await;
    for byte in CPING {
        peer.send(&[byte]).await;
    }
    peer.exact(&CPONG).await;
    // More than one read takes, with a packet across every read's end.
    peer.send(&CPING.repeat(3000)).await;
    peer.exact(&CPONG.repeat(3000)).await;
    peer.hello().await;
    drop(peer);
    site.close().await;
}
