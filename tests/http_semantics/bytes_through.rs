//! Bytes that are not ASCII, from our client through our server and back.

use ajp::client::RequestFacts;
use ajp::client::{Address, Client, Pool, PoolConfig};
use ajp::mapping::text;
use ajp::server::RequestClaims;
use ajp::server::{RequestBody, ServerConfig, Trust, serve};
use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use std::convert::Infallible;

/// The header `x-bytes` goes back, and what the facts and the target say is the body.
async fn echo(request: Request<RequestBody>) -> Result<Response<Full<Bytes>>, Infallible> {
    let facts = request.extensions().get::<RequestClaims>().unwrap();
    let seen = format!(
        "{} {} {}",
        request.uri(),
        facts.claimed_user().unwrap_or_default(),
        facts.attribute("SHIB_name").unwrap_or_default(),
    );
    let mut response = Response::new(Full::from(seen));
    for value in request.headers().get_all("x-bytes") {
        response.headers_mut().append("x-bytes", value.clone());
    }
    Ok(response)
}

async fn client() -> Client {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = Address::from(listener.local_addr().unwrap());
    let attributes = ajp::server::AttributePolicy::default().accept("SHIB_name");
    let config = ServerConfig::new(Trust::TrustedNetwork).with_attributes(attributes);
    let server = serve(listener, tower::service_fn(echo)).with_config(config);
    tokio::spawn(server.into_future());
    Client::for_own_requests(Pool::new(address, PoolConfig::default()))
}

#[tokio::test]
async fn every_byte_of_a_header_value_comes_back() {
    let client = client().await;
    let all: Vec<u8> = (0..=255)
        .filter(|b| matches!(b, 9 | 0x20..=0x7e | 0x80..))
        .collect();
    // UTF-8, Latin-1, neither, and everything there is.
    let values = [
        "na\u{ef}ve \u{65e5}\u{672c}".as_bytes(),
        b"na\xefve",
        b"\xc3\x28\xff\xfe",
        &all,
        b"",
    ];
    let mut request = Request::get("/").body(Empty::<Bytes>::new()).unwrap();
    for value in values {
        let value = HeaderValue::from_bytes(value).unwrap();
        request.headers_mut().append("x-bytes", value);
    }
    let response = client.send(request).await.unwrap();
    let back: Vec<_> = response.headers().get_all("x-bytes").iter().collect();
    assert_eq!(back, values);
}

#[tokio::test]
async fn targets_are_escaped_and_facts_are_not_changed() {
    let client = client().await;
    let mut request = Request::get("/caf\u{e9}/%C3%A9/%e9?q=\u{fc}&r=%FC")
        .body(Empty::<Bytes>::new())
        .unwrap();
    let facts = RequestFacts::own_request()
        .with_user("J\u{fc}rgen", "Basic")
        .with_attribute("SHIB_name", "\u{65e5}\u{672c}");
    request.extensions_mut().insert(facts);
    let response = client.send(request).await.unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(
        text(&body),
        "/caf%C3%A9/%C3%A9/%e9?q=%C3%BC&r=%FC J\u{fc}rgen \u{65e5}\u{672c}"
    );
}
