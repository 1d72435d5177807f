//! Paths on their way in and back out, and what containers learn of the client.

use crate::container::{Container, member};
use crate::support::gateway::{Gateway, coded};
use crate::support::http1::{self, Body};
use serde_json::Value;

/// A shop: a cart, its administration, files of one container, and the rest.
async fn shop() -> (Gateway, [Container; 3]) {
    let containers = [
        Container::start("cart").await,
        Container::start("files").await,
        Container::start("rest").await,
    ];
    let [cart, files, rest] = &containers;
    let config = format!(
        "[[balancer]]\nname = \"cart\"\n{}[[balancer]]\nname = \"rest\"\n{}\
         [[map]]\npath = \"/\"\nto = \"balancer://rest/\"\n\
         [[map]]\npath = \"/cart\"\nto = \"balancer://cart/app\"\n\
         [[map]]\npath = \"/cart/admin\"\nto = \"balancer://cart/console\"\n\
         [[map]]\npath = \"/files\"\nto = \"{}/static\"\nlocation = false\ncookie_path = false\n",
        cart.member(""),
        rest.member(""),
        files.url(),
    );
    (Gateway::start(&config).await, containers)
}

#[tokio::test]
async fn the_longest_path_decides() {
    let (gateway, _containers) = shop().await;
    let mut client = gateway.client();
    for (target, name, path) in [
        ("/", "rest", "/"),
        ("/carts", "rest", "/carts"),
        ("/a/../b", "rest", "/a/../b"),
        ("/cart", "cart", "/app"),
        ("/cart/", "cart", "/app/"),
        ("/cart/x%2Fy/%7E", "cart", "/app/x%2Fy/%7E"),
        ("/cart;jsessionid=1.cart", "cart", "/app;jsessionid=1.cart"),
        ("/cart//x", "cart", "/app//x"),
        ("/cart/admin", "cart", "/console"),
        ("/cart/admin/x", "cart", "/console/x"),
        ("/cart/admins", "cart", "/app/admins"),
        ("/files/logo.png", "files", "/static/logo.png"),
    ] {
        let seen = client.get(&format!("{target}?a=%2F&b")).await.json();
        assert_eq!(seen["name"], name, "{target}");
        assert_eq!(seen["path"], path, "{target}");
        assert_eq!(seen["query"], "a=%2F&b");
    }
    for target in [
        "/cart/../x",
        "/cart/%2e%2e/x",
        "/cart/..;a=b/x",
        "/files/a/..%2f..%2fx",
    ] {
        let answer = client.get(target).await;
        assert_eq!(answer.status, 400, "{target}");
        assert_eq!(
            answer.text(),
            "400 the path can be read as one of another map\n"
        );
    }
}

#[tokio::test]
async fn what_containers_say_of_their_paths_is_mapped_back() {
    let (gateway, _containers) = shop().await;
    let mut client = gateway.client();
    let host = gateway.http.to_string();
    let here = format!("http://{host}");
    for (map, name, value, expected) in [
        ("/cart", "location", "/app/x", "/cart/x"),
        (
            "/cart",
            "location",
            &*format!("{here}/app/x?y"),
            &*format!("{here}/cart/x?y"),
        ),
        ("/cart", "location", "/console/", "/cart/admin/"),
        (
            "/cart",
            "location",
            "http://other.example/app/x",
            "http://other.example/app/x",
        ),
        ("/cart", "location", "/apps", "/apps"),
        (
            "/cart/admin",
            "content-location",
            "/console/x",
            "/cart/admin/x",
        ),
        ("/cart", "refresh", "3; url=/app/y", "3; url=/cart/y"),
        (
            "/cart",
            "cookie",
            "a=1; Path=/app; Secure",
            "a=1; Path=/cart; Secure",
        ),
        ("/cart", "cookie", "a=/app; Path=/", "a=/app; Path=/"),
        ("/files", "location", "/static/x", "/static/x"),
        ("/files", "cookie", "a=1; Path=/static", "a=1; Path=/static"),
        ("/x", "location", "/app/x", "/app/x"),
    ] {
        let target = format!("{map}/z?status=302&{name}={}", coded(value));
        let answer = client.get(&target).await;
        assert_eq!(answer.status, 302);
        let header = if name == "cookie" { "set-cookie" } else { name };
        assert_eq!(
            answer.header(header),
            Some(expected),
            "{map} {name}: {value}"
        );
    }
}

fn header<'a>(seen: &'a Value, name: &str) -> Vec<&'a str> {
    let headers = seen["headers"].as_array().unwrap();
    let values = headers.iter().filter(|pair| pair[0] == name);
    values.map(|pair| pair[1].as_str().unwrap()).collect()
}

const CLAIMS: [(&str, &str); 6] = [
    ("x-forwarded-for", "203.0.113.9"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-host", "evil.example"),
    ("forwarded", "for=203.0.113.9"),
    ("x-real-ip", "203.0.113.9"),
    ("connection", "keep-alive, x-forwarded-for"),
];

#[tokio::test]
async fn clients_cannot_claim_to_be_others() {
    let (gateway, _containers) = shop().await;
    let mut client = gateway.client();
    let seen = client.request("GET", "/", &CLAIMS, Body::None).await.json();
    assert_eq!(header(&seen, "x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(header(&seen, "x-forwarded-proto"), ["http"]);
    assert_eq!(
        header(&seen, "x-forwarded-host"),
        [gateway.http.to_string()]
    );
    assert!(header(&seen, "forwarded").is_empty() && header(&seen, "x-real-ip").is_empty());
    assert_eq!(seen["remote"], "127.0.0.1");
    assert_eq!(seen["tls"], false);
}

#[tokio::test]
async fn trusted_proxies_can() {
    let container = Container::start("a").await;
    let config = format!(
        "trusted_proxies = [\"127.0.0.0/8\"]\naccess_log = \"access.log\"\n\
         [[map]]\npath = \"/\"\nto = \"{}/\"\n",
        container.url()
    );
    let gateway = Gateway::start(&config).await;
    let seen = gateway
        .client()
        .request("GET", "/", &CLAIMS, Body::None)
        .await
        .json();
    assert_eq!(header(&seen, "x-forwarded-for"), ["203.0.113.9, 127.0.0.1"]);
    assert_eq!(header(&seen, "x-forwarded-proto"), ["https"]);
    // A trusted proxy writes it itself: it is the host that the client has asked for.
    assert_eq!(header(&seen, "x-forwarded-host"), ["evil.example"]);
    assert_eq!(seen["remote"], "203.0.113.9");
    assert_eq!(seen["tls"], true);
}

#[tokio::test]
async fn one_host_and_no_other() {
    let (gateway, _containers) = shop().await;
    for (head, status) in [
        ("GET / HTTP/1.1\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n", "400"),
        ("GET / HTTP/1.0\r\n", "200"),
        ("GET / HTTP/1.1\r\nHost: a\r\n", "200"),
        ("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n", "501"),
    ] {
        let request = format!("{head}Connection: close\r\n\r\n");
        let answer = http1::raw(gateway.http, request.as_bytes()).await;
        let answer = String::from_utf8(answer).unwrap();
        assert_eq!(answer.split(' ').nth(1), Some(status), "{head}: {answer}");
    }
    let absolute =
        "GET http://shop.example:81/cart HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answer = http1::raw(gateway.http, absolute.as_bytes()).await;
    let answer = String::from_utf8(answer).unwrap();
    assert!(
        answer.contains("[\"host\",\"shop.example:81\"]"),
        "{answer}"
    );
    assert!(answer.contains("\"path\":\"/app\""), "{answer}");
}

#[tokio::test]
async fn a_site_without_whole_answers_404_elsewhere() {
    let config = format!(
        "[[balancer]]\nname = \"a\"\n{}[[map]]\npath = \"/a\"\nto = \"balancer://a/\"\n",
        member("ajp://127.0.0.1:1", "a", "")
    );
    let gateway = Gateway::start(&config).await;
    let answer = gateway.client().get("/b").await;
    assert_eq!(answer.status, 404);
    assert_eq!(answer.text(), "404 there is nothing at this address\n");
}
