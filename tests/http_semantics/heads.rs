//! Targets, headers, and responses that have no body.

use crate::raw::backend::{Backend, Conn, Then, config};
use crate::raw::packets::{answer_packet, chunk, head, response, string};
use crate::raw::soon;
use ajp::client::ErrorKind;
use ajp::mapping::ReasonPhrase;
use ajp::wire::{END_RESPONSE_REUSE, ForwardRequest};
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Empty, Full};
use std::sync::{Arc, Mutex};

fn bare(method: &str, uri: &str) -> http::request::Builder {
    Request::builder().method(method).uri(uri)
}

/// A container that keeps the requests it got and answers with "ok".
async fn recording() -> (Backend, Arc<Mutex<Vec<ForwardRequest>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let backend = Backend::start(config(), move |_, mut conn: Conn| {
        let sink = Arc::clone(&sink);
        async move {
            while let Some(request) = conn.request().await {
                conn.body(&request).await.unwrap();
                sink.lock().unwrap().push(request);
                conn.write(&response("ok", 1)).await;
            }
        }
    })
    .await;
    (backend, seen)
}

fn lines(request: &ForwardRequest) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let headers = request.headers();
    headers.map(|h| (text(h.name), text(h.value))).collect()
}

fn pairs(lines: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
    lines.iter().map(owned).collect()
}

#[tokio::test]
async fn targets_and_virtual_hosts() {
    let (backend, seen) = recording().await;
    let cases = [
        // Target, Host header: path, query, Host, server name and port, TLS.
        (
            "/a%20b;c=d/../e?q=%2f",
            "app.example:8080",
            ("/a%20b;c=d/../e", Some("q=%2f")),
            ("app.example:8080", "app.example", 8080, false),
        ),
        (
            "http://app.example/x?",
            "",
            ("/x", Some("")),
            ("app.example", "app.example", 80, false),
        ),
        (
            "http://app.example:81",
            "other.example",
            ("/", None),
            ("app.example:81", "app.example", 81, false),
        ),
        (
            "https://user:secret@app.example/",
            "",
            ("/", None),
            ("app.example", "app.example", 443, true),
        ),
        (
            "https://[2001:db8::1]:8443/",
            "",
            ("/", None),
            ("[2001:db8::1]:8443", "2001:db8::1", 8443, true),
        ),
        ("/", "[::1]", ("/", None), ("[::1]", "::1", 80, false)),
    ];
    for (target, host, (path, query), (sent_host, name, port, tls)) in cases {
        let mut request = bare("GET", target).body(Empty::<Bytes>::new()).unwrap();
        if !host.is_empty() {
            request.headers_mut().insert("host", host.parse().unwrap());
        }
        backend.send(request).await.unwrap();
        let request = seen.lock().unwrap().pop().unwrap();
        assert_eq!(request.req_uri(), path.as_bytes(), "{target}");
        assert_eq!(request.query_string(), query.map(str::as_bytes), "{target}");
        assert_eq!(
            lines(&request),
            pairs(&[("host", sent_host), ("content-length", "0")])
        );
        assert_eq!(request.server_name(), Some(name.as_bytes()), "{target}");
        assert_eq!(
            (request.server_port(), request.is_ssl()),
            (port, tls),
            "{target}"
        );
    }
    let star = bare("OPTIONS", "*")
        .header("host", "a")
        .body(Empty::<Bytes>::new())
        .unwrap();
    backend.send(star).await.unwrap();
    assert_eq!(seen.lock().unwrap().pop().unwrap().req_uri(), b"*");
}

/// What belongs to one HTTP connection stays there, in both directions; the rest stays as it
/// is, repeated lines too.
#[tokio::test]
async fn hop_by_hop_headers_stay_behind() {
    let (backend, seen) = recording().await;
    let request = bare("POST", "/")
        .header("host", "app.example")
        .header("connection", "close, X-Hop")
        .header("x-hop", "1")
        .header("keep-alive", "timeout=5")
        .header("proxy-connection", "keep-alive")
        .header("proxy-authorization", "Basic eDp5")
        .header("te", "trailers")
        .header("trailer", "x-sum")
        .header("transfer-encoding", "chunked")
        .header("expect", "100-continue")
        .header("authorization", "Basic eDp5")
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .header("accept", "text/html")
        .header("accept", "*/*;q=0.5")
        .body(Full::new(Bytes::from("x")))
        .unwrap();
    backend.send(request).await.unwrap();
    let kept = [
        ("host", "app.example"),
        ("authorization", "Basic eDp5"),
        // Several are one (RFC 9113 section 8.2.3).
        ("cookie", "a=1; b=2"),
        ("accept", "text/html"),
        ("accept", "*/*;q=0.5"),
        ("transfer-encoding", "chunked"),
    ];
    let mut sent = lines(&seen.lock().unwrap().pop().unwrap());
    let mut kept = pairs(&kept);
    sent.sort();
    kept.sort();
    assert_eq!(sent, kept);

    let answer = [
        ("Connection", "X-Hop"),
        ("X-Hop", "1"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Authenticate", "Basic"),
        ("Transfer-Encoding", "chunked"),
        ("TE", "x"),
        ("Trailer", "x"),
        ("Upgrade", "h2c"),
        ("Set-Cookie", "a=1; Path=/"),
        ("Set-Cookie", "b=2, c"),
        ("WWW-Authenticate", "Basic"),
        ("X-Kept", "1"),
    ];
    let answer = [head(200, &answer), END_RESPONSE_REUSE.to_vec()].concat();
    let backend = Backend::answering(answer, crate::raw::backend::Then::Close).await;
    let request = bare("GET", "/").body(Empty::<Bytes>::new()).unwrap();
    let response = soon("a head", backend.client.send(request)).await.unwrap();
    let mut got: Vec<_> = response
        .headers()
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
        .collect();
    got.sort_unstable();
    let kept = [
        ("set-cookie", "a=1; Path=/"),
        ("set-cookie", "b=2, c"),
        ("www-authenticate", "Basic"),
        ("x-kept", "1"),
    ];
    assert_eq!(got, kept);
}

/// Data that comes all the same is dropped, the length that is named is kept, and the
/// connection serves the next request.
#[tokio::test]
async fn responses_without_a_body() {
    let cases = [
        ("HEAD", 200),
        ("GET", 204),
        ("GET", 205),
        ("GET", 304),
        ("HEAD", 404),
    ];
    for (method, status) in cases {
        for length in [None, Some("5")] {
            for data in [&b""[..], b"stray"] {
                let headers: Vec<_> = length.map(|n| ("content-length", n)).into_iter().collect();
                let mut answer = head(status, &headers);
                if !data.is_empty() {
                    answer.extend(chunk(data));
                }
                answer.extend(END_RESPONSE_REUSE);
                let backend = Backend::start(config(), move |_, mut conn: Conn| {
                    let answer = answer.clone();
                    async move {
                        conn.request().await;
                        conn.write(&answer).await;
                        conn.serve_well().await;
                    }
                })
                .await;
                let case = format!("{method} {status} {length:?} {data:?}");
                let request = bare(method, "/").body(Empty::<Bytes>::new()).unwrap();
                let response = soon(&case, backend.client.send(request)).await.unwrap();
                let named = response.headers().get("content-length");
                let expected = length.filter(|_| status != 204);
                assert_eq!(
                    named.map(http::HeaderValue::as_bytes),
                    expected.map(str::as_bytes),
                    "{case}"
                );
                assert_eq!(response.status(), status, "{case}");
                assert!(http_body::Body::is_end_stream(response.body()), "{case}");
                let body = soon(&case, response.into_body().collect()).await;
                assert_eq!(body.unwrap().to_bytes(), "", "{case}");
                assert_eq!(backend.idle(), 1, "{case}");
                backend.well("second").await;
                assert_eq!(backend.accepted(), 1, "{case}");
            }
        }
    }
}

/// Interim responses are waited out; they are no answer, but they are a sign of life.
#[tokio::test]
async fn interim_responses_are_skipped() {
    let interim = [
        head(100, &[]),
        head(102, &[]),
        head(103, &[("link", "</a.css>")]),
    ];
    let answer = [interim.concat(), response("first", 1)].concat();
    let backend = Backend::start(config(), move |_, mut conn: Conn| {
        let answer = answer.clone();
        async move {
            conn.request().await;
            conn.write(&answer).await;
            conn.serve_well().await;
        }
    })
    .await;
    let request = bare("GET", "/first").body(Empty::<Bytes>::new()).unwrap();
    let response = soon("a head", backend.client.send(request)).await.unwrap();
    assert!(!response.headers().contains_key("link"));
    assert_eq!(
        soon("a body", response.into_body().collect())
            .await
            .unwrap()
            .to_bytes(),
        "first"
    );
    backend.well("second").await;
    assert_eq!(backend.accepted(), 1);
}

#[tokio::test]
async fn what_ajp_cannot_do_is_refused_before_a_connection_is_taken() {
    let backend = Backend::start(config(), |_, conn| conn.serve_well()).await;
    let refused = [
        ("upgrade", "websocket"),
        ("upgrade", "h2c, WebSocket"),
        ("upgrade", "TLS/1.0"),
        ("upgrade", "SPDY/3.1"),
    ];
    for (name, value) in refused {
        let request = bare("GET", "/")
            .header("connection", "upgrade")
            .header(name, value);
        let error = backend
            .send(request.body(Empty::<Bytes>::new()).unwrap())
            .await;
        assert_eq!(
            error.unwrap_err().kind,
            ErrorKind::UpgradeNotSupported,
            "{value}"
        );
    }
    let connect = bare("CONNECT", "app.example:443")
        .body(Empty::<Bytes>::new())
        .unwrap();
    assert_eq!(
        backend.send(connect).await.unwrap_err().kind,
        ErrorKind::UpgradeNotSupported
    );
    let hosts = bare("GET", "/").header("host", "a").header("host", "a");
    let error = backend
        .send(hosts.body(Empty::<Bytes>::new()).unwrap())
        .await;
    assert_eq!(error.unwrap_err().kind, ErrorKind::InvalidRequest);
    assert_eq!(backend.accepted(), 0);

    // An offer of another HTTP version comes with ordinary requests (Java's client, curl).
    let (backend, seen) = recording().await;
    for offer in ["h2c", "HTTP/2.0", "h2c, ", ""] {
        let request = bare("GET", "/")
            .header("connection", "Upgrade, HTTP2-Settings")
            .header("upgrade", offer)
            .header("http2-settings", "AAMAAABk")
            .body(Empty::<Bytes>::new())
            .unwrap();
        backend.send(request).await.unwrap();
        let sent = seen.lock().unwrap().pop().unwrap();
        assert_eq!(lines(&sent), pairs(&[("content-length", "0")]), "{offer}");
    }
}

/// A method that AJP has no code for goes as what it is.
#[tokio::test]
async fn methods_of_every_kind() {
    let (backend, seen) = recording().await;
    for method in ["GET", "PATCH", "PROPFIND", "VERSION-CONTROL", "BREW"] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let request = Request::builder()
            .method(&method)
            .uri("/")
            .body(Empty::<Bytes>::new());
        backend.send(request.unwrap()).await.unwrap();
        let sent = seen.lock().unwrap().pop().unwrap();
        assert_eq!(sent.method(), method.as_str().as_bytes());
        assert_eq!(lines(&sent), pairs(&[("content-length", "0")]));
    }
}

/// A Send Headers with this reason phrase and these headers.
fn with_reason(status: u16, reason: &[u8], headers: &[(&str, &str)]) -> Vec<u8> {
    let mut payload = vec![4];
    payload.extend(status.to_be_bytes());
    payload.extend(u16::try_from(reason.len()).unwrap().to_be_bytes());
    payload.extend(reason);
    payload.push(0);
    payload.extend(u16::try_from(headers.len()).unwrap().to_be_bytes());
    for (name, value) in headers {
        payload.extend(string(name));
        payload.extend(string(value));
    }
    answer_packet(&payload)
}

async fn answered(method: &str, packet: Vec<u8>) -> http::response::Parts {
    let bytes = [packet, END_RESPONSE_REUSE.to_vec()].concat();
    let backend = Backend::answering(bytes, Then::Poison).await;
    let request = bare(method, "/x").body(Empty::<Bytes>::new()).unwrap();
    let response = backend.client.send(request).await.unwrap();
    response.into_parts().0
}

/// A phrase of the container's own is there for HTTP/1, in a form that hyper takes; what says
/// no more than the status, or would split the response, is not.
#[tokio::test]
async fn reason_phrases_are_passed_on() {
    for (status, phrase, passes) in [
        (200, &b"All is well"[..], true),
        (404, b"Nobody \xe4\xf6\xfc\there", true),
        (299, b"Mine", true),
        (200, b"OK", false),
        (200, b"200", false),
        (404, b"404", false),
        (200, b"", false),
        (200, b"OK\r\nset-cookie: a=b", false),
        (200, b"a\0b", false),
    ] {
        let parts = answered("GET", with_reason(status, phrase, &[])).await;
        assert_eq!(parts.status, status);
        let reason = parts.extensions.get::<ReasonPhrase>();
        assert_eq!(reason.map(ReasonPhrase::as_bytes), passes.then_some(phrase));
        if let Some(reason) = reason {
            let hypers = hyper::ext::ReasonPhrase::try_from(reason.clone().into_bytes());
            assert_eq!(hypers.unwrap().as_bytes(), phrase);
        }
    }
}

/// Lines that say the same become one: a client of HTTP refuses several.
#[tokio::test]
async fn one_length_goes_out() {
    let twice = [("content-length", "5"), ("Content-Length", "5")];
    for method in ["HEAD", "GET"] {
        let mut packet = with_reason(200, b"200", &twice);
        if method == "GET" {
            packet.extend(chunk(b"hello"));
        }
        let parts = answered(method, packet).await;
        let lengths: Vec<_> = parts.headers.get_all("content-length").iter().collect();
        assert_eq!(lengths, ["5"], "{method}");
    }
}
