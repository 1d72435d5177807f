//! Bytes that must never become a second request (protocol chapter "security").

use crate::raw::packets::{Answer, answers, body, packet, refusal, request, smuggled};
use crate::raw::site::{Seen, Site, patient};
use ajp::proto::ProtocolError;
use ajp::wire::{DecodeOptions, END_OF_BODY, ToContainer};
use bytes::Bytes;

const UNASKED: ProtocolError = ProtocolError::Unexpected {
    packet: "a packet",
    state: "while none was owed",
};

/// A GET of exactly this many bytes.
fn padded(uri: &str, len: usize) -> Vec<u8> {
    let empty = request("GET", uri, &[("x-pad", "")]).len();
    request("GET", uri, &[("x-pad", &"p".repeat(len - empty))])
}

#[test]
fn the_attack_is_a_valid_request() {
    let payload = Bytes::from(smuggled()).slice(4..);
    let message = ToContainer::parse(payload, &DecodeOptions::default()).unwrap();
    let ToContainer::ForwardRequest(request) = message else {
        panic!("{message:?}");
    };
    assert_eq!(request.req_uri(), b"/smuggled");
}

/// One write, and an application that answers at once: one answer, reuse 0, the end.
/// Also when the first request ends exactly where a read of the server ends.
#[tokio::test]
async fn what_follows_a_bodyless_request_in_one_write_is_dropped() {
    for len in [200, 4095, 4096, 4097, 8000] {
        for second in [smuggled(), request("GET", "/smuggled", &[])] {
            let site = Site::open().await;
            let mut honest = site.connect().await;
            let mut peer = site.connect().await;
            peer.send(&[padded("/hello", len), second].concat()).await;
            let (answer, _) = peer.read_to_end().await;
            let expected = [Answer::new(200, "Hello, AJP!", false, 0)];
            assert_eq!(answers(&answer), expected, "{len}");
            assert_eq!(site.state.calls(), 1);
            honest.hello().await;
            site.connect().await.hello().await;
            drop((honest, peer));
            site.close().await;
        }
    }
}

#[tokio::test]
async fn what_arrives_while_the_application_works_ends_the_exchange() {
    for second in [smuggled(), request("GET", "/smuggled", &[]), packet(&[10])] {
        let mut site = Site::open().await;
        let mut honest = site.connect().await;
        let mut peer = site.connect().await;
        peer.send(&request("GET", "/gate", &[])).await;
        assert_eq!(site.note().await, "gate reached");
        peer.send(&second).await;
        let (answer, _) = peer.read_to_end().await;
        assert_eq!(answer, refusal(400, "broken request body"));
        assert_eq!(site.error().await, Seen::Protocol(UNASKED));
        assert_eq!(site.note().await, "gate ended");
        assert_eq!(site.state.calls(), 1);
        honest.hello().await;
        site.connect().await.hello().await;
        drop(honest);
        site.close().await;
    }
}

#[tokio::test]
async fn an_unread_eager_packet_is_swallowed() {
    for pieces in [
        vec![[head("514"), smuggled()].concat()],
        vec![head("514"), smuggled()],
    ] {
        let site = Site::open().await;
        let mut peer = site.connect().await;
        for piece in pieces {
            peer.send(&piece).await;
        }
        assert_eq!(peer.answer().await, Answer::new(200, "unread", true, 0));
        peer.hello().await;
        assert_eq!(site.state.calls(), 1);
        drop(peer);
        site.close().await;
    }
}

fn head(length: &str) -> Vec<u8> {
    request("POST", "/unread", &[("content-length", length)])
}

#[tokio::test]
async fn only_the_owed_packet_is_swallowed() {
    let chunked = request("POST", "/unread", &[("transfer-encoding", "chunked")]);
    let first_chunked = [chunked.as_slice(), &smuggled(), &END_OF_BODY].concat();
    for attack in [
        [head("514"), smuggled(), smuggled()].concat(),
        [head("514"), body(b"hello"), smuggled()].concat(),
        [head("5"), smuggled(), smuggled()].concat(),
        first_chunked,
    ] {
        let site = Site::open().await;
        let mut honest = site.connect().await;
        let mut peer = site.connect().await;
        peer.send(&attack).await;
        let (answer, _) = peer.read_to_end().await;
        assert_eq!(answers(&answer), [Answer::new(200, "unread", false, 0)]);
        assert_eq!(site.state.calls(), 1);
        honest.hello().await;
        site.connect().await.hello().await;
        drop((honest, peer));
        site.close().await;
    }
}

#[tokio::test]
async fn a_read_body_of_tv_16_is_a_body() {
    let site = Site::open().await;
    let mut peer = site.connect().await;
    let head = request("POST", "/count", &[("content-length", "1028")]);
    peer.send(&[head, smuggled()].concat()).await;
    assert_eq!(
        peer.packet().await,
        ajp::wire::ToWebServer::GetBodyChunk { requested: 8186 }
    );
    peer.send(&smuggled()).await;
    assert_eq!(peer.answer().await, Answer::new(200, "1028", true, 0));
    peer.hello().await;
    drop(peer);
    site.close().await;
}

/// lighttpd ends even a body that does not exist, and nginx's module one that has ended.
#[tokio::test]
async fn one_stray_empty_packet_after_an_exchange_is_tolerated() {
    for stray in [&END_OF_BODY[..], &packet(&[])] {
        let mut site = Site::timed(patient()).await;
        let mut peer = site.connect().await;
        peer.hello().await;
        peer.send(stray).await;
        peer.hello().await;
        // The second in a row; the same after an exchange with a body.
        peer.send(&[stray, stray].concat()).await;
        assert_eq!(peer.read_to_end().await.0, b"");
        let empty = ProtocolError::Unexpected {
            packet: "an empty packet",
            state: "between exchanges",
        };
        assert_eq!(site.error().await, Seen::Protocol(empty));
        let mut peer = site.connect().await;
        peer.send(&[head("5"), body(b"hello")].concat()).await;
        assert_eq!(peer.answer().await, Answer::new(200, "unread", true, 0));
        peer.send(stray).await;
        peer.hello().await;
        peer.send(&[stray, stray].concat()).await;
        assert_eq!(peer.read_to_end().await.0, b"");
        assert_eq!(site.error().await, Seen::Protocol(empty));
        site.connect().await.hello().await;
        site.close().await;
    }
}

#[tokio::test]
async fn one_stray_empty_packet_during_a_bodyless_request_is_tolerated() {
    let mut site = Site::open().await;
    let mut peer = site.connect().await;
    peer.send(&request("GET", "/gate", &[])).await;
    assert_eq!(site.note().await, "gate reached");
    peer.send(&END_OF_BODY).await;
    site.state.gate.add_permits(1);
    let answer = peer.answer().await;
    assert_eq!((answer.status, &answer.body[..]), (200, &b"open"[..]));
    assert_eq!(site.note().await, "gate ended");

    let mut peer = site.connect().await;
    peer.send(&request("GET", "/gate", &[])).await;
    assert_eq!(site.note().await, "gate reached");
    peer.send(&END_OF_BODY.repeat(2)).await;
    assert_eq!(
        peer.read_to_end().await.0,
        refusal(400, "broken request body")
    );
    assert_eq!(site.error().await, Seen::Protocol(UNASKED));
    site.connect().await.hello().await;
    site.close().await;
}
