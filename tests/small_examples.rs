//! The examples that fit a page: started, and asked.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report"
)]
#![cfg(all(feature = "balancer", feature = "server"))]

mod support;

use ajp::Secret;
use ajp::client::{Address, Client, Pool, PoolConfig, RequestFacts};
use ajp::server::{ServerConfig, Trust, serve};
use axum::Router;
use axum::extract::Request;
use axum::response::IntoResponse;
use bytes::Bytes;
use futures_util::TryStreamExt;
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use support::example;
use support::pattern::{bytes, sha256_hex};
use tokio::net::TcpListener;

/// A running example; dropped, it is killed. What it prints is kept in the pipe.
struct Running {
    child: Child,
    /// Open, so that the example can go on printing.
    _out: BufReader<ChildStdout>,
}

impl Running {
    /// And the address that its first line tells.
    fn start(name: &str, arguments: &[&str]) -> (Self, Address) {
        Self::with_secret(name, arguments, "")
    }

    /// With `AJP_SECRET`, unless it is empty.
    fn with_secret(name: &str, arguments: &[&str], secret: &str) -> (Self, Address) {
        let environment = (!secret.is_empty()).then_some(("AJP_SECRET", secret));
        let mut child = Command::new(example::binary(name))
            .args(arguments)
            .envs(environment)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        let words = line.split_whitespace();
        let url = words.into_iter().find(|word| word.starts_with("ajp://"));
        (Self { child, _out: out }, url.unwrap().parse().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn output(name: &str, arguments: &[&str]) -> String {
    let output = Command::new(example::binary(name))
        .args(arguments)
        .env_remove("AJP_SECRET")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn hello_client_and_hello_server() {
    let (_server, address) = Running::start("hello_server", &["127.0.0.1:0"]);
    let text = output("hello_client", &[&address.to_string(), "/"]);
    assert_eq!(text, "200 OK\nHello, AJP!\n");
    let text = output("hello_client", &[&address.to_string(), "/nothing"]);
    assert_eq!(text, "404 Not Found\n");
}

#[test]
fn tower_stack_with_a_member_that_is_not_there() {
    let text = output("tower_stack", &[]);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "one container: 200 OK: Hello, tower!");
    assert_eq!(lines[1..5], ["several: 200 OK: Hello, tower!"; 4]);
    assert_eq!(
        lines[5],
        "hedged: 200 OK: Hello at last! (before the first answer: true)"
    );
    assert_eq!(lines[6], "ordered: 200 OK: 1 placed");
    assert!(
        lines[7].starts_with("first: ") && lines[7].ends_with(", Ok"),
        "{text}"
    );
    assert!(
        lines[8].starts_with("other-0: ") && !lines[8].ends_with(", Ok"),
        "{text}"
    );
    assert_eq!(lines.len(), 9);
}

/// The request as text, with a header that concerns one connection only.
async fn told(request: Request) -> impl IntoResponse {
    let text = as_text(request).await;
    ([("x-answer", "kept"), ("keep-alive", "timeout=5")], text)
}

async fn as_text(request: Request) -> String {
    let (parts, body) = request.into_parts();
    let mut text = format!("{} {}\n", parts.method, parts.uri);
    for (name, value) in &parts.headers {
        text.extend([name.as_str(), ": ", value.to_str().unwrap(), "\n"]);
    }
    let body = body.collect().await.unwrap().to_bytes();
    text + &sha256_hex(&body)
}

/// Both relays between our client and our server, which is asked for a secret by one of them.
#[tokio::test(flavor = "multi_thread")]
async fn the_relays_pass_on_whatever_is_asked() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let container = listener.local_addr().unwrap().to_string();
    let app = Router::new()
        .fallback(told)
        .route("/unread", axum::routing::any(async || "not read"));
    let secret = "of-the-container";
    let trust = Trust::Secrets(vec![Secret::new(secret).unwrap()]);
    tokio::spawn(
        serve(listener, app)
            .with_config(ServerConfig::new(trust))
            .into_future(),
    );
    for (relay, told_by_client) in [("relay_framed", None), ("relay_blocking", Some(secret))] {
        let arguments = ["127.0.0.1:0", &container];
        let (_relay, address) = Running::with_secret(relay, &arguments, secret);
        let config = PoolConfig::default()
            .with_max_connections(1)
            .with_secret(told_by_client.map(|secret| Secret::new(secret).unwrap()));
        let client = Client::new(Pool::new(address, config));
        let ask = async |method: &str, path: &str, body: Full<Bytes>, length: bool| {
            let request = http::Request::builder().method(method).uri(path);
            let facts = RequestFacts::new("192.0.2.7".parse().unwrap()).with_remote_port(1234);
            let request = request.extension(facts);
            let response = if length {
                client.send(request.body(body).unwrap()).await
            } else {
                let body = StreamBody::new(body.into_data_stream().map_ok(Frame::data));
                client.send(request.body(body).unwrap()).await
            };
            let response = response.unwrap();
            let status = response.status();
            let body = response.into_body().collect().await.unwrap().to_bytes();
            (status, String::from_utf8(body.to_vec()).unwrap())
        };
        for length in [1, 8186, 8187, 100_000] {
            let upload = bytes(length);
            for known in [true, false] {
                let (status, text) = ask("PATCH", "/a?b=c", Full::new(upload.clone()), known).await;
                assert!(text.starts_with("PATCH /a?b=c\n"), "{status} {text}");
                assert!(text.ends_with(&sha256_hex(&upload)), "{length} {known}");
                let (_, text) = ask("POST", "/unread", Full::new(upload.clone()), known).await;
                assert_eq!(text, "not read");
            }
        }
        let (status, text) = ask("HEAD", "/a", Full::default(), true).await;
        assert_eq!((status.as_u16(), text.as_str()), (200, ""));
        let (_, text) = ask("GET", "/a", Full::default(), true).await;
        assert!(text.starts_with("GET /a\n"), "{text}");
        let numbers = client.pool().stats();
        assert_eq!(
            numbers.created, 1,
            "{relay} keeps its connection: {numbers:?}"
        );
    }
}

#[test]
fn over_tls_on_both_sides() {
    let directory = tempfile::tempdir().unwrap();
    let certificates = support::tls::Certificates::create(directory.path());
    let file = |path: std::path::PathBuf| path.to_str().unwrap().to_owned();
    let files = |name: &str| {
        let [chain, authority] = [name, "ca"].map(|name| file(certificates.pem(name)));
        [chain, file(certificates.key(name)), authority]
    };
    let [chain, key, authority] = files("server");
    let arguments = ["server", &*chain, &*key, &*authority, "127.0.0.1:0"];
    let (_server, address) = Running::start("over_tls", &arguments);
    let address = address.to_string().replace("ajp://", "");
    let [chain, key, authority] = files("client");
    let arguments = [
        "client",
        &*chain,
        &*key,
        &*authority,
        &*address,
        "localhost",
    ];
    let text = output("over_tls", &arguments);
    assert_eq!(text, "200 OK\nHello, AJP over TLS!\n");
}

/// One proxy before a container and an HTTP application: each hears the same of the visitor.
#[tokio::test(flavor = "multi_thread")]
async fn the_proxy_has_upstreams_of_both_kinds() {
    use ajp::server::RequestClaims;
    use axum::extract::Extension;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let container = listener.local_addr().unwrap();
    let claims = async |Extension(claims): Extension<RequestClaims>, request: Request| {
        format!("{:?}\n{}", claims.remote_ip(), as_text(request).await)
    };
    let app = Router::new().fallback(claims);
    tokio::spawn(ajp::server::serve(listener, app).trusted_network());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let application = listener.local_addr().unwrap();
    let app = Router::new().fallback(told);
    tokio::spawn(async { axum::serve(listener, app).await.unwrap() });

    let (old, new) = (
        format!("/app=ajp://{container}"),
        format!("/=http://{application}"),
    );
    let nobody = format!("/gone=ajp://{}", support::ports::free_addr());
    let arguments = ["127.0.0.1:0", &*new, &*old, &*nobody];
    let mut child = Command::new(example::binary("proxy"))
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut line).unwrap();
    let _running = Running { child, _out: out };
    let address = line.trim().rsplit_once("//").unwrap().1.parse().unwrap();
    let mut visitor = support::http1::Client::new(address);
    let headers = [
        ("x-forwarded-for", "6.6.6.6"),
        ("x_forwarded_for", "6.6.6.6"),
    ];
    let body = || support::http1::Body::Full(bytes(50_000));
    for (path, over_ajp) in [("/app/a?b=c", true), ("/apple", false), ("/", false)] {
        let answer = visitor.request("POST", path, &headers, body()).await;
        assert_eq!(answer.status, 200, "{path}");
        let text = answer.text();
        assert_eq!(text.starts_with("Some(127.0.0.1)\n"), over_ajp, "{text}");
        let request = format!("POST {path}");
        for line in [
            &*request,
            "x-forwarded-for: 127.0.0.1",
            "x-forwarded-proto: http",
            "content-length: 50000",
            &sha256_hex(&bytes(50_000)),
        ] {
            assert!(text.lines().any(|known| known == line), "{line}\n{text}");
        }
        assert!(!text.contains("6.6.6.6"), "{text}");
    }
    let answer = visitor.get("/gone/a").await;
    assert_eq!(answer.status, 503);
}

/// The span of the exchange is part of the visitor's trace.
#[test]
fn telemetry_goes_on_with_the_visitors_trace() {
    let text = output("telemetry", &[]);
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    assert!(text.contains(&format!("container: 00-{trace}-")), "{text}");
    let spans: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("span "))
        .collect();
    let named = |name: &str| {
        let spans = spans.iter().filter(|line| line.contains(name));
        spans.copied().collect::<Vec<_>>()
    };
    let outer = named("\"GET /\"");
    assert_eq!(outer.len(), 1, "{text}");
    assert!(
        outer[0].contains(trace) && outer[0].contains("parent 00f067aa0ba902b7"),
        "{text}"
    );
    let exchange = named("request 8a4e-17");
    assert_eq!(exchange.len(), 1, "{text}");
    assert!(
        exchange[0].contains("\"ajp.exchange\"") && exchange[0].contains(trace),
        "{text}"
    );
}
