//! One list of HTTP requests for every pair of gateway and container, so that all are held
//! to the same answers.
#![allow(dead_code, reason = "every test binary uses its own part of the list")]
#![allow(unreachable_pub, reason = "the module is private to a test binary")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report"
)]

use crate::support::http1::{Body, Client};
use crate::support::pattern::{bytes, sha256_hex};
use bytes::Bytes;
use serde_json::Value;

/// What a pair does differently, and rightly so.
#[derive(Clone, Copy)]
pub struct Pair {
    /// The gateway keeps the container's Content-Length (httpd does not).
    pub keeps_length: bool,
    /// The gateway shows the client that a response broke off. `mod_jk` sends the request
    /// again instead and delivers both parts as one (protocol chapter "peers").
    pub shows_truncation: bool,
}

/// Runs the whole list through a gateway, below `/app`.
pub async fn run(client: &mut Client, pair: Pair) {
    plain(client, pair).await;
    uploads(client).await;
    downloads(client, pair).await;
    heads(client).await;
    statuses(client).await;
    unread(client).await;
    if pair.shows_truncation {
        aborted(client).await;
    }
    plain(client, pair).await;
}

/// Request bodies of all sizes.
pub async fn uploads(client: &mut Client) {
    for n in [0, 1, 8186, 8187, 100_000, 5_000_000] {
        upload(client, n).await;
    }
}

async fn plain(client: &mut Client, pair: Pair) {
    let answer = client.get("/app/hello").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.text(), "Hello, AJP!\n");
    let answer = client
        .request("HEAD", "/app/bytes?n=1234&len=1", &[], Body::None)
        .await;
    assert_eq!((answer.status.as_u16(), answer.bytes().len()), (200, 0));
    if pair.keeps_length {
        assert_eq!(answer.header("content-length"), Some("1234"));
    }
}

/// Length and digest, as either container's `/app/echo` names them.
fn digest(json: &Value) -> (u64, String) {
    let (length, hash) = match json.get("body") {
        Some(body) => (&body["length"], &body["sha256"]),
        None => (&json["bodyLength"], &json["bodySha256"]),
    };
    (length.as_u64().unwrap(), hash.as_str().unwrap().to_owned())
}

async fn upload(client: &mut Client, n: usize) {
    let data = bytes(n);
    let expected = (n as u64, sha256_hex(&data));
    let known = client
        .request("POST", "/app/echo", &[], Body::Full(data.clone()))
        .await;
    assert_eq!(
        digest(&known.json()),
        expected,
        "{n} bytes with Content-Length"
    );
    let parts: Vec<_> = data.chunks(10_007).map(Bytes::copy_from_slice).collect();
    let chunked = client
        .request("POST", "/app/echo", &[], Body::Chunked(parts))
        .await;
    assert_eq!(digest(&chunked.json()), expected, "{n} bytes chunked");
}

async fn downloads(client: &mut Client, pair: Pair) {
    for n in [300_000, 50_000_000] {
        let expected = sha256_hex(&bytes(n));
        for announced in ["", "&len=1"] {
            let answer = client.get(&format!("/app/bytes?n={n}{announced}")).await;
            assert_eq!(answer.status, 200);
            if pair.keeps_length && announced == "&len=1" {
                assert_eq!(
                    answer.header("content-length"),
                    Some(n.to_string().as_str())
                );
            }
            assert_eq!(answer.bytes().len(), n);
            assert_eq!(sha256_hex(answer.bytes()), expected, "{n} bytes");
        }
    }
}

async fn heads(client: &mut Client) {
    let many: Vec<_> = (0..80)
        .map(|i| (format!("X-Many-{i}"), format!("value {i}")))
        .collect();
    let many: Vec<_> = many
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let json = client
        .request("GET", "/app/echo?a=1&b=%20", &many, Body::None)
        .await
        .json();
    assert_eq!(json["query"], "a=1&b=%20");
    for (name, value) in many {
        let sent = [name.to_ascii_lowercase(), value.to_owned()];
        let found = json["headers"].as_array().unwrap().iter().any(|pair| {
            pair[0].as_str().unwrap().eq_ignore_ascii_case(&sent[0]) && pair[1] == sent[1].as_str()
        });
        assert!(found, "{name} is missing in {json}");
    }
    let answer = client.get("/app/headers?n=60&size=20").await;
    let count = answer
        .headers
        .keys()
        .filter(|name| name.as_str().starts_with("x-h-"))
        .count();
    assert_eq!(count, 60);
    let answer = client.get("/app/cookies").await;
    assert_eq!(answer.headers.get_all("set-cookie").iter().count(), 3);
}

async fn statuses(client: &mut Client) {
    for status in [204, 304] {
        let answer = client.get(&format!("/app/status/{status}")).await;
        assert_eq!((answer.status.as_u16(), answer.bytes().len()), (status, 0));
    }
    for status in [404, 500] {
        let answer = client.get(&format!("/app/status/{status}")).await;
        assert_eq!(answer.status.as_u16(), status);
        assert_eq!(answer.text(), format!("status {status}\n"));
    }
}

/// The container answers without reading the request body; what follows on the same
/// connections must not be disturbed.
pub async fn unread(client: &mut Client) {
    for n in [1, 8186, 8187, 100_000] {
        let answer = client
            .request("POST", "/app/unread", &[], Body::Full(bytes(n)))
            .await;
        assert_eq!(answer.text(), "unread\n", "{n} bytes unread");
        upload(client, 512).await;
    }
}

async fn aborted(client: &mut Client) {
    for target in [
        "/app/abort?n=1000",
        "/app/abort?n=1000&len=1000000",
        "/app/abort?n=200000",
    ] {
        // Broken off before or after the first byte reached the client; never a clean end.
        if let Ok(answer) = client.try_request("GET", target, &[], Body::None).await {
            let clean = answer.status == 200 && answer.body.is_ok();
            assert!(!clean, "{target} looks complete: {answer:?}");
        }
        assert_eq!(client.get("/app/hello").await.text(), "Hello, AJP!\n");
    }
}
