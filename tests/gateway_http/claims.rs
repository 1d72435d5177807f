//! Who the client is, told by the container that the gateway has for itself: its answers say
//! what arrived.

use crate::raw::backend::{Backend, Conn, config};
use crate::raw::packets::response;
use crate::support::gateway::Gateway;
use crate::support::tls::Certificates;
use crate::wire::exchange;
use ajp::wire::AttributeCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What arrives of a request with these header lines.
async fn seen(gateway: &Gateway, lines: &[u8]) -> String {
    let mut http = TcpStream::connect(gateway.http).await.unwrap();
    let head = [
        b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n",
        lines,
        b"\r\n",
    ]
    .concat();
    http.write_all(&head).await.unwrap();
    let mut answer = Vec::new();
    http.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn what_a_trusted_proxy_says_of_its_client() {
    let gateway = Gateway::start("trusted_proxies = [\"127.0.0.1\"]\n").await;
    for (told, client) in [
        (
            &b"X-Forwarded-For: \xff, 203.0.113.9\r\n"[..],
            "203.0.113.9",
        ),
        (
            b"X-Forwarded-For: caf\xc3\xa9, 203.0.113.9\r\n",
            "203.0.113.9",
        ),
        (
            b"X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 203.0.113.9\r\n",
            "203.0.113.9",
        ),
        (b"X-Forwarded-For: 203.0.113.9:4711\r\n", "203.0.113.9"),
        (b"X-Forwarded-For: [2001:db8::1]:443\r\n", "2001:db8::1"),
        (b"X-Forwarded-For: ::ffff:203.0.113.9\r\n", "203.0.113.9"),
        (b"Forwarded: for=203.0.113.9;proto=https\r\n", "203.0.113.9"),
        // Whom the proxy does not name in a way that can be read is nobody, never the proxy.
        (b"X-Forwarded-For: \xff\r\n", "0.0.0.0"),
        (b"X-Forwarded-For: unknown\r\n", "0.0.0.0"),
    ] {
        let answer = seen(&gateway, told).await;
        assert!(
            answer.contains(&format!("remote address: {client}\n")),
            "{} {answer}",
            told.escape_ascii()
        );
    }
}

/// Behind a proxy many visitors share a connection: what it says of one holds for no other.
#[tokio::test]
async fn what_is_said_of_one_request_is_not_told_of_the_next() {
    let gateway = Gateway::start("trusted_proxies = [\"127.0.0.1\"]\n").await;
    let tls =
        "X-Forwarded-Proto: https\r\nX-Forwarded-Port: 4443\r\nX-Forwarded-Prefix: /alice\r\n";
    let plain = "X-Forwarded-Proto: http\r\n";
    for order in [[tls, plain, "", tls], [plain, tls, plain, ""]] {
        let mut http = TcpStream::connect(gateway.http).await.unwrap();
        for (number, lines) in order.into_iter().enumerate() {
            let close = if number + 1 == order.len() {
                "Connection: close\r\n"
            } else {
                ""
            };
            let head = format!("GET /x HTTP/1.1\r\nHost: a\r\n{close}{lines}\r\n");
            http.write_all(head.as_bytes()).await.unwrap();
        }
        let mut answers = String::new();
        http.read_to_string(&mut answers).await.unwrap();
        let answers: Vec<_> = answers.split("HTTP/1.1 200 ").skip(1).collect();
        assert_eq!(answers.len(), order.len());
        for (lines, answer) in order.into_iter().zip(answers) {
            let is_tls = lines == tls;
            let proto = if is_tls { "https" } else { "http" };
            let proto = format!("header: x-forwarded-proto: {proto}\n");
            assert!(answer.contains(&proto), "{lines}: {answer}");
            assert_eq!(answer.contains("tls: yes"), is_tls, "{lines}: {answer}");
            assert_eq!(answer.contains("/alice"), is_tls, "{lines}: {answer}");
            assert_eq!(answer.contains("4443"), is_tls, "{lines}: {answer}");
        }
    }
}

#[tokio::test]
async fn nobody_else_is_believed() {
    let gateway = Gateway::start("").await;
    let lines = b"X-Forwarded-For: 6.6.6.6\r\nX_Forwarded_For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\n\
        X-Real-IP: 6.6.6.6\r\nProxy: http://6.6.6.6\r\nX-Forwarded-Prefix: /6.6.6.6\r\nX-Kept: 1\r\n";
    let answer = seen(&gateway, lines).await;
    assert!(answer.contains("remote address: 127.0.0.1\n"), "{answer}");
    assert!(answer.contains("header: x-kept: 1\n"), "{answer}");
    assert!(!answer.contains("6.6.6.6"), "{answer}");
}

/// As nginx, httpd, `HAProxy` and RFC 9440 send it, the container is told the certificate that a
/// handshake with the gateway itself would tell it.
#[tokio::test(flavor = "multi_thread")]
async fn the_certificate_that_a_client_showed_to_a_trusted_proxy() {
    let dir = tempfile::tempdir().unwrap();
    let made = Certificates::create(dir.path());
    let pem = std::fs::read_to_string(made.pem("client")).unwrap();
    let begin = pem.find("-----BEGIN CERTIFICATE-----").unwrap();
    let pem = &pem[begin..];
    let backend = Backend::start(config(), |_, mut conn: Conn| async move {
        while let Some(request) = conn.request().await {
            let told = request
                .attribute(AttributeCode::SslCert)
                .map(|cert| String::from_utf8(cert.to_vec()).unwrap());
            let told = told.unwrap_or_else(|| "none".to_owned());
            conn.write(&response(&told, 1)).await;
        }
    })
    .await;
    let keys = "client_certificate_header = \"X-SSL-Client-Cert\"\n";
    let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let escaped = pem
        .replace(' ', "%20")
        .replace('\n', "%0A")
        .replace('+', "%2B");
    let sent = [
        escaped.clone(),
        pem.replace('\n', " "),
        base64.clone(),
        format!(":{base64}:"),
    ];
    let trusting = format!("trusted_proxies = [\"127.0.0.1\"]\n{keys}");
    let gateway = crate::wire::before(&backend, &trusting).await;
    let ask = async |proto: &str, value: &str| {
        let request = format!(
            "GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Forwarded-For: 203.0.113.9\r\n\
             X-Forwarded-Proto: {proto}\r\nX-SSL-Client-Cert: {value}\r\n\r\n"
        );
        let answer = exchange(gateway.http, request.as_bytes()).await;
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    };
    for value in sent {
        assert_eq!(ask("https", &value).await, pem, "{value}");
        assert_eq!(ask("http", &value).await, "none");
    }
    assert_eq!(ask("https", "").await, "none");
    // Nobody is trusted: it says so instead of taking every visitor's word.
    let refused = std::process::Command::new(crate::support::gateway::binary())
        .args(["gateway", "--check", "--config"])
        .arg({
            let path = dir.path().join("gateway.toml");
            let map = "[[map]]\npath = \"/\"\nto = \"ajp://127.0.0.1:1\"\n";
            std::fs::write(&path, format!("{keys}{map}")).unwrap();
            path
        })
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(
        said.contains("gateway.toml:1:29: client_certificate_header: is taken from"),
        "{said}"
    );
}
