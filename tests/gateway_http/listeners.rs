//! Where the gateway listens: for both families of IP, and at a path.

use crate::reload::reload;
use crate::support::gateway::Gateway;
use crate::support::ports;
use crate::wire::{before, echo, exchange};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

const REQUEST: &[u8] = b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

fn listener(address: &str) -> String {
    format!("[[listener]]\naddress = \"{address}\"\n")
}

async fn is_answered(address: impl Into<SocketAddr>) -> bool {
    exchange(address.into(), REQUEST)
        .await
        .ends_with("\r\n\r\nx")
}

#[tokio::test]
async fn all_addresses_of_ipv6_leave_ipv4_to_another_listener_and_take_it_otherwise() {
    let backend = echo().await;
    let port = ports::free_addr().port();
    let v6 = listener(&format!("[::]:{port}"));
    let v4 = listener(&format!("0.0.0.0:{port}"));
    let gateway = before(&backend, &format!("{v6}{v4}")).await;
    assert!(is_answered((Ipv6Addr::LOCALHOST, port)).await);
    assert!(is_answered((Ipv4Addr::LOCALHOST, port)).await);
    gateway.stop();

    let mut gateway = before(&backend, &v6).await;
    assert!(is_answered((Ipv6Addr::LOCALHOST, port)).await);
    assert!(is_answered((Ipv4Addr::LOCALHOST, port)).await);
    // It cannot be made another one while it listens.
    let text = std::fs::read_to_string(gateway.file("gateway.toml")).unwrap();
    std::fs::write(
        gateway.file("gateway.toml"),
        text.replace(&v6, &format!("{v6}{v4}")),
    )
    .unwrap();
    reload(&mut gateway, 1).await;
    let told = format!("[::]:{port} takes clients of IPv4 as well until the next start");
    assert!(gateway.says(&told).await, "{}", gateway.log());
    assert!(is_answered((Ipv4Addr::LOCALHOST, port)).await);
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// A web server in front is another user: nginx's sockets are so, too.
#[tokio::test(flavor = "multi_thread")]
async fn who_may_connect_to_a_unix_socket() {
    let backend = echo().await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("http.sock");
    let plain = listener(&format!("unix:{}", path.display()));
    let site = |keys: &str| {
        format!(
            "{keys}[[balancer]]\nname = \"b\"\n[[balancer.member]]\nurl = \"{}\"\n\
             [[map]]\npath = \"/\"\nto = \"balancer://b/\"\n",
            backend.url()
        )
    };
    let mut gateway = Gateway::start(&site(&plain)).await;
    assert_eq!(mode(&path), 0o666);
    gateway.rewrite(&site(&format!("{plain}mode = \"600\"\n")));
    reload(&mut gateway, 1).await;
    for attempt in 0.. {
        if mode(&path) == 0o600 {
            break;
        }
        assert!(attempt < 100, "{:o}", mode(&path));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let gateway = gateway.restart().await;
    assert_eq!(mode(&path), 0o600);
    gateway.stop();
    assert!(!path.exists());
}

/// The redirect asks no less of the Host header than the site does, and says what is wrong with it.
#[tokio::test]
async fn a_redirect_says_what_is_wrong_with_the_host() {
    let backend = echo().await;
    let keys = format!("{}redirect_to_https = 443\n", listener("127.0.0.1:0"));
    let gateway = before(&backend, &keys).await;
    let address: SocketAddr = gateway.others()[0].parse().unwrap();
    for (host, expected) in [
        ("Host: a\r\n", "location: https://a/x\r\n"),
        ("Host: a b\r\n", "the Host header names no host"),
        ("Host: a\r\nHost: b\r\n", "more than one Host header"),
        ("", "the request has no Host header"),
    ] {
        let request = format!("GET /x HTTP/1.1\r\n{host}Connection: close\r\n\r\n");
        let answer = exchange(address, request.as_bytes()).await;
        let answer = answer.replace("Location", "location");
        assert!(answer.contains(expected), "{host}: {answer}");
    }
}
