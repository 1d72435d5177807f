//! The HTTP side: every request becomes one AJP exchange, bodies stream both ways.

#![allow(unreachable_pub, reason = "a module of an example")]

use ajp::client::{Client, ResponseBody};
use ajp::http::RequestFacts;
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body::Body as _;
use http_body_util::{Either, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// How long running requests may take after Ctrl-C.
const DRAIN_LIMIT: Duration = Duration::from_secs(30);

type GatewayBody = Either<ResponseBody, Full<Bytes>>;

/// Accepts HTTP connections until `stopping` turns true, then drains them.
pub async fn run(
    listener: TcpListener,
    client: Client,
    max_body: Option<u64>,
    mut stopping: watch::Receiver<bool>,
) {
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopping.wait_for(|stop| *stop) => break,
        };
        match accepted {
            Ok((stream, peer)) => connection(stream, peer, &client, max_body, &graceful),
            Err(error) => {
                eprintln!("gateway: accept: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    if tokio::time::timeout(DRAIN_LIMIT, graceful.shutdown())
        .await
        .is_err()
    {
        eprintln!("gateway: some requests did not end within {DRAIN_LIMIT:?}");
    }
}

fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    client: &Client,
    max_body: Option<u64>,
    graceful: &GracefulShutdown,
) {
    // Fails only on a connection that is already gone; the first read tells.
    let _ = stream.set_nodelay(true);
    let local = stream.local_addr().map(|address| address.ip());
    let client = client.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        let client = client.clone();
        let mut facts = RequestFacts::new().remote(peer);
        if let Ok(local) = local {
            facts = facts.local(local);
        }
        request.extensions_mut().insert(facts);
        async move { Ok::<_, Infallible>(forward(&client, request, max_body).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(30))
        .serve_connection(TokioIo::new(stream), service);
    let connection = graceful.watch(connection);
    tokio::spawn(async move {
        // What the HTTP client did wrong hyper has answered; what it broke off is its own affair.
        let _ = connection.await;
    });
}

async fn forward(
    client: &Client,
    request: Request<Incoming>,
    max_body: Option<u64>,
) -> Response<GatewayBody> {
    if let (Some(limit), Some(length)) = (max_body, request.body().size_hint().exact()) {
        if length > limit {
            return answer(
                StatusCode::PAYLOAD_TOO_LARGE,
                "the request body is too large",
            );
        }
    }
    let limit = max_body.map_or(usize::MAX, |limit| {
        usize::try_from(limit).unwrap_or(usize::MAX)
    });
    let request = request.map(|body| Limited::new(body, limit));
    let (method, uri) = (request.method().clone(), request.uri().clone());
    match client.send(request).await {
        Ok(response) => response.map(Either::Left),
        Err(error) => {
            eprintln!("gateway: {method} {uri}: {}", chain(&error));
            let too_large =
                matches!(error.source(), Some(source) if source.is::<LengthLimitError>());
            if too_large {
                return answer(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "the request body is too large",
                );
            }
            let status =
                StatusCode::from_u16(error.suggested_status()).unwrap_or(StatusCode::BAD_GATEWAY);
            // The text names the step, not the container.
            answer(status, &error.kind().to_string())
        }
    }
}

/// A one-line text.
fn answer(status: StatusCode, text: &str) -> Response<GatewayBody> {
    let mut response = Response::new(Either::Right(Full::from(format!(
        "{} {text}\n",
        status.as_u16()
    ))));
    *response.status_mut() = status;
    let plain = header::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}

/// An error with its causes.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
