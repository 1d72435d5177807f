//! Heads that are larger than a packet of the default size, and what tells of settings that differ.

use super::{Bytes, Method, bytes, client, config, exchange, get, request, sha256_hex};
use crate::support::tomcat::Tomcat;
use ajp::Secret;
use ajp::balancer::{Balancer, BalancerConfig, Member, MemberState};
use ajp::client::{Client, ErrorKind, Mismatch, PoolConfig, Retry, Timeouts};
use ajp::wire::PacketSize;
use http::{HeaderValue, Request};
use http_body_util::Full;
use std::error::Error as _;
use std::time::Duration;

fn with_token(len: usize) -> Request<Full<Bytes>> {
    let mut request = get("/app/echo");
    let token = HeaderValue::try_from("t".repeat(len)).unwrap();
    request.headers_mut().insert("x-token", token);
    request
}

/// What Tomcat saw of the header.
async fn token_arrives(client: &Client, len: usize) {
    let (status, answer) = exchange(client, with_token(len)).await.unwrap();
    assert_eq!(status, 200);
    let seen: serde_json::Value = serde_json::from_slice(&answer).unwrap();
    let sent = serde_json::json!(["x-token", "t".repeat(len)]);
    assert!(seen["headers"].as_array().unwrap().contains(&sent));
}

#[tokio::test]
async fn a_header_of_12_kilobytes_and_packets_of_8() {
    let tomcat = Tomcat::builder().start().await;
    let small = client(&tomcat, config());
    token_arrives(&small, 7000).await;
    let error = small.try_send(with_token(12_000)).await.unwrap_err();
    assert_eq!(error.error().kind(), ErrorKind::HeadTooLarge);
    assert_eq!(error.error().retry(), Retry::Never);
    assert_eq!(error.error().suggested_status(), 431);
    let cause = error.source().unwrap().to_string();
    for word in ["header x-token", "packet size 8192", "12"] {
        assert!(cause.contains(word), "{cause}");
    }
    assert!(error.into_request().is_ok());
    // Nothing was sent, nothing was closed.
    token_arrives(&small, 7000).await;
    assert_eq!(small.pool().stats().created, 1);

    // Only one side was told to take more: no hang, no answer to somebody else.
    let limits = Timeouts::default().with_response_head(Duration::from_secs(10));
    let large = config()
        .with_packet_size(PacketSize::MAX)
        .with_timeouts(limits);
    let large = client(&tomcat, large);
    match exchange(&large, with_token(12_000)).await {
        Ok((status, _)) => assert!((400..600).contains(&status), "{status}"),
        Err(error) => assert_ne!(error.kind(), ErrorKind::ResponseHeadTimeout, "{error:?}"),
    }
    let stats = large.pool().stats();
    assert_eq!((stats.idle, stats.mismatched(Mismatch::Cut)), (0, 1));
    token_arrives(&large, 7000).await;
}

#[tokio::test]
async fn packets_of_65536_on_both_sides() {
    let tomcat = Tomcat::builder().packet_size(65536).start().await;
    let client = client(&tomcat, config().with_packet_size(PacketSize::MAX));
    for len in [12_000, 60_000] {
        token_arrives(&client, len).await;
    }
    let response = client
        .send(get("/app/headers?n=1&size=50000"))
        .await
        .unwrap();
    assert_eq!(response.headers()["x-h-0"].len(), 50_000);
    drop(response);
    let error = exchange(&client, with_token(66_000)).await.unwrap_err();
    let cause = error.source().unwrap().to_string();
    assert!(cause.contains("packet size 65536"), "{cause}");
}

fn learning() -> PoolConfig {
    config()
        .with_packet_size(PacketSize::MAX)
        .with_learn_packet_size(true)
}

/// What the container has shown that it takes, and how often it took something not.
fn learned(client: &Client) -> (Option<PacketSize>, u64) {
    let stats = client.pool().stats();
    (stats.packet_size_learned, stats.mismatched(Mismatch::Cut))
}

/// A POST of 40 000 bytes: what came back of it, in bytes of packets.
async fn upload(client: &Client) -> u64 {
    let before = client.pool().stats().bytes_in;
    let body = bytes(40_000);
    let request = request(&Method::POST, "/app/echo", body.clone());
    let (status, answer) = exchange(client, request).await.unwrap();
    assert_eq!(status, 200);
    let seen: serde_json::Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(seen["bodySha256"], sha256_hex(&body));
    client.pool().stats().bytes_in - before
}

/// Packets are as long as Tomcat takes them, before and after it was restarted with a smaller
/// size, and no request fails that it could have served.
#[tokio::test]
async fn the_packet_size_is_learned_of_each_process() {
    let mut tomcat = Tomcat::builder().packet_size(65536).start().await;
    let of_heads = client(&tomcat, learning());
    for len in [7000, 12_000, 60_000] {
        token_arrives(&of_heads, len).await;
    }
    assert_eq!(learned(&of_heads), (Some(PacketSize::MAX), 0));
    assert_eq!(of_heads.pool().stats().created, 1);

    let client_of_bodies = client(&tomcat, learning());
    // The first packet is of 8192 bytes, and Tomcat asks for the rest. The second time it need
    // not ask: what it asks with are 7 bytes.
    let first = upload(&client_of_bodies).await;
    let second = upload(&client_of_bodies).await;
    assert_eq!(first - second, 7);
    let stats = client_of_bodies.pool().stats();
    assert_eq!((stats.created, stats.largest_out), (1, 40_006));
    assert_eq!(learned(&client_of_bodies), (Some(PacketSize::MAX), 0));

    tomcat.set_connector_attr("packetSize", "8192");
    tomcat.restart().await;
    for _ in 0..3 {
        let third = upload(&client_of_bodies).await;
        // It asks for four packets that it has not got unasked. The answer itself has numbers that
        // may be a digit longer or shorter over another connection.
        assert!((third - second).abs_diff(4 * 7) < 7, "{third} {second}");
    }
    // What is known of heads is of the process before: it takes a request to find out, one that
    // this process would not have served in any way.
    for client in [&client_of_bodies, &of_heads] {
        let answer = exchange(client, with_token(12_000)).await;
        assert!(!matches!(answer, Ok((200, _))), "{answer:?}");
        assert_eq!(learned(client), (None, 1));
    }
    // A new pool does not try.
    for client in [
        client_of_bodies,
        of_heads,
        self::client(&tomcat, learning()),
    ] {
        let cuts = learned(&client).1;
        for _ in 0..2 {
            let error = exchange(&client, with_token(12_000)).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::HeadTooLarge);
        }
        assert_eq!(learned(&client), (None, cuts));
        token_arrives(&client, 7000).await;
        upload(&client).await;
    }
}

/// A wrong secret is known for what it is: in the numbers of the pool and in the last error of a
/// balancer's member, which stays in service.
#[tokio::test]
async fn a_refusal_is_told() {
    let tomcat = Tomcat::builder().start().await;
    let config = PoolConfig::new().with_secret(Secret::new("wrong").unwrap());
    let client = client(&tomcat, config);
    let (status, _) = exchange(&client, get("/app/echo")).await.unwrap();
    assert_eq!(status, 403);
    let numbers = client.pool().stats();
    assert_eq!(numbers.mismatched(Mismatch::Refused), 1);
    let balancer = Balancer::new(BalancerConfig::new("farm"));
    balancer
        .add(Member::new("a"), client.pool().clone())
        .unwrap();
    let a = &balancer.snapshot().members[0];
    assert_eq!(a.state, MemberState::Ok);
    assert_eq!(
        a.last_error.as_deref(),
        Some("the container refused the secret or a request attribute")
    );
}
