//! The harness itself: each peer alone and in the chains the other tests build on.
//!
//! No code of this crate takes part, so a failure here is the machine's or the harness's.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report"
)]

mod support;

use bytes::Bytes;
use serde_json::{Value, json};
use support::http1::{self, Body, Client};
use support::httpd::Httpd;
use support::pattern::{self, sha256_hex};
use support::tls::CLIENT_SUBJECT;
use support::tomcat::{SECRET, Tomcat};

#[tokio::test]
async fn the_webapp_answers_over_http() {
    let tomcat = Tomcat::shared().await;
    let mut client = Client::new(tomcat.http_addr());

    let hello = client.get("/app/hello").await;
    assert_eq!(
        (hello.status.as_u16(), hello.text()),
        (200, "Hello, AJP!\n")
    );
    assert!(
        hello
            .header("content-type")
            .unwrap()
            .starts_with("text/plain")
    );

    let sized = client.get("/app/bytes?n=100000&len=1").await;
    assert_eq!(sized.header("content-length"), Some("100000"));
    assert_eq!(*sized.bytes(), pattern::bytes(100_000));
    let unsized_ = client.get("/app/bytes?n=1000").await;
    assert_eq!(unsized_.header("content-length"), None);
    assert_eq!(*unsized_.bytes(), pattern::bytes(1000));

    let teapot = client.get("/app/status/418").await;
    assert_eq!(
        (teapot.status.as_u16(), teapot.text()),
        (418, "status 418\n")
    );
    let empty = client.get("/app/status/204").await;
    assert_eq!((empty.status.as_u16(), empty.bytes().len()), (204, 0));
    let page = client.get("/app/status/502?msg").await;
    assert_eq!(page.status, 502);
    assert!(page.text().contains("message for 502"));
    assert_eq!(client.get("/app/nowhere").await.status, 404);

    let headers = client.get("/app/headers?n=30&size=200").await;
    assert_eq!(headers.header("x-h-29"), Some("v".repeat(200).as_str()));
    let cookies = client.get("/app/cookies").await;
    assert_eq!(cookies.headers.get_all("set-cookie").iter().count(), 3);

    let redirect = client.get("/app/redirect").await;
    assert_eq!(
        (redirect.status.as_u16(), redirect.header("location")),
        (302, Some("/app/hello"))
    );
    let absolute = client.get("/app/redirect?abs").await;
    let location = format!("http://{}/app/hello", tomcat.http_addr());
    assert_eq!(absolute.header("location"), Some(location.as_str()));

    assert_eq!(
        client.get("/app/slow?ms=10&parts=3").await.text(),
        "part 0\npart 1\npart 2\n"
    );
    assert_eq!(client.get("/app/sleep?ms=10").await.text(), "slept\n");

    let posted = client
        .request(
            "POST",
            "/app/unread?n=50000",
            &[],
            Body::Full(pattern::bytes(100)),
        )
        .await;
    assert_eq!(*posted.bytes(), pattern::bytes(50_000));
    assert_eq!(client.connections(), 1);
}

#[tokio::test]
async fn echo_tells_the_request_and_its_body() {
    let tomcat = Tomcat::shared().await;
    let mut client = Client::new(tomcat.http_addr());
    let body = pattern::bytes(300_000);
    let headers = [("X-One", "a"), ("X-Two", "b"), ("X-One", "c")];

    let sized = client
        .request(
            "PATCH",
            "/app/echo/a%20b?q=%C3%A9&r",
            &headers,
            Body::Full(body.clone()),
        )
        .await
        .json();
    assert_eq!(sized["method"], "PATCH");
    assert_eq!(sized["uri"], "/app/echo/a%20b");
    assert_eq!(sized["pathInfo"], "/a b");
    assert_eq!(sized["query"], "q=%C3%A9&r");
    assert_eq!(sized["protocol"], "HTTP/1.1");
    assert_eq!(sized["scheme"], "http");
    assert_eq!(sized["secure"], false);
    assert_eq!(sized["remoteUser"], Value::Null);
    assert_eq!(sized["remoteAddr"], "127.0.0.1");
    assert_eq!(sized["serverPort"], tomcat.http_addr().port());
    assert_eq!(sized["contentLength"], 300_000);
    assert_eq!(sized["bodyLength"], 300_000);
    assert_eq!(sized["bodySha256"], sha256_hex(&body));
    let ones: Vec<&Value> = lines(&sized, "x-one");
    assert_eq!(ones, [&json!("a"), &json!("c")]);

    let parts = vec![body.slice(..1000), body.slice(1000..)];
    let chunked = client
        .request("BREW", "/app/echo", &[], Body::Chunked(parts))
        .await
        .json();
    assert_eq!(chunked["method"], "BREW");
    assert_eq!(chunked["contentLength"], -1);
    assert_eq!(chunked["bodySha256"], sha256_hex(&body));

    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let form = client
        .request(
            "POST",
            "/app/echo",
            &form,
            Body::Full(Bytes::from_static(b"a=b&c=d")),
        )
        .await;
    assert_eq!(form.json()["bodySha256"], sha256_hex(b"a=b&c=d"));
}

#[tokio::test]
async fn a_body_that_breaks_off_is_an_error() {
    let tomcat = Tomcat::shared().await;
    for target in ["/app/abort?n=5000", "/app/abort?n=5000&len=9000"] {
        let broken = Client::new(tomcat.http_addr()).get(target).await;
        assert_eq!(broken.status, 200);
        let error = broken.body.expect_err(target);
        assert_eq!(error.received, pattern::bytes(5000), "{target}");
    }
}

#[tokio::test]
async fn a_session_counts_and_names_its_node() {
    let tomcat = Tomcat::builder().route("jvm1").start().await;
    let mut client = Client::new(tomcat.http_addr());
    let first = client.get("/app/session").await;
    let cookie = first
        .header("set-cookie")
        .unwrap()
        .split(';')
        .next()
        .unwrap();
    let second = client
        .request("GET", "/app/session", &[("Cookie", cookie)], Body::None)
        .await
        .json();
    assert_eq!(second["count"], 2);
    assert_eq!(second["node"], "jvm1");
    assert_eq!(second["id"], first.json()["id"]);
}

#[tokio::test]
async fn mod_proxy_ajp_reaches_tomcat() {
    let tomcat = Tomcat::builder()
        .packet_size(65536)
        .max_threads(5)
        .start()
        .await;
    let params = format!("secret={SECRET} iobuffersize=65536 ping=1 timeout=2");
    let httpd = Httpd::builder()
        .proxy_ajp("/app", tomcat.ajp_addr(), &params)
        .start()
        .await;
    through_httpd(&httpd).await;

    // Tomcat says nothing after a broken answer and keeps the AJP connection open: it is the time
    // limit above that ends the exchange.
    let broken = Client::new(httpd.http_addr())
        .get("/app/abort?n=5000&len=9000")
        .await;
    assert_eq!(broken.body.unwrap_err().received, pattern::bytes(5000));
}

#[tokio::test]
async fn mod_jk_reaches_tomcat() {
    let tomcat = Tomcat::builder().packet_size(65536).start().await;
    let properties = [
        &format!("secret={SECRET}"),
        "max_packet_size=65536",
        "ping_mode=A",
    ];
    let httpd = Httpd::builder()
        .mod_jk_worker(tomcat.ajp_addr(), &properties)
        .start()
        .await;
    through_httpd(&httpd).await;
}

/// What any forwarding httpd must bring across: a head, a large body each way.
async fn through_httpd(httpd: &Httpd) {
    let mut client = Client::new(httpd.http_addr());
    assert_eq!(client.get("/app/hello").await.text(), "Hello, AJP!\n");
    assert_eq!(
        *client.get("/app/bytes?n=1000000").await.bytes(),
        pattern::bytes(1_000_000)
    );
    let body = pattern::bytes(200_000);
    let echo = client
        .request("PUT", "/app/echo?a=b", &[], Body::Full(body.clone()))
        .await
        .json();
    assert_eq!(echo["method"], "PUT");
    assert_eq!(echo["query"], "a=b");
    assert_eq!(echo["serverPort"], httpd.http_addr().port());
    assert_eq!(echo["bodySha256"], sha256_hex(&body));
}

#[tokio::test]
async fn a_wrong_secret_is_refused() {
    let tomcat = Tomcat::builder().secret("other").start().await;
    let httpd = Httpd::builder()
        .proxy_ajp("/app", tomcat.ajp_addr(), "secret=wrong")
        .start()
        .await;
    assert_eq!(
        Client::new(httpd.http_addr())
            .get("/app/hello")
            .await
            .status,
        403
    );

    let open = Tomcat::builder().no_secret().start().await;
    assert_eq!(open.secret(), None);
    let httpd = Httpd::builder()
        .proxy_ajp("/app", open.ajp_addr(), "")
        .start()
        .await;
    assert_eq!(
        Client::new(httpd.http_addr())
            .get("/app/hello")
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn a_client_certificate_comes_across() {
    let tomcat = Tomcat::shared().await;
    let proxy = Httpd::builder().proxy_ajp("/app", tomcat.ajp_addr(), &format!("secret={SECRET}"));
    let jk = Httpd::builder().mod_jk_worker(tomcat.ajp_addr(), &[&format!("secret={SECRET}")]);
    for builder in [proxy, jk] {
        let httpd = builder.tls(true).start().await;
        let digest = httpd.certificates().sha256_hex("client");

        let named = curl_echo(&httpd, true).await;
        assert_eq!(named["scheme"], "https");
        assert_eq!(named["secure"], true);
        assert_eq!(
            named["certificates"],
            json!([{ "subject": CLIENT_SUBJECT, "sha256": digest }])
        );
        let attributes = &named["attributes"];
        assert!(attributes["cipher_suite"].is_string(), "{named}");
        assert!(
            attributes["key_size"]
                .as_str()
                .unwrap()
                .parse::<u32>()
                .unwrap()
                >= 128
        );

        let anonymous = curl_echo(&httpd, false).await;
        assert_eq!(anonymous["secure"], true);
        assert_eq!(anonymous["certificates"], json!([]));
    }
}

async fn curl_echo(httpd: &Httpd, with_certificate: bool) -> Value {
    let mut args = vec![
        format!("https://{}/app/echo", httpd.https_addr()),
        "--cacert".to_owned(),
        httpd.ca_pem_path().display().to_string(),
    ];
    if with_certificate {
        args.extend([
            "--cert".to_owned(),
            httpd.client_cert_path().display().to_string(),
        ]);
        args.extend([
            "--key".to_owned(),
            httpd.client_key_path().display().to_string(),
        ]);
    }
    let output = http1::curl(&args).await;
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn the_user_httpd_checked_comes_across() {
    let tomcat = Tomcat::builder()
        .connector_attr("tomcatAuthentication", "false")
        .start()
        .await;
    let httpd = Httpd::builder()
        .proxy_ajp("/app", tomcat.ajp_addr(), &format!("secret={SECRET}"))
        .basic_auth("/app/private", "ada", "lovelace")
        .start()
        .await;
    let mut client = Client::new(httpd.http_addr());

    assert_eq!(client.get("/app/private/x").await.status, 401);
    // "ada:lovelace"
    let credentials = [("Authorization", "Basic YWRhOmxvdmVsYWNl")];
    let echo = client
        .request("GET", "/app/private/x", &credentials, Body::None)
        .await
        .json();
    assert_eq!(echo["remoteUser"], "ada");
    assert_eq!(echo["authType"], "Basic");
    assert_eq!(
        client.get("/app/echo").await.json()["remoteUser"],
        Value::Null
    );
}

#[tokio::test]
async fn a_balancer_keeps_a_session_on_its_node() {
    let secret = format!("secret={SECRET}");
    let one = Tomcat::builder().route("one").start().await;
    let two = Tomcat::builder().route("two").start().await;
    let members = [
        (one.ajp_addr(), &*format!("route=one {secret}")),
        (two.ajp_addr(), &*format!("route=two {secret}")),
    ];
    let httpd = Httpd::builder()
        .proxy_balancer("/app", &members, "stickysession=JSESSIONID|jsessionid")
        .start()
        .await;
    let mut client = Client::new(httpd.http_addr());

    let first = client.get("/app/session").await;
    let cookie = first
        .header("set-cookie")
        .unwrap()
        .split(';')
        .next()
        .unwrap();
    for count in 2..6 {
        let next = client
            .request("GET", "/app/session", &[("Cookie", cookie)], Body::None)
            .await
            .json();
        assert_eq!(
            (&next["count"], &next["node"]),
            (&json!(count), &first.json()["node"])
        );
    }
    assert!(
        client
            .get("/balancer-manager")
            .await
            .text()
            .contains("balancer://lab")
    );
}

#[tokio::test]
async fn peers_can_crash_and_come_back() {
    let mut tomcat = Tomcat::builder().start().await;
    let params = format!("secret={SECRET} retry=0");
    let mut httpd = Httpd::builder()
        .proxy_ajp("/app", tomcat.ajp_addr(), &params)
        .start()
        .await;
    let mut client = Client::new(httpd.http_addr());
    assert_eq!(client.get("/app/hello").await.status, 200);

    tomcat.kill_9();
    assert!(std::net::TcpStream::connect(tomcat.ajp_addr()).is_err());
    assert_eq!(client.get("/app/hello").await.status, 503);
    tomcat.restart().await;
    assert_eq!(client.get("/app/hello").await.status, 200);
    tomcat.stop();
    assert!(
        tomcat.log().contains("Stopping service [Catalina]"),
        "{}",
        tomcat.log()
    );
    tomcat.restart().await;

    httpd.kill_9();
    assert!(std::net::TcpStream::connect(httpd.http_addr()).is_err());
    httpd.restart().await;
    let mut client = Client::new(httpd.http_addr());
    assert_eq!(client.get("/app/hello").await.status, 200);
}

/// The values of a header in the order `/app/echo` lists them.
fn lines<'a>(echo: &'a Value, name: &str) -> Vec<&'a Value> {
    let all = echo["headers"].as_array().unwrap().iter();
    all.filter(|line| line[0].as_str().unwrap().eq_ignore_ascii_case(name))
        .map(|line| &line[1])
        .collect()
}
