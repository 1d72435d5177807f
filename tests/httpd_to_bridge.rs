//! `ajp bridge`: what an HTTP application learns of visitors, from our client and from a real
//! httpd in front.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report"
)]

mod support;

use ajp::client::{Address, Client, Pool, PoolConfig, RequestFacts};
use axum::Router;
use axum::extract::Request;
use axum::response::IntoResponse;
use bytes::Bytes;
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use std::net::SocketAddr;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::child::ChildGuard;
use support::http1;
use support::httpd::Httpd;
use support::pattern::{bytes, sha256_hex};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

const SECRET: &str = "s3cr3t-bridge";

/// Tells the request as a CGI or WSGI application sees it: each header as a variable, in which
/// `_` and `-` of its name are the same. With a header that may not leave the bridge.
async fn variables(request: Request) -> impl IntoResponse {
    let (parts, body) = request.into_parts();
    if parts.uri.path() == "/slow" {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    if parts.uri.path() == "/hanging" {
        std::future::pending::<()>().await;
    }
    let mut text = format!("{} {}\n", parts.method, parts.uri);
    for (name, value) in &parts.headers {
        let name = name.as_str().to_uppercase().replace('-', "_");
        let value = String::from_utf8_lossy(value.as_bytes());
        text.extend(["HTTP_", &*name, "=", &*value, "\n"]);
    }
    let body = body.collect().await.unwrap().to_bytes();
    text += &sha256_hex(&body);
    ([("x-answer", "kept"), ("keep-alive", "timeout=5")], text)
}

/// The application, and a bridge to it.
struct Bridge {
    address: SocketAddr,
    child: ChildGuard,
    application: JoinHandle<()>,
    _directory: TempDir,
}

impl Bridge {
    async fn start(more: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = Router::new().fallback(variables);
        let application = tokio::spawn(async { axum::serve(listener, app).await.unwrap() });
        Self::before(address, application, more).await
    }

    /// In front of an application that is there.
    async fn before(
        application_at: SocketAddr,
        application: JoinHandle<()>,
        more: &[&str],
    ) -> Self {
        let to = format!("http://{application_at}");
        let directory = tempfile::tempdir().unwrap();
        let secret = directory.path().join("ajp.secret");
        std::fs::write(&secret, SECRET).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_ajp"));
        command
            .args(["bridge", "--listen", "127.0.0.1:0", "--to", &to])
            .args(["--user-header", "X-Remote-User", "--secret-file"])
            .arg(&secret)
            .args(more);
        let log = directory.path().join("log");
        let path = directory.path();
        let mut child = ChildGuard::spawn(command, "cargo", path, log, Duration::ZERO);
        let limit = Duration::from_secs(20);
        child.wait_for_log(" to http://", limit).await.unwrap();
        let log = child.log();
        let (_, rest) = log.split_once("ajp://").unwrap();
        Self {
            address: rest.split_whitespace().next().unwrap().parse().unwrap(),
            child,
            application,
            _directory: directory,
        }
    }

    fn client(&self) -> Client {
        let config = PoolConfig::default().with_secret(ajp::Secret::new(SECRET).unwrap());
        Client::for_own_requests(Pool::new(Address::from(self.address), config))
    }
}

#[track_caller]
fn tells(text: &str, lines: &[&str]) {
    for line in lines {
        let count = text.lines().filter(|known| known == line).count();
        assert_eq!(count, 1, "{line}\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_speaks_for_the_web_server() {
    let bridge = Bridge::start(&[]).await;
    let client = bridge.client();
    let upload = bytes(100_000);
    let facts = RequestFacts::new("192.0.2.7".parse().unwrap())
        .with_remote_port(1234)
        .with_tls(true)
        .with_user("bob", "Basic");
    let request = http::Request::post("/a/b?c=d")
        // As httpd tells of visitors that came over HTTP/2.
        .version(http::Version::HTTP_2)
        .header("host", "www.example")
        .header("x-forwarded-for", "10.0.0.1")
        .header("x-remote-user", "mallory")
        .header("x-other", "1")
        .extension(facts)
        .body(Full::new(upload.clone()))
        .unwrap();
    let response = client.send(request).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["x-answer"], "kept");
    assert!(!response.headers().contains_key("keep-alive"));
    let text = response.into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8(text.to_vec()).unwrap();
    let expected = [
        "POST /a/b?c=d",
        "HTTP_X_FORWARDED_FOR=192.0.2.7",
        "HTTP_X_FORWARDED_HOST=www.example",
        "HTTP_X_FORWARDED_PROTO=https",
        "HTTP_X_REMOTE_USER=bob",
        "HTTP_X_OTHER=1",
        "HTTP_CONTENT_LENGTH=100000",
        &sha256_hex(&upload),
    ];
    tells(&text, &expected);
    assert!(!text.contains("10.0.0.1") && !text.contains("mallory"));

    bridge.application.abort();
    let request = http::Request::get("/")
        .body(Full::<Bytes>::default())
        .unwrap();
    // A kept connection may outlive the listener for one request.
    let mut status = client.send(request.clone()).await.unwrap().status();
    if status == 200 {
        status = client.send(request).await.unwrap().status();
    }
    assert_eq!(status, 502);
}

/// With httpd in front and an application that takes `_` for `-`, no visitor can be who he
/// wants, or come from where he wants.
#[tokio::test(flavor = "multi_thread")]
async fn no_visitor_claims_anything_through_httpd() {
    let bridge = Bridge::start(&["--keep-header", "X-SSL-Ours"]).await;
    let params = format!("secret={SECRET}");
    let httpd = Httpd::builder()
        .basic_auth("/private", "bob", "pw")
        .proxy_ajp("/private", bridge.address, &params)
        .proxy_ajp("/public", bridge.address, &params)
        .start()
        .await;
    let url = |path: &str| format!("http://{}{path}", httpd.http_addr());
    let claims = [
        "X-Remote-User: admin",
        "X_Remote_User: admin",
        "X-Remote_User: admin",
        "X-Forwarded-For: 6.6.6.6",
        "X_Forwarded_For: 6.6.6.6",
        "Forwarded: for=6.6.6.6",
        "X-Real-IP: 6.6.6.6",
        "X_Forwarded_Proto: https",
        "Proxy: http://6.6.6.6",
        "Client-Cert: 6.6.6.6",
        "Remote-User: admin",
        "Proxy-Client-IP: 6.6.6.6",
        "X-SSL-Client-Cert: 6.6.6.6",
        "X_SSL_Ours: 6.6.6.6",
        "X-SSL-Ours: as if httpd had set it",
        "X-Kept: yes",
    ];
    for (path, user) in [("/public", None), ("/private", Some("bob:pw"))] {
        let url = url(path);
        let mut arguments: Vec<&std::ffi::OsStr> = vec![url.as_ref()];
        for claim in claims {
            arguments.extend::<[&std::ffi::OsStr; 2]>(["-H".as_ref(), claim.as_ref()]);
        }
        if let Some(user) = user {
            arguments.extend::<[&std::ffi::OsStr; 2]>(["-u".as_ref(), user.as_ref()]);
        }
        let text = String::from_utf8(http1::curl(&arguments).await.stdout).unwrap();
        assert!(!text.contains("6.6.6.6"), "{text}");
        assert!(!text.contains("admin"), "{text}");
        tells(
            &text,
            &[
                "HTTP_X_FORWARDED_FOR=127.0.0.1",
                "HTTP_X_FORWARDED_PROTO=http",
                "HTTP_X_KEPT=yes",
                "HTTP_X_SSL_OURS=as if httpd had set it",
            ],
        );
        match user {
            Some(_) => tells(&text, &["HTTP_X_REMOTE_USER=bob"]),
            None => assert!(!text.contains("REMOTE_USER"), "{text}"),
        }
    }
    // A user that is told and empty is no user.
    let request = http::Request::get("/")
        .extension(RequestFacts::own_request().with_user("", "Basic"))
        .body(Full::<Bytes>::default())
        .unwrap();
    let response = bridge.client().send(request).await.unwrap();
    let text = response.into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8_lossy(&text);
    assert!(!text.contains("REMOTE_USER"), "{text}");
}

/// The limit is about an application that does nothing, and not about a visitor who has much to
/// send, or sends slowly.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_may_take_longer_than_the_limit() {
    let bridge = Bridge::start(&["--timeout", "500ms"]).await;
    let upload = bytes(12_000);
    let pieces: Vec<_> = upload.chunks(2000).map(Bytes::copy_from_slice).collect();
    let slow = futures_util::stream::unfold(pieces.into_iter(), |mut pieces| async {
        let piece = pieces.next()?;
        // The last pause is as long as those before and longer than what is left of the limit.
        tokio::time::sleep(Duration::from_millis(300)).await;
        Some((Ok::<_, std::io::Error>(Frame::data(piece)), pieces))
    });
    let request = http::Request::post("/")
        .header("content-length", upload.len())
        .body(StreamBody::new(Box::pin(slow)))
        .unwrap();
    let response = bridge.client().send(request).await.unwrap();
    assert_eq!(response.status(), 200);
    let text = response.into_body().collect().await.unwrap().to_bytes();
    tells(std::str::from_utf8(&text).unwrap(), &[&sha256_hex(&upload)]);

    // An application that takes nothing on is not waited for any longer.
    let request = http::Request::post("/hanging")
        .body(Full::new(bytes(8_000_000)))
        .unwrap();
    let response = bridge.client().send(request).await.unwrap();
    assert_eq!(response.status(), 504);
}

/// An application whose connections answer one request, and are closed by the next one without a
/// word, as one is that it has just decided to close. What it was asked, with the number of the
/// connection.
async fn closes_kept_connections() -> (SocketAddr, JoinHandle<()>, Arc<Mutex<Vec<(usize, String)>>>)
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&asked);
    let application = tokio::spawn(async move {
        for number in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            let noted = Arc::clone(&noted);
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                for is_answered in [true, false] {
                    let mut line = String::new();
                    if stream.read_line(&mut line).await.unwrap() == 0 {
                        return;
                    }
                    let mut rest = String::new();
                    while !rest.ends_with("\r\n\r\n") {
                        assert_ne!(stream.read_line(&mut rest).await.unwrap(), 0);
                    }
                    if rest.to_lowercase().contains("content-length: 1\r\n") {
                        stream.read_u8().await.unwrap();
                    }
                    let line = line.split(" HTTP").next().unwrap().to_owned();
                    noted.lock().unwrap().push((number, line));
                    if is_answered {
                        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
                        stream.write_all(answer).await.unwrap();
                    }
                }
            });
        }
    });
    (address, application, asked)
}

/// What would do no harm twice is sent again, once; a POST is not.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_the_application_closes_costs_no_get() {
    let (address, application, asked) = closes_kept_connections().await;
    let bridge = Bridge::before(address, application, &[]).await;
    let client = bridge.client();
    let send = async |method: &str, path: &str, body: &'static str| {
        let request = http::Request::builder().method(method).uri(path);
        let request = request.body(Full::new(Bytes::from_static(body.as_bytes())));
        client.send(request.unwrap()).await.unwrap().status()
    };
    assert_eq!(send("GET", "/1", "").await, 200);
    assert_eq!(send("GET", "/2", "").await, 200);
    assert_eq!(send("POST", "/3", "").await, 502);
    assert_eq!(send("DELETE", "/4", "").await, 200);
    // Its body is gone with the first try.
    assert_eq!(send("PUT", "/5", "x").await, 502);
    let expected = [
        (0, "GET /1"),
        (0, "GET /2"),
        (1, "GET /2"),
        (1, "POST /3"),
        (2, "DELETE /4"),
        (2, "PUT /5"),
    ];
    let asked_for = expected.map(|(number, line)| (number, line.to_owned()));
    assert_eq!(*asked.lock().unwrap(), asked_for);

    // A connection that was idle as long as applications close theirs is not used.
    assert_eq!(send("GET", "/6", "").await, 200);
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert_eq!(send("POST", "/7", "").await, 200);
}

#[tokio::test]
async fn an_address_with_a_path_is_refused() {
    let output = Command::new(env!("CARGO_BIN_EXE_ajp"))
        .args(["bridge", "--no-secret", "--listen", "127.0.0.1:0"])
        .args(["--to", "http://127.0.0.1:9/app"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(
        error.contains("http://127.0.0.1:9/app") && error.contains("without a path"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn it_waits_no_longer_than_told_and_lets_requests_end_at_sigterm() {
    let mut bridge = Bridge::start(&["--timeout", "2s"]).await;
    let client = bridge.client();
    let get = move |path| {
        let client = client.clone();
        let request = http::Request::get(path);
        let request = request.body(Full::<Bytes>::default()).unwrap();
        async move { client.send(request).await }
    };
    assert_eq!(get("/hanging").await.unwrap().status(), 504);
    let slow = tokio::spawn(get("/slow"));
    tokio::time::sleep(Duration::from_millis(400)).await;
    bridge.child.signal("TERM");
    assert_eq!(slow.await.unwrap().unwrap().status(), 200);
    for _ in 0..100 {
        if bridge.child.exited().is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(bridge.child.exited().unwrap().success());
}
