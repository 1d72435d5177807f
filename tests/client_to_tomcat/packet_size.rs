//! Heads that are larger than a packet of the default size, and what tells of settings that differ.

use super::{Bytes, client, config, exchange, get};
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
