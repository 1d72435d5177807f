//! HTTP/1.1 as clients of all kinds speak it, and what the gateway decides about it.

use crate::raw::backend::{Backend, Conn, config};
use crate::raw::packets::{chunk, head, response};
use crate::raw::soon;
use crate::support::gateway::Gateway;
use crate::support::nginx::Nginx;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// End Response; the connection goes on.
pub(crate) const END: &[u8] = &[0x41, 0x42, 0, 2, 5, 1];

/// A gateway with these keys before the balancer, in front of one container.
pub(crate) async fn before(backend: &Backend, keys: &str) -> Gateway {
    Gateway::start(&format!(
        "{keys}\n[[balancer]]\nname = \"b\"\n[[balancer.member]]\nurl = \"{}\"\n\
         [[map]]\npath = \"/\"\nto = \"balancer://b/\"\n",
        backend.url()
    ))
    .await
}

/// A container that answers every request with its path.
pub(crate) async fn echo() -> Backend {
    Backend::start(config(), |_, conn: Conn| conn.serve_well()).await
}

/// Sends these bytes and reads until the gateway closes.
pub(crate) async fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut http = TcpStream::connect(address).await.unwrap();
    http.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    soon("the end", http.read_to_end(&mut answer))
        .await
        .unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_client_that_still_sends_gets_its_answer() {
    let backend = echo().await;
    let gateway = before(&backend, "max_body = 1000").await;
    let address = gateway.http;
    for framing in [
        "Content-Length: 5000000\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n4c4b40\r\n",
    ] {
        // As http.client of Python does it: all is sent, then the answer is read.
        let answer = tokio::task::spawn_blocking(move || {
            let mut http = std::net::TcpStream::connect(address).unwrap();
            http.set_read_timeout(Some(Duration::from_secs(10)))
                .unwrap();
            let head = format!("POST /x HTTP/1.1\r\nHost: a\r\n{framing}");
            http.write_all(head.as_bytes()).unwrap();
            for _ in 0..50 {
                http.write_all(&vec![b'x'; 100_000])
                    .expect("no broken pipe");
            }
            let mut answer = [0; 4096];
            let count = http.read(&mut answer).unwrap();
            String::from_utf8_lossy(&answer[..count]).into_owned()
        });
        let answer = answer.await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    }
}

#[tokio::test]
async fn a_probe_that_closes_its_direction_is_answered() {
    let backend = echo().await;
    let gateway = before(&backend, "").await;
    let address = gateway.http;
    let answer = tokio::task::spawn_blocking(move || {
        let mut http = std::net::TcpStream::connect(address).unwrap();
        http.write_all(b"GET /probe HTTP/1.0\r\n\r\n").unwrap();
        http.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        http.read_to_string(&mut answer).unwrap();
        answer
    });
    let answer = answer.await.unwrap();
    assert!(answer.ends_with("\r\n\r\nprobe"), "{answer}");
    // Boot loaders look for it byte for byte.
    assert!(answer.contains("\r\nDate: "), "{answer}");
}

#[tokio::test]
async fn header_names_are_in_title_case() {
    let backend = Backend::start(config(), |_, mut conn: Conn| async move {
        while conn.request().await.is_some() {
            let mut answer = head(200, &[("Content-Length", "2"), ("x-some-name", "1")]);
            answer.extend(chunk(b"ok"));
            answer.extend(END);
            conn.write(&answer).await;
        }
    })
    .await;
    let gateway = before(&backend, "").await;
    let answer = exchange(
        gateway.http,
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    )
    .await;
    for line in ["\r\nContent-Length: 2\r\n", "\r\nX-Some-Name: 1\r\n"] {
        assert!(answer.contains(line), "{answer}");
    }
}

#[tokio::test]
async fn a_head_beyond_the_limit_is_refused() {
    let backend = echo().await;
    let gateway = before(&backend, "").await;
    let long = "x".repeat(20_000);
    let request = format!("GET /a HTTP/1.1\r\nHost: a\r\nX-Long: {long}\r\n\r\n");
    let answer = exchange(gateway.http, request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    // A head without end is not held for longer than it can be answered.
    let endless = format!("GET /a HTTP/1.1\r\nHost: a\r\nX-Long: {long}");
    let answer = exchange(gateway.http, endless.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[tokio::test]
async fn nothing_is_answered_after_trailers() {
    let backend = echo().await;
    let gateway = before(&backend, "").await;
    // A proxy in front that takes only CRLF for the end of a line reads two requests here;
    // hyper ends the trailers earlier and reads a third one in the body of the second.
    let inner = "GET /SMUGGLED HTTP/1.1\r\nHost: a\r\n\r\n";
    let attack = format!(
        "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\n\r\n\
         POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{inner}",
        inner.len()
    );
    let answer = exchange(gateway.http, attack.as_bytes()).await;
    assert!(!answer.contains("SMUGGLED"), "{answer}");
    assert_eq!(answer.matches("HTTP/1.1 200 ").count(), 1, "{answer}");
    // Trailers as they should be are read, and the connection closed all the same.
    let good = "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
        1\r\nx\r\n0\r\nX: y\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n";
    let answer = exchange(gateway.http, good.as_bytes()).await;
    assert_eq!(answer.matches("HTTP/1.1 200 ").count(), 1, "{answer}");
    // Chunks without trailers cost no connection.
    let good = "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
        1\r\nx\r\n0\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answer = exchange(gateway.http, good.as_bytes()).await;
    assert_eq!(answer.matches("HTTP/1.1 200 ").count(), 2, "{answer}");
}

#[tokio::test]
async fn the_gateway_answers_for_itself_and_ignores_upgrades() {
    let backend = echo().await;
    let gateway = before(&backend, "").await;
    let close = "Host: a\r\nConnection: close\r\n";
    let answer = exchange(
        gateway.http,
        format!("OPTIONS * HTTP/1.1\r\n{close}Max-Forwards: 0\r\n\r\n").as_bytes(),
    )
    .await;
    assert!(answer.contains("\r\nAllow: GET, "), "{answer}");
    assert_eq!(backend.accepted(), 0, "{answer}");
    let upgrade =
        "GET /x HTTP/1.1\r\nHost: a\r\nConnection: close, upgrade\r\nUpgrade: h2c\r\n\r\n";
    let answer = exchange(gateway.http, upgrade.as_bytes()).await;
    assert!(answer.ends_with("\r\n\r\nx"), "{answer}");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_never_an_empty_reply() {
    let backend = Backend::start(config(), |_, mut conn: Conn| async move {
        while let Some(request) = conn.request().await {
            if request.req_uri() == b"/cut" {
                conn.write(&head(200, &[("Content-Length", "10")])).await;
                return;
            }
            conn.write(&response("ok", 1)).await;
        }
    })
    .await;
    let gateway = before(&backend, "").await;
    for number in 0..20 {
        // On a kept connection clients take silence for a stale one and send again.
        let mut http = TcpStream::connect(gateway.http).await.unwrap();
        let mut answer = [0; 4096];
        http.write_all(b"GET /ok HTTP/1.1\r\nHost: a\r\n\r\n")
            .await
            .unwrap();
        let count = soon("an answer", http.read(&mut answer)).await.unwrap();
        assert!(answer[..count].starts_with(b"HTTP/1.1 200 "), "{number}");
        let order = b"POST /cut HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
        http.write_all(order).await.unwrap();
        let count = soon("an answer", http.read(&mut answer)).await.unwrap_or(0);
        let rest = String::from_utf8_lossy(&answer[..count]);
        assert!(rest.starts_with("HTTP/1.1 "), "{number}: {rest}");
    }
    let log = gateway.stop();
    assert!(log.contains("POST /cut"), "{log}");
}

/// With HTTP/1.0 an answer without length ends with its connection: one that breaks off does not end,
/// it is reset, or half of a page is taken for all of it, and kept by caches. nginx asks so unless it
/// is told otherwise.
#[tokio::test(flavor = "multi_thread")]
async fn half_an_answer_is_never_taken_for_a_whole_one() {
    let backend = Backend::start(config(), |_, mut conn: Conn| async move {
        while let Some(request) = conn.request().await {
            let headers = &[("Cache-Control", "max-age=60")];
            conn.write(&head(200, headers)).await;
            conn.write(&chunk(&[b'x'; 3000])).await;
            // What there is leaves.
            tokio::time::sleep(Duration::from_millis(50)).await;
            if request.req_uri() == b"/cut" {
                return;
            }
            conn.write(END).await;
        }
    })
    .await;
    let gateway = before(&backend, "").await;
    let whole = async |address: SocketAddr, path: &str, version: &str| {
        let mut http = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/{version}\r\nHost: a\r\nConnection: close\r\n\r\n");
        http.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let end = soon("the end", http.read_to_end(&mut answer)).await;
        let is_chunked = answer.windows(8).any(|bytes| bytes == b" chunked");
        end.is_ok() && (!is_chunked || answer.ends_with(b"\r\n0\r\n\r\n"))
    };
    let nginx = Nginx::builder()
        .http(&format!(
            "location / {{ proxy_pass http://{}; }}",
            gateway.http
        ))
        .start()
        .await;
    for (address, who) in [(gateway.http, "gateway"), (nginx.addresses()[0], "nginx")] {
        for version in ["1.0", "1.1"] {
            assert!(whole(address, "/all", version).await, "{who} {version}");
            // nginx itself says to clients of HTTP/1.0 what it can.
            if (who, version) != ("nginx", "1.0") {
                assert!(!whole(address, "/cut", version).await, "{who} {version}");
            }
        }
    }
}

/// A request fails each time, and the operator is told once.
#[tokio::test]
async fn members_that_are_down_fill_no_log() {
    // One that is not there, and one that gives no answer and is the last: it is spared.
    let silent = Backend::start(config(), |_, mut conn: Conn| async move {
        while conn.request().await.is_some() {}
    })
    .await;
    let nobody = "ajp://127.0.0.1:1";
    for (url, status, told) in [
        (nobody, "503", "AJP member failed"),
        (&*silent.url(), "504", "too few are left"),
    ] {
        let gateway = Gateway::start(&format!(
            "[[balancer]]\nname = \"b\"\n[balancer.timeouts]\nresponse_head = \"20ms\"\n\
             [balancer.recovery]\nmax_timeouts = 1\n[[balancer.member]]\nurl = \"{url}\"\n\
             [[map]]\npath = \"/\"\nto = \"balancer://b/\"\n"
        ))
        .await;
        let request = b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        for _ in 0..50 {
            let answer = exchange(gateway.http, request).await;
            let expected = format!("HTTP/1.1 {status} ");
            assert!(answer.starts_with(&expected), "{url}: {answer}");
        }
        let log = gateway.stop();
        assert_eq!(log.matches(told).count(), 1, "{log}");
        assert!(log.lines().count() < 12, "{log}");
    }
}

#[tokio::test]
async fn what_broke_off_is_told_once_and_logged_each_time() {
    let backend = Backend::start(config(), |_, mut conn: Conn| async move {
        conn.request().await.unwrap();
        conn.write(&head(200, &[("Content-Length", "100000")]))
            .await;
        conn.write(&chunk(&[b'x'; 1000])).await;
        // The head has left by then.
        tokio::time::sleep(Duration::from_millis(200)).await;
    })
    .await;
    let gateway = before(&backend, "access_log = \"access\"").await;
    for _ in 0..3 {
        let mut http = TcpStream::connect(gateway.http).await.unwrap();
        let request = b"GET /page;jsessionid=1.a?secret=x HTTP/1.1\r\nHost: a\r\n\r\n";
        http.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        let _ = soon("the cut", http.read_to_end(&mut answer)).await;
        assert!(answer.starts_with(b"HTTP/1.1 200 "));
    }
    for attempt in 0.. {
        let lines = std::fs::read_to_string(gateway.file("access")).unwrap();
        if lines.matches(" end=cut why=").count() == 3 {
            break;
        }
        assert!(attempt < 100, "{lines}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let log = gateway.stop();
    assert_eq!(
        log.matches("GET /page: the container broke the answer off")
            .count(),
        1,
        "{log}"
    );
    assert!(
        !log.contains("jsessionid") && !log.contains("secret=x"),
        "{log}"
    );
    assert!(!log.contains('\x1b'), "colours off a terminal: {log}");
}

#[tokio::test]
async fn curl_sends_an_order_once_whatever_breaks() {
    let backend = Backend::start(config(), |_, mut conn: Conn| async move {
        while let Some(request) = conn.request().await {
            if request.req_uri() == b"/order" {
                conn.write(&head(200, &[])).await;
                return;
            }
            conn.write(&response("ok", 1)).await;
        }
    })
    .await;
    let gateway = before(&backend, "access_log = \"access\"").await;
    let url = format!("http://{}", gateway.http);
    let runs = 20;
    for _ in 0..runs {
        let ended = tokio::process::Command::new("curl")
            .args(["-s", "-o", "/dev/null", &format!("{url}/ok")])
            .args(["--next", "-s", "-d", "x=1", &format!("{url}/order")])
            .output()
            .await
            .unwrap();
        assert_ne!(ended.status.code(), Some(52), "an empty reply");
    }
    // Lines are written a moment later.
    for attempt in 0.. {
        let lines = std::fs::read_to_string(gateway.file("access")).unwrap();
        let orders = lines.matches("\"POST /order ").count();
        if orders == runs {
            break;
        }
        assert!(attempt < 100 && orders < runs, "{lines}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let lines = std::fs::read_to_string(gateway.file("access")).unwrap();
    assert_eq!(lines.matches("\"POST /order ").count(), runs, "{lines}");
}

#[tokio::test]
async fn a_connection_has_so_many_requests() {
    let backend = echo().await;
    let gateway = before(&backend, "[limits]\nrequests_per_connection = 3").await;
    let requests = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n".repeat(5);
    let answer = exchange(gateway.http, requests.as_bytes()).await;
    assert_eq!(answer.matches("HTTP/1.1 200 ").count(), 3, "{answer}");
    assert_eq!(answer.matches("Connection: close").count(), 1, "{answer}");
}

#[tokio::test]
async fn connections_are_limited_in_all_and_by_address() {
    let backend = echo().await;
    for limits in ["max_connections = 2", "max_connections_per_address = 2"] {
        let gateway = before(&backend, &format!("[limits]\n{limits}")).await;
        let mut held = Vec::new();
        for _ in 0..2 {
            let mut http = TcpStream::connect(gateway.http).await.unwrap();
            http.write_all(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
                .await
                .unwrap();
            assert!(http.read(&mut [0; 4096]).await.unwrap() > 0);
            held.push(http);
        }
        let answer = exchange(gateway.http, b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 503 "), "{limits}: {answer}");
        drop(held);
        // The gateway may see a moment later that they have gone.
        for attempt in 0.. {
            let request = b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
            if exchange(gateway.http, request).await.ends_with("\r\n\r\nx") {
                break;
            }
            assert!(attempt < 100, "{limits}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test]
async fn what_a_uri_cannot_hold_is_encoded() {
    let backend = Backend::start(config(), |_, mut conn: Conn| async move {
        while let Some(request) = conn.request().await {
            if conn.body(&request).await.is_none() {
                return;
            }
            let query = request.query_string();
            let target = [request.req_uri(), b"?", query.unwrap_or_default()].concat();
            conn.write(&response(std::str::from_utf8(&target).unwrap(), 1))
                .await;
        }
    })
    .await;
    let gateway = before(&backend, "").await;
    let target = b"GET /a<b?c=\"d>\xe4\xc3\xbc^`{|} HTTP/1.1\r\nHost: a\r\n".as_slice();
    let close = b"Connection: close\r\n\r\n".as_slice();
    let expected = "\r\n\r\n/a%3Cb?c=%22d%3E%E4%C3%BC%5E%60{|}";
    let answer = exchange(gateway.http, &[target, close].concat()).await;
    assert!(answer.ends_with(expected), "{answer}");
    // Behind other requests as well, however the bytes come.
    let upload = b"POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n<\xff>".as_slice();
    let chunked = b"POST /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
        4;x=1\r\n<\xff>\r\r\n00B\r\nGET /<> H\r\n\r\n0\r\n\r\n"
        .as_slice();
    let get = b"GET /get HTTP/1.1\r\nHost: a\r\n\r\n".as_slice();
    let all = [
        get, upload, target, b"\r\n", upload, chunked, target, b"\r\n", chunked, target, close,
    ]
    .concat();
    for size in [1, 50, 10_000] {
        let mut http = TcpStream::connect(gateway.http).await.unwrap();
        http.set_nodelay(true).unwrap();
        for piece in all.chunks(size) {
            http.write_all(piece).await.unwrap();
        }
        let mut answer = String::new();
        soon("the end", http.read_to_string(&mut answer))
            .await
            .unwrap();
        assert_eq!(answer.matches("HTTP/1.1 200 ").count(), 8, "{answer}");
        assert_eq!(answer.matches(&expected[4..]).count(), 3, "{answer}");
        assert!(answer.ends_with(expected), "{answer}");
    }
    // Where it cannot be told where the next head begins, no further request is answered.
    let trailers = b"POST /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
        1\r\nx\r\n0\r\nX: y\r\n\r\n"
        .as_slice();
    let websocket = b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n\
        Upgrade: websocket\r\nSec-WebSocket-Key: k\r\nSec-WebSocket-Version: 13\r\n\r\n"
        .as_slice();
    for first in [trailers, websocket] {
        let answer = exchange(gateway.http, &[first, target, b"\r\n"].concat()).await;
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
        assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");
    }
}

/// Somebody whose browser, ssh or newer protocol came to the wrong port does not wait for long.
#[tokio::test]
async fn what_is_no_http_is_told_at_once() {
    let backend = echo().await;
    let gateway = before(&backend, "").await;
    for bytes in [
        &b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03"[..],
        b"\r\n\x16\x03",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"G\x01T /",
        b"GET / HTTP/3.0\r\n",
        b"GET /old\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        b"\0\0\0\0",
    ] {
        let mut http = TcpStream::connect(gateway.http).await.unwrap();
        http.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(5), http.read_to_end(&mut answer));
        let _ = read.await.expect("an answer in time");
        let answer = String::from_utf8_lossy(&answer);
        let shown = bytes.escape_ascii();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{shown}: {answer}");
    }
    // What may become a request is waited for.
    let mut http = TcpStream::connect(gateway.http).await.unwrap();
    for piece in [
        &b"\r\nG"[..],
        b"ET /x HTTP/1.1\r\n",
        b"Host: a\r\nConnection: close\r\n\r\n",
    ] {
        http.write_all(piece).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut answer = String::new();
    soon("an answer", http.read_to_string(&mut answer))
        .await
        .unwrap();
    assert!(answer.ends_with("\r\n\r\nx"), "{answer}");
}
