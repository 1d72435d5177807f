//! TLS, HTTP/2, and the other kinds of listener, asked by curl and by openssl's own client.

use crate::raw::backend::{Backend, Conn, config};
use crate::raw::packets::response;
use crate::reload::reload;
use crate::support::gateway::Gateway;
use crate::support::tls::Certificates;
use crate::wire::echo;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::Command;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A gateway with these listeners beside its plain one.
async fn gateway(backend: &Backend, dir: &Path, listeners: &str) -> Gateway {
    let listeners = listeners.replace("DIR", dir.to_str().unwrap());
    Gateway::start(&format!(
        "trusted_proxies = [\"127.0.0.1\"]\n{listeners}\n[[balancer]]\nname = \"b\"\n\
         [[balancer.member]]\nurl = \"{}\"\n[[map]]\npath = \"/\"\nto = \"balancer://b/\"\n",
        backend.url()
    ))
    .await
}

const TLS: &str = "[[listener]]\naddress = \"127.0.0.1:0\"\nhsts = \"max-age=60\"\n\
    [listener.tls]\ncertificates = [{ certificate = \"DIR/server.pem\", key = \"DIR/server.key\" }]\n";

fn curl(arguments: &[&str]) -> String {
    let mut command = Command::new("curl");
    command.args(["-sS", "--max-time", "10"]).args(arguments);
    let ended = command.output().unwrap();
    let text = String::from_utf8_lossy(&ended.stdout).into_owned();
    text + &String::from_utf8_lossy(&ended.stderr)
}

/// Makes `file.pem` and `file.key` for a name and all below it.
fn self_signed(dir: &Path, file: &str, name: &str, key: &str) {
    let made = Command::new("openssl")
        .current_dir(dir)
        .args(["req", "-x509", "-nodes", "-days", "2", "-newkey", key])
        .args(
            ["-pkeyopt", "ec_paramgen_curve:P-256"]
                .iter()
                .filter(|_| key == "ec"),
        )
        .args(["-subj", &format!("/CN={name}")])
        .args([
            "-addext",
            &format!("subjectAltName=DNS:{name},DNS:*.{name}"),
        ])
        .args([
            "-keyout",
            &format!("{file}.key"),
            "-out",
            &format!("{file}.pem"),
        ])
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
}

/// What openssl tells of a handshake.
fn handshake(address: &str, arguments: &[&str]) -> String {
    let shown = Command::new("openssl")
        .args(["s_client", "-connect", address])
        .args(arguments)
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    String::from_utf8_lossy(&shown.stdout).replace(" = ", "=")
}

#[tokio::test(flavor = "multi_thread")]
async fn both_versions_of_http_over_tls_and_without() {
    let dir = tempfile::tempdir().unwrap();
    let made = Certificates::create(dir.path());
    let backend = echo().await;
    let gateway = gateway(&backend, dir.path(), TLS).await;
    let url = format!("https://{}/x", gateway.others()[0]);
    let ca = made.pem("ca");
    let ca = ca.to_str().unwrap();
    let shown = "%{http_version} %{http_code}";
    for (version, flag) in [("1.1", "--http1.1"), ("2", "--http2")] {
        let told = curl(&["--cacert", ca, flag, "-w", shown, "-i", &url]);
        assert!(told.contains(&format!("{version} 200")), "{told}");
        assert!(
            told.to_lowercase()
                .contains("strict-transport-security: max-age=60"),
            "{told}"
        );
    }
    let url = format!("http://{}/x", gateway.http);
    let told = curl(&["--http2-prior-knowledge", "-w", shown, "-i", &url]);
    assert!(told.contains("2 200"), "{told}");
    assert!(!told.to_lowercase().contains("strict-transport"), "{told}");
    // Bodies go both ways over HTTP/2.
    let told = curl(&["--http2-prior-knowledge", "-d", "body", "-w", shown, &url]);
    assert_eq!(told, "x2 200");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_name_has_its_certificate() {
    let dir = tempfile::tempdir().unwrap();
    Certificates::create(dir.path());
    for name in ["one.example", "two.example"] {
        self_signed(dir.path(), name, name, "rsa:2048");
    }
    let pair =
        |name: &str| format!("{{ certificate = \"DIR/{name}.pem\", key = \"DIR/{name}.key\" }}");
    let listener = format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[listener.tls]\nmin_version = \"1.3\"\n\
         certificates = [{}, {}]\n",
        pair("one.example"),
        pair("two.example")
    );
    let backend = echo().await;
    let gateway = gateway(&backend, dir.path(), &listener).await;
    let address = gateway.others()[0].clone();
    for (asked, expected) in [
        ("one.example", "CN=one.example"),
        ("two.example", "CN=two.example"),
        ("www.two.example", "CN=two.example"),
        ("other.example", "CN=one.example"),
    ] {
        let shown = handshake(&address, &["-servername", asked]);
        assert!(
            shown.contains(&format!("subject={expected}")),
            "{asked}: {shown}"
        );
    }
    let old = curl(&["-k", "--tls-max", "1.2", &format!("https://{address}/x")]);
    assert!(old.contains("curl: (35)"), "{old}");
}

/// A name with a certificate for each kind of key, and what the client offers decides.
#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_key_has_its_certificate_and_alpn_decides() {
    let dir = tempfile::tempdir().unwrap();
    self_signed(dir.path(), "rsa", "one.example", "rsa:2048");
    self_signed(dir.path(), "ec", "one.example", "ec");
    let pair =
        |name: &str| format!("{{ certificate = \"DIR/{name}.pem\", key = \"DIR/{name}.key\" }}");
    let listener = |http2: bool| {
        format!(
            "[[listener]]\naddress = \"127.0.0.1:0\"\n[listener.tls]\nhttp2 = {http2}\n\
             certificates = [{}, {}]\n",
            pair("rsa"),
            pair("ec")
        )
    };
    let backend = echo().await;
    let both = listener(true) + &listener(false);
    let gateway = gateway(&backend, dir.path(), &both).await;
    let [with, without] = [0, 1].map(|index| gateway.others()[index].clone());
    for version in ["-tls1_2", "-tls1_3"] {
        for (offered, taken) in [
            ("RSA-PSS+SHA256:ECDSA+SHA256", "RSA-PSS"),
            ("RSA-PSS+SHA256", "RSA-PSS"),
            ("ECDSA+SHA256", "ECDSA"),
        ] {
            for name in ["one.example", "other.example"] {
                let arguments = [version, "-sigalgs", offered, "-servername", name];
                let shown = handshake(&with, &arguments);
                let line = format!("Peer signature type: {taken}");
                assert!(shown.contains(&line), "{version} {offered} {name}: {shown}");
            }
        }
    }
    for (address, offered, taken) in [
        (&with, "h2,http/1.1", "ALPN protocol: h2"),
        (&with, "http/1.1", "ALPN protocol: http/1.1"),
        (&without, "h2,http/1.1", "ALPN protocol: http/1.1"),
    ] {
        let shown = handshake(address, &["-alpn", offered]);
        assert!(shown.contains(taken), "{offered}: {shown}");
    }
    // Nothing in common: no connection (RFC 7301 section 3.2).
    let shown = handshake(&without, &["-alpn", "h2"]);
    assert!(!shown.contains("BEGIN CERTIFICATE"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_read_again_and_connections_go_on() {
    let dir = tempfile::tempdir().unwrap();
    self_signed(dir.path(), "site", "old.example", "ec");
    let listener = TLS.replace("server", "site");
    let backend = echo().await;
    let mut gateway = gateway(&backend, dir.path(), &listener).await;
    let address = gateway.others()[0].clone();
    let mut kept = Command::new("openssl")
        .args(["s_client", "-quiet", "-connect", &address])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let (mut to, mut from) = (kept.stdin.take().unwrap(), kept.stdout.take().unwrap());
    let mut exchange = || {
        to.write_all(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        let mut buffer = [0; 1024];
        while !answer.ends_with(b"\r\n\r\nx") {
            let count = from.read(&mut buffer).unwrap();
            assert_ne!(count, 0, "{}", String::from_utf8_lossy(&answer));
            answer.extend(&buffer[..count]);
        }
    };
    exchange();
    assert!(handshake(&address, &[]).contains("subject=CN=old.example"));

    self_signed(dir.path(), "site", "new.example", "rsa:2048");
    reload(&mut gateway, 1).await;
    assert!(handshake(&address, &[]).contains("subject=CN=new.example"));
    exchange();

    // A key that is not the certificate's changes nothing.
    self_signed(dir.path(), "other", "other.example", "ec");
    std::fs::rename(dir.path().join("other.key"), dir.path().join("site.key")).unwrap();
    reload(&mut gateway, 2).await;
    assert!(gateway.says("not reloaded").await, "{}", gateway.log());
    assert!(handshake(&address, &[]).contains("subject=CN=new.example"));
    exchange();
    kept.kill().unwrap();
    kept.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn client_certificates_are_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let made = Certificates::create(dir.path());
    let kind =
        |kind: &str| format!("{TLS}client_ca = \"DIR/ca.pem\"\nclient_certificate = \"{kind}\"\n");
    let (ca, pem, key) = (made.pem("ca"), made.pem("client"), made.key("client"));
    let (ca, pem, key) = (
        ca.to_str().unwrap(),
        pem.to_str().unwrap(),
        key.to_str().unwrap(),
    );
    let with = ["--cacert", ca, "--cert", pem, "--key", key];
    let backend = echo().await;
    for (required, without) in [("required", "curl: ("), ("optional", "x")] {
        let gateway = gateway(&backend, dir.path(), &kind(required)).await;
        let url = format!("https://{}/x", gateway.others()[0]);
        assert_eq!(curl(&[&with[..], &[&url]].concat()), "x", "{required}");
        let told = curl(&["--cacert", ca, &url]);
        assert!(told.starts_with(without), "{required}: {told}");
    }
}

/// httpd lets in those whom the authority knows itself, unless `SSLVerifyDepth` says more.
#[tokio::test(flavor = "multi_thread")]
async fn how_far_an_authority_may_be_from_a_client() {
    let dir = tempfile::tempdir().unwrap();
    let made = Certificates::create(dir.path());
    made.issue("ca-below", "/CN=below", Some("ca"));
    made.issue("client-below", "/CN=client below", Some("ca-below"));
    let chain = dir.path().join("chain.pem");
    let read = |name| std::fs::read_to_string(made.pem(name)).unwrap();
    std::fs::write(&chain, read("client-below") + &read("ca-below")).unwrap();
    let backend = echo().await;
    let listener = |more: &str| format!("{TLS}client_ca = \"DIR/ca.pem\"\n{more}");
    let all = listener("client_depth = 1\n") + &listener("client_depth = 2\n") + &listener("");
    let gateway = gateway(&backend, dir.path(), &all).await;
    let asked = |certificate: &std::path::Path, key: &str, address: &str| {
        let key = made.key(key);
        let (certificate, key) = (certificate.to_str().unwrap(), key.to_str().unwrap());
        let url = format!("https://{address}/x");
        curl(&["-k", "--cert", certificate, "--key", key, &url])
    };
    for (address, is_far_in) in gateway.others().iter().zip([false, true, true]) {
        assert_eq!(asked(&made.pem("client"), "client", address), "x");
        let answer = asked(&chain, "client-below", address);
        assert_eq!(answer == "x", is_far_in, "{address}: {answer}");
    }
}

/// A session that goes on would vouch for a certificate that has expired since: where clients are
/// known by certificates each connection shows one.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_not_resumed_where_certificates_tell_clients() {
    let dir = tempfile::tempdir().unwrap();
    let made = Certificates::create(dir.path());
    let with_ca = format!("{TLS}client_ca = \"DIR/ca.pem\"\nclient_certificate = \"optional\"\n");
    let backend = echo().await;
    let gateway = gateway(&backend, dir.path(), &format!("{TLS}{with_ca}")).await;
    let (pem, key) = (made.pem("client"), made.key("client"));
    let session = dir.path().join("session");
    let connect = |address: &str, version: &str, session_is: &str| {
        let mut client = Command::new("openssl")
            .args([
                "s_client", "-connect", address, version, "-ign_eof", "-cert",
            ])
            .arg(&pem)
            .arg("-key")
            .arg(&key)
            .arg(session_is)
            .arg(&session)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let request = b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        client.stdin.take().unwrap().write_all(request).unwrap();
        let said = client.wait_with_output().unwrap();
        String::from_utf8_lossy(&said.stdout).into_owned()
    };
    let others = gateway.others();
    for (address, is_resumed) in [(&others[0], true), (&others[1], false)] {
        for version in ["-tls1_2", "-tls1_3"] {
            let _ = std::fs::remove_file(&session);
            let first = connect(address, version, "-sess_out");
            assert!(first.contains("200 OK"), "{version}: {first}");
            // Without one there is nothing to go on with.
            let kept = if session.exists() {
                "-sess_in"
            } else {
                "-sess_out"
            };
            let second = connect(address, version, kept);
            assert!(second.contains("200 OK"), "{version}: {second}");
            let reused = second.contains("Reused, TLS");
            assert_eq!(reused, is_resumed, "{address} {version}: {second}");
        }
    }
}

/// A client that was let in by an authority is not, once that is gone.
#[tokio::test(flavor = "multi_thread")]
async fn another_authority_ends_connections_of_the_one_before() {
    let dir = tempfile::tempdir().unwrap();
    let made = Certificates::create(dir.path());
    let listener =
        format!("{TLS}client_ca = \"DIR/trusted.pem\"\nclient_certificate = \"required\"\n");
    std::fs::copy(made.pem("ca"), dir.path().join("trusted.pem")).unwrap();
    let backend = echo().await;
    let mut gateway = gateway(&backend, dir.path(), &listener).await;
    let address = gateway.others()[0].clone();
    let mut kept = Command::new("openssl")
        .args(["s_client", "-quiet", "-connect", &address, "-cert"])
        .arg(made.pem("client"))
        .arg("-key")
        .arg(made.key("client"))
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let (mut to, mut from) = (kept.stdin.take().unwrap(), kept.stdout.take().unwrap());
    to.write_all(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut buffer = [0; 1024];
    assert_ne!(from.read(&mut buffer).unwrap(), 0);
    self_signed(dir.path(), "trusted", "other.example", "ec");
    reload(&mut gateway, 1).await;
    let mut rest = Vec::new();
    from.read_to_end(&mut rest).unwrap();
    kept.kill().unwrap();
    kept.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn http_is_sent_to_https() {
    let dir = tempfile::tempdir().unwrap();
    let backend = echo().await;
    let listener = "[[listener]]\naddress = \"127.0.0.1:0\"\nredirect_to_https = 8443\n";
    let gateway = gateway(&backend, dir.path(), listener).await;
    let url = format!("http://{}/a?b=c", gateway.others()[0]);
    let told = curl(&["-i", "-H", "Host: shop.example", "-d", "x", &url]);
    assert!(told.starts_with("HTTP/1.1 308 "), "{told}");
    assert!(
        told.contains("Location: https://shop.example:8443/a?b=c\r\n"),
        "{told}"
    );
    assert_eq!(backend.accepted(), 0);
}

/// Containers open to 127.0.0.1 what is for nobody else, and any program with any visitor may be
/// behind a Unix socket.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_taken_for_this_machine_over_a_unix_socket() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("http.sock");
    let backend = Backend::start(config(), |_, mut conn: Conn| async move {
        while let Some(request) = conn.request().await {
            let from = String::from_utf8(request.remote_addr().unwrap().to_vec()).unwrap();
            conn.write(&response(&from, 1)).await;
        }
    })
    .await;
    let listener = format!("[[listener]]\naddress = \"unix:{}\"\n", socket.display());
    let forwarded = "X-Forwarded-For: 203.0.113.9";
    for (trusted, told) in [
        ("", "0.0.0.0"),
        ("trusted_proxies = [\"127.0.0.1\"]\n", "203.0.113.9"),
    ] {
        let gateway = crate::wire::before(&backend, &format!("{trusted}{listener}")).await;
        let socket = socket.to_str().unwrap();
        let seen = curl(&["--unix-socket", socket, "-H", forwarded, "http://a/x"]);
        assert_eq!(seen, told, "{trusted}");
        tokio::task::spawn_blocking(move || gateway.stop())
            .await
            .unwrap();
    }
}

/// As over HTTP/1, a client that still sends gets its answer.
#[tokio::test(flavor = "multi_thread")]
async fn early_answers_over_http2_are_not_lost() {
    let dir = tempfile::tempdir().unwrap();
    let upload = dir.path().join("upload");
    std::fs::write(&upload, vec![b'x'; 3_000_000]).unwrap();
    let data = format!("@{}", upload.display());
    let backend = echo().await;
    let keys = "max_body = 1000000\n[[map]]\npath = \"/secret\"\nto = \"deny\"\n";
    let gateway = crate::wire::before(&backend, keys).await;
    for (path, length, expected) in [
        ("/x", "", "413"),
        ("/secret", "", "403"),
        ("/x", "chunked", "413"),
    ] {
        let url = format!("http://{}{path}", gateway.http);
        // Without a length, as it is with chunks of HTTP/1.
        let length: &[&str] = if length.is_empty() {
            &["--data-binary", &data]
        } else {
            &["-T", upload.to_str().unwrap(), "-H", "Content-Length:"]
        };
        let shown = ["-o", "/dev/null", "-w", "%{http_code}", "-H", "Expect:"];
        let told = curl(&[&["--http2-prior-knowledge"], &shown[..], length, &[&url]].concat());
        assert_eq!(told, expected, "{path} {length:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unix_socket_and_the_proxy_protocol() {
    let dir = tempfile::tempdir().unwrap();
    let backend = echo().await;
    let listeners = "[[listener]]\naddress = \"unix:DIR/http.sock\"\n\
        [[listener]]\naddress = \"127.0.0.1:0\"\nproxy_protocol = true\n";
    let gateway = gateway(
        &backend,
        dir.path(),
        &format!("access_log = \"access\"\n{listeners}"),
    )
    .await;
    let socket = dir.path().join("http.sock");
    let socket = socket.to_str().unwrap();
    assert_eq!(curl(&["--unix-socket", socket, "http://a/x"]), "x");

    let address = gateway.others()[1].clone();
    for header in [
        &b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 443\r\n"[..],
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71\x0a\xc0\0\x02\x01\x12\x67\x01\xbb",
    ] {
        let mut http = tokio::net::TcpStream::connect(&address).await.unwrap();
        http.write_all(header).await.unwrap();
        http.write_all(b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            .await
            .unwrap();
        let mut answer = String::new();
        http.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with("\r\n\r\nx"), "{answer}");
    }
    // A client that the load balancer cannot name is nobody, whose words are not the load
    // balancer's; only what is its own counts as such.
    for header in [
        &b"PROXY UNKNOWN\r\n"[..],
        b"\r\n\r\n\0\r\nQUIT\n\x21\0\0\0",
        b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0",
    ] {
        let mut http = tokio::net::TcpStream::connect(&address).await.unwrap();
        http.write_all(header).await.unwrap();
        http.write_all(
            b"GET /x HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6\r\nConnection: close\r\n\r\n",
        )
        .await
        .unwrap();
        let mut answer = String::new();
        http.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with("\r\n\r\nx"), "{answer}");
    }
    // Without the header nothing is answered.
    let told = curl(&[&format!("http://{address}/x")]);
    assert!(
        told.starts_with("curl: (52)") || told.starts_with("curl: (56)"),
        "{told}"
    );
    for attempt in 0.. {
        let lines = std::fs::read_to_string(gateway.file("access")).unwrap();
        let clients: Vec<_> = lines
            .lines()
            .filter_map(|line| line.split(' ').next())
            .collect();
        let nobody = "0.0.0.0";
        let told = [
            "127.0.0.1",
            "203.0.113.9",
            "203.0.113.10",
            nobody,
            nobody,
            "6.6.6.6",
        ];
        if clients == told {
            break;
        }
        assert!(attempt < 100, "{lines}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    drop(gateway.stop());
    assert!(!Path::new(socket).exists());
}

/// As httpd and nginx do, where a browser would show nothing.
#[tokio::test(flavor = "multi_thread")]
async fn plain_http_on_a_listener_of_tls_is_told_so() {
    let dir = tempfile::tempdir().unwrap();
    Certificates::create(dir.path());
    let backend = echo().await;
    let listeners = format!("access_log = \"access\"\n{TLS}");
    let gateway = gateway(&backend, dir.path(), &listeners).await;
    let url = format!("http://{}/x", gateway.others()[0]);
    let told = curl(&["-w", "%{http_code}", &url]);
    assert_eq!(told, "400 this port speaks TLS: ask it with https://\n400");
    assert_eq!(backend.accepted(), 0);
    for attempt in 0.. {
        let lines = std::fs::read_to_string(gateway.file("access")).unwrap();
        if lines.contains("\"GET /x HTTP/1.1\" 400 ") && lines.contains("listener that speaks TLS")
        {
            break;
        }
        assert!(attempt < 100, "{lines}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    // Also in front of those are the bytes of the handshake that were looked at.
    let url = url.replace("http:", "https:");
    assert_eq!(curl(&["-k", &url]), "x");
}

/// One rule for what a URI cannot hold, as far as HTTP/2 carries it.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_uri_cannot_hold_is_encoded_over_http2() {
    let backend = Backend::start(config(), |_, mut conn: Conn| async move {
        while let Some(request) = conn.request().await {
            let query = request.query_string().unwrap_or_default();
            let target = [request.req_uri(), b"?", query].concat();
            conn.write(&response(std::str::from_utf8(&target).unwrap(), 1))
                .await;
        }
    })
    .await;
    let gateway = crate::wire::before(&backend, "").await;
    let url = format!("http://{}/a^b?c=`\u{e4}{{|}}", gateway.http);
    let told = curl(&["--http2-prior-knowledge", "-g", "--path-as-is", &url]);
    assert_eq!(told, "/a%5Eb?c=%60%C3%A4{|}");
}

/// As many headers as over HTTP/1.
#[tokio::test(flavor = "multi_thread")]
async fn headers_are_counted_over_http2() {
    let backend = echo().await;
    let gateway = crate::wire::before(&backend, "[limits]\nmax_headers = 20").await;
    let url = format!("http://{}/x", gateway.http);
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        for (count, expected) in [(15, "x200"), (25, "431")] {
            let headers: Vec<_> = (0..count).map(|n| format!("X-{n}: 1")).collect();
            let headers = headers.iter().flat_map(|header| ["-H", header]);
            let more: Vec<_> = [version, "-w", "%{http_code}"]
                .into_iter()
                .chain(headers)
                .collect();
            let told = curl(&[&more[..], &[&url]].concat());
            assert!(told.ends_with(expected), "{version} {count}: {told}");
        }
    }
}
