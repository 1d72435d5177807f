//! `ajp gateway`, and our client alone, in front of a real Tomcat.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "in a test a panic is the report"
)]

#[path = "../cases/mod.rs"]
mod cases;
mod discovery;
mod draining;
mod overload;
mod rotation;
#[path = "../support/mod.rs"]
mod support;

use ajp::Secret;
use ajp::client::{Address, Client, ErrorKind, Pool, PoolConfig, RequestFacts, Timeouts};
use ajp::mapping::TlsFacts;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty, Full};
use std::net::SocketAddr;
use std::time::Duration;
use support::gateway::Gateway;
use support::http1::{self, Body};
use support::httpd::Httpd;
use support::pattern::{bytes, sha256_hex};
use support::random::Random;
use support::tomcat::{SECRET, Tomcat};

/// Short, because Tomcat neither ends nor closes an aborted response.
fn config() -> PoolConfig {
    PoolConfig::default()
        .with_secret(Secret::new(SECRET).unwrap())
        .with_timeouts(Timeouts::default().with_between_packets(Duration::from_secs(2)))
}

fn client(tomcat: &Tomcat, config: PoolConfig) -> Client {
    Client::for_own_requests(Pool::new(Address::from(tomcat.ajp_addr()), config))
}

/// A gateway to the container at this address. Tomcat neither ends nor closes an aborted
/// response, so it does not wait long.
async fn gateway(to: SocketAddr, keys: &str, packet_size: &str) -> Gateway {
    Gateway::start_with(
        &[("secret", SECRET)],
        &format!(
            "{keys}\n[manager]\n[[balancer]]\nname = \"tomcat\"\nsecret_file = \"secret\"\n\
             timeout = \"2s\"\npacket_size = {packet_size}\n\
             [[balancer.member]]\nurl = \"ajp://{to}\"\n\
             [[map]]\npath = \"/\"\nto = \"balancer://tomcat/\"\n"
        ),
    )
    .await
}

fn get(uri: &str) -> Request<Empty<Bytes>> {
    Request::get(uri)
        .header("host", "app.example")
        .body(Empty::new())
        .unwrap()
}

async fn body(client: &Client, uri: &str) -> Bytes {
    answer(client, get(uri)).await
}

/// The whole body of the answer to a request.
async fn answer<B>(client: &Client, request: Request<B>) -> Bytes
where
    B: http_body::Body<Data = Bytes, Error = std::convert::Infallible> + Send + 'static,
{
    let response = client.send(request).await.unwrap();
    response.into_body().collect().await.unwrap().to_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_list_through_the_gateway() {
    let tomcat = Tomcat::shared().await;
    let gateway = gateway(tomcat.ajp_addr(), "", "8192").await;
    let pair = cases::Pair {
        keeps_length: true,
        shows_truncation: true,
    };
    cases::run(&mut gateway.client(), pair).await;
    let status = gateway.status().await;
    let pool = &status["balancers"][0]["members"][0]["pool"];
    // Only the aborted responses cost a connection each.
    assert!(pool["created"].as_u64().unwrap() <= 5, "{pool}");
    assert_eq!(pool["in_use"], 0, "{pool}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_list_with_large_packets() {
    let tomcat = Tomcat::builder()
        .secret(SECRET)
        .packet_size(65536)
        .start()
        .await;
    let gateway = gateway(tomcat.ajp_addr(), "", "\"auto\"").await;
    let pair = cases::Pair {
        keeps_length: true,
        shows_truncation: true,
    };
    cases::run(&mut gateway.client(), pair).await;
}

#[tokio::test]
async fn two_hundred_requests_share_one_connection() {
    let client = client(Tomcat::shared().await, config());
    for _ in 0..200 {
        assert_eq!(body(&client, "/app/hello").await, "Hello, AJP!\n");
    }
    let stats = client.pool().stats();
    assert_eq!((stats.created, stats.reused), (1, 199));
}

#[tokio::test]
async fn facts_reach_the_servlet() {
    let tomcat = Tomcat::builder()
        .secret(SECRET)
        .connector_attr("tomcatAuthentication", "false")
        .start()
        .await;
    let client = client(&tomcat, config());
    let tls = TlsFacts::new()
        .with_cipher("TLS_AES_256_GCM_SHA384", 256)
        .with_protocol("TLSv1.3")
        .with_session_id("0a0b");
    let facts = RequestFacts::new("192.0.2.10".parse().unwrap())
        .with_remote_port(51234)
        .with_server("shop.example", 8443)
        .with_user("bob", "Basic")
        .with_tls_facts(tls);
    let mut request = Request::get("/app/echo/a%20b?q=%C3%A9")
        .header("host", "shop.example:8443")
        .header(
            "x-latin",
            http::HeaderValue::from_bytes(b"caf\xe9").unwrap(),
        )
        .body(Empty::<Bytes>::new())
        .unwrap();
    request.extensions_mut().insert(facts);
    let seen = answer(&client, request).await;
    let seen: serde_json::Value = serde_json::from_slice(&seen).unwrap();
    for (name, value) in [
        ("uri", "/app/echo/a%20b"),
        ("query", "q=%C3%A9"),
        ("scheme", "https"),
        ("remoteAddr", "192.0.2.10"),
        ("serverName", "shop.example"),
        ("remoteUser", "bob"),
        ("authType", "Basic"),
    ] {
        assert_eq!(seen[name], value, "{name} in {seen}");
    }
    assert_eq!(
        (&seen["remotePort"], &seen["serverPort"]),
        (&51234.into(), &8443.into())
    );
    assert_eq!(seen["attributes"]["key_size"], "256");
    assert_eq!(seen["attributes"]["cipher_suite"], "TLS_AES_256_GCM_SHA384");
    assert!(
        seen["headers"]
            .as_array()
            .unwrap()
            .contains(&serde_json::json!(["x-latin", "caf\u{e9}"])),
        "{seen}"
    );
}

#[tokio::test]
async fn a_wrong_secret_is_a_clear_403_and_never_pooled() {
    let tomcat = Tomcat::shared().await;
    for secret in [Some(Secret::new("wrong").unwrap()), None] {
        let client = client(tomcat, PoolConfig::default().with_secret(secret));
        let response = client.send(get("/app/hello")).await.unwrap();
        assert_eq!(response.status(), 403);
        response.into_body().collect().await.unwrap();
        assert_eq!(client.pool().stats().idle, 0);
        let request = Request::post("/app/echo")
            .body(Full::new(bytes(100_000)))
            .unwrap();
        assert_eq!(client.send(request).await.unwrap().status(), 403);
    }
}

#[tokio::test]
async fn a_head_that_does_not_fit_names_the_header_and_the_sizes() {
    let tomcat = Tomcat::shared().await;
    let client = client(tomcat, config());
    let request = Request::get("/app/hello")
        .header("x-token", "t".repeat(12_000))
        .body(Empty::<Bytes>::new())
        .unwrap();
    let error = client.send(request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::HeadTooLarge);
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(
        cause.contains("header x-token") && cause.contains("8192"),
        "{cause}"
    );
    let gateway = gateway(tomcat.ajp_addr(), "", "8192").await;
    let token = "t".repeat(12_000);
    let answer = gateway
        .client()
        .request("GET", "/app/hello", &[("x-token", &token)], Body::None)
        .await;
    assert_eq!(answer.status, 431);
    assert_eq!(answer.text(), "431 the request's headers are too large\n");
}

#[tokio::test]
async fn errors_towards_the_http_client_have_their_status() {
    let tomcat = Tomcat::shared().await;
    let small = gateway(tomcat.ajp_addr(), "max_body = 1000", "8192").await;
    let mut to_slow = small.client();
    assert_eq!(to_slow.get("/app/sleep?ms=5000").await.status, 504);
    let too_large = to_slow
        .request("POST", "/app/echo", &[], Body::Full(bytes(1001)))
        .await;
    assert_eq!(too_large.status, 413);
    let mut fresh = small.client();
    let too_large = fresh
        .request(
            "POST",
            "/app/echo",
            &[],
            Body::Chunked(vec![bytes(800), bytes(800)]),
        )
        .await;
    assert_eq!(too_large.status, 413);
    let nobody = gateway(support::ports::free_addr(), "", "8192").await;
    let mut to_nobody = nobody.client();
    let answer = to_nobody.get("/app/hello").await;
    assert_eq!(
        (answer.status.as_u16(), answer.text()),
        (503, "503 the application is not available at the moment\n")
    );
    let upgrade = [("connection", "upgrade"), ("upgrade", "websocket")];
    let answer = fresh
        .request("GET", "/app/hello", &upgrade, Body::None)
        .await;
    assert_eq!(answer.status, 501);
}

#[tokio::test]
async fn a_restarted_tomcat_is_noticed_before_the_request_is_lost() {
    let mut tomcat = Tomcat::builder().secret(SECRET).start().await;
    let client = client(&tomcat, config());
    assert_eq!(body(&client, "/app/hello").await, "Hello, AJP!\n");
    tomcat.restart().await;
    assert_eq!(body(&client, "/app/hello").await, "Hello, AJP!\n");
    let request = Request::post("/app/echo")
        .body(Full::new(bytes(100_000)))
        .unwrap();
    let echoed = answer(&client, request).await;
    assert!(String::from_utf8_lossy(&echoed).contains(&sha256_hex(&bytes(100_000))));
    tomcat.kill_9();
    let error = client.send(get("/app/hello")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect);
}

/// Every way to write a path that is excluded, from the ones that are known to random ones:
/// none of them reaches Tomcat as that path.
#[tokio::test(flavor = "multi_thread")]
async fn an_excluded_path_is_excluded_however_it_is_written() {
    let tomcat = Tomcat::shared().await;
    let (secret, to) = ("secret_file = \"secret\"", tomcat.ajp_addr());
    let config = format!(
        "[[balancer]]\nname = \"tomcat\"\n{secret}\n[[balancer.member]]\nurl = \"ajp://{to}\"\n\
         [[map]]\npath = \"/\"\nto = \"balancer://tomcat/\"\n\
         [[map]]\npath = \"/app/echo/secret\"\nto = \"none\"\n\
         [[map]]\npath = \"/app/private\"\nto = \"deny\"\n"
    );
    let gateway = Gateway::start_with(&[("secret", SECRET)], &config).await;
    let mut client = gateway.client();
    for (path, status) in [
        ("/app/echo/x", 200),
        ("/app/echo/x/../y", 200),
        ("/app/echo/secret", 404),
        ("/app/echo/secret;v=1/x", 404),
        ("/app/private/x", 403),
        ("/app/echo/%73ecret/x", 400),
        ("/app/echo//secret/x", 400),
        ("//app/echo/secret/x", 400),
        ("/app/echo/./secret/x", 400),
        ("/app/x/../echo/secret/x", 400),
        ("/app/%2e%2e/app/private/x", 400),
        ("/;x/app/private/x", 400),
        ("/app/echo/..;/private/x", 400),
        ("/app/echo/x/..%2f..%2fprivate/x", 400),
        ("/app/echo/secret%00", 400),
        ("/../app/echo/x", 400),
    ] {
        assert_eq!(client.get(path).await.status, status, "{path}");
    }
    // A backslash is in no URI that a client library makes.
    let line = b"GET /app\\private/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answer = support::http1::raw(gateway.http, line).await;
    assert!(answer.starts_with(b"HTTP/1.1 400 "), "{answer:?}");

    let mut random = Random::new(20_261_128);
    let pieces = [
        "app",
        "echo",
        "private",
        "%61pp",
        "ech%6F",
        "secret",
        "%73ecret",
        "secre%74",
        "a",
        "..",
        ".",
        "%2e",
        "%2E%2e",
        ".%2e",
        "..;x",
        ".;",
        ";x",
        "",
        "secret;v=1",
        "%3B",
        "%25",
    ];
    let mut reached = 0;
    for _ in 0..4_000 {
        let mut path =
            String::from(random.pick(&["/app/echo", "/app/echo/a", "", "//app", "/app"]));
        for _ in 0..=random.below(4) {
            path.push('/');
            path.push_str(random.pick(&pieces));
        }
        let answer = client.get(&path).await;
        if answer.status == 200 {
            let seen = answer.json();
            reached += 1;
            let info = seen["pathInfo"].as_str().unwrap_or_default();
            let hidden = info == "/secret" || info.starts_with("/secret/");
            assert!(
                !hidden && seen["servletPath"] != "/private",
                "{path}: {seen}"
            );
        }
    }
    assert!(reached > 100, "only {reached} paths reached the servlet");
}

/// What Tomcat is told of a handshake, through httpd's `mod_ssl` and through the gateway.
#[tokio::test(flavor = "multi_thread")]
async fn tls_facts_are_those_of_httpd() {
    let tomcat = Tomcat::shared().await;
    let params = format!("secret={SECRET}");
    let httpd = Httpd::builder()
        .tls(true)
        .raw("ProxyPreserveHost On")
        .proxy_ajp("/app", tomcat.ajp_addr(), &params)
        .start()
        .await;
    let made = httpd.certificates();
    let (pem, key, ca) = (made.pem("server"), made.key("server"), made.pem("ca"));
    let listener = format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[listener.tls]\n\
         certificates = [{{ certificate = \"{}\", key = \"{}\" }}]\n\
         client_ca = \"{}\"\nclient_certificate = \"optional\"",
        pem.display(),
        key.display(),
        ca.display()
    );
    let gateway = gateway(tomcat.ajp_addr(), &listener, "8192").await;
    let fronts = [httpd.https_addr().to_string(), gateway.others()[0].clone()];
    let ca = ca.to_str().unwrap().to_owned();
    let (client, client_key) = (httpd.client_cert_path(), httpd.client_key_path());
    let known = [
        "--cert",
        client.to_str().unwrap(),
        "--key",
        client_key.to_str().unwrap(),
    ];
    for (version, kind, cipher, bits) in [
        ("1.2", "--ciphers", "ECDHE-ECDSA-AES128-GCM-SHA256", "128"),
        ("1.2", "--ciphers", "ECDHE-ECDSA-AES256-GCM-SHA384", "256"),
        ("1.2", "--ciphers", "ECDHE-ECDSA-CHACHA20-POLY1305", "256"),
        ("1.3", "--tls13-ciphers", "TLS_AES_128_GCM_SHA256", "128"),
        ("1.3", "--tls13-ciphers", "TLS_AES_256_GCM_SHA384", "256"),
        (
            "1.3",
            "--tls13-ciphers",
            "TLS_CHACHA20_POLY1305_SHA256",
            "256",
        ),
    ] {
        for certificate in [&known[..], &[]] {
            let mut seen = Vec::new();
            for front in &fronts {
                let least = format!("--tlsv{version}");
                // Two requests over one connection.
                let url = format!("https://{front}/app/echo");
                let tls = ["--cacert", &ca, &least, "--tls-max", version, kind, cipher];
                let handshake = [&tls[..], &["--http1.1"]].concat();
                let all = [&handshake[..], certificate, &["-w", "\n", &url, &url]].concat();
                let ended = http1::curl(&all).await;
                let text = String::from_utf8_lossy(&ended.stdout).into_owned();
                let errors = String::from_utf8_lossy(&ended.stderr);
                let lines = text.lines().filter(|line| !line.is_empty());
                let told: Vec<_> = lines.map(tls_facts).collect();
                assert_eq!(told.len(), 2, "{front} {cipher}: {text} {errors}");
                assert_eq!(told[0], told[1], "{front}: over one connection");
                let (facts, session) = told[0].clone();
                assert_eq!(facts["attributes"]["cipher_suite"], cipher, "{front}");
                assert_eq!(facts["attributes"]["key_size"], bits, "{front}");
                assert_eq!(
                    facts["certificates"].as_array().unwrap().len(),
                    usize::from(!certificate.is_empty()),
                    "{front} {facts}"
                );
                seen.push((facts, session.map(|id| id.len())));
            }
            assert_eq!(seen[0], seen[1], "{version} {cipher} {certificate:?}");
        }
    }
}

/// All that is told of the client and its TLS, and the session's id, which differs.
fn tls_facts(line: &str) -> (serde_json::Value, Option<String>) {
    let mut all: serde_json::Value = serde_json::from_str(line).unwrap();
    let session = all["attributes"]["ssl_session_id"].take();
    // httpd says nothing of the length of no body, the gateway that it is 0.
    let ends = [
        "remotePort",
        "serverPort",
        "localPort",
        "headers",
        "contentLength",
    ];
    for name in ends {
        all[name].take();
    }
    (all, session.as_str().map(str::to_owned))
}

/// The text frames of the protocol's client are masked (RFC 6455, section 5.3).
fn text_frame(text: &str) -> Vec<u8> {
    let mask = [1_u8, 2, 3, 4];
    let length = u8::try_from(text.len()).unwrap();
    let mut frame = vec![0x81, 0x80 | length];
    frame.extend(mask);
    frame.extend(text.bytes().zip(mask.iter().cycle()).map(|(b, m)| b ^ m));
    frame
}

#[tokio::test]
async fn websocket_goes_to_the_http_port_and_all_else_over_ajp() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let tomcat = Tomcat::builder().talk().start().await;
    let gateway = Gateway::start_with(
        &[("secret", SECRET)],
        &format!(
            "[manager]\n[[balancer]]\nname = \"tomcat\"\nsecret_file = \"secret\"\n\
             [[balancer.member]]\nurl = \"ajp://{}\"\nupgrade = \"http://{}\"\n\
             [[map]]\npath = \"/live\"\nto = \"balancer://tomcat/app\"\n",
            tomcat.ajp_addr(),
            tomcat.http_addr()
        ),
    )
    .await;
    assert_eq!(gateway.client().get("/live/hello").await.status, 200);
    let mut http = tokio::net::TcpStream::connect(gateway.http).await.unwrap();
    // The key of RFC 6455, section 1.3, and what is made of it.
    let ask = "GET /live/talk HTTP/1.1\r\nHost: shop.example\r\nConnection: Upgrade\r\n\
        Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    http.write_all(ask.as_bytes()).await.unwrap();
    let limit = Duration::from_secs(10);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let read = tokio::time::timeout(limit, http.read_u8()).await;
        head.push(read.unwrap().unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    let accept = "sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=";
    assert!(head.contains(accept), "{head}");
    for text in ["hello", "once more"] {
        http.write_all(&text_frame(text)).await.unwrap();
        let mut start = [0; 2];
        tokio::time::timeout(limit, http.read_exact(&mut start))
            .await
            .unwrap()
            .unwrap();
        let mut said = vec![0; usize::from(start[1])];
        http.read_exact(&mut said).await.unwrap();
        assert_eq!(start[0], 0x81);
        assert_eq!(String::from_utf8(said).unwrap(), format!("you said {text}"));
    }
    let status = gateway.status().await;
    assert_eq!(status["balancers"][0]["members"][0]["busy"], 1, "{status}");
}
