//! A container breaks its answer off, behind hyper, on an HTTP connection that is kept alive:
//! the client must see that there was an answer. One that sees nothing takes the connection for
//! stale and sends its request again, and an order runs twice.

use crate::raw::backend::{Backend, Conn, config, token};
use crate::raw::packets::{chunk, head};
use ajp::client::{Client, ResponseBody};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::TcpListener;
use tokio::process::Command;

/// How often each way of breaking off is tried.
const TRIES: usize = 40;

/// What any author of a proxy would write.
async fn pass_on(
    client: Client,
    request: Request<hyper::body::Incoming>,
) -> Result<Response<BoxBody<Bytes, ajp::client::ClientError>>, Infallible> {
    Ok(match client.send(request).await {
        Ok(response) => response.map(ResponseBody::boxed),
        Err(error) => {
            let mut response = Response::new(Empty::new().map_err(|e| match e {}).boxed());
            *response.status_mut() = error.suggested_status();
            response
        }
    })
}

async fn proxy(client: Client) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let client = client.clone();
            let service = service_fn(move |request| pass_on(client.clone(), request));
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    address
}

/// Status, exit code and new connections of a GET and then a POST by one curl.
async fn curl(proxy: SocketAddr) -> [(u16, u8, u32); 2] {
    let each = [
        "-s",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code} %{exitcode} %{num_connects}\n",
    ];
    let output = Command::new("curl")
        .args(each)
        .arg(format!("http://{proxy}/well"))
        .arg("--next")
        .args(each)
        .args(["-d", "order=1"])
        .arg(format!("http://{proxy}/order"))
        .output()
        .await
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().map(|line| {
        let mut fields = line.split(' ');
        let mut next = || fields.next().unwrap();
        (
            next().parse().unwrap(),
            next().parse().unwrap(),
            next().parse().unwrap(),
        )
    });
    lines.collect::<Vec<_>>().try_into().unwrap()
}

/// The exit code of curl for a response that was cut off.
const PARTIAL: u8 = 18;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_on_a_kept_connection_sees_that_there_was_an_answer() {
    let with_length = head(200, &[("content-length", "1000")]);
    let without_length = head(200, &[]);
    for (bytes, expected) in [
        (with_length.clone(), (200, PARTIAL)),
        (without_length.clone(), (200, PARTIAL)),
        ([with_length, chunk(b"some")].concat(), (200, PARTIAL)),
        ([without_length, chunk(b"some")].concat(), (200, PARTIAL)),
        // Nothing has left: there can be a proper answer.
        (vec![], (StatusCode::BAD_GATEWAY.as_u16(), 0)),
    ] {
        let orders = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&orders);
        let backend = Backend::start(config(), move |_, mut conn: Conn| {
            let (bytes, seen) = (bytes.clone(), Arc::clone(&seen));
            async move {
                while let Some(request) = conn.request().await {
                    if token(&request) == "order" {
                        seen.fetch_add(1, Ordering::SeqCst);
                        conn.body(&request).await;
                        return conn.write(&bytes).await;
                    }
                    conn.write(&crate::raw::packets::response("well", 1)).await;
                }
            }
        })
        .await;
        let proxy = proxy(backend.client.clone()).await;
        for tried in 1..=TRIES {
            let [first, second] = curl(proxy).await;
            assert_eq!(first, (200, 0, 1));
            assert_eq!(second, (expected.0, expected.1, 0), "try {tried}");
            assert_eq!(orders.load(Ordering::SeqCst), tried, "sent again");
        }
    }
}
