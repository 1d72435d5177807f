//! The example `axum_behind_httpd`, twice, behind a real httpd with the configuration files
//! that lie beside it.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "in a test a panic is the report"
)]
#![cfg(feature = "server")]

mod support;

use hyper::body::Body as _;
use serde_json::Value;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;
use support::child::ChildGuard;
use support::http1::{self, Body, Client};
use support::httpd::Httpd;
use support::pattern::{bytes, sha256_hex};
use support::{example, httpd_conf};
use tempfile::TempDir;

const SECRET: &str = "s3cr3t-example";
const LIMIT: Duration = Duration::from_secs(20);

/// A running instance.
struct Instance {
    address: SocketAddr,
    _child: ChildGuard,
    _dir: TempDir,
}

async fn instance(route: &str) -> Instance {
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("ajp.secret");
    std::fs::write(&secret, SECRET).unwrap();
    let mut command = Command::new(example::binary("axum_behind_httpd"));
    command
        .args(["--listen", "127.0.0.1:0", "--route", route])
        .args(["--trust-remote-user", "--secret-file"])
        .arg(&secret);
    let log = dir.path().join("log");
    let mut child = ChildGuard::spawn(command, "cargo", dir.path(), log, Duration::ZERO);
    child.wait_for_log("AJP on ", LIMIT).await.unwrap();
    // The line may come in parts.
    child.wait_for_log("\n", LIMIT).await.unwrap();
    let log = child.log();
    let (_, address) = log.split_once("AJP on ").unwrap();
    Instance {
        address: address.lines().next().unwrap().parse().unwrap(),
        _child: child,
        _dir: dir,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Via {
    ProxyAjp,
    Jk,
}

/// httpd with one of the files, in front of two instances.
struct Site {
    httpd: Httpd,
    _instances: [Instance; 2],
}

impl Site {
    async fn start(via: Via) -> Self {
        let instances = [instance("one").await, instance("two").await];
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/axum_behind_httpd");
        let mut defines = format!("Define AJP_SECRET {SECRET}\n");
        for (name, instance) in ["ONE", "TWO"].into_iter().zip(&instances) {
            let address = instance.address;
            writeln!(defines, "Define AJP_{name} {address}").unwrap();
            writeln!(defines, "Define AJP_{name}_PORT {}", address.port()).unwrap();
        }
        let builder = Httpd::builder()
            .tls(true)
            .basic_auth("/whoami", "bob", "pw");
        let builder = match via {
            Via::ProxyAjp => builder
                .raw_global(&defines)
                .raw(&format!("Include {dir}/proxy_ajp.conf")),
            Via::Jk => builder.raw_global(&format!(
                "{defines}LoadModule jk_module {}/mod_jk.so\n\
                 JkLogFile mod_jk.log\nJkShmFile run/jk.shm\n\
                 Include {dir}/mod_jk.conf",
                httpd_conf::MODULES
            )),
        };
        Self {
            httpd: builder.start().await,
            _instances: instances,
        }
    }

    fn client(&self) -> Client {
        Client::new(self.httpd.http_addr())
    }
}

/// The cookies that a response sets, as a browser sends them.
fn cookies(response: &http1::Response) -> String {
    let lines = response.headers.get_all("set-cookie").iter();
    let pairs: Vec<_> = lines
        .map(|line| {
            let (pair, options) = line.to_str().unwrap().split_once(';').unwrap();
            assert!(options.contains("HttpOnly"), "{options}");
            pair
        })
        .collect();
    pairs.join("; ")
}

/// New visitors are spread, and each stays with its instance.
async fn sessions(site: &Site) {
    let mut routes = Vec::new();
    for _ in 0..6 {
        let mut client = site.client();
        let first = client.get("/session").await;
        let told = cookies(&first);
        assert_eq!(first.json()["visits"], 1);
        let (_, route) = told.split_once("ROUTEID=.").unwrap();
        for visits in 2..6 {
            let headers = [("cookie", told.as_str())];
            let again = client.request("GET", "/session", &headers, Body::None);
            let again = again.await;
            assert_eq!(again.json()["visits"], visits);
            // The very same session, told again with its new expiry.
            assert_eq!(cookies(&again), told);
        }
        routes.push(route.to_owned());
    }
    for route in ["one", "two"] {
        assert!(routes.iter().any(|known| known == route), "{routes:?}");
    }
}

async fn uploads(site: &Site) {
    let mut client = site.client();
    for n in [0, 1, 8186, 3_000_000] {
        let data = bytes(n);
        let digest = sha256_hex(&data);
        let parts: Vec<_> = data
            .chunks(70_000)
            .map(|part| data.slice_ref(part))
            .collect();
        for body in [Body::Full(data.clone()), Body::Chunked(parts)] {
            let answer = client.request("POST", "/upload", &[], body).await.json();
            assert_eq!(
                (&answer["length"], &answer["sha256"]),
                (&n.into(), &digest.clone().into())
            );
        }
    }
}

/// The first event is there long before the last.
async fn events(site: &Site) {
    let mut client = site.client();
    // Ten events take nine seconds: whoever waits for the end fails.
    let answer = client.send("GET", "/events", &[], Body::None);
    let answer = tokio::time::timeout(Duration::from_secs(4), answer)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let mut body = answer.into_body();
    let frame = std::future::poll_fn(|cx| std::pin::Pin::new(&mut body).poll_frame(cx));
    let frame = tokio::time::timeout(Duration::from_secs(4), frame).await;
    let data = frame.unwrap().unwrap().unwrap().into_data().unwrap();
    assert_eq!(data, "id: 0\ndata: tick\n\n");
}

async fn tls(site: &Site) {
    let httpd = &site.httpd;
    let ca = httpd.ca_pem_path();
    let (cert, key) = (httpd.client_cert_path(), httpd.client_key_path());
    let url = |path: &str| format!("https://localhost:{}{path}", httpd.https_addr().port());
    let page = http1::curl(&[
        "--cacert".as_ref(),
        ca.as_os_str(),
        "--cert".as_ref(),
        cert.as_os_str(),
        "--key".as_ref(),
        key.as_os_str(),
        url("/whoami").as_ref(),
        "-u".as_ref(),
        "bob:pw".as_ref(),
    ])
    .await;
    let page: Value = serde_json::from_slice(&page.stdout).unwrap();
    let tls = &page["tls"];
    assert_eq!(
        (&tls["protocol"], &tls["key_size"]),
        (&"TLSv1.3".into(), &256.into())
    );
    assert!(
        tls["cipher"].as_str().unwrap().starts_with("TLS_AES_256"),
        "{page}"
    );
    let certificate = page["certificate"].as_str().unwrap();
    assert!(
        certificate.contains("-----BEGIN CERTIFICATE-----"),
        "{page}"
    );

    let who = http1::curl(&[
        "--cacert".as_ref(),
        ca.as_os_str(),
        "-u".as_ref(),
        "bob:pw".as_ref(),
        url("/whoami").as_ref(),
    ])
    .await;
    let who: Value = serde_json::from_slice(&who.stdout).unwrap();
    assert_eq!(
        (&who["user"], &who["address"]),
        (&"bob".into(), &"127.0.0.1".into())
    );
    assert_eq!(
        (&who["tls"]["protocol"], &who["certificate"]),
        (&"TLSv1.3".into(), &Value::Null)
    );
}

async fn all(via: Via) {
    let site = Site::start(via).await;
    let home = site.client().get("/").await;
    assert!(home.text().contains("<h1>axum behind httpd</h1>"));
    sessions(&site).await;
    uploads(&site).await;
    events(&site).await;
    tls(&site).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_mod_proxy_ajp_with_the_file_beside_it() {
    all(Via::ProxyAjp).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_mod_jk_with_the_file_beside_it() {
    all(Via::Jk).await;
}
