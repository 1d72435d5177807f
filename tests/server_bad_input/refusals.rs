//! Well-formed requests that are refused, also those that owe an eager packet
//! (protocol chapter "exchange").

use crate::raw::packets::{
    Answer, answers, body, crude_attributes, refusal, request, request_with, string,
};
use crate::raw::site::{SECRET, Seen, Site};
use ajp::server::{AttributeAction, AttributePolicy, ServerConfig, Trust};
use ajp::wire::{Attribute, AttributeCode};
use std::time::Duration;

const WRONG_SECRET: &str = "secret missing or wrong";
const GHOSTCAT: &str = "javax.servlet.include.request_uri";

fn secret(value: Option<&str>) -> Vec<u8> {
    match value {
        Some(value) => [vec![0x0c], string(value)].concat(),
        None => vec![0x0c, 0xff, 0xff],
    }
}

fn named(name: &str) -> Vec<u8> {
    [vec![0x0a], string(name), string("/WEB-INF/web.xml")].concat()
}

#[tokio::test]
async fn a_missing_and_a_wrong_secret_look_the_same() {
    let cases = [
        vec![],
        vec![secret(Some("wrong"))],
        vec![secret(Some("s3cr3"))],
        vec![secret(Some("s3cr3t "))],
        vec![secret(Some(""))],
        vec![secret(None)],
        vec![secret(Some(SECRET)), secret(Some("wrong"))],
        vec![secret(Some("wrong")), secret(Some(SECRET))],
        vec![secret(Some(SECRET)), secret(None)],
        // The secret is checked before the attributes.
        vec![named(GHOSTCAT)],
        // A req_attribute of that name is not the secret.
        vec![[vec![0x0a], string("secret"), string(SECRET)].concat()],
    ];
    for attributes in cases {
        let attack = crude_attributes(&attributes);
        let (answer, seen) = Site::secret().await.attack(&attack).await;
        assert_eq!(answer, refusal(403, WRONG_SECRET), "{attributes:?}");
        assert_eq!(seen, Seen::Refused(403, WRONG_SECRET));
    }
}

#[tokio::test]
async fn unknown_attributes_are_refused_or_dropped() {
    let attack = crude_attributes(&[named("AJP_LOCAL_ADDR"), named(GHOSTCAT)]);
    let (answer, seen) = Site::open().await.attack(&attack).await;
    let reason = "request attribute not allowed";
    assert_eq!(answer, refusal(403, reason));
    assert_eq!(seen, Seen::Attribute(GHOSTCAT.into()));

    for policy in [
        AttributePolicy::default().others(AttributeAction::Drop),
        AttributePolicy::default().drop(GHOSTCAT),
        AttributePolicy::default().accept(GHOSTCAT),
    ] {
        let config = ServerConfig::new(Trust::TrustedNetwork).with_attributes(policy);
        let site = Site::start(config).await;
        let mut peer = site.connect().await;
        peer.send(&attack).await;
        assert_eq!(
            peer.answer().await,
            Answer::new(200, "Hello, AJP!", true, 0)
        );
        drop(peer);
        site.close().await;
    }
}

#[tokio::test]
async fn hosts_that_are_none() {
    let hosts: [&[(&str, &str)]; 7] = [
        &[("host", "a b")],
        &[("host", "a/b")],
        &[("host", "user@a")],
        &[("host", "a:b")],
        &[("host", "a:65536")],
        &[("host", "[::1")],
        &[("host", "a"), ("Host", "a")],
    ];
    for headers in hosts {
        let attack = request("GET", "/hello", headers);
        let (answer, seen) = Site::open().await.attack(&attack).await;
        assert_eq!(answer, refusal(400, "bad Host header"), "{headers:?}");
        assert_eq!(seen, Seen::Refused(400, "bad Host header"));
    }
}

#[tokio::test]
async fn an_announced_body_that_is_too_large() {
    let limited = || ServerConfig::new(Trust::TrustedNetwork).with_max_body(1000);
    for length in ["1001", "9223372036854775807"] {
        let attack = request("POST", "/count", &[("content-length", length)]);
        let (answer, seen) = Site::start(limited()).await.attack(&attack).await;
        assert_eq!(answer, refusal(413, "request body too large"));
        assert_eq!(seen, Seen::Refused(413, "request body too large"));
    }
    let site = Site::start(limited()).await;
    let mut peer = site.connect().await;
    peer.send(&request("POST", "/count", &[("content-length", "1000")]))
        .await;
    peer.send(&body(&[b'x'; 1000])).await;
    assert_eq!(peer.answer().await, Answer::new(200, "1000", true, 0));
    drop(peer);
    site.close().await;
}

#[tokio::test]
async fn a_refused_head_request_has_no_body() {
    let attack = request("HEAD", "/hello", &[]);
    let (answer, _) = Site::secret().await.attack(&attack).await;
    assert_eq!(answers(&answer), [Answer::new(403, "", false, 0)]);
}

/// The order of the web server's two packets and of the server's answer may be anything:
/// the answer is complete and no reset cuts it off.
#[tokio::test]
async fn the_eager_packet_does_not_cost_the_answer() {
    let head = request("POST", "/count", &[("content-length", "100000")]);
    let eager = body(&[b'x'; 8186]);
    for (first, second) in [
        ([head.clone(), eager.clone()].concat(), vec![]),
        (head.clone(), eager.clone()),
        (
            [&head, &eager[..10]].concat(),
            eager.get(10..).unwrap().to_vec(),
        ),
    ] {
        let mut site = Site::secret().await;
        let mut honest = site.connect().await;
        let mut peer = site.connect().await;
        peer.send(&first).await;
        // Time in which a server that closes at once would have sent its reset.
        tokio::time::sleep(Duration::from_millis(50)).await;
        peer.send(&second).await;
        let (answer, reset) = peer.read_to_end().await;
        assert_eq!(answer, refusal(403, WRONG_SECRET));
        assert!(!reset, "the answer may be lost");
        drop(peer);
        assert_eq!(site.error().await, Seen::Refused(403, WRONG_SECRET));
        honest.hello().await;
        site.connect().await.hello().await;
        site.close().await;
    }
}

#[tokio::test]
async fn the_right_secret_is_let_in() {
    let site = Site::secret().await;
    let mut peer = site.connect().await;
    let right = Attribute::Coded {
        code: AttributeCode::Secret,
        value: Some(SECRET.as_bytes()),
    };
    peer.send(&request_with("GET", "/hello", &[], &[right]))
        .await;
    assert_eq!(
        peer.answer().await,
        Answer::new(200, "Hello, AJP!", true, 0)
    );
    drop(peer);
    site.close().await;
}
