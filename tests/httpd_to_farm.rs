//! Two of our servers behind a real httpd with a balancer: they are restarted one after the
//! other under load, and httpd's own health checks see what becomes of them.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "in a test a panic is the report"
)]
#![cfg(feature = "server")]

mod container;
mod support;

use ajp::Secret;
use ajp::server::{Monitor, serve};
use axum::Router;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use support::http1::{Body, Client};
use support::httpd::{Httpd, HttpdBuilder};
use support::pattern::{bytes, sha256_hex};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

const SECRET: &str = "s3cr3t-farm";
const LIMIT: Duration = Duration::from_secs(30);

/// One server, at the same address for all of its lives.
struct Node {
    address: SocketAddr,
    monitor: Monitor,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Node {
    async fn start() -> Self {
        Self::at("127.0.0.1:0".parse().unwrap()).await
    }

    async fn at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let app = Router::new().nest("/app", container::app());
        let server = serve(listener, app)
            .with_secret(Secret::new(SECRET).unwrap())
            .with_graceful_shutdown(async {
                let _ = stopped.await;
            });
        let monitor = server.monitor();
        let task = tokio::spawn(server.into_future());
        Self {
            address,
            monitor,
            stop,
            task,
        }
    }

    /// Ends in order; its address.
    async fn shut_down(self) -> SocketAddr {
        self.stop.send(()).unwrap();
        self.task.await.unwrap();
        self.address
    }
}

fn farm(nodes: [&Node; 2], params: &str) -> HttpdBuilder {
    let member = format!("secret={SECRET} retry=1 {params}");
    let members = nodes.map(|node| (node.address, &*member));
    Httpd::builder()
        .raw_global(
            "MaxKeepAliveRequests 0\nKeepAliveTimeout 60\n\
             ThreadsPerChild 32\nMaxRequestWorkers 32",
        )
        .proxy_balancer("/app", &members, "lbmethod=byrequests")
}

/// Clients that ask without a pause until they are told to stop: how often, and what went wrong.
async fn load(httpd: SocketAddr, stop: Arc<AtomicBool>) -> (u64, Vec<String>) {
    let clients = (0..6).map(|_| {
        let stop = Arc::clone(&stop);
        tokio::spawn(async move {
            let mut client = Client::new(httpd);
            let upload = bytes(20_000);
            let digest = sha256_hex(&upload);
            let (mut asked, mut wrong) = (0, Vec::new());
            while !stop.load(Ordering::Relaxed) {
                asked += 1;
                let posts = asked % 5 == 0;
                let answer = if posts {
                    let body = Body::Full(upload.clone());
                    client.request("POST", "/app/echo", &[], body).await
                } else {
                    client.get("/app/hello").await
                };
                let text = answer.text();
                let is_right = if posts {
                    text.contains(&digest)
                } else {
                    text == "Hello, AJP!\n"
                };
                if answer.status != 200 || !is_right {
                    let kind = if posts { "POST" } else { "GET" };
                    wrong.push(format!("{kind}: {}", answer.status));
                }
            }
            (asked, wrong)
        })
    });
    let (mut asked, mut wrong) = (0, Vec::new());
    for client in clients.collect::<Vec<_>>() {
        let (more, errors) = client.await.unwrap();
        asked += more;
        wrong.extend(errors);
    }
    (asked, wrong)
}

/// Waits until `done`.
async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + LIMIT;
    while !done().await {
        assert!(Instant::now() < end, "never {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn rolling(params: &str) {
    let mut nodes = [Node::start().await, Node::start().await];
    let httpd = farm([&nodes[0], &nodes[1]], params).start().await;
    let stop = Arc::new(AtomicBool::new(false));
    let load = tokio::spawn(load(httpd.http_addr(), Arc::clone(&stop)));
    for _ in 0..2 {
        // One is taken away when both have their share of the load, and comes back.
        for at in [0, 1] {
            for node in &nodes {
                until("in service", async || node.monitor.stats().requests > 20).await;
            }
            let [one, two] = nodes;
            let (leaving, other) = if at == 0 { (one, two) } else { (two, one) };
            let address = leaving.shut_down().await;
            let before = other.monitor.stats().requests;
            until("served alone", async || {
                other.monitor.stats().requests > before + 20
            })
            .await;
            let fresh = Node::at(address).await;
            nodes = if at == 0 {
                [fresh, other]
            } else {
                [other, fresh]
            };
        }
    }
    for node in &nodes {
        until("back", async || node.monitor.stats().requests > 20).await;
    }
    stop.store(true, Ordering::Relaxed);
    let (asked, wrong) = load.await.unwrap();
    assert!(
        wrong.is_empty(),
        "{} of {asked}: {wrong:?}\n{}",
        wrong.len(),
        httpd.error_log()
    );
    assert!(asked > 160, "{asked} requests");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_is_seen_by_no_client() {
    rolling("ping=1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_without_cping() {
    rolling("").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_checks_of_httpd_see_a_server_go_and_come_back() {
    let (one, two) = (Node::start().await, Node::start().await);
    let modules = support::httpd_conf::MODULES;
    let httpd = farm(
        [&one, &two],
        "hcmethod=CPING hcinterval=1 hcpasses=1 hcfails=1",
    )
    .raw_global(&format!(
        "LoadModule proxy_hcheck_module {modules}/mod_proxy_hcheck.so"
    ))
    .start()
    .await;
    // Checked without a single request.
    for node in [&one, &two] {
        until("checked", async || node.monitor.stats().cpings > 1).await;
        assert_eq!(node.monitor.stats().requests, 0);
    }
    let address = one.shut_down().await;
    let state = async || {
        let page = Client::new(httpd.http_addr())
            .get("/balancer-manager")
            .await;
        let page = page.text().to_owned();
        let (_, row) = page
            .split_once(&format!(">ajp://{address}</a></td>"))
            .unwrap();
        row.split("</tr>").next().unwrap().to_owned()
    };
    until("out", async || state().await.contains("HcFl")).await;
    let mut client = Client::new(httpd.http_addr());
    for _ in 0..10 {
        assert_eq!(client.get("/app/hello").await.text(), "Hello, AJP!\n");
    }
    assert_eq!(two.monitor.stats().requests, 10);

    let one = Node::at(address).await;
    until("in again", async || !state().await.contains("HcFl")).await;
    for _ in 0..10 {
        assert_eq!(client.get("/app/hello").await.text(), "Hello, AJP!\n");
    }
    let served = one.monitor.stats().requests;
    assert!(served >= 4, "{served} of 10");
}
