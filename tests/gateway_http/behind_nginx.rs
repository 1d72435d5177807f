//! Who the client is behind a real nginx that tells it in each of the ways that nginx has: headers,
//! over TCP and over a Unix socket, and the PROXY protocol. The container is the one that the
//! gateway has for itself: its answers say what arrived.

use crate::raw::soon;
use crate::support::gateway::Gateway;
use crate::support::nginx::{Nginx, NginxBuilder};
use std::fmt::Display;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

/// A visitor's address: no proxy's.
const VISITOR: &str = "127.0.0.9";

/// What a visitor sends who wants to be somebody else.
const FORGED: &[&str] = &[
    "",
    "X-Forwarded-For: 6.6.6.6\r\n",
    "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 127.0.0.1\r\n",
    "X-Forwarded-For: 127.0.0.1, 127.0.0.1\r\nX-Real-IP: 6.6.6.6\r\nX-Client-IP: 6.6.6.6\r\n",
    "X_Forwarded_For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: 6.6.6.6\r\n",
    "Forwarded: for=6.6.6.6\r\n",
    "Forwarded: for=6.6.6.6;proto=https;host=6.6.6.6, for=127.0.0.1\r\n",
    // What nginx adds behind it would be part of the text in quotes, for whoever reads from the left.
    "Forwarded: for=6.6.6.6;by=\"\r\n",
    "Forwarded: for=\"6.6.6.6\r\nX-Forwarded-For: \"6.6.6.6\r\n",
    "Forwarded: for=6.6.6.6\r\nX-Forwarded-For: 6.6.6.6\r\n",
];

/// What the container is told of a request with these lines, and of what the visitor sends before
/// it.
async fn told(nginx: SocketAddr, before: &[u8], lines: &str) -> String {
    let socket = TcpSocket::new_v4().unwrap();
    socket
        .bind(format!("{VISITOR}:0").parse().unwrap())
        .unwrap();
    let mut http = socket.connect(nginx).await.unwrap();
    let request =
        format!("GET /x HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n{lines}\r\n");
    let mut answer = Vec::new();
    let asked = async {
        http.write_all(&[before, request.as_bytes()].concat())
            .await?;
        http.read_to_end(&mut answer).await
    };
    if let Err(error) = soon("the end", asked).await {
        // Of who is refused before it was read, the request is not read either.
        let was_closed = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
        assert!(was_closed.contains(&error.kind()), "{error}");
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// The visitor is told as itself whatever it sends.
async fn is_itself(nginx: SocketAddr, way: &str) {
    for lines in FORGED {
        let answer = told(nginx, b"", lines).await;
        let address = format!("remote address: {VISITOR}\n");
        assert!(answer.contains(&address), "{way}, {lines:?}: {answer}");
        assert!(!answer.contains("6.6.6.6"), "{way}, {lines:?}: {answer}");
        assert!(!answer.contains("tls: yes"), "{way}, {lines:?}: {answer}");
    }
}

/// A directory that nginx's own user gets into, and a listener at a socket in it.
fn socket(name: &str, dir: &tempfile::TempDir) -> (String, String) {
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("unix:{}", dir.path().join(name).display());
    (format!("[[listener]]\naddress = \"{path}\"\n"), path)
}

/// An nginx with these directives before a gateway, over TCP and at a path.
fn before_both(headers: &str, http: SocketAddr, path: &str) -> NginxBuilder {
    let over =
        |gateway: &dyn Display| format!("{headers} location / {{ proxy_pass http://{gateway}; }}");
    Nginx::builder()
        .http(&over(&http))
        .http(&over(&format!("{path}:")))
}

#[tokio::test]
async fn by_headers_over_tcp_and_over_a_unix_socket() {
    let dir = tempfile::tempdir().unwrap();
    let (listener, path) = socket("http.sock", &dir);
    let config = format!("trusted_proxies = [\"127.0.0.1\"]\n{listener}");
    let gateway = Gateway::start(&config).await;
    // The usual recipe. nginx passes on what it is not told to replace.
    let headers = "proxy_set_header Host $host; \
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; \
        proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Forwarded-Host $host;";
    let replaced = headers.replace("$proxy_add_x_forwarded_for", "$remote_addr");
    let http = gateway.http;
    let nginx = before_both(headers, http, &path)
        .http(&format!(
            "{replaced} location / {{ proxy_pass http://{http}; }}"
        ))
        // Only what it has for itself.
        .http(&format!(
            "location / {{ proxy_pass http://{http}; proxy_set_header Host $host; }}"
        ))
        .start()
        .await;
    for (address, way) in nginx
        .addresses()
        .iter()
        .zip(["over TCP", "at a path", "replaced"])
    {
        is_itself(*address, way).await;
        let answer = told(*address, b"", "").await;
        assert!(
            answer.contains("header: x-forwarded-proto: http\n"),
            "{answer}"
        );
        assert!(answer.contains("shop.example"), "{answer}");
    }
    // A proxy that says nothing of its clients cannot be trusted to: whatever a client writes is
    // passed on as the proxy's word. So the gateway's own counts where nobody is trusted.
    let passed_on = told(nginx.addresses()[3], b"", FORGED[1]).await;
    assert!(
        passed_on.contains("remote address: 6.6.6.6\n"),
        "{passed_on}"
    );
    drop(gateway);
    let (listener, path) = socket("strict.sock", &dir);
    let gateway = Gateway::start(&listener).await;
    let http = gateway.http;
    let nginx = before_both(headers, http, &path).start().await;
    for (address, peer) in nginx.addresses().iter().zip(["127.0.0.1", "0.0.0.0"]) {
        let answer = told(*address, b"", FORGED[1]).await;
        assert!(
            answer.contains(&format!("remote address: {peer}\n")),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn by_the_header_of_rfc_7239() {
    let dir = tempfile::tempdir().unwrap();
    let (listener, path) = socket("http.sock", &dir);
    let config =
        format!("trusted_proxies = [\"127.0.0.1\"]\nforwarded = \"forwarded\"\n{listener}");
    let gateway = Gateway::start(&config).await;
    // nginx has no variable for it: an element for its client, behind those that came with it.
    let maps = "map $http_forwarded $forwarded { \"\" $element; default \"$http_forwarded, $element\"; }\n\
        map $remote_addr $element { ~^[0-9.]+$ \"for=$remote_addr;proto=$scheme\"; \
        ~^[0-9A-Fa-f:.]+$ \"for=\\\"[$remote_addr]\\\";proto=$scheme\"; default for=unknown; }\n";
    let headers = "proxy_set_header Host $host; proxy_set_header Forwarded $forwarded;";
    let http = gateway.http;
    let nginx = before_both(headers, http, &path).maps(maps).start().await;
    for (address, way) in nginx.addresses().iter().zip(["over TCP", "at a path"]) {
        is_itself(*address, way).await;
    }
}

#[tokio::test]
async fn by_the_proxy_protocol() {
    let dir = tempfile::tempdir().unwrap();
    let (listener, path) = socket("http.sock", &dir);
    let tcp = "[[listener]]\naddress = \"127.0.0.1:0\"\n";
    let spoken = "proxy_protocol = true\n";
    let config = format!("trusted_proxies = [\"127.0.0.1\"]\n{tcp}{spoken}{listener}{spoken}");
    let gateway = Gateway::start(&config).await;
    let tcp = gateway.others()[0].clone();
    let nginx = Nginx::builder()
        .stream(&format!("proxy_pass {tcp}; proxy_protocol on;"))
        .stream(&format!("proxy_pass {path}; proxy_protocol on;"))
        .start()
        .await;
    for (address, way) in nginx.addresses().iter().zip(["over TCP", "at a path"]) {
        is_itself(*address, way).await;
        // nginx's header comes first. One that the client sends is no request.
        for forged in [
            &b"PROXY TCP4 6.6.6.6 192.0.2.1 4711 80\r\n"[..],
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x06\x06\x06\x06\xc0\0\x02\x01\x12\x67\0\x50",
        ] {
            let answer = told(*address, forged, "").await;
            let refused = answer.is_empty() || answer.starts_with("HTTP/1.1 400 ");
            assert!(refused, "{way}, {}: {answer}", forged.escape_ascii());
        }
    }
    // Who is no trusted proxy is not listened to, whatever it sends first.
    let direct = tcp.parse().unwrap();
    let header = b"PROXY TCP4 6.6.6.6 192.0.2.1 4711 80\r\n";
    let answer = told(direct, header, "").await;
    assert!(!answer.contains("6.6.6.6"), "{answer}");
    assert!(!answer.contains("HTTP/1.1 200 "), "{answer}");
}
