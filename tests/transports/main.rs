//! What a connection runs over, and what is known of the HTTP client's connection.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "in a test a panic is the report"
)]
#![cfg(all(feature = "client", feature = "server"))]

#[path = "../support/mod.rs"]
mod support;

mod addresses;
mod facts;
mod over_tls;

use ajp::client::{Client, Connect, Pool, PoolConfig};
use ajp::server::RequestClaims;
use ajp::server::{Listener, RequestBody, ServerConfig, Trust, serve};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use std::convert::Infallible;
use tokio::sync::mpsc;

/// A container of ours that sends back the body it was sent and hands on the facts it got.
fn container(listener: impl Listener) -> mpsc::UnboundedReceiver<RequestClaims> {
    let (seen, facts) = mpsc::unbounded_channel();
    let app = tower::service_fn(move |request: Request<RequestBody>| {
        let _ = seen.send(request.extensions().get().cloned().unwrap());
        async move {
            let body = request.into_body().collect().await.unwrap().to_bytes();
            Ok::<_, Infallible>(Response::new(Full::new(body)))
        }
    });
    let config = ServerConfig::new(Trust::TrustedNetwork);
    tokio::spawn(serve(listener, app).with_config(config).into_future());
    facts
}

fn client(connector: impl Connect) -> Client {
    Client::for_own_requests(Pool::new(connector, PoolConfig::default()))
}

/// One exchange each way: a body that takes many packets, and none.
async fn works(client: &Client) {
    let sent = support::pattern::bytes(1_000_000);
    let request = Request::post("/").body(Full::new(sent.clone())).unwrap();
    let response = client.send(request).await.unwrap();
    assert_eq!(
        response.into_body().collect().await.unwrap().to_bytes(),
        sent
    );
    let request = Request::get("/").body(Empty::<Bytes>::new()).unwrap();
    let response = client.send(request).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "");
    let stats = client.pool().stats();
    assert_eq!((stats.idle, stats.in_use), (1, 0), "{stats:?}");
}
