//! Peers that are slow or silent. The limits are real ones, shortened.

use crate::raw::packets::{Answer, answers, body, refusal, request};
use crate::raw::site::{Peer, SHORT, Seen, Site, patient};
use crate::raw::{PATIENCE, soon};
use ajp::server::Step;
use ajp::wire::{CPING, CPONG};
use std::time::{Duration, Instant};

/// Sends these bytes one by one, far slower than any limit allows, until the other side closes.
async fn dribble(peer: &mut Peer, bytes: &[u8]) -> (Vec<u8>, bool) {
    use tokio::io::AsyncWriteExt;
    let mut stop = Box::pin(tokio::time::sleep(PATIENCE));
    for byte in bytes {
        if peer.stream.write_all(&[*byte]).await.is_err() {
            break;
        }
        tokio::select! {
            () = tokio::time::sleep(SHORT / 4) => {}
            () = &mut stop => panic!("never stopped"),
        }
    }
    peer.read_to_end().await
}

#[tokio::test]
async fn a_request_that_stops_in_the_middle() {
    let whole = request("GET", "/hello", &[("host", "a")]);
    for len in [1, 4, 20] {
        let mut site = Site::timed(patient().with_packet(SHORT)).await;
        let mut honest = site.connect().await;
        let mut peer = site.connect().await;
        peer.send(whole.get(..len).unwrap()).await;
        let start = Instant::now();
        assert_eq!(peer.read_to_end().await.0, b"");
        assert!(start.elapsed() >= SHORT / 2 && start.elapsed() < PATIENCE);
        assert_eq!(site.error().await, Seen::Timeout(Step::Packet));
        honest.hello().await;
        site.connect().await.hello().await;
        drop(honest);
        site.close().await;
    }
}

/// The limit is for the whole packet: a byte now and then does not move it.
#[tokio::test]
async fn a_request_that_trickles() {
    let mut site = Site::timed(patient().with_packet(SHORT)).await;
    let mut peer = site.connect().await;
    let whole = request("GET", "/hello", &[("host", "a")]);
    assert_eq!(dribble(&mut peer, &whole).await.0, b"");
    assert_eq!(site.error().await, Seen::Timeout(Step::Packet));
    assert_eq!(site.state.calls(), 0);
    site.close().await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_without_an_error() {
    let site = Site::timed(patient().with_first(SHORT)).await;
    let mut used = site.connect().await;
    used.hello().await;
    let mut fresh = site.connect().await;
    assert_eq!(fresh.read_to_end().await, (Vec::new(), false));
    used.hello().await;
    drop(used);
    site.close().await;
    let site = Site::timed(patient().with_idle(SHORT)).await;
    let mut used = site.connect().await;
    used.hello().await;
    assert_eq!(used.read_to_end().await, (Vec::new(), false));
    let mut probed = site.connect().await;
    probed.send(&CPING).await;
    assert_eq!(probed.read_to_end().await, (CPONG.to_vec(), false));
    site.close().await;
}

#[tokio::test]
async fn a_body_that_does_not_come() {
    for sent in [&b""[..], b"\x12\x34\0"] {
        let mut site = Site::timed(patient().with_body(SHORT)).await;
        let mut honest = site.connect().await;
        let mut peer = site.connect().await;
        peer.send(&request("POST", "/count", &[("content-length", "5")]))
            .await;
        peer.send(sent).await;
        let expected = refusal(408, "request body took too long");
        assert_eq!(peer.read_to_end().await, (expected, false));
        assert_eq!(site.error().await, Seen::Timeout(Step::Body));
        assert_eq!(site.note().await, "count ended");
        honest.hello().await;
        drop(honest);
        site.close().await;
    }
    let mut site = Site::timed(patient().with_body(SHORT)).await;
    let mut peer = site.connect().await;
    peer.send(&request("POST", "/count", &[("content-length", "50")]))
        .await;
    let (answer, _) = dribble(&mut peer, &body(&[b'x'; 50])).await;
    assert_eq!(answer, refusal(408, "request body took too long"));
    assert_eq!(site.error().await, Seen::Timeout(Step::Body));
    site.close().await;
}

/// The owed packet never comes: the answer does, with reuse 0.
#[tokio::test]
async fn an_unread_body_that_does_not_come() {
    for sent in [&b""[..], b"\x12\x34\0"] {
        let site = Site::timed(patient().with_swallow(SHORT)).await;
        let mut honest = site.connect().await;
        let mut peer = site.connect().await;
        peer.send(&request("POST", "/unread", &[("content-length", "5")]))
            .await;
        peer.send(sent).await;
        let (answer, reset) = peer.read_to_end().await;
        assert_eq!(answers(&answer), [Answer::new(200, "unread", false, 0)]);
        assert!(!reset);
        drop(peer);
        honest.hello().await;
        site.connect().await.hello().await;
        drop(honest);
        site.close().await;
    }
}

#[tokio::test]
async fn a_reader_that_does_not_read() {
    let mut site = Site::timed(patient().with_write(SHORT)).await;
    let mut honest = site.connect().await;
    let mut peer = site.connect().await;
    peer.send(&request("GET", "/bytes/30000000", &[])).await;
    assert_eq!(site.error().await, Seen::Timeout(Step::Write));
    honest.hello().await;
    // What was written can be read; there is no End Response.
    let (answer, _) = peer.read_to_end().await;
    assert!(answer.len() < 30_000_000);
    drop(honest);
    site.close().await;
}

/// A slow reader that makes progress is served to the end.
#[tokio::test]
async fn a_reader_that_is_slow_gets_everything() {
    use tokio::io::AsyncReadExt;
    let site = Site::timed(patient().with_write(Duration::from_secs(1))).await;
    let mut peer = site.connect().await;
    peer.send(&request("GET", "/bytes/12000000", &[])).await;
    let mut bytes = Vec::new();
    let mut piece = vec![0; 1 << 20];
    while bytes.len() < 12_000_000 {
        tokio::time::sleep(Duration::from_millis(30)).await;
        let n = soon("data", peer.stream.read(&mut piece)).await.unwrap();
        assert_ne!(n, 0, "cut off");
        bytes.extend(piece.get(..n).unwrap());
    }
    while !bytes.ends_with(&[0x41, 0x42, 0, 2, 5, 1]) {
        let n = soon("data", peer.stream.read(&mut piece)).await.unwrap();
        assert_ne!(n, 0, "cut off");
        bytes.extend(piece.get(..n).unwrap());
    }
    let all = answers(&bytes);
    assert_eq!((all.len(), all[0].body.len()), (1, 12_000_000));
    drop(peer);
    site.close().await;
}
