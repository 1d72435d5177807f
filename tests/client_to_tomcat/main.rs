//! Our client and a real Tomcat that is restarted, closes idle connections, has few threads or
//! small packets, or dies.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "in a test a panic is the report"
)]

#[path = "../support/mod.rs"]
mod support;

mod crash;
mod keep_alive;
#[cfg(feature = "balancer")]
mod overload;
mod packet_size;
mod restart;
mod threads;

use ajp::Secret;
use ajp::client::{Address, Client, ClientError, Pool, PoolConfig};
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use support::pattern::{bytes, sha256_hex};
use support::tomcat::{SECRET, Tomcat};

fn config() -> PoolConfig {
    PoolConfig::default().with_secret(Secret::new(SECRET).unwrap())
}

fn client(tomcat: &Tomcat, config: PoolConfig) -> Client {
    Client::for_own_requests(Pool::new(Address::from(tomcat.ajp_addr()), config))
}

fn request(method: &Method, uri: &str, body: Bytes) -> Request<Full<Bytes>> {
    let request = Request::builder().method(method).uri(uri);
    request
        .header("host", "app.example")
        .body(Full::new(body))
        .unwrap()
}

fn get(uri: &str) -> Request<Full<Bytes>> {
    request(&Method::GET, uri, Bytes::new())
}

/// A whole exchange: status and body.
async fn exchange(
    client: &Client,
    request: Request<Full<Bytes>>,
) -> Result<(u16, Bytes), ClientError> {
    let response = client.send(request).await?;
    let status = response.status().as_u16();
    Ok((status, response.into_body().collect().await?.to_bytes()))
}

/// A request that Tomcat answers with what it was sent, and a check of the answer: no response
/// may be another request's.
async fn echoes(client: &Client, method: &Method, token: usize) -> Result<(), ClientError> {
    let body = match *method {
        Method::GET | Method::HEAD => Bytes::new(),
        _ => bytes(10_000 + token % 100),
    };
    let uri = format!("/app/echo?token={token}");
    let (status, answer) = exchange(client, request(method, &uri, body.clone())).await?;
    assert_eq!(status, 200, "{method} {token}");
    if method == Method::HEAD {
        assert!(answer.is_empty());
        return Ok(());
    }
    let seen: serde_json::Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(seen["query"], format!("token={token}"));
    assert_eq!(seen["bodySha256"], sha256_hex(&body), "{method} {token}");
    Ok(())
}
