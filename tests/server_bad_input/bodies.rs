//! Request bodies that break their promise. The exchange is aborted: 400, End Response with
//! reuse 0, close. The application is dropped or sees an error, never a short body that looks
//! complete.

use crate::raw::packets::{Answer, body, packet, refusal, request};
use crate::raw::site::{Peer, Seen, Site};
use ajp::proto::ProtocolError;
use ajp::server::{ServerConfig, Trust};
use ajp::wire::{END_OF_BODY, Field, Rule, ToWebServer};

const CHUNKED: [(&str, &str); 1] = [("transfer-encoding", "chunked")];
const ASK: ToWebServer = ToWebServer::GetBodyChunk { requested: 8186 };

async fn post(site: &Site, uri: &str, length: &str) -> Peer {
    let mut peer = site.connect().await;
    peer.send(&request("POST", uri, &[("content-length", length)]))
        .await;
    peer
}

/// The 400, this error, the handler gone, and nobody else harmed.
async fn refused(mut site: Site, mut peer: Peer, mut honest: Peer) -> Seen {
    let (answer, reset) = peer.read_to_end().await;
    assert!(!reset, "the answer may be lost");
    assert_eq!(answer, refusal(400, "broken request body"));
    let seen = site.error().await;
    assert_eq!(site.note().await, "count ended");
    assert_eq!(site.state.calls(), 1);
    honest.hello().await;
    site.connect().await.hello().await;
    drop((honest, peer));
    site.close().await;
    seen
}

#[tokio::test]
async fn a_body_longer_than_its_length() {
    let too_long = Seen::Protocol(ProtocolError::RequestTooLong { expected: 5 });
    let site = Site::open().await;
    let honest = site.connect().await;
    let mut peer = post(&site, "/count", "5").await;
    peer.send(&body(b"hello!")).await;
    assert_eq!(refused(site, peer, honest).await, too_long);

    let site = Site::open().await;
    let honest = site.connect().await;
    let mut peer = post(&site, "/count", "5").await;
    peer.send(&body(b"hell")).await;
    assert_eq!(peer.packet().await, ASK);
    peer.send(&body(b"o!")).await;
    assert_eq!(refused(site, peer, honest).await, too_long);
}

#[tokio::test]
async fn a_body_shorter_than_its_length() {
    for end in [&END_OF_BODY[..], &packet(&[])] {
        for received in [0, 5] {
            let site = Site::open().await;
            let honest = site.connect().await;
            let mut peer = post(&site, "/count", "6").await;
            if received > 0 {
                peer.send(&body(b"hello")).await;
                assert_eq!(peer.packet().await, ASK);
            }
            peer.send(end).await;
            let expected = ProtocolError::RequestTooShort {
                expected: 6,
                received,
            };
            assert_eq!(refused(site, peer, honest).await, Seen::Protocol(expected));
        }
    }
}

#[tokio::test]
async fn inner_lengths_that_lie() {
    let mismatch = |declared, actual| Rule::LengthMismatch { declared, actual };
    let cases: [(&[u8], Rule); 5] = [
        (b"\0\x05abc", mismatch(5, 3)),
        (b"\0\x01abc", mismatch(1, 3)),
        (b"hello", mismatch(26725, 3)),
        (b"\0\0a", mismatch(0, 1)),
        (b"\0", Rule::Truncated { needed: 2, left: 1 }),
    ];
    for (payload, rule) in cases {
        let site = Site::open().await;
        let honest = site.connect().await;
        let mut peer = post(&site, "/count", "5").await;
        peer.send(&packet(payload)).await;
        let seen = refused(site, peer, honest).await;
        assert!(matches!(seen, Seen::Protocol(_)), "{seen:?}");
        assert_eq!(seen.decode(), (4, Field::DataLength, rule));
    }
}

#[tokio::test]
async fn the_magic_is_checked_inside_an_exchange_too() {
    let site = Site::open().await;
    let honest = site.connect().await;
    let mut peer = post(&site, "/count", "5").await;
    peer.send(b"hello").await;
    let seen = refused(site, peer, honest).await;
    let rule = Rule::WrongMagic(b'h');
    assert_eq!(seen.decode(), (0, Field::Magic, rule));
}

#[tokio::test]
async fn a_packet_that_was_not_asked_for() {
    let mut site = Site::open().await;
    let mut peer = site.connect().await;
    peer.send(&request("POST", "/gate", &CHUNKED)).await;
    assert_eq!(site.note().await, "gate reached");
    peer.send(&body(b"hello")).await;
    assert_eq!(
        peer.read_to_end().await.0,
        refusal(400, "broken request body")
    );
    let unasked = ProtocolError::Unexpected {
        packet: "a packet",
        state: "while none was owed",
    };
    assert_eq!(site.error().await, Seen::Protocol(unasked));

    // Two answers to one Get Body Chunk. Whether the second is seen before the next one
    // is asked for is a matter of time; it may be taken for data, never for a request.
    let mut peer = site.connect().await;
    peer.send(&request("POST", "/count", &CHUNKED)).await;
    assert_eq!(peer.packet().await, ASK);
    peer.send(&[body(b"hello"), END_OF_BODY.to_vec(), body(b"x")].concat())
        .await;
    let answer = peer.answer().await;
    assert_eq!(answer.reuse, Some(false));
    assert_eq!(peer.read_to_end().await.0, b"");
    site.connect().await.hello().await;
    drop(peer);
    site.close().await;
}

#[tokio::test]
async fn a_close_in_the_middle_of_an_upload_reaches_the_application() {
    for (rest, place) in [(&b""[..], "an exchange"), (&b"\x12\x34\0"[..], "a packet")] {
        let mut site = Site::open().await;
        let mut honest = site.connect().await;
        let mut peer = post(&site, "/spawn", "100").await;
        peer.send(&body(b"hello")).await;
        assert_eq!(site.note().await, "data");
        assert_eq!(peer.packet().await, ASK);
        peer.send(rest).await;
        drop(peer);
        let mut notes = [site.note().await, site.note().await];
        notes.sort_unstable();
        assert_eq!(notes, ["body gone", "handler dropped"]);
        assert_eq!(site.error().await, Seen::Closed(place));
        honest.hello().await;
        site.connect().await.hello().await;
        drop(honest);
        site.close().await;
    }
}

#[tokio::test]
async fn a_close_while_the_application_works_drops_it() {
    let mut site = Site::open().await;
    let mut peer = site.connect().await;
    peer.send(&request("GET", "/gate", &[])).await;
    assert_eq!(site.note().await, "gate reached");
    drop(peer);
    assert_eq!(site.note().await, "gate ended");
    assert_eq!(site.error().await, Seen::Closed("an exchange"));
    site.connect().await.hello().await;
    site.close().await;
}

/// Above the limit nothing more is asked for, although the application still holds the body.
#[tokio::test]
async fn a_body_above_the_limit_is_not_pulled_further() {
    let config = ServerConfig::new(Trust::TrustedNetwork).with_max_body(10);
    let mut site = Site::start(config).await;
    let mut peer = site.connect().await;
    peer.send(&request("POST", "/hold", &CHUNKED)).await;
    assert_eq!(peer.packet().await, ASK);
    peer.send(&body(b"hello hello")).await;
    assert_eq!(site.note().await, "body failed");
    site.state.gate.add_permits(1);
    assert_eq!(peer.answer().await, Answer::new(200, "held", true, 0));
    peer.hello().await;
    drop(peer);
    site.close().await;
}

/// The web server of a container that may ask ahead, when it has: for three packets beside
/// the unasked one, of a body of six.
async fn ahead(uri: &str) -> (Site, Peer) {
    let config = ServerConfig::new(Trust::TrustedNetwork).with_body_requests(4);
    let site = Site::start(config).await;
    let mut peer = post(&site, uri, &(6 * 8186).to_string()).await;
    for _ in 0..3 {
        assert_eq!(peer.packet().await, ASK);
    }
    (site, peer)
}

fn full() -> Vec<u8> {
    body(&[7; 8186])
}

#[tokio::test]
async fn packets_are_asked_for_before_the_first_is_there() {
    let (site, mut peer) = ahead("/count").await;
    for _ in 0..2 {
        peer.send(&full()).await;
    }
    // Two are left of four.
    for _ in 0..2 {
        assert_eq!(peer.packet().await, ASK);
    }
    for _ in 0..4 {
        peer.send(&full()).await;
    }
    assert_eq!(peer.answer().await, Answer::new(200, "49116", true, 0));
    peer.hello().await;
    site.close().await;
}

#[tokio::test]
async fn what_was_asked_for_ahead_is_read_before_the_end() {
    let (site, mut peer) = ahead("/first").await;
    peer.send(&full()).await;
    assert!(matches!(peer.packet().await, ToWebServer::SendHeaders(_)));
    let data = peer.packet().await;
    assert_eq!(data, ToWebServer::SendBodyChunk("first".into()));
    for _ in 0..3 {
        peer.send(&full()).await;
    }
    let end = ToWebServer::EndResponse { reuse: true };
    assert_eq!(peer.packet().await, end);
    peer.hello().await;
    site.close().await;
}

#[tokio::test]
async fn a_body_that_ends_before_what_was_asked_for_ahead() {
    let (site, mut peer) = ahead("/count").await;
    let honest = site.connect().await;
    peer.send(&full()).await;
    peer.send(&END_OF_BODY).await;
    let too_short = ProtocolError::RequestTooShort {
        expected: 6 * 8186,
        received: 8186,
    };
    assert_eq!(refused(site, peer, honest).await, Seen::Protocol(too_short));
}

/// A connection that closes reads all that it has asked for: else the reset would take the
/// answer with it.
#[tokio::test]
async fn what_was_asked_for_ahead_does_not_cost_the_answer() {
    let config = ServerConfig::new(Trust::TrustedNetwork)
        .with_max_requests(1)
        .with_body_requests(256);
    let site = Site::start(config).await;
    let mut peer = post(&site, "/first", &(300 * 8186).to_string()).await;
    for _ in 0..255 {
        assert_eq!(peer.packet().await, ASK);
    }
    for _ in 0..256 {
        peer.send(&full()).await;
    }
    assert_eq!(peer.answer().await, Answer::new(200, "first", false, 0));
    assert_eq!(peer.read_to_end().await, (Vec::new(), false));
    site.close().await;
}
